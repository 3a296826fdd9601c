"""What users give as X and y, as matrices: trees of features, missing rows, weights, masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import ShapeError
from recurra.glm.numbers import as_numbers


@dataclass(frozen=True)
class Layout:
    """Say how the columns of the design matrix come from the leaves of X.

    Arguments:
        names: path of each leaf; a single empty one for a plain array.
        sizes: features of each leaf.
        tree: the structure; `None` for a plain array.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    tree: Any = None

    @property
    def features(self) -> int:
        """Number of columns of the design matrix."""
        return sum(self.sizes)

    def split(self, array: np.ndarray) -> Any:
        """Return rows by feature as the tree that X was; a plain array stays one.

        >>> Layout(("a", "b"), (1, 2), jax.tree.structure({"a": 0, "b": 0})).split(np.arange(3))
        {'a': array([0]), 'b': array([1, 2])}
        """
        if self.tree is None:
            return array
        parts = np.split(array, np.cumsum(self.sizes)[:-1])
        return jax.tree.unflatten(self.tree, parts)

    def join(self, tree: object, what: str, trailing: tuple[int, ...] = ()) -> np.ndarray:
        """Return a tree as X is, with numbers or arrays by feature, as one array `(features, *trailing)`.

        Raises:
            ShapeError: structure or shapes do not fit.
        """
        shape = (self.features, *trailing)
        if self.tree is None:
            return spread(tree, shape, what)
        if not _is_tree(tree):
            return spread(tree, shape, what)
        try:
            leaves = self.tree.flatten_up_to(tree)
        except (ValueError, TypeError):
            raise ShapeError(
                f"{what}: its structure is not that of X, which has the leaves {', '.join(self.names)}; give one entry"
                " for each."
            ) from None
        parts = [
            spread(leaf, (size, *trailing), f"{what}[{name}]")
            for leaf, name, size in zip(leaves, self.names, self.sizes, strict=True)
        ]
        return np.concatenate(parts)


