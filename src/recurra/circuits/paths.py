"""Find nodes, variables and edges of a circuit by paths, in which `all` stands for any node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from recurra import errors
from recurra.circuits.nodes import NodeTemplate, PopulationTemplate
from recurra.circuits.templates import WILDCARD, short
from recurra.engine.layout import matches

Leaf = NodeTemplate | PopulationTemplate


class Place(NamedTuple):
    """Say where a variable is: path of the node, operator, variable."""

    node: str
    operator: str
    variable: str


def is_pattern(path: str) -> bool:
    """Say whether a path holds the wildcard."""
    return WILDCARD in path.split("/")


def find_nodes(nodes: Mapping[str, Leaf], pattern: str, where: str) -> list[str]:
    """Return the paths of the nodes that match, in the order of the circuit.

    Raises:
        PathError: if there is none.
    """
    if not isinstance(pattern, str):
        raise errors.PathError(f"{where}: expected the path of a node, got {short(pattern)}.")
    if pattern in nodes:
        return [pattern]
    found = [path for path in nodes if matches(pattern, path)] if is_pattern(pattern) else []
    if not found:
        raise errors.PathError(errors.unknown("node", pattern, nodes, where))
    return found


def find_variables(nodes: Mapping[str, Leaf], pattern: str, where: str) -> list[Place]:
    """Return the places that match `"node/operator/variable"`, in the order of the circuit.

    Raises:
        PathError: if there is none; the message holds near names.
    """
    parts = pattern.split("/") if isinstance(pattern, str) else []
    if len(parts) < 3 or not all(parts):
        raise errors.PathError(f"{where}: expected a path 'node/operator/variable', got {short(pattern)}.")
    node, operator, variable = "/".join(parts[:-2]), parts[-2], parts[-1]
    found: list[Place] = []
    failure: errors.PathError | None = None
    for path in find_nodes(nodes, node, where):
        leaf = nodes[path]
        for name in leaf if operator == WILDCARD else [operator]:
            try:
                leaf.variable(name, variable, path)
            except errors.PathError as error:
                failure = failure or error
            else:
                found.append(Place(path, name, variable))
    if not found:
        raise errors.PathError(f"{where}: {failure}")
    return found


def check_end(nodes: Mapping[str, Leaf], path: str, kinds: Iterable[str], where: str) -> None:
    """Check that one end of an edge exists and is of one of the kinds that it may be."""
    parts = path.split("/")
    node = "/".join(parts[:-2])
    if len(parts) < 3 or not all(parts):
        raise errors.PathError(f"{where}: expected a path 'node/operator/variable', got {path!r}.")
    if node not in nodes:
        hint = " An edge joins single nodes; use add_edges_from_matrix for many." if is_pattern(node) else ""
        raise errors.PathError(errors.unknown("node", node, nodes, where) + hint)
    leaf = nodes[node]
    kind = leaf.variable(parts[-2], parts[-1], f"{where}: {node}").kind
    if kind not in kinds:
        known = leaf[parts[-2]].to_operator().variables
        fit = [name for name, entry in known.items() if entry.kind in kinds]
        raise errors.TemplateError(
            f"{where}: {path!r} is of kind {kind}, expected {' or '.join(kinds)}; {parts[-2]!r} has "
            f"{', '.join(fit) or 'none of these'}."
        )


def end_matcher(path: object) -> Callable[[str], bool]:
    """Return what tells whether an end of an edge is meant; the path of a node stands for all its variables."""
    if not isinstance(path, str):
        raise errors.PathError(f"expected the path of a node or variable, got {short(path)}.")

    def meant(end: str) -> bool:
        return matches(path, end) or (end.count("/") > 1 and matches(path, end.rsplit("/", 2)[0]))

    return meant
