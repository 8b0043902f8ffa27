"""How an exercise is checked: the learner's function against ours, on inputs that are the same for everybody.

    @exercise(lambda: [(2.0,), (3.0,)])
    def square(x):
        return x**2

makes `square` a Check. In a notebook, `checks.square(square)` prints what it found.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import torch
from torch import Tensor

Cases = Callable[[], list[tuple]]
Rules = dict[str, Callable[..., bool]]


@dataclass(frozen=True)
class Verdict:
    """The answer to a learner."""

    kind: str                               # "empty" (not filled in yet), "wrong" or "right"
    text: str                               # what the learner reads


@dataclass(frozen=True)
class Check:
    """An exercise: our function, and the inputs on which the learner's must agree with it."""

    reference: Callable                         # our function; it has the exercise's name and the stub's parameters
    cases: Cases                                # () -> the inputs, a tuple of arguments each; each call makes new ones,
                                                # so that a function which changes its arguments does no harm
    tolerance: float = 1e-5                     # numbers may differ by tolerance * (1 + |ours|)
    rules: Rules = field(default_factory=dict)  # {"what must be true of an answer": (answer, *arguments) -> bool};
                                                # a wrong answer that breaks a rule is told so

    @property
    def name(self) -> str:
        """The name of the exercise."""
        return self.reference.__name__

    def __call__(self, function: Callable) -> None:
        """Print the verdict. Nothing is raised, so that a notebook runs on."""
        print(self.verdict(function).text)

    def verdict(self, function: Callable) -> Verdict:
        """Try the learner's function on every input."""
        if not callable(function):
            return Verdict("wrong", f"{self.name}: hand over the function itself, as checks.{self.name}({self.name})")
        pairs = list(zip(self.cases(), self.cases(), strict=True))
        try:
            faults = [self._fault(function, mine, ours) for mine, ours in pairs]
        except Unfilled:
            return Verdict("empty", f"{self.name}: not filled in yet. Write it above, then run both cells again.")
        wrong = [number for number, fault in enumerate(faults) if fault]
        if not wrong:
            return Verdict("right", f"{self.name}: right, on all {len(faults)} inputs.")
        number = wrong[0]
        head = f"{self.name}: not right yet. {len(faults) - len(wrong)} of {len(faults)} inputs are right; input"
        names = inspect.signature(self.reference).parameters
        given = [f"  {name} = {told(value)}" for name, value in zip(names, pairs[number][1], strict=False)]
        return Verdict("wrong", "\n".join([f"{head} {number + 1} is not:", *given, *faults[number]]))

    def _fault(self, function: Callable, mine: tuple, ours: tuple) -> list[str]:
        """What is wrong on one input, as lines; empty if nothing is."""
        try:
            answer = function(*mine)
        except Exception as error:
            if isinstance(error, NotImplementedError) and not str(error):   # PyTorch's own have a message
                raise Unfilled from None
            return [f"  your function stopped with {type(error).__name__}: {error}", *_line_of(error, function)]
        expected = self.reference(*ours)
        if not (found := difference(answer, expected, self.tolerance)):
            return []
        broken = [f"  remember: {rule}" for rule, holds in self.rules.items() if not _obeys(holds, answer, ours)]
        return [f"  your answer: {told(answer)}", f"  {found}", *broken]


class Unfilled(Exception):
    """The learner's function is still the stub."""


def exercise(cases: Cases, tolerance: float = 1e-5, rules: Rules | None = None) -> Callable[[Callable], Check]:
    """Turn the function below into the Check of an exercise. The parameters are those of Check."""
    return lambda reference: Check(reference, cases, tolerance, rules or {})


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed numbers, the same for everybody."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# -- what differs --------------------------------------------------------------------------------------------


def difference(found, expected, tolerance: float = 1e-5) -> str:
    """How `found` differs from `expected`, in a line; empty if it does not.

    Arrays must agree in kind, shape and dtype, lists in length. A number may be a float or an array of one.
    """
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
    if isinstance(expected, bool) and isinstance(found, np.bool_ | Tensor):
        found = bool(found) if np.size(found) == 1 else found
    same = isinstance(found, type(expected)) and found == expected
    return "" if same else f"it should be {told(expected)}"


