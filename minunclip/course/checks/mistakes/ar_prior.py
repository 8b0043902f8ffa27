"""Mistakes in the exercises on the autoregressive prior."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEEDED = {
    "one too few: with the components before it the share is not reached yet": lambda variances, share:
        int(((held := variances.cumsum(0)) < share * held[-1]).sum()),
    "this is that share of the number of components; it should be of the variance they hold":
        lambda variances, share: max(1, round(share * len(variances))),
    "this counts large components; add up the variance, the largest first": lambda variances, share:
        int((variances >= (1 - share) * variances[0]).sum()),
    "the roots of the variances are added up; it should be the variances": lambda variances, share:
        int(((held := variances.sqrt().cumsum(0)) < share * held[-1]).sum()) + 1,
    "one too many where the share is met exactly: at least that share is enough": lambda variances, share:
        int(((held := variances.cumsum(0)) <= share * held[-1]).sum()) + 1,
    "the share is compared with the sum itself; divide by the whole variance": lambda variances, share:
        int((variances.cumsum(0) < share).sum()) + 1,
    "the share is taken of the first variance; take it of their sum": lambda variances, share:
        int((variances.cumsum(0) < share * variances[0]).sum()) + 1,
    "this is what may be left out, the rest of the share": lambda variances, share:
        int(((held := variances.cumsum(0)) < (1 - share) * held[-1]).sum()) + 1,
    "the smallest are added up first; begin with the largest": lambda variances, share:
        int(((held := variances.flip(0).cumsum(0)) < share * held[-1]).sum()) + 1,
    "these are the shares themselves; how many components reach it?": lambda variances, share:
        variances.cumsum(0) / variances.sum(),
}  # fmt: skip


def within(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return (x - low) / (high - low)                                         # 0 at low, 1 at high


BUCKETS = {
    "rounded; a number belongs to the bucket in which it lies: floor": lambda x, low, high, buckets:
        (within(x, low, high) * buckets).round().long().clamp(0, buckets - 1),
    "there are only buckets - 1 of them: multiply by buckets": lambda x, low, high, buckets:
        (within(x, low, high) * (buckets - 1)).floor().long().clamp(0, buckets - 1),
    "rounded to buckets - 1 steps: the first and the last bucket are half as wide": lambda x, low, high, buckets:
        (within(x, low, high) * (buckets - 1)).round().long().clamp(0, buckets - 1),
    "numbers below and above get buckets that do not exist; clamp them": lambda x, low, high, buckets:
        (within(x, low, high) * buckets).floor().long(),
    "all components share one range; each has its own low and high": lambda x, low, high, buckets:
        (within(x, low.min(), high.max()) * buckets).floor().long().clamp(0, buckets - 1),
    "a bucket is a whole number: .long()": lambda x, low, high, buckets:
        (within(x, low, high) * buckets).floor().clamp(0, buckets - 1),
    "the last bucket is buckets - 1; clamped to buckets": lambda x, low, high, buckets:
        (within(x, low, high) * buckets).floor().long().clamp(0, buckets),
    "buckets are numbered from 0": lambda x, low, high, buckets:
        (within(x, low, high) * buckets).floor().long().clamp(0, buckets - 1) + 1,
    "low is not taken off": lambda x, low, high, buckets:
        (x / (high - low) * buckets).floor().long().clamp(0, buckets - 1),
    "divided by high; the width of the range is high - low": lambda x, low, high, buckets:
        ((x - low) / high * buckets).floor().long().clamp(0, buckets - 1),
    "they are counted from the top: low is bucket 0": lambda x, low, high, buckets:
        (buckets - 1 - (within(x, low, high) * buckets).floor().long()).clamp(0, buckets - 1),
    "one boundary is counted double: a number on a boundary belongs to the upper bucket": lambda x, low, high, buckets:
        ((within(x, low, high) * buckets).ceil().long() - 1).clamp(0, buckets - 1),
}  # fmt: skip


def entropies(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")                 # (B, K)


NEXT_TOKEN = {
    "not shifted: the first logits are about c_1, which is tokens[:, 1]": lambda logits, tokens:
        entropies(logits, tokens[:, :-1].clamp(max=logits.shape[2] - 1)).mean(dim=1),
    "shifted twice: all K logits have a token that follows": lambda logits, tokens:
        entropies(logits[:, :-1], tokens[:, 2:]).mean(dim=1),
    "the components are taken for the classes; cross_entropy wants (B, buckets, K)": lambda logits, tokens:
        F.cross_entropy(logits, tokens[:, 1:], reduction="none").mean(dim=1),
    "the sum over the components; it should be their mean": lambda logits, tokens:
        entropies(logits, tokens[:, 1:]).sum(dim=1),
    "this is one number; there should be one for each sentence": lambda logits, tokens:
        entropies(logits, tokens[:, 1:]).mean(),
    "these are bits; in nats the logarithm is the natural one": lambda logits, tokens:
        entropies(logits, tokens[:, 1:]).mean(dim=1) / torch.tensor(2.0).log(),
    "the mean goes over the batch, dim=0; it goes over the components, dim=1": lambda logits, tokens:
        entropies(logits, tokens[:, 1:]).mean(dim=0),
    "this is the loss of every component; take the mean of each sentence": lambda logits, tokens:
        entropies(logits, tokens[:, 1:]),
    "this is the probability of the right bucket; the loss is minus its logarithm": lambda logits, tokens:
        (-entropies(logits, tokens[:, 1:])).exp().mean(dim=1),
    "this is the mean log-probability: a minus is missing": lambda logits, tokens:
        -entropies(logits, tokens[:, 1:]).mean(dim=1),
    "this is minus the logit itself; the softmax is missing": lambda logits, tokens:
        -logits.gather(2, tokens[:, 1:, None])[..., 0].mean(dim=1),
}  # fmt: skip


def answer(q: Tensor, keys: Tensor, values: Tensor, **options) -> Tensor:
    return F.scaled_dot_product_attention(q[:, None], keys, values, **options)[:, 0]         # (B, d)


def grown(past: Tensor, new: Tensor) -> Tensor:
    return torch.cat([past, new[:, None]], dim=1)


ONE_MORE = {
    "the new token does not see itself: its own key and value come along": lambda q, k, v, past_k, past_v:
        (answer(q, past_k, past_v), grown(past_k, k), grown(past_v, v)),
    "the keys and values come back as they were; the next token needs this one's": lambda q, k, v, past_k, past_v:
        (answer(q, grown(past_k, k), grown(past_v, v)), past_k, past_v),
    "the new key and value stand in front; they belong at the end": lambda q, k, v, past_k, past_v: (
        answer(q, keys := torch.cat([k[:, None], past_k], 1), values := torch.cat([v[:, None], past_v], 1)),
        keys, values),
    "the scores are not divided by sqrt(d)": lambda q, k, v, past_k, past_v: (
        answer(q, grown(past_k, k), grown(past_v, v), scale=1.0), grown(past_k, k), grown(past_v, v)),
    "the new token sees only itself": lambda q, k, v, past_k, past_v: (v, grown(past_k, k), grown(past_v, v)),
    "key and value are exchanged": lambda q, k, v, past_k, past_v: (
        answer(q, grown(past_k, v), grown(past_v, k)), grown(past_k, v), grown(past_v, k)),
    "the query is kept as well; only keys and values are": lambda q, k, v, past_k, past_v: (
        answer(q, grown(past_k, q), grown(past_v, v)), grown(past_k, q), grown(past_v, v)),
    "only what is new comes back; return all keys and values up to here": lambda q, k, v, past_k, past_v:
        (answer(q, grown(past_k, k), grown(past_v, v)), k[:, None], v[:, None]),
    "the answer has an axis too many: (B, d)": lambda q, k, v, past_k, past_v: (
        answer(q, grown(past_k, k), grown(past_v, v))[:, None], grown(past_k, k), grown(past_v, v)),
    "the keys are mixed; it should be the values": lambda q, k, v, past_k, past_v:
        (answer(q, grown(past_k, k), grown(past_k, k)), grown(past_k, k), grown(past_v, v)),
    "values come before keys; the order is answer, keys, values": lambda q, k, v, past_k, past_v: (
        answer(q, grown(past_k, k), grown(past_v, v)), grown(past_v, v), grown(past_k, k)),
}  # fmt: skip


def reached(p: Tensor, u: Tensor) -> Tensor:
    return (p.cumsum(dim=1) < u[:, None]).sum(dim=1)


def chances(logits: Tensor, temperature: float) -> Tensor:
    return (logits / max(temperature, 1e-9)).softmax(dim=1)


PICK = {
    "multiplied by the temperature; divide by it": lambda logits, u, temperature:
        reached((logits * temperature).softmax(dim=1), u),
    "the probabilities are divided by the temperature; it should be the logits": lambda logits, u, temperature:
        reached((p := logits.softmax(dim=1) / max(temperature, 1e-9)) / p.sum(dim=1, keepdim=True), u),
    "temperature 0 divides by zero; take the likeliest there": lambda logits, u, temperature:
        reached((logits / torch.tensor(temperature)).softmax(dim=1), u),
    "this is always the likeliest bucket; u decides": lambda logits, u, temperature: logits.argmax(dim=1),
    "u is compared with each probability; it should be with their running sum": lambda logits, u, temperature:
        (chances(logits, temperature) < u[:, None]).long().argmin(dim=1),
    "one bucket too far: the first at which the running sum reaches u": lambda logits, u, temperature:
        (reached(chances(logits, temperature), u) + 1).clamp(max=logits.shape[1] - 1),
    "one bucket too early: the running sum must have reached u": lambda logits, u, temperature:
        (reached(chances(logits, temperature), u) - 1).clamp(min=0),
    "the temperature is not used": lambda logits, u, temperature:
        reached(logits.softmax(dim=1), u) if temperature else logits.argmax(dim=1),
    "the running sum goes over the batch, dim=0; it goes over the buckets, dim=1": lambda logits, u, temperature:
        (chances(logits, temperature).cumsum(dim=0) < u[:, None]).sum(dim=1),
    "this is u times the number of buckets: all are taken for equally likely": lambda logits, u, temperature:
        (u * logits.shape[1]).long() if temperature else logits.argmax(dim=1),
    "every row is compared with the first u; each has its own": lambda logits, u, temperature:
        (chances(logits, temperature).cumsum(dim=1) < u[0]).sum(dim=1) if temperature else logits.argmax(dim=1),
    "the logits are summed up; first make them probabilities": lambda logits, u, temperature:
        (logits.cumsum(dim=1) < u[:, None]).sum(dim=1) if temperature else logits.argmax(dim=1),
}  # fmt: skip

MISTAKES = {
    "components_needed": NEEDED, "to_buckets": BUCKETS, "next_token_loss": NEXT_TOKEN, "one_more": ONE_MORE,
    "pick_bucket": PICK,
}  # fmt: skip
