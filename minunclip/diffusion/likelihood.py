"""Two facts about Gaussians that the loss of a learned variance needs (Nichol & Dhariwal 2021, section 3.1)."""

import math

import torch
from torch import Tensor


def gaussian_kl(mean_p: Tensor, log_variance_p: Tensor, mean_q: Tensor, log_variance_q: Tensor) -> Tensor:
    """KL(p || q) of two diagonal Gaussians, elementwise, in nats."""
    log_ratio = log_variance_p - log_variance_q
    distance = (mean_p - mean_q) ** 2 * (-log_variance_q).exp()
    return 0.5 * (torch.expm1(log_ratio) - log_ratio + distance)


def log_likelihood_8bit(x_0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log of the Gaussian's mass in the bin of x_0, elementwise: 256 bins of width 2/255 centred on -1 .. 1.

    The two outermost bins reach to infinity, so that the 256 of them sum to one. A bin has the mass of its
    mirror image about the mean; taking the one below keeps float32 from subtracting two numbers close to 1.
    """
    std, black, white = (0.5 * log_variance).exp(), x_0 < -0.999, x_0 > 0.999
    centre = torch.where(black, x_0 - mean, torch.where(white, mean - x_0, -(x_0 - mean).abs()))
    scale = -math.sqrt(0.5) / std  # the normal distribution function is Phi(z) = erfc(-z / sqrt(2)) / 2
    upper = torch.erfc((centre + 1 / 255) * scale)
    lower = torch.erfc((centre - 1 / 255) * scale).masked_fill(black | white, 0)
    return ((upper - lower) / 2).clamp(min=1e-12).log()
