"""Batches of captioned pictures, whatever the data set, and what CLIP makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from ..clip import CLIP
from ..text import Text
from .trainer import TrainConfig

ENDLESS = 10**9


class Item(Protocol):
    """What training asks of an item of a data set. It may have more: an item of the scenes has its facts."""

    caption: str
    seed: int                               # a number of its own, from which random choices about it are made

    def image(self, side: int, crop: tuple[int, int, int] | None = None) -> Tensor:
        """(3, side, side) in -1 to 1; with crop (left, top, size), in pixels, only that square: (3, size, size)."""


@dataclass
class Batch:
    """B captioned pictures."""

    images: Tensor                          # (B, 3, S, S) in -1 to 1
    captions: list[str]
    items: Sequence[Item]


def collate(items: Sequence[Item], side: int = 32) -> Batch:
    """A batch of items, their pictures at a side."""
    return Batch(torch.stack([item.image(side) for item in items]), [item.caption for item in items], items)


def batches(recipe, config: TrainConfig, workers: int = 0) -> Callable[[int], Iterator]:
    """A loader, first_step -> batches. Item i of the data set is in batch i // config.batch, wherever it starts."""

    def start(first_step: int) -> Iterator:
        order = range(first_step * config.batch, config.steps * config.batch)
        return iter(DataLoader(
            recipe.dataset, config.batch, sampler=order, collate_fn=recipe.collate, num_workers=workers,
            generator=torch.Generator(),    # or each start would draw from the global one, and move dropout
        ))  # fmt: skip

    return start


def drop(captions: list[str], probability: float, rng: torch.Generator) -> list[str]:
    """Some captions replaced by the empty one: what guidance compares with."""
    dropped = torch.rand(len(captions), generator=rng) < probability
    return ["" if gone else caption for gone, caption in zip(dropped.tolist(), captions, strict=True)]


# -- through CLIP --------------------------------------------------------------------------------------------


@torch.no_grad()
def encode(clip: CLIP, images: Tensor) -> Tensor:
    """z_i (B, D) of pictures (B, 3, S, S), brought to CLIP's side if they have another."""
    side, images = clip.config.image_size, images.to(clip.device)
    return clip.encode_image(images if images.shape[-1] == side else F.interpolate(images, side, mode="area")).float()


@torch.no_grad()
def encoded(clip: CLIP, dataset, count: int) -> tuple[Tensor, Text]:
    """z_i (count, D) of the first pictures of a data set, and their captions encoded, on the CPU."""
    z_i, texts = [], []
    for start in range(0, count, 256):
        items = [dataset[i] for i in range(start, min(start + 256, count))]
        batch = collate(items, clip.config.image_size)
        z_i.append(encode(clip, batch.images).cpu())
        texts.append(clip.encode_text(batch.captions).to("cpu"))
    return torch.cat(z_i), Text.cat(*texts)


def embeddings(clip: CLIP, dataset, count: int) -> tuple[Tensor, Tensor]:
    """z_i and z_t of the first pictures of a data set, (count, D) each, on the CPU."""
    z_i, text = encoded(clip, dataset, count)
    return z_i, text.embed
