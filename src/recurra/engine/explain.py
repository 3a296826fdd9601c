"""Say in words what a program does in one step."""

from __future__ import annotations

import numpy as np

from recurra.engine.program import Program
from recurra.engine.solvers import choose_solver
from recurra.engine.system import Assign, Collect, Projection
from recurra.equations import to_text


def explain(program: Program, dt: float | None = None) -> str:
    """Describe groups, the order of one step, projections, delays, noise and memory; see :meth:`Program.explain`."""
    system = program.system
    solver = choose_solver(program.solver, system)
    step = "" if program.graph.dt is None else f", for steps of {program.graph.dt:g} only"
    lines = [f"Program {program.graph.name or '(unnamed)'}{step}", ""]
    if system.groups:
        lines.append("Groups (nodes with equal equations share arrays):")
    for group in system.groups:
        note = f"; on its own: {group.note}" if group.note else ""
        lines.append(f"  {group.label}: {_count(group.nodes, 'node')}, {_count(group.units, 'unit')}{note}")
    lines += ["", "One step, from t to t + dt:"]
    lines += [f"  {i}. {text}" for i, text in enumerate(_phases(program, solver), 1)]
    if system.projections:
        lines += ["", "Projections (W[post, pre]):"]
        lines += [f"  {_projection(program, p)}" for p in system.projections]
    lines += ["", *_memory(program, dt)]
    return "\n".join(lines)


def _phases(program: Program, solver: str) -> list[str]:
    system = program.system
    phases = []
    for ring in system.rings:
        before = "nothing" if ring.prefill == "zero" else "its initial value"
        phases.append(f"look up the past of {ring.source} (before the start: {before})")
    phases += [f"draw white noise {n.target}: {_count(n.streams, 'stream')} of {n.size}" for n in system.noises]
    for item in system.schedule:
        phases.append(_assign(item, "=") if isinstance(item, Assign) else _collect(item, program))
    for rule in system.spikes:
        how = "where a step has crossed" if rule.fired else "where" if rule.reset else "where it has become true that"
        phases.insert(len(system.rings) + len(system.noises), f"spike {how} {rule.variable} >= {rule.threshold}")
    phases.append("record")
    phases += [f"remember {ring.source}" for ring in system.rings]
    changes = [_assign(item, "' =") for item in system.derivatives]
    changes += [
        f"gamma chain of {_count(c.order, 'stage')} on {c.source}: delay {_range(program.params[c.delays])}"
        for c in system.chains
    ]
    if changes:
        phases.append(f"advance by {solver}:" + "".join(f"\n       {c}" for c in changes))
    phases += [
        f"set {r.variable} to {r.reset} where it {'crossed' if r.fired else 'spiked'}"
        + (" or is refractory" if r.refractory else "")
        for r in system.spikes
        if r.reset
    ]
    phases += [
        f"call {rule.label or 'the rule'}: {rule.text or 'a function'}; {_count(len(rule.state), 'state')},"
        f" {_count(len(rule.params), 'parameter')}, {_count(len(rule.inputs), 'input')}"
        for rule in system.rules
    ]
    return phases


def _assign(item: Assign, sign: str) -> str:
    operator = item.target.rsplit("/", 1)[0]
    elsewhere = [f"{name} = {key}" for name, key in item.names if key.rsplit("/", 1)[0] != operator]
    where = f"   where {', '.join(elsewhere)}" if elsewhere else ""
    return f"{item.target}{sign if sign[0] == chr(39) else ' ' + sign} {to_text(item.expression)}{where}"


def _collect(item: Collect, program: Program) -> str:
    parts = list(item.signals)
    parts += [_arriving(program, program.system.projections[i]) for i in item.projections]
    if item.base != "wired":
        parts.insert(0, "its default" if item.base == "open" else "its default where nothing arrives")
    return f"{item.target} <- {' + '.join(parts)}"


def _arriving(program: Program, projection: Projection) -> str:
    """Word what a projection brings: through which weights, of which past."""
    source = _source(program, projection)
    if projection.ring >= 0:
        source = f"past {source}"
    if not projection.weights:
        return source
    return f"W sum {source}" if projection.delivery == "all_to_all" else f"W {source}"


def _source(program: Program, projection: Projection) -> str:
    chains = {chain.output: chain for chain in program.system.chains}
    chain = chains.get(projection.source)
    return projection.source if chain is None else f"gamma-delayed {chain.source}"


def _projection(program: Program, projection: Projection) -> str:
    text = f"{_source(program, projection)} -> {projection.target}: {projection.delivery}, {projection.shape[0]} x "
    text += f"{projection.shape[1]}"
    if projection.weights:
        text += f", {_count(program.params[projection.weights].size, 'weight')}"
    if projection.delays:
        text += f", delay {_range(program.params[projection.delays])}"
    return text


def _range(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" + (f" to {high:g}" if high > low else "")


def _memory(program: Program, dt: float | None) -> list[str]:
    stores = (program.params, program.state, program.tables)
    total = sum(value.nbytes for store in stores for value in store.values())
    complex_note = f"; complex: {', '.join(sorted(program.system.complex_keys))}" if program.system.complex_keys else ""
    lines = [f"Precision: float64 unless a run asks for float32{complex_note}"]
    text = f"Memory: {_bytes(total)} of numbers"
    if program.system.rings:
        if dt is None:
            text += ", and rings for the delays (explain(dt=...) tells their size)"
        else:
            whole = program.init(dt)
            text += f", {_bytes(sum(v.nbytes for k, v in whole.items() if k.startswith('ring/')))} of rings"
    return [*lines, text]


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
