"""The weights of others: their names in our words, and every tensor of a file accounted for.

A released network is one of ours with other names on its tensors. A table lists pairs of names (theirs, ours), such
as ("down_blocks.*.downsamplers.0", "down.*.resample"), in which `*` is any number. One table serves both directions:
we read with it what others wrote, and `random_karlo` writes what others can read. The tables themselves stand where
each layout is described, in `diffusers_folder` and in `kakao_checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..common import Stage
from .weight_files import opened

Table = list[tuple[str, str]]           # of pairs (theirs, ours)

# -- names ---------------------------------------------------------------------------------------------------

# What older files carry along: the positions 0, 1, 2, ..., and in OpenAI's CLIP three sizes.
IGNORED = re.compile(r"position_ids$|^(input_resolution|context_length|vocab_size)$")


def translate(name: str, table: Table) -> str:
    """A tensor's name in the words of the table's other side.

    The name is read once, from left to right. Where the first words of an entry stand, its second words take their
    place; if several entries fit, the first of them counts. Any other word stays as it is.
    """
    rest, done = name.split("."), []
    while rest:
        old, new = next((entry for entry in table if begins_with(rest, entry[0])), (rest[0], rest[0]))
        words = old.split(".")
        numbers = iter([part for part, word in zip(rest, words, strict=False) if word == "*"])
        done += [next(numbers) if word == "*" else word for word in new.split(".")]
        rest = rest[len(words) :]
    return ".".join(done)


def begins_with(parts: list[str], entry: str) -> bool:
    """Whether these parts of a name begin with the words of an entry."""
    words = entry.split(".")
    return len(words) <= len(parts) and all(
        part == word or (word == "*" and part.isdigit()) for part, word in zip(parts, words, strict=False)
    )


def reverse(table: Table) -> Table:
    """The same table from ours to theirs."""
    return [(ours, theirs) for theirs, ours in table]


# -- files ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A stage of a released cascade, described: what to build, and the files that hold its weights."""

    stage_class: type[Stage]
    config: object                          # a `stage_class.config_class`
    sources: list[Source]                   # or what can do the same: `checkpoint.Checkpoint`
    given: dict[str, Tensor] = field(default_factory=dict)      # weights that no file has, under our names


@dataclass(frozen=True)
class Source:
    """A safetensors file, the table for its names, and what our names begin with."""

    path: Path
    names: Table
    prefix: str = ""

    def find(self, expected: dict[str, tuple[int, ...]]) -> dict[str, str]:
        """Our name -> theirs, for every tensor of the file. `expected`: the shapes of all that the stage wants.

        Raises ValueError for a file that is missing or damaged, or for a tensor without a place or of another shape.
        """
        with opened(self.path) as file:
            names = rename(self.path, file.keys(), self.names, self.prefix)
            for name, ours in names.items():
                check(self.path, name, tuple(file.get_slice(name).get_shape()), expected.get(ours))
        return {ours: name for name, ours in names.items()}

    @contextmanager
    def reading(self, device="cpu") -> Iterator[Callable[[str], Tensor]]:
        """A function that reads one tensor by its name in the file: a copy, which does not hang on the file."""
        with opened(self.path, device) as file:
            yield file.get_tensor


def rename(path: Path, names: Iterable[str], table: Table, prefix: str = "") -> dict[str, str]:
    """Their names -> ours. Raises ValueError if two of theirs would be the same of ours."""
    renamed: dict[str, str] = {}
    for name in names:
        if IGNORED.search(name):
            continue
        ours = prefix + translate(name, table)
        if ours in renamed.values():
            raise ValueError(f"{path}: the tensor {name!r} is there twice, under two names")
        renamed[name] = ours
    return renamed


def check(path: Path, name: str, shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    """Raises ValueError if a tensor has no place in the network, or another shape than it wants."""
    if expected is None:
        raise ValueError(f"{path}: the tensor {name!r} has no place in the network of its config")
    if shape != expected:
        raise ValueError(f"{path}: the tensor {name!r} has shape {shape}, and its config asks for {expected}")


# -- queries, keys and values --------------------------------------------------------------------------------


def split_qkv(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Our Transformer computes queries, keys and values in one product; files have three matrices for it."""
    split = {}
    for name, shape in shapes.items():
        if ".qkv." in name:
            split |= {name.replace(".qkv.", f".{part}."): (shape[0] // 3, *shape[1:]) for part in "qkv"}
        else:
            split[name] = shape
    return split


def fuse_qkv(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `split_qkv`, for tensors."""
    for q in [name for name in state if ".attention.q." in name]:
        parts = [state.pop(q.replace(".q.", f".{part}.")) for part in "qkv"]
        state[q.replace(".q.", ".qkv.")] = torch.cat(parts)
    return state
