"""What the autoregressive prior trains on, beside the recipes of the other stages."""

from __future__ import annotations

import torch
from torch import Tensor

from .ar_prior import ARPrior, ARPriorConfig
from .batches import ENDLESS, Batch, Recipe, embeddings, encode
from .clip import CLIP
from .pca import PCA
from .scenes import Scenes
from .text import Text
from .train import TrainConfig


class ARPriorRecipe(Recipe):
    """The diffusion prior's pictures and captions; one caption in ten is dropped (unCLIP section 2.2)."""

    dataset = Scenes("train", ENDLESS, seed=2)
    share = 0.99                            # of their variance: the components that hold it are kept
    profiles = {
        "cpu": TrainConfig(steps=1500, batch=128, lr=1.5e-3, ema=0.99),
        "gpu": TrainConfig(steps=12000, batch=512, lr=1.2e-3),
    }

    def __init__(self, clip: CLIP):
        self.clip = clip

    def build(self) -> ARPrior:
        """As many components as this CLIP's embeddings need."""
        z_i, z_t = embeddings(self.clip, self.dataset, self.statistics)
        c = self.clip.config
        prior = ARPrior(ARPriorConfig(
            z_width=c.embed_width, text_width=c.text_width, context=c.context,
            components=PCA.fit(z_i).components_for(self.share), buckets=64, dot_buckets=32,
            width=160, layers=4, heads=5,
        ))  # fmt: skip
        prior.fit(z_i, z_t)
        return prior

    def loss(self, model: ARPrior, batch: Batch, rng: torch.Generator) -> Tensor:
        z_i = encode(self.clip, batch.images)
        with torch.no_grad():
            text, empty = self.clip.encode_text(batch.captions), self.clip.encode_text([""])
        dropped = torch.rand(len(text), generator=rng) < 0.1
        rows = torch.where(dropped, len(text), torch.arange(len(text)))     # the last row is the empty caption
        return model.loss(z_i, Text.cat(text, empty)[rows], z_t=text.embed).mean()
