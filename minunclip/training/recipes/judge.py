"""What the judge trains on: renders, and never a sample of a model."""

from __future__ import annotations

import torch
from torch import Tensor

from ...evaluation import Judge, labels
from ...scenes import Scenes
from ..data import ENDLESS, Batch
from ..trainer import TrainConfig
from .base import Recipe


class JudgeRecipe(Recipe):
    """Supervised classification of renders, a little noisy so that no single pixel decides."""

    dataset = Scenes("train", ENDLESS, seed=1)
    profiles = {
        "cpu": TrainConfig(steps=1800, batch=128, lr=1.5e-3, ema=0.995),
        "gpu": TrainConfig(steps=6000, batch=512, lr=1.5e-3, ema=0.998),
    }

    def build(self) -> Judge:
        return Judge()

    def loss(self, model: Judge, batch: Batch, rng: torch.Generator) -> Tensor:
        noise = torch.randn(batch.images.shape, generator=rng)
        level = 0.1 * torch.rand(len(noise), 1, 1, 1, generator=rng)
        images = (batch.images + level * noise).to(model.device)
        return model.loss(images, labels([item.scene for item in batch.items]))
