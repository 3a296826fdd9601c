"""Orders of the solvers with delays: the start of the past is a jump, at every stage of every solver."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import networks as nets
from recurra.engine import Edge, Graph, Node, as_function, lower, simulate

SOURCE = nets.operator("x' = -x\nm = 2*x", {"x": 1.0}, algebraic={"m": 0.0})
TARGET = nets.operator("y' = -y + u", {"y": 0.0}, inputs={"u": 0.0})
ORDERS = {"euler": 1, "heun": 2, "rk4": 2}


def exact(t, delay, before, weight=1.0):
    """y' = -y + w x(t - d) from 0, x = exp(-t) from the start on and a constant before it: the method of steps."""
    late = np.maximum(t - delay, 0.0)
    first = weight * before * (1 - np.exp(-np.minimum(t, delay)))
    return first * np.exp(-late) + weight * late * np.exp(-late)


def check_order(graph, oracle, solver, record, history=None):
    """Off the grid the constant of the error depends on where in a step the delay ends, so it is bounded as well."""
    errors, steps = [], (0.04, 0.005)
    for dt in steps:
        given = {k: v(dt) if callable(v) else v for k, v in (history or {}).items()}
        run = simulate(lower(graph), 4.0, dt=dt, solver=solver, record={"y": record}, history=given)
        late = run.time >= 2.5
        errors.append(np.abs(run["y"][late] - oracle(run.time[late])).max())
    found, wanted = np.log(errors[0] / errors[1]) / np.log(steps[0] / steps[1]), ORDERS[solver]
    assert found > wanted - 0.7 and errors[1] < 2 * steps[1] ** wanted, (found, errors)


SINGLE = {"grid": 1.0, "off": 1.0137}


@pytest.mark.parametrize("solver", list(ORDERS))
@pytest.mark.parametrize("history", [None, {"a/op/x": 0.4}])
def test_one_delay(solver, history):
    """Off the grid and on it, with nothing before the start and with something."""
    before = 0.0 if history is None else history["a/op/x"]
    nodes = {"a": Node({"op": SOURCE})} | {name: Node({"op": TARGET}) for name in SINGLE}
    for name, delay in SINGLE.items():
        graph = Graph({k: nodes[k] for k in ("a", name)}, (Edge("a/op/x", f"{name}/op/u", 2.0, delay=delay),))
        check_order(graph, lambda t, d=delay: exact(t, d, before, 2.0)[:, None], solver, f"{name}/op/y", history)


@pytest.mark.parametrize("solver", list(ORDERS))
def test_a_matrix_of_delays(solver):
    """Each pair of units has a delay of its own: none, on the grid, off the grid; the two halves of an edge add."""
    delays = np.array([[1.0, 0.0], [1.2137, 0.36], [0.5001, 1.72]])
    weights = np.array([[1.0, -0.5], [0.3, 0.7], [2.0, 1.1]])
    graph = Graph({"a": Node({"op": SOURCE}, 2), "b": Node({"op": TARGET}, 3)},
                  (Edge("a/op/x", "b/op/u", weights, delay=delays),))

    def oracle(t):
        return np.stack([sum(exact(t, delays[i, j], 0.0, weights[i, j]) for j in range(2)) for i in range(3)], 1)

    check_order(graph, oracle, solver, "b/op/y")


@pytest.mark.parametrize("solver", ["heun", "rk4"])
def test_an_algebraic_source_and_edges_with_several_delays(solver):
    edges = tuple(Edge("a/op/m", "b/op/u", w, delay=d) for w, d in [(0.5, 1.0), (-0.3, 0.333), (0.2, 1.0), (1.0, None)])
    graph = Graph({"a": Node({"op": SOURCE}), "b": Node({"op": TARGET})}, edges)

    def oracle(t):
        return sum(2 * exact(t, e.delay or 0.0, 0.0, e.weight) for e in edges)[:, None]

    check_order(graph, oracle, solver, "b/op/y")


