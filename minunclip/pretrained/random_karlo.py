"""A folder laid out like Karlo's, with random weights: what it draws is noise, but every part of it runs.

Notebook 12 takes a `NARROW` one where the released weights are not at hand, and the benchmarks take one of Karlo's
own sizes. It is what `diffusers_folder` describes, the other way round: our configs in their words, and our names in
theirs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..clip import CLIP, CLIPConfig
from ..common import Stage
from ..decoder import Decoder, DecoderConfig
from ..diffusion import DiffusionConfig
from ..networks import UNetConfig
from ..prior import DiffusionPrior, PriorConfig
from ..upsampler import Upsampler, UpsamplerConfig
from .diffusers_folder import CLIP_IMAGE, CLIP_TEXT, DIFFUSERS, PRIOR, PROJECTIONS, TRANSFORMERS, UNET
from .kakao_checkpoints import Sizes
from .lazy import Weightless, network_of
from .names import Table, reverse, split_qkv, translate
from .weight_writer import head

# Karlo's shape and its sides of 64 and 256 pixels, but narrow.
NARROW = Sizes(
    CLIPConfig(embed_width=32, image_size=56, image_width=32, image_layers=2, image_heads=2,
               text_width=32, text_layers=2, text_heads=2),
    PriorConfig(z_width=32, text_width=32, width=64, layers=3, heads=4),
    DecoderConfig(UNetConfig(out_channels=6, channels=16, mults=(1, 2, 3, 4), blocks=1, head_width=16,
                             context_width=48, groups=16), z_width=32, text_width=32),
    UpsamplerConfig(UNetConfig(in_channels=6, channels=16, mults=(1, 2, 3, 4), blocks=1, attention=(), film=False,
                               groups=16), last_step_unet=True),
)  # fmt: skip
BLOCK = 2**20  # numbers that are drawn for a tensor; a larger one repeats them


@dataclass(frozen=True)
class Folder:
    """One folder: its config in their words, and the networks of one of our stages that lie in it."""

    config: dict
    stage_class: type[Stage]
    names: Table
    networks: tuple[str, ...]               # as `lazy.network_of` has them; "" is what a stage has besides
    file: str = DIFFUSERS


# -- the folder ----------------------------------------------------------------------------------------------


def write_karlo(folder: str | Path, sizes: Sizes = NARROW, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """Write a cascade of these sizes with random weights. `DEFAULT` are Karlo's own.

    The image encoder, which Karlo's folder lacks, is written too unless sizes.clip.image_layers is 0; without it
    Karlo's sizes take 13.7 GB in float32. Takes memory for one tensor at a time. Raises OSError if the disk is full.
    """
    root, rng = Path(folder), torch.Generator().manual_seed(seed)
    for name, part in folders(sizes).items():
        write_json(root / name / "config.json", part.config)
        write_weights(root / name / part.file, contents(part, sizes), dtype, rng)
    for name, stage in {"prior": sizes.prior, "decoder": sizes.decoder, "super_res": sizes.upsampler}.items():
        write_json(root / f"{name}_scheduler" / "scheduler_config.json", scheduler(stage.diffusion))
    return root


def folders(sizes: Sizes) -> dict[str, Folder]:
    """What each folder holds, by its name."""
    up = unet(sizes.upsampler.unet, "default") | {"sample_size": sizes.upsampler.size, "add_attention": False}
    found = {
        "text_encoder": Folder(text_encoder(sizes.clip), CLIP, CLIP_TEXT, ("text",), TRANSFORMERS),
        "image_encoder": Folder(image_encoder(sizes.clip), CLIP, CLIP_IMAGE, ("image",), TRANSFORMERS),
        "prior": Folder(prior(sizes.prior), DiffusionPrior, PRIOR, ("", "transformer")),
        "text_proj": Folder(text_proj(sizes.decoder), Decoder, PROJECTIONS, ("",)),
        "decoder": Folder(decoder(sizes.decoder), Decoder, UNET, ("unet",)),
        "super_res_first": Folder(up, Upsampler, UNET, ("unet",)),
        "super_res_last": Folder(up, Upsampler, UNET, ("last_unet",)),
    }
    return {name: part for name, part in found.items() if name != "image_encoder" or sizes.clip.image_layers}


def contents(folder: Folder, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Their name for each tensor of a folder, and its shape; in the order of our names, not in that of our code."""
    configs = {CLIP: sizes.clip, DiffusionPrior: sizes.prior, Decoder: sizes.decoder, Upsampler: sizes.upsampler}
    with Weightless():
        state = folder.stage_class(configs[folder.stage_class]).state_dict()
    kept = {name: tuple(state[name].shape) for name in sorted(state) if network_of(name) in folder.networks}
    prefix, names = f"{folder.networks[0]}.", reverse(folder.names)
    return {translate(name.removeprefix(prefix), names): shape for name, shape in split_qkv(kept).items()}


