"""Strengths of a ridge penalty that are found from the data (automatic relevance determination)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from recurra.glm.newton import hessians, weighted_gram
from recurra.glm.objective import Data, Family
from recurra.glm.observations import Gamma, Gaussian
from recurra.glm.penalty import Penalty
from recurra.glm.regularizers import ARD
from recurra.glm.solvers import Solution

NEVER = 1e12


@dataclass(frozen=True)
class View:
    """Hold what the data say around a fit.

    Arguments:
        hessian: of the mean loss of each column, `(columns, size, size)` with size = (features + 1) * outputs.
        pearson: mean of the squared residuals over their variances at scale 1, `(columns,)`; `None` where the scale is
            not free.
    """

    hessian: np.ndarray
    pearson: np.ndarray | None


def find_strengths(
    rule: ARD,
    penalty: Penalty,
    count: float,
    fit: Callable[[Penalty, np.ndarray], Solution],
    look: Callable[[np.ndarray], View],
    start: np.ndarray,
    mask: np.ndarray | None = None,
) -> tuple[Solution, np.ndarray]:
    """Fit with a ridge strength for each feature and column that is found on the way; see :class:`ARD`.

    With precision a = count * strength and posterior covariance S, the new strength of a coefficient is
    (1 - a S_ff) / (count * w_f^2); where a feature has several outputs, these share it and their parts add up. Gaussian
    targets are taken at a noise variance that is estimated along.

    Arguments:
        rule: when to stop.
        penalty: of the first round; its diagonal is replaced.
        count: bins that count.
        fit: fits with a penalty from a start `(features + 1, columns, outputs)`.
        look: coefficients -> what the data say there.
        start: where the first fit begins.
        mask: `(features, columns)`, false where a coefficient is held at 0.

    Returns:
        The fit, and the strengths `(features, columns)`.
    """
    strength, outputs = np.array(penalty.diagonal, float), start.shape[2]
    if mask is not None:
        strength[~mask] = NEVER
    solution = fit(replace(penalty, diagonal=strength), start)
    gone = np.zeros(strength.shape, bool)
    for _ in range(rule.rounds):
        share, noise = _determined(look(solution.coef), strength, outputs, count)
        squared = (solution.coef[:-1] ** 2).sum(axis=2)
        with np.errstate(divide="ignore"):
            strength = np.clip(share * (noise / count)[None, :] / squared, 1e-12, NEVER)
        gone |= share < rule.least
        strength[gone] = NEVER
        before = solution.coef
        solution = fit(replace(penalty, diagonal=strength), before)
        moved = np.abs(solution.coef - before).max(initial=0)
        if moved <= rule.change * max(np.abs(before).max(initial=0), 1e-12):
            break
    coef = solution.coef.copy()
    coef[:-1][gone] = 0
    return replace(solution, coef=coef), strength


def _determined(view: View, strength: np.ndarray, outputs: int, count: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of each coefficient the data determine, `(features, columns)`, and the noise of each column."""
    features, columns = strength.shape
    matrix = view.hessian.copy()
    index = np.arange(features * outputs)
    matrix[:, index, index] += np.repeat(strength, outputs, axis=0).T
    # Without an intercept its row is 0, and decoupled.
    edge = np.arange(features * outputs, matrix.shape[1])
    matrix[:, edge, edge] += np.where(matrix[:, edge, edge] == 0, 1, 0)
    if outputs > 1:
        # Adding a number to all intercepts of a classifier changes nothing; without this there is no inverse.
        matrix[:, -outputs:, -outputs:] += 1e-6
    inverse = np.linalg.inv(matrix)
    spread = inverse[:, index, index].T.reshape(features, outputs, columns).sum(axis=1)
    share = np.clip(outputs - strength * spread, 1e-12, outputs)
    if view.pearson is None:
        return share, np.ones(columns)
    used = (1 - strength * spread).sum(axis=0) + 1
    return share, view.pearson / np.maximum(1 - used / count, 1e-3)


def view_of(
    family: Family,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    coef: np.ndarray,
    offset: np.ndarray | None = None,
) -> View:
    """Return what data in memory say around coefficients `(features + 1, columns, outputs)`."""
    with jax.enable_x64(True):
        share = (weight / weight.sum())[:, None]
        data = Data(jnp.asarray(x, float), jnp.asarray(y, float), jnp.asarray(share))
        data = data if offset is None else replace(data, offset=jnp.asarray(offset))
        eta = data.predictor(jnp.asarray(coef))
        if family.intercept:
            # An intercept takes up the means of features, which say nothing of their coefficients but cost digits.
            data = replace(data, x=data.x - share.T @ x)
        if family.outputs > 1:
            return View(joint_hessian(family, data, eta), None)
        matrix = np.array(hessians(family, data, eta))
        if not isinstance(family.observation, Gaussian | Gamma):
            return View(matrix, None)
        rate = family.rate(eta)
        variance = family.observation.variance(rate, 1.0)
        return View(matrix, np.asarray(jnp.sum(share * (data.y - rate) ** 2 / variance, axis=0)))


def joint_hessian(family: Family, data: Data, eta: jax.Array) -> np.ndarray:
    """Return the second derivative by all outputs of a column together, `(columns, size, size)`, outputs last."""
    product, (time, columns, outputs) = family.curvature(data.y, eta)[1], eta.shape
    rows = []
    for k in range(outputs):
        bend = product(jnp.zeros_like(eta).at[..., k].set(1)) * data.weight[..., None]
        grams = np.asarray(weighted_gram(data.x, bend.reshape(time, -1).T))
        rows.append(grams.reshape(columns, outputs, *grams.shape[1:]))
    size = rows[0].shape[-1] * outputs
    # (output, column, output, feature, feature) -> (column, feature, output, feature, output)
    found = np.stack(rows).transpose(1, 3, 0, 4, 2)
    if not family.intercept:
        found[:, -1], found[:, :, :, -1] = 0, 0
    return found.reshape(columns, size, size)
