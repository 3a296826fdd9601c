"""Where the numbers of a path live: `node/operator/variable` and `source->target/weight` to storage key and index.

Nodes with equal equations share arrays, so a path addresses a slice of an array. `all` in the place of a node (or of a
circuit that holds nodes) addresses every match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import PathError, unknown

EDGE_PARTS = ("weight", "delay", "spread")
WILDCARD = "all"
_UNIT = re.compile(r"^(?P<path>.*)\[(?P<unit>\d+)\]$")


def matches(pattern: str, path: str) -> bool:
    """Say whether a path is meant by a pattern, in which `all` stands for one or more levels.

    >>> matches("all/e", "left/column/e"), matches("all/e", "e")
    (True, False)
    """
    levels = path.split("/")
    reached = {0}  # how many levels the parts so far can stand for; many `all` cost no more than their number
    for part in pattern.split("/"):
        if part == WILDCARD:
            reached = set(range(min(reached) + 1, len(levels) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(levels) and levels[at] == part}
        if not reached:
            return False
    return len(levels) in reached


@dataclass(frozen=True)
class VariableInfo:
    """Describe one variable of a group: its kind, its unit and the storage key of its array."""

    kind: str
    unit: str
    key: str
    size: int


@dataclass(frozen=True)
class NodePlace:
    """Say where a node sits: which group, which of its units, and how its operators are called."""

    group: int
    start: int
    stop: int
    operators: tuple[str, ...]


@dataclass(frozen=True)
class EdgePlace:
    """Say where an edge's weight, delay and spread sit; an empty key means that the edge has none.

    The spread has the index of the delay.
    """

    weight_key: str
    weight_index: Any
    delay_key: str
    delay_index: Any
    spread_key: str = ""

    def part(self, what: str) -> tuple[str, Any]:
        """Return key and index of the weight, the delay or the spread."""
        key = {"weight": self.weight_key, "delay": self.delay_key, "spread": self.spread_key}[what]
        return key, self.weight_index if what == "weight" else self.delay_index


@dataclass(frozen=True)
class Target:
    """One match of a path: the array it lives in and the place there.

    Arguments:
        path: the full path, without wildcards.
        key: storage key of the array.
        kind: `"state"`, `"algebraic"`, `"parameter"`, `"input"`, `"weight"`, `"delay"`, `"spread"` or
            `"emitted"`.
        index: what selects the units in the array.
        size: number of units selected.
        unit: the unit's label, for people.
    """

    path: str
    key: str
    kind: str
    index: Any
    size: int
    unit: str = ""


class Layout:
    """Resolve paths to places; made once when a graph is lowered and never changed."""

    def __init__(
        self,
        nodes: dict[str, NodePlace],
        groups: list[tuple[dict[str, VariableInfo], ...]],
        edges: dict[str, EdgePlace],
        arrays: dict[str, Target],
    ):
        self.nodes, self.groups, self.edges, self.arrays = nodes, groups, edges, arrays

    def resolve(self, path: str) -> list[Target]:
        """Return every place that `path` addresses, in the order of the nodes.

        Raises:
            PathError: nothing matches; the message holds near names.
        """
        if not isinstance(path, str):
            raise PathError(f"a path is a text like 'node/operator/variable', got {type(path).__name__}.")
        if path in self.arrays:
            return [self.arrays[path]]
        unit = _UNIT.match(path)
        if unit:
            return [self._one_unit(t, int(unit["unit"]), path) for t in self.resolve(unit["path"])]
        head, _, last = path.rpartition("/")
        if last in EDGE_PARTS and head in self.edges:
            return [self._edge_target(path, head, last)]
        label = self._edge_of(head, last)
        if label:
            return [self._edge_target(path, label, "weight")]
        short = [t for t in self._of_node(head, last) if t is not None]
        if len(short) == 1:
            return short
        if path.count("/") < 2 or (self.arrays and not self.nodes):
            full = "" if not self.nodes else ": write 'node/operator/variable' ('all' as node for every node)"
            known = [*self.names(), *(f"{label}/weight" for label in self.edges)]
            raise PathError(f"{path!r} is no full path{full}. {unknown('path', path, known)}")
        node, operator, variable = path.rsplit("/", 2)
        targets = [
            t
            for label in self._matching(node)
            if (t := self._variable(label, operator, variable)) is not None
        ]
        if not targets:
            raise PathError(self._explain_miss(path, node, operator, variable))
        return targets

    def one(self, path: str) -> Target:
        """Return the single place of a path that may not address several nodes."""
        targets = self.resolve(path)
        if len(targets) > 1:
            raise PathError(
                f"{path!r} addresses {len(targets)} nodes, one was expected: name it, e.g. {targets[0].path!r}."
            )
        return targets[0]

    def describe(self, key: str, unit: int) -> str:
        """Name an entry of an array as its user would: the path of the variable or the edge it belongs to."""
        for target in self.targets(("state", "algebraic", "parameter", "input")):
            if target.key == key and target.index is ...:
                return f"{target.path}[{unit}]"
            if target.key == key and target.index.start <= unit < target.index.stop:  # type: ignore[attr-defined]
                return target.path if target.size == 1 else f"{target.path}[{unit - target.index.start}]"  # type: ignore
        for label, place in self.edges.items():
            for what in EDGE_PARTS:
                if place.part(what)[0] == key:
                    return f"{label}/{what}"
        return key

    def names(self, kinds: tuple[str, ...] = ("state", "algebraic", "parameter", "input")) -> list[str]:
        """List the full paths of all variables of the given kinds."""
        return [t.path for t in self.targets(kinds)]

    def targets(self, kinds: tuple[str, ...]) -> Iterator[Target]:
        """Yield every variable of the given kinds, node by node."""
        for label, place in self.nodes.items():
            for name, variables in zip(place.operators, self.groups[place.group], strict=True):
                for variable, info in variables.items():
                    if info.kind in kinds:
                        yield self._target(f"{label}/{name}/{variable}", place, info)
        yield from (target for target in self.arrays.values() if target.kind in kinds)

    def _edge_of(self, head: str, last: str) -> str:
        """Return the edge whose weights are meant by `edge/weights`, or, of a node to itself, by `node/weights`."""
        if last not in ("weight", "weights"):
            return ""
        return next((label for label in (head, f"{head}->{head}") if label in self.edges), "")

    def _of_node(self, node: str, variable: str) -> list[Target | None]:
        """Return what a node's operators call a variable, for paths that leave the operator out."""
        if node not in self.nodes:
            return []
        return [self._variable(node, operator, variable) for operator in self.nodes[node].operators]

    def _matching(self, node: str) -> list[str]:
        if node in self.nodes:
            return [node]
        if "all" not in node.split("/"):
            return []
        # An edge's own node is addressed by its full label only: `all` means the nodes a user named.
        return [label for label in self.nodes if "->" not in label and matches(node, label)]

    def _variable(self, label: str, operator: str, variable: str) -> Target | None:
        place = self.nodes[label]
        if operator not in place.operators:
            return None
        info = self.groups[place.group][place.operators.index(operator)].get(variable)
        return None if info is None else self._target(f"{label}/{operator}/{variable}", place, info)

    @staticmethod
    def _target(path: str, place: NodePlace, info: VariableInfo) -> Target:
        if info.size:  # a variable with a size of its own, in a group of one node
            return Target(path, info.key, info.kind, slice(0, info.size), info.size, info.unit)
        size = place.stop - place.start
        return Target(path, info.key, info.kind, slice(place.start, place.stop), size, info.unit)

    @staticmethod
    def _one_unit(target: Target, unit: int, path: str) -> Target:
        if unit >= target.size:
            raise PathError(f"{path!r}: {target.path!r} has {target.size} units, counted from 0.")
        index = target.index
        if index is ...:
            raise PathError(f"{path!r}: {target.path!r} is no vector; take the whole of it.")
        if isinstance(index, slice):
            index = slice(index.start + unit, index.start + unit + 1)
        elif isinstance(index, tuple):
            index = tuple(np.ravel(i)[unit] for i in index)
        else:
            index = np.ravel(index)[unit]
        return Target(f"{target.path}[{unit}]", target.key, target.kind, index, 1, target.unit)

    def _edge_target(self, path: str, label: str, what: str) -> Target:
        key, index = self.edges[label].part(what)
        if not key:
            raise PathError(f"{path!r}: this edge has no {what}; give it one in its definition.")
        return Target(path, key, what, index, _count(index))

    def _explain_miss(self, path: str, node: str, operator: str, variable: str) -> str:
        labels = self._matching(node)
        if not labels:
            return f"{path!r}: " + unknown("node", node, [n for n in self.nodes if "->" not in n] or self.nodes)
        place = self.nodes[labels[0]]
        if operator not in place.operators:
            return f"{path!r}: " + unknown("operator", operator, place.operators)
        variables = self.groups[place.group][place.operators.index(operator)]
        return f"{path!r}: " + unknown("variable", variable, variables)


def _count(index: Any) -> int:
    if isinstance(index, tuple):
        return max(_count(i) for i in index)
    return 1 if np.isscalar(index) else int(np.size(np.asarray(index)))
