"""The compiled engine against the NumPy oracle, which runs a graph node by node, edge by edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import networks as nets
from recurra.engine import Edge, Graph, Node, Spike, lower, reference, simulate

TOLERANCE = 1e-12


def compare(graph: Graph, duration: float, dt: float, record: object = None, tolerance=TOLERANCE, **options) -> None:
    program = lower(graph)
    engine = simulate(program, duration, dt=dt, record=record, **options)
    oracle = reference.simulate(graph, duration, dt=dt, record=record, **options)
    assert np.array_equal(engine.time, oracle.time)
    assert nets.largest_difference(engine, oracle) <= tolerance
    if record is None:  # something must have happened
        assert any(np.ptp(engine[name]) > 0 for name in engine)


def samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape)


INPUTS = {
    "p/op/r_in": samples(30, 3),  # also wired
    "n0/op0/r_in": 0.3,  # a constant beside a series in one group
    "n1/q/m": samples(30),  # driven beside a signal of its own node
    "r/op/r_in[1]": samples(31),  # one unit of a population, with its end point
}


def test_everything_at_once():
    compare(nets.everything(), 3.0, 0.1, nets.EVERYTHING, solver="rk4", inputs=INPUTS)


def test_everything_with_history_sampling_and_parameters():
    history = {"n1/q/y": 0.7, "n2/op0/x": samples(8, 1), "p/op/x": 0.2, "r/op/m": np.array([0.0, 0.4])}
    params = {
        "all/op0/tau": np.array([1.3, 2.2]),
        "p/op/d": np.array([0.11, 0.25, 0.0]),
        "r/op/x[1]": 0.6,
    }
    graph, record = nets.everything(1), nets.EVERYTHING
    options = {"solver": "heun", "inputs": INPUTS, "history": history, "every": 3, "cutoff": 0.6}
    edges = list(graph.edges)
    matrix = samples(3, 1)
    edges[1], edges[2] = replace(edges[1], weight=-0.4), replace(edges[2], delay=0.37)
    edges[5], edges[11] = replace(edges[5], weight=matrix), replace(edges[11], weight=samples(2, 3))
    on_edges = {
        "n0/op0/m->n1/op1/r_in#1/weight": -0.4,
        "n1/q/y->n2/op0/r_in/delay": 0.37,
        "n3/op1/m->p/op/r_in/weight": matrix,
        "p/op/x->r/op/r_in#1/weight": samples(2, 3),
    }
    # The oracle is told of the edges' numbers by the graph, the engine by their paths.
    engine = simulate(lower(graph), 3.0, dt=0.1, record=record, params=params | on_edges, **options)
    changed = Graph(graph.nodes, tuple(edges))
    oracle = reference.simulate(changed, 3.0, dt=0.1, record=record, params=params, **options)
    assert nets.largest_difference(engine, oracle) <= TOLERANCE


@pytest.mark.parametrize("solver", ["euler_maruyama", "stochastic_heun"])
def test_noise(solver):
    compare(nets.noisy_network(), 1.0, 0.02, nets.NOISY, solver=solver, seed=7)


def test_shared_and_own_noise():
    op = nets.operator(
        "x' = -x + xi_a + m\ny' = -y + xi_a + xi\nm = 0.3*xi + t", {"x": 0.0, "y": 1.0}, algebraic={"m": 0.0}
    )
    graph = Graph({"a": Node({"op": op}, 2), "b": Node({"other": op}, 2)})
    record = ["a/op/x", "a/op/y", "a/op/m", "b/other/x", "b/other/m"]
    compare(graph, 0.5, 0.05, record, seed=3)


def test_noise_in_vectors_differs_from_entry_to_entry():
    op = nets.operator("x' = -x + xi + mean(x)*xi_a", {"x": np.zeros(3)})
    compare(Graph({"n": Node({"op": op})}), 0.5, 0.05, seed=3)
    x = simulate(lower(Graph({"n": Node({"op": op})})), 0.5, dt=0.05)["n/op/x"]
    assert np.abs(np.diff(x[1])).min() > 0.01


def complex_network() -> Graph:
    op = nets.operator(
        "z' = (i*w - 0.1)*z + s\nr = abs(z)", {"z": 0.5 + 0.1j}, {"i": 1j, "w": 10.0}, {"s": 0.0}, {"r": 0.0}
    )
    edges = (
        Edge("a/op/z", "b/op/s", 0.5, delay=0.05),
        Edge("b/op/z", "a/op/s", -0.5, delay=0.06, spread=0.03),
        Edge("b/op/r", "b/op/s", 0.1),
    )
    return Graph({"a": Node({"op": op}), "b": Node({"op": op})}, edges)


@pytest.mark.parametrize("solver", ["euler", "rk4"])
def test_complex_states(solver):
    record = ["all/op/z", "all/op/r", "a/op/s"]
    compare(complex_network(), 1.0, 0.01, record, solver=solver, inputs={"a/op/s": 0.1j})


def test_complex_past_and_history():
    op = nets.operator("z' = 5*i*past(z, d) - z", {"z": 0.5 + 0.1j}, {"i": 1j, "d": 0.13})
    compare(nets.single(op, 2), 1.0, 0.05, solver="heun")
    compare(nets.single(op, 2), 1.0, 0.05, history={"n/op/z": np.array([1j, 0.3])})


def vector_network() -> Graph:
    vector = nets.operator(
        "x' = -x/tau + matvec(W, tanh(x)) + u\nm = mean(x)*x[1] + x",
        {"x": np.array([0.1, -0.2, 0.3])},
        {"tau": np.array([1.0, 2.0, 3.0]), "W": samples(3, 3)},
        {"u": np.zeros(3)},
        {"m": np.zeros(3)},
    )
    mean_field = nets.operator("x' = -x + mean(x) + r_in", {"x": 1.0}, inputs={"r_in": 0.1})
    population = Node({"op": mean_field}, 4, {"op/x": samples(4)})
    nodes = {"v": Node({"op": vector}), "w": Node({"op": vector}), "p": population}
    coupling = {"node": Node({"e": nets.product()}), "inputs": {"e/u": "source", "e/w": "p/op/x"}, "output": "e/z"}
    edges = (
        Edge("v/op/m", "w/op/u", 0.1),
        Edge("v/op/x", "p/op/r_in", samples(4, 3), delay=0.2),
        Edge("w/op/x", "p/op/r_in", samples(4, 3), delay=0.1 * np.arange(12).reshape(4, 3)),
        Edge("p/op/x", "v/op/u", samples(3, 4)),
        Edge("v/op/x", "p/op/r_in", samples(4, 3), **coupling),
    )
    return Graph(nodes, edges)


@pytest.mark.parametrize("solver", ["euler", "rk4"])
def test_vector_variables_means_and_indices(solver):
    record = ["v/op/x", "w/op/m", "p/op/x", "v/op/x[2]"]
    inputs = {"w/op/u": samples(20, 3), "p/op/r_in[2]": 0.5}
    compare(vector_network(), 2.0, 0.1, record, solver=solver, inputs=inputs)


def test_truth_values_count():
    """Two operators of a node send truth values to one input: they add up to 2."""
    spike = nets.operator("x' = 1 - x\nm = x > 0.1", {"x": 0.0}, algebraic={"m": 0.0}, output="m")
    total = nets.operator("y' = m", {"y": 0.0}, inputs={"m": 0.0})
    graph = Graph({"n": Node({"a": spike, "b": spike, "c": total}), "q": Node({"c": total})},
                  (Edge("n/a/m", "q/c/m", 2.0, delay=0.2), Edge("n/b/m", "q/c/m", 1.0)))
    compare(graph, 1.0, 0.1, ["n/c/y", "q/c/y", "n/a/m"])


def test_only_algebraic_chain_through_merged_nodes():
    """Nodes that merge, but depend on each other without delay, are taken apart again."""
    op = nets.operator("m = tanh(u) + 0.1*t", inputs={"u": 0.3}, algebraic={"m": 0.0})
    nodes = {f"n{i}": Node({"op": op}) for i in range(4)}
    edges = tuple(Edge(f"n{i}/op/m", f"n{i + 1}/op/u", 1.0 + i) for i in range(3))
    compare(Graph(nodes, edges), 1.0, 0.1)


def test_a_variable_may_be_called_t():
    compare(nets.single(nets.operator("x' = t + pi*x", {"x": 0.1}, {"t": 3.0})), 1.0, 0.1)


@pytest.mark.parametrize("count", [40, 400])
def test_large_groups_are_delivered_sparsely(count):
    rng = np.random.default_rng(count)
    op = nets.decay()
    nodes = {f"n{i}": Node({"op": op}, values={"op/x": rng.normal()}) for i in range(40)}
    ends = rng.integers(0, 40, (count, 2))
    edges = tuple(
        Edge(f"n{i}/op/x", f"n{j}/op/u", rng.normal() / 10, delay=0.1 * (k % 3) or None)
        for k, (i, j) in enumerate(ends)
    )
    compare(Graph(nodes, edges), 0.5, 0.1, ["all/op/x", "all/op/u"], solver="heun")


@pytest.mark.parametrize(
    ("sizes", "weight", "delivery"),
    [
        ((40, 40), np.eye(40), "dense"),
        ((3, 2), np.array([[1.0, 2, 3], [4, 5, 6]]), "dense"),
        ((3, 2), 0.7, "all_to_all"),
        ((1, 3), np.array([[1.0], [2.0], [3.0]]), "dense"),
    ],
)
def test_deliveries(sizes, weight, delivery):
    op = nets.operator("x' = -x + u", {"x": 1.0}, inputs={"u": 0.1})
    other = nets.operator("y' = -2*y + u", {"y": 1.0}, inputs={"u": 0.1})
    for delay in (None, 0.2, 0.25):
        graph = Graph({"a": Node({"op": op}, sizes[0]), "b": Node({"op": other}, sizes[1])},
                      (Edge("a/op/x", "b/op/u", weight, delay=delay),))
        assert lower(graph).system.projections[0].delivery == delivery
        compare(graph, 0.6, 0.1)


def test_one_to_one_and_pairs():
    op, other = nets.decay(), nets.operator("y' = -2*y + u", {"y": 1.0}, inputs={"u": 0.1})
    nodes = {f"a{i}": Node({"op": op}) for i in range(3)} | {f"b{i}": Node({"op": other}) for i in range(3)}
    edges = tuple(Edge(f"a{i}/op/x", f"b{i}/op/u", 0.5 + i) for i in range(3))
    assert lower(Graph(nodes, edges)).system.projections[0].delivery == "one_to_one"
    compare(Graph(nodes, edges), 0.5, 0.1)
    graph = Graph({"p": Node({"op": op}, 40, {"op/x": samples(40)})},
                  (Edge("p/op/x", "p/op/u", samples(40, 40) / 40, node=Node({"e": nets.product()}),
                        inputs={"e/u": "source", "e/w": "p/op/x"}, output="e/z"),))
    assert "pairs" in [p.delivery for p in lower(graph).system.projections]
    compare(graph, 0.2, 0.1)


UNITS = [nets.tanh_unit(), nets.decay(), nets.operator("x' = u - x**3", {"x": 0.2}, inputs={"u": 0.1})]


@st.composite
def networks(draw) -> Graph:
    """Draw up to four nodes and up to six edges of any kind."""
    kinds = draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
    sizes = [draw(st.integers(1, 3)) for _ in kinds]
    nodes = {
        f"n{i}": Node({f"op{draw(st.integers(0, 1))}": UNITS[kind]}, size)
        for i, (kind, size) in enumerate(zip(kinds, sizes, strict=True))
    }
    edges = []
    for _ in range(draw(st.integers(0, 6))):
        s, t = draw(st.integers(0, len(kinds) - 1)), draw(st.integers(0, len(kinds) - 1))
        source = f"n{s}/{next(iter(nodes[f'n{s}'].operators))}/x"
        owner = f"n{t}/{next(iter(nodes[f'n{t}'].operators))}"
        target = f"{owner}/{'u' if kinds[t] else 'r_in'}"
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        shape = (sizes[t], sizes[s])
        weight = draw(st.sampled_from([0.5, -1.0, rng.normal(size=shape)]))
        kind = draw(st.sampled_from(["plain", "delay", "delays", "gamma", "operators", "delayed operators"]))
        options: dict = {}
        if kind in ("delay", "gamma", "delayed operators"):
            options["delay"] = draw(st.sampled_from([0.1, 0.2, 0.33]))
        if kind == "gamma":
            options["spread"] = options["delay"] / draw(st.sampled_from([1.0, 1.5, 2.0]))
        if kind == "delays" and np.ndim(weight):
            options["delay"] = 0.1 * rng.integers(0, 4, shape)
        if "operators" in kind:
            options |= {"node": Node({"e": nets.product()}), "output": "e/z"}
            options["inputs"] = {"e/u": "source", "e/w": f"{owner}/x"}
        edges.append(Edge(source, target, weight, **options))
    return Graph(nodes, tuple(edges))


@settings(max_examples=25)
@given(networks(), st.sampled_from(["euler", "heun"]))
def test_random_networks(graph, solver):
    first = next(iter(graph.nodes))
    driven = "r_in" if "r_in" in next(iter(graph.nodes[first].operators.values())).variables else "u"
    path = f"{first}/{next(iter(graph.nodes[first].operators))}/{driven}"
    compare(graph, 0.8, 0.1, solver=solver, inputs={path: np.sin(np.arange(8.0))})


def test_a_ramp_with_a_threshold_by_hand():
    """v' = 1 from 0, threshold 1, reset 0, in steps of 0.25; the refractory time of two steps counts from the spike."""
    ramp = nets.operator("v' = 1", {"v": 0.0})
    held = [0, 0.25, 0.5, 0.75, 1, 0, 0, 0.25]
    for refractory, expected in ((0.0, [0, 0.25, 0.5, 0.75, 1, 0, 0.25, 0.5]), (0.5, held)):
        cell = Node({"op": ramp}, spikes=(Spike("op/v", None, threshold=1.0, reset=0.0, refractory=refractory),))
        for run in (lambda graph, **o: simulate(lower(graph), **o), reference.simulate):
            assert run(Graph({"cell": cell}), duration=2.0, dt=0.25)["cell/op/v"][:, 0].tolist() == expected


