"""The widgets of notebook 10, without a browser: each knob does to the latent what the library does."""

import pytest
import torch
from helpers import normal, tiny_cascade
from test_widgets import bundle

from minunclip.course.widgets.manipulations import (
    STEPS,
    ProbeExplorer,
    SlerpExplorer,
    TextDiffExplorer,
    VariationExplorer,
    change_pages,
    slerp_pages,
    strip,
    variation_pages,
)
from minunclip.embeddings import PCA
from minunclip.manipulations import between_pictures, draw, fresh, interpolate, probe, text_diff

NAMES = ["a star", "a <moon>", "a fish"]


@pytest.fixture(scope="module")
def cascade():
    return tiny_cascade()


@pytest.fixture(scope="module")
def pictures():
    return dict(zip(NAMES, normal(3, 3, 32, 32).clamp(-1, 1), strict=True))


@pytest.fixture(scope="module")
def latents(cascade):
    return fresh(cascade, normal(3, 12, seed=3), seed=5)


@pytest.fixture
def seen(monkeypatch):
    """The images of every strip that is made, as lists of tensors."""
    found = []

    def spy(images, names, *args, **how):
        found.append([image.clone() for image in images])
        return strip(images, names, *args, **how)

    monkeypatch.setattr("minunclip.course.widgets.manipulations.strip", spy)
    return found


def same(images, expected):
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(images, expected, strict=True))


# -- the pages -----------------------------------------------------------------------------------------------


def test_variations_have_a_page_for_each_picture_and_eta(cascade, pictures, latents, seen):
    pages = variation_pages(cascade, pictures, latents, etas=(0, 1), count=3, steps=4)
    assert {name: list(row) for name, row in pages.items()} == {name: ["0", "1"] for name in NAMES}
    assert same(seen[3], [pictures["a <moon>"], *draw(cascade, latents[1:2].repeat(3), eta=1, steps=4)])
    assert same(seen[2][2:], [seen[2][1]] * 2) and not same(seen[3][2:], [seen[3][1]] * 2)
    assert "a fish, and 3 variations of it, eta 1." in pages["a fish"]["1"].alt


def test_interpolations_keep_both_ends_in_sight(pictures, seen):
    a, b, images = pictures["a star"], pictures["a fish"], normal(3, 3, 32, 32, seed=7)
    pages = slerp_pages(a, b, {"x": images, "y": images.flip(0)}, [0.0, 0.25, 1.0])
    assert list(pages["x"]) == ["0.00", "0.25", "1.00"] and same(seen[1], [a, images[1], b])
    assert same(seen[3], [a, images[2], b]) and "theta 0.25" in pages["y"]["0.25"].alt
    with pytest.raises(ValueError):
        slerp_pages(a, b, {"x": images}, [0.0, 1.0])


def test_changes_stand_beside_the_picture(pictures, seen):
    images = normal(2, 3, 32, 32, seed=7)
    pages = change_pages(pictures["a star"], {"colour": images}, ["0.1", "0.2"], "theta")
    assert list(pages["colour"]) == ["0.1", "0.2"] and same(seen[1], [pictures["a star"], images[1]])
    assert pages["colour"]["0.2"].alt == "colour, theta 0.2."


# -- live ----------------------------------------------------------------------------------------------------


def test_a_variation_is_the_librarys(cascade, pictures, latents, seen):
    explorer = VariationExplorer(cascade, pictures, latents, count=2)
    explorer.choice.value, explorer.eta.value, explorer.seed.value = "a <moon>", 0.5, 7
    expected = draw(cascade, latents[1:2].repeat(2), eta=0.5, seed=7, steps=STEPS)
    assert same(seen[-1], [pictures["a <moon>"], *expected])
    assert "a &lt;moon&gt;, eta 0.5, from seed 7" in explorer.status.value


def test_slerp_goes_to_the_other_picture(cascade, pictures, latents, seen):
    explorer = SlerpExplorer(cascade, pictures, latents)
    explorer.theta.value, explorer.other.value = 0.25, "a <moon>"
    a, b = latents[:1], latents[1:2]
    assert same(seen[-1][1:2], draw(cascade, interpolate(a, b, 0.25), steps=STEPS))
    explorer.start.value = "one random"
    held = interpolate(a, b, 0.25, fresh(cascade, a.z_i).x_T)
    assert same(seen[-1], [pictures["a star"], draw(cascade, held, steps=STEPS)[0], pictures["a <moon>"]])


def test_a_text_diff_says_what_it_did(cascade, pictures, latents, seen):
    explorer = TextDiffExplorer(cascade, pictures, latents, base="a red star", new="a blue star")
    explorer.theta.value = 0.4
    expected = text_diff(cascade, latents[:1], ["a blue star"], ["a red star"], theta=0.4, direction=between_pictures)
    assert same(seen[-1][1:], draw(cascade, expected, steps=STEPS)) and "prior" in explorer.status.value
    explorer.way.value = "z_t"
    expected = text_diff(cascade, latents[:1], ["a blue star"], ["a red star"], theta=0.4)
    assert same(seen[-1][1:], draw(cascade, expected, steps=STEPS)) and "prior" not in explorer.status.value
    explorer.base.value = " "
    expected = text_diff(cascade, latents[:1], ["a blue star"], None, theta=0.4)
    assert same(seen[-1][1:], draw(cascade, expected, steps=STEPS)) and "nothing" in explorer.status.value


@pytest.mark.parametrize("caption", ["a blue satr", "  "])
def test_unknown_words_are_told_and_not_raised(cascade, pictures, latents, caption):
    explorer = TextDiffExplorer(cascade, pictures, latents, base="a red star", new="a blue star")
    before = explorer.picture.value
    explorer.new.value = caption
    assert 'role="alert"' in explorer.status.value and explorer.picture.value == before
    assert not explorer.button.disabled


def test_components_are_kept_as_the_slider_says(cascade, pictures, latents, seen):
    pca = PCA.fit(normal(40, 12, seed=2))
    explorer = ProbeExplorer(cascade, pictures, latents, pca)
    assert explorer.kept.max == 12
    explorer.kept.value, explorer.choice.value = 3, "a fish"
    assert same(seen[-1][1:], draw(cascade, probe(latents[2:3], pca, 3), steps=STEPS))
    data, metadata = bundle(explorer)
    assert metadata["image/png"]["alt"] == "a fish, 3 components kept"
    assert data["application/vnd.jupyter.widget-view+json"]
