"""CLIPs that open_clip knows by name, with both of their encoders.

Karlo's folder holds one half of OpenAI's ViT-L/14, the text encoder. To start from a picture of one's own takes the
other:

    cascade = minunclip.load("karlo")
    cascade.clip = load_openai_clip()
"""

from __future__ import annotations

import difflib
from pathlib import Path

import torch

from ..clip import CLIP, CLIPConfig
from .checkpoint import Checkpoint
from .kakao_checkpoints import CLIP_NAMES
from .lazy import LazyStage
from .names import Part
from .trouble import cause

NAME, TRAINING = "ViT-L-14-quickgelu", "openai"  # what open_clip calls the CLIP of Karlo
WHOLE = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}               # the sizes that a plain model is told by
VISION = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"}
TEXT = {"context_length", "vocab_size", "width", "heads", "layers"}


def load_openai_clip(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, config: CLIPConfig | None = None
) -> CLIP:
    """Both encoders of OpenAI's ViT-L/14, in evaluation mode. open_clip fetches them once (428 million numbers).

    config: for other weights of this layout. Raises ConnectionError if they are neither cached nor reachable.
    """
    return load_open_clip(f"{NAME}/{TRAINING}", device, dtype, config)


def load_open_clip(
    name: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, config: CLIPConfig | None = None
) -> CLIP:
    """A CLIP by open_clip's names of the model and of its training, such as "ViT-B-32/laion2b_s34b_b79k".

    Raises ValueError for a name that open_clip does not have, or a model that is built otherwise than the paper's CLIP:
    a Vision Transformer and a causal Transformer. Raises ConnectionError if its weights cannot be fetched.
    """
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained  # takes seconds

    model, _, training = name.partition("/")
    about = get_pretrained_cfg(model, training)
    if not about:
        known = [f"{model}/{training}" for model, training in list_pretrained()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
        raise ValueError(f"open_clip has no CLIP {name!r}: choose MODEL/TRAINING, such as {' or '.join(near)}")
    config = config or config_of(model, about)
    try:
        path = Path(download_pretrained(about))
    except (OSError, RuntimeError) as error:
        raise ConnectionError(f"cannot download {name}, a CLIP with both encoders, which open_clip keeps in its cache: "
                              f"{cause(error)}") from None  # fmt: skip
    return LazyStage.of(Part(CLIP, config, [Checkpoint(path, CLIP_NAMES)])).load(device, dtype)


def config_of(model: str, about: dict) -> CLIPConfig:
    """The sizes of one of open_clip's models, and how its pictures are normalised."""
    from open_clip import get_model_config

    sizes = get_model_config(model)
    vision, text = sizes["vision_cfg"], sizes["text_cfg"]
    other = sorted({*vision} - VISION | {*text} - TEXT | {*sizes} - WHOLE)
    if other or not isinstance(vision["layers"], int):
        raise ValueError(f"{model} is built otherwise than the paper's CLIP ({', '.join(other) or 'a ResNet'}): take a "
                         "plain one, such as ViT-B-32, ViT-B-16, ViT-L-14 or ViT-H-14")  # fmt: skip
    inner = int(vision["width"] * vision.get("mlp_ratio", 4))
    quick = about.get("quick_gelu", False) or sizes.get("quick_gelu", False)
    return CLIPConfig(
        embed_width=sizes["embed_dim"], image_size=vision["image_size"], patch=vision["patch_size"],
        image_width=vision["width"], image_layers=vision["layers"],
        image_heads=vision["width"] // vision.get("head_width", 64),
        image_inner=None if inner == 4 * vision["width"] else inner,
        text_width=text["width"], text_layers=text["layers"], text_heads=text["heads"], context=text["context_length"],
        activation="quick_gelu" if quick else "gelu", mean=tuple(about["mean"]), std=tuple(about["std"]),
    )  # fmt: skip
