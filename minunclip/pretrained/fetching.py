"""Fetch a release: each network is halved as soon as it is there, so that a release never lies on the disk in full.

Whatever ends the process, the next one goes on where it was. A float32 file goes away once its half has been compared
with it, number by number, and is on record.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common import alone, replacing
from .halving import check_half, halve
from .releases import Release
from .store import Record, Store, half_name
from .transfer import Listing, download, listing_of
from .trouble import cause


@dataclass(frozen=True)
class Done:
    """A file has come a step further."""

    file: str
    what: str                               # "fetched", "halved" (and compared), or "kept": on record, and the end
    size: int                               # bytes of it now


def fetch(release: Release) -> Path:
    """The folder with the release's files. What is missing is fetched, see `fetching`."""
    if (folder := cached(release)) is None:
        for _ in fetching(Store(release), full=None):
            pass
        return Store(release).folder
    return folder


def cached(release: Release) -> Path | None:
    """The folder with the release's files if all are there, ours or huggingface_hub's; else None."""
    store = Store(release)
    if not store.lacking():
        return store.folder
    snapshot = snapshot_of(release.repository, release.commit)
    return snapshot if all((snapshot / file).is_file() for file in release.files) else None


def snapshot_of(repository: str, commit: str) -> Path:
    """Where huggingface_hub keeps what any program fetches with it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots" / commit


def fetching(store: Store, *, full: bool | None = False, origin: str | None = None) -> Iterator[Done]:
    """Fetch what a store lacks, and tell of each step.

    full: leave the weights in float32; None: halve what comes, and take float32 that is there as it is. origin: a copy
    of the repository, "owner/name" or "owner/name@revision". Raises OSError if the disk has no room for it or another
    process fetches the same, and ConnectionError, with cause and cure, if a file cannot be had.
    """
    lock = store.folder.with_name(f"{store.folder.name}.lock")
    with alone(lock, f"another process is fetching {store.release.name}: wait for it"):
        store.tidy()
        record = started(store, origin)
        files = sorted(store.lacking(full), key=lambda file: -record.listing.sizes[file])   # as `most_room` wants them
        store.check_room(record.listing, files, full)
        for file in files:
            yield from bring(store, record, file, full=bool(full))


def started(store: Store, origin: str | None) -> Record:
    """The record, which says where the files come from; a new one if there is none, or one of another origin."""
    repository, _, revision = (origin or "").partition("@")
    record = store.record
    if record and (not origin or (record.listing.repository == repository and revision in ("", record.listing.commit))):
        return record
    listing = ask(store.release, repository or store.release.repository, revision or ("main" if origin else ""))
    if record and listing == record.listing:
        return record
    store.remove()                                                      # what is there may be of other weights
    record = Record(listing, store.release.licence)
    store.write(record)
    return record


def ask(release: Release, repository: str, revision: str) -> Listing:
    """What of the release a repository has. Raises ConnectionError, also if that is not all of it."""
    try:
        listing = listing_of(repository, revision or release.commit)
    except Exception as error:  # the library's errors have no common class, and only the library runs in there
        raise ConnectionError(failure(release, cause(error, release.elsewhere))) from error
    if lacking := [file for file in release.files if file not in listing.sizes]:
        raise ConnectionError(failure(release, f"{repository} has no {lacking[0]}. {release.elsewhere}"))
    sizes = {file: listing.sizes[file] for file in release.files}
    return Listing(repository, listing.commit, sizes, {f: s for f, s in listing.sums.items() if f in sizes})


def bring(store: Store, record: Record, file: str, *, full: bool) -> Iterator[Done]:
    """One file, to its end: fetched, unless huggingface_hub has it, and then halved or left in full."""
    own, half = store.folder / file, store.folder / half_name(file)
    cache = snapshot_of(record.listing.repository, record.listing.commit) / file
    source = cache if cache.is_file() else own
    if not source.is_file():
        get(store, record.listing, file)
        yield Done(file, "fetched", own.stat().st_size)
    if full or file not in store.release.numbers:
        if source != own:
            with replacing(own) as temporary:
                shutil.copyfile(source, temporary)
        store.keep(record, file, instead_of=half_name(file))
    else:
        halve(source, half)
        check_half(source, half)
        yield Done(file, "halved", half.stat().st_size)
        store.keep(record, half_name(file), instead_of=file)
    yield Done(file, "kept", record.sizes[store.kept(file, full, record)])


def get(store: Store, listing: Listing, file: str) -> None:
    """Download one file into the store. Raises ConnectionError, which tells the cause and the cure."""
    try:
        download(listing, file, store.folder / file)
    except Exception as error:  # see `ask`
        raise ConnectionError(failure(store.release, cause(error, store.release.elsewhere))) from error


def failure(release: Release, why: str) -> str:
    """What to say when a download failed: what is missing, where it goes, why it failed, and what to do."""
    return (f"cannot download {release.repository} ({release.gigabytes} GB, commit {release.commit[:7]}) to "
            f"{Store(release).folder}: {why}. Or copy the repository's folders to this machine, and {release.use}")
