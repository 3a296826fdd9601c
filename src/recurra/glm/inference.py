"""After the fit: standard errors, the Laplace posterior, information criteria, explained information, residuals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from recurra.courtesy import brief, warn
from recurra.errors import CapabilityError, OptionError
from recurra.glm.design import Layout, Rows, named, read_mask
from recurra.glm.determined import directions, empty_parts, information, penalty_matrix, standard
from recurra.glm.objective import Family
from recurra.glm.observations import Gamma, Gaussian, NegativeBinomial, ObservationModel, Poisson, has_dispersion
from recurra.glm.penalty import Penalty
from recurra.glm.regularizers import ARD

if TYPE_CHECKING:
    from pandas import DataFrame

    from recurra.glm.regression import Regression


@dataclass(frozen=True, eq=False)
class Posterior:
    """Hold the normal distribution of the parameters around their estimate (Laplace; see MacKay 1992).

    Without a penalty its standard deviations are the standard errors of maximum likelihood (observed information). They
    do not depend on where a feature has its zero, nor on its unit: the information is that of features brought to mean
    0 and size 1, and its directions are told apart by their eigenvalues.

    Arguments:
        mean: `(neurons, features + 1)`, the intercept last.
        covariance: `(neurons, features + 1, features + 1)`; 0 where a coefficient is held, NaN where the data do not
            determine it.
        parameters: effective number of parameters of each neuron, `(neurons,)`: the trace of the inverse penalised
            Hessian times that of the loss (Hastie & Tibshirani 1990).
        layout: of the features.
        determined: `(neurons, features + 1)`; false where a feature repeats others, where it separates events from
            their absence, and for a neuron that never changed: such a parameter has no finite error.
        labels: the names of the features, `(features,)`.

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
    determined: np.ndarray
    labels: np.ndarray

    __repr__ = brief

    @property
    def standard_errors(self) -> np.ndarray:
        """Standard deviation of every parameter, `(neurons, features + 1)`, the intercept last.

        Infinite where the data do not determine a parameter, 0 where one is held.
        """
        return np.where(self.determined, np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2)), np.inf)

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
        """Two-sided probability of so large an estimate if the parameter were 0 (Wald 1943), as `mean`.

        NaN where there is nothing to test: where a parameter is held, and where the data do not determine it.
        """
        from scipy.special import ndtr

        error = self.standard_errors
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((error > 0) & np.isfinite(error), 2 * ndtr(-np.abs(self.mean) / error), np.nan)

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw parameters, `(count, neurons, features + 1)`.

        Raises:
            CapabilityError: the data do not determine all of them.
        """
        if not self.determined.all():
            raise CapabilityError(
                f"sample: the data do not determine {_which(self.labels, ~self.determined)}; leave such"
                " features out (apply_identifiability_constraints), or use Ridge."
            )
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
        aic, bic: -2 LL + 2 k (Akaike 1974), and -2 LL + k log(bins) (Schwarz 1978). Where the scale is estimated LL is
            at its maximum: for a Gaussian model at the squared residuals divided by the bins, not by the degrees of
            freedom.
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


def posterior_of(
    family: Family,
    rows: Rows,
    coef: np.ndarray,
    penalty: Penalty,
    scale: np.ndarray,
    dof: np.ndarray,
    layout: Layout,
    mask: np.ndarray | None,
    endless: np.ndarray,
    labels: np.ndarray,
) -> Posterior:
    """Return the posterior of a fit.

    Arguments:
        family, rows: model and data.
        coef: `(features + 1, neurons)`.
        penalty: must have no part without a derivative.
        scale: dispersion, `(neurons,)`.
        dof: degrees of freedom that are left for it, `(neurons,)`.
        layout: of the features.
        mask: `(features, neurons)`, or `None`.
        endless: `(features + 1, neurons)`, true for a parameter whose best value is not finite.
        labels: the names of the features.

    Raises:
        CapabilityError: the penalty has a kink, or there are bounds.
    """
    if penalty.rough:
        raise CapabilityError(
            "posterior: with Lasso, ElasticNet, GroupLasso or bounds the estimate is not normally distributed around"
            " the truth. Fit again without, on the features that were selected and on other data."
        )
    if has_dispersion(family.observation):
        # With as many parameters as bins there is no residual to estimate the scale from.
        endless = endless | (dof <= 0)
    made = standard(rows.x, rows.weight, family.intercept)
    loss = information(family, rows, made, coef)
    size, neurons = coef.shape
    # To parameters of the features as they are.
    back = made.outside(np.eye(size))
    covariance, parameters = np.zeros((neurons, size, size)), np.zeros(neurons)
    lost = endless.T.copy()
    for p in range(neurons):
        used = np.append(np.ones(size - 1, bool) if mask is None else mask[:, p], family.intercept)
        place = np.ix_(used, used)
        values, vectors, full = directions((loss[p] + penalty_matrix(penalty, made, p))[place])
        inverse = (vectors[:, full] / values[full]) @ vectors[:, full].T
        parameters[p] = np.sum(inverse * loss[p][place])
        lost[p] |= empty_parts(made, used, vectors[:, ~full])
        whole = np.zeros((size, size))
        whole[place] = inverse
        covariance[p] = scale[p] * (back @ whole @ back.T) / rows.count
        covariance[p][lost[p]] = covariance[p][:, lost[p]] = np.nan
    return Posterior(coef.T, covariance, parameters, layout, ~lost, labels)


def _which(labels: np.ndarray, lost: np.ndarray) -> str:
    return named(np.append(labels, "intercept")[lost.any(axis=0)])


def summary_of(posterior: Posterior, level: float, neurons: list | None, intercept: bool) -> DataFrame:
    """Return a posterior as a table; see :meth:`Regression.summary`."""
    import pandas

    low, high = posterior.interval(level)
    error = posterior.standard_errors
    columns = {
        "coef": posterior.mean,
        "std_err": error,
        "z": np.where(error > 0, posterior.mean / np.where(error > 0, error, 1), np.nan),
        "p_value": posterior.p_values,
        "low": low,
        "high": high,
    }
    last = posterior.mean.shape[1] - (0 if intercept else 1)
    names = [*posterior.labels.tolist(), "intercept"][:last]
    if neurons is None:
        index: Any = pandas.Index(names, name="feature")
    else:
        index = pandas.MultiIndex.from_product([neurons, names], names=["neuron", "feature"])
    return pandas.DataFrame({name: value[:, :last].ravel() for name, value in columns.items()}, index)


def evaluation_of(
    observation: ObservationModel,
    rows: Rows,
    rate: np.ndarray,
    null: np.ndarray,
    scale: np.ndarray,
    parameters: np.ndarray,
) -> Evaluation:
    """Compare observations with the rates of a model and with constant ones.

    Arguments:
        observation: the observation model.
        rows: the data.
        rate: of the model, `(time, neurons)`.
        null: rate of the model without features, `(time, neurons)`.
        scale: dispersion, `(neurons,)`.
        parameters: effective number of parameters with the intercept, `(neurons,)`.
    """
    with jax.enable_x64(True):
        wide, y = np.broadcast_to(scale, rate.shape), jnp.asarray(rows.y)
        rates = [jnp.asarray(rate), jnp.asarray(null)]
        best, base = (rows.weight @ np.asarray(observation.log_likelihood(y, r, wide)) for r in rates)
        one = np.ones_like(wide)
        fixed = wide if isinstance(observation, NegativeBinomial) else one
        deviance, most = (rows.weight @ np.asarray(observation.deviance(y, r, fixed)) for r in rates)
    estimated = isinstance(observation, Gaussian | Gamma) or getattr(observation, "estimated", False)
    k = parameters + estimated
    most_likely = best
    if estimated:
        top = np.broadcast_to(likeliest_scale(observation, rows, rate, scale), rate.shape)
        with jax.enable_x64(True):
            most_likely = rows.weight @ np.asarray(observation.log_likelihood(y, rates[0], top))
    spikes = rows.weight @ rows.y
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = (best - base) / spikes / np.log(2)
        return Evaluation(
            best,
            deviance,
            -2 * most_likely + 2 * k,
            -2 * most_likely + k * np.log(rows.count),
            1 - best / base,
            1 - deviance / most,
            bits,
            k,
            rows.count,
        )


def likeliest_scale(observation: ObservationModel, rows: Rows, rate: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the scale of each neuron at which the likelihood of given rates is largest, `(neurons,)`.

    Arguments:
        observation: one whose scale is estimated.
        rows: the data.
        rate: of the model, `(time, neurons)`.
        scale: where to look for it, `(neurons,)`.
    """
    share = rows.weight / rows.count
    if isinstance(observation, Gaussian):
        return share @ (rows.y - rate) ** 2
    from scipy.optimize import minimize_scalar

    def lost(log_scale: float, p: int) -> float:
        with jax.enable_x64(True):
            each = observation.log_likelihood(jnp.asarray(rows.y[:, p]), jnp.asarray(rate[:, p]), np.exp(log_scale))
        return -float(share @ np.asarray(each))

    # On a logarithmic axis, around what the moments say.
    middle = np.log(np.maximum(scale, 1e-8))
    found = [minimize_scalar(lost, bounds=(m - 4, m + 4), args=(p,), method="bounded", options={"xatol": 1e-8})
             for p, m in enumerate(middle)]  # fmt: skip
    return np.exp([f.x for f in found])  # type: ignore[union-attr]


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


