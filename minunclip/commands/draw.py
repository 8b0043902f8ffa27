"""`minunclip draw`: a caption in, a PNG out."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from ..common import best_device, best_dtype, check_target, save_png, to_pil, try_device
from ..plots import show
from ..pretrained import (
    FallbackWarning,
    LateUpscaler,
    Release,
    check_extra,
    is_kandinsky,
    is_ours,
    load,
    release_for,
    releases_of,
)  # fmt: skip
from ..text import CutWarning, Text, captions_to_draw
from ..unclip import Drawing, Settings, UnCLIP
from .fetch import ensure


def sheet(drawing: Drawing) -> Image.Image:
    """One caption: its picture as it is. Several: all of them, each above its caption."""
    if len(drawing.captions) == 1:
        return to_pil(drawing.image[0])
    return show(drawing.image, drawing.captions, seed=drawing.seed).image


OURS = CutWarning, FallbackWarning          # warnings
AT_ONCE = 16                                # captions: more at once would only take more memory
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def draw(
    captions: list[str], out: Path, model: str = "scenes", *, seed: int = 0, size: int | None = None,
    quiet: bool = False, device: str | None = None, dtype: str | None = None, memory: str = "auto",
    prior: Path | None = None, upsampler_steps: tuple[int, ...] = (), yes: bool = False, **settings,
) -> Drawing:  # fmt: skip
    """Draw the captions and save them as one PNG. `settings` changes those of the model, see Settings.

    device, dtype     by default the best that there are; models trained here always compute in float32
    memory            where the weights lie, see `pretrained.offload`
    prior             a weight file of one's own, in the place of the model's prior
    upsampler_steps   for each upsampler, or one number for all of them; by default those of the model
    yes               fetch weights that are not here without asking
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out} is no PNG file name: end it with .png")
    if not out.parent.is_dir():
        raise OSError(f"cannot write {out}: there is no folder {out.parent}; choose another --out")
    check_target(out)
    captions = captions_to_draw(captions)   # whatever can be refused is, before gigabytes are fetched and read
    Settings(**settings)
    if is_kandinsky(model):
        check_extra("Kandinsky's decoder")
    elif size == 1024 and not is_ours(model):
        check_extra()
    place = device_of(device)
    try_device(place)
    if not quiet and (hint := one_word_each(captions)):
        print(f"minunclip: {hint}", file=sys.stderr)
    number = DTYPES[dtype] if dtype else torch.float32 if is_ours(model) else best_dtype(place)
    ensure(needed(model, size, number), ask=not (yes or quiet) and sys.stdin is not None and sys.stdin.isatty())
    with plain_warnings():
        cascade = load(model, place, number, memory, prior=prior)
        if not quiet and not is_ours(model):
            print(f"minunclip: {model} on {place.type}, {str(number)[6:]}, weights {cascade.memory}", file=sys.stderr)
        if size == 1024 and cascade.sizes[-1] == 256:
            LateUpscaler.from_pretrained(device=place, dtype=number).add_to(cascade)
        if upsampler_steps:
            settings["upsampler_steps"] = one_for_each(upsampler_steps, len(cascade.upsamplers))
        changed = replace(cascade.settings, **settings)
        drawing = draw_all(cascade, captions, seed, size, settings=changed, quiet=quiet)
    save_png(sheet(drawing), out, f"{'; '.join(captions)} (minunclip {model}, seed {seed})")
    return drawing


def needed(model: str, size: int | None, dtype: torch.dtype) -> list[Release]:
    """The releases that drawing takes."""
    upscaler = [release_for(dtype)] if size == 1024 and not (is_ours(model) or is_kandinsky(model)) else []
    return [*releases_of(model), *upscaler]


def one_word_each(captions: list[str]) -> str:
    """A hint for who forgot the quotes; empty if nobody did."""
    if len(captions) == 1 or any(len(caption.split()) > 1 for caption in captions):
        return ""
    return f"drawing {len(captions)} pictures, one for each word; for one picture: draw \"{' '.join(captions)}\""


def draw_all(
    cascade: UnCLIP, captions: list[str], seed: int, size: int | None, *, settings: Settings, quiet: bool
) -> Drawing:
    """All captions, some at once."""
    if len(captions) > AT_ONCE:
        with warnings.catch_warnings(action="ignore"):                  # which come when they are drawn
            cascade.encode_text(captions)                               # none is to be refused after others were drawn
    parts = [follow(cascade, captions[i : i + AT_ONCE], seed + i, size, settings=settings, quiet=quiet)
             for i in range(0, len(captions), AT_ONCE)]  # fmt: skip
    return joined(parts) if len(parts) > 1 else parts[0]


def joined(parts: list[Drawing]) -> Drawing:
    """Several drawings as one. Picture i has the seed of the first + i, as if all had been drawn at once."""
    images = {side: torch.cat([part.images[side] for part in parts]) for side in parts[0].images}
    captions = [caption for part in parts for caption in part.captions]
    text, z_i = Text.cat(*(part.text for part in parts)), torch.cat([part.z_i for part in parts])
    return replace(parts[0], captions=captions, text=text, z_i=z_i, images=images)


def follow(
    cascade: UnCLIP, captions: list[str], seed: int, size: int | None, *, settings: Settings, quiet: bool
) -> Drawing:
    """The drawing, made under one progress bar for each stage."""
    stream = cascade.stream(captions, seed, size, settings=settings)
    for stage, total in cascade.stages(settings, size).items():
        delay = 1 if stage == "prior" else 0                            # a caption that is refused leaves no bar
        with tqdm(desc=f"{stage:<11}", total=total, unit="step", delay=delay, disable=quiet) as bar:
            for progress in stream:
                bar.update()
                if progress.done == progress.total:
                    break
    return stream.finish()


def one_for_each(steps: tuple[int, ...], upsamplers: int) -> tuple[int, ...]:
    """Raises ValueError if there are neither one nor as many as there are upsamplers."""
    if len(steps) not in (1, upsamplers):
        raise ValueError(f"--upsampler-steps has {len(steps)} numbers, and this model has {upsamplers} upsamplers")
    return steps if len(steps) == upsamplers else steps * upsamplers


def device_of(name: str | None) -> torch.device:
    """The device of this name, or the best. Raises ValueError for one that is not here."""
    if name is None:
        return best_device()
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(name):
        raise ValueError(f"there is no device {name!r} here: choose {' or '.join(d for d in here if here[d])}")
    return torch.device(name)


@contextmanager
def plain_warnings():
    """A warning of ours becomes one line, without the line of code that it comes from."""

    def show_ours(message, category, *where, **options):
        if issubclass(category, OURS):
            print(f"minunclip: {message}", file=sys.stderr)
        else:
            show(message, category, *where, **options)

    with warnings.catch_warnings():
        for ours in OURS:
            warnings.simplefilter("always", ours)
        show, warnings.showwarning = warnings.showwarning, show_ours
        yield
