"""Results of the paper suite are kept, read again, refused if they are damaged, and shown as tables."""

import json
import math
from functools import partial

import pytest
from PIL import Image

from minunclip.evaluation import Estimate, Share
from minunclip.experiments import runner
from minunclip.plots import Picture

SEEDED = dict.fromkeys(("first", "second"), {"seed": 0})


def counted(calls: list[str]):
    """Two parts that note down that they ran."""
    row = {"n": 1, "share": Share(1, 2), "nothing": math.nan, "about": Estimate(math.nan, (0.5, 1.0), 7)}
    picture = Picture(Image.new("RGB", (3, 2)), "nothing to see")

    def part(name: str) -> runner.Found:
        calls.append(name)
        return {f"table {name}": [row], "a remark": "It rains.", f"picture-{name}": picture}

    return {name: partial(part, name) for name in ("first", "second")}


def test_what_was_measured_is_kept(tmp_path):
    calls, made_with = [], dict.fromkeys(("first", "second"), {"seed": 0, "size": {"guidances": (1, 2)}})
    results = runner.run(counted(calls), tmp_path, made_with)
    assert calls == ["first", "second"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "first.json", "picture-first.png", "picture-second.png", "second.json"]  # fmt: skip
    with Image.open(tmp_path / "picture-second.png") as image:
        assert (image.size, image.text["Description"]) == ((3, 2), "nothing to see")
    assert json.loads((tmp_path / "first.json").read_text())["pictures"] == {"picture-first.png": "nothing to see"}
    assert results["first"]["a remark"] == "It rains." and "picture-first" not in results["first"]
    assert results["first"]["table first"] == [{
        "n": 1, "share": {"value": 0.5, "interval": list(Share(1, 2).interval), "n": 2}, "nothing": None,
        "about": {"value": None, "interval": [0.5, 1.0], "n": 7},
    }]  # fmt: skip
    assert runner.run(counted(calls), tmp_path, made_with) == results and calls == ["first", "second"]
    assert runner.run(counted(calls), tmp_path, made_with, fresh=True) == results and calls == ["first", "second"] * 2


def test_a_lost_picture_is_drawn_again(tmp_path):
    calls = []
    runner.run(counted(calls), tmp_path, SEEDED)
    (tmp_path / "picture-first.png").unlink()
    runner.run(counted(calls), tmp_path, SEEDED)
    assert calls == ["first", "second", "first"] and (tmp_path / "picture-first.png").is_file()


def test_a_stopped_run_goes_on(tmp_path):
    calls = []

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(counted(calls) | {"second": stopped}, tmp_path, SEEDED)
    assert [path.name for path in tmp_path.glob("*.json")] == ["first.json"]
    runner.run(counted(calls), tmp_path, SEEDED)
    assert calls == ["first", "second"]


def test_a_stopped_fresh_run_keeps_nothing_old(tmp_path):
    calls = []
    runner.run(counted(calls), tmp_path, SEEDED)
    with pytest.raises(ZeroDivisionError):
        runner.run({"first": lambda: 1 / 0, "second": lambda: {}}, tmp_path, SEEDED, fresh=True)
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize("content", [
    "", "{", "[]", "null", '{"tables": {}, "pictures": {}}', '{"tables": {}, "pictures": {}, "made_with": 1}',
    '{"tables": {}, "made_with": {"seed": 0}}',
])  # fmt: skip
def test_a_damaged_result_says_so(tmp_path, content):
    calls = []
    runner.run(counted(calls), tmp_path, SEEDED)
    (tmp_path / "second.json").write_text(content)
    with pytest.raises(ValueError, match=r"second\.json is damaged .*--fresh"):
        runner.run(counted(calls), tmp_path, SEEDED)
    runner.run(counted(calls), tmp_path, SEEDED, fresh=True)
    assert calls == ["first", "second"] * 2


def test_results_of_other_weights_are_not_taken_for_these(tmp_path):
    made_with = {"weights": {"clip": "a"}, "seed": 0}
    runner.run(counted([]), tmp_path, {"first": made_with, "second": made_with})
    for part in ("first", "second"):
        for name, value in (("weights", {"clip": "b"}), ("seed", 1)):
            with pytest.raises(ValueError, match=rf"{part}\.json was measured with other {name}.*--fresh"):
                runner.run(counted([]), tmp_path, {"first": made_with, "second": made_with}
                          | {part: made_with | {name: value}})  # fmt: skip


def test_the_tables_in_markdown():
    row = runner.plain({"model": "ours", "guidance": 2, "fidelity": Share(81, 263), "nothing": math.nan})
    assert runner.markdown({"part": {"a title": [row], "a remark": "It rains."}}).splitlines() == [
        "**a title**", "", "| model | guidance | fidelity | nothing |", "| --- | --- | --- | --- |",
        "| ours | 2 | 0.308 (0.255 to 0.366) | - |", "", "**a remark**", "", "It rains.",
    ]  # fmt: skip


def test_a_table_has_three_digits_and_no_exponents():
    share = {"value": 0.12345, "interval": [0.1, 2000.4], "n": 9}
    table = runner.table_of("guidance", [{"w": 3, "distance": 1484.2, "share": share, "none": None, "who": "both"}])
    assert table.splitlines() == [
        "**guidance**", "", "| w | distance | share | none | who |", "| --- | --- | --- | --- | --- |",
        "| 3 | 1480 | 0.123 (0.1 to 2000) | - | both |",
    ]  # fmt: skip
