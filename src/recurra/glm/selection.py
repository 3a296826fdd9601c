"""Choose the strength of a penalty: all strengths and folds at once, as columns of one fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from recurra.courtesy import brief, warn
from recurra.engine.interrupts import interruptible
from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm.design import Rows, read_mask
from recurra.glm.estimator import Plan
from recurra.glm.fitting import first_guess, fit_columns, null_model
from recurra.glm.numbers import as_mask
from recurra.glm.observations import NegativeBinomial, log_likelihood_of, scale_of
from recurra.glm.penalty import Penalty
from recurra.glm.pynapple_series import aligned, is_intervals
from recurra.glm.regression import Regression
from recurra.glm.regularizers import ARD, UnRegularized
from recurra.glm.solvers import Solution


@dataclass(frozen=True, eq=False)
class Path:
    """Hold the fits at a series of strengths.

    Arguments:
        strengths: `(strengths,)`.
        coef: `(strengths, features, neurons)`.
        intercept: `(strengths, neurons)`.
        objective: what was minimised, `(strengths, neurons)`.
        converged: `(strengths, neurons)`.

    >>> from recurra.glm.population import GLM
    >>> x = np.random.default_rng(0).standard_normal((200, 3))
    >>> path = regularization_path(GLM("Gaussian", regularizer="Lasso"), x, x[:, 0], [2.0, 0.1])
    >>> path.coef.shape, path.coef[1, :, 0].round(2).tolist()
    ((2, 3, 1), [0.9, 0.0, 0.0])
    """

    strengths: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    objective: np.ndarray
    converged: np.ndarray

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Hold how well models predict what they were not fitted to.

    Arguments:
        strengths: `(strengths,)`; NaN for a model's own that is no single number.
        scores: mean log-likelihood of a held-out bin, `(strengths, folds, neurons)`.
        deviance: mean deviance of a held-out bin, as scores.
        null_deviance: the same for the mean rate of the fitted bins, `(folds, neurons)`.
        best_strength: for each neuron the strength of the highest mean score, `(neurons,)`.
        best: the model fitted to everything at these strengths.

    >>> from recurra.glm.population import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((300, 20))
    >>> y = rng.poisson(np.exp(0.8 * x[:, 0]))
    >>> found = cross_validate(GLM(regularizer="Ridge"), x, y, [1e-4, 0.1, 1e4])
    >>> found.scores.shape, found.best_strength.tolist()
    ((3, 5, 1), [0.1])
    >>> found.deviance.mean(axis=(1, 2)).round(2).tolist(), float(found.null_deviance.mean().round(2))
    ([1.12, 1.11, 1.85], 1.85)
    """

    strengths: np.ndarray
    scores: np.ndarray
    deviance: np.ndarray
    null_deviance: np.ndarray
    best_strength: np.ndarray
    best: Any

    __repr__ = brief


def regularization_path(
    model: Regression,
    X: Any,
    y: ArrayLike | None = None,
    strengths: Sequence[float] | np.ndarray = (),
    sample_weight: Any = None,
    *,
    offset: ArrayLike | None = None,
    inputs: ArrayLike | None = None,
) -> Path:
    """Fit a model at many strengths at once; one compilation serves them all.

    Arguments:
        model: an estimator with a regularizer; it is not changed.
        X, y, sample_weight, offset: as for its `fit`; of a model that `fit_spikes` has fitted X may be a recording.
        strengths: zero or above, each for all neurons.
        inputs: those of the recording, if the fit had some.

    Returns:
        The fits.

    Raises:
        RecurraError: something given does not fit.

    >>> from recurra.glm.population import GLM
    >>> x = np.random.default_rng(0).standard_normal((200, 3))
    >>> path = regularization_path(GLM("Gaussian", regularizer="Lasso"), x, x[:, 0], [2.0, 0.1])
    >>> (path.coef[:, :, 0] != 0).sum(axis=1).tolist()
    [0, 1]
    """
    fresh = _fresh(model)
    (X, y), model = model._given(X, y, inputs), fresh
    levels = _read_strengths(strengths)
    rows = model._rows(X, y, sample_weight, True, offset)
    plan = _usable_plan(model)
    found = _fit_folds(model, plan, rows, levels, np.ones((1, len(rows.x)), bool))
    shape = (len(levels), rows.y.shape[1])
    coef = found.coef[:-1, :, 0].reshape(-1, *shape).transpose(1, 0, 2)
    whole = [part.reshape(shape) for part in (found.coef[-1, :, 0], found.value, found.converged)]
    return Path(levels, coef, *whole)


