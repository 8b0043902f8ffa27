"""DPM-Solver++(2M) against diffusers step by step, and against the exact flow of a mixture."""

import math
from functools import cache

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from helpers import normal
from sampler_helpers import PREDICTION
from solver_helpers import MEANS, STDS, WEIGHTS, mixture, network, process
from torch import Tensor

from minunclip.diffusion import Diffusion, DiffusionConfig, ddim, dpm, last, steps, timesteps

# -- DPM-Solver++(2M) against diffusers ----------------------------------------------------------------------


def dpm_oracle(config: DiffusionConfig, visited: list[int], order: int) -> DPMSolverMultistepScheduler:
    oracle = DPMSolverMultistepScheduler(
        beta_schedule={"cosine": "squaredcos_cap_v2", "linear": "linear"}[config.schedule],
        prediction_type=PREDICTION[config.target], algorithm_type="dpmsolver++", solver_order=order,
        solver_type="midpoint", final_sigmas_type="zero", lower_order_final=False,
    )  # fmt: skip
    oracle.set_timesteps(timesteps=visited)
    return oracle


def length(diffusion: Diffusion, t: int, t_prev: int) -> float:
    """Of the step t -> t_prev, in lambda = log(signal / sigma)."""
    snr = diffusion.alphas_bar.double() / (1 - diffusion.alphas_bar.double())
    return 0.5 * math.log(snr[t_prev] / snr[t])


def dpm_matches(config: DiffusionConfig, visited: list[int], limited: bool, sampler=dpm) -> bool:
    """Each step is diffusers' for the same x_t; a `limited` one goes part of the way from their first order on."""
    diffusion, start = Diffusion(config), normal(2, 3, 4, 4)
    first, second = dpm_oracle(config, visited, 1), dpm_oracle(config, visited, 2)
    x_t, before, good = start, None, True
    for step, t_prev in zip(sampler(diffusion, network, [], len(visited), x_T=start), [*visited[1:], -1], strict=True):
        output = network(x_t, torch.full((2,), step.t))
        low, high = (oracle.step(output, step.t, x_t).prev_sample for oracle in (first, second))
        ahead = length(diffusion, step.t, t_prev) if t_prev >= 0 else math.inf
        trust = min(1, before / ahead) if before and limited and t_prev >= 0 else 1
        tolerance = 2e-5 * (1 + high.abs().max().item())
        good = good and torch.allclose(step.x_t, torch.lerp(low, high, trust), rtol=1e-4, atol=tolerance)
        x_t, before = step.x_t, ahead
    return good


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("n", [2, 3, 15, 50])
def test_each_dpm_step_is_diffusers_for_a_step_no_longer_than_the_last(n, schedule, target):
    config = DiffusionConfig(schedule=schedule, target=target, clip=None)
    assert dpm_matches(config, timesteps(n), limited=True)


SHORTENING = [999, 850, 750, 605, 433, 278, 166, 95, 53, 29, 15, 7, 3, 1, 0]


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_with_steps_that_get_no_longer_dpm_is_diffusers(target, monkeypatch):
    config = DiffusionConfig(target=target, clip=None)
    pairs = zip(SHORTENING, SHORTENING[1:], strict=False)
    lengths = [length(Diffusion(config), *pair) for pair in pairs]
    assert all(after <= before for before, after in zip(lengths, lengths[1:], strict=False))
    monkeypatch.setattr(steps, "timesteps", lambda *_: SHORTENING)
    assert dpm_matches(config, SHORTENING, limited=False)


def test_mistakes_in_a_dpm_step_are_caught():
    config = DiffusionConfig(clip=None, target="v")
    assert not dpm_matches(config, timesteps(15), limited=False)  # so the limit matters there
    assert not dpm_matches(config, timesteps(15), limited=True, sampler=ddim)
    assert not dpm_matches(DiffusionConfig(target="v"), timesteps(15), limited=True)  # diffusers does not clip


def test_dpm_ends_at_its_last_estimate_and_draws_nothing_but_x_T():
    start = normal(1, 3, 4, 4)
    *_, final = dpm(Diffusion(), network, [start], steps=5)
    assert final.t == 0 and torch.equal(final.x_t, final.x_0) and final.x_0.abs().max() <= 1
    assert torch.equal(final.x_t, last(dpm(Diffusion(), network, [], steps=5, x_T=start)))


# -- the flow of a mixture -----------------------------------------------------------------------------------

QUANTILES = (torch.arange(301).double() + 0.5) / 301


@cache
def exact_flow() -> Tensor:
    """Where the probability flow takes the quantiles of x_T: to those of the data, as no two paths cross in 1-D."""
    low, high = torch.full_like(QUANTILES, -3), torch.full_like(QUANTILES, 3)
    for _ in range(60):
        middle = (low + high) / 2
        below = (WEIGHTS * torch.special.ndtr((middle[:, None] - MEANS) / STDS)).sum(dim=-1) < QUANTILES
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low[None]


def flow(sampler, n: int) -> Tensor:
    """Where n steps take the same quantiles."""
    diffusion = process()
    return last(sampler(diffusion, mixture(diffusion), [], n, x_T=torch.special.ndtri(QUANTILES)[None].float()))


def error(found: Tensor, truth: Tensor) -> float:
    return (found - truth).abs().mean().item()


def test_dpm_is_of_second_order_where_ddim_is_of_first():
    """Against the exact flow, and against 1000 steps of its own."""
    found = {sampler: [flow(sampler, n) for n in (20, 40, 80)] for sampler in (ddim, dpm)}
    for truth in (exact_flow(), flow(dpm, 1000)):
        slow, fast = ([error(x, truth) for x in found[sampler]] for sampler in (ddim, dpm))
        orders = [[math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)] for errors in (slow, fast)]
        assert all(0.8 < order < 1.3 for order in orders[0])
        assert all(1.7 < order < 2.7 for order in orders[1])
        assert all(b < a / 1.5 for a, b in zip(slow, fast, strict=True))


@pytest.mark.parametrize("n", [5, 15, 20])
def test_with_few_steps_too_dpm_is_closer_than_ddim_and_than_without_its_limit(n):
    diffusion, x_t = process(), torch.special.ndtri(QUANTILES)[None].float()
    oracle = dpm_oracle(diffusion.config, timesteps(n), 2)
    for t in timesteps(n):
        x_t = oracle.step(mixture(diffusion)(x_t, torch.tensor([t])), t, x_t).prev_sample
    limited, plain = error(flow(dpm, n), exact_flow()), error(flow(ddim, n), exact_flow())
    assert limited < min(plain, error(x_t, exact_flow()))
