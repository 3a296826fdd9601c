"""Look into Python code: the functions behind callables, the code inside of code, and what belongs to a library."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

_LIBRARIES = {"numpy", "jax", "jaxlib", "scipy", "pandas", "matplotlib", "builtins", "math", "random", "os", "sys"}
_MADE_BY_CODE = 1 << 9  # the flag of a class that a statement made


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def is_library(module: str | None) -> bool:
    """Tell whether code is of a library, which does nothing to the user's objects but what it is asked for."""
    if module is None or module.startswith("recurra.behaviors"):
        return False
    return module.split(".")[0] in _LIBRARIES | {"recurra"}


def home_of(kind: type) -> str:
    """Return the module of a class; one that `exec` made in a bare namespace says `builtins`, and is the user's.

    >>> home_of(int), home_of(np.ndarray)
    ('builtins', 'numpy')
    """
    made = kind.__module__ == "builtins" and kind.__flags__ & _MADE_BY_CODE
    return "" if made else kind.__module__


def codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and all that are in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


def functions_of(value: Any) -> Iterator[types.FunctionType]:
    """Yield the Python functions behind a callable, a method, a property or a class."""
    if isinstance(value, types.MethodType | staticmethod | classmethod):
        value = value.__func__
    inner = getattr(value, "__wrapped__", None) if isinstance(value, functools._lru_cache_wrapper) else None
    inner = value.pyfunc if isinstance(value, np.vectorize) else inner
    if inner is not None:
        yield from functions_of(inner)
    elif isinstance(value, property):
        for accessor in (value.fget, value.fset, value.fdel):
            yield from functions_of(accessor)
    elif isinstance(value, types.FunctionType):
        if not is_library(value.__module__):
            yield value
    elif isinstance(value, functools.partial | functools.partialmethod | functools.cached_property):
        yield from functions_of(value.func)
    elif isinstance(value, type) and not is_library(home_of(value)):
        yield from functions_of(vars(value).get("__init__"))
    elif value is not None and isinstance(getattr(type(value), "__call__", None), types.FunctionType):  # noqa: B004
        yield from functions_of(type(value).__call__)
