"""Nodes of a network: what a user gives as a node, as nodes of the engine with named ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recurra.circuits import (
    CircuitTemplate,
    EdgeTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
    from_yaml,
)
from recurra.courtesy import brief
from recurra.engine.graph import Edge, Graph, Node, Operator, Rule, Variable
from recurra.engine.rules import split_rules
from recurra.equations import FUNCTIONS, parse_equations
from recurra.errors import OptionError, PathError, ShapeError, TemplateError, unknown
from recurra.network.edges import Bundle, NetworkEdge
from recurra.network.rules import array_of, arrays_of, shape_of, units_of, with_array

READABLE = ("state", "algebraic")
_KINDS = ("state", "algebraic", "parameter", "input", "emitted")
_ENDS = {"source_var": "output", "target_var": "input", "input_var": "input", "output_var": "output"}


@dataclass(frozen=True, eq=False)
class NetworkNode:
    """Hold one node of a network: nodes of the engine, the edges between them, and its ends.

    Arguments:
        label: its name.
        parts: full label -> node of the engine; a node of equations has one part, called as itself.
        edges: edges between the parts.
        op: the operator that a variable without one is looked for in first.
        recurrent: the edge of the node to itself.
        inner: edges of a network that is the node.
        input: what the user feeds and edges lead to; `None` if that is not clear.
        output: what edges start from and what is recorded as the output; `None` if that is not clear.
        train: names of what gradients change: `"weights"` or variables.
        record: names of variables that every run records.
        rules: full label -> rule of the engine, a function in the place of equations; each of its arrays is a variable,
            `"rule/array"`.
        dt: the step that it is written for; `None` for any.

    >>> from recurra import Network
    >>> net = Network(dt=0.1)
    >>> variables = {"v": "output", "k": 2.0, "u": "input"}
    >>> node = net.add_diffeq_node("a", "v' = -k*v + u", variables=variables, N=3, train_params=["k"]).node
    >>> node.size, node.train, node.paths(("parameter",))
    (3, ('k',), ['a/op/k'])
    """

    label: str
    parts: Mapping[str, Node]
    edges: tuple[Edge, ...] = ()
    op: str = ""
    recurrent: NetworkEdge | None = None
    inner: tuple[NetworkEdge, ...] = ()
    input: Bundle | None = None
    output: Bundle | None = None
    train: tuple[str, ...] = ()
    record: tuple[str, ...] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)
    dt: float | None = None

    __repr__ = brief

    @property
    def size(self) -> int:
        """Count the units of all parts."""
        return sum(part.size for part in self.parts.values()) + sum(units_of(rule) for rule in self.rules.values())

    def variables(self, kinds: tuple[str, ...] = _KINDS) -> list[str]:
        """List the names of the variables of some kinds, as :meth:`find` takes them; parts may share a name."""
        return list(dict.fromkeys(name for name, _ in self._each(kinds)))

    def paths(self, kinds: tuple[str, ...] = _KINDS) -> list[str]:
        """List the full paths of the variables of some kinds."""
        return [path for _, path in self._each(kinds)]

    def find(self, name: object, kinds: tuple[str, ...] | None = None, what: str = "variable") -> Bundle:
        """Return where a variable is.

        Arguments:
            name: `"operator/variable"` (in every part that has it), `"part/operator/variable"`, or the variable alone
                if it is the only one of its name.
            kinds: what it may be; anything if `None`.
            what: what it is wanted as, for errors.

        Raises:
            PathError: there is no such variable, it is of another kind, or several fit.
        """
        where = f"node {self.label!r}, {what}"
        if not isinstance(name, str):
            raise PathError(f"{where}: expected a name such as 'operator/variable', got {name!r}.")
        inside = name.removeprefix(f"{self.label}/").removeprefix("all/")
        found = [path for known, path in self._each() if known == inside or self._inside(path) == inside]
        if not found and "/" not in inside:
            found = self._bare(inside, where)
        if not found:
            known = self.variables(kinds or _KINDS)
            # Near names are looked for in the form that was given.
            short = known if "/" in inside else [n.partition("/")[2] for n in known]
            raise PathError(unknown("name", name, short, where))
        allowed = kinds or _KINDS
        for path in found:
            if (kind := self._kind(path)) not in allowed:
                fit = ", ".join(self.variables(allowed)) or "there is none"
                raise PathError(f"{where}: {name!r} is of kind {kind}, expected {' or '.join(allowed)}: {fit}.")
            if what in _ENDS and len(shape := self.shape(path)) != 1:
                raise PathError(f"{where}: {name!r} has the shape {shape}; only a vector is sent from unit to unit.")
        return self.bundle(found)

    def bundle(self, paths: Iterable[str]) -> Bundle:
        """Return variables of the node, by their full paths, side by side."""
        paths = tuple(paths)
        return Bundle(paths, tuple(math.prod(self.shape(path)) for path in paths))

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of a variable, by its full path: `(units,)`, or that of the array of a rule."""
        if (found := array_of(self.rules, path)) is not None:
            return shape_of(*found)
        return (self.parts[path.rsplit("/", 2)[0]].size,)

    def end(self, role: str, given: object = None, but: Iterable[str] = ()) -> Bundle | None:
        """Return the variable that is given, or the only one that could be meant; `None` if that is not clear.

        Arguments:
            role: the argument by which the user would give it: `"input_var"`, ...
            given: what was given.
            but: paths that are taken already.
        """
        kind = _ENDS[role]
        if given is not None:
            return self.find(given, ("input",) if kind == "input" else READABLE, role)
        taken = set(but)
        known = self.candidates(kind)
        free = [n for n in known if not taken & set(self.find(n).paths)] or known
        return self.find(free[0]) if len(free) == 1 else None

    def unclear(self, role: str) -> PathError:
        """Word the error for an end that was not given and has several candidates, or none."""
        names = self.candidates(_ENDS[role])
        if not names:
            return PathError(f"node {self.label!r} has no variable that could be its {role}.")
        return PathError(
            f"node {self.label!r}: {role} is not given, and {len(names)} variables could be meant: {', '.join(names)}."
            f" Write for example {role}={names[0]!r}."
        )

    def candidates(self, kind: str) -> list[str]:
        """List the variables that could be an end of the node.

        Arguments:
            kind: `"input"` (fed by nothing inside the node) or `"output"` (what no other operator takes; without
                declared outputs, every state).
        """
        if kind == "input":
            own = [self.recurrent] if self.recurrent else []
            fed = {edge.target for edge in self.edges} | {p for e in (*own, *self.inner) for p in e.target.paths}
            free = [name for name, path in self._each(("input",)) if path not in fed and not self._fed(path)]
            return list(dict.fromkeys(free))
        names: dict[str, None] = {}
        for part in self.parts.values():
            inputs = {(o, v) for o, op in part.operators.items() for v, d in op.variables.items() if d.kind == "input"}
            for operator, each in part.operators.items():
                if each.output and not any(o != operator and v == each.output for o, v in inputs):
                    names[f"{operator}/{each.output}"] = None
        names |= dict.fromkeys(n for n, path in self._each(("state",)) if not names and len(self.shape(path)) == 1)
        return list(names)

    def with_values(self, values: Mapping[str, object]) -> NetworkNode:
        """Return the node with other numbers, full path of a parameter, input or state -> number or one per unit."""
        parts, rules = dict(self.parts), dict(self.rules)
        for path, value in values.items():
            if array_of(rules, path) is not None:
                rules |= with_array(rules, path, value)
                continue
            label, operator, variable = path.rsplit("/", 2)
            part = parts[label]
            if operator in part.operators:
                parts[label] = replace(part, values={**part.values, f"{operator}/{variable}": value})
            else:
                number = int(operator.removeprefix("spike") or 0)
                spikes = [replace(r, **{variable: value}) if i == number else r for i, r in enumerate(part.spikes)]
                parts[label] = replace(part, spikes=tuple(spikes))
        return replace(self, parts=parts, rules=rules)

    def describe(self) -> str:
        """Return one line for people."""
        ends = [f"{role} {' + '.join(b.paths)}" for role, b in (("in", self.input), ("out", self.output)) if b]
        notes = [" spiking" for part in self.parts.values() if part.spikes][:1]
        notes += [f", {rule.text or 'a rule'}" for rule in self.rules.values()]
        return f"{self.label}: {self.size} units{''.join(notes)}" + (f"; {', '.join(ends)}" if ends else "")

    def _each(self, kinds: tuple[str, ...] = _KINDS) -> list[tuple[str, str]]:
        """List `operator/variable` (or `rule/array`) and full path of every variable of some kinds."""
        found = [
            (f"{operator}/{variable}", f"{label}/{operator}/{variable}")
            for label, part in self.parts.items()
            for operator, each in part.operators.items()
            for variable, declared in each.variables.items()
            if declared.kind in kinds
        ] + ([entry for part in self.parts.items() for entry in _spike_numbers(*part)] if "parameter" in kinds else [])
        return found + [
            (f"{label.rpartition('/')[2]}/{name}", f"{label}/{name}")
            for label, rule in self.rules.items()
            for name, kind in arrays_of(rule).items()
            if kind in kinds
        ]

    def _inside(self, path: str) -> str:
        return path.removeprefix(f"{self.label}/")

    def _kind(self, path: str) -> str:
        if (found := array_of(self.rules, path)) is not None:
            return arrays_of(found[0])[found[1]]
        label, operator, variable = path.rsplit("/", 2)
        known = self.parts[label].operators
        return known[operator].variables[variable].kind if operator in known else "parameter"

    def _fed(self, path: str) -> bool:
        """Say whether an operator of the same part, or its spikes, feed an input."""
        if array_of(self.rules, path) is not None:
            return False
        label, operator, variable = path.rsplit("/", 2)
        part = self.parts[label]
        return any(o != operator and each.output == variable for o, each in part.operators.items()) or any(
            rule.input == f"{operator}/{variable}" for rule in part.spikes
        )

    def _bare(self, variable: str, where: str) -> list[str]:
        """Find a variable that is named without its operator."""
        found = [(name, path) for name, path in self._each() if name.partition("/")[2] == variable]
        own = [entry for entry in found if entry[0].split("/")[0] == self.op]
        # An input that takes another operator's output of the same name is that output.
        found = own or [entry for entry in found if not self._fed(entry[1])] or found
        names = list(dict.fromkeys(name for name, _ in found))
        if len(names) > 1:
            raise PathError(f"{where}: {variable!r} could be {' or '.join(names)}; say which.")
        return [path for _, path in found]


