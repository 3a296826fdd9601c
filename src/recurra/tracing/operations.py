"""Do what NumPy does with boxes: elementwise functions, functions of arrays, casts, and the making of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeGuard

import jax.numpy as jnp
import numpy as np

from recurra.tracing import ahead, boxes, functions, masked, products, rows
from recurra.tracing.promotion import PYTHON, UFUNCS, cast, resolve, weak
from recurra.tracing.session import Session, as_value, is_traced

MOST_COMPARED = 1 << 16  # bytes


class Operand(NamedTuple):
    """One input of an operation.

    Attributes:
        value: a traced value, an array, a NumPy scalar, or a Python number.
        sources: the slots it depends on.
        weak: whether it is a Python number, whose type gives way to an array's.
    """

    value: Any
    sources: frozenset[str]
    weak: bool

    @property
    def kind(self) -> Any:
        """Return the type as `resolve` wants it."""
        if not self.weak:
            return np.dtype(as_value(self.value).dtype)  # type: ignore[attr-defined]
        return PYTHON[self.value.dtype.kind] if hasattr(self.value, "dtype") else _python_type(self.value)

    def as_type(self, dtype: np.dtype) -> Any:
        """Return the value in the type that was resolved for it."""
        if self.weak and not is_traced(self.value):
            plain = self.value.item() if isinstance(self.value, np.ndarray) else self.value
            return weak(plain, dtype)
        return cast(self.value, dtype)


def _python_type(value: object) -> type:
    return next(t for t in (bool, int, float, complex) if isinstance(value, t))


def is_box(value: object) -> TypeGuard[boxes.Box]:
    """Tell whether a value is a `Box`; `isinstance` with NumPy's types says what the box stands for."""
    return type(value) is boxes.Box


def is_masked(value: object) -> TypeGuard[masked.Masked]:
    """Tell whether a value is a `Masked`."""
    return type(value) is masked.Masked


def is_ours(value: object) -> bool:
    """Tell whether a value is a stand-in."""
    return is_box(value) or is_masked(value)


def holds_ours(value: object) -> bool:
    """Tell whether a value is a stand-in or a sequence with one in it."""
    if isinstance(value, list | tuple):
        return any(holds_ours(v) for v in value)
    return is_ours(value)


def wrap(session: Session, value: Any, sources: frozenset[str], kind: str | None = None) -> boxes.Box:
    """Wrap a computed value; what has no axes is a scalar."""
    session.computed()
    return boxes.Box(session, value if is_traced(value) else np.asarray(value), sources, kind)


def operand(session: Session, value: object) -> Operand:
    """Describe one input; TypeError for what is no number or array."""
    if is_box(value):
        return Operand(value._read(), value._sources(), value._kind == "python")
    if is_masked(value):
        raise session.refuse("values picked by a traced mask are not understood here")
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "biufc":
            raise session.refuse(f"an array of type {value.dtype} together with traced values")
        return Operand(value, frozenset(), False)
    if isinstance(value, bool | int | float | complex):
        return Operand(value, frozenset(), True)
    if isinstance(value, list | tuple):
        made = build(session, value)
        return operand(session, made)
    if is_traced(value):
        return Operand(value, frozenset({""}), False)
    raise TypeError(f"unsupported operand: {type(value).__name__}")


def value_of(session: Session, value: object) -> Any:
    """Return the array or traced value of anything numeric."""
    return as_value(operand(session, value).value)


def sources_of(session: Session, value: object) -> frozenset[str]:
    """Return the slots that anything numeric depends on."""
    if is_ours(value):
        return value._sources()  # type: ignore[attr-defined]
    if isinstance(value, list | tuple):
        return frozenset().union(*(sources_of(session, v) for v in value))
    return frozenset()


def build(session: Session, values: Iterable, dtype: object = None) -> Any:
    """Make an array of a nested list in which there may be boxes."""
    values = list(values)
    if not any(holds_ours(v) for v in values):
        return np.asarray(values, dtype)  # type: ignore[arg-type]
    parts = [build(session, v) if isinstance(v, list | tuple) else v for v in values]
    found = [operand(session, p) for p in parts]
    model = np.result_type(*(np.zeros(1, p.kind) for p in found)) if dtype is None else np.dtype(dtype)  # type: ignore
    shapes = {np.shape(p.value) for p in found}
    if len(shapes) != 1:
        raise ValueError("setting an array element with a sequence: the elements have different shapes")
    stacked = [cast(as_value(p.value), model) for p in found]
    joint = jnp.stack([jnp.asarray(s) for s in stacked]) if any(map(is_traced, stacked)) else np.stack(stacked)
    return wrap(session, joint, frozenset().union(*(p.sources for p in found)), "array")


