"""Released weights in our modules: Karlo (Kakao Brain 2022), an open unCLIP, and its relatives.

A released cascade is a folder of folders, one for each network, each with a config.json and one safetensors
file. The networks are the ones of this library under other names: `layouts` translates them.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch

from .clip import CLIP, CLIPConfig
from .decoder import Decoder, DecoderConfig
from .diffusion import DiffusionConfig
from .download import fetch, release_of
from .layouts import CLIP_IMAGE, CLIP_TEXT, PRIOR, PROJECTIONS, UNET, Source
from .memory import OneAtATime, choose, keep_freed_memory
from .original import is_original, plan_original
from .plan import Plan, plan
from .prior import DiffusionPrior, PriorConfig
from .unclip import Settings, UnCLIP
from .unet import UNetConfig
from .upsampler import Upsampler, UpsamplerConfig

KARLO = Settings(
    prior_steps=25, prior_guidance=4.0, candidates=1, decoder_steps=25, decoder_guidance=8.0,
    upsampler_steps=(7,), sampler="ddpm",
)  # fmt: skip
FEATURE_MAPS = 20  # of the upsampler's finest level: the memory that its U-Net takes while it runs

# ---- configs: what their config.json says, in our words ----


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


def diffusion_config(folder: Path) -> DiffusionConfig:
    v = read_config(folder / "scheduler_config.json", beta_schedule="squaredcos_cap_v2")
    return DiffusionConfig(
        steps=v.get("num_train_timesteps", 1000),
        target={"epsilon": "eps", "sample": "x0"}[v.get("prediction_type", "epsilon")],
        learned_variance=v.get("variance_type") == "learned_range",
        clip=v.get("clip_sample_range", 1.0) if v.get("clip_sample", True) else None,
    )


def prior_config(folder: Path) -> PriorConfig:
    """Of Karlo's prior, and of Kandinsky's, whose scheduler lies in `scheduler`."""
    v = read_config(
        folder / "prior" / "config.json", additional_embeddings=4, time_embed_act_fn="silu", norm_in_type=None,
        embedding_proj_norm_type=None, encoder_hid_proj_type="linear", added_emb_type="prd", time_embed_dim=None,
        embedding_proj_dim=None, clip_embed_dim=None,
    )  # fmt: skip
    z_width, heads = v.get("embedding_dim", 768), v.get("num_attention_heads", 32)
    own = folder / "prior_scheduler"
    return PriorConfig(
        z_width=z_width, text_width=z_width, context=v.get("num_embeddings", 77), layers=v.get("num_layers", 20),
        width=heads * v.get("attention_head_dim", 64), heads=heads,
        diffusion=diffusion_config(own if own.is_dir() else folder / "scheduler"),
    )  # fmt: skip


def clip_config(folder: Path) -> CLIPConfig:
    """image_layers is 0, and so there is no image encoder, if the folder has none."""
    t = read_config(folder / "text_encoder" / "config.json", layer_norm_eps=1e-5, vocab_size=49408)
    has_image = (folder / "image_encoder").is_dir()
    activation = t.get("hidden_act", "quick_gelu")
    v = read_config(folder / "image_encoder" / "config.json", layer_norm_eps=1e-5) if has_image else {}
    if v.get("hidden_act", "quick_gelu") != activation and has_image:
        raise ValueError(f"{folder}: image_encoder and text_encoder have different activations (hidden_act)")
    return CLIPConfig(
        embed_width=t.get("projection_dim", 512), context=t.get("max_position_embeddings", 77),
        text_width=t.get("hidden_size", 512), text_layers=t.get("num_hidden_layers", 12),
        text_heads=t.get("num_attention_heads", 8), activation=activation,
        image_size=v.get("image_size", 224), patch=v.get("patch_size", 32), image_width=v.get("hidden_size", 768),
        image_layers=v.get("num_hidden_layers", 12) if has_image else 0,
        image_heads=v.get("num_attention_heads", 12),
    )  # fmt: skip


def unet_config(path: Path, v: dict) -> UNetConfig:
    widths = v["block_out_channels"]
    attention = tuple(i for i, kind in enumerate(v["down_block_types"]) if kind == "SimpleCrossAttnDownBlock2D")
    unknown = {*v["down_block_types"]} - {"ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"}
    if unknown or any(width % widths[0] for width in widths):
        raise ValueError(f"{path}: minunclip has no such U-Net, block_out_channels {widths}, blocks {sorted(unknown)}")
    return UNetConfig(
        in_channels=v["in_channels"], out_channels=v["out_channels"], channels=widths[0],
        mults=tuple(width // widths[0] for width in widths), blocks=v.get("layers_per_block", 2),
        attention=attention, head_width=v.get("attention_head_dim") or 8,
        context_width=v.get("cross_attention_dim"), film=v.get("resnet_time_scale_shift") == "scale_shift",
        groups=v.get("norm_num_groups", 32),
    )  # fmt: skip


FIXED = {"norm_eps": 1e-5, "act_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0}


def decoder_config(folder: Path) -> DecoderConfig:
    path = folder / "decoder" / "config.json"
    v = read_config(path, class_embed_type="identity", only_cross_attention=False, **FIXED,
                    mid_block_type="UNetMidBlock2DSimpleCrossAttn")  # fmt: skip
    p = read_config(folder / "text_proj" / "config.json")
    z_width = p.get("clip_embeddings_dim", 768)
    return DecoderConfig(
        unet=unet_config(path, v), size=v["sample_size"], z_width=z_width, text_width=z_width,
        extra_tokens=p.get("clip_extra_context_tokens", 4), diffusion=diffusion_config(folder / "decoder_scheduler"),
    )  # fmt: skip


def upsampler_config(folder: Path, low_size: int) -> UpsamplerConfig:
    path = folder / "super_res_first" / "config.json"
    v = read_config(path, add_attention=False, **FIXED)
    return UpsamplerConfig(
        unet=unet_config(path, v), size=v["sample_size"], low_size=low_size, last_step_unet=True,
        diffusion=diffusion_config(folder / "super_res_scheduler"),
    )  # fmt: skip


# ---- loading ----


def load_released(name_or_folder: str | Path, device="cpu", dtype=torch.float32, memory: str = "auto") -> UnCLIP:
    """A released cascade, in evaluation mode, with the settings of its makers.

    name_or_folder: "karlo" or "kakaobrain/karlo-v1-alpha", downloaded at the first call (13.7 GB), or a folder of
    that layout or with its makers' own checkpoints. A folder without a prior, such as Karlo's image variations,
    gives a cascade without one.
    memory: "resident", "offload", "disk" (see `memory`), or "auto": the fastest of them that fits.
    Raises ValueError for weights that do not fit their config, OSError if they cannot be fetched, and MemoryError.
    """
    release = release_of(str(name_or_folder))
    folder = fetch(release) if release else Path(name_or_folder)
    plans = plan_cascade(folder)
    sizes = [size for p in plans.values() if p for size in p.sizes(dtype).values()]
    mode = choose(memory, sizes, working_memory(plans["upsampler"].stage.config, dtype), torch.device(device))
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    whole = partial(Plan.load, device=device, dtype=dtype)
    load = whole if mode == "resident" else OneAtATime(mode, device, dtype).load
    clip, prior, decoder, upsampler = (p and load(p) for p in plans.values())
    cascade = UnCLIP(clip, prior, decoder, [upsampler])
    cascade.settings, cascade.memory = KARLO, mode
    return cascade


def plan_cascade(folder: Path) -> dict[str, Plan | None]:
    """By stage: where its weights lie, or None for a prior that is not there."""
    if is_original(folder):
        return plan_original(folder)
    read_config(folder / "decoder" / "config.json")
    decoder = plan_decoder(folder)
    return {
        "clip": plan_clip(folder), "prior": plan_prior(folder) if (folder / "prior").is_dir() else None,
        "decoder": decoder, "upsampler": plan_upsampler(folder, decoder.stage.config.size),
    }  # fmt: skip


def working_memory(config: UpsamplerConfig, dtype: torch.dtype) -> int:
    """Bytes that drawing one picture takes besides the weights: most in the upsampler, at its finest level."""
    return FEATURE_MAPS * config.unet.channels * config.size**2 * dtype.itemsize


def plan_clip(folder: Path) -> Plan:
    """The text encoder, and the image encoder if the folder has one."""
    sources = [Source(folder / "text_encoder" / "model.safetensors", CLIP_TEXT, "text.")]
    config = clip_config(folder)
    if config.image_layers:
        sources.append(Source(folder / "image_encoder" / "model.safetensors", CLIP_IMAGE, "image."))
    # The temperature of the contrastive loss is not in these files: OpenAI's training ended at its limit, 100.
    return plan(CLIP, config, sources, log_scale=torch.tensor(100.0).log())


def plan_prior(folder: Path) -> Plan:
    """The prior of Karlo's layout or of Kandinsky's: the width and the clip range are read from its configs."""
    return plan(DiffusionPrior, prior_config(folder), [Source(weights(folder / "prior"), PRIOR)])


def plan_decoder(folder: Path) -> Plan:
    sources = [Source(weights(folder / "text_proj"), PROJECTIONS), Source(weights(folder / "decoder"), UNET, "unet.")]
    return plan(Decoder, decoder_config(folder), sources)


def plan_upsampler(folder: Path, low_size: int) -> Plan:
    """One upsampler of two U-Nets: the second is for the last step."""
    sources = [Source(weights(folder / "super_res_first"), UNET, "unet."),
               Source(weights(folder / "super_res_last"), UNET, "last_unet.")]  # fmt: skip
    return plan(Upsampler, upsampler_config(folder, low_size), sources)


def weights(folder: Path) -> Path:
    return folder / "diffusion_pytorch_model.safetensors"
