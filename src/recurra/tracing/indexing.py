"""Indices as NumPy understands them: views for basic ones, copies for the others, masks that are only known later."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from recurra.tracing import masked, operations
from recurra.tracing.promotion import cast
from recurra.tracing.session import Session, is_traced

if TYPE_CHECKING:
    from recurra.tracing.boxes import Box


def _replace(value: Any, index: Any, new: Any) -> Any:
    """Return a copy of `value` with a part replaced; known now if everything is."""
    if is_traced(value) or is_traced(new) or any(is_traced(i) for i in (index if type(index) is tuple else (index,))):
        covered = _covering(np.shape(value), index, new)
        return jnp.asarray(value).at[index].set(new) if covered is None else covered
    value = np.array(value)
    value[index] = new
    return value


def _covering(shape: tuple[int, ...], index: Any, new: Any) -> Any:
    """Return the array that a write leaves where slices cover all of it, else None.

    XLA ends the process on a scatter of one number to all of an array that is then reversed.
    """
    entries = index if type(index) is tuple else (index,)
    if len(entries) != len(shape) or not all(isinstance(entry, slice) for entry in entries):
        return None
    rows = [range(*entry.indices(length)) for entry, length in zip(entries, shape, strict=True)]
    if any(len(row) != length for row, length in zip(rows, shape, strict=True)):
        return None
    turned = tuple(axis for axis, row in enumerate(rows) if row.step < 0)
    full = jnp.broadcast_to(jnp.asarray(new), shape)
    return jnp.flip(full, turned) if turned else full


@dataclass(frozen=True)
class Basic:
    """View through integers, slices, None and Ellipsis; an integer may be traced."""

    index: tuple

    def get(self, value: Any) -> Any:
        """Return the view."""
        if any(is_traced(i) for i in self.index):
            value = jnp.asarray(value)
        return value[self.index]

    def put(self, value: Any, new: Any) -> Any:
        """Return the array with the view replaced."""
        return _replace(value, self.index, new)


@dataclass(frozen=True)
class Transpose:
    """View with the axes in another order."""

    ndim: int
    axes: tuple[int, ...] | None

    def get(self, value: Any) -> Any:
        """Return the view."""
        return value.transpose(self.axes)

    def put(self, value: Any, new: Any) -> Any:
        """Return the array with the view replaced."""
        return new.transpose(None if self.axes is None else tuple(int(a) for a in np.argsort(self.axes)))


@dataclass(frozen=True)
class Reshape:
    """View of a contiguous array in another shape."""

    shape: Any

    def get(self, value: Any) -> Any:
        """Return the view."""
        return value.reshape(self.shape)

    def put(self, value: Any, new: Any) -> Any:
        """Return the array with the view replaced."""
        return new.reshape(value.shape)


@dataclass(frozen=True)
class Part:
    """View of the real or imaginary part."""

    name: str

    def get(self, value: Any) -> Any:
        """Return the view."""
        return getattr(value, self.name)

    def put(self, value: Any, new: Any) -> Any:
        """Return the array with the view replaced."""
        value, new = jnp.asarray(value), jnp.asarray(new)
        return new + 1j * value.imag if self.name == "real" else value.real + 1j * new


@dataclass(frozen=True, eq=False)
class Flat:
    """View of certain elements: the way from one slot's memory to another's.

    Attributes:
        places: numbers of the elements, counted along the flattened array, in the shape of the view.
    """

    places: np.ndarray

    def get(self, value: Any) -> Any:
        """Return the view."""
        return value.reshape(-1)[self.places]

    def put(self, value: Any, new: Any) -> Any:
        """Return the array with the view replaced."""
        return _replace(value.reshape(-1), self.places, new).reshape(value.shape)


@dataclass(frozen=True, eq=False)
class ReadOnly(Flat):
    """View of certain elements that NumPy lets nobody write to."""

    def put(self, value: Any, new: Any) -> Any:
        """Raise NumPy's error."""
        raise ValueError("assignment destination is read-only")


@dataclass(frozen=True)
class Broadcast:
    """View of an array that is repeated, to which nobody may write."""

    shape: Any

    def get(self, value: Any) -> Any:
        """Return the view."""
        return jnp.broadcast_to(value, self.shape) if is_traced(value) else np.broadcast_to(value, self.shape)

    def put(self, value: Any, new: Any) -> Any:
        """Raise NumPy's error."""
        raise ValueError("assignment destination is read-only")


