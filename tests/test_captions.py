"""The toy world's captions: what they state, and what an independent reader reads in them."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_helpers import mutants, rng, scenes

from minunclip.scenes import (
    COLOURS,
    KINDS,
    LAYOUTS,
    VOCABULARY,
    Scene,
    Statement,
    Thing,
    describe,
    draw_scene,
    full_statement,
    phrase,
    state,
)
from minunclip.scenes.captions import BACKGROUND_WORDS, RELATION_WORDS, SIZE_WORDS, STYLE_PREFIX, STYLE_SUFFIX
from minunclip.scenes.facts import OPPOSITE

seeds = st.integers(0, 2**32 - 1)


# -- captions and what they state ----------------------------------------------------------------------------


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


# -- captions read back by an independent reader -------------------------------------------------------------

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
