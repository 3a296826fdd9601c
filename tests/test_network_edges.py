"""Edges of networks against NumPy loops: dense, sparse, delayed, filtered, masked, feedback; several of each."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from recurra import CircuitTemplate, EdgeTemplate, Network, NodeTemplate, OperatorTemplate
from recurra.engine import Sparse
from recurra.engine.reference import simulate as slow

DT = 0.1
LEAK = "v' = -v/tau + u"
LEAK_VARIABLES = {"v": "output(0.0)", "tau": 2.0, "u": "input(0.0)"}


def leak(n: int, name: str = "leak") -> dict:
    return {"node": LEAK, "variables": LEAK_VARIABLES, "N": n, "op": name}


def close(got, expected, tolerance=1e-12):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    error = np.max(np.abs(got - expected))
    assert error <= tolerance, f"largest error {error:g}"


def series(steps, n, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, n))


def passing(n_in, n_out, **edge) -> tuple[Network, np.ndarray]:
    """Two nodes that pass on what they get, so that the output is what the edge brought."""
    net = Network(dt=DT)
    net.add_func_node("a", n_in, "identity")
    net.add_func_node("b", n_out, "identity")
    weights = edge.pop("weights", np.random.default_rng(1).standard_normal((n_out, n_in)))
    net.add_edge("a", "b", weights, **edge)
    return net, weights


def delayed(x, W, delays):
    """W[i, j] x_j(k - d[i, j]); nothing before the start."""
    steps, delays = len(x), np.broadcast_to(delays, W.shape)
    out = np.zeros((steps, len(W)))
    for k in range(steps):
        for i in range(W.shape[0]):
            for j in range(W.shape[1]):
                if k >= delays[i, j]:
                    out[k, i] += W[i, j] * x[k - int(delays[i, j]), j]
    return out


DELAYS = {
    "none": 0,
    "one": 1,
    "all": 3,
    "each source": [0, 2, 5],
    "each source, none 0": [1, 2, 5],
    "matrix": np.array([[1, 2, 3], [4, 5, 6]]),
    "matrix with zeros": np.array([[0, 2, 0], [1, 0, 6]]),
}


@pytest.mark.parametrize("delays", DELAYS.values(), ids=DELAYS)
def test_delays_in_steps(delays):
    net, W = passing(3, 2, delays=delays)
    x = series(20, 3)
    close(net.run(x)["out"], delayed(x, W, delays))


def test_delays_do_not_mix_channels():
    """B8: inputs (k, 10+k, 100+k), a delay of 2 steps; every channel keeps to itself."""
    net, _ = passing(3, 3, weights=np.eye(3), delays=2)
    x = np.arange(6)[:, None] + np.array([0.0, 10.0, 100.0])
    out = net.run(x)["out"]
    close(out[:2], np.zeros((2, 3)))
    close(out[2:], x[:-2])


@pytest.mark.parametrize("weights", [0.5, [0.5, -0.2, 0.9], np.array([[0.5, 0.1, 0], [0, 0.2, 0.3], [0.1, 0, -0.6]])])
@pytest.mark.parametrize("delays", [None, 2])
def test_filter(weights, delays):
    net, W = passing(3, 2, filter_weights=weights, delays=delays)
    x, F = series(15, 3), np.asarray(weights, float)
    F = F if F.ndim == 2 else np.diag(np.broadcast_to(F, 3))
    y, filtered = np.zeros(3), []
    for row in x:
        y = F @ y + row
        filtered.append(y)
    close(net.run(x)["out"], delayed(np.array(filtered), W, delays or 0))


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
def test_filter_is_the_same_for_every_solver(solver):
    net, _ = passing(2, 2, filter_weights=0.5)
    x = series(10, 2)
    close(net.run(x, solver=solver)["out"], passing(2, 2, filter_weights=0.5)[0].run(x)["out"])


def test_mask_leaves_no_weight_and_no_negative_zero():
    mask = np.array([[1, 0, 1], [0, 1, 0]])
    net, W = passing(3, 2, mask=mask)
    x = series(5, 3)
    close(net.run(x)["out"], x @ (W * mask).T)
    kept = net.get_var("a->b", "weights")
    assert np.array_equal(kept, np.where(mask, W, 0.0))
    assert not np.signbit(kept[mask == 0]).any()
    net.set_var("a->b", "weights", np.ones((2, 3)))
    close(net.get_var("a->b", "weights"), mask.astype(float))


@pytest.mark.parametrize("size", [(3, 2), (80, 70)])
def test_sparse_equals_dense(size):
    W = scipy.sparse.random_array(size, density=0.1, rng=np.random.default_rng(0))
    x = series(10, size[1])
    net, _ = passing(size[1], size[0], weights=W)
    close(net.run(x)["out"], x @ W.toarray().T, 1e-13)
    entries = net.get_var("a->b", "weights")
    assert entries.shape == (W.nnz,)
    close(entries, W.tocsr().data)
    net.set_var("a->b", "weights", 2 * entries)
    close(net.run(x)["out"], 2 * x @ W.toarray().T, 1e-13)


def test_sparse_weights_are_delivered_as_a_list_even_if_dense():
    W = np.random.default_rng(0).standard_normal((60, 60))
    net, _ = passing(60, 60, weights=scipy.sparse.csr_array(W))
    assert "sparse, 60 x 60, 3600 weights" in net.explain()
    x = series(4, 60)
    close(net.run(x)["out"], x @ W.T, 1e-12)


@pytest.mark.parametrize("delays", [2, [0, 1, 3]])
def test_sparse_delays(delays):
    W = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    net, _ = passing(3, 2, weights=scipy.sparse.coo_array(W), delays=delays)
    x = series(12, 3)
    close(net.run(x)["out"], delayed(x, W, delays))


def test_sparse_matrix_without_entries():
    net, _ = passing(3, 2, weights=scipy.sparse.csr_array((2, 3)))
    close(net.run(series(4, 3))["out"], np.zeros((4, 2)))


def test_entries_given_twice_add():
    W = scipy.sparse.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 2))
    assert np.array_equal(Sparse.of(W).dense(), [[0, 3], [0, 0]])


def test_recurrent_sparse_weights():
    W = scipy.sparse.random_array((50, 50), density=0.1, rng=np.random.default_rng(2))
    x = series(30, 50)
    runs = []
    for weights in (W, W.toarray()):
        net = Network(dt=DT)
        net.add_diffeq_node("r", TANH, weights=weights, target_var="r_in", output_var="v", op="li_op")
        runs.append(net.run(x)["out"])
    close(*runs, 1e-12)


TANH = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"


def test_weights_are_post_by_pre_also_when_square():
    """B8: a square matrix is not transposed."""
    W = np.array([[0.0, 1.0], [0.0, 0.0]])  # unit 1 reaches unit 0
    net, _ = passing(2, 2, weights=W)
    close(net.run([[3.0, 5.0]])["out"], [[5.0, 0.0]])
    net = Network(dt=DT)
    net.add_diffeq_node("r", weights=W, source_var="v", target_var="w", input_var="u",
                        node="v' = -v + u + w", variables={"v": "output(1)", "u": "input", "w": "input"})  # fmt: skip
    close(net.run(np.zeros((2, 2)))["out"][1], [1.0, 0.9])


def test_weights_that_are_not_given_are_drawn_from_the_seed():
    drawn = {}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        net = Network(dt=DT, seed=seed)
        for label in "abc":
            net.add_func_node(label, 20, "identity")
        net.add_edge("a", "b")
        net.add_edge("b", "c")
        drawn[name] = (net.get_var("a->b", "weights"), net.get_var("b->c", "weights"))
    assert np.array_equal(drawn["one"][0], drawn["same"][0])
    assert not np.array_equal(drawn["one"][0], drawn["one"][1])
    assert not np.array_equal(drawn["one"][0], drawn["other"][0])
    assert abs(drawn["one"][0].mean()) < 0.2
    assert abs(drawn["one"][0].std() - 1) < 0.15


def test_several_edges_into_one_node_add():
    """C2: a node with two incoming edges; parallel edges add too."""
    net = Network(dt=DT)
    for label, n in (("a", 2), ("b", 3), ("c", 2)):
        net.add_func_node(label, n, "identity")
    A, B, C = (np.random.default_rng(i).standard_normal(s) for i, s in enumerate([(2, 2), (2, 3), (2, 2)]))
    net.add_edge("a", "c", A)
    net.add_edge("b", "c", B)
    net.add_edge("a", "c", C)
    assert list(net.edges) == ["a->c", "b->c", "a->c#1"]
    x, y = series(4, 2), series(4, 3, 1)
    close(net.run({"a": x, "b": y})["out"], x @ (A + C).T + y @ B.T)


def test_skip_connection_several_sources_and_sinks():
    net = Network(dt=DT)
    net.add_func_node("in", 2, "identity")
    net.add_func_node("other", 1, "tanh")
    net.add_diffeq_node("mid", **leak(3))
    net.add_func_node("out", 2, "tanh")
    net.add_func_node("side", 1, "identity")
    W1, W2, W3, W4, W5 = (
        np.random.default_rng(i).standard_normal(s) for i, s in enumerate([(3, 2), (2, 3), (2, 2), (3, 1), (1, 3)])
    )
    for source, target, W in (("in", "mid", W1), ("mid", "out", W2), ("in", "out", W3), ("other", "mid", W4),
                              ("mid", "side", W5)):  # fmt: skip
        net.add_edge(source, target, W)
    x, y = series(12, 2), series(12, 1, 1)
    obs = net.run({"in": x, "other": y}, record_vars=[("mid", "v")])
    v, out, side, mid = np.zeros(3), [], [], []
    for a, b in zip(x, y, strict=True):
        mid.append(v)
        out.append(np.tanh(W2 @ v + W3 @ a))
        side.append(W5 @ v)
        v = v + DT * (-v / 2.0 + W1 @ a + W4 @ np.tanh(b))
    close(obs["mid", "v"], mid)
    close(obs["out"][:, :2], out)
    close(obs["out"][:, 2:], side)
    close(obs["side"], side)
    assert net.sources == ["in", "other"]
    assert net.sinks == ["out", "side"]
    assert (net.n_in, net.n_out) == (3, 3)


def test_feedback_edge_is_one_step_late():
    net = Network(dt=DT)
    net.add_func_node("a", 2, "tanh")
    net.add_func_node("b", 2, "sigmoid")
    W, F = series(2, 2, 1), series(2, 2, 2)
    net.add_edge("a", "b", W)
    net.add_edge("b", "a", F, feedback=True)
    assert net.sources == ["a"]
    assert net.sinks == ["b"]
    x, before, expected = series(10, 2), np.zeros(2), []
    for row in x:
        before = 1 / (1 + np.exp(-(W @ np.tanh(row + F @ before))))
        expected.append(before)
    close(net.run(x)["out"], expected)


def test_feedback_from_a_node_to_itself():
    net = Network(dt=DT)
    net.add_func_node("count", 1, "identity")
    net.add_edge("count", "count", 1.0, feedback=True)
    close(net.run(np.ones((5, 1)))["out"][:, 0], [1, 2, 3, 4, 5])


def test_feedback_counts_longer_delays_from_one():
    net, W = passing(2, 2, delays=[0, 3], feedback=True)
    x = series(8, 2)
    assert net.sources == net.sinks == ["a", "b"]
    close(net.run({"a": x})["b"], delayed(x, W, [1, 3]))


def test_a_circle_of_states_needs_no_feedback_edge():
    net = Network(dt=DT)
    net.add_diffeq_node("a", **leak(1))
    net.add_diffeq_node("b", **leak(1))
    net.add_edge("a", "b", 1.0)
    net.add_edge("b", "a", -1.0)
    obs = net.run({"a": np.ones((5, 1))}, record_output=False, record_vars=[("a", "v"), ("b", "v")])
    a, b = 0.0, 0.0
    for k in range(5):
        close([obs["a", "v"][k, 0], obs["b", "v"][k, 0]], [a, b])
        a, b = a + DT * (-a / 2 - b + 1), b + DT * (-b / 2 + a)


def test_edges_to_and_from_named_variables():
    net = Network(dt=DT)
    net.add_func_node("a", 2, "identity")
    net.add_diffeq_node("r", TANH, N=2)
    net.add_func_node("z", 2, "identity")
    net.add_edge("a", "r/li_op/r_in", np.eye(2))
    net.add_edge("a", "r/li_op/I_ext", np.eye(2))
    net.add_edge("r/li_op/v", "z", np.eye(2))
    x, v = series(6, 2), np.zeros(2)
    out = net.run(x)["out"]
    for k in range(6):
        close(out[k], v)
        v = v + DT * (-v / 10 + 2 * x[k])


def test_one_number_sums_over_the_source():
    net, _ = passing(3, 2, weights=0.5)
    x = series(4, 3)
    close(net.run(x)["out"], np.repeat(0.5 * x.sum(axis=1, keepdims=True), 2, axis=1))


def test_weight_of_zero_equals_no_edge():
    net, _ = passing(2, 2, weights=np.zeros((2, 2)))
    close(net.run(series(3, 2))["out"], np.zeros((3, 2)))


def test_recurrent_delay_and_spread_match_the_slow_engine():
    rng = np.random.default_rng(3)
    for attributes in ({"delay": 0.3}, {"delay": 1.0, "spread": 0.5}, {"delay": rng.integers(1, 5, (4, 4)) * DT}):
        net = Network(dt=DT)
        net.add_diffeq_node("r", TANH, weights=rng.standard_normal((4, 4)), target_var="r_in", input_var="I_ext",
                            output_var="v", op="li_op", edge_attr=attributes)  # fmt: skip
        x = series(30, 4)
        reference = slow(net.to_graph(), 3.0, dt=DT, inputs={"r/li_op/I_ext": x}, record=["r/li_op/v"])
        close(net.run(x)["out"], reference["r/li_op/v"], 1e-12)


def test_edge_template_on_recurrent_weights():
    depression = EdgeTemplate(
        "depression",
        OperatorTemplate("dep", ["x' = (1 - x)/tau - x*r", "r_eff = r*x"],
                         {"r_eff": "output", "x": "variable(1.0)", "tau": 100.0, "r": "input"}),
    )  # fmt: skip
    W = series(3, 3, 5)
    net = Network(dt=DT)
    net.add_diffeq_node("p", "r' = -r + u + w", variables={"r": "output(0.3)", "u": "input", "w": "input"}, op="o",
                        weights=W, target_var="w", input_var="u", edge_template=depression,
                        edge_attr={"dep/tau": 5.0})  # fmt: skip
    x = np.abs(series(20, 3))
    obs = net.run(x, record_vars={"x": "p->p/dep/x"})
    r, d = np.full(3, 0.3), np.ones((3, 3))
    for k in range(20):
        close(obs["out"][k], r)
        close(obs["x"][k].reshape(3, 3), d)
        r, d = r + DT * (-r + x[k] + (W * d * r).sum(axis=1)), d + DT * ((1 - d) / 5 - d * r)


def test_circuit_as_a_node():
    cell = NodeTemplate("cell", OperatorTemplate("leak", LEAK, LEAK_VARIABLES))
    pair = CircuitTemplate("pair", nodes={"e": cell, "i": cell},
                           edges=[("e/leak/v", "i/leak/u", None, {"weight": 0.5})])  # fmt: skip
    W = series(2, 2, 3)
    net = Network(dt=DT)
    net.add_func_node("a", 2, "identity")
    net.add_diffeq_node("c", pair, weights=W, source_var="leak/v", target_var="leak/u", input_var="leak/u")
    net.add_func_node("z", 1, "identity")
    net.add_edge("a", "c", np.eye(2))
    net.add_edge("c", "z", np.array([[2.0, -1.0]]))
    x, v = series(9, 2), np.zeros(2)
    obs = net.run(x, record_vars=[("c", "leak/v"), ("c", "i/leak/v")])
    for k in range(9):
        close(obs["c", "leak/v"][k], v)
        close(obs["c", "i/leak/v"][k], v[1:])
        close(obs["out"][k], [2 * v[0] - v[1]])
        v = v + DT * (-v / 2 + x[k] + W @ v + np.array([0.0, 0.5 * v[0]]))


def test_delayed_and_filtered_edges_to_a_circuit():
    cell = NodeTemplate("cell", OperatorTemplate("leak", LEAK, LEAK_VARIABLES))
    pair = CircuitTemplate("pair", nodes={"e": cell, "i": cell})
    W = series(2, 2, 3)
    net = Network(dt=DT)
    net.add_diffeq_node("c", pair)
    net.add_func_node("z", 2, "identity")
    net.add_edge("c", "z", W, delays=[[0, 1], [2, 3]], filter_weights=[0.5, -0.5])
    x = series(12, 2)
    v, y, filtered = np.zeros(2), np.zeros(2), []
    for row in x:
        y = np.array([0.5, -0.5]) * y + v
        filtered.append(y)
        v = v + DT * (-v / 2 + row)
    close(net.run(x)["out"], delayed(np.array(filtered), W, [[0, 1], [2, 3]]))
