"""Estimators that learn from chunks: what `fit_chunks` and `partial_fit` do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import CapabilityError, OptionError
from recurra.glm.chunks import ChunkedData, Memory, Source, fit_chunks, learn_chunk, read_chunk
from recurra.glm.design import Rows
from recurra.glm.fitting import null_model
from recurra.glm.observations import Gamma, Gaussian, NegativeBinomial
from recurra.glm.regularizers import ARD

if TYPE_CHECKING:
    from recurra.glm.estimator import Plan, Regression


def _usable_plan(model: Regression, what: str) -> Plan:
    plan = model._plan()
    if getattr(model, "feature_mask", None) is not None:
        raise CapabilityError(f"{what}: feature_mask is not there for chunks; fit neurons of equal masks together.")
    if isinstance(plan.regularizer, ARD):
        raise CapabilityError(f"{what}: ARD is not there for chunks; use Ridge.")
    return plan


def fit_estimator_chunks(model: Regression, chunks: Iterable[Any]) -> Regression:
    """Fit an estimator to chunks; see :meth:`Regression.fit_chunks`."""
    plan = _usable_plan(model, "fit_chunks")
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
    first = next(iter(source))
    columns = first.y.shape[1]
    penalty = model._penalty(plan, model.layout_, columns)
    mean, count = _mean(chunks, source)
    null = null_model(plan.family, mean, count)
    start = np.zeros((model.layout_.features + 1, columns, 1))
    start[-1, :, 0] = null.intercept
    solution, mean = fit_chunks(plan.family, source, penalty, start, plan.settings)
    square, count = _pearson(plan, source, solution.coef, mean)
    used = model.layout_.features if not penalty.rough else (solution.coef[:-1, :, 0] != 0).sum(axis=0)
    model.dof_resid_ = np.broadcast_to(count - 1 - used, (columns,)).astype(float)
    free = isinstance(plan.family.observation, Gaussian | Gamma)
    fixed = plan.family.observation.scale if isinstance(plan.family.observation, NegativeBinomial) else 1.0
    model.scale_ = square / np.maximum(model.dof_resid_, 1) if free else np.full(columns, fixed)
    model.silent_ = null.silent
    model.null_rate_ = mean
    model.finish(solution)
    return model


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


def _pearson(plan: Plan, source: Source, coef: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sum of squared residuals over unit variances, where the scale is free, and the bins that count."""
    square, count = np.zeros_like(mean), 0.0
    for rows in source:
        count += rows.count
        if isinstance(plan.family.observation, Gaussian | Gamma):
            with jax.enable_x64(True):
                rate = plan.family.link(jnp.asarray(rows.x @ coef[:-1, :, 0] + coef[-1, :, 0], float))
                unit = np.asarray(plan.family.observation.variance(rate, 1.0))
            square = square + rows.weight @ ((rows.y - np.asarray(rate)) ** 2 / unit)
    return square, count


def learn_estimator_chunk(model: Regression, X: Any, y: Any, sample_weight: ArrayLike | None) -> Regression:
    """Learn one more chunk; see :meth:`Regression.partial_fit`."""
    plan = _usable_plan(model, "partial_fit")
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
    found, model.memory_ = learn_chunk(
        plan.family, rows, model._penalty(plan, model.layout_, columns), memory, start
    )
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
