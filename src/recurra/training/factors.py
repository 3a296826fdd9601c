"""Low rank with signs: products of two thin matrices without negative numbers (Lee & Seung 1999), times the signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.errors import OptionError, ShapeError
from recurra.training.constraints import Constraint, LowRank, Mask

FITS = 1e-6  # of the largest singular value: how near factors must come to a start


@dataclass(frozen=True, eq=False)
class SignedLowRank(Constraint):
    """Keep the rank of a matrix together with the signs of its columns, or with rows and columns of zeros.

    Arguments:
        rank: number of columns of the factors.
        signs: shape -> sign of each entry, `None` if signs are free.
        masks: which rows and columns there are.
    """

    rank: int
    signs: Callable[[tuple[int, ...]], np.ndarray | None]
    masks: tuple[Mask, ...]

    __repr__ = brief

    def _of(self, value: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Return which entries there are, and the signs."""
        shape = np.shape(value)
        LowRank(self.rank)._factors(value, where)  # a matrix that is large enough
        present = np.ones(shape, bool)
        for mask in self.masks:
            if np.shape(mask.present) not in ((), shape, shape[1:]):
                raise ShapeError(f"{where}: the mask has shape {np.shape(mask.present)}, the parameter {shape}.")
            present &= np.broadcast_to(np.asarray(mask.present, bool), shape)
        if (present != np.outer(present.any(axis=1), present.any(axis=0))).any():
            raise OptionError(
                f"{where}: LowRank and a Mask of single entries contradict: a product of thin matrices keeps whole rows"
                " and columns at 0 only."
            )
        signs = self.signs(shape)
        if signs is not None and self.rank > 2 and self.rank < min(shape):
            raise OptionError(
                f"{where}: LowRank({self.rank}) and Dale: above rank 2 factors without negative numbers cannot be found"
                " for certain. Take rank 1 or 2, or one of the two constraints."
            )
        return present, signs

    def free(self, value: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
        present, signs = self._of(value, where)
        if (value[~present] != 0).any() or (signs is not None and (value * signs < 0).any()):
            raise OptionError(f"{where}: some entries break Dale or Mask. Start from `constraint.project(value)`.")
        if signs is None:
            return LowRank(self.rank).free(value, where)
        left, right = nonnegative_factors(np.abs(value), self.rank)
        off = np.abs(left @ right - np.abs(value)).max()
        if off > FITS * max(np.linalg.norm(value, 2), np.finfo(float).tiny):
            raise OptionError(
                f"{where}: it is no product of rank {self.rank} whose factors have no negative numbers (off by"
                f" {off:.2g}). Start from `constraint.project(value)`."
            )
        return left, right

    def value(self, free: tuple[Array, Array], origin: Array) -> Array:
        shape = (free[0].shape[0], free[1].shape[1])
        signs = self.signs(shape)
        left, right = free
        if signs is not None:
            # Unlike relu it has a slope at 0, so that a factor of 0 can grow.
            left, right = (jnp.where(each >= 0, each, 0) for each in free)
        found = left @ right
        if signs is not None:
            found = jnp.where(signs > 0, found, 0 - found)
        present = np.ones(shape, bool)
        for mask in self.masks:
            present &= np.broadcast_to(np.asarray(mask.present, bool), shape)
        return jnp.where(present, found, 0)

    def project(self, value: ArrayLike) -> np.ndarray:
        value = np.asarray(value, float)
        present, signs = self._of(value, "Compose")
        value = np.where(present, value, 0.0)
        if signs is None:
            return np.where(present, LowRank(self.rank).project(value), 0.0)
        left, right = nonnegative_factors(np.where(value * signs > 0, np.abs(value), 0.0), self.rank)
        return np.where(present, signs * (left @ right), 0.0) + 0.0


def nonnegative_factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return factors without negative numbers whose product is near to a matrix without any.

    It is the matrix itself if that has rank 1 or 2 (where every such matrix is such a product: Cohen & Rothblum 1993):
    seen in their plane, all columns lie between two of them, which are the first factor. The same if the rank asked for
    is that of any matrix of its shape.

    Arguments:
        matrix: `(m, n)`, no number below 0.
        rank: 1, 2, or the smaller of m and n.

    >>> left, right = nonnegative_factors(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]]), 2)
    >>> bool((left >= 0).all() and (right >= 0).all()), (left @ right).round(12).tolist()
    (True, [[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])
    """
    from scipy.optimize import nnls

    if rank == min(matrix.shape) and rank > 2:
        wide = matrix.shape[0] == rank
        return (np.eye(rank), matrix.copy()) if wide else (matrix.copy(), np.eye(rank))
    outer, sizes, inner = np.linalg.svd(matrix, full_matrices=False)
    if sizes[0] == 0:
        # Where a product is 0 one factor is not, so that the derivative of the other does not vanish.
        return np.ones((len(matrix), rank)), np.zeros((rank, matrix.shape[1]))
    if rank == 1:
        root = np.sqrt(sizes[0])
        return np.abs(outer[:, :1]) * root, np.abs(inner[:1]) * root
    near = np.maximum((outer[:, :2] * sizes[:2]) @ inner[:2], 0.0)
    seen = np.abs(inner[0]) > 1e-9 * np.abs(inner[0]).max()
    slope = np.where(seen, inner[1] / np.where(seen, inner[0], 1.0), np.nan)
    left = near[:, [int(np.nanargmin(slope)), int(np.nanargmax(slope))]]
    right = np.stack([nnls(left, column)[0] for column in matrix.T], axis=1)
    balance = np.sqrt(np.linalg.norm(right, axis=1) / np.maximum(np.linalg.norm(left, axis=0), 1e-300))
    balance = np.where(balance > 0, balance, 1.0)
    return left * balance, right / balance[:, None]
