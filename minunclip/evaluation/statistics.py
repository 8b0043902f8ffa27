"""Numbers with their intervals: proportions, and whatever is computed from one value or more for each caption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Share:
    """A proportion with its 95% interval (Wilson 1927)."""

    true: int
    total: int

    @property
    def value(self) -> float:
        """The proportion, 0 to 1; NaN of nothing."""
        return self.true / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Its ends, 0 to 1; NaNs of nothing."""
        if not self.total:
            return (float("nan"),) * 2
        n, p, z = self.total, self.value, 1.96
        centre, spread = p + z**2 / (2 * n), z * ((p * (1 - p) + z**2 / (4 * n)) / n) ** 0.5
        return (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} ({low:.3f} to {high:.3f}, n={self.total})"


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval. It prints like a Share."""

    value: float
    interval: tuple[float, float]
    total: int                              # of how many captions

    __str__ = Share.__str__

    @classmethod
    def of(cls, value: float, redrawn: list[float], total: int, unbiased: bool = False) -> Estimate:
        """The value, and the interval in which 95% of its `redrawn` values lie. NaNs among them are left out.

        unbiased: both are mirrored at the value. What drawing anew adds to it is then subtracted instead.
        """
        known = np.array(redrawn, dtype=float)
        known = known[~np.isnan(known)]
        low, high = map(float, np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan))
        if not unbiased:
            return cls(float(value), (low, high), total)
        return cls(float(2 * value - known.mean()), (2 * value - high, 2 * value - low), total)


def resamples(n: int, seed: int = 0, draws: int = 1000) -> list[np.ndarray]:
    """`draws` times n of the numbers 0 .. n - 1, with repeats: int64 (n,). Raises ValueError for n < 2."""
    if n < 2:
        raise ValueError(f"bootstrap: an interval needs two or more captions, and there are {n}")
    rng = np.random.default_rng(seed)
    return [rng.integers(n, size=n) for _ in range(draws)]


def bootstrap(
    statistic: Callable[[np.ndarray], float], n: int, seed: int = 0, draws: int = 1000, *, unbiased: bool = False
) -> Estimate:
    """A statistic of n captions, with the interval in which it falls when the captions are drawn anew (Efron 1979).

    statistic  takes the numbers of some captions, int64 (n,), and returns a number. Captions are drawn, not pictures:
               a second picture of a caption tells less than one of another caption. A statistic that compares two
               models sees the same captions of both.
    unbiased   for distances, which are larger the fewer pictures there are. The resamples are to the captions what
               these are to all captions, so they show by how much (Davison & Hinkley 1997, sections 2.1 and 5.2), and
               it is subtracted. The estimate may come out a little below 0

    Raises ValueError for fewer than two captions.
    """
    redrawn = [statistic(rows) for rows in resamples(n, seed, draws)]
    return Estimate.of(statistic(np.arange(n)), redrawn, n, unbiased)


def average(values: np.ndarray, seed: int = 0) -> Estimate:
    """The mean of one value per caption (C,), with its interval. Raises ValueError for fewer than two."""
    return bootstrap(lambda rows: values[rows].mean(), len(values), seed)
