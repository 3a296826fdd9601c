"""What makes a thing what it is: digests of values and of code, which are kept beside results and compared later.

An identity is a flat mapping from the name of a part ("params: a/op/k", "the measure: its constants") to a short text:
the value itself where it is a plain number or name, else a digest. Comparing two of them names the parts that differ.

A function is its code, constants, defaults, what it has captured, and the globals that it reads, these in the same way.
A name alone is no identity; comments, docstrings, line numbers, annotations and names of files are none of it. Code of
an installed package is its name, the version of the package, and the code of the function itself.
"""

from __future__ import annotations

import collections
import contextlib
import copyreg
import datetime
import enum
import functools
import hashlib
import io
import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurra.engine.anatomy import (
    GENERATED,
    attributes,
    bare,
    captured,
    defaults,
    is_cached,
    is_installed,
    members,
    methods,
    shared,
    version_of,
)
from recurra.engine.bytecode import Code, read_code, source_of
from recurra.engine.jaxprs import read_jaxpr
from recurra.equations import Expr
from recurra.errors import CapabilityError

Identity = dict[str, str]
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented))
_NO_STATE = (
    types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.FrameType, io.IOBase, Tracer
)  # fmt: skip
_OF_C = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
    types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
_CODE = (
    types.FunctionType, type, property, functools.cached_property, types.ModuleType, types.CodeType, Code, np.ufunc,
    *_OF_C,
)  # fmt: skip
_OF_CODE = ("code", "its code", "its constants", "name")
SHORT = 60
SHOWN = 6


class Unidentified(Exception):
    """Say which thing cannot be identified."""