# -- elementwise functions -----------------------------------------------------------------------------------------


def operator(session: Session, ufunc: np.ufunc, inputs: tuple, target: Any = None) -> Any:
    """Do one of Python's operators; on Python numbers alone it follows Python's rules."""
    for value in inputs:
        numeric = isinstance(value, np.ndarray | np.generic | bool | int | float | complex | list | tuple)
        if not (is_ours(value) or numeric or is_traced(value)):
            return NotImplemented
    if is_box(target) and target._kind == "array":
        return apply_ufunc(session, ufunc, "__call__", inputs, {"out": (target,)})
    if is_masked(target):
        return apply_ufunc(session, ufunc, "__call__", inputs, {"out": (target,)})
    if all(not is_masked(i) and not isinstance(i, list | tuple) and operand(session, i).weak for i in inputs):
        made = _python_operator(session, ufunc, [operand(session, i) for i in inputs])
        return ahead.follow(session, made, ufunc, inputs)
    return apply_ufunc(session, ufunc, "__call__", inputs, {})


_LOGIC = {"bitwise_and", "bitwise_or", "bitwise_xor"}


def _python_operator(session: Session, ufunc: np.ufunc, found: list[Operand]) -> Any:
    integers = all(f.kind in (bool, int) for f in found)
    if integers and not (ufunc.__name__ in _LOGIC and all(f.kind is bool for f in found)):
        found = [Operand(cast(as_value(f.value), np.int64), f.sources, True) for f in found]
    if ufunc is np.power and integers:
        exponent = found[1].value
        if is_traced(exponent):
            raise session.refuse("an integer raised to a traced integer: the type of the result depends on its sign")
        if exponent < 0:
            found = [Operand(cast(as_value(f.value), np.float64), f.sources, True) for f in found]
    results, sources = compute(session, ufunc, tuple(found), None)
    _guard_python(session, ufunc.__name__, found, integers)
    wrapped = tuple(wrap(session, r, sources, "python") for r in results)
    return wrapped[0] if len(wrapped) == 1 else wrapped


_GROWING: dict[str, Callable] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "power": lambda a, b: a**b, "left_shift": lambda a, b: a * 2.0**b,
}  # fmt: skip
_DIVIDING = {"divide", "true_divide", "floor_divide", "remainder", "divmod"}
_SMALL = 1 << 31  # what is added in a step cannot make 2**62 larger than 2**63 in any run


def _guard_python(session: Session, name: str, found: list[Operand], integers: bool) -> None:
    """Let numbers of Python be guarded: they never overflow, and division by 0 is an error."""
    if not any(is_traced(f.value) for f in found):
        return
    if name in _DIVIDING and is_traced(found[1].value):
        session.guard(found[1].value == 0, "a division of Python's numbers by zero")
    if not integers or name not in _GROWING:
        return
    if name in ("add", "subtract") and any(not is_traced(f.value) and abs(int(f.value)) < _SMALL for f in found):
        return
    first, second = (jnp.asarray(f.value, np.float64) for f in found)
    grown = jnp.abs(_GROWING[name](first, second))
    session.guard(~(grown < 2.0**63 * (1 - 2.0**-50)), "a whole number of Python grows beyond 64 bits")


