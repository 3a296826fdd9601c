"""Surrogate gradients: a recurrent network of spiking neurons learns to tell patterns of spikes apart.

The derivative of a spike is replaced by that of a fast sigmoid (Zenke & Vogels 2021; Neftci, Mostafa & Zenke 2019).
Each of three classes is a pattern of input spikes, which comes with jitter and extra spikes.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Network

SMALL = globals().get("SMALL", False)  # the tests run this file with few neurons and epochs
N, TRIALS, EPOCHS = (30, 60, 40) if SMALL else (100, 300, 150)
CHANNELS, STEPS = 20, 60
rng = np.random.default_rng(5)
patterns = rng.integers(5, STEPS - 15, (3, CHANNELS))


def trials(count):
    """Return input spikes (trials, steps, channels) and the class of every trial."""
    which = rng.integers(3, size=count)
    spikes = (rng.random((count, STEPS, CHANNELS)) < 0.01).astype(float)
    when = np.clip(patterns[which] + rng.integers(-2, 3, (count, CHANNELS)), 0, STEPS - 1)
    spikes[np.arange(count)[:, None], when, np.arange(CHANNELS)] = 1.0
    return spikes, which


net = Network(dt=1.0)
net.add_func_node("in", CHANNELS, "identity")
net.add_diffeq_node(
    "lif",
    "neuron_model_templates.spiking_neurons.lif.lif",
    weights=0.1 * rng.standard_normal((N, N)) / np.sqrt(N),
    source_var="s",
    target_var="s_in",
    input_var="I_ext",
    output_var="s",
    op="lif_op",
    spike_var="spike",
    reset_var="v",
    spike_threshold=1.0,
    spike_reset=0.0,
    surrogate="fast_sigmoid",
    spike_slope=3.0,
    node_vars={"tau": 20.0, "tau_s": 20.0},
    train_params=["weights"],
)
net.add_func_node("out", 3, "log_softmax")
net.add_edge("in", "lif", 0.8 * rng.standard_normal((N, CHANNELS)) / np.sqrt(CHANNELS) + 0.1, train="gd")
net.add_edge("lif", "out", rng.standard_normal((3, N)) / np.sqrt(N), train="gd")

inputs, which = trials(TRIALS)
late = np.broadcast_to(np.arange(STEPS) >= STEPS - 10, (TRIALS, STEPS)).astype(float)
fit = net.fit_bptt(
    inputs,
    np.repeat(which[:, None], STEPS, axis=1),
    mask=late,
    loss="nll",
    lr=1e-2,
    batch_size=60,
    epochs=EPOCHS,
    progress=False,
)

fresh, played = trials(TRIALS)
obs, _ = net.test(fresh, np.repeat(played[:, None], STEPS, axis=1), mask=late, loss="nll")
correct = np.mean(obs["out"][:, -10:].mean(axis=1).argmax(axis=1) == played)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(fit.history["loss"])
left.set(xlabel="epoch", ylabel="negative log likelihood")
net.run(fresh[0], record_vars=[("lif", "spike")]).raster(("lif", "spike"), ax=right, markersize=4)

numbers = {
    "neurons": N,
    "loss, first and last epoch": f"{fit.history['loss'][0]:.3f}, {fit.history['loss'][-1]:.3f}",
    "correct on new trials": f"{correct:.1%} (chance 33.3%)",
}
plt.show()
