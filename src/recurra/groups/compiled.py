"""Compile the schedule of a network into a Program of the engine, and run it there.

A first step is executed in NumPy, because many behaviors create variables when they first run. Then the schedule is
traced into one pure function, which becomes a rule of the engine. What it computes is compared with NumPy for a few
steps before it is trusted. What cannot be traced stays in Python: behaviors that read nothing of the network are run
ahead of a block of steps, behaviors that nothing depends on are run after it, and if that is not enough, the whole
network runs in NumPy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine import Emission, Graph, Program, Rule, Snapshot, lower, simulate
from recurra.errors import CapabilityError
from recurra.groups.recorders import Watcher
from recurra.groups.schedule import Entry
from recurra.tracing import Access, Addressed, Body, Traced, Untraceable, trace, watch

if TYPE_CHECKING:
    from recurra.engine import Clock
    from recurra.groups.network import GroupNetwork

CHECKED_STEPS = 3
BLOCK_ROWS = 1 << 14
COUNTER = "the count of steps"
TOLERANCE = {2: 1e-2, 4: 1e-4, 8: 1e-9, 16: 1e-9}


@dataclass(frozen=True)
class Outcome:
    """Say what became of a behavior: `"compiled"`, `"hoisted"`, `"fed"` or `"eager"`, and why."""

    kind: str
    why: str = ""


@dataclass(frozen=True)
class Member:
    """Hold one executed behavior under a name of its own."""

    name: str
    entry: Entry

    @property
    def watcher(self) -> Watcher | None:
        """Return the behavior if it is a recorder."""
        return self.entry.behavior if isinstance(self.entry.behavior, Watcher) else None

    def run(self) -> Mapping[str, object] | None:
        """Execute the behavior; a recorder gives what it would record."""
        watcher = self.watcher
        if watcher is None:
            self.entry.call(self.entry.behavior.iteration)
            return None
        return watcher.observed()


def members(network: GroupNetwork) -> list[Member]:
    """Name the behaviors that a step executes."""
    found: list[Member] = []
    taken: set[str] = set()
    for entry in network.schedule:
        if entry.active:
            name = _free(f"{paths(network)[id(entry.parent)]}/{entry.behavior.tag}".lstrip("/"), taken)
            found.append(Member(name, entry))
    return found


def paths(network: GroupNetwork) -> dict[int, str]:
    """Name the network (with nothing), its groups and its synapse groups, by the id of the object."""
    taken: set[str] = set()
    groups = [*network.NeuronGroups, *network.SynapseGroups]
    return {id(network): ""} | {id(group): _free(group.tag, taken) for group in groups}


def roots(network: GroupNetwork) -> dict[str, object]:
    """List the objects whose attributes are the state of the network, by path."""
    named = paths(network)
    found: dict[str, object] = {named[id(obj)]: obj for obj in network.all_objects()}
    for member in members(network):
        if member.watcher is None:
            found[member.name] = member.entry.behavior
    return found


def _free(name: str, taken: set[str]) -> str:
    """Return a name that nobody has, made of this one."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}#{count}"
    taken.add(free)
    return free


class Compiled:
    """Hold the compiled schedule of a network, until something changes that it was made of.

    Arguments:
        network: the network; all its behaviors have run at least once.
        random: its addressed randomness.

    Raises:
        Untraceable: something cannot be compiled, and cannot be kept apart from the rest.
    """

    def __init__(self, network: GroupNetwork, random: Addressed):
        self.members = members(network)
        self.roots = roots(network)
        self.signature = signature(network)
        self.outcomes = {m.name: Outcome("compiled") for m in self.members}
        self.traced = self._trace(network, random)
        self.program = _program(self.traced)
        for name, why in self.traced.notes.items():
            if name in self.outcomes:
                self.outcomes[name] = Outcome("compiled", why)

    def _trace(self, network: GroupNetwork, random: Addressed) -> Traced:
        bodies = [Body(COUNTER, lambda: _count(network))]
        bodies += [Body(m.name, m.run) for m in self.members]
        return trace(bodies, self.roots, random=random)

    def stale(self, network: GroupNetwork) -> bool:
        """Tell whether the network is no longer what was compiled."""
        return self.signature != signature(network) or bool(self.traced.stale(self.roots))

    def run(self, network: GroupNetwork, steps: int, seed: int) -> None:
        """Advance the network by compiled steps; its objects and recorders are then as if it had run in NumPy."""
        self._run(network, steps, seed, 1)

    def _run(self, network: GroupNetwork, steps: int, seed: int, every: int) -> None:
        first = network.iteration
        state, params = self.traced.read()
        program = _with_numbers(self.program, state, params)
        start = Snapshot(state, first, 0.0, 1.0)
        watched = {name: name for name in self.traced.emitted}
        result = simulate(
            program, float(steps), dt=1.0, record=watched, every=every, state=start, seed=seed, progress=False
        )
        self.traced.write_back(result.final.state)
        for member in self.members:
            if (watcher := member.watcher) is not None and member.entry.parent.recording:
                for name, keeper in watcher.kept.items():
                    key = f"{member.name}/{name}"
                    rows = result[key].reshape(-1, *self.traced.emitted[key].shape)
                    keeper.extend(rows, first + 1)


def _count(network: GroupNetwork) -> None:
    network.iteration += 1


def signature(network: GroupNetwork) -> tuple:
    """Return what a compiled schedule depends on, beside the values of variables: who is executed, in which order."""
    watched = [tuple(m.watcher.kept) for m in members(network) if m.watcher is not None]
    return (*((m.name, id(m.entry.behavior), id(m.entry.parent)) for m in members(network)), *watched)


def _program(traced: Traced) -> Program:
    def update(state: Mapping, params: Mapping, inputs: Mapping, clock: Clock) -> tuple[dict, dict]:
        return traced.update(state, params, inputs, clock.k, clock.key)

    emits = {name: Emission(tuple(spec.shape), np.dtype(spec.dtype)) for name, spec in traced.emitted.items()}
    rule = Rule(update, traced.state, traced.params, {}, emits, "the behaviors of the groups, in their order")
    return lower(Graph({"": rule}))
