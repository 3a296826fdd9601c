"""Where the rows of a run go: into memory, or chunk by chunk into a Zarr store from which a killed run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recurra.engine.identity import Identity, differences, listed
from recurra.engine.locks import Lock
from recurra.engine.recording import Recording
from recurra.engine.store import write_atomically
from recurra.errors import MissingPackageError, StoreError
from recurra.files import check_zarr, path_of, read_arrays, reason

BLOCK_BYTES = 4_000_000
CHECKPOINT_SECONDS = 5.0
KIND = "recurra.Checkpoint"
OTHERWISE = "Choose another store=, or delete this one (and its checkpoint, if it has one)."


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
    """Collect the rows of a run in a Zarr store, in bounded memory, with checkpoints; a context that holds its lock.

    Only whole blocks are written. The rows of a block that is not full are kept here and in the checkpoint, so nothing
    that a checkpoint relies on is ever written a second time; what came after the checkpoint is computed again. The
    checkpoint also holds a checksum of every block, since of a chunk that is lost Zarr would make zeros.

    Arguments:
        recording, total: as for :class:`Rows`.
        path: folder of the store; the checkpoint lies beside it.
        identity: what the run is, so that no other run goes on in its store.
        start: the state in which the run starts.
        lead: names of the axes before that of time.

    Raises:
        StoreError: the store belongs to another run, is being written, damaged or no store, or a half of it is missing.
        MissingPackageError: zarr is not installed.
    """

    def __init__(
        self,
        recording: Recording,
        total: int,
        path: str | Path,
        identity: Identity,
        start: Mapping[str, Any],
        lead: tuple[str, ...] = (),
    ):
        super().__init__(recording, total)
        self._start, self._lead = start, lead
        self._path, self._identity = find_place(path), identity
        self._block: dict[str, np.ndarray] = {}
        self._arrays: dict[str, Any] = {}
        self._sums: dict[str, list[int]] = {}  # of the whole blocks, by name
        self._saved = time.monotonic()
        self._lock = self._take()
        try:
            self._resume()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StoredRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other calls use the store."""
        if self._lock is not None:
            self._lock.close()

    @property
    def _checkpoint(self) -> Path:
        return self._path.with_name(f"{self._path.name}.checkpoint.npz")

    def _take(self) -> Lock | None:
        """Lock the store; what is complete is not written any more, and may be read by many."""
        try:
            return Lock(self._path)
        except StoreError:
            with contextlib.suppress(StoreError):
                if int(read_arrays(self._checkpoint, KIND)[0]["done"]) == self.total:
                    return None
            raise

    def _resume(self) -> None:
        """Go on from the checkpoint, or begin; the checkpoint comes first, and says that there is to be a store."""
        if self._lock is not None:
            clean(self._path)
        if not self._checkpoint.exists():
            if is_used(self._path):
                open_group(self._path, "a run", self._identity)
                raise StoreError(
                    f"{self._path}: its checkpoint {self._checkpoint.name} is missing, without which nobody knows what"
                    f" of it is whole: put it back beside it, or delete {self._path} and make the call again."
                )
            self._save({})
            self._group = make_group(self._path, "a run", self._identity)
            return
        meta, arrays = self._read_checkpoint()
        check_identity(self._path, meta.get("identity"), self._identity)
        self.done, self._sums = meta["done"], meta["sums"]
        if self.done == 0:  # nothing of the store is needed, and a kill may have come while it was made
            check_ours(self._path, "a run", self._identity)
            self._group = make_group(self._path, "a run", self._identity)
            return
        if not is_used(self._path):
            raise StoreError(
                f"{self._path}: there is its checkpoint {self._checkpoint.name}, but not the store: put it back, or"
                " delete the checkpoint and make the call again."
            )
        self._group = open_group(self._path, "a run", self._identity)
        parts = {kind: _named(kind, arrays) for kind in ("state", "block")}
        self.state, self._block = parts["state"], parts["block"]
        if not self._is_complete(len(arrays)):
            raise StoreError(f"{self._checkpoint}: not a complete checkpoint. {self._afresh}")
        for name, block in self._block.items():
            self._arrays[name] = self._open(name, block)

    def _is_complete(self, count: int) -> bool:
        """Tell whether the checkpoint has what belongs to it, and nothing else."""
        state, block = self.state or {}, self._block
        if not 0 < self.done <= self.total or len(state) + len(block) != count or set(self._sums) != set(block):
            return False
        start = {k: np.asarray(v) for k, v in self._start.items()}
        if state.keys() != start.keys() or not all(_is_like(state[k], v) for k, v in start.items()):
            return False
        whole = {self.done // b.shape[-2] for b in block.values() if b.ndim > 1 and b.shape[-2]}
        lengths = {len(sums) for sums in self._sums.values()}
        more = {n + 1 for n in whole} if self.done == self.total else set()
        return all(b.ndim > 1 and b.shape[-2] for b in block.values()) and lengths <= whole | more

    def _read_checkpoint(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        try:
            meta, arrays = read_arrays(self._checkpoint, KIND)
            sums = {name: [int(n) for n in sums] for name, sums in meta["sums"].items()}
            return meta | {"done": int(meta["done"]), "sums": sums}, arrays
        except (StoreError, KeyError, TypeError, ValueError, AttributeError) as error:
            said = (
                str(error)
                if isinstance(error, StoreError)
                else f"{self._checkpoint}: not a complete checkpoint ({error})."
            )
            raise StoreError(f"{said} {self._afresh}") from None

    def _open(self, name: str, block: np.ndarray) -> Any:
        """Return an array of the store."""
        try:
            found = self._group[store_name(name)]
            shape = (*block.shape[:-2], self.total, block.shape[-1])
            fits = (found.shape, found.chunks, found.dtype) == (shape, block.shape, block.dtype)
        except Exception as error:  # whatever zarr makes of a file that is lost or damaged
            raise StoreError(f"{self._path}: {name!r} cannot be read ({error}). {self._afresh}") from None
        if not fits:
            raise StoreError(f"{self._path}: {name!r} is not the array that was written there. {self._afresh}")
        return found

    @property
    def _afresh(self) -> str:
        return f"To run it again from the beginning, delete {self._path} and {self._checkpoint.name}."

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
                for name, found in self._write().items():
                    self._sums.setdefault(name, []).append(found)

    def _create(self, named: Mapping[str, np.ndarray]) -> None:
        width = sum(v[..., :1, :].nbytes for v in named.values())
        length = int(np.clip(BLOCK_BYTES // max(width, 1), 1, max(self.total, 1)))
        for name, value in named.items():
            *lead, _, units = value.shape
            self._block[name], self._sums[name] = _room(value, length), []
            with writing(self._path):
                self._arrays[name] = self._group.create_array(
                    store_name(name), shape=(*lead, self.total, units), chunks=(*lead, length, units),
                    dtype=value.dtype, compressors=None, overwrite=True, fill_value=blank(value.dtype),
                    config={"write_empty_chunks": True},  # looking for empty ones takes longer than writing
                    dimension_names=[*self._lead, "time", f"{store_name(name)}_unit"],
                    attributes={"units": self.recording.labels[name]},
                )  # fmt: skip

    def _write(self) -> dict[str, int]:
        """Write the block that holds the last row; return the checksum of its rows, for each name."""
        sums = {}
        for name, block in self._block.items():
            length = block.shape[-2]
            start = (self.done - 1) // length * length
            rows = block[..., : self.done - start, :]
            with writing(self._path):
                self._arrays[name][..., start : self.done, :] = rows
            sums[name] = checksum(rows)
        return sums

    def checkpoint(self, state: Mapping[str, Any], due: bool = False) -> None:
        """Keep the state after the last row, every few seconds, at the end, and where it is due."""
        if self.done == self.total:
            self._sums = self._all_sums()
        elif not due and time.monotonic() - self._saved < CHECKPOINT_SECONDS:
            return
        self._save(state)

    def _save(self, state: Mapping[str, Any]) -> None:
        meta = json.dumps({"kind": KIND, "identity": self._identity, "done": self.done, "sums": self._sums})
        arrays: dict[str, Any] = {f"state:{k}": np.asarray(v) for k, v in state.items()}
        arrays |= {f"block:{name}": block for name, block in self._block.items()}
        write_atomically(self._checkpoint, lambda file: np.savez(file, meta=np.array(meta), **arrays))
        self._saved = time.monotonic()

    def _all_sums(self) -> dict[str, list[int]]:
        """Return the checksums of all blocks; the last is written if it is not full, and is not yet there."""
        if all(len(self._sums[name]) * block.shape[-2] >= self.done for name, block in self._block.items()):
            return self._sums
        last = self._write()
        return {name: [*sums, last[name]] for name, sums in self._sums.items()}

    def data(self, rows: int) -> dict[str, Any]:
        """Return the first rows by name, as arrays on disk that are read when they are asked for."""
        found = self._all_sums()
        return {
            name: StoredArray(
                array, rows, _Sums(self._path, name, array.chunks[-2], found[name], self.done, self._afresh)
            )
            for name, array in self._arrays.items()
        }


@dataclass(frozen=True)
class _Sums:
    """Know the checksums of the blocks of an array.

    Arguments:
        path, name: the store, and the array in it.
        length: rows of a block.
        sums: of every block.
        rows: how many rows there are in all; the last block may be shorter.
        cure: what to do about a damage.
    """

    path: Path
    name: str
    length: int
    sums: list[int]
    rows: int
    cure: str

    def read(self, array: Any, block: int) -> np.ndarray:
        """Return the rows of a block.

        Raises:
            StoreError: they are not what was written.
        """
        start, stop = block * self.length, min((block + 1) * self.length, self.rows)
        try:
            found = np.asarray(array[..., start:stop, :])
            fine = checksum(found) == self.sums[block]
        except Exception as error:  # whatever zarr makes of a file that is lost or damaged
            fine, why = False, f" ({error})"
        else:
            why = ""
        if not fine:
            raise StoreError(
                f"{self.path}: rows {start} to {stop - 1} of {self.name!r} are lost or damaged, or were written again"
                f" since they were asked for{why}. {self.cure}"
            )
        return found


class StoredArray:
    """An array on disk, of which the first rows count; NumPy's functions read it, and what they read is checked.

    Arguments:
        array: of zarr, `(..., rows, units)`.
        rows: how many rows count.
        sums: the checksums of its blocks.
    """

    def __init__(self, array: Any, rows: int, sums: _Sums):
        self._array, self._rows, self._sums = array, rows, sums
        self.shape = (*array.shape[:-2], rows, array.shape[-1])
        self.ndim, self.dtype = array.ndim, array.dtype

    def _part(self, start: int, stop: int) -> np.ndarray:
        length = self._sums.length
        found = np.empty((*self.shape[:-2], max(0, stop - start), self.shape[-1]), self.dtype)
        for block in range(start // length, -(-stop // length) if stop > start else 0):
            first = block * length
            low, high = max(start, first), min(stop, first + length)
            rows = self._sums.read(self._array, block)
            found[..., low - start : high - start, :] = rows[..., low - first : high - first, :]
        return found

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice) and self.ndim == 2:  # rows: only these are read
            start, stop, step = index.indices(self._rows)
            return self._part(start, stop)[::step] if step > 0 else np.asarray(self)[index]
        return np.asarray(self)[index]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self._part(0, self._rows)
        return found if dtype is None else found.astype(dtype)


def store_name(name: str) -> str:
    """Return a name for a Zarr store, where a slash would be a folder."""
    return name.replace("/", "|")


def _is_like(found: np.ndarray, value: np.ndarray) -> bool:
    """Tell whether an array may be a later value, of one run or of a batch."""
    return found.dtype.kind == value.dtype.kind and found.shape[max(0, found.ndim - value.ndim) :] == value.shape


def _named(kind: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a kind by name."""
    return {key.partition(":")[2]: value for key, value in arrays.items() if key.startswith(f"{kind}:")}


def blank(kind: np.dtype) -> Any:
    """Return what stands where nothing was written: no number, if there is such a value."""
    return complex(np.nan, np.nan) if kind.kind == "c" else float("nan") if kind.kind == "f" else kind.type(0)


def checksum(values: np.ndarray, before: int = 0) -> int:
    """Return the checksum of the bytes of an array (CRC-32), going on from that of what comes before."""
    return zlib.crc32(np.ascontiguousarray(values).view(np.uint8).data, before) if values.size else before


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a full or lost disk makes of a write into an error of this library."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot write there ({error.strerror or error}). What was written before is kept: make room, and"
            " make the same call again."
        ) from None


def is_used(path: Path) -> bool:
    """Tell whether there is something."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def find_place(store: Any) -> Path:
    """Return the path of a store that may be written; of a link, where it leads to.

    Raises:
        StoreError: it is no path, the folder that is to hold it does not exist, or no folder can have such a name.
        MissingPackageError: zarr is not installed.

    >>> find_place("a.zarr").name
    'a.zarr'
    """
    try:
        path = path_of(store)
    except StoreError as error:
        raise StoreError(f"store: {error} Name another place.") from None
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise MissingPackageError("store: it needs zarr: pip install 'recurra[store]'.") from None
    try:
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path.with_name(f"{path.name}.checkpoint.npz"))
        found = path.parent.is_dir()
    except (OSError, ValueError) as error:
        raise StoreError(f"store: {str(store)!r} cannot be the folder of a store ({error}); name another.") from None
    if not found:
        raise StoreError(f"store: there is no folder {str(path.parent)!r}; make it first.")
    return path


def check_ours(path: Path, what: str, identity: Identity) -> None:
    """Refuse a folder that is no store of this run; it may be half made.

    Raises:
        StoreError: it holds something else.
    """
    if is_used(path) and not is_half_made(path):
        open_group(path, what, identity)


def is_half_made(path: Path) -> bool:
    """Tell whether a folder holds nothing but what Zarr leaves of a file when it is killed."""
    return path.is_dir() and all(p.name.endswith(".partial") for p in path.iterdir())


def clean(path: Path) -> None:
    """Remove what a killed process left half-written inside of a store, whose lock is held."""
    if (path / "zarr.json").is_file():
        for part in path.rglob("*.partial"):
            part.unlink(missing_ok=True)


def make_group(path: Path, what: str, identity: Identity) -> Any:
    """Make a Zarr group that belongs to one run or sweep; what there was is deleted."""
    import zarr

    with writing(path):
        return zarr.open_group(path, mode="w", attributes={"recurra": what, "identity": identity})


def check_identity(path: Path, told: Any, identity: Identity) -> None:
    """Refuse what was kept of something else, and say what differs.

    Raises:
        StoreError: it is of something else.
    """
    if told != identity:
        before = {str(k): str(v) for k, v in told.items()} if isinstance(told, dict) else {}
        parts = differences(before, identity)
        own = any(part.startswith("the measure: the ") for part in parts)
        hint = " If the measure itself changes what it reads, name it: measure_id='...'." if own else ""
        raise StoreError(f"{path}: it is the store of something else; what differs: {listed(parts)}. {OTHERWISE}{hint}")


def open_group(path: Path, what: str, identity: Identity) -> Any:
    """Open a Zarr group that belongs to one run or sweep.

    Arguments:
        path: its folder.
        what: `"a run"` or `"a sweep"`.
        identity: what tells it from others.

    Raises:
        StoreError: the folder holds something else.
    """
    import zarr

    try:
        check_zarr(path, what)
        group = zarr.open_group(path, mode="r+")
        kind, told = group.attrs.get("recurra"), group.attrs.get("identity")
    except StoreError as error:
        raise StoreError(f"{error} {OTHERWISE}") from None
    except Exception as error:  # whatever zarr makes of a foreign folder
        raise StoreError(f"{path}: not the store of {what}, or a damaged one ({reason(error)}). {OTHERWISE}") from None
    if kind != what:
        raise StoreError(f"{path}: it is the store of something else ({kind or 'not of Recurra'}). {OTHERWISE}")
    check_identity(path, told, identity)
    return group


def _room(buffer: np.ndarray | jax.Array, rows: int) -> np.ndarray:
    """Make room for rows of what a chunk records."""
    return np.empty((*buffer.shape[:-2], rows, buffer.shape[-1]), buffer.dtype)
