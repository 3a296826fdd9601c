"""What holds numbers beside objects with attributes: lists, dicts, named tuples, data classes, sparse matrices.

Those that cannot be changed are made anew with other contents; all others stay the same objects.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from recurra.tracing.sparse import Sparse, is_sparse

_DICTS = (dict, OrderedDict, defaultdict, Counter)


class _Fixed(type):
    """Tell what cannot be changed, for `isinstance`."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, tuple) or _is_record(value) or is_sparse(value)


class FIXED(metaclass=_Fixed):
    """Stand for tuples, named tuples, frozen data classes and sparse matrices in `isinstance`."""


def _is_record(value: object) -> bool:
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and parameters.frozen and not isinstance(value, type)


def _slots_of(kind: type) -> list[str]:
    """Return the names of the slots of a class and of those it derives from; none where some class has a `__dict__`."""
    found: list[str] = []
    for cls in kind.__mro__[:-1]:
        own = vars(cls).get("__slots__")
        if own is None or cls.__module__ == "builtins":
            return []
        found += [name for name in ((own,) if isinstance(own, str) else tuple(own)) if name != "__weakref__"]
    return [] if "__dict__" in found else found


def is_container(value: object) -> bool:
    """Tell whether a value is looked into for numbers.

    >>> from tokenize import TokenInfo
    >>> is_container(TokenInfo(1, "x", (1, 0), (1, 1), "x")), is_container([1.0]), is_container("text")
    (True, True, False)
    """
    kind = type(value)
    if kind in (list, tuple, deque, *_DICTS) or is_sparse(value):
        return True
    if kind.__module__.split(".")[0] in ("recurra", "numpy", "jax", "jaxlib", "scipy", "builtins"):
        return False
    named = isinstance(value, tuple) and hasattr(kind, "_fields")
    return named or hasattr(kind, "__dataclass_fields__") or bool(_slots_of(kind))


def entries_of(value: Any) -> dict[Any, Any]:
    """Map keys, places or names to what a container holds there.

    >>> entries_of(["a", "b"])
    {0: 'a', 1: 'b'}
    """
    kind = type(value)
    if kind in _DICTS:
        return dict(value)
    if kind is Sparse or is_sparse(value):
        return {"data": value.data}
    if hasattr(kind, "_fields") and isinstance(value, tuple):
        return dict(zip(kind._fields, value, strict=True))  # type: ignore[attr-defined]
    if isinstance(value, list | tuple | deque):
        return dict(enumerate(value))
    if hasattr(value, "__dict__"):
        return dict(vars(value))
    return {name: getattr(value, name) for name in _slots_of(kind) if hasattr(value, name)}


def filled(original: Any, items: dict[Any, Any]) -> Any:
    """Return a container with other contents: the same one, or one of its kind if it cannot be changed.

    >>> filled((1, 2), {0: "a", 1: "b"})
    ('a', 'b')
    """
    kind = type(original)
    if isinstance(original, tuple):
        return tuple.__new__(kind, items.values())
    if is_sparse(original):
        return Sparse(items["data"]._session, original, items["data"])
    if kind in (list, deque):
        original.clear()
        original.extend(items.values())
    elif kind in _DICTS:
        original.clear()
        original.update(items)
    elif _is_record(original):
        made = object.__new__(kind)
        for name, item in items.items():
            object.__setattr__(made, name, item)
        return made
    else:
        for name, item in items.items():
            object.__setattr__(original, name, item)
    return original
