"""Wrong answers to the modules, such as a learner might give."""

import torch
import torch.nn.functional as F
from torch import nn

from minunclip.networks import Attention, ResBlock, UNet
from minunclip.upsampler import Upsampler, upsample


class OneHead(Attention):
    def forward(self, x, mask=None):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))


class Unscaled(Attention):
    def forward(self, x, mask=None):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        return self.out(y.transpose(1, 2).flatten(2))


class OtherNames(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.query, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, mask=None):
        return self.out(x)


class WithoutShortcut(ResBlock):
    def forward(self, x, emb):
        return ResBlock.forward(self, x, emb) - self.skip(sized(self, x))


class TimeAdded(ResBlock):
    def forward(self, x, emb):
        h = self.conv1(sized(self, F.silu(self.norm1(x))))
        h = self.norm2(h) + self.time(F.silu(emb))[:, :, None, None].chunk(2, dim=1)[0]
        return self.skip(sized(self, x)) + self.conv2(F.silu(h))


def sized(block, x):
    if not block.resample:
        return x
    return F.avg_pool2d(x, 2) if block.resample == "down" else F.interpolate(x, scale_factor=2.0)


class WithoutSkips(UNet):
    def down_and_up(self, h, emb, context=None):
        def silent(skip):
            return torch.zeros_like(skip)

        skips = [h]
        for level in self.down:
            for i in range(len(level.blocks)):
                h = level.step(i, h, emb, context)
                skips.append(h)
            if level.resample is not None:
                h = level.resample(h, emb)
                skips.append(h)
        for i in (0, 1):
            h = self.middle.step(i, h, emb, context)
        for level in self.up:
            for i in range(len(level.blocks)):
                h = level.step(i, torch.cat([h, silent(skips.pop())], dim=1), emb, context)
            h = h if level.resample is None else level.resample(h, emb)
        return h


class NothingDone(UNet):
    def down_and_up(self, h, emb, context=None):
        return h


class LowFirst(Upsampler):
    def forward(self, x_t, t, low_res):
        low = upsample(low_res, x_t.shape[-2:])
        output = self.unet(torch.cat([low, x_t], dim=1), t)
        return low + self.config.residual * output if self.config.residual else output


class NotEnlarged(Upsampler):
    def forward(self, x_t, t, low_res):
        return self.unet(torch.cat([x_t, low_res], dim=1), t)


def greedy(follows, dot, u, temperature):
    tokens = dot[:, None]
    for _ in range(u.shape[1]):
        tokens = torch.cat([tokens, follows(tokens).argmax(dim=1, keepdim=True)], dim=1)
    return tokens[:, 1:]


def with_the_dot(follows, dot, u, temperature):
    tokens = dot[:, None]
    for k in range(u.shape[1]):
        logits = follows(tokens)
        p = F.one_hot(logits.argmax(1), logits.shape[1]) if temperature == 0 else (logits / temperature).softmax(1)
        tokens = torch.cat([tokens, (p.cumsum(1) < u[:, k : k + 1]).sum(1, keepdim=True)], dim=1)
    return tokens


WRONG = {  # {exercise: {a wrong answer: words of the hint that it gets, "" for none}}
    "MyAttention": {OneHead: "", Unscaled: "not divided by sqrt(d)", OtherNames: ""},
    "MyResBlock": {WithoutShortcut: "there is no shortcut", TimeAdded: ""},
    "MyUNet": {WithoutSkips: "the states of the way down are not used", NothingDone: ""},
    "MyUpsampler": {LowFirst: "the small picture comes first", NotEnlarged: "must be enlarged to the size of x_t"},
    "write_sentence": {greedy: "always the likeliest token", with_the_dot: "the first token, the dot, is part of"},
}
