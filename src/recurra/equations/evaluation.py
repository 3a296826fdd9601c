"""Values of expressions in JAX."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.equations import slopes
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
    functions,
    no_history,
    rebuild,
)
from recurra.errors import EquationError, unknown

# Each operator in JAX, and for two plain numbers in NumPy (where 1/0 is inf and no error).
_BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "+": (operator.add, np.add),
    "-": (operator.sub, np.subtract),
    "*": (operator.mul, np.multiply),
    "/": (slopes.divide, np.true_divide),
    "%": (jnp.remainder, np.remainder),
    "**": (slopes.power, np.power),
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
                work, in_numpy = _BINARY[node.op]
                if node.op == "*" and any(id(child) in growing for child in node.children):
                    work = slopes.multiply
                if node.op == "**" and id(node.left) in growing:
                    work = partial(slopes.power, growing=True)
                return _apply(work, in_numpy, _numeric(arguments))
            case _Taken():
                return _taken(arguments[0], arguments[1], node.holds)
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

    if "where" in functions(expression):
        expression = _guarded(expression)
    growing = _find_growing(expression)
    return jnp.asarray(fold(expression, combine, into_delays=False))


@dataclass(frozen=True, eq=False, slots=True)
class _Taken(Expr):
    """Stand for a value inside a branch of `where`: differentiated where the branch is taken only.

    Else the slopes of the other branch, which may be infinite or none at all, would be multiplied by 0, which is NaN.
    """

    condition: Expr
    value: Expr
    holds: bool

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.condition, self.value)

    def _label(self) -> object:
        return self.holds


def _guarded(expression: Expr) -> Expr:
    """Guard what the branches of every `where` read."""

    def combine(node: Expr, children: tuple[Expr, ...]) -> Expr:
        node = again(node, children)
        if isinstance(node, Call) and FUNCTIONS[node.function].name == "where":
            condition, first, second = node.children
            guarded = branch(first, condition, True), branch(second, condition, False)
            return replace(node, arguments=(condition, *guarded))
        return node

    def branch(tree: Expr, condition: Expr, holds: bool) -> Expr:
        def one(node: Expr, children: tuple[Expr, ...]) -> Expr:
            # A function over units mixes those that take the branch with those that do not: its result is guarded.
            mixes = isinstance(node, Call) and not FUNCTIONS[node.function].elementwise
            if mixes or isinstance(node, Past | Index | _Taken) or (isinstance(node, Name) and node.id != "t"):
                return _Taken(condition, node, holds)
            return again(node, children)

        return fold(tree, one, into_delays=False)

    def again(node: Expr, children: tuple[Expr, ...]) -> Expr:
        return node if isinstance(node, Past) else rebuild(node, children)

    return fold(expression, combine, into_delays=False)


# What is infinite for numbers that are not very large, and what is not, whatever it is applied to.
_OVERFLOWING = frozenset({"exp", "expm1", "sinh", "cosh", "exprel"})
_BOUNDED = frozenset({"tanh", "sigmoid", "erf", "heaviside", "sign", "sin", "cos", "arctan", "softmax"})


def _find_growing(expression: Expr) -> set[int]:
    """Find the parts of a tree that may overflow for moderate numbers, by their id: what is multiplied by them is rare,
    and takes a little more time in reverse mode."""
    found = set()

    def combine(node: Expr, children: tuple[bool, ...]) -> bool:
        match node:
            case Call():
                name = FUNCTIONS[node.function].name
                grows = name in _OVERFLOWING or (any(children) and name not in _BOUNDED)
            case Binary(op="**"):
                grows = children[0] or not isinstance(node.right, Number)
            case Binary(op="/"):
                grows = children[0]
            case Compare() | Boolean() | Past():
                grows = False
            case _:
                grows = any(children)
        if grows:
            found.add(id(node))
        return grows

    fold(expression, combine, into_delays=False)
    return found


def _taken(condition: Any, value: Any, holds: bool) -> Any:
    if is_number(condition) or is_number(value) or not jnp.issubdtype(value.dtype, jnp.inexact):
        return value
    mask = jnp.asarray(condition).astype(bool)
    return jnp.where(mask if holds else ~mask, value, jax.lax.stop_gradient(value))


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
