"""Recordings in the place of features, epochs of pynapple everywhere, and a fit in a network."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from recurra.errors import OptionError, RecurraError, ShapeError
from recurra.glm import GLM, GLMHMM, PopulationGLM, basis, cross_validate, load, time_rescaling

nap = pytest.importorskip("pynapple")
WINDOW, BINS, BREAK = 6, 600, 200
FILTERS = basis.RaisedCosineLogConv(3, window_size=WINDOW)
RIDGE = {"regularizer": "Ridge", "regularizer_strength": 0.01}


@pytest.fixture(scope="module")
def recording():
    """Return counts, inputs, and both as series of two epochs."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((BINS, 2))
    counts = rng.poisson(0.3 * np.exp(0.5 * inputs[:, :1]) * np.ones((1, 3))).astype(float)
    times = np.concatenate([0.01 * np.arange(BREAK), 50 + 0.01 * np.arange(BINS - BREAK)])
    epochs = nap.IntervalSet([0, 50], [1.999, 53.999])
    series = nap.TsdFrame(t=times, d=counts, time_support=epochs, columns=["a", "b", "c"])
    return counts, inputs, series, nap.TsdFrame(t=times, d=inputs, time_support=epochs, columns=["p", "q"])


def by_hand(counts, breaks):
    """Return the filtered past, lag by lag, anew from each break."""
    import jax

    with jax.enable_x64(True):
        kernel = np.asarray(FILTERS.kernel_, float)
    found = np.full((len(counts), 3, 3), np.nan)
    for start, end in breaks:
        found[start + WINDOW : end] = 0
        for t in range(start + WINDOW, end):
            for lag in range(1, WINDOW + 1):
                found[t] += counts[t - lag][:, None] * kernel[lag - 1]
    return found.reshape(len(counts), -1)


@pytest.fixture(scope="module")
def fitted(recording):
    counts, inputs, series, drive = recording
    features = {"coupling": by_hand(counts, [(0, BREAK), (BREAK, BINS)]), "inputs": inputs}
    return (
        PopulationGLM(**RIDGE).fit_spikes(series, FILTERS, drive),
        PopulationGLM(**RIDGE).fit(features, counts),
        features,
    )


def test_no_filter_reaches_over_the_edge_of_an_epoch(recording, fitted):
    _, _, series, drive = recording
    model, expected, features = fitted
    for found in (model, PopulationGLM(**RIDGE).fit_spikes(series, FILTERS, drive, rows=150)):
        for leaf in ("coupling", "inputs"):
            assert np.abs(found.coef_[leaf] - expected.coef_[leaf]).max() < 1e-9
    made = model.features(series, drive)
    assert np.nanmax(np.abs(made["coupling"].values - features["coupling"])) < 1e-12
    assert np.array_equal(np.isnan(made["coupling"].values), np.isnan(features["coupling"]))


def test_recordings_are_taken_in_the_place_of_features(recording, fitted, tmp_path):
    counts, inputs, series, drive = recording
    model, expected, features = fitted
    assert abs(model.score(series, inputs=drive) - expected.score(features, counts)) < 1e-10
    assert abs(model.score(series, series, inputs=inputs) - expected.score(features, counts)) < 1e-10
    predicted = model.predict(series, inputs=drive)
    assert isinstance(predicted, nap.TsdFrame)
    assert np.nanmax(np.abs(predicted.values - expected.predict(features))) < 1e-10
    error = model.posterior(series, inputs=drive).standard_errors - expected.posterior(features, counts).standard_errors
    assert np.abs(error).max() < 1e-10
    assert np.abs(model.evaluate(series, inputs=drive).aic - expected.evaluate(features, counts).aic).max() < 1e-7
    residuals = model.residuals(series, inputs=drive)
    assert np.nanmax(np.abs(residuals.values - expected.residuals(features, counts))) < 1e-9
    ours, theirs = model.time_rescaling(series, inputs=drive), expected.time_rescaling(features, counts)
    assert all(np.abs(a.intervals - b.intervals).max() < 1e-9 for a, b in zip(ours, theirs, strict=True))
    table = model.summary(series, inputs=drive)
    assert table.index[0] == ("a", "coupling[a, 0]") and ("c", "inputs[q]") in table.index
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").score(series, inputs=drive) == model.score(series, inputs=drive)


def test_cross_validation_takes_the_recording_of_a_fit(recording, fitted):
    counts, _, series, drive = recording
    model, expected, features = fitted
    found = cross_validate(model, series, strengths=[0.01, 1.0], folds=3, inputs=drive)
    other = cross_validate(expected, features, counts, [0.01, 1.0], folds=3)
    assert np.abs(found.scores - other.scores).max() < 1e-9
    assert found.best.neuron_labels_.tolist() == ["a", "b", "c"]
    assert found.best.simulate(10, inputs=np.zeros((10, 2)))[0].shape == (10, 3)
    epochs = series.time_support
    by_epoch = cross_validate(model, series, strengths=[0.01], folds=epochs, inputs=drive)
    places = [np.arange(BREAK), np.arange(BREAK, BINS)]
    same = cross_validate(expected, features, counts, [0.01], folds=places)
    assert np.abs(by_epoch.scores - same.scores).max() < 1e-9


