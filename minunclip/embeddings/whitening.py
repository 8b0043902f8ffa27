"""Whitening: every axis of the embeddings brought to about the same size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def centre_and_spread(x: Tensor, noise: float = 0.001) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each axis, (D,) each, of samples (N, D).

    An axis that varies less than `noise`, as a share of the typical length of x, holds nothing that matters: what is
    added to the variances keeps whitening from making it as loud as the others. For z_i it is the noise with which
    CLIP was trained (`CLIPConfig.noise`).
    """
    return x.mean(dim=0), (x.var(dim=0) + (noise * typical_length(x)) ** 2).sqrt()


def typical_length(x: Tensor) -> Tensor:
    """The root mean square of the lengths of x (N, D): a number."""
    return x.square().sum(dim=1).mean().sqrt()


@dataclass(frozen=True)
class Whitening:
    """x -> (x - mean) / std, axis by axis; mean and std are (D,)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, x: Tensor, noise: float = 0.001) -> Whitening:
        """What whitens these samples (N, D), see `centre_and_spread`."""
        return cls(*centre_and_spread(x, noise))

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x.device)) / self.std.to(x.device)

    def undo(self, white: Tensor) -> Tensor:
        return white * self.std.to(white.device) + self.mean.to(white.device)

    @torch.no_grad()
    def fold_into(self, linear: nn.Linear) -> None:
        """A layer that took whitened numbers takes them as they are from now on, and computes the same."""
        linear.weight.div_(self.std.to(linear.weight.device))
        linear.bias.sub_(linear.weight @ self.mean.to(linear.weight.device))


@dataclass(frozen=True)
class PCAWhitening:
    """x -> (x - mean) @ matrix: along the principal axes, wherever they point, and each brought to about unit size.

    mean (D,), matrix (D, D). For embeddings whose own axes are not their principal ones, as those of single tokens.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def of(cls, x: Tensor, noise: float = 0.001) -> PCAWhitening:
        """What whitens these samples (N, D), see `centre_and_spread`."""
        axes = torch.linalg.eigh(x.T.cov()).eigenvectors                                # (D, D), in columns
        return cls(x.mean(dim=0), axes / centre_and_spread(x @ axes, noise)[1])

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x.device)) @ self.matrix.to(x.device)

    @torch.no_grad()
    def fold_into(self, linear: nn.Linear) -> None:
        """A layer that took whitened numbers takes them as they are from now on, and computes the same."""
        linear.weight.copy_(linear.weight @ self.matrix.T.to(linear.weight.device))
        linear.bias.sub_(linear.weight @ self.mean.to(linear.weight.device))
