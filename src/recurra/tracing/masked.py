"""Values whose length is only known when the model runs: `x[mask]`, `W[:, mask]`, `np.where(mask)`.

They are kept in full, together with a mask for each axis; what cannot be said of the full array is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from recurra.engine.spiking import differentiated_as
from recurra.tracing import indexing, operations, products, rows
from recurra.tracing.operators import Operators
from recurra.tracing.promotion import cast
from recurra.tracing.session import Session, is_traced

if TYPE_CHECKING:
    from recurra.tracing.boxes import Box


class Masked(Operators):
    """Stand in for an array of which only the entries under masks exist.

    Arguments:
        session: the pass it lives in.
        full: the array with all entries.
        masks: for each axis the boolean vector of the entries that exist, or None for all.
        sources: the slots it depends on.
        whole: whether `full` counts 0, 1, 2, ... along its one masked axis, as `np.where(mask)` gives.
        picked: the matrix of which this is an unchanged part and what its memory held then, for event-driven products.
    """

    __slots__ = ("_full", "_masks", "_picked", "_session", "_tied", "_whole")

    def __init__(
        self,
        session: Session,
        full: Any,
        masks: tuple,
        sources: frozenset[str],
        whole: bool = False,
        picked: tuple[Box, Any] | None = None,
    ):
        self._session, self._full, self._masks = session, full, tuple(masks)
        self._tied, self._whole, self._picked = sources, whole, picked

    def _sources(self) -> frozenset[str]:
        return self._tied

    def _like(self, full: Any, sources: frozenset[str] = frozenset()) -> Masked:
        return Masked(self._session, full, self._masks, self._tied | sources)

    def _length(self, axis: int) -> Any:
        mask = self._masks[axis]
        if mask is None:
            return self._full.shape[axis]
        count = jnp.sum(jnp.asarray(mask), dtype=np.int64)
        return operations.wrap(self._session, count, self._tied, "python")

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return np.ndarray

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self._full.dtype)

    @property
    def ndim(self) -> int:
        return len(self._masks)

    @property
    def shape(self) -> tuple:
        return tuple(self._length(axis) for axis in range(self.ndim))

    @property
    def size(self) -> Any:
        size: Any = 1
        for axis in range(self.ndim):
            size = self._length(axis) * size
        return size

    @property
    def T(self) -> Masked:
        return Masked(self._session, self._full.T, self._masks[::-1], self._tied)

    @property
    def real(self) -> Masked:
        return self._like(self._full.real)

    @property
    def imag(self) -> Masked:
        return self._like(self._full.imag)

    def __len__(self) -> int:
        if self._masks[0] is None:
            return self._full.shape[0]
        raise self._session.refuse("len() of values picked by a traced mask; use .size")

    def __bool__(self) -> bool:
        raise self._session.refuse("the truth of values picked by a traced mask; use .size, .any() or .all()")

    def __iter__(self) -> Any:
        raise self._session.refuse("a Python loop over values picked by a traced mask")

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise self._session.refuse("code that takes a real array gets values picked by a traced mask")

    def __repr__(self) -> str:
        raise self._session.refuse("printing or formatting values picked by a traced mask")

    def __reduce_ex__(self, protocol: object) -> Any:
        raise self._session.refuse("an array of the step is pickled")

    def __copy__(self) -> Masked:
        return self.copy()

    def copy(self) -> Masked:
        return Masked(self._session, self._full, self._masks, self._tied, self._whole, self._picked)

    def astype(self, dtype: object) -> Masked:
        return self._like(cast(self._full, dtype))

    def ravel(self) -> Masked:
        if self.ndim == 1:
            return self
        full = jnp.asarray(self._full)
        return Masked(self._session, full.reshape(-1), (self._joint().reshape(-1),), self._tied)

    def flatten(self) -> Masked:
        return self.ravel().copy()

    def _joint(self) -> Any:
        """Return the mask of all axes together."""
        joint = jnp.ones(self._full.shape, bool)
        for axis, mask in enumerate(self._masks):
            if mask is not None:
                shape = [1] * self.ndim
                shape[axis] = -1
                joint &= jnp.asarray(mask).reshape(shape)
        return joint

    def __getitem__(self, index: object) -> Any:
        found, _ = indexing.entries(self._session, index, self.ndim)
        axes, masks, basic = 0, [], []
        for entry in found:
            if entry is None:
                masks.append(None)
            elif isinstance(entry, slice) and (entry == slice(None) or self._masks[axes] is None):
                masks.append(self._masks[axes])
                axes += 1
            elif len(found) == 1 and self.ndim == 1 and is_masked(entry) and entry.dtype == bool:
                return _thin(self, entry)
            elif self._masks[axes] is None and is_traced(entry) and entry.dtype == bool and entry.ndim == 1:
                masks.append(entry)
                axes += 1
                entry = slice(None)
            else:
                raise self._session.refuse("an index into values picked by a traced mask")
            basic.append(entry)
        return Masked(self._session, self._full[tuple(basic)], tuple(masks), self._tied)

    def __setitem__(self, index: object, value: object) -> None:
        raise self._session.refuse("an assignment into values picked by a traced mask")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'ndarray' object has no attribute {name!r}")
        raise self._session.refuse(f"{name} of values picked by a traced mask is not understood")


def is_masked(value: object) -> TypeGuard[Masked]:
    """Tell whether a value is a `Masked`."""
    return type(value) is Masked


def _thin(outer: Masked, chosen: Masked) -> Masked:
    if chosen._masks[0] is not outer._masks[0]:
        raise outer._session.refuse("a mask whose length is not that of the values it is applied to")
    both = jnp.asarray(outer._masks[0]) & jnp.asarray(chosen._full)
    return Masked(outer._session, outer._full, (both,), outer._tied | chosen._tied, outer._whole)


# -- arithmetic ----------------------------------------------------------------------------------------------------


def combine(session: Session, inputs: tuple) -> tuple[tuple, int]:
    """Return the masks of the result of an elementwise operation; refuse what need not have equal lengths."""
    ndim = max(np.ndim(i) if not is_masked(i) else i.ndim for i in inputs)
    masks: list = [None] * ndim
    lengths: list[list[int]] = [[] for _ in range(ndim)]
    for value in inputs:
        shape = value._full.shape if is_masked(value) else np.shape(value)
        own = value._masks if is_masked(value) else (None,) * len(shape)
        for axis, (length, mask) in enumerate(zip(shape, own, strict=True), ndim - len(shape)):
            if mask is None:
                lengths[axis].append(length)
            elif masks[axis] is None or masks[axis] is mask:
                masks[axis] = mask
            else:
                raise session.refuse("values picked by different masks are combined")
    for mask, known in zip(masks, lengths, strict=True):
        if mask is not None and any(length != 1 for length in known):
            raise session.refuse("values picked by a traced mask are combined with an array of fixed length")
    return tuple(masks), ndim


def elementwise(session: Session, ufunc: np.ufunc, inputs: tuple, dtype: object, out: Masked | None) -> Any:
    """Apply an elementwise NumPy function where some inputs are masked."""
    values = tuple(i if is_masked(i) else operations.operand(session, i) for i in inputs)
    shaped = tuple(v if is_masked(v) else v.value for v in values)
    masks, _ = combine(session, shaped)
    plain: Any = tuple(operations.Operand(v._full, v._tied, False) if is_masked(v) else v for v in values)
    results, sources = operations.compute(session, ufunc, plain, dtype)
    made = [Masked(session, r, masks, sources) for r in results]
    if out is not None:
        operations.check_cast(ufunc, plain, made[0].dtype, out.dtype)
        if out.ndim != made[0].ndim or any(a is not b for a, b in zip(out._masks, masks, strict=True)):
            raise session.refuse("an in-place operation between values picked by different masks")
        out._full, out._tied, out._picked, out._whole = cast(made[0]._full, out.dtype), sources, None, False
        return out
    return made[0] if len(made) == 1 else tuple(made)


def reduce(values: Masked, kind: str, axis: Any, dtype: object, keepdims: bool) -> Any:
    """Reduce like NumPy; entries outside of the masks do not count.

    Arguments:
        kind: sum, prod, max, min, any, all, mean, var, std or count.
    """
    session = values._session
    axes = tuple(range(values.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(int(a) % values.ndim for a in axes)
    event = products.picked_sum(values, axes) if kind == "sum" and dtype is None and not keepdims else None
    if event is not None:
        return event
    model = operations.model_dtype(getattr(np, kind) if kind != "count" else np.sum, values._full.dtype, dtype)
    inside = _inside(values, axes)
    full = jnp.asarray(values._full)
    if kind in ("mean", "var", "std"):
        result = _moments(session, kind, cast(full, model), inside, axes)
    elif kind == "sum":
        result = _sum(session, cast(full, model), inside, axes)
    else:
        result = _REDUCTIONS[kind](cast(full, model) if kind == "prod" else full, inside, axes)
    result = cast(result, model)
    masks = [None if a in axes else m for a, m in enumerate(values._masks)]
    if not keepdims:
        result = jnp.squeeze(result, axes)
        masks = [m for a, m in enumerate(masks) if a not in axes]
    if any(m is not None for m in masks):
        return Masked(session, result, tuple(masks), values._tied)
    return operations.wrap(session, result, values._tied)


def _inside(values: Masked, axes: tuple[int, ...]) -> Any:
    inside: Any = jnp.ones((1,) * values.ndim, bool)
    for axis in axes:
        mask = values._masks[axis]
        shape = [1] * values.ndim
        shape[axis] = -1
        inside = inside & (jnp.ones(values._full.shape[axis], bool) if mask is None else jnp.asarray(mask)).reshape(
            shape
        )
    return inside


def _extreme(full: Any, lowest: bool) -> Any:
    if full.dtype == bool:
        return lowest
    if jnp.issubdtype(full.dtype, jnp.integer):
        info = np.iinfo(full.dtype)
        return info.max if lowest else info.min
    return np.inf if lowest else -np.inf


_REDUCTIONS: dict[str, Callable] = {
    "prod": lambda x, m, a: jnp.prod(jnp.where(m, x, 1), a, keepdims=True),
    "max": lambda x, m, a: jnp.max(jnp.where(m, x, _extreme(x, False)), a, keepdims=True),
    "min": lambda x, m, a: jnp.min(jnp.where(m, x, _extreme(x, True)), a, keepdims=True),
    "any": lambda x, m, a: jnp.any(m & (x != 0), a, keepdims=True),
    "all": lambda x, m, a: jnp.all(~m | (x != 0), a, keepdims=True),
    "count": lambda x, m, a: jnp.sum(m & (x != 0), a, keepdims=True),
}


def _sum(session: Session, full: Any, inside: Any, axes: tuple[int, ...]) -> Any:
    kept = jnp.where(inside, full, 0)
    if session.smooth and jnp.issubdtype(full.dtype, jnp.floating):
        # A mask in a sum is a factor, so it has a derivative if it comes of spikes.
        kept = differentiated_as(kept, jax.lax.stop_gradient(full) * inside.astype(full.dtype))
    return jnp.sum(kept, axes, keepdims=True)


def _moments(session: Session, kind: str, full: Any, inside: Any, axes: tuple[int, ...]) -> Any:
    count = jnp.sum(inside, axes, keepdims=True).astype(full.dtype)
    mean = _sum(session, full, inside, axes) / count
    if kind == "mean":
        return mean
    variance = jnp.sum(jnp.where(inside, jnp.abs(full - mean) ** 2, 0), axes, keepdims=True) / count
    return jnp.sqrt(variance) if kind == "std" else variance


# -- selecting and assigning ---------------------------------------------------------------------------------------


def nonzero(session: Session, mask: Any, sources: frozenset[str]) -> tuple[Masked, ...]:
    """Return the indices of the true entries of a traced mask, one for each axis."""
    given = mask
    if mask.dtype != bool:
        mask = session.memo(("nonzero", id(given)), (given,), lambda: given != 0)
    if mask.ndim == 1:
        return (Masked(session, np.arange(mask.shape[0]), (mask,), sources, whole=True),)
    flat = session.memo(("flat", id(mask)), (mask,), lambda: mask.reshape(-1))
    grids = np.indices(mask.shape).reshape(mask.ndim, -1)
    return tuple(Masked(session, grid, (flat,), sources) for grid in grids)


def _numbers(session: Session, found: list, sources: frozenset[str], shape: tuple[int, ...]) -> list:
    """Replace boolean arrays by the indices of their true entries, as NumPy defines such an index."""
    expanded = []
    for entry in found:
        if is_traced(entry) and entry.dtype == bool:
            at = len([e for e in expanded if e is not None])
            if entry.shape != shape[at : at + entry.ndim]:
                raise IndexError(
                    f"boolean index did not match indexed array along axis {at}; the array has shape {shape} "
                    f"but the boolean index has shape {entry.shape}"
                )
            expanded += nonzero(session, entry, sources)
        elif is_masked(entry) and entry.dtype == bool:
            raise session.refuse("a mask of unknown length picks from an array of fixed length")
        else:
            expanded.append(entry)
    return expanded


def _plan(session: Session, expanded: list) -> tuple[str, tuple]:
    """Tell how to read an index with masked numbers: axis by axis ("whole") or element by element ("points")."""
    numbers = [e for e in expanded if not isinstance(e, slice)]
    if any(e is None for e in numbers):
        raise session.refuse("None together with a traced mask in one index; index twice instead")
    plain = all(is_masked(e) and e._whole for e in numbers)
    if plain and len(numbers) == 1 and numbers[0].ndim == 1:
        return "whole", tuple(e._masks[0] if is_masked(e) else None for e in expanded)
    if plain and len(numbers) == len(expanded):
        axes = [[a for a, m in enumerate(e._masks) if m is not None] for e in numbers]
        if axes == [[i] for i in range(len(numbers))] and all(e.ndim == len(numbers) for e in numbers):
            return "whole", tuple(e._masks[i] for i, e in enumerate(numbers))
    return "points", ()


def select(array: Box, found: list, sources: frozenset[str]) -> Any:
    """Return `array[index]` where the index has a traced mask in it."""
    session = array._session
    flat = _mask_of_all(array, found)
    if flat is not None:
        return Masked(session, jnp.asarray(array._read()).reshape(-1), (flat,), sources)
    expanded = _numbers(session, found, sources, array.shape)
    how, masks = _plan(session, expanded)
    sliced = tuple(e if isinstance(e, slice) else slice(None) for e in expanded)
    if how == "whole":
        untouched = all(s == slice(None) for s in sliced)
        full = array._read() if untouched else jnp.asarray(array._read())[sliced]
        return Masked(session, full, masks, sources, picked=(array, array._root()._inner) if untouched else None)
    if not all(s == slice(None) for s in sliced):
        raise session.refuse("a slice and traced indices in one index; index twice instead")
    fulls, point_masks, first = _points(session, expanded)
    full = jnp.asarray(array._read())[fulls]
    shape = [None] * full.ndim
    shape[first : first + len(point_masks)] = point_masks
    return Masked(session, full, tuple(shape), sources)


def _mask_of_all(array: Box, found: list) -> Any:
    """Return the mask, flattened, if the index is one traced mask over all axes of a matrix."""
    if len(found) != 1 or not is_traced(found[0]) or found[0].ndim < 2 or found[0].shape != array.shape:
        return None
    return array._session.memo(("flat", id(found[0])), (found[0],), lambda: found[0].reshape(-1))


def _points(session: Session, expanded: list) -> tuple[tuple, tuple, int]:
    """Return the index in full, the masks of its own axes, and the axis of the result where those begin."""
    numbers = [e for e in expanded if not isinstance(e, slice)]
    masks, _ = combine(session, tuple(e if is_masked(e) else np.asarray(e) if not is_traced(e) else e for e in numbers))
    at = [i for i, e in enumerate(expanded) if not isinstance(e, slice)]
    together = at == list(range(at[0], at[0] + len(at)))
    return tuple(e._full if is_masked(e) else e for e in expanded), masks, at[0] if together else 0


def assign(array: Box, found: list, value: object) -> Any:
    """Return what `array[index] = value` makes of the array, where the index has a traced mask in it."""
    session, old = array._session, array._read()
    flat = _mask_of_all(array, found)
    if flat is not None:
        entries = jnp.asarray(old).reshape(-1)
        new = cast(_full_of(Masked(session, entries, (flat,), frozenset()), value), array.dtype)
        return jnp.where(flat, new, entries).reshape(old.shape)
    expanded = _numbers(session, found, frozenset(), array.shape)
    how, masks = _plan(session, expanded)
    if how == "whole":
        sliced = tuple(e if isinstance(e, slice) else slice(None) for e in expanded)
        untouched = is_traced(old) and all(s == slice(None) for s in sliced)
        part = old if untouched else jnp.asarray(old)[sliced]
        place = Masked(session, part, masks, frozenset())
        new = cast(_full_of(place, value), array.dtype)
        if part is old and len(masks) == 2:
            by_row = rows.replace(session, old, masks[0], masks[1], new)
            if by_row is not None:
                return by_row
        changed = jnp.where(place._joint(), new, part)
        return changed if part.shape == old.shape else jnp.asarray(old).at[sliced].set(changed)
    fulls, point_masks, first = _points(session, expanded)
    places = jnp.asarray(np.arange(array.size).reshape(array.shape))[fulls]
    shape: list = [None] * places.ndim
    shape[first : first + len(point_masks)] = point_masks
    place = Masked(session, places, tuple(shape), frozenset())
    new = jnp.broadcast_to(jnp.asarray(cast(_full_of(place, value), array.dtype)), places.shape)
    return indexing.scatter_last(old, jnp.where(place._joint(), places, array.size), new)


def _full_of(place: Masked, value: object) -> Any:
    """Return the value for every entry of a place, checked to have the place's lengths."""
    given = value if is_masked(value) else operations.value_of(place._session, value)
    masks, ndim = combine(place._session, (place, given))
    if ndim != place.ndim or any(a is not b for a, b in zip(masks, place._masks, strict=True)):
        raise place._session.refuse("values that do not have the lengths of the masked place they go to")
    return given._full if is_masked(given) else given
