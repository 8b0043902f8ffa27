"""Noise in, noise out: the process and its loss, samplers, guidance, inversion. It knows no captions and no pictures.

May import: common.
"""

from .guidance import guided, guided_within
from .inversion import ddim_inverse
from .likelihood import gaussian_kl, log_likelihood_8bit
from .process import SCHEDULES, Denoiser, Diffusion, DiffusionConfig, cosine_betas, linear_betas
from .samplers import SAMPLERS, analytic, ddim, ddpm, dpm
from .steps import Step, generators, last, next_noise, noise_stream, timesteps

__all__ = [
    "Denoiser", "Diffusion", "DiffusionConfig", "SAMPLERS", "SCHEDULES", "Step", "analytic", "cosine_betas", "ddim",
    "ddim_inverse", "ddpm", "dpm", "gaussian_kl", "generators", "guided", "guided_within", "last", "linear_betas",
    "log_likelihood_8bit", "next_noise", "noise_stream", "timesteps",
]  # fmt: skip
