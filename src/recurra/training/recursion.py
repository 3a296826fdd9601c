"""The recursion of least squares: one inverse correlation for all targets, or one for each with its own features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.errors import OptionError, ShapeError, TrainingError

LARGEST = 2e9  # bytes of all inverses together
DIGITS = 1e-3  # relative error of the weights at which an inverse that grows has lost its meaning


def rls_update(weights: Array, inverse: Array, features: Array, error: Array, forgetting: float) -> tuple[Array, Array]:
    """Return weights and inverse correlation after one row.

    Arguments:
        weights: `(k, n)`.
        inverse: `(n, n)`, symmetric.
        features: `(n,)`.
        error: readout minus target, `(k,)`.
        forgetting: weight of what was before, 0 < forgetting <= 1.
    """
    projected = inverse @ features
    scale = forgetting + features @ projected
    # As an outer product of one vector with itself the inverse stays symmetric to the last bit.
    inverse = (inverse - jnp.outer(projected, projected) / scale) / forgetting
    return weights - jnp.outer(error, projected / scale), inverse


def own_update(weights: Array, inverse: Array, features: Array, error: Array, forgetting: float) -> tuple[Array, Array]:
    """Return weights and inverses after one row, where every target has features and an inverse of its own.

    Arguments:
        weights: `(k, most)`.
        inverse: `(k, most, most)`.
        features: `(k, most)`, 0 where a target has fewer.
        error: readout minus target, `(k,)`.
        forgetting: as for :func:`rls_update`.
    """
    projected = jnp.einsum("kij,kj->ki", inverse, features)
    scale = forgetting + jnp.sum(features * projected, axis=1)
    inverse = (inverse - projected[:, :, None] * projected[:, None, :] / scale[:, None, None]) / forgetting
    return weights - error[:, None] * projected / scale[:, None], inverse


@dataclass(frozen=True, eq=False)
class Recursion:
    """Say how a readout learns from a row.

    Arguments:
        features: number of features.
        forgetting: weight of the past from row to row.
        index: `(k, most)`, the features that each target reads, `features` for none; `None` if all read all and share
            one inverse.
    """

    features: int
    forgetting: float
    index: np.ndarray | None = None

    def learn(
        self, carry: tuple, features: Array, target: Array, learns: Array, seen: Array | None = None
    ) -> tuple[tuple, tuple[Array, Array, Array]]:
        """Return weights and inverse after a row, and the readout before it with what tells whether it runs away.

        Arguments:
            carry: weights and inverse.
            features, target: of the row.
            learns: whether it is learned from; one truth value, or one for each target with its own inverse.
            seen: what is compared with the target; the readout if `None`.
        """
        weights, inverse = carry
        if self.index is None:
            own, readout = features, weights @ features
        else:
            own = jnp.append(features, 0)[self.index]
            readout = jnp.sum(weights * own, axis=1)
        error = (readout if seen is None else seen) - target
        update = rls_update if self.index is None else own_update
        changed = update(weights, inverse, own, error, self.forgetting)
        kept = tuple(
            jnp.where(learns if self.index is None else jnp.reshape(learns, (-1,) + (1,) * (new.ndim - 1)), new, old)
            for new, old in zip(changed, carry, strict=True)
        )
        largest = jnp.max(jnp.diagonal(kept[1], axis1=-2, axis2=-1))
        return kept, (readout, largest, jnp.sum(features**2))

    def whole(self, weights: ArrayLike) -> np.ndarray:
        """Return weights as a matrix `(k, features)`."""
        found = np.asarray(weights, float)
        if self.index is None:
            return found
        wide = np.zeros((len(found), self.features + 1))
        np.put_along_axis(wide, self.index, found, axis=1)
        return wide[:, :-1]

    def start(
        self, k: int, alpha: float, weights: ArrayLike | None, inverse: ArrayLike | None, precision: str
    ) -> tuple[Array, Array]:
        """Check and lay out where the recursion starts."""
        n = self.features
        if not (isinstance(alpha, int | float) and alpha > 0):
            raise OptionError(f"alpha must be a number > 0, got {alpha!r}; for none at all use ridge with alpha=0.")
        if not (isinstance(self.forgetting, int | float) and 0 < self.forgetting <= 1):
            raise OptionError(f"forgetting must be a number > 0 and <= 1, got {self.forgetting!r}.")
        first = np.zeros((k, n)) if weights is None else np.asarray(weights, float)
        if first.shape != (k, n):
            raise ShapeError(f"weights: got shape {first.shape}, expected {(k, n)}.")
        if self.index is None:
            matrix = np.eye(n) / alpha if inverse is None else np.asarray(inverse, float)
            wanted = (n, n)
        else:
            there = self.index < n
            padded = np.append(first, np.zeros((k, 1)), axis=1)
            if np.count_nonzero(first) != np.count_nonzero(np.take_along_axis(padded, self.index, axis=1) * there):
                raise ShapeError("weights: some are not 0 where there is no connection.")
            first = np.take_along_axis(padded, self.index, axis=1)
            # Where a target has fewer features its inverse is 0, so that nothing grows there by forgetting.
            own = np.eye(self.index.shape[1]) * there[:, :, None] / alpha
            matrix, wanted = (own if inverse is None else np.asarray(inverse, float)), own.shape
        if matrix.shape != wanted:
            raise ShapeError(f"inverse: got shape {matrix.shape}, expected {wanted}.")
        return jnp.asarray(first, precision), jnp.asarray(matrix, precision)


def make_recursion(k: int, features: int, forgetting: float, connections: ArrayLike | None, apart: bool) -> Recursion:
    """Return the recursion for k targets.

    Arguments:
        k: number of targets.
        features: number of features.
        forgetting: weight of the past from row to row.
        connections: `(k, features)` booleans, which feature reaches which target; all if `None`.
        apart: whether targets learn at different times.

    Raises:
        ShapeError: connections of another shape.
        OptionError: a target that nothing reaches, or inverses that do not fit into memory.
    """
    there = np.ones((k, features), bool) if connections is None else np.asarray(connections)
    if there.shape != (k, features) or not np.isin(there, (0, 1)).all():
        raise ShapeError(
            f"connections: expected {(k, features)} booleans, (targets, features), got shape {there.shape}."
        )
    there = there.astype(bool)
    if not apart and there.all():
        return Recursion(features, forgetting)
    most = max(1, int(there.sum(axis=1).max()))
    if 8.0 * k * most**2 > LARGEST:
        raise OptionError(
            f"each of {k} targets has its own inverse of {most} x {most} numbers here, {8e-9 * k * most**2:.1f} GB in"
            " all. Give the edge fewer connections, or let all targets share theirs and learn at the same times."
        )
    # Connections first, in their order.
    order = np.argsort(~there, axis=1, kind="stable")[:, :most]
    return Recursion(features, forgetting, np.where(np.take_along_axis(there, order, axis=1), order, features))


class Watch:
    """Look whether a recursion runs away: with forgetting, what rests for long is forgotten altogether.

    The inverse then grows by 1/forgetting in every row (windup: Astrom & Wittenmark 1995, ch. 11), until the next row
    that is not at rest takes a difference of numbers so large that nothing is left of it.
    """

    def __init__(self, start: Any, forgetting: float, precision: str):
        self.first = float(np.max(np.diagonal(np.asarray(start[1]), axis1=-2, axis2=-1)))
        self.largest = DIGITS / float(np.finfo(precision).eps)
        self.forgetting, self.forgets, self.size = forgetting, forgetting < 1, 0.0

    def look(self, told: tuple[Any, Any, Any], at: int, where: str = "") -> None:
        """Look at readouts, largest entries of the inverse and squared sizes of features of some rows.

        Raises:
            TrainingError: something is not finite, or the inverse has grown beyond what can be computed with.
        """
        readouts, inverse, sizes = (np.asarray(each) for each in told)
        reach = np.maximum(np.maximum.accumulate(sizes, axis=0), self.size)
        self.size = float(reach[-1])
        fine = np.isfinite(readouts).reshape(len(readouts), -1).all(axis=1) & np.isfinite(inverse)
        with np.errstate(over="ignore"):
            beyond = inverse * reach > self.largest
        away = beyond & (inverse > 10 * self.first) if self.forgets else ~fine
        bad = away | ~fine | ~np.isfinite(sizes)
        if not bad.any():
            return
        row = int(np.argmax(bad))
        place = f"at row {at + row}{where}"
        if not np.isfinite(sizes[row]):
            raise TrainingError(f"what is read out is not finite {place}: the network itself diverges.", at + row)
        if away[row] and self.forgets:
            raise TrainingError(
                f"the inverse correlation runs away {place}: with forgetting={self.forgetting:g}"
                " everything that rests is forgotten, and there are directions in which the features have not moved for"
                " too long. Take forgetting=1 or nearer to 1, or mask the rows of rest.",
                at + row,
            )
        raise TrainingError(
            f"the readout is not finite {place}. Take a larger alpha, and targets that the network can follow.",
            at + row,
        )
