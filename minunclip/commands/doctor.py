"""`minunclip doctor`: is this machine ready, and what can it do?"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from ..common import files, write_text

PACKAGES = ("torch", "einops", "numpy", "pillow", "safetensors", "matplotlib", "ipywidgets", "jupyterlab",
            "open_clip_torch", "huggingface_hub", "filelock", "nbval", "psutil", "tqdm")  # fmt: skip


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
    """Tries the device: a GPU may be found, and yet be too old or too new for this PyTorch."""
    import torch

    from ..common import best_device, plain, try_device

    with warnings.catch_warnings(record=True) as told:                  # PyTorch warns of a driver that is too old
        warnings.simplefilter("always")
        found = best_device()
    if told:
        raise RuntimeError(plain(told[0].message) or " ".join(str(told[0].message).split()))
    try:
        try_device(found)
    except RuntimeError as error:
        raise RuntimeError(f"{found}: {plain(error) or error}") from None
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
    """What this process may take: a container or a batch job often has less than the machine."""
    import psutil

    from ..common import free_ram

    free, total = free_ram() / 2**30, psutil.virtual_memory().total / 2**30
    if free < 2:
        raise RuntimeError(f"{free:.1f} GiB for this process: the notebooks want 4; close programs, or raise its limit")
    return f"{free:.1f} GiB for this process, the machine has {total:.1f}"


def shared_memory() -> str:
    """Processes that draw examples hand them over through it. Docker gives 64 MB."""
    if not Path("/dev/shm").is_dir():
        return "not needed on this system"
    free = shutil.disk_usage("/dev/shm").free / 2**20
    if free < 32:
        raise RuntimeError(f"{free:.0f} MiB in /dev/shm: train with --workers 0, or start Docker with --shm-size=1g")
    return f"{free:.0f} MiB"


def writing() -> str:
    """Writes, renames and removes a file where pictures and where trainings go."""
    for folder in {Path.cwd(), next(path for path in (files.DATA, *files.DATA.absolute().parents) if path.is_dir())}:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".minunclip-") as inside:
            write_text(Path(inside) / "picture", "a try")
    return f"works here and in {files.DATA}"


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
    "weights": weights, "memory": memory, "shared memory": shared_memory, "writing": writing, "disk": disk,
    "suggested profile": profile,
}  # fmt: skip


def report() -> Iterator[tuple[bool, str]]:
    """Whether each check is OK, and a line that says so, or FAIL with what to do; each as soon as it is known."""
    for name, check in CHECKS.items():
        try:
            yield True, f"OK    {name:<18} {check()}"
        except Exception as error:  # a broken machine may fail in any way, and the table is to say so
            yield False, f"FAIL  {name:<18} {error}"
