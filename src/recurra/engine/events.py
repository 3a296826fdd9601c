"""Deliver boolean spikes so that the cost follows the number of spikes, not the size of the matrix.

Finding the spikes walks the set bits of 32-bit words; each spike then adds one row (or column) of the weights.
The derivatives are those of the dense product. On devices other than CPUs the dense
product is used: a loop over spikes would start one kernel for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float, Int32, UInt32

WORTHWHILE = 65_536  # entries of a matrix from which on walking the spikes beats the dense product
SQUARE = 32  # rows and columns that `update_block` takes at once; 16 and 64 are slower on CPUs


def pack(spikes: Bool[Array, " units"]) -> UInt32[Array, " words"]:
    """Put 32 truth values into each word, the first one into its lowest bit.

    >>> pack(jnp.array([False, True, True])).tolist()
    [6]
    """
    padded = jnp.pad(spikes, (0, -spikes.shape[0] % 32)).reshape(-1, 32)
    bits = jnp.left_shift(np.uint32(1), jnp.arange(32, dtype=np.uint32))
    return jnp.sum(jnp.where(padded, bits, np.uint32(0)), axis=1, dtype=np.uint32)


def find(spikes: Bool[Array, " units"]) -> tuple[Int32[Array, " units"], Int32[Array, ""]]:
    """List the units that spike.

    Arguments:
        spikes: which units spike.

    Returns:
        The numbers of the spiking units in ascending order, filled up with the number of units; and how many spike.

    >>> units, count = find(jnp.array([False, True, False, True]))
    >>> units.tolist(), int(count)
    ([1, 3, 4, 4], 2)
    """
    units, words = spikes.shape[0], pack(spikes)

    def in_word(at: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        def more(inner: tuple[Array, Array, Array]) -> Array:
            return inner[0] != 0

        def take(inner: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            word, found, count = inner
            lowest = word & (~word + np.uint32(1))
            unit = at * 32 + (31 - jax.lax.clz(lowest).astype(np.int32))
            return word ^ lowest, found.at[count].set(unit), count + np.int32(1)

        _, found, count = jax.lax.while_loop(more, take, (words[at], *carry))
        return found, count

    start = jnp.full(units, units, np.int32), jnp.zeros((), np.int32)
    return jax.lax.fori_loop(np.int32(0), np.int32(words.shape[0]), in_word, start)


@jax.custom_jvp
def sum_rows(
    rows: Float[Array, "units post"], spikes: Float[Array, " units"], found: Int32[Array, " units"], count: Array
) -> Float[Array, " post"]:
    """Add up the rows of the units that spike: `spikes @ rows`.

    Arguments:
        rows: one row for each unit that may spike.
        spikes: 1 for those that do, 0 for the others; its derivative is that of the product.
        found, count: what `find` makes of `spikes`.

    Returns:
        One sum for each column.

    >>> spikes = jnp.array([True, False, True])
    >>> rows = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> sum_rows(rows, spikes.astype(float), *find(spikes)).tolist()
    [6.0, 8.0]
    """

    def walk() -> Array:
        def add(i: Array, total: Array) -> Array:
            return total + jax.lax.dynamic_index_in_dim(rows, found[i], 0, keepdims=False)

        return jax.lax.fori_loop(jnp.zeros((), count.dtype), count, add, jnp.zeros(rows.shape[1], rows.dtype))

    return jax.lax.platform_dependent(cpu=walk, default=lambda: _dense_rows(rows, spikes))


def _dense_rows(rows: Array, spikes: Array) -> Array:
    return jnp.matmul(spikes.astype(rows.dtype), rows, precision="highest")


def _sum_rows_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Any]:
    rows, spikes, found, count = primals
    return sum_rows(rows, spikes, found, count), _tangent(_dense_rows, rows, spikes, *tangents[:2])


sum_rows.defjvp(_sum_rows_jvp, symbolic_zeros=True)


def _tangent(product: Callable[[Array, Array], Array], matrix: Any, spikes: Any, by_matrix: Any, by_spikes: Any) -> Any:
    """Differentiate a product; a factor without a derivative costs nothing."""
    parts = [product(by_matrix, spikes)] if not isinstance(by_matrix, SymbolicZero) else []
    parts += [product(matrix, by_spikes)] if not isinstance(by_spikes, SymbolicZero) else []
    return sum(parts[1:], parts[0]) if parts else jnp.zeros_like(product(matrix, spikes))


@jax.custom_jvp
def sum_columns(
    weights: Float[Array, "post units"], spikes: Float[Array, " units"], found: Int32[Array, " units"], count: Array
) -> Float[Array, " post"]:
    """Add up the columns of the units that spike: `weights @ spikes`, without a transposed copy.

    Arguments:
        weights: one column for each unit that may spike.
        spikes: 1 for those that do, 0 for the others; its derivative is that of the product.
        found, count: what `find` makes of `spikes`.

    Returns:
        One sum for each row.
    """

    def walk() -> Array:
        def add(i: Array, total: Array) -> Array:
            return total + jax.lax.dynamic_index_in_dim(weights, found[i], 1, keepdims=False)

        return jax.lax.fori_loop(jnp.zeros((), count.dtype), count, add, jnp.zeros(weights.shape[0], weights.dtype))

    return jax.lax.platform_dependent(cpu=walk, default=lambda: _dense_columns(weights, spikes))


def _dense_columns(weights: Array, spikes: Array) -> Array:
    return jnp.matmul(weights, spikes.astype(weights.dtype), precision="highest")


def _sum_columns_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Any]:
    weights, spikes, found, count = primals
    return sum_columns(weights, spikes, found, count), _tangent(_dense_columns, weights, spikes, *tangents[:2])


sum_columns.defjvp(_sum_columns_jvp, symbolic_zeros=True)


def sum_entries(
    units: Int32[Array, "units width"], weights: Float[Array, "units width"], ends: Int32[Array, 2], size: int,
    found: Int32[Array, " units"], count: Array,
) -> Float[Array, " post"]:  # fmt: skip
    """Add up the entries of the units that spike, where each unit has a list of its targets.

    Arguments:
        units: the targets of each unit; `size` fills up what is left.
        weights: their weights.
        ends: the first unit that has a target, and the one behind the last; others are passed over.
        size: number of units that are reached.
        found, count: what `find` makes of the spikes.

    Returns:
        One sum for each unit that is reached.

    >>> targets, weights = jnp.array([[1, 2], [0, 3]]), jnp.array([[1.0, 2.0], [4.0, 0.0]])
    >>> sum_entries(targets, weights, jnp.array([0, 2]), 3, *find(jnp.array([True, True]))).tolist()
    [4.0, 1.0, 2.0]
    """

    def add(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        i, total = carry
        at = jax.lax.dynamic_index_in_dim(units, found[i], 0, keepdims=False)
        values = jax.lax.dynamic_index_in_dim(weights, found[i], 0, keepdims=False)
        return i + 1, total.at[at].add(values, mode="drop")

    def before(end: Array) -> Callable[[Array], Array]:
        return lambda i: (i < count) & (found[i] < end)

    start = jax.lax.while_loop(before(ends[0]), lambda i: i + 1, jnp.zeros((), count.dtype))
    more = before(ends[1])
    return jax.lax.while_loop(lambda c: more(c[0]), add, (start, jnp.zeros(size, weights.dtype)))[1]


def update_rows(
    matrix: Float[Array, "post units"], found: Int32[Array, " post"], count: Array, new: Callable[[Array, Array], Array]
) -> Float[Array, "post units"]:
    """Replace some rows of a matrix, one after the other.

    Arguments:
        matrix: the matrix.
        found, count: what `find` makes of the rows to be replaced.
        new: number of a row, the row -> what it becomes.

    >>> changed = update_rows(jnp.ones((3, 2)), *find(jnp.array([True, False, True])), lambda i, row: row + i)
    >>> changed.tolist()
    [[1.0, 1.0], [1.0, 1.0], [3.0, 3.0]]
    """

    def replace(n: Array, now: Array) -> Array:
        row = jax.lax.dynamic_index_in_dim(now, found[n], 0, keepdims=False)
        return jax.lax.dynamic_update_index_in_dim(now, new(found[n], row), found[n], 0)

    return jax.lax.fori_loop(jnp.zeros((), count.dtype), count, replace, matrix)


def update_block(
    matrix: Float[Array, "post units"], rows: tuple[Array, Array], columns: tuple[Array, Array],
    new: Callable[[Array, Array, Array], Array],
) -> Float[Array, "post units"]:  # fmt: skip
    """Replace the entries in which some rows and some columns of a matrix meet, one square of them after the other.

    Arguments:
        matrix: the matrix.
        rows, columns: what `find` makes of those that meet.
        new: numbers of some rows `(rows, 1)`, of some columns `(1, columns)`, their entries -> what these become. What
            it returns for numbers beyond the last row or column is dropped.

    >>> odd = find(jnp.array([False, True, False]))
    >>> update_block(jnp.ones((2, 3)), find(jnp.array([True, False])), odd, lambda i, j, entries: entries + 7).tolist()
    [[1.0, 8.0, 1.0], [1.0, 1.0, 1.0]]
    """
    (post, row_count), (pre, column_count) = rows, columns

    def square(a: Array, b: Array, now: Array) -> Array:
        ends = jnp.arange(SQUARE, dtype=np.int32)
        i = post.at[a * SQUARE + ends].get(mode="fill", fill_value=post.shape[0])[:, None]
        j = pre.at[b * SQUARE + ends].get(mode="fill", fill_value=pre.shape[0])[None, :]
        entries = now.at[i, j].get(mode="fill", fill_value=0)
        return now.at[i, j].set(new(i, j, entries), mode="drop")

    def across(a: Array, now: Array) -> Array:
        return jax.lax.fori_loop(np.int32(0), -(-column_count // SQUARE), lambda b, each: square(a, b, each), now)

    return jax.lax.fori_loop(np.int32(0), -(-row_count // SQUARE), across, matrix)


def zero_after(value: Array) -> Int32[Array, ""]:
    """Return 0, in a way that lets whatever uses it wait for a value."""
    kind = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}[value.dtype.itemsize]
    odd = jax.lax.bitcast_convert_type(jnp.ravel(value)[0], kind).astype(np.int32) & np.int32(1)
    return odd * (odd ^ np.int32(1))


def list_entries(matrix: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the targets and weights of each column of a matrix, for `sum_entries`.

    Arguments:
        matrix: `(post, units)`.
        width: the most entries that a column has.

    Returns:
        `(units, width)` targets, filled up with the number of rows, and weights, filled up with 0; and the first
        column that has entries, and the one behind the last.
    """
    unit, target = np.nonzero(matrix.T)
    start = np.searchsorted(unit, np.arange(matrix.shape[1]))
    place = np.arange(len(unit)) - start[unit]
    targets = np.full((matrix.shape[1], width), matrix.shape[0], np.int32)
    weights = np.zeros((matrix.shape[1], width), matrix.dtype)
    targets[unit, place] = target
    weights[unit, place] = matrix[target, unit]
    ends = np.array([unit[0], unit[-1] + 1] if len(unit) else [0, 0], np.int32)
    return targets, weights, ends
