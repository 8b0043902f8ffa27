"""How results get into files: whole or not at all, and what stands in the way is said before the work, not after it."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import plain


def check_target(path: Path, what: str = "--out") -> None:
    """Try whether a file can be written there, folder and all, and leave nothing behind. Do so before the work.

    Raises OSError in a line that names the path, and tells to choose another `what`.
    """
    target = Path(os.path.realpath(path))
    if reason := obstacle(target):
        raise OSError(f"cannot write {path}: {reason}; choose another {what}")
    if target.is_file() and not os.access(target, os.W_OK):
        raise OSError(f"cannot write {path}: permission denied; choose another {what}")
    folder = next(parent for parent in target.parents if parent.is_dir())   # the others are made when it is written
    if target.is_file() and not os.access(folder, os.W_OK):
        return                                                          # it will be written in place
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror} ({folder}); choose another {what}") from None


def obstacle(target: Path) -> str:
    """What makes a path no place for a file, whoever asks; empty if nothing does."""
    if target.is_dir():
        return "it is a folder"
    if target.exists() and not target.is_file():
        return "it is a device or a pipe, no file"
    for parent in target.parents:
        if parent.exists():
            return "" if parent.is_dir() else f"{parent} is no folder"
    return ""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends, and goes away if it fails.

    So a file is there under its name only when it is complete. Makes the folder if need be. A link stays one, and what
    it points to is replaced; a file keeps its permissions, a new one gets the usual ones. Two that write the same
    file at once do not disturb each other: the last one to finish stays.
    """
    target = Path(os.path.realpath(path))
    if reason := obstacle(target):
        raise OSError(f"cannot write {path}: {reason}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        yield temporary
        temporary.chmod(mode_of(target))
        move(temporary, target)
    except Exception as error:
        if line := plain(error):                                        # a full disk, said by whichever library wrote
            raise OSError(f"cannot write {path}: {line}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)                               # there only if something failed


def temporary_beside(target: Path) -> Path:
    """A new empty file beside the target, or where temporary files go if its folder cannot be written to."""
    own = os.access(target.parent, os.W_OK)
    handle, name = tempfile.mkstemp(".tmp", f".{target.name[:60]}.", target.parent if own else None)
    os.close(handle)
    return Path(name)


def sweep(*targets: Path) -> None:
    """Remove the temporary files of writers that were killed. Only for who alone may write these targets now."""
    for target in targets:
        for left in target.parent.glob(f".{glob.escape(target.name[:60])}.*.tmp"):
            left.unlink(missing_ok=True)


def mode_of(target: Path) -> int:
    """The permissions that a file has, or that a new one would get."""
    if target.exists():
        return target.stat().st_mode & 0o7777
    mask = os.umask(0)                                                  # the only way to read it
    os.umask(mask)
    return 0o666 & ~mask


def move(temporary: Path, target: Path) -> None:
    """Give the temporary file its name; or write its content into the file that has that name already.

    The latter where the file has more than one name (a hard link), or where it may be changed but not replaced.
    """
    if not target.exists() or target.stat().st_nlink == 1:
        with suppress(PermissionError):
            os.replace(temporary, target)
            return
        if not target.exists():
            raise PermissionError(f"cannot write {target}: permission denied")
    with temporary.open("rb") as source, target.open("r+b") as file:
        shutil.copyfileobj(source, file)
        file.truncate()


@contextmanager
def alone(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file, which ends with this process however that ends. Raises OSError if another one holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise OSError(refusal) from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)                                    # while it is held: nobody has it open yet
        held.release()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
