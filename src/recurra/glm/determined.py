"""What data determine: features that repeat each other, and features that separate events from their absence."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.glm.design import Rows
from recurra.glm.newton import hessians
from recurra.glm.objective import Data, Family, gradient, predictor
from recurra.glm.observations import Bernoulli, NegativeBinomial, Poisson
from recurra.glm.penalty import Penalty
from recurra.glm.relevance import joint_hessian

# A direction of features counts as empty if it varies by less than the root of this, for features that vary by 1.
EMPTY = 1e-13
# Relative size from which on a feature has a part in a direction.
PART = 1e-4


@dataclass(frozen=True)
class Standard:
    """Hold features brought to mean 0 (if there is an intercept) and size 1: in them rounding shows least.

    Arguments:
        x: `(time, features)`; a constant feature is 0 if there is an intercept.
        mean, size: `(features,)`; `x = (features - mean) / size`.
        intercept: whether there is one.
    """

    x: np.ndarray
    mean: np.ndarray
    size: np.ndarray
    intercept: bool

    def outside(self, rows: np.ndarray) -> np.ndarray:
        """Return coefficients `(features + 1, ...)` of the features as they were, for those of the standard ones."""
        found = np.array(rows, float)
        found[:-1] /= self.size.reshape(-1, *[1] * (found.ndim - 1))
        if self.intercept:
            found[-1] -= np.tensordot(self.mean, found[:-1], 1)
        return found


def standard(x: np.ndarray, weight: np.ndarray, intercept: bool) -> Standard:
    """Bring features to mean 0 and size 1.

    Arguments:
        x: `(time, features)`.
        weight: `(time,)`.
        intercept: whether the model has one, which takes up the means.
    """
    x, share = x.astype(float), weight / weight.sum()
    mean = share @ x if intercept else np.zeros(x.shape[1])
    if intercept:
        x = x - mean
    size = np.sqrt(share @ np.square(x))
    # What is left of a constant is rounding.
    constant = size <= EMPTY * np.abs(mean)
    x = x / np.where(constant, 1, size)
    x[:, constant] = 0
    return Standard(x, mean, np.where(constant, 1, size), intercept)


def directions(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scaled eigenvalues and eigenvectors of an information matrix, and which of them are not 0.

    The diagonal is brought to 1 first, so that the rank does not depend on units.

    Returns:
        Values `(size,)`; vectors as columns, with `vectors @ diag(1 / values) @ vectors.T` the inverse; truth values.
    """
    diagonal = np.diagonal(matrix)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    values, vectors = np.linalg.eigh(matrix * scale[:, None] * scale[None, :])
    return values, vectors * scale[:, None], values > max(EMPTY, 10 * len(matrix) * np.finfo(float).eps)


