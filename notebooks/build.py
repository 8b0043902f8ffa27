"""Make the notebooks from notebooks/source, run them, and measure what a run costs.

    python notebooks/build.py              every notebook
    python notebooks/build.py 00_tour      this one
    python notebooks/build.py --no-run     convert only: outputs stay if only prose and imports changed
    python notebooks/build.py --new 12_x   the source of a new notebook, with all its parts to fill in

The sources are Python files with cells marked by # %% (jupytext's py:percent). Edit those, then build.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import time
from datetime import datetime
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from minunclip.common import write_text
from minunclip.plots import COSTS, cost_table

HERE = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
MEASURE = """import os, sys, time, torch
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
except ImportError:  # Windows
    import psutil
    peak = psutil.Process().memory_info().peak_wset
(peak, time.process_time(),
 torch.cuda.get_device_name() if torch.cuda.is_available()
 else f"{os.cpu_count()} CPU cores, {torch.backends.cpu.get_cpu_capability()}")"""


def convert(source: Path) -> nbformat.NotebookNode:
    """A notebook without outputs. Cell ids count up, so that a rebuilt notebook differs only where it must."""
    notebook = jupytext.read(source, fmt="py:percent")
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    return notebook


def run(notebook: nbformat.NotebookNode) -> dict:
    """Execute every cell in a fresh kernel, in place; what it cost. Raises at the first cell that fails."""
    os.environ.update(TQDM_DISABLE="1", MINUNCLIP_CLAIMS="strict")       # a finding that is none ends the build
    notebook.cells.append(nbformat.v4.new_code_cell(MEASURE))
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=True,
                            resources={"metadata": {"path": str(HERE)}})  # fmt: skip
    start = time.perf_counter()
    client.execute()
    minutes = (time.perf_counter() - start) / 60
    peak, busy, machine = ast.literal_eval(notebook.cells.pop().outputs[0]["data"]["text/plain"])
    return {"minutes": round(minutes, 2), "core_minutes": round(busy / 60, 2),   # more than one core adds up
            "slowest_cell_seconds": round(max(map(seconds, notebook.cells)), 1), "peak_memory_gb": round(peak / 1e9, 2),
            "machine": machine}  # fmt: skip


def seconds(cell: nbformat.NotebookNode) -> float:
    """How long a cell took, by the times that the client noted in its metadata; they are taken out of it."""
    times = cell.metadata.pop("execution", {})
    begun, done = (times.get(f"iopub.{what}") for what in ("execute_input", "status.idle"))
    return (datetime.fromisoformat(done) - datetime.fromisoformat(begun)).total_seconds() if begun and done else 0.0


def record(name: str, notebook: nbformat.NotebookNode, cost: dict) -> None:
    """Add the cost to data/results/notebooks.json, and renew the notebook's own table of it."""
    costs = json.loads(COSTS.read_text()) if COSTS.is_file() else {}
    costs.setdefault(name, {})["cpu" if "CPU cores" in cost["machine"] else "gpu"] = cost
    COSTS.parent.mkdir(parents=True, exist_ok=True)
    write_text(COSTS, json.dumps(costs, indent=1) + "\n")
    for cell in notebook.cells:
        if "cost" in cell.metadata.get("tags", []):
            cell.outputs[0]["data"]["text/markdown"] = cost_table(name, COSTS).data


def keep_outputs(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Prose and imports may change without another run: take over what the notebook holds, if its code is the same."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    saved = nbformat.read(path, as_version=4)
    ran = [cell for cell in saved.cells if cell.cell_type == "code"]
    if [without_imports(cell.source) for cell in code] == [without_imports(cell.source) for cell in ran]:
        for cell, old in zip(code, ran, strict=True):
            cell.update(outputs=old.outputs, execution_count=old.execution_count)
        notebook.metadata = saved.metadata


def without_imports(source: str) -> str:
    """The code of a cell but for its import statements: where a name comes from changes no output."""
    lines = source.splitlines()
    try:
        tree = ast.parse(source)
    except SyntaxError:                                                 # %magic: such a cell is compared as it is
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line for line in lines if line.strip())


def build(source: Path, execute: bool = True) -> Path:
    notebook, path = convert(source), HERE / f"{source.stem}.ipynb"
    if execute:
        cost = run(notebook)
        record(source.stem, notebook, cost)
        print(f"{path.name}: {cost}")
    elif path.is_file():
        keep_outputs(notebook, path)
    nbformat.validate(notebook)
    write_text(path, nbformat.writes(notebook) + "\n")
    return path


SKELETON = """# %% [markdown]
# # NUMBER · Title
#
# What this notebook is about, in two sentences.

# %%
import minunclip
from minunclip import plots

cascade = minunclip.load("scenes")
plots.show(cascade.sample(["a red star"], size=128).image, seed=0)

# %% [markdown]
# **What you will see**
#
# 1. ...
#
# **What you need to know before:** ...
#
# **What a whole run costs,** measured:

# %% tags=["cost"]
plots.cost_table("NAME")

# %% [markdown]
# ## 1. The first section
#
# ## Summary
#
# ## Questions
#
# <details><summary>1. A question?</summary>
#
# Its answer.
#
# </details>
#
# <details><summary>2. Another one?</summary>
#
# Its answer.
#
# </details>
#
# ## Where to read on
"""


def new(name: str) -> Path:
    """Write the source of a new notebook. Raises ValueError for a name of another form, or one that is taken."""
    path = HERE / "source" / f"{name}.py"
    if not re.fullmatch(r"\d\d_\w+", name) or path.exists():
        raise ValueError(f"{name}: choose a name such as 12_my_topic that is not taken yet")
    write_text(path, SKELETON.replace("NUMBER", name[:2]).replace("NAME", name))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the notebooks from their sources.")
    parser.add_argument("names", nargs="*", help="which, such as 00_tour (default: all)")
    parser.add_argument("--no-run", action="store_true", help="convert only")
    parser.add_argument("--new", metavar="NAME", help="write the source of a new notebook, and build nothing")
    args = parser.parse_args()
    if args.new:
        print(new(args.new))
        return
    sources = {source.stem: source for source in sorted((HERE / "source").glob("*.py"))}
    if unknown := [name for name in args.names if name not in sources]:
        parser.error(f"there is no source {unknown[0]!r}: choose from {', '.join(sources)}")
    for name in args.names or sources:
        build(sources[name], execute=not args.no_run)


if __name__ == "__main__":
    main()
