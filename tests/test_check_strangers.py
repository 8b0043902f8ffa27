"""Answers that no exercise expects: a check tells what they are, raises nothing, and lets nothing of them stay."""

import sys
import warnings

import numpy as np
import pytest
import torch

from minunclip.course.checks.compare import MOST, difference, is_huge, told
from minunclip.course.checks.core import exercise


@exercise(lambda: [(2.0,), (3.0,)], rules={"squares are positive": lambda y, x: y > 0})
def square(x):
    return x**2


@exercise(lambda: [(torch.ones(2, 3),)], rules={"it is finite": lambda y, x: bool(torch.isfinite(y).all())})
def doubled(x):
    return 2 * x


@exercise(lambda: [(3,)])
def counted(n):
    return list(range(n))


CHECKS = (square, doubled, counted)


class Broken:
    """Every question to it is an error."""

    def _fail(self, *arguments):
        raise RuntimeError("no")

    __eq__ = __len__ = __getitem__ = __contains__ = __float__ = __bool__ = __repr__ = __str__ = __iter__ = _fail
    __hash__ = None


class BrokenList(list):
    __eq__ = __len__ = __getitem__ = __repr__ = Broken._fail


class BrokenText(str):
    __eq__ = __repr__ = Broken._fail
    __hash__ = None


class Silent(Exception):
    __str__ = Broken._fail


def nested_list(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


def odd_tensors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # that nested and quantized tensors may change
        return {
            "sparse": torch.eye(2).to_sparse(), "sparse rows": torch.eye(2).to_sparse_csr(),
            "meta": torch.ones(2, 3, device="meta"), "one on meta": torch.ones((), device="meta"),
            "quantized": torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.quint8),
            "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
            "jagged": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        }  # fmt: skip


