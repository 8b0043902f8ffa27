"""OpenAI's ViT-L/14, the CLIP whose z_i and z_t Karlo knows, with both of its encoders.

Karlo's folder holds one half of it, the text encoder. To start from a picture of one's own takes the other:

    cascade = minunclip.load("karlo")
    cascade.clip = load_openai_clip()
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..clip import CLIP, CLIPConfig
from .checkpoint import Checkpoint
from .kakao_checkpoints import CLIP_NAMES
from .lazy import LazyStage
from .names import Part
from .trouble import cause

NAME, TRAINING = "ViT-L-14-quickgelu", "openai"  # what open_clip calls it


def load_openai_clip(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, config: CLIPConfig | None = None
) -> CLIP:
    """Both encoders, in evaluation mode. open_clip fetches the weights once (428 million numbers).

    config: for other weights of this layout. Raises ConnectionError if they are neither cached nor reachable.
    """
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg  # seconds, and only needed here

    try:
        path = Path(download_pretrained(get_pretrained_cfg(NAME, TRAINING)))
    except (OSError, RuntimeError) as error:
        raise ConnectionError(f"cannot download OpenAI's {NAME}, the CLIP with both encoders, which open_clip keeps "
                              f"in its cache: {cause(error)}") from None  # fmt: skip
    part = Part(CLIP, config or CLIPConfig(), [Checkpoint(path, CLIP_NAMES)])
    return LazyStage.of(part).load(device, dtype)
