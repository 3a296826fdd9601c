"""Two nodes, one network: a rate reservoir drives a group of spiking neurons.

A hundred tanh units (Sompolinsky, Crisanti & Sommers 1988) project to quadratic integrate-and-fire neurons
(Ermentrout & Kopell 1986), whose synapses reach back to the reservoir one step later.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Network
from recurra.network import random_connectivity

SMALL = globals().get("SMALL", False)  # the tests run this file for a short time
STEPS = 2000 if SMALL else 40_000
DT = 1e-3
rng = np.random.default_rng(2)

net = Network(dt=DT)
net.add_diffeq_node(
    "reservoir",
    "neuron_model_templates.rate_neurons.leaky_integrator.tanh",
    weights=1.5 * rng.standard_normal((100, 100)) / np.sqrt(100),
    target_var="r_in",
    input_var="I_ext",
    output_var="tanh_op/r",
    op="li_op",
    node_vars={"tau": 1.0},
)
net.add_diffeq_node(
    "qif",
    "neuron_model_templates.spiking_neurons.qif.qif",
    weights=2.0 * random_connectivity(50, 50, 0.2, seed=1),
    source_var="s",
    target_var="s_in",
    input_var="I_ext",
    output_var="s",
    op="qif_op",
    spike_var="spike",
    reset_var="v",
    node_vars={"eta": -5.0 + np.tan(np.pi / 2 * np.linspace(-0.98, 0.98, 50))},
)
net.add_edge("reservoir", "qif", 4.0 * rng.standard_normal((50, 100)) / np.sqrt(100))
net.add_edge("qif", "reservoir", 0.1 * random_connectivity(100, 50, 0.2, seed=3), feedback=True)

pulse = np.zeros((STEPS, 1))
pulse[STEPS // 10 : STEPS // 5] = 1.0
obs = net.run({"reservoir": pulse, "qif": 8.0}, record_vars=[("reservoir", "v"), ("qif", "spike")])

figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
top.plot(obs.time, obs["reservoir", "v"][:, :8], linewidth=1)
top.set_ylabel("v of eight units")
obs.raster(("qif", "spike"), ax=bottom)
bottom.set_ylabel("neuron")

spikes = int((obs["qif", "spike"] > 0).sum())
rate = spikes / 50 / (STEPS * DT)
numbers = {"steps": f"{STEPS:,}", "spikes": f"{spikes:,}", "spikes per neuron and unit of time": f"{rate:.2f}"}
plt.show()
