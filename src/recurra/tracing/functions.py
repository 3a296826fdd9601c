"""Which NumPy functions can be compiled, and how each is done so that shapes and types are NumPy's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.tracing import indexing, masked, operations, products, views
from recurra.tracing.promotion import cast
from recurra.tracing.session import Session, as_value, is_traced

Handler = Callable[[Session, tuple, dict], Any]


def _map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, list) and value and all(isinstance(v, int | float | complex) for v in value):
        return np.asarray(value) if not any(map(operations.is_ours, value)) else change(value)
    if isinstance(value, list | tuple):
        return type(value)(_map_leaves(v, change) for v in value)
    return change(value) if operations.is_ours(value) else value


def _small(value: Any) -> Any:
    """Return a small stand-in of the same type and number of axes, to ask NumPy for the type of a result."""
    if operations.is_masked(value):
        return _small_array(value)
    if value._kind == "python":
        return value.dtype.type(1).item()
    return _small_array(value) if value.ndim else value.dtype.type(1)


def _small_array(value: Any) -> np.ndarray:
    make = np.zeros if value.dtype.kind in "iu" else np.ones  # whole numbers may be indices, and 0 is always one
    return make((1,) * value.ndim, value.dtype)


def _shrink(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_shrink(v) for v in value)
    if operations.is_ours(value):
        return _small(value)
    return _small_array(value) if isinstance(value, np.ndarray) else value


def _sources(session: Session, args: tuple, kwargs: dict) -> frozenset[str]:
    return frozenset().union(*(operations.sources_of(session, v) for v in (*args, *kwargs.values())))


def _plain(session: Session, function: Callable, args: tuple, kwargs: dict) -> Any:
    """Call NumPy where everything is known now; None where it is not."""
    known = operations._all_known(session, args, kwargs)
    return None if known is None else operations.rewrap(session, function(*known[0], **known[1]))


def _understood(session: Session, function: Callable, args: Any, kwargs: dict) -> Any:
    """Call a function of NumPy or JAX; what it cannot do with these arguments is refused, for NumPy to decide."""
    try:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)
    except Exception as error:
        name = getattr(function, "__name__", str(function))
        raise session.refuse(f"numpy.{name} with these arguments: {str(error).splitlines()[0]}") from error


def _like(function: Callable, jax_function: Callable, promote: tuple[int, ...] = (), options: Any = None) -> Handler:
    """Make the handler of a function that JAX has too.

    Arguments:
        function: NumPy's.
        jax_function: JAX's.
        promote: positions of the arguments (arrays, or sequences of arrays) that are computed in the type of the
            result, as NumPy promotes them; JAX's own promotion would differ.
        options: keywords given to JAX's function.
    """

    def handle(session: Session, args: tuple, kwargs: dict) -> Any:
        plain = _plain(session, function, args, kwargs)
        if plain is not None:
            return plain
        model = _understood(session, function, _shrink(args), {k: _shrink(v) for k, v in kwargs.items()})

        def value(x: Any) -> Any:
            if operations.is_masked(x):
                name = getattr(function, "__name__", "")
                raise session.refuse(f"numpy.{name} of values picked by a traced mask")
            return as_value(operations.operand(session, x).value)

        values = [_map_leaves(a, value) for a in args]
        dtype = _common(model, [v for p, v in enumerate(values) if p in promote])
        for position in promote:
            if position < len(values) and dtype is not None:
                values[position] = _cast_leaves(values[position], dtype)
        given = {k: _map_leaves(v, value) for k, v in kwargs.items() if not (k == "kind" and v is None)}
        result = _understood(session, jax_function, values, {**given, **(options or {})})
        return _typed(session, result, model, _sources(session, args, kwargs))

    return handle


def _common(model: Any, values: Any) -> np.dtype | None:
    """Return the type to compute in: that of the result, or for truths and indices that of the arguments."""
    kinds = [v.dtype for v in jax.tree.leaves(values) if hasattr(v, "dtype")]
    if not isinstance(model, tuple | list) and np.asarray(model).dtype.kind not in "biu":
        kinds.append(np.asarray(model).dtype)
    return np.result_type(*(np.zeros(1, k) for k in kinds)) if kinds else None


def _gradient(session: Session, args: tuple, kwargs: dict) -> Any:
    array = operations.build_array(session, args[0])
    dtype = np.gradient(np.zeros((2,) * array.ndim, array.dtype)).dtype if array.ndim == 1 else None
    if dtype is None or len(args) > 1 or kwargs:
        raise session.refuse("np.gradient other than of a vector with unit spacing")
    return operations.wrap(session, jnp.gradient(jnp.asarray(cast(array._read(), dtype))), array._sources())


def _cast_leaves(value: Any, dtype: np.dtype) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_cast_leaves(v, dtype) for v in value)
    if value is None or (as_value(value).dtype.kind == "c" and dtype.kind != "c"):  # type: ignore[attr-defined]
        return value
    return cast(as_value(value), dtype)


def _typed(session: Session, result: Any, model: Any, sources: frozenset[str]) -> Any:
    """Wrap a result in the types of NumPy's."""
    if isinstance(result, tuple | list):
        models = list(model) if isinstance(model, tuple | list) else [model]
        models += [models[-1]] * (len(result) - len(models))
        made = [_typed(session, r, m, sources) for r, m in zip(result, models, strict=False)]
        return tuple(made) if isinstance(result, tuple) else made
    weak = isinstance(model, bool | int | float | complex) and not isinstance(model, np.generic)
    return operations.wrap(session, cast(result, np.asarray(model).dtype), sources, "python" if weak else None)


