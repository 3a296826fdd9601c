"""Later steps are compared with NumPy as the first three are: without any trace of it, and what differs is an error."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder
from recurra.errors import CapabilityError
from recurra.groups import agreement
from recurra.groups.agreement import Sampled, Shadow, differing


class Fire(Behavior):
    def initialize(self, n):
        n.v = n.vector("uniform")
        self.items, self.count = [0.0, 1.0], 0

    def iteration(self, n):
        n.v += np.random.uniform(0, 0.2, n.size)  # noqa: NPY002
        n.spike = n.v > 1.0
        n.v[n.spike] = 0.0
        self.items[0] += 0.1
        self.count += 1


class Drive(Behavior):
    """Depends on something that no compiler can see."""

    def initialize(self, n):
        n.v = n.vector()

    def iteration(self, n):
        n.v = n.v * 0 + 100 * sys.getswitchinterval()


def make(kind: type[Behavior]) -> tuple[Network, NeuronGroup]:
    net = Network(seed=2)
    cells = NeuronGroup(net, 5, tag="c", behavior={1: kind(), 8: Recorder("v", tag="rec")})
    if kind is Fire:
        cells.add_behavior(9, EventRecorder("spike", tag="events"))
    net.initialize()
    return net, cells


def often(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every step be compared, and return the list of those that were."""
    compared: list[int] = []
    monkeypatch.setattr(agreement, "FIRST_BLOCK", 1)
    monkeypatch.setattr(Sampled, "is_due", lambda self: compared.append(1) or True)
    monkeypatch.setattr(Sampled, "room", lambda self: 1)
    return compared


def test_what_is_compared_changes_nothing(monkeypatch):
    plain, cells = make(Fire)
    plain.simulate_iterations(30, compile=True)
    compared = often(monkeypatch)
    net, others = make(Fire)
    net.simulate_iterations(10, compile=True)
    array = others.v
    net.simulate_iterations(20, compile=True)
    assert len(compared) == 26 and others.v is array
    assert np.array_equal(cells.v, others.v) and np.array_equal(plain["v", 0], net["v", 0])
    assert np.array_equal(plain["spike", 0], net["spike", 0])
    behavior = others.behavior[1]
    assert (net.iteration, behavior.count) == (30, 30) and behavior.items[0] == pytest.approx(3.0)


def test_what_escapes_the_compiler_is_an_error_of_the_step_that_shows_it(monkeypatch):
    before = sys.getswitchinterval()
    net, cells = make(Drive)
    try:
        sys.setswitchinterval(0.01)
        net.simulate_iterations(10, compile=True)
        assert np.allclose(cells.v, 1.0)
        often(monkeypatch)
        sys.setswitchinterval(0.02)
        with pytest.raises(CapabilityError, match=r"step 11, compiled, makes something else of 'c/v'"):
            net.simulate_iterations(10)
    finally:
        sys.setswitchinterval(before)


def test_an_exact_tie_is_no_difference():
    class Space:
        def __init__(self):
            self.v, self.spike = np.array([1.0, 0.5]), np.array([False, False])

    space = Space()

    def step():
        space.spike = space.v >= 1.0

    shadow = Shadow({"s": space}, ["s/v", "s/spike"])
    # The first stands at the threshold, where rounding decides; the second does not.
    below = {"s/v": np.array([1.0, 0.5]), "s/spike": np.array([False, False])}
    assert differing(below, shadow, step, 8) == ""
    space.v[0] = 1.1
    assert differing(below | {"s/v": space.v}, Shadow({"s": space}, ["s/v", "s/spike"]), step, 8) == "s/spike"
    assert space.v.tolist() == [1.1, 0.5] and space.spike.tolist() == [False, False]


def test_comparing_stays_within_its_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(agreement.time, "perf_counter", lambda: now[0])
    sampled = Sampled()
    now[0] = 0.5  # compiling
    sampled.begin()
    sampled.cost, spent, done, places = 0.004, 0.0, 0, []
    while done < 2_000_000:
        if sampled.is_due():
            places.append(done)
            with sampled.comparing():
                now[0] += 0.004
            spent += 0.004
        block = sampled.room()
        now[0] += block * 2e-6
        sampled.ran(block, block * 2e-6)
        done += block
    assert len(places) > 5 and spent <= 0.02 * now[0]
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(places))
