"""Mistakes in the exercises of notebook 02."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5                     # (B, N, M)


def below(scores: Tensor, diagonal: int = 0) -> Tensor:
    return torch.ones_like(scores).tril(diagonal).bool()


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

CAUSAL = {
    "the weights are set to 0 after the softmax, so a row no longer sums to 1; hide the scores before it":
        lambda scores: scores.softmax(dim=-1).tril(),
    "hidden scores are set to 0, and exp(0) is not 0; they must be -inf before the softmax":
        lambda scores: scores.tril().softmax(dim=-1),
    "it looks ahead and hides the past: the triangle is the wrong way round":
        lambda scores: scores.masked_fill(below(scores, -1), -torch.inf).softmax(dim=-1),
    "a word does not see itself; row i may see the columns 0 to i": lambda scores:
        scores.masked_fill(~below(scores, -1), -torch.inf).softmax(dim=-1),
    "the softmax goes over the rows; each row sums to 1, so it goes over the columns, dim=-1":
        lambda scores: scores.masked_fill(~below(scores), -torch.inf).softmax(dim=-2),
    "nothing is hidden: a word may not look ahead": lambda scores: scores.softmax(dim=-1),
    "it looks one word ahead; row i may see the columns 0 to i": lambda scores:
        scores.masked_fill(~below(scores, 1), -torch.inf).softmax(dim=-1),
    "these are still scores: the softmax is missing": lambda scores: scores.masked_fill(~below(scores), -torch.inf),
    "all scores go through one softmax; each row has its own": lambda scores:
        scores.masked_fill(~below(scores), -torch.inf).flatten(-2).softmax(dim=-1).view_as(scores),
    "hidden scores are set to -1, which softmax does not make 0; take -inf": lambda scores:
        scores.masked_fill(~below(scores), -1).softmax(dim=-1),
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


def cosines(z_i: Tensor, z_t: Tensor) -> Tensor:
    return F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T            # (B, C)


ZERO_SHOT = {
    "long embeddings win: only the direction counts, so normalise them first": lambda z_i, z_t:
        (z_i @ z_t.T).argmax(dim=1),
    "this is a picture for each class; it should be a class for each picture": lambda z_i, z_t:
        cosines(z_i, z_t).argmax(dim=0),
    "this is how similar the best class is; which one is it?": lambda z_i, z_t: cosines(z_i, z_t).amax(dim=1),
    "this is the least similar class": lambda z_i, z_t: cosines(z_i, z_t).argmin(dim=1),
    "this is the number of the class in the flat table; argmax needs dim=1": lambda z_i, z_t:
        cosines(z_i, z_t).argmax(),
    "these are all cosines; which is the largest of each row?": cosines,
    "these are probabilities; which class is the likeliest of each row?": lambda z_i, z_t:
        cosines(z_i, z_t).softmax(dim=1),
    "only z_t is normalised, and dim is the wrong one": lambda z_i, z_t:
        (z_i @ F.normalize(z_t, dim=0).T).argmax(dim=1),
    "the nearest by distance: a long embedding is far from everything, so normalise first": lambda z_i, z_t:
        torch.cdist(z_i, z_t).argmin(dim=1),
    "normalised over the batch, dim=0; each embedding is a row, dim=-1": lambda z_i, z_t:
        (F.normalize(z_i, dim=0) @ F.normalize(z_t, dim=0).T).argmax(dim=1),
}  # fmt: skip

MISTAKES = {
    "attention": ATTENTION, "causal_weights": CAUSAL, "patchify": PATCHIFY, "clip_loss": CLIP_LOSS,
    "zero_shot_choice": ZERO_SHOT,
}  # fmt: skip
