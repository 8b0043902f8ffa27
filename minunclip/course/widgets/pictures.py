"""The widgets of the notebook on pictures of one's own: the style of a thing, moved while its meaning stays."""

from __future__ import annotations

import time
from dataclasses import dataclass

import ipywidgets as widgets
import torch
from torch import Tensor

from ...plots import Picture, show
from ...unclip import UnCLIP
from .base import Live, StillBox, knob, light, stacked
from .cascade import crossed

SIDE = 128


@dataclass(frozen=True)
class Styles:
    """The mean z_i (D,) of the pictures of each style, and a cascade that draws what lies between them."""

    cascade: UnCLIP
    means: dict[str, Tensor]

    def moved(self, z_i: Tensor, start: str, end: str, theta: Tensor) -> Tensor:
        """z_i (D,) from one style's mean towards another's, by each share theta (T,): (T, D)."""
        return z_i + theta[:, None] * (self.means[end] - self.means[start])

    @torch.no_grad()
    def drawn(self, z_i: Tensor, seed: int = 0) -> Tensor:
        """A picture (3, S, S) of each z_i (T, D), without a caption, all from the same noise: (T, 3, S, S)."""
        side = self.cascade.decoder.config.size
        noise = [next(self.cascade.noise((1, 3, side, side), seed, "decoder")).expand(len(z_i), -1, -1, -1)]
        text = self.cascade.clip.encode_text([""]).repeat(len(z_i))
        return self.cascade.decode(z_i, text, noise=noise).finish().cpu()


def style_grid(
    styles: Styles, things: dict[str, tuple[Tensor, str, Tensor]], end: str, thetas: tuple[float, ...]
) -> StillBox:
    """Things and how far their style is moved towards `end`, each with a slider. Needs no kernel.

    things: {name: (its picture (3, S, S), its style, its z_i (D,))}
    """
    theta, pages, rows = torch.tensor(thetas), {}, []
    for name, (image, start, z_i) in things.items():
        images = styles.drawn(styles.moved(z_i, start, end, theta))
        pages[name] = {f"{share:g}": page(image, drawn, f"{name}, {share:g} of the way to {end}")
                       for share, drawn in zip(thetas, images, strict=True)}  # fmt: skip
        names = ["the picture", *(f"{share:g}" for share in thetas)]
        rows.append(light(show([image, *images], names, columns=len(names), side=64, alt=f"{name}, moved to {end}.")))
    return crossed(pages, ("thing", f"towards {end}"), stacked(rows))


def page(image: Tensor, drawn: Tensor, told: str) -> Picture:
    """The picture that a z_i belongs to, and what is drawn of the moved one."""
    return light(show([image, drawn], ["the picture", told], columns=2, side=SIDE, alt=f"A picture, and {told}."))


class StyleExplorer(Live):
    """A thing, the style to move towards, how far, and a seed: drawn when one of them changes."""

    def __init__(self, styles: Styles, things: dict[str, tuple[Tensor, str, Tensor]]):
        self.styles, self.things = styles, things
        self.thing = widgets.Dropdown(options=list(things), description="thing", layout={"width": "360px"})
        self.end = widgets.Dropdown(options=list(styles.means), description="towards")
        self.theta = widgets.FloatSlider(1.0, min=0, max=2, step=0.1, description="how far", continuous_update=False)
        self.seed = widgets.BoundedIntText(0, 0, 2**31, description="seed", layout={"width": "170px"})
        controls = [widgets.HBox([self.thing, self.end]), knob(self.theta), self.seed]
        super().__init__(controls, [self.thing, self.end, self.theta, self.seed], height=SIDE + 60)

    def _draw(self) -> None:
        begun = time.perf_counter()
        image, style, z_i = self.things[self.thing.value]
        moved = self.styles.moved(z_i, style, self.end.value, torch.tensor([self.theta.value]))
        told = f"{self.thing.value}, {self.theta.value:g} of the way to {self.end.value}"
        self.show(page(image, self.styles.drawn(moved, self.seed.value)[0], told), told, begun)
