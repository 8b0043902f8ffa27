"""Metrics on cases whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import TINY_CLIP, normal, randomise
from hypothesis import given, settings
from hypothesis import strategies as st

from minunclip import metrics
from minunclip.clip import CLIP
from minunclip.distances import frechet_distance
from minunclip.metrics import (
    RELATIONS,
    VALUES,
    Estimate,
    Share,
    _with,
    bootstrap,
    everything,
    fidelity,
    judge_accuracy,
    psnr,
    same_facts,
    true_facts,
    zero_shot,
)  # fmt: skip
from minunclip.scenes import Scene, Scenes, Statement, Thing

BIG, SMALL = Thing("circle", "red", "big"), Thing("square", "blue", "small")
SCENE = Scene((BIG, SMALL), "column", "sky", "flat")  # the circle above the square
SWAPPED = replace(SCENE, things=(SMALL, BIG))
ABOVE = Statement((BIG, SMALL), ((0, "above", 1),), "sky", "flat")
SILENT = replace(ABOVE, relations=())


@pytest.fixture(scope="module")
def items():
    return [Scenes("test")[i] for i in range(40)]


def values(shares: dict[str, Share]) -> dict[str, float]:
    return {name: share.value for name, share in shares.items()}


def test_perfect_copies_are_perfect(items):
    scenes = [item.scene for item in items]
    shares = fidelity([item.statement for item in items], scenes)
    assert set(values(shares).values()) == {1.0}
    assert set(shares) == {"caption", "count", *VALUES} and shares["caption"].total == len(items)
    assert set(values(same_facts(scenes, scenes)).values()) == {1.0}
    assert set(values(judge_accuracy(scenes, scenes)).values()) == {1.0}


def test_a_swapped_pair_is_caught_when_the_relation_is_stated():
    found = values(fidelity([ABOVE], [SWAPPED]))
    assert found["caption"] == 0 and found["relation"] == 0
    assert found["kind"] == found["colour"] == found["size"] == 1


def test_a_swapped_pair_is_accepted_when_the_relation_is_not_stated():
    found = values(fidelity([SILENT], [SWAPPED]))
    assert set(found.values()) == {1.0} and "relation" not in found


@pytest.mark.parametrize(("fact", "value"), [("kind", "fish"), ("colour", "pink"), ("size", "small")])
def test_one_wrong_property_costs_that_fact_and_the_caption(fact, value):
    wrong = replace(SCENE, things=(replace(BIG, **{fact: value}), SMALL))
    found = values(fidelity([ABOVE], [wrong]))
    expected = dict.fromkeys(found, 1.0) | {"caption": 0.0, fact: 0.5}
    assert found == expected


@pytest.mark.parametrize(("fact", "value"), [("background", "night"), ("style", "cubist")])
def test_a_wrong_background_or_style(fact, value):
    found = values(fidelity([ABOVE, SILENT], [replace(SCENE, **{fact: value}), SCENE]))
    assert found == dict.fromkeys(found, 1.0) | {"caption": 0.5, fact: 0.5}


def test_traded_colours_are_caught():
    """A blue circle above a red square: the words are all there, bound wrongly."""
    traded = replace(SCENE, things=(replace(BIG, colour="blue"), replace(SMALL, colour="red")))
    assert values(fidelity([SILENT], [traded]))["caption"] == 0
    assert sum(true_facts(SILENT, traded)["colour"]) + sum(true_facts(SILENT, traded)["kind"]) in (2, 3)


def test_a_wrong_number_of_things_is_all_wrong_but_the_scene():
    alone = Scene((BIG,), "alone", "sky", "flat")
    found = values(fidelity([ABOVE], [alone]))
    assert found == dict.fromkeys(found, 0.0) | {"background": 1.0, "style": 1.0}
    assert found["count"] == 0


def test_facts_that_are_not_stated_do_not_count():
    vague = Statement((Thing("circle", None, None), Thing(None, None, None)))
    assert set(fidelity([vague], [SCENE])) == {"caption", "kind", "count"}


def test_true_facts_agree_with_holds_in(items):
    """All facts true under one matching is what it means for a statement to hold."""
    for item, other in zip(items, items[1:], strict=False):
        for scene in (item.scene, other.scene, replace(item.scene, things=item.scene.things[::-1])):
            table = true_facts(item.statement, scene)
            assert all(map(all, table.values())) == item.statement.holds_in(scene)


def test_same_facts_sees_every_pair_of_things():
    three = Scene((BIG, SMALL, BIG), "two above one", "sky", "flat")
    assert everything(three).relations == ((0, "left of", 1), (0, "above", 2), (1, "above", 2))
    found = values(same_facts([SCENE, SCENE], [SCENE, SWAPPED]))
    assert (found["scene"], found["relation"], found["kind"]) == (0.5, 0.5, 1.0)


def test_judge_accuracy_goes_slot_by_slot():
    found = values(judge_accuracy([SCENE], [SWAPPED]))
    assert found == {"layout": 1, "background": 1, "style": 1, "kind": 0, "colour": 0, "size": 0}
    wrong = replace(SCENE, style="cubist", things=(BIG, replace(SMALL, colour="pink")))
    assert values(judge_accuracy([SCENE], [wrong])) == {
        "layout": 1, "background": 1, "style": 0, "kind": 1, "colour": 0.5, "size": 1,
    }  # fmt: skip


# ---- Share


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


# ---- PSNR and zero-shot


def test_psnr_is_its_formula():
    truth = normal(2, 3, 8, 8)
    images = truth + torch.tensor([0.2, 0.02]).view(2, 1, 1, 1)
    torch.testing.assert_close(psnr(images, truth), torch.tensor([20.0, 40.0]), rtol=1e-4, atol=0)


def test_changing_one_fact_of_a_statement():
    assert _with(ABOVE, "style", "cubist").style == "cubist"
    assert _with(ABOVE, "colour", "pink").things == (replace(BIG, colour="pink"), SMALL)
    assert [_with(ABOVE, "relation", word) == ABOVE for word in RELATIONS] == [True, False, False, False]


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, 0.0)])
def test_zero_shot_counts_right_choices(items, monkeypatch, sign, expected):
    """A similarity that is highest for the true caption chooses rightly each time; turned round, never."""
    clip, spoken = randomise(CLIP(TINY_CLIP)), []
    item = next(item for item in items if len(item.scene.things) == 2)

    def similarity(z_i, z_t):
        options, spoken[:] = spoken[:], []
        return sign * torch.tensor([[float(option.holds_in(item.scene)) for option in options]])

    monkeypatch.setattr(metrics, "phrase", lambda statement, rng: spoken.append(statement) or "a star")
    monkeypatch.setattr(clip, "similarity", similarity)
    shares = zero_shot(clip, [item])
    assert values(shares) == dict.fromkeys(VALUES, expected)


def test_zero_shot_asks_for_relations_of_pairs_only(items):
    one = [item for item in items if len(item.scene.things) == 1][:3]
    shares = zero_shot(randomise(CLIP(TINY_CLIP)), one)
    assert set(shares) == set(VALUES) - {"relation"} and shares["kind"].total == len(one)


# ---- intervals by bootstrap


def test_the_interval_of_a_mean_is_the_normal_one():
    """1.96 standard errors to both sides, up to what 4000 draws leave uncertain."""
    values = np.random.default_rng(3).normal(5, 2, 300)
    found = bootstrap(lambda rows: values[rows].mean(), 300, draws=4000)
    reach = 1.96 * values.std() / 300**0.5
    assert found.value == values.mean() and found.total == 300
    assert found.interval == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.06 * reach)


def test_pictures_of_one_caption_count_once():
    """Ten equal pictures of each of 50 captions leave the interval of 50 numbers, not that of 500."""
    captions = np.random.default_rng(4).normal(size=50)
    pictures = np.repeat(captions[:, None], 10, axis=1)
    one, ten = (bootstrap(lambda rows, x=x: x[rows].mean(), 50) for x in (captions, pictures))
    assert ten.interval == pytest.approx(one.interval)


def test_two_models_are_compared_on_the_same_captions():
    """A difference that all captions share has no spread, however different the captions are."""
    ours = np.random.default_rng(5).normal(size=40)
    theirs = ours - 0.25
    found = bootstrap(lambda rows: ours[rows].mean() - theirs[rows].mean(), 40)
    assert (found.value, *found.interval) == pytest.approx((0.25, 0.25, 0.25))


def test_what_few_pictures_add_to_a_distance_is_taken_off():
    """The plug-in distance of two sets from one distribution is positive, and the smaller they are the more so."""
    found = []
    for x, y in torch.randn(8, 2, 60, 4, generator=torch.Generator().manual_seed(6)).double():
        distance = lambda rows, x=x, y=y: frechet_distance(x[rows], y[rows])  # noqa: E731
        plain, unbiased = (bootstrap(distance, 60, draws=100, unbiased=flag) for flag in (False, True))
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
