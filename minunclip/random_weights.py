"""A folder laid out like Karlo's, with random weights. It draws noise, but all that can run does.

Notebook 11 takes a `NARROW` one where the released weights are not at hand, and the benchmarks take one of Karlo's
own sizes. It is what `released` reads, the other way round: our configs in their words, our names in theirs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .clip import CLIP, CLIPConfig
from .decoder import Decoder, DecoderConfig
from .diffusion import DiffusionConfig
from .layouts import split_qkv, translate
from .original import Sizes
from .plan import Weightless, network_of
from .prior import DiffusionPrior, PriorConfig
from .unet import UNetConfig
from .upsampler import Upsampler, UpsamplerConfig

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
CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
BLOCK = 2**20  # numbers that are drawn for a tensor; a larger one repeats them

# ---- names: (regular expression in ours, what it becomes in theirs), applied from top to bottom ----

TRANSFORMER = [(r"attention\.([qkv])\.", r"self_attn.\1_proj."), (r"attention\.out", "self_attn.out_proj"),
               (r"norm_([12])", r"layer_norm\1"), (r"mlp\.0", "mlp.fc1"), (r"mlp\.2", "mlp.fc2")]  # fmt: skip
CLIP_TEXT = TRANSFORMER + [
    (r"^transformer\.blocks", "text_model.encoder.layers"),
    (r"^words", "text_model.embeddings.token_embedding"),
    (r"^positions", "text_model.embeddings.position_embedding.weight"),
    (r"^norm_out", "text_model.final_layer_norm"),
    (r"^project", "text_projection"),
]
CLIP_IMAGE = TRANSFORMER + [
    (r"^transformer\.blocks", "vision_model.encoder.layers"),
    (r"^class_token", "vision_model.embeddings.class_embedding"),
    (r"^patches", "vision_model.embeddings.patch_embedding"),
    (r"^positions", "vision_model.embeddings.position_embedding.weight"),
    (r"^norm_in", "vision_model.pre_layrnorm"),
    (r"^norm_out", "vision_model.post_layernorm"),
    (r"^project", "visual_projection"),
]
TIME = [(r"^time\.0", "time_embedding.linear_1"), (r"^time\.2", "time_embedding.linear_2")]
PRIOR = TIME + [
    (r"^z_in", "proj_in"),
    (r"^embed_in", "embedding_proj"),
    (r"^tokens_in", "encoder_hidden_states_proj"),
    (r"^positions", "positional_embedding"),
    (r"^query", "prd_embedding"),
    (r"^transformer\.blocks", "transformer_blocks"),
    (r"attention\.([qkv])\.", r"attn1.to_\1."),
    (r"attention\.out", "attn1.to_out.0"),
    (r"norm_1", "norm1"),
    (r"norm_2", "norm3"),
    (r"mlp\.0", "ff.net.0.proj"),
    (r"mlp\.2", "ff.net.2"),
    (r"^z_out", "proj_to_clip_embeddings"),
    (r"^(mean|std)$", r"clip_\1"),
]
PROJECTIONS = [
    (r"^text_to_time", "embedding_proj"),
    (r"^z_to_time", "clip_image_embeddings_project_to_time_embeddings"),
    (r"^z_to_tokens", "clip_extra_context_tokens_proj"),
    (r"^text_norm", "text_encoder_hidden_states_norm"),
    (r"^text_to_tokens", "encoder_hidden_states_proj"),
    (r"^null_z", "learned_classifier_free_guidance_embeddings"),
]
UNET = TIME + [
    (r"^norm_out", "conv_norm_out"),
    (r"^(down|up)\.(\d+)\.resample", r"\1_blocks.\2.\1samplers.0"),
    (r"^(down|up)\.", r"\1_blocks."),
    (r"^middle\.", "mid_block."),
    (r"\.blocks\.", ".resnets."),
    (r"\.time\.", ".time_emb_proj."),
    (r"\.skip\.", ".conv_shortcut."),
    (r"\.norm\.", ".group_norm."),
    (r"\.context_([kv])\.", r".add_\1_proj."),
    (r"\.([qkv])\.", r".to_\1."),
    (r"\.out\.", ".to_out.0."),
]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Part:
    """One folder: its config in their words, and the networks of one of our stages that lie in it."""

    config: dict
    stage: type
    names: list[tuple[str, str]]
    networks: tuple[str, ...]               # as `plan.network_of` has them; "" is what a stage has besides
    file: str = WEIGHTS


# ---- the folder ----


def write_karlo(folder: str | Path, sizes: Sizes = NARROW, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """Write a cascade of these sizes with random weights. `original.DEFAULT` are Karlo's own.

    The image encoder, which Karlo's folder has not, is written too unless sizes.clip.image_layers is 0; without it
    Karlo's sizes take 13.7 GB in float32. Takes memory for one tensor at a time. Raises OSError if the disk is full.
    """
    folder, rng = Path(folder), torch.Generator().manual_seed(seed)
    for name, part in parts(sizes).items():
        write_json(folder / name / "config.json", part.config)
        write_weights(folder / name / part.file, contents(part, sizes), dtype, rng)
    for name, stage in {"prior": sizes.prior, "decoder": sizes.decoder, "super_res": sizes.upsampler}.items():
        write_json(folder / f"{name}_scheduler" / "scheduler_config.json", scheduler(stage.diffusion))
    return folder


def contents(part: Part, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """The tensors of a folder: their names for them, and the shapes."""
    configs = {CLIP: sizes.clip, DiffusionPrior: sizes.prior, Decoder: sizes.decoder, Upsampler: sizes.upsampler}
    with Weightless():
        state = part.stage(configs[part.stage]).state_dict()
    kept = {ours: tuple(tensor.shape) for ours, tensor in state.items() if network_of(ours) in part.networks}
    return {translate(ours.removeprefix(f"{part.networks[0]}."), part.names): shape
            for ours, shape in split_qkv(kept).items()}  # fmt: skip


def parts(sizes: Sizes) -> dict[str, Part]:
    """By folder."""
    up = unet(sizes.upsampler.unet, "default") | {"sample_size": sizes.upsampler.size, "add_attention": False}
    found = {
        "text_encoder": Part(text_encoder(sizes.clip), CLIP, CLIP_TEXT, ("text",), "model.safetensors"),
        "image_encoder": Part(image_encoder(sizes.clip), CLIP, CLIP_IMAGE, ("image",), "model.safetensors"),
        "prior": Part(prior(sizes.prior), DiffusionPrior, PRIOR, ("", "transformer")),
        "text_proj": Part(text_proj(sizes.decoder), Decoder, PROJECTIONS, ("",)),
        "decoder": Part(decoder(sizes.decoder), Decoder, UNET, ("unet",)),
        "super_res_first": Part(up, Upsampler, UNET, ("unet",)),
        "super_res_last": Part(up, Upsampler, UNET, ("last_unet",)),
    }
    return {name: part for name, part in found.items() if name != "image_encoder" or sizes.clip.image_layers}


# ---- configs, in their words ----


def text_encoder(c: CLIPConfig) -> dict:
    return {"hidden_size": c.text_width, "intermediate_size": 4 * c.text_width, "projection_dim": c.embed_width,
            "num_hidden_layers": c.text_layers, "num_attention_heads": c.text_heads, "vocab_size": 49408,
            "max_position_embeddings": c.context, "hidden_act": c.activation, "eos_token_id": 2}  # fmt: skip


def image_encoder(c: CLIPConfig) -> dict:
    return {"hidden_size": c.image_width, "intermediate_size": 4 * c.image_width, "projection_dim": c.embed_width,
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


# ---- weights ----


def write_weights(path: Path, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, rng: torch.Generator) -> None:
    """A safetensors file, tensor by tensor: the length of the header, the header, the numbers."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            block, left = random(name, shape, rng).to(dtype).view(torch.uint8).numpy().tobytes(), math.prod(shape)
            while left > 0:
                left -= file.write(block[: left * dtype.itemsize]) // dtype.itemsize


def random(name: str, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Up to BLOCK numbers for a tensor, such that what runs through the network keeps its size."""
    noise = torch.randn(min(math.prod(shape), BLOCK), generator=rng)
    if name == "clip_std":
        return noise.abs() + 0.5
    if len(shape) > 1 and name.endswith("weight"):
        return noise / math.prod(shape[1:]) ** 0.5
    return 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)      # of a norm
