"""Behaviors that cannot be compiled and stand in the middle: they alone run in Python, within each compiled step."""

from __future__ import annotations

import linecache
import re
import sys
import warnings

import numpy as np
import pytest

from corpus import holdings, one_group, run_in_numpy, same
from recurra import Behavior
from recurra.errors import NotCompiled


class Leak(Behavior):
    def initialize(self, n):
        n.v, n.w = n.vector("uniform"), n.vector("uniform")
        n.spike = n.v > 0.5

    def iteration(self, n):
        n.v = n.v * 0.9 + n.vector("uniform") * 0.2 + 0.05 * n.w
        n.spike = n.v > 0.7


class Strange(Behavior):
    """Do what no compiler understands: a loop on data, a list that grows."""

    def initialize(self, n):
        self.history, self.most = [], self.parameter("most", 1e9)

    def iteration(self, n):
        while n.v.sum() > 4.0:
            n.v *= 0.9
        self.history.append(float(n.v.sum()))
        n.w += np.random.rand(n.size) * 0.1  # noqa: NPY002
        if len(self.history) > self.most:
            raise OverflowError("history is full")


class Reset(Behavior):
    def iteration(self, n):
        n.v = np.where(n.spike, 0.0, n.v)
        n.w *= 0.5


def build(**options):
    return one_group(Leak(), Strange(**options), Reset(), record=("v", "w"), events="spike")


def quietly(net, steps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotCompiled)
        net.simulate_iterations(steps)


def test_one_behavior_runs_in_python_and_the_rest_is_compiled():
    fast, slow = build(), build()
    why = r"cells/Strange runs in Python, within each step: .*`while n.v.sum\(\) > 4.0`"
    with pytest.warns(NotCompiled, match=why):
        fast.simulate_iterations(20)
    quietly(fast, 10)
    run_in_numpy(slow, 30)
    got, expected = holdings(fast), holdings(slow)
    assert list(got) == list(expected)
    for path in got:
        same(got[path], expected[path], path)
    assert len(fast["cells", 0].behavior[2].history) == 30
    said = fast.explain()
    assert "1 cells/Leak: compiled" in said and "3 cells/Reset: compiled" in said
    assert "2 cells/Strange: called (runs in Python, within each step)" in said


def test_what_it_raises_is_raised_in_its_step():
    fast, slow = build(most=17), build(most=17)
    with pytest.raises(OverflowError, match="history is full"):
        quietly(fast, 40)
    run_in_numpy(slow, 17)
    assert len(fast["cells", 0].behavior[2].history) == 18
    assert fast.iteration == 18
    assert np.allclose(fast["v", 0], slow["v", 0])


class Limit(Behavior):
    def iteration(self, n):
        if n.iteration > 12:
            raise StopIteration("enough")


def test_it_does_each_step_once_when_something_else_ends_the_run():
    net = one_group(Leak(), Strange(), Reset(), Limit(), record=("v",))
    slow = one_group(Leak(), Strange(), Reset(), record=("v",))
    with pytest.raises(StopIteration):
        quietly(net, 40)
    run_in_numpy(slow, 13)
    assert net["cells", 0].behavior[2].history == pytest.approx(slow["cells", 0].behavior[2].history)
    assert np.allclose(net["v", 0], slow["v", 0][:12])


class Switch(Behavior):
    def iteration(self, n):
        n.w *= 0.9
        if n.iteration == 20:
            n.network.deactivate_behaviors("Leak")


class Add(Behavior):
    def iteration(self, n):
        if n.iteration == 20:
            n.w = n.w + 1.0
            n.add_behavior(50, Reset())


@pytest.mark.parametrize(("kind", "construct"), [(Switch, "deactivate_behaviors"), (Add, "add_behavior")])
def test_who_changes_the_schedule_is_named_with_its_own_line(kind, construct):
    net = one_group(Leak(), kind(), Reset(), record=("v", "w"))
    with pytest.warns(NotCompiled, match=f"cells/{kind.__name__} at .*it changes which behaviors") as told:
        net.simulate_iterations(30)
    name, line = re.search(r"at (\S+):(\d+): it changes", str(told[0].message)).groups()
    assert construct in linecache.getline(name, int(line))


class Hidden(Behavior):
    """Depend on something that no compiler can see."""

    def iteration(self, n):
        other = 0 * n.w.sum()
        n.w = n.w + sys.getswitchinterval()
        n.v = n.v + other


def test_what_differs_is_told_with_who_stores_it_and_where():
    net, before = one_group(Leak(), Hidden(), record=("v", "w")), sys.getswitchinterval()
    net.simulate_iterations(2)
    try:
        sys.setswitchinterval(2 * before)
        with pytest.warns(NotCompiled) as told:
            net.simulate_iterations(5)
    finally:
        sys.setswitchinterval(before)
    said = str(told[0].message)
    found = re.search(r"cells/Hidden at (\S+):(\d+): compiled, 'cells/w' is not what NumPy makes of it", said)
    assert found, said
    assert "n.w = n.w + sys" in linecache.getline(found[1], int(found[2]))


class Text(Behavior):
    """Need the potential as a text, so that nothing of it is computed by compiled code."""

    def iteration(self, n):
        n.label = f"{n.v[0]:.3f}"



HOLDS = {
    "flat": lambda n: n.v.flat.__setitem__(3, 0.85),
    "data": lambda n: memoryview(n.v.data).__setitem__(3, 0.85),
    "flags": lambda n: setattr(n.v.flags, "writeable", False),
    "base": lambda n: n.v[:].base.__setitem__(3, 0.85),
}


@pytest.mark.parametrize("hold", HOLDS)
def test_a_branch_that_is_only_tried_has_no_hold_on_the_memory_of_an_array(hold):
    class Held(Behavior):
        def iteration(self, n):
            if (n.w > 1e6).all():
                HOLDS[hold](n)

    fast, slow = (one_group(Still(), Text(), Held(), record=("v",)) for _ in range(2))
    quietly(fast, 6)
    run_in_numpy(slow, 6)
    assert fast["cells"][0].v.flags.writeable
    for path, value in holdings(slow).items():
        same(holdings(fast)[path], value, path)


class Still(Behavior):
    def initialize(self, n):
        n.v, n.w, n.label = n.vector("uniform"), n.vector("uniform"), ""

    def iteration(self, n):
        n.w *= 0.9
