"""Regularizers by name: what a penalty means; how strong it is says the estimator's `regularizer_strength`.

All penalties are added to the weighted mean over time of the negative log-likelihood, for each neuron by itself, and
leave the intercept alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from recurra.errors import OptionError, ShapeError, unknown
from recurra.glm.design import Layout, spread
from recurra.glm.penalty import Penalty


@runtime_checkable
class Regularizer(Protocol):
    """Turn a strength into the numbers of a penalty."""

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty: ...


@dataclass(frozen=True)
class UnRegularized:
    """Penalise nothing.

    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 2))
    >>> y = rng.poisson(np.exp(x[:, 0] - 1.0))
    >>> model = GLM(regularizer=UnRegularized()).fit(x, y)
    >>> residuals = y - model.predict(x)  # at the maximum of the likelihood no feature explains any more of them
    >>> bool(np.abs(x.T @ residuals).max() < 1e-4)
    True
    """

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty:
        """Return the empty penalty."""
        return Penalty()


@dataclass(frozen=True)
class Ridge:
    """Penalise `strength * w^2 / 2` (Hoerl & Kennard 1970).

    >>> Ridge().penalty(Layout(("",), (2,)), 0.5, 1).diagonal
    array([[0.5],
           [0.5]])
    """

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty:
        """Return the penalty; see :func:`by_feature` for the shapes of strength."""
        return Penalty(diagonal=by_feature(strength, layout, columns))


@dataclass(frozen=True)
class Lasso:
    """Penalise `strength * |w|` (Tibshirani 1996).

    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 3))
    >>> y = rng.poisson(np.exp(x[:, 0] - 1.0))
    >>> (GLM(regularizer=Lasso(), regularizer_strength=0.2).fit(x, y).coef_ == 0).tolist()
    [False, True, True]
    """

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty:
        """Return the penalty; see :func:`by_feature` for the shapes of strength."""
        return Penalty(lasso=by_feature(strength, layout, columns))


@dataclass(frozen=True)
class ElasticNet:
    """Penalise `strength * ((1 - ratio) w^2 / 2 + ratio |w|)` (Zou & Hastie 2005).

    Arguments:
        ratio: share of the absolute value, above 0 and up to 1. The strength may also be a pair (strength, ratio).

    Raises:
        OptionError: in a fit, `ratio` is not above 0 and at most 1.

    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 3))
    >>> y = rng.poisson(np.exp(x[:, 0] - 1.0))
    >>> model = GLM(regularizer=ElasticNet(0.9), regularizer_strength=0.2).fit(x, y)
    >>> (model.coef_ == 0).tolist()
    [False, True, True]
    """

    ratio: float = 0.5

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty:
        """Return the penalty; see :func:`by_feature` for the shapes of strength."""
        ratio: object = self.ratio
        if isinstance(strength, tuple):
            if len(strength) != 2:
                raise OptionError(f"regularizer_strength: expected (strength, ratio), got {len(strength)} entries.")
            strength, ratio = strength
        if not (isinstance(ratio, int | float | np.number) and 0 < ratio <= 1):
            raise OptionError(f"ElasticNet: ratio must be above 0 and at most 1, got {ratio!r}; for 0 use Ridge.")
        each = by_feature(strength, layout, columns)
        return Penalty(diagonal=(1 - ratio) * each, lasso=ratio * each)


@dataclass(frozen=True)
class GroupLasso:
    """Penalise `strength * sqrt(size) * norm2(w)` of each group of features (Yuan & Lin 2006).

    Arguments:
        groups: for each feature the number of its group, -1 for none; `None` makes each leaf of X a group.
        block: instead, so many neighbouring features make a group, such as the basis functions of one sender.

    Raises:
        ShapeError: in a fit, `groups` has not a whole number for each feature, or `block` does not divide them.

    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 4))
    >>> y = rng.poisson(np.exp(0.5 * x[:, 0] + 0.02 * x[:, 1] - 1.0))
    >>> model = GLM(regularizer=GroupLasso(groups=(0, 0, 1, 1)), regularizer_strength=0.1).fit(x, y)
    >>> (model.coef_ == 0).tolist()  # a group goes as a whole
    [False, False, True, True]
    """

    groups: tuple[int, ...] | None = None
    block: int | None = None

    def member(self, layout: Layout) -> np.ndarray:
        """Return `(groups, features)` of ones and zeros."""
        if self.groups is None:
            sizes = blocks(layout, self.block, "GroupLasso")
            found = np.repeat(np.arange(len(sizes)), sizes)
        else:
            found = np.asarray(self.groups)
            if found.shape != (layout.features,) or found.dtype.kind not in "iu":
                raise ShapeError(
                    f"GroupLasso: groups has shape {found.shape} and type {found.dtype}; expected a whole number for"
                    f" each of the {layout.features} features."
                )
        kinds = np.unique(found[found >= 0])
        return (found[None, :] == kinds[:, None]).astype(float)

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty:
        """Return the penalty; strength is a number, or fits `(groups, neurons)`."""
        member = self.member(layout)
        each = spread(checked(strength), (len(member), columns), "regularizer_strength")
        return Penalty(member=member, group=each * np.sqrt(member.sum(axis=1))[:, None])


@dataclass(frozen=True)
class Smoothness:
    """Penalise `strength / 2` times the sum of the squared differences of neighbouring coefficients.

    Whittaker (1923); Eilers & Marx (1996) for coefficients of B-splines.

    Arguments:
        order: of the differences; 1 prefers constant, 2 straight filters.
        block: so many neighbouring features belong to one filter, and differences stay within it; `None` takes each
            leaf of X for a filter.

    Raises:
        OptionError: in a fit, `order` is no whole number of at least 1.

    >>> Smoothness(order=1).penalty(Layout(("",), (3,)), 1.0, 1).matrix  # w @ matrix @ w is (w1-w0)^2 + (w2-w1)^2
    array([[ 1., -1.,  0.],
           [-1.,  2., -1.],
           [ 0., -1.,  1.]])
    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 5))
    >>> y = rng.poisson(np.exp(x @ np.array([0.1, 0.4, 0.2, 0.5, 0.3]) - 1.0))
    >>> w = GLM(regularizer=Smoothness(order=2), regularizer_strength=1e5).fit(x, y).coef_
    >>> bool(np.abs(np.diff(w, n=2)).max() < 1e-3)  # a strong penalty leaves a straight line
    True
    """

    order: int = 2
    block: int | None = None

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty:
        """Return the penalty; strength is a number, or one for each neuron."""
        if isinstance(self.order, bool) or not isinstance(self.order, int) or self.order < 1:
            raise OptionError(f"Smoothness: order must be a whole number of at least 1, got {self.order!r}.")
        matrix = np.zeros((layout.features, layout.features))
        start = 0
        for size in blocks(layout, self.block, "Smoothness"):
            if size > self.order:
                difference = np.diff(np.eye(size), n=self.order, axis=0)
                matrix[start : start + size, start : start + size] = difference.T @ difference
            start += size
        return Penalty(matrix=matrix, factor=spread(checked(strength), (columns,), "regularizer_strength"))


@dataclass(frozen=True)
class ARD:
    """Find the strength of a ridge penalty for each coefficient from the data (automatic relevance determination).

    The strengths maximise the marginal likelihood under Laplace's approximation, by the fixed-point rule of MacKay
    (1992) and Tipping (2001). The strength given is where all of them start.

    Arguments:
        rounds: most updates.
        change: relative change of the coefficients at which the updates end.
        least: a coefficient counts as zero once the data determine less than this share of it.

    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(2)
    >>> x = rng.standard_normal((500, 3))
    >>> y = rng.poisson(np.exp(x[:, 0] - 1.0))
    >>> GLM(regularizer=ARD()).fit(x, y).coef_.round(2)  # no strength had to be chosen
    array([1.06, 0.  , 0.  ])
    """

    rounds: int = 100
    change: float = 1e-4
    least: float = 0.01

    def penalty(self, layout: Layout, strength: object, columns: int) -> Penalty:
        """Return the penalty of the first round; see :func:`by_feature` for the shapes of strength."""
        return Penalty(diagonal=by_feature(strength, layout, columns))


REGULARIZERS = {
    "UnRegularized": UnRegularized,
    "Ridge": Ridge,
    "Lasso": Lasso,
    "ElasticNet": ElasticNet,
    "GroupLasso": GroupLasso,
    "Smoothness": Smoothness,
    "ARD": ARD,
}


def find_regularizer(regularizer: object) -> Regularizer:
    """Return a regularizer by its name, or check one that is given; `None` is none.

    Raises:
        OptionError: the name is unknown, or the object has no method `penalty`.

    >>> find_regularizer("Ridge")
    Ridge()
    """
    if regularizer is None:
        return UnRegularized()
    if isinstance(regularizer, str):
        if regularizer not in REGULARIZERS:
            raise OptionError(unknown("regularizer", regularizer, REGULARIZERS))
        return REGULARIZERS[regularizer]()
    if isinstance(regularizer, type) or not isinstance(regularizer, Regularizer):
        raise OptionError(
            f"regularizer: expected a name ({', '.join(REGULARIZERS)}) or an object with a method `penalty`, such as"
            f" Ridge(); got {regularizer!r}."
        )
    return regularizer


def checked(strength: object) -> np.ndarray:
    """Return a strength as numbers of zero or above; `None` is 1.

    Raises:
        OptionError: it is negative or not finite.
        ShapeError: it is no number.
    """
    try:
        found = np.asarray(1.0 if strength is None else strength, float)
    except (TypeError, ValueError):
        raise ShapeError(f"regularizer_strength: expected numbers, got {strength!r}.") from None
    if not (np.all(np.isfinite(found)) and np.all(found >= 0)):
        raise OptionError(f"regularizer_strength: must be zero or above, got {strength!r}.")
    return found


def by_feature(strength: object, layout: Layout, columns: int) -> np.ndarray:
    """Return a strength for each coefficient, `(features, columns)`.

    Arguments:
        strength: a number; `(neurons,)` for one each; `(features, 1)` or `(features, neurons)`; for a single neuron
            also `(features,)`; or a tree as X is with such entries.
        layout: the layout of X.
        columns: number of neurons.
    """
    if isinstance(strength, dict):
        found = layout.join(strength, "regularizer_strength", (columns,))
        checked(found)
        return found
    return spread(checked(strength), (layout.features, columns), "regularizer_strength")


def blocks(layout: Layout, block: int | None, what: str) -> list[int]:
    """Return the sizes of the neighbouring features that belong together."""
    if block is None:
        return list(layout.sizes)
    if isinstance(block, bool) or not isinstance(block, int) or block < 1:
        raise OptionError(f"{what}: block must be a whole number of at least 1, got {block!r}.")
    for name, size in zip(layout.names, layout.sizes, strict=True):
        if size % block:
            raise ShapeError(f"{what}: the {size} features of {name or 'X'} are no multiple of block = {block}.")
    return [block] * (layout.features // block)


def with_bounds(penalty: Penalty, bounds: object, layout: Layout, columns: int) -> Penalty:
    """Add bounds of the coefficients to a penalty.

    Arguments:
        penalty: without bounds.
        bounds: a pair of lower and upper bound, each `None`, a number, or as :func:`by_feature` takes; `None` for none.
        layout, columns: of X, and number of neurons.

    Raises:
        OptionError: no pair, or a lower bound above the upper.
    """
    if bounds is None:
        return penalty
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise OptionError(f"bounds: expected a pair (lower, upper), such as (0, None); got {bounds!r}.")
    sides = []
    for bound, none in zip(bounds, (-np.inf, np.inf), strict=True):
        sides.append(layout.join(none if bound is None else bound, "bounds", (columns,)))
    if not np.all(sides[0] <= sides[1]):
        raise OptionError("bounds: a lower bound is above its upper bound, or one of them is NaN.")
    if penalty.group is not None:
        raise OptionError("bounds: they do not go together with GroupLasso; use Lasso or Ridge.")
    return replace(penalty, lower=sides[0], upper=sides[1])