def _reduction(function: Callable, jax_function: Callable, masked_kind: str | None = None) -> Handler:
    """Make the handler of a reduction: computed in the type of the result, also of masked values."""

    def handle(session: Session, args: tuple, kwargs: dict) -> Any:
        array = args[0]
        if isinstance(array, list | tuple):
            array = operations.build_array(session, array)
            args = (array, *args[1:])
        if operations.is_masked(array):
            return _masked_reduction(session, function, masked_kind, array, args[1:], kwargs)
        plain = _plain(session, function, args, kwargs)
        if plain is not None:
            return plain
        small = {k: _shrink(v) for k, v in kwargs.items()}
        model = _understood(session, function, (_small(array), *args[1:]), small)
        target = np.asarray(model).dtype
        value = as_value(operations.operand(session, array).value)
        if target.kind in "iufc" and masked_kind not in ("count", "argmax"):
            value = cast(value, np.result_type(target, value.dtype) if target.kind == value.dtype.kind else target)
        given = {
            k: _map_leaves(v, lambda x: operations.value_of(session, x)) for k, v in kwargs.items() if k != "dtype"
        }
        rest = [_map_leaves(a, lambda x: operations.value_of(session, x)) for a in args[1:]]
        result = _understood(session, jax_function, (jnp.asarray(value), *rest), given)
        return _typed(session, result, model, _sources(session, args, kwargs))

    return handle


def _masked_reduction(
    session: Session, function: Callable, kind: str | None, array: Any, args: tuple, kwargs: dict
) -> Any:
    """Reduce values picked by a traced mask; what an empty selection gives may be said by `initial`."""
    meet = {"max": np.maximum, "min": np.minimum}.get(kind or "")
    known = {"axis", "dtype", "keepdims", *(["initial"] if meet is not None else [])}
    usual = {"ddof": 0, "where": True}
    extra = [k for k, v in kwargs.items() if k not in known and not (k in usual and v is usual[k])]
    if kind in (None, "argmax") or extra or len(args) > 1:
        what = f" with {extra[0]}=" if extra else ""
        raise session.refuse(f"numpy.{function.__name__} of values picked by a traced mask{what}")
    axis = args[0] if args else kwargs.get("axis")
    made = masked.reduce(array, str(kind), axis, kwargs.get("dtype"), bool(kwargs.get("keepdims")))
    if meet is None or "initial" not in kwargs:
        return made
    met = meet(made, kwargs["initial"])
    if met.dtype != made.dtype:
        raise session.refuse(f"numpy.{function.__name__} with an initial= of another type")
    return met


