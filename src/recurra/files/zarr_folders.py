"""A Zarr store of a stranger, looked at before the package zarr opens it."""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from recurra.errors import StoreError
from recurra.files.guard import MAX_BYTES, read_bytes, refusing

_MAX_FILES = 2_000_000
_MAX_DEPTH = 12
_MAX_META = 50_000_000
_CODECS = ("bytes", "zstd")
_ZSTD = b"\x28\xb5\x2f\xfd"


def check_zarr(path: str | Path, what: str) -> None:
    """Refuse a folder that is not made as this library makes stores, or that asks for more memory than it is large.

    Arguments:
        path: the folder.
        what: whose store it should be, for the message.

    Raises:
        StoreError: a link, something that is neither file nor folder, a description that is damaged or of other
            codecs, or a block that unpacks to another size than it should have.
    """
    root = Path(path)
    with refusing(path, f"not the store of {what}"):
        if root.is_symlink() and not root.exists():
            raise StoreError("a link that leads nowhere")
        if not root.is_dir():
            raise StoreError("not a folder")
        _walk(root)


def _walk(root: Path) -> None:
    waiting: list[tuple[str, int, int]] = [(str(root), 0, 0)]  # folder, how deep, bytes of a block of its array
    files = 0
    while waiting:
        folder, depth, block = waiting.pop()
        if depth > _MAX_DEPTH:
            raise StoreError(f"folders are nested deeper than {_MAX_DEPTH}")
        with os.scandir(folder) as entries:
            found = list(entries)
        files += len(found)
        if files > _MAX_FILES:
            raise StoreError(f"more than {_MAX_FILES} files")
        if not block and any(entry.name == "zarr.json" for entry in found):
            block = _block(Path(folder))
        for entry in found:
            if entry.is_symlink():
                raise StoreError(f"{entry.name!r} is a link, which is not followed")
            if entry.is_dir():
                waiting.append((entry.path, depth + 1, block))
            elif not entry.is_file():
                raise StoreError(f"{entry.name!r} is neither a file nor a folder")
            elif block and entry.name != "zarr.json":
                _check_block(entry, block)


def _block(folder: Path) -> int:
    """Return the bytes of a block of an array; 0 for a group."""
    with refusing(folder / "zarr.json", "damaged"):
        meta = json.loads(read_bytes(folder / "zarr.json", _MAX_META))
        if meta["zarr_format"] != 3 or meta["node_type"] not in ("group", "array"):
            raise StoreError("of another format")
        if meta["node_type"] == "group":
            return 0
        names = [codec["name"] for codec in meta["codecs"]]
        if not names or names[0] != _CODECS[0] or any(name not in _CODECS for name in names):
            raise StoreError(f"the codecs {str(names)[:60]} are not read")
        shape = [int(n) for n in meta["shape"]]
        chunk = [int(n) for n in meta["chunk_grid"]["configuration"]["chunk_shape"]]
        size = math.prod(chunk) * np.dtype(meta["data_type"]).itemsize
        if min(chunk, default=1) < 1 or min(shape, default=1) < 0 or len(chunk) != len(shape) or size > MAX_BYTES:
            raise StoreError("its shape makes no sense")
        _check_grid(meta)
        return size


def _check_grid(meta: dict[str, Any]) -> None:
    if meta["chunk_grid"]["name"] != "regular" or meta["chunk_key_encoding"]["name"] != "default":
        raise StoreError("its blocks are laid out in another way")
    if meta.get("storage_transformers", []) != []:
        raise StoreError("it has storage transformers, which are not read")


def _check_block(entry: os.DirEntry[str], block: int) -> None:
    """Refuse a block that would unpack to more than its size; whoever reads it finds out about other damage."""
    with open(entry.path, "rb") as stream:
        head = stream.read(18)
    packed = head[:4] == _ZSTD
    if entry.stat().st_size > block + block // 8 + 1000 or (packed and not 0 <= _unpacked(head) <= block):
        raise StoreError(f"the block {entry.name!r} holds more than its array has room for")


def _unpacked(head: bytes) -> int:
    """Return the size that a frame of Zstandard says it unpacks to (RFC 8878, section 3.1.1.1); -1 if it does not."""
    if len(head) < 18:
        return 0
    described = head[4]
    single, flag = described >> 5 & 1, described >> 6
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[described & 3]
    form, more = (("<B", 0) if single else (None, 0), ("<H", 256), ("<I", 0), ("<Q", 0))[flag]
    return -1 if form is None else struct.unpack_from(form, head, at)[0] + more
