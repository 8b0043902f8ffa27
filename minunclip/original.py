"""Karlo's weights as its makers published them: PyTorch checkpoints under the names of their own code.

A folder of this layout holds five files, without a config: ViT-L-14.pt (OpenAI's CLIP), ViT-L-14_stats.th (mean and
deviation of its image embeddings), and one checkpoint each for the prior, the decoder and both U-Nets of the
upsampler. The tensors are those of the folder that `released` reads, under other names. Two habits differ:
the U-Nets number their blocks in one row, and queries, keys and values lie interleaved, head by head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from einops import rearrange
from torch import Tensor

from .clip import CLIP, CLIPConfig
from .decoder import Decoder, DecoderConfig
from .layouts import check, read_tensors, rename
from .plan import Plan, plan
from .prior import DiffusionPrior, PriorConfig
from .unet import UNetConfig
from .upsampler import Upsampler, UpsamplerConfig

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


# ---- names: (regular expression in theirs, what it becomes in ours), applied from top to bottom ----

CLIP_NAMES = [
    (r"^transformer", "text.transformer"),
    (r"^token_embedding", "text.words"),
    (r"^positional_embedding", "text.positions"),
    (r"^ln_final", "text.norm_out"),
    (r"^text_projection", "text.project.weight.T"),  # .T: they multiply from the other side
    (r"^logit_scale", "log_scale"),
    (r"^visual", "image"),
    (r"class_embedding", "class_token"),
    (r"positional_embedding", "positions"),
    (r"conv1", "patches"),
    (r"ln_pre", "norm_in"),
    (r"ln_post", "norm_out"),
    (r"^image\.proj$", "image.project.weight.T"),
    (r"resblocks", "blocks"),
    (r"attn\.in_proj_", "attention.qkv."),
    (r"attn\.out_proj", "attention.out"),
    (r"ln_([12])", r"norm_\1"),
    (r"mlp\.c_fc", "mlp.0"),
    (r"mlp\.c_proj", "mlp.2"),
]
STATISTICS = [(r"^0$", "mean"), (r"^1$", "std")]
PRIOR = [
    (r"^model\.", ""),
    (r"^time_embed", "time"),
    (r"^clip_img_proj", "z_in"),
    (r"^text_emb_proj", "embed_in"),
    (r"^text_enc_proj", "tokens_in"),
    (r"^positional_embedding", "positions"),
    (r"^prd_emb", "query"),
    (r"resblocks", "blocks"),
    (r"attn\.c_qkv", "attention.qkv"),
    (r"attn\.c_proj", "attention.out"),
    (r"ln_([12])", r"norm_\1"),
    (r"mlp\.c_fc", "mlp.0"),
    (r"mlp\.c_proj", "mlp.2"),
    (r"^final_ln", "norm_out"),
    (r"^out_proj", "z_out"),
]
PROJECTIONS = [
    (r"^model\.text_feat_proj", "text_to_time"),
    (r"^model\.clip_emb", "z_to_time"),
    (r"^model\.clip_tok_proj", "z_to_tokens"),
    (r"^model\.text_seq_proj\.0", "text_to_tokens"),
    (r"^model\.text_seq_proj\.1", "text_norm"),
    (r"^model\.cf_param", "null_z"),
]
BLOCKS = [
    (r"in_layers\.0", "norm1"),
    (r"in_layers\.2", "conv1"),
    (r"emb_layers\.1", "time"),
    (r"out_layers\.0", "norm2"),
    (r"out_layers\.3", "conv2"),
    (r"skip_connection", "skip"),
    (r"encoder_kv", "context_kv"),
    (r"proj_out", "out"),
]


def unet_names(config: UNetConfig, theirs: str, ours: str) -> list[tuple[str, str]]:
    """The table for a U-Net whose names begin with `theirs`: its blocks stand in one row down and one row up.

    Each place of a row holds a ResBlock, then its attention if there is one. Halving the side takes a place of
    its own; doubling it comes last in the place of the ResBlock before.
    """
    places = {"time_embed": "time", "input_blocks.0.0": "conv_in", "out.0": "norm_out", "out.2": "conv_out"}
    middle = ["blocks.0", "attentions.0", "blocks.1"] if config.attention else ["blocks.0", "blocks.1"]
    places |= {f"middle_block.{i}": f"middle.{part}" for i, part in enumerate(middle)}
    levels = len(config.mults)
    for level in range(levels):                          # the finest on the way down, the coarsest on the way up
        for i in range(config.blocks + 1):
            n = level * (config.blocks + 1) + i
            halves = i == config.blocks
            places[f"input_blocks.{n + 1}.0"] = f"down.{level}.resample" if halves else f"down.{level}.blocks.{i}"
            places[f"input_blocks.{n + 1}.1"] = f"down.{level}.attentions.{i}"
            places[f"output_blocks.{n}.0"] = f"up.{level}.blocks.{i}"
            places[f"output_blocks.{n}.1"] = f"up.{level}.attentions.{i}"
        attended = levels - 1 - level in config.attention
        places[f"output_blocks.{n}.{2 if attended else 1}"] = f"up.{level}.resample"
    exact = {place.replace(".", r"\."): part for place, part in places.items()}
    return [(rf"^{theirs}\.{place}\.", f"{ours}.{part}.") for place, part in exact.items()] + BLOCKS


# ---- tensors ----

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
    """A file of the original release and the table for its names; `layouts.Source` is the same for safetensors.

    head_width: queries, keys and values are interleaved in pieces of so many rows; None: they are not.
    """

    path: Path
    names: list[tuple[str, str]]
    head_width: int | None = None

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All of them, left in the file until they are used."""
        return read_tensors(self.path)

    def find(self, expected: dict[str, tuple[int, ...]]) -> dict[str, Piece]:
        """Our name -> the piece of theirs, for every tensor of the file, its shape checked."""
        found = {}
        for name, ours in rename(self.path, self.tensors, self.names).items():
            pieces = pieces_of(name, ours)
            shape, (first, piece) = None, next(iter(pieces.items()))
            if first in expected:
                shape = expected[first]
                shape = (piece.parts * shape[0], *shape[1:]) if piece.parts > 1 else shape
            check(self.path, name, tuple(oriented(self.tensors[name], piece).shape), shape)
            found |= pieces
        return found

    def tensor(self, piece: Piece, device="cpu") -> Tensor:
        """[q k v of head 0 | q k v of head 1 | ...] along the rows -> q, k or v, with all heads."""
        tensor = oriented(self.tensors[piece.name], piece)
        if piece.parts > 1:
            rows = self.head_width or len(tensor) // piece.parts        # None: as if there were one head
            tensor = rearrange(tensor, "(head part row) ... -> part head row ...", part=piece.parts, row=rows)
            tensor = tensor[piece.part].flatten(0, 1)
        return tensor.contiguous().to(device)


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


