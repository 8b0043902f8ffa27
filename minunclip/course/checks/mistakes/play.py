"""Mistakes in the exercises of notebook 10."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mixed(x_0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


def clean(x_t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return (x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()


DDIM_BACK = {
    "x_prev is taken for x_0; it has noise in it already: estimate x_0 first": lambda x_prev, eps, alpha_bar_prev,
        alpha_bar: mixed(x_prev, eps, alpha_bar),
    "this goes forward, to t_prev; the way back gains noise": lambda x_prev, eps, alpha_bar_prev, alpha_bar:
        mixed(x_prev, eps, alpha_bar_prev),
    "t and t_prev are exchanged: x_0 is estimated at t_prev, and noised to t": lambda x_prev, eps, alpha_bar_prev,
        alpha_bar: mixed(clean(x_prev, eps, alpha_bar), eps, alpha_bar_prev),
    "this is the estimate of x_0; noise it to t": lambda x_prev, eps, alpha_bar_prev, alpha_bar:
        clean(x_prev, eps, alpha_bar_prev),
    "the noise of t is not added": lambda x_prev, eps, alpha_bar_prev, alpha_bar:
        alpha_bar.sqrt() * clean(x_prev, eps, alpha_bar_prev),
    "this is x_prev again: the new noise level is that of t": lambda x_prev, eps, alpha_bar_prev, alpha_bar:
        mixed(clean(x_prev, eps, alpha_bar_prev), eps, alpha_bar_prev),
    "the noise is taken away a second time; that of t is added": lambda x_prev, eps, alpha_bar_prev, alpha_bar:
        mixed(clean(x_prev, eps, alpha_bar_prev), -eps, alpha_bar),
    "roots are missing: alpha_bar is a variance": lambda x_prev, eps, alpha_bar_prev, alpha_bar:
        alpha_bar * (x_prev - (1 - alpha_bar_prev) * eps) / alpha_bar_prev + (1 - alpha_bar) * eps,
    "the estimate of x_0 is not divided by sqrt(alpha_bar_prev)": lambda x_prev, eps, alpha_bar_prev, alpha_bar:
        mixed(x_prev - (1 - alpha_bar_prev).sqrt() * eps, eps, alpha_bar),
    "this is one step of the forward process, with the noise's share of the step: DDIM uses one eps for both levels":
        lambda x_prev, eps, alpha_bar_prev, alpha_bar: mixed(x_prev, eps, alpha_bar / alpha_bar_prev),
}  # fmt: skip


def unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=1)


def long(x: Tensor) -> Tensor:
    return x.norm(dim=1, keepdim=True)


def arc(u: Tensor, v: Tensor, theta: float, angle: Tensor | None = None) -> Tensor:
    angle = (u * v).sum(dim=1, keepdim=True).clamp(-1, 1).arccos() if angle is None else angle
    return (torch.sin((1 - theta) * angle) * u + torch.sin(theta * angle) * v) / torch.sin(angle)


def between(a: Tensor, b: Tensor, theta: float) -> Tensor:
    return (1 - theta) * long(a) + theta * long(b)


SLERP = {
    "this is the straight line; go along the sphere": lambda a, b, theta: (1 - theta) * a + theta * b,
    "the length is 1 everywhere; it should change evenly from that of a to that of b": lambda a, b, theta:
        arc(unit(a), unit(b), theta),
    "the straight line, stretched to the right length, turns faster in the middle; mix by sines": lambda a, b, theta:
        unit((1 - theta) * unit(a) + theta * unit(b)) * between(a, b, theta),
    "a and b are not normalised before they are mixed": lambda a, b, theta:
        arc(a, b, theta, (unit(a) * unit(b)).sum(dim=1, keepdim=True).clamp(-1, 1).arccos()),
    "it goes from b to a: theta = 0 is a": lambda a, b, theta:
        arc(unit(b), unit(a), theta) * between(b, a, theta),
    "it keeps the length of a; it should end with that of b": lambda a, b, theta:
        arc(unit(a), unit(b), theta) * long(a),
    "one angle for all rows; each has its own": lambda a, b, theta: arc(
        unit(a), unit(b), theta, torch.cosine_similarity(a.flatten(), b.flatten(), dim=0).arccos())
        * between(a, b, theta),
    "divided by the sine of the angle twice, or not at all: the result should have length 1 before it is stretched":
        lambda a, b, theta: arc(unit(a), unit(b), theta) * between(a, b, theta)
        * (unit(a) * unit(b)).sum(dim=1, keepdim=True).arccos().sin(),
    "the angle is taken from the raw dot product; normalise a and b first": lambda a, b, theta:
        arc(unit(a), unit(b), theta, (a * b).sum(dim=1, keepdim=True).clamp(-1, 1).arccos()) * between(a, b, theta),
    "the root of a product stands where the length should change evenly": lambda a, b, theta:
        arc(unit(a), unit(b), theta) * long(a) ** (1 - theta) * long(b) ** theta,
}  # fmt: skip

DIRECTION = {
    "the raw embeddings are subtracted, so the longer one counts more; normalise each first": lambda z_t, z_t0:
        unit(z_t - z_t0),
    "the difference itself is no direction yet: normalise it": lambda z_t, z_t0: unit(z_t) - unit(z_t0),
    "it leads from the new caption to the old one": lambda z_t, z_t0: unit(unit(z_t0) - unit(z_t)),
    "nothing is normalised": lambda z_t, z_t0: z_t - z_t0,
    "this is the new caption's own direction; the old one is taken off": lambda z_t, z_t0: unit(z_t),
    "the sum of both; it should be the difference": lambda z_t, z_t0: unit(unit(z_t) + unit(z_t0)),
    "normalised over the batch, dim=0; each embedding is a row, dim=1": lambda z_t, z_t0: F.normalize(
        F.normalize(z_t, dim=0) - F.normalize(z_t0, dim=0), dim=0),
    "only the new caption is normalised; the old one is, too": lambda z_t, z_t0: unit(unit(z_t) - z_t0),
    "only the old caption is normalised; the new one is, too": lambda z_t, z_t0: unit(z_t - unit(z_t0)),
    "the whole batch is divided by one length; each row has its own, dim=1": lambda z_t, z_t0:
        (d := unit(z_t) - unit(z_t0)) / d.norm(),
}  # fmt: skip

KEEP = {
    "the mean is not taken off before, nor put back after": lambda z_i, mean, basis, k: z_i @ basis[:k].T @ basis[:k],
    "these are the last k components; keep the first": lambda z_i, mean, basis, k:
        mean + (z_i - mean) @ (kept := basis[len(basis) - k :]).T @ kept,
    "the first k numbers of z_i are no components: project onto the rows of basis": lambda z_i, mean, basis, k:
        torch.cat([z_i[:, :k], mean.expand_as(z_i)[:, k:]], dim=1),
    "the mean is not put back": lambda z_i, mean, basis, k: (z_i - mean) @ basis[:k].T @ basis[:k],
    "the mean is put back, but was not taken off": lambda z_i, mean, basis, k: mean + z_i @ basis[:k].T @ basis[:k],
    "these are the components; turn them back into an embedding": lambda z_i, mean, basis, k:
        (z_i - mean) @ basis[:k].T,
    "the axes stand in the rows of basis; columns are taken": lambda z_i, mean, basis, k:
        mean + (z_i - mean) @ basis[:, :k] @ basis[:, :k].T,
    "one component too many": lambda z_i, mean, basis, k:
        mean + (z_i - mean) @ basis[: k + 1].T @ basis[: k + 1],
    "one component too few": lambda z_i, mean, basis, k:
        mean + (z_i - mean) @ (kept := basis[: max(k - 1, 0)]).T @ kept,
    "these are all but the first k; keep the first": lambda z_i, mean, basis, k:
        mean + (z_i - mean) @ basis[k:].T @ basis[k:],
}  # fmt: skip


def words(things) -> set:
    return {(thing.kind, thing.colour) for thing in things}


def swapped(stated) -> set:
    a, b = stated
    return {(a.kind, b.colour), (b.kind, a.colour)}


SWAPPED = {
    "any wrong colour counts; it should be exactly the other thing's": lambda stated, drawn:
        words(stated) != words(drawn),
    "whoever stands first does not matter": lambda stated, drawn:
        len(drawn) == 2 and [d.colour for d in drawn] == [s.colour for s in reversed(stated)],
    "all words are there, but so they are in the right picture": lambda stated, drawn:
        {t.kind for t in stated} == {t.kind for t in drawn} and {t.colour for t in stated} == {t.colour for t in drawn},
    "one thing with the other's colour is not enough; both must be exchanged, and nothing else be drawn":
        lambda stated, drawn: bool(words(drawn) & swapped(stated)),
    "the number of things is not looked at: a third one, or one twice, is another picture": lambda stated, drawn:
        words(drawn) == swapped(stated),
    "this is whether the picture is right; it should be whether the colours are exchanged": lambda stated, drawn:
        len(drawn) == 2 and words(drawn) == words(stated),
    "it is turned round": lambda stated, drawn: not (len(drawn) == 2 and words(drawn) == swapped(stated)),
    "the kinds are not looked at": lambda stated, drawn:
        len(drawn) == 2 and {d.colour for d in drawn} == {s.colour for s in stated},
    "it is enough that all drawn things are among the exchanged; none may be missing": lambda stated, drawn:
        words(drawn) <= swapped(stated),
    "the order of the drawn things is compared; it does not matter": lambda stated, drawn:
        [(d.kind, d.colour) for d in drawn] == [(stated[0].kind, stated[1].colour), (stated[1].kind, stated[0].colour)],
}  # fmt: skip

MISTAKES = {
    "ddim_back": DDIM_BACK, "slerp_rows": SLERP, "text_direction": DIRECTION, "keep_components": KEEP,
    "colours_swapped": SWAPPED,
}  # fmt: skip
