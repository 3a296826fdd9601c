"""Files of NIR: HDF5 as the package `nir` reads and writes it, looked at before it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.engine.store import write_atomically
from recurra.errors import StoreError
from recurra.interchange.nir_kinds import import_nir

MAX_BYTES = 2_000_000_000
MAX_ITEMS = 200_000
MAX_DEPTH = 64


def read_graph(path: str | Path) -> Any:
    """Read a graph of NIR from a file.

    Arguments:
        path: the file.

    Returns:
        A `nir.NIRGraph`.

    Raises:
        StoreError: there is no such file, it holds no graph of NIR, refers to other files, or is larger than 2 GB.
        CapabilityError: nir is not installed.
    """
    nir = import_nir()
    try:
        _look(Path(path))
        graph = nir.read(path)
    except StoreError:
        raise
    except Exception as error:  # the file may hold anything; HDF5 and nir report that in many ways
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(f"{path}: cannot be read as a graph of NIR ({reason}).") from None
    if not isinstance(graph, nir.NIRGraph):
        raise StoreError(f"{path}: holds a single NIR node of type {type(graph).__name__}, expected a graph.")
    return graph


def write_graph(graph: Any, path: str | Path) -> None:
    """Write a graph of NIR to a file; nothing half-written is left.

    Arguments:
        graph: a `nir.NIRGraph`.
        path: the file.

    Raises:
        StoreError: it cannot be written there.
    """
    nir = import_nir()
    write_atomically(path, lambda file: nir.write(file, graph))


def _look(path: Path) -> None:
    """Refuse what would read other files, go round in circles or not fit into memory."""
    import h5py

    if not path.is_file():
        raise StoreError(f"{path}: there is no such file.")
    with h5py.File(path, "r") as file:
        waiting: list[tuple[Any, int]] = [(file, 0)]
        total = items = 0
        while waiting:
            group, depth = waiting.pop()
            if depth > MAX_DEPTH:
                raise StoreError(f"{path}: groups are nested deeper than {MAX_DEPTH}.")
            for name in group:
                items += 1
                if not isinstance(group.get(name, getlink=True), h5py.HardLink) or items > MAX_ITEMS:
                    raise StoreError(f"{path}: {name!r} is a link, or there are more than {MAX_ITEMS} entries.")
                entry = group[name]
                if isinstance(entry, h5py.Group):
                    waiting.append((entry, depth + 1))
                    continue
                if entry.external or entry.is_virtual:
                    raise StoreError(f"{path}: {name!r} lies in another file.")
                total += entry.size * max(entry.dtype.itemsize, 1) if entry.size else 0
                if total > MAX_BYTES:
                    raise StoreError(f"{path}: holds more than {MAX_BYTES // 10**9} GB of numbers.")
