"""The widgets of notebook 10: a change to a picture's latent, set with a slider, and what the decoder makes of it.

Each comes in two forms: `*_pages` for a grid that is drawn beforehand (`widgets_cascade.crossed`), and an explorer
that draws when a control is moved.
"""

from __future__ import annotations

import time

import ipywidgets as widgets
import torch
from torch import Tensor

from ...embeddings import PCA
from ...manipulations import Latent, between_pictures, between_texts, draw, fresh, interpolate, probe, text_diff
from ...plots import Picture, show
from ...unclip import UnCLIP
from .base import Live, knob, light

STEPS, SIDE = 20, 96
WAYS = {"the prior's z_i": between_pictures, "z_t": between_texts}


def strip(images: Tensor | list[Tensor], names: list[str], alt: str = "", side: int = SIDE) -> Picture:
    """Some pictures in one row with their names, in few bytes."""
    images = list(images)
    return light(show(images, names, columns=len(images), side=side, alt=alt))


# -- pages for the grids, {row: {column: page}} --------------------------------------------------------------


def variation_pages(
    cascade: UnCLIP, pictures: dict[str, Tensor], latents: Latent, etas: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1),
    *, count: int = 4, steps: int = STEPS,
) -> dict[str, dict[str, Picture]]:  # fmt: skip
    """Each picture with `count` variations at some eta; the seeds are 0, 1, ... everywhere."""
    def page(i: int, name: str, eta: float) -> Picture:
        images = draw(cascade, latents[i : i + 1].repeat(count), eta=eta, steps=steps)
        names = ["the picture", *(f"seed {seed}" for seed in range(count))]
        return strip([pictures[name], *images], names, f"{name}, and {count} variations of it, eta {eta:g}.")

    return {name: {f"{eta:g}": page(i, name, eta) for eta in etas} for i, name in enumerate(pictures)}


def slerp_pages(
    a: Tensor, b: Tensor, strips: dict[str, Tensor], thetas: list[float]
) -> dict[str, dict[str, Picture]]:
    """Between two pictures: one page for each theta of each strip (T, 3, s, s), the pictures a and b at its sides."""
    def page(name: str, theta: float, image: Tensor) -> Picture:
        alt = f"{name}: at theta {theta:.2f} between pictures a and b."
        return strip([a, image, b], ["a", f"theta {theta:.2f}", "b"], alt)

    return {name: {f"{theta:.2f}": page(name, theta, image) for theta, image in zip(thetas, images, strict=True)}
            for name, images in strips.items()}  # fmt: skip


def change_pages(
    image: Tensor, strips: dict[str, Tensor], names: list[str], what: str
) -> dict[str, dict[str, Picture]]:
    """A picture beside what became of it: one page for each name of each strip (N, 3, s, s). `what`: theta, say."""
    return {row: {name: strip([image, changed], ["the picture", f"{what} {name}"], f"{row}, {what} {name}.")
                  for name, changed in zip(names, images, strict=True)} for row, images in strips.items()}  # fmt: skip


# -- live ----------------------------------------------------------------------------------------------------


class Play(Live):
    """A list of pictures with their latents; subclasses add knobs and say in `page` what is drawn."""

    def __init__(self, cascade: UnCLIP, pictures: dict[str, Tensor], latents: Latent, *, rows: list, watched: list):
        self.cascade, self.pictures, self.latents = cascade, pictures, latents
        self.choice = self.pick("picture")
        super().__init__([self.choice, *rows], [self.choice, *watched], height=SIDE + 48)

    def pick(self, description: str, at: int = 0) -> widgets.Dropdown:
        return widgets.Dropdown(options=list(self.pictures), index=at, description=description,
                                layout={"width": "400px"})  # fmt: skip

    def latent(self, name: str) -> Latent:
        i = list(self.pictures).index(name)
        return self.latents[i : i + 1]

    @torch.no_grad()
    def _draw(self) -> None:
        start = time.perf_counter()
        images, names, told = self.page(self.choice.value)
        told = f"{self.choice.value}, {told}"
        self.show(strip([self.pictures[self.choice.value], *images], ["the picture", *names], told), told, start)

    def page(self, name: str) -> tuple[list[Tensor], list[str], str]:
        """The pictures to show beside the chosen one, their names, and what was done, in words."""
        raise NotImplementedError


