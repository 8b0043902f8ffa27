"""The widgets, without a browser: set values, press the button, look at what changed."""

import base64
import io

import ipywidgets as widgets
import pytest
import torch
from PIL import Image

from minunclip.course.widgets.base import GuidanceExplorer, guidance_grid
from minunclip.text import WordTokenizer
from minunclip.unclip import Drawing, Settings


class Cascade:
    """A stand-in that paints every picture in one grey, which seed and guidance decide."""

    def __init__(self):
        self.settings, self.calls, self.seen = Settings(decoder_steps=7), [], []
        self.tokenizer, self.explorer = WordTokenizer(("a", "red", "star", "moon")), None

    def sample(self, captions, seed, size, settings):
        self.tokenizer(captions)
        self.calls.append((captions, seed, size, settings))
        if self.explorer:
            self.seen.append((self.explorer.button.disabled, self.explorer.button.description))
        grey = torch.tensor(seed / 10 + settings.decoder_guidance / 100)
        images = {size: grey.expand(1, 3, size, size)}
        return Drawing(captions, seed, settings, text=None, z_i=None, images=images)


def links():
    """The ends of every link that runs in the browser."""
    everything = widgets.widget._instances.values()
    found = [widget for widget in everything if type(widget).__name__ == "Link"]
    return [{(end[0].model_id, end[1]) for end in (link.source, link.target)} for link in found]


def linked(first, first_trait, second, second_trait):
    return {(first.model_id, first_trait), (second.model_id, second_trait)} in links()


def bundle(widget):
    data, metadata = widget._repr_mimebundle_()
    return data, metadata


@pytest.fixture
def grid():
    pictures = {3.0: torch.full((1, 3, 8, 8), 0.3), 1: torch.zeros(3, 8, 8), 1.5: Image.new("RGB", (8, 8), "red")}
    return guidance_grid(pictures, "a <red> star", seed=4)


@pytest.fixture
def explorer():
    cascade = Cascade()
    explorer = GuidanceExplorer(cascade, caption="a red star", size=16)
    cascade.explorer = explorer
    return explorer


# -- the grid ------------------------------------------------------------------------------------------------


def test_the_grid_works_in_the_browser_alone(grid):
    _, knobs, stack = grid.children
    slider, choice = knobs.children
    assert isinstance(stack, widgets.Stack) and isinstance(slider, widgets.SelectionSlider)
    assert linked(slider, "index", stack, "selected_index")
    assert linked(slider, "index", choice, "index") and choice.description
    assert not linked(slider, "value", stack, "selected_index")
    assert [label for label, _ in slider.options] == [label for label, _ in choice.options] == ["1", "1.5", "3"]


def test_every_page_of_the_grid_has_alt_text(grid):
    pages = [page.value for page in grid.children[2].children]
    wanted = [f'alt="a &lt;red&gt; star, guidance {scale}"' for scale in ("1", "1.5", "3")]
    assert all(alt in page for alt, page in zip(wanted, pages, strict=True)) and len(set(pages)) == 3


def test_the_grid_has_a_still_for_pages_without_widgets(grid):
    data, metadata = bundle(grid)
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == grid.model_id
    sheet = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert sheet.width > 3 * 128 and "guidance 1.5" in metadata["image/png"]["alt"] and "seed 4" in data["text/html"]
    assert len(data["text/plain"]) < 300  # and not the text of every child


def test_an_empty_grid_is_an_error():
    with pytest.raises(ValueError, match="no pictures"):
        guidance_grid({}, "a star")


# -- the explorer --------------------------------------------------------------------------------------------


def test_the_explorer_draws_what_its_controls_say(explorer):
    before = explorer.picture.value
    explorer.caption.value, explorer.guidance.value, explorer.seed.value = "a moon", 4.5, 3
    assert explorer.picture.value == before  # nothing happens before the button is pressed
    explorer.button.click()
    captions, seed, size, settings = explorer.cascade.calls[-1]
    assert (captions, seed, size) == (["a moon"], 3, 16)
    assert settings == Settings(decoder_steps=7, decoder_guidance=4.5)
    assert explorer.picture.value != before
    assert Image.open(io.BytesIO(explorer.picture.value)).size == (256, 256)
    assert "a moon, guidance 4.5, seed 3" in explorer.status.value and "alert" not in explorer.status.value


def test_the_button_is_busy_while_drawing(explorer):
    explorer.button.click()
    assert explorer.cascade.seen == [(True, "drawing ...")]
    assert (explorer.button.disabled, explorer.button.description) == (False, "Draw")


def test_mistakes_are_shown_and_not_raised(explorer):
    before = explorer.picture.value
    explorer.caption.value = "a rad star"
    explorer.button.click()
    assert "&#x27;rad&#x27;" in explorer.status.value and "did you mean" in explorer.status.value
    assert 'role="alert"' in explorer.status.value and "color" in explorer.status.value
    assert explorer.picture.value == before and not explorer.button.disabled
    explorer.caption.value = "a red star"
    explorer.draw()
    assert "alert" not in explorer.status.value


def test_a_mistake_in_the_first_caption_is_shown_too():
    explorer = GuidanceExplorer(Cascade(), caption="a rad star")
    assert "alert" in explorer.status.value and "image/png" in bundle(explorer)[0]


def test_the_explorers_slider_has_a_labelled_field(explorer):
    assert linked(explorer.guidance, "value", explorer.number, "value") and explorer.number.description
    assert (explorer.guidance.min, explorer.guidance.max, explorer.guidance.continuous_update) == (1, 8, False)
    assert (explorer.number.min, explorer.number.max) == (1, 8)


def test_the_explorer_carries_its_last_picture(explorer):
    explorer.seed.value = 2
    explorer.draw()
    data, metadata = bundle(explorer)
    assert metadata["image/png"]["alt"] == "a red star, guidance 2, seed 2" and 'alt="a red star' in data["text/html"]
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id
