"""minunclip: learn how DALL·E 2 works by building it.

    cascade = minunclip.load("scenes")                          the model trained here; or "karlo", or a folder
    drawing = cascade.sample(["a big red circle"], seed=0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from .unclip import UnCLIP


def load(
    name: str = "scenes", device: str | torch.device = "cpu", dtype: torch.dtype | None = None, memory: str = "auto",
    *, prior: str | Path | None = None,
) -> UnCLIP:  # fmt: skip
    """A trained cascade, ready to draw, in evaluation mode.

    name     "scenes", which came with this package; "karlo", fetched at the first call (13.7 GB, of which 6.8 stay: see
             `minunclip fetch`); or a folder of weight files: those that `minunclip train` wrote, or a released model in
             Karlo's layout
    dtype    of the networks, float32 by default
    memory   of released models: "resident" on the device, "offload" in RAM or "disk" in their files until their stage
             runs, or "auto", the fastest for which there is room. All draw the same picture.
    prior    a weight file that `minunclip train prior` wrote, in the place of the model's own
    Raises ValueError for a name that is not known or weights that do not fit, OSError for a failed download, and
    MemoryError if there is no room.
    """
    import torch  # here, not above: `import minunclip` stays quick, and no file of the paper's knows of weight files

    from .pretrained import load

    return load(name, device, dtype or torch.float32, memory, prior=prior)
