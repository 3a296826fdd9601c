"""State in named tuples, data classes, slots and dicts of all kinds; views and lists that others hold too."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from corpus import agree, one_group
from recurra import Behavior, Network, NeuronGroup, Recorder

TABLE = np.random.RandomState(3).rand(40, 9)
SHARED = [np.ones(9), np.zeros(9)]


class Pair(NamedTuple):
    weight: float
    sums: np.ndarray


@dataclass
class Trace:
    x: np.ndarray
    k: int = 0

    def advance(self):
        self.x += self.k
        self.k += 1


@dataclass(frozen=True)
class Frozen:
    x: np.ndarray
    k: int = 0


class Slotted:
    __slots__ = ("k", "x")

    def __init__(self, x):
        self.x, self.k = x, 0


class Records(Behavior):
    def initialize(self, n):
        n.v = n.vector("uniform")
        self.pair, self.trace, self.frozen, self.slotted = (
            Pair(0.5, n.vector()),
            Trace(n.vector()),
            Frozen(n.vector()),
            Slotted(n.vector()),
        )
        self.again = Trace(n.vector())
        self.sums, self.ordered = defaultdict(float, a=0.0), OrderedDict(step=1.0, total=n.vector())
        self.shared = SHARED

    def iteration(self, n):
        n.v = n.v * 0.9 + self.shared[0] * 0.1
        self.pair = self.pair._replace(weight=self.pair.weight * 0.5, sums=self.pair.sums + n.v)
        self.trace.advance()
        self.frozen = replace(self.frozen, x=self.frozen.x + n.v, k=self.frozen.k + 1)
        self.slotted.x += n.v
        self.slotted.k += 2
        self.again = replace(self.again, x=self.again.x - n.v, k=self.again.k + 1)
        self.sums["a"] += 1.5
        self.ordered["total"] += self.ordered["step"]
        n.v += self.trace.x * 0.001 + self.frozen.k * 0.01 + self.slotted.k * 0.01


def test_records_are_state():
    net = agree(lambda: one_group(Records()))
    behavior = net["cells", 0].behavior[1]
    assert behavior.pair.weight == 0.5**25
    assert (behavior.trace.k, behavior.frozen.k, behavior.slotted.k, behavior.again.k) == (24, 24, 48, 24)
    assert type(behavior.frozen) is Frozen
    assert np.allclose(behavior.trace.x, np.arange(24).sum())
    assert behavior.sums == {"a": 36.0}
    assert all(np.array_equal(a, b) for a, b in zip(SHARED, (np.ones(9), np.zeros(9)), strict=True))


class Playback(Behavior):
    def initialize(self, n):
        self.table = self.parameter("table")
        n.v = n.vector()

    def iteration(self, n):
        n.v = self.table[n.iteration - 1]


class Halve(Behavior):
    def iteration(self, n):
        n.v *= 0.5


def test_a_row_that_is_a_view_is_compiled_and_the_table_stays():
    table = TABLE.copy()
    net = agree(lambda: one_group(Playback(table=table)))
    assert np.array_equal(net["v", 0], TABLE[:24])
    assert np.array_equal(table, TABLE)


def test_a_row_that_is_changed_in_place_changes_the_table_as_in_numpy():
    table = TABLE.copy()
    net = one_group(Playback(table=table), Halve())
    net.simulate_iterations(10)
    assert np.allclose(net["v", 0], 0.5 * TABLE[:10])
    assert np.array_equal(table[10:], TABLE[10:])
    assert np.allclose(table[:10], 0.5 * TABLE[:10])


def test_variables_may_have_the_names_of_prefixes():
    class Gates(Behavior):
        def initialize(self, neurons):
            neurons.n, neurons.s = neurons.vector(0.3), neurons.vector(0.1)

        def iteration(self, neurons):
            neurons.n = neurons.n * 0.9
            neurons.s = neurons.s + 1

    net = Network()
    NeuronGroup(net=net, size=2, behavior={1: Gates(), 9: Recorder(["n", "n.s", "n.n"])})
    net.initialize()
    net.simulate_iterations(5)
    assert np.allclose(net["n", 0][:, 0], 0.3 * 0.9 ** np.arange(1, 6))
    assert np.allclose(net["s", 0][:, 0], 0.1 + np.arange(1, 6))
