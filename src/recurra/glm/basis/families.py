"""The families of bases, evaluated (`...Eval`) and convolved (`...Conv`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.errors import OptionError
from recurra.glm.basis import functions as shapes
from recurra.glm.basis.leaf_kinds import Bounds, Convolved, Evaluated, FunctionLeaf, as_floats
from recurra.glm.pynapple_series import values_of

Options = Mapping[str, Any] | None


class _Splines(FunctionLeaf):
    order: int

    def check_functions(self) -> None:
        self._whole("n_basis_funcs", 1)
        self._whole("order", 1)
        if self.order > self.n_basis_funcs:
            raise OptionError(
                f"{self.label}: order ({self.order}) must not be larger than n_basis_funcs ({self.n_basis_funcs})."
            )


class _BSplines(_Splines):
    def functions(self, u: Array, length: float | Array) -> Array:
        return shapes.bsplines(u, self.n_basis_funcs, self.order)


class _CyclicBSplines(_Splines):
    def check_functions(self) -> None:
        super().check_functions()
        self._whole("order", 2)

    def functions(self, u: Array, length: float | Array) -> Array:
        return shapes.cyclic_bsplines(u, self.n_basis_funcs, self.order)


class _MSplines(_Splines):
    def functions(self, u: Array, length: float | Array) -> Array:
        return shapes.msplines(u, self.n_basis_funcs, self.order) / length


class _RaisedCosines(FunctionLeaf):
    width: float

    def check_functions(self) -> None:
        self._whole("n_basis_funcs", 2)
        if not self.width > 1 or 2 * self.width != round(2 * self.width):
            raise OptionError(f"{self.label}: width must be above 1 and a multiple of 1/2, got {self.width!r}; with "
                              "other widths the bumps do not sum to a constant.")  # fmt: skip


class _RaisedCosinesLinear(_RaisedCosines):
    def functions(self, u: Array, length: float | Array) -> Array:
        return shapes.raised_cosines(u, self.n_basis_funcs, self.width, 1.0)


class _RaisedCosinesLog(_RaisedCosines):
    time_scaling: float | None
    enforce_decay_to_zero: bool

    def check_functions(self) -> None:
        super().check_functions()
        if self.time_scaling is not None and not self.time_scaling > 0:
            raise OptionError(f"{self.label}: time_scaling must be above zero, got {self.time_scaling!r}.")

    def functions(self, u: Array, length: float | Array) -> Array:
        n, last = self.n_basis_funcs, 1.0
        if self.enforce_decay_to_zero:
            last = 1 - self.width / (n + self.width - 1)
        return shapes.raised_cosines(shapes.log_time(u, self.time_scaling or 50.0), n, self.width, last)


class _OrthExponentials(FunctionLeaf):
    decay_rates: ArrayLike

    def check_functions(self) -> None:
        self._whole("n_basis_funcs", 1)
        rates = np.asarray(self.decay_rates, float)
        if rates.shape != (self.n_basis_funcs,):
            raise OptionError(f"{self.label}: decay_rates must hold one rate for each of the {self.n_basis_funcs} "
                              f"functions, got the shape {rates.shape}.")  # fmt: skip
        if len(np.unique(rates)) < len(rates) or not np.all(np.isfinite(rates)):
            raise OptionError(f"{self.label}: decay_rates must be finite and differ, got {rates}.")

    def functions(self, u: Array, length: float | Array) -> Array:
        if u.shape[0] < self.n_basis_funcs:
            raise OptionError(f"{self.label}: {u.shape[0]} samples cannot hold {self.n_basis_funcs} orthogonal "
                              "functions; give more samples, a longer window or fewer functions.")  # fmt: skip
        return shapes.orthogonal_exponentials(u, np.asarray(self.decay_rates, float))


@dataclass(eq=False)
class BSplineEval(_BSplines, Evaluated):
    """Evaluate B-splines, which sum to 1 (de Boor 1972).

    Arguments:
        n_basis_funcs: number of functions.
        order: degree + 1 of the polynomials.
        bounds: the range of the input; that of the samples if None.
        fill_value: the features of samples outside of the bounds.
        label: a name for the block of features.

    >>> BSplineEval(5).compute_features([0.0, 0.4, 1.0]).shape
    (3, 5)
    """

    n_basis_funcs: int
    order: int = 4
    bounds: Bounds = None
    fill_value: float = math.nan
    label: str = "BSplineEval"


@dataclass(eq=False)
class BSplineConv(_BSplines, Convolved):
    """Filter with B-splines (de Boor 1972).

    Arguments:
        n_basis_funcs: number of filters.
        window_size: length of the filters, in samples.
        order: degree + 1 of the polynomials.
        label: a name for the block of features.
        conv_kwargs: options of :func:`recurra.glm.convolve.create_convolutional_predictor`.

    >>> BSplineConv(5, window_size=20).kernel_.shape
    (20, 5)
    """

    n_basis_funcs: int
    window_size: int
    order: int = 4
    label: str = "BSplineConv"
    conv_kwargs: Options = None


@dataclass(eq=False)
class CyclicBSplineEval(_CyclicBSplines, Evaluated):
    """Evaluate periodic B-splines, for angles and phases; they sum to 1.

    Arguments:
        n_basis_funcs: number of functions.
        order: degree + 1 of the polynomials, 2 or above.
        bounds: the range of the input; that of the samples if None.
        fill_value: the features of samples outside of the bounds.
        label: a name for the block of features.

    >>> CyclicBSplineEval(6, bounds=(0, 360)).compute_features([0.0, 90.0]).shape
    (2, 6)
    """

    n_basis_funcs: int
    order: int = 4
    bounds: Bounds = None
    fill_value: float = math.nan
    label: str = "CyclicBSplineEval"


@dataclass(eq=False)
class CyclicBSplineConv(_CyclicBSplines, Convolved):
    """Filter with periodic B-splines.

    Arguments:
        n_basis_funcs: number of filters.
        window_size: length of the filters, in samples.
        order: degree + 1 of the polynomials, 2 or above.
        label: a name for the block of features.
        conv_kwargs: options of :func:`recurra.glm.convolve.create_convolutional_predictor`.

    >>> CyclicBSplineConv(6, window_size=20).kernel_.shape
    (20, 6)
    """

    n_basis_funcs: int
    window_size: int
    order: int = 4
    label: str = "CyclicBSplineConv"
    conv_kwargs: Options = None


@dataclass(eq=False)
class MSplineEval(_MSplines, Evaluated):
    """Evaluate M-splines, each of which integrates to 1 over the range (Ramsay 1988).

    Arguments:
        n_basis_funcs: number of functions.
        order: degree + 1 of the polynomials.
        bounds: the range of the input; that of the samples if None.
        fill_value: the features of samples outside of the bounds.
        label: a name for the block of features.

    >>> MSplineEval(5).compute_features([0.0, 0.4, 1.0]).shape
    (3, 5)
    """

    n_basis_funcs: int
    order: int = 4
    bounds: Bounds = None
    fill_value: float = math.nan
    label: str = "MSplineEval"


@dataclass(eq=False)
class MSplineConv(_MSplines, Convolved):
    """Filter with M-splines (Ramsay 1988).

    Arguments:
        n_basis_funcs: number of filters.
        window_size: length of the filters, in samples.
        order: degree + 1 of the polynomials.
        label: a name for the block of features.
        conv_kwargs: options of :func:`recurra.glm.convolve.create_convolutional_predictor`.

    >>> MSplineConv(5, window_size=20).kernel_.shape
    (20, 5)
    """

    n_basis_funcs: int
    window_size: int
    order: int = 4
    label: str = "MSplineConv"
    conv_kwargs: Options = None


@dataclass(eq=False)
class RaisedCosineLinearEval(_RaisedCosinesLinear, Evaluated):
    """Evaluate raised cosine bumps with equally spaced peaks (Pillow et al. 2005).

    Arguments:
        n_basis_funcs: number of functions.
        width: half of the width of a bump in distances between peaks; more than 1, and a multiple of 1/2.
        bounds: the range of the input; that of the samples if None.
        fill_value: the features of samples outside of the bounds.
        label: a name for the block of features.

    >>> RaisedCosineLinearEval(5).compute_features([0.0, 0.4, 1.0]).shape
    (3, 5)
    """

    n_basis_funcs: int
    width: float = 2.0
    bounds: Bounds = None
    fill_value: float = math.nan
    label: str = "RaisedCosineLinearEval"


@dataclass(eq=False)
class RaisedCosineLinearConv(_RaisedCosinesLinear, Convolved):
    """Filter with raised cosine bumps with equally spaced peaks (Pillow et al. 2005).

    Arguments:
        n_basis_funcs: number of filters.
        window_size: length of the filters, in samples.
        width: half of the width of a bump in distances between peaks; more than 1, and a multiple of 1/2.
        label: a name for the block of features.
        conv_kwargs: options of :func:`recurra.glm.convolve.create_convolutional_predictor`.

    >>> RaisedCosineLinearConv(5, window_size=20).kernel_.shape
    (20, 5)
    """

    n_basis_funcs: int
    window_size: int
    width: float = 2.0
    label: str = "RaisedCosineLinearConv"
    conv_kwargs: Options = None


@dataclass(eq=False)
class RaisedCosineLogEval(_RaisedCosinesLog, Evaluated):
    """Evaluate raised cosine bumps of the logarithm of the input (Pillow et al. 2008).

    Arguments:
        n_basis_funcs: number of functions.
        width: half of the width of a bump in distances between peaks; more than 1, and a multiple of 1/2.
        time_scaling: how strongly the input is stretched; 50 if None.
        enforce_decay_to_zero: let the last bump come down to zero within the range.
        bounds: the range of the input; that of the samples if None.
        fill_value: the features of samples outside of the bounds.
        label: a name for the block of features.

    >>> RaisedCosineLogEval(5).compute_features([0.0, 0.4, 1.0]).shape
    (3, 5)
    """

    n_basis_funcs: int
    width: float = 2.0
    time_scaling: float | None = None
    enforce_decay_to_zero: bool = True
    bounds: Bounds = None
    fill_value: float = math.nan
    label: str = "RaisedCosineLogEval"


@dataclass(eq=False)
class RaisedCosineLogConv(_RaisedCosinesLog, Convolved):
    """Filter with raised cosine bumps of the logarithm of the lag (Pillow et al. 2008).

    Arguments:
        n_basis_funcs: number of filters.
        window_size: length of the filters, in samples.
        width: half of the width of a bump in distances between peaks; more than 1, and a multiple of 1/2.
        time_scaling: how strongly the input is stretched; 50 if None.
        enforce_decay_to_zero: let the last bump come down to zero within the range.
        label: a name for the block of features.
        conv_kwargs: options of :func:`recurra.glm.convolve.create_convolutional_predictor`.

    >>> float(jnp.abs(RaisedCosineLogConv(5, window_size=20).kernel_[-1]).max()) < 1e-6
    True
    """

    n_basis_funcs: int
    window_size: int
    width: float = 2.0
    time_scaling: float | None = None
    enforce_decay_to_zero: bool = True
    label: str = "RaisedCosineLogConv"
    conv_kwargs: Options = None


@dataclass(eq=False)
class OrthExponentialEval(_OrthExponentials, Evaluated):
    """Evaluate decaying exponentials, made orthonormal on the samples given.

    Arguments:
        n_basis_funcs: number of functions.
        decay_rates: one rate for each function, all different, per range of the input (or window).
        bounds: the range of the input; that of the samples if None.
        fill_value: the features of samples outside of the bounds.
        label: a name for the block of features.

    >>> OrthExponentialEval(2, [1.0, 2.0]).compute_features([0.0, 0.4, 1.0]).shape
    (3, 2)
    """

    n_basis_funcs: int
    decay_rates: ArrayLike
    bounds: Bounds = None
    fill_value: float = math.nan
    label: str = "OrthExponentialEval"


@dataclass(eq=False)
class OrthExponentialConv(_OrthExponentials, Convolved):
    """Filter with decaying exponentials, made orthonormal over the window.

    Arguments:
        n_basis_funcs: number of filters.
        window_size: length of the filters, in samples.
        decay_rates: one rate for each function, all different, per range of the input (or window).
        label: a name for the block of features.
        conv_kwargs: options of :func:`recurra.glm.convolve.create_convolutional_predictor`.

    >>> OrthExponentialConv(2, 20, [1.0, 2.0]).kernel_.shape
    (20, 2)
    """

    n_basis_funcs: int
    window_size: int
    decay_rates: ArrayLike
    label: str = "OrthExponentialConv"
    conv_kwargs: Options = None


@dataclass(eq=False)
class IdentityEval(Evaluated):
    """Pass the input on as it is.

    Arguments:
        bounds: the range of the input; samples outside get `fill_value`.
        fill_value: the features of samples outside of the bounds.
        label: a name for the block of features.

    >>> IdentityEval().compute_features([1.0, 3.0]).tolist()
    [[1.0], [3.0]]
    """

    bounds: Bounds = None
    fill_value: float = math.nan
    label: str = "IdentityEval"

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """One."""
        return 1

    def functions(self, u: Array, length: float | Array) -> Array:
        """Return the place in the range; only :meth:`evaluate_on_grid` needs it."""
        low = self.bounds[0] if self.bounds else 0.0
        return (low + u * length)[:, None]

    def evaluate(self, *x: Any) -> Array:
        """Return the input with an axis of one function."""
        self._count(x, "evaluate")
        samples = as_floats(values_of(x[0]))
        low, high = self.bounds or (-jnp.inf, jnp.inf)
        outside = (samples < low) | (samples > high)
        return jnp.where(outside, jnp.asarray(self.fill_value, samples.dtype), samples)[..., None]


@dataclass(eq=False)
class HistoryConv(Convolved):
    """Take the last samples themselves as features: column j is lag j + 1.

    Arguments:
        window_size: how many.
        label: a name for the block of features.
        conv_kwargs: options of :func:`recurra.glm.convolve.create_convolutional_predictor`.

    >>> HistoryConv(3).compute_features([1.0, 2.0, 3.0, 4.0])[3].tolist()
    [3.0, 2.0, 1.0]
    """

    window_size: int
    label: str = "HistoryConv"
    conv_kwargs: Options = None

    @property
    def n_basis_funcs(self) -> int:  # type: ignore[override]
        """The length of the window."""
        return self.window_size

    def functions(self, u: Array, length: float | Array) -> Array:
        """Return a one in the column of the nearest lag."""
        lag = jnp.round(u * (self.window_size - 1))[:, None]
        hit = (lag == np.arange(self.window_size)[None, :]).astype(u.dtype)
        return jnp.where(jnp.isnan(u)[:, None], jnp.nan, hit)
