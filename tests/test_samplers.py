"""minunclip.samplers against diffusers' schedulers step by step, and against Gaussians in closed form."""

import math
from itertools import islice

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_unclip import UnCLIPScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minunclip import samplers
from minunclip import steps as steps_module
from minunclip.diffusion import Diffusion, DiffusionConfig
from minunclip.samplers import ddim, ddpm, generators, guided, guided_within, last, noise_stream
from minunclip.steps import timesteps

PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
SHAPE = (2, 3, 4, 4)


def recorded(n: int, shape=SHAPE, seed: int = 0) -> list[torch.Tensor]:
    return list(islice(noise_stream(shape, generators(seed, shape[0])), n))


def network(channels: int = 3, strength: float = 2.0):
    """A fixed function of x_t and t that mixes channels; strong enough for the clip range to matter."""
    weight = strength * torch.randn(channels, 3, generator=torch.Generator().manual_seed(7))

    def denoiser(x_t, t):
        phase = (t / 150).view(-1, 1, 1, 1)
        return torch.tanh(torch.einsum("dc,bchw->bdhw", weight, x_t) + phase.sin()) * strength

    return denoiser


# -- timesteps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 3, 7, 15, 25, 27, 50, 64, 250, 999, 1000])
def test_timesteps_are_the_released_ones(steps):
    oracle = UnCLIPScheduler()
    oracle.set_timesteps(steps)
    assert timesteps(steps) == oracle.timesteps.tolist()


def test_timesteps_round_half_to_even():
    assert timesteps(7) == [999, 832, 666, 500, 333, 166, 0]
    half_up = [math.floor(i * 166.5 + 0.5) for i in reversed(range(7))]
    assert timesteps(7) != half_up


@settings(deadline=None)
@given(total=st.integers(2, 1000), data=st.data())
def test_timesteps_fall_from_last_to_first(total, data):
    steps = data.draw(st.integers(2, total))
    visited = timesteps(steps, total)
    assert len(visited) == steps and visited[0] == total - 1 and visited[-1] == 0
    assert all(np.diff(visited) < 0)


@pytest.mark.parametrize("steps", [0, 1, 1001])
def test_too_few_or_too_many_steps_say_so(steps):
    with pytest.raises(ValueError, match="choose 2 to 1000 steps"):
        timesteps(steps)


# -- noise ---------------------------------------------------------------------------------------------------


def test_a_row_does_not_depend_on_its_neighbours():
    batch = torch.stack(recorded(3, (4, 5), seed=10))  # (3, 4, 5)
    for i in range(4):
        assert torch.equal(torch.stack(recorded(3, (1, 5), seed=10 + i))[:, 0], batch[:, i])
    assert batch.unique().numel() == batch.numel()


def test_noise_is_standard_normal_in_the_asked_dtype():
    draw = next(noise_stream((4, 20000), generators(0, 4), dtype=torch.float64))
    assert draw.dtype == torch.float64
    assert_close(draw.std(dim=1), torch.ones(4).double(), rtol=0, atol=0.02)
    assert torch.equal(draw.float().double(), draw)  # drawn in float32, whatever the dtype


def test_one_generator_for_each_row():
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        noise_stream((3, 5), generators(0, 2))


def test_noise_that_runs_out_says_so():
    with pytest.raises(ValueError, match="noise ran out"):
        last(ddpm(Diffusion(), network(), recorded(3), steps=4))


# -- DDPM against the released models' scheduler -------------------------------------------------------------


def unclip_trajectory(config: DiffusionConfig, denoiser, noise, steps: int, monkeypatch):
    """diffusers' (x_t, x_0, t) after each step, fed the same noise."""
    oracle = UnCLIPScheduler(
        variance_type="learned_range" if config.learned_variance else "fixed_small_log",
        prediction_type=PREDICTION[config.target],
        clip_sample=config.clip is not None,
        clip_sample_range=config.clip or 1.0,
    )
    oracle.set_timesteps(steps)
    x_t, *draws = noise
    draws = iter(draws)
    monkeypatch.setattr("diffusers.schedulers.scheduling_unclip.randn_tensor", lambda *_, **__: next(draws))
    visited = oracle.timesteps
    for i, t in enumerate(visited):
        prev = visited[i + 1] if i + 1 < steps else None
        output = oracle.step(denoiser(x_t, t.expand(len(x_t))), t, x_t, prev_timestep=prev)
        x_t = output.prev_sample
        yield x_t, output.pred_original_sample, int(t)
    assert next(draws, None) is None  # one draw a step, none at t = 0


