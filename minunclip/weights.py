"""Put a whole cascade together from weight files."""

from __future__ import annotations

import difflib

import torch

from .clip import CLIP
from .decoder import Decoder
from .prior import DiffusionPrior
from .stage import SHIPPED, verify, weights_folder
from .unclip import UnCLIP
from .upsampler import Upsampler


def load_cascade(name: str, device: str | torch.device = "cpu") -> UnCLIP:
    """The cascade of a name, float32, in evaluation mode. Raises ValueError for a name that is not known."""
    if name not in SHIPPED:
        near = difflib.get_close_matches(name, SHIPPED, n=1, cutoff=0.4)
        raise ValueError(f"there is no model {name!r}: " + (f"did you mean {near[0]!r}?" if near else "try 'scenes'"))
    folder = weights_folder(name)
    upsamplers = sorted(folder.glob("upsampler-*.safetensors"))
    for path in upsamplers:
        verify(path)
    return UnCLIP(
        CLIP.from_pretrained(name, device),
        DiffusionPrior.from_pretrained(name, device),
        Decoder.from_pretrained(name, device),
        [Upsampler.from_pretrained(path, device) for path in upsamplers],
    )
