"""The archives of this library: `.npz`, not compressed, one JSON text and plain arrays."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import numpy as np

from recurra.errors import StoreError
from recurra.files.guard import find_file, reason, refusing
from recurra.files.npy import take_array

MAX_MEMBERS = 16_384
_MAX_DIRECTORY = 8_000_000  # bytes of the list of members; a name has about a hundred
_MAX_TEXT = 32_000_000  # characters of the description: JSON unpacks to some twenty bytes for each
_END = 22  # bytes of the record at the end of an archive
_WIDE_END = 76  # and of the two records before it, where an archive is large


def read_arrays(path: str | Path, kind: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Read an archive that this library wrote: its description and its arrays.

    Never more memory than about twice the size of the file is asked for, whatever the file says.

    Arguments:
        path: the file.
        kind: what it must hold, such as `"recurra.Result"`.

    Returns:
        The description, without checks of what is in it, and the arrays by name.

    Raises:
        StoreError: no such file, or not such an archive.
    """
    file = find_file(path)
    with refusing(path, "not an archive of this library"):
        arrays = _members(file)
        text = arrays.pop("meta", None)
        if text is None:
            raise StoreError("it has no description")
        if text.dtype.kind != "U" or text.ndim or text.dtype.itemsize > 4 * _MAX_TEXT:
            raise StoreError("its description is no text, or too long")
        meta = json.loads(str(text))
    found = meta.get("kind") if isinstance(meta, dict) else None
    if found != kind:
        shown = repr(found) if isinstance(found, str) and len(found) < 60 else "something else"
        raise StoreError(f"{path}: expected a {kind}, found {shown}.")
    return meta, arrays


def check_count(path: str | Path, arrays: Collection[str]) -> None:
    """Refuse to write more arrays than are read again.

    Raises:
        StoreError: there are more.
    """
    if len(arrays) >= MAX_MEMBERS:
        raise StoreError(f"{path}: {len(arrays)} arrays are more than one file holds ({MAX_MEMBERS - 1}).")


def _members(file: Path) -> dict[str, np.ndarray]:
    size = file.stat().st_size
    arrays: dict[str, np.ndarray] = {}
    with file.open("rb") as stream:
        _check_directory(stream, size)
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_members(members, size)
            for info in members:
                with archive.open(info) as member:
                    arrays[info.filename.removesuffix(".npy")] = _array(member, info)  # type: ignore[arg-type]
    return arrays


def _array(member: BinaryIO, info: zipfile.ZipInfo) -> np.ndarray:
    try:
        return take_array(member, info.file_size)
    except Exception as error:  # say which of the members it is
        raise StoreError(f"{info.filename[:60]!r}: {reason(error).rstrip('.')}") from None


def _check_directory(stream: BinaryIO, size: int) -> None:
    """Refuse a long list of members before it is read; what ends in a comment is not ours."""
    stream.seek(max(0, size - _END - _WIDE_END))
    tail = stream.read()
    if len(tail) < _END or tail[-_END:-18] != b"PK\5\6":
        raise StoreError("it is damaged, or no archive at all")
    (length,) = struct.unpack("<I", tail[-10:-6])
    if len(tail) == _END + _WIDE_END and tail[:4] == b"PK\6\6":
        (length,) = struct.unpack("<Q", tail[40:48])
    if length > _MAX_DIRECTORY:
        raise StoreError(f"it has more than {MAX_MEMBERS} members")
    stream.seek(0)


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise StoreError(f"it has more than {MAX_MEMBERS} members")
    names = set()
    for info in members:
        if info.filename in names:
            raise StoreError(f"{info.filename[:60]!r} is in it twice")
        if not info.filename.endswith(".npy"):
            raise StoreError(f"{info.filename[:60]!r} is no array")
        # What this library writes is not compressed, so no small file can unpack to a large one.
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise StoreError("it is compressed or encrypted")
        names.add(info.filename)
    if sum(info.file_size for info in members) > size:
        raise StoreError("its members are larger than the file")
