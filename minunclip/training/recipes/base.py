"""What the recipes share: their form, how a stage after CLIP reads captions, and the loss of a diffusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from ...clip import CLIP
from ...embeddings import PCAWhitening, Whitening
from ...scenes import Scenes
from ...text import Text, WordTokenizer
from ..bank import Bank, batches
from ..data import ENDLESS, Captioned, Embedded, Examples, Item, encode, encoded, pictures, pixels
from ..trainer import TrainConfig

SIDES = (32, 128, 512)                      # of the decoder's pictures, and of what each upsampler makes of them
CROWDED = (0.25, 0.45, 0.3)                 # twice as often three things as elsewhere: they are the hard ones
ANYWHERE = 1.0                              # `roam` of what reads pictures: it should know a thing wherever it stands.
                                            # What draws them has less to learn where things stray little


class Recipe:
    """How one stage is trained: `dataset`, `profiles` (a TrainConfig each), `build` the model, and its `loss`.

    `collate` makes examples of items, in processes of their own; `ready` finishes them where the model is. `finish` may
    change the trained model, in place.
    """

    dataset: Scenes
    examples: type[Examples] = Captioned      # what `ready` returns
    side = SIDES[0]                         # of the pictures in a batch
    bank = "bank"                           # the name of the file that keeps its examples, if they are made once
    family = 1                              # so many neighbours of the data set belong into one batch
    together = False                        # whether the loss compares the examples of a batch with each other
    statistics = 4096                       # so many pictures tell the mean and the spread of embeddings

    def loader(
        self, folder: Path, config: TrainConfig, device: torch.device, workers: int
    ) -> Callable[[int], Iterator[Examples]]:
        """Batches from a bank in this folder, or of new examples without end, see `TrainConfig.examples`."""
        if not config.examples:
            return batches(self, config, workers)
        bank = Bank.at(folder / f"{self.bank}.bank", self, config.examples, workers)
        return Bank(bank.examples.to(device), bank.family).batches(config)

    def ready(self, examples: Examples) -> Examples:
        """By default examples are ready as `collate` makes them."""
        return examples

    def finish(self, model: nn.Module) -> None:
        """By default a trained model stays as it is."""


class TextRecipe(Recipe):
    """Pictures with their captions as numbers."""

    tokenizer: WordTokenizer

    def collate(self, items: Sequence[Item]) -> Captioned:
        ids = self.tokenizer([item.caption for item in items])
        return Captioned(pictures(items, self.side), ids.int())


class CaptionRecipe(TextRecipe):
    """Captions and pictures through the frozen CLIP. While it is trained, the model reads both whitened.

    Directions of the tokens that hardly vary tell which colour belongs to which thing. A network that reads the
    raw tokens finds everything else first, and that very late. What whitens is measured on the first pictures of the
    data set, once; `finish` builds it into the model's first layers, which then take embeddings as they are.
    """

    dataset, examples, bank = Scenes("train", ENDLESS, seed=2, counts=CROWDED), Embedded, "captions"

    def __init__(self, clip: CLIP):
        self.clip = clip

    @property
    def tokenizer(self) -> WordTokenizer:
        return self.clip.tokenizer

    @property
    def empty(self) -> Tensor:
        """The caption without words, (context,)."""
        return self.tokenizer([""])[0]

    def ready(self, examples: Captioned) -> Embedded:
        return Embedded(examples.images, examples.ids, encode(self.clip, pixels(examples.images)))

    @cached_property
    def measured(self) -> tuple[Tensor, Text]:
        """z_i (`statistics`, D) and the encoded captions from which all whitening is measured, as they are."""
        return encoded(self.clip, self.dataset, self.statistics)

    @cached_property
    def whitening(self) -> tuple[Whitening, PCAWhitening, PCAWhitening]:
        """Of z_i, of z_t and of tokens; in full precision, also when a training step in bf16 is the first to ask."""
        with torch.autocast(self.clip.device.type, enabled=False):
            z_i, text = self.measured
            noise = self.clip.config.noise
            tokens = PCAWhitening.of(text.tokens[text.mask])
            return Whitening.of(z_i, noise), PCAWhitening.of(text.embed, noise), tokens

    @property
    def whiten_z(self) -> Whitening:
        return self.whitening[0]

    @property
    def whiten_embed(self) -> PCAWhitening:
        return self.whitening[1]

    @property
    def whiten_tokens(self) -> PCAWhitening:
        return self.whitening[2]

    def read(self, ids: Tensor) -> tuple[Text, Tensor]:
        """Captions ids (B, context) as the network reads them, whitened, and their z_t as it is."""
        with torch.no_grad():
            text = self.clip.encode_ids(ids)
        return Text(self.whiten_embed(text.embed), self.whiten_tokens(text.tokens), text.mask), text.embed


# -- the loss of a diffusion ---------------------------------------------------------------------------------


def random_timesteps(count: int, steps: int, rng: torch.Generator, noisy: float = 0.0) -> Tensor:
    """Random timesteps (count,), each equally likely, but a share `noisy` of them from the noisiest four tenths.

    What stands where is settled while there is more noise than picture. Where noise is low the answer is in
    plain sight, and a network has no reason to learn to look for it in its condition.
    """
    high = torch.rand(count, generator=rng) < noisy
    lowest = high * (6 * steps // 10)                                                   # (count,)
    return lowest + (torch.rand(count, generator=rng) * (steps - lowest)).long()


def diffusion_loss(model, images: Tensor, denoiser, rng: torch.Generator, *, noisy: float = 0.0) -> Tensor:
    """The mean loss of pictures at `random_timesteps`."""
    t = random_timesteps(len(images), model.diffusion.config.steps, rng, noisy)
    eps, device = torch.randn(images.shape, generator=rng), model.device
    return model.diffusion.loss(denoiser, images.to(device), t.to(device), eps.to(device)).mean()
