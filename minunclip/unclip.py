"""unCLIP: from a caption to a picture, stage by stage (Ramesh et al. 2022, figure 2).

    caption --CLIP--> z_t, tokens --prior--> z_i --decoder--> small picture --upsamplers--> large picture

    P(x | y) = P(x | z_i, y) P(z_i | y)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .ar_prior import ARPrior
from .clip import CLIP
from .decoder import Decoder
from .prior import DiffusionPrior
from .samplers import SAMPLERS, Step, guided, noise_stream
from .text import Text
from .upsampler import Upsampler

Prior = DiffusionPrior | ARPrior
STAGES = ("prior", "decoder", "upsampler 1", "upsampler 2")


@dataclass(frozen=True)
class Settings:
    """How to sample. A guidance of 1 is none; larger follows the caption more closely, with less variety."""

    prior_steps: int = 15
    prior_guidance: float = 1.0
    candidates: int = 2                     # draw so many z_i and keep the one nearest to z_t (section 2.2)
    decoder_steps: int = 15
    decoder_guidance: float = 3.0
    upsampler_steps: tuple[int, ...] = (2, 2)
    sampler: str = "ddim"

    def __post_init__(self):
        for name in ("prior_guidance", "decoder_guidance"):
            if not 0 <= getattr(self, name) <= 50:
                raise ValueError(f"{name} is {getattr(self, name)}: choose 0 (ignore the caption) to 50")
        for name, steps in (("prior_steps", self.prior_steps), ("decoder_steps", self.decoder_steps),
                            *(("upsampler_steps", n) for n in self.upsampler_steps)):  # fmt: skip
            if not 2 <= steps <= 1000:
                raise ValueError(f"{name} is {steps}: choose 2 to 1000")
        if self.candidates < 1:
            raise ValueError(f"candidates is {self.candidates}: at least one z_i must be drawn")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"there is no sampler {self.sampler!r}: choose one of {', '.join(SAMPLERS)}")


@dataclass
class Drawing:
    """All that came about on the way from captions to pictures; filled stage by stage."""

    captions: list[str]
    seed: int
    settings: Settings
    text: Text | None = None                # z_t (B, D), tokens, mask
    z_i: Tensor | None = None               # (B, D), as CLIP's image encoder would have made it
    images: dict[int, Tensor] = field(default_factory=dict)     # by side: (B, 3, side, side) in -1 to 1
    steps: dict[str, list[Step]] = field(default_factory=dict)  # by stage: every step, if asked for

    @property
    def image(self) -> Tensor:
        """The largest pictures so far, (B, 3, side, side) in -1 to 1."""
        return self.images[max(self.images)]


@dataclass(frozen=True)
class Progress:
    """One step of one stage is done: number `done` of `total`."""

    stage: str
    done: int
    total: int
    step: Step
    drawing: Drawing


class UnCLIP:
    """The whole cascade: a CLIP, a prior, a decoder and as many upsamplers as there are.

    Without a prior (None) it cannot draw captions, but its decoder can draw what a z_i says.
    """

    def __init__(self, clip: CLIP, prior: Prior | None, decoder: Decoder, upsamplers: list[Upsampler]):
        self.clip, self.prior, self.decoder, self.upsamplers = clip, prior, decoder, upsamplers
        self.settings = Settings()
        self.memory = "resident"  # where the weights lie: see `from_pretrained`

    @classmethod
    def from_pretrained(cls, name: str = "scenes", device="cpu", dtype=torch.float32, memory="auto") -> UnCLIP:
        """A trained cascade, ready to draw: "scenes", "karlo", or a folder laid out like Karlo's.

        memory   of released models: "resident" on the device, "offload" in RAM or "disk" in their files until their
                 stage runs, or "auto", the fastest for which there is room. All draw the same picture.
        Raises ValueError for a name that is not known or weights that do not fit, OSError for a failed download, and
        MemoryError if there is no room.
        """
        from .weights import load_cascade

        return load_cascade(name, device, dtype, memory)

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    @property
    def sizes(self) -> list[int]:
        """The sides that it can draw, smallest first."""
        return [self.decoder.config.size] + [upsampler.config.size for upsampler in self.upsamplers]

    @torch.no_grad()
    def encode_text(self, captions: list[str]) -> Text:
        """z_t and the tokens of each caption. Raises ValueError for an empty or an unknown caption."""
        if not captions or not all(caption.strip() for caption in captions):
            raise ValueError("the caption is empty: say what to draw, such as 'a red circle'")
        return self.clip.encode_text(captions)

    def sample(self, captions: list[str], seed: int = 0, size: int | None = None, **options) -> Drawing:
        """Draw each caption once; picture i of the batch has the seed `seed + i`. Options: see `stream`."""
        for progress in self.stream(captions, seed, size, **options):
            drawing = progress.drawing
        return drawing

    def stream(
        self, captions: list[str], seed: int = 0, size: int | None = None, settings: Settings | None = None,
        noise: dict[str, list[Tensor]] | None = None, keep_steps: bool = False,
    ) -> Iterator[Progress]:  # fmt: skip
        """Like `sample`, but yields after every step of every stage.

        size        the side to stop at: one of `sizes`, by default the largest
        settings    steps, guidance and sampler; by default those of the model
        noise       by stage, the tensors that its sampler is to use instead of drawing some: a replay
        keep_steps  keep every Step in `drawing.steps`
        """
        if size is not None and size not in self.sizes:
            raise ValueError(f"this model cannot draw at {size} pixels: choose one of {self.sizes}")
        if abs(seed) >= 10**15:
            raise ValueError(f"the seed is {seed}: choose a smaller one, below 10**15")
        if self.prior is None:
            raise ValueError("this model has no prior, so it cannot draw captions: load one that has, such as 'karlo'")
        drawing = Drawing(list(captions), seed, settings or self.settings)
        drawing.text = self.encode_text(drawing.captions)
        for stage, run in zip(STAGES, [self._prior, self._decode, *self._upsample_runs(size)], strict=False):
            steps = drawing.steps.setdefault(stage, [])
            for done, (step, total) in enumerate(run(drawing, (noise or {}).get(stage)), start=1):
                if keep_steps:
                    steps.append(step)
                yield Progress(stage, done, total, step, drawing)

    # -- the stages: each runs its sampler, yields (step, number of steps), and leaves its result in the drawing

    def _prior(self, drawing: Drawing, noise):
        s, n = drawing.settings, drawing.settings.candidates
        text, ar = drawing.text.repeat(n), isinstance(self.prior, ARPrior)
        width, total = (1 + self.prior.config.components,) * 2 if ar else (self.prior.config.z_width, s.prior_steps)
        noise = noise or self._noise((len(text), width), drawing.seed, "prior", n)
        if ar:                                          # as many steps as there are tokens to draw
            steps, total = self.prior.stream(text, noise, s.prior_guidance, self._no_text(1)), total - 1
        else:
            denoiser = self.prior_denoiser(text, s.prior_guidance)
            steps = SAMPLERS[s.sampler](self.prior.diffusion, denoiser, noise, total)
        for step in steps:
            if step.t == 0:
                drawing.z_i = best_of(self.prior.unwhiten(step.x_t), drawing.text.embed, n)
            yield step, total

    def _decode(self, drawing: Drawing, noise):
        s, side = drawing.settings, self.decoder.config.size
        noise = noise or self._noise((len(drawing.text), 3, side, side), drawing.seed, "decoder")
        denoiser = self.decoder_denoiser(drawing.z_i, drawing.text, s.decoder_guidance)
        for step in SAMPLERS[s.sampler](self.decoder.diffusion, denoiser, noise, s.decoder_steps):
            if step.t == 0:
                drawing.images[side] = step.x_t.clamp(-1, 1)
            yield step, s.decoder_steps

    def _upsample_runs(self, size: int | None):
        """One run for each upsampler up to the size."""
        for number, upsampler in enumerate(self.upsamplers):
            if size is None or upsampler.config.size <= size:
                yield lambda drawing, noise, n=number: self._upsample(drawing, noise, n)

    def _upsample(self, drawing: Drawing, noise, number: int):
        s, upsampler, stage = drawing.settings, self.upsamplers[number], STAGES[2 + number]
        low, side, count = drawing.image, upsampler.config.size, s.upsampler_steps[number]
        if hasattr(upsampler, "enlarge"):               # a network of another kind brings its own sampler
            steps = upsampler.enlarge(low, drawing.captions, self._generators(len(low), drawing.seed, stage), count)
        else:
            noise = noise or self._noise((len(low), 3, side, side), drawing.seed, stage)
            steps = SAMPLERS[s.sampler](upsampler.diffusion, self.upsampler_denoiser(number, low), noise, count)
        for step in steps:
            if step.t == 0:
                drawing.images[side] = step.x_t.clamp(-1, 1)
            yield step, count

    # -- what the samplers call: networks with their conditions closed over

    @torch.no_grad()
    def prior_denoiser(self, text: Text, guidance: float = 1.0):
        """(x_t, t) -> x_0 for whitened embeddings. Guided, it compares with the empty caption."""
        if guidance == 1:
            prefix = self.prior.prefix(text)
            return lambda x_t, t: self.prior(x_t, t, prefix)
        prefix = self.prior.prefix(Text.cat(self._no_text(len(text)), text))
        return guided(lambda x_t, t: self.prior(x_t, t, prefix), guidance)

    @torch.no_grad()
    def decoder_denoiser(self, z_i: Tensor, text: Text, guidance: float = 1.0):
        """(x_t, t) -> prediction. Guided, it compares with no image embedding and the empty caption."""
        if guidance == 1:
            condition = self.decoder.condition(z_i, text)
            return lambda x_t, t: self.decoder(x_t, t, condition=condition)
        null_z = self.decoder.null_z.expand(len(z_i), -1).to(z_i.dtype)
        text = Text.cat(self._no_text(len(text)), text)
        condition = self.decoder.condition(torch.cat([null_z, z_i]), text)
        return guided(lambda x_t, t: self.decoder(x_t, t, condition=condition), guidance)

    def upsampler_denoiser(self, number: int, low: Tensor):
        """(x_t, t) -> prediction, for pictures that look like `low` (B, 3, s, s)."""
        from .upsampler import upsample

        upsampler = self.upsamplers[number]
        low = upsample(low, upsampler.config.size)
        return lambda x_t, t: upsampler(x_t, t, low)

    def _no_text(self, n: int) -> Text:
        return self.clip.encode_text([""]).repeat(n)

    def _noise(self, shape: tuple[int, ...], seed: int, stage: str, per_caption: int = 1) -> Iterator[Tensor]:
        return noise_stream(shape, self._generators(shape[0], seed, stage, per_caption), self.device)

    def _generators(self, n: int, seed: int, stage: str, per_caption: int = 1) -> list[torch.Generator]:
        """They depend on the picture's seed and on the stage alone, whatever the batch and the settings."""
        seeds = [
            (seed + i) * 1_000 + 100 * STAGES.index(stage) + candidate
            for i in range(n // per_caption) for candidate in range(per_caption)
        ]  # fmt: skip
        return [torch.Generator().manual_seed(s) for s in seeds]


def best_of(z_i: Tensor, z_t: Tensor, n: int) -> Tensor:
    """Of n candidates z_i for each z_t, the one most similar to it: (B n, D), (B, D) -> (B, D)."""
    z_i = z_i.unflatten(0, (-1, n))                                     # (B, n, D)
    best = torch.cosine_similarity(z_i, z_t[:, None], dim=-1).argmax(dim=1)
    return z_i[torch.arange(len(z_i), device=z_i.device), best]
