"""The exercises of notebook 10: a step back into noise, and changes to an embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...embeddings import PCA, sphere
from ...scenes import Thing
from .core import exercise, normal


@exercise(lambda: [
    (torch.tensor([[2.2]]), torch.tensor([[1.0]]), torch.tensor([[0.64]]), torch.tensor([[0.36]])),
    (normal(2, 3), normal(2, 3, seed=1), torch.tensor([[1.0], [0.8]]), torch.tensor([[0.9], [0.1]])),
    (normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), torch.full((2, 1, 1, 1), 0.5), torch.full((2, 1, 1, 1), 0.45)),
])  # fmt: skip
def ddim_back(x_prev: Tensor, eps: Tensor, alpha_bar_prev: Tensor, alpha_bar: Tensor) -> Tensor:
    """From x_{t_prev} to the x_t that DDIM with this eps takes to it: equation 12 of Song et al. 2020, solved."""
    x_0 = (x_prev - (1 - alpha_bar_prev).sqrt() * eps) / alpha_bar_prev.sqrt()
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


@exercise(lambda: [
    (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.5),
    (torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]), 0.25),
    (normal(3, 8), 2 * normal(3, 8, seed=1), 0.7),
    (normal(2, 5), normal(2, 5, seed=1), 0.0),
], rules={
    "theta = 0 is a": lambda z, a, b, theta: theta != 0 or torch.allclose(z, a, atol=1e-5),
    "the length changes evenly, from that of a to that of b": lambda z, a, b, theta: torch.allclose(
        z.norm(dim=1), (1 - theta) * a.norm(dim=1) + theta * b.norm(dim=1), atol=1e-4),
})  # fmt: skip
def slerp_rows(a: Tensor, b: Tensor, theta: float) -> Tensor:
    """From a (B, D) to b (B, D) along the sphere, with a length that changes evenly."""
    return sphere.slerp(a, b, theta)


@exercise(lambda: [
    (torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 0.0]])),
    (normal(3, 6), 4 * normal(3, 6, seed=1)),
], rules={
    "a direction has length 1": lambda z_d, z_t, z_t0: torch.allclose(z_d.norm(dim=1), torch.ones(len(z_d)), atol=1e-4),
})  # fmt: skip
def text_direction(z_t: Tensor, z_t0: Tensor) -> Tensor:
    """z_d, the direction from one caption to another: (B, D), (B, D) -> (B, D)."""
    return F.normalize(F.normalize(z_t, dim=1) - F.normalize(z_t0, dim=1), dim=1)


def _some_axes(width: int, seed: int) -> tuple[Tensor, Tensor]:
    pca = PCA.fit(normal(40, width, seed=seed) * torch.arange(1, width + 1) + 2)
    return pca.mean, pca.basis


@exercise(lambda: [
    (torch.tensor([[3.0, 5.0]]), torch.tensor([1.0, 1.0]), torch.eye(2), 1),
    (normal(3, 6, seed=2), *_some_axes(6, 3), 2),
    (normal(3, 6, seed=2), *_some_axes(6, 3), 0),
    (normal(2, 6, seed=4), *_some_axes(6, 3), 6),
], tolerance=1e-4, rules={
    "with all components z comes back": lambda z, z_i, mean, basis, k: k < len(basis) or torch.allclose(
        z, z_i, atol=1e-3),
    "without any component the mean is left": lambda z, z_i, mean, basis, k: k > 0 or torch.allclose(
        z, mean.expand_as(z), atol=1e-4),
})  # fmt: skip
def keep_components(z_i: Tensor, mean: Tensor, basis: Tensor, k: int) -> Tensor:
    """z_i (B, D) with only its first k components; mean (D,), basis (D, D) with an axis in each row."""
    kept = (z_i - mean) @ basis[:k].T                                   # (B, k)
    return mean + kept @ basis[:k]


def _pair(*names: str) -> list[Thing]:
    return [Thing(kind, colour, "big") for colour, kind in (name.split() for name in names)]


@exercise(lambda: [
    (_pair("red heart", "blue fish"), _pair("blue heart", "red fish")),
    (_pair("red heart", "blue fish"), _pair("red fish", "blue heart")),
    (_pair("red heart", "blue fish"), _pair("red heart", "blue fish")),
    (_pair("red heart", "blue fish"), _pair("blue fish", "red heart")),
    (_pair("red heart", "blue fish"), _pair("blue heart", "red moon")),
    (_pair("red heart", "blue fish"), _pair("blue heart", "green fish")),
    (_pair("red heart", "blue fish"), _pair("blue heart")),
    (_pair("red heart", "blue fish"), _pair("green heart", "red moon")),
    (_pair("red heart", "blue fish"), _pair("blue heart", "red fish", "red fish")),
])
def colours_swapped(stated: list[Thing], drawn: list[Thing]) -> bool:
    """Whether the two stated things, of different kinds and colours, were drawn with each other's colour."""
    a, b = stated
    wanted = {(a.kind, b.colour), (b.kind, a.colour)}
    return len(drawn) == 2 and {(thing.kind, thing.colour) for thing in drawn} == wanted
