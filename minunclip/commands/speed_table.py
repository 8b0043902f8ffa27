"""data/results/speed.md: how long `minunclip train all` took on which machine, and how good its pictures are."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..common import PACKAGE, write_text

TRAINED_BY = ("training", "networks", "diffusion", "embeddings", "scenes")  # rooms whose code makes the weights

HEAD = """# Time to fidelity

Written by `minunclip train all`: from nothing to the weights of every stage, the evaluation included. Fidelity is the
share of unseen captions of which all is true that they say. The recipe is the first letters of a sum over the code that
trains.

| machine | profile | minutes | one thing | two things | three things | all captions | recipe |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def speed_row(found: dict, minutes: float, profile: str, where: str) -> str:
    """A line of the table, from the rows of results/scenes.json."""
    groups = ("one thing", "two things", "three things", "all")
    shares = [found.get(f"caption fidelity, {group}", {}).get("caption", {}).get("value") for group in groups]
    told = [f"{share:.3f}" if share is not None else "-" for share in shares]
    return f"| {where} | {profile} | {minutes:.1f} | {' | '.join(told)} | `{recipe_sum()}` |\n"


def add_row(path: Path, row: str) -> None:
    """Put a line at the end of the table, which is begun if it is not there."""
    write_text(path, (path.read_text(encoding="utf-8") if path.is_file() else HEAD) + row)


def recipe_sum() -> str:
    """Ten letters that change whenever the code does with which weights are trained."""
    files = [path for room in TRAINED_BY for path in (PACKAGE / room).rglob("*.py")] + list(PACKAGE.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:10]
