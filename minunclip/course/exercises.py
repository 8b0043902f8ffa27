"""The exercises of a notebook, found by their form, which CONTRIBUTING.md describes."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode

HEADING = re.compile(r"^### Exercise (\d+): (.+) · (●○○ easy|●●○ medium|●●● hard) · (\d+) minutes$", re.M)
FOLDED = r"<details><summary>%s</summary>\n\n(.*?)\n\n</details>"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Exercise:
    """One exercise as a notebook has it. Whatever is missing is empty."""

    notebook: str
    heading: str
    stub: str                               # the cell that the learner fills in, as it is now
    check: str
    hint: str
    solution: str

    @property
    def name(self) -> str:
        """The function or the class that the learner writes."""
        return function_of(self.stub).name


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def exercises(notebook: NotebookNode, name: str) -> list[Exercise]:
    """The exercises of a notebook called `name`, in order."""
    nothing = nbformat.v4.new_markdown_cell()                               # after the last cell
    cells = [*notebook.cells, nothing, nothing]
    return [_exercise(name, cells[:i], cells[i : i + 3]) for i, cell in enumerate(cells) if "exercise" in tags(cell)]


def _exercise(name: str, before: list[NotebookNode], cells: list[NotebookNode]) -> Exercise:
    stub, check, after = cells
    headings = [match[0] for cell in before if cell.cell_type == "markdown" for match in HEADING.finditer(cell.source)]
    hint, solution = ("".join(re.findall(FOLDED % word, after.source, re.S)[:1]) for word in ("Hint", "Solution"))
    blocks = PYTHON.findall(solution)
    return Exercise(name, headings[-1] if headings else "", stub.source, check.source, hint,
                    blocks[0] if len(blocks) == 1 else "")  # fmt: skip


def function_of(source: str) -> ast.FunctionDef | ast.ClassDef | None:
    """The one function or class that the source defines, or None."""
    body = ast.parse(source).body
    return body[0] if len(body) == 1 and isinstance(body[0], ast.FunctionDef | ast.ClassDef) else None


def solved(notebook: NotebookNode, name: str) -> NotebookNode:
    """The notebook with every solution in the place of its stub, as a learner has it who gets everything right."""
    filled = {found.stub: found.solution for found in exercises(notebook, name)}
    for cell in code(notebook):
        if "exercise" in tags(cell):
            cell.source = filled[cell.source]
    return notebook


def unsolved(notebook: NotebookNode) -> NotebookNode:
    """The notebook without its solutions, as a class gets it. Hints stay."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(FOLDED % "(?:Solution|One way to do it)", "", cell.source, flags=re.S).strip()
    return notebook


def namespace(notebook: NotebookNode) -> dict:
    """What a solution may use: what the notebook imports, and the functions and classes that it defines.

    Runs those lines of the notebook.
    """
    names: dict = {}
    for cell in code(notebook):
        if "exercise" not in tags(cell):
            source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M)   # %magic and !shell lines
            kept = [node for node in ast.parse(source).body
                    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)]  # fmt: skip
            exec(compile(ast.Module(kept, []), "<notebook>", "exec"), names)
    return names
