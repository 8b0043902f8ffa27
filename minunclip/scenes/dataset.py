"""Endless captioned scenes. Item i is a pure function of (split, seed, i): no file, nothing to download."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .captions import CHANCES, describe
from .facts import COUNTS, FACTS, ROAM, THING_FACTS, Scene, Statement, Thing, draw_scene, pick, with_fact
from .render import render

SPLITS = ("train", "test", "held-out")
# What twins exchange, and how often: all facts of a thing, that is its place, or one of them.
EXCHANGES = ((4, tuple(THING_FACTS)), (2, ("colour",)), (1, ("kind",)), (1, ("size",)))


@dataclass(frozen=True)
class Item:
    """One captioned picture."""

    scene: Scene                            # what the picture shows
    caption: str
    statement: Statement                    # what the caption says

    @property
    def seed(self) -> int:
        """A number of its own, for random choices about it."""
        return self.scene.seed

    def image(self, side: int = 32, crop: tuple[int, int, int] | None = None) -> Tensor:
        """(3, side, side) float32 in -1 to 1, as the models take it; with crop (left, top, size) that square only."""
        return to_tensor(render(self.scene, side, crop))


def to_tensor(picture: np.ndarray) -> Tensor:
    """(side, side, 3) in 0 to 1 -> (3, side, side) in -1 to 1."""
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous() * 2 - 1


def for_testing(caption: str) -> bool:
    """One caption in ten is kept for testing, by its letters alone, so that training never meets it."""
    return zlib.crc32(caption.encode()) % 10 == 0


class Scenes(Dataset):
    """`Scenes("train")[i]` is an Item.

    split     "train"; "test": captions that training never sees; "held-out": combinations never drawn for
              training, such as a purple star. Raises ValueError for any other
    length    how many items there are; no item costs anything before it is asked for
    seed      another seed, other scenes
    siblings  items come in families of this size, whose scenes differ in one or two facts only, and each
              second one only in what belongs to which thing: hard negatives for a contrastive loss
    counts    how often a scene has one, two and three things
    chances   how often a caption says each fact, 0 to 1
    roam      how far a thing may stray from the middle of its part of the picture, as a share of the side
    """

    def __init__(
        self, split: str = "train", length: int = 1_000_000, seed: int = 0, *, siblings: int = 1,
        counts: tuple[float, ...] = COUNTS, chances: dict[str, float] = CHANCES, roam: float = ROAM,
    ):  # fmt: skip
        if split not in SPLITS:
            raise ValueError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
        if len(counts) != len(COUNTS) or min(counts) < 0 or abs(sum(counts) - 1) > 1e-6:
            raise ValueError(f"counts is {counts}: give three shares, of one, two and three things, that add up to 1")
        self.split, self.length, self.seed = split, length, seed
        self.siblings, self.counts, self.chances, self.roam = siblings, counts, chances, roam

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Item:
        if not 0 <= i < self.length:
            raise IndexError(i)
        rng = self._rng(i, 1)
        scene = draw_scene(self._rng(i // self.siblings), self.split == "held-out", self.counts)
        scene = replace(scene, roam=self.roam)
        n = i % self.siblings
        if n >= 2:                                                      # items 2 and 3 share a change
            scene = change(scene, self._rng(i - n % 2, 2))
        if n % 2:
            scene = exchange(scene, rng) if len(scene.things) > 1 else change(scene, rng)
        return self._captioned(scene, rng)

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, SPLITS.index(self.split), *numbers])

    def _captioned(self, scene: Scene, rng: np.random.Generator) -> Item:
        while True:
            caption, statement = describe(scene, rng, self.chances)
            if self.split == "held-out" or for_testing(caption) == (self.split == "test"):
                return Item(scene, caption, statement)


def change(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene with one or two facts changed, and everything else a little moved."""
    while True:
        new = replace(scene, seed=int(rng.integers(2**31)))
        for _ in range(rng.integers(1, 3)):
            new = _change_one(new, rng)
        if new.held_out == scene.held_out:
            return new


def _change_one(scene: Scene, rng: np.random.Generator) -> Scene:
    """A fact drawn anew, most often a kind, then a style; by chance it may stay as it was."""
    fact = rng.choice(("background", "style", "style", "kind", "kind", "kind", "colour", "size"))
    n = int(rng.integers(len(scene.things))) if fact in THING_FACTS else 0
    return with_fact(scene, fact, pick(rng, FACTS[fact]), n)


def exchange(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same two or three things, two of which exchanged their places, or only a colour, a kind or a size.

    Without such twins CLIP never learns what stands where and whose colour is whose: it may sort all other pictures
    by what is in them (Yuksekgonul et al. 2023). Two things that are alike in all stay as they are.
    """
    new = replace(scene, seed=int(rng.integers(2**31)))
    pairs = [(a, b) for b in range(len(scene.things)) for a in range(b)]
    twins = [(share, replace(new, things=swapped(scene.things, a, b, facts)))
             for a, b in pairs for share, facts in EXCHANGES]  # fmt: skip
    true = [(share, twin) for share, twin in twins if twin.things != scene.things and twin.held_out == scene.held_out]
    if not true:
        return new
    shares = np.array([share for share, _ in true])
    return true[rng.choice(len(true), p=shares / shares.sum())][1]


def swapped(things: tuple[Thing, ...], a: int, b: int, facts: tuple[str, ...]) -> tuple[Thing, ...]:
    """Things, two of which have exchanged these facts."""
    changed = list(things)
    for to, of in ((a, b), (b, a)):
        changed[to] = replace(things[to], **{fact: things[of].facts[fact] for fact in facts})
    return tuple(changed)
