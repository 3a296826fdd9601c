"""The ridge fit of twenty coupled neurons against a Newton optimum computed elsewhere, and the code that is shared."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from recurra.glm import GLM, PopulationGLM, newton

GOLDEN = Path(__file__).parent / "golden" / "nemos_glm_fit.npz"
STRENGTH = 1e-4


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        found = {key: file[key] for key in file.files}
    y, basis = found["data__y"].astype(float), found["data__basis"]
    window = len(basis)
    x = np.zeros((*y.shape, basis.shape[1]))
    for lag in range(1, window + 1):
        x[lag:] += y[:-lag, :, None] * basis[lag - 1]
    return found, x.reshape(len(y), -1)[window:], y[window:]


@pytest.fixture(scope="module")
def fitted(golden):
    _, x, y = golden
    return PopulationGLM(regularizer="Ridge", regularizer_strength=STRENGTH).fit(x, y)


def gradient(x, y, coef, intercept):
    residual = np.exp(x @ coef + intercept) - y
    return x.T @ residual / len(y) + STRENGTH * coef, residual.mean(axis=0)


def test_coefficients_and_objective_are_those_of_the_optimum(golden, fitted):
    found, x, y = golden
    assert fitted.converged_.all()
    assert np.abs(fitted.coef_ - found["newton_f64__coef"]).max() < 1e-8
    assert np.abs(fitted.intercept_ - found["newton_f64__intercept"]).max() < 1e-8
    assert abs(fitted.objective_.sum() - 4.515054667001435) < 1e-12
    by_feature, by_intercept = gradient(x, y, fitted.coef_, fitted.intercept_)
    assert max(np.abs(by_feature).max(), np.abs(by_intercept).max()) < 1e-10


def test_a_neuron_by_itself_has_the_same_coefficients(golden, fitted):
    _, x, y = golden
    alone = GLM(regularizer="Ridge", regularizer_strength=STRENGTH).fit(x, y[:, 7])
    assert np.abs(alone.coef_ - fitted.coef_[:, 7]).max() < 1e-8


def test_another_strength_and_other_counts_compile_nothing(golden):
    _, x, y = golden
    x, y = x[:2000, :8], y[:2000, :3]
    PopulationGLM(regularizer="Ridge", regularizer_strength=0.1).fit(x, y)
    before = newton.step._cache_size()
    PopulationGLM(regularizer="Ridge", regularizer_strength=[0.2, 0.3, 1.0]).fit(x[:1990], y[:1990] + 1)
    assert newton.step._cache_size() == before


def test_single_precision_is_near(golden):
    found, x, y = golden
    single = PopulationGLM(regularizer="Ridge", regularizer_strength=STRENGTH, precision="float32").fit(x, y[:, :3])
    assert np.abs(single.coef_ - found["newton_f64__coef"][:, :3]).max() < 5e-3
    assert np.abs(gradient(x, y[:, :3], single.coef_, single.intercept_)[0]).max() < 1e-5


def test_the_setting_of_precision_is_left_alone(golden):
    _, x, y = golden
    with jax.enable_x64(False):
        made = GLM(regularizer="Ridge").fit(x[:500, :3], y[:500, 0])
        assert not jax.config.jax_enable_x64
    assert made.coef_.dtype == np.float64
