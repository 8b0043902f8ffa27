"""The x4 upscaler in little memory: its networks are loaded after the cascade has drawn and made room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..diffusion import Step
from .late import Late
from .upscaler import LATENT_CHANNELS, Upscaler, UpscalerConfig, add_to, checked_folder

PARAMETERS = 870e6                          # of its three networks together, about
DENOISING = 1.5e9                           # bytes that it takes besides, about, before it decodes


class LateUpscaler(Late):
    """What an Upscaler does, by one that is loaded at its first picture."""

    def __init__(self, load: Callable[[], Upscaler], config: UpscalerConfig, device: torch.device, dtype: torch.dtype):
        super().__init__(load, int(PARAMETERS * dtype.itemsize + DENOISING), device)
        self.config, self.cascade = config, None

    @classmethod
    def from_pretrained(
        cls, folder: str | Path | None = None, device="cpu", dtype=torch.float32, *, config=None
    ) -> LateUpscaler:  # fmt: skip
        """Like `Upscaler.from_pretrained`, whose errors it raises; but what is damaged is found when it is loaded."""
        place, config, device = checked_folder(folder, dtype), config or UpscalerConfig(), torch.device(device)

        def load() -> Upscaler:
            return Upscaler.from_pretrained(place, device, dtype, config=config)

        return cls(load, config, device, dtype)

    def add_to(self, cascade, steps: int = 75) -> None:
        """See `Upscaler.add_to`."""
        add_to(cascade, self, steps)
        self.cascade = cascade

    def noise_shape(self, low: Tensor) -> tuple[int, ...]:
        return len(low), 3 + LATENT_CHANNELS, *low.shape[2:]

    def stream(self, low: Tensor, noise: Iterable[Tensor], **how) -> Iterator[Step]:
        """See `Upscaler.stream`."""
        with self.here(self.cascade) as upscaler:
            yield from upscaler.stream(low, noise, **how)
