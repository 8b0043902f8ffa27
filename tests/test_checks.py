"""The exercises: each notebook's solutions pass, its stubs and at least two wrong answers each do not.

The wrong answers stand in tests/wrong_answers, one file per notebook.
"""

import importlib
import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from exercises import NOTEBOOKS, all_exercises, exercises, namespace, read

from minunclip.course import checks
from minunclip.course.checks.core import Check, difference, exercise, normal, told

FILES = sorted(path.stem for path in (Path(__file__).parent / "wrong_answers").glob("*.py"))
LISTS = [importlib.import_module(f"wrong_answers.{name}").WRONG for name in FILES]     # {exercise: {answer: hint}}
WRONG = {name: answers for wrong in LISTS for name, answers in wrong.items()}
EXERCISES = all_exercises()
NAMES = [found.name for found in EXERCISES]
each_exercise = pytest.mark.parametrize("found", EXERCISES, ids=NAMES)


# -- the exercises of the notebooks --------------------------------------------------------------------------


def defined(source, name, names):
    """The function of this name that the source defines."""
    exec(compile(source, "<solution>", "exec"), names)
    return names[name]


def stub_of(found):
    """What the notebook has before the learner writes; a class is made of what the notebook imports."""
    names = namespace(read(NOTEBOOKS / f"{found.notebook}.ipynb")) if found.stub.startswith("class") else {}
    return defined("from __future__ import annotations\n" + found.stub, found.name, names)


@pytest.mark.parametrize("stem", sorted({found.notebook for found in EXERCISES}))
def test_every_solution_passes_its_check(stem):
    notebook = read(NOTEBOOKS / f"{stem}.ipynb")
    names = namespace(notebook)                 # a solution may use those before it
    for found in exercises(notebook, stem):
        verdict = getattr(checks, found.name).verdict(defined(found.solution, found.name, names))
        assert verdict.kind == "right", f"{stem}: {verdict.text}"


@each_exercise
def test_a_stub_is_not_filled_in_yet(found):
    verdict = getattr(checks, found.name).verdict(stub_of(found))
    assert verdict.kind == "empty" and "not filled in yet" in verdict.text


@each_exercise
def test_wrong_answers_are_refused(found):
    assert len(WRONG.get(found.name, [])) >= 2, f"give two wrong answers to {found.name} in tests/wrong_answers"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_gets_the_hint_that_fits_or_none(name):
    for answer, hint in WRONG[name].items():
        verdict = getattr(checks, name).verdict(answer)
        assert verdict.kind == "wrong", f"{answer.__name__} passed as {name}"
        assert "should be" in verdict.text or "should have" in verdict.text or "stopped with" in verdict.text
        assert hint in verdict.hint and bool(hint) == bool(verdict.hint), f"{name}, {answer.__name__}: {verdict.hint}"


def parameters(function):
    """Of a function, or of the methods that a class defines itself."""
    if not isinstance(function, type):
        return list(inspect.signature(function).parameters)
    return {name: list(inspect.signature(method).parameters) for name, method in vars(function).items()
            if inspect.isfunction(method)}  # fmt: skip


@each_exercise
def test_the_check_takes_what_the_stub_takes(found):
    stub = parameters(stub_of(found))
    ours = parameters(getattr(checks, found.name).reference)
    if isinstance(ours, dict):
        stub = {name: stub[name] for name in ours}
    assert stub == ours


AWAITED = {"write_sentence", "found_across", "held_out", "merge_pair", "paired_batch"}     # by notebooks to come
TOOLS = {"borrowed", "in_use", "mine", "restore"}


def test_no_exercise_no_check_and_no_wrong_answer_is_left_over():
    assert len(NAMES) == len(set(NAMES)) and sum(map(len, LISTS)) == len(WRONG)
    registered = [name for name, value in vars(checks).items() if isinstance(value, Check)]
    assert sorted(registered) == sorted(WRONG) == sorted({*checks.__all__} - TOOLS)
    assert {*registered} - AWAITED <= {*NAMES} <= {*registered}
    assert all(getattr(checks, name).name == name for name in registered)


# -- what a learner is told ----------------------------------------------------------------------------------


@exercise(lambda: [(2.0, 1), (3.0, 2)], rules={"powers of positive numbers are positive": lambda y, x, n: y > 0})
def power(x, n):
    return x**n


def two_lines_then_an_error(x, n):
    result = x * n
    return result / 0


@pytest.mark.parametrize("function, kind, words", [
    (lambda x, n: x**n, "right", ["power: right, on all 2 inputs."]),
    (lambda x, n: x, "wrong", ["1 of 2 inputs are right; input 2 is not", "x = 3", "n = 2", "your answer: 3",
                               "it should be 9 (difference 6)"]),
    (lambda x, n: -(x**n), "wrong", ["hint: powers of positive numbers are positive"]),
    (lambda x, n: None, "wrong", ["is a `return` missing?"]),
    (lambda x, n: "two", "wrong", ["its type is str, it should be a number"]),
    (lambda x: x, "wrong", ["stopped with TypeError"]),
    (two_lines_then_an_error, "wrong", ["ZeroDivisionError: float division by zero",
                                        "in its line 3: return result / 0"]),
    (9.0, "wrong", ["hand over the function itself, as checks.power(power)"]),
])  # fmt: skip
def test_the_verdict_says_what_is_wrong(function, kind, words):
    verdict = power.verdict(function)
    assert verdict.kind == kind
    assert [part for part in words if part not in verdict.text] == []
    assert ("hint" in verdict.text) == any("hint" in part for part in words)