# -- functions written out -----------------------------------------------------------------------------------------


def _where(session: Session, args: tuple, kwargs: dict) -> Any:
    if len(args) == 1:
        return _nonzero(session, args, kwargs)
    condition, first, second = args
    if any(map(operations.is_masked, args)):
        return _masked_where(session, condition, first, second)
    found = [operations.operand(session, a) for a in args]
    test = as_value(found[0].value)
    model = np.where(np.ones(1, bool), *(np.ones(1, f.kind) if not f.weak else f.kind(1) for f in found[1:]))
    dtype = model.dtype
    values = [f.as_type(dtype) for f in found[1:]]
    sources = found[0].sources | found[1].sources | found[2].sources
    if not any(map(is_traced, (test, *values))):
        return operations.wrap(session, np.where(test, *values), sources, "array")
    return operations.wrap(session, jnp.where(test != 0, *values), sources, "array")


def _masked_where(session: Session, condition: Any, first: Any, second: Any) -> Any:
    parts = (condition, first, second)
    given = [p if operations.is_masked(p) else operations.operand(session, p) for p in parts]
    masks, _ = masked.combine(session, tuple(g if operations.is_masked(g) else g.value for g in given))
    plain = [operations.Operand(g._full, g._tied, False) if operations.is_masked(g) else g for g in given]
    small = [np.ones(1, p.kind) if not p.weak else p.kind(1) for p in plain[1:]]
    dtype = np.where(np.ones(1, bool), *small).dtype
    values = [p.as_type(dtype) for p in plain[1:]]
    sources = frozenset().union(*(p.sources for p in plain))
    return masked.Masked(session, jnp.where(as_value(plain[0].value) != 0, *values), masks, sources)


def _nonzero(session: Session, args: tuple, kwargs: dict) -> Any:
    array = args[0]
    if operations.is_masked(array):
        raise session.refuse("the true places within values picked by a traced mask")
    found = operations.operand(session, array)
    if not is_traced(found.value):
        return operations.rewrap(session, np.nonzero(as_value(found.value)))
    return masked.nonzero(session, found.value, found.sources)


def _flatnonzero(session: Session, args: tuple, kwargs: dict) -> Any:
    return _nonzero(session, (operations.build_array(session, args[0]).ravel(),), kwargs)[0]


def _argwhere(session: Session, args: tuple, kwargs: dict) -> Any:
    (places,) = _nonzero(session, args, kwargs) if operations.build_array(session, args[0]).ndim == 1 else (None,)
    if places is None:
        raise session.refuse("argwhere of an array with more than one axis; use np.where")
    return places[:, None] if operations.is_masked(places) else places.reshape(-1, 1)


def _ix(session: Session, args: tuple, kwargs: dict) -> Any:
    made = []
    for axis, entry in enumerate(args):
        numbers = entry
        dtype = operations.build_array(session, entry).dtype if not operations.is_masked(entry) else entry.dtype
        if dtype.kind == "b":
            (numbers,) = _nonzero(session, (entry,), {})
        shape = (None,) * axis + (slice(None),) + (None,) * (len(args) - axis - 1)
        if operations.is_masked(numbers):
            part = numbers[shape]
            part._whole = numbers._whole
            made.append(part)
        else:
            made.append(operations.build_array(session, numbers)[shape])
    return tuple(made)


def _clip(session: Session, args: tuple, kwargs: dict) -> Any:
    names = ("a", "a_min", "a_max")
    given = dict(zip(names, args, strict=False)) | kwargs
    lower = given.get("a_min", given.get("min"))
    upper = given.get("a_max", given.get("max"))
    array = given["a"]
    strange = set(given) - {*names, "min", "max"}
    if strange or (lower is None and upper is None):
        raise session.refuse(f"np.clip with {', '.join(sorted(strange)) or 'no bounds'}")
    if operations.is_box(array) and array._kind == "python":
        array = operations.astype(array, array.dtype)
    if lower is not None:
        array = operations.apply_ufunc(session, np.maximum, "__call__", (array, lower), {})
    if upper is not None:
        array = operations.apply_ufunc(session, np.minimum, "__call__", (array, upper), {})
    return array


