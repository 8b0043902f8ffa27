"""Samplers for few steps, and the way back: Analytic-DPM, DPM-Solver++(2M) and DDIM inversion.

They take what the samplers of `samplers.py` take, and like them yield a `Step` after each step.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from .diffusion import Denoiser, Diffusion
from .steps import Step, moves, next_noise, start


@torch.no_grad()
def analytic(
    diffusion: Diffusion,
    denoiser: Denoiser,
    noise: Iterable[Tensor],
    steps: int,
    x_T: Tensor | None = None,
    squares: dict[int, float] | None = None,
) -> Iterator[Step]:
    """Analytic-DPM (Bao et al. 2022): ancestral sampling with the best variance that a network implies.

    A long step must also add the spread of the x_0 that x_t leaves open. On average over x_t it is
    (sigma / signal)^2 (1 - E eps^2) per number, where eps is what the network predicts (their theorem 1, in
    which eps is -sigma times the score): if that is as large as the noise itself, x_t leaves nothing open.
    `squares` holds E eps^2 at each timestep, see `mean_square_eps`. Without it each row of the batch estimates
    its own, from its C x ... numbers: good for pictures, rough for embeddings. The result stays between
    beta_tilde and beta, which are exact for data that is one point and for N(0, I) (DDPM, section 3.2).
    """
    x_t, noise = start(noise, x_T)
    for i, t, t_prev in moves(x_t, steps, diffusion.config.steps):
        x_0, eps = diffusion.estimate(denoiser(x_t, t), x_t, t)
        square = rows_mean(eps**2) if squares is None else squares[i]               # (B, 1, ...) or a number
        x_t, least, most = diffusion.posterior(x_0, x_t, t, t_prev)
        if i > 0:
            variance = optimal_variance(diffusion, square, t, t_prev, x_t)
            x_t = x_t + variance.clamp(least, most).sqrt() * next_noise(noise, x_t)
        yield Step(x_t, x_0, i)


def optimal_variance(diffusion: Diffusion, square: Tensor | float, t: Tensor, t_prev: Tensor, like: Tensor) -> Tensor:
    """The variance of x_{t_prev} given x_t, averaged over x_t, (B, 1, ...), from E eps^2 at t (B,).

    The posterior of a known x_0 has the variance beta_tilde and a mean that moves with x_0 at a certain slope;
    the spread of x_0 comes on top, times the slope squared.
    """
    signal, sigma = diffusion.scales(t, like)
    one, zero = torch.ones_like(signal), torch.zeros_like(signal)
    slope, beta_tilde, _ = diffusion.posterior(one, zero, t, t_prev)
    return beta_tilde + (slope * sigma / signal) ** 2 * (1 - square)


@torch.no_grad()
def mean_square_eps(
    diffusion: Diffusion, denoiser: Denoiser, x_0: Tensor, noise: Iterable[Tensor], ts: Iterable[int]
) -> dict[int, float]:
    """{t: E eps^2}: the mean squared prediction of the noise over data x_0 (B, C, ...), noised to each t of `ts`.

    `denoiser` is conditioned on what belongs to these x_0; `noise` is asked for one tensor for each t.
    """
    squares, noise = {}, iter(noise)
    for i in ts:
        t = torch.full((len(x_0),), i, device=x_0.device)
        x_t = diffusion.q_sample(x_0, t, next_noise(noise, x_0))
        squares[i] = (diffusion.estimate(denoiser(x_t, t), x_t, t)[1] ** 2).mean().item()
    return squares


def rows_mean(x: Tensor) -> Tensor:
    """The mean of each row: (B, C, ...) -> (B, 1, ...)."""
    return x.mean(dim=tuple(range(1, x.ndim)), keepdim=True)


@torch.no_grad()
def dpm(
    diffusion: Diffusion, denoiser: Denoiser, noise: Iterable[Tensor], steps: int, x_T: Tensor | None = None
) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2): deterministic like DDIM, and more exact.

    DDIM pretends that the estimate of x_0 stays what it is during a step. Here it goes on changing as it did
    over the last step, in terms of lambda = log(signal / sigma), and what it will be halfway stands for the
    whole step. The first step and the last, to the clean sample, are DDIM's. One change of ours: a step that is
    longer than the one before counts as equally long. Near t = 0 evenly spread timesteps grow long in lambda,
    and with few steps the paper's guess then overshoots so far that DDIM does better.
    """
    x_t, noise = start(noise, x_T)
    previous, previous_length = None, None
    for i, t, t_prev in moves(x_t, steps, diffusion.config.steps):
        x_0, _ = diffusion.estimate(denoiser(x_t, t), x_t, t)
        (signal, sigma), (signal_prev, sigma_prev) = diffusion.scales(t, x_t), diffusion.scales(t_prev, x_t)
        length = (signal_prev / sigma_prev).log() - (signal / sigma).log()          # of the step, in lambda
        halfway = x_0
        if previous is not None and i > 0:
            halfway = x_0 + (length / previous_length).clamp(max=1) / 2 * (x_0 - previous)
        x_t = sigma_prev / sigma * x_t + (signal_prev - signal * sigma_prev / sigma) * halfway
        previous, previous_length = x_0, length
        yield Step(x_t, x_0, i)


@torch.no_grad()
def ddim_inverse(
    diffusion: Diffusion, denoiser: Denoiser, x_0: Tensor, steps: int, corrections: int = 3
) -> Iterator[Step]:
    """DDIM backward: from a sample x_0 (B, C, ...) to the x_T that `ddim` with eta = 0 and as many steps takes to it.

    (Dhariwal & Nichol 2021, appendix F; unCLIP section 3.) A DDIM step from t to t_prev asks the network at
    x_t, which is what we look for. So guess it, take the step, see by how much it misses x_{t_prev}, correct
    the guess, and repeat. A miss is divided by how strongly the step would pass a change on if the data were
    N(0, I). One correction asks the network at x_{t_prev} only, as the papers do; each further one brings the
    result closer to what `ddim` undoes. The network runs steps x corrections times.

    A network that cannot draw the finest detail takes it for noise, and finds far more noise in a clean sample
    than there is at small t. Going on from there x_T would be huge, so such steps only scale the sample: the
    way back begins at the first t where the noise that a row is said to have is of size 1 at most.
    """
    x_t, begun = x_0.float(), torch.zeros(len(x_0), *[1] * (x_0.ndim - 1), dtype=torch.bool, device=x_0.device)
    for _, t, t_prev in reversed(list(moves(x_t, steps, diffusion.config.steps))):
        (signal, sigma), (signal_prev, sigma_prev) = diffusion.scales(t, x_t), diffusion.scales(t_prev, x_t)
        passed_on, goal = signal * signal_prev + sigma * sigma_prev, x_t
        for _ in range(corrections):
            guess, eps = diffusion.estimate(denoiser(x_t, t), x_t, t)
            x_t = x_t + (goal - signal_prev * guess - sigma_prev * eps) / passed_on
        begun = begun | (rows_mean(eps**2) <= 1)                                    # (B, 1, ...)
        x_t = torch.where(begun, x_t, signal / signal_prev * goal)
        yield Step(x_t, guess, int(t[0]))
