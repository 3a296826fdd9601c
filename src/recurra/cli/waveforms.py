"""Inputs written as words: `step:25:100:1` becomes an array of one value for each step."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from recurra.engine.series import align, is_time
from recurra.errors import OptionError, PathError, ShapeError, StoreError, TimeError, near, unknown
from recurra.files import read_array, read_bytes, reason

FORMS = {
    "step": ("step:ON:OFF:AMPLITUDE", "AMPLITUDE from ON until before OFF, 0 elsewhere"),
    "constant": ("constant:VALUE", "VALUE all the time"),
    "sine": ("sine:FREQUENCY:AMPLITUDE[:PHASE]", "AMPLITUDE * sin(2 pi FREQUENCY t + PHASE)"),
    "ramp": ("ramp:BEGIN:END:AMPLITUDE", "0 until BEGIN, straight up to AMPLITUDE at END, there after"),
    "pulses": ("pulses:START:WIDTH:PERIOD:AMPLITUDE", "AMPLITUDE for WIDTH at START, START + PERIOD, ..."),
    "file": (
        "file:NAME[:COLUMN]",
        "NAME.csv or .npy, one row for each step (at the times of its first column `time`); a column by name or number",
    ),
}
_COUNTS = ("", "index", "unnamed: 0")  # names of a table's index: numbers of rows, or times
_MAX_TABLE = 200_000_000  # bytes of a table of text; numbers of more rows belong into .npy


def waveform(text: str, duration: float, dt: float, where: str = "") -> np.ndarray:
    """Turn the words for an input into its values at `k*dt`, one for each step.

    Arguments:
        text: one of `FORMS`.
        duration: time simulated, in the unit of the model.
        dt: the step, in the same unit.
        where: the input's path, for messages.

    Returns:
        Array (time,); (time, unit) for a `.npy` file with several columns.

    Raises:
        OptionError: the words are not understood.
        TimeError: an edge of the waveform is negative or out of order.
        PathError: the file or its column does not exist.
        ShapeError: the file has another number of rows than there are steps.
        TimeError: its times do not fit the steps.

    >>> waveform("step:1:2:0.5", duration=3, dt=0.5).tolist()
    [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]
    """
    place = f"{where}: " if where else ""
    name, _, rest = text.partition(":")
    if name not in FORMS:
        raise OptionError(place + unknown("waveform", name, FORMS))
    steps = _steps(duration, dt, place)
    if name == "file":
        return _from_file(rest, steps, dt, place)
    form = FORMS[name][0]
    numbers = _numbers(rest, form, place)
    time = np.arange(steps) * dt
    if name == "constant":
        return np.full(steps, numbers[0])
    if name == "sine":
        frequency, amplitude, phase = [*numbers, 0.0][:3]
        return amplitude * np.sin(2 * np.pi * frequency * time + phase)
    begin, end, amplitude = numbers[0], numbers[1], numbers[-1]
    if begin < 0 or end < 0 or (name != "pulses" and end < begin):
        raise TimeError(f"{place}{text!r} has times that are negative or out of order; write {form}.")
    if name == "ramp":
        return amplitude * np.clip((time - begin) / max(end - begin, dt * 1e-9), 0.0, 1.0)
    if name == "pulses":
        return _pulses(numbers, steps, dt, place)
    values = np.zeros(steps)
    values[round(begin / dt) : round(end / dt)] = amplitude
    return values


def _steps(duration: float, dt: float, place: str) -> int:
    if not (dt > 0 and duration > 0 and math.isfinite(duration / dt)):
        raise TimeError(f"{place}duration and dt must be positive numbers, got {duration} and {dt}.")
    return round(duration / dt)


def _pulses(numbers: list[float], steps: int, dt: float, place: str) -> np.ndarray:
    start, width, period, amplitude = numbers
    if not 0 < width <= period:
        raise TimeError(f"{place}pulses need 0 < WIDTH <= PERIOD, got {width:g} and {period:g}.")
    if round(width / dt) < 1:
        raise TimeError(f"{place}pulses of width {width:g} are shorter than a step of {dt:g}.")
    values, count = np.zeros(steps), 0
    while (first := round((start + count * period) / dt)) < steps:
        values[first : first + round(width / dt)] = amplitude
        count += 1
    return values


def _numbers(rest: str, form: str, place: str) -> list[float]:
    words = rest.split(":") if rest else []
    most = form.count(":")
    least = most - form.count("[")
    if not least <= len(words) <= most:
        raise OptionError(f"{place}got {len(words)} numbers in {rest!r}; write {form}.")
    found = []
    for word in words:
        try:
            found.append(float(word))
        except ValueError:
            raise OptionError(f"{place}{word!r} is not a number; write {form}.") from None
    if not all(map(math.isfinite, found)):
        raise OptionError(f"{place}got {rest!r}, expected finite numbers.")
    return found


def _from_file(rest: str, steps: int, dt: float, place: str) -> np.ndarray:
    path, column = Path(rest), ""
    if not path.is_file() and ":" in rest:
        # The last colon is the column's, unless the file has one in its name.
        name, _, column = rest.rpartition(":")
        path = Path(name)
    if not path.is_file():
        here = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
        close = near(path.name, here)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise PathError(f"{place}there is no file {str(path)!r}.{hint}")
    if path.suffix == ".npy":
        values, names = _read_npy(path, place), []
    elif path.suffix == ".csv":
        values, names = _read_csv(path, place)
    else:
        raise OptionError(f"{place}{path.name!r} is neither .csv nor .npy.")
    place = f"{place}{path.name!r}"
    times = [i for i, name in enumerate(names) if is_time(name)]
    if len(times) > 1:
        raise OptionError(f"{place} has several columns of times: {', '.join(names[i] for i in times)}.")
    counted = [0] if names and names[0].lower() in _COUNTS else []
    if counted and not times and (values[:, 0] != np.arange(len(values))).any():
        times = counted
    found = _column(values, names, column, place, path.suffix == ".csv", {*times, *counted})
    if times:
        return align(values[:, times[0]], found, dt, 0.0, steps, place)
    if len(values) != steps:
        raise ShapeError(f"{place} has {len(values)} rows, but the run has {steps} steps.")
    return found


def _read_npy(path: Path, place: str) -> np.ndarray:
    try:
        values = read_array(path)
    except StoreError as error:
        raise ShapeError(f"{place}{path.name!r} cannot be read as an array of numbers: {error}") from None
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        raise ShapeError(f"{place}{path.name!r} must hold numbers, one row for each step.")
    return values.astype(float)


def _read_csv(path: Path, place: str) -> tuple[np.ndarray, list[str]]:
    try:
        text = read_bytes(path, _MAX_TABLE).decode("utf-8-sig")
        rows = [row for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    except (StoreError, UnicodeDecodeError, csv.Error) as error:
        raise ShapeError(f"{place}{path.name!r} is not a table of numbers: {reason(error)}.") from None
    names: list[str] = []
    try:
        [float(word) for word in rows[0]]
    except IndexError:
        raise ShapeError(f"{place}{path.name!r} is empty.") from None
    except ValueError:
        names = [word.strip() for word in rows.pop(0)]
    try:
        values = np.array([[float(word) for word in row] for row in rows])
    except ValueError as error:
        raise ShapeError(f"{place}{path.name!r} is not a table of numbers: {reason(error)}.") from None
    if values.ndim != 2:
        raise ShapeError(f"{place}{path.name!r} has no rows of numbers.")
    return values, names


def _column(values: np.ndarray, names: list[str], column: str, place: str, one: bool, apart: set[int]) -> np.ndarray:
    """Return the column that is asked for, or the only one beside those `apart`, of times or of numbers of rows."""
    if values.ndim == 1:
        values = values[:, None]
    if column:
        known = names or [str(i) for i in range(values.shape[1])]
        if column not in known and not (column.isdigit() and int(column) < values.shape[1]):
            raise PathError(unknown("column", column, known, where=place))
        return values[:, known.index(column) if column in known else int(column)]
    data = [i for i in range(values.shape[1]) if i not in apart]
    if len(data) == 1:
        return values[:, data[0]]
    if one:
        listed = ", ".join(names[i] if names else str(i) for i in data)
        raise OptionError(f"{place} has several columns; choose one by adding `:COLUMN`. Known: {listed}.")
    return values
