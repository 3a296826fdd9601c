"""Carry signals through weights: whole matrices, index lists, sums."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array

from recurra.engine.system import Projection


def deliver(
    projection: Projection, source: Array, params: Mapping[str, Array], tables: Mapping[str, Array]
) -> Array:
    """Return what a projection brings to its target: `W[post, pre] @ source`, however W is stored.

    Arguments:
        projection: what is joined, and how the weights are stored.
        source: the source variable now, `(source units,)`.
        params: the program's parameters.
        tables: the program's index tables.

    Returns:
        One number per target unit.
    """
    weights = params[projection.weights] if projection.weights else None
    if projection.delivery == "dense":
        return weights @ _not_alone(source)  # type: ignore[operator]
    if projection.delivery == "one_to_one":
        return weights * source  # type: ignore[operator]
    if projection.delivery == "pairs":
        return jnp.sum(weights * source.reshape(weights.shape), axis=1)  # type: ignore[union-attr,operator]
    if projection.delivery == "all_to_all":
        total = jnp.sum(source[slice(*projection.source_slice)])  # type: ignore[misc]
        return _to_slice(weights * total, projection)  # type: ignore[operator]
    picked = source[tables[projection.columns]]
    weighted = picked if weights is None else weights * picked
    return weighted if projection.delivery == "gather" else _scatter(weighted, projection, tables)


def deliver_entries(
    projection: Projection, entries: Array, params: Mapping[str, Array], tables: Mapping[str, Array]
) -> Array:
    """Return what a projection brings to its target when every edge has read its own (delayed) source.

    Arguments:
        entries: the signal of every edge, in the shape of the weights.
    """
    weighted = params[projection.weights] * entries
    if projection.delivery in ("dense", "pairs"):
        return jnp.sum(weighted, axis=1)
    if projection.delivery in ("one_to_one", "gather"):
        return weighted
    if projection.delivery == "all_to_all":
        return _to_slice(weighted, projection)
    return _scatter(weighted, projection, tables)


def _scatter(values: Array, projection: Projection, tables: Mapping[str, Array]) -> Array:
    return jax.ops.segment_sum(
        values, tables[projection.rows], projection.shape[0], indices_are_sorted=True, mode="promise_in_bounds"
    )


def _to_slice(value: Array, projection: Projection) -> Array:
    start, stop = projection.target_slice  # type: ignore[misc]
    return jnp.broadcast_to(value, (stop - start,))


def _not_alone(source: Array) -> Array:
    """Return the same numbers, as a choice that stays unmade.

    The compiler for CPUs gives a function such as tanh that stands alone before a product to an emitter that is
    three times slower than its usual one; with a choice behind it the function keeps the usual one.
    """
    if not jnp.issubdtype(source.dtype, jnp.floating):
        return source
    return jnp.where(jnp.isnan(source), jnp.nan, source)
