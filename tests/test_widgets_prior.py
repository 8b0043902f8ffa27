"""The widgets of notebooks 05 and 06, without a browser: what their pages show, and what a control changes."""

import re

import ipywidgets as widgets
import pytest
import torch
from helpers import normal, tiny_cascade
from test_widgets import bundle, linked

from minunclip.course.widgets.prior import PriorExplorer, fit, prior_grid, prior_page, variety
from minunclip.manipulations import as_image_embedding

CLOUD = normal(40, 12) * torch.linspace(3, 0.1, 12)


class Prior:
    """Stands for a prior: the first z_i of a cloud, the nearer together the larger the knob's value."""

    def __init__(self):
        self.asked = []

    def __call__(self, captions, value, seed):
        self.asked.append((captions, value, seed))
        return CLOUD[seed : seed + len(captions)] / (1 + value)


@pytest.fixture(scope="module")
def cascade():
    return tiny_cascade()


# -- the two numbers -----------------------------------------------------------------------------------------


def test_fit_is_the_mean_cosine():
    z_t = torch.tensor([1.0, 0.0])
    assert fit(torch.tensor([[5.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]]), z_t) == pytest.approx(0.5**0.5 / 4)
    assert fit(CLOUD[:5], 3 * CLOUD[:5]) == pytest.approx(1)


def test_variety_is_a_share_of_the_clouds_spread():
    assert variety(CLOUD, CLOUD) == pytest.approx(1)
    assert variety(5 + CLOUD / 4, CLOUD) == pytest.approx(0.25)
    assert variety(CLOUD[:1].repeat(3, 1), CLOUD) == 0


# -- a page --------------------------------------------------------------------------------------------------


def test_a_page_tells_what_it_shows(cascade):
    z_i = CLOUD[:6]
    page = prior_page(cascade, z_i, "a red star", told="guidance 2, seed 5", cloud=CLOUD)
    cosine, spread = fit(z_i, cascade.encode_text(["a red star"]).embed), variety(z_i, CLOUD)
    assert "6 pictures for 'a red star', guidance 2, seed 5" in page.alt
    assert f"cosine of z_i and z_t {cosine:.2f}" in page.alt and f"z_i {spread:.2f} of that" in page.alt


def test_the_map_puts_each_embedding_on_the_principal_axes_of_the_cloud(cascade, monkeypatch):
    shown = []
    monkeypatch.setattr("matplotlib.axes.Axes.scatter", lambda self, x, y, **how: shown.append((how["label"], x, y)))
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda self, **how: None)
    prior_page(cascade, CLOUD[:3], "a red star", told="", cloud=2 + CLOUD)
    places = {label: torch.stack([torch.as_tensor(x), torch.as_tensor(y)]) for label, x, y in shown}
    cloud, drawn, z_t = places["true z_i"], places["drawn z_i"], places["z_t"]
    assert cloud.shape == (2, 40) and drawn.shape == (2, 3) and z_t.shape == (2, 1)
    torch.testing.assert_close(cloud.mean(dim=1), torch.zeros(2), atol=1e-4, rtol=0)
    assert cloud[0].var() > cloud[1].var() and abs(cloud.cov()[0, 1]) < 1e-3
    distance = (drawn[:, 0] - drawn[:, 1]).norm()
    assert 0 < distance <= (CLOUD[0] - CLOUD[1]).norm() + 1e-4
    assert as_image_embedding(cascade, cascade.encode_text(["a star"]).embed).shape == (1, 12)


def test_the_decoder_is_told_no_caption(cascade, monkeypatch):
    told = []
    monkeypatch.setattr("minunclip.course.widgets.prior.decode", lambda cascade, z_i, captions, seed: told.append(
        (captions, seed)) or torch.zeros(len(z_i), 3, 32, 32))  # fmt: skip
    prior_page(cascade, CLOUD[:3], "a red star", told="", cloud=CLOUD, seed=9)
    assert told == [(["", "", ""], 9)]


# -- the grid ------------------------------------------------------------------------------------------------


def test_the_grid_works_in_the_browser_alone(cascade):
    prior = Prior()
    grid = prior_grid(cascade, prior, "a red star", (0, 0.5, 2), name="guidance", cloud=CLOUD, count=2)
    label, knobs, stack = grid.children
    slider, choice = knobs.children
    assert label.value == "a red star" and isinstance(stack, widgets.Stack)
    assert linked(slider, "index", stack, "selected_index") and linked(slider, "index", choice, "index")
    assert [name for name, _ in slider.options] == [name for name, _ in choice.options] == ["0", "0.5", "2"]
    assert slider.description == "guidance" and choice.description
    assert prior.asked == [(["a red star"] * 2, value, 0) for value in (0, 0.5, 2)]
    spreads = [float(re.search(r"spread of the z_i ([\d.]+)", page.value)[1]) for page in stack.children]
    assert spreads == sorted(spreads, reverse=True) and spreads[0] > 2 * spreads[2]


def test_the_grid_has_a_still_for_pages_without_widgets(cascade):
    grid = prior_grid(cascade, Prior(), "a red star", (0, 1, 2), name="temperature", cloud=CLOUD, count=2)
    data, metadata = bundle(grid)
    assert "temperature 0, seed 0" in metadata["image/png"]["alt"] and "temperature 2" in metadata["image/png"]["alt"]
    assert data["image/png"] and '<img alt="' in data["text/html"]


# -- the explorer --------------------------------------------------------------------------------------------


@pytest.fixture
def explorer(cascade):
    return PriorExplorer(cascade, Prior(), CLOUD, "guidance", count=2)


def test_each_control_draws_anew(explorer):
    first, prior = explorer.picture.value, explorer.draw_z
    explorer.value.value = 4
    explorer.seed.value = 3
    explorer.caption.value = "a moon"
    assert prior.asked[-3:] == [(["a red star"] * 2, 4, 0), (["a red star"] * 2, 4, 3), (["a moon"] * 2, 4, 3)]
    assert explorer.picture.value != first and "a moon, guidance 4, seed 3" in explorer.status.value
    explorer.picture.value = b""
    explorer.button.click()
    assert explorer.picture.value == explorer.still.png() and "'a moon', guidance 4" in explorer.still.alt


def test_controls_wait_and_have_labelled_fields(explorer):
    assert not explorer.value.continuous_update and not explorer.caption.continuous_update
    [field] = [row.children[1] for row in explorer.children if explorer.value in getattr(row, "children", ())]
    assert field.description and linked(explorer.value, "value", field, "value")
    assert explorer.caption.description and explorer.seed.description


def test_mistakes_are_shown_and_not_raised(explorer):
    before = explorer.picture.value
    explorer.caption.value = "a red stra"
    assert 'role="alert"' in explorer.status.value and "stra" in explorer.status.value
    assert explorer.picture.value == before and not explorer.button.disabled
    explorer.caption.value = "a star"
    assert "alert" not in explorer.status.value and explorer.picture.value != before
