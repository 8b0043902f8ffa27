"""What PyTorch and the system say when a machine is at its end, in a line that tells what to do."""

from __future__ import annotations

NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Invalid buffer size", "bad allocation")
# Words of a message: the line. The first that fits counts.
CAUSES = {
    NO_MEMORY:
        "the memory ran out: draw fewer captions at once or a smaller --size, use --memory offload or --memory disk, "
        "or train with a smaller batch",
    ("No space left", "Disk quota exceeded", "File too large", "PytorchStreamWriter failed", "inline_container.cc"):
        "the disk is full, or its quota or the limit on files (ulimit -f) is used up: make room, or choose another "
        "place; what was there before is whole",
    ("no kernel image is available",):
        "this PyTorch was not built for this GPU: take the CPU (--device cpu, or CUDA_VISIBLE_DEVICES= in front), or "
        "install the PyTorch that fits: uv pip install --torch-backend=auto --reinstall-package torch torch",
    ("driver version is insufficient", "driver on your system is too old", "forward compatibility was attempted"):
        "the GPU's driver is older than the CUDA of this PyTorch: renew the driver, or take the CPU "
        "(CUDA_VISIBLE_DEVICES= in front)",
    ("shared memory (shm)", "Bus error", "unable to open shared memory", "unable to allocate shared memory"):
        "the processes that draw examples have too little shared memory: use --workers 0",
    ("DataLoader worker", "DataLoader timed out"):
        "a process that draws examples was ended from outside, most often for want of memory: use --workers 0",
}  # fmt: skip


def plain(error: BaseException) -> str:
    """A line for an error that is the machine's and no bug of ours; nothing for any other."""
    message = f"{error} {error.strerror or ''}" if isinstance(error, OSError) else str(error)
    return next((line for words, line in CAUSES.items() if any(word.lower() in message.lower() for word in words)), "")


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, of the GPU or of the machine."""
    return isinstance(error, MemoryError) or plain(error) == CAUSES[NO_MEMORY]