@pytest.mark.parametrize("solver", ["heun", "rk4"])
@pytest.mark.parametrize("delay", [1.0, 0.7391])
def test_past_with_a_jump_and_without(solver, delay):
    """x' = -x, y' = -y + past(x): from the initial value, from another number, and from rows that lead to it."""
    both = nets.operator("x' = -x\ny' = -y + past(x, d)", {"x": 1.0, "y": 0.0}, {"d": delay})
    graph = Graph({"n": Node({"op": both})})
    for before in (1.0, 0.2):
        history = {} if before == 1.0 else {"n/op/x": before}
        check_order(graph, lambda t, b=before: exact(t, delay, b)[:, None], solver, "n/op/y", history)

    def rows(dt):  # x = exp(-t) before the start as well
        return np.exp(dt * np.arange(round(2.0 / dt), 0, -1))[:, None]

    def smooth(t):  # y' = -y + e^d e^-t
        return (np.exp(delay) * t * np.exp(-t))[:, None]

    check_order(graph, smooth, solver, "n/op/y", {"n/op/x": rows})


@pytest.mark.parametrize("solver", ["heun", "rk4", "exponential_euler"])
def test_merged_nodes_with_different_pasts_equal_separate_ones(solver):
    """One past is a number, one is rows, one is the initial value; merged they are one ring, and each is itself."""
    past = {"d": 0.373}

    def graph(apart):
        nodes = {}
        for i in range(3):
            op = nets.operator("x' = -x + past(x, d)", {"x": 1.0}, past | ({f"k{i}": 1.0} if apart else {}))
            nodes[f"n{i}"] = Node({"op": op})
        return Graph(nodes)

    history = {"n0/op/x": 0.3, "n1/op/x": np.linspace(0.2, 0.95, 20)[:, None]}
    runs = [simulate(lower(graph(apart)), 2.0, dt=0.05, solver=solver, history=history) for apart in (False, True)]
    assert nets.largest_difference(*runs) < 1e-15


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
@pytest.mark.parametrize("delay", [0.4, 0.43])
def test_gradients_by_delays_equal_finite_differences(solver, delay):
    """On the grid too, where the jump lies between two steps: there the mean of both sides."""
    graph = Graph({"a": Node({"op": SOURCE}), "b": Node({"op": TARGET})},
                  (Edge("a/op/x", "b/op/u", 2.0, delay=delay, label="e"), Edge("a/op/x", "b/op/u", 0.0, delay=0.6)))
    run = as_function(lower(graph), 2.5, dt=0.1, solver=solver, record={"y": "b/op/y"})

    def late(value):
        return run({"e/delay": value})["y"][-1, 0]

    with jax.enable_x64(True):
        slope = float(jax.grad(late)(delay))
        differences = [float(late(delay + h) - late(delay)) / h for h in (1e-5, -1e-5)]
    low, high = sorted(differences)
    assert low - 1e-4 <= slope <= high + 1e-4, (slope, differences)
    # The solvers agree with the exact slope to their order
    h = 1e-6
    right = (exact(2.4, delay + h, 0.0, 2.0) - exact(2.4, delay - h, 0.0, 2.0)) / (2 * h)
    assert slope == pytest.approx(right, abs=0.08)


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4", "exponential_euler"])
@pytest.mark.parametrize("history", [{}, {"a/op/x": 0.3}])
def test_half_and_resume_is_the_whole_within_the_first_delay(solver, history):
    """Going on before the jump has come through: the state remembers that there is one."""
    graph = Graph({"a": Node({"op": SOURCE}, 2), "b": Node({"op": TARGET}, 2)},
                  (Edge("a/op/x", "b/op/u", np.ones((2, 2)), delay=np.array([[0.5, 0.62], [0.31, 0.7]])),))
    program = lower(graph)
    whole = simulate(program, 1.2, dt=0.1, solver=solver, history=history)
    half = simulate(program, 0.3, dt=0.1, solver=solver, history=history)
    rest = simulate(program, 0.9, dt=0.1, solver=solver, state=half.final)
    for name in whole:
        assert np.array_equal(np.concatenate([half[name], rest[name]]), whole[name])
