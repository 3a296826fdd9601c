"""Nodes of equations among groups: what behaviors see of them, and what the runner needs to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from recurra.engine import Graph, Rule
from recurra.errors import CapabilityError
from recurra.groups.neurons import NeuronGroup

if TYPE_CHECKING:
    from recurra.groups.network import GroupNetwork

TAKE_OVER = "inputs of nodes"


class _Shown:
    """Hold what was shown of each variable, and a copy of it, out of the sight of whoever looks for numbers."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[np.ndarray, np.ndarray]] = {}


class NodeGroup(NeuronGroup):
    """Show a node of equations to behaviors: its variables are attributes.

    The equations advance first in every step. Behaviors then read what the variables have become. An input whose name
    a behavior mentions belongs to the behaviors: it is 0 at the beginning of their turn, what they add to it is felt by
    the equations during the next step, and its default is felt no more. Nothing else of a node can be written by
    behaviors: what they read is computed by its equations, so its arrays are read-only.

    Arguments:
        net: the network.
        label: the label of the node.
        size: number of units.
        reads: attribute -> path of a variable that behaviors may read.
        inputs: attribute -> path of an input.
        widths: attribute -> how many numbers it has, where that is not the number of units.
        numbers: attribute -> path of a parameter, which is set by `set_var` only.

    Raises:
        CapabilityError: something is assigned that behaviors cannot write.
    """

    reads: Mapping[str, str] = MappingProxyType({})
    numbers: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        net: GroupNetwork,
        label: str,
        size: int,
        reads: Mapping[str, str],
        inputs: Mapping[str, str],
        widths: Mapping[str, int] | None = None,
        numbers: Mapping[str, str] | None = None,
    ):
        self._set_up(net, [label, "NodeGroup"])
        self.BaseNeuronGroup, self.mask, self.color = self, True, None
        self.size, self.id = size, np.arange(size)
        self.fed: tuple[str, ...] = ()
        self.widths = dict.fromkeys((*reads, *inputs), size) | dict(widths or {})
        self._shown = _Shown()
        for name in inputs:
            setattr(self, name, np.zeros(self.widths[name]))
        self.inputs = dict(inputs)
        self.numbers, self.reads = dict(numbers or {}), dict(reads)
        self.show({name: np.zeros(self.widths[name]) for name in reads})

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.reads:
            raise CapabilityError(self._why_fixed(name))
        if name in self.numbers:
            path = self.numbers[name]
            raise CapabilityError(f"{path!r} is a parameter of a node, which behaviors cannot write;"
                                  f" net.set_var({path!r}, None, value) sets it between two runs.")  # fmt: skip
        super().__setattr__(name, value)

    def _why_fixed(self, name: str) -> str:
        inputs = ", ".join(self.inputs) or "the node has none yet"
        return (f"{self.reads[name]!r} is computed by the equations of node {self.tag!r}: behaviors read it, and cannot"
                f" write it. Add to an input of the node instead ({inputs}), which the equations feel in the next step;"
                " net.set_var sets a state between two runs.")  # fmt: skip

    def show(self, values: Mapping[str, np.ndarray]) -> None:
        """Let behaviors see what variables have become, in arrays that they cannot write."""
        for name, value in values.items():
            seen = vars(self)[name] = np.array(value)
            seen.flags.writeable = False
            self._shown.values[name] = seen, seen.copy()

    def check(self) -> None:
        """Complain of an array that was written nevertheless, as `np.add.at` does without asking."""
        for name, (seen, copy) in self._shown.values.items():
            if vars(self)[name] is seen and not np.array_equal(seen, copy, equal_nan=True):
                raise CapabilityError(self._why_fixed(name))

    def feed(self, mentioned: set[str]) -> None:
        """Let behaviors feed the inputs whose names they mention."""
        self.fed = tuple(name for name in self.inputs if name in mentioned)

    def take_over(self) -> None:
        """Set the inputs that behaviors feed to 0."""
        for name in self.fed:
            setattr(self, name, np.zeros(self.widths[name]))

    def __repr__(self) -> str:
        return f"NodeGroup({self.tag!r}, {self.size} units)"


class Nodes(Protocol):
    """What a runner asks of the equations of a network."""

    @property
    def dt(self) -> float:
        """Give the step."""
        ...

    def graph(self, rule: Rule | None) -> Graph:
        """Return all nodes and edges, with a rule among them that is joined to the node groups."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state of the equations, by storage key."""
        ...

    def put_state(self, state: Mapping[str, Any]) -> None:
        """Set the state of the equations, of the network's present step; other keys are ignored."""
        ...

    def step(self) -> None:
        """Advance the equations by one step, and show the node groups what has become of them."""
        ...
