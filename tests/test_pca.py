"""PCA against the singular value decomposition and cases with known answers."""

import pytest
import torch
from helpers import normal
from hypothesis import given
from hypothesis import strategies as st

from minunclip.embeddings import PCA


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    """200 embeddings of 6 dimensions, correlated, and far from zero."""
    return normal(200, 6) * torch.tensor([5.0, 3, 2, 1, 0.5, 0.1]) @ normal(6, 6, seed=2) + 7


def test_equals_the_singular_value_decomposition(z):
    pca = PCA.fit(z)
    _, s, vh = torch.linalg.svd((z - z.mean(dim=0)).double(), full_matrices=False)
    torch.testing.assert_close(pca.mean, z.mean(dim=0))
    torch.testing.assert_close(pca.variances, (s**2 / 199).float(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close((pca.basis @ vh.float().T).abs(), torch.eye(6), rtol=0, atol=1e-4)  # up to signs


def test_components_have_no_correlation_and_their_own_variances(z):
    pca = PCA.fit(z)
    spread = pca.project(z).T.cov()
    torch.testing.assert_close(spread, pca.variances.diag(), rtol=1e-3, atol=1e-3)
    assert (pca.variances.diff() <= 0).all()


def test_a_known_ellipse():
    """Points at +-3 along (4, 3) / 5 and +-1 across it, around (10, 20)."""
    along, across, centre = torch.tensor([0.8, 0.6]), torch.tensor([-0.6, 0.8]), torch.tensor([10.0, 20.0])
    pca = PCA.fit(torch.stack([centre + 3 * along, centre - 3 * along, centre + across, centre - across]))
    torch.testing.assert_close(pca.mean, centre)
    torch.testing.assert_close(pca.variances, torch.tensor([18 / 3, 2 / 3]))
    torch.testing.assert_close(pca.basis, torch.stack([along, across]))  # the largest entry of each row is positive
    torch.testing.assert_close(pca.project((centre + 2 * across)[None]), torch.tensor([[0.0, 2.0]]), rtol=0, atol=1e-5)


def test_what_is_left_out_is_the_variance_left_out(z):
    """The mean squared error of n components is the sum of the other variances: no other basis does better."""
    pca = PCA.fit(z)
    for n in (1, 3, 5):
        error = (pca.back(pca.project(z)[:, :n]) - z).square().sum(dim=1).mean()
        assert error.item() == pytest.approx(pca.variances[n:].sum().item() * 199 / 200, rel=1e-3)


def round_trip(pca: PCA, z: torch.Tensor) -> None:
    torch.testing.assert_close(pca.back(pca.project(z)), z, rtol=1e-4, atol=1e-4)


def test_all_components_give_everything_back(z, monkeypatch):
    pca = PCA.fit(z)
    round_trip(pca, z)
    round_trip(pca, normal(10, 6, seed=3))  # and of embeddings that were not there
    monkeypatch.setattr(PCA, "back", lambda pca, x: x @ pca.basis)  # the mean is forgotten
    with pytest.raises(AssertionError):
        round_trip(pca, z)


def test_autocast_does_not_reach_it(z):
    pca = PCA.fit(z)
    with torch.autocast("cpu", torch.bfloat16):
        x = pca.project(z)
        back, careless = pca.back(x), (z - pca.mean) @ pca.basis.T
    torch.testing.assert_close(x, pca.project(z), rtol=0, atol=0)
    torch.testing.assert_close(back, pca.back(x), rtol=0, atol=0)
    assert (careless - x).abs().max() > 1e-2


def test_components_for_a_share():
    pca = PCA(torch.zeros(5), torch.eye(5), torch.tensor([8.0, 4, 2, 1, 1]))
    shares = {0.01: 1, 0.5: 1, 0.51: 2, 0.75: 2, 0.8: 3, 0.9: 4, 0.99: 5, 1: 5}
    assert {share: pca.components_for(share) for share in shares} == shares


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(0.01, 0.999))
def test_it_is_the_smallest_number_that_holds_the_share(variances, share):
    v = torch.tensor(sorted(variances, reverse=True))
    n = PCA(v, v, v).components_for(share)
    held = v.double().cumsum(dim=0) / v.double().sum()
    assert held[n - 1] >= share - 1e-9 and (n == 1 or held[n - 2] < share + 1e-9)


@pytest.mark.parametrize("z", [torch.zeros(1, 3), torch.zeros(3), torch.tensor([[1.0, 2], [float("nan"), 1]])])
def test_what_has_no_components_is_refused(z):
    with pytest.raises(ValueError, match="two or more rows"):
        PCA.fit(z)


@pytest.mark.parametrize("share", [0, -1, 1.01])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(ValueError, match="share of the variance"):
        PCA.fit(normal(5, 2)).components_for(share)
