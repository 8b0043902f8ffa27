"""minunclip.solvers against diffusers, Gaussians in closed form, and a mixture whose flow and posterior are known."""

import math
from functools import cache

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from helpers import normal, tiny_cascade
from torch import Tensor
from torch.testing import assert_close

from minunclip import solvers, steps
from minunclip.diffusion import Diffusion, DiffusionConfig
from minunclip.samplers import SAMPLERS, ddim, ddpm, generators, last, noise_stream
from minunclip.solvers import analytic, ddim_inverse, dpm, mean_square_eps, optimal_variance
from minunclip.steps import timesteps
from minunclip.unclip import Settings

PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
MU, S = 0.3, 0.5  # the Gaussian
WEIGHTS, MEANS, STDS = torch.tensor([[0.3, 0.7], [-0.5, 0.5], [0.1, 0.15]]).double()  # the mixture


def process(target: str = "x0", **changes) -> Diffusion:
    return Diffusion(DiffusionConfig(target=target, clip=None, **changes))


def network(x_t: Tensor, t: Tensor) -> Tensor:
    """A fixed function of x_t and t that mixes channels."""
    weight = normal(3, 3, seed=7)
    return torch.tanh(torch.einsum("dc,bchw->bdhw", weight, x_t) + (t / 150).sin().view(-1, 1, 1, 1))


def mixture(diffusion: Diffusion):
    """The perfect denoiser of independent numbers from a Gaussian mixture: E[target | x_t], in float64."""

    def denoiser(x_t, t):
        signal, sigma = (x.double() for x in diffusion.scales(t, x_t))
        a, s, x = signal[..., None], sigma[..., None], x_t.double()[..., None]
        spread = a**2 * STDS**2 + s**2
        share = torch.softmax(WEIGHTS.log() - spread.log() / 2 - (x - a * MEANS) ** 2 / (2 * spread), dim=-1)
        x_0 = (share * (MEANS + a * STDS**2 / spread * (x - a * MEANS))).sum(dim=-1)
        return diffusion.target_of(x_0, (x_t.double() - signal * x_0) / sigma, t)

    return denoiser


def gaussian(diffusion: Diffusion, mu: float = MU, s: float = S):
    """The perfect denoiser of N(mu, s^2), which is linear in x_t."""

    def denoiser(x_t, t):
        signal, sigma = diffusion.scales(t, x_t)
        score = (x_t - signal * mu) / (signal**2 * s**2 + sigma**2)  # up to its sign
        return diffusion.target_of(mu + signal * s**2 * score, sigma * score, t)

    return denoiser


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


# -- Analytic-DPM --------------------------------------------------------------------------------------------


def variance_of_a_gaussian(diffusion: Diffusion, t: int, t_prev: int) -> float:
    """Var(x_{t_prev} | x_t) for data N(mu, s^2), by conditioning the two jointly Gaussian numbers on one another."""
    alpha_bar, alpha_bar_prev = diffusion.alphas_bar.double()[[t, t_prev]]
    before, after = (a * S**2 + 1 - a for a in (alpha_bar_prev, alpha_bar))
    return (before - alpha_bar / alpha_bar_prev * before**2 / after).item()


MOVES = [(999, 928), (700, 500), (500, 499), (300, 40), (40, 0)]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("t, t_prev", MOVES)
def test_the_optimal_variance_of_gaussian_data_is_its_closed_form(t, t_prev, schedule):
    diffusion = Diffusion(DiffusionConfig(schedule=schedule))
    alpha_bar = diffusion.alphas_bar.double()[t]
    square = ((1 - alpha_bar) / (alpha_bar * S**2 + 1 - alpha_bar)).item()  # E eps^2, from E[eps | x_t]
    found = optimal_variance(diffusion, square, torch.tensor([t]), torch.tensor([t_prev]), torch.zeros(1, 1).double())
    expected = variance_of_a_gaussian(diffusion, t, t_prev)
    # at t = 999, 1 - square is 2e-9, and its rounding is what is left of the spread of x_0
    assert_close(found.item(), expected, rtol=2e-2 if t == 999 else 2e-4, atol=0)


