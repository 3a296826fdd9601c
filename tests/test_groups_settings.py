"""Parameters that are changed between runs: they take effect as an own loop says, or are refused; arguments by name."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.behaviors import (
    CreateWeights,
    ExponentialSynapse,
    LeakyIntegrateAndFire,
    NoiseInput,
    PoissonSource,
    SpikeGenerator,
    SynapticDelay,
)
from recurra.errors import OptionError, RecurraError


def cells(**parameters):
    net = Network(dt=0.1, seed=1)
    model = LeakyIntegrateAndFire(v_reset=-65.0, I_ext=20.0, **parameters)
    group = NeuronGroup(net=net, size=3, tag="G", behavior={1: model, 2: Recorder("spike")})
    net.initialize()
    return net, group


def loop(v, steps, tau):
    """Integrate and fire with rest and reset -65, threshold -50 and an input of 20, in steps of 0.1."""
    spikes = []
    for _ in range(steps):
        v = -45.0 + (v + 45.0) * np.exp(-0.1 / tau)
        spikes.append(v >= -50.0)
        v = np.where(v >= -50.0, -65.0, v)
    return np.array(spikes)


@pytest.mark.parametrize("compile", [None, False])
def test_a_changed_time_constant_takes_effect(compile):
    net, group = cells()
    net.simulate_iterations(300, compile=compile)
    v = group.v.copy()
    group.behavior[1].tau = 5.0
    net.simulate_iterations(300, compile=compile)
    assert np.array_equal(net["spike", 0][300:], loop(v, 300, 5.0))


def test_what_was_drawn_stays_and_one_number_for_each_unit_is_taken():
    net, group = cells(tau="normal(20, 3)")
    model = group.behavior[1]
    before = model.decay.copy()
    state = net.random.get_state()[1].copy()
    model.refractory = 2.0
    assert np.array_equal(model.decay, before)
    assert np.array_equal(net.random.get_state()[1], state)
    model.tau = np.array([5.0, 10.0, 20.0])
    assert np.allclose(model.decay, np.exp(-0.1 / np.array([5.0, 10.0, 20.0])))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tau", -1.0, "tau must be a finite number > 0, got -1.0"),
        ("tau", np.ones(2), "one for each of the 3 units, got an array of shape (2,)"),
        ("refractory", 0.25, "the nearest are 0.2 and 0.3"),
        ("threshold", -40.0, "it was used for G.threshold and G.excess, which can be changed instead"),
        ("v_init", -60.0, "it was used for G.v"),
        ("dt", 0.2, "a step of the network is 0.1"),
        ("tua", 5.0, "it has no parameter 'tua', and nothing would read it. Did you mean 'tau'?"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(name, value, message):
    _, group = cells()
    model = group.behavior[1]
    before = {key: np.copy(v) for key, v in vars(model).items() if isinstance(v, float | np.ndarray)}
    with pytest.raises(RecurraError) as caught:
        setattr(model, name, value)
    assert message in str(caught.value)
    assert all(np.array_equal(vars(model)[key], v) for key, v in before.items())


def test_synapses_sources_and_noise():
    net = Network(dt=1.0, seed=1)
    source = NeuronGroup(net=net, size=1, tag="S", behavior={1: SpikeGenerator(times=[1.0], indices=[0])})
    rates = NeuronGroup(net=net, size=2, tag="P", behavior={1: PoissonSource(rate=10.0)})
    target = NeuronGroup(net=net, size=1, tag="T", behavior={4: NoiseInput(std=0.0), 5: LeakyIntegrateAndFire()})
    made = {0: CreateWeights(normalize=False), 2: SynapticDelay(delay=2.0), 3: ExponentialSynapse()}
    synapses = SynapseGroup(net=net, src=source, dst=target, tag="Y", behavior=made)
    net.initialize()
    net.simulate_iterations(2)
    made[3].tau = 2.0
    assert np.isclose(made[3].decay, np.exp(-0.5))
    target.behavior[4].std = 3.0
    net.simulate_iterations(1)
    assert abs(float(target.v[0]) + 65) > 1e-3
    with pytest.raises(OptionError, match=r"Y\\.W, which can be changed instead"):
        made[0].distribution = 3.0
    with pytest.raises(OptionError, match=r"P\\.rate, which can be changed instead"):
        rates.behavior[1].rate = 20.0
    with pytest.raises(OptionError, match="what has built up in waiting depends on it"):
        made[2].delay = 5.0  # a spike is on its way
    assert synapses.spike.shape == (1,)


class Own(Behavior):
    def initialize(self, neurons):
        self.tau = self.parameter("tau", 20.0)
        self.gain = self.parameter("gain", 1.0)
        self.factor = np.exp(-1 / self.tau)
        neurons.x = neurons.vector("ones")

    def iteration(self, neurons):
        neurons.x *= self.factor * self.gain + self.parameter("late", 0.0)
        self.count = neurons.iteration


def test_behaviors_of_users():
    net = Network(dt=1.0)
    own = Own(late=0.0)
    group = NeuronGroup(net=net, size=1, behavior={1: own})
    own.tau = 10.0  # nothing has been read yet
    net.initialize()
    net.simulate_iterations(2)
    with pytest.raises(OptionError, match=r"Own: tau cannot be changed now: only its initialize\(\) reads it, once"):
        own.tau = 5.0
    with pytest.raises(OptionError, match="Did you mean 'gain'"):
        own.gian = 5.0
    own.gain, own.count, own.note = 2.0, 7, "mine"
    before = group.x.copy()
    net.simulate_iterations(1, compile=False)
    assert np.allclose(group.x, before * 2 * np.exp(-1 / 20))
    net.initialize()
    assert own.gain == 1.0


def test_copies_belong_to_no_network():
    _, group = cells()
    for other in (copy.deepcopy(group.behavior[1]), pickle.loads(pickle.dumps(group.behavior[1]))):
        other.tau = 5.0
        assert other.init_kwargs == group.behavior[1].init_kwargs


def test_arguments_are_given_by_name():
    net = Network(dt=1.0)
    NeuronGroup(net=net, size=2, behavior={1: LeakyIntegrateAndFire(10.0)})
    with pytest.raises(OptionError, match=r"10\\.0 was given without a name; the parameters of LeakyIntegrateAndFire are"):
        net.initialize()
