"""The diffusion prior: from a caption's embedding to an image embedding (unCLIP section 2.2).

One causal Transformer reads the sequence

    [ text tokens | z_t | t | noised z_i | query ]

and what it makes of the last token, the query, is its guess of the clean z_i. Everything before t is the
same at every step: its keys and values are computed once (`prefix`), and a step runs three tokens only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .common import Stage
from .diffusion import SAMPLERS, Denoiser, Diffusion, DiffusionConfig, Step, guided
from .networks import KeyValue, Transformer, causal_mask, timestep_embedding
from .text import Text

STEP_TOKENS = 3  # t, the noised z_i, the query


@dataclass(frozen=True)
class PriorConfig:
    """The defaults are Karlo's."""

    z_width: int = 768                      # of z_i and z_t
    text_width: int = 768
    context: int = 77                       # the longest caption, in tokens
    width: int = 2048
    layers: int = 20
    heads: int = 32
    diffusion: DiffusionConfig = field(default_factory=lambda: DiffusionConfig(target="x0", clip=5.0))


@dataclass(frozen=True)
class Prefix:
    """The caption as a prior sees it, computed once: keys and values per block, and which of them count."""

    past: list[KeyValue]                    # per block, each (B, heads, context + 1, head width)
    mask: Tensor                            # (B, context + 1) bool

    def repeat(self, n: int) -> Prefix:
        """Each caption n times in a row: a, a, b, b, ..."""
        past = [tuple(x.repeat_interleave(n, dim=0) for x in key_value) for key_value in self.past]
        return Prefix(past, self.mask.repeat_interleave(n, dim=0))


class Prior(Stage):
    """P(z_i | y): what the diffusion prior and the autoregressive prior share, how they read the caption.

    Both write z_i in coordinates of their own, see `whiten`. Both have `stream`, which draws a z_i for each caption in
    `stream_length` steps, from noise (B, `noise_width`).
    """

    def __init__(self, config, following: int):
        """following: how many tokens come after the caption and z_t."""
        super().__init__()
        self.config, width = config, config.width
        self.embed_in = nn.Linear(config.z_width, width)
        self.tokens_in = nn.Linear(config.text_width, width)
        self.positions = nn.Parameter(0.01 * torch.randn(1, config.context + 1 + following, width))
        self.transformer = Transformer(width, config.layers, config.heads)
        self.norm_out = nn.LayerNorm(width)

    def prefix(self, text: Text) -> Prefix:
        """Read the caption and z_t: what all steps, and all pictures of a caption, share."""
        dtype, length = self.positions.dtype, text.tokens.shape[1]
        tokens = self.tokens_in(text.tokens.to(dtype)) + self.positions[:, :length]
        embed = self.embed_in(text.embed.to(dtype))[:, None] + self.positions[:, self.config.context, None]
        mask = torch.cat([text.mask, text.mask.new_ones(len(text), 1)], dim=1)          # (B, L + 1)
        allowed = causal_mask(length + 1, mask.device) & mask[:, None, None]            # (B, 1, L + 1, L + 1)
        _, past = self.transformer(torch.cat([tokens, embed], dim=1), allowed)
        return Prefix(past, mask)

    def read_on(self, x: Tensor, prefix: Prefix) -> tuple[Tensor, Prefix]:
        """Read n more tokens x (B, n, width): the Transformer's output (B, n, width), and the prefix grown by them.

        They see all of the caption that is no padding, and each other causally.
        """
        b, n = x.shape[:2]
        seen = prefix.mask[:, None, None].expand(-1, -1, n, -1)                         # (B, 1, n, M)
        new = causal_mask(n, x.device).expand(b, 1, -1, -1)                             # (B, 1, n, n)
        x, past = self.transformer(x, torch.cat([seen, new], dim=-1), prefix.past)
        return self.norm_out(x), Prefix(past, torch.cat([prefix.mask, prefix.mask.new_ones(b, n)], dim=1))


class DiffusionPrior(Prior):
    """Predicts the clean z_i, in whitened space, from a noised one and a caption.

    Diffusion wants data of about unit size, so it works on (z_i - mean) / std, with the statistics of the
    training pictures. The paper multiplies by 17.2 instead (Appendix C), to the same end.
    """

    config_class, file_name = PriorConfig, "prior.safetensors"

    def __init__(self, config: PriorConfig):
        super().__init__(config, following=STEP_TOKENS)
        width = config.width
        self.diffusion = Diffusion(config.diffusion)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.z_in = nn.Linear(config.z_width, width)
        self.query = nn.Parameter(0.01 * torch.randn(1, 1, width))
        self.z_out = nn.Linear(width, config.z_width)
        self.register_buffer("mean", torch.zeros(1, config.z_width))
        self.register_buffer("std", torch.ones(1, config.z_width))

    def whiten(self, z_i: Tensor) -> Tensor:
        """Raw CLIP image embeddings (B, D) -> mean 0 and standard deviation 1 in each dimension."""
        return (z_i - self.mean) / self.std

    def unwhiten(self, z: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return z * self.std + self.mean

    def forward(self, x_t: Tensor, t: Tensor, text: Text | Prefix) -> Tensor:
        """Noised embeddings x_t (B, D) at timesteps t (B,) -> the clean ones (B, D), all whitened.

        Pass what `prefix(text)` returned instead of the text when there are several steps to take.
        """
        prefix = text if isinstance(text, Prefix) else self.prefix(text)
        dtype = self.query.dtype
        time = self.time(timestep_embedding(t, self.config.width).to(dtype))
        steps = torch.stack([time, self.z_in(x_t.to(dtype))], dim=1)                    # (B, 2, width)
        x = torch.cat([steps, self.query.expand(len(x_t), -1, -1)], dim=1)              # (B, 3, width)
        x, _ = self.read_on(x + self.positions[:, -STEP_TOKENS:], prefix)
        return self.z_out(x[:, -1])                                                     # (B, D)

    def loss(self, z_i: Tensor, text: Text | Prefix, t: Tensor, eps: Tensor) -> Tensor:
        """The mean squared error of the clean z_i (B, D), raw, at timesteps t (B,) with noise eps (B, D): (B,)."""
        return self.diffusion.loss(lambda x_t, t: self(x_t, t, text), self.whiten(z_i), t, eps)

    # -- sampling --------------------------------------------------------------------------------------------

    @property
    def noise_width(self) -> int:
        return self.config.z_width

    def stream_length(self, steps: int) -> int:
        return steps

    def stream(
        self, text: Text, noise: Iterable[Tensor], *, empty: Text | None = None, guidance: float = 1.0,
        steps: int = 25, sampler: str = "ddim",
    ) -> Iterator[Step]:  # fmt: skip
        """Draw a z_i for each of B captions by one of SAMPLERS; `unwhiten` the last step's x_t (B, D)."""
        return SAMPLERS[sampler](self.diffusion, self.denoiser(text, empty, guidance), noise, steps)

    @torch.no_grad()
    def denoiser(self, text: Text, empty: Text | None = None, guidance: float = 1.0) -> Denoiser:
        """(x_t, t) -> x_0, whitened, for B captions. Guided, it compares with the encoded `empty` caption."""
        prefix = self.prefix(text if guidance == 1 else Text.cat(empty.repeat(len(text)), text))

        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            return self(x_t, t, prefix)

        return denoiser if guidance == 1 else guided(denoiser, guidance)
