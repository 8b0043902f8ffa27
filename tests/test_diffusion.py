"""minunclip.diffusion against diffusers' tables and formulas, Bayes' rule, and itself."""

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_unclip import UnCLIPScheduler
from diffusion_helpers import LEARNED, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minunclip.diffusion import Diffusion, DiffusionConfig, cosine_betas, linear_betas

# -- schedules and the forward process -----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [10, 250, 1000])
def test_cosine_table_is_diffusers(steps):
    oracle = UnCLIPScheduler(num_train_timesteps=steps)
    ours = Diffusion(DiffusionConfig(steps=steps))
    assert ours.betas.dtype == ours.alphas_bar.dtype == torch.float32
    assert torch.equal(ours.betas, oracle.betas)
    assert torch.equal(ours.alphas_bar, oracle.alphas_cumprod)


def test_linear_table_is_diffusers():
    oracle = DDPMScheduler(beta_schedule="linear")
    assert torch.equal(linear_betas(1000), oracle.betas)
    assert torch.equal(Diffusion(DiffusionConfig(schedule="linear")).alphas_bar, oracle.alphas_cumprod)


@pytest.mark.parametrize("table", [cosine_betas, linear_betas])
@pytest.mark.parametrize("steps", [20, 100, 1000])
def test_any_number_of_steps_ends_in_noise(table, steps):
    betas = table(steps)
    assert betas.shape == (steps,) and (betas > 0).all() and (betas <= 0.999).all()
    assert torch.cumprod(1 - betas, 0)[-1] < 1e-3


@pytest.mark.parametrize("schedule, name", [("cosine", "squaredcos_cap_v2"), ("linear", "linear")])
def test_q_sample_and_v_are_diffusers(schedule, name):
    oracle = DDPMScheduler(beta_schedule=name)
    ours = Diffusion(DiffusionConfig(schedule=schedule, target="v"))
    x_0, eps, t = normal(5, 3, 4, 4), normal(5, 3, 4, 4, seed=1), torch.tensor([0, 1, 500, 998, 999])
    assert_close(ours.q_sample(x_0, t, eps), oracle.add_noise(x_0, eps, t), rtol=1e-6, atol=1e-7)
    assert_close(ours.target_of(x_0, t, eps), oracle.get_velocity(x_0, eps, t), rtol=1e-6, atol=1e-7)


def test_before_the_first_step_the_data_is_clean():
    x_0, t = normal(2, 8), torch.tensor([-1, -1])
    assert torch.equal(Diffusion().q_sample(x_0, t, normal(2, 8, seed=1)), x_0)


@pytest.mark.parametrize("wrong", [{"schedule": "sine"}, {"target": "z"}, {"steps": 1}])
def test_a_wrong_config_says_which_field(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DiffusionConfig(**wrong)


# -- targets and estimates -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    target=st.sampled_from(["eps", "x0", "v"]),
    schedule=st.sampled_from(["cosine", "linear"]),
    clip=st.sampled_from([None, 1.0, 5.0]),
    t=st.integers(0, 999),
    seed=st.integers(0, 1000),
    shape=st.sampled_from([(3, 7), (3, 2, 3, 3)]),
)
def test_a_perfect_prediction_gives_x_0_and_eps_back(target, schedule, clip, t, seed, shape):
    diffusion = Diffusion(DiffusionConfig(schedule=schedule, target=target, clip=clip))
    x_0, eps, t = normal(*shape, seed=seed).clamp(-1, 1), normal(*shape, seed=seed + 1), torch.full((3,), t)
    x_t = diffusion.q_sample(x_0, t, eps)
    found_x_0, found_eps = diffusion.estimate(diffusion.target_of(x_0, t, eps), x_t, t)
    # x_0 is divided by the signal and eps by the noise level, so a rounding of 1e-6 grows by their inverses
    signal, sigma = (scale.flatten()[0].item() for scale in diffusion.scales(t, x_0))
    assert_close(found_x_0, x_0, rtol=0, atol=2e-6 / signal)
    if clip is None or signal > 1e-2:  # where x_0 drowns in rounding, so does an eps read off from it
        assert_close(found_eps, eps, rtol=0, atol=2e-6 / sigma + 2e-6)
    assert_close(diffusion.q_sample(found_x_0, t, found_eps), x_t, rtol=0, atol=1e-5)


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
@pytest.mark.parametrize("clip", [1.0, 5.0])
def test_the_estimate_stays_in_the_clip_range_and_explains_x_t(target, clip):
    diffusion = Diffusion(DiffusionConfig(target=target, clip=clip))
    x_t, t = normal(4, 3, 4, 4), torch.tensor([3, 300, 900, 999])
    x_0, eps = diffusion.estimate(10 * normal(4, 3, 4, 4, seed=1), x_t, t)
    assert x_0.abs().max() == clip
    assert_close(diffusion.q_sample(x_0, t, eps), x_t, rtol=0, atol=2e-6)


