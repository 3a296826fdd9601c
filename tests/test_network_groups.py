"""Networks with groups of behaviors through the methods of networks: run, fit, test, save; and rules beside groups."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.engine import Emission, Graph, Rule, trace_count
from recurra.errors import CapabilityError, PathError, RecurraError, ShapeError, StoreError, TimeError
from small_networks import close, series
from test_network_mixed import DT, W_OUT, Cells, J, Out, Weights, loop, mixed


class Noisy(Behavior):
    """Leak, and add noise."""

    def initialize(self, neurons):
        neurons.v = neurons.vector("uniform")
        self.leak, self.level = 0.9, 0.1

    def iteration(self, neurons):
        neurons.v *= self.leak
        neurons.v += self.level * neurons.vector("normal(0, 1)")


def noisy(**options) -> Network:
    """Return a network of a group alone."""
    net = Network(seed=5, **options)
    NeuronGroup(net=net, size=4, tag="cells", behavior={1: Noisy(), 9: Recorder(["v", "np.mean(v)"], tag="rec")})
    net.initialize()
    return net


# Running


def test_run_has_the_numbers_of_simulate_iterations_and_leaves_the_network():
    net = mixed()
    net.simulate_iterations(5)
    before = net.get_var("cells/voltage")
    obs = net.run(steps=30, record_vars=["cells/spike", ("rate", "li_op/v")])
    v, x = loop(mixed(), 35)
    close(obs.data["cells/voltage"], x[4:34])
    close(obs["rate", "li_op/v"], np.concatenate([v[4:5], v[5:34]]))
    assert obs.time[0] == 5 * DT and net.iteration == 5
    assert np.array_equal(net.get_var("cells/voltage"), before)
    net.simulate_iterations(30)
    assert np.array_equal(net.get_var("cells/voltage"), obs.final.state["cells/voltage"])
    assert np.array_equal(net["voltage", 0][4:-1], mixed_rows(30, 5))


def mixed_rows(steps: int, after: int) -> np.ndarray:
    net = mixed()
    net.simulate_iterations(after)
    return net.run(steps=steps)["cells/voltage"]


def test_a_group_alone_runs_with_its_own_noise_and_types():
    net, twin = noisy(), noisy()
    net.simulate_iterations(1)
    twin.simulate_iterations(41)
    obs = net.run(steps=40, record_vars={"before": "cells/v"})
    assert obs.keys() == ["cells/v", "cells/np.mean(v)", "before"]
    assert obs["cells/v"].dtype == np.float64
    close(obs["cells/v"], twin["v", 0][:-1], 1e-12)  # the first steps of the twin were done by NumPy
    assert np.array_equal(obs["before"], obs["cells/v"])
    close(obs["cells/np.mean(v)"][:, 0], obs["before"].mean(axis=1), 1e-14)
    assert obs.time.tolist() == list(range(1, 41))
    half = net.run(steps=15)
    rest = net.run(steps=25, state=half.final)
    assert np.array_equal(np.concatenate([half["cells/v"], rest["cells/v"]]), obs["cells/v"])
    assert np.array_equal(net.run(steps=40, sampling_steps=4)["cells/v"], obs["cells/v"][::4])
    assert not np.array_equal(net.run(steps=40, seed=6)["cells/v"], obs["cells/v"])
    net.state = half.final
    assert net.iteration == 16
    net.simulate_iterations(25)
    assert np.array_equal(net.get_var("cells/v"), obs.final.state["cells/v"])


def test_inputs_of_nodes_are_fed_while_groups_run():
    drive = series(30, 5)
    net, w = mixed(), np.zeros_like(W_OUT)
    net.simulate_iterations(1)
    net.set_var("OUT/W", None, w)
    obs = net.run({"rate": drive}, record_vars={"v": "rate/li_op/v"})
    v = net.get_var("rate", "li_op/v")
    fed = net.snapshot.state["rate/I_ext"]
    for k in range(30):
        close(obs["v"][k], v)
        v = v + DT * (-v + J @ np.tanh(v) + drive[k] + fed)
        fed = 0.0


# Numbers


def test_numbers_set_after_compiling_count_and_compile_nothing():
    net, eager = mixed(), mixed()
    for one, compile in ((net, None), (eager, False)):
        one.simulate_iterations(10, compile=compile)
        one.set_var("rate", "li_op/tau", 3.0)
        one.set_var("rate->rate", "weights", 0.5 * J)
        one.set_var("rate", "li_op/v", 0.25)
        before = trace_count()
        one.simulate_iterations(10, compile=compile)
        assert trace_count() == before
    close(net.get_var("rate", "li_op/v"), eager.get_var("rate", "li_op/v"))
    close(net["voltage", 0], eager["voltage", 0])
    close(net.program.get("rate/li_op/tau"), np.full(5, 3.0))
    assert np.abs(net["voltage", 0] - loop(mixed(), 20)[1]).max() > 0.01


def test_numbers_of_groups_are_got_and_set_by_path():
    net = mixed()
    net.simulate_iterations(1)
    cells = net.NeuronGroups[0]
    net.run(steps=2)
    held = cells.voltage
    net.set_var("cells/Cells/threshold", None, 0.2)
    net.set_var("cells", "voltage", np.linspace(-1, 0, 6))
    net.set_var("cells/voltage[2]", None, 7.0)
    assert cells.behavior[1].threshold == 0.2 and type(cells.behavior[1].threshold) is float
    assert cells.voltage is held
    close(held, [-1.0, -0.8, 7.0, -0.4, -0.2, 0.0])
    close(net.get_var("cells", "voltage"), held)
    close(net.get_var("OUT/W"), W_OUT)
    close(net.run(steps=5)["cells/voltage"], np.array(after_setting(5)))


def after_setting(steps: int) -> list:
    net = mixed()
    net.simulate_iterations(1, compile=False)
    net.NeuronGroups[0].behavior[1].threshold = 0.2
    net.NeuronGroups[0].voltage[:] = [-1.0, -0.8, 7.0, -0.4, -0.2, 0.0]
    start = net.NeuronGroups[0].voltage.copy()
    net.simulate_iterations(steps, compile=False)
    return [start, *net["voltage", 0][1:-1]]


def test_structure_changed_after_compiling_counts():
    net, eager = mixed(), mixed()
    net._relower()  # as if nobody had asked for the program of the nodes alone
    for one, compile in ((net, None), (eager, False)):
        one.simulate_iterations(6, compile=compile)
        one.add_func_node("read", 2, "identity")
        one.add_edge("rate", "read", np.ones((2, 5)))
        one.simulate_iterations(6, compile=compile)
    v, x = loop(mixed(), 12)
    for one in (net, eager):
        close(one["voltage", 0], x)
        close(one.get_var("rate", "li_op/v"), v[-1])
    close(net.run(steps=3)["out"][:1], v[-1:] @ np.ones((5, 2)))
    net.pop_node("read")
    close(net.get_var("rate", "li_op/v"), v[-1])
    net.simulate_iterations(3)
    close(net["voltage", 0], loop(mixed(), 15)[1])


# Training


def test_bptt_trains_synapses_of_a_group_through_equations():
    net, goal = mixed(), mixed()
    for one in (net, goal):
        one.simulate_iterations(1)
    goal.set_var("OUT/W", None, 1.3 * W_OUT)
    targets = goal.run(steps=12, record_vars={"v": "rate/li_op/v"}, record_output=False)["v"]
    before = net.test(None, targets, output="rate")[1]
    fit = net.fit_bptt(None, targets, train=["OUT/W"], output="rate", epochs=40, lr=0.02, progress=False)
    after, loss = net.test(None, targets, output="rate")
    assert fit.history["loss"][0] == pytest.approx(before) and loss < 0.2 * before
    close(net.SynapseGroups[1].W, fit.params["OUT/W"])
    close(after["out"], net.run(steps=12)["out"], 1e-9)
    close(after.time, net.run(steps=12).time)


def test_the_gradient_of_a_number_of_a_behavior_is_that_of_differences():
    net = noisy(dtype=np.float64)
    net.simulate_iterations(1)
    net.set_var("cells/Noisy/level", None, 0.0)  # each epoch has noise of its own
    targets = np.zeros((6, 4))
    fit = net.fit_bptt(
        None, targets, train=["cells/Noisy/leak"], output="cells/v", epochs=1, lr=1e-9, optimizer="sgd", progress=False
    )
    start = 0.9
    losses = []
    for leak in (start + 1e-6, start - 1e-6):
        net.set_var("cells/Noisy/leak", None, leak)
        losses.append(net.test(None, targets, output="cells/v")[1])
    slope = (losses[0] - losses[1]) / 2e-6
    assert (start - float(fit.params["cells/Noisy/leak"])) / 1e-9 == pytest.approx(slope, rel=1e-4)


def test_ridge_reads_out_nodes_and_groups():
    net = mixed()
    net.simulate_iterations(8)
    obs = net.run(steps=60, record_vars={"x": "cells/voltage", "v": "rate/li_op/v"})
    weights = series(2, 5)
    found = net.fit_ridge(None, obs["v"] @ weights.T, output="rate", alpha=1e-10)
    close(found.weights, weights, 1e-4)
    again = net.run(steps=60)
    close(again["out"], obs["v"] @ weights.T, 1e-3)
    assert np.array_equal(again["cells/voltage"], obs["cells/voltage"])
    wide = series(1, 6)
    found = net.fit_ridge(None, obs["x"] @ wide.T, output="cells/voltage", alpha=1e-12, add_readout_node=False)
    close(obs["x"] @ found.weights.T + found.intercept, obs["x"] @ wide.T, 1e-5)


# Files


def test_all_numbers_of_a_network_with_groups_go_through_a_file(tmp_path):
    net, again, path = mixed(), mixed(), tmp_path / "net.npz"
    net.simulate_iterations(12)
    net.set_var("rate", "li_op/tau", 2.0)
    net.set_var("cells/Cells/threshold", None, 0.3)
    net.set_var("OUT/W", None, 2 * W_OUT)
    net.save(path)
    again.simulate_iterations(1)
    again.load_values(path)
    assert again.iteration == 12
    runs = [one.run(steps=10) for one in (net, again)]
    assert np.array_equal(runs[0]["cells/voltage"], runs[1]["cells/voltage"])
    assert np.array_equal(runs[0]["out"], runs[1]["out"]) and runs[0].time[0] == 12 * DT
    other = noisy()
    other.simulate_iterations(1)
    with pytest.raises(StoreError, match="another network: the network has no 'IN/W'"):
        other.load_values(path)
    with pytest.raises(StoreError, match="which are code: build the network"):
        Network.load(path)


# A rule beside groups


def adder() -> Graph:
    """Return a rule whose state moves to what arrives, and which marks what is large."""

    def update(state, params, inputs, clock):
        x = params["k"] * state["x"] + inputs["i"]
        return {"x": x, "big": x > 0.5}, {"twice": 2 * x}

    state = {"x": np.linspace(0.0, 1.0, 3), "big": np.zeros(3, bool)}
    emits = {"twice": Emission((3,), np.dtype(float))}
    rule = Rule(update, state, {"k": np.array(0.8)}, {"i": np.zeros(3)}, emits, "an adder")
    return Graph({"add": rule}, input="add/i", output="add/x")


class In(Behavior):
    """Let cells hear the rule."""

    def iteration(self, synapses):
        synapses.dst.voltage += synapses.W.dot(synapses.src.x + synapses.src.big)


class Back(Behavior):
    """Send spikes to the rule."""

    def iteration(self, synapses):
        synapses.dst.i += synapses.W.dot(synapses.src.spike)


class Firing(Behavior):
    """Fire above a threshold."""

    def initialize(self, neurons):
        neurons.voltage = np.linspace(0.0, 0.5, neurons.size)
        neurons.spike = np.zeros(neurons.size, bool)

    def iteration(self, neurons):
        neurons.spike = neurons.voltage > 0.4
        neurons.voltage[neurons.spike] = 0.0
        neurons.voltage *= 0.9


TO_CELLS, TO_RULE, RELAY = series(6, 3, 1), series(3, 6, 2), series(3, 3, 3)


def with_rule() -> Network:
    """Return a rule and a group that are joined both ways, and a node of equations between."""
    net = Network(dt=DT, dtype=np.float64)
    net.add_node("rule", adder())
    net.add_func_node("relay", 3, "tanh")
    net.add_edge("rule", "relay", RELAY)
    cells = NeuronGroup(net=net, size=6, tag="cells", behavior={3: Firing(), 9: Recorder(["voltage"])})
    SynapseGroup(net=net, src="rule", dst=cells, tag="FROM", behavior={0: Weights(W=TO_CELLS), 1: In()})
    SynapseGroup(net=net, src="relay", dst=cells, tag="MID", behavior={0: Weights(W=TO_CELLS), 2: Relayed()})
    SynapseGroup(net=net, src=cells, dst="rule", tag="TO", behavior={0: Weights(W=TO_RULE), 5: Back()})
    net.initialize()
    return net


class Relayed(Behavior):
    """Let cells hear the relay."""

    def iteration(self, synapses):
        synapses.dst.voltage += 0.1 * synapses.W.dot(synapses.src.y)


def test_rule_and_group_are_advanced_side_by_side():
    x, big, fed, v, rows = np.linspace(0, 1, 3), np.zeros(3, bool), np.zeros(3), np.linspace(0.0, 0.5, 6), []
    for _ in range(25):
        seen, marked = x, big
        x = 0.8 * x + fed
        big = x > 0.5
        v = v + TO_CELLS @ (seen + marked) + 0.1 * TO_CELLS @ np.tanh(RELAY @ seen)
        spike = v > 0.4
        v = np.where(spike, 0.0, v) * 0.9
        fed = TO_RULE @ spike
        rows.append(v)
    for compile in (None, False):
        net = with_rule()
        net.simulate_iterations(25, compile=compile)
        close(net["voltage", 0], np.array(rows))
        close(net.get_var("rule", "x"), x)
    net = with_rule()
    net.simulate_iterations(5)
    obs = net.run(steps=20, record_vars=[("rule", "twice")])
    close(obs["cells/voltage"], np.array(rows)[4:-1])
    assert obs["rule", "twice"].shape == (20, 3)


# Wrong use


class Counting(Behavior):
    """Do what cannot be compiled."""

    def initialize(self, neurons):
        neurons.v = neurons.vector("uniform")

    def iteration(self, neurons):
        neurons.v += len(str(float(neurons.v[0])))


def uncompiled() -> Network:
    net = Network()
    NeuronGroup(net=net, size=2, tag="cells", behavior={1: Counting(), 9: EventRecorder("v")})
    net.initialize()
    return net


def stepped(net: Network, steps: int = 1) -> Network:
    net.simulate_iterations(steps)
    return net


def parts() -> None:
    net = Network(dt=DT)
    net.add_node("mass", __import__("recurra").CircuitTemplate.from_yaml(
        "model_templates.neural_mass_models.wilsoncowan.WC"), "e/se_op/r_ext", "e/rate_op/r")  # fmt: skip
    NeuronGroup(net=net, size=2, tag="cells", behavior={1: Cells()})
    SynapseGroup(net=net, src="mass", dst="cells", behavior={5: Out()})
    net.initialize()


WRONG = [
    (lambda: stepped(noisy()).run(), "nothing tells the number of steps", ShapeError),
    (lambda: stepped(noisy()).run(steps=3, record_vars=["cells/w"]), "cells/w", PathError),
    (lambda: stepped(noisy()).run(steps=3, record_output=False), "give a group a Recorder", RecurraError),
    (lambda: stepped(mixed(), 3).run(steps=3, history={"rate/li_op/v": 1.0}), "; the network stands at step 3",
     TimeError),
    (lambda: stepped(mixed()).run({"cells": np.zeros((3, 6))}), "unknown node 'cells'", PathError),
    (lambda: stepped(noisy()).set_var("cells/v", None, np.zeros(3)), "got shape (3,), expected a number", ShapeError),
    (lambda: stepped(noisy()).set_var("cells/u", None, 0.0), "cells/u", PathError),
    (lambda: uncompiled().run(steps=3), "only simulate_iterations(steps) can run this", CapabilityError),
    (lambda: stepped(mixed()).fit_rls(None, np.zeros((3, 5))), "fit_rls() learns from equations", CapabilityError),
    (lambda: stepped(mixed()).fit_ridge(None, np.zeros((9, 1)), output="cells/voltage"), "no edge to a readout node",
     CapabilityError),
    (parts, "join one of a single part", CapabilityError),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message", "kind"), WRONG, ids=[row[1] for row in WRONG])
def test_wrong_use_is_told(wrong, message: str, kind: type[RecurraError]) -> None:
    with pytest.raises(kind) as caught:
        wrong()
    assert message in str(caught.value)
