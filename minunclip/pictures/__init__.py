"""Real captioned pictures: readers for the layouts in use, and data sets of what they find.

May import: common.
"""

from .dataset import Item, Pictures, Shuffled, open_pictures
from .entries import Entry, Place, fingerprint

__all__ = ["Entry", "Item", "Pictures", "Place", "Shuffled", "fingerprint", "open_pictures"]
