"""Changes of a few rows of a large matrix: where spikes are a factor, rows without one stay as they are.

`W += 0.1 * post[:, None] * pre[None, :]` and `W[np.ix_(post, pre)] += c` change the rows of the units that spike, in
the columns of those that did. How large values came about is remembered, so that a part of them can be computed alone;
the arithmetic is the same.
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

SPARSE = 32  # an entry of a block takes as long as so many of a row


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
    rows, columns = (_support(session, other, axis) for axis in (0, 1))
    if rows is None or len(rows) != len(matrix):
        return None
    if columns is not None and len(columns) != matrix.shape[1]:
        columns = None

    def entry(at: tuple[Any, Any], old: Any) -> Any:
        added = _part(session, other, at, {id(matrix): old})
        return cast(UFUNCS[ufunc.__name__](cast(old, dtype), cast(added, dtype)), matrix.dtype)

    return _update(session, matrix, rows, columns, entry)


def replace(session: Session, matrix: Any, rows: Any, columns: Any, value: Any) -> Any:
    """Return the matrix with the block of some rows and columns replaced; None where it is small.

    Arguments:
        rows, columns: traced truth values.
        value: the new entries, for the whole matrix, or one for all.
    """
    if not _is_large(session, matrix) or rows is None or columns is None or not is_traced(rows):
        return None

    def entry(at: tuple[Any, Any], old: Any) -> Any:
        chosen = cast(_part(session, value, at, {id(matrix): old}), matrix.dtype)
        return chosen if at[1] is not None else jnp.where(jnp.asarray(columns), chosen, old)

    return _update(session, matrix, rows, columns, entry)


def _update(session: Session, matrix: Any, rows: Any, columns: Any, entry: Callable) -> Any:
    """Change some rows of a matrix; only some of their columns, unless these are None.

    Arguments:
        entry: a place as for `_part`, what is there -> what comes there.
    """
    session.note("change of single rows")
    found, count = find(session, rows)
    read = session.recall(("read", id(matrix)))
    if read is not None:
        # What was read of the matrix before must be done, or the compiler would keep a copy of it: adds 0.
        count = count + events.zero_after(read)
    if columns is not None:
        among = find(session, columns)
        # Whole rows are read from memory in order, which is quicker if many columns change. One of both does nothing.
        squares = jnp.ceil(count / events.SQUARE) * jnp.ceil(among[1] / events.SQUARE)
        few = squares * (SPARSE * events.SQUARE**2) < count * float(matrix.shape[1])
        matrix = events.update_block(
            matrix, (found, jnp.where(few, count, 0)), among,
            lambda i, j, old: jnp.broadcast_to(entry((i, j), old), old.shape),
        )  # fmt: skip
        count = jnp.where(few, 0, count)
    return events.update_rows(matrix, found, count, lambda i, old: entry((i, None), old))


def find(session: Session, spikes: Any) -> tuple[Any, Any]:
    """List the units that spike, once for all that asks in a step; see `events.find`."""
    return session.memo(("spikes", id(spikes)), (spikes,), lambda: events.find(jnp.asarray(spikes)))


def _is_large(session: Session, matrix: Any) -> bool:
    if session.smooth:  # a loop over spikes has no derivative in reverse
        return False
    return is_traced(matrix) and matrix.ndim == 2 and matrix.size >= events.WORTHWHILE


def _support(session: Session, value: Any, axis: int) -> Any:
    """Return the truth values of the rows (axis 0) or columns outside of which a value is 0, if they are known."""
    if is_traced(value) and value.dtype == bool:
        if value.ndim == 2 and value.shape[1 - axis] == 1:
            return session.memo(("line", id(value)), (value,), lambda: value.reshape(-1))
        if value.ndim == 1 and axis == 1:
            return value
    origin = session.origins.get(id(value))
    if origin is None:
        return None
    name, parts, _, _ = origin
    if name == "convert":
        return _support(session, parts[0], axis)
    if name != "multiply":
        return None
    found = [_support(session, part, axis) for part in parts]
    for support, other in zip(found, reversed(parts), strict=True):
        if support is not None and _is_finite(session, other):
            return support
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


def _part(session: Session, value: Any, at: tuple[Any, Any], known: dict[int, Any]) -> Any:
    """Return a row of a value that is broadcast to a matrix, or the entries where some rows and columns meet.

    Arguments:
        at: number of the row, None; or numbers `(rows, 1)` and `(1, columns)`, which may lie beyond the last.
        known: the part that is asked for of the matrix itself, by its identity.
    """
    if id(value) in known:
        return known[id(value)]
    i, j = at
    if np.ndim(value) == 0:
        return value
    if np.ndim(value) == 1 or value.shape[0] == 1:
        line = value if np.ndim(value) == 1 else value[0]
        return line if j is None or line.shape[0] == 1 else jnp.asarray(line)[j]
    origin = session.origins.get(id(value))
    if origin is not None:
        name, parts, dtype, _ = origin
        found = [_part(session, part, at, known) for part in parts]
        return cast(found[0] if name == "convert" else UFUNCS[name](*found), dtype)
    if j is None:
        return jax.lax.dynamic_index_in_dim(jnp.asarray(value), i, 0, keepdims=False)
    return jnp.asarray(value)[i, j if value.shape[1] > 1 else 0]
