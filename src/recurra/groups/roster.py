"""What a step executes, and the objects whose attributes it works on, each under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import CapabilityError
from recurra.groups.gate import NUMBERS, RECORDS
from recurra.groups.recorders import Watcher
from recurra.groups.recordings import Events
from recurra.groups.tags import free_name
from recurra.tracing import packed, refuse, session_of

if TYPE_CHECKING:
    from recurra.groups.network import GroupNetwork
    from recurra.groups.schedule import Entry

COUNTER = "the count of steps"
CLOCK = "_iteration"  # the path of the number of the step
PACKED = ":packed"


@dataclass(frozen=True)
class Member:
    """Hold one executed behavior under a name of its own."""

    name: str
    entry: Entry

    @property
    def watcher(self) -> Watcher | None:
        """Return the behavior if it is a recorder."""
        return self.entry.behavior if isinstance(self.entry.behavior, Watcher) else None

    def run(self, change: Callable[[Callable], Callable] | None = None) -> Mapping[str, object] | None:
        """Execute the behavior, or what `change` makes of it; a recorder only tells what it would record."""
        if self.watcher is not None:
            return self.watcher.observed()
        iteration = self.entry.behavior.iteration
        self.entry.call(iteration if change is None else change(iteration))
        return None

    def trace(self, change: Callable[[Callable], Callable] | None = None) -> Mapping[str, object] | None:
        """Execute the behavior while it is traced: nothing of it may stay, and it may not change what a step is.

        Raises:
            Refusal: it switches behaviors or recording on or off, adds or removes something, or looks at records.
        """
        if self.watcher is not None:
            # Of events only 1 bit for each neuron is put out.
            found = {name: (value, self.watcher.kept[name]) for name, value in self.watcher.observed().items()}
            words = {name: packed(value) for name, (value, keeper) in found.items() if isinstance(keeper, Events)}
            return {n: v for n, (v, _) in found.items() if words.get(n) is None} | {
                n + PACKED: value for n, value in words.items() if value is not None
            }
        network = self.entry.parent.network
        before = Structure(network)

        def refusal(what: str) -> BaseException:
            escape = refuse(f"it looks at {what}, which compiled steps bring up to date in the end", what == NUMBERS)
            session = session_of(network._iteration)
            return escape if session is None else session.leave(escape)

        try:
            with network.looking.closed(self.name, refusal, RECORDS, NUMBERS):
                return self.run(change)
        finally:
            if before.restore():
                raise refuse("it changes which behaviors are executed, or what is recorded", whole=True, here=False)

    def execute(self, *closed: str) -> None:
        """Execute the behavior, recorders included.

        Arguments:
            closed: what is not up to date now, so that it must not look at it.

        Raises:
            CapabilityError: it does.
        """

        def error(what: str) -> BaseException:
            return CapabilityError(f"{self.name} looks at {what}, which is not up to date while other behaviors are"
                                   " compiled; run with simulate_iterations(steps, compile=False).")  # fmt: skip

        with self.entry.parent.network.looking.closed(self.name, error, *closed):
            self.entry.call(self.entry.behavior.iteration)


def check_end(network: GroupNetwork, state: Mapping[str, object]) -> None:
    """Let behaviors look at the end of a run that has left the objects as they were; see `Behavior.check_run`."""
    for member in Roster(network).members:
        stem, entry = f"{member.name}/", member.entry
        end = {key.removeprefix(stem): value for key, value in state.items() if key.startswith(stem)}
        entry.call(partial(entry.behavior.check_run, end=end))


class Structure:
    """Remember which groups and behaviors a network has, and which of them are switched on.

    Arguments:
        network: the network.
    """

    def __init__(self, network: GroupNetwork):
        self.network = network
        self._before = self._now()

    def _now(self) -> tuple[list, list, list, list, list]:
        network = self.network
        switches = [(e.behavior, "behavior_enabled", e.behavior.behavior_enabled) for e in network.schedule]
        switches += [(obj, "recording", obj.recording) for obj in network.all_objects()]
        entries = list(network.schedule)
        held = [dict(obj.behavior) for obj in network.all_objects()]
        return entries, list(network.NeuronGroups), list(network.SynapseGroups), held, switches

    def restore(self) -> bool:
        """Put back what has changed since; tell whether something has."""
        entries, neurons, synapses, held, switches = self._before
        if all(a is b for a, b in zip(_flat(self._before), _flat(self._now()), strict=False)) and len(
            _flat(self._before)
        ) == len(_flat(self._now())):
            return False
        self.network.NeuronGroups, self.network.SynapseGroups = neurons, synapses
        self.network.schedule.set(entries)
        for obj, own in zip(self.network.all_objects(), held, strict=True):
            obj._behavior = own
        for obj, name, value in switches:
            setattr(obj, name, value)
        return True


def _flat(parts: tuple[list, list, list, list, list]) -> list:
    entries, neurons, synapses, _, switches = parts
    return [*entries, *neurons, *synapses, *(thing for switch in switches for thing in switch)]


def count_step(network: GroupNetwork) -> None:
    """Count a step."""
    network.iteration += 1


class Roster:
    """Name the executed behaviors of a network, and everything that has attributes.

    A path is the tag of a group, of its behavior, and the name of an attribute: `cells/Leak/threshold`,
    `cells/voltage`, `GLU/W`. Where two would be called alike, the second gets a number.
    """

    def __init__(self, network: GroupNetwork):
        taken: set[str] = set()
        self.objects = {"": network} | named(network, taken)
        place = {id(obj): path for path, obj in self.objects.items()}
        self.members = [
            Member(free_name("/".join([*filter(None, [place[id(e.parent)]]), e.behavior.tag]), taken), e)
            for e in network.schedule
            if e.active
        ]

    @cached_property
    def roots(self) -> dict[str, object]:
        """Map paths to the objects whose attributes are the state of the network."""
        return {**self.objects, **{m.name: m.entry.behavior for m in self.members if m.watcher is None}}

    @cached_property
    def signature(self) -> tuple:
        """What a compiled step depends on beside variables: what is executed in which order, what is recorded."""
        watched = [(tuple(m.watcher.kept), m.entry.parent.recording) for m in self.members if m.watcher is not None]
        return (*((m.name, id(m.entry.behavior), id(m.entry.parent)) for m in self.members), *watched)

    def slots(self) -> dict[str, Any]:
        """Map paths to the numbers and arrays that are attributes."""
        found = {}
        for path, obj in self.roots.items():
            for name, value in vars(obj).items():
                if isinstance(value, np.ndarray | np.generic | bool | int | float):
                    found[f"{path}/{name}" if path else name] = value
        return found

    def values(self, paths: Iterable[str]) -> dict[str, Any]:
        """Return the attributes of some paths."""
        return {path: getattr(*self._place(path)) for path in paths}

    def put(self, values: Mapping[str, Any]) -> None:
        """Set the attributes of some paths."""
        from recurra.groups.nodes import NodeGroup

        for path, value in values.items():
            obj, name = self._place(path)
            old = getattr(obj, name)
            if isinstance(obj, NodeGroup) and name in obj.reads:
                obj.show({name: value})
            else:
                setattr(obj, name, value if isinstance(old, np.ndarray) else type(old)(value))

    def replace(self, path: str, value: Any) -> None:
        """Set one attribute, whatever it was."""
        setattr(*self._place(path), value)

    def _place(self, path: str) -> tuple[object, str]:
        root, _, name = path.rpartition("/")
        return self.roots[root], name


def named(network: GroupNetwork, taken: set[str]) -> dict[str, Any]:
    """Return the groups of a network, nodes first, each under a name of its own: its tag, or `tag#2`."""
    groups = (*network.node_groups, *network.NeuronGroups, *network.SynapseGroups)
    return {free_name(group.tag, taken): group for group in groups}
