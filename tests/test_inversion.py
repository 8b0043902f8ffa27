"""DDIM backward: x_T of Gaussians in closed form, and the way there and back again."""

import pytest
import torch
from helpers import normal
from solver_helpers import MU, S, gaussian, network, process
from torch import Tensor

from minunclip.diffusion import Diffusion, DiffusionConfig, ddim, ddim_inverse, inversion, last, timesteps


def round_trip(diffusion: Diffusion, denoiser, x_0: Tensor, n: int, corrections: int) -> float:
    """The largest error after going back to x_T and down again with DDIM."""
    x_T = last(ddim_inverse(diffusion, denoiser, x_0, n, corrections=corrections))
    return (last(ddim(diffusion, denoiser, [], n, x_T=x_T)) - x_0).abs().max().item()


@pytest.mark.parametrize("target", ["x0", "v"])
def test_on_standard_normal_data_one_correction_is_exact(target):
    """A miss is then divided by just what it must be."""
    diffusion, x_0 = process(target), normal(2, 50)
    assert round_trip(diffusion, gaussian(diffusion, 0.0, 1.0), x_0, 10, corrections=1) < 1e-5


@pytest.mark.parametrize("n", [10, 25, 100])
def test_corrections_make_the_inversion_of_a_linear_denoiser_exact(n):
    diffusion, x_0 = process(), MU + S * normal(2, 50)
    one, two, many = (round_trip(diffusion, gaussian(diffusion), x_0, n, corrections) for corrections in (1, 2, 15))
    assert two < one / 5 and many < 2e-5 < one


def test_x_T_of_gaussian_data_is_its_normal_score():
    diffusion, x_0 = process(), MU + S * normal(2, 50)
    errors = [
        (last(ddim_inverse(diffusion, gaussian(diffusion), x_0, n, corrections=6)) - (x_0 - MU) / S).abs().max().item()
        for n in (30, 300)
    ]
    assert errors[1] < 0.03 and errors[1] < errors[0] / 5


@pytest.mark.parametrize("learned", [False, True])
def test_a_clipped_network_with_more_channels_is_inverted_as_ddim_runs_it(learned):
    diffusion = Diffusion(DiffusionConfig(target="v", learned_variance=learned))
    x_0 = normal(2, 3, 4, 4).clamp(-1, 1)

    def denoiser(x_t, t):
        v = 0.6 * network(x_t, t)
        return torch.cat([v, v], dim=1) if learned else v

    assert round_trip(diffusion, denoiser, x_0, 50, 4) < 1e-3 < 1e-2 < round_trip(diffusion, denoiser, x_0, 50, 1)


def test_what_a_network_cannot_draw_does_not_blow_x_T_up(monkeypatch):
    """This one draws no third channel. Taken for noise, .3 at t = 0 would be 47 times the noise there is."""
    diffusion, x_0 = process(), torch.cat([MU + S * normal(2, 2, 4, 4), torch.full((2, 1, 4, 4), 0.3)], dim=1)

    def partial(x_t, t):
        return gaussian(diffusion)(x_t, t) * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1)

    def way_back(n):
        return last(ddim_inverse(diffusion, partial, x_0, n))

    x_T = way_back(50)
    assert x_T[:, 2].abs().max() < 2 and x_T.pow(2).mean() < 2
    drawn = last(ddim(diffusion, partial, [], 50, x_T=x_T))
    assert (drawn - x_0)[:, :2].abs().mean() < 0.06 and drawn[:, 2].abs().max() < 1e-6
    monkeypatch.setattr(inversion, "rows_mean", lambda x: torch.zeros(len(x), 1, 1, 1))  # begin at t = 0 all the same
    assert way_back(50)[:, 2].abs().min() > 10


def test_the_way_back_visits_the_same_timesteps_in_the_other_order():
    calls = []

    def denoiser(x_t, t):
        calls.append(int(t[0]))
        return 0.1 * x_t

    found = list(ddim_inverse(Diffusion(), denoiser, normal(1, 3, 4, 4), 7, corrections=2))
    assert [step.t for step in found] == timesteps(7)[::-1]
    assert calls == [t for t in timesteps(7)[::-1] for _ in range(2)]
