"""The front door: from a name or a folder to a whole cascade, ready to draw."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import torch

from ..ar_prior import ARPrior
from ..clip import CLIP
from ..common import SHIPPED, keep_freed_memory, read_weights, verify, weights_folder
from ..decoder import Decoder
from ..prior import DiffusionPrior
from ..unclip import Settings, UnCLIP
from ..upsampler import Upsampler, UpsamplerConfig
from . import diffusers_folder, kakao_checkpoints
from .fetching import fetch
from .kandinsky import folders_of, load_kandinsky
from .lazy import LazyStage
from .offload import choose
from .released import Released
from .releases import CASCADES, least_room, releases_of
from .upscaler import check_extra

KARLO = Settings(
    prior_steps=25, prior_guidance=4.0, candidates=1, decoder_steps=25, decoder_guidance=8.0,
    upsampler_steps=(7,), sampler="ddpm",
)  # fmt: skip
FEATURE_MAPS = 20  # of the upsampler's finest level: the memory that its U-Net takes while it runs


def load(
    name: str | Path = "scenes", device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32,
    memory: str = "auto", *, prior: str | Path | None = None,
) -> UnCLIP:  # fmt: skip
    """The cascade of a name or of a folder, in evaluation mode.

    name: "scenes" and "emoji" came with this library; "karlo" or "kakaobrain/karlo-v1-alpha" is downloaded at the first
        call (13.7 GB), and kept in half precision (6.8 GB), see `fetching`; so is "kandinsky" (15.9 GB, and 9.8), which
        takes the extra "upscale". A folder has our own files, one for each stage, or a release in Karlo's layout or its
        makers', or both folders of Kandinsky; its path may begin with ~.
    memory: of a release: "resident", "offload", "disk" (see `offload`), or "auto", the fastest of them that fits. Our
        own weights are a few megabytes and always resident.
    prior: a weight file that training wrote, in the place of the model's own prior. It must have learned from
        embeddings of the same CLIP.
    Raises ValueError for a name that is not known or weights that do not fit their config, OSError for files that are
    missing or cannot be fetched, ImportError without the extra where it is needed, and MemoryError.
    """
    own = prior and prior_from(folder_of(prior), device, dtype)
    if str(name) in SHIPPED:
        return with_prior(load_shipped(str(name), device, dtype), own)
    folder, *more = folders(name)
    if is_ours(folder):
        return with_prior(load_own(folder, device, dtype), own)
    if more:
        return with_prior(load_kandinsky(folder, *more, device, dtype, memory=memory, keep_prior=own is None), own)
    return with_prior(load_released(folder, device, dtype, memory, keep_prior=own is None), own)


def folders(name: str | Path) -> list[Path]:
    """Where a model's files are: its folder, or both of Kandinsky's. What has a release's name is fetched if need be.

    Raises ValueError for a name that is neither a release nor a folder.
    """
    if is_kandinsky(name):
        check_extra("Kandinsky's decoder")                              # before gigabytes are fetched
    if releases := releases_of(str(name)):
        found = {release.name: fetch(release) for release in least_room(releases)}
        return [found[release.name] for release in releases]
    folder = folder_of(name)
    if not folder.is_dir():
        raise ValueError(unknown(str(name)))
    return [*(folders_of(folder) or [folder])]


def is_kandinsky(name: str | Path) -> bool:
    """Whether this is Kandinsky: its name, or a folder with both of its own."""
    return len(releases_of(str(name))) == 2 or folders_of(folder_of(name)) is not None


def prior_from(path: Path, device: str | torch.device, dtype: torch.dtype) -> DiffusionPrior | ARPrior:
    """A prior of either kind from a file that training wrote. Raises ValueError for another file."""
    kinds = {kind.__name__: kind for kind in (DiffusionPrior, ARPrior)}
    found = read_weights(path)[0].get("stage")
    if found not in kinds:
        raise ValueError(f"{path} holds a {found}, no prior: train one with `minunclip train prior`")
    return kinds[found].from_pretrained(path, device).to(dtype)


def with_prior(cascade: UnCLIP, prior: DiffusionPrior | ARPrior | None) -> UnCLIP:
    """The cascade with this prior, if there is one. Raises ValueError if it speaks of embeddings of another size."""
    if prior is None:
        return cascade
    ours = {"z_width": cascade.decoder.config.z_width, "text_width": cascade.decoder.config.text_width}
    for name, width in ours.items():
        if (found := getattr(prior.config, name)) != width:
            raise ValueError(f"this prior has {name} {found}, and the decoder {width}: train it with the CLIP that the "
                             "decoder knows, `minunclip train prior --clip ...`")  # fmt: skip
    cascade.prior = prior
    return cascade


def is_ours(name: str | Path) -> bool:
    """Whether this is a model that this library trained: the shipped name, or a folder with our weight files."""
    folder = folder_of(name)
    return str(name) in SHIPPED or any((folder / stage.file_name).is_file() for stage in (CLIP, Decoder))


def folder_of(name: str | Path) -> Path:
    """A path, in which ~ is the user's home."""
    return Path(os.path.expanduser(name))


