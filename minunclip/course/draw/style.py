"""One look for all drawings, in light and in dark: a colour for each kind of thing, and how text is written."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

# What a colour means is the same in every drawing: (fill, line, letters) on a light page, and on a dark one.
KINDS = {
    "plain": (("#ffffff", "#7b8794", "#1f2933"), ("#15191e", "#7d8a97", "#e6eaee")),
    "net": (("#edf0f3", "#7b8794", "#1f2933"), ("#272e36", "#8592a0", "#e6eaee")),            # networks
    "text": (("#dceafa", "#3273b8", "#174a80"), ("#1c3550", "#6fa8dc", "#d3e6fa")),           # captions, z_t
    "image": (("#fde8d0", "#cc7518", "#854604"), ("#493017", "#e59a45", "#fbe2c4")),          # pictures, z_i
    "noise": (("#eae4f8", "#7a5cc0", "#4b3190"), ("#33284f", "#a790e6", "#e4dcfb")),          # noise, time, x_t
    "good": (("#dcf2e3", "#2f9157", "#1a6239"), ("#1b3d2a", "#5cc088", "#d2f2de")),           # what is asked for
    "bad": (("#fbdfdf", "#c64040", "#8c2323"), ("#4a2020", "#e27878", "#fbd6d6")),            # what goes wrong
    "soft": (("#f6f7f9", "#b4bec8", "#5a6875"), ("#1c2127", "#4b5662", "#a7b3be")),           # frames, remarks
}  # fmt: skip
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
LOOK = (f".d text{{font-family:{FONT};font-size:15px}}.d .i{{font-style:italic}}.d .b{{font-weight:600}}"
        ".d .paper{stroke:none}.d .l{fill:none;stroke-width:1.6}.d .s{stroke-width:1.4}"
        ".d .dash{stroke-dasharray:5 4}")  # fmt: skip


def style_sheet(used: set[str]) -> str:
    """CSS for the kinds that a drawing uses: .f- fills, .s- draws the line, .t- colours letters."""
    def rules(page: int) -> str:
        colours = {kind: KINDS[kind][page] for kind in KINDS if kind in used or kind == "plain"}
        return f".d .paper{{fill:{KINDS['plain'][page][0]}}}" + "".join(
            f".d .f-{kind}{{fill:{fill}}}.d .s-{kind}{{stroke:{line}}}"
            f".d .a-{kind}{{fill:{line}}}.d .t-{kind}{{fill:{ink}}}"
            for kind, (fill, line, ink) in colours.items())  # fmt: skip

    return f"{LOOK}{rules(0)}@media (prefers-color-scheme:dark){{{rules(1)}}}"


# -- text ----------------------------------------------------------------------------------------------------

SYMBOL = re.compile(r"\*([^*]+)\*|([A-Za-zα-ωᾱ])_(?:\{([^}]*)\}|([A-Za-z0-9θ]+))")


def runs(words: str) -> list[tuple[str, str, str]]:
    """Words as runs (letters, subscript, italic or not): *w* is italic, x_t and x_{t-1} have a subscript."""
    found, at = [], 0
    for match in SYMBOL.finditer(words):
        italic, letter, braced, bare = match.groups()
        found += [(words[at : match.start()], "", "")] if match.start() > at else []
        found.append((italic, "", "i") if italic else (letter, braced or bare, "i"))
        at = match.end()
    return found + ([(words[at:], "", "")] if words[at:] else [])


@cache
def _font(bold: bool):
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), 100)


def width_of(words: str, size: float = 15, bold: bool = False) -> float:
    """How wide words may become: DejaVu Sans is wider than any font that a page is likely to have."""
    letters = [(text, size) for text, _, _ in runs(words)] + [(low, 0.72 * size) for _, low, _ in runs(words) if low]
    return sum(_font(bold).getlength(text) / 100 * each for text, each in letters)
