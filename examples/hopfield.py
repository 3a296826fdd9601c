"""Patterns stored in weights are recalled from damaged copies, until there are too many of them.

Hopfield, J. J. (1982), Neural networks and physical systems with emergent collective computational abilities, PNAS 79,
2554-2558. Weights are Hebb's; in each step every unit is updated with a probability of one fifth. With many units,
recall breaks down at 0.138 patterns per unit (Amit, Gutfreund & Sompolinsky 1985).
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup, afferent
from recurra.behaviors import CreateWeights

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer units
SIDE, STEPS, FLIPPED = (12, 40, 0.2) if SMALL else (24, 40, 0.2)
UNITS = SIDE * SIDE
LOADS = (0.02, 0.1, 0.3) if SMALL else (0.01, 0.03, 0.06, 0.09, 0.12, 0.14, 0.16, 0.2, 0.25, 0.3)


class Recall(Behavior):
    """Let some units take the sign of their input."""

    def initialize(self, neurons):
        neurons.state = neurons.vector(self.parameter("cue"))
        self.probability = self.parameter("probability", 0.2)

    def iteration(self, neurons):
        field = neurons.vector()
        for synapses in neurons.synapses(afferent, "memory"):
            field += synapses.W.dot(synapses.src.state)
        chosen = neurons.vector("uniform(0, 1)") < self.probability
        neurons.state[chosen] = np.where(field >= 0, 1, -1)[chosen]


def recall(patterns, cue, seed=0):
    """Store patterns `(patterns, units)`, start from a cue, and return the states over time."""
    weights = patterns.T @ patterns / UNITS
    np.fill_diagonal(weights, 0)
    net = Network(seed=seed)
    units = NeuronGroup(net, UNITS, behavior={1: Recall(cue=cue), 2: Recorder("state")})
    SynapseGroup(net, units, units, tag="memory", behavior={0: CreateWeights(distribution=weights, normalize=False)})
    net.initialize()
    net.simulate_iterations(STEPS)
    return np.vstack([cue, net["state", 0]])


def damaged(pattern, rng):
    """Flip some units of a pattern."""
    return np.where(rng.random(UNITS) < FLIPPED, -pattern, pattern)


rng = np.random.default_rng(0)
patterns = np.where(rng.random((10, UNITS)) < 0.5, -1.0, 1.0)
# Some patterns that can be recognised: a bar, a cross and a ring.
y, x = (np.arange(SIDE) - (SIDE - 1) / 2)[:, None] / SIDE * 2, (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE * 2
pictures = [
    np.abs(x) + 0 * y < 0.25,
    np.minimum(np.abs(x + y), np.abs(x - y)) < 0.3,
    np.abs(np.hypot(x, y) - 0.65) < 0.22,
]
patterns[: len(pictures)] = [np.where(np.broadcast_to(p, (SIDE, SIDE)).ravel(), 1, -1) for p in pictures]

runs = [recall(patterns, damaged(patterns[i], rng), seed=i) for i in range(len(pictures))]
overlaps = [run @ patterns[i] / UNITS for i, run in enumerate(runs)]

final = []
for load in LOADS:
    count = max(1, round(load * UNITS))
    found = []
    for seed in range(2 if SMALL else 5):
        stored = np.where(rng.random((count, UNITS)) < 0.5, -1.0, 1.0)
        found.append(recall(stored, damaged(stored[0], rng), seed)[-1] @ stored[0] / UNITS)
    final.append(np.mean(found))

figure = plt.figure(figsize=(11, 5.5), layout="constrained")
left, right = figure.subfigures(1, 2)
for row, run in enumerate(runs):
    for column, step in enumerate((0, 5, STEPS)):
        ax = left.add_subplot(3, 3, 3 * row + column + 1)
        ax.imshow(run[step].reshape(SIDE, SIDE), cmap="gray_r", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[], title=f"step {step}" if row == 0 else "")
top, bottom = right.subplots(2, 1, height_ratios=[2, 3])
for overlap in overlaps:
    top.plot(overlap)
top.set(xlabel="step", ylabel="overlap", ylim=(0.4, 1.05))
bottom.plot(LOADS, final, "o-", color="#0072B2")
bottom.axvline(0.138, color="#999999", linestyle="--", label="0.138, the limit for many units")
bottom.set(xlabel="stored patterns per unit", ylabel=f"overlap after {STEPS} steps", ylim=(0, 1.05))
bottom.legend(frameon=False, loc="lower left")

numbers = {
    "units, patterns": f"{UNITS}, {len(patterns)}",
    "overlap of the damaged copies": ", ".join(f"{o[0]:.2f}" for o in overlaps),
    f"overlap after {STEPS} steps": ", ".join(f"{o[-1]:.2f}" for o in overlaps),
    **{f"overlap with {load:g} patterns per unit": f"{o:.2f}" for load, o in zip(LOADS, final, strict=True)},
}
plt.show()
