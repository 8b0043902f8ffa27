"""The exercises of a notebook, found by their format, which CONTRIBUTING.md describes."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
HEADING = re.compile(r"^### Exercise (\d+): (.+) · (●○○ easy|●●○ medium|●●● hard) · (\d+) minutes$", re.M)
FOLDED = r"<details><summary>%s</summary>\n\n(.*?)\n\n</details>"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Exercise:
    """One exercise as a notebook has it. Whatever is missing is empty."""

    notebook: str
    heading: str
    stub: str
    check: str
    hint: str
    solution: str

    @property
    def name(self) -> str:
        """The function or the class that the learner writes."""
        return function_of(self.stub).name


def read(path):
    return nbformat.read(path, as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def exercises(notebook, name):
    """The exercises of a notebook, in order."""
    nothing = nbformat.v4.new_markdown_cell()                               # after the last cell
    cells = [*notebook.cells, nothing, nothing]
    return [_exercise(name, cells[:i], *cells[i : i + 3]) for i, cell in enumerate(cells) if "exercise" in tags(cell)]


def _exercise(name, before, stub, check, after):
    headings = [match[0] for cell in before if cell.cell_type == "markdown" for match in HEADING.finditer(cell.source)]
    hint, solution = ("".join(re.findall(FOLDED % word, after.source, re.S)[:1]) for word in ("Hint", "Solution"))
    blocks = PYTHON.findall(solution)
    return Exercise(name, headings[-1] if headings else "", stub.source, check.source, hint,
                    blocks[0] if len(blocks) == 1 else "")  # fmt: skip


def defects(exercise):
    """What the format asks for and the exercise has not."""
    function = function_of(exercise.stub)
    if function is None:
        return ["the stub is not one function or class"]
    found = []
    if not exercise.heading:
        found.append("no heading with title, difficulty and minutes above the stub")
    if not re.search(r"\braise NotImplementedError$", exercise.stub):
        found.append("the stub does not end with raise NotImplementedError")
    if not all(typed(method) for method in methods(function)):
        found.append("the stub has no types")
    if exercise.check not in (f"checks.{function.name}({function.name})",
                              f"{function.name} = checks.mine({function.name})"):  # fmt: skip
        found.append(f"the cell below the stub is not {function.name} = checks.mine({function.name})")
    if len(exercise.hint) < 20:
        found.append("no folded hint below the check")
    if not exercise.solution:
        found.append("no folded solution with one Python block below the check")
    elif signature(exercise.solution, function.name) != signature(exercise.stub, function.name):
        found.append("the solution has another signature than the stub")
    return found


def function_of(source):
    """The one function or class that the source defines, or None."""
    body = ast.parse(source).body
    return body[0] if len(body) == 1 and isinstance(body[0], ast.FunctionDef | ast.ClassDef) else None


def methods(node):
    """A function itself, or the methods of a class."""
    return [node] if isinstance(node, ast.FunctionDef) else [m for m in node.body if isinstance(m, ast.FunctionDef)]


def typed(method):
    named = [argument for argument in method.args.args if argument.arg != "self"]
    return all(argument.annotation for argument in named) and (method.returns or method.name == "__init__")


def signature(source, name):
    nodes = [node for node in ast.parse(source).body if getattr(node, "name", "") == name]
    return [method.name + ast.unparse(method.args) + ast.unparse(method.returns or ast.Constant(None))
            for node in nodes for method in methods(node)]  # fmt: skip


def solved(notebook, name):
    """The notebook with every solution in the place of its stub, as a learner has it who gets everything right."""
    filled = {found.stub: found.solution for found in exercises(notebook, name)}
    for cell in code(notebook):
        if "exercise" in tags(cell):
            cell.source = filled[cell.source]
    return notebook


def namespace(notebook):
    """What a solution may use: what the notebook imports, and the functions and classes that it defines."""
    names = {}
    for cell in code(notebook):
        if "exercise" not in tags(cell):
            source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M)   # %magic and !shell lines
            kept = [node for node in ast.parse(source).body
                    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)]  # fmt: skip
            exec(compile(ast.Module(kept, []), "<notebook>", "exec"), names)
    return names


def all_exercises():
    """Every exercise of every notebook."""
    return [found for path in sorted(NOTEBOOKS.glob("*.ipynb")) for found in exercises(read(path), path.stem)]
