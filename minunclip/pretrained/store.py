"""Fetched weights in a folder of our own: what is there, whole and compared, and how much room it takes.

The folder of a release has the release's own layout, so whatever reads one reads the other; but its weights are in half
precision, and a file minunclip.json records where they come from, and the size and the SHA-256 of each.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..common import sha256, sweep, write_text
from .releases import Release, most_room
from .transfer import Listing, part_of

RECORD = "minunclip.json"


@dataclass
class Record:
    """What stands in a folder's minunclip.json. `sums` and `sizes` are of the files that are whole."""

    listing: Listing                        # of the repository that they come from
    licence: str
    sums: dict[str, str] = field(default_factory=dict)      # SHA-256 by name in the folder
    sizes: dict[str, int] = field(default_factory=dict)     # bytes


def home() -> Path:
    """Where all releases go: beside huggingface_hub's cache. The environment variable HF_HOME moves both."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "minunclip"


def half_name(file: str) -> str:
    """As diffusers calls it, too, for which it is a variant."""
    return file.replace(".safetensors", ".fp16.safetensors")


class Store:
    """The folder of one release."""

    def __init__(self, release: Release):
        self.release, self.folder = release, home() / release.name

    # -- what is there ---------------------------------------------------------------------------------------

    @property
    def record(self) -> Record | None:
        """None without one, or for one that is damaged: then whatever is there is fetched again."""
        try:
            values = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            return Record(**values | {"listing": Listing(**values["listing"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def kept(self, file: str, full: bool | None = None, record: Record | None = None) -> str | None:
        """The name of the whole file with this file's weights, if any: in full, in half, or (None) in either."""
        record = record or self.record
        both = {True: file, False: half_name(file) if file in self.release.numbers else file}
        for name in both.values() if full is None else (both[full],):
            path = self.folder / name
            if record and path.is_file() and path.stat().st_size == record.sizes.get(name):
                return name
        return None

    def lacking(self, full: bool | None = None) -> list[str]:
        """The release's files that are not whole yet."""
        record = self.record
        return [file for file in self.release.files if not self.kept(file, full, record)]

    def size(self) -> int:
        """Bytes of all that lies in the folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def verify(self) -> list[str]:
        """Read every file that is whole, and drop those whose SHA-256 is not what it was; their names."""
        record = self.record or Record(Listing("", "", {}, {}), "")
        damaged = [name for name, wanted in record.sums.items()
                   if (path := self.folder / name).is_file() and sha256(path) != wanted]  # fmt: skip
        for name in damaged:
            self.forget(record, name)
        return damaged

    # -- changes ---------------------------------------------------------------------------------------------

    def keep(self, record: Record, name: str, *, instead_of: str) -> None:
        """Record a file that is whole, and only then remove the one whose weights it has in the other precision."""
        path = self.folder / name
        record.sums[name], record.sizes[name] = sha256(path), path.stat().st_size
        self.write(record)
        if instead_of != name:
            self.forget(record, instead_of)

    def forget(self, record: Record, name: str) -> None:
        if record.sums.pop(name, None):
            del record.sizes[name]
            self.write(record)
        (self.folder / name).unlink(missing_ok=True)

    def write(self, record: Record) -> None:
        write_text(self.folder / RECORD, json.dumps(asdict(record), indent=1))

    def tidy(self) -> None:
        """Remove what a process that was killed has left: files half written, and float32 beside its finished half."""
        record = self.record
        sweep(self.folder / RECORD, *(self.folder / half_name(file) for file in self.release.files))
        for file in self.release.numbers:
            if self.kept(file, False, record) and not self.kept(file, True, record):
                (self.folder / file).unlink(missing_ok=True)

    def remove(self) -> list[str]:
        """Remove the release's files, whole or not, and the folder; what else somebody put there stays: its names."""
        own = [self.folder / name for file in self.release.files for name in (file, half_name(file))]
        for path in (*own, *map(part_of, own), self.folder / RECORD):
            path.unlink(missing_ok=True)
        sweep(self.folder / RECORD, *own)
        for folder in sorted({path.parent for path in own} | {self.folder}, reverse=True):      # inner ones first
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        return [str(path) for path in self.folder.rglob("*") if path.is_file()]

    # -- room ------------------------------------------------------------------------------------------------

    def check_room(self, listing: Listing, files: list[str], full: bool | None) -> None:
        """Raises OSError if the disk cannot hold what these files take on the way."""
        needed, free = self.room(listing, files, full), self.free()
        if free < needed:
            raise OSError(f"{self.release.name} needs {needed / 1e9:.1f} GB more in {self.folder}, and the disk has "
                          f"{free / 1e9:.1f} GB: make room, or set HF_HOME to a folder on another disk")  # fmt: skip

    def free(self) -> int:
        """Bytes that are free on the disk of the folder, which need not be there yet."""
        return shutil.disk_usage(next(path for path in (self.folder, *self.folder.parents) if path.exists())).free

    def room(self, listing: Listing, files: list[str], full: bool | None) -> int:
        """Bytes that files take at most while they come, beyond what is there of them."""
        def there(file: str) -> int:
            own = self.folder / file
            return sum(path.stat().st_size for path in (own, part_of(own)) if path.is_file())

        halved = [] if full else [file for file in files if file in self.release.numbers]
        plain = sum(listing.sizes[file] - there(file) for file in files if file not in halved)
        return plain + most_room([(listing.sizes[file] - there(file), listing.sizes[file] // 2) for file in halved])
