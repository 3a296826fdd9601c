"""Bases that are no functions of one number on an interval: waves in several dimensions, categories, one's own."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.errors import OptionError, ShapeError
from recurra.glm.basis.core import Leaf, Shape
from recurra.glm.basis.functions import waves
from recurra.glm.basis.leaf_kinds import Bounds, as_floats, check_bounds, finite_range
from recurra.glm.numbers import absent, as_numbers
from recurra.glm.pynapple_series import values_of


@dataclass(eq=False)
class FourierEval(Leaf):
    """Evaluate cosines, then sines, of one input or of several together.

    With several inputs the frequencies are all combinations of those of the inputs; each feature is a plane wave
    `cos(2 pi (f1 u1 + f2 u2 + ...))` or the sine of it. Samples outside of the bounds wrap around.

    Arguments:
        frequencies: in periods over the range: a number n for 0 ... n-1, a pair (low, high) for low ... high-1, or an
            array; a list holds one of these for each input. With one input a list of several numbers is an array.
        ndim: number of inputs.
        bounds: the range of the input, or a pair for each; that of the samples if None.
        frequency_mask: `"no-intercept"` leaves out the constant, `"all"` (or None) nothing; or an array of truth values
            of the shape `(frequencies of input 1, of input 2, ...)`, or a function of the frequencies that returns one.
        label: a name for the block of features.

    >>> FourierEval(3).compute_features([0.0, 0.25, 1.0]).shape
    (3, 4)
    """

    frequencies: Any
    ndim: int = 1
    bounds: Any = None
    frequency_mask: Any = "no-intercept"
    label: str = "FourierEval"
    is_complex = True

    def check(self) -> None:
        """Check that there are waves, and one range for each input."""
        if isinstance(self.ndim, bool) or not isinstance(self.ndim, int | np.integer) or self.ndim < 1:
            raise OptionError(f"{self.label}: ndim must be a whole number above zero, got {self.ndim!r}.")
        for bounds in self._bounds():
            check_bounds(bounds, self.label)
        if self.n_basis_funcs == 0:
            raise OptionError(f"{self.label}: no frequency is left; the constant is left out by 'no-intercept'.")

    @property
    def n_inputs(self) -> int:
        """The number of dimensions."""
        return self.ndim

    @property
    def masked_frequencies(self) -> np.ndarray:
        """The frequencies of the waves, `(ndim, waves)`."""
        axes = self._axes()
        grid = np.array(list(itertools.product(*axes))).T.reshape(self.ndim, -1)
        keep = self._mask(grid, tuple(len(axis) for axis in axes))
        return grid[:, keep]

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """Two for each wave, one for the constant."""
        kept = self.masked_frequencies
        return 2 * kept.shape[1] - int(np.sum(np.all(kept == 0, axis=0)))

    def _axes(self) -> list[np.ndarray]:
        given = self.frequencies
        plain = not isinstance(given, list) or (
            self.ndim == 1 and len(given) > 1 and all(np.ndim(g) == 0 for g in given)
        )
        axes = [self._axis(g) for g in ([given] * self.ndim if plain else given)]
        if len(axes) != self.ndim:
            raise OptionError(f"{self.label}: {len(axes)} sets of frequencies for {self.ndim} input(s).")
        return axes

    def _axis(self, given: Any) -> np.ndarray:
        if isinstance(given, int | np.integer) and not isinstance(given, bool):
            found = np.arange(float(given)) if given >= 0 else np.array([-1.0])
        elif isinstance(given, tuple) and len(given) == 2:
            found = np.arange(float(given[0]), float(given[1]))
        else:
            found = np.asarray(given, float).reshape(-1)
        if np.any(found < 0) or np.any(found != np.round(found)) or found.size == 0:
            raise OptionError(f"{self.label}: frequencies must be whole numbers of zero or above, got {given!r}.")
        return found

    def _mask(self, grid: np.ndarray, shape: Shape) -> np.ndarray:
        mask = self.frequency_mask
        if mask is None or (isinstance(mask, str) and mask == "all"):
            return np.ones(grid.shape[1], bool)
        if isinstance(mask, str):
            if mask != "no-intercept":
                raise OptionError(f"{self.label}: frequency_mask must be 'no-intercept', 'all', an array or a "
                                  f"function, got {mask!r}.")  # fmt: skip
            return np.any(grid != 0, axis=0)
        found = np.asarray([mask(*f) for f in grid.T] if callable(mask) else mask)
        if found.size != grid.shape[1] or not np.all((found == 0) | (found == 1)):
            raise OptionError(f"{self.label}: frequency_mask must hold one truth value for each of {shape} "
                              f"frequencies, got the shape {found.shape}.")  # fmt: skip
        return found.reshape(-1).astype(bool)

    def _bounds(self) -> list[Bounds]:
        if self.bounds is None or np.ndim(self.bounds) == 1:
            return [self.bounds] * self.ndim
        if len(self.bounds) != self.ndim:
            raise OptionError(f"{self.label}: {len(self.bounds)} pairs of bounds for {self.ndim} input(s).")
        return list(self.bounds)

    def evaluate(self, *x: Any) -> Array:
        """Evaluate the waves where the inputs are.

        Raises:
            ShapeError: the inputs have not one shape.
        """
        self._count(x, "evaluate")
        samples = [as_floats(values_of(one)) for one in x]
        if len({s.shape for s in samples}) > 1:
            raise ShapeError(f"{self.label}: its inputs must have one shape, got {[s.shape for s in samples]}.")
        units = []
        for one, bounds in zip(samples, self._bounds(), strict=True):
            low, high = bounds or finite_range(one)
            units.append((one.reshape(-1) - low) / jnp.where(jnp.asarray(high) > low, high - low, 1).astype(one.dtype))
        return waves(jnp.stack(units, axis=1), self.masked_frequencies).reshape(*samples[0].shape, self.n_basis_funcs)

    def block(self, *x: Any) -> Array:
        """Return the values of the waves, `(time, *channels, waves)`."""
        return self.evaluate(*x)

    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        ranges = [bounds or (0.0, 1.0) for bounds in self._bounds()]
        points = [jnp.linspace(low, high, n) for (low, high), n in zip(ranges, counts, strict=True)]
        units = jnp.meshgrid(*(jnp.linspace(0.0, 1.0, n) for n in counts), indexing="ij")
        values = waves(jnp.stack([u.reshape(-1) for u in units], axis=1), self.masked_frequencies)
        return points, values.reshape(*counts, self.n_basis_funcs)


@dataclass(eq=False)
class Zero(Leaf):
    """Give no features: an empty block, to leave an input out in a search over bases.

    Arguments:
        label: a name for the block of features.

    >>> Zero().compute_features([1.0, 2.0]).shape
    (2, 0)
    """

    label: str = "Zero"

    def check(self) -> None:
        """Accept everything."""

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """None at all."""
        return 0

    def evaluate(self, *x: Any) -> Array:
        """Return an empty axis of functions."""
        self._count(x, "evaluate")
        samples = as_floats(values_of(x[0]))
        return jnp.zeros((*samples.shape, 0), samples.dtype)

    def block(self, *x: Any) -> Array:
        """Return an empty axis of functions."""
        return self.evaluate(*x)

    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        return [jnp.linspace(0.0, 1.0, counts[0])], jnp.zeros((counts[0], 0))


@dataclass(eq=False)
class Category(Leaf):
    """Give a one in the column of the category of a sample, zeros elsewhere.

    Arguments:
        categories: how many, for the numbers 0 ... n-1, or a list of labels (numbers or texts).
        out_of_category: give a row of zeros for a sample of no category; if False that is an error.
        label: a name for the block of features.

    >>> Category(["left", "right"]).compute_features(np.array(["right", "up"])).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """

    categories: Any
    out_of_category: bool = True
    label: str = "Category"

    def check(self) -> None:
        """Check that there are categories, all different."""
        labels = self._labels()
        if labels.ndim != 1 or labels.size == 0 or len(np.unique(labels)) < labels.size:
            raise OptionError(f"{self.label}: categories must be a number above zero or a list of different labels, "
                              f"got {self.categories!r}.")  # fmt: skip

    def _labels(self) -> np.ndarray:
        if isinstance(self.categories, int | np.integer) and not isinstance(self.categories, bool):
            return np.arange(max(int(self.categories), 0))
        found = np.asarray(self.categories)
        if found.dtype.kind in "USO" and found.size:
            # NumPy would write numbers among texts as texts, and never find them again.
            if not _is_text(np.asarray(self.categories, object)) or absent(np.asarray(self.categories, object)).any():
                raise OptionError(f"{self.label}: categories must be all numbers or all texts, got "
                                  f"{self.categories!r}.")  # fmt: skip
            found = found.astype(str)
        return found

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """The number of categories."""
        return self._labels().size

    def checked(self, x: Any) -> Any:
        """Take texts too, and columns of a table that hold objects: texts, numbers, missing ones."""
        values = values_of(x)
        found = np.asarray(values)
        if found.dtype.kind not in "USO" or found.size == 0:
            return super().checked(x)
        if found.dtype.kind == "O" and not _is_text(found):
            return super().checked(as_numbers(found, self.label))
        return found

    def evaluate(self, *x: Any) -> Array:
        """Return the indicators of the categories; a missing sample (NaN, None) gives a row of NaN."""
        self._count(x, "evaluate")
        samples, labels = np.asarray(values_of(self.checked(x[0]))), self._labels()
        is_text = samples.dtype.kind in "USO"
        if is_text != (labels.dtype.kind in "US"):
            kind = "texts" if is_text else samples.dtype
            raise OptionError(f"{self.label}: the categories are {labels.tolist()}, the samples {kind}.")
        missing = absent(samples)
        if samples.dtype.kind == "O":
            samples = np.where(missing, "", samples).astype(str)
        hits = samples[..., None] == labels.reshape((1,) * samples.ndim + (-1,))
        lost = ~hits.any(axis=-1) & ~missing
        if not self.out_of_category and lost.any():
            raise OptionError(f"{self.label}: {samples[lost][0]!s} is none of the categories {labels.tolist()}; "
                              "add it, or allow it with out_of_category=True.")  # fmt: skip
        return jnp.where(missing[..., None], jnp.nan, hits.astype(float))

    def block(self, *x: Any) -> Array:
        """Return the indicators, `(time, *channels, categories)`."""
        return self.evaluate(*x)

    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        place = np.round(np.linspace(0, self.n_basis_funcs - 1, counts[0])).astype(int)
        return [jnp.asarray(place)], jnp.eye(self.n_basis_funcs)[place]


def _is_text(values: np.ndarray) -> bool:
    """Say whether all objects that are not missing are texts, of which there is at least one."""
    known = values[~absent(values)]
    return known.size > 0 and all(isinstance(v, str) for v in known.ravel())


@dataclass(eq=False)
class CustomBasis(Leaf):
    """Use functions of one's own.

    Arguments:
        funcs: functions (or one) of the inputs `(time, *channels)` that return `(time, *output_shape)`.
        ndim_input: number of inputs.
        output_shape: the shape of a sample of what the functions return; that of a sample of the input if None.
        basis_kwargs: keyword arguments of the functions.
        pynapple_support: whether series of pynapple are taken; if not, that is an error.
        label: a name for the block of features.
        is_complex: whether the functions are parts of complex ones, so that two such bases must not be multiplied.
        bounds: the range of the inputs; samples outside get `fill_value`.
        fill_value: the features of samples outside of the bounds.

    >>> CustomBasis([lambda x: x, lambda x: x**2]).compute_features([1.0, 3.0]).tolist()
    [[1.0, 1.0], [3.0, 9.0]]
    """

    funcs: Callable[..., Any] | Sequence[Callable[..., Any]]
    ndim_input: int = 1
    output_shape: int | Shape | None = None
    basis_kwargs: Mapping[str, Any] | None = None
    pynapple_support: bool = True
    label: str = "CustomBasis"
    is_complex: bool = False
    bounds: Bounds = None
    fill_value: float = math.nan

    def check(self) -> None:
        """Check that there are functions that take the keyword arguments."""
        if not self._functions() or not all(callable(f) for f in self._functions()):
            raise OptionError(f"{self.label}: funcs must be functions, got {self.funcs!r}.")
        check_bounds(self.bounds, self.label)
        for function in self._functions():
            try:
                inspect.signature(function).bind(*range(self.ndim_input), **(self.basis_kwargs or {}))
            except TypeError as problem:
                raise OptionError(f"{self.label}: {function!r} cannot be called with {self.ndim_input} input(s) and "
                                  f"basis_kwargs: {problem}.") from problem  # fmt: skip
            except ValueError:  # functions of C have no signature to look at
                continue

    def _functions(self) -> list[Callable[..., Any]]:
        return [self.funcs] if callable(self.funcs) else list(self.funcs)

    @property
    def n_inputs(self) -> int:
        """The number of inputs of the functions."""
        return self.ndim_input

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """The number of functions."""
        return len(self._functions())

    @property
    def block_shape(self) -> Shape | None:
        """The shape of a sample of what the functions return."""
        if self.output_shape is None:
            return self._shape
        return (self.output_shape,) if isinstance(self.output_shape, int) else tuple(self.output_shape)

    def checked(self, x: Any) -> Any:
        """Refuse series of pynapple where the functions cannot take them."""
        if not self.pynapple_support and values_of(x) is not x:
            raise OptionError(f"{self.label}: it takes no series of pynapple; give its values.")
        return super().checked(x)

    def evaluate(self, *x: Any) -> Array:
        """Call the functions."""
        self._count(x, "evaluate")
        samples = [as_floats(values_of(one)) for one in x]
        outputs = [jnp.asarray(f(*samples, **(self.basis_kwargs or {}))) for f in self._functions()]
        wanted = samples[0].shape if self.output_shape is None else (samples[0].shape[0], *(self.block_shape or ()))
        for function, output in zip(self._functions(), outputs, strict=True):
            if output.shape != wanted:
                raise ShapeError(f"{self.label}: {function!r} returned {output.shape}, expected {wanted}; set "
                                 "output_shape to the shape of a sample.")  # fmt: skip
        values = jnp.stack(outputs, axis=-1)
        if self.bounds is None:
            return values
        low, high = self.bounds
        outside = jnp.stack([(s < low) | (s > high) for s in samples]).any(axis=0)
        if outside.shape != wanted:
            outside = outside.any(axis=tuple(range(1, outside.ndim))).reshape(-1, *(1 for _ in wanted[1:]))
        return jnp.where(outside[..., None], jnp.asarray(self.fill_value, values.dtype), values)

    def block(self, *x: Any) -> Array:
        """Return what the functions return, `(time, *output_shape, functions)`."""
        return self.evaluate(*x)

    def _on_grid(self, counts: Sequence[int]) -> tuple[list[Array], Array]:
        low, high = self.bounds or (0.0, 1.0)
        points = [jnp.linspace(low, high, n) for n in counts]
        grid = [g.reshape(-1) for g in jnp.meshgrid(*points, indexing="ij")]
        return points, self.evaluate(*grid).reshape(*counts, self.n_basis_funcs)
