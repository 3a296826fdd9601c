"""A run as a pure function of numbers by path: for `jax.grad`, `jax.vmap`, and optimisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import core as jax_core
from jaxtyping import Array

from recurra.engine.checks import as_mapping
from recurra.engine.delays import DelayPlan, fit_rings, refill_rings
from recurra.engine.loop import run_scan
from recurra.engine.program import Program
from recurra.engine.results import Snapshot
from recurra.engine.run import _cast, loop_data, prepare
from recurra.engine.solvers import FIXED_STEP
from recurra.engine.stepping import units_told
from recurra.engine.system import System
from recurra.errors import CapabilityError, OptionError, TimeError

Numbers = Mapping[str, object]
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
    seed: int = 0,
    history: Mapping[str, object] | None = None,
    precision: str = "float64",
) -> Callable[[Numbers], dict[str, Array]]:
    """Return a run as a pure function of parameters, weights, delays, inputs' defaults and initial states.

    The function can be differentiated, vmapped and jitted. The right-hand side is computed again in reverse mode, so
    memory grows with the states only. Delays may be given anything from one step up to the longest delay that `program`
    has for their source, and on to the next step; outside of that there is an error, or NaN where JAX traces them.

    Arguments:
        program, duration, dt, solver, inputs, record, every, state, seed, history, precision: as for
            :func:`recurra.engine.simulate`.

    Returns:
        A function of a dict path -> value that returns a dict name -> `(rows, units)`.

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
    plan = run.plan
    if plan is None:
        raise CapabilityError(
            f"solver {run.solver!r} cannot be differentiated here; use a fixed step ({', '.join(FIXED_STEP)})."
        )
    keep_states, system = state is not None, run.program.system
    told = units_told(run.program, history)

    def function(numbers: Numbers) -> dict[str, Array]:
        traced = any(isinstance(leaf, jax_core.Tracer) for leaf in jax.tree_util.tree_leaves(numbers))
        if traced and precision == "float64" and not jax.config.read("jax_enable_x64"):
            raise CapabilityError(
                "a float64 run is being transformed outside of float64 mode. Write `with jax.enable_x64(True):` around"
                " the call of jax.grad, or ask for precision='float32'."
            )
        with jax.enable_x64(precision == "float64"):
            params = {k: jnp.asarray(_cast(v, precision)) for k, v in run.program.params.items()}
            start = {k: jnp.asarray(_cast(np.asarray(v), precision)) for k, v in run.start.state.items()}
            delays = False
            for path, value in as_mapping(numbers, "the run's numbers").items():
                for target, part in run.program.split(path, value):
                    if target.kind == "state" and keep_states:
                        raise OptionError(f"{path!r} is a state; a run that goes on takes its states from `state`.")
                    delays |= target.kind == "delay" or _in_past(run.program, target.key)
                    store = start if target.kind == "state" else params
                    old = store[target.key]
                    store[target.key] = old.at[target.index].set(jnp.asarray(part, old.dtype))
            if not keep_states:
                start |= refill_rings(system, start, told, jnp.where)
            stepper, fits = replace(plan.stepper, rematerialise=True), True
            if delays:
                stepper = replace(stepper, delays=_off_grid(system, stepper.delays))
                fits = fit_rings(system, plan.stepper.delays, params, run.start.dt)
                if not isinstance(fits, jax_core.Tracer) and not fits:
                    raise TimeError(OUTGROWN)
            data = loop_data(run, params, 0, run.steps + 1)
            first = jnp.asarray(run.start.step, jnp.int32)
            _, rows = run_scan(replace(plan, stepper=stepper), start, data, first, run.rows)
            if fits is not True:
                # A product, so that the gradient is not a number either.
                rows = tuple(row * jnp.where(fits, 1.0, jnp.nan).astype(row.dtype) for row in rows)
            return run.recording.named(rows)

    return function


def _in_past(program: Program, key: str) -> bool:
    return any(key == name for past in program.system.past_reads for _, name in past.names)


def _off_grid(system: System, plan: DelayPlan) -> DelayPlan:
    """Read delays that are differentiated between the grid's points, also where they lie on one, and each by itself."""
    return replace(
        plan,
        uniform=tuple(p.delivery == "all_to_all" for p in system.projections),
        on_grid=(False,) * len(plan.on_grid),
        past_on_grid=(False,) * len(plan.past_on_grid),
    )
