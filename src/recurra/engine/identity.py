"""What makes a thing what it is: digests of values and of code, which are kept beside results and compared later.

An identity is a flat mapping from the name of a part ("params: a/op/k", "the measure: its constants") to a short text:
the value itself where it is a plain number or name, else a digest. Comparing two of them names the parts that differ.

A function is its code, constants, defaults, what it has captured, and the globals that it reads, these in the same way.
A name alone is no identity; comments, docstrings, line numbers, annotations and names of files are none of it. Code of
an installed package is its name, the version of the package, and the code of the function itself.
"""

from __future__ import annotations

import collections
import copyreg
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

from recurra.engine.bytecode import Code, read_code, source_of
from recurra.engine.jaxprs import read_jaxpr
from recurra.equations import Expr
from recurra.errors import CapabilityError

Identity = dict[str, str]
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented))
_GENERATED = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__firstlineno__"}
    | {"__static_attributes__", "__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__", "__hash__"}
    | {"__dataclass_params__", "__match_args__", "__slots__", "__annotate__", "__annotations_cache__", "__wrapped__"}
    | {"__annotate_func__", "__classdictcell__", "__type_params__"}
)
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


def identify(parts: Mapping[str, Any], names: Mapping[str, str] | None = None, lasting: bool = False) -> Identity:
    """Return what tells a thing from others.

    Arguments:
        parts: name of a part -> value. A mapping becomes a part for every key, a function one for its code, its
            constants and everything that it reads.
        names: part -> the keyword by which a user names it where it cannot be identified.
        lasting: of functions and classes read the code alone, neither numbers beside it nor versions of packages: for
            what is kept beyond these.

    Raises:
        CapabilityError: something cannot be identified.

    >>> first, second = (identify({"f": lambda x: x + 1.0, "n": n}) for n in (1, 2))
    >>> differences(first, second)
    ['n was 1, now it is 2']
    >>> differences(identify({"f": {"a": np.zeros(2)}}), identify({"f": {"a": np.ones(2)}}))
    ['f: a']
    """
    reader, found = _Reader(lasting), {}
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

    def __init__(self, lasting: bool):
        self.lasting, self.has_code = lasting, False
        self._known: dict[int, tuple[Any, str]] = {}  # keeps the value too, or its number would be given away again
        self._open: dict[int, int] = {}
        self._low = math.inf  # the outermost thing in progress that was met again
        self._trail: list[str] = []

    def parts(self, name: str, value: Any) -> Identity:
        """Return a value part by part."""
        value = _bare(value)
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections", "types"):
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
                "its code": code.shape, "its constants": code.constants, "its defaults": _defaults(value),
                **{f"the captured {each!r}": inside for each, inside in _captured(value).items()},
                **{f"the global {each!r}": self._global(value, each, code) for each in code.globals},
                **{f"the import of {each!r}": _Imported(each) for each in code.imports},
                **{f"its {each!r}": inside for each, inside in _attributes(value).items()},
            }  # fmt: skip
            told = self._code_only(told)
            return {f"{name}: {each}": self._text(each, inside) for each, inside in told.items()}
        return {name: self._text("", value)}

    def _text(self, where: str, value: Any) -> str:
        text = value.item() if isinstance(value, np.generic) and value.dtype.kind in "biuf" else value
        if isinstance(text, bool | int | float | str) or text is None:
            shown = text if isinstance(text, str) else repr(text)
            if len(shown) <= SHORT and not shown.startswith("#"):
                return shown
        self._trail = [where] if where else []
        return f"#{self.of(text)}"

    def of(self, value: Any) -> str:
        """Return the digest of any value."""
        if isinstance(value, _PLAIN):
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
        value = _bare(value)
        if isinstance(value, jax.Array) and not isinstance(value, Tracer):
            if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
                return self.all("key", (str(jax.random.key_impl(value)), np.asarray(jax.random.key_data(value))))
            value = np.asarray(value)
        for kinds, read in _READERS:
            if isinstance(value, kinds):
                return read(self, value)
        return self._object(value)

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
        parts: dict[str, Any] = {"code": code, "defaults": _defaults(value)}
        if outside:
            parts["name"] = self._package(value.__module__), value.__qualname__
        parts |= {f"the captured {name!r}": inside for name, inside in _captured(value).items()}
        if not outside:
            parts |= {f"the global {name!r}": self._global(value, name, code) for name in code.globals}
            parts |= {f"the import of {name!r}": _Imported(name) for name in code.imports}
            parts |= _attributes(value)
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
        return _Used(value, code.attributes) if isinstance(value, types.ModuleType) else value

    def _code(self, value: Code) -> str:
        return self.all("code", (value.shape, value.constants))

    def _module(self, value: types.ModuleType) -> str:
        if is_installed(value.__name__):
            return _hash("module", value.__name__, self._package(value.__name__))
        return self.of(_Imported(value.__name__))

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
        parts: dict[str, Any] = {"metaclass": type(value).__qualname__}
        for i, each in enumerate(value.__mro__):
            if is_installed(each.__module__):
                parts[f"{i} base"] = each
            elif isinstance(each, enum.EnumMeta):
                parts[f"{i} members"] = {m.name: m.value for m in each}  # type: ignore[var-annotated]
            else:
                parts |= {f"{i} {name}": inside for name, inside in _members(each).items()}
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
        if package == "pandas" or package == "xarray":
            return self._labelled(value)
        if hasattr(value, "tocsr") and hasattr(value, "nnz"):
            return self._sparse(value)
        wrapped = getattr(value, "py_func", None) or getattr(value, "__wrapped__", None)
        own = getattr(type(value), "__call__", None)  # noqa: B004
        if callable(wrapped) and not isinstance(own, types.FunctionType):  # jitted or cached, by what is written in C
            return self.all("wrapped", (_name(type(value)), wrapped))
        if hasattr(value, "__array__") and is_installed(type(value).__module__):
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
            state = {k: v for k, v in state.items() if k not in _GENERATED and not _is_cached(type(value), k)} or None
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


