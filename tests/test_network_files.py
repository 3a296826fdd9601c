"""Networks inside networks, and networks in files."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import CircuitTemplate, Network, NodeTemplate, OperatorTemplate
from recurra.engine import Graph
from recurra.errors import StoreError
from small_networks import CELL, DT, LIF, TANH, close, rates, series

# Composition


def inner() -> Network:
    net = Network(dt=DT, name="inner")
    net.add_func_node("in", 2, "tanh")
    net.add_diffeq_node("leak", **CELL, N=3)
    net.add_edge("in", "leak", series(3, 2, 4), delays=2)
    net.add_edge("leak", "in", series(2, 3, 5), feedback=True, filter_weights=0.5)
    return net


def test_a_network_in_a_network():
    alone = inner()
    alone.set_var("leak", "tau", 4.0)
    outer = Network(dt=DT)
    outer.add_func_node("first", 2, "identity")
    outer.add_node("sub", alone)
    outer.add_func_node("last", 3, "identity")
    outer.add_edge("first", "sub", np.eye(2))
    outer.add_edge("sub", "last", np.eye(3))
    x = series(25, 2)
    close(outer.run(x)["out"], alone.run(x)["out"])
    close(outer.get_var("sub", "leak/leak/tau"), [4.0] * 3)
    obs = outer.run(x, record_vars=[("sub", "leak/leak/v")])
    close(obs["sub", "leak/leak/v"], obs["out"])
    outer.set_var("sub", "leak/leak/tau", 2.0)
    alone.set_var("leak", "tau", 2.0)
    close(outer.run(x)["out"], alone.run(x)["out"])


def test_a_network_in_a_network_in_a_network(tmp_path):
    alone = inner()
    alone.add_diffeq_node("rec", TANH, weights=series(3, 3, 6), target_var="r_in", input_var="I_ext", output_var="v",
                          op="li_op", train_params=["weights", "tau"], record_vars=["v"])  # fmt: skip
    alone.add_edge("leak", "rec", series(3, 3, 7), train="gd")
    middle, outer = Network(dt=DT), Network(dt=DT)
    middle.add_node("sub", alone)
    outer.add_node("mid", middle)
    x = series(15, 2)
    expected = alone.run(x)
    close(outer.run(x)["out"], expected["out"])
    close(outer.run(x)["mid/sub/rec/li_op/v"], expected["rec", "v"])
    assert list(outer.parameters()) == ["mid/sub/rec->rec/weight", "mid/sub/leak->rec/weight", "mid/sub/rec/li_op/tau"]
    close(outer.get_var("mid/sub/rec->rec", "weights"), series(3, 3, 6))
    for net, prefix in ((alone, ""), (outer, "mid/sub/")):
        net.set_var(f"{prefix}rec->rec", "weights", np.eye(3))
        net.set_var(f"{prefix}leak->rec/weights", None, np.ones((3, 3)))
    close(outer.run(x)["out"], alone.run(x)["out"])
    assert not np.allclose(outer.run(x)["out"], expected["out"])
    outer.save(tmp_path / "outer.npz")
    assert np.array_equal(Network.load(tmp_path / "outer.npz").run(x)["out"], outer.run(x)["out"])
    close(middle.run(x)["out"], expected["out"])


def test_graphs_templates_and_nodes_of_the_engine_as_nodes():
    template = NodeTemplate("cell", OperatorTemplate("leak", CELL["node"], CELL["variables"]))
    circuit = CircuitTemplate("one", nodes={"p": template})
    x, expected = series(5, 1), None
    for thing in (template, circuit, circuit.to_graph(), template.to_node(), Graph({"p": template.to_node()})):
        net = Network(dt=DT)
        net.add_node("n", thing)
        out = net.run(x)["out"]
        expected = out if expected is None else expected
        close(out, expected)


def test_wilson_cowan_drives_a_network():
    net = Network(dt=0.01)
    wc = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")
    net.add_node("mass", wc, input_var="e/se_op/r_ext", output_var="e/rate_op/r")
    net.add_diffeq_node("r", TANH, N=3, input_var="I_ext", output_var="v", op="li_op")
    net.add_edge("mass", "r", np.ones((3, 1)))
    x = np.ones((400, 1))
    obs = net.run(x, record_vars=[("mass", "e/rate_op/r")])
    alone = wc.run(4.0, 0.01, outputs={"E": "e/rate_op/r"}, inputs={"e/se_op/r_ext": x[:, 0]})["E"].to_numpy()
    close(obs["mass", "e/rate_op/r"][:, 0], alone, 1e-14)
    v = np.zeros(3)
    for k in range(400):
        close(obs["out"][k], v, 1e-13)
        v = v + 0.01 * (-v / 10 + alone[k])


# Files


def test_files_of_networks(tmp_path):
    net = inner()
    net.add_diffeq_node("n", LIF, weights=series(3, 3), source_var="s", target_var="s_in", input_var="I_ext",
                        output_var="v", spike_var="spike", reset_var="v", refractory=0.5, spike_threshold=1.0,
                        spike_reset=0.0, surrogate="atan", train_params=["weights"], record_vars=["s"])  # fmt: skip
    net.add_edge("leak", "n", mask=np.eye(3), train="gd")
    net.set_var("n", "tau", [5.0, 6.0, 7.0])
    x = np.abs(series(40, 2)) * 5
    net.set_var("leak", "v", 0.9)
    path = tmp_path / "net.npz"
    net.save(path)
    read = Network.load(path)
    assert repr(read) == repr(net)
    assert read.explain() == net.explain()
    assert list(read.parameters()) == list(net.parameters()) == ["leak->n/weight", "n->n/weight"]
    expected = net.run(x)
    assert np.array_equal(read.run(x)["out"], expected["out"])
    assert np.array_equal(read.run(x)["n", "s"], expected["n", "s"])
    read.reset()
    net.reset()
    assert np.array_equal(read.run(x)["out"], net.run(x)["out"])
    net.state = expected.final
    net.save(path)
    assert np.array_equal(Network.load(path).run(x)["out"], net.run(x)["out"])
    masked = Network.load(path)
    masked.set_var("leak->n", "weights", np.ones((3, 3)))
    close(masked.get_var("leak->n", "weights"), np.eye(3))


def test_files_keep_sparse_weights_and_edge_templates(tmp_path):
    import scipy.sparse

    from recurra import EdgeTemplate

    edge = EdgeTemplate("sq", OperatorTemplate("sq", "y = a*x^2", {"y": "output", "a": 0.5, "x": "input"}))
    net = Network(dt=DT)
    net.add_diffeq_node("a", "v' = -v + u + w", variables={"v": "output(1)", "u": "input", "w": "input"}, input_var="u",
                        weights=series(2, 2), target_var="w", edge_template=edge)  # fmt: skip
    net.add_func_node("b", 50, "identity")
    net.add_edge("a", "b", scipy.sparse.random_array((50, 2), density=0.3, rng=np.random.default_rng(0)))
    net.save(tmp_path / "n.npz")
    read, x = Network.load(tmp_path / "n.npz"), series(9, 2)
    assert np.array_equal(read.run(x)["out"], net.run(x)["out"])
    assert read.explain() == net.explain()


def test_damaged_files_of_networks(tmp_path):
    net = rates(2)
    net.save(tmp_path / "net.npz")
    net.program.save(tmp_path / "program.npz")
    with pytest.raises(StoreError, match=r"expected a recurra\.Network, found 'recurra\.Program'"):
        Network.load(tmp_path / "program.npz")
    with pytest.raises(StoreError, match="no such file"):
        Network.load(tmp_path / "nothing.npz")
    whole = dict(np.load(tmp_path / "net.npz"))
    text = str(whole["meta"])
    for old, new in (("v' = -v/tau", "v' = import os"), ('"dt": 0.1', '"dt": -1'), ('"nodes"', '"nods"'),
                     ('"size": 2', '"size": 1000000000000')):  # fmt: skip
        assert old in text
        np.savez(tmp_path / "bad.npz", **{**whole, "meta": np.array(text.replace(old, new))})
        with pytest.raises(StoreError, match="cannot be rebuilt"):
            Network.load(tmp_path / "bad.npz")
