"""SciPy's sparse matrices as weights: products both ways, learning in their entries, sums; equal to NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from corpus import LOOSE, agree, one_group
from recurra import Behavior, Network, NeuronGroup, Recorder, SynapseGroup, afferent

KINDS = [sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.csc_array, sp.coo_matrix, sp.coo_array]
GLOBAL = sp.random(9, 9, 0.4, "csr", random_state=2)


def weights(kind, dtype=np.float64):
    return kind(sp.random(9, 9, 0.4, "csr", random_state=1, dtype=dtype))


class Products(Behavior):
    def initialize(self, n):
        n.v, n.w = n.vector("uniform"), n.vector("uniform")
        self.W = weights(self.parameter("kind"), self.parameter("dtype", np.float64))
        n.spike = n.v > 0.5

    def iteration(self, n):
        n.v = 0.5 * n.v + 0.1 * self.W.dot(n.spike) + 0.1 * (self.W @ n.w)
        n.w = 0.5 * n.w + 0.1 * (n.v @ self.W) + 0.05 * (self.W.T @ n.v) + 0.05 * self.W.T.dot(n.spike)
        n.v = n.v + 0.01 * np.asarray(self.W.sum(axis=1)).ravel() + 0.01 * self.W.sum()
        n.spike = n.v > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_products_with_sparse_matrices(kind):
    net = agree(lambda: one_group(Products(kind=kind), record=("v", "w")))
    assert "1 cells/Products: compiled" in net.explain()


def test_sparse_matrices_of_narrow_floats_keep_their_type():
    agree(lambda: one_group(Products(kind=sp.csr_matrix, dtype=np.float32)), tolerance=LOOSE)


class Learning(Behavior):
    def initialize(self, n):
        n.v = n.vector("uniform")
        self.W = weights(sp.csr_matrix)
        self.rows = np.repeat(np.arange(9), np.diff(self.W.indptr))

    def iteration(self, n):
        n.v = 0.8 * n.v + 0.1 * (self.W @ n.v) + 0.1 * (GLOBAL @ n.v) + 0.1 * GLOBAL.dot(n.v)
        self.W.data += 0.01 * n.v[self.rows] * n.v[self.W.indices]
        np.clip(self.W.data, 0.0, 1.0, out=self.W.data)
        self.W *= 0.99


def test_sparse_matrices_learn():
    net = agree(lambda: one_group(Learning()))
    learnt = net["cells", 0].behavior[1].W
    assert type(learnt) is sp.csr_matrix and not np.allclose(learnt.data, weights(sp.csr_matrix).data)


class Weights(Behavior):
    def initialize(self, s):
        s.W = weights(sp.csr_matrix)


class Leak(Behavior):
    def initialize(self, n):
        n.v = np.linspace(0, 1, 9)
        n.spike = n.v > 0.5

    def iteration(self, n):
        for s in n.synapses(afferent, "GLU"):
            n.v = 0.9 * n.v + s.W.dot(s.src.spike)
        n.spike = n.v > 0.5
        n.v = np.where(n.spike, 0.0, n.v) + 0.05


def test_sparse_weights_of_synapses_and_other_ones_later():
    net = Network()
    cells = NeuronGroup(net=net, size=9, behavior={1: Leak(), 9: Recorder("v")})
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU", behavior={0: Weights()})
    net.initialize()
    net.simulate_iterations(20, compile=True)
    other = sp.random(9, 9, 0.7, "csr", random_state=4)
    net["GLU", 0].W = other
    net.simulate_iterations(20, compile=True)
    v = np.linspace(0, 1, 9)
    spike = v > 0.5
    for k in range(40):
        v = 0.9 * v + (weights(sp.csr_matrix) if k < 20 else other).dot(spike)
        spike = v > 0.5
        v = np.where(spike, 0.0, v) + 0.05
    assert np.allclose(net["v", 0][-1], v)