def _spike_numbers(label: str, part: Node) -> list[tuple[str, str]]:
    """List name and full path of the numbers of a node's thresholds."""
    found = []
    for i, rule in enumerate(part.spikes):
        stem = f"spike{i or ''}"
        names = ["threshold", "slope", "scale"] + [n for n in ("reset",) if rule.reset is not None]
        names += ["refractory"] if np.any(rule.refractory) else []
        found += [(f"{stem}/{name}", f"{label}/{stem}/{name}") for name in names]
    return found


def read_node(
    label: str,
    node: Any,
    size: int | None,
    variables: Mapping[str, Any] | None,
    op: str,
    kept: Iterable[str] = (),
) -> NetworkNode:
    """Make a node of a network out of anything that a user may give.

    Arguments:
        label: its name.
        node: the path of a template, a template, a graph or node of the engine, anything with `to_graph()` or
            `to_node()`, or equations: a text with `=` in it, or a list of texts.
        size: number of units; `None` for as many as it has.
        variables: declarations, for equations.
        op: the name of the operator, for equations.
        kept: names of inputs that are wanted although they are in no equation, such as one that spikes feed.

    Raises:
        TemplateError: if it cannot be understood.
    """
    where = f"node {label!r}"
    is_text = isinstance(node, str) and "=" in node
    if is_text or (isinstance(node, list | tuple) and node):
        node = NodeTemplate(label, OperatorTemplate(op or "op", node, variables or {}))
    elif variables is not None:
        raise TemplateError(f"{where}: variables= is for equations; use node_vars= to change a template's values.")
    node = from_yaml(node) if isinstance(node, str) else node
    if isinstance(node, EdgeTemplate):
        raise TemplateError(f"{where}: {node.name!r} is an EdgeTemplate; it belongs into edge_template=.")
    if isinstance(node, OperatorTemplate):
        node = NodeTemplate(node.name, node)
    template = node if isinstance(node, NodeTemplate) else None
    for method in ("to_graph", "to_node"):
        node = getattr(node, method)() if hasattr(node, method) else node
    if isinstance(node, Node) and template is not None:
        node = _with_inputs(node, template, kept)
    if isinstance(node, Node):
        return NetworkNode(label, {label: _sized(node, size, where)}, op=op)
    if isinstance(node, Graph):
        if size is not None:
            raise TemplateError(f"{where}: N is for a node of equations; a circuit or graph has its own units.")
        return _from_graph(label, node, op)
    kinds = ", ".join(t.__name__ for t in (NodeTemplate, PopulationTemplate, CircuitTemplate))
    raise TemplateError(
        f"{where}: cannot be made of {type(node).__name__}; give equations, the path of a template, a {kinds}, a"
        " Network, or anything with to_graph() or to_node()."
    )


