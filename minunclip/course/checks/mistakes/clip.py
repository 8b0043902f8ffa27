"""Mistakes in the exercises of notebook 02."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5                     # (B, N, M)


def logits(z_i: Tensor, z_t: Tensor, scale: float) -> Tensor:
    return scale * F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T    # (B, B)


def rows(table: Tensor, **options) -> Tensor:
    return F.cross_entropy(table, torch.arange(len(table)), **options)


def both(table: Tensor) -> Tensor:
    return (rows(table) + rows(table.T)) / 2


ATTENTION = {
    "the scores are not divided by sqrt(d); d is the width of a query": lambda q, k, v:
        (q @ k.mT).softmax(dim=-1) @ v,
    "the scores are divided by d; it should be by its square root": lambda q, k, v:
        (q @ k.mT / q.shape[-1]).softmax(dim=-1) @ v,
    "the scores are multiplied by sqrt(d); divide by it": lambda q, k, v:
        (q @ k.mT * q.shape[-1] ** 0.5).softmax(dim=-1) @ v,
    "the softmax goes over the queries; each query's weights should sum to 1, so it goes over the keys, dim=-1":
        lambda q, k, v: scores(q, k).softmax(dim=1) @ v,
    "the softmax goes over the batch; it goes over the keys, dim=-1": lambda q, k, v:
        scores(q, k).softmax(dim=0) @ v,
    "what is mixed is the keys; it should be the values": lambda q, k, v: scores(q, k).softmax(dim=-1) @ k,
    "there is no softmax: the scores themselves are taken for weights": lambda q, k, v: scores(q, k) @ v,
    "the division by sqrt(d) comes after the softmax; it belongs before": lambda q, k, v:
        (q @ k.mT).softmax(dim=-1) / q.shape[-1] ** 0.5 @ v,
    "queries and keys are exchanged: each row of the scores belongs to a query": lambda q, k, v:
        scores(k, q).softmax(dim=-1) @ v,
    "divided by the root of the number of keys; d is the width of a query, q.shape[-1]": lambda q, k, v:
        (q @ k.mT / k.shape[1] ** 0.5).softmax(dim=-1) @ v,
    "these are the weights; multiply the values by them": lambda q, k, v: scores(q, k).softmax(dim=-1),
}  # fmt: skip


def at(tokens: Tensor, places: Tensor) -> Tensor:
    """The token (B, W) that stands at a place (B,) of each caption."""
    return tokens[torch.arange(len(tokens)), places]


END_TOKENS = {
    "this is the last token of the batch: of a short caption it is padding": lambda tokens, ids: tokens[:, -1],
    "this is the start token; under the causal mask it has read nothing": lambda tokens, ids: tokens[:, 0],
    "this is the last word; the end token stands one further": lambda tokens, ids:
        at(tokens, ids.argmax(dim=1) - 1),
    "this is one too far: n tokens have the places 0 to n - 1": lambda tokens, ids:
        at(F.pad(tokens, (0, 0, 0, 1)), (ids > 0).sum(dim=1)),
    "one too far, and out of the longest caption: n tokens have the places 0 to n - 1": lambda tokens, ids:
        at(tokens, (ids > 0).sum(dim=1)),
    "where the longest caption ends is taken for the end of all": lambda tokens, ids:
        tokens[:, ids.argmax(dim=1).max()],
    "this is the mean of all tokens, padding too; take the end token alone": lambda tokens, ids: tokens.mean(dim=1),
    "this is the mean of a caption's tokens; only the end token has read it all": lambda tokens, ids:
        (tokens * (ids > 0)[..., None]).sum(dim=1) / (ids > 0).sum(dim=1, keepdim=True),
    "each caption gets the end tokens of all captions: index the rows as well, with torch.arange": lambda tokens, ids:
        tokens[:, ids.argmax(dim=1)],
    "these are the places of the end tokens; return the tokens that stand there": lambda tokens, ids:
        ids.argmax(dim=1),
    "these are the highest ids; argmax says where they stand": lambda tokens, ids: ids.max(dim=1).values,
    "argmax has no dim: it counts through the whole batch": lambda tokens, ids: tokens[:, ids.argmax()],
    "argmax goes over the captions, dim=0; it should go along each row, dim=1": lambda tokens, ids:
        tokens[ids.argmax(dim=0), torch.arange(ids.shape[1])],
    "this is the largest number in each column of the tokens; the ids say which token to take": lambda tokens, ids:
        tokens.amax(dim=1),
}  # fmt: skip

PATCHIFY = {
    "the colours come last in each patch; they should come first: (c y x)": lambda images, patch:
        rearrange(images, "b c (h y) (w x) -> b (h w) (y x c)", y=patch, x=patch),
    "the picture is cut as it lies in memory; a patch is a square of patch x patch pixels": lambda images, patch:
        images.reshape(len(images), -1, 3 * patch * patch),
    "the patches go column by column; in reading order the second one stands right of the first":
        lambda images, patch: rearrange(images, "b c (h y) (w x) -> b (w h) (c y x)", y=patch, x=patch),
    "inside a patch the columns come before the rows; it should be (c y x)": lambda images, patch:
        rearrange(images, "b c (h y) (w x) -> b (h w) (c x y)", y=patch, x=patch),
    "each colour makes patches of its own; a patch has all three colours": lambda images, patch:
        rearrange(images, "b c (h y) (w x) -> b (c h w) (y x)", y=patch, x=patch),
    "each patch takes pixels from all over the picture: (h y) splits a side into neighbours, (y h) does not":
        lambda images, patch: rearrange(images, "b c (y h) (x w) -> b (h w) (c y x)", y=patch, x=patch),
    "one axis too many: flatten each patch to one row of 3 * patch^2 numbers": lambda images, patch:
        rearrange(images, "b c (h y) (w x) -> b (h w) c (y x)", y=patch, x=patch),
    "patch is taken for the number of patches in a row; it is the side of one": lambda images, patch:
        rearrange(images, "b c (h y) (w x) -> b (h w) (c y x)", h=patch, w=patch),
    "only the first colour is there": lambda images, patch:
        rearrange(images[:, :1], "b c (h y) (w x) -> b (h w) (c y x)", y=patch, x=patch),
    "the patches stand in a grid, (h, w); they should be one row of h * w": lambda images, patch:
        rearrange(images, "b c (h y) (w x) -> b h w (c y x)", y=patch, x=patch),
}  # fmt: skip

CLIP_LOSS = {
    "only pictures look for their captions; captions look for their pictures as well: the columns count too":
        lambda z_i, z_t, scale: rows(logits(z_i, z_t, scale)),
    "only captions look for their pictures; pictures look for their captions as well: the rows count too":
        lambda z_i, z_t, scale: rows(logits(z_i, z_t, scale).T),
    "the embeddings are not normalised: a cosine does not depend on lengths": lambda z_i, z_t, scale:
        both(scale * z_i @ z_t.T),
    "z_t is not normalised": lambda z_i, z_t, scale: both(scale * F.normalize(z_i, dim=-1) @ z_t.T),
    "z_i is not normalised": lambda z_i, z_t, scale: both(scale * z_i @ F.normalize(z_t, dim=-1).T),
    "the sum of both losses; it should be their mean": lambda z_i, z_t, scale: 2 * both(logits(z_i, z_t, scale)),
    "the cosines are divided by the scale; multiply by it": lambda z_i, z_t, scale: both(logits(z_i, z_t, 1 / scale)),
    "the scale is forgotten": lambda z_i, z_t, scale: both(logits(z_i, z_t, 1.0)),
    "the scale is taken for its logarithm": lambda z_i, z_t, scale:
        both(logits(z_i, z_t, float(torch.tensor(scale).exp()))),
    "one loss for each pair; it should be one number, the mean": lambda z_i, z_t, scale:
        (rows(logits(z_i, z_t, scale), reduction="none") + rows(logits(z_i, z_t, scale).T, reduction="none")) / 2,
    "normalised over the batch, dim=0; each embedding is a row, dim=-1": lambda z_i, z_t, scale:
        both(scale * F.normalize(z_i, dim=0) @ F.normalize(z_t, dim=0).T),
    "the sum over the pairs; it should be the mean": lambda z_i, z_t, scale: (
        rows(logits(z_i, z_t, scale), reduction="sum") + rows(logits(z_i, z_t, scale).T, reduction="sum")) / 2,
    "the whole matrix goes through one softmax; each row has its own, and each column": lambda z_i, z_t, scale:
        -logits(z_i, z_t, scale).flatten().log_softmax(dim=0).view(len(z_i), -1).diagonal().mean(),
}  # fmt: skip

MISTAKES = {
    "attention": ATTENTION, "clip_loss": CLIP_LOSS, "end_tokens": END_TOKENS, "patchify": PATCHIFY,
}  # fmt: skip