# -- configs, in their words ---------------------------------------------------------------------------------


def text_encoder(c: CLIPConfig) -> dict:
    return {"hidden_size": c.text_width, "intermediate_size": 4 * c.text_width, "projection_dim": c.embed_width,
            "num_hidden_layers": c.text_layers, "num_attention_heads": c.text_heads, "vocab_size": 49408,
            "max_position_embeddings": c.context, "hidden_act": c.activation, "eos_token_id": 2}  # fmt: skip


def image_encoder(c: CLIPConfig) -> dict:
    inner = c.image_inner or 4 * c.image_width
    return {"hidden_size": c.image_width, "intermediate_size": inner, "projection_dim": c.embed_width,
            "num_hidden_layers": c.image_layers, "num_attention_heads": c.image_heads, "image_size": c.image_size,
            "patch_size": c.patch, "hidden_act": c.activation}  # fmt: skip


def prior(c: PriorConfig) -> dict:
    return {"num_attention_heads": c.heads, "attention_head_dim": c.width // c.heads, "num_layers": c.layers,
            "embedding_dim": c.z_width, "num_embeddings": c.context, "additional_embeddings": 4}  # fmt: skip


def text_proj(c: DecoderConfig) -> dict:
    return {"clip_extra_context_tokens": c.extra_tokens, "clip_embeddings_dim": c.z_width,
            "time_embed_dim": 4 * c.unet.channels, "cross_attention_dim": c.unet.context_width}  # fmt: skip


def decoder(c: DecoderConfig) -> dict:
    attention = {"attention_head_dim": c.unet.head_width, "cross_attention_dim": c.unet.context_width,
                 "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "only_cross_attention": False}  # fmt: skip
    return unet(c.unet, "scale_shift") | attention | {"sample_size": c.size, "class_embed_type": "identity"}


def unet(c: UNetConfig, time: str) -> dict:
    """What both kinds of U-Net share; `time`: how the time embedding comes in."""
    levels = range(len(c.mults))
    kinds = ["SimpleCrossAttn{}Block2D" if level in c.attention else "Resnet{}sampleBlock2D" for level in levels]
    down = [kind.format("Down") for kind in kinds]
    up = [kind.format("Up") for kind in reversed(kinds)]
    return {"in_channels": c.in_channels, "out_channels": c.out_channels, "layers_per_block": c.blocks,
            "block_out_channels": [c.channels * mult for mult in c.mults], "down_block_types": down,
            "up_block_types": up, "resnet_time_scale_shift": time, "norm_num_groups": c.groups, "norm_eps": 1e-5,
            "act_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0}  # fmt: skip


def scheduler(c: DiffusionConfig) -> dict:
    return {"num_train_timesteps": c.steps, "prediction_type": {"eps": "epsilon", "x0": "sample"}[c.target],
            "variance_type": "learned_range" if c.learned_variance else "fixed_small_log",
            "clip_sample": c.clip is not None, "clip_sample_range": c.clip or 1.0}  # fmt: skip


def write_json(path: Path, values: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


# -- weights -------------------------------------------------------------------------------------------------


def write_weights(path: Path, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, rng: torch.Generator) -> None:
    """A safetensors file, tensor by tensor: the length of the header, the header, the numbers."""
    with path.open("wb") as file:
        file.write(head({name: (shape, dtype) for name, shape in shapes.items()}))
        for name, shape in shapes.items():
            block = random(name, shape, rng).to(dtype).view(torch.uint8).numpy().tobytes()
            left = math.prod(shape) * dtype.itemsize
            while left > 0:
                left -= file.write(block[:left])


def random(name: str, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Up to BLOCK numbers for a tensor, such that what runs through the network keeps its size."""
    noise = torch.randn(min(math.prod(shape), BLOCK), generator=rng)
    if name == "clip_std":
        return noise.abs() + 0.5
    if len(shape) > 1 and name.endswith("weight"):
        return noise / math.prod(shape[1:]) ** 0.5
    return 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)      # of a norm