def compute(
    session: Session, ufunc: np.ufunc, found: tuple[Operand, ...], dtype: object
) -> tuple[tuple[Any, ...], frozenset[str]]:
    """Apply a NumPy function in the types that NumPy resolves.

    Returns:
        The results, and the slots they depend on.
    """
    sources = frozenset().union(*(f.sources for f in found))
    types = resolve(ufunc, [f.kind for f in found], dtype)
    values = [f.as_type(t) for f, t in zip(found, types, strict=False)]
    if not any(map(is_traced, values)):
        results = ufunc(*values, dtype=types[-1] if dtype is not None else None)
        return (results if isinstance(results, tuple) else (results,)), sources
    if ufunc.__name__ not in UFUNCS:
        raise session.refuse(f"numpy.{ufunc.__name__} is not in the table of functions that can be compiled")
    np.broadcast_shapes(*map(np.shape, values))  # raises NumPy's error
    if ufunc is np.power and types[0].kind in "iu":
        _check_exponent(session, found[1])

    def make() -> Any:
        if ufunc is np.power and not is_traced(values[1]) and values[1].ndim == 0 and types[0].kind in "fc":
            return _power(values[0], float(values[1].real) if not values[1].imag else None, values[1])
        return UFUNCS[ufunc.__name__](*values)

    key = (ufunc.__name__, *map(str, types), *map(_identity, values))
    made = session.memo(key, tuple(values), make)
    results = made if isinstance(made, tuple) else (made,)
    results = tuple(cast(r, t) for r, t in zip(results, types[len(found) :], strict=True))
    rows.remember(session, ufunc, [f.value for f in found], values, types, results[0])
    return results, sources


def _identity(value: Any) -> Any:
    """Return what is equal for equal values: the object where it is traced or big, the numbers otherwise."""
    if is_traced(value):
        return id(value)
    value = np.asarray(value)
    # An ordinary array may be the user's, who may change it in place: its numbers count, not the object.
    return id(value) if value.nbytes > MOST_COMPARED else ("numbers", value.dtype.str, value.shape, value.tobytes())


def _power(base: Any, exponent: float | None, given: Any) -> Any:
    if exponent == 2:
        return jnp.square(base)
    if exponent == 0.5:
        return jnp.sqrt(base)
    if exponent == 1:
        return jnp.asarray(base)
    if exponent is not None and exponent == int(exponent) and abs(exponent) <= 8:
        return jnp.power(base, int(exponent))
    return jnp.power(base, given)


def _check_exponent(session: Session, exponent: Operand) -> None:
    if is_traced(exponent.value):
        raise session.refuse("an integer power with a traced exponent: NumPy refuses negative ones when it runs")
    if np.any(np.asarray(exponent.value) < 0):
        raise ValueError("Integers to negative integer powers are not allowed.")


def check_cast(ufunc: np.ufunc, found: Iterable[Operand], made: np.dtype, target: np.dtype) -> None:
    """Raise NumPy's own error where a result may not be stored in place."""
    if not np.can_cast(made, target, "same_kind"):
        dummies = [np.ones(1, f.kind) if not f.weak else f.kind(1) for f in found]
        ufunc(*dummies, out=np.ones(1, target))
        raise TypeError(f"Cannot cast ufunc {ufunc.__name__!r} output from {made!r} to {target!r}")


def apply_ufunc(session: Session, ufunc: np.ufunc, method: str, inputs: tuple, options: dict) -> Any:
    """Do `ufunc(...)`, or one of its methods, where at least one input or output is a stand-in."""
    if method != "__call__":
        return _ufunc_method(session, ufunc, method, inputs, options)
    options = {name: value for name, value in options.items() if value is not None}
    out = options.pop("out", (None,))
    out = out if isinstance(out, tuple) else (out,)
    where, dtype = options.pop("where", True), options.pop("dtype", None)
    options.pop("casting", None)
    if options:
        raise session.refuse(f"the option {next(iter(options))!r} of numpy.{ufunc.__name__}")
    if ufunc is np.matmul and any(map(is_masked, inputs)) and all(o is None for o in out):
        return products.dot(session, *inputs, matmul=True)
    if any(map(is_masked, (*inputs, *out))):
        if where is not True or any(o is not None and not is_masked(o) for o in out) or ufunc.signature:
            raise session.refuse(f"numpy.{ufunc.__name__} of values picked by a traced mask")
        return masked.elementwise(session, ufunc, inputs, dtype, out[0])
    if ufunc is np.matmul:
        made = products.dot(session, *inputs, matmul=True)
        found, results, sources = tuple(operand(session, i) for i in inputs), (made._read(),), made._sources()
    else:
        found = tuple(operand(session, i) for i in inputs)
        if len(out) == 1 and dtype is None and where is True and _change_rows(session, ufunc, inputs, found, out[0]):
            return out[0]
        results, sources = compute(session, ufunc, found, dtype)
    if all(o is None for o in out):
        if where is not True:
            raise session.refuse("where= without out=: the other elements are undefined")
        wrapped = tuple(wrap(session, r, sources) for r in results)
        return ahead.follow(session, wrapped[0], ufunc, inputs) if len(wrapped) == 1 else wrapped
    for target, result in zip(out, results, strict=True):
        store(session, ufunc, found, target, result, sources, where)
    return out[0] if len(out) == 1 else out


