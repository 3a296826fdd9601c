"""Recordings as objects of pynapple, and back as arrays on a grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from recurra.engine import Result
from recurra.errors import MissingPackageError, OptionError, TimeError
from recurra.interchange.recordings import check_result, check_seconds, row_step, spike_times

_ROUNDED = 1e-9  # pynapple keeps times to nine decimals


def _import() -> Any:
    try:
        import pynapple  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingPackageError("objects of pynapple need the package: pip install 'recurra[pynapple]'.") from None
    return pynapple


def to_pynapple(
    result: Result, name: str | None = None, *, spikes: str | Iterable[str] = (), seconds: float = 1.0
) -> Any:
    """Return recordings as objects of pynapple.

    Arguments:
        result: what a run recorded.
        name: one recording; all of them if `None`.
        spikes: names of recordings whose values above 0 are spikes, at the time of their row.
        seconds: how many seconds one unit of the model's time is.

    Returns:
        A Tsd for one unit, a TsdFrame with the paths of the units as columns for several, a TsGroup with the paths as
        metadata `label` for spikes; a dict by name if `name` is `None`. They last from the first row to a row after the
        last one.

    Raises:
        CapabilityError: pynapple is not installed.
        PathError: there is no such recording.
        ShapeError: the result is a batch of runs.
        OptionError: `result` is no result.
        TimeError: it has no rows.

    >>> from recurra import CircuitTemplate
    >>> from recurra.engine import simulate
    >>> program = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    >>> result = simulate(program, 1.0, dt=0.25, record={"x": "p/vdp_op/x"})
    >>> series = to_pynapple(result, "x")
    >>> series.t.tolist(), bool(np.all(series.d == result["x"][:, 0])), series.time_support.values.tolist()
    ([0.0, 0.25, 0.5, 0.75], True, [[0.0, 1.0]])
    """
    nap = _import()
    result, names = check_result(result, spikes, "to_pynapple")
    scale = check_seconds(seconds, "to_pynapple")
    time = np.asarray(result.time, float) * scale
    if not len(time):
        raise TimeError("to_pynapple: the result has no rows.")
    step = row_step(time, result.final.dt * scale)
    support = nap.IntervalSet(time[0], time[-1] + (step or _ROUNDED))

    def convert(key: str) -> Any:
        values, labels = result[key], list(result.labels[key])
        if key in names:
            trains = {i: nap.Ts(t=times) for i, times in enumerate(spike_times(time, values))}
            return nap.TsGroup(trains, time_support=support, metadata={"label": np.array(labels)})
        if values.shape[1] == 1:
            return nap.Tsd(t=time, d=values[:, 0], time_support=support)
        return nap.TsdFrame(t=time, d=values, columns=labels, time_support=support)

    if name is not None:
        return convert(result.find(name))
    return {key: convert(key) for key in result}


def from_pynapple(data: Any, dt: float | None = None, *, seconds: float = 1.0) -> tuple[np.ndarray, float]:
    """Return an object of pynapple as an array on a grid, for inputs of a run and for fits of GLMs.

    Arguments:
        data: a Tsd or TsdFrame (its values), or a Ts or TsGroup (counts of events in bins), in one epoch.
        dt: the width of a bin, in the model's unit of time; needed for events. Values must have it as their distance.
        seconds: how many seconds one unit of the model's time is.

    Returns:
        `(values, dt)`: values `(rows, units)`; row k of counts holds the events from `start + k*dt` (included, to the
        nine decimals that pynapple keeps) to the next row. A bin that the epoch's end cuts is left out.

    Raises:
        OptionError: it is no such object, or has several epochs.
        TimeError: `dt` is missing or does not fit.
        CapabilityError: pynapple is not installed.

    >>> import pynapple as nap
    >>> epoch = nap.IntervalSet(0.0, 1.0)
    >>> spikes = nap.TsGroup({0: nap.Ts([0.1, 0.3, 0.9]), 1: nap.Ts([0.5, 0.6])}, time_support=epoch)
    >>> counts, dt = from_pynapple(spikes, dt=0.25)
    >>> counts.T.tolist(), dt
    ([[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 2.0, 0.0]], 0.25)
    """
    nap = _import()
    scale = check_seconds(seconds, "from_pynapple")
    if dt is not None and (isinstance(dt, bool) or not isinstance(dt, int | float | np.number) or not 0 < dt < np.inf):
        raise TimeError(f"from_pynapple: dt must be a number > 0, got {dt!r}.")
    if not isinstance(data, nap.Tsd | nap.TsdFrame | nap.Ts | nap.TsGroup):
        raise OptionError(f"from_pynapple: expected a Tsd, TsdFrame, Ts or TsGroup, got {type(data).__name__}.")
    support = np.asarray(data.time_support.values, float)
    if len(support) != 1:
        raise OptionError(f"from_pynapple: the data have {len(support)} epochs; restrict them to one after the other.")
    if isinstance(data, nap.Tsd | nap.TsdFrame):
        return _values(data, dt, scale)
    if dt is None:
        raise TimeError("from_pynapple: events need dt, the width of the bins in which they are counted.")
    trains = [np.asarray(data[i].t) for i in data.index] if isinstance(data, nap.TsGroup) else [np.asarray(data.t)]
    start, end = support[0]
    width = dt * scale
    grace = max(1e-6, 2 * _ROUNDED / width)
    rows = int(np.floor((end - start) / width + grace))
    if rows < 1:
        raise TimeError(f"from_pynapple: the epoch lasts {end - start:g} s, less than one bin of {width:g} s.")
    counts = np.zeros((rows, len(trains)))
    for unit, times in enumerate(trains):
        at = np.floor((times - start) / width + grace).astype(int)
        np.add.at(counts, (at[(at >= 0) & (at < rows)], unit), 1.0)
    return counts, float(dt)


def _values(data: Any, dt: float | None, scale: float) -> tuple[np.ndarray, float]:
    values = np.asarray(data.values)
    step = row_step(np.asarray(data.t), (dt or 1.0) * scale)
    if step is None:
        raise TimeError("from_pynapple: the times of the series are not evenly spaced; interpolate it first.")
    if dt is not None and abs(step - dt * scale) > 1e-6 * step + _ROUNDED:
        raise TimeError(f"from_pynapple: the rows of the series are {step / scale:g} apart, not dt={dt:g}.")
    return values.reshape(len(values), -1), float(dt if dt is not None else step / scale)
