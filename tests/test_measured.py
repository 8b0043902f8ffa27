"""The tables of what was measured: from the files of the benchmarks, and in the README as they say."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from minunclip.plots import tables

ROOT = Path(__file__).parent.parent
KARLO = {
    "machine": "a machine", "float32": {"prior": {"ours": 0.25, "diffusers": 2.0, "difference": 1.25e-6},
                                        "upsampler": {"ours": 20.0, "diffusers": 25.0, "difference": 3e-6}},
    "pipeline": {"diffusers": {"seconds": 400.0, "ready": 20.0},
                 "bfloat16": {"seconds": 100.0, "ready": 9.0, "differences": {"64": 0.2, "256": 0.31}}},
}  # fmt: skip
STAGE = {"what": "loading", "seconds": 10.0, "ram": 1.0, "gpu": 0.0}
RUN = {"device": "cpu", "dtype": "bfloat16", "modes": {"disk": [STAGE, STAGE | {"what": "prior", "ram": 2.75}]}}
MEMORY = {"machine": "a machine", "runs": {"cpu, bfloat16": RUN}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "karlo.json").write_text(json.dumps(KARLO))
    (tmp_path / "memory.json").write_text(json.dumps(MEMORY))
    return tmp_path


@pytest.fixture
def results(monkeypatch):
    """What the benchmarks share; they are scripts and no package."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_times_beside_the_others(folder):
    assert tables.karlo_table(folder).splitlines() == [
        "| what | ours, s | diffusers, s | ratio | difference |", "| --- | --- | --- | --- | --- |",
        "| prior, a step in float32 | 0.25 | 2.00 | 0.12 | 1e-06 |",
        "| upsampler, a step in float32 | 20.00 | 25.00 | 0.80 | 3e-06 |",
        "| a picture in bfloat16, diffusers in float32 | 100 | 400 | 0.25 | 2e-01 / 3e-01 |",
        "| from_pretrained in bfloat16 | 9.0 |  |  |  |", "", "*Measured on a machine.*",
    ]  # fmt: skip


def test_the_peak_and_where_it_comes(folder):
    *_, row, _, note = tables.memory_table(folder).splitlines()
    assert row == "| disk | cpu | bfloat16 | 2.8 GB, prior |  | 20 |" and note == "*Measured on a machine.*"


def test_fewer_steps_are_told_beside_the_seconds(folder):
    found = tables.measured(folder / "memory.json")
    for run in found["runs"].values():
        run["steps"] = 2
    (folder / "memory.json").write_text(json.dumps(found))
    assert "| 20 (2 steps a stage) |" in tables.memory_table(folder)


def test_samplers_by_their_steps(tmp_path):
    found = {"decoder": {"ddim": {"5": [3, 4], "10": [4, 4]}}, "prior": {"dpm": {"5": [1, 2], "10": [2, 3]}},
             "machine": "a machine", "captions": 4, "settings": {"decoder": 15, "prior": 25}}  # fmt: skip
    (tmp_path / "samplers.json").write_text(json.dumps(found))
    assert tables.samplers_table(tmp_path).splitlines() == [
        "| stage, sampler | 5 steps | 10 steps |", "| --- | --- | --- |", "| decoder, ddim | 0.750 | 1.000 |",
        "| prior, dpm | 0.500 | 0.667 |", "",
        "*Measured on a machine, 4 unseen captions; as a rule the decoder takes 15 steps, the prior takes 25 steps.*",
    ]  # fmt: skip


def test_nothing_measured_is_said(tmp_path):
    for table in (tables.karlo_table, tables.memory_table, tables.samplers_table):
        assert table(tmp_path) == "*Not measured yet on this copy.*"


def test_the_readme_says_what_was_measured(results):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"<!-- measured: {name} -->" in readme for name in results.TABLES)
    assert results.with_tables(readme) == readme, "run python benchmarks/results.py"


def test_a_table_in_a_text_is_renewed_and_nothing_else(results, folder, monkeypatch):
    text = "before *this*\n\n<!-- measured: memory -->\n*Not measured yet on this copy.*\n\nafter *that*\n"
    monkeypatch.setattr(results, "TABLES", {"memory": lambda: tables.memory_table(folder)})
    renewed = results.with_tables(text)
    assert tables.memory_table(folder) in renewed and renewed.startswith("before *this*\n\n")
    assert renewed.endswith("*Measured on a machine.*\n\nafter *that*\n") and "Not measured" not in renewed
    assert results.with_tables(renewed) == renewed


def test_numbers_of_another_run_are_kept(results):
    old, new = {"float32": {"prior": {"ours": 1}, "decoder": {"ours": 2}}}, {"float32": {"prior": {"ours": 3}}, "x": 1}
    assert results.merged(old, new) == {"float32": {"prior": {"ours": 3}, "decoder": {"ours": 2}}, "x": 1}


def test_narrow_networks_leave_no_numbers(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    results.save("memory", MEMORY, tiny=True)
    assert list(tmp_path.iterdir()) == [] and "| disk | cpu |" in capsys.readouterr().out
    (tmp_path / "README.md").write_text("<!-- measured: memory -->\n*Not measured yet on this copy.*\n")

    def table(folder: Path = tmp_path) -> str:
        return tables.memory_table(folder)

    monkeypatch.setattr(results, "TABLES", {"memory": table})
    results.save("memory", MEMORY)
    assert json.loads((tmp_path / "memory.json").read_text()) == MEMORY
    assert "| disk | cpu |" in (tmp_path / "README.md").read_text()
