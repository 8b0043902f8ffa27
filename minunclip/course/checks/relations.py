"""What a wrong answer has to do with the right one: turned round, twice as large, in another order.

It names a mistake that nobody has thought of for this exercise, and only where the relation holds for every number.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from .compare import as_float64, is_huge

Pair = tuple[ndarray, ndarray]                                              # found and expected, of the same shape


def relation(found: list, expected: list, tolerance: float = 1e-5) -> str:
    """What all these answers have to do with ours, as a hint; empty if nothing simple. Nothing is raised."""
    try:
        pairs = [(_numbers(a), _numbers(b)) for a, b in zip(found, expected, strict=True)]
        if not all(np.isfinite(a).all() for a, _ in pairs):
            return ""
        if any(a.shape != b.shape for a, b in pairs):
            return _of_shapes(pairs, tolerance)
        if sum(a.size for a, _ in pairs) < 3:                               # of one number everything can be said
            return ""
        with np.errstate(all="ignore"):
            return next((hint for hint, holds in RELATIONS.items() if all(holds(a, b, tolerance) for a, b in pairs)),
                        _of_factors(pairs, tolerance))  # fmt: skip
    except (TypeError, ValueError, RuntimeError, AttributeError, OverflowError):
        return ""                                                           # these are no numbers


def _numbers(value) -> ndarray:
    if is_huge(value) or getattr(value, "dtype", None) in (torch.complex64, torch.complex128):
        raise TypeError
    if isinstance(value, Tensor | ndarray):
        return as_float64(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        return np.float64(value)
    raise TypeError


def _close(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return bool((np.abs(a - b) <= 10 * tolerance * (1 + np.abs(b))).all())


def _negative(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return _close(-a, b, tolerance)


def _transposed(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return a.ndim >= 2 and _close(np.swapaxes(a, -1, -2), b, tolerance) if a.shape[-1:] == a.shape[-2:-1] else False


def _reordered(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return a.size > 2 and _close(np.sort(a, axis=None), np.sort(b, axis=None), tolerance)


def _root_missing(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return bool((a >= 0).all()) and _close(np.sqrt(a), b, tolerance)


def _root_too_many(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return _close(a**2, b, tolerance)


def _logarithm(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return _close(np.exp(a), b, tolerance)


def _exponential(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return bool((a > 0).all()) and _close(np.log(a), b, tolerance)


def _upside_down(a: ndarray, b: ndarray, tolerance: float) -> bool:
    return bool((a != 0).all()) and _close(1 / a, b, tolerance)


RELATIONS: dict[str, Callable[[ndarray, ndarray, float], bool]] = {
    "it is the right answer with the other sign": _negative,
    "rows and columns are exchanged": _transposed,
    "the numbers are right, but they stand in another order": _reordered,
    "it is the square of the right answer: a root is missing": _root_missing,
    "it is the root of the right answer: there is one root too many": _root_too_many,
    "it is the logarithm of the right answer": _logarithm,
    "it is the exponential of the right answer: a logarithm is missing": _exponential,
    "it is one over the right answer": _upside_down,
}


def _of_shapes(pairs: list[Pair], tolerance: float) -> str:
    if all(a.size == b.size and a.size > 1 and _close(a.ravel(), b.ravel(), tolerance) for a, b in pairs):
        return "the numbers are right, the shape is not"
    return ""


def _of_factors(pairs: list[Pair], tolerance: float) -> str:
    """A factor or an amount by which all numbers of an answer are off, the same in every answer."""
    ratios = np.concatenate([(a[b != 0] / b[b != 0]).ravel() for a, b in pairs])
    zeros = all(np.allclose(a[b == 0], 0, atol=tolerance) for a, b in pairs)
    spread = 100 * tolerance
    if len(ratios) > 2 and zeros and ratios[0] > 0 and np.ptp(ratios) <= spread * ratios[0]:
        return f"every number is {ratios[0]:.4g} times what it should be"
    amounts = np.concatenate([(a - b).ravel() for a, b in pairs])
    if np.ptp(amounts) <= spread * (1 + abs(amounts[0])):
        return f"every number is {abs(amounts[0]):.4g} too {'large' if amounts[0] > 0 else 'small'}"
    return ""
