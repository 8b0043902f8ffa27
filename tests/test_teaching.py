"""What a teacher hands out, and how what comes back is marked."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from minunclip.course import teaching
from minunclip.course.exercises import exercises, solved, tags, unsolved
from minunclip.course.teaching import handout, marked, table

RIGHT, WRONG = "return uncond + w * (cond - uncond)", "return w * cond"
HEAD = "def guide(uncond: torch.Tensor, cond: torch.Tensor, w: float) -> torch.Tensor:\n    "
FOLDED = "<details><summary>{}</summary>\n\n{}\n\n</details>"


def notebook(body="raise NotImplementedError"):
    told = FOLDED.format("Solution", f"```python\n{HEAD}{RIGHT}\n```")
    hint = FOLDED.format("Hint", "Put w = 0 in, and then 1.")
    more = FOLDED.format("One way to do it", "Count.") + "\n\n" + FOLDED.format("Why?", "Because.")
    cells = [new_code_cell("import torch", outputs=[new_output("stream", text="old")], execution_count=3),
             new_markdown_cell("### Exercise 1: Guidance · ●○○ easy · 2 minutes\n\nWrite it."),
             new_code_cell(HEAD + body, metadata={"tags": ["exercise"]}),
             new_code_cell("guide = checks.mine(guide)"),
             new_markdown_cell(f"{hint}\n\n{told}\n\n{more}")]  # fmt: skip
    return new_notebook(cells=cells, metadata={"widgets": {"state": {}}})


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(notebook(), folder / "04_guidance.ipynb")
    return folder


def test_a_class_gets_neither_solutions_nor_outputs(course, tmp_path):
    [path] = handout(tmp_path / "class", notebooks=course)
    given = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in given.cells)
    assert RIGHT not in text and "Count." not in text and "Because." in text and "Put w = 0 in" in text
    assert given.cells[0].outputs == [] and given.cells[0].execution_count is None and "widgets" not in given.metadata
    assert marked(path) == {"guide": "-"}


def test_the_teachers_copy_is_solved(course, tmp_path):
    [path] = handout(tmp_path / "key", with_solutions=True, notebooks=course)
    assert marked(path) == {"guide": "right"}


def test_nothing_is_written_over(course, tmp_path):
    [path] = handout(tmp_path / "class", notebooks=course)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is there already: choose an empty folder"):
        handout(tmp_path / "class", with_solutions=True, notebooks=course)
    assert path.read_bytes() == before


@pytest.mark.parametrize("body, mark", [
    (RIGHT, "right"), (WRONG, "wrong"), ("raise NotImplementedError", "-"), ("return 1 / 0", "wrong"),
    ("return (", "wrong"),
])  # fmt: skip
def test_what_comes_back_is_marked(tmp_path, body, mark):
    path = tmp_path / "anna.ipynb"
    nbformat.write(notebook(body), path)
    assert marked(path) == {"guide": mark}


def test_a_row_for_each_learner(tmp_path):
    paths = [tmp_path / "anna.ipynb", tmp_path / "ben.ipynb"]
    for path, body in zip(paths, (RIGHT, WRONG), strict=True):
        nbformat.write(notebook(body), path)
    rows = table(paths).splitlines()
    assert rows[0] == "| notebook | guide | right |"
    assert rows[2:] == [f"| {paths[0]} | right | 1/1 |", f"| {paths[1]} | wrong | 0/1 |"]


@pytest.mark.parametrize("content, words", [(None, "is not there"), ("", "is no notebook"), ("{}", "is no notebook")])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content, words, capsys):
    path = tmp_path / "ben.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit, match=words):
        teaching.main(["mark", str(path)])


def test_the_exercise_is_found_below_its_heading():
    [found] = exercises(notebook(), "04_guidance")
    assert found.heading.startswith("### Exercise 1: Guidance") and found.name == "guide"
    assert tags(solved(notebook(), "x").cells[2]) == ["exercise"]
    assert RIGHT not in unsolved(notebook()).cells[4].source
