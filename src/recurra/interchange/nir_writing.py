"""From a Network to a graph of NIR: each node becomes one node, and weights and delays of edges become nodes too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recurra.engine import Node, Sparse
from recurra.errors import CapabilityError, OptionError, TimeError
from recurra.interchange.nir_files import write_graph
from recurra.interchange.nir_kinds import KINDS, SUPPORTED, Kind, import_nir, kind_of
from recurra.interchange.nir_reading import NOTE
from recurra.network import Network
from recurra.network.edges import NetworkEdge


def to_nir(model: Network, path: str | Path | None = None) -> Any:
    """Write a network as a graph of the Neuromorphic Intermediate Representation (Pedersen et al. 2024).

    What :func:`from_nir` gives, and any other network whose nodes have the equations of a node of NIR, in the same
    names: for instance `v' = ((v_leak - v) + r*i)/tau` for LI, with `z = spike/rate`, a threshold and a reset for LIF.
    Function nodes that pass on what they get (`"identity"`) are inputs and outputs. Weights become Linear nodes (or
    the weights of an Affine node), delays become Delay nodes. What NIR has no field for (labels, initial values, masks,
    what is trained) is noted in the metadata: `from_nir(to_nir(net), net.dt)` equals the network bit for bit.

    Arguments:
        model: a network, with the numbers it has now; its `state` is not part of it.
        path: where to write it too, in the format of `nir.write`.

    Returns:
        A `nir.NIRGraph`.

    Raises:
        CapabilityError: a node or edge has no exact counterpart in NIR, or nir is not installed.
        StoreError: the file cannot be written.
        OptionError: `model` is no network.

    >>> from recurra import Network
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node("cell", "v' = ((v_leak - v) + r*i)/tau",
    ...     variables={"v": "output", "v_leak": 0.0, "r": 1.0, "tau": 2.0, "i": "input"})
    >>> sorted(to_nir(net).nodes)
    ['cell', 'cell.input', 'cell.output']
    """
    nir = import_nir()
    if not isinstance(model, Network):
        raise OptionError(f"to_nir takes a Network, got {type(model).__name__}; put it into one with net.add_node.")
    if model.NeuronGroups or model.schedule:
        raise CapabilityError("to_nir: the network has groups with behaviors, which are code; NIR has none of it.")
    if not len(model.nodes):
        raise CapabilityError("to_nir: the network has no node.")
    writer = _Writer(model, nir)
    writer.write()
    note = {"dt": model.dt, "name": model.name, "seed": model.seed}
    if model.chosen_precision is not None:
        note["precision"] = model.chosen_precision
    graph = nir.NIRGraph(writer.nodes, writer.edges, metadata={NOTE: note}, type_check=False)
    if path is not None:
        write_graph(graph, path)
    return graph


class _Writer:
    """Collect the nodes and edges of NIR."""

    def __init__(self, network: Network, nir: Any):
        self.network, self.nir = network, nir
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.kinds: dict[str, Kind] = {}
        self.operators: dict[str, str] = {}
        for label, view in network.nodes.items():
            part = view.node.parts.get(label)
            if part is None or len(view.node.parts) != 1 or view.node.edges or view.node.rules:
                raise CapabilityError(f"to_nir: node {label!r} is a whole network or a rule; NIR has no such node.")
            self.kinds[label], self.operators[label] = _kind(label, part)
        for label, kind in self.kinds.items():
            node, operator = network.nodes[label].node, self.operators[label]
            for end, name in ((node.input, kind.input), (node.output, kind.output)):
                wanted = f"{label}/{operator}/{name}"
                if end is None or end.paths != (wanted,):
                    raise CapabilityError(
                        f"to_nir: node {label!r} is a {kind.name}, whose edges feed {kind.input!r} and read"
                        f" {kind.output!r}; this one has {'none' if end is None else ', '.join(end.paths)}."
                    )
        self.names = {label: self._name(label) for label in self.kinds}

    def write(self) -> None:
        """Write all nodes and edges."""
        own = [v.node.recurrent for v in self.network.nodes.values() if v.node.recurrent is not None]
        all_edges = [*own, *self.network.edges.values()]
        between = [(_home(e.source.paths), _home(e.target.paths), e) for e in all_edges]
        for _, _, edge in between:
            _check_edge(edge, self.network)
        absorbed = self._absorbed(between)
        for order, label in enumerate(self.kinds):
            self.nodes[self.names[label]] = self._node(label, order, absorbed.get(label), between)
        for source, target, edge in between:
            into = absorbed.get(target) is edge
            self._edge(source, target, edge, self.names[target], None if into else edge.weights, into)
        self._gates({t for s, t, _ in between if s != t}, {s for s, t, _ in between if s != t})

    def _absorbed(self, between: list[tuple[str, str, NetworkEdge]]) -> dict[str, NetworkEdge]:
        """Return the edge whose weights an Affine node takes over: its only one, if it has weights."""
        found = {}
        for label, kind in self.kinds.items():
            into = [edge for _, target, edge in between if target == label]
            if kind.name == "Affine" and len(into) == 1 and not _is_identity(into[0].weights):
                found[label] = into[0]
        return found

    def _gates(self, fed: set[str], read: set[str]) -> None:
        """Add an Input before every node that nothing feeds, and an Output behind every one that nothing reads."""
        entries = [label for label in self.kinds if label not in fed] or list(self.kinds)
        exits = [label for label in self.kinds if label not in read] or list(self.kinds)
        for label in entries:
            if not isinstance(self.nodes[self.names[label]], self.nir.Input):
                size = self._inputs(self.nodes[self.names[label]], self.kinds[label])
                name = self._name(f"{label}.input")
                shape = {"input": np.array([size])}
                self.nodes[name] = self.nir.Input(shape, metadata={NOTE: {"added": 1}})
                self.edges.append((name, self.names[label]))
        for label in exits:
            if not isinstance(self.nodes[self.names[label]], self.nir.Output):
                name, size = self._name(f"{label}.output"), self.network.nodes[label].n_out
                shape = {"output": np.array([size])}
                self.nodes[name] = self.nir.Output(shape, metadata={NOTE: {"added": 1}})
                self.edges.append((self.names[label], name))

    @staticmethod
    def _inputs(node: Any, kind: Kind) -> int:
        return int(np.prod(np.asarray(next(iter(node.input_type.values())), float)))

    def _node(self, label: str, order: int, weights: NetworkEdge | None, between: list) -> Any:
        """Make the node of NIR for a node of the network."""
        network, kind, operator, nir = self.network, self.kinds[label], self.operators[label], self.nir
        view = network.nodes[label]
        size = view.n_out
        start = f"{label}/{operator}/"

        def number(name: str) -> np.ndarray:
            return np.broadcast_to(np.asarray(network.get_var(start + name), float), (size,)).copy()

        if np.any(number(kind.input) != 0):
            raise CapabilityError(
                f"to_nir: node {label!r}: its input {kind.input!r} has a default other than 0, which NIR has not; use a"
                " bias."
            )
        values = {field: number(name) for name, field in kind.fields.items()}
        note: dict[str, Any] = {"order": order}
        program = network.program
        for state, field in kind.states.items():
            begin = np.broadcast_to(program.get(start + state), (size,))
            if not np.array_equal(begin, values[field] if field else np.zeros(size)):
                note[f"start_{state}"] = begin.copy()
        if self.names[label] != label:
            note["label"] = label
        if operator != ("func" if kind.name == "identity" else kind.name):
            note["operator"] = operator
        for key, names in (("train_params", view.node.train), ("record_vars", view.node.record)):
            note |= {key: "\n".join(names)} if names else {}
        if kind.spiking:
            values |= self._spike(label, view.node.parts[label], number("rate"), note, size)
        if kind.name == "identity":
            fed, read = any(t == label for _, t, _ in between), any(s == label for s, _, _ in between)
            if not fed:
                return nir.Input({"input": np.array([size])}, metadata={NOTE: note})
            if not read:
                return nir.Output({"output": np.array([size])}, metadata={NOTE: note})
            return nir.Scale(np.ones(size), metadata={NOTE: {**note, "kind": "identity"}})
        if kind.name == "Affine":
            if weights is None:
                values["weight"], note["kind"] = np.eye(size), "bias"
            else:
                values["weight"], note["edge"] = _matrix(weights), self._edge_note(weights, label)
        return getattr(nir, kind.name)(**values, metadata={NOTE: note})

    def _spike(self, label: str, part: Node, rate: np.ndarray, note: dict, size: int) -> dict[str, np.ndarray]:
        rule = part.spikes[0]
        if np.any(rate != 1.0 / self.network.dt):
            raise CapabilityError(
                f"to_nir: node {label!r}: spikes of NIR are 1 for a step, which is"
                f" rate = 1/dt = {1 / self.network.dt:g} here; it is {rate.flat[0]:g}."
            )
        note["prompt"] = rule.prompt
        for key, usual in (("surrogate", "fast_sigmoid"), ("slope", 1.0), ("scale", 1.0)):
            if np.any(np.asarray(getattr(rule, key)) != usual):
                note[key] = getattr(rule, key)
        get = self.network.program.get
        threshold, reset = (np.broadcast_to(get(f"{label}/spike/{n}"), (size,)) for n in ("threshold", "reset"))
        return {"v_threshold": np.nextafter(threshold, -np.inf), "v_reset": reset.copy()}

    def _edge(
        self, source: str, target: str, edge: NetworkEdge, at: str, weights: Any, absorbed: bool
    ) -> None:
        """Write an edge as a chain of nodes: delay, then weights."""
        before = self.names[source]
        note = self._edge_note(edge, target)
        plain = weights is None or (_is_identity(weights) and edge.delay is None and not note)
        chain: list[tuple[str, Any]] = []
        own = {} if absorbed else {"metadata": {NOTE: {"edge": {**note, "label": edge.label}}}}
        size = edge.source.size
        if edge.delay is not None:
            last = absorbed or _is_identity(weights)
            delay = self.nir.Delay(_delays(edge), **(own if last and not absorbed else {}))
            chain.append((edge.label if last and not absorbed else f"{edge.label}.delay", delay))
        if not plain and not (edge.delay is not None and _is_identity(weights)):
            form = {} if absorbed else own
            dense = np.eye(size) if _is_identity(weights) else _matrix(edge)
            chain.append((edge.label, self.nir.Linear(dense, **form)))
        for wanted, node in chain:
            name = self._name(wanted)
            self.nodes[name] = node
            self.edges.append((before, name))
            before = name
        self.edges.append((before, at))

    def _edge_note(self, edge: NetworkEdge, target: str) -> dict[str, Any]:
        """Return what NIR has no field for; empty for an edge without anything of the kind."""
        source = _home(edge.source.paths)
        note: dict[str, Any] = {}
        if edge is self.network.nodes[target].node.recurrent:
            note["recurrent"] = 1
        if edge.label != f"{source}->{target}":
            note["label"] = edge.label
        note |= {"train": edge.train} if edge.train else {}
        note |= {"mask": np.asarray(edge.mask, np.uint8)} if edge.mask is not None else {}
        note |= {"feedback": 1} if edge.feedback else {}
        if isinstance(edge.weights, Sparse) and not _is_identity(edge.weights):
            note |= {"rows": edge.weights.rows, "columns": edge.weights.columns}
        elif not isinstance(edge.weights, Sparse) and np.ndim(edge.weights) == 0:
            note["form"] = "number"
        return note

    def _name(self, wanted: str) -> str:
        """Return a name that a file can hold and no other node has."""
        name = wanted.replace("/", ".")
        name = name if name.strip(".") else f"node{name}"
        taken = {*self.nodes, *getattr(self, "_given", set())}
        found, count = name, 1
        while found in taken:
            found, count = f"{name}_{count}", count + 1
        self._given = {*getattr(self, "_given", set()), found}
        return found


def _home(paths: tuple[str, ...]) -> str:
    return paths[0].split("/")[0]


def _kind(label: str, part: Node) -> tuple[Kind, str]:
    """Return the kind of a node and the name of its operator, or say that NIR has none such."""
    found = None
    if len(part.operators) == 1:
        ((name, operator),) = part.operators.items()
        found = kind_of(operator, bool(part.spikes))
        if found is not None and (not found.spiking or _plain_spike(part, name)):
            return found, name
    raise CapabilityError(
        f"to_nir: node {label!r} has equations that no node of NIR has. Supported: {', '.join(SUPPORTED)}; their"
        f" equations are, for example, {'; '.join(KINDS['LIF'].equations)} (with a threshold and a reset) for LIF."
    )


def _plain_spike(part: Node, name: str) -> bool:
    rule = part.spikes[0]
    felt = (rule.variable, rule.input) == (f"{name}/v", f"{name}/spike")
    return len(part.spikes) == 1 and felt and rule.reset is not None and not np.any(rule.refractory)


def _check_edge(edge: NetworkEdge, network: Network) -> None:
    for what, value in (("a spread of delays", edge.spread), ("a filter", edge.filter), ("operators", edge.through)):
        if value is not None:
            raise CapabilityError(f"to_nir: edge {edge.label!r} has {what}, which NIR has no node for.")
    for end, role in ((edge.source, "output"), (edge.target, "input")):
        node = network.nodes[_home(end.paths)].node
        expected = node.output if role == "output" else node.input
        if expected is None or end.paths != expected.paths:
            raise CapabilityError(
                f"to_nir: edge {edge.label!r} joins {', '.join(end.paths)}; edges of NIR join the {role} of a node."
            )


def _is_identity(weights: Any) -> bool:
    if not isinstance(weights, Sparse) or weights.shape[0] != weights.shape[1]:
        return False
    units = np.arange(weights.shape[0])
    same = np.array_equal(weights.rows, units) and np.array_equal(weights.columns, units)
    return same and bool(np.all(weights.values == 1))


def _matrix(edge: NetworkEdge) -> np.ndarray:
    if isinstance(edge.weights, Sparse):
        return edge.weights.dense()
    return np.broadcast_to(np.asarray(edge.weights, float), edge.shape).copy()


def _delays(edge: NetworkEdge) -> np.ndarray:
    """Return one delay for each source unit."""
    delay = np.asarray(edge.delay, float)
    if delay.ndim == 2:
        if not np.all(delay == delay[:1]):
            raise TimeError(
                f"to_nir: edge {edge.label!r} has delays that differ from target to target; those of NIR belong to the"
                " source."
            )
        delay = delay[0]
    return np.broadcast_to(delay, (edge.source.size,)).copy()
