"""Chunks, strengths and folds, hidden states, time rescaling."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm import (
    ARD,
    GLM,
    GLMHMM,
    ChunkedData,
    PopulationGLM,
    Smoothness,
    bits_per_spike,
    cross_validate,
    newton,
    regularization_path,
    time_rescaling,
)
from recurra.glm.chain import most_probable_path, smooth

WEIGHTS = np.array([[0.5, 0.0], [-0.3, 0.4], [0.2, 0.1]])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 3))
    return x, rng.poisson(np.exp(x @ WEIGHTS - 0.5)).astype(float)


def ridge(strength=0.01):
    return PopulationGLM(regularizer="Ridge", regularizer_strength=strength)


# Chunks


@pytest.mark.parametrize("regularizer", ["Ridge", "Lasso"])
def test_chunks_give_the_fit_of_the_whole(data, regularizer):
    x, y = data
    x = x.copy()
    x[700:720, 1] = np.nan
    whole = PopulationGLM(regularizer=regularizer, regularizer_strength=0.01).fit(x, y)
    chunked = PopulationGLM(regularizer=regularizer, regularizer_strength=0.01)
    chunked.fit_chunks(ChunkedData(lambda start, stop: x[start:stop], y, rows=400))
    assert chunked.converged_.all()
    assert np.abs(chunked.coef_ - whole.coef_).max() < 1e-8
    assert np.array_equal(chunked.dof_resid_, whole.dof_resid_)


def test_gradients_alone_change_the_way_and_not_the_place(data, monkeypatch):
    from recurra.glm import chunks

    x, y = data
    chunked, whole = [(x[:800], y[:800]), (x[800:], y[800:])], ridge().fit(x, y)
    monkeypatch.setattr(chunks, "HESSIAN_NUMBERS", 1)
    model = ridge().fit_chunks(chunked)
    assert model.solver_.startswith("L-BFGS") and model.n_iter_ < 20
    assert np.abs(model.coef_ - whole.coef_).max() < 1e-8
    single = ridge().set_params(precision="float32").fit_chunks(chunked)
    assert 0 < np.abs(single.coef_ - whole.coef_).max() < 1e-5
    mask = np.array([[1, 0], [1, 1], [0, 1]])
    masked = ridge().set_params(feature_mask=mask).fit_chunks(chunked)
    assert np.abs(masked.coef_ - ridge().set_params(feature_mask=mask).fit(x, y).coef_).max() < 1e-8


def test_relevance_masks_and_silent_neurons_hold_for_chunks(data):
    x, y = data
    silent = np.column_stack([y, np.zeros(len(y))])
    mask = np.array([[1, 0, 1], [1, 1, 1], [0, 1, 1]])
    for name, targets in (("Poisson", silent), ("Gaussian", y + np.sin(np.arange(len(y)))[:, None])):
        options = {"regularizer": ARD(rounds=3, change=1e-12), "feature_mask": mask[:, : targets.shape[1]]}
        whole, chunked = PopulationGLM(name, **options), PopulationGLM(name, **options)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            whole.fit(x, targets)
            chunked.fit_chunks([(x[:800], targets[:800]), (x[800:], targets[800:])])
        assert len([w for w in told if "neuron 2 never changed" in str(w.message)]) == 2 * (name == "Poisson")
        assert np.abs(chunked.coef_ - whole.coef_).max() < 1e-7
        for found in ("intercept_", "scale_", "dof_resid_", "null_rate_", "silent_"):
            assert np.abs(getattr(chunked, found) * 1.0 - getattr(whole, found)).max() < 1e-7
        assert np.all(chunked.coef_[mask[:, : targets.shape[1]] == 0] == 0)


def test_too_many_features_for_hessians_are_named(data, monkeypatch):
    from recurra.glm import chunks

    x, y = data
    monkeypatch.setattr(chunks, "HESSIAN_NUMBERS", 1)
    for regularizer in ("Lasso", "ARD"):
        with pytest.raises(CapabilityError, match=r"need.? Hessians of all neurons, which are too large"):
            PopulationGLM(regularizer=regularizer).fit_chunks([(x, y)])


def test_partial_fits_of_a_gaussian_model_are_one_fit(data):
    x, _ = data
    y = x @ WEIGHTS[:, 0] + np.random.default_rng(1).standard_normal(len(x))
    for regularizer in ("Ridge", Smoothness(1)):
        model = GLM("Gaussian", regularizer=regularizer, regularizer_strength=0.1)
        for part in np.array_split(np.arange(len(x)), 4):
            model.partial_fit(x[part], y[part])
        whole = GLM("Gaussian", regularizer=regularizer, regularizer_strength=0.1).fit(x, y)
        assert np.abs(model.coef_ - whole.coef_).max() < 1e-10
        assert np.abs(model.intercept_ - whole.intercept_).max() < 1e-10


@pytest.mark.parametrize("rows", [200, 50, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_partial_fits_of_a_gaussian_model_have_the_errors_of_one_fit(rows: int, weighted: bool):
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(200, 2)), rng.uniform(0.5, 2.0, 200) if weighted else np.ones(200)
    y = x @ [1.0, -0.5] + rng.normal(size=200)
    whole, model = GLM("Gaussian").fit(x, y, sample_weight=weight), GLM("Gaussian")
    for i in range(0, 200, rows):
        model.partial_fit(x[i : i + rows], y[i : i + rows], weight[i : i + rows])
    assert np.abs(model.scale_ / whole.scale_ - 1).max() < 1e-10
    errors = [each.posterior(x, y, sample_weight=weight).coef_errors for each in (model, whole)]
    assert np.abs(errors[0] / errors[1] - 1).max() < 1e-10


def test_partial_fits_of_a_gamma_model_have_nearly_the_scale_of_one_fit():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 2))
    y = rng.gamma(2.0, np.exp(x @ [0.3, -0.2]) / 2)
    whole, model = (GLM("Gamma", inverse_link_function="exp") for _ in range(2))
    whole.fit(x, y)
    for i in range(0, 2000, 100):
        model.partial_fit(x[i : i + 100], y[i : i + 100])
    assert abs(model.scale_[0] / whole.scale_[0] - 1) < 0.05


def test_a_chunk_that_cannot_be_learned_is_told():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2))
    y = rng.gamma(2, np.exp((x @ [1, -0.5] + rng.normal(size=200)) / 4))
    model = GLM("Gamma")
    with pytest.raises(OptionError, match=r"partial_fit: .*give longer chunks"):
        for i in range(0, 200, 5):
            model.partial_fit(x[i : i + 5], y[i : i + 5])


def test_partial_fits_of_a_poisson_model_are_nearly_one_fit(data):
    x, y = data
    model = ridge()
    for part in np.array_split(np.arange(len(x)), 3):
        model.partial_fit(x[part], y[part])
    whole = ridge().fit(x, y)
    error = whole.posterior(x, y).coef_errors
    assert np.abs((model.coef_ - whole.coef_) / error).max() < 0.2
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(x[:, :2], y)


# Strengths and folds


def test_a_path_is_one_fit_for_each_strength_and_compiles_once(data):
    x, y = data
    strengths = [1e-3, 0.1, 10.0]
    path = regularization_path(PopulationGLM(regularizer="Ridge"), x, y, strengths)
    before = newton.step._cache_size()
    again = regularization_path(PopulationGLM(regularizer="Ridge"), x, y, [2e-3, 0.2, 20.0])
    assert newton.step._cache_size() == before
    for found, levels in ((path, strengths), (again, [2e-3, 0.2, 20.0])):
        for k, strength in enumerate(levels):
            one = ridge(strength).fit(x, y)
            assert np.abs(found.coef[k] - one.coef_).max() < 1e-8
            assert np.abs(found.intercept[k] - one.intercept_).max() < 1e-8


def test_cross_validation_is_one_fit_for_each_fold(data):
    x, y = data
    strengths, folds = [1e-2, 1.0], np.array_split(np.arange(len(x)), 3)
    found = cross_validate(PopulationGLM(regularizer="Ridge"), x, y, strengths, folds=3)
    for (s, strength), (k, out) in itertools.product(enumerate(strengths), enumerate(folds)):
        train = np.setdiff1d(np.arange(len(x)), out)
        one = ridge(strength).fit(x[train], y[train])
        expected = one.score(x[out], y[out], aggregate_sample_scores=lambda each: 0.0)
        rate = one.predict(x[out])
        from scipy.stats import poisson

        expected = poisson(rate).logpmf(y[out]).mean(axis=0)
        assert np.abs(found.scores[s, k] - expected).max() < 1e-8
    assert found.best_strength.tolist() == [1e-2, 1e-2]
    assert np.abs(found.best.coef_ - ridge(1e-2).fit(x, y).coef_).max() < 1e-9


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"strengths": [-1.0]}, OptionError, "zero or above"),
        ({"strengths": [1.0], "folds": 1}, OptionError, "folds: expected a number from 2"),
        ({"strengths": [1.0], "folds": [np.arange(1500)]}, ShapeError, "some must be left"),
        ({"strengths": [1.0], "folds": [[1600]]}, ShapeError, "numbers of bins below 1500"),
    ],
)
def test_bad_folds_are_named(data, arguments, kind, words):
    with pytest.raises(kind, match=words):
        cross_validate(PopulationGLM(regularizer="Ridge"), *data, **arguments)


# Hidden states


def enumerate_paths(evidence, initial, transition, starts):
    """Return smoothed probabilities, the likelihood and the best path, by going through all paths."""
    time, states = evidence.shape
    weights = {}
    for path in itertools.product(range(states), repeat=time):
        value = 0.0
        for t, s in enumerate(path):
            value += evidence[t, s] + (initial[s] if starts[t] or t == 0 else transition[path[t - 1], s])
        weights[path] = value
    total = np.logaddexp.reduce(list(weights.values()))
    smoothed, counts = np.zeros((time, states)), np.zeros((states, states))
    for path, value in weights.items():
        share = np.exp(value - total)
        for t, s in enumerate(path):
            smoothed[t, s] += share
            if t and not starts[t]:
                counts[path[t - 1], s] += share
    return smoothed, counts, total, max(weights, key=weights.get)


def test_smoothing_and_decoding_are_sums_over_all_paths():
    rng = np.random.default_rng(2)
    evidence = rng.standard_normal((6, 3))
    initial, transition = np.log(rng.dirichlet(np.ones(3))), np.log(rng.dirichlet(np.ones(3), size=3))
    starts = np.array([True, False, False, True, False, False])
    _, smoothed, counts, sizes = smooth(evidence, initial, transition, starts)
    expected = enumerate_paths(evidence, initial, transition, starts)
    assert np.abs(np.exp(smoothed) - expected[0]).max() < 1e-12
    assert np.abs(counts - expected[1]).max() < 1e-12
    assert abs(sizes.sum() - expected[2]) < 1e-12
    assert most_probable_path(evidence, initial, transition, starts).tolist() == list(expected[3])


@pytest.fixture(scope="module")
def switching():
    rng = np.random.default_rng(3)
    state = (np.arange(3000) // 150) % 2
    x = rng.standard_normal((3000, 1))
    p = 1 / (1 + np.exp(-np.where(state, 2.0 * x[:, 0], 1.0 - 2.0 * x[:, 0])))
    return x, (rng.random(3000) < p).astype(float), state


def test_hidden_states_are_found(switching):
    x, y, state = switching
    model = GLMHMM(2, n_init=3).fit(x, y)
    order = np.argsort(model.coef_[0])
    assert model.converged_
    assert np.abs(model.coef_[0][order] - [-2.0, 2.0]).max() < 0.5
    decoded = model.decode_state(x, y)
    assert np.mean((decoded == order[1]) == state) > 0.95
    smoothed = model.smooth_proba(x, y)
    assert np.abs(smoothed.sum(axis=1) - 1).max() < 1e-9
    assert np.all(np.diff(model.log_likelihoods_) > -1e-6)
    assert model.score(x, y) > GLM("Bernoulli").fit(x, y).score(x, y) + 0.1
    drawn, states = model.sample(x, seed=1)
    assert drawn.shape == (3000,) and set(states) == {0, 1}


def test_a_prior_on_transitions_is_used(switching):
    x, y, _ = switching
    prior = np.array([[1.0, 25001.0], [25001.0, 1.0]])
    # All bins, so that what was compiled for the test above serves here.
    model = GLMHMM(2, n_init=1, maxiter=30, tol=1e-5, dirichlet_transition_proba=prior).fit(x, y)
    assert np.diag(model.transition_prob_).max() < 0.2


# Time rescaling, information


def test_rescaled_intervals_are_uniform_under_the_right_model_only():
    rng = np.random.default_rng(4)
    rate = 0.25 + 0.2 * np.sin(np.arange(30_000) / 40)
    y = rng.poisson(rate)
    right, wrong = time_rescaling(y, rate), time_rescaling(y, 0.8 * rate)
    assert right.p_value > 0.01 and right.statistic < 1.5 * right.bound
    assert wrong.p_value < 1e-6
    # Without the correction for bins the intervals are far from uniform at such rates.
    spikes = np.flatnonzero(y)
    total = np.cumsum(rate)
    plain = -np.expm1(-np.diff(total[spikes]))
    assert np.abs(np.sort(plain) - (np.arange(len(plain)) + 0.5) / len(plain)).max() > 3 * right.statistic
    broken = y.astype(float)
    broken[1000:1010] = np.nan
    assert 0 < len(right.intervals) - len(time_rescaling(broken, rate).intervals) <= 12


def test_bits_per_spike_are_those_of_the_likelihood_ratio():
    y, rate = np.array([0, 3, 1, 0.0]), np.array([0.5, 2.0, 1.0, 0.5])
    nats = np.sum(y * np.log(rate / y.mean()) - rate + y.mean())
    assert abs(bits_per_spike(y, rate) - nats / 4 / np.log(2)) < 1e-12
    assert np.isnan(bits_per_spike(np.zeros(3), np.ones(3)))
