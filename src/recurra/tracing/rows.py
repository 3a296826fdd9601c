"""Changes of a few rows of a large matrix: where spikes are a factor, rows without one stay as they are.

`W += 0.1 * post[:, None] * pre[None, :]` and `W[np.ix_(post, pre)] += c` change the rows of the units that spike. How
large values came about is remembered, so that one row of them can be computed alone; the arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.engine import events
from recurra.tracing.promotion import UFUNCS, cast
from recurra.tracing.session import Session, is_traced


def remember(session: Session, ufunc: np.ufunc, given: list, values: list, types: tuple, result: Any) -> None:
    """Remember how a large matrix was computed, element by element.

    Arguments:
        given: the inputs.
        values: the inputs in the types in which they were computed with.
        types: those, and that of the result.
        result: the matrix, or anything else.
    """
    if not (is_traced(result) and result.ndim == 2) or (result.size < events.WORTHWHILE and 1 not in result.shape):
        return
    if ufunc.nout != 1 or ufunc.signature is not None:
        return
    for before, value, dtype in zip(given, values, types, strict=False):
        if is_traced(before) and value is not before and before.ndim == 2:
            session.origins[id(value)] = ("convert", (before,), dtype, value)
    session.origins.setdefault(id(result), (ufunc.__name__, tuple(values), types[-1], result))


def change(session: Session, ufunc: np.ufunc, matrix: Any, other: Any, dtype: np.dtype) -> Any:
    """Return `matrix + other` (or `-`) row by row, in the type of the matrix; None where all rows may change.

    Arguments:
        matrix: `(post, units)`, traced.
        other: what is added or subtracted.
        dtype: the type in which this is done.
    """
    large = _is_large(session, matrix)
    if ufunc not in (np.add, np.subtract) or not large or np.shape(other) != matrix.shape:
        return None
    rows = _support(session, other)
    if rows is None:
        return None

    def new(i: Any, row: Any) -> Any:
        added = _row(session, other, i, {id(matrix): row})
        return cast(UFUNCS[ufunc.__name__](cast(row, dtype), cast(added, dtype)), matrix.dtype)

    return _update(session, matrix, rows, new)


def replace(session: Session, matrix: Any, rows: Any, columns: Any, value: Any) -> Any:
    """Return the matrix with the block of some rows and columns replaced; None where it is small.

    Arguments:
        rows, columns: traced truth values.
        value: the new entries, for the whole matrix, or one for all.
    """
    if not _is_large(session, matrix) or rows is None or columns is None or not is_traced(rows):
        return None

    def new(i: Any, row: Any) -> Any:
        chosen = cast(_row(session, value, i, {id(matrix): row}), matrix.dtype)
        return jnp.where(jnp.asarray(columns), chosen, row)

    return _update(session, matrix, rows, new)


def _update(session: Session, matrix: Any, rows: Any, new: Callable) -> Any:
    session.note("changes of single rows")
    found, count = session.memo(("spikes", id(rows)), (rows,), lambda: events.find(rows))
    read = session.recall(("read", id(matrix)))
    if read is not None:
        # What was read of the matrix before must be done, or the compiler would keep a copy of it: adds 0.
        count = count + events.zero_after(read)
    return events.update_rows(matrix, found, count, new)


def _is_large(session: Session, matrix: Any) -> bool:
    if session.smooth:  # a loop over spikes has no derivative in reverse
        return False
    return is_traced(matrix) and matrix.ndim == 2 and matrix.size >= events.WORTHWHILE


def _support(session: Session, value: Any) -> Any:
    """Return the truth values of the rows outside of which a value is 0, if they are known."""
    if np.ndim(value) == 2 and value.shape[1] == 1 and value.dtype == bool and is_traced(value):
        return session.memo(("column", id(value)), (value,), lambda: value[:, 0])
    origin = session.origins.get(id(value))
    if origin is None:
        return None
    name, parts, _, _ = origin
    if name == "convert":
        return _support(session, parts[0])
    if name != "multiply":
        return None
    found = [_support(session, part) for part in parts]
    for rows, other in zip(found, reversed(parts), strict=True):
        if rows is not None and _is_finite(session, other):
            return rows
    return None


def _is_finite(session: Session, value: Any) -> bool:
    """Tell whether a value is finite for sure, so that its product with 0 is 0."""
    if not is_traced(value):
        return bool(np.all(np.isfinite(value)))
    if value.dtype == bool:
        return True
    origin = session.origins.get(id(value))
    if origin is None or origin[0] not in ("multiply", "convert"):
        return False
    return all(_is_finite(session, part) for part in origin[1])


def _row(session: Session, value: Any, i: Any, known: dict[int, Any]) -> Any:
    """Return row i of a value that is broadcast to a matrix."""
    if id(value) in known:
        return known[id(value)]
    if np.ndim(value) < 2:
        return value
    if value.shape[0] == 1:
        return value[0]
    origin = session.origins.get(id(value))
    if origin is None:
        return jax.lax.dynamic_index_in_dim(jnp.asarray(value), i, 0, keepdims=False)
    name, parts, dtype, _ = origin
    rows = [_row(session, part, i, known) for part in parts]
    return cast(rows[0] if name == "convert" else UFUNCS[name](*rows), dtype)
