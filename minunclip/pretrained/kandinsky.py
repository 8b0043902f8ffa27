"""Kandinsky 2.2 (Sber AI 2023): an unCLIP whose decoder draws 512 pixels and more.

Its CLIP, the largest that LAION trained (ViT-bigG/14), and its prior are networks of ours, read by their configs like
Karlo's. Its decoder comes from diffusers, see `kandinsky_decoder`. The makers have it in two repositories, and so we
keep it in a folder with two: `prior`, with both encoders of CLIP, and `decoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..common import CLIP_MEAN, CLIP_STD, Stream, keep_freed_memory, streamed
from ..text import Text, as_captions
from ..unclip import Settings, report
from .diffusers_folder import clip_part, prior_part
from .kandinsky_decoder import KandinskyConfig, KandinskyDecoder, LateDecoder, check_scheduler, config_of
from .lazy import LazyStage
from .names import Part
from .offload import choose
from .released import Released
from .releases import PIPELINE
from .upscaler import check_extra
from .weight_files import weights_in

# The settings of the makers' examples.
KANDINSKY = Settings(
    prior_steps=25, prior_guidance=4.0, candidates=1, decoder_steps=50, decoder_guidance=4.0, upsampler_steps=(),
    sampler="ddpm",
)  # fmt: skip
FOLDERS = {"prior": "kandinsky-2-2-prior", "decoder": "kandinsky-2-2-decoder"}     # ours: the makers'
BYTES_A_PIXEL = 5000                        # that MoVQ takes to decode a picture, about


class Kandinsky(Released):
    """A cascade whose decoder looks after its own weights, and draws at several sides, one at a time."""

    def __init__(
        self, stages: dict[str, LazyStage | None], decoder: LateDecoder, mode: str, *, device, dtype: torch.dtype
    ):
        super().__init__(stages, mode, device, dtype, decoder=decoder)
        self.settings, self.null_z = KANDINSKY, None

    @property
    def sizes(self) -> list[int]:
        """The sides that it can draw, smallest first. Without a wish it draws `decoder.config.size`."""
        return list(self.decoder.config.sizes)

    def stages(self, settings: Settings | None = None, size: int | None = None) -> dict[str, int]:
        """See `UnCLIP.stages`: the decoder draws every size itself."""
        if size is not None and size not in self.sizes:
            raise ValueError(f"this model cannot draw at {size} pixels: choose one of {self.sizes}")
        s = settings or self.settings
        return {"prior": self.prior.stream_length(s.prior_steps), "decoder": s.decoder_steps}

    @streamed
    def stream(
        self, captions: str | list[str], seed: int = 0, size: int | None = None, *, settings: Settings | None = None,
        noise: dict[str, list[Tensor]] | None = None,
    ) -> Stream:  # fmt: skip
        """See `UnCLIP.stream`. size: one of `sizes`, by default 768; the noise of the decoder has its shape."""
        captions = as_captions(captions)
        shape = self.decoder.noise_shape(len(captions), size)
        fresh = Again(lambda: self.noise(shape, seed, "decoder"))
        noise = {"decoder": fresh, **(noise or {})}
        return (yield from super().stream(captions, seed, size, settings=settings, noise=noise))

    @streamed
    def decode(self, *given, **how) -> Stream:
        """See `UnCLIP.decode`. The decoder reads no caption: of the text only the number counts."""
        return (yield from self.rescued(self.decode_once, given, how))

    @streamed
    def decode_once(
        self, z_i: Tensor | None, text: Text, *, seed: int = 0, settings: Settings | None = None,
        noise: Iterable[Tensor] | None = None,
    ) -> Stream:  # fmt: skip
        """The picture of z_i (B, D), None for that of an empty picture; its side is that of the noise."""
        s = settings or self.settings
        noise = noise or self.noise(self.decoder.noise_shape(len(text)), seed, "decoder")
        null_z = self.empty_picture() if z_i is None or s.decoder_guidance != 1 else None
        z_i = null_z.expand(len(text), -1) if z_i is None else z_i
        steps = self.decoder.stream(self, z_i, noise, null_z=null_z, guidance=s.decoder_guidance, steps=s.decoder_steps,
                                    sampler=s.sampler)  # fmt: skip
        return (yield from report("decoder", steps, s.decoder_steps))

    @torch.no_grad()
    def empty_picture(self) -> Tensor:
        """z_i (1, D) of a picture all in the mean colour of CLIP's training: there is nothing to be seen on it."""
        if self.null_z is None:
            side = self.clip.config.image_size
            dtype = self.clip.log_scale.dtype
            self.null_z = self.clip.encode_image(torch.zeros(1, 3, side, side, device=self.device, dtype=dtype)).float()
        return self.null_z