def slider(value: float, top: float, name: str, step: float = 0.05) -> widgets.FloatSlider:
    return widgets.FloatSlider(value, min=0, max=top, step=step, description=name, continuous_update=False)


class VariationExplorer(Play):
    """Variations of a picture: how much fresh noise, and which."""

    def __init__(self, cascade: UnCLIP, pictures: dict[str, Tensor], latents: Latent, count: int = 5):
        self.count, self.eta = count, slider(1.0, 1, "eta")
        self.seed = widgets.BoundedIntText(0, 0, 2**31, description="seed", layout={"width": "170px"})
        super().__init__(cascade, pictures, latents, rows=[knob(self.eta), self.seed], watched=[self.eta, self.seed])

    def page(self, name: str):
        seed, eta = self.seed.value, self.eta.value
        images = draw(self.cascade, self.latent(name).repeat(self.count), eta=eta, seed=seed, steps=STEPS)
        return list(images), [f"seed {seed + i}" for i in range(self.count)], f"eta {eta:g}, from seed {seed}"


class SlerpExplorer(Play):
    """Between two pictures, with x_T between theirs or the same everywhere."""

    def __init__(self, cascade: UnCLIP, pictures: dict[str, Tensor], latents: Latent):
        self.pictures = pictures
        self.other, self.theta = self.pick("and", len(pictures) - 1), slider(0.5, 1, "theta")
        self.start = widgets.Dropdown(options=["between theirs", "one random"], description="x_T")
        rows = [self.other, self.start, knob(self.theta)]
        super().__init__(cascade, pictures, latents, rows=rows, watched=[self.other, self.start, self.theta])

    def page(self, name: str):
        a, b, theta = self.latent(name), self.latent(self.other.value), self.theta.value
        x_T = fresh(self.cascade, a.z_i).x_T if self.start.value == "one random" else None
        image = draw(self.cascade, interpolate(a, b, theta, x_T), steps=STEPS)[0]
        told = f"theta {theta:g} on the way to {self.other.value}, x_T {self.start.value}"
        return [image, self.pictures[self.other.value]], [f"theta {theta:g}", "the other"], told


class TextDiffExplorer(Play):
    """A change put into words of your own."""

    def __init__(self, cascade: UnCLIP, pictures: dict[str, Tensor], latents: Latent, *, base: str, new: str):
        self.base, self.new = (
            widgets.Text(text, description=name, continuous_update=False, layout={"width": "480px"})
            for name, text in (("from", base), ("to", new))
        )
        self.theta = slider(0.3, 1, "theta")
        self.way = widgets.Dropdown(options=list(WAYS), description="between")
        rows = [self.base, self.new, self.way, knob(self.theta)]
        super().__init__(cascade, pictures, latents, rows=rows, watched=[self.base, self.new, self.way, self.theta])

    def page(self, name: str):
        base, new, theta = self.base.value.strip(), self.new.value.strip(), self.theta.value
        self.cascade.encode_text([new])                                 # an empty or unknown caption is an error
        way, known = self.way.value, [base] if base else None
        changed = text_diff(self.cascade, self.latent(name), [new], known, theta=theta, direction=WAYS[way])
        told = f"from {base or 'nothing'!r} to {new!r}, theta {theta:g}, between {way}"
        return list(draw(self.cascade, changed, steps=STEPS)), [f"theta {theta:g}"], told


class ProbeExplorer(Play):
    """A picture drawn from the first principal components of its z_i alone."""

    def __init__(self, cascade: UnCLIP, pictures: dict[str, Tensor], latents: Latent, pca: PCA):
        self.pca, most = pca, len(pca.basis)
        self.kept = widgets.IntSlider(min(20, most), 0, most, description="components", continuous_update=False)
        super().__init__(cascade, pictures, latents, rows=[knob(self.kept)], watched=[self.kept])

    def page(self, name: str):
        images = draw(self.cascade, probe(self.latent(name), self.pca, self.kept.value), steps=STEPS)
        return list(images), [f"{self.kept.value} components"], f"{self.kept.value} components kept"
