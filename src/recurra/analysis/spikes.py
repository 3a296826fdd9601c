"""Statistics of spike trains."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.errors import OptionError, ShapeError


def firing_rates(spikes: ArrayLike, dt: float) -> np.ndarray:
    """Return the mean number of spikes per unit of time, `(units,)`, over time and trials.

    Arguments:
        spikes: counts or truth values `(time, units)` or `(trials, time, units)`.
        dt: time between rows.

    Returns:
        Rates `(units,)`.

    Raises:
        ShapeError: spikes have another shape.
        OptionError: they are no counts or truth values, or dt is not above 0.

    >>> firing_rates([[1, 0], [0, 0], [1, 1], [0, 0]], 0.5)
    array([1. , 0.5])
    """
    array = _trains(spikes)
    return array.mean(axis=(0, 1)) / positive(dt, "dt")


def psth(spikes: ArrayLike, dt: float, window: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the peri-stimulus time histogram: rates in windows side by side, averaged over trials.

    Source: Gerstein and Kiang (1960).

    Arguments:
        spikes, dt: as for :func:`firing_rates`.
        window: length of a window in units of time, a whole number of rows; a rest at the end is left out.

    Returns:
        The middle of each window `(windows,)`, and rates `(windows, units)`.

    Raises:
        ShapeError: spikes have another shape, or are shorter than a window.
        OptionError: they are no counts, or the window is no whole number of rows.

    >>> psth([[[0], [1], [1], [1]], [[0], [0], [1], [1]]], 0.5, 1.0)
    (array([0.5, 1.5]), array([[0.5],
           [2. ]]))
    """
    counts, rows = _counts(_trains(spikes), dt, window)
    length = rows * dt
    return (np.arange(counts.shape[1]) + 0.5) * length, counts.mean(axis=0) / length


def interspike_intervals(spikes: ArrayLike, dt: float) -> list[np.ndarray]:
    """Return for each unit the times between its spikes; those of all trials one after the other.

    Arguments:
        spikes, dt: as for :func:`firing_rates`; a row with several spikes counts as one.

    Returns:
        An array for each unit, in units of time.

    Raises:
        ShapeError: spikes have another shape.
        OptionError: they are no counts or truth values, or dt is not above 0.

    >>> interspike_intervals([[1], [0], [1], [0], [0], [1]], 0.5)
    [array([1. , 1.5])]
    """
    array, step = _trains(spikes) > 0, positive(dt, "dt")
    return [
        np.concatenate([np.diff(np.flatnonzero(trial[:, unit])) for trial in array]) * step
        for unit in range(array.shape[2])
    ]


def coefficient_of_variation(spikes: ArrayLike, dt: float) -> np.ndarray:
    """Return the standard deviation of the intervals over their mean, `(units,)`; NaN for less than two intervals.

    It is 1 for a Poisson process and 0 for a clock (Softky & Koch 1993).

    Arguments:
        spikes, dt: as for :func:`firing_rates`.

    Returns:
        Coefficients `(units,)`.

    Raises:
        ShapeError: spikes have another shape.
        OptionError: they are no counts or truth values, or dt is not above 0.

    >>> coefficient_of_variation([[1, 1], [0, 0], [1, 1], [0, 1], [1, 0]], 1.0)
    array([0.        , 0.33333333])
    """
    return np.array(
        [np.std(each) / np.mean(each) if len(each) > 1 else np.nan for each in interspike_intervals(spikes, dt)]
    )


def fano_factor(spikes: ArrayLike, dt: float, window: float) -> np.ndarray:
    """Return the variance of counts in windows over their mean (Fano 1947), `(units,)`; NaN for a silent unit.

    Arguments:
        spikes, dt: as for :func:`firing_rates`. Windows of all trials are pooled.
        window: length of a window in units of time.

    Returns:
        Factors `(units,)`; 1 for a Poisson process.

    Raises:
        ShapeError: there are less than two windows.
        OptionError: spikes are no counts, or the window is no whole number of rows.

    >>> fano_factor([[1], [1], [0], [0], [1], [0], [0], [1]], 1.0, 2.0).round(3)
    array([0.667])
    """
    counts, _ = _counts(_trains(spikes), dt, window)
    pooled = counts.reshape(-1, counts.shape[2])
    if len(pooled) < 2:
        raise ShapeError(f"window: one window of {window:g} is all there is; use a shorter one.")
    mean = pooled.mean(axis=0)
    return np.divide(pooled.var(axis=0, ddof=1), mean, out=np.full(len(mean), np.nan), where=mean > 0)


def spike_correlations(spikes: ArrayLike, dt: float, window: float) -> np.ndarray:
    """Return Pearson's correlation of counts in windows, `(units, units)`; NaN where a unit's counts never change.

    Arguments:
        spikes, dt, window: as for :func:`fano_factor`.

    Returns:
        Correlations `(units, units)`.

    Raises:
        ShapeError: spikes have another shape, or are shorter than two windows.
        OptionError: they are no counts, or the window is no whole number of rows.

    >>> spike_correlations([[1, 0], [0, 1], [1, 0], [0, 1]], 1.0, 1.0)
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    counts, _ = _counts(_trains(spikes), dt, window)
    pooled = counts.reshape(-1, counts.shape[2])
    if len(pooled) < 2:
        raise ShapeError(f"window: one window of {window:g} is all there is; use a shorter one.")
    moved = pooled - pooled.mean(axis=0)
    size = np.sqrt((moved**2).sum(axis=0))
    scale = np.outer(size, size)
    return np.divide(moved.T @ moved, scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def _trains(spikes: ArrayLike) -> np.ndarray:
    array = np.asarray(spikes)
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or array.size == 0:
        raise ShapeError(
            f"spikes: got shape {array.shape} of {array.dtype}, expected counts (time, units) or (trials, time, units)."
        )
    array = array.astype(float).reshape(-1, *array.shape[-2:])
    if not (np.isfinite(array).all() and (array >= 0).all() and (array == np.floor(array)).all()):
        raise OptionError("spikes: expected counts, whole numbers >= 0, or truth values.")
    return array


def _counts(array: np.ndarray, dt: float, window: float) -> tuple[np.ndarray, int]:
    """Return counts `(trials, windows, units)` and the rows of a window."""
    share = positive(window, "window") / positive(dt, "dt")
    rows = round(share)
    if rows < 1 or abs(share - rows) > 1e-6 * share:
        raise OptionError(f"window: {window:g} is no whole number of steps of {dt:g}.")
    many = array.shape[1] // rows
    if not many:
        raise ShapeError(f"window: {rows} rows, but the trains have {array.shape[1]} only.")
    return array[:, : many * rows].reshape(len(array), many, rows, -1).sum(axis=2), rows
