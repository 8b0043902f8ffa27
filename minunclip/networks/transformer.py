"""One Transformer for everything: CLIP's two encoders and the prior.

Pre-norm blocks, as in GPT-2 and CLIP:

    x = x + Attention(LayerNorm(x))
    x = x + MLP(LayerNorm(x))
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """Write each timestep as a vector of cosines and sines of falling frequency.

    t (B,) integers or floats -> (B, width) float32, the cosines first. Vaswani et al. 2017, section 3.5.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[:, None].float() * frequencies                           # (B, half)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)              # (B, width)


def causal_mask(length: int, device=None) -> Tensor:
    """(length, length), True where row i may look at column j: j <= i."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x): the approximation of GELU that OpenAI's CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {"gelu": nn.GELU, "quick_gelu": QuickGELU}


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v, in `heads` independent groups of channels.

    `past` holds keys and values of earlier positions, computed in an earlier call: the new positions
    attend to them as if they stood in front of x. Returns the output and all keys and values up to here.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} cannot be split evenly into {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, past: KeyValue | None = None):
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)     # (B, heads, N, d)
        return self.out(rearrange(y, "b h n d -> b n (h d)")), (k, v)


class Block(nn.Module):
    """Attention mixes the positions, the MLP then works on each position alone."""

    def __init__(self, width: int, heads: int, activation: str = "gelu", inner: int | None = None):
        """inner: the channels in the middle of the MLP, by default four times as many as outside."""
        super().__init__()
        inner = inner or 4 * width
        self.norm_1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), ACTIVATIONS[activation](), nn.Linear(inner, width))

    def forward(self, x: Tensor, mask: Tensor | None = None, past: KeyValue | None = None):
        y, present = self.attention(self.norm_1(x), mask, past)
        x = x + y
        return x + self.mlp(self.norm_2(x)), present


class Transformer(nn.Module):
    """A stack of blocks.

    x (B, N, width); mask broadcastable to (B, heads, N, M), True where attention is allowed, M = N plus
    the length of `past`; returns the output (B, N, width) and the keys and values of every block, which
    the next call can take as its `past`.
    """

    def __init__(self, width: int, layers: int, heads: int, activation: str = "gelu", *, inner: int | None = None):
        """inner: see `Block`."""
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, activation, inner) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None, past: list[KeyValue] | None = None):
        present = []
        for i, block in enumerate(self.blocks):
            x, key_value = block(x, mask, past[i] if past else None)
            present.append(key_value)
        return x, present
