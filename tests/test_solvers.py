"""All samplers, on a mixture whose posterior is known and in the cascade."""

import pytest
import torch
from helpers import tiny_cascade
from solver_helpers import MEANS, STDS, WEIGHTS, mixture, process

from minunclip.diffusion import (
    SAMPLERS,
    Diffusion,
    DiffusionConfig,
    analytic,
    ddpm,
    generators,
    last,
    noise_stream,
    timesteps,
)
from minunclip.unclip import Settings

# -- all samplers on the mixture -----------------------------------------------------------------------------


def with_exact_variance(diffusion: Diffusion, n: int):
    """The mixture's denoiser and, as a learned variance, how uncertain x_{t_prev} is given x_t, for n steps."""
    visited = timesteps(n)
    previous = dict(zip(visited, [*visited[1:], -1], strict=True))
    perfect = mixture(Diffusion(DiffusionConfig(target="x0", clip=None)))

    def denoiser(x_t, t):
        signal, sigma = (x.double() for x in diffusion.scales(t, x_t))
        x_0, nudge = perfect(x_t, t), 1e-3
        slope_of_x_0 = (perfect(x_t.double() + nudge, t) - perfect(x_t.double() - nudge, t)) / (2 * nudge)
        open_ = slope_of_x_0 * sigma**2 / signal  # Var(x_0 | x_t), by Tweedie's second formula
        t_prev = torch.tensor([previous[i] for i in t.tolist()])
        slope, least, most = diffusion.posterior(torch.ones_like(x_t), torch.zeros_like(x_t), t, t_prev)
        exact = least.clamp(min=1e-20) + slope**2 * open_.clamp(min=0)
        fraction = (exact.log() - least.log()) / (most.log() - least.log())
        return torch.cat([x_0, 2 * fraction.nan_to_num(0, 0, 0) - 1], dim=1)

    return denoiser


def mixture_errors(sampler, diffusion: Diffusion, denoiser, n: int) -> tuple[float, float, float]:
    """Of 40,000 numbers: how far off are the weights, and the worse of the two means and of the two spreads."""
    sample = last(sampler(diffusion, denoiser, noise_stream((2, 20000), generators(0, 2)), n)).double()
    right = sample > -0.1  # 4 standard deviations from both
    parts = sample[~right], sample[right]
    means = [abs(part.mean() - mean).item() for part, mean in zip(parts, MEANS, strict=True)]
    stds = [abs(part.std() / std - 1).item() for part, std in zip(parts, STDS, strict=True)]
    return abs(right.double().mean().item() - WEIGHTS[1].item()), max(means), max(stds)


@pytest.mark.parametrize("name, worst_std", [("ddim", 0.08), ("analytic", 0.08), ("dpm", 0.04), ("learned", 0.02)])
def test_fifty_steps_draw_the_mixture(name, worst_std):
    diffusion, sampler = process(learned_variance=name == "learned"), ddpm if name == "learned" else SAMPLERS[name]
    denoiser = with_exact_variance(diffusion, 50) if name == "learned" else mixture(diffusion)
    weight, mean, std = mixture_errors(sampler, diffusion, denoiser, 50)
    assert weight < 0.01 and mean < 0.01 and std < worst_std  # 4 standard errors: .009, .006 and .026


def test_strided_ancestral_steps_need_a_learned_or_an_optimal_variance():
    """With 25 steps of DDPM, beta_tilde takes from the spread; the two others give most of it back."""
    learned, fixed = process(learned_variance=True), process()
    without = mixture_errors(ddpm, fixed, mixture(fixed), 25)
    assert mixture_errors(ddpm, learned, with_exact_variance(learned, 25), 25)[2] < without[2] / 2.5
    assert mixture_errors(analytic, fixed, mixture(fixed), 25)[2] < 0.9 * without[2]


# -- in the cascade ------------------------------------------------------------------------------------------


def test_every_stage_samples_with_every_sampler():
    cascade, images = tiny_cascade(), {}
    for name in SAMPLERS:
        drawing = cascade.sample(["a red star"], seed=3, settings=Settings(3, 1.5, 2, 4, 2.0, (2, 3), name))
        assert all(image.isfinite().all() and image.abs().max() <= 1 for image in drawing.images.values())
        images[name] = drawing.image
    names = list(images)
    assert not any(torch.equal(images[a], images[b]) for i, a in enumerate(names) for b in names[:i])


def test_a_sampler_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(ValueError, match="no sampler 'dpm2': choose one of ddpm, ddim, analytic, dpm"):
        Settings(sampler="dpm2")