def cross_validate(
    model: Regression,
    X: Any,
    y: ArrayLike | None = None,
    strengths: Sequence[float] | np.ndarray | None = None,
    folds: Any = 5,
    sample_weight: Any = None,
    *,
    offset: ArrayLike | None = None,
    inputs: ArrayLike | None = None,
) -> CrossValidation:
    """Score a model on bins it was not fitted to, at many strengths, and choose a strength for each neuron.

    Folds, strengths and neurons are columns of one fit: it compiles once and passes over the data together.

    Arguments:
        model: an estimator; it is not changed.
        X, y, sample_weight, offset: as for its `fit`; of a model that `fit_spikes` has fitted X may be a recording, and
            y is left out.
        strengths: zero or above; the model's own if `None`.
        folds: number of blocks of consecutive bins that are held out in turn; or a list of arrays of the bins to hold
            out (numbers or truth values), of pairs (bins to fit, bins to hold out), or of IntervalSets of pynapple; or
            a splitter of scikit-learn. Neighbouring bins resemble each other, so blocks should be longer than filters.
        inputs: those of the recording, if the fit had some.

    Returns:
        The scores, and the model fitted to everything at the best strengths.

    Raises:
        RecurraError: something given does not fit.

    >>> from recurra.glm.population import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((300, 20))
    >>> y = rng.poisson(np.exp(0.8 * x[:, 0]))
    >>> cross_validate(GLM(regularizer="Ridge"), x, y, [1e-4, 0.1, 1e4]).best_strength.tolist()
    [0.1]
    """
    fresh = _fresh(model)
    given, (X, y) = X, model._given(X, y, inputs)
    rows = fresh._rows(X, y, sample_weight, True, offset)
    plan = _usable_plan(fresh, strengths is None)
    own = 1.0 if fresh.regularizer_strength is None else fresh.regularizer_strength
    levels = np.full(1, np.nan) if strengths is None else _read_strengths(strengths)
    train, held = _read_folds(folds, rows.x, aligned(X, y, offset))
    for k in range(len(held)):
        if not (rows.weight[train[k]].sum() > 0 and rows.weight[held[k]].sum() > 0):
            raise ShapeError(f"folds[{k}]: no bin that counts (without a NaN) is left to fit, or none is held out.")
    with interruptible():
        found = _fit_folds(fresh, plan, rows, [own] if strengths is None else levels, train)
    neurons = rows.y.shape[1]
    shape = (len(levels), len(held), neurons)
    coef = found.coef[..., 0].reshape(-1, *shape)
    scores, deviance = np.empty(shape), np.empty(shape)
    null_deviance = np.empty(shape[1:])
    for k, out in enumerate(held):
        test, fitted = rows.take(out & (rows.weight > 0)), rows.take(train[k] & (rows.weight > 0))
        for s in range(len(levels)):
            scores[s, k], deviance[s, k] = _held_out(plan, fitted, test, coef[:, s, k])
        null = null_model(plan.family, fitted).intercept if rows.offset is not None else fitted.mean
        null_deviance[k] = test.weight @ _deviance(plan, test.y, _null(plan, test, null)) / test.count
    best = levels[np.argmax(scores.mean(axis=1), axis=0)]
    chosen = _fresh(model)
    if strengths is not None:
        strength = best if neurons > 1 else float(best[0])
        chosen.set_params(regularizer_strength=strength)
    elif isinstance(own, int | float | np.number):
        levels, best = np.full(1, float(own)), np.full(neurons, float(own))
    if given is X:
        chosen.fit(X, y, sample_weight, offset=offset)
    else:
        chosen.fit_spikes_as(model, given, inputs, sample_weight=sample_weight, offset=offset)
    return CrossValidation(levels, scores, deviance, null_deviance, best, chosen)


def _fresh(model: Any) -> Any:
    if not isinstance(model, Regression):
        raise CapabilityError(
            f"model: {type(model).__name__} is no GLM of numbers; use cross_val_score or GridSearchCV of scikit-learn."
        )
    return clone(model)


def _usable_plan(model: Regression, alone: bool = False) -> Plan:
    plan = model._plan()
    if isinstance(plan.regularizer, ARD):
        raise CapabilityError("ARD finds its strengths itself; there is nothing to choose.")
    if isinstance(plan.regularizer, UnRegularized) and not alone:
        raise OptionError("regularizer: the model has none, so strengths change nothing; give one, such as 'Ridge'.")
    return plan


def _read_strengths(strengths: Any) -> np.ndarray:
    found = np.asarray(strengths, float)
    if found.ndim != 1 or not found.size or not np.all(np.isfinite(found)) or np.any(found < 0):
        raise OptionError(f"strengths: expected a list of numbers of zero or above, got {strengths!r}.")
    return found


