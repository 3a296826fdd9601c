"""What code can see beside the objects it is given: globals, closures, data of classes, defaults of arguments.

Tracing takes their numbers for constants. Code that changes them has state that nobody carries from step to step, so
they are compared before and after.
"""

from __future__ import annotations

import dis
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from recurra.engine.anatomy import is_installed
from recurra.tracing.code import codes_in, functions_of, is_library

_CONTAINERS = (list, tuple, dict, set, deque, bytearray)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_GLOBAL = {"GLOBAL", "NAME", "FROM_DICT_OR_GLOBALS"}  # kinds of instructions
MAX_DEPTH = 3
_OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__")


class Surroundings:
    """Remember what the methods of some objects can see.

    Arguments:
        objects: the objects.
    """

    def __init__(self, objects: Iterable[object]):
        self._places: dict[str, tuple[Any, str]] = {}
        self._code: list[tuple[Any, str, object]] = []  # in which dict functions, classes and modules are found
        self._parts: list[tuple[Any, str, object]] = []  # the same for parts of functions
        self.mentioned: set[str] = set()  # the names of attributes that the code may ask for
        objects = list(objects)
        self._own = {id(obj) for obj in objects}  # they are carried from step to step
        seen: set[int] = set()
        waiting: list[types.FunctionType] = []
        for cls in dict.fromkeys(c for obj in objects for c in type(obj).__mro__ if not is_library(c.__module__)):
            waiting += self._add_class(cls)
        while waiting:
            function = waiting.pop()
            if id(function.__code__) not in seen:
                seen.add(id(function.__code__))
                waiting += self._add_function(function)
        self._before = {name: _copy(_read(*place), self._own) for name, place in self._places.items()}

    def _add_class(self, cls: type) -> Iterator[types.FunctionType]:
        for name, value in vars(cls).items():
            found = list(functions_of(value))
            self._code += [(vars(cls), name, value)] if found else []
            yield from found
            if not name.startswith("__") and self._is_data(value):
                self._places[f"{cls.__name__}.{name}"] = (cls, name)

    def _add_function(self, function: types.FunctionType) -> Iterator[types.FunctionType]:
        self._parts += [(function, name, getattr(function, name)) for name in _OF_FUNCTIONS]
        for code in codes_in(function.__code__):
            self.mentioned.update(code.co_names, (c for c in code.co_consts if isinstance(c, str)))
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            yield from self._add(f"{function.__qualname__}: {name}", cell, "cell_contents")
        if any(isinstance(value, _CONTAINERS) for value in function.__defaults__ or ()):
            self._places[f"{function.__qualname__}: defaults"] = (function, "__defaults__")
        names = _names(function)
        # A global that only shares its name with a local or an attribute (`v = net["v", 0]` after a run) is not read.
        for name in sorted(name for name, kinds in names.items() if kinds & _GLOBAL and name in function.__globals__):
            yield from self._add(name, function.__globals__, name)
        for module in _modules(function):
            for name in sorted(names.keys() & vars(module).keys()):
                yield from self._add(f"{module.__name__}.{name}", vars(module), name)

    def _add(self, shown: str, holder: Any, name: str) -> Iterator[types.FunctionType]:
        value = _read(holder, name)
        if self._is_data(value):
            self._places[shown] = (holder, name)
            for cls in type(value).__mro__ if _is_object(value) else ():
                yield from () if is_installed(cls.__module__) else self._add_class(cls)
        else:
            (self._code if isinstance(holder, dict) else self._parts).append((holder, name, value))
        if isinstance(value, type) and not is_library(value.__module__):
            yield from self._add_class(value)
        yield from functions_of(value)

    def _is_data(self, value: object) -> bool:
        if isinstance(value, (*_PLAIN, *_CONTAINERS, np.ndarray)) and not isinstance(value, type):
            return True
        return id(value) not in self._own and _is_object(value)

    def changed(self) -> bool:
        """Tell whether the code, or a number beside the objects, is no longer what it was."""
        # Most are found in dicts; this is asked before every run.
        return (
            any(holder.get(name) is not value for holder, name, value in self._code)
            or any(_read(holder, name) is not value for holder, name, value in self._parts)
            or any(not _same(_read(*place), self._before[shown]) for shown, place in self._places.items())
        )

    def put_back(self) -> str:
        """Undo what was changed since; return the name of something that was, or nothing."""
        changed = ""
        for shown, (holder, name) in self._places.items():
            before = self._before[shown]
            if not _same(_read(holder, name), before):
                changed = changed or shown
                _write(holder, name, before)
        return changed


