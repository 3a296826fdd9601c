"""What code may write, from its bytecode: stores to names, attributes and subscripts, in-place operations and calls.

Values on the stack are followed as the set of names that they may have come from: attributes by their name, whatever
object they belong to; parameters as `#0`, `#1`; what lies beside the objects (globals, cells, data of classes) as
`@name`. All branches count, and the order of statements does not. Where an instruction or a call is not known, it may
write whatever it is given, so the answer errs on the side of more.
"""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recurra.tracing.code import functions_of, home_of, is_library, words
from recurra.tracing.guards import why_hidden
from recurra.tracing.opcodes import NONE, Names, Value, either, walk

ANYTHING = "*"
"""Stands for every name."""
MOST_ROUNDS, MOST_DEPTH = 12, 12

_CHANGING_METHODS = words(
    "append appendleft extend extendleft insert pop popleft remove clear update setdefault popitem reverse rotate add"
    " discard fill sort put resize partition itemset setfield byteswap setflags __setitem__ __delitem__ __setattr__"
    " __iadd__ shuffle at intersection_update difference_update symmetric_difference_update write writelines"
)
_CHANGING_FUNCTIONS = words("copyto put place putmask fill_diagonal put_along_axis shuffle at")
_FRESH_METHODS = words(
    "copy sum mean max min any all astype dot std var argmax argmin argsort prod cumsum cumprod round clip tolist item"
    " nonzero conj trace searchsorted repeat count index bit_length keys is_integer tobytes format join upper"
    " lower strip"
    " split startswith endswith"
)
_VIEWING_METHODS = words(
    "reshape ravel flatten transpose squeeze swapaxes view diagonal take choose compress get items values"
)
_VIEWING_FUNCTIONS = words(
    "asarray asanyarray ascontiguousarray asfortranarray ravel reshape transpose squeeze atleast_1d atleast_2d"
    " atleast_3d"
    " broadcast_to broadcast_arrays swapaxes moveaxis rollaxis split array_split hsplit vsplit dsplit nan_to_num"
    " diagonal"
    " real imag flip fliplr flipud rot90 expand_dims as_strided sliding_window_view array real_if_close require nditer"
    " ndenumerate meshgrid ix_ vectorize apply_along_axis permute_dims matrix_transpose unstack"
)
_FRESH_BUILTINS = words(
    "len abs int float bool complex str repr range isinstance issubclass hash id round divmod pow ord chr bin hex"
    " callable hasattr any all print format"
)
_CONSTANT = (bool, int, float, complex, str, bytes, type(None), np.generic)
_ANYTHING = words("exec eval vars globals locals delattr compile __import__")


@dataclass
class Effects:
    """Hold what code may do to names.

    Attributes:
        written: the names whose values it may change or replace.
        inplace: those of them whose arrays, or whatever they hold, it may change without replacing them.
        aliases: pairs of names that may come to share what they hold.
        returned: the names from which what it returns may have come.
    """

    written: set[str] = field(default_factory=set)
    inplace: set[str] = field(default_factory=set)
    aliases: set[tuple[str, str]] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)

    def give_up(self) -> None:
        """Take it that anything may be changed."""
        self.written.add(ANYTHING)
        self.inplace.add(ANYTHING)

    def size(self) -> int:
        """Count what is known; it only grows."""
        return len(self.written) + len(self.inplace) + len(self.aliases) + len(self.returned)


class Analysis:
    """Read what functions may write.

    Arguments:
        named: yields what an attribute's name may stand for: methods and functions that objects hold.
        arrays: the names that only hold arrays and numbers, so that arithmetic with them makes new ones.

    >>> class Cells: ...
    >>> def fire(n):
    ...     v = n.v
    ...     v[v > 1] = 0.0
    ...     n.rate = n.rate * 0.9
    >>> sorted(Analysis(lambda name: (), {"v", "rate"}).of(fire).written - {"#0"})
    ['rate', 'v']
    """

    def __init__(self, named: Callable[[str], Iterable[Any]], arrays: Iterable[str] = ()):
        self.named, self.arrays = named, frozenset(arrays)
        self._known: dict[int, tuple[types.FunctionType, Effects]] = {}
        self._depth = 0

    def of(self, function: types.FunctionType) -> Effects:
        """Return what a function may do, and those that it calls."""
        if id(function) in self._known:
            return self._known[id(function)][1]
        effects = Effects()
        self._known[id(function)] = function, effects
        if self._depth >= MOST_DEPTH:
            effects.give_up()
            return effects
        self._depth += 1
        try:
            reader = Reader(self, function, effects)
            for _ in range(MOST_ROUNDS):  # until nothing is added, by what calls itself neither
                before = effects.size(), reader.size()
                reader.read(function.__code__)
                if before == (effects.size(), reader.size()):
                    break
            else:
                effects.give_up()
        finally:
            self._depth -= 1
        return effects


