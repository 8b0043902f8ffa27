"""Attribute binding, the typographic attack and the two priors: cases with known answers."""

import json
import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import normal, ship, tiny_folder
from paper_helpers import FEW, tiny_study, told
from PIL import ImageFont

from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.common import sha256
from minunclip.experiments import Study
from minunclip.experiments import attribute_binding as binding
from minunclip.experiments import two_priors as rivals
from minunclip.experiments import typographic_attack as typography
from minunclip.experiments.study import Variety
from minunclip.scenes import HELD_OUT, KINDS, Scene, Thing, for_testing

CIRCLE, SQUARE = Thing("circle", "red", "big"), Thing("square", "blue", "small")
PAIR = binding.Pair(Scene((CIRCLE, SQUARE), "column", "sky", "flat"), "", "", "")
ALONE = [item for item in (FEW[i] for i in range(24)) if len(item.scene.things) == 1]
CASES = [(item, typography.word_for(item, i)) for i, item in enumerate(ALONE)]


@pytest.fixture(scope="module")
def study() -> Study:
    return tiny_study()


# -- attribute binding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("things", "outcome"), [
    ((CIRCLE, SQUARE), "right"),
    ((SQUARE, CIRCLE), "right"),                                        # in each other's places, but well coloured
    ((Thing("circle", "blue", "big"), Thing("square", "red", "small")), "swapped"),
    ((Thing("square", "red", "big"), Thing("circle", "blue", "small")), "swapped"),
    ((Thing("circle", "red", "big"), Thing("square", "red", "small")), "other"),
    ((CIRCLE,), "other"), ((CIRCLE, SQUARE, SQUARE), "other"),
])  # fmt: skip
def test_whose_colour_it_is(things, outcome):
    assert PAIR.outcome(Scene(things, "any", "night", "dotted")) == outcome


def test_shares_of_outcomes():
    found = binding.outcomes(Counter(right=6, swapped=3, other=1))
    assert [share.value for share in found.values()] == pytest.approx([0.6, 0.3, 0.1, 1 / 3])
    assert math.isnan(binding.outcomes(Counter(other=4))["swapped, of right and swapped"].value)


@pytest.mark.parametrize("number", range(8))
def test_a_pair_has_one_right_caption_and_two_wrong_ones(number):
    pair = binding.pair_of(number, seed=0)
    a, b = pair.scene.things
    assert a.kind != b.kind and a.colour != b.colour and for_testing(pair.caption)
    assert sorted(pair.caption.split()) == sorted(pair.swapped.split()) and pair.caption != pair.swapped
    words = zip(pair.caption.split(), pair.recoloured.split(), strict=True)
    assert sum(x != y and x not in ("a", "an") for x, y in words) == 1
    assert {(a.colour, b.kind), (b.colour, a.kind)}.isdisjoint(HELD_OUT)
    assert binding.pair_of(number, seed=0) == pair != binding.pair_of(number, seed=1)


def test_the_decoder_with_and_without_the_caption_path(study, monkeypatch):
    """Without the caption every colour is swapped, with it none."""
    pairs = [binding.pair_of(i, study.seed) for i in range(6)]
    right = [pair.scene for pair in pairs]
    swapped = [Scene(binding.exchanged(scene.things), scene.layout, "sky", "flat") for scene in right]
    told(monkeypatch, [swapped, right, swapped, right, right])
    captions = []
    blank = torch.zeros(6, 3, 32, 32)
    monkeypatch.setattr(Study, "pictures", lambda self, said, z_i, name: captions.append((said, z_i)) or iter([blank]))
    rows = binding.attribute_binding(study)["colours of two things"]
    assert [(row["z_i"], row["caption"]) for row in rows] == [
        ("of the true picture", "no"), ("of the true picture", "yes"), ("of the prior", "no"), ("of the prior", "yes"),
        ("none", "yes")]  # fmt: skip
    assert [row["swapped"].value for row in rows] == [1, 0, 1, 0, 0]
    assert [said[0] for said, _ in captions] == ["", pairs[0].caption] * 2 + [pairs[0].caption]
    assert captions[-1][1] is None and captions[0][1] is captions[1][1]


