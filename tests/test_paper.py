"""The paper suite on a tiny cascade of random weights: what it computes, writes, keeps and refuses."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import randomise, ship, tiny_cascade, tiny_folder
from PIL import Image

from minunclip import paper
from minunclip.__main__ import main
from minunclip.evaluate import Bench
from minunclip.judge import Judge, JudgeConfig
from minunclip.metrics import Estimate, Share
from minunclip.paper import study as studying
from minunclip.paper import suite, tradeoff
from minunclip.paper.study import Size, Study, Variety
from minunclip.scenes import STYLES, Scenes
from minunclip.unclip import UnCLIP

TINY = Size(singles=6, groups=4, samples=3, guidances=(1, 4), few_guidances=(2,), prior_guidances=(1, 3), draws=5)
FEW = Scenes("test", 8, seed=100)


@pytest.fixture(scope="module")
def study() -> Study:
    items = [FEW[i] for i in range(8)]
    return Study(Bench(tiny_cascade(), randomise(Judge(JudgeConfig(width=8))), items, seed=3), TINY)


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


# ---- equal fidelity


def variety(fidelity, scenes, styles=1.0, n=5) -> Variety:
    full = lambda value: np.full(n, float(value))  # noqa: E731
    return Variety(full(fidelity), full(math.log(scenes)), full(math.log(styles)))


def test_where_a_curve_comes_up_to_a_level():
    curve = np.array([0.5, 0.7, 0.9, 0.8, 0.95])
    places = {0.4: 0, 0.5: 0, 0.6: 0.5, 0.9: 2, 0.92: 3 + 0.12 / 0.15, 0.95: 4}
    for level, place in places.items():
        assert tradeoff.reach(curve, level) == pytest.approx(place)
    assert tradeoff.between([1, 2, 4], 1.25) == 2.5


def test_models_are_compared_at_the_same_fidelity():
    """The first reaches .98 halfway from 1 to 3, the second just at 5; their variety there is 15 against 5."""
    models = {
        "ours": [variety(0.97, 20, 6), variety(0.99, 10, 4), variety(1.0, 1)],
        "theirs": [variety(0.5, 30, 6), variety(0.9, 9, 5), variety(0.98, 5, 2)],
    }
    found = tradeoff.equal_fidelity(models, (1, 3, 5))
    assert {name: pytest.approx(estimate.value) for name, estimate in found.items()} == {
        "fidelity": 0.98, "guidance, ours": 2, "guidance, theirs": 5,
        "diversity, ours": 15, "diversity, theirs": 5, "ratio of diversity": 3,
        "style variability, ours": 5, "style variability, theirs": 2, "ratio of style variability": 2.5,
    }  # fmt: skip
    assert found["ratio of diversity"].interval == pytest.approx((3, 3))  # all captions are alike


def test_the_goal_is_lowered_to_what_both_reach():
    models = {"ours": [variety(0.6, 8), variety(0.8, 4)], "theirs": [variety(0.5, 6), variety(0.7, 3)]}
    found = tradeoff.equal_fidelity(models, (1, 2))
    assert found["fidelity"].value == 0.7 and found["guidance, theirs"].value == 2
    assert found["diversity, ours"].value == pytest.approx(6)


def test_the_ratio_has_an_interval_over_captions():
    """Captions that differ give an interval around the ratio; those that share it do not widen it."""
    rng = np.random.default_rng(0)
    base, other = rng.normal(2, 1, 40), rng.normal(1.5, 1, 40)
    curve = lambda facts: [Variety(np.ones(40), facts, facts)]  # noqa: E731
    shared = tradeoff.equal_fidelity({"a": curve(base), "b": curve(base - math.log(2))}, (1,))["ratio of diversity"]
    assert (shared.value, *shared.interval) == pytest.approx((2, 2, 2))
    apart = tradeoff.equal_fidelity({"a": curve(base), "b": curve(other)}, (1,))["ratio of diversity"]
    assert apart.interval[0] < apart.value < apart.interval[1]


# ---- results are kept


def counted(calls: list[str]):
    """Two parts that note down that they ran."""
    row = {"n": 1, "share": Share(1, 2), "nothing": math.nan, "about": Estimate(math.nan, (0.5, 1.0), 7)}
    return {name: lambda name=name: calls.append(name) or {f"table {name}": [row]} for name in ("first", "second")}


def test_what_was_measured_is_kept(tmp_path):
    calls, made_with = [], {"seed": 0, "size": {"guidances": (1, 2)}}
    results = suite.run(counted(calls), tmp_path, made_with)
    assert calls == ["first", "second"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.json", "second.json"]
    assert results["first"]["table first"] == [{
        "n": 1, "share": {"value": 0.5, "interval": list(Share(1, 2).interval), "n": 2}, "nothing": None,
        "about": {"value": None, "interval": [0.5, 1.0], "n": 7},
    }]  # fmt: skip
    assert suite.run(counted(calls), tmp_path, made_with) == results and calls == ["first", "second"]
    assert suite.run(counted(calls), tmp_path, made_with, fresh=True) == results and calls == ["first", "second"] * 2


def test_a_stopped_run_goes_on(tmp_path):
    calls = []

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suite.run(counted(calls) | {"second": stopped}, tmp_path, {"seed": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["first.json"]
    suite.run(counted(calls), tmp_path, {"seed": 0})
    assert calls == ["first", "second"]


def test_a_stopped_fresh_run_keeps_nothing_old(tmp_path):
    calls = []
    suite.run(counted(calls), tmp_path, {"seed": 0})
    with pytest.raises(ZeroDivisionError):
        suite.run({"first": lambda: 1 / 0, "second": lambda: {}}, tmp_path, {"seed": 0}, fresh=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"tables": {}}', '{"tables": {}, "made_with": 1}'])
def test_a_damaged_result_says_so(tmp_path, content):
    calls = []
    suite.run(counted(calls), tmp_path, {"seed": 0})
    (tmp_path / "second.json").write_text(content)
    with pytest.raises(ValueError, match=r"second\.json is damaged .*--fresh"):
        suite.run(counted(calls), tmp_path, {"seed": 0})
    suite.run(counted(calls), tmp_path, {"seed": 0}, fresh=True)
    assert calls == ["first", "second"] * 2


def test_results_of_other_weights_are_not_taken_for_these(tmp_path):
    made_with = {"weights": {"clip.safetensors": "a"}, "seed": 0}
    suite.run(counted([]), tmp_path, made_with)
    for name, value in (("weights", {"clip.safetensors": "b"}), ("seed", 1)):
        with pytest.raises(ValueError, match=rf"first\.json was measured with other {name}.*--fresh"):
            suite.run(counted([]), tmp_path, made_with | {name: value})


def test_the_tables_in_markdown():
    row = suite.plain({"model": "ours", "guidance": 2, "fidelity": Share(81, 263), "nothing": math.nan})
    assert suite.markdown({"part": {"a title": [row]}}).splitlines() == [
        "**a title**", "", "| model | guidance | fidelity | nothing |", "| --- | --- | --- | --- |",
        "| ours | 2 | 0.308 (0.255 to 0.366) | - |",
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


def test_the_whole_suite(tiny, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    arguments = ["evaluate", "--suite", "paper", "--quick", "--out", str(out), "--seed", "0"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    results = {path.stem: json.loads(path.read_text()) for path in (out / "results" / "paper").iterdir()}
    assert sorted(results) == sorted(part.__name__ for part in paper.PARTS)
    assert all("decoder.safetensors" in found["made_with"]["weights"] for found in results.values())
    tables = {title: rows for found in results.values() for title, rows in found["tables"].items()}
    settings = lambda title, *names: [tuple(row[name] for name in names) for row in tables[title]]  # noqa: E731
    models = ("full stack", "caption alone")
    assert settings("guidance of the decoder", "model", "guidance") == [(m, g) for m in models for g in (1, 4)]
    assert settings("is the prior needed?", "decoder sees") == [("caption only",), ("z_t as z_i",), ("full stack",)]
    assert settings("the best of several z_i", "candidates") == [(1,), (2,), (4,), (8,)]
    assert settings("guidance of the prior", "guidance") == [(1,), (3,)]
    assert tables["the best of several z_i"][0]["gain"] == {"value": 0, "interval": [0, 0], "n": 6}
    assert all(row["Frechet distance"]["value"] > 0 for row in tables["is the prior needed?"])
    assert all(title in printed for title in tables)
    for name in ("fidelity-diversity", "fidelity-style"):
        with Image.open(out / "results" / f"{name}.png") as figure:
            assert figure.width > 400 and "full stack" in figure.text["Description"]

    monkeypatch.setattr(studying, "decode", None)  # the second time nothing is drawn
    assert main(arguments) == 0 and capsys.readouterr().out == printed


@pytest.mark.parametrize(("arguments", "message"), [
    (["--suite", "paper", "--captions", "20"], "--captions is for the scenes suite"),
    (["--quick"], "add --suite paper"), (["--fresh"], "add --suite paper"),
])  # fmt: skip
def test_options_of_the_other_suite_are_refused(arguments, message, capsys):
    assert main(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_quick_run_replaces_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "PACKAGE", tmp_path / "minunclip")
    monkeypatch.setattr(paper, "PARTS", ())
    monkeypatch.setattr(paper, "FIGURES", (lambda results: {"a": paper.guidance_figures(made_up())["fidelity-style"]},))
    (tmp_path / "data" / "quick" / "results").mkdir(parents=True)
    paper.measure(quick=True)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")] == ["data/quick/results/a.png"]


def made_up() -> dict:
    """Results of a model whose style nobody could measure."""
    row = lambda g: {"model": "ours", "guidance": g, "fidelity": {"value": 0.9}, "diversity": {"value": 3.0},  # noqa: E731
                     "style variability": {"value": None}}  # fmt: skip
    return {"guidance": {"guidance of the decoder": [row(1), row(4)]}}
