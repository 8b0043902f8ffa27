"""Two models at equal fidelity, and how varied pictures can be at all: constructed cases with known answers."""

import math

import numpy as np
import pytest
from paper_helpers import tiny_study

from minunclip.experiments import curves
from minunclip.experiments import guidance as tradeoff
from minunclip.experiments.study import Variety


def variety(fidelity, scenes, styles=1.0, n=5) -> Variety:
    def full(value):
        return np.full(n, float(value))

    return Variety(full(fidelity), full(math.log(scenes)), full(math.log(styles)))


def test_where_a_curve_comes_up_to_a_level():
    curve = np.array([0.5, 0.7, 0.9, 0.8, 0.95])
    places = {0.4: 0, 0.5: 0, 0.6: 0.5, 0.9: 2, 0.92: 3 + 0.12 / 0.15, 0.95: 4}
    for level, place in places.items():
        assert curves.reach(curve, level) == pytest.approx(place)
    assert curves.between([1, 2, 4], 1.25) == 2.5


def test_models_are_compared_at_the_same_fidelity():
    """The first reaches .98 halfway from 1 to 3, the second just at 5; their variety there is 15 against 5."""
    models = {
        "ours": [variety(0.97, 20, 6), variety(0.99, 10, 4), variety(1.0, 1)],
        "theirs": [variety(0.5, 30, 6), variety(0.9, 9, 5), variety(0.98, 5, 2)],
    }
    found = tradeoff.equal_fidelity(models, (1, 3, 5))
    assert {name: pytest.approx(estimate.value) for name, estimate in found.items()} == {
        "level": 0.98, "fidelity, ours": 0.98, "fidelity, theirs": 0.98, "guidance, ours": 2, "guidance, theirs": 5,
        "diversity, ours": 15, "diversity, theirs": 5, "ratio of diversity": 3,
        "style variability, ours": 5, "style variability, theirs": 2, "ratio of style variability": 2.5,
    }  # fmt: skip
    assert found["ratio of diversity"].interval == pytest.approx((3, 3))  # all captions are alike


def test_the_goal_is_lowered_to_what_both_reach():
    models = {"ours": [variety(0.6, 8), variety(0.8, 4)], "theirs": [variety(0.5, 6), variety(0.7, 3)]}
    found = tradeoff.equal_fidelity(models, (1, 2))
    assert found["level"].value == 0.7 and found["guidance, theirs"].value == 2
    assert found["diversity, ours"].value == pytest.approx(6)


def test_the_ratio_has_an_interval_over_captions():
    """Captions that differ give an interval around the ratio; those that share it do not widen it."""
    rng = np.random.default_rng(0)
    base, other = rng.normal(2, 1, 40), rng.normal(1.5, 1, 40)

    def curve(facts):
        return [Variety(np.ones(40), facts, facts)]

    shared = tradeoff.equal_fidelity({"a": curve(base), "b": curve(base - math.log(2))}, (1,))["ratio of diversity"]
    assert (shared.value, *shared.interval) == pytest.approx((2, 2, 2))
    apart = tradeoff.equal_fidelity({"a": curve(base), "b": curve(other)}, (1,))["ratio of diversity"]
    assert apart.interval[0] < apart.value < apart.interval[1]


def test_a_model_that_never_comes_down_to_the_level_says_so():
    """Ours is above the level without guidance already: its own fidelity stands beside the level."""
    models = {"ours": [variety(0.9, 8), variety(0.95, 4)], "theirs": [variety(0.5, 6), variety(0.7, 3)]}
    found = tradeoff.equal_fidelity(models, (1, 2))
    assert (found["level"].value, found["fidelity, ours"].value, found["fidelity, theirs"].value) == (0.7, 0.9, 0.7)
    assert found["guidance, ours"].value == 1 and found["diversity, ours"].value == pytest.approx(8)


def test_only_captions_that_all_can_show_are_compared():
    """The third caption has no two comparable pictures at one guidance of one model: it is left out everywhere."""
    ours, theirs = variety(1, 4, n=3), variety(1, 2, n=3)
    ours.facts[2], theirs.facts[2] = math.log(1000), math.nan
    found = tradeoff.equal_fidelity({"ours": [ours], "theirs": [theirs]}, (1,))
    assert found["ratio of diversity"].value == pytest.approx(2)
    assert np.isnan(tradeoff.comparable({"ours": [ours], "theirs": [theirs]})["ours"][0].facts).tolist() == [0, 0, 1]


def test_the_world_itself_is_all_true_and_varied():
    study = tiny_study()
    most = tradeoff.possible(study)
    assert most.fidelity.tolist() == [1.0] * 4
    open_style = [item.statement.style is None for item in study.groups]
    assert (~np.isnan(most.style)).tolist() == open_style
    assert np.isnan(most.facts).sum() == 0 and max(most.facts) > 1