def _change_rows(session: Session, ufunc: np.ufunc, inputs: tuple, found: tuple, target: Any) -> bool:
    """Do `matrix += values` row by row where most rows stay as they are; tell whether it was done."""
    if not is_box(target) or len(inputs) != 2 or inputs[0] is not target or target._parent is not None:
        return False
    types = resolve(ufunc, [f.kind for f in found])
    if not np.can_cast(types[-1], target.dtype, "same_kind"):
        return False
    made = rows.change(session, ufunc, found[0].value, found[1].value, types[0])
    if made is None:
        return False
    target._write(made, found[0].sources | found[1].sources)
    return True


def store(
    session: Session, ufunc: np.ufunc, found: tuple, target: Any, result: Any, sources: frozenset[str], where: Any
) -> None:
    """Put the result of a function into the array given as `out=`."""
    if target is None:
        return
    if not is_box(target):
        raise session.refuse(
            "a traced value is stored in an ordinary NumPy array, which is not an attribute of the model"
        )
    check_cast(ufunc, found, np.dtype(as_value(result).dtype), target.dtype)
    shape = np.broadcast_shapes(np.shape(result), target.shape)
    if shape != target.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {target.shape} doesn't match the broadcast shape {shape}"
        )
    new = cast(result, target.dtype)
    new = jnp.broadcast_to(new, shape) if is_traced(new) else np.broadcast_to(new, shape)
    if where is not True:
        chosen = operand(session, where)
        sources |= chosen.sources
        new = jnp.where(as_value(chosen.value), new, target._read())
    target._write(new, sources)


_REDUCTIONS = {
    "add": np.sum,
    "multiply": np.prod,
    "maximum": np.max,
    "minimum": np.min,
    "logical_and": np.all,
    "logical_or": np.any,
}
_SUMS = {"add": np.cumsum, "multiply": np.cumprod}
_AT = {"add": "add", "subtract": "add", "multiply": "multiply", "maximum": "max", "minimum": "min"}


def _ufunc_method(session: Session, ufunc: np.ufunc, method: str, inputs: tuple, options: dict) -> Any:
    name = ufunc.__name__
    if method == "reduce" and name in _REDUCTIONS:
        options = {"axis": 0} | {k: v for k, v in options.items() if v is not None or k == "axis"}
        out = options.pop("out", None)
        return apply_function(session, _REDUCTIONS[name], inputs, options | ({"out": out[0]} if out else {}))
    if method == "accumulate" and name in _SUMS:
        return apply_function(session, _SUMS[name], inputs, {"axis": 0} | options)
    if method == "outer":
        first, second = (i if is_box(i) else build_array(session, i) for i in inputs)
        shape = (*first.shape, *([1] * second.ndim))
        return apply_ufunc(session, ufunc, "__call__", (first.reshape(shape), second), options)
    if method == "at" and name in _AT and is_box(inputs[0]):
        return _at(session, ufunc, *inputs)
    raise session.refuse(f"numpy.{name}.{method}")


def _at(session: Session, ufunc: np.ufunc, array: boxes.Box, index: object, value: object = None) -> None:
    """Do `ufunc.at`: every index counts, also those named twice."""
    from recurra.tracing import indexing

    found, sources = indexing.entries(session, index, array.ndim)
    given = value_of(session, value) if not is_masked(value) else value
    whole = all(isinstance(e, slice) for e in found)
    if whole or any(is_masked(e) or (is_traced(e) and e.dtype == bool) for e in found) or is_masked(given):
        new = operator(session, ufunc, (array[index], value))  # places under a mask, or in slices, are all different
        array[index] = new
        return
    types = resolve(ufunc, [array.dtype, operand(session, value).kind])
    if not np.can_cast(types[-1], array.dtype, "same_kind"):
        ufunc.at(np.ones(1, array.dtype), [0], np.ones(1, given.dtype))
    given = cast(given, array.dtype)
    at = jnp.asarray(array._read()).at[tuple(found)]
    new = getattr(at, _AT[ufunc.__name__])(-given if ufunc is np.subtract else given)
    array._write(new, sources | sources_of(session, value))


