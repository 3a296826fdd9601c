"""Functions of JAX with the finite slopes of :mod:`recurra.equations.slopes`: for rules, which are code and no text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
from jax import lax

from recurra.engine.system import System
from recurra.equations import slopes

# Primitives that are steep somewhere, or have no value there: alone, and of two arguments.
_STEEP = frozenset(
    ("exp", "exp2", "expm1", "log", "log1p", "sqrt", "rsqrt", "cbrt", "sinh", "cosh", "asin", "acos", "acosh", "atanh",
     "integer_pow", "square")
)  # fmt: skip
_PAIRS: dict[str, Callable] = {"div": slopes.divide, "pow": slopes.power, "atan2": slopes.arctan2}
# What is bounded whatever it is applied to.
_BOUNDED = frozenset(
    ("tanh", "logistic", "sin", "cos", "erf", "sign", "floor", "is_finite", "and", "or", "not", "eq", "ne", "lt", "le",
     "gt", "ge")
)  # fmt: skip


@dataclass(frozen=True)
class Tamed:
    """Call a function with the same values, and slopes that stay finite.

    Two of them are equal if they call the same function.

    >>> root = Tamed(lambda x: jnp.where(x > 1, jnp.sqrt(x - 1), 0.0))
    >>> float(root(5.0)), float(jax.grad(root)(5.0)), float(jax.grad(root)(0.0))
    (2.0, 0.25, 0.0)
    """

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(self.function, return_shape=True)(*arguments)
        leaves, _ = jax.tree.flatten(arguments)
        found = _evaluate(closed, *leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), found)


def tame_rules(system: System) -> System:
    """Return a system whose rules have finite slopes."""
    return replace(system, rules=tuple(replace(rule, update=Tamed(rule.update)) for rule in system.rules))


def _evaluate(closed: Any, *values: Any) -> list[Any]:
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, closed.consts, strict=True)) | dict(zip(jaxpr.invars, values, strict=True))
    growing: set[Any] = set()  # variables that may be infinite, or no number

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jax.extend.core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        parts = [read(atom) for atom in equation.invars]
        wild = [not isinstance(a, jax.extend.core.Literal) and a in growing for a in equation.invars]
        found = _apply(equation, parts, jaxpr, any(wild))
        name = equation.primitive.name
        if name in _STEEP or name in _PAIRS or (any(wild) and name not in _BOUNDED):
            growing.update(equation.outvars)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def do_alone(equation: Any, values: Sequence[Any], whole: Any) -> list[Any]:
    """Do one operation of a whole program as it is."""
    literal = jax.extend.core.Literal
    given = {a: v for a, v in zip(equation.invars, values, strict=True) if not isinstance(a, literal)}
    inputs, outputs = list(given), equation.outvars
    one = whole.replace(constvars=[], invars=inputs, outvars=outputs, eqns=[equation], effects=equation.effects)
    return jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(one, ()))(*given.values())


def _apply(equation: Any, parts: list[Any], whole: Any, wild: bool) -> Sequence[Any]:
    primitive, params, name = equation.primitive, equation.params, equation.primitive.name
    if name in ("jit", "pjit"):
        return _evaluate(params["jaxpr"], *parts)
    if name == "cond":
        index = parts[0].astype(jnp.int32)
        return lax.switch(index, [partial(_evaluate, branch) for branch in params["branches"]], *parts[1:])
    if name in _STEEP and _is_float(parts[0]):
        return [slopes.tamed(partial(primitive.bind, **params))(parts[0])]
    if name in _PAIRS and all(map(_is_float, parts)):
        return [_PAIRS[name](*map(jnp.asarray, parts))]
    if name == "mul" and wild and all(map(_is_float, parts)):
        return [slopes.multiply(*parts)]
    return do_alone(equation, parts, whole)


def _is_float(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)
