"""Nodes, populations and edge templates: operators put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra import errors
from recurra.circuits.operators import OperatorTemplate
from recurra.circuits.templates import Template, as_template, check_name, expect_mapping, frozen, short
from recurra.circuits.values import Declaration, Value, as_count, as_value, parse_declaration, show
from recurra.courtesy import returns_changed
from recurra.engine.graph import Node, Variable

if TYPE_CHECKING:
    from typing import Self

MAX_UNITS = 100_000_000


class OperatorStack(Template):
    """Hold operators that are joined by name, and values that replace the declared ones.

    The output of an operator feeds the inputs of the same name in the others; several outputs of one name add.
    """

    _fields = ("operators",)
    _may_be_empty = False

    def __init__(
        self,
        name: str,
        operators: object,
        path: str | None = None,
        description: str = "",
        reference: str = "",
    ):
        stack, values = _read_operators(operators, str(name), self._may_be_empty)
        super().__init__(name, path, description, reference, _stack=stack, _values=values, _node=_node(stack, values))

    @property
    def operators(self) -> Mapping[OperatorTemplate, Mapping[str, Value]]:
        """Map each operator to the values that replace its declared ones."""
        values: dict[str, dict[str, Value]] = {key: {} for key in self._stack}
        for (operator, variable), value in self.__dict__["_values"].items():
            values[operator][variable] = value
        return frozen({self._stack[key]: frozen(entry) for key, entry in values.items()})

    @property
    def _stack(self) -> dict[str, OperatorTemplate]:
        return self.__dict__["_stack"]

    def __getitem__(self, operator: str) -> OperatorTemplate:
        """Return an operator by its name."""
        if operator not in self._stack:
            raise errors.PathError(errors.unknown("operator", operator, self._stack, self.name))
        return self._stack[operator]

    def __contains__(self, operator: object) -> bool:
        return operator in self._stack

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the operators."""
        return iter(self._stack)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, operators: {', '.join(self._stack)})"

    def get_op(self, op: str) -> OperatorTemplate:
        """Return an operator by its name."""
        return self[op]

    def get_var(self, op: str, var: str) -> Value:
        """Return the value of a variable: the node's own, or else the declared one."""
        return self.__dict__["_values"].get((op, var), self[op][var].value)

    @returns_changed
    def update_var(self, op: str, var: str, val: object) -> Self:
        """Return a new template in which a variable has another value.

        Arguments:
            op: the name of the operator.
            var: the name of a parameter, of an input (the value if nothing feeds it) or of a state (where it starts).
            val: a number, or an array for a variable that is itself a vector.

        Returns:
            The new template.

        Raises:
            PathError: if there is no such operator or variable.
        """
        return self.with_values({(op, var): val})

    @returns_changed
    def with_values(self, changes: Mapping[tuple[str, str], object]) -> Self:
        """Return a new template with several values changed, `(operator, variable) -> value`."""
        values = dict(self.__dict__["_values"])
        for (op, var), value in changes.items():
            values[op, var] = _override(self[op], var, value, f"{self.name}/{op}")
        new = object.__new__(type(self))
        fields = {key: entry for key, entry in self.__dict__.items() if key != "_content_key"}
        new.__dict__.update(fields, _values=values, _node=_node(self._stack, values))
        return new

    def to_node(self) -> Node:
        """Return the node that the engine understands: one unit."""
        return self.__dict__["_node"]

    def variable(self, operator: str, variable: str, where: str) -> Variable:
        """Return what the engine knows of a variable, or say what there is instead."""
        if operator not in self._stack:
            raise errors.PathError(errors.unknown("operator", operator, self._stack, where))
        known = self._stack[operator].to_operator().variables
        if variable not in known:
            if variable in self._stack[operator]:
                raise errors.PathError(f"{where}/{operator}: {variable!r} is declared but no equation uses it.")
            raise errors.PathError(errors.unknown("variable", variable, known, f"{where}/{operator}"))
        return known[variable]

    def describe(self) -> str:
        """Return a text for people: the operators with their variables and values."""
        lines = self._heading()
        for key, operator in self._stack.items():
            values = {var: value for (op, var), value in self.__dict__["_values"].items() if op == key}
            lines.append(f"  {key}")
            if operator.reference and operator.reference != self.reference:
                lines.append(f"    Reference: {' '.join(operator.reference.split())}")
            lines += [f"    {text}" for text in operator.equations]
            lines += [f"  {line}" for line in operator.list_variables(values)]
        return "\n".join(lines)


