"""A world of points in a plane, where every answer of a diffusion model can be checked: notebooks 03, 04, 13.

Nine clusters belong to three captions, "blue", "red" and "green": two of each lie far out, and one near the middle,
where all captions meet. We know the density of the noised points at every timestep, so we know the best answer, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..diffusion import Diffusion
from ..networks import timestep_embedding

NAMES, NOTHING = ["blue", "red", "green"], 3                            # caption 3 stands for "no caption"
ANGLES = torch.tensor([[90, 62, 118], [210, 182, 238], [330, 302, 358]]).deg2rad()      # (caption, cluster)
RADII, WIDTHS = torch.tensor([0.43, 1.66, 1.66]), torch.tensor([0.27, 0.18, 0.18]).repeat(3, 1)
CENTRES = torch.stack([RADII * ANGLES.cos(), RADII * ANGLES.sin()], dim=-1)             # (caption, cluster, 2)


def draw(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (N, 2) and their captions (N,), 0 to 2."""
    y, cluster = torch.randint(3, (count,), generator=rng), torch.randint(3, (count,), generator=rng)
    return CENTRES[y, cluster] + WIDTHS[y, cluster][:, None] * torch.randn(count, 2, generator=rng), y


class PointNet(nn.Module):
    """Two numbers in, two numbers out; it is also told the timestep and, if there is one, the caption."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.x, self.t, self.y = nn.Linear(14, width), nn.Linear(32, width), nn.Embedding(4, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, 2)

    def forward(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = torch.full_like(t, NOTHING) if y is None else y
        angles = torch.cat([x_t, 2 * x_t, 4 * x_t], dim=1)              # (N, 6)
        h = self.x(torch.cat([x_t, angles.sin(), angles.cos()], dim=1))  # (N, width)
        h = h + self.t(timestep_embedding(t, 32)) + self.y(y)
        for layer in self.layers:
            h = h + layer(F.silu(h))
        return self.out(F.silu(h))


Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor | None]]


def fit(diffusion: Diffusion, model: PointNet, draw: Draw, steps: int) -> Iterator[float]:
    """Train the model in place; yields the loss of each step."""
    rng = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x_0, y = draw(256, rng)
        t, eps = torch.randint(1000, (256,), generator=rng), torch.randn(256, 2, generator=rng)
        with torch.enable_grad():
            loss = diffusion.loss(partial(model, y=y), x_0, t, eps).mean()
            loss.backward()
        optimiser.step()
        slower.step()
        optimiser.zero_grad()
        yield loss.item()


def log_density(x_t: Tensor, t: Tensor, diffusion: Diffusion) -> Tensor:
    """log p_t of each cluster at points (N, 2) and timesteps (N,), up to one constant: (N, caption, cluster).

    Noise leaves every cluster a normal distribution: its centre shrinks with the signal, its variance grows by sigma^2.
    """
    signal, sigma = (scale[:, :, None] for scale in diffusion.scales(t, x_t))               # (N, 1, 1)
    variance = (signal * WIDTHS) ** 2 + sigma**2                                            # (N, 3, 3)
    square = ((x_t[:, None, None] - signal[..., None] * CENTRES) ** 2).sum(dim=-1)          # (N, 3, 3)
    return -square / (2 * variance) - variance.log()


def best_eps(x_t: Tensor, t: Tensor, diffusion: Diffusion) -> Tensor:
    """The mean of all noises that may be in x_t (N, 2): -sigma times the gradient of log p_t (Song et al. 2021)."""
    with torch.enable_grad():
        x_t = x_t.clone().requires_grad_()
        total = log_density(x_t, t, diffusion).flatten(1).logsumexp(dim=1).sum()
        (score,) = torch.autograd.grad(total, x_t)
    return -diffusion.scales(t, x_t)[1] * score


def known_x0(x_t: Tensor, t: Tensor, diffusion: Diffusion) -> tuple[Tensor, Tensor]:
    """What x_t (N, 2) at t (N,) tells of x_0: its mean and the variance of each coordinate, (N, 2) each.

    Of a normal distribution noise leaves a normal one. The nine clusters are mixed as probable as `log_density` says.
    """
    signal, sigma = (scale[:, :, None] for scale in diffusion.scales(t, x_t))               # (N, 1, 1)
    variance = (signal * WIDTHS) ** 2 + sigma**2                                            # (N, 3, 3)
    away = x_t[:, None, None] - signal[..., None] * CENTRES                                 # (N, 3, 3, 2)
    means = (CENTRES + (signal * WIDTHS**2 / variance)[..., None] * away).flatten(1, 2)     # (N, 9, 2)
    left = (WIDTHS**2 * sigma**2 / variance).flatten(1)[..., None]                          # (N, 9, 1)
    share = log_density(x_t, t, diffusion).flatten(1).softmax(dim=1)[..., None]             # (N, 9, 1)
    mean = (share * means).sum(dim=1)
    return mean, (share * (left + (means - mean[:, None]) ** 2)).sum(dim=1)


# -- measures ------------------------------------------------------------------------------------------------


def apart(a: Tensor, b: Tensor) -> float:
    """How far two clouds are apart: the mean distance from a point of either to the nearest of the other."""
    distance = torch.cdist(a, b)
    return (distance.amin(dim=0).mean() + distance.amin(dim=1).mean()).item() / 2


def nearest(x: Tensor) -> tuple[Tensor, Tensor]:
    """The distance of each point (N, 2) to its nearest cluster, in widths of it, and which of the nine that is."""
    return tuple(((x[:, None] - CENTRES.flatten(0, 1)).norm(dim=2) / WIDTHS.flatten()).min(dim=1))


def in_a_cluster(x: Tensor) -> float:
    """The share of points within three widths of a cluster."""
    return (nearest(x)[0] < 3).float().mean().item()


def fidelity(x: Tensor, y: int, diffusion: Diffusion) -> float:
    """The share of points (N, 2) at whose place the caption y is the most probable one."""
    captions = log_density(x, torch.full((len(x),), -1), diffusion).logsumexp(dim=2)        # (N, 3)
    return (captions.argmax(dim=1) == y).float().mean().item()
