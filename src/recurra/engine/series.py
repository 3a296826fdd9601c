"""Series that bring their own time axis: aligned with the steps of a run by it, or refused; resampled when asked.

A pandas Series or DataFrame with an index other than the default one, an xarray DataArray with a dimension `time`
that has coordinates, and a Tsd or TsdFrame of pynapple have one. Times are in the unit of the model.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recurra.engine.checks import refuse_masked
from recurra.errors import OptionError, ShapeError, TimeError, unknown

if TYPE_CHECKING:
    import pandas

_TOLERANCE = 1e-3  # of a step: how far a sample may lie from the step it belongs to
_NAME = re.compile(
    r"\s*(t|times?|timestamps?)\s*(\[.*|\(.*|/.*|[ _]*(s|ms|us|µs|sec|secs|seconds?|milliseconds?|min|minutes?|h))?\s*",
    re.IGNORECASE,
)
_UNITLESS = "A model counts time in a unit of its own, so give plain numbers in it: "


def rows_of(value: Any, dt: float, start: float, steps: int | None, where: str) -> Any:
    """Return the samples of a run: those of a series by its time axis, and anything else as it is.

    Arguments:
        value: what the user gave.
        dt, start: the step, and the time at which the run begins.
        steps: number of steps of the run; `None` for as many as the series has.
        where: what messages start with.

    Returns:
        `(steps, ...)`, or `(steps + 1, ...)` if the series holds the end of the run as well.

    Raises:
        TimeError: samples do not lie on the steps of the run, or do not cover it.
        ShapeError: some samples are masked.

    >>> import pandas
    >>> rows_of(pandas.Series([1.0, 2.0, 3.0, 4.0], index=[0.0, 0.5, 1.0, 1.5]), 0.5, 0.5, 2, "u").tolist()
    [2.0, 3.0, 4.0]
    """
    found = time_axis(value, where)
    if found is None:
        refuse_masked(value, where)
        return value
    times, values = found
    return values if times is None else align(times, values, dt, start, steps, where)


def is_time(name: object) -> bool:
    """Say whether a column or dimension is called as times are.

    >>> [name for name in ("time", "T", "Time (ms)", "time_s", "t [s]", "tau", "t_ref", "timer") if is_time(name)]
    ['time', 'T', 'Time (ms)', 'time_s', 't [s]']
    """
    return _NAME.fullmatch(str(name)) is not None


def align(times: Any, values: Any, dt: float, start: float, steps: int | None, where: str) -> Any:
    """Return the samples that belong to the steps of a run; see :func:`rows_of`.

    Raises:
        TimeError: samples do not lie on the steps of the run, or do not cover it.
    """
    times = _checked(times, len(values), where)
    at = (times - start) / dt
    slack = _TOLERANCE + 4 * np.finfo(times.dtype).eps * np.abs(times).max() / dt
    whole = np.round(at)
    apart = np.diff(times)
    how = f"Resample it: recurra.resample(series, dt={dt:g}), in straight lines, or with kind='hold'."
    if len(apart) and (np.abs(np.diff(whole) - 1) > 0).any() | (np.abs(apart / dt - 1) > 2 * slack).any():
        low, high = float(apart.min()), float(apart.max())
        every = f"{low:g}" if high - low <= _TOLERANCE * high else f"{low:g} to {high:g}"
        raise TimeError(
            f"{where} has a sample every {every} (times {times[0]:g} to {times[-1]:g}), the run has steps of {dt:g}."
            f" {how}"
        )
    if np.abs(at - whole).max() > slack:
        first = float(times[np.abs(at - whole) > slack][0])
        raise TimeError(f"{where} has a sample at {first:g}, between the steps of the run, {start:g} + k*{dt:g}. {how}")
    skip = -int(whole[0])
    last = len(times) if steps is None else skip + steps
    if skip < 0 or last > len(times) or skip >= len(times):
        end = f" to {start + ((steps or 1) - 1) * dt:g}" if steps else " on"
        raise TimeError(
            f"{where} covers times {times[0]:g} to {times[-1]:g}, the run needs samples from {start:g}{end}. Give the"
            f" missing ones, or say how it goes on: recurra.resample(series, dt={dt:g}, stop=..., after='hold')."
        )
    return np.asarray(values)[skip : min(last + (steps is not None), len(times))]


def time_axis(value: Any, where: str) -> tuple[np.ndarray | None, np.ndarray] | None:
    """Return the times and the values of a series, time first; `None` if it has no time axis.

    The times are `None` where there is a dimension of time, but nothing says which times.

    Raises:
        TimeError: it has one that cannot be understood.
    """
    kind = type(value).__module__.partition(".")[0]
    if kind == "pandas" and hasattr(value, "index"):
        return _of_pandas(value, where)
    if kind == "xarray":
        return _of_xarray(value, where)
    if kind == "pynapple":
        if not hasattr(value, "values") or not hasattr(value, "t") or np.ndim(value.values) < 1:
            raise TimeError(f"{where}: a {type(value).__name__} of pynapple has no values at equal intervals; count its"
                            " spikes in bins first (`.count(bin_size)`).")  # fmt: skip
        return np.asarray(value.t), np.asarray(value.values)
    return None


def _of_pandas(value: Any, where: str) -> tuple[np.ndarray, np.ndarray] | None:
    pandas = sys.modules["pandas"]
    index, values = value.index, value.to_numpy()
    inside = [c for c in getattr(value, "columns", ()) if isinstance(c, str) and is_time(c)]
    if inside:
        raise TimeError(f"{where}: the table has a column {inside[0]!r}; make it the index: "
                        f"table.set_index({inside[0]!r}).")  # fmt: skip
    if isinstance(index, pandas.RangeIndex) and index.start == 0 and index.step == 1:
        return None
    if isinstance(index, pandas.TimedeltaIndex | pandas.DatetimeIndex | pandas.PeriodIndex):
        raise TimeError(
            f"{where}: the index is a {type(index).__name__}. {_UNITLESS}for one that counts in ms"
            " `series.index = (series.index - series.index[0]) / pandas.Timedelta('1ms')`."
        )
    if index.nlevels > 1 or not pandas.api.types.is_any_real_numeric_dtype(index.dtype):
        raise TimeError(f"{where}: the index holds labels, no times; take `.to_numpy()`, with a sample for each step.")
    return index.to_numpy(), values


def _of_xarray(value: Any, where: str) -> tuple[np.ndarray | None, np.ndarray] | None:
    if not hasattr(value, "dims") or not hasattr(value, "values") or callable(value.values):
        raise TimeError(f"{where}: a {type(value).__name__} holds several arrays; give one of them.")
    named = [dim for dim in value.dims if is_time(dim)]
    coords = getattr(value, "coords", {})
    if not named:
        first = value.dims[0] if value.dims else ""
        if first in coords:
            raise TimeError(f"{where}: the dimension {first!r} has coordinates; if it is time, rename it to 'time',"
                            " else take `.values`.")  # fmt: skip
        return None
    values = value.transpose(named[0], ...)
    if named[0] not in coords:
        return None, values.values
    times = np.asarray(coords[named[0]].values)
    if times.dtype.kind in "mM":
        raise TimeError(f"{where}: the coordinate {named[0]!r} is of type {times.dtype}. {_UNITLESS}for one that counts"
                        " in ms `array.assign_coords(time=(array.time - array.time[0]) / numpy.timedelta64(1, 'ms'))`."
                        )  # fmt: skip
    return times, values.values


def _checked(times: Any, count: int, where: str) -> np.ndarray:
    times = np.asarray(times)
    if times.dtype.kind not in "iuf" or times.shape != (count,) or not count:
        raise TimeError(f"{where}: expected a time for each sample, got {times.dtype} of shape {times.shape}.")
    times = times.astype(np.float32 if times.dtype == np.float32 else np.float64)
    if not np.isfinite(times).all():
        raise TimeError(f"{where}: the time of sample {int(np.argmin(np.isfinite(times)))} is not finite.")
    wrong = np.diff(times) <= 0
    if wrong.any():
        at = int(np.argmax(wrong))
        what = "comes twice" if times[at] == times[at + 1] else f"is followed by {times[at + 1]:g}"
        raise TimeError(f"{where}: times must increase; {times[at]:g} {what}. Sort the series, and leave out doubles.")
    return times


def resample(
    series: Any,
    dt: float,
    *,
    kind: Literal["linear", "hold"] = "linear",
    stop: float | None = None,
    after: Literal["hold", "zero", "repeat"] | None = None,
    spacing: float | None = None,
) -> pandas.Series | pandas.DataFrame:
    """Return a series on the steps of a run, so that it can be its input.

    Arguments:
        series: a pandas Series or DataFrame, an xarray DataArray or a Tsd or TsdFrame of pynapple with a time axis in
            the unit of the model; or a plain array `(samples,)` or `(samples, units)`, with `spacing`.
        dt: the step of the run.
        kind: `"linear"` joins samples by straight lines, `"hold"` keeps each until the next.
        stop: time of the last sample that is wanted; the last one of the series by default.
        after: how the series goes on after its last sample, if `stop` is later: `"hold"` keeps it, `"zero"` is 0,
            `"repeat"` begins again one (last) interval after it.
        spacing: time between two samples of a plain array, which begins at 0.

    Returns:
        A pandas Series or DataFrame with the index `time`, at the multiples of `dt` from its first sample on.

    Raises:
        TimeError: the series has no time axis, or does not reach `stop`.
        OptionError: an unknown `kind` or `after`.

    >>> resample(np.array([0.0, 1.0]), 0.5, spacing=1.0, stop=2.0, after="hold").tolist()
    [0.0, 0.5, 1.0, 1.0, 1.0]
    """
    import pandas

    for name, value, known in (("kind", kind, ("linear", "hold")), ("after", after, ("hold", "zero", "repeat", None))):
        if value not in known:
            raise OptionError(unknown(name, str(value), [str(k) for k in known if k]))
    times, values = _with_axis(series, spacing)
    if not (np.isfinite(dt) and dt > 0):
        raise TimeError(f"dt must be a finite number > 0, got {dt!r}.")
    if values.ndim not in (1, 2) or values.dtype.kind not in "biufc":
        raise ShapeError(f"series: expected numbers (samples,) or (samples, units), got shape {values.shape}.")
    if stop is not None and stop > times[-1] + _TOLERANCE * dt and after is None:
        raise TimeError(f"series ends at {times[-1]:g}, before stop={stop:g}; say how it goes on by after='hold',"
                        " 'zero' or 'repeat'.")  # fmt: skip
    first = int(np.ceil(times[0] / dt - _TOLERANCE))
    last = int(np.floor((times[-1] if stop is None else stop) / dt + _TOLERANCE))
    grid = np.arange(first, last + 1) * dt
    seen, over = grid, grid > times[-1] + _TOLERANCE * dt
    if after == "repeat":
        if len(times) < 2:
            raise TimeError("series: a single sample has no interval after which it could repeat.")
        period = times[-1] - times[0] + (times[-1] - times[-2])
        seen = times[0] + (grid - times[0]) % period
        times, values = np.append(times, times[0] + period), np.concatenate([values, values[:1]])
    found = _sampled(times, values, seen, kind, dt)
    if after == "zero":
        found[over] = 0
    index = pandas.Index(grid, name="time")
    if values.ndim == 1:
        return pandas.Series(found, index, name=getattr(series, "name", None))
    columns = getattr(series, "columns", None)
    return pandas.DataFrame(found, index, columns=columns if columns is not None else range(values.shape[1]))


def _with_axis(series: Any, spacing: float | None) -> tuple[np.ndarray, np.ndarray]:
    found = time_axis(series, "series")
    refuse_masked(series, "series")
    if found is None or found[0] is None:
        values = np.asarray(series if found is None else found[1])
        if spacing is None or not spacing > 0:
            raise TimeError("series has no time axis; give the time between two samples as `spacing`, a number > 0.")
        if not values.ndim:
            raise ShapeError("series: expected samples, got a single number.")
        found = np.arange(len(values)) * spacing, values
    elif spacing is not None:
        raise OptionError("spacing: the series has a time axis of its own; leave it out.")
    return _checked(found[0], len(found[1]), "series").astype(float), found[1]


def _sampled(times: np.ndarray, values: np.ndarray, grid: np.ndarray, kind: str, dt: float) -> np.ndarray:
    """Read a series at other times; after its last sample it keeps it."""
    if kind == "hold":
        at = np.searchsorted(times, grid + _TOLERANCE * dt, "right") - 1
        return np.array(values[np.maximum(at, 0)])
    flat = values.reshape(len(values), -1)
    found = np.stack([np.interp(grid, times, column) for column in flat.T], 1)
    return found.reshape(len(grid), *values.shape[1:])
