"""Proportions and their intervals, and the bootstrap, on cases whose answer is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minunclip.evaluation import Estimate, Share, bootstrap, frechet_distance

# -- Share ---------------------------------------------------------------------------------------------------


def test_a_share_has_wilsons_interval():
    low, high = Share(81, 263).interval  # the worked example of Newcombe 1998, table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert round(Share(20, 20).interval[0], 4) == 0.8389  # none missed of 20 is no proof of 1
    assert Share(20, 20).interval[1] == pytest.approx(1)
    assert Share(0, 20).interval[0] == pytest.approx(0, abs=1e-12)


def test_a_share_of_nothing_is_not_a_number():
    assert math.isnan(Share(0, 0).value) and all(map(math.isnan, Share(0, 0).interval))


def test_a_share_prints_its_interval():
    assert str(Share(81, 263)) == "0.308 (0.255 to 0.366, n=263)"


# -- intervals by bootstrap ----------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_the_normal_one():
    """1.96 standard errors to both sides, up to what 4000 draws leave uncertain."""
    values = np.random.default_rng(3).normal(5, 2, 300)
    found = bootstrap(lambda rows: values[rows].mean(), 300, draws=4000)
    reach = 1.96 * values.std() / 300**0.5
    assert found.value == values.mean() and found.total == 300
    assert found.interval == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.06 * reach)


def interval_of_mean(x: np.ndarray) -> Estimate:
    return bootstrap(lambda rows: x[rows].mean(), len(x))


def test_pictures_of_one_caption_count_once():
    """Ten equal pictures of each of 50 captions leave the interval of 50 numbers, not that of 500."""
    captions = np.random.default_rng(4).normal(size=50)
    pictures = np.repeat(captions[:, None], 10, axis=1)
    one, ten = (interval_of_mean(x) for x in (captions, pictures))
    assert ten.interval == pytest.approx(one.interval)


def test_two_models_are_compared_on_the_same_captions():
    """A difference that all captions share has no spread, however different the captions are."""
    ours = np.random.default_rng(5).normal(size=40)
    theirs = ours - 0.25
    found = bootstrap(lambda rows: ours[rows].mean() - theirs[rows].mean(), 40)
    assert (found.value, *found.interval) == pytest.approx((0.25, 0.25, 0.25))


def test_what_few_pictures_add_to_a_distance_is_taken_off():
    """The plug-in distance of two sets from one distribution is positive, and the smaller they are the more so."""
    def distance(x: torch.Tensor, y: torch.Tensor, unbiased: bool) -> Estimate:
        return bootstrap(lambda rows: frechet_distance(x[rows], y[rows]), 60, draws=100, unbiased=unbiased)

    found = []
    for x, y in torch.randn(8, 2, 60, 4, generator=torch.Generator().manual_seed(6)).double():
        plain, unbiased = (distance(x, y, flag) for flag in (False, True))
        assert unbiased.interval == pytest.approx([2 * plain.value - end for end in reversed(plain.interval)])
        assert unbiased.interval[0] < unbiased.value < unbiased.interval[1]
        found.append((plain.value, unbiased.value))
    plain, unbiased = np.mean(found, axis=0)
    assert 0 < 2 * abs(unbiased) < plain


@settings(max_examples=25)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12), st.floats(0.1, 10), st.floats(-50, 50))
def test_the_interval_moves_with_its_values(numbers, scale, shift):
    values = np.array(numbers)
    before = bootstrap(lambda rows: values[rows].mean(), len(values), seed=1, draws=50)
    after = bootstrap(lambda rows: (scale * values + shift)[rows].mean(), len(values), seed=1, draws=50)
    assert after.interval == pytest.approx([scale * end + shift for end in before.interval], abs=1e-6)


def test_draws_without_a_number_are_left_out():
    sometimes = np.array([np.nan, 1.0, 1.0])
    found = bootstrap(lambda rows: sometimes[rows].mean(), 3)
    assert math.isnan(found.value) and found.interval == (1, 1)
    assert all(map(math.isnan, bootstrap(lambda rows: math.nan, 3).interval))
    assert str(Estimate(0.5, (0.25, 0.75), 9)) == "0.500 (0.250 to 0.750, n=9)"


def test_one_caption_has_no_interval():
    with pytest.raises(ValueError, match="two or more captions, and there are 1"):
        bootstrap(lambda rows: 0.0, 1)
