"""From a graph of NIR to a Network: nodes stay nodes, linear maps and delays become edges where they can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from recurra.engine import Node, Sparse
from recurra.errors import CapabilityError, OptionError, RecurraError, ShapeError, TemplateError, TimeError
from recurra.files import reason
from recurra.interchange.nir_files import read_graph
from recurra.interchange.nir_kinds import KINDS, SUPPORTED, import_nir, make_node, numbers
from recurra.network import Network

NOTE = "recurra"  # the key of what this library notes in the metadata of nodes
_ON_EDGES = ("Linear", "Delay")
_PASSED = ("Flatten",)
_MAX_DEPTH = 32


def from_nir(graph: Any, dt: float) -> Network:
    """Make a network of a graph of the Neuromorphic Intermediate Representation (Pedersen et al. 2024).

    Nodes of NIR become nodes of the network with the same names, and linear maps and delays between two nodes become
    its edges. A unit with a threshold is reset in the step that brings it to v > v_threshold, since the reset of NIR
    takes no time; its output z is 1 during the next step. So it spikes as often as with snnTorch, and a layer feels the
    one before a step later. v starts at v_leak (0 without leak), synaptic currents at 0.

    Arguments:
        graph: a `nir.NIRGraph`, or the path of a file that `nir.write` wrote.
        dt: the step of the network, in the unit of time of the graph.

    Returns:
        A network: feed its nodes of kind Input, and read its `"out"`. Spikes are 1 for a step, so they act on what
        follows by their weight times dt; with `rate` set to 1 they are impulses of area 1. In single precision a unit
        may spike at v = v_threshold already.

    Raises:
        CapabilityError: a node is of a kind that is not supported, or nir is not installed.
        TimeError: a delay is no whole number of steps.
        ShapeError: shapes do not fit, or a number is not finite.
        TemplateError: the graph is a circle, or nothing that a graph should be.
        StoreError: the file cannot be read.
        OptionError: `graph` is neither a graph nor a path.

    >>> import nir, numpy as np
    >>> one = np.ones(2)
    >>> graph = nir.NIRGraph.from_list(nir.Linear(np.eye(2)), nir.LIF(one, one, 0*one, one))
    >>> net = from_nir(graph, dt=0.1)
    >>> list(net), list(net.edges)
    (['input', 'lif', 'output'], ['linear', 'lif->output'])
    """
    nir = import_nir()
    if isinstance(graph, str | Path):
        graph = read_graph(graph)
    if not isinstance(graph, nir.NIRGraph):
        raise OptionError(f"expected a nir.NIRGraph or the path of a file, got {type(graph).__name__}.")
    try:
        return _network(graph, dt)
    except RecurraError:
        raise
    except Exception as error:  # a graph, and the notes in it, may hold anything in place of numbers and names
        raise TemplateError(f"the NIR graph cannot be read ({type(error).__name__}: {reason(error)}).") from None


def _network(graph: Any, dt: float) -> Network:
    notes = note_of(graph)
    options: dict[str, Any] = {name: str(notes[name]) for name in ("name", "precision") if name in notes}
    seed = int(notes.get("seed", 0))
    network = Network(dt, seed=seed, **options)
    plan = _Plan(_flattened(graph), network.dt)
    plan.walk()
    plan.build(network)
    return network


def note_of(node: Any) -> dict[str, Any]:
    """Return what this library noted in the metadata of a node; an empty dict if there is nothing of the kind."""
    found = getattr(node, "metadata", None)
    found = found.get(NOTE) if isinstance(found, dict) else None
    return dict(found) if isinstance(found, dict) else {}


def kind_name(node: Any) -> str:
    """Return the name of a node's class."""
    return type(node).__name__


@dataclass
class _Flat:
    """Hold nodes by name and edges as pairs, without graphs in graphs and without nodes that do nothing."""

    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def before(self, name: str) -> list[str]:
        return [a for a, b in self.edges if b == name]

    def after(self, name: str) -> list[str]:
        return [b for a, b in self.edges if a == name]

    def dissolve(self, name: str) -> None:
        """Take out a node that passes on what it gets."""
        if (name, name) in self.edges:
            raise TemplateError(f"NIR node {name!r} feeds itself without any state in between.")
        found: list[tuple[str, str]] = []
        for a, b in self.edges:
            if b == name:
                found += [(a, after) for after in self.after(name)]
            elif a != name:
                found.append((a, b))
        self.edges = found
        del self.nodes[name]


