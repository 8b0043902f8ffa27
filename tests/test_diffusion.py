"""minunclip.diffusion against diffusers' tables and formulas, torch.distributions, and itself."""

import math
from dataclasses import replace

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_unclip import UnCLIPScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minunclip.diffusion import Diffusion, DiffusionConfig, cosine_betas, linear_betas

LEARNED = DiffusionConfig(learned_variance=True)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    """8-bit pictures in [-1, 1], (n, 3, 4, 4), black and white included."""
    levels = torch.randint(0, 256, (n, 3, 4, 4), generator=torch.Generator().manual_seed(seed))
    levels[:, 0, 0, 0], levels[:, 0, 0, 1] = 0, 255
    return levels / 127.5 - 1


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
    assert_close(ours.target_of(x_0, eps, t), oracle.get_velocity(x_0, eps, t), rtol=1e-6, atol=1e-7)


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
    found_x_0, found_eps = diffusion.estimate(diffusion.target_of(x_0, eps, t), x_t, t)
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


# -- the loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_simple_loss_is_the_mean_squared_error_of_each_example(target):
    diffusion = Diffusion(DiffusionConfig(target=target))
    x_0, eps, t = normal(4, 3, 4, 4), normal(4, 3, 4, 4, seed=1), torch.tensor([0, 10, 500, 999])
    aim = diffusion.target_of(x_0, eps, t)
    off = torch.tensor([0.0, 1.0, 2.0, 3.0])
    loss = diffusion.loss(lambda x_t, t: aim + off.view(4, 1, 1, 1), x_0, t, eps)
    assert_close(loss, off**2, rtol=1e-5, atol=1e-6)


def bits_by_distributions(diffusion, x_0, t, eps, output) -> torch.Tensor:
    """One term of the bound, (B,), from the definitions: torch's KL of two Normals, all 256 bins, float64."""
    bar = torch.cat([diffusion.alphas_bar.double(), torch.ones(1).double()])  # [-1] is the clean end
    beta = diffusion.betas.double()
    terms = []
    for i, at in enumerate(t.tolist()):
        clean, noise, x = x_0[i].double(), eps[i].double(), output[i].double()
        x_t = bar[at].sqrt() * clean + (1 - bar[at]).sqrt() * noise
        guess, logits = x[:3], x[3:]
        if diffusion.config.target == "eps":
            guess = (x_t - (1 - bar[at]).sqrt() * guess) / bar[at].sqrt()
        elif diffusion.config.target == "v":
            guess = bar[at].sqrt() * x_t - (1 - bar[at]).sqrt() * guess
        smallest = (1 - bar[max(at, 1) - 1]) / (1 - bar[max(at, 1)]) * beta[max(at, 1)]
        to_x_0 = bar[at - 1].sqrt() * beta[at] / (1 - bar[at])
        to_x_t = (1 - beta[at]).sqrt() * (1 - bar[at - 1]) / (1 - bar[at])
        std = (beta[at] ** ((logits + 1) / 2) * smallest ** ((1 - logits) / 2)).sqrt()
        model = torch.distributions.Normal(to_x_0 * guess + to_x_t * x_t, std)
        if at > 0:
            true = torch.distributions.Normal(to_x_0 * clean + to_x_t * x_t, smallest.sqrt().expand_as(std))
            nats = torch.distributions.kl_divergence(true, model)
        else:
            edges = (torch.arange(255).double() * 2 + 1) / 255 - 1  # between the 256 levels
            cdf = model.cdf(edges.view(-1, 1, 1, 1))  # (255, 3, 4, 4)
            ends = torch.zeros_like(cdf[:1]), torch.ones_like(cdf[:1])
            mass = torch.diff(torch.cat([ends[0], cdf, ends[1]]), dim=0)  # (256, 3, 4, 4)
            level = ((clean + 1) * 127.5).round().long()
            nats = -mass.gather(0, level[None]).clamp(min=1e-12).log()
        terms.append(nats.mean() / math.log(2))
    return torch.stack(terms)


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_hybrid_loss_is_its_definition(target):
    diffusion = Diffusion(replace(LEARNED, target=target))
    x_0, eps, t = pictures(6), normal(6, 3, 4, 4, seed=1), torch.tensor([0, 0, 1, 40, 500, 900])
    aim = diffusion.target_of(x_0, eps, t)
    logits = torch.linspace(-1, 1, 6).view(6, 1, 1, 1) + 0.1 * normal(6, 3, 4, 4, seed=3)
    off = torch.tensor([0.02, 0.02, 0.02, 0.1, 0.5, 1.0]).view(6, 1, 1, 1)
    output = torch.cat([aim + off * normal(6, 3, 4, 4, seed=2), logits], dim=1)
    simple = ((output[:, :3] - aim) ** 2).mean(dim=(1, 2, 3))
    vlb = bits_by_distributions(diffusion, x_0, t, eps, output)
    x_t = diffusion.q_sample(x_0, t, eps)
    # float32 tables against float64: 1 - alpha_bar at t = 0 and 1 carries 1e-3
    assert_close(diffusion.vlb_term(x_0, x_t, t, *output.chunk(2, dim=1)).double(), vlb, rtol=5e-3, atol=1e-8)
    assert_close(diffusion.loss(lambda *_: output, x_0, t, eps).double(), simple + vlb, rtol=5e-3, atol=1e-8)


