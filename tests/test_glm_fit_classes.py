"""Classes of many neurons, relevance of their features, files of hidden states, features that repeat the intercept."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from recurra.errors import OptionError, ShapeError
from recurra.glm import (
    ARD,
    GLM,
    GLMHMM,
    ClassifierGLM,
    ClassifierPopulationGLM,
    apply_identifiability_constraints,
    apply_identifiability_constraints_by_basis_component,
    basis,
    load,
)

LABELS = np.array(["left", "none", "right"])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    eta = np.einsum("tf,fnk->tnk", x, rng.standard_normal((3, 2, 3)))
    y = LABELS[np.argmax(eta + rng.gumbel(size=eta.shape), axis=2)]
    return x, y


@pytest.fixture(scope="module")
def population(data):
    return ClassifierPopulationGLM(regularizer_strength=0.01).fit(*data)


def test_a_population_of_classifiers_is_one_for_each_neuron(data, population):
    x, y = data
    assert population.coef_.shape == (3, 2, 3) and population.intercept_.shape == (2, 3)
    for i in range(2):
        alone = ClassifierGLM(regularizer_strength=0.01).fit(x, y[:, i])
        assert np.abs(population.coef_[:, i] - alone.coef_).max() < 1e-9
        assert np.abs(population.intercept_[i] - alone.intercept_).max() < 1e-9
        assert np.abs(population.predict_proba(x)[:, i] - alone.predict_proba(x)).max() < 1e-9
        assert np.array_equal(population.predict(x)[:, i], alone.predict(x))
    assert abs(population.score(x, y) - np.mean(population.predict(x) == y)) < 1e-12
    assert population.sample(x, seed=1).shape == y.shape


def test_a_mask_holds_all_classes_of_a_feature(data, population, tmp_path):
    x, y = data
    mask = np.array([[1, 0], [1, 1], [0, 1]])
    model = ClassifierPopulationGLM(regularizer_strength=0.01, feature_mask=mask).fit(x, y)
    assert np.all(model.coef_[mask == 0] == 0) and np.all(model.coef_[mask == 1] != 0)
    alone = ClassifierGLM(regularizer_strength=0.01).fit(x[:, :2], y[:, 0])
    assert np.abs(model.coef_[:2, 0] - alone.coef_).max() < 1e-9
    population.save(tmp_path / "classes.npz")
    found = load(tmp_path / "classes.npz")
    assert np.array_equal(found.predict_log_proba(x), population.predict_log_proba(x))
    assert np.array_equal(found.classes_, population.classes_)


def test_relevance_of_features_of_classes_meets_its_fixed_point():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((600, 4))
    eta = np.column_stack([1.5 * x[:, 0], np.zeros(600), x[:, 1] - x[:, 0]])
    y = np.argmax(eta + rng.gumbel(size=eta.shape), axis=1)
    rule = ARD(rounds=400, change=1e-9)
    model = ClassifierGLM(regularizer=rule).fit(x, y)
    strength, coef = model.strength_[:, 0], model.coef_
    assert np.all(coef[2:] == 0) and np.all(np.abs(coef[:2]).max(axis=1) > 0.4)
    # The curvature of the mean loss, written out, in (feature, class) pairs of the two features and the intercepts.
    p, wide = model.predict_proba(x), np.column_stack([x[:, :2], np.ones(600)])
    bend = p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None, :]
    hessian = np.einsum("tf,tkl,tg->fkgl", wide, bend, wide).reshape(9, 9) / 600
    hessian[range(6), range(6)] += np.repeat(strength[:2], 3)
    spread = np.diag(np.linalg.pinv(hessian, hermitian=True))[:6].reshape(2, 3).sum(axis=1)
    for f in range(2):
        expected = (3 - strength[f] * spread[f]) / 600 / np.sum(coef[f] ** 2)
        assert abs(strength[f] / expected - 1) < 1e-5


def rejected():
    """Yield what is called with x and y (400, 2), the kind of error, and words of its message."""
    yield lambda x, y: ClassifierPopulationGLM().fit(x, y[:, 0]), ShapeError, "y must be 2-dimensional.*ClassifierGLM"
    yield (lambda x, y: ClassifierPopulationGLM(feature_mask=np.ones((2, 3))).fit(x, y), ShapeError,
           r"expected \(features, neurons\) = \(3, 2\)")  # fmt: skip
    yield (lambda x, y: ClassifierPopulationGLM().fit(x, np.where(y == "none", [["none", "left"]], y)), ShapeError,
           "neuron 1 is never in the class 'none'")  # fmt: skip
    yield lambda x, y: ClassifierPopulationGLM(n_classes=2).fit(x, y), ShapeError, "3 classes, but n_classes is 2"
    yield (lambda x, y: ClassifierPopulationGLM().fit(x, y, init_params=(np.zeros((3, 3)), np.zeros(3))), ShapeError,
           r"init_params\[0\]: got shape \(3, 3\)|init_params\[1\]: got shape \(3,\), expected \(2, 3\)")  # fmt: skip
    yield lambda x, y: apply_identifiability_constraints(x, tolerance=2.0), OptionError, "between 0 and 1, got 2.0"
    yield lambda x, y: apply_identifiability_constraints(x[:, 0]), ShapeError, "X must be 2-dimensional"
    yield lambda x, y: apply_identifiability_constraints(x * np.nan), ShapeError, "every row has a NaN"
    yield (lambda x, y: apply_identifiability_constraints_by_basis_component(basis.BSplineEval(5), x), ShapeError,
           "has the length 3")  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), list(rejected()))
def test_bad_input_is_named(data, call, kind, words):
    with pytest.raises(kind, match=words):
        call(*data)


# Hidden states


@pytest.mark.parametrize("neurons", [1, 2])
def test_files_hold_hidden_states(tmp_path, neurons):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 1))
    y = rng.poisson(np.where((np.arange(300) // 50) % 2, 0.3, 3.0)[:, None] * np.ones(neurons)).astype(float)
    y = y[:, 0] if neurons == 1 else y
    prior = np.array([[5.0, 1.0], [1.0, 5.0]])
    model = GLMHMM(2, "Poisson", n_init=1, maxiter=40, tol=1e-4, dirichlet_transition_proba=prior).fit({"a": x}, y)
    model.save(tmp_path / "states.npz")
    found = load(tmp_path / "states.npz")
    assert sorted(vars(found)) == sorted(vars(model)) and repr(found) == repr(model)
    assert np.array_equal(found.smooth_proba({"a": x}, y), model.smooth_proba({"a": x}, y))
    assert found.score({"a": x}, y) == model.score({"a": x}, y)
    assert np.array_equal(found.rates({"a": x}), model.rates({"a": x}))


# Features that others say


def greedy(x, add_intercept):
    """Drop columns from the left whose loss leaves the rank as it is."""
    kept = list(range(x.shape[1]))
    one = np.ones((len(x), int(add_intercept)))
    for column in range(x.shape[1]):
        rest = [k for k in kept if k != column]
        if np.linalg.matrix_rank(np.hstack([x[:, rest], one])) == np.linalg.matrix_rank(np.hstack([x[:, kept], one])):
            kept = rest
    return kept


@pytest.mark.parametrize("add_intercept", [True, False])
def test_columns_that_the_rest_can_say_are_dropped_from_the_left(add_intercept):
    rng = np.random.default_rng(3)
    a = rng.standard_normal((60, 3))
    x = np.column_stack([a, a[:, 0] - 2 * a[:, 2], np.ones(60), 1e-4 * a[:, 1] + 3, np.zeros(60)])
    x[7, 2] = np.nan
    found, kept = apply_identifiability_constraints(x, add_intercept)
    assert kept.tolist() == greedy(np.delete(x, 7, axis=0), add_intercept)
    assert np.array_equal(found, x[:, kept], equal_nan=True)
    assert apply_identifiability_constraints(a)[1].tolist() == [0, 1, 2]


def test_terms_of_a_basis_are_constrained_one_by_one_and_predict_the_same():
    rng = np.random.default_rng(4)
    u = rng.random((2, 200))
    both = basis.BSplineEval(5) + basis.BSplineEval(6)
    with jax.enable_x64(True):
        x = np.asarray(both.compute_features(*u))
    found, kept = apply_identifiability_constraints_by_basis_component(both, x)
    assert kept.tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    y = rng.poisson(1.0 + u[0])
    assert np.abs(GLM().fit(found, y).predict(found) - GLM().fit(x, y).predict(x)).max() < 1e-8
