"""How activity spreads over directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recurra.engine.checks import as_real
from recurra.errors import OptionError, ShapeError


@dataclass(frozen=True, eq=False)
class Components:
    """Hold principal components.

    Arguments:
        mean: `(units,)`.
        axes: `(components, units)`, orthonormal, the one with the largest variance first.
        explained: part of the variance along each axis.

    >>> found = principal_components([[0.0, 0.0], [3.0, 4.0], [-3.0, -4.0]], 1)
    >>> found.project([[6.0, 8.0]]).tolist()  # how far along the axis
    [[10.0]]
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: np.ndarray

    def __repr__(self) -> str:
        return f"Components({len(self.axes)} of {self.axes.shape[1]} units, {self.explained.sum():.1%} of the variance)"

    def project(self, rates: ArrayLike) -> np.ndarray:
        """Return coordinates `(..., components)` of rates `(..., units)`."""
        return (np.asarray(rates, float) - self.mean) @ self.axes.T


def principal_components(rates: ArrayLike, count: int = 3) -> Components:
    """Find the directions in which trajectories vary most (Pearson 1901).

    Arguments:
        rates: `(time, units)` or `(trials, time, units)`.
        count: number of components.

    Returns:
        The components; each axis has its largest entry positive.

    Raises:
        ShapeError: no such array, or nothing varies.
        OptionError: more components than units or rows.

    >>> found = principal_components([[0.0, 0.0], [3.0, 4.0], [-3.0, -4.0]], 1)
    >>> found.axes.round(3), found.explained
    (array([[0.6, 0.8]]), array([1.]))
    """
    rows = _rows(rates)
    if not 1 <= count <= min(rows.shape):
        raise OptionError(f"count must be from 1 to {min(rows.shape)}, got {count!r}.")
    mean = rows.mean(axis=0)
    _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    total = _total(sizes, rows)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return Components(mean, (axes * np.where(largest < 0, -1.0, 1.0))[:count], sizes[:count] ** 2 / total)


def participation_ratio(rates: ArrayLike) -> float:
    """Return how many directions activity spreads over: the squared sum of variances over the sum of their squares.

    It is 1 for activity along a line and the number of units for equal variance in all directions (Gao et al. 2017).

    Arguments:
        rates: `(time, units)` or `(trials, time, units)`.

    Returns:
        A number between 1 and the number of units.

    Raises:
        ShapeError: no such array, or nothing varies.

    >>> round(participation_ratio([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 9)
    2.0
    """
    rows = _rows(rates)
    sizes = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = sizes**2 / _total(sizes, rows)
    return float(1 / (shares**2).sum())


def _total(sizes: np.ndarray, rows: np.ndarray) -> float:
    """Return the sum of the squares of the singular values, which must be more than rounding of the mean leaves."""
    total = float(np.sum(sizes**2))
    if not total > (1e-14 * np.abs(rows).max()) ** 2 * rows.size:
        raise ShapeError("rates: nothing varies.")
    return total


def _rows(rates: ArrayLike) -> np.ndarray:
    array = as_real(rates, "rates")
    if array.ndim not in (2, 3) or array.size == 0 or not np.isfinite(array).all():
        raise ShapeError(
            f"rates: got shape {array.shape}, expected finite numbers (time, units) or (trials, time, units)."
        )
    return array.reshape(-1, array.shape[-1])
