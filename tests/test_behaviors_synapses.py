"""Ready synapses against loops and formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from behavior_runs import Feed, driven_pair, generator, one_group, random_spikes, run
from recurra.behaviors import (
    STDP,
    AlphaSynapse,
    CreateWeights,
    ExponentialSynapse,
    LeakyIntegrateAndFire,
    RateUnits,
    ShortTermPlasticity,
    SpikeInput,
    SynapticDelay,
    SynapticNormalization,
)
from recurra.groups import GroupNetwork, NeuronGroup, Recorder, SynapseGroup

STEPS = 60
W = np.random.default_rng(8).normal(0, 1, (3, 5))


def fixed(matrix=W, **kwargs):
    """Return a behavior that sets the weights."""
    return CreateWeights(distribution=matrix, normalize=False, **kwargs)


def worst(actual, expected):
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    return np.max(np.abs(actual - expected))


def receive(behavior, pre, record, settings=None, target=None, matrix=W, dt=1.0):
    """Return what a target without a model gets from given spikes: recordings of target and synapses."""
    net = GroupNetwork(dtype=np.float64, settings=settings, dt=dt)
    source = NeuronGroup(net, pre.shape[1], tag="source", behavior={1: generator(pre, dt=dt)})
    cells = NeuronGroup(net, len(matrix), tag="target", behavior={**(target or {}), 90: Recorder(["I"])})
    first = next(iter(behavior.values()))
    if isinstance(first, CreateWeights) and settings:
        behavior = {**behavior, 2: fixed(matrix.T)}
    synapses = SynapseGroup(net, source, cells, tag="syn", behavior={**behavior, 91: Recorder(record)})
    return net, synapses


@pytest.mark.parametrize("settings", [None, {"syn_dim": "SxD"}])
def test_spike_input_adds_the_weights_of_those_who_fired(settings, compile):
    pre = random_spikes(1, STEPS, 5)
    net, _ = receive({2: fixed()}, pre, ["np.sum(W)"], settings, {3: SpikeInput(strength=2.0)})
    run(net, STEPS, compile)
    total, expected = [0.0] * 3, []
    for k in range(STEPS):
        for i in range(3):
            total[i] += 2 * sum(W[i, j] for j in range(5) if pre[k, j])
        expected.append(list(total))
    assert worst(net["I", 0], expected) < 1e-12


def test_spike_input_may_be_a_jump_of_the_potential_or_a_rate(compile):
    pre = random_spikes(2, STEPS, 5)
    target = {3: SpikeInput(target="v"), 4: LeakyIntegrateAndFire(threshold=1e9)}
    net, _ = receive({2: fixed()}, pre, ["np.sum(W)"], None, target)
    net["target", 0].add_behavior(95, Recorder("v"))
    run(net, STEPS, compile)
    v, expected = np.full(3, -65.0), []
    for k in range(STEPS):
        v = -65 + (v + W[:, pre[k]].sum(axis=1) + 65) * math.exp(-1 / 20)
        expected.append(v)
    assert worst(net["v", 0], expected) < 1e-11
    rates = np.random.default_rng(3).random((10, 4))
    net, cells = one_group(4, {1: Feed(name="rate", rows=rates), 2: SpikeInput(variable="rate")}, ["I"])
    SynapseGroup(net, cells, cells, behavior={0: CreateWeights()})
    run(net, 10, compile)
    weights = net.SynapseGroups[0].W
    assert worst(net["I", 0], np.cumsum(rates @ weights.T, axis=0)) < 1e-12


def test_spike_input_takes_the_synapses_of_a_tag_and_sub_groups(compile):
    net = GroupNetwork(dtype=np.float64)
    source = NeuronGroup(net, 2, behavior={1: generator(np.ones((3, 2), bool))})
    cells = NeuronGroup(net, 4, behavior={3: SpikeInput(synapse_tag="GLU"), 9: Recorder("I")})
    half = cells.subGroup(np.array([False, True, False, True]))
    SynapseGroup(net, source, half, tag="GLU", behavior={2: fixed(np.array([[1.0, 2.0], [3.0, 4.0]]))})
    SynapseGroup(net, source, cells, tag="GABA", behavior={2: fixed(np.ones((4, 2)))})
    run(net, 3, compile)
    assert worst(net["I", 0], np.outer([1, 2, 3], [0, 3, 0, 7])) == 0


@pytest.mark.parametrize("delay", [0.0, 1.0, 2.5, np.array([0.0, 0.5, 3.0, 1.0, 2.0]), "uniform(0, 4)"])
def test_delays_shift_the_spikes_of_each_source(delay, compile):
    pre = random_spikes(4, STEPS, 5)
    net = GroupNetwork(dtype=np.float64, seed=2)
    source = NeuronGroup(net, 5, behavior={1: generator(pre, dt=0.5)})
    cells = NeuronGroup(net, 3)
    synapses = SynapseGroup(net, source, cells, behavior={2: SynapticDelay(delay=delay, dt=0.5), 3: Recorder("spike")})
    run(net, STEPS, compile)
    if isinstance(delay, str):
        delay = np.random.RandomState(2).uniform(0, 4, 5)
        assert np.unique(np.round(delay / 0.5)).size > 1
    shifts = [round(d / 0.5) for d in np.broadcast_to(delay, 5)]
    expected = np.zeros((STEPS, 5), bool)
    for j, shift in enumerate(shifts):
        expected[shift:, j] = pre[: STEPS - shift, j]
    assert np.array_equal(net["spike", 0], expected)
    assert synapses.SynapticDelay.waiting.shape == (max(shifts) + 1, 5)


def test_delayed_spikes_are_what_the_other_behaviors_read(compile):
    pre = random_spikes(5, STEPS, 5)
    net, _ = receive(
        {2: fixed(), 3: SynapticDelay(delay=2.0), 4: ShortTermPlasticity(U=1.0, tau_rec=1e-9)},
        pre, ["release"], None, {5: SpikeInput()},
    )  # fmt: skip
    run(net, STEPS, compile)
    expected = np.cumsum(np.vstack([np.zeros((2, 3)), pre[:-2] @ W.T]), axis=0)
    assert worst(net["I", 0], expected) < 1e-12
    assert worst(net["release", 0], np.vstack([np.zeros((2, 5)), pre[:-2]])) < 1e-12


def test_exponential_synapse_has_the_analytic_current(compile):
    pre, dt, tau = random_spikes(6, STEPS, 5), 0.5, 4.0
    net, _ = receive({2: fixed(), 3: ExponentialSynapse(tau=tau, strength=-1.5, dt=dt)}, pre, ["g"], dt=dt)
    run(net, STEPS, compile)
    expected = np.zeros((STEPS, 3))
    for step, j in zip(*np.nonzero(pre), strict=True):
        for k in range(step, STEPS):
            expected[k] -= 1.5 * W[:, j] * math.exp(-(k - step) * dt / tau)
    assert worst(net["g", 0], expected) < 1e-12
    # A step delivers the mean of the current over it.
    mean = expected * (1 - math.exp(-dt / tau)) * tau / dt
    assert worst(net["I", 0], np.cumsum(mean, axis=0)) < 1e-11


def test_alpha_synapse_has_the_analytic_current(compile):
    pre, dt, tau = random_spikes(7, STEPS, 5), 0.25, 1.5
    net, _ = receive({2: fixed(), 3: AlphaSynapse(tau=tau, dt=dt)}, pre, ["g"], dt=dt)
    run(net, STEPS, compile)
    expected = np.zeros((STEPS, 3))
    for step, j in zip(*np.nonzero(pre), strict=True):
        for k in range(step, STEPS):
            s = (k - step) * dt / tau
            expected[k] += W[:, j] * s * math.exp(1 - s)
    assert worst(net["g", 0], expected) < 1e-12


def test_reversal_potential_makes_a_conductance(compile):
    pre = random_spikes(8, STEPS, 5)
    rows = np.random.default_rng(1).normal(-60, 5, (STEPS, 3))
    for synapse in (ExponentialSynapse(reversal=-80.0), AlphaSynapse(reversal=0.0)):
        tau, alpha = (2.0, True) if isinstance(synapse, AlphaSynapse) else (5.0, False)
        kwargs = {2: fixed(np.abs(W)), 3: synapse}
        recorded = ["g", "g_rise"] if alpha else ["g"]
        net, _ = receive(kwargs, pre, recorded, None, {1: Feed(name="v", rows=rows)}, np.abs(W))
        run(net, STEPS, compile)
        # The mean over a step, summed up finely.
        fine = (np.arange(1000) + 0.5)[:, None, None] / 1000
        rise = net["g_rise", 0] * fine / tau if alpha else 0.0
        mean = ((net["g", 0] + rise) * np.exp(-fine / tau)).mean(axis=0)
        expected = np.cumsum(mean * (synapse.reversal - rows), axis=0)
        assert worst(net["I", 0], expected) < 1e-5 * np.abs(expected).max() and np.abs(expected).max() > 1


def test_short_term_plasticity_equals_a_loop(compile):
    pre = random_spikes(9, 200, 5, 0.2)
    stp = ShortTermPlasticity(U=0.2, tau_rec=50.0, tau_facil=80.0, dt=0.5)
    net, _ = driven_pair(pre, random_spikes(0, 200, 3), {3: stp}, ["x", "u", "release"], dt=0.5)
    run(net, 200, compile)
    x, u = [1.0] * 5, [0.0] * 5
    for k in range(200):
        for j in range(5):
            x[j] += (1 - x[j]) * (1 - math.exp(-0.5 / 50))
            u[j] -= u[j] * (1 - math.exp(-0.5 / 80))
            released = 0.0
            if pre[k, j]:
                u[j] += 0.2 * (1 - u[j])
                released = u[j] * x[j]
                x[j] -= released
            assert abs(net["release", 0][k, j] - released) < 1e-13
        assert worst(net["x", 0][k], x) < 1e-13 and worst(net["u", 0][k], u) < 1e-13


@pytest.mark.parametrize(("tau_facil", "interval"), [(0.0, 20), (0.0, 100), (600.0, 20), (600.0, 50)])
def test_short_term_plasticity_reaches_the_analytic_steady_state(tau_facil, interval, compile):
    steps, U, tau = 4000, 0.3, 200.0
    pre = np.zeros((steps, 1), bool)
    pre[::interval] = True
    stp = ShortTermPlasticity(U=U, tau_rec=tau, tau_facil=tau_facil)
    net, _ = driven_pair(pre, np.zeros((steps, 1), bool), {3: stp}, ["release"])
    run(net, steps, compile)
    forget = math.exp(-interval / tau_facil) if tau_facil else 0.0
    u = U / (1 - (1 - U) * forget)
    recover = math.exp(-interval / tau)
    x = (1 - recover) / (1 - (1 - u) * recover)
    last = net["release", 0][pre[:, 0]][-1, 0]
    assert last == pytest.approx(u * x, rel=1e-6)


def test_weights_are_normalised_pruned_and_without_autapses(compile):
    net, cells = one_group(30, {}, ["size"])
    create = CreateWeights(density=0.3, norm_factor=5.0, autapses=False)
    synapses = SynapseGroup(net, cells, cells, behavior={1: create})
    run(net, 1, compile)
    assert worst(synapses.W.sum(axis=1), np.full(30, 5.0)) < 1e-12
    assert not synapses.W[~synapses.enabled].any() and not synapses.W.diagonal().any()
    assert (synapses.W[synapses.enabled] > 0).all()
    assert synapses.enabled.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 900))
    assert np.ptp(synapses.W.sum(axis=0)) < 0.5


def test_weights_as_given_are_kept(compile):
    net, synapses = driven_pair(np.zeros((1, 5), bool), np.zeros((1, 3), bool), {2: fixed(scale=-2.0)}, ["W"])
    run(net, 1, compile)
    assert worst(synapses.W, -2 * W) == 0
    assert synapses.enabled is True


def test_rates_may_pass_a_loop_of_units(compile):
    net, cells = one_group(
        3, {1: SpikeInput(variable="rate"), 2: RateUnits(activation="tanh", rate_init=0.5)}, ["rate"]
    )
    SynapseGroup(net, cells, cells, behavior={0: fixed(W[:, :3])})
    run(net, 8, compile)
    rate = np.full(3, 0.5)
    for k in range(8):
        rate = np.array([math.tanh(sum(W[i, j] * rate[j] for j in range(3))) for i in range(3)])
        assert worst(net["rate", 0][k], rate) < 1e-13


def test_sub_groups_equal_groups_of_their_own(compile):
    """Half of a group as source and target behaves as a group that has only these neurons."""
    spikes, start = random_spikes(11, STEPS, 4, 0.2), np.abs(W[:2, :2])
    half = np.array([False, True, False, True])

    def build(whole):
        net = GroupNetwork(dtype=np.float64)
        given = spikes if whole else spikes[:, half]
        source = NeuronGroup(net, given.shape[1], tag="source", behavior={1: generator(given)})
        target = NeuronGroup(net, given.shape[1], tag="target", behavior={1: generator(given[::-1])})
        target.add_behavior(2, Feed(name="v", rows=np.full((STEPS, given.shape[1]), -60.0)))
        target.add_behavior(10, SynapticNormalization(norm_factor=0.7))
        ends = [group.subGroup(half) if whole else group for group in (source, target)]
        behavior = {
            0: fixed(start), 3: SynapticDelay(delay=2.0), 4: ShortTermPlasticity(),
            5: ExponentialSynapse(reversal=0.0), 6: STDP(A_plus=0.1, A_minus=0.1), 90: Recorder(["W", "g"]),
        }  # fmt: skip
        SynapseGroup(net, *ends, behavior=behavior)
        run(net, STEPS, compile)
        return net, target.I[half] if whole else target.I

    (one, input_one), (two, input_two) = build(True), build(False)
    for name in ("W", "g"):
        assert worst(one[name, 0], two[name, 0]) < 1e-12
    assert worst(input_one, input_two) < 1e-9 and np.abs(input_one).max() > 1
    assert np.ptp(one["W", 0], axis=0).max() > 0.05
