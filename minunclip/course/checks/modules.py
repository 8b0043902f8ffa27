"""The modules that a learner builds: with the same weights each must compute what ours does, and may then replace it.

A class has the layers of ours, under the same names, by inheritance or by its own `__init__`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...ar_prior import pick
from ...diffusion import DiffusionConfig
from ...networks import Attention, ResBlock, UNet, UNetConfig, causal_mask
from ...upsampler import Upsampler, UpsamplerConfig
from .core import CHECKS, Cases, Check, exercise, normal


@dataclass(frozen=True)
class ModuleCheck(Check):
    """An exercise whose answer is a class. A case is (what it is built with, what it is called with)."""

    @property
    def parameters(self) -> list[str]:
        return ["built with", "called with"]

    def takes(self, function) -> bool:
        return isinstance(function, type) and issubclass(function, nn.Module)

    def call(self, function: type[nn.Module], arguments: tuple, inputs: tuple):
        """The answer of a module of this class with our weights."""
        with torch.no_grad():
            return self.built(function, arguments)(*inputs)

    def built(self, cls: type[nn.Module], arguments: tuple) -> nn.Module:
        """A module of this class that has our layers' weights, random ones and none of them zero.

        Raises ValueError if it has other layers than ours.
        """
        ours, theirs = filled(self.reference(*arguments)).state_dict(), cls(*arguments)
        missing, extra = sorted(ours.keys() - theirs.state_dict()), sorted(theirs.state_dict().keys() - ours)
        if missing or extra:
            raise ValueError(f"its weights are not called as ours: {', '.join(missing) or 'none'} missing, "
                             f"{', '.join(extra) or 'none'} too many")  # fmt: skip
        theirs.load_state_dict(ours)
        return theirs.eval()

    def handed_on(self, function: Callable) -> Callable:
        return function.function                                            # the class itself


def module(cases: Cases, tolerance: float = 1e-4) -> Callable[[type], ModuleCheck]:
    """Turn the class below into the check of an exercise; the parameters are those of Check."""

    def checked(reference: type[nn.Module]) -> ModuleCheck:
        CHECKS[reference.__name__] = check = ModuleCheck(reference, cases, tolerance)
        return check

    return checked


def filled(module: nn.Module) -> nn.Module:
    """Give every weight, also those that start at zero or one, a random value that matters."""
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            scale = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.3
            parameter.copy_(scale * normal(*parameter.shape, seed=seed) + (parameter.dim() == 1))
    return module


# -- attention -----------------------------------------------------------------------------------------------


@module(lambda: [((8, 1), (normal(2, 5, 8),)), ((12, 3), (normal(2, 4, 12, seed=1),)),
                 ((12, 3), (normal(3, 6, 12, seed=2), causal_mask(6)))])  # fmt: skip
class MyAttention(Attention):
    """Multi-head self-attention: x (B, N, width) and a mask (N, N), True where row i may see column j -> as x."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask)[0]


# -- the U-Net -----------------------------------------------------------------------------------------------


def small(**changes) -> UNetConfig:
    return UNetConfig(**{"channels": 8, "mults": (1, 2), "blocks": 1, "attention": (), "context_width": None,
                         "groups": 4, "head_width": 8} | changes)  # fmt: skip


@module(lambda: [((small(), 8, 8), (normal(2, 8, 4, 6), normal(2, 32))),
                 ((small(), 8, 16), (normal(2, 8, 5, 5), normal(2, 32, seed=1))),
                 ((small(), 8, 8, "down"), (normal(2, 8, 4, 6), normal(2, 32, seed=2))),
                 ((small(), 8, 12, "up"), (normal(1, 8, 4, 4), normal(1, 32, seed=3)))])  # fmt: skip
class MyResBlock(ResBlock):
    """GroupNorm, SiLU and a convolution, twice, with FiLM in between, and a shortcut around it all."""


