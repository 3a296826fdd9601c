"""Spikes beside closed forms: action potentials that count once, refractory times, areas and ranges of potentials."""

import matplotlib.pyplot as plt
import numpy as np

from recurra import EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.behaviors import CreateWeights, ExponentialSynapse, LeakyIntegrateAndFire, SpikeGenerator

# 1. A squid axon of Hodgkin and Huxley (1952) as equations. Its threshold resets nothing: a spike is a crossing.
AXON = [
    "dv/dt = I - 120*m*m*m*h*(v-50) - 36*n*n*n*n*(v+77) - 0.3*(v+54.387)",
    "dm/dt = 0.1*(v+40.0001)/(1-exp(-(v+40.0001)/10))*(1-m) - 4*exp(-(v+65)/18)*m",
    "dh/dt = 0.07*exp(-(v+65)/20)*(1-h) - h/(1+exp(-(v+35)/10))",
    "dn/dt = 0.01*(v+55.0001)/(1-exp(-(v+55.0001)/10))*(1-n) - 0.125*exp(-(v+65)/80)*n",
]
net = Network(dt=0.01)
rest = {"v": "output(-65.0)", "m": "variable(0.053)", "h": "variable(0.596)", "n": "variable(0.318)"}
net.add_diffeq_node("axon", AXON, variables={**rest, "I": 10.0, "spike": "input"}, spike_var="spike", reset_var="v",
                    spike_threshold=-20.0, reset=False)
axon = net.run(steps=10_000, record_vars={"v": "axon/v", "spike": "axon/spike"}, progress=False)
crossings = np.flatnonzero(np.diff((axon["v"][:, 0] >= -20.0).astype(int)) > 0)
spikes = np.flatnonzero(axon["spike"][:, 0])


def interval(period):
    """Return the time between two spikes of a driven unit that is refractory."""
    net = Network(dt=0.1)
    cell = LeakyIntegrateAndFire(tau=10.0, v_rest=0.0, v_reset=0.0, threshold=10.0, I_ext=20.0, refractory=period)
    NeuronGroup(net=net, size=1, behavior={1: cell, 2: EventRecorder("spike")})
    net.initialize()
    net.simulate_iterations(2000)
    return np.diff(net["spike.t", 0])[0] * 0.1


def receive(synapse, weight, dt, rest):
    """Return the potential of a unit that gets one spike at 10 ms."""
    net = Network(dt=dt)
    source = NeuronGroup(net=net, size=1, behavior={1: SpikeGenerator(times=[10.0], indices=[0])})
    cell = LeakyIntegrateAndFire(tau=20.0, v_rest=rest, v_reset=rest, threshold=1e9)
    target = NeuronGroup(net=net, size=1, behavior={3: cell, 4: Recorder("v")})
    made = {1: CreateWeights(distribution=weight, normalize=False), 2: synapse}
    SynapseGroup(net=net, src=source, dst=target, behavior=made)
    net.initialize()
    net.simulate_iterations(round(400 / dt))
    return np.array(net["v", 0])[:, 0]


# 2. Charging to 10 of 20 takes 10 ln 2 ms; the refractory time comes on top, in whole steps.
periods = np.array([0.5, 1.0, 2.0, 5.0, 10.0])
intervals = np.array([interval(period) for period in periods])
late = np.abs(intervals - 10.0 * np.log(2.0) - periods).max()

# 3. What a current of weight w and time constant tau brings is w tau, whatever the step.
steps = np.array([0.1, 0.2, 0.5, 1.0, 2.0])
areas = np.array([receive(ExponentialSynapse(tau=5.0), 1.0, dt, 0.0).sum() * dt / 5.0 for dt in steps])

# 4. A conductance with a reversal potential of -80 mV inhibits, but never below it.
weights = np.geomspace(0.1, 1e4, 16)
lowest = np.array([receive(ExponentialSynapse(tau=5.0, reversal=-80.0), w, 1.0, -60.0).min() for w in weights])

numbers = {
    "crossings of the axon's threshold, and its spikes": f"{len(crossings)}, {len(spikes)}",
    "intervals of a refractory unit, largest distance from theory": f"{late:.2f} ms at a step of 0.1 ms",
    "area under a postsynaptic potential, largest relative error": f"{np.abs(areas - 1.0).max():.0e}",
    "lowest potential at a weight of 10,000": f"{lowest[-1]:.3f} mV, reversal -80 mV",
}
for name, value in numbers.items():
    print(f"{name}: {value}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(axon.time, axon["v"][:, 0], color="#0072B2")
left.plot(axon.time[spikes], np.full(len(spikes), 48.0), "v", color="#D55E00", label="spikes")
left.set(xlabel="time (ms)", ylabel="membrane potential (mV)")
left.set_ylim(-80.0, 70.0)
left.legend(frameon=False, loc="upper right")
right.axhline(-80.0, color="#999999", linestyle="--", label="reversal potential")
right.semilogx(weights, lowest, "o-", color="#0072B2", label="lowest potential")
right.set(xlabel="weight of an inhibitory conductance", ylabel="membrane potential (mV)")
right.legend(frameon=False)
plt.show()
