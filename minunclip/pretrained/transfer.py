"""Files from the Hugging Face hub, one at a time, each taken up where it was when the last try ended.

huggingface_hub does the asking and the reading; what it does not do is to go on with a file after its process has
ended, and a file of Karlo's has up to four gigabytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..common import sha256
from .trouble import statuses


@dataclass(frozen=True)
class Listing:
    """What a repository has, at one commit."""

    repository: str
    commit: str                             # all 40 digits
    sizes: dict[str, int]                   # bytes of each file
    sums: dict[str, str]                    # SHA-256, of large files only: the hub has none for the others


def listing_of(repository: str, revision: str) -> Listing:
    """Ask the hub. revision: a commit, or the name of a branch, such as "main"."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    def ask(token: bool | None = None) -> Listing:
        api = HfApi(token=token)
        commit = revision if is_commit(revision) else api.repo_info(repository, revision=revision).sha
        tree = api.list_repo_tree(repository, recursive=True, revision=commit)
        files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
        sums = {path: file.lfs.sha256 for path, file in files.items() if file.lfs}
        return Listing(repository, commit, {path: file.size for path, file in files.items()}, sums)

    return publicly(ask)


def is_commit(revision: str) -> bool:
    return len(revision) == 40 and {*revision} <= {*"0123456789abcdef"}


def publicly(ask: Callable):
    """A token that has expired makes the hub refuse even what is public. So what is refused is tried without it."""
    try:
        return ask()
    except OSError as error:
        if not {401, 403} & statuses(error):
            raise
    return ask(token=False)


def download(listing: Listing, file: str, target: Path) -> None:
    """One file; it is there under its name when all of it is, and its SHA-256 is the hub's.

    What came before the connection or the process ended lies beside it, as .part, and is not fetched again. Raises
    OSError for a file that arrives damaged.
    """
    part, size, wanted = part_of(target), listing.sizes[file], listing.sums.get(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    if part.exists() and part.stat().st_size > size:
        part.unlink()
    publicly(lambda token=None: go_on(listing, file, part, token))
    if part.stat().st_size != size or (wanted and sha256(part) != wanted):
        part.unlink()
        raise OSError(f"{file} arrived damaged (another size or SHA-256 than the hub says): run it again")
    os.replace(part, target)


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def go_on(listing: Listing, file: str, part: Path, token: bool | None) -> None:
    """Append to a part what it lacks. Asks first whether a hub answers, not a page of the network to log in."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(listing.repository, file, revision=listing.commit)
    if get_hf_file_metadata(url, token=token).commit_hash is None:
        raise OSError(f"what answers for {file} is not the hub")
    with part.open("ab") as stream:
        http_get(url, stream, resume_size=stream.tell(), headers=build_hf_headers(token=token),
                 expected_size=listing.sizes[file], displayed_filename=file)  # fmt: skip
