"""Run trials without learning, and compare with targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import ArrayLike

from recurra.engine import Program, Snapshot, as_function
from recurra.engine.results import time_of
from recurra.training.losses import find_loss, trial_loss
from recurra.training.objective import Objective, batches, gather, on_device, untrained
from recurra.training.parameters import Penalties
from recurra.training.trials import count_units, inputs_on_steps, make_inputs, make_trials, on_steps


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Hold what trials gave.

    Arguments:
        loss: mean over the trials.
        losses: loss of each trial, `(trials,)`.
        outputs: `(steps, units)`, or `(trials, steps, units)` if there was an axis of trials.

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
    precision: str = "float32",
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
    trials = make_trials(program, *on_steps(inputs, targets, dt, state), units, name, mask)
    objective = Objective(untrained(program), Penalties(()), paths, function, dt, solver, precision, state, history)
    with jax.enable_x64(precision == "float64"):
        data, key = on_device(trials, precision), jax.random.key(seed)

        def one(chosen: jax.Array) -> tuple[jax.Array, jax.Array]:
            batch = gather(data, chosen, key)
            found = objective.outputs({}, batch, trials.steps)[0]["output"]
            losses, _ = jax.vmap(lambda *each: trial_loss(function, *each))(found, batch.targets, batch.mask)
            return losses, found

        compiled = jax.jit(one)
        parts = [compiled(chosen) for chosen in batches(trials.count, batch_size)]
        losses, outputs = (np.concatenate([np.asarray(p[i]) for p in parts]) for i in range(2))
    return Evaluation(float(np.mean(losses)), losses, outputs if trials.batched else outputs[0])


def collect(
    program: Program,
    inputs: Mapping[str, object] | None,
    rows: int,
    *,
    output: object,
    dt: float,
    every: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    precision: str = "float64",
    solver: str | None = None,
    state: Snapshot | None = None,
    history: Mapping[str, object] | None = None,
) -> np.ndarray:
    """Run trials and return variables.

    Arguments:
        program, inputs, output, dt, batch_size, seed, precision, solver, state, history: as for :func:`evaluate`.
        rows: number of rows wanted.
        every: steps between rows.

    Returns:
        `(rows, units)`, or `(trials, rows, units)` if an input had an axis of trials.
    """
    paths, _ = count_units(program, output)
    begin = time_of(state)
    given, count = make_inputs(program, inputs_on_steps(inputs, dt, begin, rows * every), rows * every)
    run = as_function(
        program,
        rows * every * dt,
        dt=dt,
        solver=solver,
        record={"output": paths},
        every=every,
        state=state,
        history=history,
        precision=precision,
    )
    with jax.enable_x64(precision == "float64"):
        key = jax.random.key(seed)

        def one(trial: jax.Array, given: Mapping[str, jax.Array]) -> jax.Array:
            return run({}, given, seed=jax.random.fold_in(key, trial))["output"]

        compiled = jax.jit(jax.vmap(one))
        wide = {path: np.broadcast_to(v, (count or 1, *v.shape[1:])).astype(precision) for path, v in given.items()}
        parts = [
            np.asarray(compiled(chosen, {path: value[chosen] for path, value in wide.items()}))
            for chosen in batches(count or 1, batch_size)
        ]
    found = np.concatenate(parts).astype(float)
    return found[0] if count is None else found
