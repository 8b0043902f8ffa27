"""The committed notebooks' exercises, and what their form asks for. CONTRIBUTING.md describes it."""

import ast
import re
from pathlib import Path

import nbformat

from minunclip.course.exercises import HEADING, code, exercises, function_of, namespace, solved, tags

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
__all__ = ["HEADING", "NOTEBOOKS", "all_exercises", "code", "defects", "exercises", "namespace", "read", "solved",
           "tags"]  # fmt: skip


def read(path):
    return nbformat.read(path, as_version=4)


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


def all_exercises():
    """Every exercise of every notebook."""
    return [found for path in sorted(NOTEBOOKS.glob("*.ipynb")) for found in exercises(read(path), path.stem)]