@module(lambda: [((small(),), (normal(2, 3, 8, 8), torch.tensor([0, 900]))),
                 ((small(mults=(1, 2, 3), blocks=2),), (normal(1, 3, 8, 12), torch.tensor([500]))),
                 ((small(attention=(1,), mults=(1, 2)),), (normal(2, 3, 8, 8), torch.tensor([3, 40])))])
class MyUNet(UNet):
    """Down, through the middle, and up with the states of the way down: `down_and_up` of the library's U-Net."""


# -- the upsampler -------------------------------------------------------------------------------------------


def upsampling(residual: float = 0.0) -> UpsamplerConfig:
    diffusion = DiffusionConfig(target="x0" if residual else "eps")
    return UpsamplerConfig(unet=small(in_channels=6), size=16, low_size=4, residual=residual, diffusion=diffusion)


@module(lambda: [((upsampling(),), (normal(2, 3, 16, 16), torch.tensor([0, 900]), normal(2, 3, 4, 4))),
                 ((upsampling(0.5),), (normal(1, 3, 16, 24), torch.tensor([500]), normal(1, 3, 4, 6))),
                 ((upsampling(0.1),), (normal(2, 3, 8, 8), torch.tensor([1, 2]), normal(2, 3, 2, 2)))])
class MyUpsampler(Upsampler):
    """The noisy picture and the enlarged small one go into a U-Net; its answer is added to the small one, scaled."""


# -- the autoregressive prior --------------------------------------------------------------------------------


class Follows:
    """Stands for a trained model: what follows depends on every token so far and on where it stands."""

    def __init__(self, buckets: int):
        self.table = 2 * normal(31, buckets, seed=buckets)

    def __call__(self, tokens: Tensor) -> Tensor:
        weights = torch.arange(1, tokens.shape[1] + 1)
        return self.table[(tokens * weights).sum(dim=1) % 31]               # (B, buckets)

    def __repr__(self) -> str:
        return f"a model of {self.table.shape[1]} buckets"


def uniform(*shape: int, seed: int) -> Tensor:
    return torch.special.ndtr(normal(*shape, seed=seed))


@exercise(lambda: [
    (Follows(4), torch.tensor([5]), torch.tensor([[0.1, 0.9, 0.5]]), 1.0),
    (Follows(7), torch.tensor([7, 9, 8]), uniform(3, 5, seed=1), 1.0),
    (Follows(7), torch.tensor([8, 7]), uniform(2, 6, seed=2), 0.0),
    (Follows(5), torch.tensor([6, 5]), uniform(2, 4, seed=3), 2.0),
], rules={
    "there is one token for each number of u": lambda ids, follows, dot, u, temperature: ids.shape == u.shape,
})  # fmt: skip
def write_sentence(follows, dot: Tensor, u: Tensor, temperature: float) -> Tensor:
    """c_1, ..., c_K (B, K), token after token: follows(tokens (B, n)) are the logits (B, buckets) of the next one, dot
    (B,) is the first token, and u (B, K) picks each, as in `pick_bucket`."""
    tokens = dot[:, None]
    for k in range(u.shape[1]):
        token = pick(follows(tokens), u[:, k : k + 1], temperature)         # (B, 1)
        tokens = torch.cat([tokens, token], dim=1)
    return tokens[:, 1:]


# -- gradients -----------------------------------------------------------------------------------------------


def weight_gradients(check: ModuleCheck, cls: type[nn.Module], arguments: tuple, inputs: tuple) -> list[Tensor]:
    """Of a sum over a module's answer, by the name of each weight; zeros where there is none."""
    with torch.enable_grad():
        module = check.built(cls, arguments).requires_grad_()
        if (total := (module(*inputs) ** 2).sum()).requires_grad:
            total.backward()
    named = sorted(module.named_parameters())
    return [torch.zeros_like(p) if p.grad is None else p.grad for _, p in named]


