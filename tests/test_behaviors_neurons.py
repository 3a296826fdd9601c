"""Ready models of neurons against loops over single numbers, and against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from behavior_runs import Feed, generator, one_group, random_spikes, run
from recurra import Network
from recurra.behaviors import (
    AdEx,
    BinaryUnits,
    CurrentInput,
    HodgkinHuxley,
    Izhikevich,
    KWinnersTakeAll,
    LeakyIntegrateAndFire,
    NoiseInput,
    RateUnits,
    Refractoriness,
)
from recurra.errors import TimeError
from recurra.groups import NeuronGroup

STEPS = 300
RNG = np.random.default_rng(3)


def close(actual, expected, tolerance):
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    assert np.max(np.abs(actual - expected)) <= tolerance


def test_leaky_integrate_and_fire_equals_a_loop(compile):
    drive, tau = RNG.normal(17, 12, (STEPS, 4)), np.array([10.0, 15.0, 20.0, 30.0])
    lif = LeakyIntegrateAndFire(tau=tau, v_reset=-70, refractory=1.5, resistance=1.2, I_ext=1.0, dt=0.5)
    net, _ = one_group(4, {1: Feed(rows=drive), 2: lif}, ["v", "spike"])
    run(net, STEPS, compile)
    v, wait, expected, fired = [-65.0] * 4, [0] * 4, [], []
    for k in range(STEPS):
        spikes = [False] * 4
        for i in range(4):
            if wait[i] > 0:
                wait[i] -= 1
                v[i] = -70.0
                continue
            goal = -65 + 1.2 * (drive[k, i] + 1.0)
            v[i] = goal + (v[i] - goal) * math.exp(-0.5 / tau[i])
            if v[i] >= -50:
                spikes[i], v[i], wait[i] = True, -70.0, 2  # three steps from spike to release
        expected.append(list(v))
        fired.append(spikes)
    assert np.sum(fired) > 20
    assert np.array_equal(net["spike", 0], fired)
    close(net["v", 0], expected, 1e-11)


@pytest.mark.parametrize("current", [15.5, 18.0, 25.0, 60.0])
def test_firing_rate_of_the_leaky_neuron_is_the_analytic_one(current, compile):
    dt, tau, refractory = 0.1, 20.0, 2.0
    lif = LeakyIntegrateAndFire(tau=tau, I_ext=current, refractory=refractory, dt=dt)
    net, _ = one_group(1, {1: lif}, ["spike"])
    run(net, 4000, compile)
    intervals = np.diff(np.flatnonzero(net["spike", 0]))
    period = refractory + tau * math.log(current / (current - 15))
    assert len(intervals) > 3
    # As in Brian2 the step of the spike counts as refractory, so that an interval is a step shorter than rounded up.
    assert np.all(intervals == math.ceil(period / dt - 1e-9) - 1)


def test_leaky_neuron_is_silent_below_the_threshold_and_follows_the_exponential(compile):
    net, _ = one_group(1, {1: LeakyIntegrateAndFire(I_ext=14.999, dt=0.1)}, ["v", "spike"])
    run(net, 3000, compile)
    time = 0.1 * np.arange(1, 3001)
    assert not net["spike", 0].any()
    close(net["v", 0][:, 0], -65 + 14.999 * (1 - np.exp(-time / 20)), 1e-10)


def test_input_counts_once(compile):
    rows = np.zeros((5, 1))
    rows[1] = 10.0
    net, cells = one_group(1, {1: CurrentInput(current=10.0, start=1.0, stop=2.0), 2: LeakyIntegrateAndFire()}, ["v"])
    run(net, 5, compile)
    decay = math.exp(-1 / 20)
    jump = 10 * (1 - decay)
    close(net["v", 0][:, 0] + 65, [0, jump, jump * decay, jump * decay**2, jump * decay**3], 1e-12)
    assert not cells.I.any()


@pytest.mark.parametrize("kind", list(Izhikevich.KINDS))
def test_izhikevich_equals_a_loop(kind, compile):
    """Follow the script of Izhikevich (2003) for one neuron and one step at a time.

    Each step begins where the recorded one does, since the upstroke doubles every difference of rounding.
    """
    drive = RNG.normal(6, 3, (200, 3))
    net, _ = one_group(3, {1: Feed(rows=drive), 2: Izhikevich(kind=kind)}, ["v", "u", "spike"])
    run(net, 200, compile)
    a, b, c, d = Izhikevich.KINDS[kind]
    v, u, fired = (net[name, 0] for name in ("v", "u", "spike"))
    assert fired.sum() > 6
    for i in range(3):
        for k in range(200):
            x, y = (v[k - 1, i], u[k - 1, i]) if k else (-65.0, b * -65.0)
            assert fired[k, i] == (x >= 30)
            if x >= 30:
                x, y = c, y + d
            x = x + 0.5 * (0.04 * x * x + 5 * x + 140 - y + drive[k, i])
            x = x + 0.5 * (0.04 * x * x + 5 * x + 140 - y + drive[k, i])
            y = y + a * (b * x - y)
            assert abs(v[k, i] - x) <= 1e-10 * max(1, abs(x)) and abs(u[k, i] - y) <= 1e-10 * max(1, abs(x))


def test_izhikevich_patterns_are_those_of_the_paper(compile):
    intervals = {}
    for kind in ("regular spiking", "fast spiking", "chattering"):
        net, _ = one_group(1, {1: Izhikevich(kind=kind, I_ext=10.0, dt=0.1)}, ["spike"])
        run(net, 4000, compile)
        intervals[kind] = np.diff(np.flatnonzero(net["spike", 0])) / 10
    regular, fast, bursts = intervals["regular spiking"], intervals["fast spiking"], intervals["chattering"]
    assert regular[0] < regular[1] <= regular[2] and np.ptp(regular[3:]) <= 1  # it adapts, then is regular
    assert np.ptp(fast[3:]) <= 1 and fast[-1] < 0.5 * regular[-1]
    assert np.sum(bursts <= 5) > 2 * np.sum(bursts > 15) > 0  # many short intervals, then a long one


def test_adaptive_exponential_equals_a_loop(compile):
    drive, dt = RNG.normal(800, 300, (2000, 2)), 0.1
    net, _ = one_group(2, {1: Feed(rows=drive), 2: AdEx(dt=dt)}, ["v", "w", "spike"])
    run(net, 2000, compile)
    v, w, fired = np.zeros((2000, 2)), np.zeros((2000, 2)), np.zeros((2000, 2), bool)
    for i in range(2):
        x, y = -70.6, 0.0
        for k in range(2000):
            rise = 30 * 2 * math.exp(min((x + 50.4) / 2, 50))
            dx = (-30 * (x + 70.6) + rise - y + drive[k, i]) / 281
            y += dt * (4 * (x + 70.6) - y) / 144
            x += dt * dx
            if x >= 20:
                x, y, fired[k, i] = -70.6, y + 80.5, True
            v[k, i], w[k, i] = x, y
    assert fired.sum() > 8
    assert np.array_equal(net["spike", 0], fired)
    close(net["w", 0], w, 1e-6)
    close(net["v", 0], v, 1e-5)


@pytest.mark.parametrize(("current", "fires"), [(540.0, False), (552.0, True)])
def test_adaptive_exponential_fires_above_its_rheobase(current, fires, compile):
    # Without adaptation the fixed points meet at g_L (V_T - E_L - Delta_T) = 546 pA.
    net, _ = one_group(1, {1: AdEx(a=0.0, b=0.0, I_ext=current, dt=0.1)}, ["spike"])
    run(net, 8000, compile)
    assert net["spike", 0].any() == fires


def hodgkin_huxley(current, duration, dt):
    """Return times and potentials of the equations, solved by SciPy to a tolerance of 1e-9."""
    from scipy.integrate import solve_ivp

    def rates(v):
        am = 0.1 * (v + 40) / (1 - math.exp(-(v + 40) / 10))
        an = 0.01 * (v + 55) / (1 - math.exp(-(v + 55) / 10))
        ah, bh = 0.07 * math.exp(-(v + 65) / 20), 1 / (1 + math.exp(-(v + 35) / 10))
        return (am, 4 * math.exp(-(v + 65) / 18)), (ah, bh), (an, 0.125 * math.exp(-(v + 65) / 80))

    def slope(t, y):
        v, *gates = y
        m, h, n = gates
        dv = current - 120 * m**3 * h * (v - 50) - 36 * n**4 * (v + 77) - 0.3 * (v + 54.387)
        return [dv, *(a * (1 - x) - b * x for (a, b), x in zip(rates(v), gates, strict=True))]

    start = [-65.0001, *(a / (a + b) for a, b in rates(-65.0001))]
    times = np.arange(1, round(duration / dt) + 1) * dt
    return solve_ivp(slope, (0, duration), start, "LSODA", times, rtol=1e-9, atol=1e-9).y[0]


def test_hodgkin_huxley_converges_to_the_exact_solution(compile):
    errors = {}
    for dt in (0.01, 0.005):
        net, _ = one_group(1, {1: HodgkinHuxley(I_ext=10.0, v_init=-65.0001, dt=dt)}, ["v", "spike"])
        run(net, round(20 / dt), compile)
        exact = hodgkin_huxley(10.0, 20.0, dt)
        v = net["v", 0][:, 0]
        errors[dt] = np.max(np.abs(v - exact))
        crossing = 1 + np.flatnonzero((exact[:-1] < 0) & (exact[1:] >= 0))
        fired = np.flatnonzero(net["spike", 0])
        assert len(fired) == len(crossing) == 2
        assert np.max(np.abs(fired - crossing)) * dt <= 4 * dt
        assert abs(v.max() - exact.max()) < 0.3
        assert 38 < v.max() < 45  # an action potential of about 105 mV above the rest
    assert errors[0.005] < 0.6 * errors[0.01] < 6


def test_hodgkin_huxley_rests_and_has_a_rheobase(compile):
    currents = np.array([0.0, 2.0, 5.8, 7.0])
    net, cells = one_group(4, {1: HodgkinHuxley(I_ext=currents, dt=0.025)}, ["v", "spike"])
    run(net, 8000, compile)
    assert np.max(np.abs(net["v", 0][:, 0] + 65)) < 0.05
    assert [cells.m[0], cells.h[0], cells.n[0]] == pytest.approx([0.0529, 0.5961, 0.3177], abs=2e-3)
    late = net["spike", 0][4000:].sum(axis=0)
    assert late[0] == late[1] == late[2] == 0  # one spike at most, at the beginning
    assert 5 <= late[3] <= 8  # it begins to fire at once with more than 50 Hz


def test_passive_cable_has_the_analytic_profile(compile):
    n, length, diameter = 20, 100.0, 4.0
    errors = []
    for dt in (0.02, 0.01):
        cable = HodgkinHuxley(
            g_Na=0, g_K=0, g_L=1.0, E_L=-65, compartments=n, diameter=diameter, length=length, resistivity=100, dt=dt
        )
        current = np.zeros(n)
        current[0] = 10.0
        net, cells = one_group(n, {1: CurrentInput(current=current), 2: cable}, ["v"])
        run(net, round(20 / dt), compile)
        axial = 1e3 * diameter * 1e-4 / (4 * 100 * (length * 1e-4) ** 2)
        matrix = np.diag(np.full(n, 1.0 + 2 * axial)) - axial * (np.eye(n, k=1) + np.eye(n, k=-1))
        matrix[0, 0] = matrix[-1, -1] = 1.0 + axial
        errors.append(np.max(np.abs(cells.v + 65 - np.linalg.solve(matrix, current))))
    assert errors[1] < 0.55 * errors[0] < 0.06 < 0.03 * np.max(cells.v + 65)


def test_cells_are_independent_and_a_tree_may_be_a_chain(compile):
    drive = RNG.normal(8, 4, (200, 6))
    runs = []
    for kwargs in ({}, {"parents": [-1, 0, 1]}):
        hh = HodgkinHuxley(compartments=3, dt=0.05, length=800.0, **kwargs)
        net, _ = one_group(6, {1: Feed(rows=drive), 2: hh}, ["v"])
        run(net, 200, compile)
        runs.append(net["v", 0])
    hh = HodgkinHuxley(compartments=3, dt=0.05, length=800.0)
    alone, _ = one_group(3, {1: Feed(rows=drive[:, 3:]), 2: hh}, ["v"])
    run(alone, 200, compile)
    close(runs[0], runs[1], 1e-10)
    close(runs[0][:, 3:], alone["v", 0], 1e-10)


def test_action_potential_travels_as_fast_as_in_the_squid(compile):
    # Hodgkin and Huxley (1952) computed 18.8 m/s at 18.5 degrees, for a fibre of 476 um.
    n, dt = 80, 0.002
    hh = HodgkinHuxley(compartments=n, temperature=18.5, length=500.0, dt=dt)
    current = np.zeros(n)
    current[:3] = 1500.0
    net, _ = one_group(n, {1: CurrentInput(current=current, stop=0.2, dt=dt), 2: hh}, ["spike"])
    run(net, 1400, compile)
    arrival = np.array([np.flatnonzero(column)[0] for column in net["spike", 0].T]) * dt
    speed = 35 * 0.5 / (arrival[60] - arrival[25])  # mm/ms = m/s
    assert speed == pytest.approx(18.8, rel=0.03)


def test_refractoriness_holds_any_model(compile):
    period = np.array([0.0, 3.0, 7.0])
    refractory = Refractoriness(period=period)
    net, _ = one_group(3, {1: LeakyIntegrateAndFire(I_ext=200.0, v_reset=-60), 2: refractory}, ["v", "spike"])
    run(net, 60, compile)
    for i, steps in enumerate((0, 3, 7)):
        fired = np.flatnonzero(net["spike", 0][:, i])
        # With 200 mV of drive, two steps lead from the reset to the threshold.
        # Time counts from the spike to the release, and a step is as none.
        assert np.all(np.diff(fired) == max(steps - 1, 0) + 2)
        for k in fired[:-1]:
            assert np.all(net["v", 0][k : k + max(steps, 1), i] == -60)


@pytest.mark.parametrize("activation", RateUnits.ACTIVATIONS)
@pytest.mark.parametrize("tau", [None, 5.0])
def test_rate_units_equal_a_loop(activation, tau, compile):
    drive = RNG.normal(0, 2, (50, 3))
    net, _ = one_group(3, {1: Feed(rows=drive), 2: RateUnits(activation=activation, tau=tau, I_ext=0.3)}, ["rate"])
    run(net, 50, compile)
    functions = {
        "linear": lambda x: x,
        "relu": lambda x: max(x, 0.0),
        "tanh": math.tanh,
        "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
        "sign": lambda x: 1.0 if x >= 0 else -1.0,
    }
    share, rate, expected = 1.0 if tau is None else 1 - math.exp(-1 / tau), [0.0] * 3, []
    for row in drive:
        rate = [r + share * (functions[activation](x + 0.3) - r) for r, x in zip(rate, row, strict=True)]
        expected.append(rate)
    close(net["rate", 0], expected, 1e-13)


def test_binary_units_and_winners(compile):
    drive = RNG.normal(0, 1, (40, 12)).round(1)  # rounded, so that there are equal values
    net, _ = one_group(
        12, {1: Feed(rows=drive), 2: BinaryUnits(threshold=0.2), 3: KWinnersTakeAll(k=3)}, ["spike", "excess"]
    )
    run(net, 40, compile)
    for k in range(40):
        order = sorted(range(12), key=lambda i: (-(drive[k, i] - 0.2), i))
        winners = {i for i in order[:3] if drive[k, i] - 0.2 > 0}
        assert set(np.flatnonzero(net["spike", 0][k])) == winners
    net, _ = one_group(
        12, {1: Feed(rows=drive, name="rate"), 2: KWinnersTakeAll(k=2, variable="rate", by="rate")}, ["rate"]
    )
    run(net, 40, compile)
    for k in range(40):
        order = sorted(range(12), key=lambda i: (-drive[k, i], i))[:2]
        expected = np.where(np.isin(np.arange(12), order), drive[k], 0)
        assert np.array_equal(net["rate", 0][k], expected)


@pytest.mark.parametrize("dt", [0.5, 2.0])
def test_white_noise_gives_the_same_variance_at_any_step(dt, compile):
    lif = LeakyIntegrateAndFire(tau=10.0, threshold=1e9, dt=dt)
    net, _ = one_group(2000, {1: NoiseInput(std=3.0, white=True, dt=dt), 2: lif}, ["v"], seed=5)
    run(net, round(80 / dt), compile)
    # Stationary variance of an Ornstein-Uhlenbeck process tau dv = -v dt + sigma dW: sigma^2 / (2 tau). Held over a
    # step, the noise has it up to (dt / tau)^2.
    variance = 9.0 / (2 * 10.0)
    held = 9.0 / dt * (1 - math.exp(-dt / 10)) ** 2 / (1 - math.exp(-2 * dt / 10))
    assert held == pytest.approx(variance, rel=0.01)
    assert net["v", 0][-1].var() == pytest.approx(held, rel=4 * math.sqrt(2 / 2000))
    assert abs(net["v", 0][-1].mean() + 65) < 4 * math.sqrt(variance / 2000)


def test_every_neuron_may_have_its_own_parameters(compile):
    net, cells = one_group(
        200, {1: LeakyIntegrateAndFire(tau="normal(20, 2)", threshold="uniform(-52, -48)")}, ["v"], dtype=np.float32
    )
    run(net, 3, compile)
    lif = cells.LeakyIntegrateAndFire
    assert lif.decay.shape == (200,) and np.unique(lif.decay).size > 190
    assert cells.v.dtype == cells.threshold.dtype == np.float32
    assert -52 <= cells.threshold.min() < -51.5 < -48.5 < cells.threshold.max() <= -48


@pytest.mark.parametrize(
    ("network", "behavior", "step"),
    [({}, {}, 1.0), ({"dt": 0.5}, {}, 0.5), ({"dt": 1e-3}, {"dt": 1e-3}, 1e-3), ({}, {"dt": 0.25}, 0.25)],
)
def test_network_and_ready_behaviors_have_one_step(network, behavior, step):
    net = Network(**network)
    cells = NeuronGroup(net, 1, tag="cells", behavior={1: LeakyIntegrateAndFire(**behavior)})
    other = NeuronGroup(net, 1, behavior={1: LeakyIntegrateAndFire()})
    for _ in range(2):
        net.initialize()
        assert net.dt == step
        assert cells.LeakyIntegrateAndFire.decay == other.LeakyIntegrateAndFire.decay == math.exp(-step / 20)


@pytest.mark.parametrize(
    ("network", "behaviors", "message"),
    [
        ({"dt": 0.1}, [{"dt": 0.2}], "LeakyIntegrateAndFire of 'a': dt=0.2, but a step of the network is 0.1"),
        ({}, [{"dt": 0.2}, {"dt": 0.1}], "of 'b': dt=0.1, but LeakyIntegrateAndFire of 'a' takes a step for 0.2"),
        ({}, [{}, {"dt": 0.1}], "of 'b': dt=0.1, but LeakyIntegrateAndFire of 'a' takes a step for 1;"),
    ],
)
def test_two_steps_in_one_network_are_refused(network, behaviors, message):
    net = Network(**network)
    for tag, kwargs in zip("ab", behaviors, strict=False):
        NeuronGroup(net, 1, tag=tag, behavior={1: LeakyIntegrateAndFire(**kwargs)})
    with pytest.raises(TimeError, match=message):
        net.initialize()


def test_given_spikes_are_those_asked_for(compile):
    spikes = random_spikes(0, 30, 4)
    net, _ = one_group(4, {1: generator(spikes)}, ["spike"])
    run(net, 30, compile)
    assert np.array_equal(net["spike", 0], spikes)
