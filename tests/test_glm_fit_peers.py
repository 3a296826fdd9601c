"""Fits against scikit-learn, statsmodels and scipy; decisions where peers differ."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.linear_model as peers
import statsmodels.api as sm

from recurra.glm import GLM, ClassifierGLM, ElasticNet, GroupLasso, NegativeBinomial, PopulationGLM, Smoothness

ROWS = 400
TRUE = np.array([0.5, -0.3, 0.2, 0.0, 0.1])
EXACT = {"tol": 1e-13, "max_iter": 100_000}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 5))
    mean = np.exp(x @ TRUE - 0.5)
    return {
        "x": x,
        "Poisson": rng.poisson(mean).astype(float),
        "Gamma": rng.gamma(2.0, mean / 2),
        "Bernoulli": (rng.random(ROWS) < 1 / (1 + np.exp(-x @ TRUE))).astype(float),
        "Gaussian": x @ TRUE + rng.standard_normal(ROWS),
        "classes": np.argmax(x[:, :3] + rng.gumbel(size=(ROWS, 3)), axis=1),
    }


def peer_cases():
    """Yield our estimator, the peer's, and the largest difference allowed; ROWS enters where they average or sum."""
    s = 0.1
    yield "Poisson", GLM(regularizer="Ridge", regularizer_strength=s), peers.PoissonRegressor(alpha=s, **EXACT), 1e-7
    yield "Gamma", GLM("Gamma", "exp"), peers.GammaRegressor(alpha=0, **EXACT), 1e-6
    yield "Bernoulli", GLM("Bernoulli"), peers.LogisticRegression(C=np.inf, **EXACT), 1e-6
    # The Gaussian loss is half the squared error, so there is no factor of two in any of these three.
    ours = GLM("Gaussian", regularizer="Ridge", regularizer_strength=s)
    yield "Gaussian", ours, peers.Ridge(alpha=s * ROWS, tol=1e-14), 1e-9
    ours = GLM("Gaussian", regularizer="Lasso", regularizer_strength=s)
    yield "Gaussian", ours, peers.Lasso(alpha=s, tol=1e-14), 1e-9
    ours = GLM("Gaussian", regularizer=ElasticNet(0.3), regularizer_strength=s)
    yield "Gaussian", ours, peers.ElasticNet(alpha=s, l1_ratio=0.3, tol=1e-14), 1e-9


@pytest.mark.parametrize(("name", "ours", "peer", "limit"), list(peer_cases()))
def test_coefficients_are_those_of_scikit_learn(data, name, ours, peer, limit):
    ours.fit(data["x"], data[name])
    peer.fit(data["x"], data[name])
    assert ours.converged_.all()
    assert np.abs(ours.coef_ - np.ravel(peer.coef_)).max() < limit
    assert np.abs(ours.intercept_ - np.ravel(peer.intercept_)).max() < limit


def test_classes_are_those_of_scikit_learn(data):
    ours = ClassifierGLM(regularizer_strength=1 / ROWS).fit(data["x"], data["classes"])
    peer = peers.LogisticRegression(C=1.0, **EXACT).fit(data["x"], data["classes"])
    assert np.abs(ours.coef_.T - peer.coef_).max() < 1e-6
    assert np.abs(ours.intercept_ - (peer.intercept_ - peer.intercept_.mean())).max() < 1e-6
    probabilities = ours.predict_proba(data["x"])
    assert np.abs(probabilities - peer.predict_proba(data["x"])).max() < 1e-6
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-12


