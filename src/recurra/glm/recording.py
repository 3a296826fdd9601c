"""Recordings of many neurons as users have them: arrays, DataFrames, series of pynapple."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import OptionError, ShapeError
from recurra.glm.pynapple_series import is_pynapple, values_of


@dataclass(frozen=True, eq=False)
class Recording:
    """Hold the counts of a population and what is known of them.

    Arguments:
        counts: `(time, neurons)`.
        labels: a name for each neuron, `(neurons,)`.
        bin_size: length of a bin in seconds, or `None`.
        series: the series of pynapple that was given, or `None`.
    """

    counts: np.ndarray
    labels: np.ndarray
    bin_size: float | None
    series: Any = None

    @property
    def epochs(self) -> int:
        """How many epochs it has."""
        return 1 if self.series is None else len(self.series.time_support.values)


def read_recording(counts: Any, bin_size: object = None) -> Recording:
    """Take the counts of a population.

    Arguments:
        counts: `(time, neurons)`; an array, a DataFrame or a TsdFrame.
        bin_size: length of a bin in seconds; `None` takes that of a TsdFrame.

    Raises:
        ShapeError: no matrix of numbers.
        OptionError: the length of a bin is no number above 0.
    """
    found = np.asarray(values_of(counts))
    if found.ndim != 2:
        raise ShapeError(f"counts: expected (time, neurons), got shape {found.shape}.")
    if found.dtype.kind not in "biuf":
        raise ShapeError(f"counts: expected numbers, got an array of type {found.dtype}.")
    series = counts if is_pynapple(counts) else None
    labels = np.asarray(getattr(counts, "columns", np.arange(found.shape[1])))
    if labels.dtype.kind not in "iu":
        labels = labels.astype(str)
    told = None if bin_size is None else read_bin_size(bin_size)
    own = _spacing(counts)
    if told is not None and own is not None and abs(told - own) > 1e-3 * own:
        raise OptionError(f"bin_size={told:g}, but the times of the counts are {own:g} apart; leave bin_size out.")
    return Recording(found, labels, own if told is None and series is not None else told, series)


def _spacing(counts: Any) -> float | None:
    """Return how far apart the times of a series are: a series of pynapple, a table whose index is made of floats."""
    times = counts.t if is_pynapple(counts) else getattr(counts, "index", None)
    kind = getattr(getattr(times, "dtype", None), "kind", "")
    if kind != "f" or times is None or len(times) < 2:
        return None
    return float(np.median(np.diff(np.asarray(times, float))))


def agreed(known: float | None, given: object) -> float | None:
    """Return the length of a bin, where a fit may know it and a call may say it.

    Raises:
        OptionError: they differ.
    """
    size = known if given is None else read_bin_size(given)
    if known is not None and size is not None and abs(size - known) > 1e-9 * known:
        raise OptionError(f"bin_size={size:g}: the neurons were fitted in bins of {known:g} s, and have no others.")
    return size


def read_bin_size(bin_size: object) -> float:
    """Return the length of a bin, a number above 0."""
    fine = isinstance(bin_size, int | float | np.number) and not isinstance(bin_size, bool)
    if not fine or not 0 < float(bin_size) < math.inf:  # type: ignore[arg-type]
        raise OptionError(f"bin_size: expected a number of seconds > 0, got {bin_size!r}.")
    return float(bin_size)  # type: ignore[arg-type]
