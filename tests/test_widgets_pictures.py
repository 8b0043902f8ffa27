"""The slider that moves a picture's style: what it adds to z_i, and what it shows, without a browser."""

import pytest
import torch
from helpers import normal, tiny_cascade
from test_widgets import bundle

from minunclip.course.widgets.pictures import StyleExplorer, Styles, style_grid


@pytest.fixture(scope="module")
def styles():
    return Styles(tiny_cascade(), {"noto": normal(12, seed=1), "fluent": normal(12, seed=2)})


@pytest.fixture(scope="module")
def things():
    image, z_i = normal(2, 3, 32, 32).clamp(-1, 1), normal(2, 12, seed=4)
    return {"a star": (image[0], "noto", z_i[0]), "an <owl>": (image[1], "fluent", z_i[1])}


def test_a_style_is_moved_along_the_difference_of_two_means(styles):
    z_i = normal(12, seed=3)
    moved = styles.moved(z_i, "noto", "fluent", torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(moved[0], z_i)
    torch.testing.assert_close(moved[2] - styles.means["fluent"], z_i - styles.means["noto"])
    torch.testing.assert_close(moved[1], (moved[0] + moved[2]) / 2)


def test_all_are_drawn_from_one_noise(styles):
    z_i = normal(12, seed=3)
    once, twice = styles.drawn(z_i[None], seed=2), styles.drawn(z_i.expand(2, -1), seed=2)
    torch.testing.assert_close(twice, once.expand(2, -1, -1, -1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(styles.drawn(z_i[None], seed=3), once)


def test_the_grid_has_a_page_for_each_thing_and_share(styles, things):
    box = style_grid(styles, things, "fluent", (0.0, 1.0))
    pages = [page.value for stack in box.children[2].children for page in stack.children]
    assert len(pages) == 4 and "an &lt;owl&gt;, 1 of the way to fluent" in pages[3]
    assert "image/png" in bundle(box)[0]


def test_the_explorer_draws_what_its_knobs_say(styles, things):
    explorer = StyleExplorer(styles, things)
    first = explorer.picture.value
    assert "a star, 1 of the way to noto" in explorer.status.value and explorer.still.image.width > 200
    explorer.end.value = "fluent"
    second = explorer.picture.value
    explorer.theta.value, explorer.thing.value = 0.5, "an <owl>"
    assert "an &lt;owl&gt;, 0.5 of the way to fluent" in explorer.status.value
    assert first != second and "alert" not in explorer.status.value
