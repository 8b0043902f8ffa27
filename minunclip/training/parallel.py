"""One training on several GPUs: P processes, each with the same weights, each with a part of every batch.

    torchrun --nproc_per_node 2 -m minunclip train decoder
    accelerate launch --multi_gpu --num_processes 2 -m minunclip train decoder

Both start the command P times and say in the environment which one a process is. A step is cut into streams
(`TrainConfig.streams`), each with random numbers of its own. Whoever takes which stream, the sum is the same: so P
processes learn what one would learn alone, and a training may go on with another number of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel


def count() -> int:
    """How many processes train together, 1 without such a launcher."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0. Number 0 writes and tells; the others only compute."""
    return dist.get_rank() if dist.is_initialized() else 0


def start() -> torch.device | None:
    """Meet the others, if a launcher started this process; the GPU that is this process's own, or None."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        # Hours, for the others wait while the first makes examples.
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(hours=12))
    if count() == 1 or not torch.cuda.is_available():
        return None
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process runs the block, and then the others do: they find the files that it made."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and count() > 1:
        dist.barrier()


def mine(things: Sequence) -> Sequence:
    """This process's part of a list or a batch, of P parts in a row."""
    size = len(things) // count()
    return things[rank() * size : (rank() + 1) * size] if count() > 1 else things


def gathered(tensor: Tensor) -> Tensor:
    """The parts of all processes in a row, (B / P, ...) -> (B, ...). Gradients find their way back."""
    return torch.cat(all_gather(tensor.contiguous())) if count() > 1 else tensor


def mean(value: Tensor) -> Tensor:
    """The mean of a number over all processes."""
    if count() > 1:
        dist.all_reduce(value)
    return value / count()


class Whole(nn.Module):
    """A model with its loss: what the wrapper below must see as one, or gradients stay unaveraged without a word."""

    def __init__(self, model: nn.Module, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch, rng: torch.Generator) -> Tensor:
        return self.loss(self.model, batch, rng)


def joined(model: nn.Module, loss) -> nn.Module:
    """The model with its loss; with several processes wrapped, so that a backward pass averages their gradients."""
    whole = Whole(model, loss)
    return DistributedDataParallel(whole) if count() > 1 else whole
