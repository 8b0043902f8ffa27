"""Mistakes in the exercises on the variance of a step."""

from __future__ import annotations

import math

from torch import Tensor


def lost(ratio: Tensor, bit: float = math.log(2)) -> Tensor:
    return 0.5 * (ratio - 1 - ratio.log()) / bit


BITS_LOST = {
    "the ratio is upside down: the true variance divided by ours": lambda true_variance, variance:
        lost(variance / true_variance),
    "these are nats; divide by log(2) for bits": lambda true_variance, variance: lost(true_variance / variance, 1.0),
    "multiplied by log(2); divide by it": lambda true_variance, variance:
        lost(true_variance / variance, 1 / math.log(2)),
    "the half is missing": lambda true_variance, variance: 2 * lost(true_variance / variance),
    "the 1 is missing": lambda true_variance, variance: lost(true_variance / variance) + 0.5 / math.log(2),
    "the logarithm is added; it is taken off": lambda true_variance, variance:
        lost(true_variance / variance) + (true_variance / variance).log2(),
    "the logarithm is missing": lambda true_variance, variance: 0.5 * (true_variance / variance - 1) / math.log(2),
    "only the logarithm is there; the ratio less 1 is missing": lambda true_variance, variance:
        -0.5 * (true_variance / variance).log2(),
    "only the logarithm is in bits; all of it is divided by log(2)": lambda true_variance, variance:
        0.5 * (true_variance / variance - 1 - (true_variance / variance).log2()),
    "a root is too many: variances are given, no standard deviations": lambda true_variance, variance:
        lost((true_variance / variance).sqrt()),
    "the variances are squared; they are no standard deviations": lambda true_variance, variance:
        lost((true_variance / variance) ** 2),
    "the mean over all numbers is returned; each has its own": lambda true_variance, variance:
        lost(true_variance / variance).mean(),
}  # fmt: skip


def between(v: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return (v * high.log() + (1 - v) * low.log()).exp()


LEARNED_VARIANCE = {
    "the variances are mixed; their logarithms should be": lambda logits, beta_tilde, beta:
        (logits + 1) / 2 * beta + (1 - logits) / 2 * beta_tilde,
    "the logits are taken for the share v; -1 to 1 must become 0 to 1 first": between,
    "beta and beta_tilde are exchanged: 1 is beta": lambda logits, beta_tilde, beta:
        between((logits + 1) / 2, beta, beta_tilde),
    "this is still the logarithm of the variance": lambda logits, beta_tilde, beta:
        between((logits + 1) / 2, beta_tilde, beta).log(),
    "a sigmoid makes the share here; it is (logits + 1) / 2": lambda logits, beta_tilde, beta:
        between(logits.sigmoid(), beta_tilde, beta),
    "the logits are cut off at -1 and 1; they may go beyond": lambda logits, beta_tilde, beta:
        between((logits.clamp(-1, 1) + 1) / 2, beta_tilde, beta),
    "this is the standard deviation; the variance is its square": lambda logits, beta_tilde, beta:
        between((logits + 1) / 2, beta_tilde, beta).sqrt(),
    "(logits + 1) is not halved": lambda logits, beta_tilde, beta: between(logits + 1, beta_tilde, beta),
    "logits / 2 + 1 should be (logits + 1) / 2": lambda logits, beta_tilde, beta:
        between(logits / 2 + 1, beta_tilde, beta),
    "the second share is v as well; it should be 1 - v": lambda logits, beta_tilde, beta:
        ((logits + 1) / 2 * (beta.log() + beta_tilde.log())).exp(),
}  # fmt: skip


def beta(t: Tensor, t_prev: Tensor, table: Tensor) -> Tensor:
    return 1 - table[t] / table[t_prev]


def least(t: Tensor, t_prev: Tensor, table: Tensor, of: Tensor) -> Tensor:
    """beta_tilde, of this beta."""
    return (1 - table[t_prev]) / (1 - table[t]) * of


def both(t: Tensor, t_prev: Tensor, table: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
    return least(t, t_prev, table, of), of


STRIDE_VARIANCES = {
    "beta is that of a single step, t to t - 1; this one goes from t to t_prev": lambda t, t_prev, alphas_bar:
        both(t, t_prev, alphas_bar, beta(t, t - 1, alphas_bar)),
    "beta is right; beta_tilde still takes the beta of a single step": lambda t, t_prev, alphas_bar:
        (least(t, t_prev, alphas_bar, beta(t, t - 1, alphas_bar)), beta(t, t_prev, alphas_bar)),
    "beta_tilde is right; beta is still that of a single step": lambda t, t_prev, alphas_bar:
        (least(t, t_prev, alphas_bar, beta(t, t_prev, alphas_bar)), beta(t, t - 1, alphas_bar)),
    "beta comes first here; beta_tilde should": lambda t, t_prev, alphas_bar:
        both(t, t_prev, alphas_bar, beta(t, t_prev, alphas_bar))[::-1],
    "the ratio is upside down: alpha_bar falls as t grows": lambda t, t_prev, alphas_bar:
        both(t, t_prev, alphas_bar, beta(t_prev, t, alphas_bar)),
    "this is alpha of the step; beta is 1 less alpha": lambda t, t_prev, alphas_bar:
        both(t, t_prev, alphas_bar, alphas_bar[t] / alphas_bar[t_prev]),
    "the fraction of beta_tilde is upside down": lambda t, t_prev, alphas_bar:
        (least(t_prev, t, alphas_bar, beta(t, t_prev, alphas_bar)), beta(t, t_prev, alphas_bar)),
    "beta_tilde is not multiplied by beta": lambda t, t_prev, alphas_bar:
        ((1 - alphas_bar[t_prev]) / (1 - alphas_bar[t]), beta(t, t_prev, alphas_bar)),
    "above the fraction stands 1 less alpha_bar of t_prev, not alpha_bar itself": lambda t, t_prev, alphas_bar:
        (alphas_bar[t_prev] / (1 - alphas_bar[t]) * beta(t, t_prev, alphas_bar), beta(t, t_prev, alphas_bar)),
    "a single step's beta times the length of the stride is near, but not the same": lambda t, t_prev, alphas_bar:
        both(t, t_prev, alphas_bar, (t - t_prev) * beta(t, t - 1, alphas_bar)),
    "these are standard deviations; the variances are their squares": lambda t, t_prev, alphas_bar:
        tuple(each.sqrt() for each in both(t, t_prev, alphas_bar, beta(t, t_prev, alphas_bar))),
}  # fmt: skip

MISTAKES = {"bits_lost": BITS_LOST, "learned_variance": LEARNED_VARIANCE, "stride_variances": STRIDE_VARIANCES}
