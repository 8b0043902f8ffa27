"""The widgets of notebooks 05 and 06: what a knob of the prior does to the z_i that it draws, and to their pictures."""

from __future__ import annotations

import time
from collections.abc import Callable

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from ...common import to_pil
from ...embeddings import PCA
from ...manipulations import as_image_embedding, decode
from ...plots import COLOURS, Picture, plotted, small
from ...unclip import UnCLIP
from .base import Live, StillBox, knob, paged, stacked

Draw = Callable[[list[str], float, int], Tensor]  # (captions, value of the knob, seed) -> z_i (B, D)


def fit(z_i: Tensor, z_t: Tensor) -> float:
    """How well z_i (B, D) fit a caption: their mean cosine, -1 to 1, with its z_t, (D,) or (B, D)."""
    return torch.cosine_similarity(z_i, z_t.expand_as(z_i), dim=-1).mean().item()


def variety(z_i: Tensor, cloud: Tensor) -> float:
    """How far z_i (B, D) lie apart: their spread as a share of that of the z_i of all pictures (N, D)."""
    return (z_i.var(dim=0).sum() / cloud.var(dim=0).sum()).sqrt().item()


@torch.no_grad()
def prior_page(cascade: UnCLIP, z_i: Tensor, caption: str, *, told: str, cloud: Tensor, seed: int = 0) -> Picture:
    """Some z_i (B, D) for a caption: the picture of each, and its place on a map of all z_i.

    The decoder gets no caption, so the pictures show what the z_i hold.

    told: how the z_i were drawn, in words
    cloud: z_i of true pictures (N, D), whose first two principal axes span the map
    """
    from matplotlib.figure import Figure

    images = decode(cascade, z_i, [""] * len(z_i), seed)
    z_t = cascade.encode_text([caption]).embed
    columns = -(-len(z_i) // 2)
    figure = Figure(figsize=(1.5 * columns + 4.2, 3.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.5 * columns, 4.2))
    for number, axis in enumerate(left.subplots(2, columns, squeeze=False).flat):
        axis.set_axis_off()
        if number < len(z_i):
            axis.imshow(to_pil(images[number]), interpolation="nearest")
            axis.set_title(str(number + 1), fontsize=9, pad=2)
    fits, varies = fit(z_i, z_t), variety(z_i, cloud)
    left.suptitle(f"{told}: cosine with z_t {fits:.2f}, variety {varies:.2f}", fontsize=10)
    _map(right.subplots(), z_i, as_image_embedding(cascade, z_t), cloud)
    alt = (f"{len(z_i)} pictures for {caption!r}, {told}: mean cosine of z_i and z_t {fits:.2f}, spread of the z_i "
           f"{varies:.2f} of that of all pictures. Beside them a map of the z_i.")  # fmt: skip
    return small(plotted(figure, alt))


def _map(axis, z_i: Tensor, z_t: Tensor, cloud: Tensor) -> None:
    """Each z_i as its number, z_t as a cross, and all true ones in grey, on the first two axes."""
    pca = PCA.fit(cloud)

    def at(z: Tensor) -> np.ndarray:
        return pca.project(z.cpu())[:, :2].T.numpy()

    axis.scatter(*at(cloud), s=4, color="#c8ccd4", label="true z_i")
    axis.scatter(*at(z_t), s=70, marker="X", color=COLOURS[1], label="z_t")
    axis.scatter(*at(z_i), s=90, color=COLOURS[0], label="drawn z_i")
    for number, (x, y) in enumerate(at(z_i).T.tolist(), start=1):
        axis.annotate(str(number), (x, y), color="white", ha="center", va="center", fontsize=7)
    axis.set(xlabel="principal axis 1", ylabel="principal axis 2")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.13), ncols=3, columnspacing=0.8)


def prior_grid(
    cascade: UnCLIP, draw: Draw, caption: str, values: tuple[float, ...], *, name: str, cloud: Tensor, seed: int = 0,
    count: int = 6,
) -> StillBox:  # fmt: skip
    """`prior_page` for some values of a knob, chosen with a slider. Links run in the browser, no kernel is needed.

    name: of the knob; cloud: see `prior_page`; count: how many z_i on a page
    """
    drawn = {value: draw([caption] * count, value, seed) for value in values}
    pages = {
        f"{value:g}": prior_page(cascade, z_i, caption, told=f"{name} {value:g}, seed {seed}", cloud=cloud, seed=seed)
        for value, z_i in drawn.items()
    }
    box = StillBox([widgets.Label(caption), *paged(pages, name)])
    box.still = small(stacked(list(pages.values())[::2]))
    return box


class PriorExplorer(Live):
    """`prior_page` for a caption, a value of the knob and a seed of your choice."""

    def __init__(
        self, cascade: UnCLIP, draw: Draw, cloud: Tensor, name: str, *, caption: str = "a red star",
        value: float = 1.0, limits: tuple[float, float] = (0.0, 8.0), count: int = 6,
    ):  # fmt: skip
        self.cascade, self.draw_z, self.cloud, self.name, self.count = cascade, draw, cloud, name, count
        self.caption = widgets.Text(caption, description="caption", continuous_update=False, layout={"width": "440px"})
        self.value = widgets.FloatSlider(value, min=limits[0], max=limits[1], step=0.25, description=name,
                                         continuous_update=False)  # fmt: skip
        self.seed = widgets.BoundedIntText(0, 0, 2**31, description="seed", layout={"width": "170px"})
        watched = [self.caption, self.value, self.seed]
        super().__init__([widgets.HBox([self.caption, self.seed]), knob(self.value)], watched, height=315)

    def _draw(self) -> None:
        start, caption, value, seed = time.perf_counter(), self.caption.value, self.value.value, self.seed.value
        z_i = self.draw_z([caption] * self.count, value, seed)
        told = f"{self.name} {value:g}, seed {seed}"
        page = prior_page(self.cascade, z_i, caption, told=told, cloud=self.cloud, seed=seed)
        self.show(page, f"{caption}, {told}", start)