def _dot(session: Session, args: tuple, kwargs: dict) -> Any:
    return products.dot(session, *args)


def _outer(session: Session, args: tuple, kwargs: dict) -> Any:
    first, second = (a if operations.is_masked(a) else operations.build_array(session, a) for a in args)
    return first.ravel()[:, None] * second.ravel()[None, :]


def _round(session: Session, args: tuple, kwargs: dict) -> Any:
    array = operations.build_array(session, args[0]) if not operations.is_ours(args[0]) else args[0]
    decimals = args[1] if len(args) > 1 else kwargs.get("decimals", 0)
    if operations.is_masked(array):
        if decimals:
            raise session.refuse("np.round with decimals of values picked by a traced mask")
        return array.copy() if array.dtype.kind in "iub" else np.rint(array)
    if decimals == 0:
        return array.copy() if array.dtype.kind in "iu" else np.rint(array)
    if array.dtype.kind in "iu":
        raise session.refuse("np.round of integers with decimals")
    scale = 10.0 ** abs(decimals)
    rounded = np.rint(array * scale if decimals > 0 else array / scale)
    result = rounded / scale if decimals > 0 else rounded * scale
    return result if array._kind != "python" else operations.wrap(session, result._read(), result._sources(), "python")


def _count(session: Session, args: tuple, kwargs: dict) -> Any:
    if kwargs.get("keepdims"):
        raise session.refuse("np.count_nonzero with keepdims")
    if operations.is_masked(args[0]):
        return masked.reduce(args[0], "count", kwargs.get("axis"), None, False)
    truths: Any = operations.build_array(session, args[0]) != 0
    return truths.sum(axis=args[1] if len(args) > 1 else kwargs.get("axis"))


def _diag(session: Session, args: tuple, kwargs: dict) -> Any:
    given = dict(zip(("v", "k"), args, strict=False)) | kwargs
    if operations.is_box(given["v"]) and given["v"].ndim == 2:
        return views.shown(np.diagonal)(given["v"], given.get("k", 0))
    return _like(np.diag, jnp.diag, (0,))(session, args, kwargs)


def _nan_to_num(session: Session, args: tuple, kwargs: dict) -> Any:
    given = dict(zip(("x", "copy", "nan", "posinf", "neginf"), args, strict=False)) | kwargs
    array, copy = given.pop("x"), given.pop("copy", True)
    made = _like(np.nan_to_num, jnp.nan_to_num, (0,))(session, (array,), given)
    if copy is True or not operations.is_box(array) or array._kind != "array":
        return made
    array[...] = made
    return array


def _meshgrid(session: Session, args: tuple, kwargs: dict) -> Any:
    if kwargs.get("copy", True) is not True:
        raise session.refuse("np.meshgrid with copy=False")
    return _like(np.meshgrid, jnp.meshgrid)(session, args, kwargs)


def _filled(value: Any) -> Handler:
    def handle(session: Session, args: tuple, kwargs: dict) -> Any:
        names = ("a", *(["fill_value"] if value is None else []), "dtype", "order", "subok", "shape")
        given = dict(zip(names, args, strict=False)) | kwargs
        array, fill = given["a"], given.get("fill_value", value)
        dtype, shape = given.get("dtype"), given.get("shape")
        dtype = array.dtype if dtype is None else np.dtype(dtype)
        if operations.is_masked(array):
            if shape is not None or operations.is_ours(fill):
                raise session.refuse("such an array of the shape of values picked by a traced mask")
            return masked.Masked(session, np.full(array._full.shape, fill, dtype), array._masks, array._tied)
        shape = array.shape if shape is None else shape
        made = operations.wrap(session, np.zeros(shape, dtype), frozenset(), "array")
        if fill is not False:
            made[...] = fill
        return made

    return handle


