"""What was compiled is made again when anything changes that the code of behaviors reads, be it beside the objects."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from recurra import Behavior, Network, NeuronGroup, Recorder
from recurra.errors import NotCompiled

GAIN = 1.0
TABLE = {"gain": 1.0}
ARRAY = np.array([1.0])
MODULE = types.ModuleType("gains_of_a_test")
MODULE.gain = 1.0  # type: ignore[attr-defined]
sys.modules["gains_of_a_test"] = MODULE


NESTED = (1.0, [1.0])
SPACE = types.SimpleNamespace(gain=1.0, array=np.array([1.0]))


class Settings(dict):
    __getattr__ = dict.__getitem__


SETTINGS = None  # made by the test, since whoever collects doctests asks every object of a module for `__wrapped__`


def helper(x):
    return 1.0 * x


def other(x):
    return 1.0 * x


def by_default(x, gain=1.0, more=(1.0,)):
    return gain * more[0] * x


class Holder:
    gain = 1.0


class Helper:
    def __init__(self):
        self.gain = 1.0

    def of(self, x):
        return self.gain * x

    def per(self, x):
        return x


OBJECT = Helper()


def set_global(name, value):
    return lambda kind, behavior: globals().__setitem__(name, value)


def doubled(self, n):
    n.x += 2.0


# What the body adds to x in a step, 1 at first; and what makes it 2.
CHANGES = {
    "a global": (lambda self, n: GAIN, set_global("GAIN", 2.0)),
    "an entry of a global dict": (lambda self, n: TABLE["gain"], lambda kind, behavior: TABLE.update(gain=2.0)),
    "an entry of a global array": (lambda self, n: ARRAY[0], lambda kind, behavior: ARRAY.__setitem__(0, 2.0)),
    "a global function": (lambda self, n: helper(1.0), set_global("helper", lambda x: 2.0 * x)),
    "the code of a function": (
        lambda self, n: other(1.0), lambda kind, b: setattr(other, "__code__", (lambda x: 2.0 * x).__code__)
    ),
    "a default": (lambda self, n: by_default(1.0), lambda kind, b: setattr(by_default, "__defaults__", (2.0, (1.0,)))),
    "a number of a module": (lambda self, n: MODULE.gain, lambda kind, behavior: setattr(MODULE, "gain", 2.0)),
    "data of the class": (lambda self, n: type(self).gain, lambda kind, behavior: setattr(kind, "gain", 2.0)),
    "data of the class, through the object": (lambda self, n: self.gain, lambda kind, b: setattr(kind, "gain", 2.0)),
    "data of another class": (lambda self, n: Holder.gain, lambda kind, behavior: setattr(Holder, "gain", 2.0)),
    "a method": (lambda self, n: 1.0, lambda kind, behavior: setattr(kind, "iteration", doubled)),
    "a method of the object": (
        lambda self, n: 1.0, lambda kind, behavior: setattr(behavior, "iteration", lambda n: doubled(behavior, n))
    ),
    "a text": (lambda self, n: 1.0 if self.mode == "one" else 2.0, lambda kind, b: setattr(b, "mode", "two")),
    "a whole number": (lambda self, n: float(self.whole), lambda kind, behavior: setattr(behavior, "whole", 2)),
    "a number": (lambda self, n: self.number, lambda kind, behavior: setattr(behavior, "number", 2.0)),
    "a helper object": (lambda self, n: self.helper.of(1.0), lambda kind, b: setattr(b.helper, "gain", 2.0)),
    "a list in a global tuple": (lambda self, n: NESTED[1][0], lambda kind, b: NESTED[1].__setitem__(0, 2.0)),
    "a namespace": (lambda self, n: SPACE.gain, lambda kind, b: setattr(SPACE, "gain", 2.0)),
    "an array in a namespace": (lambda self, n: SPACE.array[0], lambda kind, b: SPACE.array.__setitem__(0, 2.0)),
    "a global object": (lambda self, n: OBJECT.gain, lambda kind, b: setattr(OBJECT, "gain", 2.0)),
    "a method of a global object": (
        lambda self, n: OBJECT.per(1.0), lambda kind, b: setattr(Helper, "per", lambda self, x: 2.0 * x)
    ),
    "a kind of dict": (lambda self, n: SETTINGS.gain, lambda kind, b: SETTINGS.update(gain=2.0)),
    "a function of NumPy": (lambda self, n: self.function(1.0), lambda kind, b: setattr(b, "function", np.exp2)),
    "an attribute that was not there": (
        lambda self, n: self.more if hasattr(self, "more") else 1.0, lambda kind, b: setattr(b, "more", 2.0)
    ),
}  # fmt: skip


def make(amount):
    class Walk(Behavior):
        gain = 1.0

        def initialize(self, n):
            n.x = n.vector()
            self.mode, self.whole, self.number, self.helper = "one", 1, 1.0, Helper()
            self.function = np.square

        def iteration(self, n):
            n.x += amount(self, n)

    net = Network(dt=1.0, seed=1, dtype=np.float64)
    group = NeuronGroup(net=net, size=2, tag="g", behavior={1: Walk()})
    net.initialize()
    return net, group, Walk


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_between_two_runs_is_felt(case, monkeypatch):
    monkeypatch.setitem(globals(), "SETTINGS", Settings(gain=1.0))
    amount, change = CHANGES[case]
    net, group, kind = make(amount)
    net.simulate_iterations(8, compile=True)
    assert group.x.tolist() == [8.0, 8.0]
    change(kind, group.behavior[1])
    net.simulate_iterations(8, compile=True)
    assert group.x.tolist() == [24.0, 24.0]


class Counter:
    count = 0.0


COUNTER = Counter()


def test_an_object_that_counts_beside_the_model_is_not_taken_for_a_constant():
    def amount(self, n):
        COUNTER.count += 1.0
        return COUNTER.count

    net, group, _ = make(amount)
    net.simulate_iterations(8)
    assert group.x.tolist() == [36.0, 36.0] and COUNTER.count == 8.0


def test_what_the_code_does_not_read_makes_nothing_anew():
    net, group, _ = make(lambda self, n: 1.0)
    net.simulate_iterations(8)
    known = net.runner._compiled
    group.behavior[1].notes, group.colour = ["x"], "red"
    net.simulate_iterations(8)
    assert net.runner._compiled is known and group.x.tolist() == [16.0, 16.0]


k, v = 1.0, np.zeros(3)  # what a notebook calls the recordings of the last run


class Leaks(Behavior):
    def initialize(self, n):
        n.v = n.vector(1.0)

    def iteration(self, n):
        k = 0.5
        n.v *= k


def test_a_global_that_shares_its_name_with_an_attribute_is_not_read(monkeypatch):
    net = Network()
    cells = NeuronGroup(net, 3, tag="c", behavior={1: Leaks(), 2: Recorder("v")})
    net.initialize()
    net.simulate_iterations(5, progress=False)
    compiled = net.runner.compiled
    monkeypatch.setitem(globals(), "v", net["v", 0])
    monkeypatch.setitem(globals(), "k", 0.0)
    net.simulate_iterations(3, progress=False)
    assert net.runner.compiled is compiled
    assert np.array_equal(cells.v, np.full(3, 0.5**8))


class Counting(Behavior):
    """Change something of its class, so that it is never what it was."""

    count = 0

    def initialize(self, n):
        n.v = n.vector("uniform")

    def iteration(self, n):
        Counting.count += 1
        n.v = n.v * 0.9 + Counting.count


def test_explain_says_how_it_ran_though_something_has_changed_since():
    net = Network(seed=1)
    NeuronGroup(net, 3, tag="g", behavior={1: Counting(), 9: Recorder("v")})
    net.initialize()
    with pytest.warns(NotCompiled) as told:
        for steps in (5, 10, 15):
            net.simulate_iterations(steps)
    assert len(told) == 1
    said = net.explain()
    assert "not compiled yet" not in said
    assert "1 g/Counting: hoisted (runs in Python, ahead of each block of steps), because of" in said
    assert "9 g/Recorder: compiled" in said and "has changed since; the next run compiles anew" in said


BARE = """
GAIN = 0.9
def iteration(self, n):
    n.v = n.v * GAIN + helper(n)
def helper(n):
    return 0.1 * n.x
class Made(Behavior):
    share = 2.0
    def initialize(self, n):
        n.v, n.x = n.vector("uniform"), n.vector("uniform")
    def iteration(self, n):
        n.v = n.v * GAIN + helper(n) * self.share
"""


def test_what_exec_makes_in_a_bare_namespace_is_the_users():
    space = {"Behavior": Behavior}
    exec(BARE, space)  # noqa: S102

    class Taken(space["Made"]):
        iteration = space["iteration"]

    for kind in (space["Made"], Taken):
        assert kind.iteration.__module__ is None
        nets = []
        for _ in range(2):
            net = Network(seed=1)
            NeuronGroup(net, 3, tag="g", behavior={1: kind(), 9: Recorder("v")})
            net.initialize()
            nets.append(net)
        for gain, share in ((0.9, 2.0), (0.5, 1.0), (0.2, 0.1)):
            space["GAIN"], space["Made"].share = gain, share
            nets[0].simulate_iterations(8, compile=True)
            nets[1].simulate_iterations(8, compile=False)
        assert np.allclose(nets[0]["v", 0], nets[1]["v", 0], rtol=1e-12)
