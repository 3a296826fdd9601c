"""Constraints: exact before, at every update, and after."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import OptionError, ShapeError
from recurra.training import Bounds, Compose, Dale, Fixed, LowRank, Mask, Shared, fit_bptt
from training_nets import rate_net

N, DT = 6, 0.1
RNG = np.random.default_rng(0)
SIGNS = np.array([1, 1, 1, 1, -1, -1])
PRESENT = RNG.random((N, N)) < 0.6
DRIVE = {"p/op/I": RNG.standard_normal((4, 20, N))}
GOAL = RNG.standard_normal((4, 20, N))


class Watch:
    """An optimiser that hands every free value it is shown to a list, and jumps about wildly."""

    def __init__(self, lr=0.5):
        self.inner, self.seen = optax.sgd(lr), []

    def init(self, params):
        return self.inner.init(params)

    def update(self, updates, state, params=None):
        jax.debug.callback(lambda p: self.seen.append(p), params)
        return self.inner.update(updates, state, params)


def weights():
    return np.random.default_rng(1).standard_normal((N, N))


def train(constraint, start=None, path="w/weight", **options):
    """Return the value before, at each update, and after."""
    program = rate_net(N)
    if start is not None:
        program = program.update({path: start})
    watch = Watch()
    options = {"output": "p/op/r", "dt": DT, "epochs": 15, "optimizer": watch, "precision": "float32"} | options
    found = fit_bptt(program, DRIVE, 10 * GOAL, train={path: constraint}, **options)
    jax.effects_barrier()
    origin = np.asarray(program.get(path))
    on_the_way = [
        np.asarray(p[path] if constraint is None else constraint.value(p[path], jnp.asarray(origin, "float32")))
        for p in watch.seen
    ]
    assert len(on_the_way) == 15
    assert np.max(np.abs(on_the_way[-1] - on_the_way[0])) > 0.01, "nothing was learned, so nothing was tested"
    assert np.array_equal(found.program.get(path), found.params[path])
    return origin, on_the_way, found.params[path]


def test_dale_keeps_every_sign():
    dale = Dale(SIGNS)
    start = dale.project(weights())
    before, during, after = train(dale, start)
    for value in (before, *during, after):
        assert np.all(value * SIGNS >= 0)
        assert not np.any(np.signbit(value[value == 0]))
    silent = before == 0
    # The derivative of relu at 0 is 0: a synapse that is not there does not grow.
    assert silent.any() and all(np.all(value[silent] == 0) for value in (*during, after))


def test_mask_keeps_zeros():
    mask = Mask(PRESENT)
    before, during, after = train(mask, mask.project(weights()))
    for value in (before, *during, after):
        assert np.all(value[~PRESENT] == 0) and np.all(value[PRESENT] != 0)


def test_fixed_keeps_entries_to_the_last_bit():
    kept = np.random.default_rng(2).random((N, N)) < 0.5
    before, during, after = train(Fixed(kept))
    assert np.array_equal(after[kept], before[kept])
    for value in during:
        assert np.array_equal(value[kept], before.astype("float32")[kept])
    assert np.all(after[~kept] != before[~kept])


@pytest.mark.parametrize("bounds", [Bounds(0.2, 3.0), Bounds(lower=0.2), Bounds(upper=3.0)])
def test_bounds_hold(bounds):
    before, during, after = train(bounds, path="p/op/tau")
    assert np.allclose(during[0], before, rtol=1e-6)
    for value in (before, *during, after):
        assert np.all((value >= bounds.low) & (value <= bounds.high))


def test_low_rank_keeps_its_rank():
    low = LowRank(2)
    before, during, after = train(low, low.project(weights()))
    assert np.allclose(during[0], before, atol=1e-6)
    for value in (before, after):
        sizes = np.linalg.svd(value, compute_uv=False)
        assert np.all(sizes[2:] < 1e-12 * sizes[0])


def test_low_rank_starts_from_nothing():
    zeros = np.zeros((N, N))
    left, right = LowRank(2).free(zeros, "w")
    assert np.array_equal(left @ right, zeros) and np.any(left != 0)


def test_shared_is_one_number():
    before, during, after = train(Shared(), path="p/op/tau")
    assert all(np.ptp(value) == 0 for value in (before, *during, after))


def test_composed_constraints_all_hold():
    kept = np.random.default_rng(3).random((N, N)) < 0.2
    both = Compose(Dale(SIGNS), Mask(PRESENT), Fixed(kept))
    before, during, after = train(both, both.project(weights()))
    for value in (before, *during, after):
        assert np.all(value * SIGNS >= 0) and np.all(value[~PRESENT] == 0)
    assert np.array_equal(after[kept], before[kept])


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=5), st.sampled_from([(0, 1), (None, 2), (-3, None)]))
def test_bounds_go_there_and_back(free, limits):
    bounds = Bounds(*limits)
    value = np.asarray(bounds.value(jnp.asarray(free, float), None))
    assert np.all((value >= bounds.low) & (value <= bounds.high))
    inside = (value > bounds.low) & (value < bounds.high)
    again = bounds.value(jnp.asarray(bounds.free(value[inside], "x")), None) if inside.any() else value[inside]
    assert np.allclose(again, value[inside], rtol=1e-9, atol=1e-12)


@given(st.integers(0, 2**31))
def test_projections_obey_and_stay(seed):
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((4, 4))
    signs = rng.choice([-1, 1], 4)
    for constraint in (
        Dale(signs), Mask(rng.random((4, 4)) < 0.5), Bounds(-0.5, 0.5), LowRank(2), Shared(),
        Compose(Dale(signs), Mask(rng.random((4, 4)) < 0.5)),
    ):  # fmt: skip
        projected = constraint.project(value)
        again = constraint.value(jax.tree.map(jnp.asarray, constraint.free(projected, "w")), jnp.asarray(projected))
        assert np.allclose(again, projected, atol=1e-12)
        assert np.allclose(constraint.project(projected), projected, atol=1e-12)


W = np.ones((N, N))
BAD = [
    (Dale(SIGNS), W, OptionError, r"12 of 36 entries break Dale, the first at \(0, 4\).*constraint.project"),
    (Dale([1, -1]), W, ShapeError, "signs .* has shape"),
    (Dale([0, 1, 1, 1, 1, 1]), W, OptionError, r"\+1 or -1"),
    (Mask(PRESENT), W, OptionError, "break Mask"),
    (Mask(np.ones((2, 2))), W, ShapeError, "the mask has shape"),
    (Bounds(2.0, 3.0), W, OptionError, "not inside of the bounds 2 and 3"),
    (Fixed(np.ones(5)), W, ShapeError, "fixed entries"),
    (LowRank(1), np.eye(N), OptionError, r"its rank is 6, LowRank\(1\)"),
    (LowRank(7), W, ShapeError, "at least 7 rows"),
    (LowRank(1), np.ones(3), ShapeError, "needs a matrix"),
    (Shared(), np.arange(3.0), OptionError, "break Shared"),
]


@pytest.mark.parametrize("constraint, value, error, text", BAD)
def test_a_start_that_does_not_obey_is_refused(constraint, value, error, text):
    with pytest.raises(error, match=text):
        constraint.free(value, "w/weight")


def test_constraints_that_make_no_sense_are_refused():
    with pytest.raises(OptionError, match="must be below"):
        Bounds(2.0, 1.0)
    with pytest.raises(OptionError, match="expected constraints, got int"):
        Compose(3)
