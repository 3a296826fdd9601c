"""Constraints as transforms: free numbers, which an optimiser may move anywhere, to values that always obey.

A constraint is a function from free numbers to values, and its inverse for the value a training starts from. So it is
exact before, during and after a training, whatever the optimiser does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.errors import OptionError, ShapeError


class Constraint:
    """Turn free numbers into values that obey; the base of every constraint.

    >>> class Sum(Constraint):  # the weights that reach a unit add up to 1
    ...     def free(self, value, where):
    ...         return value
    ...     def value(self, free, origin):
    ...         return free / free.sum(axis=1, keepdims=True)
    >>> Sum().value(np.array([[1.0, 3.0], [2.0, 2.0]]), np.zeros((2, 2)))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """

    def free(self, value: np.ndarray, where: str) -> Any:
        """Return free numbers whose value is `value`.

        Arguments:
            value: what the training starts from.
            where: how messages call the parameter.

        Raises:
            ShapeError: the constraint does not fit the shape of the value.
            OptionError: the value does not obey the constraint; `project` makes one that does.
        """
        raise NotImplementedError

    def value(self, free: Any, origin: Array) -> Array:
        """Return the value of free numbers; `origin` is what the training started from."""
        raise NotImplementedError

    def project(self, value: ArrayLike) -> np.ndarray:
        """Return a value near to `value` that obeys the constraint."""
        return np.array(value, float)

    def stuck(self, value: np.ndarray) -> np.ndarray:
        """Say which entries can never move again, though they are not to be held."""
        return np.zeros(np.shape(value), bool)

    @property
    def high(self) -> float:
        """The largest value there can be."""
        return np.inf

    @property
    def low(self) -> float:
        """The smallest value there can be."""
        return -np.inf

    def _check(self, value: np.ndarray, where: str) -> None:
        """Refuse a value that projecting would change."""
        wrong = self.project(value) != value
        if np.any(wrong):
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise OptionError(
                f"{where}: {int(np.sum(wrong))} of {np.size(value)} entries break {type(self).__name__}, the first at"
                f" {at} with the value {float(np.asarray(value)[at]):g}. Start from `constraint.project(value)`."
            )


def like(array: ArrayLike, value: np.ndarray, what: str, where: str) -> np.ndarray:
    """Return an array broadcast to the value's shape, with a message of our own if it cannot be."""
    found = np.asarray(array)
    try:
        return np.broadcast_to(found, np.shape(value))
    except ValueError:
        raise ShapeError(f"{where}: {what} has shape {found.shape}, the parameter {np.shape(value)}.") from None


@dataclass(frozen=True, eq=False)
class Dale(Constraint):
    """Keep the sign of every presynaptic unit's weights: Dale's principle (Eccles, Fatt & Koketsu 1954).

    The value is sign * relu(free) (Song, Yang & Wang 2016, eq. 8); a weight that is 0 stays 0, since the derivative of
    relu at 0 is 0. A warning says how many there are; those of a :class:`Mask` are absent and do not count.

    Arguments:
        signs: +1 or -1 for each presynaptic unit, `(pre,)`; for weights that are a list of entries one per entry.

    >>> Dale([1, -1]).project([[0.5, 0.5], [-1.0, -2.0]])
    array([[ 0.5,  0. ],
           [ 0. , -2. ]])
    """

    signs: Sequence[int] | np.ndarray

    __repr__ = brief

    def _signs(self, value: np.ndarray, where: str) -> np.ndarray:
        signs = like(self.signs, value, "signs (one for each presynaptic unit)", where)
        if not np.all(np.abs(signs) == 1):
            raise OptionError(f"{where}: the signs of Dale must be +1 or -1, got {np.unique(signs)[:5]}.")
        return signs

    def __identity__(self) -> object:
        return np.asarray(self.signs, float)

    def free(self, value: np.ndarray, where: str) -> np.ndarray:
        self._signs(value, where)
        self._check(value, where)
        return np.abs(value)

    def value(self, free: Array, origin: Array) -> Array:
        signs = jnp.asarray(np.broadcast_to(np.asarray(self.signs), free.shape), free.dtype)
        # abs makes +0 of the -0 of a silent inhibitory synapse.
        return jnp.where(signs > 0, jax.nn.relu(free), 0 - jax.nn.relu(free))

    def project(self, value: ArrayLike) -> np.ndarray:
        value = np.asarray(value, float)
        return np.where(value * self._signs(value, "Dale") > 0, value, 0.0)

    def stuck(self, value: np.ndarray) -> np.ndarray:
        return np.asarray(value) == 0


@dataclass(frozen=True, eq=False)
class Mask(Constraint):
    """Keep entries at exactly 0 where the mask is false.

    Arguments:
        present: boolean, of the parameter's shape.

    >>> Mask(np.eye(2, dtype=bool)).project(np.ones((2, 2)))
    array([[1., 0.],
           [0., 1.]])
    """

    present: np.ndarray

    __repr__ = brief
    def __identity__(self) -> object:
        return np.asarray(self.present, bool)

    def free(self, value: np.ndarray, where: str) -> np.ndarray:
        like(self.present, value, "the mask", where)
        self._check(value, where)
        return value

    def value(self, free: Array, origin: Array) -> Array:
        return jnp.where(np.broadcast_to(np.asarray(self.present, bool), free.shape), free, 0)

    def project(self, value: ArrayLike) -> np.ndarray:
        value = np.asarray(value, float)
        return np.where(like(np.asarray(self.present, bool), value, "the mask", "Mask"), value, 0.0)


