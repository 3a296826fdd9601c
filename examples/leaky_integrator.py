"""A hundred leaky integrators with random weights, driven by a constant input.

This is the introductory example of RectiPy's documentation with the import changed and its two
misprints mended (`node` for `model`, `np.random.ones` for `np.ones`). With the weights drawn anew
the network is chaotic (Sompolinsky, H., Crisanti, A., & Sommers, H. J., 1988, Physical Review
Letters 61), so they come from a seed here.
"""

import matplotlib.pyplot as plt
import numpy as np

from recurra import Network

# model parameters
model = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"
N = 100
J = np.random.default_rng(20240607).standard_normal((N, N))
dt = 1e-3

# initialize the network
net = Network(dt=dt, device="cpu")

# add a population of N coupled rate neurons to the network
net.add_diffeq_node(
    "tanh",
    model,
    weights=J,
    source_var="tanh_op/r",
    target_var="li_op/r_in",
    input_var="li_op/I_ext",
    output_var="li_op/v",
)

# define input
steps = 10000
inp = np.ones((steps, N))

# perform numerical simulation
obs = net.run(inputs=inp)

obs.plot("out")
plt.show()
