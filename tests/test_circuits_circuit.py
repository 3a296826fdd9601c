"""Circuits: edges, matrices, circuits in circuits, wildcards, populations; against loops written in NumPy."""

from __future__ import annotations

import time

import numpy as np
import pytest

from recurra.circuits import (
    CircuitTemplate,
    Connectivity,
    EdgeTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
)
from recurra.errors import PathError, ShapeError, TemplateError

LEAK = OperatorTemplate(
    "leak", "v' = (-v + u + drive)/tau", {"v": "output(0.5)", "tau": 2.0, "u": "input", "drive": "input(0.1)"}
)
SQUASH = OperatorTemplate("squash", "m = tanh(g*r)", {"m": "output", "r": "input", "g": 1.0})
LAG = OperatorTemplate("lag", "s' = (m - s)/tau_s", {"s": "output", "m": "input", "tau_s": 3.0})
DIFF = OperatorTemplate("diff", "c = sin(a - b)", {"c": "output", "a": "input", "b": "input"})
CELL = NodeTemplate("cell", LEAK)
DT = 0.1


def net(count, **more):
    return CircuitTemplate("net", nodes={f"n{i}": CELL for i in range(count)}, **more)


def euler(rate, start, steps):
    """Forward Euler, row k before step k: the oracle."""
    rows, state = [], np.asarray(start, float)
    for _ in range(steps):
        rows.append(state)
        state = state + DT * rate(state)
    return np.array(rows)


def traces(circuit, steps=40, outputs=None, **options):
    outputs = outputs or {"v": "all/leak/v"}
    return circuit.run(steps * DT, DT, outputs=outputs, **options).to_numpy()


def test_matrix_of_edges():
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((4, 4))
    weights[1, 2] = 0.0
    weights[2, 0] = 1e-7
    circuit = net(4).add_edges_from_matrix("leak/v", "leak/u", [f"n{i}" for i in range(4)], weight=weights)
    assert len(circuit.edges) == 14
    used = np.where(np.abs(weights) > 1e-6, weights, 0.0)
    expected = euler(lambda v: (-v + used @ v + 0.1) / 2.0, [0.5] * 4, 40)
    assert np.abs(traces(circuit) - expected).max() < 1e-12
    again = net(4).add_edges_from_matrix("leak/v", "leak/u", [f"n{i}" for i in range(4)], weight=weights.tolist())
    assert again == circuit


def test_rectangular_matrix_is_target_by_source():
    weights = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    circuit = net(5).add_edges_from_matrix("leak/v", "leak/u", ["n0", "n1", "n2"], ["n3", "n4"], weight=weights)
    assert circuit.get_edge("n2/leak/v", "n3/leak/u").values["weight"] == 3.0
    assert circuit.get_edge("n0/leak/v", "n4/leak/u").values["weight"] == 4.0


def test_matrix_attributes_are_split_over_the_edges():
    edge = EdgeTemplate("edge", SQUASH)
    delays = [[0.1, 0.2], [0.3, 0.4]]
    circuit = net(2).add_edges_from_matrix(
        "leak/v", "leak/u", ["n0", "n1"], weight=2.0, template=edge,
        edge_attr={"delay": delays, "squash/g": [[1, 2], [3, 4]], "spread": 0.05},
    )  # fmt: skip
    found = circuit.get_edge("n1/leak/v", "n0/leak/u").values
    assert dict(found) == {"weight": 2.0, "delay": 0.2, "squash/g": 2.0, "spread": 0.05, "edge/squash/r": "source"}


def test_parallel_edges_add():
    # In the original only the last of them counts.
    edges = [("n0/leak/v", "n1/leak/u", None, {"weight": w}) for w in (1.0, 2.0)]
    one = [("n0/leak/v", "n1/leak/u", None, {"weight": 3.0})]
    assert np.abs(traces(net(2, edges=edges)) - traces(net(2, edges=one))).max() < 1e-14


def test_default_weight_is_one_and_edges_have_all_forms():
    forms = [
        ("n0/leak/v", "n1/leak/u"),
        ["n0/leak/v", "n1/leak/u", None],
        ("n0/leak/v", "n1/leak/u", None, {}),
        ("n0/leak/v", "n1/leak/u", None, {"weight": 1, "delay": None}),
        {"source": "n0/leak/v", "target": "n1/leak/u"},
        {"source": "n0/leak/v", "target": "n1/leak/u", "template": None, "variables": {"weight": 1.0}},
    ]
    assert len({net(2, edges=[form]) for form in forms}) == 1