def spread(value: object, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return numbers at a shape, by NumPy's rules; a last axis of one neuron may be left out.

    Raises:
        ShapeError: no numbers, or their shape does not fit.
    """
    try:
        found = np.asarray(value, float)
    except (TypeError, ValueError):
        raise ShapeError(f"{what}: expected numbers, got {type(value).__name__}.") from None
    if shape[-1] == 1 and found.shape == shape[:-1]:
        found = found[..., None]
    try:
        return np.broadcast_to(found, shape).copy()
    except ValueError:
        raise ShapeError(f"{what}: got shape {found.shape}, expected one that fits {shape}.") from None


def leaves_of(x: Any) -> list[Any]:
    """Return the leaves of a tree of features, or what is none as the only one."""
    return jax.tree.leaves(x) if _is_tree(x) else [x]


def _is_tree(x: object) -> bool:
    return isinstance(x, Mapping) or (isinstance(x, list | tuple) and any(np.ndim(leaf) == 2 for leaf in x))


def read_features(x: Any) -> tuple[np.ndarray, Layout]:
    """Return the design matrix, float64 or float32 as given, and its layout.

    Arguments:
        x: `(time, features)`, or a dict or other tree of such arrays.

    Raises:
        ShapeError: a leaf is no matrix of numbers, or lengths differ.
    """
    if not _is_tree(x):
        matrix = as_matrix(x, "X")
        return matrix, Layout(("",), (matrix.shape[1],))
    paths, tree = jax.tree_util.tree_flatten_with_path(x)
    if not paths:
        raise ShapeError("X: an empty tree; expected arrays (time, features).")
    names = tuple("/".join(str(getattr(p, "key", getattr(p, "idx", p))) for p in path) for path, _ in paths)
    leaves = [as_matrix(leaf, f"X[{name}]") for name, (_, leaf) in zip(names, paths, strict=True)]
    if len({len(leaf) for leaf in leaves}) > 1:
        found = ", ".join(f"{n}: {len(leaf)}" for n, leaf in zip(names, leaves, strict=True))
        raise ShapeError(f"X: the leaves have different numbers of rows ({found}).")
    # A single leaf may be large, and is not copied.
    matrix = leaves[0] if len(leaves) == 1 else np.hstack(leaves)
    return matrix, Layout(names, tuple(leaf.shape[1] for leaf in leaves), tree)


def as_matrix(x: Any, what: str) -> np.ndarray:
    """Return `x` as a real matrix of floating-point numbers; what is masked is missing, NaN."""
    found = as_numbers(x, what)
    if found.ndim != 2:
        raise ShapeError(
            f"{what} must be 2-dimensional, (time, features); got shape {found.shape}. Reshape your data: X[:, None]"
            " for one feature, X[None, :] for one bin."
        )
    return found if found.dtype in (np.float32, np.float64) else found.astype(float)


def labels_of(x: Any, layout: Layout) -> np.ndarray:
    """Return a name for each feature, `(features,)`: that of its column if the table has such, or its place.

    >>> labels_of(np.ones((3, 2)), Layout(("",), (2,))).tolist()
    ['x0', 'x1']
    """
    found: list[str] = []
    for name, size, leaf in zip(layout.names, layout.sizes, leaves_of(x), strict=True):
        columns = getattr(leaf, "columns", None)
        if columns is None or len(columns) != size or type(columns).__name__ == "RangeIndex":
            found += [f"{name}[{i}]" if name else f"x{i}" for i in range(size)]
        else:
            found += [f"{name}[{c}]" if name else str(c) for c in columns]
    return np.array(found, str)


def named(labels: np.ndarray) -> str:
    """Return names as a text, the first eight of many.

    >>> named(np.arange(10))
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    return ", ".join(str(label) for label in labels[:8]) + more


@dataclass(frozen=True)
class Rows:
    """Hold the rows of a fit with what is missing taken out of the weight.

    Arguments:
        x: `(time, features)`, without NaN.
        y: `(time, columns)`, without NaN.
        weight: `(time,)`, 0 where a row does not count.
        offset: what is added to the linear predictor, `(time, columns or 1, classes or 1)`, without NaN; `None` for
            nothing.
        count: the sum of the weights: the number of bins that count.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    offset: np.ndarray | None = None

    @property
    def count(self) -> float:
        """The sum of the weights."""
        return float(self.weight.sum())

    @property
    def mean(self) -> np.ndarray:
        """The weighted mean of each column of y, `(columns,)`."""
        return self.weight @ self.y / self.count

    def take(self, which: Any) -> Rows:
        """Return some of the rows."""
        return Rows(self.x[which], self.y[which], self.weight[which], self.offset_of(which))

    def offset_of(self, which: Any) -> np.ndarray | None:
        """Return the offset of some of the rows."""
        return None if self.offset is None else self.offset[which]

    def predictor(self, coef: np.ndarray) -> np.ndarray:
        """Return the linear predictor `(time, columns)` at coefficients `(features + 1, columns)`."""
        return added(self.x @ coef[:-1] + coef[-1], self.offset)


def added(predictor: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """Return linear predictors `(time, columns)` with an offset `(time, columns or 1, 1)`."""
    return predictor if offset is None else predictor + offset[..., 0]


def mean_offset(rows: Rows) -> np.ndarray:
    """Return the weighted mean of the offset, `(columns,)`; 0 if there is none."""
    none = np.zeros(rows.y.shape[1])
    return none if rows.offset is None else none + np.tensordot(rows.weight / rows.count, rows.offset[..., 0], 1)


def read_offset(offset: Any, rows: int, columns: int, classes: int = 1) -> np.ndarray | None:
    """Return an offset as `(time, columns or 1, classes or 1)`; `None` if there is none.

    Arguments:
        offset: a number, `(time,)` or `(time, columns)`; for classes `(time, classes)` or `(time, columns, classes)`.
        rows, columns, classes: sizes.

    Raises:
        ShapeError: no numbers, or the shape does not fit.

    >>> read_offset([1.0, 2.0], 2, 3).shape
    (2, 1, 1)
    """
    if offset is None:
        return None
    found = as_numbers(offset, "offset").astype(float)
    if found.ndim == 0:
        return np.full((rows, 1, 1), float(found))
    if classes == 1:
        fine = list(dict.fromkeys([(rows,), (rows, 1), (rows, columns)]))
        shape = (rows, -1, 1)
    else:
        # A number for all classes of a bin would change nothing.
        fine = [(rows, columns, classes)] + [(rows, classes)] * (columns == 1)
        shape = (rows, -1, classes)
    if found.shape not in fine:
        expected = " or ".join(map(str, fine))
        raise ShapeError(f"offset: got shape {found.shape}, expected a number or {expected}.")
    return found.reshape(shape)


def read_rows(
    x: np.ndarray, y: np.ndarray, sample_weight: ArrayLike | None = None, offset: np.ndarray | None = None
) -> Rows:
    """Give a weight of 0 to every row in which any feature, any target or any offset is NaN.

    Arguments:
        x: `(time, features)`.
        y: `(time, columns)`.
        sample_weight: `(time,)`, zero or above; `None` for ones.
        offset: as for :class:`Rows`, but it may hold NaN.

    Raises:
        ShapeError: lengths differ, a number is infinite, a weight is negative, or nothing is left.
    """
    if len(x) != len(y):
        raise ShapeError(
            f"X and y have different lengths: X has {len(x)} rows and y has {len(y)}. Found input variables with"
            " inconsistent numbers of samples."
        )
    if len(x) == 0:
        raise ShapeError("X: 0 sample(s) found (shape=(0, ...)) while a minimum of 1 is required.")
    weight = np.ones(len(x)) if sample_weight is None else np.array(sample_weight, float)
    if weight.shape != (len(x),):
        raise ShapeError(f"sample_weight: got shape {weight.shape}, expected ({len(x)},).")
    if not (np.all(np.isfinite(weight)) and np.all(weight >= 0)):
        raise ShapeError("sample_weight: every weight must be a number of zero or above.")
    if not weight.sum() > 0:
        raise ShapeError("sample_weight: every weight is zero, so no row counts.")
    # What is neither finite nor there shows in the sums of the rows, which cost no copy.
    extra = () if offset is None else (("offset", offset.reshape(len(offset), -1)),)
    parts = (("X", x), ("y", y), *extra)
    if all(np.isfinite(array.sum(axis=1)).all() for _, array in parts):
        return Rows(x, y, weight, offset)
    for name, array in parts:
        if np.any(np.isinf(array)):
            place = tuple(int(i) for i in np.argwhere(np.isinf(array))[0])
            raise ShapeError(f"{name}{list(place)} is infinite; give a number, or NaN for a missing one.")
    missing = np.any([np.isnan(array.sum(axis=1)) for _, array in parts], axis=0)
    if missing.any():
        offset = None if offset is None else np.where(missing[:, None, None], 0, offset)
        x, y = np.where(missing[:, None], 0, x), np.where(missing[:, None], 1, y)
        weight[missing] = 0
    if not weight.sum() > 0:
        raise ShapeError("no row is left: every row of a weight above 0 has a NaN in X or y.")
    return Rows(x, y, weight, offset)


def read_mask(mask: object, layout: Layout, columns: int) -> np.ndarray | None:
    """Return a mask of features as booleans `(features, columns)`; `None` if there is none.

    Arguments:
        mask: `(features, columns)` of 0 and 1, or a tree as X is with entries `(columns,)` or `(features, columns)`.
        layout: the layout of X.
        columns: number of neurons.

    Raises:
        ShapeError: shapes do not fit, or a value is neither 0 nor 1.
    """
    if mask is None:
        return None
    if not _is_tree(mask) and np.shape(mask) != (layout.features, columns):  # type: ignore[arg-type]
        raise ShapeError(
            f"feature_mask: got shape {np.shape(mask)}, expected (features, neurons) = ({layout.features}, {columns})."  # type: ignore[arg-type]
        )
    found = layout.join(mask, "feature_mask", (columns,))
    if not np.all((found == 0) | (found == 1)):
        raise ShapeError("feature_mask: every entry must be 0 or 1.")
    return found == 1
