"""Distances between sets of features, against closed forms and the plain definitions."""

import pytest
import torch
from helpers import normal
from hypothesis import given
from hypothesis import strategies as st

from minunclip.evaluation import frechet_distance, inside


def features(n: int, width: int, seed: int) -> torch.Tensor:
    """Correlated features with a mean."""
    return (normal(n, width, seed=seed) @ normal(width, width, seed=seed + 50) + normal(width, seed=seed + 90)).double()


def square_root(matrix: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


# -- Frechet distance ----------------------------------------------------------------------------------------


def test_identical_sets_are_at_distance_zero():
    x = features(50, 6, seed=1)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x[torch.randperm(50, generator=torch.Generator().manual_seed(0))]) < 1e-9


def test_a_shift_costs_its_square():
    x = features(50, 6, seed=1)
    shift = torch.tensor([3.0, 0, 0, -4, 0, 0])
    assert frechet_distance(x, x + shift) == pytest.approx(25)


def test_a_stretch_costs_the_change_of_the_standard_deviations():
    """Along each axis |mean - mean'|^2 + (std - std')^2, if the axes are uncorrelated."""
    x = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # variance 4 / 3 along each
    assert frechet_distance(x, x * torch.tensor([2.0, 5])) == pytest.approx(4 / 3 * (1 + 16))


@pytest.mark.parametrize(("n", "m"), [(40, 70), (5, 7)])  # more, and fewer, pictures than features
def test_the_closed_form_of_two_gaussians(n, m):
    x, y = features(n, 9, seed=2), features(m, 9, seed=3)
    root = square_root(x.T.cov())
    trace = (x.T.cov() + y.T.cov() - 2 * square_root(root @ y.T.cov() @ root)).trace()
    expected = float((x.mean(0) - y.mean(0)).square().sum() + trace)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-5)


def test_large_sets_of_one_gaussian_are_near_small_ones_are_not():
    near, far = (frechet_distance(normal(n, 8, seed=4), normal(n, 8, seed=5)) for n in (4000, 20))
    assert near < 0.02 < 0.5 < far


@given(st.integers(0, 1000), st.floats(0.1, 5))
def test_turned_and_scaled_features(seed, scale):
    """Turning both sets changes nothing; scaling both by s changes the distance by s squared."""
    x, y = features(12, 4, seed), features(15, 4, seed + 7)
    turn = torch.linalg.qr(normal(4, 4, seed=seed).double()).Q
    before = frechet_distance(x, y)
    assert frechet_distance(scale * x @ turn, scale * y @ turn) == pytest.approx(scale**2 * before, rel=1e-6)
    assert before >= -1e-9


@pytest.mark.parametrize(("x", "y"), [((1, 4), (5, 4)), ((5, 4), (5, 3))])
def test_features_that_cannot_be_compared(x, y):
    with pytest.raises(ValueError, match="two or more rows of the same width"):
        frechet_distance(normal(*x), normal(*y))


# -- precision and recall ------------------------------------------------------------------------------------


def test_inside_is_its_definition():
    points, others = normal(30, 3, seed=6), 0.7 * normal(20, 3, seed=7)
    for k in (1, 3):
        expected = []
        for p in points:
            balls = [sorted(float((a - b).norm()) for b in others)[k] for a in others]
            expected.append(any(float((p - a).norm()) <= radius for a, radius in zip(others, balls, strict=True)))
        assert inside(points, others, k).tolist() == expected and len(set(expected)) == 2


def share_inside(points: torch.Tensor, others: torch.Tensor) -> float:
    """Precision if the points are drawn and the others true, recall the other way round."""
    return inside(points, others).double().mean().item()


def test_separate_sets_have_neither_and_equal_sets_have_both():
    x = normal(40, 5, seed=8)
    assert not inside(x, x + 100).any() and not inside(x + 100, x).any()
    assert inside(x, x).all()


def test_a_missing_half_costs_recall_alone():
    true = torch.cat([normal(200, 2, seed=9) - 20, normal(200, 2, seed=10) + 20])
    drawn = normal(200, 2, seed=11) - 20
    assert share_inside(drawn, true) > 0.9 and 0.4 < share_inside(true, drawn) <= 0.5


def test_false_pictures_cost_precision_alone():
    true, false = normal(200, 2, seed=12), normal(100, 2, seed=13) + 50
    drawn = torch.cat([true, false])
    assert share_inside(drawn, true) == pytest.approx(2 / 3) and share_inside(true, drawn) == 1


@given(st.integers(0, 500))
def test_more_neighbours_let_no_point_out(seed):
    points, others = normal(15, 3, seed=seed), normal(10, 3, seed=seed + 1)
    one, three = inside(points, others, 1), inside(points, others, 3)
    assert (one <= three).all()


def test_too_few_features_for_a_neighbour():
    with pytest.raises(ValueError, match="3 features have no 3-th neighbour"):
        inside(normal(5, 2), normal(3, 2))
