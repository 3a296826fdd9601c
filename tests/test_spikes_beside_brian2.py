"""Spikes, refractory times, postsynaptic potentials and conductances beside Brian2, whose numbers are kept here.

They were computed by Brian2 2.9.0 (NumPy 2.2, codegen target numpy, on a CPU) with `dt` as given; times are in ms.
"""

from __future__ import annotations

import numpy as np
import pytest

from recurra import EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.behaviors import (
    AdaptiveExponential,
    AlphaSynapse,
    CreateWeights,
    ExponentialSynapse,
    HodgkinHuxley,
    Izhikevich,
    LeakyIntegrateAndFire,
    Refractoriness,
    SpikeGenerator,
    SpikeInput,
)
from recurra.errors import OptionError, UnusedWeights

# NeuronGroup(1, "dv/dt = (20 - v)/(10*ms) : 1 (unless refractory)", threshold="v>10", reset="v=0", refractory=...,
# method="exact"), dt 0.1 ms: the number of spikes in 1 s, and the first four.
REFRACTORY = {
    0.0: (142, [6.9, 13.9, 20.9, 27.9]),
    0.1: (142, [6.9, 13.9, 20.9, 27.9]),
    0.2: (140, [6.9, 14.0, 21.1, 28.2]),
    0.5: (135, [6.9, 14.3, 21.7, 29.1]),
    2.0: (112, [6.9, 15.8, 24.7, 33.6]),
    5.0: (84, [6.9, 18.8, 30.7, 42.6]),
}
# The same with method="euler".
EULER = {0.0: (144, [6.8, 13.7, 20.6, 27.5]), 0.1: (144, [6.8, 13.7, 20.6, 27.5]), 5.0: (85, [6.8, 18.6, 30.4, 42.2])}
MODEL = {"tau": 10.0, "v_rest": 0.0, "v_reset": 0.0, "threshold": 10.0, "I_ext": 20.0}


@pytest.mark.parametrize("period", REFRACTORY)
@pytest.mark.parametrize("by", ["the model", "a behavior behind it"])
def test_refractory_intervals_of_behaviors(period, by):
    net = Network(dt=0.1)
    own = by == "the model"
    model = LeakyIntegrateAndFire(**MODEL, refractory=period if own else 0.0)
    more = {} if own else {2: Refractoriness(period=period)}
    NeuronGroup(net=net, size=1, behavior={1: model, **more, 3: EventRecorder("spike")})
    net.initialize()
    net.simulate_iterations(10_000)
    count, first = REFRACTORY[period]
    times = (net["spike.t", 0] - 1) * 0.1
    assert len(times) == count
    assert np.allclose(times[:4], first)


@pytest.mark.parametrize("period", EULER)
def test_refractory_intervals_of_equations(period):
    """Each interval is a step longer, since a spike of a node takes a step."""
    net = Network(dt=0.1)
    net.add_diffeq_node(
        "c", "v' = (20 - v)/10", variables={"v": "output", "spike": "input"}, spike_var="spike", reset_var="v",
        spike_threshold=10.0, spike_reset=0.0, refractory=period,
    )  # fmt: skip
    times = np.flatnonzero(net.run(steps=500, record_vars={"s": "c/spike"})["s"][:, 0]) * 0.1
    expected = np.diff(EULER[period][1])
    assert np.allclose(np.diff(times)[:3], expected + 0.1)


HH = [
    "dv/dt = I - 120*m*m*m*h*(v-50) - 36*n*n*n*n*(v+77) - 0.3*(v+54.387)",
    "dm/dt = 0.1*(v+40.0001)/(1-exp(-(v+40.0001)/10))*(1-m) - 4*exp(-(v+65)/18)*m",
    "dh/dt = 0.07*exp(-(v+65)/20)*(1-h) - h/(1+exp(-(v+35)/10))",
    "dn/dt = 0.01*(v+55.0001)/(1-exp(-(v+55.0001)/10))*(1-n) - 0.125*exp(-(v+65)/80)*n",
]
# threshold="v>-20", refractory="v>-20" (or 3*ms: the same), method="euler", dt 0.01 ms, 100 ms from v = -65; and 20 ms
# from v = 0, where Brian2 counts the beginning above the threshold as a spike.
ACTION_POTENTIALS = [1.83, 16.73, 31.37, 46.0, 60.64, 75.27, 89.9]
FROM_ABOVE = [0.0, 15.08]


