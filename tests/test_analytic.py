"""Analytic-DPM: its optimal variance against Gaussians in closed form and the paper's formula."""

import math

import pytest
import torch
from helpers import normal
from solver_helpers import MU, S, gaussian, network, process
from torch.testing import assert_close

from minunclip.diffusion import Diffusion, DiffusionConfig, analytic, ddpm, generators, last, noise_stream, timesteps
from minunclip.diffusion.samplers import optimal_variance
from minunclip.diffusion.steps import rows_mean


def variance_of_a_gaussian(diffusion: Diffusion, t: int, t_prev: int) -> float:
    """Var(x_{t_prev} | x_t) for data N(mu, s^2), by conditioning the two jointly Gaussian numbers on one another."""
    alpha_bar, alpha_bar_prev = diffusion.alphas_bar.double()[[t, t_prev]]
    before, after = (a * S**2 + 1 - a for a in (alpha_bar_prev, alpha_bar))
    return (before - alpha_bar / alpha_bar_prev * before**2 / after).item()


MOVES = [(999, 928), (700, 500), (500, 499), (300, 40), (40, 0)]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("t, t_prev", MOVES)
def test_the_optimal_variance_of_gaussian_data_is_its_closed_form(t, t_prev, schedule):
    diffusion = Diffusion(DiffusionConfig(schedule=schedule))
    alpha_bar = diffusion.alphas_bar.double()[t]
    square = ((1 - alpha_bar) / (alpha_bar * S**2 + 1 - alpha_bar)).item()  # E eps^2, from E[eps | x_t]
    found = optimal_variance(diffusion, square, torch.tensor([t]), torch.tensor([t_prev]),
                             like=torch.zeros(1, 1).double())  # fmt: skip
    expected = variance_of_a_gaussian(diffusion, t, t_prev)
    # at t = 999, 1 - square is 2e-9, and its rounding is what is left of the spread of x_0
    assert_close(found.item(), expected, rtol=2e-2 if t == 999 else 2e-4, atol=0)


@pytest.mark.parametrize("t, t_prev", MOVES)
@pytest.mark.parametrize("square", [0.2, 0.9])
def test_the_optimal_variance_is_the_papers_formula(t, t_prev, square):
    """Bao et al. 2022, theorem 1, in its notation: lambda^2 is beta_tilde, and E eps^2 = beta_bar E |score|^2 / d."""
    diffusion = process()
    bar, bar_prev = (1 - diffusion.alphas_bar.double()[[t, t_prev]]).tolist()  # beta_bar of the paper
    alpha = (1 - bar) / (1 - bar_prev)
    known = bar_prev / bar * (1 - alpha)
    expected = known + (math.sqrt(bar / alpha) - math.sqrt(bar_prev - known)) ** 2 * (1 - square)
    found = optimal_variance(diffusion, square, torch.tensor([t]), torch.tensor([t_prev]), like=torch.zeros(1, 1))
    assert_close(found.item(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("n", [10, 50])
def test_with_the_optimal_variance_long_steps_keep_the_spread_of_gaussian_data(n):
    diffusion, shape = process(), (2, 20000)
    denoiser = gaussian(diffusion)
    sample = last(analytic(diffusion, denoiser, noise_stream(shape, generators(0, 2)), n))
    assert abs(sample.mean().item() - MU) < 0.01 and abs(sample.std().item() / S - 1) < 0.02
    plain = last(ddpm(diffusion, denoiser, noise_stream(shape, generators(0, 2)), n))
    assert plain.std().item() / S - 1 < (-0.02 if n == 50 else -0.1)  # beta_tilde adds too little


def test_the_variance_stays_between_its_least_and_its_most():
    """E eps^2 = 1 leaves nothing open: DDPM with beta_tilde. A tiny E eps^2 asks for more than beta, and gets beta."""
    diffusion, noise = process("eps"), [normal(2, 3, 4, 4, seed=i) for i in range(6)]

    def sized(size: float):
        """The network's noise, each row brought to E eps^2 = size."""

        def denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            eps = network(x_t, t)
            return eps * (size / rows_mean(eps**2)).sqrt()

        return denoiser

    assert_close(last(analytic(diffusion, sized(1.0), noise, 6)), last(ddpm(diffusion, sized(1.0), noise, 6)))
    found = list(analytic(diffusion, sized(1e-6), noise, 6))[0].x_t
    t, t_prev = (torch.full((2,), t) for t in timesteps(6)[:2])
    x_0 = diffusion.solve(sized(1e-6)(noise[0], t), noise[0], t)[0]
    mean, _, beta = diffusion.posterior(x_0, noise[0], t, t_prev)
    assert_close(found, mean + beta.sqrt() * noise[1])
