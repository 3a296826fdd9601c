"""After the fit: standard errors, the Laplace posterior, information criteria, explained information, residuals."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.errors import CapabilityError, OptionError
from recurra.glm.design import Layout, Rows
from recurra.glm.newton import hessians
from recurra.glm.objective import Data, Family, predictor
from recurra.glm.observations import Gamma, Gaussian, NegativeBinomial, ObservationModel, Poisson
from recurra.glm.penalty import Penalty

if TYPE_CHECKING:
    from recurra.glm.estimator import Regression


@dataclass(frozen=True, eq=False)
class Posterior:
    """Hold the normal distribution of the parameters around their estimate (Laplace; see MacKay 1992).

    Without a penalty its standard deviations are the standard errors of maximum likelihood (observed information).

    Arguments:
        mean: `(neurons, features + 1)`, the intercept last.
        covariance: `(neurons, features + 1, features + 1)`; 0 where a coefficient is masked.
        parameters: effective number of parameters of each neuron, `(neurons,)`: the trace of the inverse penalised
            Hessian times that of the loss (Hastie & Tibshirani 1990).
        layout: of the features.

    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 1))
    >>> y = rng.poisson(np.exp(x[:, 0] - 1.0))
    >>> low, high = GLM().fit(x, y).posterior(x, y).interval(0.95)
    >>> bool(np.all((low < [1.0, -1.0]) & (high > [1.0, -1.0]))), (high - low).round(2).tolist()
    (True, [[0.25, 0.34]])
    """

    mean: np.ndarray
    covariance: np.ndarray
    parameters: np.ndarray
    layout: Layout

    __repr__ = brief

    @property
    def standard_errors(self) -> np.ndarray:
        """Standard deviation of every parameter, `(neurons, features + 1)`, the intercept last."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))

    @property
    def coef_errors(self) -> Any:
        """Standard deviations of the coefficients: `(features, neurons)`, or a tree of such as X was."""
        return self.layout.split(self.standard_errors[:, :-1].T)

    @property
    def intercept_errors(self) -> np.ndarray:
        """Standard deviations of the intercepts, `(neurons,)`."""
        return self.standard_errors[:, -1]

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper ends of central intervals, each `(neurons, features + 1)`.

        Raises:
            OptionError: the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise OptionError(f"level: must lie between 0 and 1, got {level!r}.")
        from scipy.special import ndtri

        reach = ndtri(0.5 + level / 2) * self.standard_errors
        return self.mean - reach, self.mean + reach

    @property
    def p_values(self) -> np.ndarray:
        """Two-sided probability of so large an estimate if the parameter were 0 (Wald 1943), as `mean`."""
        from scipy.special import ndtr

        error = self.standard_errors
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(error > 0, 2 * ndtr(-np.abs(self.mean) / error), np.nan)

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw parameters, `(count, neurons, features + 1)`."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
        with jax.enable_x64(True):
            drawn = np.asarray(jax.random.normal(jax.random.key(seed), (count, *self.mean.shape)))
        return self.mean + np.einsum("npq,cnq->cnp", root, drawn)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Hold how well each neuron's model explains observations; arrays `(neurons,)`.

    Arguments:
        log_likelihood: sum over the bins, in nats, at the model's scale.
        deviance: twice the log-likelihood that is missing to a perfect fit, at scale 1.
        aic, bic: -2 log_likelihood + 2 k (Akaike 1974), and + k log(bins) (Schwarz 1978).
        mcfadden: 1 - LL / LL0 (McFadden 1974).
        cohen: 1 - D / D0, the share of the deviance (Cohen et al. 2003).
        bits_per_spike: (LL - LL0) / spikes / log 2 (Harris et al. 2003); for counts and events.
        parameters: k, the effective number of parameters, with the intercept, and the scale where it is estimated.
        bins: how many bins count.

    >>> from recurra.glm import GLM
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 1))
    >>> y = rng.poisson(np.exp(x[:, 0] - 1.0))
    >>> found = GLM().fit(x, y).evaluate(x, y)
    >>> found.parameters.round(6).tolist(), bool(np.allclose(found.aic, 2 * 2 - 2 * found.log_likelihood))
    ([2.0], True)
    """

    log_likelihood: np.ndarray
    deviance: np.ndarray
    aic: np.ndarray
    bic: np.ndarray
    mcfadden: np.ndarray
    cohen: np.ndarray
    bits_per_spike: np.ndarray
    parameters: np.ndarray
    bins: float

    __repr__ = brief


def curvatures(family: Family, rows: Rows, coef: np.ndarray) -> np.ndarray:
    """Return the second derivative of the mean loss of each neuron, `(neurons, features + 1, features + 1)`."""
    with jax.enable_x64(True):
        share = (rows.weight / rows.count)[:, None]
        data = Data(*(jnp.asarray(a, float) for a in (rows.x, rows.y, share)))
        return np.array(_hessians(family, data, jnp.asarray(coef)[..., None]))


@functools.partial(jax.jit, static_argnums=0)
def _hessians(family: Family, data: Data, coef: Array) -> Array:
    return hessians(family, data, predictor(data.x, coef))


def posterior_of(
    family: Family,
    rows: Rows,
    coef: np.ndarray,
    penalty: Penalty,
    scale: np.ndarray,
    layout: Layout,
    mask: np.ndarray | None,
) -> Posterior:
    """Return the posterior of a fit.

    Arguments:
        family, rows: model and data.
        coef: `(features + 1, neurons)`.
        penalty: must have no part without a derivative.
        scale: dispersion, `(neurons,)`.
        layout: of the features.
        mask: `(features, neurons)`, or `None`.

    Raises:
        CapabilityError: the penalty has a kink, or there are bounds.
    """
    if penalty.rough:
        raise CapabilityError(
            "posterior: with Lasso, ElasticNet, GroupLasso or bounds the estimate is not normally distributed around"
            " the truth. Fit again without, on the features that were selected and on other data."
        )
    loss = curvatures(family, rows, coef)
    size, neurons = coef.shape
    whole = loss.copy()
    if penalty.diagonal is not None:
        whole[:, np.arange(size - 1), np.arange(size - 1)] += np.asarray(penalty.diagonal).T
    if penalty.matrix is not None and penalty.factor is not None:
        whole[:, :-1, :-1] += np.asarray(penalty.factor)[:, None, None] * np.asarray(penalty.matrix)[None]
    covariance, parameters = np.zeros_like(whole), np.zeros(neurons)
    for p in range(neurons):
        used = np.ones(size, bool)
        if mask is not None:
            used[:-1] = mask[:, p]
        place = np.ix_(used, used)
        inverse = np.linalg.pinv(whole[p][place], hermitian=True)
        covariance[p][place] = scale[p] * inverse / rows.count
        parameters[p] = np.sum(inverse * loss[p][place])
    return Posterior(coef.T, covariance, parameters, layout)


def evaluation_of(
    observation: ObservationModel,
    rows: Rows,
    rate: np.ndarray,
    null_rate: np.ndarray,
    scale: np.ndarray,
    parameters: np.ndarray,
) -> Evaluation:
    """Compare observations with the rates of a model and with constant ones.

    Arguments:
        observation: the observation model.
        rows: the data.
        rate: of the model, `(time, neurons)`.
        null_rate: of the model without features, `(neurons,)`.
        scale: dispersion, `(neurons,)`.
        parameters: effective number of parameters with the intercept, `(neurons,)`.
    """
    null = np.broadcast_to(null_rate, rate.shape)
    with jax.enable_x64(True):
        wide, y = np.broadcast_to(scale, rate.shape), jnp.asarray(rows.y)
        rates = [jnp.asarray(rate), jnp.asarray(null)]
        best, base = (rows.weight @ np.asarray(observation.log_likelihood(y, r, wide)) for r in rates)
        one = np.ones_like(wide)
        fixed = wide if isinstance(observation, NegativeBinomial) else one
        deviance, most = (rows.weight @ np.asarray(observation.deviance(y, r, fixed)) for r in rates)
    estimated = isinstance(observation, Gaussian | Gamma) or getattr(observation, "estimated", False)
    k = parameters + estimated
    spikes = rows.weight @ rows.y
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = (best - base) / spikes / np.log(2)
        return Evaluation(
            best,
            deviance,
            -2 * best + 2 * k,
            -2 * best + k * np.log(rows.count),
            1 - best / base,
            1 - deviance / most,
            bits,
            k,
            rows.count,
        )


def bits_per_spike(y: ArrayLike, rate: ArrayLike, null_rate: ArrayLike | None = None) -> np.ndarray:
    """Return what Poisson rates say about spikes beyond their mean rate (Harris et al. 2003).

    Arguments:
        y: counts, `(time,)` or `(time, neurons)`.
        rate: expected counts, as y.
        null_rate: a constant rate to compare with; the mean of y if `None`. For held-out data give the mean of the data
            that the model was fitted to.

    Returns:
        Bits for each spike, `()` or `(neurons,)`; NaN without a spike.

    >>> round(float(bits_per_spike([0, 2, 0, 2], [1e-9, 2.0, 1e-9, 2.0])), 3)
    1.0
    """
    counts, rates = np.asarray(y, float), np.asarray(rate, float)
    null = np.broadcast_to(counts.mean(axis=0) if null_rate is None else np.asarray(null_rate, float), counts.shape)
    with jax.enable_x64(True):
        both = [Poisson().log_likelihood(jnp.asarray(counts), jnp.asarray(r)) for r in (rates, null)]
        model, base = (np.asarray(each).sum(axis=0) for each in both)
    with np.errstate(divide="ignore", invalid="ignore"):
        spikes = counts.sum(axis=0)
        return np.where(spikes > 0, (model - base) / spikes / np.log(2), np.nan)


def posterior_of_estimator(model: Regression, X: Any, y: Any, sample_weight: ArrayLike | None) -> Posterior:
    """Return the posterior of a fitted estimator; see :meth:`Regression.posterior`."""
    from dataclasses import replace

    from recurra.glm.design import read_mask
    from recurra.glm.regularizers import ARD

    rows, _ = model._compare(X, y, sample_weight)
    plan, (coef, intercept) = model._plan(), model._flat()
    penalty = model._penalty(plan, model.layout_, len(intercept))
    mask = read_mask(getattr(model, "feature_mask", None), model.layout_, len(intercept))
    if isinstance(plan.regularizer, ARD):
        penalty = replace(penalty, diagonal=np.minimum(model.strength_, 1e12))
    whole = np.concatenate([coef, intercept[None]])
    return posterior_of(plan.family, rows, whole, penalty, model.scale_, model.layout_, mask)
