"""`minunclip doctor`: is this machine ready, and what can it do?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ..common import files

PACKAGES = ("torch", "einops", "numpy", "pillow", "safetensors", "matplotlib", "ipywidgets", "jupyterlab",
            "open_clip_torch", "huggingface_hub", "nbval", "psutil", "tqdm")  # fmt: skip


def python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 (an installer can be talked out of its check)
        raise RuntimeError(f"{platform.python_version()}: minunclip needs 3.11 or newer")
    return platform.python_version()


def packages() -> str:
    missing = [name for name in PACKAGES if not _installed(name)]
    if missing:
        raise RuntimeError(f"missing {', '.join(missing)}: run `pip install -e .` in the folder of the project")
    return f"all {len(PACKAGES)} there"


def _installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def torch_works() -> str:
    import torch

    if not torch.allclose(torch.eye(2) @ torch.ones(2), torch.ones(2)):
        raise RuntimeError("a matrix product came out wrong: reinstall torch")
    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def device() -> str:
    import torch

    from ..common import best_device

    found = best_device()
    if found.type != "cuda":
        return f"{found} (no CUDA GPU; all of `scenes` runs without one)"
    free, total = torch.cuda.mem_get_info()
    return f"{torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"


def weights() -> str:
    folder = files.weights_folder("scenes")
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise RuntimeError(f"no weights in {folder}: clone or install the project again")
    for path in found:
        files.verify(path)
    return f"{len(found)} files, {sum(path.stat().st_size for path in found) / 2**20:.1f} MiB, all as shipped"


def memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown on this system"
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if size < 3:
        raise RuntimeError(f"{size:.1f} GiB: the notebooks want 4")
    return f"{size:.1f} GiB"


def disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < 1:
        raise RuntimeError(f"{free:.1f} GiB free here: checkpoints want 1")
    return f"{free:.1f} GiB free here"


def profile() -> str:
    from ..common import best_device

    return f"MINUNCLIP_PROFILE={'gpu' if best_device().type == 'cuda' else 'cpu'}"


CHECKS: dict[str, Callable[[], str]] = {
    "Python": python, "packages": packages, "torch": torch_works, "device": device,
    "weights": weights, "memory": memory, "disk": disk, "suggested profile": profile,
}  # fmt: skip


def report() -> Iterator[tuple[bool, str]]:
    """Whether each check is OK, and a line that says so, or FAIL with what to do; each as soon as it is known."""
    for name, check in CHECKS.items():
        try:
            yield True, f"OK    {name:<18} {check()}"
        except Exception as error:  # a broken machine may fail in any way, and the table is to say so
            yield False, f"FAIL  {name:<18} {error}"
