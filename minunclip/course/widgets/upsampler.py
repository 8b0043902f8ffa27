"""The degradation slider of notebook 08: what faults of the small picture become in the enlarged one."""

from __future__ import annotations

import time
from collections.abc import Callable

import ipywidgets as widgets
import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion import generators, last, noise_stream
from ...evaluation import psnr
from ...plots import Picture, show
from ...training import blur, jpeg
from ...upsampler import Upsampler
from .base import Live, StillBox, knob, light, paged

SIDE = 92  # of a picture on a page, in pixels
Enlarge = Callable[[Tensor], Tensor]  # small pictures (B, 3, h, w) -> large ones


def blurred(image: Tensor, strength: float) -> Tensor:
    """Out of focus: a Gaussian of up to 1.6 pixels."""
    return blur(image, torch.full((len(image),), max(1e-3, 1.6 * strength)), radius=3)


def resized(image: Tensor, strength: float) -> Tensor:
    """Made smaller, at most to half the side, and larger again."""
    size = [max(1, round(side / (1 + strength))) for side in image.shape[-2:]]
    smaller = F.interpolate(image, size, mode="area")
    return F.interpolate(smaller, image.shape[-2:], mode="bicubic", align_corners=False).clamp(-1, 1)


def noisy(image: Tensor, strength: float) -> Tensor:
    """Noise of up to 25 of 255 grey levels, always the same."""
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + strength * 50 / 255 * noise).clamp(-1, 1)


def compressed(image: Tensor, strength: float) -> Tensor:
    """JPEG at a quality of 95 down to 10."""
    return torch.cat([jpeg(one, round(95 - 85 * strength)) for one in image.split(1)]) if strength else image


FAULTS = {"blur": blurred, "resize": resized, "noise": noisy, "JPEG": compressed}


@torch.no_grad()
def enlarge(upsampler: Upsampler, low: Tensor, steps: int = 2, seed: int = 0) -> Tensor:
    """Small pictures (B, 3, h, w) at `size / low_size` times the side, in -1 to 1, by a few steps of DDIM."""
    low = low.to(upsampler.device)
    noise = noise_stream(upsampler.noise_shape(low), generators(seed, len(low)), upsampler.device)
    return last(upsampler.stream(low, noise, steps=steps)).clamp(-1, 1)


def degraded_page(
    low: Tensor, high: Tensor, *, faults: list[str], strength: float, ways: dict[str, Enlarge]
) -> Picture:
    """A small picture (3, h, w) with each of some FAULTS, a row each, and what the `ways` make of it.

    high: the true large picture (3, f h, f w). Below each enlarged picture stands its PSNR against it, in decibels
    strength: of the faults, 0 to 1
    """
    images, below = [], []
    for fault in faults:
        spoiled = FAULTS[fault](low[None], strength)
        images.append(spoiled[0])
        below.append(fault)
        for name, way in ways.items():
            large = way(spoiled).cpu()
            images.append(large[0])
            below.append(f"{name}: {psnr(large, high[None]).item():.1f} dB")
    alt = f"Strength {strength:g}. " + "; ".join(below)
    return show(images, below, columns=1 + len(ways), title=f"strength {strength:g}", side=SIDE, alt=alt)


def degraded_grid(
    low: Tensor, high: Tensor, ways: dict[str, Enlarge], strengths: tuple[float, ...] = (0, 0.1, 0.3, 1)
) -> StillBox:
    """`degraded_page` with all faults, for strengths from a slider. The links run in the browser, without a kernel."""
    pages = {f"{strength:g}": degraded_page(low, high, faults=list(FAULTS), strength=strength, ways=ways)
             for strength in strengths}  # fmt: skip
    box = StillBox(paged(pages, "strength"))
    box.still = light(list(pages.values())[-2])
    return box


class DegradationExplorer(Live):
    """`degraded_page` for a picture, a fault and a strength of your choice."""

    def __init__(self, pictures: dict[str, tuple[Tensor, Tensor]], ways: dict[str, Enlarge], strength: float = 0.5):
        self.pictures, self.ways = pictures, ways
        self.choice = widgets.Dropdown(options=list(pictures), description="picture")
        self.fault = widgets.Dropdown(options=list(FAULTS), description="fault")
        self.strength = widgets.FloatSlider(strength, min=0, max=1, step=0.05, description="strength",
                                            continuous_update=False)  # fmt: skip
        controls = [widgets.HBox([self.choice, self.fault]), knob(self.strength)]
        super().__init__(controls, [self.choice, self.fault, self.strength], height=SIDE + 54)

    def _draw(self) -> None:
        start, name, fault, strength = time.perf_counter(), self.choice.value, self.fault.value, self.strength.value
        page = degraded_page(*self.pictures[name], faults=[fault], strength=strength, ways=self.ways)
        self.show(page, f"{name}, {fault} of strength {strength:g}", start)
