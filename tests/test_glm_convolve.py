"""Convolution with a basis against a loop over samples, at every alignment."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import OptionError, ShapeError
from recurra.glm import create_convolutional_predictor
from recurra.glm.basis import HistoryConv


def loop(basis, y, causality="causal", shift=None):
    """Write out the definition, sample by sample."""
    window, length = len(basis), len(y)
    shift = causality != "acausal" if shift is None else shift
    out = np.full((*y.shape, basis.shape[1]), np.nan)
    for t in range(length):
        for f in range(basis.shape[1]):
            if causality == "causal":
                places = [(k, t - k - shift) for k in range(window)]
            elif causality == "anti-causal":
                places = [(k, t + window - 1 + shift - k) for k in range(window)]
            else:
                places = [(k, t + window - 1 - (window - 1) // 2 - k) for k in range(window)]
            if all(0 <= place < length for _, place in places):
                out[t, ..., f] = sum(basis[k, f] * y[place] for k, place in places)
    return out


def agree(a, b, bound=1e-12):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.array_equal(np.isnan(a), np.isnan(b))
    assert np.nanmax(np.abs(a - b), initial=0.0) < bound


CASES = [("causal", None), ("causal", False), ("anti-causal", None), ("anti-causal", False), ("acausal", None)]


@pytest.mark.parametrize(("causality", "shift"), CASES)
@pytest.mark.parametrize("window", [1, 3, 7])
def test_every_alignment_is_the_loop(causality, shift, window):
    random = np.random.default_rng(window)
    basis, y = random.normal(size=(window, 2)), random.normal(size=(25, 3))
    agree(create_convolutional_predictor(basis, y, causality, shift), loop(basis, y, causality, shift))


@settings(max_examples=6)
@given(st.integers(1, 40), st.integers(41, 200), st.integers(0, 10**6))
def test_any_length_is_the_loop(window, length, seed):
    random = np.random.default_rng(seed)
    basis, y = random.normal(size=(window, 1)), random.normal(size=length)
    wanted = np.full((length, 1), np.nan)
    for t in range(window, length):
        wanted[t, 0] = basis[:, 0] @ y[t - window : t][::-1]
    agree(create_convolutional_predictor(basis, y), wanted, 1e-11)


def test_an_even_acausal_window_warns_and_leans_forward():
    basis, y = np.arange(8.0).reshape(4, 2), np.arange(12.0)
    with pytest.warns(UserWarning, match="has no centre"):
        made = create_convolutional_predictor(basis, y, "acausal")
    agree(made, loop(basis, y, "acausal"))


def test_history_of_one_to_six():
    features = np.asarray(HistoryConv(3).compute_features(np.arange(1.0, 7.0)))
    agree(features, [[np.nan] * 3] * 3 + [[3, 2, 1], [4, 3, 2], [5, 4, 3]])


def test_what_is_missing_stays_within_its_windows():
    basis, y = np.random.default_rng(0).normal(size=(4, 2)), np.random.default_rng(1).normal(size=(300, 2))
    y[100, 0] = np.nan
    y[50, 1] = np.inf
    wanted = loop(basis, np.where(np.isfinite(y), y, np.nan))
    agree(create_convolutional_predictor(basis, y), wanted)


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_any_axis_of_time(axis):
    basis, y = np.random.default_rng(0).normal(size=(3, 2)), np.random.default_rng(1).normal(size=(9, 8))
    made = np.asarray(create_convolutional_predictor(basis, y, axis=axis))
    agree(np.moveaxis(made, axis % 2, 0), loop(basis, np.moveaxis(y, axis, 0)))


@pytest.mark.parametrize(
    "sizes", [{"batch_size_samples": 4}, {"batch_size_channels": 2}, {"batch_size_basis": 1},
              {"batch_size_samples": 7, "batch_size_channels": 1, "batch_size_basis": 2}],
)  # fmt: skip
def test_batches_change_no_value(sizes):
    basis, y = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1).normal(size=(30, 3))
    agree(create_convolutional_predictor(basis, y, **sizes), create_convolutional_predictor(basis, y), 1e-13)


def test_pytrees_shapes_and_traces():
    basis, y = np.random.default_rng(0).normal(size=(3, 2)), np.random.default_rng(1).normal(size=(9, 2, 2))
    made = create_convolutional_predictor(basis, {"a": y, "b": [y[:, 0, 0]]})
    agree(made["a"], loop(basis, y))
    agree(made["b"][0], loop(basis, y[:, 0, 0]))
    agree(jax.jit(create_convolutional_predictor)(basis, y), made["a"], 1e-14)
    slope = jax.grad(lambda b: jnp.nansum(create_convolutional_predictor(b, y[:, 0, 0])))(jnp.asarray(basis))
    agree(slope, np.array([[y[2 - k : 8 - k, 0, 0].sum()] * 2 for k in range(3)]))
    whole = create_convolutional_predictor(np.ones((2, 1)), np.arange(5))
    agree(whole[2:, 0], [1.0, 3.0, 5.0])


def test_a_series_shorter_than_the_window_is_missing_with_a_warning():
    with pytest.warns(UserWarning, match="too short for a window of 6"):
        made = create_convolutional_predictor(np.ones((6, 2)), np.ones((6, 3)))
    assert made.shape == (6, 3, 2) and np.all(np.isnan(made))
    one = create_convolutional_predictor(np.ones((6, 2)), np.ones(7))
    assert np.isnan(one).all(axis=1).tolist() == [True] * 6 + [False]


BAD = [
    ((np.ones(3), np.ones(9)), {}, ShapeError, "basis_matrix: expected"),
    ((np.ones((3, 0)), np.ones(9)), {}, ShapeError, "basis_matrix: expected"),
    ((np.ones((3, 1)), np.ones(0)), {}, ShapeError, "time_series: expected"),
    ((np.ones((3, 1)), 1.0), {}, ShapeError, "time_series: expected"),
    ((np.ones((3, 1)), np.ones(9)), {"axis": 1}, ShapeError, "there is no axis 1"),
    ((np.ones((3, 1)), np.ones(9), "casual"), {}, OptionError, "Did you mean 'causal'"),
    ((np.ones((3, 1)), np.ones(9), "acausal", True), {}, OptionError, "no meaning for an acausal"),
    ((np.ones((3, 1)), np.ones(9)), {"batch_size_samples": 0}, OptionError, "batch_size_samples: expected"),
    ((np.ones((3, 1)), np.ones(9)), {"batch_size_basis": 1.5}, OptionError, "batch_size_basis: expected"),
]


@pytest.mark.parametrize(("given", "more", "kind", "message"), BAD)
def test_bad_input_is_told(given, more, kind, message):
    with pytest.raises(kind, match=message):
        create_convolutional_predictor(*given, **more)


def test_series_of_pynapple_keep_their_epochs_apart():
    pynapple = pytest.importorskip("pynapple")
    epochs = pynapple.IntervalSet(start=[0, 20], end=[9, 32])
    times = np.concatenate([np.arange(10.0), np.arange(20.0, 33.0)])
    values, basis = np.random.default_rng(0).normal(size=(23, 2)), np.random.default_rng(1).normal(size=(3, 2))
    frame = pynapple.TsdFrame(t=times, d=values, time_support=epochs)
    made = create_convolutional_predictor(basis, frame)
    agree(made.values, np.concatenate([loop(basis, values[:10]), loop(basis, values[10:])]))
    assert np.array_equal(made.t, times) and np.array_equal(made.time_support.values, epochs.values)
    features = HistoryConv(3).compute_features(frame)
    assert isinstance(features, pynapple.TsdFrame) and features.shape == (23, 6)
    both = (HistoryConv(3) + HistoryConv(2)).compute_features(frame, values)
    agree(both.values[:, 6:], (HistoryConv(2)).compute_features(frame).values)
    other = pynapple.TsdFrame(t=times + 1, d=values)
    with pytest.raises(OptionError, match="different times or epochs"):
        (HistoryConv(3) + HistoryConv(2)).compute_features(frame, other)
