"""Elementary functions whose derivatives stay finite where their values do, and values as in `jax.numpy`, bit for bit.

Reverse mode multiplies slopes. Where one of them is infinite and the next is 0, as in `1/(1 + exp(800))` or
`sqrt(x^2)` at 0, the product would be NaN though finite differences find a finite number. Here a slope that is
infinite or does not exist counts as 0, as that of a kink does (`abs`, `relu`): where a number overflows, what comes
after it does not depend on it any more, and at a single point, as 0 for a root, every other slope is as good as this
one. Where that hides a model without derivatives, as `sqrt(-1)`, the value tells.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

Work = Callable[..., Any]


def tamed(function: Work) -> Work:
    """Give a function of one argument finite slopes.

    Arguments:
        function: elementwise, of JAX; of complex numbers it stays as it is.

    Returns:
        The function with the same values.

    >>> float(jax.grad(lambda x: 1.0 / (1.0 + tamed(jnp.exp)(x)))(800.0))
    -0.0
    >>> float(jax.grad(lambda x: tamed(jnp.sqrt)(x**2))(0.0))
    0.0
    """

    def work(x: Any) -> Any:
        return _tamed(function, x) if _is_real(x) else function(x)

    return work


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _tamed(function: Work, x: Any) -> Any:
    return function(x)


@_tamed.defjvp
def _tamed_slope(function: Work, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    (x,), (tangent,) = primals, tangents
    value, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
    return value, _finite(slope) * tangent


def divide(a: Any, b: Any) -> Any:
    """Divide; the slope in `b` is `-(a/b)/b`, which is 0 where `b` is infinite and finite where `b^2` underflows.

    >>> [float(jax.grad(divide, i)(1.0, float("inf"))) for i in (0, 1)]
    [0.0, -0.0]
    """
    if not isinstance(b, jax.Array) or not (_is_real(a) and _is_real(b)):
        return a / b
    return _divide(a, b)


@jax.custom_jvp
def _divide(a: Any, b: Any) -> Any:
    return a / b


@partial(_divide.defjvp, symbolic_zeros=True)
def _divide_slope(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    a, b = primals
    value = _divide(a, b)
    slopes = (lambda t: t / b, lambda t: -(_finite(value / b) * t))
    return value, _total(value, tangents, slopes)


def multiply(a: Any, b: Any) -> Any:
    """Multiply numbers of which one may have overflowed.

    >>> float(jax.grad(lambda k: 1.0 / (1.0 + multiply(k, jnp.exp(800.0))))(1.0))
    -0.0
    """
    return _multiply(a, b) if _is_real(a) and _is_real(b) else a * b


@jax.custom_jvp
def _multiply(a: Any, b: Any) -> Any:
    return a * b


@partial(_multiply.defjvp, symbolic_zeros=True)
def _multiply_slope(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    a, b = primals
    value = _multiply(a, b)
    return value, _total(value, tangents, (lambda t: _finite(b) * t, lambda t: _finite(a) * t))


def power(base: Any, exponent: Any, growing: bool = False) -> Any:
    """Raise to a power.

    Products instead of pow for small whole numbers: equal to NumPy's x**2 to the last bit.

    Arguments:
        base, exponent: numbers or arrays.
        growing: the base may have overflowed, so that its square has an infinite slope.

    >>> float(jax.grad(lambda x: power(power(x, 2.0), 0.5))(0.0))
    0.0
    >>> float(jax.grad(lambda x: divide(1.0, power(tamed(jnp.exp)(x), 2.0, growing=True)))(800.0))
    -0.0
    """
    if type(exponent) is float and exponent in (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0):
        inexact = base if jnp.issubdtype(base.dtype, jnp.inexact) else base * 1.0
        whole = partial(jax.lax.integer_pow, y=int(exponent))
        plain = exponent in (0.0, 1.0) or (exponent == 2.0 and not growing)
        return whole(inexact) if plain else tamed(whole)(inexact)
    if not (_is_real(base) and _is_real(exponent)):
        return jnp.power(base, exponent)
    return _power(base, exponent)


@jax.custom_jvp
def _power(base: Any, exponent: Any) -> Any:
    return jnp.power(base, exponent)


@partial(_power.defjvp, symbolic_zeros=True)
def _power_slope(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    value = _power(*primals)

    def slope(position: int) -> Work:
        def times(tangent: Any) -> Any:
            def one(x: Any) -> Any:
                return jnp.power(*(x if i == position else p for i, p in enumerate(primals)))

            x = jnp.broadcast_to(primals[position], value.shape)
            return _finite(jax.jvp(one, (x,), (jnp.ones_like(x),))[1]) * tangent

        return times

    return value, _total(value, tangents, (slope(0), slope(1)))


@jax.custom_jvp
def arctan2(y: Any, x: Any) -> Any:
    """Return the angle of a point; at the origin, where it has none, its slopes count as 0.

    >>> [float(jax.grad(arctan2, i)(0.0, 0.0)) for i in (0, 1)]
    [0.0, -0.0]
    """
    return jnp.arctan2(y, x)


@partial(arctan2.defjvp, symbolic_zeros=True)
def _arctan2_slope(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    y, x = primals
    value, square = arctan2(y, x), jnp.hypot(x, y) ** 2
    return value, _total(value, tangents, (lambda t: _finite(x / square) * t, lambda t: -_finite(y / square) * t))


def _total(value: Any, tangents: tuple, slopes: tuple[Work, Work]) -> Any:
    """Add up what both arguments contribute; one that is not differentiated costs nothing."""
    parts = [slope(t) for t, slope in zip(tangents, slopes, strict=True) if not isinstance(t, SymbolicZero)]
    value = jnp.asarray(value)
    total = sum(parts[1:], parts[0]) if parts else jnp.zeros_like(value)
    return jnp.broadcast_to(total, value.shape).astype(value.dtype)


def _finite(slope: Any) -> Any:
    slope = jnp.asarray(slope)
    return jnp.where(jnp.isfinite(slope), slope, jnp.zeros_like(slope))


def _is_real(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.floating)