def identify(
    parts: Mapping[str, Any], names: Mapping[str, str] | None = None, lasting: bool = False, most: float = math.inf
) -> Identity:
    """Return what tells a thing from others.

    Arguments:
        parts: name of a part -> value. A mapping becomes a part for every key, a function one for its code, its
            constants and everything that it reads.
        names: part -> the keyword by which a user names it where it cannot be identified.
        lasting: of functions and classes read the code alone, neither numbers beside it nor versions of packages: for
            what is kept beyond these.
        most: how many things are read; more cannot be identified.

    Raises:
        CapabilityError: something cannot be identified.

    >>> first, second = (identify({"f": lambda x: x + 1.0, "n": n}) for n in (1, 2))
    >>> differences(first, second)
    ['n was 1, now it is 2']
    >>> differences(identify({"f": {"a": np.zeros(2)}}), identify({"f": {"a": np.ones(2)}}))
    ['f: a']
    """
    reader, found = _Reader(lasting, most), {}
    for name, value in parts.items():
        try:
            found |= reader.parts(name, value)
        except (Unidentified, RecursionError) as problem:
            why = "it is nested too deeply" if isinstance(problem, RecursionError) else str(problem)
            keyword = (names or {}).get(name.split(":")[0])
            cure = (
                f"Name it: {keyword}='...', a text that you change whenever it changes."
                if keyword
                else "Give its class a method __identity__() that returns what it is, as numbers and texts."
            )
            raise CapabilityError(
                f"{name} cannot be identified, so nothing can be kept for it: {why}. {cure}"
            ) from None
    if lasting and reader.has_code:
        found["the version of Python"] = version_of("builtins")  # which decides what code looks like
    return found


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name the parts in which two identities differ; plain values are shown.

    >>> differences({"seed": "0", "x": "#1"}, {"seed": "1", "x": "#2", "y": "#3"})
    ['seed was 0, now it is 1', 'x', 'y (new)']
    """
    found: list[str] = []
    heads = [{name.split(": ")[0] for name in parts} for parts in (before, now)]
    for name in (*before, *(name for name in now if name not in before)):
        old, new, head = before.get(name), now.get(name), name.split(": ")[0]
        if old == new:
            continue
        if old is None or new is None:
            turned = (head in before) != (head in now) and head in heads[0] & heads[1]
            told = head if turned else f"{name} ({'new' if old is None else 'gone'})"
            found += [told] if told not in found else []
        elif str(old).startswith("#") or new.startswith("#"):
            found.append(name)
        else:
            found.append(f"{name} was {old}, now it is {new}")
    return found


def listed(parts: list[str]) -> str:
    """Return what differs as a text of bounded length."""
    more = len(parts) - SHOWN
    return "; ".join(parts[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def digest(value: Any) -> str:
    """Return a digest of one value.

    Raises:
        CapabilityError: it cannot be identified.

    >>> digest({"a": 1.0, "b": [2]}) == digest({"b": [2], "a": 1.0}), digest(1) == digest(1.0)
    (True, False)
    """
    try:
        return _Reader(False).of(value)
    except (Unidentified, RecursionError) as problem:
        raise CapabilityError(f"it cannot be identified: {problem}.") from None


class _Reader:
    """Make digests; equal parts of one thing are read once.

    What is met again while it is being read (a function that calls itself) is told by how far up it is. A digest that
    depends on this is valid in its place only, and not remembered.
    """

    def __init__(self, lasting: bool, most: float = math.inf):
        self.lasting, self.has_code, self._most = lasting, False, most
        self._known: dict[int, tuple[Any, str]] = {}  # keeps the value too, or its number would be given away again
        self._open: dict[int, int] = {}
        self._low = math.inf  # the outermost thing in progress that was met again
        self._trail: list[str] = []

    def parts(self, name: str, value: Any) -> Identity:
        """Return a value part by part."""
        value = bare(value)
        if type(value) in (dict, types.MappingProxyType):
            found: Identity = {}
            for key, each in value.items():
                found |= self.parts(f"{name}: {key}", each)
            return found
        if isinstance(value, functools.partial):
            given = {} if self.lasting else {f"{name}: its arguments": (value.args, value.keywords)}
            return {k: self._text("its arguments", v) for k, v in given.items()} | self.parts(name, value.func)
        if isinstance(value, types.MethodType):
            owner = type(value.__self__) if self.lasting else value.__self__
            return self.parts(name, value.__func__) | {f"{name}: its object": self._text("its object", owner)}
        if isinstance(value, types.FunctionType) and not is_installed(value.__module__):
            code = read_code(value.__code__)
            told = {
                "its code": code.shape, "its constants": code.constants, "its defaults": defaults(value),
                **{f"the captured {each!r}": inside for each, inside in captured(value).items()},
                **{f"the global {each!r}": self._global(value, each, code) for each in _globals(value, code)},
                **{f"the import of {each!r}": _Imported(each) for each in code.imports},
                **{f"its {each!r}": inside for each, inside in attributes(value).items()},
            }  # fmt: skip
            told = self._code_only(told)
            return {f"{name}: {each}": self._text(each, inside) for each, inside in told.items()}
        return {name: self._text("", value)}

    def _text(self, where: str, value: Any) -> str:
        text = value.item() if isinstance(value, np.generic) and value.dtype.kind in "biuf" else value
        if type(text) in (bool, int, float, str) or text is None:
            shown = text if isinstance(text, str) else repr(text)
            if len(shown) <= SHORT and not shown.startswith("#"):
                return shown
        self._trail = [where] if where else []
        return f"#{self.of(text)}"

    def of(self, value: Any) -> str:
        """Return the digest of any value."""
        if type(value) in _PLAIN or (isinstance(value, _PLAIN) and is_installed(type(value).__module__)):
            return _hash(type(value).__name__, _exact(value))
        if id(value) in self._known:
            return self._known[id(value)][1]
        if id(value) in self._open:
            self._low = min(self._low, self._open[id(value)])
            return _hash("again", str(len(self._open) - self._open[id(value)]))
        depth, before, self._low = len(self._open), self._low, math.inf
        self._open[id(value)] = depth
        try:
            found = self._read(value)
        finally:
            del self._open[id(value)]
            own, self._low = self._low, min(before, self._low) if self._low < depth else before
        if own >= depth:
            self._known[id(value)] = value, found
        return found

    def named(self, name: str, value: Any) -> str:
        """Return the digest of a part; errors say that it is one."""
        self._trail.append(name)
        found = self.of(value)
        self._trail.pop()
        return found

    def all(self, kind: str, values: Iterable[Any]) -> str:
        """Return the digest of several values in their order."""
        return _hash(kind, *(self.of(value) for value in values))

    def by_name(self, kind: str, values: Mapping[str, Any]) -> str:
        """Return the digest of named values, in whatever order."""
        return _hash(kind, *(part for name in sorted(values) for part in (name, self.named(name, values[name]))))

    def unordered(self, kind: str, values: Iterable[Any]) -> str:
        """Return the digest of values that have no order."""
        return _hash(kind, *sorted(self.of(value) for value in values))

    def _read(self, value: Any) -> str:
        self._most -= 1
        if self._most < 0:
            raise Unidentified("it holds too many things")
        value = bare(value)
        if isinstance(value, jax.Array) and not isinstance(value, Tracer):
            if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
                return self.all("key", (str(jax.random.key_impl(value)), np.asarray(jax.random.key_data(value))))
            value = np.asarray(value)
        common = shared(value)
        if common:
            return _hash("shared", common)
        for kinds, read in _READERS:
            if isinstance(value, kinds):
                return self._derived(value, read(self, value))
        return self._object(value)

    def _derived(self, value: Any, content: str) -> str:
        """Return the digest of a value of a kind that is made from a common one, which may be more than its content."""
        kind = type(value)
        if kind in _EXACT or not isinstance(value, (*_EXACT, *_PLAIN)) or isinstance(value, enum.Enum):
            return content
        more: list[Any] = [kind if not is_installed(kind.__module__) else _name(kind)]
        if isinstance(value, collections.OrderedDict):
            more.append(list(value))
        if isinstance(value, collections.defaultdict):
            more.append(value.default_factory)
        state = {k: v for k, v in getattr(value, "__dict__", {}).items() if not is_cached(kind, k)}
        return self.all("derived", (content, *more, state))

    def _array(self, array: np.ndarray) -> str:
        if isinstance(array, np.ma.MaskedArray):
            return self.all("masked", (array.filled(0), np.ma.getmaskarray(array)))
        if array.dtype.hasobject:
            return _hash("objects", str(array.shape), *(self.of(each) for each in array.ravel().tolist()))
        kind = str(array.dtype.descr if array.dtype.names else array.dtype.str)
        found = hashlib.sha256(f"array {kind} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
        return found.hexdigest()[:32]

    def _mapping(self, value: Mapping) -> str:
        pairs = [_hash("pair", self.of(key), self.named(repr(key)[:SHORT], each)) for key, each in value.items()]
        return _hash("mapping", *sorted(pairs))

    def _tree(self, value: Expr) -> str:
        """Read an expression without recursion, and without the places in its text."""
        known: dict[int, str] = {}
        waiting = [value]
        while waiting:
            node = waiting[-1]
            children = [child for child in node.children if id(child) not in known]
            if children:
                waiting += children
                continue
            below = (known[id(child)] for child in node.children)
            known[id(node)] = _hash("expression", type(node).__name__, self.of(node._label()), *below)
            waiting.pop()
        return known[id(value)]

    def _function(self, value: types.FunctionType) -> str:
        self.has_code |= not is_installed(value.__module__)
        if self.lasting and is_installed(value.__module__):
            return _hash("function", str(value.__module__), value.__qualname__)
        code, outside = read_code(value.__code__), is_installed(value.__module__)
        parts: dict[str, Any] = {"code": code, "defaults": defaults(value)}
        if outside:
            parts["name"] = self._package(value.__module__), value.__qualname__
        parts |= {f"the captured {name!r}": inside for name, inside in captured(value).items()}
        if not outside:
            parts |= {f"the global {name!r}": self._global(value, name, code) for name in _globals(value, code)}
            parts |= {f"the import of {name!r}": _Imported(name) for name in code.imports}
            parts |= attributes(value)
        return self.by_name("function", self._code_only(parts))

    def _code_only(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is not code, where only code is to be read; of an object its class is."""
        if not self.lasting:
            return parts
        found = {}
        for name, value in parts.items():
            if isinstance(value, functools.partial | types.MethodType):
                found[name] = value.func if isinstance(value, functools.partial) else value.__func__
            elif isinstance(value, (*_CODE, _Used, _Imported)) or name in _OF_CODE:
                found[name] = value
            elif not is_installed(type(value).__module__):
                found[name] = type(value)
        return found

    def _global(self, function: types.FunctionType, name: str, code: Code) -> Any:
        """Return what a function reads under a name; of a module what its code may ask it for."""
        if name not in function.__globals__:
            return "of Python" if name in vars(_builtins()) else "nothing"
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType) and name not in code.whole:
            return _Used(value, code.attributes)
        return value

    def _code(self, value: Code) -> str:
        return self.all("code", (value.shape, value.constants))

    def _module(self, value: types.ModuleType) -> str:
        if is_installed(value.__name__):
            return _hash("module", value.__name__, self._package(value.__name__))
        found, trail = [self.of(_Imported(value.__name__))], self._trail
        for name in sorted(vars(value)) if not self.lasting else ():
            if name.startswith("__") or isinstance(vars(value)[name], types.ModuleType):
                continue
            self._trail = [*trail, name]
            with contextlib.suppress(Unidentified):  # nobody knows whether it is asked for; its code is in the file
                found.append(_hash(name, self.of(vars(value)[name])))
        self._trail = trail
        return _hash("module", *found)

    def _used(self, value: _Used) -> str:
        """Read those attributes of a user's module that some code mentions."""
        if is_installed(value.module.__name__):
            return self._module(value.module)
        if id(value.module) in self._open:
            return _hash("module", value.module.__name__)
        depth = self._open[id(value.module)] = len(self._open)
        self._low = min(self._low, depth)  # others may ask the module for something else
        inside = {name: vars(value.module)[name] for name in value.names if name in vars(value.module)}
        inside = {k: _Used(v, value.names) if isinstance(v, types.ModuleType) else v for k, v in inside.items()}
        found = self.by_name("module", self._code_only(inside))
        del self._open[id(value.module)]
        return found

    def _imported(self, value: _Imported) -> str:
        """Read a module that is imported while a function runs: from its file, since it may not be loaded yet."""
        if is_installed(value.name):
            return _hash("module", value.name, self._package(value.name))
        return self.all("import", (value.name, source_of(value.name, is_installed)))

    def _class(self, value: type) -> str:
        if is_installed(value.__module__):
            return _hash("class", value.__module__, value.__qualname__, self._package(value.__module__))
        made = type(value)
        parts: dict[str, Any] = {"metaclass": made.__qualname__ if is_installed(made.__module__) else made}
        for i, each in enumerate(value.__mro__):
            if is_installed(each.__module__):
                parts[f"{i} base"] = each
            elif isinstance(each, enum.EnumMeta):
                parts[f"{i} members"] = {m.name: m.value for m in each}  # type: ignore[var-annotated]
                parts |= {f"{i} {name}": inside for name, inside in methods(each).items()}
            else:
                parts |= {f"{i} {name}": inside for name, inside in members(each).items()}
        return self.by_name("class", self._code_only(parts))

    def _package(self, module: str) -> str:
        top = module.split(".")[0]
        return top if self.lasting else f"{top} {version_of(top)}"

    def _object(self, value: Any) -> str:
        """Read anything else as it would be sent to another process: what makes it, of what, and its state."""
        tells = next((kind for kind in type(value).__mro__ if "__identity__" in vars(kind)), None)
        if tells is not None:  # a class of the user's own that tells what it is needs no more code than its name
            kind = type(value) if is_installed(tells.__module__) else _name(type(value))
            return self.all("told", (kind, value.__identity__()))
        package = type(value).__module__.split(".")[0]
        if package in ("pandas", "xarray") and not isinstance(value, datetime.datetime | datetime.timedelta):
            return self._labelled(value)
        if hasattr(value, "tocsr") and hasattr(value, "nnz"):
            return self._sparse(value)
        wrapped = getattr(value, "py_func", None) or getattr(value, "__wrapped__", None)
        own = getattr(type(value), "__call__", None)  # noqa: B004
        if callable(wrapped) and not isinstance(own, types.FunctionType):  # jitted or cached, by what is written in C
            return self.all("wrapped", (_name(type(value)), wrapped))
        if hasattr(value, "__array__") and is_installed(type(value).__module__):
            with contextlib.suppress(TypeError, ValueError, RuntimeError):  # some refuse to be arrays
                return self._array(np.asarray(value))
        if package == "jax" and (hasattr(value, "eqns") or hasattr(value, "jaxpr")):
            return self.all("jaxpr", read_jaxpr(value))
        if isinstance(value, _NO_STATE):
            raise self._refused(value)
        try:
            made = copyreg.dispatch_table.get(type(value))
            reduced = made(value) if made is not None else value.__reduce_ex__(4)
        except Exception:
            raise self._refused(value) from None
        if isinstance(reduced, str):
            return _hash("global", type(value).__module__, reduced)
        told: tuple[Any, ...] = (*reduced, None, None, None)
        make, given, state, items, pairs = told[:5]
        if isinstance(state, dict):
            state = {k: v for k, v in state.items() if k not in GENERATED and not is_cached(type(value), k)} or None
        parts = (make, given, state, None if items is None else list(items), None if pairs is None else list(pairs))
        return self.all("object", parts)

    def _refused(self, value: Any) -> Unidentified:
        place = ": ".join(self._trail)
        return Unidentified(
            f"{place + ' is' if place else 'it is'} of type {_name(type(value))}, whose state nobody can read"
        )

    def _labelled(self, value: Any) -> str:
        """Read a table of pandas or an array of xarray: numbers and labels, not what they keep beside them."""
        kind = type(value).__name__
        if kind == "DataFrame":
            columns = [value.iloc[:, i].to_numpy() for i in range(value.shape[1])]
            return self.all(kind, (value.index, value.columns, columns))
        if kind == "Series":
            return self.all(kind, (value.index, value.to_numpy(), value.name))
        if kind == "DataArray":
            coordinates = {str(k): (v.dims, np.asarray(v.values)) for k, v in value.coords.items()}
            return self.all(kind, (value.dims, np.asarray(value.values), coordinates, value.name))
        if kind == "Dataset":
            return self.by_name(kind, {str(k): value[k] for k in value.variables})
        if hasattr(value, "to_numpy") and hasattr(value, "names"):  # an index
            return self.all("Index", (value.to_numpy(), list(value.names)))
        raise self._refused(value)

    def _sparse(self, value: Any) -> str:
        rows = value.tocsr().copy()
        rows.sum_duplicates()
        rows.sort_indices()
        entries = rows.tocoo()
        places = (entries.row.astype(np.int64), entries.col.astype(np.int64))
        return self.all("sparse", (tuple(int(n) for n in value.shape), *places, entries.data))


