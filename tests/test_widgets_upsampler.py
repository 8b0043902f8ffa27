"""The degradation slider, without a browser: the faults, the enlarged pictures and what a control changes."""

import ipywidgets as widgets
import pytest
import torch
import torch.nn.functional as F
from helpers import normal, randomise, tiny_upsampler
from test_widgets import bundle
from test_widgets_diffusion import has_labelled_field, works_alone

from minunclip.course.widgets.upsampler import FAULTS, DegradationExplorer, degraded_grid, degraded_page, enlarge
from minunclip.diffusion import ddim, generators, last, noise_stream
from minunclip.evaluation import psnr
from minunclip.upsampler import Upsampler

HIGH = F.avg_pool2d(normal(1, 3, 40, 40, seed=3), 9, stride=1).mul(4).clamp(-1, 1)[0]      # (3, 32, 32), smooth
LOW = F.avg_pool2d(HIGH, 2)                                                                # (3, 16, 16)
WAYS = {"twice": lambda low: F.interpolate(low, scale_factor=2.0), "grey": lambda low: torch.zeros(len(low), 3, 32, 32)}


# -- the faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_grows_with_its_strength(name):
    images = torch.stack([LOW, LOW.flip(2)])
    errors = [(FAULTS[name](images, strength) - images).abs().mean().item() for strength in (0, 0.3, 0.6, 1)]
    assert errors[0] < 1e-5 and errors == sorted(errors) and len(set(errors)) == 4 and errors[-1] > 0.01


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("strength", [0, 0.5, 1])
def test_a_fault_keeps_form_and_range_and_repeats(name, strength):
    images = torch.stack([LOW, LOW.flip(2)])[..., :12]
    before, spoiled = images.clone(), FAULTS[name](images, strength)
    assert spoiled.shape == images.shape and spoiled.abs().max() <= 1 + 1e-5 and torch.equal(images, before)
    assert torch.equal(spoiled, FAULTS[name](images, strength))


# -- enlarging -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upsampler():
    return randomise(Upsampler(tiny_upsampler(16, 32)))


def test_enlarging_is_ddim_given_the_small_picture(upsampler):
    low = torch.stack([LOW, LOW.flip(2)])
    noise = noise_stream((2, 3, 32, 32), generators(4, 2))
    expected = last(ddim(upsampler.diffusion, lambda x_t, t: upsampler(x_t, t, low), noise, 3)).clamp(-1, 1)
    found = enlarge(upsampler, low, steps=3, seed=4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, enlarge(upsampler, low.roll(1, 0), steps=3, seed=4), atol=1e-2)


def test_enlarging_takes_any_size(upsampler):
    assert enlarge(upsampler, LOW[None, :, :8, :12]).shape == (1, 3, 16, 24)


# -- the pages -----------------------------------------------------------------------------------------------


def test_a_page_has_a_row_for_each_fault_and_its_decibels():
    page = degraded_page(LOW, HIGH, faults=["blur", "JPEG"], strength=0.5, ways=WAYS)
    spoiled = FAULTS["blur"](LOW[None], 0.5)
    decibels = psnr(WAYS["twice"](spoiled), HIGH[None]).item()
    assert f"blur; twice: {decibels:.1f} dB; grey: " in page.alt and "JPEG; twice" in page.alt
    single = degraded_page(LOW, HIGH, faults=["blur"], strength=0.5, ways=WAYS)
    assert page.image.width == single.image.width and page.image.height > 1.7 * single.image.height


def test_the_grid_works_in_the_browser_alone():
    grid = degraded_grid(LOW, HIGH, WAYS, strengths=(0, 0.5, 1))
    pages = works_alone(grid, ["0", "0.5", "1"])
    assert len(set(pages)) == 3 and all(f"{name};" in pages[1] for name in FAULTS)
    assert "Strength 0.5" in bundle(grid)[1]["image/png"]["alt"]


def test_every_control_changes_the_picture():
    explorer = DegradationExplorer({"one": (LOW, HIGH), "two": (LOW.flip(2), HIGH.flip(2))}, WAYS)
    has_labelled_field(explorer, explorer.strength)
    assert explorer.strength.continuous_update is False
    for control, value in ((explorer.choice, "two"), (explorer.fault, "noise"), (explorer.strength, 0.2)):
        before = explorer.picture.value
        control.value = value
        assert explorer.picture.value != before and "alert" not in explorer.status.value
    assert "two, noise of strength 0.2" in explorer.status.value
    assert isinstance(explorer.strength, widgets.FloatSlider) and explorer.fault.description
