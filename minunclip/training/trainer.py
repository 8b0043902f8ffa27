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
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..common import best_dtype, replacing
from .muon import Muon, inner_matrices

Loss = Callable[[nn.Module, Any, torch.Generator], Tensor]     # (model, batch, rng) -> scalar
Loader = Callable[[int], Iterator[Any]]                         # first step -> batches, from that step on


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
    seconds: float                          # since this call began


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
    """All that changes while training: model, optimiser, averaged weights, random state and step.

    checkpoint: a file to resume from, if it is there, and to save to, every `config.save_every` steps.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, checkpoint: Path | None = None):
        self.model, self.config, self.checkpoint, self.step = model, config, checkpoint, 0
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
        start = time.perf_counter()
        self.model.train()
        for batch in loader(self.step):
            if self.step >= self.config.steps:
                break
            value, norm = self.update(loss, batch)
            if self.checkpoint and (self.step % self.config.save_every == 0 or self.step == self.config.steps):
                self.save(self.checkpoint)
            lr, seconds = learning_rate(self.step - 1, self.config), time.perf_counter() - start
            yield Record(self.step, value, self.step * self.config.batch, lr, norm, seconds)

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

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(), "ema": self.averaged.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers], "step": self.step,
            "rng": self.rng.get_state(), "torch_rng": torch.get_rng_state(), "config": asdict(self.config),
        }  # fmt: skip
        with replacing(path) as temporary:
            torch.save(state, temporary)

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
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.rng.set_state(state["rng"])
        torch.set_rng_state(state["torch_rng"])
        self.step = state["step"]


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
