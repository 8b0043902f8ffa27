"""Where the batches of a training come from: every example new, or from a bank that is made once."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..common import PACKAGE, read_weights, replacing
from .data import Examples
from .trainer import TrainConfig


def batches(recipe, config: TrainConfig, workers: int = 0) -> Callable[[int], Iterator]:
    """A loader, first_step -> batches, every example of which is new.

    Item i of the data set is in batch i // config.batch, wherever it starts.
    """

    def start(first_step: int) -> Iterator:
        order = range(first_step * config.batch, config.steps * config.batch)
        return map(recipe.ready, loader(recipe, order, config.batch, workers))

    return start


def loader(recipe, order: range, batch: int, workers: int) -> DataLoader:
    """The items of these numbers in batches, made by so many processes."""
    return DataLoader(
        recipe.dataset, batch, sampler=order, collate_fn=recipe.collate, num_workers=workers,
        generator=torch.Generator(),        # or each start would draw from the global one, and move dropout
        worker_init_fn=end_with_parent, timeout=300 if workers else 0,
    )  # fmt: skip


def end_with_parent(worker: int) -> None:
    """In a process that draws examples: end when the training does, however that ends."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)                                                     # at once: it may be waiting on a full pipe

    threading.Thread(target=watch, daemon=True).start()


class Bank:
    """The first examples of a recipe's data set, made once: a training then draws them again and again.

    examples  one big batch, on the device that trains if it has room
    family    so many neighbours stay together in a batch, such as the siblings that CLIP has to tell apart
    """

    def __init__(self, examples: Examples, family: int = 1):
        self.examples, self.family = examples, family

    def __len__(self) -> int:
        return len(self.examples)

    @classmethod
    def of(cls, recipe, count: int, workers: int | None = None) -> Bank:
        """Make the first `count` examples, on all cores unless told how many processes to use."""
        workers = (os.cpu_count() or 1) if workers is None else workers
        made = loader(recipe, range(count), min(256, count), workers)
        bar = tqdm(made, desc="examples", unit="batch", leave=False)
        parts = [recipe.ready(part).to(torch.device("cpu")) for part in bar]
        tensors = (torch.cat([getattr(part, field.name) for part in parts]) for field in fields(parts[0]))
        return cls(type(parts[0])(*tensors), recipe.family)

    @classmethod
    def at(cls, path: Path, recipe, count: int, workers: int | None = None) -> Bank:
        """The bank in this file, which is made first if it is not there or holds something else."""
        source = origin(recipe, count)
        if not (path.is_file() and read_weights(path)[0].get("origin") == source):
            made = cls.of(recipe, count, workers)
            with replacing(path) as temporary:
                save_file(vars(made.examples), temporary, {"origin": source})
        _, tensors = read_weights(path)                                 # maps the file: read as it is needed
        return cls(recipe.examples(**tensors), recipe.family)

    def batches(self, config: TrainConfig) -> Callable[[int], Iterator]:
        """A loader, first_step -> batches: all families in an order of their own for each pass, drawn from the seed."""
        families = len(self) // self.family
        per_pass = families * self.family // config.batch
        if per_pass < 1:
            raise ValueError(f"a bank of {len(self)} examples has no batch of {config.batch}: make more of them")

        def start(first_step: int) -> Iterator:
            for step in range(first_step, config.steps):
                number, place = divmod(step, per_pass)
                if place == 0 or step == first_step:
                    order = shuffled(families, config.seed + 1_000_003 * number)
                    rows = (order[:, None] * self.family + torch.arange(self.family)).flatten()
                yield self.examples[rows[place * config.batch : (place + 1) * config.batch]]

        return start


def origin(recipe, count: int) -> str:
    """What a bank is made of, in a line: another data set, another CLIP or other code that draws gives another line."""
    code = [path.read_bytes() for path in sorted((PACKAGE / "scenes").glob("*.py"))]
    clip = recipe.clip.fingerprint if hasattr(recipe, "clip") else ""
    sum_ = hashlib.sha256(b"".join(code)).hexdigest()
    of = f"{count} of {sorted(vars(recipe.dataset).items())}, {recipe.bank}, {recipe.side} px"
    return f"{of}, {sum_} {clip}"


def shuffled(count: int, seed: int) -> Tensor:
    """0 to count - 1 in a random order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