@pytest.mark.parametrize("learned, channels", [(True, 3), (False, 6)])
def test_the_wrong_number_of_channels_is_refused(learned, channels):
    diffusion = Diffusion(DiffusionConfig(learned_variance=learned))
    with pytest.raises(ValueError, match=f"returned {channels} channels for an x_t of 3"):
        diffusion.estimate(normal(2, channels, 4, 4), normal(2, 3, 4, 4), torch.tensor([1, 2]))


def test_with_the_target_x0_the_prediction_is_x_0_itself():
    diffusion, t = Diffusion(DiffusionConfig(target="x0")), torch.arange(1000)
    x_t, prediction = normal(1000, 2), normal(1000, 2, seed=1)
    assert torch.equal(diffusion.solve(prediction, x_t, t)[0], prediction)
    assert torch.equal(diffusion.target_of(x_t, t, prediction), x_t)


# -- one step back -------------------------------------------------------------------------------------------


def test_the_posterior_is_bayes_rule_in_float64():
    """q(x_s | x_t, x_0) is prior N(x_s; x_0) times likelihood N(x_t; x_s), a product of two Gaussians."""
    diffusion = Diffusion()
    x_0, x_t = normal(4, 6).double(), normal(4, 6, seed=1).double()
    t, s = torch.tensor([2, 167, 500, 900]), torch.tensor([1, 0, 333, 899])
    mean, variance, beta = diffusion.posterior(x_0, x_t, t, s)
    bar_t, bar_s = (diffusion.alphas_bar.double()[i][:, None] for i in (t, s))
    step = bar_t / bar_s  # x_t | x_s ~ N(sqrt(step) x_s, 1 - step)
    precision = 1 / (1 - bar_s) + step / (1 - step)
    expected = (bar_s.sqrt() * x_0 / (1 - bar_s) + step.sqrt() * x_t / (1 - step)) / precision
    # the tables are float32: 1 - alpha_bar near t = 0 carries 1e-3 of rounding
    assert_close(beta.double(), 1 - step, rtol=2e-3, atol=0)
    assert_close(variance.double(), 1 / precision, rtol=2e-3, atol=0)
    assert_close(mean, expected, rtol=2e-3, atol=2e-3)


def test_the_last_step_of_the_released_models_shrinks_x_0():
    diffusion = Diffusion()
    t = torch.tensor([0])
    mean, variance, _ = diffusion.posterior(torch.ones(1, 4), normal(1, 4), t, t - 1)
    assert_close(mean, torch.full((1, 4), 0.99947), rtol=0, atol=5e-6)
    assert torch.equal(variance, torch.zeros(1, 1))


def test_log_variance_runs_from_beta_tilde_to_beta():
    diffusion = Diffusion(LEARNED)
    t, s = torch.tensor([1, 500, 999]), torch.tensor([0, 333, 998])
    beta_tilde, beta = diffusion.step_variances(t, s, normal(3, 2))
    for logit, expected in [(-1, beta_tilde), (1, beta), (0, (beta * beta_tilde).sqrt())]:
        found = diffusion.log_variance(torch.full((3, 2), float(logit)), t, s).exp()
        assert_close(found, expected.expand(3, 2), rtol=2e-6, atol=0)


def test_log_variance_is_finite_at_the_first_timestep():
    t = torch.tensor([0])
    low, high = (Diffusion(LEARNED).log_variance(torch.full((1, 1), v), t, t - 1) for v in (-1.0, 1.0))
    assert -12 < low < high < -10
