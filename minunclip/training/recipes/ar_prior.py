"""What the autoregressive prior trains on (unCLIP section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ar_prior import ARPrior, ARPriorConfig
from ...embeddings import PCA, typical_length
from ...text import Text
from ..data import Embedded
from ..trainer import TrainConfig
from .base import CaptionRecipe
from .prior import fold_captions


class ARPriorRecipe(CaptionRecipe):
    """The diffusion prior's pictures and captions, as sentences, of which the model often sees a part only (`hide`)."""

    profiles = {
        "cpu": TrainConfig(steps=5000, batch=128, examples=262_144, lr=3e-3, muon=0.02, warmup=100, ema=0.995),
        "gpu": TrainConfig(steps=8000, batch=512, examples=524_288, lr=3e-3, muon=0.02),
    }

    def build(self) -> ARPrior:
        """As many components of z_i as stand out from the noise with which this CLIP was trained."""
        (z_i, text), c = self.measured, self.clip.config
        loud = PCA.fit(z_i).variances > (c.noise * typical_length(z_i)) ** 2
        prior = ARPrior(ARPriorConfig(
            z_width=c.embed_width, text_width=c.text_width, context=c.context,
            components=max(2, int(loud.sum())), buckets=64, dot_buckets=32,
            width=128, layers=4, heads=4,
        ))  # fmt: skip
        prior.fit(z_i, text.embed)
        return prior

    def loss(self, model: ARPrior, batch: Embedded, rng: torch.Generator) -> Tensor:
        z_i = batch.z_i
        (text, z_t), (empty, _) = self.read(batch.ids), self.read(self.empty[None])
        dropped = torch.rand(len(text), generator=rng) < 0.1
        rows = torch.where(dropped, len(text), torch.arange(len(text)))     # the last row is the empty caption
        hidden = hide(len(text), model.config.components, rng).to(z_i.device)
        return model.loss(z_i, Text.cat(text, empty)[rows], z_t=z_t, hidden=hidden).mean()

    def finish(self, model: ARPrior) -> None:
        fold_captions(self, model)


def hide(rows: int, words: int, rng: torch.Generator) -> Tensor:
    """Which words of each sentence the prior does not see, (rows, words) bool: of 3 rows in 10 all, of 4 in 10 none.

    Who sees all true words so far need not ask the caption whose colour is whose: the words tell. But a sampler's
    words are the prior's own (Bowman et al. 2016, section 3.1, drop words for the same reason).
    """
    share = ((torch.rand(rows, 1, generator=rng) - 0.4) / 0.3).clamp(0, 1)              # of a row's words
    return torch.rand(rows, words, generator=rng) < share
