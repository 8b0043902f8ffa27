"""The table of signs: it says what the results say, and leaves out what was not measured."""

import json

import pytest

from minunclip.common import DATA
from minunclip.experiments.signs import SIGNS, at, sign, signs


@pytest.mark.parametrize(("a", "b", "expected"), [
    (2.0, 1.0, "more"), (1.0, 2.0, "less"), (1.0, 1.02, "about the same"), (0.0, 0.0, "about the same"),
    (0.96, 1.0, "less"), (-1.0, 1.0, "less"),
])  # fmt: skip
def test_a_sign(a, b, expected):
    assert sign(a, b) == expected


def made_up(stack: float, alone: float) -> dict:
    row = {f"{what}, {model}": {"value": value, "interval": [0, 9], "n": 3}
           for what in ("diversity", "style variability") for model, value in (("full stack", stack),
                                                                               ("caption alone", alone))}  # fmt: skip
    scales = [{"model": "full stack", "guidance": g, "diversity": {"value": 9 - g, "interval": [0, 9], "n": 3}}
              for g in (1, 8)]  # fmt: skip
    return {"guidance": {"at equal fidelity": [row], "guidance of the decoder": scales}}


def test_the_numbers_decide_and_only_a_difference_is_explained():
    same, other = (signs(made_up(*numbers)) for numbers in ((4.0, 2.0), (2.0, 4.0)))
    assert [row["ours"] for row in same] == ["more", "more", "less"]
    assert [row["ours"] for row in other] == ["less", "less", "less"]
    assert same[0]["the numbers"] == "4 against 2" and same[0]["the reason, if they differ"] == ""
    assert other[0]["the reason, if they differ"] == SIGNS[0].reason
    assert same[2]["its sign"] == "about the same" and same[2]["the numbers"] == "1 against 8"


def test_what_was_not_measured_is_left_out():
    assert signs({}) == [] and len(signs(made_up(1, 1))) == 3


def test_a_number_is_found_by_its_row():
    results = {"part": {"title": [{"decoder sees": "z_t", "guidance": 1, "x": 5}, {"decoder sees": "z_t", "guidance": 2,
                                                                                   "x": {"value": 7}}]}}  # fmt: skip
    assert at(results, "part", "title", "x", decoder_sees="z_t", guidance=2) == 7
    with pytest.raises(KeyError, match="no row with"):
        at(results, "part", "title", "x", guidance=3)
    results["part"]["title"] = [{"z_i": "none", "x": 3}, {"z_i": "of the prior", "x": 4}]       # its own underscore
    assert at(results, "part", "title", "x", z_i="of the prior") == 4


def test_every_sign_finds_its_numbers_in_what_is_shipped():
    folder = DATA / "results" / "paper"
    results = {path.stem: json.loads(path.read_text())["tables"] for path in folder.glob("*.json")}
    assert len(signs(results)) == len(SIGNS)
