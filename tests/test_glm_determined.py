"""What data determine: errors that do not depend on units, features that repeat or separate, criteria, the summary."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm

from recurra.errors import CapabilityError
from recurra.glm import GLM, ChunkedData, ClassifierGLM, NegativeBinomial, PopulationGLM, Ridge

ROWS = 400


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 3))
    return x, rng.poisson(np.exp(x @ [0.4, -0.3, 0.2] - 0.5)).astype(float)


def told(call):
    """Return what a call returns, and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = call()
    return found, [str(w.message) for w in seen]


UNITS = [(1.0, 1e4), (1.0, 1e8), (1e-12, 0.0), (1e12, 0.0), (1e-6, 1e3), (1e6, -1e10)]


@pytest.mark.parametrize(("scale", "shift"), UNITS)
def test_errors_and_criteria_do_not_depend_on_zero_and_unit_of_a_feature(data, scale, shift):
    x, y = data
    moved = x * [scale, 1, 1] + [shift, 0, 0]
    base, model = GLM().fit(x, y), GLM().fit(moved, y)
    before, after = base.posterior(x, y), model.posterior(moved, y)
    limit = 1e-13 + 1e-15 * abs(shift) / scale  # of the numbers themselves, which are rounded where they are
    assert abs(model.coef_[0] * scale / base.coef_[0] - 1) < 100 * limit
    assert abs(after.standard_errors[0, 0] * scale / before.standard_errors[0, 0] - 1) < 100 * limit
    assert np.abs(after.standard_errors[0, 1:3] / before.standard_errors[0, 1:3] - 1).max() < 100 * limit
    assert abs(after.p_values[0, 0] / before.p_values[0, 0] - 1) < 1e4 * limit
    assert abs(model.evaluate(moved, y).aic[0] - base.evaluate(x, y).aic[0]) < 1e-6
    assert model.dof_resid_ == base.dof_resid_ and model.converged_.all()


def test_chunks_classes_and_other_solvers_see_far_features_as_well(data):
    x, y = data
    far = x + np.array([1e7, 0, 0])
    base = GLM().fit(x, y).coef_
    chunks = PopulationGLM().fit_chunks(ChunkedData(lambda a, b: far[a:b], y[:, None], rows=150))
    learnt = PopulationGLM("Gaussian").partial_fit(far[:200], y[:200, None]).partial_fit(far[200:], y[200:, None])
    assert np.abs(chunks.coef_[:, 0] - base).max() < 1e-8
    assert np.abs(learnt.coef_[:, 0] - GLM("Gaussian").fit(x, y).coef_).max() < 1e-8
    assert np.abs(GLM(solver_name="LBFGS").fit(far, y).coef_ - base).max() < 1e-8
    classes = ClassifierGLM(regularizer=None)
    expected = classes.fit(x, y > 0).coef_
    assert np.abs(classes.fit(far, y > 0).coef_ - expected).max() < 1e-8


def test_penalties_mean_the_same_for_moved_features(data):
    x, y = data
    unit = np.array([1e6, 1, 1])
    for rule, power in (("Ridge", 2), ("Lasso", 1)):
        strength = np.array([0.05, 0.05, 0.05])[:, None]
        plain = GLM(regularizer=rule, regularizer_strength=strength).fit(x, y)
        wide = GLM(regularizer=rule, regularizer_strength=strength * unit[:, None] ** power).fit(x * unit + 1e9, y)
        assert np.abs(wide.coef_ * unit - plain.coef_).max() < 1e-8


