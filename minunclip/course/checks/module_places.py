"""Where a learner's modules stand in for the library's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from ...ar_prior import ARPrior, guide
from ...diffusion import Step
from ...networks import UNet, causal_mask, transformer, unet
from ...text import Text
from ...upsampler import Upsampler
from .core import normal
from .modules import Follows, filled, small, uniform, upsampling
from .places import Place, direct


def attention(mine: type[nn.Module], library: type[nn.Module]) -> type[nn.Module]:
    """The library wants keys and values back, and has a `past` for the priors: there its own way is taken."""

    class Attention(mine):
        def forward(self, x: Tensor, mask: Tensor | None = None, past=None):
            if past is not None:
                return library.forward(self, x, mask, past)
            _, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
            return super().forward(x, mask), (k, v)

    return Attention


def method(name: str) -> Callable:
    """The learner's version of one method, for a class that is built all over the library."""
    return lambda mine, library: getattr(mine, name)


def stream(mine: Callable, library: Callable) -> Callable:
    @torch.no_grad()
    def sentence(self: ARPrior, text: Text, noise, *, empty=None, guidance: float = 1.0, temperature: float = 1.0,
                 dot_from: float = 0.5, **unused):  # fmt: skip
        """As ARPrior.stream; the sentence is written in the first step, and told component by component."""
        if guidance != 1 and empty is None or temperature < 0 or not 0 <= dot_from < 1:
            options = {"empty": empty, "guidance": guidance, "temperature": temperature, "dot_from": dot_from}
            yield from library(self, text, noise, **options)                # it says what is wrong
        u, components = self.uniform(noise, len(text)), self.config.components
        reader = Reader(self, self.prefix(text if guidance == 1 else Text.cat(empty.repeat(len(text)), text)), guidance)
        ids = mine(reader, self.draw_dot(u[:, :1], dot_from)[:, 0], u[:, 1:], temperature)
        for k in range(components):
            x = self.dequantise(ids) * (torch.arange(components, device=u.device) <= k)     # (B, K)
            yield Step(x, x, components - 1 - k)

    return sentence


class Reader:
    """The logits of what follows some tokens. What it has read before it keeps, and reads only what is new."""

    def __init__(self, prior: ARPrior, prefix, guidance: float):
        self.prior, self.prefix, self.guidance, self.seen, self.logits = prior, prefix, guidance, 0, None

    def __call__(self, tokens: Tensor) -> Tensor:
        if tokens.shape[1] > self.seen:
            new = tokens[:, self.seen :].repeat(1 if self.guidance == 1 else 2, 1)
            logits, self.prefix = self.prior.read(new, self.prefix, first=self.seen)
            self.seen, self.logits = tokens.shape[1], guide(logits[:, -1], self.guidance)
        return self.logits


# -- what must come out the same when a learner's module stands there ----------------------------------------


def a_transformer() -> list[Tensor]:
    """Of two calls, the second of which goes on where the first one ended."""
    network, x, mask = filled(transformer.Transformer(12, 2, 3)), normal(2, 5, 12), causal_mask(5)
    first, past = network(x[:, :3], mask[:3, :3])
    return [network(x, mask)[0], first, network(x[:, 3:], mask[3:], past)[0]]


def a_unet() -> list[Tensor]:
    config = small(mults=(1, 2), attention=(1,), context_width=6, patch=2)
    x, t = normal(2, 3, 8, 8), torch.tensor([3, 700])
    return [filled(UNet(config))(x, t, normal(2, 32, seed=1), normal(2, 4, 6, seed=2))]


def an_upsampler() -> list[Tensor]:
    low, x_t, t = normal(2, 3, 4, 4), normal(2, 3, 16, 16, seed=1), torch.tensor([3, 700])
    return [filled(Upsampler(upsampling(residual)))(x_t, t, low) for residual in (0.0, 0.1)]


MODULE_PLACES = {
    "MyAttention": Place(transformer, "Attention", attention, trial=a_transformer,
                         does="every Transformer that is built or loaded from here on is made of it"),
    "MyResBlock": Place(unet, "ResBlock", direct, trial=a_unet,
                        does="every U-Net that is built or loaded from here on is made of it"),
    "MyUNet": Place(UNet, "down_and_up", method("down_and_up"), trial=a_unet,
                    does="every U-Net goes down and up its way"),
    "MyUpsampler": Place(Upsampler, "forward", method("forward"), trial=an_upsampler,
                         does="every upsampler is called its way"),
    "write_sentence": Place(ARPrior, "stream", stream, "the autoregressive prior writes its sentences with it",
                            lambda: [(Follows(64), torch.arange(64, 72), uniform(8, 82, seed=1), 1.0)], seconds=2.0),
}  # fmt: skip
