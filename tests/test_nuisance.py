"""What a scene's seed decides: where it may lie, that it shows, and that no fact can be mistaken for another by it."""

from dataclasses import replace

import numpy as np
import pytest
from scene_helpers import mutants, scenes

from minunclip.scenes import BACKGROUNDS, KINDS, LAYOUTS, STYLES, Scene, Thing, nuisance, render
from minunclip.scenes.facts import ROAM
from minunclip.scenes.nuisance import CELLS

SEEDS = range(300)


def standing(layout: str, sizes: tuple[str, ...], seed: int, roam: float = ROAM) -> list:
    scene = Scene(tuple(Thing("circle", "red", size) for size in sizes), layout, "paper", "flat", seed, roam)
    return list(nuisance(scene).poses)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", ["small", "big"])
@pytest.mark.parametrize("roam", [ROAM, 1.0])
def test_a_thing_stays_in_its_cell_and_nearly_all_of_it_in_the_picture(layout, size, roam):
    for seed in SEEDS:
        poses = standing(layout, (size,) * len(CELLS[layout]), seed, roam)
        for pose, (left, top, right, bottom) in zip(poses, CELLS[layout], strict=True):
            assert left < pose.x < right and top < pose.y < bottom
            assert min(pose.x, pose.y, 1 - pose.x, 1 - pose.y) > 0.94 * pose.radius
            assert max(abs(pose.x - (left + right) / 2), abs(pose.y - (top + bottom) / 2)) <= roam


@pytest.mark.parametrize("layout", [name for name, places in LAYOUTS.items() if len(places) == 2])
@pytest.mark.parametrize("roam", [ROAM, 1.0])
def test_two_things_keep_their_line(layout, roam):
    """What stands left of what, or above, can be seen: the distance along the line is far larger than across it."""
    for seed in SEEDS:
        a, b = standing(layout, ("big", "small"), seed, roam)
        along, across = (b.x - a.x, b.y - a.y) if layout == "row" else (b.y - a.y, b.x - a.x)
        assert along > 0.35 and abs(across) < 0.5 * along


@pytest.mark.parametrize("layout", [name for name, places in LAYOUTS.items() if len(places) == 3])
@pytest.mark.parametrize("roam", [ROAM, 1.0])
def test_the_single_one_of_three_stands_above_or_below_the_pair(layout, roam):
    for seed in SEEDS:
        poses = standing(layout, ("big", "small", "small"), seed, roam)
        single, pair = (poses[0], poses[1:]) if layout == "one above two" else (poses[2], poses[:2])
        assert pair[1].x - pair[0].x > 0.3
        assert all((other.y - single.y) * (1 if layout == "one above two" else -1) > 0.3 for other in pair)


def test_no_small_thing_is_as_large_as_a_big_one():
    small, big = ([standing("alone", (size,), seed)[0].radius for seed in SEEDS] for size in ("small", "big"))
    assert max(small) < 0.81 * min(big) and max(small) > 1.15 * min(small) and max(big) > 1.15 * min(big)


def test_places_turns_and_tints_vary_as_much_as_they_may():
    poses, free = ([standing("alone", ("small",), seed, roam)[0] for seed in SEEDS] for roam in (ROAM, 1.0))
    for values, least in (([p.x for p in poses], 0.04), ([p.y for p in poses], 0.04), ([p.turn for p in poses], 0.15),
                          ([p.x for p in free], 0.15), ([p.y for p in free], 0.15),
                          ([p.tint[0] for p in poses], 0.03), ([p.pattern.turn for p in poses], 0.18)):  # fmt: skip
        assert np.std(values) > least
    assert 0.4 < np.mean([p.mirrored for p in poses]) < 0.6


def test_nuisance_knows_no_fact_but_layout_and_size():
    for scene in scenes(20):
        for fact, other in mutants(scene):
            if fact != "size":
                assert nuisance(other) == nuisance(scene)


@pytest.mark.parametrize(("background", "style"), [(b, "flat") for b in BACKGROUNDS] + [("paper", s) for s in STYLES])
def test_another_seed_shows_everywhere(background, style):
    """Also where no thing is: in the sky, on the ground and in the pattern of the style."""
    scene = Scene((Thing("star", "red", "small"),), "alone", background, style, 1)
    pictures = np.stack([render(replace(scene, seed=seed), 32) for seed in range(12)])
    assert pictures.std(axis=0).min() > 0.004, "some pixel never changes"
    assert pictures.std(axis=0).mean() > 0.02


def test_a_fish_looks_either_way():
    scene = Scene((Thing("fish", "red", "big"),), "alone", "paper", "flat")
    seeds = {nuisance(replace(scene, seed=seed)).poses[0].mirrored: seed for seed in SEEDS}
    assert set(seeds) == {False, True} and "fish" in KINDS


def test_every_thing_of_a_layout_has_its_cell():
    assert CELLS.keys() == LAYOUTS.keys()
    assert all(len(CELLS[name]) == len(places) for name, places in LAYOUTS.items())
