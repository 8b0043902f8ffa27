"""Diversity on sets of scenes whose number is known."""

import math
from collections import Counter
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minunclip.evaluation import complete, effective_number, entropies, entropy, everything, open_style
from minunclip.evaluation.variety import diversity, open_facts
from minunclip.scenes import BACKGROUNDS, SIZES, STYLES, Scene, Scenes, Statement, Thing

CIRCLE, SQUARE = Thing("circle", "red", "big"), Thing("square", "blue", "small")
SCENE = Scene((CIRCLE,), "alone", "sky", "flat")
PAIR = Scene((CIRCLE, SQUARE), "column", "sky", "flat")  # the circle above the square
VAGUE = Statement((Thing("circle", "red", None),))  # "a red circle"
MANY = 100  # pictures of each scene: so many that what was seen is what there is


def number(statement: Statement, scenes: list[Scene], facts=open_facts) -> float:
    return effective_number(entropies([statement], [scenes], facts))


# -- constructed sets of scenes ------------------------------------------------------------------------------


def test_one_scene_is_one():
    """Whatever the number of pictures, and although the things are moved a little in each."""
    for n in (2, 3, 16):
        assert number(VAGUE, [replace(SCENE, seed=i) for i in range(n)]) == 1
    found = diversity([VAGUE] * 3, [[SCENE] * 5] * 3)
    assert (found.value, found.interval, found.total) == (1, (1, 1), 3)


@pytest.mark.parametrize("k", range(1, 7))
def test_k_styles_are_k(k):
    scenes = [replace(SCENE, style=style) for style in STYLES[:k]] * MANY
    assert number(VAGUE, scenes) == pytest.approx(k, rel=0.01)
    assert number(VAGUE, scenes, open_style) == pytest.approx(k, rel=0.01)
    two = entropies([VAGUE] * 2, [scenes] * 2, open_style)
    assert two.shape == (2,) and effective_number(two) == pytest.approx(k, rel=0.01)


def test_a_rare_style_counts_less():
    """Nine in ten flat, one in ten dotted: exp of that entropy."""
    scenes = [replace(SCENE, style=style) for style in ["flat"] * 9 + ["dotted"]] * MANY
    assert number(VAGUE, scenes) == pytest.approx(math.exp(-0.9 * math.log(0.9) - 0.1 * math.log(0.1)), rel=0.01)


def test_independent_facts_multiply():
    made = {
        (background, style, size): Scene((replace(CIRCLE, size=size),), "alone", background, style)
        for background, style, size in product(BACKGROUNDS[:3], STYLES[:4], SIZES)
    }
    assert number(VAGUE, [*made.values()] * MANY) == pytest.approx(24, rel=0.01)
    paper = [scene for scene in made.values() if scene.background == "paper"]
    assert number(replace(VAGUE, background="paper"), paper * MANY) == pytest.approx(8, rel=0.01)


def test_facts_that_change_together_count_once():
    """Four styles, each on its own background, are four scenes and not sixteen."""
    pairs = zip(STYLES[:4], BACKGROUNDS[:4], strict=True)
    scenes = [replace(SCENE, style=style, background=background) for style, background in pairs]
    assert number(VAGUE, scenes * MANY) == pytest.approx(4, rel=0.01)


def test_what_the_caption_states_does_not_count():
    """A model that contradicts its caption in many ways is not diverse."""
    said = Statement((Thing("circle", None, "big"),), (), "sky", "flat")
    wrong = [Scene((Thing(kind, "red", size),), "alone", background, style) for kind, size, background, style
             in product(("fish", "star"), SIZES, BACKGROUNDS, STYLES)]  # fmt: skip
    assert number(said, wrong) == 1
    assert open_facts(said, wrong[0]) == {(("colour 0", "red"),)}


