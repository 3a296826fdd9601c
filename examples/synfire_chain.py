"""A volley of spikes runs through a chain of groups, or disperses.

Diesmann, M., Gewaltig, M.-O. & Aertsen, A. (1999), Stable propagation of synchronous spiking in cortical neural
networks, Nature 402, 529-533: ten groups of a hundred neurons, each connected to all of the next, with noise from
20,000 synapses. Here the noise is its diffusion approximation.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import EventRecorder, Network, NeuronGroup, SynapseGroup
from recurra.behaviors import (
    AlphaSynapse,
    CreateWeights,
    LeakyIntegrateAndFire,
    NoiseInput,
    SpikeGenerator,
    SynapticDelay,
)

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer groups
GROUPS, SIZE, STEPS, DT = (4 if SMALL else 10), 100, 900, 0.1  # ms
TAU, TAU_SYNAPSE = 10.0, 0.33  # ms

# Height of the postsynaptic potential of a current (s / tau) exp(1 - s / tau), so that one spike gives 0.14 mV.
time = np.arange(0, 20, 0.001)
current = time / TAU_SYNAPSE * np.exp(1 - time / TAU_SYNAPSE)
potential = np.exp(-time / TAU) * np.cumsum(np.exp(time / TAU) * current) * 0.001 / TAU
WEIGHT = 0.14 / potential.max()
CHARGE = WEIGHT * np.e * TAU_SYNAPSE  # mV ms, the integral of one current
ARRIVING = 17.6 * 2.0, 2.4 * 12.5  # spikes per ms from outside: excitatory, inhibitory


def run(count, spread, seed=0):
    """Send a volley of spikes into the first group and return all spikes, step and neuron."""
    rng = np.random.default_rng(seed)
    net = Network(seed=seed)
    times = np.round(np.clip(20 + spread * rng.standard_normal(count), 0.5, 40), 1)
    volley = NeuronGroup(net, SIZE, behavior={1: SpikeGenerator(times=times, indices=np.arange(count), dt=DT)})
    noise = NoiseInput(
        mean=CHARGE * (ARRIVING[0] - ARRIVING[1]), std=CHARGE * np.sqrt(sum(ARRIVING)), white=True, dt=DT
    )
    cell = LeakyIntegrateAndFire(
        tau=TAU, v_rest=-70, v_reset=-70, threshold=-55, refractory=1.0, v_init="normal(-62, 2.8)", dt=DT
    )
    chain = NeuronGroup(net, GROUPS * SIZE, behavior={1: cell, 4: noise, 5: EventRecorder("spike")})
    group = chain.id // SIZE
    links = {volley: group[:, None] == np.zeros(SIZE), chain: group[:, None] == group + 1}
    for source, exists in links.items():
        create = CreateWeights(distribution=WEIGHT * exists, normalize=False)
        behavior = {0: create, 2: SynapticDelay(delay=1.0, dt=DT), 3: AlphaSynapse(tau=TAU_SYNAPSE, dt=DT)}
        SynapseGroup(net, source, chain, behavior=behavior)
    net.initialize()
    net.simulate_iterations(STEPS)
    return net["spike", 0]


def volleys(spikes):
    """Return how many spikes each group fires around its volley, and their standard deviation (ms)."""
    centre, found = 20.0, []
    for group in range(GROUPS):
        own = spikes[spikes[:, 1] // SIZE == group, 0] * DT
        after = own[(own > centre) & (own < centre + 15)]
        if not len(after):
            found.append((0, np.nan))
            continue
        # The densest 5 ms behind the volley before it.
        inside = [after[(after >= start) & (after < start + 5)] for start in after]
        best = max(inside, key=len)
        found.append((len(best), best.std()))
        centre = best.mean()
    return np.array(found)


STIMULI = {"strong": (60, 0.5), "weak": (20, 0.5), "wide": (80, 4.0)}
results = {name: run(*stimulus) for name, stimulus in STIMULI.items()}
sizes = {name: volleys(spikes) for name, spikes in results.items()}
numbers = {}
for name, (count, spread) in STIMULI.items():
    last, width = sizes[name][-1]
    numbers[f"{count} spikes, spread {spread:g} ms: in the densest 5 ms of the last group"] = (
        f"{last:.0f} spikes of {SIZE} neurons, spread {width:.2f} ms"
    )

figure, axes = plt.subplots(1, 3, figsize=(11, 4.5), sharey=True, layout="constrained")
for ax, (name, spikes) in zip(axes, results.items(), strict=True):
    ax.plot(spikes[:, 0] * DT, spikes[:, 1], ".", color="black", markersize=1.5)
    ax.hlines(np.arange(1, GROUPS) * SIZE, 0, STEPS * DT, color="#CCCCCC", linewidth=0.6)
    ax.set(title=f"{STIMULI[name][0]} spikes, spread {STIMULI[name][1]:g} ms", xlabel="time (ms)", xlim=(0, STEPS * DT))
axes[0].set(ylabel="neuron (100 to a group)", ylim=(0, GROUPS * SIZE))
plt.show()
