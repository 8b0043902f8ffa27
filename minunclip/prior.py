"""The diffusion prior: from a caption's embedding to an image embedding (unCLIP section 2.2).

One causal Transformer reads the sequence

    [ text tokens | z_t | t | noised z_i | query ]

and what it makes of the last token, the query, is its guess of the clean z_i. Everything before t is the
same at every step: its keys and values are computed once (`prefix`), and a step runs three tokens only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .diffusion import Diffusion, DiffusionConfig
from .stage import Stage
from .text import Text
from .transformer import KeyValue, Transformer, causal_mask, timestep_embedding

STEP_TOKENS = 3  # t, the noised z_i, the query


@dataclass(frozen=True)
class PriorConfig:
    """The defaults are Karlo's. z_width: of z_i and z_t. context: the longest caption, in tokens."""

    z_width: int = 768
    text_width: int = 768
    context: int = 77
    width: int = 2048
    layers: int = 20
    heads: int = 32
    diffusion: DiffusionConfig = field(default_factory=lambda: DiffusionConfig(target="x0", clip=5.0))


@dataclass(frozen=True)
class Prefix:
    """The caption as the prior sees it, computed once: keys and values per block, and which of them count."""

    past: list[KeyValue]                    # per block, each (B, heads, context + 1, head width)
    mask: Tensor                            # (B, context + 1) bool


class DiffusionPrior(Stage):
    """P(z_i | y): predicts the clean z_i, in whitened space, from a noised one and a caption.

    Diffusion wants data of about unit size, so it works on (z_i - mean) / std, with the statistics of the
    training pictures. The paper multiplies by 17.2 instead (Appendix C), to the same end.
    """

    config_class, file_name = PriorConfig, "prior.safetensors"

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config, width = config, config.width
        self.diffusion = Diffusion(config.diffusion)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.z_in = nn.Linear(config.z_width, width)
        self.embed_in = nn.Linear(config.z_width, width)
        self.tokens_in = nn.Linear(config.text_width, width)
        self.query = nn.Parameter(0.01 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.01 * torch.randn(1, config.context + 1 + STEP_TOKENS, width))
        self.transformer = Transformer(width, config.layers, config.heads)
        self.norm_out = nn.LayerNorm(width)
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
        x = x + self.positions[:, -STEP_TOKENS:]
        x, _ = self.transformer(x, self._step_mask(prefix.mask), prefix.past)
        return self.z_out(self.norm_out(x[:, -1]))                                      # (B, D)

    def prefix(self, text: Text) -> Prefix:
        """Run the tokens that see neither t nor x_t: the caption and z_t."""
        dtype, length = self.query.dtype, text.tokens.shape[1]
        tokens = self.tokens_in(text.tokens.to(dtype)) + self.positions[:, :length]
        embed = self.embed_in(text.embed.to(dtype))[:, None] + self.positions[:, self.config.context, None]
        mask = torch.cat([text.mask, text.mask.new_ones(len(text), 1)], dim=1)          # (B, L + 1)
        allowed = causal_mask(length + 1, mask.device) & mask[:, None, None]            # (B, 1, L + 1, L + 1)
        _, past = self.transformer(torch.cat([tokens, embed], dim=1), allowed)
        return Prefix(past, mask)

    def _step_mask(self, mask: Tensor) -> Tensor:
        """The three new tokens see all of the caption that is no padding, and each other causally."""
        seen = mask[:, None, None].expand(-1, -1, STEP_TOKENS, -1)                      # (B, 1, 3, L + 1)
        new = causal_mask(STEP_TOKENS, mask.device).expand(len(mask), 1, -1, -1)        # (B, 1, 3, 3)
        return torch.cat([seen, new], dim=-1)

    def loss(self, z_i: Tensor, text: Text, t: Tensor, eps: Tensor) -> Tensor:
        """The mean squared error of the clean z_i (B, D), raw, at timesteps t (B,) with noise eps (B, D): (B,)."""
        return self.diffusion.loss(lambda x_t, t: self(x_t, t, text), self.whiten(z_i), t, eps)
