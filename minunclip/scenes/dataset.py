"""Endless captioned scenes. Item i is a pure function of (split, seed, i): no file, nothing to download."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .captions import describe
from .facts import BACKGROUNDS, COLOURS, KINDS, SIZES, STYLES, Scene, Statement, draw_scene, pick
from .render import render

SPLITS = ("train", "test", "held-out")


@dataclass(frozen=True)
class Item:
    """One captioned picture. `statement` is what the caption says, `scene` what the picture shows."""

    scene: Scene
    caption: str
    statement: Statement

    def image(self, side: int = 32) -> Tensor:
        """(3, side, side) float32 in -1 to 1, as the models take it."""
        return to_tensor(render(self.scene, side))


def to_tensor(picture: np.ndarray) -> Tensor:
    """(side, side, 3) in 0 to 1 -> (3, side, side) in -1 to 1."""
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous() * 2 - 1


def for_testing(caption: str) -> bool:
    """One caption in ten is kept for testing, by its letters alone, so that training never meets it."""
    return zlib.crc32(caption.encode()) % 10 == 0


class Scenes(Dataset):
    """`Scenes("train")[i]` is an Item.

    split     "train"; "test": captions that training never sees; "held-out": combinations never drawn for
              training, such as a purple star
    seed      another seed, other scenes
    siblings  items come in families of this size, whose scenes differ in one or two facts only:
              hard negatives for a contrastive loss
    """

    def __init__(self, split: str = "train", length: int = 1_000_000, seed: int = 0, siblings: int = 1):
        if split not in SPLITS:
            raise ValueError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
        self.split, self.length, self.seed, self.siblings = split, length, seed, siblings

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Item:
        if not 0 <= i < self.length:
            raise IndexError(i)
        family = np.random.default_rng([self.seed, SPLITS.index(self.split), i // self.siblings])
        scene = draw_scene(family, held_out=self.split == "held-out")
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), i, 1])
        if i % self.siblings:
            scene = change(scene, rng)
        return self._captioned(scene, rng)

    def _captioned(self, scene: Scene, rng: np.random.Generator) -> Item:
        while True:
            caption, statement = describe(scene, rng)
            if self.split == "held-out" or for_testing(caption) == (self.split == "test"):
                return Item(scene, caption, statement)


def change(scene: Scene, rng: np.random.Generator) -> Scene:
    """A sibling: the same scene with one or two facts changed, and everything else a little moved."""
    while True:
        new = replace(scene, seed=int(rng.integers(2**31)))
        for _ in range(rng.integers(1, 3)):
            new = _change_one(new, rng)
        if new.held_out == scene.held_out:
            return new


def _change_one(scene: Scene, rng: np.random.Generator) -> Scene:
    what = rng.choice(("background", "style", "kind", "kind", "colour", "size", "order", "order", "order"))
    if what == "background":
        return replace(scene, background=pick(rng, BACKGROUNDS))
    if what == "style":
        return replace(scene, style=pick(rng, STYLES))
    things = list(scene.things)
    if what == "order" and len(things) > 1:
        return _reorder(scene, rng)
    n = rng.integers(len(things))
    options = {"kind": KINDS, "colour": COLOURS, "size": SIZES}.get(what, KINDS)
    things[n] = replace(things[n], **{what if what != "order" else "kind": pick(rng, options)})
    return replace(scene, things=tuple(things))


def _reorder(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same things, but not where they were: what a picture shows where is the hardest thing to learn."""
    layouts = {2: ("row", "column"), 3: ("one above two", "two above one")}[len(scene.things)]
    while True:
        order = rng.permutation(len(scene.things))
        layout = pick(rng, layouts)
        if layout != scene.layout or list(order) != sorted(order):
            return replace(scene, things=tuple(scene.things[n] for n in order), layout=layout)
