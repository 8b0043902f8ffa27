"""Where this project's files lie, and how they are read."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# Where weights, results and whatever is made go, if nobody says otherwise: in a clone, or else where the user works.
DATA = PACKAGE.parent / "data" if (PACKAGE.parent / "pyproject.toml").is_file() else Path("data")
SHIPPED = ("scenes", "emoji")
STAGES = ("clip", "prior", "ar-prior", "decoder", "upsampler-1", "upsampler-2", "judge")  # each with a weight file


def weights_folder(name: str) -> Path:
    """Where the shipped weights of `name` lie: inside an installed package, or in data/ of a clone."""
    inside = PACKAGE / "weights_data" / name
    return inside if inside.is_dir() else DATA / "weights" / name


def read_weights(path: Path) -> tuple[dict[str, str], dict]:
    """Metadata and tensors, {name: Tensor}, of a safetensors file. Raises errors that name it."""
    from safetensors import SafetensorError, safe_open  # here: they bring PyTorch, and most of this file needs none

    if not path.is_file():
        raise FileNotFoundError(f"there is no weight file {path}: 'scenes' and 'emoji' are shipped, others are paths")
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): fetch it again") from None


def checksum(metadata: dict[str, str], weights: dict) -> str:
    """A sum over all that a weight file of ours holds: its notes, and the names, shapes and numbers of its tensors.

    It stands in the file itself, as the note "sum", which does not count.
    """
    import torch

    notes = sorted((name, note) for name, note in metadata.items() if name != "sum")
    layout = [(name, str(weights[name].dtype), list(weights[name].shape)) for name in sorted(weights)]
    sum_ = hashlib.sha256(json.dumps([notes, layout]).encode())
    for name in sorted(weights):
        sum_.update(weights[name].contiguous().flatten().view(torch.uint8).numpy())
    return sum_.hexdigest()


def verify(path: Path) -> None:
    """Compare a shipped file with its SHA-256. Raises ValueError if a single bit is different."""
    sums = path.with_name("SHA256.json")
    if not path.is_file() or not sums.is_file():
        raise FileNotFoundError(f"the shipped weights are missing: no {path if sums.is_file() else sums}")
    if sha256(path) != json.loads(sums.read_text()).get(path.name):
        raise ValueError(f"{path} is not the file that was shipped (its SHA-256 differs): fetch it again")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def machine(device) -> str:
    """The computer in a line, for the record beside what was measured on a `torch.device`."""
    import torch

    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} CPU cores"
    return f"{name}, {platform.machine()}, torch {torch.__version__}"
