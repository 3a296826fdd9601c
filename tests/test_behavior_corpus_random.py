"""Behaviors that draw random numbers in every way, compiled: they draw what NumPy draws."""
# ruff: noqa: NPY002

from __future__ import annotations

import numpy as np
import pytest

from corpus import agree, one_group
from recurra import Behavior, afferent
from test_behavior_corpus_constructs import State, Weights


class Random(Behavior):
    def iteration(self, n):
        n.v = n.vector("uniform", density=0.5) + n.vector("normal(0.3, 0.1)") * 0.1
        n.u = n.vector("lognormal(0, 0.3)") + n.vector("exponential(0.5)")
        n.trace += n.get_neuron_vec("uniform(-1, 1)", scale=0.2)
        for s in n.synapses(afferent):
            s.W += 0.01 * s.matrix("uniform", density=0.3)


class NumpyRandom(Behavior):
    def initialize(self, n):
        n.k = np.zeros(n.size, np.int64)
        n.order = np.arange(n.size)
        n.flag = False

    def iteration(self, n):
        n.v = np.random.rand(n.size) + np.random.uniform(-1, 1, n.size)
        n.u = np.random.normal(0.0, n.v**2 + 0.1) + np.random.randn(n.size)
        n.trace = np.random.exponential(1.0, n.size)
        n.k += np.random.randint(0, 4, n.size)
        n.k[np.random.randint(n.size)] = 0
        n.order = np.random.permutation(n.order)
        np.random.shuffle(n.k)
        n.spike = np.random.random(n.size) < 0.3
        n.one = np.random.choice([0.1, 0.2, 0.4]) + np.random.random()
        n.who = np.random.choice(n.size, 3, replace=False)
        n.flag = np.random.random() < 0.5


class Rejection(Behavior):
    """Draws whose generators take a while to compile."""

    def iteration(self, n):
        n.count += np.random.poisson(2.0, n.size) + np.random.binomial(5, 0.3, n.size)
        n.u = np.random.gamma(2.0, 1.0, n.size) + np.random.beta(1, 2, n.size)


class Generators(Behavior):
    def initialize(self, n):
        self.rng = np.random.default_rng()
        n.rng = np.random.RandomState()

    def iteration(self, n):
        n.v = self.rng.random(n.size) + self.rng.standard_normal(n.size) * 0.1
        n.u = n.rng.rand(n.size) * self.rng.integers(0, 5, n.size)
        n.trace = self.rng.random(n.size, dtype=np.float32)


NETWORKS = {
    "vector": lambda: one_group(State(), Weights(), Random(), synapses=2),
    "numpy.random": lambda: one_group(State(), NumpyRandom(), record=("v", "k", "one")),
    "rejection": lambda: one_group(State(), Rejection(), size=3, record=("count",)),
    "generators": lambda: one_group(State(), Generators()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_it_draws_what_numpy_draws(name: str) -> None:
    agree(NETWORKS[name])