# ---- loading ----


def is_original(folder: Path) -> bool:
    return any(folder.glob(FILES["decoder"]))


def plan_original(folder: Path, sizes: Sizes = DEFAULT) -> dict[str, Plan | None]:
    """By stage: where its weights lie, or None for a prior that is not there.

    The weights draw the same pictures as in the other layout: the prior's clip is 5 there and here (the makers'
    own code clips at 10). Raises ValueError for a file or a tensor that is missing, damaged or too many.
    """
    has_prior = any(folder.glob(FILES["prior"]))
    return {
        "clip": plan(CLIP, sizes.clip, [Checkpoint(find(folder, "clip"), CLIP_NAMES)]),
        "prior": plan_prior(folder, sizes.prior) if has_prior else None,
        "decoder": plan_decoder(folder, sizes.decoder),
        "upsampler": plan_upsampler(folder, sizes.upsampler),
    }


def plan_prior(folder: Path, config: PriorConfig) -> Plan:
    """The statistics of the image embeddings have a file of their own."""
    network = Checkpoint(find(folder, "prior"), PRIOR, config.width // config.heads)
    return plan(DiffusionPrior, config, [network, Checkpoint(find(folder, "statistics"), STATISTICS)])


def plan_decoder(folder: Path, config: DecoderConfig) -> Plan:
    names = PROJECTIONS + unet_names(config.unet, "model", "unet")
    return plan(Decoder, config, [Checkpoint(find(folder, "decoder"), names, config.unet.head_width)])


def plan_upsampler(folder: Path, config: UpsamplerConfig) -> Plan:
    """Both U-Nets lie in one file."""
    first = unet_names(config.unet, "model_first_steps", "unet")
    last = unet_names(config.unet, "model_last_step", "last_unet")
    return plan(Upsampler, config, [Checkpoint(find(folder, "upsampler"), first + last)])


def find(folder: Path, part: str) -> Path:
    files = sorted(folder.glob(FILES[part]))
    if len(files) != 1:
        raise ValueError(f"{folder} has {len(files)} files {FILES[part]}: the {part} must be there, once")
    return files[0]
