"""What a function that was written again asks while it is traced: to call, to index, to format, to print."""

from __future__ import annotations

import builtins
import cmath
import math
import operator
import types
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from recurra.tracing import operations
from recurra.tracing.ahead import Opaque, applied, foresee, recipe_of
from recurra.tracing.code import is_library
from recurra.tracing.promotion import cast
from recurra.tracing.rewriting import rewritten
from recurra.tracing.saying import Late, say
from recurra.tracing.session import Session, is_traced
from recurra.tracing.sparse import Sparse, is_sparse

_PURE = {
    abs, bool, int, float, complex, str, bytes, round, len, max, min, sum, sorted, tuple, list, chr, ord, divmod, pow,
    bin, hex, oct, any, all, reversed, range, format, repr,
}  # fmt: skip
_KEPT_ARITHMETIC = {abs, max, min, sum, any, all, round}  # compiled themselves where that is possible
_TEXTS = str | bytes | range
_READING = {"get", "index", "count", "keys", "values", "items", "copy", "__getitem__", "__contains__"}


class Understanding:
    """Do what a function that was written again asks for.

    Arguments:
        session: the pass.
    """

    def __init__(self, session: Session):
        self._session = session

    # -- calls --------------------------------------------------------------------------------------------------

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function."""
        if function is print:
            return say(self._session, args, kwargs)
        given = (*args, *kwargs.values())
        if function is str and len(args) == 1 and not kwargs and _late(args[0]) and not _moves(args[0]):
            return Late(self._session, str, args)
        bound = getattr(function, "__self__", None)
        if isinstance(bound, str) and function.__name__ == "format" and any(map(_late, given)) and not kwargs:
            return Late(self._session, str.format, (bound, *args))
        if isinstance(function, Opaque):
            return self._ahead(operator.call, (function, *args), kwargs)
        python = function.__func__ if isinstance(function, types.MethodType) else function
        if isinstance(python, types.FunctionType) and not is_library(python.__module__):
            return rewritten(function, self)(*args, **kwargs)
        if is_sparse(bound) and any(map(_late, given)):
            return getattr(self._sparse(bound), function.__name__)(*args, **kwargs)
        if function in (int, float) and len(args) == 1 and not kwargs and operations.is_box(args[0]):
            made = self._number(function, args[0])
            if made is not None:
                return made
        if self._is_pure(function) and (any(map(_moves, given)) or _moves(getattr(function, "__self__", None))):
            recipe = applied(self._session, function, args, kwargs)
            if self._is_known(recipe):
                return foresee(self._session, recipe)
        return function(*args, **kwargs)

    def _is_known(self, recipe: Any) -> bool:
        return recipe is not None and recipe.moves and not recipe.slots & self._session.facts.written

    def _is_pure(self, function: Any) -> bool:
        if isinstance(function, type):
            return function in _PURE or issubclass(function, np.generic)
        bound = getattr(function, "__self__", None)
        if isinstance(bound, types.ModuleType):
            return bound in (math, cmath, operator) or (bound is builtins and function in _PURE)
        name = getattr(function, "__name__", "")
        return isinstance(bound, _TEXTS) or (type(bound) in (list, tuple, dict) and name in _READING)

    def _ahead(self, function: Callable, args: tuple, kwargs: dict | None = None) -> Any:
        recipe = applied(self._session, function, args, kwargs)
        if recipe is None:
            raise self._session.refuse("a text or an object of the step together with numbers of the model")
        return foresee(self._session, recipe)

    def _number(self, kind: type, value: Any) -> Any:
        """Return `int(value)` or `float(value)`; None where Python can do it, or where it is no real number."""
        inner = value._read()
        if not is_traced(inner) or _moves(value) or inner.size != 1 or inner.dtype.kind not in "biuf":
            return None
        if self._session.bakeable(value._sources()) and value._sources() <= self._session.scalars:
            return None
        number = inner.reshape(())
        if kind is int and inner.dtype.kind == "f":
            bad = ~(jnp.abs(number) < 2.0**62)
            self._session.guard(bad, "int() of a number that is not finite, or beyond 64 bits")
            number = jnp.trunc(number)
        made = cast(number, np.int64 if kind is int else np.float64)
        return operations.wrap(self._session, made, value._sources(), "python")

    def _sparse(self, matrix: Any) -> Sparse:
        """Return the stand-in of a sparse matrix that is no attribute."""
        data = operations.boxes.Box(self._session, np.array(matrix.data), frozenset(), "array")
        data._foreign = True
        return Sparse(self._session, matrix, data)

    def matmul(self, left: Any, right: Any) -> Any:
        """Return `left @ right`."""
        if is_sparse(left) and _late(right):
            return self._sparse(left) @ right
        if is_sparse(right) and _late(left):
            return left @ self._sparse(right)
        return left @ right

    # -- indices ------------------------------------------------------------------------------------------------

    def get(self, holder: Any, index: Any) -> Any:
        """Return `holder[index]`."""
        if not _late(index) and not isinstance(holder, Opaque):
            return holder[index]
        recipe = recipe_of(self._session, index)
        if isinstance(holder, Opaque) or (self._is_known(recipe) and self._is_plain(holder)):
            return self._ahead(operator.getitem, (holder, index))
        if operations.is_box(holder):
            return self._row(holder, index, recipe)
        if type(holder) in (list, tuple) and operations.is_box(index) and not index.shape:
            return self._entry(holder, index)
        if isinstance(holder, np.ndarray) and holder.dtype.kind in "biufc":
            stand_in = operations.boxes.Box(self._session, np.array(holder), frozenset(), "array")
            stand_in._foreign = True
            return stand_in[index]
        return holder[index]

    def _is_plain(self, holder: Any) -> bool:
        if isinstance(holder, np.ndarray):
            return True
        if type(holder) in (list, tuple) and self._alike(holder):
            return False
        return type(holder) in (list, tuple, dict) or isinstance(holder, _TEXTS)

    def _row(self, holder: Any, index: Any, recipe: Any) -> Any:
        """Index an array: with the step's number in the compiled loop, or ahead where Python must do it."""
        made: Any = None
        if recipe is not None and recipe.moves:
            if _has_slice(index):
                return self._ahead(operator.getitem, (holder, index))
            source = recipe_of(self._session, holder)
            whole = applied(self._session, operator.getitem, (holder, index)) if source is not None else None
            made = holder[index]
            if whole is not None and operations.is_box(made):
                made._ahead = whole
            return made
        return holder[index]

    def _alike(self, holder: Any) -> bool:
        """Tell whether all entries of a list are stand-ins for arrays, or numbers, that the model changes."""
        boxes = [v for v in holder if operations.is_box(v)]
        return any(v._root()._slot in self._session.facts.written for v in boxes)

    def _entry(self, holder: Any, index: Any) -> Any:
        """Take an entry of a list of equal arrays, or numbers, at a place that is only known later."""
        different = self._session.refuse
        if not all(isinstance(v, bool | int | float | complex | np.ndarray | np.generic) for v in holder):
            raise different("an entry of a list of different things at a place known only when it runs")
        found = [operations.operand(self._session, v) for v in holder]
        kinds = {"python" if f.weak else "array" if np.ndim(f.value) else "scalar" for f in found}
        if len(kinds) != 1 or len({(f.kind, np.shape(f.value)) for f in found}) != 1:
            raise different("an entry of a list of different things at a place known only when it runs")
        kind, stacked = kinds.pop(), operations.build_array(self._session, list(holder))
        made = stacked[index]
        box = operations.boxes.Box(self._session, made._read(), made._sources(), kind)
        box._foreign = kind == "array"
        return box

    def put(self, value: Any, holder: Any, index: Any) -> None:
        """Do `holder[index] = value`."""
        if type(holder) is not list or not operations.is_box(index) or not is_traced(index._peek()):
            holder[index] = value
            return
        size = len(holder)
        place = index._read()
        self._session.guard((place >= size) | (place < -size), "an index out of range of a list")
        given = operations.operand(self._session, value)
        for i, old in enumerate(holder):
            before = operations.operand(self._session, old)
            same = np.shape(before.value) == np.shape(given.value) and before.kind == given.kind
            if not same or before.weak != given.weak:
                raise self._session.refuse("something of another form is put into a list at a place known only later")
            here = (place == i) | (place == i - size)
            made = jnp.where(here, jnp.asarray(given.value), jnp.asarray(before.value))
            kind = "python" if before.weak else getattr(old, "_kind", None)
            sources = before.sources | given.sources | index._sources()
            holder[i] = operations.boxes.Box(self._session, made, sources, kind)

    def contains(self, item: Any, holder: Any) -> Any:
        """Return `item in holder`."""
        if _moves(item) and (type(holder) in (dict, set, frozenset, list, tuple) or isinstance(holder, _TEXTS)):
            recipe = applied(self._session, operator.contains, (holder, item))
            if self._is_known(recipe):
                return foresee(self._session, recipe)
        return item in holder

    def opposite(self, value: Any) -> Any:
        """Return `not value`, without asking for the truth of a number that is only known later."""
        return np.logical_not(value) if operations.is_ours(value) else not value

    # -- texts --------------------------------------------------------------------------------------------------

    def modulo(self, left: Any, right: Any) -> Any:
        """Return `left % right`, which may be a text with numbers in it."""
        if not isinstance(left, str) or not _late(right):
            return left % right
        return self._text(operator.mod, (left, right))

    def text(self, *parts: Any) -> Any:
        """Join the parts of an f-string: texts, and (value, conversion, form)."""
        if not any(_late(v) for part in parts if isinstance(part, tuple) for v in part):
            return joined(*parts)
        return self._text(joined, parts)

    def _text(self, function: Callable, parts: tuple) -> Any:
        recipe = applied(self._session, function, parts)
        return foresee(self._session, recipe) if self._is_known(recipe) else Late(self._session, function, parts)


def joined(*parts: Any) -> str:
    """Join the parts of an f-string."""
    return "".join(part if isinstance(part, str) else _formatted(*part) for part in parts)


def _formatted(value: Any, conversion: int, form: str) -> str:
    change = {-1: lambda v: v, ord("s"): str, ord("r"): repr, ord("a"): ascii}[conversion]
    return format(change(value), form)


def _moves(value: Any) -> bool:
    """Tell whether a value stands for something that depends on the number of the step alone."""
    if isinstance(value, list | tuple):
        return any(map(_moves, value))
    if isinstance(value, slice):
        return any(map(_moves, (value.start, value.stop, value.step)))
    return isinstance(value, Opaque) or (operations.is_box(value) and value._ahead is not None and value._ahead.moves)


def _late(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_late, value))
    if isinstance(value, slice):
        return any(map(_late, (value.start, value.stop, value.step)))
    return isinstance(value, Opaque | Late) or operations.is_ours(value)


def _has_slice(index: Any) -> bool:
    return any(isinstance(i, slice) and _late(i) for i in (index if isinstance(index, tuple) else (index,)))
