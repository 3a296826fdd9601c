"""Trials as arrays and as lists of unequal length, classes, and losses that do not depend on batches: against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Network
from recurra.errors import ShapeError
from recurra.training import ridge, rls

RNG = np.random.default_rng(0)
LENGTHS = (9, 5, 7)
X = [RNG.standard_normal((n, 2)) for n in LENGTHS]
Y = [RNG.standard_normal((n, 2)) for n in LENGTHS]
QUIET = {"progress": False, "precision": "float64"}


def leaky(units=2):
    net = Network(dt=0.1)
    parts = {"v": "output(0.2)", "u": "input", "k": 1.5}
    net.add_diffeq_node("n", "v' = -k*v + u", variables=parts, N=units)
    return net


def values(x, k=1.5, dt=0.1):
    """Return v before every step, by a loop."""
    v, rows = np.full(x.shape[1], 0.2), []
    for row in x:
        rows.append(v)
        v = v + dt * (-k * v + row)
    return np.array(rows)


def errors():
    return [np.mean((values(x) - y) ** 2) for x, y in zip(X, Y, strict=True)]


def padded():
    x, y, mask = np.zeros((3, 9, 2)), np.zeros((3, 9, 2)), np.zeros((3, 9))
    for i, n in enumerate(LENGTHS):
        x[i, :n], y[i, :n], mask[i, :n] = X[i], Y[i], 1
    return x, y, mask


KINDS = [list, tuple, lambda v: np.array([*v, None], object)[:-1], lambda v: [a.tolist() for a in v]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_of_trials_is_their_mean(kind):
    out, loss = leaky().test({"n": kind(X)}, kind(Y))
    assert abs(loss - np.mean(errors())) < 1e-14
    for i, n in enumerate(LENGTHS):
        assert np.abs(out["out"][i, :n] - values(X[i])).max() < 1e-14 and np.isnan(out["out"][i, n:]).all()
    assert abs(leaky().test(kind(X), kind(Y), batch_size=2)[1] - loss) < 1e-15


def test_a_list_trains_as_padding_by_hand_does():
    x, y, mask = padded()
    lists, arrays = leaky(), leaky()
    options = {"train": ["n/k"], "epochs": 3, "lr": 0.05, **QUIET}
    found = lists.fit_bptt(X, Y, validation=(X[:2], Y[:2]), **options)
    arrays.fit_bptt(x, y, mask=mask, **options)
    assert np.abs(lists.get_var("n/k") - arrays.get_var("n/k")).max() < 1e-14
    assert abs(found.history["loss"][0] - np.mean(errors())) < 1e-14
    ones = [np.ones(n) for n in LENGTHS]
    ones[0][3:] = 0
    part = [errors()[1], errors()[2], np.mean((values(X[0])[:3] - Y[0][:3]) ** 2)]
    assert abs(leaky().test(X, Y, mask=ones)[1] - np.mean(part)) < 1e-14


def test_what_all_trials_share_needs_no_list():
    shared = RNG.standard_normal((9, 2))
    assert abs(leaky().test(shared, Y)[1] - np.mean([np.mean((values(shared[:len(y)]) - y) ** 2) for y in Y])) < 1e-14
    assert abs(leaky().test({"n": 0.7}, Y)[1]
               - np.mean([np.mean((values(np.full(y.shape, 0.7)) - y) ** 2) for y in Y])) < 1e-14  # fmt: skip


def test_series_of_one_unit_are_trials():
    one = [x[:, :1] for x in X]
    flat = leaky(1).test([x[:, 0] for x in one], [y[:, 0] for y in Y])[1]
    assert abs(flat - leaky(1).test(one, [y[:, :1] for y in Y])[1]) < 1e-15
    alike = leaky(1).test([np.ones(4), np.zeros(4)], [np.ones(4), np.ones(4)])[0]
    assert alike["out"].shape == (2, 4, 1)


@pytest.mark.parametrize("truncate", [None, 4])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_loss_of_an_epoch_is_one_number(truncate, batch_size):
    whole = leaky().fit_bptt(X, Y, train=["n/k"], lr=0.0, epochs=1, penalties={"rate": {"n/v": 0.3}}, **QUIET)
    parts = leaky().fit_bptt(X, Y, train=["n/k"], lr=0.0, epochs=1, penalties={"rate": {"n/v": 0.3}},
                             batch_size=batch_size, truncate=truncate, **QUIET)  # fmt: skip
    assert abs(parts.history["loss"][0] - np.mean(errors())) < 1e-14
    activity = 0.3 * np.mean([np.mean(values(x) ** 2) for x in X])
    assert abs(whole.history["penalty"][0] - activity) < 1e-14
    assert abs(parts.history["penalty"][0] - activity) < 1e-14


def readout_net(train=None):
    net = Network(dt=0.1)
    net.add_func_node("n", 2, "identity")
    net.add_func_node("o", 1, "identity")
    net.add_edge("n", "o", np.zeros((1, 2)), label="w", train=train)
    return net


def test_readouts_of_lists_are_those_of_all_rows():
    rows, goal = np.concatenate(X), np.concatenate(Y)
    expected = np.linalg.solve(rows.T @ rows + 0.3 * np.eye(2), rows.T @ goal).T
    assert np.abs(ridge(X, Y, 0.3).weights - expected).max() < 1e-14
    assert np.abs(rls(X, Y, alpha=0.3).weights - expected).max() < 1e-13
    assert np.isnan(rls(X, Y).outputs[1, 5:]).all() and np.isfinite(rls(X, Y).outputs[0]).all()
    found = readout_net().fit_ridge({"n": X}, [y[:, :1] for y in Y], alpha=0.3, output="n", add_readout_node=False)
    assert np.abs(found.weights - expected[:1]).max() < 1e-14
    learned = readout_net("rls").fit_rls({"n": X}, [y[:, :1] for y in Y], alpha=0.3)
    assert np.abs(learned.weights - expected[:1]).max() < 1e-13
    assert np.isnan(learned.outputs[1, 5:]).all() and learned.final.step == 7


def test_eprop_of_a_list_is_that_of_padding():
    x, y, mask = padded()

    def fit(*data, **options):
        net = Network(dt=0.1, seed=0)
        net.add_diffeq_node("p", "v' = -v + tanh(r) + u", N=2, weights=np.array([[0.1, 0.5], [-0.4, 0.2]]),
                            source_var="v", target_var="r", input_var="u", train_params=["weights"],
                            variables={"v": "output", "r": "input", "u": "input"})  # fmt: skip
        net.add_func_node("o", 2, "identity")
        net.add_edge("p", "o", np.eye(2))
        return net.fit_eprop(*data, lr=0.05, epochs=2, **QUIET, **options)

    lists, arrays = fit({"p": X}, Y, batch_size=2), fit({"p": x}, y, mask=mask, batch_size=2)
    assert np.abs(lists.params["p/weights"] - arrays.params["p/weights"]).max() < 1e-14
    assert np.abs(lists.history["loss"] - arrays.history["loss"]).max() < 1e-14


def cross_entropy(out, classes):
    log_p = out - np.log(np.exp(out).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, classes[..., None], -1).mean()


@pytest.mark.parametrize("trials, steps", [(4, 4), (3, 4), (4, 3), (2, 2)])
def test_whole_numbers_are_classes(trials, steps):
    rng = np.random.default_rng(trials * steps)
    x = rng.standard_normal((trials, steps, 4))
    ones = rng.permutation(np.eye(max(trials, 4), steps, dtype=int))[:trials]
    for classes in (rng.integers(0, 4, (trials, steps)), ones):
        out, loss = leaky(4).test(x, classes, loss="ce")
        assert abs(loss - cross_entropy(out["out"], classes)) < 1e-13
    whole = np.eye(4, dtype=int)[classes]
    assert abs(leaky(4).test(x, whole, loss="ce")[1] - loss) < 1e-13  # as distributions, on three axes


def test_whole_numbers_of_one_trial_may_be_a_distribution():
    x, goal = RNG.standard_normal((6, 3)), np.eye(3, dtype=int)[RNG.integers(0, 3, 6)]
    assert abs(leaky(3).test(x, goal, loss="ce")[1] - leaky(3).test(x, goal * 1.0, loss="ce")[1]) < 1e-15
    lists = [RNG.integers(0, 3, n) for n in LENGTHS]
    drives = [RNG.standard_normal((n, 3)) for n in LENGTHS]
    single = [cross_entropy(values(x), c) for x, c in zip(drives, lists, strict=True)]
    assert abs(leaky(3).test(drives, lists, loss="ce")[1] - np.mean(single)) < 1e-14


BAD = {
    "other lengths": (lambda: leaky().test(X, Y[::-1]), "has 9 steps in trial 0, targets have 7"),
    "other number": (lambda: leaky().test(X, Y[:2]), "has 3 trials, targets have 2"),
    "arrays beside lists": (lambda: leaky().test(np.ones((3, 9, 2)), Y), "has 9 steps in trial 1, targets have 5"),
    "widths": (lambda: leaky().test([np.ones((3, 2)), np.ones((4, 1))], Y[:2]), "all trials have the same units"),
    "empty": (lambda: leaky().test(X, [*Y[:2], np.zeros((0, 2))]), "trial 2 has no steps"),
    "rows": (lambda: leaky().test([[[1, 2], [3]], [[1, 2]]], Y[:2]), "trial 0: rows of different lengths"),
    "mask": (lambda: leaky().test(X, Y, mask=[np.ones(9)] * 3), "mask: it is for trials of 9, 9, 9 steps"),
    "no probability": (lambda: leaky().test(X[0], np.full((9, 2), 3.0), loss="ce"), "probabilities.*astype.int"),
    "classes as floats": (lambda: leaky().test(np.ones((3, 9, 2)), np.ones((3, 9)), loss="ce"), "astype.int"),
    "hinge": (lambda: leaky().test(X[0], np.zeros((9, 2)), loss="hinge"), "are -1 or 1, got 0"),
    "ridge": (lambda: ridge(X, Y[::-1]), "trial 0 has 9 rows of features and 7 of targets"),
    "rls": (lambda: rls(X, np.concatenate(Y)), "features are trials of 9, 5, 7 rows"),
    "a run": (lambda: leaky().run(X), "trials of unequal length are taken, as a list, where there are targets"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case):
    run, text = BAD[case]
    with pytest.raises(ShapeError, match=text):
        run()
