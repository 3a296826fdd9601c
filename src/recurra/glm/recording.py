"""Recordings of many neurons as users have them: arrays, DataFrames, series of pynapple."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from recurra.errors import OptionError, ShapeError
from recurra.glm.convolve import create_convolutional_predictor
from recurra.glm.numbers import as_numbers
from recurra.glm.pynapple_series import is_pynapple, like, values_of


@dataclass(frozen=True, eq=False)
class Recording:
    """Hold the counts of a population and what is known of them.

    Arguments:
        counts: `(time, neurons)`.
        labels: a name for each neuron, `(neurons,)`.
        bin_size: length of a bin in seconds, or `None`.
        series: the series of pynapple that was given, or `None`.
        given: what was given.
    """

    counts: np.ndarray
    labels: np.ndarray
    bin_size: float | None
    series: Any = None
    given: Any = None


@dataclass(frozen=True, eq=False)
class Past:
    """Make the filtered past of a population.

    Arguments:
        kernel: `(window, functions)`; row 0 is lag 1.
        options: how much to work on at a time; see :func:`create_convolutional_predictor`.
    """

    kernel: np.ndarray
    options: Mapping[str, Any]

    def features(self, recording: Recording, series: Any) -> dict[str, Any]:
        """Return `{"coupling": (time, neurons * functions)}`, in the form of a series of pynapple if one is given."""
        given = np.asarray(recording.counts, float) if recording.series is None else recording.series
        with jax.enable_x64(True):
            made = create_convolutional_predictor(self.kernel, given, **self.options)
            found = np.asarray(values_of(made), float).reshape(len(recording.counts), -1)
        return {"coupling": found if series is None else like(series, found)}  # type: ignore[arg-type]


def past_options(basis: Any) -> dict[str, int]:
    """Return the options of a basis for convolution that do not change what it makes of the past.

    Raises:
        OptionError: it looks at the present or the future.
    """
    options = dict(getattr(basis, "conv_kwargs", None) or {})
    if options.pop("predictor_causality", "causal") != "causal" or options.pop("shift", True) not in (None, True):
        raise OptionError(
            f"basis: neurons hear each other through causal filters that begin at lag 1 only; leave out {basis.label}'s"
            " predictor_causality and shift."
        )
    return {name: int(size) for name, size in options.items() if size is not None}


def read_inputs(inputs: Any, bins: int, count: int | None = None, expected: str = "(time, inputs)") -> np.ndarray:
    """Return inputs as `(time, inputs)`; a single one may be `(time,)`.

    Raises:
        ShapeError: the number of bins or of inputs is another one.
    """
    found = as_numbers(values_of(inputs), "inputs").astype(float)
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim == 2 and len(found) != bins and count is None:
        raise ShapeError(f"inputs: got {len(found)} bins, but counts has {bins}.")
    if found.ndim != 2 or len(found) != bins or count not in (None, found.shape[1]):
        size = (bins, "inputs" if count is None else count)
        raise ShapeError(f"inputs: got shape {np.shape(inputs)}, expected {expected} = ({size[0]}, {size[1]}).")
    return found


def column_labels(table: Any, count: int) -> np.ndarray:
    """Return the names of columns, or their numbers, `(columns,)`."""
    columns = getattr(table, "columns", None)
    found = np.arange(count) if columns is None or len(columns) != count else np.asarray(columns)
    return found if found.dtype.kind in "iu" else found.astype(str)


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
    found = as_numbers(found, "counts") if found.dtype.kind == "O" else found
    if found.ndim != 2:
        raise ShapeError(f"counts: expected (time, neurons), got shape {found.shape}.")
    if found.dtype.kind not in "biuf":
        raise ShapeError(f"counts: expected numbers, got an array of type {found.dtype}.")
    series = counts if is_pynapple(counts) else None
    labels = column_labels(counts, found.shape[1])
    told = None if bin_size is None else read_bin_size(bin_size)
    own = _spacing(counts)
    if told is not None and own is not None and abs(told - own) > 1e-3 * own:
        raise OptionError(f"bin_size={told:g}, but the times of the counts are {own:g} apart; leave bin_size out.")
    return Recording(found, labels, own if told is None and series is not None else told, series, counts)


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
