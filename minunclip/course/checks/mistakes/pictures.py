"""Mistakes in the exercises of the notebook on pictures of one's own."""

from __future__ import annotations

import zlib

import torch
import torch.nn.functional as F
from torch import Tensor


def crc(text: str) -> int:
    return zlib.crc32(text.encode())


def thing(key: str) -> str:
    return key.split("/")[-1]


HELD_OUT = {
    "the whole key is summed; then the same thing in another style may be in training": lambda keys:
        [crc(key) % 10 == 0 for key in keys],
    "the style is summed with the name; take the last part of the key alone": lambda keys:
        [crc("/".join(key.split("/")[-2:])) % 10 == 0 for key in keys],
    "this is True for those that training sees": lambda keys: [crc(thing(key)) % 10 != 0 for key in keys],
    "the first part of the key is summed; the thing is the last": lambda keys:
        [crc(key.split("/")[0]) % 10 == 0 for key in keys],
    "every tenth place is taken; a picture that is added moves all after it": lambda keys:
        [place % 10 == 0 for place in range(len(keys))],
    "the remainder is 1 here; it should be 0": lambda keys: [crc(thing(key)) % 10 == 1 for key in keys],
    "this is divided by 10; take the remainder": lambda keys: [crc(thing(key)) // 10 == 0 for key in keys],
    "one in five; it should be one in ten": lambda keys: [crc(thing(key)) % 5 == 0 for key in keys],
    "a name with small letters is another one: sum it as it is": lambda keys:
        [crc(thing(key).lower()) % 10 == 0 for key in keys],
    "this is Adler's sum; zlib.crc32 is asked for": lambda keys:
        [zlib.adler32(thing(key).encode()) % 10 == 0 for key in keys],
    "the length of the name decides; many things share one": lambda keys: [len(thing(key)) % 10 == 0 for key in keys],
    "this is the remainder itself; compare it with 0": lambda keys: [crc(thing(key)) % 10 for key in keys],
}  # fmt: skip


def joined(parts: list[str], pair: tuple[str, str], *, first: bool = False, space: str = "") -> list[str]:
    """The pair made one, everywhere or at its first place only."""
    merged, i, done = [], 0, False
    while i < len(parts):
        both = tuple(parts[i : i + 2]) == pair and not (first and done)
        merged.append(space.join(pair) if both else parts[i])
        done, i = done or both, i + (2 if both else 1)
    return merged


def from_the_right(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged, i = [], len(parts)
    while i > 0:
        both = tuple(parts[max(0, i - 2) : i]) == pair
        merged.insert(0, "".join(pair) if both else parts[i - 1])
        i -= 2 if both else 1
    return merged


def again(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """A part that was merged is used once more by the next place."""
    return ["".join(pair) if (a, b) == pair else a for a, b in zip(parts, [*parts[1:], ""], strict=False)]


MERGE = {
    "the pair is merged at its first place only": lambda parts, pair: joined(parts, pair, first=True),
    "the second of a pair stays behind the merged part: go on two places further": again,
    "this goes from right to left": from_the_right,
    "there is a space inside the merged part": lambda parts, pair: joined(parts, pair, space=" "),
    "the pair is exchanged: the first of it stands left": lambda parts, pair: joined(parts, pair[::-1]),
    "nothing is merged": lambda parts, pair: parts,
    "all parts are joined; only the pair should be": lambda parts, pair: ["".join(parts)],
    "the last part is lost": lambda parts, pair: joined(parts, pair)[:-1],
    "the merged pair is lost: put its two parts, joined, in their place": lambda parts, pair:
        [part for part in joined(parts, pair) if part != "".join(pair)],
    "the merged pair is written from behind": lambda parts, pair:
        ["".join(pair[::-1]) if part == "".join(pair) else part for part in joined(parts, pair)],
    "this is a text; a list of parts is asked for": lambda parts, pair: " ".join(joined(parts, pair)),
    "the parts are cut into letters again": lambda parts, pair: list("".join(joined(parts, pair))),
}  # fmt: skip


def share(similar: Tensor, dim: int = 1) -> float:
    return float((similar.argmax(dim=dim) == torch.arange(len(similar))).float().mean())


def rows(x: Tensor) -> Tensor:
    """Each row with length 1."""
    return F.normalize(x, dim=1)


def centred(x: Tensor) -> Tensor:
    return rows(x - x.mean(dim=0))


FOUND = {
    "the styles' means are still there: take each set's own mean away": lambda a, b:
        share(rows(a) @ rows(b).T),
    "this is the dot product; divide each row by its length, after its mean is gone": lambda a, b:
        share((a - a.mean(dim=0)) @ (b - b.mean(dim=0)).T),
    "rows of b look for rows of a here; it is the other way round": lambda a, b: share(centred(a) @ centred(b).T, 0),
    "the rows are brought to length 1 before the mean is gone, and never again": lambda a, b:
        share((rows(a) - rows(a).mean(dim=0)) @ (rows(b) - rows(b).mean(dim=0)).T),
    "one mean is taken from both; each set has its own": lambda a, b: share(
        rows(a - torch.cat([a, b]).mean(dim=0)) @ rows(b - torch.cat([a, b]).mean(dim=0)).T),
    "the mean of each row is taken away; it should be that of each column": lambda a, b:
        share(rows(a - a.mean(dim=1, keepdim=True)) @ rows(b - b.mean(dim=1, keepdim=True)).T),
    "the least similar row is chosen": lambda a, b: share(-centred(a) @ centred(b).T),
    "distances are compared, and the largest is chosen": lambda a, b:
        share(torch.cdist(a - a.mean(dim=0), b - b.mean(dim=0))),
    "a is compared with itself": lambda a, b: share(centred(a) @ centred(a).T),
    "this is a number of rows; a share is asked for": lambda a, b: len(a) * share(centred(a) @ centred(b).T),
    "this is the share of those that are not found": lambda a, b: 1 - share(centred(a) @ centred(b).T),
    "the columns are brought to length 1; it should be the rows": lambda a, b:
        share(F.normalize(a - a.mean(dim=0), dim=0) @ F.normalize(b - b.mean(dim=0), dim=0).T),
}  # fmt: skip


def real(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


BATCH = {
    "pictures are 0 to 1 here; the decoder draws -1 to 1": lambda pictures, z_i, order:
        (pictures[order] / 255, z_i[order]),
    "pictures are 0 to 255 here; the decoder draws -1 to 1": lambda pictures, z_i, order:
        (pictures[order].float(), z_i[order]),
    "z_i is in another order than the pictures": lambda pictures, z_i, order:
        (real(pictures[order]), z_i[order.sort().values]),
    "z_i is not put in order: it must be the z_i of the same pictures": lambda pictures, z_i, order:
        (real(pictures[order]), z_i[: len(order)]),
    "the pictures are not put in order": lambda pictures, z_i, order: (real(pictures[: len(order)]), z_i[order]),
    "both are as they came: take the rows that `order` names": lambda pictures, z_i, order:
        (real(pictures[: len(order)]), z_i[: len(order)]),
    "white is 0.99: divide by 127.5": lambda pictures, z_i, order: (pictures[order].float() / 128 - 1, z_i[order]),
    "black is 0 and white is 2: take 1 away": lambda pictures, z_i, order:
        (pictures[order].float() / 127.5, z_i[order]),
    "black and white are exchanged": lambda pictures, z_i, order: (-real(pictures[order]), z_i[order]),
    "z_i comes first here; the pictures should": lambda pictures, z_i, order: (z_i[order], real(pictures[order])),
    "z_i is brought to length 1: leave it as it is": lambda pictures, z_i, order:
        (real(pictures[order]), F.normalize(z_i[order], dim=1)),
    "all rows are here; only those that `order` names should be": lambda pictures, z_i, order: (real(pictures), z_i),
}  # fmt: skip

MISTAKES = {"held_out": HELD_OUT, "merge_pair": MERGE, "found_across": FOUND, "paired_batch": BATCH}
