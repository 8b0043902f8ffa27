"""Where the pixels of a picture are, and how to paint on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

WHITE = np.ones(3, np.float32)


@dataclass(frozen=True)
class Canvas:
    """Where the pixels of a picture are; the whole picture reaches from 0 to 1 along both axes."""

    x: ndarray                              # of each pixel's centre (side, side), to the right
    y: ndarray                              # the same, down
    pixel: float                            # the width of a pixel

    @classmethod
    def of(cls, side: int, crop: tuple[int, int, int] | None = None) -> Canvas:
        """The pixels of a picture of this side, or of the square (left, top, size) of it."""
        left, top, size = crop or (0, 0, side)
        x = (np.arange(left, left + size, dtype=np.float32) + 0.5) / side
        y = (np.arange(top, top + size, dtype=np.float32) + 0.5) / side
        return cls(*np.meshgrid(x, y), 1 / side)

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """The rows and columns of the pixels whose centres are within `reach` of (x, y) in each direction."""
        rows = np.searchsorted(self.y[:, 0], (y - reach, y + reach))
        columns = np.searchsorted(self.x[0], (x - reach, x + reach))
        return slice(*rows), slice(*columns)

    def __getitem__(self, window: tuple[slice, slice]) -> Canvas:
        """The part of it in some rows and columns."""
        return Canvas(self.x[window], self.y[window], self.pixel)

    def inside(self, distance: ndarray, soft: float = 0.0) -> ndarray:
        """The share of each pixel that lies inside: distances below zero, the edge blurred by `soft`."""
        return np.clip(0.5 - distance / (self.pixel + soft), 0, 1)[..., None]

    def wave(self, along: ndarray, period: float, duty: float = 0.5) -> ndarray:
        """Parallel bars: the share of each pixel covered by bars `duty * period` wide."""
        offset = np.abs((along / period) % 1 - 0.5) * period
        return self.inside(offset - duty * period / 2)


def over(picture: ndarray, alpha: ndarray, colour) -> ndarray:
    """Paint a colour over a picture where alpha is 1, not at all where it is 0."""
    return picture + alpha * (np.asarray(colour, np.float32) - picture)


def mix(a, b, share: float) -> ndarray:
    """`share` of colour b in colour a."""
    return np.asarray(a, np.float32) * (1 - share) + np.asarray(b, np.float32) * share


def dots(u: ndarray, v: ndarray, period: float, radius: float) -> ndarray:
    """Distance from a grid of dots."""
    return np.hypot((u % period) - period / 2, (v % period) - period / 2) - radius


def scribble(u: ndarray, v: ndarray, period: float) -> tuple[ndarray, float, ndarray]:
    """A hatching by hand, as `Canvas.wave` takes it: the position across its strokes, their period, their width."""
    along = 0.5 * u - 0.866 * v
    wobble = 0.16 * period * np.sin(1.7 * along / period)
    duty = 0.45 + 0.18 * np.sin(1.1 * along / period + 0.9 * u / period)
    return 0.866 * u + 0.5 * v + wobble, period, duty
