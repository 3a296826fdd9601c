"""Delays: what they carry, before the start and after, by rings, by past() and by gamma chains."""

from __future__ import annotations

import numpy as np
import pytest

import networks as nets
from recurra.engine import Edge, Graph, Node, lower, simulate
from recurra.errors import PathError, ShapeError, TimeError

DELAYED = nets.operator("x' = -past(x, d)", {"x": 1.0}, {"d": 0.1})
SELF = nets.operator("x' = u", {"x": 1.0}, inputs={"u": 0.0})


def self_coupled(**options) -> Graph:
    return Graph({"n": Node({"op": SELF})}, (Edge("n/op/x", "n/op/u", -1.0, delay=0.1, **options),))


@pytest.mark.parametrize("solver", ["heun", "rk4"])
@pytest.mark.parametrize("form", ["past", "edge"])
def test_delayed_decay_follows_the_method_of_steps(solver, form):
    """x' = -x(t - 0.1), x = 1 before: linear, then quadratic, then cubic."""
    program = nets.program(DELAYED if form == "past" else self_coupled())
    history = None if form == "past" else {"n/op/x": 1.0}
    result = simulate(program, 0.301, dt=0.001, solver=solver, history=history)
    for time, value in [(0.1, 0.9), (0.2, 0.805), (0.3, 0.7198333333333333)]:
        assert result["n/op/x"][round(time / 0.001), 0] == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize(("delay", "history"), [(0.1, 1.0), (0.1, 0.0), (0.13, 0.5)])
def test_euler_with_delay_is_the_hand_loop(delay, history):
    dt, steps = 0.02, 40
    x = [1.0]
    back = delay / dt if abs(delay / dt - round(delay / dt)) > 1e-9 else round(delay / dt)

    def before(k):
        return x[k] if k >= 0 else history

    for k in range(steps - 1):
        low = int(np.floor(k - back))
        part = (k - back) - low
        x.append(x[k] + dt * -(before(low) * (1 - part) + (before(low + 1) * part if part else 0)))
    graph = self_coupled()
    program = lower(graph).update({"n/op/x->n/op/u/delay": delay})
    result = simulate(program, steps * dt, dt=dt, history={"n/op/x": history})
    assert np.abs(result["n/op/x"][:, 0] - x).max() < 1e-15


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4", "exponential_euler"])
def test_no_delay_is_no_delay(solver):
    """Delay 0, given as number or matrix, equals none; past(x, 0) is x at every stage."""
    op, weights = nets.decay(), np.array([[0.3, -0.4], [0.5, 0.1]])

    def run(delay):
        graph = Graph({"n": Node({"op": op}, 2, {"op/x": np.array([1.0, -1.0])})},
                      (Edge("n/op/x", "n/op/u", weights, delay=delay),))
        return simulate(lower(graph), 1.0, dt=0.1, solver=solver).to_numpy()

    assert np.array_equal(run(None), run(0.0))
    assert np.array_equal(run(None), run(np.zeros((2, 2))))
    plain = nets.operator("x' = -x^2 + 1", {"x": 0.1})
    past = nets.operator("x' = -x*past(x, d) + 1", {"x": 0.1}, {"d": 0.0})
    # The exponential method sees another derivative in the two, but the plain past(x, 0) must be x there, too.
    a = simulate(nets.program(plain), 1.0, dt=0.1, solver=solver).to_numpy()
    b = simulate(nets.program(past), 1.0, dt=0.1, solver=solver).to_numpy()
    assert np.abs(a - b).max() < 1e-14


def test_no_weight_is_no_edge():
    op = nets.decay()
    nodes = {"a": Node({"op": op}), "b": Node({"op": op}, values={"op/x": 0.3})}
    none = simulate(lower(Graph(nodes)), 1.0, dt=0.1)
    for delay in (None, 0.2, 0.25):
        zero = simulate(lower(Graph(nodes, (Edge("a/op/x", "b/op/u", 0.0, delay=delay),))), 1.0, dt=0.1)
        assert np.array_equal(none["b/op/x"], zero["b/op/x"])


