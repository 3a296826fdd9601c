"""Linear readouts in closed form: ridge regression (Hoerl & Kennard 1970)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.engine import Program, Snapshot
from recurra.engine.results import time_of
from recurra.errors import OptionError, ShapeError
from recurra.training.evaluation import collect
from recurra.training.stacking import stacked, trial_arrays
from recurra.training.trials import read_targets, row_mask


@dataclass(frozen=True, eq=False)
class Readout:
    """Hold a linear readout.

    Arguments:
        weights: `(targets, features)`.
        intercept: `(targets,)`; zeros if none was asked for.
        alpha: strength of the penalty.
        score: coefficient of determination of each target on what was learned from, `(targets,)`; NaN for a constant.
        errors: alpha -> mean squared error on blocks left out; empty if one alpha was given.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 2))
    >>> readout = ridge(x, x @ np.array([1.0, -2.0]) + 3.0, 0.0, intercept=True)
    >>> readout.weights.round(6), readout.intercept.round(6), readout.predict([[1.0, 1.0]]).round(6)
    (array([[ 1., -2.]]), array([3.]), array([[2.]]))
    """

    weights: np.ndarray
    intercept: np.ndarray
    alpha: float
    score: np.ndarray
    errors: Mapping[float, float]

    __repr__ = brief

    def predict(self, features: ArrayLike) -> np.ndarray:
        """Return the readout of features `(..., features)`."""
        return np.asarray(features, float) @ self.weights.T + self.intercept


def ridge(
    features: ArrayLike,
    targets: ArrayLike,
    alpha: float | Sequence[float] = 1e-4,
    *,
    intercept: bool = False,
    folds: int = 5,
    mask: ArrayLike | None = None,
) -> Readout:
    """Fit weights W that minimise sum of |W x - y|^2 + alpha |W|^2 (Hoerl & Kennard 1970).

    Arguments:
        features: `(rows, features)` or `(trials, rows, features)`, or a list of trials, of unequal length if need be.
        targets: `(rows,)`, `(rows, targets)` or `(trials, rows, targets)`, or a list of trials.
        alpha: a number >= 0; with 0 the solution of smallest norm. Of several the one with the smallest error under
            cross-validation over `folds` contiguous blocks of rows.
        intercept: fit a constant too, which is not penalised.
        folds: number of blocks.
        mask: `(rows,)` or `(trials, rows)`, or a list; rows that are false are left out.

    Returns:
        The readout.

    Raises:
        ShapeError: features and targets do not fit each other, or are not finite.
        OptionError: alpha or folds out of range.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> ridge(x, x @ np.array([1.0, -2.0, 0.5]), 0.0).weights.round(6)
    array([[ 1. , -2. ,  0.5]])
    """
    x, y = _rows(features, targets, mask)
    choices = [float(a) for a in np.atleast_1d(np.asarray(alpha, float))]
    if not choices or not all(np.isfinite(a) and a >= 0 for a in choices):
        raise OptionError(f"alpha must be a number >= 0, or several, got {alpha!r}.")
    errors: dict[float, float] = {}
    if len(choices) > 1:
        if not 2 <= folds <= len(x):
            raise OptionError(f"folds must be 2 ... {len(x)} (the number of rows), got {folds!r}.")
        errors = _cross_validate(x, y, choices, intercept, folds)
    best = min(errors, key=errors.__getitem__) if errors else choices[0]
    weights, constant = _solve(x, y, [best], intercept)[0]
    residual = np.sum((y - x @ weights.T - constant) ** 2, axis=0)
    spread = np.sum((y - y.mean(axis=0)) ** 2, axis=0)
    score = 1.0 - residual / np.where(spread > 0, spread, np.nan)
    return Readout(weights, constant, best, score, errors)


def _rows(features: ArrayLike, targets: ArrayLike, mask: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    (x, lengths), (y, own) = _as_array(features, "features"), _as_array(targets, "targets")
    given, y = y.shape, y[:, None] if y.ndim == 1 else y
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "biuf" or x.ndim not in (2, 3) or x.shape[:-1] != y.shape[:-1]:
        raise ShapeError(
            f"features have shape {x.shape} and targets {given}; expected numbers (rows, n) and (rows, k), or the"
            " same with a first axis of trials."
        )
    if x.ndim == 3:
        full = np.full(len(x), x.shape[1])
        mine, theirs = (full if each is None else each for each in (lengths, own))
        if (mine != theirs).any():
            at = int(np.argmax(mine != theirs))
            raise ShapeError(f"trial {at} has {mine[at]} rows of features and {theirs[at]} of targets.")
    mask = row_mask(mask, x.shape[:-1], lengths)  # type: ignore[assignment]
    keep = np.ones(x.shape[:-1], bool) if mask is None else np.asarray(mask)
    if keep.shape != x.shape[:-1]:
        if keep.shape != x.shape[-2:-1]:
            raise ShapeError(f"mask has shape {keep.shape}, expected {x.shape[:-1]}.")
        keep = np.broadcast_to(keep, x.shape[:-1])
    x, y = x[keep > 0].astype(float), y[keep > 0].astype(float)
    if not len(x) or not np.all(np.isfinite(x)) or not np.all(np.isfinite(y)):
        raise ShapeError("ridge needs at least one row that counts, and finite numbers in features and targets.")
    return x, y


def _as_array(values: ArrayLike, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return `(rows, n)` or `(trials, rows, n)`, and the length of each trial if they are a list."""
    trials = trial_arrays(values, where, None, lambda item, *_: item)
    if trials is None:
        return np.asarray(values), None
    found, lengths = stacked(trials)
    return (found[..., None] if found.ndim == 2 else found), lengths


