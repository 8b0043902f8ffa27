"""The exercises of notebook 05: what the diffusion prior reads, what it learns, and the best of several z_i."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import embeddings as library
from ...diffusion import cosine_betas
from ...networks import causal_mask
from ...unclip import best_of
from .core import exercise, normal


def _parts() -> list[tuple]:
    def part(value: float, *shape: int) -> Tensor:
        return torch.full(shape, float(value))

    places = 0.1 * torch.arange(7.0)[:, None].expand(-1, 2)                 # a context of 3, and four more
    by_hand = (part(1, 1, 2, 2), part(2, 1, 2), part(3, 1, 2), part(4, 1, 2), part(5, 2), places)
    shapes = [(3, 5, 6), (3, 6), (3, 6), (3, 6), (6,), (9, 6)]
    return [by_hand, tuple(normal(*shape, seed=seed) for seed, shape in enumerate(shapes))]


@exercise(_parts, rules={
    "there are four more tokens than the caption has": lambda x, tokens, *_: x.shape[1] == tokens.shape[1] + 4,
    "the four take the last four positions, however short the caption is":
        lambda x, tokens, z_t, time, x_t, query, positions: torch.allclose(x[:, -1], query + positions[-1]),
})  # fmt: skip
def prior_sequence(tokens: Tensor, z_t: Tensor, time: Tensor, x_t: Tensor, query: Tensor, positions: Tensor) -> Tensor:
    """What the prior reads, (B, L + 4, W): caption tokens (B, L, W), z_t, t and the noised z_i (B, W) each, and the
    query (W,), with positions (context + 4, W) added: the first L to the caption, the last four to the rest."""
    rest = torch.stack([z_t, time, x_t, query.expand_as(z_t)], dim=1)       # (B, 4, W)
    return torch.cat([tokens + positions[: tokens.shape[1]], rest + positions[-4:]], dim=1)


def _captions() -> list[tuple]:
    return [(torch.arange(longest) < torch.tensor(lengths)[:, None],)
            for longest, lengths in ((2, [1]), (4, [4, 2]), (5, [2, 5, 3]))]  # fmt: skip


@exercise(_captions, rules={
    "nobody looks ahead": lambda allowed, text_mask: not allowed.float().triu(1).any(),
    "nobody looks at padding": lambda allowed, text_mask:
        not (allowed[:, :, : text_mask.shape[1]] & ~text_mask[:, None]).any(),
    "the query, which is last, sees all four of the new tokens": lambda allowed, text_mask: allowed[:, -1, -4:].all(),
})  # fmt: skip
def prior_mask(text_mask: Tensor) -> Tensor:
    """Which token of the prior's sequence may look at which, bool (B, L + 4, L + 4), for text_mask (B, L), True where
    the caption has a token: at itself and at those before it, but not at padding."""
    there = torch.cat([text_mask, text_mask.new_ones(len(text_mask), 4)], dim=1)
    return causal_mask(there.shape[1]) & there[:, None]


class _Network:
    """Stands for a trained network."""

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        return 0.7 * x_t + t[:, None] / 1000

    def __repr__(self) -> str:
        return "0.7 x_t + t / 1000"


def _whitened() -> list[tuple]:
    table = torch.cumprod(1 - cosine_betas(1000), dim=0)
    return [
        (_Network(), torch.tensor([[1.0, 0.0]]), torch.tensor([1]), torch.tensor([[0.0, 1]]), torch.tensor([1, 0.36])),
        (_Network(), normal(3, 4), torch.tensor([20, 500, 990]), normal(3, 4, seed=1), table),
    ]


@exercise(_whitened, rules={
    "there is one loss for each row": lambda loss, network, x_0, *_: loss.shape == x_0.shape[:1],
    "the answer is compared with x_0, not with the noise": lambda loss, network, x_0, t, eps, alphas_bar:
        not torch.allclose(loss, ((network(_noised(x_0, t, eps, alphas_bar), t) - eps) ** 2).mean(dim=1)),
})  # fmt: skip
def prior_loss(network, x_0: Tensor, t: Tensor, eps: Tensor, alphas_bar: Tensor) -> Tensor:
    """The mean squared error of a network (x_t, t) -> x_0 for each row, (B,): x_0 (B, D) whitened, t (B,), eps (B, D),
    and the table alphas_bar (T,). unCLIP section 2.2."""
    return (network(_noised(x_0, t, eps, alphas_bar), t) - x_0).square().mean(dim=1)


def _noised(x_0: Tensor, t: Tensor, eps: Tensor, alphas_bar: Tensor) -> Tensor:
    alpha_bar = alphas_bar[t][:, None]
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps


@exercise(lambda: [
    (torch.tensor([[1.0, 5.0], [3.0, 5.0]]), 0.5), (3 + normal(50, 4) * torch.tensor([4.0, 2.0, 0.1, 0.0]), 0.02),
    (normal(20, 3, seed=1), 0.0),
], rules={
    "the floor is added to each variance, before the root": lambda found, z_i, noise: torch.allclose(
        found[1] ** 2 - z_i.var(dim=0), noise**2 * z_i.square().sum(dim=1).mean(), atol=1e-4),
    "each axis has a mean of its own": lambda found, z_i, noise: found[0].shape == z_i.shape[1:],
})  # fmt: skip
def centre_and_spread(z_i: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """The mean and the spread of each axis, (D,) and (D,), of embeddings (N, D): the root of the variance plus the
    square of `noise` times the mean square of the lengths."""
    return library.centre_and_spread(z_i, noise)


def _candidates() -> list[tuple]:
    by_hand = torch.tensor([[9.0, 9.0], [1.0, 0.1], [0.0, 2.0], [3.0, 3.0]])     # the longest is not the nearest
    return [(by_hand, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 2), (normal(12, 5, seed=1), normal(3, 5, seed=2), 4),
            (normal(3, 4, seed=3), normal(3, 4, seed=4), 1),
            (torch.tensor([[9.0, 1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), 2)]  # fmt: skip


@exercise(_candidates, rules={
    "one z_i is left for each z_t": lambda best, z_i, z_t, n: best.shape == z_t.shape,
    "a candidate is kept as it is, with its own length":
        lambda best, z_i, z_t, n: (best[:, None] - z_i).abs().amax(dim=2).amin(dim=1).max() < 1e-5,
    "the candidates of one z_t stand next to each other": lambda best, z_i, z_t, n: all(
        (row - z_i[n * i : n * (i + 1)]).abs().amax(dim=1).min() < 1e-5 for i, row in enumerate(best)),
})  # fmt: skip
def keep_best(z_i: Tensor, z_t: Tensor, n: int) -> Tensor:
    """Of n candidates z_i for each z_t, in a row, the one with the largest cosine: (B n, D), (B, D) -> (B, D)."""
    return best_of(z_i, z_t, n)
