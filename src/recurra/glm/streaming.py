"""Estimators that learn from chunks: what `fit_chunks` and `partial_fit` do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import CapabilityError, OptionError
from recurra.glm.chunks import ChunkedData, Problem, Source, fit_chunks, has_hessians
from recurra.glm.design import Rows, read_mask
from recurra.glm.fitting import null_model
from recurra.glm.observations import Gamma, Gaussian, NegativeBinomial
from recurra.glm.online import Memory, learn_chunk, read_chunk
from recurra.glm.penalty import Penalty
from recurra.glm.regularizers import ARD
from recurra.glm.relevance import View, find_strengths
from recurra.glm.solvers import Solution

if TYPE_CHECKING:
    from recurra.glm.estimator import Plan, Regression


def fit_estimator_chunks(
    model: Regression, chunks: Iterable[Any], start: np.ndarray | None = None, mask: np.ndarray | None = None
) -> Regression:
    """Fit an estimator to chunks; see :meth:`Regression.fit_chunks`.

    Arguments:
        model, chunks: the estimator and its data.
        start: `(features + 1, columns, 1)`; that of a model without features if `None`.
        mask: `(features, columns)`, false where a coefficient is held at what it is in `start`; that of the estimator,
            which holds coefficients at 0, if `None`.
    """
    plan = model._plan()
    if iter(chunks) is chunks:
        raise OptionError(
            "chunks: a generator can be gone through once only, and a fit needs several passes; give a list or"
            " ChunkedData."
        )
    begun = False

    def read(x: Any, y: Any, weight: Any) -> Rows:
        nonlocal begun
        matrix = model._features(x, reset=not begun)
        begun = True
        rows = read_chunk(matrix, model._targets(y, len(matrix)), weight)
        model._observed().check_counts(rows.y[rows.weight > 0])
        return rows

    source = Source(chunks, read)
    columns = next(iter(source)).y.shape[1]
    features = model.layout_.features
    if mask is None:
        mask = read_mask(getattr(model, "feature_mask", None), model.layout_, columns)
    penalty = model._penalty(plan, model.layout_, columns)
    mean, count = _mean(chunks, source)
    null = null_model(plan.family, mean, count)
    if start is None:
        start = np.zeros((features + 1, columns, 1))
        start[-1, :, 0] = null.intercept
    # A silent neuron keeps its rate and coefficients of 0.
    free = np.ones((features + 1, columns), bool)
    free[:-1] = True if mask is None else mask
    free[:, null.silent] = False
    given = None if free.all() else free
    if isinstance(plan.regularizer, ARD):
        solution, count, mean = _with_strengths(model, plan, source, penalty, start, count, given)
    else:
        solution, count, mean = fit_chunks(plan.family, source, penalty, start, plan.settings, count, given)
    plain = not (penalty.rough or isinstance(plan.regularizer, ARD))
    used = free[:-1].sum(axis=0) if plain else (solution.coef[:-1, :, 0] != 0).sum(axis=0)
    model.dof_resid_ = count - 1.0 - used
    free_scale = isinstance(plan.family.observation, Gaussian | Gamma)
    fixed = plan.family.observation.scale if isinstance(plan.family.observation, NegativeBinomial) else 1.0
    model.scale_ = np.full(columns, fixed)
    if free_scale:
        model.scale_ = _pearson(plan, source, solution.coef) / np.maximum(model.dof_resid_, 1)
    model.null_rate_ = mean
    model.finish(solution, null.silent)
    return model


def _with_strengths(
    model: Regression, plan: Plan, source: Source, penalty: Penalty, start: np.ndarray, count: float, free: Any
) -> tuple[Solution, float, np.ndarray]:
    """Fit with the strengths that the data ask for, and keep them."""
    features, columns = start.shape[0] - 1, start.shape[1]
    if not has_hessians(features, columns):
        raise CapabilityError(
            f"fit_chunks: ARD needs Hessians of all neurons, which are too large for {features} features; use Ridge."
        )
    family, size, mean = plan.family, count, np.zeros(columns)

    def fit(penalty: Penalty, start: np.ndarray) -> Solution:
        nonlocal size, mean
        found, size, mean = fit_chunks(family, source, penalty, start, plan.settings, count, free)
        return found

    def look(coef: np.ndarray) -> View:
        with jax.enable_x64(True):
            problem = Problem(family, source, Penalty().cast("float64"), np.arange(features), None)
            matrix = np.array(problem.go_through(coef, "hessian", "float64").hessian)
        scaled = isinstance(family.observation, Gaussian | Gamma)
        return View(matrix, _pearson(plan, source, coef) / size if scaled else None)

    mask = None if free is None else free[:-1]
    found, model.strength_ = find_strengths(plan.regularizer, penalty, count, fit, look, start, mask)  # type: ignore[arg-type]
    return found, size, mean


def _mean(chunks: Iterable[Any], source: Source) -> tuple[np.ndarray, float]:
    """Return the mean of y and the bins, without making features where y is at hand."""
    if isinstance(chunks, ChunkedData) and chunks.sample_weight is None:
        y = np.asarray(chunks.y)
        total, known = 0.0, 0.0
        for at in range(0, len(y), chunks.rows):
            part = np.asarray(y[at : at + chunks.rows], float)  # all of it as floats might not fit
            total, known = total + np.nansum(part, axis=0), known + np.sum(~np.isnan(part), axis=0)
        return np.atleast_1d(total / np.maximum(known, 1)), float(len(y))
    total, count = 0.0, 0.0
    for rows in source:
        total, count = total + rows.weight @ rows.y, count + rows.count
    return np.atleast_1d(total / max(count, 1e-300)), count


def _pearson(plan: Plan, source: Source, coef: np.ndarray) -> np.ndarray:
    """Return the sum of squared residuals over their variances at scale 1, `(columns,)`."""
    square = np.zeros(coef.shape[1])
    for rows in source:
        with jax.enable_x64(True):
            rate = plan.family.link(jnp.asarray(rows.x @ coef[:-1, :, 0] + coef[-1, :, 0], float))
            unit = np.asarray(plan.family.observation.variance(rate, 1.0))
        square += rows.weight @ ((rows.y - np.asarray(rate)) ** 2 / unit)
    return square


def learn_estimator_chunk(model: Regression, X: Any, y: Any, sample_weight: ArrayLike | None) -> Regression:
    """Learn one more chunk; see :meth:`Regression.partial_fit`."""
    plan = model._plan()
    if getattr(model, "feature_mask", None) is not None:
        raise CapabilityError(
            "partial_fit: feature_mask is not there for it; use fit_chunks, or fit neurons of equal masks together."
        )
    if isinstance(plan.regularizer, ARD):
        raise CapabilityError("partial_fit: ARD needs to go through the data again; use fit_chunks, or Ridge.")
    begun = hasattr(model, "memory_")
    rows = model._rows(X, y, sample_weight, reset=not begun)
    columns, size = rows.y.shape[1], model.layout_.features + 1
    if not begun:
        none = np.zeros((columns, size, size))
        model.memory_ = Memory(none, none[:, 0], 0.0, np.zeros(columns))
    memory = model.memory_
    if memory.total.shape != (columns,):
        raise OptionError(f"y: it has {columns} neurons, but the chunks before had {len(memory.total)}.")
    count = memory.count + rows.count
    mean = (memory.total + rows.weight @ rows.y) / count
    start = np.zeros((size, columns, 1))
    if begun:
        coef, intercept = model._flat()
        start[:-1, :, 0], start[-1, :, 0] = coef, intercept
    else:
        start[-1, :, 0] = null_model(plan.family, mean, count).intercept
    found, model.memory_ = learn_chunk(plan.family, rows, model._penalty(plan, model.layout_, columns), memory, start)
    model.null_rate_ = mean
    model.dof_resid_ = np.full(columns, count - size)
    with jax.enable_x64(True):
        rate = plan.family.link(jnp.asarray(rows.x @ found[:-1, :, 0] + found[-1, :, 0], float))
        dof = np.full(columns, max(rows.count, 1.0))
        fresh = np.array(plan.family.observation.estimate_scale(jnp.asarray(rows.y), rate, dof))
    # The scale is the mean of those of the chunks, by their bins.
    old = getattr(model, "scale_", fresh)
    model.scale_ = (memory.count * old + rows.count * fresh) / count
    model._set_params(found[:-1, :, 0], found[-1, :, 0])
    return model
