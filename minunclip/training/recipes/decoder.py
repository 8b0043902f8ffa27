"""What the decoder trains on (unCLIP section 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...decoder import Decoder, DecoderConfig
from ...diffusion import DiffusionConfig
from ...networks import UNetConfig
from ...text import Text
from ..data import Embedded, drop, pictures, pixels
from ..trainer import TrainConfig
from .base import SIDES, CaptionRecipe, diffusion_loss


class DecoderRecipe(CaptionRecipe):
    """Pictures from z_i (dropped one time in ten) and the caption (every other time).

    A second loss aligns the middle of the U-Net with CLIP's patches of the clean picture (REPA, Yu et al. 2024): from
    noise the network should tell what CLIP sees in the picture behind it. Shapes are learned sooner by it. The small
    network that compares the two is a part of the training only.
    """

    alignment = 0.5                         # the weight of that loss

    config = DecoderConfig(
        unet=UNetConfig(
            out_channels=6, channels=64, mults=(1, 2), blocks=1, attention=(1,), head_width=32, context_width=128,
            patch=2,
        ),
        size=SIDES[0], z_width=128, text_width=128,
        diffusion=DiffusionConfig(target="x0", learned_variance=True, weighting="capped"),
    )  # fmt: skip
    profiles = {
        "cpu": TrainConfig(
            steps=48_000, batch=16, examples=262_144, lr=1e-3, muon=0.02, warmup=200, steady=0.75, ema=0.999,
        ),
        "gpu": TrainConfig(steps=20000, batch=384, examples=524_288, lr=1e-3, muon=0.02, ema=0.999),
    }

    def build(self) -> Decoder:
        """A new decoder. The whitening is measured now, not in the middle of the first training step."""
        _ = self.whitening, self.patch_statistics
        decoder = Decoder(self.config)
        width, patch_width = decoder.unet.middle.blocks[-1].conv2.out_channels, self.clip.config.image_width
        decoder.align = nn.Sequential(nn.Conv2d(width, 256, 1), nn.SiLU(), nn.Conv2d(256, patch_width, 1))
        return decoder

    def loss(self, model: Decoder, batch: Embedded, rng: torch.Generator) -> Tensor:
        text, _ = self.read(drop(batch.ids, self.empty, 0.5, rng))
        return self.diffusion(model, replace(batch, z_i=self.whiten_z(batch.z_i)), text, rng)

    def diffusion(self, model: Decoder, batch: Embedded, text: Text, rng: torch.Generator) -> Tensor:
        """The loss of pictures, given z_i and captions as the model reads them. One z_i in ten is dropped."""
        dropped = torch.rand(len(batch), generator=rng) < 0.1
        condition = model.condition(model.with_dropped(batch.z_i, dropped.to(model.device)), text)
        images = pixels(batch.images)
        with outputs_of(model.unet.middle.blocks[-1]) as middle:
            loss = diffusion_loss(model, images, lambda x_t, t: model(x_t, t, condition=condition), rng, noisy=0.5)
        if not hasattr(model, "align"):                                 # a finished decoder that is trained on
            return loss
        return loss + self.alignment * self.misaligned(model.align(middle[-1]), images.to(model.device))

    def misaligned(self, said: Tensor, images: Tensor) -> Tensor:
        """1 - cosine of what is said of each place (B, width, H, W) and what CLIP says of it."""
        patches = self.patches(images)                                  # (B, width, H', W')
        side = min(said.shape[-1], patches.shape[-1])
        said, patches = (F.adaptive_avg_pool2d(each.float(), side) for each in (said, patches))
        mean, std = (each.to(said.device)[:, None, None] for each in self.patch_statistics)
        return 1 - F.cosine_similarity(said, (patches - mean) / std, dim=1).mean()

    @torch.no_grad()
    def patches(self, images: Tensor) -> Tensor:
        """What CLIP's last block says of each patch of pictures (B, 3, S, S) in -1 to 1: (B, width, H, W)."""
        read = self.clip.image.read(self.clip.prepared(images))[:, 1:]  # without the class token
        return rearrange(read, "b (h w) d -> b d h w", h=self.clip.config.image_size // self.clip.config.patch)

    @cached_property
    def patch_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each of CLIP's numbers for a patch: (width,) each."""
        side, count = self.clip.config.image_size, min(512, self.statistics)
        images = pixels(pictures([self.dataset[i] for i in range(count)], side)).to(self.clip.device)
        patches = torch.cat([self.patches(part) for part in images.split(128)])
        return patches.mean(dim=(0, 2, 3)).cpu(), patches.std(dim=(0, 2, 3)).cpu()

    @torch.no_grad()
    def finish(self, model: Decoder) -> None:
        """Build the whitening into the first layers: from now on the decoder takes embeddings as they are."""
        for layer in (model.z_to_time, model.z_to_tokens):
            self.whiten_z.fold_into(layer)
        self.whiten_embed.fold_into(model.text_to_time)
        self.whiten_tokens.fold_into(model.text_to_tokens)
        model.null_z.copy_(self.whiten_z.undo(model.null_z))
        del model.align


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """A list that fills with what the module returns."""
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        hook.remove()
