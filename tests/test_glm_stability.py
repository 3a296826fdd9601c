"""The stability report against eigenvalues worked out by hand and growth seen in a loop; coupling filters."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from recurra.errors import OptionError, ShapeError
from recurra.glm import analyse_stability, difference_of_gammas, regress_filter

GOLDEN = np.load(Path(__file__).parent / "golden" / "nemos_basis.npz")


def test_one_neuron_with_one_lag_by_hand():
    report = analyse_stability([[[0.6]]], [[1.0]], [2.0], "identity")
    assert abs(report.spectral_radius - 0.6) < 1e-12
    assert abs(report.branching_ratio - 0.6) < 1e-12
    assert abs(report.rates[0] - 2.0 / 0.4) < 1e-10
    assert report.stable and "stable" in str(report)


def test_two_lags_by_hand():
    # x(t) = 0.5 x(t-1) + 0.3 x(t-2): z^2 - 0.5 z - 0.3 = 0
    report = analyse_stability([[[0.5, 0.3]]], np.eye(2), [1.0], "identity")
    assert abs(report.spectral_radius - (0.5 + np.sqrt(0.25 + 1.2)) / 2) < 1e-12
    assert abs(report.branching_ratio - 0.8) < 1e-12


@pytest.mark.parametrize("window", [6, 200])
def test_radius_is_the_growth_of_the_recurrence(window):
    random, neurons = np.random.default_rng(window), 4
    basis = np.exp(-np.arange(window)[:, None] / np.array([2.0, 9.0]))
    coupling = 0.05 * random.uniform(size=(neurons, neurons, 2))
    intercepts = -0.5 * np.ones(neurons)
    report = analyse_stability(coupling, basis, intercepts, "softplus")
    filters = np.einsum("lm,ijm->lij", basis, coupling)
    total = filters.sum(axis=0)
    assert np.max(np.abs(np.log1p(np.exp(intercepts + total @ report.rates)) - report.rates)) < 1e-10
    gains = 1 / (1 + np.exp(-(intercepts + total @ report.rates)))
    assert np.max(np.abs(report.gains - gains)) < 1e-12
    assert np.max(np.abs(report.offspring - gains[:, None] * total)) < 1e-12
    past, sizes = np.ones((window, neurons)), []
    for _ in range(4000):
        new = gains * np.einsum("lij,lj->i", filters, past[::-1])
        past = np.concatenate([past[1:], new[None]])
        sizes.append(np.linalg.norm(past))
        past /= sizes[-1]
    assert abs(report.spectral_radius - sizes[-1]) < 1e-9


def test_given_rates_are_the_point_of_linearisation():
    report = analyse_stability([[[0.2]]], [[1.0]], [0.0], jnp.exp, drive=-1.0, rates=[0.5])
    assert abs(report.gains[0] - np.exp(-1 + 0.1)) < 1e-12
    assert report.rates.tolist() == [0.5]


def test_without_self_consistent_rates_it_is_not_stable():
    report = analyse_stability([[[2.0]]], [[1.0]], [1.0], "exp")
    assert not report.fixed_point and not report.stable
    assert "may run away" in str(report)
    assert abs(report.rates[0] - np.e) < 1e-12
    unstable = analyse_stability([[[1.5]]], [[1.0]], [1.0], "identity")
    assert unstable.spectral_radius > 1 and not unstable.stable


def test_no_coupling_has_radius_zero():
    report = analyse_stability(np.zeros((2, 2, 1)), np.ones((3, 1)), np.zeros(2))
    assert report.spectral_radius == report.branching_ratio == 0.0 and report.stable


BAD = [
    ((np.zeros((2, 3, 1)), np.ones((3, 1)), np.zeros(2)), {}, ShapeError, "expected coupling_coef"),
    ((np.zeros((2, 2, 1)), np.ones((3, 2)), np.zeros(2)), {}, ShapeError, "expected coupling_coef"),
    ((np.zeros((2, 2, 1)), np.ones((3, 1)), np.zeros(3)), {}, ShapeError, "expected intercepts"),
    ((np.zeros((2, 2, 1)), np.ones((3, 1)), np.zeros(2)), {"rates": np.zeros(3)}, ShapeError, "rates: expected"),
    ((np.full((2, 2, 1), np.nan), np.ones((3, 1)), np.zeros(2)), {}, OptionError, "must be finite"),
]


@pytest.mark.parametrize(("given", "more", "kind", "message"), BAD)
def test_bad_input_of_the_report_is_told(given, more, kind, message):
    with pytest.raises(kind, match=message):
        analyse_stability(*given, **more)


def test_difference_of_gammas_is_the_golden_one():
    assert np.max(np.abs(difference_of_gammas(20) - GOLDEN["gammas:20"])) < 1e-14
    other = difference_of_gammas(30, 0.9, inhib_a=1.5, excit_a=2.5, inhib_b=0.7, excit_b=1.3)
    assert np.max(np.abs(other - GOLDEN["gammas:30"])) < 1e-14


@pytest.mark.parametrize(
    ("options", "message"),
    [({"inhib_a": 0.0}, "inhib_a"), ({"excit_b": -1.0}, "excit_b"), ({"upper_percentile": 1.0}, "upper_percentile"),
     ({"excit_a": 1.0, "excit_b": 1.0}, "no finite difference"), ({"ws": 0}, "ws")],
)  # fmt: skip
def test_impossible_gammas_are_told(options, message):
    with pytest.raises(OptionError, match=message):
        difference_of_gammas(**({"ws": 10} | options))


def test_regress_filter_inverts_a_filter_of_the_basis():
    random = np.random.default_rng(0)
    basis, weights = random.normal(size=(12, 4)), random.normal(size=(3, 2, 4))
    assert np.max(np.abs(regress_filter(np.einsum("wb,ijb->wij", basis, weights), basis) - weights)) < 1e-12


@pytest.mark.parametrize(
    ("filters", "basis", "message"),
    [(np.ones((5, 2)), np.ones((5, 2)), "coupling_filters"), (np.ones((5, 2, 2)), np.ones(5), "eval_basis"),
     (np.ones((5, 2, 2)), np.ones((4, 2)), "has 5 bins, that of eval_basis 4")],
)  # fmt: skip
def test_impossible_filters_are_told(filters, basis, message):
    with pytest.raises(ShapeError, match=message):
        regress_filter(filters, basis)
