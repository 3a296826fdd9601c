"""Python's operators and NumPy's reductions, as both kinds of stand-in have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recurra.tracing import operations
from recurra.tracing.session import Session


def _binary(ufunc: np.ufunc) -> tuple[Callable, Callable, Callable]:
    def forward(self: Operators, other: object) -> object:
        return operations.operator(self._session, ufunc, (self, other))

    def backward(self: Operators, other: object) -> object:
        return operations.operator(self._session, ufunc, (other, self))

    def inplace(self: Operators, other: object) -> object:
        return operations.operator(self._session, ufunc, (self, other), self)

    return forward, backward, inplace


def _compare(ufunc: np.ufunc) -> Callable:
    return _binary(ufunc)[0]


def _unary(ufunc: np.ufunc) -> Callable:
    def forward(self: Operators) -> object:
        return operations.operator(self._session, ufunc, (self,))

    return forward


def _method(function: Any) -> Callable[..., Any]:  # `Any`, since resolving NumPy's overloads takes minutes
    """Make a method that takes what NumPy's function takes after the array; both have the same arguments."""

    def method(self: Operators, *args: object, **options: object) -> Any:
        return operations.call(self, function, *args, **options)

    return method


class Operators:
    """Python's operators, each done by the NumPy function of the same meaning."""

    __slots__ = ()
    _session: Session

    __add__, __radd__, __iadd__ = _binary(np.add)
    __sub__, __rsub__, __isub__ = _binary(np.subtract)
    __mul__, __rmul__, __imul__ = _binary(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _binary(np.true_divide)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__, __imod__ = _binary(np.remainder)
    __pow__, __rpow__, __ipow__ = _binary(np.power)
    __lshift__, __rlshift__, __ilshift__ = _binary(np.left_shift)
    __rshift__, __rrshift__, __irshift__ = _binary(np.right_shift)
    __and__, __rand__, __iand__ = _binary(np.bitwise_and)
    __or__, __ror__, __ior__ = _binary(np.bitwise_or)
    __xor__, __rxor__, __ixor__ = _binary(np.bitwise_xor)
    __matmul__, __rmatmul__, __imatmul__ = _binary(np.matmul)
    __divmod__, __rdivmod__ = _binary(np.divmod)[:2]
    __lt__, __le__ = _compare(np.less), _compare(np.less_equal)
    __gt__, __ge__ = _compare(np.greater), _compare(np.greater_equal)
    __eq__, __ne__ = _compare(np.equal), _compare(np.not_equal)  # type: ignore[assignment]
    __neg__, __pos__, __abs__, __invert__ = map(_unary, (np.negative, np.positive, np.absolute, np.invert))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> object:
        return operations.apply_ufunc(self._session, ufunc, method, inputs, options)

    def __array_function__(self, func: Callable, types: object, args: tuple, kwargs: dict) -> object:
        return operations.apply_function(self._session, func, args, kwargs)

    __hash__ = None  # type: ignore[assignment]

    sum = _method(np.sum)
    prod = _method(np.prod)
    mean = _method(np.mean)
    std = _method(np.std)
    var = _method(np.var)
    min = _method(np.min)
    max = _method(np.max)
    any = _method(np.any)
    all = _method(np.all)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    cumsum = _method(np.cumsum)
    cumprod = _method(np.cumprod)
    clip = _method(np.clip)
    round = _method(np.round)
    take = _method(np.take)
    repeat = _method(np.repeat)

    def conj(self) -> Any:
        return operations.operator(self._session, np.conjugate, (self,)) if self.dtype.kind == "c" else self  # type: ignore[attr-defined]