def empty_parts(made: Standard, used: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Return which parameters have a part in directions that the data say nothing of, `(features + 1,)`.

    Arguments:
        made: the features.
        used: `(features + 1,)`, false where a coefficient is held.
        empty: the directions, `(number of used, directions)`, in standard features.
    """
    found = np.zeros(len(used), bool)
    if not empty.size:
        return found
    whole = np.zeros((len(used), empty.shape[1]))
    whole[used] = empty / np.abs(empty).max(axis=0)
    found[:-1] = (np.abs(whole[:-1]) > PART).any(axis=1)
    if made.intercept:
        ratio = made.mean / made.size
        edge = whole[-1] - ratio @ whole[:-1]
        reach = np.abs(whole[-1]) + np.abs(ratio) @ np.abs(whole[:-1])
        found[-1] = np.any(np.abs(edge) > 1e-6 * np.maximum(reach, 1e-3))
    return found


def repeated(rows: Rows, mask: np.ndarray | None, columns: int, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank of the features of each column beside the intercept, and which parameters are not determined.

    Arguments:
        rows: the data.
        mask: `(features, columns)`, or `None`.
        columns: number of columns.
        intercept: whether there is one.

    Returns:
        `(columns,)`, and truth values `(features + 1, columns)`.
    """
    kept = rows if np.all(rows.weight > 0) else rows.take(rows.weight > 0)
    mean = kept.x.mean(axis=0, dtype=float) if intercept else np.zeros(kept.x.shape[1])
    x = (kept.x - mean) if intercept else kept.x.astype(float, copy=False)
    gram = x.T @ x / len(x)
    size = np.sqrt(np.diagonal(gram))
    constant = size <= EMPTY * np.abs(mean)
    made = Standard(x, mean, np.where(constant, 1, size), intercept)
    gram = np.where(constant[:, None] | constant, 0, gram / (made.size[:, None] * made.size))
    kinds = np.ones((1, gram.shape[0]), bool) if mask is None else np.unique(mask.T, axis=0)
    rank, lost = np.zeros(columns, int), np.zeros((gram.shape[0] + 1, columns), bool)
    for kind in kinds:
        mine = np.arange(columns) if mask is None else np.flatnonzero((kind == mask.T).all(axis=1))
        part = gram[np.ix_(kind, kind)]
        least = max(EMPTY, 10 * len(part) * np.finfo(float).eps)
        rank[mine] = int(np.sum(np.linalg.eigvalsh(part) > least)) if len(part) else 0
        if rank[mine[0]] < len(part):
            _, vectors, full = directions(part)
            used = np.append(kind, False)
            lost[:, mine] = empty_parts(made, used, vectors[:, ~full])[:, None]
    return rank, lost


def extreme(family: Family, rate: np.ndarray, tol: float) -> np.ndarray:
    """Return which columns have rates so near to what a link never reaches that they may be on their way there.

    Arguments:
        rate: `(time, columns)`.
        tol: of the fit, which ends where the mean of the errors is below it: in a few bins these may be larger.
    """
    if not isinstance(family.observation, Poisson | Bernoulli | NegativeBinomial) or not len(rate):
        return np.zeros(rate.shape[1], bool)
    near = max(1e-4, min(2 * tol * len(rate), 1e-2))
    low = rate.min(axis=0) < near * np.minimum(rate.mean(axis=0), 1)
    return low | ((rate.max(axis=0) > 1 - near) & isinstance(family.observation, Bernoulli))


def held(penalty: Penalty, x: np.ndarray, mask: np.ndarray | None, tol: float) -> np.ndarray:
    """Return which columns have a penalty on every feature that ends their way to infinity, `(columns,)` or `()`.

    On the way coefficients of standard features are above 1, so a penalty has a slope of more than its strength there;
    one well above the tolerance is felt before a fit ends.

    Arguments:
        x: the features.
        mask, tol: of the fit.
    """
    if penalty.diagonal is None:
        return np.zeros((), bool)
    felt = np.asarray(penalty.diagonal) > 10 * tol * x.var(axis=0)[:, None]
    return (felt if mask is None else felt | ~mask).all(axis=0)


def separated(
    family: Family, rows: Rows, coef: np.ndarray, penalty: Penalty, mask: np.ndarray | None, tried: np.ndarray
) -> np.ndarray:
    """Return which parameters grow without end, `(features + 1, columns)`, because features separate the events.

    Where the likelihood has no maximum (Albert & Anderson 1984) a fit stops on the way to infinity, at a gradient
    below any tolerance; but one more Newton step would still move the linear predictor by about 1.

    Arguments:
        family, rows, penalty, mask: the problem.
        coef: where the fit has ended, `(features + 1, columns)`.
        tried: numbers of the columns that are looked at; the others are taken to be fine.
    """
    found = np.zeros(coef.shape, bool)
    if not len(tried):
        return found
    made = standard(rows.x, rows.weight, family.intercept)
    loss, slope = _second(family, rows, made, coef, tried)
    for at, p in enumerate(tried):
        used = np.append(np.ones(len(coef) - 1, bool) if mask is None else mask[:, p], family.intercept)
        matrix = loss[at] + penalty_matrix(penalty, made, p)
        push = slope[at].copy()
        push[:-1] += penalty_slope(penalty, coef[:-1, p], p) / made.size
        values, vectors, _ = directions(matrix[np.ix_(used, used)])
        kept = values > 4 * len(values) * np.finfo(float).eps
        step = np.zeros(len(coef))
        step[used] = vectors[:, kept] @ ((vectors[:, kept].T @ -push[used]) / values[kept])
        part = np.abs(step)
        if np.abs(made.x @ step[:-1] + step[-1]).max() < 0.1:
            # Farther out rounding hides the slope; but of such a parameter the data say nothing any more.
            inverse = np.zeros((len(coef), len(coef)))
            inverse[np.ix_(used, used)] = (vectors / np.maximum(values, 1e-300)) @ vectors.T
            plain = np.linalg.pinv(np.cov(made.x.T, bias=True).reshape(len(coef) - 1, -1), hermitian=True)
            edge = np.append(-made.mean / made.size, 1.0)
            said = np.append(np.diagonal(inverse)[:-1] / np.maximum(np.diagonal(plain), 1e-300), edge @ inverse @ edge)
            found[:, p] = said > 1e9
            continue
        part[-1] = abs(step[-1] - made.mean / made.size @ step[:-1]) if family.intercept else 0
        found[:, p] = part > 1e-3 * part[:-1].max(initial=0)
        found[:-1, p] &= step[:-1] != 0
    return found


def penalty_matrix(penalty: Penalty, made: Standard, column: int) -> np.ndarray:
    """Return the second derivative of the quadratic penalty of a column, for standard features and the intercept."""
    size = len(made.size)
    found = np.zeros((size + 1, size + 1))
    if penalty.diagonal is not None:
        found[np.arange(size), np.arange(size)] += np.asarray(penalty.diagonal)[:, column] / made.size**2
    if penalty.matrix is not None and penalty.factor is not None:
        unit = made.size[:, None] * made.size[None, :]
        found[:-1, :-1] += np.asarray(penalty.factor)[column] * np.asarray(penalty.matrix) / unit
    return found


def penalty_slope(penalty: Penalty, coef: np.ndarray, column: int) -> np.ndarray:
    """Return the derivative of the quadratic penalty of a column by the coefficients of the features as they are."""
    found = np.zeros(len(coef))
    if penalty.diagonal is not None:
        found += np.asarray(penalty.diagonal)[:, column] * coef
    if penalty.matrix is not None and penalty.factor is not None:
        found += np.asarray(penalty.factor)[column] * (np.asarray(penalty.matrix) @ coef)
    return found


def _second(
    family: Family, rows: Rows, made: Standard, coef: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    share = (rows.weight / rows.count)[:, None]
    eta = rows.predictor(coef)[:, columns]
    with jax.enable_x64(True):
        data = Data(*(jnp.asarray(a, float) for a in (made.x, rows.y[:, columns], share)))
        hessian, slope = _derivatives(family, data, jnp.asarray(eta)[..., None])
        return np.array(hessian), np.array(slope)


def information(family: Family, rows: Rows, made: Standard, coef: np.ndarray) -> np.ndarray:
    """Return the second derivative of the mean loss of each column by the coefficients of standard features.

    Arguments:
        family, rows: model and data.
        made: the features of the rows.
        coef: of the features as they are, `(features + 1, columns)`.

    Returns:
        `(columns, features + 1, features + 1)`.
    """
    return _second(family, rows, made, coef, np.arange(coef.shape[1]))[0]


@functools.partial(jax.jit, static_argnums=0)
def _derivatives(family: Family, data: Data, eta: Array) -> tuple[Array, Array]:
    slope, _ = gradient(family, data, Penalty(), jnp.zeros((data.x.shape[1] + 1, *eta.shape[1:])), eta)
    return hessians(family, data, eta), slope[..., 0].T


def separated_classes(family: Family, rows: Rows, coef: np.ndarray, tried: np.ndarray) -> np.ndarray:
    """Return which parameters of a classifier grow without end, `(features + 1, columns)`; see :func:`separated`.

    Arguments:
        family, rows: the problem, without a penalty.
        coef: where the fit has ended, `(features + 1, columns, classes)`.
        tried: numbers of the columns that are looked at.
    """
    found = np.zeros(coef.shape[:2], bool)
    if not len(tried):
        return found
    made = standard(rows.x, rows.weight, family.intercept)
    with jax.enable_x64(True):
        share = (rows.weight / rows.count)[:, None]
        data = Data(*(jnp.asarray(a, float) for a in (made.x, rows.y[:, tried], share)))
        eta = predictor(jnp.asarray(rows.x), jnp.asarray(coef[:, tried]))
        if rows.offset is not None:
            eta += rows.offset if rows.offset.shape[1] == 1 else rows.offset[:, tried]
        whole = joint_hessian(family, data, eta)
        slope = np.asarray(gradient(family, data, Penalty(), jnp.zeros_like(coef[:, tried]), eta)[0])
    for at, p in enumerate(tried):
        values, vectors, _ = directions(whole[at])
        kept = values > 4 * len(values) * np.finfo(float).eps
        step = vectors[:, kept] @ ((vectors[:, kept].T @ -slope[:, at].ravel()) / values[kept])
        step = step.reshape(coef.shape[0], -1)
        if np.ptp(made.x @ step[:-1] + step[-1], axis=1).max() < 0.1:
            continue
        part = np.ptp(step, axis=1)
        found[:-1, p] = part[:-1] > 1e-3 * part[:-1].max(initial=0)
    return found
