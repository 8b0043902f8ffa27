"""What the diffusion prior trains on (unCLIP section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...diffusion import DiffusionConfig
from ...prior import DiffusionPrior, Prior, PriorConfig
from ..data import Embedded, drop
from ..trainer import TrainConfig
from .base import CaptionRecipe, random_timesteps


def fold_captions(recipe: CaptionRecipe, model: Prior) -> None:
    """Build the whitening of captions into a prior's first layers: from now on it takes captions as they are."""
    recipe.whiten_embed.fold_into(model.embed_in)
    recipe.whiten_tokens.fold_into(model.tokens_in)


class PriorRecipe(CaptionRecipe):
    """One caption in ten is dropped, for guidance.

    Reading a caption costs more than guessing z_i from it: so each is read once, for several noised z_i.
    """

    draws = 4                               # noised z_i of each caption
    width, layers, heads = 128, 4, 4
    profiles = {
        "cpu": TrainConfig(steps=3000, batch=256, examples=262_144, lr=3e-3, muon=0.02, warmup=100, ema=0.995),
        "gpu": TrainConfig(steps=8000, batch=1024, examples=524_288, lr=3e-3, muon=0.02),
    }

    def build(self) -> DiffusionPrior:
        """A new prior, which works on whitened z_i from beginning to end."""
        c = self.clip.config
        prior = DiffusionPrior(PriorConfig(
            z_width=c.embed_width, text_width=c.text_width, context=c.context, width=self.width,
            layers=self.layers, heads=self.heads, diffusion=DiffusionConfig(target="x0", clip=5.0),
        ))  # fmt: skip
        prior.mean.copy_(self.whiten_z.mean[None])
        prior.std.copy_(self.whiten_z.std[None])
        return prior

    def loss(self, model: DiffusionPrior, batch: Embedded, rng: torch.Generator) -> Tensor:
        text, _ = self.read(drop(batch.ids, self.empty, 0.1, rng))
        prefix, z_i = model.prefix(text).repeat(self.draws), batch.z_i.repeat_interleave(self.draws, dim=0)
        t = random_timesteps(len(z_i), model.diffusion.config.steps, rng, noisy=0.5).to(z_i.device)
        eps = torch.randn(z_i.shape, generator=rng).to(z_i.device)
        return model.loss(z_i, prefix, t, eps).mean()

    def finish(self, model: DiffusionPrior) -> None:
        fold_captions(self, model)
