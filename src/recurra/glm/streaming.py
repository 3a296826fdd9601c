"""Estimators that learn from chunks: what `fit_chunks` and `partial_fit` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm.chunks import ChunkedData, Found, Problem, Source, fit_chunks, has_hessians, joined
from recurra.glm.design import Rows, mean_offset, read_mask
from recurra.glm.determined import PART, directions
from recurra.glm.estimator import warn_repeated
from recurra.glm.fitting import first_guess, null_model, null_of_mean
from recurra.glm.frame import Frame, find_frame
from recurra.glm.observations import (
    Bernoulli,
    Gamma,
    Gaussian,
    NegativeBinomial,
    Poisson,
    has_dispersion,
    scale_of,
)
from recurra.glm.online import Memory, learn_chunk, pearson, read_chunk
from recurra.glm.penalty import Penalty
from recurra.glm.pynapple_series import aligned
from recurra.glm.regularizers import ARD, UnRegularized
from recurra.glm.relevance import View, find_strengths
from recurra.glm.solvers import Solution

if TYPE_CHECKING:
    from recurra.glm.estimator import Plan
    from recurra.glm.regression import Regression


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
    source = Source(chunks, _reader(model))
    first = next(iter(source), None)
    if first is None:
        raise ShapeError("chunks: there are none.")
    columns, features = first.y.shape[1], model.layout_.features
    if mask is None:
        mask = read_mask(getattr(model, "feature_mask", None), model.layout_, columns)
    penalty = model._penalty(plan, model.layout_, columns)
    mean, count = _mean(chunks, source)
    null = null_of_mean(plan.family, mean, count)
    if first.offset is not None:
        whole = joined([replace(rows, x=rows.x[:, :0]) for rows in source])
        null = null_model(plan.family, whole)
        model.null_intercept_, model.mean_offset_ = null.intercept, mean_offset(whole)
    silent = null.silent & plan.family.intercept
    if start is None and plan.family.intercept:
        start = np.zeros((features + 1, columns, 1))
        start[-1, :, 0] = null.intercept
    elif start is None:
        start, _ = first_guess(plan.family, first, penalty)
    # A silent neuron keeps its rate and coefficients of 0.
    free = np.ones((features + 1, columns), bool)
    free[:-1] = True if mask is None else mask
    free[-1] = plan.family.intercept
    free[:, silent] = False
    given = None if free.all() else free
    frame = find_frame(first.x, first.weight, plan.family.intercept, penalty.group is None)
    moved = source if frame is None else Moved(source, frame)
    found, solution = _fit_moved(model, plan, moved, frame, penalty, start, count, given)
    plain = not (penalty.rough or isinstance(plan.regularizer, ARD))
    used = free[:-1].sum(axis=0) if plain else (solution.coef[:-1, :, 0] != 0).sum(axis=0)
    lost = endless = np.zeros(free.shape, bool)
    if isinstance(plan.regularizer, UnRegularized) and not penalty.rough and found.hessian is not None:
        used, lost, endless = _undetermined(plan, moved, found, free, bool(start[:-1].any()))
    model.separated_ = endless if endless.any() else None
    model.dof_resid_ = found.count - plan.family.intercept - used
    fixed = plan.family.observation.scale if isinstance(plan.family.observation, NegativeBinomial) else 1.0
    model.scale_ = np.full(columns, fixed)
    if has_dispersion(plan.family.observation):
        model.scale_ = _pearson(plan, source, solution.coef) / np.maximum(model.dof_resid_, 1)
    model.null_rate_ = found.mean
    model.finish(solution, silent)
    warn_repeated(model.feature_labels_, lost, endless)
    return model


def _fit_moved(
    model: Regression,
    plan: Plan,
    source: Iterable[Rows],
    frame: Frame | None,
    penalty: Penalty,
    start: np.ndarray,
    count: float,
    free: np.ndarray | None,
) -> tuple[Found, Solution]:
    """Fit to moved features; return what was found, and the solution for the features as they are."""
    if frame is not None:
        penalty, start = frame.penalty_inside(penalty), frame.coefficients_inside(start)
    if isinstance(plan.regularizer, ARD):
        found = _with_strengths(model, plan, source, penalty, start, count, free)
        if frame is not None:
            # A penalty of the coefficient that is the same: the coefficient inside is larger by the scale.
            model.strength_ = model.strength_ * frame.scale[:, None] ** 2
    else:
        found = fit_chunks(plan.family, source, penalty, start, plan.settings, count, free)
    if frame is None:
        return found, found.solution
    return found, replace(found.solution, coef=frame.coefficients_outside(found.solution.coef))


def _reader(model: Regression) -> Callable[[Any, Any, Any, Any], Rows]:
    """Return how the chunks of a fit are read; the first one says what features there are."""
    begun = False

    def read(x: Any, y: Any, weight: Any, offset: Any) -> Rows:
        nonlocal begun
        aligned(x, y, weight, offset)
        matrix = model._features(x, reset=not begun)
        targets = model._targets(y, len(matrix))
        added = model._offset(offset, len(matrix), targets.shape[1], not begun)
        if begun and added is not None and not model.has_offset_:
            raise OptionError("offset: the first chunk had none; give one with every chunk, 0 where there is none.")
        begun = True
        rows = read_chunk(matrix, targets, weight, added)
        model._observed().check_counts(rows.y[rows.weight > 0])
        return rows

    return read


@dataclass(frozen=True)
class Moved:
    """Go through chunks with moved features."""

    source: Iterable[Rows]
    frame: Frame

    def __iter__(self) -> Iterator[Rows]:
        for rows in self.source:
            yield replace(rows, x=self.frame.moved(rows.x))


def _undetermined(
    plan: Plan, source: Iterable[Rows], found: Found, free: np.ndarray, warm: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ranks `(columns,)`, and which parameters repeat others and which grow without end, both as `free`."""
    lost, endless = np.zeros(free.shape, bool), np.zeros(free.shape, bool)
    rank, steps = np.zeros(free.shape[1], int), np.zeros(free.shape)
    place = np.append(found.free, len(free) - 1)
    late = warm | (found.solution.steps >= -0.5 * np.log(plan.settings.tol))
    counting = isinstance(plan.family.observation, Poisson | Bernoulli | NegativeBinomial)
    for p in range(free.shape[1]):
        used = np.flatnonzero(free[place, p])
        matrix = found.hessian[p][np.ix_(used, used)]  # type: ignore[index]
        values, vectors, full = directions(matrix)
        rank[p] = full.sum() - free[-1, p]
        if not full.all():
            part = np.abs(vectors[:, ~full] * np.sqrt(np.abs(np.diagonal(matrix)))[:, None]).max(axis=1)
            # A feature that is 0 throughout has no size.
            lost[place[used], p] = (part > PART) | (np.diagonal(matrix) <= 0)
        if counting and late[p] and found.solution.converged[p]:
            kept = values > 4 * len(values) * np.finfo(float).eps
            push = -found.slope[p][place[used]]  # type: ignore[index]
            steps[place[used], p] = vectors[:, kept] @ ((vectors[:, kept].T @ push) / values[kept])
    if steps.any():
        reach = np.max([np.abs(rows.x @ steps[:-1] + steps[-1]).max(axis=0) for rows in source], axis=0)
        reaches = [np.abs(rows.x).max(axis=0) for rows in source]
        size = np.abs(steps) * np.append(np.max(reaches, axis=0), 1.0)[:, None]
        endless = (reach > 0.1) & (size > 1e-3 * size.max(axis=0))
        lost &= ~endless
    lost[-1] = False
    return rank, lost, endless