@pytest.mark.parametrize("delay", [None, 0.2, 0.25])
def test_parallel_edges_add(delay):
    op = nets.decay()
    nodes = {"a": Node({"op": op}), "b": Node({"op": op})}

    def run(*weights):
        edges = tuple(Edge("a/op/x", "b/op/u", w, delay=delay) for w in weights)
        return simulate(lower(Graph(nodes, edges)), 1.0, dt=0.1)["b/op/x"]

    assert np.abs(run(0.7) - run(0.3, 0.4)).max() < 1e-15
    assert np.abs(run(0.7) - run(0.3, 0.5, -0.1)).max() < 1e-15


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_delay_shifts_by_whole_steps(steps):
    """What arrives is what left, `steps` rows later, with nothing before: for states and algebraic variables."""
    op = nets.operator("x' = cos(3*t)\nm = x*x + t", {"x": 0.3}, algebraic={"m": 0.0})
    nodes = {"a": Node({"op": op}), "b": Node({"op": nets.decay()}, 2)}
    edges = (Edge("a/op/x", "b/op/u", np.array([[2.0], [3.0]]), delay=0.1 * steps),)
    result = simulate(lower(Graph(nodes, edges)), 3.0, dt=0.1, record=["a/op/x", "a/op/m", "b/op/u"])
    expected = np.zeros((30, 2))
    expected[steps:] = result["a/op/x"][:-steps] * np.array([2.0, 3.0])
    assert np.array_equal(result["b/op/u"], expected)
    edges = (Edge("a/op/m", "b/op/u", 1.0, delay=0.1 * steps),)
    result = simulate(lower(Graph(nodes, edges)), 3.0, dt=0.1, record=["a/op/m", "b/op/u"])
    assert np.array_equal(result["b/op/u"][steps:, 1], result["a/op/m"][:-steps, 0])
    assert not result["b/op/u"][:steps].any()


def test_each_pair_has_its_own_delay():
    op = nets.operator("x' = cos(3*t + p)", {"x": 0.3}, {"p": 0.0})
    steps = np.array([[1, 2, 0], [5, 3, 4]])
    weights = np.arange(1.0, 7).reshape(2, 3)
    graph = Graph({"a": Node({"op": op}, 3, {"op/p": np.arange(3.0)}), "b": Node({"op": nets.decay()}, 2)},
                  (Edge("a/op/x", "b/op/u", weights, delay=0.1 * steps),))
    result = simulate(lower(graph), 2.0, dt=0.1, record=["a/op/x", "b/op/u"])
    expected = np.zeros((20, 2))
    for (i, j), n in np.ndenumerate(steps):
        expected[n:, i] += weights[i, j] * result["a/op/x"][: 20 - n, j]
    assert np.abs(result["b/op/u"] - expected).max() < 1e-14


def test_merged_equals_separate():
    """Nodes that merge give what they give when an unused parameter keeps them apart."""
    def graph(apart: bool) -> Graph:
        nodes = {}
        for i in range(4):
            extra = {f"unused{i}": 1.0} if apart else {}
            equation = "x' = -x/tau + tanh(u) + 0.2*past(x, 0.13)"
            op = nets.operator(equation, {"x": 1.0}, {"tau": 1.0, **extra}, {"u": 0.0})
            nodes[f"n{i}"] = Node({"op": op}, 1, {"op/tau": 1.0 + i, "op/x": 0.5 * i})
        edges = tuple(
            Edge(f"n{i}/op/x", f"n{j}/op/u", 0.3 * i - 0.2 * j + 0.1, delay=[None, 0.2, 0.25, 0.4][(i + j) % 4])
            for i in range(4) for j in range(4) if (i, j) != (1, 2)
        )
        edges += (Edge("n1/op/x", "n2/op/u", 0.7, delay=0.3, spread=0.12),)
        return Graph(nodes, edges)

    one, four = lower(graph(False)), lower(graph(True))
    assert (len(one.system.groups), len(four.system.groups)) == (1, 4)
    runs = [simulate(p, 3.0, dt=0.1, solver="heun", inputs={"n0/op/u": 0.3}) for p in (one, four)]
    assert nets.largest_difference(*runs) < 1e-14


