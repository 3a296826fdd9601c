"""Spikes delivered one by one, gradients and batches of traced steps, and NumPy's rules of types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.engine import events
from tracing_checks import Thing, check, compile_rule, run_compiled

# -- events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("chance", [0.0, 0.1, 1.0])
def test_spikes_are_found_in_order(size, chance):
    spikes = np.random.default_rng(size).random(size) < chance
    units, count = events.find(jnp.asarray(spikes))
    assert int(count) == spikes.sum()
    expected = np.full(size, size)
    expected[: spikes.sum()] = np.flatnonzero(spikes)
    np.testing.assert_array_equal(units, expected)


@pytest.mark.parametrize("chance", [0.0, 0.05, 1.0])
def test_sums_over_spikes_are_products(chance):
    rng = np.random.default_rng(0)
    weights, spikes = rng.normal(size=(40, 70)), rng.random(70) < chance
    with jax.enable_x64(True):
        found = events.find(jnp.asarray(spikes))
        rows = events.sum_rows(jnp.asarray(weights.T), jnp.asarray(spikes), *found)
        columns = events.sum_columns(jnp.asarray(weights), jnp.asarray(spikes), *found)
    np.testing.assert_allclose(rows, weights @ spikes, atol=1e-12)
    np.testing.assert_allclose(columns, weights @ spikes, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (40, 70), (32, 64), (33, 31)])
@pytest.mark.parametrize("chance", [0.0, 0.1, 0.7, 1.0])
def test_entries_where_rows_and_columns_meet_are_replaced(shape, chance):
    rng = np.random.default_rng(int(100 * chance) + shape[0])
    matrix, first, second = rng.normal(size=shape), rng.normal(size=shape[0]), rng.normal(size=shape[1])
    rows, columns = rng.random(shape[0]) < chance, rng.random(shape[1]) < chance

    def new(i, j, entries):
        return 2 * entries + jnp.asarray(first)[i] * jnp.asarray(second)[j]

    with jax.enable_x64(True):
        found = (events.find(jnp.asarray(each)) for each in (rows, columns))
        got = events.update_block(jnp.asarray(matrix), *found, new)
    expected = matrix.copy()
    expected[np.ix_(rows, columns)] = (2 * matrix + np.outer(first, second))[np.ix_(rows, columns)]
    np.testing.assert_array_equal(got, expected)


def test_the_derivative_is_that_of_the_dense_product():
    rng = np.random.default_rng(0)
    weights, spikes = rng.normal(size=(4, 6)), np.array([1, 0, 0, 1, 1, 0], bool)
    with jax.enable_x64(True):
        found = events.find(jnp.asarray(spikes))
        for function, argument in ((events.sum_rows, weights.T), (events.sum_columns, weights)):
            got = jax.grad(lambda w, f=function: jnp.sum(f(w, spikes, *found) ** 2))(jnp.asarray(argument))
            dense = 2 * np.outer(weights @ spikes, spikes)
            np.testing.assert_allclose(got, dense.T if function is events.sum_rows else dense, atol=1e-12)


def spiking(n):
    n.v *= 1.3
    n.spike = n.v > 0.9
    n.v[n.spike] = 0.1
    n.v += n.w.dot(n.spike) * 0.01
    n.v += np.sum(n.w[:, n.spike], axis=1) * 0.01
    n.v += n.w[n.spike].sum(axis=0) * 0.01
    n.v += (n.spike @ n.w) * 0.01
    n.v += n.w.T @ n.spike * 0.01
    n.v += n.w.T[:, n.spike].sum(1) * 0.01


def learning(n):
    n.w[np.ix_(n.spike, n.before)] += 0.01
    n.before = n.spike.copy()


def brain(size=300):
    rng = np.random.default_rng(0)
    return Thing(
        v=rng.random(size), w=rng.random((size, size)), spike=np.zeros(size, bool), before=np.zeros(size, bool)
    )


def test_a_large_matrix_is_read_by_spikes():
    traced = check(spiking, brain(), tolerance=1e-9)
    assert traced.explanation["0_spiking"] == "6 event-driven products"
    assert set(traced.derive(traced.params)) == {"n/w", "n/w:transposed"}
    text = str(jax.make_jaxpr(traced.update)(traced.state, traced.params, {}, 0, jax.random.key(0)))
    assert "while" in text
    assert text.count("population_count") == 0


def test_a_matrix_that_learns_is_read_by_spikes_too():
    check([spiking, learning], brain(), tolerance=1e-9)


def test_a_transposed_copy_is_not_needed():
    traced = compile_rule(spiking, brain())
    with jax.enable_x64(True):
        one, _ = traced.update(traced.state, traced.params, {}, 0, jax.random.key(0))
        two, _ = traced.update(traced.state, traced.derive(traced.params), {}, 0, jax.random.key(0))
    np.testing.assert_allclose(one["n/v"], two["n/v"], atol=1e-12)


# -- transformations -----------------------------------------------------------------------------------------------


def smooth(n):
    n.v += n.dt * (np.tanh(n.w @ n.v) - n.v)
    if n.v.sum() > 1e9:
        n.v *= 0
    n.v[n.v > 5] *= n.gain


def small():
    rng = np.random.default_rng(4)
    return Thing(v=rng.normal(size=4), w=rng.normal(size=(4, 4)) * 2, dt=0.1, gain=0.5)


def test_gradients_are_those_of_differences():
    traced = compile_rule(smooth, small())

    def loss(params):
        state = traced.state
        for k in range(5):
            state, _ = traced.update(state, params, {}, k, jax.random.key(0))
        return jnp.sum(state["n/v"] ** 2)

    with jax.enable_x64(True):
        params = {p: jnp.asarray(v) for p, v in traced.params.items()}
        gradient = jax.grad(loss)(params)
        for path, place in (("n/dt", ()), ("n/w", (1, 2)), ("n/w", (3, 0))):
            up, down = (params | {path: params[path].at[place].add(h)} for h in (1e-5, -1e-5))
            numeric = (loss(up) - loss(down)) / 2e-5
            assert abs(gradient[path][place] - numeric) < 1e-6 * max(1, abs(numeric))


def test_batches_are_runs_one_by_one():
    traced = compile_rule(smooth, small())
    values = np.linspace(0.05, 0.4, 3)
    with jax.enable_x64(True):

        def run(dt):
            return traced.update(traced.state, traced.params | {"n/dt": dt}, {}, 0, jax.random.key(0))[0]["n/v"]

        together = jax.vmap(run)(values)
        for one, dt in zip(together, values, strict=True):
            np.testing.assert_allclose(one, run(dt), atol=1e-12)


def test_one_compilation_serves_all_parameters():
    traced, count = compile_rule(smooth, small()), 0

    def update(params):
        nonlocal count
        count += 1
        return traced.update(traced.state, params, {}, 0, jax.random.key(0))[0]

    with jax.enable_x64(True):
        compiled = jax.jit(update)
        results = [np.asarray(compiled(traced.params | {"n/dt": np.array(dt)})["n/v"]) for dt in (0.1, 0.2, 0.3)]
    assert count == 1
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_a_trace_does_not_look_at_the_objects_again():
    n = small()
    traced = compile_rule(smooth, n)
    first, _ = run_compiled(traced, 1)
    n.v[:], n.dt = 9, 7.0
    second, _ = run_compiled(traced, 1)
    np.testing.assert_array_equal(first["n/v"], second["n/v"])
    state, params = traced.current()
    assert state["n/v"][0] == 9 and params["n/dt"] == 7


MISTAKES = [
    ({"n/x": 0.0}, {}, "unknown path in state 'n/x'"),
    ({"n/v": np.zeros(3)}, {}, r"'n/v' has shape \(3,\), expected \(4,\)"),
    ({}, {"n/gian": 1.0}, "Did you mean 'n/gain'"),
]


@pytest.mark.parametrize(("state", "params", "expected"), MISTAKES)
def test_wrong_paths_are_named(state, params, expected):
    traced = compile_rule(smooth, small())
    with pytest.raises(ValueError, match=expected):
        traced.update(traced.state | state, traced.params | params, {}, 0, jax.random.key(0))
    with pytest.raises(ValueError, match="state: 'n/v' is missing"):
        traced.update({}, traced.params, {}, 0, jax.random.key(0))


# -- types ---------------------------------------------------------------------------------------------------------

TYPES = ["?", "i1", "u1", "i4", "i8", "u4", "f2", "f4", "f8", "c8", "c16"]
BINARY = [
    np.add, np.subtract, np.multiply, np.true_divide, np.floor_divide, np.remainder, np.maximum, np.minimum,
    np.greater, np.equal, np.logical_and, np.bitwise_and, np.arctan2, np.hypot, np.copysign, np.power,
]  # fmt: skip
SCALARS = [True, 2, 2.5, 1 + 2j, np.float32(1.5), np.int64(3), np.float64(2.0), np.uint8(4)]


def operands():
    arrays = st.sampled_from(TYPES).map(lambda t: np.array([1, 0, 1, 1]).astype(t) + np.array([1, 1, 1, 1]).astype(t))
    return st.one_of(arrays, st.sampled_from(SCALARS))


@settings(max_examples=8, deadline=None)
@given(
    cases=st.lists(
        st.tuples(
            st.sampled_from(BINARY),
            st.sampled_from(TYPES).map(lambda t: (np.array([3, 1, 2, 5]) % 2 + 1).astype(t)),
            operands(),
            st.booleans(),
        ),
        min_size=20,
        max_size=20,
    )
)
def test_types_and_values_of_random_operations(cases):
    kept = []
    with np.errstate(all="ignore"):
        for ufunc, array, other, swapped in cases:
            pair = (other, array) if swapped else (array, other)
            integer_power = ufunc is np.power and np.result_type(*pair).kind in "iu"
            try:
                expected = ufunc(*pair)
            except (TypeError, OverflowError):
                continue
            if not integer_power:
                kept.append((ufunc, array, other, swapped, expected))
    if not kept:
        return
    n = Thing(arrays=[k[1] for k in kept], results=[np.array(k[4]) for k in kept])

    def rule(n):
        for at, (ufunc, _, other, swapped, _) in enumerate(kept):
            array = n.arrays[at]
            array[0] = array[0]
            n.results[at] = ufunc(other, array) if swapped else ufunc(array, other)

    traced = compile_rule(rule, n)
    state, _ = run_compiled(traced, 1)
    for at, (ufunc, array, other, _, expected) in enumerate(kept):
        got = np.asarray(state[f"n/results/{at}"])
        assert got.dtype == expected.dtype, (ufunc, array.dtype, other)
        kind = expected.dtype.kind
        coarse = 4 * np.finfo(expected.dtype).eps if kind == "f" else 1e-6 if kind == "c" else 0
        np.testing.assert_allclose(
            got.astype("c16"), expected.astype("c16"), rtol=coarse, err_msg=f"{ufunc} {array} {other}"
        )
