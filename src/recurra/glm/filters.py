"""Coupling filters: make one, and find the weights of a basis that come nearest to given ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError, ShapeError


def difference_of_gammas(
    ws: int,
    upper_percentile: float = 0.99,
    inhib_a: float = 1.0,
    excit_a: float = 2.0,
    inhib_b: float = 1.0,
    excit_b: float = 2.0,
) -> np.ndarray:
    """Make a filter that is the difference of two Gamma densities, of Euclidean norm 1.

    Arguments:
        ws: length of the filter, in bins.
        upper_percentile: the filter ends where the wider of the two densities has this much of its mass behind it.
        inhib_a, inhib_b: shape and rate of the density that is subtracted.
        excit_a, excit_b: shape and rate of the density that is added.

    Returns:
        The filter, `(ws,)`.

    Raises:
        OptionError: a parameter is not above zero, the percentile is not in [0, 1), or the two densities are the same.

    >>> round(float(np.linalg.norm(difference_of_gammas(50))), 6)
    1.0
    """
    from scipy.stats import gamma

    if isinstance(ws, bool) or not isinstance(ws, int | np.integer) or ws < 1:
        raise OptionError(f"ws: expected a whole number above zero, got {ws!r}.")
    given = {"inhib_a": inhib_a, "excit_a": excit_a, "inhib_b": inhib_b, "excit_b": excit_b}
    for name, value in given.items():
        if not value > 0:
            raise OptionError(f"{name}: expected a number above zero, got {value!r}.")
    if not 0 <= upper_percentile < 1:
        raise OptionError(f"upper_percentile: expected 0 or above and below 1, got {upper_percentile!r}.")
    pairs = ((excit_a, 1 / excit_b), (inhib_a, 1 / inhib_b))
    end = max(gamma.ppf(upper_percentile, a, scale=width) for a, width in pairs)
    excitation, inhibition = (gamma.pdf(np.linspace(0, end, ws), a, scale=width) for a, width in pairs)
    difference = excitation - inhibition
    norm = np.linalg.norm(difference)
    if not (np.isfinite(norm) and norm > 0):
        raise OptionError(f"the two densities have no finite difference with {given} on {ws} bins; change a shape or a "
                          "rate.")  # fmt: skip
    return difference / norm


def regress_filter(coupling_filters: ArrayLike, eval_basis: ArrayLike) -> np.ndarray:
    """Find the weights with which a basis comes nearest to filters, by least squares.

    Arguments:
        coupling_filters: `(window, receiver, sender)`.
        eval_basis: `(window, functions)`.

    Returns:
        The weights, `(receiver, sender, functions)`, as `simulate_recurrent` takes them.

    Raises:
        ShapeError: the shapes do not agree.

    >>> basis = np.eye(4)[:, :2]
    >>> regress_filter(basis[:, 1].reshape(4, 1, 1), basis).round(6).tolist()
    [[[0.0, 1.0]]]
    """
    filters, basis = np.asarray(coupling_filters, float), np.asarray(eval_basis, float)
    if filters.ndim != 3:
        raise ShapeError(f"coupling_filters: expected (window, receiver, sender), got the shape {filters.shape}.")
    if basis.ndim != 2:
        raise ShapeError(f"eval_basis: expected (window, functions), got the shape {basis.shape}.")
    if filters.shape[0] != basis.shape[0]:
        raise ShapeError(f"the window of coupling_filters has {filters.shape[0]} bins, that of eval_basis "
                         f"{basis.shape[0]}.")  # fmt: skip
    weights = np.linalg.lstsq(basis, filters.reshape(filters.shape[0], -1), rcond=None)[0]
    return weights.T.reshape(*filters.shape[1:], basis.shape[1])
