"""The exercises of notebook 12: packed heads, how close is equal, what is computed once, and which mode fits."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from .core import exercise, normal


def _packed() -> list[tuple]:
    counting = torch.arange(12, dtype=torch.float32)[:, None]           # two heads of two rows: 0 1 is q, 2 3 is k
    return [(counting, 2), (normal(24, 5, seed=1), 2), (normal(18, 3, seed=2), 3), (normal(6, 4, seed=3), 1)]


@exercise(_packed, rules={
    "there are three matrices, each with a third of the rows": lambda found, packed, heads:
        found.shape == (3, len(packed) // 3, packed.shape[1]),
    "q begins with the very first rows": lambda found, packed, heads: torch.equal(found[0, 0], packed[0]),
    "the rows of one head's q, k and v lie next to each other; the second head comes after them":
        lambda found, packed, heads: torch.equal(found[1, 0], packed[len(packed) // heads // 3]),
})  # fmt: skip
def unpack_qkv(packed: Tensor, heads: int) -> Tensor:
    """Rows [q k v of head 0 | q k v of head 1 | ...], (3 D, W), to q, k and v with all heads, (3, D, W)."""
    return rearrange(packed, "(head part row) w -> part (head row) w", head=heads, part=3)


@exercise(lambda: [(torch.tensor([3.0, 4]), torch.tensor([3.0, 0])), (normal(4, 5), normal(4, 5)),
                   (1000 * normal(2, 3, seed=1), 1000 * normal(2, 3, seed=2)),
                   (normal(2, 3, 4, 4, seed=3), normal(2, 3, 4, 4, seed=4))], rules={
    "equal tensors differ by 0": lambda error, found, expected: error == 0 or not torch.equal(found, expected),
    "it is never negative": lambda error, found, expected: error >= 0,
    "it does not matter in which unit both are measured":
        lambda error, found, expected: expected.abs().max() < 100 or error < 10,
})  # fmt: skip
def relative_rms(found: Tensor, expected: Tensor) -> float:
    """The root mean square of the difference over that of the expected values."""
    return float((found - expected).pow(2).mean().sqrt() / expected.pow(2).mean().sqrt())


@exercise(lambda: [(77, 25, False), (77, 25, True), (9, 2, True), (1, 10, False), (30, 1, True)], rules={
    "without the cache every step runs the whole row": lambda n, tokens, steps, cached:
        cached or n % steps == 0 and n > tokens * steps,
    "what is computed once is computed: the caption must be run at least that often":
        lambda n, tokens, steps, cached: n > tokens,
})  # fmt: skip
def prior_positions(tokens: int, steps: int, cached: bool) -> int:
    """How many positions the prior's Transformer runs for one z_i: a caption's tokens, z_t, t, noised z_i, query."""
    constant, changing = tokens + 1, 3
    return constant + steps * changing if cached else steps * (constant + changing)


def _machines() -> list[tuple]:
    sizes = [0.25, 2.0, 1.8, 1.4, 1.4]
    return [(sizes, 1.0, *free) for free in ((24.0, 32.0), (8.0, 16.0), (7.8, 6.0), (4.0, 16.0), (4.0, 6.0), (3.5, 6.8),
                                             (2.5, 64.0), (3.0, 6.9), (7.9, 0.5), (3.2, 2.0), (1.5, 64.0))]  # fmt: skip


@exercise(_machines, rules={
    "the answer is the name of a mode, or 'none'": lambda mode, sizes, working, gpu, ram:
        mode in ("resident", "offload", "disk", "none"),
    "computing takes room on the GPU besides the weights, in every mode": lambda mode, sizes, working, gpu, ram:
        mode != "resident" or sum(sizes) + working <= gpu,
    "one network at a time is enough, and it may be the largest": lambda mode, sizes, working, gpu, ram:
        mode == "none" or max(sizes) + working <= gpu,
    "offload keeps all networks in RAM": lambda mode, sizes, working, gpu, ram: mode != "offload" or sum(sizes) <= ram,
})  # fmt: skip
def fastest_mode(sizes: list[float], working: float, gpu: float, ram: float) -> str:
    """"resident", "offload", "disk" or "none", given the networks' sizes and what is free, all in GB."""
    if sum(sizes) + working <= gpu:
        return "resident"
    if max(sizes) + working > gpu:
        return "none"
    return "offload" if sum(sizes) <= ram else "disk"