REST = np.array([0.0, 0.2, 0.31])


@pytest.mark.parametrize("solver", ["euler_maruyama", "stochastic_heun"])
def test_spikes_resets_and_refractory_times(solver):
    """Two merged nodes with own thresholds, spikes that a synapse counts, that another node feels later, and noise."""
    op = nets.operator(
        "v' = I - v + 0.3*xi\ns' = -2*s + seen\n", {"v": np.float64(0.0), "s": 0.0}, inputs={"I": 1.6, "seen": 0.0}
    )
    spike = Spike("op/v", "op/seen", threshold=np.array([0.7, 0.9, 1.1]), reset=0.1, refractory=REST)
    cells = Node({"op": op}, 3, spikes=(spike,))
    other = Node({"op": op}, 3, {"op/I": 0.4}, (replace(spike, threshold=0.5, refractory=0.15, reset=-0.2),))
    edges = (Edge("a/op/s", "b/op/I", 0.8 * np.eye(3), delay=0.3),)
    compare(Graph({"a": cells, "b": other}, edges), 6.0, 0.05, solver=solver, seed=4)
    graph = Graph({"a": cells, "b": other}, edges)
    found = simulate(lower(graph), 6.0, dt=0.05, solver=solver, seed=4, record="a/op/seen")["a/op/seen"]
    assert (found > 0).sum(axis=0).min() > 2  # something has happened


def test_spikes_without_reset_and_changed_thresholds():
    op = nets.operator("v' = cos(t)\nc' = seen", {"v": 0.0, "c": 0.0}, inputs={"seen": 0.0})
    cell = Node({"op": op}, 2, spikes=(Spike("op/v", "op/seen", threshold=0.8, reset=None),))
    compare(Graph({"a": cell}), 8.0, 0.05, params={"a/spike/threshold": np.array([0.5, 0.9])})
