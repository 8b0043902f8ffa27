"""How true the pictures are to their captions, as the judge reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from .clip import CLIP
from .scenes import BACKGROUNDS, COLOURS, KINDS, SIZES, STYLES, Item, Scene, Statement, Thing, full_statement, phrase

RELATIONS = ("above", "below", "left of", "right of")
VALUES = {"kind": KINDS, "colour": COLOURS, "size": SIZES, "relation": RELATIONS,
          "background": BACKGROUNDS, "style": STYLES}  # fmt: skip


@dataclass(frozen=True)
class Share:
    """A proportion with its 95% interval (Wilson 1927)."""

    true: int
    total: int

    @property
    def value(self) -> float:
        return self.true / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
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
    """A number with its 95% interval, from so many captions; it prints like a Share."""

    value: float
    interval: tuple[float, float]
    total: int

    __str__ = Share.__str__

    @classmethod
    def of(cls, value: float, redrawn: list[float], total: int, unbiased: bool = False) -> Estimate:
        """The value, and where 95% of its `redrawn` values lie; those that are no number are left out.

        unbiased: both mirrored at the value, so that what drawing anew adds is taken off instead.
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
    statistic: Callable[[np.ndarray], float], n: int, seed: int = 0, draws: int = 1000, unbiased: bool = False
) -> Estimate:
    """A statistic of n captions, with the interval in which it falls when the captions are drawn anew (Efron 1979).

    statistic  takes the numbers of some captions, int64 (n,), and returns a number. Captions are drawn, not pictures:
               a second picture of a caption tells less than one of another caption. A statistic that compares two
               models sees the same captions of both.
    unbiased   for distances, which few pictures alone make larger: the resamples, drawn from the captions as these are
               from all, tell by how much (Davison & Hinkley 1997, sections 2.1 and 5.2). It may be a little below 0
    """
    redrawn = [statistic(rows) for rows in resamples(n, seed, draws)]
    return Estimate.of(statistic(np.arange(n)), redrawn, n, unbiased)


def average(values: np.ndarray, seed: int = 0) -> Estimate:
    """The mean of one value per caption (C,), with its interval."""
    return bootstrap(lambda rows: values[rows].mean(), len(values), seed)


def true_facts(statement: Statement, scene: Scene) -> dict[str, list[bool]]:
    """Which of the stated facts hold, per fact, under the matching of things that makes most of them true."""
    if len(statement.things) != len(scene.things):
        stated = {fact: [] for fact in VALUES}
        for thing in statement.things:
            for fact in ("kind", "colour", "size"):
                stated[fact] += [False] * (getattr(thing, fact) is not None)
        stated["relation"] = [False] * len(statement.relations)
        return {**stated, **_scene_facts(statement, scene), "count": [False]}
    orders = permutations(range(len(scene.things)))
    tables = [matched(statement, scene, order) for order in orders]
    best = max(tables, key=lambda table: sum(sum(values) for values in table.values()))
    return {**best, **_scene_facts(statement, scene), "count": [True]}


def _scene_facts(statement: Statement, scene: Scene) -> dict[str, list[bool]]:
    stated = {name: getattr(statement, name) for name in ("background", "style")}
    return {name: [getattr(scene, name) == value] if value else [] for name, value in stated.items()}


def matched(statement: Statement, scene: Scene, order: tuple[int, ...]) -> dict[str, list[bool]]:
    """Which facts stated of things hold, per fact, if thing i of the statement is thing order[i] of the scene."""
    table: dict[str, list[bool]] = {"kind": [], "colour": [], "size": [], "relation": []}
    for thing, n in zip(statement.things, order, strict=True):
        for fact in ("kind", "colour", "size"):
            if (value := getattr(thing, fact)) is not None:
                table[fact].append(getattr(scene.things[n], fact) == value)
    table["relation"] = [scene.relation(order[i], order[j]) == word for i, word, j in statement.relations]
    return table


def fidelity(statements: list[Statement], scenes: list[Scene]) -> dict[str, Share]:
    """The share of pictures in which every stated fact is true ("caption"), and of each kind of fact alone."""
    true, total = Counter(), Counter()
    for statement, scene in zip(statements, scenes, strict=True):
        true["caption"] += statement.holds_in(scene)
        total["caption"] += 1
        for fact, values in true_facts(statement, scene).items():
            true[fact] += sum(values)
            total[fact] += len(values)
    return {fact: Share(true[fact], total[fact]) for fact in total if total[fact]}


def same_facts(originals: list[Scene], copies: list[Scene]) -> dict[str, Share]:
    """How many copies show the same facts as their originals: each fact alone, and all together ("scene")."""
    statements = [everything(scene) for scene in originals]
    found = fidelity(statements, copies)
    return {"scene": found.pop("caption"), **found}


def everything(scene: Scene) -> Statement:
    """All facts of a scene as a statement, its things in reading order."""
    pairs = [(i, j) for i in range(len(scene.things)) for j in range(i + 1, len(scene.things))]
    relations = tuple((i, scene.relation(i, j), j) for i, j in pairs)
    return Statement(scene.things, relations, scene.background, scene.style)


def judge_accuracy(truth: list[Scene], read: list[Scene]) -> dict[str, Share]:
    """The judge against the truth, slot by slot: things where the layout is right, the rest always."""
    true, total = Counter(), Counter()
    for scene, seen in zip(truth, read, strict=True):
        for fact in ("layout", "background", "style"):
            true[fact] += getattr(scene, fact) == getattr(seen, fact)
            total[fact] += 1
        for thing, other in zip(scene.things, seen.things, strict=False):
            for fact in ("kind", "colour", "size"):
                true[fact] += getattr(thing, fact) == getattr(other, fact)
                total[fact] += 1
    return {fact: Share(true[fact], total[fact]) for fact in total}


@torch.no_grad()
def zero_shot(clip: CLIP, items: list[Item]) -> dict[str, Share]:
    """CLIP's choice of each fact's true value among all its values, everything else in the caption being true.

    Per fact; with several things, the fact of the one that is named first.
    """
    z_i = clip.encode_image(torch.stack([item.image(clip.config.image_size) for item in items]).to(clip.device))
    shares = {}
    for fact, values in VALUES.items():
        rows = [i for i, item in enumerate(items) if fact != "relation" or len(item.scene.things) == 2]
        if rows:
            right = [_chooses(clip, z_i[i], items[i], i, fact, values) for i in rows]
            shares[fact] = Share(sum(right), len(right))
    return shares


def _chooses(clip: CLIP, z_i: Tensor, item: Item, seed: int, fact: str, values: tuple[str, ...]) -> bool:
    statement = full_statement(item.scene, np.random.default_rng(seed))
    options = [_with(statement, fact, value) for value in values]
    captions = [phrase(option, np.random.default_rng(seed)) for option in options]
    best = clip.similarity(z_i[None], clip.encode_text(captions).embed).argmax()
    return options[int(best)] == statement


def _with(statement: Statement, fact: str, value: str) -> Statement:
    """The statement with one fact changed: of the scene, of the relation, or of the first thing."""
    if fact in ("background", "style"):
        return replace(statement, **{fact: value})
    if fact == "relation":
        (i, _, j), *_ = statement.relations
        return replace(statement, relations=((i, value, j),))
    first: Thing = replace(statement.things[0], **{fact: value})
    return replace(statement, things=(first, *statement.things[1:]))


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (B, 3, H, W) in -1 to 1, in decibels: (B,)."""
    return 10 * torch.log10(4 / (images - truth).square().flatten(1).mean(dim=1))
