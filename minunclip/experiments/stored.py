"""What the stored results say, number by number: so that a notebook's sentences and curves follow what was measured."""

from __future__ import annotations

from pathlib import Path

from .report import NONE, RESULTS
from .runner import read_result, table_of
from .signs import Results, at, signs

ALIKE = "Two numbers within 3% of each other count as about the same."


def results(folder: Path = RESULTS) -> Results:
    """The tables of every part that was measured. Raises ValueError for a damaged file."""
    return {path.stem: read_result(path)["tables"] for path in sorted(folder.glob("*.json"))}


def rows(part: str, title: str, folder: Path = RESULTS) -> list[dict]:
    """The rows of one table, each {column: number or word}; none if it was not measured.

    An estimate stands for its value alone; `table` shows its interval as well. Raises ValueError for a damaged file.
    """
    path = folder / f"{part}.json"
    found = read_result(path)["tables"].get(title, []) if path.is_file() else []
    return [{name: cell["value"] if isinstance(cell, dict) else cell for name, cell in row.items()} for row in found]


def number(part: str, title: str, column: str, folder: Path = RESULTS, **where) -> float:
    """One number, from the row in which other columns are as given, spaces written as underscores.

    NaN if it was not measured: no comparison with it is true. Raises ValueError for a damaged file.
    """
    try:
        value = at({part: {title: rows(part, title, folder)}}, part, title, column, **where)
    except KeyError:
        return float("nan")
    return float("nan") if value is None else value


def signs_table(folder: Path = RESULTS):
    """Which way each finding of the paper points, and which way it points here: Markdown."""
    from IPython.display import Markdown

    found = signs(results(folder))
    return Markdown(f"{table_of('which way a finding points', found)}\n\n{ALIKE}" if found else NONE)


def beside_the_paper(section: str, folder: Path = RESULTS):
    """A box for each finding of a section of the paper, as "5.1": what it is, and whether it is the same here."""
    from IPython.display import Markdown

    found = [row for row in signs(results(folder)) if row["in"].split(",")[0] == section]
    return Markdown("\n\n".join(map(told, found)) or NONE)


def told(row: dict) -> str:
    """A row of the signs as a sentence or two."""
    finding, numbers = row["the paper found"], row["the numbers"]
    if row["ours"] == row["its sign"]:
        return f"> **As in the paper** ({row['in']}): {finding}. Here: {numbers}."
    return (f"> **Unlike the paper** ({row['in']}). It found that {finding}. Here it is {row['ours']}: {numbers}. "
            f"The likely reason: {row['the reason, if they differ']}.")  # fmt: skip
