"""Whose numbers behaviors draw: those of a seed of the user's own, or those of the network's seed."""
# ruff: noqa: NPY002

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.random import rand

from recurra import Behavior, Network, NeuronGroup, Recorder
from recurra.errors import CapabilityError, NotCompiled

STEPS, SIZE = 9, 3


class Prepared(Behavior):
    """Make generators with seeds, and without, in all places."""

    def initialize(self, n):
        n.v, n.extra = n.vector(), n.vector()
        self.rng, self.twin, self.old = np.random.default_rng(7), np.random.default_rng(7), np.random.RandomState(5)
        self.many, self.draw = [np.random.default_rng(3)], np.random.default_rng(4).random
        self.free, self.free_old = np.random.default_rng(), np.random.RandomState()
        n.own = np.random.Generator(np.random.PCG64(11))


def run(body, compiled, seed=0, cut=(STEPS,)):
    """Return what a body draws in every step, and what was told."""
    kind = type("Draws", (Prepared,), {"iteration": lambda self, n: body(self, n)})
    net = Network(seed=seed)
    NeuronGroup(net, SIZE, {1: kind(), 2: Recorder("v")}, "g")
    net.initialize()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", NotCompiled)
        for steps in cut:
            net.simulate_iterations(steps, compile=compiled)
    return net["v", 0], [str(w.message) for w in told]


def kept(self, n):
    n.v = self.rng.random(n.size)


def kept_old(self, n):
    n.v = n.v * 0.5 + self.old.rand(n.size) + n.own.normal(size=n.size)


def twins(self, n):
    n.v = self.rng.random(n.size) - self.twin.random(n.size)


def state(self, n):
    before = self.old.get_state()
    n.v = self.old.rand(n.size)
    self.old.set_state(before)


def spawned(self, n):
    n.v = self.rng.spawn(1)[0].random(n.size)


def in_a_list(self, n):
    if n.iteration > 5:
        n.v = self.many[0].random(n.size)


def a_method(self, n):
    n.v = self.draw(n.size)


def made_anew(self, n):
    n.v = np.random.default_rng(42).random(n.size) + np.random.RandomState(1).rand(n.size)


def permuted(self, n):
    n.v = np.random.default_rng(42).permutation(n.v + n.id)


def seeded_by_step(self, n):
    n.v = np.random.default_rng(n.iteration).random(n.size)


def global_seed(self, n):
    np.random.seed(42)
    n.v = np.random.rand(n.size)


def global_seed_once(self, n):
    if n.iteration == 1:
        np.random.seed(n.size)
    n.v = np.random.normal(size=n.size) + n.vector("uniform")


def global_state(self, n):
    before = np.random.get_state()
    n.v = np.random.rand(n.size)
    np.random.set_state(before)
    n.v -= np.random.rand(n.size)


BODIES = [kept, kept_old, twins, state, spawned, in_a_list, a_method, made_anew, permuted, seeded_by_step, global_seed,
          global_seed_once, global_state]  # fmt: skip
TRACED = {"made_anew", "permuted"}  # the same numbers in every step


@pytest.mark.parametrize("body", BODIES)
def test_a_seed_of_ones_own_gives_its_numbers(body):
    before = np.random.get_state()[1].tolist()
    (found, told), (expected, _) = run(body, None), run(body, False)
    assert np.array_equal(found, expected)
    assert np.array_equal(found, run(body, None, cut=(1, 4, 4))[0])
    assert body.__name__ in TRACED or (len(told) == 1 and __file__ in told[0]), told
    assert np.random.get_state()[1].tolist() == before


def test_a_seed_matters():
    rng = np.random.default_rng(7)
    assert np.array_equal(run(kept, None)[0], [rng.random(SIZE) for _ in range(STEPS)])
    assert not run(twins, None)[0].any()


def free(self, n):
    n.v = self.free.normal(size=n.size) + self.free_old.rand(n.size)


def free_rare(self, n):
    n.v = self.free.geometric(0.2, n.size) + self.free.spawn(1)[0].random(n.size) + np.random.zipf(2.0, n.size)


def imported(self, n):
    n.v = rand(n.size)


@pytest.mark.parametrize("body", [free, free_rare, imported])
def test_without_a_seed_numbers_are_those_of_the_networks_seed(body):
    before = np.random.get_state()[1].tolist()
    found, told = run(body, None)
    assert bool(told) is (body is not free)
    assert np.array_equal(found, run(body, None)[0]) and not np.array_equal(found, run(body, None, seed=1)[0])
    assert np.array_equal(found, run(body, None, cut=(1, 5, 3))[0])
    assert len(np.unique(found)) == found.size
    assert np.random.get_state()[1].tolist() == before


def test_a_generator_without_a_seed_has_no_state():
    def body(self, n):
        self.free_old.get_state()

    with pytest.raises(CapabilityError, match="Make it with a seed"):
        run(body, None)


def test_a_generator_that_gets_a_seed_later_is_noticed():
    net = Network()
    kind = type("Draws", (Prepared,), {"iteration": lambda self, n: free(self, n)})
    NeuronGroup(net, SIZE, {1: kind(), 2: Recorder("v")}, "g")
    net.initialize()
    net.simulate_iterations(5)
    net["Draws", 0].free, net["Draws", 0].free_old = np.random.default_rng(1), np.random.RandomState(2)
    with pytest.warns(NotCompiled, match="free is a generator"):
        net.simulate_iterations(5)
    first, second = np.random.default_rng(1), np.random.RandomState(2)
    expected = [first.normal(size=SIZE) + second.rand(SIZE) for _ in range(5)]
    assert np.array_equal(net["v", 0][5:], expected)


class Drive(Behavior):
    def initialize(self, n):
        n.drive = n.vector()
        self.rng = np.random.default_rng(self.parameter("seed"))

    def iteration(self, n):
        n.drive = self.rng.normal(size=n.size)


class Jump(Behavior):
    def initialize(self, n):
        n.jump = n.vector()
        self.rng = np.random.default_rng(self.parameter("seed"))

    def iteration(self, n):
        n.jump = self.rng.random(n.size)


class Borrows(Jump):
    def iteration(self, n):
        n.jump = n.Drive.rng.random(n.size)


def draw(behavior, size):
    return behavior.rng.random(size)


class BorrowsByFunction(Jump):
    def iteration(self, n):
        n.jump = draw(n.Drive, n.size)


class Adds(Behavior):
    def initialize(self, n):
        n.v = n.vector()

    def iteration(self, n):
        n.v = 0.9 * n.v + n.drive * n.jump


@pytest.mark.parametrize("second", [Jump, Borrows, BorrowsByFunction])
@pytest.mark.filterwarnings("ignore::recurra.errors.NotCompiled")
def test_each_has_a_generator_of_its_own_or_both_share_one(second):
    """Then the rest is compiled; of one that is shared, only NumPy keeps the order in which it is drawn from."""
    rows = []
    for compiled in (None, False):
        net = Network()
        NeuronGroup(net, SIZE, {1: Drive(seed=1), 2: second(seed=2), 3: Adds(), 4: Recorder("v")}, "g")
        net.initialize()
        net.simulate_iterations(60, compile=compiled)
        rows.append(net["v", 0])
        assert compiled is False or ("g/Adds: compiled" in net.explain()) is (second is Jump)
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-12)
