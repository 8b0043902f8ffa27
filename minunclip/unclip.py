"""unCLIP: from a caption to a picture, stage by stage (Ramesh et al. 2022, figure 2).

    caption --CLIP--> z_t, tokens --prior--> z_i --decoder--> small picture --upsamplers--> large picture

    P(x | y) = P(x | z_i, y) P(z_i | y)
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from numbers import Real

import torch
from torch import Tensor

from .clip import CLIP
from .common import Stream, streamed
from .decoder import Decoder
from .diffusion import SAMPLERS, Denoiser, Step, noise_stream
from .prior import Prior
from .text import Text, as_captions, captions_to_draw, short
from .upsampler import Upsampler

SEEDS = (1 - 10**15, 10**15 - 1)            # a thousand times as large they still fit into PyTorch's generators


@dataclass(frozen=True)
class Settings:
    """How to sample. A guidance of 1 is none; larger follows the caption more closely, with less variety."""

    prior_steps: int = 15
    prior_guidance: float = 1.0
    candidates: int = 2                     # draw so many z_i and keep the one nearest to z_t (section 2.2)
    decoder_steps: int = 15
    decoder_guidance: float = 3.0
    upsampler_steps: tuple[int, ...] = (2, 2)   # of each upsampler
    sampler: str = "ddim"

    def __post_init__(self):
        for name in ("prior_guidance", "decoder_guidance"):
            if not isinstance(scale := getattr(self, name), Real) or not 0 <= scale <= 50:
                raise ValueError(f"{name} is {short(scale)}: choose 0 (ignore the caption) to 50")
        if not isinstance(self.upsampler_steps, tuple | list):
            raise ValueError(f"upsampler_steps is {short(self.upsampler_steps)}: give a number for each, as in (2, 2)")
        steps = tuple(whole_number("upsampler_steps", n, 2, 1000) for n in self.upsampler_steps)
        object.__setattr__(self, "upsampler_steps", steps)              # Python's own numbers, where NumPy's were given
        for name, least, most in (("prior_steps", 2, 1000), ("decoder_steps", 2, 1000), ("candidates", 1, 100)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least, most))
        if self.sampler not in list(SAMPLERS):
            raise ValueError(f"there is no sampler {short(self.sampler)}: choose one of {', '.join(SAMPLERS)}")


def whole_number(name: str, value, least: int, most: int) -> int:
    """A setting or a seed as a Python int, also from NumPy or a tensor. Raises ValueError, in a line."""
    try:
        if least <= (number := operator.index(value)) <= most:
            return number
    except TypeError:                                                   # a fraction, a text
        pass
    raise ValueError(f"{name} is {short(value)}: choose {least} to {most}, a whole number")


@dataclass(frozen=True)
class Progress:
    """One step of one stage is done: number `done` of `total`."""

    stage: str                              # "prior", "decoder", "upsampler-1", "upsampler-2", ...
    done: int
    total: int
    step: Step


@dataclass(frozen=True)
class Drawing:
    """Pictures, and all that came about on the way from their captions."""

    captions: list[str]
    seed: int
    settings: Settings
    text: Text                              # z_t (B, D), tokens, mask
    z_i: Tensor                             # (B, D), as CLIP's image encoder would have made it
    images: dict[int, Tensor]               # by side: (B, 3, side, side) in -1 to 1
    steps: dict[str, list[Step]] = field(default_factory=dict)  # by stage: every step, if they were to be kept

    @property
    def image(self) -> Tensor:
        """The largest pictures, (B, 3, side, side) in -1 to 1."""
        return self.images[max(self.images)]


class UnCLIP:
    """The whole cascade: a CLIP, a prior, a decoder and as many upsamplers as there are.

    Without a prior (None) it cannot draw captions, but its decoder can draw what a z_i says.
    """

    def __init__(self, clip: CLIP, prior: Prior | None, decoder: Decoder, upsamplers: list[Upsampler]):
        self.clip, self.prior, self.decoder, self.upsamplers = clip, prior, decoder, upsamplers
        self.settings = Settings()
        self.memory = "resident"            # where the weights lie: see `minunclip.load`

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    @property
    def sizes(self) -> list[int]:
        """The sides that it can draw, smallest first."""
        return [self.decoder.config.size] + [upsampler.config.size for upsampler in self.upsamplers]

    def sample(
        self, captions: str | list[str], seed: int = 0, size: int | None = None, *, keep_steps: bool = False, **options
    ) -> Drawing:
        """Draw each caption once; picture i of the batch has the seed `seed + i`. A str is one caption.

        keep_steps: keep every Step in `Drawing.steps`. Size and options: see `stream`.
        """
        stream, steps = self.stream(captions, seed, size, **options), {}
        for progress in stream:
            if keep_steps:
                steps.setdefault(progress.stage, []).append(progress.step)
        return replace(stream.result, steps=steps)

    @streamed
    def stream(
        self, captions: str | list[str], seed: int = 0, size: int | None = None, *, settings: Settings | None = None,
        noise: dict[str, list[Tensor]] | None = None,
    ) -> Stream:  # fmt: skip
        """Like `sample`, but a Stream, which yields a Progress after every step of every stage and returns the Drawing.

        size        the side to stop at: one of `sizes`, by default the largest
        settings    steps, guidance and sampler; by default those of the model
        noise       by stage, the tensors that its sampler is to use instead of drawing some: a replay
        Raises ValueError for an empty or unknown caption, and for what the model cannot do, before anything is drawn.
        """
        settings, noise = settings or self.settings, noise or {}
        captions, seed = as_captions(captions), whole_number("the seed", seed, *SEEDS)
        _, _, *upsamplers = self.stages(settings, size)
        how = {"seed": seed, "settings": settings}

        text = self.encode_text(captions)                                               # z_t (B, D) and tokens
        z_i = yield from self.embed(text, noise=noise.get("prior"), **how)              # (B, D)
        image = yield from self.decode(z_i, text, noise=noise.get("decoder"), **how)    # (B, 3, 32, 32), say
        images = {image.shape[-1]: image}
        for number, name in enumerate(upsamplers):                                      # (B, 3, 128, 128) and so on
            image = yield from self.upsample(image, number, captions=captions, noise=noise.get(name), **how)
            images[image.shape[-1]] = image
        return Drawing(captions, seed, settings, text, z_i, images)

    def stages(self, settings: Settings | None = None, size: int | None = None) -> dict[str, int]:
        """The stages that draw a picture of a size, in their order, and how many steps each takes.

        Raises ValueError for a size that is none of `sizes`, an upsampler without steps, or a model without a prior.
        """
        s, wanted = settings or self.settings, self.sizes[-1] if size is None else size
        if wanted not in self.sizes:
            raise ValueError(f"this model cannot draw at {size} pixels: choose one of {self.sizes}")
        if self.prior is None:
            raise ValueError("this model has no prior, so it cannot draw captions: load one that has, such as 'karlo'")
        upsamplers = self.sizes.index(wanted)
        if len(s.upsampler_steps) < upsamplers:
            raise ValueError(f"upsampler_steps is {s.upsampler_steps}, and {wanted} pixels take {upsamplers} "
                             "upsamplers: give a number of steps for each")  # fmt: skip
        counts = {f"upsampler-{i + 1}": s.upsampler_steps[i] for i in range(upsamplers)}
        return {"prior": self.prior.stream_length(s.prior_steps), "decoder": s.decoder_steps, **counts}

    # -- the stages: each a Stream of Progress, with the settings of the model unless others are given -------

    @torch.no_grad()
    def encode_text(self, captions: str | list[str]) -> Text:
        """z_t and the tokens of each caption. Raises ValueError for an empty or an unknown caption."""
        return self.clip.encode_text(captions_to_draw(captions))

    @streamed
    def embed(
        self, text: Text, *, seed: int = 0, settings: Settings | None = None, noise: Iterable[Tensor] | None = None
    ) -> Stream:
        """P(z_i | y): the prior draws some z_i for each caption; the result is the nearest to its z_t, (B, D)."""
        s, n = settings or self.settings, (settings or self.settings).candidates
        noise = noise or self.noise((n * len(text), self.prior.noise_width), seed, "prior", n)
        steps = self.prior.stream(text.repeat(n), noise, empty=self.empty(s.prior_guidance), guidance=s.prior_guidance,
                                  steps=s.prior_steps, sampler=s.sampler)  # fmt: skip
        x = yield from report("prior", steps, self.prior.stream_length(s.prior_steps))      # (B n, ...)
        return best_of(self.prior.unwhiten(x), text.embed, n)

    @streamed
    def decode(
        self, z_i: Tensor | None, text: Text, *, seed: int = 0, settings: Settings | None = None,
        noise: Iterable[Tensor] | None = None,
    ) -> Stream:  # fmt: skip
        """P(x | z_i, y): the small picture of z_i (B, D), None for no image embedding, and captions: (B, 3, S, S)."""
        s, side = settings or self.settings, self.decoder.config.size
        noise = noise or self.noise((len(text), 3, side, side), seed, "decoder")
        steps = self.decoder.stream(z_i, text, noise, empty=self.empty(s.decoder_guidance), guidance=s.decoder_guidance,
                                    steps=s.decoder_steps, sampler=s.sampler)  # fmt: skip
        return (yield from report("decoder", steps, s.decoder_steps)).clamp(-1, 1)

    @streamed
    def upsample(
        self, low: Tensor, number: int = 0, *, seed: int = 0, settings: Settings | None = None,
        noise: Iterable[Tensor] | None = None, captions: list[str] | None = None,
    ) -> Stream:  # fmt: skip
        """Pictures low (B, 3, s, s), enlarged by upsampler `number` (0 is the first): (B, 3, S, S)."""
        s, upsampler, stage = settings or self.settings, self.upsamplers[number], f"upsampler-{number + 1}"
        noise = noise or self.noise(upsampler.noise_shape(low), seed, stage)
        count = s.upsampler_steps[number]
        steps = upsampler.stream(low, noise, steps=count, sampler=s.sampler, captions=captions)
        return (yield from report(stage, steps, count)).clamp(-1, 1)

    # -- what the stages are given ---------------------------------------------------------------------------

    @torch.no_grad()
    def empty(self, guidance: float) -> Text | None:
        """The empty caption, with which guidance compares; None for a guidance of 1, which is none."""
        return None if guidance == 1 else self.clip.encode_text([""])

    def noise(self, shape: tuple[int, ...], seed: int, stage: str, per_caption: int = 1) -> Iterator[Tensor]:
        """The noise of a stage. It depends on the picture's seed alone, whatever the batch and the settings.

        per_caption: so many rows in a row belong to one picture. Raises ValueError for what is no seed.
        """
        seed = whole_number("the seed", seed, *SEEDS)
        place = ("prior", "decoder", *(f"upsampler-{i + 1}" for i in range(len(self.upsamplers)))).index(stage)
        seeds = [1_000 * (seed + i) + 100 * place + candidate
                 for i in range(shape[0] // per_caption) for candidate in range(per_caption)]  # fmt: skip
        return noise_stream(shape, [torch.Generator().manual_seed(s) for s in seeds], self.device)

    def prior_denoiser(self, text: Text, guidance: float = 1.0) -> Denoiser:
        """(x_t, t) -> x_0 for whitened embeddings. Guided, it compares with the empty caption."""
        return self.prior.denoiser(text, self.empty(guidance), guidance)

    def decoder_denoiser(self, z_i: Tensor | None, text: Text, guidance: float = 1.0) -> Denoiser:
        """(x_t, t) -> prediction. Guided, it compares with no image embedding and the empty caption."""
        return self.decoder.denoiser(z_i, text, self.empty(guidance), guidance)


def report(stage: str, steps: Iterator[Step], total: int) -> Iterator[Progress]:
    """Tell of every step of a sampler; the result is its last sample."""
    for done, step in enumerate(steps, start=1):
        yield Progress(stage, done, total, step)
    return step.x_t


def best_of(z_i: Tensor, z_t: Tensor, n: int) -> Tensor:
    """Of n candidates z_i for each z_t, the one most similar to it: (B n, D), (B, D) -> (B, D)."""
    z_i = z_i.unflatten(0, (-1, n))                                     # (B, n, D)
    best = torch.cosine_similarity(z_i, z_t[:, None], dim=-1).argmax(dim=1)
    return z_i[torch.arange(len(z_i), device=z_i.device), best]
