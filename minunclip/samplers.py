"""Samplers: from noise to a sample, one step at a time; guidance; and the noise itself.

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
from itertools import count

import torch
from torch import Tensor

from .diffusion import Denoiser, Diffusion
from .solvers import analytic, dpm
from .steps import Step, moves, next_noise, start

# -- noise ---------------------------------------------------------------------------------------------------


def generators(seed: int, n: int) -> list[torch.Generator]:
    """n CPU generators seeded seed, seed + 1, ...: one for each sample of a batch."""
    return [torch.Generator().manual_seed(seed + i) for i in range(n)]


def noise_stream(
    shape: tuple[int, ...], generators: list[torch.Generator], device="cpu", dtype=torch.float32
) -> Iterator[Tensor]:
    """Standard normal tensors of the given shape (B, C, ...), without end; row i comes from generators[i].

    So a sample does not depend on its neighbours in the batch. Drawn on the CPU in float32 and then moved, so
    that a seed means the same noise on every device.
    """
    if len(generators) != shape[0]:
        raise ValueError(
            f"noise_stream: {len(generators)} generators for a batch of {shape[0]}; pass one for each row."
        )

    def draw() -> Tensor:
        return torch.stack([torch.randn(shape[1:], generator=g) for g in generators]).to(device, dtype)

    return (draw() for _ in count())


# -- samplers ------------------------------------------------------------------------------------------------


@torch.no_grad()
def ddpm(
    diffusion: Diffusion, denoiser: Denoiser, noise: Iterable[Tensor], steps: int, x_T: Tensor | None = None
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
    diffusion: Diffusion,
    denoiser: Denoiser,
    noise: Iterable[Tensor],
    steps: int,
    eta: float = 0.0,
    x_T: Tensor | None = None,
) -> Iterator[Step]:
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


SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "analytic": analytic, "dpm": dpm}


def last(sampler: Iterable[Step]) -> Tensor:
    """Run a sampler to its end and return the final sample."""
    for step in sampler:
        x_t = step.x_t
    return x_t


# -- guidance ------------------------------------------------------------------------------------------------


def guided(denoiser: Denoiser, scale: float) -> Denoiser:
    """Classifier-free guidance (Ho & Salimans 2022): uncond + scale (cond - uncond), from one doubled batch.

    `denoiser` gets x_t and t twice over, (2B, C, ...) and (2B,), and must treat the first half as
    unconditional and the second as conditional. Scale 0 is unconditional, 1 conditional, above 1 guided. Only
    the prediction is guided: variance channels, if any, are those of the conditional half.
    """

    def guided_denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        channels = x_t.shape[1]
        uncond, cond = denoiser(torch.cat([x_t, x_t]), torch.cat([t, t])).float().chunk(2)
        uncond, cond, variance = uncond[:, :channels], cond[:, :channels], cond[:, channels:]
        return torch.cat([uncond + scale * (cond - uncond), variance], dim=1)  # (B, C or 2C, ...)

    return guided_denoiser


def guided_within(lo: int, hi: int, guided: Denoiser, plain: Denoiser) -> Denoiser:
    """Guidance in an interval of noise levels (Kynkaanniemi et al. 2024): `guided` where lo <= t <= hi, else `plain`.

    They found that guidance at high noise costs variety and at low noise costs time, to no benefit. Both
    denoisers are (x_t, t) -> output, of the same condition; only the one that is needed runs:

        guided_within(200, 700, cascade.decoder_denoiser(z_i, text, 4.0), cascade.decoder_denoiser(z_i, text))
    """

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        inside = (lo <= t) & (t <= hi)  # (B,)
        if inside.all():
            return guided(x_t, t)
        if not inside.any():
            return plain(x_t, t)
        return torch.where(inside.view(-1, *[1] * (x_t.ndim - 1)), guided(x_t, t), plain(x_t, t))

    return denoiser
