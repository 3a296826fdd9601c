"""Document 4's code as it stands, and trajectories of the program that it was written for."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from recurra import *  # noqa: F403  as the document does
from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup, afferent
from recurra.errors import NotCompiled

GOLDEN = Path(__file__).parent / "golden"


class Basic_Behavior(Behavior):
    def initialize(self, neurons):
        neurons.voltage = neurons.vector()
        self.threshold = 0.5

    def iteration(self, neurons):
        neurons.spike = neurons.voltage > self.threshold
        neurons.voltage[neurons.spike] = 0.0  # reset

        neurons.voltage *= 0.9  # voltage decay
        neurons.voltage += neurons.vector("uniform", density=0.01)  # noise


class Input_Behavior(Behavior):
    def initialize(self, neurons):
        for synapse in neurons.synapses(afferent, "GLUTAMATE"):
            synapse.W = synapse.matrix("uniform", density=0.1)
            synapse.enabled = synapse.W > 0

    def iteration(self, neurons):
        for synapse in neurons.synapses(afferent, "GLUTAMATE"):
            neurons.voltage += synapse.W.dot(synapse.src.spike) / synapse.src.size * 10


def third_block(seed=0, input_behavior=Input_Behavior, basic=Basic_Behavior, **options):
    My_Network = Network(seed=seed, **options)

    My_Neurons = NeuronGroup(net=My_Network, tag='my_neurons', size=100, behavior={
        1: basic(),
        2: input_behavior(),
        9: Recorder(['voltage', 'np.mean(voltage)'], tag='my_recorder'),
        10: EventRecorder('spike', tag='my_event_recorder')
    })  # fmt: skip

    my_syn = SynapseGroup(net=My_Network, src=My_Neurons, dst=My_Neurons, tag='GLUTAMATE')  # fmt: skip
    return My_Network, My_Neurons, my_syn


def test_first_block_runs():
    My_Network = Network()
    NeuronGroup(net=My_Network, tag='my_neurons', size=100)  # fmt: skip
    SynapseGroup(net=My_Network, src='my_neurons', dst='my_neurons', tag='GLUTAMATE')  # fmt: skip
    My_Network.initialize()
    My_Network.simulate_iterations(1000, compile=False)
    assert My_Network.iteration == 1000
    assert [s.tag for s in My_Network.my_neurons.synapses(afferent, "GLUTAMATE")] == ["GLUTAMATE"]


def test_second_block_runs_with_its_lookups_as_they_stand():
    My_Network = Network()
    NeuronGroup(net=My_Network, tag='my_neurons', size=100, behavior={
        1: Basic_Behavior(),
        9: Recorder(['voltage', 'np.mean(voltage)'], tag='my_recorder')
    })  # fmt: skip
    SynapseGroup(net=My_Network, src='my_neurons', dst='my_neurons', tag='GLUTAMATE')  # fmt: skip
    My_Network.initialize()
    My_Network.simulate_iterations(1000, compile=False)

    figure = plt.figure()
    lines = plt.plot(My_Network['n.voltage', 0, 'np'][:,0:10])  # fmt: skip
    mean = plt.plot(My_Network['np.mean(n.voltage)', 0], color='black')  # fmt: skip
    plt.axhline(My_Network.my_neurons.Basic_Behavior.threshold, color='black')  # fmt: skip
    plt.close(figure)

    assert len(lines) == 10 and lines[0].get_xydata().shape == (1000, 2)
    means = My_Network["voltage", 0].mean(axis=1, dtype=np.float64)
    assert np.max(np.abs(mean[0].get_ydata() - means)) < 1e-6


def test_third_block_runs():
    My_Network, My_Neurons, _ = third_block()
    My_Network.initialize()
    My_Network.simulate_iterations(1000, compile=False)
    assert My_Network["voltage", 0, "np"][:, 0:10].shape == (1000, 10)
    assert My_Network["np.mean(voltage)", 0].shape == (1000,)
    assert My_Neurons["Basic_Behavior", 0].threshold == 0.5
    t, i = My_Network["spike.t", 0], My_Network["spike.i", 0]
    assert np.array_equal(np.stack([t, i], axis=1), My_Network["spike", 0])


def test_seeded_run_is_reproduced_bit_for_bit():
    golden = np.load(GOLDEN / "pymonnto_seeded.npz")
    # The original computes in float32 unless it is told otherwise, and so does the file.
    net, _, synapses = third_block(seed=int(golden["seed"]), dtype=np.float32)
    net.initialize()
    net.simulate_iterations(1000, compile=False)
    assert np.array_equal(synapses.W, golden["W"]) and synapses.W.dtype == golden["W"].dtype
    assert np.array_equal(net["voltage", 0], golden["voltage"])
    assert net["voltage", 0].dtype == golden["voltage"].dtype
    assert np.array_equal(net["np.mean(voltage)", 0], golden["mean_voltage"])
    assert np.array_equal(net["spike", 0], golden["spike_events_t_i"])
    assert net["spike", 0].dtype == np.int64


@pytest.fixture(scope="module")
def stored():
    with np.load(GOLDEN / "pymonnto_basic.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("compile", [False, True])
def test_stored_noise_is_replayed_spike_for_spike(stored, compile):
    class Stored(Behavior):
        def initialize(self, neurons):
            neurons.voltage = neurons.vector(stored["v0"])
            self.noise = stored["noise"]

        def iteration(self, neurons):
            neurons.spike = neurons.voltage > 0.5
            neurons.voltage[neurons.spike] = 0.0
            neurons.voltage *= 0.9
            neurons.voltage += self.noise[neurons.iteration - 1]

    class StoredWeights(Input_Behavior):
        def initialize(self, neurons):
            for synapse in neurons.synapses(afferent, "GLUTAMATE"):
                synapse.W = synapse.matrix(stored["W"])

    net, group, _ = third_block(basic=Stored, input_behavior=StoredWeights)
    group.add_behavior(8, Recorder("spike"))
    net.initialize()
    net.simulate_iterations(len(stored["noise"]), compile=compile)
    assert np.array_equal(net["spike", 0], stored["spikes"])
    assert np.array_equal(net["spike", 1], stored["spike_events_t_i"])
    assert np.max(np.abs(net["voltage", 0] - stored["voltage"])) < 1e-6
    assert np.max(np.abs(net["np.mean(voltage)", 0] - stored["mean_voltage"])) < 1e-6


def test_noise_that_comes_from_python_is_hoisted_and_replayed_spike_for_spike(stored):
    class Source(Behavior):
        def initialize(self, neurons):
            self.rows = iter(stored["noise"])
            neurons.noise = neurons.vector()

        def iteration(self, neurons):
            neurons.noise = next(self.rows)

    class Driven(Behavior):
        def initialize(self, neurons):
            neurons.voltage = neurons.vector(stored["v0"])

        def iteration(self, neurons):
            neurons.spike = neurons.voltage > 0.5
            neurons.voltage[neurons.spike] = 0.0
            neurons.voltage *= 0.9
            neurons.voltage += neurons.noise

    class StoredWeights(Input_Behavior):
        def initialize(self, neurons):
            for synapse in neurons.synapses(afferent, "GLUTAMATE"):
                synapse.W = synapse.matrix(stored["W"])

    net, group, _ = third_block(basic=Driven, input_behavior=StoredWeights)
    group.add_behavior(0.5, Source())
    net.initialize()
    with pytest.warns(NotCompiled, match="my_neurons/Source runs in Python, ahead"):
        net.simulate_iterations(len(stored["noise"]))
    assert "Source: hoisted" in net.explain() and "Driven: compiled" in net.explain()
    assert np.array_equal(net["spike", 0], stored["spike_events_t_i"])
    assert np.max(np.abs(net["voltage", 0] - stored["voltage"])) < 1e-6
