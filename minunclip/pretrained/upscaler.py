"""256 to 1024 pixels with released weights: Stable Diffusion's x4 upscaler (Rombach et al. 2022), from diffusers.

Karlo ends at 256 pixels, and nobody released an unCLIP network for the step to 1024. This one stands in for it. It is
a latent diffusion model: it denoises a small tensor that a decoder of its own turns into the large picture, and it
reads the caption. To the cascade it is an `Upsampler` like any other: it has `stream` and `noise_shape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..common import free_on, out_of_memory
from ..diffusion import Step
from .fetching import fetch
from .releases import PIPELINE, UPSCALERS, Release

LATENT_CHANNELS = 4                         # of its small tensors
BYTES_A_PIXEL = 4000                        # that decoding a picture at once takes in float32, about


@dataclass(frozen=True)
class UpscalerConfig:
    """How to enlarge."""

    size: int = 1024                        # side of the pictures that come out
    low_size: int = 256                     # and of those that go in
    guidance: float = 9.0                   # how closely to follow the caption; 1 is none
    noise: int = 20                         # the timestep, 0 to 350, to which the small picture is noised first: more
                                            # hides more of its faults, and of its details

    def __post_init__(self):
        if not 0 <= self.noise <= 350:
            raise ValueError(f"UpscalerConfig: noise is {self.noise}, but the network knows 0 to 350")


class Upscaler(nn.Module):
    """The networks of a StableDiffusionUpscalePipeline, sampled by DDIM (Song et al. 2020)."""

    def __init__(self, pipeline, config: UpscalerConfig | None = None):
        from diffusers import DDIMScheduler

        super().__init__()
        self.config = config or UpscalerConfig()
        self.pipeline = pipeline
        self.text_encoder, self.unet, self.vae = pipeline.text_encoder, pipeline.unet, pipeline.vae
        self.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        self.requires_grad_(False).eval()

    @classmethod
    def from_pretrained(
        cls, folder: str | Path | None = None, device="cpu", dtype=torch.float32, *, config=None
    ) -> Upscaler:  # fmt: skip
        """The released upscaler, downloaded at the first call (1.7 GB in half precision, else 3.5 GB), or a folder.

        Raises ImportError, with what to install, without diffusers and transformers; OSError if it cannot be fetched
        or the disk has no room for it; and ValueError for a folder that holds none, or not all of it.
        """
        pipeline = pipeline_class()                                             # first: before gigabytes are fetched
        place = checked_folder(folder, dtype)
        variant = "fp16" if (place / "unet" / f"{PIPELINE}.fp16.safetensors").is_file() else None
        try:
            made = pipeline.from_pretrained(place, dtype=dtype, variant=variant, use_safetensors=True)
        except (OSError, ValueError, TypeError, SafetensorError) as error:      # what diffusers says of what is missing
            why = " ".join(str(error).split())[:200]
            raise ValueError(f"{place} has no x4 upscaler, or not all of it ({why}): fetch it again") from None
        upscaler = cls(made, config).to(device)
        for tensor in (*upscaler.parameters(), *upscaler.buffers()):
            tensor.data = tensor.data.clone()                                   # it may be a view of a file
        return upscaler

    def add_to(self, cascade, steps: int = 75) -> None:
        """Make a cascade (UnCLIP) draw at this size, too, in so many steps; 75 is what the makers take."""
        add_to(cascade, self, steps)

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def noise_shape(self, low: Tensor) -> tuple[int, ...]:
        """Of the noise for pictures low (B, 3, s, s): that of the small picture, then that of the latents."""
        return len(low), 3 + LATENT_CHANNELS, *low.shape[2:]

    @torch.no_grad()
    def stream(
        self, low: Tensor, noise: Iterable[Tensor], *, steps: int = 75, sampler: str = "ddim",
        captions: list[str] | None = None,
    ) -> Iterator[Step]:  # fmt: skip
        """Enlarge pictures low (B, 3, s, s) in [-1, 1] to (B, 3, 4 s, 4 s), in so many steps of 2 to 1000.

        noise: its first tensor is used, see `noise_shape`. captions: one for each, by default empty. sampler: DDIM,
        whatever is asked for. Yields after every step; x_t and x_0 are latents (B, 4, s, s), but in the last step,
        whose t is 0, both are the pictures.
        """
        g, level = self.config.guidance, torch.full((len(low),), self.config.noise, device=self.device)
        low, noise = low.to(self.device).float(), next(iter(noise)).to(self.device)
        low = self.pipeline.low_res_scheduler.add_noise(low, noise[:, :3], level)
        tokens, no_tokens = self.pipeline.encode_prompt(captions or [""] * len(low), self.device, 1, g != 1)
        x_t = noise[:, 3:]                                                      # (B, 4, s, s)
        self.scheduler.set_timesteps(steps, self.device)
        for i, t in enumerate(self.scheduler.timesteps):
            x = torch.cat([x_t, low], dim=1).to(self.unet.dtype)                # (B, 4 + 3, s, s)
            output = self.unet(x, t, tokens, class_labels=level).sample.float()
            if g != 1:
                plain = self.unet(x, t, no_tokens, class_labels=level).sample.float()
                output = plain + g * (output - plain)
            result = self.scheduler.step(output, t, x_t)
            x_t, x_0 = result.prev_sample, result.pred_original_sample
            if i < steps - 1:
                yield Step(x_t, x_0, int(t))
        picture = self.decode(x_t)
        yield Step(picture, picture, 0)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, 4, s, s) -> pictures (B, 3, 4 s, 4 s) in [-1, 1]. Its decoder overflows in float16.

        In tiles, whose borders are blended, where memory is short: a picture that differs a little.
        """
        self.vae.float()
        pixels = 16 * latents[0, 0].numel()
        return torch.cat([self.decode_one(one, pixels * BYTES_A_PIXEL) for one in latents.split(1)]).clamp(-1, 1)

    def decode_one(self, latents: Tensor, needed: int) -> Tensor:
        """One picture, whole if the device has the bytes that this needs, and they do not run out even so."""
        vae = self.vae
        latents = latents / vae.config.scaling_factor
        vae.use_tiling = free_on(self.device) < needed
        try:
            return vae.decode(latents).sample
        except (RuntimeError, MemoryError) as error:
            if vae.use_tiling or not out_of_memory(error):
                raise
        vae.use_tiling = True
        return vae.decode(latents).sample