def _flattened(graph: Any) -> _Flat:
    flat = _Flat()
    _inline(graph, "", flat, 0)
    for name, node in list(flat.nodes.items()):
        if kind_name(node) not in SUPPORTED:
            raise CapabilityError(
                f"NIR node {name!r} is a {kind_name(node)}, which has no exact counterpart here. Supported:"
                f" {', '.join(SUPPORTED)}."
            )
        if kind_name(node) in _PASSED or "added" in note_of(node):
            flat.dissolve(name)
    # Files keep nodes in the order of their names.
    places = {name: _place(note_of(node)) for name, node in flat.nodes.items()}
    flat.nodes = {name: flat.nodes[name] for name in sorted(places, key=places.__getitem__)}
    if not flat.nodes:
        raise TemplateError("the NIR graph has no node.")
    return flat


def _place(note: Mapping[str, Any]) -> float:
    """Return which node of the network this was; infinity if it was none."""
    order = note.get("order")
    return float(order) if isinstance(order, int | np.integer) else np.inf


def _inline(graph: Any, prefix: str, flat: _Flat, depth: int) -> None:
    """Put the nodes of a graph, and of the graphs in it, side by side."""
    if depth > _MAX_DEPTH:
        raise CapabilityError(f"NIR graphs are nested deeper than {_MAX_DEPTH}.")
    inner: dict[str, tuple[list[str], list[str]]] = {}
    for key, node in _mapping(graph.nodes).items():
        name = f"{prefix}{key}"
        if kind_name(node) == "NIRGraph":
            _inline(node, f"{name}.", flat, depth + 1)
            gates = [
                [f"{name}.{k}" for k, n in node.nodes.items() if kind_name(n) == kind] for kind in ("Input", "Output")
            ]
            inner[name] = (gates[0], gates[1])
        elif name in flat.nodes:
            raise TemplateError(f"two NIR nodes are called {name!r}.")
        else:
            flat.nodes[name] = node
    for edge in graph.edges:
        a, b = (f"{prefix}{end}" for end in edge)
        for end in (a, b):
            if end not in inner and end not in flat.nodes:
                raise TemplateError(f"the NIR edge ({edge[0]!r}, {edge[1]!r}) names no node of the graph.")
        source = _gate(inner[a][1], a, "Output") if a in inner else a
        target = _gate(inner[b][0], b, "Input") if b in inner else b
        flat.edges.append((source, target))
    for inputs, outputs in inner.values():
        for name in (*inputs, *outputs):
            flat.dissolve(name)


def _mapping(nodes: Any) -> Mapping[str, Any]:
    if not isinstance(nodes, Mapping):
        raise TemplateError(f"the nodes of a NIR graph are a dict, got {type(nodes).__name__}.")
    return nodes


def _gate(names: list[str], graph: str, kind: str) -> str:
    if len(names) != 1:
        raise CapabilityError(
            f"the NIR graph {graph!r} inside of another has {len(names)} nodes of kind {kind}; only one can be joined."
        )
    return names[0]


@dataclass(frozen=True)
class _Way:
    """Hold what a signal passes on its way: first a delay, then a matrix."""

    source: str
    delay: np.ndarray | None = None
    weights: np.ndarray | None = None
    last: str = ""

    def plus(self, name: str, delay: np.ndarray | None, weights: np.ndarray | None) -> _Way | None:
        """Go on through a node, or return None where an edge cannot hold that."""
        if delay is None and weights is None:
            return self
        if self.weights is not None or (delay is not None and self.delay is not None):
            return None
        return replace(self, delay=self.delay if delay is None else delay, weights=weights, last=name)


