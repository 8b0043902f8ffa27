"""Read the weights of others: their names in our words, and every tensor accounted for."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

# ---- names: (regular expression in theirs, what it becomes in ours), applied from top to bottom ----

PRIOR = [
    (r"^time_embedding\.linear_1", "time.0"),
    (r"^time_embedding\.linear_2", "time.2"),
    (r"^proj_in", "z_in"),
    (r"^embedding_proj", "embed_in"),
    (r"^encoder_hidden_states_proj", "tokens_in"),
    (r"^positional_embedding", "positions"),
    (r"^prd_embedding", "query"),
    (r"^transformer_blocks", "transformer.blocks"),
    (r"attn1\.to_([qkv])", r"attention.\1"),
    (r"attn1\.to_out\.0", "attention.out"),
    (r"norm1", "norm_1"),
    (r"norm3", "norm_2"),
    (r"ff\.net\.0\.proj", "mlp.0"),
    (r"ff\.net\.2", "mlp.2"),
    (r"^proj_to_clip_embeddings", "z_out"),
    (r"^clip_(mean|std)", r"\1"),
]
CLIP_BLOCKS = [
    (r"encoder\.layers", "transformer.blocks"),
    (r"self_attn\.([qkv])_proj", r"attention.\1"),
    (r"self_attn\.out_proj", "attention.out"),
    (r"layer_norm([12])", r"norm_\1"),
    (r"mlp\.fc1", "mlp.0"),
    (r"mlp\.fc2", "mlp.2"),
    (r"^\w+_projection", "project"),
]
CLIP_TEXT = CLIP_BLOCKS + [
    (r"^text_model\.", ""),
    (r"embeddings\.token_embedding", "words"),
    (r"embeddings\.position_embedding\.weight", "positions"),
    (r"final_layer_norm", "norm_out"),
]
CLIP_IMAGE = CLIP_BLOCKS + [
    (r"^vision_model\.", ""),
    (r"embeddings\.class_embedding", "class_token"),
    (r"embeddings\.patch_embedding", "patches"),
    (r"embeddings\.position_embedding\.weight", "positions"),
    (r"pre_layrnorm", "norm_in"),  # spelt so
    (r"post_layernorm", "norm_out"),
]
PROJECTIONS = [
    (r"^embedding_proj", "text_to_time"),
    (r"^clip_image_embeddings_project_to_time_embeddings", "z_to_time"),
    (r"^clip_extra_context_tokens_proj", "z_to_tokens"),
    (r"^text_encoder_hidden_states_norm", "text_norm"),
    (r"^encoder_hidden_states_proj", "text_to_tokens"),
    (r"^learned_classifier_free_guidance_embeddings", "null_z"),
]
UNET = [
    (r"^time_embedding\.linear_1", "time.0"),
    (r"^time_embedding\.linear_2", "time.2"),
    (r"^conv_norm_out", "norm_out"),
    (r"^(down|up)_blocks", r"\1"),
    (r"^mid_block", "middle"),
    (r"resnets", "blocks"),
    (r"(down|up)samplers\.0", "resample"),
    (r"time_emb_proj", "time"),
    (r"conv_shortcut", "skip"),
    (r"group_norm", "norm"),
    (r"add_([kv])_proj", r"context_\1"),
    (r"to_([qkv])", r"\1"),
    (r"to_out\.0", "out"),
]
# What older files carry along: the positions 0, 1, 2, ..., and in OpenAI's CLIP three sizes.
IGNORED = re.compile(r"position_ids$|^(input_resolution|context_length|vocab_size)$")


@dataclass(frozen=True)
class Source:
    """A safetensors file, the table for its names, and what our names begin with."""

    path: Path
    names: list[tuple[str, str]]
    prefix: str = ""

    def find(self, expected: dict[str, tuple[int, ...]]) -> dict[str, str]:
        """Our name -> theirs, for every tensor of the file, its shape checked against the `expected` one."""
        with opened(self.path) as file:
            names = rename(self.path, file.keys(), self.names, self.prefix)
            for name, ours in names.items():
                check(self.path, name, tuple(file.get_slice(name).get_shape()), expected.get(ours))
        return {ours: name for name, ours in names.items()}

    def tensor(self, name: str, device="cpu") -> Tensor:
        """One tensor. While a file is open, what was read of it stays in memory; opened anew, that is this one."""
        with opened(self.path, device) as file:
            return file.get_tensor(name)


@contextmanager
def opened(path: Path, device="cpu") -> Iterator[safe_open]:
    """A safetensors file, with errors that name it and say what to do."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: fetch it again")
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not whole ({error}): delete it and fetch it again") from None


def rename(path: Path, names: Iterable[str], table: list[tuple[str, str]], prefix: str = "") -> dict[str, str]:
    """Their names in our words. Raises ValueError if two of theirs would be the same of ours."""
    renamed: dict[str, str] = {}
    for name in names:
        if IGNORED.search(name):
            continue
        ours = prefix + translate(name, table)
        if ours in renamed.values():
            raise ValueError(f"{path}: the tensor {name!r} is there twice, under two names")
        renamed[name] = ours
    return renamed


def translate(name: str, table: list[tuple[str, str]]) -> str:
    """A name after all replacements of a table."""
    return reduce(lambda word, entry: re.sub(*entry, word), table, name)


def check(path: Path, name: str, shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    if expected is None:
        raise ValueError(f"{path}: the tensor {name!r} has no place in the network of its config")
    if shape != expected:
        raise ValueError(f"{path}: the tensor {name!r} has shape {shape}, and its config asks for {expected}")


def split_qkv(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Our Transformer computes queries, keys and values in one product; files have three matrices for it."""
    split = {}
    for name, shape in shapes.items():
        for part in "qkv" if ".qkv." in name else ("",):
            split[name.replace(".qkv.", f".{part}.")] = (shape[0] // 3, *shape[1:]) if part else shape
    return split


def fuse_qkv(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `split_qkv`, for tensors."""
    for q in [name for name in state if ".attention.q." in name]:
        parts = [state.pop(q.replace(".q.", f".{part}.")) for part in "qkv"]
        state[q.replace(".q.", ".qkv.")] = torch.cat(parts)
    return state


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file or of one that PyTorch wrote, by name."""
    if path.suffix != ".safetensors":
        return read_pytorch(path)
    with opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_pytorch(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that PyTorch wrote; other Python objects are refused, since they could run code.

    A tuple of tensors gets the names 0, 1, ..., and a batch dimension. Raises ValueError for a damaged file.
    """
    try:
        content = load_program(path) if is_program(path) else torch.load(
            path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)  # fmt: skip
    except pickle.UnpicklingError:
        raise ValueError(f"{path} is damaged, or holds more than tensors: get it from its makers again") from None
    except (RuntimeError, EOFError, OSError) as error:
        why = " ".join(str(error).split())[:100]
        raise ValueError(f"{path} is damaged or not whole ({why}): fetch it again") from None
    if isinstance(content, tuple | list):
        return {str(i): tensor[None] for i, tensor in enumerate(content)}
    state = content.get("state_dict", content)
    return {name: tensor.detach() for name, tensor in state.items() if isinstance(tensor, Tensor)}


def is_program(path: Path) -> bool:
    """OpenAI stored CLIP as a TorchScript program, of which only the weights are wanted."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def load_program(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                  # PyTorch calls the format deprecated; the file has no other
        return torch.jit.load(path, map_location="cpu").state_dict()
