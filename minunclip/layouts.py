"""Read the weights of others: their names in our words, every tensor accounted for, no second copy in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .diffusion import Diffusion
from .stage import Stage

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
IGNORED = re.compile(r"position_ids$")  # 0, 1, 2, ...: older files carry them along


@dataclass(frozen=True)
class Source:
    """A file, the table for its names, and what our names begin with."""

    path: Path
    names: list[tuple[str, str]]
    prefix: str = ""

    def rename(self, name: str) -> str:
        for theirs, ours in self.names:
            name = re.sub(theirs, ours, name)
        return self.prefix + name


def assemble(stage_class: type[Stage], config, sources: list[Source], device="cpu", dtype=torch.float32, **given):
    """The stage with the weights of these files, in evaluation mode; `given` are tensors that no file has.

    The stage is built without memory, and each tensor goes straight to the device and the dtype. Raises
    ValueError for a file that is missing or damaged, and names a tensor that is missing, misshapen or too many.
    """
    with torch.device("meta"):
        stage = stage_class(config)
    missing = split_qkv({name: tuple(tensor.shape) for name, tensor in stage.state_dict().items()})
    state = {name: tensor.to(device, dtype) for name, tensor in given.items()}
    for source in sources:
        state |= read(source, missing, device, dtype)
    left = [name for name in missing if name not in state]
    if left:
        files = " and ".join(str(source.path) for source in sources)
        raise ValueError(f"{files}: {len(left)} tensors are missing, the first is what we call {left[0]!r}: "
                         "the file is not whole, or its config.json is of another model")  # fmt: skip
    stage.load_state_dict(fuse_qkv(state), assign=True)
    if isinstance(getattr(stage, "diffusion", None), Diffusion):
        stage.diffusion = Diffusion(stage.diffusion.config)  # its tables were built without memory, too
    return stage.requires_grad_(False).eval()


def read(source: Source, expected: dict[str, tuple[int, ...]], device, dtype) -> dict[str, Tensor]:
    """The tensors of one file under our names, checked against the shapes `expected` before any is read."""
    if not source.path.is_file():
        raise ValueError(f"{source.path} is missing: fetch it again")
    try:
        with safe_open(source.path, "pt", device=str(device)) as file:
            names = {name: source.rename(name) for name in file.keys() if not IGNORED.search(name)}  # noqa: SIM118
            for name, ours in names.items():
                check(source.path, name, tuple(file.get_slice(name).get_shape()), expected.get(ours))
            return {ours: file.get_tensor(name).to(dtype) for name, ours in names.items()}
    except SafetensorError as error:
        raise ValueError(f"{source.path} is damaged or not whole ({error}): fetch it again") from None


def check(path: Path, name: str, shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    if expected is None:
        raise ValueError(f"{path}: the tensor {name!r} has no place in the network of its config.json")
    if shape != expected:
        raise ValueError(f"{path}: the tensor {name!r} has shape {shape}, and its config.json asks for {expected}")


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
