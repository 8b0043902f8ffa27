"""Kandinsky 2.2's decoder, from diffusers: from z_i to a picture of 512 pixels or more.

It is a latent diffusion model: its U-Net denoises a small tensor that a decoder of its own (MoVQ, Zheng et al. 2022)
turns into the picture. It reads no caption, so z_i is all that it knows. Where our `Decoder` was trained to draw
without z_i, too, this one was not: guidance compares with the z_i of an empty picture instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..diffusion import Denoiser, Step, guided, next_noise
from .config_file import WIDEST, ConfigFile
from .late import Late
from .releases import PIPELINE
from .upscaler import without_extra
from .weight_files import weights_in

LARGEST = 1024                              # numbers on a side of its small tensors


@dataclass(frozen=True)
class KandinskyConfig:
    """What the cascade wants to know of the decoder. The defaults are those of Kandinsky 2.2."""

    z_width: int = 1280                     # of z_i
    text_width: int = 1280                  # of a caption's tokens, which the prior reads
    latent_channels: int = 4
    latent_size: int = 64                   # side of its small tensors as it was first trained
    factor: int = 8                         # the picture's side is so many times as large

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sides that it draws: that of its first training, and half as much more, and twice as much."""
        return tuple(share * self.factor * self.latent_size // 2 for share in (2, 3, 4))

    @property
    def size(self) -> int:
        """The side if none is asked for, 768: that of the makers' examples."""
        return self.sizes[1]


class KandinskyDecoder(nn.Module):
    """The networks of a KandinskyV22Pipeline, sampled with DDPM or DDIM."""

    def __init__(self, unet: nn.Module, movq: nn.Module, scheduler, config: KandinskyConfig | None = None):
        """scheduler: a DDIMScheduler."""
        super().__init__()
        self.unet, self.movq, self.scheduler = unet, movq, scheduler
        self.config = config or KandinskyConfig()
        self.requires_grad_(False).eval()

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, device="cpu", dtype=torch.float32, *, config: KandinskyConfig | None = None
    ) -> KandinskyDecoder:  # fmt: skip
        """From a folder laid out like kandinsky-2-2-decoder: unet, movq and scheduler.

        MoVQ stays in float32, whatever the dtype: a large picture's sums are long. Raises ImportError, with what to
        install, without diffusers; and ValueError for a folder that holds no such decoder, or not all of it.
        """
        unet_class, movq_class, scheduler_class = network_classes()
        folder = Path(folder)
        check_scheduler(folder)
        config = config or config_of(folder)
        unet = network(unet_class, folder / "unet", dtype)
        movq = network(movq_class, folder / "movq", torch.float32)
        # The last step ends at the picture without noise, as it does in DDPM.
        scheduler = scheduler_class.from_pretrained(folder / "scheduler", set_alpha_to_one=True)
        decoder = cls(unet, movq, scheduler, config).to(device)
        for tensor in (*decoder.parameters(), *decoder.buffers()):
            tensor.data = tensor.data.clone()                           # it may be a view of a file
        return decoder

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @torch.no_grad()
    def stream(
        self, z_i: Tensor, noise: Iterable[Tensor], *, null_z: Tensor | None = None, guidance: float = 1.0,
        steps: int = 50, sampler: str = "ddpm",
    ) -> Iterator[Step]:  # fmt: skip
        """Draw z_i (B, D) in so many steps of 2 to 999; the noise (B, 4, s, s) says at which side, (B, 3, 8 s, 8 s).

        null_z (1, D): what guidance compares with. sampler: "ddpm", which asks the noise for a tensor a step besides
        the first, or else DDIM. Yields after every step; x_t and x_0 are latents (B, 4, s, s), but in the last step,
        whose t is 0, both are the pictures. Raises ValueError for too many steps.
        """
        if steps >= self.scheduler.config.num_train_timesteps:
            raise ValueError(f"decoder_steps is {steps}: this decoder takes 2 to 999")
        z_i = z_i.to(self.device)
        denoiser = self.denoiser(z_i, null_z, guidance)
        noise, eta = iter(noise), float(sampler == "ddpm")              # DDIM with an eta of 1 is DDPM
        x_t = next_noise(noise, z_i)                                    # (B, 4, s, s)
        self.scheduler.set_timesteps(steps, self.device)
        for i, t in enumerate(self.scheduler.timesteps):
            output = denoiser(x_t, t.expand(len(x_t)))[:, : x_t.shape[1]]       # the rest is a learned variance
            last = i == steps - 1
            fresh = next_noise(noise, x_t) if eta and not last else torch.zeros_like(x_t)
            result = self.scheduler.step(output, t, x_t, eta=eta, use_clipped_model_output=True, variance_noise=fresh)
            x_t = result.prev_sample
            if not last:
                yield Step(x_t, result.pred_original_sample, int(t))
        picture = self.decode(x_t)
        yield Step(picture, picture, 0)

    def denoiser(self, z_i: Tensor, null_z: Tensor | None = None, guidance: float = 1.0) -> Denoiser:
        """(x_t, t) -> the noise in latents x_t (B, 4, s, s), and numbers that say its variance, (B, 8, s, s)."""
        if guidance != 1:
            z_i = torch.cat([null_z.to(z_i).expand(len(z_i), -1), z_i])         # (2 B, D)
        condition = {"image_embeds": z_i.to(self.unet.dtype)}

        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            return self.unet(x_t.to(self.unet.dtype), t, None, added_cond_kwargs=condition).sample.float()

        return denoiser if guidance == 1 else guided(denoiser, guidance)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, 4, s, s) -> pictures (B, 3, 8 s, 8 s) in -1 to 1, one after the other."""
        pictures = [self.movq.decode(one, force_not_quantize=True).sample for one in latents.float().split(1)]
        return torch.cat(pictures).clamp(-1, 1)


class LateDecoder(Late):
    """What a KandinskyDecoder does, by one that is loaded at its first picture."""

    def __init__(self, load, size: int, device: torch.device, *, config: KandinskyConfig):
        super().__init__(load, size, device)
        self.config = config

    def noise_shape(self, count: int, side: int | None = None) -> tuple[int, ...]:
        """Of the noise for so many pictures of a side."""
        latent = (side or self.config.size) // self.config.factor
        return count, self.config.latent_channels, latent, latent

    def stream(self, cascade, z_i: Tensor, noise: Iterable[Tensor], **how) -> Iterator[Step]:
        """See `KandinskyDecoder.stream`."""
        with self.here(cascade) as decoder:
            yield from decoder.stream(z_i, noise, **how)


# -- its folder ----------------------------------------------------------------------------------------------


def config_of(folder: Path, text_width: int = 1280) -> KandinskyConfig:
    """Raises ValueError for a config.json that is missing or damaged, or that belongs to another decoder."""
    unet = ConfigFile.read(folder / "unet" / "config.json", encoder_hid_dim_type="image_proj",
                           addition_embed_type="image", class_embed_type=None)  # fmt: skip
    movq = ConfigFile.read(folder / "movq" / "config.json")
    levels = movq.row("block_out_channels", lambda value: type(value) is int and 1 <= value <= WIDEST, "a width")
    return KandinskyConfig(
        z_width=unet.whole("encoder_hid_dim"), text_width=text_width, latent_channels=unet.whole("in_channels"),
        latent_size=unet.whole("sample_size", high=LARGEST), factor=2 ** (len(levels) - 1),
    )  # fmt: skip


def check_scheduler(folder: Path) -> None:
    """Raises ValueError for a scheduler that samples otherwise than `KandinskyDecoder.stream`."""
    file = ConfigFile.read(folder / "scheduler" / "scheduler_config.json", prediction_type="epsilon",
                           timestep_spacing="leading", thresholding=False)  # fmt: skip
    file.choice("variance_type", ("fixed_small", "fixed_small_log"), "fixed_small")


def network(network_class: type, folder: Path, dtype: torch.dtype) -> nn.Module:
    """One of diffusers' networks. Raises ValueError if it is not there, or not whole."""
    variant = weights_in(folder, f"{PIPELINE}.safetensors").name.removeprefix(PIPELINE).removesuffix(".safetensors")
    try:
        return network_class.from_pretrained(folder, dtype=dtype, variant=variant[1:] or None, use_safetensors=True)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder} has no such network, or not all of it ({why}): fetch it again") from None


def network_classes() -> tuple[type, type, type]:
    """diffusers' classes. Raises ImportError, with what to install, without it."""
    try:
        from diffusers import DDIMScheduler, UNet2DConditionModel, VQModel
    except ImportError as error:
        raise without_extra(error, "Kandinsky's decoder") from None
    return UNet2DConditionModel, VQModel, DDIMScheduler
