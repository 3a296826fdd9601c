"""What holds numbers beside objects with attributes: lists, dicts, named tuples, data classes, sparse matrices.

Those that cannot be changed are made anew with other contents; all others stay the same objects.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from recurra.engine.anatomy import slots_of
from recurra.tracing.sparse import Sparse, is_sparse

_DICTS = (dict, OrderedDict, defaultdict, Counter)


def is_fixed(value: object) -> bool:
    """Tell whether a container cannot be changed: a tuple, a named tuple, a frozen data class, a sparse matrix.

    >>> is_fixed((1.0, 2.0)), is_fixed([1.0, 2.0])
    (True, False)
    """
    return isinstance(value, tuple) or _is_record(value) or is_sparse(value)


def _is_record(value: object) -> bool:
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and parameters.frozen and not isinstance(value, type)


def _slots_only(kind: type) -> list[str]:
    """Return the names of the slots of a class whose objects have nothing else; none of others."""
    only = all("__slots__" in vars(cls) and cls.__module__ != "builtins" for cls in kind.__mro__[:-1])
    return slots_of(kind) if only and not kind.__dictoffset__ else []


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
    return named or hasattr(kind, "__dataclass_fields__") or bool(_slots_only(kind))


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
    return {name: getattr(value, name) for name in _slots_only(kind) if hasattr(value, name)}


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