def unknown(name: str) -> str:
    """What to say of a name that is no model: the nearest one, unless it looks like a path."""
    folder = folder_of(name)
    if folder.exists():
        return f"{name} is a file, and a model is a folder of files: give the path of the folder"
    if name.startswith((".", "~")) or {*name} & {"/", os.sep}:
        return f"there is no folder {folder}: give the path of the folder with the model's files"
    known = [*SHIPPED, *CASCADES, *(release.repository for parts in CASCADES.values() for release in parts)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "try 'scenes', 'karlo', 'kandinsky' or the path of a folder"
    return f"there is no model {name!r}: {hint}"


# -- our own files: one for each stage -----------------------------------------------------------------------


def load_shipped(name: str, device: str | torch.device, dtype: torch.dtype) -> UnCLIP:
    """A cascade that came with this library. Raises ValueError for a file that is not the one that was shipped."""
    folder = weights_folder(name)
    for stage in (CLIP, DiffusionPrior, Decoder):
        verify(folder / stage.file_name)
    for path in upsampler_files(folder):
        verify(path)
    return load_own(folder, device, dtype)


def load_own(folder: Path, device: str | torch.device, dtype: torch.dtype) -> UnCLIP:
    """A cascade of files that training wrote, with the diffusion prior if both priors are there, or with neither."""
    prior = next((stage for stage in (DiffusionPrior, ARPrior) if (folder / stage.file_name).is_file()), None)
    return UnCLIP(
        CLIP.from_pretrained(folder / CLIP.file_name, device).to(dtype),
        prior and prior.from_pretrained(folder / prior.file_name, device).to(dtype),
        Decoder.from_pretrained(folder / Decoder.file_name, device).to(dtype),
        [Upsampler.from_pretrained(path, device).to(dtype) for path in upsampler_files(folder)],
    )


def upsampler_files(folder: Path) -> list[Path]:
    """upsampler-1.safetensors, upsampler-2.safetensors, ...: as many as there are, smallest pictures first."""
    return sorted(folder.glob("upsampler-*.safetensors"))


# -- a release, whose weights are large ----------------------------------------------------------------------


def load_released(
    folder: Path, device: str | torch.device, dtype: torch.dtype, memory: str, *, keep_prior: bool = True
) -> UnCLIP:
    """A cascade of a released layout, with the settings of its makers; without a prior if the folder has none."""
    layout = kakao_checkpoints if kakao_checkpoints.is_original(folder) else diffusers_folder
    parts = layout.parts(folder) | ({} if keep_prior else {"prior": None})
    stages = {name: part and LazyStage.of(part) for name, part in parts.items()}

    sizes = [size for stage in stages.values() if stage for size in stage.sizes(dtype).values()]
    working = working_memory(stages["upsampler"].stage.config, dtype)
    mode = choose(memory, sizes, working, torch.device(device))
    if torch.device(device).type == "cpu":
        keep_freed_memory()

    cascade = Released(stages, mode, device, dtype)
    cascade.settings = KARLO
    return cascade


def working_memory(config: UpsamplerConfig, dtype: torch.dtype) -> int:
    """Bytes that drawing one picture takes besides the weights: most in the upsampler, at its finest level."""
    return FEATURE_MAPS * config.unet.channels * config.size**2 * dtype.itemsize
