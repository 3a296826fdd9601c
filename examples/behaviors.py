"""A hundred neurons whose behavior is written in plain Python, and compiled.

This is the introductory example of PymoNNto's documentation with the import changed. Its three code blocks are run one
after the other; where the text uses `My_Neurons` without having made it, the group is given that name.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup, afferent

# First block: a network without behaviors

My_Network = Network()
NeuronGroup(net=My_Network, tag="my_neurons", size=100)
SynapseGroup(net=My_Network, src="my_neurons", dst="my_neurons", tag="GLUTAMATE")
My_Network.initialize()
My_Network.simulate_iterations(1000)


# Second block: a behavior, and a recorder


class Basic_Behavior(Behavior):
    def initialize(self, neurons):
        neurons.voltage = neurons.vector()
        self.threshold = 0.5

    def iteration(self, neurons):
        neurons.spike = neurons.voltage > self.threshold
        neurons.voltage[neurons.spike] = 0.0  # reset

        neurons.voltage *= 0.9  # voltage decay
        neurons.voltage += neurons.vector("uniform", density=0.01)  # noise


My_Network = Network()
NeuronGroup(
    net=My_Network,
    tag="my_neurons",
    size=100,
    behavior={1: Basic_Behavior(), 9: Recorder(["voltage", "np.mean(voltage)"], tag="my_recorder")},
)
My_Network.initialize()
My_Network.simulate_iterations(1000)

plt.plot(My_Network["n.voltage", 0, "np"][:, 0:10])
plt.plot(My_Network["np.mean(n.voltage)", 0], color="black")
plt.axhline(My_Network.my_neurons.Basic_Behavior.threshold, color="black")
plt.show()


# Third block: synapses, input, and the spikes


class Input_Behavior(Behavior):
    def initialize(self, neurons):
        for synapse in neurons.synapses(afferent, "GLUTAMATE"):
            synapse.W = synapse.matrix("uniform", density=0.1)
            synapse.enabled = synapse.W > 0

    def iteration(self, neurons):
        for synapse in neurons.synapses(afferent, "GLUTAMATE"):
            neurons.voltage += synapse.W.dot(synapse.src.spike) / synapse.src.size * 10


My_Network = Network()
My_Neurons = NeuronGroup(
    net=My_Network,
    tag="my_neurons",
    size=100,
    behavior={
        1: Basic_Behavior(),
        2: Input_Behavior(),
        9: Recorder(["voltage", "np.mean(voltage)"], tag="my_recorder"),
        10: EventRecorder("spike", tag="my_event_recorder"),
    },
)
my_syn = SynapseGroup(net=My_Network, src=My_Neurons, dst=My_Neurons, tag="GLUTAMATE")
My_Network.initialize()
My_Network.simulate_iterations(1000)

plt.plot(My_Network["voltage", 0, "np"][:, 0:10])
plt.plot(My_Network["np.mean(voltage)", 0], color="black")
plt.axhline(My_Neurons["Basic_Behavior", 0].threshold, color="black")
plt.xlabel("iterations")
plt.ylabel("voltage")
plt.show()

plt.plot(My_Network["spike.t", 0], My_Network["spike.i", 0], ".k")
plt.xlabel("iterations")
plt.ylabel("neuron index")
plt.show()

numbers = {
    "spikes in 1,000 steps": len(My_Network["spike", 0]),
    "behaviors that were compiled": My_Network.explain().count(": compiled"),
    "largest voltage": f"{np.max(My_Network['voltage', 0]):.3f}",
}
