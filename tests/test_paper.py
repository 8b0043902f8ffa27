"""The paper suite on a tiny cascade of random weights: what it computes, writes, keeps and refuses."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ship, tiny_cascade, tiny_folder
from paper_helpers import FEW, TINY, tiny_study
from PIL import Image

from minunclip import paper
from minunclip.__main__ import main
from minunclip.metrics import Estimate, Share
from minunclip.paper import alike, copies, suite, words
from minunclip.paper import study as studying
from minunclip.paper.study import Study
from minunclip.plots import Picture
from minunclip.scenes import STYLES
from minunclip.unclip import UnCLIP


@pytest.fixture(scope="module")
def study() -> Study:
    return tiny_study()


# ---- pictures of many captions


def test_pictures_are_those_of_the_cascade(study, monkeypatch):
    """Embedding and decoding apart, in batches of any size, is what `sample` does."""
    captions, cascade = [item.caption for item in study.singles], study.bench.cascade
    expected = cascade.sample(captions, seed=3, size=32)
    monkeypatch.setattr(Study, "batches", lambda self, n: [slice(i, min(i + 4, n)) for i in range(0, n, 4)])
    z_i = study.embed(captions)
    torch.testing.assert_close(z_i, expected.z_i, rtol=1e-4, atol=1e-5)
    images = torch.cat(list(study.pictures(captions, z_i, "test")))
    torch.testing.assert_close(images, expected.image, rtol=1e-3, atol=1e-4)


def test_settings_reach_both_stages(study):
    captions = [item.caption for item in study.singles]
    plain, guided = study.embed(captions), study.embed(captions, prior_guidance=4.0)
    assert not torch.allclose(plain, guided, atol=1e-3)
    draw = lambda z_i, **settings: torch.cat(list(study.pictures(captions, z_i, "test", **settings)))  # noqa: E731
    images = [draw(plain), draw(plain, decoder_guidance=1.0), draw(guided), draw(None)]
    assert all(not torch.allclose(a, b, atol=1e-3) for i, a in enumerate(images) for b in images[:i])


def test_the_parts_of_a_batch_are_whole(study):
    assert study.batches(120) == [slice(0, 50), slice(50, 100), slice(100, 120)] and study.batches(0) == []
    assert study.group_captions[:4] == [study.bench.items[0].caption] * 3 + [study.bench.items[1].caption]


def test_variety_goes_caption_by_caption(study, monkeypatch):
    """A judge that sees the true scenes, but the second caption's in three styles and the third's all false."""
    seen = []
    for i, item in enumerate(study.groups):
        scenes = [item.scene] * 3
        if i == 1:
            scenes = [replace(item.scene, style=style) for style in STYLES[:3]]
        if i == 2:
            scenes = [replace(item.scene, things=item.scene.things + item.scene.things[:1])] * 3
        seen += scenes
    monkeypatch.setattr(Study, "read", lambda self, pictures: seen)
    found = study.variety(None, "test")
    true = [np.mean([item.statement.holds_in(scene) for scene in seen[3 * i : 3 * i + 3]])
            for i, item in enumerate(study.groups)]  # fmt: skip
    assert found.fidelity.tolist() == true and true[2] == 0 and true[0] == true[3] == 1
    assert math.isnan(found.facts[2]) and found.facts[0] == found.facts[3] == 0
    style = study.groups[1].statement.style
    assert math.isnan(found.style[1]) if style else found.style[1] > 0
    assert found.row(0)["fidelity"].value == pytest.approx(np.mean(true))


# ---- results are kept


SEEDED = dict.fromkeys(("first", "second"), {"seed": 0})


def counted(calls: list[str]):
    """Two parts that note down that they ran."""
    row = {"n": 1, "share": Share(1, 2), "nothing": math.nan, "about": Estimate(math.nan, (0.5, 1.0), 7)}
    picture = Picture(Image.new("RGB", (3, 2)), "nothing to see")
    results = lambda name: {f"table {name}": [row], "a remark": "It rains.", f"picture-{name}": picture}  # noqa: E731
    return {name: lambda name=name: calls.append(name) or results(name) for name in ("first", "second")}


def test_what_was_measured_is_kept(tmp_path):
    calls, made_with = [], dict.fromkeys(("first", "second"), {"seed": 0, "size": {"guidances": (1, 2)}})
    results = suite.run(counted(calls), tmp_path, made_with)
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
    assert suite.run(counted(calls), tmp_path, made_with) == results and calls == ["first", "second"]
    assert suite.run(counted(calls), tmp_path, made_with, fresh=True) == results and calls == ["first", "second"] * 2


def test_a_lost_picture_is_drawn_again(tmp_path):
    calls = []
    suite.run(counted(calls), tmp_path, SEEDED)
    (tmp_path / "picture-first.png").unlink()
    suite.run(counted(calls), tmp_path, SEEDED)
    assert calls == ["first", "second", "first"] and (tmp_path / "picture-first.png").is_file()


def test_a_stopped_run_goes_on(tmp_path):
    calls = []

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suite.run(counted(calls) | {"second": stopped}, tmp_path, SEEDED)
    assert [path.name for path in tmp_path.glob("*.json")] == ["first.json"]
    suite.run(counted(calls), tmp_path, SEEDED)
    assert calls == ["first", "second"]


def test_a_stopped_fresh_run_keeps_nothing_old(tmp_path):
    calls = []
    suite.run(counted(calls), tmp_path, SEEDED)
    with pytest.raises(ZeroDivisionError):
        suite.run({"first": lambda: 1 / 0, "second": lambda: {}}, tmp_path, SEEDED, fresh=True)
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize("content", [
    "", "{", "[]", "null", '{"tables": {}, "pictures": {}}', '{"tables": {}, "pictures": {}, "made_with": 1}',
    '{"tables": {}, "made_with": {"seed": 0}}',
])  # fmt: skip
def test_a_damaged_result_says_so(tmp_path, content):
    calls = []
    suite.run(counted(calls), tmp_path, SEEDED)
    (tmp_path / "second.json").write_text(content)
    with pytest.raises(ValueError, match=r"second\.json is damaged .*--fresh"):
        suite.run(counted(calls), tmp_path, SEEDED)
    suite.run(counted(calls), tmp_path, SEEDED, fresh=True)
    assert calls == ["first", "second"] * 2


def test_results_of_other_weights_are_not_taken_for_these(tmp_path):
    made_with = {"weights": {"clip": "a"}, "seed": 0}
    suite.run(counted([]), tmp_path, {"first": made_with, "second": made_with})
    for part in ("first", "second"):
        for name, value in (("weights", {"clip": "b"}), ("seed", 1)):
            with pytest.raises(ValueError, match=rf"{part}\.json was measured with other {name}.*--fresh"):
                suite.run(counted([]), tmp_path, {"first": made_with, "second": made_with}
                          | {part: made_with | {name: value}})  # fmt: skip


def test_the_tables_in_markdown():
    row = suite.plain({"model": "ours", "guidance": 2, "fidelity": Share(81, 263), "nothing": math.nan})
    assert suite.markdown({"part": {"a title": [row], "a remark": "It rains."}}).splitlines() == [
        "**a title**", "", "| model | guidance | fidelity | nothing |", "| --- | --- | --- | --- |",
        "| ours | 2 | 0.308 (0.255 to 0.366) | - |", "", "**a remark**", "", "It rains.",
    ]  # fmt: skip


# ---- all of it


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The tiny weights are the shipped ones, and both sizes are tiny."""
    folder = tiny_folder(tmp_path / "weights")
    ship(monkeypatch, folder)
    monkeypatch.setattr(suite, "weights_folder", lambda name: folder)
    monkeypatch.setattr(paper, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(paper, "QUICK", TINY)
    monkeypatch.setattr(paper, "Scenes", lambda split, length, seed: FEW)
    monkeypatch.setattr(UnCLIP, "from_pretrained", lambda name, device: tiny_cascade())
    monkeypatch.setattr(copies, "INVERSION_STEPS", (2, 3))
    for part in (alike, words):
        monkeypatch.setattr(part, "STEPS", 2)


def test_the_whole_suite(tiny, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    arguments = ["evaluate", "--suite", "paper", "--quick", "--out", str(out), "--seed", "0"]
    assert main(arguments) == 0
    printed, folder = capsys.readouterr().out, out / "results" / "paper"
    results = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert sorted(results) == sorted(part.__name__ for part in paper.PARTS)
    assert all("decoder" in found["made_with"]["weights"] for found in results.values())
    assert [name for name in results if "ar-prior" in paper.stages_of(name)] == ["two_priors"]
    tables = {title: rows for found in results.values() for title, rows in found["tables"].items()}
    settings = lambda title, *names: [tuple(row[name] for name in names) for row in tables[title]]  # noqa: E731
    models = ("full stack", "caption alone")
    assert settings("guidance of the decoder", "model", "guidance") == [(m, g) for m in models for g in (1, 4)]
    assert settings("is the prior needed?", "decoder sees") == [("caption only",), ("z_t as z_i",), ("full stack",)]
    assert settings("the best of several z_i", "candidates") == [(1,), (2,), (4,), (8,)]
    assert settings("guidance of the prior", "guidance") == [(1,), (3,)]
    assert tables["the best of several z_i"][0]["gain"] == {"value": 0, "interval": [0, 0], "n": 6}
    for far in (row["Frechet distance"] for row in tables["is the prior needed?"]):
        assert far["interval"][0] < far["value"] < far["interval"][1]
    assert "has no weights here" in tables["the autoregressive prior"]
    assert all(title in printed for title in tables)

    page = (folder / "README.md").read_text()
    shown = re.findall(r"!\[([^]]+)\]\(([^)]+)\)", page)
    assert sorted(file for _, file in shown) == sorted(path.name for path in folder.glob("*.png"))
    for alt, file in shown:
        with Image.open(folder / file) as figure:
            assert figure.width > 400 and len(alt) > 30 and "seed 0" in figure.text["Description"], file
            assert (folder / file).stat().st_size < 300_000, file

    monkeypatch.setattr(studying, "decode", None)  # the second time nothing is drawn
    assert main(arguments) == 0 and capsys.readouterr().out == printed
    assert (folder / "README.md").read_text() == page


@pytest.mark.parametrize(("arguments", "message"), [
    (["--suite", "paper", "--captions", "20"], "--captions is for the scenes suite"),
    (["--quick"], "add --suite paper"), (["--fresh"], "add --suite paper"),
])  # fmt: skip
def test_options_of_the_other_suite_are_refused(arguments, message, capsys):
    assert main(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_quick_run_replaces_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "PACKAGE", tmp_path / "minunclip")
    monkeypatch.setattr(paper, "PARTS", (paper.rerank,))
    paper.measure(quick=True)
    made = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "data").rglob("*.*"))
    assert made == [f"data/quick/results/paper/{name}" for name in ("README.md", "rerank.json", "rerank.png")]


def test_a_table_has_three_digits_and_no_exponents():
    share = {"value": 0.12345, "interval": [0.1, 2000.4], "n": 9}
    table = suite.table_of("guidance", [{"w": 3, "distance": 1484.2, "share": share, "none": None, "who": "both"}])
    assert table.splitlines() == [
        "**guidance**", "", "| w | distance | share | none | who |", "| --- | --- | --- | --- | --- |",
        "| 3 | 1480 | 0.123 (0.1 to 2000) | - | both |",
    ]  # fmt: skip
