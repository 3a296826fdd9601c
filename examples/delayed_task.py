"""Backpropagation through time: a rate network keeps a cue in mind until it is asked.

A cue of either sign is shown for a moment; after a delay of random length a go signal asks for it. Weights, readout
and input weights of the network are trained together (Werbos 1990; Kingma & Ba 2015).
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Network

SMALL = globals().get("SMALL", False)  # the tests run this file with few neurons and epochs
N, TRIALS, EPOCHS = (40, 32, 40) if SMALL else (200, 128, 150)
STEPS, DT = 60, 0.2
rng = np.random.default_rng(0)


def trials(count):
    """Return inputs (trials, steps, [cue, go]), targets, and which steps count."""
    inputs, targets, counts = np.zeros((count, STEPS, 2)), np.zeros((count, STEPS, 1)), np.zeros((count, STEPS))
    sign, asked = rng.choice([-1.0, 1.0], count), rng.integers(20, 50, count)
    inputs[:, 2:6, 0] = sign[:, None]
    for trial, go in enumerate(asked):
        inputs[trial, go:, 1] = 1.0
        targets[trial, go:, 0] = sign[trial]
        counts[trial, :go] = counts[trial, go + 5 :] = 1.0
    return inputs, targets, counts


net = Network(dt=DT)
net.add_func_node("in", 2, "identity")
net.add_diffeq_node(
    "rates",
    "neuron_model_templates.rate_neurons.leaky_integrator.tanh",
    weights=rng.standard_normal((N, N)) / np.sqrt(N),
    target_var="r_in",
    input_var="I_ext",
    output_var="tanh_op/r",
    op="li_op",
    node_vars={"tau": 1.0},
    train_params=["weights"],
)
net.add_func_node("out", 1, "identity")
net.add_edge("in", "rates", rng.standard_normal((N, 2)), train="gd")
net.add_edge("rates", "out", rng.standard_normal((1, N)) / N, train="gd")

inputs, targets, counts = trials(TRIALS)
fit = net.fit_bptt(
    inputs, targets, mask=counts, optimizer="adam", lr=2e-3, clip=1.0, epochs=EPOCHS, batch_size=32, progress=False
)

fresh, wanted, counts = trials(TRIALS)
obs, loss = net.test(fresh, wanted, mask=counts)
correct = np.mean(np.sign(obs["out"][:, -5:, 0].mean(axis=1)) == wanted[:, -1, 0])

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.semilogy(fit.history["loss"])
left.set(xlabel="epoch", ylabel="mean squared error")
for trial in range(6):
    colour = "#0072B2" if wanted[trial, -1, 0] > 0 else "#D55E00"
    right.plot(np.arange(STEPS) * DT, obs["out"][trial, :, 0], color=colour)
    right.plot(np.arange(STEPS) * DT, wanted[trial, :, 0], ":", color=colour)
right.set(xlabel="time", ylabel="output (lines), target (dots)")

numbers = {
    "units": N,
    "loss, first and last epoch": f"{fit.history['loss'][0]:.3f}, {fit.history['loss'][-1]:.4f}",
    "loss on new trials": f"{loss:.4f}",
    "sign correct on new trials": f"{correct:.1%}",
}
plt.show()
