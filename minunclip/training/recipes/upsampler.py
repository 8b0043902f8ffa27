"""What the upsamplers train on (unCLIP section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...common import to_uint8
from ...diffusion import DiffusionConfig
from ...networks import UNetConfig
from ...scenes import Scenes
from ...upsampler import Upsampler, UpsamplerConfig
from ..data import ENDLESS, Examples, Item, pixels
from ..degrade import degrade, gaussian_blur
from ..trainer import TrainConfig
from .base import SIDES, Recipe, diffusion_loss


@dataclass
class Crops(Examples):
    """The same part of pictures at two sizes."""

    high: Tensor                            # (B, 3, H, H) uint8
    low: Tensor                             # (B, 3, h, h) uint8


class UpsamplerRecipe(Recipe):
    """Quarter crops of pictures at two sizes; the small one is made a little worse. number: 1 or 2."""

    examples = Crops

    def __init__(self, number: int):
        self.number, self.bank = number, f"upsampler-{number}"
        self.low, self.side = SIDES[number - 1 : number + 1]
        self.dataset = Scenes("train", ENDLESS, seed=3 + number)
        batch = 64 if number == 1 else 8
        self.profiles = {
            "cpu": TrainConfig(steps=4000 if number == 1 else 5000, batch=batch, lr=1.2e-3, ema=0.99),
            "gpu": TrainConfig(steps=6000, batch=8 * batch, lr=1.2e-3),
        }
        self.config = UpsamplerConfig(
            unet=UNetConfig(
                in_channels=6, channels=64 if number == 1 else 48, mults=(1, 2), blocks=1, attention=(),
                groups=16, patch=4,
            ),
            size=self.side, low_size=self.low, residual=True,
            diffusion=DiffusionConfig(schedule="cosine" if number == 1 else "linear", target="x0"),
        )  # fmt: skip

    def build(self) -> Upsampler:
        return Upsampler(self.config)

    def collate(self, items: Sequence[Item]) -> Crops:
        """The same quarter of each picture at both sizes: (B, 3, side / 4, side / 4), (B, 3, low / 4, low / 4)."""
        side, factor, high, low = self.low // 4, self.side // self.low, [], []
        for item in items:
            x, y = (item.seed // part % (self.low - side + 1) for part in (1, 1000))
            low.append(item.image(self.low, (x, y, side)))
            high.append(item.image(self.side, (factor * x, factor * y, factor * side)))
        return Crops(to_uint8(torch.stack(high)), to_uint8(torch.stack(low)))

    def loss(self, model: Upsampler, batch: Crops, rng: torch.Generator) -> Tensor:
        high, low = pixels(batch.high), pixels(batch.low)
        low = (gaussian_blur if self.number == 1 else degrade_some)(low, rng).to(model.device)
        return diffusion_loss(model, high, lambda x_t, t: model(x_t, t, low), rng)


def degrade_some(images: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the pictures degraded, half as they are."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=rng) < 0.5
    return torch.where(chosen, degrade(images, rng), images)