def test_pictures_with_another_number_of_things_are_left_out():
    two = [replace(PAIR, style=style) for style in STYLES]
    assert open_facts(VAGUE, PAIR) is None
    assert number(VAGUE, [SCENE] * 4 + two) == 1
    assert math.isnan(number(VAGUE, [SCENE] + two))  # one picture alone has no variety to measure
    assert number(VAGUE, [SCENE] * 4 + two, open_style) > 2


def test_captions_that_leave_nothing_open_are_left_out():
    said = everything(SCENE)
    assert open_facts(said, SCENE) == open_style(said, SCENE) == frozenset()
    styles = [replace(SCENE, style=style) for style in STYLES[:3]] * MANY
    found = diversity([said, VAGUE, VAGUE], [styles] * 3)
    assert found.total == 2 and found.value == pytest.approx(3, rel=0.01)
    with pytest.raises(ValueError, match="1 captions leave something open"):
        diversity([said, VAGUE], [styles] * 2)


def test_the_number_of_several_captions_is_their_geometric_mean():
    few, many = ([replace(SCENE, style=style) for style in STYLES[:k]] * MANY for k in (1, 4))
    assert diversity([VAGUE] * 2, [few, many]).value == pytest.approx(2, rel=0.01)
    assert math.isnan(effective_number(np.array([math.nan])))


# -- which facts are open ------------------------------------------------------------------------------------


def facts_of(statement: Statement, scene: Scene) -> dict[str, str]:
    """The open facts where they can be read in one way only."""
    (facts,) = open_facts(statement, scene)
    return dict(facts)


def test_the_open_facts_of_two_things():
    said = Statement((Thing("square", None, "small"), Thing(None, "red", None)), (), None, "flat")
    assert facts_of(said, PAIR) == {
        "colour 0": "blue", "kind 1": "circle", "size 1": "big", "relation 0 1": "below", "background": "sky",
    }  # fmt: skip
    related = replace(said, relations=((1, "above", 0),))
    assert "relation 0 1" not in facts_of(related, PAIR)


def test_equal_things_have_no_order():
    """"a circle and a circle": either may be the first, but red above blue and blue above red are two scenes."""
    twice = Statement((Thing("circle", None, "big"), Thing("circle", None, "big")))
    red, blue = CIRCLE, replace(CIRCLE, colour="blue")
    above, below = replace(PAIR, things=(red, blue)), replace(PAIR, things=(blue, red))
    rest = (("background", "sky"), ("style", "flat"))
    assert open_facts(twice, above) == {
        (("colour 0", "red"), ("colour 1", "blue"), ("relation 0 1", "above"), *rest),
        (("colour 0", "blue"), ("colour 1", "red"), ("relation 0 1", "below"), *rest),
    }
    assert number(twice, [above, below] * MANY) == pytest.approx(2, rel=0.01)


def renamed(statement: Statement, order: list[int]) -> Statement:
    """The same statement with its things named in another order."""
    place = order.index
    relations = tuple((place(i), word, place(j)) for i, word, j in statement.relations)
    return replace(statement, things=tuple(statement.things[n] for n in order), relations=relations)


@settings(max_examples=25)
@given(st.integers(0, 300), st.randoms(use_true_random=False))
def test_the_order_of_words_and_of_pictures_does_not_matter(i, random):
    item = Scenes("test")[i]
    n = len(item.scene.things)
    scenes = [replace(item.scene, things=order, style=style)
              for order in permutations(item.scene.things) for style in STYLES[:2]]  # fmt: skip
    scenes += [replace(item.scene, background=background) for background in BACKGROUNDS]
    before = entropies([item.statement], [scenes])
    order = random.sample(range(n), n)
    random.shuffle(scenes)
    np.testing.assert_allclose(entropies([renamed(item.statement, order)], [scenes]), before)


