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
from recurra.tracing.slots import Inventory, Slot

_ANYTHING = {"getattr", "setattr", "delattr", "vars", "__dict__", "eval", "exec", "globals", "locals", "attrgetter"}


@dataclass(frozen=True)
class Access:
    """What a body did in one step, and may do.

    Attributes:
        reads: slots it may read: all whose attribute's name its code loads, or the code that it calls.
        writes: slots that changed, and those whose name its code assigns if nothing of that name changed.
        created: paths of attributes that it made.
        result: what it returned.
        names: all names of attributes and globals that its code mentions.
        stored: the names of attributes that its code assigns.
    """

    reads: frozenset[str]
    writes: frozenset[str]
    created: frozenset[str]
    result: Any = None
    names: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()

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
    result = body.run()
    after = Inventory(roots)
    changed = {p for p, s in after.slots.items() if p in copies and _changed(s, before.slots[p], copies[p])}
    changed |= {p for p in before.slots if p not in after.slots}
    changed |= _sharing(changed, before) | _sharing(changed, after)
    names = {_attribute(p) for p in changed}
    quiet = {p for p in before.slots if _attribute(p) in stored - names}
    everything = bool(loaded & _ANYTHING)
    reads = {p for p in before.slots if everything or _attribute(p) in loaded}
    reads |= {p for p in after.slots if p not in before.slots and (everything or _attribute(p) in loaded)}
    created = frozenset(p for p in after.slots if p not in before.slots)
    writes = frozenset(changed | quiet | created)
    return Access(frozenset(reads), writes, created, result, frozenset(loaded | stored), frozenset(stored))


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


def _attribute(path: str) -> str:
    """Return the name of the attribute in a path: the last part that is no place in a list."""
    parts = [part for part in path.split("/") if not part.lstrip("-").isdigit()]
    return parts[-1] if parts else path


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
    for thing in objects:
        for cls in type(thing).__mro__:
            if name in vars(cls):
                yield vars(cls)[name]
        held = getattr(thing, "__dict__", {}).get(name)
        if callable(held):
            yield held
