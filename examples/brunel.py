"""Three states of a sparse network of excitatory and inhibitory integrate-and-fire neurons.

Brunel, N. (2000), Dynamics of sparsely connected networks of excitatory and inhibitory spiking neurons,
J. Comput. Neurosci. 8, 183-208, model A. The network is smaller than the published one (12,500 neurons with 1,000
excitatory synapses each); synapses are as much stronger as they are fewer, which keeps the mean input, but makes the
fluctuations larger. Firing rates are compared with the paper's theory, the fixed point of the diffusion approximation
(its eq. 21), for these numbers.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erfcx

from recurra import EventRecorder, Network, NeuronGroup, SynapseGroup
from recurra.behaviors import CreateWeights, LeakyIntegrateAndFire, PoissonInput, SpikeInput, SynapticDelay

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer neurons and steps
EXCITATORY, STEPS = (400, 8000) if SMALL else (1200, 5000)
INHIBITORY, SYNAPSES, DT = EXCITATORY // 4, EXCITATORY // 10, 0.1  # ms
TAU, THRESHOLD, RESET, REFRACTORY, DELAY = 20.0, 20.0, 10.0, 2.0, 1.5  # ms and mV
J = 0.1 * 1000 / SYNAPSES  # mV
NEEDED = THRESHOLD / (J * SYNAPSES * TAU) * 1000  # Hz, from outside, to reach the threshold on average
START = STEPS // 4
# inhibition relative to excitation, and the rate from outside relative to what is needed
STATES = {
    "synchronous regular": (3.0, 2.0),
    "asynchronous irregular": (5.0, 2.0),
    "irregular, weakly driven": (4.5, 0.9),
}


def connections(rng, targets, sources, count, weight):
    """Return weights with so many synapses, from sources drawn at random, on each target."""
    matrix = np.zeros((targets, sources))
    for row in matrix:
        row[rng.choice(sources, count, replace=False)] = weight
    return matrix


def simulate(g, drive, seed=0):
    """Run one state and return the spikes, step and neuron."""
    rng, size = np.random.default_rng(seed), EXCITATORY + INHIBITORY
    net = Network(seed=seed)
    cell = LeakyIntegrateAndFire(
        tau=TAU, v_rest=0, v_reset=RESET, threshold=THRESHOLD, refractory=REFRACTORY, v_init="uniform(0, 20)", dt=DT
    )
    noise = PoissonInput(rate=drive * NEEDED, sources=SYNAPSES, weight=J, dt=DT)
    neurons = NeuronGroup(net, size, behavior={1: cell, 3: noise, 4: SpikeInput(target="v"), 5: EventRecorder("spike")})
    mask = np.arange(size) < EXCITATORY
    for part, count, weight in ((mask, SYNAPSES, J), (~mask, SYNAPSES // 4, -g * J)):
        matrix = connections(rng, size, part.sum(), count, weight)
        create = CreateWeights(distribution=matrix, normalize=False)
        behavior = {0: create, 2: SynapticDelay(delay=DELAY, dt=DT)}
        SynapseGroup(net, neurons.subGroup(part), neurons, behavior=behavior)
    net.initialize()
    net.simulate_iterations(STEPS)
    return net["spike", 0]


def theory(g, drive):
    """Return the rate (Hz) at which input and output agree."""

    def difference(rate):
        outside = drive * NEEDED
        mean = J * SYNAPSES * TAU * (outside + rate * (1 - g / 4)) / 1000
        deviation = J * np.sqrt(SYNAPSES * TAU * (outside + rate * (1 + g * g / 4)) / 1000)
        low, high = (RESET - mean) / deviation, (THRESHOLD - mean) / deviation
        integral, _ = quad(lambda u: erfcx(-u), low, high)
        return 1000 / (REFRACTORY + TAU * np.sqrt(np.pi) * integral) - rate

    return brentq(difference, 0.0, 499.0)


def irregularity(events):
    """Return the mean coefficient of variation of the intervals of neurons with five of them or more."""
    late = events[events[:, 0] > START]
    intervals = [np.diff(late[late[:, 1] == i, 0]) for i in range(EXCITATORY)]
    found = [gaps.std() / gaps.mean() for gaps in intervals if len(gaps) >= 5]
    return np.mean(found) if found else np.nan


spikes = {name: simulate(*state) for name, state in STATES.items()}
rates, variations, numbers = {}, {}, {}
for name, events in spikes.items():
    late = (events[:, 0] > START).sum()
    rates[name] = late / (EXCITATORY + INHIBITORY) / ((STEPS - START) * DT) * 1000
    variations[name] = irregularity(events)
    numbers[f"{name}: rate, and in theory"] = f"{rates[name]:.1f} Hz, {theory(*STATES[name]):.1f} Hz"
    if np.isfinite(variations[name]):
        numbers[f"{name}: variation of the intervals (Poisson: 1)"] = f"{variations[name]:.2f}"

figure, axes = plt.subplots(2, 3, figsize=(11, 5), sharex=True, layout="constrained", height_ratios=[3, 1])
for column, (name, events) in zip(axes.T, spikes.items(), strict=True):
    shown = events[(events[:, 1] < 50) & (events[:, 0] > STEPS - 2000)]
    time = shown[:, 0] * DT
    column[0].plot(time, shown[:, 1], "|", color="black", markersize=3)
    g, drive = STATES[name]
    column[0].set(title=f"{name}\ng = {g:g}, drive = {drive:g}", ylim=(-1, 50))
    edges = np.arange(STEPS - 2000, STEPS + 1, 5)
    counts = np.histogram(events[:, 0], edges)[0]
    column[1].plot(edges[1:] * DT, counts / (EXCITATORY + INHIBITORY) / (5 * DT) * 1000, color="#0072B2", linewidth=0.8)
    column[1].set(xlabel="time (ms)", xlim=((STEPS - 2000) * DT, STEPS * DT))
axes[0, 0].set_ylabel("50 neurons")
axes[1, 0].set_ylabel("rate (Hz)")
plt.show()
