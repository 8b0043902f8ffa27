"""A stage whose weights lie in their files until it runs.

They are found before any of them is read. So what does not fit is an error at once, the memory that a stage takes is
known beforehand, and its networks can be read one at a time, when they are needed (see `offload`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..common import Stage
from .names import Part, Source, fuse_qkv, split_qkv

NETWORKS = ("text", "image", "transformer", "unet", "last_unet")  # the children of a stage that are large


def network_of(name: str) -> str:
    """The network that a weight of this name belongs to; "" for the little that a stage has besides."""
    first = name.split(".")[0]
    return first if first in NETWORKS else ""


@dataclass(frozen=True)
class LazyStage:
    """A stage that has no memory yet, and where its weights lie."""

    stage: Stage
    files: list[tuple[Source, dict[str, str]]]      # each file, and for our names those in it
    given: dict[str, Tensor]                        # weights that no file has

    @classmethod
    def of(cls, part: Part) -> LazyStage:
        """Build the stage without memory, and find every weight of it in the files of its description.

        Raises ValueError for a file that is missing or damaged, and names a tensor that is missing, misshapen or too
        many.
        """
        with Weightless():
            stage = part.stage_class(part.config)
        expected = split_qkv({name: tuple(tensor.shape) for name, tensor in stage.state_dict().items()})
        files = [(source, source.find(expected)) for source in part.sources]
        check_whole(part, expected, found=set(part.given).union(*(names for _, names in files)))
        return cls(stage.requires_grad_(False).eval(), files, part.given)

    @property
    def networks(self) -> list[str]:
        return [name for name in NETWORKS if getattr(self.stage, name, None) is not None]

    @property
    def wide(self) -> bool:
        """True for a U-Net of many channels. With channels last PyTorch's GroupNorm adds up less exactly: in float32
        that moves a narrow network by 1e-5, and Karlo's by 3e-6."""
        unet = getattr(self.stage.config, "unet", None)
        return unet is not None and unet.channels >= 64

    def sizes(self, dtype: torch.dtype) -> dict[str, int]:
        """Bytes by network."""
        sizes = dict.fromkeys(["", *self.networks], 0)
        for name, tensor in self.stage.state_dict().items():
            sizes[network_of(name)] += tensor.numel() * dtype.itemsize
        return sizes

    def read(self, network: str | None = None, device="cpu", dtype=torch.float32) -> dict[str, Tensor]:
        """The weights of one network, or by default all, each straight to the device and the dtype.

        They are copies: what becomes of the files later does not touch them.
        """
        state = {name: tensor.to(device, dtype) for name, tensor in self.given.items() if network in (None, "")}
        for source, names in self.files:
            wanted = {ours: theirs for ours, theirs in names.items() if network in (None, network_of(ours))}
            if not wanted:
                continue
            with source.reading(device) as tensor:
                for ours, theirs in wanted.items():
                    weight = tensor(theirs).to(dtype)
                    state[ours] = channels_last(weight) if dtype.itemsize <= 2 or self.wide else weight
        return fuse_qkv(state)

    def load(self, device="cpu", dtype=torch.float32) -> Stage:
        """The stage with all of its weights, in evaluation mode."""
        fill(self.stage, self.read(None, device, dtype))
        return self.stage


def check_whole(part: Part, expected: dict[str, tuple[int, ...]], found: set[str]) -> None:
    """Raises ValueError if a tensor that the stage expects was not found."""
    if missing := [name for name in expected if name not in found]:
        files = " and ".join(str(source.path) for source in part.sources)
        raise ValueError(f"{files}: {len(missing)} tensors are missing, the first is what we call {missing[0]!r}: "
                         "the file is not whole, or its config is of another model")  # fmt: skip


def channels_last(tensor: Tensor) -> Tensor:
    """The weights of a convolution with their channels last, which is quicker (not on Apple's GPU); others as they are.

    The pictures that it computes follow the weights.
    """
    if tensor.ndim != 4 or tensor.device.type == "mps":
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last)


def fill(stage: Stage, weights: dict[str, Tensor]) -> None:
    """Put these tensors, not copies of them, in the places of some of the stage's weights."""
    stage.load_state_dict(weights, strict=False, assign=True)


class Weightless(TorchFunctionMode):
    """Within it layers are built without memory for their weights ("meta"), and no random numbers are drawn.

    `torch.device("meta")` does that too, but imports PyTorch's compiler for it: seconds, and 150 MB.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, function.__name__
        if name.endswith("_") and not name.startswith("__"):            # in place: a layer sets its first weights
            return args[0] if args else kwargs["tensor"]
        if function in (torch.empty, torch.randn):                      # what layers ask for
            return torch.empty(*args, **{**kwargs, "device": "meta"})
        return function(*args, **kwargs)
