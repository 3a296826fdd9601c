"""Look at an HDF5 file of somebody else before anything reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.errors import StoreError

MAX_BYTES = 2_000_000_000
MAX_ITEMS = 200_000
MAX_DEPTH = 64


def check_hdf5(path: str | Path, soft_links: bool = False) -> None:
    """Refuse a file that would read other files, goes round in circles or would not fit into memory.

    Arguments:
        path: the file.
        soft_links: whether links inside the file are allowed.

    Raises:
        StoreError: there is no such file, it is no HDF5, or it is refused.
    """
    path = Path(path)
    if not _is_file(path):
        raise StoreError(f"{path}: there is no such file.")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            _walk(file, path, (h5py.HardLink, h5py.SoftLink) if soft_links else (h5py.HardLink,))
    except StoreError:
        raise
    except Exception as error:  # h5py reports broken files by errors of many kinds
        raise StoreError(f"{path}: cannot be read as HDF5 ({reason(error)}).") from None


def reason(error: Exception) -> str:
    """Return the first line of an error's text, or its kind."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _walk(file: Any, path: Path, allowed: tuple[type, ...]) -> None:
    import h5py

    waiting: list[tuple[Any, int]] = [(file, 0)]
    total = items = 0
    while waiting:
        group, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise StoreError(f"{path}: groups are nested deeper than {MAX_DEPTH}.")
        for name in group:
            items += 1
            link = group.get(name, getlink=True)
            if not isinstance(link, allowed):
                raise StoreError(f"{path}: {name!r} is a link, which is not followed.")
            if items > MAX_ITEMS:
                raise StoreError(f"{path}: has more than {MAX_ITEMS} entries.")
            if not isinstance(link, h5py.HardLink):
                continue
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append((entry, depth + 1))
                continue
            if not isinstance(entry, h5py.Dataset):
                continue
            if entry.external or entry.is_virtual:
                raise StoreError(f"{path}: {name!r} lies in another file.")
            total += int(entry.size or 0) * max(entry.dtype.itemsize, 1)
            if total > MAX_BYTES:
                raise StoreError(f"{path}: holds more than {MAX_BYTES // 10**9} GB of numbers.")