def _with_strengths(
    model: Regression, plan: Plan, source: Iterable[Rows], penalty: Penalty, start: np.ndarray, count: float, free: Any
) -> Found:
    """Fit with the strengths that the data ask for, and keep them."""
    features, columns = start.shape[0] - 1, start.shape[1]
    if not has_hessians(features, columns):
        raise CapabilityError(
            f"fit_chunks: ARD needs Hessians of all neurons, which are too large for {features} features; use Ridge."
        )
    family, last = plan.family, None

    def fit(penalty: Penalty, start: np.ndarray) -> Solution:
        nonlocal last
        last = fit_chunks(family, source, penalty, start, plan.settings, count, free)
        return last.solution

    def look(coef: np.ndarray) -> View:
        with jax.enable_x64(True):
            problem = Problem(family, source, Penalty().cast("float64"), np.arange(features), None)
            matrix = np.array(problem.go_through(coef, "hessian", "float64").hessian)
        scaled = isinstance(family.observation, Gaussian | Gamma)
        return View(matrix, _pearson(plan, source, coef) / last.count if scaled else None)  # type: ignore[union-attr]

    mask = None if free is None else free[:-1]
    found, model.strength_ = find_strengths(plan.regularizer, penalty, count, fit, look, start, mask)  # type: ignore[arg-type]
    return replace(last, solution=found)  # type: ignore[type-var]


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


