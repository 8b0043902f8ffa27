"""`minunclip fetch`: released weights fetched, listed and removed; and what `draw` says before it fetches some."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ..pretrained import CASCADES, UPSCALERS, Release, Store, cached, fetching, least_room

KNOWN = CASCADES | {release.name: (release,) for release in (UPSCALERS["fp16"], UPSCALERS[None])}


def known(name: str) -> list[Release]:
    """The releases of a short name, or the one of a part or of a repository. Raises ValueError for another name."""
    if name in KNOWN:
        return [*KNOWN[name]]
    for release in every():
        if name in (release.name, release.repository):
            return [release]
    raise ValueError(f"there is nothing to fetch under the name {name!r}: choose {', '.join(KNOWN)}")


def every() -> list[Release]:
    return [release for releases in KNOWN.values() for release in releases]


def choice(release: Release) -> Iterator[str]:
    """What fetching it would mean, in lines: from where, how much, how much disk, under which licence."""
    store = Store(release)
    size = f"{release.gigabytes:.1f} GB"
    yield f"{release.name}: {release.about}"
    yield f"  comes from  {release.repository}, commit {release.commit[:7]}: {size} to fetch"
    yield f"  goes to     {store.folder}, where {store.free() / 1e9:.1f} GB are free"
    if release.numbers:
        yield (f"  disk        {release.half:.1f} GB in half precision, {release.peak:.1f} GB on the way; "
               f"in float32 {size}: minunclip fetch {release.name} --keep-float32")  # fmt: skip
    else:
        yield f"  disk        {size}"
    yield f"  licence     {release.licence}"


def fetch(name: str, *, full: bool = False, origin: str | None = None) -> Iterator[str]:
    """Fetch what has this name, see `fetch_release`; a line for each release."""
    releases = known(name)
    if origin and len(releases) > 1:
        parts = " or ".join(release.name for release in releases)
        raise ValueError(f"{name} is in {len(releases)} repositories: say of which {origin} is a copy, {parts}")
    for release in least_room(releases):
        yield fetch_release(release, full=full, origin=origin)


def fetch_release(release: Release, *, full: bool = False, origin: str | None = None, quiet: bool = False) -> str:
    """Fetch a release, or compare all of it with its SHA-256 if it is here; a line that tells where it is.

    full: keep the weights in float32. origin: a copy of the repository. quiet: do not tell what comes.
    """
    store = Store(release)
    for damaged in store.verify():
        print(f"minunclip: {damaged} is not what was fetched: it comes again", file=sys.stderr)
    if not origin and not store.lacking(full):
        return f"{store.folder}: {release.name} is here, and every file has its SHA-256"
    if not quiet:
        print(*choice(release), sep="\n", file=sys.stderr)
    for done in fetching(store, full=full, origin=origin):
        if done.what == "kept" and done.file.endswith(".safetensors"):
            print(f"{done.file}: {done.size / 1e6:,.1f} MB kept", file=sys.stderr)
    return f"{store.folder}: {release.name} is here, {store.size() / 1e9:.1f} GB"


def ensure(releases: list[Release], *, ask: bool) -> None:
    """Fetch what is not here, for who wants to draw with it: not before the choice has been shown.

    ask: wait for a yes. Raises ValueError for a no.
    """
    missing = least_room(release for release in releases if not cached(release))
    for release in missing:
        print(*choice(release), sep="\n", file=sys.stderr)
    if missing and ask:
        print("fetch it now? [Y/n] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("", "y", "yes"):
            commands = " and ".join(f"`minunclip fetch {release.name}`" for release in missing)
            raise ValueError(f"nothing was fetched; {commands} does it, too")
    for release in missing:
        print(fetch_release(release, quiet=True), file=sys.stderr)


def listing() -> Iterator[str]:
    """A line for each release: whether it is here, in which precision, how large, and from where."""
    for release in every():
        store = Store(release)
        yield f"{release.name:<17} {state(store):<34} {origin_of(store)}"
        if store.folder.is_dir():
            yield f"{'':<17} {store.folder}"


def state(store: Store) -> str:
    release, lacking = store.release, store.lacking()
    size = f"{store.size() / 1e9:.1f} GB"
    if not lacking:
        full = bool(release.numbers) and not store.lacking(True)
        return f"here, {size}, in {'float32' if full or not release.numbers else 'half precision'}"
    if cached(release):
        return f"in huggingface_hub's cache, {release.gigabytes:.1f} GB"
    if store.folder.is_dir():
        return f"a part, {size}, {len(lacking)} of {len(release.files)} files to come"
    return f"not here, {release.gigabytes:.1f} GB to fetch"


def origin_of(store: Store) -> str:
    record = store.record
    repository, commit = ((record.listing.repository, record.listing.commit) if record
                          else (store.release.repository, store.release.commit))  # fmt: skip
    return f"{repository}, commit {commit[:7]}"


def remove(name: str) -> Iterator[str]:
    """Remove what has this name; in lines, how much that was, and what is left of it or of others."""
    for release in known(name):
        yield from remove_release(release)


def remove_release(release: Release) -> Iterator[str]:
    store = Store(release)
    size = store.size()
    left = store.remove()
    yield f"{release.name}: {size / 1e9:.1f} GB removed from {store.folder}" if size else f"{release.name} is not here"
    if left:
        yield f"not minunclip's, and still there: {', '.join(left[:3])}"
    if snapshot := cached(release):
        yield f"huggingface_hub's cache, which other programs share, has it, too: {snapshot}"
