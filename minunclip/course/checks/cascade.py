"""The exercises of notebook 09: embeddings of the right length, intervals, distances, and curves to compare."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...evaluation import resamples
from .core import exercise, normal


@exercise(lambda: [
    (torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0], [2.0, 0.0]])),
    (torch.tensor([[0.0, 1.0], [5.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])),
    (normal(2, 6), 3 * normal(5, 6, seed=1) + 1),
], rules={
    "every row has the same length": lambda z, z_t, z_i: bool(torch.allclose(z.norm(dim=1), z[:1].norm(dim=1))),
    "the length is the root of the mean square": lambda z, z_t, z_i: torch.allclose(
        z.norm(dim=1) ** 2, z_i.square().sum(dim=1).mean()),
})  # fmt: skip
def scaled_like(z_t: Tensor, z_i: Tensor) -> Tensor:
    """The directions of z_t (B, D), all with the usual length of z_i (N, D): the root of its mean square."""
    return F.normalize(z_t, dim=1) * z_i.square().sum(dim=1).mean().sqrt()


def _hits(n: int, share: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < share).astype(float)


@exercise(lambda: [
    (np.array([0.0, 1.0]), [np.array([0, 0]), np.array([0, 1]), np.array([1, 1])]),
    (_hits(30, 0.7, 0), resamples(30, 1, 200)),
    (_hits(30, 0.5, 1) - _hits(30, 0.7, 2), resamples(30, 2, 400)),
], rules={"the lower end comes first": lambda ends, values, draws: ends[0] <= ends[1]})
def bootstrap_interval(values: np.ndarray, draws: list[np.ndarray]) -> tuple[float, float]:
    """Where 95% of the means of the redrawn values (n,) lie; each of `draws` holds n row numbers."""
    means = [values[rows].mean() for rows in draws]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


@exercise(lambda: [
    (torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])),
    (torch.tensor([[-1.0], [1.0]]), torch.tensor([[-3.0], [3.0]])),
    (normal(6, 3), 2 * normal(9, 3, seed=1) + 1),
], tolerance=1e-4, rules={
    "two equal sets are 0 apart": lambda d, x, y: x.shape != y.shape or not torch.equal(x, y) or abs(d) < 1e-6,
    "it is a sum of squares": lambda d, x, y: d >= 0,
})  # fmt: skip
def frechet_diagonal(x: Tensor, y: Tensor) -> float:
    """|mean_x - mean_y|^2 + |std_x - std_y|^2 of features (N, D) and (M, D), each axis on its own."""
    return float((x.mean(dim=0) - y.mean(dim=0)).square().sum() + (x.std(dim=0) - y.std(dim=0)).square().sum())


@exercise(lambda: [
    (0.7, [0.6, 0.8, 0.9], [10.0, 6.0, 5.0]),
    (0.5, [0.6, 0.8, 0.9], [10.0, 6.0, 5.0]),
    (0.8, [0.6, 0.8, 0.9], [10.0, 6.0, 5.0]),
    (0.65, [0.3, 0.7, 0.6, 0.9], [12.0, 9.0, 8.0, 4.0]),
    (0.65, [0.36, 0.81, 0.32, 0.48, 0.4, 0.68, 0.53], [14.0, 11.0, 10.0, 7.0, 6.0, 5.0, 4.0]),
], rules={"it is one of the diversities, or between two neighbours": lambda d, level, fidelity, diversity:
          min(diversity) <= d <= max(diversity)})  # fmt: skip
def diversity_at(level: float, fidelity: list[float], diversity: list[float]) -> float:
    """The diversity where a curve first comes up to a level of fidelity, straight between its points."""
    i = next(i for i, value in enumerate(fidelity) if value >= level)
    if i == 0:
        return diversity[0]
    share = (level - fidelity[i - 1]) / (fidelity[i] - fidelity[i - 1])
    return diversity[i - 1] + share * (diversity[i] - diversity[i - 1])
