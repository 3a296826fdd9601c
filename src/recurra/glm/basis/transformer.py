"""A basis as a transformer of scikit-learn. Importing this module needs scikit-learn."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from jaxtyping import Array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from recurra.courtesy import guard
from recurra.errors import OptionError, ShapeError, unknown
from recurra.glm.basis.core import Basis
from recurra.glm.basis.families import IdentityEval
from recurra.glm.basis.leaf_kinds import Evaluated
from recurra.glm.basis.special import FourierEval
from recurra.glm.numbers import as_numbers
from recurra.glm.pynapple_series import values_of


class TransformerBasis(TransformerMixin, BaseEstimator):
    """Compute the features of a basis in a pipeline of scikit-learn.

    The columns of X are the inputs of the basis one after the other, each with all of its channels. The range of an
    input without bounds is learned by `fit` and kept by `transform`, so that training and test data are expanded alike.

    Arguments:
        basis: the basis. Its parameters are those of the transformer: `n_basis_funcs`, or `label__n_basis_funcs` for a
            part of a sum or product. They are its attributes as well; after a change it must be fitted again.

    >>> from recurra.glm.basis import BSplineEval
    >>> TransformerBasis(BSplineEval(5)).fit_transform(np.linspace(0, 1, 4)[:, None]).shape
    (4, 5)
    """

    def __init__(self, basis: Basis):
        self.basis = basis

    def __getattr__(self, name: str) -> Any:
        # Called for what is no attribute of the transformer: a parameter of the basis, or one of its properties.
        basis = self.__dict__.get("basis")
        if basis is None or name.startswith("_") or name.endswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        params = self.get_params()
        if name in params:
            return params[name]
        if not hasattr(basis, name):
            raise AttributeError(unknown("attribute", name, params, type(self).__name__))
        return getattr(basis, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "basis" or name.startswith("_") or name.endswith("_"):
            object.__setattr__(self, name, value)
            if name == "basis":
                # What was fitted is another basis.
                self.__dict__.pop("basis_", None)
            return
        try:
            self.set_params(**{name: value})
        except OptionError as problem:
            if name in self.get_params():
                raise
            raise AttributeError(str(problem)) from None

    def fit(self, X: Any, y: Any = None) -> TransformerBasis:
        """Learn the number of columns, and the ranges that no bounds give.

        Raises:
            ShapeError: X is no matrix, or has other columns than the inputs of the basis have channels.
        """
        if not isinstance(self.basis, Basis):
            raise TypeError(f"TransformerBasis: expected a basis, got {type(self.basis).__name__}.")
        X = _matrix(X)
        self.n_features_in_ = X.shape[1]
        self.basis_ = copy.deepcopy(self.basis)
        place = 0
        for leaf, channels in zip(self.basis_.leaves(), _channels(self.basis_, X.shape[1]), strict=True):
            leaf.set_input_shape(*[channels] * leaf.n_inputs)
            width = math.prod(channels)
            columns = [X[:, place + i * width : place + (i + 1) * width] for i in range(leaf.n_inputs)]
            place += width * leaf.n_inputs
            if isinstance(leaf, Evaluated) and leaf.bounds is None and not isinstance(leaf, IdentityEval):
                leaf.bounds = _range(columns[0], leaf.label)
            elif isinstance(leaf, FourierEval) and leaf.bounds is None:
                leaf.bounds = tuple(_range(column, leaf.label) for column in columns)
        return self

    def transform(self, X: Any) -> Array:
        """Compute the features of the columns, `(samples, features)`.

        Raises:
            ShapeError: X has another number of columns than what was fitted.
        """
        check_is_fitted(self, "basis_")
        X = _matrix(X)
        if X.shape[1] != self.n_features_in_:
            raise ShapeError(f"TransformerBasis: X has {X.shape[1]} columns, but {self.n_features_in_} were fitted.")
        inputs, place = [], 0
        for leaf in self.basis_.leaves():
            channels = leaf.input_shape or ()
            for _ in range(leaf.n_inputs):
                width = math.prod(channels)
                inputs.append(X[:, place : place + width].reshape(X.shape[0], *channels))
                place += width
        return self.basis_.compute_features(*inputs)

    def split_by_feature(self, x: Any, axis: int = 1) -> dict[str, Any]:
        """Split an axis of features into the terms of the basis, see :meth:`Basis.split_by_feature`."""
        check_is_fitted(self, "basis_")
        return self.basis_.split_by_feature(x, axis)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the basis, and its parameters."""
        return {"basis": self.basis} | (self.basis.get_params() if deep and isinstance(self.basis, Basis) else {})

    def set_params(self, **params: Any) -> TransformerBasis:
        """Set the whole basis, or parameters of it.

        Raises:
            OptionError: a name is unknown, or the basis and parameters of it are set together.
        """
        if "basis" in params:
            if len(params) > 1:
                raise OptionError(f"TransformerBasis: set either the basis or its parameters, got {sorted(params)}.")
            self.basis = params["basis"]
            return self
        known = self.get_params()
        for name in params:
            if name not in known:
                raise OptionError(unknown("parameter", name, known, "TransformerBasis"))
        if params:
            # The basis may be shared with whoever made this transformer.
            self.basis = copy.deepcopy(self.basis).set_params(**params)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _matrix(X: Any) -> np.ndarray:
    X = np.asarray(values_of(X))
    if X.ndim != 2:
        raise ShapeError(f"TransformerBasis: X must be (samples, columns), got the shape {X.shape}; "
                         "a single input is X[:, None].")  # fmt: skip
    return X


def _channels(basis: Basis, columns: int) -> list[tuple[int, ...]]:
    """Return the channels of each leaf: as told before, or one for each input, or all of them those of one input."""
    leaves = list(basis.leaves())
    told = [leaf.input_shape for leaf in leaves]
    if all(t is None for t in told) and len(leaves) == 1 and columns % leaves[0].n_inputs == 0:
        many = columns // leaves[0].n_inputs
        return [() if many == 1 else (many,)]
    channels = [t or () for t in told]
    wanted = sum(math.prod(c) * leaf.n_inputs for c, leaf in zip(channels, leaves, strict=True))
    if wanted != columns:
        raise ShapeError(f"TransformerBasis: X has {columns} columns, but the inputs of {basis.label} have {wanted}; "
                         "call basis.set_input_shape(...) with the channels of each input first.")  # fmt: skip
    return channels


def _range(column: np.ndarray, label: str) -> tuple[float, float]:
    column = as_numbers(column, label)
    finite = column[np.isfinite(column)]
    if finite.size == 0:
        raise ShapeError(f"{label}: there is no finite sample to take the range from; give bounds.")
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)

guard(globals(), ["TransformerBasis"])
