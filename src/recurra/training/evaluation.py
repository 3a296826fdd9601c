"""Run trials without learning, and compare with targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.engine import Program, Snapshot, as_function
from recurra.engine.interrupts import check, interruptible
from recurra.engine.precision import needs_wide, read_precision
from recurra.engine.randomness import seed_key
from recurra.engine.results import time_of
from recurra.engine.run import windows
from recurra.training.losses import find_loss, trial_loss
from recurra.training.objective import Objective, cut, gather, on_device, training_precision, untrained
from recurra.training.parameters import Penalties
from recurra.training.sources import in_batches
from recurra.training.stacking import trials_as_given
from recurra.training.trials import count_units, make_inputs, make_trials


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Hold what trials gave.

    Arguments:
        loss: mean over the trials.
        losses: loss of each trial, `(trials,)`.
        outputs: `(steps, units)`, or `(trials, steps, units)` if there was an axis of trials; NaN after the end of a
            trial that is shorter than the longest.

    >>> import numpy as np
    >>> from recurra.engine import Graph, Node, Operator, Variable, lower
    >>> from recurra.equations import parse_equation
    >>> count = Operator((parse_equation("x' = I"),), {"x": Variable("state"), "I": Variable("input")})
    >>> drive = np.array([[[1.0], [1.0]], [[2.0], [2.0]]])  # two trials of two steps
    >>> found = evaluate(lower(Graph({"n": Node({"op": count})})), {"n/op/I": drive}, np.zeros((2, 2, 1)),
    ...                  output="n/op/x", dt=1.0, loss="l1")
    >>> found.outputs[:, :, 0].tolist(), found.losses.tolist(), found.loss
    ([[0.0, 1.0], [0.0, 2.0]], [0.5, 1.0], 0.75)
    """

    loss: float
    losses: np.ndarray
    outputs: np.ndarray

    __repr__ = brief


def evaluate(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
    *,
    output: object,
    dt: float,
    loss: object = "mse",
    mask: ArrayLike | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    precision: str | None = None,
    solver: str | None = None,
    state: Snapshot | None = None,
    history: Mapping[str, object] | None = None,
) -> Evaluation:
    """Compare what a program puts out with targets.

    Arguments:
        program, inputs, targets, output, dt, loss, mask, seed, precision, solver, state, history: as for
            :func:`fit_bptt`.
        batch_size: trials that run at once; all of them if `None`.

    Returns:
        The losses and the outputs.

    Raises:
        RecurraError: something given does not fit.

    >>> import numpy as np
    >>> from recurra.engine import Graph, Node, Operator, Variable, lower
    >>> from recurra.equations import parse_equation
    >>> count = Operator((parse_equation("x' = I"),), {"x": Variable("state"), "I": Variable("input")})
    >>> program = lower(Graph({"n": Node({"op": count})}))
    >>> evaluate(program, {"n/op/I": np.ones((3, 1))}, np.zeros((3, 1)), output="n/op/x", dt=1.0, loss="l1").loss
    1.0
    """
    name, function = find_loss(loss)
    paths, units = count_units(program, output)
    precision = training_precision(program, precision)
    trials = make_trials(program, inputs, targets, units, name, mask, dt=dt, state=state)
    objective = Objective(untrained(program), Penalties(()), paths, function, dt, solver, precision, state, history)
    with interruptible(), jax.enable_x64(needs_wide(program, precision)):
        data, key = on_device(trials, precision), seed_key(seed)

        @partial(jax.jit, static_argnums=2)
        def window(chosen: jax.Array, start: jax.Array, steps: int, state: Any) -> tuple[jax.Array, Any]:
            batch = cut(gather(data, chosen, key), start, steps)
            found, last = objective.outputs({}, batch, steps, state, objective.first + start)
            return found["output"], last

        @jax.jit
        def judge(chosen: jax.Array, found: jax.Array) -> jax.Array:
            batch = gather(data, chosen, key)
            return jax.vmap(lambda *each: trial_loss(function, *each))(found, batch.targets, batch.mask)[0]

        parts = []
        for chosen in in_batches(trials.count, batch_size):
            found, last = [], None
            for start, steps in windows(program, trials.steps, runs=len(chosen)):
                check()
                rows, last = window(chosen, np.int32(start), steps, last)
                found.append(jax.block_until_ready(rows))
            outputs = found[0] if len(found) == 1 else jnp.concatenate(found, axis=1)
            parts.append((judge(chosen, outputs), outputs))
        losses, outputs = (np.concatenate([np.asarray(p[i]) for p in parts]) for i in range(2))
    outputs = trials_as_given(outputs, trials.lengths)
    return Evaluation(float(np.mean(losses)), losses, outputs if trials.batched else outputs[0])


def collect(
    program: Program,
    inputs: Mapping[str, object] | None,
    rows: int,
    lengths: np.ndarray | None = None,
    *,
    output: object,
    dt: float,
    every: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    precision: str | None = None,
    solver: str | None = None,
    state: Snapshot | None = None,
    history: Mapping[str, object] | None = None,
) -> np.ndarray:
    """Run trials and return variables.

    Arguments:
        program, inputs, output, dt, batch_size, seed, precision, solver, state, history: as for :func:`evaluate`.
        rows: number of rows wanted.
        lengths: `(trials,)`, number of rows of each trial where they are given as a list.
        every: steps between rows.

    Returns:
        `(rows, units)`, or `(trials, rows, units)` if an input had an axis of trials.
    """
    paths, _ = count_units(program, output)
    precision = read_precision(program, precision)
    begin = time_of(state)
    own = None if lengths is None else lengths * every
    given, count = make_inputs(program, inputs, rows * every, own, dt=dt, begin=begin)
    run = partial(
        as_function,
        program,
        dt=dt,
        solver=solver,
        record={"output": paths},
        every=every,
        state=state,
        history=history,
        precision=precision,
        final=True,
    )
    with interruptible(), jax.enable_x64(needs_wide(program, precision)):
        key = seed_key(seed)

        @partial(jax.jit, static_argnums=3)
        def window(trials: jax.Array, given: Mapping[str, jax.Array], step: jax.Array, count: int, last: Any) -> Any:
            part = run(count * every * dt)

            def one(trial: jax.Array, given: Mapping[str, jax.Array], last: Any) -> Any:
                return part({}, given, state=last, step=step, seed=jax.random.fold_in(key, trial))

            return jax.vmap(one)(trials, given, last)

        wide = {path: np.broadcast_to(v, (count or 1, *v.shape[1:])).astype(precision) for path, v in given.items()}
        first = 0 if state is None else state.step
        parts = []
        for chosen in in_batches(count or 1, batch_size):
            found, last = [], None
            for start, part in windows(program, rows, every, len(chosen)):
                check()
                steps = slice(start * every, (start + part) * every + 1)
                fed = {path: value[chosen, steps] for path, value in wide.items()}
                out, last = window(chosen, fed, np.int32(first + start * every), part, last)
                found.append(np.asarray(out["output"]))
            parts.append(np.concatenate(found, axis=1))
    found = np.concatenate(parts).astype(float)
    return found[0] if count is None else found
