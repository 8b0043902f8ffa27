"""`checks.mine`: a right answer becomes the model.

    q_sample = checks.mine(q_sample)

checks the function above. If it is right it is yours that the notebook goes on with, and the library as well, from
there on: every training and every sampler that noises a picture calls it. If not, everything goes on with ours. A line
says which. `checks.in_use()` lists what is whose, and `checks.restore()` puts the library back as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .compare import difference, same
from .core import CHECKS, Check, defaults_kept
from .module_places import MODULE_PLACES
from .modules import ModuleCheck, weight_gradients
from .places import FUNCTION_PLACES, Place
from .scene_places import SCENE_PLACES

PLACES = FUNCTION_PLACES | MODULE_PLACES | SCENE_PLACES
YOURS: dict[str, object] = {}               # what the learner has written, by exercise
HELD: dict[str, object] = {}                # what the library had in its place, where an answer stands there


def mine(function: Callable) -> Callable:
    """Check an answer to an exercise, print the verdict, and return what the notebook goes on with: it, or ours.

    function: the learner's, or for a module their class; it has the name of the exercise
    A right one also takes its place in the library, see `places`, unless it would spoil it: if it changes its
    arguments, lets no gradient through where one is needed, or is far slower than a training can bear. Raises
    ValueError for a name that is no exercise's.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if name not in CHECKS:
        raise ValueError(f"mine: no exercise is called {name!r}: hand over the function as the cell above names it")
    check = CHECKS[name]
    function = function.function if isinstance(function, Yours) else function           # handed in before
    restore(name)
    if function is check.ours:
        print(f"{name}: this is ours. Run the cell with yours, then this one again.")
        return check.ours
    verdict = check.verdict(function)
    reason = unfit(check, function) if verdict.kind == "right" else ""
    if verdict.kind != "right" or reason:
        print(verdict.text, f"The course goes on with ours{reason and ', because yours ' + reason}.",
              sep="\n" if verdict.kind == "wrong" else " ")  # fmt: skip
        return check.ours
    YOURS[name] = yours = check.handed_on(Yours(check, function))
    if place := PLACES.get(name):
        HELD[name] = place.now
        place.put(place.fit(yours, place.now))
    print(verdict.text, f"From here on it is yours: {place.does if place else 'the notebook goes on with it'}.")
    return yours


def restore(*names: str) -> None:
    """Put the library's own functions back: those of these exercises, or all."""
    for name in names or tuple(YOURS):
        if name in HELD:
            PLACES[name].put(HELD.pop(name))
        YOURS.pop(name, None)


def in_use():
    """What is yours so far, and what the library does with it: a Markdown table."""
    from IPython.display import Markdown

    rows = [f"| `{name}` | {PLACES[name].does if name in HELD else 'the notebook goes on with it'} |" for name in YOURS]
    return Markdown("\n".join(["| yours | what it does |", "| --- | --- |", *rows]) if rows
                    else "*Nothing is yours yet: everything here runs with the course's own versions.*")  # fmt: skip


@contextmanager
def borrowed() -> Iterator[None]:
    """Afterwards the library is as it was, whatever `mine` put into it in between."""
    try:
        yield
    finally:
        restore()


@dataclass(frozen=True)
class Yours:
    """A learner's function as the course calls it: it answers in the kind and the precision in which ours does."""

    check: Check
    function: Callable

    @property
    def __name__(self) -> str:
        return self.check.name

    def __repr__(self) -> str:
        return f"<{self.check.name}, yours>"

    def __call__(self, *arguments):
        try:
            answer = self.function(*arguments)
        except Exception as error:
            error.add_note(f"This happened in your {self.check.name}, which the library calls since checks.mine. "
                           "checks.restore() puts its own back.")  # fmt: skip
            raise
        double = any(isinstance(a, Tensor) and a.dtype == torch.float64 for a in arguments)
        return as_ours(answer, self.check.sample, double)


