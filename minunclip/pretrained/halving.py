"""Weights in half precision: a float32 file becomes a float16 one of half its size, and is compared with it.

float16 has three bits more for the digits than bfloat16, and weights need no larger numbers than it has: those of
released networks lie between 0.00001 and 100. Where that is not so, a tensor stays in float32, and so do biases, norms
and statistics, which are few numbers.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..common import replacing
from .weight_files import opened
from .weight_writer import Layout, write_tensors

ROUNDING, SMALLEST = 2.0**-11, 2.0**-25     # of float16: the largest error, in parts of the number, or else absolute


def halve(source: Path, target: Path) -> None:
    """Write the tensors of a safetensors file in half precision; the file is there when it is whole.

    Takes memory for one tensor. Raises ValueError for a damaged source, and OSError if the disk is full.
    """
    with opened(source, backend="mmap") as file:
        layout = half_layout(file)
        with replacing(target) as temporary:
            write_tensors(temporary, layout, (file.get_tensor(name).to(dtype) for name, (_, dtype) in layout.items()))


def half_layout(file) -> Layout:
    """Of each tensor the shape and the dtype that it will have. Those of more bytes a number come first, as usual."""
    layout = {}
    for name in file.keys():  # noqa: SIM118
        tensor = file.get_tensor(name)
        layout[name] = tuple(tensor.shape), torch.float16 if survives(tensor) else tensor.dtype
    return dict(sorted(layout.items(), key=lambda entry: -entry[1][1].itemsize))


def survives(tensor: Tensor) -> bool:
    """Whether to store it in float16: float32 numbers, many of them, that lose nothing but digits."""
    if tensor.dtype != torch.float32 or tensor.ndim < 2:
        return False
    error = (tensor.half().float() - tensor).norm()                     # infinite or NaN if one of them is too large
    return bool(error <= ROUNDING * tensor.norm())


def check_half(source: Path, target: Path) -> None:
    """Compare a file in half precision with the one that it was made from, number by number.

    Raises ValueError if a tensor is missing, or a number is further away than rounding takes it.
    """
    with opened(source, backend="mmap") as full, opened(target, backend="mmap") as half:
        if {*full.keys()} != {*half.keys()}:
            raise ValueError(f"{target} has not the tensors of {source}: delete it and fetch it again")
        for name in full.keys():  # noqa: SIM118
            if not alike(full.get_tensor(name), half.get_tensor(name)):
                raise ValueError(f"{target}: the tensor {name!r} is not that of {source}: delete it, fetch it again")


def alike(full: Tensor, half: Tensor) -> bool:
    """Whether they are equal, or, where the second is in float16, as near as its rounding leaves them."""
    if half.shape != full.shape:
        return False
    if half.dtype == full.dtype:
        return torch.equal(half, full) or torch.equal(half.nan_to_num(), full.nan_to_num())
    return bool(((half.float() - full).abs() <= ROUNDING * full.abs() + SMALLEST).all())
