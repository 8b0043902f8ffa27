"""minunclip.samplers: the noise, DDPM and DDIM against diffusers' schedulers step by step, and their promises."""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_unclip import UnCLIPScheduler
from sampler_helpers import PREDICTION, SHAPE, network, recorded
from torch.testing import assert_close

from minunclip.diffusion import (
    Diffusion,
    DiffusionConfig,
    ddim,
    ddpm,
    generators,
    last,
    noise_stream,
    samplers,
    timesteps,
)
from minunclip.diffusion import steps as steps_module

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
