"""`minunclip draw`: a caption in, a PNG out."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from .plots import show, to_pil
from .unclip import Drawing, Settings, UnCLIP


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def sheet(drawing: Drawing) -> Image.Image:
    """One caption: its picture as it is. Several: all of them, each above its caption."""
    if len(drawing.captions) == 1:
        return to_pil(drawing.image[0])
    return show(drawing.image, drawing.captions, seed=drawing.seed).image


def check_writable(path: Path) -> None:
    """Fail before the work, not after it. Raises OSError that names the path."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} is no PNG file name: end it with .png")
    if path.is_dir() or not path.parent.is_dir():
        raise OSError(f"cannot write {path}: {path.parent if not path.is_dir() else path} "
                      f"is {'a folder' if path.is_dir() else 'no folder'}; choose another --out")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OSError(f"cannot write {path}: permission denied; choose another --out")


def save_png(picture: Image.Image, path: Path, note: str) -> None:
    """Write a PNG with a note in its metadata: to a temporary name first, so that no half file is left."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Description", note)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            picture.save(file, "PNG", pnginfo=info)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def draw(
    captions: list[str], out: Path, model: str = "scenes", seed: int = 0, size: int | None = None,
    quiet: bool = False, **settings,
) -> Drawing:  # fmt: skip
    """Draw the captions and save them as one PNG. `settings` changes those of the model, see Settings."""
    check_writable(out)
    cascade = UnCLIP.from_pretrained(model, best_device())
    chosen: Settings = replace(cascade.settings, **settings)
    with tqdm(desc="drawing", unit=" steps", delay=1, disable=quiet) as bar:  # bad input fails before it shows
        for progress in cascade.stream(captions, seed, size, settings=chosen):
            bar.set_postfix_str(f"{progress.stage} {progress.done}/{progress.total}", refresh=False)
            bar.update()
    drawing = progress.drawing
    save_png(sheet(drawing), out, f"{'; '.join(captions)} (minunclip {model}, seed {seed})")
    return drawing
