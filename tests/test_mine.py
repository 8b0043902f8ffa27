"""`checks.mine`: a right answer is what the notebook goes on with, and ours where it is wrong or would do harm."""

import functools

import pytest
import torch
from helpers import normal
from mine_helpers import FIRST, LIBRARY, answer, library_kept, said

from minunclip.clip import contrastive_loss
from minunclip.course import checks
from minunclip.course.checks.core import CHECKS
from minunclip.course.checks.substitution import HELD, PLACES, YOURS, as_ours
from minunclip.diffusion import Diffusion, guidance


def q_sample(x_0, t, eps, alphas_bar):
    alpha_bar = alphas_bar[t].view(-1, *[1] * (x_0.ndim - 1))
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def test_a_right_answer_is_used_by_the_library(capsys):
    calls = []
    mine, text = said(answer("guide", calls), capsys)
    assert text == ("guide: right, on all 3 inputs. From here on it is yours: every guided picture and embedding goes "
                    "through it.\n")  # fmt: skip
    calls.clear()
    guided = guidance.guided(lambda x_t, t: x_t * t.view(-1, 1), 3.0)
    assert torch.allclose(guided(torch.ones(2, 3), torch.tensor([1.0, 2.0])), torch.tensor([[1.0], [2.0]]).expand(2, 3))
    assert calls == ["guide"] and repr(mine) == "<guide, yours>"
    assert torch.equal(mine(normal(2, 3), normal(2, 3, seed=2), 1.0), normal(2, 3, seed=2)) and calls == ["guide"] * 2


@pytest.mark.parametrize("wrong, words", [
    (lambda *_: (_ for _ in ()).throw(NotImplementedError),
     "q_sample: not filled in yet. Write it above, then run both cells again. The course goes on with ours.\n"),
    (lambda x_0, t, eps, table: x_0, "hint: your answer is x_0, as it came in\nThe course goes on with ours.\n"),
], ids=["empty", "wrong"])  # fmt: skip
def test_a_wrong_answer_or_none_leaves_the_librarys(wrong, words, capsys):
    wrong.__name__ = "q_sample"
    mine, text = said(wrong, capsys)
    assert mine is CHECKS["q_sample"].reference and words in text and not HELD
    assert Diffusion.__dict__["q_sample"] is LIBRARY["q_sample"]


def test_an_answer_that_became_wrong_is_taken_out_again(capsys):
    checks.mine(q_sample)
    assert Diffusion.__dict__["q_sample"] is not LIBRARY["q_sample"]

    def spoiled(x_0, t, eps, alphas_bar):
        return x_0

    spoiled.__name__ = "q_sample"
    checks.mine(spoiled)
    assert Diffusion.__dict__["q_sample"] is LIBRARY["q_sample"]


def test_running_the_cell_again_changes_nothing(capsys):
    first = checks.mine(q_sample)
    second, text = said(first, capsys)
    assert second.function is first.function is q_sample and text.endswith("it noises every example of a training.\n")
    ours, text = said(CHECKS["q_sample"].reference, capsys)
    assert text == "q_sample: this is ours. Run the cell with yours, then this one again.\n" and not YOURS
    assert ours is CHECKS["q_sample"].reference


def test_a_name_that_is_no_exercise_is_refused():
    with pytest.raises(ValueError, match="no exercise is called 'my_function'"):
        checks.mine(type("my_function", (), {}))
    with pytest.raises(ValueError, match="no exercise is called 'float'"):
        checks.mine(3.0)


def test_what_is_yours_is_listed():
    assert "Nothing is yours yet" in checks.in_use().data
    checks.mine(q_sample)
    checks.mine(answer("patchify"))
    assert "| `q_sample` | it noises every example of a training |" in checks.in_use().data
    assert "| `patchify` | the notebook goes on with it |" in checks.in_use().data
    checks.restore("q_sample")
    assert "q_sample" not in checks.in_use().data and "patchify" in checks.in_use().data
    assert Diffusion.__dict__["q_sample"] is LIBRARY["q_sample"]


