"""DDIM backward: from a sample to the noise from which DDIM draws it again."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .process import Denoiser, Diffusion
from .steps import Step, moves, rows_mean


@torch.no_grad()
def ddim_inverse(
    diffusion: Diffusion, denoiser: Denoiser, x_0: Tensor, steps: int, *, corrections: int = 3
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
