"""Power and coherence over frequencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.engine.checks import as_real
from recurra.errors import ShapeError

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Hold a function of frequency.

    Arguments:
        frequency: `(frequencies,)`, cycles per unit of time.
        values: `(frequencies, units)`.

    >>> time = np.arange(0, 10, 0.01)
    >>> waves = np.sin(2 * np.pi * np.outer(time, [5.0, 10.0]))
    >>> found = power_spectrum(waves, 0.01, segment=2.0)
    >>> found.frequency[:3].tolist(), found.values.shape, found.peak.tolist()
    ([0.0, 0.5, 1.0], (101, 2), [5.0, 10.0])
    """

    frequency: np.ndarray
    values: np.ndarray

    @property
    def peak(self) -> np.ndarray:
        """Return for each unit the frequency above 0 of the largest value, `(units,)`; NaN where there is none.

        A signal that does not vary has no power at any frequency, and no coherence.
        """
        values = np.nan_to_num(self.values[1:])
        return np.where(values.max(axis=0) > 0, self.frequency[1:][values.argmax(axis=0)], np.nan)

    def __repr__(self) -> str:
        step = self.frequency[1] - self.frequency[0]
        empty = int(np.isnan(self.peak).sum())
        return (
            f"Spectrum({self.values.shape[1]} units, 0 to {self.frequency[-1]:.4g} in steps of {step:.4g}"
            + (f"; {empty} do not vary)" if empty else ")")
        )

    def to_xarray(self) -> xarray.DataArray:
        """Return the values with their frequencies as a labelled array."""
        import xarray

        return xarray.DataArray(
            self.values, dims=("frequency", "unit"), coords={"frequency": self.frequency}
        )


def power_spectrum(signal: ArrayLike, dt: float, segment: float | None = None) -> Spectrum:
    """Estimate the power spectral density by averaging over segments that overlap by half (Welch 1967).

    Arguments:
        signal: `(time,)` or `(time, units)`; its mean is taken off.
        dt: time between samples.
        segment: length of a segment in units of time; an eighth of the signal if `None`.

    Returns:
        The density: its integral over frequencies is the variance; 0 for a unit that does not vary.

    Raises:
        ShapeError: no such array, or shorter than a segment.

    >>> time = np.arange(0, 10, 0.01)
    >>> power_spectrum(np.sin(2 * np.pi * 5 * time), 0.01, segment=2.0).peak
    array([5.])
    """
    from scipy.signal import welch

    array = _signal(signal, "signal")
    length = _segment(array, dt, segment)
    frequency, values = welch(array, 1 / dt, nperseg=length, axis=0, detrend="constant")
    return Spectrum(frequency, np.where(_varies(array), values, 0.0))


def coherence(first: ArrayLike, second: ArrayLike, dt: float, segment: float | None = None) -> Spectrum:
    """Estimate the squared coherence of two signals, from 0 to 1 (Carter, Knapp & Nuttall 1973).

    Arguments:
        first, second: `(time,)` or `(time, units)`, unit i against unit i.
        dt, segment: as for :func:`power_spectrum`. With a single segment the coherence would be 1 everywhere.

    Returns:
        The coherence at each frequency, `(frequencies, units)`; NaN for a unit of which one signal does not vary.

    Raises:
        ShapeError: the shapes differ, or there is no second segment.

    >>> noise = np.random.default_rng(0).standard_normal((2, 4096))
    >>> bool(coherence(noise[0], 3 * noise[0], 0.01, 1.0).values.min() > 0.999)
    True
    >>> bool(coherence(noise[0], noise[1], 0.01, 1.0).values.mean() < 0.1)
    True
    """
    from scipy.signal import coherence as squared

    a, b = _signal(first, "first"), _signal(second, "second")
    if a.shape != b.shape:
        raise ShapeError(f"first and second: got shapes {a.shape} and {b.shape}, expected equal ones.")
    length = _segment(a, dt, segment)
    if 2 * len(a) < 3 * length:
        raise ShapeError(f"segment: {len(a)} samples hold one segment of {length} only; use a shorter one.")
    with np.errstate(divide="ignore", invalid="ignore"):
        frequency, values = squared(a, b, 1 / dt, nperseg=length, axis=0)
    return Spectrum(frequency, np.where(_varies(a) & _varies(b), values, np.nan))


def _varies(array: np.ndarray) -> np.ndarray:
    """Say which columns differ from their mean by more than rounding."""
    return np.ptp(array, axis=0) > 1e-14 * np.abs(array).max(axis=0)


def _signal(value: ArrayLike, what: str) -> np.ndarray:
    array = as_real(value, what)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) < 2 or not np.isfinite(array).all():
        raise ShapeError(
            f"{what}: got shape {np.shape(value)}, expected finite numbers (time,) or (time, units), two rows or more."
        )
    return array


def _segment(array: np.ndarray, dt: float, segment: float | None) -> int:
    dt = positive(dt, "dt")
    length = max(8, len(array) // 8) if segment is None else round(positive(segment, "segment") / dt)
    length = min(length, len(array)) if segment is None else length
    if not 2 <= length <= len(array):
        raise ShapeError(f"segment: {length} samples, expected from 2 to the {len(array)} of the signal.")
    return length