def test_history_rows_continue_an_earlier_run():
    """The rows of a run, handed over as history, give the run that goes on."""
    graph = nets.Graph(
        {"a": Node({"op": DELAYED}, 2, {"op/x": np.array([1.0, 2.0]), "op/d": np.array([0.3, 0.17])}),
         "b": Node({"op": nets.decay()})},
        (Edge("a/op/x", "b/op/u", np.array([[1.0, -2.0]]), delay=np.array([[0.2, 0.25]])),),
    )
    program = lower(graph)
    whole = simulate(program, 2.0, dt=0.05, solver="heun")
    start = {"a/op/x": whole["a/op/x"][20], "b/op/x": whole["b/op/x"][20]}
    history = {"a/op/x": whole["a/op/x"][:20]}
    again = simulate(program, 1.0, dt=0.05, solver="heun", params=start, history=history)
    for name in ("a/op/x", "b/op/x"):
        assert np.abs(again[name] - whole[name][20:]).max() < 1e-15
    # One number for each unit, and one number for all.
    each = simulate(program, 1.0, dt=0.05, history={"a/op/x": np.array([0.4, 0.4])})
    assert nets.largest_difference(each, simulate(program, 1.0, dt=0.05, history={"a/op/x": 0.4})) == 0


@pytest.mark.parametrize(("delay", "spread"), [(0.5, 0.5), (1.0, 0.4), (1.0, 0.3), (2.0, 0.21)])
def test_gamma_chain_moments(delay, spread):
    """With Euler a chain of n stages has exactly the mean `delay` and the variance delay^2/n - dt delay."""
    dt, order = 0.01, round((delay / spread) ** 2)
    pulse = nets.operator("m = u\nx' = 0", {"x": 0.0}, inputs={"u": 0.0}, algebraic={"m": 0.0})
    graph = Graph({"a": Node({"op": pulse}), "b": Node({"op": nets.decay()})},
                  (Edge("a/op/m", "b/op/u", 3.0, delay=delay, spread=spread),))
    impulse = np.zeros(round(12 * delay / dt))
    impulse[0] = 1 / dt
    result = simulate(lower(graph), len(impulse) * dt, dt=dt, inputs={"a/op/u": impulse}, record="b/op/u")
    h = result.to_numpy()[:, 0] / 3.0 * dt
    mean = h @ result.time
    variance = h @ (result.time - mean) ** 2
    assert h.sum() == pytest.approx(1, abs=1e-4)
    assert mean == pytest.approx(delay, rel=1e-3)
    assert variance == pytest.approx(delay**2 / order - dt * delay, rel=1e-2)
    assert abs(np.sqrt(delay**2 / order) - spread) < spread * 0.25 / np.sqrt(order)
    assert result.final.state["a/op/m->b/op/u/chain"].shape[0] == order


def test_gamma_chain_starts_at_zero_and_can_be_moved():
    graph = Graph({"a": Node({"op": SELF}), "b": Node({"op": nets.decay()})},
                  (Edge("a/op/x", "b/op/u", delay=0.4, spread=0.1, label="slow"),))
    program = lower(graph)
    result = simulate(program, 2.0, dt=0.01, record="b/op/u", solver="rk4")
    rate, t = 16 / 0.4, result.time
    terms = np.cumprod(np.concatenate([np.ones((1, len(t))), (rate * t)[None] / np.arange(1, 16)[:, None]]), axis=0)
    exact = 1 - np.exp(-rate * t) * terms.sum(0)  # the Erlang distribution of 16 stages
    assert np.abs(result.to_numpy()[:, 0] - exact).max() < 1e-4
    slower = program.update({"slow/delay": 0.8, "slow/spread": 0.2})
    moved = simulate(slower, 2.0, dt=0.02, record="b/op/u", solver="rk4")
    # Twice as slow, in twice as large steps: the same numbers.
    assert np.abs(moved.to_numpy()[:, 0] - result.to_numpy()[:100, 0]).max() < 1e-14


