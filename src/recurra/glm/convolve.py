"""Filter a time series by every function of a basis: the features of history and of coupling."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from recurra.courtesy import warn
from recurra.engine.iterate import map_items
from recurra.errors import OptionError, ShapeError, unknown
from recurra.glm.pynapple_series import by_epoch, is_pynapple

CAUSALITIES = ("causal", "anti-causal", "acausal")
# Channels from which on blocks of rows are worked on one by one.
MANY_CHANNELS = 16


def create_convolutional_predictor(
    basis_matrix: Any,
    time_series: Any,
    predictor_causality: str = "causal",
    shift: bool | None = None,
    axis: int = 0,
    batch_size_samples: int | None = None,
    batch_size_channels: int | None = None,
    batch_size_basis: int | None = None,
) -> Any:
    """Convolve time series with the functions of a basis, and pad with NaN to the length they had.

    With `W = len(basis_matrix)`: causal and shifted, row t is the sum over l = 1 ... W of `basis[l-1] * y[t-l]`, and
    the first W rows are NaN. Causal and not shifted, the sum goes over l = 0 ... W-1 of `basis[l] * y[t-l]`.
    Anti-causal and shifted, row t is the sum over k = 0 ... W-1 of `basis[k] * y[t+W-k]`, and the last W rows are NaN.
    Acausal, the window is centred on t.

    Arguments:
        basis_matrix: `(window, functions)`.
        time_series: `(time, ...)`, a pytree of such arrays, or a series of pynapple, whose epochs are kept apart. A
            value that is not finite makes every sum it enters NaN.
        predictor_causality: `"causal"`, `"anti-causal"` or `"acausal"`.
        shift: leave the present sample out of its own row; yes by default, except for `"acausal"`.
        axis: the axis of time.
        batch_size_samples, batch_size_channels, batch_size_basis: how many to work on at a time, to need less memory;
            the values are the same.

    Returns:
        Arrays of the shape of the series with a last axis of functions.

    Raises:
        ShapeError: the basis is no matrix, a series is empty or has no such axis.
        OptionError: an unknown causality, a shift of an acausal predictor, or a batch size that is not above zero.

    >>> y = jnp.arange(1.0, 6.0)
    >>> create_convolutional_predictor(jnp.eye(2), y)[2:].astype(int).tolist()
    [[2, 1], [3, 2], [4, 3]]
    """
    basis = jnp.asarray(basis_matrix, jnp.result_type(float))
    if basis.ndim != 2 or 0 in basis.shape:
        raise ShapeError(f"basis_matrix: expected (window, functions), none of them 0, got {basis.shape}.")
    if predictor_causality not in CAUSALITIES:
        raise OptionError(unknown("predictor_causality", predictor_causality, CAUSALITIES))
    if shift and predictor_causality == "acausal":
        raise OptionError("shift=True has no meaning for an acausal predictor, which is centred; leave shift out.")
    sizes = (batch_size_samples, batch_size_channels, batch_size_basis)
    for name, size in zip(("samples", "channels", "basis"), sizes, strict=True):
        if size is not None and (not isinstance(size, int | np.integer) or size < 1):
            raise OptionError(f"batch_size_{name}: expected a whole number above zero or None, got {size!r}.")
    shift = predictor_causality != "acausal" if shift is None else shift
    window = basis.shape[0]
    if predictor_causality == "acausal" and window % 2 == 0:
        warn(f"a window of {window} samples has no centre: the row has one more sample after it than before "
                      "it; choose an odd window.", UserWarning)  # fmt: skip
    pads = _pads(window, predictor_causality, shift)

    def one(series: Any) -> Any:
        if is_pynapple(series):
            return by_epoch(partial(_one, basis, pads, axis, sizes), series, axis)
        return _one(basis, pads, axis, sizes, series)

    return jax.tree.map(one, time_series, is_leaf=is_pynapple)


def _pads(window: int, causality: str, shift: bool) -> tuple[int, int, int]:
    """Return rows of NaN in front, rows of NaN behind, and how many of the last valid rows a shift pushes out."""
    if causality == "acausal":
        return (window - 1) // 2, window - 1 - (window - 1) // 2, 0
    return (window - 1 + shift, 0, int(shift)) if causality == "causal" else (0, window - 1 + shift, int(shift))


def _one(basis: Array, pads: tuple[int, int, int], axis: int, sizes: tuple, series: Any) -> Array:
    y = jnp.asarray(series)
    y = y.astype(jnp.result_type(y, float))
    if y.ndim == 0 or y.size == 0:
        raise ShapeError(f"time_series: expected samples along an axis of time, got the shape {y.shape}.")
    if not -y.ndim <= axis < y.ndim:
        raise ShapeError(f"axis: there is no axis {axis} in a time series of shape {y.shape}.")
    y = jnp.moveaxis(y, axis, 0)
    window, (front, behind, drop) = basis.shape[0], pads
    length = y.shape[0]
    if length < front + behind + 1:
        warn(f"a time series of {length} samples is too short for a window of {window}: its features are all "
                      "NaN. Choose a shorter window.", UserWarning)  # fmt: skip
        rows = jnp.full((*y.shape, basis.shape[1]), jnp.nan, y.dtype)
    else:
        flat = _in_batches(basis.astype(y.dtype), y.reshape(length, -1), sizes)
        flat = flat[: flat.shape[0] - drop] if front else flat[drop:]
        rows = jnp.pad(flat, ((front, behind), (0, 0), (0, 0)), constant_values=jnp.nan)
        rows = rows.reshape(*y.shape, basis.shape[1])
    return jnp.moveaxis(rows, 0, axis if axis >= 0 else y.ndim + axis)


def _in_batches(basis: Array, y: Array, sizes: tuple[int | None, int | None, int | None]) -> Array:
    window, (samples, channels, functions) = basis.shape[0], sizes
    rows = y.shape[0] - window + 1
    if samples and samples < rows:
        starts = range(0, rows, samples)
        cuts = [y[s : min(s + samples, rows) + window - 1] for s in starts]
        return jnp.concatenate([_in_batches(basis, cut, (None, channels, functions)) for cut in cuts])
    if channels and channels < y.shape[1]:
        cuts = [y[:, s : s + channels] for s in range(0, y.shape[1], channels)]
        return jnp.concatenate([_in_batches(basis, cut, (None, None, functions)) for cut in cuts], axis=1)
    if functions and functions < basis.shape[1]:
        cuts = [basis[:, s : s + functions] for s in range(0, basis.shape[1], functions)]
        return jnp.concatenate([convolve_valid(cut, y) for cut in cuts], axis=2)
    return convolve_valid(basis, y)


@jax.jit
def convolve_valid(basis: Array, y: Array) -> Array:
    """Return the convolution where the window lies inside of the series.

    Blocks of rows are one product with a banded matrix, which is faster than sums over lags.

    Arguments:
        basis: `(window, functions)`; row 0 multiplies the newest sample of a window.
        y: `(time, channels)`.

    Returns:
        `(time - window + 1, channels, functions)`.
    """
    window, functions = basis.shape
    rows, channels = y.shape[0] - window + 1, y.shape[1]
    looped = channels >= MANY_CHANNELS
    block = min(rows, 64 if looped else max(32, min(window, 256)))
    count = -(-rows // block)
    bad = ~jnp.isfinite(y)
    span = block + window - 1
    padded = jnp.pad(jnp.where(bad, 0, y), ((0, count * block + window - 1 - y.shape[0]), (0, 0)))
    lag = np.arange(block)[:, None] + window - 1 - np.arange(span)[None, :]
    inside = (lag >= 0) & (lag < window)
    banded = jnp.where(inside[:, :, None], basis[np.clip(lag, 0, window - 1)], 0)
    # A product with a banded matrix would spread what is not finite beyond the windows that hold it.
    seen = jnp.pad(jnp.cumsum(bad.astype(jnp.int32), axis=0), ((1, 0), (0, 0)))
    lost = seen[window:] > seen[:-window]
    if looped:
        flat = banded.transpose(0, 2, 1).reshape(block * functions, span)
        lost = jnp.pad(lost, ((0, count * block - rows), (0, 0)))

        # One block after the other: what is turned then is small, and stays in the processor's cache.
        def one(k: Array) -> Array:
            made = flat @ lax.dynamic_slice_in_dim(padded, k * block, span)
            made = made.reshape(block, functions, channels).swapaxes(1, 2)
            return jnp.where(lax.dynamic_slice_in_dim(lost, k * block, block)[:, :, None], jnp.nan, made)

        out = map_items(one, jnp.arange(count))
        return out.reshape(count * block, channels, functions)[:rows]
    index = np.arange(count)[:, None] * block + np.arange(span)[None, :]
    out = jnp.einsum("swf,nwc->nscf", banded, padded[index])
    return jnp.where(lost[:, :, None], jnp.nan, out.reshape(count * block, channels, functions)[:rows])
