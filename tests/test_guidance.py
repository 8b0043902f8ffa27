"""Guidance: its formula, the variance that it leaves alone, and guidance at some noise levels only."""

import pytest
import torch
from sampler_helpers import network, recorded
from torch.testing import assert_close

from minunclip.diffusion import Diffusion, DiffusionConfig, ddim, guided, guided_within, last, samplers


def halves(uncond, cond, seen=None):
    """A doubled denoiser of two given functions, as `guided` expects it."""

    def denoiser(x_t, t):
        if seen is not None:
            seen.append((x_t, t))
        (a, b), (t_a, t_b) = x_t.chunk(2), t.chunk(2)
        return torch.cat([uncond(a, t_a), cond(b, t_b)])

    return denoiser


@pytest.mark.parametrize("shape", [(3, 8), (3, 2, 4, 4)])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 4.0])
def test_guidance_is_its_formula(shape, scale):
    x_t, t = recorded(1, shape)[0], torch.tensor([1, 20, 300])
    seen = []
    out = guided(halves(lambda x, t: x.sin(), lambda x, t: x.cos(), seen), scale)(x_t, t)
    assert_close(out, (1 - scale) * x_t.sin() + scale * x_t.cos(), rtol=0, atol=2e-6)
    assert len(seen) == 1
    assert torch.equal(seen[0][0], torch.cat([x_t, x_t])) and torch.equal(seen[0][1], torch.cat([t, t]))


@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0])
def test_guidance_leaves_the_variance_of_the_conditional_half_alone(scale):
    x_t, t = recorded(1)[0], torch.tensor([1, 20])
    uncond, cond = network(6, 1.0), network(6, 3.0)
    out = guided(halves(uncond, cond), scale)(x_t, t)
    assert torch.equal(out[:, 3:], cond(x_t, t)[:, 3:])
    assert not torch.allclose(out[:, 3:], uncond(x_t, t)[:, 3:])  # so that the other half would be noticed


def test_guided_sampling_at_scale_1_is_conditional_sampling():
    diffusion = Diffusion(DiffusionConfig(learned_variance=True, target="v"))
    uncond, cond, noise = network(6, 0.5), network(6, 0.7), recorded(10)
    for scale, expected in [(1.0, cond), (0.0, None)]:
        found = last(ddim(diffusion, guided(halves(uncond, cond), scale), noise, 10))
        assert_close(found, last(ddim(diffusion, expected or uncond, noise, 10)), rtol=0, atol=1e-4)


def counted(denoiser, calls: list):
    return lambda x_t, t: calls.append(len(x_t)) or denoiser(x_t, t)


def test_guidance_within_an_interval_runs_only_what_it_needs():
    calls = {"guided": [], "plain": []}
    inner, outer = network(3, 1.0), network(3, 2.0)
    denoiser = guided_within(300, 500, counted(inner, calls["guided"]), counted(outer, calls["plain"]))
    x_t = recorded(1)[0]
    for t, expected in [(299, outer), (300, inner), (400, inner), (500, inner), (501, outer)]:
        t = torch.full((2,), t)
        assert torch.equal(denoiser(x_t, t), expected(x_t, t))
    assert calls == {"guided": [2] * 3, "plain": [2] * 2}
    mixed = torch.tensor([400, 600])
    found = denoiser(x_t, mixed)
    assert torch.equal(found[0], inner(x_t, mixed)[0]) and torch.equal(found[1], outer(x_t, mixed)[1])


@pytest.mark.parametrize("sampler", samplers.SAMPLERS.values(), ids=samplers.SAMPLERS)
def test_an_interval_of_all_levels_is_guidance_and_an_empty_one_none(sampler):
    diffusion = Diffusion(DiffusionConfig(target="v"))
    strong, plain, noise = network(3, 0.9), network(3, 0.5), recorded(8)

    def run(denoiser):
        return last(sampler(diffusion, denoiser, noise, 8))

    assert torch.equal(run(guided_within(0, 999, strong, plain)), run(strong))
    assert torch.equal(run(guided_within(1, 0, strong, plain)), run(plain))
    part = run(guided_within(300, 700, strong, plain))
    assert not torch.equal(part, run(strong)) and not torch.equal(part, run(plain))
