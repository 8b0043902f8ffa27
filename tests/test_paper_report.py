"""The figures and the page of the paper suite's results, and single pieces of them for notebooks."""

import pytest
from PIL import Image

from minunclip import experiments
from minunclip.experiments import figures, report
from minunclip.experiments.runner import keep
from minunclip.plots import Picture


def test_figures_of_one_point_and_of_no_number():
    def cell(value):
        return {"value": value, "interval": [value, value], "n": 1}

    variety = {"fidelity": cell(0.9), "diversity": cell(3.0), "style variability": cell(None)}
    rows = [{"model": "ours", "guidance": 1, **variety}]
    found = figures.guidance({"guidance of the decoder": rows, "the most that there can be": rows})
    assert sorted(found) == ["fidelity-diversity", "fidelity-style"]
    assert "ours from 3 at 0.9" in found["fidelity-diversity"].alt
    assert "as varied as the world" in found["fidelity-style"].alt
    assert "one thing 0.5; none nan" in figures.intervals({"one thing": cell(0.5), "none": cell(None)}, "share").alt


def test_every_part_has_words_and_figures():
    names = [part.__name__ for part in experiments.PARTS]
    assert list(figures.CHARTS) and set(figures.CHARTS) == set(report.SECTIONS) == set(names) and len(set(names)) == 14


def test_single_pieces_for_notebooks(tmp_path):
    picture = Picture(Image.new("RGB", (3, 2)), "nothing to see")
    record = {"made_with": {}, "machine": "", "seconds": 1.0}
    keep({"a title": [{"model": "ours", "n": 3}], "a-figure": picture}, tmp_path / "part.json", record)
    assert "| ours | 3 |" in report.table("part", "a title", tmp_path).data
    assert report.table("part", "another", tmp_path).data == report.table("none", "", tmp_path).data == report.NONE
    assert report.figure("none", tmp_path).data == report.NONE
    assert report.figure("a-figure", tmp_path).alt == "nothing to see"


def test_damaged_pieces_are_named(tmp_path):
    for name, read in (("part.json", lambda: report.table("part", "", tmp_path)),
                       ("a-figure.png", lambda: report.figure("a-figure", tmp_path))):  # fmt: skip
        (tmp_path / name).write_text("{}")
        with pytest.raises(ValueError, match=f"{name} is .*again with minunclip evaluate --suite paper --fresh"):
            read()