def test_the_library_is_put_back_when_something_fails():
    with pytest.raises(KeyError), checks.borrowed():
        checks.mine(q_sample)
        raise KeyError
    assert not YOURS and Diffusion.__dict__["q_sample"] is LIBRARY["q_sample"]


# -- what would spoil a training is not used -----------------------------------------------------------------


def in_place(x_0, t, eps, alphas_bar):
    alpha_bar = alphas_bar[t].view(-1, *[1] * (x_0.ndim - 1))
    return x_0.mul_(alpha_bar.sqrt()).add_((1 - alpha_bar).sqrt() * eps)


def asleep(x_0, t, eps, alphas_bar):
    return q_sample(x_0, t, eps, alphas_bar)


def by_heart(x_0, t, eps, alphas_bar):
    return {2: q_sample, 3: q_sample, 4: q_sample}[len(x_0)](x_0, t, eps, alphas_bar)


def on_few(x_0, t, eps, alphas_bar):
    return q_sample(x_0, t.clamp(max=100), eps, alphas_bar)


def detached(z_i, z_t, scale):
    return contrastive_loss(z_i.detach(), z_t.detach(), torch.as_tensor(scale).log())


@pytest.mark.parametrize("name, function, reason", [
    ("q_sample", in_place, "changes x_0 in place"), ("q_sample", asleep, "takes 0.1"),
    ("q_sample", by_heart, "stops with KeyError on the inputs that the library has"),
    ("q_sample", on_few, "is wrong on the inputs that the library has"),
    ("clip_loss", detached, "lets no gradient through"),
    ("next_token_loss", lambda logits, tokens: LIBRARY["next_token_loss"](logits, tokens).detach().numpy(),
     "lets no gradient through"),
    ("posterior_mean", FIRST["posterior_mean"][1], "is wrong on the inputs that the library has"),      # nan at x_0
    ("keep_best", lambda z_i, z_t, n: LIBRARY["keep_best"](z_i.mul_(1.5).div_(1.5), z_t, n) + 0 * z_i.add_(1).sum(),
     "changes z_i in place"),
])  # fmt: skip
def test_a_right_answer_that_would_spoil_the_library_is_not_used(name, function, reason, capsys):
    @functools.wraps(function)
    def renamed(*arguments):
        return function(*arguments)

    renamed.__name__ = name
    found, text = said(renamed, capsys)
    assert "right, on all" in text and f"The course goes on with ours, because yours {reason}" in " ".join(text.split())
    assert found is CHECKS[name].reference and PLACES[name].now is LIBRARY[name]


def test_an_error_says_whose_function_it_was():
    def picky(x_0, t, eps, alphas_bar):
        if len(x_0) == 7:
            raise ArithmeticError("seven")
        return q_sample(x_0, t, eps, alphas_bar)

    picky.__name__ = "q_sample"
    checks.mine(picky)
    with pytest.raises(ArithmeticError, match="seven") as error:
        Diffusion().q_sample(torch.ones(7, 2), torch.arange(7), torch.ones(7, 2))
    [note] = error.value.__notes__
    assert "This happened in your q_sample" in note and "checks.restore()" in note


def test_answers_come_in_our_kind():
    one = torch.ones(2)
    assert as_ours(one.double(), one).dtype == torch.float32 and as_ours(one.double(), one, True).dtype == torch.float64
    assert as_ours(one.numpy(), one).dtype == torch.float32 and as_ours(one.int(), one.long()).dtype == torch.int64
    assert as_ours(torch.tensor(2.5), 1.0) == 2.5 and isinstance(as_ours(torch.tensor(2.5), 1.0), float)
    assert isinstance(as_ours([one.double(), one], (one, one)), tuple) and as_ours("none", "disk") == "none"
    assert as_ours(one.bfloat16(), one).dtype == torch.bfloat16
