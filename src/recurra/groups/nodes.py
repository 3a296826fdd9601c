"""Nodes of equations among groups: what behaviors see of them, and what the runner needs to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from recurra.engine import Graph, Rule
from recurra.groups.neurons import NeuronGroup

if TYPE_CHECKING:
    from recurra.groups.network import GroupNetwork

TAKE_OVER = "inputs of nodes"


class NodeGroup(NeuronGroup):
    """Show a node of equations to behaviors: its variables are attributes.

    The equations advance first in every step. Behaviors then read what the variables have become. An input whose name
    a behavior mentions belongs to the behaviors: it is 0 at the beginning of their turn, what they add to it is felt by
    the equations during the next step, and its default is felt no more.

    Arguments:
        net: the network.
        label: the label of the node.
        size: number of units.
        reads: attribute -> path of a variable that behaviors may read.
        inputs: attribute -> path of an input.
        widths: attribute -> how many numbers it has, where that is not the number of units.
    """

    def __init__(
        self,
        net: GroupNetwork,
        label: str,
        size: int,
        reads: Mapping[str, str],
        inputs: Mapping[str, str],
        widths: Mapping[str, int] | None = None,
    ):
        self._set_up(net, [label, "NodeGroup"])
        self.BaseNeuronGroup, self.mask, self.color = self, True, None
        self.size, self.id = size, np.arange(size)
        self.reads, self.inputs = dict(reads), dict(inputs)
        self.fed: tuple[str, ...] = ()
        self.widths = dict.fromkeys((*reads, *inputs), size) | dict(widths or {})
        for name in (*reads, *inputs):
            setattr(self, name, np.zeros(self.widths[name]))

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
