"""The guidance slider of notebook 07: pictures that the decoder draws from one z_i, in one of four ways."""

from __future__ import annotations

import time

import ipywidgets as widgets
import torch
from torch import Tensor

from ...decoder import Condition
from ...diffusion import ddim, generators, guided, last, noise_stream
from ...plots import Picture, show
from ...text import Text
from ...unclip import UnCLIP
from .base import Live, StillBox, knob, paged, stacked

PATHS = {"both ways": (True, True), "only added to the time embedding": (True, False),
         "only as extra tokens": (False, True), "not at all": (False, False)}  # fmt: skip
SIDE = 104  # of a picture on a page, in pixels


def condition_by(cascade: UnCLIP, z_i: Tensor, text: Text, path: str) -> Condition:
    """The decoder's condition if z_i (B, D) takes only this one of PATHS, and is missing on any other."""
    added, tokens = PATHS[path]
    known, nothing = (cascade.decoder.condition(z, text) for z in (z_i, None))
    return Condition((known if added else nothing).added, (known if tokens else nothing).context)


@torch.no_grad()
def decode(cascade: UnCLIP, image: Tensor, w: float, path: str = "both ways", *, count: int = 5, seed: int = 0,
           steps: int = 15) -> Tensor:  # fmt: skip
    """Draw the z_i of a picture (3, S, S), without a caption, under guidance w: (count, 3, S, S) in -1 to 1.

    Picture i starts from the noise of seed + i.
    """
    decoder, side = cascade.decoder, cascade.decoder.config.size
    z_i = cascade.clip.encode_image(image[None].to(cascade.device)).expand(count, -1)
    nothing = cascade.clip.encode_text([""]).repeat(count)
    halves = [decoder.condition(None, nothing), condition_by(cascade, z_i, nothing, path)]
    noise = noise_stream((count, 3, side, side), generators(seed, count), cascade.device)

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        """The first half of the batch is without z_i, the second with it, as `guided` asks."""
        rows = zip(x_t.chunk(2), t.chunk(2), halves, strict=True)
        return torch.cat([decoder(x, at, condition=condition) for x, at, condition in rows])

    return last(ddim(decoder.diffusion, guided(denoiser, w), noise, steps)).clamp(-1, 1)


def decoded_page(image: Tensor, drawn: Tensor, *, label: str, w: float, seed: int) -> Picture:
    """The picture (3, s, s) whose z_i was given, and what was drawn from it (B, 3, s, s), from `seed` on."""
    names = ["given: its z_i", *(f"seed {seed + i}" for i in range(len(drawn)))]
    told = f"{label}, guidance {w:g}"
    alt = f"{told}: a picture, and {len(drawn)} that the decoder drew from its z_i, seeds from {seed}."
    return show([image, *drawn], names, columns=len(names), title=told, side=SIDE, alt=alt)


def decoded_grid(
    cascade: UnCLIP, image: Tensor, label: str, scales: tuple[float, ...] = (0, 1, 2, 4, 8, 15), *, count: int = 5
) -> StillBox:
    """`decoded_page` for some guidances, chosen with a slider. The links run in the browser, no kernel is needed."""
    pages = {f"{w:g}": decoded_page(image, decode(cascade, image, w, count=count), label=label, w=w, seed=0)
             for w in scales}  # fmt: skip
    box = StillBox(paged(pages, "guidance"))
    box.still = stacked(list(pages.values())[::2])
    return box


class DecoderExplorer(Live):
    """Draws from the z_i of one of some pictures, by one of PATHS, with a guidance and a seed of your choice."""

    def __init__(self, cascade: UnCLIP, pictures: dict[str, Tensor], guidance: float = 2.0, count: int = 4):
        self.cascade, self.pictures, self.count = cascade, pictures, count
        wide = {"width": "420px"}
        self.choice = widgets.Dropdown(options=list(pictures), description="picture", layout=wide)
        self.path = widgets.Dropdown(options=list(PATHS), description="z_i goes in", layout=wide)
        self.guidance = widgets.FloatSlider(guidance, min=0, max=15, step=0.5, description="guidance",
                                            continuous_update=False)  # fmt: skip
        self.seed = widgets.BoundedIntText(0, 0, 2**31, description="seed", layout={"width": "170px"})
        watched = [self.choice, self.path, self.guidance, self.seed]
        controls = [self.choice, self.path, knob(self.guidance), self.seed]
        super().__init__(controls, watched, height=SIDE + 54)

    def _draw(self) -> None:
        start, label, w, seed = time.perf_counter(), self.choice.value, self.guidance.value, self.seed.value
        image, path = self.pictures[label], self.path.value
        drawn = decode(self.cascade, image, w, path, count=self.count, seed=seed)
        page = decoded_page(image, drawn, label=f"{label}, z_i {path}", w=w, seed=seed)
        self.show(page, f"{label}, z_i {path}, guidance {w:g}, seed {seed}", start)
