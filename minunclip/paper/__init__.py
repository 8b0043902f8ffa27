"""The paper's findings, measured where the truth is known."""

from .report import figure, table
from .study import FULL, QUICK, Study
from .suite import PARTS, measure

__all__ = ["FULL", "PARTS", "QUICK", "Study", "figure", "measure", "table"]
