"""The exercises of notebook 06: an embedding as tokens, and how a model learns, reads and continues them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ar_prior import pick
from ...embeddings import PCA
from .core import exercise, normal


@exercise(lambda: [
    (torch.tensor([6.0, 3.0, 1.0]), 0.6), (torch.tensor([6.0, 3.0, 1.0]), 0.61),
    (torch.tensor([4.0, 1.0, 0.5, 0.25, 0.0]), 0.99), (torch.tensor([4.0, 1.0, 0.5, 0.25, 0.0]), 1.0),
    (torch.ones(128), 0.25), (torch.tensor([0.5, 0.3, 0.2]), 0.9),
], rules={
    "so many hold at least that share": lambda k, variances, share:
        variances[: int(k)].sum() >= share * variances.sum() - 1e-6,
    "one fewer would not be enough": lambda k, variances, share:
        variances[: int(k) - 1].sum() < share * variances.sum() - 1e-6,
})  # fmt: skip
def components_needed(variances: Tensor, share: float) -> int:
    """How many components hold this share of the variance, the fewest possible; variances (D,) fall."""
    return PCA(torch.zeros(1), torch.zeros(1, 1), variances).components_for(share)


def _components() -> list[tuple]:
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 8.0])
    edges = torch.tensor([[-1.0, 0.0], [-0.5, 1.9], [0.0, 2.0], [0.99, 7.9], [1.0, 8.0], [-3.0, 11.0]])
    return [(edges, low, high, 4), (2 * normal(5, 3), -torch.tensor([2.0, 1.0, 4.0]), torch.tensor([2.0, 3.0, 0.5]), 7)]


@exercise(_components, rules={
    "there are buckets 0 to buckets - 1, and no others":
        lambda ids, x, low, high, buckets: ids.min() >= 0 and ids.max() < buckets,
    "a bucket is a whole number": lambda ids, x, low, high, buckets: not ids.is_floating_point(),
})  # fmt: skip
def to_buckets(x: Tensor, low: Tensor, high: Tensor, buckets: int) -> Tensor:
    """The bucket of each number, int64 (B, K): from low to high, (K,) each, there are so many, equally wide. Numbers
    below and above belong to the first and the last."""
    return ((x - low) / (high - low) * buckets).floor().long().clamp(0, buckets - 1)


def _sentences() -> list[tuple]:
    sure = torch.tensor([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])               # says 0, and then 1
    return [(sure, torch.tensor([[7, 0, 1]])), (normal(2, 4, 4), torch.tensor([[6, 0, 3, 3, 1], [4, 2, 2, 0, 1]]))]


@exercise(_sentences, rules={
    "there is one loss for each sentence": lambda loss, logits, tokens: loss.shape == tokens.shape[:1],
    "the mean over the components, not the sum": lambda loss, logits, tokens: loss.max() < logits.abs().max() + 2,
})  # fmt: skip
def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """The mean cross-entropy in nats of c_1, ..., c_K, (B,): tokens (B, 1 + K) are [dot, c_1, ..., c_K], and
    logits (B, K, buckets) what the model expects to follow when it has read up to the dot, c_1, ..., c_{K - 1}."""
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=1)


def _states() -> list[tuple]:
    q, k, v = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[0.0, 10.0]]])
    shapes = [(3, 4), (3, 4), (3, 4), (3, 5, 4), (3, 5, 4)]
    return [(q, k, v, torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[10.0, 0.0]]])),
            tuple(normal(*shape, seed=seed) for seed, shape in enumerate(shapes))]  # fmt: skip


@exercise(_states, rules={
    "keys and values grow by one": lambda found, q, k, v, past_k, past_v:
        all(grown.shape[1] == past_k.shape[1] + 1 for grown in found[1:]),
    "the new token stands at the end": lambda found, q, k, v, past_k, past_v: torch.equal(found[1][:, -1], k),
    "the new token sees itself as well": lambda found, q, k, v, past_k, past_v: not torch.allclose(
        found[0], F.scaled_dot_product_attention(q[:, None], past_k, past_v)[:, 0], atol=1e-4),
})  # fmt: skip
def one_more(q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of one new token, with query, key and value (B, d), to the M before it, (B, M, d), and to itself: its
    answer (B, d), and the keys and the values with its own, (B, M + 1, d) each."""
    keys, values = torch.cat([past_k, k[:, None]], dim=1), torch.cat([past_v, v[:, None]], dim=1)
    return F.scaled_dot_product_attention(q[:, None], keys, values)[:, 0], keys, values


def _chances() -> list[tuple]:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(5, -1)                # cumulative 0.5, 0.8, 1
    u = torch.tensor([0.1, 0.49, 0.51, 0.79, 0.9])
    return [(logits, u, 1.0), (logits, u, 0.5), (normal(5, 4, seed=1), u, 0.0), (normal(5, 6), u, 2.0)]


@exercise(_chances, rules={
    "temperature 0 takes the likeliest": lambda picked, logits, u, temperature:
        temperature > 0 or torch.equal(picked, logits.argmax(dim=1)),
    "there is one bucket for each row": lambda picked, logits, u, temperature: picked.shape == u.shape,
})  # fmt: skip
def pick_bucket(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """The first bucket at which the cumulative probability reaches u, int64 (B,): logits (B, n), divided by the
    temperature, and u (B,) in 0 to 1. Temperature 0 takes the likeliest."""
    return pick(logits, u[:, None], temperature)[:, 0]