NODES = {"a": Node({"op": SELF}), "p": Node({"op": nets.decay()}, 2)}
COLUMN = np.ones((2, 1))


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (Edge("a/op/x", "a/op/u", delay=-0.1), "finite time >= 0, got -0.1"),
        (Edge("a/op/x", "a/op/u", delay=np.nan), "finite time >= 0, got nan"),
        (Edge("a/op/x", "p/op/u", COLUMN, delay=np.inf), "finite time >= 0, got inf"),
        (Edge("a/op/x", "a/op/u", spread=0.1), "needs one delay > 0, got delay=0.0"),
        (Edge("a/op/x", "a/op/u", delay=0.1, spread=-0.1), "spread=-0.1 is the standard deviation"),
        (Edge("a/op/x", "p/op/u", COLUMN, delay=COLUMN, spread=0.1), "needs one delay for the whole edge"),
        (Edge("a/op/x", "a/op/u", delay=1.0, spread=1e-4), "takes 100000000 stages"),
        (Edge("a/op/x", "a/op/u", delay=0.05), "a delay of 0.05 is shorter than the step 0.1. Use dt <= 0.05"),
        (Edge("a/op/x", "p/op/u", COLUMN, delay=0.01 + COLUMN / 10), None),
        (Edge("a/op/x", "a/op/u", delay=1e12), "too many to remember"),
    ],
)
def test_delays_that_cannot_be(edge, message):
    if message is None:
        simulate(lower(Graph(NODES, (edge,))), 1.0, dt=0.1)
        return
    with pytest.raises(TimeError) as error:
        simulate(lower(Graph(NODES, (edge,))), 1.0, dt=0.1)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"e/delay": -1.0}, "finite time >= 0"),
        ({"e/delay": 0.03}, "shorter than the step"),
        ({"g/delay": 0.0}, "gamma chain must be a finite time > 0"),
        ({"g/delay": -1.0}, "gamma chain must be a finite time > 0"),
        ({"d/op/d": -0.1}, "past(d/op/x): a delay must be a finite time >= 0"),
        ({"d/op/d": 0.01}, "past(d/op/x): a delay of 0.01 is shorter than the step"),
    ],
)
def test_delays_that_cannot_be_set(params, message):
    edges = (Edge("a/op/x", "p/op/u", delay=0.2, label="e"), Edge("a/op/x", "p/op/u", delay=0.2, spread=0.1, label="g"))
    program = lower(Graph({**NODES, "d": Node({"op": DELAYED})}, edges))
    for given in ({"params": params}, {"batch": {k: [0.5, v] for k, v in params.items()}}):
        with pytest.raises(TimeError) as error:
            simulate(program, 1.0, dt=0.1, **given)
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        ({"n/op/y": 1.0}, PathError, "unknown variable 'y'"),
        ({"n/op/u": 1.0}, PathError, "unknown delayed variable"),
        ({"n/op/x": np.ones(3)}, ShapeError, "got shape (3,), expected a number, (1,), or at least (6, 1)"),
        ({"n/op/x": np.ones((5, 1))}, ShapeError, "rows up to one step before the start"),
        ({"n/op/x": "one"}, ShapeError, "expected numbers, got 'one'"),
        ({"n/op/x": np.nan}, ShapeError, "not finite"),
        ({"n/op/x": 1j}, ShapeError, "complex"),
        ([1.0], ShapeError, "expected a dict"),
    ],
)
def test_histories_that_cannot_be(history, error, message):
    with pytest.raises(error) as caught:
        simulate(lower(self_coupled()), 1.0, dt=0.02, history=history)
    assert message in str(caught.value)
