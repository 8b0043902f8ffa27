"""What the parts share: how much to draw, pictures of many captions, and the measures of several pictures of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..diversity import effective_number, entropies, open_style
from ..evaluate import Bench
from ..manipulations import decode
from ..metrics import Estimate, bootstrap
from ..scenes import Item, Scene


@dataclass(frozen=True)
class Size:
    """How much is drawn."""

    singles: int                            # captions of which one picture each is drawn, for fidelity and distances
    groups: int                             # captions of which several pictures are drawn, for diversity
    samples: int                            # how many of each
    guidances: tuple[float, ...]            # of the decoder
    few_guidances: tuple[float, ...]        # where the best of several is enough
    prior_guidances: tuple[float, ...]
    draws: int                              # bootstrap draws of a distance


FULL = Size(2000, 200, 32, (1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4), (1, 1.5, 2, 3, 4, 6), 200)
QUICK = Size(60, 12, 8, (1, 2, 4, 8), (2,), (1, 2, 4), 50)


@dataclass(frozen=True)
class Variety:
    """Of each caption's pictures: the share that is true, and the entropies of open facts and open style; each (C,)."""

    fidelity: np.ndarray
    facts: np.ndarray
    style: np.ndarray

    def row(self, seed: int) -> dict[str, Estimate]:
        n = len(self.fidelity)
        return {
            "fidelity": bootstrap(lambda rows: self.fidelity[rows].mean(), n, seed),
            "diversity": bootstrap(lambda rows: effective_number(self.facts[rows]), n, seed),
            "style variability": bootstrap(lambda rows: effective_number(self.style[rows]), n, seed),
        }


@dataclass(frozen=True)
class Study:
    """The models, unseen captions, and how much to draw of them. Picture i of every set has the seed `seed + i`."""

    bench: Bench
    size: Size

    @property
    def seed(self) -> int:
        return self.bench.seed

    @property
    def singles(self) -> list[Item]:
        """The items of which one picture each is drawn."""
        return self.bench.items[: self.size.singles]

    @property
    def groups(self) -> list[Item]:
        """The items of which `size.samples` pictures each are drawn."""
        return self.bench.items[: self.size.groups]

    @property
    def group_captions(self) -> list[str]:
        """Their captions, each as often as it is drawn: a, a, b, b, ..."""
        return [item.caption for item in self.groups for _ in range(self.size.samples)]

    def batches(self, n: int) -> list[slice]:
        step = 500 if self.bench.cascade.device.type == "cuda" else 50
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def embed(self, captions: list[str], **settings) -> Tensor:
        """The prior's z_i (B, D) for each of B captions."""
        cascade, found = self.bench.cascade, []
        changed = replace(cascade.settings, **settings)
        for rows in self.batches(len(captions)):
            stream = cascade.stream(captions[rows], self.seed + rows.start, settings=changed)
            found.append(next(progress.drawing.z_i for progress in stream if progress.drawing.z_i is not None))
        return torch.cat(found)

    def pictures(self, captions: list[str], z_i: Tensor | None, name: str, **settings) -> Iterator[Tensor]:
        """Batches of pictures, one for each caption, decoded from it and z_i (B, D), or from the caption alone."""
        changed = replace(self.bench.cascade.settings, **settings)
        for rows in tqdm(self.batches(len(captions)), desc=name, leave=False):
            given = None if z_i is None else z_i[rows]
            yield decode(self.bench.cascade, given, captions[rows], self.seed + rows.start, changed)

    def read(self, pictures: Iterator[Tensor]) -> list[Scene]:
        return [scene for images in pictures for scene in self.bench.read(images)]

    def variety(self, z_i: Tensor | None, name: str, **settings) -> Variety:
        """Draw the groups, from z_i (groups x samples, D) or from their captions alone, and measure them."""
        n, said = self.size.samples, [item.statement for item in self.groups]
        seen = self.read(self.pictures(self.group_captions, z_i, name, **settings))
        drawn = [seen[i : i + n] for i in range(0, len(seen), n)]
        true = [[statement.holds_in(scene) for scene in scenes] for statement, scenes in zip(said, drawn, strict=True)]
        return Variety(np.mean(true, axis=1), entropies(said, drawn), entropies(said, drawn, open_style))


def all_true(items: list[Item], seen: list[Scene]) -> np.ndarray:
    """Whether everything that its caption states is true of each picture: bool (B,)."""
    return np.array([item.statement.holds_in(scene) for item, scene in zip(items, seen, strict=True)])
