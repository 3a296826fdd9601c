"""The order in which behaviors are initialised and executed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recurra.errors import OptionError, TemplateError
from recurra.groups.behavior import Behavior
from recurra.groups.settings import settle, unsettle
from recurra.groups.tags import is_number

if TYPE_CHECKING:
    from recurra.groups.network import GroupNetwork
    from recurra.groups.objects import NetworkObject


@dataclass(eq=False)
class Entry:
    """Hold one behavior of one object, as it stands in the schedule.

    Arguments:
        key: its number; smaller numbers come first.
        behavior, parent: what is called, and what it is called with.
        ready: whether it has been initialised.

    >>> from recurra.groups import Behavior, GroupNetwork, NeuronGroup
    >>> class Add(Behavior):
    ...     def iteration(self, neurons):
    ...         pass
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 1, tag="cells", behavior={3: Add()})
    >>> entry, = net.schedule
    >>> str(entry), entry.ready, entry.active
    ("behavior 3: Add of 'cells'", False, True)
    """

    key: float
    behavior: Behavior
    parent: NetworkObject
    ready: bool = False

    @property
    def active(self) -> bool:
        """Tell whether a step executes it."""
        return self.behavior.behavior_enabled and type(self.behavior).iteration is not Behavior.iteration

    def initialize(self) -> None:
        """Initialise the behavior, and check that it knows each of its keywords."""
        unsettle(self.behavior)
        self.call(self.behavior.initialize)
        self.behavior.check_keywords(str(self))
        settle(self.behavior, self.parent)
        self.ready = True

    def call(self, method: Any) -> None:
        """Call a method of the behavior with the parent; an error from inside says where it happened."""
        try:
            method(self.parent)
            for group in self.parent.network.node_groups:
                group.check()
        except Exception as error:
            if not getattr(error, "__notes__", None):
                name, step = getattr(method, "__name__", "check_run"), self.parent.iteration
                when = f", iteration {step}" if type(step) is int else ""  # it is none while a step is traced
                error.add_note(f"in {name}() of {self}{when}")
                seen = [path for group in self.parent.network.node_groups for path in group.reads.values()]
                if seen and "read-only" in str(error):
                    error.add_note(f"{', '.join(seen)}: computed by equations of nodes, so behaviors only read them;"
                                   " add to an input of the node instead.")  # fmt: skip
            raise

    def __str__(self) -> str:
        return f"behavior {self.key:g}: {type(self.behavior).__name__} of {self.parent.tag!r}"


class Schedule:
    """Keep the behaviors of a network and all its groups in their order.

    The order is by number over all objects; equal numbers keep the order in which they came. A step executes them in
    this order, and one sees what the one before has done.

    >>> from recurra.groups import Behavior, GroupNetwork, NeuronGroup
    >>> class Leak(Behavior): ...
    >>> class Add(Behavior): ...
    >>> net = GroupNetwork()
    >>> a = NeuronGroup(net, 1, tag="a", behavior={2: Leak(), 1: Add()})
    >>> b = NeuronGroup(net, 1, tag="b", behavior={1.5: Leak(), 1: Add()})
    >>> for entry in net.schedule:
    ...     print(entry)
    behavior 1: Add of 'a'
    behavior 1: Add of 'b'
    behavior 1.5: Leak of 'b'
    behavior 2: Leak of 'a'
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def insert(self, entry: Entry) -> None:
        """Put an entry behind all that have its number or a smaller one."""
        place = sum(1 for other in self._entries if other.key <= entry.key)
        self._entries.insert(place, entry)

    def remove(self, behavior: Behavior, parent: object) -> None:
        """Take the behavior of one object out."""
        self._entries = [e for e in self._entries if not (e.behavior is behavior and e.parent is parent)]

    def set(self, entries: list[Entry]) -> None:
        """Put the entries of an earlier time in place of those of now."""
        self._entries = list(entries)

    def drop(self, parent: object) -> None:
        """Take all behaviors of an object out."""
        self._entries = [e for e in self._entries if e.parent is not parent]

    def initialize(self) -> None:
        """Initialise everything in order; behaviors that ask for it come last."""
        for last in (False, True):
            for entry in self:
                kind = entry.behavior
                if not kind.initialize_on_init and kind.initialize_last is last:
                    entry.initialize()

    def check_ready(self) -> None:
        """Complain if something has not been initialised."""
        waiting = [str(entry) for entry in self if not entry.ready]
        if waiting:
            raise TemplateError(f"{'; '.join(waiting)}: not initialised yet; call initialize() of the network first.")

    def check_run(self) -> None:
        """Let every behavior complain of what a run cannot do, or could not do."""
        for entry in self:
            if entry.active or type(entry.behavior).iteration is Behavior.iteration:
                entry.call(entry.behavior.check_run)


def begin_step(network: GroupNetwork) -> None:
    """Advance the equations that groups are joined to, and count the step."""
    nodes = network.nodes_among_groups()
    if nodes is not None:
        nodes.step()
    network.iteration += 1
    for group in network.node_groups:
        group.take_over()


def run_step(schedule: Schedule, network: GroupNetwork) -> None:
    """Execute one step: begin it, then each enabled behavior in order.

    What a behavior adds or removes is executed, or not, from the next step on.

    Arguments:
        schedule: who is executed, in order.
        network: whose step it is.

    >>> from recurra.groups import Behavior, GroupNetwork, NeuronGroup
    >>> class Add(Behavior):
    ...     def initialize(self, neurons):
    ...         neurons.v = neurons.vector(1.0)
    ...     def iteration(self, neurons):
    ...         neurons.v += 1
    >>> class Double(Behavior):
    ...     def iteration(self, neurons):
    ...         neurons.v *= 2
    >>> net = GroupNetwork()
    >>> cells = NeuronGroup(net, 1, behavior={1: Add(), 2: Double()})
    >>> net.initialize()
    >>> run_step(net.schedule, net)  # first Add, then Double
    >>> float(cells.v[0]), net.iteration
    (4.0, 1)
    """
    begin_step(network)
    for entry in schedule:
        if entry.active:
            entry.call(entry.behavior.iteration)


def check_key(key: object, where: str) -> float:
    """Return the number of a behavior, or say why it cannot be one."""
    if not is_number(key) or not math.isfinite(key):  # type: ignore[arg-type]
        raise OptionError(f"{where}: the number of a behavior must be a finite number, got {key!r}.")
    return key  # type: ignore[return-value]
