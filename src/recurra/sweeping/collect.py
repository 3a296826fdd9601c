"""Put what the batches of a sweep measured together, in memory or in a Zarr store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.identity import Identity, digest
from recurra.engine.locks import Lock
from recurra.engine.streaming import (
    blank,
    checksum,
    clean,
    find_place,
    is_half_made,
    is_used,
    make_group,
    open_group,
    store_name,
    writing,
)
from recurra.errors import OptionError, StoreError
from recurra.sweeping.batches import Outcome
from recurra.sweeping.points import Points

if TYPE_CHECKING:
    import xarray

MISSING, GOOD, FAILED = 0, 1, 2
ERROR_BYTES = 400
RESERVED = ("status", "error_text", "checksum")


class Collection:
    """Hold arrays with a row for every point, and which points are done.

    In a store, every batch has a checksum of all that was written of it; a batch that is lost or damaged is missing,
    and is run again.

    Arguments:
        points: where each row lies.
        size: points of a batch; a chunk of the store holds as many.
        store: a folder for Zarr, `None` to keep everything in memory.
        identity: what the sweep is, so that no other sweep goes on in its store.

    Raises:
        StoreError: the store belongs to another sweep, is being written, or is no store.
        CapabilityError: zarr is not installed.
    """

    def __init__(self, points: Points, size: int, store: str | Path | None, identity: Identity):
        self.points, self.size = len(points), size
        self._taken = {*RESERVED, "failed", "error", "point", "time", "trial", *points.numbers}
        self._zarr: Any = None
        self._lock: Lock | None = None
        self.arrays: dict[str, Any] = {}
        self.dims: dict[str, list[str]] = {}
        self.time = np.zeros(0)
        if store is None:
            self.arrays = {
                "status": np.zeros(self.points, np.uint8),
                "error_text": np.zeros((self.points, ERROR_BYTES), np.uint8),
            }
            return
        self._path = find_place(store)
        busy: StoreError | None = None
        try:
            self._lock = Lock(self._path)
        except StoreError as error:
            busy = error
            if not is_used(self._path):
                raise
        try:
            self._open(identity)
            self._known = self._verified()
            if busy is not None and (self._known == MISSING).any():
                raise busy  # what is complete may be read by many
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other calls use the store."""
        if self._lock is not None:
            self._lock.close()

    def _open(self, identity: Identity) -> None:
        """Open the store, or make it; arrays that cannot be read are made again."""
        if self._lock is not None and (not is_used(self._path) or is_half_made(self._path)):
            self._zarr = make_group(self._path, "a sweep", identity)
        else:
            self._zarr = open_group(self._path, "a sweep", identity)
        if self._lock is not None:
            clean(self._path)
        notes = {name: self._zarr.attrs.get(name) for name in ("measures", "dims", "time")}
        if self._zarr.attrs.get("notes") != (None if notes["measures"] is None else digest(notes)):
            raise StoreError(f"{self._path}: its zarr.json is damaged. Delete the store, and make the call again.")
        self.dims, self.time = dict(notes["dims"] or {}), np.array(notes["time"] or [], float)
        self._order = list(notes["measures"] or [])
        batches = -(-self.points // self.size)
        own = {
            "error_text": ((self.points, ERROR_BYTES), (self.size, ERROR_BYTES), np.uint8),
            "status": ((self.points,), (self.size,), np.uint8),
            "checksum": ((batches,), (1,), np.uint32),
        }
        for name in self._order:
            found = self._read(name)
            if found is not None and found.shape[:1] == (self.points,) and found.chunks[:1] == (self.size,):
                self.arrays[name] = found
        for name, (shape, chunks, kind) in own.items():
            found = self._read(name)
            if found is None or (found.shape, found.chunks, found.dtype) != (shape, chunks, kind):
                with writing(self._path):
                    found = self._zarr.create_array(name, shape=shape, chunks=chunks, dtype=kind, overwrite=True)
            self.arrays[name] = found

    def _read(self, name: str) -> Any:
        try:
            return self._zarr[store_name(name)]
        except Exception:  # whatever zarr makes of a file that is lost or damaged
            return None

    def _note(self) -> None:
        """Write what is no array, all at once (`update` would write the file once for every name)."""
        notes = {"measures": self._order, "dims": self.dims, "time": self.time.tolist()}
        with writing(self._path):
            self._zarr.attrs.put({**self._zarr.attrs.asdict(), **notes, "notes": digest(notes)})

    def _sum(self, status: np.ndarray, text: np.ndarray, blocks: Mapping[str, np.ndarray]) -> int:
        """Return the checksum of a batch; measures that it does not have are as if they had never been."""
        total = checksum(text, checksum(status))
        for name in sorted(blocks):
            if blocks[name].size and not np.isnan(blocks[name]).all():
                total = checksum(blocks[name], checksum(np.frombuffer(name.encode(), np.uint8), total))
        return total

    def _stored_sum(self, place: slice, status: np.ndarray) -> int:
        blocks = {name: np.asarray(self.arrays[name][place]) for name in self._names()}
        return self._sum(status, np.asarray(self.arrays["error_text"][place]), blocks)

    def _verified(self) -> np.ndarray:
        """Return the status of each point; what cannot be read, or was not written whole, is missing, and wiped out."""
        found = np.zeros(self.points, np.uint8)
        for i, start in enumerate(range(0, self.points, self.size)):
            place = slice(start, min(start + self.size, self.points))
            try:
                status = np.asarray(self.arrays["status"][place])
                fine = not status.any() or self._stored_sum(place, status) == int(self.arrays["checksum"][i])
            except Exception:  # whatever zarr makes of a chunk that is lost or damaged
                fine = False
            if fine:
                found[place] = status
            elif self._lock is not None:
                for name, array in self.arrays.items():
                    if name != "checksum":
                        with writing(self._path):
                            array[place] = np.full(
                                (place.stop - start, *array.shape[1:]), blank(array.dtype), array.dtype
                            )
        return found

    def status(self) -> np.ndarray:
        """Return for each point whether it is missing, good or failed."""
        return self.arrays["status"] if self._zarr is None else self._known

    def put(self, start: int, outcome: Outcome) -> None:
        """Store a batch of points from `start` on; their status comes last, so that what was cut off is missing."""
        count = len(outcome.errors)
        place = slice(start, start + count)
        first = next((m for m in outcome.measures if m is not None), None)
        if first is not None and not self.time.size and not self.dims:
            self._learn(outcome)
        errors, blocks = list(outcome.errors), {}
        for name, value in (first or {}).items():
            if name not in self.arrays:
                self._create(name, value)
            array = self.arrays[name]
            block = np.full((count, *array.shape[1:]), blank(array.dtype), array.dtype)
            for i, measures in enumerate(outcome.measures):
                if measures is None or errors[i]:
                    continue
                if name not in measures or measures[name].shape != array.shape[1:]:
                    got = measures[name].shape if name in measures else "nothing"
                    errors[i] = f"measure {name!r}: got {got}, other points have {array.shape[1:]}."
                else:
                    block[i] = measures[name]
            blocks[name] = block
            with self._writing():
                array[place] = block
        text = np.zeros((count, ERROR_BYTES), np.uint8)
        for i, error in enumerate(errors):
            encoded = error.encode()[:ERROR_BYTES].decode(errors="ignore").encode()
            text[i, : len(encoded)] = np.frombuffer(encoded, np.uint8)
        status = np.where([bool(e) for e in errors], FAILED, GOOD).astype(np.uint8)
        with self._writing():
            self.arrays["error_text"][place] = text
            if self._zarr is not None:
                self.arrays["checksum"][start // self.size] = self._sum(status, text, blocks)
                self._known[place] = status
            self.arrays["status"][place] = status

    def _writing(self) -> AbstractContextManager:
        return nullcontext() if self._zarr is None else writing(self._path)

    def _learn(self, outcome: Outcome) -> None:
        self.dims = {name: list(labels) for name, labels in outcome.dims.items()}
        self.time = outcome.time
        if self._zarr is not None:
            self._note()

    def _create(self, name: str, value: np.ndarray) -> None:
        if name in self._taken:
            raise OptionError(
                f"{name!r} is a name of the dataset already: give the measure another name, or the recording, as in"
                f" record={{'x': {name!r}}}."
            )
        kind = value.dtype if value.dtype.kind in "fc" else np.dtype(float)
        shape = (self.points, *value.shape)
        if self._zarr is None:
            self.arrays[name] = np.full(shape, blank(kind), kind)
        else:
            key = store_name(name)
            # A folder has no order, and a dataset should have the same one whenever it is read.
            if name not in self._order:
                self._order.append(name)
                self._note()
            with writing(self._path):
                self.arrays[name] = self._zarr.create_array(
                    key, shape=shape, chunks=(self.size, *value.shape), dtype=kind, fill_value=blank(kind),
                    overwrite=True, dimension_names=["point", *(f"{key}_{i}" for i in range(value.ndim))],
                )  # fmt: skip

    def dataset(
        self, points: Points, attrs: Mapping[str, Any], recorded: bool, trials: bool = False
    ) -> xarray.Dataset:
        """Return everything as a labelled dataset.

        Arguments:
            points: where each row lies.
            attrs: what made it.
            recorded: whether the arrays are recordings, with time and units as their axes.
            trials: whether every point has trials, along the axis after those of the points.
        """
        import xarray

        grid = bool(points.axes)
        lead = list(points.axes) if grid else ["point"]
        coords: dict[str, Any] = dict(points.axes) if grid else {"point": np.arange(len(points))}
        for path, value in ({} if grid else points.numbers).items():
            coords[path] = (["point"] if value.ndim == 1 else ["point", f"{path}_unit"], value)
        variables: dict[str, Any] = {}
        for name in self._names():
            array = self.arrays[name]
            value = np.asarray(array[:]).reshape(*points.shape, *array.shape[1:])
            own = ["trial"] if trials else []
            rest = [f"{name}_{i}" for i in range(array.ndim - 1 - len(own))]
            if recorded:
                coords["time"], rest = self.time, ["time", f"{name}_unit"]
                if array.shape[-1] == 1:
                    value, rest = value[..., 0], ["time"]
                else:
                    coords[f"{name}_unit"] = self.dims[name]
            variables[name] = ([*lead, *own, *rest], value)
        status = self.status()
        variables["failed"] = (lead, (status != GOOD).reshape(points.shape))
        variables["error"] = (lead, np.array(self.errors(status), object).reshape(points.shape))
        return xarray.Dataset(variables, coords=coords, attrs=dict(attrs))

    def _names(self) -> list[str]:
        """Return the names of the measures in their order."""
        known = self.arrays if self._zarr is None else [name for name in self._order if name in self.arrays]
        return [name for name in known if name not in RESERVED]

    def errors(self, status: np.ndarray) -> list[str]:
        """Return for each point why it failed."""
        text = np.asarray(self.arrays["error_text"][:])
        return [
            "" if s == GOOD else "not run" if s == MISSING else bytes(row[row > 0]).decode(errors="replace")
            for s, row in zip(status, text, strict=True)
        ]