@settings(max_examples=25)
@given(st.integers(0, 300))
def test_a_caption_that_says_more_leaves_fewer_facts_open(i):
    item = Scenes("test")[i]
    fuller = replace(item.statement, style=item.scene.style, background=item.scene.background)
    without = {tuple(fact for fact in facts if fact[0] not in ("style", "background"))
               for facts in open_facts(item.statement, item.scene)}  # fmt: skip
    assert open_facts(fuller, item.scene) == without - {()}


# -- the estimate --------------------------------------------------------------------------------------------


def plug_in(values) -> float:
    shares = np.array([*Counter(values).values()]) / len(values)
    return float(-(shares * np.log(shares)).sum())


def by_its_definition(counts: list[int]) -> float:
    """The sum over k: chances counted with binomial coefficients below n, extrapolated from n on."""
    n, once, twice = sum(counts), counts.count(1), counts.count(2)
    total = sum(x / n * math.comb(n - x, k) / math.comb(n - 1, k) / k for k in range(1, n) for x in counts)
    if once:
        a = 2 * twice / ((n - 1) * once + 2 * twice) if twice else 2 / ((n - 1) * (once - 1) + 2)
        total += sum(once / n * (1 - a) ** (k - n + 1) / k for k in range(n, 20 * n * n + 50))
    return total


@given(st.lists(st.integers(1, 4), min_size=1, max_size=10))
def test_the_estimate_is_the_sum_that_defines_it(counts):
    assume(sum(counts) > 1)
    values = [i for i, count in enumerate(counts) for _ in range(count)]
    assert entropy(values) == pytest.approx(by_its_definition(counts), rel=1e-9, abs=1e-12)
    assert entropy(values) >= 0 and entropy(values[::-1]) == pytest.approx(entropy(values))


@pytest.mark.parametrize("scenes", [6, 30, 60])
def test_sixteen_pictures_are_enough(scenes):
    """The mean over many captions comes near the true number, where the samples' own entropy stays far below."""
    rng = np.random.default_rng(scenes)
    drawn = [rng.integers(scenes, size=16).tolist() for _ in range(400)]
    found, naive = (effective_number(np.array([measure(values) for values in drawn])) for measure in (entropy, plug_in))
    assert found == pytest.approx(scenes, rel=0.15)
    assert naive < 0.85 * scenes and (scenes == 6 or naive < 0.5 * scenes)


def test_many_pictures_that_are_all_different():
    """No two alike of n: the number is of the order of n^2 / 2, as with birthdays; and nothing takes long."""
    assert 200**2 / 8 < math.exp(entropy(range(200))) < 2 * 200**2
    assert math.isfinite(entropy(range(20_000)))


def test_one_sample_tells_nothing():
    with pytest.raises(ValueError, match="1 sample tells nothing"):
        entropy(["flat"])


# -- what a perfect model would draw -------------------------------------------------------------------------


@pytest.mark.parametrize("i", range(12))
def test_a_completed_caption_is_true_of_its_scene(i):
    said, rng = Scenes("test", 12, seed=100)[i].statement, np.random.default_rng(0)
    scenes = [complete(said, rng) for _ in range(20)]
    assert all(said.holds_in(scene) and not scene.held_out for scene in scenes)
    everything_open = Statement((Thing(None, None, None),) * 2)
    assert complete(everything_open, rng) != complete(everything_open, rng)


def test_completed_scenes_are_as_varied_as_the_world():
    """A red circle: two sizes, five backgrounds, six styles. Not two shapes: three in 64 are held out."""
    rng = np.random.default_rng(1)
    assert number(VAGUE, [complete(VAGUE, rng) for _ in range(3000)]) == pytest.approx(60, rel=0.02)
    shape = Statement((Thing(None, None, "big"),), background="sky", style="flat")
    assert number(shape, [complete(shape, rng) for _ in range(3000)]) == pytest.approx(61, rel=0.02)


def test_a_held_out_combination_can_be_asked_for():
    said = Statement((Thing("star", "purple", None),))
    assert complete(said, np.random.default_rng(0)).held_out
