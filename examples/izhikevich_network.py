"""A thousand neurons of Izhikevich (2003), four fifths of them excitatory, no two alike.

Izhikevich, E. M. (2003), Simple model of spiking neurons, IEEE Trans. Neural Netw. 14, 1569-1572, figure 3. One
difference: spikes arrive 1 ms after they were fired, rather than in the same step.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.behaviors import CreateWeights, Izhikevich, NoiseInput, SpikeInput

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer neurons
EXCITATORY, INHIBITORY, STEPS = (200, 50, 400) if SMALL else (800, 200, 1000)
GAIN = 1000 / (EXCITATORY + INHIBITORY)  # fewer synapses must be stronger
rng = np.random.default_rng(1)
r, q = rng.random(EXCITATORY), rng.random(INHIBITORY)

net = Network(seed=1)
excitatory = NeuronGroup(
    net,
    EXCITATORY,
    tag="excitatory",
    behavior={
        1: NoiseInput(std=5.0),
        2: Izhikevich(a=0.02, b=0.2, c=-65 + 15 * r**2, d=8 - 6 * r**2),
        3: SpikeInput(),
        9: Recorder("v"),
        10: EventRecorder("spike", tag="excitatory_spikes"),
    },
)
inhibitory = NeuronGroup(
    net,
    INHIBITORY,
    tag="inhibitory",
    behavior={
        1: NoiseInput(std=2.0),
        2: Izhikevich(a=0.02 + 0.08 * q, b=0.25 - 0.05 * q, c=-65.0, d=2.0),
        3: SpikeInput(),
        10: EventRecorder("spike", tag="inhibitory_spikes"),
    },
)
for src, distribution, sign in ((excitatory, "uniform(0, 0.5)", 1), (inhibitory, "uniform(0, 1)", -1)):
    for dst in (excitatory, inhibitory):
        weights = CreateWeights(distribution=distribution, scale=sign * GAIN, normalize=False)
        SynapseGroup(net, src, dst, behavior={0: weights})

net.initialize()
net.simulate_iterations(STEPS)

spikes = {tag: net[f"{tag}_spikes", 0]["spike", 0] for tag in ("excitatory", "inhibitory")}
everyone = np.concatenate([spikes["excitatory"][:, 0], spikes["inhibitory"][:, 0]])
population = np.bincount(everyone, minlength=STEPS + 1)[1:]
rhythm = population[STEPS // 5 :] - population[STEPS // 5 :].mean()
power = np.abs(np.fft.rfft(rhythm * np.hanning(len(rhythm)))) ** 2
frequencies = np.fft.rfftfreq(len(rhythm), 1e-3)
peak = frequencies[np.argmax(power)]
rates = {
    tag: len(found) / size / STEPS * 1000
    for (tag, found), size in zip(spikes.items(), (EXCITATORY, INHIBITORY), strict=True)
}

figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9, 7), layout="constrained", height_ratios=[3, 1, 1])
top.plot(*spikes["excitatory"].T, ".", color="#0072B2", markersize=1.5)
top.plot(spikes["inhibitory"][:, 0], spikes["inhibitory"][:, 1] + EXCITATORY, ".", color="#D55E00", markersize=1.5)
top.set(ylabel="neuron", xlim=(0, STEPS), title="Spikes: excitatory (blue), inhibitory (orange)")
middle.plot(np.arange(1, STEPS + 1), population, color="black", linewidth=0.8)
middle.set(ylabel="spikes per ms", xlim=(0, STEPS))
bottom.plot(np.arange(1, STEPS + 1), np.minimum(net["v", 0][:, 0], 30), color="#0072B2", linewidth=0.8)
bottom.set(xlabel="time (ms)", ylabel="v of neuron 0 (mV)", xlim=(0, STEPS))

numbers = {
    "neurons, synapses": f"{EXCITATORY + INHIBITORY:,}, {(EXCITATORY + INHIBITORY) ** 2:,}",
    "mean rate, excitatory": f"{rates['excitatory']:.1f} Hz",
    "mean rate, inhibitory": f"{rates['inhibitory']:.1f} Hz",
    "strongest rhythm after the first fifth": f"{peak:.1f} Hz",
}
plt.show()