def test_what_clip_prefers(study, monkeypatch):
    """A CLIP whose z_t is the picture's z_i for the right caption, and its opposite for the recoloured one."""
    pairs, z_i = [binding.pair_of(i, 0) for i in range(4)], normal(4, 12)
    codes = {pair.caption: z for pair, z in zip(pairs, z_i, strict=True)}
    codes |= {pair.recoloured: -z for pair, z in zip(pairs, z_i, strict=True)}
    codes |= {pair.swapped: z for pair, z in zip(pairs, z_i, strict=True)}       # it cannot tell these two apart

    def encode_text(captions):
        return SimpleNamespace(embed=torch.stack([codes[caption] for caption in captions]))

    monkeypatch.setattr(study.bench.cascade.clip, "encode_text", encode_text)
    assert [share.value for share in binding.preferences(study, pairs, z_i).values()] == [0, 1]


# -- a word on a picture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", typography.WORDS)
def test_a_word_fits_and_can_be_read(word):
    left, top, right, bottom = typography.font_for(word, 32).getbbox(word)
    assert right - left <= 30 and bottom - top >= 6
    assert typography.font_for(word, 128).size > 3 * typography.font_for(word, 32).size


def test_a_word_is_written_over_the_thing_or_below_it():
    grey = torch.zeros(3, 32, 32)
    over, below = (typography.write(grey, "star", place) for place in typography.PLACES)

    def rows(picture):
        """Those in which something is written."""
        return [y for y in range(32) if (picture[:, y] - picture[0, 0, 0]).abs().max() > 0.1]

    assert min(rows(over)) >= 8 and max(rows(over)) <= 23 and min(rows(below)) >= 18 and max(rows(below)) >= 28
    assert over.min() < -0.7                                            # dark ink on a light picture
    assert typography.write(grey - 0.9, "star").max() > 0.7             # light ink on a dark one


def test_the_mirror_image_has_the_same_ink_and_another_shape():
    grey = torch.zeros(3, 32, 32)
    plain, mirrored = (typography.write(grey, "fish", mirrored=mirrored) for mirrored in (False, True))
    assert torch.equal(plain.flip(2), mirrored) and not torch.equal(plain, mirrored)


def test_a_word_without_a_place_is_refused():
    with pytest.raises(ValueError, match="choose a shorter one"):
        typography.write(torch.zeros(3, 32, 32), "incomprehensibilities")
    assert ImageFont.load_default(5).getlength("incomprehensibilities") > 30


def test_the_word_is_never_the_things_own_name():
    assert len(CASES) > 4 and all(word != item.scene.things[0].kind for item, word in CASES)


def test_captions_name_each_kind_and_differ_in_nothing_else():
    captions = typography.namings(ALONE[0], seed=4)
    words = [[word for word in caption.split() if word not in KINDS] for caption in captions]
    assert [next(word for word in caption.split() if word in KINDS) for caption in captions] == list(KINDS)
    assert all(rest == words[0] for rest in words)


def bets(**on: float) -> torch.Tensor:
    """So much on the true thing and on the word of each case, the rest evenly on the others."""
    rows = torch.full((len(CASES), len(KINDS)), (1 - on["thing"] - on["word"]) / (len(KINDS) - 2))
    for row, (item, word) in zip(rows, CASES, strict=True):
        row[KINDS.index(item.scene.things[0].kind)], row[KINDS.index(word)] = on["thing"], on["word"]
    return rows


def test_what_clip_says_and_what_is_drawn():
    said = typography.reading(CASES, bets(thing=0.2, word=0.7), seed=0)
    assert [found.value for found in said.values()] == pytest.approx([0, 1, 0.7])
    half = [Scene((Thing(word if i % 2 else item.scene.things[0].kind, "red", "big"),), "alone", "sky", "flat")
            for i, (item, word) in enumerate(CASES)]  # fmt: skip
    drawn = typography.drawing(CASES, half)
    assert sum(share.true for share in drawn.values()) == len(CASES)
    assert drawn["it draws the word's"].true == len(CASES) // 2
    crowd = [Scene(scene.things * 2, "row", "sky", "flat") for scene in half]
    assert all(share.true == 0 for share in typography.drawing(CASES, crowd).values())


