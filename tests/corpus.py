"""Run a network of behaviors compiled and in NumPy, with the same random numbers, and compare everything it holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recurra import Behavior, EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.errors import NotCompiled
from recurra.groups.recorders import Watcher
from recurra.groups.roster import Roster
from recurra.tracing.slots import Inventory

STEPS = 24
TOLERANCE = {2: 1e-2, 4: 2e-5, 8: 1e-10}
LOOSE = dict.fromkeys(TOLERANCE, 2e-5)


def one_group(
    *behaviors: Behavior,
    size: Any = 9,
    record: Any = ("v",),
    events: str = "",
    synapses: int = 0,
    seed: int = 5,
    **net: Any,
) -> Network:
    """Build a network of one group, `cells`, whose behaviors have the numbers 1, 2, ...; `synapses` of it to itself."""
    network = Network(seed=seed, **net)
    members: dict[float, Behavior] = dict(enumerate(behaviors, 1))
    if record:
        members[90] = Recorder(list(record), tag="rec")
    if events:
        members[91] = EventRecorder(events, tag="events")
    cells = NeuronGroup(net=network, size=size, tag="cells", behavior=members)
    for i in range(synapses):
        SynapseGroup(net=network, src=cells, dst=cells, tag=("GLU", "GABA")[i])
    network.initialize(info=False)
    return network


def run_in_numpy(net: Network, steps: int) -> Network:
    """Run in NumPy, with the random numbers of compiled steps."""
    with net.runner._lent():
        for _ in range(steps):
            net.runner.step(Roster(net))
    return net


def holdings(net: Network) -> dict[str, Any]:
    """Return every number, array and text that the objects and behaviors hold, and all recordings."""
    roster = Roster(net)
    inventory = Inventory(roster.roots)
    found = {path: slot.value for path, slot in inventory.slots.items()}
    for holder in inventory.holders:
        texts = {f"{holder.path}/{k}": v for k, v in holder.space.items() if isinstance(v, str | list | dict | set)}
        found |= {path: value for path, value in texts.items() if path not in found}
    for member in roster.members:
        if isinstance(member.entry.behavior, Watcher):
            found |= {f"{member.name}: {name}": k.data() for name, k in member.entry.behavior.kept.items()}
    return found


def same(got: Any, expected: Any, where: str, tolerance: Mapping[int, float] = LOOSE) -> None:
    """Compare type, shape and every element."""
    assert type(got) is type(expected), f"{where}: {type(got)}, expected {type(expected)}"
    if isinstance(got, list | tuple):
        assert len(got) == len(expected), f"{where}: {len(got)} entries, expected {len(expected)}"
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            same(a, b, f"{where}/{i}", tolerance)
        return
    if isinstance(got, dict):
        assert list(got) == list(expected), where
        for key in got:
            same(got[key], expected[key], f"{where}/{key}", tolerance)
        return
    if isinstance(got, str | set | type(None)) or not isinstance(got, np.ndarray | np.generic | int | float | complex):
        comparable = isinstance(got, str | set | type(None))
        assert not comparable or got == expected, f"{where}: {got!r}, expected {expected!r}"
        return
    first, second = np.asarray(got), np.asarray(expected)
    assert (first.dtype, first.shape) == (second.dtype, second.shape), f"{where}: {first.dtype}{first.shape}"
    if first.dtype.kind not in "fc":
        assert np.array_equal(first, second), f"{where}: {first}, expected {second}"
        return
    limit = tolerance[first.dtype.itemsize // (2 if first.dtype.kind == "c" else 1)]
    assert np.array_equal(np.isfinite(first), np.isfinite(second)), where
    finite = np.isfinite(second)
    error = float(np.max(np.abs(first[finite] - second[finite]), initial=0.0))
    scale = max(1.0, float(np.max(np.abs(second[finite]), initial=0.0)))
    assert error <= limit * scale, f"{where}: off by {error:.3g}"


def agree(
    build: Callable[[], Network], steps: int = STEPS, tolerance: Mapping[int, float] = TOLERANCE, compiled: bool = True
) -> Network:
    """Check that a network does the same compiled and in NumPy, and that it does something.

    Arguments:
        build: makes the network, always the same.
        steps: how many.
        compiled: whether all behaviors must be compiled; if not, warnings of what was not are let pass.

    Returns:
        The network that was compiled.
    """
    fast, slow = build(), build()
    before = {path: np.copy(v) if isinstance(v, np.ndarray) else v for path, v in holdings(build()).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if not compiled else "error", NotCompiled)
        fast.simulate_iterations(steps - 7, compile=True if compiled else None)
        fast.simulate_iterations(7, compile=True if compiled else None)
    run_in_numpy(slow, steps)
    if fast.def_dtype == np.float32:  # what is computed of float32 is no more exact, whatever its own type
        tolerance = {size: max(limit, tolerance[4]) for size, limit in tolerance.items()}
    got, expected = holdings(fast), holdings(slow)
    assert list(got) == list(expected)
    for path in got:
        same(got[path], expected[path], path, tolerance)
    assert any(not np.array_equal(v, before[p]) for p, v in got.items() if p in before and p != "iteration"), "idle"
    return fast
