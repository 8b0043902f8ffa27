"""The exercises of notebook 13: the variance of a sampler's step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...diffusion import cosine_betas
from .core import exercise, normal


def _variances() -> list[tuple]:
    true, ours = (normal(3, 4, seed=seed).exp() for seed in (1, 2))
    return [(torch.ones(5), torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])), (true, ours), (0.01 * true, ours)]


@exercise(_variances, rules={
    "nothing is lost where the variance is the true one": lambda y, true_variance, variance:
        bool((y[true_variance == variance].abs() < 1e-6).all()),
    "it is a loss: never negative": lambda y, true_variance, variance: bool((y >= -1e-6).all()),
})  # fmt: skip
def bits_lost(true_variance: Tensor, variance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of two normal distributions of one mean, in bits: N(., true) from N(., ours)."""
    ratio = true_variance / variance
    return 0.5 * (ratio - 1 - ratio.log()) / math.log(2)


@exercise(lambda: [
    (torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([0.01, 0.01, 0.01]), torch.tensor([0.04, 0.04, 0.04])),
    (normal(2, 3, 4, 4, seed=1), torch.tensor([[[[0.1]]], [[[0.001]]]]), torch.tensor([[[[0.9]]], [[[0.002]]]])),
], rules={
    "-1 is beta_tilde, 1 is beta": lambda y, logits, beta_tilde, beta: len(y) < 3
        or torch.allclose(y[[0, 2]], torch.tensor([0.01, 0.04]), atol=1e-4),
    "halfway between 0.01 and 0.04 is 0.02: the logarithms are mixed":
        lambda y, logits, beta_tilde, beta: len(y) < 3 or abs(float(y[1]) - 0.02) < 1e-4,
})  # fmt: skip
def learned_variance(logits: Tensor, beta_tilde: Tensor, beta: Tensor) -> Tensor:
    """The variance of a step from the network's logits: Nichol & Dhariwal 2021, eq. 15."""
    v = (logits + 1) / 2
    return (v * beta.log() + (1 - v) * beta_tilde.log()).exp()


def _strides() -> list[tuple]:
    table = torch.cumprod(1 - cosine_betas(1000), dim=0)
    return [
        (torch.tensor([500, 300]), torch.tensor([400, 299]), table),
        (torch.tensor([998, 700, 111, 5]), torch.tensor([888, 500, 0, 4]), table),
        (torch.tensor([3, 2, 1]), torch.tensor([1, 0, 0]), torch.tensor([0.9, 0.72, 0.36, 0.09])),
    ]


@exercise(_strides, rules={
    "the least noise is less than the most": lambda y, t, t_prev, alphas_bar: bool((y[0] <= y[1]).all()),
})  # fmt: skip
def stride_variances(t: Tensor, t_prev: Tensor, alphas_bar: Tensor) -> tuple[Tensor, Tensor]:
    """(beta_tilde, beta), (B,) each, of the steps from t to t_prev, (B,) int64 each; alphas_bar (T,)."""
    beta = 1 - alphas_bar[t] / alphas_bar[t_prev]                           # Nichol & Dhariwal 2021, section 4
    return (1 - alphas_bar[t_prev]) / (1 - alphas_bar[t]) * beta, beta
