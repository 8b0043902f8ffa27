"""`minunclip evaluate`: measure the shipped weights, and write what was found into data/."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..common import DATA, SHIPPED, best_device, machine, weights_folder, write_text
from ..evaluation import Bench, Judge, Share, fidelity, judge_accuracy, psnr, renders, same_facts, zero_shot
from ..manipulations import decode
from ..plots import show
from ..pretrained import load
from ..scenes import Scenes
from ..upsampler import upsample
from .model_card import model_card

Rows = dict[str, dict[str, Share | float]]


def judge_rows(bench: Bench) -> Rows:
    """The judge on renders that it has not seen, four times as many as there are captions."""
    scenes = Scenes("test", 4 * len(bench.items), seed=bench.seed + 1)
    truth, seen = [], []
    for start in tqdm(range(0, len(scenes), 100), desc="judge"):
        items = [scenes[i] for i in range(start, min(start + 100, len(scenes)))]
        truth += [item.scene for item in items]
        seen += bench.read(renders(items, 32))
    return {"the judge on unseen renders": judge_accuracy(truth, seen)}


def clip_rows(bench: Bench) -> Rows:
    """CLIP's zero-shot choices, scenes of one and of two things apart."""
    rows = {}
    for things, name in ((1, "one thing"), (2, "two things")):
        items = [bench.items[i] for i in bench.group(things)]
        rows[f"CLIP zero-shot, {name}"] = zero_shot(bench.cascade.clip, items)
    return rows


def caption_rows(bench: Bench) -> Rows:
    """Draw every caption at the decoder's size, and see what of it came true."""
    seen, side = [], bench.cascade.sizes[0]
    for number, part in enumerate(tqdm(list(bench.batches()), desc="captions")):
        captions = [item.caption for item in part]
        drawing = bench.cascade.sample(captions, seed=bench.seed + 50 * number, size=side)
        seen += bench.read(drawing.image)
    groups = {
        "one thing": bench.group(1), "two things and their relation": bench.group(2, related=True),
        "two things": bench.group(2), "three things": bench.group(3), "all": range(len(bench.items)),
    }  # fmt: skip
    return {
        f"caption fidelity, {name}": fidelity([bench.items[i].statement for i in rows], [seen[i] for i in rows])
        for name, rows in groups.items() if rows
    }  # fmt: skip


def decoder_rows(bench: Bench) -> Rows:
    """Encode a render, decode it, and compare the facts; without a caption, and with it."""
    scenes, found = [], {"": [], " and the caption": []}
    for number, part in enumerate(tqdm(list(bench.batches(len(bench.items) // 4)), desc="decoder")):
        z_i = bench.cascade.clip.encode_image(renders(part, 32).to(bench.cascade.device)).detach()
        scenes += [item.scene for item in part]
        for name, captions in (("", [""] * len(part)), (" and the caption", [item.caption for item in part])):
            images = decode(bench.cascade, z_i, captions, bench.seed + 50 * number)
            found[name] += bench.read(images)
    rows = {f"decoder from the true z_i{name}": same_facts(scenes, seen) for name, seen in found.items()}
    for things, name in ((1, "one thing"), (2, "two things"), (3, "three things")):
        if chosen := [i for i, scene in enumerate(scenes) if len(scene.things) == things]:
            copies = [found[""][i] for i in chosen]
            rows[f"decoder from the true z_i, {name}"] = same_facts([scenes[i] for i in chosen], copies)
    return rows


def upsampler_rows(bench: Bench) -> Rows:
    """True small pictures, enlarged: decibels against the true large ones, and the facts that the judge reads."""
    rows = {}
    for number, count in enumerate((100, 10)[: len(bench.cascade.upsamplers)]):
        upsampler = bench.cascade.upsamplers[number]
        low_side, side = upsampler.config.low_size, upsampler.config.size
        ours, cubic, small, large = [], [], [], []
        for number_, part in enumerate(tqdm(list(bench.batches(count, 10)), desc=f"to {side} px")):
            low, truth = renders(part, low_side), renders(part, side)
            enlarged = bench.cascade.upsample(low.to(bench.cascade.device), number, seed=bench.seed + 10 * number_)
            images = enlarged.finish().cpu()
            ours += psnr(images, truth).tolist()
            cubic += psnr(upsample(low, side).clamp(-1, 1), truth).tolist()
            small += bench.read(F.interpolate(low, 32, mode="area"))
            large += bench.read(images)
        rows[f"{low_side} to {side} pixels"] = {
            "PSNR in dB": fmean(ours), "of bicubic": fmean(cubic), "gain": fmean(ours) - fmean(cubic),
            **{f"same {fact}": share for fact, share in same_facts(small, large).items() if fact == "scene"},
        }  # fmt: skip
    return rows


def time_rows(bench: Bench) -> Rows:
    """Seconds for one caption, the models loaded."""
    rows = {}
    for side in bench.cascade.sizes:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            bench.cascade.sample(["a big red circle above a small blue square"], size=side)
            times.append(time.perf_counter() - start)
        rows[f"to {side} px"] = sorted(times)[1]
    return {"seconds for one picture, models loaded": rows}


PARTS = (judge_rows, clip_rows, caption_rows, decoder_rows, upsampler_rows, time_rows)


def evaluate(captions: int = 1000, seed: int = 0, out: Path | None = None, model: str | Path = "scenes") -> str:
    """Measure everything, write results/scenes.json, gallery.png and README.md under `out`; return the table.

    model: the shipped weights, or a folder with those of every stage, the judge's included.
    """
    check(captions)
    out = out or DATA
    device = best_device()
    test = Scenes("test", captions, seed=seed + 100)
    judge = Judge.from_pretrained(model if model in SHIPPED else folder_of(model) / Judge.file_name, device)
    bench = Bench(load(model, device), judge, [test[i] for i in range(captions)], seed)
    rows: Rows = {}
    for part in PARTS:
        rows |= part(bench)
    table = markdown(rows)
    write_text(out / "results" / "scenes.json", json.dumps(as_json(rows, captions, seed, device), indent=1) + "\n")
    gallery(bench).save(out / "gallery.png")
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
