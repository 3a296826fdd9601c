"""JAX's programs as plain values, the same in every process: neither names of variables nor addresses."""

from __future__ import annotations

import re
from typing import Any

import jax.extend.core
import numpy as np

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# Where something is computed, and what it is called; neither changes what it is.
_UNTOLD = frozenset({"name", "ctx_mesh", "keep_unused", "inline", "donated_invars", "compiler_options_kvs", "debug"})


def read_jaxpr(program: Any) -> tuple:
    """Return what a jaxpr computes, closed or not.

    >>> import jax.numpy as jnp
    >>> one, two, three = (read_jaxpr(jax.make_jaxpr(f)(1.0)) for f in (
    ...     lambda x: jnp.sin(x) * 2.0, lambda y: 2.0 * jnp.sin(y) * 1.0, lambda z: jnp.sin(z) * 2.0))
    >>> one == three, one == two
    (True, False)
    """
    closed = hasattr(program, "consts")
    return _equations(program.jaxpr if closed else program), tuple(program.consts) if closed else ()


def _equations(jaxpr: Any) -> tuple:
    numbers: dict[Any, int] = {}

    def told(variable: Any) -> tuple:
        if isinstance(variable, jax.extend.core.Literal):
            return "literal", str(variable.aval), np.asarray(variable.val)
        return numbers.setdefault(variable, len(numbers)), str(variable.aval)

    given = tuple(told(v) for v in (*jaxpr.constvars, *jaxpr.invars))
    steps = tuple(
        (e.primitive.name, tuple(told(v) for v in e.invars), _options(e.params), tuple(told(v) for v in e.outvars))
        for e in jaxpr.eqns
    )
    return given, steps, tuple(told(v) for v in jaxpr.outvars)


def _options(params: dict[str, Any]) -> tuple:
    return tuple((name, _option(value)) for name, value in sorted(params.items()) if name not in _UNTOLD)


def _option(value: Any) -> Any:
    if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
        return read_jaxpr(value)
    if isinstance(value, tuple | list):
        return tuple(_option(each) for each in value)
    if isinstance(value, bool | int | float | complex | str | np.ndarray | type(None)):
        return value
    if callable(value) and not isinstance(value, type | np.dtype):
        return "function"  # a derivative of the user's own, made anew in every trace
    return _ADDRESS.sub("", repr(value))
