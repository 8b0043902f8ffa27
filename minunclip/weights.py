"""Put a whole cascade together from weight files."""

from __future__ import annotations

import difflib
from pathlib import Path

import torch

from .clip import CLIP
from .decoder import Decoder
from .download import RELEASES, release_of
from .prior import DiffusionPrior
from .stage import SHIPPED, verify, weights_folder
from .unclip import UnCLIP
from .upsampler import Upsampler


def load_cascade(
    name: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, memory: str = "auto"
) -> UnCLIP:
    """The cascade of a name or a folder, in evaluation mode. Raises ValueError for one that is not known.

    memory: see `memory`; shipped weights are a few megabytes and always resident.
    """
    name = str(name)
    if name in SHIPPED:
        return load_shipped(name, device, dtype)
    if release_of(name) or Path(name).is_dir():
        from .released import load_released

        return load_released(name, device, dtype, memory)
    known = [*SHIPPED, *RELEASES, *(release.repository for release in RELEASES.values())]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "try 'scenes', 'karlo' or the path of a folder"
    raise ValueError(f"there is no model {name!r}: {hint}")


def load_shipped(name: str, device: str | torch.device, dtype: torch.dtype) -> UnCLIP:
    """A cascade that came with this library: one file for each stage."""
    folder = weights_folder(name)
    upsamplers = sorted(folder.glob("upsampler-*.safetensors"))
    for path in upsamplers:
        verify(path)
    return UnCLIP(
        CLIP.from_pretrained(name, device).to(dtype),
        DiffusionPrior.from_pretrained(name, device).to(dtype),
        Decoder.from_pretrained(name, device).to(dtype),
        [Upsampler.from_pretrained(path, device).to(dtype) for path in upsamplers],
    )
