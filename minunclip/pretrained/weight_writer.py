"""A safetensors file written one tensor at a time, so that a network of gigabytes needs no memory to be written.

The format is a length, a header in JSON, and the numbers of all tensors one after the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

CODES = {
    torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
Layout = dict[str, tuple[tuple[int, ...], torch.dtype]]     # of each tensor by its name, in their order in the file


def write_tensors(path: Path, layout: Layout, tensors: Iterable[Tensor]) -> None:
    """Write tensors in the order of the layout. Raises ValueError for one that is not as it says."""
    with path.open("wb") as file:
        file.write(head(layout))
        for (name, (shape, dtype)), tensor in zip(layout.items(), tensors, strict=True):
            if (tuple(tensor.shape), tensor.dtype) != (tuple(shape), dtype):
                raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}, and the header says {dtype} {shape}")
            file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)


def head(layout: Layout) -> bytes:
    """The header and its length: of each tensor the dtype, the shape, and between which bytes it lies."""
    entries, end = {}, 0
    for name, (shape, dtype) in layout.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        entries[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)                                     # the numbers start at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text
