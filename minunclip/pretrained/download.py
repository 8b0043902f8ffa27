"""Fetch released weights once, into the cache that huggingface_hub shares between programs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .trouble import cause, statuses

PIPELINE = "diffusion_pytorch_model"        # what diffusers calls a file of weights


def karlo_files() -> tuple[str, ...]:
    """Of Karlo what draws: its tokenizer is CLIP's, which we have."""
    networks = ("prior", "text_proj", "decoder", "super_res_first", "super_res_last")
    return (
        "text_encoder/config.json", "text_encoder/model.safetensors",
        *(f"{name}/{file}" for name in networks for file in ("config.json", f"{PIPELINE}.safetensors")),
        *(f"{name}_scheduler/scheduler_config.json" for name in ("prior", "decoder", "super_res")),
    )  # fmt: skip


def upscaler_files(precision: str) -> tuple[str, ...]:
    """Of Stable Diffusion's x4 upscaler. precision: "" for float32, ".fp16" for half of it."""
    weights = {"text_encoder": "model", "unet": PIPELINE, "vae": PIPELINE}
    tokenizer = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
    return (
        "model_index.json", "scheduler/scheduler_config.json", "low_res_scheduler/scheduler_config.json",
        *(f"tokenizer/{file}" for file in tokenizer),
        *(f"{name}/config.json" for name in weights),
        *(f"{name}/{stem}{precision}.safetensors" for name, stem in weights.items()),
    )  # fmt: skip


@dataclass(frozen=True)
class Release:
    """Where a model lies, and what of it is needed."""

    repository: str                         # on the Hugging Face hub
    commit: str                             # all 40 digits: what lies under them cannot change
    gigabytes: float                        # of the files together
    files: tuple[str, ...]
    use: str                                # how to use a copy of the repository's folders
    elsewhere: str                          # who else has the weights, should the repository be gone


# Every repository that this library names. The cascades have the names that `load` knows.
RELEASES = {"karlo": Release(
    "kakaobrain/karlo-v1-alpha", "5ee45298e0956749e621bcb30c799a0b599afa83", 13.7, karlo_files(),
    use="give their path in place of the name",
    elsewhere="Its makers' own checkpoints, which minunclip reads, too, are named at github.com/kakaobrain/karlo",
)}  # fmt: skip
UPSCALERS = {variant: Release(
    "stabilityai/stable-diffusion-x4-upscaler", "572c99286543a273bfd17fac263db5a77be12c4c", gigabytes,
    upscaler_files(f".{variant}" if variant else ""),
    use="pass their path to Upscaler.from_pretrained",
    elsewhere="Look for a copy at huggingface.co/sd2-community, where what its makers withdrew is kept",
) for variant, gigabytes in {None: 3.5, "fp16": 1.7}.items()}  # fmt: skip


def release_of(name: str) -> Release | None:
    """The cascade with this short name or repository name, or None."""
    return next((r for short, r in RELEASES.items() if name in (short, r.repository)), None)


def fetch(release: Release) -> Path:
    """The folder with the release's files; what is missing is downloaded, with progress.

    After a lost connection it goes on where it was. If it breaks off for good, the files that were whole are kept for
    the next try, and no file is left half there.

    Raises OSError if there is no room for them, or ConnectionError, which tells the cause and the cure, if they are
    neither cached nor can be had.
    """
    if (snapshot := cached(release)) is not None:
        return snapshot
    check_room(release, cache_of(release))
    try:
        folder = download(release)
    except Exception as error:  # the library's errors have no common class, and nothing but the library runs in there
        raise ConnectionError(failure(release, cause(error, release.elsewhere))) from error
    if lacking := missing(release, folder):  # without a connection the library may hand out whatever is there
        raise ConnectionError(failure(release, f"{lacking[0]} is missing: connect to the internet, and try again"))
    return folder


def download(release: Release) -> Path:
    """A token that has expired makes the hub refuse even what is public. So what is refused is tried without it."""
    from huggingface_hub import snapshot_download

    get = partial(snapshot_download, release.repository, revision=release.commit, allow_patterns=list(release.files))
    try:
        return Path(get())
    except OSError as error:
        if not {401, 403} & statuses(error):
            raise
    return Path(get(token=False))


def failure(release: Release, why: str) -> str:
    """What to say when a download failed: what is missing, where it goes, why it failed, and what to do."""
    return (f"cannot download {release.repository} ({release.gigabytes} GB, commit {release.commit[:7]}) to "
            f"{cache_of(release)}: {why}. Or copy the repository's folders to this machine, and {release.use}")


def cache_of(release: Release) -> Path:
    """The folder for a release in the cache, there or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{release.repository.replace('/', '--')}"


def cached(release: Release) -> Path | None:
    """The release's folder, if all of its files are in the cache."""
    snapshot = cache_of(release) / "snapshots" / release.commit
    return None if missing(release, snapshot) else snapshot


def missing(release: Release, snapshot: Path) -> list[str]:
    """The files that a folder of the release still lacks."""
    return [file for file in release.files if not (snapshot / file).is_file()]


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
