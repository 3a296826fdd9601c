"""A self-organising recurrent network learns the sequences that it hears.

Lazar, A., Pipa, G. & Triesch, J. (2009), SORN: a self-organizing recurrent neural network, Front. Comput. Neurosci.
3:23. Binary units; the excitatory ones learn by STDP over one step, normalisation of their synapses and homeostasis of
their thresholds. Two words come in random order; to say which letter comes next, the network must count how often the
middle letter has been repeated. A linear readout is fitted to the activity, as in the paper. The same readout on the
same network without plasticity is the reference.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.behaviors import (
    BinaryUnits,
    CreateWeights,
    IntrinsicHomeostasis,
    SpikeInput,
    SynapticNormalization,
    TextStimulus,
)

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer units and steps
EXCITATORY, LEARNING, READING = (80, 2500, 1000) if SMALL else (200, 10_000, 3000)
REPEATS = 4 if SMALL else 8
WORDS = ["a" + "b" * REPEATS + "c", "d" + "e" * REPEATS + "f"]
INHIBITORY, HEARING = EXCITATORY // 5, EXCITATORY // 20  # units that hear each letter
SEEDS = 1 if SMALL else 3


class OneStepSTDP(Behavior):
    """Strengthen synapses whose source fired one step before the target, and weaken them the other way round."""

    def initialize(self, synapses):
        self.rate = self.parameter("rate", 0.001)
        synapses.before = synapses.src.vector(bool)

    def iteration(self, synapses):
        now, before = synapses.src.spike, synapses.before
        causal = np.outer(now, before) * 1.0 - np.outer(before, now)
        synapses.W += self.rate * causal * synapses.enabled
        synapses.W[synapses.W < 0] = 0
        synapses.before = now.copy()


def build(seed, plastic):
    """Return a network that hears the words."""
    net = Network(seed=seed)
    letters = NeuronGroup(net, 6, tag="letters", behavior={1: TextStimulus(WORDS, order="random")})
    excitatory = NeuronGroup(
        net,
        EXCITATORY,
        tag="excitatory",
        behavior={
            2: SpikeInput(),
            3: BinaryUnits(threshold="uniform(0, 0.5)", density=0.1),
            6: IntrinsicHomeostasis(rate=100.0, learning_rate=0.001),  # a tenth of all steps, each 1 ms
            7: SynapticNormalization(syn_type="GLU"),
            8: Recorder(["spike", "np.mean(spike)"]),
        },
    )
    inhibitory = NeuronGroup(
        net,
        INHIBITORY,
        tag="inhibitory",
        behavior={4: SpikeInput(), 5: BinaryUnits(threshold="uniform(0, 1)")},
    )
    hears = np.arange(EXCITATORY)[:, None] // HEARING == np.arange(6)
    SynapseGroup(net, letters, excitatory, behavior={0: CreateWeights(distribution=1.0 * hears, normalize=False)})
    SynapseGroup(net, excitatory, inhibitory, behavior={0: CreateWeights()})
    SynapseGroup(net, inhibitory, excitatory, behavior={0: CreateWeights(density=0.2, scale=-1.0)})
    recurrent = {0: CreateWeights(density=10 / EXCITATORY, autapses=False), 5.5: OneStepSTDP()}
    SynapseGroup(net, excitatory, excitatory, tag="GLU", behavior=recurrent)
    letters.add_behavior(8, Recorder("character"))
    net.initialize()
    if not plastic:
        net.deactivate_behaviors("OneStepSTDP")
        net.deactivate_behaviors("IntrinsicHomeostasis")
    return net


def predictable(heard):
    """Tell in which steps the next letter can be known: not at the end of a word."""
    return ~np.isin(heard, [2, 5])


def score(net):
    """Fit the readout on one part and return the share of right letters on another."""
    for rule in ("OneStepSTDP", "IntrinsicHomeostasis", "SynapticNormalization"):
        net.deactivate_behaviors(rule)
    parts = []
    for _ in range(2):
        net.clear_recorder()
        net.simulate_iterations(READING)
        heard = net["character", 0].reshape(-1)
        states = np.hstack([net["spike", 0], np.ones((READING, 1))])[:-1].astype(float)
        known = predictable(heard[:-1])
        parts.append((states[known], heard[1:][known], heard[:-1][known]))
    (states, following, _), (fresh, expected, present) = parts
    goals = np.eye(6)[following]
    readout = np.linalg.solve(states.T @ states + 1e-2 * np.eye(states.shape[1]), states.T @ goals)
    right = np.argmax(fresh @ readout, axis=1) == expected
    hard = np.isin(present, [1, 4])  # within the repeated letter
    return right.mean(), right[hard].mean()


scores, kept = {True: [], False: []}, {}
for seed in range(SEEDS):
    for plastic in (True, False):
        net = build(seed, plastic)
        net.simulate_iterations(LEARNING)
        if seed == 0 and plastic:
            activity = net["np.mean(spike)", 0].reshape(-1)
            late = net["spike", 0][-80:]
            synapses = net["GLU", 0]
            kept = {"weights": synapses.W[synapses.W > 0]}
        scores[plastic].append(score(net))

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 4), layout="constrained", width_ratios=[2, 2, 1.2])
left.imshow(late.T, aspect="auto", cmap="gray_r", interpolation="nearest", origin="lower")
left.set(xlabel="step", ylabel="excitatory unit", title="The last 80 steps of learning")
window = LEARNING // 60
smooth = activity[: window * 60].reshape(60, window).mean(axis=1)
middle.plot((np.arange(60) + 1) * window, smooth, color="#0072B2")
middle.axhline(0.1, color="#999999", linestyle="--", label="wanted")
middle.set(xlabel="step", ylabel="share of active units", ylim=(0, None), title="Activity while it learns")
middle.legend(frameon=False)
for place, (plastic, colour) in enumerate(((True, "#0072B2"), (False, "#D55E00"))):
    inside = [part[1] for part in scores[plastic]]
    right.plot(np.full(SEEDS, place), inside, "o", color=colour)
right.set(xticks=[0, 1], xticklabels=["plastic", "static"], xlim=(-0.5, 1.5), ylim=(0, 1.03))
right.set(ylabel="right within the repeats", title="Predicting the next letter")
right.axhline(1 - 1 / REPEATS, color="#999999", linestyle="--")

plastic_score, static_score = (np.mean(scores[kind], axis=0) for kind in (True, False))
numbers = {
    "words": ", ".join(WORDS),
    "right letters, plastic and static": f"{plastic_score[0]:.1%}, {static_score[0]:.1%}",
    "right within the repeats, plastic and static": f"{plastic_score[1]:.1%}, {static_score[1]:.1%}",
    "same, for who never expects the last letter (dashed)": f"{1 - 1 / REPEATS:.1%}",
    "networks of each kind": SEEDS,
    "active units in the last tenth of learning": f"{activity[-LEARNING // 10 :].mean():.3f} (wanted 0.1)",
}
plt.show()
