"""The decoder's slider, without a browser: what is drawn for which guidance, and by which way z_i goes in."""

import ipywidgets as widgets
import pytest
import torch
from helpers import normal, tiny_cascade
from test_widgets import bundle, linked
from test_widgets_diffusion import has_labelled_field, works_alone

from minunclip.course.widgets.decoder import PATHS, DecoderExplorer, condition_by, decode, decoded_grid, decoded_page
from minunclip.diffusion import ddim, generators, last, noise_stream

IMAGE, OTHER = normal(3, 32, 32, seed=3).clamp(-1, 1), normal(3, 32, 32, seed=4).clamp(-1, 1)


@pytest.fixture(scope="module")
def cascade():
    return tiny_cascade()


@pytest.fixture(scope="module")
def known(cascade):
    return cascade.clip.encode_image(IMAGE[None]).detach(), cascade.clip.encode_text([""])


# -- the ways in ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_each_path_lets_through_what_it_says(cascade, known):
    z_i, text = known
    both, nothing = (cascade.decoder.condition(z, text) for z in (z_i, None))
    for path, (added, tokens) in PATHS.items():
        found = condition_by(cascade, z_i, text, path)
        torch.testing.assert_close(found.added, (both if added else nothing).added)
        keys = [list(c.context.keys_values.values())[0][0] for c in (found, both if tokens else nothing)]
        torch.testing.assert_close(*keys)
    assert not torch.allclose(both.added, nothing.added)


@torch.no_grad()
def test_guidance_is_that_of_the_cascade(cascade, known):
    z_i, text = known
    noise = noise_stream((2, 3, 32, 32), generators(5, 2))
    denoiser = cascade.decoder_denoiser(z_i.expand(2, -1), text.repeat(2), 3.0)
    expected = last(ddim(cascade.decoder.diffusion, denoiser, noise, 4)).clamp(-1, 1)
    torch.testing.assert_close(decode(cascade, IMAGE, 3.0, count=2, seed=5, steps=4), expected, atol=1e-4, rtol=1e-4)


def test_without_guidance_or_without_z_i_the_picture_does_not_matter(cascade):
    for options in ({"w": 0.0}, {"w": 3.0, "path": "not at all"}):
        one, two = (decode(cascade, image, count=1, steps=3, **options) for image in (IMAGE, OTHER))
        torch.testing.assert_close(one, two)
    one, two = (decode(cascade, image, 1.0, count=1, steps=3) for image in (IMAGE, OTHER))
    assert not torch.allclose(one, two, atol=1e-3)


def test_a_drawing_does_not_depend_on_how_many_there_are(cascade):
    three = decode(cascade, IMAGE, 2.0, count=3, seed=7, steps=3)
    torch.testing.assert_close(decode(cascade, IMAGE, 2.0, count=1, seed=8, steps=3), three[1:2], atol=1e-4, rtol=1e-4)


# -- the pages -----------------------------------------------------------------------------------------------


def test_a_page_names_its_seeds():
    page = decoded_page(IMAGE, torch.zeros(2, 3, 32, 32), label="a <red> star", w=1.5, seed=4)
    assert "a <red> star, guidance 1.5" in page.alt and "seeds from 4" in page.alt
    assert page.image.width > 3 * 104 and "&lt;red&gt;" in page.html()


def test_the_grid_works_in_the_browser_alone(cascade):
    grid = decoded_grid(cascade, IMAGE, "a star", scales=(0, 1, 2.5), count=2)
    pages = works_alone(grid, ["0", "1", "2.5"])
    assert all(f"a star, guidance {w}:" in page for w, page in zip(("0", "1", "2.5"), pages, strict=True))
    assert len(set(pages)) == 3
    data, metadata = bundle(grid)
    assert "image/png" in data and "guidance 2.5" in metadata["image/png"]["alt"]


@pytest.fixture(scope="module")
def explorer(cascade):
    return DecoderExplorer(cascade, {"one": IMAGE, "two": OTHER}, count=1)


def test_every_control_changes_the_picture(explorer):
    has_labelled_field(explorer, explorer.guidance)
    assert explorer.guidance.continuous_update is False
    for control, value in ((explorer.choice, "two"), (explorer.path, "only as extra tokens"), (explorer.seed, 3),
                           (explorer.guidance, 6.0)):  # fmt: skip
        before = explorer.picture.value
        control.value = value
        assert explorer.picture.value != before and "alert" not in explorer.status.value
    assert "two, z_i only as extra tokens, guidance 6, seed 3" in explorer.status.value
    assert "two, z_i only as extra tokens, guidance 6" in bundle(explorer)[1]["image/png"]["alt"]


def test_a_mistake_is_shown(cascade):
    explorer = DecoderExplorer(cascade, {"wrong size": torch.zeros(3, 8, 8)}, count=1)
    assert "alert" in explorer.status.value and not explorer.button.disabled


def test_the_fields_are_named(explorer):
    named = [explorer.choice, explorer.path, explorer.seed]
    assert all(control.description for control in named)
    assert isinstance(explorer.guidance, widgets.FloatSlider)
    assert any(linked(explorer.guidance, "value", row.children[1], "value") for row in explorer.children
               if isinstance(row, widgets.HBox))  # fmt: skip
