"""One array in NumPy's format: a header that is checked before memory is asked for, then plain numbers."""

from __future__ import annotations

import ast
import math
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from recurra.errors import StoreError
from recurra.files.guard import find_file, refusing

_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}  # how the length of the header is written
_MAX_HEADER = 10_000
_STEP = 1 << 22


def read_array(path: str | Path) -> np.ndarray:
    """Read an array of numbers or texts from a `.npy` file.

    Raises:
        StoreError: there is no such file, or it is damaged or holds something else.
    """
    file = find_file(path)
    with refusing(path, "not an array of numbers"), file.open("rb") as stream:
        return take_array(stream, file.stat().st_size)


def take_array(stream: BinaryIO, size: int) -> np.ndarray:
    """Read an array from a stream of `size` bytes, all of which belong to it.

    Raises:
        StoreError: it is none that this library writes: objects, records, or not as many numbers as the header says.
        ValueError: the header is damaged.
    """
    shape, fortran, dtype = _header(stream)
    if dtype.kind not in "biufcUS" or dtype.subdtype or dtype.itemsize > (16 if dtype.kind in "biufc" else size):
        raise StoreError(f"arrays of type {str(dtype)[:60]} are not read")
    expected = math.prod(shape) * dtype.itemsize
    # An array without numbers may still claim any length, which what is made of it would have.
    if min(shape, default=0) < 0 or len(shape) > 32 or max(shape, default=0) > size:
        raise StoreError(f"a shape of {str(shape)[:60]} does not fit the file")
    if expected != size - stream.tell():
        raise StoreError(f"{expected} bytes are expected, the file has {size - stream.tell()}")
    flat = np.empty(math.prod(shape), dtype)
    if expected:
        raw, at = memoryview(flat.view(np.uint8)), 0  # type: ignore[arg-type]
        while at < expected:
            piece = stream.read(min(_STEP, expected - at))
            if not piece:
                raise StoreError("the file ends too early")
            raw[at : at + len(piece)] = piece
            at += len(piece)
    if dtype.kind == "U" and expected and int(flat.view(dtype.str[0] + "u4").max()) > sys.maxunicode:
        raise StoreError("it holds a text with characters that do not exist")
    found = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    # JAX knows numbers in the machine's own order only.
    return found if dtype.isnative else found.astype(dtype.newbyteorder("="))


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read shape, order and type; NumPy's own reader also takes what Python 2 has written, for which it warns."""
    version = npy.read_magic(stream)
    if version not in _LENGTHS:
        raise StoreError(f"version {version} of the format is not read")
    (length,) = struct.unpack(_LENGTHS[version], stream.read(struct.calcsize(_LENGTHS[version])))
    if length > _MAX_HEADER:
        raise StoreError(f"its header has {length} bytes")
    header = ast.literal_eval(stream.read(length).decode("latin-1").strip())
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise StoreError("its header is damaged")
    kind, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    whole = isinstance(shape, tuple) and all(type(each) is int for each in shape)
    if not isinstance(kind, str) or not isinstance(fortran, bool) or not whole:
        raise StoreError(f"arrays of type {str(kind)[:60]} and shape {str(shape)[:60]} are not read")
    return shape, fortran, np.dtype(kind)
