"""Ready rules of learning and homeostasis against sums over pairs of spikes, loops, and known results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from behavior_runs import Feed, driven_pair, one_group, random_spikes, run
from recurra.behaviors import (
    BCM,
    STDP,
    AdaptiveThreshold,
    CreateWeights,
    Hebbian,
    InstantHomeostasis,
    IntrinsicHomeostasis,
    LeakyIntegrateAndFire,
    Oja,
    PoissonInput,
    RateUnits,
    RewardModulatedSTDP,
    SpikeInput,
    Synaptic_Normalization,
    SynapticNormalization,
    SynapticScaling,
    TimeIntegrationHomeostasis,
    TraceSTDP,
    TripletSTDP,
)
from recurra.groups import Behavior, GroupNetwork, NeuronGroup, Recorder, SynapseGroup

STEPS = 80
SXD = {"syn_dim": "SxD"}


def weights(value, **kwargs):
    return CreateWeights(distribution=value, normalize=False, **kwargs)


def worst(actual, expected):
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    return np.max(np.abs(actual - expected))


def times_of(spikes):
    return [np.flatnonzero(column) for column in spikes.T]


@pytest.mark.parametrize("settings", [None, SXD])
@pytest.mark.parametrize("pairing", ["all", "nearest"])
def test_stdp_is_the_sum_over_pairs(pairing, settings, compile):
    pre, post = random_spikes(1, STEPS, 4), random_spikes(2, STEPS, 3)
    rule = STDP(A_plus=0.01, A_minus=0.012, tau_plus=15.0, tau_minus=25.0, pairing=pairing, w_min=None, w_max=None)
    net, synapses = driven_pair(pre, post, {2: weights(0.5), 3: rule}, ["W"], settings)
    run(net, STEPS, compile)
    expected = np.full((3, 4), 0.5)
    for i, t_post in enumerate(times_of(post)):
        for j, t_pre in enumerate(times_of(pre)):
            for late in t_post:
                earlier = t_pre[t_pre < late][-1:] if pairing == "nearest" else t_pre[t_pre < late]
                expected[i, j] += sum(0.01 * math.exp(-(late - early) / 15) for early in earlier)
            for late in t_pre:
                earlier = t_post[t_post < late][-1:] if pairing == "nearest" else t_post[t_post < late]
                expected[i, j] -= sum(0.012 * math.exp(-(late - early) / 25) for early in earlier)
    assert np.ptp(expected) > 0.03
    assert worst(synapses.ignore_transpose_mode(synapses.W), expected) < 1e-13


def test_window_of_stdp_has_its_shape(compile):
    """One pair at a time: source j fires at step 60, target i so many steps earlier or later."""
    lags = np.arange(-50, 51)
    pre, post = np.zeros((120, 1), bool), np.zeros((120, len(lags)), bool)
    pre[60] = True
    post[60 + lags, np.arange(len(lags))] = True
    rule = STDP(A_plus=0.01, A_minus=0.0105, tau_plus=20.0, tau_minus=30.0, dt=1.0)
    net, synapses = driven_pair(pre, post, {2: weights(0.5), 3: rule}, ["np.sum(W)"])
    run(net, 120, compile)
    window = np.where(lags > 0, 0.01 * np.exp(-lags / 20.0), -0.0105 * np.exp(lags / 30.0))
    window[lags == 0] = 0
    assert worst(synapses.W[:, 0] - 0.5, window) < 1e-15


def stdp_loop(W, pre, post, enabled, soft):
    """Go through all synapses one by one, with bounds 0 and 1."""
    W = W.copy()
    x, y = np.zeros(pre.shape[1]), np.zeros(post.shape[1])
    for a, b in zip(pre, post, strict=True):
        x, y = x * math.exp(-1 / 20), y * math.exp(-1 / 20)
        for i in range(len(y)):
            for j in range(len(x)):
                if b[i] and enabled[i, j]:
                    W[i, j] = min(max(W[i, j] + 0.2 * x[j] * (1 - W[i, j] if soft else 1), 0), 1)
                if a[j] and enabled[i, j]:
                    W[i, j] = min(max(W[i, j] - 0.2 * y[i] * (W[i, j] if soft else 1), 0), 1)
        x, y = x + a, y + b
    return W


@pytest.mark.parametrize("settings", [None, SXD])
@pytest.mark.parametrize("bounds", ["hard", "soft"])
@pytest.mark.parametrize("density", [1.0, 0.6])
def test_bounded_stdp_equals_a_loop_and_makes_no_synapses(bounds, density, settings, compile):
    pre, post = random_spikes(5, STEPS, 4), random_spikes(6, STEPS, 4)
    rule = STDP(A_plus=0.2, A_minus=0.2, bounds=bounds)
    create = weights("uniform(0.2,1)", density=density)
    net, synapses = driven_pair(pre, post, {2: create, 3: rule}, ["np.sum(W)"], settings)
    net.initialize()
    start = synapses.ignore_transpose_mode(synapses.W).copy()
    assert (start == 0).any() == (density < 1)
    run(net, STEPS, compile, initialize=False)
    expected = stdp_loop(start, pre, post, start > 0, bounds == "soft")
    assert worst(synapses.ignore_transpose_mode(synapses.W), expected) < 1e-13
    assert np.abs(expected - start).max() > 0.2
    assert bounds == "soft" or (expected[start > 0] == 1).any() or (expected[start > 0] == 0).any()


def test_triplet_rule_is_the_sum_over_triplets(compile):
    pre, post, dt = random_spikes(8, STEPS, 3), random_spikes(9, STEPS, 2), 2.0
    rule = TripletSTDP(A2_plus=0.005, A2_minus=0.007, A3_plus=0.0062, A3_minus=0.003, w_min=None, w_max=None, dt=dt)
    net, synapses = driven_pair(pre, post, {2: weights(0.5), 3: rule}, ["W"], dt=dt)
    run(net, STEPS, compile)

    def trace(times, now, tau):
        return sum(math.exp(-(now - t) * dt / tau) for t in times if t < now)

    expected = np.full((2, 3), 0.5)
    for i, t_post in enumerate(times_of(post)):
        for j, t_pre in enumerate(times_of(pre)):
            for now in t_post:
                expected[i, j] += trace(t_pre, now, 16.8) * (0.005 + 0.0062 * trace(t_post, now, 125.0))
            for now in t_pre:
                expected[i, j] -= trace(t_post, now, 33.7) * (0.007 + 0.003 * trace(t_pre, now, 101.0))
    assert np.ptp(expected) > 0.01
    assert worst(synapses.W, expected) < 1e-13


def test_triplet_rule_depends_on_the_frequency(compile):
    """Sixty pairs 10 ms apart strengthen at 50 Hz and weaken at 0.1 Hz in both orders (Pfister and Gerstner 2006)."""
    changes = {}
    for rate, lag in ((0.1, -10), (0.1, 10), (50.0, -10), (50.0, 10)):
        gap = round(1000 / rate)
        steps = 100 + 60 * min(gap, 1000)
        pre, post = np.zeros((steps, 1), bool), np.zeros((steps, 1), bool)
        pre[50 : 50 + 60 * min(gap, 1000) : min(gap, 1000)] = True
        post[50 + lag : 50 + lag + 60 * min(gap, 1000) : min(gap, 1000)] = True
        net, synapses = driven_pair(pre, post, {2: weights(0.5), 3: TripletSTDP(w_max=10.0)}, ["iteration"])
        if steps > 4000:  # pairs 1 s apart do not feel each other: one of them stands for all
            steps = 1000
        run(net, steps, compile)
        changes[rate, lag] = (synapses.W[0, 0] - 0.5) * (60 if steps == 1000 else 1)
    assert changes[0.1, -10] < -0.2 and abs(changes[0.1, 10]) < 0.02
    assert changes[50.0, 10] > 0.4 and changes[50.0, -10] > 0.1


def test_trace_rule_equals_a_loop(compile):
    pre, post = random_spikes(10, STEPS, 4), random_spikes(11, STEPS, 3)
    start = np.random.default_rng(1).random((3, 4))
    rule = TraceSTDP(learning_rate=0.1, trace_target=0.3, tau=10.0, mu=0.5)
    net, synapses = driven_pair(pre, post, {2: weights(start), 3: rule}, ["W"])
    run(net, STEPS, compile)
    W, x = start.copy(), np.zeros(4)
    for k in range(STEPS):
        for j in range(4):
            x[j] = 1.0 if pre[k, j] else x[j] * math.exp(-1 / 10)
        for i in range(3):
            for j in range(4):
                if post[k, i]:
                    W[i, j] = min(max(W[i, j] + 0.1 * (x[j] - 0.3) * math.sqrt(1 - W[i, j]), 0), 1)
    assert np.abs(W - start).max() > 0.1
    assert worst(synapses.W, W) < 1e-13


class Reward(Behavior):
    """Reward at given steps."""

    def initialize(self, network):
        self.times = np.asarray(self.parameter("times"))

    def iteration(self, network):
        network.reward = 0.5 * np.any(self.times == network.iteration)


def test_reward_decides_about_the_eligible(compile):
    pre, post, dt = random_spikes(12, STEPS, 3), random_spikes(13, STEPS, 2), 1.0
    rule = RewardModulatedSTDP(
        A_plus=0.1, A_minus=0.12, tau_eligibility=30.0, tau_dopamine=10.0, w_min=None, w_max=None
    )
    net, _ = driven_pair(pre, post, {2: weights(0.5), 3: rule}, ["W", "eligibility", "dopamine"])
    net.add_behavior(0, Reward(times=[20, 21, 60]))
    run(net, STEPS, compile)
    c, W, x, y, d = np.zeros((2, 3)), np.full((2, 3), 0.5), np.zeros(3), np.zeros(2), 0.0
    for k in range(STEPS):
        x, y = x * math.exp(-1 / 20), y * math.exp(-1 / 20)
        d = d * math.exp(-1 / 10) + (0.5 if k + 1 in (20, 21, 60) else 0.0)
        for i in range(2):
            for j in range(3):
                c[i, j] *= math.exp(-1 / 30)
                c[i, j] += 0.1 * x[j] * post[k, i] - 0.12 * y[i] * pre[k, j]
                W[i, j] += dt * c[i, j] * d
        x, y = x + pre[k], y + post[k]
        assert worst(net["W", 0][k], W) < 1e-13
        assert abs(net["dopamine", 0][k] - d) < 1e-14
    assert np.array_equal(net["W", 0][18], np.full((2, 3), 0.5)) and np.abs(W - 0.5).max() > 0.05


def rate_pair(rows, outputs, behavior, record=("W",)):
    """Return a network in which inputs `rows` drive linear units through plastic weights."""
    net = GroupNetwork(dtype=np.float64, seed=6)
    source = NeuronGroup(net, rows.shape[1], behavior={1: Feed(name="rate", rows=rows)})
    target = NeuronGroup(net, outputs, behavior={2: SpikeInput(variable="rate"), 3: RateUnits()})
    return net, SynapseGroup(net, source, target, behavior={**behavior, 90: Recorder(list(record))})


def test_hebbian_and_oja_equal_loops(compile):
    rows = np.random.default_rng(2).normal(0, 1, (30, 4))
    start = np.random.default_rng(3).normal(0, 0.5, (2, 4))
    for rule, decay in ((Hebbian(learning_rate=0.05), 0), (Oja(learning_rate=0.05), 1)):
        net, synapses = rate_pair(rows, 2, {0: weights(start), 4: rule})
        run(net, 30, compile)
        W = start.copy()
        for x in rows:
            y = [sum(W[i, j] * x[j] for j in range(4)) for i in range(2)]
            for i in range(2):
                for j in range(4):
                    W[i, j] += 0.05 * y[i] * (x[j] - decay * y[i] * W[i, j])
        assert worst(synapses.W, W) < 1e-12


def test_oja_converges_to_the_first_principal_component(compile):
    rng = np.random.default_rng(4)
    rows = rng.normal(0, 1, (6000, 5)) * [2.0, 1.0, 0.7, 0.5, 0.3] @ np.linalg.qr(rng.normal(0, 1, (5, 5)))[0]
    net, synapses = rate_pair(rows, 1, {0: weights("normal(0, 0.3)"), 4: Oja(learning_rate=0.002)}, ["iteration"])
    run(net, 6000, compile)
    _, vectors = np.linalg.eigh(np.cov(rows.T))
    w = synapses.W[0]
    assert abs(np.linalg.norm(w) - 1) < 0.05
    assert abs(w @ vectors[:, -1]) / np.linalg.norm(w) > 0.995


def test_bcm_equals_a_loop_and_becomes_selective(compile):
    patterns = np.array([[1.0, 0.2], [0.2, 1.0]])
    rows = patterns[np.random.default_rng(5).integers(2, size=4000)]
    start = np.array([[0.55, 0.5]])
    net, synapses = rate_pair(
        rows, 1, {0: weights(start), 4: BCM(learning_rate=0.02, tau=20.0, w_min=None)}, ["W", "theta"]
    )
    run(net, 4000, compile)
    w, theta = [0.55, 0.5], 0.0
    for k, x in enumerate(rows[:100]):
        y = w[0] * x[0] + w[1] * x[1]
        w = [w[j] + 0.02 * y * (y - theta) * x[j] for j in range(2)]
        theta = y * y + (theta - y * y) * math.exp(-1 / 20)
        assert worst(net["W", 0][k], [w]) < 1e-12 and abs(net["theta", 0][k, 0] - theta) < 1e-12
    responses = patterns @ synapses.W[0]
    # In the stable state one of two equally frequent patterns gets y = 2 y0, the other 0 (Intrator and Cooper 1992).
    assert responses.max() == pytest.approx(2.0, rel=0.15) and responses.min() < 0.2


def test_thresholds_adapt_until_the_rate_is_as_wanted(compile):
    wanted = np.array([20.0, 50.0, 100.0])
    behavior = {
        1: PoissonInput(rate=20.0, sources=100, weight=0.5),
        2: LeakyIntegrateAndFire(),
        3: IntrinsicHomeostasis(rate=wanted, learning_rate=0.1),
    }
    net, _ = one_group(3, behavior, ["spike", "threshold"], seed=2)
    run(net, 12000, compile)
    spikes, thresholds = net["spike", 0], net["threshold", 0]
    steps = np.diff(np.vstack([np.full((1, 3), -50.0), thresholds]), axis=0)
    assert worst(steps, 0.1 * (spikes - wanted / 1000)) < 1e-12
    # What the threshold moved is the rate that was too much.
    late = spikes[4000:].mean(axis=0) * 1000
    assert worst(late, wanted + (thresholds[-1] - thresholds[3999]) / 0.1 / 8) < 1e-8
    assert np.max(np.abs(late / wanted - 1)) < 0.15


def test_adaptive_threshold_equals_a_loop(compile):
    behavior = {1: LeakyIntegrateAndFire(I_ext=40.0), 2: AdaptiveThreshold(increase=3.0, tau=50.0)}
    net, _ = one_group(1, behavior, ["spike", "threshold"])
    run(net, 200, compile)
    theta = 0.0
    for fired, threshold in zip(net["spike", 0][:, 0], net["threshold", 0][:, 0], strict=True):
        theta = theta * math.exp(-1 / 50) + 3.0 * fired
        assert abs(threshold + 50 - theta) < 1e-12
    intervals = np.diff(np.flatnonzero(net["spike", 0][:, 0]))
    assert intervals[0] < intervals[-1]


@pytest.mark.parametrize("settings", [None, SXD])
def test_normalisation_scales_all_afferent_weights_together(settings, compile):
    net = GroupNetwork(dtype=np.float64, seed=3, settings=settings)
    a = NeuronGroup(net, 4, tag="a")
    b = NeuronGroup(net, 5, tag="b", behavior={3: SynapticNormalization(syn_type="GLU", norm_factor=2.0, interval=3)})
    one = SynapseGroup(net, a, b, tag="GLU", behavior={1: weights("uniform(0,1)")})
    two = SynapseGroup(net, b, b, tag="GLU", behavior={1: weights("uniform(0,1)")})
    other = SynapseGroup(net, a, b, tag="GABA", behavior={1: weights(7.0)})
    net.initialize()
    total = sum(s.ignore_transpose_mode(s.W).sum(axis=1) for s in (one, two))
    assert worst(total, np.full(5, 2.0)) < 1e-12
    before, ratio = one.W.copy(), one.W.sum() / two.W.sum()
    one.W *= 3
    two.W *= 3
    net.simulate_iterations(2, progress=False)
    assert worst(one.W, 3 * before) == 0
    net.simulate_iterations(1, progress=False)
    assert worst(one.W, before) < 1e-12 and one.W.sum() / two.W.sum() == pytest.approx(ratio)
    assert (other.W == 7).all()


def test_normalisation_clips_and_leaves_the_unconnected(compile):
    net, cells = one_group(2, {3: SynapticNormalization(norm_factor=1.0, clip_max=1.0)}, ["size"])
    synapses = SynapseGroup(net, cells, cells, behavior={1: weights(np.array([[3.0, 1.0], [0.0, 0.0]]))})
    run(net, 1, compile)
    assert worst(synapses.W, [[0.5, 0.5], [0.0, 0.0]]) < 1e-12


def test_scaling_equals_a_loop(compile):
    post = random_spikes(14, STEPS, 3, 0.2)
    pre = random_spikes(15, STEPS, 2)
    net, synapses = driven_pair(pre, post, {0: weights(0.5)}, ["W"])
    net["target", 0].add_behavior(5, SynapticScaling(rate=100.0, tau=200.0, tau_activity=50.0))
    run(net, STEPS, compile)
    W, activity = np.full((3, 2), 0.5), np.zeros(3)
    for k in range(STEPS):
        for i in range(3):
            activity[i] += (1000.0 * post[k, i] - activity[i]) * (1 - math.exp(-1 / 50))
            W[i] *= 1 + (100 - activity[i]) / 100 / 200
        assert worst(net["W", 0][k], W) < 1e-12
    assert synapses.W.std() > 0.01


@pytest.mark.parametrize("distance_sensitive", [True, False])
def test_instant_homeostasis_equals_a_loop(distance_sensitive, compile):
    rows = np.random.default_rng(16).normal(1, 1, (50, 3))
    rule = InstantHomeostasis(
        measurement_param="n.x * 2", adjustment_param="gain", threshold=2.0, gap_percent=10, inc=0.1, dec=0.3,
        adj_strength=2.0, distance_sensitive=distance_sensitive, measurement_max=4.0, target_clip_min=-1.0,
    )  # fmt: skip
    net, _ = one_group(3, {1: Feed(name="x", rows=rows), 2: rule}, ["gain"])
    run(net, 50, compile)
    gain = [0.0] * 3
    for k in range(50):
        for i in range(3):
            measured = min(2 * rows[k, i], 4.0)
            if measured < 1.8:
                gain[i] += 0.2 * (1.8 - measured if distance_sensitive else 1)
            elif measured > 2.2:
                gain[i] -= 0.6 * (measured - 2.2 if distance_sensitive else 1)
            gain[i] = max(gain[i], -1.0)
        assert worst(net["gain", 0][k], gain) < 1e-12


@pytest.mark.parametrize(
    ("bounds", "start"), [({"threshold": 1.0}, 1.0), ({"min_th": 0.8}, 0.8), ({"max_th": 1.2}, 1.2)]
)
def test_homeostasis_over_time_equals_a_loop(bounds, start, compile):
    rows = np.random.default_rng(17).normal(1, 1, (50, 2))
    rule = TimeIntegrationHomeostasis(
        measurement_param="x", adjustment_param="gain", integration_length=4, inc=0.1, dec=0.2, **bounds
    )
    net, _ = one_group(2, {1: Feed(name="x", rows=rows), 2: rule}, ["gain"])
    run(net, 50, compile)
    gain, average = np.zeros(2), np.full(2, start)
    low, high = bounds.get("min_th", bounds.get("threshold")), bounds.get("max_th", bounds.get("threshold"))
    for k in range(50):
        average = (4 * average + rows[k]) / 5
        for i in range(2):
            if low is not None and average[i] < low:
                gain[i] += 0.1 * (low - average[i])
            if high is not None and average[i] > high:
                gain[i] -= 0.2 * (average[i] - high)
        assert worst(net["gain", 0][k], gain) < 1e-12


def test_pymonnto_name_scales_the_tag_of_pymonnto(compile):
    net, cells = one_group(3, {3: Synaptic_Normalization()}, ["size"])
    glu = SynapseGroup(net, cells, cells, tag="GLU", behavior={1: weights(2.0)})
    gaba = SynapseGroup(net, cells, cells, tag="GABA", behavior={1: weights(2.0)})
    run(net, 1, compile)
    assert worst(glu.W, np.full((3, 3), 1 / 3)) < 1e-15 and (gaba.W == 2).all()
