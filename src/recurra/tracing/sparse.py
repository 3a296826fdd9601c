"""The stand-in of a SciPy sparse matrix: its entries are numbers of the model, its structure is part of the code."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.tracing import operations
from recurra.tracing.promotion import cast
from recurra.tracing.session import Session

_FORMATS = ("csr", "csc", "coo")
_MOST_PADDED = 4  # rows are made equally long if that makes no more entries than this many times those there are


def is_sparse(value: Any) -> bool:
    """Tell whether a value is a sparse matrix that can be compiled."""
    if type(value).__module__.split(".")[0] != "scipy" or type(value) is Sparse:
        return False
    return getattr(value, "format", "") in _FORMATS and value.ndim == 2 and hasattr(value, "nnz")


def _is_matrix(matrix: Any) -> bool:
    """Tell a matrix, whose `*` is a product, from an array."""
    return type(matrix).__name__.endswith("_matrix")


def structure_of(matrix: Any) -> tuple:
    """Return what code is made of: shape and places of the entries."""
    return (matrix.format, matrix.shape, *(hash(part.tobytes()) for part in _places(matrix)))


def _places(matrix: Any) -> tuple[Any, Any]:
    return (matrix.row, matrix.col) if matrix.format == "coo" else (matrix.indices, matrix.indptr)


def _coordinates(matrix: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of every entry, in the order of `data`."""
    first, second = _places(matrix)
    if matrix.format == "coo":
        return np.asarray(first), np.asarray(second)
    lines = np.repeat(np.arange(len(second) - 1), np.diff(second))
    return (lines, np.asarray(first)) if matrix.format == "csr" else (np.asarray(first), lines)


class Sparse:
    """Stand in for a sparse matrix while a body is traced.

    Arguments:
        session: the pass.
        matrix: the real one.
        data: the stand-in of its entries.
        turned: whether it stands for the transposed matrix.
    """

    __array_ufunc__ = None  # so that `array @ this` comes here

    def __init__(self, session: Session, matrix: Any, data: Any, turned: bool = False):
        self._session, self._matrix, self._data, self._turned = session, matrix, data, turned
        rows, columns = _coordinates(matrix)
        self._at = (columns, rows) if turned else (rows, columns)

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return type(self._matrix)

    @property
    def data(self) -> Any:
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        made = operations.build_array(self._session, value)
        if made.shape != self._data.shape:
            raise self._session.refuse("a sparse matrix gets another number of entries")
        self._data = made

    @property
    def shape(self) -> tuple[int, int]:
        return self._matrix.shape[::-1] if self._turned else self._matrix.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    ndim = 2

    @property
    def nnz(self) -> int:
        return self._data.size

    @property
    def T(self) -> Sparse:
        return Sparse(self._session, self._matrix, self._data, not self._turned)

    def transpose(self) -> Sparse:
        return self.T

    def copy(self) -> Sparse:
        return Sparse(self._session, self._matrix, self._data.copy(), self._turned)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("indices", "indptr", "row", "col", "format", "has_sorted_indices") and not self._turned:
            return getattr(self._matrix, name)
        raise self._session.refuse(f"{name} of a SciPy sparse matrix")

    # -- products -----------------------------------------------------------------------------------------------

    def dot(self, other: Any) -> Any:
        return self._product(other, *self._at, self.shape[0])

    def __matmul__(self, other: Any) -> Any:
        return self.dot(other)

    def __rmatmul__(self, other: Any) -> Any:
        if np.ndim(other) != 1:
            return self.T.dot(other.T).T
        rows, columns = self._at
        return self._product(other, columns, rows, self.shape[1])

    def _product(self, other: Any, into: np.ndarray, of: np.ndarray, size: int) -> Any:
        session = self._session
        if type(other) is Sparse or is_sparse(other) or operations.is_masked(other):
            raise session.refuse("a product of a SciPy sparse matrix with anything but a whole array")
        found = operations.operand(session, other)
        if not np.ndim(found.value):
            return self * other
        make: Any = type(self._matrix)
        one: Any = found.kind
        kind = (make(np.ones((1, 1), self.dtype)) @ np.ones(1, one)).dtype
        length = self.shape[1] if into is self._at[0] else self.shape[0]
        if np.shape(found.value)[0] != length:
            raise ValueError(f"matmul: dimension mismatch with signature (n,k),(k,): got {np.shape(found.value)}")
        x, data = jnp.asarray(cast(found.value, kind)), jnp.asarray(cast(self._data._read(), kind))
        order, counts = np.argsort(into, kind="stable"), np.bincount(into, minlength=size)
        most = int(counts.max(initial=0))
        if x.ndim == 1 and size * most <= _MOST_PADDED * len(into) + 1024:
            made = _padded(data, x, of, order, counts, most)
        else:
            parts = data[order].reshape(-1, *(1,) * (x.ndim - 1)) * x[of[order]]
            made = jax.ops.segment_sum(parts, into[order], size, indices_are_sorted=True)
        return operations.wrap(session, made.astype(kind), found.sources | self._data._sources(), "array")

    # -- arithmetic ---------------------------------------------------------------------------------------------

    def __mul__(self, other: Any) -> Any:
        if np.ndim(other) == 0:
            return Sparse(self._session, self._matrix, self._data * other, self._turned)
        if _is_matrix(self._matrix):
            return self.dot(other)
        raise self._session.refuse("elementwise arithmetic with a SciPy sparse array")

    __rmul__ = __mul__

    def __imul__(self, other: Any) -> Sparse:
        self._data *= self._scalar(other)
        return self

    def __itruediv__(self, other: Any) -> Sparse:
        self._data /= self._scalar(other)
        return self

    def _scalar(self, other: Any) -> Any:
        if np.ndim(other):
            raise self._session.refuse("elementwise arithmetic with a SciPy sparse matrix")
        return other

    def sum(self, axis: Any = None) -> Any:
        """Sum over all entries, or along an axis; matrices stay matrices."""
        if axis is None:
            return self._data.sum()
        ones = np.ones(self.shape[axis % 2], self.dtype)
        made = (self @ ones) if axis % 2 else (ones @ self)
        if not _is_matrix(self._matrix):
            return made
        return made.reshape(-1, 1) if axis % 2 else made.reshape(1, -1)

    def toarray(self) -> Any:
        """Return the matrix with all its zeros."""
        full = jnp.zeros(self.shape, self.dtype).at[self._at].add(jnp.asarray(self._data._read()))
        return operations.wrap(self._session, full, self._data._sources(), "array")

    todense = toarray


def _padded(data: Any, x: Any, of: np.ndarray, order: np.ndarray, counts: np.ndarray, most: int) -> Any:
    """Sum rows that are made equally long: without a scatter, which is slow on CPUs."""
    starts = np.cumsum(counts) - counts
    inside = np.arange(most)[None, :] < counts[:, None]
    entries = np.where(inside, starts[:, None] + np.arange(most)[None, :], 0)
    entries = order[entries] if len(order) else np.zeros_like(entries)
    parts = jnp.where(inside, data[entries] * x[of[entries]], 0) if len(order) else jnp.zeros(entries.shape, data.dtype)
    return parts.sum(axis=1)
