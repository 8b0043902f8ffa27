"""A config.json of others, read with care: each value that we take from it must have a certain type and lie in bounds.

What does not fit is an error of one line that names the file, and it is found before anything is built.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

LONGEST = 1_000_000         # bytes of such a file; Karlo's have a thousand
WIDEST = 2**16              # any width, side or number of tokens
DEEPEST = 256               # any number of layers
REQUIRED = object()         # in place of a default: the file must have the value


@dataclass(frozen=True)
class ConfigFile:
    """The values of a file. A default stands in for one that is absent; where it is None, `null` is allowed, too."""

    path: Path
    values: dict

    @classmethod
    def read(cls, path: Path, **fixed) -> ConfigFile:
        """`fixed` are values that our networks cannot vary: absent, or just so.

        Raises ValueError for a file that is missing, is no JSON object, or has another of these values.
        """
        if not path.is_file():
            raise ValueError(f"{path} is missing: this folder is no released cascade, or only a part of one")
        if path.stat().st_size > LONGEST:
            raise ValueError(f"{path} is no config: it is longer than {LONGEST:,} bytes; fetch it again")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}): fetch it again") from None
        if not isinstance(values, dict):
            raise ValueError(f"{path} is no config: it holds a {type(values).__name__}, not names with values")
        for name, value in fixed.items():
            if values.get(name, value) != value:
                found = reprlib.repr(values[name])
                raise ValueError(f"{path}: {name} is {found}, and minunclip can build {value!r} only")
        return cls(path, values)

    def get(self, name: str, default, fits: Callable[[object], bool], wanted: str):
        """One value. Raises ValueError if it does not fit, in a line that tells what was `wanted`."""
        value = self.values.get(name, default)
        if value is REQUIRED:
            raise ValueError(f"{self.path} has no {name}: it must be {wanted}")
        if (value is None and default is None) or fits(value):
            return value
        raise ValueError(f"{self.path}: {name} is {reprlib.repr(value)}, but must be {wanted}")

    def whole(self, name: str, default=REQUIRED, *, low: int = 1, high: int = WIDEST) -> int:
        def fits(value) -> bool:
            return type(value) is int and low <= value <= high          # True is an int, too, but not by this type

        return self.get(name, default, fits, f"a whole number from {low} to {high}")

    def divisor(self, name: str, default=REQUIRED, *, of: int) -> int:
        def fits(value) -> bool:
            return type(value) is int and 1 <= value <= of and of % value == 0

        return self.get(name, default, fits, f"a divisor of {of}")

    def number(self, name: str, default=REQUIRED, *, low: float, high: float) -> float:
        def fits(value) -> bool:
            return type(value) in (int, float) and low <= value <= high

        return self.get(name, default, fits, f"a number from {low} to {high}")

    def flag(self, name: str, default=REQUIRED) -> bool:
        return self.get(name, default, lambda value: type(value) is bool, "true or false")

    def choice(self, name: str, options: Collection[str], default=REQUIRED) -> str:
        def fits(value) -> bool:
            return type(value) is str and value in options

        return self.get(name, default, fits, f"one of {', '.join(options)}")

    def row(self, name: str, fits: Callable[[object], bool], wanted: str) -> list:
        """A list of one to eight values, each of which fits: a U-Net has one for each of its levels."""
        def all_fit(value) -> bool:
            return type(value) is list and 1 <= len(value) <= 8 and all(fits(one) for one in value)

        return self.get(name, REQUIRED, all_fit, f"a list of 1 to 8, each {wanted}")


def made(config_class: type, *files: ConfigFile, **values):
    """A config of ours. What it refuses is said with the names of the files that the values come from."""
    try:
        return config_class(**values)
    except ValueError as error:
        raise ValueError(f"{' and '.join(str(file.path) for file in files)}: {error}") from None
