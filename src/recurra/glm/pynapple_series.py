"""Take time series of pynapple and give them back; pynapple is imported only where one of its objects is at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array

from recurra.errors import OptionError


def is_pynapple(series: Any) -> bool:
    """Say whether something is a Tsd, TsdFrame or TsdTensor of pynapple.

    >>> is_pynapple(np.ones(3))
    False
    """
    return type(series).__module__.startswith("pynapple.") and hasattr(series, "time_support")


def values_of(series: Any) -> Any:
    """Return the values of a series of pynapple, and anything else as it is; what is masked is missing, NaN.

    >>> values_of(np.ma.masked_less([2, -1], 0))
    array([ 2., nan])
    """
    if isinstance(series, np.ma.MaskedArray):
        return np.ma.filled(series.astype(float), np.nan) if np.ma.is_masked(series) else series.data
    return series.values if is_pynapple(series) else series


def like(series: Any, values: Array) -> Any:
    """Return values `(time, ...)` as a series of pynapple with the times and epochs of another one."""
    import pynapple  # pyright: ignore[reportMissingImports]

    kind = {1: pynapple.Tsd, 2: pynapple.TsdFrame}.get(np.ndim(values), pynapple.TsdTensor)
    return kind(t=series.t, d=np.asarray(values), time_support=series.time_support)


def as_given(given: Any, values: Any) -> Any:
    """Return values `(time, ...)` in the form of what they were made from: a series of pynapple, or as they are."""
    return like(given, values) if is_pynapple(given) else values


def by_epoch(function: Callable[[Any], Array], series: Any, axis: int = 0) -> Any:
    """Apply a function that keeps the length to each epoch of a series on its own."""
    if axis not in (0, -np.ndim(series.values)):
        raise OptionError(f"axis: the axis of time of a series of pynapple is 0, got {axis}.")
    times, support = np.asarray(series.t), np.asarray(series.time_support.values)
    parts = []
    for start, end in support:
        inside = slice(np.searchsorted(times, start, "left"), np.searchsorted(times, end, "right"))
        if inside.stop > inside.start:
            parts.append(np.asarray(function(series.values[inside])))
    return like(series, np.concatenate(parts))  # type: ignore[arg-type]


def common_series(series: tuple[Any, ...]) -> Any:
    """Return the first series of pynapple, or None; complain if two of them have other times or epochs."""
    found = [s for s in series if is_pynapple(s)]
    for other in found[1:]:
        same_times = np.shape(other.t) == np.shape(found[0].t) and np.allclose(other.t, found[0].t)
        mine, theirs = found[0].time_support.values, other.time_support.values
        if not (same_times and mine.shape == theirs.shape and np.allclose(mine, theirs)):
            raise OptionError("time series of pynapple with different times or epochs cannot be combined; restrict "
                              "them to the same epochs and bins first.")  # fmt: skip
    return found[0] if found else None
