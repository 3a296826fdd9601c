"""Fits that learn chunk by chunk and forget the data: what is remembered is a quadratic function of the parameters."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.errors import CapabilityError, ShapeError
from recurra.glm import newton
from recurra.glm.chunks import read_data, terms
from recurra.glm.design import Rows, read_rows
from recurra.glm.frame import Frame
from recurra.glm.objective import Data, Family
from recurra.glm.penalty import Penalty


@functools.partial(jax.jit, static_argnums=0)
def _online_terms(
    family: Family, data: Data, penalty: Penalty, before: Array, pull: Array, coef: Array, count: Array
) -> tuple[Array, Array, Array]:
    """Return value, gradient and Hessians of a new chunk plus what earlier ones left, as means over all bins."""
    value, slope, _, hessian, _ = terms(family, "hessian", data, coef)
    flat = coef[..., 0].T
    kept = jnp.einsum("pfg,pg->pf", before, flat)
    value = (value + jnp.sum(flat * (0.5 * kept - pull), axis=1)) / count + penalty.smooth(coef[:-1])
    slope = (slope + (kept - pull).T[..., None]) / count
    return value, slope.at[:-1].add(penalty.slope(coef[:-1])), hessian


@dataclass
class Memory:
    """Hold what earlier chunks say about the parameters: a quadratic function.

    Arguments:
        precision: `(columns, features + 1, features + 1)`, sums of Hessians.
        pull: precision times estimate, `(columns, features + 1)`.
        count: bins so far.
        total: sums of y, `(columns,)`.
        square: what :meth:`residual` is at parameters of 0, `(columns,)`.
        frame: how the features are moved and scaled, as the first chunk says; `None` where they are not.
    """

    precision: np.ndarray
    pull: np.ndarray
    count: float
    total: np.ndarray
    square: np.ndarray
    frame: Frame | None = None

    def residual(self, coef: np.ndarray) -> np.ndarray:
        """Return the squared residuals over their variances, summed up over all chunks, `(columns,)`.

        They are known at the estimate of each chunk, and change as twice the loss does; of a Gaussian model exactly so.

        Arguments:
            coef: where, `(features + 1, columns, 1)`.
        """
        return self.square + self._change(coef[..., 0].T)

    def _change(self, flat: np.ndarray) -> np.ndarray:
        return np.einsum("pf,pfg,pg->p", flat, self.precision, flat) - 2 * np.sum(flat * self.pull, axis=1)


def learn_chunk(
    family: Family, rows: Rows, penalty: Penalty, memory: Memory, start: np.ndarray
) -> tuple[np.ndarray, Memory]:
    """Add a chunk to what is known (assumed-density filtering with Laplace's approximation; Opper 1998).

    For a Gaussian model with identity link the outcome is that of one fit to all chunks.

    Arguments:
        family: the family.
        rows: the chunk.
        penalty: quadratic; counted once for all chunks.
        memory: what earlier chunks left.
        start: `(features + 1, columns, 1)`.

    Returns:
        The estimate and the memory with this chunk.
    """
    if penalty.rough:
        raise CapabilityError(
            "partial_fit: Lasso, GroupLasso and bounds do not add up over chunks; use Ridge or Smoothness, or"
            " fit_chunks."
        )
    with jax.enable_x64(True):
        part = penalty.cast("float64")
        # Chunks of nearly equal length share compiled code.
        data = read_data(rows, 1 << max(6, (len(rows.x) - 1).bit_length()), "float64")
        count = jnp.asarray(memory.count + rows.count)
        before, pull, coef = (jnp.asarray(a) for a in (memory.precision, memory.pull, start))
        value, slope, hessian = _online_terms(family, data, part, before, pull, coef, count)
        for _ in range(100):
            way = newton.exact_direction((hessian + before) / count, part, slope)
            reach = jnp.ones_like(value)
            for _ in range(newton.HALVINGS):
                trial = coef + reach[None, :, None] * way
                after = _online_terms(family, data, part, before, pull, trial, count)
                worse = ~(after[0] <= value + 1e-14 * (1 + jnp.abs(value)))
                if not bool(jnp.any(worse)):
                    break
                reach = jnp.where(worse, reach / 2, reach)
            coef, (value, slope, hessian) = trial, after
            if float(jnp.max(jnp.abs(slope))) < 1e-10 or float(jnp.max(jnp.abs(reach[None, :, None] * way))) < 1e-12:
                break
        found = np.asarray(coef)
        fresh = np.asarray(hessian)
    # The chunk's loss is replaced by its quadratic function around the estimate.
    with jax.enable_x64(True):
        gradient = np.asarray(terms(family, "", data, jnp.asarray(found))[1])[..., 0].T
    flat = found[..., 0].T
    pull_now = memory.pull + np.einsum("pfg,pg->pf", fresh, flat) - gradient
    count, total = memory.count + rows.count, memory.total + rows.weight @ rows.y
    after = Memory(memory.precision + fresh, pull_now, count, total, memory.square, memory.frame)  # type: ignore[arg-type]
    known = memory.residual(found) + pearson(family, rows, found)
    return found, replace(after, square=memory.square + known - after.residual(found))


def pearson(family: Family, rows: Rows, coef: np.ndarray) -> np.ndarray:
    """Return the sum of squared residuals over their variances at scale 1, `(columns,)`."""
    with jax.enable_x64(True):
        rate = family.link(jnp.asarray(rows.predictor(coef[..., 0]), float))
        unit = np.asarray(family.observation.variance(rate, 1.0))
    return rows.weight @ ((rows.y - np.asarray(rate)) ** 2 / unit)


def read_chunk(x: np.ndarray, y: np.ndarray, weight: ArrayLike | None, offset: np.ndarray | None = None) -> Rows:
    """Return the rows of a chunk, of which none need count."""
    try:
        return read_rows(x, y, weight, offset)
    except ShapeError as error:
        if "no row is left" in str(error) or "every weight is zero" in str(error):
            none = None if offset is None else np.zeros_like(offset)
            return Rows(np.zeros_like(x), np.ones_like(y), np.zeros(len(x)), none)
        raise
