"""The committed notebooks: the same as their sources, run from top to bottom, whole, small and described.

nbval runs the cells; this file looks at what is saved in git. The answers to the exercises: test_checks.py.
"""

import ast
import importlib.util
import json
import re
import statistics

import exercises
import nbformat
import pytest
from exercises import NOTEBOOKS, code, read, tags
from notebook_helpers import VIEW, dead_links, defects, missing_parts, outputs, prose

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
TAGS = {"nbval-check-output", "nbval-ignore-output", "cost", "exercise"}
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def load_build():
    spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = load_build()


def cells(notebook):
    """What a cell is, without what came of it."""
    return [(cell.id, cell.cell_type, cell.source, tags(cell)) for cell in notebook.cells]


@each_notebook
def test_a_notebook_is_its_source(path):
    source = NOTEBOOKS / "source" / f"{path.stem}.py"
    notebook, converted = read(path), BUILD.convert(source)
    assert cells(notebook) == cells(converted), "run python notebooks/build.py"
    converted.cells[0].source += "!"
    assert cells(notebook) != cells(converted)


def test_every_source_has_its_notebook():
    assert [path.stem for path in PATHS] == [path.stem for path in sorted((NOTEBOOKS / "source").glob("*.py"))]


@each_notebook
def test_a_notebook_is_saved_whole(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert defects(notebook) == []
    assert path.stat().st_size < 2_000_000
    assert notebook.metadata.kernelspec.name == "python3"


@each_notebook
def test_cells_are_short_and_tags_are_known(path):
    notebook = read(path)
    lengths = [len(cell.source.splitlines()) for cell in code(notebook)]
    assert statistics.median(lengths) <= 5 and max(lengths) <= 25
    assert {tag for cell in notebook.cells for tag in tags(cell)} <= TAGS
    assert all("nbval-ignore-output" in tags(cell) for cell in code(notebook)
               if any(VIEW in output.get("data", {}) for output in cell.outputs))  # fmt: skip


@each_notebook
def test_a_notebook_has_its_parts_and_links(path):
    notebook = read(path)
    assert missing_parts(notebook) == []
    assert path.stem.startswith(notebook.cells[0].source[2:4])
    assert dead_links(notebook, NOTEBOOKS) == []


@each_notebook
def test_exercises_have_their_form(path):
    notebook = read(path)
    found = exercises.exercises(notebook, path.stem)
    assert {one.name: defects for one in found if (defects := exercises.defects(one))} == {}
    headings = [match[0] for match in exercises.HEADING.finditer(prose(notebook))]
    assert len(headings) == len(re.findall(r"^#+ Exercise ", prose(notebook), re.M)), "a heading of another form"
    assert [int(exercises.HEADING.match(heading)[1]) for heading in headings] == list(range(1, len(headings) + 1))
    written = [one.heading for one in found]
    assert len(set(written)) == len(written) and set(written) <= set(headings), "two stubs below one heading"
    kinds = ("Predict", "Design an experiment", "Try")                    # where nothing is written, only tried
    assert all(exercises.HEADING.match(heading)[2].startswith(kinds) for heading in headings if heading not in written)


@each_notebook
def test_a_notebook_has_its_shape(path):
    """Short enough to be read in one go, and with something to predict, to mend and to design."""
    notebook, text = read(path), prose(read(path))
    words = re.sub(r"```.*?```|\$\$.*?\$\$|</?(details|summary)>", " ", text, flags=re.S).split()
    assert len(words) <= 3500 and len(code(notebook)) <= 65
    assert "fmt: skip" not in str(notebook) and max(len(line) for cell in code(notebook)
                                                    for line in cell.source.splitlines()) <= 120  # fmt: skip
    first = ast.parse(code(notebook)[0].source).body
    assert sum(isinstance(node, ast.Import | ast.ImportFrom) for node in first) <= 6
    assert text.split("## Questions")[1].count("<details>") >= 10
    assert "**What you can do now:**" in text and re.search("fast path", text, re.I)
    optional = path.stem.startswith("13_")
    assert optional or all(re.search(kind, text, re.I) for kind in ("predict,? then", "find the bug", "design an exp"))


@each_notebook
def test_a_whole_run_stays_within_its_budget(path):
    """As notebooks/build.py measured it: 3 minutes and 4 GB without a GPU, or 5 minutes without AVX-512, where the same
    training takes two and a half times as long. On a machine that is busy with other things the clock tells little,
    but one core for as many minutes is still enough."""
    cost = json.loads(BUILD.COSTS.read_text(encoding="utf-8"))[path.stem]["cpu"]
    limit = 5 if cost["machine"].endswith("AVX2") else 3
    assert min(cost["minutes"], cost.get("core_minutes", 99)) <= limit and cost["peak_memory_gb"] <= 4
    [cell] = [cell for cell in code(read(path)) if "cost" in tags(cell)]
    assert f"| cpu | {cost['minutes']:.1f} |" in cell.outputs[0].data["text/markdown"]


def test_prose_may_change_without_another_run():
    path = NOTEBOOKS / "00_tour.ipynb"
    edited = BUILD.convert(NOTEBOOKS / "source" / "00_tour.py")
    edited.cells[0].source += "!"
    BUILD.keep_outputs(edited, path)
    assert outputs(edited) == outputs(read(path)) and edited.metadata == read(path).metadata
    edited = BUILD.convert(NOTEBOOKS / "source" / "00_tour.py")
    code(edited)[0].source += "\nimport os"
    BUILD.keep_outputs(edited, path)
    assert outputs(edited) == outputs(read(path))                              # and so may an import
    edited = BUILD.convert(NOTEBOOKS / "source" / "00_tour.py")
    code(edited)[0].source += "\nprint()"
    BUILD.keep_outputs(edited, path)
    assert outputs(edited) == []


def test_a_new_notebook_has_all_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(BUILD, "HERE", tmp_path)
    notebook = BUILD.convert(BUILD.new("12_my_topic"))
    assert missing_parts(notebook) == [] and notebook.cells[0].source.startswith("# 12 · ")
    for name in ("12_my_topic", "my topic", "topic"):
        with pytest.raises(ValueError, match="choose a name such as 12_my_topic"):
            BUILD.new(name)


def test_the_cost_of_a_run_is_recorded_and_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(BUILD, "COSTS", tmp_path / "notebooks.json")
    notebook = read(NOTEBOOKS / "00_tour.ipynb")
    BUILD.record("00_tour", notebook, {"minutes": 0.5, "peak_memory_gb": 1.25, "machine": "3 CPU cores"})
    [cell] = [cell for cell in notebook.cells if "cost" in tags(cell)]
    assert "| cpu | 0.5 | 1.2 GB | 3 CPU cores |" in cell.outputs[0].data["text/markdown"]
