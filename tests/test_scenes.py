"""The toy world: its split, its captions, and its pictures."""

import re
from collections import Counter
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minunclip.scenes import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT,
    KINDS,
    LAYOUT_NAMES,
    SIZES,
    STYLES,
    VOCABULARY,
    Scene,
    Scenes,
    Statement,
    Thing,
    describe,
    draw_scene,
    full_statement,
    phrase,
    render,
    state,
    to_tensor,
)  # fmt: skip
from minunclip.scenes.captions import BACKGROUND_WORDS, RELATION_WORDS, SIZE_WORDS, STYLE_PREFIX, STYLE_SUFFIX
from minunclip.scenes.dataset import for_testing
from minunclip.scenes.facts import LAYOUTS, OPPOSITE
from minunclip.scenes.render import Canvas, background
from minunclip.scenes.shapes import SHAPES

MANY = 400
seeds = st.integers(0, 2**32 - 1)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def scenes(n: int, things: int | None = None) -> list[Scene]:
    drawn = (draw_scene(rng(seed)) for seed in count())
    return list(islice((scene for scene in drawn if things in (None, len(scene.things))), n))


# ---- the split


@pytest.mark.parametrize("split", ["train", "test", "held-out"])
def test_an_item_is_a_pure_function_of_split_seed_and_number(split):
    first, again = Scenes(split, seed=5), Scenes(split, length=100, seed=5)
    _ = again[3]  # what was asked for before does not matter
    for i in (0, 7, 99):
        assert first[i] == again[i] and torch.equal(first[i].image(), again[i].image())
    assert len({first[i].scene for i in range(20)}) == 20
    assert all(first[i].scene != Scenes(split, seed=6)[i].scene for i in range(20))


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


def changes(a: Scene, b: Scene) -> int:
    """At least how many facts were changed on the way from a to b."""
    outside = (a.background != b.background) + (a.style != b.style)
    replaced = (Counter(a.things) - Counter(b.things)).total()
    moved = a.layout != b.layout or (not replaced and a.things != b.things)
    return outside + replaced + moved


def test_siblings_differ_little():
    dataset = Scenes("train", siblings=4)
    counts = [changes(dataset[i - i % 4].scene, dataset[i].scene) for i in range(MANY) if i % 4]
    assert max(counts) <= 3 and np.mean(counts) > 0.8
    for i in range(1, MANY, 2):                                                 # twins: who stands where, no more
        ours, twin = dataset[i].scene, dataset[i - 1].scene
        if len(ours.things) > 1:
            assert Counter(ours.things) == Counter(twin.things) and ours.layout == twin.layout
            assert (ours.background, ours.style) == (twin.background, twin.style)
            assert ours.things != twin.things or len({*twin.things}) < len(twin.things)
    strangers = [changes(dataset[i].scene, dataset[i + 4].scene) for i in range(0, MANY, 4)
                 if len(dataset[i].scene.things) == len(dataset[i + 4].scene.things)]  # fmt: skip
    assert np.mean(strangers) > 2.5


# ---- captions and what they state


@settings(max_examples=200)
@given(seeds)
def test_a_statement_holds_in_its_own_scene(seed):
    scene = draw_scene(rng(seed))
    caption, statement = describe(scene, rng(seed + 1))
    assert statement.holds_in(scene)
    words = caption.replace(",", "").split()
    assert set(words) <= set(VOCABULARY) and len(words) <= 30


def test_the_fullest_captions_fit_too():
    for seed, scene in enumerate(scenes(100, things=3)):
        caption = phrase(full_statement(scene, rng(seed)), rng(seed))
        assert len(caption.split()) <= 30, caption


def test_every_word_is_used():
    said = {word for seed, scene in enumerate(scenes(1000)) for word in describe(scene, rng(seed))[0].split()}
    assert {word.rstrip(",") for word in said} == set(VOCABULARY)


def others(values: tuple[str, ...], value: str) -> list[str]:
    return [other for other in values if other != value]


def with_thing(scene: Scene, n: int, **facts) -> Scene:
    things = list(scene.things)
    things[n] = replace(things[n], **facts)
    return replace(scene, things=tuple(things))


def mutants(scene: Scene):
    """(fact, scene with that one fact changed), every fact and every value."""
    for fact, values in (("background", BACKGROUNDS), ("style", STYLES)):
        yield from ((fact, replace(scene, **{fact: value})) for value in others(values, getattr(scene, fact)))
    for n, thing in enumerate(scene.things):
        for fact, values in (("kind", KINDS), ("colour", COLOURS), ("size", SIZES)):
            yield from ((fact, with_thing(scene, n, **{fact: v})) for v in others(values, getattr(thing, fact)))


def test_a_full_statement_fails_when_any_fact_changes():
    for seed, scene in enumerate(scenes(60)):
        statement = full_statement(scene, rng(seed))
        for fact, mutant in mutants(scene):
            assert not statement.holds_in(mutant), (fact, statement, mutant)


