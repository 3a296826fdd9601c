"""NumPy's rules of types, and NumPy's arithmetic where JAX's differs.

Every operation is computed in the types that NumPy itself resolves (`ufunc.resolve_dtypes`; NEP 50: Python
numbers are weak), so JAX's promotion never decides anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PYTHON = {"b": bool, "i": int, "f": float, "c": complex}


def cast(value: Any, dtype: Any) -> Any:
    """Return `value` as `dtype`, like a C cast: floats that no integer can hold become the smallest one."""
    target = np.dtype(dtype)
    if not isinstance(value, jax.Array):
        with np.errstate(all="ignore"):
            return np.asarray(value).astype(target)
    source = np.dtype(value.dtype)
    if source == target:
        return value
    if source.kind == "c" and target.kind not in "cb":
        return cast(jnp.real(value), target)
    if source.kind == "f" and target.kind in "iu":
        wide = np.dtype(np.int64 if target.itemsize > 2 and target != np.int32 else np.int32)
        info = np.iinfo(wide)
        # 2**63 and 2**31 are exact in every float type but half precision, which never reaches them
        fits = (value >= info.min) & (value < -float(info.min))
        return jnp.where(fits, jnp.where(fits, value, 0).astype(wide), info.min).astype(target)
    if target.kind == "b":
        return value != 0
    return value.astype(target)


def weak(value: object, dtype: np.dtype) -> np.ndarray:
    """Return a Python number in the type that was resolved for it; NumPy's error if it does not fit."""
    return np.asarray(value, dtype) if dtype.kind != "b" else np.asarray(bool(value))


def _floor_divide(a: jax.Array, b: jax.Array) -> jax.Array:
    return _divmod(a, b)[0]


def _remainder(a: jax.Array, b: jax.Array) -> jax.Array:
    return _divmod(a, b)[1]


def _divmod(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Divide like Python: the remainder has the sign of the divisor; integers give 0 for a division by 0."""
    if jnp.issubdtype(a.dtype, jnp.integer):
        safe = jnp.where(b == 0, 1, b)
        return jnp.where(b == 0, 0, jnp.floor_divide(a, safe)), jnp.where(b == 0, 0, jnp.remainder(a, safe))
    rest = jnp.fmod(a, b)
    quotient = (a - rest) / b
    wrong = (rest != 0) & ((b < 0) != (rest < 0))
    rest = jnp.where(rest != 0, jnp.where(wrong, rest + b, rest), jnp.copysign(jnp.zeros_like(rest), b))
    quotient = jnp.where(wrong, quotient - 1, quotient)
    floored = jnp.floor(quotient)
    floored = jnp.where(quotient - floored > 0.5, floored + 1, floored)
    floored = jnp.where(quotient != 0, floored, jnp.copysign(jnp.zeros_like(quotient), a / b))
    return jnp.where(b == 0, a / b, floored), rest


def _fmod(a: jax.Array, b: jax.Array) -> jax.Array:
    if jnp.issubdtype(a.dtype, jnp.integer):
        return jnp.where(b == 0, 0, jnp.fmod(a, jnp.where(b == 0, 1, b)))
    return jnp.fmod(a, b)


def _shift(function: Callable, a: jax.Array, b: jax.Array) -> jax.Array:
    bits = a.dtype.itemsize * 8
    far = jnp.where(a < 0, -1, 0).astype(a.dtype) if function is jnp.right_shift else jnp.zeros_like(a)
    return jnp.where((b >= 0) & (b < bits), function(a, jnp.clip(b, 0, bits - 1)), far)


def _or(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.logical_or(a, b) if a.dtype == bool else jnp.add(a, b)


def _and(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.logical_and(a, b) if a.dtype == bool else jnp.multiply(a, b)


def _matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    if a.dtype == bool:
        return jnp.matmul(a.astype(np.int32), b.astype(np.int32)) > 0
    return jnp.matmul(a, b, precision="highest")


def _modf(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.where(jnp.isinf(a), jnp.copysign(0.0, a).astype(a.dtype), a - jnp.trunc(a)), jnp.trunc(a)


_SAME = """subtract negative positive absolute sign rint floor ceil trunc exp exp2 expm1 log log2 log10 log1p
sqrt square cbrt reciprocal sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh arctan2 hypot
degrees radians deg2rad rad2deg maximum minimum fmax fmin greater greater_equal less less_equal equal not_equal
logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor invert isnan isinf isfinite
signbit copysign heaviside logaddexp logaddexp2 conjugate power float_power nextafter"""

UFUNCS: dict[str, Callable] = {name: getattr(jnp, name) for name in _SAME.split()}
UFUNCS |= {
    "add": _or,
    "multiply": _and,
    "divide": jnp.true_divide,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "divmod": _divmod,
    "fmod": _fmod,
    "fabs": jnp.abs,
    "matmul": _matmul,
    "left_shift": lambda a, b: _shift(jnp.left_shift, a, b),
    "right_shift": lambda a, b: _shift(jnp.right_shift, a, b),
    "ldexp": jnp.ldexp,
    "modf": _modf,
}


def resolve(ufunc: np.ufunc, kinds: list, dtype: Any = None) -> tuple[np.dtype, ...]:
    """Return the types in which NumPy would compute; NumPy's own TypeError where there is no loop.

    Arguments:
        ufunc: the NumPy function.
        kinds: a NumPy type for each input, or a Python type for a weak number.
        dtype: the user's `dtype=`.

    >>> [str(d) for d in resolve(np.add, [np.dtype("f4"), float])]
    ['float32', 'float32', 'float32']
    """
    if all(k is bool or k is int or k is float or k is complex for k in kinds):
        kinds = [np.dtype(k) for k in kinds]
    kinds = [np.dtype(bool) if k is bool else k for k in kinds]
    given = (*kinds, *([None] * ufunc.nout))
    if dtype is None:
        return ufunc.resolve_dtypes(given)
    signature = (*([None] * ufunc.nin), *([np.dtype(dtype)] * ufunc.nout))
    return ufunc.resolve_dtypes(given, signature=signature, casting="same_kind")
