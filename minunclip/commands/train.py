"""`minunclip train`: one stage from its recipe to its weight file, with a progress bar."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..clip import CLIP
from ..common import DATA, SHIPPED, sha256, weights_folder, write_text
from ..training import Bank, Loader, Recipe, TrainConfig, Trainer, batches, recipe_for
from ..training.recipes import NEED_CLIP


def run(
    stage: str, profile: str | None = None, out: Path | None = None, *, clip: str = "scenes",
    steps: int | None = None, workers: int = 1, fresh: bool = False,
) -> Path:  # fmt: skip
    """Train a stage and save its averaged weights. Interrupted, it resumes from the checkpoint beside `out`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    profile = profile or ("gpu" if device.type == "cuda" else "cpu")
    out = out or DATA / "runs" / f"{stage}.safetensors"
    checkpoint = out.with_suffix(".checkpoint")
    if fresh:
        checkpoint.unlink(missing_ok=True)
    recipe = recipe_for(stage, CLIP.from_pretrained(clip, device) if stage in NEED_CLIP else None)
    config = shortened(recipe.profiles[profile], steps)
    torch.manual_seed(config.seed)
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format  # on a CPU it is slower
    trainer = Trainer(recipe.build().to(device, memory_format=layout), config, checkpoint)
    curve = follow(trainer, recipe, workers)
    recipe.finish(trainer.ema)
    minutes = curve[-1]["seconds"] / 60 if curve else 0
    notes = {"profile": profile, "device": str(device), "minutes": f"{minutes:.1f}"}
    if stage in NEED_CLIP:
        notes["clip"] = sha256(weights_folder(clip) / CLIP.file_name if clip in SHIPPED else Path(clip))
    return trainer.ema.save(out, train=json.dumps(asdict(config)), **notes)


def shortened(config: TrainConfig, steps: int | None) -> TrainConfig:
    """The same training in fewer (or more) steps. Raises ValueError for less than one."""
    if steps is None:
        return config
    if steps < 1:
        raise ValueError(f"--steps is {steps}: train for one step or more")
    return replace(config, steps=steps, warmup=min(config.warmup, max(1, steps // 10)))


def follow(trainer: Trainer, recipe: Recipe, workers: int) -> list[dict]:
    """Run the loop under a progress bar with loss and examples per second; the curve that it went."""
    config, path = trainer.config, trainer.checkpoint.with_suffix(".curve.json")
    curve, average, done = read_curve(path, trainer.checkpoint), None, 0
    before = curve[-1]["seconds"] if curve else 0.0
    records = trainer.run(recipe.loss, source(trainer, recipe, workers))
    with tqdm(total=config.steps * config.batch, unit="example", unit_scale=True, mininterval=1) as bar:
        for record in records:
            done += 1
            average = record.loss if average is None else average + (record.loss - average) / min(done, 50)
            bar.set_postfix_str(f"step {record.step}, loss {average:.4f}", refresh=False)
            bar.update(record.examples - bar.n)
            if record.step % max(1, config.steps // 200) == 0 or record.step == config.steps:
                seconds = round(before + record.seconds, 1)
                curve.append({"step": record.step, "loss": round(average, 5), "seconds": seconds})
            if record.step % config.save_every == 0 or record.step == config.steps:
                write_curve(path, curve)
    return curve


def source(trainer: Trainer, recipe: Recipe, workers: int) -> Loader:
    """Where the batches come from: a bank beside the checkpoint, or new examples without end."""
    config = trainer.config
    if not config.examples:
        return batches(recipe, config, workers)
    bank = Bank.at(trainer.checkpoint.with_name(f"{recipe.bank}.bank"), recipe, config.examples, workers)
    return Bank(bank.examples.to(trainer.device), bank.family).batches(config)


def read_curve(path: Path, checkpoint: Path) -> list[dict]:
    """The points of a training that is to be resumed; none if it starts anew."""
    return json.loads(path.read_text()) if path.is_file() and checkpoint.is_file() else []


def write_curve(path: Path, curve: list[dict]) -> None:
    """The running mean of the loss over 50 steps, at some 200 steps of a training, and the seconds until then."""
    write_text(path, json.dumps(curve).replace("}, ", "},\n") + "\n")
