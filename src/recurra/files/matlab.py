"""Arrays of numbers and texts in `.mat` files of MATLAB, version 5 to 7, without any other reader.

The format is described in MathWorks' "MAT-File Format" (2019). The usual reader, scipy's, is compiled code that a
damaged file of 3 kB kills together with the process. This one is a few slices of bytes, each within its bounds.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from recurra.errors import StoreError
from recurra.files.guard import MAX_BYTES, allowance, read_bytes, refusing

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_OTHER = {1: "a cell array", 2: "a struct", 3: "an object", 5: "sparse", 16: "a function", 17: "an object"}
_MATRIX, _COMPRESSED, _CHAR = 14, 15, 4
_COMPLEX, _LOGICAL = 0x08, 0x02
_HEAD = 4096  # bytes of a variable that surely hold its name
_MAX_VARIABLES = 10_000
_MAX_DIMENSIONS = 32


def read_matlab(path: str | Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read some variables of a `.mat` file.

    Arguments:
        path: the file.
        names: of the variables that are wanted; others are passed over.

    Returns:
        The wanted variables that are there, numbers in the type that MATLAB shows and texts as arrays of one text for
        each row; and the names of all variables.

    Raises:
        StoreError: there is no such file, it is damaged or of another format, or one of the variables is no array of
            numbers or text.
    """
    data = read_bytes(path, MAX_BYTES)
    with refusing(path, "not a readable .mat file"):
        return _File(data, names).read()


class _File:
    def __init__(self, data: bytes, names: Collection[str]):
        self.data, self.names = memoryview(data), names
        self.left = allowance(len(data))
        self.order = _order(data)

    def read(self) -> tuple[dict[str, np.ndarray], list[str]]:
        found: dict[str, np.ndarray] = {}
        known: list[str] = []
        at = 128
        while at + 8 <= len(self.data):
            kind, length = struct.unpack_from(f"{self.order}II", self.data, at)
            body = self.data[at + 8 : at + 8 + length]
            if len(body) < length:
                raise StoreError("the file ends too early")
            at += 8 + length
            if len(known) >= _MAX_VARIABLES:
                raise StoreError(f"it has more than {_MAX_VARIABLES} variables")
            if kind == _COMPRESSED:
                variable = self.unpacked(body)
            elif kind == _MATRIX:
                variable = _Variable(body, self.order)
                at += -length % 8
            else:
                raise StoreError(f"a variable was expected, found an element of kind {kind}")
            known.append(variable.name)
            if variable.name in self.names:
                if variable.name in found:
                    raise StoreError(f"the variable {variable.name!r} is in it twice")
                found[variable.name] = variable.value()
        return found, known

    def unpacked(self, body: memoryview) -> _Variable:
        """Unpack a variable, if it is wanted as a whole, else as far as its name."""
        head = zlib.decompressobj().decompress(body, _HEAD)
        kind, length = struct.unpack_from(f"{self.order}II", head) if len(head) >= 8 else (0, 0)
        if kind != _MATRIX:
            raise StoreError(f"a variable was expected, found an element of kind {kind}")
        variable = _Variable(memoryview(head)[8:], self.order)
        if variable.name not in self.names or length + 8 <= len(head):
            return variable
        self.left -= length
        if self.left < 0:
            raise StoreError(f"the variable {variable.name!r} would unpack to {length / 1e6:.0f} MB")
        whole = zlib.decompressobj().decompress(body, length + 8)
        if len(whole) < length + 8:
            raise StoreError(f"the variable {variable.name!r} ends too early")
        return _Variable(memoryview(whole)[8:], self.order)


