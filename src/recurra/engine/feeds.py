"""What the user feeds into inputs during a run: constants and time series, on the grid of the run.

Sample k holds at `t0 + k*dt`; between samples a series is interpolated linearly, after its last sample it keeps it. The
same for every solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import core as jax_core

from recurra.engine.checks import as_mapping, as_numbers
from recurra.engine.program import Program
from recurra.engine.results import Snapshot, time_of
from recurra.engine.series import rows_of
from recurra.errors import PathError, ShapeError, unknown


@dataclass(frozen=True)
class Feed:
    """Drive units of an input.

    Arguments:
        key: storage key of the input.
        index: the units that are driven.
        size: number of units of the input.
        rows: one row for a constant, one per step for a series.
        series: whether it changes with time.
        columns: for each unit the column of `rows` that drives it, -1 for none: `(units,)`, or `(trials, units)` where
            trials have samples of their own.
    """

    key: str
    index: np.ndarray
    size: int
    rows: np.ndarray
    series: bool
    columns: np.ndarray

    @property
    def whole(self) -> bool:
        """Say whether all units are driven, by one column or by as many in their order."""
        return np.array_equal(self.columns, np.arange(self.size) if self.rows.shape[1] > 1 else np.zeros(self.size))

    @property
    def of_trials(self) -> bool:
        """Say whether trials have samples of their own."""
        return self.columns.ndim == 2

    def chunk(self, start: int, length: int) -> Any:
        """Return `length` rows from step `start` on, the last row repeated where the series ends."""
        if not self.series:
            return self.rows
        part = self.rows[start : start + length]
        if len(part) == length:
            return part
        tail = self.rows[-1:] if len(part) == 0 else part[-1:]
        if not isinstance(part, np.ndarray):
            return jnp.concatenate([part, jnp.broadcast_to(tail, (length - len(part), *tail.shape[1:]))])
        found = _aligned((length, *part.shape[1:]), part.dtype)
        found[: len(part)], found[len(part) :] = part, tail
        return found


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Make an empty array that begins on a boundary of 64 bytes, which the compiled code takes without a copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def make_feeds(
    program: Program, inputs: Mapping[str, Any] | None, steps: int, start: Snapshot, trials: int | None = None
) -> tuple[Feed, ...]:
    """Check the user's inputs and sort them by the array they drive.

    Arguments:
        inputs: path -> a number, `(steps,)`, `(steps, 1)` or `(steps, units)`; `steps + 1` rows are taken too, for a
            series that holds its end point. A series with a time axis is aligned by it. With trials also `(trials,
            steps, 1)` or `(trials, steps, units)`.
        steps: number of steps of the run.
        start: where the run begins.
        trials: number of trials, if there are any.

    Raises:
        PathError: the path is no input.
        ShapeError: wrong shape, wrong number of samples, or values that are not finite numbers.
        TimeError: the time axis of a series does not fit the steps.
    """
    begin = time_of(start)
    found: dict[tuple[str, bool], list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    taken: dict[str, dict[int, str]] = {}
    for path, value in as_mapping(inputs, "inputs").items():
        targets = program.layout.resolve(path)
        for target in targets:
            if target.kind != "input":
                ports = list(program.inputs)
                raise PathError(f"inputs: {path!r} is of kind {target.kind}. " + unknown("input", path, ports))
        value = rows_of(value, start.dt, begin, steps, f"inputs: {path!r}")
        whole = sum(t.size for t in targets)
        rows, columns, series = _rows(path, value, whole, steps, trials)
        if rows.dtype.kind == "c" and any(t.key not in program.system.complex_keys for t in targets):
            raise ShapeError(f"inputs: {path!r} is complex, the input is real; declare it with a complex default.")
        place = 0
        for target in targets:
            units = np.arange(program.system.shape_of[target.key][0])[target.index]  # type: ignore[index]
            for unit in units:
                if int(unit) in taken.setdefault(target.key, {}):
                    raise PathError(f"inputs: {path!r} and {taken[target.key][int(unit)]!r} drive the same unit.")
                taken[target.key][int(unit)] = path
            own = columns[:, place : place + target.size]
            if len(targets) == 1 or np.array_equal(own, np.broadcast_to(columns[:, :1], own.shape)):
                part = rows  # only looked at, never copied
            else:
                part, own = rows[:, own.ravel()], np.arange(own.size).reshape(own.shape)
            found.setdefault((target.key, series), []).append((units, part, own))
            place += target.size
    return tuple(_joined(key, program.system.shape_of[key][0], series, parts) for (key, series), parts in found.items())


def _joined(
    key: str, size: int, series: bool, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> Feed:
    """Lay side by side what drives some units of an input each: units, samples, and the columns `(trials, units)`."""
    index = np.concatenate([units for units, _, _ in parts]).astype(np.int32)
    trials = max(len(columns) for _, _, columns in parts)
    found, begin = np.full((trials, size), -1, np.int32), 0
    for units, rows, columns in parts:
        found[:, units] = begin + columns
        begin += rows.shape[1]
    merged = parts[0][1] if len(parts) == 1 else _side_by_side([rows for _, rows, _ in parts])
    return Feed(key, index, size, merged, series, found if trials > 1 else found[0])


def _numpy_of(*arrays: Any) -> ModuleType:
    """Return the module that computes with these arrays: JAX's where one of them is traced."""
    return jnp if any(isinstance(array, jax_core.Tracer) for array in arrays) else np


