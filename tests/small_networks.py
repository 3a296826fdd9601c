"""Small networks and the comparison that the tests of networks share."""

from __future__ import annotations

import numpy as np

from recurra import Network

DT = 0.1
TANH = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"
LIF = "neuron_model_templates.spiking_neurons.lif.lif"
QIF = "neuron_model_templates.spiking_neurons.qif"
CELL = {"node": "v' = -v/tau + u", "variables": {"v": "output(0.5)", "tau": 2.0, "u": "input(0.0)"}, "op": "leak"}


def close(got, expected, tolerance=1e-12):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    error = np.max(np.abs(got - expected), initial=0.0)
    assert error <= tolerance, f"largest error {error:g}"


def series(steps, n, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, n))


def rates(n=5, **options) -> Network:
    net = Network(dt=DT)
    J = np.random.default_rng(1).standard_normal((n, n))
    options = {"target_var": "r_in", "input_var": "I_ext", "output_var": "v", "op": "li_op", **options}
    net.add_diffeq_node("r", TANH, weights=J, **options)
    return net
