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
from recurra.training.recursion import Recursion, Watch, make_recursion
from recurra.training.stacking import as_list, stacked, trial_arrays, trials_as_given
from recurra.training.trials import Trials, count_units, make_trials

WINDOW = 1e9  # multiplications of rows that are learned in one piece


@dataclass(frozen=True, eq=False)
class OnlineReadout:
    """Hold a linear readout that was learned row by row.

    Arguments:
        weights: `(targets, features)`.
        inverse: inverse of the correlation matrix of the features, `(features, features)`; hand it on with `weights`
            to learn more. Where each target has its own, `(targets, most, most)`, for the features that reach it.
        outputs: the readout of every row before its update, `(rows, targets)`, or with a first axis of trials; NaN
            after the end of a trial that is shorter than the longest.
        final: the state after the last step; `None` without a program.
        connections: `(targets, features)`, which feature reaches which target; `None` if all do.

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
    connections: np.ndarray | None = None

    __repr__ = brief


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
        features: `(rows, n)`, or a list of trials, which are learned one after the other.
        targets: `(rows, k)`, or a list of trials.
        alpha: strength of the penalty: the inverse starts as the identity divided by alpha.
        forgetting: weight of the past from row to row; less than 1 follows targets that drift.
        weights, inverse: where to start; zeros, and the identity divided by alpha.
        mask: `(rows,)`, or a list; rows that are false are read out but not learned from.

    Returns:
        The readout.

    Raises:
        ShapeError: shapes do not fit.
        OptionError: alpha or forgetting out of range.
        TrainingError: the inverse runs away, because something that rests is forgotten.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> rls(x, x @ np.array([[1.0], [-2.0], [0.5]]), alpha=1e-9).weights.round(6)
    array([[ 1. , -2. ,  0.5]])
    """
    lengths = _lengths(features, targets, mask)
    if lengths is not None:
        features, targets = (np.concatenate([np.asarray(v) for v in each]) for each in (features, targets))  # type: ignore
        mask = None if mask is None else np.concatenate([np.asarray(v) for v in mask])  # type: ignore
    x, y = np.asarray(features, float), np.asarray(targets, float)
    y = y[:, None] if y.ndim == 1 else y
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not np.all(np.isfinite(x)):
        raise ShapeError(
            f"features have shape {x.shape} and targets {y.shape}; expected finite (rows, n) and (rows, k)."
        )
    learns = np.ones(len(x), bool) if mask is None else np.asarray(mask) > 0
    if learns.shape != (len(x),):
        raise ShapeError(f"mask has shape {learns.shape}, expected ({len(x)},).")
    with jax.enable_x64(True):
        found = Recursion(x.shape[1], forgetting).start(y.shape[1], alpha, weights, inverse, "float64")
        outputs, size = [], max(1, int(WINDOW / x.shape[1] ** 2))
        y, learns = np.where(np.isfinite(y), y, 0.0), learns & np.isfinite(y).all(1)
        watch = Watch(found, forgetting, "float64")
        with interruptible():
            for i in range(0, len(x), size):
                check()
                part = slice(i, i + size)
                found, told = _rls(found, x[part], y[part], learns[part], forgetting)
                watch.look(told, i)
                outputs.append(np.asarray(told[0]))
    rows = np.concatenate(outputs)
    if lengths is not None:
        rows = stacked(np.split(rows, np.cumsum(lengths)[:-1]), np.nan)[0]
    return OnlineReadout(np.asarray(found[0]), np.asarray(found[1]), rows)


def _lengths(features: object, targets: object, mask: object) -> np.ndarray | None:
    """Return the number of rows of each trial of a list; `None` if it is one array."""
    items = trial_arrays(features, "features", None, lambda item, *_: item)
    if items is None:
        return None
    lengths = np.array([len(item) for item in items])
    for name, given in (("targets", targets), ("mask", mask)):
        own = None if given is None else as_list(given)
        if given is not None and (own is None or [len(np.asarray(item)) for item in own] != lengths.tolist()):
            raise ShapeError(f"{name}: features are trials of {', '.join(map(str, lengths[:9]))} rows; give a list of"
                             f" as many {name}.")  # fmt: skip
    return lengths


@jax.jit
def _rls(start: tuple, x: Array, y: Array, learns: Array, forgetting: float) -> tuple[tuple, tuple]:
    recursion = Recursion(x.shape[1], forgetting)
    return scan_rows(lambda carry, j: recursion.learn(carry, x[j], y[j], learns[j]), start, len(x))