def test_repeated_features_are_named_and_have_no_finite_error(data):
    x, y = data
    many = np.column_stack([x, 2 * x[:, 1] + 5, np.full(ROWS, 3.0)])
    model, at_fit = told(lambda: GLM().fit(many, y))
    assert len(at_fit) == 1 and at_fit[0].startswith("x1, x3, x4: these features")
    posterior, at_look = told(lambda: model.posterior(many, y))
    assert len(at_look) == 1 and at_look[0].startswith("x1, x3, x4, intercept: the data do not determine")
    single = GLM().fit(x, y)
    expected = single.posterior(x, y)
    error = posterior.standard_errors[0]
    assert np.isinf(error).tolist() == [False, True, False, True, True, True]
    assert np.abs(error[[0, 2]] - expected.standard_errors[0, [0, 2]]).max() < 1e-10
    assert np.isnan(posterior.p_values[0]).tolist() == np.isinf(error).tolist()
    assert abs(posterior.parameters[0] - 4) < 1e-9
    assert abs(model.evaluate(many, y).aic[0] - single.evaluate(x, y).aic[0]) < 1e-8
    with pytest.raises(CapabilityError, match="x1, x3, x4, intercept"):
        posterior.sample(3)
    ridge = GLM(regularizer=Ridge(), regularizer_strength=0.1)
    assert told(lambda: ridge.fit(many, y).posterior(many, y))[1] == []


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_errors_of_a_negative_binomial_model_are_those_of_its_curvature(scale: float):
    """The scale is in the curvature (McCullagh & Nelder 1989, section 11.2), so nothing is multiplied by it again."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = rng.poisson(rng.gamma(0.25, 4 * np.exp(x @ [0.5, -0.3] + 0.5)))
    model = GLM(NegativeBinomial(scale=scale)).fit(x, y)
    wide = np.c_[x, np.ones(400)]
    rate = np.exp(wide @ np.append(model.coef_, model.intercept_))
    curvature = (wide * (rate * (1 + scale * y) / (1 + scale * rate) ** 2)[:, None]).T @ wide
    expected = np.sqrt(np.diag(np.linalg.inv(curvature)))
    assert np.abs(model.summary(x, y)["std_err"] / expected - 1).max() < 1e-8
    expected_by_peer = sm.GLM(y, wide, family=sm.families.NegativeBinomial(alpha=scale)).fit().bse
    assert np.abs(expected_by_peer / expected - 1).max() < 0.1  # from the expected information


def test_degrees_of_freedom_are_those_of_statsmodels_where_features_sum_to_a_constant():
    rng = np.random.default_rng(1)
    kinds = np.eye(3)[rng.integers(3, size=ROWS)]
    y = kinds @ [1.0, 2.0, 3.0] + rng.standard_normal(ROWS)
    model, seen = told(lambda: GLM("Gaussian").fit(kinds, y))
    peer = sm.OLS(y, sm.add_constant(kinds)).fit()  # the GLM of statsmodels misses the minimum here
    assert len(seen) == 1 and model.dof_resid_[0] == peer.df_resid
    assert abs(model.scale_[0] - peer.scale) < 1e-10
    chunks, seen = told(
        lambda: PopulationGLM("Gaussian").fit_chunks([(kinds[:200], y[:200, None]), (kinds[200:], y[200:, None])])
    )
    assert len(seen) == 1 and chunks.dof_resid_[0] == peer.df_resid


def separating():
    rng = np.random.default_rng(2)
    x = np.insert(rng.standard_normal((ROWS, 2)), 1, np.arange(ROWS) < 16, axis=1)
    counts, events = rng.poisson(np.exp(0.3 * x[:, 0] - 0.5)).astype(float), (rng.random(ROWS) < 0.5).astype(float)
    counts[:16], events[:16] = 0, 1
    return x, counts, events


SEPARATING = separating()


@pytest.mark.parametrize(
    "fit",
    [
        lambda x, n, e: GLM().fit(x, n),
        lambda x, n, e: GLM(inverse_link_function="softplus").fit(x, n),
        lambda x, n, e: GLM("NegativeBinomial").fit(x, n),
        lambda x, n, e: GLM("Bernoulli").fit(x, e),
        lambda x, n, e: GLM("Bernoulli", solver_name="LBFGS").fit(x, e),
        lambda x, n, e: GLM("Bernoulli", solver_kwargs={"tol": 1e-5}).fit(x, e),
        lambda x, n, e: GLM("Bernoulli", fit_intercept=False).fit(x, e),
        lambda x, n, e: PopulationGLM("Bernoulli").fit(x, np.column_stack([e, e[::-1]])),
        lambda x, n, e: PopulationGLM().fit_chunks(ChunkedData(lambda a, b: x[a:b], n[:, None], rows=150)),
        lambda x, n, e: ClassifierGLM(regularizer=None).fit(x, e),
    ],
)
def test_features_that_separate_are_named(fit):
    _, seen = told(lambda: fit(*SEPARATING))
    assert len(seen) == 1 and seen[0].startswith("x1 (neuron 0): they separate bins")


@pytest.mark.parametrize("bins", [1, 3, 8])
@pytest.mark.parametrize("tol", [1e-5, 1e-9])
def test_a_feature_that_separates_a_few_bins_is_named_whatever_the_tolerance(bins, tol):
    x, _, events = SEPARATING
    x, events = x.copy(), events.copy()
    x[:, 1], events[:bins] = np.arange(ROWS) < bins, 1
    _, seen = told(lambda: GLM("Bernoulli", solver_kwargs={"tol": tol}).fit(x, events))
    assert len(seen) == 1 and seen[0].startswith("x1 (neuron 0): they separate bins")


def test_a_separating_feature_has_no_finite_error_and_leaves_the_others_theirs():
    x, counts, _ = SEPARATING
    model, _ = told(lambda: GLM().fit(x, counts))
    posterior, seen = told(lambda: model.posterior(x, counts))
    # In the limit the bins of the feature say nothing of the rest.
    alone = GLM().fit(x[16:, [0, 2]], counts[16:])
    assert np.isinf(posterior.standard_errors[0]).tolist() == [False, True, False, False]
    expected = alone.posterior(x[16:, [0, 2]], counts[16:]).standard_errors[0]
    assert np.abs(posterior.standard_errors[0, [0, 2, 3]] - expected).max() < 1e-6
    assert len(seen) == 1 and "x1" in seen[0]


def test_strong_effects_and_penalties_are_no_separation():
    rng = np.random.default_rng(3)
    x = 3 * rng.standard_normal((ROWS, 2))
    events = (rng.random(ROWS) < 1 / (1 + np.exp(-x @ [3.0, -3.0]))).astype(float)
    assert told(lambda: GLM("Bernoulli").fit(x, events))[1] == []
    assert told(lambda: GLM().fit(x, rng.poisson(np.exp(x @ [1.0, -1.0] - 3))))[1] == []
    x, counts, _ = SEPARATING
    assert told(lambda: GLM(regularizer="Ridge", regularizer_strength=0.01).fit(x, counts))[1] == []


def test_without_a_residual_there_is_no_error():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((4, 3)), rng.standard_normal(4)
    model = GLM("Gaussian").fit(x, y)
    assert model.dof_resid_[0] == 0
    found, seen = told(lambda: model.posterior(x, y))
    assert np.isinf(found.standard_errors).all() and len(seen) == 1


def test_criteria_are_at_the_scale_of_largest_likelihood(data):
    x, counts = data
    rng = np.random.default_rng(5)
    gaussian, gamma = x[:, 0] + rng.standard_normal(ROWS), rng.gamma(2.0, np.exp(x[:, 0]) / 2)
    found = GLM("Gaussian").fit(x, gaussian).evaluate(x, gaussian)
    peer = sm.OLS(gaussian, sm.add_constant(x)).fit()
    assert abs(found.aic[0] - (peer.aic + 2)) < 1e-8  # statsmodels does not count the scale
    assert abs(found.bic[0] - (peer.bic + np.log(ROWS))) < 1e-8
    model = GLM("Gamma", "exp").fit(x, gamma)
    shape = scipy.stats.gamma.fit(gamma / model.predict(x), floc=0, fscale=None)[0]
    rate = model.predict(x)
    # The shape that scipy finds for a free scale is that for ours, where the mean of y / rate is 1.
    best = scipy.stats.gamma(shape, scale=rate / shape).logpdf(gamma).sum()
    assert abs(model.evaluate(x, gamma).aic[0] - (2 * 5 - 2 * best)) < 1e-3
    assert np.isfinite(GLM().fit(x, counts).evaluate(x, counts).aic).all()


def test_the_summary_has_the_names_of_the_columns(data):
    pandas = pytest.importorskip("pandas")
    x, y = data
    table = pandas.DataFrame(x, columns=["speed", "place", "phase"])
    model = GLM().fit(table, y)
    found, peer = model.summary(table, y), sm.GLM(y, sm.add_constant(x), family=sm.families.Poisson()).fit(tol=1e-14)
    order = [1, 2, 3, 0]
    assert found.index.tolist() == ["speed", "place", "phase", "intercept"]
    assert np.abs(found["coef"] - peer.params[order]).max() < 1e-9
    assert np.abs(found["std_err"] - peer.bse[order]).max() < 1e-9
    assert np.abs(found["z"] - peer.tvalues[order]).max() < 1e-7
    assert np.abs(found["p_value"] - peer.pvalues[order]).max() < 1e-9
    assert np.abs(found[["low", "high"]].to_numpy() - peer.conf_int()[order]).max() < 1e-8
    both = PopulationGLM(fit_intercept=False).fit({"a": x[:, :1], "b": x[:, 1:]}, np.column_stack([y, y]))
    wide = both.summary({"a": x[:, :1], "b": x[:, 1:]}, np.column_stack([y, y]), level=0.5)
    assert wide.index.tolist() == [(i, name) for i in (0, 1) for name in ("a[0]", "b[0]", "b[1]")]
