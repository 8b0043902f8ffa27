"""Batches of captioned scenes, and what all recipes share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .clip import CLIP
from .scenes import Item, Scene, Scenes
from .text import Text
from .train import TrainConfig

ENDLESS = 10**9
CROWDED = (0.25, 0.45, 0.3)                 # twice as often three things as elsewhere: they are the hard ones


@dataclass
class Batch:
    """Pictures (B, 3, S, S) in -1 to 1, their captions and their scenes."""

    images: Tensor
    captions: list[str]
    scenes: list[Scene]


def collate(items: list[Item]) -> Batch:
    images = torch.stack([item.image() for item in items])
    return Batch(images, [item.caption for item in items], [item.scene for item in items])


class Recipe:
    """What all recipes have. `Scenes` are their data, unless they say otherwise."""

    collate = staticmethod(collate)
    statistics = 4096                       # so many pictures tell the mean and the spread of embeddings

    def finish(self, model: nn.Module) -> None:
        """Change the trained model in place, where a recipe wants that."""


def random_timesteps(count: int, steps: int, rng: torch.Generator, noisy: float = 0.0) -> Tensor:
    """Random timesteps (count,), each equally likely, but a share `noisy` of them from the noisiest four tenths.

    What stands where is settled while there is more noise than picture. Where noise is low the answer is in
    plain sight, and a network has no reason to learn to look for it in its condition.
    """
    high = torch.rand(count, generator=rng) < noisy
    lowest = high * (6 * steps // 10)                                                   # (count,)
    return lowest + (torch.rand(count, generator=rng) * (steps - lowest)).long()


def diffusion_loss(model, images: Tensor, denoiser, rng: torch.Generator, noisy: float = 0.0) -> Tensor:
    """The mean loss of pictures at `random_timesteps`."""
    t = random_timesteps(len(images), model.diffusion.config.steps, rng, noisy)
    eps = torch.randn(images.shape, generator=rng)
    device = model.device
    return model.diffusion.loss(denoiser, images.to(device), t.to(device), eps.to(device)).mean()


@torch.no_grad()
def encode(clip: CLIP, images: Tensor) -> Tensor:
    return clip.encode_image(images.to(clip.device)).float()


@torch.no_grad()
def encoded(clip: CLIP, scenes: Scenes, count: int) -> tuple[Tensor, Text]:
    """z_i (count, D) of the first scenes of a dataset, and their captions encoded, on the CPU."""
    z_i, texts = [], []
    for start in range(0, count, 256):
        batch = collate([scenes[i] for i in range(start, min(start + 256, count))])
        z_i.append(encode(clip, batch.images).cpu())
        texts.append(clip.encode_text(batch.captions).to("cpu"))
    return torch.cat(z_i), Text.cat(*texts)


def embeddings(clip: CLIP, scenes: Scenes, count: int) -> tuple[Tensor, Tensor]:
    """z_i and z_t of the first scenes of a dataset, (count, D) each, on the CPU."""
    z_i, text = encoded(clip, scenes, count)
    return z_i, text.embed


def drop(captions: list[str], probability: float, rng: torch.Generator) -> list[str]:
    """Some captions replaced by the empty one: what guidance compares with."""
    dropped = torch.rand(len(captions), generator=rng) < probability
    return ["" if gone else caption for gone, caption in zip(dropped.tolist(), captions, strict=True)]


def batches(recipe, config: TrainConfig, workers: int = 0):
    """first_step -> batches. Item i of the endless dataset is in batch i // config.batch, come what may."""

    def start(first_step: int) -> Iterator:
        order = range(first_step * config.batch, config.steps * config.batch)
        return iter(DataLoader(
            recipe.dataset, config.batch, sampler=order, collate_fn=recipe.collate, num_workers=workers,
            generator=torch.Generator(),    # or each start would draw from the global one, and move dropout
        ))  # fmt: skip

    return start