class NodeTemplate(OperatorStack):
    """Stack operators into a node: one unit of a circuit.

    Arguments:
        name: the name of the template; a circuit gives the node its own label.
        operators: an operator, a list of operators, or a mapping operator -> {variable: value}; an operator is an
            :class:`OperatorTemplate` or a path to one. Operators are joined by name: the output of one feeds the
            inputs of the same name in the others, several outputs of one name add.
        path: where it was loaded from.
        description: what it is.
        reference: the paper it comes from.

    Raises:
        TemplateError: if two operators have the same name, or a value is no number.
        PathError: if a value is given for an unknown variable.

    >>> leak = OperatorTemplate("leak", "v' = -v/tau + u", {"v": "output", "tau": 2.0, "u": "input"})
    >>> cell = NodeTemplate("cell", {leak: {"tau": 5.0}})
    >>> cell.get_var("leak", "tau"), cell.update_var("leak", "tau", 1).get_var("leak", "tau")
    (5.0, 1.0)
    """


class EdgeTemplate(OperatorStack):
    """Stack operators into an edge: what happens to a signal on its way, before delay and weight.

    Arguments:
        name: the name of the template.
        operators: as in :class:`NodeTemplate`; one output must be left for the target of the edge. With none it is a
            plain edge.
        path: where it was loaded from.
        description: what it is.
        reference: the paper it comes from.

    >>> squash = OperatorTemplate("squash", "m = tanh(r)", {"m": "output", "r": "input"})
    >>> EdgeTemplate("squash_edge", squash).output
    'squash/m'
    """

    _may_be_empty = True

    def __init__(
        self, name: str, operators: object = (), path: str | None = None, description: str = "", reference: str = ""
    ):
        super().__init__(name, operators, path, description, reference)
        self.__dict__.update(_ends=_edge_ends(self) if self._stack else ("", ()))

    @property
    def output(self) -> str:
        """Give `operator/variable` of what reaches the target."""
        return self.__dict__["_ends"][0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Give `operator/variable` of the inputs that no operator of the edge feeds."""
        return self.__dict__["_ends"][1]

    def find_input(self, key: object, where: str) -> str:
        """Return `operator/variable` for `variable`, `operator/variable` or `edge/operator/variable`."""
        for path in self.inputs:
            if key in (path, f"{self.name}/{path}"):
                return path
        matches = [path for path in self.inputs if path.rpartition("/")[2] == key]
        if len(matches) != 1:
            raise errors.PathError(errors.unknown("input of the edge", key, self.inputs, where))
        return matches[0]

    def complete(self, inputs: Mapping[str, str], where: str) -> dict[str, str]:
        """Return the wiring of the inputs, the source added where it is clear which input reads it."""
        found = dict(inputs)
        free = [path for path in self.inputs if path not in found]
        if "source" not in found.values() and len(free) == 1:
            found[free[0]] = "source"
        elif not found:
            wanted = f"{self.name}/{free[0]}" if free else ""
            hint = f"Say for each what it reads, e.g. {{{wanted!r}: 'source'}}." if free else "Declare one as input."
            raise errors.TemplateError(
                f"{where}: the edge template {self.name!r} has {len(free)} inputs ({', '.join(free) or 'none'}), so it "
                f"is not clear which one reads the source. {hint}"
            )
        return found


class PopulationTemplate(Template):
    """Repeat a node: `n` units with the same equations.

    Arguments:
        name: the name of the template; a circuit gives the population its own label.
        node: a :class:`NodeTemplate` or a path to one.
        n: number of units.
        params: `"operator/variable"` -> a number, or one number for each unit; parameters and initial values.
        path: where it was loaded from.
        description: what it is.
        reference: the paper it comes from.

    Raises:
        ShapeError: if an array has not one number for each unit.
        PathError: if there is no such operator or variable.

    >>> leak = OperatorTemplate("leak", "v' = -v/tau", {"v": "output", "tau": 2.0})
    >>> pop = PopulationTemplate("pop", NodeTemplate("cell", leak), 3, {"leak/v": [0.0, 1.0, 2.0]})
    >>> pop.to_node().size
    3
    """

    _fields = ("node", "n", "params")

    node: NodeTemplate
    n: int

    def __init__(
        self,
        name: str,
        node: NodeTemplate | str,
        n: int,
        params: Mapping[str, object] | None = None,
        path: str | None = None,
        description: str = "",
        reference: str = "",
    ):
        template = as_template(node, NodeTemplate, f"{name}, node")
        size = as_count(n, f"{name}, n", MAX_UNITS)
        values = {}
        for key, raw in expect_mapping(params, f"{name}, params", "{'op/var': 1.0}").items():
            operator, variable = _split(key, str(name))
            values[f"{operator}/{variable}"] = _unit_values(template, operator, variable, raw, size, str(name))
        super().__init__(name, path, description, reference, node=template, n=size, _params=values)

    @property
    def params(self) -> Mapping[str, Value]:
        """Map `"operator/variable"` to the population's own values."""
        return frozen(self.__dict__["_params"])

    def __getitem__(self, operator: str) -> OperatorTemplate:
        """Return an operator by its name."""
        return self.node[operator]

    def __contains__(self, operator: object) -> bool:
        return operator in self.node

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the operators."""
        return iter(self.node)

    def __repr__(self) -> str:
        return f"PopulationTemplate({self.name!r}, {self.n} x {self.node.name})"

    @returns_changed
    def update_var(self, op: str, var: str, val: object) -> PopulationTemplate:
        """Return a new population in which a variable has another value: a number, or one for each unit."""
        return self.with_values({(op, var): val})

    @returns_changed
    def with_values(self, changes: Mapping[tuple[str, str], object]) -> PopulationTemplate:
        """Return a new population with several values changed, `(operator, variable) -> value`."""
        return self.update_template(
            path=self.path, params={f"{op}/{var}": value for (op, var), value in changes.items()}
        )

    def get_var(self, op: str, var: str) -> Value:
        """Return the value of a variable: the population's own, or else the node's."""
        return self.__dict__["_params"].get(f"{op}/{var}", self.node.get_var(op, var))

    def variable(self, operator: str, variable: str, where: str) -> Variable:
        """Return what the engine knows of a variable, or say what there is instead."""
        return self.node.variable(operator, variable, where)

    def to_node(self) -> Node:
        """Return the node that the engine understands: `n` units."""
        single = self.node.to_node()
        return Node(single.operators, self.n, {**single.values, **self.__dict__["_params"]})

    def describe(self) -> str:
        """Return a text for people: the node, the number of units, and the population's own values."""
        lines = [*self._heading(), f"  {self.n} units of"]
        lines += [f"  {line}" for line in self.node.describe().splitlines()]
        lines += [f"  {key} = {show(value)}" for key, value in self.params.items()]
        return "\n".join(lines)

    @classmethod
    def _merge(cls, old: dict[str, Any], new: Mapping[str, Any], where: str) -> dict[str, Any]:
        params = {**old.get("params", {}), **expect_mapping(new.get("params"), where, "{'op/var': 1.0}")}
        return {**old, **new, "params": params}


def _read_operators(
    operators: object, where: str, may_be_empty: bool = False
) -> tuple[dict[str, OperatorTemplate], dict[tuple[str, str], Value]]:
    """Read operators in any of their forms, and the values that go with them."""
    stack: dict[str, OperatorTemplate] = {}
    values: dict[tuple[str, str], Value] = {}
    if isinstance(operators, str | OperatorTemplate):
        operators = [operators]
    if not isinstance(operators, Iterable) or isinstance(operators, Template):
        raise errors.TemplateError(f"{where}: expected an operator, a list or a mapping of them, got {operators!r}.")
    given: Mapping[Any, Any] = operators if isinstance(operators, Mapping) else {}
    for raw in operators:
        operator = as_template(raw, OperatorTemplate, f"{where}, operators")
        if operator.name in stack:
            raise errors.TemplateError(
                f"{where}: two operators are called {operator.name!r}; give one of them another name (`label:`)."
            )
        stack[operator.name] = operator
        own = expect_mapping(given.get(raw), f"{where}/{operator.name}", "{tau: 2.0}")
        for variable, value in own.items():
            values[operator.name, variable] = _override(operator, variable, value, f"{where}/{operator.name}")
    if not stack and not may_be_empty:
        raise errors.TemplateError(f"{where}: needs at least one operator.")
    return stack, values


def _override(operator: OperatorTemplate, variable: str, raw: object, where: str) -> Value:
    """Check a value that replaces a declared one."""
    if variable not in operator:
        raise errors.PathError(errors.unknown("variable", variable, operator.variables, where))
    declared = operator[variable]
    place = f"{where}/{variable}"
    own = operator.to_operator().variables.get(variable)
    if own is not None and own.kind == "algebraic":
        raise errors.TemplateError(f"{place}: is computed by an equation; a value for it would have no effect.")
    value = raw
    if isinstance(raw, str | Mapping | Declaration):
        given = parse_declaration(raw, place)
        if given.role not in ("constant", declared.role):
            raise errors.TemplateError(f"{place}: is declared as {declared}, it cannot become {given}.")
        value = given.value
    value = as_value(value, place)
    shape, wanted = np.shape(value), np.shape(declared.value)
    if shape == () and wanted:
        return as_value(np.full(wanted, value), place)
    if len(shape) != len(wanted):
        raise errors.ShapeError(f"{place}: expected {_shape_words(wanted)}, got an array of shape {shape}.")
    return value


def _unit_values(node: NodeTemplate, operator: str, variable: str, raw: object, size: int, where: str) -> Value:
    known = node.variable(operator, variable, where)
    if np.ndim(known.value):
        raise errors.ShapeError(f"{where}/{operator}/{variable}: a vector variable cannot stand in a population.")
    value = as_value(raw, f"{where}/{operator}/{variable}")
    if known.kind == "algebraic":
        raise errors.TemplateError(
            f"{where}/{operator}/{variable}: is computed by an equation; a value for it would have no effect."
        )
    if np.shape(value) not in ((), (size,)):
        raise errors.ShapeError(
            f"{where}/{operator}/{variable}: expected a number or {size} numbers, one for each unit, got an array of "
            f"shape {np.shape(value)}."
        )
    return value


def _shape_words(shape: tuple[int, ...]) -> str:
    return f"an array such as the declared one of shape {shape}" if shape else "one number"


def _node(stack: Mapping[str, OperatorTemplate], values: Mapping[tuple[str, str], Value]) -> Node:
    # The values of variables that no equation uses are dropped with the variables.
    operators = {key: operator.to_operator() for key, operator in stack.items()}
    used = {f"{op}/{var}": value for (op, var), value in values.items() if var in operators[op].variables}
    return Node(operators, 1, used)


def _split(key: object, where: str) -> tuple[str, str]:
    parts = key.split("/") if isinstance(key, str) else []
    if len(parts) != 2:
        raise errors.PathError(f"{where}: expected a path 'operator/variable', got {short(key)}.")
    return check_name(parts[0], "operator"), parts[1]


def _edge_ends(edge: EdgeTemplate) -> tuple[str, tuple[str, ...]]:
    """Find the output that leaves an edge and the inputs that nothing on the edge feeds."""
    operators = edge.to_node().operators
    inputs = [
        (op, var) for op, each in operators.items() for var, entry in each.variables.items() if entry.kind == "input"
    ]

    def feeds(source: str, op: str, var: str) -> bool:
        return source != op and operators[source].output == var

    free = tuple(f"{op}/{var}" for op, var in inputs if not any(feeds(source, op, var) for source in operators))
    ends = [
        f"{op}/{each.output}"
        for op, each in operators.items()
        if each.output and not any(feeds(op, *entry) for entry in inputs)
    ]
    if len(ends) != 1:
        got = "none" if not ends else ", ".join(ends)
        raise errors.TemplateError(
            f"{edge.name}: an edge needs exactly one output that no other of its operators takes, got {got}."
        )
    return ends[0], free
