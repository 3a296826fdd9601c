"""Which behaviors may run in Python, apart from the compiled ones: before them, after them, or within each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from recurra.groups.roster import CLOCK
from recurra.tracing import Access, joined, memory_links, named_slots
from recurra.tracing.slots import Inventory

# What a behavior says if it may change which behaviors are executed, or what is recorded.
RESTRUCTURING = frozenset(
    {"add_behavior", "add_behaviors", "remove_behavior", "set_behaviors", "activate_behaviors"}
    | {"deactivate_behaviors", "behavior_enabled", "recording", "recording_on", "recording_off"}
    | {"NeuronGroup", "SynapseGroup"}
    | {"get_var", "set_var", "snapshot"}  # which look at, or set, where all of the network stands
)


@dataclass(frozen=True)
class Apart:
    """Say how a behavior is kept apart from the compiled ones.

    Arguments:
        kind: `"hoisted"` (run ahead of a block), `"fed"` (run after it), or `"called"` (run within each step).
        private: what it writes, and nobody else reads.
        stored: the names of the attributes that it assigns.
        slots: what it writes, and is given to the others; or what it reads, and is handed to it.
        gives: of one that is called, what it gives back.
        why: the construct that cannot be traced.
    """

    kind: str
    slots: tuple[str, ...]
    why: str
    private: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()
    gives: tuple[str, ...] = ()

    def owns(self, path: str, name: str) -> bool:
        """Tell whether a change at a path is its own affair; `name` is that of the behavior."""
        return path in self.private or path.startswith(f"{name}/") or path.rpartition("/")[2] in self.stored


def shared(accesses: Mapping[str, Access], slots: Iterable[str]) -> dict[str, Access]:
    """Return accesses in which what is written counts for all that may hold the same, whichever body made it so."""
    aliases = [pair for access in accesses.values() for pair in access.aliases]
    found = {}
    for name, access in accesses.items():
        touched = joined(access.touched, aliases)
        more = {path for path in slots if touched & set(path.split("/"))} if touched != access.touched else set()
        found[name] = replace(access, touched=frozenset(touched), writes=access.writes | more)
    return found


def _meet(first: Access, second: Access, slots: Iterable[str]) -> bool:
    """Tell whether a body may change something that another one reads and that cannot be handed over."""
    if "*" in first.touched:
        return True
    known = {path.rpartition("/")[2] for path in slots}
    return bool({name.removeprefix("@") for name in first.touched if name not in known} & second.names)


def tied(name: str, accesses: Mapping[str, Access], inventory: Inventory) -> str:
    """Say why a behavior cannot be called within compiled steps: these hand over numbers, but no memory.

    Arguments:
        name: its name.
        accesses: what each behavior does.
        inventory: all arrays.

    Returns:
        What it writes that shares memory, or may come to, where anyone changes this in place; or nothing.
    """
    links = memory_links(inventory, {pair for access in accesses.values() for pair in access.aliases})
    inplace = {changed for access in accesses.values() for changed in access.inplace}
    changed = named_slots(inplace, inventory.slots, inventory.roots)
    for path in sorted(accesses[name].writes) if links else ():
        group = {p for p in joined({path}, links) if getattr(inventory.slots.get(p), "kind", "") == "array"}
        if len(group) > 1 and group & changed:
            other = min(group - {path}, key=lambda p: (p not in changed, p))
            here = path if path in changed else min(group & changed)
            return f"{path} shares memory with {other}, or may come to, and {here} is changed in place"
    return ""


def place_apart(name: str, why: str, accesses: Mapping[str, Any], slots: Mapping[str, Any]) -> Apart | None:
    """Find out how a behavior can be kept apart from the others without changing anything.

    Arguments:
        name: its name.
        why: the construct that cannot be traced.
        accesses: what each behavior reads and writes, in the order of execution.
        slots: the variables that could be handed over.

    Returns:
        How, or `None` if it cannot.
    """
    order = list(accesses)
    if accesses[name].names & RESTRUCTURING:
        return None
    accesses = shared(accesses, slots)
    own, place = accesses[name], order.index(name)
    others = {other: access for other, access in accesses.items() if other != name}
    written = {path for access in others.values() for path in access.writes}
    read = {path for access in others.values() for path in access.reads}
    if any(_meet(own, other, slots) or _meet(other, own, slots) for other in others.values()):
        return None  # a text, an object or a global that the other reads
    read_names = {path.rpartition("/")[2] for path in read}
    shown = [path for path in sorted(own.writes) if path in read]
    earlier = {path for other in order[:place] for path in accesses[other].reads | accesses[other].writes}
    if not own.reads & written and not own.writes & (written | earlier) and all(p in slots for p in shown):
        return Apart("hoisted", tuple(shown), why, own.writes - read, own.stored - read_names)
    needed = [path for path in sorted(own.reads) if path in written]
    if not own.writes & (read | written) and all(path in slots for path in needed):
        return Apart("fed", tuple(needed), why, own.writes - read, own.stored - read_names)
    gives = sorted(own.writes & (read | written))
    handed = sorted({*needed, *gives})
    if all(path in slots and path != CLOCK for path in gives) and all(path in slots for path in handed):
        handed = [path for path in handed if path != CLOCK]
        names = read_names | {path.rpartition("/")[2] for path in written}
        return Apart("called", tuple(handed), why, own.writes - set(gives), own.stored - names, tuple(gives))
    return None
