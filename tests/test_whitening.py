"""Embeddings brought to unit size, and the layers that take the whitening in."""

import pytest
import torch
from helpers import normal
from torch import nn

from minunclip.embeddings import PCAWhitening, Whitening, centre_and_spread

KINDS = [Whitening, PCAWhitening]


def samples() -> torch.Tensor:
    """500 embeddings (500, 6) around (1, 2, ..., 6), as stretched as those of CLIP, and turned."""
    turn = torch.linalg.qr(normal(6, 6, seed=3)).Q
    return normal(500, 6, seed=4) * torch.tensor([3.0, 1.0, 0.5, 0.3, 0.2, 0.1]) @ turn + torch.arange(1.0, 7)


def test_the_spread_is_the_standard_deviation_except_for_the_smallest():
    x = normal(2000, 3) * torch.tensor([1.0, 0.5, 1e-6]) + 5
    length = x.square().sum(dim=1).mean().sqrt().item()                 # about 8.7
    mean, std = centre_and_spread(x, noise=0.002)
    torch.testing.assert_close(mean, x.mean(dim=0))
    torch.testing.assert_close(std[:2], x.std(dim=0)[:2], rtol=2e-3, atol=0)
    assert std[2].item() == pytest.approx(0.002 * length, rel=1e-3)     # noise stays small
    assert centre_and_spread(x, noise=0.2)[1][2].item() == pytest.approx(0.2 * length, rel=1e-3)
    assert centre_and_spread(10 * x, noise=0.2)[1][2].item() == pytest.approx(2 * length, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_whitened_samples_have_mean_zero_and_unit_spread(kind):
    white = kind.of(samples())(samples())
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(6), rtol=0, atol=1e-4)
    torch.testing.assert_close(white.std(dim=0), torch.ones(6), rtol=0, atol=1e-2)


def test_only_the_principal_axes_leave_nothing_in_common():
    apart = [(kind.of(samples())(samples()).T.cov() - torch.eye(6)).abs().max().item() for kind in KINDS]
    assert apart[0] > 0.1 and apart[1] < 0.01


def test_undo_is_the_way_back():
    white = Whitening.of(samples())
    torch.testing.assert_close(white.undo(white(samples())), samples())


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_with_the_whitening_in_it_computes_the_same(kind):
    white, layer = kind.of(samples()), nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight.copy_(normal(4, 6, seed=5))
    expected, before = layer(white(samples())), layer(samples())
    white.fold_into(layer)
    torch.testing.assert_close(layer(samples()), expected, rtol=1e-4, atol=1e-3)
    assert (before - expected).abs().max() > 1  # it had to change
