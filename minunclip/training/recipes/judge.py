"""What the judge trains on: renders, and never a sample of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...evaluation import Judge, labels, places
from ...scenes import Scenes
from ..data import ENDLESS, Examples, Item, pictures, pixels
from ..trainer import TrainConfig
from .base import ANYWHERE, Recipe


@dataclass
class Graded(Examples):
    """Pictures, and all that the judge is asked about them."""

    images: Tensor                          # (B, 3, S, S) uint8
    answers: Tensor                         # (B, questions) int8
    places: Tensor                          # (B, SLOTS, 2), see `evaluation.places`


class JudgeRecipe(Recipe):
    """Supervised classification of renders, a little noisy so that no single pixel decides."""

    dataset, examples, bank = Scenes("train", ENDLESS, seed=1, roam=ANYWHERE), Graded, "judge"
    profiles = {
        "cpu": TrainConfig(steps=2400, batch=128, examples=98_304, lr=1.5e-3, muon=0.02, warmup=100, ema=0.99),
        "gpu": TrainConfig(steps=6000, batch=512, examples=524_288, lr=1.5e-3, muon=0.02, ema=0.998),
    }

    def build(self) -> Judge:
        return Judge()

    def collate(self, items: Sequence[Item]) -> Graded:
        scenes = [item.scene for item in items]
        answers = torch.stack(list(labels(scenes).values()), dim=1)
        return Graded(pictures(items, self.side), answers.to(torch.int8), places(scenes))

    def loss(self, model: Judge, batch: Graded, rng: torch.Generator) -> Tensor:
        batch = batch.to(model.device)
        level = 0.1 * torch.rand(len(batch), 1, 1, 1, generator=rng)
        noise = level * torch.randn(batch.images.shape, generator=rng)
        truth = dict(zip(model.questions, batch.answers.long().unbind(dim=1), strict=True))
        return model.loss(pixels(batch.images) + noise.to(model.device), truth, batch.places)
