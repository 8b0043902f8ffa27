"""Whether a picture is found by its caption, or a drawing's picture by the drawing, among others: a CLIP decides."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .statistics import Share


def found(queries: Tensor, keys: Tensor, among: int, top: int = 1) -> Share:
    """How often the key (N, D) of a query (N, D) is one of the `top` most similar to it, of `among` keys.

    The rows are compared in groups of that size, as they come; what is left over at the end counts only if there is no
    whole group. Of keys that are equally similar the query's own comes last, so that equal vectors find nothing.
    Raises ValueError for sets of different sizes, or fewer than two to choose from.
    """
    if len(queries) != len(keys) or min(len(keys), among) < 2:
        raise ValueError(f"found: {len(queries)} queries, {len(keys)} keys, among {among}: give as many of both, and 2 "
                         "or more to choose from")  # fmt: skip
    size = min(among, len(keys))
    groups = zip(queries.split(size), keys.split(size), strict=True)
    ranks = torch.cat([rank_of_own(q, k) for q, k in groups if len(q) == size])
    return Share(int((ranks < top).sum()), len(ranks))


def rank_of_own(queries: Tensor, keys: Tensor) -> Tensor:
    """How many other keys (N, D) are at least as similar to each query (N, D) as its own: (N,), 0 is found."""
    similar = F.normalize(queries.double().cpu(), dim=1) @ F.normalize(keys.double().cpu(), dim=1).T
    own = similar.diagonal()[:, None]                                               # (N, 1)
    return (similar >= own - 1e-9).sum(dim=1) - 1
