"""Long compiled runs of groups: what they tell about their progress, and what an interrupt leaves."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import networks as nets
from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder
from recurra.circuits import CircuitTemplate
from recurra.engine import lower, simulate
from recurra.engine import run as run_module
from recurra.errors import NotCompiled
from recurra.groups import agreement
from recurra.groups import network as network_module


class Leak(Behavior):
    def initialize(self, neurons):
        neurons.v = neurons.vector("uniform")
        neurons.drive = neurons.vector()

    def iteration(self, neurons):
        neurons.v *= 0.9
        neurons.v += neurons.vector("uniform") * 0.2 + neurons.drive
        neurons.spike = neurons.v > 1.0
        neurons.v[neurons.spike] = 0.0


class Letters(Behavior):
    """A source that no tracer can follow: text and an iterator."""

    def initialize(self, neurons):
        self.text = iter("abcdefgh" * 100)
        neurons.drive = neurons.vector()

    def iteration(self, neurons):
        neurons.drive = np.full(neurons.size, 0.01 * "abcdefgh".index(next(self.text)), np.float32)


def build(*extra: tuple[float, Behavior], gap: int = 0) -> Network:
    net = Network(seed=3)
    recorders = {8: Recorder(["v"], gapwidth=gap), 9: EventRecorder("spike")}
    NeuronGroup(net=net, size=5, tag="cells", behavior={1: Leak(), **dict(extra), **recorders})
    net.initialize()
    return net


def everything(net: Network) -> dict[str, np.ndarray]:
    return {"v": net["v", 0], "spike": net["spike", 0], "last": net.cells.v, "iteration": np.array(net.iteration)}


def same(first: Network, second: Network, tolerance: float = 0.0) -> None:
    other = everything(second)
    for name, value in everything(first).items():
        assert value.shape == other[name].shape and value.size, name
        assert np.abs(value - other[name]).max() <= tolerance, name


class Watched:
    """Keeps what a progress bar is told."""

    def __init__(self, total: int, shown: bool):
        self.total, self.shown, self.told, self.closed = total, shown, [], False
        Watched.last = self

    def update(self, steps: int) -> None:
        self.told.append(steps)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("shown", [True, False])
def test_a_compiled_run_tells_the_bar_chunk_by_chunk(monkeypatch, shown: bool) -> None:
    net = build()
    monkeypatch.setattr(network_module, "Progress", Watched)
    with nets.changed(run_module, CHUNK_ROWS=16):
        net.simulate_iterations(100, progress=shown)
    bar = Watched.last
    assert (bar.total, bar.shown, bar.closed, sum(bar.told)) == (100, shown, True, 100)
    # The first steps are compared with NumPy one by one.
    assert bar.told[:4] == [1] * 4 and bar.told[4:] == [16] * 6


def test_a_function_is_told_of_the_steps_of_a_run() -> None:
    program = lower(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").to_graph())
    told: list[int] = []
    with nets.changed(run_module, CHUNK_ROWS=16):
        simulate(program, 12.0, dt=0.1, every=2, progress=told.append)
    assert sum(told) == 120 and max(told) == 32


def interrupt_at(monkeypatch, *calls: int) -> None:
    real, done = run_module.run_chunk, []

    def run_chunk(*args):
        done.append(args)
        if len(done) in calls:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(run_module, "run_chunk", run_chunk)


@pytest.mark.parametrize("gap", [0, 3])
def test_an_interrupt_leaves_the_network_after_a_completed_step(monkeypatch, gap: int) -> None:
    whole, part = build(gap=gap), build(gap=gap)
    whole.simulate_iterations(100)
    # Three calls are the comparisons of the first steps.
    interrupt_at(monkeypatch, 6)
    with nets.changed(run_module, CHUNK_ROWS=16), pytest.raises(KeyboardInterrupt, match="interrupted after step"):
        part.simulate_iterations(100)
    assert 20 <= part.iteration < 100 and part.cells.iteration == part.iteration
    rows = part["v", 0]
    assert len(rows) == len([k for k in range(1, part.iteration + 1) if k % max(gap, 1) == 0])
    assert np.array_equal(rows, whole["v", 0][: len(rows)])
    part.simulate_iterations(100 - part.iteration)
    same(part, whole)


def test_an_interrupt_while_steps_are_compared_leaves_the_step_of_numpy(monkeypatch) -> None:
    whole, part = build(), build()
    whole.simulate_iterations(30)
    interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        part.simulate_iterations(30)
    assert part.iteration == 3
    part.simulate_iterations(27, compile=True)
    same(part, whole, tolerance=1e-6)  # one more step was NumPy's


def test_what_a_source_has_given_is_used_up_before_an_interrupt(monkeypatch) -> None:
    whole, part = build((0, Letters())), build((0, Letters()))
    with pytest.warns(NotCompiled, match="Letters"):
        whole.simulate_iterations(90)
    interrupt_at(monkeypatch, 5)
    with (
        nets.changed(run_module, CHUNK_ROWS=16),
        nets.changed(agreement, FIRST_LATER=1000),  # no later step is compared, so the source gives for all at once
        pytest.warns(NotCompiled, match="Letters"),
        pytest.raises(KeyboardInterrupt),
    ):
        part.simulate_iterations(60)
    assert part.iteration == 60
    part.simulate_iterations(30)
    same(part, whole)
