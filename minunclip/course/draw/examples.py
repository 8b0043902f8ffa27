"""What several drawings show: scenes of the toy world, and noise on them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy import ndarray

from ...diffusion import Diffusion
from ...scenes import Scene, Thing, render

PAIR = Scene((Thing("heart", "red", "big"), Thing("fish", "blue", "small")), "column", "meadow", "flat", seed=4)
CAPTION = "a big red heart above\na small blue fish"
ONES = [Scene((Thing(kind, colour, "big"),), "alone", background, "flat", seed=seed)
        for seed, (kind, colour, background) in enumerate((("star", "yellow", "night"), ("fish", "orange", "sky"),
                                                           ("moon", "purple", "paper"), ("flower", "red", "meadow")))]


@cache
def scene(index: int = -1, side: int = 32) -> ndarray:
    """A scene of the toy world, (side, side, 3) in 0 to 1: the pair, or one of the single things."""
    return np.float64(render(PAIR if index < 0 else ONES[index], side))


def noised(pixels: ndarray, t: int, seed: int = 0) -> ndarray:
    """A picture at a timestep of the cosine schedule, -1 for none, as one would show it: cut off at 0 and 1."""
    alpha_bar = round(float(Diffusion().alphas_bar[t]), 4) if t >= 0 else 1.0
    eps = np.random.default_rng(seed).standard_normal(pixels.shape)
    x_t = alpha_bar**0.5 * (2 * pixels - 1) + (1 - alpha_bar) ** 0.5 * eps
    shown = (x_t.clip(-1, 1) + 1) / 2
    return (shown * 5).round() / 5 if t >= 0 else shown                     # few colours make a small file


def coarse(pixels: ndarray, side: int) -> ndarray:
    """A picture with so many pixels a side, each the mean of those it stands for."""
    n = len(pixels) // side
    return pixels.reshape(side, n, side, n, 3).mean(axis=(1, 3))
