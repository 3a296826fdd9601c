"""What code can see beside the objects it is given: globals, closures, data of classes, defaults of arguments.

Tracing takes their numbers for constants. Code that changes them has state that nobody carries from step to step, so
they are compared before and after.
"""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from recurra.engine.anatomy import is_installed
from recurra.tracing.code import codes_in, functions_of, home_of, is_library
from recurra.tracing.copies import ABSENT, CONTAINERS, PLAIN, copied, is_object, is_same, restored
from recurra.tracing.guards import Guards

_GLOBAL = {"GLOBAL", "NAME", "FROM_DICT_OR_GLOBALS"}  # kinds of instructions
_OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__")
_WHOLE = {"globals", "exec", "eval"}  # by which code may reach any global of its module


class Surroundings:
    """Remember what the methods of some objects can see.

    Arguments:
        objects: the objects.

    Attributes:
        mentioned: the names of attributes that the code may ask for.
        functions: all functions that these objects' methods are, or may call.
        guards: hide from them what acts beside the objects.
    """

    def __init__(self, objects: Iterable[object]):
        self._places: dict[tuple[int, str], tuple[Any, str, str]] = {}  # the holder, the name there, and that to show
        self._code: list[tuple[Any, str, object]] = []  # in which dict functions, classes and modules are found
        self._parts: list[tuple[Any, str, object]] = []  # the same for parts of functions
        self._classes: dict[int, tuple[type, frozenset[str]]] = {}  # the names of their data
        self.mentioned: set[str] = set()
        self.functions: list[types.FunctionType] = []
        objects = list(objects)
        self._own = {id(obj) for obj in objects}  # they are carried from step to step
        seen: set[int] = set()
        waiting: list[types.FunctionType] = []
        for cls in dict.fromkeys(c for obj in objects for c in type(obj).__mro__ if not is_library(home_of(c))):
            waiting += self._add_class(cls)
        for obj in objects:
            for value in getattr(obj, "__dict__", {}).values():
                waiting += functions_of(value) if callable(value) and id(value) not in self._own else ()
        while waiting:
            function = waiting.pop()
            if id(function) not in seen:  # closures of one text have cells of their own
                seen.add(id(function))
                self.functions.append(function)
                waiting += self._add_function(function)
        self.guards = Guards(self.functions)
        self._before = {key: copied(_read(holder, name), self._own) for key, (holder, name, _) in self._places.items()}

    def _put(self, shown: str, holder: Any, name: str) -> None:
        self._places.setdefault((id(holder), name), (holder, name, shown))

    def _add_class(self, cls: type) -> Iterator[types.FunctionType]:
        if id(cls) in self._classes:
            return
        self._classes[id(cls)] = cls, _data_names(cls)
        for name, value in vars(cls).items():
            found = list(functions_of(value))
            self._code += [(vars(cls), name, value)] if found else []
            yield from found
            if not name.startswith("__") and self._is_data(value):
                self._put(f"{cls.__name__}.{name}", cls, name)

    def _add_function(self, function: types.FunctionType) -> Iterator[types.FunctionType]:
        self._parts += [(function, name, getattr(function, name)) for name in _OF_FUNCTIONS]
        for code in codes_in(function.__code__):
            self.mentioned.update(code.co_names, (c for c in code.co_consts if isinstance(c, str)))
        shown = function.__qualname__
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            yield from self._add(f"{shown}: {name}", cell, "cell_contents")
        for name in ("__defaults__", "__kwdefaults__"):
            values = getattr(function, name) or ()
            held = tuple(values.values()) if isinstance(values, dict) else values
            if any(self._is_data(value) and not isinstance(value, PLAIN) for value in held):
                self._put(f"{shown}: defaults", function, name)
            for value in held:
                yield from functions_of(value)
        self._put(f"the attributes of {shown}", function, "__dict__")
        names = _names(function)
        asked = {name for name, kinds in names.items() if kinds & _GLOBAL}
        if asked & _WHOLE:
            asked |= {name for name, value in function.__globals__.items() if name[:2] != "__" and self._is_data(value)}
        # A global that only shares its name with a local or an attribute (`v = net["v", 0]` after a run) is not read.
        for name in sorted(asked):
            if name in function.__globals__ or not hasattr(function.__globals__.get("__builtins__"), name):
                yield from self._add(name, function.__globals__, name)
        for module in modules_of(function):
            for name in sorted(names.keys() & vars(module).keys()):
                yield from self._add(f"{module.__name__}.{name}", vars(module), name)

    def _add(self, shown: str, holder: Any, name: str) -> Iterator[types.FunctionType]:
        value = _read(holder, name)
        if value is ABSENT or self._is_data(value):
            self._put(shown, holder, name)
            for cls in type(value).__mro__ if is_object(value) else ():
                yield from () if is_installed(home_of(cls)) else self._add_class(cls)
        else:
            (self._code if isinstance(holder, dict) else self._parts).append((holder, name, value))
        if isinstance(value, type) and not is_library(home_of(value)):
            yield from self._add_class(value)
        yield from functions_of(value)

    def _is_data(self, value: object) -> bool:
        if isinstance(value, (*PLAIN, *CONTAINERS, np.ndarray)) and not isinstance(value, type):
            return True
        if isinstance(value, types.ModuleType | type) or (callable(value) and not is_object(value)):
            return False
        return id(value) not in self._own and not hasattr(type(value), "__get__")

    def changed(self) -> bool:
        """Tell whether the code, or a number beside the objects, is no longer what it was."""
        # Most are found in dicts; this is asked before every run.
        return (
            any(holder.get(name) is not value for holder, name, value in self._code)
            or any(_read(holder, name) is not value for holder, name, value in self._parts)
            or any(not is_same(_read(*place[:2]), self._before[key]) for key, place in self._places.items())
            or any(_data_names(cls) != names for cls, names in self._classes.values())
        )

    def put_back(self) -> str:
        """Undo what was changed since; return the name of something that was, or nothing."""
        changed = ""
        for key, (holder, name, shown) in self._places.items():
            before = self._before[key]
            if not is_same(_read(holder, name), before):
                changed = changed or shown
                _write(holder, name, before)
        for cls, names in self._classes.values():
            for name in sorted(_data_names(cls) - names):
                changed = changed or f"{cls.__name__}.{name}"
                delattr(cls, name)
        return changed


