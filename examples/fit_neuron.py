"""Fit the time constant and the gain of a neuron to a recorded trace.

The trace is the output of a neuron whose parameters are hidden from the fit, with noise of the measurement on it.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Network
from recurra.training import Bounds

SMALL = globals().get("SMALL", False)  # the tests run this file with fewer epochs
EPOCHS = 150 if SMALL else 400
MODEL = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"
STEPS, DT = 400, 0.1
TRUE = {"tau": 3.0, "k": 0.7}


def neuron(tau, k):
    """Return a network of one neuron that is coupled to itself with strength k."""
    net = Network(dt=DT)
    net.add_diffeq_node("cell", MODEL, weights=np.ones((1, 1)), target_var="r_in", input_var="I_ext",
                        output_var="v", op="li_op", node_vars={"tau": tau, "k": k})  # fmt: skip
    return net


rng = np.random.default_rng(0)
drive = np.repeat(rng.standard_normal(STEPS // 20), 20)[:, None]
trace = neuron(**TRUE).run(drive)["out"]
recorded = trace + 0.05 * trace.std() * rng.standard_normal(trace.shape)

net = neuron(tau=8.0, k=0.1)
before = net.run(drive)["out"]
fit = net.fit_bptt(
    drive, recorded, train={"cell/tau": Bounds(0.5, 20.0), "cell/k": None}, lr=0.05, epochs=EPOCHS, progress=False
)
found = {name: float(net["cell"][name].item()) for name in TRUE}

figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
time = np.arange(STEPS) * DT
ax.plot(time, recorded, ".", color="grey", markersize=3, label="recorded")
ax.plot(time, before, color="#D55E00", label="before")
ax.plot(time, net.run(drive)["out"], color="#0072B2", label="fitted")
ax.set(xlabel="time", ylabel="v")
ax.legend(frameon=False)

numbers = {f"{name}: true, found": f"{TRUE[name]}, {found[name]:.3f}" for name in TRUE}
plt.show()
