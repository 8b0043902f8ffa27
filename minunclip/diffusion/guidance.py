"""Classifier-free guidance: a wrapper round any denoiser."""

import torch
from torch import Tensor

from .process import Denoiser


def guide(uncond: Tensor, cond: Tensor, scale: float) -> Tensor:
    """From the prediction without the condition to the one with it, and `scale` times as far: shaped like both."""
    return uncond + scale * (cond - uncond)


def guided(denoiser: Denoiser, scale: float) -> Denoiser:
    """Classifier-free guidance (Ho & Salimans 2022): uncond + scale (cond - uncond), from one doubled batch.

    `denoiser` gets x_t and t twice over, (2B, C, ...) and (2B,), and must treat the first half as
    unconditional and the second as conditional. Scale 0 is unconditional, 1 conditional, above 1 guided. Only
    the prediction is guided: variance channels, if any, are those of the conditional half.
    """

    def guided_denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        channels = x_t.shape[1]
        uncond, cond = denoiser(torch.cat([x_t, x_t]), torch.cat([t, t])).float().chunk(2)
        uncond, cond, variance = uncond[:, :channels], cond[:, :channels], cond[:, channels:]
        return torch.cat([guide(uncond, cond, scale), variance], dim=1)  # (B, C or 2C, ...)

    return guided_denoiser


def guided_within(lo: int, hi: int, guided: Denoiser, plain: Denoiser) -> Denoiser:
    """Guidance in an interval of noise levels (Kynkaanniemi et al. 2024): `guided` where lo <= t <= hi, else `plain`.

    They found that guidance at high noise costs variety, and at low noise only time. Both
    denoisers are (x_t, t) -> output, of the same condition; only the one that is needed runs:

        guided_within(200, 700, cascade.decoder_denoiser(z_i, text, 4.0), cascade.decoder_denoiser(z_i, text))
    """

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        inside = (lo <= t) & (t <= hi)  # (B,)
        if inside.all():
            return guided(x_t, t)
        if not inside.any():
            return plain(x_t, t)
        return torch.where(inside.view(-1, *[1] * (x_t.ndim - 1)), guided(x_t, t), plain(x_t, t))

    return denoiser
