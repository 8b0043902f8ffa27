"""How far drawn pictures are from true ones, as sets of feature vectors: Frechet distance, precision and recall.

Any network's features will do. For scenes they are the judge's; for photographs those of Inception, as everybody's
FID has them, and the CLIP score says how well a picture fits its caption.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """How far apart the Gaussians that fit features x (N, D) and y (M, D) are, squared (Heusel et al. 2017).

    |mean_x - mean_y|^2 + trace(S_x + S_y - 2 (S_x S_y)^(1/2)) with the covariances S. It is 0 for the same set, and
    larger the fewer pictures there are: compare sets of one size only. Raises ValueError for fewer than two rows.
    """
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"frechet_distance: features {tuple(x.shape)} and {tuple(y.shape)}; give two or more rows "
                         "of the same width on both sides")  # fmt: skip
    x, y = x.double().cpu(), y.double().cpu()
    root_x, root_y = root(x), root(y)
    cross = torch.linalg.svdvals(root_x @ root_y.T).sum()               # trace (S_x S_y)^(1/2), never complex
    return float((x.mean(0) - y.mean(0)).square().sum() + root_x.square().sum() + root_y.square().sum() - 2 * cross)


def root(x: Tensor) -> Tensor:
    """R (min(N, D), D) of features (N, D), with R^T R their covariance."""
    return torch.linalg.qr((x - x.mean(0)) / (len(x) - 1) ** 0.5, mode="r").R


def inside(points: Tensor, others: Tensor, k: int = 3) -> Tensor:
    """Which points (N, D) lie among the others (M, D): (N,) bool.

    Around each of the others is a ball that reaches to its k-th nearest neighbour; a point in any of the balls is
    inside (Kynkaanniemi et al. 2019, eq. 1).
    """
    if len(others) <= k:
        raise ValueError(f"inside: {len(others)} features have no {k}-th neighbour; give more than {k}")
    points, others = points.double().cpu(), others.double().cpu()
    radii = torch.cdist(others, others).kthvalue(k + 1).values          # the nearest of all is the feature itself
    return (torch.cdist(points, others) <= radii).any(dim=1)


def precision_recall(drawn: Tensor, true: Tensor, k: int = 3) -> tuple[float, float]:
    """The share of drawn features (N, D) among the true ones (M, D), and of true ones among the drawn.

    Precision falls when pictures look wrong, recall when kinds of pictures are missing.
    """
    return float(inside(drawn, true, k).double().mean()), float(inside(true, drawn, k).double().mean())


# -- photographs ---------------------------------------------------------------------------------------------


def inception() -> nn.Module:
    """The network behind the FID of the literature: uint8 (B, 3, S, S) -> (B, 2048). Its weights are fetched once.

    Raises ModuleNotFoundError that says what to install.
    """
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance

        return FrechetInceptionDistance(feature=2048, antialias=False).inception.eval()  # shrinks as the first FID did
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the Inception network needs torchmetrics and torch-fidelity: run `uv sync --extra photos`, or "
            "`pip install torchmetrics torch-fidelity`"
        ) from error


@torch.no_grad()
def inception_features(images: Tensor, network: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Pictures (B, 3, S, S) in -1 to 1 -> (B, 2048): the `frechet_distance` of two such sets is their FID.

    network: what `inception()` returned, so that it is loaded once for many batches.
    """
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte()
    return (network or inception())(pixels)


def clip_scores(z_i: Tensor, z_t: Tensor) -> Tensor:
    """How well each picture fits its caption, (B,), 0 to 100: the cosine of z_i (B, D) and z_t (B, D) in percent.

    Hessel et al. 2021, in the scale that most papers report. Scores of different CLIPs do not compare.
    """
    return 100 * torch.cosine_similarity(z_i.float(), z_t.float(), dim=-1).clamp(min=0)
