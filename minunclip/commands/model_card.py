"""The text of data/README.md: what the shipped weights are, how they were made, and what they can do."""

from __future__ import annotations

import json
from pathlib import Path

from ..common import STAGES, read_weights, sha256
from ..scenes import BACKGROUNDS, COLOURS, KINDS, STYLES

TEXT = """# The shipped weights

Written by `minunclip evaluate`. The weights of the `scenes` model: a caption of the toy world becomes a picture of
32, then 128, then 512 pixels.

![Captions that training never saw, not chosen, drawn by the model](gallery.png)

## What they were trained on

Scenes that the library draws while training (`minunclip.scenes`): one to three things of {kinds} kinds, {colours}
colours and two sizes, on {backgrounds} backgrounds, in {styles} styles, with captions that say a random part of these
facts. No caption says where in its part of the picture a thing stands, how it is turned, its exact size and tint, or
how clouds, stars, hills, stripes and dots lie: that is drawn anew for every picture. One caption in ten is kept for
testing, and some combinations (`HELD_OUT`) are never drawn for training. Nothing was downloaded. The judge saw
renders only, never a sample of a model.

## The files

All of them are what `minunclip train all` wrote, from nothing.

{files}

Each file holds its config and its training settings in the metadata, and float16 weights: averages over the last steps
of training. `SHA256.json` lists the sums; a file that does not match is refused.

## What they can do

{captions} captions never seen in training (seed {seed}), on {machine}. Proportions with their 95% intervals.

{table}

A caption counts as true if every fact that it states is true of the picture, as the judge reads it: the judge's own
errors are in the first rows.

## Limits

They draw this toy world and nothing else. Words outside the vocabulary are refused.
"""


def model_card(table: str, captions: int, seed: int, *, where: str, folder: Path) -> str:
    """The page beside the weights of a folder, with what was measured, as a Markdown table, and where."""
    return TEXT.format(
        table=table, captions=captions, seed=seed, machine=where, files=file_table(folder),
        kinds=len(KINDS), colours=len(COLOURS), backgrounds=len(BACKGROUNDS), styles=len(STYLES),
    )  # fmt: skip


def file_table(folder: Path) -> str:
    """One row per weight file, from its own metadata."""
    lines = ["| stage | command | parameters | steps x batch | minutes, device | SHA-256 |", "| --- " * 6 + "|"]
    for stage in STAGES:
        path = folder / f"{stage}.safetensors"
        if path.is_file():
            lines.append(_row(stage, path, *read_weights(path)))
    return "\n".join(lines)


def _row(stage: str, path: Path, metadata: dict, weights: dict) -> str:
    count = sum(tensor.numel() for tensor in weights.values())
    train = json.loads(metadata.get("train", "{}"))
    size = f"{train.get('steps', '?')} x {train.get('batch', '?')}"
    command = f"`minunclip train {stage} --profile {metadata.get('profile', '?')}`"
    where = f"{metadata.get('minutes', '?')}, {metadata.get('device', '?')}"
    return f"| {stage} | {command} | {count / 1e6:.2f} M | {size} | {where} | `{sha256(path)[:16]}` |"
