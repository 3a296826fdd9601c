"""Edges between variables of a circuit, one by one or as a matrix between populations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from recurra import errors
from recurra.circuits.nodes import EdgeTemplate
from recurra.circuits.templates import (
    as_template,
    content_of,
    expect_mapping,
    frozen,
    listed,
    short,
)
from recurra.circuits.values import as_float, as_value, show
from recurra.engine import graph

_PARTS = ("source", "target", "template", "variables")
_PLAIN = ("weight", "delay", "spread")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class CircuitEdge(NamedTuple):
    """Hold one edge as the user gave it, with checked values.

    Arguments:
        source: path of the variable that the edge reads.
        target: path of the input that it feeds.
        template: what happens on the way; `None` for a plain edge.
        values: `weight`, and if given `delay`, `spread`, `"operator/variable"` -> number of the template, and
            `"edge/operator/variable"` -> `"source"` or the path that the input reads.

    >>> from recurra import CircuitTemplate
    >>> wc = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")
    >>> edge = wc.edges[0]
    >>> edge.source, edge.target, dict(edge.values)
    ('e/rate_op/r', 'e/se_op/r_in', {'weight': 15.0})
    """

    source: str
    target: str
    template: EdgeTemplate | None
    values: Mapping[str, Any]


def read_edge(raw: object, where: str) -> CircuitEdge:
    """Read an edge.

    Arguments:
        raw: `(source, target, template, values)`, of which the last two may be left out, or a mapping with `source`,
            `target`, `template` and `variables`.
        where: which edge, for errors.

    Returns:
        The edge.

    Raises:
        TemplateError: if it cannot be understood.
    """
    if isinstance(raw, CircuitEdge) and isinstance(raw.values, MappingProxyType):
        return raw
    if isinstance(raw, Mapping):
        for key in raw:
            if key not in _PARTS:
                raise errors.TemplateError(errors.unknown("part of an edge", key, _PARTS, where))
        parts = [raw.get(key) for key in _PARTS]
    elif isinstance(raw, list | tuple) and 2 <= len(raw) <= 4:
        parts = [*raw, None, None][:4]
    else:
        raise errors.TemplateError(
            f"{where}: expected [source, target, template or null, {{weight: 1.0}}], got {short(raw)}."
        )
    source, target, template, values = parts
    for end, path in (("source", source), ("target", target)):
        if not isinstance(path, str):
            raise errors.TemplateError(
                f"{where}: the {end} must be a path 'node/operator/variable', got {short(path)}."
            )
    where = f"{where}, {source} -> {target}"
    edge = _edge_template(template, where)
    given = expect_mapping(values, where, "{weight: 1.0}")
    return CircuitEdge(str(source), str(target), edge, read_edge_values(given, edge, where))


def _edge_template(template: object, where: str) -> EdgeTemplate | None:
    """Return the template of an edge; one without operators is none, a plain edge."""
    edge = as_template(template, EdgeTemplate, where) if template is not None else None
    return edge if edge is not None and list(edge) else None


def read_edge_values(
    given: Mapping[Any, Any], edge: EdgeTemplate | None, where: str, weights: Any = 1.0
) -> Mapping[str, Any]:
    """Check the values of an edge: numbers are finite, names exist, the wiring is complete.

    Arguments:
        given, edge, where: what the user gave, the template, and which edge, for errors.
        weights: of a connection, which may have a delay for each of them.
    """
    values: dict[str, Any] = {"weight": 1.0}
    wiring: dict[str, str] = {}
    for key, raw in given.items():
        if key in _PLAIN:
            if raw is not None:
                read = _delays if key == "delay" and np.ndim(weights) else as_float
                values[key] = read(raw, f"{where}, {key}")
        elif edge is None:
            hint = " Only an edge with a template has variables of its own." if "/" in str(key) else ""
            raise errors.TemplateError(errors.unknown("part of an edge without template", key, _PLAIN, where) + hint)
        elif isinstance(raw, str) and (raw == "source" or raw.count("/") > 1):
            wiring[edge.find_input(key, where)] = raw
        else:
            operator, variable = _edge_variable(key, edge, where)
            node = edge.with_values({(operator, variable): raw})
            values[f"{operator}/{variable}"] = node.get_var(operator, variable)
    for key in ("delay", "spread"):
        if np.any(np.asarray(values.get(key, 0.0)) < 0):
            raise errors.TemplateError(f"{where}: the {key} must not be negative, got {np.min(values[key])}.")
    if np.ndim(values.get("delay", 0.0)) and np.shape(values["delay"]) != np.shape(weights):
        raise errors.ShapeError(
            f"{where}: delays have shape {np.shape(values['delay'])}, expected a number or a matrix like the weights,"
            f" {np.shape(weights)} (target units, source units)."
        )
    if values.get("spread") and np.ndim(values.get("delay", 0.0)):
        raise errors.TemplateError(f"{where}: a spread needs one delay for all pairs, got a matrix of delays.")
    if values.get("spread") and not values.get("delay"):
        raise errors.TemplateError(f"{where}: a spread needs a delay to be spread; got no delay.")
    if edge is not None:
        complete = edge.complete(wiring, where)
        values.update({f"{edge.name}/{key}": path for key, path in complete.items()})
    return frozen(values)


def plain_edge(source: str, target: str, weight: float) -> CircuitEdge:
    """Make an edge of which only the weight is to be said; for many at a time."""
    return CircuitEdge(source, target, None, MappingProxyType({"weight": weight}))


def _edge_variable(key: object, edge: EdgeTemplate, where: str) -> tuple[str, str]:
    parts = str(key).split("/")
    if len(parts) == 3 and parts[0] == edge.name:
        parts = parts[1:]
    if len(parts) != 2:
        known = [*_PLAIN, *(f"{op}/{var}" for op in edge for var in edge[op].variables)]
        raise errors.TemplateError(errors.unknown("part of an edge", key, known, where))
    edge.variable(parts[0], parts[1], where)
    return parts[0], parts[1]


def wiring_of(edge: CircuitEdge) -> Iterator[tuple[str, str]]:
    """Yield `(operator/variable, what it reads)` for the inputs of an edge's operators."""
    for key, value in edge.values.items():
        if isinstance(value, str) and edge.template is not None:
            yield key.removeprefix(f"{edge.template.name}/"), value