def test_the_bound_is_weighted_by_the_number_of_steps():
    """lambda L_vlb is .001 T times one term, so a tenth of the steps takes a tenth of the weight."""
    x_0, eps, t = pictures(2), normal(2, 3, 4, 4, seed=1), torch.tensor([0, 50])
    diffusion = Diffusion(replace(LEARNED, steps=100))
    output = torch.cat([eps, torch.ones_like(eps)], dim=1)
    term = diffusion.vlb_term(x_0, diffusion.q_sample(x_0, t, eps), t, eps, torch.ones_like(eps))
    assert_close(diffusion.loss(lambda *_: output, x_0, t, eps), 0.1 * term)


def test_the_256_bins_hold_all_the_mass():
    diffusion = Diffusion(LEARNED)
    levels = (torch.arange(256) / 127.5 - 1).view(256, 1, 1)
    for mean in (-1.02, 0.3, 1.0):
        x_t, t = torch.full((256, 1, 1), mean), torch.zeros(256, dtype=torch.int64)
        signal, sigma = diffusion.scales(t, x_t)
        eps = (1 - signal) / sigma * x_t  # so that the estimate of x_0 is x_t
        bits = diffusion.vlb_term(levels, x_t, t, eps, torch.ones_like(x_t))
        assert_close((2**-bits).sum(), torch.tensor(1.0), rtol=0, atol=1e-5)


def gradients(diffusion: Diffusion, t: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the loss, with respect to the prediction and to the variance logits."""
    output = torch.cat([normal(2, 3, 4, 4, seed=2), torch.zeros(2, 3, 4, 4)], dim=1).requires_grad_()
    loss = diffusion.loss(lambda *_: output, pictures(2), torch.full((2,), t), normal(2, 3, 4, 4, seed=1))
    return torch.autograd.grad(loss.sum(), output)[0].chunk(2, dim=1)


@pytest.mark.parametrize("t", [0, 1, 500])
def test_the_bound_trains_the_variance_only(t, monkeypatch):
    of_prediction, of_logits = gradients(Diffusion(LEARNED), t)
    simple = 2 * (normal(2, 3, 4, 4, seed=2) - normal(2, 3, 4, 4, seed=1)) / 48
    assert_close(of_prediction, simple)
    assert of_logits.abs().min() > 0
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: self)  # the mistake to catch
    mistaken, _ = gradients(Diffusion(LEARNED), t)
    assert not torch.allclose(mistaken, simple, rtol=1e-4)


def test_the_loss_is_float32_under_autocast():
    network = torch.nn.Conv2d(3, 6, 3, padding=1)
    x_0, eps, t = pictures(2), normal(2, 3, 4, 4, seed=1), torch.tensor([0, 700])
    seen = []

    def denoiser(x_t, t):
        seen.append(network(x_t))
        return seen[-1]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = Diffusion(LEARNED).loss(denoiser, x_0, t, eps)
    assert seen[0].dtype == torch.bfloat16 and loss.dtype == torch.float32
    outside = Diffusion(LEARNED).loss(lambda *_: seen[0].float(), x_0, t, eps)
    assert_close(loss, outside, rtol=1e-6, atol=0)


@pytest.mark.parametrize("target", ["eps", "v", "x0"])
def test_the_capped_weighting_is_that_of_v_until_it_would_be_five(target):
    (x_0, eps, guess), t = (normal(6, 3, seed=seed) for seed in range(3)), torch.arange(100, 700, 100)
    capped = Diffusion(DiffusionConfig(target=target, weighting="capped"))
    x_t = capped.q_sample(x_0, t, eps)
    implied = capped.solve(guess, x_t, t)
    signal, sigma = capped.scales(t, x_t)
    of_v = (signal * implied[1] - sigma * implied[0] - signal * eps + sigma * x_0).square().mean(dim=1)
    of_x_0 = (implied[0] - x_0).square().mean(dim=1)
    expected = torch.where(t < 300, 5 * of_x_0, of_v)                         # 1 + SNR is 35 at t = 100, 4.7 at 300
    assert_close(capped.loss(lambda *_: guess, x_0, t, eps), expected, rtol=2e-3, atol=1e-5)


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ValueError, match="weighting 'snr'"):
        DiffusionConfig(weighting="snr")


def test_with_the_target_x0_the_prediction_is_x_0_itself():
    diffusion, t = Diffusion(DiffusionConfig(target="x0")), torch.arange(1000)
    x_t, prediction = normal(1000, 2), normal(1000, 2, seed=1)
    assert torch.equal(diffusion.solve(prediction, x_t, t)[0], prediction)
    assert torch.equal(diffusion.target_of(x_t, prediction, t), x_t)
