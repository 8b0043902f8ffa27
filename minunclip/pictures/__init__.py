"""Real captioned pictures: readers for the layouts in use, and data sets of what they find.

May import: common.
"""

from .dataset import Item, Pictures, Shuffled, open_pictures, open_splits, split_of
from .entries import Entry, Faults, Place, count, fingerprint
from .inspection import inspect
from .tars import write_tar

__all__ = [
    "Entry", "Faults", "Item", "Pictures", "Place", "Shuffled", "count", "fingerprint", "inspect", "open_pictures",
    "open_splits", "split_of", "write_tar",
]  # fmt: skip
