"""Run the parts of an evaluation one after the other; keep what each found, so that a stopped run goes on.

A part is a function without arguments that returns what it found, by title: rows, each {column: number, word, Share or
Estimate}; a sentence; or a Picture. What it found is a JSON file that also says what was measured, how much, and with
which weights, and a PNG beside it for each picture.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from ..common import save_png, weights_folder, write_text
from ..evaluation import Estimate, Share
from ..plots import Picture

Tables = dict[str, list[dict] | str]
Found = dict[str, list[dict] | str | Picture]
Part = Callable[[], Found]
AGAIN = "delete it, or measure again with minunclip evaluate --suite paper --fresh"


def run(
    parts: dict[str, Part], folder: Path, made_with: dict[str, dict], *, fresh: bool = False, where: str = ""
) -> dict[str, Tables]:
    """What every part found, by its name: from `folder`/NAME.json if that is there, otherwise measured now.

    made_with: by part, what its results depend on
    fresh: measure all parts again
    where: the machine, for the record

    Raises ValueError for a file that is damaged or was made with something else, before anything is measured.
    """
    paths = {name: folder / f"{name}.json" for name in parts}
    if fresh:                                                           # all now: a run that stops can be resumed
        for path in paths.values():
            path.unlink(missing_ok=True)
    made_with = json.loads(json.dumps(made_with))                       # as it will be read: tuples become lists
    found = {name: kept_result(path, made_with[name]) for name, path in paths.items() if path.is_file()}
    for name in tqdm([name for name in parts if not is_whole(found.get(name), folder)], desc="parts"):
        start = time.perf_counter()
        results = parts[name]()
        record = {"made_with": made_with[name], "machine": where, "seconds": round(time.perf_counter() - start, 1)}
        keep(results, paths[name], record)
        found[name] = kept_result(paths[name], made_with[name])
    return {name: found[name]["tables"] for name in parts}


def keep(results: Found, path: Path, record: dict) -> None:
    """Write the pictures among some results beside `path`, and then everything else into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = {f"{title}.png": x for title, x in results.items() if isinstance(x, Picture)}
    for file, picture in pictures.items():
        save_png(picture.image, path.parent / file, picture.alt)
    tables = {title: x if isinstance(x, str) else [plain(row) for row in x]
              for title, x in results.items() if not isinstance(x, Picture)}  # fmt: skip
    record = record | {"tables": tables, "pictures": {file: picture.alt for file, picture in pictures.items()}}
    record = json.loads(json.dumps(record, allow_nan=False))            # as it will be read: tuples become lists
    write_text(path, json.dumps(record | {"sum": sum_of(record)}, indent=1) + "\n")


def is_whole(content: dict | None, folder: Path) -> bool:
    """Whether a result is there with all of its pictures."""
    return content is not None and all((folder / file).is_file() for file in content["pictures"])


def kept_result(path: Path, made_with: dict) -> dict:
    """The content of a result file. Raises ValueError if it is damaged or of another run."""
    content = read_result(path)
    if content.pop("sum", None) != sum_of(content):
        raise ValueError(f"{path} is damaged, or an older version wrote it: {AGAIN}")
    if other := [name for name in made_with if content["made_with"].get(name) != made_with[name]]:
        raise ValueError(f"{path} was measured with other {' and '.join(other)}: keep it and choose another --out, or "
                         "measure again with --fresh")  # fmt: skip
    return content


def sum_of(record: dict) -> str:
    """A sum over a record, kept in its file: a number that has changed on the disk looks like any other."""
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]


# -- what a result file may hold: checked here once, so that tables, figures and signs can rely on it --------


def read_result(path: Path) -> dict:
    """The content of a result file that has the form of one. Raises ValueError, with the file's name, if not."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check_form(content)
    except (ValueError, RecursionError) as error:                       # no JSON, nested too deep, another form
        raise ValueError(f"{path} is damaged ({error}): {AGAIN}") from None
    return content


def check_form(content) -> None:
    """Raises ValueError, with what is wrong, for what is no record of a part."""
    expect(isinstance(content, dict), "it is no record")
    for name, kind in {"made_with": dict, "machine": str, "tables": dict, "pictures": dict}.items():
        expect(isinstance(content.get(name), kind), f"{name} is missing, or of another kind")
    expect(is_number(content.get("seconds")), "seconds are no number")
    expect(all(isinstance(alt, str) for alt in content["pictures"].values()), "a picture has no description")
    for title, rows in content["tables"].items():
        expect(isinstance(rows, str) or is_table(rows), f"{title!r} is no table")


def expect(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)


def is_table(rows) -> bool:
    """Rows with the same columns, and in each column things of one kind, or null."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        return False
    if any(list(row) != list(rows[0]) for row in rows):
        return False
    kinds = [{kind_of(row[column]) for row in rows} - {"null"} for column in rows[0]]
    return all(len(found) <= 1 and "unknown" not in found for found in kinds)


def kind_of(cell) -> str:
    if isinstance(cell, dict):
        low_high, n = cell.get("interval"), cell.get("n")
        right = set(cell) == {"value", "interval", "n"} and isinstance(low_high, list) and len(low_high) == 2
        right = right and all(x is None or is_number(x) for x in (cell["value"], *low_high)) and is_number(n)
        return "estimate" if right else "unknown"
    return "null" if cell is None else "word" if isinstance(cell, str) else "number" if is_number(cell) else "unknown"


def is_number(x) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e15     # no NaN either


# -- weights, and tables in Markdown -------------------------------------------------------------------------


def weight_sums(stages: tuple[str, ...], name: str = "scenes") -> dict[str, str]:
    """The first 16 letters of the SHA-256 of the weights of some stages; those without weights are left out."""
    path = weights_folder(name) / "SHA256.json"
    try:
        sums = json.loads(path.read_text(encoding="utf-8"))
        return {stage: sums[f"{stage}.safetensors"][:16] for stage in stages if f"{stage}.safetensors" in sums}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): get the weights again") from None


def plain(row: dict) -> dict:
    """A row as JSON has it: with {"value", "interval", "n"} for a Share or an Estimate, and null for no number."""
    def number(x):
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return {
        name: {"value": number(x.value), "interval": [number(end) for end in x.interval], "n": x.total}
        if isinstance(x, Share | Estimate) else number(x)
        for name, x in row.items()
    }  # fmt: skip


def markdown(results: dict[str, Tables]) -> str:
    """All tables of all parts."""
    blocks = [table_of(title, rows) for tables in results.values() for title, rows in tables.items()]
    return "\n\n".join(blocks)


def table_of(title: str, rows: list[dict] | str) -> str:
    """A table in Markdown, or a sentence, under its title."""
    if isinstance(rows, str):
        return f"**{title}**\n\n{rows}"
    lines = [f"**{title}**", "", f"| {' | '.join(rows[0])} |", "| --- " * len(rows[0]) + "|"]
    return "\n".join(lines + [f"| {' | '.join(map(_cell, row.values()))} |" for row in rows])


def _cell(x) -> str:
    """A cell of a row from JSON as text, numbers with three digits."""
    if isinstance(x, dict):
        return _cell(x["value"]) + " ({} to {})".format(*map(_cell, x["interval"]))
    return "-" if x is None else f"{float(f'{x:.3g}'):g}" if isinstance(x, float) else str(x)    # 1480, not 1.48e+03
