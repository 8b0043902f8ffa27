"""What CLIP trains on."""

from __future__ import annotations

import torch
from torch import Tensor

from ...clip import CLIP, CLIPConfig
from ...scenes import THOROUGH, VOCABULARY, Scenes
from ...text import WordTokenizer
from .. import parallel
from ..data import ENDLESS, Captioned, embeddings, pixels
from ..trainer import TrainConfig
from .base import ANYWHERE, CROWDED, SIDES, TextRecipe


class ClipRecipe(TextRecipe):
    """Contrastive training, every picture among seven siblings that differ from it in a fact or two."""

    dataset = Scenes("train", ENDLESS, siblings=8, counts=CROWDED, chances=THOROUGH, roam=ANYWHERE)
    typical = Scenes("train", ENDLESS, seed=9, roam=ANYWHERE)   # whose principal axes become those of the finished CLIP
    family, bank, together = 8, "clip", True
    config = CLIPConfig(
        embed_width=128, image_size=SIDES[0], patch=8, stem=(48, 48, 96, 96, 160), image_width=160, image_layers=3,
        image_heads=5, text_width=128, text_layers=3, text_heads=4, context=32, vocabulary=VOCABULARY,
        activation="gelu", noise=0.02,
    )  # fmt: skip
    tokenizer = WordTokenizer(config.vocabulary, config.context)
    profiles = {
        "cpu": TrainConfig(
            steps=2400, batch=256, examples=262_144, lr=1.5e-3, muon=0.02, weight_decay=0.02, betas=(0.9, 0.98),
            warmup=100, ema=0.99,
        ),
        "gpu": TrainConfig(
            steps=6000, batch=1024, examples=524_288, lr=1.5e-3, muon=0.02, weight_decay=0.02, betas=(0.9, 0.98),
            warmup=200, ema=0.99,
        ),
    }  # fmt: skip

    def build(self) -> CLIP:
        return CLIP(self.config)

    def loss(self, model: CLIP, batch: Captioned, rng: torch.Generator) -> Tensor:
        """Every picture is compared with every caption of the batch, also with those that other processes encode."""
        part = parallel.mine(batch)
        z_i = model.encode_image(pixels(part.images.to(model.device)))
        return model.compare(parallel.gathered(z_i), parallel.gathered(model.embed_ids(part.ids)), rng)

    def finish(self, model: CLIP) -> None:
        """Turn the space of z_i and z_t so that its axes are the principal axes of z_i, the longest first.

        A rotation changes no similarity. But now a mean and a standard deviation for each axis are enough to
        whiten z_i, which is what the prior and the decoder ask for.
        """
        z_i, _ = embeddings(model, self.typical, self.statistics)
        axes = torch.linalg.eigh(z_i.T.cov()).eigenvectors.flip(1).to(model.device)     # (D, D), in columns
        with torch.no_grad():
            for encoder in (model.image, model.text):
                encoder.project.weight.copy_(axes.T @ encoder.project.weight)