def _read_folds(folds: Any, x: np.ndarray, series: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return for each fold which bins are fitted and which are held out, each `(folds, time)`."""
    rows = len(x)
    if isinstance(folds, bool):
        raise OptionError(f"folds: expected a number from 2 to the {rows} bins, got {folds}.")
    if isinstance(folds, int | np.integer):
        if not 2 <= folds <= rows:
            raise OptionError(f"folds: expected a number from 2 to the {rows} bins, got {folds}.")
        parts: list[Any] = np.array_split(np.arange(rows), int(folds))
    elif is_intervals(folds):
        parts = [folds[[k]] for k in range(len(folds))]
    else:
        parts = list(folds.split(x) if hasattr(folds, "split") and hasattr(folds, "get_n_splits") else folds)
    train, held = np.ones((len(parts), rows), bool), np.zeros((len(parts), rows), bool)
    for k, part in enumerate(parts):
        pair = isinstance(part, tuple | list) and len(part) == 2 and all(np.ndim(p) == 1 for p in part)
        held[k] = _bins(part[1] if pair else part, rows, series, f"folds[{k}]")
        train[k] = _bins(part[0], rows, series, f"folds[{k}]") if pair else ~held[k]
        if not held[k].any() or not train[k].any():
            raise ShapeError(f"folds[{k}]: some bins must be held out, and some must be left.")
        if np.any(held[k] & train[k]):
            raise ShapeError(f"folds[{k}]: {int(np.sum(held[k] & train[k]))} bins are both fitted and held out.")
    if not len(parts):
        raise OptionError("folds: there are none.")
    return train, held


def _bins(part: Any, rows: int, series: Any, where: str) -> np.ndarray:
    """Return bins as truth values `(time,)`."""
    if is_intervals(part):
        if series is None:
            raise OptionError(f"{where}: intervals of time need X or y to be a series of pynapple.")
        return np.any([(series.t >= a) & (series.t <= b) for a, b in np.asarray(part.values)], axis=0)
    given = np.asarray(part)
    if (mask := as_mask(given, rows)) is not None:
        return mask
    if given.dtype.kind not in "iu" or given.ndim != 1 or np.any((given < 0) | (given >= rows)):
        raise ShapeError(f"{where}: expected the numbers of bins below {rows}, or booleans of that length.")
    found = np.zeros(rows, bool)
    found[given] = True
    return found


def _fit_folds(
    model: Regression, plan: Plan, rows: Rows, levels: Sequence[Any] | np.ndarray, train: np.ndarray
) -> Solution:
    """Fit every strength, fold and neuron, in this order from slow to fast."""
    neurons, count = rows.y.shape[1], len(levels) * len(train)
    parts = [model.set_params(regularizer_strength=s)._penalty(plan, model.layout_, neurons) for s in levels]
    penalty = _beside([part for part in parts for _ in train])
    weight = np.where(train, rows.weight, 0).T
    starts = [first_guess(plan.family, replace(rows, weight=weight[:, k]), penalty)[0] for k in range(len(train))]
    start = np.concatenate(starts * len(levels), axis=1)
    many = rows.offset is not None and rows.offset.shape[1] > 1
    offset = np.tile(rows.offset, (1, count, 1)) if many else rows.offset  # type: ignore[arg-type]
    mask = read_mask(getattr(model, "feature_mask", None), model.layout_, neurons)
    found = fit_columns(
        plan.family,
        rows.x,
        np.tile(rows.y, count),
        np.tile(np.repeat(weight, neurons, axis=1), len(levels)),
        penalty,
        start,
        plan.settings,
        None if mask is None else np.tile(mask, count),
        offset,
    )
    if not found.converged.all():
        warn(
            f"{int((~found.converged).sum())} of {found.converged.size} fits did not converge; their best points are"
            " kept. Raise maxiter in solver_kwargs, or leave out the smallest strengths.",
            ConvergenceWarning,
        )
    return found


def _beside(parts: list[Penalty]) -> Penalty:
    """Lay penalties of the same kind side by side, column after column."""
    first, changed = parts[0], {}
    for name in ("diagonal", "lasso", "group", "lower", "upper"):
        if getattr(first, name) is not None:
            changed[name] = np.concatenate([getattr(part, name) for part in parts], axis=1)
    if first.factor is not None:
        changed["factor"] = np.concatenate([part.factor for part in parts])
    return replace(first, **changed)


def _deviance(plan: Plan, y: np.ndarray, rate: np.ndarray) -> np.ndarray:
    observation = plan.family.observation
    scale = observation.scale if isinstance(observation, NegativeBinomial) else 1.0
    with jax.enable_x64(True):
        return np.asarray(observation.deviance(jnp.asarray(y), jnp.asarray(rate), scale))


def _null(plan: Plan, rows: Rows, null: np.ndarray) -> np.ndarray:
    """Return the rates of a model without features: given rates, or given intercepts and the offset of the rows."""
    if rows.offset is None:
        return np.broadcast_to(null, rows.y.shape)
    with jax.enable_x64(True):
        return np.asarray(plan.family.link(jnp.asarray(null + rows.offset[..., 0])))


def _held_out(plan: Plan, fitted: Rows, test: Rows, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean log-likelihood and deviance of held-out bins; the scale is that of the fitted ones."""
    observation = plan.family.observation
    with jax.enable_x64(True):
        before, rate = (np.asarray(plan.family.link(jnp.asarray(r.predictor(coef)))) for r in (fitted, test))
    dof = max(fitted.count - len(coef) + (not plan.family.intercept), 1.0)
    scale = scale_of(observation, fitted.y, before, fitted.weight, np.full(coef.shape[1], dof))
    each = log_likelihood_of(observation, test.y, rate, scale)
    share = test.weight / test.count
    return share @ each, share @ _deviance(plan, test.y, rate)