def _names(function: types.FunctionType) -> dict[str, set[str]]:
    """Map the names that a function loads, stores or deletes to what kinds of names they are: `GLOBAL`, `ATTR`, ..."""
    names: dict[str, set[str]] = {}
    for instruction in (i for code in codes_in(function.__code__) for i in dis.get_instructions(code)):
        does, _, kind = instruction.opname.partition("_")
        if does in ("LOAD", "STORE", "DELETE"):
            names.setdefault(str(instruction.argval), set()).add(kind)
    return names


def modules_of(function: types.FunctionType) -> list[types.ModuleType]:
    """Return the modules that a function may look into: by name, as a part of another one, or imported in it."""
    names = sorted({name for code in codes_in(function.__code__) for name in code.co_names})
    waiting = [function.__globals__.get(name) for name in names]
    waiting += [_read(cell, "cell_contents") for cell in function.__closure__ or ()]
    waiting += [sys.modules.get(name) for name in names]
    found: dict[int, types.ModuleType] = {}
    while waiting:
        module = waiting.pop()
        if not isinstance(module, types.ModuleType) or id(module) in found or is_library(module.__name__):
            continue
        if module.__name__.split(".")[0] not in sys.stdlib_module_names:
            found[id(module)] = module
            waiting += [vars(module)[name] for name in names if name in vars(module)]
    return list(found.values())


def _data_names(cls: type) -> frozenset[str]:
    return frozenset(name for name in vars(cls) if not name.startswith("_"))


def _read(holder: Any, name: str) -> Any:
    if isinstance(holder, dict | types.MappingProxyType):
        return holder.get(name, ABSENT)
    try:
        return getattr(holder, name)
    except (AttributeError, ValueError):  # no such attribute, or an empty cell
        return ABSENT


def _write(holder: Any, name: str, before: tuple[Any, Any]) -> None:
    value = restored(before)
    if value is ABSENT:
        holder.pop(name, None) if isinstance(holder, dict) else delattr(holder, name)
    elif isinstance(holder, dict):
        holder[name] = value
    elif _read(holder, name) is not value:
        setattr(holder, name, value)
