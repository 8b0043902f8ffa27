"""A doctor for a set of pictures: everything that is wrong with it, and a sheet of what it shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..common import read_picture
from .dataset import place_of, read
from .entries import Entry, Faults

TINY = 64                                   # pixels: a picture whose shorter side has fewer says little
SHOWN = 40                                  # pictures on the sheet


def inspect(source: str | Path) -> tuple[Faults, list[tuple[Image.Image, str]]]:
    """What is wrong with a source, every picture looked at, and some of them with a caption for a contact sheet.

    Beside what `open_pictures` refuses it finds pictures that are damaged, tiny, or the same as another one.
    """
    entries, faults = read(place_of(source))
    every, shown, keys, colours = max(1, len(entries) // SHOWN), [], [], []
    for entry, picture in opened(entries, faults):
        if min(picture.size) < TINY:
            faults.add(f"fewer than {TINY} pixels: take larger ones", entry.key)
        if len(keys) % every == 0 and len(shown) < SHOWN:
            shown.append((picture, entry.captions[0] if entry.captions else "(no caption)"))
        keys.append(entry.key)
        colours.append(torch.from_numpy(np.array(picture.resize((8, 8), Image.Resampling.BOX))).flatten())
    for first, second in alike(torch.stack(colours).float()) if colours else ():
        fault = "looks the same as another one: remove one, or training learns it by heart"
        faults.add(fault, f"{keys[second]} as {keys[first]}")
    return faults, shown


def opened(entries: list[Entry], faults: Faults) -> Iterator[tuple[Entry, Image.Image]]:
    """Every picture that can be read."""
    for entry in entries:
        try:
            yield entry, read_picture(io.BytesIO(entry.place.read()))
        except ValueError:
            if not any(entry.key in names for names in faults.found.values()):  # else its reader said so already
                faults.add("damaged: get it again, or remove it", entry.key)


def alike(colours: Tensor, least: float = 0.98) -> Iterator[tuple[int, int]]:
    """The pairs of pictures whose coarse colours (N, D) correlate at least so much, the first of each with the others.

    Another size, another format or a little noise hardly move these colours.
    """
    centred = F.normalize(colours - colours.mean(dim=1, keepdim=True), dim=1)
    for start in range(0, len(centred), 512):
        similar = centred[start : start + 512] @ centred.T >= least             # (512, N)
        for row, first in enumerate(similar.int().argmax(dim=1).tolist()):
            if similar[row, first] and first < start + row:
                yield first, start + row