def _side_by_side(parts: list[np.ndarray]) -> np.ndarray:
    """Lay series side by side; each keeps its last sample until the longest ends."""
    length, xp = max(len(rows) for rows in parts), _numpy_of(*parts)
    return xp.concatenate(
        [xp.concatenate([rows, xp.repeat(rows[-1:], length - len(rows), axis=0)]) for rows in parts], axis=1
    )


def _rows(path: str, value: Any, units: int, steps: int, trials: int | None) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return samples `(steps, columns)`, for each unit (of each trial) its column, and whether these are a series."""
    if isinstance(value, jax_core.Tracer):
        array: Any = value if value.dtype.kind in "fc" else value.astype(float)
    else:
        array = as_numbers(value, f"inputs: {path!r}")
        # The sum is finite if all are, unless it overflows, and takes a fifth of the time of looking at each.
        if not np.isfinite(array.sum()) and not np.all(np.isfinite(array)):
            raise ShapeError(f"inputs: {path!r} holds values that are not finite (the first at sample"
                             f" {np.argwhere(~np.isfinite(np.atleast_1d(array)))[0][0]}).")
    if array.ndim == 0:
        return array.reshape(1, 1), np.zeros((1, units), np.int32), False
    if array.ndim == 1:
        array = array[:, None]
    own = array.ndim == 3 and trials is not None
    if array.ndim != 2 + own or array.shape[-1] not in (1, units) or (own and len(array) != trials):
        more = "" if trials is None else f", or ({trials}, {steps}, {units}) for {trials} trials"
        hint = f" For {len(array)} trials at once say trials={len(array)}." if array.ndim == 3 and not own else ""
        raise ShapeError(
            f"inputs: {path!r} has shape {np.shape(value)}, expected a number, ({steps},) or ({steps}, {units}){more}."
            + hint
        )
    columns = np.broadcast_to(np.arange(array.shape[-1], dtype=np.int32), (1, units))
    if own:
        # Trials lie side by side, as if they were more units, so that everything else knows only one kind of series.
        columns = columns + array.shape[-1] * np.arange(len(array), dtype=np.int32)[:, None]
        array = np.moveaxis(array, 0, 1).reshape(array.shape[1], -1)
    if len(array) not in (steps, steps + 1):
        hint = "too short" if len(array) < steps else "too long"
        how = "say how it goes on: recurra.resample(values, dt, spacing=dt, stop=duration, after='hold')"
        raise ShapeError(
            f"inputs: {path!r} is {hint}: it has {len(array)} samples, the run has {steps} steps. Sample it at dt"
            + (f", or {how}." if len(array) < steps else ".")
        )
    return array, columns, True