@pytest.mark.parametrize(
    ("options", "start", "steps", "expected"),
    [
        ({}, -65.0, 10_000, ACTION_POTENTIALS),
        ({"refractory": 3.0}, -65.0, 10_000, ACTION_POTENTIALS),
        ({}, 0.0, 2000, FROM_ABOVE),
    ],
)
def test_an_action_potential_is_one_spike(options, start, steps, expected):
    net = Network(dt=0.01)
    kinds = {"v": f"output({start})", "m": "variable(0.053)", "h": "variable(0.596)", "n": "variable(0.318)"}
    net.add_diffeq_node(
        "c", HH, variables={**kinds, "I": 10.0, "spike": "input"}, spike_var="spike", reset_var="v",
        spike_threshold=-20.0, reset=False, **options,
    )  # fmt: skip
    times = np.flatnonzero(net.run(steps=steps, record_vars={"s": "c/spike"})["s"][:, 0]) * 0.01
    # Brian2 tests after the step what is tested here before the next one.
    assert np.allclose(times, np.array(expected) + (times > 0) * 0.01, atol=0.011)


def receive(cell, synapse, weight, dt, ms, at=5.0, dtype=np.float64):
    net = Network(dt=dt, dtype=dtype)
    source = NeuronGroup(net=net, size=1, behavior={1: SpikeGenerator(times=[at], indices=[0])})
    target = NeuronGroup(net=net, size=1, tag="c", behavior={5: cell, 6: Recorder("v")})
    made = {2: CreateWeights(distribution=weight, normalize=False), 3: synapse}
    SynapseGroup(net=net, src=source, dst=target, behavior=made)
    net.initialize()
    net.simulate_iterations(round(ms / dt))
    return np.array(net["v", 0])[:, 0]


@pytest.mark.parametrize(
    ("dt", "tau", "share", "peak"),  # of w*tau, and the peak, by Brian2 with method="exact"
    [
        (1.0, 2.0, 0.99793, 0.077413),
        (1.0, 5.0, 0.99917, 0.157443),
        (0.1, 5.0, 0.99999, 0.157489),
        (0.1, 2.0, 0.99998, 0.077426),
    ],
)
def test_the_area_under_a_potential_does_not_depend_on_the_step(dt, tau, share, peak):
    """It is `w tau` (closed form), `e w tau` for an alpha synapse."""
    silent = {"tau": 20.0, "v_rest": 0.0, "v_reset": 0.0, "threshold": 1e9}
    v = receive(LeakyIntegrateAndFire(**silent), ExponentialSynapse(tau=tau), 1.0, dt, 500, at=10.0)
    assert abs(v.sum() * dt / tau - 1) < 1e-9
    assert abs(v.sum() * dt / tau - share) < 0.003
    assert abs(v.max() / peak - 1) < 0.005
    alpha = receive(LeakyIntegrateAndFire(**silent), AlphaSynapse(tau=tau), 1.0, dt, 500, at=10.0)
    assert abs(alpha.sum() * dt / (np.e * tau) - 1) < 1e-9


# (dt, weight, reversal): the lowest and the highest v by Brian2, method="exponential_euler", rest -60, tau 20 and 5 ms.
CONDUCTANCE = {
    (1.0, 45.0, -80.0): (-79.3228, -60.0),
    (0.1, 45.0, -80.0): (-79.2198, -60.0),
    (1.0, 1000.0, -80.0): (-79.9800, -60.0),
    (1.0, 45.0, 0.0): (-60.0, -2.0316),
}


@pytest.mark.parametrize("case", CONDUCTANCE)
def test_a_conductance_drives_no_further_than_its_reversal_potential(case):
    dt, weight, reversal = case
    cell = LeakyIntegrateAndFire(tau=20.0, v_rest=-60.0, v_reset=-60.0, threshold=1e9)
    v = receive(cell, ExponentialSynapse(tau=5.0, reversal=reversal), weight, dt, 30)
    assert np.allclose([v.min(), v.max()], CONDUCTANCE[case], atol=0.5)


