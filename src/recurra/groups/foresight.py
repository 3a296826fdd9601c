"""Which names a piece of Python mentions: what a behavior may still create when it first runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

from recurra.tracing.code import codes_in

_WORD = re.compile(r"[^\W\d]\w*")
_FOREIGN = {"numpy", "jax", "scipy", "builtins"}
MAX_DEPTH = 4  # calls from function to function that are followed
_OWN = "recurra.groups"  # what all behaviors share tells nothing about one


def texts_in(function: Any) -> set[str]:
    """List the text constants in a function.

    >>> def f(x):
    ...     return x.get("a")
    >>> texts_in(f)
    {'a'}
    """
    return {c for code in _codes(function) for c in code.co_consts if isinstance(c, str)}


def names_of(kind: type, but: Iterable[str] = ()) -> set[str]:
    """List the names and texts that the methods of a class mention, without those that only some of them call.

    Arguments:
        kind: the class; what its bases outside of `recurra.groups` define counts as well.
        but: methods that do not count, nor what nobody but them calls.

    >>> class A:
    ...     __module__ = "mine"
    ...     def prepare(self):
    ...         self.x = self.twice(self.y)
    ...     def twice(self, a):
    ...         return self.two * a
    ...     def do(self):
    ...         return self.x
    >>> sorted(names_of(A, but=("prepare",)))
    ['x']
    """
    methods: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith(_OWN) and base is not object:
            methods |= {name: _plain(member) for name, member in vars(base).items()}
    found = {n: {w for c in _codes(m) for w in (*c.co_names, *_texts(c))} for n, m in methods.items() if _codes(m)}
    skipped = set(but)
    private = {name for one in skipped for name in found.get(one, ())} & found.keys() - skipped
    for name in sorted(private):
        if not any(name in words for other, words in found.items() if other not in skipped | private):
            skipped.add(name)
    return {word for name, words in found.items() if name not in skipped for word in words}


def _texts(code: CodeType) -> list[str]:
    return [c for c in code.co_consts if isinstance(c, str) and c.isidentifier()]


def names_in(objects: Iterable[object]) -> set[str]:
    """List the attributes and texts that the methods of objects mention, and the functions that these call.

    A variable whose name is not among them cannot come into being while the objects run, unless by a name that is
    put together at run time.
    """
    seen: set[int] = set()
    waiting: list[tuple[Any, int]] = []
    found: set[str] = set()
    for obj in objects:
        for kind in type(obj).__mro__:
            waiting += [(_plain(member), 0) for member in vars(kind).values()]
        texts = [v for v in getattr(obj, "init_kwargs", {}).values() if isinstance(v, str)]
        found.update(word for text in texts for word in _WORD.findall(text))
    while waiting:
        function, depth = waiting.pop(0)
        if not isinstance(function, FunctionType) or id(function) in seen or depth > MAX_DEPTH:
            continue
        seen.add(id(function))
        module = function.__module__ or ""  # what `exec` makes may have none
        if module.split(".")[0] in _FOREIGN or module.startswith(_OWN):
            continue
        for code in _codes(function):
            found.update(code.co_names)
            found.update(word for c in code.co_consts if isinstance(c, str) for word in _WORD.findall(c))
            for name in code.co_names:
                value = function.__globals__.get(name)
                inside = vars(value) if isinstance(value, ModuleType) else {}
                waiting += [(v, depth + 1) for v in (value, *(inside.get(n) for n in code.co_names))]
    return found


def _plain(member: object) -> object:
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def _codes(function: Any) -> list[CodeType]:
    code = getattr(function, "__code__", None)
    return [] if code is None else list(codes_in(code))