def as_ours(answer, ours, double: bool = False):
    """An answer with the types that ours has: a tensor for an array, float32 for float64 unless `double`."""
    if isinstance(ours, tuple | list) and isinstance(answer, tuple | list):
        return type(ours)(as_ours(a, b, double) for a, b in zip(answer, ours, strict=True))
    if isinstance(ours, Tensor):
        answer = torch.as_tensor(answer)
        if answer.dtype == torch.float64 and not double or answer.dtype in (torch.int32, torch.int16):
            return answer.to(ours.dtype)
        return answer
    if isinstance(ours, np.ndarray):
        return np.asarray(answer)
    return type(ours)(answer) if isinstance(ours, bool | int | float) else answer


# -- what would spoil the library ----------------------------------------------------------------------------


def unfit(check: Check, function: Callable) -> str:
    """Why a right answer had better not be used, as "changes x_0 in place"; empty if nothing speaks against it."""
    if changed := argument_changed(check, function):
        return f"changes {changed} in place"
    place = PLACES.get(check.name)
    if place is None:
        return ""
    if isinstance(check, ModuleCheck):
        return module_unfit(check, place, function)
    with defaults_kept():
        yours = check.handed_on(Yours(check, function))
        return next(filter(None, (rule(check, place, yours) for rule in (wrong_at_size, without_gradient, slow))), "")


def argument_changed(check: Check, function: Callable) -> str:
    """The name of an argument that the function leaves changed; empty if there is none."""
    for used, kept in zip(check.cases(), check.cases(), strict=True):
        check.attempt(function, used)
        for name, now, before in zip(check.parameters, used, kept, strict=False):
            if isinstance(before, Tensor | np.ndarray | list) and difference(now, before, 0):
                return name
    return ""


def module_unfit(check: ModuleCheck, place: Place, cls: type) -> str:
    """The same for a class: its gradients must be ours, and the library's networks must answer as before."""
    with defaults_kept(), torch.no_grad():
        for used, kept in zip(check.cases(), check.cases(), strict=True):
            if not same(weight_gradients(check, cls, *used), weight_gradients(check, check.reference, *kept), 1e-3):
                return "lets no gradient through to some of its weights"
        expected, library = place.trial(), place.now
        try:
            place.put(place.fit(cls, library))
            answers = place.trial()
        except Exception as error:                                          # it is a stranger's
            return f"stops with {type(error).__name__} inside the library: {error}"
        finally:
            place.put(library)
    return "" if same(answers, expected, 1e-4) else "answers otherwise inside the library's networks"


def wrong_at_size(check: Check, place: Place, function: Callable) -> str:
    for used, kept in zip(place.sizes(), place.sizes(), strict=True):
        try:
            answer = function(*used)
        except Exception as error:                                          # it is a stranger's
            return f"stops with {type(error).__name__} on the inputs that the library has"
        if found := difference(answer, check.reference(*kept), max(check.tolerance, 1e-4)):
            return f"is wrong on the inputs that the library has ({found})"
    return ""


def without_gradient(check: Check, place: Place, function: Callable) -> str:
    if not place.trains:
        return ""
    for used, kept in zip(place.sizes(), place.sizes(), strict=True):
        if not same(gradients(function, used), gradients(check.reference, kept), 1e-3):
            return "lets no gradient through (no .item(), .detach(), float() or NumPy on the way, please)"
    return ""


def gradients(function: Callable, arguments: tuple) -> list[Tensor]:
    """Those of the sum of an answer, for every argument of real numbers; zeros where there is none."""
    arguments = [a.clone().requires_grad_() if is_real(a) else a for a in arguments]
    with torch.enable_grad():
        total = function(*arguments).sum()
        leaves = [a for a in arguments if is_real(a)]
        found = torch.autograd.grad(total, leaves, allow_unused=True) if total.requires_grad else [None] * len(leaves)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, found, strict=True)]


def is_real(value) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def slow(check: Check, place: Place, function: Callable) -> str:
    took = min(seconds(function, arguments) for arguments in place.sizes() for _ in range(3))
    if took <= place.seconds:
        return ""
    return f"takes {took:.2f} seconds a call, and the library calls it very often: try it without the loop"


def seconds(function: Callable, arguments: tuple) -> float:
    begun = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begun
