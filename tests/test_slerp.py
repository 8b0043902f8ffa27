"""slerp: along a great circle and between two lengths, by closed forms."""

import math

import pytest
import torch
from helpers import normal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minunclip.embeddings import slerp


@settings(deadline=None)
@given(angle=st.floats(0.0, 3.1), theta=st.floats(0, 1), size=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)))
def test_slerp_in_a_plane_is_an_angle_and_a_length(angle, theta, size):

    def at(phi):
        return torch.tensor([[math.cos(phi), math.sin(phi), 0.0]]).double()

    found = slerp(size[0] * at(0.4), size[1] * at(0.4 + angle), theta)
    assert_close(found, ((1 - theta) * size[0] + theta * size[1]) * at(0.4 + theta * angle), rtol=1e-6, atol=1e-6)


def test_slerp_starts_at_one_and_ends_at_the_other_whatever_the_shape():
    for shape in ((4, 12), (4, 3, 8, 8)):
        a, b = normal(*shape, seed=1), 3 * normal(*shape, seed=2)
        assert_close(slerp(a, b, 0), a, rtol=1e-5, atol=1e-5)
        assert_close(slerp(a, b, 1.0), b, rtol=1e-5, atol=1e-5)
        assert_close(slerp(a, a, 0.3), a, rtol=1e-5, atol=1e-5)


def test_slerp_takes_a_theta_for_each_row():
    a, b, theta = normal(3, 12, seed=1), normal(3, 12, seed=2), torch.tensor([0.0, 0.2, 0.7])
    rows = torch.cat([slerp(a[i : i + 1], b[i : i + 1], theta[i].item()) for i in range(3)])
    assert_close(slerp(a, b, theta), rows)


def test_one_row_goes_with_many():
    a, b, theta = normal(1, 12, seed=1), normal(3, 12, seed=2), torch.tensor([0.0, 0.2, 0.7])
    assert_close(slerp(a, b, theta), slerp(a.expand(3, -1), b, theta))
    assert_close(slerp(b, a, 0.4), slerp(b, a.expand(3, -1), 0.4))
    with pytest.raises(ValueError, match="a batch of 2 does not go with one of 3"):
        slerp(normal(2, 12), b, 0.5)


def test_slerp_keeps_noise_the_size_of_noise():
    """A straight line would not: halfway its length is 0.7 of the ends', which no x_T ever has."""
    a, b = normal(2, 3, 32, 32, seed=1), normal(2, 3, 32, 32, seed=2)
    assert_close(slerp(a, b, 0.5).std(), torch.tensor(1.0), rtol=0, atol=0.03)
    assert ((a + b) / 2).std() < 0.75
