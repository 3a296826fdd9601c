"""Lower a program again where its numbers no longer fit its structure.

Two numbers are part of the structure: the number of stages of a gamma chain, which follows from delay and spread, and
whether there is a delay at all, since 0 is none. A program whose numbers were changed so that these differ is made
again from its graph, with all its other numbers; so it is what it would be if it had been defined with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.courtesy import warn
from recurra.engine.checks import as_numbers
from recurra.engine.delays import gamma_order
from recurra.engine.graph import Edge, Sparse
from recurra.engine.layout import EdgePlace
from recurra.engine.wiring import edge_labels
from recurra.errors import TimeError

if TYPE_CHECKING:
    from recurra.engine.program import Program

TIMING = ("delay", "spread")


def refit(program: Program) -> Program:
    """Return a program whose structure fits its delays and spreads: the same one, or one that is lowered again.

    Raises:
        TimeError: the entries of one edge need chains of different lengths.
    """
    if _fits(program) or program.remake is None:
        return program
    edges = tuple(
        _with_timing(program, label, edge, program.layout.edges.get(label))
        for label, edge in zip(edge_labels(program.graph), program.graph.edges, strict=True)
    )
    new = program.remake(replace(program.graph, edges=edges))
    known = set(new.paths)
    kept = [p for p in program.paths if p in known and p.rpartition("/")[2] not in TIMING]
    kept += [p for p in program.paths if p in known and p not in kept and program.layout.one(p).kind not in TIMING]
    return replace(new.update({path: program.get(path) for path in kept}), solver=program.solver)


def _fits(program: Program) -> bool:
    for chain in program.system.chains:
        delays, spreads = program.params[chain.delays], program.params[chain.spreads]
        if np.all(np.isfinite(delays) & (delays > 0)) and np.any(_orders(delays, spreads) != chain.order):
            return False
    rings = [p for p in program.system.projections if p.ring >= 0 and not p.present]
    return not any(np.any(program.params[p.delays] == 0) for p in rings)


def _orders(delays: Any, spreads: Any) -> np.ndarray:
    """Return the number of stages for every entry; 0 stands for a delay without spread."""
    delays, spreads = np.broadcast_arrays(np.asarray(delays, float), np.asarray(spreads, float))
    fine = (delays > 0) & (spreads > 0) & np.isfinite(delays)
    return np.array([gamma_order(d, s) if ok else 0 for d, s, ok in zip(
        delays.ravel().tolist(), spreads.ravel().tolist(), fine.ravel().tolist(), strict=True)])  # fmt: skip


def _with_timing(program: Program, label: str, edge: Edge, place: EdgePlace | None) -> Edge:
    """Return an edge of the graph with the delay and the spread that the program has now."""
    if place is None or not place.delay_key:
        return edge
    delays = np.asarray(program.params[place.delay_key][place.delay_index])
    spread = edge.spread
    if place.spread_key:
        spreads = np.asarray(program.params[place.spread_key][place.delay_index])
        if np.ptp(_orders(delays, spreads)) or np.ptp(delays):
            raise TimeError(f"edge {label}: a spread needs one delay for the whole edge, got several.")
        spread = float(spreads.flat[0]) or None
    if not np.ptp(delays):
        return replace(edge, delay=float(delays.flat[0]) or None, spread=spread)
    if isinstance(edge.weight, Sparse):
        whole = np.zeros(edge.weight.shape)
        whole[edge.weight.rows, edge.weight.columns] = delays
        delays = whole
    return replace(edge, delay=delays.reshape(np.shape(edge.weight)), spread=spread)


def with_spreads(program: Program, values: Mapping[str, Any]) -> dict[str, Any]:
    """Let the spreads of trained delays go along, where else the chains would have other numbers of stages.

    A training keeps the stages, so what it trained is a delay whose spread is delay / sqrt(stages); a warning says so.
    """
    found = dict(values)
    for path, value in values.items():
        label, _, what = path.rpartition("/")
        place = program.layout.edges.get(label)
        if what != "delay" or place is None or not place.spread_key or f"{label}/spread" in values:
            continue
        spread = program.params[place.spread_key][place.delay_index]
        stages = next(c.order for c in program.system.chains if c.spreads == place.spread_key)
        if np.any(_orders(value, spread) != stages):
            found[f"{label}/spread"] = new = np.asarray(value) / np.sqrt(stages)
            warn(
                f"{path}: was trained with the {stages} stages that it had; with them its spread is"
                f" {float(np.ravel(new)[0]):g} now, and no longer {float(np.ravel(spread)[0]):g}.",
                RuntimeWarning,
            )
    return found


def by_structure(
    program: Program, numbers: Mapping[str, np.ndarray]
) -> list[tuple[Program, dict[str, np.ndarray], np.ndarray]]:
    """Sort runs with different numbers by the structure that their delays and spreads need.

    Arguments:
        program: what is run.
        numbers: path -> `(runs,)` or `(runs, units)`.

    Returns:
        For each structure its program, the numbers of its runs (without those of a delay that is none), and which runs
        they are.
    """
    involved = [
        path for path in numbers if any(t.kind in TIMING for t in program.layout.resolve(path)) and len(numbers[path])
    ]
    count = len(next(iter(numbers.values()))) if numbers else 0
    if not involved:
        return [(program, dict(numbers), np.arange(count))]
    signs = [_sign(program, {path: numbers[path][run] for path in involved}) for run in range(count)]
    found = []
    for sign in dict.fromkeys(signs):
        runs = np.array([run for run, own in enumerate(signs) if own == sign])
        one = program
        if sign != INVALID:
            one = program.update({path: numbers[path][runs[0]] for path in involved})
        known = set(one.paths)
        own = {path: value[runs] for path, value in numbers.items() if path not in involved or path in known}
        if not own:  # nothing is left to be set but delays that are none; the runs are alike
            weight = f"{involved[0].rpartition('/')[0]}/weight"
            own = {weight: np.repeat(one.get(weight)[None], len(runs), axis=0)}
        found.append((one, own, runs))
    return found


INVALID = ("invalid",)


def _sign(program: Program, values: Mapping[str, Any]) -> tuple:
    """Return what tells the structure of one run from that of another."""
    found = []
    for label in dict.fromkeys(path.rpartition("/")[0] for path in values):
        place = program.layout.edges[label]
        delay = np.asarray(values.get(f"{label}/delay", program.params[place.delay_key][place.delay_index]))
        if delay.dtype.kind not in "iuf" or not np.all(np.isfinite(delay) & (delay >= 0)):
            return INVALID
        if place.spread_key:
            spread = np.asarray(values.get(f"{label}/spread", program.params[place.spread_key][place.delay_index]))
            if not np.all(np.isfinite(spread) & (spread >= 0)) or not np.all(delay > 0):
                return INVALID
            found.append(tuple(_orders(delay, spread).tolist()[:1]))
        else:
            found.append((bool(np.any(delay == 0)), bool(np.all(delay == 0))))
    return tuple(found)


STRUCTURES = (
    "its delays and spreads need networks of different structure (other numbers of stages of a chain, or a delay of 0,"
    " which is none)"
)


def several_structures(program: Program, params: Any, batch: Any) -> list[tuple[Program, dict, np.ndarray]]:
    """Sort the runs of a batch by their structure; an empty list if they have one, or if one of them cannot be."""
    if not isinstance(batch, Mapping) or not _touches(program, batch):
        return []
    alike = _sorted(program.update(params or {}), batch)
    return alike if len(alike) > 1 else []


def of_one_structure(program: Program, batch: Mapping[str, object]) -> tuple[Program, Mapping[str, object]]:
    """Return a program that fits the delays of a batch, and what is left to be set in it.

    Raises:
        TimeError: the runs need several structures.
    """
    if not _touches(program, batch):
        return program, batch
    alike = _sorted(program, batch)
    if len(alike) > 1:
        raise TimeError(f"batch: {STRUCTURES}, which cannot run at once: use recurra.sweep, or one after the other.")
    return alike[0][:2] if alike else (program, batch)


def _touches(program: Program, batch: Mapping[str, object]) -> bool:
    return any(t.kind in TIMING for path in batch for t in program.layout.resolve(path))


def _sorted(program: Program, batch: Mapping[str, object]) -> list[tuple[Program, dict, np.ndarray]]:
    """Sort runs by structure; an empty list for what cannot be, which is refused where the batch is read."""
    rows = {path: as_numbers(value, f"batch: {path}") for path, value in batch.items()}
    lengths = {len(value) if value.ndim else 0 for value in rows.values()}
    if len(lengths) != 1 or 0 in lengths:
        return []
    alike = by_structure(program, rows)
    return [] if any(one is program for one, _, _ in alike) else alike
