"""Classes instead of numbers: softmax regression."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm.design import Rows
from recurra.glm.estimator import BaseGLM, Plan, warn_late
from recurra.glm.fitting import fit_columns
from recurra.glm.links import InverseLink, find_inverse_link
from recurra.glm.objective import Family
from recurra.glm.observations import Categorical
from recurra.glm.regularizers import ARD, Regularizer, find_regularizer
from recurra.glm.solvers import read_settings


class ClassifierGLM(ClassifierMixin, BaseGLM):
    """Fit the probabilities of classes, with one set of coefficients for each class (softmax regression).

    Adding a number to all coefficients of a feature changes nothing, so the default is a ridge penalty, which chooses
    among equals. The strength is that of scikit-learn's `LogisticRegression` at `C = 1 / (strength * bins)`.

    Arguments:
        n_classes: how many classes y must have; `None` takes those that it has.
        inverse_link_function: `None` for log_softmax, or such a function of JAX over the last axis.
        regularizer, regularizer_strength, bounds, solver_name, solver_kwargs, warm_start, precision: as for
            :class:`GLM`; strengths are one number or fit `(features, 1)`.

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
    ):
        self.n_classes = n_classes
        self.inverse_link_function = inverse_link_function
        self.regularizer = regularizer
        self.regularizer_strength = regularizer_strength
        self.bounds = bounds
        self.solver_name = solver_name
        self.solver_kwargs = solver_kwargs
        self.warm_start = warm_start
        self.precision = precision

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, init_params: tuple | None = None
    ) -> ClassifierGLM:
        """Fit the model.

        Arguments:
            X: `(time, features)`, or a dict or other tree of such arrays.
            y: `(time,)`, labels of any kind.
            sample_weight: `(time,)`, how often each bin counts; use it to balance classes.
            init_params: pair (coefficients `(features, classes)`, intercepts `(classes,)`) to begin with.

        Returns:
            The estimator itself.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        plan = self._plan()
        if isinstance(plan.regularizer, ARD):
            raise CapabilityError("regularizer: ARD is not there for classes; use Ridge.")
        earlier = (self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None
        rows = self._rows(X, y, sample_weight, reset=True)
        classes = len(self.classes_)
        plan = Plan(Family(plan.family.observation, plan.family.link, classes), plan.regularizer, plan.settings)
        start = np.zeros((self.layout_.features + 1, 1, classes))
        share = np.bincount(rows.y[:, 0].astype(int), rows.weight, classes) / rows.count
        start[-1, 0] = np.log(np.maximum(share, 0.5 / rows.count))
        given = init_params if init_params is not None else self._usable(earlier, classes)
        if given is not None:
            start = self._read_params(given, classes).transpose(0, 2, 1)
        found = fit_columns(
            plan.family, rows.x, rows.y, rows.weight, self._penalty(plan, self.layout_, 1), start, plan.settings
        )
        self.solver_, self.converged_, self.objective_ = found.solver, found.converged, found.value
        self.n_iter_ = int(found.steps.max(initial=0))
        # Only differences of intercepts count; their mean is set to 0.
        intercept = found.coef[-1, 0] - found.coef[-1, 0].mean()
        self.coef_, self.intercept_ = self.layout_.split(found.coef[:-1, 0]), intercept
        self.null_rate_ = share
        warn_late(found, stacklevel=3)
        return self

    def _plan(self) -> Plan:
        link = self.inverse_link_function
        if link is not None and not callable(link) and link != "log_softmax":
            raise OptionError(
                f"inverse_link_function: for classes expected None, 'log_softmax' or a function; got {link!r}."
            )
        return Plan(
            Family(Categorical(), find_inverse_link("log_softmax" if link is None else link), 2),
            find_regularizer(self.regularizer),
            read_settings(self.solver_name, self.solver_kwargs, self.precision),
        )

    def _rows(self, X: Any, y: Any, sample_weight: ArrayLike | None, reset: bool) -> Rows:
        if reset:
            self._learn_classes(y)
        return super()._rows(X, y, sample_weight, reset)

    def _learn_classes(self, y: Any) -> None:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None.")
        found = np.asarray(y)
        check_classification_targets(found)
        self.classes_ = np.unique(found[found == found])  # a NaN is no class
        count = len(self.classes_)
        if count < 2:
            raise ShapeError(f"y: it has {count} class, expected at least two.")
        wanted = self.n_classes
        if wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 2):
            raise OptionError(f"n_classes: expected None or a whole number of at least 2, got {wanted!r}.")
        if wanted is not None and wanted != count:
            raise ShapeError(f"y: it has {count} classes, but n_classes is {wanted}; all of them must be there.")

    def _targets(self, y: Any, rows: int) -> np.ndarray:
        from recurra.glm.population import as_column

        found = as_column(np.asarray(y))
        known = found == found
        place = np.searchsorted(self.classes_, found[known])
        place = np.minimum(place, len(self.classes_) - 1)
        if np.any(self.classes_[place] != found[known]):
            odd = found[known][self.classes_[place] != found[known]][0]
            raise ShapeError(f"y: the label {odd!r} was not there in the fit.")
        number = np.full(found.shape, np.nan)
        number[known] = place
        return number[:, None]

    def _observed(self) -> Categorical:
        return Categorical()

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the probability of each class, `(time, classes)`."""
        check_is_fitted(self)
        matrix = self._features(X, reset=False)
        if len(matrix) == 0:
            raise ShapeError(f"X: Found array with 0 sample(s) (shape={matrix.shape}), a minimum of 1 is required.")
        coef, intercept = self._flat()
        with jax.enable_x64(True):
            return np.asarray(self._plan().family.link(jnp.asarray(matrix @ coef + intercept, float)))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, `(time, classes)`."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each bin, `(time,)`."""
        best = np.argmax(self.predict_log_proba(X), axis=1)
        return self.classes_[best]

    def sample(self, X: Any, seed: int = 0) -> np.ndarray:
        """Draw a class for each bin, `(time,)`."""
        logs = self.predict_log_proba(X)
        with jax.enable_x64(True):
            return self.classes_[np.asarray(Categorical().sample(jax.random.key(seed), jnp.asarray(logs)))]
