"""What depends on the number of the step alone is computed ahead: mathematics, lists, dicts, texts, rows of tables."""

from __future__ import annotations

import math
import operator
import warnings
from enum import Enum

import jax
import numpy as np
import pytest

from corpus import agree, one_group
from recurra import Behavior
from recurra.errors import NotCompiled

STIMULUS = np.random.RandomState(0).rand(100, 9)
PATTERNS = [np.eye(9)[0], np.eye(9)[1], np.ones(9)]
SCHEDULE = {10: 5.0, 15: 2}
TEXT = "the quick brown fox jumps over the lazy dog. "
ALPHABET = sorted(set(TEXT))


class Kind(Enum):
    REST = 0.5
    TASK = 2.0


def helper(k, amplitude=2.0):
    return amplitude * math.sin(0.3 * k) if k % 2 else 0.0


DRIVES = {
    "mathematics": lambda self, n: math.sin(0.1 * n.iteration) + math.exp(-n.iteration / 10),
    "own array": lambda self, n: float(self.wave[n.iteration]),
    "own list": lambda self, n: self.patterns[n.iteration % 3],
    "dict": lambda self, n: self.table[n.iteration % 3],
    "dict with a default": lambda self, n: SCHEDULE.get(n.iteration, 0),
    "key in a dict": lambda self, n: 3.0 if n.iteration in SCHEDULE else 1.0,
    "module's array": lambda self, n: STIMULUS[n.iteration - 1],
    "module's list": lambda self, n: PATTERNS[(n.iteration // 5) % len(PATTERNS)],
    "slice of a list": lambda self, n: sum(self.numbers[n.iteration % 3 : n.iteration % 3 + 2]),
    "slice of an array": lambda self, n: STIMULUS[n.iteration : n.iteration + 3].mean(axis=0),
    "text": lambda self, n: ALPHABET.index(TEXT[n.iteration % len(TEXT)]) * 0.1,
    "formatted": lambda self, n: self.named[f"p{n.iteration % 2}"],
    "percent": lambda self, n: self.named["p%d" % (n.iteration % 2)],  # noqa: UP031
    "function": lambda self, n: helper(n.iteration) + helper(n.iteration, amplitude=0.5),
    "method": lambda self, n: self.current(n.iteration),
    "round and int": lambda self, n: int(n.iteration / 7) + round(n.iteration * 0.37),
    "choice of objects": lambda self, n: (Kind.REST, Kind.TASK)[n.iteration // 10 % 2].value,
    "conversion": lambda self, n: np.float64(n.iteration) * 0.01,
    "minimum": lambda self, n: min(n.iteration, 10) * 0.1,
    "comparison of texts": lambda self, n: 1.0 if TEXT[n.iteration % 7] == " " else 0.25,
    "range": lambda self, n: float(n.iteration in range(5, 12)),
}


class Drive(Behavior):
    def initialize(self, n):
        n.v = n.vector("uniform")
        self.wave, self.table = np.linspace(0, 1, 100), {0: 1.0, 1: 5.0, 2: 9.0}
        self.patterns, self.numbers = [p.copy() for p in PATTERNS], [1.0, 2.0, 4.0, 8.0, 16.0]
        self.named = {"p0": n.vector(0.25), "p1": n.vector("uniform")}
        self.drive = DRIVES[self.parameter("name")]

    def current(self, k):
        return math.cos(k) * 0.5

    def iteration(self, n):
        n.v = 0.9 * n.v + self.drive(self, n)


class Reset(Behavior):
    """Write `v`, so that `Drive` cannot be taken out of the loop."""

    def iteration(self, n):
        n.v = np.where(n.v > 5, 0.0, n.v)


@pytest.mark.parametrize("name", DRIVES)
def test_expressions_of_the_step_are_compiled(name):
    net = agree(lambda: one_group(Drive(name=name), Reset()))
    assert "1 cells/Drive: compiled" in net.explain()


class Switch(Behavior):
    def initialize(self, n):
        n.v, n.pattern, self.other = n.vector(), n.vector(1.0), n.vector(3.0)

    def iteration(self, n):
        if n.iteration == 2 or n.iteration > 10:
            n.pattern = PATTERNS[n.iteration % 3]
        n.v = n.v * 0.9 + n.pattern


def test_a_list_is_read_only_in_the_steps_that_ask_for_it():
    agree(lambda: one_group(Switch()))

    class Early(Behavior):
        def initialize(self, n):
            n.v = n.vector()

        def iteration(self, n):
            if n.iteration <= 3:
                n.v += PATTERNS[n.iteration - 1]
            n.v *= 0.9

    agree(lambda: one_group(Early()))


class Beyond(Behavior):
    def initialize(self, n):
        n.v = n.vector()

    def iteration(self, n):
        n.v += PATTERNS[n.iteration // 10]


def test_the_end_of_a_list_is_an_error_in_its_step():
    net = one_group(Beyond())
    with pytest.raises(IndexError, match="list index out of range"):
        net.simulate_iterations(50)
    assert net.iteration == 30 and len(net["v", 0]) == 29


class InPlace(Behavior):
    def initialize(self, n):
        n.v, self.own = n.vector(), [np.zeros(9), np.ones(9)]

    def iteration(self, n):
        entry = self.own[n.iteration % 2]
        entry += 1
        n.v = n.v * 0.5 + entry


def test_a_list_that_is_changed_in_place_is_no_constant():
    net = one_group(InPlace())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotCompiled)
        net.simulate_iterations(20)
    v, own = np.zeros(9), [np.zeros(9), np.ones(9)]
    for k in range(1, 21):
        own[k % 2] += 1
        v = v * 0.5 + own[k % 2]
    assert np.array_equal(net["v", 0][-1], v)


class Ring(Behavior):
    """Delay by a list of arrays, which is written and read at places that go round."""

    def initialize(self, n):
        n.v, n.spike = n.vector("uniform"), n.vector() > 1
        self.buffer = [n.vector() for _ in range(4)]

    def iteration(self, n):
        late = self.buffer[n.iteration % 4]
        n.v = n.v * 0.9 + 0.1 * late
        self.buffer[n.iteration % 4] = n.v * 0.5


def test_a_list_as_a_ring_is_compiled():
    net = agree(lambda: one_group(Ring()))
    assert "1 cells/Ring: compiled" in net.explain()


def test_what_is_computed_ahead_is_there_in_every_program():
    net = one_group(Drive(name="mathematics"), Reset())
    net.simulate_iterations(4)
    program = net.program
    from recurra.engine import simulate

    with jax.enable_x64(True):
        result = simulate(program, 6.0, dt=1.0, record=["cells/v"], state=net.snapshot, progress=False)
    rows = np.array(net["v", 0])
    net.simulate_iterations(6)
    assert np.allclose(result["cells/v"][0], rows[-1])
    assert np.allclose(result["cells/v"][1:], net["v", 0][4:9])


def test_other_numbers_in_a_list_are_noticed():
    net = one_group(Drive(name="own list"), Reset())
    net.simulate_iterations(10)
    behavior = net["cells", 0].behavior[1]
    behavior.patterns[1][...] = 7.0
    before = np.array(net["v", 0][-1])
    net.simulate_iterations(5, compile=True)
    v = before
    for k in range(11, 16):
        v = 0.9 * v + behavior.patterns[k % 3]
        v = np.where(v > 5, 0.0, v)
    assert np.allclose(net["v", 0][-1], v)
    assert operator.eq(len(net["v", 0]), 15)
