"""What the configs of a folder in Karlo's layout say, in our words: one config of ours for each stage.

Each function raises ValueError, in a line that names the file, for a config.json that is missing or damaged, or that
asks for a network which we cannot build.
"""

from __future__ import annotations

from pathlib import Path

from ..clip import CLIPConfig
from ..decoder import DecoderConfig
from ..diffusion import DiffusionConfig
from ..networks import UNetConfig
from ..prior import PriorConfig
from ..upsampler import UpsamplerConfig
from .config_file import DEEPEST, WIDEST, ConfigFile, made

EVERY_UNET = {"norm_eps": 1e-5, "act_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0}     # ours has them so
PLAIN, ATTENDING = "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"                      # levels of a U-Net
LARGEST = 4096              # the side of a picture


def clip_config(folder: Path) -> CLIPConfig:
    """image_layers is 0, and so there is no image encoder, if the folder has none."""
    text = ConfigFile.read(folder / "text_encoder" / "config.json", layer_norm_eps=1e-5, vocab_size=49408)
    width = text.whole("hidden_size", 512)
    image = image_settings(folder, text) if (folder / "image_encoder").is_dir() else {"image_layers": 0}
    return CLIPConfig(
        embed_width=text.whole("projection_dim", 512), context=text.whole("max_position_embeddings", 77),
        text_width=width, text_layers=text.whole("num_hidden_layers", 12, high=DEEPEST),
        text_heads=text.divisor("num_attention_heads", 8, of=width), activation=activation(text), **image,
    )  # fmt: skip


def image_settings(folder: Path, text: ConfigFile) -> dict:
    """Those of the image encoder."""
    file = ConfigFile.read(folder / "image_encoder" / "config.json", layer_norm_eps=1e-5)
    if activation(file) != activation(text):
        raise ValueError(f"{file.path} and {text.path} have different activations (hidden_act); minunclip has one")
    width, size = file.whole("hidden_size", 768), file.whole("image_size", 224, high=LARGEST)
    inner = file.whole("intermediate_size", 3072)
    return {
        "image_inner": None if inner == 4 * width else inner,
        "image_size": size, "patch": file.whole("patch_size", 32, high=size), "image_width": width,
        "image_heads": file.divisor("num_attention_heads", 12, of=width),
        "image_layers": file.whole("num_hidden_layers", 12, high=DEEPEST),
    }  # fmt: skip


def activation(file: ConfigFile) -> str:
    return file.choice("hidden_act", ("quick_gelu", "gelu"), "quick_gelu")


def prior_config(folder: Path) -> PriorConfig:
    """Of Karlo's prior, and of Kandinsky's, whose scheduler lies in `scheduler`."""
    file = ConfigFile.read(
        folder / "prior" / "config.json", additional_embeddings=4, time_embed_act_fn="silu", norm_in_type=None,
        embedding_proj_norm_type=None, encoder_hid_proj_type="linear", added_emb_type="prd", time_embed_dim=None,
        embedding_proj_dim=None, clip_embed_dim=None,
    )  # fmt: skip
    z_width, heads = file.whole("embedding_dim", 768), file.whole("num_attention_heads", 32, high=1024)
    own = folder / "prior_scheduler"
    scheduler = scheduler_file(own if own.is_dir() else folder / "scheduler")
    return PriorConfig(
        z_width=z_width, text_width=z_width, context=file.whole("num_embeddings", 77),
        layers=file.whole("num_layers", 20, high=DEEPEST), heads=heads,
        width=heads * file.whole("attention_head_dim", 64, high=1024), diffusion=diffusion_config(scheduler),
    )  # fmt: skip


def decoder_config(folder: Path) -> DecoderConfig:
    file = ConfigFile.read(folder / "decoder" / "config.json", class_embed_type="identity", **EVERY_UNET,
                           only_cross_attention=False, mid_block_type="UNetMidBlock2DSimpleCrossAttn")  # fmt: skip
    projections = ConfigFile.read(folder / "text_proj" / "config.json")
    scheduler = scheduler_file(folder / "decoder_scheduler")
    z_width, unet = projections.whole("clip_embeddings_dim", 768), unet_config(file)
    return made(
        DecoderConfig, file, scheduler, unet=unet, size=side(file, unet), z_width=z_width, text_width=z_width,
        extra_tokens=projections.whole("clip_extra_context_tokens", 4, high=1024),
        diffusion=diffusion_config(scheduler, can_learn_variance=True),
    )  # fmt: skip


def upsampler_config(folder: Path, low_size: int) -> UpsamplerConfig:
    """low_size: the side of the pictures that it enlarges, of which its own must be a multiple."""
    path = folder / "super_res_first" / "config.json"
    file = ConfigFile.read(path, add_attention=False, out_channels=3, **EVERY_UNET)
    scheduler, unet = scheduler_file(folder / "super_res_scheduler"), unet_config(file)
    size = side(file, unet)
    if size % low_size:
        raise ValueError(f"{file.path}: sample_size is {size}, no multiple of the {low_size} pixels that it enlarges")
    return made(UpsamplerConfig, file, unet=unet, size=size, low_size=low_size, last_step_unet=True,
                diffusion=diffusion_config(scheduler))  # fmt: skip


def side(file: ConfigFile, unet: UNetConfig) -> int:
    """The side of the pictures, which a U-Net halves between its levels."""
    size, halvings = file.whole("sample_size", high=LARGEST), len(unet.mults) - 1
    if size % 2**halvings:
        raise ValueError(f"{file.path}: sample_size is {size}, which its U-Net cannot halve {halvings} times")
    return size


def unet_config(file: ConfigFile) -> UNetConfig:
    widths = file.row("block_out_channels", lambda value: type(value) is int and 1 <= value <= WIDEST, "a width")
    kinds = file.row("down_block_types", lambda value: value in (PLAIN, ATTENDING), f"{PLAIN} or {ATTENDING}")
    if len(kinds) != len(widths) or any(width % widths[0] for width in widths):
        raise ValueError(f"{file.path}: minunclip has no U-Net with block_out_channels {widths} and "
                         f"{len(kinds)} down_block_types")  # fmt: skip
    return made(
        UNetConfig, file,
        in_channels=file.whole("in_channels"),
        out_channels=file.whole("out_channels"),
        channels=widths[0],
        mults=tuple(width // widths[0] for width in widths),
        blocks=file.whole("layers_per_block", 2, high=16),
        attention=tuple(level for level, kind in enumerate(kinds) if kind == ATTENDING),
        head_width=file.whole("attention_head_dim", None) or 8,
        context_width=file.whole("cross_attention_dim", None),
        film=file.choice("resnet_time_scale_shift", ("default", "scale_shift"), "default") == "scale_shift",
        groups=file.whole("norm_num_groups", 32),
    )  # fmt: skip


def scheduler_file(folder: Path) -> ConfigFile:
    return ConfigFile.read(folder / "scheduler_config.json", beta_schedule="squaredcos_cap_v2")


def diffusion_config(file: ConfigFile, *, can_learn_variance: bool = False) -> DiffusionConfig:
    """Only the decoder's network can have a variance that was learned."""
    variances = ("fixed_small_log", "fixed_small", *(["learned_range"] if can_learn_variance else []))
    target = file.choice("prediction_type", ("epsilon", "sample"), "epsilon")
    clip = file.number("clip_sample_range", 1.0, low=0.01, high=1000.0)
    return made(
        DiffusionConfig, file, steps=file.whole("num_train_timesteps", 1000, low=2, high=10_000),
        target={"epsilon": "eps", "sample": "x0"}[target], clip=clip if file.flag("clip_sample", True) else None,
        learned_variance=file.choice("variance_type", variances, "fixed_small_log") == "learned_range",
    )  # fmt: skip
