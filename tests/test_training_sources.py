"""Batches that are made on the fly, trainings that go on, callbacks, metrics, and the table of history."""

from __future__ import annotations

import numpy as np
import pytest

from recurra import Network
from recurra.engine import trace_count
from recurra.errors import OptionError, PathError, ShapeError
from recurra.rate.tasks import GoNoGo
from recurra.rate.tasks.batches import Batches

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 8, 3))
Y = np.roll(X, 1, axis=1)
OPTIONS = {"lr": 1e-2, "precision": "float64", "progress": False}


def net_of(units=3):
    rng = np.random.default_rng(1)
    net = Network(dt=0.1)
    net.add_diffeq_node("n", ["v' = -v + u + i", "r = tanh(v)"], N=units, weights=rng.standard_normal((units, units)),
                        source_var="r", target_var="i", input_var="u", output_var="r", train_params=["weights"],
                        variables={"v": "variable", "r": "output", "u": "input", "i": "input"})  # fmt: skip
    return net


def trained(*data, **options):
    net = net_of()
    found = net.fit_bptt(*data, **OPTIONS, **options)
    return net.get_var("n", "weights"), found


@pytest.fixture(scope="module")
def whole():
    return trained(X, Y, epochs=4)


SOURCES = {
    "a function of the epoch": lambda: ((lambda epoch: (X, Y)), {"epochs": 4}),
    "an iterator": lambda: (((X, Y) for _ in range(4)), {}),
    "an iterator, by labels": lambda: (iter([({"n": X}, Y, np.ones((4, 8)))] * 4), {}),
    "what is gone through in every epoch": lambda: ([(X, Y)], {"epochs": 4}),
    "lists of trials": lambda: ((lambda epoch: (list(X), list(Y))), {"epochs": 4}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_batches_on_the_fly_train_as_arrays_do(name, whole):
    source, options = SOURCES[name]()
    weights, found = trained(source, None, **options)
    assert np.abs(weights - whole[0]).max() < 1e-15 and found.updates == 4
    assert np.array_equal(found.history["loss"], whole[1].history["loss"])


def test_an_epoch_of_several_batches_is_their_mean():
    _, found = trained([(X[:1], Y[:1]), (X[1:], Y[1:])], None, epochs=2)
    assert found.updates == 4 and len(found.history) == 2
    still = net_of().fit_bptt([(X[:1], Y[:1]), (X[1:], Y[1:])], None, epochs=1, **OPTIONS | {"lr": 0.0})
    assert abs(still.history["loss"][0] - net_of().test(X, Y)[1]) < 1e-15


def test_a_task_makes_new_trials_for_every_update():
    task = GoNoGo(fixation=25.0, stimulus=25.0, response=50.0)
    results = []
    for source in (task, lambda epoch: task.trials(8, 3, start=8 * epoch), Batches(task=task, size=8, seed=3, count=2)):
        net = net_of(1)
        count = {"epochs": 1} if isinstance(source, Batches) else {"epochs": 2, "batch_size": 8}
        net.fit_bptt(source, None, seed=3, **count, **OPTIONS)
        results.append(net.get_var("n", "weights"))
    assert np.array_equal(results[0], results[1]) and np.abs(results[2] - results[0]).max() < 1e-6  # made in float32
    validated = net_of(1).fit_bptt(task, None, epochs=1, validation=task.trials(4, 9), **OPTIONS)
    assert np.isfinite(validated.history["validation_loss"]).all()


def test_calls_that_go_on_are_one_training(whole):
    net, fit = net_of(), None
    for k in range(4):
        before = trace_count()
        fit = net.fit_bptt(X, Y, epochs=1, after=fit, **OPTIONS)
        traced = trace_count() - before
        assert k == 0 or len(fit.standing.compiled) == 1
    assert np.abs(net.get_var("n", "weights") - whole[0]).max() < 1e-15
    assert np.array_equal(fit.history["loss"], whole[1].history["loss"]) and fit.updates == 4
    assert fit.history["epoch"].tolist() == [0, 1, 2, 3] and traced == 0


def test_what_changed_in_between_counts():
    net = net_of()
    first = net.fit_bptt(X, Y, epochs=2, **OPTIONS)
    net.set_var("n", "weights", np.zeros((3, 3)))
    second = net.fit_bptt(X, Y, epochs=1, after=first, **OPTIONS | {"lr": 0.0})
    other = net_of()
    other.set_var("n", "weights", np.zeros((3, 3)))
    assert abs(second.history["loss"][-1] - other.test(X, Y)[1]) < 1e-15
    compiled = first.standing.compiled
    assert net.fit_bptt(X, Y, epochs=1, after=second, **OPTIONS).standing.compiled is not compiled
    for bad, text in (({"optimizer": "sgd"}, "another optimizer"), ({"train": ["n/v"]}, "that one trained"),
                      ({"checkpoint": "here.npz"}, "goes on after")):  # fmt: skip
        with pytest.raises(OptionError, match=text):
            net.fit_bptt(X, Y, epochs=1, after=first, **OPTIONS | bad)
    with pytest.raises(OptionError, match="expected what fit_bptt returned, got int"):
        net.fit_bptt(X, Y, after=3, **OPTIONS)


def test_callbacks_see_each_epoch_and_can_end_it(whole):
    rows, weights = [], []

    def watch(epoch):
        rows.append(epoch["loss"])
        weights.append(epoch.params["n/weights"])
        assert epoch.program.get("n/weights").shape == (3, 3)
        return len(rows) == 3

    _, found = trained(X, Y, epochs=9, callbacks=[watch, lambda epoch: None])
    assert rows == whole[1].history["loss"][:3].tolist() and found.stopped == "a callback ended it"
    assert np.array_equal(weights[-1], found.params["n/weights"])
    with pytest.raises(PathError, match="column"):
        trained(X, Y, epochs=1, callbacks=lambda epoch: epoch["lss"])
    with pytest.raises(OptionError, match="expected functions of an epoch"):
        trained(X, Y, callbacks=[3])


def test_metrics_are_told_and_not_minimised(whole):
    goal = RNG.integers(0, 3, (4, 8))
    weights, found = trained(X, Y, epochs=4, metrics={"l1": "l1", "largest": lambda out, y: abs(out - y).max()})
    assert np.array_equal(weights, whole[0])
    out = trained(X, Y, epochs=3)[1]
    net = net_of()
    net.set_var("n", "weights", out.params["n/weights"])
    error = np.abs(net.test(X, Y)[0]["out"] - Y)
    assert abs(found.history["l1"][2] - error.mean()) < 1e-12
    assert abs(found.history["largest"][2] - error.max(axis=(1, 2)).mean()) < 1e-12
    right = net_of().fit_bptt(X, goal, loss="ce", metrics=["accuracy"], validation=(X[:3], goal[:3]), batch_size=2,
                              epochs=1, **OPTIONS | {"lr": 0.0})  # fmt: skip
    chosen = net_of().test(X[:3], goal[:3], loss="ce")[0]["out"].argmax(-1)
    assert abs(right.history["accuracy"][0] - (chosen == goal[:3]).mean()) < 1e-15
    with pytest.raises(OptionError, match=r"unknown metric 'accurcy'\. Did you mean 'accuracy'"):
        trained(X, Y, metrics=["accurcy"])
    with pytest.raises(OptionError, match="is a column of the history already"):
        trained(X, Y, metrics={"lr": "mse"})


def test_history_is_a_table_that_prints_and_plots_itself():
    from matplotlib.figure import Figure

    _, found = trained(X, Y, epochs=12, validation=(X, Y))
    lines = str(found.history).splitlines()
    assert lines[0].split()[:3] == ["epoch", "updates", "loss"] and lines[6] == "... 2 more rows" and len(lines) == 12
    ax = Figure().add_subplot()
    assert found.history.plot(ax=ax) is ax
    assert [line.get_label() for line in ax.lines] == ["loss", "validation loss"]
    assert np.array_equal(ax.lines[0].get_ydata(), found.history["loss"])
    one = found.history.plot("gradient_norm", ax=Figure().add_subplot())
    assert one.get_ylabel() == "gradient norm" and one.get_xlabel() == "epoch"
    with pytest.raises(PathError, match="column"):
        found.history.plot("los")


def same_batches(epoch):
    return X * (1 + epoch), Y


def test_a_function_of_the_epoch_is_resumed(tmp_path):
    weights, _ = trained(same_batches, None, epochs=4)
    trained(same_batches, None, epochs=2, checkpoint=tmp_path / "c.npz")
    again, found = trained(same_batches, None, epochs=4, checkpoint=tmp_path / "c.npz", resume=True)
    assert np.array_equal(again, weights) and len(found.history) == 4
    with pytest.raises(OptionError, match="an iterator cannot be gone back"):
        trained(iter([(X, Y)]), None, checkpoint=tmp_path / "d.npz")


BAD = {
    "no targets": ((X, None), ShapeError, "targets: none were given"),
    "a mask beside": ((lambda e: (X, Y), None, {"mask": np.ones(8)}), OptionError, "bring their own mask"),
    "targets beside": ((lambda e: (X, Y), Y), OptionError, "bring their own targets"),
    "three of them": ((lambda e: X, None), OptionError, "what the function of the epoch returned: expected"),
    "empty": (([], None), ShapeError, "there was no batch in epoch 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_batches_is_refused(case):
    (inputs, targets, *options), error, text = BAD[case]
    with pytest.raises(error, match=text):
        trained(inputs, targets, epochs=1, **(options[0] if options else {}))


def test_one_name_for_a_parameter():
    options = {"epochs": 2, "lr": 0.1, "optimizer": "sgd", "precision": "float64", "progress": False}
    plain, named = net_of(), net_of()
    start = plain.get_var("n", "weights")
    for train, penalty in (("n/weights", "n/weights"), ("n->n/weight", "n/weights"), ("n/weights", "n->n/weight")):
        net = net_of()
        found = net.fit_bptt(X, Y, train=[train], penalties={"l2": {penalty: 0.5}}, **options)
        assert list(found.params) == [train]
        for name in ("n/weights", "n->n/weight", "n->n/weights"):
            assert np.array_equal(found.params[name], net.get_var("n", "weights"))
        assert abs(found.history["penalty"][0] - 0.5 * (start**2).sum()) < 1e-12
        assert np.array_equal(found.program.get("n/weights"), found.params[train])
        assert np.array_equal(named.program.update(found.params).get("n->n/weight"), found.params[train])
    found = net_of().fit_bptt(X, Y, train=["n/v"], penalties={"l1": {"n/op/v": 0.1}, "rate": {"n": 0.1}}, **options)
    assert list(found.params) == ["n/v"] and np.array_equal(found.params["n/op/v"], found.program.get("n/v"))
    with pytest.raises(PathError, match="unknown parameter 'n/w'"):
        found.params["n/w"]
    with pytest.raises(OptionError, match="is named twice"):
        net_of().fit_bptt(X, Y, train=["n/weights", "n->n/weight"], **options)
    with pytest.raises(PathError, match="is given twice"):
        net_of().fit_bptt(X, Y, penalties={"l2": {"n/weights": 1.0, "n->n/weight": 1.0}}, **options)
