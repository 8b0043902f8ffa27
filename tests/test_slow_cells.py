"""A busy machine: notebooks have time to spare, and a cell that runs out of it is one failure, not twenty."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat

from minunclip.common import DATA

ROOT = Path(__file__).parents[1]


def outcome(folder: Path, *sources: str) -> str:
    """What pytest says of a notebook of these cells, each of which has two seconds."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbformat.write(notebook, folder / "cells.ipynb")
    settings = [f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), "-p", "conftest", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *settings, "--nbval-cell-timeout=2", str(folder / "cells.ipynb")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_a_cell_that_runs_out_of_time_is_one_failure(tmp_path):
    told = outcome(tmp_path, "x = 1", "import time; time.sleep(60)", "print(x)", "print(x + 1)")
    assert "1 failed, 1 passed, 2 skipped" in told, told
    assert "Timeout of 2 seconds exceeded" in told


def test_the_slowest_cells_have_time_to_spare(pytestconfig):
    """Of three times as long as they took, in case that something else runs."""
    costs = json.loads((DATA / "results" / "notebooks.json").read_text())
    slowest = {name: cost["slowest_cell_seconds"] for name, machines in costs.items() for cost in machines.values()
               if "slowest_cell_seconds" in cost}  # fmt: skip
    limit = pytestconfig.option.nbval_cell_timeout / 3
    assert slowest and not {name: took for name, took in slowest.items() if took > limit}
