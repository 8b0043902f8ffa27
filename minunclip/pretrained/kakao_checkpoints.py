"""Karlo's weights as its makers published them: PyTorch checkpoints under the names of their own code.

A folder of this layout holds five files, without a config: ViT-L-14.pt (OpenAI's CLIP), ViT-L-14_stats.th (mean and
deviation of its image embeddings), and one checkpoint each for the prior, the decoder and both U-Nets of the
upsampler. The tensors are those of the folder that `diffusers_folder` describes, under other names. Two habits
differ: the U-Nets number their blocks in one row, and queries, keys and values lie interleaved, head by head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..clip import CLIP, CLIPConfig
from ..decoder import Decoder, DecoderConfig
from ..networks import UNetConfig
from ..prior import DiffusionPrior, PriorConfig
from ..upsampler import Upsampler, UpsamplerConfig
from .checkpoint import Checkpoint
from .names import Part, Table

FILES = {
    "clip": "ViT-L-14.pt", "statistics": "ViT-L-14_stats.th",
    "prior": "prior-ckpt*.ckpt", "decoder": "decoder-ckpt*.ckpt", "upsampler": "improved-sr-ckpt*.ckpt",
}  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How large the networks are. The files do not say; the defaults are those of Karlo's own settings."""

    clip: CLIPConfig = CLIPConfig()
    prior: PriorConfig = PriorConfig()
    decoder: DecoderConfig = DecoderConfig()
    upsampler: UpsamplerConfig = UpsamplerConfig(last_step_unet=True)


DEFAULT = Sizes()

# -- the stages ----------------------------------------------------------------------------------------------


def is_original(folder: Path) -> bool:
    return any(folder.glob(FILES["decoder"]))


def parts(folder: Path, sizes: Sizes = DEFAULT) -> dict[str, Part | None]:
    """What the folder has, by stage. A folder of image variations has no prior: None.

    The weights draw the same pictures as in the other layout: the prior's clip is 5 there and here (the makers' own
    code clips at 10). Raises ValueError unless each file is there once.
    """
    has_prior = any(folder.glob(FILES["prior"]))
    return {
        "clip": Part(CLIP, sizes.clip, [Checkpoint(find(folder, "clip"), CLIP_NAMES)]),
        "prior": prior_part(folder, sizes.prior) if has_prior else None,
        "decoder": decoder_part(folder, sizes.decoder),
        "upsampler": upsampler_part(folder, sizes.upsampler),
    }


