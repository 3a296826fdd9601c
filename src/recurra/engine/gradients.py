"""A run as a pure function of numbers by path: for `jax.grad`, `jax.vmap`, and optimisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import core as jax_core
from jaxtyping import Array

from recurra.engine.loop import run_scan
from recurra.engine.program import Program
from recurra.engine.results import Snapshot
from recurra.engine.run import _cast, loop_data, prepare
from recurra.engine.solvers import FIXED_STEP
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
) -> Callable[[Numbers], dict[str, Array]]:
    """Return a run as a pure function of parameters, weights, delays, inputs' defaults and initial states.

    The function can be differentiated, vmapped and jitted. The right-hand side is computed again in reverse mode, so
    memory grows with the states only.

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
    keep_states = state is not None

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
            for path, value in numbers.items():
                targets = run.program.layout.resolve(path)
                delays |= any(t.kind == "delay" for t in targets) or _in_past(run.program, [t.key for t in targets])
                _put(run.program, path, value, params, start, keep_states)
            stepper = replace(plan.stepper, rematerialise=True)
            if delays:
                # A delay that is differentiated must be read between the grid's points, also where it lies on one.
                on = stepper.delays
                off = replace(
                    on,
                    uniform=(False,) * len(on.uniform),
                    on_grid=(False,) * len(on.on_grid),
                    past_on_grid=(False,) * len(on.past_on_grid),
                )
                stepper = replace(stepper, delays=off)
            data = loop_data(run, params, 0, run.steps + 1)
            first = jnp.asarray(run.start.step, jnp.int32)
            _, rows = run_scan(replace(plan, stepper=stepper), start, data, first, run.rows)
            return run.recording.named(rows)

    return function


def _in_past(program: Program, keys: list[str]) -> bool:
    read = {key for past in program.system.past_reads for _, key in past.names}
    return any(key in read for key in keys)


def _put(
    program: Program, path: str, value: object, params: dict, state: dict, keep_states: bool
) -> None:
    """Write a traced value to the places of a path."""
    targets = program.layout.resolve(path)
    array = jnp.asarray(value)
    total, start = sum(t.size for t in targets), 0
    for target in targets:
        if target.kind == "algebraic":
            raise OptionError(unknown("parameter", path, program.layout.names(("parameter", "input", "state"))))
        if target.kind == "state" and keep_states:
            raise OptionError(f"{path!r} is a state; a run that goes on from a state takes its states from there.")
        store = state if target.kind == "state" else params
        part = array[start : start + target.size] if array.shape == (total,) and len(targets) > 1 else array
        store[target.key] = store[target.key].at[target.index].set(part.astype(store[target.key].dtype))
        start += target.size
