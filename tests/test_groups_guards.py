"""What NumPy or Python would refuse or do otherwise in some step is left to them by compiled steps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from corpus import one_group, run_in_numpy
from recurra import Behavior
from recurra.errors import NotCompiled


class Play(Behavior):
    def initialize(self, n):
        n.v, n.input = n.vector(), np.arange(20.0)

    def iteration(self, n):
        n.v = n.v * 0 + n.input[n.iteration - 1]


def test_an_input_that_is_too_short_is_an_error_in_its_step():
    net = one_group(Play(), size=2)
    with pytest.raises(IndexError, match="index 20 is out of bounds") as caught:
        net.simulate_iterations(30)
    assert "test_groups_guards" in str(caught.traceback[-1].path)
    assert np.array_equal(net["v", 0][:, 0], np.arange(20.0))
    with pytest.raises(IndexError):
        net.simulate_iterations(5)


class Limit(Behavior):
    def initialize(self, n):
        n.v = n.vector(1.0)

    def iteration(self, n):
        n.v *= 1.5
        if n.v.max() > 100:
            raise ValueError(f"v has grown to {n.v.max():.2f} in step {n.iteration}")


def test_a_raise_on_numbers_of_the_model_is_raised_in_its_step():
    net = one_group(Limit(), size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotCompiled)
        with pytest.raises(ValueError, match=rf"v has grown to {1.5**12:.2f} in step 12"):
            net.simulate_iterations(50)
    assert len(net["v", 0]) == 11
    assert "1 cells/Limit: compiled" in net.explain()


class Grow(Behavior):
    def initialize(self, n):
        n.v, self.k = n.vector(), 1

    def iteration(self, n):
        self.k *= 7
        n.v = n.v * 0 + self.k % 11


def test_whole_numbers_of_python_do_not_overflow():
    net = one_group(Grow(), size=1)
    with pytest.warns(NotCompiled, match=r"test_groups_guards.py:\d+: `self.k \*= 7`: a whole number of Python grows"):
        net.simulate_iterations(40)
    assert net["v", 0][:, 0].tolist() == [7**t % 11 for t in range(1, 41)]
    assert net["cells", 0].behavior[1].k == 7**40
    net.simulate_iterations(3)
    assert net["v", 0][40:, 0].tolist() == [7**t % 11 for t in range(41, 44)]


class Congruential(Behavior):
    """A generator of random numbers as people write it: its products stay within 64 bits."""

    def initialize(self, n):
        n.v, self.seed = n.vector(), 42

    def iteration(self, n):
        self.seed = (self.seed * 1103515245 + 12345) % 2**31
        n.v = n.v * 0.5 + self.seed / 2**31


def test_products_that_fit_stay_compiled():
    net = one_group(Congruential(), size=1)
    net.simulate_iterations(200, compile=True)
    seed = 42
    for _ in range(200):
        seed = (seed * 1103515245 + 12345) % 2**31
    assert net["cells", 0].behavior[1].seed == seed


class Divide(Behavior):
    def initialize(self, n):
        n.v, self.left = n.vector(), 15

    def iteration(self, n):
        self.left -= 1
        n.v = n.v + 1 / self.left


def test_a_division_by_zero_of_python_is_an_error():
    net = one_group(Divide(), size=1)
    with pytest.raises(ZeroDivisionError):
        net.simulate_iterations(30)
    assert len(net["v", 0]) == 14


def test_recorders_with_gaps_have_the_same_rows_up_to_the_error():
    class Gaps(Play):
        pass

    fast, slow = (one_group(Gaps(), size=1, record=()) for _ in range(2))
    from recurra import Recorder

    for net in (fast, slow):
        net["cells", 0].add_behavior(9, Recorder("v", gapwidth=3, tag="rec"), initialize=True)
    with pytest.raises(IndexError):
        fast.simulate_iterations(30)
    run_in_numpy(slow, 20)
    assert np.array_equal(fast["v", 0], slow["v", 0])
