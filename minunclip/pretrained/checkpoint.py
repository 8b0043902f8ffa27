"""One checkpoint of Karlo's makers, or of OpenAI: their tensors, taken apart into ours.

Where we have one matrix each for queries, keys and values, such a file may have one for all of them, head by head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from einops import rearrange
from torch import Tensor

from .names import Table, check, rename
from .weight_files import tensors_of

PACKED = {".qkv.": (".q.", ".k.", ".v."), ".context_kv.": (".context_k.", ".context_v.")}


@dataclass(frozen=True)
class Piece:
    """What one of our tensors is of one of theirs: one part of several, and perhaps transposed."""

    name: str
    part: int = 0
    parts: int = 1
    transposed: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A file of the original release and the table for its names; `names.Source` is the same for safetensors.

    head_width: queries, keys and values are interleaved in pieces of so many rows; None: they are not.
    """

    path: Path
    names: Table
    head_width: int | None = None

    def find(self, expected: dict[str, tuple[int, ...]]) -> dict[str, Piece]:
        """Our name -> the piece of theirs, for every tensor of the file, its shape checked."""
        found = {}
        with tensors_of(self.path) as tensors:
            for name, ours in rename(self.path, tensors, self.names).items():
                pieces = pieces_of(name, ours)
                first, piece = next(iter(pieces.items()))
                shape = expected.get(first)
                if shape is not None and piece.parts > 1:
                    shape = (piece.parts * shape[0], *shape[1:])
                check(self.path, name, tuple(oriented(tensors[name], piece).shape), shape)
                found |= pieces
        return found

    @contextmanager
    def reading(self, device="cpu") -> Iterator[Callable[[Piece], Tensor]]:
        """A function that reads one piece: a copy, since the tensors themselves may be views of the file."""
        with tensors_of(self.path) as tensors:

            def read(piece: Piece) -> Tensor:
                return self.cut(tensors[piece.name], piece).to(device, copy=True).contiguous()

            yield read

    def cut(self, tensor: Tensor, piece: Piece) -> Tensor:
        """[q k v of head 0 | q k v of head 1 | ...] along the rows -> q, k or v, with all heads."""
        tensor = oriented(tensor, piece)
        if piece.parts == 1:
            return tensor
        rows = self.head_width or len(tensor) // piece.parts            # None: as if there were one head
        tensor = rearrange(tensor, "(head part row) ... -> part head row ...", part=piece.parts, row=rows)
        return tensor[piece.part].flatten(0, 1)


def pieces_of(name: str, ours: str) -> dict[str, Piece]:
    """Our names for what lies in their tensor, which the table calls `ours`."""
    for packed, parts in PACKED.items():
        if packed in ours:
            return {ours.replace(packed, part): Piece(name, i, len(parts)) for i, part in enumerate(parts)}
    return {ours.removesuffix(".T"): Piece(name, transposed=ours.endswith(".T"))}


def oriented(tensor: Tensor, piece: Piece) -> Tensor:
    """A matrix the way a linear layer has it. A convolution over single positions (out, in, 1) is one, too."""
    if tensor.dim() == 3 and tensor.shape[-1] == 1:
        tensor = tensor[..., 0]
    return tensor.T if piece.transposed else tensor
