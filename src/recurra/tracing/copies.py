"""Copies of values that tell whether something in them has changed, and put it back.

A copy is a pair: the value itself, and what is in it: the elements of an array, the entries of a container or the
attributes of an object as copies again, the state of a generator of random numbers.
"""

from __future__ import annotations

import contextlib
import random
import types
from collections import deque
from typing import Any

import numpy as np

from recurra.engine.anatomy import is_installed, slots_of
from recurra.engine.identity import identify
from recurra.errors import RecurraError

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
CONTAINERS = (list, tuple, dict, set, deque, bytearray)
MAX_DEPTH = 6
MOST_THINGS = 1000  # that are read of a value of somebody else's, before every run; of more it is only felt which it is
ABSENT: Any = object()
"""What stands for a name that there is not."""
_OF_CODE = types.FunctionType | types.MethodType | types.BuiltinFunctionType | types.ModuleType | type | np.ufunc
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


class Digest(str):
    """Hold the digest of what is in a value of somebody else's kind; it can be compared, but not put back."""


def is_object(value: object) -> bool:
    """Tell whether a value is an object of the user's with attributes, be it in slots.

    >>> is_object(types.SimpleNamespace(gain=1.0)), is_object(np.float64(1.0)), is_object(len)
    (True, False, False)
    """
    if isinstance(value, types.SimpleNamespace):
        return True
    if isinstance(value, _OF_CODE) or is_installed(type(value).__module__):
        return False
    return hasattr(value, "__dict__") or bool(slots_of(type(value)))


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in slots included."""
    slots = {name: getattr(value, name) for name in slots_of(type(value)) if hasattr(value, name)}
    return {**getattr(value, "__dict__", {}), **slots}


def copied(value: Any, own: set[int], depth: int = 0) -> tuple[Any, Any]:
    """Copy a value.

    Arguments:
        value: the value.
        own: ids of the objects that others look after; nothing in them is copied.
        depth: how deep it lies in another one.

    >>> held = [1.0, {"gain": [2.0]}]
    >>> before = copied(held, set())
    >>> held[1]["gain"].append(3.0)
    >>> is_same(held, before), restored(before)
    (False, [1.0, {'gain': [2.0]}])
    """
    if isinstance(value, np.ndarray):
        return value, value.copy()
    if isinstance(value, PLAIN):
        return value, None
    if isinstance(value, set | bytearray):
        return value, value.copy()
    if isinstance(value, _GENERATORS):
        return value, _state_of(value)
    if depth >= MAX_DEPTH or id(value) in own:
        return value, None
    if isinstance(value, dict):
        return value, {key: copied(item, own, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | deque):
        return value, [copied(item, own, depth + 1) for item in value]
    if is_object(value):
        return value, {key: copied(item, own, depth + 1) for key, item in attributes_of(value).items()}
    return value, _digest(value)


def is_same(now: Any, before: tuple[Any, Any]) -> bool:
    """Tell whether a value is what a copy was made of, and has not changed since."""
    value, inside = before
    if isinstance(value, PLAIN):
        return type(now) is type(value) and bool(now == value or now != now)
    if now is not value:
        return False
    if isinstance(value, np.ndarray):
        return np.array_equal(value, inside, equal_nan=value.dtype.kind in "fc")
    if isinstance(value, _GENERATORS):
        return _is_equal(_state_of(value), inside)
    if isinstance(inside, Digest):
        return _digest(value) == inside
    if isinstance(inside, dict):
        items = now if isinstance(value, dict) else attributes_of(now)
        return list(items) == list(inside) and all(is_same(items[key], inside[key]) for key in inside)
    if isinstance(inside, list):
        return len(now) == len(inside) and all(is_same(a, b) for a, b in zip(now, inside, strict=True))
    return inside is None or now == inside


def restored(before: tuple[Any, Any]) -> Any:
    """Put everything in a value back as it was when it was copied, and return it."""
    value, inside = before
    if isinstance(value, np.ndarray):
        if value.flags.writeable:
            value[...] = inside
    elif isinstance(value, _GENERATORS):
        _set_state(value, inside)
    elif isinstance(inside, dict):
        items = {key: restored(item) for key, item in inside.items()}
        if isinstance(value, dict):
            value.clear()
            value.update(items)
        else:
            _set_attributes(value, items)
    elif isinstance(inside, list):
        items = [restored(item) for item in inside]
        if isinstance(value, list | deque):
            value.clear()
            value.extend(items)
    elif isinstance(value, set | bytearray):
        value.clear()
        value.update(inside) if isinstance(value, set) else value.extend(inside)
    return value


def _set_attributes(value: Any, items: dict[str, Any]) -> None:
    for name in sorted(attributes_of(value).keys() - items.keys()):
        object.__delattr__(value, name)
    space = getattr(value, "__dict__", None)
    slots = set(slots_of(type(value)))
    if space is not None:
        space.clear()
        space.update((name, item) for name, item in items.items() if name not in slots)
    for name in sorted(slots & items.keys()):
        object.__setattr__(value, name, items[name])


def _state_of(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _is_equal(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return list(first) == list(second) and all(_is_equal(first[key], second[key]) for key in first)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(_is_equal, first, second))
    return np.array_equal(first, second)


def _digest(value: Any) -> Digest | None:
    """Return a digest of what is in a value of an installed package; None where this cannot be told."""
    if isinstance(value, _OF_CODE) or type(value).__module__.split(".")[0] in ("builtins", "recurra", "jax", "jaxlib"):
        return None
    with contextlib.suppress(RecurraError, TypeError, ValueError, RecursionError):
        return Digest(sorted(identify({"it": value}, most=MOST_THINGS).items()))
    return None
