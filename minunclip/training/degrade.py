"""What the small pictures of the upsamplers go through in training (unCLIP section 2.1).

The decoder's samples are not perfect, and an upsampler trained on perfect small pictures would copy their
faults. Each function takes pictures in [-1, 1] and a CPU generator, and keeps shape, range, dtype and device.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor

from ..common import to_uint8


def random_crop(
    high: Tensor, low: Tensor, generator: torch.Generator, fraction: int = 4
) -> tuple[Tensor, Tensor]:
    """The same random crop, `1 / fraction` of the side, of high (B, 3, H, W) and low (B, 3, h, w) pictures.

    Corners fall on the grid of the small picture, so that the crops show the same thing. Each picture of the
    batch has its own. Raises ValueError if a side of high is no multiple of that of low.
    """
    if high.shape[-1] % low.shape[-1] or high.shape[-2] % low.shape[-2]:
        raise ValueError(f"random_crop: high is {tuple(high.shape[-2:])} and low is {tuple(low.shape[-2:])}; "
                         "the sides of high must be multiples of those of low")
    factor, (h, w) = high.shape[-1] // low.shape[-1], low.shape[-2:]
    crop_h, crop_w = h // fraction, w // fraction
    highs, lows = [], []
    for i in range(len(low)):
        y = random_int(0, h - crop_h, generator)
        x = random_int(0, w - crop_w, generator)
        lows.append(low[i, :, y : y + crop_h, x : x + crop_w])
        highs.append(high[i, :, factor * y : factor * (y + crop_h), factor * x : factor * (x + crop_w)])
    return torch.stack(highs), torch.stack(lows)


def gaussian_blur(
    images: Tensor, generator: torch.Generator, probability: float = 0.5, sigma: float = 0.6
) -> Tensor:
    """Blur images (B, 3, h, w) a little: the first upsampler's degradation (unCLIP section 2.1, Appendix C).

    The paper says a 3x3 kernel of sigma 0.6, after SR3 (Saharia 2021). Here each picture is blurred with the
    given probability, by a sigma drawn evenly from 0.4 to `sigma` pixels; the others stay sharp, so that the
    network knows sharp pictures as well. Probability and range are our choice.
    """
    chosen = torch.rand(len(images), generator=generator) < probability
    sigmas = 0.4 + (sigma - 0.4) * torch.rand(len(images), generator=generator)
    blurred = blur(images, sigmas, radius=1)
    return torch.where(chosen.to(images.device)[:, None, None, None], blurred, images)


def degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, resize, add noise to and compress images (B, 3, h, w): the second upsampler's degradation.

    A light form of BSR (Zhang 2021, "Designing a Practical Degradation Model"): four faults, each drawn at
    random for each picture, in random order. The draws depend on the generator alone, not on the device.
    """
    faults = [random_blur, random_resize, random_noise, random_jpeg]
    results = []
    for image in images.split(1):
        result = image.float()
        for i in torch.randperm(len(faults), generator=generator).tolist():
            result = faults[i](result, generator).clamp(-1, 1)
        results.append(result)
    return torch.cat(results).to(images.dtype)


def random_blur(image: Tensor, generator: torch.Generator) -> Tensor:
    """Isotropic, sigma from 0.1 to 1.6 pixels."""
    return blur(image, torch.tensor([random_float(0.1, 1.6, generator)]), radius=3)


def random_resize(image: Tensor, generator: torch.Generator) -> Tensor:
    """To between half and all of the side and back, each time with a kernel drawn from three."""
    size = image.shape[-2:]
    scale = random_float(0.5, 1.0, generator)
    for target in ([max(1, round(scale * side)) for side in size], list(size)):
        mode = ("area", "bilinear", "bicubic")[random_int(0, 2, generator)]
        smooth = {} if mode == "area" else {"align_corners": False, "antialias": True}
        image = F.interpolate(image, target, mode=mode, **smooth)
    return image


def random_noise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian, independent in each colour, with a standard deviation of 1 to 25 of 255 grey levels."""
    level = random_float(1, 25, generator) * 2 / 255
    return image + level * torch.randn(image.shape, generator=generator).to(image.device)


def random_jpeg(image: Tensor, generator: torch.Generator) -> Tensor:
    """Compressed at a quality from 30 to 95."""
    return jpeg(image, random_int(30, 95, generator))


def jpeg(image: Tensor, quality: int) -> Tensor:
    """One picture (1, 3, h, w), compressed by JPEG at a quality from 1 to 95 and read back."""
    file, pixels = io.BytesIO(), rearrange(to_uint8(image[0]), "c h w -> h w c")
    Image.fromarray(pixels.cpu().numpy()).save(file, "JPEG", quality=quality)
    decoded = torch.from_numpy(np.array(Image.open(file)))                      # (h, w, 3) uint8
    return rearrange(decoded.to(image.device).float() / 127.5 - 1, "h w c -> 1 c h w")


def blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """images (B, C, h, w), each under a Gaussian of its own sigma (B,) pixels, cut off at radius pixels."""
    b, c = images.shape[:2]
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))                # (B, 2 * radius + 1)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(images)
    kernel = kernel.repeat_interleave(c, dim=0)[:, None]                         # (B * C, 1, 2 * radius + 1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    flat = rearrange(padded, "b c h w -> 1 (b c) h w")
    with torch.autocast(images.device.type, enabled=False):                      # bf16 would add grain
        flat = F.conv2d(flat, kernel[:, :, None, :], groups=b * c)               # along the rows
        flat = F.conv2d(flat, kernel[:, :, :, None], groups=b * c)               # along the columns
    return rearrange(flat, "1 (b c) h w -> b c h w", b=b)


def random_float(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def random_int(low: int, high: int, generator: torch.Generator) -> int:
    """From low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
