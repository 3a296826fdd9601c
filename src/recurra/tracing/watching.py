"""See which slots a body reads and writes, by running it once on real arrays and by reading the names in its code."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.tracing.code import codes_in, functions_of, is_library
from recurra.tracing.leaves import Body
from recurra.tracing.slots import Inventory, Other, Slot
from recurra.tracing.writes import ANYTHING, Analysis, Effects

_ANYTHING = {"getattr", "setattr", "delattr", "vars", "__dict__", "eval", "exec", "globals", "locals", "attrgetter"}


@dataclass(frozen=True)
class Access:
    """What a body did in one step, and may do.

    Attributes:
        reads: slots it may read: all whose attribute's name its code loads, or the code that it calls.
        writes: slots that changed, and those that its code may change, in whatever branch.
        created: paths of attributes that it made.
        result: what it returned.
        names: all names of attributes and globals that its code mentions.
        stored: the names of attributes that its code assigns.
        touched: the names of what its code may change, or replace; `@name` of what lies beside the objects.
        inplace: those of them whose arrays it may change without replacing them.
        aliases: pairs of names that its code may make hold the same.
    """

    reads: frozenset[str]
    writes: frozenset[str]
    created: frozenset[str]
    result: Any = None
    names: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()
    touched: frozenset[str] = frozenset()
    inplace: frozenset[str] = frozenset()
    aliases: frozenset[tuple[str, str]] = frozenset()

    def is_source_for(self, others: Iterable[Access]) -> bool:
        """Tell whether a body reads nothing that the others write: it may run before everything else."""
        return all(not self.reads & other.writes for other in others)

    def is_sink_for(self, others: Iterable[Access]) -> bool:
        """Tell whether a body writes nothing that the others read: it may run after everything else."""
        return all(not self.writes & (other.reads | other.writes) for other in others)


def watch(body: Body, roots: Mapping[str, object]) -> Access:
    """Run a body once, for real, and report which slots it read and which it wrote.

    Reading is told from names, so it errs on the side of more: two attributes of one name on different objects
    count together, and code that looks attributes up by computed names may read everything.

    Arguments:
        body: the body; its effects stay.
        roots: path -> object, as for `trace`.

    Returns:
        What it read and wrote, and what it returned.

    >>> class Group:
    ...     def __init__(self):
    ...         self.drive, self.rate, self.voltage = np.zeros(2), 0.5, np.zeros(2)
    >>> group = Group()
    >>> def stimulus():
    ...     group.drive[:] = group.rate
    >>> access = watch(Body("stimulus", stimulus), {"group": group})
    >>> sorted(access.reads), sorted(access.writes)
    (['group/drive', 'group/rate'], ['group/drive'])
    """
    before = Inventory(roots)
    copies = {p: s.value.copy() if isinstance(s.value, np.ndarray) else s.value for p, s in before.slots.items()}
    loaded, stored = _names(body.run, before)
    effects = _effects(body.run, before)
    result = body.run()
    after = Inventory(roots)
    changed = {p for p, s in after.slots.items() if p in copies and _changed(s, before.slots[p], copies[p])}
    changed |= {p for p in before.slots if p not in after.slots}
    changed |= _sharing(changed, before) | _sharing(changed, after)
    everything = bool(loaded & _ANYTHING)
    slots = {**before.slots, **after.slots}
    reads = {p for p in slots if everything or parts_of(p, roots) & loaded}
    reads |= _sharing(reads, before)
    created = frozenset(p for p in after.slots if p not in before.slots)
    touched, inplace = (frozenset(n for n in ns if n[0] != "#") for ns in (effects.written, effects.inplace))
    aliases = frozenset(pair for pair in effects.aliases if pair[0][0] != "#" and pair[1][0] != "#")
    writes = changed | created | named_slots(touched, slots, roots)
    names = frozenset(loaded | stored | {name.removeprefix("@") for name in touched})
    writes = frozenset(writes | _sharing(writes, before) | _sharing(writes, after))
    return Access(frozenset(reads), writes, created, result, names, frozenset(stored), touched, inplace, aliases)


def named_slots(names: Iterable[str], slots: Iterable[str], roots: Mapping[str, object]) -> set[str]:
    """Return the slots that names of attributes may stand for."""
    wanted = set(names)
    return {p for p in slots if ANYTHING in wanted or parts_of(p, roots) & wanted}


def memory_links(inventory: Inventory, aliases: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return which arrays share memory, or may come to, as pairs of paths and of names, which begin with a colon.

    Arguments:
        inventory: the arrays, and how they share memory now.
        aliases: pairs of names that code may make hold the same.
    """
    objects = {id(o) for o in (*inventory.objects, *inventory.roots.values())}
    trees = [(name, tree) for holder in inventory.holders for name, tree in holder.trees.items()]
    data = {name for name, tree in trees if not (isinstance(tree, Other) and id(tree.original) in objects)}
    # What leads to an object shares nothing: `dst` in `s.dst.v`.
    known = [pair for pair in sorted(aliases) if all(name in data or name[0] == "@" for name in pair)]
    named = {name for pair in known for name in pair}
    arrays = [path for path, slot in inventory.slots.items() if slot.kind == "array"]
    links = [(f":{a}", f":{b}") for a, b in known]
    links += [(path, f":{name}") for path in arrays for name in sorted(parts_of(path, inventory.roots) & named)]
    links += [(path, owner) for path, (owner, _) in inventory.layout.items() if owner != path]
    return [*links, *inventory.entangled]


