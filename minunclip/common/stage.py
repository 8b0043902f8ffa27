"""What every stage can do: save itself with its config, and come back from a file that is whole.

A stage is an nn.Module with a frozen dataclass as its `config`. Its file is safetensors (half precision),
with the config as JSON in the metadata, so that a file is all one needs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from .files import SHIPPED, checksum, read_weights, verify, weights_folder
from .writing import replacing


class Stage(nn.Module):
    """A part of the cascade. Subclasses set `config_class` and `file_name`."""

    config_class: type
    file_name: str

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def fingerprint(self) -> str:
        """A sum over all weights: two stages of which it is equal compute the same."""
        weights = (tensor.detach().cpu().contiguous().numpy().tobytes() for tensor in self.state_dict().values())
        return hashlib.sha256(b"".join(weights)).hexdigest()

    def save(self, path: str | Path, **notes: str) -> Path:
        """Write config and weights (float16) to a safetensors file; `notes` join its metadata, and a sum over it all.

        The file appears under its name only when it is complete. Raises OSError if it cannot be written.
        """
        path = Path(path)
        weights = {name: tensor.detach().cpu().half().contiguous() for name, tensor in self.state_dict().items()}
        metadata = {"stage": type(self).__name__, "config": json.dumps(asdict(self.config)), **notes}
        metadata["sum"] = checksum(metadata, weights)
        try:
            with replacing(path) as temporary:
                save_file(weights, temporary, metadata)
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {error}") from None
        return path

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, device: str | torch.device = "cpu"):
        """The stage with trained weights, float32, in evaluation mode.

        name_or_path: "scenes" or "emoji" for shipped weights, or a safetensors file that `save` wrote.
        Raises FileNotFoundError, or ValueError for a damaged file or one of another stage.
        """
        path = Path(name_or_path).expanduser()
        if str(name_or_path) in SHIPPED:
            path = weights_folder(str(name_or_path)) / cls.file_name
            verify(path)
        metadata, weights = read_weights(path)
        if metadata.get("stage") != cls.__name__:
            raise ValueError(f"{path} holds {metadata.get('stage', 'no stage of ours')}, not {cls.__name__}")
        if checksum(metadata, weights) != metadata.get("sum"):
            raise ValueError(f"{path} is damaged, or an older version wrote it: copy it again, or train it anew")
        try:
            stage = cls(config_from(cls.config_class, json.loads(metadata["config"])))
            stage.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]                    # PyTorch lists every tensor on a line
            raise ValueError(f"{path} comes from another version of minunclip, train it anew: {why}") from None
        return stage.to(device).eval()


def config_from(config_class: type, values: dict):
    """A (nested) frozen dataclass from what JSON made of it: lists become tuples again."""
    hints = get_type_hints(config_class)
    known = {field.name for field in fields(config_class)}
    if extra := sorted(set(values) - known):
        raise ValueError(f"{config_class.__name__} has no setting {extra[0]!r}: the file comes from another version")
    return config_class(**{name: _restore(hints[name], value) for name, value in values.items()})


def _restore(hint, value):
    if is_dataclass(hint):
        return config_from(hint, value)
    return tuple(value) if isinstance(value, list) else value

