"""The widgets of notebooks 03 and 04: how much noise a timestep means, and what guidance does to a field of arrows."""

from __future__ import annotations

import time
from collections.abc import Callable

import ipywidgets as widgets
import torch
from torch import Tensor

from ...common import to_pil
from ...diffusion import SCHEDULES, Denoiser, Diffusion, DiffusionConfig, ddim, last
from ...plots import COLOURS, DASHES, Panel, Picture, fill, lattice, plotted
from .base import Live, StillBox, knob, paged, stacked

DIFFUSIONS = {name: Diffusion(DiffusionConfig(schedule=name)) for name in SCHEDULES}
Guided = Callable[[Tensor, float], Denoiser]  # (labels (N,), guidance) -> denoiser of points (N, 2)


# -- how much noise ------------------------------------------------------------------------------------------


def noise_page(image: Tensor, t: int, seed: int = 0) -> Picture:
    """A picture (3, s, s) in -1 to 1, noised to t (0..999) under each schedule, and the place of t on their curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.9), layout="constrained")
    *axes, curve = figure.subplots(1, 3, width_ratios=(1, 1, 1.35))
    eps = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    told = []
    for number, (axis, (name, diffusion)) in enumerate(zip(axes, DIFFUSIONS.items(), strict=True)):
        at, alpha_bar = torch.tensor([t]), diffusion.alphas_bar[t].item()
        axis.imshow(to_pil(diffusion.q_sample(image[None], at, eps[None])[0]), interpolation="nearest")
        axis.set_axis_off()
        scales = f"{alpha_bar**0.5:.2f} x_0 + {(1 - alpha_bar) ** 0.5:.2f} eps"
        axis.set_title(f"{name}: {scales}", fontsize=10)
        curve.plot(diffusion.alphas_bar, color=COLOURS[number], linestyle=DASHES[number], label=name)
        curve.plot(t, alpha_bar, "o", color=COLOURS[number])
        told.append(f"{name} schedule {scales}")
    curve.axvline(t, color="#b8b8b8", linewidth=1, zorder=0)
    curve.set(xlabel="t", ylabel="alpha_bar")
    curve.spines[["top", "right"]].set_visible(False)
    curve.legend(frameon=False, loc="upper right")
    return plotted(figure, f"The picture with noise at t = {t}: {'; '.join(told)}.", colours=192)


def noise_grid(image: Tensor, ts: tuple[int, ...] = (0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 999)) -> StillBox:
    """`noise_page` for some timesteps, chosen with a slider. The links run in the browser, no kernel is needed."""
    pages = {str(t): noise_page(image, t) for t in ts}
    box = StillBox(paged(pages, "t"))
    box.still = stacked(list(pages.values())[1:-1:4])
    return box


class NoiseExplorer(Live):
    """`noise_page` for a picture, a timestep and a seed of your choice."""

    def __init__(self, pictures: dict[str, Tensor], t: int = 300):
        self.pictures = pictures
        self.choice = widgets.Dropdown(options=list(pictures), description="picture")
        self.t = widgets.IntSlider(t, 0, 999, description="t", continuous_update=False)
        self.seed = widgets.BoundedIntText(0, 0, 2**31, description="noise seed", layout={"width": "170px"})
        controls = [widgets.HBox([self.choice, self.seed]), knob(self.t)]
        super().__init__(controls, [self.choice, self.t, self.seed], height=261)

    def _draw(self) -> None:
        start, t, seed = time.perf_counter(), self.t.value, self.seed.value
        page = noise_page(self.pictures[self.choice.value], t, seed)
        self.show(page, f"{self.choice.value}, t = {t}, noise seed {seed}", start)


# -- guidance in the plane -----------------------------------------------------------------------------------


@torch.no_grad()
def field_page(
    diffusion: Diffusion, guided_by: Guided, data: tuple[Tensor, Tensor], *, label: int, name: str, w: float,
    ts: tuple[int, ...] = (700, 300), steps: int = 25, seed: int = 0,
) -> Picture:  # fmt: skip
    """The field of -eps at some timesteps for one caption and guidance w, and what DDIM draws with it.

    data: points (N, 2) and their labels (N,); they are shown noised below the arrows, and clean below the samples
    label, name: of the caption, as a number and in words
    """
    from matplotlib.figure import Figure

    (dots, labels), g = data, torch.Generator().manual_seed(seed)
    figure = Figure(figsize=(3 * (len(ts) + 1), 3.3), layout="constrained")
    *axes, right = figure.subplots(1, len(ts) + 1)
    for axis, t in zip(axes, ts, strict=True):
        x_t = diffusion.q_sample(dots, torch.full((len(dots),), t), torch.randn(dots.shape, generator=g))
        fill(axis, Panel(x_t, labels, arrows(diffusion, guided_by, label, w=w, t=t)))
        axis.set_title(f"the way out of the noise, t = {t}", fontsize=10)
    x_T, drawn_for = torch.randn(400, 2, generator=g), torch.full((400,), label)
    x_0 = last(ddim(diffusion, guided_by(drawn_for, w), [], steps, x_T=x_T))
    fill(right, Panel(dots))
    fill(right, Panel(x_0, drawn_for))
    right.set_title(f"samples for {name}, guidance {w:g}", fontsize=10)
    x, y = x_0.mean(dim=0).tolist()
    alt = (f"Guidance {w:g} for {name}: arrows out of the noise at t = {', '.join(map(str, ts))}; "
           f"400 samples around ({x:.2f}, {y:.2f}), {x_0.std(dim=0).norm():.2f} wide.")  # fmt: skip
    return plotted(figure, alt, colours=48)


def arrows(diffusion: Diffusion, guided_by: Guided, label: int, *, w: float, t: int) -> tuple[Tensor, Tensor]:
    """Points (M, 2) evenly spread over the plane, and -eps at each: the direction out of the noise at t (0..999)."""
    tails = lattice()
    at = torch.full((len(tails),), t)
    eps = diffusion.solve(guided_by(torch.full_like(at, label), w)(tails, at), tails, at)[1]
    return tails, -eps


def field_grid(
    diffusion: Diffusion, guided_by: Guided, data: tuple[Tensor, Tensor], *, label: int, name: str,
    scales: tuple[float, ...] = (0, 1, 1.5, 2, 3, 5, 8),
) -> StillBox:  # fmt: skip
    """`field_page` for some guidances, chosen with a slider. The links run in the browser, no kernel is needed."""
    pages = {f"{w:g}": field_page(diffusion, guided_by, data, label=label, name=name, w=w) for w in scales}
    box = StillBox(paged(pages, "guidance"))
    box.still = stacked([pages[name] for name in list(pages)[1::3]])
    return box


class FieldExplorer(Live):
    """`field_page` for a caption, a guidance, a timestep and a number of steps of your choice."""

    def __init__(self, diffusion: Diffusion, guided_by: Guided, data: tuple[Tensor, Tensor], names: list[str]):
        self.diffusion, self.guided_by, self.data = diffusion, guided_by, data
        self.caption = widgets.Dropdown(options=[(name, i) for i, name in enumerate(names)], description="caption")
        self.steps = widgets.BoundedIntText(25, 2, 200, description="steps", layout={"width": "170px"})
        self.guidance = widgets.FloatSlider(2, min=0, max=10, step=0.5, description="guidance", continuous_update=False)
        self.t = widgets.IntSlider(500, 0, 999, description="t", continuous_update=False)
        self.seed = widgets.BoundedIntText(0, 0, 2**31, description="seed", layout={"width": "170px"})
        watched = [self.caption, self.steps, self.guidance, self.t, self.seed]
        rows = [widgets.HBox([self.caption, self.steps, self.seed]), knob(self.guidance), knob(self.t)]
        super().__init__(rows, watched, height=297)

    def _draw(self) -> None:
        start, label, w = time.perf_counter(), self.caption.value, self.guidance.value
        name, t = self.caption.label, self.t.value
        page = field_page(self.diffusion, self.guided_by, self.data, label=label, name=name, w=w, ts=(t,),
                          steps=self.steps.value, seed=self.seed.value)  # fmt: skip
        self.show(page, f"{name}, guidance {w:g}, t = {t}, {self.steps.value} steps, seed {self.seed.value}", start)
