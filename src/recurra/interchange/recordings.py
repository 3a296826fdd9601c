"""What recordings have in common on their way to other formats: spikes of rows, regular times, names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recurra.engine import Result
from recurra.errors import OptionError, PathError, ShapeError, TimeError, unknown


def check_result(result: object, spikes: str | Iterable[str], what: str) -> tuple[Result, tuple[str, ...]]:
    """Return the result of one run and the names of those recordings that are spikes, or say what is wrong.

    Arguments:
        result: what a run gave back.
        spikes: the name, or names, of recordings whose values above 0 are spikes.
        what: the function, for errors.
    """
    if not isinstance(result, Result):
        raise OptionError(f"{what}: expected the result of a run, got {type(result).__name__}.")
    names = (spikes,) if isinstance(spikes, str) else tuple(spikes)
    for name in names:
        if name not in result.data:
            raise PathError(unknown("recording", name, result.data, f"{what}, spikes"))
    for name, value in result.data.items():
        if np.ndim(value) != 2:
            raise ShapeError(f"{what}: {name!r} has shape {np.shape(value)}; a batch of runs is written run by run.")
        if np.asarray(value).dtype.kind not in "biuf":
            raise ShapeError(f"{what}: {name!r} is not made of real numbers; record real and imaginary parts.")
    return result, names


def check_seconds(seconds: object, what: str) -> float:
    """Return how many seconds one unit of time has."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | np.number) or not 0 < seconds < np.inf:
        raise TimeError(f"{what}: seconds is how long one unit of the model's time is, a number > 0; got {seconds!r}.")
    return float(seconds)


def row_step(time: np.ndarray, default: float) -> float | None:
    """Return the time from row to row, or None where it is not the same everywhere to 1e-6 of it.

    >>> row_step(np.array([0.0, 0.1, 0.2]), 1.0)
    0.1
    """
    time = np.asarray(time, float)
    if len(time) < 2:
        return default
    step = (time[-1] - time[0]) / (len(time) - 1)
    regular = step > 0 and np.all(np.abs(np.diff(time) - step) <= 1e-6 * step)
    return float(step) if regular else None


def spike_times(time: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Return for every unit the times of those rows in which its value is above 0.

    >>> [times.tolist() for times in spike_times(np.array([0.0, 0.5]), np.array([[1, 0], [1, 0]]))]
    [[0.0, 0.5], []]
    """
    return [np.asarray(time, float)[column > 0] for column in np.asarray(values).T]
