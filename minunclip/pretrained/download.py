"""Fetch released weights once, into the cache that huggingface_hub shares between programs."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

NETWORKS = ("prior", "text_proj", "decoder", "super_res_first", "super_res_last")
FILES = [
    "text_encoder/config.json", "text_encoder/model.safetensors",
    *(f"{name}/{file}" for name in NETWORKS for file in ("config.json", "diffusion_pytorch_model.safetensors")),
    *(f"{name}_scheduler/scheduler_config.json" for name in ("prior", "decoder", "super_res")),
]  # fmt: skip


@dataclass(frozen=True)
class Release:
    """Where a model lies: repository, the start of its commit's name, and the size of what is needed."""

    repository: str
    commit: str
    gigabytes: float


RELEASES = {"karlo": Release("kakaobrain/karlo-v1-alpha", "5ee4529", 13.7)}


def release_of(name: str) -> Release | None:
    """The release with this short name or repository name, or None."""
    return next((r for short, r in RELEASES.items() if name in (short, r.repository)), None)


def fetch(release: Release) -> Path:
    """The folder with the release's files; what is missing is downloaded, with progress.

    After a lost connection it goes on where it was. If it breaks off for good, the files that were whole are kept for
    the next try, and no file is left half there.

    Raises OSError if there is no room for them, or ConnectionError if they are neither cached nor reachable.
    """
    from huggingface_hub import snapshot_download

    if (snapshot := cached(release)) is not None:
        return snapshot
    cache = cache_of(release)
    check_room(release, cache)
    try:
        commit = full_commit(release, cache)
        folder = Path(snapshot_download(release.repository, revision=commit, allow_patterns=FILES))
        if lacking := missing(folder):
            raise FileNotFoundError(lacking[0])  # offline, the hub's library hands out whatever is there
        return folder
    except Exception as error:  # its errors have no common class; whichever it is, say what is missing
        raise unreachable(release, error) from error


def cache_of(release: Release) -> Path:
    """The folder for a release in the cache, there or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{release.repository.replace('/', '--')}"


def cached(release: Release) -> Path | None:
    """The release's folder, if all of its files are in the cache."""
    snapshots = cache_of(release).glob(f"snapshots/{release.commit}*")
    return next((snapshot for snapshot in snapshots if not missing(snapshot)), None)


def unreachable(release: Release, error: Exception) -> ConnectionError:
    """What to say when a download failed: what is missing, where it goes, and what to do."""
    why = textwrap.shorten(f"{type(error).__name__}: {error}", 120, placeholder=" ...")
    return ConnectionError(
        f"cannot download {release.repository} ({release.gigabytes} GB, commit {release.commit[:7]}) to "
        f"{cache_of(release)}. Connect to the internet once (and unset HF_HUB_OFFLINE), or copy the repository's "
        f"folders to this machine and give their path in place of the name ({why})"
    )


def missing(snapshot: Path) -> list[str]:
    """The files that a folder of the release still lacks."""
    return [file for file in FILES if not (snapshot / file).is_file()]


def full_commit(release: Release, cache: Path) -> str:
    """The hub wants all 40 digits of a commit: from the cache if it is there, else from the repository's log."""
    from huggingface_hub import HfApi

    for snapshot in cache.glob(f"snapshots/{release.commit}*"):
        return snapshot.name
    names = [commit.commit_id for commit in HfApi().list_repo_commits(release.repository)]
    return next(name for name in names if name.startswith(release.commit))


def check_room(release: Release, cache: Path) -> None:
    """Raises OSError if the disk cannot hold what is not there yet."""
    whole = [p for p in cache.rglob("*") if p.is_file() and not p.is_symlink() and p.suffix != ".incomplete"]
    there = sum(p.stat().st_size for p in whole)
    needed = release.gigabytes * 1e9 - there
    disk = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(disk).free
    if free < needed:
        raise OSError(f"{release.repository} needs {needed / 1e9:.1f} GB more in {cache}, and the disk has "
                      f"{free / 1e9:.1f} GB: make room, or set HF_HUB_CACHE to a folder on another disk")
