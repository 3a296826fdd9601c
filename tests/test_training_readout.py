"""Readouts: ridge regression, recursive least squares and FORCE, against linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.engine import simulate
from recurra.errors import CapabilityError, OptionError, PathError, ShapeError
from recurra.training import evaluate, fit_ridge, fit_rls, ridge, rls
from training_nets import rate_net

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((120, 8)), RNG.standard_normal((120, 3))


@pytest.mark.parametrize("alpha", [1e-6, 0.1, 10.0])
def test_ridge_is_the_solution_of_the_normal_equations(alpha):
    expected = np.linalg.solve(X.T @ X + alpha * np.eye(8), X.T @ Y).T
    found = ridge(X, Y, alpha)
    assert np.max(np.abs(found.weights - expected)) < 1e-13
    assert np.max(np.abs(found.predict(X) - X @ expected.T)) < 1e-12


def test_alpha_zero_is_least_squares_of_smallest_norm():
    wide = X[:5]
    assert np.max(np.abs(ridge(X, Y, 0.0).weights - np.linalg.lstsq(X, Y, rcond=None)[0].T)) < 1e-13
    assert np.max(np.abs(ridge(wide, Y[:5], 0.0).weights - np.linalg.lstsq(wide, Y[:5], rcond=None)[0].T)) < 1e-12
    doubled = np.concatenate([X, X], axis=1)
    assert np.max(np.abs(ridge(doubled, Y, 0.0).weights - (np.linalg.pinv(doubled) @ Y).T)) < 1e-13


def test_intercept_is_not_penalised():
    found = ridge(X, Y + 100.0, 5.0, intercept=True)
    x, y = X - X.mean(0), Y - Y.mean(0)
    expected = np.linalg.solve(x.T @ x + 5 * np.eye(8), x.T @ y).T
    assert np.max(np.abs(found.weights - expected)) < 1e-12
    assert np.max(np.abs(found.predict(X).mean(0) - Y.mean(0) - 100.0)) < 1e-11


def test_score_is_the_share_of_variance_explained():
    found = ridge(X, Y, 1.0)
    residual = Y - X @ found.weights.T
    assert np.allclose(found.score, 1 - (residual**2).sum(0) / ((Y - Y.mean(0)) ** 2).sum(0), atol=1e-14)
    assert np.isnan(ridge(X, np.ones((120, 1)), 1.0).score).all()


def test_cross_validation_by_contiguous_blocks():
    alphas = [0.01, 1.0, 100.0]
    found = ridge(X, Y, alphas, folds=4)
    for alpha in alphas:
        total = 0.0
        for block in np.split(np.arange(120), 4):
            rest = np.setdiff1d(np.arange(120), block)
            weights = np.linalg.solve(X[rest].T @ X[rest] + alpha * np.eye(8), X[rest].T @ Y[rest])
            total += ((X[block] @ weights - Y[block]) ** 2).sum()
        assert abs(found.errors[alpha] - total / Y.size) < 1e-13
    assert found.alpha == min(alphas, key=found.errors.__getitem__) == 100.0


def test_mask_leaves_rows_out():
    keep = np.random.default_rng(6).random(120) < 0.5
    spoilt = np.where(keep[:, None], Y, np.nan)
    assert np.array_equal(ridge(X, spoilt, 0.1, mask=keep).weights, ridge(X[keep], Y[keep], 0.1).weights)


def test_ridge_recovers_the_readout_of_a_network():
    program = rate_net(10, outputs=2)
    drive = {"p/op/I": np.random.default_rng(7).standard_normal((3, 100, 10))}
    goal = evaluate(program, drive, np.zeros((3, 100, 2)), output="o/op/y", dt=0.1, precision="float64").outputs
    found = fit_ridge(program, drive, goal, output="p/op/r", dt=0.1, alpha=0.0)
    assert np.max(np.abs(found.weights - program.get("out/weight"))) < 1e-12
    assert np.all(found.score > 1 - 1e-12)
    every = fit_ridge(program, drive, goal[:, ::5], output="p/op/r", dt=0.1, alpha=0.0, every=5, batch_size=2)
    assert np.max(np.abs(every.weights - program.get("out/weight"))) < 1e-12


@pytest.mark.parametrize("alpha, forgetting", [(0.3, 1.0), (1e-3, 1.0), (0.5, 0.95)])
def test_recursive_least_squares_is_ridge(alpha, forgetting):
    """With forgetting g, rows weigh g^(age) and the penalty g^(number of rows)."""
    weight = forgetting ** np.arange(119, -1, -1.0)
    matrix = (X.T * weight) @ X + alpha * forgetting**120 * np.eye(8)
    expected = np.linalg.solve(matrix, (X.T * weight) @ Y).T
    found = rls(X, Y, alpha=alpha, forgetting=forgetting)
    assert np.max(np.abs(found.weights - expected)) < 1e-8
    assert np.max(np.abs(found.inverse @ matrix - np.eye(8))) < 1e-8
    if forgetting == 1.0:
        assert np.max(np.abs(found.weights - ridge(X, Y, alpha).weights)) < 1e-8


def test_recursive_least_squares_row_by_row():
    weights, inverse = np.zeros((3, 8)), np.eye(8) / 0.7
    outputs = []
    for x, y in zip(X, Y, strict=True):
        outputs.append(weights @ x)
        gain = inverse @ x / (1 + x @ inverse @ x)
        weights, inverse = weights - np.outer(weights @ x - y, gain), inverse - np.outer(gain, x @ inverse)
    found = rls(X, Y, alpha=0.7)
    assert np.max(np.abs(found.outputs - outputs)) < 1e-12
    assert np.max(np.abs(found.weights - weights)) < 1e-12
    assert np.array_equal(found.inverse, found.inverse.T)


def test_recursive_least_squares_goes_on():
    first = rls(X[:50], Y[:50], alpha=0.2)
    second = rls(X[50:], Y[50:], weights=first.weights, inverse=first.inverse)
    assert np.max(np.abs(second.weights - rls(X, Y, alpha=0.2).weights)) < 1e-14
    masked = rls(X, Y, alpha=0.2, mask=np.arange(120) < 50)
    assert np.max(np.abs(masked.weights - first.weights)) < 1e-14


def test_fit_rls_is_ridge_on_the_networks_activity():
    program = rate_net(6)
    rng = np.random.default_rng(8)
    drive, goal = {"p/op/I": rng.standard_normal((3, 60, 6))}, rng.standard_normal((3, 60, 2))
    options = {"output": "p/op/r", "dt": 0.1, "alpha": 0.4}
    found = fit_rls(program, drive, goal, **options)
    assert np.max(np.abs(found.weights - fit_ridge(program, drive, goal, **options).weights)) < 1e-8
    assert found.outputs.shape == goal.shape
    sparse = fit_rls(program, drive, goal, every=3, **options)
    thin = fit_ridge(program, drive, goal[:, ::3], every=3, **options)
    assert np.max(np.abs(sparse.weights - thin.weights)) < 1e-8


def sine(period, steps, dt=0.1):
    return np.sin(2 * np.pi * np.arange(steps) * dt / period)[:, None]


def chaotic(n=200):
    return rate_net(n, seed=1).update({"p/op/v": np.random.default_rng(2).standard_normal(n)})


FEEDBACK = {"feedback": "p/op/I", "feedback_weights": np.random.default_rng(3).uniform(-1, 1, (200, 1))}


def test_force_learns_a_sine():
    goal = sine(20.0, 5000)
    learns = np.arange(5000) < 4000
    found = fit_rls(chaotic(), None, goal, output="p/op/r", dt=0.1, mask=learns, **FEEDBACK)
    error = np.mean((found.outputs - goal) ** 2, axis=1)
    assert np.mean(error[3000:4000]) < 1e-3
    # The weights no longer change: the network makes the sine by itself, for five periods.
    assert np.mean(error[4000:]) < 1e-2
    few = np.arange(1000) < 50
    short = fit_rls(chaotic(), None, goal[:1000], output="p/op/r", dt=0.1, mask=few, **FEEDBACK)
    assert np.mean((short.outputs[500:] - goal[500:1000]) ** 2) > 0.1, "it does so without having learned"


def test_force_is_this_loop():
    program, goal = chaotic(), sine(20.0, 300)
    v, weights, inverse = program.get("p/op/v"), np.zeros((1, 200)), np.eye(200)
    recurrent, back = program.get("w/weight"), FEEDBACK["feedback_weights"]
    outputs = []
    for k in range(300):
        r = np.tanh(v)
        z = weights @ r
        outputs.append(z)
        if k % 2 == 0:
            gain = inverse @ r / (1 + r @ inverse @ r)
            weights, inverse = weights - np.outer(z - goal[k], gain), inverse - np.outer(gain, r @ inverse)
        v = v + 0.1 * (-v / 1.5 + recurrent @ r + back @ z)
    found = fit_rls(program, None, goal, output="p/op/r", dt=0.1, every=2, **FEEDBACK)
    assert np.max(np.abs(found.outputs - outputs)) < 1e-8
    assert np.max(np.abs(found.final.state["p/op/v"] - v)) < 1e-8


def test_force_goes_on_from_where_it_was():
    goal = sine(20.0, 200)
    options = {"output": "p/op/r", "dt": 0.1, **FEEDBACK}
    whole = fit_rls(chaotic(), None, goal, **options)
    first = fit_rls(chaotic(), None, goal[:120], **options)
    second = fit_rls(
        chaotic(), None, goal[120:], weights=first.weights, inverse=first.inverse, state=first.final, **options
    )
    assert np.max(np.abs(np.concatenate([first.outputs, second.outputs]) - whole.outputs)) < 1e-12


def test_feedback_is_an_edge_from_the_readout():
    """With learned weights that no longer change, a network with that edge does the same."""
    program, goal = chaotic(), sine(20.0, 100)
    weights = 0.1 * np.random.default_rng(5).standard_normal((1, 200))
    found = fit_rls(
        program, None, goal, output="p/op/r", dt=0.1, weights=weights, mask=np.arange(100) < 1, alpha=1e12, **FEEDBACK
    )
    closed = program.update({"w/weight": program.get("w/weight") + FEEDBACK["feedback_weights"] @ weights})
    activity = simulate(closed, 10.0, dt=0.1, record={"r": "p/op/r"})["r"]
    assert np.max(np.abs(found.outputs - activity @ weights.T)) < 1e-8


BAD_RIDGE = [
    ({"x": X[:5]}, ShapeError, r"shape \(5, 8\)"),
    ({"alpha": -1.0}, OptionError, "alpha must be"),
    ({"alpha": [1.0, 2.0], "folds": 1}, OptionError, "folds must be"),
    ({"x": np.full_like(X, np.nan)}, ShapeError, "finite"),
    ({"mask": np.ones(3)}, ShapeError, "mask has shape"),
    ({"x": "abc"}, ShapeError, "features"),
]


@pytest.mark.parametrize("change, error, text", BAD_RIDGE)
def test_ridge_refuses(change, error, text):
    options = {"x": X, "y": Y, "alpha": 1.0} | change
    with pytest.raises(error, match=text):
        ridge(options.pop("x"), options.pop("y"), options.pop("alpha"), **options)


BAD_RLS = [
    ({"alpha": 0.0}, OptionError, "alpha must be a number > 0"),
    ({"forgetting": 1.5}, OptionError, "forgetting"),
    ({"every": 0}, OptionError, "every"),
    ({"weights": np.zeros((2, 2))}, ShapeError, r"expected \(2, 3\)"),
    ({"inverse": np.zeros((2, 2))}, ShapeError, r"expected \(3, 3\)"),
    ({"feedback": "p/op/I"}, ShapeError, "give feedback_weights"),
    ({"feedback": "p/op/v", "feedback_weights": np.zeros((3, 2))}, PathError, "unknown input"),
    ({"feedback": "p/op/K"}, PathError, "K"),
    ({"feedback_weights": np.zeros((3, 2))}, OptionError, "without feedback"),
    ({"feedback": "p/op/I", "feedback_weights": np.zeros((2, 2))}, ShapeError, r"expected \(3, 2\)"),
    ({"output": "p/op/I", "feedback": "p/op/I", "feedback_weights": np.zeros((3, 2))}, OptionError, "same moment"),
    ({"solver": "tsit5"}, CapabilityError, "fixed step"),
    ({"targets": np.zeros((9, 2))}, ShapeError, "targets are shorter"),
]


@pytest.mark.parametrize("change, error, text", BAD_RLS)
def test_rls_refuses(change, error, text):
    options = {"targets": np.zeros((10, 2)), "output": "p/op/r", "dt": 0.1} | change
    with pytest.raises(error, match=text):
        fit_rls(rate_net(3), {"p/op/I": np.zeros((10, 3))}, options.pop("targets"), **options)


def test_fit_ridge_says_how_many_rows_it_wants():
    with pytest.raises(ShapeError, match="targets are shorter than inputs"):
        fit_ridge(rate_net(3), {"p/op/I": np.zeros((10, 3))}, np.zeros((5, 1)), output="p/op/r", dt=0.1)