def test_a_simulation_begins_anew_in_each_epoch(recording, fitted):
    _, inputs, _, drive = recording
    model = fitted[0]
    spikes, rates = model.simulate(inputs=drive, seed=1)
    first, _ = model.simulate(inputs=inputs[:BREAK], seed=1)
    assert isinstance(spikes, nap.TsdFrame) and np.array_equal(spikes.values[:BREAK], first)
    # In the first bin of an epoch nothing has been heard.
    fresh = np.exp(model.intercept_ + inputs[[0, BREAK]] @ model.coef_["inputs"])
    assert np.abs(rates.values[[0, BREAK]] - fresh).max() < 1e-12


def test_offsets_are_a_part_of_fit_and_simulation(recording):
    counts = recording[0]
    offset = np.linspace(-1, 1, BINS)
    model = PopulationGLM(**RIDGE).fit_spikes(counts, FILTERS, offset=offset)
    chunks = PopulationGLM(**RIDGE).fit_spikes(counts, FILTERS, offset=offset, rows=250)
    features = by_hand(counts, [(0, BINS)])
    expected = PopulationGLM(**RIDGE).fit(features, counts, offset=offset)
    for found in (model, chunks):
        assert np.abs(found.coef_["coupling"] - expected.coef_).max() < 1e-9
    assert abs(model.score(counts, offset=offset) - expected.score(features, counts, offset=offset)) < 1e-10
    _, rates = model.simulate(offset=offset, seed=2)
    assert np.abs(rates[0] - np.exp(model.intercept_ + offset[0])).max() < 1e-12
    with pytest.raises(OptionError, match="fitted with one"):
        model.simulate(10)


def test_the_inputs_of_a_fit_act_in_a_network_through_their_weights():
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((3000, 1))
    counts = rng.poisson(0.1, (3000, 3))
    counts[:, 0] = rng.poisson(0.1 * np.exp(inputs[:, 0]))
    model = PopulationGLM(**RIDGE).fit_spikes(counts, FILTERS, inputs)
    ones = np.ones((4000, 1))
    right = model.simulate(inputs=ones)[0].mean(axis=0)
    net = recurra.Network(dt=1.0)
    net.add_node("pop", model)
    found = np.asarray(net.run(inputs=ones)["out"]).mean(axis=0)
    assert np.abs(found - right).max() < 0.05 and found[0] > found[1] + 0.1
    # The rate in the first step is the recipe of the model: nothing has been heard yet.
    rate = np.asarray(net.run(inputs=ones[:1], record_vars={"rate": "pop/glm/rate"})["rate"])
    assert np.abs(rate[0] - np.exp(model.intercept_ + model.coef_["inputs"][0])).max() < 1e-5


def test_intervals_do_not_reach_into_the_next_epoch():
    counts, rate = np.array([0, 1, 0, 0, 1, 0, 1.0, 1.0]), np.full(8, 0.3)
    starts = np.arange(8) == 3
    whole, parted = time_rescaling(counts, rate), time_rescaling(counts, rate, starts=starts)
    assert len(whole.intervals) == 3 and len(parted.intervals) == 2
    times = np.r_[np.arange(3), 10 + np.arange(5)] * 1.0
    epochs = nap.IntervalSet([0, 10], [2.5, 14.5])
    x, y = (nap.Tsd(t=times, d=d, time_support=epochs) for d in (np.arange(8.0), counts))
    frame = nap.TsdFrame(t=times, d=x.values[:, None], time_support=epochs)
    assert len(GLM().fit(frame, y).time_rescaling(frame, y)[0].intervals) == 2
    assert len(GLM().fit(frame.values, counts).time_rescaling(frame.values, counts)[0].intervals) == 3


