"""Muon, an optimiser for the matrices inside a network (Jordan et al. 2024).

Adam scales every number of a step by itself. Muon scales the step as a matrix: it is turned into the nearest orthogonal
one, so that rare directions of a layer's input are learned as fast as frequent ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# x -> a x + b x^3 + c x^5, again and again, drives every singular value of a matrix from (0, 1] to about 1.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal: for weights of two dimensions or more, of which a convolution's are (out, the rest).

    `torch.optim.Muon` computes in bfloat16, which most CPUs only imitate, and takes no convolutions. This one keeps the
    weights' own precision.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.02, *, momentum: float = 0.95, weight_decay: float = 0.01
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - momentum)
                ahead = p.grad.lerp(mean, momentum).flatten(1)          # Nesterov: (out, in)
                size = max(1, ahead.shape[0] / ahead.shape[1]) ** 0.5
                p.mul_(1 - lr * group["weight_decay"])
                p.sub_(lr * size * orthogonal(ahead).reshape(p.shape))


def orthogonal(x: Tensor, steps: int = 5) -> Tensor:
    """x (m, n) with all its singular values brought to about 1 (0.7 to 1.2), by Newton-Schulz iteration.

    Each step multiplies x from the left by a polynomial of x x^T. So we follow x x^T (m, m) and the product of those
    polynomials, and touch x itself, which is far wider, only twice.
    """
    if x.shape[0] > x.shape[1]:
        return orthogonal(x.T, steps).T
    x = x / (x.norm() + 1e-7)                                           # no singular value is above 1 now
    square, product = x @ x.T, torch.eye(len(x), dtype=x.dtype, device=x.device)                        # (m, m)
    for _ in range(steps):
        step = A * torch.eye(len(x), dtype=x.dtype, device=x.device) + B * square + C * square @ square
        square, product = step @ square @ step, step @ product          # all of these commute
    return product @ x


def inner_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights between hidden layers: what stands in `stem`, `body`, `blocks`, `down`, `middle` and `up`.

    Not those that read the time embedding, which are as wide as they are high: Muon would spend half its time on them.
    """
    inside = ("stem.", "body.", "blocks.", "down.", "middle.", "up.")
    return [p for name, p in model.named_parameters()
            if p.dim() > 1 and any(part in name for part in inside) and ".time." not in name]
