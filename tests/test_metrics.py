"""Metrics on cases whose answer is known."""

from dataclasses import replace

import pytest
import torch
from helpers import TINY_CLIP, normal, randomise

from minunclip.clip import CLIP
from minunclip.evaluation import Share, everything, fidelity, judge_accuracy, psnr, same_facts, true_facts, zero_shot
from minunclip.evaluation import scores as metrics
from minunclip.evaluation.scores import _with
from minunclip.scenes import FACTS, RELATIONS, Scene, Scenes, Statement, Thing

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
    assert set(shares) == {"caption", "count", *FACTS} and shares["caption"].total == len(items)
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


# -- PSNR and zero-shot --------------------------------------------------------------------------------------


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
    assert values(shares) == dict.fromkeys(FACTS, expected)


def test_zero_shot_asks_for_relations_of_pairs_only(items):
    one = [item for item in items if len(item.scene.things) == 1][:3]
    shares = zero_shot(randomise(CLIP(TINY_CLIP)), one)
    assert set(shares) == set(FACTS) - {"relation"} and shares["kind"].total == len(one)