def _solve(
    x: np.ndarray, y: np.ndarray, alphas: list[float], intercept: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Solve for several alphas with one singular value decomposition, which does not square the condition number."""
    mean_x = x.mean(axis=0) if intercept else np.zeros(x.shape[1])
    mean_y = y.mean(axis=0) if intercept else np.zeros(y.shape[1])
    left, sizes, right = np.linalg.svd(x - mean_x, full_matrices=False)
    projected = left.T @ (y - mean_y)
    tiny = sizes <= np.finfo(float).eps * max(x.shape) * (sizes[0] if len(sizes) else 0.0)
    found = []
    for alpha in alphas:
        # Directions that rounding alone spans get nothing, as in the pseudo-inverse (Penrose 1955).
        gain = np.where(tiny, 0.0, sizes / np.where(tiny, 1.0, sizes**2 + alpha))
        weights = (right.T @ (gain[:, None] * projected)).T
        found.append((weights, mean_y - weights @ mean_x))
    return found


def _cross_validate(
    x: np.ndarray, y: np.ndarray, alphas: list[float], intercept: bool, folds: int
) -> dict[float, float]:
    total = np.zeros(len(alphas))
    for block in np.array_split(np.arange(len(x)), folds):
        rest = np.delete(np.arange(len(x)), block)
        for i, (weights, constant) in enumerate(_solve(x[rest], y[rest], alphas, intercept)):
            total[i] += np.sum((x[block] @ weights.T + constant - y[block]) ** 2)
    return dict(zip(alphas, (total / y.size).tolist(), strict=True))


def fit_ridge(
    program: Program,
    inputs: Mapping[str, object] | None,
    targets: ArrayLike,
    *,
    output: object,
    dt: float,
    alpha: float | Sequence[float] = 1e-4,
    intercept: bool = False,
    folds: int = 5,
    mask: ArrayLike | None = None,
    every: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    precision: str | None = None,
    solver: str | None = None,
    state: Snapshot | None = None,
    history: Mapping[str, object] | None = None,
) -> Readout:
    """Run a program and fit a linear readout of its variables.

    Arguments:
        program: the network; it is not changed.
        inputs: path of an input -> `(steps, units)` or `(trials, steps, units)`.
        targets: `(rows, k)` or `(trials, rows, k)`, or a list of trials, with `rows = steps / every`.
        output: path of the variable that is read out, or a list of paths that are laid side by side.
        dt: the step.
        alpha, intercept, folds, mask: as for :func:`ridge`.
        every: steps between the rows that are read out.
        batch_size: trials that run at once; all of them if `None`.
        seed, precision, solver, state, history: as for :func:`recurra.engine.simulate`.

    Returns:
        The readout, with weights `(k, units of output)`.

    Raises:
        RecurraError: something given does not fit.

    >>> from recurra import Network
    >>> from recurra.engine import simulate
    >>> rng = np.random.default_rng(0)
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node("res", "v' = -v + u", variables={"v": "output", "u": "input"}, N=5)
    >>> drive = {"res/op/u": rng.standard_normal((200, 5))}
    >>> target = simulate(net, 20.0, dt=0.1, inputs=drive)["res/op/v"] @ np.ones((5, 1))
    >>> readout = fit_ridge(net.program, drive, target, output="res/op/v", dt=0.1, alpha=1e-9)
    >>> readout.weights.round(3)
    array([[1., 1., 1., 1., 1.]])
    """
    goal, lengths = read_targets(targets, None, dt * every, time_of(state))
    if goal.ndim not in (1, 2, 3):
        raise ShapeError(f"targets: got shape {goal.shape}, expected (rows, k) or (trials, rows, k).")
    goal = goal[:, None] if goal.ndim == 1 else goal
    features = collect(
        program,
        inputs,
        goal.shape[-2],
        lengths,
        output=output,
        dt=dt,
        every=every,
        batch_size=batch_size,
        seed=seed,
        precision=precision,
        solver=solver,
        state=state,
        history=history,
    )
    if goal.ndim == 2:
        goal = np.broadcast_to(goal, (*features.shape[:-2], *goal.shape))
    elif features.ndim == 2:
        features = np.broadcast_to(features, (len(goal), *features.shape))
    counts = row_mask(mask, goal.shape[:-1], lengths)
    return ridge(features, goal, alpha, intercept=intercept, folds=folds, mask=counts)  # type: ignore[arg-type]
