"""Networks of behaviors: compiled, partly compiled and in NumPy, they do the same."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup, afferent
from recurra.errors import CapabilityError, NotCompiled


class Leak(Behavior):
    def initialize(self, neurons):
        neurons.voltage = neurons.vector("uniform")
        neurons.drive = neurons.vector()
        self.threshold = 0.6

    def iteration(self, neurons):
        neurons.spike = neurons.voltage > self.threshold
        neurons.voltage[neurons.spike] = 0.0
        neurons.voltage *= 0.9
        neurons.voltage += neurons.vector("uniform", density=0.3) * 0.5 + neurons.drive


class Input(Behavior):
    def initialize(self, neurons):
        for synapse in neurons.synapses(afferent, "GLU"):
            synapse.W = synapse.matrix("uniform", density=0.5)

    def iteration(self, neurons):
        for synapse in neurons.synapses(afferent, "GLU"):
            neurons.voltage += synapse.W.dot(synapse.src.spike) / synapse.src.size


class Letters(Behavior):
    """A source that no tracer can follow: text and an iterator."""

    def initialize(self, neurons):
        self.text = iter("abcdefgh" * 100)
        neurons.drive = neurons.vector()

    def iteration(self, neurons):
        letter = next(self.text)
        neurons.drive = np.full(neurons.size, 0.01 * "abcdefgh".index(letter), np.float32)


class Diary(Behavior):
    """A sink that no tracer can follow: a list that grows."""

    def initialize(self, neurons):
        self.pages = []

    def iteration(self, neurons):
        self.pages.append((neurons.iteration, f"{float(np.sum(neurons.voltage)):.5f}"))


class Stubborn(Behavior):
    """Python that depends on the state and changes it."""

    def initialize(self, neurons):
        self.seen = []

    def iteration(self, neurons):
        self.seen.append(float(neurons.voltage.max()))
        if len(self.seen) > 5 and self.seen[-1] > self.seen[-3]:
            neurons.voltage *= 0.5


def build(*extra: tuple[float, Behavior], seed: int = 3, gap: int = 0) -> Network:
    net = Network(seed=seed)
    behaviors = {1: Leak(), 2: Input(), **dict(extra)}
    behaviors |= {8: Recorder(["voltage", "np.mean(voltage)"], gapwidth=gap), 9: EventRecorder("spike")}
    cells = NeuronGroup(net=net, size=12, tag="cells", behavior=behaviors)
    SynapseGroup(net=net, src=cells, dst=cells, tag="GLU")
    net.initialize()
    return net


def recorded(net: Network) -> dict[str, np.ndarray]:
    return {name: net[name, 0] for name in ("voltage", "np.mean(voltage)", "spike")}


def eager(net: Network, steps: int) -> Network:
    """Run in NumPy, with the random numbers of compiled steps."""
    from recurra.groups.roster import Roster

    with net.runner._lent():
        for _ in range(steps):
            net.runner.step(Roster(net))
    return net


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    for name, value in first.items():
        assert value.shape == second[name].shape and value.dtype == second[name].dtype, name
        assert value.size == 0 or np.abs(value - second[name]).max() < 1e-6, name


def test_compiled_steps_are_those_of_numpy() -> None:
    net = build()
    net.simulate_iterations(60, compile=True)
    assert net.iteration == 60
    same(recorded(net), recorded(eager(build(), 60)))
    assert net.explain().count(": compiled") == 4
    assert len(net["spike", 0]) > 20


@pytest.mark.parametrize("pieces", [(60,), (1, 59), (5, 7, 48), (30, 30)])
def test_pieces_make_the_whole(pieces: tuple[int, ...]) -> None:
    whole, parts = build(), build()
    whole.simulate_iterations(60)
    for piece in pieces:
        parts.simulate_iterations(piece)
    for name, value in recorded(whole).items():
        assert np.array_equal(value, recorded(parts)[name])
    assert np.array_equal(whole.cells.voltage, parts.cells.voltage)


@pytest.mark.parametrize("gap", [2, 7, 60])
def test_gaps_record_the_same_rows(gap: int) -> None:
    fine, coarse = build(), build(gap=gap)
    fine.simulate_iterations(65)
    coarse.simulate_iterations(3)
    coarse.simulate_iterations(62)
    assert np.array_equal(coarse["voltage", 0], fine["voltage", 0][gap - 1 :: gap])
    assert np.array_equal(coarse["spike", 0], fine["spike", 0])


def test_a_source_is_hoisted_and_a_sink_is_fed() -> None:
    net = build((0.5, Letters()), (5, Diary()))
    with pytest.warns(NotCompiled, match=r"cells/Letters runs in Python, ahead.*test_groups_compiled.py:\d+"):
        net.simulate_iterations(60)
    reference = eager(build((0.5, Letters()), (5, Diary())), 60)
    same(recorded(net), recorded(reference))
    assert net.explain().count(": compiled") == 4
    assert "hoisted" in net.explain() and "fed" in net.explain()
    pages, expected = (n["Diary", 0].pages for n in (net, reference))
    assert [k for k, _ in pages] == list(range(1, 61))
    assert all(abs(float(a) - float(b)) < 2e-5 for (_, a), (_, b) in zip(pages, expected, strict=True))
    net.simulate_iterations(30)
    eager(reference, 30)
    same(recorded(net), recorded(reference))


def test_explanation_says_why_a_behavior_is_not_executed() -> None:
    class Start(Behavior):
        def initialize(self, neurons):
            neurons.x = neurons.vector()

    net = Network()
    NeuronGroup(net=net, size=2, tag="cells", behavior={0: Start(), 1: Letters(), 2: Letters()})
    net.initialize()
    net["Letters", 1].behavior_enabled = False
    said = net.explain().splitlines()
    assert said[0] == "Network('', 1 group(s), 0 synapse group(s))"
    assert said[3] == "  0 cells/Start: has no iteration"
    assert said[4].startswith("  1 cells/Letters: not compiled yet")
    assert said[5] == "  2 cells/Letters: switched off"
    assert repr(Network(dt=2.0)) == "Network('', dt=2, 0 node(s), 0 edge(s))"


def test_python_that_depends_on_the_state_runs_within_each_step() -> None:
    net = build((3, Stubborn()))
    with pytest.warns(NotCompiled, match=r"cells/Stubborn runs in Python, within each step.*test_groups_compiled"):
        net.simulate_iterations(60)
    same(recorded(net), recorded(eager(build((3, Stubborn())), 60)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is told once
        net.simulate_iterations(5)


def test_compile_true_makes_a_fallback_an_error() -> None:
    with pytest.raises(CapabilityError, match="cells/Stubborn runs in Python, within each step"):
        build((3, Stubborn())).simulate_iterations(20, compile=True)
    with pytest.raises(CapabilityError, match="cells/Diary runs in Python"):
        build((3, Diary())).simulate_iterations(20, compile=True)


def test_changes_between_runs_are_seen() -> None:
    net, reference = build(), build()
    net.simulate_iterations(20)
    eager(reference, 20)
    for one in (net, reference):
        one.cells.Leak.threshold = 0.3
        one.cells.voltage += 0.1
        one["GLU", 0].W[:, 3] = 0.7
    net.simulate_iterations(20)
    eager(reference, 20)
    for one in (net, reference):
        one.cells.deactivate_behaviors("Input")
    net.simulate_iterations(20)
    eager(reference, 20)
    for one in (net, reference):
        one.cells.activate_behaviors("Input")
    net.simulate_iterations(20)
    eager(reference, 20)
    same(recorded(net), recorded(reference))


def test_recording_can_be_switched_off() -> None:
    net = build()
    net.simulate_iterations(20)
    net.simulate_iterations(20, disable_recording=True)
    net.simulate_iterations(20)
    assert net["voltage", 0].shape == (40, 12)
    assert net.iteration == 60


def test_seeds_choose_the_noise() -> None:
    first, second, other = build(), build(), build(seed=4)
    for net in (first, second, other):
        net.simulate_iterations(20)
    assert np.array_equal(first["voltage", 0], second["voltage", 0])
    assert not np.array_equal(first["voltage", 0], other["voltage", 0])
