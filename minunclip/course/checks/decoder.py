"""The exercises of notebook 07: the parts of the U-Net, the context of its attention, and whitening."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .core import exercise, normal


def _states() -> list[tuple]:
    by_hand = torch.tensor([[1.0, 3], [5, 7], [10, 10], [10, 30]]).view(1, 4, 1, 2)
    return [(by_hand, 2), (3 * normal(2, 6, 4, 3, seed=1) + 1, 3), (normal(3, 4, 2, 2, seed=2), 4),
            (normal(3, 4, 2, 2, seed=3) + 5, 1), (0.003 * normal(2, 4, 3, 3, seed=4), 2)]  # fmt: skip


@exercise(_states, rules={
    "the shape stays": lambda y, x, groups: y.shape == x.shape,
    "each picture and group has mean 0": lambda y, x, groups:
        y.reshape(len(x), groups, -1).mean(dim=2).abs().max() < 1e-3,
})  # fmt: skip
def group_norm(x: Tensor, groups: int) -> Tensor:
    """(B, C, H, W) with mean 0 and variance 1 in each of so many groups of neighbouring channels; eps is 1e-5."""
    return F.group_norm(x, groups)


@exercise(lambda: [
    (torch.tensor([[[[2.0, 4]], [[1, -1]]]]), torch.tensor([[0.5, -1.0, 10.0, 3.0]])),
    (normal(2, 3, 4, 5, seed=1), normal(2, 6, seed=2)),
    (normal(3, 3, 3, 3, seed=3), normal(3, 6, seed=4)),
    (normal(2, 4, 2, 2, seed=5), torch.zeros(2, 8)),
], rules={
    "a time embedding that says zero changes nothing": lambda y, h, time: bool(time.any()) or torch.equal(y, h),
})  # fmt: skip
def film(h: Tensor, time: Tensor) -> Tensor:
    """h (B, C, H, W) times (1 + scale) plus shift; time (B, 2 C) holds the C scales and then the C shifts."""
    scale, shift = time[:, :, None, None].chunk(2, dim=1)                   # (B, C, 1, 1) each
    return h * (1 + scale) + shift


def _attended() -> list[tuple]:
    def case(b: int, n: int, m: int, d: int, *, seed: int) -> tuple:
        mask = normal(b, m, seed=seed + 5) > 0
        mask[:, 0] = True
        return (normal(b, n, d, seed=seed), normal(b, n, d, seed=seed + 1), normal(b, n, d, seed=seed + 2),
                normal(b, m, d, seed=seed + 3), normal(b, m, d, seed=seed + 4), mask)  # fmt: skip

    all_seen = (*case(1, 2, 3, 4, seed=20)[:5], torch.ones(1, 3, dtype=torch.bool))
    return [all_seen, case(2, 4, 3, 6, seed=1), case(3, 5, 7, 2, seed=10)]


@exercise(_attended, rules={
    "there is one answer for each position of the picture": lambda y, q, *_: y.shape == q.shape,
})  # fmt: skip
def joint_attention(q: Tensor, k: Tensor, v: Tensor, context_k: Tensor, context_v: Tensor, mask: Tensor) -> Tensor:
    """Positions q, k, v (B, N, d) attend to context (B, M, d), where mask (B, M) is True, and to each other."""
    keys, values = torch.cat([context_k, k], dim=1), torch.cat([context_v, v], dim=1)
    seen = F.pad(mask, (0, k.shape[1]), value=True)[:, None]                # (B, 1, M + N)
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen)


def _masks() -> list[tuple]:
    words = torch.tensor([[True, True, False, False, False], [True, True, True, True, False]])
    return [(words, 4), (words.flip(0)[:, :3], 2), (torch.ones(1, 4, dtype=torch.bool), 3), (words[:1], 1)]


@exercise(_masks)
def context_mask(mask: Tensor, extra: int) -> Tensor:
    """(B, extra + L) bool, True where a token counts: `extra` tokens of z_i, and then the L of the caption's mask."""
    return F.pad(mask, (extra, 0), value=True)


def _layers() -> list[tuple]:
    return [
        (torch.tensor([[1.0, 2.0]]), torch.tensor([5.0]), torch.tensor([3.0, 0.0]), torch.tensor([2.0, 0.1])),
        (normal(4, 3, seed=1), normal(4, seed=2), normal(3, seed=3), normal(3, seed=4).abs() + 0.1),
        (normal(3, 3, seed=5), normal(3, seed=6), normal(3, seed=7), normal(3, seed=8).abs() + 0.1),
    ]


@exercise(_layers, rules={
    "new_weight x + new_bias is weight (x - mean) / std + bias, for every x":
        lambda answer, weight, bias, mean, std: torch.allclose(
            F.linear(mean, *answer), bias, atol=1e-4) and answer[0].shape == weight.shape,
})  # fmt: skip
def fold_whitening(weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (O, D) and bias (O,) of a layer that does to x what this one does to (x - mean) / std, (D,) each."""
    weight = weight / std
    return weight, bias - weight @ mean
