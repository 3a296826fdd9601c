"""Connectivity helpers: degrees, seeds, normalisation, statistics; dense equals sparse."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse
import scipy.stats

from recurra.errors import RecurraError
from recurra.network import (
    block,
    circular_connectivity,
    distance_dependent,
    input_connections,
    line_connectivity,
    low_rank,
    normalize,
    random_connectivity,
    small_world,
    wta_score,
)

NEAR = scipy.stats.rv_discrete(values=(np.arange(1, 11), np.linspace(1, 0.1, 10) / np.linspace(1, 0.1, 10).sum()))
MAKERS = {
    "random": lambda **o: random_connectivity(40, 60, 0.2, **o),
    "random, not normalised": lambda **o: random_connectivity(40, 60, 0.2, normalize=False, **o),
    "circular": lambda **o: circular_connectivity(50, 0.1, NEAR, **o),
    "circular, weighted": lambda **o: circular_connectivity(50, 0.1, NEAR, homogeneous_weights=False, **o),
    "line": lambda **o: line_connectivity(50, 0.1, NEAR, **o),
    "input": lambda **o: input_connections(50, 4, 0.4, **o),
    "small world": lambda **o: small_world(40, 6, 0.3, **o),
    "distance": lambda **o: distance_dependent(np.linspace(0, 10, 40), 2.0, **o),
    "low rank": lambda **o: low_rank(20, 3, g=0.5, **o),
    "block": lambda **o: block([10, 20], [[0.5, 0.1], [0.2, 0.3]], [[1.0, -2.0], [1.0, -2.0]], **o),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_seed_and_sparse(make):
    dense, again, other = make(), make(seed=0), make(seed=1)
    assert np.array_equal(dense, again)
    assert not np.array_equal(dense, other)
    sparse = make(sparse=True)
    assert scipy.sparse.issparse(sparse)
    assert np.array_equal(sparse.toarray(), dense)
    assert sparse.nnz == np.count_nonzero(dense)
    assert dense.dtype == float


@pytest.mark.parametrize(("n", "m", "p", "degree"), [(30, 50, 0.1, 5), (5, 7, 0.5, 4), (4, 4, 1.0, 4), (4, 4, 0.0, 0)])
def test_random_has_an_exact_in_degree(n, m, p, degree):
    W = random_connectivity(n, m, p)
    assert W.shape == (n, m)
    assert np.array_equal((W != 0).sum(axis=1), np.full(n, degree))
    assert np.allclose(W.sum(axis=1), 1.0 if degree else 0.0, atol=1e-15)
    assert set(np.unique(random_connectivity(n, m, p, normalize=False))) <= {0.0, 1.0}


def test_random_draws_every_source_alike():
    counts = (random_connectivity(2000, 50, 0.2) != 0).sum(axis=0)
    # Each source is binomial (2000, 0.2): mean 400, standard deviation 17.9.
    assert abs(counts.mean() - 400) < 1e-12
    assert np.abs(counts - 400).max() < 5 * 17.9


def ring(n):
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return np.minimum(apart, n - apart)


@pytest.mark.parametrize("homogeneous", [True, False])
def test_circular_reaches_as_far_as_the_distribution(homogeneous):
    W = circular_connectivity(60, 0.1, NEAR, homogeneous)
    assert np.array_equal((W != 0).sum(axis=1), np.full(60, 6))
    assert ring(60)[W != 0].max() <= 10
    assert ring(60)[W != 0].min() >= 1
    assert np.allclose(W.sum(axis=1), 1.0, atol=1e-14)
    row = W[0][W[0] != 0]
    chances = NEAR.pmf(ring(60)[0][W[0] != 0])
    assert np.allclose(row, np.full(6, 1 / 6) if homogeneous else chances / chances.sum(), atol=1e-15)


def test_circular_prefers_the_near():
    W = circular_connectivity(400, 0.01, NEAR) != 0
    found = np.bincount(ring(400)[W], minlength=11)[1:11] / W.sum()
    assert np.all(np.diff(found) < 0.03)
    assert found[0] > 2 * found[9]


def test_line_does_not_close():
    W = line_connectivity(50, 0.1, lambda d: (d < 6) * 1.0)
    rows, columns = np.nonzero(W)
    assert np.abs(rows - columns).max() <= 5
    assert W[0, -6:].sum() == 0


def test_input_connections_have_mean_zero_and_the_variance():
    W = input_connections(4000, 3, 0.5, variance=4.0)
    assert np.array_equal((W != 0).sum(axis=0), [2000] * 3)
    assert np.abs(W.sum(axis=0)).max() < 1e-9
    assert abs(W[W != 0].var() / 4.0 - 1) < 0.1
    assert abs(input_connections(4000, 3, 0.5, zero_mean=False).sum()) > 1e-6


def test_small_world_limits():
    regular = small_world(30, 4, 0.0, weight=0.5)
    assert np.array_equal(regular, 0.5 * ((ring(30) > 0) & (ring(30) <= 2)))
    for beta in (0.1, 1.0):
        W = small_world(200, 10, beta)
        assert np.array_equal((W != 0).sum(axis=1), np.full(200, 10))
        assert np.all(np.diag(W) == 0)
        far = np.mean(ring(200)[W != 0] > 5)
        # A redrawn source is any of the 199 others, of which 10 are neighbours.
        assert abs(far - beta * 0.95) < 0.05


def test_distance_dependent_follows_its_kernel():
    x = np.arange(0, 300.0)
    for kernel, function in (("exponential", lambda d: np.exp(-d)), ("gaussian", lambda d: np.exp(-0.5 * d**2))):
        W = np.mean([distance_dependent(x, 8.0, 0.8, kernel=kernel, seed=s) for s in range(4)], axis=0)
        for distance in (1, 4, 10):
            found = np.diagonal(W, distance).mean()
            assert abs(found - 0.8 * function(distance / 8.0)) < 0.06
        assert np.all(np.diag(W) == 0)


def test_distance_dependent_in_two_axes_and_on_a_torus():
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2)
    W = distance_dependent(grid, 1e-6, sources=grid)
    assert np.array_equal(W, np.eye(36))
    first = distance_dependent([0.0, 9.0], 1e-3, period=10.0, kernel="gaussian")
    assert first.sum() == 0
    assert distance_dependent([0.0, 9.9], 1e3, period=10.0).shape == (2, 2)
    W = np.mean([distance_dependent([0.0, 9.0], 1.0, period=10.0, seed=s)[0, 1] for s in range(400)])
    assert abs(W - np.exp(-1.0)) < 0.1


def test_low_rank():
    W = low_rank(300, 2, strength=3.0)
    assert np.linalg.matrix_rank(W) == 2
    assert np.linalg.matrix_rank(low_rank(50, 2, g=1.0)) == 50
    # The one eigenvalue of a rank-one matrix that is not 0 is its trace, on average strength * overlap.
    assert abs(np.trace(low_rank(3000, 1, strength=2.0, overlap=0.7)) - 1.4) < 0.15


def test_block_has_exact_degrees_and_weights():
    W = block([10, 20], [[0.5, 0.1], [0.2, 0.3]], [[1.0, -2.0], [3.0, -4.0]])
    blocks = {(0, 0): (W[:10, :10], 5, 1.0), (0, 1): (W[:10, 10:], 2, -2.0), (1, 0): (W[10:, :10], 2, 3.0),
              (1, 1): (W[10:, 10:], 6, -4.0)}  # fmt: skip
    for part, degree, weight in blocks.values():
        assert np.array_equal((part != 0).sum(axis=1), np.full(len(part), degree))
        assert set(np.unique(part)) == {0.0, weight}


def test_normalize():
    x = np.random.default_rng(0).standard_normal((4, 6)) + 3
    for row_wise in (False, True):
        axis = 1 if row_wise else None
        low = normalize(x, "minmax", row_wise)
        assert np.allclose(low.min(axis=axis), 0) and np.allclose(low.max(axis=axis), 1)
        z = normalize(x, "zscore", row_wise)
        assert np.allclose(z.mean(axis=axis), 0) and np.allclose(z.std(axis=axis), 1)
        assert np.allclose(normalize(x, "sum", row_wise).sum(axis=axis), 1)
    constant = np.full((2, 3), 0.1)
    assert np.array_equal(normalize(constant, "minmax"), np.zeros((2, 3)))
    assert np.array_equal(normalize(constant, "zscore", True), np.zeros((2, 3)))
    assert np.array_equal(normalize([1.0, -1.0], "sum"), [1.0, -1.0])


def test_wta_score():
    x = np.random.default_rng(0).standard_normal((50, 4))
    assert wta_score(x, x) == 1.0
    assert wta_score(x, -x) == 0.0
    assert wta_score([[1, 0], [0, 1], [1, 0], [1, 0]], [[1, 0], [1, 0], [1, 0], [0, 1]]) == 0.5


ERRORS = {
    "fraction": (lambda: random_connectivity(3, 3, 1.5), "p must be a number between 0 and 1, got 1.5"),
    "count": (lambda: random_connectivity(0, 3, 0.5), "n must be a whole number >= 1, got 0"),
    "seed": (lambda: random_connectivity(3, 3, 0.5, seed=1.5), "seed must be a whole number >= 0, got 1.5"),
    "too narrow": (
        lambda: circular_connectivity(10, 0.5, lambda d: (d == 1) * 1.0),
        "spatial_distribution reaches 2 sources of unit 0, but p=0.5 asks for 5: make it wider, or p smaller",
    ),
    "distribution": (lambda: line_connectivity(5, 0.2, 3), "expected an object with pmf, or a function, got 3"),
    "negative": (lambda: line_connectivity(5, 0.2, lambda d: -1.0 * d), "must give a finite number >= 0 for every"),
    "variance": (lambda: input_connections(5, 2, 0.5, variance=-1.0), "variance must be a finite number >= 0, got -1."),
    "odd": (lambda: small_world(10, 3, 0.1), "k must be even and less than n=10, got 3"),
    "kernel": (lambda: distance_dependent([0.0], 1.0, kernel="gauss"), "unknown kernel 'gauss'. Did you mean 'gaussia"),
    "length": (lambda: distance_dependent([0.0], 0.0), "length must be a number > 0, got 0.0"),
    "positions": (lambda: distance_dependent([np.nan], 1.0), "positions: expected finite numbers of shape (units,)"),
    "axes": (lambda: distance_dependent([0.0], 1.0, sources=[[0.0, 1.0]]), "positions have 1 axes, sources 2"),
    "rank": (lambda: low_rank(3, 4), "rank must be at most n=3, got 4"),
    "overlap": (lambda: low_rank(3, 1, overlap=2), "overlap must be between -1 and 1, got 2"),
    "blocks": (lambda: block([3, 3], [0.1, 0.2]), "p has shape (2,), expected a number or (2, 2)"),
    "mode": (lambda: normalize([1.0], "max"), "unknown mode 'max'"),
    "shapes": (lambda: wta_score([[1.0]], [[1.0, 2.0]]), "expected two arrays (time, unit), got shapes (1, 1) and (1,"),
}


@pytest.mark.parametrize(("action", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(action, message):
    with pytest.raises(RecurraError, match=re.escape(message)):
        action()