@dataclass(frozen=True, eq=False)
class Bounds(Constraint):
    """Keep values between two bounds, which they never quite reach.

    Two bounds are reached by a logistic function, one by softplus; the derivative is nowhere 0, so that no value
    sticks to its bound.

    Arguments:
        lower, upper: numbers; `None` for no bound on that side.

    >>> Bounds(0.0, 10.0).project([-1.0, 5.0])
    array([1.e-05, 5.e+00])
    """

    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise OptionError(f"Bounds: the lower must be below the upper one, got {self.lower} and {self.upper}.")

    @property
    def low(self) -> float:
        return -np.inf if self.lower is None else float(self.lower)

    @property
    def high(self) -> float:
        return np.inf if self.upper is None else float(self.upper)

    def __identity__(self) -> object:
        return self.low, self.high

    def free(self, value: np.ndarray, where: str) -> np.ndarray:
        if not np.all((value > self.low) & (value < self.high)):
            raise OptionError(
                f"{where}: starts at {np.min(value):g} ... {np.max(value):g}, not inside of the bounds {self.low:g} and"
                f" {self.high:g}. Start from `constraint.project(value)`."
            )
        if np.isfinite(self.low) and np.isfinite(self.high):
            part = (value - self.low) / (self.high - self.low)
            return np.log(part) - np.log1p(-part)
        if np.isfinite(self.low):
            return _inverse_softplus(value - self.low)
        return -_inverse_softplus(self.high - value) if np.isfinite(self.high) else value

    def value(self, free: Array, origin: Array) -> Array:
        if np.isfinite(self.low) and np.isfinite(self.high):
            found = self.low + (self.high - self.low) * jax.nn.sigmoid(free)
            # Rounding may step over the bound by one digit.
            return jnp.where(found > self.high, self.high, found)
        if np.isfinite(self.low):
            return self.low + jax.nn.softplus(free)
        return self.high - jax.nn.softplus(-free) if np.isfinite(self.high) else free

    def project(self, value: ArrayLike) -> np.ndarray:
        span = self.high - self.low
        margin = 1e-6 * (span if np.isfinite(span) else 1.0)
        return np.clip(np.asarray(value, float), self.low + margin, self.high - margin)


def _inverse_softplus(value: np.ndarray) -> np.ndarray:
    return value + np.log(-np.expm1(-value))


@dataclass(frozen=True, eq=False)
class Fixed(Constraint):
    """Keep entries exactly as they were before the training.

    Arguments:
        entries: boolean, true for the entries that are kept, of the parameter's shape.

    >>> start = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> moved = start - 0.5  # what an optimiser did
    >>> Fixed(np.array([[True, False], [False, True]])).value(moved, start).tolist()
    [[1.0, 1.5], [2.5, 4.0]]
    """

    entries: np.ndarray

    __repr__ = brief
    def __identity__(self) -> object:
        return np.asarray(self.entries, bool)

    def free(self, value: np.ndarray, where: str) -> np.ndarray:
        like(self.entries, value, "the fixed entries", where)
        return value

    def value(self, free: Array, origin: Array) -> Array:
        return jnp.where(np.broadcast_to(np.asarray(self.entries, bool), free.shape), origin, free)


@dataclass(frozen=True, eq=False)
class LowRank(Constraint):
    """Keep a matrix the product of two thin ones, `(post, rank) @ (rank, pre)`.

    Arguments:
        rank: number of columns of the factors.

    >>> LowRank(1).project([[1.0, 0.0], [0.0, 0.5]])
    array([[1., 0.],
           [0., 0.]])
    """

    rank: int

    def __identity__(self) -> object:
        return int(self.rank)

    def free(self, value: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
        left, sizes, right = self._factors(value, where)
        if np.any(sizes[self.rank :] > 1e-6 * sizes[0]):
            raise OptionError(
                f"{where}: its rank is {int(np.sum(sizes > 1e-6 * sizes[0]))}, LowRank({self.rank}) was asked for."
                " Start from `constraint.project(value)`."
            )
        root = np.sqrt(sizes[: self.rank])
        # Where a size is 0 one factor is not, so that the derivative of the other does not vanish.
        one = np.where(root > 0, root, 1.0)
        return left[:, : self.rank] * one, root[:, None] * right[: self.rank]

    def value(self, free: tuple[Array, Array], origin: Array) -> Array:
        return free[0] @ free[1]

    def project(self, value: ArrayLike) -> np.ndarray:
        left, sizes, right = self._factors(np.asarray(value, float), "LowRank")
        return (left[:, : self.rank] * sizes[: self.rank]) @ right[: self.rank]

    def _factors(self, value: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if np.ndim(value) != 2 or not 1 <= self.rank <= min(np.shape(value)):
            raise ShapeError(
                f"{where}: LowRank({self.rank}) needs a matrix with at least {self.rank} rows and columns, got shape"
                f" {np.shape(value)}."
            )
        return np.linalg.svd(value, full_matrices=False)


@dataclass(frozen=True, eq=False)
class Shared(Constraint):
    """Keep one number for all units.

    >>> Shared().project([1.0, 3.0])
    array([2., 2.])
    """

    def free(self, value: np.ndarray, where: str) -> np.ndarray:
        self._check(value, where)
        return np.asarray(np.ravel(value)[0])

    def value(self, free: Array, origin: Array) -> Array:
        return jnp.broadcast_to(free, origin.shape)

    def project(self, value: ArrayLike) -> np.ndarray:
        value = np.asarray(value, float)
        # The mean of equal numbers may differ from them by rounding.
        same = np.all(value == np.ravel(value)[0])
        return np.full_like(value, np.ravel(value)[0] if same else np.mean(value))
