"""What is measured, and on which captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..scenes import Item, Scene
from ..unclip import UnCLIP
from .judge import Judge


@dataclass
class Bench:
    """The models, and unseen captioned scenes."""

    cascade: UnCLIP
    judge: Judge
    items: list[Item]
    seed: int

    def group(self, things: int, related: bool = False) -> list[int]:
        """The items with so many things; `related`: only those whose caption says how they stand."""
        return [i for i, item in enumerate(self.items) if len(item.scene.things) == things
                and (item.statement.relations or not related)]  # fmt: skip

    def batches(self, n: int | None = None, size: int = 50) -> Iterator[list[Item]]:
        items = self.items[:n]
        yield from (items[i : i + size] for i in range(0, len(items), size))

    def read(self, images: Tensor) -> list[Scene]:
        """What the judge sees in each of the pictures (B, 3, S, S)."""
        return self.judge.read(images.to(self.judge.device))


def renders(items: list[Item], side: int) -> Tensor:
    """(B, 3, side, side) in -1 to 1."""
    return torch.stack([item.image(side) for item in items])
