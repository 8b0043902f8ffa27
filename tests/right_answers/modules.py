"""The modules that a learner builds, written in other ways than ours."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from minunclip.networks import ResBlock, UNet
from minunclip.upsampler import Upsampler, upsample


class OwnAttention(nn.Module):
    """With layers of its own, and einsum."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, mask=None):
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).unbind(2)                 # (B, N, heads, d) each
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / q.shape[3] ** 0.5
        if mask is not None:
            scores = scores + torch.zeros_like(scores).masked_fill(~mask, -math.inf)
        return self.out(torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v).flatten(2))


class OwnResBlock(ResBlock):
    def forward(self, x, emb):
        h = F.silu(self.norm1(x))
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        if self.resample == "up":
            h, x = (y.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) for y in (h, x))
        scale, shift = rearrange(self.time(F.silu(emb)), "b (two c) -> two b c 1 1", two=2)
        h = self.norm2(self.conv1(h))
        return self.conv2(F.silu(h + scale * h + shift)) + self.skip(x)


class OwnUNet(UNet):
    def down_and_up(self, h, emb, context=None):
        states = [h]
        for level in self.down:
            for i, _ in enumerate(level.blocks):
                states.append(level.step(i, states[-1], emb, context))
            if level.resample:
                states.append(level.resample(states[-1], emb))
        h = self.middle.step(1, self.middle.step(0, states[-1], emb, context), emb, context)
        for level in self.up:
            for i, _ in enumerate(level.blocks):
                h = level.step(i, torch.cat((h, states.pop()), 1), emb, context)
            h = level.resample(h, emb) if level.resample else h
        return h


class OwnUpsampler(Upsampler):
    def forward(self, x_t, t, low_res):
        low = upsample(low_res, x_t.shape[2:])
        answer = self.unet(torch.cat((x_t, low), dim=1), t)
        return torch.add(low, answer, alpha=self.config.residual) if self.config.residual > 0 else answer


RIGHT = {"MyAttention": [OwnAttention], "MyResBlock": [OwnResBlock], "MyUNet": [OwnUNet], "MyUpsampler": [OwnUpsampler]}
