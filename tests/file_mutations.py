"""Ways to damage a file: its bytes, or what its format says they mean."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

INTEGERS = (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\1\0\0\0", b"\0\0\1\0")
ODD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, -0.0, float("nan"), float("inf"), "", "x", "1" * 50,
    "a/b/c", "../../etc/passwd", "\0", "\ud800", "é" * 40, [], [[]], [1, "a", None], {}, {"a": 1}, {"array": "array:0"},
    {"sparse": [1, 2, 3]}, {"real": 1, "imag": "q"}, {"object": "regularizer:ridge", "fields": {"z": 1}},
    "x' = 9**9**9",
)  # fmt: skip
TOKENS = (
    "1e999", "-1", "0", "nan", "inf", "1" * 60, "10000000000", "999999", "null", "[]", "{}", "[", "]", "{", "}", ",",
    ":", "- ", "'", '"', "&x", "*x", "*again", "!!python/object:os.system", "!!binary", "<<: *again", "x", "op",
    "model", "all", "(", ")", "((((", "**", "9**9**9**9", "x(t-1)", "past(x, 1)", "'", "exp(", "output(",
    "input(1, 1000000)", "#", "%", "\t", "\n", "\n\n", "   ", "?", "|", ">", "\0", "\u2028", "é", "---", "...",
    "base: op", "operators", "equations", "lambda",
)  # fmt: skip


def damage(rng: Random, good: Path, folder: Path) -> Path:
    """Write a damaged copy of a file (or of a folder, a Zarr store) and return its path."""
    path = folder / good.name
    if good.is_dir():
        return _store(rng, good, path)
    data = good.read_bytes()
    ways = {".npz": _archive, ".npy": _npy, ".mat": _mat, ".yaml": _tokens, ".csv": _tokens}
    structured = ways.get(good.suffix, _hdf5)
    if rng.random() < 0.35:
        path.write_bytes(_bytes(rng, data))
    else:
        try:
            path.write_bytes(structured(rng, data))
        except Exception:  # it was damaged so that it cannot be damaged by structure once more
            path.write_bytes(_bytes(rng, data))
        if rng.random() < 0.1:
            path.write_bytes(_bytes(rng, path.read_bytes()))
    return path


def _bytes(rng: Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if not found:
            break
        at, way = rng.randrange(len(found)), rng.randrange(8)
        if way < 2:
            found[at] = rng.randrange(256)
        elif way == 2:
            found[at] ^= 1 << rng.randrange(8)
        elif way == 3:
            piece = rng.choice(INTEGERS)
            found[at : at + len(piece)] = piece
        elif way == 4:
            other, length = rng.randrange(len(found)), rng.randrange(1, 64)
            found[at : at + length] = found[other : other + length]
        elif way == 5:
            found[at:at] = rng.randbytes(rng.randrange(1, 32))
        elif way == 6:
            del found[at : at + rng.randrange(1, 32)]
        elif rng.random() < 0.3:
            del found[at:]
    return bytes(found)


def _archive(rng: Random, data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = rng.randrange(len(members))
        name, content = members[place]
        meta = next((i for i, m in enumerate(members) if m[0] == "meta.npy"), None)
        way = rng.randrange(10)
        text = None if meta is None else _array(members[meta][1])
        if way < 4 and meta is not None and text is not None:
            members[meta] = ("meta.npy", _saved(np.array(_json(rng, str(text)))))
        elif way < 6:
            members[place] = (name, _npy(rng, content))
        elif way == 6:
            members[place] = (rng.choice((name + "x", "../" + name, name.replace(":", "/"), "", "meta.npy")), content)
        elif way == 7 and len(members) > 1:
            del members[place]
        elif way == 8:
            members.append((rng.choice(("more.npy", name)), content))
        else:
            members[place] = (name, _bytes(rng, content))
    stream = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED if rng.random() < 0.02 else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", packed) as archive:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name or "x"), content, packed)
    return stream.getvalue()


def _saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _array(data: bytes) -> np.ndarray | None:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except Exception:  # it has been damaged before
        return None


def _npy(rng: Random, data: bytes) -> bytes:
    """Change an array: its values, shape or type; or only what its header says."""
    array = _array(data)
    if array is None:
        return _bytes(rng, data)
    way = rng.randrange(8)
    if way == 0:
        header = data[10:128].decode("latin-1")
        number = rng.choice(("0", "-1", "99999999999", "3", "(2,)", "True", "1.5"))
        changed = re.sub(r"\d+(?=[,)])", number, header, count=1)[:118].ljust(118)
        return data[:10] + changed.encode("latin-1") + data[128:]
    if way == 1:
        kinds = ("f4", ">f8", "i8", "u1", "c16", "U3", "S2", "bool", "f2", "g", "O", "m8[s]", "V4", "i4,f8")
        return _saved(np.zeros(array.shape, rng.choice(kinds)))
    if way == 2:
        return _saved(np.zeros(rng.choice(((), (0,), (3, 0), (1,), (2, 2), (5,), (1, 1, 1), (100000, 0), (7, 7)))))
    if way == 3 and array.ndim:
        return _saved(np.concatenate([array, array]))
    if way == 4 and array.ndim:
        return _saved(array[:-1])
    if array.dtype.kind in "fc" and array.size:
        array = array.copy()
        array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -1e308, -1.0, 1e30, 0.5))
    elif array.dtype.kind in "iu" and array.size:
        array = array.copy()
        bounds = np.iinfo(array.dtype)
        array.flat[rng.randrange(array.size)] = rng.choice((0, 1, 100, bounds.max, bounds.min))
    elif array.dtype.kind == "U" and not array.ndim:
        return _saved(np.array(_json(rng, str(array))))
    else:
        return _bytes(rng, data)
    return _saved(array)


def _json(rng: Random, text: str) -> str:
    """Replace, remove or move values of a text in JSON."""
    if rng.random() < 0.05:
        return rng.choice(("", "[]", "null", "{", "[" * 100_000, '{"kind": 1}', text[: len(text) // 2], text + "x"))
    try:
        root = json.loads(text)
    except ValueError:
        return text[::-1]
    places: list[tuple[Any, Any]] = []
    waiting = [root]
    while waiting:
        at = waiting.pop()
        items = list(at.items()) if isinstance(at, dict) else list(enumerate(at)) if isinstance(at, list) else []
        places += [(at, key) for key, _ in items]
        waiting += [value for _, value in items]
    if not places:
        return text
    for _ in range(rng.choice((1, 1, 2))):
        at, key = rng.choice(places)
        way = rng.randrange(5)
        try:
            if way < 3:
                at[key] = rng.choice(ODD)
            elif way == 3:
                del at[key]
            else:
                other, its = rng.choice(places)
                at[key] = json.loads(json.dumps(other[its]))
        except (KeyError, IndexError):
            continue
    return json.dumps(root)


def _mat(rng: Random, data: bytes) -> bytes:
    """Change the variables inside of their packing, which bytes alone would not reach."""
    found, at = bytearray(data[:128]), 128
    elements = []
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        elements.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + (-length % 8 if kind == 14 else 0)
    chosen = rng.randrange(len(elements))
    for place, (kind, body) in enumerate(elements):
        if place == chosen:
            way = rng.randrange(6)
            if way == 0:
                continue
            inner = zlib.decompress(body) if kind == 15 else body
            if way == 1:
                inner = inner[: rng.randrange(len(inner) + 1)]
            else:
                inner = _bytes(rng, inner[:96]) + inner[96:] if way < 4 else _bytes(rng, inner)
            body = zlib.compress(inner) if kind == 15 else inner
        found += struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8 if kind == 14 else 0)
    return bytes(found)


def _tokens(rng: Random, data: bytes) -> bytes:
    """Change words, numbers, signs and lines of a text."""
    pieces = re.findall(r"\w+|\s+|[^\w\s]", data.decode("utf-8"))
    words = [at for at, piece in enumerate(pieces) if piece[0].isalnum()]
    if rng.random() < 0.5:  # a text of the same form
        for at in rng.choices(words, k=rng.choice((1, 1, 2, 4))):
            numbers = ("0", "1", "2", "10", "99999", "1e5", "1e999", "100000000000")
            alike = [pieces[w] for w in words if pieces[w][0].isalpha()]
            pieces[at] = rng.choice(alike if pieces[at][0].isalpha() else numbers)
        return "".join(pieces).encode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, way = rng.randrange(len(pieces)), rng.randrange(6)
        if way < 3:
            pieces[at] = rng.choice(TOKENS)
        elif way == 3:
            pieces[at:at] = [rng.choice(TOKENS)] * rng.choice((1, 1, 2, 300))
        elif way == 4:
            del pieces[at : at + rng.randrange(1, 4)]
        else:
            pieces[at] = rng.choice(pieces)
    return "".join(pieces).encode("utf-8", "replace")


def _hdf5(rng: Random, data: bytes) -> bytes:
    """Change groups, arrays, attributes and links of an HDF5 file."""
    import h5py

    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        entries: list[Any] = [file]
        file.visititems(lambda name, entry: entries.append(entry))
        arrays = [e for e in entries if isinstance(e, h5py.Dataset)]
        for _ in range(rng.choice((1, 1, 2))):
            entry, way = rng.choice(entries), rng.randrange(8)
            try:
                if way < 3 and len(entry.attrs):
                    name = rng.choice(sorted(entry.attrs))
                    odd = rng.choice((None, 0, -1, 1e300, "x", "{}", b"\xff", [1, 2], "[" * 5000, np.zeros((0, 3))))
                    del entry.attrs[name]
                    if odd is not None:
                        entry.attrs[name] = odd
                elif way == 3 and entry.name != "/":
                    del file[entry.name]
                else:
                    _replace(rng, file, rng.choice(arrays))
            except (KeyError, ValueError, RuntimeError, OSError, TypeError):
                continue
    return stream.getvalue()


def _replace(rng: Random, file: Any, array: Any) -> None:
    """Put something else in the place of an array."""
    import h5py

    name = array.name
    del file[name]
    way = rng.randrange(9)
    if way == 0:
        file[name] = h5py.ExternalLink("/etc/hostname", "x")
    elif way == 1:
        file[name] = h5py.SoftLink(rng.choice((name, "/nowhere", "/")))
    elif way == 2:
        file[name] = file["/"]
    elif way == 3:
        file.create_dataset(name, shape=(10**rng.randrange(3, 12),), chunks=(1000,), dtype="f8")
    elif way == 4:
        file.create_dataset(name, shape=(10,), dtype="u1", external=[("/etc/passwd", 0, 10)])
    elif way == 5:
        file[name] = rng.choice(("text", b"x", 3, -1.5, np.zeros((0,)), np.zeros((2, 0, 3)), np.nan))
    elif way == 6:
        file.create_group(name)
    else:
        kind = rng.choice(("f4", ">f8", "i8", "c16", "S3", "u1", "f2"))
        file[name] = np.ones(rng.choice(((), (1,), (3,), (2, 2), (30,), (30, 1), (1, 1, 1))), kind)


def _store(rng: Random, good: Path, path: Path) -> Path:
    shutil.copytree(good, path)
    beside = good.with_name(f"{good.name}.checkpoint.npz")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if beside.exists():
        files.append(Path(shutil.copy(beside, path.parent / beside.name)))
    for _ in range(rng.choice((1, 1, 2))):
        file, way = rng.choice(files), rng.randrange(8)
        if not file.exists() or file.is_symlink():
            continue
        data = file.read_bytes()
        if way == 0:
            file.unlink()
        elif way == 1:
            file.unlink()
            file.symlink_to("/etc/hostname")
        elif (way == 2 and file.suffix == ".json") or (way < 6 and file.suffix == ".json"):
            file.write_text(_json(rng, data.decode()), errors="replace")
        elif file.suffix == ".npz" and way < 6:
            file.write_bytes(_archive(rng, data))
        else:
            file.write_bytes(_bytes(rng, data))
    return path