def to_graph_edge(edge: CircuitEdge, prefix: str = "") -> graph.Edge:
    """Return the edge that the engine understands, its paths preceded by the path of the circuit it belongs to."""
    values = edge.values
    source, target = prefix + edge.source, prefix + edge.target
    if edge.template is None:
        return graph.Edge(source, target, values["weight"], values.get("delay"), values.get("spread"))
    plain = {k: v for k, v in values.items() if k not in _PLAIN and not isinstance(v, str)}
    changes = {tuple(key.split("/")): value for key, value in plain.items()}
    node = edge.template.with_values(changes).to_node() if changes else edge.template.to_node()  # pyright: ignore
    inputs = {key: path if path == "source" else prefix + path for key, path in wiring_of(edge)}
    return graph.Edge(
        source, target, values["weight"], values.get("delay"), values.get("spread"), node, inputs, edge.template.output
    )


def describe_edge(edge: CircuitEdge) -> str:
    """Return one line for people."""
    through = f" through {edge.template.name}" if edge.template else ""
    values = ", ".join(f"{k} {v if isinstance(v, str) else show(v)}" for k, v in edge.values.items())
    return f"{edge.source} -> {edge.target}{through}: {values}"


class Connectivity:
    """Join two populations by a matrix of weights, or by one weight for all pairs.

    Arguments:
        source: `"population/operator/variable"`, what is read.
        target: `"population/operator/variable"`, the input that is fed.
        weights: `W[target unit, source unit]`, or a number: then every target unit gets the number times the sum
            over all source units.
        edge: an :class:`EdgeTemplate` (or a path to one), evaluated for every pair of units.
        edge_var_map: input of the edge template -> `"source"` or the path that it reads.
        delays: one delay for all pairs, in the model's unit of time; or one for each, `[target unit, source unit]`, of
            which those that are 0 are none.
        spread: standard deviation of the delay.

    Raises:
        ShapeError: if the weights are no number and no matrix, or the delays have another shape than the weights.
        TemplateError: if a delay is negative or the wiring of the edge is not clear.

    >>> Connectivity("a/op/r", "b/op/r_in", np.ones((2, 3))).weights.shape
    (2, 3)
    >>> lengths, speed = np.array([[0.0, 30.0], [30.0, 0.0]]), 6.0  # mm, mm/ms
    >>> Connectivity("a/op/r", "a/op/r_in", np.ones((2, 2)), delays=lengths / speed).delays.tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """

    source: str
    target: str
    weights: float | np.ndarray
    edge: EdgeTemplate | None
    edge_var_map: Mapping[str, str]
    delays: float | np.ndarray | None
    spread: float | None

    def __init__(
        self,
        source: str,
        target: str,
        weights: object,
        edge: EdgeTemplate | str | None = None,
        edge_var_map: Mapping[str, str] | None = None,
        delays: object = None,
        spread: float | None = None,
    ):
        for end in (source, target):
            if not isinstance(end, str):
                raise errors.TemplateError(f"connection: expected a path 'population/operator/variable', got {end!r}.")
        where = f"connection {source} -> {target}"
        template = _edge_template(edge, where)
        weights = _weights(weights, where)
        delays = None if delays is None else _delays(delays, f"{where}, delay")
        if not np.ndim(weights) and np.ndim(delays):  # pyright: ignore[reportArgumentType]
            weights = _weights(np.full(np.shape(np.asarray(delays)), weights), where)  # pyright: ignore
        given: dict[str, Any] = {"delay": delays, "spread": spread}
        for key, value in expect_mapping(edge_var_map, where, "{'op/var': 'source'}").items():
            if not isinstance(value, str) or (value != "source" and value.count("/") < 2):
                raise errors.TemplateError(f"{where}: {key!r} must read 'source' or a path, got {short(value)}.")
            given[str(key)] = value
        values = read_edge_values(given, template, where, weights)
        self.__dict__.update(
            source=source,
            target=target,
            weights=weights,
            edge=template,
            edge_var_map=frozen(dict(wiring_of(CircuitEdge(source, target, template, values)))),
            delays=values.get("delay"),
            spread=values.get("spread"),
        )

    def __setattr__(self, key: str, value: object) -> None:
        raise errors.TemplateError(f"a Connectivity cannot be changed (tried to set {key!r}); make a new one.")

    def _content(self) -> Any:
        return content_of(
            [self.source, self.target, self.weights, self.edge, self.edge_var_map, self.delays, self.spread]
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connectivity) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __repr__(self) -> str:
        return f"Connectivity({self.source!r} -> {self.target!r}, weights {_shape(self.weights)})"

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.source, self.target, self.weights, self.edge, dict(self.edge_var_map), self.delays, self.spread)
        return Connectivity, parts

    def describe(self) -> str:
        """Return one line for people."""
        through = f" through {self.edge.name}" if self.edge else ""
        delay = ""
        if self.delays is not None and np.any(self.delays):
            low, high = np.min(self.delays), np.max(self.delays)
            delay = f", delay {low:g} to {high:g}" if np.ndim(self.delays) else f", delay {self.delays}"
        spread = f", spread {self.spread}" if self.spread else ""
        return f"{self.source} -> {self.target}{through}: weights {_shape(self.weights)}{delay}{spread}"

    def to_graph_edge(self, prefix: str = "") -> graph.Edge:
        """Return the edge that the engine understands."""
        inputs = {key: path if path == "source" else prefix + path for key, path in self.edge_var_map.items()}
        node = self.edge.to_node() if self.edge else None
        output = self.edge.output if self.edge else None
        ends = (prefix + self.source, prefix + self.target)
        return graph.Edge(*ends, self.weights, self.delays, self.spread, node, inputs, output)


