"""What a set of captioned pictures is made of: entries, each with a name, its captions and the place of its bytes."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# How files of these formats begin.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class Place:
    """Where the bytes of a picture lie: a file, or a part of one, such as a member of a tar."""

    path: Path
    size: int                               # bytes
    start: int = 0                          # of the part, in bytes from the beginning of the file

    def read(self, most: int | None = None) -> bytes:
        """All bytes, or the first `most`."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.size if most is None else min(most, self.size))


@dataclass(frozen=True)
class Entry:
    """A picture that was found. Of one picture with several captions, training draws another one each time."""

    key: str                                # no other entry of the set has it: its path in the set without the suffix
    captions: tuple[str, ...]
    place: Place

    @property
    def for_validation(self) -> bool:
        """One picture in ten, by its key alone: so it stays there when others are added."""
        return zlib.crc32(self.key.encode(errors="surrogateescape")) % 10 == 0


def tidy(captions: Iterable) -> tuple[str, ...]:
    """Captions in one line each, without those that are empty or no text: the same from whatever file they came."""
    return tuple(" ".join(caption.split()) for caption in captions if isinstance(caption, str) and caption.strip())


def fingerprint(entries: Iterable[Entry]) -> str:
    """A sum over keys, captions and sizes: other pictures or other captions give another one."""
    lines = sorted(json.dumps([entry.key, entry.captions, entry.place.size]) for entry in entries)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# -- what is wrong with a set --------------------------------------------------------------------------------


@dataclass
class Faults:
    """All that is wrong with a set: readers gather it, and go on, so that it can be told at once."""

    source: Path
    found: dict[str, list[str]] = field(default_factory=dict)   # what is wrong and what to do -> the names of files

    def add(self, fault: str, name: str) -> None:
        self.found.setdefault(fault, []).append(name)

    def check(self) -> None:
        """Raises ValueError, with the first file of each fault and their number, if anything is wrong."""
        if self.found:
            told = [f"{fault} ({count(names)})" for fault, names in self.found.items()]
            raise ValueError(f"{self.source}: {'; '.join(told)}")


def count(names: list[str]) -> str:
    """'a.jpg', or 'a.jpg and 2 others'."""
    others = len(names) - 1
    return names[0] if not others else f"{names[0]} and {others} other{'s' if others > 1 else ''}"


def examine(entries: list[Entry], faults: Faults) -> list[Entry]:
    """The entries by their keys, and what is wrong with them: no caption, a name twice, a file that is no picture."""
    if not entries and not faults.found:
        faults.add(f"there is no picture: put in files that end with {', '.join(SUFFIXES)}", faults.source.name)
    keys = Counter(entry.key for entry in entries)
    for entry in entries:
        if keys[entry.key] > 1:
            faults.add("two pictures have one name but for its end: rename one", entry.key)
        if not entry.captions:
            faults.add("no caption: write one into a .txt beside it, or into metadata.jsonl", entry.key)
        if not entry.place.read(12).startswith(BEGINNINGS):
            faults.add("no picture that can be read: get it again, or remove it", entry.key)
    return sorted(entries, key=lambda entry: entry.key)