FAMILIES = {
    "Poisson": (GLM(), sm.families.Poisson()),
    "Bernoulli": (GLM("Bernoulli"), sm.families.Binomial()),
    "Gaussian": (GLM("Gaussian"), sm.families.Gaussian()),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_everything_after_the_fit_is_that_of_statsmodels(data, name):
    ours, family = FAMILIES[name]
    x, y = data["x"], data[name]
    ours.fit(x, y)
    peer = sm.GLM(y, sm.add_constant(x), family=family).fit(tol=1e-14, maxiter=200)
    order = [1, 2, 3, 4, 5, 0]
    posterior, found = ours.posterior(x, y), ours.evaluate(x, y)
    assert np.abs(posterior.mean[0] - peer.params[order]).max() < 1e-9
    assert np.abs(posterior.standard_errors[0] - peer.bse[order]).max() < 1e-9
    assert np.abs(posterior.p_values[0] - peer.pvalues[order]).max() < 1e-7
    assert abs(found.deviance[0] - peer.deviance) < 1e-8
    assert np.abs(ours.residuals(x, y) - peer.resid_deviance).max() < 1e-6
    assert abs(ours.dof_resid_[0] - peer.df_resid) == 0
    if name == "Gaussian":
        # statsmodels takes the likelihood at RSS / n; ours is at the scale that is used everywhere, RSS / (n - p - 1).
        assert abs(ours.scale_[0] - peer.scale) < 1e-10
        expected = scipy.stats.norm(peer.fittedvalues, np.sqrt(peer.scale)).logpdf(y).sum()
        assert abs(found.log_likelihood[0] - expected) < 1e-8
    else:
        assert abs(found.log_likelihood[0] - peer.llf) < 1e-8
        assert abs(found.aic[0] - peer.aic) < 1e-8
        assert abs(found.bic[0] - peer.bic_llf) < 1e-8
        assert abs(found.mcfadden[0] - (1 - peer.llf / peer.llnull)) < 1e-10
    assert abs(found.cohen[0] - (1 - peer.deviance / peer.null_deviance)) < 1e-10


def density(name, y, rate, scale):
    """Return the log-density of scipy."""
    return {
        "Poisson": lambda: scipy.stats.poisson(rate).logpmf(y),
        "NegativeBinomial": lambda: scipy.stats.nbinom(1 / scale, 1 / (1 + scale * rate)).logpmf(y),
        "Gaussian": lambda: scipy.stats.norm(rate, np.sqrt(scale)).logpdf(y),
        "Gamma": lambda: scipy.stats.gamma(1 / scale, scale=rate * scale).logpdf(y),
    }[name]()


@pytest.mark.parametrize("name", ["Poisson", "NegativeBinomial", "Gaussian", "Gamma"])
def test_score_is_the_mean_log_density_of_scipy(data, name):
    y = data["Poisson" if name == "NegativeBinomial" else name]
    family = NegativeBinomial(0.5) if name == "NegativeBinomial" else name
    model = GLM(family, "identity" if name == "Gaussian" else "exp")
    model.fit(data["x"], y)
    expected = density(name, y, model.predict(data["x"]), model.scale_[0]).mean()
    assert abs(model.score(data["x"], y) - expected) < 1e-12


def test_scales_are_pearson_and_residual_variance(data):
    x = data["x"]
    for name, power in (("Gaussian", 0), ("Gamma", 1)):
        model = GLM(name, "identity" if name == "Gaussian" else "exp").fit(x, data[name])
        rate = model.predict(x)
        expected = np.sum(((data[name] - rate) / rate**power) ** 2) / (ROWS - 5 - 1)
        assert abs(model.scale_[0] - expected) < 1e-12 * expected


def solve_quadratic(x, y, penalty):
    """Return coefficients and intercept of penalised least squares."""
    rows = np.column_stack([x, np.ones(len(x))])
    whole = rows.T @ rows / len(x)
    whole[:-1, :-1] += penalty
    return np.linalg.solve(whole, rows.T @ y / len(x))


def test_smoothness_is_the_penalty_on_differences(data):
    difference = np.diff(np.eye(5), n=2, axis=0)
    expected = solve_quadratic(data["x"], data["Gaussian"], 0.7 * difference.T @ difference)
    model = GLM("Gaussian", regularizer=Smoothness(2), regularizer_strength=0.7).fit(data["x"], data["Gaussian"])
    assert np.abs(np.append(model.coef_, model.intercept_) - expected).max() < 1e-10


def test_group_lasso_meets_its_conditions(data):
    s, groups = 0.15, np.array([0, 0, 1, 1, -1])
    rule = GroupLasso(groups=tuple(groups))
    model = GLM(regularizer=rule, regularizer_strength=s).fit(data["x"], data["Poisson"])
    rate = np.exp(data["x"] @ model.coef_ + model.intercept_)
    slope = data["x"].T @ (rate - data["Poisson"]) / ROWS
    assert abs(slope[4]) < 1e-9 and abs(np.mean(rate - data["Poisson"])) < 1e-9
    norms = []
    for g in range(2):
        inside, cut = groups == g, s * np.sqrt(2)
        norms.append(np.linalg.norm(model.coef_[inside]))
        if norms[-1] > 0:
            assert np.abs(slope[inside] + cut * model.coef_[inside] / norms[-1]).max() < 1e-8
        else:
            assert np.linalg.norm(slope[inside]) <= cut
    assert norms[0] > 0 and norms[1] == 0


def test_bounds_meet_their_conditions(data):
    model = GLM(bounds=(0, 0.3)).fit(data["x"], data["Poisson"])
    slope = data["x"].T @ (np.exp(data["x"] @ model.coef_ + model.intercept_) - data["Poisson"]) / ROWS
    low, high = model.coef_ == 0, model.coef_ == 0.3
    assert low[1] and high[0] and not (low | high).all()
    assert np.all(slope[low] >= 0) and np.all(slope[high] <= 0) and np.abs(slope[~low & ~high]).max() < 1e-9


def test_ard_keeps_what_matters_and_drops_the_rest():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2000, 12))
    y = rng.poisson(np.exp(x[:, :2] @ [0.6, -0.4] - 1))
    model = GLM(regularizer="ARD").fit(x, y)
    assert np.all(np.abs(model.coef_[:2] - [0.6, -0.4]) < 0.1)
    assert np.sum(model.coef_[2:] == 0) >= 5 and np.abs(model.coef_[2:]).max() < 0.1


