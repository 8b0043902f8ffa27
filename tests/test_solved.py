"""The course as somebody has it who solves everything: each solution in the place of its stub, and used from there on.

The plain run of the notebooks has every stub empty. This one takes as long again: `pytest -m solved`.
"""

import copy
import os

import pytest
from exercises import NOTEBOOKS, code, exercises, read, solved, tags
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream")


@each_notebook
def test_solutions_take_the_place_of_the_stubs(path):
    notebook, found = read(path), exercises(read(path), path.stem)
    filled = solved(copy.deepcopy(notebook), path.stem)
    changed = [cell.source for cell, old in zip(filled.cells, notebook.cells, strict=True) if cell.source != old.source]
    assert changed == [one.solution for one in found] and not any("NotImplementedError" in cell for cell in changed)
    assert [tags(cell) for cell in filled.cells] == [tags(cell) for cell in notebook.cells]


def run(notebook, names):
    """What the checks of these exercises printed, in order, when the solved notebook ran."""
    settings = {"timeout": 600, "kernel_name": "python3", "resources": {"metadata": {"path": str(NOTEBOOKS)}}}
    NotebookClient(notebook, **settings).execute()
    ends = tuple(f"({name})" for name in names)
    return [printed(cell) for cell in code(notebook) if cell.source.endswith(ends)]


@pytest.mark.solved
@each_notebook
def test_a_notebook_runs_with_every_exercise_solved(path, monkeypatch):
    """Every check says right, every finding holds, and no cell stops, now that the library runs with the solutions."""
    monkeypatch.setitem(os.environ, "TQDM_DISABLE", "1")
    names = [found.name for found in exercises(read(path), path.stem)]
    said = run(solved(read(path), path.stem), names)
    assert [text.split(":")[0] for text in said] == names
    assert [text for text in said if ": right, on all" not in text] == []


@pytest.mark.solved
def test_the_library_runs_with_the_solutions():
    stub, filled = "raise NotImplementedError", "return uncond + w * (cond - uncond)"
    head = "def guide(uncond: Tensor, cond: Tensor, w: float) -> Tensor:\n    "
    told = f"<details><summary>Solution</summary>\n\n```python\n{head}{filled}\n```\n\n</details>"
    cells = [new_code_cell("from torch import Tensor\nfrom minunclip.course import checks"), new_markdown_cell("..."),
             new_code_cell(head + stub, metadata={"tags": ["exercise"]}), new_code_cell("guide = checks.mine(guide)"),
             new_markdown_cell(told), new_code_cell("from minunclip.diffusion import guidance\nprint(guidance.guide)")]
    notebook = solved(new_notebook(cells=cells), "guided")
    [text] = run(notebook, ["guide"])
    assert text.startswith("guide: right, on all 3 inputs. From here on it is yours")
    assert printed(notebook.cells[-1]) == "<guide, yours>\n"
