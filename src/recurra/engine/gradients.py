"""A run as a pure function of numbers by path: for `jax.grad`, `jax.vmap`, and optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine.feeds import make_feeds
from recurra.engine.layout import Target
from recurra.engine.loop import LoopPlan, run_scan
from recurra.engine.program import Program
from recurra.engine.results import Snapshot
from recurra.engine.run import Run, _cast, feed_infos, loop_data, prepare
from recurra.engine.solvers import FIXED_STEP
from recurra.engine.stepping import Stepper
from recurra.errors import CapabilityError, OptionError, unknown

Numbers = Mapping[str, object]


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
    seed: int = 0,
    history: Mapping[str, object] | None = None,
    precision: str = "float64",
    final: bool = False,
    segment: int | None = None,
) -> Callable[..., Any]:
    """Return a run as a pure function of parameters, weights, delays, inputs' defaults and initial states.

    The function can be differentiated, vmapped and jitted. The run is cut into segments that reverse mode computes
    again, so that its memory grows with the square root of the number of rows.

    Arguments:
        program, duration, dt, solver, inputs, record, every, state, seed, history, precision: as for
            :func:`recurra.engine.simulate`.
        final: return the state after the last step too.
        segment: rows of a segment; `None` for the square root of the number of rows (longer where there are rings of
            the past, which are kept once a segment), 0 for no segments.

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
    continues, outer = state is not None, inputs or {}

    def function(
        numbers: Numbers,
        inputs: Mapping[str, object] | None = None,
        *,
        state: Mapping[str, Array] | None = None,
        step: Array | int | None = None,
        seed: Array | int | None = None,
    ) -> dict[str, Array] | tuple[dict[str, Array], dict[str, Array]]:
        _check_mode((numbers, inputs, state), precision)
        with jax.enable_x64(precision == "float64"):
            params, start, stepper = write_numbers(run, numbers, continues or state is not None)
            now = replace(run, seed=run.seed if seed is None else seed, plan=replace(fixed_plan(run), stepper=stepper))
            if inputs:
                now = feed_run(now, {**outer, **inputs})
            data = loop_data(now, params, 0, run.steps + 1)
            first = jnp.asarray(run.start.step if step is None else step, jnp.int32)
            last, rows = run_scan(now.plan, start if state is None else state, data, first, run.rows, length)
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
            f"solver {run.solver!r} chooses its own steps, so that a run is no function to differentiate or to watch;"
            f" use a fixed step ({', '.join(FIXED_STEP)})."
        )
    return run.plan


def _check_mode(values: object, precision: str) -> None:
    traced = any(isinstance(leaf, jax_core.Tracer) for leaf in jax.tree_util.tree_leaves(values))
    if traced and precision == "float64" and not jax.config.read("jax_enable_x64"):
        raise CapabilityError(
            "a float64 run is being transformed outside of float64 mode. Write `with jax.enable_x64(True):` around"
            " the call of jax.grad, or ask for precision='float32'."
        )


def _segment(run: Run) -> int:
    """Balance what is kept once a segment (states and rings) against what is kept once a row (states)."""
    whole = sum(np.size(v) for v in run.start.state.values())
    own = sum(np.size(run.start.state[k]) for k in run.program.state)
    best = max(1, round(math.sqrt(run.rows * whole / max(own, 1))))
    # Equal segments leave no rest, which would be compiled a second time; near the best length any will do.
    even = [n for n in range((best + 1) // 2, 2 * best + 1) if run.rows % n == 0]
    return min(even, key=lambda n: abs(math.log(n / best)), default=best)


def feed_run(run: Run, inputs: Mapping[str, object]) -> Run:
    """Return a run that is driven by these inputs, which may be traced."""
    feeds = make_feeds(run.program, inputs, run.steps)
    return replace(run, feeds=feeds, plan=replace(fixed_plan(run), feeds=feed_infos(feeds)))


def write_numbers(run: Run, numbers: Numbers, continues: bool) -> tuple[dict, dict, Stepper]:
    """Return parameters, initial state and stepper of a run with numbers written over its own."""
    program, plan = run.program, fixed_plan(run)
    params = {k: jnp.asarray(_cast(v, run.precision)) for k, v in program.params.items()}
    start = {k: jnp.asarray(_cast(np.asarray(v), run.precision)) for k, v in run.start.state.items()}
    delays = False
    for path, value in numbers.items():
        targets = program.layout.resolve(path)
        delays |= any(t.kind == "delay" for t in targets) or reads_past(program, [t.key for t in targets])
        _put(program, path, targets, value, params, start, continues)
    stepper = replace(plan.stepper, rematerialise=True)
    if delays:
        # A delay that is differentiated must be read between the grid's points, also where it lies on one.
        old = stepper.delays
        none = replace(
            old,
            uniform=(False,) * len(old.uniform),
            on_grid=(False,) * len(old.on_grid),
            past_on_grid=(False,) * len(old.past_on_grid),
        )
        stepper = replace(stepper, delays=none)
    return params, start, stepper


def reads_past(program: Program, keys: list[str]) -> bool:
    """Say whether one of these parameters is how far back a `past()` reads."""
    read = {key for past in program.system.past_reads for _, key in past.names}
    return any(key in read for key in keys)


def _put(
    program: Program, path: str, targets: list[Target], value: object, params: dict, state: dict, continues: bool
) -> None:
    """Write a traced value to the places of a path."""
    array = jnp.asarray(value)
    total, start = sum(t.size for t in targets), 0
    for target in targets:
        if target.kind == "algebraic":
            raise OptionError(unknown("parameter", path, program.layout.names(("parameter", "input", "state"))))
        if target.kind == "state" and continues:
            raise OptionError(f"{path!r} is a state; a run that goes on from a state takes its states from there.")
        store = state if target.kind == "state" else params
        part = array[start : start + target.size] if array.shape == (total,) and len(targets) > 1 else array
        old = store[target.key]
        # The usual case, a whole matrix, needs no scatter with an index for every entry.
        whole = part.shape == old.shape and _covers(target.index, old.shape)
        store[target.key] = part.astype(old.dtype) if whole else old.at[target.index].set(part.astype(old.dtype))
        start += target.size


def _covers(index: object, shape: tuple[int, ...]) -> bool:
    """Say whether an index selects a whole array, in its order."""
    numbers = np.arange(math.prod(shape)).reshape(shape)
    chosen = numbers[index]  # type: ignore[index]
    return chosen.shape == shape and bool(np.array_equal(chosen, numbers))
