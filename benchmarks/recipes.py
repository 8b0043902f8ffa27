"""What each trick of the recipes is worth: a stage trained for the same time without it and with it.

    python benchmarks/recipes.py --minutes 6              all tricks, about 13 minutes each
    python benchmarks/recipes.py --only "clip: Muon"      one of them

Both of a pair start from the same seed, draw the same examples and let their learning rate fall to zero in the given
time, on one thread. What counts is the whole recipe's loss on examples that neither has seen, of the averaged weights.
The table is written to data/results/recipes.md; a run of some tricks replaces their rows and keeps the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from tqdm import tqdm

from minunclip.clip import CLIP
from minunclip.common import DATA, machine, write_text
from minunclip.scenes import THOROUGH, Scenes
from minunclip.training import ENDLESS, Bank, Examples, Recipe, TrainConfig, Trainer, recipe_for
from minunclip.training.bank import loader
from minunclip.training.recipes import CROWDED, NEED_CLIP

FOLDER = DATA / "results"
EXAMPLES = 32_768
Change = Callable[[Recipe, TrainConfig], TrainConfig]


@dataclass(frozen=True)
class Trick:
    """Something that a recipe has, and how to take it away again."""

    stage: str
    has: str                                # in the words of the table
    instead: str
    without: Change


def adamw(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    return replace(config, muon=0.0)


def large_patches(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    unet = replace(recipe.config.unet, channels=128, mults=(1, 1), attention=(0, 1), patch=4)
    recipe.config = replace(recipe.config, unet=unet)
    return config


def predicts_v(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.config = replace(recipe.config, diffusion=replace(recipe.config.diffusion, target="v"))
    return config


def shallow_stem(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.config = replace(recipe.config, stem=tuple(dict.fromkeys(recipe.config.stem)))
    return config


def strangers(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.dataset, recipe.family = Scenes("train", ENDLESS, counts=CROWDED, chances=THOROUGH), 1
    return config


def short_captions(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.dataset = Scenes("train", ENDLESS, siblings=recipe.family, counts=CROWDED)
    return config


def any_crops(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.tries = 1
    return config


def even_timesteps(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.noisy = 0.0
    return config


def large_unit(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.config = replace(recipe.config, residual=1.0)
    return config


def one_draw(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    recipe.draws = 1
    return config


def half_batch(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    return replace(config, batch=config.batch // 2)


def double_batch(recipe: Recipe, config: TrainConfig) -> TrainConfig:
    return replace(config, batch=2 * config.batch)


TRICKS = {
    "clip: Muon": Trick("clip", "Muon", "AdamW", adamw),
    "clip: stem": Trick("clip", "a stem of five convolutions", "of three", shallow_stem),
    "clip: batch": Trick("clip", "batches of 256", "of 128", half_batch),
    "clip: families": Trick("clip", "families of eight siblings", "strangers", strangers),
    "clip: captions": Trick("clip", "captions that say nearly all", "a part of the facts", short_captions),
    "decoder: target": Trick("decoder", "x_0 predicted", "v predicted", predicts_v),
    "decoder: patch": Trick("decoder", "patches of 2 pixels, 64 channels", "of 4 pixels, 128 channels", large_patches),
    "decoder: batch": Trick("decoder", "batches of 32", "of 64", double_batch),
    "decoder: Muon": Trick("decoder", "Muon", "AdamW", adamw),
    "prior: Muon": Trick("prior", "Muon", "AdamW", adamw),
    "prior: draws": Trick("prior", "four noised z_i a caption", "one", one_draw),
    "upsampler-1: Muon": Trick("upsampler-1", "Muon", "AdamW", adamw),
    "upsampler-2: Muon": Trick("upsampler-2", "Muon", "AdamW", adamw),
    "upsampler-2: crops": Trick("upsampler-2", "the busiest of four crops", "any crop", any_crops),
    "upsampler-2: noise": Trick("upsampler-2", "mostly noisy timesteps", "all alike", even_timesteps),
    "upsampler-2: unit": Trick("upsampler-2", "what is missing, in units of 0.1", "of 1", large_unit),
}


def compare(trick: Trick, minutes: float, clip: str) -> dict:
    """The unseen loss after so many minutes without and with a trick, and when the latter had reached the former's."""
    ways = {}
    for name in ("without", "with"):
        whole, recipe = (recipe_of(trick.stage, clip) for _ in range(2))
        config = recipe.profiles["cpu"]
        config = trick.without(recipe, config) if name == "without" else config
        exam = partial(unseen_loss, recipe=whole, unseen=unseen_examples(whole))
        ways[name] = train(recipe, config, exam, minutes=minutes, name=f"{trick.stage} {name} {trick.has}")
    goal = ways["without"]["loss"]
    reached = next((seconds for seconds, loss in ways["with"]["curve"] if loss <= goal), None)
    return {"stage": trick.stage, "with": trick.has, "without": trick.instead, "minutes": minutes,
            "loss without": goal, "loss with": ways["with"]["loss"],
            "steps": [ways[name]["steps"] for name in ("without", "with")],
            "share of the time": None if reached is None else reached / (60 * minutes)}  # fmt: skip


