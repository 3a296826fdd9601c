"""Values of expressions in NumPy alone: slow, plain, and written apart from the evaluation in JAX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recurra.equations.table import FUNCTIONS, is_number, to_index
from recurra.equations.tree import (
    Binary,
    Boolean,
    Call,
    Compare,
    Expr,
    Index,
    Name,
    Number,
    Past,
    Unary,
    no_history,
)
from recurra.errors import EquationError, unknown


def evaluate_numpy(
    expression: Expr, values: Mapping[str, Any], past: Callable[[Past], Any] | None = None
) -> np.ndarray:
    """Compute an expression in NumPy: the oracle of `evaluate`, with the same meaning.

    Arguments:
        expression: the tree.
        values: name -> array or number, for every name that is read, `t` and noise included.
        past: returns the value of a `Past` node; its delay is left to this function.

    Returns:
        The value; its shape is that of the arrays broadcast together.

    Raises:
        EquationError: a name has no value, or `past` is missing and needed.

    >>> from recurra.equations import parse_expression
    >>> evaluate_numpy(parse_expression("x/2 + 1"), {"x": [1.0, 2.0]}).tolist()
    [1.5, 2.0]
    """
    with np.errstate(all="ignore"):
        return np.asarray(_value(expression, values, past))


def _value(node: Expr, values: Mapping[str, Any], past: Callable[[Past], Any] | None) -> Any:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return _named(node.id, values)
    if isinstance(node, Past):
        if past is None:
            raise no_history(node)
        return np.asarray(past(node))
    parts = [_value(child, values, past) for child in node.children]
    if isinstance(node, Index):
        return np.asarray(parts[0])[tuple(to_index(i, np) for i in parts[1:])]
    result = np.asarray(_combined(node, parts))
    # Plain numbers give a plain number, which does not widen float32 arrays.
    return result.item() if result.ndim == 0 and all(is_number(p) for p in parts) else result


def _combined(node: Expr, parts: list[Any]) -> Any:
    if isinstance(node, Boolean):
        join = {"and": np.logical_and, "or": np.logical_or, "not": np.logical_not}[node.op]
        return join(*parts) if len(parts) < 3 else join.reduce(np.broadcast_arrays(*parts))
    if isinstance(node, Compare):
        compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
        return {**compare, "==": np.equal, "!=": np.not_equal}[node.op](*parts)
    if isinstance(node, Call) and node.function == "where":
        return np.where(*parts)
    parts = [_counted(p) for p in parts]
    if isinstance(node, Call):
        return FUNCTIONS[node.function].numpy(*parts)
    if isinstance(node, Unary):
        return np.negative(parts[0]) if node.op == "-" else parts[0]
    if isinstance(node, Binary):
        if node.op == "**" and type(parts[1]) is float and parts[1] == 2:
            return np.multiply(parts[0], parts[0])
        arithmetic = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide}
        return {**arithmetic, "%": np.remainder, "**": np.power}[node.op](*parts)
    raise EquationError(f"{type(node).__name__} is no part of an expression")


def _named(name: str, values: Mapping[str, Any]) -> Any:
    if name in values:
        value = values[name]
        if type(value) is int:
            return float(value)
        return value if is_number(value) else np.asarray(value)
    if name == "pi":
        return math.pi
    raise EquationError(unknown("variable", name, values))


def _counted(value: Any) -> Any:
    """Count a truth value as 0 or 1, in double precision."""
    if type(value) is bool:
        return float(value)
    return value.astype(float) if not is_number(value) and value.dtype == bool else value
