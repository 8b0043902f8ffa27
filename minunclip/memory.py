"""What this machine computes with, and where the weights of a released cascade lie while it draws.

    resident    all networks on the device: fastest
    offload     all in RAM, the one that runs on the GPU
    disk        all in their files, the one that runs on the device

The last two draw the same picture with room for one network. Nobody has to ask for it: a network's weights arrive
when its first layer is about to run, and leave when another network runs.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor

from .plan import Plan, fill, network_of
from .stage import Stage

MODES = ("resident", "offload", "disk")  # fastest first
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4   # glibc's malloc.h

# ---- the machine ----


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_dtype(device: str | torch.device) -> torch.dtype:
    """bfloat16 where the hardware computes in it; else float16 on a CUDA GPU and float32 anywhere else."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    able = getattr(torch.cpu, "get_capabilities", dict)()               # older versions of PyTorch do not tell
    native = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))    # Intel and AMD, Intel, ARM
    return torch.bfloat16 if kind == "cpu" and native else torch.float32


def free_ram(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that programs may still take, of this machine or of the container (`group`) that this runs in."""
    free, limit = psutil.virtual_memory().available, group / "memory.max"
    if limit.is_file() and (most := limit.read_text().strip()).isdigit():
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, int(most) - int(used["anon"]))
    return free


def free_on(device: torch.device) -> int:
    """Bytes that are free where the device computes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_ram()


def keep_freed_memory() -> None:
    """Ask the C library to keep large blocks that are freed, for the next tensor of their size.

    By itself glibc hands them back to the system, which then clears each page again before it lends it. At 256 pixels
    that is a sixth of an upsampler's step. Where the C library is another one, nothing changes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)         # no block gets a mapping of its own, which ends when it is freed
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # and the heap never shrinks


# ---- the mode ----


def choose(mode: str, sizes: list[int], working: int, device: torch.device) -> str:
    """The mode to use for networks of these sizes in bytes: the one asked for or, for "auto", the fastest that fits.

    working: bytes that computing takes besides the weights. Raises ValueError for a mode that does not exist, and
    MemoryError, with what would fit, for one that does not fit.
    """
    if mode not in ("auto", *MODES):
        raise ValueError(f"there is no memory mode {mode!r}: choose one of auto, {', '.join(MODES)}")
    # A CPU has nothing to offload from: its memory is the RAM.
    needs = {"resident": (sum(sizes) + working, 0), "disk": (max(sizes) + working, 0),
             "offload": (max(sizes) + working, sum(sizes)) if device.type == "cuda" else (sum(sizes) + working, 0),
             }  # fmt: skip
    free = free_on(device), free_ram()
    fitting = [m for m in MODES if needs[m][0] <= free[0] and needs[m][1] <= free[1]]
    if mode == "auto" and fitting:
        return fitting[0]
    if mode in fitting:
        return mode
    raise MemoryError(too_little(mode, needs, free, fitting, device))


def too_little(mode: str, needs: dict, free: tuple[int, int], fitting: list[str], device: torch.device) -> str:
    """The message: what it takes, what there is, and what to do."""
    place = "of GPU memory" if device.type == "cuda" else "of RAM"
    wanted = "disk" if mode == "auto" else mode
    takes = f"{needs[wanted][0] / 1e9:.1f} GB {place}" + (f" and {needs[wanted][1] / 1e9:.1f} GB of RAM"
                                                         if needs[wanted][1] else "")  # fmt: skip
    there = f"{free[0] / 1e9:.1f} GB {place}" + (f" and {free[1] / 1e9:.1f} GB of RAM" if needs[wanted][1] else "")
    if fitting:
        advice = f"the mode {fitting[0]!r} would fit, with {needs[fitting[0]][0] / 1e9:.1f} GB"
    else:
        advice = "close other programs, choose bfloat16 if this was float32 (half of it), or another device"
    return f"too little memory: the mode {wanted!r} takes {takes}, and {there} are free; {advice}"


# ---- one network at a time ----


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

    def load(self, plan: Plan) -> Stage:
        """The stage, in evaluation mode, with its networks away."""
        fill(plan.stage, plan.read("", self.device, self.dtype))
        for name in plan.networks:
            network = self.in_ram(plan, name) if self.mode == "offload" else self.on_disk(plan, name)
            fill(plan.stage, network.away)
            for layer in plan.stage.get_submodule(name).modules():
                layer.register_forward_pre_hook(lambda *_, network=network: self.bring(network))
        return plan.stage

    def in_ram(self, plan: Plan, name: str) -> Network:
        kept = plan.read(name, "cpu", self.dtype)
        return Network(plan.stage, lambda: {key: weight.to(self.device) for key, weight in kept.items()}, kept)

    def on_disk(self, plan: Plan, name: str) -> Network:
        """Meanwhile its places are taken by tensors without memory ("meta"), which only have a shape and a dtype."""
        empty = {key: weight.to("meta", self.dtype) for key, weight in plan.stage.state_dict().items()
                 if network_of(key) == name}  # fmt: skip
        return Network(plan.stage, lambda: plan.read(name, self.device, self.dtype), empty)

    def bring(self, network: Network) -> None:
        """Have this network on the device, and no other."""
        if network is self.here:
            return
        if self.here is not None:
            fill(self.here.stage, self.here.away)  # first, so that there is never room needed for two
            self.here = None
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        fill(network.stage, network.fetch())
        self.here = network
