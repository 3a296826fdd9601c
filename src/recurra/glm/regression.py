"""What models of numbers share beyond the fit: scores, errors of the parameters, residuals, tests, samples, chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from recurra.errors import CapabilityError, OptionError, ShapeError, unknown
from recurra.glm.design import Rows
from recurra.glm.estimator import BaseGLM
from recurra.glm.inference import Evaluation, Posterior, evaluation_of, posterior_of_estimator, summary_of
from recurra.glm.observations import NegativeBinomial, log_likelihood_of
from recurra.glm.pynapple_series import aligned, as_given, epoch_starts, values_of
from recurra.glm.rescaling import TimeRescaling, time_rescaling
from recurra.glm.streaming import fit_estimator_chunks, learn_estimator_chunk
from recurra.glm.whole import whole_fit

if TYPE_CHECKING:
    from pandas import DataFrame

SCORES = ("log-likelihood", "pseudo-r2-McFadden", "pseudo-r2-Cohen")


class Regression(RegressorMixin, BaseGLM):
    """Score and sample models whose observations are numbers."""

    def _given(self, X: Any, y: Any, inputs: Any) -> tuple[Any, Any]:
        """Return features and observations; a population takes the recording that it was fitted to instead."""
        if inputs is not None:
            raise OptionError(
                "inputs: they go with a recording, for a model that fit_spikes has fitted; give features."
            )
        return X, y

    def score(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        score_type: str = "log-likelihood",
        aggregate_sample_scores: Callable = np.mean,
        *,
        offset: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
    ) -> float:
        """Say how well the model explains observations; larger is better.

        Arguments:
            X: features, `(time, features)` or a tree; or, after `fit_spikes`, a recording.
            y: observations; `None` for those of the recording.
            sample_weight: `(time,)`.
            score_type: `"log-likelihood"`, `"pseudo-r2-McFadden"` (1 - LL/LL0) or `"pseudo-r2-Cohen"` (1 - D/D0). The
                null model has the mean rates of the data the model was fitted to.
            aggregate_sample_scores: makes one number of the log-likelihoods `(time, neurons)`, or of the values of the
                neurons; the mean by default.
            offset: as in the fit.
            inputs: those of the recording, if the fit had some.

        Returns:
            The score.

        Raises:
            OptionError: there is no such score.
        """
        if score_type not in SCORES:
            raise OptionError(unknown("score", score_type, SCORES, where="score_type"))
        X, y = self._given(X, y, inputs)
        rows, rate = self._compare(X, y, sample_weight, offset)
        observation = self._plan().family.observation
        if score_type == "log-likelihood":
            each = log_likelihood_of(observation, rows.y, rate, self.scale_)
            if sample_weight is None:
                return float(aggregate_sample_scores(each))
            return float(aggregate_sample_scores(rows.weight @ each / rows.count))
        measure = "log_likelihood" if score_type == "pseudo-r2-McFadden" else "deviance"
        both = (rate, self._null(rows))
        model, base = (rows.weight @ log_likelihood_of(observation, rows.y, r, self.scale_, measure) for r in both)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(aggregate_sample_scores(1 - model / base))

    def _null(self, rows: Rows) -> np.ndarray:
        """Return the rates of the model without features, `(time, neurons)`."""
        if rows.offset is None or not hasattr(self, "null_intercept_"):
            return np.broadcast_to(self.null_rate_, rows.y.shape)
        with jax.enable_x64(True):
            return np.asarray(self._plan().family.link(jnp.asarray(self.null_intercept_ + rows.offset[..., 0])))

    def fit_chunks(self, chunks: Iterable[Any]) -> Any:
        """Fit to data of any length, chunk by chunk; the design matrix never exists as a whole.

        Arguments:
            chunks: a :class:`ChunkedData`, or anything that can be gone through many times (a list, not a generator)
                and gives (X, y), (X, y, sample_weight) or (X, y, sample_weight, offset).

        Returns:
            The estimator itself; a free `scale_` and `dof_resid_` are those of the chunks together.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        with whole_fit(self):
            self._forget()
            return fit_estimator_chunks(self, chunks)

    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, offset: ArrayLike | None = None
    ) -> Any:
        """Learn from one more chunk of data, and remember of it only a quadratic function of the parameters.

        For a Gaussian model this is exact; for others close, the closer the longer the chunks.

        Arguments:
            X, y, sample_weight, offset: a chunk, as for `fit`.

        Returns:
            The estimator itself.

        Raises:
            CapabilityError: the penalty is not quadratic.
        """
        with whole_fit(self):
            return learn_estimator_chunk(self, X, y, sample_weight, offset)

    def posterior(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
    ) -> Posterior:
        """Return the normal distribution of the parameters around the fit, with standard errors.

        Parameters that the data do not determine (features that repeat others, or that separate events from their
        absence) are named in a warning, and have no finite error.

        Arguments:
            X, y, sample_weight, offset, inputs: what the model was fitted to, features or recording.

        Returns:
            The posterior; without a penalty the sampling distribution.

        Raises:
            CapabilityError: the penalty has a kink, or there are bounds.
        """
        X, y = self._given(X, y, inputs)
        return posterior_of_estimator(self, self._compare(X, y, sample_weight, offset)[0], tell=True)

    def summary(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        level: float = 0.95,
        offset: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
    ) -> DataFrame:
        """Return a table of the coefficients with their errors, a row for each; see :meth:`posterior`.

        Arguments:
            X, y, sample_weight, offset, inputs: what the model was fitted to, features or recording.
            level: of the central intervals.

        Returns:
            A DataFrame with `coef`, `std_err`, `z`, `p_value` (Wald 1943), `low` and `high`, by the names of the
            features and `intercept`; for a population by neuron and feature.

        Raises:
            CapabilityError: the penalty has a kink, or there are bounds.

        >>> from recurra.glm import GLM
        >>> x = np.arange(20.0)[:, None] / 20
        >>> GLM().fit(x, np.arange(20) % 3).summary(x, np.arange(20) % 3).loc["x0"].round(2).to_dict()
        {'coef': 0.11, 'std_err': 0.8, 'z': 0.14, 'p_value': 0.89, 'low': -1.45, 'high': 1.67}
        """
        X, y = self._given(X, y, inputs)
        found = posterior_of_estimator(self, self._compare(X, y, sample_weight, offset)[0], tell=True)
        return summary_of(found, level, self._neurons(y), bool(self.fit_intercept))

    def _neurons(self, y: Any) -> list | None:
        """Return the names of the neurons; `None` for a model of one."""
        return None

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
    ) -> Evaluation:
        """Return likelihoods, information criteria and explained shares for each neuron.

        Arguments:
            X, y, sample_weight, offset, inputs: the data, those of the fit or others. AIC and BIC make sense for those
                of the fit.

        Returns:
            The measures; the null model has the mean rates of the data the model was fitted to.
        """
        X, y = self._given(X, y, inputs)
        rows, rate = self._compare(X, y, sample_weight, offset)
        family = self._plan().family
        try:
            used = posterior_of_estimator(self, rows).parameters
        except CapabilityError:  # a penalty with a kink: its coefficients that are not zero
            used = (self._flat()[0] != 0).sum(axis=0) + float(family.intercept)
        return evaluation_of(family.observation, rows, rate, self._null(rows), self.scale_, used)

    def residuals(
        self, X: Any, y: Any = None, *, offset: ArrayLike | None = None, inputs: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the deviance residuals of each bin, in the shape of y; NaN where something is missing.

        Their square is the deviance of the bin, their sign that of y minus the rate (Pierce & Schafer 1986).
        """
        rate, targets, y = self._both(X, y, offset, inputs)
        missing = np.isnan(rate) | np.isnan(targets)
        scale = self.scale_ if isinstance(self._observed(), NegativeBinomial) else np.ones_like(self.scale_)
        some = np.where(missing, 1, targets), np.where(missing, 1, rate)
        deviance = log_likelihood_of(self._observed(), *some, scale, "deviance")
        found = np.sign(targets - rate) * np.sqrt(np.maximum(deviance, 0))
        return as_given(y, np.where(missing, np.nan, found).reshape(np.shape(y)))

    def time_rescaling(
        self,
        X: Any,
        y: Any = None,
        seed: int = 0,
        *,
        offset: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
    ) -> list[TimeRescaling]:
        """Test for each neuron whether its spikes come at the rates of the model; see :func:`time_rescaling`.

        Arguments:
            X, y, offset, inputs: consecutive bins, features or recording; intervals with missing bins, and intervals
                that reach from one epoch of a series of pynapple into the next, are left out.
            seed: of the random places of spikes in their bins.
        """
        rate, targets, y = self._both(X, y, offset, inputs)
        starts, scale = epoch_starts(aligned(X, y)), self.scale_
        return [
            time_rescaling(targets[:, i], rate[:, i], self._observed(), float(scale[i]), seed + i, starts)
            for i in range(rate.shape[1])
        ]

    def _both(self, X: Any, y: Any, offset: Any, inputs: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        """Return the rates and the observations, `(time, neurons)`, and the latter as they were given."""
        X, y = self._given(X, y, inputs)
        aligned(X, y, offset)
        rate = self._rate(X, offset)
        targets = self._targets(y, len(rate))
        if targets.shape != rate.shape:
            raise ShapeError(f"y: got shape {np.shape(y)}, but the rates of X have {rate.shape}.")
        return rate, targets, y

    def sample(
        self,
        X: Any,
        seed: int = 0,
        trials: int | None = None,
        *,
        offset: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
    ) -> np.ndarray:
        """Draw observations, each bin by itself, from the rates that features give.

        Arguments:
            X, offset, inputs: as for `predict`.
            seed: of the draws.
            trials: how many times; `None` for once, without a first axis.

        Returns:
            `(time,)` or `(time, neurons)`, with a first axis of trials if asked for.
        """
        X, _ = self._given(X, None, inputs)
        rate = np.asarray(values_of(self.predict(X, offset=offset)))
        observation = self._plan().family.observation
        with jax.enable_x64(self.precision == "float64"):
            keys = jax.random.split(jax.random.key(seed), trials or 1)
            mean = jnp.asarray(rate)
            scale = jnp.asarray(self.scale_ if rate.ndim == 2 else self.scale_[0])
            scale = jnp.broadcast_to(scale[None, :] if rate.ndim == 2 else scale, rate.shape)
            drawn = np.asarray(jax.vmap(lambda key: observation.sample(key, mean, scale))(keys))
        return as_given(X, drawn[0]) if trials is None else drawn
