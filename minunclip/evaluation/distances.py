"""How far drawn pictures are from true ones, as sets of features: Frechet and kernel distance, precision and recall.

Any network's features will do: here they are the judge's, or CLIP's z_i. With the features of the Inception network
the Frechet distance is the FID of the literature and the kernel distance its KID.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """How far apart the Gaussians that fit features x (N, D) and y (M, D) are, squared (Heusel et al. 2017).

    |mean_x - mean_y|^2 + trace(S_x + S_y - 2 (S_x S_y)^(1/2)) with the covariances S. It is 0 for the same set, and
    larger the fewer pictures there are: compare sets of one size only. Raises ValueError for fewer than two rows.
    """
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"frechet_distance: features {tuple(x.shape)} and {tuple(y.shape)}; give two or more rows "
                         "of the same width on both sides")  # fmt: skip
    x, y = x.cpu().double(), y.cpu().double()                      # in this order: MPS has no float64
    root_x, root_y = root(x), root(y)
    cross = torch.linalg.svdvals(root_x @ root_y.T).sum()               # trace (S_x S_y)^(1/2), never complex
    return float((x.mean(0) - y.mean(0)).square().sum() + root_x.square().sum() + root_y.square().sum() - 2 * cross)


def root(x: Tensor) -> Tensor:
    """R (min(N, D), D) of features (N, D), with R^T R their covariance."""
    return torch.linalg.qr((x - x.mean(0)) / (len(x) - 1) ** 0.5, mode="r").R


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """The squared maximum mean discrepancy of features x (N, D) and y (M, D) (Binkowski et al. 2018, section 3).

    The kernel is (a . b / D + 1)^3. Unlike the Frechet distance it is unbiased: its mean over small sets is that of
    large ones, and around 0, also below it, for two halves of one set. Raises ValueError for fewer than two rows.
    """
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"kernel_distance: features {tuple(x.shape)} and {tuple(y.shape)}; give two or more rows "
                         "of the same width on both sides")  # fmt: skip
    x, y = x.cpu().double(), y.cpu().double()                      # in this order: MPS has no float64
    k_x, k_y, k_xy = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    others_x, others_y = ((k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (k_x, k_y))
    return float(others_x + others_y - 2 * k_xy.mean())


def inside(points: Tensor, others: Tensor, k: int = 3) -> Tensor:
    """Which points (N, D) lie among the others (M, D): (N,) bool.

    Around each of the others is a ball that reaches to its k-th nearest neighbour; a point in any of the balls is
    inside (Kynkaanniemi et al. 2019, eq. 1). The share of drawn pictures inside the true ones is their precision: it
    falls when pictures look wrong. The share of true ones inside the drawn is their recall: it falls when kinds of
    pictures are missing. Raises ValueError if there are only k others or fewer.
    """
    if len(others) <= k:
        raise ValueError(f"inside: {len(others)} features have no {k}-th neighbour; give more than {k}")
    points, others = points.cpu().double(), others.cpu().double()    # in this order: MPS has no float64
    radii = torch.cdist(others, others).kthvalue(k + 1).values          # the nearest of all is the feature itself
    return (torch.cdist(points, others) <= radii).any(dim=1)
