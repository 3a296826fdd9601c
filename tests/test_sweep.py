"""Sweeps: points, equality with single runs, failures, stores that are killed, executors."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra import CircuitTemplate, NodeTemplate, OperatorTemplate, simulate, sweep
from recurra.engine import run as run_module
from recurra.errors import CapabilityError, OptionError, PathError, RecurraError, ShapeError, StoreError
from recurra.sweeping.points import make_points
from sweep_measures import dies_once, last, model, run, taus

HERE = Path(__file__).parent
RECORD = {"x": "p/op/x"}


def grows() -> CircuitTemplate:
    operator = OperatorTemplate("op", ["x' = a*x^2 + b"], {"x": "output(1.0)", "a": 0.0, "b": 0.0})
    return CircuitTemplate("grows", nodes={"p": NodeTemplate("p", operator)})


def test_a_grid_equals_single_runs_bit_for_bit():
    found = sweep(grows(), {"p/op/a": [0.1, 0.2], "p/op/b": [1.0, 2.0, 3.0]}, 1.0, dt=0.1, record=RECORD)
    assert found["x"].dims == ("p/op/a", "p/op/b", "time")
    assert found["time"].values.tolist() == pytest.approx(np.arange(10) * 0.1)
    for a in (0.1, 0.2):
        for b in (1.0, 2.0, 3.0):
            single = simulate(grows().program, 1.0, dt=0.1, record=RECORD, params={"p/op/a": a, "p/op/b": b})
            there = found["x"].sel({"p/op/a": a, "p/op/b": b})
            assert np.array_equal(there.values, single["x"][:, 0])
    assert not found["failed"].any() and (found["error"] == "").all()
    assert found.attrs["network"] == "grows" and found.attrs["dt"] == 0.1


def test_the_size_of_a_batch_changes_no_bit():
    values = {"p/op/a": np.linspace(0.0, 0.3, 7)}
    whole = sweep(grows(), values, 1.0, dt=0.1, record=RECORD)
    for batch in (1, 2, 5, 100):
        assert np.array_equal(sweep(grows(), values, 1.0, dt=0.1, record=RECORD, batch=batch)["x"], whole["x"])


def test_measures_of_every_shape():
    def measure(result):
        return {"end": result["x"][-1, 0], "rows": result["x"][:3, 0], "after": result.final.state["p/op/x"]}

    found = sweep(grows(), {"p/op/b": [0.0, 1.0]}, 1.0, dt=0.5, record=RECORD, measure=measure)
    assert found["end"].values.tolist() == [1.0, 1.5] and found["rows"].shape == (2, 2)
    assert found["after"].values.tolist() == [[1.0], [2.0]]
    plain = sweep(grows(), {"p/op/b": [0.0, 1.0]}, 1.0, dt=0.5, record=RECORD, measure=lambda r: r["x"].max())
    assert plain["measure"].values.tolist() == [1.0, 1.5]


def test_zip_takes_one_value_for_each_unit():
    from recurra import Network

    net = Network(dt=0.1)
    net.add_diffeq_node("n", "x' = -x/tau", N=2, output_var="x", variables={"x": "output(1.0)", "tau": 1.0})
    values = {"n/op/tau": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), "n/op/x": [1.0, 2.0, 3.0]}
    found = sweep(net, values, 0.2, dt=0.1, mode="zip", record={"x": "n/op/x"})
    assert found["x"].dims == ("point", "time", "x_unit")
    start = np.array([1.0, 2.0, 3.0])[:, None]
    assert np.abs(found["x"].values[:, 1] - start * (1 - 0.1 / values["n/op/tau"])).max() < 1e-15
    assert found["n/op/tau"].dims == ("point", "n/op/tau_unit")


def test_random_points_are_within_their_ranges_and_repeatable():
    ranges = {"p/op/a": (0.0, 0.1), "p/op/b": (-1.0, 2.0)}
    for mode in ("random", "lhs"):
        first, again = (make_points(ranges, mode, 50, 3) for _ in range(2))
        other = make_points(ranges, mode, 50, 4)
        for path, (low, high) in ranges.items():
            assert np.array_equal(first.numbers[path], again.numbers[path])
            assert not np.array_equal(first.numbers[path], other.numbers[path])
            assert low <= first.numbers[path].min() and first.numbers[path].max() <= high
    # A Latin hypercube has one point in each of 50 slices of every range.
    slices = np.floor((first.numbers["p/op/b"] + 1) / 3 * 50).astype(int)
    assert sorted(slices) == list(range(50))


@given(st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_grid_has_every_combination_once_in_order(lists):
    values = {f"p{i}": one for i, one in enumerate(lists)}
    points = make_points(values, "grid", None, 0)
    assert points.shape == tuple(len(one) for one in lists)
    for i, path in enumerate(values):
        laid = points.numbers[path].reshape(points.shape)
        for k, value in enumerate(lists[i]):
            assert np.all(laid.take(k, axis=i) == value)


def test_failed_points_are_reported_beside_good_ones():
    def measure(result):
        if result["x"][-1, 0] > 1.75:
            raise ValueError("too large")
        return result["x"][-1, 0]

    values = {"p/op/b": [0.0, 0.5, 1.0, 1e308], "p/op/a": [0.0, 1e9]}
    with np.errstate(over="ignore"):
        found = sweep(grows(), values, 1.0, dt=0.1, record=RECORD, measure=measure)
    assert found["failed"].values.tolist() == [[False, True], [False, True], [True, True], [True, True]]
    assert found["measure"].values[1, 0] == pytest.approx(1.45)
    assert np.isnan(found["measure"].values[found["failed"].values]).all()
    assert str(found["error"].values[2, 0]) == "measure failed: ValueError: too large"
    assert "diverged: not finite from t = " in str(found["error"].values[0, 1])


def test_a_point_that_cannot_be_run_does_not_stop_the_others():
    # A delay that is shorter than a step is refused; the other values are fine.
    from recurra import Network

    net = Network(dt=0.1)
    net.add_diffeq_node(
        "n", "x' = -x + s", weights=np.eye(1), source_var="x", target_var="s", output_var="x",
        variables={"x": "output(1.0)", "s": "input(0.0)"}, edge_attr={"delay": 0.5},
    )  # fmt: skip
    found = sweep(net, {"n->n/delay": [0.5, 0.04, 0.3]}, 1.0, dt=0.1)
    assert found["failed"].values.tolist() == [False, True, False]
    assert "delay" in str(found["error"].values[1])
    alone = sweep(net, {"n->n/delay": [0.3]}, 1.0, dt=0.1)
    assert np.array_equal(found["n/op/x"].values[2], alone["n/op/x"].values[0])


def test_measures_of_another_shape_are_failures():
    found = sweep(
        grows(), {"p/op/b": [0.0, 1.0]}, 1.0, dt=0.5, record=RECORD, measure=lambda r: r["x"][r["x"] > 1.2]
    )
    assert found["failed"].values.tolist() == [False, True]
    assert "other points have (0,)" in str(found["error"].values[1])


def test_a_store_goes_on_where_it_was(tmp_path):
    zarr = pytest.importorskip("zarr")
    whole = run(None, last)
    store = tmp_path / "sweep.zarr"
    count = []

    def stops(result):
        count.append(1)
        if len(count) == 22:
            raise KeyboardInterrupt
        return last(result)

    with pytest.warns(RuntimeWarning, match="interrupted"):
        part = run(store, stops, "last")
    assert part["failed"].sum() == 40 and part.attrs["interrupted"] == 1
    assert (part["error"] == "not run").sum() == 40
    count.clear()

    def counts(result):
        count.append(1)
        return last(result)

    assert np.array_equal(run(store, counts, "last")["x"], whole["x"]) and len(count) == 40
    assert zarr.open_group(store, mode="r")["x"].shape == (60,)
    with pytest.raises(StoreError, match="something else"):
        sweep(model(), {"p/op/tau": [1.0]}, 1.0, dt=0.1, record=RECORD, measure=last, store=store)


def test_recordings_in_a_store_keep_their_names_and_their_order(tmp_path):
    pytest.importorskip("zarr")

    def found(store, values):
        return sweep(grows(), values, 1.0, dt=0.1, record=["p/op/x", "p/op/a"], store=store, batch=2)

    values = {"p/op/b": [0.0, 1.0, 2.0]}
    whole, store = found(None, values), tmp_path / "sweep.zarr"
    first = found(store, values)
    status = store / "status" / "c" / "1"
    status.unlink()  # as if the last batch had not been finished
    again = found(store, values)
    assert list(whole) == list(first) == list(again)
    for name in ("p/op/x", "p/op/a"):
        assert np.array_equal(whole[name], first[name]) and np.array_equal(whole[name], again[name])


def test_a_killed_sweep_resumes_with_the_same_numbers(tmp_path):
    pytest.importorskip("zarr")
    store, clock = tmp_path / "sweep.zarr", random.Random(5)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    for _ in range(3):
        process = subprocess.Popen([sys.executable, str(HERE / "sweep_measures.py"), str(store)], env=environment)
        begun = time.monotonic()
        while not (store / "status" / "c" / "0").exists() and time.monotonic() - begun < 60 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(clock.uniform(0.0, 0.4))
        process.kill()
        process.wait()
    assert (store / "status").is_dir()
    assert np.array_equal(run(store)["x"], run(None, last)["x"])


def test_a_chunk_that_was_cut_off_is_run_again(tmp_path):
    pytest.importorskip("zarr")
    store = tmp_path / "sweep.zarr"
    whole = run(store, last)
    chunk = store / "status" / "c" / "3"
    chunk.write_bytes(chunk.read_bytes()[:2])
    assert np.array_equal(run(store, last)["x"], whole["x"])


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_executors_give_the_same_numbers(kind):
    make = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
    }[kind]
    with make() as executor:
        found = sweep(model(), taus(), 1.0, dt=0.1, record=RECORD, measure=last, batch=16, executor=executor)
    assert np.array_equal(found["x"], run(None, last)["x"])


def test_a_dask_cluster_that_loses_a_worker_loses_nothing(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("RECURRA_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor()
        found = sweep(model(), taus(), 1.0, dt=0.1, record=RECORD, measure=dies_once, batch=16, executor=executor)
    assert (tmp_path / "mark").exists()
    assert np.array_equal(found["x"], run(None, last)["x"]) and not found["failed"].any()


GRID = {"p/op/b": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (lambda: sweep(3, GRID, 1.0, dt=0.1), OptionError, "expected a Network"),
        (lambda: sweep(grows(), {}, 1.0, dt=0.1), OptionError, "at least one"),
        (lambda: sweep(grows(), [1.0], 1.0, dt=0.1), OptionError, "expected path -> values"),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.1, mode="gird"), OptionError, "Did you mean 'grid'"),
        (lambda: sweep(grows(), {"p/op/x": [1.0]}, 1.0, dt=0.1), OptionError, "a name of the dataset already"),
        (lambda: sweep(grows(), {"p/op/c": [1.0]}, 1.0, dt=0.1), RecurraError, "unknown variable 'c'"),
        (lambda: sweep(grows(), {"p/op/b": ["x"]}, 1.0, dt=0.1), ShapeError, "expected numbers"),
        (lambda: sweep(grows(), {"p/op/b": [[1.0]]}, 1.0, dt=0.1), ShapeError, r"expected \(points,\)"),
        (lambda: sweep(grows(), {"p/op/b": []}, 1.0, dt=0.1), ShapeError, "expected"),
        (lambda: sweep(grows(), {"p/op/b": [np.nan]}, 1.0, dt=0.1), ShapeError, "not all values are finite"),
        (
            lambda: sweep(grows(), {"p/op/b": [1.0], "p/op/a": [1.0, 2.0]}, 1.0, dt=0.1, mode="zip"),
            ShapeError, "as many values for every path",
        ),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.1, samples=3), OptionError, "leave samples= out"),
        (lambda: sweep(grows(), {"p/op/b": (0, 1)}, 1.0, dt=0.1, mode="lhs"), OptionError, "needs samples="),
        (lambda: sweep(grows(), {"p/op/b": (0, 1)}, 1.0, dt=0.1, mode="lhs", samples=0), OptionError, "at least 1"),
        (lambda: sweep(grows(), {"p/op/b": (1, 0)}, 1.0, dt=0.1, mode="random", samples=2), OptionError, "range"),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.1, batch=0), OptionError, "expected 'auto'"),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.1, measure=3), OptionError, "expected a function"),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.1, state=3), OptionError, "does not take it"),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.3), RecurraError, "duration"),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.1, record="p/op/y"), PathError, "unknown variable 'y'"),
        (lambda: sweep(grows(), GRID, 1.0, dt=0.1, store="no/such/folder"), StoreError, "there is no folder"),
        (
            lambda: sweep(grows(), GRID, 1.0, dt=0.1, record=RECORD, measure=lambda r: "text"),
            RecurraError, "no point of the sweep can be run: measure failed: ShapeError",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused(wrong, kind, says):
    with pytest.raises(kind, match=says):
        wrong()


def test_a_folder_that_is_no_store_is_left_alone(tmp_path):
    pytest.importorskip("zarr")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("keep")
    with pytest.raises((StoreError, CapabilityError), match="not the store of a sweep"):
        run(tmp_path / "mine", last)
    assert (tmp_path / "mine" / "text").read_text() == "keep"


def interrupted_at(monkeypatch, chunk):
    """Let Ctrl-C come while the chunk of that number is computed."""
    real, calls = run_module.run_chunk, []

    def run_chunk(*args):
        calls.append(args)
        if len(calls) == chunk:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(run_module, "run_chunk", run_chunk)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("kind", ["here", "threads"])
def test_no_part_of_a_run_is_measured(tmp_path, monkeypatch, stored, kind):
    """x' = -x/tau by Euler: the last recorded value of a whole run is (1 - dt/tau)^(steps - 1)."""
    store = tmp_path / "s.zarr" if stored else None
    if stored:
        pytest.importorskip("zarr")
    values, steps = np.linspace(0.5, 3.0, 60), 64
    right = (1 - 0.1 / values) ** (steps - 1)

    def again():
        with ThreadPoolExecutor(1) as pool:
            executor = pool if kind == "threads" else None
            return sweep(model(), {"p/op/tau": values}, steps * 0.1, dt=0.1, record=RECORD, measure=last, batch=4,
                         store=store, executor=executor, progress=False)  # fmt: skip

    monkeypatch.setattr(run_module, "CHUNK_ROWS", 16)
    with monkeypatch.context() as patch:
        interrupted_at(patch, 18)  # in the middle of the fifth batch; four chunks are a batch
        with pytest.warns(RuntimeWarning, match="interrupted"):
            part = again()
    done = ~part["failed"].values
    assert part.attrs["interrupted"] == 1 and (done.sum() == 16 or kind == "threads")
    assert done.sum() in range(4, 61, 4)  # how soon the main thread hears of it is the system's affair
    assert np.abs(part["x"].values - right)[done].max() < 1e-12
    assert np.isnan(part["x"].values[~done]).all() and set(part["error"].values[~done]) <= {"not run"}
    if stored:
        whole = again()
        assert not whole["failed"].any() and np.abs(whole["x"].values - right).max() < 1e-12
        assert np.array_equal(whole["x"].values[done], part["x"].values[done]) and "interrupted" not in whole.attrs


