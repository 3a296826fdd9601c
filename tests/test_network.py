"""Networks: building, finding variables, numbers, state, spikes, composition, files, observers."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra import Network, NodeTemplate, Observer, OperatorTemplate, PopulationTemplate
from recurra.engine import SURROGATES, Result, as_function, simulate, trace_count
from recurra.errors import StoreError
from small_networks import CELL, DT, LIF, QIF, TANH, close, rates, series

# Nodes


def test_variables_are_found_where_only_one_can_be_meant():
    net = Network(dt=DT)
    node = net.add_diffeq_node("r", TANH, weights=np.zeros((3, 3)), target_var="li_op/r_in").node
    assert node.input.paths == ("r/li_op/I_ext",)
    assert node.output.paths == ("r/tanh_op/r",)
    assert node.recurrent.source.paths == ("r/tanh_op/r",)
    other = net.add_diffeq_node("s", TANH, weights=np.zeros((3, 3)), input_var="I_ext").node
    assert other.recurrent.target.paths == ("s/li_op/r_in",)
    assert net.add_diffeq_node("t", **CELL).node.input.paths == ("t/leak/u",)


def test_variables_are_named_with_operator_alone_or_with_path():
    net = Network(dt=DT)
    node = net.add_diffeq_node("r", TANH, N=2).node
    for name in ("li_op/v", "v", "r/li_op/v", "all/li_op/v"):
        assert node.find(name).paths == ("r/li_op/v",)


@pytest.mark.parametrize(
    "given",
    [
        "v' = -v/tau + u",
        ["v' = -v/tau + u"],
        ("v' = -v/tau + w", "w = u"),
        NodeTemplate("cell", OperatorTemplate("leak", CELL["node"], CELL["variables"])),
        OperatorTemplate("leak", CELL["node"], CELL["variables"]),
        PopulationTemplate("p", NodeTemplate("c", OperatorTemplate("leak", CELL["node"], CELL["variables"])), 3),
    ],
    ids=["text", "list", "two equations", "node", "operator", "population"],
)
def test_kinds_of_nodes(given):
    net = Network(dt=DT)
    variables = {}
    if isinstance(given, str | list | tuple):
        variables = {"variables": {**CELL["variables"], **({"w": "variable"} if len(given) == 2 else {})}}
    net.add_diffeq_node("a", given, N=3, output_var="v", **variables)
    x, v = series(8, 3), np.full(3, 0.5)
    out = net.run(x)["out"]
    for k in range(8):
        close(out[k], v)
        v = v + DT * (-v / 2 + x[k])


def test_node_vars_set_parameters_and_initial_values():
    net = rates(3, node_vars={"tau": [1.0, 2.0, 4.0], "all/li_op/v": 0.3, "li_op/k": 0.0})
    close(net["r"]["tau"], [1.0, 2.0, 4.0])
    out = net.run(np.zeros((2, 1)))["out"]
    close(out, [[0.3] * 3, 0.3 * (1 - DT / np.array([1.0, 2.0, 4.0]))])


def test_algebraic_output_is_the_algebraic_variable():
    """B8: `output_var="tanh_op/r"` gives tanh(v), not v."""
    net = Network(dt=DT)
    net.add_diffeq_node("r", TANH, N=2, input_var="I_ext", output_var="tanh_op/r")
    obs = net.run(series(20, 2), record_vars=[("r", "li_op/v")])
    assert np.abs(obs["r", "li_op/v"]).max() > 0.1
    close(obs["out"], np.tanh(obs["r", "li_op/v"]), 1e-15)
    net.add_func_node("z", 2, "identity")
    net.add_edge("r", "z", np.eye(2))
    close(net.run(series(20, 2))["out"], obs["out"], 1e-15)


FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "exp": np.exp,
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    "softmin": lambda x: np.exp(-x) / np.exp(-x).sum(axis=1, keepdims=True),
    "log_softmax": lambda x: x - np.log(np.exp(x).sum(axis=1, keepdims=True)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_nodes(name):
    net = Network()
    net.add_func_node("f", 4, name)
    x = series(6, 4)
    close(net.run(x)["out"], FUNCTIONS[name](x), 1e-14)


def test_softmax_of_large_numbers():
    net = Network()
    net.add_func_node("f", 2, "log_softmax")
    close(net.run([[1000.0, 0.0]])["out"], [[0.0, -1000.0]])


def test_two_softmax_nodes_keep_apart():
    net = Network()
    net.add_func_node("a", 2, "softmax")
    net.add_func_node("b", 3, "softmax")
    obs = net.run({"a": series(3, 2), "b": series(3, 3)})
    close(obs["a"].sum(axis=1), np.ones(3))
    close(obs["b"].sum(axis=1), np.ones(3))


# Spikes


def lif(**options) -> Network:
    net = Network(dt=DT)
    settings = {"spike_threshold": 1.0, "spike_reset": 0.0, **options}
    net.add_diffeq_node("n", LIF, N=2, input_var="I_ext", output_var="s", spike_var="spike", reset_var="v", **settings)
    return net


@pytest.mark.parametrize("refractory", [0.0, 0.1, 0.5])
def test_refractory_time(refractory):
    x = np.full((200, 2), 0.9) * [1.0, 0.6]
    obs = lif(refractory=refractory).run(x, record_vars=[("n", "v"), ("n", "spike")])
    v, s, left = np.zeros(2), np.zeros(2), np.zeros(2, int)
    for k in range(200):
        close(obs["n", "v"][k], v, 1e-11)
        close(obs["out"][k], s, 1e-11)
        fired = (v >= 1.0) & (left == 0)
        close(obs["n", "spike"][k], fired / DT)
        held = fired | (left > 0)
        v = np.where(held, 0.0, v + DT * (-v / 10 + x[k]))
        s = s + DT * (-s / 0.5 + fired / DT)
        # The time counts from the spike, whose step is one of it.
        left = np.where(fired, max(round(refractory / DT) - 1, 0), np.maximum(left - 1, 0))
    assert (obs["n", "spike"] > 0).sum() > 5


def test_intrinsic_reset():
    """A spike with reset=False leaves v alone: the equation turns v into -v."""
    net = Network(dt=1e-3)
    operator = OperatorTemplate.from_yaml(f"{QIF}.qif_reset_op")
    net.add_diffeq_node("n", NodeTemplate("qif", operator), N=1, input_var="I_ext", output_var="v", reset=False,
                        spike_var=["spike", "reset"], reset_var="v", spike_threshold=50.0)  # fmt: skip
    obs = net.run(np.full((3000, 1), 30.0), record_vars=[("n", "s")])
    v, s, fires = -2.0, 0.0, 0
    for k in range(3000):
        close([obs["out"][k, 0], obs["n", "s"][k, 0]], [v, s], 1e-9)
        fired = v >= 50.0
        fires += fired
        v, s = (v + 1e-3 * (v * v - 5 + 30 - 2 * fired / 1e-3 * v), s + 1e-3 * (-s + fired / 1e-3))
    assert fires > 2


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_by_name_change_no_number_of_a_run(name):
    x = np.full((50, 2), 0.9)
    close(lif(surrogate=name, spike_slope=3.0).run(x)["out"], lif().run(x)["out"])


@pytest.mark.parametrize("name", [name for name in SURROGATES if name != "none"])
@pytest.mark.parametrize(("options", "peak"), [({}, 1.0), ({"spike_slope": 7.0}, 1.0), ({"spike_scale": 7.0}, 7.0)])
def test_surrogates_have_a_peak_of_1_unless_a_scale_is_given(name, options, peak):
    """As RectiPy, snnTorch and Norse have it: a unit at its threshold, whose spike is felt by s a step later."""
    net = Network(dt=1.0, precision="float64")
    net.add_diffeq_node(
        "n", ["v' = 0*v", "s' = spike"], variables={"v": "variable(1.0)", "s": "output", "spike": "input"},
        spike_var="spike", reset_var="v", spike_threshold=1.0, spike_reset=0.0, surrogate=name, **options,
    )  # fmt: skip
    run = as_function(net.program, 2.0, dt=1.0, record={"s": "n/op/s"})
    with jax.enable_x64(True):
        slope = jax.grad(lambda v: run({"n/op/v": v})["s"][1, 0])(jnp.ones(1))
    assert np.allclose(slope, peak)


def test_surrogates_belong_to_their_node():
    """B8: two spiking nodes, each with its own threshold, surrogate and slope."""
    net = Network(dt=DT)
    for label, threshold, name in (("a", 1.0, "atan"), ("b", 2.0, "superspike")):
        net.add_diffeq_node(label, LIF, N=1, input_var="I_ext", output_var="s", spike_var="spike", reset_var="v",
                            spike_threshold=threshold, spike_reset=0.0, surrogate=name)  # fmt: skip
    rules = [net[label].node.parts[label].spikes[0] for label in "ab"]
    assert [(r.threshold, r.surrogate, r.slope) for r in rules] == [(1.0, "atan", 100.0), (2.0, "superspike", 50.0)]
    obs = net.run({"a": np.full((60, 1), 0.9), "b": 0.9}, record_vars=[("a", "spike"), ("b", "spike")])
    assert (obs["a", "spike"] > 0).sum() > (obs["b", "spike"] > 0).sum() > 0


# Numbers and state


def test_get_and_set_by_path():
    net = rates(3)
    net.set_var("r", "tau", 5.0)
    close(net.get_var("r", "li_op/tau"), [5.0] * 3)
    net.set_var("r/li_op/tau", None, [1.0, 2.0, 3.0])
    close(net.get_var("r/li_op/tau"), [1.0, 2.0, 3.0])
    net["r"]["weights"] = np.eye(3)
    close(net["r"]["weights"], np.eye(3))
    close(net.get_var("r->r/weights"), np.eye(3))
    x = series(4, 3)
    v = np.zeros(3)
    for k, row in enumerate(net.run(x)["out"]):
        close(row, v)
        v = v + DT * (-v / np.array([1.0, 2.0, 3.0]) + np.tanh(v) + x[k])


def test_changed_numbers_outlive_changes_of_the_structure():
    net = rates(2)
    net.set_var("r", "tau", 3.0)
    net.set_var("r", "v", 0.7)
    net.add_func_node("z", 2, "identity")
    net.add_edge("r", "z", np.eye(2))
    net.set_var("r->z", "weights", 2 * np.eye(2))
    net.add_func_node("y", 2, "identity")
    net.add_edge("z", "y", np.eye(2))
    close(net.get_var("r", "tau"), [3.0] * 2)
    close(net.run(np.zeros((1, 2)))["out"], [[1.4, 1.4]])


def test_changing_numbers_compiles_nothing():
    net = rates(4)
    x = series(30, 4)
    net.run(x)
    before = trace_count()
    net.set_var("r", "tau", 3.0)
    net["r"]["weights"] = np.zeros((4, 4))
    net.run(2 * x, seed=3)
    assert trace_count() == before


def test_reset_gives_the_initial_values_of_the_templates():
    """B8: not zeros."""
    net = Network(dt=1e-3)
    net.add_diffeq_node("n", f"{QIF}.qif", N=2, input_var="I_ext", output_var="v", spike_var="spike", reset_var="v")
    x = np.full((10, 1), 3.0)
    first = net.run(x)
    close(first["out"][0], [-2.0, -2.0])
    net.state = first.final
    assert net.run(x)["out"][0, 0] != -2.0
    net.set_var("n", "v", 7.0)
    close(net.run(x)["out"][0], [7.0, 7.0])
    close(net.get_var("n", "v"), [7.0, 7.0])
    net.reset()
    close(net.run(x)["out"], first["out"])
    net.set_var("n", "v", [1.0, 2.0])
    close(net.run(x)["out"][0], [1.0, 2.0])
    net.reset()
    close(net.run(x)["out"], first["out"])


def test_runs_are_pure_and_go_on_from_a_state():
    net = rates()
    x = series(40, 5)
    whole = net.run(x)
    again = net.run(x)
    assert np.array_equal(whole["out"], again["out"])
    first = net.run(x[:15])
    second = net.run(x[15:], state=first.final)
    assert np.array_equal(np.concatenate([first["out"], second["out"]]), whole["out"])
    close(second.time, whole.time[15:])
    assert np.array_equal(second["steps"], np.arange(15, 40))


def test_state_of_delays_goes_on_too():
    net = Network(dt=DT)
    net.add_func_node("a", 2, "identity")
    net.add_func_node("b", 2, "identity")
    net.add_edge("a", "b", np.eye(2), delays=3)
    x = series(10, 2)
    first = net.run(x[:4])
    net.state = first.final
    close(net.run(x[4:])["out"], x[1:7])


def test_history_before_the_start():
    net = Network(dt=DT)
    net.add_func_node("a", 1, "identity")
    net.add_func_node("b", 1, "identity")
    net.add_edge("a", "b", 1.0, delays=2)
    close(net.run(np.ones((4, 1)), history={"a/func/y": 5.0})["out"].ravel(), [5, 5, 1, 1])


def test_popped_nodes_and_edges_are_gone():
    net = Network(dt=DT)
    for label in "abc":
        net.add_func_node(label, 1, "identity")
    net.add_edge("a", "b", 2.0)
    net.add_edge("b", "c", 3.0)
    net.add_edge("a", "c", 5.0)
    x = np.ones((1, 1))
    close(net.run(x)["out"], [[11.0]])
    assert net.pop_edge("a", "c").label == "a->c"
    close(net.run(x)["out"], [[6.0]])
    assert net.pop_node("b").label == "b"
    assert list(net) == ["a", "c"]
    assert net.edges == {}
    assert len(net) == 2
    assert "b" not in net


def test_parameters_that_are_trained():
    """Facts 27 and 28."""
    net = Network(dt=DT)
    rnn = net.add_diffeq_node("r", TANH, weights=np.eye(4), target_var="r_in", input_var="I_ext", output_var="v",
                              op="li_op", train_params=["weights", "li_op/tau"])  # fmt: skip
    assert rnn["weights"].shape == (4, 4)
    assert rnn["li_op/tau"].shape == (4,)
    assert rnn.train_params == ("weights", "li_op/tau")
    assert {path: value.shape for path, value in net.parameters().items()} == {
        "r->r/weight": (4, 4),
        "r/li_op/tau": (4,),
    }
    net = Network(dt=DT)
    net.add_func_node("a", 3, "identity")
    net.add_func_node("b", 2, "identity")
    net.add_edge("a", "b", train="gd")
    assert list(net.parameters()) == ["a->b/weight"]
    net.pop_edge("a", "b")
    net.add_edge("a", "b", train="rls")
    assert net.parameters() == {}
    assert list(net.parameters("rls")) == ["a->b/weight"]


def test_explain_and_names():
    net = rates()
    net.add_func_node("z", 1, "tanh")
    net.add_edge("r", "z", np.ones((1, 5)), delays=2, train="gd")
    text = net.explain()
    assert "r->z: 1 x 5, dense, delay 0.2, trained by gd" in text
    assert "r->r: 5 x 5, dense" in text
    assert repr(net) == "Network('', dt=0.1, 2 node(s), 1 edge(s))"
    assert net["r"].variable_names == ["li_op/v", "li_op/r_in", "li_op/I_ext", "tanh_op/r", "tanh_op/v"]
    assert net["r"].parameter_names == ["li_op/tau", "li_op/k", "li_op/eta"]
    assert (net["r"].n_in, net["r"].n_out) == (5, 5)
    assert list(net.nodes) == ["r", "z"]


# Runs and observers


def test_inputs_of_one_column_are_felt_by_all_units():
    x = series(10, 1)
    close(rates().run(x)["out"], rates().run(np.repeat(x, 5, axis=1))["out"])
    close(rates().run(x[:, 0])["out"], rates().run(x)["out"])


def test_inputs_by_node_path_and_number():
    x = series(10, 5)
    expected = rates().run(x)["out"]
    close(rates().run({"r": x})["out"], expected)
    close(rates().run({"r/li_op/I_ext": x})["out"], expected)
    close(rates().run({"r/li_op/I_ext": x, "r/li_op/r_in": 0.0})["out"], expected)
    close(rates().run({"r": 1.0}, steps=10)["out"], rates().run(np.ones((10, 1)))["out"])


def test_sampling_takes_values_as_they_are():
    """B8: neither the output nor the variables are averaged, and both are of the same moment."""
    x = series(60, 5)
    full = rates().run(x, record_vars=[("r", "v"), ("r", "tanh_op/r")])
    part = rates().run(x, sampling_steps=10, record_vars=[("r", "v"), ("r", "tanh_op/r")])
    for name in ("out", ("r", "v"), ("r", "tanh_op/r")):
        close(part[name], full[name][::10])
    close(part.time, np.arange(6) * 10 * DT)
    assert np.array_equal(part["steps"], np.arange(0, 60, 10))
    close(full["out"], full["r", "v"])


def test_cutoff_in_steps():
    x = series(20, 5)
    obs = rates().run(x, cutoff=8, sampling_steps=2)
    close(obs["out"], rates().run(x)["out"][8::2])
    assert obs["steps"][0] == 8


def test_record_vars_of_any_kind():
    obs = rates(record_vars=["tanh_op/r"]).run(
        series(6, 5),
        record_vars=[("r", "li_op/v"), ("r", "v", True), ("r", "li_op/r_in"), "r/li_op/I_ext", ("r", "tau")],
        record_output=False,
    )
    assert list(obs) == ["r/tanh_op/r", "r/li_op/v", "r/v", "r/li_op/r_in", "r/li_op/I_ext", "r/tau"]
    close(obs["r", "v"], obs["r", "li_op/v"].mean(axis=1, keepdims=True))
    close(obs["r", "tau"], np.full((6, 5), 10.0))
    assert ("r", "v") in obs
    assert "out" not in obs
    named = rates().run(series(6, 5), record_vars={"mean": ("r", "v", True), "drive": "r/li_op/I_ext"})
    assert list(named) == ["out", "mean", "drive"]


def test_observer_is_the_result():
    assert Observer is Result
    obs = rates().run(series(6, 5), record_vars=[("r", "tanh_op/r")])
    assert isinstance(obs, Observer)
    frame = obs.to_dataframe()
    assert frame.shape == (6, 10)
    close(frame.index.to_numpy(), np.arange(6) * DT)
    close(frame["out"].to_numpy(), obs["out"])
    close(obs.to_numpy("out"), obs["out"])
    assert obs.to_xarray()["out"].shape == (6, 5)
    assert obs.meta["seed"] == 0


def test_pictures():
    import matplotlib

    matplotlib.use("agg")
    obs = lif().run(np.full((50, 2), 0.9), record_vars=[("n", "v"), ("n", "spike")])
    ax = obs.plot(("n", "v"), x="out")
    close(ax.get_lines()[0].get_xdata(), obs["out"][:, 0])
    ax = obs.matshow("out")
    close(ax.images[0].get_array(), obs["out"].T)
    close(ax.images[0].get_extent(), [-0.05, 4.95, 1.5, -0.5])
    ax = obs.raster(("n", "spike"))
    rows, units = np.nonzero(obs["n", "spike"])
    close(ax.get_lines()[0].get_xdata(), rows * DT)
    close(ax.get_lines()[0].get_ydata(), units)
    assert all(float(tick).is_integer() for tick in ax.get_yticks())


@pytest.mark.parametrize("ending", ["npz", "nc"])
def test_observer_files(tmp_path, ending):
    net = rates(record_vars=["v"])
    x = series(12, 5)
    obs = net.run(x[:6])
    path = tmp_path / f"obs.{ending}"
    obs.save(path)
    read = Observer.load(path)
    assert list(read) == list(obs)
    for name in obs:
        assert np.array_equal(read[name], obs[name])
    assert read.labels == obs.labels
    assert read.meta == obs.meta
    assert np.array_equal(net.run(x[6:], state=read.final)["out"], net.run(x)["out"][6:])


def test_damaged_observer_files(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"nothing")
    (tmp_path / "x.nc").write_bytes(b"nothing")
    for name, message in (("x.npz", "not an archive"), ("x.nc", "cannot be read as HDF5"), ("y.nc", "no such file"),
                          ("x.txt", "read from .npz or .nc")):  # fmt: skip
        with pytest.raises(StoreError, match=message):
            Observer.load(tmp_path / name)


def test_float32_and_solver():
    x = series(10, 5)
    low = rates().run(x, precision="float32")["out"]
    assert low.dtype == np.float32
    close(low, rates().run(x)["out"].astype(np.float32), 1e-5)
    assert np.abs(rates().run(x, solver="heun")["out"] - rates().run(x)["out"]).max() > 1e-4


def test_noise_follows_the_seed():
    def net(seed):
        made = Network(dt=DT, seed=seed)
        made.add_diffeq_node("n", "v' = -v + xi", variables={"v": "output"}, N=3)
        return made

    a, b, c = (net(s).run(steps=10)["out"] for s in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert np.array_equal(net(0).run(steps=10, seed=1)["out"], c)


def lif_network(threshold: object = 20.0) -> Network:
    net = Network(dt=0.1)
    net.add_diffeq_node(
        "lif", "neuron_model_templates.spiking_neurons.lif.lif", N=3, input_var="lif_op/I_ext", output_var="lif_op/s",
        spike_var="lif_op/spike", reset_var="lif_op/v", spike_threshold=20.0, spike_reset=-5.0,
    )  # fmt: skip
    net.set_var("lif", "spike/threshold", threshold)
    return net


def test_thresholds_and_resets_are_parameters(tmp_path) -> None:
    thresholds = np.array([10.0, 20.0, 30.0])
    drive, names = np.full((600, 3), 60.0), ("lif", "lif_op/v")
    together = lif_network(thresholds)
    for i, threshold in enumerate(thresholds):
        alone = lif_network(threshold)
        assert np.array_equal(alone.get_var("lif", "spike/threshold"), np.full(3, threshold))
        a, b = (net.run(inputs=drive, record_vars=[names])[names] for net in (alone, together))
        assert np.array_equal(a[:, i], b[:, i])
    together.save(tmp_path / "net.npz")
    again = Network.load(tmp_path / "net.npz")
    assert np.array_equal(again.get_var("lif", "spike/threshold"), thresholds)
    assert np.array_equal(again.program.get("lif/spike/reset"), np.full(3, -5.0))
    assert "lif/spike/threshold" in again.program.paths


def test_thresholds_are_swept_and_trained() -> None:
    net = lif_network()
    drive = np.full((600, 3), 60.0)
    runs = simulate(
        net.program, 60.0, dt=0.1, inputs={"lif/lif_op/I_ext": drive}, record={"s": "lif/lif_op/s"},
        batch={"lif/spike/threshold": np.array([10.0, 30.0])},
    )  # fmt: skip
    assert runs["s"][0].mean() > runs["s"][1].mean() > 0
    target = np.asarray(lif_network(12.0).run(inputs=drive)["out"])
    found = net.fit_bptt(drive, target, train=["lif/spike/threshold"], optimizer="adam", lr=0.5, epochs=10)
    assert found.history["loss"][-1] < found.history["loss"][0]
    assert net.get_var("lif", "spike/threshold").max() < 20.0


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_shares_nothing(way) -> None:
    def make() -> Network:
        net = Network(dt=DT)
        net.add_diffeq_node("p", "v' = -k*v + u", variables={"v": "output", "u": "input", "k": 1.0}, N=2)
        net.add_func_node("o", 1, "identity")
        net.add_edge("p", "o", np.ones((1, 2)), delays=3, label="e")
        return net

    net, drive = make(), np.ones((10, 2))
    before = net.run(drive)["out"]
    other = way(net)
    other.set_var("e", "delay", 5 * DT)
    other.set_var("p", "k", 3.0)
    other.add_func_node("q", 1, "tanh")
    assert np.array_equal(net.run(drive)["out"], before)
    assert (float(net.get_var("e", "delay")), net.get_var("p", "k")[0]) == (3 * DT, 1.0)
    assert np.array_equal(make().run(drive)["out"], before)
    assert float(other.get_var("e", "delay")) == 5 * DT and "q" not in repr(net.program.paths)