def read_connection(raw: object, where: str) -> Connectivity:
    """Take a connection as it is, or make one from a mapping of its arguments."""
    if isinstance(raw, Connectivity):
        return raw
    known = ("source", "target", "weights", "edge", "edge_var_map", "delays", "spread")
    parts = expect_mapping(raw, where, "{source: a/op/r, target: b/op/u, weights: 1.0}")
    for key in parts:
        if key not in known:
            raise errors.TemplateError(errors.unknown("part of a connection", key, known, where))
    for key in known[:3]:
        if key not in parts:
            raise errors.TemplateError(f"{where}: {key!r} is missing.")
    return Connectivity(**parts)


def _delays(raw: object, where: str) -> float | np.ndarray:
    value = as_value(raw, where)
    if np.iscomplexobj(value) or not np.isfinite(value).all():
        raise errors.TemplateError(f"{where}: expected finite real numbers, got {short(raw)}.")
    return value  # pyright: ignore[reportReturnType]


def _weights(raw: object, where: str) -> float | np.ndarray:
    value = as_value(raw, f"{where}, weights")
    if np.ndim(value) not in (0, 2):
        raise errors.ShapeError(
            f"{where}: weights must be a number or a matrix [target unit, source unit], got shape {np.shape(value)}."
        )
    if np.iscomplexobj(value) or not np.isfinite(value).all():
        raise errors.TemplateError(f"{where}: weights must be finite real numbers.")
    return value  # pyright: ignore[reportReturnType]


def _shape(weights: float | np.ndarray) -> str:
    return f"{weights.shape[0]} x {weights.shape[1]}" if isinstance(weights, np.ndarray) else show(weights)


