"""Recordings in files of Neurodata Without Borders (Ruebel et al. 2022, eLife 11, e78362), by way of pynwb."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recurra.courtesy import brief
from recurra.engine import Result
from recurra.engine.store import write_atomically
from recurra.errors import MissingPackageError, OptionError
from recurra.files import plain_hdf5, refusing
from recurra.interchange.recordings import check_result, check_seconds, row_step, spike_times

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # a simulation has no date; the same run gives the same file


@dataclass(frozen=True, eq=False)
class Series:
    """Hold one time series of a file.

    Arguments:
        time: `(rows,)` in seconds.
        values: `(rows, units)`.
        labels: the path of every unit, where the file knows it.
        unit: the unit of the values.

    >>> series = Series(np.array([0.0, 0.5]), np.array([[1.0, 2.0], [3.0, 4.0]]), ["v[0]", "v[1]"], "mV")
    >>> series.values[:, series.labels.index("v[1]")].tolist(), series.unit
    ([2.0, 4.0], 'mV')
    """

    time: np.ndarray
    values: np.ndarray
    labels: list[str]
    unit: str = ""

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Session:
    """Hold what a file of NWB has of recordings.

    Arguments:
        series: by name.
        spikes: name or number of a unit -> its spike times in seconds.
        meta: the session's description, identifier and start, and `run`: what this library noted of the run.

    >>> import tempfile
    >>> from recurra import CircuitTemplate
    >>> from recurra.engine import simulate
    >>> result = simulate(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program, 1.0, dt=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_nwb(result, f"{folder}/run.nwb", description="an oscillator")
    ...     session = from_nwb(f"{folder}/run.nwb")
    >>> sorted(session.series), session.meta["description"], session.meta["run"]["solver"]
    (['p/vdp_op/x', 'p/vdp_op/z'], 'an oscillator', 'euler')
    """

    series: Mapping[str, Series]
    spikes: Mapping[str, np.ndarray]
    meta: Mapping[str, Any] = field(default_factory=dict)

    __repr__ = brief


def _import() -> Any:
    try:
        import pynwb  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingPackageError("files of NWB need the package pynwb: pip install 'recurra[nwb]'.") from None
    return pynwb


def to_nwb(
    result: Result,
    path: str | Path,
    *,
    spikes: str | Iterable[str] = (),
    seconds: float = 1.0,
    description: str = "simulated with Recurra",
    start: datetime | None = None,
    units: Mapping[str, str] | None = None,
) -> None:
    """Write recordings to a file of NWB.

    Recordings become TimeSeries with a sampling rate (or timestamps, if rows are not evenly spaced), recordings of
    spikes become rows of the table of units. Seed, step, solver and versions are in the notes of the file.

    Arguments:
        result: what a run recorded.
        path: the file.
        spikes: names of recordings whose values above 0 are spikes, at the time of their row.
        seconds: how many seconds one unit of the model's time is.
        description: what the session was.
        start: when it was, with a time zone; 1970-01-01 if `None`.
        units: name of a recording -> unit of its values.

    Raises:
        CapabilityError: pynwb is not installed.
        StoreError: the file cannot be written.
        PathError, ShapeError, TimeError: something does not fit.
        OptionError: `result` is no result, or `start` has no time zone.

    >>> import tempfile
    >>> from recurra import CircuitTemplate
    >>> from recurra.engine import simulate
    >>> from recurra.interchange import from_nwb
    >>> program = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    >>> result = simulate(program, 1.0, dt=0.25, record={"x": "p/vdp_op/x"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_nwb(result, f"{folder}/run.nwb", seconds=0.001, units={"x": "mV"})  # one unit of time is a ms
    ...     series = from_nwb(f"{folder}/run.nwb").series["x"]
    >>> series.unit, series.time.tolist(), bool(np.all(series.values == result["x"]))
    ('mV', [0.0, 0.00025, 0.0005, 0.00075], True)
    """
    pynwb = _import()
    result, names = check_result(result, spikes, "to_nwb")
    scale = check_seconds(seconds, "to_nwb")
    if start is not None and (not isinstance(start, datetime) or start.tzinfo is None):
        raise OptionError(f"to_nwb: start must be a datetime with a time zone, got {start!r}.")
    for name in units or {}:
        result.find(name)
    time = np.asarray(result.time, float) * scale
    file = pynwb.NWBFile(
        session_description=description,
        identifier=str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(_plain(result.meta), sort_keys=True))),
        session_start_time=start or _EPOCH,
        notes=json.dumps({"recurra": _plain(result.meta), "seconds": scale}),
    )
    for name in result:
        if name not in names:
            file.add_acquisition(_series(pynwb, result, name, time, scale, (units or {}).get(name, "n/a")))
    _add_units(file, result, names, time, result.final.dt * scale)
    write_atomically(path, lambda stream: _write(pynwb, file, stream))


def _write(pynwb: Any, file: Any, stream: BinaryIO) -> None:
    import h5py

    with h5py.File(stream, "w") as h5, pynwb.NWBHDF5IO(file=h5, mode="w") as io:
        io.write(file)


def _plain(meta: Mapping[str, object]) -> dict[str, Any]:
    return json.loads(json.dumps(dict(meta), default=str))


def _series(pynwb: Any, result: Result, name: str, time: np.ndarray, scale: float, unit: str) -> Any:
    values = np.asarray(result[name])
    step = row_step(time, result.final.dt * scale)
    when = {"timestamps": time} if step is None else {"rate": 1.0 / step, "starting_time": float(time[0])}
    return pynwb.TimeSeries(
        name=name.replace("/", ".").replace(":", "."),
        data=values.astype(np.uint8) if values.dtype == bool else values,
        unit=unit,
        description=f"recording {name!r}, one column for each unit",
        comments=json.dumps({"name": name, "labels": list(result.labels[name])}),
        **when,
    )


def _add_units(file: Any, result: Result, names: tuple[str, ...], time: np.ndarray, dt: float) -> None:
    if not names:
        return
    file.add_unit_column("label", "path of the unit")
    file.add_unit_column("recording", "name of the recording")
    interval = [[float(time[0]), float(time[-1]) + (row_step(time, dt) or dt)]]
    for name in names:
        for label, times in zip(result.labels[name], spike_times(time, result[name]), strict=True):
            file.add_unit(spike_times=times, obs_intervals=interval, label=label, recording=name)


def from_nwb(path: str | Path) -> Session:
    """Read the time series and the spike times of a file of NWB, of this library or of anyone.

    Arguments:
        path: the file.

    Returns:
        Series by name (those below processing modules as `"module/name"`), spike times by unit, and metadata. Values
        are multiplied by the file's `conversion` and shifted by its `offset`. Series that are no numbers, or of more
        than two axes, are left out.

    Raises:
        StoreError: there is no such file, or it cannot be read as NWB.
        CapabilityError: pynwb is not installed.

    >>> import tempfile
    >>> from recurra.engine import Graph, Node, Operator, Spike, Variable, lower, simulate
    >>> from recurra.equations import parse_equation
    >>> kinds = {"v": Variable("state"), "spike": Variable("input"), "z": Variable("algebraic")}
    >>> ramp = Operator((parse_equation("v' = 1"), parse_equation("z = spike")), kinds)
    >>> cell = Node({"op": ramp}, spikes=(Spike("op/v", "op/spike", threshold=1.0, reset=0.0),))
    >>> result = simulate(lower(Graph({"cell": cell})), 4.0, dt=0.25, record={"spike": "cell/op/z"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_nwb(result, f"{folder}/run.nwb", spikes="spike")
    ...     session = from_nwb(f"{folder}/run.nwb")
    >>> {name: times.tolist() for name, times in session.spikes.items()}
    {'cell/op/z': [1.0, 2.25, 3.5]}
    >>> session.meta["run"]["dt"], session.meta["run"]["seed"]
    (0.25, 0)
    """
    pynwb = _import()
    with plain_hdf5(path, soft_links=True) as h5, refusing(path, "cannot be read as NWB"):
        io = pynwb.NWBHDF5IO(file=h5, mode="r")
        file = io.read()
        series = {name: _read(each) for name, each in _all_series(pynwb, file) if _is_plain(each)}
        return Session(series, _read_units(file), _read_meta(file))


def _all_series(pynwb: Any, file: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    homes = [("", file.acquisition), ("stimulus", file.stimulus), ("analysis", file.analysis)]
    homes += [(name, module.data_interfaces) for name, module in file.processing.items()]
    while homes:
        home, entries = homes.pop(0)
        for key, entry in entries.items():
            name = f"{home}/{key}" if home else key
            if isinstance(entry, pynwb.TimeSeries):
                found.append((_noted(entry).get("name", name) if not home else name, entry))
            else:
                # Containers such as Position or LFP hold series of their own.
                inner = {c.name: c for c in getattr(entry, "children", ()) if isinstance(c, pynwb.TimeSeries)}
                homes.append((name, inner))
    return found


def _is_plain(series: Any) -> bool:
    data = series.data
    kind = getattr(getattr(data, "dtype", None), "kind", "")
    return kind in tuple("biuf") and len(getattr(data, "shape", ())) in (1, 2) and 0 not in data.shape


def _noted(series: Any) -> dict[str, Any]:
    try:
        found = json.loads(series.comments)
    except (TypeError, ValueError):
        return {}
    good = isinstance(found, dict) and isinstance(found.get("name", ""), str)
    return found if good else {}


def _read(series: Any) -> Series:
    values = np.asarray(series.data[:])
    values = values.reshape(len(values), -1)
    if series.conversion != 1.0 or series.offset != 0.0:
        values = values * series.conversion + series.offset
    if series.timestamps is not None:
        time = np.asarray(series.timestamps[:], float)
    else:
        time = float(series.starting_time or 0.0) + np.arange(len(values)) / float(series.rate)
    if len(time) != len(values):
        raise ValueError(f"{series.name!r} has {len(values)} rows and {len(time)} timestamps")
    labels = _noted(series).get("labels")
    fits = isinstance(labels, list) and len(labels) == values.shape[1] and all(isinstance(x, str) for x in labels)
    names = list(labels) if fits and labels else [f"{series.name}[{i}]" for i in range(values.shape[1])]
    return Series(time, values, names, str(series.unit))


def _read_units(file: Any) -> dict[str, np.ndarray]:
    table = file.units
    if table is None or "spike_times" not in table.colnames:
        return {}
    names = [str(x) for x in table["label"][:]] if "label" in table.colnames else []
    if len(set(names)) != len(table):
        names = [str(x) for x in table.id[:]]
    return {name: np.asarray(table["spike_times"][i], float) for i, name in enumerate(names)}


def _read_meta(file: Any) -> dict[str, Any]:
    try:
        notes = json.loads(file.notes)
    except (TypeError, ValueError):
        notes = {}
    run = notes.get("recurra", {}) if isinstance(notes, dict) else {}
    return {
        "description": file.session_description,
        "identifier": file.identifier,
        "start": file.session_start_time,
        "run": run,
    }