# -- functions of arrays -------------------------------------------------------------------------------------------


def call(array: Any, function: Callable, *args: Any, **options: Any) -> Any:
    """Call a NumPy function on a stand-in; options that are None are left out, except an axis."""
    kept = {k: v for k, v in options.items() if v is not None and not (k == "keepdims" and v is False)}
    return apply_function(array._session, function, (array, *args), kept)


def apply_function(session: Session, function: Callable, args: tuple, kwargs: dict) -> Any:
    """Do a NumPy function that got a stand-in somewhere in its arguments."""
    function = getattr(function, "original", function)  # NumPy's makers of arrays are replaced while tracing
    handler = functions.TABLE.get(function)
    if handler is None:
        name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"
        known = _all_known(session, args, kwargs)
        if known is None:
            raise session.refuse(f"{name} is not in the table of functions that can be compiled")
        return rewrap(session, function(*known[0], **known[1]))
    args, out = _taken_out(session, function, args, kwargs)
    result = handler(session, args, kwargs)
    if out is None:
        return result
    if is_masked(result):
        raise session.refuse("values picked by a traced mask are stored with out=")
    store(session, np.positive, (operand(session, result),), out, result._read(), result._sources(), True)
    return out


def _taken_out(session: Session, function: Callable, args: tuple, kwargs: dict) -> tuple[tuple, Any]:
    """Return the arguments without `out`, and this; it may stand among them without its name."""
    place = functions.OUT_AT.get(function, len(args))
    if len(args) <= place or args[place] is None:
        return args, kwargs.pop("out", None)
    if len(args) > place + 1:
        raise session.refuse(f"numpy.{getattr(function, '__name__', function)} with arguments after out, without names")
    return args[:place], args[place]


def _all_known(session: Session, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    """Return the arguments as ordinary arrays, or None if one of them is traced."""
    late = False

    def plain(value: Any) -> Any:
        nonlocal late
        if is_box(value):
            late = late or is_traced(value._peek())
            return None if late else (value._plain("a number") if value._kind != "array" else value._read())
        if is_masked(value):
            late = True
        if isinstance(value, list | tuple) and holds_ours(value):
            return type(value)(plain(v) for v in value)
        return value

    plain_args = tuple(plain(a) for a in args)
    plain_kwargs = {k: plain(v) for k, v in kwargs.items()}
    return None if late else (plain_args, plain_kwargs)


def rewrap(session: Session, value: Any) -> Any:
    """Wrap what an ordinary NumPy function returned; arrays become boxes, so that traced values fit into them."""
    if isinstance(value, np.ndarray):
        return wrap(session, value, frozenset(), "array")
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(rewrap(session, v) for v in value)
    return value


def build_array(session: Session, value: object, dtype: object = None) -> boxes.Box:
    """Make a box of anything numeric, as `np.asarray` does; boxes stay what they are."""
    made = build(session, value, dtype) if isinstance(value, list | tuple) else value
    if not is_box(made):
        found = operand(session, made)
        made = wrap(session, as_value(found.value), found.sources, "array")
    if dtype is not None and made.dtype != np.dtype(dtype):  # type: ignore[arg-type]
        return astype(made, dtype, "unsafe")
    return made


def astype(array: boxes.Box, dtype: object, casting: str = "unsafe") -> boxes.Box:
    """Return a copy in another type."""
    target = np.dtype(dtype)  # type: ignore[arg-type]
    if target.kind not in "biufc":
        raise array._session.refuse(f"a cast to {target}")
    if not np.can_cast(array.dtype, target, casting):  # type: ignore[arg-type]
        np.zeros(1, array.dtype).astype(target, casting=casting)  # type: ignore[call-overload]
    kind = "scalar" if array._kind == "python" else array._kind
    return wrap(array._session, cast(array._read(), target), array._sources(), kind)


def model_dtype(function: Callable, *args: Any, **kwargs: Any) -> np.dtype:
    """Return the type NumPy gives, found by calling the function on small arrays of the same types."""
    small = [np.ones((1,), a) if isinstance(a, np.dtype) else a for a in args]
    small = [s for s in small if s is not None]
    with np.errstate(all="ignore"):
        if len(small) == 2 and not isinstance(small[1], np.ndarray):
            return np.dtype(function(small[0], dtype=small[1]).dtype)
        return np.dtype(function(*small, **kwargs).dtype)
