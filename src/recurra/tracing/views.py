"""NumPy's functions that give views: of other axes, another shape, certain elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from recurra.tracing import indexing, operations
from recurra.tracing.session import Session


def viewing(make: Callable[..., Any]) -> Callable[[Session, tuple, dict], Any]:
    """Make the handler of a function that returns a view of its first argument."""

    def handle(session: Session, args: tuple, kwargs: dict) -> Any:
        array = operations.build_array(session, args[0]) if not operations.is_ours(args[0]) else args[0]
        if operations.is_masked(array):
            raise session.refuse("another view of values picked by a traced mask")
        return make(array, *args[1:], **kwargs)

    return handle


def axes_view(reorder: Callable) -> Callable:
    """Return what makes a view with its axes in another order."""

    def make(array: Any, *args: Any, **kwargs: Any) -> Any:
        order = reorder(np.empty(tuple(range(2, 2 + array.ndim))), *args, **kwargs).shape  # the sizes name the axes
        return array.transpose(*(size - 2 for size in order))

    return make


def shape_view(function: Callable) -> Callable:
    """Return what makes a view of another shape."""

    def make(array: Any, *args: Any, **kwargs: Any) -> Any:
        if array._kind != "array":
            array = operations.wrap(array._session, array._read(), array._sources(), "array")
        shape = function(np.broadcast_to(np.zeros(()), array.shape), *args, **kwargs).shape
        return array._view(indexing.Reshape(shape))

    return make


def reshape(array: Any, *given: Any, **named: Any) -> Any:
    """Do `np.reshape`."""
    shape, order = (*given, *([named.pop("shape")] if "shape" in named else []), named.pop("order", "C"))[:2]
    if named:
        raise array._session.refuse(f"np.reshape with {', '.join(named)}")
    return indexing.reshape(array, shape, order)


def flip(array: Any, axis: Any = None) -> Any:
    """Do `np.flip`."""
    axes = range(array.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    axes = {a % array.ndim for a in axes}
    return array[tuple(slice(None, None, -1) if a in axes else slice(None) for a in range(array.ndim))]


def shown(function: Callable) -> Callable:
    """Make a view of certain elements, where NumPy's function gives one; it may be written to if NumPy's may."""

    def make(array: Any, *args: Any, **kwargs: Any) -> Any:
        numbers = np.arange(array.size).reshape(array.shape)
        places = function(numbers, *args, **kwargs)
        if array._kind != "array" or not np.may_share_memory(places, numbers):
            return operations.wrap(array._session, array._read().reshape(-1)[places], array._sources(), "array")
        step = indexing.Flat if places.flags.writeable else indexing.ReadOnly
        return array._view(step(places.copy()))

    return make


def broadcast_to(session: Session, args: tuple, kwargs: dict) -> Any:
    """Do `np.broadcast_to`."""
    given = dict(zip(("array", "shape", "subok"), args, strict=False)) | kwargs
    array, shape = operations.build_array(session, given["array"]), given["shape"]
    np.broadcast_to(np.broadcast_to(0, array.shape), shape)  # NumPy's error comes now, at the user's line
    if array._kind == "array":
        return array._view(indexing.Broadcast(shape))
    return operations.wrap(session, jnp.broadcast_to(array._read(), shape), array._sources(), "array")
