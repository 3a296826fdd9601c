"""The two ways to use functions as a basis: evaluated at the samples, or as filters that the samples pass through."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.errors import OptionError, unknown
from recurra.glm.basis.core import Leaf
from recurra.glm.convolve import create_convolutional_predictor
from recurra.glm.pynapple_series import values_of

Bounds = tuple[float, float] | None
CONV_OPTIONS = ("predictor_causality", "shift", "batch_size_samples", "batch_size_channels", "batch_size_basis")


class FunctionLeaf(Leaf):
    """Be a basis of functions on the unit interval."""

    @abstractmethod
    def functions(self, u: Array, length: float | Array) -> Array:
        """Evaluate all functions.

        Arguments:
            u: `(samples,)`, 0 to 1, NaN where there is nothing to evaluate.
            length: the length of the range that was mapped to 0 to 1.

        Returns:
            `(samples, functions)`.
        """

    def check_functions(self) -> None:
        """Raise OptionError unless the parameters of the functions fit together."""

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise OptionError(f"{self.label}: {name} must be a whole number, {least} or above, got {value!r}.")


class Evaluated(FunctionLeaf):
    """Evaluate functions at the samples of an input, over a range that is mapped to the unit interval."""

    bounds: Bounds
    fill_value: float

    def check(self) -> None:
        """Check the functions and the bounds."""
        self.check_functions()
        check_bounds(self.bounds, self.label)

    def range_of(self, x: Array) -> tuple[Any, Any]:
        """Return the bounds, or the least and the greatest finite sample."""
        if self.bounds is not None:
            return float(self.bounds[0]), float(self.bounds[1])
        return finite_range(x)

    def evaluate(self, *x: Any) -> Array:
        """Evaluate the functions where the input is; outside of the bounds there is `fill_value`."""
        self._count(x, "evaluate")
        samples = as_floats(values_of(x[0]))
        low, high = self.range_of(samples)
        flat = samples.reshape(-1)
        outside = (flat < low) | (flat > high)
        length = jnp.where(jnp.asarray(high) > low, high - low, 1.0).astype(flat.dtype)
        values = self.functions(jnp.where(outside, jnp.nan, (flat - low) / length), length)
        values = jnp.where(outside[:, None], jnp.asarray(self.fill_value, values.dtype), values)
        return values.reshape(*samples.shape, self.n_basis_funcs)

    def block(self, *x: Any) -> Array:
        """Return the values of the functions, `(time, *channels, functions)`."""
        return self.evaluate(*x)

    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        low, high = self.bounds or (0.0, 1.0)
        points = jnp.linspace(low, high, counts[0])
        unit = jnp.linspace(0.0, 1.0, counts[0])
        return [points], self.functions(unit, high - low)


class Convolved(FunctionLeaf):
    """Filter an input with functions of the lag."""

    convolves = True
    window_size: int
    conv_kwargs: Mapping[str, Any] | None

    def check(self) -> None:
        """Check the functions, the window and the options of the convolution."""
        self._whole("window_size", 1)
        self.check_functions()
        for name in self.conv_kwargs or {}:
            if name == "axis":
                raise OptionError(f"{self.label}: axis cannot be set, time is axis 0; transpose the input.")
            if name not in CONV_OPTIONS:
                raise OptionError(unknown("option of the convolution", name, CONV_OPTIONS, self.label))

    @property
    def kernel_(self) -> Array:
        """The filters, `(window, functions)`; row 0 is the shortest lag."""
        return self.functions(jnp.linspace(0.0, 1.0, self.window_size), 1.0)

    def evaluate(self, *x: Any) -> Array:
        """Evaluate the filters, as functions of a number that is mapped from its own range to the window."""
        self._count(x, "evaluate")
        samples = as_floats(values_of(x[0]))
        low, high = finite_range(samples)
        flat = samples.reshape(-1)
        unit = (flat - low) / jnp.where(high > low, high - low, 1).astype(flat.dtype)
        return self.functions(unit, 1.0).reshape(*samples.shape, self.n_basis_funcs)

    def block(self, *x: Any) -> Array:
        """Return the filtered input, `(time, *channels, functions)`, NaN where the window sticks out."""
        return jnp.asarray(values_of(create_convolutional_predictor(self.kernel_, x[0], **(self.conv_kwargs or {}))))

    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        unit = jnp.linspace(0.0, 1.0, counts[0])
        return [unit], self.functions(unit, 1.0)


def as_floats(x: Any) -> Array:
    """Return an array of the ambient precision, or of its own."""
    x = jnp.asarray(x)
    return x.astype(jnp.result_type(x, float))


def finite_range(x: Array) -> tuple[Array, Array]:
    """Return the least and the greatest finite number."""
    fine = jnp.isfinite(x)
    return jnp.min(jnp.where(fine, x, jnp.inf)), jnp.max(jnp.where(fine, x, -jnp.inf))


def check_bounds(bounds: object, label: str) -> None:
    """Raise OptionError unless bounds are None or two numbers, the lower one first."""
    if bounds is None:
        return
    fine = isinstance(bounds, tuple | list) and len(bounds) == 2
    fine = fine and all(isinstance(b, int | float | np.number) and math.isfinite(b) for b in bounds)  # type: ignore
    if not fine or not bounds[0] < bounds[1]:  # type: ignore[index]
        raise OptionError(f"{label}: bounds must be two finite numbers, the lower one first, got {bounds!r}.")
