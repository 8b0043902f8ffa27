"""A sheet to draw on: boxes, arrows, words and small pictures, written down as SVG."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy import ndarray

from ...common import write_text
from .style import runs, style_sheet, width_of

Point = tuple[float, float]


@dataclass(frozen=True)
class Drawing:
    """An SVG with its description. It shows itself in a notebook."""

    name: str
    svg: str
    alt: str
    width: int

    def save(self, folder: str | Path) -> Path:
        """Write it to folder/name.svg."""
        path = Path(folder) / f"{self.name.replace('_', '-')}.svg"
        write_text(path, self.svg)
        return path

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """An <img>, which keeps the drawing's style to itself and passes every notebook viewer's filter."""
        data = base64.b64encode(self.svg.encode()).decode()
        image = (f'<img alt="{html.escape(self.alt)}" width="{self.width}" style="max-width: 100%" '
                 f'src="data:image/svg+xml;base64,{data}">')  # fmt: skip
        return {"text/html": image, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Drawing: {self.alt}"


def number(value: float) -> str:
    """A number as SVG wants it, to a tenth."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


class Sheet:
    """Drawn on from back to front. Lengths are in pixels, y goes down. `kind` is one of style.KINDS."""

    def __init__(self, name: str, width: int, height: int, *, title: str, alt: str):
        self.name, self.width, self.height, self.title, self.alt = name, width, height, title, alt
        self.parts: list[str] = []
        self.used: set[str] = set()

    def done(self) -> Drawing:
        """The finished drawing."""
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" class="d" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img" '
                f'aria-labelledby="{self.name}-title {self.name}-desc">')  # fmt: skip
        told = (f'<title id="{self.name}-title">{html.escape(self.title)}</title>'
                f'<desc id="{self.name}-desc">{html.escape(self.alt)}</desc>')  # fmt: skip
        paper = f'<rect class="paper" width="{self.width}" height="{self.height}" rx="10"/>'
        body = "\n".join([head, told, f"<style>{style_sheet(self.used)}</style>", paper, *self.parts, "</svg>"])
        return Drawing(self.name, body + "\n", self.alt, self.width)

    # -- shapes ----------------------------------------------------------------------------------------------

    def box(
        self, x: float, y: float, w: float, h: float, *, kind: str = "net", words: str = "", note: str = "",
        size: float = 15, radius: float = 7, dash: bool = False, bold: bool = False,
    ) -> None:  # fmt: skip
        """A box with its corner at (x, y), words in its middle and a smaller note below them.

        Raises ValueError for words that may not fit.
        """
        self.used.add(kind)
        line = " dash" if dash else ""
        self.parts.append(f'<rect class="s f-{kind} s-{kind}{line}" x="{number(x)}" y="{number(y)}" '
                          f'width="{number(w)}" height="{number(h)}" rx="{number(radius)}"/>')  # fmt: skip
        lines = [(part, size, bold) for part in words.split("\n") if part] + [
            (part, 12.5, False) for part in note.split("\n") if part]  # fmt: skip
        heights = [1.22 * each for _, each, _ in lines]
        if sum(heights) > h + 2 or any(width_of(part, each, b) > w - 4 for part, each, b in lines):
            raise ValueError(f"{self.name}: {words!r} {note!r} does not fit a box of {w} x {h}")
        at = y + h / 2 - sum(heights) / 2
        for (part, each, b), high in zip(lines, heights, strict=True):
            self.text(x + w / 2, at + 0.78 * high, part, kind=kind, size=each, bold=b)
            at += high

    def frame(self, x: float, y: float, w: float, h: float, *, kind: str = "soft", words: str = "") -> None:
        """A dashed frame round several things, with words in its upper left corner."""
        self.used.add(kind)
        self.parts.append(f'<rect class="s f-{kind} s-{kind} dash" x="{number(x)}" y="{number(y)}" width="{number(w)}" '
                          f'height="{number(h)}" rx="10"/>')  # fmt: skip
        if words:
            self.text(x + 12, y + 20, words, kind=kind, size=13, anchor="start")

    def circle(
        self, x: float, y: float, radius: float, *, kind: str = "net", dot: bool = False, words: str = ""
    ) -> None:
        """A circle, or a dot in the colour of the kind's lines, with words in its middle."""
        self.used.add(kind)
        look = f"a-{kind}" if dot else f"s f-{kind} s-{kind}"
        self.parts.append(f'<circle class="{look}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>')
        if words:
            self.text(x, y + 5, words, kind=kind)

    def cell(self, x: float, y: float, w: float, h: float, *, kind: str, opacity: float = 1) -> None:
        """A filled square without words, as of a matrix."""
        self.used.add(kind)
        see = f' fill-opacity="{number(opacity)}"' if opacity < 1 else ""
        self.parts.append(f'<rect class="a-{kind}" x="{number(x)}" y="{number(y)}" width="{number(w)}" '
                          f'height="{number(h)}"{see}/>')  # fmt: skip

    def shape(self, path: str, *, kind: str = "net", dash: bool = False, filled: bool = True) -> None:
        """A path in SVG's own language."""
        self.used.add(kind)
        look = f"s f-{kind} s-{kind}" if filled else f"l s-{kind}"
        self.parts.append(f'<path class="{look}{" dash" * dash}" d="{path}"/>')

    # -- words -----------------------------------------------------------------------------------------------

    def text(
        self, x: float, y: float, words: str, *, kind: str = "plain", size: float = 15, anchor: str = "middle",
        bold: bool = False,
    ) -> None:  # fmt: skip
        """Words with their baseline at y; anchor "start", "middle" or "end" is at x. Several lines are spaced evenly.

        *w* is italic, and z_i and x_{t-1} are letters with a subscript. Raises ValueError for words that leave the
        sheet.
        """
        self.used.add(kind)
        for i, line in enumerate(words.split("\n")):
            wide = width_of(line, size, bold)
            left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor]
            if left < 2 or left + wide > self.width - 2 or not 0 < y < self.height:
                raise ValueError(f"{self.name}: {line!r} leaves the sheet, from {left:.0f} to {left + wide:.0f}")
            large = f' font-size="{number(size)}"' if size != 15 else ""
            style = f' style="font-size:{number(size)}px"' if large else ""
            self.parts.append(f'<text class="t-{kind}{" b" * bold}" x="{number(x)}" y="{number(y + 1.22 * size * i)}" '
                              f'text-anchor="{anchor}"{style}>{self._spans(line, size)}</text>')  # fmt: skip

    def _spans(self, line: str, size: float) -> str:
        parts, low = [], 0.0
        for letters, subscript, italic in runs(line):
            shift = f' dy="{number(-low)}"' if low else ""
            look = ' class="i"' if italic else ""
            text = html.escape(letters, quote=False)
            parts.append(f"<tspan{look}{shift}>{text}</tspan>" if look or shift else text)
            low = 0.0
            if subscript:
                low = 0.26 * size
                parts.append(f'<tspan class="i" dy="{number(low)}" style="font-size:{number(0.72 * size)}px">'
                             f"{html.escape(subscript)}</tspan>")  # fmt: skip
        return "".join(parts)

    # -- lines -----------------------------------------------------------------------------------------------

    def line(self, *points: Point, kind: str = "plain", dash: bool = False) -> None:
        """A line through points."""
        self.used.add(kind)
        path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
        self.parts.append(f'<path class="l s-{kind}{" dash" * dash}" d="{path}"/>')

    def arrow(self, *points: Point, kind: str = "plain", dash: bool = False, both: bool = False) -> None:
        """A line through points that ends in a head, or has one at both ends."""
        shaft = [*points]
        shaft[-1] = short_of(points[-1], points[-2])
        if both:
            shaft[0] = short_of(points[0], points[1])
            self.head(points[0], points[1], kind=kind)
        self.line(*shaft, kind=kind, dash=dash)
        self.head(points[-1], points[-2], kind=kind)

    def curve(
        self, start: Point, bend: Point, end: Point, *, kind: str = "plain", dash: bool = False, head: bool = True
    ) -> None:
        """An arrow bent towards a point."""
        self.used.add(kind)
        stop = short_of(end, bend) if head else end
        numbers = " ".join(number(value) for value in (*bend, *stop))
        self.parts.append(f'<path class="l s-{kind}{" dash" * dash}" d="M{number(start[0])} {number(start[1])}'
                          f'Q{numbers}"/>')  # fmt: skip
        if head:
            self.head(end, bend, kind=kind)

    def head(self, tip: Point, origin: Point, *, kind: str = "plain", length: float = 9) -> None:
        """The head of an arrow that comes from `origin` and ends at `tip`."""
        self.used.add(kind)
        angle = math.atan2(tip[1] - origin[1], tip[0] - origin[0])
        sides = [(tip[0] - length * math.cos(angle + turn), tip[1] - length * math.sin(angle + turn))
                 for turn in (0.42, -0.42)]  # fmt: skip
        path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in (tip, *sides)) + "z"
        self.parts.append(f'<path class="a-{kind}" d="{path}"/>')

    def brace(self, x: float, y: float, w: float, *, words: str, kind: str = "soft", up: bool = False) -> None:
        """A bracket along something horizontal, and words in the middle of its far side."""
        step = -8 if up else 8
        self.line((x, y), (x, y + step), (x + w, y + step), (x + w, y), kind=kind)
        self.text(x + w / 2, y + (step - 6 if up else step + 16), words, kind=kind, size=13)

    # -- pictures --------------------------------------------------------------------------------------------

    def picture(self, x: float, y: float, side: float, pixels: ndarray, *, kind: str = "plain") -> None:
        """A small picture (n, n, 3), 0 to 1, in squares: neighbours of one colour are one line."""
        n, scale = len(pixels), side / len(pixels)
        levels = (pixels.clip(0, 1) * 15 + 0.5).astype(int)
        colours = ["#" + "".join(f"{v:x}" for v in pixel) for pixel in levels.reshape(-1, 3).tolist()]
        strokes = "".join(f'<path stroke="{colour}" d="{path}"/>' for colour, path in strips(colours, n).items())
        self.parts.append(f'<g class="mosaic" transform="translate({number(x)} {number(y)}) scale({scale:.4f})" '
                          f'stroke-width="1.02" fill="none" shape-rendering="crispEdges">{strokes}</g>')  # fmt: skip
        self.used.add(kind)
        self.parts.append(f'<rect class="l s-{kind}" x="{number(x)}" y="{number(y)}" width="{number(side)}" '
                          f'height="{number(side)}" rx="2"/>')  # fmt: skip


def short_of(tip: Point, origin: Point, by: float = 6) -> Point:
    """A point shortly before the tip, where the shaft of an arrow ends."""
    length = math.dist(tip, origin) or 1
    return tip[0] - by * (tip[0] - origin[0]) / length, tip[1] - by * (tip[1] - origin[1]) / length


def strips(colours: Sequence[str], n: int) -> dict[str, str]:
    """{colour: the path of all its horizontal runs} of n rows of n colours."""
    paths: dict[str, str] = {}
    for row in range(n):
        start = 0
        for column in range(1, n + 1):
            if column == n or colours[n * row + column] != colours[n * row + start]:
                colour = colours[n * row + start]
                paths[colour] = paths.get(colour, "") + f"M{start} {row}.5h{column - start}"
                start = column
    return paths