@dataclass(frozen=True)
class Again:
    """Noise that begins anew whenever somebody begins to take some: a stage may have to be drawn once more."""

    draw: Callable[[], Iterator[Tensor]]

    def __iter__(self) -> Iterator[Tensor]:
        return self.draw()


# -- its folders ---------------------------------------------------------------------------------------------


def folders_of(folder: Path) -> tuple[Path, Path] | None:
    """Where in a folder the prior and the decoder lie, under our names or the makers'; None if they are not there."""
    found = [next((folder / name for name in names if (folder / name).is_dir()), None) for names in FOLDERS.items()]
    return (found[0], found[1]) if all(found) and (found[1] / "unet").is_dir() else None


def clip_with_colours(folder: Path) -> Part:
    """CLIP, which in these files always has both encoders, and sees colours as OpenAI's does."""
    if not (folder / "image_encoder").is_dir():
        raise ValueError(f"{folder} has no image_encoder, which tells what guidance compares with: fetch it")
    part = clip_part(folder)
    return replace(part, config=replace(part.config, mean=CLIP_MEAN, std=CLIP_STD))


def load_kandinsky(
    prior: Path, decoder: Path, device: str | torch.device, dtype: torch.dtype, *, memory: str, keep_prior: bool = True
) -> Kandinsky:
    """A cascade from the two folders. Raises what `load` does, and ImportError without the extra."""
    check_extra("Kandinsky's decoder")
    stages = {"clip": LazyStage.of(clip_with_colours(prior)),
              "prior": LazyStage.of(prior_part(prior)) if keep_prior else None}  # fmt: skip
    check_scheduler(decoder)
    config = config_of(decoder, stages["clip"].stage.config.text_width)
    check_width(prior, decoder, stages["clip"].stage.config.embed_width, config)
    sizes = [size for stage in stages.values() if stage for size in stage.sizes(dtype).values()]
    own, working = decoder_size(decoder, dtype), BYTES_A_PIXEL * config.size**2
    mode = choose(memory, [*sizes, own], working, torch.device(device))
    if torch.device(device).type == "cpu":
        keep_freed_memory()

    def load() -> KandinskyDecoder:
        return KandinskyDecoder.from_pretrained(decoder, device, dtype, config=config)

    # Where the cascade has one network at a time on the device, that one must find room beside it.
    beside = 0 if mode == "resident" else max(sizes)
    late = LateDecoder(load, own + working + beside, torch.device(device), config=config)
    return Kandinsky(stages, late, mode, device=device, dtype=dtype)


def check_width(prior: Path, decoder: Path, width: int, config: KandinskyConfig) -> None:
    """Raises ValueError if the two folders are not of one cascade."""
    if width != config.z_width:
        raise ValueError(f"{prior} makes z_i of {width} numbers, and {decoder} reads {config.z_width}: they are of two "
                         "different models")  # fmt: skip


def decoder_size(folder: Path, dtype: torch.dtype) -> int:
    """Bytes that its weights take, by the size of their files."""
    def count(name: str) -> int:
        path = weights_in(folder / name, f"{PIPELINE}.safetensors")
        return path.stat().st_size // (4 if path.name == f"{PIPELINE}.safetensors" else 2)

    return count("unet") * dtype.itemsize + count("movq") * 4
