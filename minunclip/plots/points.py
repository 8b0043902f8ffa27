"""Figures of points in a plane: clouds of dots, fields of arrows, and paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .charts import COLOURS
from .pictures import Picture, plotted

MARKS = ("o", "^", "s", "D")                                            # tell labels apart without colours, too


@dataclass(frozen=True)
class Panel:
    """What one panel shows. None is left out."""

    dots: Tensor | None = None                          # (N, 2)
    labels: Tensor | None = None                        # (N,) 0, 1, ...: colours of the dots; grey without labels
    arrows: tuple[Tensor, Tensor] | None = None         # tails and directions, (M, 2) each
    paths: Tensor | None = None                         # (S, P, 2): where each of P points was after each of S steps


def plane(panels: dict[str, Panel], columns: int = 4, limit: float = 2.6, side: float = 2.2) -> Picture:
    """One panel for each name, all showing -limit to limit along both axes; `side` is a panel's, in inches."""
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(side * columns, (side + 0.25) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, (name, panel) in zip(axes, panels.items(), strict=False):
        fill(axis, panel, limit)
        axis.set_title(name, fontsize=10)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    told = "; ".join(f"{name}: {describe(panel, limit)}" for name, panel in panels.items())
    return plotted(figure, f"Points in a plane, -{limit:g} to {limit:g} along both axes. {told}.", colours=48)


def fill(axis, panel: Panel, limit: float = 2.6) -> None:
    """Draw a panel into axes of matplotlib.

    Arrows are drawn to the square root of their length, so that weak ones can be seen, too; on an even grid the
    longest reaches a little beyond its neighbour.
    """
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
    if panel.dots is not None:
        dots, labels = panel.dots.cpu().numpy(), panel.labels
        for label in (None,) if labels is None else labels.unique().tolist():
            chosen = dots if label is None else dots[(labels == label).cpu().numpy()]
            colour, mark = ("#9aa0aa", "o") if label is None else (COLOURS[label % 6], MARKS[label % 4])
            axis.scatter(*chosen.T, s=5, c=colour, marker=mark, linewidths=0, alpha=0.55)
    if panel.paths is not None:
        for path in panel.paths.cpu().numpy().swapaxes(0, 1):
            axis.plot(*path.T, color="#55606e", linewidth=0.7, alpha=0.7)
            axis.plot(*path[-1], "o", color="#111111", markersize=2.5)
    if panel.arrows is not None:
        tails, directions = (part.cpu().numpy() for part in panel.arrows)
        length = np.linalg.norm(directions, axis=1, keepdims=True) + 1e-9
        shown = directions / length * np.sqrt(length / length.max()) * 2.4 * limit / np.sqrt(len(tails))
        axis.quiver(*tails.T, *shown.T, color="#222833", angles="xy", scale_units="xy", scale=1, width=0.005)


def small(picture: Picture, colours: int = 64) -> Picture:
    """The same picture, to be saved with few colours: a third of the bytes, and hardly any visible difference."""
    return Picture(picture.image, picture.alt, colours, density=picture.density)


def describe(panel: Panel, limit: float) -> str:
    """What a panel shows, in words, for a screen reader."""
    parts = []
    if panel.dots is not None:
        x, y = panel.dots.mean(dim=0).tolist()
        outside = (panel.dots.abs() > limit).any(dim=1).float().mean().item()
        parts.append(f"{len(panel.dots)} dots around ({x:.2f}, {y:.2f})" + f", {outside:.0%} outside" * (outside > 0))
    if panel.paths is not None:
        parts.append(f"the ways of {panel.paths.shape[1]} points")
    if panel.arrows is not None:
        parts.append(f"{len(panel.arrows[0])} arrows")
    return ", ".join(parts) or "empty"


def lattice(count: int = 12, limit: float = 2.6) -> Tensor:
    """(count^2, 2): points evenly spread over the plane, half a step away from its edge."""
    across = (torch.arange(count) + 0.5) / count * 2 * limit - limit
    return torch.cartesian_prod(across, across)