def posterior_of_estimator(model: Regression, rows: Rows, tell: bool = False) -> Posterior:
    """Return the posterior of a fitted estimator; see :meth:`Regression.posterior`.

    Arguments:
        model: the estimator.
        rows: what it was fitted to, without rows that do not count.
        tell: warn of parameters that are not determined.
    """
    plan, (coef, intercept) = model._plan(), model._flat()
    penalty = model._penalty(plan, model.layout_, len(intercept))
    mask = read_mask(getattr(model, "feature_mask", None), model.layout_, len(intercept))
    if isinstance(plan.regularizer, ARD):
        penalty = replace(penalty, diagonal=np.minimum(model.strength_, 1e12))
    whole = np.concatenate([coef, intercept[None]])
    endless = np.zeros(whole.shape, bool) if model.separated_ is None else model.separated_.copy()
    endless[:, model.silent_] = True
    if mask is not None:
        endless[:-1] &= mask
    scale = model.scale_ if has_dispersion(plan.family.observation) else np.ones_like(model.scale_)
    arguments = penalty, scale, model.dof_resid_, model.layout_, mask, endless, model.feature_labels_
    found = posterior_of(plan.family, rows, whole, *arguments)
    lost = ~found.determined & ~model.silent_[:, None]
    if tell and lost.any():
        warn(
            f"{_which(found.labels, lost)}: the data do not determine them (features that repeat others or"
            " the constant, or that separate events from their absence); they have no finite error.",
            UserWarning,
        )
    return found
