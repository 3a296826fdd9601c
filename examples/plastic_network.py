"""A noisy network keeps its activity while spike-timing-dependent plasticity changes its synapses.

Three rules act at once: STDP (Song, Miller & Abbott 2000), homeostasis of the thresholds (Lazar, Pipa & Triesch 2009)
and normalisation of the synapses (von der Malsburg 1973). Then the same network runs with one of them left out.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.behaviors import (
    STDP,
    CreateWeights,
    IntrinsicHomeostasis,
    LeakyIntegrateAndFire,
    NoiseInput,
    SpikeInput,
    SynapticNormalization,
)

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer neurons and steps
SIZE, STEPS = (60, 2000) if SMALL else (200, 10_000)
RATE, TOTAL = 20.0, 20.0  # Hz, and mV: what the synapses of a neuron add up to


def build(without="", seed=1):
    """Return the network, with one of its rules left out."""
    net = Network(seed=seed)
    neurons = NeuronGroup(
        net,
        SIZE,
        tag="cells",
        behavior={
            1: NoiseInput(mean=8.0, std=25.0),
            2: LeakyIntegrateAndFire(refractory=2.0),
            3: SpikeInput(target="v"),
            4: IntrinsicHomeostasis(rate=RATE, learning_rate=0.2),
            6: SynapticNormalization(norm_factor=TOTAL, interval=10),
            8: Recorder(["np.mean(threshold)", "np.mean(spike)"]),
            9: EventRecorder("spike", tag="events"),
        },
    )
    SynapseGroup(
        net,
        neurons,
        neurons,
        tag="GLU",
        behavior={
            0: CreateWeights(density=0.1, autapses=False, norm_factor=TOTAL),
            5: STDP(A_plus=0.05, A_minus=0.0525, w_max=5.0),
        },
    )
    net.initialize()
    if without:
        net.deactivate_behaviors(without)
    return net


def rate_over_time(net, window):
    """Return the mean rate (Hz) of the network in windows of so many steps."""
    spiking = net["np.mean(spike)", 0].reshape(-1)
    return spiking[: len(spiking) // window * window].reshape(-1, window).mean(axis=1) * 1000


net = build()
synapses = net["GLU", 0]
before = synapses.W[synapses.enabled].copy()
net.simulate_iterations(STEPS)
after, sums = synapses.W[synapses.enabled], synapses.W.sum(axis=1)
rates, everyone = {"all three rules": rate_over_time(net, STEPS // 50)}, net["cells", 0]
events = net["events", 0]["spike", 0]
for rule in ("STDP", "IntrinsicHomeostasis", "SynapticNormalization"):
    other = build(without=rule)
    other.simulate_iterations(STEPS)
    if rule == "SynapticNormalization":
        free = other["GLU", 0].W.sum(axis=1)
    rates[f"without {rule}"] = rate_over_time(other, STEPS // 50)

figure, ((one, two), (three, four)) = plt.subplots(2, 2, figsize=(11, 6.5), layout="constrained")
for ax, start, title in ((one, 0, "first 500 ms"), (two, STEPS - 500, "last 500 ms")):
    inside = events[(events[:, 0] > start) & (events[:, 0] <= start + 500)]
    ax.plot(inside[:, 0], inside[:, 1], ".", color="black", markersize=2)
    ax.set(title=f"Spikes, {title}", xlabel="time (ms)", ylabel="neuron", xlim=(start, start + 500))
time = (np.arange(len(rates["all three rules"])) + 1) * (STEPS // 50) / 1000
for name, rate in rates.items():
    three.plot(time, rate, label=name, linewidth=2 if name.startswith("all") else 1)
three.axhline(RATE, color="#999999", linestyle="--", linewidth=0.8)
three.set(xlabel="time (s)", ylabel="mean rate (Hz)", ylim=(0, None))
three.legend(frameon=False, fontsize=8)
bins = np.linspace(0, max(before.max(), after.max()), 40)
four.hist([before, after], bins, label=["before", "after"], color=["#999999", "#D55E00"])
four.set(xlabel="weight (mV)", ylabel="synapses")
four.legend(frameon=False)

numbers = {
    "neurons, synapses": f"{SIZE}, {len(after):,}",
    "wanted rate": f"{RATE:g} Hz",
    **{f"rate in the last fifth, {name}": f"{rate[-10:].mean():.1f} Hz" for name, rate in rates.items()},
    "incoming weights, smallest and largest sum": f"{sums.min():.2f}, {sums.max():.2f} mV",
    "same, without SynapticNormalization": f"{free.min():.2f}, {free.max():.2f} mV",
    "spread of the weights, before and after": f"{before.std():.2f}, {after.std():.2f} mV",
}
plt.show()
