"""`minunclip train`: one stage from its recipe to its weight file, with a progress bar."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from .batches import batches
from .clip import CLIP
from .recipes import recipe_for
from .stage import PACKAGE
from .train import TrainConfig, Trainer, train


def run(
    stage: str, profile: str | None = None, out: Path | None = None, clip: str = "scenes",
    steps: int | None = None, workers: int = 1, fresh: bool = False,
) -> Path:  # fmt: skip
    """Train a stage and save its averaged weights. Interrupted, it resumes from the checkpoint beside `out`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    profile = profile or ("gpu" if device.type == "cuda" else "cpu")
    out = out or PACKAGE.parent / "data" / "runs" / f"{stage}.safetensors"
    checkpoint = out.with_suffix(".checkpoint")
    if fresh:
        checkpoint.unlink(missing_ok=True)
    needs_clip = stage in ("prior", "decoder")
    recipe = recipe_for(stage, CLIP.from_pretrained(clip, device) if needs_clip else None)
    config = shortened(recipe.profiles[profile], steps)
    torch.manual_seed(config.seed)
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format  # on a CPU it is slower
    trainer = Trainer(recipe.build().to(device, memory_format=layout), config)
    seconds = follow(trainer, recipe, config, checkpoint, workers)
    recipe.finish(trainer.ema)
    notes = {"profile": profile, "device": str(device), "minutes": f"{seconds / 60:.1f}"}
    return trainer.ema.save(out, train=json.dumps(asdict(config)), **notes)


def shortened(config: TrainConfig, steps: int | None) -> TrainConfig:
    """The same training in fewer (or more) steps. Raises ValueError for less than one."""
    if steps is None:
        return config
    if steps < 1:
        raise ValueError(f"--steps is {steps}: train for one step or more")
    return replace(config, steps=steps, warmup=min(config.warmup, max(1, steps // 10)))


def follow(trainer: Trainer, recipe, config: TrainConfig, checkpoint: Path, workers: int) -> float:
    """Run the loop under a progress bar with loss and examples per second; the seconds that it took."""
    seconds, average = 0.0, None
    records = train(trainer.model, recipe.loss, batches(recipe, config, workers), config, checkpoint, trainer)
    with tqdm(total=config.steps * config.batch, unit="example", unit_scale=True, mininterval=1) as bar:
        for record in records:
            average = record.loss if average is None else 0.98 * average + 0.02 * record.loss
            bar.set_postfix_str(f"step {record.step}, loss {average:.4f}", refresh=False)
            bar.update(record.examples - bar.n)
            seconds = record.seconds
    return seconds