@pytest.mark.parametrize("t, t_prev", MOVES)
@pytest.mark.parametrize("square", [0.2, 0.9])
def test_the_optimal_variance_is_the_papers_formula(t, t_prev, square):
    """Bao et al. 2022, theorem 1, in its notation: lambda^2 is beta_tilde, and E eps^2 = beta_bar E |score|^2 / d."""
    diffusion = process()
    bar, bar_prev = (1 - diffusion.alphas_bar.double()[[t, t_prev]]).tolist()  # beta_bar of the paper
    alpha = (1 - bar) / (1 - bar_prev)
    known = bar_prev / bar * (1 - alpha)
    expected = known + (math.sqrt(bar / alpha) - math.sqrt(bar_prev - known)) ** 2 * (1 - square)
    found = optimal_variance(diffusion, square, torch.tensor([t]), torch.tensor([t_prev]), torch.zeros(1, 1))
    assert_close(found.item(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_the_mean_square_of_the_noise_of_gaussian_data(target):
    diffusion, visited = process(target), [999, 600, 300, 20]
    x_0, noise = MU + S * normal(2, 20000, seed=1), noise_stream((2, 20000), generators(5, 2))
    found = mean_square_eps(diffusion, gaussian(diffusion), x_0, noise, visited)
    assert list(found) == visited
    for t, square in found.items():
        alpha_bar = diffusion.alphas_bar[t].item()
        assert abs(square - (1 - alpha_bar) / (alpha_bar * S**2 + 1 - alpha_bar)) < 0.03  # 4 standard errors


@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("measured", [True, False])
def test_with_the_optimal_variance_long_steps_keep_the_spread_of_gaussian_data(n, measured):
    diffusion, shape = process(), (2, 20000)
    denoiser, squares = gaussian(diffusion), None
    if measured:
        x_0 = MU + S * normal(*shape, seed=1)
        squares = mean_square_eps(diffusion, denoiser, x_0, noise_stream(shape, generators(5, 2)), timesteps(n))
    sample = last(analytic(diffusion, denoiser, noise_stream(shape, generators(0, 2)), n, squares=squares))
    assert abs(sample.mean().item() - MU) < 0.01 and abs(sample.std().item() / S - 1) < 0.02
    plain = last(ddpm(diffusion, denoiser, noise_stream(shape, generators(0, 2)), n))
    assert plain.std().item() / S - 1 < (-0.02 if n == 50 else -0.1)  # beta_tilde adds too little


def test_measured_squares_are_used_as_they_are():
    """E eps^2 = 1 leaves nothing open: DDPM with beta_tilde. E eps^2 = 0 is held at beta."""
    diffusion, noise = process(), [normal(2, 3, 4, 4, seed=i) for i in range(6)]
    ones, zeros = (dict.fromkeys(timesteps(6), value) for value in (1.0, 0.0))
    assert_close(last(analytic(diffusion, network, noise, 6, squares=ones)), last(ddpm(diffusion, network, noise, 6)))
    found = list(analytic(diffusion, network, noise, 6, squares=zeros))[0].x_t
    t, t_prev = (torch.full((2,), t) for t in timesteps(6)[:2])
    mean, _, beta = diffusion.posterior(network(noise[0], t), noise[0], t, t_prev)
    assert_close(found, mean + beta.sqrt() * noise[1])


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


# -- DDIM backward -------------------------------------------------------------------------------------------


def round_trip(diffusion: Diffusion, denoiser, x_0: Tensor, n: int, corrections: int) -> float:
    """The largest error after going back to x_T and down again with DDIM."""
    x_T = last(ddim_inverse(diffusion, denoiser, x_0, n, corrections))
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
        (last(ddim_inverse(diffusion, gaussian(diffusion), x_0, n, 6)) - (x_0 - MU) / S).abs().max().item()
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
    partial = lambda x_t, t: gaussian(diffusion)(x_t, t) * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1)  # noqa: E731
    way_back = lambda n: last(ddim_inverse(diffusion, partial, x_0, n))  # noqa: E731
    x_T = way_back(50)
    assert x_T[:, 2].abs().max() < 2 and x_T.pow(2).mean() < 2
    drawn = last(ddim(diffusion, partial, [], 50, x_T=x_T))
    assert (drawn - x_0)[:, :2].abs().mean() < 0.06 and drawn[:, 2].abs().max() < 1e-6
    monkeypatch.setattr(solvers, "rows_mean", lambda x: torch.zeros(len(x), 1, 1, 1))  # begin at t = 0 all the same
    assert way_back(50)[:, 2].abs().min() > 10


def test_the_way_back_visits_the_same_timesteps_in_the_other_order():
    calls = []
    denoiser = lambda x_t, t: calls.append(int(t[0])) or 0.1 * x_t  # noqa: E731
    found = list(ddim_inverse(Diffusion(), denoiser, normal(1, 3, 4, 4), 7, corrections=2))
    assert [step.t for step in found] == timesteps(7)[::-1]
    assert calls == [t for t in timesteps(7)[::-1] for _ in range(2)]


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
