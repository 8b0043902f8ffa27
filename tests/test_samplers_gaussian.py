"""DDPM and DDIM on Gaussian data, where the perfect denoiser and the exact flow are known."""

import pytest
import torch
from sampler_helpers import recorded

from minunclip.diffusion import Diffusion, DiffusionConfig, ddim, ddpm, generators, last, noise_stream, timesteps


def gaussian_denoiser(diffusion: Diffusion, mu: float, s: float, steps: int):
    """E[target | x_t] for data N(mu, s^2); if learned, the variance of x_{t_prev} given x_t as well."""
    visited = timesteps(steps)
    previous = dict(zip(visited, [*visited[1:], -1], strict=True))

    def denoiser(x_t, t):
        signal, sigma = diffusion.scales(t, x_t)
        spread = signal**2 * s**2 + sigma**2  # the variance of x_t
        x_0 = mu + signal * s**2 / spread * (x_t - signal * mu)
        prediction = diffusion.target_of(x_0, t, sigma / spread * (x_t - signal * mu))
        if not diffusion.config.learned_variance:
            return prediction
        t_prev = torch.tensor([previous[i] for i in t.tolist()])
        slope, least, most = diffusion.posterior(torch.ones_like(x_t), torch.zeros_like(x_t), t, t_prev)
        exact = least + slope**2 * s**2 * sigma**2 / spread  # x_0 is not known for sure, either
        fraction = (exact.log() - least.log()) / (most.log() - least.log())
        return torch.cat([prediction, 2 * fraction - 1], dim=1)

    return denoiser


def gaussian_sample(sampler, config: DiffusionConfig, steps: int, mu=0.5, s=0.3) -> tuple[float, float]:
    """The errors of the mean and of the spread of 40,000 numbers, in parts of s."""
    diffusion, noise = Diffusion(config), noise_stream((2, 20000), generators(0, 2))
    sample = last(sampler(diffusion, gaussian_denoiser(diffusion, mu, s, steps), noise, steps))
    return (sample.mean().item() - mu) / s, sample.std().item() / s - 1


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
@pytest.mark.parametrize(
    "sampler, learned, steps, spread",
    [
        (ddim, False, 200, 0.015),
        (ddpm, True, 10, 0.015),  # with the exact variance, ancestral steps of any length are exact
        (ddpm, False, 1000, 0.02),  # beta_tilde is right for small steps only
    ],
)
def test_gaussian_data_comes_out_with_its_mean_and_spread(sampler, learned, steps, spread, target):
    config = DiffusionConfig(target=target, clip=None, learned_variance=learned)
    mean_off, spread_off = gaussian_sample(sampler, config, steps)
    assert abs(mean_off) < 0.02 and abs(spread_off) < spread  # 4 standard errors: .020 and .014


def test_few_steps_with_beta_tilde_take_from_the_spread():
    """Why the decoder learns its variance (Nichol & Dhariwal 2021, section 3.1)."""
    _, spread_off = gaussian_sample(ddpm, DiffusionConfig(target="x0", clip=None), steps=10)
    assert spread_off < -0.1


def test_ddim_follows_the_exact_flow_of_gaussian_data():
    """x_T to mu + s x_T: with many steps DDIM solves the probability flow, sample by sample."""
    mu, s = 0.5, 0.3
    diffusion = Diffusion(DiffusionConfig(target="v", clip=None))
    x_T = recorded(1, (2, 100))[0]
    errors = []
    for steps in (50, 500):
        sample = last(ddim(diffusion, gaussian_denoiser(diffusion, mu, s, steps), [], steps, x_T=x_T))
        errors.append((sample - (mu + s * x_T)).abs().max().item())
    assert errors[1] < 0.005 and errors[1] < errors[0] / 4