def ddpm_matches(config: DiffusionConfig, steps: int, monkeypatch, sampler=ddpm) -> bool:
    denoiser, noise = network(6 if config.learned_variance else 3), recorded(steps)
    ours = list(sampler(Diffusion(config), denoiser, noise, steps))
    theirs = list(unclip_trajectory(config, denoiser, noise, steps, monkeypatch))
    assert [step.t for step in ours] == [t for _, _, t in theirs] == timesteps(steps)
    pairs = [(ours.x_t, x_t) for ours, (x_t, _, _) in zip(ours, theirs, strict=True)]
    pairs += [(ours.x_0, x_0) for ours, (_, x_0, _) in zip(ours, theirs, strict=True)]
    return all(torch.allclose(found, expected, rtol=1e-5, atol=2e-5) for found, expected in pairs)


@pytest.mark.parametrize("steps", [2, 7, 25, 50])
@pytest.mark.parametrize("clip", [1.0, 5.0])
@pytest.mark.parametrize("target", ["eps", "x0"])
@pytest.mark.parametrize("learned", [False, True])
def test_ddpm_trajectory_is_the_released_scheduler(learned, target, clip, steps, monkeypatch):
    config = DiffusionConfig(target=target, learned_variance=learned, clip=clip)
    assert ddpm_matches(config, steps, monkeypatch)


def test_ddpm_at_every_timestep_is_the_released_scheduler(monkeypatch):
    """A stride of one takes the schedule's own betas."""
    assert ddpm_matches(DiffusionConfig(learned_variance=True), 1000, monkeypatch)


def test_the_last_step_shrinks_x_0():
    *_, final = ddpm(Diffusion(), network(), recorded(7), steps=7)
    assert_close(final.x_t, 0.99947 * final.x_0, rtol=0, atol=6e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_mistakes_in_a_ddpm_step_are_caught(learned, monkeypatch):
    config = DiffusionConfig(learned_variance=learned)
    posterior, variances, learn = Diffusion.posterior, Diffusion.step_variances, Diffusion.log_variance
    half_up = [math.floor(i * 166.5 + 0.5) for i in reversed(range(7))]
    mistakes = [
        (Diffusion, "posterior", lambda self, a, b, t, prev: posterior(self, a, b, t, t - 1)),
        (Diffusion, "posterior", lambda self, a, b, t, prev: posterior(self, a, b, t, prev.clamp(min=0))),
        (Diffusion, "step_variances", lambda self, t, prev, like: variances(self, t, prev, like)[::-1]),
        (steps_module, "timesteps", lambda *_: half_up),
    ]
    if learned:
        mistakes += [(Diffusion, "log_variance", lambda self, v, *t: learn(self, -torch.ones_like(v), *t))]
    assert ddpm_matches(config, 7, monkeypatch)
    for owner, name, wrong in mistakes:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, wrong)
            with pytest.raises(AssertionError):
                assert ddpm_matches(config, 7, monkeypatch), name


# -- DDIM against diffusers ----------------------------------------------------------------------------------


def ddim_oracle(config: DiffusionConfig, t: int, t_prev: int) -> DDIMScheduler:
    """diffusers takes a step of 1000 // n timesteps; a stand-in n makes that step t - t_prev."""

    class Stride(int):
        def __rfloordiv__(self, total):
            return t - t_prev

    name = {"cosine": "squaredcos_cap_v2", "linear": "linear"}[config.schedule]
    oracle = DDIMScheduler(
        beta_schedule=name,
        prediction_type=PREDICTION[config.target],
        clip_sample=config.clip is not None,
        clip_sample_range=config.clip or 1.0,
        set_alpha_to_one=True,
    )
    # at eta = 1, 1 - alpha_bar - sigma^2 cancels: in float32 diffusers takes the root of a negative number
    oracle.alphas_cumprod = oracle.alphas_cumprod.double()
    oracle.final_alpha_cumprod = oracle.final_alpha_cumprod.double()
    oracle.num_inference_steps = Stride()
    return oracle


