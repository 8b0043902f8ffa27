"""A folder of captioned pictures, with all the folders in it.

    dogs/rex.jpg     dogs/rex.txt                              a caption on each line
    metadata.jsonl   {"file_name": "dogs/rex.jpg", "text": "a dog"}      or a list of captions
    metadata.csv     file_name,text

Where a folder has a metadata file it speaks for all that is in that folder; the names in it start from there.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterator
from pathlib import Path

from .entries import SUFFIXES, Entry, Faults, Place, examine, tidy

METADATA = ("metadata.jsonl", "metadata.csv")
COLUMNS = ("file_name", "text")


def read_folder(root: Path, faults: Faults) -> list[Entry]:
    """Its pictures, by their keys; what is wrong goes into `faults`."""
    files = sorted(path for path in root.rglob("*") if not hidden(path.relative_to(root)))
    captions = dict(in_text_files(files)) | dict(in_metadata(files, faults))
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES and path.is_file()]
    for path in sorted(captions.keys() - {*pictures}):
        faults.add("captions whose pictures are missing: correct the name, or remove the caption",
                   str(path.relative_to(root)))  # fmt: skip
    entries = [entry_of(path, root, captions.get(path, ())) for path in pictures]
    return examine(entries, faults)


def entry_of(path: Path, root: Path, captions: tuple[str, ...]) -> Entry:
    return Entry(path.relative_to(root).with_suffix("").as_posix(), captions, Place(path, path.stat().st_size))


def hidden(path: Path) -> bool:
    """What begins with a dot is not ours: previews, thumbnails, version control."""
    return any(part.startswith(".") for part in path.parts)


def in_text_files(files: list[Path]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Each picture with a text beside it, and its captions."""
    pictures: dict[Path, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            pictures.setdefault(path.with_suffix(""), []).append(path)
    for path in files:
        if path.suffix == ".txt":
            for picture in pictures.get(path.with_suffix(""), ()):
                yield picture, tidy(path.read_text(encoding="utf-8", errors="replace").splitlines())


# -- metadata ------------------------------------------------------------------------------------------------


def in_metadata(files: list[Path], faults: Faults) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """What all metadata files say: a picture, which may be missing, and its captions."""
    for path in files:
        if path.name in METADATA:
            for number, row in enumerate(rows(path, faults), start=1):
                if picture_and_captions := read_row(path, row, faults, number=number):
                    yield picture_and_captions
        elif difflib.get_close_matches(path.name.lower(), METADATA, cutoff=0.85):
            faults.add("a name that is nearly metadata.jsonl or metadata.csv: rename it", path.name)


def rows(path: Path, faults: Faults) -> Iterator[dict]:
    """The rows of a metadata file."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")       # spreadsheets put a mark in front of UTF-8
    if path.suffix == ".csv":
        yield from csv.DictReader(io.StringIO(text, newline=""))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError:
                faults.add("a line that is no JSON: correct it", f"{path.name}, line {number}")


def read_row(path: Path, row: dict, faults: Faults, *, number: int) -> tuple[Path, tuple[str, ...]] | None:
    """The picture that a row is about and its captions, or None for a row that says too little."""
    found = tuple(row) if isinstance(row, dict) else ()
    for column in COLUMNS:
        if column not in found:
            near = difflib.get_close_matches(column, [str(name) for name in found], n=1, cutoff=0.5)
            hint = f", is it {near[0]!r}" if near else ""
            fault = f"metadata without {column!r}{hint}: it needs 'file_name' and 'text'"
            return faults.add(fault, f"{path.name}, row {number}")
    captions = row["text"] if isinstance(row["text"], list) else [row["text"]]
    return path.parent / str(row["file_name"]), tidy(captions)
