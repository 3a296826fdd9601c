"""Gradients through whole runs against central differences in double precision."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks as nets
from recurra.engine import Edge, Graph, Node, as_function, lower, simulate, vector_field

COLUMN = np.array([[0.5], [-0.7], [0.2]])


def coupled() -> Graph:
    """Two units and a population with every kind of edge, all smooth."""
    op = nets.operator("x' = -x/tau + tanh(u) + 0.3*sin(past(x, d)) + 0.1*cos(t)", {"x": 0.4},
                       {"tau": 1.5, "d": 0.33}, {"u": 0.2})
    edges = (
        Edge("a/op/x", "b/op/u", 0.8, delay=0.3, label="on"),
        Edge("b/op/x", "a/op/u", -0.6, delay=0.37, label="off"),
        Edge("p/op/x", "a/op/u", 0.3, delay=0.2, label="sum"),
        Edge("a/op/x", "p/op/u", COLUMN, delay=np.array([[0.1], [0.25], [0.4]]), label="each"),
        Edge("p/op/x", "p/op/u", np.arange(9.0).reshape(3, 3) / 9, label="plain"),
        Edge("b/op/x", "p/op/u", np.ones((3, 1)), delay=0.4, spread=0.2, label="gamma"),
        Edge("c/op/x", "b/op/u", 0.5),  # nothing feeds c but its default
    )
    nodes = {"a": Node({"op": op}), "b": Node({"op": op}), "c": Node({"op": op}), "p": Node({"op": op}, 3)}
    return Graph(nodes, edges)


PROGRAM = lower(coupled())
POINT = {
    "a/op/tau": 1.3,
    "p/op/tau": np.array([1.0, 1.5, 0.7]),
    "all/op/d": np.array([0.23, 0.31, 0.19, 0.17, 0.23, 0.11]),  # past() with its own delay in every unit
    "c/op/u": 0.4,
    "b/op/x": 0.1,
    "p/op/x": np.array([0.3, -0.2, 0.5]),
    "on/weight": 0.9,
    "plain/weight": np.linspace(-0.5, 0.5, 9).reshape(3, 3),
    "sum/weight": 0.4,
    "each/weight": np.array([[0.4], [0.3], [-0.2]]),
    "off/delay": 0.36,
    "sum/delay": 0.17,
    "each/delay": np.array([[0.13], [0.24], [0.39]]),
    "gamma/delay": 0.5,
    "gamma/weight": np.array([[0.5], [0.2], [-0.4]]),
}


def check_gradient(loss, point, tolerance=1e-6, step=1e-6, names=None) -> None:
    """Compare with central differences, entry by entry of every number."""
    point = {k: jnp.asarray(v, float) for k, v in point.items()}
    gradient = jax.grad(loss)(point)
    for name in names or point:
        flat = np.ravel(point[name])
        for i in range(flat.size):
            def at(h, flat=flat, i=i, name=name):
                moved = flat.copy()
                moved[i] += h
                return float(loss({**point, name: jnp.asarray(moved.reshape(np.shape(point[name])))}))

            slope = (at(step) - at(-step)) / (2 * step)
            got = float(np.ravel(gradient[name])[i])
            assert got != 0, (name, i)
            assert abs(got - slope) <= tolerance * max(abs(slope), 1e-2), (name, i, got, slope)


def loss_of(run):
    @jax.jit
    def loss(numbers):
        found = run(numbers)
        return sum((value**2 * jnp.arange(1.0, len(value) + 1)[:, None]).sum() for value in found.values())

    return loss


def test_every_kind_of_number():
    options = {"dt": 0.1, "solver": "heun", "every": 2}
    run = as_function(PROGRAM, 2.0, record=["a/op/x", "p/op/x", "b/op/u"], **options)
    check_gradient(loss_of(run), POINT)
    # A pure function keeps the stages of a chain, where a run makes others for another delay.
    point = {path: value for path, value in POINT.items() if path != "gamma/delay"}
    found = run(point)
    plain = simulate(PROGRAM, 2.0, params=point, record=list(found), **options)
    for name, value in found.items():
        assert np.abs(value - plain[name]).max() < 1e-13


def delayed_pair() -> Graph:
    op = nets.operator("x' = -x/tau + tanh(u) + 0.3*sin(past(x, d))", {"x": 0.4}, {"tau": 1.5, "d": 0.23}, {"u": 0.2})
    edges = (Edge("a/op/x", "b/op/u", 0.8, delay=0.37, label="e"), Edge("b/op/x", "b/op/u", delay=0.3, spread=0.2))
    return Graph({"a": Node({"op": op}), "b": Node({"op": op})}, edges)


@pytest.mark.parametrize("solver", ["rk4", "exponential_euler"])
def test_other_solvers(solver):
    program = lower(delayed_pair())
    run = as_function(program, 1.5, dt=0.1, solver=solver, record="b/op/x")
    names = ["b/op/tau", "a/op/d", "a/op/u", "a/op/x", "e/weight", "e/delay", "b/op/x->b/op/u/delay"]
    check_gradient(loss_of(run), {name: program.get(name) for name in names})


def test_delays_on_the_grid_have_the_slope_to_one_side():
    """Between rows a delay reads a straight line; on the grid the slope is that of the piece beside it."""
    op = nets.operator("x' = -x + u", {"x": 1.0}, inputs={"u": 0.0})
    edges = (Edge("a/op/x", "b/op/u", 0.8, delay=0.3, label="on"),)
    graph = Graph({"a": Node({"op": op}), "b": Node({"op": op})}, edges)
    run = as_function(lower(graph), 1.0, dt=0.1, record="b/op/x")

    def loss(delay):
        return (run({"on/delay": delay})["b/op/x"] ** 2).sum()

    got, h = float(jax.grad(loss)(0.3)), 1e-5
    sides = [(float(loss(0.3 + s * h)) - float(loss(0.3))) / (s * h) for s in (1, -1)]
    assert min(abs(got / side - 1) for side in sides) < 1e-4
    assert abs(sides[0] / sides[1] - 1) > 1e-3  # the two do differ


def test_delays_that_outgrow_the_memory_are_no_silent_numbers():
    program = lower(delayed_pair())
    run = as_function(program, 1.0, dt=0.1, record="b/op/x")
    total = jax.jit(lambda delay, past: run({"e/delay": delay, "b/op/d": past})["b/op/x"].sum())
    assert np.isfinite(total(0.39, 0.29))
    for delay, past in [(0.41, 0.2), (0.05, 0.2), (0.3, 0.31), (0.3, 0.05), (np.nan, 0.2)]:
        assert not np.isfinite(total(delay, past))
        assert not np.isfinite(jax.grad(total)(delay, past))
    wider = as_function(program.update({"e/delay": 0.8}), 1.0, dt=0.1, record="b/op/x")
    longer = simulate(program, 1.0, dt=0.1, params={"e/delay": 0.7}, record="b/op/x")
    assert np.abs(wider({"e/delay": 0.7})["b/op/x"] - longer["b/op/x"]).max() < 1e-14


def test_initial_states_reach_what_past_sees():
    """The initial value is also what past() sees before the start, but for units with a history."""
    program = lower(nets.single(nets.operator("x' = -past(x, 0.3)", {"x": 1.0}), 2))
    for history in (None, {"n/op/x[0]": 0.5}):
        run = as_function(program, 0.3, dt=0.1, history=history)
        values = run({"n/op/x": np.array([2.0, 3.0])})["n/op/x"]
        plain = simulate(program, 0.3, dt=0.1, history=history, params={"n/op/x": np.array([2.0, 3.0])})
        assert np.abs(values - plain["n/op/x"]).max() < 1e-15
        slope = jax.jacfwd(lambda x, run=run: run({"n/op/x": x})["n/op/x"][-1])(jnp.array([2.0, 3.0]))
        # x(0.2) = x0 (1 - 0.2), or x0 - 0.2 * 0.5 with a history.
        assert np.abs(slope - np.diag([0.8 if history is None else 1.0, 0.8])).max() < 1e-14


def test_noise_is_differentiated_path_by_path():
    run = as_function(lower(nets.noisy_network()), 1.0, dt=0.05, solver="stochastic_heun", seed=4, record=nets.NOISY)

    point = {"a/op/tau": 0.9, "a/op/s": 0.6, "b/o2/v->p/op/u/delay": 0.35, "p/op/v": np.array([0.1, 0.2, 0.3])}
    check_gradient(loss_of(run), point)


def test_complex_model():
    op = nets.operator("z' = (i*w - k - abs(z)**2)*z + u", {"z": 0.5 + 0.1j}, {"i": 1j, "w": 3.0, "k": 0.2}, {"u": 0.1})
    program = lower(Graph({"a": Node({"op": op}), "b": Node({"op": op})}, (Edge("a/op/z", "b/op/u", 0.5, delay=0.2),)))
    run = as_function(program, 2.0, dt=0.05, solver="rk4", record=["all/op/z"])

    @jax.jit
    def loss(numbers):
        z = run(numbers)["all/op/z"]
        return (jnp.abs(z - 0.3) ** 2).sum()

    check_gradient(loss, {"a/op/w": 2.5, "all/op/k": 0.3, "a/op/z->b/op/u/weight": 0.7, "b/op/z": 0.4})


def test_vmap_is_a_batch():
    batch = {"a/op/tau": [1.0, 2.0, 3.0], "e/delay": [0.36, 0.2, 0.15], "b/op/x": [0.1, 0.2, 0.3]}
    program, options = lower(delayed_pair()), {"dt": 0.1, "record": ["all/op/x", "b/op/u"]}
    mapped = jax.vmap(as_function(program, 1.0, **options))({k: jnp.asarray(v) for k, v in batch.items()})
    both = simulate(program, 1.0, batch=batch, **options)
    for name in mapped:
        assert np.abs(mapped[name] - both[name]).max() < 1e-13


def test_single_precision_without_double():
    code = (
        "import sys; sys.path[:0] = [{tests!r}]; import jax, numpy as np, networks as nets;"
        "from recurra.engine import as_function, lower; from recurra.errors import CapabilityError;"
        "p = lower(nets.single(nets.noisy()));"
        "f = as_function(p, 1.0, dt=0.05, precision='float32', record='n/op/v');"
        "g = jax.grad(lambda tau: (f({{'n/op/tau': tau}})['n/op/v']**2).sum())(1.5);"
        "assert g.dtype == np.float32, g.dtype; print(float(g));\n"
        "f = as_function(p, 1.0, dt=0.05, record='n/op/v')\n"
        "try: jax.grad(lambda tau: f({{'n/op/tau': tau}})['n/op/v'].sum())(1.5)\n"
        "except CapabilityError as e: assert 'enable_x64(True)' in str(e)\n"
        "else: raise SystemExit('no error')\n"
        "with jax.enable_x64(True): jax.grad(lambda tau: f({{'n/op/tau': tau}})['n/op/v'].sum())(1.5)\n"
        "assert not jax.config.jax_enable_x64"
    ).format(tests=__file__.rpartition("/")[0])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    f = as_function(lower(nets.single(nets.noisy())), 1.0, dt=0.05, precision="float32", record="n/op/v")
    h = 1e-2

    def loss(tau):
        return float((f({"n/op/tau": tau})["n/op/v"].astype(float) ** 2).sum())

    assert float(done.stdout) == pytest.approx((loss(1.5 + h) - loss(1.5 - h)) / 2 / h, rel=2e-2)


def test_vector_field_and_its_jacobian():
    op = nets.operator("x' = -x/tau + tanh(u) + x*y\ny' = sin(x) - y*t", {"x": 0.3, "y": -0.2},
                                        {"tau": 1.5}, {"u": 0.2})
    edges = (Edge("a/op/x", "b/op/u", 0.8, label="e"), Edge("b/op/y", "p/op/u", np.ones((3, 1)), label="m"),
             Edge("p/op/x", "a/op/u", np.array([[0.5, 1.0, -2.0]]), delay=0.3, spread=0.2))
    field = vector_field(lower(Graph({"a": Node({"op": op}), "b": Node({"op": op}), "p": Node({"op": op}, 3)}, edges)))
    rng = np.random.default_rng(0)
    y, params = field.y0 + 0.1 * rng.normal(size=field.y0.shape), {"a/op/tau": 0.8, "m/weight": rng.normal(size=(3, 1))}
    jacobian, h = np.asarray(field.jacobian(0.7, y, params)), 1e-6
    for i in range(len(y)):
        shift = h * np.eye(len(y))[i]
        column = (field.function(0.7, y + shift, params) - field.function(0.7, y - shift, params)) / (2 * h)
        assert np.abs(jacobian[:, i] - column).max() < 1e-8
    # By hand: x' of a, whose input is the gamma chain's last stage, zero at the start.
    at = field.index
    slope = field.function(0.7, field.y0)
    assert float(slope[at["a/op/x"]]) == pytest.approx(-0.3 / 1.5 + np.tanh(0.0) + 0.3 * -0.2, abs=1e-15)
    assert float(slope[at["b/op/x"]]) == pytest.approx(-0.3 / 1.5 + np.tanh(0.8 * 0.3) + 0.3 * -0.2, abs=1e-15)
    low, high = at["p/op/y"]
    assert high - low == 3
    assert np.abs(slope[low:high] - (np.sin(0.3) + 0.2 * 0.7)).max() < 1e-15
    fed = vector_field(lower(nets.single(nets.decay())), {"n/op/u": 2.0})
    assert float(fed.function(0.0, np.array([0.5]))[0]) == 1.5
