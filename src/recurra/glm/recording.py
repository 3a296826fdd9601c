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
    if bin_size is None and series is not None and len(series.t) > 1:
        bin_size = float(np.median(np.diff(np.asarray(series.t, float))))
    return Recording(found, labels, None if bin_size is None else read_bin_size(bin_size), series)


def read_bin_size(bin_size: object) -> float:
    """Return the length of a bin, a number above 0."""
    fine = isinstance(bin_size, int | float | np.number) and not isinstance(bin_size, bool)
    if not fine or not 0 < float(bin_size) < math.inf:  # type: ignore[arg-type]
        raise OptionError(f"bin_size: expected a number of seconds > 0, got {bin_size!r}.")
    return float(bin_size)  # type: ignore[arg-type]
