"""Take time series of pynapple and give them back; pynapple is imported only where one of its objects is at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Array

from recurra.errors import OptionError

SAME = 1e-6  # seconds, the precision of times


def is_pynapple(series: Any) -> bool:
    """Say whether something is a Tsd, TsdFrame or TsdTensor of pynapple.

    >>> is_pynapple(np.ones(3))
    False
    """
    return type(series).__module__.startswith("pynapple.") and hasattr(series, "time_support")


def is_intervals(given: Any) -> bool:
    """Say whether something is an IntervalSet of pynapple."""
    return type(given).__module__.startswith("pynapple.") and type(given).__name__ == "IntervalSet"


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
    """Return values `(time, ...)` in the form of what they were made from: a series of pynapple, or as they are.

    Arguments:
        given: what they were made from; or a dict, list or tuple of such things.
        values: the values.
    """
    series = next((s for s in _leaves(given) if is_pynapple(s)), None)
    return values if series is None else like(series, values)


def _leaves(given: Any) -> list[Any]:
    if isinstance(given, Mapping):
        return [leaf for value in given.values() for leaf in _leaves(value)]
    if isinstance(given, tuple | list) and any(is_pynapple(g) or isinstance(g, Mapping) for g in given):
        return [leaf for value in given for leaf in _leaves(value)]
    return [given]


def epoch_starts(series: Any) -> np.ndarray | None:
    """Return where epochs of a series of pynapple begin, `(time,)` of truth values; `None` for anything else.

    >>> epoch_starts(np.ones(3)) is None
    True
    """
    if not is_pynapple(series):
        return None
    times = np.asarray(series.t)
    found = np.zeros(len(times), bool)
    first = np.searchsorted(times, np.asarray(series.time_support.values)[:, 0], "left")
    found[first[first < len(times)]] = True
    found[:1] = True
    return found


def aligned(*given: Any, where: str = "X and y") -> Any:
    """Return the first series of pynapple among things that belong together, or `None`.

    Arguments:
        given: series of pynapple or pandas, arrays, `None`, dicts of these.
        where: what they are, for errors.

    Raises:
        OptionError: two series have other times or epochs, or two tables other labels of their rows.
    """
    leaves = [leaf for one in given for leaf in _leaves(one)]
    tables = [leaf.index for leaf in leaves if _is_table(leaf)]
    for other in tables[1:]:
        # A fresh count of rows says nothing about which rows they are.
        counted = any(type(i).__name__ == "RangeIndex" and i.start == 0 and i.step == 1 for i in (tables[0], other))
        if not counted and len(other) == len(tables[0]) and not other.equals(tables[0]):
            raise OptionError(f"{where}: the tables have as many rows, but other labels of rows (index); bring them "
                              "into one order, or give arrays.")  # fmt: skip
    return common_series(tuple(leaves))


def _is_table(leaf: Any) -> bool:
    return type(leaf).__module__.partition(".")[0] == "pandas" and hasattr(leaf, "index") and hasattr(leaf, "iloc")


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
    """Return the first series of pynapple, or None; complain if two of them have other times or epochs.

    Epochs are the same if they hold the same samples: their ends may lie anywhere between two samples.
    """
    found = [s for s in series if is_pynapple(s)]
    for other in found[1:]:
        same = np.shape(other.t) == np.shape(found[0].t) and np.allclose(other.t, found[0].t, rtol=0, atol=SAME)
        if not (same and np.array_equal(epoch_starts(other), epoch_starts(found[0]))):  # type: ignore[arg-type]
            raise OptionError("time series of pynapple with different times or epochs cannot be combined; restrict "
                              "them to the same epochs and bins first.")  # fmt: skip
    return found[0] if found else None
