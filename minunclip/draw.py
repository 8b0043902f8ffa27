"""`minunclip draw`: a caption in, a PNG out."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .unclip import Drawing, Settings, UnCLIP


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def to_pil(image: Tensor) -> Image.Image:
    """A picture (3, side, side) in -1 to 1 as 8-bit RGB."""
    pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def contact_sheet(images: Tensor, columns: int | None = None, gap: int = 4) -> Image.Image:
    """Pictures (B, 3, side, side) next to each other, on white."""
    side, columns = images.shape[-1], columns or min(len(images), 4)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (side + gap) - gap, rows * (side + gap) - gap), "white")
    for i, image in enumerate(images):
        sheet.paste(to_pil(image), ((i % columns) * (side + gap), (i // columns) * (side + gap)))
    return sheet


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
    total = None
    with tqdm(total=total, desc="drawing", unit="step", disable=quiet) as bar:
        for progress in cascade.stream(captions, seed, size, settings=chosen):
            bar.set_postfix_str(f"{progress.stage} {progress.done}/{progress.total}")
            bar.update()
    drawing = progress.drawing
    save_png(contact_sheet(drawing.image), out, f"{'; '.join(captions)} (minunclip {model}, seed {seed})")
    return drawing
