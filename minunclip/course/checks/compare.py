"""How a learner's answer differs from ours, and what it is, in words. The answer is a stranger: it may be anything."""

from __future__ import annotations

import reprlib
from numbers import Real

import numpy as np
import torch
from torch import Tensor

MOST = 10**7                                # an array with more numbers than this is never copied nor looked through

_short = reprlib.Repr()                     # bounded in every way, however long or deep or broken a value is
_short.maxlevel, _short.maxlong, _short.maxstring, _short.maxother = 20, 300, 300, 300
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = 100


def difference(found, expected, tolerance: float = 1e-5) -> str:
    """How `found` differs from `expected`, in a line; empty if it does not. Nothing is raised, whatever `found` is.

    Arrays must agree in shape and in the kind of their numbers (whole, real, bool), lists in length. Tensor or NumPy
    array, float32 or float64 is all the same, and a number may be a float or an array of one.
    """
    try:
        return _difference(found, expected, tolerance)
    except Exception as error:              # from the answer's own methods, such as a __len__ or an __eq__
        return f"it cannot be compared ({type(error).__name__}), it should be {kind(expected)}"


def same(found, expected, tolerance: float = 1e-5) -> bool:
    """Whether there is no `difference`."""
    return difference(found, expected, tolerance) == ""


def _difference(found, expected, tolerance: float) -> str:
    if found is None and expected is not None:
        return "the answer is None: is a `return` missing?"
    if isinstance(expected, Tensor | np.ndarray):
        return _of_arrays(found, expected, tolerance)
    if isinstance(expected, Real) and not isinstance(expected, bool):
        return _of_numbers(found, expected, tolerance)
    if isinstance(expected, list | tuple):
        return _of_items(found, expected, range(len(expected)), tolerance)
    if isinstance(expected, dict):
        return _of_items(found, expected, expected, tolerance)
    if isinstance(expected, bool) and isinstance(found, np.bool_ | np.ndarray | Tensor):
        found = bool(found) if _size(found) == 1 else found
    same = isinstance(found, type(expected)) and bool(found == expected)
    return "" if same else f"it should be {told(expected)}"


def _of_arrays(found, expected, tolerance: float) -> str:
    if isinstance(found, Real) and not isinstance(found, bool) and expected.shape == ():
        return _of_numbers(found, expected.item(), tolerance)
    if not isinstance(found, Tensor | np.ndarray):
        return f"its type is {type(found).__name__}, it should be {kind(expected)}"
    if odd := _oddity(found):
        return f"it is {odd}, it should be {kind(expected)}"
    if found.shape != expected.shape:
        return f"its shape is {tuple(found.shape)}, it should be {tuple(expected.shape)}"
    if _numbers(found) != _numbers(expected):
        return f"its dtype is {_dtype(found)}, it should be {_dtype(expected)}"
    a, b = as_float64(found), as_float64(expected)
    with np.errstate(invalid="ignore"):                                     # infinity minus infinity
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    wrong = ~((off == 0) | np.isfinite(off) & (off <= tolerance * (1 + np.abs(b))))
    if not wrong.any():
        return ""
    worst = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(off, nan=np.inf), -1)), off.shape)
    ours = f"it should be {b[worst]:.5g} (difference {off[worst]:.3g})"
    place = f"[{', '.join(map(str, worst))}]"
    return ours if a.size == 1 else f"{wrong.sum()} of {a.size} numbers differ, most at {place}: {a[worst]:.5g}, {ours}"


def _of_numbers(found, expected: Real, tolerance: float) -> str:
    if isinstance(found, Tensor) and (odd := _oddity(found)):
        return f"it is {odd}, it should be a number"
    other = f"its type is {type(found).__name__}, it should be a number"
    if isinstance(found, str | bytes):                                      # float("3") would be one
        return other
    try:
        value = float(found)
    except OverflowError:
        return f"it is too large for a float, it should be {expected:.5g}"
    except (TypeError, ValueError, RuntimeError):
        return other
    off = 0.0 if value == expected or np.isnan(value) and np.isnan(expected) else abs(value - expected)
    close = off == 0 or np.isfinite(off) and off <= tolerance * (1 + abs(expected))
    return "" if close else f"it should be {expected:.5g} (difference {off:.3g})"


