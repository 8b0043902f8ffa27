"""A model of another library that is loaded at its first use, when the cascade may have to make room for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .offload import free_unused
from .released import Released


class Late:
    """Such a model. `model` is None until it is used.

    If the device has no room for it beside the cascade, the networks of the cascade leave first, and then it leaves, so
    that the next pictures find the device as they want it.
    """

    def __init__(self, load: Callable[[], nn.Module], size: int, device: torch.device):
        """size: bytes that it takes, with what it computes."""
        self.load, self.size, self.device = load, size, device
        self.model: nn.Module | None = None

    @contextmanager
    def here(self, cascade) -> Iterator[nn.Module]:
        """The model, loaded. cascade: the one that it works for."""
        short = self.model is None and isinstance(cascade, Released) and cascade.make_room(self.size)
        if self.model is None:
            self.model = self.load()
        try:
            yield self.model
        finally:
            if short:
                self.model = None
                free_unused(self.device)
