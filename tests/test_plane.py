"""Figures of points in a plane: every dot, arrow and way is where the numbers say."""

import io

import numpy as np
import pytest
import torch
from helpers import normal
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from minunclip.plots import COLOURS, Panel, Picture, fill, lattice, plane, small
from minunclip.plots.points import describe

DOTS = torch.tensor([[0.0, 0.0], [1.0, 2.0], [-1.0, 0.5], [3.0, 0.0]])
LABELS = torch.tensor([2, 0, 2, 1])


def filled(panel, limit=2.6):
    axis = Figure().subplots()
    fill(axis, panel, limit)
    return axis


def arrows_of(axis):
    """The tails and the drawn vectors of a field, (M, 2) each."""
    quiver = axis.collections[-1]
    return np.stack([quiver.X, quiver.Y], axis=1), np.stack([quiver.U, quiver.V], axis=1)


# -- one panel -----------------------------------------------------------------------------------------------


def test_dots_have_the_colour_and_the_mark_of_their_label():
    clouds = filled(Panel(DOTS, LABELS)).collections
    assert [cloud.get_offsets().tolist() for cloud in clouds] == [[[1, 2]], [[3, 0]], [[0, 0], [-1, 0.5]]]
    assert [to_hex(cloud.get_facecolor()[0]) for cloud in clouds] == list(COLOURS[:3])
    marks = [cloud.get_paths()[0].vertices for cloud in clouds]
    assert not any(np.array_equal(marks[i], marks[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_dots_without_labels_are_grey():
    [cloud] = filled(Panel(DOTS)).collections
    assert cloud.get_offsets().tolist() == DOTS.tolist()
    assert to_hex(cloud.get_facecolor()[0]) not in COLOURS


def test_an_arrow_points_where_it_should_and_weak_ones_can_be_seen():
    tails, directions = lattice(4), torch.zeros(16, 2)
    directions[:3] = torch.tensor([[0.0, 4.0], [1.0, 0.0], [-3.0, -4.0]])
    at, drawn = arrows_of(filled(Panel(arrows=(tails, directions))))
    assert np.allclose(at, tails)
    lengths = np.linalg.norm(drawn, axis=1)
    assert np.allclose(drawn[:3] / lengths[:3, None], [[0, 1], [1, 0], [-0.6, -0.8]])
    spacing = tails[1, 1] - tails[0, 1]
    assert spacing < lengths[2] < 1.5 * spacing                         # the longest, a bit beyond its neighbour
    assert np.allclose(lengths[:3] / lengths[2], [0.8**0.5, 0.2**0.5, 1]) and (lengths[3:] < 0.01).all()


def test_a_field_of_nothing_is_drawn_too():
    assert np.isfinite(arrows_of(filled(Panel(arrows=(lattice(3), torch.zeros(9, 2)))))[1]).all()


def test_a_way_goes_from_its_first_place_to_its_last():
    paths = normal(5, 3, 2)                                             # (S, P, 2)
    lines = filled(Panel(paths=paths)).lines
    ways, ends = lines[::2], lines[1::2]
    for n, (way, end) in enumerate(zip(ways, ends, strict=True)):
        assert np.allclose(way.get_xydata(), paths[:, n]) and np.allclose(end.get_xydata(), paths[-1:, n])


def test_a_panel_shows_the_same_square_whatever_is_in_it():
    axis = filled(Panel(10 * DOTS), limit=1.5)
    assert axis.get_xlim() == axis.get_ylim() == (-1.5, 1.5) and axis.get_aspect() == 1


# -- the whole figure ----------------------------------------------------------------------------------------


def read(picture):
    """The pixels of a Picture as it is saved."""
    return np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB"))


def middle(picture, other):
    """The mean (x, y) of the pixels in which two pictures of one size differ."""
    a, b = (read(one).astype(int) for one in (picture, other))
    y, x = np.nonzero(np.abs(a - b).sum(axis=-1) > 30)
    return x.mean(), y.mean()


def test_a_dot_is_where_it_belongs_on_the_page():
    none, *pages = (plane({"a": Panel(dots), "b": Panel()}) for dots in (
        None, torch.tensor([[0.0, 0.0]]), torch.tensor([[1.3, 0.0]]), torch.tensor([[0.0, 1.3]])))  # fmt: skip
    (x, y), (x_right, y_right), (x_up, y_up) = (middle(page, none) for page in pages)
    quarter = none.image.width / 2 / 4                                  # 1.3 is a quarter of a panel
    assert abs(y_right - y) < 2 and 0.8 < (x_right - x) / quarter < 1.05
    assert abs(x_up - x) < 2 and 0.8 < (y - y_up) / quarter < 1.05


def test_panels_fill_their_rows():
    sizes = [plane({str(n): Panel() for n in range(count)}, columns=3).image.size for count in (2, 3, 5)]
    (w_2, h_2), (w_3, h_3), (w_5, h_5) = sizes
    assert w_2 * 3 == w_3 * 2 and w_5 == w_3 and h_2 == h_3 and abs(h_5 - 2 * h_3) <= 1


def test_the_figure_is_told_in_words():
    told = plane({"left": Panel(DOTS, LABELS), "right": Panel(arrows=(lattice(3), lattice(3)))}, limit=2.0).alt
    assert told == ("Points in a plane, -2 to 2 along both axes. "
                    "left: 4 dots around (0.75, 0.62), 25% outside; right: 9 arrows.")  # fmt: skip


@pytest.mark.parametrize("panel, words", [
    (Panel(), "empty"), (Panel(paths=torch.zeros(7, 3, 2)), "the ways of 3 points"),
    (Panel(DOTS[:2], paths=torch.zeros(7, 1, 2)), "2 dots around (0.50, 1.00), the ways of 1 points"),
])  # fmt: skip
def test_each_part_of_a_panel_is_told(panel, words):
    assert describe(panel, 2.6) == words


# -- small things --------------------------------------------------------------------------------------------


def test_a_small_picture_looks_the_same():
    large = Picture(plane({"a": Panel(normal(300, 2), torch.arange(300) % 3)}).image, "three clouds")
    again = small(large, colours=16)
    assert len(again.png()) < len(large.png()) and again.alt == large.alt
    off = np.abs(read(again).astype(int) - read(large))
    assert 0 < off.mean() < 2


def test_a_lattice_is_even_and_keeps_half_a_step_from_the_edge():
    points = lattice(5, limit=2.5)
    assert points.shape == (25, 2) and len(points.unique(dim=0)) == 25
    assert points.unique().tolist() == [-2, -1, 0, 1, 2]
