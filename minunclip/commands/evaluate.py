"""`minunclip evaluate`: measure the shipped weights, and write what was found into data/."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ..common import DATA, SHIPPED, best_device, check_target, machine, save_png, weights_folder, write_text
from ..evaluation import Bench, Judge, Share
from ..experiments import PARTS_OF_THE_CARD, Rows
from ..plots import show
from ..pretrained import load
from ..scenes import Scenes
from .model_card import model_card


def evaluate(captions: int = 1000, seed: int = 0, out: Path | None = None, model: str | Path = "scenes") -> str:
    """Measure everything, write results/scenes.json, gallery.png and README.md under `out`; return the table.

    model: the shipped weights, or a folder with those of every stage, the judge's included.
    """
    check(captions)
    out = out or DATA
    for name in ("results/scenes.json", "gallery.png", "README.md"):
        check_target(out / name)
    device = best_device()
    test = Scenes("test", captions, seed=seed + 100)
    judge = Judge.from_pretrained(model if model in SHIPPED else folder_of(model) / Judge.file_name, device)
    bench = Bench(load(model, device), judge, [test[i] for i in range(captions)], seed)
    rows: Rows = {}
    for part in PARTS_OF_THE_CARD:
        rows |= part(bench)
    table = markdown(rows)
    write_text(out / "results" / "scenes.json", json.dumps(as_json(rows, captions, seed, device), indent=1) + "\n")
    save_png(gallery(bench), out / "gallery.png", f"The first captions of the test set, not chosen (seed {seed})")
    write_text(out / "README.md", model_card(table, captions, seed, where=machine(device), folder=folder_of(model)))
    return table


def check(captions: int) -> None:
    """Raises ValueError for too few captions to measure anything."""
    if captions < 10:
        raise ValueError(f"--captions is {captions}: measure at least 10")


def folder_of(model: str | Path) -> Path:
    return weights_folder(str(model)) if model in SHIPPED else Path(model)


def gallery(bench: Bench):
    """The first test captions, not chosen, at 128 px."""
    captions = [item.caption for item in bench.items[:18]]
    images = bench.cascade.sample(captions, bench.seed, size=128).image
    title = "The first captions of the test set, not chosen"
    return show(images, captions, columns=6, title=title, seed=bench.seed).image


def markdown(rows: Rows) -> str:
    lines = ["| what | value |", "| --- | --- |"]
    for title, values in rows.items():
        lines.append(f"| **{title}** | |")
        for name, value in values.items():
            lines.append(f"| {name} | {value if isinstance(value, Share) else f'{value:.2f}'} |")
    return "\n".join(lines)


def as_json(rows: Rows, captions: int, seed: int, device: torch.device) -> dict:
    def plain(value: Share | float):
        if not isinstance(value, Share):
            return value
        return {"value": value.value, "interval": value.interval, "n": value.total}

    found = {title: {name: plain(value) for name, value in values.items()} for title, values in rows.items()}
    return {"captions": captions, "seed": seed, "machine": machine(device), "rows": found}
