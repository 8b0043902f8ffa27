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
from .base import ANYWHERE, SIDES, Recipe, diffusion_loss


@dataclass
class Crops(Examples):
    """The same part of pictures at two sizes."""

    high: Tensor                            # (B, 3, H, H) uint8
    low: Tensor                             # (B, 3, h, h) uint8


class UpsamplerRecipe(Recipe):
    """Crops of pictures at two sizes; the small one is made a little worse. number: 1 or 2.

    Most of a picture is smooth, and there is nothing to learn from that: of a few crops the one with the most to see is
    taken. A few steps draw a picture, all of them while there is far more noise than picture: so most timesteps of
    training are noisy ones.
    """

    examples = Crops
    crop = 16                               # side of the small one
    tries = 4                               # crops to choose from
    noisy = 0.8                             # the share of noisy timesteps

    def __init__(self, number: int):
        self.number, self.bank = number, f"upsampler-{number}"
        self.low, self.side = SIDES[number - 1 : number + 1]
        self.dataset = Scenes("train", ENDLESS, seed=3 + number, roam=ANYWHERE)
        shared = {"lr": 1.2e-3, "muon": 0.02, "warmup": 100}
        self.profiles = {
            "cpu": TrainConfig(5000 if number == 1 else 6000, batch=16, examples=32_768, ema=0.99, **shared),
            "gpu": TrainConfig(8000, batch=128, examples=131_072, ema=0.995, **shared),
        }
        self.config = UpsamplerConfig(
            unet=UNetConfig(
                in_channels=6, channels=64 if number == 1 else 48, blocks=3, attention=(), groups=16, patch=4,
                mults=(1,),                 # one level: what is far away, the small picture tells
            ),
            size=self.side, low_size=self.low, residual=0.1,
            diffusion=DiffusionConfig(schedule="cosine" if number == 1 else "linear", target="x0"),
        )  # fmt: skip

    def build(self) -> Upsampler:
        return Upsampler(self.config)

    def collate(self, items: Sequence[Item]) -> Crops:
        """The same square of each picture at both sizes: (B, 3, 4 crop, 4 crop), (B, 3, crop, crop)."""
        factor, high, low = self.side // self.low, [], []
        for item in items:
            x, y, small = self.busiest(item)
            low.append(small)
            high.append(item.image(self.side, (factor * x, factor * y, factor * self.crop)))
        return Crops(to_uint8(torch.stack(high)), to_uint8(torch.stack(low)))

    def busiest(self, item: Item) -> tuple[int, int, Tensor]:
        """Of some random squares of the small picture the one with the largest spread: left, top, (3, crop, crop)."""
        rng = torch.Generator().manual_seed(item.seed)
        corners = torch.randint(self.low - self.crop + 1, (self.tries, 2), generator=rng).tolist()
        crops = [(x, y, item.image(self.low, (x, y, self.crop))) for x, y in corners]
        return max(crops, key=lambda crop: crop[2].std(dim=(1, 2)).sum().item())

    def loss(self, model: Upsampler, batch: Crops, rng: torch.Generator) -> Tensor:
        high, low = pixels(batch.high), pixels(batch.low)
        low = (gaussian_blur if self.number == 1 else degrade_some)(low, rng).to(model.device)
        return diffusion_loss(model, high, lambda x_t, t: model(x_t, t, low), rng, noisy=self.noisy)


def degrade_some(images: Tensor, rng: torch.Generator, share: float = 0.25) -> Tensor:
    """A share of the pictures degraded, the others as they are."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=rng) < share
    return torch.where(chosen, degrade(images, rng), images)
