"""Nodes of equations and groups of behaviors in one network, held against one loop in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup, afferent
from recurra.engine import Snapshot, as_function, simulate

RNG = np.random.default_rng(4)
J, W_IN, W_OUT = RNG.normal(size=(5, 5)), RNG.normal(size=(6, 5)), RNG.normal(size=(5, 6))
DT, THRESHOLD = 0.1, 0.4


class Cells(Behavior):
    """Leaky cells that are driven by a node of equations."""

    def initialize(self, neurons):
        neurons.voltage = np.linspace(0.0, 0.5, neurons.size)
        neurons.spike = neurons.voltage > 1.0
        self.threshold = THRESHOLD

    def iteration(self, neurons):
        for synapse in neurons.synapses(afferent, "IN"):
            neurons.voltage += 0.1 * synapse.W.dot(synapse.src.r)
        neurons.spike = neurons.voltage > self.threshold
        neurons.voltage[neurons.spike] = 0.0
        neurons.voltage *= 0.9


class Out(Behavior):
    """Send the spikes back into the equations."""

    def iteration(self, synapses):
        synapses.dst.I_ext += synapses.W.dot(synapses.src.spike)


class Weights(Behavior):
    """Set the weights."""

    def initialize(self, synapses):
        synapses.W = np.array(self.parameter("W"))


def mixed(**options) -> Network:
    net = Network(dt=DT, dtype=np.float64, **options)
    net.add_diffeq_node(
        "rate", "neuron_model_templates.rate_neurons.leaky_integrator.tanh", weights=J, source_var="tanh_op/r",
        target_var="li_op/r_in", input_var="li_op/I_ext", output_var="li_op/v",
    )  # fmt: skip
    net.set_var("rate", "li_op/tau", 1.0)
    net.set_var("rate", "li_op/v", np.linspace(-0.5, 0.5, 5))
    cells = NeuronGroup(net=net, size=6, tag="cells", behavior={1: Cells(), 9: Recorder(["voltage"], tag="rec")})
    SynapseGroup(net=net, src="rate", dst=cells, tag="IN", behavior={0: Weights(W=W_IN)})
    SynapseGroup(net=net, src=cells, dst="rate", tag="OUT", behavior={0: Weights(W=W_OUT), 5: Out()})
    net.initialize()
    return net


def loop(net: Network, steps: int, threshold: float = THRESHOLD, w_out: np.ndarray = W_OUT):
    k = float(net.get_var("rate", "li_op/k")[0]) if "li_op/k" in net["rate"].parameter_names else 1.0
    v, x, fed = np.linspace(-0.5, 0.5, 5), np.linspace(0.0, 0.5, 6), np.zeros(5)
    rows_v, rows_x = [], []
    for _ in range(steps):
        v = v + DT * (-v / 1.0 + k * (J @ np.tanh(v)) + fed)
        x = x + 0.1 * (W_IN @ np.tanh(v))
        spike = x > threshold
        x = np.where(spike, 0.0, x) * 0.9
        fed = w_out @ spike
        rows_v.append(v)
        rows_x.append(x)
    return np.array(rows_v), np.array(rows_x)


def test_both_advance_in_turn() -> None:
    for compile in (None, False):
        net = mixed()
        net.simulate_iterations(60, compile=compile)
        v, x = loop(net, 60)
        assert np.abs(net["voltage", 0] - x).max() < 1e-12
        assert np.abs(net.get_var("rate", "li_op/v") - v[-1]).max() < 1e-12


def test_the_program_is_one_and_resumes_bitwise() -> None:
    net = mixed()
    net.simulate_iterations(20)
    start = net.snapshot
    record = {"x": "cells/voltage", "v": "rate/li_op/v"}
    whole = simulate(net.program, 40 * DT, dt=DT, record=record, state=start)
    first = simulate(net.program, 10 * DT, dt=DT, record=record, state=start)
    second = simulate(net.program, 30 * DT, dt=DT, record=record, state=first.final)
    _, x = loop(net, 60)
    assert np.abs(whole["x"] - x[19:59]).max() < 1e-12
    for name in record:
        assert np.array_equal(np.concatenate([first[name], second[name]]), whole[name])
    net.snapshot = first.final
    net.simulate_iterations(30)
    assert np.array_equal(net.NeuronGroups[0].voltage, whole.final.state["cells/voltage"])


def test_a_saved_snapshot_goes_on_bitwise_in_a_network_built_again(tmp_path) -> None:
    net, again = mixed(), mixed()
    net.simulate_iterations(25)
    net.snapshot.save(tmp_path / "state.npz")
    again.simulate_iterations(1)
    again.snapshot = Snapshot.load(tmp_path / "state.npz")
    assert again.iteration == 25
    for one in (net, again):
        one.simulate_iterations(25)
    for key, value in net.snapshot.state.items():
        assert np.array_equal(value, again.snapshot.state[key]), key


def test_a_sweep_runs_all_values_at_once() -> None:
    net = mixed()
    net.simulate_iterations(1)
    start, thresholds = net.snapshot, np.array([0.2, 0.4, 0.8])
    result = simulate(
        net.program, 40 * DT, dt=DT, record={"x": "cells/voltage"}, state=start,
        batch={"cells/Cells/threshold": thresholds},
    )  # fmt: skip
    assert np.abs(result["x"][1] - loop(net, 41)[1][:40]).max() < 1e-12
    assert np.abs(result["x"][0] - result["x"][2]).max() > 0.1


def test_weights_have_gradients_through_traced_steps() -> None:
    net = mixed()
    net.simulate_iterations(1)
    run = as_function(net.program, 10 * DT, dt=DT, record={"v": "rate/li_op/v"}, state=net.snapshot)

    def loss(weights):
        return jnp.sum(run({"IN/W": weights})["v"] ** 2)

    with jax.enable_x64(True):
        slope = np.asarray(jax.grad(loss)(jnp.asarray(W_IN)))
        direct = np.asarray(jax.grad(lambda w: jnp.sum(run({"OUT/W": w})["v"] ** 2))(jnp.asarray(W_OUT)))
        for index in ((0, 1), (4, 5)):
            there, back = W_OUT.copy(), W_OUT.copy()
            there[index] += 1e-6
            back[index] -= 1e-6
            values = [float(jnp.sum(run({"OUT/W": w})["v"] ** 2)) for w in (there, back)]
            assert abs(direct[index] - (values[0] - values[1]) / 2e-6) < 1e-5 * np.abs(direct).max()
    assert np.isfinite(slope).all() and np.abs(direct).max() > 0