def _copyto(session: Session, args: tuple, kwargs: dict) -> None:
    given = dict(zip(("dst", "src", "casting", "where"), args, strict=False)) | kwargs
    target, source = given["dst"], given["src"]
    where, casting = given.get("where", True), given.get("casting", "same_kind")
    found = operations.operand(session, source)
    kind = found.kind if not found.weak else np.result_type(target.dtype, found.kind(1))
    if not np.can_cast(kind, target.dtype, casting):
        raise TypeError(f"Cannot cast array data from {kind!r} to {target.dtype!r} according to the rule {casting!r}")
    operations.store(session, np.positive, (), target, cast(as_value(found.value), target.dtype), found.sources, where)


def _put(session: Session, args: tuple, kwargs: dict) -> None:
    target, indices, values, *more = args
    if more or kwargs:
        raise session.refuse("np.put with mode")
    target.reshape(-1)[indices] = values


def _putmask(session: Session, args: tuple, kwargs: dict) -> None:
    target, mask, values = args[:3]
    found = operations.operand(session, values)
    if np.ndim(found.value) and np.shape(found.value) != target.shape:
        raise session.refuse("values of another shape in putmask, which are repeated")
    operations.store(session, np.positive, (), target, cast(as_value(found.value), target.dtype), found.sources, mask)


def _fill_diagonal(session: Session, args: tuple, kwargs: dict) -> None:
    target, value = args[:2]
    if target.ndim != 2 or kwargs.get("wrap") or len(args) > 2:
        raise session.refuse("fill_diagonal of anything but a matrix")
    n = np.arange(min(target.shape))
    target[n, n] = value


def _copy(session: Session, args: tuple, kwargs: dict) -> Any:
    made = args[0].copy()
    return made if operations.is_masked(made) else operations.wrap(session, made._read(), made._sources(), "array")


def _meta(function: Callable) -> Handler:
    """Make the handler of a function that only asks for shape or type."""

    def handle(session: Session, args: tuple, kwargs: dict) -> Any:
        if any(map(operations.is_masked, args)):
            return getattr(args[0], function.__name__) if len(args) == 1 else function(*_shrink(args), **kwargs)
        full = [
            np.broadcast_to(_small(a), a.shape) if operations.is_box(a) and a._kind != "python" else _shrink(a)
            for a in args
        ]
        return function(*full, **kwargs)

    return handle


def _truth(make: Callable[..., Any]) -> Handler:
    """Make the handler of a function that gives one Python truth value."""

    def handle(session: Session, args: tuple, kwargs: dict) -> Any:
        made = make(session, *args, **kwargs)
        return (
            made if not operations.is_box(made) else operations.wrap(session, made._read(), made._sources(), "python")
        )

    return handle


def _array_equal(session: Session, first: Any, second: Any, equal_nan: bool = False) -> Any:
    first, second = (operations.build_array(session, v) for v in (first, second))
    if first.shape != second.shape:
        return False
    same = first == second
    return np.all((same | ((first != first) & (second != second))) if equal_nan else same)


def _allclose(session: Session, *args: Any, **kwargs: Any) -> Any:
    return np.all(TABLE[np.isclose](session, args, kwargs))


def _split(function: Callable) -> Handler:
    def handle(session: Session, args: tuple, kwargs: dict) -> Any:
        array = args[0]
        model = np.arange(array.size).reshape(array.shape)
        return [array._view(indexing.Flat(p)) for p in function(model, *args[1:], **kwargs)]

    return handle


def _sorted_places(session: Session, args: tuple, kwargs: dict) -> Any:
    """Do argsort and argpartition: places that order the values, equal values by their place."""
    array = operations.build_array(session, args[0])
    axis = kwargs.get("axis", -1)
    value = array._read()
    made = (
        jnp.argsort(value, axis=axis, stable=True) if is_traced(value) else np.argsort(value, axis=axis, kind="stable")
    )
    return operations.wrap(session, cast(made, np.int64), array._sources(), "array")


