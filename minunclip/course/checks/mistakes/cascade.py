"""Mistakes in the exercises on the whole cascade."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch.nn.functional as F
from numpy import ndarray
from torch import Tensor


def usual(z: Tensor) -> Tensor:
    return z.square().sum(dim=1).mean().sqrt()                              # the root of the mean squared length


SCALED = {
    "each z_t keeps its own length": lambda z_t, z_i: F.normalize(z_t, dim=1) * z_t.norm(dim=1, keepdim=True),
    "the mean of the lengths; the root of their mean square is asked for": lambda z_t, z_i:
        F.normalize(z_t, dim=1) * z_i.norm(dim=1).mean(),
    "z_t is not normalised first": lambda z_t, z_i: z_t * usual(z_i),
    "the whole batch is divided by one length; each row has its own, dim=1": lambda z_t, z_i:
        z_t / z_t.norm() * usual(z_i),
    "the rows have length 1; give them the length of z_i": lambda z_t, z_i: F.normalize(z_t, dim=1),
    "the root is missing: this is the mean squared length": lambda z_t, z_i: F.normalize(z_t, dim=1) * usual(z_i) ** 2,
    "the usual length of z_t; it should be that of z_i": lambda z_t, z_i: F.normalize(z_t, dim=1) * usual(z_t),
    "the root mean square of the numbers; it should be of the lengths": lambda z_t, z_i:
        F.normalize(z_t, dim=1) * z_i.square().mean().sqrt(),
    "the squares of all embeddings are added up; take their mean": lambda z_t, z_i:
        F.normalize(z_t, dim=1) * z_i.square().sum().sqrt(),
    "normalised over the batch, dim=0; each embedding is a row, dim=1": lambda z_t, z_i:
        F.normalize(z_t, dim=0) * usual(z_i),
    "the length of the mean embedding; it should be the usual length of one": lambda z_t, z_i:
        F.normalize(z_t, dim=1) * z_i.mean(dim=0).norm(),
}  # fmt: skip


def means(values: ndarray, draws: list[ndarray]) -> list[float]:
    return [values[rows].mean() for rows in draws]


def ends(numbers, low: float = 0.025, high: float = 0.975) -> tuple[float, float]:
    return float(np.quantile(numbers, low)), float(np.quantile(numbers, high))


INTERVAL = {
    "5% lie below and 5% above: that leaves 90%": lambda values, draws: ends(means(values, draws), 0.05, 0.95),
    "this is 1.96 standard errors to each side; take the quantiles of the redrawn means": lambda values, draws: (
        float(values.mean() - (off := 1.96 * values.std() / len(values) ** 0.5)), float(values.mean() + off)),
    "these are quantiles of the values; they should be of the redrawn means": lambda values, draws: ends(values),
    "the upper end comes first": lambda values, draws: ends(means(values, draws))[::-1],
    "these are the smallest and the largest mean; 95% lie closer": lambda values, draws:
        ends(means(values, draws), 0, 1),
    "medians are redrawn; it should be means": lambda values, draws: ends([np.median(values[rows]) for rows in draws]),
    "all draws are put into one; take the mean of each": lambda values, draws: ends(values[np.concatenate(draws)]),
    "the interval is given as what is added to the mean; return its ends": lambda values, draws:
        tuple(end - float(values.mean()) for end in ends(means(values, draws))),
    "2.5% below and everything above: the upper end is at 97.5%": lambda values, draws:
        ends(means(values, draws), 0.025, 1.0),
    "this is the middle half; 95% are asked for": lambda values, draws: ends(means(values, draws), 0.25, 0.75),
    "the sums of the draws; it should be their means": lambda values, draws:
        ends([values[rows].sum() for rows in draws]),
}  # fmt: skip


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().sum())


FRECHET = {
    "only the means are compared; the spreads are as well": lambda x, y: apart(x.mean(dim=0), y.mean(dim=0)),
    "variances are compared; it should be standard deviations": lambda x, y:
        apart(x.mean(dim=0), y.mean(dim=0)) + apart(x.var(dim=0), y.var(dim=0)),
    "the differences are not squared": lambda x, y: apart(x.mean(dim=0), y.mean(dim=0)) ** 0.5
        + apart(x.std(dim=0), y.std(dim=0)) ** 0.5,
    "one mean and one spread for all axes; each axis has its own, dim=0": lambda x, y:
        apart(x.mean(), y.mean()) + apart(x.std(), y.std()),
    "the mean over the axes; it should be the sum": lambda x, y:
        (apart(x.mean(dim=0), y.mean(dim=0)) + apart(x.std(dim=0), y.std(dim=0))) / x.shape[1],
    "only the spreads are compared; the means are as well": lambda x, y: apart(x.std(dim=0), y.std(dim=0)),
    "the root of the distance; the square is asked for": lambda x, y:
        (apart(x.mean(dim=0), y.mean(dim=0)) + apart(x.std(dim=0), y.std(dim=0))) ** 0.5,
    "the spreads are divided by N, the library's by N - 1": lambda x, y: apart(x.mean(dim=0), y.mean(dim=0))
        + apart(x.std(dim=0, unbiased=False), y.std(dim=0, unbiased=False)),
    "mean and spread of each picture, dim=1; they should be of each axis, dim=0": lambda x, y:
        apart(x.mean(dim=1), y.mean(dim=1)) + apart(x.std(dim=1), y.std(dim=1)),
    "the spreads are taken off; both parts are added": lambda x, y:
        apart(x.mean(dim=0), y.mean(dim=0)) - apart(x.std(dim=0), y.std(dim=0)),
}  # fmt: skip


def first(level: float, fidelity: list[float]) -> int:
    return next(i for i, value in enumerate(fidelity) if value >= level)


def between(i: int, share: float, diversity: list[float]) -> float:
    return (1 - share) * diversity[i - 1] + share * diversity[i] if i else diversity[0]


def along(level: float, fidelity: list[float]) -> tuple[int, float]:
    i = first(level, fidelity)
    return i, (level - fidelity[i - 1]) / (fidelity[i] - fidelity[i - 1]) if i else 0.0


def crossings(level: float, fidelity: list[float]) -> list[int]:
    return [i for i, (a, b) in enumerate(pairwise(fidelity), 1) if min(a, b) <= level <= max(a, b)]


DIVERSITY_AT = {
    "this is the next point's diversity; go only as far as the level": lambda level, fidelity, diversity:
        diversity[first(level, fidelity)],
    "the points are sorted by fidelity; a curve goes on from point to point, also where it falls":
        lambda level, fidelity, diversity: float(np.interp(level, *map(list, zip(*sorted(
            zip(fidelity, diversity, strict=True)), strict=True)))),
    "np.interp wants fidelity to rise; where it falls its answer is none": lambda level, fidelity, diversity:
        float(np.interp(level, fidelity, diversity)),
    "the shares are exchanged: near the next point its diversity counts more": lambda level, fidelity, diversity:
        between((found := along(level, fidelity))[0], 1 - found[1], diversity),
    "this is the point before; go on to the level": lambda level, fidelity, diversity:
        diversity[max(first(level, fidelity) - 1, 0)],
    "this is halfway between the two points; go as far as the level": lambda level, fidelity, diversity:
        between(first(level, fidelity), 0.5, diversity),
    "where the first point is high enough already, its diversity is the answer": lambda level, fidelity, diversity:
        (i := first(level, fidelity)) and between(*along(level, fidelity), diversity) or diversity[i - 1],
    "this is the nearest point; go straight between the two neighbours": lambda level, fidelity, diversity:
        diversity[int(np.argmin(np.abs(np.array(fidelity) - level)))],
    "this is where the curve passes the level last; it should be where it first comes up to it":
        lambda level, fidelity, diversity: diversity[0] if not crossings(level, fidelity) else between(
            i := crossings(level, fidelity)[-1],
            (level - fidelity[i - 1]) / (fidelity[i] - fidelity[i - 1]), diversity),
    "this is the fidelity": lambda level, fidelity, diversity: fidelity[first(level, fidelity)],
}  # fmt: skip

MISTAKES = {
    "scaled_like": SCALED, "bootstrap_interval": INTERVAL, "frechet_diagonal": FRECHET, "diversity_at": DIVERSITY_AT,
}  # fmt: skip
