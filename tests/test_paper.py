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

from minunclip import experiments
from minunclip.__main__ import main
from minunclip.experiments import Study, runner, suite
from minunclip.experiments import probing as copies
from minunclip.experiments import routes as ways
from minunclip.experiments import study as studying
from minunclip.experiments import text_diffs as words
from minunclip.experiments import variations as alike
from minunclip.scenes import STYLES


@pytest.fixture(scope="module")
def study() -> Study:
    return tiny_study()


# -- pictures of many captions -------------------------------------------------------------------------------


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

    def draw(z_i, **settings):
        return torch.cat(list(study.pictures(captions, z_i, "test", **settings)))

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


# -- all of it -----------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The tiny weights are the shipped ones, and both sizes are tiny."""
    folder = tiny_folder(tmp_path / "weights")
    ship(monkeypatch, folder)
    monkeypatch.setattr(runner, "weights_folder", lambda name: folder)
    monkeypatch.setattr(suite, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(suite, "QUICK", TINY)
    monkeypatch.setattr(suite, "Scenes", lambda split, length, seed: FEW)
    monkeypatch.setattr(suite, "load", lambda name, device: tiny_cascade())
    monkeypatch.setattr(copies, "INVERSION_STEPS", (2, 3))
    monkeypatch.setattr(ways, "FOLDER", tmp_path / "routes")
    for part in (alike, words):
        monkeypatch.setattr(part, "STEPS", 2)


def test_the_whole_suite(tiny, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    arguments = ["evaluate", "--suite", "paper", "--quick", "--out", str(out), "--seed", "0"]
    assert main(arguments) == 0
    printed, folder = capsys.readouterr().out, out / "results" / "paper"
    results = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert sorted(results) == sorted(part.__name__ for part in experiments.PARTS)
    assert all("decoder" in found["made_with"]["weights"] for found in results.values())
    assert [name for name in results if "ar-prior" in suite.stages_of(name)] == ["routes", "two_priors"]
    tables = {title: rows for found in results.values() for title, rows in found["tables"].items()}

    def settings(title: str, *names: str) -> list[tuple]:
        return [tuple(row[name] for name in names) for row in tables[title]]

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
    monkeypatch.setattr(suite, "DATA", tmp_path / "data")
    monkeypatch.setattr(suite, "PARTS", (suite.rerank,))
    experiments.measure(quick=True)
    made = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "data").rglob("*.*"))
    assert made == [f"data/quick/results/paper/{name}" for name in ("README.md", "rerank.json", "rerank.png")]
