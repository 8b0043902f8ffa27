"""The widgets of a notebook, alone: its widget cells as they are, and before them what they need of the rest."""

import ast
import re
import symtable

import nbformat
from exercises import NOTEBOOKS, code

VIEW = "application/vnd.jupyter.widget-view+json"
WITH_WIDGETS = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if VIEW in path.read_text(encoding="utf-8")]
GRADIENTS = re.compile(r"torch\.set_grad_enabled\(")  # a statement that makes no name and yet is needed


def is_widget(cell):
    return any(VIEW in output.get("data", {}) for output in cell.outputs)


def statements(source):
    """The top-level statements of a cell, each as its own text."""
    return [ast.get_source_segment(source, statement) for statement in ast.parse(source).body]


def names(source):
    """The global names that this code makes, and those that it uses."""
    top = symtable.symtable(source, "cell", "exec")
    tables = [top]
    for table in tables:
        tables += table.get_children()
    makes = {name.get_name() for name in top.get_symbols() if name.is_assigned() or name.is_imported()}
    uses = {name.get_name() for table in tables for name in table.get_symbols()
            if name.is_referenced() and (table is top or name.is_global())}  # fmt: skip
    return makes, uses


def cut(notebook):
    """A notebook of the widget cells, without outputs; a first cell makes the names that they use.

    That cell trains nothing: it has the statements that give a name its value, not those that change the value later.
    """
    wanted, setup, kept = set(), [], []
    for cell in reversed(code(notebook)):
        for statement in reversed(statements(cell.source)):
            makes, uses = names(statement)
            if is_widget(cell) or makes & wanted or GRADIENTS.match(statement):
                wanted = wanted - makes | uses
                setup += [] if is_widget(cell) else [statement]
        kept += [nbformat.v4.new_code_cell(cell.source)] if is_widget(cell) else []
    cells = [nbformat.v4.new_code_cell("\n".join(reversed(setup))), *reversed(kept)]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": notebook.metadata.kernelspec})


def grids(notebook):
    """Which of the widgets in a notebook show pictures of their saved state, so that they need no kernel."""
    models = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]

    def kinds(model):
        children = re.findall(r"IPY_MODEL_(\w+)", str(model["state"].get("children")))
        return {model["model_name"]}.union(*(kinds(models[child]) for child in children))

    views = [output.data[VIEW]["model_id"] for cell in code(notebook) for output in cell.outputs
             if VIEW in output.get("data", {})]  # fmt: skip
    return [number for number, view in enumerate(views) if "StackModel" in kinds(models[view])]