def _of_arrays(found, expected, tolerance: float) -> str:
    kind = Tensor if isinstance(expected, Tensor) else np.ndarray
    if not isinstance(found, kind):
        return f"its type is {type(found).__name__}, it should be {_kind(expected)}"
    if found.shape != expected.shape:
        return f"its shape is {tuple(found.shape)}, it should be {tuple(expected.shape)}"
    if found.dtype != expected.dtype:
        return f"its dtype is {_dtype(found)}, it should be {_dtype(expected)}"
    a, b = _float64(found), _float64(expected)
    with np.errstate(invalid="ignore"):                                     # infinity minus infinity
        off = np.where(a == b, 0.0, np.abs(a - b))
    wrong = ~(np.isfinite(off) & (off <= tolerance * (1 + np.abs(b))))
    if not wrong.any():
        return ""
    worst = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(off, nan=np.inf), -1)), off.shape)
    ours = f"it should be {b[worst]:.5g} (difference {off[worst]:.3g})"
    place = f"[{', '.join(map(str, worst))}]"
    return ours if a.size == 1 else f"{wrong.sum()} of {a.size} numbers differ, most at {place}: {a[worst]:.5g}, {ours}"


def _of_numbers(found, expected: Real, tolerance: float) -> str:
    try:
        value = float(found)
    except (TypeError, ValueError, RuntimeError):
        return f"its type is {type(found).__name__}, it should be a number"
    off = 0.0 if value == expected else abs(value - expected)
    close = np.isfinite(off) and off <= tolerance * (1 + abs(expected))
    return "" if close else f"it should be {expected:.5g} (difference {off:.3g})"


def _of_items(found, expected, keys, tolerance: float) -> str:
    if not isinstance(found, dict if isinstance(expected, dict) else (list, tuple)):
        return f"its type is {type(found).__name__}, it should be {_kind(expected)}"
    if len(found) != len(expected):
        return f"it has {len(found)} items, it should have {len(expected)}"
    for key in keys:
        if isinstance(found, dict) and key not in found:
            return f"it has no item {key!r}"
        if fault := difference(found[key], expected[key], tolerance):
            return f"item {key!r}: {fault}"
    return ""


def _kind(value) -> str:
    return {Tensor: "a tensor", np.ndarray: "a NumPy array"}.get(type(value), f"a {type(value).__name__}")


def _dtype(array: Tensor | np.ndarray) -> str:
    return str(array.dtype).removeprefix("torch.")


def _float64(array: Tensor | np.ndarray) -> np.ndarray:
    return (array.detach().cpu().double().numpy() if isinstance(array, Tensor) else array).astype(np.float64)


# -- in words ------------------------------------------------------------------------------------------------


def told(value) -> str:
    """A value as text for a learner: all of a small one, only shape and range of a large one."""
    if isinstance(value, Tensor | np.ndarray):
        numbers = _float64(value)
        if numbers.size <= 12:
            return str((numbers.round(4) if "float" in _dtype(value) else value).tolist())
        shape = f"{_kind(value)} of shape {tuple(value.shape)}, {_dtype(value)}"
        return f"{shape}, from {numbers.min():.4g} to {numbers.max():.4g}"
    text = f"{value + 0.0:.5g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 300 else text[:297] + "..."


def _obeys(rule: Callable[..., bool], answer, arguments: tuple) -> bool:
    try:
        return bool(rule(answer, *arguments))
    except Exception:                                                       # the rule is for answers of another kind
        return True


def _line_of(error: Exception, function: Callable) -> list[str]:
    """Which line of the learner's function raised."""
    code = getattr(function, "__code__", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    if not frames:
        return []
    return [f"  in its line {frames[-1].lineno - code.co_firstlineno + 1}: {frames[-1].line}"]