def matrix_edges(
    source_var: str,
    target_var: str,
    source_nodes: Sequence[str],
    target_nodes: Sequence[str],
    weight: object,
    template: EdgeTemplate | None,
    edge_attr: Mapping[str, Any],
    min_weight: float,
) -> list[CircuitEdge]:
    """Make one edge for each entry of a matrix that is not (nearly) zero."""
    shape = (len(target_nodes), len(source_nodes))
    where = f"edges from {source_var!r} to {target_var!r}"
    split = {key: value for key, value in edge_attr.items() if not isinstance(value, str) and np.ndim(value) > 0}
    common = {key: value for key, value in edge_attr.items() if key not in split}
    matrices = {key: _matrix(value, shape, f"{where}, {key}") for key, value in split.items()}
    if weight is not None:
        if "weight" in edge_attr:
            raise errors.TemplateError(f"{where}: the weight is given twice, as `weight` and in `edge_attr`.")
        matrices["weight"] = _matrix(weight, shape, f"{where}, weight")
    weights = matrices.get("weight")
    kept = np.argwhere(np.abs(weights) > min_weight if weights is not None else np.ones(shape, bool))
    sources = [f"{node}/{source_var}" for node in source_nodes]
    targets = [f"{node}/{target_var}" for node in target_nodes]
    if template is None and not common and set(matrices) == {"weight"} and weights is not None:
        numbers = weights[kept[:, 0], kept[:, 1]].tolist()
        pairs = zip(kept.tolist(), numbers, strict=True)
        return [plain_edge(sources[j], targets[i], number) for (i, j), number in pairs]
    edges = []
    for i, j in kept.tolist():
        values = {**common, **{key: float(matrix[i, j]) for key, matrix in matrices.items()}}
        edges.append(CircuitEdge(sources[j], targets[i], template, read_edge_values(values, template, where)))
    return edges


def _matrix(raw: object, shape: tuple[int, int], where: str) -> np.ndarray:
    value = as_value(raw, where)
    if np.shape(value) not in ((), shape):
        raise errors.ShapeError(
            f"{where}: expected a number or a matrix of shape {shape} (target nodes, source nodes), got shape "
            f"{np.shape(value)}."
        )
    if np.iscomplexobj(value) or not np.isfinite(value).all():
        raise errors.TemplateError(f"{where}: expected finite real numbers.")
    return np.broadcast_to(np.asarray(value), shape)


def pick(count: int, idx: object, where: str, known: Sequence[str]) -> int:
    """Return which of `count` parallel edges is meant."""
    if count == 0:
        raise errors.PathError(errors.unknown("edge", where, known))
    if idx is None and count > 1:
        raise errors.PathError(f"{where}: there are {count} such edges; say which by an index from 0 to {count - 1}.")
    index = 0 if idx is None else idx
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise errors.PathError(f"{where}: there is no edge of index {idx!r}; there are {count}, counted from 0.")
    return index


def stored_keys(changes: Mapping[str, Any], edge: CircuitEdge) -> dict[str, Any]:
    """Write the keys of changed values as :class:`CircuitEdge` holds them, so that they replace the old ones."""
    if edge.template is None:
        return dict(changes)
    name = edge.template.name
    found = {}
    for key, value in changes.items():
        wire = isinstance(value, str) and (value == "source" or value.count("/") > 1)
        if wire:
            key = f"{name}/{edge.template.find_input(key, name)}"
        elif str(key).startswith(f"{name}/") and str(key).count("/") == 2:
            key = str(key).removeprefix(f"{name}/")
        found[key] = value
    return found


def edit_edges(known: list[Any], edits: Mapping[Any, Any], where: str) -> list[Any]:
    """Remove edges of the parent, then add new ones."""
    for key in edits:
        if key not in ("remove", "add"):
            raise errors.TemplateError(errors.unknown("edit of edges", key, ("remove", "add"), where))
    edges = [read_edge(raw, where) for raw in known]
    for entry in listed(edits.get("remove"), where, "edges to remove"):
        parts = list(entry) if isinstance(entry, list | tuple) else [entry]
        if len(parts) not in (2, 3) or not all(isinstance(part, str) for part in parts[:2]):
            raise errors.TemplateError(
                f"{where}: an edge to remove is [source, target] or with an index, got {entry!r}."
            )
        found = [i for i, edge in enumerate(edges) if [edge.source, edge.target] == parts[:2]]
        names = [f"{edge.source} -> {edge.target}" for edge in edges]
        idx = parts[2] if len(parts) == 3 else None
        del edges[found[pick(len(found), idx, f"{parts[0]} -> {parts[1]}", names)]]
    return [*edges, *listed(edits.get("add"), where, "edges to add")]