def _names(function: types.FunctionType) -> dict[str, set[str]]:
    """Map the names that a function loads, stores or deletes to what kinds of names they are: `GLOBAL`, `ATTR`, ..."""
    names: dict[str, set[str]] = {}
    for instruction in (i for code in codes_in(function.__code__) for i in dis.get_instructions(code)):
        does, _, kind = instruction.opname.partition("_")
        if does in ("LOAD", "STORE", "DELETE"):
            names.setdefault(str(instruction.argval), set()).add(kind)
    return names


def _modules(function: types.FunctionType) -> list[types.ModuleType]:
    used = (function.__globals__.get(name) for name in function.__code__.co_names)
    return [m for m in used if isinstance(m, types.ModuleType) and not is_library(m.__name__)]


def _is_object(value: object) -> bool:
    """Tell whether a value is an object of the user's with attributes."""
    if isinstance(value, types.SimpleNamespace):
        return True
    of_code = types.FunctionType | types.MethodType | types.ModuleType | type
    kind = type(value).__module__
    return hasattr(value, "__dict__") and not isinstance(value, of_code) and not is_installed(kind)


def _read(holder: Any, name: str) -> Any:
    if isinstance(holder, dict | types.MappingProxyType):
        return holder.get(name)
    try:
        return getattr(holder, name)
    except ValueError:  # an empty cell
        return None


def _copy(value: Any, own: set[int], depth: int = 0) -> Any:
    """Return a pair: the object itself, and what is in it; `own` are the objects that others look after."""
    if isinstance(value, np.ndarray):
        return value, value.copy()
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return value, {key: _copy(item, own, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | deque) and depth < MAX_DEPTH:
        return value, [_copy(item, own, depth + 1) for item in value]
    if isinstance(value, set | bytearray):
        return value, value.copy()
    if depth < MAX_DEPTH and id(value) not in own and _is_object(value):
        return value, {key: _copy(item, own, depth + 1) for key, item in vars(value).items()}
    return value, None


def _same(now: Any, before: tuple[Any, Any]) -> bool:
    value, inside = before
    if isinstance(value, _PLAIN):
        return type(now) is type(value) and bool(now == value or now != now)
    if now is not value:
        return False
    if isinstance(value, np.ndarray):
        return np.array_equal(value, inside, equal_nan=value.dtype.kind in "fc")
    if isinstance(inside, dict):
        items = now if isinstance(value, dict) else vars(now)
        return list(items) == list(inside) and all(_same(items[key], inside[key]) for key in inside)
    if isinstance(inside, list):
        return len(now) == len(inside) and all(_same(a, b) for a, b in zip(now, inside, strict=True))
    return inside is None or now == inside


def _write(holder: Any, name: str, before: tuple[Any, Any]) -> None:
    value = _restored(before)
    if isinstance(holder, dict):
        holder[name] = value
    elif _read(holder, name) is not value:
        setattr(holder, name, value)


def _restored(before: tuple[Any, Any]) -> Any:
    value, inside = before
    if isinstance(value, np.ndarray) and value.flags.writeable:
        value[...] = inside
    elif isinstance(inside, dict):
        items = {key: _restored(item) for key, item in inside.items()}
        target = value if isinstance(value, dict) else vars(value)
        target.clear()
        target.update(items)
    elif isinstance(inside, list):
        items = [_restored(item) for item in inside]
        if isinstance(value, list | deque):
            value.clear()
            value.extend(items)
    elif isinstance(value, set | bytearray):
        value.clear()
        value.update(inside) if isinstance(value, set) else value.extend(inside)
    return value
