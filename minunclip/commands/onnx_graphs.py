"""The stages of a cascade as ONNX graphs: what each takes and gives, and how its weights are written.

A stage that keeps something over all steps of a sampler has two graphs, one that is run once and one for each step:

    clip.text       ids                         -> embed, tokens
    prior.read      embed, tokens, mask         -> past, seen                   once for a caption
    prior.step      x_t, t, past, seen          -> output                       x_0, whitened
    decoder.read    z_i, embed, tokens, mask    -> added, kept, keys_values     once for a picture
    decoder.step    x_t, t, and what read gave  -> output                       prediction, perhaps variance logits
    upsampler-N.step  x_t, t, low_res           -> output                       low_res is enlarged beforehand

Names, shapes and order are those of the modules' own `forward`. A list of tensors is written as keys_values_0, ..._1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..clip import CLIP
from ..decoder import Condition, Decoder
from ..networks import AttentionBlock, Context
from ..prior import DiffusionPrior, Prefix
from ..text import Text
from ..unclip import UnCLIP
from ..upsampler import Upsampler

Inputs = dict[str, Tensor | list[Tensor]]

@dataclass(frozen=True)
class Graph:
    """A part of a stage that becomes one ONNX graph."""

    stage: str                              # the weight file's name: "decoder"
    part: str                               # "step"
    module: nn.Module
    inputs: Callable[[int], Inputs]         # inputs(n) for a batch of n: what it is traced and tried with
    free: dict[str, dict[int, str]]         # by input: the axes whose length may change, and their names
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.part}"

    @property
    def axes(self) -> dict:
        """`free` in the shape of `inputs`: a list's axes are those of each of its tensors."""
        return {name: [self.free[name]] * len(x) if isinstance(x, list) else self.free.get(name, {})
                for name, x in self.inputs(1).items()}  # fmt: skip


def flat(inputs: Inputs) -> dict[str, Tensor]:
    """The inputs as ONNX has them: the tensors of a list one by one, numbered."""
    pairs = [numbered(name, x) if isinstance(x, list) else {name: x} for name, x in inputs.items()]
    return {name: tensor for pair in pairs for name, tensor in pair.items()}


def numbered(name: str, tensors: list) -> dict:
    return {f"{name}_{i}": tensor for i, tensor in enumerate(tensors)}


def graphs_of(cascade: UnCLIP) -> Iterator[Graph]:
    """Every graph that drawing a caption takes, in the order of the cascade."""
    yield text_graph(cascade.clip)
    yield from prior_graphs(cascade.prior)
    yield from decoder_graphs(cascade.decoder)
    for number, upsampler in enumerate(cascade.upsamplers, start=1):
        yield upsampler_graph(upsampler, f"upsampler-{number}")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moments(n: int) -> Tensor:
    """Timesteps of a batch, (n,): late and early ones."""
    return torch.linspace(900, 3, n).long()


def a_text(n: int, width: int, z_width: int) -> dict[str, Tensor]:
    """n captions of different lengths, as CLIP would hand them on."""
    length = 4 + 3 * n
    mask = torch.arange(length) < torch.arange(length - n + 1, length + 1)[:, None]
    return {"embed": normal(n, z_width), "tokens": normal(n, length, width, seed=1), "mask": mask}


TEXT_AXES = {"embed": {0: "batch"}, "tokens": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}}
STEP_AXES = {"x_t": {0: "batch"}, "t": {0: "batch"}}


# -- CLIP ----------------------------------------------------------------------------------------------------


class ReadWords(nn.Module):
    """ids (B, L) int64 -> z_t (B, D), tokens (B, L, W)."""

    def __init__(self, clip: CLIP):
        super().__init__()
        self.text = clip.text

    def forward(self, ids: Tensor):
        text = self.text(ids)
        return text.embed, text.tokens


def text_graph(clip: CLIP) -> Graph:
    tokenizer = clip.tokenizer

    def inputs(n: int) -> dict[str, Tensor]:
        words = 1 + torch.arange(n * (3 + n)).view(n, -1) % (tokenizer.size - 3)
        start, end = (torch.full((n, 1), number) for number in (tokenizer.start, tokenizer.end))
        return {"ids": torch.cat([start, words, end], dim=1)}

    axes = {"ids": {0: "batch", 1: "length"}}
    return Graph("clip", "text", ReadWords(clip), inputs, axes, ("embed", "tokens"))


# -- the prior -----------------------------------------------------------------------------------------------


