"""Graphs of NIR against NumPy loops of the same equations, and against the package `nir` itself."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Network
from recurra.engine import Sparse
from recurra.errors import CapabilityError, OptionError, RecurraError, ShapeError, StoreError, TemplateError, TimeError
from recurra.interchange import from_nir, to_nir

nir = pytest.importorskip("nir")
DT = 0.1


def ones(n, value=1.0):
    return np.full(n, value)


def io(n_in, n_out):
    return {"in": nir.Input({"input": np.array([n_in])}), "out": nir.Output({"output": np.array([n_out])})}


def chain(*nodes):
    """Return a graph of nodes in a row between an Input and an Output."""
    return nir.NIRGraph.from_list(*nodes)


# One node at a time against its equations. Euler: x_(k+1) = x_k + dt*f(x_k); where that is above v_threshold, v is
# v_reset instead, and z is 1 in the next step.


def lif(node, x):
    n = x.shape[1]
    leaky = hasattr(node, "v_leak")
    v, z, out = (np.array(node.v_leak) if leaky else np.zeros(n)), np.zeros(n, bool), []
    for row in x:
        out.append(z * 1.0)
        v = v + DT * (((node.v_leak - v) + node.r * row) / node.tau if leaky else node.r * row)
        z = v > node.v_threshold
        v = np.where(z, node.v_reset, v)
    return np.array(out)


def li(node, x):
    leaky = hasattr(node, "v_leak")
    v, out = (np.array(node.v_leak) if leaky else np.zeros(x.shape[1])), []
    for row in x:
        out.append(v)
        v = v + DT * (((node.v_leak - v) + node.r * row) / node.tau if leaky else node.r * row)
    return np.array(out)


def cuba(node, x):
    i, v, out = np.zeros(x.shape[1]), np.array(node.v_leak), []
    spiking, z = hasattr(node, "v_threshold"), np.zeros(x.shape[1], bool)
    for row in x:
        out.append(z * 1.0 if spiking else v)
        di = (node.w_in * row - i) / node.tau_syn
        v = v + DT * ((node.v_leak - v) + node.r * i) / node.tau_mem
        i = i + DT * di
        z = v > node.v_threshold if spiking else z
        v = np.where(z, node.v_reset, v) if spiking else v
    return np.array(out)


RNG = np.random.default_rng(3)
VECTORS = {name: RNG.uniform(0.5, 2.0, 4) for name in ("tau", "tau_syn", "tau_mem", "r", "w_in")}
LEAK, THRESHOLD, RESET = RNG.normal(0, 0.2, 4), RNG.uniform(0.5, 1.0, 4), RNG.uniform(-0.5, 0.2, 4)


def numbers(*names):
    return {name: VECTORS[name] for name in names}


SPIKES = {"v_threshold": THRESHOLD, "v_reset": RESET}
NODES = [
    (nir.LIF(**numbers("tau", "r"), v_leak=LEAK, **SPIKES), lif),
    (nir.IF(**numbers("r"), **SPIKES), lif),
    (nir.LI(**numbers("tau", "r"), v_leak=LEAK), li),
    (nir.I(**numbers("r")), li),
    (nir.CubaLIF(**numbers("tau_syn", "tau_mem", "r", "w_in"), v_leak=LEAK, **SPIKES), cuba),
    (nir.CubaLI(**numbers("tau_syn", "tau_mem", "r", "w_in"), v_leak=LEAK), cuba),
    (nir.Scale(LEAK), lambda node, x: x * LEAK),
    (nir.Threshold(THRESHOLD), lambda node, x: (x > THRESHOLD) * 1.0),
    (nir.Affine(RNG.normal(size=(3, 4)), RNG.normal(size=3)), lambda node, x: x @ node.weight.T + node.bias),
    (nir.Linear(RNG.normal(size=(3, 4))), lambda node, x: x @ node.weight.T),
    (nir.Flatten({"input": np.array([4])}, 0, -1), lambda node, x: x),
]


@pytest.mark.parametrize(("node", "oracle"), NODES, ids=[type(node).__name__ for node, _ in NODES])
def test_each_node_follows_its_equations(node, oracle):
    x = np.random.default_rng(0).normal(1.0, 2.0, (300, 4))
    x[5] = THRESHOLD  # a value at the threshold is not above it
    expected = oracle(node, x)
    graph = chain(node)
    got = from_nir(graph, DT).run(x, progress=False)["out"]
    assert got.shape == expected.shape
    assert np.max(np.abs(got - expected)) < 1e-12
    if hasattr(node, "v_threshold"):
        assert np.array_equal(got, expected)  # spike for spike
        assert 10 < expected.sum() < expected.size / 2


def test_a_unit_at_its_threshold_does_not_spike():
    graph = chain(nir.IF(ones(1, 1 / DT), ones(1, 2.0), ones(1, 0.0)))
    x = np.array([[1.0], [1.0], [0.0], [0.5], [0.0], [0.0]])
    assert from_nir(graph, DT).run(x)["out"].ravel().tolist() == [0, 0, 0, 0, 1, 0]


def test_delays_shift_by_their_steps():
    graph = chain(nir.Delay(np.array([0.0, 0.2, 0.5])))
    x = np.random.default_rng(0).normal(size=(20, 3))
    expected = np.zeros_like(x)
    for unit, steps in enumerate((0, 2, 5)):
        expected[steps:, unit] = x[: 20 - steps, unit]
    assert np.array_equal(from_nir(graph, DT).run(x)["out"], expected)


def recurrent_graph():
    """Two populations with self-connections, a delay on one way, shared input, two ways into the readout."""
    rng = np.random.default_rng(1)
    nodes = {
        **io(3, 2),
        "fc": nir.Linear(rng.normal(size=(5, 3)) * 2),
        "lif": nir.LIF(ones(5, 2.0), ones(5, 1.5), ones(5, 0.0), ones(5, 1.0), ones(5, -0.1)),
        "rec": nir.Linear(rng.normal(size=(5, 5)) * 3),
        "slow": nir.Delay(np.array([0.1, 0.1, 0.3, 0.4, 0.2])),
        "fc2": nir.Linear(rng.normal(size=(2, 5)) * 3),
        "aff": nir.Affine(rng.normal(size=(2, 3)), rng.normal(size=2)),
        "li": nir.LI(ones(2, 3.0), ones(2, 1.0), ones(2, 0.2)),
    }
    edges = [
        ("in", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "slow"), ("slow", "fc2"), ("fc2", "li"),
        ("in", "aff"), ("aff", "li"), ("li", "out"),
    ]  # fmt: skip
    return nir.NIRGraph(nodes, edges)


def recurrent_loop(graph, x):
    """Run that graph in a NumPy loop."""
    g, steps = graph.nodes, [1, 1, 3, 4, 2]
    v, z, u, spikes, out = np.zeros(5), np.zeros(5), ones(2, 0.2), [], []
    for k, row in enumerate(x):
        spikes.append(z)
        late = np.array([spikes[k - s][j] if k >= s else 0.0 for j, s in enumerate(steps)])
        out.append(u)
        i = g["fc"].weight @ row + g["rec"].weight @ z
        v = v + DT * ((0.0 - v) + 1.5 * i) / 2.0
        z = (v > 1.0) * 1.0
        v = np.where(z > 0, -0.1, v)
        drive = g["fc2"].weight @ late + g["aff"].weight @ row + g["aff"].bias
        u = u + DT * ((0.2 - u) + drive) / 3.0
    return np.array(spikes), np.array(out)


def test_recurrent_graph_agrees_with_a_loop_spike_for_spike():
    graph, x = recurrent_graph(), np.random.default_rng(5).normal(1.0, 1.0, (300, 3))
    spikes, out = recurrent_loop(graph, x)
    obs = from_nir(graph, DT).run(x, record_vars={"z": "lif/LIF/z"})
    assert np.array_equal(obs["z"], spikes)
    assert spikes.sum() > 50
    assert np.max(np.abs(obs["out"] - out)) < 1e-11


def same(a: Network, b: Network):
    """Check that two networks are equal bit for bit."""
    assert list(a) == list(b)
    assert list(a.edges) == list(b.edges)
    p, q = a.program, b.program
    assert p.system == q.system
    for one, other in ((p.params, q.params), (p.state, q.state), (p.tables, q.tables)):
        assert one.keys() == other.keys()
        for key in one:
            left, right = np.asarray(one[key]), np.asarray(other[key])
            assert left.dtype == right.dtype
            assert left.tobytes() == right.tobytes(), key
    for label, edge in a.edges.items():
        other = b.edges[label]
        assert (edge.train, edge.feedback, edge.source, edge.target) == (
            other.train, other.feedback, other.source, other.target,
        )  # fmt: skip
        assert (edge.mask is None) == (other.mask is None)
    assert sorted(a.parameters()) == sorted(b.parameters())
    assert (a.dt, a.seed, a.precision, a.name) == (b.dt, b.seed, b.precision, b.name)


def own_network():
    """A network that was written here, with everything that NIR has no field for."""
    rng = np.random.default_rng(2)
    net = Network(dt=DT, seed=7, name="own")
    net.add_func_node("stimulus", 3, "identity")
    net.add_diffeq_node(
        "cells",
        ["v' = ((v_leak - v) + r*i)/tau", "z = spike/rate"],
        "i", "z", rng.normal(size=(4, 4)), "z", "i", "spike", "v",
        op="own", N=4, spike_threshold=0.7, spike_reset=-0.2, surrogate="atan", train_params=["weights", "tau"],
        variables={"v": "variable(0.0)", "z": "output", "v_leak": 0.1, "r": 2.0, "tau": 1.5, "i": "input",
                   "spike": "input", "rate": 1 / DT},
        node_vars={"v": rng.normal(size=4) * 0.1, "tau": rng.uniform(1, 2, 4)},
        edge_attr={"delay": 2 * DT},
    )  # fmt: skip
    net.add_func_node("sum", 2, "identity")
    net.add_func_node("readout", 2, "identity")
    net.add_edge("stimulus", "cells", rng.normal(size=(4, 3)), train="gd", mask=rng.random((4, 3)) > 0.3)
    net.add_edge("cells", "sum", Sparse(np.array([0, 1]), np.array([2, 0]), np.array([0.5, -1.0]), (2, 4)), delays=3)
    net.add_edge("stimulus", "sum", 0.25, label="broad/one")
    net.add_edge("sum", "readout", np.eye(2), delays=[1, 4])
    net.add_edge("readout", "cells", rng.normal(size=(4, 2)), feedback=True)
    return net


@pytest.mark.parametrize("through_file", [False, True])
@pytest.mark.parametrize("make", [own_network, lambda: from_nir(recurrent_graph(), DT)], ids=["own", "graph"])
def test_round_trip_is_bit_for_bit(make, through_file, tmp_path):
    net = make()
    if through_file:
        to_nir(net, tmp_path / "net.nir")
        back = from_nir(tmp_path / "net.nir", net.dt)
    else:
        back = from_nir(to_nir(net), net.dt)
    same(net, back)
    x = np.random.default_rng(0).normal(1, 1, (50, 3))
    assert net.run(x)["out"].tobytes() == back.run(x)["out"].tobytes()


def test_graphs_that_are_written_pass_the_type_check_of_nir(tmp_path):
    to_nir(own_network(), tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    assert graph.check_types()
    assert isinstance(graph.nodes["cells"], nir.LIF)
    assert graph.nodes["cells"].v_threshold[0] == np.nextafter(0.7, 0)
    assert graph.metadata["recurra"]["dt"] == DT


@pytest.mark.parametrize("node", [n for n, _ in NODES], ids=lambda n: type(n).__name__)
def test_every_node_survives_from_and_to(node):
    graph = to_nir(from_nir(chain(node), DT))
    kinds = {type(n).__name__ for n in graph.nodes.values()}
    assert kinds - {"Input", "Output"} == {type(node).__name__} - {"Flatten"}
    name = type(node).__name__.lower()
    for field in ("tau", "r", "v_leak", "v_threshold", "v_reset", "tau_syn", "tau_mem", "w_in", "weight", "bias"):
        if hasattr(node, field):
            assert np.array_equal(getattr(graph.nodes[name], field), getattr(node, field)), field


def test_graphs_in_graphs_are_inlined():
    rng = np.random.default_rng(0)
    inner = nir.NIRGraph(
        {**io(3, 3), "li": nir.LI(ones(3), ones(3), ones(3, 0.0)), "w": nir.Linear(rng.normal(size=(3, 3)))},
        [("in", "li"), ("li", "out"), ("li", "w"), ("w", "li")],
    )
    outer = nir.NIRGraph({**io(3, 3), "rnn": inner}, [("in", "rnn"), ("rnn", "out")])
    net = from_nir(outer, DT)
    assert sorted(net) == ["in", "out", "rnn.li"]
    x, v, expected = rng.normal(size=(30, 3)), np.zeros(3), []
    for row in x:
        expected.append(v)
        v = v + DT * (-v + row + inner.nodes["w"].weight @ v)
    assert np.max(np.abs(net.run(x)["out"] - expected)) < 1e-12


def test_matrices_in_a_row_keep_a_node_between_them():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(4, 3))
    net = from_nir(chain(nir.Linear(a), nir.Linear(b), nir.Delay(ones(4, DT)), nir.Scale(ones(4, 2.0))), DT)
    x = rng.normal(size=(5, 2))
    assert np.max(np.abs(net.run(x)["out"][1:] - 2 * (x @ a.T @ b.T)[:-1])) < 1e-12


def test_rate_one_makes_spikes_impulses():
    net = from_nir(chain(nir.IF(ones(1), ones(1, 0.05), ones(1, 0.0))), DT)
    net.set_var("if", "IF/rate", 1.0)
    assert set(np.unique(net.run(np.ones((9, 1)))["out"])) == {0.0, 1 / DT}
    with pytest.raises(CapabilityError, match="rate = 1/dt = 10 here; it is 1"):
        to_nir(net)


def graph_of(node, size=2):
    return nir.NIRGraph({**io(size, size), "n": node}, [("in", "n"), ("n", "out")], type_check=False)


BAD_GRAPHS = [
    ("no graph", lambda: 5, OptionError, "expected a nir.NIRGraph or the path of a file, got int"),
    ("node", lambda: nir.LIF(ones(1), ones(1), ones(1), ones(1)), OptionError, "got LIF"),
    ("convolution", lambda: graph_of(nir.Conv1d(None, np.ones((1, 1, 3)), 1, 0, 1, 1, np.ones(1))), CapabilityError,
     "NIR node 'n' is a Conv1d.*Supported: Input, Output"),
    ("pooling", lambda: graph_of(nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0]))), CapabilityError,
     "SumPool2d"),
    ("off the grid", lambda: graph_of(nir.Delay(ones(2, 0.15))), TimeError, "0.15 .*no whole number of steps"),
    ("negative delay", lambda: graph_of(nir.Delay(ones(2, -0.1))), TimeError, "-0.1 .*whole number of steps >= 0"),
    ("size", lambda: graph_of(nir.Linear(np.ones((2, 3)))), ShapeError, r"2 units of 'in' arrive at .*\(2, 3\)"),
    ("size of units", lambda: graph_of(nir.LI(ones(3), ones(3), ones(3))), ShapeError, "2 units arrive at a node of 3"),
    ("nan", lambda: graph_of(nir.Scale(np.array([1.0, np.nan]))), ShapeError, "'n', scale: expected finite numbers"),
    ("text", lambda: graph_of(nir.Scale(np.array(["a", "b"]))), ShapeError, "expected an array of real numbers"),
    ("tau 0", lambda: graph_of(nir.LI(ones(2, 0.0), ones(2), ones(2))), OptionError, "a time constant must be > 0"),
    ("weights 3-D", lambda: graph_of(nir.Linear(np.ones((2, 2, 2)))), CapabilityError, "only matrices"),
    ("empty", lambda: nir.NIRGraph({}, [], type_check=False), TemplateError, "has no node"),
    ("loose edge", lambda: nir.NIRGraph(io(1, 1), [("in", "x")], type_check=False), TemplateError, "names no node"),
    ("circle", lambda: nir.NIRGraph({**io(2, 2), "a": nir.Linear(np.eye(2)), "b": nir.Linear(np.eye(2))},
                                    [("in", "out"), ("a", "b"), ("b", "a")], type_check=False),
     TemplateError, "on a circle of linear maps"),
    ("loop at once", lambda: nir.NIRGraph({**io(2, 2), "a": nir.Scale(ones(2))},
                                          [("in", "a"), ("a", "a"), ("a", "out")], type_check=False),
     TemplateError, "circle"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), [row[1:] for row in BAD_GRAPHS], ids=[r[0] for r in BAD_GRAPHS])
def test_bad_graphs_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        from_nir(make(), DT).program


def with_node(equations, variables, **options):
    net = Network(dt=DT)
    net.add_diffeq_node("n", equations, variables=variables, **options)
    return net


LI_TEXT, LI_VARS = "v' = ((v_leak - v) + r*i)/tau", {"v": "output", "v_leak": 0.0, "r": 1.0, "tau": 1.0, "i": "input"}


def li_net(**options):
    return with_node(LI_TEXT, LI_VARS, N=2, **options)


def joined(**options):
    net = li_net()
    net.add_func_node("out", 2, "identity")
    net.add_edge("n", "out", np.ones((2, 2)), **options)
    return net


BAD_NETWORKS = [
    ("nothing", lambda: Network(dt=DT), CapabilityError, "has no node"),
    ("no network", lambda: "net", OptionError, "takes a Network, got str"),
    ("other equations", lambda: with_node("v' = -v**3 + i", {"v": "output", "i": "input"}), CapabilityError,
     "node 'n' has equations that no node of NIR has"),
    ("function", lambda: (n := Network(dt=DT), n.add_func_node("f", 1, "tanh"))[0], CapabilityError, "node 'f' has eq"),
    ("default", lambda: li_net(node_vars={"i": 0.5}), CapabilityError, "default other than 0"),
    ("filter", lambda: joined(filter_weights=0.5), CapabilityError, "'n->out' has a filter"),
    ("delays", lambda: joined(delays=[[1, 2], [3, 4]]), TimeError, "differ from target to target"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), [r[1:] for r in BAD_NETWORKS], ids=[r[0] for r in BAD_NETWORKS])
def test_networks_without_counterpart_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        to_nir(make())


def test_refractory_units_are_refused():
    net = with_node(
        [LI_TEXT, "z = spike/rate"], {**LI_VARS, "v": "variable", "z": "output", "spike": "input", "rate": 1 / DT},
        spike_var="spike", reset_var="v", input_var="i", output_var="z", refractory=0.3,
    )  # fmt: skip
    with pytest.raises(CapabilityError, match="no node of NIR has"):
        to_nir(net)


def test_broken_files_give_store_errors(tmp_path):
    file = tmp_path / "net.nir"
    to_nir(from_nir(recurrent_graph(), DT), file)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    broken = [b"", b"not HDF5", whole[: len(whole) // 2], whole[:-1]]
    for _ in range(60):
        garbled = bytearray(whole)
        for at in rng.integers(0, len(whole), 20):
            garbled[at] = int(rng.integers(256))
        broken.append(bytes(garbled))
    failures = 0
    for data in broken:
        file.write_bytes(data)
        try:
            from_nir(file, DT)
        except RecurraError:
            failures += 1
    assert failures >= 4
    for data in broken[:3]:
        file.write_bytes(data)
        with pytest.raises(StoreError, match="cannot be read as"):
            from_nir(file, DT)
    with pytest.raises(StoreError, match="no such file"):
        from_nir(tmp_path / "none.nir", DT)
    with pytest.raises(StoreError, match="cannot write there"):
        to_nir(own_network(), tmp_path / "none" / "net.nir")


def test_files_that_lead_elsewhere_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    file = tmp_path / "net.nir"
    for link in (h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/node")):
        to_nir(own_network(), file)
        with h5py.File(file, "a") as f:
            f["node/nodes/cells/extra"] = link
        with pytest.raises(StoreError, match="is a link"):
            from_nir(file, DT)
    with h5py.File(file, "w") as f:
        f.create_dataset("node", shape=(10**12,), dtype="f8", chunks=(1000,))
    with pytest.raises(StoreError, match="too many for a file of this size"):
        from_nir(file, DT)


def test_garbled_notes_give_errors_of_the_library():
    rng = np.random.default_rng(0)
    junk = [5, "x", "all", "a/b", b"y", np.array([1.0, np.nan]), np.array([[9999]]), {"label": 3}, -1, np.array(["q"])]
    seen = 0
    for _ in range(150):
        graph = to_nir(own_network() if seen % 2 else from_nir(recurrent_graph(), DT))
        notes = [n.metadata["recurra"] for n in graph.nodes.values() if n.metadata] + [graph.metadata["recurra"]]
        note = notes[rng.integers(len(notes))]
        inner = note.get("edge", note)
        if not inner:
            continue
        key = sorted(inner)[rng.integers(len(inner))]
        inner[key] = junk[rng.integers(len(junk))]
        try:
            from_nir(graph, DT).to_graph()
        except RecurraError:
            seen += 1
    assert seen > 10


def _peer_lif(n):
    return nir.LIF(ones(n, 1e-2), ones(n, 100.0), ones(n, 0.0), ones(n, 1.0), ones(n, 0.0))


_MIXED = np.array([[4, 0, 0, 2, 0, 0, 0, 1], [0, 3, 1, 0, 0, 2, 0, 0], [0.5] * 8]) / 10
_CUBA = nir.CubaLIF(
    tau_syn=ones(8, 5e-3), tau_mem=ones(8, 1e-2), r=ones(8, 100.0), v_leak=ones(8, 0.0), v_threshold=ones(8, 1.0),
    v_reset=ones(8, 0.0), w_in=ones(8, 50.0),
)  # fmt: skip

# Spikes of each output unit in 1,000 steps of 1e-4 with the inputs linspace(0.05, 1.2, 8), counted by snnTorch 1.0.0
# (import_from_nir, nirtorch 2.6, PyTorch 2.14 on a CPU) from the same graphs.
PEER_COUNTS = {
    "one layer": (
        [nir.Affine(np.eye(8), np.zeros(8)), _peer_lif(8)],
        [43, 200, 333, 500, 500, 500, 1000, 1000],
    ),
    "two layers": (
        [nir.Affine(np.eye(8), np.zeros(8)), _peer_lif(8), nir.Affine(_MIXED, np.zeros(3)), _peer_lif(3)],
        [174, 166, 166],
    ),
    "synapses": ([nir.Affine(np.eye(8) * 0.02, np.zeros(8)), _CUBA], [41, 189, 317, 471, 484, 489, 908, 948]),
}


@pytest.mark.parametrize("name", PEER_COUNTS)
def test_counts_are_those_of_snntorch(name):
    """But for the spikes of the last steps, which z shows a step (and a step a layer, or synapse) later."""
    nodes, peer = PEER_COUNTS[name]
    got = from_nir(chain(*nodes), 1e-4).run(np.tile(np.linspace(0.05, 1.2, 8), (1000, 1)))["out"].sum(axis=0)
    missing = np.array(peer) - got
    assert missing.min() >= 0
    assert missing.max() <= 2


def test_a_file_of_an_earlier_version_is_reset_a_step_later():
    """Those versions noted no `prompt`, and their networks were reset after the step of the spike."""
    graph = to_nir(from_nir(chain(_peer_lif(1)), 1e-4))
    name = next(n for n, node in graph.nodes.items() if isinstance(node, nir.LIF))
    x = ones((500, 1), 2.0)
    prompt = from_nir(graph, 1e-4).run(x)["out"].sum()
    del graph.nodes[name].metadata["recurra"]["prompt"]
    assert (prompt, from_nir(graph, 1e-4).run(x)["out"].sum()) == (499, 250)
