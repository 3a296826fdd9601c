"""Memory that attributes share is shared whichever behaviors run in Python: what is not certain runs in NumPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from corpus import holdings, run_in_numpy, same
from recurra import Behavior, Network, NeuronGroup, Recorder
from recurra.errors import NotCompiled


class Shared(Behavior):
    """Make arrays, some of which show the memory of others."""

    def initialize(self, n):
        n.v, n.x, n.rows = n.vector("ones"), n.vector("ones"), np.ones((2, n.size))
        n.part, n.whole, n.first, n.k = n.v[1:3], n.v, n.rows[0], 0.0


class Log(Behavior):
    """Cannot be compiled, because of what it writes into its list."""

    def initialize(self, n):
        self.log = []

    def iteration(self, n):
        n.v += 1
        self.log.append(f"{n.v[0]:.2f}")


class Look(Log):
    def iteration(self, n):
        n.k = float(f"{n.v[0]:.3f}")
        self.log.append(f"{n.part[0]:.2f}")


class Watch(Log):
    def iteration(self, n):
        self.log.append(f"{n.part[0]:.4f} {n.whole[1]:.4f}")


class Rows(Log):
    def iteration(self, n):
        n.rows[:] = n.rows * 0.9 + 1
        self.log.append(f"{n.rows[0, 0]:.2f}")


class Part(Behavior):
    def iteration(self, n):
        n.part *= 0.9
        n.x += n.part.sum()


class Whole(Behavior):
    def iteration(self, n):
        n.whole *= 0.5
        n.v[0] += n.k * 0.1


class First(Behavior):
    def iteration(self, n):
        n.first *= 0.7
        n.x = n.x + n.rows[0]


class Late(Behavior):
    """Make an alias that nobody sees before a later step."""

    def initialize(self, n):
        self.log, n.whole, n.part, n.first = [], n.v.copy(), n.v[1:3].copy(), n.v.copy()

    def iteration(self, n):
        n.v += 1
        n.x *= 0.5
        self.log.append(f"{n.v[0]}")
        if n.iteration == 20:
            n.x = n.v


class Later(Late):
    def iteration(self, n):
        n.v += 1
        n.x *= 0.5
        self.log.append(f"{n.v[0]}")
        if n.iteration >= 20:
            n.x = n.v


class Feed(Behavior):
    def iteration(self, n):
        n.v = n.v + 0.01 * n.x
        n.x = n.x + 0.001


class Remember(Log):
    """Hold on to an array that others change in place."""

    def iteration(self, n):
        if n.iteration == 10:
            self.held = n.v
        n.k = float(f"{n.k + 0.1:.3f}")

    def initialize(self, n):
        self.held = np.zeros(n.size)


class Grow(Behavior):
    def iteration(self, n):
        n.v *= 1.0 + 0.01 * n.k


class UseHeld(Behavior):
    def iteration(self, n):
        n.x = n.x + n.behavior[1].held


class Table(Log):
    """Give a row of a table, which nobody else knows."""

    def initialize(self, n):
        self.log, self.table = [], np.array([[1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 1.0, 2.0]])

    def iteration(self, n):
        n.x = self.table[len(self.log) % 2]
        self.log.append(f"{n.v[0]:.2f}")
        n.v = n.v + n.x


class Double(Behavior):
    def iteration(self, n):
        n.x = n.x * 2


class Single(Behavior):
    """Make and undo an alias, so that it must run in Python, ahead of what records it."""

    def initialize(self, n):
        n.whole = n.v

    def iteration(self, n):
        n.v += 1
        n.whole *= 0.5
        if n.iteration == 10:
            n.v = n.v.copy()


class Again(Single):
    def iteration(self, n):
        n.v += 1
        n.whole *= 0.5
        if n.iteration % 7 == 0:
            n.whole = n.v
        if n.iteration % 7 == 3:
            n.v = n.v.copy()


class Listed(Behavior):
    def initialize(self, n):
        self.arrays = [n.v, n.v * 2]

    def iteration(self, n):
        self.arrays[0] += 0.5
        n.x = self.arrays[1]
        self.arrays.reverse()
        if n.iteration == 20:
            self.arrays[0] = self.arrays[0] * 2


class Raises(Behavior):
    """Go past a guard, so that NumPy must go on where others have run ahead."""

    def iteration(self, n):
        n.x = n.x + n.whole[1]
        if n.iteration == 15:
            raise_it = n.x[int(n.x[0] * 0)] > 1e9
            n.k = n.k + (1.0 if raise_it else 2.0)
        n.k = 1.0 / n.k if n.k > 1.5 else n.k + 0.01


def recorder():
    return Recorder(["v"], tag="early")


class Keep(Behavior):
    """Keep arrays that others change in place."""

    def initialize(self, n):
        self.kept, self.log = [], []

    def iteration(self, n):
        self.kept.append(n.whole)


class Other(Log):
    """Take the array of another group, now and then."""

    def iteration(self, n):
        n.v += 1
        self.log.append(f"{n.v[0]:.2f}")
        if n.iteration % 11 == 10:
            n.v = n.network["d", 0].v


class Slow(Behavior):
    def initialize(self, n):
        n.v = n.vector("ones")

    def iteration(self, n):
        n.v *= 0.5


def build(*behaviors):
    net = Network(seed=4)
    held = {i + 1.0: one() for i, one in enumerate(behaviors)} | {9: Recorder(["v", "x", "whole", "part"])}
    NeuronGroup(net=net, size=4, tag="c", behavior={0: Shared(), **held})
    if Other in behaviors:
        NeuronGroup(net=net, size=4, tag="d", behavior={8: Slow(), 9: Recorder(["v"], tag="other")})
    net.initialize()
    return net


CASES = {
    "a view": (Log, Part),
    "a whole alias": (Log, Whole),
    "rows": (Rows, First),
    "only looked at, gives something": (Look, Whole, Part),
    "only looked at": (Watch, Whole, Part),
    "late": (Late,),
    "late, recorded before": (recorder, Late),
    "kept in a list": (Keep, Whole),
    "of another group": (Other, Double),
    "from a step on": (Later, Feed),
    "held by the behavior": (Remember, Grow, UseHeld),
    "a row of a table": (Table, Double),
    "run ahead": (Single,),
    "run ahead, again and again": (Again,),
    "run ahead, in a list": (Listed,),
    "run ahead, then NumPy": (Again, Raises),
}


@pytest.mark.parametrize("name", CASES)
def test_shared_memory_stays_shared(name):
    fast, slow = build(*CASES[name]), build(*CASES[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotCompiled)
        for steps in (14, 9, 7):
            fast.simulate_iterations(steps)
    run_in_numpy(slow, 30)
    got, expected = holdings(fast), holdings(slow)
    assert list(got) == list(expected)
    for path in got:
        same(got[path], expected[path], path)
    arrays, others = (vars(net["c", 0]) for net in (fast, slow))
    for one in ("whole", "part", "x", "first"):
        for other in ("v", "rows"):
            now = np.shares_memory(arrays[one], arrays[other])
            assert now == np.shares_memory(others[one], others[other]), (one, other)


class Widens(Behavior):
    """Give a number at first, and an array from some step on."""

    def initialize(self, n):
        self.log, n.k = [], 0.0

    def iteration(self, n):
        self.log.append(n.iteration)
        n.k = n.v * 0.5 if n.iteration > 16 else 0.25


class Follow(Behavior):
    def iteration(self, n):
        n.x = n.x + n.k


class Minds(Behavior):
    """Go past a guard before the other changes its form."""

    def iteration(self, n):
        n.x = n.x + n.k
        try:
            n.rows[0, int(n.x[0])] = 1.0
        except IndexError:
            n.rows[0, 0] = 2.0


@pytest.mark.parametrize("follows", [Follow, Minds])
@pytest.mark.parametrize("steps", [20, 40])
def test_what_is_run_ahead_may_change_its_form(follows, steps):
    fast, slow = build(Widens, follows), build(Widens, follows)
    with pytest.warns(NotCompiled) as told:
        fast.simulate_iterations(steps)
    if follows is Follow:
        assert "test_groups_memory.py" in str(told[-1].message)
        assert "c/k changes from float64[] to float64[4] in step 17" in str(told[-1].message)
    run_in_numpy(slow, steps)
    got, expected = holdings(fast), holdings(slow)
    for path in got:
        same(got[path], expected[path], path)