def test_a_partial_statement_fails_exactly_when_a_stated_fact_changes():
    for seed, scene in enumerate(scenes(100, things=1)):
        statement = state(scene, rng(seed))
        stated = {**vars(statement), **vars(statement.things[0])}
        for fact, mutant in mutants(scene):
            assert statement.holds_in(mutant) == (stated[fact] is None), (fact, statement, mutant)


def test_a_stated_relation_fails_when_things_swap_places():
    for seed, scene in enumerate(scenes(60, things=2)):
        if scene.things[0] == scene.things[1]:
            continue
        swapped = replace(scene, things=scene.things[::-1])
        turned = replace(scene, layout={"row": "column", "column": "row"}[scene.layout])
        statement = full_statement(scene, rng(seed))
        assert not statement.holds_in(swapped) and not statement.holds_in(turned)
        silent = replace(statement, relations=())
        assert silent.holds_in(swapped) and silent.holds_in(turned)


def test_three_things_upside_down_are_another_scene():
    for seed, scene in enumerate(scenes(40, things=3)):
        if len(set(scene.things)) < 3:
            continue
        layout = {"one above two": "two above one", "two above one": "one above two"}[scene.layout]
        assert not full_statement(scene, rng(seed)).holds_in(replace(scene, layout=layout))


def test_another_number_of_things_never_fits():
    one = Statement((Thing(None, None, None),))
    assert [one.holds_in(scene) for scene in scenes(50)] == [len(scene.things) == 1 for scene in scenes(50)]


def test_one_matching_must_make_everything_true():
    """A red circle and a blue square are no blue circle, though blue and circle are both there."""
    scene = Scene((Thing("circle", "red", "big"), Thing("square", "blue", "big")), "row", "sky", "flat")
    assert Statement((Thing("square", None, None), Thing(None, "red", None))).holds_in(scene)
    assert not Statement((Thing("circle", "blue", None), Thing(None, None, None))).holds_in(scene)


def test_relations_are_consistent():
    for layout, places in LAYOUTS.items():
        scene = Scene((Thing("star", "red", "big"),) * len(places), layout, "sky", "flat")
        for i, (x_i, y_i) in enumerate(places):
            for j, (x_j, y_j) in enumerate(places):
                if i == j:
                    continue
                word = scene.relation(i, j)
                assert scene.relation(j, i) == OPPOSITE[word] and OPPOSITE[OPPOSITE[word]] == word
                truth = {"above": y_i < y_j, "below": y_i > y_j, "left of": x_i < x_j, "right of": x_i > x_j}
                assert truth[word]


# ---- captions read back by an independent reader

NAME = re.compile(rf"an? (\w+) ({'|'.join(COLOURS)}) ({'|'.join(KINDS)})")
SIZE_OF = {word: size for size, options in SIZE_WORDS.items() for word in options}
RELATION_OF = {word: relation for relation, options in RELATION_WORDS.items() for word in options}
RELATION = "|".join(sorted(RELATION_OF, key=len, reverse=True))


def read(caption: str) -> tuple[list[Thing], list[tuple[int, str, int]]]:
    """The things of a caption that says everything, and the relations between them, by its grammar."""
    things = [Thing(kind, colour, SIZE_OF[size]) for size, colour, kind in NAME.findall(caption)]
    text = NAME.sub("@", caption)
    if match := re.search(rf"@ ({RELATION}) @, both ({RELATION}) @", text):
        side, word = (RELATION_OF[group] for group in match.groups())
        return things, [(0, side, 1), (0, word, 2), (1, word, 2)]
    if match := re.search(rf"@ and @ ({RELATION}) @", text):
        return things, [(i, RELATION_OF[match[1]], 2) for i in (0, 1)]
    if match := re.search(rf"@ ({RELATION}) @ and @", text):
        return things, [(0, RELATION_OF[match[1]], i) for i in (1, 2)]
    match = re.search(rf"@ ({RELATION}) @", text)
    return things, [(0, RELATION_OF[match[1]], 1)] if match else []


@pytest.mark.parametrize("things", [1, 2, 3])
def test_captions_say_what_their_statements_state(things):
    for seed, scene in enumerate(scenes(100, things)):
        statement = full_statement(scene, rng(seed))
        caption = phrase(statement, rng(seed + 1))
        named, relations = read(caption)
        assert Counter(named) == Counter(scene.things), caption
        assert len(relations) >= things - 1
        assert Statement(tuple(named), tuple(relations)).holds_in(scene), caption
        assert any(words in caption for words in BACKGROUND_WORDS[scene.background]), caption
        assert any(words in caption for words in STYLE_PREFIX[scene.style] + STYLE_SUFFIX[scene.style]), caption


