"""The curves, tables and maps show the numbers that they are given."""

import json

import numpy as np
import pytest
import torch
from PIL import ImageColor

from minunclip.evaluation import Judge
from minunclip.evaluation.judge import JudgeConfig
from minunclip.plots import COLOURS, curves
from minunclip.plots.charts import heatmap, loss_curve, picture_map, running_mean
from minunclip.training import Record


def records(losses):
    return [Record(i + 1, loss, 64 * (i + 1), 1e-3, 1.0, 0.1 * i) for i, loss in enumerate(losses)]


def drawn(picture, number):
    """How many pixels have the colour of this line."""
    return int((np.asarray(picture.image) == ImageColor.getrgb(COLOURS[number])).all(axis=-1).sum())


def test_every_line_is_drawn_and_told():
    picture = curves({"one": ([1, 2, 3], [0.5, 0.25, 0.125]), "two": ([1, 3], [1, 2])}, "step", "loss")
    assert picture.alt == "Curves of loss against step: one from 0.5 at 1 to 0.125 at 3; two from 1 at 1 to 2 at 3."
    assert drawn(picture, 0) and drawn(picture, 1) and not drawn(picture, 2)


def test_the_picture_depends_on_the_numbers_and_on_the_axis():
    xs = (1, 2, 9), (1, 4, 9)
    pictures = [curves({"line": (x, [1, 2, 4])}, "x", "y", log_x) for x in xs for log_x in (False, True)]
    assert len({picture.png() for picture in pictures}) == 4


def test_few_points_are_marked():
    few, many = (curves({"line": (range(n), [1.0] * n)}, "x", "y") for n in (20, 21))
    assert drawn(few, 0) > 1.5 * drawn(many, 0)


def test_the_running_mean_starts_with_what_there_is():
    assert running_mean(records([4.0, 2.0, 3.0, 7.0]), 3) == pytest.approx([4, 3, 3, 4])
    assert running_mean(records([4.0, 2.0]), 1) == [4, 2]


def test_the_full_training_is_shown_where_it_left_its_curve(tmp_path):
    alone = loss_curve(records([2.0, 1.0]), "judge", 1, tmp_path)
    assert "this training from 2 at 64 to 1 at 128" in alone.alt and "full" not in alone.alt
    Judge(JudgeConfig(width=8)).save(tmp_path / "judge.safetensors", train=json.dumps({"batch": 128}))
    points = [{"step": 1, "loss": 1.5, "seconds": 0.3}, {"step": 1800, "loss": 0.002, "seconds": 600.0}]
    (tmp_path / "judge.curve.json").write_text(json.dumps(points))
    beside = loss_curve(records([2.0, 1.0]), "judge", 1, tmp_path)
    assert "the full training from 1.5 at 128 to 0.002 at 2.3e+05" in beside.alt
    assert drawn(beside, 1) and not drawn(alone, 1)
    assert loss_curve(records([2.0, 1.0]), "clip", 1, tmp_path).alt == alone.alt


def test_no_records_is_an_error():
    with pytest.raises(ValueError, match="keep what train"):
        loss_curve([], "judge")


# -- tables and maps -----------------------------------------------------------------------------------------


def test_a_table_is_told_and_written_out():
    picture = heatmap(torch.tensor([[0.0, 0.5], [1.0, -0.25]]), ["one", "two"], ["a", "b"], "cosine")
    assert picture.alt == "Table of cosine, one: 0.00, 0.50; two: 1.00, -0.25."
    assert "0.5" in heatmap(torch.tensor([[0.52]]), ["one"], ["a"], "cosine", digits=1).alt


def test_a_large_table_is_told_in_short():
    picture = heatmap(torch.arange(225.0).view(15, 15), [str(n) for n in range(15)], list("abcdefghijklmno"), "size")
    assert picture.alt == "Table of size, 15 by 15, from 0.00 to 224.00."


def test_the_darkest_cell_is_the_largest_number():
    table = torch.zeros(3, 3)
    table[0, 2] = 1
    dark = (np.asarray(heatmap(table, list("abc"), list("def"), "share").image) == (8, 48, 107)).all(axis=-1)
    rows, columns = np.nonzero(dark)
    height, width = dark.shape
    assert dark.sum() > 500 and columns.min() > width / 2 and rows.max() < height / 2


def test_pictures_head_the_columns():
    images = torch.stack([torch.tensor(colour)[:, None, None].expand(3, 8, 8)
                          for colour in ([1.0, -1, -1], [-1, 1.0, -1])])  # fmt: skip
    pixels = np.asarray(heatmap(torch.eye(2), ["one", "two"], images, "cosine").image)
    red, green = ((pixels == colour).all(axis=-1) for colour in ((255, 0, 0), (0, 255, 0)))
    assert red.sum() > 300 and green.sum() > 300
    assert np.nonzero(red)[1].max() < np.nonzero(green)[1].min()                # in their order
    blue = np.nonzero((pixels == (8, 48, 107)).all(axis=-1))[0]
    assert np.nonzero(red)[0].max() < blue.min()                                # and above the table


def test_each_picture_of_a_map_is_at_its_point():
    images = [torch.tensor(colour)[:, None, None].expand(3, 8, 8)
              for colour in ([1.0, -1, -1], [-1, 1.0, -1], [-1, -1, 1.0])]  # fmt: skip
    picture = picture_map(images, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), "axis 1", "axis 2")
    pixels = np.asarray(picture.image)
    (y, x), (y_right, x_right), (y_up, x_up) = (
        [axis.mean() for axis in np.nonzero((pixels == colour).all(axis=-1))]
        for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    )
    assert x_right > x + 100 and abs(y_right - y) < 2 and y_up < y - 100 and abs(x_up - x) < 2
    assert picture.alt == "Map of 3 pictures by axis 1 and axis 2."
