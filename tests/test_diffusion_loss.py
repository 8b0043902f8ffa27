"""The losses of minunclip.diffusion against their definitions, torch.distributions and autograd."""

import math
from dataclasses import replace

import pytest
import torch
from diffusion_helpers import LEARNED, normal
from torch.testing import assert_close

from minunclip.diffusion import Diffusion, DiffusionConfig


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    """8-bit pictures in [-1, 1], (n, 3, 4, 4), black and white included."""
    levels = torch.randint(0, 256, (n, 3, 4, 4), generator=torch.Generator().manual_seed(seed))
    levels[:, 0, 0, 0], levels[:, 0, 0, 1] = 0, 255
    return levels / 127.5 - 1


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_simple_loss_is_the_mean_squared_error_of_each_example(target):
    diffusion = Diffusion(DiffusionConfig(target=target))
    x_0, eps, t = normal(4, 3, 4, 4), normal(4, 3, 4, 4, seed=1), torch.tensor([0, 10, 500, 999])
    aim = diffusion.target_of(x_0, t, eps)
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
    aim = diffusion.target_of(x_0, t, eps)
    logits = torch.linspace(-1, 1, 6).view(6, 1, 1, 1) + 0.1 * normal(6, 3, 4, 4, seed=3)
    off = torch.tensor([0.02, 0.02, 0.02, 0.1, 0.5, 1.0]).view(6, 1, 1, 1)
    output = torch.cat([aim + off * normal(6, 3, 4, 4, seed=2), logits], dim=1)
    simple = ((output[:, :3] - aim) ** 2).mean(dim=(1, 2, 3))
    vlb = bits_by_distributions(diffusion, x_0, t, eps, output)
    x_t = diffusion.q_sample(x_0, t, eps)
    # float32 tables against float64: 1 - alpha_bar at t = 0 and 1 carries 1e-3
    prediction, logits = output.chunk(2, dim=1)
    assert_close(diffusion.vlb_term(x_0, x_t, t, prediction, logits=logits).double(), vlb, rtol=5e-3, atol=1e-8)
    assert_close(diffusion.loss(lambda *_: output, x_0, t, eps).double(), simple + vlb, rtol=5e-3, atol=1e-8)


def test_the_bound_is_weighted_by_the_number_of_steps():
    """lambda L_vlb is .001 T times one term, so a tenth of the steps takes a tenth of the weight."""
    x_0, eps, t = pictures(2), normal(2, 3, 4, 4, seed=1), torch.tensor([0, 50])
    diffusion = Diffusion(replace(LEARNED, steps=100))
    output = torch.cat([eps, torch.ones_like(eps)], dim=1)
    term = diffusion.vlb_term(x_0, diffusion.q_sample(x_0, t, eps), t, eps, logits=torch.ones_like(eps))
    assert_close(diffusion.loss(lambda *_: output, x_0, t, eps), 0.1 * term)


def test_the_256_bins_hold_all_the_mass():
    diffusion = Diffusion(LEARNED)
    levels = (torch.arange(256) / 127.5 - 1).view(256, 1, 1)
    for mean in (-1.02, 0.3, 1.0):
        x_t, t = torch.full((256, 1, 1), mean), torch.zeros(256, dtype=torch.int64)
        signal, sigma = diffusion.scales(t, x_t)
        eps = (1 - signal) / sigma * x_t  # so that the estimate of x_0 is x_t
        bits = diffusion.vlb_term(levels, x_t, t, eps, logits=torch.ones_like(x_t))
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