def test_a_chain_starts_anew_in_each_epoch():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 1))
    sign = np.where((np.arange(300) // 50) % 2, 1, -1)
    y = (rng.random(300) < 1 / (1 + np.exp(-2 * x[:, 0] * sign))).astype(float)
    times = (100.0 * np.arange(6)[:, None] + np.arange(50)).ravel()
    epochs = nap.IntervalSet(100.0 * np.arange(6), 100.0 * np.arange(6) + 49.5)
    frame, series = nap.TsdFrame(t=times, d=x, time_support=epochs), nap.Tsd(t=times, d=y, time_support=epochs)
    options, starts = {"n_init": 1, "maxiter": 20}, 50 * np.arange(6)
    right = GLMHMM(2, **options).fit(x, y, session_starts=starts)
    found = GLMHMM(2, **options).fit(frame, series)
    assert np.abs(found.transition_prob_ - right.transition_prob_).max() < 1e-9
    assert abs(found.score(frame, series) - right.score(x, y, starts)) < 1e-12
    smoothed = found.smooth_proba(frame, series)
    assert isinstance(smoothed, nap.TsdFrame)
    assert np.abs(smoothed.values - right.smooth_proba(x, y, starts)).max() < 1e-9
    assert np.array_equal(found.decode_state(frame, series).values, right.decode_state(x, y, starts))
    plain = nap.Tsd(t=np.arange(300.0), d=y)
    intervals = nap.IntervalSet(50.0 * np.arange(6), 50.0 * np.arange(6) + 49)
    told = right.score(nap.TsdFrame(t=plain.t, d=x), plain, intervals)
    assert abs(told - right.score(x, y, starts)) < 1e-12
    drawn, states = found.sample(frame, seed=1)
    expected = right.sample(x, 1, starts)
    assert np.array_equal(drawn.values, expected[0]) and np.array_equal(states.values, expected[1])


def series_of(offset, values):
    return (nap.Tsd if values.ndim == 1 else nap.TsdFrame)(t=0.01 * np.arange(len(values)) + offset, d=values)


def rejected():
    """Yield what is called with counts, inputs, a fit, and the series of counts; the kind of error; and its words."""
    other = "different times or epochs"
    near, far = (lambda v: series_of(0.0, v)), (lambda v: series_of(1e4, v))
    # Half a bin apart after hours of recording.
    late = (lambda v: series_of(1e4, v)), (lambda v: series_of(1e4 + 0.005, v))
    yield lambda y, u, m, s: GLM().fit(near(u), far(y[:, 0])), OptionError, other
    yield lambda y, u, m, s: GLM().fit(late[0](u), late[1](y[:, 0])), OptionError, other
    yield lambda y, u, m, s: GLM().fit({"a": near(u), "b": far(u)}, y[:, 0]), OptionError, other
    yield lambda y, u, m, s: GLM().fit(near(u), y[:, 0], far(np.ones(len(y)))), OptionError, other
    yield lambda y, u, m, s: GLM().fit(near(u), y[:, 0], offset=far(y[:, 0])), OptionError, other
    yield lambda y, u, m, s: PopulationGLM().fit(near(u), y).score(near(u), far(y)), OptionError, other
    yield lambda y, u, m, s: PopulationGLM().partial_fit(near(u), far(y)), OptionError, other
    yield lambda y, u, m, s: PopulationGLM().fit_chunks([(near(u), far(y))]), OptionError, other
    yield lambda y, u, m, s: PopulationGLM().fit_spikes(near(y), FILTERS, far(u)), OptionError, other
    yield lambda y, u, m, s: cross_validate(PopulationGLM(), near(u), far(y)), OptionError, other
    yield lambda y, u, m, s: GLMHMM(2, "Poisson").fit(near(u), far(y)), OptionError, other
    yield lambda y, u, m, s: GLM().fit(u, y[:, 0]).time_rescaling(near(u), far(y[:, 0])), OptionError, other
    yield lambda y, u, m, s: m.predict(s, inputs=near(u)), OptionError, other
    yield lambda y, u, m, s: m.predict(y), OptionError, "inputs: the fit had some; give the same here"
    yield lambda y, u, m, s: m.predict(y[:, :2], inputs=u), ShapeError, "counts: it has 2 neurons, but the fit had 3"
    yield lambda y, u, m, s: m.score(y, inputs=u[:5]), ShapeError, r"inputs: got shape \(5, 2\)"
    yield lambda y, u, m, s: m.predict(s[:, [1, 0, 2]], inputs=u), OptionError, "in this order"
    yield lambda y, u, m, s: PopulationGLM().fit(u, y).score(u, y, inputs=u), OptionError, "they go with a recording"
    yield (lambda y, u, m, s: PopulationGLM().fit_spikes(y, basis.HistoryConv(2, conv_kwargs={"shift": False})),
           OptionError, "begin at lag 1 only")  # fmt: skip
    yield (lambda y, u, m, s: GLMHMM(2, "Poisson").fit(u, y, session_starts=s.time_support), OptionError,
           "need X or y to be a series of pynapple")  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), list(rejected()))
def test_what_does_not_belong_together_is_named(recording, fitted, call, kind, words):
    counts, inputs, series, _ = recording
    with pytest.raises(kind, match=words) as caught:
        call(counts, inputs, fitted[0], series)
    assert isinstance(caught.value, RecurraError)


def test_a_later_fit_forgets_the_recording(recording):
    counts, inputs, _, _ = recording
    model = PopulationGLM(**RIDGE).fit_spikes(counts, FILTERS)
    model.fit({"coupling": inputs, "more": inputs}, counts)
    with pytest.raises(RecurraError, match="fit_spikes"):
        model.coupling()