def _with_inputs(node: Node, template: NodeTemplate, wanted: Iterable[str]) -> Node:
    """Give operators back those inputs that their templates declare and no equation reads."""
    operators = dict(node.operators)
    for name in wanted:
        for label, each in operators.items():
            if label not in template or name not in (declared := template[label].variables) or name in each.variables:
                continue
            if declared[name].role == "input":
                more = {**each.variables, name: Variable("input")}
                operators[label] = replace(each, variables=more)
    return replace(node, operators=operators)


def with_size(node: NetworkNode, size: int) -> NetworkNode:
    """Return a node of equations with so many units; anything else as it is."""
    if list(node.parts) != [node.label] or node.size != 1:
        return node
    return replace(node, parts={node.label: _sized(node.parts[node.label], size, f"node {node.label!r}")})


def _sized(node: Node, size: int | None, where: str) -> Node:
    if size is None or size == node.size:
        return node
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ShapeError(f"{where}: N must be a whole number >= 1, got {size!r}.")
    if node.size != 1:
        raise ShapeError(f"{where}: N or the weights say {size} units, but the template has {node.size}.")
    return replace(node, size=int(size))


def _from_graph(label: str, graph: Graph, op: str) -> NetworkNode:
    """Put a graph into a node: its labels are preceded by the node's."""
    nodes, rules = split_rules(graph.nodes)
    if "" in rules:
        raise TemplateError(f"node {label!r}: its rule has no label; put it into the graph under one, such as 'cells'.")
    parts = {f"{label}/{name}": part for name, part in nodes.items()}
    edges = tuple(prefixed(edge, label) for edge in graph.edges)
    own = {f"{label}/{name}": rule for name, rule in rules.items()}
    found = NetworkNode(label, parts, edges, op, rules=own, dt=graph.dt)
    if graph.input:
        found = replace(found, input=found.end("input_var", graph.input))
    return replace(found, output=found.end("output_var", graph.output)) if graph.output else found


