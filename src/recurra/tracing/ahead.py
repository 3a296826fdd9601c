"""Values that depend on the number of the step alone: how Python computes them, ahead of a block of steps.

`math.sin(n.iteration)`, an entry of a list or a dict by step, a row of an array of a module: Python needs the number of
the step for them, which a compiled step does not know. A recipe says how the value comes of it, and the value enters
the compiled step as a column of a table that is filled before a block of steps begins.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from recurra.tracing import operations
from recurra.tracing.session import Session, as_value, is_traced
from recurra.tracing.slots import kind_of

SAMPLED = 32  # steps that are tried to see what kind of value it is
_RANK = {bool: 0, int: 1, float: 2, complex: 3}
_TYPES = {0: np.dtype(bool), 1: np.dtype(np.int64), 2: np.dtype(np.float64), 3: np.dtype(np.complex128)}
# What Python's own numbers do where an array does the NumPy function of this name.
_OPERATORS = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "true_divide": operator.truediv, "floor_divide": operator.floordiv, "remainder": operator.mod,
    "power": operator.pow, "negative": operator.neg, "positive": operator.pos, "absolute": operator.abs,
    "less": operator.lt, "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge,
    "equal": operator.eq, "not_equal": operator.ne, "bitwise_and": operator.and_, "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor, "left_shift": operator.lshift, "right_shift": operator.rshift,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Recipe:
    """Say how a value comes of the number of the step.

    Attributes:
        key: equal for equal recipes; `keep` keeps alive what it names by identity.
        run: number of the step (0 for the first) -> the value.
        slots: whose values were taken for constants.
        moves: whether it depends on the step at all.
    """

    key: tuple
    run: Callable[[int], Any]
    slots: frozenset[str] = frozenset()
    moves: bool = True
    keep: tuple = ()


STEP = Recipe(("step",), lambda k: k)


@dataclass(frozen=True)
class Column:
    """Hold a recipe, and what kind of numbers it gives."""

    recipe: Recipe
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def value(self, k: int) -> tuple[Any, bool]:
        """Return the value in a step, and whether there is one of this kind."""
        try:
            found = self.recipe.run(k)
        except Exception:
            return np.zeros(self.shape, self.dtype), False
        kind = kind_of(found)
        fits = kind == self.kind and np.shape(found) == self.shape
        if fits and kind == "python":
            fits = _RANK[type(found)] <= next(r for r, t in _TYPES.items() if t == self.dtype)
        elif fits:
            fits = as_value(found).dtype == self.dtype
        return (np.asarray(found, self.dtype), True) if fits else (np.zeros(self.shape, self.dtype), False)


def table(columns: Mapping[str, Column], first: int, steps: int, capacity: int) -> dict[str, dict[str, np.ndarray]]:
    """Compute columns for a block of steps.

    Arguments:
        columns: by name.
        first, steps: the block.
        capacity: rows of the tables, at least `steps`.

    Returns:
        Name -> the values `(capacity, ...)`, and which of them there are.
    """
    made = {}
    for name, column in columns.items():
        values, valid = np.zeros((capacity, *column.shape), column.dtype), np.zeros(capacity, bool)
        for i in range(steps):
            values[i], valid[i] = column.value(first + i)
        made[name] = {"value": values, "valid": valid}
    return made


# -- making recipes ------------------------------------------------------------------------------------------------


def recipe_of(session: Session, value: Any) -> Recipe | None:
    """Return how a value comes of the step's number; None if it depends on anything else that is only known later."""
    if isinstance(value, Opaque):
        return value._recipe
    if operations.is_masked(value):
        return None
    if operations.is_box(value):
        return _of_box(session, value)
    if type(value) in (list, tuple):
        parts = [recipe_of(session, v) for v in value]
        make = type(value)
        return _joined("parts", lambda *items: make(items), parts, (make.__name__,))
    if type(value) is dict:
        parts = [recipe_of(session, v) for v in value.values()]
        names = list(value)
        return _joined("dict", lambda *items: dict(zip(names, items, strict=True)), parts, (repr(names),))
    if isinstance(value, slice):
        parts = [recipe_of(session, v) for v in (value.start, value.stop, value.step)]
        return _joined("slice", slice, parts)
    if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
        return Recipe(("=", type(value).__name__, repr(value)), lambda k: value, moves=False)
    return Recipe(("is", id(value)), lambda k: value, moves=False, keep=(value,))


def _of_box(session: Session, box: Any) -> Recipe | None:
    if box._ahead is not None:
        return box._ahead
    slot = box._slot if box._parent is None else None
    if slot is not None and slot in session.slots and not box._changed:
        found = session.slots[slot].value
        return Recipe(("slot", slot), lambda k: found, frozenset({slot}), False, (found,))
    known = box._peek()
    if is_traced(known):
        return None
    plain = np.array(known) if box._kind == "array" else known.item() if box._kind == "python" else known[()]
    return Recipe(("array", str(plain.dtype), plain.shape, plain.tobytes()) if box._kind != "python" else
                  ("=", type(plain).__name__, repr(plain)), lambda k: plain, moves=False)  # fmt: skip


def _joined(name: str, make: Callable, parts: Sequence[Recipe | None], key: tuple = (), keep: tuple = ()) -> Any:
    found = [p for p in parts if p is not None]
    if len(found) < len(parts):
        return None
    return Recipe(
        (name, *key, *(p.key for p in found)),
        lambda k: make(*(p.run(k) for p in found)),
        frozenset().union(*(p.slots for p in found)),
        any(p.moves for p in found),
        (*keep, *(p.keep for p in found)),
    )