def _argsort(session: Session, args: tuple, kwargs: dict) -> Any:
    return _sorted_places(session, args[:1], {"axis": args[1] if len(args) > 1 else kwargs.get("axis", -1)})


def _argpartition(session: Session, args: tuple, kwargs: dict) -> Any:
    return _sorted_places(session, args[:1], {"axis": args[2] if len(args) > 2 else kwargs.get("axis", -1)})


def _sort(session: Session, args: tuple, kwargs: dict) -> Any:
    array = operations.build_array(session, args[0])
    value, axis = array._read(), args[1] if len(args) > 1 else kwargs.get("axis", -1)
    made = jnp.sort(value, axis=axis) if is_traced(value) else np.sort(value, axis=axis)
    return operations.wrap(session, made, array._sources(), "array")


def _partition(session: Session, args: tuple, kwargs: dict) -> Any:
    return _sort(session, args[:1], {"axis": args[2] if len(args) > 2 else kwargs.get("axis", -1)})


def _take(session: Session, args: tuple, kwargs: dict) -> Any:
    given, indices, *more = args
    array = operations.build_array(session, given)
    axis = more[0] if more else kwargs.get("axis")
    if set(kwargs) - {"axis"} or len(more) > 1:
        raise session.refuse("np.take with mode")
    made = array.ravel()[indices] if axis is None else array[(slice(None),) * (axis % array.ndim) + (indices,)]
    return made if not operations.is_box(made) or made._parent is None else made.copy()


def _norm(session: Session, args: tuple, kwargs: dict) -> Any:
    array = operations.build_array(session, args[0])
    given = dict(zip(("x", "ord", "axis", "keepdims"), args, strict=False)) | kwargs
    model = np.linalg.norm(np.ones(1, array.dtype)).dtype
    made = jnp.linalg.norm(
        jnp.asarray(cast(array._read(), model)), given.get("ord"), given.get("axis"), bool(given.get("keepdims"))
    )
    return operations.wrap(session, cast(made, model), array._sources())


_HIGH = {"precision": "highest"}

# JAX has the same function, and its arguments at these places are promoted to the type of the result.
_ALIKE = {
    "roll": (0,), "tile": (0,), "repeat": (0,), "concatenate": (0,), "stack": (0,), "hstack": (0,), "vstack": (0,),
    "column_stack": (0,), "dstack": (0,), "append": (0, 1), "diff": (0,), "triu": (0,), "tril": (0,),
    "kron": (0, 1), "pad": (0,), "ediff1d": (0,),
    "sinc": (0,), "angle": (0,), "isclose": (0, 1), "searchsorted": (0, 1),
    "digitize": (0, 1), "interp": (0, 1, 2), "isin": (0, 1), "take_along_axis": (0,), "select": (), "trapezoid": (0, 1),
    "average": (0,), "diagflat": (0,), "unwrap": (0,), "i0": (0,),
}  # fmt: skip
_PRECISE = {"inner": (0, 1), "vdot": (0, 1), "convolve": (0, 1), "correlate": (0, 1)}
_REDUCE = {
    "sum": "sum", "prod": "prod", "mean": "mean", "std": "std", "var": "var", "max": "max", "min": "min",
    "amax": "max", "amin": "min", "any": "any", "all": "all", "argmax": "argmax", "argmin": "argmax",
    "cumsum": None, "cumprod": None, "ptp": None,
    "median": None, "percentile": None, "quantile": None, "trace": None, "nansum": None, "nanmean": None,
    "nanmax": None, "nanmin": None, "nanstd": None, "nanvar": None, "nanprod": None, "nanmedian": None,
    "nanargmax": "argmax", "nanargmin": "argmax",
}  # fmt: skip


def _tensordot(session: Session, args: tuple, kwargs: dict) -> Any:
    return _like(np.tensordot, jnp.tensordot, (0, 1), _HIGH)(session, args, kwargs)


