"""HDF5 (and so netCDF, NIR and NWB) of strangers: copied by a child process with limits, and only the copy is read.

The library that reads HDF5 is compiled code; of ten thousand damaged files some twenty keep it busy for ever, and one
or two kill the process. What a file may do beyond that, name other files or claim a thousand times its own size, is
refused by the child, which writes plain data into a fresh file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recurra.errors import StoreError, cut
from recurra.files import hdf5_copy
from recurra.files.guard import MAX_BYTES, allowance, find_file

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SECONDS, _PER_SECOND = 5, 20_000_000  # of the processor: at least, and bytes for each further one
_PATIENCE = 20  # how much longer it may take on a busy machine
_MEMORY = 1_000_000_000  # beside what is copied


@contextmanager
def plain_hdf5(path: str | Path, *, soft_links: bool = False) -> Iterator[Any]:
    """Open a copy of an HDF5 file that holds nothing but groups, plain arrays and attributes.

    Arguments:
        path: the file.
        soft_links: whether links inside the file are allowed.

    Yields:
        An `h5py.File`; it is gone afterwards.

    Raises:
        StoreError: there is no such file, it is no HDF5, or it would read other files, goes round in circles, does
            not fit into memory, or takes the reader for ever.
    """
    file = find_file(path)
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise StoreError(f"{path}: larger than {MAX_BYTES // 10**9} GB, which is more than is read.")
    if not _is_hdf5(file, size):
        raise StoreError(f"{path}: cannot be read as HDF5 (it does not begin like one).")
    import h5py

    try:
        temporary = tempfile.TemporaryDirectory(prefix="recurra-")
    except OSError as error:
        raise StoreError(f"{path}: there is no room for a copy of it in {tempfile.gettempdir()} ({error}).") from None
    with temporary as folder:
        copy = Path(folder) / "copy.h5"
        _copy(file, copy, size, soft_links, path)
        with h5py.File(copy, "r") as opened:
            yield opened


def _is_hdf5(file: Path, size: int) -> bool:
    """Look for the signature where it may stand: at the start, or behind a block of the user's."""
    with file.open("rb") as stream:
        at = 0
        while at < size:
            stream.seek(at)
            if stream.read(8) == _SIGNATURE:
                return True
            at = max(512, 2 * at)
    return False


def _copy(file: Path, copy: Path, size: int, soft_links: bool, path: str | Path) -> None:
    """Let a child process make the copy, or say why it did not."""
    if not sys.executable:
        raise StoreError(f"{path}: HDF5 is read by a second process of Python, and sys.executable does not name one.")
    seconds = _SECONDS + size // _PER_SECOND
    order = {
        "source": str(file.absolute()), "target": str(copy), "soft_links": soft_links, "bytes": allowance(size),
        "memory": _MEMORY + 2 * allowance(size), "seconds": seconds, "path": [p for p in sys.path if p],
    }  # fmt: skip
    # Threads of linear algebra, which a child has no use for, cost memory; plug-ins are code.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PATH": "::"}
    environment.pop("HDF5_PLUGIN_PRELOAD", None)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", hdf5_copy.__file__], input=json.dumps(order).encode(), env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_PATIENCE * seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StoreError(f"{path}: cannot be read as HDF5 (gave up after {_PATIENCE * seconds} s).") from None
    except OSError as error:
        raise StoreError(f"{path}: a second process, which reads HDF5, cannot be started ({error}).") from None
    if done.returncode in (-getattr(signal, "SIGXCPU", 24), -signal.SIGKILL):
        raise StoreError(f"{path}: cannot be read as HDF5 (it keeps the reader busy for more than {seconds} s).")
    if done.returncode:
        raise StoreError(f"{path}: cannot be read as HDF5 (it is damaged so that its reader crashes).")
    told = done.stdout.decode(errors="replace").strip()
    if told != "done":
        raise StoreError(f"{path}: {cut(told, 300)}")
