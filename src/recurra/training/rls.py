"""Recursive least squares, one row at a time (Haykin 2002, ch. 9), and FORCE learning (Sussillo & Abbott 2009)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.engine import Moment, Program, Snapshot, as_online
from recurra.engine.interrupts import check, interruptible
from recurra.engine.loop import scan_rows
from recurra.engine.origin import Origin
from recurra.engine.precision import needs_wide, read_precision
from recurra.engine.randomness import seed_key
from recurra.engine.run import windows
from recurra.errors import OptionError, ShapeError
from recurra.training.trials import count_units, make_trials, on_steps

WINDOW = 1e9  # multiplications of rows that are learned in one piece


@dataclass(frozen=True, eq=False)
class OnlineReadout:
    """Hold a linear readout that was learned row by row.

    Arguments:
        weights: `(targets, features)`.
        inverse: inverse of the correlation matrix of the features, `(features, features)`; hand it on with `weights`
            to learn more.
        outputs: the readout of every row before its update, `(rows, targets)`, or with a first axis of trials.
        final: the state after the last step; `None` without a program.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> y = x @ np.array([[1.0], [-2.0], [0.5]])
    >>> half = rls(x[:25], y[:25])
    >>> both = rls(x[25:], y[25:], weights=half.weights, inverse=half.inverse)
    >>> bool(np.abs(both.weights - rls(x, y).weights).max() < 1e-12)
    True
    """

    weights: np.ndarray
    inverse: np.ndarray
    outputs: np.ndarray
    final: Snapshot | None = None

    __repr__ = brief


def rls_update(
    weights: Array, inverse: Array, features: Array, error: Array, forgetting: float
) -> tuple[Array, Array]:
    """Return weights and inverse correlation after one row.

    Arguments:
        weights: `(k, n)`.
        inverse: `(n, n)`, symmetric.
        features: `(n,)`.
        error: readout minus target, `(k,)`.
        forgetting: weight of what was before, 0 < forgetting <= 1.
    """
    projected = inverse @ features
    scale = forgetting + features @ projected
    # As an outer product of one vector with itself the inverse stays symmetric to the last bit.
    inverse = (inverse - jnp.outer(projected, projected) / scale) / forgetting
    return weights - jnp.outer(error, projected / scale), inverse


def _learn(carry: tuple, features: Array, target: Array, learns: Array, forgetting: float) -> tuple[tuple, Array]:
    weights, inverse = carry
    readout = weights @ features
    changed = rls_update(weights, inverse, features, readout - target, forgetting)
    return tuple(jnp.where(learns, new, old) for new, old in zip(changed, carry, strict=True)), readout


def rls(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    alpha: float = 1.0,
    forgetting: float = 1.0,
    weights: ArrayLike | None = None,
    inverse: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> OnlineReadout:
    """Fit a linear readout row by row; after the last row it is that of :func:`ridge` with the same alpha.

    Source: recursive least squares (Plackett 1950).

    Arguments:
        features: `(rows, n)`.
        targets: `(rows, k)`.
        alpha: strength of the penalty: the inverse starts as the identity divided by alpha.
        forgetting: weight of the past from row to row; less than 1 follows targets that drift.
        weights, inverse: where to start; zeros, and the identity divided by alpha.
        mask: `(rows,)`; rows that are false are read out but not learned from.

    Returns:
        The readout.

    Raises:
        ShapeError: shapes do not fit.
        OptionError: alpha or forgetting out of range.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> rls(x, x @ np.array([[1.0], [-2.0], [0.5]]), alpha=1e-9).weights.round(6)
    array([[ 1. , -2. ,  0.5]])
    """
    x, y = np.asarray(features, float), np.asarray(targets, float)
    y = y[:, None] if y.ndim == 1 else y
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not np.all(np.isfinite(x)):
        raise ShapeError(
            f"features have shape {x.shape} and targets {np.shape(targets)}; expected finite (rows, n) and (rows, k)."
        )
    learns = np.ones(len(x), bool) if mask is None else np.asarray(mask) > 0
    if learns.shape != (len(x),):
        raise ShapeError(f"mask has shape {learns.shape}, expected ({len(x)},).")
    with jax.enable_x64(True):
        start = _start(y.shape[1], x.shape[1], alpha, forgetting, weights, inverse, "float64")
        found, outputs, size = start, [], max(1, int(WINDOW / x.shape[1] ** 2))
        y, learns = np.where(np.isfinite(y), y, 0.0), learns & np.isfinite(y).all(1)
        with interruptible():
            for part in (slice(i, i + size) for i in range(0, len(x), size)):
                check()
                found, rows = _rls(found, x[part], y[part], learns[part], forgetting)
                outputs.append(np.asarray(rows))
    return OnlineReadout(np.asarray(found[0]), np.asarray(found[1]), np.concatenate(outputs))


@jax.jit
def _rls(start: tuple, x: Array, y: Array, learns: Array, forgetting: float) -> tuple[tuple, Array]:
    return scan_rows(lambda carry, j: _learn(carry, x[j], y[j], learns[j], forgetting), start, len(x))


def _start(
    k: int,
    n: int,
    alpha: float,
    forgetting: float,
    weights: ArrayLike | None,
    inverse: ArrayLike | None,
    precision: str,
) -> tuple[Array, Array]:
    """Check and lay out where recursive least squares starts."""
    if not (isinstance(alpha, (int, float)) and alpha > 0):
        raise OptionError(f"alpha must be a number > 0, got {alpha!r}; for none at all use ridge with alpha=0.")
    if not (isinstance(forgetting, (int, float)) and 0 < forgetting <= 1):
        raise OptionError(f"forgetting must be a number > 0 and <= 1, got {forgetting!r}.")
    first = np.zeros((k, n)) if weights is None else np.asarray(weights, float)
    matrix = np.eye(n) / alpha if inverse is None else np.asarray(inverse, float)
    for name, array, shape in (("weights", first, (k, n)), ("inverse", matrix, (n, n))):
        if array.shape != shape:
            raise ShapeError(f"{name}: got shape {array.shape}, expected {shape}.")
    return jnp.asarray(first, precision), jnp.asarray(matrix, precision)


def fit_rls(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
    *,
    output: object,
    dt: float,
    feedback: str | None = None,
    feedback_weights: ArrayLike | None = None,
    alpha: float = 1.0,
    forgetting: float = 1.0,
    every: int = 1,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    inverse: ArrayLike | None = None,
    seed: int = 0,
    precision: str | None = None,
    solver: str | None = None,
    state: Snapshot | None = None,
    history: Mapping[str, object] | None = None,
) -> OnlineReadout:
    """Learn a linear readout while the program runs; with `feedback` this is FORCE learning (Sussillo & Abbott 2009).

    In FORCE learning the readout drives the network from the start, errors and all. In each step the readout before
    its update is what is fed back, held for the step: the same as an edge from what is read out to `feedback`.

    Arguments:
        program: the network; it is not changed.
        inputs: path of an input -> `(steps, units)` or `(trials, steps, units)`; trials are learned one after the
            other, each from the same state.
        targets: `(steps, k)` or `(trials, steps, k)`.
        output: path of the variable that is read out, or a list of paths that are laid side by side.
        dt: the step.
        feedback: path of the input that the readout drives.
        feedback_weights: `(units of feedback, k)`; the identity if it has k units.
        alpha: strength of the penalty; in FORCE learning 1/alpha acts as a learning rate.
        forgetting: weight of the past from update to update.
        every: steps between updates.
        mask: `(steps,)` or `(trials, steps)`: 0 for steps that are not learned from; the readout goes on.
        weights, inverse: where to start, as of an earlier :class:`OnlineReadout`.
        seed, precision, solver, state, history: as for :func:`recurra.engine.simulate`.

    Returns:
        The readout; `outputs` has the shape of the targets.

    Raises:
        RecurraError: something given does not fit.

    >>> from recurra import Network
    >>> from recurra.engine import simulate
    >>> rng = np.random.default_rng(0)
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node("res", "v' = -v + u", variables={"v": "output", "u": "input"}, N=5)
    >>> drive = {"res/op/u": rng.standard_normal((200, 5))}
    >>> target = simulate(net, 20.0, dt=0.1, inputs=drive)["res/op/v"] @ np.ones((5, 1))
    >>> readout = fit_rls(net.program, drive, target, output="res/op/v", dt=0.1, alpha=1e-6)
    >>> bool(np.abs(readout.outputs[-50:] - target[-50:]).max() < 1e-4)
    True
    """
    paths, size = count_units(program, output)
    precision = read_precision(program, precision)
    if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
        raise OptionError(f"every must be a whole number of steps >= 1, got {every!r}.")
    trials = make_trials(program, *on_steps(inputs, targets, dt, state), None, "mse", mask)
    if trials.mask.shape[2] != 1:
        raise ShapeError("mask: all targets of a step are learned together; give (steps,) or (trials, steps).")
    k = trials.targets.shape[2]
    shape = (0 if feedback is None else program.layout.one(feedback).size, k)
    matrix = _feedback_weights(feedback, shape, feedback_weights)
    learns = (trials.mask[:, :, 0] > 0) & (np.arange(trials.steps) % every == 0)
    with interruptible(), jax.enable_x64(needs_wide(program, precision)):
        carry = _start(k, size, alpha, forgetting, weights, inverse, precision)
        back = jnp.asarray(matrix, precision)

        @partial(jax.jit, static_argnums=0)
        def window(
            steps: int, carry: tuple, given: Mapping[str, Array], goal: Array, learns: Array, key: Array, at: tuple
        ) -> tuple:
            def observe(carry: tuple, moment: Moment) -> tuple:
                j = moment.row
                carry, readout = _learn(carry, moment.recorded["output"], goal[j], learns[j], forgetting)
                return carry, {} if feedback is None else {feedback: back @ readout}, readout

            run = as_online(
                program,
                steps * dt,
                observe,
                dt=dt,
                solver=solver,
                driven=() if feedback is None else (feedback,),
                record={"output": paths},
                state=state,
                history=history,
                precision=precision,
            )
            return run(carry, None, given, seed=key, step=at[0], state=at[1])

        first, outputs, data = 0 if state is None else state.step, [], trials.cast(precision)
        parts = windows(program, trials.steps)
        for i in range(trials.count):
            key, last, found = jax.random.fold_in(seed_key(seed), i), None, []
            for start, steps in parts:
                check()
                rows, ends = slice(start, start + steps), slice(start, start + steps + 1)
                given = {path: value[i, ends] for path, value in data.inputs.items()}
                at = np.int32(first + start), last
                carry, last, readout = window(steps, carry, given, data.targets[i, rows], learns[i, rows], key, at)
                found.append(np.asarray(readout, float))
            outputs.append(np.concatenate(found))
    begin = Snapshot({}, 0, 0.0, dt) if state is None else state
    ended = {key: np.asarray(v) for key, v in (last or {}).items()}
    final = Snapshot(ended, begin.step + trials.steps, begin.t0, dt, Origin(program.system))
    found = np.stack(outputs) if trials.batched else outputs[0]
    return OnlineReadout(np.asarray(carry[0], float), np.asarray(carry[1], float), found, final)


def _feedback_weights(feedback: str | None, shape: tuple[int, int], given: ArrayLike | None) -> np.ndarray:
    if given is None:
        if feedback is not None and shape[0] != shape[1]:
            raise ShapeError(
                f"feedback: {feedback!r} has {shape[0]} units and there are {shape[1]} targets; give feedback_weights"
                f" of shape {shape}."
            )
        return np.eye(*shape)
    if feedback is None:
        raise OptionError("feedback_weights without feedback: name the input that the readout drives.")
    found = np.asarray(given, float)
    if found.shape != shape:
        raise ShapeError(f"feedback_weights: got shape {found.shape}, expected {shape}.")
    return found
