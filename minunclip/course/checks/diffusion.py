"""The exercises of notebooks 03 and 04: noise in, noise out, and guidance."""

from __future__ import annotations

import torch
from torch import Tensor

from ...diffusion import cosine_betas
from .core import exercise, normal


def _levels(*t: int, axes: int) -> Tensor:
    """alpha_bar at some timesteps of the cosine schedule, shaped (B, 1, ...) with this many axes; 1 where t is -1."""
    table = torch.cat([torch.cumprod(1 - cosine_betas(1000), dim=0), torch.ones(1)])
    return table[list(t)].view(-1, *[1] * (axes - 1))


def _noised() -> list[tuple]:
    table = torch.tensor([0.98, 0.75, 0.36, 0.1])
    return [
        (torch.tensor([[1.0], [1.0]]), torch.tensor([2, 0]), torch.tensor([[0.0], [1.0]]), table),
        (normal(3, 2), torch.tensor([0, 3, 1]), normal(3, 2, seed=1), table),
        (normal(4, 3, 5, 5), torch.tensor([3, 3, 0, 2]), normal(4, 3, 5, 5, seed=1), table),
    ]


@exercise(_noised)
def q_sample(x_0: Tensor, t: Tensor, eps: Tensor, alphas_bar: Tensor) -> Tensor:
    """x_t, for x_0 (B, C, ...), a timestep t (B,) for each row, noise eps like x_0, and the table alphas_bar (T,)."""
    alpha_bar = alphas_bar[t].view(-1, *[1] * (x_0.ndim - 1))               # (B, 1, ...)
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


@exercise(lambda: [
    (torch.tensor([[0.8 * 2 + 0.6]]), torch.tensor([[1.0]]), torch.tensor([[0.64]])),
    (normal(3, 2), normal(3, 2, seed=1), _levels(100, 500, 900, axes=2)),
    (normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), _levels(300, 700, axes=4)),
], rules={"noised again with the same eps, the answer is x_t": lambda x_0, x_t, eps, alpha_bar: torch.allclose(
    alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps, x_t, atol=1e-4)})  # fmt: skip
def x0_from_eps(x_t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """The x_0 that belongs to x_t (B, C, ...) if its noise is eps; alpha_bar is (B, 1, ...)."""
    return (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()


def _moves() -> list[tuple]:
    return [
        (torch.tensor([[0.6 * 2 + 0.8]]), torch.tensor([[1.0]]), torch.tensor([[0.36]]), torch.tensor([[0.64]])),
        (normal(2, 2), normal(2, 2, seed=1), _levels(800, 400, axes=2), _levels(600, 390, axes=2)),
        (normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), _levels(500, 20, axes=4), _levels(499, -1, axes=4)),
    ]


@exercise(_moves, rules={
    "where alpha_bar_prev is 1 nothing but x_0 is left": lambda x, x_t, eps, alpha_bar, alpha_bar_prev:
        bool((alpha_bar_prev < 1).all()) or torch.allclose(
            x[-1], x0_from_eps.reference(x_t, eps, alpha_bar)[-1], atol=1e-4),
})  # fmt: skip
def ddim_step(x_t: Tensor, eps: Tensor, alpha_bar: Tensor, alpha_bar_prev: Tensor) -> Tensor:
    """From x_t to x_{t_prev} without fresh noise: DDIM (Song et al. 2020, eq. 12 with sigma = 0)."""
    x_0 = x0_from_eps.reference(x_t, eps, alpha_bar)
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev).sqrt() * eps


def _posteriors() -> list[tuple]:
    return [
        (torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[0.25]]), torch.tensor([[0.5]])),
        (torch.tensor([[0.0]]), torch.tensor([[1.0]]), torch.tensor([[0.25]]), torch.tensor([[0.5]])),
        (normal(2, 2), normal(2, 2, seed=1), _levels(800, 400, axes=2), _levels(600, 390, axes=2)),
        (normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), _levels(500, 20, axes=4), _levels(499, 0, axes=4)),
    ]


