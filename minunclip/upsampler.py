"""An upsampler: from a small picture to one of four times the side (unCLIP section 2.1).

It sees the small picture, enlarged, next to the noisy one. It has neither attention nor a caption, so that it
learns from crops and runs on whole pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import Stage
from .diffusion import SAMPLERS, Denoiser, Diffusion, DiffusionConfig, Step
from .networks import UNet, UNetConfig


@dataclass(frozen=True)
class UpsamplerConfig:
    """The defaults are Karlo's."""

    unet: UNetConfig = field(default_factory=lambda: UNetConfig(in_channels=6, attention=(), film=False))
    size: int = 256                         # side of the pictures that come out
    low_size: int = 64                      # and of those that go in
    last_step_unet: bool = False            # a second U-Net for the last step, t = 0 (Karlo has one, for sharpness)
    residual: float = 0.0                   # above 0: predict what the enlarged small picture lacks, in this unit, not
                                            # the whole picture, for GroupNorm forgets how light a picture is
                                            # (Kim et al. 2016); target "x0"
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)

    def __post_init__(self):
        if self.unet.in_channels != 6:
            raise ValueError(f"UpsamplerConfig: unet.in_channels is {self.unet.in_channels}, but must be 6: "
                             "the noisy picture and the enlarged small one")
        if self.residual and self.diffusion.target != "x0":
            raise ValueError("UpsamplerConfig: residual goes with diffusion.target='x0' only, not with "
                             f"{self.diffusion.target!r}: only x_0 is like the small picture")


# The paper's own network for 256 -> 1024 (unCLIP Appendix C, table 3): 282 million parameters, "300M" there. Its
# weights were never released. film=True as in ADM; the table does not tell, and 267 million without would be 300M, too.
PAPER_1024 = UpsamplerConfig(
    unet=UNetConfig(in_channels=6, channels=192, mults=(1, 1, 2, 2, 4, 4), blocks=2, attention=(), context_width=None),
    size=1024, low_size=256, diffusion=DiffusionConfig(schedule="linear"),
)  # fmt: skip


class Upsampler(Stage):
    """Predicts the noise in x_t, given the same picture at a lower resolution. Any size works."""

    config_class, file_name = UpsamplerConfig, "upsampler-1.safetensors"

    def __init__(self, config: UpsamplerConfig):
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)
        self.last_unet = UNet(config.unet) if config.last_step_unet else None
        self.diffusion = Diffusion(config.diffusion)

    def forward(self, x_t: Tensor, t: Tensor, low_res: Tensor) -> Tensor:
        """x_t (B, 3, H, W), t (B,) timesteps 0..999 -> (B, 3, H, W).

        low_res (B, 3, h, w) is the small picture in [-1, 1], or what `upsample` made of it. A batch goes to
        the last-step U-Net, if there is one, when all of its timesteps are 0.
        """
        low_res = upsample(low_res, x_t.shape[-2:])
        last = self.last_unet is not None and bool((t == 0).all())
        unet = self.last_unet if last else self.unet
        output = unet(torch.cat([x_t, low_res.to(x_t.dtype)], dim=1), t)
        scale = self.config.residual
        return low_res.to(output.dtype) + scale * output if scale else output

    # -- sampling --------------------------------------------------------------------------------------------

    def noise_shape(self, low: Tensor) -> tuple[int, ...]:
        """Of the noise with which pictures low (B, 3, h, w) are enlarged: (B, 3, H, W)."""
        factor = self.config.size // self.config.low_size
        return len(low), 3, factor * low.shape[-2], factor * low.shape[-1]

    def stream(
        self, low: Tensor, noise: Iterable[Tensor], *, steps: int = 7, sampler: str = "ddim",
        captions: list[str] | None = None,
    ) -> Iterator[Step]:  # fmt: skip
        """Enlarge low (B, 3, h, w) in [-1, 1] by one of SAMPLERS: the last step's x_t is the picture, (B, 3, H, W).

        captions: not read, unlike by the released network that goes on to 1024 pixels.
        """
        return SAMPLERS[sampler](self.diffusion, self.denoiser(low), noise, steps)

    def denoiser(self, low: Tensor) -> Denoiser:
        """(x_t, t) -> prediction, for pictures that look like `low` (B, 3, h, w)."""
        low = upsample(low, self.noise_shape(low)[-2:])

        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            return self(x_t, t, low)

        return denoiser


def upsample(low_res: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Enlarge pictures (B, 3, h, w) to the side `size`, bicubic, in float32: (B, 3, size, size).

    Pictures that have that side already come back as they are, so a sampler may call this once, beforehand.
    Overshoots beyond [-1, 1] are kept. antialias=True is the cubic kernel with a = -0.5 even when enlarging
    (without it a = -0.75): released weights were trained with it.
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    if tuple(low_res.shape[-2:]) == size:
        return low_res
    how = {"mode": "bicubic", "align_corners": False, "antialias": True}
    try:
        return F.interpolate(low_res.float(), size, **how)
    except NotImplementedError:                                         # on Apple's MPS before PyTorch 2.8
        return F.interpolate(low_res.float().cpu(), size, **how).to(low_res.device)
