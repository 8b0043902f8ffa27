"""One training loop for every stage, as a generator: the caller owns the plots, the samples and the end.

    trainer = Trainer(model, config, checkpoint)
    for record in trainer.run(loss, loader):
        print(record.step, record.loss)
    trainer.ema                             # the model with averaged weights: the one to sample from
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..common import replacing
from . import parallel
from .checkpoint import check_training, damage_named, read_checkpoint
from .muon import Muon, inner_matrices
from .precision import Precision

Loss = Callable[[nn.Module, Any, torch.Generator], Tensor]     # (model, batch, rng) -> scalar
Loader = Callable[[int], Iterator[Any]]                         # first step -> batches, from that step on
PLAIN = ("step", "seconds", "average", "curve", "made_from")    # what a checkpoint keeps as it is


@dataclass(frozen=True)
class TrainConfig:
    """How to train. One step is one batch."""

    steps: int
    batch: int
    examples: int = 0                       # so many are made once, and drawn again and again; 0: each is new
    lr: float = 1e-3
    warmup: int = 200                       # steps over which the learning rate rises from 0
    steady: float = 0.0                     # share of the steps before it falls again
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    muon: float = 0.0                       # Muon's learning rate for the inner matrices; 0: AdamW for them as well
    ema: float = 0.999                      # 0.999: an average over about the last thousand steps
    max_grad_norm: float = 1.0
    bf16: bool = True                       # or float16, where the hardware computes in it, see `Precision`
    streams: int = 1                        # parts of a batch, each with random numbers of its own, see `parallel`
    save_every: int = 200                   # steps between checkpoints
    seed: int = 0


@dataclass(frozen=True)
class Record:
    """What one step did."""

    step: int
    loss: float
    examples: int                           # since the training began
    lr: float
    grad_norm: float
    seconds: float                          # of training, in earlier calls too


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, a steady part if there is one, then half a cosine down to zero.

    A training with a steady part (Hagele et al. 2024) may be made longer or shorter before the rate falls.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    first = max(config.warmup, config.steady * config.steps)
    progress = max(0.0, step - first) / max(1, config.steps - first)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def optimisers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all weights, or Muon for the inner matrices and AdamW for the others."""
    inner = inner_matrices(model) if config.muon else []
    known = {id(p) for p in inner}
    others = [p for p in model.parameters() if id(p) not in known]
    adamw = torch.optim.AdamW(others, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
    return [adamw, Muon(inner, config.muon, weight_decay=config.weight_decay)] if inner else [adamw]


def numbers_of(config: TrainConfig, step: int, stream: int) -> torch.Generator:
    """The random numbers of one stream of one step. They depend on nothing else: so no checkpoint has to keep any."""
    return torch.Generator().manual_seed(zlib.crc32(repr((config.seed, step, stream)).encode()))


class Trainer:
    """All that changes while training: model, optimiser, averaged weights, step and curve.

    checkpoint   a file to resume from, if it is there, and to save to, every `config.save_every` steps
    made_from    what the examples depend on, such as the sum of a CLIP's file: resuming with another is refused
    together     the loss compares the examples of a batch with each other: so a batch is never cut into streams
    curve        some 200 points: {"step", "loss": its running mean over 50 steps, "seconds"}

    Raises ValueError for streams that processes or examples cannot be dealt into.
    """

    def __init__(
        self, model: nn.Module, config: TrainConfig, checkpoint: Path | None = None, *, made_from: str = "",
        together: bool = False,
    ):  # fmt: skip
        self.model, self.config, self.checkpoint, self.made_from = model, config, checkpoint, made_from
        self.step, self.seconds, self.average, self.curve = 0, 0.0, 0.0, []
        self.device = next(model.parameters()).device
        self.streams = 1 if together else config.streams
        check_streams(self.streams, config.batch, together)
        self.optimisers = optimisers(model, config)
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.precision = Precision(self.device, config.bf16)

    @property
    def ema(self) -> nn.Module:
        """The model with the averaged weights: the one to sample from."""
        return self.averaged.module

    def run(self, loss: Loss, loader: Loader) -> Iterator[Record]:
        """Train, and yield a Record after each step. Every random draw of `loss` comes from its CPU generator `rng`."""
        if self.checkpoint and self.checkpoint.exists():
            self.load(self.checkpoint)
        start = time.perf_counter() - self.seconds
        self.model.train()
        whole = parallel.joined(self.model, loss)
        for batch in loader(self.step):
            if self.step >= self.config.steps:
                break
            value, norm = self.update(whole, batch)
            self.seconds = time.perf_counter() - start
            self.draw_curve(value)
            if self.checkpoint and (self.step % self.config.save_every == 0 or self.step == self.config.steps):
                self.save(self.checkpoint)
            lr = learning_rate(self.step - 1, self.config)
            yield Record(self.step, value, self.step * self.config.batch, lr, norm, self.seconds)

    def update(self, whole: nn.Module, batch) -> tuple[float, float]:
        """One optimiser step of a model with its loss: the loss, and the length of its gradient.

        Raises FloatingPointError, with nothing changed, if the loss is not a number.
        """
        self.set_rates()
        value = self.backward(whole, batch)
        if not math.isfinite(value):
            self.zero_grad()
            raise FloatingPointError(
                f"the loss became {value} at step {self.step}; the last checkpoint is kept as it was: "
                f"train again, from the start, with a lower learning rate than {self.config.lr}"
            )
        scaler = self.precision.scaler
        for optimiser in self.optimisers:
            scaler.unscale_(optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        for optimiser in self.optimisers:
            scaler.step(optimiser)
        scaler.update()
        self.zero_grad()
        self.averaged.update_parameters(self.model)
        self.step += 1
        return value, norm.item()

    def set_rates(self) -> None:
        share = learning_rate(self.step, self.config) / self.config.lr
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * optimiser.defaults["lr"]

    def zero_grad(self) -> None:
        for optimiser in self.optimisers:
            optimiser.zero_grad()

    def backward(self, whole: nn.Module, batch) -> float:
        """The gradients of this process's streams, averaged with those of the others; the loss of them all."""
        streams, losses = self.parts(batch), []
        for n, (stream, part) in enumerate(streams, start=1):
            rng = numbers_of(self.config, self.step, stream)
            torch.manual_seed(rng.initial_seed())                       # which dropout draws from
            alone = n < len(streams) and parallel.count() > 1           # gradients meet after the last stream
            with whole.no_sync() if alone else nullcontext():
                with self.precision:
                    loss = whole(part, rng) / len(streams)
                self.precision.scaler.scale(loss).backward()
            losses.append(loss.detach())
        return parallel.mean(sum(losses)).item()

    def parts(self, batch) -> list[tuple[int, Any]]:
        """The streams of this process: their numbers, and their parts of a batch."""
        if self.streams == 1:
            return [(0, batch)]
        size = self.config.batch // self.streams
        return [(stream, batch[stream * size : (stream + 1) * size]) for stream in parallel.mine(range(self.streams))]

    def draw_curve(self, loss: float) -> None:
        """Add a point if it is time for one."""
        self.average += (loss - self.average) / min(self.step, 50)
        if self.step % max(1, self.config.steps // 200) == 0 or self.step == self.config.steps:
            self.curve.append({"step": self.step, "loss": round(self.average, 5), "seconds": round(self.seconds, 1)})

    def state(self) -> dict:
        """All that it takes to go on."""
        return {
            "model": self.model.state_dict(), "ema": self.averaged.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers], "config": asdict(self.config),
            "scaler": self.precision.scaler.state_dict(), **{name: getattr(self, name) for name in PLAIN},
        }  # fmt: skip

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; of several processes the first does."""
        if parallel.rank() == 0:
            with replacing(path) as temporary:
                torch.save(self.state(), temporary)

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped. Raises ValueError if it is damaged or of another training."""
        state = read_checkpoint(path, self.state())
        check_training(path, state, self.state())
        try:
            self.model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["ema"])
        except RuntimeError as error:
            why = " ".join(str(error).split())[:200]                    # PyTorch lists every tensor on a line
            raise ValueError(f"{path} holds another model: start again with --fresh ({why})") from None
        with damage_named(path):
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            self.precision.scaler.load_state_dict(state["scaler"])
        for name in PLAIN:
            setattr(self, name, state[name])


def check_streams(streams: int, batch: int, together: bool) -> None:
    """Raises ValueError unless each process gets as many streams, and each stream as many examples."""
    parts = parallel.count() if together else streams
    if streams < 1 or batch % parts or not together and streams % parallel.count():
        raise ValueError(f"a batch of {batch} cannot be dealt into {parts} parts for {parallel.count()} processes: "
                         "choose --streams that is a multiple of the processes and divides the batch")  # fmt: skip