def _bare(value: Any) -> Any:
    """Unwrap what only decorates."""
    while isinstance(value, staticmethod | classmethod):
        value = value.__func__
    return value


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
    (enum.Enum, lambda reader, value: _hash("enum", _name(type(value)), value.name)),
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
    (collections.deque, lambda reader, value: reader.all("deque", value)),
]


def _members(kind: type) -> dict[str, Any]:
    """Return the methods and the data of a class that somebody has written."""
    found = {k: _bare(v) for k, v in vars(kind).items() if k not in _GENERATED}
    fields = found.pop("__dataclass_fields__", None)
    if fields is not None:
        made = {k for k, v in found.items() if k.startswith("__") and _from_text(v)}
        found = {k: v for k, v in found.items() if k not in made}
        found["fields"] = list(fields)
        factories = {
            k: f.default_factory for k, f in fields.items() if isinstance(f.default_factory, type | types.FunctionType)
        }
        found |= {f"made {k}": v for k, v in factories.items()}
    skipped = types.MemberDescriptorType | types.GetSetDescriptorType
    return {k: v for k, v in found.items() if not isinstance(v, skipped)}


def _is_cached(kind: type, name: str) -> bool:
    return any(isinstance(vars(each).get(name), functools.cached_property) for each in kind.__mro__)


def _from_text(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__code__.co_filename.startswith("<")


def _defaults(function: types.FunctionType) -> tuple:
    return (function.__defaults__ or (), function.__kwdefaults__ or {})


def _attributes(function: types.FunctionType) -> dict[str, Any]:
    return {name: value for name, value in vars(function).items() if name not in _GENERATED}


def _captured(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function has captured; its class it is found in anyway."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not set yet
            found[name] = "nothing"
    return {name: value for name, value in found.items() if name != "__class__"}


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


def is_installed(module: str | None) -> bool:
    """Tell whether a module is of Python or an installed package, which a version identifies."""
    top = (module or "").split(".")[0]
    if top in sys.stdlib_module_names or top in ("builtins", "recurra"):
        return True
    found = sys.modules.get(top)
    place = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", ())), "")
    return any(f"{folder}" in place.replace("\\", "/") for folder in ("/site-packages/", "/dist-packages/"))


def version_of(package: str) -> str:
    """Return the version of an installed package, of Python for what is part of it."""
    if package in sys.stdlib_module_names or package == "builtins":
        return "{}.{}".format(*sys.version_info[:2])
    found = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(found, str):
        return found
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on."""
    from recurra import __version__

    return {"recurra": __version__, "jax": jax.__version__, "numpy": np.__version__, "python": version_of("builtins")}