def _pearson(plan: Plan, source: Iterable[Rows], coef: np.ndarray) -> np.ndarray:
    """Return the sum of squared residuals over their variances at scale 1, `(columns,)`."""
    square = np.zeros(coef.shape[1])
    for rows in source:
        square += pearson(plan.family, rows, coef)
    return square


def learn_estimator_chunk(
    model: Regression, X: Any, y: Any, sample_weight: ArrayLike | None, offset: Any = None
) -> Regression:
    """Learn one more chunk; see :meth:`Regression.partial_fit`."""
    plan = model._plan()
    if getattr(model, "feature_mask", None) is not None:
        raise CapabilityError(
            "partial_fit: feature_mask is not there for it; use fit_chunks, or fit neurons of equal masks together."
        )
    if isinstance(plan.regularizer, ARD):
        raise CapabilityError("partial_fit: ARD needs to go through the data again; use fit_chunks, or Ridge.")
    begun = hasattr(model, "memory_")
    if not begun:
        model._forget()
    rows = model._rows(X, y, sample_weight, not begun, offset)
    if rows.offset is not None and not model.has_offset_:
        raise OptionError("offset: the first chunk had none; give one with every chunk, 0 where there is none.")
    columns, size = rows.y.shape[1], model.layout_.features + 1
    penalty = model._penalty(plan, model.layout_, columns)
    if not begun:
        none = np.zeros((columns, size, size))
        frame = find_frame(rows.x, rows.weight, plan.family.intercept, penalty.group is None)
        model.memory_ = Memory(none, none[:, 0], 0.0, np.zeros(columns), np.zeros(columns), frame)
    memory = model.memory_
    if memory.total.shape != (columns,):
        raise OptionError(f"y: it has {columns} neurons, but the chunks before had {len(memory.total)}.")
    count = memory.count + rows.count
    mean = (memory.total + rows.weight @ rows.y) / count
    if begun:
        start = np.concatenate([model._flat()[0], model._flat()[1][None]])[..., None]
    else:
        start, _ = first_guess(plan.family, rows, penalty)
    moved, inside, begin, frame = rows, penalty, start, memory.frame
    if frame is not None:
        moved, inside = replace(rows, x=frame.moved(rows.x)), frame.penalty_inside(penalty)
        begin = frame.coefficients_inside(start)
    moved_to, learned = learn_chunk(plan.family, moved, inside, memory, begin)
    if not np.isfinite(moved_to).all():
        raise OptionError(
            f"partial_fit: after this chunk of {rows.count:g} rows no estimate is finite, as rates have left the range"
            f" of {type(plan.family.observation).__name__}; it is as if it had not been given. Take a link that cannot"
            " leave it (inverse_link_function='exp'), or give longer chunks."
        )
    model.memory_ = learned
    found = moved_to if frame is None else frame.coefficients_outside(moved_to)
    model.null_rate_ = mean
    model.dof_resid_ = count - np.array([directions(matrix)[2].sum() for matrix in model.memory_.precision])
    if has_dispersion(plan.family.observation):
        model.scale_ = learned.residual(moved_to) / np.maximum(model.dof_resid_, 1)
    else:
        with jax.enable_x64(True):
            rate = np.asarray(plan.family.link(jnp.asarray(rows.predictor(found[..., 0]), float)))
        dof = np.full(columns, max(rows.count, 1.0))
        fresh = scale_of(plan.family.observation, rows.y, rate, rows.weight, dof)
        # The mean of those of the chunks, by their bins.
        model.scale_ = (memory.count * getattr(model, "scale_", fresh) + rows.count * fresh) / count
    model._set_params(found[:-1, :, 0], found[-1, :, 0])
    model.silent_, model.separated_ = model.memory_.total == 0, None
    return model
