"""Derivatives through truth values of traced steps, construct by construct, against the same step in plain JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra.engine import SURROGATES, events
from recurra.errors import OptionError
from recurra.tracing import Smooth
from tracing_checks import Thing, compile_rule

SLOPE = 3.0
V = np.array([0.1, 0.5, 0.9, 0.3, 0.7, 1.2])
X = np.array([0.4, -1.0, 2.0, 0.5, -0.3, 1.1])
W = np.random.default_rng(2).normal(size=(6, 6))


@jax.custom_jvp
def crossing(margin):
    """Is 1.0 where the margin is over 0, with the derivative of a fast sigmoid."""
    return jnp.where(margin > 0, 1.0, 0.0)


crossing.defjvp(
    lambda primals, tangents: (
        crossing(primals[0]),
        tangents[0] / (1.0 + SLOPE * jnp.abs(primals[0])) ** 2,
    )
)


def s(v):
    return crossing(v - 0.5)


def low(v):
    return crossing(1.0 - v)


def flat(v):
    """Has the values of s and no derivative."""
    return jax.lax.stop_gradient(s(v))


# What a user writes, with n.v, n.x, n.W; and the same with the factor s.
CONSTRUCTS = {
    "cast": (lambda n: (n.v > 0.5).astype(float), lambda v, x, w: s(v)),
    "times a number": (lambda n: 2.0 * (n.v > 0.5), lambda v, x, w: 2 * s(v)),
    "times an array": (lambda n: n.x * (n.v > 0.5), lambda v, x, w: x * s(v)),
    "other side": (lambda n: 1.0 * np.less(0.5, n.v), lambda v, x, w: s(v)),
    "less": (lambda n: 1.0 * (n.v < 1.0), lambda v, x, w: low(v)),
    "between arrays": (lambda n: 1.0 * (n.v > n.x), lambda v, x, w: crossing(v - x)),
    "whole numbers": (lambda n: ((n.v > 0.5) * 3 - 1) * 0.5, lambda v, x, w: (3 * s(v) - 1) * 0.5),
    "sum": (lambda n: np.sum(n.v > 0.5) / 4 * n.x, lambda v, x, w: s(v).sum() / 4 * x),
    "count": (lambda n: np.count_nonzero(n.v > 0.5) * n.x, lambda v, x, w: s(v).sum() * x),
    "number": (lambda n: 1.0 * ((n.v > 0.5).astype(int) > 0), lambda v, x, w: s(v)),
    "no spike": (lambda n: 1.0 * ((n.v > 0.5) * 1 == 0), lambda v, x, w: 1 - s(v)),
    "mean": (lambda n: np.mean(n.v > 0.5) * n.x, lambda v, x, w: s(v).mean() * x),
    "and": (lambda n: 1.0 * ((n.v > 0.5) & (n.v < 1.0)), lambda v, x, w: s(v) * low(v)),
    "or": (lambda n: 1.0 * ((n.v > 0.5) | (n.x > 0.5)), lambda v, x, w: 1 - (1 - s(v)) * (1 - s(x))),
    "not": (lambda n: 1.0 * ~(n.v > 0.5), lambda v, x, w: 1 - s(v)),
    "logical_and": (lambda n: 1.0 * np.logical_and(n.v > 0.5, n.x > 0.5), lambda v, x, w: s(v) * s(x)),
    "xor": (lambda n: 1.0 * ((n.v > 0.5) ^ (n.x > 0.5)), lambda v, x, w: s(v) + s(x) - 2 * s(v) * s(x)),
    "differ": (lambda n: 1.0 * ((n.v > 0.5) != (n.x > 0.5)), lambda v, x, w: s(v) + s(x) - 2 * s(v) * s(x)),
    "equal": (lambda n: 1.0 * ((n.v > 0.5) == (n.x > 0.5)), lambda v, x, w: 1 - s(v) - s(x) + 2 * s(v) * s(x)),
    "any": (lambda n: n.x * np.any(n.v > 0.5), lambda v, x, w: x * (1 - jnp.prod(1 - s(v)))),
    "all": (lambda n: n.x * np.all(n.v < 1.0), lambda v, x, w: x * jnp.prod(low(v))),
    "dot": (lambda n: n.W.dot(n.v > 0.5), lambda v, x, w: w @ s(v)),
    "left of dot": (lambda n: (n.v > 0.5) @ n.W, lambda v, x, w: s(v) @ w),
    "columns": (lambda n: np.sum(n.W[:, n.v > 0.5], axis=1), lambda v, x, w: w @ s(v)),
    "rows": (lambda n: n.W[n.v > 0.5].sum(axis=0), lambda v, x, w: s(v) @ w),
    "masked sum": (lambda n: np.sum(n.x[n.v > 0.5]) * n.x, lambda v, x, w: (x * s(v)).sum() * x),
    "masked mean": (lambda n: np.mean(n.x[n.v > 0.5]) * n.x, lambda v, x, w: (x * s(v)).sum() / s(v).sum() * x),
    "outer": (
        lambda n: (n.W * np.outer(n.v > 0.5, n.x > 0.5)).sum(0),
        lambda v, x, w: (w * jnp.outer(s(v), s(x))).sum(0),
    ),
    "constants": (lambda n: np.where(n.v > 0.5, 2.0, -1.0), lambda v, x, w: 3 * s(v) - 1),
    "moved": (lambda n: 1.0 * np.roll((n.v > 0.5)[::-1], 1), lambda v, x, w: jnp.roll(s(v)[::-1], 1)),
    "joined": (
        lambda n: 1.0 * np.concatenate([(n.v > 0.5)[:2], n.x[2:] > 0.5]),
        lambda v, x, w: jnp.concatenate([s(v)[:2], s(x)[2:]]),
    ),
    "stored": (lambda n: _store(n), lambda v, x, w: s(v).at[1].set(s(x)[0])),
    "chosen": (lambda n: 1.0 * np.where(n.x > 0, n.v > 0.5, n.x > 0.5), lambda v, x, w: jnp.where(x > 0, s(v), s(x))),
    "reset": (lambda n: _reset(n), lambda v, x, w: jnp.where(flat(v) > 0, 0.0, v) * x),
    "selected": (lambda n: np.where(n.v > 0.5, n.x, n.v), lambda v, x, w: jnp.where(flat(v) > 0, x, v)),
    "branch": (lambda n: _branch(n), lambda v, x, w: x * v + s(v)),
}  # fmt: skip


def _store(n):
    spikes = n.v > 0.5
    spikes[1] = n.x[0] > 0.5
    return 1.0 * spikes


def _reset(n):
    v = n.v.copy()
    v[n.v > 0.5] = 0.0
    return v * n.x


def _branch(n):
    return n.x * n.v + (n.v > 0.5) if np.sum(n.v > 0.5) > 2 else n.x * 0.0


def differentiated(rule, **options) -> Smooth:
    def step(n):
        n.out = rule(n)

    thing = Thing(v=V.copy(), x=X.copy(), W=W.copy(), out=np.zeros(6))
    return Smooth(compile_rule(step, thing, smooth=True), **{"surrogate": "fast_sigmoid", "slope": SLOPE, **options})


def outcome(step):
    def run(v, x, w):
        given = {"n/v": v, "n/x": x, "n/W": w}
        params = {p: given[p] for p in step.params}
        return step.update(step.state, params, {}, 0, jax.random.key(0))[0]["n/out"]

    return run


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_construct_has_the_values_of_numpy_and_the_derivative_of_its_factors(name: str) -> None:
    rule, factors = CONSTRUCTS[name]
    with jax.enable_x64(True):
        run, arguments = outcome(differentiated(rule)), tuple(map(jnp.asarray, (V, X, W)))
        exact = np.asarray(rule(Thing(v=V.copy(), x=X.copy(), W=W.copy())))
        assert np.abs(np.asarray(run(*arguments)) - exact).max() < 1e-14
        assert np.abs(np.asarray(factors(*arguments)) - exact).max() < 1e-14
        got = jax.jacrev(run, (0, 1, 2))(*arguments)
        expected = jax.jacrev(factors, (0, 1, 2))(*arguments)
    assert max(np.abs(np.asarray(e)).max() for e in expected) > 0.05
    for ours, theirs in zip(got, expected, strict=True):
        assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() < 1e-12


@pytest.mark.parametrize("surrogate", [name for name in SURROGATES if name != "none"])
def test_surrogates_are_those_of_the_engine(surrogate: str) -> None:
    with jax.enable_x64(True):
        run = outcome(differentiated(lambda n: 1.0 * (n.v > 0.5), surrogate=surrogate))
        got = jax.jacrev(run)(jnp.asarray(V), X, W)
        expected = SURROGATES[surrogate](SLOPE * jnp.asarray(V - 0.5))
    assert np.abs(np.asarray(got) - np.diag(np.asarray(expected))).max() < 1e-14


def test_infinite_thresholds_have_no_undefined_derivative() -> None:
    with jax.enable_x64(True):
        run = outcome(differentiated(lambda n: 1.0 * (n.v >= n.x)))
        sides = jnp.array([np.inf, -np.inf, 1.0, 1.0, np.inf, 0.0]), jnp.array([np.inf, 0.0, np.inf, 1.0, 0.0, 0.0])
        slopes = jnp.diag(jax.jacrev(run)(*sides, W))
    assert np.abs(np.asarray(slopes) - np.array([1, 0, 0, 1, 0, 1])).max() < 1e-14


def test_what_is_remembered_is_a_float_only_if_it_comes_of_comparisons_of_floats() -> None:
    def step(n):
        n.count += n.spikes
        n.spikes = n.v > 0.5
        n.clock += 1
        n.even = n.clock % 2 == 0
        n.single = np.float32(0.5) * n.spikes

    thing = Thing(v=V.copy(), spikes=V > 1, count=np.zeros(6, int), clock=0, even=False, single=np.zeros(6, np.float32))
    step = Smooth(compile_rule(step, thing, smooth=True), "atan", 2.0)
    kinds = {path: np.asarray(value).dtype.kind for path, value in step.state.items()}
    assert kinds == {"n/count": "f", "n/spikes": "f", "n/clock": "i", "n/even": "b", "n/single": "f"}
    assert step.state["n/single"].dtype == np.float32
    state = step.state
    for k in range(3):
        state, _ = step.update(state, step.params, {}, k, jax.random.key(0))
    assert {p: v.dtype for p, v in state.items()} == {p: np.asarray(v).dtype for p, v in step.state.items()}
    expected = (V > 1) + 2 * (V > 0.5)
    assert np.array_equal(np.asarray(state["n/count"]), expected)


def test_branches_over_large_arrays_differentiate_what_both_sides_make() -> None:
    size = 5000

    def step(n):
        if n.v[0] > 0.5:
            n.spikes = n.v > n.th
        else:
            n.spikes = n.w > n.th
        n.out = n.c * n.spikes

    rng = np.random.default_rng(0)
    v, w, c = rng.uniform(0.2, 0.8, (3, size))
    for first in (0.9, 0.1):
        v[0] = first
        zeros = np.zeros(size)
        thing = Thing(v=v.copy(), w=w.copy(), th=0.5, c=c, spikes=zeros > 1, out=zeros.copy())
        traced = Smooth(compile_rule(step, thing, smooth=True), "fast_sigmoid", SLOPE)
        with jax.enable_x64(True):

            def total(v, w, traced=traced):
                params = {**traced.params, "n/v": v, "n/w": w}
                return traced.update(traced.state, params, {}, 0, jax.random.key(0))[0]["n/out"].sum()

            got = jax.grad(total, (0, 1))(jnp.asarray(v), jnp.asarray(w))
        chosen, other = (0, 1) if first > 0.5 else (1, 0)
        expected = c / (1 + SLOPE * np.abs((v, w)[chosen] - 0.5)) ** 2
        assert np.abs(np.asarray(got[chosen]) - expected).max() < 1e-12
        assert np.abs(np.asarray(got[other])).max() == 0


def test_event_driven_sums_are_differentiated_by_the_spikes_too() -> None:
    rng = np.random.default_rng(1)
    rows, tangent, change = rng.normal(size=(40, 30)), rng.normal(size=(40, 30)), rng.normal(size=40)
    spikes = (rng.random(40) < 0.3) * 1.0
    with jax.enable_x64(True):
        found = events.find(jnp.asarray(spikes) > 0)
        for function, turn in ((events.sum_rows, np.transpose), (events.sum_columns, np.asarray)):
            matrix, moved = (jnp.asarray(turn(m.T)) for m in (rows, tangent))
            for d_matrix, d_spikes in ((moved, change), (moved, 0 * change), (0 * moved, change)):

                def run(m, s, function=function, found=found):
                    return function(m, s, *found)

                got, slope = jax.jvp(run, (matrix, jnp.asarray(spikes)), (d_matrix, jnp.asarray(d_spikes)))
                both = np.asarray(d_matrix) if function is events.sum_columns else np.asarray(d_matrix).T
                assert np.abs(np.asarray(got) - rows.T @ spikes).max() < 1e-12
                assert np.abs(np.asarray(slope) - (both @ spikes + rows.T @ d_spikes)).max() < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"surrogate": "superspikes"}, "superspike"),
        ({"slope": 0.0}, "slope must be a finite number > 0, got 0.0"),
        ({"slope": np.inf}, "got inf"),
        ({"slope": True}, "got True"),
        ({"scale": 0}, "scale must be a finite number > 0, got 0"),
        ({"slope": "steep"}, "got 'steep'"),
    ],
)
def test_bad_surrogates_are_named(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        differentiated(lambda n: 1.0 * (n.v > 0.5), **options)
