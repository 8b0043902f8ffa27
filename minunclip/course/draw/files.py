"""The drawings as files, and whether those are what the code draws."""

from __future__ import annotations

import re
from pathlib import Path

from ...common import DATA
from . import ALL
from .sheet import Drawing

DRAWINGS = DATA.parent / "docs" / "drawings"
PICTURE = re.compile(r'<g class="mosaic".*?</g>')
STRIP = re.compile(r'<path stroke="#(\w)(\w)(\w)" d="([^"]+)"/>')


def stale(folder: Path = DRAWINGS) -> list[str]:
    """The files of a folder that are missing, too many, or not what the code draws."""
    drawings = [function() for function in ALL]
    wanted = {f"{drawing.name.replace('_', '-')}.svg": drawing for drawing in drawings}
    there = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg"))}
    changed = [name for name, drawing in wanted.items() if not alike(drawing, there.get(name, ""))]
    return changed + sorted(there.keys() - wanted)


def alike(drawing: Drawing, svg: str) -> bool:
    """Whether a file holds this drawing. In its small pictures a colour may be one level off: processors round as they
    like, everything else must be the same to the letter."""
    if PICTURE.sub("", drawing.svg) != PICTURE.sub("", svg):
        return False
    pairs = zip(PICTURE.findall(drawing.svg), PICTURE.findall(svg), strict=False)
    return len(PICTURE.findall(svg)) == len(PICTURE.findall(drawing.svg)) and all(near(*pair) for pair in pairs)


def near(one: str, other: str) -> bool:
    a, b = pixels(one), pixels(other)
    return a.keys() == b.keys() and all(abs(u - v) <= 1 for place in a for u, v in zip(a[place], b[place], strict=True))


def pixels(mosaic: str) -> dict[tuple[int, int], tuple[int, ...]]:
    """{(row, column): (red, green, blue), 0 to 15} of a small picture."""
    found = {}
    for *colour, path in STRIP.findall(mosaic):
        for column, row, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path):
            for i in range(int(length)):
                found[int(row), int(column) + i] = tuple(int(level, 16) for level in colour)
    return found