def test_edge_with_an_algebraic_operator():
    edges = [("n0/leak/v", "n1/leak/u", EdgeTemplate("e", SQUASH), {"weight": 2.0, "squash/g": 3.0})]
    expected = euler(lambda v: (-v + np.array([0.0, 2.0 * np.tanh(3.0 * v[0])]) + 0.1) / 2.0, [0.5, 0.5], 40)
    assert np.abs(traces(net(2, edges=edges)) - expected).max() < 1e-12


def test_edge_with_two_operators_and_a_state():
    edges = [("n0/leak/v", "n1/leak/u", EdgeTemplate("e", [SQUASH, LAG]), {"weight": 2.0, "lag/tau_s": 1.5})]

    def rate(y):
        v0, v1, s = y
        return np.array([(-v0 + 0.1) / 2.0, (-v1 + 2.0 * s + 0.1) / 2.0, (np.tanh(v0) - s) / 1.5])

    expected = euler(rate, [0.5, 0.5, 0.0], 40)
    assert np.abs(traces(net(2, edges=edges)) - expected[:, :2]).max() < 1e-12


@pytest.mark.parametrize(
    "wiring",
    [
        {"e/diff/a": "source", "e/diff/b": "n1/leak/v"},
        {"diff/a": "source", "diff/b": "n1/leak/v"},
        {"e/diff/b": "n1/leak/v"},
        {"e/diff/a": "n0/leak/v", "e/diff/b": "n1/leak/v"},
    ],
)
def test_edge_with_two_inputs(wiring):
    edges = [("n0/leak/v", "n1/leak/u", EdgeTemplate("e", DIFF), {"weight": 2.0, **wiring})]
    circuit = net(2, edges=edges).update_var({"n0/leak/v": 1.5})
    expected = euler(lambda v: (-v + np.array([0.0, 2.0 * np.sin(v[0] - v[1])]) + 0.1) / 2.0, [1.5, 0.5], 40)
    assert np.abs(traces(circuit) - expected).max() < 1e-12


def nested():
    inner = CircuitTemplate(
        "inner", nodes={"a": CELL, "b": CELL}, edges=[("a/leak/v", "b/leak/u", None, {"weight": 0.5})]
    )
    middle = CircuitTemplate("middle", circuits={"x": inner})
    return CircuitTemplate(
        "outer",
        circuits={"c": inner, "d": middle},
        nodes={"top": CELL},
        edges=[("c/b/leak/v", "d/x/a/leak/u", None, {"weight": 2.0}), ("top/leak/v", "c/a/leak/u", None, {})],
    )


def test_nested_circuits_equal_the_flat_one():
    flat = CircuitTemplate(
        "flat",
        nodes=dict.fromkeys(("top", "ca", "cb", "da", "db"), CELL),
        edges=[
            ("ca/leak/v", "cb/leak/u", None, {"weight": 0.5}),
            ("da/leak/v", "db/leak/u", None, {"weight": 0.5}),
            ("cb/leak/v", "da/leak/u", None, {"weight": 2.0}),
            ("top/leak/v", "ca/leak/u", None, {}),
        ],
    )
    assert nested().get_nodes("all") == ["top", "c/a", "c/b", "d/x/a", "d/x/b"]
    assert np.abs(traces(nested()) - traces(flat)).max() < 1e-14


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("all", ["top", "c/a", "c/b", "d/x/a", "d/x/b"]),
        ("c/all", ["c/a", "c/b"]),
        ("all/a", ["c/a", "d/x/a"]),
        ("d/all/b", ["d/x/b"]),
        ("all/x/all", ["d/x/a", "d/x/b"]),
        ("top", ["top"]),
        (["c/a", "all/a", "top"], ["c/a", "d/x/a", "top"]),
    ],
)
def test_wildcards(pattern, expected):
    assert nested().get_nodes(pattern) == expected
    assert nested().get_nodes(pattern, "leak/tau") == expected


def test_update_var_reaches_every_level_and_keeps_the_old_circuit():
    old = nested()
    new = old.update_var({"all/leak/tau": [1, 2, 3, 4, 5], "all/a/leak/v": 0.25, "c/a/leak/tau": 9})
    taus = [new.get_node_template(node).get_var("leak", "tau") for node in new.get_nodes()]
    starts = [new.get_node_template(node).get_var("leak", "v") for node in new.get_nodes()]
    assert taus == [1.0, 9.0, 3.0, 4.0, 5.0]
    assert starts == [0.5, 0.25, 0.5, 0.25, 0.5]
    assert old == nested()
    np.testing.assert_array_equal(traces(new, steps=1)[0], starts)


