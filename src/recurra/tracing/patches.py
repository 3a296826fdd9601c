"""Let NumPy's makers of arrays give stand-ins while a body is traced, so that traced values fit into them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from recurra.tracing import callers, indexing, operations
from recurra.tracing.session import Session

_MAKERS = ("zeros", "ones", "empty", "full", "arange", "linspace", "eye", "identity", "zeros_like", "ones_like")
_MORE_MAKERS = ("empty_like", "full_like", "tri", "diag", "tile", "repeat", "fromiter", "logspace", "copy")
_TAKERS = ("array", "asarray", "asanyarray", "ascontiguousarray", "stack", "hstack", "vstack", "concatenate")
_FILES = ("save", "savez", "savez_compressed", "savetxt", "load", "loadtxt", "genfromtxt", "fromfile")
_REDUCERS = ("sum", "prod", "mean", "std", "var", "max", "min", "any", "all", "argmax", "argmin", "median", "cumsum")


@contextlib.contextmanager
def arrays_of(session: Session) -> Iterator[None]:
    """Replace NumPy's makers of arrays for a block; libraries that call them get the originals."""
    replaced: dict[str, Callable] = {}
    try:
        for name in (*_MAKERS, *_MORE_MAKERS, *_TAKERS, *_REDUCERS, *_FILES):
            original = getattr(np, name, None)
            if original is not None:
                replaced[name] = original
                setattr(np, name, _stand_in(session, name, original))
        yield
    finally:
        for name, original in replaced.items():
            setattr(np, name, original)


def _stand_in(session: Session, name: str, original: Callable) -> Callable:
    def make(*args: Any, **kwargs: Any) -> Any:
        frame = callers.caller()
        if callers.is_library(frame) or not callers.calls_by_name(frame, np, name):
            return original(*args, **kwargs)
        if name in _FILES:
            raise session.refuse(f"numpy.{name} works on a file")
        if name in _REDUCERS:  # NumPy only asks arrays, not the lists that arrays are in
            if args and isinstance(args[0], list | tuple) and operations.holds_ours(args[0]):
                return operations.apply_function(session, original, args, kwargs)
            return original(*args, **kwargs)
        if name in ("array", "asarray", "asanyarray", "ascontiguousarray"):
            return _take(session, name, original, *args, **kwargs)
        if any(map(operations.holds_ours, (*args, *kwargs.values()))) and name in ("full", "fromiter", "linspace"):
            return _full(session, name, *args, **kwargs)
        if any(map(operations.holds_ours, (*args, *kwargs.values()))) and not name.startswith(
            ("zeros", "ones", "empty", "full")
        ):
            return operations.apply_function(session, original, args, kwargs)
        made = original(*args, **kwargs) if name not in ("empty", "empty_like") else _zeros(original, args, kwargs)
        return operations.rewrap(session, made) if isinstance(made, np.ndarray) and made.dtype.kind in "biufc" else made

    make.original = original  # type: ignore[attr-defined]
    return make


def _zeros(original: Callable, args: tuple, kwargs: dict) -> Any:
    made = original(*args, **kwargs)
    if isinstance(made, np.ndarray) and made.dtype.kind in "biufc":
        made[...] = 0
    return made


def _full(session: Session, name: str, *args: Any, **kwargs: Any) -> Any:
    if name != "full":
        raise session.refuse(f"numpy.{name} of traced values")
    shape, value = args[0] if args else kwargs["shape"], args[1] if len(args) > 1 else kwargs["fill_value"]
    dtype = args[2] if len(args) > 2 else kwargs.get("dtype") or operations.build_array(session, value).dtype
    made = operations.wrap(session, np.zeros(shape, dtype), frozenset(), "array")
    made[...] = value
    return made


def _take(session: Session, name: str, original: Callable, *args: Any, **kwargs: Any) -> Any:
    """Do `np.array` and `np.asarray`: the first copies, the second hands a stand-in through."""
    given = args[0] if args else kwargs["object"]
    if not operations.holds_ours(given):
        made = original(*args, **kwargs)
        if made is given or made.dtype.kind not in "biufc":
            return made
        return operations.rewrap(session, made)
    dtype = args[1] if len(args) > 1 else kwargs.get("dtype")
    known = None
    if name == "ascontiguousarray" and operations.is_box(given):
        known = indexing.is_contiguous(given) if given.ndim and indexing.is_in_order(given) else None
    if kwargs.get("order") not in (None, "K") or (name == "ascontiguousarray" and known is None):
        raise session.refuse(f"numpy.{name} where it depends on the order in memory whether it copies")
    if operations.is_masked(given):
        made = given if dtype is None else given.astype(dtype)
        return made.copy() if name == "array" else made
    if kwargs.get("ndmin"):
        raise session.refuse("np.array with ndmin of traced values")
    made = operations.build_array(session, given, dtype)
    copy = kwargs.get("copy", name == "array" or known is False or None)
    if copy is False and made is not given:
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    if made is given and (copy or made._kind != "array"):
        made = operations.wrap(session, made._read(), made._sources(), "array")
    return made