def test_only_what_the_mirror_image_does_not_do_counts():
    names = [f"{writing}, over the thing" for writing in typography.WRITINGS]
    blind = dict.fromkeys(names, bets(thing=0.3, word=0.5))             # it errs, but does not read
    assert [x.value for x in typography.beyond_mirror(CASES, blind, "over", 0).values()] == [0, 0]
    reads = dict(zip(names, (bets(thing=0.3, word=0.5), bets(thing=0.6, word=0.1)), strict=True))
    found = typography.beyond_mirror(CASES, reads, "over", 0)
    assert [x.value for x in found.values()] == pytest.approx([0.4, 1])


# -- two priors ----------------------------------------------------------------------------------------------


def test_without_weights_the_autoregressive_prior_is_missing_in_words(study, tmp_path, monkeypatch):
    ship(monkeypatch, tiny_folder(tmp_path))
    found = rivals.two_priors(study)
    assert [row["prior"] for row in found["the two priors"]] == ["diffusion, best of 2"]
    assert found["the autoregressive prior"] == rivals.MISSING


def test_with_weights_both_priors_are_measured(study, tmp_path, monkeypatch):
    folder = tiny_folder(tmp_path)
    prior = ARPrior(ARPriorConfig(z_width=12, text_width=16, context=32, components=4, buckets=8, dot_buckets=4,
                                  width=16, layers=1, heads=2))  # fmt: skip
    prior.fit(normal(64, 12, seed=5), normal(64, 12, seed=6))
    path = prior.save(folder / ARPrior.file_name)
    sums = json.loads((folder / "SHA256.json").read_text()) | {path.name: sha256(path)}
    (folder / "SHA256.json").write_text(json.dumps(sums))
    ship(monkeypatch, folder)
    found = rivals.two_priors(study)
    first, second = found["the two priors"]
    assert (first["prior"], second["prior"]) == ("diffusion, best of 2", "autoregressive")
    assert first["nearness to z_t"].value != second["nearness to z_t"].value
    assert all(row[f"seconds for {n} z_i"] > 0 for row in (first, second) for n in ("one", 100))
    assert "ratio of fidelity" in found["the autoregressive prior compared"][0]
    colours = found["colours of two things, from z_i alone"]
    assert [row["prior"] for row in colours] == ["diffusion, best of 2", "autoregressive"]
    assert all(sum(row[kind].value for kind in ("right", "swapped", "other")) == pytest.approx(1) for row in colours)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match="SHA-256 differs"):            # a damaged file is not a missing one
        rivals.two_priors(study)


def test_whose_colour_is_whose_is_counted_for_a_prior(study, monkeypatch):
    """A judge that sees the first pair right and all others with their colours exchanged."""
    scenes = [pair.scene for pair in binding.pairs_for(study)]
    crossed = [replace(scene, things=binding.exchanged(scene.things)) for scene in scenes]
    told(monkeypatch, [scenes[:1] + crossed[1:]])
    found = rivals.bound(study, "diffusion prior", candidates=2)
    n = len(scenes)
    assert (found["right"].value, found["swapped"].value) == pytest.approx((1 / n, (n - 1) / n)) and n > 1


def test_one_prior_as_a_part_of_the_other():
    logs = np.log([2.0, 4.0, 8.0])
    half, whole = Variety(np.full(3, 0.4), logs, logs), Variety(np.full(3, 0.8), logs + math.log(3), logs)
    whole.facts[1] = math.nan                                           # left out of both
    found = rivals.compared(half, whole, seed=0)
    assert [found[f"ratio of {name}"].value for name in ("fidelity", "diversity", "style variability")] == (
        pytest.approx([0.5, 1 / 3, 1]))  # fmt: skip
