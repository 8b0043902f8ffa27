"""Figures and tables. A figure carries its alt text, so that it can be read out as well as seen.

May import: training, the paper's parts, and the rooms below them.
"""

from .charts import COLOURS, DASHES, curves
from .pictures import COSTS, GAP, INK, MARGIN, Picture, cost_table, plotted, show
from .points import Panel, fill, lattice, plane, small

__all__ = [
    "COLOURS", "COSTS", "DASHES", "GAP", "INK", "MARGIN", "Panel", "Picture", "cost_table", "curves", "fill",
    "lattice", "plane", "plotted", "show", "small",
]  # fmt: skip
