"""The functions of the equation language, each with a JAX and a NumPy implementation.

The two are written apart from each other, so that one can be held against the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurra.equations import slopes
from recurra.errors import ShapeError

Work = Callable[..., Any]


@dataclass(frozen=True)
class Function:
    """Describe a function of the equation language.

    Arguments:
        name: its first name; the table may hold it under other names too.
        arity: least and greatest number of arguments; `None` for any number.
        jax: works on JAX arrays and Python numbers.
        numpy: works on NumPy arrays and Python numbers.
        latex: how its name is set in LaTeX.
        elementwise: whether entry i of the result depends on entry i of the arguments only.

    >>> exprel = FUNCTIONS["exprel"]  # (exp(x) - 1) / x, and 1 where x is 0
    >>> exprel.arity, exprel.numpy(np.array([0.0, 1.0])).round(6).tolist()
    ((1, 1), [1.0, 1.718282])
    """

    name: str
    arity: tuple[int, int | None]
    jax: Work
    numpy: Work
    latex: str
    elementwise: bool = True


Row = tuple[Function, tuple[str, ...]]  # a function and its other names


def is_number(value: object) -> bool:
    """Tell whether a value is a plain Python number, which takes the precision of what it meets."""
    return type(value) in (bool, int, float, complex)


def to_index(value: Any, array_module: Any) -> Any:
    """Return `value` as an index: a Python int if it is a plain number, else an array of integers.

    Raises:
        ShapeError: the number is not a whole one.
    """
    if is_number(value):
        if isinstance(value, complex) or not float(value).is_integer():
            raise ShapeError(f"an index must be a whole number, got {value}; counted from 0")
        return int(value)
    array = array_module.asarray(value)
    return array if array.dtype.kind in "iu" else array.astype(array_module.int32)


def take(value: Any, indices: tuple[Any, ...]) -> Any:
    """Take `value[indices]` of a JAX array; a traced index that is out of range gives NaN.

    Raises:
        ShapeError: there are more indices than axes, or a literal index is out of range.
    """
    array = jnp.asarray(value)
    where = tuple(to_index(i, jnp) for i in indices)
    if len(where) > array.ndim:
        raise ShapeError(f"{len(where)} indices into an array of {array.ndim} axes (shape {array.shape})")
    for size, i in zip(array.shape, where, strict=False):
        if isinstance(i, int) and not -size <= i < size:
            raise ShapeError(f"index {i} into {size} entries; the indices run from 0 to {size - 1}")
    # JAX would clamp an index that is out of range, which is a wrong number without a sign.
    return array.at[where].get(mode="fill")


def _abs(x: Any) -> Any:
    # The derivative at 0 is sign(0) = 0; that of jnp.abs is 1.
    return jnp.abs(x) if jnp.iscomplexobj(x) else x * jnp.sign(x)


def _limits(start: Any, stop: Any) -> slice:
    if not (is_number(start) and is_number(stop)):
        raise ShapeError("index_range needs plain numbers as limits, since they fix the length of the result")
    return slice(to_index(start, np), to_index(stop, np))


def _maximum(a: Any, b: Any) -> Any:
    # At a tie with a literal the derivative is the literal's, 0; jnp.maximum would give 0.5.
    if is_number(a):
        a, b = b, a
    if is_number(b):
        return jnp.where((a > b) | jnp.isnan(a), a, b)
    return jnp.maximum(a, b)


def _minimum(a: Any, b: Any) -> Any:
    if is_number(a):
        a, b = b, a
    if is_number(b):
        return jnp.where((a < b) | jnp.isnan(a), a, b)
    return jnp.minimum(a, b)


# Up to x**16 the series is exact to rounding for |x| < 0.5, its first two derivatives too.
_EXPREL_SERIES = tuple(1.0 / math.factorial(k + 1) for k in range(16, -1, -1))


def _exprel(x: Any) -> Any:
    """Compute (exp(x) - 1)/x without a hole at 0; expm1(x)/x loses its derivatives near 0."""
    small = jnp.abs(x) < 0.5
    near, far = jnp.where(small, x, 0.0), jnp.where(small, 1.0, x)
    series: Any = _EXPREL_SERIES[0]
    for coefficient in _EXPREL_SERIES[1:]:
        series = series * near + coefficient
    return jnp.where(small, series, jnp.expm1(far) / far)


def _exprel_numpy(x: Any) -> Any:
    x = np.asarray(x)
    safe = np.where(x == 0, 1, x)
    return np.where(x == 0, 1, np.expm1(safe) / safe).astype(safe.dtype)


def _heaviside(x: Any) -> Any:
    return jnp.where(x < 0, 0.0, jnp.where(x >= 0, 1.0, x))  # the last x lets NaN through


def _sigmoid_numpy(x: Any) -> Any:
    e = np.exp(np.where(np.real(x) >= 0, np.negative(x), x))
    return np.where(np.real(x) >= 0, 1 / (1 + e), e / (1 + e))


def _erf_numpy(x: Any) -> Any:
    x = np.asarray(x)
    return np.vectorize(math.erf, otypes=[float])(x).astype(x.dtype if x.dtype.kind == "f" else float)


def _log_softmax_numpy(x: Any) -> Any:
    shifted = np.atleast_1d(x) - np.max(x)
    return shifted - np.log(np.sum(np.exp(shifted)))


def _softmax_numpy(x: Any) -> Any:
    return np.exp(_log_softmax_numpy(x))


def _over_units(module: Any, name: str) -> Work:
    def reduce(x: Any) -> Any:
        return getattr(module, name)(module.atleast_1d(x), axis=-1)

    return reduce


def _join(module: Any) -> Work:
    return lambda *parts: module.concatenate([module.atleast_1d(p) for p in parts], axis=-1)


def _axis_of(module: Any) -> Work:
    def index_axis(x: Any, i: Any = None, axis: Any = 0.0) -> Any:
        if i is None:
            return module.asarray(x)
        return module.take(module.asarray(x), to_index(i, module), axis=to_index(axis, module))

    return index_axis


# Their slopes are infinite somewhere, though values, or what is computed of them, are finite.
_STEEP = (
    "sinh", "cosh", "exp", "expm1", "sqrt", "log", "log10", "log2", "log1p", "arcsin", "arccos", "arccosh", "arctanh",
)  # fmt: skip


def _identity(x: Any) -> Any:
    return x


def _elementwise() -> list[Row]:
    """List the elementwise functions with their other names."""

    def own(name: str, in_jax: Work, in_numpy: Work, other: str = "", arity: int = 1, latex: str = "") -> Row:
        latex = latex or rf"\operatorname{{{name}}}"
        return Function(name, (arity, arity), in_jax, in_numpy, latex), tuple(other.split())

    def plain(name: str, latex: str = "", other: str = "", arity: int = 1) -> Row:
        in_jax = getattr(jnp, name)
        return own(name, slopes.tamed(in_jax) if name in _STEEP else in_jax, getattr(np, name), other, arity, latex)

    known_to_latex = [plain(n, "\\" + n) for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp")]
    inverse = [plain("arc" + n, "\\arc" + n, "a" + n) for n in ("sin", "cos", "tan")]
    inverse += [plain("arc" + n, other="a" + n) for n in ("sinh", "cosh", "tanh")]
    inverse += [own("arctan2", slopes.arctan2, np.arctan2, "atan2", 2)]
    logs = [plain("log", r"\ln"), plain("log10", r"\log_{10}"), plain("log2", r"\log_{2}")]
    logs += [plain("log1p"), plain("expm1")]
    steps = [plain(n) for n in ("sign", "floor", "ceil", "round", "square")]
    parts = [plain("real", r"\Re"), plain("imag", r"\Im"), plain("conj"), plain("angle", r"\arg")]
    return [
        *known_to_latex, *inverse, *logs, *steps, *parts,
        plain("sqrt"),
        own("abs", _abs, np.abs, "absv"),
        plain("mod", r"\operatorname{mod}", arity=2),
        own("maximum", _maximum, np.maximum, "maxi max", 2),
        own("minimum", _minimum, np.minimum, "mini min", 2),
        own("clip", lambda x, a, b: _minimum(_maximum(x, a), b),
            lambda x, a, b: np.minimum(np.maximum(x, a), b), arity=3),
        own("where", jnp.where, np.where, arity=3),
        own("heaviside", _heaviside, lambda x: np.heaviside(x, 1)),
        own("sigmoid", jax.nn.sigmoid, _sigmoid_numpy),
        own("softplus", jax.nn.softplus, lambda x: np.logaddexp(x, 0)),
        own("relu", jax.nn.relu, lambda x: np.maximum(x, 0)),
        own("erf", jax.scipy.special.erf, _erf_numpy),
        own("exprel", slopes.tamed(_exprel), _exprel_numpy),
        own("no_op", _identity, _identity, "identity"),
    ]  # fmt: skip


def _over_the_node() -> list[Row]:
    """List the functions that mix the units of a node, with their other names."""

    def mixing(
        name: str, arity: tuple[int, int | None], in_jax: Work, in_numpy: Work, other: str = ""
    ) -> Row:
        latex = rf"\operatorname{{{name}}}".replace("_", r"\_")
        return Function(name, arity, in_jax, in_numpy, latex, elementwise=False), tuple(other.split())

    def reduction(name: str, other: str = "") -> Row:
        return mixing(name, (1, 1), _over_units(jnp, name), _over_units(np, name), other)

    return [
        mixing("softmax", (1, 1), lambda x: jax.nn.softmax(jnp.atleast_1d(x)), _softmax_numpy),
        mixing("softmin", (1, 1), lambda x: jax.nn.softmax(-jnp.atleast_1d(x)),
               lambda x: _softmax_numpy(np.negative(x))),
        mixing("log_softmax", (1, 1), lambda x: jax.nn.log_softmax(jnp.atleast_1d(x)), _log_softmax_numpy),
        reduction("mean"), reduction("sum", "vsum"), reduction("std"), reduction("var"),
        mixing("roll", (2, 2), lambda x, n: jnp.roll(jnp.atleast_1d(x), to_index(n, jnp), axis=-1),
               lambda x, n: np.roll(np.atleast_1d(x), to_index(n, np), axis=-1)),
        mixing("matmul", (2, 2), jnp.matmul, np.matmul, "matvec"),
        mixing("index", (2, 2), lambda x, i: take(x, (i,)), lambda x, i: np.asarray(x)[to_index(i, np)]),
        mixing("index_2d", (3, 3), lambda x, i, j: take(x, (i, j)),
               lambda x, i, j: np.asarray(x)[to_index(i, np), to_index(j, np)]),
        mixing("index_range", (3, 3), lambda x, i, j: jnp.asarray(x)[_limits(i, j)],
               lambda x, i, j: np.asarray(x)[_limits(i, j)]),
        mixing("index_axis", (1, 3), _axis_of(jnp), _axis_of(np)),
        mixing("interp", (3, 3), jnp.interp, np.interp),
        mixing("concatenate", (1, None), _join(jnp), _join(np)),
    ]  # fmt: skip


#: Every function of the language by each of its names. Read-only: a new function is a change to this file.
FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        name: function
        for function, others in _elementwise() + _over_the_node()
        for name in (function.name, *others)
    }
)
