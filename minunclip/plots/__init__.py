"""Figures and tables. A figure carries its alt text, so that it can be read out as well as seen.

May import: training, the paper's parts, and the rooms below them.
"""

from ..common import to_pil
from .charts import COLOURS, DASHES, curves, heatmap, loss_curve, picture_map, running_mean
from .code import code
from .pictures import (
    DENSITY,
    GAP,
    INK,
    MARGIN,
    Picture,
    bars,
    cascade_figure,
    embedding_bars,
    film_strip,
    plotted,
    show,
)
from .points import Panel, fill, lattice, plane, small
from .tables import COSTS, cost_table, karlo_table, memory_table, samplers_table

__all__ = [
    "COLOURS", "COSTS", "DASHES", "DENSITY", "GAP", "INK", "MARGIN", "Panel", "Picture", "bars", "cascade_figure",
    "code", "cost_table", "curves", "embedding_bars", "fill", "film_strip", "heatmap", "karlo_table", "lattice",
    "loss_curve", "memory_table", "picture_map", "plane", "plotted", "running_mean", "samplers_table",
    "show", "small", "to_pil",
]  # fmt: skip