def test_update_var_of_edges_on_every_level():
    new = nested().update_var(
        edge_vars=[
            ("c/a/leak/v", "c/b/leak/u", {"weight": 7.0, "delay": 0.2}),
            ("c/b/leak/v", "d/x/a/leak/u", 0, {"weight": 8.0}),
        ]
    )
    assert dict(new.get_edge("c/a/leak/v", "c/b/leak/u").values) == {"weight": 7.0, "delay": 0.2}
    assert new.get_edge("c/b", "d/x/a").values["weight"] == 8.0
    assert new.get_edge("d/x/a/leak/v", "d/x/b/leak/u").values["weight"] == 0.5
    everywhere = nested().update_var(edge_vars=[("all/a", "all/b", {"weight": [3.0, 4.0]})])
    assert [edge.values["weight"] for edge in everywhere.get_edges("all/a", "all/b")] == [3.0, 4.0]


def test_update_var_of_edges_made_from_a_matrix():
    # In the original this is a KeyError.
    circuit = net(2).add_edges_from_matrix("leak/v", "leak/u", ["n0", "n1"], weight=[[1, 2], [3, 4]])
    new = circuit.update_var(edge_vars=[("n1/leak/v", "n0/leak/u", {"weight": 5.0})])
    assert [edge.values["weight"] for edge in new.edges] == [1.0, 5.0, 3.0, 4.0]
    expected = euler(lambda v: (-v + np.array([[1, 5], [3, 4]]) @ v + 0.1) / 2.0, [0.5, 0.5], 20)
    assert np.abs(traces(new, 20) / expected - 1).max() < 1e-12


def test_update_var_of_an_edge_template():
    edges = [("n0/leak/v", "n1/leak/u", EdgeTemplate("e", DIFF), {"diff/b": "n1/leak/v", "diff/a": "source"})]
    circuit = net(2, edges=edges)
    new = circuit.update_var(edge_vars=[("n0/leak/v", "n1/leak/u", {"e/diff/b": "n0/leak/v", "weight": 2})])
    assert dict(new.edges[0].values) == {"weight": 2.0, "e/diff/a": "source", "e/diff/b": "n0/leak/v"}
    squash = net(2, edges=[("n0/leak/v", "n1/leak/u", EdgeTemplate("e", SQUASH), {"squash/g": 2.0})])
    for key in ("squash/g", "e/squash/g"):
        new = squash.update_var(edge_vars=[("n0", "n1", {key: 4.0})])
        assert dict(new.edges[0].values) == {"weight": 1.0, "squash/g": 4.0, "e/squash/r": "source"}


def test_populations_and_connections():
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((3, 2))
    taus = np.array([1.0, 2.0, 3.0])
    circuit = CircuitTemplate(
        "net",
        populations={
            "p": PopulationTemplate("p", CELL, 2, {"leak/v": [0.1, 0.2]}),
            "q": PopulationTemplate("q", CELL, 3, {"leak/tau": taus}),
        },
        connections=[Connectivity("p/leak/v", "q/leak/u", weights), Connectivity("q/leak/v", "p/leak/u", 0.3)],
    )

    def rate(y):
        p, q = y[:2], y[2:]
        return np.concatenate([(-p + 0.3 * q.sum() + 0.1) / 2.0, (-q + weights @ p + 0.1) / taus])

    expected = euler(rate, [0.1, 0.2, 0.5, 0.5, 0.5], 40)
    found = circuit.run(4.0, DT, outputs={"p": "p/leak/v", "q": "q/leak/v"})
    assert found.columns.tolist() == [("p", 0), ("p", 1), ("q", 0), ("q", 1), ("q", 2)]
    assert np.abs(found.to_numpy() - expected).max() < 1e-12


def test_connection_with_an_edge_evaluates_every_pair():
    weights = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    circuit = CircuitTemplate(
        "net",
        populations={
            "p": PopulationTemplate("p", CELL, 2, {"leak/v": [0.1, 0.9]}),
            "q": PopulationTemplate("q", CELL, 3, {"leak/v": [0.3, 0.2, 0.1]}),
        },
        connections=[
            Connectivity(
                "p/leak/v", "q/leak/u", weights, EdgeTemplate("e", DIFF), {"a": "source", "diff/b": "q/leak/v"}
            )
        ],
    )

    def rate(y):
        p, q = y[:2], y[2:]
        arrives = (weights * np.sin(p[None, :] - q[:, None])).sum(axis=1)
        return np.concatenate([(-p + 0.1) / 2.0, (-q + arrives + 0.1) / 2.0])

    expected = euler(rate, [0.1, 0.9, 0.3, 0.2, 0.1], 40)
    found = circuit.run(4.0, DT, outputs=["p/leak/v", "q/leak/v"]).to_numpy()
    assert np.abs(found - expected).max() < 1e-12


