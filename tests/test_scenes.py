"""The toy world's dataset: its split, its siblings, and what is drawn."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scene_helpers import rng, scenes

from minunclip.scenes import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT,
    KINDS,
    LAYOUT_NAMES,
    SIZES,
    STYLES,
    Scene,
    Scenes,
    Thing,
    describe,
    for_testing,
)
from minunclip.scenes.dataset import exchange
from minunclip.scenes.facts import COUNTS

MANY = 400
CROWD = (0.0, 0.6, 0.4)


@pytest.mark.parametrize("split", ["train", "test", "held-out"])
def test_an_item_is_a_pure_function_of_split_seed_and_number(split):
    first, again = Scenes(split, seed=5), Scenes(split, length=100, seed=5)
    _ = again[3]  # what was asked for before does not matter
    for i in (0, 7, 99):
        assert first[i] == again[i] and torch.equal(first[i].image(), again[i].image())
    assert len({first[i].scene for i in range(20)}) == 20
    assert all(first[i].scene != Scenes(split, seed=6)[i].scene for i in range(20))


@pytest.mark.parametrize("siblings", [1, 4])
def test_roam_is_that_of_every_scene_and_nothing_else_changes(siblings):
    near, far = (Scenes("train", siblings=siblings, roam=roam) for roam in (0.0, 1.0))
    for i in range(12):
        assert (near[i].scene.roam, far[i].scene.roam) == (0.0, 1.0) and near[i].caption == far[i].caption
        assert replace(near[i].scene, roam=1.0) == far[i].scene


def test_splits_do_not_repeat_each_other():
    assert all(Scenes("train")[i].scene != Scenes("test")[i].scene for i in range(20))


@pytest.mark.parametrize("siblings", [1, 4])
def test_training_shows_no_held_out_combination_and_no_test_caption(siblings):
    for i in range(MANY):
        item = Scenes("train", siblings=siblings)[i]
        assert not any((thing.colour, thing.kind) in HELD_OUT for thing in item.scene.things)
        assert not for_testing(item.caption)


def test_test_captions_are_kept_for_testing():
    items = [Scenes("test")[i] for i in range(100)]
    assert all(for_testing(item.caption) and not item.scene.held_out for item in items)
    share = np.mean([for_testing(describe(scene, rng(i))[0]) for i, scene in enumerate(scenes(1000))])
    assert 0.06 < share < 0.14  # one caption in ten, as they come


def test_held_out_scenes_always_show_a_held_out_combination():
    items = [Scenes("held-out")[i] for i in range(100)]
    shown = [{(thing.colour, thing.kind) for thing in item.scene.things} & HELD_OUT for item in items]
    assert all(shown) and set().union(*shown) == HELD_OUT


def test_every_value_of_every_fact_is_drawn():
    drawn = scenes(MANY)
    assert {scene.layout for scene in drawn} == set(LAYOUT_NAMES)
    assert {scene.background for scene in drawn} == set(BACKGROUNDS)
    assert {scene.style for scene in drawn} == set(STYLES)
    things = [thing for scene in drawn for thing in scene.things]
    for fact, values in (("kind", KINDS), ("colour", COLOURS), ("size", SIZES)):
        assert {getattr(thing, fact) for thing in things} == set(values)


def test_the_dataset_ends_and_refuses_unknown_splits():
    assert len(list(Scenes(length=3))) == 3
    for i in (3, -1):
        with pytest.raises(IndexError):
            Scenes(length=3)[i]
    with pytest.raises(ValueError, match="no split 'trian': choose one of train, test, held-out"):
        Scenes("trian")


@pytest.mark.parametrize("counts", [COUNTS, (0.25, 0.45, 0.3), (0.0, 0.0, 1.0)])
def test_scenes_have_as_many_things_as_asked(counts):
    dataset = Scenes("train", counts=counts)
    found = Counter(len(dataset[i].scene.things) for i in range(2000))
    for number, share in zip((1, 2, 3), counts, strict=True):
        assert found[number] / 2000 == pytest.approx(share, abs=0.04)           # 3.6 standard deviations


@pytest.mark.parametrize("counts", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.5, -0.5, 0.0)])
def test_shares_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="give three shares, of one, two and three things, that add up to 1"):
        Scenes("train", counts=counts)


def changes(a: Scene, b: Scene) -> int:
    """At least how many facts were changed on the way from a to b."""
    outside = (a.background != b.background) + (a.style != b.style)
    replaced = (Counter(a.things) - Counter(b.things)).total()
    moved = a.layout != b.layout or (not replaced and a.things != b.things)
    return outside + replaced + moved


def exchanges(a: Scene, b: Scene) -> set[str]:
    """What two scenes of the same things exchanged: "place", or names of facts."""
    changed = [{fact for fact, value in x.facts.items() if y.facts[fact] != value}
               for x, y in zip(a.things, b.things, strict=True) if x != y]  # fmt: skip
    if not changed:
        return set()
    assert len(changed) == 2 and changed[0] == changed[1]
    return {"place"} if Counter(a.things) == Counter(b.things) else changed[0]


def test_siblings_differ_little():
    dataset = Scenes("train", siblings=4)
    counts = [changes(dataset[i - i % 4].scene, dataset[i].scene) for i in range(MANY) if i % 4]
    assert max(counts) <= 5 and np.mean(counts) > 0.8
    strangers = [changes(dataset[i].scene, dataset[i + 4].scene) for i in range(0, MANY, 4)
                 if len(dataset[i].scene.things) == len(dataset[i + 4].scene.things)]  # fmt: skip
    assert np.mean(strangers) > 2.5


def test_twins_exchange_a_place_or_one_fact_of_two_things():
    dataset, seen = Scenes("train", siblings=4, counts=CROWD), Counter()
    for i in range(1, 6 * MANY, 2):
        ours, twin = dataset[i].scene, dataset[i - 1].scene
        if len(ours.things) > 1:
            assert (ours.background, ours.style, ours.layout) == (twin.background, twin.style, twin.layout)
            assert ours.seed != twin.seed
            what = exchanges(ours, twin)
            assert len(what) == 1 or len(set(twin.things)) == 1
            seen.update(what)
            for fact in ("kind", "colour", "size"):                     # nothing new comes in
                assert Counter(t.facts[fact] for t in ours.things) == Counter(t.facts[fact] for t in twin.things)
    total = sum(seen.values())
    assert seen["place"] / total == pytest.approx(0.6, abs=0.1) and seen["colour"] / total > 0.15
    assert min(seen["kind"], seen["size"]) / total > 0.05


def test_things_that_are_alike_in_all_cannot_be_exchanged():
    scene = Scene((Thing("star", "red", "big"),) * 2, "row", "sky", "flat", 5)
    assert exchange(scene, rng(0)).things == scene.things and exchange(scene, rng(0)).seed != 5