def is_in_order(array: Box) -> bool:
    """Tell whether the memory of an attribute's matrix has the order that is taken for granted."""
    slot = array._root()._slot
    held = array._session.slots[slot].value if slot is not None and slot in array._session.slots else None
    return not isinstance(held, np.ndarray) or held.ndim < 2 or bool(held.flags.c_contiguous)


def is_contiguous(array: Box) -> bool:
    """Tell whether the elements of a box follow each other in its root's memory, as NumPy's reshape asks."""
    places = places_of(array)
    return places is not None and bool(np.all(np.diff(places.reshape(-1)) == 1))


def places_of(array: Box) -> np.ndarray | None:
    """Return which elements of its root a view shows; None if that is only known later."""
    chain, here = [], array
    while here._parent is not None:
        if isinstance(here._step, Part) or (isinstance(here._step, Basic) and any(map(is_traced, here._step.index))):
            return None
        chain.append(here._step)
        here = here._parent
    places = np.arange(here.size).reshape(here.shape)
    for step in reversed(chain):
        places = step.get(places)  # type: ignore[union-attr]
    return places


def reshape(array: Box, shape: Any, order: str) -> Box:
    """Reshape: a view where NumPy gives one, otherwise a copy."""
    if order not in ("C", "A", "K"):
        raise array._session.refuse(f"order={order!r}")
    if not is_in_order(array):
        raise array._session.refuse("an array of another order than C in another shape, which is a view or a copy")
    shape = tuple(int(s) for s in shape) if isinstance(shape, tuple | list) else int(shape)
    if array._kind == "array" and (array._parent is None or is_contiguous(array)):
        view = array._view(Reshape(shape))
        np.broadcast_to(0, array.shape).reshape(shape)  # NumPy's error comes now, at the user's line
        return view
    return operations.wrap(array._session, array._read().reshape(shape), array._sources(), "array")


# -- reading an index ----------------------------------------------------------------------------------------------


def entries(session: Session, index: object, ndim: int) -> tuple[list, frozenset[str]]:
    """Return the entries of an index with values for boxes, and what they depend on.

    Returns:
        A list of integers, slices, None, arrays, traced arrays and `Masked`; Ellipsis is written out.
    """
    sources: frozenset[str] = frozenset()
    found = []
    for entry in index if type(index) is tuple else (index,):
        if isinstance(entry, list | tuple):
            entry = operations.build(session, entry)
        if operations.is_box(entry):
            value, sources = entry._read(), sources | entry._sources()
            found.append(value if is_traced(value) or value.ndim else value[()])
        elif operations.is_masked(entry):
            sources |= entry._sources()
            found.append(entry)
        elif isinstance(entry, slice):
            parts = (entry.start, entry.stop, entry.step)
            found.append(slice(*(None if p is None else p.__index__() for p in parts)))
        else:
            found.append(entry)
    used = sum(_width(e) for e in found)
    if not any(isinstance(e, EllipsisType) for e in found):
        found.append(...)
    at = next(i for i, e in enumerate(found) if isinstance(e, EllipsisType))
    found[at : at + 1] = [slice(None)] * max(0, ndim - used)
    return found, sources


def _width(entry: object) -> int:
    if entry is None or isinstance(entry, EllipsisType):
        return 0
    if not operations.is_masked(entry) and _is_truth(entry):
        return entry.ndim  # type: ignore[attr-defined]
    return 1


def _is_truth(entry: object) -> bool:
    return hasattr(entry, "dtype") and np.issubdtype(entry.dtype, np.bool_)  # type: ignore[attr-defined]


def _is_integer(entry: object) -> bool:
    if isinstance(entry, bool | np.bool_) or operations.is_masked(entry):
        return False
    if is_traced(entry):
        return entry.ndim == 0 and jnp.issubdtype(entry.dtype, jnp.integer)  # type: ignore[attr-defined]
    return isinstance(entry, int | np.integer) or (isinstance(entry, np.ndarray) and entry.ndim == 0)


def _is_basic(entry: object) -> bool:
    return entry is None or isinstance(entry, slice) or _is_integer(entry)


def _is_late_mask(entry: object) -> bool:
    return operations.is_masked(entry) or (is_traced(entry) and entry.dtype == bool)  # type: ignore[attr-defined]