def test_captions_say_nothing_that_is_not_stated():
    for seed, scene in enumerate(scenes(200)):
        caption, statement = describe(scene, rng(seed))
        words = Counter(caption.replace(",", "").split())
        for fact, values in (("kind", KINDS), ("colour", COLOURS)):
            stated = Counter(getattr(thing, fact) for thing in statement.things)
            assert all(words[value] == stated[value] for value in values), caption
        for fact, phrases in (("background", BACKGROUND_WORDS), ("style", STYLE_PREFIX), ("style", STYLE_SUFFIX)):
            for value, options in phrases.items():
                if getattr(statement, fact) != value:
                    assert not any(words in caption for words in options), caption


# ---- pictures


def test_shape_range_and_determinism():
    for scene in scenes(30):
        picture = render(scene, 32)
        assert picture.shape == (32, 32, 3) and picture.dtype == np.float32
        assert picture.min() >= 0 and picture.max() <= 1
        assert np.array_equal(picture, render(scene, 32))


def test_to_tensor():
    picture = render(scenes(1)[0], 16)
    tensor = to_tensor(picture)
    assert tensor.shape == (3, 16, 16) and tensor.is_contiguous()
    assert tensor[1, 2, 3].item() == pytest.approx(picture[2, 3, 1] * 2 - 1)


@pytest.mark.parametrize("side", [32, 128])
def test_a_crop_equals_that_part_of_the_whole(side):
    for i, scene in enumerate(scenes(30)):
        left, top = rng(i).integers(0, side - side // 4 + 1, 2)
        part = render(scene, side)[top : top + side // 4, left : left + side // 4]
        assert np.array_equal(render(scene, side, (int(left), int(top), side // 4)), part), scene


def shrink(picture: np.ndarray, side: int) -> np.ndarray:
    factor = len(picture) // side
    return picture.reshape(side, factor, side, factor, 3).mean(axis=(1, 3))


def test_a_small_picture_is_the_large_one_shrunk():
    """Distances blur edges over one pixel, which is nearly, not exactly, the mean over the pixel."""
    errors = [np.abs(shrink(render(scene, 128), 32) - render(scene, 32)).mean() for scene in scenes(60)]
    assert np.mean(errors) < 0.01 and max(errors) < 0.03
    scene, other = scenes(2)
    assert np.abs(shrink(render(scene, 128), 32) - render(other, 32)).mean() > 0.05


def test_every_fact_shows():
    """Change any one fact, keep the seed: the picture changes, and for a thing only near the things."""
    for scene in scenes(8):
        before = render(scene, 32)
        for fact, mutant in mutants(scene):
            assert np.abs(render(mutant, 32) - before).mean() > 0.001, (fact, scene, mutant)
    for scene in scenes(8, things=2):
        if scene.things[0] != scene.things[1]:
            swapped = replace(scene, things=scene.things[::-1])
            assert np.abs(render(scene, 32) - render(swapped, 32)).mean() > 0.003


def test_things_stand_where_the_layout_says():
    """The centre of what differs from the bare ground is near the thing's place."""
    for scene in scenes(60, things=1):
        canvas = Canvas.of(64)
        changed = np.abs(render(scene, 64) - np.clip(background(scene, canvas), 0, 1)).sum(-1) > 0.15
        centre = canvas.x[changed].mean(), canvas.y[changed].mean()
        assert np.abs(np.array(centre) - 0.5).max() < 0.19, scene


GRID = np.meshgrid(np.linspace(-2, 2, 201), np.linspace(-2, 2, 201))
EXACT = ("circle", "square", "triangle", "star", "heart", "moon")  # flower and fish are near enough


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_is_inside_out_and_about_one_unit_wide(kind):
    distance = SHAPES[kind](*GRID)
    centre = (-0.6, 0.0) if kind == "moon" else (-0.2, 0.05)
    assert SHAPES[kind](*map(np.array, centre)) < -0.1
    assert all((edge > 0.2).all() for edge in (distance[0], distance[-1], distance[:, 0], distance[:, -1]))
    u, v = (axis[distance < 0] for axis in GRID)
    assert 0.75 < np.abs(u).max() < 1.15 and 0.5 < np.abs(v).max() < 1.15
    assert 0.15 < (distance < 0).mean() * 16 / np.pi < 1.0  # its area, in unit discs


def slopes(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The distance at many points, and how fast it changes there."""
    (u, v), h = (axis + 0.003 for axis in GRID), 1e-5
    at = SHAPES[kind]
    return at(u, v), np.hypot(at(u + h, v) - at(u - h, v), at(u, v + h) - at(u, v - h)) / (2 * h)


@pytest.mark.parametrize("kind", EXACT)
def test_exact_distances_change_by_one_per_unit(kind):
    _, slope = slopes(kind)
    assert (np.abs(slope - 1) < 1e-3).mean() > 0.98  # all but a few points on a crease


@pytest.mark.parametrize("kind", ["flower", "fish"])
def test_the_other_distances_are_near_enough_at_the_edge(kind):
    distance, slope = slopes(kind)
    slope = slope[np.abs(distance) < 0.05]
    assert np.quantile(slope, 0.05) > 0.5 and np.quantile(slope, 0.95) < 2
