"""Find the numbers that objects hold, put stand-ins in their place for a moment, and put everything back.

A slot is an array or a number held by an attribute of an object, directly or in lists, tuples, dicts and deques.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recurra.errors import OptionError
from recurra.tracing.code import home_of
from recurra.tracing.containers import entries_of, filled, is_container, is_fixed
from recurra.tracing.generators import is_seeded
from recurra.tracing.guards import Hidden
from recurra.tracing.session import as_value
from recurra.tracing.sparse import Sparse, is_sparse, structure_of

LARGEST = 1 << 62  # whole numbers of Python beyond it stay with Python
MAX_LENGTH = 4096  # longer lists of numbers are taken for stores of results, not for state
_FOREIGN = {"numpy", "jax", "jaxlib", "scipy", "pandas", "xarray", "torch", "matplotlib", "builtins", "threading"} | {
    "recurra"  # what is the library's own is no state of the user's
}
_PLAIN = (
    str,
    bytes,
    type(None),
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.ModuleType,
    type,
)


_LEAVES = frozenset({*_PLAIN, bool, int, float, complex, set, np.ndarray, np.bool_, np.float64, np.float32, np.int64})


@dataclass(frozen=True)
class Slot:
    """One array or number.

    Attributes:
        path: "root/attribute" or "root/attribute/0".
        value: what was found there.
        kind: "array", "scalar" (of NumPy) or "python".
    """

    path: str
    value: Any
    kind: str

    @property
    def is_exact(self) -> bool:
        """Tell whether it is a truth value or a whole number."""
        return as_value(self.value).dtype.kind in "biu"  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Container:
    """A list, tuple, dict, deque, record or object of slots with numbers in it; see `containers.py`."""

    path: str
    original: Any
    items: dict[Any, Any]


@dataclass(frozen=True)
class Other:
    """Anything else: left alone, and noticed if it changes."""

    path: str
    original: Any
    copy: Any = None


Tree = Slot | Container | Other


@dataclass
class Holder:
    """The attributes of one object.

    Attributes:
        space: its `__dict__`.
        trees: what its attributes hold.
        inherited: names found on its class only.
    """

    path: str
    space: dict[str, Any]
    trees: dict[str, Tree]
    inherited: set[str] = field(default_factory=set)


class Changed(Exception):
    """Say that an attribute was changed in a way that is not a change of numbers."""


def kind_of(value: object) -> str | None:
    """Return which kind of slot a value is, or None."""
    if isinstance(value, np.ndarray):
        return "array" if type(value) is np.ndarray and value.dtype.kind in "biufc" else None
    if isinstance(value, np.generic):
        return "scalar" if value.dtype.kind in "biufc" else None
    if type(value) is int and not -LARGEST < value < LARGEST:
        return None
    return "python" if type(value) in (bool, int, float, complex) else None


class Inventory:
    """All slots of some objects.

    Arguments:
        roots: path -> object.
    """

    def __init__(self, roots: Mapping[str, object]):
        self.roots = dict(roots)
        self.objects: list[object] = []
        self.holders: list[Holder] = []
        self.slots: dict[str, Slot] = {}
        self._seen: dict[int, str] = {id(obj): path for path, obj in self.roots.items()}
        for path, obj in self.roots.items():
            self._add_object(path, obj)
        self.layout = find_layout([s for s in self.slots.values() if s.kind == "array"])
        self.entangled = find_overlaps([s for s in self.slots.values() if s.kind == "array"], self.layout)

    def _add_object(self, path: str, obj: object) -> None:
        space = getattr(obj, "__dict__", None)
        if not isinstance(space, dict):
            if path in self.roots and obj is self.roots[path]:
                what = f"{path or 'the root'} is a {type(obj).__name__} without __dict__"
                raise OptionError(f"{what}; expected an object with attributes. Remove __slots__ from its class")
            return
        holder = Holder(path, space, {})
        self.objects.append(obj)
        self.holders.append(holder)
        for name, value in list(space.items()):
            holder.trees[name] = self._tree(f"{path}/{name}" if path else name, value)
        for name, value in _class_data(obj):
            if name not in space:
                holder.inherited.add(name)
                holder.trees[name] = self._tree(f"{path}/{name}" if path else name, value)

    def _tree(self, path: str, value: Any) -> Tree:
        kind = kind_of(value)
        if kind is not None:
            slot = self.slots[path] = Slot(path, value, kind)
            return slot
        if is_container(value):
            return self._container(path, value)
        if isinstance(value, set | bytearray):
            return Other(path, value, value.copy())
        if _is_walked(value) and id(value) not in self._seen:
            self._seen[id(value)] = path
            self._add_object(path, value)
        return Other(path, value)

    def _container(self, path: str, value: Any) -> Tree:
        if id(value) in self._seen:
            return Other(path, value)
        self._seen[id(value)] = path
        entries = entries_of(value)
        if len(entries) > MAX_LENGTH:
            return Other(path, value, value.copy() if hasattr(value, "copy") else value)
        if home_of(type(value)).split(".")[0] not in _FOREIGN:
            self.objects.append(value)  # whose methods are code of the user's
        made = Container(path, value, {key: self._tree(f"{path}/{key}", item) for key, item in entries.items()})
        if is_fixed(value):  # gets a stand-in of its own wherever it is found
            del self._seen[id(value)]
        return made

    def structure(self) -> dict[str, Any]:
        """Map paths to what code may depend on beside numbers: texts, functions, None, the keys of containers."""
        found: dict[str, Any] = {}
        waiting = [tree for holder in self.holders for tree in holder.trees.values()]
        while waiting:
            tree = waiting.pop()
            if isinstance(tree, Container):
                shape = structure_of(tree.original) if is_sparse(tree.original) else ()
                found[tree.path] = type(tree.original), *tree.items, *shape
                waiting += tree.items.values()
            elif isinstance(tree, Other) and isinstance(tree.original, _PLAIN):
                found[tree.path] = tree.original
            elif isinstance(tree, Other) and isinstance(tree.original, np.random.Generator | np.random.RandomState):
                found[tree.path] = is_seeded(tree.original)
            elif isinstance(tree, Other) and callable(tree.original):
                found[tree.path] = id(tree.original)  # which is kept here, so no other object gets the number
        return found

    def others(self) -> Iterator[tuple[Other, bool]]:
        """Yield all that is neither number nor container, and whether it is the value of an attribute."""
        waiting = [(tree, True) for holder in self.holders for tree in holder.trees.values()]
        while waiting:
            tree, is_attribute = waiting.pop()
            if isinstance(tree, Other):
                yield tree, is_attribute
            elif isinstance(tree, Container):
                waiting += [(item, False) for item in tree.items.values()]


def attributes_of_kind(roots: Iterable[object], kinds: tuple[type, ...]) -> list[tuple[dict, str, Any, bool]]:
    """Find the attributes of some kinds in objects, where an :class:`Inventory` would find them, but quicker.

    Returns:
        The `__dict__`, the name, the value, and whether only the class has it.
    """
    found: list[tuple[dict, str, Any, bool]] = []
    waiting, seen = list(roots), set(map(id, roots))
    while waiting:
        holder = waiting.pop()
        space = getattr(holder, "__dict__", None)
        within = entries_of(holder) if is_container(holder) else space
        if isinstance(space, dict) and not is_container(holder):
            found += [(space, name, value, False) for name, value in space.items() if type(value) in kinds]
            of_classes = {n: v for c in reversed(type(holder).__mro__) for n, v in vars(c).items() if type(v) in kinds}
            found += [(space, name, value, True) for name, value in of_classes.items() if name not in space]
        for value in within.values() if isinstance(within, dict) and len(within) <= MAX_LENGTH else ():
            known = type(value) in _LEAVES or id(value) in seen  # which spares most of them the questions
            if known or not (is_container(value) or _is_walked(value)):
                continue
            seen.add(id(value))
            waiting.append(value)
    return found


def _is_walked(value: object) -> bool:
    return not isinstance(value, _PLAIN) and home_of(type(value)).split(".")[0] not in _FOREIGN


def _class_data(obj: object) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for cls in type(obj).__mro__:
        if home_of(cls).split(".")[0] in _FOREIGN:
            continue
        for name, value in vars(cls).items():
            if name not in seen and not name.startswith("__"):
                seen.add(name)
                if kind_of(value) is not None or type(value) in (np.random.Generator, np.random.RandomState):
                    yield name, value


# -- shared memory -------------------------------------------------------------------------------------------------

Layout = dict[str, tuple[str, np.ndarray | None]]


def find_layout(slots: list[Slot]) -> Layout:
    """Tell for each array whose memory it shows: its own, another slot's whole, or certain elements of that.

    Returns:
        path -> (path of the owner, numbers of the owner's elements in the shape of the view, or None for all).
    """
    layout: Layout = {}
    owners: dict[int, str] = {}
    for slot in sorted(slots, key=lambda s: s.value.base is not None):
        owner = owners.setdefault(id(slot.value), slot.path)
        layout[slot.path] = (owner, None)
    contiguous = [s for s in slots if layout[s.path][0] == s.path and s.value.flags.c_contiguous and s.value.size]
    for slot in slots:
        if layout[slot.path][0] != slot.path or slot.value.base is None:
            continue
        for other in contiguous:
            if other is not slot and layout[other.path] == (other.path, None) and _inside(slot.value, other.value):
                layout[slot.path] = (other.path, _places(slot.value, other.value))
                break
    return {s.path: _through(layout, s.path) for s in slots}


def _through(layout: Layout, path: str) -> tuple[str, np.ndarray | None]:
    owner, places = layout[path]
    return layout[owner] if places is None and owner != path else (owner, places)


def _inside(view: np.ndarray, owner: np.ndarray) -> bool:
    if view.dtype != owner.dtype or not np.may_share_memory(view, owner):
        return False
    low, high = np.lib.array_utils.byte_bounds(view)
    start, stop = np.lib.array_utils.byte_bounds(owner)
    return start <= low and high <= stop


def _places(view: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the numbers of the owner's elements that a view shows: the same strides over 0, 1, 2, ..."""
    offset = (view.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // owner.itemsize
    counting = np.arange(owner.size)[offset:] if offset >= 0 else np.arange(owner.size)
    strides = tuple(s // owner.itemsize * counting.itemsize for s in view.strides)
    return np.lib.stride_tricks.as_strided(counting, view.shape, strides).copy()


def find_overlaps(slots: list[Slot], layout: Layout) -> set[tuple[str, str]]:
    """Return the pairs of slots that share memory in a way that the layout does not say."""
    based = [s for s in slots if s.value.base is not None and layout[s.path][0] == s.path and layout[s.path][1] is None]
    found = set()
    for slot in based:
        for other in slots:
            apart = layout[other.path][0] != slot.path and other.path != slot.path
            if apart and np.may_share_memory(slot.value, other.value) and np.shares_memory(slot.value, other.value):
                found.add((slot.path, other.path))
    return found


def same_layout(first: Layout, second: Layout) -> bool:
    """Tell whether two layouts say the same."""
    return all(_same(first[path], second[path]) for path in first)


def _same(first: tuple, second: tuple) -> bool:
    if first[0] != second[0] or (first[1] is None) != (second[1] is None):
        return False
    return first[1] is None or np.array_equal(first[1], second[1])


# -- putting in and taking out -------------------------------------------------------------------------------------


def place(tree: Tree, stand_in: Callable[[Slot | Other], Any]) -> Any:
    """Return what goes into an attribute; lists, dicts and deques stay the same objects with other contents."""
    if isinstance(tree, Slot | Other):
        return stand_in(tree)
    return filled(tree.original, {key: place(item, stand_in) for key, item in tree.items.items()})


def put_back(tree: Tree) -> Any:
    """Return what was in an attribute, with its contents put back."""
    if isinstance(tree, Container):
        items = {key: put_back(item) for key, item in tree.items.items()}
        return tree.original if is_fixed(tree.original) else filled(tree.original, items)
    if isinstance(tree, Other) and tree.copy is not None and tree.original != tree.copy:
        tree.original.clear()
        tree.original.extend(tree.copy) if hasattr(tree.original, "extend") else tree.original.update(tree.copy)
    return tree.original if isinstance(tree, Other) else tree.value


def take_out(tree: Tree, now: Any) -> Iterator[tuple[Slot, Any]]:
    """Yield each slot with what is there now; `Changed` if something else than a number changed."""
    if isinstance(tree, Slot):
        yield tree, now
    elif isinstance(tree, Container):
        if type(now) is not type(tree.original) and type(now) is not Sparse:
            raise Changed(f"{tree.path} turns from a {type(tree.original).__name__} into a {type(now).__name__}")
        found = entries_of(now)
        if list(found) != list(tree.items):
            raise Changed(
                f"{tree.path} changes its length or keys (it had {len(tree.items)} entries, now {len(found)})"
            )
        for key, item in tree.items.items():
            yield from take_out(item, found[key])
    else:
        unchanged = now is tree.original or type(now) is Hidden
        unchanged = unchanged or (isinstance(now, str | bytes) and now == tree.original)
        if not unchanged or (tree.copy is not None and now != tree.copy):
            raise Changed(f"{tree.path} changes from {_show(tree.original)} to {_show(now)}")


def _show(value: object) -> str:
    return repr(value) if isinstance(value, str | bytes | type(None)) else f"a {type(value).__name__}"


def restore(inventory: Inventory) -> None:
    """Put every attribute of every object back as it was found, in the same order."""
    for holder in inventory.holders:
        own = {name: put_back(tree) for name, tree in holder.trees.items() if name not in holder.inherited}
        holder.space.clear()
        holder.space.update(own)
