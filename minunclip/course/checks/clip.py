"""The exercises of notebook 02: attention, the end token, patches and the contrastive loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ... import clip
from .core import exercise, normal


def _queries() -> list[tuple]:
    by_hand = [torch.tensor([rows]) for rows in ([[0.0, 0], [4, 0], [3, 3]], [[1.0, 0], [0, 1], [0, 0]],
                                                 [[10.0, 0], [0, 10], [0, 0]])]  # fmt: skip
    return [tuple(by_hand), tuple(normal(2, 5, 4, seed=seed) for seed in (1, 2, 3)),
            (normal(2, 3, 8, seed=4), normal(2, 6, 8, seed=5), normal(2, 6, 8, seed=6))]  # fmt: skip


@exercise(_queries, rules={
    "there is one answer for each query": lambda y, q, k, v: y.shape == q.shape,
    "an answer is a mixture of the values, so it lies between the smallest and the largest":
        lambda y, q, k, v: y.min() >= v.min() and y.max() <= v.max(),
})  # fmt: skip
def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for q (B, N, d), k and v (B, M, d) -> (B, N, d)."""
    return F.scaled_dot_product_attention(q, k, v)


def _captions() -> list[tuple]:
    """Tokens (B, L, W) with the ids of captions of lengths that differ; in the last batch all are as long."""
    ids = [[[9, 3, 5, 10, 0, 0], [9, 1, 10, 0, 0, 0], [9, 7, 2, 6, 4, 10]],
           [[20, 4, 8, 2, 21, 0, 0, 0], [20, 19, 21, 0, 0, 0, 0, 0]], [[6, 2, 3, 7], [6, 1, 5, 7]]]  # fmt: skip
    return [(normal(len(rows), len(rows[0]), 4, seed=seed), torch.tensor(rows)) for seed, rows in enumerate(ids)]


@exercise(_captions, rules={
    "there is one vector for each caption": lambda found, tokens, ids: found.shape == tokens[:, 0].shape,
})  # fmt: skip
def end_tokens(tokens: Tensor, ids: Tensor) -> Tensor:
    """Of tokens (B, L, W) the one that stands where ids (B, L) are highest, the end of each caption: (B, W)."""
    return tokens[torch.arange(len(ids)), ids.argmax(dim=1)]


def _pictures() -> list[tuple]:
    counting = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4)
    return [(counting, 2), (counting, 1), (normal(1, 3, 12, 12, seed=1), 4)]


@exercise(_pictures, rules={
    "the patches have one row each, with all three colours of their pixels":
        lambda rows, images, patch: rows.shape[-1] == 3 * patch**2,
    "the first patch is the upper left corner":
        lambda rows, images, patch: rows.shape[-1] != 3 * patch**2
        or torch.equal(rows[0, 0], images[0, :, :patch, :patch].flatten()),
    "the patches are in reading order: the second one stands right of the first":
        lambda rows, images, patch: rows.shape[-1] != 3 * patch**2
        or torch.equal(rows[0, 1], images[0, :, :patch, patch : 2 * patch].flatten()),
})  # fmt: skip
def patchify(images: Tensor, patch: int) -> Tensor:
    """(B, 3, S, S) -> (B, (S / patch)^2, 3 * patch^2): patches in reading order, in each the colours come first."""
    return rearrange(images, "b c (h y) (w x) -> b (h w) (c y x)", y=patch, x=patch)


def _pairs() -> list[tuple]:
    by_hand = torch.tensor([[0.8, 0.6, 0], [0, 1, 0], [0.6, 0, 0.8]])
    return [(by_hand, torch.eye(3), 5.0), (normal(4, 6, seed=1), normal(4, 6, seed=2), 10.0),
            (3 * normal(5, 2, seed=3), normal(5, 2, seed=4), 1.0)]  # fmt: skip


@exercise(_pairs, rules={
    "a loss is one number": lambda loss, z_i, z_t, scale: loss.dim() == 0,
    "a loss is positive": lambda loss, z_i, z_t, scale: loss > 0,
})  # fmt: skip
def clip_loss(z_i: Tensor, z_t: Tensor, scale: float) -> Tensor:
    """The mean of the cross-entropies over the rows and over the columns of scale * cosine; pairs (B, D) each."""
    return clip.contrastive_loss(z_i, z_t, torch.as_tensor(scale).log())
