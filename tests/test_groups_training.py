"""Training through the spikes of behaviors: gradients against loops in plain JAX, and trainings that learn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup, afferent
from recurra.behaviors import CreateWeights, Izhikevich, LeakyIntegrateAndFire, SpikeInput, TraceSTDP
from recurra.engine import as_function, simulate
from recurra.errors import CapabilityError, OptionError
from recurra.training import fit_bptt

RNG = np.random.default_rng(5)
N, STEPS, SLOPE, DT = 6, 22, 8.0, 0.1
W = RNG.normal(size=(N, N))
DRIVE = RNG.uniform(0.1, 0.5, N)
START = np.linspace(0.0, 0.9, N)
WEIGHTS_IN_LOSS = RNG.normal(size=(STEPS, N))
J, W_IN, W_OUT = RNG.normal(size=(3, 3)), RNG.normal(size=(N, 3)), RNG.normal(size=(3, N))


@jax.custom_jvp
def fires(margin):
    """Is 1.0 where the margin is over 0, with the derivative of Zenke and Ganguli (2018)."""
    return jnp.where(margin > 0, 1.0, 0.0)


fires.defjvp(lambda p, t: (fires(p[0]), t[0] / (1.0 + SLOPE * jnp.abs(p[0])) ** 2))


class Weights(Behavior):
    """Set the weights."""

    def initialize(self, synapses):
        synapses.W = np.array(self.parameter("W"), synapses.network.def_dtype)


class Cells(Behavior):
    """Leaky cells whose spikes of the last step arrive in this one."""

    def initialize(self, neurons):
        self.reset = self.parameter("reset", "mask")
        neurons.v = np.resize(START, neurons.size).astype(neurons.network.def_dtype)
        neurons.drive = np.resize(DRIVE, neurons.size).astype(neurons.network.def_dtype)
        neurons.spikes = neurons.v > 0.85
        self.threshold = 1.0

    def iteration(self, neurons):
        for synapses in neurons.synapses(afferent, "GLU"):
            neurons.v += 0.3 * synapses.W.dot(synapses.src.spikes)
        neurons.v += neurons.drive - 0.1 * neurons.v
        neurons.spikes = neurons.v > self.threshold
        if self.reset == "mask":
            neurons.v[neurons.spikes] = 0.0
        elif self.reset == "subtraction":
            neurons.v -= neurons.spikes * self.threshold


def build(size: int = N, weights: np.ndarray = W, dtype: type = np.float64, reset: str = "mask") -> Network:
    net = Network(dtype=dtype)
    behaviors = {1: Cells(reset=reset), 8: Recorder(["spikes", "v"]), 9: EventRecorder("spikes")}
    cells = NeuronGroup(net=net, size=size, tag="cells", behavior=behaviors)
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU", behavior={0: Weights(W=weights)})
    net.initialize()
    return net


def loop(w, drive, reset: str, steps: int = STEPS) -> dict:
    size = len(drive)
    v = jnp.asarray(np.resize(START, size))
    spikes, rows = jnp.asarray(np.resize(START, size) > 0.85) * 1.0, []
    for _ in range(steps):
        rows.append((spikes, v))
        v = v + 0.3 * (w @ spikes)
        v = v + (drive - 0.1 * v)
        spikes = fires(v - 1.0)
        if reset == "mask":
            v = jnp.where(spikes > 0, 0.0, v)
        elif reset == "subtraction":
            v = v - spikes
    return {"spikes": jnp.stack([s for s, _ in rows]), "v": jnp.stack([v for _, v in rows])}


RECORD = {"spikes": "cells/spikes", "v": "cells/v"}


def loss(rows: dict):
    return jnp.sum(rows["spikes"] * WEIGHTS_IN_LOSS) + 0.3 * jnp.sum(rows["v"] * WEIGHTS_IN_LOSS)


@pytest.mark.parametrize("reset", ["mask", "subtraction", "none"])
def test_gradients_of_recurrent_weights_are_those_of_a_loop(reset: str) -> None:
    net = build(reset=reset)
    program = net.program_with("superspike", SLOPE)
    run = as_function(program, STEPS, dt=1.0, record=RECORD)
    with jax.enable_x64(True):
        numbers = {"GLU/W": jnp.asarray(W), "cells/drive": jnp.asarray(DRIVE)}
        got = jax.grad(lambda n: loss(run(n)))(numbers)
        expected = jax.grad(lambda n: loss(loop(n["GLU/W"], n["cells/drive"], reset)))(numbers)
        rows, plain = run({}), as_function(net.program, STEPS, dt=1.0, record=RECORD)({})
    assert int(rows["spikes"].sum()) > 15
    for name, row in rows.items():
        assert np.array_equal(np.asarray(row), np.asarray(plain[name])), name
        assert np.abs(np.asarray(row) - np.asarray(loop(W, DRIVE, reset)[name])).max() < 1e-5, name
    for path, slope in expected.items():
        scale = np.abs(np.asarray(slope)).max()
        assert scale > 0.1 and np.abs(np.asarray(got[path]) - np.asarray(slope)).max() < 1e-9 * scale, path


def test_without_a_surrogate_the_weights_have_no_gradient() -> None:
    run = as_function(build(reset="mask").program, STEPS, dt=1.0, record={"spikes": "cells/spikes"})
    with jax.enable_x64(True):
        slope = jax.grad(lambda w: jnp.sum(run({"GLU/W": w})["spikes"]))(jnp.asarray(W))
    assert np.abs(np.asarray(slope)).max() == 0


def test_the_threshold_and_recorded_spikes_are_differentiated() -> None:
    net = build()
    program = net.program_with("superspike", SLOPE)
    run = as_function(program, STEPS, dt=1.0, record={"seen": "cells/Recorder/spikes", "kept": "cells/spikes"})
    with jax.enable_x64(True):
        rows = run({})
        by_both = [jax.grad(lambda x, n=n: run({"cells/Cells/threshold": x})[n][-2:].sum())(1.0) for n in rows]
    assert np.array_equal(np.asarray(rows["seen"]), np.asarray(rows["kept"]))
    assert all(abs(float(slope)) > 1e-3 for slope in by_both)


def test_large_single_precision_networks_have_the_same_values() -> None:
    size, steps = 300, 8
    weights = np.where(RNG.random((size, size)) < 0.1, RNG.normal(size=(size, size)), 0.0).astype(np.float32) * 0.2
    net = build(size, weights, np.float32)
    run = as_function(net.program_with("superspike", SLOPE), steps, dt=1.0, record=RECORD)
    plain = as_function(net.program, steps, dt=1.0, record=RECORD)({})
    for name, row in run({}).items():
        assert np.array_equal(np.asarray(row), np.asarray(plain[name])), name
    assert "event-driven" in net.runner.compiled.traced.explanation["cells/Cells"]
    with jax.enable_x64(True):
        got = jax.grad(lambda w: run({"GLU/W": w})["spikes"].sum())(jnp.asarray(weights))
        drive = jnp.asarray(np.resize(DRIVE, size).astype(np.float32))
        exact = jax.grad(lambda w: loop(w, drive, "mask", steps)["spikes"].sum())(jnp.asarray(weights, float))
    scale = np.abs(np.asarray(exact)).max()
    assert scale > 0.1 and np.abs(np.asarray(got) - np.asarray(exact)).max() < 1e-3 * scale


def test_training_brings_rates_to_their_targets() -> None:
    net = build(reset="subtraction")
    program = net.program_with("superspike", 2.0)  # a steeper one makes gradients too large for so many steps
    wanted = np.array([0.1, 0.4, 0.2, 0.5, 0.3, 0.2])

    def distance(outputs, targets):
        return jnp.sum((outputs.mean(axis=0) - targets[0]) ** 2)

    targets = np.tile(wanted, (60, 1))
    made = fit_bptt(
        program, None, targets, output="cells/spikes", train=["GLU/W"], dt=1.0, loss=distance, lr=0.05, epochs=80,
        precision="float64", progress=False,
    )  # fmt: skip
    rows = [simulate(p, 60.0, dt=1.0, record="cells/spikes", progress=False).to_numpy()
            for p in (program, made.program)]  # fmt: skip
    before, after = (np.abs(row.mean(axis=0) - wanted).max() for row in rows)
    assert before > 0.15 and after < 0.04
    net.GLU.W[...] = np.asarray(made.params["GLU/W"])
    net.simulate_iterations(60)
    assert np.array_equal(net["spikes", 0][:59], rows[1][1:])


class Relay(Behavior):
    """Cells that are driven by equations and drive others, through groups of synapses."""

    def initialize(self, neurons):
        neurons.v = START.copy()
        neurons.spikes = neurons.v > 0.85

    def iteration(self, neurons):
        for synapses in neurons.synapses(afferent, "IN"):
            neurons.v += 0.3 * synapses.W.dot(synapses.src.r)
        neurons.v *= 0.9
        neurons.spikes = neurons.v > 0.3
        neurons.v[neurons.spikes] = 0.0


class Out(Behavior):
    """Send the spikes into the equations."""

    def iteration(self, synapses):
        synapses.dst.I_ext += synapses.W.dot(synapses.src.spikes)


def mixed() -> Network:
    net = Network(dt=DT, dtype=np.float64)
    for label, weights in (("first", J), ("second", np.zeros((3, 3)))):
        net.add_diffeq_node(
            label, "neuron_model_templates.rate_neurons.leaky_integrator.tanh", weights=weights,
            source_var="tanh_op/r", target_var="li_op/r_in", input_var="li_op/I_ext", output_var="li_op/v",
        )  # fmt: skip
        net.set_var(label, "li_op/tau", 1.0)
        net.set_var(label, "li_op/v", np.array([0.5, -0.4, 0.3]))
    cells = NeuronGroup(net=net, size=N, tag="cells", behavior={1: Relay()})
    SynapseGroup(net=net, src="first", dst=cells, tag="IN", behavior={0: Weights(W=W_IN)})
    SynapseGroup(net=net, src=cells, dst="second", tag="OUT", behavior={0: Weights(W=W_OUT), 5: Out()})
    net.initialize()
    return net


def mixed_loop(w_in, w_out, j, k: float):
    start = jnp.array([0.5, -0.4, 0.3])
    first, second, v, fed, rows = start, start, jnp.asarray(START), jnp.zeros(3), []
    for _ in range(STEPS):
        rows.append(second)
        first, second = first + DT * (-first + k * (j @ jnp.tanh(first))), second + DT * (-second + fed)
        v = (v + 0.3 * (w_in @ jnp.tanh(first))) * 0.9
        spikes = fires(v - 0.3)
        v = jnp.where(spikes > 0, 0.0, v)
        fed = w_out @ spikes
    return jnp.stack(rows)


def test_weights_before_and_behind_spikes_are_trained_between_equations() -> None:
    net = mixed()
    program = net.program_with("superspike", SLOPE)
    k = float(net.get_var("first", "li_op/k")[0]) if "li_op/k" in net["first"].parameter_names else 1.0
    run = as_function(program, STEPS * DT, dt=DT, record={"out": "second/li_op/v"})
    numbers = {"IN/W": W_IN, "OUT/W": W_OUT, "first->first/weight": J}
    with jax.enable_x64(True):
        given = {path: jnp.asarray(value) for path, value in numbers.items()}
        weights = jnp.asarray(WEIGHTS_IN_LOSS[:, :3])
        got = jax.grad(lambda n: jnp.sum(run(n)["out"] * weights))(given)
        expected = jax.grad(lambda n: jnp.sum(mixed_loop(*n.values(), k) * weights))(given)
        assert np.abs(np.asarray(run({})["out"]) - np.asarray(mixed_loop(*given.values(), k))).max() < 1e-12
    for path, slope in expected.items():
        scale = np.abs(np.asarray(slope)).max()
        assert scale > 1e-2 and np.abs(np.asarray(got[path]) - np.asarray(slope)).max() < 1e-9 * scale, path
    targets = np.asarray(mixed_loop(W_IN[::-1], W_OUT, J, k))
    made = fit_bptt(
        program, None, targets, output="second/li_op/v", train=["IN/W", "OUT/W"], dt=DT, lr=0.05, epochs=30,
        precision="float64", progress=False,
    )  # fmt: skip
    assert made.history["loss"][-1] < 0.3 * made.history["loss"][0]


def test_a_network_trains_itself_through_spikes() -> None:
    targets = np.asarray(mixed_loop(W_IN[::-1], W_OUT, J, 1.0))
    options = {"train": ["IN/W"], "lr": 0.05, "epochs": 3, "progress": False}
    net = mixed()
    made = net.fit_bptt(None, targets, output="second", surrogate="superspike", slope=SLOPE, **options)
    by_hand = fit_bptt(
        mixed().program_with("superspike", SLOPE), None, targets, output="second/li_op/v", dt=DT, precision="float64",
        **options,
    )  # fmt: skip
    assert np.array_equal(made.history["loss"], by_hand.history["loss"])
    assert made.history["loss"][-1] < made.history["loss"][0]
    for found in (net.get_var("IN/W"), net.SynapseGroups[0].W):
        assert np.array_equal(found, by_hand.params["IN/W"]) and not np.array_equal(found, W_IN)


def test_a_run_goes_on_from_where_the_network_stands() -> None:
    net = build()
    net.simulate_iterations(10)
    program = net.program_with("superspike", SLOPE)
    assert program.state["cells/spikes"].dtype == np.float64
    got = simulate(program, 20.0, dt=1.0, record=RECORD, state=net.snapshot, progress=False)
    assert got.final.state["cells/spikes"].dtype == np.float64
    run = as_function(program, 20.0, dt=1.0, record=RECORD, state=net.snapshot)
    with jax.enable_x64(True):
        slope = jax.grad(lambda w: run({"GLU/W": w})["spikes"][-1].sum())(jnp.asarray(W))
    assert np.abs(np.asarray(slope)).max() > 1e-3
    net.simulate_iterations(20)
    assert np.array_equal(got["spikes"][1:], net["spikes", 0][10:-1])
    before, net.snapshot = net.cells.spikes.copy(), got.final
    assert net.cells.spikes.dtype == bool and np.array_equal(net.cells.spikes, before)


@pytest.mark.parametrize(
    ("cell", "synapse"),
    [
        (LeakyIntegrateAndFire(I_ext="uniform(20, 40)", refractory=2.0), {}),
        (Izhikevich(I_ext="uniform(10, 20)"), {5: TraceSTDP()}),
    ],
)
def test_ready_behaviors_can_be_trained_through(cell: Behavior, synapse: dict) -> None:
    net = Network(dt=1.0, seed=2, dtype=np.float64)
    cells = NeuronGroup(net=net, size=8, tag="cells", behavior={2: SpikeInput(), 3: cell})
    weights = CreateWeights(distribution="uniform(0, 3)", density=0.9)
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU", behavior={0: weights, **synapse})
    net.initialize()
    net.simulate_iterations(2)
    run = as_function(net.program_with("fast_sigmoid", 1.0), 40, dt=1.0, record={"spike": "cells/spike"})
    plain = as_function(net.program, 40, dt=1.0, record={"spike": "cells/spike"})({})["spike"]
    assert np.array_equal(np.asarray(run({})["spike"]), np.asarray(plain)) and np.asarray(plain).sum() > 10
    with jax.enable_x64(True):
        slope = jax.grad(lambda w: run({"GLU/W": w})["spike"].sum())(jnp.asarray(net.GLU.W))
    assert np.isfinite(np.asarray(slope)).all() and np.count_nonzero(np.abs(np.asarray(slope)) > 1e-6) > 8


class Text(Behavior):
    """Python that cannot be compiled."""

    def iteration(self, neurons):
        neurons.v *= len(f"{neurons.v[0]:.3f}")


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(OptionError, match="superspike"):
        build().program_with("superspik")
    with pytest.raises(OptionError, match="slope"):
        build().program_with("atan", -1.0)
    with pytest.raises(OptionError, match="superspike"):
        mixed().fit_bptt(None, np.zeros((5, 3)), output="second", train=["IN/W"], surrogate="superspik")
    with pytest.raises(OptionError, match="has no group"):
        plain = Network(dt=0.1)
        plain.add_diffeq_node("a", "v' = -v", variables={"v": "output"})
        plain.fit_bptt(None, np.zeros((5, 1)), train=["a/op/v"], surrogate="superspike")
    net = build()
    net.cells.add_behavior(3, Text())
    with pytest.raises(CapabilityError, match="Text"):
        net.program_with("atan")
