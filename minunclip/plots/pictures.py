"""The figures of the notebooks. Each carries its alt text, so that it can be read out as well as seen."""

from __future__ import annotations

import base64
import html
import io
import textwrap
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..common import to_pil
from ..diffusion import Step
from ..unclip import Drawing

DENSITY = 2             # dots of a figure for each pixel of the page, as screens have them today
GAP, MARGIN = 8, 6      # of the page's pixels, between pictures and around them
INK = (60, 60, 70)


class Picture:
    """An image with a description: PNG for any viewer, and HTML with alt text for a screen reader.

    colours: how many to keep when it is saved, by default all. A drawing needs few, and takes fewer bytes with few
    density: dots of the image for each pixel of the page
    """

    def __init__(self, image: Image.Image, alt: str, colours: int | None = None, *, density: int = 1):
        self.image, self.alt, self.colours, self.density = image, alt, colours, density

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the page, in its pixels."""
        return self.image.width // self.density, self.image.height // self.density

    def png(self) -> bytes:
        """The image as a PNG file."""
        return encoded(self._saved(), "PNG", optimize=True)

    def _saved(self) -> Image.Image:
        return self.image.convert("RGB").quantize(self.colours) if self.colours else self.image

    def html(self) -> str:
        """The image as an <img> that holds its own data."""
        exact, close = encoded(self._saved(), "WEBP", lossless=True), encoded(self.image, "WEBP", quality=95)
        data = base64.b64encode(min(exact, close, key=len)).decode()    # close is smaller only for large pictures
        return (f'<img alt="{html.escape(self.alt)}" width="{self.size[0]}" style="max-width: 100%" '
                f'src="data:image/webp;base64,{data}">')  # fmt: skip

    def _repr_mimebundle_(self, include=None, exclude=None):
        """What Jupyter calls to show it: (data by MIME type, metadata by MIME type)."""
        data = {"image/png": base64.b64encode(self.png()).decode(), "text/html": self.html(), "text/plain": repr(self)}
        width, height = self.size
        return data, {"image/png": {"alt": self.alt, "width": width, "height": height}}

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """An image as a file of some kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# -- pictures of pictures ------------------------------------------------------------------------------------


def show(
    images: Tensor | Sequence, captions: Sequence[str] | None = None, *, columns: int | None = None,
    title: str = "", seed: int | None = None, side: int | None = None, alt: str = "",
) -> Picture:  # fmt: skip
    """Pictures next to each other, captions below them. A seed is added to the title.

    images: (B, 3, s, s) in -1 to 1, or a list of (3, s, s) or of PIL images
    captions: a str is the caption of one picture. A letter that the font lacks is drawn as a question mark
    side: of each picture on the page, in pixels; by default that of the largest, and at least 128

    Raises ValueError unless there are pictures, and one caption for each of them or none at all.
    """
    images, captions = list(images), [captions] if isinstance(captions, str) else list(captions or [])
    if not images:
        raise ValueError("show: there are no pictures to show")
    if captions and len(captions) != len(images):
        raise ValueError(f"show: {len(captions)} captions for {len(images)} pictures; give one for each")
    side = DENSITY * (side or max(128, *(to_pil(image).width for image in images)))
    title = _with_seed(title, seed)
    images = [to_pil(image, side) for image in images]
    sheet = _grid(images, columns or min(len(images), 4), below=captions, title=title)
    told = ": ".join(part for part in (title, "; ".join(captions)) if part)
    return Picture(sheet, alt or told or f"{len(images)} pictures", density=DENSITY)


def film_strip(steps: list[Step], seed: int, *, count: int = 8, row: int = 0, side: int = 96) -> Picture:
    """One sampling run: above the sample after a step, below the estimate of x_0 that the step was based on.

    steps: every Step of a sampler of pictures. `count` of them are shown at equal distances, the first and the last
    included; of their batch, picture number `row`
    """
    shown = torch.linspace(0, len(steps) - 1, min(count, len(steps)), dtype=torch.float32, device="cpu")
    chosen = [steps[i] for i in shown.round().int().tolist()]
    rows = [step.x_t[row] for step in chosen] + [step.x_0[row] for step in chosen]
    times = [f"t = {step.t}" for step in chosen]
    sheet = _grid(
        [to_pil(image, DENSITY * side) for image in rows], len(chosen), above=times, left=["x_t", "est. x_0"],
        title=_with_seed(f"{len(chosen)} of {len(steps)} steps", seed),
    )  # fmt: skip
    alt = (f"Film strip of {len(chosen)} of {len(steps)} sampling steps, {times[0]} to {times[-1]}, seed {seed}. "
           "Above, the noisy sample x_t; below, the network's estimate of the clean picture x_0.")  # fmt: skip
    return Picture(sheet, alt, density=DENSITY)


