"""Where the weights of a released cascade lie while it draws.

    resident    all networks on the device: fastest
    offload     all in RAM, the one that runs on the GPU
    disk        all in their files, the one that runs on the device

The last two draw the same picture with room for one network. Nobody has to ask for it: a network's weights arrive
when its first layer is about to run, and leave when another network runs. Where memory runs out in one mode, a
`released.Released` cascade goes on in the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ..common import Stage, free_on, free_ram
from .lazy import LazyStage, fill, network_of

MODES = ("resident", "offload", "disk")  # fastest first

# -- the mode ------------------------------------------------------------------------------------------------


def choose(mode: str, sizes: list[int], working: int, device: torch.device) -> str:
    """The mode to use for networks of these sizes in bytes: the one asked for or, for "auto", the fastest that fits.

    working: bytes that computing takes besides the weights. Raises ValueError for a mode that does not exist, and
    MemoryError, with what would fit, for one that does not fit.
    """
    if mode not in ("auto", *MODES):
        raise ValueError(f"there is no memory mode {mode!r}: choose one of auto, {', '.join(MODES)}")
    all_of_it, one_network = sum(sizes) + working, max(sizes) + working
    # A CPU has nothing to offload from: its memory is the RAM.
    offload = (one_network, sum(sizes)) if device.type == "cuda" else (all_of_it, 0)
    needs = {"resident": (all_of_it, 0), "offload": offload, "disk": (one_network, 0)}  # on the device, and in RAM
    free = free_on(device), free_ram()
    fitting = [m for m in MODES if needs[m][0] <= free[0] and needs[m][1] <= free[1]]
    if mode == "auto" and fitting:
        return fitting[0]
    if mode in fitting:
        return mode
    raise MemoryError(too_little(mode, needs=needs, free=free, fitting=fitting, device=device))


def too_little(
    mode: str, *, needs: dict[str, tuple[int, int]], free: tuple[int, int], fitting: list[str], device: torch.device
) -> str:
    """The message: what it takes, what there is, and what to do."""
    place = "of GPU memory" if device.type == "cuda" else "of RAM"
    wanted = "disk" if mode == "auto" else mode

    def amounts(on_device: int, in_ram: int) -> str:
        ram = f" and {in_ram / 1e9:.1f} GB of RAM" if needs[wanted][1] else ""
        return f"{on_device / 1e9:.1f} GB {place}{ram}"

    if fitting:
        advice = f"the mode {fitting[0]!r} would fit, with {needs[fitting[0]][0] / 1e9:.1f} GB"
    else:
        advice = "close other programs, choose bfloat16 if this was float32 (half of it), or another device"
    return (f"too little memory: the mode {wanted!r} takes {amounts(*needs[wanted])}, and {amounts(*free)} are free; "
            f"{advice}")  # fmt: skip


# -- one network at a time -----------------------------------------------------------------------------------


@dataclass(eq=False)
class Network:
    """A network whose weights come and go."""

    stage: Stage
    fetch: Callable[[], dict[str, Tensor]]  # reads its weights, or copies them to the device
    away: dict[str, Tensor]                 # what has their places meanwhile


class OneAtATime:
    """Loads stages so that one network of all of them is on the device, whichever ran last.

    The little that a stage has besides its networks is on the device always.
    """

    def __init__(self, mode: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32):
        self.mode, self.device, self.dtype = mode, torch.device(device), dtype
        self.here: Network | None = None
        self.hooks: list[RemovableHandle] = []

    def load(self, lazy: LazyStage) -> Stage:
        """The stage, in evaluation mode, with its networks away."""
        fill(lazy.stage, lazy.read("", self.device, self.dtype))
        for name in lazy.networks:
            network = self.network(lazy, name)
            fill(lazy.stage, network.away)
            for layer in lazy.stage.get_submodule(name).modules():
                self.hooks += [layer.register_forward_pre_hook(lambda *_, network=network: self.bring(network))]
        return lazy.stage

    def end(self) -> None:
        """Let the stages be, for who loads them in another mode."""
        for hook in self.hooks:
            hook.remove()
        self.rest()

    def network(self, lazy: LazyStage, name: str) -> Network:
        """Offloaded, its weights are read now, and copied to the device whenever it runs; else they are read then."""

        def read(device: str | torch.device) -> dict[str, Tensor]:
            return lazy.read(name, device, self.dtype)

        if self.mode == "offload":
            kept = read("cpu")
            return Network(lazy.stage, lambda: {key: weight.to(self.device) for key, weight in kept.items()}, kept)
        # Meanwhile its places are taken by tensors without memory ("meta"), which only have a shape and a dtype.
        empty = {key: weight.to("meta", self.dtype) for key, weight in lazy.stage.state_dict().items()
                 if network_of(key) == name}  # fmt: skip
        return Network(lazy.stage, lambda: read(self.device), empty)

    def bring(self, network: Network) -> None:
        """Have this network on the device, and no other."""
        if network is self.here:
            return
        self.rest()                                # first, so that there is never room needed for two
        fill(network.stage, network.fetch())
        self.here = network

    def rest(self) -> None:
        """Have no network on the device, until one is about to run."""
        if self.here is not None:
            fill(self.here.stage, self.here.away)
            self.here = None
            free_unused(self.device)


def free_unused(device: torch.device) -> None:
    """Give back to a GPU what PyTorch keeps of it for the next tensors."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
