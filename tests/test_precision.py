"""Precision: float64 unless said otherwise, one word for everything, and slow variables that move in float32."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup, afferent
from recurra.behaviors import (
    BCM,
    STDP,
    AdaptiveThreshold,
    BinaryUnits,
    CreateWeights,
    ExponentialSynapse,
    Hebbian,
    InstantHomeostasis,
    IntrinsicHomeostasis,
    LeakyIntegrateAndFire,
    RateUnits,
    ShortTermPlasticity,
    SpikeGenerator,
    SynapticScaling,
    TimeIntegrationHomeostasis,
    TraceSTDP,
)
from recurra.engine import simulate
from recurra.errors import OptionError
from recurra.groups import GroupNetwork
from recurra.training import evaluate, fit_bptt

W, X, Y, RATE = 0.1234567890123, 1.7, 0.31, 0.05


def neuron(**options) -> Network:
    net = Network(dt=0.1, **options)
    net.add_diffeq_node("n", "y = w*u", variables={"y": "output", "u": "input", "w": W})
    return net


def trained(net: Network, **options) -> float:
    net.fit_bptt(
        np.full((1, 1), X), np.full((1, 1), Y), train=["n/op/w"], optimizer="sgd", lr=RATE, epochs=1, progress=False,
        **options,
    )  # fmt: skip
    return float(net.get_var("n/op/w")[0])


# One word for everything

BY_HAND = W - RATE * 2 * (W * X - Y) * X


@pytest.mark.parametrize(
    "options", [{"precision": "float64"}, {"dtype": np.float64}, {"settings": {"dtype": "float64"}}]
)
def test_the_precision_of_a_network_rules_its_training(options):
    assert abs(trained(neuron(**options)) - BY_HAND) < 1e-15


@pytest.mark.parametrize("options", [{}, {"precision": "float32"}, {"dtype": np.float32}])
def test_a_training_is_in_float32_by_default(options):
    assert 1e-12 < abs(trained(neuron(**options)) - BY_HAND) < 1e-7


def test_a_call_may_say_another_precision():
    assert abs(trained(neuron(precision="float32"), precision="float64") - BY_HAND) < 1e-15
    assert abs(trained(neuron(precision="float64"), precision="float32") - BY_HAND) > 1e-12


def test_a_saved_network_keeps_what_was_said(tmp_path):
    for said in (None, "float64", "float32"):
        neuron(precision=said).save(tmp_path / "net.npz")
        again = Network.load(tmp_path / "net.npz")
        assert again.chosen_precision == said and again.precision == (said or "float64")
        again.program.save(tmp_path / "program.npz")
        from recurra.engine import load

        assert load(tmp_path / "program.npz").graph.precision == said


def test_programs_of_a_network_are_run_and_trained_in_its_precision():
    for said, run, training in ((None, "float64", "float32"), ("float32",) * 3, ("float64",) * 3):
        program = neuron(precision=said).program
        assert simulate(program, 0.2, dt=0.1, record="n/op/y").meta["precision"] == run
        assert simulate(program, 0.2, dt=0.1, record="n/op/y")["n/op/y"].dtype == run
        data = {"n/op/u": np.full((1, 1), X)}, np.full((1, 1), Y)
        found = evaluate(program, *data, output="n/op/y", dt=0.1).losses
        assert found.dtype == training
        fit = fit_bptt(
            program, *data, output="n/op/y", train=["n/op/w"], dt=0.1, optimizer="sgd", lr=RATE, epochs=1,
            progress=False,
        )  # fmt: skip
        assert (abs(float(fit.params["n/op/w"][0]) - BY_HAND) < 1e-15) == (training == "float64")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float32", "dtype": np.float64}, "dtype=float64 and precision='float32' contradict each other"),
        ({"precision": "float64", "settings": {"dtype": "float32"}}, "dtype=float32 and precision='float64'"),
        ({"precision": "float64", "dtype": np.float16}, "dtype=float16 and precision='float64' contradict"),
        ({"precision": "double"}, "unknown precision 'double'"),
    ],
)
@pytest.mark.parametrize("make", [Network, GroupNetwork])
def test_contradictions_are_refused(make, options, message):
    with pytest.raises(OptionError, match=message):
        make(**options)


class Cells(Behavior):
    """Leaky cells that equations drive."""

    def initialize(self, n):
        n.v = n.vector(np.linspace(0, 0.5, n.size))
        n.spike = n.v > 1.0
        self.count = np.zeros(n.size, np.int64)

    def iteration(self, n):
        for s in n.synapses(afferent, "IN"):
            n.v += 0.1 * s.W.dot(s.src.r)
        n.spike = n.v > 0.4
        n.v[n.spike] = 0.0
        n.v *= 0.9
        self.count += n.spike


class Out(Behavior):
    """Send spikes back into the equations."""

    def iteration(self, s):
        s.dst.I_ext += s.W.dot(s.src.spike)


def mixed(**options) -> Network:
    net = Network(dt=0.1, seed=3, **options)
    net.add_diffeq_node(
        "rate", "neuron_model_templates.rate_neurons.leaky_integrator.tanh",
        weights=np.random.default_rng(0).normal(size=(5, 5)), source_var="tanh_op/r", target_var="li_op/r_in",
        input_var="li_op/I_ext", output_var="li_op/v",
    )  # fmt: skip
    net.set_var("rate", "li_op/v", np.linspace(-0.5, 0.5, 5))
    cells = NeuronGroup(net=net, size=6, tag="cells", behavior={1: Cells(), 9: Recorder("v")})
    SynapseGroup(net=net, src="rate", dst=cells, tag="IN", behavior={0: CreateWeights()})
    SynapseGroup(net=net, src=cells, dst="rate", tag="OUT", behavior={0: CreateWeights(), 5: Out()})
    net.initialize()
    return net


def test_nodes_and_groups_are_in_one_precision():
    rows = {}
    for precision in ("float64", "float32"):
        net = mixed(precision=precision)
        obs = net.run(steps=40, record_vars={"w": "cells/v", "s": "cells/spike"})
        assert obs.meta["precision"] == precision and {str(v.dtype) for v in obs.data.values()} == {precision}
        assert str(simulate(net, 0.2, dt=0.1, record="rate/li_op/v")["rate/li_op/v"].dtype) == precision
        eager = mixed(precision=precision)
        for one, compile in ((net, True), (eager, False)):
            one.simulate_iterations(40, compile=compile, progress=False)
            assert one["v", 0].dtype == one.snapshot.state["rate/li_op/v"].dtype == precision
        tolerance = 1e-5 if precision == "float32" else 1e-12
        assert np.abs(net["v", 0] - eager["v", 0]).max() < tolerance
        assert np.abs(net["v", 0][:-1] - obs["cells/v"][1:]).max() < tolerance
        rows[precision] = obs
    for name in rows["float64"]:
        assert np.abs(rows["float64"][name] - rows["float32"][name]).max() < 1e-5


def test_groups_in_float64_refuse_a_run_in_float32():
    with pytest.raises(OptionError, match="the groups computes in float64"):
        simulate(mixed(), 0.2, dt=0.1, precision="float32")


def test_weights_of_groups_are_trained_in_the_precision_of_their_network():
    class Sum(Behavior):
        def initialize(self, n):
            n.y = n.vector()

        def iteration(self, n):
            for s in n.synapses(afferent, "S"):
                n.y[:] = s.W.dot(s.src.x)

    class Fixed(Behavior):
        def initialize(self, n):
            n.x = n.vector(X)

        def iteration(self, n):
            n.x *= 1.0

    for precision in ("float64", "float32"):
        net = Network(precision=precision)
        a = NeuronGroup(net=net, size=1, tag="a", behavior={1: Fixed()})
        b = NeuronGroup(net=net, size=1, tag="b", behavior={2: Sum()})
        SynapseGroup(net=net, src=a, dst=b, tag="S", behavior={0: CreateWeights(distribution=W, normalize=False)})
        net.initialize()
        net.fit_bptt(
            None, np.full((2, 1), Y), output="b/y", train=["S/W"], optimizer="sgd", lr=RATE, epochs=1,
            mask=np.array([0.0, 1.0]), progress=False,
        )  # fmt: skip
        found = net.get_var("S/W")
        assert found.dtype == precision
        assert abs(float(found.reshape(-1)[0]) - BY_HAND) < (1e-15 if precision == "float64" else 1e-7)


# Slow variables in float32: each rule in closed form

STEPS = 3000


def group(behavior: dict, **options):
    net = Network(dt=0.1, precision="float32", **options)
    return net, NeuronGroup(net=net, size=1, tag="c", behavior=behavior)


def joined(source: dict, target: dict, synapses: dict):
    net = Network(dt=0.1, precision="float32")
    a = NeuronGroup(net=net, size=1, tag="a", behavior=source)
    b = NeuronGroup(net=net, size=1, tag="b", behavior=target)
    rules = {2: CreateWeights(distribution=0.5, normalize=False), **synapses}
    return net, SynapseGroup(net=net, src=a, dst=b, tag="S", behavior=rules)


def lowered():
    net, cells = group({2: LeakyIntegrateAndFire(), 3: IntrinsicHomeostasis(rate=1.0)})
    return net, lambda: cells.threshold, lambda n: -50 - 0.01 * 1e-4 * n


def lowered_by_an_earlier_number():
    net, cells = group({1: IntrinsicHomeostasis(rate=1.0), 2: LeakyIntegrateAndFire()})
    return net, lambda: cells.threshold, lambda n: -50 - 0.01 * 1e-4 * n


def adapted():
    net, cells = group({1: SpikeGenerator(times=[0.0], indices=[0]), 2: BinaryUnitsBeside(), 3: AdaptiveThreshold()})
    return net, lambda: cells.threshold, lambda n: 0.5 + 0.05 * np.exp(-0.1 * (n - 1) / 1e7)


class BinaryUnitsBeside(Behavior):
    """Have a threshold, and leave the spikes to others."""

    def initialize(self, n):
        n.threshold = n.vector(0.5)


def scaled():
    net, s = joined({1: BinaryUnits()}, {1: BinaryUnits(), 3: SynapticScaling(rate=5.0, tau=3.6e6)}, {})
    return net, lambda: s.W[0], lambda n: 0.5 * (1 + 0.1 / 3.6e6) ** n


def instant():
    rule = InstantHomeostasis(measurement_param="rate", adjustment_param="gain", min_th=1.0, inc=1e-9)
    net, cells = group({0: Ones(), 1: RateUnits(), 2: rule})
    return net, lambda: cells.gain, lambda n: 1.0 + 1e-9 * n


class Ones(Behavior):
    """Have a gain of one."""

    def initialize(self, n):
        n.gain = n.vector(1.0)


def integrated():
    rule = TimeIntegrationHomeostasis(
        measurement_param="rate", adjustment_param="gain", min_th=1.0, inc=0.0, integration_length=1e8, init_avg=2.0
    )
    net, _ = group({0: Ones(), 1: RateUnits(), 2: rule})
    return net, lambda: rule.average, lambda n: 2.0 * (1e8 / (1e8 + 1)) ** n


def strengthened():
    net, s = joined({1: RateUnits(I_ext=1.0)}, {1: RateUnits(I_ext=1.0)}, {3: Hebbian(learning_rate=1e-9)})
    return net, lambda: s.W[0], lambda n: 0.5 + 1e-9 * n


def sliding():
    rule = BCM(learning_rate=0.0, tau=1e7, theta_init=1.0, variable="rate")
    net, s = joined({1: RateUnits(I_ext=1.0)}, {1: RateUnits(I_ext=0.0)}, {3: rule})
    return net, lambda: s.theta, lambda n: np.exp(-0.1 * n / 1e7)


def lingering():
    net, s = joined({1: SpikeGenerator(times=[0.0], indices=[0])}, {1: BinaryUnits()}, {3: ExponentialSynapse(tau=1e7)})
    return net, lambda: s.g, lambda n: 0.5 * np.exp(-0.1 * (n - 1) / 1e7)


def traced():
    rule = STDP(tau_plus=1e7, A_plus=1e-6)
    net, s = joined({1: SpikeGenerator(times=[0.0], indices=[0])}, {1: BinaryUnits()}, {3: rule})
    return net, lambda: s.pre_trace, lambda n: np.exp(-0.1 * (n - 1) / 1e7)


def rewarded_little():
    rule = TraceSTDP(learning_rate=1e-9, tau=20.0, trace_target=1.0, mu=0.0)
    net, s = joined({1: BinaryUnits()}, {1: BinaryUnits(I_ext=1.0)}, {3: rule})
    return net, lambda: s.W[0], lambda n: 0.5 - 1e-9 * n


def recovering():
    net, s = joined(
        {1: SpikeGenerator(times=[0.0], indices=[0])}, {1: BinaryUnits()}, {3: ShortTermPlasticity(U=0.5, tau_rec=1e7)}
    )
    return net, lambda: s.x, lambda n: 1 - 0.5 * np.exp(-0.1 * (n - 1) / 1e7)


def easing():
    net, cells = group({1: RateUnits(tau=1e7, I_ext=1.0)})
    return net, lambda: cells.rate, lambda n: 1 - np.exp(-0.1 * n / 1e7)


RULES = [
    lowered, lowered_by_an_earlier_number, adapted, scaled, instant, integrated, strengthened, sliding, lingering,
    traced, rewarded_little, recovering, easing,
]  # fmt: skip


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_slow_variables_move_in_float32(rule, compile):
    net, value, exact = rule()
    steps = STEPS if compile else STEPS // 10
    net.initialize()
    net.simulate_iterations(steps, compile=compile, progress=False)
    moved = exact(steps) - exact(1)
    assert abs(float(value()[0]) - exact(steps)) < 1e-4 * abs(moved)
    assert value().dtype == np.float64


def test_what_is_not_slow_stays_in_float32():
    rules = {3: STDP(), 4: ExponentialSynapse(), 5: ShortTermPlasticity()}
    net, s = joined({1: LeakyIntegrateAndFire()}, {1: LeakyIntegrateAndFire()}, rules)
    net.initialize()
    net.simulate_iterations(3, progress=False)
    held = [s.W, s.g, s.x, s.u, s.pre_trace, s.post_trace, s.src.v, s.src.threshold, s.src.I]
    assert {array.dtype for array in held} == {np.dtype("float32")}
