"""Mistakes in the modules that a learner builds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ....ar_prior import pick
from ....networks import Attention, ResBlock, UNet
from ....upsampler import Upsampler, upsample


def attention(**how) -> type[Attention]:
    """Self-attention with one thing done otherwise."""
    split, order = how.get("split", "b n (three h d) -> three b h n d"), how.get("order", (0, 1, 2))

    class Mistaken(Attention):
        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            parts = rearrange(self.qkv(x), split, three=3, h=self.heads)
            q, k, v = (parts[i] for i in order)                             # (B, heads, N, d) each
            scores = q @ k.mT / how.get("divide", lambda d, w: d**0.5)(q.shape[-1], x.shape[-1])
            if mask is not None and how.get("mask", True) and not how.get("late"):
                scores = scores.masked_fill(mask if how.get("upside_down") else ~mask, how.get("hidden", -torch.inf))
            weights = scores.softmax(dim=how.get("dim", -1))
            y = (weights if mask is None or not how.get("late") else weights * mask) @ v
            y = rearrange(y, how.get("join", "b h n d -> b n (h d)"))
            return self.out(y) if how.get("out", True) else y

    return Mistaken


ATTENTION = {
    "the scores are not divided by sqrt(d)": attention(divide=lambda d, w: 1),
    "divided by d; it should be by its square root": attention(divide=lambda d, w: d),
    "divided by the root of the whole width; d is the width of one head": attention(divide=lambda d, w: w**0.5),
    "the softmax goes over the queries; it goes over the keys, dim=-1": attention(dim=-2),
    "the softmax goes over the heads; it goes over the keys, dim=-1": attention(dim=1),
    "the mask is not used": attention(mask=False),
    "the mask is upside down: True means seen": attention(upside_down=True),
    "the weights are set to 0 after the softmax, so a row no longer sums to 1; hide the scores before it": attention(
        late=True),
    "hidden scores are set to 0, and exp(0) is not 0; they must be -inf before the softmax": attention(hidden=0),
    "the last layer, `out`, is not used": attention(out=False),
    "q, k and v come in the order k, q, v here": attention(order=(1, 0, 2)),
    "q, k and v come in the order q, v, k here": attention(order=(0, 2, 1)),
    "the heads are split off first; the output of qkv is all q, then all k, then all v": attention(
        split="b n (h three d) -> three b h n d"),
    "the heads take every so-many-th number; a head has neighbouring ones: (h d)": attention(
        split="b n (three d h) -> three b h n d"),
    "the heads are put together as (d h); it should be (h d)": attention(join="b h n d -> b n (d h)"),
}  # fmt: skip


def block(**how) -> type[ResBlock]:
    """A ResBlock with one thing done otherwise."""

    class Mistaken(ResBlock):
        def forward(self, x: Tensor, emb: Tensor) -> Tensor:
            h = F.silu(self.norm1(x)) if how.get("silu", True) else self.norm1(x)
            if self.resample and how.get("resample", True):
                h = sized(h, self.resample)
                x = sized(x, self.resample) if how.get("short_too", True) else x
            h = self.conv1(h)
            time = self.time(F.silu(emb) if how.get("silu_emb", True) else emb)[:, :, None, None]
            scale, shift = time.chunk(2, dim=1)
            scale, shift = (shift, scale) if how.get("exchanged") else (scale, shift)
            normed = self.norm2(h) if how.get("norm", True) else h
            h = normed * (how.get("one", 1) + scale) + shift if how.get("film", True) else normed
            h = self.conv2(F.silu(h) if how.get("silu_2", True) else h)
            if not how.get("shortcut", True):
                return h
            return (self.skip(x) if how.get("skip", True) else x) + h

    return Mistaken


def sized(x: Tensor, how: str) -> Tensor:
    return F.avg_pool2d(x, 2) if how == "down" else F.interpolate(x, scale_factor=2.0, mode="nearest")


BLOCK = {
    "there is no shortcut: add what came in": block(shortcut=False),
    "the shortcut does not go through `skip`, which makes the widths agree": block(skip=False),
    "the 1 is missing in FiLM: h * (1 + scale) + shift": block(one=0),
    "scale and shift are exchanged: the first half of `time` is the scale": block(exchanged=True),
    "the time is not used": block(film=False),
    "the second normalisation is missing": block(norm=False),
    "SiLU is missing between the first normalisation and the convolution": block(silu=False),
    "SiLU is missing between FiLM and the second convolution": block(silu_2=False),
    "the time embedding goes through SiLU before `time`": block(silu_emb=False),
    "nothing is resampled: where self.resample is set, the side halves or doubles": block(resample=False),
    "the shortcut is not resampled, so the two sides differ": block(short_too=False),
}  # fmt: skip


def unet(**how) -> type[UNet]:
    """A U-Net with one thing done otherwise on its way down and up."""

    class Mistaken(UNet):
        def down_and_up(self, h: Tensor, emb: Tensor, context=None) -> Tensor:
            skips, emb = [h] if how.get("first", True) else [], how.get("emb", 1) * emb
            for level in self.down:
                for i in range(len(level.blocks)):
                    h = level.step(i, h, emb, context)
                    skips.append(h)
                if level.resample is not None:
                    h = level.resample(h, emb)
                    skips += [h] if how.get("resampled", True) else []
            for i in how.get("middle", (0, 1)):
                h = self.middle.step(i, h, emb, context)
            for level in self.up:
                for i in range(len(level.blocks)):
                    back = skips.pop(how.get("end", -1))
                    pair = [back, h] if how.get("back_first") else [h, 0 * back if how.get("cut") else back]
                    h = level.step(i, torch.cat(pair, dim=1), emb, context)
                h = h if level.resample is None else level.resample(h, emb)
            return h

    return Mistaken


U_NET = {
    "the first state, before any block, is a skip connection, too": unet(first=False),
    "the states after halving the side are skip connections, too": unet(resampled=False),
    "the time embedding is not handed on": unet(emb=0),
    "the middle is left out": unet(middle=()),
    "the middle has two blocks, not three": unet(middle=(0, 1, 1)),
    "the blocks of the middle come in the wrong order": unet(middle=(1, 0)),
    "the middle has two blocks": unet(middle=(0,)),
    "the states come back in the wrong order: the last one first": unet(end=0),
    "the state so far comes first, and then the one of the way down": unet(back_first=True),
    "the states of the way down are not used": unet(cut=True),
}  # fmt: skip


def upsampler(**how) -> type[Upsampler]:
    """An upsampler with one thing done otherwise."""

    class Mistaken(Upsampler):
        def forward(self, x_t: Tensor, t: Tensor, low_res: Tensor) -> Tensor:
            low = how.get("enlarge", upsample)(low_res, x_t.shape[-2:])
            pair = [low, x_t] if how.get("low_first") else [how.get("noisy", 1) * x_t, low]
            if how.get("low_only"):
                pair = [low, low]
            output, scale = self.unet(torch.cat(pair, dim=1), how.get("time", 1) * t), self.config.residual
            if not scale or how.get("whole"):
                return output
            if how.get("from_noise"):
                return x_t + scale * output
            return how.get("base", low) + how.get("sign", 1) * (1 if how.get("unscaled") else scale) * output

    return Mistaken


def repeated(low: Tensor, size) -> Tensor:
    return F.interpolate(low, tuple(size), mode="nearest")


def bilinear(low: Tensor, size) -> Tensor:
    return F.interpolate(low, tuple(size), mode="bilinear")


UPSAMPLER = {
    "the small picture comes first; the noisy one should": upsampler(low_first=True),
    "with `residual` the answer is what the small picture lacks: add it to the enlarged one": upsampler(whole=True),
    "the answer is not multiplied by `residual`": upsampler(unscaled=True),
    "the answer is added to x_t; add it to the enlarged small picture": upsampler(from_noise=True),
    "the answer is taken off; add it": upsampler(sign=-1),
    "the network does not see x_t": upsampler(noisy=0),
    "the small picture goes in twice; the noisy one is missing": upsampler(low_only=True),
    "the timestep is not handed on": upsampler(time=0),
    "`residual` scales the answer, but the small picture is not added": upsampler(base=0),
    "the small picture is enlarged by repeating pixels; take `upsample`, which is bicubic": upsampler(enlarge=repeated),
    "the small picture is enlarged bilinearly; take `upsample`, which is bicubic": upsampler(enlarge=bilinear),
    "the small picture must be enlarged to the size of x_t before they are joined": upsampler(
        enlarge=lambda low, size: low),
}  # fmt: skip


def sentence(**how):
    """The loop over the components with one thing done otherwise."""

    def mistaken(follows, dot: Tensor, u: Tensor, temperature: float) -> Tensor:
        tokens = dot[:, None]
        for k in range(how.get("begin", 0), u.shape[1]):
            read = tokens[:, -1:] if how.get("last_only") else tokens[:, :1] if how.get("first_only") else tokens
            column = u[:, :1] if how.get("same_u") else u[:, k + how.get("late", 0)][:, None]
            token = pick(follows(read), column, how.get("temperature", temperature))
            tokens = torch.cat([token, tokens] if how.get("in_front") else [tokens, token], dim=1)
        answer = tokens[:, how.get("cut", 1) :]
        return answer.flip(1) if how.get("flip") else answer

    return mistaken


SENTENCE = {
    "the first token, the dot, is part of the answer; return what follows it": sentence(cut=0),
    "the model reads the last token only; it must read all so far": sentence(last_only=True),
    "the model reads the dot only: what is drawn must be read again": sentence(first_only=True),
    "every token is picked with the first u; each has its own": sentence(same_u=True),
    "each token is picked with the number of the one before it": sentence(late=-1),
    "the sentence is written backward": sentence(flip=True),
    "the temperature is not handed on": sentence(temperature=1.0),
    "always the likeliest token: u picks it": sentence(temperature=0.0),
    "new tokens are put in front; they belong at the end": sentence(in_front=True),
    "one token too few: there is one for each column of u": sentence(begin=1),
}  # fmt: skip

MISTAKES = {
    "MyAttention": ATTENTION, "MyResBlock": BLOCK, "MyUNet": U_NET, "MyUpsampler": UPSAMPLER,
    "write_sentence": SENTENCE,
}  # fmt: skip
