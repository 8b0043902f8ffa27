"""Captioned pictures as tensors, whatever the data set, and what CLIP makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch
from torch import Tensor

from ..clip import CLIP
from ..common import to_uint8
from ..text import Text

ENDLESS = 10**9


class Item(Protocol):
    """What training asks of an item of a data set. It may have more: an item of the scenes has its facts."""

    caption: str
    seed: int                               # a number of its own, from which random choices about it are made

    def image(self, side: int, crop: tuple[int, int, int] | None = None) -> Tensor:
        """(3, side, side) in -1 to 1; with crop (left, top, size), in pixels, only that square: (3, size, size)."""


class Examples:
    """B examples as a dataclass of tensors, row i of each for example i."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor changed."""
        return type(self)(*(change(getattr(self, field.name)) for field in fields(self)))

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return self.each(lambda x: x[rows])

    def to(self, device: torch.device) -> Self:
        return self.each(lambda x: x.to(device))


@dataclass
class Captioned(Examples):
    """Pictures and their captions."""

    images: Tensor                          # (B, 3, S, S) uint8
    ids: Tensor                             # (B, context) int32, the captions' tokens


@dataclass
class Embedded(Captioned):
    """The same, through CLIP."""

    z_i: Tensor                             # (B, D), raw


def pixels(images: Tensor) -> Tensor:
    """uint8 pictures as float32 in -1 to 1, as the models take them."""
    return images.float() / 127.5 - 1


def pictures(items: Sequence[Item], side: int) -> Tensor:
    """(B, 3, side, side) uint8."""
    return to_uint8(torch.stack([item.image(side) for item in items]))


def drop(ids: Tensor, empty: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Captions ids (B, L), some of them replaced by the empty one (L,): what guidance compares with."""
    dropped = torch.rand(len(ids), generator=rng) < probability
    return torch.where(dropped.to(ids.device)[:, None], empty.to(ids), ids)


# -- through CLIP --------------------------------------------------------------------------------------------


@torch.no_grad()
def encode(clip: CLIP, images: Tensor) -> Tensor:
    """z_i (B, D) of pictures (B, 3, S, S) in -1 to 1, brought to CLIP's side if they have another."""
    return clip.look(images.to(clip.device)).float()


@torch.no_grad()
def encoded(clip: CLIP, dataset, count: int) -> tuple[Tensor, Text]:
    """z_i (count, D) of the first pictures of a data set, and their captions encoded, on the CPU."""
    z_i, texts = [], []
    for start in range(0, count, 256):
        items = [dataset[i] for i in range(start, min(start + 256, count))]
        z_i.append(encode(clip, pixels(pictures(items, clip.config.image_size))).cpu())
        texts.append(clip.encode_text([item.caption for item in items]).to("cpu"))
    return torch.cat(z_i), Text.cat(*texts)


def embeddings(clip: CLIP, dataset, count: int) -> tuple[Tensor, Tensor]:
    """z_i and z_t of the first pictures of a data set, (count, D) each, on the CPU."""
    z_i, text = encoded(clip, dataset, count)
    return z_i, text.embed
