"""One training loop for every stage, as a generator: the caller owns the plots, the samples and the end.

    for record in train(model, loss, batches, config):
        print(record.step, record.loss)
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Loss = Callable[[nn.Module, Any, torch.Generator], Tensor]
Batches = Callable[[int], Iterator[Any]]


@dataclass(frozen=True)
class TrainConfig:
    """How to train. One step is one batch."""

    steps: int
    batch: int
    lr: float = 1e-3
    warmup: int = 200                       # steps over which the learning rate rises from 0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.999                      # 0.999: an average over about the last thousand steps
    max_grad_norm: float = 1.0
    bf16: bool = True
    save_every: int = 200                   # steps between checkpoints
    seed: int = 0


@dataclass(frozen=True)
class Record:
    """What one step did. `examples` counts from the start of the training, `seconds` from this call's."""

    step: int
    loss: float
    examples: int
    lr: float
    grad_norm: float
    seconds: float


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


class Trainer:
    """All that changes while training: model, optimiser, averaged weights, random state and step."""

    def __init__(self, model: nn.Module, config: TrainConfig):
        self.model, self.config, self.step = model, config, 0
        self.device = next(model.parameters()).device
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
        )
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.rng = torch.Generator().manual_seed(config.seed)

    @property
    def ema(self) -> nn.Module:
        """The model with the averaged weights: the one to sample from."""
        return self.averaged.module

    def update(self, loss_fn: Loss, batch) -> tuple[float, float]:
        """One optimiser step. Raises FloatingPointError, with nothing changed, if the loss is not a number."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        with precision(self.device, self.config.bf16):
            loss = loss_fn(self.model, batch, self.rng)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss.item()} at step {self.step}; the last checkpoint is kept as it was: "
                    f"train again, from the start, with a lower learning rate than {self.config.lr}"
                )
            loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.averaged.update_parameters(self.model)
        self.step += 1
        return loss.item(), norm.item()

    def save(self, path: Path) -> None:
        """Write a checkpoint under a temporary name, then rename: an interruption leaves the old one whole."""
        state = {
            "model": self.model.state_dict(), "ema": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(), "step": self.step, "rng": self.rng.get_state(),
            "torch_rng": torch.get_rng_state(), "config": asdict(self.config),
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        try:
            torch.save(state, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)                           # there only if something failed

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped. Raises ValueError if it is damaged or of another training."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError):
            raise ValueError(f"{path} is damaged: start again with --fresh") from None
        ours, theirs = asdict(self.config), state["config"]
        if different := [name for name in ours if ours[name] != theirs.get(name) and name != "save_every"]:
            name = different[0]
            raise ValueError(
                f"{path} was trained with {name}={theirs.get(name)}, this run has {name}={ours[name]}: "
                f"start again with --fresh, or use the old settings"
            )
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            why = " ".join(str(error).split())[:200]                    # PyTorch lists every tensor on a line
            raise ValueError(f"{path} holds another model: start again with --fresh ({why})") from None
        self.averaged.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.set_state(state["rng"])
        torch.set_rng_state(state["torch_rng"])
        self.step = state["step"]


class precision:
    """bf16 for the matrix products, if asked for. On a CPU attention then takes its plain form, whose
    backward pass is six times faster there than the fused one's."""

    def __init__(self, device: torch.device, bf16: bool):
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16 and device.type != "mps")
        self.attention = sdpa_kernel(SDPBackend.MATH) if bf16 and device.type == "cpu" else nullcontext()

    def __enter__(self):
        self.autocast.__enter__()
        self.attention.__enter__()

    def __exit__(self, *error):
        self.attention.__exit__(*error)
        self.autocast.__exit__(*error)


def train(
    model: nn.Module, loss: Loss, batches: Batches, config: TrainConfig, checkpoint: Path | None = None,
    trainer: Trainer | None = None,
) -> Iterator[Record]:  # fmt: skip
    """Train, and yield a Record after each step.

    loss        (model, batch, rng) -> scalar; every random draw comes from `rng`, a CPU generator
    batches     first_step -> iterator of batches, from that step on
    checkpoint  a file to resume from, if it is there, and to save to, every `config.save_every` steps
    trainer     pass your own to reach the averaged weights: `trainer.ema`
    """
    trainer = trainer or Trainer(model, config)
    if checkpoint and checkpoint.exists():
        trainer.load(checkpoint)
    start = time.perf_counter()
    model.train()
    for batch in batches(trainer.step):
        if trainer.step >= config.steps:
            break
        value, norm = trainer.update(loss, batch)
        if checkpoint and (trainer.step % config.save_every == 0 or trainer.step == config.steps):
            trainer.save(checkpoint)
        lr, seconds = learning_rate(trainer.step - 1, config), time.perf_counter() - start
        yield Record(trainer.step, value, trainer.step * config.batch, lr, norm, seconds)
