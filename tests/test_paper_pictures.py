"""Variations, interpolations, text diffs, probing and inversion, read by a judge whose answers are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from paper_helpers import FEW, tiny_study, told

from minunclip.embeddings import PCA
from minunclip.experiments import Study
from minunclip.experiments import probing as copies
from minunclip.experiments import text_diffs as words
from minunclip.experiments import variations as alike
from minunclip.experiments.study import pooled
from minunclip.manipulations import Latent
from minunclip.scenes import FACTS, SCENE_FACTS, Scene, Thing, with_fact

CIRCLE, SQUARE = Thing("circle", "red", "big"), Thing("square", "blue", "small")
PAIR = Scene((CIRCLE, SQUARE), "column", "sky", "flat")         # the circle above the square


@pytest.fixture(scope="module")
def study() -> Study:
    return tiny_study()


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    for part in (alike, words):
        monkeypatch.setattr(part, "STEPS", 2)


def restyled(scenes: list[Scene]) -> list[Scene]:
    return [replace(scene, style="flat" if scene.style != "flat" else "dotted") for scene in scenes]


def test_a_pooled_share_counts_facts_and_draws_pictures():
    found = pooled(np.array([1, 0, 3]), np.array([2, 0, 4]), seed=0)
    assert found.value == pytest.approx(4 / 6) and found.total == 3 and found.interval[0] < found.value
    assert pooled(np.array([2, 2]), np.array([2, 2]), seed=0).interval == (1, 1)


# -- variations and interpolations ---------------------------------------------------------------------------


def test_the_facts_that_a_variation_keeps(study, monkeypatch):
    """Drawn again, all is kept; varied, the style is not; guided, nothing has the right number of things."""
    scenes = [item.scene for item in study.originals]
    crowds = [replace(scene, things=(CIRCLE,) * 4) for scene in scenes]
    shown = told(monkeypatch, [scenes, restyled(scenes), crowds])
    again, varied, guided, other = alike.variations(study)["facts kept by a variation"]
    assert shown == [10, 10, 10]

    def share(row, *facts):
        return [row[fact].value for fact in facts]

    assert share(again, "scene", "kind", "style") == [1, 1, 1]
    assert share(varied, "scene", "kind", "style", "background") == [0, 1, 0, 1]
    assert share(guided, "scene", "kind", "count", "background") == [0, 0, 0, 1]
    same = [a.background == b.background for a, b in zip(scenes, scenes[1:] + scenes[:1], strict=True)]
    assert other["background"].value == np.mean(same)
    assert [row["eta"] for row in (again, varied, guided, other)] == [0, 1, 1, None]
    assert again["PSNR in dB"].interval[0] <= again["PSNR in dB"].value <= again["PSNR in dB"].interval[1]


def test_pairs_have_one_layout_and_share_no_picture():
    items = [FEW[i] for i in range(24)]
    pairs = alike.pairs_of(items)
    used = [id(item) for pair in pairs for item in pair]
    assert len(pairs) > 5 and len(set(used)) == len(used)
    assert all(a.scene.layout == b.scene.layout for a, b in pairs)


def test_the_track_of_a_fact():
    """From a red circle to a blue one in another style, by way of a green one and of two things."""
    a = Scene((CIRCLE,), "alone", "sky", "flat")
    b = replace(a, things=(replace(CIRCLE, colour="blue"),), style="dotted")
    path = [a, replace(a, things=(replace(CIRCLE, colour="green"),)), replace(b, style="flat"), PAIR, b]
    assert alike.tracks(a, b, path).tolist() == [[0, 1, 2, 1, 2], [0, 0, 0, 1, 2]]       # colour, style
    assert alike.tracks(a, a, path).shape == (0, 5)


def test_facts_that_turn_back_are_not_monotone():
    paths = [np.array([[0, 0, 1, 2], [0, 2, 0, 2]]), np.array([[0, 2, 2, 2], [0, 0, 0, 0], [1, 2, 2, 2]])]
    found = alike.monotone(paths, seed=0)
    assert (found["pairs"], found["facts that differ"]) == (2, 5)
    assert found["right at both ends"].value == pytest.approx(3 / 5)
    assert found["of these, never turn back"].value == pytest.approx(2 / 3)


def test_along_an_interpolation_the_first_gives_way_to_the_second(study, monkeypatch):
    pairs, n = alike.pairs_of(study.originals), len(alike.THETAS)
    told(monkeypatch, [[(a if t < 4 else b).scene for a, b in pairs for t in range(n)]])
    found = alike.interpolations(study)
    rows = found["facts along an interpolation"]
    assert [row["the first's"].value for row in rows] == [1] * 4 + [0] * 5
    assert [row["the second's"].value for row in rows] == [0] * 4 + [1] * 5
    assert found["facts that change once"][0]["of these, never turn back"].value == 1


def test_an_interpolation_starts_at_one_picture_and_ends_at_the_other(study, monkeypatch):
    latents = []
    monkeypatch.setattr(Study, "drawn", lambda self, latent, name, **options: latents.append(latent) or torch.zeros(
        len(latent), 3, 32, 32))  # fmt: skip
    alike.interpolations(study)
    (first, *_), pairs = latents, alike.pairs_of(study.originals)
    z = study.encode(study.true_pictures([item.scene for pair in pairs for item in pair]))
    torch.testing.assert_close(first.z_i[:: len(alike.THETAS)], z[::2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.z_i[8 :: len(alike.THETAS)], z[1::2], rtol=1e-4, atol=1e-5)
    assert torch.equal(first.x_T[0], first.x_T[8]) and not torch.equal(first.x_T[0], first.x_T[9])


# -- text diffs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(15))
def test_an_edit_changes_one_fact_and_its_words(study, number):
    edit = words.edit_of(FEW[number], number, seed=0)
    assert edit.before == FEW[number].scene and not edit.after.held_out
    facts = {name: (value, alike.facts_of(edit.after)[name]) for name, value in alike.facts_of(edit.before).items()}
    changed = {name: pair for name, pair in facts.items() if pair[0] != pair[1]}
    (name, (_, new)), = changed.items()
    assert name == (edit.fact if edit.fact in SCENE_FACTS else f"{edit.fact} {edit.n}")
    assert new == edit.value(edit.after) and new in FACTS[edit.fact] and edit.captions[0] != edit.captions[1]
    study.bench.cascade.encode_text(list(edit.captions))                # both are captions that CLIP can read


def test_the_outcome_of_an_edit():
    after = with_fact(PAIR, "colour", "green", 1)
    edit = words.Edit("colour", 1, PAIR, after, ("", ""))
    assert edit.outcome(PAIR) == (False, 8, 8)                          # 3 facts each, one relation, two of the scene
    assert edit.outcome(after) == (True, 8, 8)
    assert edit.outcome(replace(after, style="dotted")) == (True, 7, 8)
    assert edit.outcome(with_fact(PAIR, "colour", "green", 0)) == (False, 7, 8)     # the wrong thing
    assert edit.outcome(replace(after, things=after.things[:1], layout="alone")) == (False, 2, 8)


def test_text_diffs_by_angle_and_by_fact(study, monkeypatch):
    """A judge that sees the old scene where z_i is not turned, and elsewhere the new one in another style."""
    edits = [words.edit_of(item, i, study.seed) for i, item in enumerate(study.originals)]
    old, new = [edit.before for edit in edits], restyled([edit.after for edit in edits])
    told(monkeypatch, [old] + [new] * 4 * len(words.THETAS))
    found = words.text_diffs(study)
    rows = found["text diffs"]
    assert [(row["difference of"], row["compared with"], row["theta"]) for row in rows] == [(None, None, 0)] + [
        (way, name, theta) for way in words.WAYS for name in ("its caption", "nothing") for theta in words.THETAS
    ]  # fmt: skip
    assert (rows[0]["flipped"].value, rows[0]["others kept"].value) == (0, 1)
    asked_style = sum(edit.fact == "style" for edit in edits)
    assert rows[1]["flipped"].value == 1 - asked_style / len(edits) and rows[1]["others kept"].value < 1
    by_fact = {(row["asked"], row["theta"]): row for row in found["text diffs, by what was asked"]}
    kinds = by_fact["kind", 0.5]
    assert kinds["flipped"].value == 1 and kinds["flipped"].total == sum(edit.fact == "kind" for edit in edits)
    true, *others = found["how far a change goes"]
    assert true["cosine with the true change"].value == pytest.approx(1) and len(others) == 2
    assert all(abs(row["cosine with the true change"].value) < 0.9 for row in others)     # these models are untrained


def test_the_stride_of_a_change_is_counted_in_spreads(study, monkeypatch):
    """Along an axis whose spread is s, a change of length c goes c / s there and 0 along the others."""
    edits = [words.edit_of(item, i, study.seed) for i, item in enumerate(study.originals)]
    z_i = study.encode(study.true_pictures([edit.before for edit in edits]))
    width = z_i.shape[1]
    spreads = torch.linspace(2, 1, width)
    monkeypatch.setattr(Study, "components", lambda self: PCA(torch.zeros(width), torch.eye(width), spreads**2))
    ways = {f"axis {k}": F.one_hot(torch.tensor(k), width).float().expand(len(edits), -1) for k in (0, width - 1)}
    _, first, last = (row["mean stride, in spreads"].value for row in words.strides(study, edits, z_i, ways))
    assert last / first == pytest.approx(2, rel=1e-4)


# -- probing and inversion -----------------------------------------------------------------------------------


def test_half_of_the_way_is_where_a_fact_is_recovered():
    def curve(*shares):
        return np.array([[10 * share, 10] for share in shares])

    assert copies.needed(curve(0.2, 0.4, 0.8, 1.0), [0, 1, 2, 4]) == pytest.approx(1.5)
    assert copies.needed(curve(0.0, 0.5, 1.0), [0, 2, 4]) == 2
    assert math.isnan(copies.needed(curve(0.5, 0.9, 0.5), [0, 2, 4]))
    assert math.isnan(copies.needed(np.zeros((3, 2)), [0, 2, 4]))


def test_facts_are_ordered_by_the_components_that_they_need(study, monkeypatch):
    """The background comes with the first component, the style with the fourth, the kinds with all; colours never."""
    scenes = [item.scene for item in study.originals]
    grey = [replace(scene, things=tuple(replace(thing, colour=None) for thing in scene.things)) for scene in scenes]
    other = {"background": "none", "style": "none"}
    bare = [replace(scene, things=tuple(Thing(None, None, thing.size) for thing in scene.things), **other)
            for scene in scenes]  # fmt: skip
    ground = [replace(a, background=b.background) for a, b in zip(bare, scenes, strict=True)]
    styled = [replace(a, style=b.style) for a, b in zip(ground, scenes, strict=True)]
    told(monkeypatch, [bare, ground, ground, ground, styled, styled, styled, grey])
    found = copies.probing(study)
    rows, ranks = found["facts from the first components of z_i"], found["components that a fact needs"]
    assert [row["components"] for row in rows] == [0, 1, 2, 3, 4, 6, 8, 12]
    held = [row["variance held"] for row in rows]
    assert held[0] == 0 and held == sorted(held) and held[-1] == pytest.approx(1)
    place = {row["fact"]: row["components"].value for row in ranks}
    assert (place["background"], place["style"], place["kind"]) == (0.5, 3.5, 10)
    order = [row["fact"] for row in ranks]
    assert order[:3] == ["background", "style", "kind"] and math.isnan(place["colour"])
    assert math.isnan(place["count"]) and {"colour", "count"} <= set(order[3:])


@pytest.mark.parametrize(("off", "decibels"), [(0.2, 20), (0.02, 40)])
def test_the_decibels_of_an_inverted_picture(study, monkeypatch, off, decibels):
    """Every pixel is off by a tenth, or a hundredth, of the range."""
    x_T = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = study.true_scenes[:2]
    images = study.true_pictures(seen)
    monkeypatch.setattr(Study, "inverted", lambda self, images, steps, corrections: Latent(None, 2 * x_T))
    monkeypatch.setattr(Study, "drawn", lambda self, latent, name, steps: images + off)
    told(monkeypatch, [seen] * 8)
    rows = copies.inversion(study)["pictures inverted and drawn again"]
    assert [(row["corrections"], row["steps"]) for row in rows] == [(c, n) for c in (1, 3) for n in (25, 50, 100, 250)]
    for row in rows:
        assert row["PSNR in dB"].value == pytest.approx(decibels, abs=1e-3) and row["same scene"].value == 1
        assert row["spread of x_T"].value == pytest.approx(2, abs=0.1)
