"""Along a sphere: the way between two embeddings, or between two lumps of noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def slerp(a: Tensor, b: Tensor, theta: Tensor | float) -> Tensor:
    """From a to b along the sphere: (B, ...), (B, ...), theta (B,) or a number, 0 for a and 1 for b -> (B, ...).

    The direction turns at an even pace from a's to b's (Shoemake 1985), and the length changes evenly from |a|
    to |b|. One row goes with any number of others. Opposite directions have no shortest way between them, and
    give nothing useful.
    """
    theta = torch.as_tensor(theta, dtype=a.dtype, device=a.device).view(-1, 1)                       # (B, 1)
    n = max(len(a), len(b), len(theta))
    a, b = rows(a, n), rows(b, n)
    (u, v), (length_a, length_b) = [F.normalize(x.flatten(1), dim=1) for x in (a, b)], lengths(a, b)
    angle = 2 * torch.atan2((u - v).norm(dim=1, keepdim=True), (u + v).norm(dim=1, keepdim=True))    # (B, 1)
    direction = torch.sin((1 - theta) * angle) * u + torch.sin(theta * angle) * v
    close = angle < 1e-4                                                # where the arc is as good as a line
    direction = F.normalize(torch.where(close, (1 - theta) * u + theta * v, direction), dim=1)
    return (((1 - theta) * length_a + theta * length_b) * direction).view_as(a)


def rows(x: Tensor, n: int) -> Tensor:
    """n rows out of n, or out of one. Raises ValueError for another number."""
    if len(x) not in (1, n):
        raise ValueError(f"a batch of {len(x)} does not go with one of {n}: both must be as long, or one of them 1")
    return x.expand(n, *x.shape[1:])


def lengths(*vectors: Tensor) -> list[Tensor]:
    """The length of each row of each tensor: (B, ...) -> (B, 1)."""
    return [x.flatten(1).norm(dim=1, keepdim=True) for x in vectors]