class Reader:
    """Follow the values through the code of one function, and of those inside of it.

    Arguments:
        analysis: what reads the functions that it calls.
        function: the function.
        effects: what was found; it grows.
    """

    def __init__(self, analysis: Analysis, function: types.FunctionType, effects: Effects):
        self.analysis, self.function, self.effects = analysis, function, effects
        self.locals: dict[str, Value] = {}
        self.seen: set[str] = set()
        self.numbers: set[str] = set()  # arrays beside the objects
        self.nested: dict[int, Effects] = {}
        self.defaults: dict[str, str] = {}  # what is changed of an argument may be its default, which stays
        count = function.__code__.co_argcount + function.__code__.co_kwonlyargcount
        flags = function.__code__.co_flags
        count += bool(flags & 0x04) + bool(flags & 0x08)
        names = function.__code__.co_varnames[:count]
        plain = function.__code__.co_argcount
        defaults = dict(zip(names[:plain][::-1], (function.__defaults__ or ())[::-1], strict=False))
        for i, name in enumerate(names):
            default = {**defaults, **(function.__kwdefaults__ or {})}.get(name)
            # What is handed over in place of a function is looked at where it is handed over.
            self.locals[name] = Value(frozenset({f"#{i}"}), default, isinstance(default, types.FunctionType))
            if not isinstance(default, bool | int | float | str | types.FunctionType | None):
                self.defaults[f"#{i}"] = f"@{function.__qualname__}"
        names = (*function.__code__.co_freevars,)
        self.free = dict(zip(names, function.__closure__ or (), strict=True))

    def size(self) -> int:
        """Count what is known of variables; it only grows."""
        return sum(len(v.origins) for v in self.locals.values()) + len(self.locals) + len(self.seen)

    def read(self, code: types.CodeType) -> None:
        """Go once through the code."""
        walk(code, self)

    # -- what instructions do -------------------------------------------------------------------------------------

    def load_global(self, name: str) -> Value:
        """Give what a global name stands for."""
        space = self.function.__globals__
        if name in space:
            return self._outside(name, space[name])
        return Value(known=getattr(builtins, name), is_known=True) if hasattr(builtins, name) else self._data(name)

    def load_cell(self, name: str) -> Value:
        """Give what a cell holds: one of this function, or captured."""
        if name not in self.free:
            return self.load(name)
        try:
            held = self._outside(name, self.free[name].cell_contents)
        except ValueError:
            held = self._data(name)
        return either(held, self.locals[name]) if name in self.locals else held

    def _outside(self, name: str, value: Any) -> Value:
        of_code = types.FunctionType | types.ModuleType | type | types.BuiltinFunctionType | np.ufunc
        if getattr(value, "__name__", "") == "random" and isinstance(value, types.ModuleType):
            self.effects.written.add("@random")
        if why_hidden(value, name) is not None:
            self.effects.written.add(f"@{name}")  # to take something out of it changes it
        if isinstance(value, np.ndarray) and value.dtype != object:
            self.numbers.add(f"@{name}")
        if isinstance(value, _CONSTANT):  # nothing can come to share a number or a text
            self.seen.add(f"@{name}")
            return Value()
        return Value(known=value, is_known=True) if isinstance(value, of_code) else self._data(name)

    def _data(self, name: str) -> Value:
        self.seen.add(f"@{name}")
        return Value(frozenset({f"@{name}"}))

    def load(self, name: str) -> Value:
        """Give a local variable."""
        return self.locals.get(name, Value())

    def store(self, name: str, value: Value) -> None:
        """Give a local variable, or a cell, another value: it may be either."""
        self.locals[name] = either(self.locals[name], value) if name in self.locals else value
        if name in self.free:
            self.written(frozenset({f"@{name}"}))

    def attribute(self, value: Value, name: str) -> Value:
        """Ask for an attribute."""
        if value.is_known and value.known is not None:
            found = getattr(value.known, name, None)
            if found is not None and (callable(found) or isinstance(found, types.ModuleType)):
                if why_hidden(found, name) is not None:
                    self.effects.written.add(f"@{name}")
                return Value(known=found, is_known=True, name=name)
            return Value(frozenset({f"@{name}", name}), name=name)
        self.seen.add(name)
        return Value(value.origins | {name}, name=name, base=value.origins)

    def store_attribute(self, target: Value, name: str, value: Value) -> None:
        """Assign an attribute."""
        outside = {o for o in target.origins if o.startswith("@")} | ({f"@{name}"} if target.is_known else set())
        self.written(frozenset({name, *outside}))
        self.share(frozenset({name}), value.origins)

    def store_item(self, container: Value, value: Value | None) -> None:
        """Assign, or delete, an item or a slice."""
        self.changed(container.origins)
        if value is not None:
            self.share(container.origins, value.origins)

    def binary(self, left: Value, right: Value, in_place: bool, makes_list: bool) -> Value:
        """Apply an operator."""
        if in_place:
            self.changed(left.origins)
            if makes_list:  # a list takes the entries of the other; an array copies numbers
                self.share(frozenset(filter(self._holds, left.origins)), right.origins)
            return Value(left.origins)
        # Lists that are added, or repeated, hold what they held.
        return Value(frozenset(o for o in left.origins | right.origins if self._holds(o))) if makes_list else Value()

    def _holds(self, origin: str) -> bool:
        return origin not in self.analysis.arrays and origin not in self.numbers and not origin.startswith("#")

    def written(self, names: Names) -> None:
        """Note that names are written."""
        self.effects.written |= names | {self.defaults[name] for name in names & self.defaults.keys()}

    def changed(self, names: Names) -> None:
        """Note that what names hold is changed in place."""
        self.written(names)
        self.effects.inplace |= names | {self.defaults[name] for name in names & self.defaults.keys()}

    def share(self, names: Names, others: Names) -> None:
        """Note that names may come to hold the same."""
        self.effects.aliases |= {(a, b) for a in names for b in others if a != b}

    def give_back(self, value: Value) -> None:
        """Return a value."""
        self.effects.returned |= value.origins

    def inner(self, code: types.CodeType) -> Value:
        """Make a function that is defined in this one: it may be called with anything."""
        everything = Value(frozenset(self.seen | {o for v in self.locals.values() for o in v.origins}))
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
        own = self.nested.setdefault(id(code), Effects())
        other = _Inner(self, own)
        for name in code.co_varnames[:count]:
            other.locals[name] = everything
        before = -1
        for _ in range(MOST_ROUNDS):
            if before == own.size() + other.size():
                break
            before = own.size() + other.size()
            other.read(code)
        self.effects.written |= own.written
        self.effects.inplace |= own.inplace
        self.effects.aliases |= own.aliases
        self.seen |= other.seen
        return Value(frozenset(own.returned), known=own, is_known=True)

    # -- calls ----------------------------------------------------------------------------------------------------

    def call(self, callee: Value, given: list[Value], keywords: tuple[str, ...], spread: bool = False) -> Value:
        """Call something.

        Arguments:
            callee: what is called.
            given: all arguments in their order, those with names last.
            keywords: the names.
            spread: whether the arguments come in a tuple and a dict, so that nobody knows which is which.
        """
        origins = frozenset(o for value in given for o in value.origins)
        for value in given:  # functions that are handed over may be called with all the rest
            function: Any = value.known if value.is_known else None
            if isinstance(function, types.FunctionType) and not is_library(function.__module__):
                self._run(function, [Value(origins)] * 8, (), True)
        named = dict(zip(keywords, given[len(given) - len(keywords) :], strict=True)) if keywords else {}
        if "out" in named:
            self.changed(named["out"].origins)
        if not callee.is_known:
            return self._unknown(callee, given, keywords, origins, spread)
        found = callee.known
        if isinstance(found, Effects):  # a function of this function, which was read as if called with anything
            return Value(frozenset(found.returned))
        if isinstance(found, types.FunctionType | types.MethodType) and not is_library(found.__module__):
            function = found.__func__ if isinstance(found, types.MethodType) else found
            bound = [Value(), *given] if isinstance(found, types.MethodType) else given
            return self._run(function, bound, keywords, spread)
        if isinstance(found, type) and not is_library(home_of(found)):
            for function in functions_of(found):
                self._run(function, [Value(), *given], keywords, spread)
            return Value(origins)
        return self._library(found, given, named, origins)

    def _run(self, function: types.FunctionType, given: list[Value], keywords: tuple[str, ...], spread: bool) -> Value:
        effects = self.analysis.of(function)
        code = function.__code__
        total = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
        everything = frozenset(o for value in given for o in value.origins)
        bound = {f"#{i}": everything for i in range(total)}
        if not spread and not code.co_flags & 0x0C and len(given) <= total:
            plain = len(given) - len(keywords)
            bound = {f"#{i}": value.origins for i, value in enumerate(given[:plain])}
            for name, value in zip(keywords, given[plain:], strict=True):
                place = code.co_varnames.index(name) if name in code.co_varnames[:total] else -1
                bound[f"#{place}"] = value.origins

        def here(names: Iterable[str]) -> Names:
            return frozenset(o for n in names for o in (bound.get(n, NONE) if n.startswith("#") else (n,)))

        self.written(here(effects.written))
        self.changed(here(effects.inplace))
        for a, b in list(effects.aliases):
            self.share(here({a}), here({b}))
        return Value(here(effects.returned))

    def _library(self, found: Any, given: list[Value], named: dict[str, Value], origins: Names) -> Value:
        name = getattr(found, "__name__", "")
        owner = getattr(found, "__self__", None)
        if found is setattr:
            known = given[1].known if len(given) > 2 and given[1].is_known else None
            if not isinstance(known, str):
                self.changed(frozenset({ANYTHING}))
            else:
                self.store_attribute(given[0], known, given[2])
            return Value()
        if found is getattr:
            known = given[1].known if len(given) > 1 and given[1].is_known else None
            made = self.attribute(given[0], known) if isinstance(known, str) else Value(origins | {ANYTHING})
            return either(made, given[2]) if len(given) > 2 else made
        module = getattr(found, "__module__", None)
        if module == "builtins" or owner is builtins:
            if name in _ANYTHING:
                self.changed(frozenset({ANYTHING}))
            return Value() if name in _FRESH_BUILTINS else Value(origins)
        if isinstance(found, np.ufunc):
            for value in given[found.nin : len(given) - len(named)]:
                self.changed(value.origins)
            return Value(frozenset(o for v in given[found.nin :] for o in v.origins))
        if name in _CHANGING_FUNCTIONS and given:
            self.changed(given[0].origins)
        strange = isinstance(found, type) or (module or "").split(".")[0] not in ("numpy", "math")
        views = name in _VIEWING_FUNCTIONS or strange
        return Value(origins if views or "out" in named else NONE)

    def _unknown(
        self, callee: Value, given: list[Value], keywords: tuple[str, ...], origins: Names, spread: bool
    ) -> Value:
        held = list(self.analysis.named(callee.name)) if callee.name else []
        found, made = [(one, f) for one in held for f in functions_of(one)], Value()
        for one, function in found:
            # A method is given its object; what an object holds, and static methods, are not.
            whose = [Value(callee.base)] if isinstance(one, types.FunctionType | property | classmethod) else []
            made = either(made, self._run(function, [*whose, *given], keywords, spread))
        if callee.name in _CHANGING_METHODS:
            self.changed(callee.base)
            self.share(callee.base, origins - callee.base)
            return Value(made.origins | origins | callee.base)
        if found:
            return made
        if callee.name in _FRESH_METHODS:
            return Value()
        if callee.name in _VIEWING_METHODS or (held and all(is_library(getattr(h, "__module__", None)) for h in held)):
            return Value(origins | callee.base)
        self.changed(origins | callee.base)
        return Value(origins | callee.base)


class _Inner(Reader):
    """Follow the values through a function that is defined in another one, whose variables it shares."""

    def __init__(self, outer: Reader, effects: Effects):
        self.analysis, self.function, self.effects = outer.analysis, outer.function, effects
        self.outer, self.locals, self.seen, self.nested, self.free = outer, {}, set(outer.seen), {}, outer.free
        self.defaults, self.numbers = outer.defaults, outer.numbers

    def load_cell(self, name: str) -> Value:
        return self.load(name) if name in self.locals else self.outer.load_cell(name)

    def store(self, name: str, value: Value) -> None:
        super().store(name, value)
        self.outer.locals[name] = either(self.outer.locals[name], value) if name in self.outer.locals else value


def joined(names: Iterable[str], aliases: Iterable[tuple[str, str]]) -> set[str]:
    """Return names, and all those that may hold the same.

    >>> sorted(joined({"v"}, [("v", "w"), ("w", "x"), ("y", "z")]))
    ['v', 'w', 'x']
    """
    near: dict[str, set[str]] = {}
    for a, b in sorted(aliases):
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    found, waiting = set(names), list(names)
    while waiting:
        for other in near.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
