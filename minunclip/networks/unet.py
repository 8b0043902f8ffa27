"""The U-Net of the decoder and of the upsamplers: the ADM network of Dhariwal & Nichol 2021.

The decoder adds to it attention over [caption tokens; picture positions], as GLIDE (Nichol et al. 2021)
does. The upsamplers use it without any attention (unCLIP section 2.1), so that they run at any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .transformer import timestep_embedding


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a U-Net. The defaults are those of Karlo's decoder, but for out_channels (6 there)."""

    in_channels: int = 3
    out_channels: int = 3
    channels: int = 320                     # width of the first level
    mults: tuple[int, ...] = (1, 2, 3, 4)   # level i is `channels * mults[i]` wide and has `1 / 2**i` of the side
    blocks: int = 3                         # ResBlocks per level on the way down; the way up has one more
    attention: tuple[int, ...] = (1, 2, 3)  # the levels with attention; if there is none the middle has none either
    head_width: int = 64
    context_width: int | None = 1536        # of the context tokens; None for attention without context
    film: bool = True                       # multiply and shift by the time embedding (scale-shift); False adds it
    patch: int = 1                          # patches of patch x patch pixels as channels: 2 makes small pictures cheap
    groups: int = 32
    dropout: float = 0.0

    def __post_init__(self):
        widths = [self.channels * mult for mult in self.mults]
        last = len(widths) - 1
        attended = {*self.attention, last} if self.attention else set()  # the middle is as wide as the last
        if not attended <= set(range(last + 1)):
            raise ValueError(f"UNetConfig: attention={self.attention}, but mults has levels 0 to {last}")
        for level, width in enumerate(widths):
            where = f"UNetConfig: level {level} is {width} wide, no multiple of"
            if width % self.groups:
                raise ValueError(f"{where} groups={self.groups}; change one of them")
            if level in attended and width % self.head_width:
                raise ValueError(f"{where} head_width={self.head_width}; change one of them")


@dataclass(frozen=True)
class Context:
    """What attention needs of the context tokens, computed once: see `UNet.prepare`."""

    keys_values: dict[nn.Module, tuple[Tensor, Tensor]]     # by AttentionBlock: 2 x (B, heads, N, D)
    mask: Tensor | None                                     # (B, N) bool, True = attend


class ResBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, around a shortcut; the time embedding comes in between.

    resample "down" halves and "up" doubles the side, inside the block: after the first normalisation.
    """

    def __init__(self, config: UNetConfig, inputs: int, outputs: int, resample: str = ""):
        super().__init__()
        self.film, self.resample = config.film, resample
        self.norm1 = nn.GroupNorm(config.groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(4 * config.channels, 2 * outputs if config.film else outputs)
        self.norm2 = nn.GroupNorm(config.groups, outputs)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = zero_init(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """x (B, inputs, H, W), emb (B, 4 * channels) -> (B, outputs, H', W')."""
        h = F.silu(self.norm1(x))
        if self.resample:
            h, x = resize(h, self.resample), resize(x, self.resample)
        h = self.conv1(h)                                    # (B, outputs, H', W')
        time = self.time(F.silu(emb))[:, :, None, None]      # (B, outputs or twice that, 1, 1)
        if self.film:
            scale, shift = time.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + time)
        return self.skip(x) + self.conv2(self.dropout(F.silu(h)))


class AttentionBlock(nn.Module):
    """Each position of the picture attends to the context tokens and to all positions, in one softmax."""

    def __init__(self, config: UNetConfig, width: int):
        super().__init__()
        self.heads = width // config.head_width
        self.norm = nn.GroupNorm(config.groups, width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        if config.context_width is not None:
            self.context_k, self.context_v = (nn.Linear(config.context_width, width) for _ in range(2))
        self.out = zero_init(nn.Linear(width, width))

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """x (B, C, H, W) -> the same shape."""
        h = rearrange(self.norm(x), "b c h w -> b (h w) c")
        q, k, v = (self.split_heads(linear(h)) for linear in (self.q, self.k, self.v))  # (B, heads, H * W, D)
        mask = None
        if context is not None:
            context_k, context_v = context.keys_values[self]
            k = torch.cat([context_k.to(k.dtype), k], dim=2)                    # (B, heads, N + H * W, D)
            v = torch.cat([context_v.to(v.dtype), v], dim=2)
            if context.mask is not None:
                mask = F.pad(context.mask, (0, h.shape[1]), value=True)[:, None, None]  # (B, 1, 1, N + H * W)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)             # (B, heads, H * W, D)
        h = self.out(rearrange(h, "b heads n d -> b n (heads d)"))
        return x + rearrange(h, "b (h w) c -> b c h w", h=x.shape[2])

    def context_kv(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """context (B, N, context_width) -> its keys and its values, (B, heads, N, D) each."""
        return self.split_heads(self.context_k(context)), self.split_heads(self.context_v(context))

    def split_heads(self, x: Tensor) -> Tensor:
        return rearrange(x, "b n (heads d) -> b heads n d", heads=self.heads)


class Level(nn.Module):
    """The blocks of one resolution: `inputs` lists the input width of each ResBlock; all end at `width`."""

    def __init__(self, config: UNetConfig, inputs: list[int], width: int, *, attentions: int = 0, resample=""):
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock(config, n, width) for n in inputs)
        self.attentions = nn.ModuleList(AttentionBlock(config, width) for _ in range(attentions))
        self.resample = ResBlock(config, width, width, resample) if resample else None

    def step(self, i: int, h: Tensor, emb: Tensor, context: Context | None) -> Tensor:
        """The i-th ResBlock and, if there is one, the attention after it."""
        h = self.blocks[i](h, emb)
        return self.attentions[i](h, context) if i < len(self.attentions) else h


class UNet(nn.Module):
    """Predicts from a noisy picture, its timestep and a condition (Dhariwal & Nichol 2021, section 3)."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        width, area = config.channels, config.patch**2
        self.time = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.conv_in = nn.Conv2d(config.in_channels * area, width, 3, padding=1)
        self.down, skips = self.build_down()
        top = skips[-1]
        self.middle = Level(config, [top, top], top, attentions=1 if config.attention else 0)
        self.up = self.build_up(skips)
        self.norm_out = nn.GroupNorm(config.groups, width * config.mults[0])
        self.conv_out = zero_init(nn.Conv2d(width * config.mults[0], config.out_channels * area, 3, padding=1))

    def build_down(self) -> tuple[nn.ModuleList, list[int]]:
        """The levels from fine to coarse, and the widths of the states that the way up reads back."""
        config, levels, skips = self.config, nn.ModuleList(), [self.config.channels]
        for i, mult in enumerate(config.mults):
            width, last = config.channels * mult, i == len(config.mults) - 1
            inputs = [skips[-1]] + [width] * (config.blocks - 1)
            attentions = config.blocks if i in config.attention else 0
            levels.append(Level(config, inputs, width, attentions=attentions, resample="" if last else "down"))
            skips += [width] * (config.blocks if last else config.blocks + 1)
        return levels, skips

    def build_up(self, skips: list[int]) -> nn.ModuleList:
        """The levels from coarse to fine. Each ResBlock reads the state so far and one of the way down."""
        config, levels, skips = self.config, nn.ModuleList(), list(skips)
        state = skips[-1]
        for i, mult in reversed(list(enumerate(config.mults))):
            width = config.channels * mult
            inputs = [(state if j == 0 else width) + skips.pop() for j in range(config.blocks + 1)]
            attentions = config.blocks + 1 if i in config.attention else 0
            levels.append(Level(config, inputs, width, attentions=attentions, resample="up" if i > 0 else ""))
            state = width
        return levels

    def forward(
        self, x: Tensor, t: Tensor, added: Tensor | None = None, context: Tensor | Context | None = None, *,
        mask: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """x (B, in_channels, H, W), timesteps t (B,) -> (B, out_channels, H, W), in the dtype of x.

        added (B, 4 * channels) is added to the time embedding. context (B, N, context_width) are the tokens
        attended to and mask (B, N) bool is True where they count; or context is what `prepare` returned.
        Raises ValueError if H or W cannot be halved at each level, or if the context is missing.
        """
        self.check(x, context)
        if isinstance(context, Tensor):
            context = self.prepare(context, mask)
        dtype = self.conv_in.weight.dtype
        emb = self.time(timestep_embedding(t, self.config.channels).to(dtype))  # (B, 4 * channels)
        emb = emb if added is None else emb + added
        h = self.conv_in(F.pixel_unshuffle(x.to(dtype), self.config.patch))
        h = self.down_and_up(h, emb, context)                                   # (B, channels, H', W')
        h = self.conv_out(F.silu(self.norm_out(h)))
        return F.pixel_shuffle(h, self.config.patch).to(x.dtype)

    def down_and_up(self, h: Tensor, emb: Tensor, context: Context | None) -> Tensor:
        skips = [h]
        for level in self.down:
            for i in range(len(level.blocks)):
                h = level.step(i, h, emb, context)
                skips.append(h)
            if level.resample is not None:
                h = level.resample(h, emb)
                skips.append(h)
        for i in range(2):
            h = self.middle.step(i, h, emb, context)
        for level in self.up:
            for i in range(len(level.blocks)):
                h = level.step(i, torch.cat([h, skips.pop()], dim=1), emb, context)
            h = h if level.resample is None else level.resample(h, emb)
        return h

    def prepare(self, context: Tensor, mask: Tensor | None = None) -> Context:
        """The keys and values of context (B, N, context_width): constant over the sampling steps."""
        blocks = [module for module in self.modules() if isinstance(module, AttentionBlock)]
        context = context.to(self.conv_in.weight.dtype)
        return Context({block: block.context_kv(context) for block in blocks}, mask)

    def check(self, x: Tensor, context: Tensor | Context | None) -> None:
        factor = self.config.patch * 2 ** (len(self.config.mults) - 1)
        if x.shape[-1] % factor or x.shape[-2] % factor:
            raise ValueError(f"UNet: the picture's sides {tuple(x.shape[-2:])} must be multiples of {factor}")
        if context is None and self.config.attention and self.config.context_width is not None:
            raise ValueError(f"UNet: pass a context, tokens (B, N, {self.config.context_width}) or a Context")


def resize(x: Tensor, direction: str) -> Tensor:
    """(B, C, H, W) to half the side, by averaging, or to twice the side, by repeating."""
    return F.avg_pool2d(x, 2) if direction == "down" else F.interpolate(x, scale_factor=2.0, mode="nearest")


def zero_init(layer: nn.Module) -> nn.Module:
    """A layer that starts at zero: a residual branch then starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
