"""Reading a checkpoint that may be damaged, or belong to another training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch


def read_checkpoint(path: Path, expected: dict) -> dict:
    """What a checkpoint holds. expected: what one of this training holds. Raises ValueError for a damaged file."""
    with damage_named(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        check_kinds(state, expected)
    return state


def check_training(path: Path, state: dict, expected: dict) -> None:
    """Raises ValueError if a checkpoint was made with other settings or from another CLIP."""
    ours, theirs = expected["config"], state["config"]
    if different := [name for name in ours if ours[name] != theirs.get(name) and name != "save_every"]:
        name = different[0]
        raise ValueError(
            f"{path} was trained with {name}={theirs.get(name)}, this run has {name}={ours[name]}: "
            f"start again with --fresh, or use the old settings"
        )
    if state["made_from"] != expected["made_from"]:
        raise ValueError(f"{path} was trained with another CLIP: start again with --fresh, or name that CLIP")


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a checkpoint is read becomes a ValueError that names it."""
    try:
        yield
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, UnpicklingError, BadZipFile):
        raise ValueError(f"{path} is damaged: start again with --fresh") from None


def check_kinds(found: Any, expected: dict) -> None:
    """Raises TypeError or KeyError where a checkpoint has not what ours have, or something of another type."""
    for name, value in expected.items():
        if not isinstance(found[name], type(value)):
            raise TypeError(name)
