"""Check what front-ends and users hand over before anything is computed with it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import get_args

import numpy as np

from recurra.engine.graph import Kind, Node, Operator
from recurra.engine.spiking import check_surrogate
from recurra.errors import EquationError, PathError, ShapeError, TemplateError, unknown


def refuse_masked(value: object, where: str) -> None:
    """Refuse a masked array some of whose values are missing: what lies below its mask is no value.

    Raises:
        ShapeError: something is masked, in the array or in one of a list of arrays.

    >>> refuse_masked(np.ma.masked_less([1.0, -9999.0], 0.0), "u")
    Traceback (most recent call last):
        ...
    recurra.errors.ShapeError: u: 1 of 2 values is masked. Fill them in, as with `.filled(0.0)`.
    """
    parts = value if isinstance(value, list | tuple) else [value]
    for part in parts:
        if isinstance(part, np.ma.MaskedArray) and (count := int(np.ma.count_masked(part))):
            verb = "is" if count == 1 else "are"
            raise ShapeError(
                f"{where}: {count} of {part.size} values {verb} masked. Fill them in, as with `.filled(0.0)`."
            )


def as_numbers(value: object, where: str) -> np.ndarray:
    """Return a value as an array of floats, or of complex numbers where it holds any.

    Arguments:
        value: numbers or truth values, in any shape.
        where: what the message starts with.

    Raises:
        ShapeError: it holds something else, masked values, or rows of different lengths.

    >>> as_numbers([1, True], "tau").tolist()
    [1.0, 1.0]
    """
    refuse_masked(value, where)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(f"{where}: expected numbers, got rows of different lengths.") from None
    if array.dtype.kind == "O" and array.size and all(isinstance(entry, Real) for entry in array.flat):
        array = array.astype(np.float64)  # a column of a table that held something else once
    if array.dtype.kind not in "biufc":
        raise ShapeError(f"{where}: expected numbers, got {_short(value)}.")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)


def as_real(value: object, where: str) -> np.ndarray:
    """Return a value as an array of floats; as `as_numbers`, but complex numbers are refused, too.

    Raises:
        ShapeError: it holds something else than real numbers.
    """
    array = as_numbers(value, where)
    if array.dtype.kind == "c":
        raise ShapeError(f"{where}: expected real numbers, got {_short(value)}.")
    return array


def as_mapping(value: object, where: str) -> Mapping:
    """Return a dict of path -> value as it is, and `None` as an empty one.

    Raises:
        ShapeError: it is neither.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ShapeError(f"{where}: expected a dict of path -> value, got {_short(value)}.")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."


def check_nodes(nodes: Mapping[str, Node]) -> None:
    """Check labels, sizes, values and equations of all nodes.

    Raises:
        TemplateError, ShapeError, PathError, EquationError: see the message.
    """
    checked: set[int] = set()
    for label, node in nodes.items():
        if "all" in label.split("/"):
            raise TemplateError(f"{label!r}: a node cannot be called 'all', which stands for every node in paths.")
        if isinstance(node.size, bool) or not isinstance(node.size, (int, np.integer)):
            raise ShapeError(f"{label}: the size of a node is a whole number, got {node.size!r}.")
        if node.size < 1:
            raise ShapeError(f"{label}: a node has at least one unit, got size {node.size}.")
        for name, operator in node.operators.items():
            # Nodes share operators, so each is looked at once.
            if id(operator) not in checked:
                check_operator(operator, f"{label}/{name}")
                checked.add(id(operator))
            if not name or "/" in name:
                raise TemplateError(f"{label}: an operator cannot be called {name!r}; leave out the '/'.")
        for path in node.values:
            name, _, variable = path.partition("/")
            if name not in node.operators:
                raise PathError(unknown("operator", name, node.operators, label))
            if variable not in node.operators[name].variables:
                raise PathError(unknown("variable", variable, node.operators[name].variables, f"{label}/{name}"))
        check_spikes(label, node)


def check_spikes(label: str, node: Node) -> None:
    """Check that the thresholds of a node fit its variables.

    Raises:
        OptionError, PathError, TemplateError: see the message.
    """
    for rule in node.spikes:
        check_surrogate(rule.surrogate)
        for path, kind in ((rule.variable, "state"), (rule.input, "input")):
            if path is None:
                continue
            name, _, variable = path.partition("/")
            if name not in node.operators:
                raise PathError(unknown("operator", name, node.operators, label))
            variables = node.operators[name].variables
            if variable not in variables:
                raise PathError(unknown("variable", variable, variables, f"{label}/{name}"))
            if variables[variable].kind != kind:
                raise TemplateError(f"{label}: a spike needs a variable of kind {kind}, {path!r} is none.")


def check_operator(operator: Operator, where: str) -> None:
    """Check that variables and equations of an operator fit each other.

    Raises:
        EquationError: a variable has no equation, two, or one of the wrong kind.
        OptionError, ShapeError: a declaration is wrong.
    """
    variables = operator.variables
    for name, declared in variables.items():
        if declared.kind not in get_args(Kind):
            raise TemplateError(unknown("kind of variable", declared.kind, get_args(Kind), f"{where}/{name}"))
        shape = as_numbers(declared.value, f"{where}/{name}").shape
        if 0 in shape or (len(shape) > 1 and declared.kind != "parameter"):
            raise ShapeError(
                f"{where}/{name}: got shape {shape}; a variable is a number or a vector (a parameter may be a matrix)."
            )
    found: set[str] = set()
    for equation in operator.equations:
        target = equation.target
        if target not in variables:
            message = unknown("name", target, variables) + " Declare it among the operator's variables."
            raise EquationError(message, equation.text or None, where=where)
        kind, needed = variables[target].kind, "state" if equation.derivative else "algebraic"
        if kind != needed:
            message = f"{target!r} is declared as {kind}, this equation makes it {needed}: declare it as {needed}."
            raise EquationError(message, equation.text or None, where=where)
        if target in found:
            message = f"{target!r} has two equations; join them into one."
            raise EquationError(message, equation.text or None, where=where)
        found.add(target)
    for name, declared in variables.items():
        if declared.kind in ("state", "algebraic") and name not in found:
            left = f"{name}' = ..." if declared.kind == "state" else f"{name} = ..."
            raise EquationError(
                f"{name!r} is declared as {declared.kind} and has no equation: write `{left}`, or declare it as"
                " parameter.",
                where=where,
            )
    if operator.output is not None and operator.output not in variables:
        raise EquationError(unknown("output", operator.output, variables), where=where)
