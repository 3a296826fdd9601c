"""Spiking neurons learn handwritten digits without being told what they are.

After Diehl, P. U. & Cook, M. (2015), Unsupervised learning of digit recognition using spike-timing-dependent
plasticity, Front. Comput. Neurosci. 9:99: pixels become Poisson spikes; the weights to a layer of competing neurons
learn by STDP from a trace of the input; thresholds adapt so that each neuron gets its share. Labels are used only
afterwards, to name each neuron by the digit it answers most. The data are the 1,797 digits of 8 x 8 pixels that come
with scikit-learn (Alpaydin & Kaynak 1998), not the MNIST of the paper. Two references use the same labels: the same
network before it learns, and a linear classifier trained with all labels.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Network, NeuronGroup, Recorder, SynapseGroup
from recurra.behaviors import (
    AdaptiveThreshold,
    CreateWeights,
    ImageStimulus,
    KWinnersTakeAll,
    LeakyIntegrateAndFire,
    PoissonSource,
    SpikeInput,
    SynapticNormalization,
    TraceSTDP,
)

try:
    from sklearn.datasets import load_digits
except ImportError:
    raise SystemExit("this example needs the digits of scikit-learn: pip install scikit-learn") from None

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer neurons and digits
NEURONS, TRAIN, TEST = (30, 150, 80) if SMALL else (100, 1200, 297)
SHOWN, PAUSE, BRIGHT = 40, 10, 6000.0  # ms, ms, Hz in all pixels together
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.data))
pixels, labels = digits.data[order] / 16, digits.target[order]
train = np.arange(TRAIN)
test = np.arange(len(pixels) - TEST, len(pixels))  # the digits between the two were used to choose the settings


def build(turn, seed=0):
    """Return a network to which the images are shown in the given turn."""
    net = Network(seed=seed)
    inputs = NeuronGroup(
        net,
        64,
        tag="input",
        behavior={
            1: ImageStimulus(
                images=pixels / pixels.sum(axis=1, keepdims=True),
                order=turn,
                duration=SHOWN,
                pause=PAUSE,
                gain=BRIGHT,
                target="rate",
            ),
            2: PoissonSource(),
        },
    )
    neurons = NeuronGroup(
        net,
        NEURONS,
        tag="neurons",
        behavior={
            4: SpikeInput(synapse_tag="feedforward"),
            5: LeakyIntegrateAndFire(tau=20.0, threshold=-62.0, refractory=3.0, resistance=60.0),
            6: KWinnersTakeAll(k=1),
            7: SpikeInput(synapse_tag="lateral", target="v"),
            8: AdaptiveThreshold(increase=1.0, tau=1e7),
            10: SynapticNormalization(syn_type="feedforward", norm_factor=8.0, interval=SHOWN + PAUSE),
            11: Recorder("spike"),
        },
    )
    SynapseGroup(
        net,
        inputs,
        neurons,
        tag="feedforward",
        behavior={
            0: CreateWeights(distribution="uniform(0, 0.3)", norm_factor=8.0),
            9: TraceSTDP(learning_rate=0.1, trace_target=0.4, tau=20.0, mu=0.2, w_max=0.5),
        },
    )
    inhibition = CreateWeights(distribution=-30.0, autapses=False, normalize=False)
    SynapseGroup(net, neurons, neurons, tag="lateral", behavior={0: inhibition})
    net.initialize()
    return net


def responses(net, count):
    """Show the next images and return how often each neuron fires at each: `(images, neurons)`."""
    net.clear_recorder()
    net.simulate_iterations(count * (SHOWN + PAUSE))
    return net["spike", 0].reshape(count, SHOWN + PAUSE, NEURONS).sum(axis=1)


def freeze(net):
    """Stop learning."""
    for rule in ("TraceSTDP", "AdaptiveThreshold", "SynapticNormalization"):
        net.deactivate_behaviors(rule)


def accuracy(net):
    """Name the neurons by the training images; return the share of test images named rightly, and the names."""
    seen = responses(net, TRAIN)
    per_digit = np.array([seen[labels[train] == digit].mean(axis=0) for digit in range(10)])
    # A neuron votes for each digit as it answered to it.
    share = per_digit / np.maximum(per_digit.sum(axis=0), 1e-9)
    votes = responses(net, TEST) @ share.T
    return np.mean(votes.argmax(axis=1) == labels[test]), per_digit.argmax(axis=0)


untrained = build(np.concatenate([train, test]))
freeze(untrained)
before, _ = accuracy(untrained)

net = build(np.concatenate([train, train, test]))
fired = responses(net, TRAIN)
freeze(net)
correct, names = accuracy(net)

# Ridge regression on the pixels, with all labels of the training images.
inside = np.hstack([pixels[train], np.ones((TRAIN, 1))])
weights = np.linalg.solve(inside.T @ inside + np.eye(65), inside.T @ np.eye(10)[labels[train]])
outside = np.hstack([pixels[test], np.ones((TEST, 1))])
linear = np.mean((outside @ weights).argmax(axis=1) == labels[test])

side = int(np.ceil(np.sqrt(NEURONS)))
learned = np.zeros((side * side, 64))
learned[np.argsort(names, kind="stable").argsort(kind="stable")] = net["feedforward", 0].W
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained", width_ratios=[3, 2])
left.imshow(learned.reshape(side, side, 8, 8).swapaxes(1, 2).reshape(side * 8, side * 8), cmap="gray_r")
left.set(xticks=np.arange(0, side * 8, 8) - 0.5, yticks=np.arange(0, side * 8, 8) - 0.5, title="Learned weights")
left.set(xticklabels=[], yticklabels=[])
left.grid(color="#56B4E9", linewidth=0.6)
kinds = ["chance", "before learning", "after learning", "linear, all labels"]
right.barh(kinds[::-1], [linear, correct, before, 0.1], color=["#999999", "#D55E00", "#999999", "#999999"])
right.set(xlim=(0, 1), xlabel="share of right digits", title="Digits that were not learned from")

numbers = {
    "neurons, digits to learn from, digits to test": f"{NEURONS}, {TRAIN}, {TEST}",
    "right on the test digits": f"{correct:.1%}",
    "same network before learning": f"{before:.1%}",
    "linear classifier with all labels": f"{linear:.1%}",
    "chance": "10.0%",
    "spikes per digit while it learns": f"{fired.sum(axis=1).mean():.1f}",
    "neurons that answer at all": f"{(fired.sum(axis=0) > 0).sum()}",
}
plt.show()