def prefixed(edge: Edge, label: str) -> Edge:
    """Return an edge whose paths are preceded by a label."""
    return replace(
        edge,
        source=f"{label}/{edge.source}",
        target=f"{label}/{edge.target}",
        inputs={k: path if path == "source" else f"{label}/{path}" for k, path in edge.inputs.items()},
        label=edge.label and f"{label}/{edge.label}",
    )


def function_node(label: str, size: object, function: object) -> NetworkNode:
    """Make a node that applies a function to its input, at once: `y = function(x)`.

    Arguments:
        label: its name.
        size: number of units.
        function: the name of a function of one argument; `softmax`, `softmin` and `log_softmax` run over the units.

    Raises:
        OptionError: there is no such function.
    """
    where = f"node {label!r}"
    known = [
        name
        for name, each in FUNCTIONS.items()
        if each.arity == (1, 1) and (each.elementwise or name.endswith(("softmax", "softmin")))
    ]
    if function not in known:
        raise OptionError(unknown("activation function", function, known, where))
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ShapeError(f"{where}: n must be a whole number >= 1, got {size!r}.")
    operator = Operator(
        parse_equations([f"y = {function}(x)"], label), {"y": Variable("algebraic"), "x": Variable("input")}, "y"
    )
    node = NetworkNode(label, {label: Node({"func": operator}, int(size))})
    return replace(node, input=node.end("input_var"), output=node.end("output_var"))