class _Variable:
    """Hold one variable: what it is, and the elements of its values, which are read when they are asked for."""

    def __init__(self, data: memoryview, order: str):
        self.data, self.order, self.at = data, order, 0
        flags = self.element()[1]
        if len(flags) < 4:
            raise StoreError("a variable is damaged")
        (word,) = struct.unpack_from(f"{order}I", flags)
        self.kind, self.flags = word & 0xFF, word >> 8 & 0xFF
        if self.kind == 17:  # objects have no shape, and their name comes first
            self.shape: tuple[int, ...] = ()
        else:
            shape = self.element()[1]
            if len(shape) > 4 * _MAX_DIMENSIONS or len(shape) % 4:
                raise StoreError("the shape of a variable is damaged")
            self.shape = tuple(struct.unpack(f"{order}{len(shape) // 4}i", shape))
        name = bytes(self.element()[1])
        if len(name) > 256:
            raise StoreError("the name of a variable is damaged")
        self.name = name.decode("latin-1")

    def element(self) -> tuple[int, memoryview]:
        """Return the kind and the bytes of the next element."""
        if self.at + 8 > len(self.data):
            raise StoreError("the file ends too early")
        (word,) = struct.unpack_from(f"{self.order}I", self.data, self.at)
        if word >> 16:  # up to four bytes stand where the length would be
            kind, length, start, step = word & 0xFFFF, word >> 16, self.at + 4, 8
            if length > 4:
                raise StoreError("an element is damaged")
        else:
            kind = word
            (length,) = struct.unpack_from(f"{self.order}I", self.data, self.at + 4)
            start, step = self.at + 8, 8 + length + -length % 8
        piece = self.data[start : start + length]
        if len(piece) < length:
            raise StoreError("the file ends too early")
        self.at += step
        return kind, piece

    def value(self) -> np.ndarray:
        if self.kind in _OTHER:
            raise StoreError(f"{self.name!r} is {_OTHER[self.kind]}, expected an array of numbers or a text")
        count = math.prod(self.shape)
        if min(self.shape, default=0) < 0 or max(self.shape, default=0) > len(self.data):
            raise StoreError(f"{self.name!r}: a shape of {self.shape} does not fit the file")
        if self.kind == _CHAR:
            return self.text()
        if self.kind not in _CLASSES:
            raise StoreError(f"{self.name!r} is of the unknown class {self.kind}")
        numbers = self.numbers(count)
        if self.flags & _COMPLEX:
            numbers = numbers + 1j * self.numbers(count)
        elif self.flags & _LOGICAL:
            numbers = numbers.astype(bool)
        return numbers.reshape(self.shape, order="F")

    def numbers(self, count: int) -> np.ndarray:
        kind, piece = self.element()
        if kind not in _TYPES or len(piece) != count * int(_TYPES[kind][1]):
            raise StoreError(f"{self.name!r} does not have the {count} numbers of its shape {self.shape}")
        # Whole numbers are kept in the smallest type that holds them, whatever the variable's class is.
        return np.frombuffer(piece, self.order + _TYPES[kind]).astype(_CLASSES[self.kind])

    def text(self) -> np.ndarray:
        kind, piece = self.element()
        if kind not in _TEXTS:
            raise StoreError(f"the text {self.name!r} is damaged")
        coding = _TEXTS[kind]
        if coding.startswith("utf-") and kind != 16:
            coding += "-le" if self.order == "<" else "-be"
        text = bytes(piece).decode(coding)
        if len(self.shape) != 2 or len(text) != math.prod(self.shape):
            raise StoreError(f"the text {self.name!r} does not have its shape {self.shape}")
        rows, columns = self.shape
        if not rows or not columns:
            return np.array([], str)
        return np.array(["".join(row) for row in np.array(list(text)).reshape(columns, rows).T])


def _order(data: bytes) -> str:
    """Return the order of bytes, or say what is wrong with the header."""
    marks = {b"IM": "<", b"MI": ">"}
    if data.startswith(b"MATLAB 7.3") or data[512:520] == b"\x89HDF\r\n\x1a\n":
        raise StoreError("it is of version 7.3, which is not read: save it with -v7")
    if len(data) < 128 or data[126:128] not in marks:
        raise StoreError("it is no .mat file of version 5 to 7; save it with -v6 or -v7")
    order = marks[data[126:128]]
    (version,) = struct.unpack_from(f"{order}H", data, 124)
    if version != 0x0100:
        raise StoreError(f"its version {version:#06x} is not known; save it with -v6 or -v7")
    return order