class _Used:
    """Hold a module, and the names that code may ask it for."""

    def __init__(self, module: types.ModuleType, names: frozenset[str]):
        self.module, self.names = module, names


class _Imported:
    """Name a module that is imported while a function runs."""

    def __init__(self, name: str):
        self.name = name


def _c_function(reader: _Reader, value: Any) -> str:
    owner = getattr(value, "__objclass__", None) or getattr(value, "__self__", None)
    owner = None if isinstance(owner, types.ModuleType) else owner
    return reader.all("C", (getattr(value, "__module__", None), value.__qualname__, owner))


def _ufunc(reader: _Reader, value: np.ufunc) -> str:
    if "vectorized" in value.__name__:  # a function of Python inside, which cannot be got at
        raise reader._refused(value)
    return _hash("ufunc", value.__name__, str(value.types))


_READERS: list[tuple[Any, Callable[[_Reader, Any], str]]] = [
    (np.ndarray, _Reader._array),
    (np.generic, lambda reader, value: reader._array(np.asarray(value))),
    (np.dtype, lambda reader, value: _hash("dtype", str(value.descr if value.names else value.str))),
    (np.ufunc, _ufunc),
    (np.vectorize, lambda reader, value: reader.all("vectorize", (value.pyfunc, value.otypes, value.signature))),
    (enum.Enum, lambda reader, value: reader.all("enum", (_kind(value), value.name))),
    (_Imported, _Reader._imported),
    (_Used, _Reader._used),
    (Code, _Reader._code),
    (types.CodeType, lambda reader, value: reader._code(read_code(value))),
    (Expr, _Reader._tree),
    (functools.partial, lambda reader, v: reader.all("partial", (v.func, v.args, v.keywords))),
    (types.MethodType, lambda reader, v: reader.all("method", (v.__func__, v.__self__))),
    (types.FunctionType, _Reader._function),
    (property, lambda reader, v: reader.all("property", (v.fget, v.fset, v.fdel))),
    (functools.cached_property, lambda reader, v: reader.of(v.func)),
    (types.ModuleType, _Reader._module),
    (_OF_C, _c_function),
    (types.GenericAlias, lambda reader, value: _hash("alias", str(value))),
    (type, _Reader._class),
    ((dict, types.MappingProxyType), _Reader._mapping),
    (list, lambda reader, value: reader.all("list", value)),
    (tuple, lambda reader, value: reader.all(type(value).__name__, value)),
    ((set, frozenset), lambda reader, value: reader.unordered("set", value)),
    (collections.deque, lambda reader, value: reader.all("deque", (value.maxlen, *value))),
    (_PLAIN, lambda reader, value: _hash(type(value).__name__, _exact(value))),
]
_EXACT = (
    np.ndarray, np.memmap, np.ma.MaskedArray, dict, list, tuple, set, frozenset, collections.deque,
    types.MappingProxyType,
)  # fmt: skip


def _globals(function: types.FunctionType, code: Code) -> tuple[str, ...]:
    """Return the names that code looks up outside; by `globals()` it may find any that it has as a text."""
    found = code.globals
    if "globals" in found:
        found += tuple(n for n in sorted(code.attributes) if n in function.__globals__ and n not in found)
    return found


def _kind(value: Any) -> Any:
    return _name(type(value)) if is_installed(type(value).__module__) else type(value)


def _builtins() -> types.ModuleType:
    return sys.modules["builtins"]


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _exact(value: Any) -> str:
    if isinstance(value, float):
        return "nan" if value != value else value.hex()
    if isinstance(value, complex):
        return f"{_exact(value.real)} {_exact(value.imag)}"
    return value if type(value) is str else repr(value)


def _hash(*parts: str) -> str:
    found = hashlib.sha256()
    for part in parts:
        coded = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(coded) + coded)
    return found.hexdigest()[:32]


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on."""
    from recurra import __version__

    return {"recurra": __version__, "jax": jax.__version__, "numpy": np.__version__, "python": version_of("builtins")}
