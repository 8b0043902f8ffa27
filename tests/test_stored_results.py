"""What notebooks read from the stored results: numbers that follow the files, and boxes that read their own sign."""

import math

import pytest

from minunclip.experiments import stored
from minunclip.experiments.runner import keep


def cell(value):
    return {"value": value, "interval": [0.0, 1.0], "n": 9}


def kept(folder, part, tables):
    """Leave a result file of some tables in a folder."""
    rows = {title: [dict(row) for row in table] for title, table in tables.items()}
    keep(rows, folder / f"{part}.json", {"made_with": {}, "machine": "", "seconds": 1.0})


PRIORS = [{"prior": "diffusion, best of 2", "fidelity": 0.9}, {"prior": "autoregressive", "fidelity": 0.8}]


def guided(weak, strong):
    return {"guidance of the prior": [{"guidance": g, "fidelity": f} for g, f in ((1, weak), (4, strong))]}


def test_rows_are_numbers_and_words(tmp_path, monkeypatch):
    content = {"tables": {"a title": [{"model": "ours", "w": 2, "fidelity": cell(0.75), "style": cell(None)}]}}
    (tmp_path / "part.json").touch()
    monkeypatch.setattr(stored, "read_result", lambda path: content)
    assert stored.rows("part", "a title", tmp_path) == [{"model": "ours", "w": 2, "fidelity": 0.75, "style": None}]
    assert stored.number("part", "a title", "fidelity", tmp_path, model="ours", w=2) == 0.75
    assert math.isnan(stored.number("part", "a title", "style", tmp_path, w=2))


def test_what_was_not_measured_is_nothing_and_no_number(tmp_path):
    kept(tmp_path, "two_priors", {"the two priors": PRIORS})
    assert stored.number("two_priors", "the two priors", "fidelity", tmp_path, prior="autoregressive") == 0.8
    assert stored.rows("two_priors", "another", tmp_path) == stored.rows("none", "a title", tmp_path) == []
    for part, title, column, prior in (("none", "the two priors", "fidelity", "autoregressive"),
                                       ("two_priors", "another", "fidelity", "autoregressive"),
                                       ("two_priors", "the two priors", "speed", "autoregressive"),
                                       ("two_priors", "the two priors", "fidelity", "none")):  # fmt: skip
        found = stored.number(part, title, column, tmp_path, prior=prior)
        assert math.isnan(found) and not found > 0 and not found <= 0


def test_a_box_reads_its_sign(tmp_path):
    kept(tmp_path, "prior_guidance", guided(0.8, 0.81))
    same = stored.beside_the_paper("5.5", tmp_path).data
    assert same.startswith("> **As in the paper** (5.5): guiding the prior") and "Here: 0.81 against 0.8." in same
    kept(tmp_path, "prior_guidance", guided(0.8, 0.95))
    other = stored.beside_the_paper("5.5", tmp_path).data
    assert other.startswith("> **Unlike the paper** (5.5). It found that guiding the prior")
    assert "Here it is more: 0.95 against 0.8." in other
    assert "The likely reason: what the caption says" in other


def test_boxes_are_those_of_the_section(tmp_path):
    kept(tmp_path, "prior_guidance", guided(0.8, 0.8))
    kept(tmp_path, "two_priors", {"the two priors": PRIORS})
    assert "both priors" in stored.beside_the_paper("2.2", tmp_path).data
    assert stored.beside_the_paper("5.1", tmp_path).data == stored.NONE
    table = stored.signs_table(tmp_path).data
    assert "guiding the prior" in table and "both priors" in table and table.count("\n|") >= 4


def test_nothing_measured_is_said(tmp_path):
    assert stored.signs_table(tmp_path).data == stored.beside_the_paper("5.5", tmp_path).data == stored.NONE
    (tmp_path / "guidance.json").write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        stored.signs_table(tmp_path)