def prior_part(folder: Path, config: PriorConfig) -> Part:
    """The statistics of the image embeddings have a file of their own."""
    network = Checkpoint(find(folder, "prior"), PRIOR, config.width // config.heads)
    return Part(DiffusionPrior, config, [network, Checkpoint(find(folder, "statistics"), STATISTICS)])


def decoder_part(folder: Path, config: DecoderConfig) -> Part:
    """The U-Net, and the layers that make z_i and the caption ready for it, lie in one file."""
    names = PROJECTIONS + unet_names(config.unet, "model", "unet")
    return Part(Decoder, config, [Checkpoint(find(folder, "decoder"), names, config.unet.head_width)])


def upsampler_part(folder: Path, config: UpsamplerConfig) -> Part:
    """Both U-Nets lie in one file."""
    first = unet_names(config.unet, "model_first_steps", "unet")
    last = unet_names(config.unet, "model_last_step", "last_unet")
    return Part(Upsampler, config, [Checkpoint(find(folder, "upsampler"), first + last)])


def find(folder: Path, part: str) -> Path:
    """The file of a part. Raises ValueError if there is none, or more than one."""
    files = sorted(folder.glob(FILES[part]))
    if len(files) != 1:
        raise ValueError(f"{folder} has {len(files)} files {FILES[part]}: the {part} must be there, once")
    return files[0]


# -- names: (theirs, ours), whole words between the dots of a tensor's name ----------------------------------

BLOCK: Table = [("ln_1", "norm_1"), ("ln_2", "norm_2"), ("mlp.c_fc", "mlp.0"), ("mlp.c_proj", "mlp.2")]
CLIP_NAMES: Table = BLOCK + [
    ("logit_scale", "log_scale"),
    ("token_embedding", "text.words"),
    ("positional_embedding", "text.positions"),
    ("transformer.resblocks", "text.transformer.blocks"),
    ("ln_final", "text.norm_out"),
    ("text_projection", "text.project.weight.T"),       # .T: they multiply from the other side
    ("visual.conv1", "image.patches"),
    ("visual.class_embedding", "image.class_token"),
    ("visual.positional_embedding", "image.positions"),
    ("visual.ln_pre", "image.norm_in"),
    ("visual.transformer.resblocks", "image.transformer.blocks"),
    ("visual.ln_post", "image.norm_out"),
    ("visual.proj", "image.project.weight.T"),
    ("attn.in_proj_weight", "attention.qkv.weight"),
    ("attn.in_proj_bias", "attention.qkv.bias"),
    ("attn.out_proj", "attention.out"),
]
STATISTICS: Table = [("0", "mean"), ("1", "std")]
PRIOR: Table = BLOCK + [
    ("model.time_embed", "time"),
    ("model.clip_img_proj", "z_in"),
    ("model.text_emb_proj", "embed_in"),
    ("model.text_enc_proj", "tokens_in"),
    ("model.positional_embedding", "positions"),
    ("model.prd_emb", "query"),
    ("model.transformer.resblocks", "transformer.blocks"),
    ("attn.c_qkv", "attention.qkv"),
    ("attn.c_proj", "attention.out"),
    ("model.final_ln", "norm_out"),
    ("model.out_proj", "z_out"),
]
PROJECTIONS: Table = [
    ("model.text_feat_proj", "text_to_time"),
    ("model.clip_emb", "z_to_time"),
    ("model.clip_tok_proj", "z_to_tokens"),
    ("model.text_seq_proj.0", "text_to_tokens"),
    ("model.text_seq_proj.1", "text_norm"),
    ("model.cf_param", "null_z"),
]
UNET_BLOCK: Table = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "skip"),
    ("encoder_kv", "context_kv"),
    ("proj_out", "out"),
]


def unet_names(config: UNetConfig, theirs: str, ours: str) -> Table:
    """The table for a U-Net whose names begin with `theirs`, and with `ours` here.

    Its blocks stand in one row down and one row up. Each place of a row holds a ResBlock, then its attention if there
    is one. Halving the side takes a place of its own; doubling it comes last in the place of the ResBlock before.
    """
    places = {"time_embed": "time", "input_blocks.0.0": "conv_in", "out.0": "norm_out", "out.2": "conv_out"}
    middle = ["blocks.0", "attentions.0", "blocks.1"] if config.attention else ["blocks.0", "blocks.1"]
    places |= {f"middle_block.{i}": f"middle.{part}" for i, part in enumerate(middle)}
    for level in range(len(config.mults)):
        places |= places_down(config, level) | places_up(config, level)
    return [(f"{theirs}.{place}", f"{ours}.{part}") for place, part in places.items()] + UNET_BLOCK


def places_down(config: UNetConfig, level: int) -> dict[str, str]:
    """Where the blocks of one level stand on the way down: level 0, the finest, comes first."""
    first = 1 + level * (config.blocks + 1)             # place 0 is the first convolution
    places = {}
    for i in range(config.blocks):
        places[f"input_blocks.{first + i}.0"] = f"down.{level}.blocks.{i}"
        places[f"input_blocks.{first + i}.1"] = f"down.{level}.attentions.{i}"
    return places | {f"input_blocks.{first + config.blocks}.0": f"down.{level}.resample"}


def places_up(config: UNetConfig, level: int) -> dict[str, str]:
    """Where the blocks of one level stand on the way up: level 0, the coarsest, comes first."""
    first = level * (config.blocks + 1)
    places = {}
    for i in range(config.blocks + 1):
        places[f"output_blocks.{first + i}.0"] = f"up.{level}.blocks.{i}"
        places[f"output_blocks.{first + i}.1"] = f"up.{level}.attentions.{i}"
    attended = len(config.mults) - 1 - level in config.attention
    return places | {f"output_blocks.{first + config.blocks}.{2 if attended else 1}": f"up.{level}.resample"}