def fit_rls(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
    *,
    output: object,
    dt: float,
    feedback: str | None = None,
    feedback_weights: ArrayLike | None = None,
    connections: ArrayLike | None = None,
    compare: object = None,
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
    its update is what is fed back, held for the step: the same as an edge from what is read out to `feedback`. What is
    fed into that input besides is added.

    With `connections` every target has an inverse correlation of its own, of the features that reach it, and with
    `compare` the error is that of a variable and not of the readout: innate training (Laje & Buonomano 2013).

    Arguments:
        program: the network; it is not changed.
        inputs: path of an input -> `(steps, units)` or `(trials, steps, units)`, or a list of trials; trials are
            learned one after the other, each from the same state.
        targets: `(steps, k)` or `(trials, steps, k)`, or a list of trials.
        output: path of the variable that is read out, or a list of paths that are laid side by side.
        dt: the step.
        feedback: path of the input that the readout drives.
        feedback_weights: `(units of feedback, k)`; the identity if it has k units.
        connections: `(k, units of output)` booleans: which unit reaches which target. All if `None`.
        compare: path of a variable of k units, or a list, that is compared with the targets; the readout if `None`.
        alpha: strength of the penalty; in FORCE learning 1/alpha acts as a learning rate.
        forgetting: weight of the past from update to update.
        every: steps between updates.
        mask: `(steps,)` or `(trials, steps)`: 0 for steps that are not learned from; the readout goes on. With an axis
            of targets each of them learns at its own times, and has its own inverse.
        weights, inverse: where to start, as of an earlier :class:`OnlineReadout`.
        seed, precision, solver, state, history: as for :func:`recurra.engine.simulate`.

    Returns:
        The readout; `outputs` has the shape of the targets.

    Raises:
        RecurraError: something given does not fit.
        TrainingError: the inverse runs away, because something that rests is forgotten, or the network diverges.

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
    trials = make_trials(program, inputs, targets, None, "mse", mask, dt=dt, state=state)
    k = trials.targets.shape[2]
    seen = _compared(program, compare, k)
    shape = (0 if feedback is None else program.layout.one(feedback).size, k)
    matrix = _feedback_weights(feedback, shape, feedback_weights)
    learns = _learns(trials, every)
    recursion = make_recursion(k, size, forgetting, connections, bool((learns != learns[:, :, :1]).any()))
    learns = learns[:, :, 0] if recursion.index is None else np.broadcast_to(learns, (*learns.shape[:2], k))
    with interruptible(), jax.enable_x64(needs_wide(program, precision)):
        carry = recursion.start(k, alpha, weights, inverse, precision)
        back = jnp.asarray(matrix, precision)

        @partial(jax.jit, static_argnums=0)
        def window(
            steps: int, carry: tuple, given: Mapping[str, Array], goal: Array, learns: Array, key: Array, at: tuple
        ) -> tuple:
            def observe(carry: tuple, moment: Moment) -> tuple:
                j, told = moment.row, moment.recorded
                carry, out = recursion.learn(carry, told["output"], goal[j], learns[j], told.get("compare"))
                return carry, {} if feedback is None else {feedback: back @ out[0]}, out

            run = as_online(
                program,
                steps * dt,
                observe,
                dt=dt,
                solver=solver,
                driven=() if feedback is None else (feedback,),
                record={"output": paths} | ({"compare": seen} if seen else {}),
                state=state,
                history=history,
                precision=precision,
            )
            return run(carry, None, given, seed=key, step=at[0], state=at[1])

        watch = Watch(carry, forgetting, precision)
        first, outputs, data = 0 if state is None else state.step, [], trials.cast(precision)
        for i in range(trials.count):
            key, last, found = jax.random.fold_in(seed_key(seed), i), None, []
            # All trials are run for as long as the longest, so that nothing is compiled twice, but for the last one,
            # whose end is what is left of it all.
            length = trials.steps if i < trials.count - 1 else int(trials.lengths[i])
            where = f" of trial {i}" if trials.count > 1 else ""
            for start, steps in windows(program, length):
                check()
                rows, ends = slice(start, start + steps), slice(start, start + steps + 1)
                given = {path: value[i, ends] for path, value in data.inputs.items()}
                at = np.int32(first + start), last
                carry, last, told = window(steps, carry, given, data.targets[i, rows], learns[i, rows], key, at)
                watch.look(told, start, where)
                found.append(np.asarray(told[0], float))
            outputs.append(np.concatenate(found))
    ended = {key: np.asarray(v) for key, v in (last or {}).items()}
    final = Snapshot(ended, first + length, 0.0 if state is None else state.t0, dt, Origin(program.system))
    found = trials_as_given(stacked(outputs, np.nan)[0], trials.lengths) if trials.batched else outputs[0]
    there = None if connections is None else np.array(connections, bool)
    return OnlineReadout(recursion.whole(carry[0]), np.asarray(carry[1], float), found, final, there)


def _learns(trials: Trials, every: object) -> np.ndarray:
    """Return which steps are learned from, `(trials, steps, targets or 1)`."""
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise OptionError(f"every must be a whole number of steps >= 1, got {every!r}.")
    return (trials.mask > 0) & (np.arange(trials.steps) % every == 0)[:, None]


def _compared(program: Program, compare: object, k: int) -> list[str]:
    """Return the paths of what is compared with k targets; none for the readout."""
    seen, units = ([], k) if compare is None else count_units(program, compare)
    if units != k:
        raise ShapeError(f"compare: {', '.join(seen)} has {units} units, the targets have {k}.")
    return seen


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
