"""Values of expressions in JAX."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.equations.table import FUNCTIONS, is_number, take
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
    fold,
    no_history,
)
from recurra.errors import EquationError, unknown


def _power(base: Any, exponent: Any) -> Any:
    # Products instead of pow: equal to NumPy's x**2 to the last bit, and all derivatives at 0 are finite.
    if type(exponent) is float and exponent in (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0):
        inexact = base if jnp.issubdtype(base.dtype, jnp.inexact) else base * 1.0
        return jax.lax.integer_pow(inexact, int(exponent))
    return jnp.power(base, exponent)


# Each operator in JAX, and for two plain numbers in NumPy (where 1/0 is inf and no error).
_BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "+": (operator.add, np.add),
    "-": (operator.sub, np.subtract),
    "*": (operator.mul, np.multiply),
    "/": (operator.truediv, np.true_divide),
    "%": (jnp.remainder, np.remainder),
    "**": (_power, np.power),
}
_COMPARE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "<": (jnp.less, np.less),
    "<=": (jnp.less_equal, np.less_equal),
    ">": (jnp.greater, np.greater),
    ">=": (jnp.greater_equal, np.greater_equal),
    "==": (jnp.equal, np.equal),
    "!=": (jnp.not_equal, np.not_equal),
}


def evaluate(
    expression: Expr, values: Mapping[str, Any], past: Callable[[Past], Any] | None = None
) -> jax.Array:
    """Compute an expression in JAX, in the order of operations of its text.

    Literals and plain Python numbers take the precision of the arrays that they meet, so float32 stays
    float32; what holds no array at all is computed in double precision first. Truth values count as 0 and 1
    in arithmetic. `pi` is the constant unless `values` holds it.

    Arguments:
        expression: the tree.
        values: name -> array or number, for every name that is read, `t` and noise included.
        past: returns the value of a `Past` node; its delay is left to this function.

    Returns:
        The value; its shape is that of the arrays broadcast together.

    Raises:
        EquationError: a name has no value, or `past` is missing and needed.
        ShapeError: an index does not fit.

    >>> from recurra.equations import parse_expression
    >>> float(evaluate(parse_expression("4*x^2"), {"x": 5.0}))
    100.0
    """

    def combine(node: Expr, arguments: tuple[Any, ...]) -> Any:
        match node:
            case Number():
                return node.value
            case Name():
                return _look_up(node, values)
            case Past():
                if past is None:
                    raise no_history(node)
                return jnp.asarray(past(node))
            case Unary():
                (value,) = _numeric(arguments)
                return -value if node.op == "-" else value
            case Binary():
                return _apply(*_BINARY[node.op], _numeric(arguments))
            case Compare():
                return _apply(*_COMPARE[node.op], arguments)
            case Boolean():
                return _boolean(node.op, arguments)
            case Index():
                return take(arguments[0], arguments[1:])
            case Call():
                function = FUNCTIONS[node.function]
                # The condition of `where` is a truth value and stays one.
                usable = arguments if function.name == "where" else _numeric(arguments)
                return _apply(function.jax, function.numpy, usable)
        raise EquationError(f"{type(node).__name__} is no part of an expression")

    return jnp.asarray(fold(expression, combine, into_delays=False))


def _look_up(node: Name, values: Mapping[str, Any]) -> Any:
    if node.id in values:
        value = values[node.id]
        if type(value) is int:
            return float(value)
        return value if is_number(value) else jnp.asarray(value)
    if node.id == "pi":
        return math.pi
    raise EquationError(unknown("variable", node.id, values))


def _numeric(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Turn truth values into 0 and 1 of the precision of what they meet (True + True is 2, not True)."""
    return tuple(_as_number(a) for a in arguments)


def _as_number(value: Any) -> Any:
    if type(value) is bool:
        return float(value)
    if not is_number(value) and value.dtype == bool:
        return jnp.where(value, 1.0, 0.0)
    return value


def _apply(in_jax: Callable[..., Any], in_numpy: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if not all(map(is_number, arguments)):
        return in_jax(*arguments)
    with np.errstate(all="ignore"):
        result = np.asarray(in_numpy(*arguments))
    return result.item() if result.ndim == 0 else jnp.asarray(result)


def _boolean(op: str, arguments: tuple[Any, ...]) -> Any:
    if op == "not":
        return _apply(jnp.logical_not, np.logical_not, arguments)
    in_jax, in_numpy = (jnp.logical_and, np.logical_and) if op == "and" else (jnp.logical_or, np.logical_or)
    result = arguments[0]
    for argument in arguments[1:]:
        result = _apply(in_jax, in_numpy, (result, argument))
    return result
