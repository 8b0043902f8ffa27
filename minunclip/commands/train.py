"""`minunclip train`: one stage from its recipe to its weight file, with a progress bar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..clip import CLIP
from ..common import DATA, SHIPPED, Stage, alone, check_target, sha256, sweep, weights_folder, write_text
from ..training import Bank, Loader, Recipe, TrainConfig, Trainer, batches, parallel, recipe_for
from ..training.recipes import NEED_CLIP


def run(
    stage: str, profile: str | None = None, out: Path | None = None, *, clip: str = "scenes",
    steps: int | None = None, streams: int = 1, workers: int = 1, fresh: bool = False,
) -> Path:  # fmt: skip
    """Train a stage and save its averaged weights. Interrupted, it resumes from the checkpoint beside `out`.

    Under torchrun or accelerate each process takes its part, and the first one writes, see `training.parallel`.
    Raises OSError, before any work, if nothing can be written there or another training writes there now.
    """
    out = out or DATA / "runs" / f"{stage}.safetensors"
    device = parallel.start() or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    profile = profile or ("gpu" if device.type == "cuda" else "cpu")
    check_target(out)
    with sole_writer(out, fresh):
        recipe = recipe_for(stage, CLIP.from_pretrained(clip, device) if stage in NEED_CLIP else None)
        notes = {"profile": profile, "device": str(device), **sum_of(clip if stage in NEED_CLIP else None)}
        config = shortened(recipe.profiles[profile], steps)
        config = replace(config, streams=max(config.streams, streams, parallel.count()))
        model, seconds = train(recipe, config, beside(out, ".checkpoint"), device=device,
                               made_from=notes.get("clip", ""), workers=workers)  # fmt: skip
        if parallel.rank() == 0:
            model.save(out, train=json.dumps(asdict(config)), minutes=f"{seconds / 60:.1f}", **notes)
    return out


@contextmanager
def sole_writer(out: Path, fresh: bool) -> Iterator[None]:
    """Nobody else writes this file meanwhile. What killed writers left goes first, and if fresh the checkpoint.

    Of several processes of one training the first does all that, and the others wait for it.
    """
    if parallel.rank() > 0:
        with parallel.first_alone():
            pass
        yield
        return
    with alone(beside(out, ".lock"), f"another training writes {out}: wait for it, or choose another --out"):
        with parallel.first_alone():
            kept = beside(out, ".checkpoint"), beside(out, ".curve.json")
            sweep(out, *kept)
            for old in kept if fresh else ():
                old.unlink(missing_ok=True)
        yield


def sum_of(clip: str | None) -> dict[str, str]:
    """The note that says from which CLIP a stage learns."""
    if clip is None:
        return {}
    return {"clip": sha256(weights_folder(clip) / CLIP.file_name if clip in SHIPPED else Path(clip))}


def train(
    recipe: Recipe, config: TrainConfig, checkpoint: Path, *, device: torch.device, made_from: str, workers: int
) -> tuple[Stage, float]:
    """The trained model with its averaged weights, finished, and the seconds that its training took in all."""
    torch.manual_seed(config.seed)
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format  # on a CPU it is slower
    model = recipe.build().to(device, memory_format=layout)
    trainer = Trainer(model, config, checkpoint, made_from=made_from, together=recipe.together)
    follow(trainer, recipe, workers)
    recipe.finish(trainer.ema)
    return trainer.ema, trainer.seconds


def beside(out: Path, suffix: str) -> Path:
    """A file that belongs to the training of a weight file: a.safetensors has a.checkpoint, lr0.1 lr0.1.checkpoint."""
    return out.with_name(out.name.removesuffix(".safetensors") + suffix)


def shortened(config: TrainConfig, steps: int | None) -> TrainConfig:
    """The same training in fewer (or more) steps. Raises ValueError for less than one."""
    if steps is None:
        return config
    if steps < 1:
        raise ValueError(f"--steps is {steps}: train for one step or more")
    return replace(config, steps=steps, warmup=min(config.warmup, max(1, steps // 10)))


def follow(trainer: Trainer, recipe: Recipe, workers: int) -> None:
    """Run the loop under a progress bar with loss and examples per second; the curve is written beside checkpoints."""
    config, path = trainer.config, trainer.checkpoint.with_suffix(".curve.json")
    records = trainer.run(recipe.loss, source(trainer, recipe, workers))
    quiet = parallel.rank() > 0
    with tqdm(total=config.steps * config.batch, unit="example", unit_scale=True, mininterval=1, disable=quiet) as bar:
        for record in records:
            bar.set_postfix_str(f"step {record.step}, loss {trainer.average:.4f}", refresh=False)
            bar.update(record.examples - bar.n)
            if record.step % config.save_every == 0:
                write_curve(path, trainer.curve)
    write_curve(path, trainer.curve)


def source(trainer: Trainer, recipe: Recipe, workers: int) -> Loader:
    """Where the batches come from: a bank beside the checkpoint, or new examples without end."""
    config = trainer.config
    if not config.examples:
        return batches(recipe, config, workers)
    with parallel.first_alone():
        bank = Bank.at(trainer.checkpoint.with_name(f"{recipe.bank}.bank"), recipe, config.examples, workers)
    return Bank(bank.examples.to(trainer.device), bank.family).batches(config)


def write_curve(path: Path, curve: list[dict]) -> None:
    """The running mean of the loss over 50 steps, at some 200 steps of a training, and the seconds until then."""
    if parallel.rank() > 0:
        return
    write_text(path, json.dumps(curve).replace("}, ", "},\n") + "\n")