def recipe_of(stage: str, clip: str) -> Recipe:
    return recipe_for(stage, CLIP.from_pretrained(clip) if stage in NEED_CLIP else None)


def train(recipe: Recipe, config: TrainConfig, exam: Callable, *, minutes: float, name: str) -> dict:
    """Train for so many minutes; what the exam says at the end, and its curve over the seconds of training."""
    torch.manual_seed(0)
    bank = Bank.of(recipe, EXAMPLES)
    config = replace(config, steps=planned(recipe, config, bank, minutes), warmup=100)
    trainer, curve, spent, last = Trainer(recipe.build(), config), [], 0.0, time.perf_counter()
    with tqdm(total=config.steps, desc=name, leave=False) as bar:
        for record in trainer.run(recipe.loss, bank.batches(config)):
            spent += time.perf_counter() - last
            bar.update(1)
            if record.step % max(1, config.steps // 20) == 0 or record.step == config.steps:
                curve.append((spent, exam(trainer.ema)))
            last = time.perf_counter()
    return {"loss": curve[-1][1], "curve": curve, "steps": config.steps, "seconds": spent}


def unseen_examples(recipe: Recipe, count: int = 1024) -> Examples:
    """Examples from far behind those that are trained on."""
    first = 10 * EXAMPLES
    parts = [recipe.ready(part) for part in loader(recipe, range(first, first + count), 256, 0)]
    return type(parts[0])(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(parts[0])))


def planned(recipe: Recipe, config: TrainConfig, bank: Bank, minutes: float) -> int:
    """How many steps fit into so many minutes, by the fastest of four."""
    trainer, times = Trainer(recipe.build(), replace(config, steps=5)), []
    for record in trainer.run(recipe.loss, bank.batches(trainer.config)):
        times.append(record.seconds)
    step = min(b - a for a, b in zip(times, times[1:], strict=False))
    return max(10, int(60 * minutes / step))


@torch.no_grad()
def unseen_loss(model: torch.nn.Module, recipe: Recipe, unseen: Examples) -> float:
    """The whole recipe's loss on unseen examples, always with the same draws."""
    model.eval()
    rng, size = torch.Generator().manual_seed(1), min(256, len(unseen))
    losses = [recipe.loss(model, unseen[i : i + size], rng).item() for i in range(0, len(unseen), size)]
    model.train()
    return sum(losses) / len(losses)


def table(rows: dict[str, dict], where: str) -> str:
    lines = [
        "# What the tricks are worth", "",
        "Written by `python benchmarks/recipes.py`: a stage trained for the same time without a trick and with it, on "
        "one thread. The last column is the part of that time in which the training with the trick had got as far as "
        "the other one got in all of it.", "",
        "| stage | with | without | minutes | loss without | loss with | as far in |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for row in rows.values():
        share = "not reached" if row["share of the time"] is None else f"{row['share of the time']:.0%}"
        lines.append(f"| {row['stage']} | {row['with']} | {row['without']} | {row['minutes']:g} | "
                     f"{row['loss without']:.4f} | {row['loss with']:.4f} | {share} |")  # fmt: skip
    return "\n".join([*lines, "", f"*Measured on {where}.*", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=6.0, help="of each training")
    parser.add_argument("--only", choices=TRICKS, nargs="*", default=list(TRICKS))
    parser.add_argument("--clip", default="scenes", help="for the priors and the decoder: the shipped one, or a file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = FOLDER / "recipes.json"
    rows = json.loads(path.read_text()) if path.is_file() else {}
    for name in args.only:
        rows[name] = compare(TRICKS[name], args.minutes, args.clip)
        write_text(path, json.dumps(rows, indent=1) + "\n")
        write_text(FOLDER / "recipes.md", table({name: rows[name] for name in TRICKS if name in rows},
                                                machine(torch.device("cpu"))))  # fmt: skip
        print(name, rows[name], flush=True)


if __name__ == "__main__":
    main()