def _of_items(found, expected, keys, tolerance: float) -> str:
    if not isinstance(found, dict if isinstance(expected, dict) else (list, tuple)):
        return f"its type is {type(found).__name__}, it should be {kind(expected)}"
    if len(found) != len(expected):
        return f"it has {len(found)} items, it should have {len(expected)}"
    for key in keys:
        if isinstance(found, dict) and key not in found:
            return f"it has no item {key!r}"
        if fault := difference(found[key], expected[key], tolerance):
            return f"item {key!r}: {fault}"
    return ""


def kind(value) -> str:
    """What a value is, in words."""
    return {Tensor: "a tensor", np.ndarray: "a NumPy array"}.get(type(value), f"a {type(value).__name__}")


def _oddity(array: Tensor | np.ndarray) -> str:
    """What makes a tensor no ordinary one, from which no numbers can be read; empty if nothing does."""
    if not isinstance(array, Tensor):
        return ""
    if array.is_nested:
        return "a nested tensor"
    if array.layout is not torch.strided:
        return f"a tensor with the layout {str(array.layout).removeprefix('torch.')}"      # sparse_coo and others
    if array.is_quantized:
        return "a quantized tensor"
    return "a tensor without numbers, on the device meta" if array.is_meta else ""


def _size(array: Tensor | np.ndarray) -> int:
    return array.numel() if isinstance(array, Tensor) else array.size


def _dtype(array: Tensor | np.ndarray) -> str:
    return str(array.dtype).removeprefix("torch.")


def _numbers(array: Tensor | np.ndarray) -> str:
    """The kind of an array's numbers: real ones, or whole ones, of whatever precision; else the dtype itself."""
    name = _dtype(array)
    return next((family for family in ("float", "int") if name.startswith(family)), name)


def as_float64(array: Tensor | np.ndarray) -> np.ndarray:
    """The numbers of an array, wherever it lies."""
    return (array.detach().cpu().double().numpy() if isinstance(array, Tensor) else array).astype(np.float64)


# -- in words ------------------------------------------------------------------------------------------------


def told(value) -> str:
    """A value as text for a learner: all of a small one, only shape and range of a large one. Nothing is raised."""
    try:
        return _told_array(value) if isinstance(value, Tensor | np.ndarray) else _told_other(value)
    except Exception as error:                                              # from the value's own __repr__, say
        return f"something of type {type(value).__name__} that cannot be shown ({type(error).__name__})"


def _told_array(array: Tensor | np.ndarray) -> str:
    if odd := _oddity(array):
        return odd
    if _size(array) <= 12:
        return str((as_float64(array).round(4) if "float" in _dtype(array) else array).tolist())
    shape = f"{kind(array)} of shape {tuple(array.shape)}, {_dtype(array)}"
    if _size(array) > MOST or not any(kind in _dtype(array) for kind in ("float", "int", "bool")):
        return shape                                                        # complex numbers and words have no range
    numbers = as_float64(array)
    return f"{shape}, from {numbers.min():.4g} to {numbers.max():.4g}"


def _told_other(value) -> str:
    if isinstance(value, tuple | list) and len(value) < 9 and any(isinstance(item, Tensor) for item in value):
        return ", ".join(told(item) for item in value)
    text = f"{value + 0.0:.5g}" if isinstance(value, float) else _short.repr(value)
    return text if len(text) <= 300 else text[:297] + "..."


def is_huge(value) -> bool:
    """Whether a value, or one of its items, is an array of more numbers than a check should compute with."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Tensor | np.ndarray) and _size(item) > MOST for item in items)