def _check(session: Session, found: list) -> None:
    for entry in found:
        if is_traced(entry) and not jnp.issubdtype(entry.dtype, jnp.integer) and entry.dtype != bool:
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        if is_traced(entry) and entry.dtype == bool and entry.ndim == 0:
            raise session.refuse("a single traced truth value as an index")


def _guard(session: Session, shape: tuple[int, ...], found: list) -> None:
    """Let traced places be guarded: JAX would take the nearest place for one that is out of range."""
    axis = 0
    for entry in found:
        if is_traced(entry) and entry.dtype != bool and axis < len(shape):
            place = entry.astype(np.int64)
            bad = (place >= shape[axis]) | (place < -shape[axis])
            session.guard(bad, f"an index out of range for an axis of {shape[axis]}")
        axis += _width(entry)


def get(array: Box, index: object) -> Any:
    """Return `array[index]` like NumPy: a view, a copy, or a value whose length is only known later."""
    session = array._session
    if array._kind != "array" and array._kind != "scalar":
        raise TypeError(f"'{array.__class__.__name__}' object is not subscriptable")
    found, sources = entries(session, index, array.ndim)
    _check(session, found)
    if any(map(_is_late_mask, found)):
        return masked.select(array, found, sources | array._sources())
    _guard(session, array.shape, found)
    if all(map(_is_basic, found)):
        return _get_basic(array, index, tuple(found), sources)
    value = array._read()
    value = jnp.asarray(value) if any(map(is_traced, found)) else value
    return operations.wrap(session, value[tuple(found)], array._sources() | sources, "array")


def _get_basic(array: Box, index: object, found: tuple, sources: frozenset[str]) -> Any:
    dotted = any(isinstance(e, EllipsisType) for e in (index if type(index) is tuple else (index,)))
    view = array._view(Basic(found))
    if any(map(_is_integer, found)) and not view.shape and not dotted:
        return operations.wrap(array._session, view._read(), array._sources() | sources, "scalar")
    if sources:
        view._root()._tied |= sources
    return view


def put(array: Box, index: object, value: object) -> None:
    """Do `array[index] = value` like NumPy, with a cast to the array's type."""
    session = array._session
    found, sources = entries(session, index, array.ndim)
    _check(session, found)
    sources |= operations.sources_of(session, value)
    if any(map(_is_late_mask, found)):
        array._write(masked.assign(array, found, value), array._root()._tied | sources)
        return
    if operations.is_masked(value):
        raise session.refuse("values picked by one mask are stored through another index")
    _guard(session, array.shape, found)
    old, new = array._read(), cast(operations.value_of(session, value), array.dtype)
    if all(map(_is_basic, found)):
        step = Basic(tuple(found))
        new = _broadcast(new, np.shape(step.get(old)))
        array._write(step.put(old, new), sources)
        return
    array._write(_scatter(old, tuple(found), new), sources)


def _broadcast(new: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast a value to the place it goes; leading axes of length 1 may be dropped."""
    while new.ndim > len(shape) and new.shape[0] == 1:
        new = new[0]
    return jnp.broadcast_to(new, shape) if is_traced(new) else np.broadcast_to(new, shape)


def _scatter(old: Any, index: tuple, new: Any) -> Any:
    """Write through an index that may name a place twice: the last one wins, as in NumPy."""
    if not any(map(is_traced, index)) and not is_traced(new) and not is_traced(old):
        return _replace(old, index, new)
    places = np.arange(old.size).reshape(old.shape)
    if any(map(is_traced, index)):
        places = jnp.asarray(places)[index]
    else:
        places = places[index]
        if np.unique(places).size == places.size:
            return _replace(old, index, _broadcast(new, places.shape))
    if new.ndim == 0:
        return jnp.asarray(old).at[index].set(new)
    return scatter_last(old, places, _broadcast(new, places.shape))


def scatter_last(old: Any, places: Any, new: Any) -> Any:
    """Write `new` to flat `places` of `old`; of several for one place the last wins, those past the end are dropped."""
    old, places, new = jnp.asarray(old), jnp.asarray(places).reshape(-1), jnp.asarray(new).reshape(-1)
    if not places.size:
        return old
    order = jnp.arange(places.size)
    winner = jnp.full(old.size, -1).at[places].max(order, mode="drop")
    return jnp.where(winner >= 0, new[winner], old.reshape(-1)).reshape(old.shape)
