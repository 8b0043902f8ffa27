"""The paper's findings, measured where the truth is known (`minunclip evaluate --suite paper`).

May import: plots, training, evaluation, pretrained, the paper's parts, and the rooms below them.
"""

from .attribute_binding import pair_of
from .guidance import equal_fidelity, possible
from .report import figure, table
from .runner import table_of
from .scorecard import PARTS_OF_THE_CARD, Rows
from .stored import beside_the_paper, number, rows, signs_table
from .study import FULL, QUICK, Study, all_true
from .suite import PARTS, measure
from .text_diffs import edit_of
from .two_priors import with_ar_prior
from .typographic_attack import write

__all__ = [
    "FULL", "PARTS", "PARTS_OF_THE_CARD", "QUICK", "Rows", "Study", "all_true", "beside_the_paper", "edit_of",
    "equal_fidelity", "figure", "measure", "number", "pair_of", "possible", "rows", "signs_table", "table", "table_of",
    "with_ar_prior", "write",
]  # fmt: skip
