"""OpenAI's ViT-L/14, the CLIP whose z_i and z_t Karlo knows, with both of its encoders.

Karlo's folder holds one half of it, the text encoder. To start from a picture of one's own takes the other:

    cascade = UnCLIP.from_pretrained("karlo")
    cascade.clip = load_openai_clip()
"""

from __future__ import annotations

from pathlib import Path

import torch

from .clip import CLIP, CLIPConfig
from .original import CLIP_NAMES, Checkpoint
from .plan import plan

NAME, TRAINING = "ViT-L-14-quickgelu", "openai"  # open_clip's words


def load_openai_clip(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, config: CLIPConfig | None = None
) -> CLIP:
    """Both encoders, in evaluation mode. open_clip fetches the weights once (428 million numbers).

    config: for other weights of this layout. Raises ConnectionError if they are neither cached nor reachable.
    """
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg  # seconds, and only needed here

    try:
        path = Path(download_pretrained(get_pretrained_cfg(NAME, TRAINING)))
    except OSError as error:
        why = " ".join(str(error).split())[:200]
        raise ConnectionError(f"cannot download OpenAI's {NAME}, the CLIP with both encoders, which open_clip keeps "
                              f"in its cache: connect to the internet once ({why})") from None  # fmt: skip
    return plan(CLIP, config or CLIPConfig(), [Checkpoint(path, CLIP_NAMES)]).load(device, dtype)
