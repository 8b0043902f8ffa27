"""The widgets of notebooks 03 and 04, without a browser: what their pages show, and what a control changes."""

import base64
import io
import re

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from helpers import normal
from PIL import Image
from test_widgets import bundle, linked

from minunclip.course.widgets.diffusion import (
    FieldExplorer,
    NoiseExplorer,
    field_grid,
    field_page,
    noise_grid,
    noise_page,
)
from minunclip.diffusion import Diffusion, DiffusionConfig

POINT = Diffusion(DiffusionConfig(target="x0", clip=None))
CENTRES = torch.tensor([[1.0, -0.5], [-0.25, 0.75]])
DATA = (CENTRES.repeat(20, 1) + 0.1 * normal(40, 2), torch.arange(40) % 2)
ORANGE = torch.tensor([1.0, 0.0, -1.0])[:, None, None]                  # (255, 128, 0)


class World:
    """The best denoiser where every point of a caption lies in one place; guidance multiplies that place."""

    def __init__(self):
        self.asked = []

    def __call__(self, labels, w):
        def denoiser(x_t, t):
            self.asked.append((labels[0].item(), w, t[0].item(), len(x_t)))
            return w * CENTRES[labels]

        return denoiser


def decoded(page):
    return np.asarray(Image.open(io.BytesIO(page)).convert("RGB")).astype(int)


def share_of(picture, colour):
    """The share of the pixels of a Picture that have about this colour."""
    return (np.abs(decoded(picture.png()) - np.array(colour)).max(axis=-1) < 12).mean()


def works_alone(grid, names):
    """A grid's slider and field choose its page in the browser; the pages."""
    knobs, stack = grid.children
    slider, choice = knobs.children
    assert isinstance(stack, widgets.Stack) and len(stack.children) == len(names)
    assert linked(slider, "index", stack, "selected_index") and linked(slider, "index", choice, "index")
    assert [name for name, _ in slider.options] == [name for name, _ in choice.options] == names and choice.description
    return [page.value for page in stack.children]


def has_labelled_field(explorer, slider):
    """A field beside the slider shows the same number."""
    rows = [row.children for row in explorer.children if isinstance(row, widgets.HBox) and slider in row.children]
    [(_, field)] = rows
    assert linked(slider, "value", field, "value") and field.description
    assert (field.min, field.max) == (slider.min, slider.max)       # the values are linked in the browser
    assert slider.continuous_update is False


# -- how much noise ------------------------------------------------------------------------------------------


def test_a_page_tells_the_shares_of_both_schedules():
    alt = noise_page(ORANGE.expand(3, 8, 8), 400).alt
    for name in ("cosine", "linear"):
        alpha_bar = Diffusion(DiffusionConfig(schedule=name)).alphas_bar[400]
        assert f"{name} schedule {alpha_bar.sqrt():.2f} x_0 + {(1 - alpha_bar).sqrt():.2f} eps" in alt
    assert "t = 400" in alt


def test_the_picture_drowns_in_noise():
    image = ORANGE.expand(3, 16, 16)
    shares = [share_of(noise_page(image, t), (255, 128, 0)) for t in (0, 300, 999)]
    assert shares[0] > 0.2 and shares[1] < shares[0] / 3 and shares[2] < 0.01


def test_a_seed_decides_the_noise():
    pages = [noise_page(ORANGE.expand(3, 8, 8), 500, seed).png() for seed in (0, 0, 1)]
    assert pages[0] == pages[1] != pages[2]


def test_the_noise_grid_works_in_the_browser_alone():
    grid = noise_grid(ORANGE.expand(3, 8, 8), (0, 300, 600, 999))
    pages = works_alone(grid, ["0", "300", "600", "999"])
    assert all(f"noise at t = {t}:" in page for t, page in zip((0, 300, 600, 999), pages, strict=True))
    data, metadata = bundle(grid)
    assert "t = 300" in metadata["image/png"]["alt"] and "t = 300" in data["text/html"]
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.width == 2 * 810 and metadata["image/png"]["width"] == 810                # two dots a pixel


@pytest.fixture
def noises():
    return NoiseExplorer({"orange": ORANGE.expand(3, 8, 8), "black": -torch.ones(3, 8, 8)}, t=200)


