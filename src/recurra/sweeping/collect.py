"""Put what the batches of a sweep measured together, in memory or in a Zarr store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.streaming import fingerprint, open_group, store_name
from recurra.errors import OptionError
from recurra.sweeping.batches import Job, Outcome
from recurra.sweeping.points import Points

if TYPE_CHECKING:
    import xarray

MISSING, GOOD, FAILED = 0, 1, 2
ERROR_BYTES = 400
RESERVED = ("status", "error_text")


class Collection:
    """Hold arrays with a row for every point, and which points are done.

    Arguments:
        points: where each row lies.
        size: points of a batch; a chunk of the store holds as many.
        store: a folder for Zarr, `None` to keep everything in memory.
        mark: what the sweep is, so that no other sweep goes on in its store.

    Raises:
        StoreError: the store belongs to another sweep, or is no store.
        CapabilityError: zarr is not installed.
    """

    def __init__(self, points: Points, size: int, store: str | Path | None, mark: str):
        self.points, self.size = len(points), size
        self._taken = {*RESERVED, "failed", "error", "point", "time", *points.numbers}
        self._zarr: Any = None
        self.arrays: dict[str, Any] = {}
        self.dims: dict[str, list[str]] = {}
        self.time = np.zeros(0)
        if store is None:
            self.arrays = {
                "status": np.zeros(self.points, np.uint8),
                "error_text": np.zeros((self.points, ERROR_BYTES), np.uint8),
            }
        else:
            self._zarr = _open(Path(store), self.points, size, mark)
            found, order = dict(self._zarr.arrays()), self._zarr.attrs.get("measures", [])
            self.arrays = {name: found[store_name(name)] for name in [*RESERVED, *order] if store_name(name) in found}
            self.dims = dict(self._zarr.attrs.get("dims", {}))
            self.time = np.array(self._zarr.attrs.get("time", []), float)

    def status(self) -> np.ndarray:
        """Return for each point whether it is missing, good or failed; a chunk that cannot be read is missing."""
        if self._zarr is None:
            return self.arrays["status"]
        found = np.zeros(self.points, np.uint8)
        for start in range(0, self.points, self.size):
            place = slice(start, start + self.size)
            try:
                found[place] = self.arrays["status"][place]
            except Exception:  # a write that was cut off leaves a chunk that cannot be decoded
                found[place] = MISSING
        return found

    def put(self, start: int, outcome: Outcome) -> None:
        """Store a batch of points from `start` on; their status comes last, so that what was cut off is missing."""
        count = len(outcome.errors)
        place = slice(start, start + count)
        first = next((m for m in outcome.measures if m is not None), None)
        if first is not None and not self.time.size and not self.dims:
            self._learn(outcome)
        errors = list(outcome.errors)
        for name, value in (first or {}).items():
            if name not in self.arrays:
                self._create(name, value)
            array = self.arrays[name]
            block = np.full((count, *array.shape[1:]), _blank(array.dtype), array.dtype)
            for i, measures in enumerate(outcome.measures):
                if measures is None or errors[i]:
                    continue
                if name not in measures or measures[name].shape != array.shape[1:]:
                    got = measures[name].shape if name in measures else "nothing"
                    errors[i] = f"measure {name!r}: got {got}, other points have {array.shape[1:]}."
                else:
                    block[i] = measures[name]
            array[place] = block
        text = np.zeros((count, ERROR_BYTES), np.uint8)
        for i, error in enumerate(errors):
            encoded = error.encode()[:ERROR_BYTES].decode(errors="ignore").encode()
            text[i, : len(encoded)] = np.frombuffer(encoded, np.uint8)
        self.arrays["error_text"][place] = text
        self.arrays["status"][place] = np.where([bool(e) for e in errors], FAILED, GOOD)

    def _learn(self, outcome: Outcome) -> None:
        self.dims = {name: list(labels) for name, labels in outcome.dims.items()}
        self.time = outcome.time
        if self._zarr is not None:
            self._zarr.attrs.update({"dims": self.dims, "time": self.time.tolist()})

    def _create(self, name: str, value: np.ndarray) -> None:
        if name in self._taken:
            raise OptionError(
                f"{name!r} is a name of the dataset already: give the measure another name, or the recording, as in"
                f" record={{'x': {name!r}}}."
            )
        kind = value.dtype if value.dtype.kind in "fc" else np.dtype(float)
        shape = (self.points, *value.shape)
        if self._zarr is None:
            self.arrays[name] = np.full(shape, _blank(kind), kind)
        else:
            key = store_name(name)
            # A folder has no order, and a dataset should have the same one whenever it is read.
            self._zarr.attrs["measures"] = [*self._zarr.attrs.get("measures", []), name]
            self.arrays[name] = self._zarr.create_array(
                key, shape=shape, chunks=(self.size, *value.shape), dtype=kind, fill_value=_blank(kind),
                dimension_names=["point", *(f"{key}_{i}" for i in range(value.ndim))],
            )  # fmt: skip

    def dataset(self, points: Points, attrs: Mapping[str, Any], recorded: bool) -> xarray.Dataset:
        """Return everything as a labelled dataset.

        Arguments:
            points: where each row lies.
            attrs: what made it.
            recorded: whether the arrays are recordings, with time and units as their axes.
        """
        import xarray

        grid = bool(points.axes)
        lead = list(points.axes) if grid else ["point"]
        coords: dict[str, Any] = dict(points.axes) if grid else {"point": np.arange(len(points))}
        for path, value in ({} if grid else points.numbers).items():
            coords[path] = (["point"] if value.ndim == 1 else ["point", f"{path}_unit"], value)
        variables: dict[str, Any] = {}
        for name, array in self.arrays.items():
            if name in RESERVED:
                continue
            value = np.asarray(array[:]).reshape(*points.shape, *array.shape[1:])
            rest = [f"{name}_{i}" for i in range(array.ndim - 1)]
            if recorded:
                coords["time"], rest = self.time, ["time", f"{name}_unit"]
                if array.shape[-1] == 1:
                    value, rest = value[..., 0], ["time"]
                else:
                    coords[f"{name}_unit"] = self.dims[name]
            variables[name] = ([*lead, *rest], value)
        status = self.status()
        variables["failed"] = (lead, (status != GOOD).reshape(points.shape))
        variables["error"] = (lead, np.array(self.errors(status), object).reshape(points.shape))
        return xarray.Dataset(variables, coords=coords, attrs=dict(attrs))

    def errors(self, status: np.ndarray) -> list[str]:
        """Return for each point why it failed."""
        text = np.asarray(self.arrays["error_text"][:])
        return [
            "" if s == GOOD else "not run" if s == MISSING else bytes(row[row > 0]).decode(errors="replace")
            for s, row in zip(status, text, strict=True)
        ]


def _blank(kind: np.dtype) -> complex | float:
    return complex(np.nan, np.nan) if kind.kind == "c" else float("nan")


def _open(path: Path, points: int, size: int, mark: str) -> Any:
    """Open the store of a sweep; one that was cut off while it was made is made again."""
    group = open_group(path, "a sweep", mark)
    for name, width in (("error_text", (ERROR_BYTES,)), ("status", ())):
        if name not in group:
            group.create_array(name, shape=(points, *width), chunks=(size, *width), dtype=np.uint8)
    return group


def mark_of(job: Job, points: Points, size: int) -> str:
    """Return what tells one sweep from another: model, numbers, points, options, batch and the measure's name."""
    measure = getattr(job.measure, "__qualname__", "") if job.measure else "recordings"
    program = job.program
    return fingerprint(
        program.explain(), program.params, program.state, points.numbers, job.duration, job.options, size, measure
    )
