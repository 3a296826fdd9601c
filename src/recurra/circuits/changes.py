"""Change values in a circuit: find what the paths speak of, then make a new circuit that shares the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recurra import errors
from recurra.circuits import paths
from recurra.circuits.circuit import CircuitTemplate
from recurra.circuits.edges import Connectivity, pick, read_edge_values, stored_keys
from recurra.circuits.nodes import PopulationTemplate
from recurra.circuits.templates import expect_mapping, listed, short
from recurra.circuits.values import as_value

_CONNECTION = {"weight": "weights", "weights": "weights", "delay": "delays", "delays": "delays", "spread": "spread"}


class _Link(NamedTuple):
    """Say where an edge is: what precedes the paths of its circuit, whether it is a connection, and its place."""

    prefix: str
    matrix: bool
    place: int


_Nodes = Mapping[str, Mapping[tuple[str, str], object]]
_Links = Mapping[_Link, Mapping[str, Any]]


def change_values(
    circuit: CircuitTemplate, node_vars: Mapping[str, object] | None, edge_vars: Iterable[Sequence[Any]] | None
) -> CircuitTemplate:
    """Return a new circuit with other values; see :meth:`CircuitTemplate.update_var`."""
    nodes: dict[str, dict[tuple[str, str], object]] = {}
    for pattern, value in expect_mapping(node_vars, f"{circuit.name}, node_vars", "{'a/op/tau': 1.0}").items():
        places = paths.find_variables(circuit.leaves, pattern, circuit.name)
        for place, own in zip(places, _spread(circuit, value, places, pattern), strict=True):
            nodes.setdefault(place.node, {})[place.operator, place.variable] = own
    links: dict[_Link, dict[str, Any]] = {}
    for entry in listed(edge_vars, circuit.name, "edge_vars"):
        _plan_links(circuit, entry, links)
    return _rebuild(circuit, "", nodes, links)


def _spread(circuit: CircuitTemplate, value: Any, places: Sequence[paths.Place], pattern: str) -> Sequence[object]:
    """Give each matched place its part of a value."""
    if isinstance(value, str | Mapping) or np.ndim(value) == 0:
        return [value] * len(places)
    if len(places) == 1:
        leaf = circuit.leaves[places[0].node]
        if isinstance(leaf, PopulationTemplate) or np.ndim(leaf.get_var(*places[0][1:])):
            return [value]
    array = as_value(value, f"{circuit.name}, {pattern}")
    if not isinstance(array, np.ndarray) or array.shape != (len(places),):
        raise errors.ShapeError(
            f"{circuit.name}, {pattern}: expected a number or {len(places)} numbers, one for each matched node, got "
            f"an array of shape {np.shape(array)}."
        )
    return array.tolist()


def _plan_links(circuit: CircuitTemplate, entry: object, planned: dict[_Link, dict[str, Any]]) -> None:
    """Find the edges that an entry of `edge_vars` speaks of."""
    if not isinstance(entry, list | tuple) or len(entry) not in (3, 4):
        raise errors.TemplateError(
            f"{circuit.name}, edge_vars: expected (source, target, {{'weight': 1.0}}) or (source, target, idx, "
            f"{{...}}), got {short(entry)}."
        )
    source, target, *idx, changes = entry
    name = f"{source} -> {target}"
    where = f"{circuit.name}, edge {name}"
    changes = expect_mapping(changes, where, "{'weight': 1.0}")
    found = _find_links(circuit, source, target)
    if idx or not found or not (paths.is_pattern(source) or paths.is_pattern(target)):
        found = [found[pick(len(found), idx[0] if idx else None, name, circuit.edge_names())]]
    for key, value in changes.items():
        parts = [value] * len(found)
        if not isinstance(value, str) and np.ndim(value) > 0 and not (len(found) == 1 and found[0].matrix):
            array = as_value(value, f"{where}, {key}")
            if not isinstance(array, np.ndarray) or array.shape != (len(found),):
                raise errors.ShapeError(
                    f"{where}, {key}: expected a number or {len(found)} numbers, one for each edge, got an array of "
                    f"shape {np.shape(array)}."
                )
            parts = array.tolist()
        for link, part in zip(found, parts, strict=True):
            planned.setdefault(link, {})[key] = part


def _find_links(circuit: CircuitTemplate, source: object, target: object) -> list[_Link]:
    from_, to = paths.end_matcher(source), paths.end_matcher(target)
    return [
        _Link(prefix, matrix, place)
        for prefix, part in circuit.walk()
        for matrix, links in ((False, part.edges), (True, part.connections))
        for place, link in enumerate(links)
        if from_(prefix + link.source) and to(prefix + link.target)
    ]


def _rebuild(circuit: CircuitTemplate, prefix: str, nodes: _Nodes, links: _Links) -> CircuitTemplate:
    """Return a circuit with changed nodes and edges; what is not touched is shared."""

    def changed(label: str, leaf: Any) -> Any:
        return leaf.with_values(nodes[prefix + label]) if prefix + label in nodes else leaf

    touched = [*nodes, *(link.prefix for link in links)]
    inner = {
        label: _rebuild(part, f"{prefix}{label}/", nodes, links)
        if any(path.startswith(f"{prefix}{label}/") for path in touched)
        else part
        for label, part in circuit.circuits.items()
    }
    edges, connections = list(circuit.edges), list(circuit.connections)
    for link, changes in links.items():
        if link.prefix != prefix:
            continue
        if link.matrix:
            connections[link.place] = _change_connection(connections[link.place], changes, circuit.name)
            continue
        edge = edges[link.place]
        where = f"{circuit.name}, edge {edge.source} -> {edge.target}"
        values = read_edge_values({**edge.values, **stored_keys(changes, edge)}, edge.template, where)
        edges[link.place] = edge._replace(values=values)
    return CircuitTemplate(
        circuit.name,
        circuit.path,
        circuit.description,
        circuits=inner,
        nodes={label: changed(label, leaf) for label, leaf in circuit.nodes.items()},
        edges=edges,
        populations={label: changed(label, leaf) for label, leaf in circuit.populations.items()},
        connections=connections,
        reference=circuit.reference,
    )


def _change_connection(link: Connectivity, changes: Mapping[str, Any], where: str) -> Connectivity:
    parts: dict[str, Any] = {
        "weights": link.weights,
        "edge": link.edge,
        "edge_var_map": link.edge_var_map,
        "delays": link.delays,
        "spread": link.spread,
    }
    for key, value in changes.items():
        if key in _CONNECTION:
            parts[_CONNECTION[key]] = value
            continue
        operator, slash, variable = str(key).partition("/")
        if link.edge is None or not slash:
            known = ("weight", "delay", "spread")
            raise errors.TemplateError(errors.unknown("part of a connection", key, known, f"{where}, {link!r}"))
        parts["edge"] = parts["edge"].update_var(operator, variable, value)
    return Connectivity(link.source, link.target, **parts)
