"""Leave out features that others, or the intercept, already say: bases whose functions sum to a constant, and such."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.errors import OptionError, ShapeError
from recurra.glm.design import as_matrix
from recurra.glm.pynapple_series import as_given, values_of


def apply_identifiability_constraints(
    X: Any, add_intercept: bool = True, tolerance: float | None = None
) -> tuple[Any, np.ndarray]:
    """Drop columns, from the left to the right, that are sums of multiples of the columns that remain.

    Functions such as B-splines sum to 1, as the intercept does, so that without a penalty their coefficients are not
    determined: any number may be added to all of them. Without the first column they are. What can be predicted stays
    the same.

    Arguments:
        X: `(time, features)`; rows with a NaN are left out of the decision, and kept.
        add_intercept: whether a constant counts as one of the columns, as it does in a model with an intercept.
        tolerance: a column counts as a sum of others if what they leave of it is at most this share of its size;
            `None` is 1e-10 for float64, 1e-4 for float32.

    Returns:
        X with the columns that remain, and their numbers, `(kept,)`.

    Raises:
        ShapeError: X is no matrix of numbers, or no row is free of NaN.
        OptionError: the tolerance is not between 0 and 1.

    >>> from recurra.glm.basis import BSplineEval
    >>> X = BSplineEval(5).compute_features(np.linspace(0, 1, 50))
    >>> kept = apply_identifiability_constraints(X)[1]
    >>> kept.tolist()
    [1, 2, 3, 4]
    """
    matrix = as_matrix(values_of(X), "X")
    if tolerance is None:
        tolerance = 1e-10 if matrix.dtype == np.float64 else 1e-4
    if not isinstance(tolerance, int | float | np.number) or not 0 < tolerance < 1:
        raise OptionError(f"tolerance: expected a number between 0 and 1, got {tolerance!r}.")
    rows = matrix[np.isfinite(matrix).all(axis=1)].astype(float)
    if len(rows) == 0:
        raise ShapeError("X: every row has a NaN.")
    if add_intercept:
        rows = np.column_stack([rows, np.ones(len(rows))])
    size = np.linalg.norm(rows, axis=0)
    rows = rows / np.where(size > 0, size, 1)
    # The triangle of a QR decomposition has all inner products of the columns in a small matrix.
    small = np.asarray(np.linalg.qr(rows, mode="r")) if len(rows) > rows.shape[1] else rows
    kept: list[int] = []
    base = np.zeros((small.shape[0], 0))
    # To drop from the left what the rest can say is to keep from the right what the kept ones cannot say.
    for column in range(rows.shape[1] - 1, -1, -1):
        left = small[:, column]
        for _ in range(2):  # once more, for the digits that rounding takes
            left = left - base @ (base.T @ left)
        rest = float(np.linalg.norm(left))
        if rest > tolerance:
            base = np.column_stack([base, left / rest])
            kept.append(column)
    numbers = np.array(sorted(k for k in kept if k < matrix.shape[1]), int)
    return as_given(X, matrix[:, numbers]), numbers


def apply_identifiability_constraints_by_basis_component(
    basis: Any, X: Any, add_intercept: bool = True, tolerance: float | None = None
) -> tuple[Any, np.ndarray]:
    """Drop columns of the features of a sum of bases, for each of its terms by itself.

    Arguments:
        basis: what made the features.
        X: `(time, features)`, what `basis.compute_features` returned.
        add_intercept, tolerance: as for :func:`apply_identifiability_constraints`.

    Returns:
        X with the columns that remain, and their numbers, `(kept,)`.

    Raises:
        ShapeError: the features are not those of the basis.

    >>> from recurra.glm.basis import BSplineEval
    >>> both, u = BSplineEval(5) + BSplineEval(6), np.linspace(0, 1, 50)
    >>> apply_identifiability_constraints_by_basis_component(both, both.compute_features(u, u**2))[1].tolist()
    [1, 2, 3, 4, 6, 7, 8, 9, 10]
    """
    matrix = as_matrix(values_of(X), "X")
    parts = basis.split_by_feature(np.arange(matrix.shape[1])[None, :]).values()
    numbers: list[np.ndarray] = []
    for part in parts:
        mine = np.ravel(part)
        # A term may have no features at all.
        if mine.size:
            _, kept = apply_identifiability_constraints(matrix[:, mine], add_intercept, tolerance)
            numbers.append(mine[kept])
    every = np.sort(np.concatenate(numbers)) if numbers else np.zeros(0, int)
    return as_given(X, matrix[:, every]), every
