"""What the test files of the solvers share: a network, and perfect denoisers of a Gaussian and of a mixture."""

import torch
from helpers import normal
from torch import Tensor

from minunclip.diffusion import Diffusion, DiffusionConfig

MU, S = 0.3, 0.5  # the Gaussian
WEIGHTS, MEANS, STDS = torch.tensor([[0.3, 0.7], [-0.5, 0.5], [0.1, 0.15]]).double()  # the mixture


def process(target: str = "x0", **changes) -> Diffusion:
    return Diffusion(DiffusionConfig(target=target, clip=None, **changes))


def network(x_t: Tensor, t: Tensor) -> Tensor:
    """A fixed function of x_t and t that mixes channels."""
    weight = normal(3, 3, seed=7)
    return torch.tanh(torch.einsum("dc,bchw->bdhw", weight, x_t) + (t / 150).sin().view(-1, 1, 1, 1))


def mixture(diffusion: Diffusion):
    """The perfect denoiser of independent numbers from a Gaussian mixture: E[target | x_t], in float64."""

    def denoiser(x_t, t):
        signal, sigma = (x.double() for x in diffusion.scales(t, x_t))
        a, s, x = signal[..., None], sigma[..., None], x_t.double()[..., None]
        spread = a**2 * STDS**2 + s**2
        share = torch.softmax(WEIGHTS.log() - spread.log() / 2 - (x - a * MEANS) ** 2 / (2 * spread), dim=-1)
        x_0 = (share * (MEANS + a * STDS**2 / spread * (x - a * MEANS))).sum(dim=-1)
        return diffusion.target_of(x_0, t, (x_t.double() - signal * x_0) / sigma)

    return denoiser


def gaussian(diffusion: Diffusion, mu: float = MU, s: float = S):
    """The perfect denoiser of N(mu, s^2), which is linear in x_t."""

    def denoiser(x_t, t):
        signal, sigma = diffusion.scales(t, x_t)
        score = (x_t - signal * mu) / (signal**2 * s**2 + sigma**2)  # up to its sign
        return diffusion.target_of(mu + signal * s**2 * score, t, sigma * score)

    return denoiser
