"""Mistakes in the exercises of the notebooks on diffusion."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def at(alphas_bar: Tensor, t: Tensor, x_0: Tensor) -> Tensor:
    return alphas_bar[t].view(-1, *[1] * (x_0.ndim - 1))                    # (B, 1, ...)


def mixed(x_0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def clean(x_t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()


Q_SAMPLE = {
    "alpha_bar is a variance; what multiplies x_0 and eps is a square root": lambda x_0, t, eps, alphas_bar:
        at(alphas_bar, t, x_0) * x_0 + (1 - at(alphas_bar, t, x_0)) * eps,
    "signal and noise are exchanged: sqrt(alpha_bar) belongs to x_0": lambda x_0, t, eps, alphas_bar:
        mixed(eps, x_0, at(alphas_bar, t, x_0)),
    "alphas_bar[t] is (B,); to multiply x_0 it needs an axis of 1 for each further axis of x_0":
        lambda x_0, t, eps, alphas_bar: mixed(x_0, eps, alphas_bar[t]),
    "every row is noised to the first row's t; each row has its own": lambda x_0, t, eps, alphas_bar:
        mixed(x_0, eps, alphas_bar[t[0]]),
    "x_0 is not multiplied by sqrt(alpha_bar): the signal shrinks as the noise grows": lambda x_0, t, eps, alphas_bar:
        x_0 + (1 - at(alphas_bar, t, x_0)).sqrt() * eps,
    "the noise keeps its full strength; it is multiplied by sqrt(1 - alpha_bar)": lambda x_0, t, eps, alphas_bar:
        at(alphas_bar, t, x_0).sqrt() * x_0 + eps,
    "the noise is multiplied by sqrt(alpha_bar) as well; it should be by sqrt(1 - alpha_bar)":
        lambda x_0, t, eps, alphas_bar: at(alphas_bar, t, x_0).sqrt() * (x_0 + eps),
    "the noise is multiplied by 1 - sqrt(alpha_bar); it should be sqrt(1 - alpha_bar)": lambda x_0, t, eps, alphas_bar:
        at(alphas_bar, t, x_0).sqrt() * x_0 + (1 - at(alphas_bar, t, x_0).sqrt()) * eps,
    "the noise is multiplied by 1 - alpha_bar; the root is missing": lambda x_0, t, eps, alphas_bar:
        at(alphas_bar, t, x_0).sqrt() * x_0 + (1 - at(alphas_bar, t, x_0)) * eps,
    "x_0 is multiplied by alpha_bar; the root is missing": lambda x_0, t, eps, alphas_bar:
        at(alphas_bar, t, x_0) * x_0 + (1 - at(alphas_bar, t, x_0)).sqrt() * eps,
    "the noise is taken away; it is added": lambda x_0, t, eps, alphas_bar:
        mixed(x_0, -eps, at(alphas_bar, t, x_0)),
    "the table is read one timestep late, at t + 1 or t - 1": lambda x_0, t, eps, alphas_bar:
        mixed(x_0, eps, at(alphas_bar, t - 1, x_0)),
}  # fmt: skip

X0_FROM_EPS = {
    "the noise is gone, but what is left is still sqrt(alpha_bar) * x_0: divide by it": lambda x_t, eps, alpha_bar:
        x_t - (1 - alpha_bar).sqrt() * eps,
    "two roots are missing: signal and sigma are the roots of alpha_bar and 1 - alpha_bar":
        lambda x_t, eps, alpha_bar: (x_t - (1 - alpha_bar) * eps) / alpha_bar,
    "the noise is added; it should be taken away": lambda x_t, eps, alpha_bar: clean(x_t, -eps, alpha_bar),
    "all of eps is taken away; x_t has only sqrt(1 - alpha_bar) of it": lambda x_t, eps, alpha_bar:
        (x_t - eps) / alpha_bar.sqrt(),
    "only the noise is divided by sqrt(alpha_bar): brackets are missing": lambda x_t, eps, alpha_bar:
        x_t - (1 - alpha_bar).sqrt() * eps / alpha_bar.sqrt(),
    "multiplied by sqrt(alpha_bar); divide by it": lambda x_t, eps, alpha_bar:
        (x_t - (1 - alpha_bar).sqrt() * eps) * alpha_bar.sqrt(),
    "divided by alpha_bar; it should be by its root": lambda x_t, eps, alpha_bar:
        (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar,
    "signal and sigma are exchanged": lambda x_t, eps, alpha_bar:
        (x_t - alpha_bar.sqrt() * eps) / (1 - alpha_bar).sqrt(),
    "the noise is multiplied by 1 - alpha_bar; the root is missing": lambda x_t, eps, alpha_bar:
        (x_t - (1 - alpha_bar) * eps) / alpha_bar.sqrt(),
    "this noises x_t once more; solve the equation for x_0": mixed,
}  # fmt: skip

DDIM_STEP = {
    "this is the estimate of x_0; a step goes only as far as the noise level of t_prev":
        lambda x_t, eps, alpha_bar, alpha_bar_prev: clean(x_t, eps, alpha_bar),
    "the noise stays at the level of t; it goes down to that of t_prev: sqrt(1 - alpha_bar_prev)":
        lambda x_t, eps, alpha_bar, alpha_bar_prev:
        alpha_bar_prev.sqrt() * clean(x_t, eps, alpha_bar) + (1 - alpha_bar).sqrt() * eps,
    "the noise of t_prev is not put back: add sqrt(1 - alpha_bar_prev) * eps": lambda x_t, eps, alpha_bar,
        alpha_bar_prev: alpha_bar_prev.sqrt() * clean(x_t, eps, alpha_bar),
    "x_t is taken for x_0; first estimate x_0 from x_t and eps": lambda x_t, eps, alpha_bar, alpha_bar_prev:
        mixed(x_t, eps, alpha_bar_prev),
    "t and t_prev are exchanged: x_0 is estimated at t, and noised to t_prev": lambda x_t, eps, alpha_bar,
        alpha_bar_prev: mixed(clean(x_t, eps, alpha_bar_prev), eps, alpha_bar),
    "this is x_t again: the new noise level is that of t_prev": lambda x_t, eps, alpha_bar, alpha_bar_prev:
        mixed(clean(x_t, eps, alpha_bar), eps, alpha_bar),
    "roots are missing where x_0 is noised to t_prev": lambda x_t, eps, alpha_bar, alpha_bar_prev:
        alpha_bar_prev * clean(x_t, eps, alpha_bar) + (1 - alpha_bar_prev) * eps,
    "the estimate of x_0 is not shrunk by sqrt(alpha_bar_prev)": lambda x_t, eps, alpha_bar, alpha_bar_prev:
        clean(x_t, eps, alpha_bar) + (1 - alpha_bar_prev).sqrt() * eps,
    "the noise is taken away a second time; that of t_prev is added": lambda x_t, eps, alpha_bar, alpha_bar_prev:
        mixed(clean(x_t, eps, alpha_bar), -eps, alpha_bar_prev),
    "the estimate of x_0 is not divided by sqrt(alpha_bar)": lambda x_t, eps, alpha_bar, alpha_bar_prev:
        mixed(x_t - (1 - alpha_bar).sqrt() * eps, eps, alpha_bar_prev),
}  # fmt: skip


def shares(alpha_bar: Tensor, alpha_bar_prev: Tensor) -> tuple[Tensor, Tensor]:
    alpha = alpha_bar / alpha_bar_prev
    return (alpha_bar_prev.sqrt() * (1 - alpha) / (1 - alpha_bar),
            alpha.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar))  # fmt: skip


def weighted(x_0: Tensor, x_t: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    return weights[0] * x_0 + weights[1] * x_t


POSTERIOR_MEAN = {
    "the two weights are exchanged": lambda x_0, x_t, alpha_bar, alpha_bar_prev:
        weighted(x_t, x_0, shares(alpha_bar, alpha_bar_prev)),
    "the weights need not sum to 1: each has a square root in it": lambda x_0, x_t, alpha_bar, alpha_bar_prev:
        weighted(x_0, x_t, ((share := (1 - alpha_bar / alpha_bar_prev) / (1 - alpha_bar)), 1 - share)),
    "alpha is that of the step, alpha_bar / alpha_bar_prev; alpha_bar stands in its place": lambda x_0, x_t, alpha_bar,
        alpha_bar_prev: weighted(x_0, x_t, (
            alpha_bar_prev.sqrt(), alpha_bar.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar))),
    "this is DDIM's step; DDPM's mean has less noise left, as fresh noise is added to it": lambda x_0, x_t, alpha_bar,
        alpha_bar_prev: mixed(x_0, (x_t - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt(), alpha_bar_prev),
    "neither weight is divided by 1 - alpha_bar": lambda x_0, x_t, alpha_bar, alpha_bar_prev:
        weighted(x_0, x_t, shares(alpha_bar, alpha_bar_prev)) * (1 - alpha_bar),
    "the weight of x_0 lacks its root: sqrt(alpha_bar_prev)": lambda x_0, x_t, alpha_bar, alpha_bar_prev:
        weighted(x_0, x_t, (alpha_bar_prev * (1 - alpha_bar / alpha_bar_prev) / (1 - alpha_bar),
                            shares(alpha_bar, alpha_bar_prev)[1])),
    "the weight of x_t lacks its root: sqrt(alpha)": lambda x_0, x_t, alpha_bar, alpha_bar_prev:
        weighted(x_0, x_t, (shares(alpha_bar, alpha_bar_prev)[0],
                            alpha_bar / alpha_bar_prev * (1 - alpha_bar_prev) / (1 - alpha_bar))),
    "the weight of x_0 has sqrt(alpha_bar) in it; it should be sqrt(alpha_bar_prev)": lambda x_0, x_t, alpha_bar,
        alpha_bar_prev: weighted(x_0, x_t, (
            alpha_bar.sqrt() * (1 - alpha_bar / alpha_bar_prev) / (1 - alpha_bar),
            shares(alpha_bar, alpha_bar_prev)[1])),
    "t and t_prev are exchanged": lambda x_0, x_t, alpha_bar, alpha_bar_prev:
        weighted(x_0, x_t, shares(alpha_bar_prev, alpha_bar)),
    "this is x_0 noised to t_prev without the noise; where is x_t?": lambda x_0, x_t, alpha_bar, alpha_bar_prev:
        alpha_bar_prev.sqrt() * x_0 + 0 * x_t,
}  # fmt: skip

def new_noise(alpha_bar: Tensor, alpha_bar_prev: Tensor, eta: float) -> Tensor:
    return eta * ((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)).sqrt()


def three(shares: Callable) -> Callable:
    """A step with the shares (of eps, of the noise) that follow from alpha_bar_prev and sigma."""
    def step(*given):
        x_0, eps, noise, alpha_bar, alpha_bar_prev, eta = given
        old, new = shares(alpha_bar_prev, new_noise(alpha_bar, alpha_bar_prev, eta))
        return alpha_bar_prev.sqrt() * x_0 + old * eps + new * noise
    return step


ETA_STEP = {
    "old and new noise together are too much: take sigma**2 from the variance of the old": three(lambda alpha, sigma:
        ((1 - alpha).sqrt(), sigma)),
    "sigma is a standard deviation; its square is taken from 1 - alpha_bar_prev": three(lambda alpha, sigma:
        ((1 - alpha - sigma).clamp(min=0).sqrt(), sigma)),
    "sigma is taken from the root; take sigma**2 from what stands below it": three(lambda alpha, sigma:
        ((1 - alpha).sqrt() - sigma, sigma)),
    "the old noise is gone; only part of it makes room for the new": three(lambda alpha, sigma: (0, sigma)),
    "no new noise comes in: add sigma * noise": three(lambda alpha, sigma:
        ((1 - alpha - sigma**2).sqrt(), 0)),
    "the new noise has the variance sigma**2, so it is multiplied by sigma": three(lambda alpha, sigma:
        ((1 - alpha - sigma**2).sqrt(), sigma**2)),
    "sigma**2 is added below the root; it is taken away": three(lambda alpha, sigma:
        ((1 - alpha + sigma**2).sqrt(), sigma)),
    "old and new noise have changed places": three(lambda alpha, sigma: (sigma, (1 - alpha - sigma**2).sqrt())),
    "the root of 1 - alpha_bar_prev - sigma**2 is missing": three(lambda alpha, sigma:
        (1 - alpha - sigma**2, sigma)),
    "the estimate of x_0 is not shrunk by sqrt(alpha_bar_prev)": lambda x_0, eps, noise, alpha_bar, alpha_bar_prev, eta:
        x_0 + (1 - alpha_bar_prev - (sigma := new_noise(alpha_bar, alpha_bar_prev, eta)) ** 2).sqrt() * eps
        + sigma * noise,
    "eta is left out of sigma": lambda x_0, eps, noise, alpha_bar, alpha_bar_prev, eta: alpha_bar_prev.sqrt() * x_0
        + (1 - alpha_bar_prev - (sigma := new_noise(alpha_bar, alpha_bar_prev, 1)) ** 2).sqrt() * eps + sigma * noise,
}  # fmt: skip

GUIDE = {
    "it starts from the prediction with the caption, so w is one too large; start from the one without":
        lambda uncond, cond, w: cond + w * (cond - uncond),
    "it goes away from the caption: the difference is the wrong way round": lambda uncond, cond, w:
        uncond + w * (uncond - cond),
    "a mean lies between the two; guidance goes beyond": lambda uncond, cond, w: (uncond + w * cond) / (1 + w),
    "only the prediction with the caption is scaled; scale its difference from the other": lambda uncond, cond, w:
        w * cond,
    "w above 1 is cut off; going beyond is the point of guidance": lambda uncond, cond, w:
        torch.lerp(uncond, cond, min(w, 1.0)),
    "both are scaled: uncond stays as it is": lambda uncond, cond, w: w * (cond - uncond),
    "uncond and cond are exchanged: w = 1 should be the one with the caption": lambda uncond, cond, w:
        cond + w * (uncond - cond),
    "the two are added; it should be their difference": lambda uncond, cond, w: uncond + w * (cond + uncond),
    "the difference is divided by w; multiply it": lambda uncond, cond, w: uncond + (cond - uncond) / torch.tensor(w),
    "uncond + w * cond counts uncond once too often": lambda uncond, cond, w: uncond + w * cond,
}  # fmt: skip


def towards(uncond: Tensor, cond: Tensor, w: float) -> Tensor:
    return uncond + w * (cond - uncond)


GUIDED_HALVES = {
    "the first half was asked without the caption: uncond, cond = both.chunk(2)": lambda both, w:
        towards(*both.chunk(2)[::-1], w),
    "odd and even rows are taken apart; the batch is two halves, one after the other": lambda both, w:
        towards(both[::2], both[1::2], w),
    "the answer has as many rows as half of the batch": lambda both, w:
        towards(*both.chunk(2), w).repeat(2, *[1] * (both.ndim - 1)),
    "the batch is cut along the second axis; cut the first": lambda both, w:
        both[:, : both.shape[1] // 2] + w * (both[:, both.shape[1] // 2 : both.shape[1] // 2 * 2]
                                             - both[:, : both.shape[1] // 2]),
    "only the half with the caption is used": lambda both, w: both.chunk(2)[1],
    "only the half without the caption is used": lambda both, w: both.chunk(2)[0],
    "it starts from the prediction with the caption, so w is one too large": lambda both, w:
        towards(*both.chunk(2), w + 1),
    "it goes away from the caption: the difference is the wrong way round": lambda both, w:
        towards(*both.chunk(2), -w),
    "a mean lies between the two; guidance goes beyond": lambda both, w:
        (both.chunk(2)[0] + w * both.chunk(2)[1]) / (1 + w),
    "both are scaled: uncond stays as it is": lambda both, w: w * (both.chunk(2)[1] - both.chunk(2)[0]),
    "only the prediction with the caption is scaled; scale its difference from the other": lambda both, w:
        w * both.chunk(2)[1],
}  # fmt: skip


def weights(x_t: Tensor, data: Tensor, variance: float, dim: int = 1) -> Tensor:
    return (-(torch.cdist(x_t, data) ** 2) / variance).softmax(dim=dim)


BEST_X0 = {
    "only the nearest point counts; all count, each with its probability": lambda x_t, data, alpha_bar:
        data[torch.cdist(x_t, alpha_bar**0.5 * data).argmin(dim=1)],
    "the data is not shrunk: x_t lies near sqrt(alpha_bar) * x_0": lambda x_t, data, alpha_bar:
        weights(x_t, data, 2 * (1 - alpha_bar)) @ data,
    "a variance is asked for, 1 - alpha_bar; its root stands there": lambda x_t, data, alpha_bar:
        weights(x_t, alpha_bar**0.5 * data, 2 * (1 - alpha_bar) ** 0.5) @ data,
    "the 2 of the normal distribution is missing: exp(-distance^2 / (2 variance))": lambda x_t, data, alpha_bar:
        weights(x_t, alpha_bar**0.5 * data, 1 - alpha_bar) @ data,
    "the distance is not squared": lambda x_t, data, alpha_bar:
        (-torch.cdist(x_t, alpha_bar**0.5 * data) / (2 * (1 - alpha_bar))).softmax(dim=1) @ data,
    "the softmax goes over the batch; for each x_t the weights of the data sum to 1, dim=1": lambda x_t, data,
        alpha_bar: weights(x_t, alpha_bar**0.5 * data, 2 * (1 - alpha_bar), dim=0) @ data,
    "the mean is taken of the shrunk points; it should be of the data itself": lambda x_t, data, alpha_bar:
        alpha_bar**0.5 * weights(x_t, alpha_bar**0.5 * data, 2 * (1 - alpha_bar)) @ data,
    "the data is shrunk by alpha_bar; it should be by its root": lambda x_t, data, alpha_bar:
        weights(x_t, alpha_bar * data, 2 * (1 - alpha_bar)) @ data,
    "the variance is alpha_bar; that of the noise is 1 - alpha_bar": lambda x_t, data, alpha_bar:
        weights(x_t, alpha_bar**0.5 * data, 2 * alpha_bar) @ data,
    "the farther the likelier: the minus in the exponent is missing": lambda x_t, data, alpha_bar:
        weights(x_t, alpha_bar**0.5 * data, -2 * (1 - alpha_bar)) @ data,
    "the weights do not sum to 1: divide each row by its sum, as softmax does": lambda x_t, data, alpha_bar:
        (-(torch.cdist(x_t, alpha_bar**0.5 * data) ** 2) / (2 * (1 - alpha_bar))).exp() @ data,
}  # fmt: skip

MISTAKES = {
    "q_sample": Q_SAMPLE, "x0_from_eps": X0_FROM_EPS, "ddim_step": DDIM_STEP, "posterior_mean": POSTERIOR_MEAN,
    "eta_step": ETA_STEP, "guide": GUIDE, "guided_halves": GUIDED_HALVES, "best_x0": BEST_X0,
}  # fmt: skip
