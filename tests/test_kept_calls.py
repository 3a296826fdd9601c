"""Every keyword of every call that keeps something: another value is refused and named, or it changes nothing.

A keyword that is in no table fails the tests, so that none is added without an identity.
"""

from __future__ import annotations

import inspect
import os
import threading
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from identities import equations
from recurra import simulate, sweep
from recurra.engine.devices import Placement
from recurra.errors import CapabilityError, StoreError
from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import GoNoGo
from recurra.rate.training import Criterion, train
from recurra.training import Bounds, Dale, Fixed, fit_bptt
from training_nets import DRIVE, GOAL, fit, rate_net

pytest.importorskip("zarr")
NET = equations().program
TAU, X, U, REC = "n/op/tau", "n/op/x", "n/op/u", "rec/weight"
STATE = simulate(NET, 0.4, dt=0.1, seed=3, progress=False).final


def keywords(function) -> set[str]:
    """Return all arguments of a function."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {name for name, p in inspect.signature(function).parameters.items() if p.kind not in kinds}


def rewired(shift: int):
    """Return the program with other connections."""
    tables = {k: np.roll(np.asarray(v), shift) for k, v in NET.tables.items()}
    return replace(NET, tables=tables)


# keyword -> other values, each with what the message names; `None` for those that change nothing.
RUN = {"program": NET, "duration": 0.5, "dt": 0.1, "seed": 3, "record": {"x": X}, "progress": False}
SIMULATE = {
    "program": [
        (NET.update({TAU: 3.0}), "params: n/op/tau"), (NET.update({X: 0.2}), "start: n/op/x"),
        (NET.update({REC: 0.4}), "params: rec/weight"), (rewired(1), "connections: n/op/r->n/op/s"),
        (NET.update({"rec/delay": 0.2}), "params: rec/delay"),
    ],
    "duration": [(0.6, "steps was 5, now it is 6")],
    "dt": [(0.05, "dt was 0.1, now it is 0.05")],
    "solver": [("stochastic_heun", "solver was euler_maruyama, now it is stochastic_heun")],
    "inputs": [({U: 1.0}, "inputs: n/op/u"), ({U: np.ones(5)}, "inputs: n/op/u")],
    "record": [({"y": X}, "record: x"), (None, "record"), ([X, U], "record")],
    "every": [(5, "every was 1, now it is 5")],
    "params": [({TAU: 3.0}, "params: n/op/tau")],
    "batch": [({TAU: [1.0, 2.0]}, "batch: n/op/tau")],
    "trials": [(2, "trials was None, now it is 2")],
    "state": [(STATE, "start: n/op/x")],
    "seed": [(4, "seed was 3, now it is 4"), (jax.random.key(3), "seed")],
    "history": [({"n/op/r": 0.5}, "start: ring")],
    "precision": [("float32", "precision was float64, now it is float32")],
    "device": None, "progress": None, "store": None, "cutoff": None,
}  # fmt: skip


def variants(table: dict) -> list:
    """Return keyword, other value and message of all that must be refused."""
    return [pytest.param(k, *pair, id=f"{k}-{i}") for k, pairs in table.items() for i, pair in enumerate(pairs or ())]


@pytest.fixture(scope="module")
def run_store(tmp_path_factory):
    store = tmp_path_factory.mktemp("run") / "run.zarr"
    simulate(**RUN, store=store)
    return store


@pytest.mark.parametrize(("keyword", "value", "told"), variants(SIMULATE))
def test_another_run_is_refused_and_what_differs_is_named(run_store, keyword, value, told):
    with pytest.raises(StoreError, match="something else; what differs: .*" + told):
        simulate(**{**RUN, keyword: value}, store=run_store)


def test_the_same_run_is_never_refused(run_store):
    whole = simulate(**RUN)["x"]
    same = [
        {"program": equations()}, {"dt": np.float64(0.1), "seed": np.int64(3)}, {"solver": "euler_maruyama"},
        {"inputs": {}}, {"params": {}}, {"params": {TAU: 2}}, {"every": np.int32(1)}, {"device": "cpu"},
        {"record": {"x": [X]}}, {"progress": lambda done: None},
    ]  # fmt: skip
    for each in same:
        assert np.array_equal(simulate(**{**RUN, **each}, store=run_store)["x"], whole)


def test_another_platform_is_refused(run_store, monkeypatch):
    monkeypatch.setattr(Placement, "platform", "gpu")
    with pytest.raises(StoreError, match="device was cpu, now it is gpu"):
        simulate(**RUN, store=run_store)


def test_another_version_is_refused(run_store, monkeypatch):
    import recurra

    monkeypatch.setattr(recurra, "__version__", "0.0.0")
    with pytest.raises(StoreError, match=r"version: recurra was .*, now it is 0\.0\.0"):
        simulate(**RUN, store=run_store)


def peak(result):
    return {"peak": result["x"].max()}


def weighted(by):
    return lambda result: {"peak": by * result["x"].max()}


SWEPT = {"model": NET, "values": {TAU: [1.0, 2.0]}, "duration": 0.5, "dt": 0.1, "seed": 3, "record": {"x": X},
         "measure": peak, "progress": False}  # fmt: skip
SWEEP = {
    "model": [
        (NET.update({"n/op/u": 1.0}), "params: n/op/u"), (NET.update({X: 0.2}), "start: n/op/x"),
        (rewired(1), "connections: n/op/r->n/op/s"),
    ],
    "values": [({TAU: [1.0, 3.0]}, "points: n/op/tau"), ({U: [1.0, 2.0]}, "points")],
    "mode": [("lhs", "points")],
    "samples": None,  # of the modes that draw
    "measure": [
        (lambda result: {"peak": result["x"].min()}, "the measure"), (None, "the measure"),
        (weighted(2.0), "the measure"),
    ],
    "measure_id": [("another", "the measure")],
    "batch": [(1, "points at once was 2, now it is 1")],
    "trials": [(2, "trials was None, now it is 2")],
    **{k: SIMULATE[k] for k in ("duration", "dt", "solver", "inputs", "record", "every", "precision")},
    "seed": [(4, "seed was 3, now it is 4")],
    "params": [({U: 1.0}, "params: n/op/u")],
    "history": [({"n/op/r": 0.5}, "history: n/op/r")],
    "device": None, "executor": None, "store": None, "progress": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def sweep_store(tmp_path_factory):
    store = tmp_path_factory.mktemp("sweep") / "sweep.zarr"
    sweep(**SWEPT, store=store)
    return store


@pytest.mark.parametrize(("keyword", "value", "told"), variants(SWEEP))
def test_another_sweep_is_refused_and_what_differs_is_named(sweep_store, keyword, value, told):
    more = {"values": {TAU: (1.0, 2.0)}, "samples": 2} if keyword == "mode" else {}
    with pytest.raises(StoreError, match="something else; what differs: .*" + told):
        sweep(**{**SWEPT, keyword: value, **more}, store=sweep_store)


def test_the_same_sweep_is_never_refused(sweep_store):
    whole = sweep(**SWEPT)["peak"]

    def peak(result):
        """Return the peak, as above."""
        return {"peak": result["x"].max()}

    same = [{"model": equations()}, {"measure": peak}, {"inputs": {}}, {"solver": "euler_maruyama"}, {"every": 1},
            {"precision": "float64"}, {"values": {TAU: np.array([1, 2])}}, {"record": {"x": [X]}}]  # fmt: skip
    for each in same:
        assert np.array_equal(sweep(**{**SWEPT, **each}, store=sweep_store)["peak"], whole)


def test_a_measure_without_an_identity_is_named(tmp_path):
    with open(os.devnull) as file:

        def measure(result):
            return {"peak": result["x"].max() + len(file.read())}

        with pytest.raises(CapabilityError, match=r"captured 'file' is of type _io.TextIOWrapper.*measure_id='...'"):
            sweep(**{**SWEPT, "measure": measure}, store=tmp_path / "sweep.zarr")
        assert not list(tmp_path.iterdir())
        for _ in range(2):
            found = sweep(**{**SWEPT, "measure": measure}, measure_id="peaks", store=tmp_path / "sweep.zarr")
            assert np.array_equal(found["peak"], sweep(**SWEPT)["peak"])
    seen = []

    def counts(result):
        seen.append(1)
        return peak(result)

    sweep(**{**SWEPT, "measure": counts}, store=tmp_path / "counts.zarr")
    with pytest.raises(StoreError, match=r"the measure: the captured 'seen'.*changes what it reads.*measure_id"):
        sweep(**{**SWEPT, "measure": counts}, store=tmp_path / "counts.zarr")


def test_a_loss_without_an_identity_is_named(tmp_path):
    lock = threading.Lock()

    def loss(outputs, targets):
        with lock:
            return (outputs - targets) ** 2

    options = {"loss": loss, "checkpoint": tmp_path / "fit.npz", "epochs": 1, "progress": False}
    with pytest.raises(
        CapabilityError, match=r"loss cannot be identified.*'lock' is of type _thread.lock.*loss_id='...'"
    ):
        fit(**options)
    first = fit(**options, loss_id="squares")
    again = fit(**options, loss_id="squares", resume=True)
    assert np.array_equal(first.params["w/weight"], again.params["w/weight"])


def halved(program):
    """Return a program with half the weights."""
    return program.update({"w/weight": program.get("w/weight") / 2})


BATCH = (DRIVE, -GOAL)
TRAIN = {
    "program": [(halved(rate_net(3)), "params: w/weight"), (rate_net(3, delay=0.2), "equations")],
    "inputs": [({"p/op/I": DRIVE["p/op/I"] + 1}, "inputs: p/op/I")],
    "targets": [(GOAL + 1, "targets")],
    "output": [("p/op/v", "record: output")],
    "train": [({"w/weight": Bounds(-9, 9)}, "train: w/weight"), (["w/weight", "p/op/tau"], "train: p/op/tau")],
    "dt": [(0.2, "dt was 0.1, now it is 0.2")],
    "loss": [("l1", "loss was mse, now it is l1"), (lambda a, b: (a - b) ** 4, "loss")],
    "loss_id": [("mine", "loss was mse, now it is mine")],
    "optimizer": [("sgd", "optimizer was adam, now it is sgd")],
    "optimizer_id": [("mine", "optimizer was adam, now it is mine")],
    "lr": [(0.1, "lr was 0.05, now it is 0.1"), (optax.constant_schedule(0.05), "lr")],
    "batch_size": [(3, "batch_size was None, now it is 3")],
    "truncate": [(5, "truncate was None, now it is 5")],
    "mask": [(np.tile([0.0, 1.0, 1.0], 5), "mask")],
    "penalties": [({"l2": {"w/weight": 0.1}}, "penalties")],
    "clip": [(1.0, "clip was None, now it is 1.0")],
    "validation": [(BATCH, "validation: targets")],
    "patience": [(9, "patience was None, now it is 9")],
    "seed": [(7, "seed was 0, now it is 7")],
    "precision": [("float64", "precision was float32, now it is float64")],
    "solver": [("heun", "solver was euler, now it is heun")],
    "state": [(simulate(rate_net(3), 0.2, dt=0.1, progress=False).final, "start")],
    "history": None,  # only where there are delays; see below
    "data_id": [("mine", "data")],
    "metrics": [(["l1"], "metrics")],
    "after": None,  # refused beside a checkpoint
    "callbacks": None,  # are shown how it goes, and may end it
    "epochs": None, "checkpoint": None, "checkpoint_every": None, "resume": None, "progress": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit.npz"
    fit(checkpoint=path, epochs=1, progress=False)
    return path


@pytest.mark.parametrize(("keyword", "value", "told"), variants(TRAIN))
def test_another_training_is_refused_and_what_differs_is_named(training, keyword, value, told):
    names = {"inputs": "drive", "targets": "goal"}
    with pytest.raises(StoreError, match="another training; what differs: .*" + told):
        fit(**{names.get(keyword, keyword): value}, checkpoint=training, resume=True, progress=False)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({"train": {"w/weight": Bounds(-9, 9)}}, {"train": {"w/weight": Bounds(-99, 99)}}, "train: w/weight"),
        ({"train": {"p/op/tau": Dale(1)}}, {"train": {"p/op/tau": Dale([1, 1, 1])}}, "train: p/op/tau"),
        ({"loss": lambda a, b: (a - b) ** 2}, {"loss": lambda a, b: jnp.abs(a + b)}, "loss: its code"),
        ({"lr": optax.constant_schedule(0.1)}, {"lr": optax.constant_schedule(0.2)}, "lr"),
        ({"lr": 1e-3, "optimizer": optax.adam(0.1)}, {"lr": 1e-3, "optimizer": optax.adam(0.1, b1=0.5)}, "optimizer"),
        (
            {"program": rate_net(3, delay=0.2), "history": {"p/op/r": 0.1}},
            {"program": rate_net(3, delay=0.2), "history": {"p/op/r": 0.2}}, "start: ring",
        ),
    ],
)  # fmt: skip
def test_settings_of_one_name_are_told_apart(tmp_path, first, second, told):
    path = tmp_path / "fit.npz"
    fit(**first, checkpoint=path, epochs=1, progress=False)
    with pytest.raises(StoreError, match="what differs: .*" + told):
        fit(**second, checkpoint=path, resume=True, progress=False)


TASK = GoNoGo(fixation=50.0, stimulus=50.0, response=100.0)


def dale(seed: int = 0, **more) -> FR_RNN_dale:
    rng = np.random.default_rng(0)
    w_in, w_out = rng.normal(size=(8, 1)), rng.normal(size=(1, 8)) / 10
    return FR_RNN_dale(8, 0.3, 0.4, w_in, 0, "gaus", 1.5, True, w_out, seed=seed, **more)


def short(**options):
    options = {"net": dale(), "task": TASK, "updates": 2, "evaluate_every": 2, "criterion": Criterion(1e-9, trials=2),
               "progress": False, **options}  # fmt: skip
    return train(options.pop("net"), options.pop("task"), **options)


RATE = {
    "net": [(dale(1), "network 0: w"), (dale(taus=(4.0, 30.0)), "network 0: taus"),
            (dale(activation="softplus"), "network 0: activation"), ([dale(), dale(1)], "network 1")],
    "task": [
        (GoNoGo(fixation=50.0, stimulus=100.0, response=50.0), "task: number 0"), ([TASK, TASK], "task: number 1"),
    ],
    "batch": [(2, "batch was 1")],
    "loss_fn": [("l1", "loss_fn was l2, now it is l1")],
    "optimizer": [("sgd", "optimizer was adam"), (optax.sgd(0.01), "optimizer")],
    "optimizer_id": [("mine", "optimizer was adam, now it is mine")],
    "lr": [(0.5, "lr was 0.01, now it is 0.5")],
    "clip": [(1.0, "clip was None")],
    "noise": [("none", "noise was kim")],
    "level": [(0.5, "level was ")],
    "criterion": [(Criterion(1e-9, trials=3), "criterion: trials was 2")],
    "evaluate_every": [(1, "every was 2")],
    "fixed": [(["w_out"], "fixed")],
    "trained": [(["w", "w_in", "w_out"], "fixed")],
    "constraints": [({"w_out": Bounds(-9, 9)}, "constraints"), ({"w": Fixed(np.eye(8, dtype=bool))}, "constraints")],
    "penalties": [({"l2": {"w": 1e-3}}, "penalties"), ({"rate": {"r": 1.0}}, "penalties")],
    "seed": [(5, "seed was 0, now it is 5")],
    "precision": [("float64", "precision was float32")],
    "updates": None, "checkpoint": None, "resume": None, "on_evaluation": None, "progress": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def rate_training(tmp_path_factory):
    path = tmp_path_factory.mktemp("rate") / "rate.npz"
    short(checkpoint=path)
    return path


@pytest.mark.parametrize(("keyword", "value", "told"), variants(RATE))
def test_another_training_of_a_rate_network_is_refused(rate_training, keyword, value, told):
    with pytest.raises(StoreError, match="another training; what differs: .*" + told):
        short(**{keyword: value}, checkpoint=rate_training, resume=True)


@pytest.mark.parametrize(
    ("function", "table"), [(simulate, SIMULATE), (sweep, SWEEP), (fit_bptt, TRAIN), (train, RATE)],
    ids=["simulate", "sweep", "fit_bptt", "rate"],
)  # fmt: skip
def test_every_keyword_has_an_identity_or_needs_none(function, table):
    assert keywords(function) - set(table) == set(), (
        "vary it in the table of this file, or say there that it changes nothing"
    )
    if function is sweep:  # its options are those of a run
        refused = {"program", "batch", "state", "cutoff"}
        assert keywords(simulate) - set(table) - refused == set()
