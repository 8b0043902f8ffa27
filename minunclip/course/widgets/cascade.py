"""The two knobs of notebook 09, the prior's guidance and the decoder's, and what each setting of them brings."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import ipywidgets as widgets
import numpy as np
import torch
from ipywidgets import jslink
from PIL import Image, ImageDraw
from torch import Tensor

from ...evaluation import Judge
from ...plots import COLOURS, DASHES, DENSITY, Picture, plotted, show
from ...scenes import Item
from ...unclip import UnCLIP
from .base import Live, StillBox, knob, light, stacked

COUNT, SIDE = 8, 96  # pictures on a page, and the side of each on it


# -- pages with two names each -------------------------------------------------------------------------------


def crossed(pages: dict[str, dict[str, Picture]], names: tuple[str, str], still: Picture) -> StillBox:
    """One page of a table, {row: {column: page}}: a slider for the row and one for the column. Needs no kernel.

    names: what the rows and the columns are. still: for viewers without widgets. Raises ValueError unless every row has
    the same columns
    """
    columns = [list(row) for row in pages.values()]
    if not columns or not columns[0] or any(row != columns[0] for row in columns):
        raise ValueError(f"crossed: every row needs the same columns, at least one; got {columns}")
    (slider, row), (other, column) = chooser(list(pages), names[0]), chooser(columns[0], names[1])
    inner = [widgets.Stack([widgets.HTML(page.html()) for page in row.values()], selected_index=0)
             for row in pages.values()]  # fmt: skip
    height = max(page.size[1] for row in pages.values() for page in row.values()) + 12
    outer = widgets.Stack(inner, selected_index=0, layout={"min_height": f"{height}px"})
    jslink((slider, "index"), (outer, "selected_index"))
    for stack in inner:
        jslink((other, "index"), (stack, "selected_index"))
    box = StillBox([row, column, outer])
    box.still = still
    return box


def chooser(names: list[str], description: str) -> tuple[widgets.SelectionSlider, widgets.HBox]:
    """A slider over some names, and its row, with a labelled list that a screen reader can find."""
    options = [(name, i) for i, name in enumerate(names)]
    slider = widgets.SelectionSlider(options=options, description=description, readout=False,
                                     style={"description_width": "110px"}, layout={"width": "340px"})  # fmt: skip
    choice = widgets.Dropdown(options=options, description="or pick one:",
                              layout={"width": f"{120 + 8 * max(map(len, names)):.0f}px"})  # fmt: skip
    jslink((slider, "index"), (choice, "index"))
    return slider, widgets.HBox([slider, choice])


# -- the knobs and their place -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Knobs:
    """What was measured at P guidances of the prior, with G guidances of the decoder each."""

    prior: tuple[float, ...]                # (P,), rising
    decoder: tuple[float, ...]              # (G,), rising
    fidelity: np.ndarray                    # (P, G), 0 to 1
    diversity: np.ndarray                   # (P, G), effective numbers of scenes

    @classmethod
    def measured(cls, by_decoder: list[dict], by_prior: list[dict], decoder: float) -> Knobs:
        """What the paper suite found: NaN but for the unguided prior and for this guidance of the decoder.

        by_decoder: the rows of "guidance of the decoder"; by_prior: those of "guidance of the prior"
        """
        line = {row["guidance"]: row for row in by_decoder if row["model"] == "full stack"}
        found = {(1, w): row for w, row in line.items()} | {(row["guidance"], decoder): row for row in by_prior}
        priors = tuple(row["guidance"] for row in by_prior)
        tables = [np.array([[found.get((p, w), {}).get(column, np.nan) for w in line] for p in priors], dtype=float)
                  for column in ("fidelity", "diversity")]  # fmt: skip
        return cls(priors, tuple(line), *tables)

    def at(self, prior: float, decoder: float) -> tuple[float, float]:
        """(fidelity, diversity) of any setting, interpolated linearly between the measured ones; NaN beside a NaN."""
        tables = (self.fidelity, self.diversity)
        rows = [[between(decoder, self.decoder, row) for row in table] for table in tables]
        return tuple(between(prior, self.prior, row) for row in rows)


def between(place: float, places: tuple[float, ...], values: list[float]) -> float:
    """The value at a place, straight between its two neighbours."""
    if place in places:                                                 # np.interp would look at a neighbour as well
        return float(values[places.index(place)])
    return float(np.interp(place, places, values))


class Chart:
    """Diversity against fidelity: a line for each guidance of the prior, along the guidance of the decoder.

    What was not measured has no point.
    """

    def __init__(self, knobs: Knobs):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.4, 3.1), layout="constrained")
        self.knobs, self.axis = knobs, figure.subplots()
        lines = zip(knobs.prior, knobs.fidelity, knobs.diversity, strict=True)
        for number, (prior, fidelity, diversity) in enumerate(lines):
            self.axis.plot(fidelity, diversity, color=COLOURS[number % 6], linestyle=DASHES[number % 6], marker="o",
                           markersize=3, label=f"prior {prior:g}")  # fmt: skip
        self.axis.set(xlabel="fidelity", ylabel="diversity")
        self.axis.margins(0.1)
        self.axis.spines[["top", "right"]].set_visible(False)
        self.axis.legend(frameon=False, fontsize=8)
        self.image = plotted(figure, "the chart").image

    def marked(self, prior: float, decoder: float) -> Image.Image:
        """The chart with a dot where the knobs stand."""
        sheet, place = self.image.copy(), self.knobs.at(prior, decoder)
        if np.isfinite(place).all():
            x, y = self.axis.figure.transFigure.inverted().transform(self.axis.transData.transform(place))
            x, y, pen = x * sheet.width, (1 - y) * sheet.height, ImageDraw.Draw(sheet)
            r = 8 * DENSITY
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(255, 214, 92), outline=(40, 40, 50), width=2 * DENSITY)
        return sheet


def knobs_page(chart: Chart, judge: Judge, item: Item, images: Tensor, *, prior: float, decoder: float) -> Picture:
    """Pictures (B, 3, s, s) of one caption, what the judge says of each, and the knobs' place on the chart."""
    true = [item.statement.holds_in(scene) for scene in judge.read(images.to(judge.device))]
    title = f"{item.caption}: {sum(true)} of {len(true)} true"
    left = show(images, ["true" if hit else "wrong" for hit in true], title=title, side=SIDE, columns=4).image
    right, (fidelity, diversity) = chart.marked(prior, decoder), chart.knobs.at(prior, decoder)
    sheet = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width, 0))
    alt = f"Guidance of the prior {prior:g}, of the decoder {decoder:g}. {title}."
    if np.isfinite(fidelity + diversity):
        alt += f" Over all measured captions a fidelity of {fidelity:.2f} and a diversity of {diversity:.1f}."
    return light(Picture(sheet, alt, density=DENSITY))