def parts_of(path: str, roots: Mapping[str, object]) -> set[str]:
    """Return the names in a path, without that of the object to which it leads from.

    >>> sorted(parts_of("cells/book/0", {"": None, "cells": None}))
    ['0', 'book']
    """
    root = max((r for r in roots if not r or path.startswith(f"{r}/")), key=len, default="")
    return set(path[len(root) :].split("/")) - {""}


def _changed(now: Slot, before: Slot, copy: Any) -> bool:
    if now.kind != before.kind or type(now.value) is not type(copy):
        return True
    if now.kind == "array" and (now.value is not before.value or now.value.dtype != copy.dtype):
        return True
    return not np.array_equal(now.value, copy, equal_nan=now.value.dtype.kind in "fc" if now.kind == "array" else False)


def _sharing(changed: set[str], inventory: Inventory) -> set[str]:
    """Return the slots that show the memory of changed ones."""
    owners = {inventory.layout[p][0] for p in changed if p in inventory.layout}
    return {p for p, (owner, _) in inventory.layout.items() if owner in owners}


# -- names in code -------------------------------------------------------------------------------------------------


def _names(run: Any, inventory: Inventory) -> tuple[set[str], set[str]]:
    """Return the names that a function and all it may call load, and those of attributes that they assign."""
    loaded: set[str] = set()
    stored: set[str] = set()
    seen: set[int] = set()
    objects = _objects(run, inventory)
    method = getattr(run, "func", run)
    run_name, own_objects = getattr(method, "__name__", ""), [getattr(method, "__self__", None)]
    body = getattr(method, "__func__", method)
    waiting = [body] if isinstance(body, types.FunctionType) else list(functions_of(run))
    while waiting:
        function = waiting.pop()
        if id(function.__code__) in seen:
            continue
        seen.add(id(function.__code__))
        own: set[str] = set()
        for code in codes_in(function.__code__):
            for instruction in dis.get_instructions(code):
                if instruction.opname.startswith("STORE_ATTR"):
                    stored.add(str(instruction.argval))
                elif isinstance(instruction.argval, str) and not instruction.opname.endswith("_FAST"):
                    own.add(instruction.argval)
        loaded |= own
        held = _closure(function)
        objects += [o for o in held if not any(o is other for other in objects)]
        for value in held:
            waiting += functions_of(value)
        for name in sorted(own):
            # What the body itself is called, other objects have too: those are other bodies.
            holders = own_objects if name == run_name else objects
            for found in _named(name, function, holders):
                waiting += functions_of(found)
    return loaded, stored


def _effects(run: Any, inventory: Inventory) -> Effects:
    """Return what a function, and all it may call, may do to names."""
    objects = _objects(run, inventory)
    method = getattr(run, "func", run)
    body = getattr(method, "__func__", method)
    own = getattr(body, "__name__", "")
    arrays: dict[str, bool] = {}
    for holder in inventory.holders:
        for name, tree in holder.trees.items():
            arrays[name] = arrays.get(name, True) and isinstance(tree, Slot)

    def named(name: str) -> Iterator[Any]:
        # What the body itself is called, other objects have too: those are other bodies.
        yield from _held_as(name, objects if name != own else [getattr(method, "__self__", None)])

    analysis, found = Analysis(named, {name for name, only in arrays.items() if only}), Effects()
    for function in [body] if isinstance(body, types.FunctionType) else functions_of(run):
        one = analysis.of(function)
        found.written |= one.written
        found.inplace |= one.inplace
        found.aliases |= one.aliases
    return found


def _closure(function: types.FunctionType) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    return [c for c in (*cells, *(function.__defaults__ or ())) if hasattr(c, "__dict__")]


def _is_full(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _objects(run: Any, inventory: Inventory) -> list[Any]:
    found = list(inventory.roots.values())
    if isinstance(run, types.MethodType):
        found.append(run.__self__)
    known = {id(o) for o in found}
    for holder in inventory.holders:
        for value in holder.space.values():
            if hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType) and id(value) not in known:
                known.add(id(value))
                found.append(value)
    return found


def _named(name: str, function: types.FunctionType, objects: list[Any]) -> Iterator[Any]:
    """Yield what a name may stand for: a global, something in a module of the user's, a method, a stored function."""
    here = function.__globals__
    if name in here:
        yield here[name]
    for used in function.__code__.co_names:
        module = here.get(used)
        if isinstance(module, types.ModuleType) and not is_library(module.__name__):
            yield vars(module).get(name)
    yield from _held_as(name, objects)


def _held_as(name: str, objects: list[Any]) -> Iterator[Any]:
    """Yield the methods and functions that objects have under a name, as a class would hold them."""
    for thing in objects:
        for cls in type(thing).__mro__:
            if name in vars(cls):
                yield vars(cls)[name]
        held = getattr(thing, "__dict__", {}).get(name)
        if callable(held):
            yield staticmethod(held)  # which is not given the object
