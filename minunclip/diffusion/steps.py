"""What all samplers share: the timesteps that they visit, the noise that they are given, and what they yield."""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One step of a sampler."""

    x_t: Tensor                             # (B, C, ...) the sample after the step
    x_0: Tensor                             # (B, C, ...) the clean sample as estimated for this step, clamped
    t: int                                  # the timestep just left


def timesteps(steps: int, total: int = 1000) -> list[int]:
    """`steps` timesteps evenly spread from total - 1 down to 0, both included.

    Halves round to the even neighbour, as the released models do: timesteps(7) is 999 832 666 500 333 166 0.
    """
    if not 2 <= steps <= total:
        raise ValueError(f"timesteps: cannot visit {steps} of {total} timesteps; choose 2 to {total} steps.")
    stride = (total - 1) / (steps - 1)
    return [round(i * stride) for i in reversed(range(steps))]


def moves(x_T: Tensor, steps: int, total: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The way down: each timestep as an int, then it and the next one as (B,) int64; the last goes to -1."""
    visited = [*timesteps(steps, total), -1]
    batch = [torch.full((len(x_T),), t, device=x_T.device) for t in visited]
    return zip(visited[:-1], batch[:-1], batch[1:], strict=True)


def start(noise: Iterable[Tensor], x_T: Tensor | None) -> tuple[Tensor, Iterator[Tensor]]:
    """The sample to start from, x_T or the first of the noise, and the noise that is left."""
    noise = iter(noise)  # a list becomes a stream
    return (next_noise(noise) if x_T is None else x_T.float()), noise


def next_noise(noise: Iterator[Tensor], like: Tensor | None = None) -> Tensor:
    """The next tensor of the noise, in float32 and on the device of `like`."""
    tensor = next(noise, None)
    if tensor is None:
        raise ValueError("sampler: the noise ran out; pass a noise_stream or a tensor for x_T and each draw.")
    return tensor.float() if like is None else tensor.to(like.device, torch.float32)


def last(sampler: Iterable[Step]) -> Tensor:
    """Run a sampler to its end and return the final sample."""
    for step in sampler:
        x_t = step.x_t
    return x_t


def rows_mean(x: Tensor) -> Tensor:
    """The mean of each row: (B, C, ...) -> (B, 1, ...)."""
    return x.mean(dim=tuple(range(1, x.ndim)), keepdim=True)


# -- noise ---------------------------------------------------------------------------------------------------


def generators(seed: int, n: int) -> list[torch.Generator]:
    """n CPU generators seeded seed, seed + 1, ...: one for each sample of a batch."""
    return [torch.Generator().manual_seed(operator.index(seed) + i) for i in range(n)]


def noise_stream(
    shape: tuple[int, ...], generators: list[torch.Generator], device="cpu", dtype=torch.float32
) -> Iterator[Tensor]:
    """Standard normal tensors of the given shape (B, C, ...), without end; row i comes from generators[i].

    So a sample does not depend on its neighbours in the batch. Drawn on the CPU in float32 and then moved, so
    that a seed means the same noise on every device.
    """
    if len(generators) != shape[0]:
        raise ValueError(f"noise_stream: {len(generators)} generators for a batch of {shape[0]}; pass one a row.")

    def draw() -> Tensor:
        rows = [torch.randn(shape[1:], generator=g, dtype=torch.float32, device="cpu") for g in generators]
        return torch.stack(rows).to(device, dtype)

    return (draw() for _ in count())
