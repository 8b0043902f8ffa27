"""One training loop for every stage, as a generator: the caller owns the plots, the samples and the end.

    trainer = Trainer(model, config, checkpoint)
    for record in trainer.run(loss, loader):
        print(record.step, record.loss)
    trainer.ema                             # the model with averaged weights: the one to sample from
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..common import best_dtype, replacing
from .muon import Muon, inner_matrices

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
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    muon: float = 0.0                       # Muon's learning rate for the inner matrices; 0: AdamW for them as well
    ema: float = 0.999                      # 0.999: an average over about the last thousand steps
    max_grad_norm: float = 1.0
    bf16: bool = True                       # where the hardware computes in it, see `precision`
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
    """Linear warm-up, then half a cosine down to zero."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def optimisers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all weights, or Muon for the inner matrices and AdamW for the others."""
    inner = inner_matrices(model) if config.muon else []
    known = {id(p) for p in inner}
    others = [p for p in model.parameters() if id(p) not in known]
    adamw = torch.optim.AdamW(others, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
    return [adamw, Muon(inner, config.muon, weight_decay=config.weight_decay)] if inner else [adamw]


class Trainer:
    """All that changes while training: model, optimiser, averaged weights, random state, step and curve.

    checkpoint   a file to resume from, if it is there, and to save to, every `config.save_every` steps
    made_from    what the examples depend on, such as the sum of a CLIP's file: resuming with another is refused
    curve        some 200 points: {"step", "loss": its running mean over 50 steps, "seconds"}
    """

    def __init__(self, model: nn.Module, config: TrainConfig, checkpoint: Path | None = None, *, made_from: str = ""):
        self.model, self.config, self.checkpoint, self.made_from = model, config, checkpoint, made_from
        self.step, self.seconds, self.average, self.curve = 0, 0.0, 0.0, []
        self.device = next(model.parameters()).device
        self.optimisers = optimisers(model, config)
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.rng = torch.Generator().manual_seed(config.seed)

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
        for batch in loader(self.step):
            if self.step >= self.config.steps:
                break
            value, norm = self.update(loss, batch)
            self.seconds = time.perf_counter() - start
            self.draw_curve(value)
            if self.checkpoint and (self.step % self.config.save_every == 0 or self.step == self.config.steps):
                self.save(self.checkpoint)
            lr = learning_rate(self.step - 1, self.config)
            yield Record(self.step, value, self.step * self.config.batch, lr, norm, self.seconds)

    def update(self, loss_fn: Loss, batch) -> tuple[float, float]:
        """One optimiser step. Raises FloatingPointError, with nothing changed, if the loss is not a number."""
        share = learning_rate(self.step, self.config) / self.config.lr
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * optimiser.defaults["lr"]
        with precision(self.device, self.config.bf16):
            loss = loss_fn(self.model, batch, self.rng)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss.item()} at step {self.step}; the last checkpoint is kept as it was: "
                    f"train again, from the start, with a lower learning rate than {self.config.lr}"
                )
            loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.averaged.update_parameters(self.model)
        self.step += 1
        return loss.item(), norm.item()

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
            "rng": self.rng.get_state(), "torch_rng": torch.get_rng_state(),
            **{name: getattr(self, name) for name in PLAIN},
        }  # fmt: skip

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        with replacing(path) as temporary:
            torch.save(self.state(), temporary)

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped. Raises ValueError if it is damaged or of another training."""
        with damage_named(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
            check_kinds(state, self.state())
        self.compare(path, state)
        with damage_named(path):
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            self.rng.set_state(state["rng"])
            torch.set_rng_state(state["torch_rng"])
        for name in PLAIN:
            setattr(self, name, state[name])

    def compare(self, path: Path, state: dict) -> None:
        """Take the weights of a checkpoint. Raises ValueError if it was made with other settings or another model."""
        ours, theirs = asdict(self.config), state["config"]
        if different := [name for name in ours if ours[name] != theirs.get(name) and name != "save_every"]:
            name = different[0]
            raise ValueError(
                f"{path} was trained with {name}={theirs.get(name)}, this run has {name}={ours[name]}: "
                f"start again with --fresh, or use the old settings"
            )
        if state["made_from"] != self.made_from:
            raise ValueError(f"{path} was trained with another CLIP: start again with --fresh, or name that CLIP")
        try:
            self.model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["ema"])
        except RuntimeError as error:
            why = " ".join(str(error).split())[:200]                    # PyTorch lists every tensor on a line
            raise ValueError(f"{path} holds another model: start again with --fresh ({why})") from None


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a checkpoint is read becomes a ValueError that names it."""
    try:
        yield
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, UnpicklingError, BadZipFile):
        raise ValueError(f"{path} is damaged: start again with --fresh") from None


def check_kinds(found: Any, expected: dict) -> None:
    """Raises TypeError or KeyError where a checkpoint has not what ours have, or something of another type."""
    for name, value in expected.items():
        if not isinstance(found[name], type(value)):
            raise TypeError(name)


class precision:
    """bf16 for the matrix products, if asked for and if the hardware computes in it: a CPU without such instructions
    takes twenty times as long over a convolution. On a CPU attention then takes its plain form, whose backward pass is
    six times faster there than the fused one's."""

    def __init__(self, device: torch.device, bf16: bool):
        bf16 = bf16 and best_dtype(device) == torch.bfloat16
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        self.attention = sdpa_kernel(SDPBackend.MATH) if bf16 and device.type == "cpu" else nullcontext()

    def __enter__(self):
        self.autocast.__enter__()
        self.attention.__enter__()

    def __exit__(self, *error):
        self.attention.__exit__(*error)
        self.autocast.__exit__(*error)
