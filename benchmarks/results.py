"""What the benchmarks share: the weights, the machine in words, and where the numbers go."""

from __future__ import annotations

import json
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from minunclip.plots import tables
from minunclip.pretrained import DEFAULT, NARROW, write_karlo

KARLO = replace(DEFAULT, clip=replace(DEFAULT.clip, image_layers=0))    # its folder has no image encoder
README = Path(__file__).parents[1] / "README.md"
TABLES = {"karlo": tables.karlo_table, "memory": tables.memory_table, "samplers": tables.samplers_table}


@contextmanager
def weights_in(folder: Path | None, tiny: bool, dtype: torch.dtype) -> Iterator[Path]:
    """A folder of random weights in Karlo's layout, of its sizes or narrow: the given one, or one that is deleted."""
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        if not (place / "super_res_scheduler" / "scheduler_config.json").is_file():    # what is written last
            print(f"writing random weights to {place}", file=sys.stderr, flush=True)
            write_karlo(place, NARROW if tiny else KARLO, dtype)
        yield place


def machine() -> str:
    """The processor by its own name where the system tells it, and what is used of it."""
    information = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", information.read_text()) if information.is_file() else []
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads{gpu}, torch {torch.__version__}"


def save(name: str, found: dict, tiny: bool = False) -> None:
    """Add what was found to data/results/{name}.json, renew the README's table from it, and print that.

    Narrow networks say nothing of Karlo: their numbers are printed only.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if tiny else tables.RESULTS
        path = folder / f"{name}.json"
        path.write_text(json.dumps(merged(tables.measured(path), found), indent=1) + "\n", encoding="utf-8")
        print("\n" + TABLES[name](folder))
        if not tiny:
            README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")


def merged(old: dict, new: dict) -> dict:
    """Both, down to the single numbers; where they disagree, the new one."""
    both = {key: merged(old[key], value) if isinstance(value, dict) and isinstance(old.get(key), dict) else value
            for key, value in new.items()}  # fmt: skip
    return old | both


def with_tables(text: str) -> str:
    """A Markdown text with what follows each <!-- measured: NAME -->, up to an empty line after its note, renewed."""
    for name, table in TABLES.items():
        old = rf"(?ms)^<!-- measured: {name} -->\n.*?\*[^|\n]*\*$"
        text = re.sub(old, lambda _, name=name, table=table: f"<!-- measured: {name} -->\n{table()}", text, count=1)
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