class _Plan:
    """Sort the nodes of NIR into nodes and edges of the network, then build it."""

    def __init__(self, flat: _Flat, dt: float):
        self.flat, self.dt = flat, dt
        self.on_edges = {
            name
            for name, node in flat.nodes.items()
            if kind_name(node) in _ON_EDGES and len(flat.before(name)) == len(flat.after(name)) == 1
        }
        self.sizes: dict[str, int] = {}
        self.nodes: dict[str, Node] = {}
        self.ways: list[tuple[_Way, str]] = []
        for name, node in flat.nodes.items():
            if name not in self.on_edges:
                self._add(name, node)

    def _add(self, name: str, node: Any) -> None:
        note = note_of(node)
        kind = KINDS.get(kind_name(node), KINDS["identity"])
        if note.get("kind") == "identity":
            kind = KINDS["identity"]
        fields = [*kind.fields.values(), *(("v_threshold", "v_reset") if kind.spiking else ())]
        read = {f: numbers(node, f, name) for f in fields}
        size = _size(node, name)
        for each, value in read.items():
            if value.size != size:
                raise ShapeError(f"NIR node {name!r}, {each}: got shape {value.shape}, expected {size} numbers.")
            read[each] = value.reshape(size)
        values = {variable: read[f] for variable, f in kind.fields.items()} | read
        for state, start in kind.states.items():
            values[state] = _noted(note, f"start_{state}", size, name, read[start] if start else np.zeros(size))
        spike = {key: note[key] for key in ("surrogate", "slope", "scale", "prompt") if key in note}
        # Files that versions without prompt resets have written hold networks that were reset a step later.
        spike.setdefault("prompt", not note)
        spike["prompt"] = bool(np.all(spike["prompt"]))
        operator = str(note.get("operator", "func" if kind.name == "identity" else kind.name))
        self.sizes[name] = size
        self.nodes[name] = make_node(kind, size, values, self.dt, operator, spike)

    def _own(self, name: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the delay and the matrix by which a node changes what arrives."""
        node = self.flat.nodes[name]
        if kind_name(node) == "Delay":
            return numbers(node, "delay", name).ravel(), None
        if kind_name(node) in ("Linear", "Affine") and note_of(node).get("kind") != "bias":
            return None, _matrix(node, name)
        return None, None

    def walk(self) -> None:
        """Follow every edge from its source over what becomes part of it to its target."""
        seen: set[str] = set()
        extra = 0
        for source, step in list(self.flat.edges):
            if source in self.on_edges:
                continue
            way, at = _Way(source), step
            while True:
                further = way.plus(at, *self._own(at))
                if further is None:
                    # Two matrices in a row, or a matrix before a delay: a node that passes on stands between them.
                    between, extra = f"{way.last}.{extra}", extra + 1
                    size = self._check(way, None, between)
                    identity = KINDS["identity"]
                    self.sizes[between] = size
                    self.nodes[between] = make_node(identity, size, {}, self.dt, "func", {})
                    self.ways.append((way, between))
                    way = _Way(between)
                    continue
                way = further
                if at not in self.on_edges:
                    break
                seen.add(at)
                (at,) = self.flat.after(at)
            self._check(way, self.sizes[at], at)
            self.ways.append((way, at))
        for name in sorted(self.on_edges - seen):
            raise TemplateError(f"NIR node {name!r} is on a circle of linear maps and delays without any other node.")

    def _check(self, way: _Way, target: int | None, at: str) -> int:
        """Check that sizes fit along a way, and return the number of units that arrive."""
        size = self.sizes[way.source]
        if way.delay is not None and way.delay.size not in (1, size):
            raise ShapeError(f"NIR node {at!r}: {size} units arrive at a delay of {way.delay.size} units.")
        if way.weights is not None:
            if way.weights.shape[1] != size:
                raise ShapeError(
                    f"NIR node {at!r}: {size} units of {way.source!r} arrive at weights of shape {way.weights.shape}."
                )
            size = way.weights.shape[0]
        if target is not None and size != target:
            raise ShapeError(f"NIR edge ({way.source!r}, {at!r}): {size} units arrive at a node of {target} units.")
        return size

    def build(self, network: Network) -> None:
        """Add everything to a network."""
        labels = _labels(self.nodes, self.flat.nodes)
        taken = set(labels.values())
        edges, own = [], {}
        for way, at in self.ways:
            note = self._edge_note(way, at)
            options = self._options(way, note)
            if "recurrent" in note:
                own[at] = options
                continue
            plain = way.last == "" or way.last in self.nodes
            label = note.get("label", None if plain else _free(_clean(way.last), taken))
            edges.append((labels[way.source], labels[at], {**options, "label": None if label is None else str(label)}))
        for name, node in self.nodes.items():
            operator = next(iter(node.operators))
            kind = _kind_of_node(node)
            note = note_of(self.flat.nodes[name]) if name in self.flat.nodes else {}
            names = [key for key in ("train_params", "record_vars") if key in note]
            lists: dict[str, Any] = {key: str(note[key]).split("\n") for key in names}
            network.add_diffeq_node(
                labels[name],
                node,
                input_var=f"{operator}/{kind.input}",
                output_var=f"{operator}/{kind.output}",
                **(_recurrent(own[name], operator, kind, self.dt) if name in own else {}),
                **lists,
            )
        for source, target, options in edges:
            network.add_edge(source, target, **options)

    def _edge_note(self, way: _Way, at: str) -> dict[str, Any]:
        if not way.last:
            return {}
        note = note_of(self.flat.nodes[way.last])
        return dict(note.get("edge", {})) if isinstance(note.get("edge", {}), dict) else {}

    def _options(self, way: _Way, note: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `add_edge` takes."""
        size = self.sizes[way.source]
        units = np.arange(size)
        weights: Any = Sparse(units, units, np.ones(size), (size, size)) if way.weights is None else way.weights
        if way.weights is not None and note.get("form") == "number":
            weights = float(weights.flat[0])
        if way.weights is not None and "rows" in note:
            rows, columns = np.atleast_1d(note["rows"]), np.atleast_1d(note["columns"])
            shape = (weights.shape[0], weights.shape[1])
            weights = Sparse(rows, columns, weights[rows, columns], shape)
        found: dict[str, Any] = {"weights": weights}
        if way.delay is not None:
            found["delays"] = _steps(way.delay, self.dt, way)
        if "mask" in note:
            found["mask"] = np.asarray(note["mask"])
        if "train" in note:
            found["train"] = str(note["train"])
        if "feedback" in note:
            found["feedback"] = True
        return found


def _recurrent(options: Mapping[str, Any], operator: str, kind: Any, dt: float) -> dict[str, Any]:
    found = {
        "weights": options["weights"],
        "source_var": f"{operator}/{kind.output}",
        "target_var": f"{operator}/{kind.input}",
    }
    if "delays" in options:
        delays = np.asarray(options["delays"]) * dt
        shape = np.shape(options["weights"])
        found["edge_attr"] = {"delay": float(delays) if delays.ndim == 0 else np.broadcast_to(delays, shape)}
    return found


def _steps(delay: np.ndarray, dt: float, way: _Way) -> Any:
    steps = delay / dt
    whole = np.rint(steps)
    wrong = np.abs(steps - whole) > 1e-6 * np.maximum(1.0, np.abs(steps))
    if (delay < 0).any() or wrong.any():
        bad = delay[wrong | (delay < 0)][0]
        raise TimeError(
            f"the delay {bad:g} after the NIR node {way.source!r} is no whole number of steps >= 0 of dt={dt:g}; choose"
            " a step that divides it."
        )
    return float(whole.flat[0]) if np.all(whole == whole.flat[0]) else whole


def _kind_of_node(node: Node) -> Any:
    (operator,) = node.operators.values()
    return next(kind for kind in KINDS.values() if kind.parsed == operator.equations)


def _size(node: Any, name: str) -> int:
    """Count the units of a node after it has done what it does."""
    kind = kind_name(node)
    if kind in ("Input", "Output"):
        types = node.input_type if kind == "Input" else node.output_type
        shape = next(iter(types.values()), None) if isinstance(types, Mapping) else None
        if shape is None or np.asarray(shape).dtype.kind not in "iuf":
            raise ShapeError(f"NIR node {name!r}: its shape is not known.")
        size = int(np.prod(np.asarray(shape, float)))
    elif kind in ("Linear", "Affine"):
        size = _matrix(node, name).shape[0]
    else:
        first = {"Delay": "delay", "Scale": "scale", "Threshold": "threshold", "I": "r", "IF": "r"}.get(kind, "r")
        size = numbers(node, first, name).size
    if not 1 <= size <= 10**8:
        raise ShapeError(f"NIR node {name!r} has {size} units.")
    return size


def _matrix(node: Any, name: str) -> np.ndarray:
    weights = numbers(node, "weight", name)
    if weights.ndim != 2:
        raise CapabilityError(
            f"NIR node {name!r}: weights of shape {weights.shape}; only matrices (output units, input units) are"
            " supported."
        )
    return weights


def _noted(note: Mapping[str, Any], key: str, size: int, name: str, default: np.ndarray) -> np.ndarray:
    if key not in note:
        return default
    value = np.asarray(note[key])
    if value.dtype.kind not in "biuf" or value.size != size:
        raise ShapeError(f"NIR node {name!r}, metadata {key}: expected {size} numbers.")
    return value.astype(float).reshape(size)


def _labels(names: Iterable[str], nodes: Mapping[str, Any]) -> dict[str, str]:
    """Map names of NIR to labels that can stand in paths."""
    taken: set[str] = set()
    return {name: _free(_clean(str(note_of(nodes.get(name)).get("label", name))), taken) for name in names}


def _clean(name: str) -> str:
    for mark in ("->", "/", "#", "[", "]"):
        name = name.replace(mark, "_")
    name = name.strip()
    return name + "_" if name in ("all", "") else name


def _free(label: str, taken: set[str]) -> str:
    found, count = label, 1
    while found in taken:
        found, count = f"{label}_{count}", count + 1
    taken.add(found)
    return found
