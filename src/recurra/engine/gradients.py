"""A run as a pure function of numbers by path: for `jax.grad`, `jax.vmap`, and optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import core as jax_core
from jaxtyping import Array

from recurra.engine.checks import as_mapping
from recurra.engine.delays import DelayPlan, fit_rings, refill_rings
from recurra.engine.feeds import make_feeds
from recurra.engine.loop import LoopPlan, run_scan
from recurra.engine.precision import in_precision
from recurra.engine.program import Program
from recurra.engine.results import Snapshot
from recurra.engine.run import Run, feed_infos, loop_data, prepare
from recurra.engine.solvers import FIXED_STEP
from recurra.engine.stepping import Stepper, units_told
from recurra.engine.system import System
from recurra.engine.taming import tame_rules
from recurra.errors import CapabilityError, OptionError, TimeError

Numbers = Mapping[str, object]
KEPT_WHOLE = 65_536  # numbers of the states of all rows; up to here nothing is computed again
OUTGROWN = (
    "a delay is shorter than a step, or longer than what the run remembers: the longest delay of its program, up to"
    " the next step. Make the function from a program with the longest delays you need."
)


def as_function(
    program: Program,
    duration: float,
    *,
    dt: float,
    solver: str | None = None,
    inputs: Mapping[str, object] | None = None,
    record: object = None,
    every: int = 1,
    state: Snapshot | None = None,
    seed: int | Array = 0,
    history: Mapping[str, object] | None = None,
    precision: str | None = None,
    final: bool = False,
    segment: int | None = None,
) -> Callable[..., Any]:
    """Return a run as a pure function of parameters, weights, delays, inputs' defaults and initial states.

    The function can be differentiated, vmapped and jitted. A long run is cut into segments that reverse mode
    computes again, so that its memory grows with the square root of the number of rows. Delays may be given anything
    from one step up to the longest delay that `program` has for their source, and on to the next step; outside of that
    there is an error, or NaN where JAX traces them.

    Arguments:
        program, duration, dt, solver, inputs, record, every, state, seed, history, precision: as for
            :func:`recurra.engine.simulate`.
        final: return the state after the last step too.
        segment: rows of a segment; `None` for the square root of the number of rows (longer where there are rings of
            the past, which are kept once a segment), or for no segments where the states of all rows are few numbers;
            0 for no segments.

    Returns:
        A function `run(numbers, inputs=None, *, state=None, step=None, seed=None)` of a dict path -> value. It returns
        a dict name -> `(rows, units)`, or with `final` that dict and the last state. `inputs` (path -> `(steps,
        units)`; it may have one more row, for the end point) joins and replaces what was given above; `state` and
        `step` go on from a last state after that many steps; `seed` is an integer or a key. All may be traced.

    Raises:
        CapabilityError: the solver chooses its own steps, or JAX is not in float64 mode around a float64 gradient.

    In float64 JAX must be told so around the whole gradient, since it also computes outside of this function:

    >>> import jax
    >>> from recurra.circuits import CircuitTemplate
    >>> from recurra.engine import lower
    >>> program = lower(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").to_graph())
    >>> run = as_function(program, 1.0, dt=0.1, record={"x": "p/vdp_op/x"})
    >>> with jax.enable_x64(True):
    ...     slope = jax.grad(lambda mu: run({"p/vdp_op/mu": mu})["x"].sum())(1.0)
    >>> round(float(slope), 4)
    1.3865
    """
    run = prepare(
        program, duration, dt, solver, inputs, record, every, None, None, state, seed, history, precision
    )
    fixed_plan(run)
    length = _segment(run) if segment is None else int(segment)
    continues, outer, told = state is not None, inputs or {}, units_told(run.program, history)

    def function(
        numbers: Numbers,
        inputs: Mapping[str, object] | None = None,
        *,
        state: Mapping[str, Array] | None = None,
        step: Array | int | None = None,
        seed: Array | int | None = None,
    ) -> dict[str, Array] | tuple[dict[str, Array], dict[str, Array]]:
        _check_mode((numbers, inputs, state), run.wide)
        with jax.enable_x64(run.wide):
            written = write_numbers(run, numbers, told, continues or state is not None)
            plan = replace(fixed_plan(run), stepper=written.stepper)
            now = replace(run, seed=run.seed if seed is None else seed, plan=plan)
            if inputs:
                now = feed_run(now, {**outer, **inputs})
            data = loop_data(now, written.params, 0, run.steps + 1)
            first = jnp.asarray(run.start.step if step is None else step, jnp.int32)
            start = written.start if state is None else state
            last, rows = run_scan(now.plan, start, data, first, run.rows, length)
            if written.fits is not None:
                # A product, so that the gradient is not a number either.
                rows = tuple(row * jnp.where(written.fits, 1.0, jnp.nan).astype(row.dtype) for row in rows)
            named = run.recording.named(rows)
            return (named, last) if final else named

    return function


def fixed_plan(run: Run) -> LoopPlan:
    """Return the plan of a run with fixed steps.

    Raises:
        CapabilityError: the solver chooses its own steps.
    """
    if run.plan is None:
        raise CapabilityError(
            f"solver {run.solver!r} chooses its own steps; such a run cannot be differentiated or watched:"
            f" use a fixed step ({', '.join(FIXED_STEP)})."
        )
    return run.plan


def _check_mode(values: object, wide: bool) -> None:
    traced = any(isinstance(leaf, jax_core.Tracer) for leaf in jax.tree_util.tree_leaves(values))
    if traced and wide and not jax.config.read("jax_enable_x64"):
        raise CapabilityError(
            "a float64 run is being transformed outside of float64 mode. Write `with jax.enable_x64(True):` around"
            " the call of jax.grad, or ask for precision='float32'."
        )


def _segment(run: Run) -> int:
    """Balance what is kept once a segment (states and rings) against what is kept once a row (states)."""
    whole = sum(np.size(v) for v in run.start.state.values())
    if run.rows * whole <= KEPT_WHOLE:
        return 0
    own = sum(np.size(run.start.state[k]) for k in run.program.state)
    best = max(1, round(math.sqrt(run.rows * whole / max(own, 1))))
    # Equal segments leave no rest, which would be compiled a second time; near the best length any will do.
    even = [n for n in range((best + 1) // 2, 2 * best + 1) if run.rows % n == 0]
    return min(even, key=lambda n: abs(math.log(n / best)), default=best)


def feed_run(run: Run, inputs: Mapping[str, object]) -> Run:
    """Return a run that is driven by these inputs, which may be traced."""
    feeds = make_feeds(run.program, inputs, run.steps, run.start)
    return replace(run, feeds=feeds, plan=replace(fixed_plan(run), feeds=feed_infos(feeds)))


@dataclass(frozen=True)
class Written:
    """Hold a run with numbers written over its own: parameters, initial state, stepper.

    `fits` says whether delays that were written can be read; `None` where none was.
    """

    params: dict[str, Array]
    start: dict[str, Array]
    stepper: Stepper
    fits: Array | None


def write_numbers(run: Run, numbers: Numbers, told: Mapping[str, np.ndarray], continues: bool) -> Written:
    """Write numbers, which may be traced, over those of a run.

    Arguments:
        run: the run.
        numbers: path -> value.
        told: for each remembered variable which of its units have a history.
        continues: whether the run goes on from a state, so that no initial state can be written.

    Raises:
        TimeError: a delay is shorter than a step, or longer than the rings.
    """
    program, plan = run.program, fixed_plan(run)
    system = program.system
    params = {k: jnp.asarray(v) for k, v in in_precision(run, program.params).items()}
    start = {k: jnp.asarray(v) for k, v in in_precision(run, run.start.state).items()}
    delays = False
    for path, value in as_mapping(numbers, "the run's numbers").items():
        for target, part in program.split(path, value):
            if target.kind == "state" and continues:
                raise OptionError(f"{path!r} is a state; a run that goes on takes its states from `state`.")
            delays |= target.kind == "delay" or reads_past(program, target.key)
            store = start if target.kind == "state" else params
            old = store[target.key]
            new = jnp.asarray(part, old.dtype)
            # The usual case, a whole matrix, needs no scatter with an index for every entry.
            whole = new.shape == old.shape and _covers(target.index, old.shape)
            store[target.key] = new if whole else old.at[target.index].set(new)
    if not continues:
        start |= refill_rings(system, start, told, jnp.where)
    stepper, fits = replace(plan.stepper, system=tame_rules(system), rematerialise=True), None
    if delays:
        stepper = replace(stepper, delays=_off_grid(system, stepper.delays))
        fits = fit_rings(system, plan.stepper.delays, params, run.start.dt)
        if not isinstance(fits, jax_core.Tracer) and not fits:
            raise TimeError(OUTGROWN)
    return Written(params, start, stepper, fits)


def reads_past(program: Program, key: str) -> bool:
    """Say whether a parameter is how far back a `past()` reads."""
    return any(key == name for past in program.system.past_reads for _, name in past.names)


def _covers(index: object, shape: tuple[int, ...]) -> bool:
    """Say whether an index selects a whole array, in its order."""
    numbers = np.arange(math.prod(shape)).reshape(shape)
    chosen = numbers[index]  # type: ignore[index]
    return chosen.shape == shape and bool(np.array_equal(chosen, numbers))


def _off_grid(system: System, plan: DelayPlan) -> DelayPlan:
    """Read delays that are differentiated between the grid's points, also where they lie on one, and each by itself."""
    return replace(
        plan,
        uniform=tuple(p.delivery == "all_to_all" for p in system.projections),
        on_grid=(False,) * len(plan.on_grid),
        past_on_grid=(False,) * len(plan.past_on_grid),
        smooth=True,
    )
