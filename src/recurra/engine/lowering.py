"""Turn a graph of nodes and edges into a Program: merge equal nodes, order the equations, lay out the numbers."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recurra.engine.checks import as_numbers, check_nodes
from recurra.engine.graph import Graph, Node, Operator, Rule, Variable
from recurra.engine.layout import EdgePlace, Layout, NodePlace, Target, VariableInfo
from recurra.engine.program import Program
from recurra.engine.randomness import check_streams, stream_address
from recurra.engine.rules import lay_out_rules, split_rules
from recurra.engine.system import Assign, Collect, GroupInfo, Noise, PastRead, Ring, SpikeRule, System
from recurra.engine.wiring import Wiring, expand_edges
from recurra.equations import FUNCTIONS, Call, Expr, Index, Name, Number, Past, fold, functions, names, noises, pasts
from recurra.errors import EquationError, OptionError, ShapeError, TemplateError, unknown

REAL_FUNCTIONS = frozenset({"real", "imag", "abs", "angle"})


def lower(graph: Graph) -> Program:
    """Lower a graph of equation nodes to a :class:`Program`.

    Nodes with equal equations share one array per variable, so the compiled code does not grow with the number of
    nodes or edges.

    Arguments:
        graph: nodes, edges and their numbers.

    Returns:
        The program: its structure static, its numbers editable by path.

    Raises:
        EquationError: a name in an equation is not declared.
        PathError: an edge or a value names a variable that does not exist.
        TemplateError: operators or algebraic variables depend on each other in a circle.
        ShapeError: an array has the wrong number of entries.

    >>> from recurra.engine import Graph, Node, Operator, Variable
    >>> from recurra.equations import parse_equation
    >>> kinds = {"x": Variable("state", 1.0), "tau": Variable("parameter", 2.0), "u": Variable("input")}
    >>> decay = Operator((parse_equation("x' = -x/tau + u"),), kinds)
    >>> lower(Graph({"n": Node({"op": decay}, 3)})).get("n/op/tau")
    array([2., 2., 2.])
    """
    if not graph.nodes:
        raise TemplateError(f"network {graph.name!r} has no node: add at least one.")
    equations, rules = split_rules(graph.nodes)
    check_nodes(equations)
    nodes, wires = expand_edges(graph)
    split: frozenset[str] = frozenset()
    while True:
        lowering = _Lowering(nodes, rules, split)
        lowering.wire(wires)
        try:
            return lowering.program(graph)
        except graphlib.CycleError as error:
            split = lowering.unmerge_cycle(error.args[1], split)


def as_program(model: Any) -> Program:
    """Return the program of anything that has one.

    Arguments:
        model: a Program, a Graph, or anything that has `program`, `to_program()` or `to_graph()`.

    Returns:
        The program.

    Raises:
        OptionError: it has none of them.

    >>> from recurra import CircuitTemplate
    >>> as_program(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")).paths[:2]
    ['p/vdp_op/x', 'p/vdp_op/z']
    """
    if isinstance(model, Program):
        return model
    if isinstance(model, Graph):
        return lower(model)
    for name in ("program", "to_program", "to_graph"):
        found = getattr(model, name, None) if not isinstance(model, type) else None
        if found is not None:
            return as_program(found() if callable(found) else found)
    raise OptionError(
        f"expected a Network, a CircuitTemplate, a Program, or anything with a `program`; got {type(model).__name__}."
    )


@dataclass
class Group:
    """Collect the nodes that share equations, while lowering."""

    label: str
    operators: tuple[tuple[str, Operator], ...]
    members: list[str]
    sizes: list[int]
    note: str = ""

    @property
    def units(self) -> int:
        return sum(self.sizes)

    def key(self, operator: str, variable: str) -> str:
        return f"{self.label}/{operator}/{variable}"


@dataclass
class Numbers:
    """Gather the arrays of the program while lowering."""

    params: dict[str, np.ndarray] = field(default_factory=dict)
    state: dict[str, np.ndarray] = field(default_factory=dict)
    tables: dict[str, np.ndarray] = field(default_factory=dict)


class _Lowering:
    def __init__(self, nodes: Mapping[str, Node], rules: Mapping[str, Rule], split: frozenset[str]):
        self.nodes = nodes
        self.groups = group_nodes(nodes, split)
        self.numbers = Numbers()
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.streams: list[tuple[str, str]] = [("rule", label) for label in rules]
        places: dict[str, NodePlace] = {}
        for i, group in enumerate(self.groups):
            start = 0
            for member, size in zip(group.members, group.sizes, strict=True):
                places[member] = NodePlace(i, start, start + size, tuple(nodes[member].operators))
                start += size
        self.edges: dict[str, EdgePlace] = {}
        arrays, self.rules = lay_out_rules(rules, self.shapes, self.numbers)
        self.layout = Layout(places, [self._declare(group) for group in self.groups], self.edges, arrays)
        self.wiring = Wiring(self.layout, self.shapes, self.numbers, self.edges)

    def wire(self, wires: list) -> None:
        self.wiring.build(wires)

    def _declare(self, group: Group) -> tuple[dict[str, VariableInfo], ...]:
        """Lay out the variables of a group: one array each, with the numbers of every member."""
        infos = []
        for position, (name, operator) in enumerate(group.operators):
            described = {}
            for variable, declared in operator.variables.items():
                key = group.key(name, variable)
                shape = _own_shape(declared, group)
                self.shapes[key] = shape or (group.units,)
                if declared.kind != "algebraic":
                    store = self.numbers.state if declared.kind == "state" else self.numbers.params
                    store[key] = self._values(group, position, variable, declared, self.shapes[key])
                described[variable] = VariableInfo(
                    declared.kind, declared.unit, key, shape[0] if shape else 0
                )
            infos.append(described)
        return tuple(infos)

    def _values(
        self, group: Group, position: int, variable: str, declared: Variable, shape: tuple[int, ...]
    ) -> np.ndarray:
        given = []
        for member in group.members:
            node = self.nodes[member]
            operator = tuple(node.operators)[position]
            # Members of a group have equal equations, but each brings its own defaults.
            default = node.operators[operator].variables[variable].value
            given.append(node.values.get(f"{operator}/{variable}", default))
        if shape == (len(given),) and all(isinstance(v, (float, int)) for v in given):
            return np.array(given, float)
        if shape != (group.units,):
            return _broadcast(given[0], shape, f"{group.members[0]}/{operator}/{variable}")
        parts = [
            _broadcast(v, (size,), f"{member}/{tuple(self.nodes[member].operators)[position]}/{variable}")
            for v, size, member in zip(given, group.sizes, group.members, strict=True)
        ]
        return np.concatenate(parts)

    def unmerge_cycle(self, cycle: list[str], split: frozenset[str]) -> frozenset[str]:
        """Find the nodes whose merging made a circle of algebraic variables; an honest circle is an error."""
        involved = {key.rsplit("/", 2)[0] for key in cycle}
        merged = [m for g in self.groups if g.label in involved and len(g.members) > 1 for m in g.members]
        if not merged:
            raise TemplateError(
                "algebraic variables depend on each other in a circle: "
                + " -> ".join(reversed(cycle))
                + ". Break it with a differential equation, or a delay on one of the edges"
                " (feedback=True in a Network)."
            )
        return split | frozenset(merged)

    def program(self, graph: Graph) -> Program:
        """Order the equations and put everything together."""
        items: dict[str, Assign | Collect] = {}
        derivatives: list[Assign] = []
        rings: list[Ring] = list(self.wiring.rings)
        past_reads: list[PastRead] = []
        noise: list[Noise] = []
        for group in self.groups:
            body = _GroupBody(group, self, rings, past_reads, noise)
            items.update(body.inputs())
            for assign, derivative in body.equations():
                if derivative:
                    derivatives.append(assign)
                else:
                    items[assign.target] = assign
        for rule in self.rules:
            for _, key in rule.inputs:
                items[key] = self.collect(key, ())
        check_streams(self.streams)
        order = graphlib.TopologicalSorter(
            {key: [d for d in self._reads(item) if d in items] for key, item in items.items()}
        ).static_order()
        schedule = tuple(items[key] for key in order)
        spikes = tuple(rule for group in self.groups for rule in self._spike_rules(group))
        complex_keys = _complex_keys(schedule, derivatives, self.wiring, self.numbers)
        of_rules = {key for rule in self.rules for _, key in rule.state}
        for key, value in self.numbers.state.items():
            if key in complex_keys and key not in of_rules:
                self.numbers.state[key] = value.astype(np.complex128)
        system = System(
            groups=tuple(GroupInfo(g.label, g.units, len(g.members), g.note) for g in self.groups),
            schedule=schedule,
            derivatives=tuple(derivatives),
            projections=tuple(self.wiring.projections),
            chains=tuple(self.wiring.chains),
            rings=tuple(rings),
            past_reads=tuple(past_reads),
            noises=tuple(noise),
            spikes=spikes,
            rules=self.rules,
            shapes=tuple(sorted(self.shapes.items())),
            complex_keys=complex_keys,
        )
        numbers = self.numbers
        return Program(system, self.layout, graph, numbers.params, numbers.state, numbers.tables, remake=lower)

    def collect(self, key: str, signals: tuple[str, ...]) -> Collect:
        """Say what arrives at an input, given the signals of its own node."""
        open_units = self.wiring.open_units(key)
        if signals or not open_units.any():
            base = "wired"
        elif open_units.all():
            base = "open"
        else:
            base = "mixed"
            self.numbers.tables[f"{key}/open"] = open_units
        return Collect(key, base, signals, tuple(self.wiring.into.get(key, ())))

    def _spike_rules(self, group: Group) -> list[SpikeRule]:
        """Lay out thresholds and resets of a group; its members agree on everything but the numbers."""
        rules = []
        for i, first in enumerate(self.nodes[group.members[0]].spikes):
            operator, variable = first.variable.split("/")
            key = group.key(self._canonical(group, operator), variable)
            stem = f"{group.label}/spike{i or ''}"
            every = [self.nodes[m].spikes[i] for m in group.members]
            reset = "" if first.reset is None else f"{stem}/reset"
            rule = SpikeRule(
                key, f"{stem}/signal", f"{stem}/threshold", reset, f"{stem}/slope", first.surrogate, f"{stem}/scale"
            )
            if any(np.any(s.refractory) for s in every):
                rule = replace(rule, refractory=f"{stem}/refractory", countdown=f"{stem}/countdown")
            rule = replace(
                rule, above="" if reset else f"{stem}/above", fired=f"{stem}/fired" if first.prompt else ""
            )
            for hidden in rule.memory:
                self.numbers.state[hidden] = np.zeros(group.units)
                self.shapes[hidden] = (group.units,)
            for name in ("threshold", "slope", "scale", *(n for n in ("reset", "refractory") if getattr(rule, n))):
                where = f"{group.members[0]}/spike{i or ''}/{name}"
                values = [_broadcast(getattr(s, name), (n,), where) for s, n in zip(every, group.sizes, strict=True)]
                self.numbers.params[f"{stem}/{name}"] = np.concatenate(values)
                for member, size in zip(group.members, group.sizes, strict=True):
                    place, path = self.layout.nodes[member], f"{member}/spike{i or ''}/{name}"
                    index = slice(place.start, place.stop)
                    self.layout.arrays[path] = Target(path, f"{stem}/{name}", "parameter", index, size)
            rules.append(rule)
        return rules

    def _canonical(self, group: Group, operator: str) -> str:
        position = tuple(self.nodes[group.members[0]].operators).index(operator)
        return group.operators[position][0]

    def _reads(self, item: Assign | Collect) -> list[str]:
        if isinstance(item, Assign):
            return [key for _, key in item.names]
        through = [self.wiring.projections[i] for i in item.projections]
        return [*item.signals, *(p.source for p in through if p.reads_now)]


class _GroupBody:
    """Turn the operators of one group into instructions on storage keys."""

    def __init__(
        self, group: Group, lowering: _Lowering, rings: list[Ring], reads: list[PastRead], noise: list[Noise]
    ):
        self.group, self.lowering = group, lowering
        self.rings, self.reads, self.noise = rings, reads, noise

    def inputs(self) -> dict[str, Collect]:
        """Say for each input what arrives at it."""
        collects = {}
        for name, operator in self.group.operators:
            for variable, declared in operator.variables.items():
                if declared.kind != "input":
                    continue
                key = self.group.key(name, variable)
                signals = tuple(
                    self.group.key(other, variable)
                    for other, source in self.group.operators
                    if other != name and source.output == variable
                )
                signals += tuple(
                    f"{self.group.label}/spike{i or ''}/signal"
                    for i, rule in enumerate(self.lowering.nodes[self.group.members[0]].spikes)
                    if rule.input == f"{name}/{variable}"
                )
                collects[key] = self.lowering.collect(key, signals)
        return collects

    def equations(self) -> list[tuple[Assign, bool]]:
        """Bind the names of every equation to storage keys."""
        found = []
        for position, (name, operator) in enumerate(self.group.operators):
            where = f"{self.group.members[0]}/{name}"
            for equation in operator.equations:
                bound = []
                for local in sorted(names(equation.expression, operator.variables)):
                    if local in operator.variables:
                        bound.append((local, self.group.key(name, local)))
                    else:
                        raise EquationError(
                            unknown("name", local, operator.variables)
                            + " Declare it among the operator's variables.",
                            equation.text,
                            where=where,
                        )
                for local in sorted(noises(equation.expression, operator.variables)):
                    bound.append((local, self._noise(position, name, local, equation.target)))
                read = tuple(
                    (past, self._past(name, operator, past, equation.text, where))
                    for past in pasts(equation.expression)
                )
                target = self.group.key(name, equation.target)
                found.append((Assign(target, equation.expression, tuple(bound), read), equation.derivative))
        return found

    def _noise(self, position: int, operator: str, name: str, target: str) -> str:
        # A bare xi is a stream of its own in every equation; a named one is shared within the operator.
        stream = f"{name}@{target}" if name == "xi" else name
        key = self.group.key(operator, stream)
        if all(n.target != key for n in self.noise):
            seeds, nodes = f"{key}/seeds", self.lowering.nodes
            # The path of the node's own operator, whoever it was merged with.
            paths = [f"{m}/{tuple(nodes[m].operators)[position]}/{stream}" for m in self.group.members]
            self.lowering.numbers.tables[seeds] = np.array([stream_address(p) for p in paths])
            self.lowering.streams += [("noise", path) for path in paths]
            # A vector has noise of its own in every entry; a noise that is shared has one value for each unit.
            shape = self.lowering.shapes[self.group.key(operator, target)] if name == "xi" else (self.group.units,)
            self.lowering.shapes[key] = shape
            self.noise.append(Noise(key, seeds, len(paths), shape[0] // len(paths)))
        return key

    def _past(self, name: str, operator: Operator, past, text: str, where: str) -> str:
        declared = operator.variables.get(past.name)
        if declared is None:
            raise EquationError(unknown("name", past.name, operator.variables), text, past.span, where)
        if declared.kind != "state":
            raise EquationError(
                f"past({past.name}, ...) needs a state variable, {past.name!r} is of kind {declared.kind}.",
                text,
                past.span,
                where,
            )
        bound = []
        for local in sorted(names(past.delay)):
            if local not in operator.variables or operator.variables[local].kind != "parameter":
                raise EquationError(
                    f"the delay of past({past.name}, ...) must be made of numbers and parameters;"
                    f" {local!r} is neither.",
                    text,
                    past.span,
                    where,
                )
            bound.append((local, self.group.key(name, local)))
        source = self.group.key(name, past.name)
        ring = Ring(source, "initial")
        if ring not in self.rings:
            self.rings.append(ring)
        key = f"{source}/past{len(self.reads)}"
        self.reads.append(PastRead(key, source, past.delay, tuple(bound), self.rings.index(ring)))
        return key


def group_nodes(nodes: Mapping[str, Node], split: frozenset[str]) -> list[Group]:
    """Put nodes with equal equations into one group, in the order of their first member."""
    found: dict[object, Group] = {}
    signatures: dict[int, object] = {}
    for label, node in nodes.items():
        operators = tuple(node.operators.items())
        note = "depends on its own kind without delay" if label in split else _reason_not_to_merge(node)
        key: object = label if note else _signature(node, signatures)
        group = found.get(key)
        if group is None:
            found[key] = Group(label, operators, [label], [node.size], note)
        else:
            group.members.append(label)
            group.sizes.append(node.size)
    for group in found.values():
        if len(group.members) > 1:
            last = "" if "->" in group.members[0] else group.members[-1]  # the labels of edges are long
            group.label = f"{group.members[0]}..{last}"
    return list(found.values())


def _signature(node: Node, known: dict[int, object]) -> object:
    """What must be equal for two nodes to merge: equations, kinds and wiring; not names of operators, not numbers."""
    parts = []
    for operator in node.operators.values():
        if id(operator) not in known:
            equations = tuple((e.target, e.derivative, e.expression) for e in operator.equations)
            kinds = tuple(sorted((name, v.kind) for name, v in operator.variables.items()))
            known[id(operator)] = (equations, kinds, operator.output)
        parts.append(known[id(operator)])
    noisy = any(noises(e.expression) for o in node.operators.values() for e in o.equations)
    # Noise is drawn for a whole node at a time, so that merging changes no number of it.
    positions = {name: i for i, name in enumerate(node.operators)}
    thresholds = []
    for rule in node.spikes:
        ends = [(positions[p.split("/")[0]], p.split("/")[1]) for p in (rule.variable, rule.input) if p]
        thresholds.append((tuple(ends), rule.surrogate, rule.reset is None, rule.prompt))
    return (tuple(parts), tuple(thresholds), node.size if noisy else 0)


def _reason_not_to_merge(node: Node) -> str:
    for operator in node.operators.values():
        for declared in operator.variables.values():
            if np.ndim(declared.value) and node.size == 1:
                return "has a vector variable"
        for equation in operator.equations:
            across = [f for f in sorted(functions(equation.expression)) if not FUNCTIONS[f].elementwise]
            if across:
                return f"{across[0]}() runs over the units of the node"
            if has_index(equation.expression):
                return "has an indexed variable"
    return ""


def _own_shape(declared: Variable, group: Group) -> tuple[int, ...]:
    """The shape of a variable that is itself a vector or matrix; () for one number per unit."""
    shape = np.shape(declared.value)
    return shape if shape and group.units == 1 else ()


def _broadcast(value: object, shape: tuple[int, ...], where: str) -> np.ndarray:
    array = as_numbers(value, where)
    try:
        return np.broadcast_to(array, shape).copy()
    except ValueError:
        raise ShapeError(f"{where}: got shape {array.shape}, expected a number or shape {shape}.") from None


def _complex_keys(schedule: tuple, derivatives: list, wiring: Wiring, numbers: Numbers) -> frozenset[str]:
    """Find which arrays are complex: a variable is if anything that enters it is."""
    found = {k for store in (numbers.params, numbers.state) for k, v in store.items() if np.iscomplexobj(v)}
    size = -1
    while size != len(found):
        size = len(found)
        for item in (*schedule, *derivatives):
            if isinstance(item, Assign):
                local = {name for name, key in item.names if key in found}
                operator = item.target.rsplit("/", 1)[0]
                local |= {past.name for past, _ in item.pasts if f"{operator}/{past.name}" in found}
                if _is_complex(item.expression, local):
                    found.add(item.target)
            elif any(s in found for s in item.signals) or any(
                wiring.projections[i].source in found for i in item.projections
            ):
                found.add(item.target)
        for chain in wiring.chains:
            if chain.source in found:
                found |= {chain.state, chain.output}
    return frozenset(found)


def has_index(expression: Expr) -> bool:
    """Say whether an expression takes single entries of a variable."""
    return fold(expression, lambda node, inner: isinstance(node, Index) or any(inner))


def _is_complex(expression: Expr, complex_names: set[str]) -> bool:
    """Say whether an expression has complex values, given which names have."""

    def combine(node: Expr, children: tuple[bool, ...]) -> bool:
        if isinstance(node, Number):
            return isinstance(node.value, complex)
        if isinstance(node, Name):
            return node.id in complex_names
        if isinstance(node, Past):
            return node.name in complex_names
        return any(children) and not (isinstance(node, Call) and node.function in REAL_FUNCTIONS)

    return fold(expression, combine)
