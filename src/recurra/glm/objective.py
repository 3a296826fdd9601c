"""What a fit minimises: many independent problems on one design matrix, one column each.

A column is a neuron, or a neuron in one fold at one strength of the penalty, or in one state of a hidden Markov model:
all of these are fitted at once, by the same compiled code. The objective of column p is

    sum_t w[t, p] * nll(y[t, p], inverse_link(eta[t, p])) + penalty(coef[:, p]),    sum_t w[t, p] = 1,

with eta = X @ coef + intercept + offset: the weighted mean over time of the negative log-likelihood at scale 1, plus a
penalty on the coefficients but not on the intercept. Coefficients are `(features + 1, columns, outputs)`, the intercept
in the last row; outputs is 1 but for a classifier, which has one for each class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from recurra.glm.links import INVERSE_LINKS, InverseLink
from recurra.glm.observations import Bernoulli, Gamma, ObservationModel, Poisson
from recurra.glm.penalty import Penalty

EXP, LOGISTIC = INVERSE_LINKS["exp"], INVERSE_LINKS["logistic"]


@dataclass(frozen=True)
class Family:
    """Hold what is static about an objective: how observations are distributed, the link, the outputs of a column.

    Without an intercept the last row of the coefficients stays 0: its derivatives are taken to be 0.
    """

    observation: ObservationModel
    link: InverseLink
    outputs: int = 1
    intercept: bool = True

    def rate(self, eta: Array) -> Array:
        """Return the mean of each bin from the linear predictor `(time, columns, outputs)`; the last axis goes if 1."""
        return self.link(eta[..., 0] if self.outputs == 1 else eta)

    def loss(self, y: Array, eta: Array) -> Array:
        """Return the negative log-likelihood at scale 1 of each bin, `(time, columns)`.

        The usual pairs are written in the linear predictor: the detour over the rate loses digits where it saturates.
        """
        if self.outputs == 1:
            x = eta[..., 0]
            if isinstance(self.observation, Poisson) and self.link is EXP:
                return jnp.exp(x) - y * x
            if isinstance(self.observation, Bernoulli) and self.link is LOGISTIC:
                return jax.nn.softplus(x) - y * x
            if isinstance(self.observation, Gamma) and self.link is EXP:
                return y * jnp.exp(-x) + x
        return self.observation.negative_log_likelihood(y, self.rate(eta))

    def slope(self, y: Array, eta: Array) -> Array:
        """Return the derivative of the loss by the linear predictor, `(time, columns, outputs)`."""
        return jax.grad(lambda e: jnp.sum(self.loss(y, e)))(eta)

    def curvature(self, y: Array, eta: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return the diagonal of the second derivative by the linear predictor, and the product with it.

        Where the second derivative is not positive its expectation is taken (Fisher scoring), so that the model of the
        objective that a Newton step uses is convex.
        """
        _, product = jax.linearize(lambda e: self.slope(y, e), eta)
        if self.outputs > 1:
            return self.observation.variance(self.rate(eta)), product
        second = product(jnp.ones_like(eta))
        rate, steep = jax.jvp(self.link, (eta,), (jnp.ones_like(eta),))
        expected = steep**2 / jnp.maximum(self.observation.variance(rate), jnp.finfo(eta.dtype).tiny)
        second = jnp.where(second > 0, second, jnp.where(jnp.isfinite(expected), expected, 0))
        return second, lambda v: second * v


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Data:
    """Hold the numbers of the problems.

    Arguments:
        x: `(time, features)`.
        y: `(time, columns)`.
        weight: `(time, columns)` or `(time, 1)`; every column sums to 1, rows of weight 0 do not count.
        coarse: `x` in single precision, for products that need not be exact; `None` to use `x`.
        offset: what is added to the linear predictor, `(time, columns or 1, outputs)`; `None` for nothing.
    """

    x: Array
    y: Array
    weight: Array
    coarse: Array | None = None
    offset: Array | None = None

    def predictor(self, coef: Array) -> Array:
        """Return `x @ coef + intercept + offset`, `(time, columns, outputs)`."""
        eta = predictor(self.x, coef)
        return eta if self.offset is None else eta + self.offset


def predictor(x: Array, coef: Array) -> Array:
    """Return `x @ coef + intercept`, `(time, columns, outputs)`.

    Arguments:
        x: `(time, features)`.
        coef: `(features + 1, columns, outputs)`.
    """
    rows, columns, outputs = coef.shape
    flat = coef.reshape(rows, columns * outputs)
    return (x @ flat[:-1] + flat[-1:]).reshape(x.shape[0], columns, outputs)


def transposed(x: Array, values: Array) -> Array:
    """Return `x.T @ values` with the sum of the values as the last row, `(features + 1, columns, outputs)`."""
    time, columns, outputs = values.shape
    flat = values.reshape(time, columns * outputs)
    found = jnp.concatenate([x.T @ flat, jnp.sum(flat, axis=0, keepdims=True)])
    return found.reshape(-1, columns, outputs)


def total(each: Array, weight: Array) -> Array:
    """Return the weighted sum over time, `(columns,)`; bins of weight 0 may hold anything."""
    return jnp.sum(jnp.where(weight > 0, each, 0) * weight, axis=0)


def smooth_part(family: Family, data: Data, penalty: Penalty, coef: Array, eta: Array) -> Array:
    """Return the differentiable part of the objective, `(columns,)`."""
    return total(family.loss(data.y, eta), data.weight) + penalty.smooth(coef[:-1])


def gradient(family: Family, data: Data, penalty: Penalty, coef: Array, eta: Array) -> tuple[Array, Array]:
    """Return the gradient of the differentiable part, and its root mean square over the bins of each column."""
    slope = family.slope(data.y, eta)
    weighted = jnp.where(data.weight[..., None] > 0, slope, 0) * data.weight[..., None]
    found = without_intercept(family, transposed(data.x, weighted))
    spread = jnp.sqrt(jnp.sum(jnp.where(data.weight[..., None] > 0, slope, 0) * weighted, axis=(0, 2)))
    return found.at[:-1].add(penalty.slope(coef[:-1])), spread


def without_intercept(family: Family, rows: Array) -> Array:
    """Return an array `(features + 1, ...)` with 0 in the last row if the family has no intercept."""
    return rows if family.intercept else rows.at[-1].set(0)


def dot(a: Array, b: Array) -> Array:
    """Return the inner product of each column, `(columns,)`."""
    return jnp.sum(a * b, axis=(0, 2))


def finite(tree: Any) -> Array:
    """Return for each column whether all of its numbers are finite, `(columns,)`."""
    return jnp.all(jnp.isfinite(tree), axis=(0, 2))
