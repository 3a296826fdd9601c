"""The estimators' common part: parameters, checks, fit, prediction, scores, in the manner of scikit-learn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from recurra.courtesy import warn
from recurra.errors import CapabilityError, OptionError, ShapeError, unknown
from recurra.glm.design import Layout, Rows, _is_tree, read_features, read_mask, read_rows
from recurra.glm.fitting import fit_columns, null_model
from recurra.glm.inference import Evaluation, Posterior, evaluation_of, posterior_of_estimator
from recurra.glm.links import InverseLink, find_inverse_link
from recurra.glm.objective import Family
from recurra.glm.observations import Categorical, NegativeBinomial, ObservationModel, find_observation_model
from recurra.glm.penalty import Penalty
from recurra.glm.pynapple_series import as_given, values_of
from recurra.glm.regularizers import ARD, Regularizer, UnRegularized, find_regularizer, with_bounds
from recurra.glm.relevance import find_strengths, view_of
from recurra.glm.rescaling import TimeRescaling, time_rescaling
from recurra.glm.solvers import Settings, Solution, choose, read_settings
from recurra.glm.streaming import fit_estimator_chunks, learn_estimator_chunk
from recurra.glm.whole import whole_fit

SCORES = ("log-likelihood", "pseudo-r2-McFadden", "pseudo-r2-Cohen")


@dataclass(frozen=True)
class Plan:
    """Hold the checked parameters of an estimator."""

    family: Family
    regularizer: Regularizer
    settings: Settings


class BaseGLM(BaseEstimator):
    """Do what all GLMs share; see :class:`GLM` for the parameters."""

    observation_model: str | ObservationModel
    inverse_link_function: str | InverseLink | None
    regularizer: str | Regularizer | None
    regularizer_strength: Any
    bounds: Any
    solver_name: str | None
    solver_kwargs: dict | None
    warm_start: bool
    precision: str
    # Set by a fit.
    coef_: Any
    intercept_: np.ndarray
    memory_: Any

    def _take(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of a constructor as they are, as scikit-learn wants it."""
        for name, value in arguments.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def _plan(self) -> Plan:
        """Check the parameters."""
        observation = find_observation_model(self.observation_model)
        if isinstance(observation, Categorical):
            raise TypeError("observation_model: Categorical is for classes; use ClassifierGLM.")
        link = self.inverse_link_function
        family = Family(observation, find_inverse_link(observation.default_inverse_link if link is None else link))
        return Plan(
            family,
            find_regularizer(self.regularizer),
            read_settings(self.solver_name, self.solver_kwargs, self.precision),
        )

    def _penalty(self, plan: Plan, layout: Layout, columns: int) -> Penalty:
        penalty = plan.regularizer.penalty(layout, self.regularizer_strength, columns)
        return with_bounds(penalty, self.bounds, layout, columns)

    # Reading data

    def _features(self, X: Any, reset: bool) -> np.ndarray:
        """Return the design matrix, and keep or check its layout."""
        if hasattr(X, "toarray"):
            raise TypeError("X: sparse data are not supported; expected a dense array (X.toarray()).")
        if not _is_tree(X):
            matrix, layout = read_features(X)
            given: Any = X if hasattr(X, "columns") else matrix
            validate_data(self, given, reset=reset, skip_check_array=True)
        else:
            matrix, layout = read_features(X)
            if reset:
                self.n_features_in_ = layout.features
        if reset and layout.features == 0:
            raise ShapeError(f"X: 0 feature(s) (shape={matrix.shape}) while a minimum of 1 is required.")
        if not reset and layout != self.layout_:
            raise ShapeError(
                f"X: it has the leaves {_shown(layout)}, but the fit had {_shown(self.layout_)}. X has"
                f" {layout.features} features, but {type(self).__name__} is expecting {self.n_features_in_} features"
                " as input."
            )
        if reset:
            self.layout_ = layout
        return matrix

    def _targets(self, y: Any, rows: int) -> np.ndarray:
        """Return y as `(time, neurons)`."""
        raise NotImplementedError

    def _rows(self, X: Any, y: Any, sample_weight: ArrayLike | None, reset: bool) -> Rows:
        if y is None:
            raise ValueError(
                f"requires y to be passed, but the target y is None: {type(self).__name__} is fitted to observations."
            )
        matrix = self._features(X, reset)
        targets = self._targets(y, len(matrix))
        rows = read_rows(matrix, targets, sample_weight)
        self._observed().check_counts(rows.y[rows.weight > 0])
        return rows

    def _observed(self) -> ObservationModel:
        return find_observation_model(self.observation_model)

    # Fitting

    def _fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, init_params: tuple | None, mask: Any = None
    ) -> None:
        plan = self._plan()
        earlier = self._earlier()
        rows = self._rows(X, y, sample_weight, reset=True)
        columns = rows.y.shape[1]
        chosen = read_mask(mask, self.layout_, columns)
        penalty = self._penalty(plan, self.layout_, columns)
        choose(plan.settings, plan.family, 0.0, penalty.rough)
        null = null_model(plan.family, rows.mean, rows.count) if init_params is None else None
        start = np.zeros((self.layout_.features + 1, columns, 1))
        if null is not None:
            start[-1, :, 0] = null.intercept
        given = self._begin(init_params, earlier, (columns,))
        if given is not None:
            start = given[..., None]
        silent = np.zeros(columns, bool) if null is None else null.silent
        solution = self._solve(plan, rows, penalty, start, chosen, silent)
        self._keep(plan, rows, solution, chosen, silent)

    def _solve(
        self, plan: Plan, rows: Rows, penalty: Penalty, start: np.ndarray, mask: np.ndarray | None, silent: np.ndarray
    ) -> Solution:
        """Fit the neurons that are not silent; the others keep their rate and coefficients of 0."""
        active = np.flatnonzero(~silent)
        every = np.arange(self.layout_.features)
        if len(active) == 0:
            none = np.zeros(len(silent))
            return Solution(start, none, none, none.astype(int), none == 0, "none")
        data = (plan.family, rows.x, rows.y[:, active], rows.weight)
        chosen = None if mask is None else mask[:, active]
        if isinstance(plan.regularizer, ARD):
            found, strength = find_strengths(
                plan.regularizer,
                penalty.take(every, active),
                rows.count,
                lambda penalty, start: fit_columns(*data, penalty, start, plan.settings, chosen),
                lambda coef: view_of(*data, coef),
                start[:, active],
                chosen,
            )
            self.strength_ = np.full((len(every), len(silent)), np.inf)
            self.strength_[:, active] = strength
        else:
            found = fit_columns(*data, penalty.take(every, active), start[:, active], plan.settings, chosen)
        if not silent.any():
            return found
        coef = start.copy()
        coef[:-1] = 0
        coef[:, active] = found.coef

        def among_all(part: np.ndarray, otherwise: object) -> np.ndarray:
            whole = np.full(len(silent), otherwise, part.dtype)
            whole[active] = part
            return whole

        return Solution(
            coef,
            among_all(found.value, 0),
            among_all(found.residual, 0),
            among_all(found.steps, 0),
            among_all(found.converged, True),
            found.solver,
        )

    def _keep(self, plan: Plan, rows: Rows, solution: Solution, mask: np.ndarray | None, silent: np.ndarray) -> None:
        """Set the attributes of a fitted estimator and warn of what is not as it should be."""
        family = plan.family
        self.solver_, self.converged_, self.objective_ = solution.solver, solution.converged, solution.value
        self.n_iter_ = int(solution.steps.max(initial=0))
        self.null_rate_ = rows.mean
        flat, intercept = solution.coef[:-1, :, 0], solution.coef[-1, :, 0]
        used = self._used(plan, rows, flat, mask)
        self.dof_resid_ = rows.count - 1 - used
        self._set_params(flat, intercept)
        kept = rows.weight > 0
        with jax.enable_x64(True):
            rate = np.asarray(family.link(jnp.asarray(rows.x[kept] @ flat + intercept)))
            # The families sum over time; a bin of weight w counts w times.
            dof = np.maximum(self.dof_resid_, 1)
            self.scale_ = _scale(family.observation, rows.y[kept], rate, rows.weight[kept], dof)
        self.silent_ = silent
        warn_silent(silent)
        warn_late(solution)

    def _used(self, plan: Plan, rows: Rows, coef: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """Return how many coefficients each neuron spends: those in use, or the rank of its features."""
        usable = np.ones(coef.shape, bool) if mask is None else mask
        if not isinstance(plan.regularizer, UnRegularized):
            rough = plan.regularizer.penalty(self.layout_, self.regularizer_strength, coef.shape[1]).rough
            return (usable & (coef != 0) if rough or isinstance(plan.regularizer, ARD) else usable).sum(axis=0)
        kept = rows.x[rows.weight > 0].astype(float)
        size = np.sqrt((kept**2).mean(axis=0))
        kept = kept / np.where(size > 0, size, 1)
        gram = kept.T @ kept / len(kept)
        if mask is None:
            return np.full(coef.shape[1], np.linalg.matrix_rank(gram, hermitian=True))
        ranks = [np.linalg.matrix_rank(gram[np.ix_(m, m)], hermitian=True) if m.any() else 0 for m in usable.T]
        return np.array(ranks)

    def finish(self, solution: Solution, silent: np.ndarray) -> None:
        """Take over what a solver found, and warn of what is not as it should be."""
        self.solver_, self.converged_, self.objective_ = solution.solver, solution.converged, solution.value
        self.n_iter_ = int(solution.steps.max(initial=0))
        self._set_params(solution.coef[:-1, :, 0], solution.coef[-1, :, 0])
        self.silent_ = silent
        warn_silent(silent)
        warn_late(solution)

    # Parameters

    def _set_params(self, coef: np.ndarray, intercept: np.ndarray) -> None:
        raise NotImplementedError

    def _flat(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients `(features, neurons)` and intercepts `(neurons,)` of a fitted estimator."""
        intercept = np.asarray(self.intercept_)
        return self.layout_.join(self.coef_, "coef_", intercept.shape), intercept

    def _read_params(self, params: object, shape: tuple[int, ...]) -> np.ndarray:
        """Return coefficients and intercepts that a user gave as one array `(features + 1, *shape)`."""
        if not isinstance(params, tuple | list) or len(params) != 2:
            raise OptionError("init_params: expected a pair (coefficients, intercepts).")
        coef = self.layout_.join(params[0], "init_params[0]", shape)
        intercept = np.asarray(params[1], float)
        if intercept.shape not in (shape, ()):
            raise ShapeError(f"init_params[1]: got shape {intercept.shape}, expected {shape}.")
        whole = np.concatenate([coef, np.broadcast_to(intercept, (1, *shape))])
        if not np.all(np.isfinite(whole)):
            raise ShapeError("init_params: every number must be finite.")
        return whole

    def _begin(self, init_params: tuple | None, earlier: tuple | None, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return where a fit begins, `(features + 1, *shape)`, if it was given or left by an earlier fit."""
        if init_params is not None:
            return self._read_params(init_params, shape)
        if earlier is None or np.shape(earlier[1]) != shape:
            return None
        try:
            return self._read_params(earlier, shape)
        except ValueError:
            return None

    def _earlier(self) -> tuple | None:
        return (self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None

    # After the fit

    def _rate(self, X: Any) -> np.ndarray:
        """Return the mean of each bin, `(time, neurons)`; NaN where a feature is NaN."""
        check_is_fitted(self)
        matrix = self._features(X, reset=False)
        if len(matrix) == 0:
            raise ShapeError(f"X: Found array with 0 sample(s) (shape={matrix.shape}), a minimum of 1 is required.")
        coef, intercept = self._flat()
        link = self._plan().family.link
        with jax.enable_x64(self.precision == "float64"):
            return np.asarray(link(jnp.asarray(matrix @ coef + intercept, self.precision)))

    def _compare(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> tuple[Rows, np.ndarray]:
        """Return the rows of new data that count, and their rates."""
        check_is_fitted(self)
        rows = self._rows(X, y, sample_weight, reset=False)
        kept = rows.weight > 0
        rows = Rows(rows.x[kept], rows.y[kept], rows.weight[kept])
        coef, intercept = self._flat()
        if rows.y.shape[1] != len(intercept):
            raise ShapeError(f"y: it has {rows.y.shape[1]} neurons, but the fit had {len(intercept)}.")
        with jax.enable_x64(True):
            rate = np.asarray(self._plan().family.link(jnp.asarray(rows.x @ coef + intercept, float)))
        return rows, rate

    def predict(self, X: Any) -> np.ndarray:
        """Return the mean of each bin."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a file without pickle; read it with :func:`recurra.glm.load`.

        Arguments:
            path: the file, by habit `.npz`.

        Raises:
            StoreError: the model holds a function or an object of your own, which a file does not.
        """
        from recurra.glm.archive import save

        check_is_fitted(self)
        save(self, path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags


class Regression(RegressorMixin, BaseGLM):
    """Score and sample models whose observations are numbers."""

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        score_type: str = "log-likelihood",
        aggregate_sample_scores: Callable = np.mean,
    ) -> float:
        """Say how well the model explains observations; larger is better.

        Arguments:
            X: features, `(time, features)` or a tree.
            y: observations.
            sample_weight: `(time,)`.
            score_type: `"log-likelihood"`, `"pseudo-r2-McFadden"` (1 - LL/LL0) or `"pseudo-r2-Cohen"` (1 - D/D0). The
                null model has the mean rates of the data the model was fitted to.
            aggregate_sample_scores: makes one number of the log-likelihoods `(time, neurons)`, or of the values of the
                neurons; the mean by default.

        Returns:
            The score.

        Raises:
            OptionError: there is no such score.
        """
        if score_type not in SCORES:
            raise OptionError(unknown("score", score_type, SCORES, where="score_type"))
        rows, rate = self._compare(X, y, sample_weight)
        observation = self._plan().family.observation
        if score_type == "log-likelihood":
            each = _log_likelihood(observation, rows.y, rate, self.scale_)
            if sample_weight is None:
                return float(aggregate_sample_scores(each))
            return float(aggregate_sample_scores(rows.weight @ each / rows.count))
        null = np.broadcast_to(self.null_rate_, rate.shape)
        measure = _log_likelihood if score_type == "pseudo-r2-McFadden" else _deviance
        model, base = (rows.weight @ measure(observation, rows.y, r, self.scale_) for r in (rate, null))
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(aggregate_sample_scores(1 - model / base))

    def fit_chunks(self, chunks: Iterable[Any]) -> Any:
        """Fit to data of any length, chunk by chunk; the design matrix never exists as a whole.

        Arguments:
            chunks: a :class:`ChunkedData`, or anything that can be gone through many times (a list, not a generator)
                and gives (X, y) or (X, y, sample_weight).

        Returns:
            The estimator itself; a free `scale_` and `dof_resid_` are those of the chunks together.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        with whole_fit(self):
            return fit_estimator_chunks(self, chunks)

    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Any:
        """Learn from one more chunk of data, and remember of it only a quadratic function of the parameters.

        For a Gaussian model this is exact; for others close, the closer the longer the chunks.

        Arguments:
            X, y, sample_weight: a chunk, as for `fit`.

        Returns:
            The estimator itself.

        Raises:
            CapabilityError: the penalty is not quadratic.
        """
        with whole_fit(self):
            return learn_estimator_chunk(self, X, y, sample_weight)

    def posterior(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Posterior:
        """Return the normal distribution of the parameters around the fit, with standard errors.

        Arguments:
            X, y, sample_weight: what the model was fitted to.

        Returns:
            The posterior; without a penalty the sampling distribution.

        Raises:
            CapabilityError: the penalty has a kink, or there are bounds.
        """
        return posterior_of_estimator(self, X, y, sample_weight)

    def evaluate(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Evaluation:
        """Return likelihoods, information criteria and explained shares for each neuron.

        Arguments:
            X, y, sample_weight: the data, those of the fit or others. AIC and BIC make sense for those of the fit.

        Returns:
            The measures; the null model has the mean rates of the data the model was fitted to.
        """
        rows, rate = self._compare(X, y, sample_weight)
        family = self._plan().family
        try:
            used = posterior_of_estimator(self, X, y, sample_weight).parameters
        except CapabilityError:  # a penalty with a kink: its coefficients that are not zero
            used = (self._flat()[0] != 0).sum(axis=0) + 1.0
        return evaluation_of(family.observation, rows, rate, self.null_rate_, self.scale_, used)

    def residuals(self, X: Any, y: Any) -> np.ndarray:
        """Return the deviance residuals of each bin, in the shape of y; NaN where something is missing.

        Their square is the deviance of the bin, their sign that of y minus the rate (Pierce & Schafer 1986).
        """
        rate = self._rate(X)
        targets = self._targets(y, len(rate))
        missing = np.isnan(rate) | np.isnan(targets)
        scale = self.scale_ if isinstance(self._observed(), NegativeBinomial) else np.ones_like(self.scale_)
        deviance = _deviance(self._observed(), np.where(missing, 1, targets), np.where(missing, 1, rate), scale)
        found = np.sign(targets - rate) * np.sqrt(np.maximum(deviance, 0))
        return as_given(y, np.where(missing, np.nan, found).reshape(np.shape(y)))

    def time_rescaling(self, X: Any, y: Any, seed: int = 0) -> list[TimeRescaling]:
        """Test for each neuron whether its spikes come at the rates of the model; see :func:`time_rescaling`.

        Arguments:
            X, y: consecutive bins; intervals with missing bins are left out.
            seed: of the random places of spikes in their bins.
        """
        rate = self._rate(X)
        targets = self._targets(y, len(rate))
        scale = self.scale_
        return [
            time_rescaling(targets[:, i], rate[:, i], self._observed(), float(scale[i]), seed + i)
            for i in range(rate.shape[1])
        ]

    def sample(self, X: Any, seed: int = 0, trials: int | None = None) -> np.ndarray:
        """Draw observations, each bin by itself, from the rates that features give.

        Arguments:
            X: features.
            seed: of the draws.
            trials: how many times; `None` for once, without a first axis.

        Returns:
            `(time,)` or `(time, neurons)`, with a first axis of trials if asked for.
        """
        rate = np.asarray(values_of(self.predict(X)))
        observation = self._plan().family.observation
        with jax.enable_x64(self.precision == "float64"):
            keys = jax.random.split(jax.random.key(seed), trials or 1)
            mean = jnp.asarray(rate)
            scale = jnp.asarray(self.scale_ if rate.ndim == 2 else self.scale_[0])
            scale = jnp.broadcast_to(scale[None, :] if rate.ndim == 2 else scale, rate.shape)
            drawn = np.asarray(jax.vmap(lambda key: observation.sample(key, mean, scale))(keys))
        return as_given(X, drawn[0]) if trials is None else drawn


def _shown(layout: Layout) -> str:
    return ", ".join(f"{name or 'X'} ({size})" for name, size in zip(layout.names, layout.sizes, strict=True))


def warn_silent(silent: np.ndarray) -> None:
    """Warn of neurons that never changed."""
    if silent.any():
        warn(
            f"{_neurons(np.flatnonzero(silent))} never changed (no spikes, or one in every bin): the best rate lies at"
            " the border of what the link can reach. Coefficients are set to 0 and the rate to (spikes + 1/2) / (bins +"
            " 1); leave such neurons out if this is not wanted.",
            UserWarning,
        )


def warn_late(solution: Solution) -> None:
    """Warn of neurons whose fit has not come to an end, and say what to do."""
    late = np.flatnonzero(~solution.converged)
    if len(late):
        warn(
            f"{_neurons(late)} did not converge after {solution.steps.max()} steps of {solution.solver}: the"
            f" gradient is {solution.residual[late].max():.3g} times the tolerance. The best point is kept. Try"
            " features on similar scales, a stronger regularizer, precision='float64', or"
            " solver_kwargs={'maxiter': ..., 'tol': ...}.",
            ConvergenceWarning,
        )


def _neurons(which: np.ndarray) -> str:
    if len(which) == 1:
        return f"neuron {which[0]}"
    shown = ", ".join(str(i) for i in which[:8])
    return f"neurons {shown}{f' and {len(which) - 8} more' if len(which) > 8 else ''}"


@functools.partial(jax.jit, static_argnums=(0, 1))
def _measure(observation: ObservationModel, name: str, y: Any, rate: Any, scale: Any) -> Any:
    return getattr(observation, name)(y, rate, scale)


def _log_likelihood(observation: ObservationModel, y: np.ndarray, rate: np.ndarray, scale: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        wide = np.broadcast_to(scale, rate.shape)
        return np.asarray(_measure(observation, "log_likelihood", y, rate, wide))


def _deviance(observation: ObservationModel, y: np.ndarray, rate: np.ndarray, scale: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        wide = np.broadcast_to(scale, rate.shape)
        return np.asarray(_measure(observation, "deviance", y, rate, wide))


def _scale(
    observation: ObservationModel, y: np.ndarray, rate: np.ndarray, weight: np.ndarray, dof: np.ndarray
) -> np.ndarray:
    """Return the dispersion of each neuron; whole weights count a bin as often, others by their share."""
    if not np.all(weight == 1):
        # A weighted sum of what the families add up: residuals are stretched by the root of the weight.
        y = rate + np.sqrt(weight)[:, None] * (y - rate)
    return np.array(_measure(observation, "estimate_scale", y, rate, dof))
