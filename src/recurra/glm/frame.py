"""Moved and scaled features: a fit whose outcome does not depend on where a feature's zero is, nor on its unit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recurra.glm.penalty import Penalty

# Rows that are looked at, and how far a feature may be off before it is brought near.
SAMPLE, FAR, UNITS = 4096, 30.0, (1e-4, 1e4)


@dataclass(frozen=True)
class Frame:
    """Say how features are moved and scaled before a fit: `(x - shift) / scale`.

    A mean of 1e4 standard deviations costs a fit in float64 eight of its digits, one of 1e8 all of them.

    Arguments:
        shift, scale: `(features,)`; 0 and 1 where a feature is left as it is.

    >>> x = np.array([[1e6, 0.0], [1e6 + 1, 1.0]])
    >>> frame = find_frame(x, np.ones(2), intercept=True)
    >>> frame.moved(x).tolist()
    [[-0.5, 0.0], [0.5, 1.0]]
    >>> frame.coefficients_outside(np.array([[2.0], [1.0], [3.0]]))[:2].ravel().tolist()
    [2.0, 1.0]
    """

    shift: np.ndarray
    scale: np.ndarray

    def moved(self, x: np.ndarray) -> np.ndarray:
        """Return features `(time, features)` moved and scaled; those that stay are copied."""
        some = np.flatnonzero((self.shift != 0) | (self.scale != 1))
        found = x.copy()
        found[:, some] = (x[:, some].astype(float) - self.shift[some]) / self.scale[some]
        return found

    def coefficients_inside(self, coef: np.ndarray) -> np.ndarray:
        """Return coefficients of moved features, `(features + 1, ...)`, for those of the features as they are."""
        found = np.array(coef, float)
        found[-1] += np.tensordot(self.shift, found[:-1], 1)
        found[:-1] *= self._across(self.scale, found)
        return found

    def coefficients_outside(self, coef: np.ndarray) -> np.ndarray:
        """Return coefficients of the features as they are, for those of moved ones."""
        found = np.array(coef, float)
        found[:-1] /= self._across(self.scale, found)
        found[-1] -= np.tensordot(self.shift, found[:-1], 1)
        return found

    def penalty_inside(self, penalty: Penalty) -> Penalty:
        """Return the penalty on coefficients of moved features that is the same."""
        s = self.scale[:, None]
        by = {"diagonal": 1 / s**2, "matrix": 1 / (s * s.T), "lasso": 1 / s, "lower": s, "upper": s}
        changed = {n: np.asarray(getattr(penalty, n)) * f for n, f in by.items() if getattr(penalty, n) is not None}
        return replace(penalty, **changed)  # type: ignore[arg-type]

    @staticmethod
    def _across(values: np.ndarray, coef: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *[1] * (coef.ndim - 1))


def find_frame(x: np.ndarray, weight: np.ndarray, intercept: bool, scaled: bool = True) -> Frame | None:
    """Return how the features of a fit should be moved and scaled; `None` if they are fine, as they mostly are.

    Arguments:
        x: `(time, features)`.
        weight: `(time,)` or `(time, columns)`; rows of weight 0 are not looked at.
        intercept: whether there is one, which takes up what is moved.
        scaled: whether the penalty allows for scaling.
    """
    each = weight if weight.ndim == 1 else weight.max(axis=1, initial=0)
    counts = np.arange(len(x)) if each.min(initial=np.inf) > 0 else np.flatnonzero(each)
    if not len(counts):
        return None
    rows = x[counts[:: max(1, len(counts) // SAMPLE)]].astype(float)
    mean, square = rows.mean(axis=0), np.einsum("tf,tf->f", rows, rows) / len(rows)
    # That is |mean| > FAR * standard deviation.
    far = (mean**2 * (1 + FAR**2) > square * FAR**2) & (mean != 0) & intercept
    small, large = UNITS
    if not far.any() and not np.any((square > 0) & ((square < small**2) | (square > large**2))):
        return None
    shift, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for f in np.flatnonzero(far):
        # A constant, such as a column of ones, stays: there is nothing to be seen better.
        shift[f] = mean[f] if np.ptp(x[counts, f]) > 0 else 0
    size = np.sqrt(((rows - shift) ** 2).mean(axis=0))
    odd = (size > 0) & ((size < small) | (size > large)) & scaled
    # A power of two loses no digit.
    scale[odd] = np.exp2(np.round(np.log2(size[odd])))
    return Frame(shift, scale) if shift.any() or odd.any() else None
