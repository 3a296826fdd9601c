"""One neuron, and many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import DataConversionWarning

from recurra.courtesy import warn
from recurra.errors import ShapeError
from recurra.glm.bridge import CoupledMixin
from recurra.glm.links import InverseLink
from recurra.glm.numbers import as_numbers
from recurra.glm.observations import (
    Bernoulli,
    Gamma,
    NegativeBinomial,
    ObservationModel,
    Poisson,
    find_observation_model,
)
from recurra.glm.pynapple_series import as_given
from recurra.glm.recording import column_labels
from recurra.glm.regression import Regression
from recurra.glm.regularizers import Regularizer
from recurra.glm.whole import whole_fit


class GLM(Regression):
    """Fit a generalised linear model of one neuron (Nelder & Wedderburn 1972).

    What is minimised is the mean over time of the negative log-likelihood at scale 1, plus the penalty on the
    coefficients. The Gaussian loss is half the squared error, so strengths have the meaning of scikit-learn's `alpha`
    for `Lasso` and `ElasticNet`, and of its `alpha / n` for `Ridge`. Rows with a NaN in X or y do not count, in
    degrees of freedom neither.

    Arguments:
        observation_model: `"Poisson"`, `"Gamma"`, `"Bernoulli"`, `"NegativeBinomial"`, `"Gaussian"`, or such an object.
        inverse_link_function: a name (`"exp"`, `"softplus"`, `"logistic"`...), a function of JAX, or `None` for the
            model's own.
        regularizer: `"UnRegularized"`, `"Ridge"`, `"Lasso"`, `"ElasticNet"`, `"GroupLasso"`, `"Smoothness"`, `"ARD"`,
            or such an object; `None` for none.
        regularizer_strength: zero or above; a number, or numbers that fit the coefficients by NumPy's rules, so that
            `(neurons,)` gives each neuron its own; `None` is 1.
        bounds: pair (lower, upper) of the coefficients, `None` for an open side; `(0, None)` for none below zero.
        solver_name: `"Newton"`, `"NewtonCG"`, `"LBFGS"`, `"ProximalNewton"`, `"ProximalGradient"`; `None` chooses.
        solver_kwargs: `tol`, largest gradient at the end, and `maxiter`, most steps.
        warm_start: whether a fit begins where the last one ended.
        precision: `"float64"` or `"float32"`.
        fit_intercept: whether there is an intercept; if not, `intercept_` is 0.

    Attributes:
        coef_: `(features,)`, or a tree of such as X was.
        intercept_: `(1,)`.
        scale_: dispersion, `(1,)`.
        dof_resid_: degrees of freedom of the residuals, `(1,)`.
        null_rate_: mean of y, `(1,)`.
        converged_, objective_, n_iter_, solver_: how the fit went.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 2))
    >>> y = rng.poisson(np.exp(x @ [0.5, -0.3] - 1.0))
    >>> GLM(regularizer="Ridge", regularizer_strength=1e-3).fit(x, y).coef_.round(2)
    array([ 0.43, -0.21])
    """

    def __init__(
        self,
        observation_model: str | ObservationModel = "Poisson",
        inverse_link_function: str | InverseLink | None = None,
        regularizer: str | Regularizer | None = None,
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
    ) -> GLM:
        """Fit the model.

        Arguments:
            X: `(time, features)`, or a dict or other tree of such arrays.
            y: `(time,)`.
            sample_weight: `(time,)`, how often each bin counts.
            init_params: pair (coefficients, intercept) to begin with.
            offset: added to the linear predictor, a number or `(time,)`, such as the logarithm of an exposure.

        Returns:
            The estimator itself.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        with whole_fit(self):
            self._fit(X, y, sample_weight, init_params, offset)
        return self

    def predict(self, X: Any, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Return the mean of each bin.

        Arguments:
            X: features as in the fit; a NaN gives a NaN.
            offset: as in the fit.

        Returns:
            `(time,)`, in counts (or whatever y was) per bin; a Tsd if X was a series of pynapple.
        """
        return as_given(X, self._rate(X, offset)[:, 0])

    def _targets(self, y: Any, rows: int) -> np.ndarray:
        return as_column(real(y))[:, None]

    def _set_params(self, coef: np.ndarray, intercept: np.ndarray) -> None:
        self.coef_, self.intercept_ = self.layout_.split(coef[:, 0]), intercept

    def __sklearn_tags__(self) -> Any:
        return _regressor_tags(super().__sklearn_tags__(), self.observation_model)


class PopulationGLM(CoupledMixin, Regression):
    """Fit generalised linear models of many neurons to the same features.

    The neurons are fitted at once, each with its own steps and stopping rule: the outcome is that of one fit for each.

    Arguments:
        feature_mask: `(features, neurons)` of 0 and 1, or a tree as X is with entries `(neurons,)`; 0 holds a
            coefficient at 0. Neurons that use few features cost little.
        observation_model, inverse_link_function, regularizer, regularizer_strength, bounds, solver_name, solver_kwargs,
            warm_start, precision, fit_intercept: as for :class:`GLM`.

    Attributes:
        coef_: `(features, neurons)`, or a tree of such as X was.
        intercept_, scale_, dof_resid_, null_rate_, converged_, objective_, silent_: `(neurons,)`.
        n_iter_, solver_: how the fit went.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 2))
    >>> y = rng.poisson(np.exp(x @ [[0.5, 0.0], [0.0, 0.4]] - 1.0))
    >>> PopulationGLM(feature_mask=np.eye(2)).fit(x, y).coef_.round(2)
    array([[0.53, 0.  ],
           [0.  , 0.29]])
    """

    feature_mask: Any

    def __init__(
        self,
        observation_model: str | ObservationModel = "Poisson",
        inverse_link_function: str | InverseLink | None = None,
        regularizer: str | Regularizer | None = None,
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
    ) -> PopulationGLM:
        """Fit the models.

        Arguments:
            X: `(time, features)`, or a dict or other tree of such arrays.
            y: `(time, neurons)`.
            sample_weight: `(time,)`, how often each bin counts.
            init_params: pair (coefficients, intercepts) to begin with.
            offset: added to the linear predictors, a number, `(time,)` or `(time, neurons)`.

        Returns:
            The estimator itself.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        with whole_fit(self):
            self._fit(X, y, sample_weight, init_params, offset, self.feature_mask)
        return self

    def predict(self, X: Any, *, offset: ArrayLike | None = None, inputs: ArrayLike | None = None) -> np.ndarray:
        """Return the mean of each bin and neuron.

        Arguments:
            X: features as in the fit, or, after `fit_spikes`, a recording of the neurons; a NaN gives a NaN.
            offset: as in the fit.
            inputs: those of the recording, if the fit had some.

        Returns:
            `(time, neurons)`, in counts (or whatever y was) per bin; a TsdFrame if X was a series of pynapple.
        """
        X, _ = self._given(X, None, inputs)
        return as_given(X, self._rate(X, offset))

    def _targets(self, y: Any, rows: int) -> np.ndarray:
        found = real(y)
        if found.ndim != 2:
            raise ShapeError(
                f"y must be 2-dimensional, (time, neurons); got shape {found.shape}. For one neuron use GLM."
            )
        return found

    def _set_params(self, coef: np.ndarray, intercept: np.ndarray) -> None:
        self.coef_, self.intercept_ = self.layout_.split(coef), intercept

    def _neurons(self, y: Any) -> list | None:
        labels = getattr(self, "neuron_labels_", None)
        return (column_labels(y, len(self.intercept_)) if labels is None else labels).tolist()

    def __sklearn_tags__(self) -> Any:
        tags = _regressor_tags(super().__sklearn_tags__(), self.observation_model)
        tags.target_tags.two_d_labels = tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags


def as_column(y: np.ndarray) -> np.ndarray:
    """Return observations of one neuron as `(time,)`."""
    if y.ndim == 2 and y.shape[1] == 1:
        message = "A column-vector y was passed when a 1d array was expected: y is taken as (time,)."
        warn(message, DataConversionWarning)
        y = y[:, 0]
    if y.ndim != 1:
        raise ShapeError(
            f"y must be 1-dimensional, (time,); got shape {y.shape}. For (time, neurons) use PopulationGLM."
        )
    return y


def real(y: Any) -> np.ndarray:
    """Return observations as floating-point numbers; what is missing or masked is NaN."""
    return as_numbers(y, "y").astype(float)


def _regressor_tags(tags: Any, observation_model: object) -> Any:
    tags.regressor_tags.poor_score = True  # the score is a log-likelihood, not R^2
    try:
        observation = find_observation_model(observation_model)  # type: ignore[arg-type]
    except ValueError:
        return tags
    tags.target_tags.positive_only = isinstance(observation, Poisson | Gamma | Bernoulli | NegativeBinomial)
    return tags
