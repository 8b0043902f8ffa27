"""The same stages on captioned pictures of one's own: sizes, widths and steps for 64 pixels, and where examples lie.

    recipe = picture_recipe("decoder", open_pictures("my/holidays"), clip, profile="t4")

Each recipe here is one of the scenes' with another config and a gallery in the place of the bank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...clip import CLIP, CLIPConfig, tokenizer_of
from ...decoder import DecoderConfig
from ...diffusion import DiffusionConfig
from ...networks import UNetConfig
from ...pictures import Pictures
from ...text import pieces_of
from .. import parallel
from ..data import Captioned, pixels
from ..degrade import gaussian_blur
from ..gallery import Gallery
from ..trainer import TrainConfig
from .ar_prior import ARPriorRecipe
from .base import Recipe, diffusion_loss
from .clip import ClipRecipe
from .decoder import DecoderRecipe
from .prior import PriorRecipe
from .upsampler import Crops, UpsamplerRecipe, degrade_some

SIDES = (64, 256)                           # of the decoder's pictures, and of what the upsampler makes of them
EMBEDDED = f"pictures-{SIDES[0]}-embedded"  # the gallery that the priors and the decoder share
PROFILES = ("cpu", "t4", "gpu")             # two cores, a GPU of 16 GB, one of 24 GB or more
RARE = 1500                                 # what is in fewer than one of so many captions is read byte by byte


class FromPictures(Recipe):
    """Whatever a recipe for pictures has in common: its examples come from a gallery."""

    pictures: Pictures
    side = SIDES[0]

    @cached_property
    def statistics(self) -> int:
        """No more pictures than there are: each tells its share of means and spreads once."""
        return min(Recipe.statistics, len(self.pictures))

    @property
    def known(self) -> CLIP | CLIPConfig:
        """What the gallery needs: a CLIP to embed with, or the config of one that is still to be trained."""
        return self.clip

    def loader(
        self, folder: Path, config: TrainConfig, device: torch.device, workers: int
    ) -> Callable[[int], Iterator]:
        """Batches from the gallery in this folder. Its name says what it holds, so that stages share one."""
        name = f"pictures-{self.side}" + ("-embedded" if isinstance(self.known, CLIP) else "")
        gallery = Gallery.at(folder / name, self.pictures, self.side, self.known, workers=workers)
        return gallery.on(device).batches(config)


class PictureClipRecipe(FromPictures, ClipRecipe):
    """Contrastive training. Every picture is seen a little otherwise each time, since there are few of them."""

    family = 1

    def __init__(self, pictures: Pictures, profile: str):
        self.pictures, self.dataset = pictures, pictures.shuffled(7)
        self.typical = self.dataset
        captions = [caption for entry in pictures.entries for caption in entry.captions]
        sizes = {"patch": 16, "stem": (32, 48, 64, 128), "image_width": 128, "image_heads": 4, "image_layers": 4,
                 "text_width": 128, "text_layers": 2}  # fmt: skip
        if profile != "cpu":
            sizes = {"patch": 8, "stem": (32, 64, 128), "image_width": 384, "image_heads": 6, "image_layers": 8,
                     "text_width": 256, "text_layers": 3}  # fmt: skip
        self.config = CLIPConfig(
            embed_width=128, image_size=self.side, text_heads=4, context=40, activation="gelu", noise=0.02,
            pieces=pieces_of(captions, least=max(2, len(captions) // RARE)), **sizes,
        )  # fmt: skip
        self.tokenizer = tokenizer_of(self.config)
        shared = {"lr": 1.5e-3, "muon": 0.02, "weight_decay": 0.02, "betas": (0.9, 0.98), "warmup": 100, "ema": 0.99}
        self.profiles = {"cpu": TrainConfig(3000, batch=128, **shared), "t4": TrainConfig(20_000, batch=512, **shared),
                         "gpu": TrainConfig(20_000, batch=1024, **shared)}  # fmt: skip

    @property
    def known(self) -> CLIPConfig:
        return self.config

    def loss(self, model: CLIP, batch: Captioned, rng: torch.Generator) -> Tensor:
        part = parallel.mine(batch)
        z_i = model.encode_image(moved(pixels(part.images.to(model.device)), rng))
        return model.compare(parallel.gathered(z_i), parallel.gathered(model.embed_ids(part.ids)), rng)


def moved(images: Tensor, rng: torch.Generator, most: float = 0.15) -> Tensor:
    """Pictures (B, 3, S, S), each enlarged and shifted by up to `most` of its side, and half of them mirrored."""
    n = len(images)
    scale = 1 - most * torch.rand(n, generator=rng)
    shift = (1 - scale)[:, None] * (2 * torch.rand(n, 2, generator=rng) - 1)
    mirror = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0)
    turn = torch.zeros(n, 2, 3)
    turn[:, 0, 0], turn[:, 1, 1], turn[:, :, 2] = scale * mirror, scale, shift
    grid = F.affine_grid(turn.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


class PicturePriorRecipe(FromPictures, PriorRecipe):
    """On two cores a little less than the network of the scenes; else one of 27 million numbers."""

    layers = 3

    def __init__(self, pictures: Pictures, clip: CLIP, profile: str):
        super().__init__(clip)
        if profile != "cpu":
            self.width, self.layers, self.heads = 512, 8, 8
        self.pictures, self.dataset = pictures, pictures.shuffled(7)
        shared = {"lr": 3e-3 if profile == "cpu" else 1e-3, "muon": 0.02, "warmup": 100, "ema": 0.995}
        self.profiles = {"cpu": TrainConfig(2000, batch=128, **shared), "t4": TrainConfig(50_000, batch=1024, **shared),
                         "gpu": TrainConfig(50_000, batch=1024, **shared)}  # fmt: skip


class PictureARPriorRecipe(FromPictures, ARPriorRecipe):
    """The autoregressive prior on the same pictures."""

    def __init__(self, pictures: Pictures, clip: CLIP, profile: str):
        super().__init__(clip)
        self.pictures, self.dataset = pictures, pictures.shuffled(7)
        scenes = ARPriorRecipe.profiles["cpu"]
        self.profiles = {name: replace(scenes, steps=steps, batch=batch, examples=0)
                         for name, steps, batch in (("cpu", 2000, 64), ("t4", 50_000, 512), ("gpu", 50_000, 1024))}


class PictureDecoderRecipe(FromPictures, DecoderRecipe):
    """64 pixels. On two cores the network of the scenes with patches of 4; else one of 110 million numbers."""

    def __init__(self, pictures: Pictures, clip: CLIP, profile: str):
        super().__init__(clip)
        self.pictures, self.dataset = pictures, pictures.shuffled(7)
        unet = UNetConfig(out_channels=6, channels=64, mults=(1, 2), blocks=1, attention=(1,), head_width=32,
                          context_width=128, patch=4)  # fmt: skip
        if profile != "cpu":
            unet = UNetConfig(out_channels=6, channels=192, mults=(1, 2, 3), blocks=2, attention=(1, 2), head_width=64,
                              context_width=512, patch=2)  # fmt: skip
        self.config = DecoderConfig(
            unet=unet, size=self.side, z_width=clip.config.embed_width, text_width=clip.config.text_width,
            diffusion=DiffusionConfig(target="x0", learned_variance=True, weighting="capped"),
        )  # fmt: skip
        self.profiles = {
            "cpu": TrainConfig(6000, batch=32, lr=1e-3, muon=0.02, warmup=100, ema=0.998),
            "t4": TrainConfig(100_000, batch=256, streams=8, lr=5e-4, muon=0.01, warmup=500, ema=0.9995),
            "gpu": TrainConfig(100_000, batch=256, lr=5e-4, muon=0.01, warmup=500, ema=0.9995),
        }


class PictureUpsamplerRecipe(FromPictures, UpsamplerRecipe):
    """From 64 to 256 pixels, on squares of 64 that lie anywhere in a picture."""

    side, crop = SIDES[1], 16

    def __init__(self, pictures: Pictures, config: CLIPConfig, profile: str):
        super().__init__(1)
        self.pictures, self.dataset, self.written = pictures, pictures.shuffled(7), config
        self.low, self.side = SIDES         # not those of the scenes
        wide = replace(self.config.unet, channels=64 if profile == "cpu" else 192)
        self.config = replace(self.config, size=self.side, low_size=self.low, unet=wide)
        shared = {"lr": 1.2e-3 if profile == "cpu" else 3e-4, "muon": 0.02, "warmup": 100, "ema": 0.995}
        self.profiles = {"cpu": TrainConfig(5000, batch=16, **shared), "t4": TrainConfig(50_000, batch=64, **shared),
                         "gpu": TrainConfig(50_000, batch=128, **shared)}  # fmt: skip

    @property
    def known(self) -> CLIPConfig:
        return self.written

    def loss(self, model, batch: Captioned, rng: torch.Generator) -> Tensor:
        crops = self.crops(batch.images, rng)
        high, low = pixels(crops.high), degrade_some(gaussian_blur(pixels(crops.low), rng), rng).to(model.device)
        return diffusion_loss(model, high, lambda x_t, t: model(x_t, t, low), rng, noisy=self.noisy)

    def crops(self, images: Tensor, rng: torch.Generator) -> Crops:
        """A square of each picture (B, 3, S, S) uint8 at both sizes."""
        factor = self.side // self.low
        corners = factor * torch.randint(self.low - self.crop + 1, (len(images), 2), generator=rng)
        width = factor * self.crop
        high = torch.stack([image[:, y : y + width, x : x + width]
                            for image, (x, y) in zip(images, corners.tolist(), strict=True)])  # fmt: skip
        return Crops(high, F.avg_pool2d(high.float(), factor).round().to(torch.uint8))


def picture_recipe(stage: str, pictures: Pictures, clip: CLIP | None, profile: str) -> Recipe:
    """The recipe of a stage for captioned pictures. Raises ValueError for a stage that has none."""
    if stage == "clip":
        return PictureClipRecipe(pictures, profile)
    if stage == "upsampler-1":
        return PictureUpsamplerRecipe(pictures, CLIPConfig(), profile)
    kinds = {"prior": PicturePriorRecipe, "ar-prior": PictureARPriorRecipe, "decoder": PictureDecoderRecipe}
    if stage not in kinds:
        raise ValueError(f"{stage} learns from scenes only: with --data choose clip, {', '.join(kinds)} or upsampler-1")
    return kinds[stage](pictures, clip, profile)
