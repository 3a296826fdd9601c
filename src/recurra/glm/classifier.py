"""Classes instead of numbers: softmax regression, of one neuron and of many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from recurra.errors import OptionError, ShapeError
from recurra.glm.design import Rows, read_mask
from recurra.glm.determined import separated_classes
from recurra.glm.estimator import BaseGLM, Plan, warn_late, warn_repeated
from recurra.glm.fitting import fit_columns
from recurra.glm.links import InverseLink, find_inverse_link
from recurra.glm.numbers import absent
from recurra.glm.objective import Family
from recurra.glm.observations import Categorical
from recurra.glm.pynapple_series import aligned, as_given
from recurra.glm.regularizers import ARD, Regularizer, UnRegularized, find_regularizer
from recurra.glm.relevance import find_strengths, view_of
from recurra.glm.solvers import read_settings
from recurra.glm.whole import whole_fit


class Classifier(ClassifierMixin, BaseGLM):
    """Do what the classifiers share: one set of coefficients for each class of each column of y."""

    n_classes: int | None
    classes_: np.ndarray
    null_rate_: np.ndarray

    def _shape(self, columns: int) -> tuple[int, ...]:
        """Return the axes of the intercepts."""
        raise NotImplementedError

    def _fit_classes(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        init_params: tuple | None,
        offset: Any = None,
        mask: Any = None,
    ) -> None:
        plan, earlier = self._plan(), self._earlier()
        self._forget()
        rows = self._rows(X, y, sample_weight, True, offset)
        classes, (features, columns) = len(self.classes_), (self.layout_.features, rows.y.shape[1])
        family, shape = replace(plan.family, outputs=classes), self._shape(columns)
        chosen = read_mask(mask, self.layout_, columns)
        share = self._shares(rows)
        start = np.zeros((features + 1, columns, classes))
        start[-1] = np.log(np.maximum(share, 0.5 / rows.count))
        given = self._begin(init_params, earlier, shape)
        if given is not None:
            start = given.reshape(start.shape)
        if not family.intercept:
            start[-1] = 0
        data, penalty = (family, rows.x, rows.y, rows.weight), self._penalty(plan, self.layout_, columns)
        if isinstance(plan.regularizer, ARD):
            found, self.strength_ = find_strengths(
                plan.regularizer,
                penalty,
                rows.count,
                lambda penalty, start: fit_columns(*data, penalty, start, plan.settings, chosen, rows.offset),
                lambda coef: view_of(*data, coef, rows.offset),
                start,
                chosen,
            )
        else:
            found = fit_columns(*data, penalty, start, plan.settings, chosen, rows.offset)
        self.solver_, self.converged_, self.objective_ = found.solver, found.converged, found.value
        self.n_iter_ = int(found.steps.max(initial=0))
        # Only differences of intercepts count; their mean is set to 0.
        intercept = found.coef[-1] - found.coef[-1].mean(axis=-1, keepdims=True)
        self.coef_ = self.layout_.split(found.coef[:-1].reshape(features, *shape))
        self.intercept_, self.null_rate_ = intercept.reshape(shape), share.reshape(shape)
        warn_late(found)
        if isinstance(plan.regularizer, UnRegularized) and self.bounds is None:
            late = found.converged & (found.steps >= -0.5 * np.log(plan.settings.tol))
            endless = separated_classes(family, rows.take(rows.weight > 0), found.coef, np.flatnonzero(late))
            if chosen is not None:
                endless[:-1] &= chosen
            warn_repeated(self.feature_labels_, np.zeros_like(endless), endless)

    def _shares(self, rows: Rows) -> np.ndarray:
        """Return how often each class is there, `(columns, classes)`."""
        classes = len(self.classes_)
        found = np.stack([np.bincount(c.astype(int), rows.weight, classes) for c in rows.y.T]) / rows.count
        if np.any(found == 0):
            column, number = (int(i) for i in np.argwhere(found == 0)[0])
            label = self.classes_[number].item()
            raise ShapeError(
                f"y: neuron {column} is never in the class {label!r}, whose probability would be 0; all classes must be"
                " there. Fit neurons with fewer classes by themselves."
            )
        return found

    def _plan(self) -> Plan:
        link = self.inverse_link_function
        if link is not None and not callable(link) and link != "log_softmax":
            raise OptionError(
                f"inverse_link_function: for classes expected None, 'log_softmax' or a function; got {link!r}."
            )
        return Plan(
            Family(
                Categorical(), find_inverse_link("log_softmax" if link is None else link), 2, self._with_intercept()
            ),
            find_regularizer(self.regularizer),
            read_settings(self.solver_name, self.solver_kwargs, self.precision),
        )

    def _rows(self, X: Any, y: Any, sample_weight: ArrayLike | None, reset: bool, offset: Any = None) -> Rows:
        if reset:
            self._learn_classes(y)
        return super()._rows(X, y, sample_weight, reset, offset)

    def _outputs(self) -> int:
        return len(self.classes_)

    def _learn_classes(self, y: Any) -> None:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None.")
        found = np.asarray(y)
        given = found[~absent(found)]  # what is missing is no class
        try:
            check_classification_targets(given)
            self.classes_ = np.unique(given)
        except TypeError:
            raise TypeError("y: labels of several types, such as texts and numbers, are no classes.") from None
        count = len(self.classes_)
        if count < 2:
            raise ShapeError(f"y: it has {count} class, expected at least two.")
        wanted = self.n_classes
        if wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 2):
            raise OptionError(f"n_classes: expected None or a whole number of at least 2, got {wanted!r}.")
        if wanted is not None and wanted != count:
            raise ShapeError(f"y: it has {count} classes, but n_classes is {wanted}; all of them must be there.")

    def _columns(self, y: np.ndarray) -> np.ndarray:
        """Return labels as `(time, columns)`."""
        raise NotImplementedError

    def _targets(self, y: Any, rows: int) -> np.ndarray:
        found = self._columns(np.asarray(y))
        known = ~absent(found)
        place = np.searchsorted(self.classes_, found[known])
        place = np.minimum(place, len(self.classes_) - 1)
        if np.any(self.classes_[place] != found[known]):
            odd = found[known][self.classes_[place] != found[known]][0]
            raise ShapeError(f"y: the label {odd!r} was not there in the fit.")
        number = np.full(found.shape, np.nan)
        number[known] = place
        return number

    def _observed(self) -> Categorical:
        return Categorical()

    def predict_log_proba(self, X: Any, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Return the logarithm of the probability of each class, `(time, classes)` or `(time, neurons, classes)`."""
        check_is_fitted(self)
        aligned(X, offset, where="X and offset")
        matrix = self._features(X, reset=False)
        if len(matrix) == 0:
            raise ShapeError(f"X: Found array with 0 sample(s) (shape={matrix.shape}), a minimum of 1 is required.")
        coef, intercept = self._flat()
        predictor = np.tensordot(matrix, coef, 1) + intercept
        columns = 1 if intercept.ndim == 1 else len(intercept)
        added = self._offset(offset, len(matrix), columns, False)
        if added is not None:
            predictor = predictor + (added[:, 0] if intercept.ndim == 1 else added)
        with jax.enable_x64(True):
            return np.asarray(self._plan().family.link(jnp.asarray(predictor, float)))

    def predict_proba(self, X: Any, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Return the probability of each class, `(time, classes)` or `(time, neurons, classes)`."""
        return np.exp(self.predict_log_proba(X, offset=offset))

    def predict(self, X: Any, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Return the most probable class of each bin, `(time,)` or `(time, neurons)`; NaN where a feature is NaN."""
        logs = self.predict_log_proba(X, offset=offset)
        found, missing = self.classes_[np.argmax(logs, axis=-1)], np.isnan(logs).any(axis=-1)
        if missing.any():
            # A missing feature has no most probable class.
            number = found.dtype.kind in "iuf"
            found = found.astype(float if number else object)
            found[missing] = np.nan
        return as_given(X, found) if found.dtype.kind in "biuf" else found

    def sample(self, X: Any, seed: int = 0, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Draw a class for each bin, `(time,)` or `(time, neurons)`.

        Raises:
            ShapeError: a feature is NaN.
        """
        logs = self.predict_log_proba(X, offset=offset)
        if np.isnan(logs).any():
            raise ShapeError(f"X: row {int(np.argwhere(np.isnan(logs))[0][0])} has a NaN, so no class can be drawn;"
                             " leave such rows out.")  # fmt: skip
        with jax.enable_x64(True):
            return self.classes_[np.asarray(Categorical().sample(jax.random.key(seed), jnp.asarray(logs)))]

    def score(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, offset: ArrayLike | None = None
    ) -> float:
        """Return the share of bins whose class is the most probable one, over all neurons; a NaN does not count."""
        check_is_fitted(self)
        rows = self._rows(X, y, sample_weight, False, offset)
        logs = self.predict_log_proba(X, offset=offset).reshape(len(rows.x), rows.y.shape[1], -1)
        with np.errstate(invalid="ignore"):
            hits = np.argmax(logs, axis=-1) == rows.y
        return float(rows.weight @ hits.mean(axis=1) / rows.count)


class ClassifierGLM(Classifier):
    """Fit the probabilities of classes, with one set of coefficients for each class (softmax regression).

    Adding a number to all coefficients of a feature changes nothing, so the default is a ridge penalty, which chooses
    among equals. The strength is that of scikit-learn's `LogisticRegression` at `C = 1 / (strength * bins)`.

    Arguments:
        n_classes: how many classes y must have; `None` takes those that it has.
        inverse_link_function: `None` for log_softmax, or such a function of JAX over the last axis.
        regularizer, regularizer_strength, bounds, solver_name, solver_kwargs, warm_start, precision, fit_intercept: as
            for :class:`GLM`; strengths are one number or fit `(features, 1)`. With ARD the classes share the strength
            of a feature.

    Attributes:
        classes_: the labels, sorted.
        coef_: `(features, classes)`, or a tree of such as X was.
        intercept_: `(classes,)`.
        converged_, objective_, n_iter_, solver_: how the fit went.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> ClassifierGLM(regularizer_strength=0.01).fit(x, ["no", "no", "yes", "yes"]).predict([[0.5], [2.5]]).tolist()
    ['no', 'yes']
    """

    def __init__(
        self,
        n_classes: int | None = None,
        inverse_link_function: str | InverseLink | None = None,
        regularizer: str | Regularizer | None = "Ridge",
        regularizer_strength: Any = None,
        bounds: tuple | None = None,
        solver_name: str | None = None,
        solver_kwargs: dict | None = None,
        warm_start: bool = False,
        precision: str = "float64",
        fit_intercept: bool = True,
    ):
        self._take(locals())

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        init_params: tuple | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> ClassifierGLM:
        """Fit the model.

        Arguments:
            X: `(time, features)`, or a dict or other tree of such arrays.
            y: `(time,)`, labels of any kind.
            sample_weight: `(time,)`, how often each bin counts; use it to balance classes.
            init_params: pair (coefficients `(features, classes)`, intercepts `(classes,)`) to begin with.
            offset: added to the linear predictors, `(time, classes)`.

        Returns:
            The estimator itself.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        with whole_fit(self):
            self._fit_classes(X, y, sample_weight, init_params, offset)
        return self

    def _shape(self, columns: int) -> tuple[int, ...]:
        return (len(self.classes_),)

    def _columns(self, y: np.ndarray) -> np.ndarray:
        from recurra.glm.population import as_column

        return as_column(y)[:, None]


class ClassifierPopulationGLM(Classifier):
    """Fit the probabilities of classes for many neurons at once; all of them have the same classes.

    The outcome is that of one :class:`ClassifierGLM` for each neuron.

    Arguments:
        feature_mask: as for :class:`PopulationGLM`; 0 holds the coefficients of all classes at 0.
        n_classes, inverse_link_function, regularizer, regularizer_strength, bounds, solver_name, solver_kwargs,
            warm_start, precision, fit_intercept: as for :class:`ClassifierGLM`; strengths may differ between neurons.

    Attributes:
        classes_: the labels, sorted.
        coef_: `(features, neurons, classes)`, or a tree of such as X was.
        intercept_: `(neurons, classes)`.
        converged_, objective_, n_iter_, solver_: how the fit went.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> y = [["no", "yes"], ["no", "yes"], ["yes", "no"], ["yes", "no"]]
    >>> ClassifierPopulationGLM(regularizer_strength=0.01).fit(x, y).predict([[0.5], [2.5]]).tolist()
    [['no', 'yes'], ['yes', 'no']]
    """

    feature_mask: Any

    def __init__(
        self,
        n_classes: int | None = None,
        inverse_link_function: str | InverseLink | None = None,
        regularizer: str | Regularizer | None = "Ridge",
        regularizer_strength: Any = None,
        bounds: tuple | None = None,
        solver_name: str | None = None,
        solver_kwargs: dict | None = None,
        feature_mask: Any = None,
        warm_start: bool = False,
        precision: str = "float64",
        fit_intercept: bool = True,
    ):
        self._take(locals())

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        init_params: tuple | None = None,
        *,
        offset: ArrayLike | None = None,
    ) -> ClassifierPopulationGLM:
        """Fit the models.

        Arguments:
            X: `(time, features)`, or a dict or other tree of such arrays.
            y: `(time, neurons)`, labels of any kind.
            sample_weight: `(time,)`, how often each bin counts.
            init_params: pair (coefficients `(features, neurons, classes)`, intercepts `(neurons, classes)`) to begin
                with.
            offset: added to the linear predictors, `(time, neurons, classes)`.

        Returns:
            The estimator itself.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        with whole_fit(self):
            self._fit_classes(X, y, sample_weight, init_params, offset, self.feature_mask)
        return self

    def _shape(self, columns: int) -> tuple[int, ...]:
        return (columns, len(self.classes_))

    def _columns(self, y: np.ndarray) -> np.ndarray:
        if y.ndim != 2:
            raise ShapeError(
                f"y must be 2-dimensional, (time, neurons); got shape {y.shape}. For one neuron use ClassifierGLM."
            )
        return y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.two_d_labels = tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags
