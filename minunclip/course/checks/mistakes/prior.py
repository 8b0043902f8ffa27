"""Mistakes in the exercises on the diffusion prior."""

from __future__ import annotations

import torch
from torch import Tensor


def sequence(tokens: Tensor, rest: list[Tensor], positions: Tensor, places: Tensor) -> Tensor:
    """Caption tokens with the first positions, and the rest with those at `places`."""
    four = torch.stack([part.expand_as(rest[0]) for part in rest], dim=1)   # (B, 4, W)
    return torch.cat([tokens + positions[: tokens.shape[1]], four + places], dim=1)


SEQUENCE = {
    "the positions go on without a gap; the four take the last four, however short the caption is":
        lambda tokens, z_t, time, x_t, query, positions: sequence(
            tokens, [z_t, time, x_t, query], positions, positions[tokens.shape[1] : tokens.shape[1] + 4]),
    "t stands last; the order is z_t, t, the noised z_i, the query": lambda tokens, z_t, time, x_t, query, positions:
        sequence(tokens, [z_t, x_t, query, time], positions, positions[-4:]),
    "t stands before z_t; the order is z_t, t, the noised z_i, the query":
        lambda tokens, z_t, time, x_t, query, positions:
        sequence(tokens, [time, z_t, x_t, query], positions, positions[-4:]),
    "the noised z_i stands before t; the order is z_t, t, the noised z_i, the query":
        lambda tokens, z_t, time, x_t, query, positions:
        sequence(tokens, [z_t, x_t, time, query], positions, positions[-4:]),
    "the query is missing": lambda tokens, z_t, time, x_t, query, positions:
        sequence(tokens, [z_t, time, x_t], positions, positions[-4:-1]),
    "the positions are not added": lambda tokens, z_t, time, x_t, query, positions:
        sequence(tokens, [z_t, time, x_t, query], 0 * positions, 0 * positions[-4:]),
    "the caption has its positions, the other four have none": lambda tokens, z_t, time, x_t, query, positions:
        sequence(tokens, [z_t, time, x_t, query], positions, 0 * positions[-4:]),
    "the four have their positions, the caption has none": lambda tokens, z_t, time, x_t, query, positions:
        sequence(tokens, [z_t, time, x_t, query], 0 * positions, positions[-4:]),
    "the caption comes last; it comes first": lambda tokens, z_t, time, x_t, query, positions: torch.cat(
        [(x := sequence(tokens, [z_t, time, x_t, query], positions, positions[-4:]))[:, -4:], x[:, :-4]], dim=1),
    "the positions are those at the end, for the caption too; it takes the first": lambda tokens, z_t, time, x_t, query,
        positions: sequence(tokens, [z_t, time, x_t, query], positions[-4 - tokens.shape[1] : -4], positions[-4:]),
}  # fmt: skip


def there(text_mask: Tensor, value: bool = True) -> Tensor:
    return torch.cat([text_mask, text_mask.new_full((len(text_mask), 4), value)], dim=1)     # (B, L + 4)


def triangle(text_mask: Tensor, diagonal: int = 0) -> Tensor:
    n = text_mask.shape[1] + 4
    return torch.ones(n, n).tril(diagonal).bool()


MASK = {
    "padding is seen; column j must be False where the caption has no token": lambda text_mask:
        triangle(text_mask).expand(len(text_mask), -1, -1),
    "it looks ahead: row i may see the columns 0 to i only": lambda text_mask:
        there(text_mask)[:, None].expand(-1, text_mask.shape[1] + 4, -1),
    "padding may not look, but it is still looked at: the mask goes along the columns, mask[:, None]":
        lambda text_mask: triangle(text_mask) & there(text_mask)[:, :, None],
    "a token does not see itself": lambda text_mask: triangle(text_mask, -1) & there(text_mask)[:, None],
    "the four new tokens are hidden; they are always there": lambda text_mask:
        triangle(text_mask) & there(text_mask, False)[:, None],
    "it looks ahead and hides the past: the triangle is the wrong way round": lambda text_mask:
        triangle(text_mask).mT & there(text_mask)[:, None],
    "padding neither looks nor is looked at; a row of a padding token may stay as it is": lambda text_mask:
        triangle(text_mask) & there(text_mask)[:, None] & there(text_mask)[:, :, None],
    "the mask is upside down: True means allowed": lambda text_mask: ~(triangle(text_mask) & there(text_mask)[:, None]),
    "the four new tokens see everything, also what comes after them": lambda text_mask:
        (triangle(text_mask) | (torch.arange(text_mask.shape[1] + 4) >= text_mask.shape[1])[:, None])
        & there(text_mask)[:, None],
    "one axis too many: (B, L + 4, L + 4)": lambda text_mask:
        (triangle(text_mask) & there(text_mask)[:, None])[:, None],
    "this is the caption's part; four more tokens follow": lambda text_mask:
        triangle(text_mask)[:-4, :-4] & text_mask[:, None],
}  # fmt: skip


def noised(x_0: Tensor, t: Tensor, eps: Tensor, alphas_bar: Tensor) -> Tensor:
    alpha_bar = alphas_bar[t][:, None]
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


LOSS = {
    "the answer is compared with the noise; the prior predicts x_0": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - eps).square().mean(dim=1),
    "the network is shown x_0 itself; it should see x_t": lambda network, x_0, t, eps, alphas_bar:
        (network(x_0, t) - x_0).square().mean(dim=1),
    "this is one number; there should be one for each row, mean(dim=1)": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - x_0).square().mean(),
    "the sum over the numbers of a row; it should be their mean": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - x_0).square().sum(dim=1),
    "the error is not squared": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - x_0).abs().mean(dim=1),
    "the mean goes over the batch, dim=0; it goes over a row, dim=1": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - x_0).square().mean(dim=0),
    "the answer is compared with x_t; it should be with x_0": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - noised(x_0, t, eps, alphas_bar)).square().mean(dim=1),
    "roots are missing where x_0 is noised": lambda network, x_0, t, eps, alphas_bar:
        (network(alphas_bar[t][:, None] * x_0 + (1 - alphas_bar[t][:, None]) * eps, t) - x_0).square().mean(dim=1),
    "signal and noise are exchanged where x_0 is noised": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(eps, t, x_0, alphas_bar), t) - x_0).square().mean(dim=1),
    "this is the root of the mean square; the loss is the mean square": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - x_0).square().mean(dim=1).sqrt(),
    "this is the error of every number; the loss is their mean in each row": lambda network, x_0, t, eps, alphas_bar:
        (network(noised(x_0, t, eps, alphas_bar), t) - x_0).square(),
    "alphas_bar[t] is (B,); to multiply x_0 it must be (B, 1)": lambda network, x_0, t, eps, alphas_bar:
        (network(alphas_bar[t].sqrt() * x_0 + (1 - alphas_bar[t]).sqrt() * eps, t) - x_0).square().mean(dim=1),
}  # fmt: skip


def floor(z_i: Tensor, noise: float) -> Tensor:
    return noise**2 * z_i.square().sum(dim=1).mean()


SPREAD = {
    "the floor is missing": lambda z_i, noise: (z_i.mean(dim=0), z_i.std(dim=0)),
    "the floor is added to the spread; add it to the variance, before the root": lambda z_i, noise:
        (z_i.mean(dim=0), z_i.std(dim=0) + floor(z_i, noise).sqrt()),
    "this is the variance; the spread is its root": lambda z_i, noise:
        (z_i.mean(dim=0), z_i.var(dim=0) + floor(z_i, noise)),
    "one mean and one spread for all axes; each axis has its own, dim=0": lambda z_i, noise: (z_i.mean(), z_i.std()),
    "the floor does not depend on how long the embeddings are; it is a share of their length": lambda z_i, noise:
        (z_i.mean(dim=0), (z_i.var(dim=0) + noise**2).sqrt()),
    "noise is not squared": lambda z_i, noise:
        (z_i.mean(dim=0), (z_i.var(dim=0) + noise * z_i.square().sum(dim=1).mean()).sqrt()),
    "the length is measured from the mean; it is measured from 0": lambda z_i, noise:
        (z_i.mean(dim=0), (z_i.var(dim=0) + noise**2 * z_i.var(dim=0).sum()).sqrt()),
    "the mean square of the numbers; it should be of the lengths: sum over the axes first": lambda z_i, noise:
        (z_i.mean(dim=0), (z_i.var(dim=0) + noise**2 * z_i.square().mean()).sqrt()),
    "the square of the mean length; it should be the mean of the squared lengths": lambda z_i, noise:
        (z_i.mean(dim=0), (z_i.var(dim=0) + (noise * z_i.norm(dim=1).mean()) ** 2).sqrt()),
    "mean and spread of each embedding, dim=1; they should be of each axis, dim=0": lambda z_i, noise:
        (z_i.mean(dim=1), (z_i.var(dim=1) + floor(z_i, noise)).sqrt()),
    "spread and mean; the mean comes first": lambda z_i, noise:
        ((z_i.var(dim=0) + floor(z_i, noise)).sqrt(), z_i.mean(dim=0)),
    "the variance is divided by N; here it is by N - 1, as .var(dim=0) does": lambda z_i, noise:
        (z_i.mean(dim=0), (z_i.var(dim=0, unbiased=False) + floor(z_i, noise)).sqrt()),
}  # fmt: skip


def cosines(z_i: Tensor, z_t: Tensor, n: int) -> Tensor:
    return torch.cosine_similarity(z_i.unflatten(0, (-1, n)), z_t[:, None], dim=-1)          # (B, n)


def chosen(z_i: Tensor, n: int, which: Tensor) -> Tensor:
    return z_i.unflatten(0, (-1, n))[torch.arange(len(which)), which]


KEEP_BEST = {
    "the dot product prefers long candidates; the cosine does not": lambda z_i, z_t, n:
        chosen(z_i, n, (z_i.unflatten(0, (-1, n)) * z_t[:, None]).sum(dim=-1).argmax(dim=1)),
    "a caption's candidates stand next to each other: (B n, D) is (B, n, D), not (n, B, D)": lambda z_i, z_t, n:
        (c := z_i.unflatten(0, (n, -1)).transpose(0, 1))[
            torch.arange(len(z_t)), torch.cosine_similarity(c, z_t[:, None], dim=-1).argmax(dim=1)],
    "this is the first candidate of each": lambda z_i, z_t, n: z_i[::n],
    "this is the mean of the candidates; keep one of them": lambda z_i, z_t, n: z_i.unflatten(0, (-1, n)).mean(dim=1),
    "this is the worst candidate of each": lambda z_i, z_t, n: chosen(z_i, n, cosines(z_i, z_t, n).argmin(dim=1)),
    "a caption may take another one's candidate; it has n of its own": lambda z_i, z_t, n:
        z_i[torch.cosine_similarity(z_i[:, None], z_t[None], dim=-1).argmax(dim=0)],
    "the candidate comes back normalised; keep its length": lambda z_i, z_t, n:
        torch.nn.functional.normalize(chosen(z_i, n, cosines(z_i, z_t, n).argmax(dim=1)), dim=1),
    "these are the numbers of the best; return the embeddings": lambda z_i, z_t, n: cosines(z_i, z_t, n).argmax(dim=1),
    "these are the best cosines; return the embeddings": lambda z_i, z_t, n: cosines(z_i, z_t, n).amax(dim=1),
    "every caption takes the candidate with the same number; each has its own best": lambda z_i, z_t, n:
        z_i.unflatten(0, (-1, n))[:, int(cosines(z_i, z_t, n).sum(dim=0).argmax())],
    "the nearest by distance; the cosine compares directions": lambda z_i, z_t, n:
        chosen(z_i, n, (z_i.unflatten(0, (-1, n)) - z_t[:, None]).norm(dim=-1).argmin(dim=1)),
}  # fmt: skip

MISTAKES = {
    "prior_sequence": SEQUENCE, "prior_mask": MASK, "prior_loss": LOSS, "centre_and_spread": SPREAD,
    "keep_best": KEEP_BEST,
}  # fmt: skip