def add_to(cascade, upscaler, steps: int) -> None:
    """Raises ValueError for an upscaler that does not begin where the cascade ends."""
    if cascade.sizes[-1] != upscaler.config.low_size:
        raise ValueError(f"this upscaler enlarges pictures of {upscaler.config.low_size} pixels, and the cascade draws "
                         f"at {cascade.sizes}: pass an UpscalerConfig with its last size as low_size")  # fmt: skip
    cascade.settings = replace(cascade.settings, upsampler_steps=(*cascade.settings.upsampler_steps, steps))
    cascade.upsamplers.append(upscaler)


def release_for(dtype: torch.dtype) -> Release:
    """In half precision there are files of half the size."""
    return UPSCALERS["fp16" if dtype != torch.float32 else None]


def checked_folder(folder: str | Path | None, dtype: torch.dtype) -> Path:
    """The folder of the released upscaler, fetched if need be, or a folder of one's own, of which it says whether it is
    there at all: ValueError."""
    check_extra()
    place = fetch(release_for(dtype)) if folder is None else Path(folder).expanduser()
    if not place.is_dir():
        raise ValueError(f"there is no folder {place}")
    return place


def check_extra(what: str = "the x4 upscaler") -> None:
    """Raises ImportError, with what to install, if a package is missing. Quick: it imports none of them."""
    for name in ("diffusers", "transformers"):
        if find_spec(name) is None:
            raise without_extra(f"there is no {name}", what)


def pipeline_class():
    """Raises ImportError, with what to install, if a package is missing."""
    try:
        import transformers  # noqa: F401  # diffusers without it has no such pipeline, and says so only when it is used
        from diffusers import StableDiffusionUpscalePipeline
    except ImportError as error:
        raise without_extra(error) from None
    return StableDiffusionUpscalePipeline


def without_extra(why, what: str = "the x4 upscaler") -> ImportError:
    return ImportError(f"{what} needs diffusers and transformers ({why}): install them with "
                       "`pip install -e '.[upscale]'` or `uv sync --extra upscale`")  # fmt: skip
