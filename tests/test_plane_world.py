"""The world of points in a plane: what x_t tells of x_0, beside derivatives of it and beside points drawn at random."""

import pytest
import torch

from minunclip.course.plane import CENTRES, best_eps, draw, known_x0
from minunclip.diffusion import Diffusion, DiffusionConfig

PROCESS = Diffusion(DiffusionConfig(target="eps", clip=None))


def noised(t, count=500):
    rng = torch.Generator().manual_seed(t)
    x_0, at = draw(count, rng)[0], torch.full((count,), t)
    return PROCESS.q_sample(x_0, at, torch.randn(x_0.shape, generator=rng)), at


@pytest.mark.parametrize("t", [5, 100, 400, 800])
def test_the_mean_is_that_of_the_best_noise(t):
    x_t, at = noised(t)
    expected = PROCESS.solve(best_eps(x_t, at, PROCESS), x_t, at)[0]
    torch.testing.assert_close(known_x0(x_t, at, PROCESS)[0], expected, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("t", [100, 400, 800])
def test_the_variance_is_the_slope_of_the_mean(t):
    """Var[x_0 | x_t] = sigma^2 / signal * d E[x_0 | x_t] / d x_t, the second-order form of Tweedie's formula."""
    x_t, at = noised(t)
    signal, sigma = PROCESS.scales(at, x_t)
    for axis in (0, 1):
        step = 0.01 * torch.eye(2)[axis]
        means = [known_x0(x_t + sign * step, at, PROCESS)[0][:, axis] for sign in (1, -1)]
        slope = (means[0] - means[1]) / 0.02
        found = known_x0(x_t, at, PROCESS)[1][:, axis]
        torch.testing.assert_close(found, (sigma**2 / signal)[:, 0] * slope, atol=2e-2, rtol=2e-2)


def test_in_pure_noise_nothing_is_known_but_the_data_itself():
    data, (x_t, at) = draw(100_000, torch.Generator().manual_seed(0))[0], noised(999, 50)
    mean, variance = known_x0(x_t, at, PROCESS)
    assert (mean - data.mean(dim=0)).abs().max() < 0.02 and (variance - data.var(dim=0)).abs().max() < 0.02


def test_in_a_cluster_without_noise_all_is_known():
    centres = CENTRES.flatten(0, 1)
    mean, variance = known_x0(centres, torch.zeros(9, dtype=torch.int64), PROCESS)
    assert (mean - centres).abs().max() < 0.01 and variance.max() < 1e-4
