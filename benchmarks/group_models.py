"""Networks of groups and behaviors, written once for every library that has the names of document 4.

Each function takes the library's module, so that the code of both sides is the same but for the import.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def document_4(lib: Any, size: int, **network: Any) -> Any:
    """Build the network of document 4, recorders included."""

    class Basic_Behavior(lib.Behavior):
        def initialize(self, neurons):
            neurons.voltage = neurons.vector()
            self.threshold = 0.5

        def iteration(self, neurons):
            neurons.spike = neurons.voltage > self.threshold
            neurons.voltage[neurons.spike] = 0.0

            neurons.voltage *= 0.9
            neurons.voltage += neurons.vector("uniform", density=0.01)

    class Input_Behavior(lib.Behavior):
        def initialize(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLUTAMATE"):
                synapse.W = synapse.matrix("uniform", density=0.1)
                synapse.enabled = synapse.W > 0

        def iteration(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLUTAMATE"):
                neurons.voltage += synapse.W.dot(synapse.src.spike) / synapse.src.size * 10

    net = lib.Network(**network)
    neurons = lib.NeuronGroup(
        net=net,
        tag="my_neurons",
        size=size,
        behavior={
            1: Basic_Behavior(),
            2: Input_Behavior(),
            9: lib.Recorder(["voltage", "np.mean(voltage)"], tag="my_recorder"),
            10: lib.EventRecorder("spike", tag="my_event_recorder"),
        },
    )
    lib.SynapseGroup(net=net, src=neurons, dst=neurons, tag="GLUTAMATE")
    return net


def plastic(lib: Any, size: int, **network: Any) -> Any:
    """Build a network with spike-timing dependent plasticity, homeostasis and normalised weights."""

    class Cells(lib.Behavior):
        def initialize(self, neurons):
            neurons.voltage = neurons.vector()
            neurons.spike = neurons.vector() > 0
            neurons.spike_old = neurons.vector() > 0
            neurons.threshold = neurons.vector() + 0.5

        def iteration(self, neurons):
            neurons.spike_old = neurons.spike
            neurons.spike = neurons.voltage > neurons.threshold
            neurons.voltage[neurons.spike] = 0.0
            neurons.voltage *= 0.9
            neurons.voltage += neurons.vector("uniform", density=0.05)

    class Input(lib.Behavior):
        def initialize(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLU"):
                synapse.W = synapse.matrix("uniform", density=0.1)

        def iteration(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLU"):
                neurons.voltage += synapse.W.dot(synapse.src.spike) * 0.3

    class Homeostasis(lib.Behavior):
        def iteration(self, neurons):
            neurons.threshold += (neurons.spike - 0.02) * 0.001

    class STDP(lib.Behavior):
        def iteration(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLU"):
                post, pre = synapse.dst.spike, synapse.src.spike_old
                synapse.W += 0.001 * post[:, None] * pre[None, :] * (synapse.W > 0)
                synapse.W -= 0.0005 * synapse.dst.spike_old[:, None] * synapse.src.spike[None, :] * (synapse.W > 0)
                synapse.W[synapse.W < 0.0] = 0.0

    class Normalization(lib.Behavior):
        def iteration(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLU"):
                total = np.sum(synapse.W, axis=1)
                synapse.W /= (total + (total == 0))[:, None]

    net = lib.Network(**network)
    neurons = lib.NeuronGroup(
        net=net,
        tag="cells",
        size=size,
        behavior={
            1: Cells(),
            2: Input(),
            3: Homeostasis(),
            4: STDP(),
            5: Normalization(),
            9: lib.Recorder(["np.mean(voltage)"], tag="rec"),
            10: lib.EventRecorder("spike", tag="events"),
        },
    )
    lib.SynapseGroup(net=net, src=neurons, dst=neurons, tag="GLU")
    return net


def hodgkin_huxley(lib: Any, compartments: int, **network: Any) -> Any:
    """Build an axon of compartments after Hodgkin and Huxley (1952), Euler steps of 0.01 ms."""

    class Axon(lib.Behavior):
        def initialize(self, neurons):
            neurons.v = neurons.vector() - 65.0
            neurons.m = neurons.vector() + 0.0529
            neurons.h = neurons.vector() + 0.5961
            neurons.n = neurons.vector() + 0.3177
            neurons.drive = neurons.vector()
            neurons.drive[0] = 60.0
            self.dt = 0.01

        def iteration(self, neurons):
            v = neurons.v
            am = 0.1 * (v + 40.0) / (1.0 - np.exp(-(v + 40.0) / 10.0))
            bm = 4.0 * np.exp(-(v + 65.0) / 18.0)
            ah = 0.07 * np.exp(-(v + 65.0) / 20.0)
            bh = 1.0 / (1.0 + np.exp(-(v + 35.0) / 10.0))
            an = 0.01 * (v + 55.0) / (1.0 - np.exp(-(v + 55.0) / 10.0))
            bn = 0.125 * np.exp(-(v + 65.0) / 80.0)
            sodium = 120.0 * neurons.m**3 * neurons.h * (v - 50.0)
            potassium = 36.0 * neurons.n**4 * (v + 77.0)
            leak = 0.3 * (v + 54.387)
            left = np.roll(v, 1)
            left[0] = v[0]
            right = np.roll(v, -1)
            right[-1] = v[-1]
            axial = 5.0 * (left + right - 2.0 * v)
            neurons.m += self.dt * (am * (1.0 - neurons.m) - bm * neurons.m)
            neurons.h += self.dt * (ah * (1.0 - neurons.h) - bh * neurons.h)
            neurons.n += self.dt * (an * (1.0 - neurons.n) - bn * neurons.n)
            neurons.v += self.dt * (neurons.drive + axial - sodium - potassium - leak)

    net = lib.Network(**network)
    lib.NeuronGroup(
        net=net, tag="axon", size=compartments, behavior={1: Axon(), 9: lib.Recorder(["v"], tag="rec")}
    )
    return net


def cuba(lib: Any, size: int = 4000, **network: Any) -> Any:
    """Build the current-based benchmark of Brette et al. (2007): 80% excitatory, 2% connected, steps of 0.1 ms."""

    class Cells(lib.Behavior):
        def initialize(self, neurons):
            neurons.v = neurons.vector("uniform") * 10.0 - 60.0
            neurons.ge = neurons.vector()
            neurons.gi = neurons.vector()
            neurons.rest = neurons.vector()
            neurons.spike = neurons.vector() > 0
            self.dt = 0.1

        def iteration(self, neurons):
            free = neurons.rest <= 0.0
            dv = self.dt * (neurons.ge + neurons.gi - (neurons.v + 49.0)) / 20.0
            neurons.v += dv * free
            neurons.ge *= 1.0 - self.dt / 5.0
            neurons.gi *= 1.0 - self.dt / 10.0
            neurons.spike = neurons.v > -50.0
            neurons.v[neurons.spike] = -60.0
            neurons.rest -= self.dt
            neurons.rest[neurons.spike] = 5.0

    class Input(lib.Behavior):
        def initialize(self, neurons):
            for kind, weight in (("EXC", 1.62), ("INH", -9.0)):
                for synapse in neurons.synapses(lib.afferent, kind):
                    synapse.W = synapse.matrix("ones", density=0.02) * np.float32(weight)
                    half = int(0.8 * neurons.size)
                    if kind == "EXC":
                        synapse.W[:, half:] = 0.0
                    else:
                        synapse.W[:, :half] = 0.0

        def iteration(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "EXC"):
                neurons.ge += synapse.W.dot(synapse.src.spike)
            for synapse in neurons.synapses(lib.afferent, "INH"):
                neurons.gi += synapse.W.dot(synapse.src.spike)

    net = lib.Network(**network)
    neurons = lib.NeuronGroup(
        net=net, tag="cells", size=size, behavior={1: Cells(), 2: Input(), 10: lib.EventRecorder("spike", tag="events")}
    )
    lib.SynapseGroup(net=net, src=neurons, dst=neurons, tag="EXC")
    lib.SynapseGroup(net=net, src=neurons, dst=neurons, tag="INH")
    return net


def all_to_all(lib: Any, size: int, **network: Any) -> Any:
    """Build leaky cells joined all to all, with plasticity of one step, after the comparison of Vieth et al. (2024).

    Weights lie as rows of their senders, and indices are written out, as PymoNNto's authors advise for speed. About 1%
    of the cells spike in a step; as weights only grow, activity runs away after some 1,800 steps.
    """

    class Cells(lib.Behavior):
        def initialize(self, neurons):
            neurons.spike = neurons.vector("bool")
            neurons.spike_old = neurons.vector("bool")
            neurons.voltage = neurons.vector()

        def iteration(self, neurons):
            neurons.spike_old = neurons.spike.copy()
            neurons.spike = neurons.voltage > 6.1
            neurons.voltage *= np.invert(neurons.spike)
            neurons.voltage *= 0.9

    class Input(lib.Behavior):
        def initialize(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLU"):
                synapse.W = synapse.matrix("random") / size

        def iteration(self, neurons):
            neurons.voltage += neurons.vector("random")
            for synapse in neurons.synapses(lib.afferent, "GLU"):
                neurons.voltage += np.sum(synapse.W[synapse.src.spike], axis=0)

    class STDP(lib.Behavior):
        def iteration(self, neurons):
            for synapse in neurons.synapses(lib.afferent, "GLU"):
                both = np.ix_(synapse.src.spike_old, synapse.dst.spike)
                synapse.W[both] += 0.001
                synapse.W[both] = np.clip(synapse.W[both], 0.0, 1.0)

    net = lib.Network(settings={"dtype": np.float32, "syn_dim": lib.SxD}, **network)
    neurons = lib.NeuronGroup(
        net=net,
        tag="cells",
        size=size,
        behavior={1: Cells(), 2: Input(), 3: STDP(), 10: lib.EventRecorder("spike", tag="events")},
    )
    lib.SynapseGroup(net=net, src=neurons, dst=neurons, tag="GLU")
    return net
