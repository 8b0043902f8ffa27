"""How much memory this process may still take, of the machine and of whatever limits it, and how it is kept."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

# Control groups limit what containers and batch jobs may take. By version: the limit's file, and what in memory.stat
# is held (the rest is the file cache, which is given back on demand). Version 1 has a tree of its own for memory.
GROUPS = {"": ("memory.max", "anon"), "memory": ("memory.limit_in_bytes", "total_rss")}
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4   # glibc's malloc.h


def free_ram(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: the least that the machine, its control groups and `ulimit -v` leave."""
    return max(0, min(psutil.virtual_memory().available, *map(left_in, groups(root)), left_of_addresses()))


def free_on(device: torch.device) -> int:
    """Bytes that are free where the device computes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_ram()


def groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """The control groups of this process, each with those around it, and how their memory is told.

    A container may see its own group as the root, under a path that only the machine knows: then the root counts.
    """
    listing = root / "proc/self/cgroup"
    for line in listing.read_text().splitlines() if listing.is_file() else ():
        _, controllers, path = line.split(":", 2)
        for version in GROUPS.keys() & set(controllers.split(",")):
            top = root / "sys/fs/cgroup" / version
            inner = top / path.strip("/")
            for group in (inner, *inner.parents) if ".." not in inner.parts else (top,):
                if group.is_relative_to(top):
                    yield group, *GROUPS[version]


def left_in(group: tuple[Path, str, str]) -> float:
    """Bytes that a control group leaves; infinite without a limit."""
    folder, limit, held = group
    try:
        most = (folder / limit).read_text().strip()
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:                                                     # no such group, or not for us to read
        return float("inf")
    return int(most) - int(stat.get(held, 0)) if most.isdigit() else float("inf")


def left_of_addresses() -> float:
    """Bytes that `ulimit -v` leaves; infinite without it, and on systems that have none."""
    if not hasattr(psutil, "RLIMIT_AS"):
        return float("inf")
    process = psutil.Process()
    most, _ = process.rlimit(psutil.RLIMIT_AS)
    return float("inf") if most == psutil.RLIM_INFINITY else most - process.memory_info().vms


def keep_freed_memory() -> None:
    """Ask the C library to keep large blocks that are freed, for the next tensor of their size.

    By itself glibc hands them back to the system, which then clears each page again before it lends it. At 256 pixels
    that is a sixth of an upsampler's step. Where the C library is another one, nothing changes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)         # no block gets a mapping of its own, which ends when it is freed
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # and the heap never shrinks
