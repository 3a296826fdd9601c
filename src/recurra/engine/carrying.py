"""Carry a state over into a program of another structure: what both have, by its path, the past of delays included."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.delays import ring_key
from recurra.engine.origin import Origin
from recurra.engine.results import Snapshot

if TYPE_CHECKING:
    from recurra.engine.layout import Target
    from recurra.engine.program import Program


def carry_over(snapshot: Snapshot, old: Program, new: Program) -> tuple[Snapshot, list[str]]:
    """Return a state of one program as a state of another, and what could not be kept.

    Variables are known by their paths; what only the new program has begins at its initial value.

    Arguments:
        snapshot: a state of `old`.
        old, new: the programs.

    Returns:
        The state, at the same step; and paths of variables whose past, or whose delayed signal, is not known.

    >>> from recurra import Network
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node("a", "v' = -v + u", variables={"v": "output", "u": "input"})
    >>> before, warm = net.program, net.run(np.ones((5, 1))).final
    >>> node = net.add_diffeq_node("b", "v' = -v + u", variables={"v": "output", "u": "input"})
    >>> state, lost = carry_over(warm, before, net.program)
    >>> state.step, lost
    (5, [])
    """
    state = {key: np.array(value) for key, value in new.init(snapshot.dt).items()}
    known = {target.path: target for target in old.layout.targets(("state", "algebraic", "input", "emitted"))}
    lost: list[str] = []
    for target in new.layout.targets(("state",)):
        before = known.get(target.path)
        if before is None or before.kind != "state" or before.key not in snapshot.state:
            continue
        value = snapshot.state[before.key][before.index]
        if np.shape(value) == np.shape(state[target.key][target.index]):
            state[target.key][target.index] = value
        else:
            lost.append(target.path)
    lost += _carry_rings(snapshot, (old, new), known, state)
    lost += _carry_hidden(snapshot, (old, new), known, state)
    origin = Origin(new.system)
    return replace(snapshot, state=state, origin=origin, end=None), list(dict.fromkeys(lost))


def _of_key(program: Program, key: str) -> list[Target]:
    return [t for t in program.layout.targets(("state", "algebraic", "input", "emitted")) if t.key == key]


def _carry_rings(
    snapshot: Snapshot, programs: tuple[Program, Program], known: dict[str, Target], state: dict[str, Any]
) -> list[str]:
    """Copy what rings remember; return the paths of which they remember too little."""
    old, new = programs
    rings = {(ring.source, ring.prefill): i for i, ring in enumerate(old.system.rings)}
    lost, k = [], int(snapshot.step)
    for i, ring in enumerate(new.system.rings):
        buffer = state[ring_key(i)]
        length = len(buffer) // 2
        for target in _of_key(new, ring.source):
            before = known.get(target.path)
            if before is None:
                continue  # a new node, which begins now
            alike = rings.get((before.key, ring.prefill))
            other = rings.get((before.key, "initial" if ring.prefill == "zero" else "zero"), -1)
            past = snapshot.state.get(ring_key(other if alike is None else alike))
            if past is None:
                # Before the first step there is no past that could be lost.
                lost += [target.path] if k else []
                continue
            reach = len(past) // 2
            for back in range(1, length):
                if back <= reach and (alike is not None or k - back >= 0):
                    row = past[(k - back) % reach][before.index]
                    buffer[(k - back) % length][target.index] = row
                    buffer[(k - back) % length + length][target.index] = row
                elif k - back >= 0:
                    lost.append(target.path)
            if alike is not None:
                buffer[-1][target.index] = past[-1][before.index]
    return lost


def _carry_hidden(
    snapshot: Snapshot, programs: tuple[Program, Program], known: dict[str, Target], state: dict[str, Any]
) -> list[str]:
    """Copy what has no path: the times of refractory units, and the stages of gamma chains that are the same."""
    old, new = programs
    lost = []
    counts = {spike.variable: spike.countdown for spike in old.system.spikes if spike.countdown}
    for spike in new.system.spikes:
        for target in _of_key(new, spike.variable) if spike.countdown else ():
            before = known.get(target.path)
            if before is not None and before.key in counts:
                state[spike.countdown][target.index] = snapshot.state[counts[before.key]][before.index]
    chains = {_chain_name(old, chain): chain for chain in old.system.chains}
    for chain in new.system.chains:
        before = chains.get(_chain_name(new, chain))
        if before is not None and np.shape(snapshot.state[before.state]) == np.shape(state[chain.state]):
            state[chain.state] = np.array(snapshot.state[before.state])
        elif snapshot.step:
            lost += [t.path for t in _of_key(new, chain.source) if t.path in known]
    return lost


def _chain_name(program: Program, chain: Any) -> tuple:
    """Name a chain by what it delays, for how long, and the edges that read it."""
    labels = [p.label for p in program.system.projections if p.source == chain.output]
    delays = np.asarray(program.params[chain.delays]).tobytes()
    return (*(t.path for t in _of_key(program, chain.source)), chain.order, delays, *labels)
