"""Numbers as figures: one against another, the losses of trainings, tables in colours, maps of pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from torch import Tensor

from ..common import to_pil, weights_folder
from ..training import Record
from .pictures import Picture, plotted

COLOURS = ("#2c5f94", "#c1543c", "#3b8a5a", "#8a6bb0", "#b08a2c", "#555555")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))     # tell lines apart without colours, too
Line = tuple[Sequence[float], Sequence[float]]                          # x and y


def curves(lines: dict[str, Line], x_label: str, y_label: str, log_x: bool = False) -> Picture:
    """A line for each name, {name: (x, y)}; where there are few points, each is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axis = figure.subplots()
    for number, (name, (x, y)) in enumerate(lines.items()):
        mark = "o" if len(x) <= 20 else ""
        axis.plot(x, y, label=name, color=COLOURS[number % 6], linestyle=DASHES[number % 6], marker=mark, markersize=4)
    axis.set(xlabel=x_label, ylabel=y_label, xscale="log" if log_x else "linear")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    told = "; ".join(f"{name} from {y[0]:.3g} at {x[0]:.3g} to {y[-1]:.3g} at {x[-1]:.3g}"
                     for name, (x, y) in lines.items())  # fmt: skip
    return plotted(figure, f"Curves of {y_label} against {x_label}: {told}.")


def loss_curve(records: Sequence[Record], stage: str, average: int = 10, folder: Path | None = None) -> Picture:
    """The losses of a training, each the mean of the last `average` steps, against the examples seen.

    A second line is the full training of `stage`, if its curve is stored beside the weights in `folder`, by default
    the shipped ones. The axis of the examples is logarithmic, so that both can be seen. Raises ValueError for no
    records.
    """
    if not records:
        raise ValueError("loss_curve: no records; keep what train() yields, records = list(train(...))")
    lines = {"this training": ([record.examples for record in records], running_mean(records, average))}
    if full := full_training(stage, folder or weights_folder("scenes")):
        lines["the full training"] = full
    return curves(lines, "examples seen", "loss", log_x=True)


def full_training(stage: str, folder: Path) -> Line | None:
    """Examples and losses from {stage}.curve.json, which `minunclip train` writes; None if it is not there."""
    path = folder / f"{stage}.curve.json"
    if not path.is_file():
        return None
    with safe_open(path.with_name(f"{stage}.safetensors"), "pt") as file:
        batch = json.loads(file.metadata()["train"])["batch"]
    points = json.loads(path.read_text())
    return [batch * point["step"] for point in points], [point["loss"] for point in points]


def running_mean(steps: Sequence[Record | float], average: int) -> list[float]:
    """The mean loss of each step, a Record or the loss alone, and of up to `average - 1` steps before it."""
    losses = [step.loss if isinstance(step, Record) else step for step in steps]
    return [float(np.mean(losses[max(0, i + 1 - average) : i + 1])) for i in range(len(losses))]


def heatmap(
    values: Tensor, rows: Sequence[str], columns: Sequence[str] | Tensor, label: str, *, digits: int = 2
) -> Picture:
    """A table of numbers (R, C) as colours, dark for the largest. Up to 200 numbers are also written out.

    columns: names, or pictures (C, 3, s, s) in -1 to 1 that head the columns
    label: what the numbers are
    digits: how many to write after the decimal point
    """
    from matplotlib.figure import Figure

    values, few = values.detach().float().cpu(), values.numel() <= 200
    longest, (height, width) = max(map(len, rows), default=0), values.shape
    cell = 0.66 if isinstance(columns, Tensor) else 0.55 if few else 0.17
    figure = Figure(figsize=(width * cell + 0.08 * longest + 0.9, height * (0.42 if few else cell) + 1.3),
                    layout="constrained")  # fmt: skip
    axis = figure.subplots()
    axis.imshow(values.numpy(), cmap="Blues", aspect="auto")
    axis.set_yticks(range(height), rows)
    axis.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=9 if few else 7)
    axis.set_xlabel(label)
    _head(axis, columns, upright=not few)
    if few:
        _write(axis, values, digits)
    return plotted(figure, f"Table of {label}, {_in_words(values, rows, digits) if few else _range(values, digits)}.")


def _in_words(values: Tensor, rows: Sequence[str], digits: int) -> str:
    """All numbers of a table, row by row."""
    return "; ".join(f"{name}: {', '.join(f'{value:.{digits}f}' for value in row)}"
                     for name, row in zip(rows, values.tolist(), strict=True))  # fmt: skip


def _range(values: Tensor, digits: int) -> str:
    """The size of a table, and between which numbers all of it lies."""
    height, width = values.shape
    return f"{height} by {width}, from {values.min():.{digits}f} to {values.max():.{digits}f}"


def _head(axis, columns: Sequence[str] | Tensor, upright: bool) -> None:
    """Pictures (C, 3, s, s) or names above the columns of a table; names stand upright if asked to or if long."""
    if isinstance(columns, Tensor):
        axis.set_xticks(range(len(columns)), [])
        _head_pictures(axis, columns)
    else:
        axis.set_xticks(range(len(columns)), columns, rotation=90 if upright or len(str(columns[0])) >= 8 else 0)


def _head_pictures(axis, images: Tensor) -> None:
    """A picture above each column of a table."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    for column, image in enumerate(images):
        axis.add_artist(AnnotationBbox(
            OffsetImage(np.asarray(to_pil(image, 64)), zoom=0.62), (column, 1), xycoords=("data", "axes fraction"),
            box_alignment=(0.5, -0.04), frameon=False, annotation_clip=False,
        ))  # fmt: skip


def _write(axis, values: Tensor, digits: int) -> None:
    """The number in each cell of a table, light on dark."""
    middle = (values.min() + values.max()) / 2
    for row, column in np.ndindex(*values.shape):
        value = values[row, column].item()
        axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", fontsize=8,
                  color="white" if value > middle else "#3c3c46")  # fmt: skip


def picture_map(images: Sequence, points: Tensor, x_label: str, y_label: str, *, side: int = 32) -> Picture:
    """B pictures (3, s, s) in -1 to 1, each at its own point (B, 2), shown `side` pixels wide."""
    from matplotlib.figure import Figure
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis, points = figure.subplots(), points.detach().float().cpu()
    axis.scatter(*points.T.numpy(), s=0)                                            # sets the limits
    for image, point in zip(images, points.tolist(), strict=True):
        axis.add_artist(AnnotationBbox(OffsetImage(np.asarray(to_pil(image, side)), zoom=0.8), point, frameon=False))
    axis.set(xlabel=x_label, ylabel=y_label)
    axis.spines[["top", "right"]].set_visible(False)
    return plotted(figure, f"Map of {len(points)} pictures by {x_label} and {y_label}.")
