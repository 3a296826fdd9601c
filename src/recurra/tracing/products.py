"""Matrix products; those with boolean spikes are lowered so that their cost follows the number of spikes.

The order of summation may differ from NumPy's, by rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.engine import events
from recurra.tracing import operations, rows
from recurra.tracing.promotion import UFUNCS, cast
from recurra.tracing.session import Session, as_value, is_traced

if TYPE_CHECKING:
    from recurra.tracing.boxes import Box
    from recurra.tracing.masked import Masked


def check_shapes(first: Any, second: Any) -> None:
    """Raise NumPy's own error for shapes that do not go together."""
    if np.ndim(first) and np.ndim(second):
        inner = second.shape[-2] if second.ndim > 1 else second.shape[0]
        if first.shape[-1] == inner:
            return
    small = [np.broadcast_to(np.zeros(()), np.shape(v)) for v in (first, second)]
    np.matmul(*small)


def dot(session: Session, first: object, second: object, matmul: bool = False) -> Any:
    """Do `first @ second` or `np.dot(first, second)`."""
    if operations.is_masked(first) or operations.is_masked(second):
        return _masked_dot(session, first, second)
    a, b = (operations.operand(session, v) for v in (first, second))
    sources = a.sources | b.sources
    left, right = as_value(a.value), as_value(b.value)
    if not (is_traced(left) or is_traced(right)):
        result = np.matmul(left, right) if matmul else np.dot(left, right)
        return operations.wrap(session, result, sources)
    types = np.result_type(*(np.zeros(1, v.dtype) for v in (left, right)))  # no type is weak in a product
    if not matmul and (np.ndim(left) == 0 or np.ndim(right) == 0):
        return operations.wrap(session, UFUNCS["multiply"](cast(left, types), cast(right, types)), sources)
    spikes = _event(session, first, second, left, right, types)
    if spikes is not None:
        return operations.wrap(session, spikes, sources)
    left, right = cast(left, types), cast(right, types)
    check_shapes(left, right) if matmul or max(left.ndim, right.ndim) <= 2 else None
    if matmul or max(left.ndim, right.ndim) <= 2:
        result = UFUNCS["matmul"](left, right)
    else:
        result = jnp.dot(left, right, precision="highest")
    return operations.wrap(session, result, sources)


def _event(session: Session, first: object, second: object, left: Any, right: Any, types: np.dtype) -> Any:
    """Return `W @ s` or `s @ W` for traced boolean s and a matrix W, or None where that is not what is asked."""
    if right.dtype == bool and right.ndim == 1 and left.ndim == 2 and left.shape[1] == right.shape[0]:
        matrix, weights, spikes, by_column = first, left, right, True
    elif left.dtype == bool and left.ndim == 1 and right.ndim == 2 and left.shape[0] == right.shape[0]:
        matrix, weights, spikes, by_column = second, right, left, False
    else:
        return None
    if not is_traced(spikes) or weights.dtype.kind != "f":
        return None
    return _deliver(session, matrix, weights, spikes, by_column)


def _deliver(session: Session, matrix: object, weights: Any, spikes: Any, by_column: bool) -> Any:
    session.note("event-driven product")
    ones = spikes.astype(weights.dtype)
    if weights.size < events.WORTHWHILE:
        return weights @ ones if by_column else ones @ weights
    weights, given = jnp.asarray(weights), weights
    found = rows.find(session, spikes)
    turned = _transposed(session, matrix) if by_column else None
    if isinstance(turned, tuple):
        return events.sum_entries(*turned, weights.shape[0], *found)  # type: ignore[misc]
    if turned is not None:
        return events.sum_rows(turned, ones, *found)  # type: ignore[misc]
    made = (events.sum_columns if by_column else events.sum_rows)(weights, ones, *found)  # type: ignore[misc]
    session.memos[-1]["read", id(given)] = made, (given,)
    return made


def _transposed(session: Session, matrix: object) -> Any:
    """Return the transpose made outside of the time loop, for a whole slot that no body writes."""
    if not operations.is_box(matrix) or matrix._slot is None or matrix._slot in session.facts.written:
        if operations.is_box(matrix) and matrix._parent is not None:
            return _already_transposed(matrix)
        return None
    session.facts.add("transposed", matrix._slot)
    return session.transposes.get(matrix._slot)


def _already_transposed(matrix: Box) -> Any:
    """Return the rows of W for `W.T`, whose columns lie in a row of memory."""
    from recurra.tracing import indexing

    if isinstance(matrix._step, indexing.Transpose) and matrix._parent is not None and matrix.ndim == 2:
        return jnp.asarray(matrix._parent._read())
    return None


def picked_sum(values: Masked, axes: tuple[int, ...]) -> Any:
    """Return `W[:, s].sum(1)` or `W[s].sum(0)` as a product with s, or None where it is something else."""
    if values._picked is None:
        return None
    matrix, memory = values._picked
    if matrix._root()._inner is not memory or matrix.ndim != 2 or len(axes) != 1 or matrix.dtype.kind != "f":
        return None
    axis = axes[0]
    spikes = values._masks[axis]
    if spikes is None or values._masks[1 - axis] is not None or not is_traced(spikes):
        return None
    made = _deliver(values._session, matrix, values._full, spikes, by_column=axis == 1)
    return operations.wrap(values._session, made, values._tied)


def _masked_dot(session: Session, first: Any, second: Any) -> Any:
    """Sum over an axis that is masked in the same way in both factors; other masked axes stay masked."""
    from recurra.tracing import masked

    values = [v if operations.is_masked(v) else operations.build_array(session, v) for v in (first, second)]
    fulls = [v._full if operations.is_masked(v) else v._read() for v in values]
    masks = [v._masks if operations.is_masked(v) else (None,) * v.ndim for v in values]
    if not all(f.ndim in (1, 2) for f in fulls):
        raise session.refuse("a product of values picked by a traced mask")
    inner = masks[0][-1], masks[1][0]
    if inner[0] is not inner[1]:
        raise session.refuse("a product of values picked by different masks")
    sources = frozenset().union(*(v._sources() for v in values))
    types = np.result_type(*(np.zeros(1, f.dtype) for f in fulls))
    left, right = (jnp.asarray(cast(f, types)) for f in fulls)
    check_shapes(left, right)
    if inner[0] is not None:
        inside = jnp.asarray(inner[0])
        left = jnp.where(inside, left, 0)
        right = jnp.where(inside if right.ndim == 1 else inside[:, None], right, 0)
    result = UFUNCS["matmul"](left, right)
    outer = (*masks[0][:-1], *masks[1][1:])
    if any(m is not None for m in outer):
        return masked.Masked(session, result, outer, sources)
    return operations.wrap(session, result, sources)


def transpose(weights: jax.Array) -> jax.Array:
    """Return the transposed copy, one contiguous row for each source."""
    return jnp.asarray(weights).T
