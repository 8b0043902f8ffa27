"""What the decoder trains on (unCLIP section 2.1)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...decoder import Decoder, DecoderConfig
from ...diffusion import DiffusionConfig
from ...networks import UNetConfig
from ...text import Text
from ..data import Embedded, drop, pixels
from ..trainer import TrainConfig
from .base import SIDES, CaptionRecipe, diffusion_loss


class DecoderRecipe(CaptionRecipe):
    """Pictures from z_i (dropped one time in ten) and the caption (every other time)."""

    config = DecoderConfig(
        unet=UNetConfig(
            out_channels=6, channels=64, mults=(1, 2), blocks=1, attention=(1,), head_width=32, context_width=128,
            patch=2,
        ),
        size=SIDES[0], z_width=128, text_width=128,
        diffusion=DiffusionConfig(target="x0", learned_variance=True, weighting="capped"),
    )  # fmt: skip
    profiles = {
        "cpu": TrainConfig(steps=30_000, batch=16, examples=262_144, lr=1e-3, muon=0.02, warmup=200, ema=0.999),
        "gpu": TrainConfig(steps=20000, batch=384, examples=524_288, lr=1e-3, muon=0.02, ema=0.999),
    }

    def build(self) -> Decoder:
        """A new decoder. The whitening is measured now, not in the middle of the first training step."""
        _ = self.whitening
        return Decoder(self.config)

    def loss(self, model: Decoder, batch: Embedded, rng: torch.Generator) -> Tensor:
        text, _ = self.read(drop(batch.ids, self.empty, 0.5, rng))
        return self.diffusion(model, replace(batch, z_i=self.whiten_z(batch.z_i)), text, rng)

    def diffusion(self, model: Decoder, batch: Embedded, text: Text, rng: torch.Generator) -> Tensor:
        """The loss of pictures, given z_i and captions as the model reads them. One z_i in ten is dropped."""
        dropped = torch.rand(len(batch), generator=rng) < 0.1
        condition = model.condition(model.with_dropped(batch.z_i, dropped.to(model.device)), text)
        images = pixels(batch.images)
        return diffusion_loss(model, images, lambda x_t, t: model(x_t, t, condition=condition), rng, noisy=0.5)

    @torch.no_grad()
    def finish(self, model: Decoder) -> None:
        """Build the whitening into the first layers: from now on the decoder takes embeddings as they are."""
        for layer in (model.z_to_time, model.z_to_tokens):
            self.whiten_z.fold_into(layer)
        self.whiten_embed.fold_into(model.text_to_time)
        self.whiten_tokens.fold_into(model.text_to_tokens)
        model.null_z.copy_(self.whiten_z.undo(model.null_z))
