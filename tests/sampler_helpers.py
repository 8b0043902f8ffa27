"""What the test files of the samplers share: a network that mixes channels, and recorded noise."""

from itertools import islice

import torch

from minunclip.diffusion import generators, noise_stream

PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
SHAPE = (2, 3, 4, 4)


def recorded(n: int, shape=SHAPE, seed: int = 0) -> list[torch.Tensor]:
    return list(islice(noise_stream(shape, generators(seed, shape[0])), n))


def network(channels: int = 3, strength: float = 2.0):
    """A fixed function of x_t and t that mixes channels; strong enough for the clip range to matter."""
    weight = strength * torch.randn(channels, 3, generator=torch.Generator().manual_seed(7))

    def denoiser(x_t, t):
        phase = (t / 150).view(-1, 1, 1, 1)
        return torch.tanh(torch.einsum("dc,bchw->bdhw", weight, x_t) + phase.sin()) * strength

    return denoiser
