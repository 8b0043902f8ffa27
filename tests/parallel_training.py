"""What test_parallel.py starts, once alone and once by torchrun: a few steps of every stage, or of a toy.

    python parallel_training.py FOLDER stages
    torchrun --standalone --nproc_per_node 2 parallel_training.py FOLDER toy STEPS
"""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from train_helpers import CONFIG, Recipe

from minunclip.commands import train as command
from minunclip.common import STAGES
from minunclip.training import Trainer, batches, parallel, recipe_for


def small(stage: str, clip=None):
    """A stage's own recipe, and its own network, with few examples and two steps."""
    recipe = recipe_for(stage, clip)
    config = replace(recipe.profiles["cpu"], steps=2, batch=8, examples=16, warmup=1, streams=2)
    recipe.profiles, recipe.statistics = {"cpu": config}, 200
    return recipe


def stages(folder: Path) -> None:
    command.recipe_for = small
    for stage in STAGES:
        request = command.Request(stage, "cpu", clip=str(folder / "clip.safetensors"), workers=0)
        command.run(request, folder / f"{stage}.safetensors")


def toy(folder: Path, steps: int) -> None:
    """Some steps of a tiny network in four streams; the checkpoint is the result."""
    parallel.start()
    config = replace(CONFIG, streams=4, save_every=1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, 1))
    trainer = Trainer(model, config, folder / "toy.checkpoint")

    def loss(model, batch, rng):
        noisy = batch + 0.1 * torch.randn(batch.shape, generator=rng)
        return (model(noisy)[:, 0] - batch.sum(dim=1)).square().mean()

    list(itertools.islice(trainer.run(loss, batches(Recipe, config)), steps))


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, what, *rest = sys.argv[1:]
    stages(Path(place)) if what == "stages" else toy(Path(place), int(rest[0]))
