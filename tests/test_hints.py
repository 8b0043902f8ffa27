"""Hints diagnose: each of the likeliest mistakes gets its own, and other ways to be right are right.

The mistakes stand in minunclip/course/checks/mistakes; tests/wrong_answers has more of them, as a learner writes them.
"""

import importlib

import numpy as np
import pytest
import torch
from torch import Tensor

from minunclip.course import checks
from minunclip.course.checks.core import CHECKS, Check, exercise
from minunclip.course.checks.mistakes import MISTAKES
from minunclip.course.checks.modules import ModuleCheck
from minunclip.course.checks.relations import relation

NAMES = [name for name, value in vars(checks).items() if isinstance(value, Check)]
RIGHT = {name: answers for file in ("first", "second", "pictures", "modules")
         for name, answers in importlib.import_module(f"right_answers.{file}").RIGHT.items()}  # fmt: skip
each_exercise = pytest.mark.parametrize("check", [CHECKS[name] for name in NAMES], ids=NAMES)
ignore = pytest.mark.filterwarnings("ignore:std\\(\\)")


@ignore
@each_exercise
def test_every_likely_mistake_gets_its_own_hint(check):
    assert len(check.mistakes) >= 10, f"{check.name}: what else is likely to go wrong?"
    for hint, function in check.mistakes.items():
        verdict = check.verdict(function)
        assert (verdict.kind, verdict.hint) == ("wrong", f"  hint: {hint}"), f"{check.name}: {hint}"
        assert verdict.text.endswith(verdict.hint)


def test_no_mistake_is_without_its_exercise():
    assert MISTAKES.keys() == set(NAMES)


@each_exercise
def test_other_ways_to_be_right_are_right(check):
    answers = [*RIGHT[check.name], *other_kinds(check)]
    assert len(answers) >= (1 if isinstance(check, ModuleCheck) or not arrays(check.sample) else 3)
    for answer in answers:
        verdict = check.verdict(answer)
        assert verdict.kind == "right", verdict.text


def other_kinds(check):
    """Our own answer, computed in float64, and handed over as NumPy arrays."""
    if isinstance(check, ModuleCheck) or not arrays(check.sample):
        return []
    return [in_float64(check.reference), as_numpy(check.reference)]


def arrays(answer):
    return isinstance(answer, Tensor) or isinstance(answer, tuple) and isinstance(answer[0], Tensor)


def in_float64(function):
    def double(x):
        return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x

    return lambda *arguments: function(*map(double, arguments))


def as_numpy(function):
    def answer(*arguments):
        found = function(*arguments)
        return tuple(x.numpy() for x in found) if isinstance(found, tuple) else found.numpy()

    return answer


def test_every_right_answer_belongs_to_an_exercise():
    assert RIGHT.keys() == set(NAMES)


# -- what a wrong answer has to do with the right one --------------------------------------------------------

X = torch.tensor([[0.5, 2.0, 3.0], [1.5, 4.0, 0.25], [7.0, 0.1, 5.0]])


@pytest.mark.parametrize("found, words", [
    (-X, "it is the right answer with the other sign"),
    (X.T, "rows and columns are exchanged"),
    (X.flip(0), "the numbers are right, but they stand in another order"),
    (X**2, "it is the square of the right answer: a root is missing"),
    (X.sqrt(), "it is the root of the right answer: there is one root too many"),
    (X.log(), "it is the logarithm of the right answer"),
    (X.exp(), "it is the exponential of the right answer: a logarithm is missing"),
    (1 / X, "it is one over the right answer"),
    (3 * X, "every number is 3 times what it should be"),
    (X + 0.5, "every number is 0.5 too large"),
    (X - 1, "every number is 1 too small"),
    (X.flatten(), "the numbers are right, the shape is not"),
    (X + torch.eye(3), ""), (X * torch.nan, ""), (X[:2], ""), ("a", ""), (None, ""), (2.0, ""),
])  # fmt: skip
def test_a_relation_is_told(found, words):
    assert relation([found], [X]) == words
    assert relation([found if not isinstance(found, Tensor) else found.numpy()], [X.numpy()]) == words


def test_a_relation_must_hold_for_every_answer():
    assert relation([2 * X, 2 * X], [X, X]) == "every number is 2 times what it should be"
    assert relation([2 * X, 3 * X], [X, X]) == ""
    assert relation([2.0], [1.0]) == relation([torch.tensor(2.0)], [torch.tensor(1.0)]) == ""
    assert relation([3, 4, 6], [2, 3, 5]) == "every number is 1 too large"


@exercise(lambda: [(torch.tensor([1.0, 2.0, 4.0]), 2.0), (torch.tensor([3.0, 5.0, 8.0]), 3.0)],
          rules={"an answer is positive": lambda y, x, n: bool((y > 0).all())})
def scaled(x, n):
    return n * x


@pytest.mark.parametrize("answer, hint", [
    (lambda x, n: x, "your answer is x, as it came in"),
    (lambda x, n: -n * x, "it is the right answer with the other sign"),
    (lambda x, n: n * x - 100 * x**2, "an answer is positive"),
    (lambda x, n: n * x + x**2, ""),
    (lambda x, n: x / 0 * "a", ""),
])  # fmt: skip
def test_a_hint_is_the_mistake_the_relation_or_the_rule(answer, hint):
    verdict = scaled.verdict(answer)
    assert verdict.kind == "wrong" and verdict.hint == (f"  hint: {hint}" if hint else "")
    assert ("hint" in verdict.text) == bool(hint)


def test_an_error_is_the_same_mistake_only_for_the_same_reason():
    check = checks.q_sample

    def not_broadcast(x_0, t, eps, table):
        return x_0 * table[t] ** 0.5 + eps * (1 - table[t]) ** 0.5

    assert "alphas_bar[t] is (B,)" in check.verdict(not_broadcast).hint
    assert check.verdict(lambda x_0, t, eps, table: torch.ones(2) @ torch.ones(3)).hint == ""
    assert check.verdict(lambda x_0, t, eps, table: 1 / 0).hint == ""


@pytest.mark.parametrize("name, answer", [
    ("diversity_at", lambda level, fidelity, diversity: float(np.interp(level, fidelity, diversity))),
    ("colours_swapped", lambda stated, drawn: {(d.kind, d.colour) for d in drawn} == {
        (stated[0].kind, stated[1].colour), (stated[1].kind, stated[0].colour)}),
    ("group_norm", lambda x, groups: ((r := x.reshape(len(x), groups, -1)) - r.mean(2, keepdim=True)).div(
        r.std(2, keepdim=True, unbiased=False) + 1e-5).reshape(x.shape)),
])  # fmt: skip
def test_what_once_passed_is_refused(name, answer):
    assert CHECKS[name].verdict(answer).kind == "wrong"
