"""Files of NIR: HDF5 as the package `nir` reads and writes it, looked at before it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.engine.store import write_atomically
from recurra.errors import StoreError
from recurra.files import plain_hdf5, refusing
from recurra.interchange.nir_kinds import import_nir


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
    with plain_hdf5(path) as file, refusing(path, "cannot be read as a graph of NIR"):
        graph = nir.read(file.filename)
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
