"""The decoder: from a CLIP image embedding (and a caption) to a small picture (unCLIP section 2.1).

It is the text-to-image U-Net of GLIDE (Nichol et al. 2021) with z_i put in twice: projected and added to
the time embedding, and projected to four extra tokens next to those of the caption.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor, nn

from .common import Stage
from .diffusion import SAMPLERS, Denoiser, Diffusion, DiffusionConfig, Step, guided
from .networks import Context, UNet, UNetConfig
from .text import Text


@dataclass(frozen=True)
class DecoderConfig:
    """The defaults are Karlo's."""

    unet: UNetConfig = field(default_factory=lambda: UNetConfig(out_channels=6))
    size: int = 64                          # side of the picture
    z_width: int = 768                      # of z_i and z_t
    text_width: int = 768                   # of the caption's tokens
    extra_tokens: int = 4                   # so many context tokens are made of z_i
    diffusion: DiffusionConfig = field(default_factory=lambda: DiffusionConfig(learned_variance=True))

    def __post_init__(self):
        learned, channels = self.diffusion.learned_variance, self.unet.out_channels
        if channels != (6 if learned else 3):
            raise ValueError(f"DecoderConfig: unet.out_channels={channels} does not go with learned_variance="
                             f"{learned}; set it to {6 if learned else 3}")


@dataclass(frozen=True)
class Condition:
    """All that the U-Net needs of z_i and the caption: see `Decoder.condition`."""

    added: Tensor                           # (B, 4 * channels), joins the time embedding
    context: Context                        # of extra_tokens + L tokens


class Decoder(Stage):
    """P(x | z_i, y): predicts the noise in x_t, given an image embedding and a caption."""

    config_class, file_name = DecoderConfig, "decoder.safetensors"

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        time_width, context_width = 4 * config.unet.channels, config.unet.context_width
        self.z_to_time = nn.Linear(config.z_width, time_width)
        self.text_to_time = nn.Linear(config.z_width, time_width)
        self.z_to_tokens = nn.Linear(config.z_width, config.extra_tokens * context_width)
        self.text_to_tokens = nn.Linear(config.text_width, context_width)
        self.text_norm = nn.LayerNorm(context_width)
        self.null_z = nn.Parameter(torch.zeros(config.z_width))
        self.unet = UNet(config.unet)
        self.diffusion = Diffusion(config.diffusion)

    def forward(
        self, x_t: Tensor, t: Tensor, z_i: Tensor | None = None, text: Text | None = None, *,
        condition: Condition | None = None,
    ) -> Tensor:  # fmt: skip
        """x_t (B, 3, S, S), t (B,) timesteps 0..999 -> (B, 6, S, S): eps and v, or (B, 3, S, S): eps alone.

        z_i (B, D) is the image embedding, None for the learned unconditional one. A sampler computes
        `condition = decoder.condition(z_i, text)` once and passes that instead of z_i and text.
        Raises ValueError if there is neither a text nor a condition.
        """
        if condition is None:
            if text is None:
                raise ValueError("Decoder: pass text (a caption may be the empty string) or condition")
            condition = self.condition(z_i, text)
        return self.unet(x_t, t, condition.added, condition.context)

    def condition(self, z_i: Tensor | None, text: Text) -> Condition:
        """z_i (B, D) or None, text of B captions -> what stays the same over all the steps of a sampler."""
        dtype = self.null_z.dtype
        z_t, text_tokens = text.embed.to(dtype), text.tokens.to(dtype)
        z_i = self.null_z.expand(len(z_t), -1) if z_i is None else z_i.to(dtype)
        # Token k, dimension d is output 4 d + k. Any layout could be learned; Karlo's weights have this one.
        z_tokens = rearrange(self.z_to_tokens(z_i), "b (d k) -> b k d", k=self.config.extra_tokens)
        tokens = self.text_norm(self.text_to_tokens(text_tokens))                # (B, L, context_width)
        context = torch.cat([z_tokens.to(tokens.dtype), tokens], dim=1)          # (B, extra_tokens + L, ...)
        always = text.mask.new_ones(len(z_t), self.config.extra_tokens)
        mask = torch.cat([always, text.mask], dim=1)                             # (B, extra_tokens + L)
        return Condition(self.z_to_time(z_i) + self.text_to_time(z_t), self.unet.prepare(context, mask))

    def with_dropped(self, z_i: Tensor, drop: Tensor) -> Tensor:
        """z_i (B, D) with the rows where drop (B,) bool is True replaced by the unconditional embedding.

        Training drops 10 % of the rows, so that one network learns what guidance needs (unCLIP section 2.1,
        Ho & Salimans 2022).
        """
        return torch.where(drop[:, None], self.null_z.to(z_i.dtype), z_i)

    # -- sampling --------------------------------------------------------------------------------------------

    def stream(
        self, z_i: Tensor | None, text: Text, noise: Iterable[Tensor], *, empty: Text | None = None,
        guidance: float = 1.0, steps: int = 25, sampler: str = "ddim",
    ) -> Iterator[Step]:  # fmt: skip
        """Draw z_i (B, D) and B captions by one of SAMPLERS: the last step's x_t is the picture, (B, 3, S, S)."""
        return SAMPLERS[sampler](self.diffusion, self.denoiser(z_i, text, empty, guidance), noise, steps)

    @torch.no_grad()
    def denoiser(
        self, z_i: Tensor | None, text: Text, empty: Text | None = None, guidance: float = 1.0
    ) -> Denoiser:
        """(x_t, t) -> prediction. Guided, it compares with no image embedding and the encoded `empty` caption."""
        z_i = self.null_z.expand(len(text), -1) if z_i is None else z_i
        if guidance != 1:
            z_i = torch.cat([self.null_z.expand(len(text), -1).to(z_i.dtype), z_i])     # (2 B, D)
            text = Text.cat(empty.repeat(len(text)), text)
        condition = self.condition(z_i, text)

        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            return self(x_t, t, condition=condition)

        return denoiser if guidance == 1 else guided(denoiser, guidance)
