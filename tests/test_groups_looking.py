"""What behaviors may look at: variables of nodes, which they cannot write, and recordings, which are up to date."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.errors import CapabilityError, NotCompiled

STEPS = 30


class Cells(Behavior):
    def initialize(self, n):
        n.v, n.k = n.vector("ones"), n.vector()
        n.spike = n.v > 2

    def iteration(self, n):
        n.v *= 1.1
        n.spike = n.v > 2


def of_body(body, name="Body"):
    """Make a behavior whose iteration is a function."""
    return type(name, (Behavior,), {"iteration": lambda self, n: body(n)})()


# Nodes


def with_node(body):
    net = Network(dt=0.5)
    values = {"v": "output", "m": "variable", "u": 1.0, "tau": 10.0}
    net.add_diffeq_node("n", ["v' = -v/tau + u", "m = 2*v + t"], variables=values, N=3)
    cells = NeuronGroup(net=net, size=1, tag="c", behavior={1: Cells()})
    SynapseGroup(net=net, src=cells, dst="n", tag="S", behavior={2: of_body(body)})
    net.initialize()
    return net


def late(write):
    """Write only where the state says so, in the eighth step."""

    def body(s):
        if s.src.v[0] > 2:
            write(s.dst)

    return body


def assign(n):
    n.v = np.ones(3)


def add(n):
    n.v += 1.0


def entry(n):
    n.m[1:][0] = 3.0


WRITES = [
    assign, add, entry, lambda n: np.add.at(n.v, [0], 1.0), lambda n: np.add(n.v, 1.0, out=n.v),
    lambda n: n.v.fill(2.0), lambda n: np.copyto(n.m, 1.0), lambda n: setattr(n, "m", 1.0),
    lambda n: setattr(n, "tau", 5.0),
]  # fmt: skip


@pytest.mark.parametrize("compiled", [None, False])
@pytest.mark.parametrize("write", WRITES)
def test_what_equations_compute_cannot_be_written(write, compiled):
    net = with_node(lambda s: write(s.dst))
    with pytest.raises((CapabilityError, ValueError)) as caught:
        net.simulate_iterations(3, compile=compiled)
    said = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert "n/op/" in said and ("input" in said or "set_var" in said) and "behavior 2: Body of 'S'" in said


@pytest.mark.parametrize("write", [assign, add, WRITES[3]])
@pytest.mark.filterwarnings("ignore::recurra.errors.NotCompiled")
def test_a_late_write_is_told_in_its_step(write):
    stood = []
    for compiled in (None, False):
        net = with_node(late(write))
        with pytest.raises((CapabilityError, ValueError)):
            net.simulate_iterations(STEPS, compile=compiled)
        stood.append(net.iteration)
    assert stood == [8, 8]


def test_after_a_run_a_node_shows_what_it_has_become():
    def look(s):
        s.seen = s.dst.v + 0.0

    shown = []
    for compiled in (None, False):
        net, rows = with_node(look), []
        for steps in (1, 20, 1, 7):
            net.simulate_iterations(steps, compile=compiled)
            group = net["S", 0].dst
            assert np.array_equal(group.v, net.get_var("n/v")) and np.array_equal(group.v, net["S", 0].seen)
            rows.append([group.v.copy(), group.m.copy()])
        shown.append(rows)
    np.testing.assert_allclose(shown[0], shown[1], rtol=1e-12)
    v = net.get_var("n/v")
    np.testing.assert_allclose(net["S", 0].dst.m, 2 * v + 29 * 0.5)


# Recordings


def with_recorders(body):
    net = Network()
    recorders = {2: Recorder("v", tag="rec"), 3: EventRecorder("spike"), 5: Recorder("k")}
    NeuronGroup(net, 3, {1: Cells(), 4: of_body(body, "Looks"), **recorders}, "cells")
    net.initialize()
    return net


def mean_of_last(n):
    if n.iteration % 10 == 0:
        n.k = n.network["v", 0][-10:].mean(axis=0)


def by_group(n):
    n.k = n["v", 0][-1] * 0.5


def by_recorder(n):
    n.k = n.k * 0 + len(n.rec.kept["v"])


def swapped(n):
    n.k = n.rec.swapped("v")[:, -1] * 2


def events(n):
    n.k = n.k * 0 + len(n["spike.t", 0])


def observer(n):
    if n.v[0] > 4:
        n.k = n.rec.observer().data["v"][-2]


def late_and_computed(n):
    n.k = n.v * 2
    if n.iteration > 20:
        n.k = n[chr(118), 0][-1]


def hidden_by_bare_except(n):
    try:
        n.k = n["v", 0][0] + n.iteration
    except:  # noqa: E722
        n.k = n.k * 0


BODIES = [mean_of_last, by_group, by_recorder, swapped, events, observer, late_and_computed, hidden_by_bare_except]


@pytest.mark.parametrize("body", BODIES)
def test_who_reads_a_recording_finds_what_numpy_finds(body):
    found = []
    for compiled in (None, False):
        net = with_recorders(body)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", NotCompiled)
            net.simulate_iterations(STEPS, compile=compiled)
        assert len(told) == (compiled is None)
        said = str(told[0].message) if told else f"{__file__} looks at what a recorder holds"
        assert __file__ in said and "looks at what a recorder holds" in said
        found.append((net["k", 0], net["v", 0], net["spike", 0]))
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a, b)


class Monitor(Behavior):
    """Write nothing that others read."""

    def initialize(self, n):
        self.seen = []

    def iteration(self, n):
        if n.iteration % 10 == 0:
            self.seen.append((n.iteration, len(n.network["v", 0]), float(n["v", 0][-1, 0])))


@pytest.mark.filterwarnings("ignore::recurra.errors.NotCompiled")
def test_a_sink_finds_recorded_what_was_recorded_before_its_turn():
    seen = []
    for compiled in (None, False):
        net = Network()
        NeuronGroup(net, 3, {1: Cells(), 2: Recorder("v"), 3: Monitor()})
        net.initialize()
        net.simulate_iterations(45, compile=compiled)
        seen.append(net["Monitor", 0].seen)
        assert "fed" in net.explain() or compiled is False
    assert [row[:2] for row in seen[0]] == [(k, k) for k in (10, 20, 30, 40)]
    np.testing.assert_allclose(seen[0], seen[1])


def test_a_source_that_looks_only_now_and_then_is_told():
    """Nothing says so before: the text is put together, and the step in which it is watched does not do it."""

    class Source(Behavior):
        def initialize(self, n):
            self.rng = np.random.default_rng(1)

        def iteration(self, n):
            n.drive = self.rng.random()
            if self.rng.random() > 2 - n.iteration / 20:
                n.drive = n[chr(118), 0][-1, 0]

    net = Network()
    driven = of_body(lambda n: setattr(n, "k", n.k + n.drive))
    NeuronGroup(net, 3, {0: Source(), 1: Cells(), 2: Recorder("v"), 3: driven})
    net.initialize()
    with pytest.raises(CapabilityError, match="compile=False"), pytest.warns(NotCompiled, match="runs in Python"):
        net.simulate_iterations(60)


def test_numbers_by_path_are_those_of_the_step():
    def look(s):
        s.seen = s.network.get_var("n/v") * 2

    rows = []
    for compiled in (None, False):
        net = with_node(look)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotCompiled)
            net.simulate_iterations(12, compile=compiled)
        rows.append(net["S", 0].seen)
        np.testing.assert_allclose(rows[-1], 2 * net.get_var("n/v"))
    assert np.array_equal(*rows)
