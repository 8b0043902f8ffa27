"""What this machine computes with: which device, in which precision, and how much memory is free."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import psutil
import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4   # glibc's malloc.h


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