class ReadCaption(nn.Module):
    """The caption -> keys and values of every block, (blocks, 2, B, heads, L + 1, d), and which count, (B, L + 1)."""

    def __init__(self, prior: DiffusionPrior):
        super().__init__()
        self.prior = prior

    def forward(self, embed: Tensor, tokens: Tensor, mask: Tensor):
        prefix = self.prior.prefix(Text(embed, tokens, mask))
        return torch.stack([torch.stack(key_value) for key_value in prefix.past]), prefix.mask


class PriorStep(nn.Module):
    """x_t (B, D), t (B,) and what ReadCaption returned -> x_0 (B, D), whitened."""

    def __init__(self, prior: DiffusionPrior):
        super().__init__()
        self.prior = prior

    def forward(self, x_t: Tensor, t: Tensor, past: Tensor, seen: Tensor):
        return self.prior(x_t, t, Prefix([(block[0], block[1]) for block in past], seen))


def prior_graphs(prior: DiffusionPrior) -> Iterator[Graph]:
    read, c = ReadCaption(prior), prior.config

    def caption(n: int) -> dict[str, Tensor]:
        return a_text(n, c.text_width, c.z_width)

    def step(n: int) -> dict[str, Tensor]:
        past, seen = read(**caption(n))
        return {"x_t": normal(n, c.z_width, seed=2), "t": moments(n), "past": past, "seen": seen}

    yield Graph("prior", "read", read, caption, TEXT_AXES, ("past", "seen"))
    axes = {**STEP_AXES, "past": {2: "batch", 4: "seen"}, "seen": {0: "batch", 1: "seen"}}
    yield Graph("prior", "step", PriorStep(prior), step, axes, ("output",))


# -- the decoder ---------------------------------------------------------------------------------------------


class ReadCondition(nn.Module):
    """z_i (B, D) and the caption -> `Decoder.condition` as plain tensors: added, mask, then keys and values."""

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.decoder = decoder
        self.blocks = [module for module in decoder.unet.modules() if isinstance(module, AttentionBlock)]

    def forward(self, z_i: Tensor, embed: Tensor, tokens: Tensor, mask: Tensor):
        condition = self.decoder.condition(z_i, Text(embed, tokens, mask))
        kept = condition.context.keys_values
        return condition.added, condition.context.mask, *(x for block in self.blocks for x in kept[block])


class DecoderStep(nn.Module):
    """x_t (B, 3, S, S), t (B,) and what ReadCondition returned -> the U-Net's output."""

    def __init__(self, read: ReadCondition):
        super().__init__()
        self.decoder, self.blocks = read.decoder, read.blocks

    def forward(self, x_t: Tensor, t: Tensor, added: Tensor, kept: Tensor, *, keys_values: list[Tensor]):
        pairs = zip(keys_values[::2], keys_values[1::2], strict=True)
        context = Context(dict(zip(self.blocks, pairs, strict=True)), kept)
        return self.decoder(x_t, t, condition=Condition(added, context))


def decoder_graphs(decoder: Decoder) -> Iterator[Graph]:
    read, c = ReadCondition(decoder), decoder.config
    names = tuple(numbered("keys_values", 2 * read.blocks))

    def condition(n: int) -> dict[str, Tensor]:
        return {"z_i": normal(n, c.z_width, seed=2), **a_text(n, c.text_width, c.z_width)}

    def step(n: int) -> Inputs:
        added, kept, *keys_values = read(**condition(n))
        picture = {"x_t": normal(n, 3, c.size, c.size, seed=3), "t": moments(n)}
        return {**picture, "added": added, "kept": kept, "keys_values": keys_values}

    yield Graph("decoder", "read", read, condition, {"z_i": {0: "batch"}, **TEXT_AXES}, ("added", "kept", *names))
    axes = {**STEP_AXES, "added": {0: "batch"}, "kept": {0: "batch", 1: "seen"}}
    axes["keys_values"] = {0: "batch", 2: "seen"}                       # (B, heads, N, D) each
    yield Graph("decoder", "step", DecoderStep(read), step, axes, ("output",))


# -- an upsampler --------------------------------------------------------------------------------------------


def upsampler_graph(upsampler: Upsampler, stage: str) -> Graph:
    side = upsampler.config.size

    def inputs(n: int) -> dict[str, Tensor]:
        low = normal(n, 3, side, side, seed=4).clamp(-1, 1)
        return {"x_t": normal(n, 3, side, side, seed=3), "t": moments(n), "low_res": low}

    return Graph(stage, "step", upsampler, inputs, {**STEP_AXES, "low_res": {0: "batch"}}, ("output",))
