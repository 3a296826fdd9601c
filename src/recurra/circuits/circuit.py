"""Circuits: nodes, populations and circuits in circuits, joined by edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import errors
from recurra.circuits import paths
from recurra.circuits.edges import (
    CircuitEdge,
    Connectivity,
    describe_edge,
    edit_edges,
    matrix_edges,
    pick,
    read_connection,
    read_edge,
    to_graph_edge,
    wiring_of,
)
from recurra.circuits.nodes import EdgeTemplate, NodeTemplate, PopulationTemplate
from recurra.circuits.parts import node_list, read_parts, read_populations
from recurra.circuits.templates import (
    Template,
    as_template,
    expect_mapping,
    frozen,
    listed,
)
from recurra.courtesy import returns_changed
from recurra.engine.graph import Graph

if TYPE_CHECKING:
    import pandas

    from recurra.engine import Program

_MAX_NODES = 1_000_000
_SHOWN = 24


class CircuitTemplate(Template):
    """Join nodes by edges into a circuit that can be run.

    Arguments:
        name: the name of the circuit.
        path: where it was loaded from.
        description: what it is.
        circuits: label -> :class:`CircuitTemplate` (or a path to one), circuits inside this one.
        nodes: label -> :class:`NodeTemplate` (or a path to one).
        edges: `(source, target, template, values)`: source and target are paths `"node/operator/variable"` (with the
            labels of the circuits before the node), the template an :class:`EdgeTemplate`, a path or `None`, the
            values a mapping with `weight`, `delay`, `spread` and what the template needs.
        populations: label -> :class:`PopulationTemplate`.
        connections: :class:`Connectivity` objects.
        reference: the paper it comes from.

    Raises:
        TemplateError: if a part cannot be understood.
        PathError: if an edge names a variable that does not exist.

    >>> from recurra.circuits import NodeTemplate, OperatorTemplate
    >>> leak = OperatorTemplate("leak", "v' = -v/tau + u", {"v": "output(1.0)", "tau": 2.0, "u": "input"})
    >>> edges = [("a/leak/v", "b/leak/u", None, {"weight": 0.5})]
    >>> pair = CircuitTemplate("pair", nodes=dict.fromkeys("ab", NodeTemplate("cell", leak)), edges=edges)
    >>> pair.get_nodes("all")
    ['a', 'b']
    """

    _fields = ("circuits", "nodes", "edges", "populations", "connections")

    edges: tuple[CircuitEdge, ...]
    connections: tuple[Connectivity, ...]

    def __init__(
        self,
        name: str,
        path: str | None = None,
        description: str = "",
        circuits: Mapping[str, CircuitTemplate | str] | None = None,
        nodes: Mapping[str, NodeTemplate | str] | None = None,
        edges: Iterable[Any] | None = None,
        populations: Mapping[str, PopulationTemplate | Mapping[str, Any]] | None = None,
        connections: Iterable[Connectivity | Mapping[str, Any]] | None = None,
        reference: str = "",
    ):
        where = str(name)
        super().__init__(
            name,
            path,
            description,
            reference,
            _circuits=read_parts(circuits, CircuitTemplate, f"{where}, circuits"),
            _nodes=read_parts(nodes, NodeTemplate, f"{where}, nodes"),
            _populations=read_populations(populations, where),
            edges=tuple(read_edge(raw, f"{where}, edge {i}") for i, raw in enumerate(listed(edges, where, "edges"))),
            connections=tuple(
                read_connection(raw, f"{where}, connection {i}")
                for i, raw in enumerate(listed(connections, where, "connections"))
            ),
        )
        self.__dict__["_leaves"] = self._collect_leaves()
        self._check_edges()

    @property
    def circuits(self) -> Mapping[str, CircuitTemplate]:
        """Map labels to the circuits inside this one."""
        return MappingProxyType(self.__dict__["_circuits"])

    @property
    def nodes(self) -> Mapping[str, NodeTemplate]:
        """Map labels to the nodes of this circuit itself."""
        return MappingProxyType(self.__dict__["_nodes"])

    @property
    def populations(self) -> Mapping[str, PopulationTemplate]:
        """Map labels to the populations of this circuit itself."""
        return MappingProxyType(self.__dict__["_populations"])

    @property
    def leaves(self) -> Mapping[str, NodeTemplate | PopulationTemplate]:
        """Map paths to nodes and populations, those of circuits inside this one included."""
        return MappingProxyType(self.__dict__["_leaves"])

    def __getitem__(self, label: str) -> NodeTemplate | PopulationTemplate | CircuitTemplate:
        """Return a node, a population or a circuit by its label or path."""
        if label in self.leaves:
            return self.leaves[label]
        head, _, tail = str(label).partition("/")
        if head in self.circuits:
            return self.circuits[head][tail] if tail else self.circuits[head]
        raise errors.PathError(errors.unknown("node", label, [*self.leaves, *self.circuits], self.name))

    def __repr__(self) -> str:
        count = len(self.edges) + len(self.connections)
        return f"CircuitTemplate({self.name!r}, {len(self.leaves)} node(s), {count} edge(s))"

    # Looking

    def get_nodes(self, identifier: str | Iterable[str] = "all", var_identifier: str | None = None) -> list[str]:
        """List the nodes that match.

        Arguments:
            identifier: the path of a node, in which `all` stands for any node or circuit, or several such paths.
            var_identifier: `"operator/variable"`: only nodes that have it.

        Returns:
            Paths of nodes, populations included, in the order of the circuit.

        Raises:
            PathError: if nothing matches.
        """
        patterns = [identifier] if isinstance(identifier, str) else list(identifier)
        found: dict[str, None] = {}
        for pattern in patterns:
            if var_identifier is None:
                found.update(dict.fromkeys(paths.find_nodes(self.leaves, pattern, self.name)))
            else:
                places = paths.find_variables(self.leaves, f"{pattern}/{var_identifier}", self.name)
                found.update(dict.fromkeys(place.node for place in places))
        return list(found)

    def get_node_template(self, node: str) -> NodeTemplate | PopulationTemplate:
        """Return the template of a node or population by its path.

        Raises:
            PathError: there is none.
        """
        if node not in self.leaves:
            raise errors.PathError(errors.unknown("node", node, self.leaves, self.name))
        return self.leaves[node]

    def collect_edges(self) -> list[CircuitEdge]:
        """List all edges, those of circuits inside this one included, with full paths."""
        return [edge for prefix, circuit in self.walk() for edge in circuit._with_prefix(prefix)]

    def get_edges(self, source: str = "all", target: str = "all") -> list[CircuitEdge]:
        """List the edges whose source and target match.

        Arguments:
            source: path of a node (any of its variables) or of a variable; `all` stands for any node or circuit.
            target: the same for the target.

        Returns:
            `(source, target, template, values)` tuples with full paths; an empty list if nothing matches.
        """
        from_, to = paths.end_matcher(source), paths.end_matcher(target)
        return [edge for edge in self.collect_edges() if from_(edge.source) and to(edge.target)]

    def get_edge(self, source: str, target: str, idx: int | None = None) -> CircuitEdge:
        """Return one edge.

        Arguments:
            source: path of the source.
            target: path of the target.
            idx: which of several parallel edges, counted from 0.

        Raises:
            PathError: if there is none, or several and no `idx`.
        """
        found = self.get_edges(source, target)
        return found[pick(len(found), idx, f"{source} -> {target}", self.edge_names())]

    def describe(self) -> str:
        """Return a text for people: nodes with their variables, values and units, edges, and the source."""
        lines = self._heading()
        shown: dict[tuple[Any, ...], str] = {}
        for label, leaf in list(self.leaves.items())[:_SHOWN]:
            known = shown.setdefault(leaf._content(), label)
            lines.append("")
            if known != label:
                lines[-1] = f"  node {label}: as {known}"
                continue
            kind = "population" if isinstance(leaf, PopulationTemplate) else "node"
            lines.append(f"  {kind} {label}")
            lines += [f"    {line}" for line in leaf.describe().splitlines()]
        if len(self.leaves) > _SHOWN:
            lines.append(f"  and {len(self.leaves) - _SHOWN} more nodes; get_nodes() lists them")
        links = [*map(describe_edge, self.collect_edges())]
        links += [one.describe() for _, circuit in self.walk() for one in circuit.connections]
        lines += ["", f"  {len(links)} edge(s)", *(f"    {line}" for line in links[:_SHOWN])]
        if len(links) > _SHOWN:
            lines.append(f"    and {len(links) - _SHOWN} more; get_edges() lists them")
        return "\n".join(lines)

    # Changing

    @returns_changed
    def add_node_template(self, node: str, template: NodeTemplate | str) -> CircuitTemplate:
        """Return a new circuit with one more node.

        Arguments:
            node: the label of the node.
            template: what it is.

        Raises:
            TemplateError: if the label is in use.
        """
        if node in self.leaves or node in self.circuits:
            raise errors.TemplateError(f"{self.name}: there is a node {node!r} already.")
        return self.update_template(path=self.path, nodes={node: template})

    @returns_changed
    def update_var(
        self,
        node_vars: Mapping[str, object] | None = None,
        edge_vars: Iterable[Sequence[Any]] | None = None,
    ) -> CircuitTemplate:
        """Return a new circuit with other values of parameters, initial values, weights and delays.

        Arguments:
            node_vars: `"node/operator/variable"` -> a number, or an array with one entry for each matched node (for
                one population: for each unit); `all` stands for any node or circuit. Paths of states set where they
                start.
            edge_vars: `(source, target, {name: value})`, or `(source, target, idx, {name: value})` where several
                edges are parallel; `all` stands for any node or circuit, an array has one entry for each edge.

        Returns:
            A new circuit; this one stays as it is.

        Raises:
            PathError: if nothing matches.
            ShapeError: if an array has the wrong length.
        """
        from recurra.circuits.changes import change_values

        return change_values(self, node_vars, edge_vars)

    @returns_changed
    def add_edges_from_matrix(
        self,
        source_var: str,
        target_var: str,
        source_nodes: Sequence[str],
        target_nodes: Sequence[str] | None = None,
        weight: object = None,
        template: EdgeTemplate | str | None = None,
        edge_attr: Mapping[str, Any] | None = None,
        min_weight: float = 1e-6,
    ) -> CircuitTemplate:
        """Return a new circuit with an edge for each entry of a matrix.

        Arguments:
            source_var: `"operator/variable"` of the sources.
            target_var: `"operator/variable"` of the targets.
            source_nodes: paths of the nodes that the columns stand for.
            target_nodes: paths of the nodes that the rows stand for; the same as `source_nodes` if `None`.
            weight: `W[target, source]`, a list of lists or an array; a number for all pairs; 1 if `None`.
            template: what happens on each edge.
            edge_attr: further values of the edges; a matrix is split over the edges.
            min_weight: entries of `weight` not larger than this in absolute value make no edge.

        Returns:
            A new circuit.

        Raises:
            ShapeError: if a matrix does not fit the nodes.
            PathError: if a node or a variable does not exist.
        """
        sources = node_list(source_nodes, self.name, "source_nodes")
        targets = sources if target_nodes is None else node_list(target_nodes, self.name, "target_nodes")
        for node in (*sources, *targets):
            self.get_node_template(node)
        edge = as_template(template, EdgeTemplate, self.name) if template is not None else None
        attributes = expect_mapping(edge_attr, f"{self.name}, edge_attr", "{'delay': 0.1}")
        new = matrix_edges(source_var, target_var, sources, targets, weight, edge, attributes, min_weight)
        return self.update_template(path=self.path, edges=new)

    # Using

    def to_graph(self) -> Graph:
        """Return the network that the engine understands."""
        edges = []
        for prefix, circuit in self.walk():
            edges += [to_graph_edge(edge, prefix) for edge in circuit.edges]
            edges += [each.to_graph_edge(prefix) for each in circuit.connections]
        return Graph({path: leaf.to_node() for path, leaf in self.leaves.items()}, tuple(edges), self.name)

    @cached_property
    def program(self) -> Program:
        """Give the program of the circuit, lowered when it is first needed."""
        from recurra.engine import lower

        return lower(self.to_graph())

    def to_yaml(self, path: str) -> str:
        """Write the circuit, with everything it is made of, to one YAML file.

        Arguments:
            path: the file; `.yaml` is added if it has no such ending. An existing file is replaced.

        Returns:
            What :meth:`from_yaml` takes to load it again.

        Raises:
            StoreError: if the file cannot be written.
        """
        from recurra.circuits.dump import write_yaml

        return write_yaml(self, path)

    def run(
        self,
        simulation_time: float,
        step_size: float,
        inputs: Mapping[str, object] | None = None,
        outputs: Mapping[str, str] | Sequence[str] | str | None = None,
        sampling_step_size: float | None = None,
        cutoff: float = 0.0,
        solver: str | None = None,
        backend: str | None = "default",
        **options: Any,
    ) -> pandas.DataFrame:
        """Simulate the circuit.

        Arguments:
            simulation_time: how long, in the model's unit of time.
            step_size: the step, in the same unit.
            inputs: `"node/operator/variable"` of an input -> a number, or an array `(steps,)`, `(steps, 1)` or
                `(steps, nodes)`; `all` stands for any node or circuit.
            outputs: name -> path of a variable, or a list of paths; all states if `None`.
            sampling_step_size: time between rows, a multiple of the step; the step if `None`.
            cutoff: rows before this time are left out.
            solver: `"euler"` (default), `"heun"`, `"rk4"`, `"scipy"` and others, see :func:`recurra.engine.simulate`.
            backend: `"default"` or `"jax"`; `"numpy"` (slow and plain, to compare with); `"scipy"`.
            **options: `seed`, `precision`, `progress`, `initial` (path of a state -> where it starts), `history`,
                `device`, and the solver's own options such as `method`, `rtol`, `atol`.

        Returns:
            A table, index `time`, row k the state at k times the sampling step, before the step. A column for each
            output that matches one variable; `(name, node..., "operator/variable")` where it matches several nodes,
            `(name, unit)` for a population.

        Raises:
            PathError: if an input or output does not exist.
            OptionError: if an option is unknown.
            TimeError: if a time does not fit the steps.

        >>> circuit = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
        >>> circuit.run(1.0, 0.1, outputs={"x": "p/vdp_op/x"}).shape
        (10, 1)
        """
        from recurra.circuits.running import run

        return run(
            self, simulation_time, step_size, inputs, outputs, sampling_step_size, cutoff, solver, backend, **options
        )

    def get_run_func(
        self, func_name: str, step_size: float, inputs: Mapping[str, object] | None = None, **options: Any
    ) -> tuple[Any, tuple[Any, ...], tuple[str, ...], dict[str, Any]]:
        """Return the vector field of the circuit as a compiled function.

        Arguments:
            func_name: the name that the function gets.
            step_size: the step between samples of `inputs`.
            inputs: as in :meth:`run`.
            **options: `backend="default"` or `"jax"`.

        Returns:
            `(func, args, arg_names, state_index)`: `func(t, y, *params)` gives dy/dt as a new array; `args` are
            `(t, y0, *params)` to call it with; `arg_names` are their paths; `state_index` maps the path of each
            state to its position in y, or `(start, end)`.

        Raises:
            CapabilityError: if the circuit is no ordinary differential equation.
        """
        from recurra.circuits.functions import run_func

        return run_func(self, func_name, step_size, inputs, **options)

    def get_jacobian_func(
        self, func_name: str, step_size: float, inputs: Mapping[str, object] | None = None, **options: Any
    ) -> tuple[Any, tuple[Any, ...], tuple[str, ...], dict[str, Any]]:
        """Return the Jacobian of the vector field as a compiled function; see :meth:`get_run_func`.

        Returns:
            `(func, args, arg_names, state_index)`: `func(t, y, *params)` gives J[i, j] = d(dy_i/dt)/dy_j, exact to
            rounding (by automatic differentiation).
        """
        from recurra.circuits.functions import jacobian_func

        return jacobian_func(self, func_name, step_size, inputs, **options)

    # Inside

    def edge_names(self) -> list[str]:
        """List the edges as texts, for messages."""
        return [f"{edge.source} -> {edge.target}" for edge in self.collect_edges()]

    def _collect_leaves(self) -> dict[str, NodeTemplate | PopulationTemplate]:
        """Flatten the circuit: path -> node or population, checked before anything large is built."""
        own = [*self.nodes, *self.populations, *self.circuits]
        if len(set(own)) < len(own):
            twice = next(label for label in own if own.count(label) > 1)
            raise errors.TemplateError(f"{self.name}: the label {twice!r} is given to two parts of the circuit.")
        size = len(self.nodes) + len(self.populations) + sum(len(each.leaves) for each in self.circuits.values())
        if size > _MAX_NODES:
            raise errors.TemplateError(f"{self.name}: {size} nodes are more than {_MAX_NODES}; use a population.")
        leaves: dict[str, NodeTemplate | PopulationTemplate] = {**self.nodes, **self.populations}
        for label, circuit in self.circuits.items():
            leaves.update({f"{label}/{path}": leaf for path, leaf in circuit.leaves.items()})
        return leaves

    def _check_edges(self) -> None:
        """Check every end once, however many edges meet there."""
        sources: dict[str, str] = {}
        targets: dict[str, str] = {}
        for edge in self.edges:
            sources.setdefault(edge.source, edge.target)
            targets.setdefault(edge.target, edge.source)
            for _, path in wiring_of(edge) if edge.template else ():
                if path != "source":
                    sources.setdefault(path, edge.target)
        for each in self.connections:
            sources.setdefault(each.source, each.target)
            targets.setdefault(each.target, each.source)
            sources.update({path: each.target for path in each.edge_var_map.values() if path != "source"})
            self._check_matrix(each)
        for path, other in sources.items():
            paths.check_end(self.leaves, path, ("state", "algebraic"), f"{self.name}, edge {path} -> {other}")
        for path, other in targets.items():
            paths.check_end(self.leaves, path, ("input",), f"{self.name}, edge {other} -> {path}")

    def _check_matrix(self, each: Connectivity) -> None:
        where = f"{self.name}, connection {each.source} -> {each.target}"
        sizes = []
        for path in (each.target, each.source):
            leaf = self.leaves.get(path.rpartition("/")[0].rpartition("/")[0])
            sizes.append(leaf.n if isinstance(leaf, PopulationTemplate) else 1)
        shape = np.shape(each.weights)
        if shape and shape != tuple(sizes) and all(path.count("/") >= 2 for path in (each.source, each.target)):
            raise errors.ShapeError(
                f"{where}: weights have shape {shape}, expected {tuple(sizes)} (target units, source units)."
            )

    def walk(self, prefix: str = "") -> Iterable[tuple[str, CircuitTemplate]]:
        """Yield this circuit and those inside it, each with what precedes its paths."""
        yield prefix, self
        for label, circuit in self.circuits.items():
            yield from circuit.walk(f"{prefix}{label}/")

    def _with_prefix(self, prefix: str) -> Iterable[CircuitEdge]:
        if not prefix:
            return self.edges
        found = []
        for edge in self.edges:
            wiring = {
                f"{edge.template.name}/{key}": path if path == "source" else prefix + path
                for key, path in wiring_of(edge)
                if edge.template
            }
            values = frozen({**edge.values, **wiring})
            found.append(CircuitEdge(prefix + edge.source, prefix + edge.target, edge.template, values))
        return found

    @classmethod
    def _merge(cls, old: dict[str, Any], new: Mapping[str, Any], where: str) -> dict[str, Any]:
        merged = {**old, **new}
        for kind in ("nodes", "circuits", "populations"):
            own = expect_mapping(new.get(kind), f"{where}, {kind}", "{label: template}")
            merged[kind] = {**(old.get(kind) or {}), **{str(label): entry for label, entry in own.items()}}
        edges = new.get("edges")
        known = list(old.get("edges") or ())
        if isinstance(edges, Mapping):
            merged["edges"] = edit_edges(known, edges, where)
        else:
            merged["edges"] = [*known, *listed(edges, where, "edges")]
        merged["connections"] = [*(old.get("connections") or ()), *listed(new.get("connections"), where, "connections")]
        return merged