def knobs_grid(
    knobs: Knobs, judge: Judge, item: Item, pictures: dict[tuple[float, float], Tensor], *, still: int = 3
) -> StillBox:
    """`knobs_page` for every setting that was drawn, chosen with two sliders. The links run in the browser.

    pictures: {(prior, decoder): (B, 3, s, s) in -1 to 1}, of the same guidances of the decoder for each of the prior.
    still: how many pages viewers without widgets see
    """
    chart, pages = Chart(knobs), {}
    for (p, g), images in pictures.items():
        page = knobs_page(chart, judge, item, images, prior=p, decoder=g)
        pages.setdefault(f"{p:g}", {})[f"{g:g}"] = page
    flat = [page for row in pages.values() for page in row.values()]
    chosen = np.linspace(0, len(flat) - 1, min(still, len(flat))).round().astype(int)
    return crossed(pages, ("prior", "decoder"), light(stacked([flat[i] for i in chosen])))


class KnobsExplorer(Live):
    """`knobs_page` for a caption, a seed and two guidances of your choice."""

    def __init__(self, cascade: UnCLIP, judge: Judge, items: list[Item], knobs: Knobs):
        self.cascade, self.judge, self.items, self.chart = cascade, judge, items, Chart(knobs)
        self.caption = widgets.Dropdown(options=[(item.caption, i) for i, item in enumerate(items)],
                                        description="caption", layout={"width": "560px"})  # fmt: skip
        self.seed = widgets.BoundedIntText(0, 0, 2**31, description="seed", layout={"width": "170px"})
        self.prior, self.decoder = (
            widgets.FloatSlider(scales[0], min=scales[0], max=scales[-1], step=0.5, description=name,
                                continuous_update=False)
            for name, scales in (("prior", knobs.prior), ("decoder", knobs.decoder))
        )  # fmt: skip
        controls = [widgets.HBox([self.caption, self.seed]), knob(self.prior), knob(self.decoder)]
        super().__init__(controls, [self.caption, self.seed, self.prior, self.decoder], height=300)

    @torch.no_grad()
    def _draw(self) -> None:
        start, item, seed = time.perf_counter(), self.items[self.caption.value], self.seed.value
        prior, decoder = self.prior.value, self.decoder.value
        settings = replace(self.cascade.settings, prior_guidance=prior, decoder_guidance=decoder)
        images = self.cascade.sample([item.caption] * COUNT, seed, self.cascade.sizes[0], settings=settings).image
        page = knobs_page(self.chart, self.judge, item, images, prior=prior, decoder=decoder)
        self.show(page, f"{item.caption}, prior {prior:g}, decoder {decoder:g}, seeds {seed} to {seed + COUNT - 1}",
                  start)  # fmt: skip