def test_only_the_bare_error_of_a_stub_counts_as_empty():
    def stub(x, n):
        raise NotImplementedError

    def unsupported(x, n):
        raise NotImplementedError("no kernel for Half")

    assert power.verdict(stub).kind == "empty"
    assert "no kernel for Half" in power.verdict(unsupported).text and power.verdict(unsupported).kind == "wrong"


def test_a_check_prints_and_never_raises(capsys):
    assert power(two_lines_then_an_error) is None
    assert capsys.readouterr().out == power.verdict(two_lines_then_an_error).text + "\n"


def test_a_function_that_spoils_its_input_does_not_spoil_ours():
    @exercise(lambda: [(torch.ones(2),)])
    def doubled(x):
        return 2 * x

    assert doubled.verdict(lambda x: x.mul_(2)).kind == "right"
    assert doubled.verdict(lambda x: x.mul_(2) * 2).kind == "wrong"


ONES = torch.ones(2, 3)


@pytest.mark.parametrize("found, expected, words", [
    (ONES, ONES, ""),
    (ONES + 1e-6, ONES, ""),
    (ONES.T, ONES, "its shape is (3, 2), it should be (2, 3)"),
    (ONES.double(), ONES, ""),
    (ONES.numpy(), ONES, ""),
    (ONES.long(), ONES, "its dtype is int64, it should be float32"),
    (ONES.int(), ONES.long(), ""),
    (ONES.bool(), ONES.long(), "its dtype is bool, it should be int64"),
    (2.0, torch.tensor(1.0), "it should be 1 (difference 1)"),
    (1.0, torch.tensor(1.0), ""),
    (True, torch.tensor(1.0), "its type is bool, it should be a tensor"),
    (ONES.tolist(), ONES.numpy(), "its type is list, it should be a NumPy array"),
    (ONES.clone().index_put_((torch.tensor(1), torch.tensor(2)), torch.tensor(3.0)), ONES,
     "1 of 6 numbers differ, most at [1, 2]: 3, it should be 1 (difference 2)"),
    (ONES * math.nan, ONES, "6 of 6 numbers differ, most at [0, 0]: nan, it should be 1 (difference nan)"),
    (ONES / 0, ONES / 0, ""),
    (-ONES / 0, ONES / 0, "6 of 6 numbers differ, most at [0, 0]: -inf, it should be inf (difference inf)"),
    (torch.tensor(2.0), torch.tensor(1.0), "it should be 1 (difference 1)"),
    (np.array([True, False]), np.array([True, True]), "1 of 2 numbers differ, most at [1]: 0, it should be 1 "
     "(difference 1)"),
    (torch.tensor(1.0), 1.0, ""),
    (1, 1.0, ""),
    (math.nan, 1.0, "it should be 1 (difference nan)"),
    (-math.inf, math.inf, "it should be inf (difference inf)"),
    (np.bool_(True), True, ""),
    (torch.tensor(False), True, "it should be True"),
    (1, True, "it should be True"),
    ("a", "b", "it should be 'b'"),
    ((1, 2), [1, 2], ""),
    ([1], [1, 2], "it has 1 items, it should have 2"),
    (3, [1, 2], "its type is int, it should be a list"),
    ([1, [2, 3]], [1, [2, 4]], "item 1: item 1: it should be 4 (difference 1)"),
    ({"a": 1}, {"b": 1}, "it has no item 'b'"),
    ({"b": 2}, {"b": 1}, "item 'b': it should be 1 (difference 1)"),
    (None, None, ""),
    (0, None, "it should be None"),
])  # fmt: skip
def test_the_difference_is_told(found, expected, words):
    assert difference(found, expected) == words


def test_the_tolerance_grows_with_the_number():
    assert difference(1000.5, 1000.0, tolerance=1e-3) == ""
    assert difference(1.5, 1.0, tolerance=1e-3) != ""
    assert difference(normal(3) + 0.01, normal(3), tolerance=0.1) == ""
    assert difference(normal(3, seed=1), normal(3), tolerance=0.1) != ""


def test_large_values_are_told_in_short():
    assert told(torch.tensor([0.5, 1.00004])) == "[0.5, 1.0]"
    assert told(torch.tensor([[3, -100]])) == "[[3, -100]]"
    assert told(-0.0) == "0"
    assert told(torch.arange(60).view(3, 20)) == "a tensor of shape (3, 20), int64, from 0 to 59"
    assert told(1 / 3) == "0.33333"
    assert len(told("x" * 1000)) == 300
