"""Samplers: from noise to a sample, one step at a time.

A sampler is a generator that yields a `Step` after each step, so that a progress bar, an animation or a
widget can hang on it; `last(...)` runs it to the end. All take the same first arguments:

    diffusion   the process that the network was trained for
    denoiser    any callable (x_t (B, C, ...), t (B,) int64) -> output, perhaps wrapped by `guided`
    noise       standard normal tensors shaped like the sample: a `noise_stream`, or a list that replays one
    steps       how many of the T training timesteps to visit, 2 .. T
    x_T         the sample to start from; None takes the first tensor of `noise`

All run without gradients and in float32, whatever precision the network returns.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from .process import Denoiser, Diffusion
from .steps import Step, moves, next_noise, rows_mean, start


@torch.no_grad()
def ddpm(
    diffusion: Diffusion, denoiser: Denoiser, noise: Iterable[Tensor], steps: int, *, x_T: Tensor | None = None
) -> Iterator[Step]:
    """Ancestral sampling: each step draws from q(x_{t_prev} | x_t, x_0) at the estimated x_0 (DDPM, alg. 2).

    The variance is the learned one where the network has it, else beta_tilde. The last step adds no noise, so
    `noise` is asked for steps - 1 tensors besides x_T.
    """
    x_t, noise = start(noise, x_T)
    for i, t, t_prev in moves(x_t, steps, diffusion.config.steps):
        output = denoiser(x_t, t)
        x_0, _ = diffusion.estimate(output, x_t, t)
        _, logits = diffusion.split(output, x_t)
        x_t, variance, _ = diffusion.posterior(x_0, x_t, t, t_prev)
        if i > 0:
            fixed = variance.clamp(min=1e-20).log()
            log_variance = fixed if logits is None else diffusion.log_variance(logits, t, t_prev)
            x_t = x_t + (0.5 * log_variance).exp() * next_noise(noise, x_t)
        yield Step(x_t, x_0, i)


@torch.no_grad()
def ddim(
    diffusion: Diffusion, denoiser: Denoiser, noise: Iterable[Tensor], steps: int, *, x_T: Tensor | None = None,
    eta: float = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """DDIM (Song et al. 2020, eqs. 12 and 16): eta = 0 is deterministic, eta = 1 as noisy as DDPM.

    `noise` is asked for x_T and, for eta > 0, for one tensor a step except the last. A learned variance is
    ignored; DDPM here means the one with beta_tilde.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"ddim: eta is {eta}; choose 0 (deterministic) to 1 (as noisy as DDPM).")
    x_t, noise = start(noise, x_T)
    for i, t, t_prev in moves(x_t, steps, diffusion.config.steps):
        x_0, eps = diffusion.estimate(denoiser(x_t, t), x_t, t)
        alpha_bar_prev = diffusion.alpha_bar(t_prev, x_t)
        fresh = eta**2 * diffusion.step_variances(t, t_prev, x_t)[0]  # the variance of the noise added anew
        x_t = alpha_bar_prev.sqrt() * x_0 + (1 - alpha_bar_prev - fresh).clamp(min=0).sqrt() * eps
        if eta > 0 and i > 0:
            x_t = x_t + fresh.sqrt() * next_noise(noise, x_t)
        yield Step(x_t, x_0, i)


@torch.no_grad()
def analytic(
    diffusion: Diffusion, denoiser: Denoiser, noise: Iterable[Tensor], steps: int, *, x_T: Tensor | None = None
) -> Iterator[Step]:
    """Analytic-DPM (Bao et al. 2022): ancestral sampling with the best variance that a network implies.

    A long step must also add the spread of the x_0 that x_t leaves open. On average over x_t it is
    (sigma / signal)^2 (1 - E eps^2) per number, where eps is what the network predicts (their theorem 1, in
    which eps is -sigma times the score): if that is as large as the noise itself, x_t leaves nothing open.
    Each row of the batch estimates its own E eps^2, from its C x ... numbers: good for pictures, rough for embeddings.
    The result stays between beta_tilde and beta, which are exact for data that is one point and for N(0, I) (DDPM,
    section 3.2).
    """
    x_t, noise = start(noise, x_T)
    for i, t, t_prev in moves(x_t, steps, diffusion.config.steps):
        x_0, eps = diffusion.estimate(denoiser(x_t, t), x_t, t)
        square = rows_mean(eps**2)                                                  # (B, 1, ...)
        x_t, least, most = diffusion.posterior(x_0, x_t, t, t_prev)
        if i > 0:
            variance = optimal_variance(diffusion, square, t, t_prev, like=x_t)
            x_t = x_t + variance.clamp(least, most).sqrt() * next_noise(noise, x_t)
        yield Step(x_t, x_0, i)


def optimal_variance(
    diffusion: Diffusion, square: Tensor | float, t: Tensor, t_prev: Tensor, *, like: Tensor
) -> Tensor:  # fmt: skip
    """The variance of x_{t_prev} given x_t, averaged over x_t, (B, 1, ...), from E eps^2 at t (B,).

    The posterior of a known x_0 has the variance beta_tilde and a mean that moves with x_0 at a certain slope;
    the spread of x_0 comes on top, times the slope squared.
    """
    signal, sigma = diffusion.scales(t, like)
    one, zero = torch.ones_like(signal), torch.zeros_like(signal)
    slope, beta_tilde, _ = diffusion.posterior(one, zero, t, t_prev)
    return beta_tilde + (slope * sigma / signal) ** 2 * (1 - square)


@torch.no_grad()
def dpm(
    diffusion: Diffusion, denoiser: Denoiser, noise: Iterable[Tensor], steps: int, *, x_T: Tensor | None = None
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


SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "analytic": analytic, "dpm": dpm}
