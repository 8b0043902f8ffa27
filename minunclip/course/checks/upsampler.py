"""The exercises of notebook 08: bicubic enlargement, decibels, crops and blur."""

from __future__ import annotations

import torch
from torch import Tensor

from ...evaluation import scores as metrics
from .core import exercise, normal


def keys(distance: Tensor) -> Tensor:
    """The cubic kernel of Keys 1981 with a = -1/2, at distances in pixels."""
    x = distance.abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


@exercise(lambda: [(0.0,), (0.5,), (0.125,), (0.9,)], rules={
    "there are four weights": lambda weights, f: weights.shape == (4,),
    "they sum to 1": lambda weights, f: abs(float(weights.sum()) - 1) < 1e-4,
    "on an old pixel, f = 0, that pixel is all that counts": lambda weights, f: f > 0 or float(weights[1]) == 1,
    "the pixel that is nearest counts most": lambda weights, f: int(weights.argmax()) == (2 if f > 0.5 else 1),
})  # fmt: skip
def cubic_weights(f: float) -> Tensor:
    """(4,): what the old pixels at -1, 0, 1 and 2 count for a new one at f, 0 to 1."""
    return keys(f - torch.arange(-1.0, 3.0))


def _pictures() -> list[tuple]:
    grey = torch.zeros(2, 3, 4, 4)
    return [(grey, torch.stack([grey[0] + 0.2, grey[0] - 2])), (normal(3, 3, 8, 4, seed=1), normal(3, 3, 8, 4, seed=2)),
            (0.01 * normal(2, 1, 3, 5, seed=3), torch.zeros(2, 1, 3, 5))]  # fmt: skip


@exercise(_pictures, rules={
    "there is one number for each picture": lambda answer, images, truth: answer.shape == images.shape[:1],
    "black where white should be is 0 decibels": lambda answer, images, truth: len(images) != 2
        or float((images - truth).abs().max()) != 2 or abs(float(answer[1])) < 1e-4,
})  # fmt: skip
def decibels(images: Tensor, truth: Tensor) -> Tensor:
    """The PSNR of pictures (B, C, H, W) in -1 to 1, (B,): 10 log10 of 2^2 over the mean squared error."""
    return metrics.psnr(images, truth)


def _both_sizes() -> list[tuple]:
    low = torch.arange(2 * 3 * 6 * 8, dtype=torch.float32).view(2, 3, 6, 8)
    high = low.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3) + 0.01 * normal(2, 3, 24, 32)
    return [(high, low, 1, 3, 2), (high, low, 0, 0, 6), (high[..., ::2, ::2], low, 3, 5, 3)]


@exercise(_both_sizes, rules={
    "both crops are squares, and show the same place": lambda answer, high, low, top, left, side:
        answer[1].shape[-2:] == (side, side) and answer[0].shape[-2:] == (side * high.shape[-1] // low.shape[-1],) * 2,
    "rows come before columns": lambda answer, high, low, top, left, side: top == left,
})  # fmt: skip
def same_crop(high: Tensor, low: Tensor, top: int, left: int, side: int) -> tuple[Tensor, Tensor]:
    """Of pictures at two sizes, (B, C, f h, f w) and (B, C, h, w), the same square: `side` small pixels wide."""
    f = high.shape[-1] // low.shape[-1]
    large = high[:, :, f * top : f * (top + side), f * left : f * (left + side)]
    return large, low[:, :, top : top + side, left : left + side]


@exercise(lambda: [(0.6, 1), (1.0, 3), (2.0, 2), (0.05, 2)], rules={
    "there are 2 radius + 1 weights": lambda weights, sigma, radius: weights.shape == (2 * radius + 1,),
    "they sum to 1, or the picture gets darker": lambda weights, sigma, radius: abs(float(weights.sum()) - 1) < 1e-4,
    "left and right count the same": lambda weights, sigma, radius: torch.allclose(weights, weights.flip(0)),
})  # fmt: skip
def gaussian_kernel(sigma: float, radius: int) -> Tensor:
    """(2 radius + 1,): weights of a Gaussian of so many pixels, cut off at the radius; they sum to 1."""
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()
