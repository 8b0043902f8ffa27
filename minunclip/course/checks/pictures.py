"""The exercises of the notebook on pictures of one's own: a split that stays, byte pairs, styles, pairs in a batch."""

from __future__ import annotations

import zlib

import torch
import torch.nn.functional as F
from torch import Tensor

from .core import exercise, normal

KEYS = ["train/noto/bird", "train/fluent/bird", "train/twemoji/egg", "train/noto/goat", "train/noto/owl",
        "val/fluent/pen", "bird/noto/watermelon", "train/twemoji/bag", "train/fluent/ape", "train/fluent/bike",
        "train/noto/bell", "train/twemoji/candle",
        "train/noto/drum", "train/noto/bat", "train/fluent/dog", "val/noto/tooth", "train/noto/beer mug"]
NAMES = ["noto/dog", "fluent/dog", "noto/cat", "noto/bone", "noto/owl", "fluent/tooth", "noto/cow", "fluent/cow"]


@exercise(lambda: [(KEYS,), (NAMES,), ([key.upper() for key in KEYS],), (["x/pear"],)], rules={
    "there is an answer for each key": lambda held, keys: len(held) == len(keys),
    "all drawings of one thing are on one side": lambda held, keys: all(
        a == b for a, k in zip(held, keys, strict=True) for b, j in zip(held, keys, strict=True)
        if k.split("/")[-1] == j.split("/")[-1]),
})  # fmt: skip
def held_out(keys: list[str]) -> list[bool]:
    """Which pictures are kept from training: those whose thing, the last part of the key, is one of ten by its CRC."""
    return [zlib.crc32(key.split("/")[-1].encode()) % 10 == 0 for key in keys]


@exercise(lambda: [
    (["l", "o", "w", "e", "r</w>"], ("l", "o")), (["a", "a", "a", "b"], ("a", "a")),
    (["b", "a", "n", "a", "n", "a</w>"], ("a", "n")), (["t", "h", "e</w>"], ("e", "t")),
    (["lo", "w", "lo", "w</w>"], ("lo", "w")), ([], ("a", "b")), (["a", "b"], ("a", "b")),
    (["x", "a", "a", "a", "a"], ("a", "a")),
], rules={
    "the letters stay what they are": lambda merged, parts, pair: "".join(merged) == "".join(parts),
    "where the pair does not occur nothing changes": lambda merged, parts, pair:
        pair in zip(parts, parts[1:], strict=False) or merged == parts,
})  # fmt: skip
def merge_pair(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The parts of a word with this pair of neighbours made one part, wherever it occurs, from left to right."""
    merged, i = [], 0
    while i < len(parts):
        both = tuple(parts[i : i + 2]) == pair
        merged.append("".join(pair) if both else parts[i])
        i += 2 if both else 1
    return merged


def _styles() -> list[tuple]:
    """Two sets of embeddings of the same things: another mean, other lengths, some noise."""
    things, sizes = normal(12, 6), 0.2 + 3 * torch.rand(12, 1, generator=torch.Generator().manual_seed(3))
    far = torch.tensor([4.0, -3.0, 0.0, 2.0, 0.0, 1.0])
    return [(things + far, sizes * (things + 0.9 * normal(12, 6, seed=1)) - 2 * far),
            (torch.eye(3), torch.eye(3)[[0, 2, 1]] + 5), (normal(9, 4, seed=5), normal(9, 4, seed=6)),
            (normal(20, 3, seed=7) + 1, 2 * normal(20, 3, seed=7) + 0.8 * normal(20, 3, seed=8) - 3)]


@exercise(_styles, rules={
    "a share lies between 0 and 1": lambda share, a, b: 0 <= share <= 1,
})  # fmt: skip
def found_across(a: Tensor, b: Tensor) -> float:
    """The share of rows of a (N, D) whose most similar row of b (N, D) has the same number, each set centred."""
    a, b = (F.normalize(x - x.mean(dim=0), dim=1) for x in (a, b))
    return float(((a @ b.T).argmax(dim=1) == torch.arange(len(a))).float().mean())


def _batches() -> list[tuple]:
    rng = torch.Generator().manual_seed(0)
    return [(torch.tensor([[[[0, 255]]], [[[51, 204]]]], dtype=torch.uint8), torch.tensor([[1.0], [2.0]]),
             torch.tensor([1, 0])),
            (torch.randint(256, (6, 3, 4, 4), generator=rng).byte(), normal(6, 5), torch.tensor([4, 1, 5])),
            (torch.randint(256, (9, 3, 2, 2), generator=rng).byte(), normal(9, 4, seed=1), torch.tensor([7, 7, 0, 2]))]


@exercise(_batches, rules={
    "black is -1 and white is 1": lambda found, pictures, z_i, order:
        found[0].min() >= -1 and found[0].max() <= 1 and found[0].min() < -0.1,
    "row n of both is the same picture": lambda found, pictures, z_i, order: torch.equal(found[1], z_i[order]),
})  # fmt: skip
def paired_batch(pictures: Tensor, z_i: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, S, S) uint8 and z_i (N, D) in this order: (B, 3, S, S) in -1 to 1, and (B, D)."""
    return pictures[order].float() / 127.5 - 1, z_i[order]
