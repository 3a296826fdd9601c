"""What functions, classes and packages consist of, as far as it makes a difference."""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
from typing import Any

GENERATED = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__firstlineno__"}
    | {"__static_attributes__", "__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__", "__hash__"}
    | {"__dataclass_params__", "__match_args__", "__slots__", "__annotate__", "__annotations_cache__", "__wrapped__"}
    | {"__annotate_func__", "__classdictcell__", "__type_params__"}
)
_OF_DATACLASSES = frozenset(
    {"__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__setattr__", "__delattr__"}
    | {"__replace__", "__getstate__", "__setstate__"}
)
_PYTHON = tuple(sysconfig.get_path(name).replace("\\", "/") for name in ("stdlib", "platstdlib"))
# Where numbers come from without a seed: their states are nobody's, and say nothing.
_SHARED = (("numpy.random.mtrand", "_rand"), ("random", "_inst"))


def bare(value: Any) -> Any:
    """Unwrap what only decorates."""
    while isinstance(value, staticmethod | classmethod):
        value = value.__func__
    return value


def shared(value: Any) -> str:
    """Return the name of a generator of random numbers that all modules share, else nothing."""
    return next((f"{m}.{name}" for m, name in _SHARED if vars(sys.modules.get(m, types)).get(name) is value), "")


def members(kind: type) -> dict[str, Any]:
    """Return the methods and the data of a class that somebody has written."""
    found = {k: bare(v) for k, v in vars(kind).items() if k not in GENERATED}
    fields = found.pop("__dataclass_fields__", None)
    if fields is not None:
        made = {k for k, v in found.items() if k in _OF_DATACLASSES and _from_text(v)}
        found = {k: v for k, v in found.items() if k not in made}
        found["fields"] = list(fields)
        factories = {
            k: f.default_factory for k, f in fields.items() if isinstance(f.default_factory, type | types.FunctionType)
        }
        found |= {f"made {k}": v for k, v in factories.items()}
    skipped = types.MemberDescriptorType | types.GetSetDescriptorType
    return {k: v for k, v in found.items() if not isinstance(v, skipped)}


def methods(kind: type) -> dict[str, Any]:
    """Return what somebody has written into an enumeration beside its members."""
    found = {k: v for k, v in members(kind).items() if isinstance(v, types.FunctionType | property)}
    return {k: v for k, v in found.items() if not is_installed(getattr(v, "__module__", None) or "theirs")}


def is_cached(kind: type, name: str) -> bool:
    """Tell whether an attribute is what a property has kept."""
    return any(isinstance(vars(each).get(name), functools.cached_property) for each in kind.__mro__)


def _from_text(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__code__.co_filename == "<string>"


def defaults(function: types.FunctionType) -> tuple:
    """Return the defaults of the arguments of a function."""
    return (function.__defaults__ or (), function.__kwdefaults__ or {})


def attributes(function: types.FunctionType) -> dict[str, Any]:
    """Return what somebody has written on a function."""
    return {name: value for name, value in vars(function).items() if name not in GENERATED}


def slots_of(kind: type) -> list[str]:
    """Return the names of the slots of a class and of those that it derives from."""
    found: list[str] = []
    for cls in kind.__mro__[:-1]:
        own = vars(cls).get("__slots__", ())
        if cls.__module__ != "builtins":
            found += [own] if isinstance(own, str) else list(own)
    return [name for name in found if name not in ("__weakref__", "__dict__")]


def captured(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function has captured; its class it is found in anyway."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not set yet
            found[name] = "nothing"
    return {name: value for name, value in found.items() if name != "__class__"}


def is_installed(module: str | None) -> bool:
    """Tell whether a module is of Python or an installed package, which a version identifies."""
    top = (module or "").split(".")[0]
    if top in ("builtins", "recurra"):
        return True
    if top in ("__main__", "__mp_main__"):  # which may be a program that runs the script of somebody
        return False
    found = sys.modules.get(top)
    place = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", ())), "")
    place = place.replace("\\", "/")
    if any(folder in place for folder in ("/site-packages/", "/dist-packages/")):
        return True
    # A file of somebody may have the name of a module of Python: test.py, code.py.
    return top in sys.stdlib_module_names and (not place or place.startswith(_PYTHON))


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
