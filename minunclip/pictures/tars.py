"""Tars in webdataset's convention: `dogs/rex.jpg` and `dogs/rex.txt` or `dogs/rex.json` with one name side by side.

They are read through an index of their members, so that any picture can be asked for at any time: a stream would have
to be read from its beginning.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from .entries import SUFFIXES, Entry, Faults, Place, examine, tidy

FIELDS = ("captions", "caption", "text")    # of a .json, the first that is there


def tars_of(source: Path) -> list[Path]:
    """The tars that a source is: one, or those that lie in a folder."""
    return [source] if source.is_file() else sorted(source.glob("*.tar"))


def read_tars(source: Path, faults: Faults) -> list[Entry]:
    """The pictures of one tar or of a folder of them, by their keys; what is wrong goes into `faults`."""
    places, captions = [], {}
    for path in tars_of(source):
        for name, place in members(path):
            key, suffix = str(PurePosixPath(name).with_suffix("")), PurePosixPath(name).suffix.lower()
            if suffix in SUFFIXES:
                places.append((key, place))
            elif suffix in (".txt", ".json"):
                captions.setdefault(key, captions_in(place, suffix))
    for key in sorted(captions.keys() - {key for key, _ in places}):
        faults.add("captions whose pictures are missing: pack the set again", key)
    return examine([Entry(key, captions.get(key, ()), place) for key, place in places], faults)


def members(path: Path) -> Iterator[tuple[str, Place]]:
    """The files in a tar, and where their bytes lie in it. Raises ValueError for what is no whole, plain tar."""
    try:
        with tarfile.open(path, "r:") as tar:                           # not packed: only then bytes lie as they are
            for member in tar:
                if member.isfile() and not PurePosixPath(member.name).name.startswith("."):
                    yield member.name.removeprefix("./"), Place(path, member.size, member.offset_data)
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{path} is no tar, is packed (unpack .tar.gz first) or is not whole ({error})") from None


def captions_in(place: Place, suffix: str) -> tuple[str, ...]:
    """The captions in a .txt, or in the fields of a .json that are known to hold them."""
    text = place.read().decode("utf-8", errors="replace")
    if suffix == ".txt":
        return tidy(text.splitlines())
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    value = next((found[name] for name in FIELDS if name in found), ()) if isinstance(found, dict) else ()
    return tidy([value] if isinstance(value, str) else value if isinstance(value, list) else ())


def write_tar(path: Path, entries: Iterable[tuple[str, bytes, str, tuple[str, ...]]]) -> None:
    """Write a tar of (key, picture, its suffix, captions), the same bytes for the same set. See `replacing`."""
    with tarfile.open(path, "w") as tar:
        for key, picture, suffix, captions in entries:
            for name, content in ((key + suffix, picture), (f"{key}.txt", ("\n".join(captions) + "\n").encode())):
                member = tarfile.TarInfo(name)                          # of nobody, made at no time
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