@pytest.mark.parametrize("weight", [0.5, 30.0, 1e4])
@pytest.mark.parametrize("kind", [ExponentialSynapse, AlphaSynapse])
@pytest.mark.parametrize(
    ("cell", "dt", "lowest", "highest"),
    [
        (lambda: LeakyIntegrateAndFire(v_rest=-60.0, v_reset=-60.0, threshold=1e9), 1.0, -80.0, -60.0),
        (lambda: HodgkinHuxley(), 0.1, -80.0, 50.0),
        (lambda: AdaptiveExponential(C=20.0, b=0.0, a=0.0), 0.1, -80.0, -70.5),
        (lambda: Izhikevich(v_init=-70.0), 0.5, -80.0, -59.0),
    ],
)
def test_every_model_keeps_to_the_range(cell, dt, lowest, highest, kind, weight):
    """The maximum principle of the membrane equation, at conductances that are small, large and absurd."""
    v = receive(cell(), kind(tau=5.0, reversal=-80.0), weight, dt, 30)
    assert v.min() >= lowest - 1e-6
    assert v.max() <= highest
    assert v.min() < v[0] - 0.1


def two_kinds(fast, slow=None, more=None):
    """Return the jump of v at a spike that arrives by fast synapses of weight 1 and slow ones of weight 4."""
    net = Network(dt=0.1)
    source = NeuronGroup(net=net, size=1, behavior={1: SpikeGenerator(times=[1.0], indices=[0])})
    inputs = {3: SpikeInput(target="v", **fast), **({3.5: more} if more else {})}
    cells = NeuronGroup(net=net, size=1, behavior={**inputs, 4: LeakyIntegrateAndFire(tau=20.0), 5: Recorder("v")})
    slow = slow or {2: ExponentialSynapse(tau=5.0)}
    for tag, weight, own in (("slow", 4.0, slow), ("fast", 1.0, {})):
        made = {0: CreateWeights(distribution=weight, normalize=False), **own}
        SynapseGroup(net=net, src=source, dst=cells, tag=tag, behavior=made)
    net.initialize()
    net.simulate_iterations(12)
    v = np.array(net["v", 0])[:, 0]
    return v[10] - v[9]


@pytest.mark.parametrize("fast", [{}, {"synapse_tag": "fast"}])
def test_a_spike_counts_once(fast):
    """The jump of 1 decays for a step, and the slow current adds its mean over the step."""
    kept = np.exp(-0.1 / 20)
    current = 4 * 5 / 0.1 * (1 - np.exp(-0.1 / 5))
    assert np.isclose(two_kinds(fast), kept + current * (1 - kept))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fast": {"synapse_tag": "slow"}}, "synapses 'slow' send their spikes by ExponentialSynapse already"),
        ({"fast": {}, "more": SpikeInput()}, "two of them add what arrives by synapses 'fast'"),
        ({"fast": {"synapse_tag": "fast"}, "more": SpikeInput()}, "two of them add what arrives by synapses 'fast'"),
        ({"fast": {}, "slow": {2: ExponentialSynapse(), 3: AlphaSynapse()}}, "have two currents"),
    ],
)
def test_what_would_count_twice_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        two_kinds(**options)


def test_weights_that_nothing_reads_are_named():
    net = Network(dt=1.0)
    cells = NeuronGroup(net=net, size=2, behavior={1: LeakyIntegrateAndFire()})
    SynapseGroup(net=net, src=cells, dst=cells, tag="forgotten", behavior={0: CreateWeights()})
    net.initialize()
    with pytest.warns(UnusedWeights, match="weights of 'forgotten' are read by nothing"):
        net.simulate_iterations(2)


@pytest.mark.parametrize("text", ["normal(0, 1)", "uniform(-1, 0)", "uniform(-1, 1.2)"])
def test_weights_that_cannot_be_normalised_are_refused(text):
    net = Network(seed=1)
    cells = NeuronGroup(net=net, size=30)
    SynapseGroup(net=net, src=cells, dst=cells, behavior={0: CreateWeights(distribution=text)})
    with pytest.raises(OptionError, match="add up to almost nothing, or to the other sign"):
        net.initialize()
