"""The layout of Karlo (Kakao Brain 2022), an open unCLIP, and of its relatives, as diffusers and transformers read it.

A released cascade is a folder of folders, one for each network, each with a config.json and one safetensors file. The
networks are the ones of this library under other names. This file describes such a folder; `cascade` loads it.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ..clip import CLIP, CLIPConfig
from ..decoder import Decoder, DecoderConfig
from ..diffusion import DiffusionConfig
from ..networks import UNetConfig
from ..prior import DiffusionPrior, PriorConfig
from ..upsampler import Upsampler, UpsamplerConfig
from .names import Part, Source, Table

# -- names: (theirs, ours), whole words between the dots of a tensor's name; `*` is any number ---------------

TIME: Table = [("time_embedding.linear_1", "time.0"), ("time_embedding.linear_2", "time.2")]
PRIOR: Table = TIME + [
    ("proj_in", "z_in"),
    ("embedding_proj", "embed_in"),
    ("encoder_hidden_states_proj", "tokens_in"),
    ("positional_embedding", "positions"),
    ("prd_embedding", "query"),
    ("transformer_blocks", "transformer.blocks"),
    ("attn1.to_q", "attention.q"),
    ("attn1.to_k", "attention.k"),
    ("attn1.to_v", "attention.v"),
    ("attn1.to_out.0", "attention.out"),
    ("norm1", "norm_1"),
    ("norm3", "norm_2"),
    ("ff.net.0.proj", "mlp.0"),
    ("ff.net.2", "mlp.2"),
    ("proj_to_clip_embeddings", "z_out"),
    ("clip_mean", "mean"),
    ("clip_std", "std"),
]
CLIP_BLOCKS: Table = [
    ("self_attn.q_proj", "attention.q"),
    ("self_attn.k_proj", "attention.k"),
    ("self_attn.v_proj", "attention.v"),
    ("self_attn.out_proj", "attention.out"),
    ("layer_norm1", "norm_1"),
    ("layer_norm2", "norm_2"),
    ("mlp.fc1", "mlp.0"),
    ("mlp.fc2", "mlp.2"),
]
CLIP_TEXT: Table = CLIP_BLOCKS + [
    ("text_model.embeddings.token_embedding", "words"),
    ("text_model.embeddings.position_embedding.weight", "positions"),
    ("text_model.encoder.layers", "transformer.blocks"),
    ("text_model.final_layer_norm", "norm_out"),
    ("text_projection", "project"),
]
CLIP_IMAGE: Table = CLIP_BLOCKS + [
    ("vision_model.embeddings.class_embedding", "class_token"),
    ("vision_model.embeddings.patch_embedding", "patches"),
    ("vision_model.embeddings.position_embedding.weight", "positions"),
    ("vision_model.pre_layrnorm", "norm_in"),  # spelt so
    ("vision_model.encoder.layers", "transformer.blocks"),
    ("vision_model.post_layernorm", "norm_out"),
    ("visual_projection", "project"),
]
PROJECTIONS: Table = [
    ("embedding_proj", "text_to_time"),
    ("clip_image_embeddings_project_to_time_embeddings", "z_to_time"),
    ("clip_extra_context_tokens_proj", "z_to_tokens"),
    ("text_encoder_hidden_states_norm", "text_norm"),
    ("encoder_hidden_states_proj", "text_to_tokens"),
    ("learned_classifier_free_guidance_embeddings", "null_z"),
]
UNET: Table = TIME + [
    ("conv_norm_out", "norm_out"),
    ("down_blocks.*.downsamplers.0", "down.*.resample"),
    ("up_blocks.*.upsamplers.0", "up.*.resample"),
    ("down_blocks", "down"),
    ("up_blocks", "up"),
    ("mid_block", "middle"),
    ("resnets", "blocks"),
    ("time_emb_proj", "time"),
    ("conv_shortcut", "skip"),
    ("group_norm", "norm"),
    ("add_k_proj", "context_k"),
    ("add_v_proj", "context_v"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "out"),
]

# -- the stages ----------------------------------------------------------------------------------------------

TRANSFORMERS, DIFFUSERS = "model.safetensors", "diffusion_pytorch_model.safetensors"    # each library's file of weights


def parts(folder: Path) -> dict[str, Part | None]:
    """What the folder has, by stage. A folder of image variations has no prior: None.

    Raises ValueError for a config.json that is missing or damaged, or that asks for a network which we cannot build.
    """
    decoder = decoder_part(folder)                      # first: a folder without it is no cascade
    return {
        "clip": clip_part(folder),
        "prior": prior_part(folder) if (folder / "prior").is_dir() else None,
        "decoder": decoder,
        "upsampler": upsampler_part(folder, decoder.config.size),
    }


def clip_part(folder: Path) -> Part:
    """The text encoder, and the image encoder if the folder has one."""
    config = clip_config(folder)
    sources = [Source(folder / "text_encoder" / TRANSFORMERS, CLIP_TEXT, "text.")]
    if config.image_layers:
        sources.append(Source(folder / "image_encoder" / TRANSFORMERS, CLIP_IMAGE, "image."))
    # The temperature of the contrastive loss is not in these files: OpenAI's training ended at its limit, 100.
    return Part(CLIP, config, sources, given={"log_scale": torch.tensor(100.0).log()})


def prior_part(folder: Path) -> Part:
    """The prior of Karlo's layout or of Kandinsky's: the width and the clip range are read from its configs."""
    return Part(DiffusionPrior, prior_config(folder), [Source(folder / "prior" / DIFFUSERS, PRIOR)])


def decoder_part(folder: Path) -> Part:
    """The U-Net, and the layers that make z_i and the caption ready for it."""
    sources = [Source(folder / "text_proj" / DIFFUSERS, PROJECTIONS),
               Source(folder / "decoder" / DIFFUSERS, UNET, "unet.")]  # fmt: skip
    return Part(Decoder, decoder_config(folder), sources)


def upsampler_part(folder: Path, low_size: int) -> Part:
    """One upsampler of two U-Nets, the second for the last step. low_size: side of the pictures that it enlarges."""
    sources = [Source(folder / "super_res_first" / DIFFUSERS, UNET, "unet."),
               Source(folder / "super_res_last" / DIFFUSERS, UNET, "last_unet.")]  # fmt: skip
    return Part(Upsampler, upsampler_config(folder, low_size), sources)


# -- configs: what their config.json says, in our words ------------------------------------------------------


def clip_config(folder: Path) -> CLIPConfig:
    """image_layers is 0, and so there is no image encoder, if the folder has none."""
    text = read_config(folder / "text_encoder" / "config.json", layer_norm_eps=1e-5, vocab_size=49408)
    has_image = (folder / "image_encoder").is_dir()
    activation = text.get("hidden_act", "quick_gelu")
    image = read_config(folder / "image_encoder" / "config.json", layer_norm_eps=1e-5) if has_image else {}
    if has_image and image.get("hidden_act", "quick_gelu") != activation:
        raise ValueError(f"{folder}: image_encoder and text_encoder have different activations (hidden_act)")
    return CLIPConfig(
        embed_width=text.get("projection_dim", 512), context=text.get("max_position_embeddings", 77),
        text_width=text.get("hidden_size", 512), text_layers=text.get("num_hidden_layers", 12),
        text_heads=text.get("num_attention_heads", 8), activation=activation,
        image_size=image.get("image_size", 224), patch=image.get("patch_size", 32),
        image_width=image.get("hidden_size", 768), image_heads=image.get("num_attention_heads", 12),
        image_layers=image.get("num_hidden_layers", 12) if has_image else 0,
    )  # fmt: skip


def prior_config(folder: Path) -> PriorConfig:
    """Of Karlo's prior, and of Kandinsky's, whose scheduler lies in `scheduler`."""
    values = read_config(
        folder / "prior" / "config.json", additional_embeddings=4, time_embed_act_fn="silu", norm_in_type=None,
        embedding_proj_norm_type=None, encoder_hid_proj_type="linear", added_emb_type="prd", time_embed_dim=None,
        embedding_proj_dim=None, clip_embed_dim=None,
    )  # fmt: skip
    z_width, heads = values.get("embedding_dim", 768), values.get("num_attention_heads", 32)
    own = folder / "prior_scheduler"
    return PriorConfig(
        z_width=z_width, text_width=z_width, context=values.get("num_embeddings", 77),
        layers=values.get("num_layers", 20), width=heads * values.get("attention_head_dim", 64), heads=heads,
        diffusion=diffusion_config(own if own.is_dir() else folder / "scheduler"),
    )  # fmt: skip


FIXED = {"norm_eps": 1e-5, "act_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0}     # in every U-Net of ours


def decoder_config(folder: Path) -> DecoderConfig:
    path = folder / "decoder" / "config.json"
    values = read_config(path, class_embed_type="identity", only_cross_attention=False, **FIXED,
                         mid_block_type="UNetMidBlock2DSimpleCrossAttn")  # fmt: skip
    projections = read_config(folder / "text_proj" / "config.json")
    z_width = projections.get("clip_embeddings_dim", 768)
    return DecoderConfig(
        unet=unet_config(path, values), size=values["sample_size"], z_width=z_width, text_width=z_width,
        extra_tokens=projections.get("clip_extra_context_tokens", 4),
        diffusion=diffusion_config(folder / "decoder_scheduler"),
    )  # fmt: skip


def upsampler_config(folder: Path, low_size: int) -> UpsamplerConfig:
    path = folder / "super_res_first" / "config.json"
    values = read_config(path, add_attention=False, **FIXED)
    return UpsamplerConfig(
        unet=unet_config(path, values), size=values["sample_size"], low_size=low_size, last_step_unet=True,
        diffusion=diffusion_config(folder / "super_res_scheduler"),
    )  # fmt: skip


def unet_config(path: Path, values: dict) -> UNetConfig:
    widths, kinds = values["block_out_channels"], values["down_block_types"]
    unknown = {*kinds} - {"ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"}
    if unknown or any(width % widths[0] for width in widths):
        raise ValueError(f"{path}: minunclip has no such U-Net, block_out_channels {widths}, blocks {sorted(unknown)}")
    return UNetConfig(
        in_channels=values["in_channels"],
        out_channels=values["out_channels"],
        channels=widths[0],
        mults=tuple(width // widths[0] for width in widths),
        blocks=values.get("layers_per_block", 2),
        attention=tuple(level for level, kind in enumerate(kinds) if kind == "SimpleCrossAttnDownBlock2D"),
        head_width=values.get("attention_head_dim") or 8,
        context_width=values.get("cross_attention_dim"),
        film=values.get("resnet_time_scale_shift") == "scale_shift",
        groups=values.get("norm_num_groups", 32),
    )


def diffusion_config(folder: Path) -> DiffusionConfig:
    values = read_config(folder / "scheduler_config.json", beta_schedule="squaredcos_cap_v2")
    return DiffusionConfig(
        steps=values.get("num_train_timesteps", 1000),
        target={"epsilon": "eps", "sample": "x0"}[values.get("prediction_type", "epsilon")],
        learned_variance=values.get("variance_type") == "learned_range",
        clip=values.get("clip_sample_range", 1.0) if values.get("clip_sample", True) else None,
    )


def read_config(path: Path, **required) -> dict:
    """The values of a config.json. `required` are those that our networks cannot vary: absent, or just so."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: this folder is no released cascade, or only a part of one") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): fetch it again") from None
    for name, value in required.items():
        if values.get(name, value) != value:
            raise ValueError(f"{path}: {name} is {values[name]!r}, and minunclip can build {value!r} only")
    return values
