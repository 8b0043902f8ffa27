"""Files of weights, safetensors and PyTorch's own, read without running anything that stands in them."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..common import sha256

# OpenAI stored CLIP as a TorchScript program, and to read its weights is to run it. So the file must be theirs: this is
# the SHA-256 of ViT-L-14.pt, which is also a part of the address from which they hand it out.
KNOWN_PROGRAMS = {"b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"}


@contextmanager
def opened(path: Path, device="cpu", *, backend: str = "pread") -> Iterator[safe_open]:
    """A safetensors file, with errors that name it and say what to do.

    What is read of it is a copy in memory, which stays what it is whatever becomes of the file. With the backend
    "mmap" it is a view of the file instead: it costs nothing until it is used, and must not outlive the block.
    """
    check_there(path)
    try:
        with safe_open(path, "pt", device=str(device), backend=backend) as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not whole ({error}): delete it and fetch it again") from None


def check_there(path: Path) -> None:
    """Raises ValueError for a file that is missing, and OSError for one that this user may not read."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: fetch it again")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} cannot be read: permission denied")


def weights_in(folder: Path, name: str) -> Path:
    """The file of this name, or the same in half precision, as ".fp16" or ".bf16" in its name says.

    Raises ValueError if there is neither, and tells which weights are there that we cannot read.
    """
    stem = name.removesuffix(".safetensors")
    for variant in ("", ".fp16", ".bf16"):
        if (path := folder / f"{stem}{variant}.safetensors").is_file():
            return path
    others = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".safetensors", ".msgpack"))
    there = f" (what is there instead, minunclip does not read: {', '.join(others[:3])})" if others else ""
    raise ValueError(f"{folder / name} is missing: fetch it again{there}")


@contextmanager
def tensors_of(path: Path) -> Iterator[dict[str, Tensor]]:
    """All tensors of a safetensors file or of one that PyTorch wrote, by name, to look at or to copy within the block.

    They are left in the file until they are used, where its format allows it. Raises ValueError for a damaged file, or
    for one that holds more than tensors.
    """
    if path.suffix != ".safetensors":
        yield read_pytorch(path)
        return
    with opened(path, backend="mmap") as file:
        yield {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_pytorch(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that PyTorch wrote; those of a tuple are called 0, 1, ..., and get a batch dimension.

    Programs and other Python objects are refused, since they could do anything.
    """
    check_there(path)
    content = load_program(path) if is_program(path) else load_checkpoint(path)
    if isinstance(content, tuple | list):
        content = {str(i): tensor[None] for i, tensor in enumerate(content) if isinstance(tensor, Tensor)}
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds no weights by name, but a {type(content).__name__}: is it another file?")
    tensors = {name: tensor.detach() for name, tensor in state.items() if isinstance(tensor, Tensor)}
    for name, tensor in tensors.items():
        check_plain(path, name, tensor)
    return tensors


def check_plain(path: Path, name: object, tensor: Tensor) -> None:
    """Raises ValueError for a tensor that is no plain block of numbers with a name, but sparse or without data."""
    special = tensor.is_quantized or tensor.is_nested or tensor.layout != torch.strided or tensor.device.type != "cpu"
    if special or not isinstance(name, str):
        raise ValueError(f"{path}: the tensor {name!r} is no plain block of numbers: is it a file of another kind?")


def is_program(path: Path) -> bool:
    """Whether this looks like TorchScript. If it does not but is, `load_checkpoint` still refuses to run it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def load_program(path: Path) -> dict[str, Tensor]:
    """The weights of OpenAI's CLIP. Raises ValueError for any other program, before a line of it runs."""
    if sha256(path) not in KNOWN_PROGRAMS:
        raise ValueError(f"{path} is a program, which could do anything, and not OpenAI's ViT-L-14.pt (its SHA-256 is "
                         "another): get the original, or a file that holds the state dict alone")  # fmt: skip
    with warnings.catch_warnings(action="ignore"):       # PyTorch calls the format deprecated; the file has no other
        return torch.jit.load(path, map_location="cpu").state_dict()


def load_checkpoint(path: Path):
    """Tensors, or dictionaries and tuples of them. Raises ValueError if there is anything else, or damage."""
    try:
        with warnings.catch_warnings(action="ignore"):   # of damage, which becomes an error
            return torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path} is damaged, or holds more than tensors: get it from its makers again") from None
    except Exception as error:  # damage can lead PyTorch's reader to a dozen kinds; nothing else runs in this block
        why = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise ValueError(f"{path} is damaged or not whole ({why}): fetch it again") from None
