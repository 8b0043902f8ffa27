"""Run the parts of an evaluation one after the other; keep what each found, so that a stopped run goes on.

A part is a function without arguments that returns tables: {title: rows}, each row {column: number, word, Share or
Estimate}. What it found is a JSON file that also says what was measured, how much, and with which weights.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from ..evaluate import write
from ..metrics import Estimate, Share
from ..stage import weights_folder

Tables = dict[str, list[dict]]
Part = Callable[[], Tables]


def run(parts: dict[str, Part], folder: Path, made_with: dict, fresh: bool = False) -> dict[str, Tables]:
    """What every part found, by its name: from `folder`/NAME.json if that is there, otherwise measured now.

    made_with: what the results depend on. Raises ValueError for a file that is damaged or was made with something
    else, before anything is measured. fresh: measure all parts again.
    """
    paths = {name: folder / f"{name}.json" for name in parts}
    if fresh:                                                           # all at once: if it stops, it can go on
        for path in paths.values():
            path.unlink(missing_ok=True)
    made_with = json.loads(json.dumps(made_with))                       # as it will be read: tuples become lists
    found = {name: read(path, made_with) for name, path in paths.items() if path.is_file()}
    for name in tqdm([name for name in parts if name not in found], desc="parts"):
        start = time.perf_counter()
        tables = {title: [plain(row) for row in rows] for title, rows in parts[name]().items()}
        seconds = round(time.perf_counter() - start, 1)
        text = json.dumps({"made_with": made_with, "seconds": seconds, "tables": tables}, indent=1, allow_nan=False)
        write(paths[name], text + "\n")
        found[name] = read(paths[name], made_with)
    return {name: found[name] for name in parts}


def read(path: Path, made_with: dict) -> Tables:
    """The tables of a result file. Raises ValueError if it is damaged or of another run."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tables, before = content["tables"], content["made_with"]
        other = [name for name in made_with if before.get(name) != made_with[name]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): delete it, or measure again with --fresh") from None
    if other:
        raise ValueError(f"{path} was measured with other {' and '.join(other)}: keep it and choose another --out, or "
                         "measure again with --fresh")  # fmt: skip
    return tables


def weight_sums(name: str = "scenes") -> dict[str, str]:
    """The first letters of the SHA-256 of the weights that small pictures depend on: not of the upsamplers."""
    sums = json.loads((weights_folder(name) / "SHA256.json").read_text(encoding="utf-8"))
    return {file: value[:16] for file, value in sorted(sums.items()) if not file.startswith("upsampler")}


def plain(row: dict) -> dict:
    """A row as JSON has it: with {"value", "interval", "n"} for a Share or an Estimate, and null for no number."""
    number = lambda x: None if isinstance(x, float) and math.isnan(x) else x  # noqa: E731
    return {
        name: {"value": number(x.value), "interval": [number(end) for end in x.interval], "n": x.total}
        if isinstance(x, Share | Estimate) else number(x)
        for name, x in row.items()
    }  # fmt: skip


def markdown(results: dict[str, Tables]) -> str:
    """All tables of all parts."""
    blocks = [_table(title, rows) for tables in results.values() for title, rows in tables.items()]
    return "\n\n".join(blocks)


def _table(title: str, rows: list[dict]) -> str:
    lines = [f"**{title}**", "", f"| {' | '.join(rows[0])} |", "| --- " * len(rows[0]) + "|"]
    return "\n".join(lines + [f"| {' | '.join(map(_cell, row.values()))} |" for row in rows])


def _cell(x) -> str:
    if isinstance(x, dict):
        return _cell(x["value"]) + " ({} to {})".format(*map(_cell, x["interval"]))
    return "-" if x is None else f"{x:.3g}" if isinstance(x, float) else str(x)