@exercise(_posteriors)
def posterior_mean(x_0: Tensor, x_t: Tensor, alpha_bar: Tensor, alpha_bar_prev: Tensor) -> Tensor:
    """The mean of q(x_{t_prev} | x_t, x_0): DDPM (Ho et al. 2020, eq. 7), for a step of any length."""
    alpha = alpha_bar / alpha_bar_prev
    towards_x_0 = alpha_bar_prev.sqrt() * (1 - alpha) / (1 - alpha_bar)
    towards_x_t = alpha.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
    return towards_x_0 * x_0 + towards_x_t * x_t


def _eta_steps() -> list[tuple]:
    three = torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[2.0]])
    return [
        (*three, torch.tensor([[0.25]]), torch.tensor([[0.5]]), 1.0),
        (normal(2, 2), normal(2, 2, seed=1), normal(2, 2, seed=2), _levels(800, 400, axes=2), _levels(600, 390, axes=2),
         0.5),
        (normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), normal(2, 3, 4, 4, seed=2), _levels(500, 20, axes=4),
         _levels(499, 0, axes=4), 0.0),
    ]  # fmt: skip


@exercise(_eta_steps, rules={
    "eta = 0 takes no new noise": lambda y, x_0, eps, noise, alpha_bar, alpha_bar_prev, eta:
        eta or torch.allclose(y, alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev).sqrt() * eps, atol=1e-5),
})  # fmt: skip
def eta_step(
    x_0: Tensor, eps: Tensor, noise: Tensor, alpha_bar: Tensor, alpha_bar_prev: Tensor, eta: float
) -> Tensor:
    """DDIM with new noise (Song et al. 2020, eq. 12 and 16): what comes anew is taken from the old noise."""
    sigma = eta * ((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)).sqrt()
    return alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev - sigma**2).sqrt() * eps + sigma * noise


@exercise(lambda: [(normal(3, 2), normal(3, 2, seed=1), w) for w in (0.0, 1.0, 2.5)], rules={
    "w = 0 ignores the caption": lambda eps, uncond, cond, w: w != 0 or torch.allclose(eps, uncond),
    "w = 1 is the network with the caption": lambda eps, uncond, cond, w: w != 1 or torch.allclose(eps, cond),
})  # fmt: skip
def guide(uncond: Tensor, cond: Tensor, w: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022): from the prediction without to the one with, w times as far."""
    return uncond + w * (cond - uncond)


@exercise(lambda: [(normal(4, 2), 0.0), (normal(6, 3, 2, 2), 1.0), (normal(2, 5), 3.0)])
def guided_halves(both: Tensor, w: float) -> Tensor:
    """Guidance from a batch (2B, ...) whose first half was asked without the caption, as `guided` asks."""
    uncond, cond = both.chunk(2)
    return uncond + w * (cond - uncond)


@exercise(lambda: [
    (torch.tensor([[0.5]]), torch.tensor([[1.0], [-1.0]]), 0.5),
    (normal(3, 2), normal(5, 2, seed=1), 0.64),
    (normal(2, 3), normal(4, 3, seed=1), 1e-6),
    (normal(1, 3), normal(4, 3, seed=1), 0.96),
], tolerance=1e-4, rules={
    "the answer is a mean of the data, never beyond its largest number": lambda x, x_t, data, alpha_bar:
        x.max() <= data.max() + 1e-4,
    "in nothing but noise all data is as likely as before": lambda x, x_t, data, alpha_bar:
        alpha_bar > 1e-3 or torch.allclose(x, data.mean(dim=0), atol=0.01),
})  # fmt: skip
def best_x0(x_t: Tensor, data: Tensor, alpha_bar: float) -> Tensor:
    """E[x_0 | x_t], (B, D), if x_0 is any of the points `data` (N, D): what the best possible network answers."""
    square = torch.cdist(x_t, alpha_bar**0.5 * data) ** 2                   # (B, N)
    return (-square / (2 * (1 - alpha_bar))).softmax(dim=1) @ data
