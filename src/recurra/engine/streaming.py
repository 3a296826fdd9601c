"""Where the rows of a run go: into memory, or chunk by chunk into a Zarr store from which a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recurra.engine.recording import Recording
from recurra.engine.store import write_atomically
from recurra.errors import MissingPackageError, StoreError
from recurra.files import check_zarr, read_arrays, reason

BLOCK_BYTES = 4_000_000
CHECKPOINT_SECONDS = 5.0


class Rows:
    """Collect the rows of a run in memory.

    Arguments:
        recording: what is recorded.
        total: number of rows of the whole run.
    """

    def __init__(self, recording: Recording, total: int):
        self.recording, self.total, self.done = recording, total, 0
        self.state: dict[str, np.ndarray] | None = None  # where a former run of these rows stopped
        self._tracks: list[np.ndarray] = []

    def put(self, buffers: Sequence[jax.Array], rows: int) -> None:
        """Take the first rows of what a chunk recorded, one buffer `(..., rows, units)` for each track."""
        self._tracks = self._tracks or [_room(buffer, self.total) for buffer in buffers]
        for track, buffer in zip(self._tracks, buffers, strict=True):
            track[..., self.done : self.done + rows, :] = np.asarray(buffer)[..., :rows, :]
        self.done += rows

    def checkpoint(self, state: Mapping[str, Any], due: bool = False) -> None:
        """Keep the state after the last row, where rows are kept beyond the process; at once if it is due."""

    def data(self, rows: int) -> dict[str, Any]:
        """Return the first rows by name."""
        tracks = self._tracks or [np.zeros((0, len(units))) for units in self.recording.units]
        return self.recording.named([t if t.shape[-2] == rows else t[..., :rows, :].copy() for t in tracks])


class StoredRows(Rows):
    """Collect the rows of a run in a Zarr store, in bounded memory, with checkpoints.

    Only whole blocks are written. The rows of a block that is not full are kept here and in the checkpoint, so nothing
    that a checkpoint relies on is ever written a second time; what came after the checkpoint is computed again.

    Arguments:
        recording, total: as for :class:`Rows`.
        path: folder of the store; the checkpoint lies beside it.
        mark: what the run is, so that no other run goes on in its store.

    Raises:
        StoreError: the store belongs to another run, or is no store.
        MissingPackageError: zarr is not installed.
    """

    def __init__(self, recording: Recording, total: int, path: str | Path, mark: str):
        super().__init__(recording, total)
        self._path, self._mark = Path(path), mark
        self._group = open_group(self._path, "a run", mark)
        self._block: dict[str, np.ndarray] = {}
        self._saved = time.monotonic()
        if self._checkpoint.exists():
            self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self._path.with_name(f"{self._path.name}.checkpoint.npz")

    def _resume(self) -> None:
        meta, arrays = read_arrays(self._checkpoint, "recurra.Checkpoint")
        if meta.get("mark") != self._mark:
            raise StoreError(f"{self._checkpoint}: belongs to another run; delete it, or choose another store=.")
        self.done = int(meta["done"])
        parts: dict[str, dict[str, np.ndarray]] = {"state": {}, "block": {}}
        for key, value in arrays.items():
            kind, _, name = key.partition(":")
            parts[kind][name] = value
        self.state, self._block = parts["state"], parts["block"]

    def put(self, buffers: Sequence[jax.Array], rows: int) -> None:
        """Take the first rows of what a chunk recorded, one buffer `(..., rows, units)` for each track."""
        named = self.recording.named([np.asarray(buffer)[..., :rows, :] for buffer in buffers])
        if not self._block:
            self._create(named)
        length, taken = next((b.shape[-2] for b in self._block.values()), self.total), 0
        while taken < rows:
            inside = self.done % length
            part = min(rows - taken, length - inside)
            for name, block in self._block.items():
                block[..., inside : inside + part, :] = named[name][..., taken : taken + part, :]
            self.done, taken = self.done + part, taken + part
            if self.done % length == 0:
                self._write()

    def _create(self, named: Mapping[str, np.ndarray]) -> None:
        width = sum(v[..., :1, :].nbytes for v in named.values())
        length = int(np.clip(BLOCK_BYTES // max(width, 1), 1, max(self.total, 1)))
        blocks = -(-self.total // length)
        for name, value in named.items():
            *lead, _, units = value.shape
            self._block[name] = _room(value, length)
            self._group.create_array(
                store_name(name), shape=(*lead, blocks * length, units), chunks=(*lead, length, units),
                dtype=value.dtype, compressors=None, overwrite=True,
                dimension_names=[*(["batch"] if lead else []), "time", f"{store_name(name)}_unit"],
                attributes={"units": self.recording.labels[name]},
            )  # fmt: skip

    def _write(self) -> None:
        """Write the block that holds the last row, as a whole."""
        for name, block in self._block.items():
            length = block.shape[-2]
            start = (self.done - 1) // length * length
            self._group[store_name(name)][..., start : start + length, :] = block

    def checkpoint(self, state: Mapping[str, Any], due: bool = False) -> None:
        """Keep the state after the last row, every few seconds, at the end, and where it is due."""
        if not due and self.done < self.total and time.monotonic() - self._saved < CHECKPOINT_SECONDS:
            return
        meta = json.dumps({"kind": "recurra.Checkpoint", "mark": self._mark, "done": self.done})
        arrays: dict[str, Any] = {f"state:{k}": np.asarray(v) for k, v in state.items()}
        arrays |= {f"block:{name}": block for name, block in self._block.items()}
        write_atomically(self._checkpoint, lambda file: np.savez(file, meta=np.array(meta), **arrays))
        self._saved = time.monotonic()

    def data(self, rows: int) -> dict[str, Any]:
        """Return the first rows by name, as arrays on disk that are read when they are asked for."""
        if self._block and self.done:
            self._write()
        return {name: StoredArray(self._group[store_name(name)], rows) for name in self._block}


class StoredArray:
    """An array on disk, of which the first rows count; NumPy's functions read it.

    Arguments:
        array: of zarr, `(..., rows, units)`.
        rows: how many rows count.
    """

    def __init__(self, array: Any, rows: int):
        self._array, self._rows = array, rows
        self.shape = (*array.shape[:-2], rows, array.shape[-1])
        self.ndim, self.dtype = array.ndim, array.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice) and self.ndim == 2:  # rows: only these are read
            start, stop, step = index.indices(self._rows)
            return np.asarray(self._array[start:stop])[::step] if step > 0 else np.asarray(self)[index]
        return np.asarray(self)[index]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = np.asarray(self._array[..., : self._rows, :])
        return found if dtype is None else found.astype(dtype)


def store_name(name: str) -> str:
    """Return a name for a Zarr store, where a slash would be a folder."""
    return name.replace("/", "|")


def open_group(path: Path, what: str, mark: str) -> Any:
    """Open or make a Zarr group that belongs to one run or sweep.

    Arguments:
        path: its folder.
        what: `"a run"` or `"a sweep"`.
        mark: what tells it from others.

    Raises:
        StoreError: the folder holds something else, or cannot be made.
        MissingPackageError: zarr is not installed.
    """
    try:
        import zarr
    except ImportError:
        raise MissingPackageError("store: it needs zarr: pip install 'recurra[store]'.") from None
    if not path.parent.is_dir():
        raise StoreError(f"store: there is no folder {str(path.parent)!r}; make it first.")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        try:
            return zarr.open_group(path, mode="w", attributes={"recurra": what, "mark": mark})
        except OSError as error:
            raise StoreError(f"{path}: cannot write there ({error.strerror}).") from None
    try:
        check_zarr(path, what)
        group = zarr.open_group(path, mode="r+")
        known = group.attrs.get("recurra"), group.attrs.get("mark")
    except StoreError:
        raise
    except Exception as error:  # whatever zarr makes of a foreign folder
        raise StoreError(f"{path}: not the store of {what} ({reason(error)}).") from None
    if known != (what, mark):
        raise StoreError(
            f"{path}: it is the store of something else (another model, other numbers, options, duration or points):"
            " choose another store=, or delete this one."
        )
    return group


def fingerprint(*values: Any) -> str:
    """Return a text that differs where values do: numbers, texts, arrays, and mappings and sequences of them.

    >>> fingerprint({"a": 1.0}, "b") == fingerprint({"a": 1.0}, "b"), fingerprint(1) == fingerprint(2)
    (True, False)
    """
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Mapping):
            digest.update(b"{")
            for key in sorted(value, key=str):
                digest.update(f"{key}:".encode())
                add(value[key])
        elif isinstance(value, np.ndarray | jax.Array):
            array = np.asarray(value)
            digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        elif isinstance(value, list | tuple):
            digest.update(f"[{len(value)}".encode())
            for each in value:
                add(each)
        else:
            digest.update(f"{value!r};".encode())

    add(values)
    return digest.hexdigest()


def _room(buffer: np.ndarray | jax.Array, rows: int) -> np.ndarray:
    """Make room for rows of what a chunk records."""
    return np.empty((*buffer.shape[:-2], rows, buffer.shape[-1]), buffer.dtype)
