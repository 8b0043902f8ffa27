"""The diffusion process: noise schedules, the forward process, what a network predicts, and its loss.

Every stage of unCLIP trains and samples with this one class. The network itself is any callable
`(x_t, t) -> output`, with x_t of shape (B, C, ...) and t an int64 tensor (B,); whatever it is conditioned on is
closed over, so nothing here knows of captions or embeddings.

In the notation of Ho et al. 2020 (DDPM), with alpha_bar_t = prod_{s <= t} (1 - beta_s) and t = 0 .. T-1:

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,    eps ~ N(0, I)

A timestep of -1 means clean data: alpha_bar = 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .likelihood import gaussian_kl, log_likelihood_8bit

Denoiser = Callable[[Tensor, Tensor], Tensor]


def cosine_betas(steps: int) -> Tensor:
    """The cosine schedule, float32 (T,): Nichol & Dhariwal 2021, eq. 17; s = .008, betas capped at .999."""

    def alpha_bar(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    ratios = [alpha_bar((t + 1) / steps) / alpha_bar(t / steps) for t in range(steps)]
    return torch.tensor([min(1 - ratio, 0.999) for ratio in ratios], dtype=torch.float32, device="cpu")


def linear_betas(steps: int) -> Tensor:
    """The linear schedule, float32 (T,): 1e-4 to .02 over 1000 steps (Ho et al. 2020, section 4).

    Fewer steps take larger betas, so that the last x_t is still (nearly) pure noise.
    """
    scale = 1000 / steps
    return torch.linspace(scale * 1e-4, scale * 0.02, steps, dtype=torch.float32, device="cpu").clamp(max=0.999)


SCHEDULES = {"cosine": cosine_betas, "linear": linear_betas}
TARGETS, WEIGHTINGS = ("eps", "x0", "v"), ("target", "capped")


@dataclass(frozen=True)
class DiffusionConfig:
    """How a stage diffuses."""

    schedule: str = "cosine"                # or "linear"
    steps: int = 1000                       # the number of training timesteps T, at least 2
    target: str = "eps"                     # what the network predicts: "eps" the noise, "x0" the clean sample (the
                                            # prior, unCLIP section 2.2), "v" a mixture of both (Salimans & Ho 2022)
    learned_variance: bool = False          # the network returns twice the channels: the second half says how much
                                            # noise a sampling step adds (Nichol & Dhariwal 2021, section 3.1)
    weighting: str = "target"               # "target": the error of the prediction, whatever it is. "capped": that of
                                            # the x_0 that it implies, times 1 + SNR as with "v", but 5 at most, so that
                                            # the last details do not drown the rest (Hang et al. 2023)
    clip: float | None = 1.0                # samplers clamp their estimate of x_0 to +-clip; None: data without bounds

    def __post_init__(self):
        if self.schedule not in SCHEDULES:
            raise ValueError(f"DiffusionConfig: schedule {self.schedule!r} is none of {list(SCHEDULES)}.")
        if self.target not in TARGETS:
            raise ValueError(f"DiffusionConfig: target {self.target!r} is none of {list(TARGETS)}.")
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"DiffusionConfig: weighting {self.weighting!r} is none of {list(WEIGHTINGS)}.")
        if self.steps < 2:
            raise ValueError(f"DiffusionConfig: steps is {self.steps}; a diffusion needs 2 or more.")


class Diffusion:
    """The forward process, the targets, the posterior of one step and the loss; it has no weights.

    The tables are float32, as in the released models, and follow the sample to its device."""

    def __init__(self, config: DiffusionConfig | None = None):
        self.config = config or DiffusionConfig()
        self.betas = SCHEDULES[self.config.schedule](self.config.steps)  # (T,)
        self.alphas_bar = torch.cumprod(1 - self.betas, dim=0)  # (T,)

    # -- the forward process ---------------------------------------------------------------------------------

    def alpha_bar(self, t: Tensor, like: Tensor) -> Tensor:
        """alpha_bar at each t (B,), 1 where t is -1, shaped to broadcast against `like`: (B, 1, ...)."""
        alpha_bar = _at(self.alphas_bar, t, like)
        return torch.where(_column(t, like) < 0, torch.ones_like(alpha_bar), alpha_bar)

    def scales(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """(signal, sigma) = (sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t)), each (B, 1, ...)."""
        alpha_bar = self.alpha_bar(t, like)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def q_sample(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Noise x_0 (B, C, ...) to timestep t (B,) with the noise eps: x_t, shaped alike (DDPM, eq. 4)."""
        signal, sigma = self.scales(t, x_0)
        return signal * x_0 + sigma * eps

    def target_of(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """What the network is asked to predict, shaped like x_0."""
        if self.config.target == "eps":
            return eps
        if self.config.target == "x0":
            return x_0
        signal, sigma = self.scales(t, x_0)
        return signal * eps - sigma * x_0

    # -- reading the network's output ------------------------------------------------------------------------
    def split(self, output: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor | None]:
        """(prediction, variance logits or None), float32 and shaped like x_t; see `learned_variance`."""
        channels = x_t.shape[1]
        expected = channels * (2 if self.config.learned_variance else 1)
        if output.shape[1] != expected:
            raise ValueError(f"Diffusion: the network returned {output.shape[1]} channels for an x_t of {channels}; "
                             f"learned_variance={self.config.learned_variance} needs {expected}: change one of them")
        output = output.float()
        return output[:, :channels], output[:, channels:] if self.config.learned_variance else None

    def solve(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The (x_0, eps) that a prediction of any kind implies for x_t, unclamped: `target_of` inverted."""
        signal, sigma = self.scales(t, x_t)
        if self.config.target == "eps":
            return (x_t - sigma * prediction) / signal, prediction
        if self.config.target == "x0":
            return prediction, (x_t - signal * prediction) / sigma
        return signal * x_t - sigma * prediction, sigma * x_t + signal * prediction

    def estimate(self, output: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The (x_0, eps) that a sampler works with: x_0 clamped to the clip range, and the eps that fits it.

        A clamped x_0 and the network's own eps no longer add up to x_t, so eps is read off again from x_t and
        the clamped x_0; a DDIM step then moves along the line from x_t to that x_0.
        """
        x_0, eps = self.solve(self.split(output, x_t)[0], x_t, t)
        if self.config.clip is None:
            return x_0, eps
        x_0 = x_0.clamp(-self.config.clip, self.config.clip)
        signal, sigma = self.scales(t, x_t)
        return x_0, (x_t - signal * x_0) / sigma

    # -- one step back, from t to an earlier t_prev ----------------------------------------------------------

    def step_variances(self, t: Tensor, t_prev: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """(beta_tilde, beta) of the step t -> t_prev, each (B, 1, ...): least and most noise it may add.

        A sampler that strides over timesteps has its own betas, beta = 1 - alpha_bar_t / alpha_bar_t_prev
        (Nichol & Dhariwal 2021, section 4); a stride of one has the schedule's.
        """
        alpha_bar, alpha_bar_prev = self.alpha_bar(t, like), self.alpha_bar(t_prev, like)
        single = _column(t - t_prev, like) == 1
        beta = torch.where(single, _at(self.betas, t, like), 1 - alpha_bar / alpha_bar_prev)
        return (1 - alpha_bar_prev) / (1 - alpha_bar) * beta, beta

    def posterior(self, x_0: Tensor, x_t: Tensor, t: Tensor, t_prev: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(mean, variance, beta) of q(x_{t_prev} | x_t, x_0): DDPM, eqs. 6-7.

        t and t_prev are (B,); t_prev = -1 is the last step, whose mean is x_0 itself up to the rounding of
        the float32 tables: 0.99947 x_0 with the cosine schedule.
        """
        alpha_bar, alpha_bar_prev = self.alpha_bar(t, x_t), self.alpha_bar(t_prev, x_t)
        variance, beta = self.step_variances(t, t_prev, x_t)
        towards_x_0 = alpha_bar_prev.sqrt() * beta / (1 - alpha_bar)
        towards_x_t = (1 - beta).sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
        return towards_x_0 * x_0 + towards_x_t * x_t, variance, beta

    def log_variance(self, logits: Tensor, t: Tensor, t_prev: Tensor) -> Tensor:
        """The learned log variance of a step: logits -1 .. 1 go from log beta_tilde to log beta, like logits.

        Nichol & Dhariwal 2021, eq. 15. beta_tilde is 0 at t = 0 and has no log there, so it is floored at its
        smallest non-zero value, that of t = 1.
        """
        smallest = (1 - self.alphas_bar[0]) / (1 - self.alphas_bar[1]) * self.betas[1]
        beta_tilde, beta = self.step_variances(t, t_prev, logits)
        low, high = beta_tilde.clamp(min=smallest.item()).log(), beta.log()
        fraction = (logits + 1) / 2
        return fraction * high + (1 - fraction) * low

    # -- the loss --------------------------------------------------------------------------------------------

    def loss(self, denoiser: Denoiser, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """The loss of each example, (B,): L_simple, or if the variance is learned, L_simple + lambda L_vlb.

        L_simple (DDPM, eq. 14) is the mean squared error of the target. L_vlb is the sum of T terms of which
        one, at t, is drawn here: an estimate of T times that term, and lambda = .001 (Nichol & Dhariwal 2021,
        section 3.1). Float32 whatever the network's precision.
        """
        x_0, eps = x_0.float(), eps.float()
        x_t = self.q_sample(x_0, t, eps)
        prediction, logits = self.split(denoiser(x_t, t), x_t)
        if self.config.weighting == "target":           # the target decides what counts (Salimans & Ho 2022, sect. 4)
            simple = _mean((prediction - self.target_of(x_0, t, eps)) ** 2)
        else:
            weight = (self.scales(t, x_t)[1] ** -2).clamp(max=5)
            simple = _mean(weight * (self.solve(prediction, x_t, t)[0] - x_0) ** 2)     # 1 + SNR is 1 / sigma^2
        if logits is None:
            return simple
        return simple + 0.001 * self.config.steps * self.vlb_term(x_0, x_t, t, prediction, logits=logits)

    def vlb_term(self, x_0: Tensor, x_t: Tensor, t: Tensor, prediction: Tensor, *, logits: Tensor) -> Tensor:
        """One term of the variational bound for each example, (B,), in bits per dimension.

        KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) for t > 0, and at t = 0 the negative log likelihood of
        the 8-bit picture x_0 (DDPM, eqs. 5 and 13). The predicted mean is detached: L_simple alone trains it,
        this term trains the variance only.
        """
        guess = self.solve(prediction.detach(), x_t, t)[0]
        mean, log_variance = self.posterior(guess, x_t, t, t - 1)[0], self.log_variance(logits, t, t - 1)
        true_mean = self.posterior(x_0, x_t, t, t - 1)[0]
        true_log_variance = self.log_variance(-torch.ones_like(logits), t, t - 1)
        kl = gaussian_kl(true_mean, true_log_variance, mean, log_variance)
        nll = -log_likelihood_8bit(x_0, mean, log_variance)
        return torch.where(t == 0, _mean(nll), _mean(kl)) / math.log(2)


def _column(t: Tensor, like: Tensor) -> Tensor:
    return t.to(like.device).view(-1, *[1] * (like.ndim - 1))  # (B, 1, ...)


def _at(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    return table.to(like.device)[_column(t, like).clamp(min=0)]  # (B, 1, ...)


def _mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(dim=1)  # (B,)