def cascade_figure(drawing: Drawing, side: int = 256, row: int = 0) -> Picture:
    """Picture `row` of a drawing after the decoder and after each upsampler, all at the same size on the page."""
    sizes = sorted(drawing.images)
    captions = [f"{size} x {size} pixels" for size in sizes]
    caption, seed = drawing.captions[row], drawing.seed + row
    alt = f"{caption}, seed {seed}: one picture at {', '.join(map(str, sizes))} pixels, shown at the same size."
    images = [drawing.images[size][row] for size in sizes]
    return show(images, captions, columns=len(sizes), title=caption, seed=seed, side=side, alt=alt)


def _with_seed(title: str, seed: int | None) -> str:
    return ", ".join(part for part in (title, f"seed {seed}" if seed is not None else "") if part)


@cache
def _font() -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    """Matplotlib's own font, which has the letters of most alphabets, and the numbers of all letters that it has."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    path = str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    return ImageFont.truetype(path, 12 * DENSITY), frozenset(FT2Font(path).get_charmap())


def _wrapped(text: str, width: int) -> str:
    """Break lines so that they fit a width in pixels of the page."""
    text, font = _drawable(text), _font()[0]
    letter = max(font.getlength(some) / len(some) for some in ("abcdefghij klmnop", text or " "))   # or a wider one
    return "\n".join(textwrap.wrap(text, max(6, int(DENSITY * width / letter))))


def _drawable(text: str) -> str:
    """The text with a question mark for each letter that the font lacks, such as Chinese ones, instead of a box."""
    spaced = " ".join(unicodedata.normalize("NFC", text).split())       # é in one letter, where it came in two
    return "".join(letter if ord(letter) in _font()[1] else "?" for letter in spaced)


def _height(texts: Sequence[str]) -> int:
    """The pixels of the page that the tallest of some texts needs."""
    return max((18 * (text.count("\n") + 1) for text in texts if text), default=0)


def _grid(
    images: Sequence[Image.Image], columns: int, *, above: Sequence[str] = (), below: Sequence[str] = (),
    left: Sequence[str] = (), title: str = "",
) -> Image.Image:  # fmt: skip
    """Pictures of one size in rows. `above` heads the columns, `left` the rows; `below` has one text per picture."""
    side = images[0].width // DENSITY                                   # from here on in pixels of the page
    rows = -(-len(images) // columns)
    width_left = 56 if left else 0
    width = width_left + columns * (side + GAP) - GAP + 2 * MARGIN
    title, below = _wrapped(title, width), [_wrapped(text, side) for text in below]
    top, step = MARGIN + _height([title]) + _height(above), side + GAP + _height(below)
    sheet = Image.new("RGB", (DENSITY * width, DENSITY * (top + rows * step - GAP + MARGIN)), "white")
    pen = ImageDraw.Draw(sheet)

    def write(x: int, y: int, text: str) -> None:
        pen.text((DENSITY * x, DENSITY * y), text, INK, _font()[0], spacing=5 * DENSITY)    # 17 pixels a line

    write(MARGIN, 3, title)
    for i, image in enumerate(images):
        x, y = MARGIN + width_left + (i % columns) * (side + GAP), top + (i // columns) * step
        sheet.paste(image, (DENSITY * x, DENSITY * y))
        if i < columns and above:
            write(x, y - 18, above[i])
        if i % columns == 0 and left:
            write(MARGIN, y + side // 2 - 8, left[i // columns])
        if below:
            write(x, y + side + 2, below[i])
    return sheet


# -- plots of numbers ----------------------------------------------------------------------------------------


def embedding_bars(embeddings: dict[str, Tensor], first: int = 64) -> Picture:
    """The `first` numbers of some embeddings (D,), one row of bars for each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.1 * len(embeddings) + 0.3), layout="constrained")
    axes = figure.subplots(len(embeddings), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (name, embedding) in zip(axes, embeddings.items(), strict=True):
        values = embedding.detach().float().cpu()[:first]
        axis.bar(range(len(values)), values, color=["#c1543c" if value < 0 else "#3c78b4" for value in values])
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("number in the embedding")
    return plotted(figure, f"Bars: the first {len(values)} numbers of {', '.join(embeddings)}.")


def bars(values: dict[str, float], label: str) -> Picture:
    """One horizontal bar with its number for each name; the longest is dark. `label` says what is measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.38 * len(values) + 0.7), layout="constrained")
    axis, best = figure.subplots(), max(values.values())
    colours = ["#2c5f94" if value == best else "#b8cbe0" for value in values.values()]
    drawn = axis.barh(list(values), list(values.values()), color=colours)
    axis.bar_label(drawn, fmt="%.2f", padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(label)
    axis.spines[["top", "right"]].set_visible(False)
    return plotted(figure, f"Bars of {label}: " + "; ".join(f"{name} {value:.2f}" for name, value in values.items()))


def plotted(figure, alt: str, colours: int = 256) -> Picture:
    """A matplotlib figure as a Picture, saved with so many colours."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90 * DENSITY, facecolor="white")
    return Picture(Image.open(file).convert("RGB"), alt, colours, density=DENSITY)
