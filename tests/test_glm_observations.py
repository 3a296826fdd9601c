"""Observation models against scipy.stats, their moments, their scales, and bad counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from recurra.errors import OptionError, ShapeError
from recurra.glm import (
    Bernoulli,
    Categorical,
    Gamma,
    Gaussian,
    NegativeBinomial,
    Poisson,
    find_inverse_link,
    find_observation_model,
)

RANDOM = np.random.default_rng(0)
RATE = RANDOM.uniform(0.2, 5.0, size=(60, 3))
PHI = 0.7
FAMILIES = {
    "Poisson": (Poisson(), RANDOM.poisson(RATE), 1.0, lambda y, mu: stats.poisson.logpmf(y, mu)),
    "Gamma": (Gamma(), RANDOM.gamma(2.0, RATE), PHI, lambda y, mu: stats.gamma.logpdf(y, 1 / PHI, scale=mu * PHI)),
    "NegativeBinomial": (
        NegativeBinomial(PHI), RANDOM.poisson(2 * RATE), PHI,
        lambda y, mu: stats.nbinom.logpmf(y, 1 / PHI, 1 / (1 + PHI * mu)),
    ),
    "Gaussian": (Gaussian(), RANDOM.normal(RATE), PHI, lambda y, mu: stats.norm.logpdf(y, mu, np.sqrt(PHI))),
    "Bernoulli": (
        Bernoulli(), RANDOM.integers(0, 2, size=RATE.shape), 1.0, lambda y, mu: stats.bernoulli.logpmf(y, mu)
    ),
}  # fmt: skip


def family(name):
    model, y, scale, oracle = FAMILIES[name]
    return model, np.asarray(y, float), RATE / 6 if name == "Bernoulli" else RATE, scale, oracle


def difference(a, b):
    assert np.shape(a) == np.shape(b)
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))


@pytest.mark.parametrize("name", FAMILIES)
def test_log_likelihood_is_that_of_scipy(name):
    model, y, rate, scale, oracle = family(name)
    assert difference(model.log_likelihood(y, rate, scale), oracle(y, rate)) < 1e-12


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_minimised_is_the_log_likelihood_at_its_scale_up_to_a_constant(name):
    model, y, rate, scale, _ = family(name)
    unit = scale if name == "NegativeBinomial" else 1.0
    other = RATE[::-1] / (6 if name == "Bernoulli" else 1)
    moved = model.negative_log_likelihood(y, rate) - model.negative_log_likelihood(y, other)
    wanted = model.log_likelihood(y, other, unit) - model.log_likelihood(y, rate, unit)
    assert difference(moved, wanted) < 1e-12


@pytest.mark.parametrize("name", FAMILIES)
def test_deviance_is_twice_the_distance_to_the_saturated_model(name):
    model, y, rate, scale, _ = family(name)
    best = np.maximum(y, 1e-300) if name != "Gaussian" else y
    wanted = 2 * (model.log_likelihood(y, best, scale) - model.log_likelihood(y, rate, scale))
    assert difference(model.deviance(y, rate, scale), wanted) < 1e-11
    assert np.max(np.abs(model.deviance(y, best, scale))) < 1e-12


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("mean", [0.3, 0.8, 3.0, 30.0])
def test_samples_have_the_mean_and_variance_of_the_model(name, mean):
    model, _, _, scale, _ = family(name)
    if name == "Bernoulli" and mean >= 1:
        pytest.skip("a probability is at most 1")
    count = 200_000
    drawn = np.asarray(model.sample(jax.random.key(1), jnp.full(count, mean), scale), float)
    variance = float(model.variance(jnp.asarray(mean), scale))
    assert abs(drawn.mean() - mean) < 5 * np.sqrt(variance / count)
    fourth = ((drawn - drawn.mean()) ** 4).mean()
    assert abs(drawn.var() - variance) < 5 * np.sqrt((fourth - drawn.var() ** 2) / count)


def test_variance_functions():
    rate = jnp.asarray([0.5, 2.0])
    found = [FAMILIES[n][0].variance(rate, 0.5).tolist() for n in ("Poisson", "Gamma", "NegativeBinomial", "Gaussian")]
    assert found == [[0.5, 2.0], [0.125, 2.0], [0.625, 4.0], [0.5, 0.5]]
    assert Bernoulli().variance(jnp.asarray([0.25])).tolist() == [0.1875]


def test_scales():
    y, dof = RANDOM.normal(RATE, 0.3), 57.0
    assert difference(Gaussian().estimate_scale(y, RATE, dof), ((y - RATE) ** 2).sum(axis=0) / dof) < 1e-12
    assert difference(Gamma().estimate_scale(y, RATE, dof), (((y - RATE) / RATE) ** 2).sum(axis=0) / dof) < 1e-12
    for model in (Poisson(), Bernoulli()):
        assert model.estimate_scale(y, RATE, dof).tolist() == [1, 1, 1]
    assert NegativeBinomial(0.4).estimate_scale(y, RATE, dof).tolist() == [0.4, 0.4, 0.4]
    assert Gaussian().estimate_scale(y[:, 0], RATE[:, 0], dof).shape == ()


@pytest.mark.parametrize("true", [0.05, 0.7, 4.0])
def test_estimated_dispersion_solves_its_equation_and_finds_the_truth(true):
    rate = np.random.default_rng(2).uniform(0.5, 20, size=(20_000, 2))
    model = NegativeBinomial(estimated=True)
    y = model.sample(jax.random.key(0), jnp.asarray(rate), true)
    scale = model.estimate_scale(y, rate, len(rate) - 1)
    chi = ((y - rate) ** 2 / (rate + scale[None] * rate**2)).sum(axis=0)
    assert difference(chi / (len(rate) - 1), np.ones(2)) < 1e-10
    assert np.max(np.abs(scale / true - 1)) < 0.15


def test_dispersion_of_counts_less_spread_than_poisson_is_zero():
    rate = np.full((500, 1), 5.0)
    assert NegativeBinomial(estimated=True).estimate_scale(rate + 0.1, rate, 499).tolist() == [0.0]


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e-7, 1e-4, 9.9e-4, 1.01e-3, 0.01])
def test_negative_binomial_stays_precise_down_to_the_poisson_model(scale):
    y, rate = np.arange(30.0), np.linspace(0.5, 20, 30)
    # r (r+1) ... (r+y-1) / r^y, factor by factor: no difference of large numbers.
    rising = np.array([sum(np.log1p(scale * i) for i in range(int(n))) for n in y])
    dependent = -rate if scale == 0 else -np.log1p(scale * rate) / scale
    wanted = rising + y * np.log(rate) - y * np.log1p(scale * rate) + dependent - gammaln(y + 1)
    assert difference(NegativeBinomial().log_likelihood(y, rate, scale), wanted) < 1e-9
    if scale == 0:
        assert difference(wanted, stats.poisson.logpmf(y, rate)) < 1e-12
        assert difference(NegativeBinomial(0.0).negative_log_likelihood(y, rate),
                          Poisson().negative_log_likelihood(y, rate)) < 1e-9  # fmt: skip


def test_categorical():
    logs = jax.nn.log_softmax(jnp.asarray(RANDOM.normal(size=(7, 4))), axis=-1)
    labels = np.array([0, 3, 1, 2, 2, 0, 1])
    wanted = np.asarray(logs)[np.arange(7), labels]
    model = Categorical()
    assert difference(model.log_likelihood(labels, logs), wanted) < 1e-15
    assert difference(model.log_likelihood(np.eye(4)[labels], logs), wanted) < 1e-15
    assert difference(model.deviance(labels, logs), -2 * wanted) < 1e-15
    drawn = model.sample(jax.random.key(0), jnp.broadcast_to(logs[0], (100_000, 4)))
    share, p = np.bincount(drawn, minlength=4) / 100_000, np.exp(logs[0])
    assert np.max(np.abs(share - p) / np.sqrt(p * (1 - p) / 100_000)) < 5
    assert difference(model.variance(logs), np.exp(logs) * (1 - np.exp(logs))) < 1e-15


@pytest.mark.parametrize("name", FAMILIES)
def test_rates_at_the_edge_give_finite_numbers_and_slopes(name):
    model, _, _, scale, _ = family(name)
    edges = jnp.asarray([0.0, 1.0])
    y = jnp.asarray([1.0, 0.0])
    for function in (model.negative_log_likelihood, lambda y, r: model.log_likelihood(y, r, scale)):
        if name != "Gamma":
            assert np.all(np.isfinite(function(y, edges)))
        assert np.all(np.isfinite(jax.vmap(jax.grad(function, argnums=1))(y + 0.5, edges + 0.3)))


COUNTS = [
    (Poisson(), [0, 1, 1.5], r"y\[2\] is 1.5, but the Poisson model needs whole numbers of zero or above \(1 such"),
    (Poisson(), [[0, -1]], r"y\[0, 1\] is -1"),
    (Poisson(), [np.inf - 1.0, -0.5], r"is -0.5"),
    (NegativeBinomial(), [-1.0], "negative binomial model needs whole numbers"),
    (Bernoulli(), [0, 1, 2], r"y\[2\] is 2, but the Bernoulli model needs 0 or 1"),
    (Gamma(), [1.0, 0.0], r"y\[1\] is 0.0, but the Gamma model needs values above zero"),
    (Categorical(), [0.5], "categorical model needs whole numbers"),
]


@pytest.mark.parametrize(("model", "y", "message"), COUNTS)
def test_impossible_observations_are_told(model, y, message):
    with pytest.raises(ShapeError, match=message):
        model.check_counts(y)


def test_possible_observations_pass_with_missing_ones():
    for model in (Poisson(), NegativeBinomial(), Bernoulli(), Categorical(), Gaussian()):
        model.check_counts([0.0, 1.0, np.nan])
    Gamma().check_counts([0.5, np.nan])


@pytest.mark.parametrize("scale", [-1.0, np.inf, np.nan])
def test_impossible_dispersion_is_told(scale):
    with pytest.raises(OptionError, match="scale must be a number of zero or above"):
        NegativeBinomial(scale)


def test_models_and_links_are_found_by_name():
    for name in (*FAMILIES, "Categorical"):
        model = find_observation_model(name)
        assert type(model).__name__ == name
        assert find_observation_model(model) is model
        assert callable(find_inverse_link(model.default_inverse_link))
    with pytest.raises(OptionError, match="Did you mean 'Gaussian'"):
        find_observation_model("Gausian")
    with pytest.raises(OptionError, match="it has no check_counts, default_inverse_link"):
        find_observation_model(3)


LINKS = {"exp": np.exp, "softplus": lambda x: np.log(1 + np.exp(x)), "logistic": lambda x: 1 / (1 + np.exp(-x)),
         "expit": lambda x: 1 / (1 + np.exp(-x)), "norm_cdf": stats.norm.cdf, "one_over_x": lambda x: 1 / x,
         "identity": lambda x: x, "jax.nn.softplus": lambda x: np.log(1 + np.exp(x)),
         "log_softmax": lambda x: x - np.log(np.exp(x).sum())}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_links_are_their_formulas(name):
    x = np.linspace(-3, 3, 8)
    assert difference(find_inverse_link(name)(jnp.asarray(x)), LINKS[name](x)) < 1e-14
