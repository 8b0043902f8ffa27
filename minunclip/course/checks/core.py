"""How an exercise is checked: the learner's function against ours, on inputs that are the same for everybody.

    @exercise(lambda: [(2.0,), (3.0,)])
    def square(x):
        return x**2

makes `square` a Check. In a notebook, `checks.square(square)` prints what it found.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from .compare import difference, is_huge, same, told
from .mistakes import MISTAKES
from .relations import relation

Cases = Callable[[], list[tuple]]
Rules = dict[str, Callable[..., bool]]
CHECKS: dict[str, Check] = {}               # every exercise by its name


@dataclass(frozen=True)
class Verdict:
    """The answer to a learner."""

    kind: str                               # "empty" (not filled in yet), "wrong" or "right"
    text: str                               # what the learner reads
    hint: str = ""                          # the last line of it, if there is one


@dataclass(frozen=True)
class Check:
    """An exercise: our function, and the inputs on which the learner's must agree with it."""

    reference: Callable                         # our function; it has the exercise's name and the stub's parameters
    cases: Cases                                # () -> the inputs, a tuple of arguments each; each call makes new ones,
                                                # so that a function which changes its arguments does no harm
    tolerance: float = 1e-5                     # numbers may differ by tolerance * (1 + |ours|)
    rules: Rules = field(default_factory=dict)  # {"what must be true of an answer": (answer, *arguments) -> bool}: the
                                                # hint where no mistake that we know gives these answers

    @property
    def name(self) -> str:
        """The name of the exercise."""
        return self.reference.__name__

    def __call__(self, function: Callable) -> None:
        """Print the verdict. Nothing is raised, so that a notebook runs on."""
        print(self.verdict(function).text)

    @property
    def ours(self) -> Callable:
        """What a notebook goes on with where the learner has nothing right."""
        return self.reference

    @property
    def parameters(self) -> list[str]:
        """The names of the exercise's arguments."""
        return list(inspect.signature(self.reference).parameters)

    @cached_property
    def sample(self):
        """One of our answers: it has the types that every answer has."""
        return self.call(self.reference, *self.cases()[0])

    def takes(self, function) -> bool:
        """Whether this may be an answer at all."""
        return callable(function)

    def call(self, function: Callable, *arguments):
        """The answer of a function, the learner's or ours."""
        return function(*arguments)

    def handed_on(self, function: Callable) -> Callable:
        """A learner's function as the notebook and the library call it."""
        return function

    @property
    def mistakes(self) -> dict[str, Callable]:
        """{hint: a function that makes the mistake}, see `mistakes`."""
        return MISTAKES.get(self.name, {})

    def verdict(self, function: Callable) -> Verdict:
        """Try the learner's function on every input."""
        if not self.takes(function):
            what = "class" if isinstance(self.reference, type) else "function"
            return Verdict("wrong", f"{self.name}: hand over the {what} itself, as checks.{self.name}({self.name})")
        try:
            answers = [self.attempt(function, arguments) for arguments in self.cases()]
        except Unfilled:
            return Verdict("empty", f"{self.name}: not filled in yet. Write it above, then run both cells again.")
        expected = [self.call(self.reference, *arguments) for arguments in self.cases()]
        faults = [self._fault(answer, ours) for answer, ours in zip(answers, expected, strict=True)]
        wrong = [number for number, fault in enumerate(faults) if fault]
        if not wrong:
            return Verdict("right", f"{self.name}: right, on all {len(faults)} inputs.")
        number = wrong[0]
        head = f"{self.name}: not right yet. {len(faults) - len(wrong)} of {len(faults)} inputs are right; input"
        case = zip(self.parameters, self.cases()[number], strict=False)
        given = [f"  {name} = {told(value)}" for name, value in case]
        hint = self._hint(answers, expected, wrong)
        return Verdict("wrong", "\n".join([f"{head} {number + 1} is not:", *given, *faults[number], *hint]), *hint)

    def attempt(self, function: Callable, arguments: tuple):
        """What a function answers, or Stopped. Raises Unfilled for a stub."""
        try:
            with defaults_kept():
                return self.call(function, *arguments)
        except (Exception, SystemExit) as error:
            if isinstance(error, NotImplementedError) and not _message(error):      # PyTorch's own have a message
                raise Unfilled from None
            line = f"  your function stopped with {type(error).__name__}: {_message(error)}"
            return Stopped(type(error), [line, *_line_of(error, function)])

    def _fault(self, answer, expected) -> list[str]:
        """What is wrong with one answer, as lines; empty if nothing is."""
        if isinstance(answer, Stopped):
            return answer.lines
        found = difference(answer, expected, self.tolerance)
        return [f"  your answer: {told(answer)}", f"  {found}"] if found else []

    def _hint(self, answers: list, expected: list, wrong: list[int]) -> list[str]:
        """One line for the learner, or none: the mistake that gives these very answers, what they have to do with
        ours, or a rule that they break."""
        if hint := self.known_mistake(answers):
            return [f"  hint: {hint}"]
        if unchanged := self._argument_as_answer(answers, wrong):
            return [f"  hint: your answer is {unchanged}, as it came in"]
        if hint := relation([answers[i] for i in wrong], [expected[i] for i in wrong], self.tolerance):
            return [f"  hint: {hint}"]
        cases = self.cases()
        for rule, holds in self.rules.items():
            if not all(_obeys(holds, answers[i], cases[i]) for i in wrong):
                return [f"  hint: {rule}"]
        return []

    def _argument_as_answer(self, answers: list, wrong: list[int]) -> str:
        """The name of an argument that every wrong answer is equal to; empty if there is none."""
        cases = self.cases()
        equal = [name for place, name in enumerate(self.parameters) if all(
            isinstance(cases[i][place], Tensor) and same(answers[i], cases[i][place], self.tolerance) for i in wrong)]
        return equal[0] if equal else ""

    def known_mistake(self, answers: list) -> str:
        """The hint of the mistake that gives the same answers on every input; empty if none does."""
        for hint, function in self.mistakes.items():
            mistaken = (self.attempt(function, arguments) for arguments in self.cases())
            if all(_alike(a, b, self.tolerance) for a, b in zip(answers, mistaken, strict=True)):
                return hint
        return ""


