"""Derivatives through rules, which are code: finite wherever finite differences are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurra import Behavior, Network, NeuronGroup
from recurra.engine import Graph, Rule, as_function, lower
from recurra.engine.taming import Tamed

FUNCTIONS = {
    "root": (lambda x: jnp.where(x > 1, jnp.sqrt(x - 1), 0.0), [5.0, 1.0, 0.0]),
    "logistic": (lambda x: 1 / (1 + jnp.exp(-x)), [1.0, 800.0, -800.0]),
    "logarithm": (lambda x: jnp.where(x > 0, x * jnp.log(x), 2 * x), [2.0, -1.0]),
    "norm": (lambda x: jnp.sqrt(x**2 + 0.0 * x), [0.0, 3.0]),
    "power": (lambda x: jnp.where(x > 0, x**0.3, 0.0) + 1 / (1 + 2 * jnp.exp(x)), [-1.0, 2.0, 800.0]),
    "branches": (lambda x: jax.lax.cond(x > 0, lambda y: 1 / y, lambda y: 3 * y, x), [2.0, -1.0]),
    "inside": (jax.jit(lambda x: jnp.where(x > 0, jnp.log(x), 0.0)), [2.0, -1.0]),
    "loop": (lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y * jnp.cos(y), x), [0.3]),
    "own slope": (lambda x: jax.nn.relu(x) + jnp.arctan2(x, 0.0 * x), [2.0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_the_same_and_slopes_are_those_of_differences(name):
    function, points = FUNCTIONS[name]
    for x in map(jnp.float64, points):
        tamed = Tamed(function)
        assert float(tamed(x)) == float(function(x))
        step = 1e-6 * max(1.0, abs(float(x)))
        edge = function(x - step) == 0 != function(x + step)  # a root begins here: only what is taken counts
        expected = 0.0 if edge else (function(x + step) - function(x - step)) / (2 * step)
        for slope in (jax.grad(tamed)(x), jax.jvp(tamed, (x,), (1.0,))[1], jax.jit(jax.grad(tamed))(x)):
            assert abs(float(slope) - float(expected)) < 1e-5 * max(1.0, abs(float(expected)))


def test_a_rule_is_differentiated_with_finite_slopes():
    def update(state, params, inputs, clock):
        x = state["x"]
        moved = x + 0.1 * (params["k"] - x + jnp.where(x > 1, jnp.sqrt(x - 1), 0.0) + 1 / (1 + jnp.exp(900 * (1 - x))))
        return {"x": moved}, {}

    program = lower(Graph({"r": Rule(update, {"x": np.zeros(3)}, {"k": np.array([0.5, 0.7, 2.0])})}))
    function = as_function(program, 2.0, dt=0.1, record=["r/x"])

    def total(k):
        return function({"r/k": k})["r/x"].sum()

    with jax.enable_x64(True):
        k = jnp.array([0.5, 0.7, 2.0])
        slopes = jax.grad(total)(k)
        for i in range(2):  # the third crosses the steep logistic
            step = jnp.zeros(3).at[i].set(1e-6)
            assert abs(slopes[i] - (total(k + step) - total(k - step)) / 2e-6) < 1e-6
        assert np.isfinite(slopes).all()


class Roots(Behavior):
    """Use NumPy as users do."""

    def initialize(self, neurons):
        neurons.x, neurons.k = neurons.vector(), np.array([0.5, 0.7])

    def iteration(self, neurons):
        root = np.where(neurons.x > 1, np.sqrt(neurons.x - 1), 0)
        neurons.x += 0.1 * (neurons.k - neurons.x + root + 1 / (1 + np.exp(900 * (1 - neurons.x))))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_behavior_is_differentiated_with_finite_slopes():
    net = Network(settings={"dtype": np.float64})
    NeuronGroup(net=net, tag="cells", size=2, behavior={1: Roots()})
    net.initialize(info=False)
    function = as_function(net.program, 20.0, dt=1.0, record=["cells/x"])

    def total(k):
        return function({"cells/k": k})["cells/x"].sum()

    with jax.enable_x64(True):
        k = jnp.array([0.5, 0.7])
        slopes = jax.grad(total)(k)
        for i in range(2):
            step = jnp.zeros(2).at[i].set(1e-6)
            assert abs(slopes[i] - (total(k + step) - total(k - step)) / 2e-6) < 1e-6