def test_ctrl_c_before_any_point_is_done(monkeypatch):
    interrupted_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        sweep(model(), taus(), 1.0, dt=0.1, record=RECORD, measure=last, batch=16, progress=False)


def test_a_simulation_within_a_measure_is_no_result_of_its_own(monkeypatch):
    monkeypatch.setattr(run_module, "CHUNK_ROWS", 16)
    interrupted_at(monkeypatch, 14)  # in the measure of the third point: five chunks are a point with its measure
    seen = []

    def measure(result):
        seen.append(simulate(model(), 6.4, dt=0.1, record=RECORD, progress=False).interrupted)
        return last(result)

    with pytest.warns(RuntimeWarning, match="interrupted"):
        found = sweep(model(), taus(), 1.0, dt=0.1, record=RECORD, measure=measure, batch=1, progress=False)
    assert seen == [False, False] and (~found["failed"].values).tolist() == [True] * 2 + [False] * 58


def test_the_beginning_of_all_runs_is_left_out():
    short = sweep(model(), taus(), 2.0, dt=0.1, record=RECORD, cutoff=0.5)
    whole = sweep(model(), taus(), 2.0, dt=0.1, record=RECORD)
    assert np.array_equal(short["x"].values, whole["x"].values[:, 5:]) and short["time"].values[0] == 0.5


def fails(result):
    os._exit(3)


def test_an_executor_that_dies_is_an_error():
    with ProcessPoolExecutor(1, get_context("spawn")) as executor, pytest.raises(RecurraError, match="could not run"):
        sweep(model(), taus(), 1.0, dt=0.1, record=RECORD, measure=fails, executor=executor, progress=False)