def test_update_var_of_populations_and_connections():
    circuit = CircuitTemplate(
        "net",
        populations={"p": PopulationTemplate("p", CELL, 3)},
        connections=[Connectivity("p/leak/v", "p/leak/u", np.eye(3), EdgeTemplate("e", SQUASH))],
    )
    new = circuit.update_var(
        {"p/leak/v": [1, 2, 3], "all/leak/tau": 7},
        [("p/leak/v", "p/leak/u", {"weight": np.ones((3, 3)), "delay": 0.2, "squash/g": 5})],
    )
    np.testing.assert_array_equal(new.populations["p"].get_var("leak", "v"), [1, 2, 3])
    assert new.populations["p"].get_var("leak", "tau") == 7.0
    np.testing.assert_array_equal(new.connections[0].weights, np.ones((3, 3)))
    assert new.connections[0].delays == 0.2
    assert new.connections[0].edge.get_var("squash", "g") == 5.0
    assert circuit.connections[0].delays is None


def test_update_template_merges_nodes_and_appends_edges():
    base = net(2, edges=[("n0/leak/v", "n1/leak/u")])
    child = base.update_template(name="child", nodes={"n1": NodeTemplate("other", LEAK), "n2": CELL},
                                 edges=[("n2/leak/v", "n0/leak/u")])  # fmt: skip
    assert list(child.nodes) == ["n0", "n1", "n2"]
    assert child.nodes["n1"].name == "other"
    assert child.edge_names() == ["n0/leak/v -> n1/leak/u", "n2/leak/v -> n0/leak/u"]
    edited = child.update_template(
        edges={"remove": [["n0/leak/v", "n1/leak/u"]], "add": [["n1/leak/v", "n1/leak/u", None, {"weight": 2}]]}
    )
    assert edited.edge_names() == ["n2/leak/v -> n0/leak/u", "n1/leak/v -> n1/leak/u"]
    twice = net(2, edges=[("n0/leak/v", "n1/leak/u", None, {"weight": w}) for w in (1, 2, 3)])
    assert [
        edge.values["weight"] for edge in twice.update_template(edges={"remove": [["n0/leak/v", "n1/leak/u", 1]]}).edges
    ] == [1.0, 3.0]


def test_add_node_template():
    assert list(net(1).add_node_template("m", CELL).nodes) == ["n0", "m"]
    with pytest.raises(TemplateError, match="there is a node 'n0' already"):
        net(1).add_node_template("n0", CELL)


def test_look_up_by_brackets_and_edges():
    circuit = nested()
    assert circuit["top"] is CELL and circuit["c"]["a"] is CELL and circuit["d/x/a"] is CELL
    assert circuit["d/x"].name == "inner"
    assert len(circuit.collect_edges()) == 4
    assert [edge.target for edge in circuit.get_edges(source="top")] == ["c/a/leak/u"]
    assert circuit.get_edges("top", "d/x/b") == []
    with pytest.raises(PathError, match=r"unknown node 'tpo'\. Did you mean 'top'"):
        circuit["tpo"]
    with pytest.raises(PathError, match="there are 2 such edges"):
        circuit.get_edge("all/a", "all/b")


def test_labels_may_be_numbers():
    circuit = CircuitTemplate("net", nodes={0: CELL, 1: CELL}, edges=[("0/leak/v", "1/leak/u")])
    assert circuit.get_nodes() == ["0", "1"]


def test_describe_a_circuit():
    text = nested().update_var({"c/a/leak/tau": 3}).describe()
    for piece in ("node top", "node c/b: as top", "parameter tau = 3.0", "4 edge(s)", "c/a/leak/v -> c/b/leak/u"):
        assert piece in text, piece
    assert len(net(1000).describe().splitlines()) < 100


def test_ten_thousand_edges_are_quick():
    names = [f"n{i}" for i in range(100)]
    weights = np.random.default_rng(3).standard_normal((100, 100))
    circuit = net(100).add_edges_from_matrix("leak/v", "leak/u", names, weight=weights)
    started = time.process_time()
    graph = circuit.to_graph()
    assert time.process_time() - started < 0.3
    assert len(graph.edges) == 10_000
    assert all(type(edge.weight) is float for edge in graph.edges)


def test_circuits_in_circuits_cannot_grow_beyond_bounds():
    circuit = net(2)
    with pytest.raises(TemplateError, match="nodes are more than"):
        for level in range(40):
            circuit = CircuitTemplate(f"level{level}", circuits={"a": circuit, "b": circuit})


def test_wrong_shapes():
    with pytest.raises(ShapeError, match=r"expected a number or a matrix of shape \(2, 2\)"):
        net(2).add_edges_from_matrix("leak/v", "leak/u", ["n0", "n1"], weight=np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"weights have shape \(2, 3\), expected \(3, 2\)"):
        CircuitTemplate(
            "net",
            populations={"p": PopulationTemplate("p", CELL, 2), "q": PopulationTemplate("q", CELL, 3)},
            connections=[Connectivity("p/leak/v", "q/leak/u", np.ones((2, 3)))],
        )
