"""The functions of the bases on the unit interval: `(samples,)` -> `(samples, functions)`, in JAX.

Each is compiled as a whole: operation by operation they would take much longer the first time. A sample outside of the
interval is treated by the caller; a sample that is NaN gives a row of NaN.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def clamped_knots(count: int, order: int) -> np.ndarray:
    """Return the knots of `count` splines: equally spaced in [0, 1], the ends `order` times.

    >>> clamped_knots(4, 3)
    array([0. , 0. , 0. , 0.5, 1. , 1. , 1. ])
    """
    inner = np.linspace(0.0, 1.0, count - order + 2)
    return np.concatenate([np.zeros(order - 1), inner, np.ones(order - 1)])


def spline_rows(u: Array, knots: np.ndarray, order: int) -> Array:
    """Evaluate B-splines of an order (degree + 1) by the recursion of de Boor (1972) and Cox (1972).

    Arguments:
        u: `(samples,)`.
        knots: increasing, repeated ones allowed.

    Returns:
        `(samples, len(knots) - order)`. The last interval that is not empty is closed on the right.
    """
    x, t = u[:, None], knots[None, :]
    last = int(np.flatnonzero(np.diff(knots) > 0)[-1])
    inside = (x >= t[:, :-1]) & (x < t[:, 1:])
    closed = np.zeros((1, len(knots) - 1), bool)
    closed[0, last] = True
    rows = (inside | (closed & (x == knots[last + 1]))).astype(u.dtype)
    for k in range(2, order + 1):
        span = knots[k - 1 :] - knots[: -k + 1]
        inverse = np.divide(1.0, span, out=np.zeros_like(span), where=span > 0)[None, :]
        left = (x - t[:, :-k]) * inverse[:, :-1].astype(u.dtype)
        right = (t[:, k:] - x) * inverse[:, 1:].astype(u.dtype)
        rows = (left * rows[:, :-1] + right * rows[:, 1:]).astype(u.dtype)
    return jnp.where(jnp.isnan(x), jnp.nan, rows)


@partial(jax.jit, static_argnums=(1, 2))
def bsplines(u: Array, count: int, order: int) -> Array:
    """Evaluate clamped B-splines, which sum to 1.

    >>> round(float(bsplines(jnp.asarray([0.3]), 6, 4).sum()), 6)
    1.0
    """
    return spline_rows(u, clamped_knots(count, order), order)


@partial(jax.jit, static_argnums=(1, 2))
def msplines(u: Array, count: int, order: int) -> Array:
    """Evaluate M-splines, each of which integrates to 1 over [0, 1] (Ramsay 1988)."""
    knots = clamped_knots(count, order)
    return spline_rows(u, knots, order) * (order / (knots[order:] - knots[:-order]))[None, :].astype(u.dtype)


@partial(jax.jit, static_argnums=(1, 2))
def cyclic_bsplines(u: Array, count: int, order: int) -> Array:
    """Evaluate periodic B-splines on equally spaced knots, which sum to 1."""
    knots = np.arange(-(order - 1), count + order) / count
    rows = spline_rows(u, knots, order)  # those that stick out on the right continue on the left
    return rows[:, :count] + jnp.pad(rows[:, count:], ((0, 0), (0, count - (order - 1))))


@partial(jax.jit, static_argnums=(1, 2, 3))
def raised_cosines(u: Array, count: int, width: float, last_peak: float) -> Array:
    """Evaluate raised cosine bumps with peaks equally spaced from 0 to `last_peak` (Pillow et al. 2005).

    Arguments:
        width: half of the width of a bump, in distances between peaks.
    """
    peaks = np.linspace(0.0, last_peak, count)
    angle = (np.pi / ((peaks[1] - peaks[0]) * width)) * (u[:, None] - peaks[None, :].astype(u.dtype))
    return 0.5 * (jnp.cos(jnp.clip(angle, -np.pi, np.pi)) + 1)


@partial(jax.jit, static_argnums=1)
def log_time(u: Array, scaling: float) -> Array:
    """Stretch the interval logarithmically: `log(1 + scaling u) / log(1 + scaling)` (Pillow et al. 2008)."""
    return jnp.log1p(scaling * u) / np.log1p(scaling)


@jax.jit
def orthogonal_exponentials(u: Array, rates: Array) -> Array:
    """Return an orthonormal basis of decaying exponentials, by singular value decomposition of their samples.

    Rows that are NaN take no part and stay NaN.
    """
    missing = jnp.isnan(u)[:, None]
    decays = jnp.exp(-jnp.where(missing, 0, u[:, None]) * rates[None, :].astype(u.dtype))
    left, _, _ = jnp.linalg.svd(jnp.where(missing, 0, decays), full_matrices=False)
    return jnp.where(missing, jnp.nan, left)


def waves(u: Array, frequencies: np.ndarray) -> Array:
    """Return cosines, then sines.

    Arguments:
        u: `(samples, dimensions)`, in periods.
        frequencies: `(dimensions, waves)`, whole numbers, the kept ones; the constant has a cosine only.
    """
    # The phase is reduced before it is multiplied by 2 pi, which keeps high frequencies exact.
    phase = 2 * np.pi * jnp.mod(u @ frequencies.astype(u.dtype), 1.0)
    turning = np.any(frequencies != 0, axis=0)
    return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)[:, turning]], axis=1)
