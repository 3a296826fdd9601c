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
from recurra.glm.estimator import Plan, Regression
from recurra.glm.fitting import fit_columns, null_model
from recurra.glm.observations import NegativeBinomial
from recurra.glm.penalty import Penalty
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
        strengths: `(strengths,)`.
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
    model: Regression, X: Any, y: ArrayLike, strengths: Sequence[float] | np.ndarray, sample_weight: Any = None
) -> Path:
    """Fit a model at many strengths at once; one compilation serves them all.

    Arguments:
        model: an estimator with a regularizer; it is not changed.
        X, y, sample_weight: as for its `fit`.
        strengths: zero or above, each for all neurons.

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
    model = _fresh(model)
    levels = _read_strengths(strengths)
    rows = model._rows(X, y, sample_weight, reset=True)
    plan = _usable_plan(model)
    found = _fit_folds(model, plan, rows, levels, np.ones((1, len(rows.x)), bool))
    shape = (len(levels), rows.y.shape[1])
    coef = found.coef[:-1, :, 0].reshape(-1, *shape).transpose(1, 0, 2)
    whole = [part.reshape(shape) for part in (found.coef[-1, :, 0], found.value, found.converged)]
    return Path(levels, coef, *whole)


def cross_validate(
    model: Regression,
    X: Any,
    y: ArrayLike,
    strengths: Sequence[float] | np.ndarray | None = None,
    folds: int | Sequence[Any] = 5,
    sample_weight: Any = None,
) -> CrossValidation:
    """Score a model on bins it was not fitted to, at many strengths, and choose a strength for each neuron.

    Folds, strengths and neurons are columns of one fit: it compiles once and passes over the data together.

    Arguments:
        model: an estimator; it is not changed.
        X, y, sample_weight: as for its `fit`.
        strengths: zero or above; the model's own if `None`.
        folds: number of blocks of consecutive bins that are held out in turn, or a list of arrays of the bins to hold
            out. Neighbouring bins resemble each other, so blocks are longer than filters should be.

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
    rows = fresh._rows(X, y, sample_weight, reset=True)
    plan = _usable_plan(fresh, strengths is None)
    levels = _read_strengths([fresh.regularizer_strength or 1.0] if strengths is None else strengths)
    held = _read_folds(folds, len(rows.x))
    with interruptible():
        found = _fit_folds(fresh, plan, rows, levels, ~held)
    neurons = rows.y.shape[1]
    shape = (len(levels), len(held), neurons)
    coef = found.coef[..., 0].reshape(-1, *shape)
    scores, deviance = np.empty(shape), np.empty(shape)
    null_deviance = np.empty(shape[1:])
    for k, out in enumerate(held):
        weight = np.where(out, rows.weight, 0)
        train = np.where(out, 0, rows.weight)
        mean = train @ rows.y / train.sum()
        for s in range(len(levels)):
            scores[s, k], deviance[s, k] = _held_out(plan, rows, coef[:, s, k], weight, train)
        null_deviance[k] = weight @ _deviance(plan, rows.y, np.broadcast_to(mean, rows.y.shape)) / weight.sum()
    best = levels[np.argmax(scores.mean(axis=1), axis=0)]
    chosen = _fresh(model)
    if strengths is not None:
        strength = best if neurons > 1 else float(best[0])
        chosen.set_params(regularizer_strength=strength)
    chosen.fit(X, y, sample_weight)
    return CrossValidation(levels, scores, deviance, null_deviance, best, chosen)


def _fresh(model: Any) -> Any:
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


def _read_folds(folds: Any, rows: int) -> np.ndarray:
    """Return for each fold which bins are held out, `(folds, time)`."""
    if isinstance(folds, int | np.integer):
        if not 2 <= folds <= rows:
            raise OptionError(f"folds: expected a number from 2 to the {rows} bins, got {folds}.")
        parts = np.array_split(np.arange(rows), int(folds))
    else:
        parts = [np.asarray(part) for part in folds]
    held = np.zeros((len(parts), rows), bool)
    for k, part in enumerate(parts):
        try:
            held[k, part] = True
        except IndexError:
            raise ShapeError(
                f"folds[{k}]: expected the numbers of bins below {rows}, or booleans of that length."
            ) from None
        if not held[k].any() or held[k].all():
            raise ShapeError(f"folds[{k}]: some bins must be held out, and some must be left.")
    return held


def _fit_folds(model: Regression, plan: Plan, rows: Rows, levels: np.ndarray, train: np.ndarray) -> Solution:
    """Fit every strength, fold and neuron, in this order from slow to fast."""
    neurons, count = rows.y.shape[1], len(levels) * len(train)
    parts = [model.set_params(regularizer_strength=float(s))._penalty(plan, model.layout_, neurons) for s in levels]
    penalty = _beside([part for part in parts for _ in train])
    weight = np.where(train, rows.weight, 0).T
    start = np.zeros((rows.x.shape[1] + 1, count * neurons, 1))
    for k in range(len(train)):
        total = weight[:, k].sum()
        null = null_model(plan.family, weight[:, k] @ rows.y / total, total)
        for s in range(len(levels)):
            at = (s * len(train) + k) * neurons
            start[-1, at : at + neurons, 0] = null.intercept
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


def _held_out(
    plan: Plan, rows: Rows, coef: np.ndarray, weight: np.ndarray, train: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean log-likelihood and deviance of the bins with a weight; the scale is that of the fitted bins."""
    observation = plan.family.observation
    with jax.enable_x64(True):
        rate = plan.family.link(jnp.asarray(rows.x @ coef[:-1] + coef[-1], float))
        used, held = train > 0, weight > 0
        dof = max(float(train.sum()) - len(coef), 1.0)
        scale = observation.estimate_scale(jnp.asarray(rows.y[used]), rate[used], jnp.full(coef.shape[1], dof))
        wide = jnp.broadcast_to(scale[None, :], rate[held].shape)
        each = np.asarray(observation.log_likelihood(jnp.asarray(rows.y[held]), rate[held], wide))
    share = weight[held] / weight.sum()
    return share @ each, share @ _deviance(plan, rows.y[held], np.asarray(rate[held]))