SOLVERS = ["Newton", "NewtonCG", "LBFGS", "ProximalNewton", "ProximalGradient"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_all_solvers_find_the_same(data, solver):
    same = {"inverse_link_function": "softplus", "regularizer": "Ridge", "regularizer_strength": 0.1}
    expected, other = GLM(solver_name="Newton", **same), GLM(solver_name=solver, **same)
    x, y = data["x"], data["Poisson"]
    assert np.abs(other.fit(x, y).coef_ - expected.fit(x, y).coef_).max() < 1e-9
    assert other.converged_.all() and other.solver_ == solver


def test_null_model_explains_nothing(data):
    x = np.zeros((ROWS, 1))
    for name in ("Poisson", "Gamma", "Bernoulli", "Gaussian"):
        model = GLM(name, "exp" if name == "Gamma" else None).fit(x, data[name])
        for score in ("pseudo-r2-McFadden", "pseudo-r2-Cohen"):
            assert abs(model.score(x, data[name], score_type=score)) < 1e-10


def test_masked_neuron_has_the_rate_of_its_mean(data):
    y = np.column_stack([data["Poisson"], data["Poisson"] + 1])
    model = PopulationGLM(feature_mask=np.column_stack([np.ones(5), np.zeros(5)])).fit(data["x"], y)
    assert np.all(model.coef_[:, 1] == 0)
    assert abs(model.intercept_[1] - np.log(y[:, 1].mean())) < 1e-12
    assert model.dof_resid_.tolist() == [ROWS - 6, ROWS - 1]
    alone = GLM().fit(data["x"], y[:, 0])
    assert np.abs(model.coef_[:, 0] - alone.coef_).max() < 1e-9
