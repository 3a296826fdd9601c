"""A run that something watches and drives from step to step: learning rules that work while the network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.courtesy import brief
from recurra.engine.evaluation import derivatives, evaluate_system
from recurra.engine.gradients import feed_run, fixed_plan, write_numbers
from recurra.engine.layout import Target
from recurra.engine.loop import LoopData, loop_context, scan_rows
from recurra.engine.program import Program
from recurra.engine.results import Snapshot
from recurra.engine.run import Run, loop_data, prepare
from recurra.engine.solvers import TABLEAUS, runge_kutta
from recurra.engine.spiking import find_spikes, reset_spikes
from recurra.engine.stepping import Drive, Stepper, base_drive, units_told
from recurra.engine.system import Assign, System
from recurra.errors import OptionError, PathError, ShapeError, unknown

Recorded = dict[str, Array]


@dataclass(frozen=True)
class Moment:
    """Hold what there is to see before a step.

    Arguments:
        row: number of the step in this run.
        recorded: name -> `(units,)`, what was asked to be recorded.
        values: every variable by storage key.
        incoming: what every projection brings, by its number.
        own: the states of the solver, by storage key.
        local: states and what projections bring -> states after the step, by one Euler step, and what is recorded;
            what comes from other units is held fixed, so its derivatives are those of each unit's own equations.

    >>> from recurra.engine import Graph, Node, Operator, Variable, lower
    >>> from recurra.equations import parse_equation
    >>> cell = Node({"op": Operator((parse_equation("x' = -x"),), {"x": Variable("state", 1.0)})})
    >>> def observe(total, moment):
    ...     return total + moment.recorded["n/op/x"][0], {}, (moment.row, moment.recorded["n/op/x"][0])
    >>> run = as_online(lower(Graph({"n": cell})), 1.5, observe, dt=0.5, record=["n/op/x"])
    >>> total, _, (row, x) = run(jnp.asarray(0.0))
    >>> float(total), row.tolist(), x.tolist()
    (1.75, [0, 1, 2], [1.0, 0.5, 0.25])
    """

    row: Array
    recorded: Recorded
    values: Mapping[str, Array]
    incoming: Mapping[int, Array]
    own: Mapping[str, Array]
    local: Callable[[Mapping[str, Array], Mapping[int, Array]], tuple[dict[str, Array], Recorded]]

    __repr__ = brief


Observer = Callable[[Any, Moment], tuple[Any, Mapping[str, Array], Any]]


def as_online(
    program: Program,
    duration: float,
    observe: Observer,
    *,
    dt: float,
    solver: str | None = None,
    inputs: Mapping[str, object] | None = None,
    driven: Iterable[str] = (),
    record: object = None,
    state: Snapshot | None = None,
    seed: int | Array = 0,
    history: Mapping[str, object] | None = None,
    precision: str | None = None,
) -> Callable[..., tuple[Any, dict[str, Array], Any]]:
    """Return a run, watched from step to step, as a pure function.

    Arguments:
        program, duration, dt, solver, inputs, record, state, seed, history, precision: as for
            :func:`recurra.engine.simulate`.
        observe: a function of a carry and a :class:`Moment`; it returns the next carry, path -> value of the driven
            inputs during the step that comes, and what to put out.
        driven: paths of the inputs that `observe` drives; what is recorded must not depend on them at the same moment.
            A drive takes the place of the input's default, and is added to what `inputs` feed there.

    Returns:
        A function `run(carry, numbers=None, inputs=None, *, state=None, step=None, seed=None)`, its arguments as for
        :func:`recurra.engine.as_function`. It returns the last carry, the last state, and what was put out,
        `(steps, ...)`.

    Raises:
        CapabilityError: the solver chooses its own steps.
        OptionError: what is recorded depends on a driven input at the same moment.

    >>> from recurra.engine import Graph, Node, Operator, Variable, lower
    >>> from recurra.equations import parse_equation
    >>> parts = {"x": Variable("state"), "u": Variable("input")}
    >>> program = lower(Graph({"n": Node({"op": Operator((parse_equation("x' = u"),), parts)})}))
    >>> def observe(count, moment):  # drives x to 1, and counts the steps
    ...     x = moment.recorded["n/op/x"]
    ...     return count + 1, {"n/op/u": 1.0 - x}, x
    >>> run = as_online(program, 4.0, observe, dt=0.5, driven=["n/op/u"], record=["n/op/x"])
    >>> count, state, path = run(jnp.asarray(0))
    >>> int(count), path[:, 0].tolist()
    (8, [0.0, 0.5, 0.75, 0.875, 0.9375, 0.96875, 0.984375, 0.9921875])
    """
    run = prepare(program, duration, dt, solver, inputs, record, 1, None, None, state, seed, history, precision)
    fixed_plan(run)
    places = _driven(run, driven)
    continues, outer, told = state is not None, inputs or {}, units_told(run.program, history)

    def function(
        carry: Any,
        numbers: Mapping[str, object] | None = None,
        inputs: Mapping[str, object] | None = None,
        *,
        state: Mapping[str, Array] | None = None,
        step: Array | int | None = None,
        seed: Array | int | None = None,
    ) -> tuple[Any, dict[str, Array], Any]:
        with jax.enable_x64(run.wide):
            written = write_numbers(run, numbers or {}, told, continues or state is not None)
            plan = replace(fixed_plan(run), stepper=replace(written.stepper, rematerialise=False))
            now = replace(run, seed=run.seed if seed is None else seed, plan=plan)
            if inputs:
                now = feed_run(now, {**outer, **inputs})
            data = loop_data(now, written.params, 0, run.steps + 1)
            first = jnp.asarray(run.start.step if step is None else step, jnp.int32)
            fed = {key for path in {**outer, **(inputs or {})} for key in _touched(run, path)}
            body = _row(now, data, first, observe, places, fed)
            start = dict(written.start if state is None else state)
            (last, carry), out = scan_rows(body, (start, carry), run.rows)
            return carry, last, out

    return function


def _driven(run: Run, paths: Iterable[str]) -> dict[str, Target]:
    """Find the inputs that are driven from outside of the run."""
    found = {}
    for path in paths:
        target = run.program.layout.one(path)
        if target.kind != "input":
            raise PathError(unknown("input", path, run.program.inputs))
        found[path] = target
        hit = _depends(run.program.system, [track.key for track in run.recording.tracks], target.key)
        if hit:
            raise OptionError(
                f"{path!r} is driven by what is read out of {hit!r}, which depends on it at the same moment. Read out a"
                " state, or a function of states."
            )
    return found


def _depends(system: System, keys: list[str], wanted: str) -> str:
    """Return that one of `keys` that is computed from `wanted` without a step in between, or nothing."""
    made = {item.target: item for item in system.schedule}
    for key in keys:
        seen, todo = set(), [key]
        while todo:
            name = todo.pop()
            if name == wanted:
                return key
            item = made.get(name)
            if item is None or name in seen:
                continue
            seen.add(name)
            if isinstance(item, Assign):
                todo += [source for _, source in item.names]
            else:
                todo += [*item.signals]
                todo += [system.projections[i].source for i in item.projections if system.projections[i].reads_now]
    return ""


def _touched(run: Run, path: str) -> list[tuple[str, int]]:
    """Return storage key and number of every unit that a path addresses."""
    return [(t.key, int(unit)) for t in run.program.layout.resolve(path)
            for unit in np.atleast_1d(np.arange(run.program.system.shape_of[t.key][0])[t.index])]  # fmt: skip


def _row(
    run: Run, data: LoopData, first: Array, observe: Observer, places: Mapping[str, Target], fed: set[tuple[str, int]]
) -> Callable:
    plan, system = fixed_plan(run), run.program.system
    stepper: Stepper = plan.stepper
    at = loop_context(plan, data, first)
    params, tables = data.params, data.tables
    bases = {target.key: base_drive(system, target.key, params, tables) for target in places.values()}
    besides = {path: np.array([unit in fed for unit in _touched(run, path)]) for path in places}

    def body(carried: tuple, j: Array) -> tuple[tuple, Any]:
        state, carry = carried
        clock, drive, noise = at(j)
        delayed = stepper.given(clock, 0.0, state, params, tables)
        own, _ = stepper.split(state)

        def evaluate(own: Mapping, incoming: Mapping | None, drive: Drive) -> tuple[dict, dict, dict]:
            spikes = find_spikes(system, own, params, clock.dt)
            known = {**delayed, **noise, **spikes}
            found = evaluate_system(
                system, clock.t, own, params, tables, drive(0.0), known, stepper.delays, incoming
            )
            return *found, spikes

        def named(values: Mapping[str, Array]) -> Recorded:
            rows = zip(run.recording.tracks, data.units, strict=True)
            return run.recording.named([values[t.key] if t.whole else values[t.key][units] for t, units in rows])

        def local(own: Mapping, incoming: Mapping) -> tuple[dict, Recorded]:
            values, _, spikes = evaluate(own, incoming, drive)
            slopes = derivatives(system, clock.t, values, tables)
            moved = runge_kutta(TABLEAUS["euler"], lambda *_: slopes, dict(own), clock.dt)
            return reset_spikes(system, own, moved, spikes, params, clock.dt), named(values)

        values, incoming, _ = evaluate(own, None, drive)
        carry, added, out = observe(carry, Moment(j, named(values), values, incoming, own, local))
        drive = _with(drive, places, added, bases, besides)
        return (stepper.advance(clock, state, params, tables, drive, noise)[0], carry), out

    return body


def _with(
    drive: Drive,
    places: Mapping[str, Target],
    added: Mapping[str, Array],
    bases: Mapping[str, Array],
    besides: Mapping[str, np.ndarray],
) -> Drive:
    """Return a drive with some inputs held at given values during the step; what is fed besides is added to them."""
    for path, value in added.items():
        size = places[path].size
        if jnp.shape(value) != (size,):
            raise ShapeError(f"{path!r} is driven with shape {jnp.shape(value)}, it has {size} units.")

    def driven(offset: float) -> dict[str, Array]:
        found = dict(drive(offset))
        for path, value in added.items():
            target = places[path]
            base = found.get(target.key, bases[target.key])
            own = jnp.where(besides[path], base[target.index], 0)
            found[target.key] = base.at[target.index].set(own + value.astype(base.dtype))
        return found

    return driven

