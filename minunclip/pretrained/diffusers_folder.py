"""The layout of Karlo (Kakao Brain 2022), an open unCLIP, and of its relatives, as diffusers and transformers read it.

A released cascade is a folder of folders, one for each network, each with a config.json and one safetensors file. The
networks are the ones of this library under other names. This file describes such a folder, `folder_configs` reads its
configs, and `cascade` loads it.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..clip import CLIP
from ..decoder import Decoder
from ..prior import DiffusionPrior
from ..upsampler import Upsampler
from .folder_configs import clip_config, decoder_config, prior_config, upsampler_config
from .names import Part, Source, Table
from .weight_files import weights_in

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

    Raises ValueError for a config.json that is missing or damaged, or that asks for a network which we cannot build,
    and for weights that are missing.
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
    sources = [Source(weights_in(folder / "text_encoder", TRANSFORMERS), CLIP_TEXT, "text.")]
    if config.image_layers:
        sources.append(Source(weights_in(folder / "image_encoder", TRANSFORMERS), CLIP_IMAGE, "image."))
    # The temperature of the contrastive loss is not in these files: OpenAI's training ended at its limit, 100.
    return Part(CLIP, config, sources, given={"log_scale": torch.tensor(100.0).log()})


def prior_part(folder: Path) -> Part:
    """The prior of Karlo's layout or of Kandinsky's: the width and the clip range are read from its configs."""
    return Part(DiffusionPrior, prior_config(folder), [Source(weights_in(folder / "prior", DIFFUSERS), PRIOR)])


def decoder_part(folder: Path) -> Part:
    """The U-Net, and the layers that make z_i and the caption ready for it."""
    config = decoder_config(folder)
    sources = [Source(weights_in(folder / "text_proj", DIFFUSERS), PROJECTIONS),
               Source(weights_in(folder / "decoder", DIFFUSERS), UNET, "unet.")]  # fmt: skip
    return Part(Decoder, config, sources)


def upsampler_part(folder: Path, low_size: int) -> Part:
    """One upsampler of two U-Nets, the second for the last step. low_size: side of the pictures that it enlarges."""
    config = upsampler_config(folder, low_size)
    sources = [Source(weights_in(folder / "super_res_first", DIFFUSERS), UNET, "unet."),
               Source(weights_in(folder / "super_res_last", DIFFUSERS), UNET, "last_unet.")]  # fmt: skip
    return Part(Upsampler, config, sources)
