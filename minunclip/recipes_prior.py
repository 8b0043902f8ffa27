"""What the two priors train on, and how every stage after CLIP reads captions."""

from __future__ import annotations

import torch
from torch import Tensor

from .ar_prior import ARPrior, ARPriorConfig
from .batches import CROWDED, ENDLESS, Batch, Recipe, drop, encode, encoded, random_timesteps
from .clip import CLIP
from .diffusion import DiffusionConfig
from .pca import PCA
from .prior import DiffusionPrior, PriorConfig
from .scenes import Scenes
from .text import Text
from .train import TrainConfig
from .whitening import PCAWhitening, centre_and_spread


class CaptionRecipe(Recipe):
    """Captions and pictures through the frozen CLIP; the captions whitened.

    Directions of the tokens that hardly vary tell which colour belongs to which thing. A network that reads the
    raw tokens finds everything else first, and that very late.
    """

    dataset = Scenes("train", ENDLESS, seed=2, counts=CROWDED)

    def __init__(self, clip: CLIP):
        self.clip = clip

    def measure(self) -> tuple[Tensor, Tensor]:
        """Learn to whiten captions; z_i and z_t of those that were measured, (N, D) each, as they are."""
        z_i, text = encoded(self.clip, self.dataset, self.statistics)
        self.whiten_embed = PCAWhitening.of(text.embed)
        self.whiten_tokens = PCAWhitening.of(text.tokens[text.mask])
        return z_i, text.embed

    def read(self, captions: list[str]) -> tuple[Text, Tensor]:
        """The captions as the network reads them, whitened, and their z_t as it is."""
        with torch.no_grad():
            text = self.clip.encode_text(captions)
        return Text(self.whiten_embed(text.embed), self.whiten_tokens(text.tokens), text.mask), text.embed

    def finish(self, model: DiffusionPrior | ARPrior) -> None:
        """Fold the whitening into the first layers: from now on the prior takes captions as they are."""
        self.whiten_embed.fold_into(model.embed_in)
        self.whiten_tokens.fold_into(model.tokens_in)


class PriorRecipe(CaptionRecipe):
    """One caption in ten is dropped, for guidance (unCLIP section 2.2)."""

    profiles = {
        "cpu": TrainConfig(steps=12000, batch=256, lr=3e-3, ema=0.998),
        "gpu": TrainConfig(steps=16000, batch=1024, lr=3e-3),
    }

    def build(self) -> DiffusionPrior:
        prior = DiffusionPrior(PriorConfig(
            z_width=128, text_width=128, context=32, width=128, layers=4, heads=4,
            diffusion=DiffusionConfig(target="x0", clip=5.0),
        ))  # fmt: skip
        mean, std = centre_and_spread(self.measure()[0])
        prior.mean.copy_(mean[None])
        prior.std.copy_(std[None])
        return prior

    def loss(self, model: DiffusionPrior, batch: Batch, rng: torch.Generator) -> Tensor:
        z_i = encode(self.clip, batch.images)
        text, _ = self.read(drop(batch.captions, 0.1, rng))
        t = random_timesteps(len(z_i), model.diffusion.config.steps, rng, noisy=0.5).to(z_i.device)
        eps = torch.randn(z_i.shape, generator=rng).to(z_i.device)
        return model.loss(z_i, text, t, eps).mean()


class ARPriorRecipe(CaptionRecipe):
    """The same pictures and captions, as sentences, of which the prior often sees a part only (`hide`)."""

    share = 0.99999                         # of the variance of z_i: the components that hold it are kept
    profiles = {
        "cpu": TrainConfig(steps=20000, batch=64, lr=3e-3, ema=0.998),
        "gpu": TrainConfig(steps=16000, batch=512, lr=3e-3),
    }

    def build(self) -> ARPrior:
        """As many components as this CLIP's embeddings need."""
        (z_i, z_t), c = self.measure(), self.clip.config
        prior = ARPrior(ARPriorConfig(
            z_width=c.embed_width, text_width=c.text_width, context=c.context,
            components=PCA.fit(z_i).components_for(self.share), buckets=64, dot_buckets=32,
            width=128, layers=4, heads=4,
        ))  # fmt: skip
        prior.fit(z_i, z_t)
        return prior

    def loss(self, model: ARPrior, batch: Batch, rng: torch.Generator) -> Tensor:
        z_i = encode(self.clip, batch.images)
        (text, z_t), (empty, _) = self.read(batch.captions), self.read([""])
        dropped = torch.rand(len(text), generator=rng) < 0.1
        rows = torch.where(dropped, len(text), torch.arange(len(text)))     # the last row is the empty caption
        hidden = hide(len(text), model.config.components, rng).to(z_i.device)
        return model.loss(z_i, Text.cat(text, empty)[rows], z_t=z_t, hidden=hidden).mean()


def hide(rows: int, words: int, rng: torch.Generator) -> Tensor:
    """Which words of each sentence the prior does not see, (rows, words) bool: of 3 rows in 10 all, of 4 in 10 none.

    Who sees all true words so far need not ask the caption whose colour is whose: the words tell. But a sampler's
    words are the prior's own (Bowman et al. 2016, section 3.1, drop words for the same reason).
    """
    share = ((torch.rand(rows, 1, generator=rng) - 0.4) / 0.3).clamp(0, 1)              # of a row's words
    return torch.rand(rows, words, generator=rng) < share
