"""A cascade of released weights, which needs less memory when there is less than it seemed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch

from ..common import Stream, free_on, free_ram, out_of_memory, streamed
from ..unclip import Progress, UnCLIP
from .lazy import LazyStage
from .offload import OneAtATime, free_unused


class FallbackWarning(UserWarning):
    """Memory ran out, and the cascade goes on in a mode that takes less."""


class Released(UnCLIP):
    """An UnCLIP of stages whose weights can come and go. `memory` is the mode that it is in, see `offload`.

    A stage that runs out of memory is drawn once more, in the next mode that needs less. It draws the same.
    """

    def __init__(
        self, stages: dict[str, LazyStage | None], mode: str, device: str | torch.device, dtype: torch.dtype, *,
        decoder=None,
    ):  # fmt: skip
        """decoder: one that is none of these stages, and looks after its own weights."""
        self.lazy = [stage for stage in stages.values() if stage]
        self.loader = OneAtATime(mode, device, dtype)
        parts = {name: stage.stage for name, stage in stages.items() if stage}
        upsamplers = [parts["upsampler"]] if "upsampler" in parts else []
        super().__init__(parts["clip"], parts.get("prior"), decoder or parts["decoder"], upsamplers)
        try:
            self.place(mode)
            return
        except (RuntimeError, MemoryError) as error:
            if mode == "disk" or not out_of_memory(error):
                raise
        self.fall_back()                                                # here, where the error holds no tensor any more

    # -- the mode --------------------------------------------------------------------------------------------

    def place(self, mode: str) -> None:
        """Bring the weights to where the mode has them."""
        self.loader.end()
        self.memory, self.loader = mode, OneAtATime(mode, self.loader.device, self.loader.dtype)
        for stage in self.lazy:
            if mode == "resident":
                stage.load(self.loader.device, self.loader.dtype)
            else:
                self.loader.load(stage)
        free_unused(self.loader.device)

    def smaller_mode(self) -> str | None:
        """The next mode that takes less where memory ran out: in RAM only if it has room, else in the files."""
        if self.memory == "disk":
            return None
        size = sum(sum(stage.sizes(self.loader.dtype).values()) for stage in self.lazy)
        fits = self.loader.device.type == "cuda" and self.memory == "resident" and size < free_ram()
        return "offload" if fits else "disk"

    def fall_back(self) -> None:
        """Go on in the next mode, and say so in a line."""
        mode = self.smaller_mode()
        warnings.warn(f"the memory ran out with the weights {self.memory}: once more with {mode}, which takes less "
                      "and longer", FallbackWarning, stacklevel=3)  # fmt: skip
        self.place(mode)

    def make_room(self, size: int) -> bool:
        """Leave the device to another model of so many bytes, unless there is room for both; whether it had to."""
        if free_on(self.loader.device) >= size:
            return False
        if self.memory == "resident":
            self.place(self.smaller_mode())
        self.loader.rest()
        return True

    # -- the stages ------------------------------------------------------------------------------------------

    @streamed
    def embed(self, *given, **how) -> Stream:
        return (yield from self.rescued(super().embed, given, how))

    @streamed
    def decode(self, *given, **how) -> Stream:
        return (yield from self.rescued(super().decode, given, how))

    @streamed
    def upsample(self, *given, **how) -> Stream:
        return (yield from self.rescued(super().upsample, given, how))

    def rescued(self, stage: Callable[..., Stream], given: tuple, how: dict) -> Iterator[Progress]:
        """A stage, and once more from its start if memory runs out; what was told of it is not told again."""
        told = 0
        for last in (False, True):
            stream = stage(*given, **how)
            try:
                for progress in stream:
                    if progress.done > told:
                        told = progress.done
                        yield progress
                return stream.result
            except (RuntimeError, MemoryError) as error:
                if last or self.memory == "disk" or not out_of_memory(error):
                    raise
            del stream                                                  # and with it what the stage had computed
            self.fall_back()
