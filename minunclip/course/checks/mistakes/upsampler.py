"""Mistakes in the exercises on the upsamplers."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cubic(x: Tensor, a: float = -0.5) -> Tensor:
    x = x.abs()
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def near(x: Tensor) -> Tensor:
    return 1.5 * x**3 - 2.5 * x**2 + 1


def far(x: Tensor) -> Tensor:
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2


PLACES = torch.arange(-1.0, 3.0)
CUBIC = {
    "this is the kernel with a = -3/4; here it is -1/2": lambda f: cubic(f - PLACES, -0.75),
    "this is linear: two pixels count; of the cubic kernel four do": lambda f: torch.tensor([0.0, 1 - f, f, 0.0]),
    "the weights are in reverse order: the first belongs to the pixel at -1": lambda f: cubic(f - PLACES).flip(0),
    "the near formula is used for all four; beyond distance 1 the other one holds": lambda f: near((f - PLACES).abs()),
    "the distance has a sign; take its absolute value": lambda f:
        torch.where((x := f - PLACES) <= 1, near(x), far(x)),
    "the far formula is used for all four; up to distance 1 the other one holds": lambda f: far((f - PLACES).abs()),
    "the two formulas are exchanged": lambda f:
        torch.where((x := (f - PLACES).abs()) <= 1, far(x), near(x)),
    "the old pixels stand at -1, 0, 1 and 2; these are the distances to 0, 1, 2 and 3": lambda f:
        cubic(f - torch.arange(4.0)),
    "the old pixels stand at -1, 0, 1 and 2; these are the distances to -2, -1, 0 and 1": lambda f:
        cubic(f - torch.arange(-2.0, 2.0)),
    "all four count the same": lambda f: torch.full((4,), 0.25),
    "these are the distances; put them into the kernel": lambda f: (f - PLACES).abs(),
    "f is added to the places; the distance is f minus a place": lambda f: cubic(f + PLACES),
}  # fmt: skip


def error(images: Tensor, truth: Tensor) -> Tensor:
    return (images - truth).square().flatten(1).mean(dim=1)                 # (B,)


DECIBELS = {
    "the range is taken for 1; from -1 to 1 it is 2, and its square 4": lambda images, truth:
        10 * (1 / error(images, truth)).log10(),
    "this is one number for all pictures; there should be one for each": lambda images, truth:
        10 * (4 / (images - truth).square().mean()).log10(),
    "20 times the logarithm goes with the error itself; with its square it is 10": lambda images, truth:
        20 * (4 / error(images, truth)).log10(),
    "the fraction is upside down: the error stands below": lambda images, truth:
        10 * (error(images, truth) / 4).log10(),
    "this is the natural logarithm; it should be that to base 10": lambda images, truth:
        10 * (4 / error(images, truth)).log(),
    "the range is not squared: 2^2 over the mean squared error": lambda images, truth:
        10 * (2 / error(images, truth)).log10(),
    "the factor 10 is missing": lambda images, truth: (4 / error(images, truth)).log10(),
    "the range is taken for 255": lambda images, truth: 10 * (255**2 / error(images, truth)).log10(),
    "the mean of the absolute error; it should be of the squared error": lambda images, truth:
        10 * (4 / (images - truth).abs().flatten(1).mean(dim=1)).log10(),
    "the squares are added up; it should be their mean": lambda images, truth:
        10 * (4 / (images - truth).square().flatten(1).sum(dim=1)).log10(),
    "this is the mean squared error itself": error,
    "the mean goes over the batch, dim=0; each picture has its own": lambda images, truth:
        10 * (4 / (images - truth).square().mean(dim=0)).log10(),
}  # fmt: skip


def cut(pictures: Tensor, top: int, left: int, side: int) -> Tensor:
    return pictures[:, :, top : top + side, left : left + side]


def factor(high: Tensor, low: Tensor) -> int:
    return high.shape[-1] // low.shape[-1]


SAME_CROP = {
    "both are cut with the same numbers; in the large picture all of them are f times as large":
        lambda high, low, top, left, side: (cut(high, top, left, side), cut(low, top, left, side)),
    "the large crop is large enough, but its corner is not: top and left grow as well": lambda high, low, top, left,
        side: (cut(high, top, left, factor(high, low) * side), cut(low, top, left, side)),
    "rows and columns are exchanged: top goes along axis 2, left along axis 3": lambda high, low, top, left, side: (
        cut(high, (f := factor(high, low)) * left, f * top, f * side), cut(low, left, top, side)),
    "the factor is not always 4: take it from the shapes": lambda high, low, top, left, side:
        (cut(high, 4 * top, 4 * left, 4 * side), cut(low, top, left, side)),
    "the small crop comes first; the large one should": lambda high, low, top, left, side: (
        cut(low, top, left, side), cut(high, (f := factor(high, low)) * top, f * left, f * side)),
    "the corner grows, the side does not: the large crop is f times as wide": lambda high, low, top, left, side: (
        cut(high, (f := factor(high, low)) * top, f * left, side), cut(low, top, left, side)),
    "the crops end at `side`; they end at top + side and left + side": lambda high, low, top, left, side: (
        high[:, :, (f := factor(high, low)) * top : f * side, f * left : f * side], low[:, :, top:side, left:side]),
    "side counts small pixels; here it counts large ones": lambda high, low, top, left, side: (
        cut(high, (f := factor(high, low)) * top, f * left, side), cut(low, top, left, side // f)),
    "one pixel too many: a slice ends before its second number": lambda high, low, top, left, side: (
        cut(high, (f := factor(high, low)) * top, f * left, f * side + 1), cut(low, top, left, side + 1)),
    "these are only the first picture's crops; keep the batch": lambda high, low, top, left, side: (
        cut(high, (f := factor(high, low)) * top, f * left, f * side)[0], cut(low, top, left, side)[0]),
    "the small picture is not cut": lambda high, low, top, left, side:
        (cut(high, (f := factor(high, low)) * top, f * left, f * side), low),
}  # fmt: skip


def offsets(radius: int) -> Tensor:
    return torch.arange(-radius, radius + 1)


def bell(sigma: float, radius: int, power: float = 2) -> Tensor:
    return torch.exp(-(offsets(radius).abs() ** power) / (2 * sigma**2))


def share(weights: Tensor) -> Tensor:
    return weights / weights.sum()


KERNEL = {
    "the weights do not sum to 1: divide by their sum": bell,
    "divided by the integral of the Gaussian; cut off, the weights sum to 1 only if divided by their own sum":
        lambda sigma, radius: bell(sigma, radius) / (sigma * math.sqrt(2 * math.pi)),
    "the 2 is missing: exp(-x^2 / (2 sigma^2))": lambda sigma, radius:
        share(torch.exp(-(offsets(radius) ** 2) / sigma**2)),
    "sigma is not squared": lambda sigma, radius: share(torch.exp(-(offsets(radius) ** 2) / (2 * sigma))),
    "one weight is missing on the right: the places go from -radius to radius, both included": lambda sigma, radius:
        share(torch.exp(-(torch.arange(-radius, radius) ** 2) / (2 * sigma**2))),
    "the places go from 0; the middle one is 0, and left and right count the same": lambda sigma, radius:
        share(torch.exp(-(torch.arange(2 * radius + 1) ** 2) / (2 * sigma**2))),
    "the distance is not squared": lambda sigma, radius: share(bell(sigma, radius, power=1)),
    "the minus is missing: what is far away should count less": lambda sigma, radius:
        share(torch.exp(offsets(radius) ** 2 / (2 * sigma**2))),
    "all count the same: this is a box": lambda sigma, radius: share(torch.ones(2 * radius + 1)),
    "there should be 2 radius + 1 weights; radius is taken for their number": lambda sigma, radius:
        share(torch.exp(-(torch.arange(radius) - radius // 2) ** 2 / (2 * sigma**2))),
    "sigma multiplies; it divides": lambda sigma, radius: share(torch.exp(-(offsets(radius) ** 2) * sigma**2 / 2)),
}  # fmt: skip

MISTAKES = {"cubic_weights": CUBIC, "decibels": DECIBELS, "same_crop": SAME_CROP, "gaussian_kernel": KERNEL}