ODD = odd_tensors()
HUGE = torch.ones(1).expand(2**34)                  # 137 GB as float64
ANSWERS = {
    **ODD, "huge": HUGE, "huge array": np.broadcast_to(np.ones(1), (2**34,)), "huge items": [HUGE] * 3,
    "large": 10**400, "too large to print": 10**5000, "deep": nested_list(100_000), "broken": Broken(),
    "broken list": BrokenList([1]), "broken text": BrokenText("a"), "broken items": [Broken()] * 3,
    "broken in a dict": {"a": Broken()}, "complex": 1j, "complex tensor": torch.ones(2, 3) * 1j, "type": int,
    "module": sys, "objects": np.array([Broken()] * 3), "words": np.array(["a", "b"]), "empty": torch.ones(0, 3),
    "text": "9", "bytes": b"4", "long": list(range(10**6)), "long text": "a" * 10**7, "surrogate": "\udce9",
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_any_answer_gets_a_short_verdict(check, name, capsys):
    check(lambda x: ANSWERS[name])
    text = capsys.readouterr().out
    assert f"{check.name}: not right yet" in text and len(text) < 1500
    assert "it should be" in text or "it should have" in text
    text.encode()                                   # a notebook's output is UTF-8


@pytest.mark.parametrize("name, expected, words", [
    ("sparse", torch.ones(2), "it is a tensor with the layout sparse_coo, it should be a tensor"),
    ("sparse rows", 4.0, "it is a tensor with the layout sparse_csr, it should be a number"),
    ("meta", torch.ones(2), "it is a tensor without numbers, on the device meta, it should be a tensor"),
    ("one on meta", 4.0, "it is a tensor without numbers, on the device meta, it should be a number"),
    ("quantized", torch.ones(2), "it is a quantized tensor, it should be a tensor"),
    ("nested", torch.ones(2), "it is a nested tensor, it should be a tensor"),
    ("jagged", torch.ones(2), "it is a nested tensor, it should be a tensor"),
    ("huge", torch.ones(2), "its shape is (17179869184,), it should be (2,)"),
    ("large", 9.0, "it is too large for a float, it should be 9"),
    ("deep", 9.0, "its type is list, it should be a number"),
    ("broken", 9.0, "its type is Broken, it should be a number"),
    ("broken list", [1, 2], "it cannot be compared (RuntimeError), it should be a list"),
    ("broken text", "b", "it cannot be compared (RuntimeError), it should be a str"),
    ("text", 9.0, "its type is str, it should be a number"),
])  # fmt: skip
def test_what_is_wrong_is_told_in_words(name, expected, words):
    assert difference(ANSWERS[name], expected) == words


def test_what_cannot_be_shown_is_told_in_short():
    assert told(Broken()).startswith("<Broken instance at ")
    assert told(10**5000) == "something of type int that cannot be shown (ValueError)"
    assert told(BrokenText("a")).startswith("<BrokenText instance at ")
    assert told(HUGE) == "a tensor of shape (17179869184,), float32"
    assert told(nested_list(100_000)).startswith("[[[[") and len(told(nested_list(100_000))) < 100
    assert told(torch.ones(99) * 1j) == "a tensor of shape (99,), complex64"
    assert told(np.array(["a"] * 99)) == "a NumPy array of shape (99,), <U1"
    assert told([1.5, "a", None, [2] * 9]) == "[1.5, 'a', None, [2, 2, 2, 2, 2, 2, 2, 2, 2]]"
    assert [told(value) for value in ODD.values()][3:] == [
        "a tensor without numbers, on the device meta", "a quantized tensor", *["a nested tensor"] * 2]


def test_rules_are_not_asked_of_what_is_huge():
    assert is_huge(HUGE) and is_huge([1, HUGE]) and is_huge({"a": HUGE}) and not is_huge(torch.ones(5))
    assert is_huge(np.broadcast_to(1, (MOST + 1,))) and not is_huge(np.broadcast_to(1, (MOST,)))

    @exercise(lambda: [()], rules={"never": lambda answer: pytest.fail("it was asked")})
    def one():
        return torch.ones(1)

    assert "hint" not in one.verdict(lambda: HUGE).text


@pytest.mark.parametrize("found, right", [
    (torch.tensor(True), True), (np.array([True]), True), (np.bool_(True), True), (torch.tensor([False]), False),
    (torch.tensor([True, True]), False),
])  # fmt: skip
def test_a_truth_may_stand_in_an_array(found, right):
    assert (difference(found, True) == "") == right


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error, words", [
    (Silent(), "stopped with Silent: (it cannot say why)"), (ValueError("x" * 10**6), "xxx..."),
    (ValueError("\udce9"), r"stopped with ValueError: \udce9"), (SystemExit(1), "stopped with SystemExit: 1"),
    (MemoryError(), "stopped with MemoryError"), (NotImplementedError(Broken()), "stopped with NotImplementedError"),
])  # fmt: skip
def test_any_error_is_told(error, words, capsys):
    def stopped(x):
        raise error

    square(stopped)
    text = capsys.readouterr().out
    assert words in text and len(text) < 1500 and "in its line 2: raise error" in text


def test_endless_recursion_is_told():
    def again(x):
        return again(x)

    assert "stopped with RecursionError" in square.verdict(again).text


def test_who_interrupts_a_check_is_heard():
    def stopped(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        square.verdict(stopped)


# -- what an answer tells PyTorch ----------------------------------------------------------------------------


def state():
    return (torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(), torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_rng_state().tolist())  # fmt: skip


@pytest.fixture
def untouched():
    """Whatever a test that fails leaves behind is put back, for the tests after it."""
    dtype, threads, rng, before = torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state(), state()
    yield before
    torch.set_default_dtype(dtype)
    torch.set_default_device(None)
    torch.set_num_threads(threads)
    torch.set_rng_state(rng)
    torch.set_grad_enabled(True)
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)


ORDERS = {
    "dtype": lambda: torch.set_default_dtype(torch.float64), "device": lambda: torch.set_default_device("meta"),
    "seed": lambda: torch.manual_seed(5), "random": lambda: torch.randn(3),
    "grad": lambda: torch.set_grad_enabled(False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "warning": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("end", ["right", "wrong", "stopped"])
def test_what_an_answer_tells_pytorch_is_forgotten(untouched, order, end):
    def answer(x):
        order()
        return {"right": 2 * x, "wrong": x}[end]        # and a KeyError if it is to stop

    assert doubled.verdict(answer).kind == ("right" if end == "right" else "wrong")
    assert state() == untouched


def test_ours_is_computed_with_the_defaults_of_before(untouched):
    """And so is the next answer."""
    @exercise(lambda: [(1,), (2,)])
    def ones(n):
        return torch.ones(n)

    def once(n):
        answer = torch.ones(n)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        return answer

    assert ones.verdict(once).kind == "right"
