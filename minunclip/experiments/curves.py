"""Places on curves that are known at some points only, with straight lines between these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def reach(curve: np.ndarray, level: float) -> float:
    """The place, 0 to G - 1, where a curve (G,) first comes up to a level; 0 if it begins above it or never does."""
    i = int(np.argmax(curve >= level))
    return float(i if i == 0 else i - (curve[i] - level) / (curve[i] - curve[i - 1]))


def between(values: Sequence[float], place: float) -> float:
    """The value at a place, 0 to G - 1, of G values."""
    return float(np.interp(place, range(len(values)), values))
