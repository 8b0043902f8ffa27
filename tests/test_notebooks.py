"""The committed notebooks: the same as their sources, run from top to bottom, whole, small and described.

nbval runs the cells; this file looks at what is saved in git.
"""

import copy
import importlib.util
import json
import re
import statistics
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
TAGS = {"nbval-check-output", "nbval-ignore-output", "cost"}


def load_build():
    spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = load_build()


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def cells(notebook):
    """What a cell is, without what came of it."""
    return [(cell.id, cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def defects(notebook):
    """Everything about the saved state of a notebook that a reader would stumble over."""
    found = []
    if [cell.execution_count for cell in code(notebook)] != list(range(1, len(code(notebook)) + 1)):
        found.append("not run in order in a fresh kernel")
    if any(cell.metadata.get("tags") and not cell.outputs for cell in code(notebook)):
        found.append("a tagged cell without output")
    if sum(bool(cell.outputs) for cell in code(notebook)) < 0.9 * len(code(notebook)):
        found.append("cells without output")
    if any(output.output_type == "error" for output in outputs(notebook)):
        found.append("a saved error")
    if any(output.get("name") == "stderr" for output in outputs(notebook)):
        found.append("a saved warning")
    return found + widget_defects(notebook) + picture_defects(notebook)


def widget_defects(notebook):
    shown = [output.data[VIEW]["model_id"] for output in outputs(notebook) if VIEW in output.get("data", {})]
    saved = notebook.metadata.get("widgets", {})
    if saved and "state" not in saved.get(STATE, {}):
        return ["metadata.widgets without state"]
    models = saved.get(STATE, {}).get("state", {})
    wanted = shown + re.findall(r"IPY_MODEL_(\w+)", json.dumps(models))
    return ["a widget without its model"] if set(wanted) - set(models) else []


def picture_defects(notebook):
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    described = [re.search(r'<img alt="[^"]{10,}"', "".join(p.data.get("text/html", ""))) for p in pictures]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    images = re.findall(r"!\[(.*?)\]", prose)
    return ["a picture without alt text"] if not (all(described) and all(images)) else []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_its_source(path):
    source = NOTEBOOKS / "source" / f"{path.stem}.py"
    notebook, converted = read(path), BUILD.convert(source)
    assert cells(notebook) == cells(converted), "run python notebooks/build.py"
    converted.cells[0].source += "!"
    assert cells(notebook) != cells(converted)


def test_every_source_has_its_notebook():
    assert [path.stem for path in PATHS] == [path.stem for path in sorted((NOTEBOOKS / "source").glob("*.py"))]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_whole(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert defects(notebook) == []
    assert path.stat().st_size < 2_000_000
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_cells_are_short_and_tags_are_known(path):
    notebook = read(path)
    lengths = [len(cell.source.splitlines()) for cell in code(notebook)]
    assert statistics.median(lengths) <= 5 and max(lengths) <= 25
    assert {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])} <= TAGS
    assert all("nbval-ignore-output" in cell.metadata.tags for cell in code(notebook)
               if any(VIEW in output.get("data", {}) for output in cell.outputs))  # fmt: skip


def first(notebook, kind):
    return next(output for output in outputs(notebook) if kind in output.get("data", {}))


def out_of_order(notebook):
    code(notebook)[1].execution_count = 7


def stripped(notebook):
    for cell in code(notebook):
        cell.outputs = []


def failed(notebook):
    code(notebook)[0].outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]))


def warned(notebook):
    code(notebook)[0].outputs.append(nbformat.v4.new_output("stream", name="stderr", text="careful"))


def orphaned(notebook):
    del notebook.metadata.widgets[STATE]["state"][first(notebook, VIEW).data[VIEW]["model_id"]]


def stateless(notebook):
    del notebook.metadata.widgets[STATE]["state"]


def mute(notebook):
    first(notebook, "image/png").data.pop("text/html")


@pytest.mark.parametrize("spoil", [out_of_order, stripped, failed, warned, orphaned, stateless, mute])
def test_each_defect_is_found(spoil):
    notebook = read(NOTEBOOKS / "00_tour.ipynb")
    spoiled = copy.deepcopy(notebook)
    spoil(spoiled)
    assert set(defects(spoiled)) - set(defects(notebook))


def test_prose_may_change_without_another_run():
    path = NOTEBOOKS / "00_tour.ipynb"
    edited = BUILD.convert(NOTEBOOKS / "source" / "00_tour.py")
    edited.cells[0].source += "!"
    BUILD.keep_outputs(edited, path)
    assert outputs(edited) == outputs(read(path)) and edited.metadata == read(path).metadata
    edited = BUILD.convert(NOTEBOOKS / "source" / "00_tour.py")
    code(edited)[0].source += "\n"
    BUILD.keep_outputs(edited, path)
    assert outputs(edited) == []


def test_the_cost_of_a_run_is_recorded_and_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(BUILD, "COSTS", tmp_path / "notebooks.json")
    notebook = read(NOTEBOOKS / "00_tour.ipynb")
    BUILD.record("00_tour", notebook, {"minutes": 0.5, "peak_memory_gb": 1.25, "machine": "3 CPU cores"})
    [cell] = [cell for cell in notebook.cells if "cost" in cell.metadata.get("tags", [])]
    assert "| cpu | 0.5 | 1.2 GB | 3 CPU cores |" in cell.outputs[0].data["text/markdown"]
