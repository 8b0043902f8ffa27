"""What the test files of the diffusion share: a config, and random values."""

import torch

from minunclip.diffusion import DiffusionConfig

LEARNED = DiffusionConfig(learned_variance=True)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