@dataclass(frozen=True)
class Stopped:
    """In place of an answer: the function stopped with an error."""

    error: type[BaseException]
    lines: list[str]                            # what a learner reads of it

    @property
    def cause(self) -> tuple:
        """What two functions have in common that stop for the same reason: the kind of error, and its numbers."""
        return self.error, sorted(re.findall(r"\d+", self.lines[0]))


class Unfilled(Exception):
    """The learner's function is still the stub."""


def exercise(cases: Cases, tolerance: float = 1e-5, rules: Rules | None = None) -> Callable[[Callable], Check]:
    """Turn the function below into the Check of an exercise. The parameters are those of Check."""

    def checked(reference: Callable) -> Check:
        CHECKS[reference.__name__] = check = Check(reference, cases, tolerance, rules or {})
        return check

    return checked


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed numbers, the same for everybody."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32, device="cpu")


# -- a learner's function: a stranger's ----------------------------------------------------------------------


@contextmanager
def defaults_kept() -> Iterator[None]:
    """Afterwards PyTorch's defaults and its random numbers are what they were before, whatever a function told it."""
    dtype, device, threads = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    strict = _strictness()
    try:
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_default_device(None if device.type == "cpu" else device)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if _strictness() != strict:                                         # this imports PyTorch's compiler: seconds
            torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])


def _strictness() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _message(error: BaseException) -> str:
    """What an error says, as far as it can be printed."""
    try:
        text = str(error).encode(errors="backslashreplace").decode()
    except Exception:                                                       # from its own __str__
        return "(it cannot say why)"
    return text if len(text) <= 1000 else text[:997] + "..."


def _alike(answer, mistaken, tolerance: float) -> bool:
    """Whether two functions gave the same answer, or stopped with the same error."""
    if isinstance(answer, Stopped) or isinstance(mistaken, Stopped):
        return isinstance(answer, Stopped) and isinstance(mistaken, Stopped) and answer.cause == mistaken.cause
    return not is_huge(answer) and same(answer, mistaken, tolerance)


def _obeys(rule: Callable[..., bool], answer, arguments: tuple) -> bool:
    try:
        return isinstance(answer, Stopped) or is_huge(answer) or bool(rule(answer, *arguments))
    except Exception:                                                       # the rule is for answers of another kind
        return True


def _line_of(error: Exception, function: Callable) -> list[str]:
    """Which line of the learner's function raised."""
    code = getattr(getattr(function, "forward", function), "__code__", None)    # of a module: its forward
    frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    if not frames:
        return []
    return [f"  in its line {frames[-1].lineno - code.co_firstlineno + 1}: {frames[-1].line}"]
