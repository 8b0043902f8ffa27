"""What each stage trains on: its model, its data and its loss, at the scale of the scenes.

A recipe is a small object: `dataset` and `collate` make the batches, `build` the model, `loss` compares, and
`finish` has the last word on the trained weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .batches import CROWDED, ENDLESS, Batch, Recipe, diffusion_loss, drop, embeddings, encode
from .clip import CLIP, CLIPConfig
from .decoder import Decoder, DecoderConfig
from .degrade import degrade, gaussian_blur
from .diffusion import DiffusionConfig
from .judge import Judge, labels
from .recipes_prior import ARPriorRecipe, CaptionRecipe, PriorRecipe
from .scenes import VOCABULARY, Item, Scenes, render, to_tensor
from .train import TrainConfig
from .unet import UNetConfig
from .upsampler import Upsampler, UpsamplerConfig
from .whitening import Whitening

NEED_CLIP = ("prior", "ar-prior", "decoder")


class ClipRecipe(Recipe):
    """Contrastive training, every picture among three siblings that differ from it in a fact or two."""

    dataset = Scenes("train", ENDLESS, siblings=4)
    config = CLIPConfig(
        embed_width=128, image_size=32, patch=8, stem=(48, 96, 160), image_width=160, image_layers=3, image_heads=5,
        text_width=128, text_layers=3, text_heads=4, context=32, vocabulary=VOCABULARY, activation="gelu",
    )  # fmt: skip
    profiles = {
        "cpu": TrainConfig(steps=3200, batch=256, lr=1.5e-3, weight_decay=0.05, betas=(0.9, 0.98), ema=0.99),
        "gpu": TrainConfig(steps=8000, batch=1024, lr=1.5e-3, weight_decay=0.05, betas=(0.9, 0.98), warmup=500),
    }

    def build(self) -> CLIP:
        return CLIP(self.config)

    def loss(self, model: CLIP, batch: Batch, rng: torch.Generator) -> Tensor:
        return model.loss(batch.images.to(model.device), batch.captions)

    def finish(self, model: CLIP) -> None:
        """Turn the space of z_i and z_t so that its axes are the principal axes of z_i, the longest first.

        A rotation changes no similarity. But now a mean and a standard deviation for each axis are enough to
        whiten z_i, which is what the prior and the decoder ask for.
        """
        z_i, _ = embeddings(model, Scenes("train", ENDLESS, seed=9), self.statistics)
        axes = torch.linalg.eigh(z_i.T.cov()).eigenvectors.flip(1).to(model.device)     # (D, D), in columns
        with torch.no_grad():
            for encoder in (model.image, model.text):
                encoder.project.weight.copy_(axes.T @ encoder.project.weight)


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
        return model.loss((batch.images + level * noise).to(model.device), labels(batch.scenes))


class DecoderRecipe(CaptionRecipe):
    """Pictures from z_i (dropped one time in ten) and the caption (every other time), unCLIP section 2.1."""

    dataset = Scenes("train", ENDLESS, seed=3, counts=CROWDED)
    config = DecoderConfig(
        unet=UNetConfig(
            out_channels=6, channels=64, mults=(1, 2, 2), blocks=1, attention=(1, 2), head_width=32,
            context_width=128, patch=2,
        ),
        size=32, z_width=128, text_width=128,
        diffusion=DiffusionConfig(target="v", learned_variance=True, weighting="capped"),
    )  # fmt: skip
    profiles = {
        "cpu": TrainConfig(steps=36000, batch=32, lr=1e-3, ema=0.998),
        "gpu": TrainConfig(steps=20000, batch=384, lr=1.5e-3, ema=0.9995, warmup=500),
    }

    def build(self) -> Decoder:
        """A new decoder. It learns from whitened z_i too: which colour is where is told by axes that hardly vary."""
        self.whiten_z = Whitening.of(self.measure()[0])
        return Decoder(self.config)

    def loss(self, model: Decoder, batch: Batch, rng: torch.Generator) -> Tensor:
        z_i = self.whiten_z(encode(self.clip, batch.images))
        text, _ = self.read(drop(batch.captions, 0.5, rng))
        z_i = model.with_dropped(z_i, (torch.rand(len(z_i), generator=rng) < 0.1).to(z_i.device))
        condition = model.condition(z_i, text)
        return diffusion_loss(model, batch.images, lambda x_t, t: model(x_t, t, condition=condition), rng, noisy=0.5)

    @torch.no_grad()
    def finish(self, model: Decoder) -> None:
        """Fold the whitening into the first layers: from now on the decoder takes embeddings as they are."""
        for layer in (model.z_to_time, model.z_to_tokens):
            self.whiten_z.fold_into(layer)
        self.whiten_embed.fold_into(model.text_to_time)
        self.whiten_tokens.fold_into(model.text_to_tokens)
        model.null_z.copy_(self.whiten_z.undo(model.null_z))


class UpsamplerRecipe(Recipe):
    """Quarter crops of pictures at two sizes; the small one is made a little worse (unCLIP section 2.1)."""

    def __init__(self, number: int):
        self.number = number
        self.low, self.size = (32, 128) if number == 1 else (128, 512)
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
            size=self.size, low_size=self.low, residual=True,
            diffusion=DiffusionConfig(schedule="cosine" if number == 1 else "linear", target="x0"),
        )  # fmt: skip

    def build(self) -> Upsampler:
        return Upsampler(self.config)

    def collate(self, items: list[Item]) -> tuple[Tensor, Tensor]:
        """The same quarter of each scene at both sizes: (B, 3, size / 4, size / 4), (B, 3, low / 4, low / 4)."""
        side, high, low = self.low // 4, [], []
        for item in items:
            x, y = (item.scene.seed // part % (self.low - side + 1) for part in (1, 1000))
            low.append(to_tensor(render(item.scene, self.low, (x, y, side))))
            high.append(to_tensor(render(item.scene, self.size, (4 * x, 4 * y, 4 * side))))
        return torch.stack(high), torch.stack(low)

    def loss(self, model: Upsampler, batch: tuple[Tensor, Tensor], rng: torch.Generator) -> Tensor:
        high, low = batch
        low = (gaussian_blur if self.number == 1 else degrade_some)(low, rng).to(model.device)
        return diffusion_loss(model, high, lambda x_t, t: model(x_t, t, low), rng)


def degrade_some(images: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the pictures degraded, half as they are."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=rng) < 0.5
    return torch.where(chosen, degrade(images, rng), images)


def recipe_for(stage: str, clip: CLIP | None = None):
    """The recipe of a stage by name; the priors and the decoder need a trained CLIP."""
    if stage in NEED_CLIP:
        return {"prior": PriorRecipe, "ar-prior": ARPriorRecipe, "decoder": DecoderRecipe}[stage](clip)
    if stage.startswith("upsampler-"):
        return UpsamplerRecipe(int(stage[-1]))
    return {"clip": ClipRecipe, "judge": JudgeRecipe}[stage]()
