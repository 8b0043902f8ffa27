"""What the test files of the autoregressive prior share: a tiny one, and pairs that it was fitted to."""

import pytest
import torch
from helpers import normal, random_text, randomise

from minunclip.ar_prior import ARPrior, ARPriorConfig
from minunclip.diffusion import generators, noise_stream
from minunclip.networks import causal_mask
from minunclip.text import Text

TINY = ARPriorConfig(
    z_width=10, text_width=20, context=11, components=6, buckets=16, dot_buckets=8, width=32, layers=3, heads=2
)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
UNFITTED = ARPrior(TINY)  # 16 buckets from -1 to 1


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """400 z_i of 10 dimensions, correlated and far from zero, and z_t that fit them more or less."""
    z_i = 3 + normal(400, 10) * torch.linspace(3, 0.2, 10) @ normal(10, 10, seed=2)
    return z_i, z_i + 4 * normal(400, 10, seed=3)


@pytest.fixture
def prior(pairs) -> ARPrior:
    prior = randomise(ARPrior(TINY))
    prior.fit(*pairs)
    return prior


@pytest.fixture(scope="module")
def text() -> Text:
    return random_text([11, 6, 2], width=20, z_width=10)  # one caption fills the context, two are padded


def noise(n: int, seed: int = 0, tokens: int = 1 + TINY.components):
    return noise_stream((n, tokens), generators(seed, n))


def round_trip(prior: ARPrior, x: torch.Tensor) -> None:
    """No component of the training embeddings moves by more than half a bucket, and the rounding of the two ends."""
    half = (prior.high - prior.low) / (2 * prior.config.buckets)
    rounding = 2.0**-11 * torch.maximum(prior.low.abs(), prior.high.abs())  # of float16
    assert ((prior.dequantise(prior.quantise(x)) - x).abs() <= half + rounding + 1e-6).all()


@torch.no_grad()
def uncached(prior: ARPrior, tokens, text):
    """The whole sequence in one pass: the logits at dot, c_1, c_2, ..."""
    length, n = text.tokens.shape[1], tokens.shape[1]
    where = [*range(length), *range(TINY.context, TINY.context + 1 + n)]
    words = prior.bucket_in(tokens) * prior.scales_in[:, :n]
    x = torch.cat([prior.tokens_in(text.tokens), prior.embed_in(text.embed)[:, None], words], dim=1)
    seen = torch.cat([text.mask, torch.ones(len(x), 1 + n, dtype=torch.bool)], dim=1)
    x, _ = prior.transformer(x + prior.positions[:, where], causal_mask(len(where)) & seen[:, None, None])
    return prior.bucket_out(prior.norm_out(x[:, -n:]) * prior.scales_out[:, :n])