def test_each_control_of_the_noise_explorer_draws(noises):
    seen = [noises.picture.value]
    for control, value, told in ((noises.t, 700, "t = 700"), (noises.choice, "black", "black, "),
                                 (noises.seed, 5, "noise seed 5")):  # fmt: skip
        control.value = value
        assert noises.picture.value not in seen and told in noises.status.value
        seen.append(noises.picture.value)
    assert noises.picture.value == noise_page(-torch.ones(3, 8, 8), 700, 5).png()
    assert "t = 700" in bundle(noises)[1]["image/png"]["alt"]
    has_labelled_field(noises, noises.t)


def test_the_button_draws_again(noises):
    before, noises.picture.value = noises.picture.value, b""
    noises.button.click()
    assert noises.picture.value == before and not noises.button.disabled


# -- guidance in the plane -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label, w", [(0, 1), (1, 1), (1, 2.0)])
def test_samples_end_where_the_denoiser_leads(label, w):
    x, y = (w * CENTRES[label]).tolist()
    alt = field_page(POINT, World(), DATA, label=label, name="there", w=w).alt
    assert f"400 samples around ({x:.2f}, {y:.2f}), 0.00 wide" in alt and f"Guidance {w:g} for there" in alt


def test_a_field_is_asked_at_its_timesteps_and_guidance():
    world = World()
    field_page(POINT, world, DATA, label=1, name="there", w=3.0, ts=(800, 50), steps=4)
    fields, samples = [call for call in world.asked if call[3] == 144], [call for call in world.asked if call[3] == 400]
    assert fields == [(1, 3.0, 800, 144), (1, 3.0, 50, 144)]
    assert [call[2] for call in samples] == [999, 666, 333, 0] and {call[:2] for call in samples} == {(1, 3.0)}


def test_a_page_of_the_field_depends_on_all_that_it_is_told():
    def page(label=0, w=1.0, ts=(500,), seed=0):
        return field_page(POINT, World(), DATA, label=label, name="a", w=w, ts=ts, steps=3, seed=seed).png()

    assert page() == page()
    assert len({page(), page(label=1), page(w=2.0), page(ts=(100,)), page(seed=1)}) == 5


def test_the_field_grid_works_in_the_browser_alone():
    grid = field_grid(POINT, World(), DATA, label=0, name="<here>", scales=(0, 1.5, 3))
    pages = works_alone(grid, ["0", "1.5", "3"])
    assert all(f"Guidance {w} for &lt;here&gt;:" in page for w, page in zip(("0", "1.5", "3"), pages, strict=True))
    data, metadata = bundle(grid)
    assert "Guidance 1.5 for" in metadata["image/png"]["alt"]
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.width == 2 * 810 and metadata["image/png"]["width"] == 810                # two dots a pixel


@pytest.fixture
def fields():
    world = World()
    explorer = FieldExplorer(POINT, world, DATA, ["here", "there"])
    explorer.world = world
    return explorer


def test_each_control_of_the_field_explorer_is_heard(fields):
    for control, value in ((fields.caption, 1), (fields.guidance, 4.5), (fields.t, 321), (fields.steps, 3)):
        before, control.value = fields.picture.value, value
        assert "alert" not in fields.status.value
        assert fields.picture.value != before or control is fields.steps    # which change nothing in this world
    fields.world.asked.clear()
    fields.button.click()
    assert [call for call in fields.world.asked if call[3] == 144] == [(1, 4.5, 321, 144)]
    assert len([call for call in fields.world.asked if call[3] == 400]) == 3
    assert re.search(r"there, guidance 4.5, t = 321, 3 steps, seed 0: \d+\.\d s", fields.status.value)
    assert "Guidance 4.5 for there" in bundle(fields)[1]["image/png"]["alt"]


def test_the_sliders_of_the_field_explorer_have_labelled_fields(fields):
    has_labelled_field(fields, fields.guidance)
    has_labelled_field(fields, fields.t)


def test_a_mistake_is_shown_and_not_raised(fields):
    before, fields.steps.max = fields.picture.value, 5000
    fields.steps.value = 3000
    assert 'role="alert"' in fields.status.value and "3000 of 1000" in fields.status.value
    assert fields.picture.value == before and not fields.button.disabled
    fields.steps.value = 5
    assert "alert" not in fields.status.value
