"""Captioned pictures as a data set: from whatever layout, any item at any time.

    pictures = open_pictures("my/holidays")                 # those to train on
    pictures[0].key, pictures[0].captions, pictures[0].picture()
    endless = pictures.shuffled(seed=0)                     # endless[i] for any i, each picture once a pass
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..common import DATA, PACKAGE, for_decoder, read_picture
from .coco import annotations, read_coco
from .entries import Entry, Faults, count, fingerprint
from .folder import read_folder
from .tars import read_tars, tars_of

SPLITS = {"train": ("train",), "val": ("val", "validation", "valid")}   # and what their folders may be called
SHIPPED = ("emoji",)                                                    # sets that come with this library


@dataclass(frozen=True)
class Item:
    """A captioned picture. Its files are read when the picture is asked for."""

    entry: Entry
    caption: str                            # one of its captions
    seed: int                               # a number of its own, for random choices about it

    @property
    def key(self) -> str:
        return self.entry.key

    @property
    def captions(self) -> tuple[str, ...]:
        return self.entry.captions

    def picture(self) -> Image.Image:
        """RGB, upright, transparent parts white. Raises ValueError, with its key, if it cannot be read."""
        file = io.BytesIO(self.entry.place.read())
        file.name = f"the picture {self.key} of {self.entry.place.path}"
        return read_picture(file)

    def image(self, side: int, crop: tuple[int, int, int] | None = None) -> Tensor:
        """Its middle, (3, side, side) in -1 to 1; with crop (left, top, size), in pixels, only that square."""
        image = for_decoder(self.picture(), side)[0]
        if crop is None:
            return image
        left, top, size = crop
        return image[:, top : top + size, left : left + size].contiguous()


class Pictures(Dataset):
    """The pictures of one split, by their keys. Item i has one of its captions, drawn by (seed, i)."""

    def __init__(self, entries: list[Entry], seed: int = 0):
        self.entries, self.seed = entries, seed

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, i: int) -> Item:
        return item(self.entries[range(len(self))[i]], self.seed, i)

    @cached_property
    def fingerprint(self) -> str:
        """A sum over keys, captions and sizes: it changes when the set does."""
        return fingerprint(self.entries)

    def shuffled(self, seed: int = 0) -> Shuffled:
        """The same pictures without end, each once a pass, in an order of its own for each pass."""
        return Shuffled(self.entries, seed)


class Shuffled(Dataset):
    """Item i of an endless order: a pure function of (seed, i), so that a training goes on at any step."""

    def __init__(self, entries: list[Entry], seed: int = 0):
        self.entries, self.seed = entries, seed

    def __getitem__(self, i: int) -> Item:
        number, place = divmod(i, len(self.entries))
        return item(self.entries[order(len(self.entries), self.seed + 1_000_003 * number)[place]], self.seed, i)


@lru_cache(maxsize=4)
def order(count: int, seed: int) -> Tensor:
    """0 to count - 1 in a random order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def item(entry: Entry, seed: int, i: int) -> Item:
    """Item i of a data set, its caption drawn."""
    rng = torch.Generator().manual_seed(1_000_003 * seed + i)
    number, own = torch.randint(2**31, (2,), generator=rng).tolist()
    return Item(entry, entry.captions[number % len(entry.captions)], own)


# -- from whatever layout ------------------------------------------------------------------------------------


def open_pictures(source: str | Path, split: str = "train", seed: int = 0) -> Pictures:
    """The captioned pictures of a source: "emoji", a folder, COCO's folder, a tar or a folder of tars.

    split   "train" or "val". Where a source has a folder for each, that folder; else one picture in ten, chosen by its
            key, is for "val"
    seed    of the captions that are drawn for pictures with more than one

    Raises ValueError, in a line with the first file of each fault and how many there are, for a source that is not as
    it should be: before anything is trained.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}: choose {' or '.join(SPLITS)}")
    entries = entries_of(place_of(source), split)
    if not entries:
        raise ValueError(f"{source}: no picture is left for {split!r}: add some, or make folders train and val")
    return Pictures(entries, seed)


def open_splits(source: str | Path, seed: int = 0) -> dict[str, Pictures]:
    """All the splits of a source that have pictures, by their names. Raises ValueError as `open_pictures` does."""
    place = place_of(source)
    coco = annotations(place, "")                                       # only there a split may have no file at all
    found = {split: entries_of(place, split) for split in SPLITS if not coco or annotations(place, split)}
    return {split: Pictures(entries, seed) for split, entries in found.items() if entries}


def entries_of(place: Path, split: str) -> list[Entry]:
    """The entries of a split, none if it is empty. Raises ValueError for a source that is not as it should be."""
    entries, faults = read(place, split)
    faults.check()
    return entries if annotations(place, split) else of_split(entries, split, place)


def read(place: Path, split: str = "train") -> tuple[list[Entry], Faults]:
    """The entries of a source, whatever its layout, and what is wrong with it. Only COCO's has a file for a split."""
    faults = Faults(place)
    if file := annotations(place, split):
        return read_coco(file, faults), faults
    if annotations(place, ""):                                           # of any split
        faults.add("COCO's captions of this split are missing: fetch them", f"annotations/captions_{split}2017.json")
        return [], faults
    return (read_tars if tars_of(place) else read_folder)(place, faults), faults


def place_of(source: str | Path) -> Path:
    """The path of a source. Raises ValueError if nothing is there."""
    inside = PACKAGE / "pictures_data"                                  # of an installed package
    path = Path(source).expanduser()
    if str(source) in SHIPPED:
        path = (inside if inside.is_dir() else DATA / "pictures") / f"{source}.tar"
    if not path.exists():
        raise ValueError(f"there are no pictures {source}: give a folder, a tar, or one of {', '.join(SHIPPED)}")
    return path


def split_of(key: str) -> str | None:
    """The split whose folder a key begins with, if it does."""
    first = key.split("/")[0]
    return next((split for split, names in SPLITS.items() if first in names), None)


def of_split(entries: list[Entry], split: str, source: Path) -> list[Entry]:
    """The entries of a split: those in its folder, or by their keys if no entry is in a folder of a split."""
    parts = [split_of(entry.key) for entry in entries]
    if not any(parts):
        return [entry for entry in entries if entry.for_validation == (split == "val")]
    if stray := [entry.key for entry, part in zip(entries, parts, strict=True) if part is None]:
        raise ValueError(f"{source} has folders for its splits, and pictures beside them: move {count(stray)}")
    return [entry for entry, part in zip(entries, parts, strict=True) if part == split]
