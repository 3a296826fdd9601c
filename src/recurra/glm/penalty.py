"""Penalties as numbers: what every regularizer, bound and prior comes down to."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Penalty:
    """Hold a penalty on coefficients `(features, columns, outputs)`; parts that are `None` are not there.

    The value for one column w is

        sum_f diagonal_f w_f^2 / 2 + factor * w' matrix w / 2 + sum_f lasso_f |w_f| + sum_g group_g norm2(w of group g)

    within `lower <= w <= upper`. Parts are arrays of NumPy until :meth:`cast` makes them arrays of JAX.

    Arguments:
        diagonal: `(features, columns)`.
        matrix, factor: `(features, features)`, `(columns,)`.
        lasso: `(features, columns)`.
        member, group: `(groups, features)` of ones and zeros, `(groups, columns)`.
        lower, upper: `(features, columns)`.
    """

    diagonal: Any = None
    matrix: Any = None
    factor: Any = None
    lasso: Any = None
    member: Any = None
    group: Any = None
    lower: Any = None
    upper: Any = None

    @property
    def rough(self) -> bool:
        """Whether there is a part without a derivative, or a bound."""
        return any(part is not None for part in (self.lasso, self.group, self.lower))

    def smooth(self, coef: Array) -> Array:
        """Return the quadratic part of the value, `(columns,)`."""
        return 0.5 * jnp.sum(coef * self.slope(coef), axis=(0, 2))

    def slope(self, coef: Array) -> Array:
        """Return the derivative of the quadratic part, which is also its product with a direction."""
        found = jnp.zeros_like(coef)
        if self.diagonal is not None:
            found += self.diagonal[..., None] * coef
        if self.matrix is not None and self.factor is not None:
            found += jnp.tensordot(self.matrix, coef, 1) * self.factor[None, :, None]
        return found

    def hessian(self, columns: int, features: int, dtype: jnp.dtype) -> Array:
        """Return the second derivative of the quadratic part, `(columns, features, features)`."""
        found = jnp.zeros((columns, features, features), dtype)
        if self.diagonal is not None:
            found += jax.vmap(jnp.diag)(self.diagonal.T)
        if self.matrix is not None and self.factor is not None:
            found += self.factor[:, None, None] * self.matrix[None]
        return found

    def rest(self, coef: Array) -> Array:
        """Return the part of the value without a derivative, `(columns,)`; bounds are taken to hold."""
        found = jnp.zeros(coef.shape[1], coef.dtype)
        if self.lasso is not None:
            found += jnp.sum(self.lasso[..., None] * jnp.abs(coef), axis=(0, 2))
        if self.group is not None:
            found += jnp.sum(self.group[..., None] * self._norms(coef), axis=(0, 2))
        return found

    def _norms(self, coef: Array) -> Array:
        return jnp.sqrt(jnp.tensordot(jnp.asarray(self.member), coef**2, 1))

    def proximal(self, coef: Array, step: Array) -> Array:
        """Return the minimiser of `norm2(w - coef)^2 / 2 + step * rest(w)` within the bounds (Parikh & Boyd 2014).

        Arguments:
            coef: `(features, columns, outputs)`.
            step: `(columns,)`.
        """
        if self.lasso is not None:
            cut = self.lasso[..., None] * step[None, :, None]
            coef = jnp.sign(coef) * jax.nn.relu(jnp.abs(coef) - cut)
        if self.group is not None and self.member is not None:
            norms, cut = self._norms(coef), self.group[..., None] * step[None, :, None]
            kept = jnp.where(norms > cut, 1 - cut / jnp.where(norms > 0, norms, 1), 0)
            free = 1 - jnp.sum(self.member, axis=0)
            coef = coef * (jnp.tensordot(self.member.T, kept, 1) + free[:, None, None])
        if self.lower is not None and self.upper is not None:
            coef = jnp.clip(coef, self.lower[..., None], self.upper[..., None])
        return coef

    def take(self, features: np.ndarray, columns: np.ndarray, size: int | None = None) -> Penalty:
        """Return the penalty of some features of some columns, filled up with features without a penalty.

        Arguments:
            features, columns: numbers of those wanted.
            size: number of features with the filling; `None` for none.
        """
        extra = (size or len(features)) - len(features)
        changed: dict[str, np.ndarray] = {}
        for name in (f.name for f in fields(self)):
            part = getattr(self, name)
            if part is None:
                continue
            part = np.asarray(part)
            if name == "factor":
                changed[name] = part[columns]
            elif name == "group":
                changed[name] = part[:, columns]
            elif name == "member":
                changed[name] = np.pad(part[:, features], ((0, 0), (0, extra)))
            elif name == "matrix":
                changed[name] = np.pad(part[np.ix_(features, features)], ((0, extra), (0, extra)))
            else:
                changed[name] = np.pad(part[np.ix_(features, columns)], ((0, extra), (0, 0)))
        return replace(self, **changed)  # type: ignore[arg-type]

    def cast(self, dtype: str) -> Penalty:
        """Return the penalty with numbers of a type."""
        return jax.tree.map(lambda part: np.asarray(part, dtype), self)
