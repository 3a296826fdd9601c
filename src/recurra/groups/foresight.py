"""Which names a piece of Python mentions: what a behavior may still create when it first runs."""

from __future__ import annotations

import dis
import re
from collections import Counter
from collections.abc import Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from recurra.tracing.code import codes_in
from recurra.tracing.generators import is_generator
from recurra.tracing.slots import attributes_of_kind

_WORD = re.compile(r"[^\W\d]\w*")
_FOREIGN = {"numpy", "jax", "scipy", "builtins"}
MAX_DEPTH = 4  # calls from function to function that are followed
_OWN = "recurra.groups"  # what all behaviors share tells nothing about one


def texts_in(function: Any) -> set[str]:
    """List the text constants in a function, those in its indices (`network["v", 0]`) included.

    >>> def f(x):
    ...     return x.get("a"), x["b", 0]
    >>> sorted(texts_in(f))
    ['a', 'b']
    """
    constants = [c for code in _codes(function) for c in code.co_consts]
    constants += [part for c in constants if isinstance(c, tuple) for part in c]
    return {c for c in constants if isinstance(c, str)}


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


def private_generators(objects: Iterable[object], behaviors: Iterable[object]) -> set[str]:
    """List the names under which behaviors hold generators of random numbers that nobody else can draw from.

    Only behaviors have such an attribute, each a generator of its own, and their code asks nothing but `self` for it.
    """
    owners = list(behaviors)
    spaces = {id(vars(owner)) for owner in owners}
    held = attributes_of_kind(objects, (np.random.Generator, np.random.RandomState))
    counts = Counter(id(generator) for _, _, generator, _ in held)
    shared = {name for space, name, generator, _ in held if id(space) not in spaces or counts[id(generator)] > 1}
    shared |= {n for o in objects for n, v in getattr(o, "__dict__", {}).items() if not is_generator(v)}
    asked = {name for owner in owners for name in _asked_of_others(type(owner))}
    return {name for _, name, _, _ in held} - shared - asked


def _asked_of_others(kind: type) -> set[str]:
    """List the names and texts that the methods of a class, and what they call, use otherwise than as `self.name`."""
    found: set[str] = set()
    methods = [_plain(m) for base in kind.__mro__ for m in vars(base).values()]
    waiting = [m for m in methods if isinstance(m, FunctionType) and not (m.__module__ or "").startswith(_OWN)]
    of_class, seen = set(map(id, waiting)), set(map(id, waiting))
    while waiting:
        function = waiting.pop()
        for code in _codes(function):
            own = code.co_varnames[:1] if id(function) in of_class and code is function.__code__ else ()
            before = None
            for step in dis.get_instructions(code):
                of_self = before is not None and before.opname.startswith("LOAD_FAST") and before.argval in own
                if step.opname.startswith(("LOAD_", "STORE_")) and isinstance(step.argval, str) and not of_self:
                    found.add(step.argval)
                before = step
            called = [function.__globals__.get(name) for name in code.co_names]
            fresh = [f for f in called if isinstance(f, FunctionType) and id(f) not in seen]
            seen |= set(map(id, fresh))
            waiting += fresh
    return found


def _plain(member: object) -> object:
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def _codes(function: Any) -> list[CodeType]:
    code = getattr(function, "__code__", None)
    return [] if code is None else list(codes_in(code))
