"""Fits of coupled neurons: recovery of what was simulated, and simulation of what was fitted."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas
import pytest

from recurra.engine import lower, simulate
from recurra.errors import CapabilityError, OptionError, ShapeError, TimeError
from recurra.glm import PopulationGLM, basis, simulate_recurrent

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def coupled():
    filters = basis.RaisedCosineLogConv(3, window_size=20)
    rng = np.random.default_rng(5)
    coupling = 0.3 * rng.standard_normal((3, 3, 3))
    coupling[range(3), range(3)] -= 0.3
    y, _ = simulate_recurrent(
        coupling, None, np.full(3, -2.0), 0, None, filters.kernel_, np.zeros((20, 3)), "exp", n_time_bins=20_000
    )
    return filters, coupling, np.asarray(y), PopulationGLM().fit_spikes(y, filters)


def test_simulated_couplings_are_recovered_within_three_standard_errors(coupled):
    filters, truth, y, model = coupled
    features = np.asarray(filters.compute_features(y.astype(float))).reshape(len(y), -1)
    errors = model.posterior({"coupling": features}, y).coef_errors["coupling"].T.reshape(3, 3, 3)
    distance = np.abs(model.coupling() - truth) / errors
    assert np.mean(distance < 3) >= 0.99 and distance.max() < 4


def test_a_fit_runs_by_itself(coupled):
    _, _, y, model = coupled
    spikes, rates = model.simulate(20_000, seed=3)
    assert spikes.shape == rates.shape == (20_000, 3)
    assert np.abs(spikes.mean(axis=0) - y.mean(axis=0)).max() < 0.02
    again, _ = model.simulate(20_000, seed=3)
    assert np.array_equal(again, spikes)
    trials, _ = model.simulate(50, trials=2, history=np.ones((20, 3)))
    assert trials.shape == (2, 50, 3)
    assert model.stability().stable
    expected = np.einsum("lm,ijm->ij", model.coupling_basis_, model.coupling())
    assert np.abs(model.coupling_weights() - expected).max() < 1e-12


def test_a_fit_is_a_graph_of_the_engine(coupled):
    _, _, y, model = coupled
    program = lower(model.to_graph())
    result = simulate(program, 8000, dt=1.0, record={"spikes": "glm/spikes", "rate": "glm/rate"}, seed=1)
    assert np.abs(result["spikes"].mean(axis=0) - y.mean(axis=0)).max() < 0.03
    driven = simulate(program, 2000, dt=1.0, inputs={"glm/drive": np.full((2000, 3), 1.0)}, record={"s": "glm/spikes"})
    assert driven["s"].mean() > 1.5 * y.mean()


def test_inputs_are_part_of_the_fit_and_of_the_simulation():
    rng = np.random.default_rng(6)
    drive = rng.standard_normal((4000, 2))
    y = rng.poisson(np.exp(drive @ [[0.5, 0.0], [0.0, -0.5]] - 1.0))
    model = PopulationGLM().fit_spikes(y, basis.HistoryConv(2), inputs=drive)
    assert np.abs(model.coef_["inputs"] - [[0.5, 0.0], [0.0, -0.5]]).max() < 0.12
    _, rates = model.simulate(4000, inputs=drive, seed=1)
    assert np.corrcoef(np.log(rates[:, 0]), drive[:, 0])[0, 1] > 0.95
    with pytest.raises(OptionError, match="the fit had some"):
        model.simulate(10)
    with pytest.raises(ShapeError, match=r"expected \(steps, inputs\) = \(10, 2\)"):
        model.simulate(10, inputs=drive)


# Chunks, names, durations, stability


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(7)
    counts = rng.poisson(0.3, (600, 2))
    drive = rng.standard_normal((600, 1))
    ridge = {"regularizer": "Ridge", "regularizer_strength": 0.01}
    model = PopulationGLM(**ridge).fit_spikes(counts, basis.HistoryConv(3), inputs=drive, bin_size=0.01)
    return counts, drive, ridge, model


def test_a_recording_fitted_in_chunks_is_that_fitted_at_once(small):
    counts, drive, ridge, whole = small
    broken = counts.astype(float)
    broken[300, 1] = np.nan
    weight = np.linspace(0.5, 1.5, 600)
    options = {"inputs": drive, "sample_weight": weight}
    expected = PopulationGLM(**ridge).fit_spikes(broken, basis.HistoryConv(3), **options)
    found = PopulationGLM(**ridge).fit_spikes(broken, basis.HistoryConv(3), rows=250, **options)
    for leaf in ("coupling", "inputs"):
        assert np.abs(found.coef_[leaf] - expected.coef_[leaf]).max() < 1e-8
        assert np.abs(found.coef_[leaf] - whole.coef_[leaf]).max() > 1e-3
    for name in ("intercept_", "null_rate_", "dof_resid_"):
        assert np.abs(getattr(found, name) - getattr(expected, name)).max() < 1e-8


def test_the_coupling_has_the_names_of_its_neurons(small):
    counts, drive, _, model = small
    named = PopulationGLM(regularizer="Ridge", regularizer_strength=0.01)
    named.fit_spikes(pandas.DataFrame(counts, columns=["a", "b"]), basis.HistoryConv(3), inputs=drive, bin_size=0.01)
    table = named.coupling_xarray()
    assert table["weights"].dims == ("receiver", "sender") and table["lag"].values.tolist() == [0.01, 0.02, 0.03]
    assert float(table["weights"].sel(receiver="a", sender="b")) == model.coupling_weights()[0, 1]
    assert np.array_equal(table["filters"].sel(receiver="b", sender="a"), model.coupling_filters()[:, 1, 0])
    assert model.neuron_labels_.tolist() == [0, 1]


def test_the_graph_goes_from_sender_to_receiver(small):
    pytest.importorskip("networkx")
    model = small[-1]
    graph, weights = model.coupling_graph(), model.coupling_weights()
    assert sorted(graph.nodes) == [0, 1] and graph.number_of_edges() == 4
    assert graph[0][1]["weight"] == weights[1, 0]
    assert np.array_equal(graph[0][1]["filter"], model.coupling_filters()[:, 1, 0])
    limit = float(np.sort(np.abs(weights).ravel())[1])
    assert model.coupling_graph(threshold=limit).number_of_edges() == 2
    assert graph.nodes[1]["rate"] == model.null_rate_[1]


def test_a_duration_is_so_many_bins(small):
    _, drive, _, model = small
    by_steps = model.simulate(50, inputs=drive[:50])
    for same in (model.simulate(duration=0.5, inputs=drive[:50]), model.simulate(inputs=drive[:50]),
                 model.simulate(duration=0.5, bin_size=0.01, inputs=drive[:50])):  # fmt: skip
        assert np.array_equal(same[0], by_steps[0]) and np.array_equal(same[1], by_steps[1])


@pytest.mark.parametrize("rows", [None, 1000])
def test_a_coupling_that_runs_away_is_weakened_and_keeps_the_rates(rows):
    rng = np.random.default_rng(8)
    filters = basis.HistoryConv(2)
    # Bursts that one neuron hands to the other, which a fit of both explains by a coupling above 1.
    counts = rng.poisson(np.exp(np.repeat(rng.normal(0, 1.2, (200, 1)), 10, axis=0) - 1.0) * np.ones((1, 2)))
    plain = PopulationGLM("Gaussian").fit_spikes(counts, filters)
    radius = plain.stability().spectral_radius
    bound = 0.6 * radius
    model = PopulationGLM("Gaussian").fit_spikes(counts, filters, rows=rows, stabilise=bound)
    assert 0.9 * bound < model.stability().spectral_radius <= bound
    assert np.abs(model.coupling() - model.stabilised_ * plain.coupling()).max() < 1e-7
    assert 0.2 < model.stabilised_ < 1
    # A free intercept makes the mean of what is predicted that of what was seen.
    seen = counts[2:].mean(axis=0)
    features = np.asarray(filters.compute_features(counts.astype(float))).reshape(len(counts), -1)
    predicted = model.predict({"coupling": features})
    assert np.abs(np.nanmean(predicted, axis=0) - seen).max() < 1e-6
    assert np.array_equal(model.dof_resid_, plain.dof_resid_)
    expected = np.nansum((counts - predicted) ** 2, axis=0) / plain.dof_resid_
    assert np.abs(model.scale_ - expected).max() < 1e-6 * expected.max()
    same = PopulationGLM("Gaussian").fit_spikes(counts, filters, stabilise=min(0.999, 1.01 * radius))
    assert same.stabilised_ == 1 and np.array_equal(same.coupling(), plain.coupling())


def test_an_exponential_population_is_stabilised_as_well():
    rng = np.random.default_rng(9)
    counts = rng.poisson(np.exp(np.repeat(rng.normal(0, 0.8, 300), 8)[:, None] - 1.0) * np.ones((1, 2)))
    model = PopulationGLM().fit_spikes(counts, basis.HistoryConv(2))
    bound = 0.7 * model.stability().spectral_radius
    model.fit_spikes(counts, basis.HistoryConv(2), stabilise=bound)
    assert 0.9 * bound < model.stability().spectral_radius <= bound
    features = np.asarray(basis.HistoryConv(2).compute_features(counts.astype(float))).reshape(len(counts), -1)
    assert np.abs(np.nanmean(model.predict({"coupling": features}), axis=0) - counts[2:].mean(axis=0)).max() < 1e-6


def rejected():
    """Yield what is called with counts (600, 2), drive and a fit that had it, the kind of error, and its words."""
    conv = basis.HistoryConv(3)
    anew = PopulationGLM
    yield lambda y, d, m: anew().fit_spikes(y[:, 0], conv), ShapeError, r"counts: expected \(time, neurons\)"
    yield lambda y, d, m: anew().fit_spikes(y.astype(str), conv), ShapeError, "counts: expected numbers"
    yield lambda y, d, m: anew().fit_spikes(y, basis.BSplineEval(5)), OptionError, "expected one for convolution"
    yield lambda y, d, m: anew().fit_spikes(y, conv, bin_size=-1), OptionError, "bin_size: expected a number of seconds"
    yield lambda y, d, m: anew().fit_spikes(y, conv, rows=0), OptionError, "rows: expected a whole number"
    yield lambda y, d, m: anew().fit_spikes(y, conv, d[:5], rows=100), ShapeError, "inputs: got 5 bins, but counts has"
    yield (lambda y, d, m: anew().fit_spikes(y, conv, rows=100, init_params=(0, 0)), OptionError,
           "unknown option of a fit in chunks 'init_params'")  # fmt: skip
    yield (lambda y, d, m: anew().fit_spikes(y, basis.HistoryConv(3, conv_kwargs={"shift": False}), rows=100),
           OptionError, "begin at lag 1 only")  # fmt: skip
    yield lambda y, d, m: anew().fit_spikes(y, conv, stabilise=1.5), OptionError, "stabilise: expected True, False or"
    yield lambda y, d, m: anew().fit_spikes(y, conv, stabilise="yes"), OptionError, "stabilise: expected True, False or"
    yield (lambda y, d, m: anew(regularizer="ARD").fit_spikes(y, conv, stabilise=1e-3), CapabilityError,
           "stabilise: ARD finds its strengths anew")  # fmt: skip
    yield lambda y, d, m: m.simulate(10, duration=1.0, inputs=d), OptionError, "either steps or a duration"
    yield lambda y, d, m: m.simulate(duration=0.015, inputs=d), TimeError, "not a whole number of steps.*0.01 or 0.02"
    yield (lambda y, d, m: m.simulate(duration=1.0, bin_size=0.02, inputs=d[:50]), OptionError,
           "bin_size=0.02: the neurons were fitted in bins of 0.01 s")  # fmt: skip
    yield (lambda y, d, m: anew().fit_spikes(pandas.DataFrame(y, index=np.arange(len(y)) * 0.02), conv, bin_size=0.01),
           OptionError, "bin_size=0.01, but the times of the counts are 0.02 apart")  # fmt: skip
    yield (lambda y, d, m: m.simulate(9, inputs=d[:9], history=pandas.DataFrame(y[:3], index=[0.0, 0.02, 0.04])),
           TimeError, "history has a sample every 0.02")  # fmt: skip
    yield lambda y, d, m: m.simulate(0, inputs=d), OptionError, "steps: expected a whole number"
    yield (lambda y, d, m: anew().fit_spikes(y, conv).simulate(duration=1.0), OptionError,
           "length of a bin is not known")  # fmt: skip
    yield lambda y, d, m: anew().fit_spikes(y, conv).simulate(), OptionError, "steps: expected a whole number"
    yield lambda y, d, m: anew().fit(d, y).coupling_xarray(), CapabilityError, "fit_spikes"


@pytest.mark.parametrize(("call", "kind", "words"), list(rejected()))
def test_bad_recordings_are_named(small, call, kind, words):
    counts, drive, _, model = small
    with pytest.raises(kind, match=words):
        call(counts, drive, model)


def test_series_of_pynapple_come_back_as_such():
    pynapple = pytest.importorskip("pynapple")
    rng = np.random.default_rng(10)
    times = np.arange(300) * 0.02
    counts = pynapple.TsdFrame(t=times, d=rng.poisson(0.4, (300, 2)).astype(float), columns=["a", "b"])
    drive = pynapple.TsdFrame(t=times, d=rng.standard_normal((300, 1)))
    model = PopulationGLM().fit_spikes(counts, basis.HistoryConv(2), inputs=drive)
    assert abs(model.bin_size_ - 0.02) < 1e-12 and model.neuron_labels_.tolist() == ["a", "b"]
    plain = PopulationGLM().fit_spikes(counts.values, basis.HistoryConv(2), inputs=drive.values)
    assert np.array_equal(model.coef_["coupling"], plain.coef_["coupling"])
    spikes, rates = model.simulate(inputs=drive, seed=1)
    assert isinstance(spikes, pynapple.TsdFrame) and np.array_equal(spikes.t, times)
    assert np.array_equal(rates.values, plain.simulate(inputs=drive.values, seed=1)[1])
    features = basis.HistoryConv(2).compute_features(counts)
    fitted = PopulationGLM().fit(features, counts.values)
    predicted = fitted.predict(features)
    assert isinstance(predicted, pynapple.TsdFrame) and np.array_equal(predicted.t, times)
    assert np.array_equal(predicted.values, fitted.predict(features.values), equal_nan=True)
    assert isinstance(fitted.residuals(features, counts), pynapple.TsdFrame)


@pytest.mark.filterwarnings("ignore:.*non-interactive.*")
def test_the_example_recovers_what_it_simulates():
    matplotlib.use("agg")
    names = runpy.run_path(str(EXAMPLES / "glm_recovery.py"), init_globals={"SMALL": True})
    plt.close("all")
    assert np.mean(names["distance"] < 3) > 0.95
    assert abs(names["spikes"].mean() - names["again"].mean()) < 0.1 * names["spikes"].mean()