def _einsum(session: Session, args: tuple, kwargs: dict) -> Any:
    if not isinstance(args[0], str) or set(kwargs) - {"optimize"}:
        raise session.refuse("np.einsum other than with a string of subscripts")
    if len(args) == 2 and operations.is_box(args[1]):
        numbers = np.arange(args[1].size).reshape(args[1].shape)
        if np.may_share_memory(np.einsum(args[0], numbers), numbers):  # nothing is summed: NumPy gives a view
            return views.shown(lambda places: np.einsum(args[0], places))(args[1])
    return _like(np.einsum, jnp.einsum, tuple(range(1, len(args))), _HIGH)(session, args, {})


def _make_table() -> dict[Callable, Handler]:
    table: dict[Callable, Handler] = {}
    for name, promote in _ALIKE.items():
        table[getattr(np, name)] = _like(getattr(np, name), getattr(jnp, name), promote)
    for name, promote in _PRECISE.items():
        table[getattr(np, name)] = _like(getattr(np, name), getattr(jnp, name), promote, _HIGH)
    for name, kind in _REDUCE.items():
        table[getattr(np, name)] = _reduction(getattr(np, name), getattr(jnp, name), kind)
    for name in ("inv", "solve", "det", "pinv", "cholesky"):
        table[getattr(np.linalg, name)] = _like(getattr(np.linalg, name), getattr(jnp.linalg, name), (0, 1))
    for name in ("shape", "ndim", "size", "iscomplexobj", "isrealobj", "result_type", "can_cast", "min_scalar_type"):
        table[getattr(np, name)] = _meta(getattr(np, name))
    for name in ("transpose", "swapaxes", "moveaxis", "rollaxis", "matrix_transpose", "permute_dims"):
        if hasattr(np, name):
            table[getattr(np, name)] = views.viewing(views.axes_view(getattr(np, name)))
    for name in ("expand_dims", "squeeze", "atleast_1d", "atleast_2d", "atleast_3d"):
        table[getattr(np, name)] = views.viewing(views.shape_view(getattr(np, name)))
    for name in ("split", "array_split", "hsplit", "vsplit"):
        table[getattr(np, name)] = _split(getattr(np, name))
    return table | {
        np.where: _where, np.nonzero: _nonzero, np.flatnonzero: _flatnonzero, np.argwhere: _argwhere, np.ix_: _ix,
        np.clip: _clip, np.dot: _dot, np.outer: _outer, np.round: _round, np.around: _round,
        np.count_nonzero: _count, np.reshape: views.viewing(views.reshape),
        np.ravel: views.viewing(lambda a, order="C": a.ravel(order)), np.flip: views.viewing(views.flip),
        np.fliplr: views.viewing(lambda a: views.flip(a, 1)), np.flipud: views.viewing(lambda a: views.flip(a, 0)),
        np.diagonal: views.viewing(views.shown(np.diagonal)), np.broadcast_to: views.broadcast_to, np.diag: _diag,
        np.rot90: views.viewing(views.shown(np.rot90)), np.nan_to_num: _nan_to_num, np.meshgrid: _meshgrid,
        np.zeros_like: _filled(False), np.empty_like: _filled(False), np.ones_like: _filled(1),
        np.full_like: _filled(None),
        np.copyto: _copyto, np.put: _put, np.putmask: _putmask, np.fill_diagonal: _fill_diagonal, np.copy: _copy,
        np.real: views.viewing(lambda a: a.real), np.imag: views.viewing(lambda a: a.imag),
        np.array_equal: _truth(_array_equal), np.allclose: _truth(_allclose), np.argsort: _argsort,
        np.argpartition: _argpartition, np.sort: _sort, np.partition: _partition, np.take: _take,
        np.linalg.norm: _norm, np.gradient: _gradient, np.tensordot: _tensordot, np.einsum: _einsum,
    }  # fmt: skip


def _place_of_out(function: Callable) -> int | None:
    try:
        parameters = inspect.signature(function).parameters.values()
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except ValueError:
        names = ["a", "b", "out"]  # of functions in C: dot, vdot, inner, concatenate
    return names.index("out") if "out" in names else None


TABLE = _make_table()
OUT_AT = {function: place for function in TABLE if (place := _place_of_out(function)) is not None}
