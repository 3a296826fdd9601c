"""A reservoir of leaky integrate-and-fire neurons tells sequences apart.

Three letters are played in one of six orders; a linear readout of the synapses, fitted in closed
form (Hoerl & Kennard 1970), names the order at the end of each sequence (Jaeger 2001; Maass,
Natschlaeger & Markram 2002). The order is only in the network's memory by then.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np

from recurra import Network
from recurra.network import input_connections, random_connectivity, wta_score

SMALL = globals().get("SMALL", False)  # the tests run this file with few neurons and trials
N, TRIALS = (60, 36) if SMALL else (300, 240)
LETTER, DT = 20, 0.5  # steps of a letter; step
orders = list(itertools.permutations(range(3)))
rng = np.random.default_rng(1)


def trials(count):
    """Return inputs (trials, steps, 3), with noise, and which order was played."""
    which = rng.integers(len(orders), size=count)
    clean = np.repeat(np.eye(3)[[orders[k] for k in which]], LETTER, axis=1)
    return clean + 0.2 * rng.standard_normal(clean.shape), which


net = Network(dt=DT, seed=1)
J = 0.3 * random_connectivity(N, N, 0.2, seed=1) * rng.choice([1.0, -1.0], N)
net.add_diffeq_node(
    "lif",
    "neuron_model_templates.spiking_neurons.lif.lif",
    weights=J,
    source_var="s",
    target_var="s_in",
    input_var="I_ext",
    output_var="s",
    op="lif_op",
    spike_var="spike",
    reset_var="v",
    spike_threshold=1.0,
    spike_reset=0.0,
    node_vars={"tau_s": 20.0, "eta": rng.uniform(0.08, 0.12, N)},
)
net.add_func_node("letters", 3, "identity")
net.add_edge("letters", "lif", 0.2 * input_connections(N, 3, 0.5, zero_mean=False, seed=2))

# The readout learns from the last ten steps of every sequence.
inputs, which = trials(TRIALS)
steps = inputs.shape[1]
targets = np.repeat(np.eye(6)[which][:, None, :], steps, axis=1)
end = np.arange(steps) >= steps - 10
net.fit_ridge(inputs, targets, alpha=1e-2, mask=np.broadcast_to(end, (TRIALS, steps)))

fresh, played = trials(TRIALS)
obs, _ = net.test(fresh, np.repeat(np.eye(6)[played][:, None, :], steps, axis=1))
guesses = obs["out"][:, -10:].mean(axis=1)
accuracy = wta_score(guesses, np.eye(6)[played])

one = net.run(fresh[0], record_vars=[("lif", "spike")])
figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 6), layout="constrained")
one.raster(("lif", "spike"), ax=top)
confusion = np.zeros((6, 6))
np.add.at(confusion, (played, guesses.argmax(axis=1)), 1)
bottom.imshow(confusion, cmap="Blues")
names = ["".join("ABC"[i] for i in order) for order in orders]
bottom.set(xlabel="named", ylabel="played", xticks=range(6), yticks=range(6), xticklabels=names, yticklabels=names)

numbers = {
    "neurons": N,
    "trials learned from, and tested": TRIALS,
    "correct on new trials": f"{accuracy:.1%} (chance 16.7%)",
}
plt.show()
