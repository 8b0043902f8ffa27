"""Principal component analysis: which directions an embedding uses, and how much (unCLIP sections 2.2 and 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PCA:
    """The directions in which embeddings vary most, in falling order.

    mean (D,); basis (K, D), orthonormal rows; variances (K,), of the data along each row.
    """

    mean: Tensor
    basis: Tensor
    variances: Tensor

    @classmethod
    def fit(cls, z: Tensor) -> PCA:
        """All D components of z (N, D). Raises ValueError for fewer than two rows, or for infinite numbers."""
        if z.dim() != 2 or len(z) < 2 or not z.isfinite().all():
            raise ValueError(f"PCA wants two or more rows (N, D) of finite numbers, and got {tuple(z.shape)}")
        z = z.detach().cpu().double()
        mean = z.mean(dim=0)
        variances, columns = torch.linalg.eigh((z - mean).T @ (z - mean) / (len(z) - 1))
        basis = columns.T.flip(0)                                       # eigh has the smallest first
        largest = basis.gather(1, basis.abs().argmax(dim=1, keepdim=True))
        basis = basis * largest.sign()                                  # an eigenvector's sign is free: settle it
        return cls(mean.float(), basis.float(), variances.flip(0).clamp(min=0).float())

    def project(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, K): how far each embedding lies from the mean, along each direction."""
        with torch.autocast(z.device.type, enabled=False):              # bf16 would land in other buckets
            return (z.float() - self.mean.float()) @ self.basis.float().T

    def back(self, x: Tensor) -> Tensor:
        """The first n components (B, n), n <= K -> embeddings (B, D), with the other components at their mean."""
        with torch.autocast(x.device.type, enabled=False):
            return self.mean.float() + x.float() @ self.basis[: x.shape[1]].float()

    def components_for(self, share: float) -> int:
        """How many components hold this share of the variance of all of them; 0.99 in the paper."""
        if not 0 < share <= 1:
            raise ValueError(f"the share of the variance is {share}: choose one above 0, up to 1")
        held = self.variances.cpu().double().cumsum(dim=0)          # in this order: MPS has no float64
        return min(int((held < share * held[-1]).sum()) + 1, len(held))
