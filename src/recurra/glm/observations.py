"""Observation models: how what is observed in a bin is distributed around its mean.

Every model is a frozen dataclass of pure JAX functions that work element by element: `y` and `rate` are arrays of one
shape, such as `(time,)` or `(time, neuron)`. `rate` is the mean in a bin: no model knows the length of a bin. `scale`
is the dispersion of the family, with the meaning the model says. The families are those of McCullagh & Nelder (1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, xlog1py, xlogy
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.errors import OptionError, ShapeError, unknown


@runtime_checkable
class ObservationModel(Protocol):
    """Describe what a model of observations must have; write your own with these methods.

    `check_counts` is called with concrete numbers, every other method may be traced.

    Arguments:
        default_inverse_link: an attribute: the name of the inverse link function that is used if none is given.

    >>> from recurra.glm import GLM
    >>> class QuasiPoisson(Poisson):
    ...     def variance(self, rate, scale=1.0):
    ...         return scale * rate
    ...     def estimate_scale(self, y, rate, dof):
    ...         return jnp.sum((y - rate) ** 2 / rate, axis=0) / dof
    >>> counts = np.random.default_rng(0).negative_binomial(2, 0.5, 4000)  # mean 2, variance 4
    >>> model = GLM(observation_model=QuasiPoisson()).fit(np.arange(4000.0)[:, None], counts)
    >>> round(float(model.scale_[0]), 1)  # variance / mean
    2.0
    """

    default_inverse_link: ClassVar[str]

    def negative_log_likelihood(self, y: Array, rate: Array) -> Array:
        """Return what a fit minimises, element by element; parts without `rate` may be left out."""
        ...

    def log_likelihood(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the whole log-likelihood in nats, element by element."""
        ...

    def deviance(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return twice what is missing to the log-likelihood of `rate = y`, element by element."""
        ...

    def variance(self, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the variance of each observation."""
        ...

    def sample(self, key: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Draw an observation for each mean."""
        ...

    def estimate_scale(self, y: Array, rate: Array, dof: ArrayLike) -> Array:
        """Return the scale of each neuron, `(neurons,)` or `()`, from arrays over time and `dof` degrees of freedom."""
        ...

    def check_counts(self, y: ArrayLike, where: str = "y") -> None:
        """Raise ShapeError unless `y` can be observed; NaN is let through."""
        ...


def _above_zero(rate: Array) -> Array:
    return jnp.maximum(rate, jnp.finfo(jnp.result_type(rate, float)).tiny)


def _probability(rate: Array) -> Array:
    eps = jnp.finfo(jnp.result_type(rate, float)).eps
    return jnp.clip(rate, eps, 1 - eps)


def _spread(scale: ArrayLike, rate: Array) -> Array:
    # A scale is a number or one for each neuron.
    return jnp.broadcast_to(jnp.asarray(scale, jnp.result_type(rate, float)), jnp.shape(rate))


def _ones(y: Array) -> Array:
    # One number for each neuron: the shape of a sum over time.
    return jnp.ones(jnp.shape(y)[1:], jnp.result_type(float))


@dataclass(frozen=True)
class Poisson:
    """Take counts to be Poisson: variance = mean (McCullagh & Nelder 1989, chapter 6). The scale is 1.

    >>> round(float(Poisson().log_likelihood(jnp.asarray(2.0), jnp.asarray(3.0))), 6)
    -1.495923
    """

    default_inverse_link: ClassVar[str] = "exp"

    def negative_log_likelihood(self, y: Array, rate: Array) -> Array:
        """Return what is minimised, element by element: `rate - y log(rate)`."""
        return rate - y * jnp.log(_above_zero(rate))

    def log_likelihood(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `y log(rate) - rate - log(y!)`, element by element."""
        return -self.negative_log_likelihood(y, rate) - gammaln(y + 1.0)

    def deviance(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `2 (y log(y / rate) - y + rate)`, element by element."""
        rate = _above_zero(rate)
        return 2 * (xlogy(y, y / rate) - y + rate)

    def variance(self, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the variance, which is the mean."""
        return rate

    def sample(self, key: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Draw counts."""
        return jax.random.poisson(key, rate)

    def estimate_scale(self, y: Array, rate: Array, dof: ArrayLike) -> Array:
        """Return 1 for each neuron."""
        return _ones(y)

    def check_counts(self, y: ArrayLike, where: str = "y") -> None:
        """Raise ShapeError unless `y` holds whole numbers, zero or above; NaN is let through."""
        _check_whole(y, where, "Poisson")


@dataclass(frozen=True)
class Gamma:
    """Take positive values to be Gamma distributed: variance = scale * mean^2; the shape is 1 / scale.

    Source: McCullagh & Nelder (1989), chapter 8.

    >>> float(Gamma().variance(jnp.asarray(3.0), 0.5))
    4.5
    """

    default_inverse_link: ClassVar[str] = "one_over_x"

    def negative_log_likelihood(self, y: Array, rate: Array) -> Array:
        """Return what is minimised, element by element: `y / rate + log(rate)`."""
        rate = _above_zero(rate)
        return y / rate + jnp.log(rate)

    def log_likelihood(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the logarithm of the density with mean `rate` and shape `1 / scale`, element by element."""
        k, rate = 1 / _spread(scale, rate), _above_zero(rate)
        return k * jnp.log(k * y / rate) - jnp.log(y) - k * y / rate - gammaln(k)

    def deviance(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `2 ((y - rate) / rate - log(y / rate)) / scale`, element by element."""
        rate = _above_zero(rate)
        return 2 * ((y - rate) / rate - jnp.log(_above_zero(y) / rate)) / _spread(scale, rate)

    def variance(self, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `scale * rate^2`."""
        return _spread(scale, rate) * rate**2

    def sample(self, key: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Draw values with mean `rate` and variance `scale * rate^2`."""
        k = 1 / _spread(scale, rate)
        return jax.random.gamma(key, k) * rate / k

    def estimate_scale(self, y: Array, rate: Array, dof: ArrayLike) -> Array:
        """Return Pearson's estimate: the sum over time of `((y - rate) / rate)^2`, divided by `dof`."""
        return jnp.sum(((y - rate) / _above_zero(rate)) ** 2, axis=0) / jnp.asarray(dof)

    def check_counts(self, y: ArrayLike, where: str = "y") -> None:
        """Raise ShapeError unless `y` is above zero; NaN is let through."""
        y = np.asarray(y)
        _complain(y <= 0, y, where, "the Gamma model needs values above zero", "add an offset, or use Gaussian")


@dataclass(frozen=True)
class Bernoulli:
    """Take each bin to hold one event with probability `rate`, or none. The scale is 1.

    Source: McCullagh & Nelder (1989), chapter 4.

    >>> round(float(Bernoulli().log_likelihood(jnp.asarray(1.0), jnp.asarray(0.25))), 6)
    -1.386294
    """

    default_inverse_link: ClassVar[str] = "logistic"

    def negative_log_likelihood(self, y: Array, rate: Array) -> Array:
        """Return what is minimised, element by element: `-y log(rate) - (1 - y) log(1 - rate)`."""
        p = _probability(rate)
        return -(xlogy(y, p) + xlog1py(1 - y, -p))

    def log_likelihood(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `y log(rate) + (1 - y) log(1 - rate)`, element by element."""
        return -self.negative_log_likelihood(y, rate)

    def deviance(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return twice the negative log-likelihood, element by element: the saturated model's is zero."""
        return 2 * self.negative_log_likelihood(y, rate)

    def variance(self, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `rate (1 - rate)`."""
        return rate * (1 - rate)

    def sample(self, key: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Draw zeros and ones."""
        return jax.random.bernoulli(key, rate).astype(jnp.result_type(int))

    def estimate_scale(self, y: Array, rate: Array, dof: ArrayLike) -> Array:
        """Return 1 for each neuron."""
        return _ones(y)

    def check_counts(self, y: ArrayLike, where: str = "y") -> None:
        """Raise ShapeError unless `y` holds zeros and ones; NaN is let through."""
        y = np.asarray(y)
        fine = (y == 0) | (y == 1) | np.isnan(y.astype(float))
        _complain(~fine, y, where, "the Bernoulli model needs 0 or 1", "use (y > 0), or the Poisson model for counts")


@dataclass(frozen=True)
class NegativeBinomial:
    """Take counts to be negative binomial: variance = mean + scale * mean^2.

    Source: McCullagh & Nelder (1989), section 11.2.

    Arguments:
        scale: the dispersion during a fit; 0 is the Poisson model.
        estimated: whether :meth:`estimate_scale` estimates the scale or returns the fixed one. Coefficients and their
            errors are those at `scale` in any case: fit again with the estimate.

    >>> float(NegativeBinomial().variance(jnp.asarray(3.0), 0.5))
    7.5
    """

    scale: float = 1.0
    estimated: bool = False
    default_inverse_link: ClassVar[str] = "exp"

    def __post_init__(self) -> None:
        if not np.ndim(self.scale) == 0 or not np.isfinite(self.scale) or self.scale < 0:
            raise OptionError(f"NegativeBinomial: scale must be a number of zero or above, got {self.scale!r}.")

    def negative_log_likelihood(self, y: Array, rate: Array) -> Array:
        """Return what is minimised, element by element: `(y + 1/scale) log(1 + scale rate) - y log(rate)`."""
        return -self._dependent(y, rate, self.scale)

    @staticmethod
    def _dependent(y: Array, rate: Array, scale: ArrayLike) -> Array:
        phi, rate = _nearly_zero_at_least(scale, rate), _above_zero(rate)
        return y * jnp.log(rate) - (y + 1 / phi) * jnp.log1p(phi * rate)

    def log_likelihood(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the logarithm of the probability with mean `rate`, element by element."""
        return self._dependent(y, rate, scale) + _rising(y, scale) - gammaln(y + 1.0)

    def deviance(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `2 (y log(y/rate) - (y + 1/scale) log((1 + scale y) / (1 + scale rate)))`, element by element."""
        phi, rate = _nearly_zero_at_least(scale, rate), _above_zero(rate)
        inner = (jnp.log1p(phi * y) - jnp.log1p(phi * rate)) * (y + 1 / phi)
        return 2 * (xlogy(y, y / rate) - inner)

    def variance(self, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `rate + scale * rate^2`."""
        return rate + _spread(scale, rate) * rate**2

    def sample(self, key: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Draw counts: Poisson counts whose mean is Gamma distributed."""
        first, second = jax.random.split(key)
        rate = jnp.asarray(rate, jnp.result_type(rate, float))
        phi = _nearly_zero_at_least(scale, rate)
        return jax.random.poisson(second, jax.random.gamma(first, 1 / phi) * phi * rate)

    def estimate_scale(self, y: Array, rate: Array, dof: ArrayLike) -> Array:
        """Return the fixed scale, or if `estimated` the one at which Pearson's chi-square equals `dof`.

        Source: Breslow (1984), Applied Statistics 33, 38-44. The reciprocal of the chi-square is a concave increasing
        function of the scale, so Newton's method started at 0 rises to the root without overshooting it.
        """
        if not self.estimated:
            return self.scale * _ones(y)
        rate = _above_zero(rate)
        square, scale = (y - rate) ** 2, 0 * _ones(y)
        for _ in range(25):
            spread = rate + _spread(scale, rate) * rate**2
            chi, slope = jnp.sum(square / spread, axis=0), jnp.sum(square * rate**2 / spread**2, axis=0)
            scale = jnp.maximum(scale + jnp.where(slope > 0, (chi / dof - 1) * chi / jnp.maximum(slope, 1e-30), 0), 0)
        return scale

    def check_counts(self, y: ArrayLike, where: str = "y") -> None:
        """Raise ShapeError unless `y` holds whole numbers, zero or above; NaN is let through."""
        _check_whole(y, where, "negative binomial")


def _nearly_zero_at_least(scale: ArrayLike, rate: Array) -> Array:
    # So small a scale gives the Poisson model to the last digit, without a division by zero.
    phi = _spread(scale, rate)
    return jnp.maximum(phi, 1e-6 * jnp.finfo(phi.dtype).eps)


def _rising(y: Array, scale: ArrayLike) -> Array:
    """Return log Gamma(y + r) - log Gamma(r) - y log(r) for r = 1/scale, by Stirling's series where r is large."""
    y = jnp.asarray(y, jnp.result_type(y, float))
    phi = _nearly_zero_at_least(scale, y)
    r = 1 / phi
    small = jnp.minimum(r, 1e3)
    exact = gammaln(y + small) - gammaln(small) - xlogy(y, small)
    # r log1p(y/r) - y by its own series would be needed only far beyond the precision of the counts.
    series = (r + y - 0.5) * jnp.log1p(y * phi) - y + (1 / (r + y) - phi) / 12 - (1 / (r + y) ** 3 - phi**3) / 360
    return jnp.where(r < 1e3, exact, series)


@dataclass(frozen=True)
class Gaussian:
    """Take values to be normally distributed: variance = scale.

    What is minimised is half the squared error, the negative log-likelihood at scale 1. (Where the half is left out,
    the same strength of a penalty counts half as much.)

    >>> float(Gaussian().negative_log_likelihood(jnp.asarray(3.0), jnp.asarray(1.0)))
    2.0
    """

    default_inverse_link: ClassVar[str] = "identity"

    def negative_log_likelihood(self, y: Array, rate: Array) -> Array:
        """Return what is minimised, element by element: `(y - rate)^2 / 2`."""
        return 0.5 * (y - rate) ** 2

    def log_likelihood(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the logarithm of the normal density with variance `scale`, element by element."""
        phi = _spread(scale, rate)
        return -0.5 * jnp.log(2 * jnp.pi * phi) - (y - rate) ** 2 / (2 * phi)

    def deviance(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return `(y - rate)^2 / scale`, element by element."""
        return (y - rate) ** 2 / _spread(scale, rate)

    def variance(self, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the scale."""
        return _spread(scale, rate)

    def sample(self, key: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Draw values with mean `rate` and variance `scale`."""
        rate = jnp.asarray(rate, jnp.result_type(rate, float))
        return rate + jnp.sqrt(_spread(scale, rate)) * jax.random.normal(key, rate.shape, rate.dtype)

    def estimate_scale(self, y: Array, rate: Array, dof: ArrayLike) -> Array:
        """Return the sum over time of the squared residuals, divided by `dof`."""
        return jnp.sum((y - rate) ** 2, axis=0) / jnp.asarray(dof)

    def check_counts(self, y: ArrayLike, where: str = "y") -> None:
        """Accept any number."""


@dataclass(frozen=True)
class Categorical:
    """Take each observation to be one of K classes (McCullagh & Nelder 1989, chapter 5). The scale is 1.

    Here `rate` holds log-probabilities, `(..., classes)`, as :func:`jax.nn.log_softmax` makes them, and `y` holds a one
    in the place of the class, `(..., classes)`, or the number of the class, `(...)`.

    >>> logs = jnp.log(jnp.asarray([[0.25, 0.75]]))
    >>> round(float(Categorical().log_likelihood(jnp.asarray([1]), logs)[0]), 6)
    -0.287682
    """

    default_inverse_link: ClassVar[str] = "log_softmax"

    def negative_log_likelihood(self, y: Array, rate: Array) -> Array:
        """Return what is minimised: minus the log-probability of the class, `(...)`."""
        if jnp.ndim(y) < jnp.ndim(rate):
            return -jnp.take_along_axis(rate, jnp.asarray(y, int)[..., None], axis=-1)[..., 0]
        return -jnp.sum(jnp.where(y == 0, 0, y * rate), axis=-1)

    def log_likelihood(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the log-probability of the class, `(...)`."""
        return -self.negative_log_likelihood(y, rate)

    def deviance(self, y: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return twice the negative log-likelihood, `(...)`: the saturated model's is zero."""
        return 2 * self.negative_log_likelihood(y, rate)

    def variance(self, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Return the variance of the indicator of each class, `p (1 - p)`, `(..., classes)`."""
        return jnp.exp(rate) * -jnp.expm1(rate)

    def sample(self, key: Array, rate: Array, scale: ArrayLike = 1.0) -> Array:
        """Draw the numbers of classes, `(...)`."""
        return jax.random.categorical(key, rate, axis=-1)

    def estimate_scale(self, y: Array, rate: Array, dof: ArrayLike) -> Array:
        """Return 1 for each neuron."""
        return jnp.ones(jnp.shape(rate)[1:-1], jnp.result_type(float))

    def check_counts(self, y: ArrayLike, where: str = "y") -> None:
        """Raise ShapeError unless `y` holds numbers of classes, or ones and zeros; NaN is let through."""
        _check_whole(y, where, "categorical")


OBSERVATION_MODELS = {
    "Poisson": Poisson,
    "Gamma": Gamma,
    "Bernoulli": Bernoulli,
    "NegativeBinomial": NegativeBinomial,
    "Gaussian": Gaussian,
    "Categorical": Categorical,
}


def find_observation_model(model: str | ObservationModel) -> ObservationModel:
    """Return an observation model by its name, or check one that is given.

    Arguments:
        model: `"Poisson"`, `"Gamma"`, `"Bernoulli"`, `"NegativeBinomial"`, `"Gaussian"`, `"Categorical"`, or an object
            with the methods of :class:`ObservationModel`.

    Returns:
        The model.

    Raises:
        OptionError: the name is unknown, or methods are missing.

    >>> find_observation_model("Poisson")
    Poisson()
    """
    if isinstance(model, str):
        if model not in OBSERVATION_MODELS:
            raise OptionError(unknown("observation model", model, OBSERVATION_MODELS))
        return OBSERVATION_MODELS[model]()
    wanted = [n for n in vars(ObservationModel) if not n.startswith("_")] + ["default_inverse_link"]
    missing = sorted({n for n in wanted if not hasattr(model, n)})
    if isinstance(model, type) or missing:
        hint = "give an instance, not the class" if isinstance(model, type) else f"it has no {', '.join(missing)}"
        raise OptionError(f"observation_model: {model!r} is no observation model: {hint}.")
    return model


def has_dispersion(observation: ObservationModel) -> bool:
    """Tell whether the scale multiplies the variance; else it is 1, or shapes the curve of the likelihood.

    Where it does, a fit does not know it, and the covariance of what was fitted is as many times that at scale 1.

    >>> has_dispersion(Gamma()), has_dispersion(Poisson()), has_dispersion(NegativeBinomial())
    (True, False, False)
    """
    with jax.enable_x64(True):
        one, two = (float(jnp.ravel(observation.variance(jnp.asarray([0.5]), scale))[0]) for scale in (1.0, 2.0))
    return one != 0 and two == 2 * one


def scale_of(
    observation: ObservationModel, y: np.ndarray, rate: np.ndarray, weight: np.ndarray, dof: np.ndarray
) -> np.ndarray:
    """Return the dispersion of each neuron; whole weights count a bin as often, others by their share.

    Arguments:
        observation: the model.
        y, rate: observations and their means, `(time, neurons)`.
        weight: `(time,)`.
        dof: degrees of freedom of the residuals, `(neurons,)`.
    """
    if not np.all(weight == 1):
        # A weighted sum of what the families add up: residuals are stretched by the root of the weight.
        y = rate + np.sqrt(weight)[:, None] * (y - rate)
    return np.array(measure(observation, "estimate_scale", y, rate, dof))


@partial(jax.jit, static_argnums=(0, 1))
def measure(observation: ObservationModel, name: str, y: ArrayLike, rate: ArrayLike, scale: ArrayLike) -> Array:
    """Call a method of an observation model that takes observations, means and a third argument, compiled."""
    return getattr(observation, name)(y, rate, scale)


def log_likelihood_of(
    observation: ObservationModel, y: np.ndarray, rate: np.ndarray, scale: np.ndarray, what: str = "log_likelihood"
) -> np.ndarray:
    """Return the log-likelihood (or the `"deviance"`) of each bin and neuron in double precision."""
    with jax.enable_x64(True):
        return np.asarray(measure(observation, what, y, rate, np.broadcast_to(scale, rate.shape)))


def _check_whole(y: ArrayLike, where: str, family: str) -> None:
    y = np.asarray(y)
    bad = (y < 0) | ((y != np.round(y)) & ~np.isnan(y)) if y.dtype.kind == "f" else y < 0
    _complain(bad, y, where, f"the {family} model needs whole numbers of zero or above", "give counts of a bin")


def _complain(bad: np.ndarray, y: np.ndarray, where: str, needed: str, hint: str) -> None:
    if not np.any(bad):
        return
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    at = f"{where}[{', '.join(map(str, place))}]" if place else where
    raise ShapeError(f"{at} is {y[place]!s}, but {needed} ({int(np.sum(bad))} such values); {hint}.")
