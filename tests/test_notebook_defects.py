"""The checks of the notebooks see what they should: each defect, put into a good notebook, is found."""

import copy

import exercises
import nbformat
import pytest
from exercises import NOTEBOOKS, code, read
from notebook_helpers import STATE, VIEW, dead_links, defects, missing_parts, outputs


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


def without_still(notebook):
    first(notebook, VIEW).data.pop("image/png")


def mute_markdown(notebook):
    notebook.cells[0].source += "\n![](../data/gallery.png)"


def mute_html(notebook):
    notebook.cells[0].source += '\n<img src="../data/gallery.png">'


@pytest.mark.parametrize("spoil", [out_of_order, stripped, failed, warned, orphaned, stateless, without_still, mute,
                                   mute_markdown, mute_html])  # fmt: skip
def test_each_defect_is_found(spoil):
    notebook = read(NOTEBOOKS / "00_tour.ipynb")
    spoiled = copy.deepcopy(notebook)
    spoil(spoiled)
    assert set(defects(spoiled)) - set(defects(notebook))


@pytest.mark.parametrize("old, new", [
    ("# 00 · ", "# "), ("**What you will see**", "**Goals**"), ("**What you need to know before", "**Before"),
    ("## Summary", "## Questions"), ("## Where to read on", "## Links"), ("</summary>", ""),
])  # fmt: skip
def test_a_missing_part_is_found(old, new):
    notebook = read(NOTEBOOKS / "00_tour.ipynb")
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    assert missing_parts(notebook)


def test_a_dead_link_is_found():
    notebook = read(NOTEBOOKS / "00_tour.ipynb")
    notebook.cells[0].source += '\n[a](nowhere.md) [b](#nowhere) <a href="gone.py"> [c](#Summary) [d](../README.md#x)'
    assert dead_links(notebook, NOTEBOOKS) == ["nowhere.md", "#nowhere", "gone.py"]


STUB = "def f(x: int) -> int:\n    raise NotImplementedError"
AFTER = ("<details><summary>Hint</summary>\n\nIt is one line, and a plus sign.\n\n</details>\n\n"
         "<details><summary>Solution</summary>\n\n"
         "```python\ndef f(x: int) -> int:\n    return x + 1\n```\n\n</details>")
HEADING = "### Exercise 1: One more · ●○○ easy · 3 minutes"


def exercise_with(heading=HEADING, stub=STUB, check="checks.f(f)", after=AFTER):
    cells = [nbformat.v4.new_markdown_cell(f"Some prose.\n\n{heading}\n\nAdd one."),
             nbformat.v4.new_code_cell(stub, metadata={"tags": ["exercise"]}),
             nbformat.v4.new_code_cell(check), nbformat.v4.new_markdown_cell(after)]  # fmt: skip
    [found] = exercises.exercises(nbformat.v4.new_notebook(cells=cells), "notebook")
    return found


def test_a_whole_exercise_has_no_defect():
    found = exercise_with()
    assert exercises.defects(found) == [] and found.name == "f" and "x + 1" in found.solution


@pytest.mark.parametrize("change", [
    {"heading": "### Exercise 1: One more"}, {"heading": "### Exercise 1: One more · ●○○ hard · 3 minutes"},
    {"stub": STUB.replace(": int", "")}, {"stub": STUB.replace(" -> int", "")}, {"stub": "x = 1\n" + STUB},
    {"stub": STUB.replace("raise NotImplementedError", "...")}, {"check": "checks.g(f)"}, {"check": ""},
    {"after": AFTER.replace("Hint", "Help")}, {"after": AFTER.replace("Solution", "Answer")},
    {"after": AFTER.replace("```python", "```")}, {"after": AFTER.replace("def f(x", "def f(y")}, {"after": ""},
])  # fmt: skip
def test_each_defect_of_an_exercise_is_found(change):
    assert exercises.defects(exercise_with(**change))
