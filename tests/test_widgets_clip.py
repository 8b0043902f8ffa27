"""The embedding explorer, without a browser: what its pages show, and what a caption changes."""

import base64
import io

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from helpers import TINY_CLIP, normal, randomise
from PIL import Image
from test_widgets import bundle, linked

from minunclip.clip import CLIP
from minunclip.course.widgets.clip import BAR, LIKE, SIDE, UNLIKE, SimilarityExplorer, cosines, shelf, similarity_grid

NAMES = ("a <red> star", "moon", "fish")
CAPTIONS = ["a red star", "a moon", "a fish"]


@pytest.fixture(scope="module")
def clip():
    return randomise(CLIP(TINY_CLIP))


@pytest.fixture(scope="module")
def pictures():
    return dict(zip(NAMES, normal(3, 3, 32, 32).clamp(-1, 1), strict=True))


def painted(image, colour):
    """The columns and rows of the pixels in this colour, as (left, right, top, bottom)."""
    y, x = np.nonzero((np.asarray(image) == colour).all(axis=-1))
    return (x.min(), x.max(), y.min(), y.max()) if len(x) else None


# -- the shelf -----------------------------------------------------------------------------------------------


def test_a_bar_is_as_long_as_its_cosine(pictures):
    grey = {name: torch.zeros(3, 32, 32) for name in pictures}
    lengths = {}
    for cosine in (1.0, 0.5, -0.5, -1.0):
        page = shelf(grey, torch.tensor([cosine, 0.0, 0.0]), "a star")
        first = page.image.crop((0, 0, SIDE + 12, page.image.height))
        colour, other = (LIKE, UNLIKE) if cosine > 0 else (UNLIKE, LIKE)
        left, right = painted(first, colour)[:2]
        lengths[cosine] = right - left
        assert painted(first, other) is None
        assert abs((left if cosine > 0 else right) - lengths.setdefault("zero", left)) <= 1
    assert lengths[1.0] == lengths[-1.0] == SIDE // 2 and lengths[0.5] == lengths[-0.5] == SIDE // 4


def test_the_best_picture_is_framed_and_named(pictures):
    pages = [shelf(pictures, torch.eye(3)[n], "a star") for n in range(3)]
    assert len({painted(page.image, (255, 214, 92)) for page in pages}) == 3
    assert [page.alt.partition("The highest: ")[2] for page in pages] == [f"{name}." for name in NAMES]
    assert "moon 1.00; fish 0.00" in pages[1].alt and "'a star'" in pages[1].alt


def test_a_shelf_has_as_many_rows_as_it_needs(pictures):
    heights = [shelf(pictures, torch.zeros(3), "a star", columns).image.height for columns in (3, 2, 1)]
    assert heights[1] - heights[0] == heights[2] - heights[1] == SIDE + BAR + 8


# -- the cosines ---------------------------------------------------------------------------------------------


def test_cosines_are_those_of_each_pair_alone(clip, pictures):
    table = cosines(clip, pictures, CAPTIONS[:2])
    assert table.shape == (2, 3) and not table.requires_grad
    for row, caption in enumerate(CAPTIONS[:2]):
        for column, image in enumerate(pictures.values()):
            z_i, z_t = clip.encode_image(image[None])[0], clip.encode_text([caption]).embed[0]
            expected = torch.nn.functional.cosine_similarity(z_i, z_t, dim=0)
            torch.testing.assert_close(table[row, column], expected.detach(), atol=1e-5, rtol=1e-5)


# -- the grid ------------------------------------------------------------------------------------------------


def test_the_grid_works_in_the_browser_alone(clip, pictures):
    knobs, stack = similarity_grid(clip, pictures, CAPTIONS).children
    slider, choice = knobs.children
    assert isinstance(stack, widgets.Stack) and len(stack.children) == 3
    assert linked(slider, "index", stack, "selected_index") and linked(slider, "index", choice, "index")
    assert [name for name, _ in choice.options] == CAPTIONS and choice.description


def test_each_page_shows_its_own_caption(clip, pictures):
    stack = similarity_grid(clip, pictures, CAPTIONS).children[1]
    rows = cosines(clip, pictures, CAPTIONS)
    for caption, row, page in zip(CAPTIONS, rows, stack.children, strict=True):
        assert f"{caption}&#x27;: a &lt;red&gt; star {row[0]:.2f}; moon {row[1]:.2f}" in page.value


def test_the_grid_has_a_still_for_pages_without_widgets(clip, pictures):
    data, metadata = bundle(similarity_grid(clip, pictures, CAPTIONS))
    sheet = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert sheet.height > 3 * SIDE and all(caption in metadata["image/png"]["alt"] for caption in CAPTIONS)


@pytest.mark.parametrize("no_pictures", [True, False])
def test_an_empty_grid_is_an_error(clip, pictures, no_pictures):
    with pytest.raises(ValueError, match="give some of both"):
        similarity_grid(clip, {} if no_pictures else pictures, CAPTIONS if no_pictures else [])


# -- the explorer --------------------------------------------------------------------------------------------


def test_a_new_caption_is_compared_at_once_and_by_the_button(clip, pictures):
    explorer = SimilarityExplorer(clip, pictures, "a red star")
    first = explorer.picture.value
    explorer.caption.value = "a moon"
    assert explorer.picture.value != first and "a moon" in explorer.status.value
    best = NAMES[int(cosines(clip, pictures, ["a moon"]).argmax())].replace("<", "&lt;").replace(">", "&gt;")
    assert f"Nearest: {best}" in explorer.status.value
    explorer.picture.value = b""
    explorer.button.click()
    assert Image.open(io.BytesIO(explorer.picture.value)).size == explorer.still.image.size
    assert explorer.caption.continuous_update is False and explorer.caption.description


def test_mistakes_are_shown_and_not_raised(clip, pictures):
    explorer = SimilarityExplorer(clip, pictures, "a red star")
    before = explorer.picture.value
    explorer.caption.value = "a red stra"
    assert 'role="alert"' in explorer.status.value and "did you mean" in explorer.status.value
    assert explorer.picture.value == before and not explorer.button.disabled
    explorer.caption.value = "a star"
    assert "alert" not in explorer.status.value and explorer.picture.value != before


def test_the_explorer_carries_its_last_picture(clip, pictures):
    explorer = SimilarityExplorer(clip, pictures, "a fish")
    data, metadata = bundle(explorer)
    assert "'a fish'" in metadata["image/png"]["alt"] and data["application/vnd.jupyter.widget-view+json"]