@pytest.mark.parametrize("steps", [2, 15, 27])
@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("target", ["eps", "x0", "v"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_each_ddim_step_is_diffusers(schedule, target, eta, clip, steps):
    config = DiffusionConfig(schedule=schedule, target=target, clip=clip)
    denoiser, noise = network(), recorded(steps)
    x_t, visited = noise[0], [*timesteps(steps), -1]
    for i, step in enumerate(ddim(Diffusion(config), denoiser, noise, steps, eta=eta)):
        t, t_prev = visited[i : i + 2]
        z = noise[i + 1] if t_prev >= 0 else torch.zeros(SHAPE)
        output = denoiser(x_t, torch.full((2,), t)).double()
        oracle = ddim_oracle(config, t, t_prev)
        x_prev, x_0 = oracle.step(output, t, x_t.double(), eta, clip is not None, None, z, return_dict=False)
        assert_close(step.x_0.double(), x_0, rtol=1e-5, atol=1e-5)
        assert_close(step.x_t.double(), x_prev, rtol=1e-5, atol=1e-5 if eta < 1 else 5e-4)
        x_t = step.x_t
    assert step.t == 0 and torch.equal(step.x_t, step.x_0)


def test_plain_ddim_draws_nothing_but_x_T():
    start = recorded(1)
    by_noise = last(ddim(Diffusion(), network(), start, steps=10))
    assert torch.equal(by_noise, last(ddim(Diffusion(), network(), [], steps=10, x_T=start[0])))


def test_eta_outside_0_to_1_says_so():
    with pytest.raises(ValueError, match="eta is 1.5"):
        last(ddim(Diffusion(), network(), recorded(4), steps=4, eta=1.5))


def test_ddim_with_eta_1_is_ddpm_when_the_steps_are_small():
    """Both draw from the same posterior; only the last step's rounding of the tables differs."""
    noise, config = recorded(50), DiffusionConfig(target="x0")
    ours = list(ddim(Diffusion(config), network(), noise, 50, eta=1.0))
    other = list(ddpm(Diffusion(config), network(), noise, 50))
    assert_close(ours[-2].x_t, other[-2].x_t, rtol=1e-3, atol=1e-3)


# -- Gaussian data, where the perfect denoiser is known ------------------------------------------------------


def gaussian_denoiser(diffusion: Diffusion, mu: float, s: float, steps: int):
    """E[target | x_t] for data N(mu, s^2); if learned, the variance of x_{t_prev} given x_t as well."""
    visited = timesteps(steps)
    previous = dict(zip(visited, [*visited[1:], -1], strict=True))

    def denoiser(x_t, t):
        signal, sigma = diffusion.scales(t, x_t)
        spread = signal**2 * s**2 + sigma**2  # the variance of x_t
        x_0 = mu + signal * s**2 / spread * (x_t - signal * mu)
        prediction = diffusion.target_of(x_0, sigma / spread * (x_t - signal * mu), t)
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


# -- guidance ------------------------------------------------------------------------------------------------


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
    run = lambda denoiser: last(sampler(diffusion, denoiser, noise, 8))  # noqa: E731
    assert torch.equal(run(guided_within(0, 999, strong, plain)), run(strong))
    assert torch.equal(run(guided_within(1, 0, strong, plain)), run(plain))
    part = run(guided_within(300, 700, strong, plain))
    assert not torch.equal(part, run(strong)) and not torch.equal(part, run(plain))


# -- gradients, precision, batches ---------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", samplers.SAMPLERS.values(), ids=samplers.SAMPLERS)
def test_samplers_take_no_gradients_and_leave_the_callers_mode_alone(sampler):
    weight = torch.ones(1, requires_grad=True)
    inside = []

    def denoiser(x_t, t):
        inside.append(torch.is_grad_enabled())
        return weight * x_t

    for step in sampler(Diffusion(), denoiser, recorded(3), steps=3):
        assert torch.is_grad_enabled() and not step.x_t.requires_grad
    assert inside == [False] * 3
    with torch.no_grad():
        last(sampler(Diffusion(), denoiser, recorded(3), steps=3))
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("sampler", samplers.SAMPLERS.values(), ids=samplers.SAMPLERS)
def test_a_bfloat16_network_is_sampled_in_float32(sampler):
    inner = network()
    noise = recorded(5)
    half = list(sampler(Diffusion(), lambda x_t, t: inner(x_t, t).bfloat16(), noise, steps=5))
    rounded = list(sampler(Diffusion(), lambda x_t, t: inner(x_t, t).bfloat16().float(), noise, steps=5))
    assert all(step.x_t.dtype == torch.float32 for step in half)
    assert torch.equal(half[-1].x_t, rounded[-1].x_t)


@pytest.mark.parametrize("sampler", samplers.SAMPLERS.values(), ids=samplers.SAMPLERS)
def test_a_sample_does_not_depend_on_its_batch(sampler):
    together = last(sampler(Diffusion(), network(), recorded(8, (3, 3, 4, 4), seed=5), steps=8))
    alone = last(sampler(Diffusion(), network(), recorded(8, (1, 3, 4, 4), seed=6), steps=8))
    assert_close(together[1:2], alone, rtol=1e-5, atol=1e-5)
