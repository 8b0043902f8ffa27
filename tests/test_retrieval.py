"""Finding a picture by its caption, and the kernel distance."""


import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from minunclip.evaluation import Share, found, kernel_distance


def features(seed: int, count: int, width: int = 5) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_every_key_finds_itself_and_equal_keys_find_nothing():
    z = features(0, 40)
    assert found(z, z, 20) == Share(40, 40) and found(z, 7 * z, 1000) == Share(40, 40)
    assert found(z, torch.ones(40, 5), 20) == Share(0, 40)


@given(seed=st.integers(0, 10_000), count=st.integers(4, 60), among=st.integers(2, 70), top=st.integers(1, 3))
def test_found_counts_what_a_loop_counts(seed, count, among, top):
    queries, keys = features(seed, count), features(seed + 1, count)
    size, hits, total = min(among, count), 0, 0
    for start in range(0, count - size + 1, size):
        group = range(start, start + size)
        for i in group:
            similar = [float(torch.cosine_similarity(queries[i], keys[j], dim=0)) for j in group]
            hits += sorted(similar, reverse=True).index(similar[i - start]) < top
            total += 1
    assert found(queries, keys, among, top) == Share(hits, total)


def test_random_vectors_are_found_as_often_as_by_chance():
    share = found(features(1, 4000, 16), features(2, 4000, 16), 20)
    assert share.interval[0] < 0.05 < share.interval[1]


@pytest.mark.parametrize(("queries", "keys", "among"), [(5, 4, 3), (1, 1, 5), (5, 5, 1)])
def test_what_cannot_be_compared_is_refused(queries, keys, among):
    with pytest.raises(ValueError, match=f"found: {queries} queries, {keys} keys, among {among}: give as many"):
        found(features(0, queries), features(1, keys), among)


def test_the_kernel_distance_is_the_mean_over_pairs():
    x, y = features(3, 6), features(4, 9) + 0.5

    def k(a: Tensor, b: Tensor) -> float:
        return float((a.double() @ b.double() / 5 + 1) ** 3)

    within_x = [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    within_y = [k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    across = [k(a, b) for a in x for b in y]
    expected = sum(within_x) / 30 + sum(within_y) / 72 - 2 * sum(across) / 54
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_the_kernel_distance_of_two_halves_of_a_set_is_zero_on_average_whatever_their_size():
    for size in (10, 100):
        drawn = [kernel_distance(features(2 * n, size), features(2 * n + 1, size)) for n in range(300)]
        mean, error = torch.tensor(drawn).mean(), torch.tensor(drawn).std() / 300**0.5
        assert abs(mean) < 4 * error and min(drawn) < 0 < max(drawn)
    assert kernel_distance(features(0, 100), features(1, 100) + 1) > 1


@pytest.mark.parametrize("shapes", [((1, 5), (9, 5)), ((9, 5), (9, 4))])
def test_features_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="kernel_distance: features .* give two or more rows"):
        kernel_distance(*(torch.zeros(shape) for shape in shapes))
