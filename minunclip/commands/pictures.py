"""`minunclip pictures check`, `pictures pack` and `embed`: captioned pictures looked at, packed, and through a CLIP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ..common import DATA, best_device, check_target, for_decoder, read_picture, replacing, save_png
from ..pictures import Entry, count, inspect, open_splits, split_of, write_tar
from ..plots import show
from ..training import Gallery
from .train import clip_named


def check(source: str, sheet: Path) -> bool:
    """Print everything that is wrong with a source, and leave a sheet of what it shows; whether nothing is wrong.

    Raises ValueError if there is no such source, OSError if the sheet cannot be written.
    """
    check_target(sheet)
    faults, shown = inspect(source)
    for fault, names in faults.found.items():
        print(f"{len(names):6} x {fault} ({count(names)})")
    if shown:
        pictures, captions = zip(*shown, strict=True)
        figure = show([for_decoder(picture, 160)[0] for picture in pictures], captions, columns=8, side=160)
        save_png(figure.image, sheet, figure.alt)
        print(f"{len(shown)} of the pictures: {sheet}")
    print("nothing is wrong" if not faults.found else f"{len(faults.found)} kinds of faults")
    return not faults.found


def embed(source: str, clip: str, out: Path | None = None, *, side: int = 64, workers: int = 1) -> Path:
    """Encode the pictures of all splits and their captions; the folder has a gallery for each.

    Interrupted, it goes on where it was. Raises ValueError if the folder holds other pictures or another CLIP's.
    """
    model = clip_named(clip, best_device())
    out = out or DATA / "embeddings" / Path(source).stem / clip.replace("/", "-")
    for split, pictures in open_splits(source).items():
        Gallery.at(out / split, pictures, side, model, workers=workers)
    return out


def pack(source: str, out: Path, *, side: int = 256, size: int = 1000) -> list[Path]:
    """Write the pictures into tars of so many each, no larger than `side` pixels on the shorter side: webdataset's way.

    They are numbered: photos.tar becomes photos-000.tar, ... Each is there whole or not at all.
    """
    check_target(out)
    entries = [(entry.key if split_of(entry.key) else f"{split}/{entry.key}", entry)
               for split, pictures in open_splits(source).items() for entry in pictures.entries]
    written = []
    for number, start in enumerate(range(0, len(entries), size)):
        path = out.with_name(f"{out.stem}-{number:03}.tar")
        with replacing(path) as temporary:
            write_tar(temporary, packed(entries[start : start + size], side))
        written.append(path)
    return written


def packed(entries: list[tuple[str, Entry]], side: int) -> Iterator[tuple[str, bytes, str, tuple[str, ...]]]:
    """What goes into a tar: keys, pictures as they are or, if they are larger, as a smaller JPEG, and captions."""
    for key, entry in entries:
        content = entry.place.read()
        with Image.open(io.BytesIO(content)) as image:
            suffix, small = f".{image.format.lower()}", min(image.size) <= side
        if not small:
            content, suffix = shrunk(content, side), ".jpg"
        yield key, content, suffix, entry.captions


def shrunk(content: bytes, side: int) -> bytes:
    """A picture with so many pixels on its shorter side, as JPEG."""
    image, file = read_picture(content), io.BytesIO()
    size = [round(side * length / min(image.size)) for length in image.size]
    image.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=92)
    return file.getvalue()
