"""Spectra, spike statistics and components of recordings, against processes with known numbers."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.analysis import (
    coefficient_of_variation,
    coherence,
    fano_factor,
    firing_rates,
    interspike_intervals,
    participation_ratio,
    power_spectrum,
    principal_components,
    psth,
    spike_correlations,
)
from recurra.errors import OptionError, ShapeError


def test_components_are_those_of_the_covariance():
    rows = np.random.default_rng(0).normal(size=(4, 50, 5)) * [3.0, 2.0, 1.0, 0.5, 0.1]
    found = principal_components(rows, 3)
    values, vectors = np.linalg.eigh(np.cov(rows.reshape(-1, 5).T))
    assert np.abs(np.abs(found.axes @ vectors[:, ::-1][:, :3]) - np.eye(3)).max() < 1e-9
    assert np.abs(found.explained - values[::-1][:3] / values.sum()).max() < 1e-12
    assert found.project(rows).shape == (4, 50, 3)
    assert np.abs(found.project(found.mean)).max() < 1e-12
    assert participation_ratio(rows) == pytest.approx(values.sum() ** 2 / (values**2).sum())


def test_the_spectrum_of_white_noise_is_flat_and_integrates_to_the_variance():
    noise = np.random.default_rng(1).normal(scale=2.0, size=(20000, 2))
    found = power_spectrum(noise, 0.01, segment=1.0)
    # Density of one side: 2 sigma^2 dt; 399 segments that overlap leave a spread of about 6 %.
    assert np.abs(found.values[2:-2] / (2 * 4.0 * 0.01) - 1).max() < 0.3
    assert np.trapezoid(found.values, found.frequency, axis=0) == pytest.approx(noise.var(axis=0), rel=0.05)
    assert found.frequency[-1] == 50.0 and found.to_xarray().dims == ("frequency", "unit")


def test_the_spectrum_of_an_oscillation_has_its_peak_there():
    time = np.arange(0, 20, 0.001)
    found = power_spectrum(np.column_stack([np.sin(80 * np.pi * time), np.sin(20 * np.pi * time)]), 0.001, 1.0)
    assert found.peak.tolist() == [40.0, 10.0]


def test_coherence_of_a_shared_signal():
    rng = np.random.default_rng(2)
    shared, own = rng.normal(size=(40000, 1)), rng.normal(size=(40000, 2))
    both = shared + own
    # Half of the power of each is shared: the squared coherence is 1/4.
    assert np.abs(coherence(both[:, 0], both[:, 1], 0.01, 1.0).values - 0.25).max() < 0.12
    assert coherence(own[:, 0], own[:, 1], 0.01, 1.0).values.max() < 0.05
    assert np.abs(coherence(shared, 3 * shared, 0.01, 1.0).values - 1).max() < 1e-9


def test_spike_statistics_of_poisson_processes():
    rng = np.random.default_rng(3)
    spikes = rng.random((10, 20000, 3)) < [0.02, 0.05, 0.1]
    assert firing_rates(spikes, 0.001) == pytest.approx([20.0, 50.0, 100.0], rel=0.05)
    # In bins the intervals are geometric: CV = sqrt(1 - p); counts binomial: Fano factor 1 - p.
    assert coefficient_of_variation(spikes, 0.001) == pytest.approx(np.sqrt([0.98, 0.95, 0.9]), abs=0.03)
    assert fano_factor(spikes, 0.001, 0.1) == pytest.approx([0.98, 0.95, 0.9], abs=0.1)
    found = spike_correlations(spikes, 0.001, 0.1)
    assert np.abs(found - np.eye(3)).max() < 0.1
    time, rate = psth(spikes, 0.001, 1.0)
    assert time.tolist() == (np.arange(20) + 0.5).tolist() and rate.shape == (20, 3)
    assert np.abs(rate / [20.0, 50.0, 100.0] - 1).max() < 0.4


def test_intervals_stay_within_trials_and_silence_is_not_a_number():
    spikes = np.zeros((2, 6, 2))
    spikes[0, [0, 5], 0], spikes[1, [1, 2], 0] = 1, 3
    first, second = interspike_intervals(spikes, 0.5)
    assert first.tolist() == [2.5, 0.5] and len(second) == 0
    assert np.isnan(coefficient_of_variation(spikes, 0.5)[1])
    assert np.isnan(fano_factor(spikes, 0.5, 1.5)[1]) and np.isnan(spike_correlations(spikes, 0.5, 1.5)[1]).all()
    assert fano_factor(spikes, 0.5, 1.5)[0] == pytest.approx(np.var([1, 1, 6, 0], ddof=1) / 2)


def test_correlations_are_those_of_numpy():
    counts = np.random.default_rng(4).poisson(2.0, size=(200, 4))
    pooled = counts.reshape(100, 2, 4).sum(axis=1)
    assert np.abs(spike_correlations(counts, 1.0, 2.0) - np.corrcoef(pooled.T)).max() < 1e-12


def test_what_does_not_vary_has_no_peak_no_coherence_and_no_components():
    rows = np.column_stack([np.full(400, 0.1), np.sin(np.arange(400) / 4)])
    found = power_spectrum(rows, 1.0, 100.0)
    assert np.isnan(found.peak[0]) and found.peak[1] == pytest.approx(0.04) and not found.values[:, 0].any()
    assert "1 do not vary" in repr(found)
    both = coherence(rows, rows, 1.0, 100.0)
    assert np.isnan(both.values[:, 0]).all() and np.abs(both.values[:, 1] - 1).max() < 1e-9
    with pytest.raises(ShapeError, match="nothing varies"):
        principal_components(rows[:, :1], 1)
    with pytest.raises(ShapeError, match="nothing varies"):
        participation_ratio(rows[:, :1])


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (lambda: principal_components(np.ones(3)), ShapeError, "expected finite numbers"),
        (lambda: principal_components(np.ones((3, 2)), 3), OptionError, "count must be from 1 to 2"),
        (lambda: participation_ratio(np.ones((3, 2))), ShapeError, "nothing varies"),
        (lambda: power_spectrum([1.0], 0.1), ShapeError, "two rows or more"),
        (lambda: power_spectrum([1.0, np.nan, 2.0], 0.1), ShapeError, "finite"),
        (lambda: power_spectrum(np.ones(10), 0.1, 2.0), ShapeError, "segment: 20 samples"),
        (lambda: power_spectrum(np.ones(100), 0.0, 2.0), OptionError, "dt: expected a number > 0"),
        (lambda: power_spectrum(np.ones(100), -0.1), OptionError, "dt: expected a number > 0"),
        (lambda: power_spectrum(np.ones(100) * 1j, 0.1), ShapeError, "expected real numbers"),
        (lambda: principal_components(np.ones((3, 2)) * 1j), ShapeError, "expected real numbers"),
        (lambda: coherence(np.ones(100), np.ones(99), 0.1), ShapeError, "expected equal ones"),
        (lambda: coherence(np.ones(100), np.ones(100), 0.1, 10.0), ShapeError, "one segment of 100 only"),
        (lambda: firing_rates([[0.5]], 1.0), OptionError, "whole numbers"),
        (lambda: firing_rates([[-1]], 1.0), OptionError, "whole numbers"),
        (lambda: firing_rates([1, 0], 1.0), ShapeError, "trials, time, units"),
        (lambda: psth(np.ones((5, 1)), 1.0, 1.5), OptionError, "no whole number of steps"),
        (lambda: psth(np.ones((5, 1)), 1.0, 6.0), ShapeError, "have 5 only"),
        (lambda: fano_factor(np.ones((5, 1)), 1.0, 5.0), ShapeError, "use a shorter one"),
    ],
)
def test_bad_input_is_refused(wrong, kind, says):
    with pytest.raises(kind, match=says):
        wrong()
