"""Copy the plain data of an HDF5 file into a fresh one: a script for a process that may be killed, with limits.

It stands alone: it imports nothing of Recurra, reads its orders from standard input and answers with one line.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MAX_ITEMS = 200_000  # groups, arrays and attributes
MAX_DEPTH = 64
SLAB = 1 << 26
FILTERS = {1, 2, 3, 4, 5, 6, 32_000}  # those that come with HDF5 and h5py; others are plug-ins


class Refused(Exception):
    """Say what in a file is not copied."""


class Copier:
    """Walk through a file and write what is plain.

    Arguments:
        old, new: open files of h5py.
        most: bytes of numbers that are copied.
        soft_links: whether links inside the file are allowed.
    """

    def __init__(self, old: Any, new: Any, most: int, soft_links: bool):
        self.old, self.new, self.most, self.soft_links = old, new, most, soft_links
        self.left, self.items = most, 0
        self.seen: dict[int, str] = {}  # where in the new file an object is
        self.later: list[tuple[Any, Any, str | None]] = []  # what refers to objects, written when all are there

    def run(self) -> None:
        waiting = [(self.old["/"], self.new["/"], 0)]
        self.seen[hash(self.old["/"].id)] = "/"
        while waiting:
            source, target, depth = waiting.pop()
            if depth > MAX_DEPTH:
                raise Refused(f"groups are nested deeper than {MAX_DEPTH}.")
            self.attributes(source, target)
            for name in source:
                self.count()
                inner = self.entry(source, target, name)
                if inner is not None:
                    waiting.append((*inner, depth + 1))
        for source, target, name in self.later:
            self.references(source, target, name)

    def count(self) -> None:
        self.items += 1
        if self.items > MAX_ITEMS:
            raise Refused(f"has more than {MAX_ITEMS} entries.")

    def spend(self, shape: Any, dtype: Any) -> None:
        count = 1
        for length in shape or ():
            count *= int(length)
        self.left -= count * max(dtype.itemsize, 1)
        if self.left < 0:
            raise Refused(f"holds more than {self.most / 1e6:.0f} MB of numbers, too many for a file of this size.")

    def entry(self, source: Any, target: Any, name: str) -> tuple[Any, Any] | None:
        """Copy what a name in a group stands for; groups are returned, to be walked through."""
        import h5py

        link = source.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink) and self.soft_links:
            target[name] = h5py.SoftLink(link.path)
            return None
        if not isinstance(link, h5py.HardLink):
            raise Refused(f"{name[:100]!r} is a link, which is not followed.")
        found = source[name]
        place = self.seen.get(hash(found.id))
        if place is not None:
            if isinstance(found, h5py.Group):
                raise Refused(f"the group {name[:100]!r} is in it twice, or in itself.")
            target[name] = self.new[place]
            return None
        if isinstance(found, h5py.Group):
            made = target.create_group(name)
            self.seen[hash(found.id)] = made.name
            return found, made
        if isinstance(found, h5py.Dataset):
            made = self.dataset(found, target, name)
            self.seen[hash(found.id)] = made.name
            self.attributes(found, made)
            return None
        raise Refused(f"{name[:100]!r} is neither a group nor an array.")

    def dataset(self, found: Any, target: Any, name: str) -> Any:
        import h5py

        if found.external or found.is_virtual:
            raise Refused(f"{name[:100]!r} lies in another file.")
        settings = found.id.get_create_plist()
        kinds = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
        if kinds - FILTERS:
            raise Refused(f"{name[:100]!r} is packed by a plug-in (filter {min(kinds - FILTERS)}).")
        if found.shape is None:
            return target.create_dataset(name, data=h5py.Empty(found.dtype))
        check_type(found.dtype, name)
        self.spend(found.shape, found.dtype)
        made = target.create_dataset(name, shape=found.shape, dtype=found.dtype)
        if refers(found.dtype):
            self.later.append((found, made, None))
        elif not found.shape:
            made[()] = found[()]
        elif found.size:
            row = max(found.dtype.itemsize * found.size // found.shape[0], 1)
            step = max(SLAB // row, 1)
            for start in range(0, found.shape[0], step):
                made[start : start + step] = found[start : start + step]
        return made

    def attributes(self, source: Any, target: Any) -> None:
        import h5py

        for name in source.attrs:
            self.count()
            about = source.attrs.get_id(name)
            if about.get_space().get_simple_extent_type() == h5py.h5s.NULL:
                target.attrs.create(name, h5py.Empty(about.dtype))
                continue
            check_type(about.dtype, name)
            self.spend(about.shape, about.dtype)
            if refers(about.dtype):
                self.later.append((source, target, name))
            else:
                target.attrs.create(name, source.attrs[name], shape=about.shape, dtype=about.dtype)

    def references(self, source: Any, target: Any, name: str | None) -> None:
        """Write what refers to objects of the file, so that it refers to those of the new one."""
        if name is None:
            target[()] = self.moved(source[()], source.dtype)
            return
        about = source.attrs.get_id(name)
        value = self.moved(source.attrs[name], about.dtype)
        target.attrs.create(name, value, shape=about.shape, dtype=about.dtype)

    def moved(self, value: Any, dtype: Any) -> Any:
        import h5py
        import numpy as np

        if isinstance(value, h5py.Reference):
            try:
                place = self.seen.get(hash(self.old[value].id)) if value else None
            except (ValueError, KeyError, RuntimeError, OSError):
                place = None  # what it referred to is gone
            return h5py.h5r.Reference() if place is None else self.new[place].ref
        if dtype.names:
            flat = np.array(value, dtype)
            for field in dtype.names:
                if refers(dtype[field]):
                    flat[field] = self.moved(flat[field], dtype[field])
            return flat
        if isinstance(value, np.ndarray):
            made = np.empty(value.shape, object)
            base = h5py.check_vlen_dtype(dtype)
            for place in np.ndindex(value.shape):
                made[place] = self.moved(value[place], base or dtype)
            return made.astype(h5py.ref_dtype) if base is None else made
        return value


def check_type(dtype: Any, name: str) -> None:
    """Refuse types that are not plain: opaque bytes, references to regions, deep nests."""
    if dtype.names:
        for field in dtype.names:
            check_type(dtype[field].base, name)
    elif not plain(dtype.base):
        raise Refused(f"{name[:100]!r} is of type {str(dtype)[:60]}, which is not read.")


def plain(dtype: Any) -> bool:
    import h5py

    base = h5py.check_vlen_dtype(dtype)
    if base is not None:
        return base in (str, bytes) or h5py.check_ref_dtype(base) is h5py.Reference or base.kind in "biufcS"
    text = h5py.check_string_dtype(dtype) is not None
    return text or dtype.kind in "biufcS" or h5py.check_ref_dtype(dtype) is h5py.Reference


def refers(dtype: Any) -> bool:
    """Say whether values of a type refer to objects."""
    import h5py

    if dtype.names:
        return any(refers(dtype[field]) for field in dtype.names)
    base = h5py.check_vlen_dtype(dtype)
    dtype = base if base is not None and base not in (str, bytes) else dtype
    return h5py.check_ref_dtype(dtype) is not None


def limit(memory: int, seconds: int, most: int) -> None:
    """Bound what this process may use from now on."""
    try:
        import resource
    except ImportError:  # only the time is bounded, by the parent
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    with open("/proc/self/statm") if sys.platform == "linux" else open(__file__) as stream:
        first = stream.read().split()[0]
    mapped = int(first) * resource.getpagesize() if first.isdigit() else 4_000_000_000
    for kind, bound in (
        (resource.RLIMIT_AS, mapped + memory),
        (resource.RLIMIT_CPU, spent + seconds),
        (resource.RLIMIT_FSIZE, 2 * most + 64_000_000),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (bound, hard))


def main() -> None:
    """Do what standard input says, and answer `done` or why not."""
    order = json.loads(sys.stdin.buffer.read())
    sys.path[:] = order["path"]
    import h5py

    limit(order["memory"], order["seconds"], order["bytes"])
    try:
        with h5py.File(order["source"], "r") as old, h5py.File(order["target"], "w", libver="latest") as new:
            Copier(old, new, order["bytes"], order["soft_links"]).run()
        answer = "done"
    except Refused as refused:
        answer = str(refused)
    except Exception as error:  # h5py reports broken files by errors of many kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        answer = f"cannot be read as HDF5 ({lines[0][:200].rstrip('.')})."
    sys.stdout.write(answer + "\n")


if __name__ == "__main__":
    main()