def applied(session: Session, function: Callable, args: Sequence, kwargs: Mapping[str, Any] | None = None) -> Any:
    """Return the recipe of a call; None if some argument depends on more than the step's number."""
    names = list(kwargs or {})
    bound = getattr(function, "__self__", None)
    of_object = bound is not None and not isinstance(bound, type | types.ModuleType)
    if of_object and isinstance(function, types.BuiltinMethodType):  # of a list, a text: made anew in every call
        name = function.__name__
        call = _with_names(lambda o, *a, **k: getattr(o, name)(*a, **k), names)
        parts = [recipe_of(session, v) for v in (bound, *args, *(kwargs or {}).values())]
        return _joined("method", call, parts, (name, *names))
    parts = [recipe_of(session, v) for v in (*args, *(kwargs or {}).values())]
    return _joined("call", _with_names(function, names), parts, (id(function), *names), (function,))


def _with_names(function: Callable, names: list[str]) -> Callable:
    if not names:
        return function
    n = len(names)
    return lambda *values: function(*values[:-n], **dict(zip(names, values[-n:], strict=True)))


def follow(session: Session, result: Any, ufunc: np.ufunc, inputs: Sequence) -> Any:
    """Remember of what operations make of the step's number how Python computes it."""
    moves = any(operations.is_box(i) and i._ahead is not None and i._ahead.moves for i in inputs)
    numbers = all(not operations.is_box(i) or i._kind == "python" for i in inputs)
    if not (moves or numbers) or not operations.is_box(result) or result._parent is not None:
        return result
    function = _OPERATORS.get(ufunc.__name__) if numbers and result._kind == "python" else ufunc
    if function is not None:
        result._ahead = applied(session, function, inputs)
    return result


# -- using them ----------------------------------------------------------------------------------------------------


class Opaque:
    """Stand in for a value of the step's number that is no number: a text, an object."""

    def __init__(self, session: Session, recipe: Recipe):
        self._session, self._recipe = session, recipe

    def _do(self, function: Callable, *args: Any) -> Any:
        recipe = applied(self._session, function, (self, *args))
        if recipe is None:
            raise self._session.refuse("a text or an object of the step together with numbers of the model")
        return foresee(self._session, recipe)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._do(getattr, name)

    def __eq__(self, other: object) -> Any:
        return self._do(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        return self._do(operator.ne, other)

    def __add__(self, other: object) -> Any:
        return self._do(operator.add, other)

    def __len__(self) -> int:
        raise self._session.refuse("the length of a text or an object of the step")

    def __bool__(self) -> bool:
        return bool(self._do(operator.truth))

    def __getitem__(self, index: object) -> Any:
        return self._do(operator.getitem, index)

    def __hash__(self) -> int:
        raise self._session.refuse("a text or an object of the step is a key")

    def __iter__(self) -> Any:
        raise self._session.refuse("a loop over a text or an object of the step")

    def __str__(self) -> str:
        raise self._session.refuse("formatting a text or an object of the step")

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)


def foresee(session: Session, recipe: Recipe) -> Any:
    """Return the stand-in of a value that is computed ahead: a number or an array, or an `Opaque`."""
    facts = session.facts
    written = sorted(recipe.slots & facts.written)
    if written:
        raise session.refuse(f"{written[0]} is needed as a number now, but the model changes it")
    for slot in sorted(recipe.slots):
        facts.add("baked", slot)
    examples = []
    for k in range(session.first, session.first + SAMPLED):
        try:
            examples.append(_plain(session, recipe.run(k)))
        except Exception:  # in a step in which the model does not ask for it; else a guard will tell
            continue
    form = _form(examples)
    if form is None:
        if not examples:
            raise session.refuse("a value of the step's number that cannot be computed ahead")
        return Opaque(session, recipe)
    name = facts.names.setdefault(recipe.key, str(len(facts.names)))
    if name not in facts.columns or name not in session.given:
        facts.columns[name], facts.changed = Column(recipe, *form), True
        value: Any = jnp.asarray(np.asarray(examples[0], form[2]))
    else:
        facts.columns[name] = Column(recipe, *form)
        value = session.given[name]["value"]
        session.guard(~session.given[name]["valid"], "a value that could not be computed ahead")
    made = operations.boxes.Box(session, value, frozenset({""}), form[0])
    made._ahead, made._foreign = recipe, form[0] == "array"
    session.note("value computed ahead")
    return made


def _plain(session: Session, value: Any) -> Any:
    """Return what a stand-in that lies in one of the user's lists stands for."""
    if operations.is_box(value):
        recipe = _of_box(session, value)
        return None if recipe is None else recipe.run(0)
    return value


def _form(examples: list[Any]) -> tuple[str, tuple[int, ...], np.dtype] | None:
    """Return kind, shape and type that values have in common; None if they are not numbers of one kind."""
    kinds = {kind_of(e) for e in examples}
    if len(kinds) != 1 or None in kinds or len({np.shape(e) for e in examples}) != 1:
        return None
    kind = str(kind_of(examples[0]))
    if kind == "python":
        return kind, (), _TYPES[max(_RANK[type(e)] for e in examples)]
    types = {as_value(e).dtype for e in examples}
    return (kind, np.shape(examples[0]), types.pop()) if len(types) == 1 else None
