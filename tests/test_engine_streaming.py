"""Runs that write into a store: equal to runs in memory, resumed after a kill, refused where they do not belong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import streamed_run
from recurra import CircuitTemplate, NodeTemplate, OperatorTemplate, simulate
from recurra.engine import streaming
from recurra.errors import CapabilityError, DivergenceError, StoreError

zarr = pytest.importorskip("zarr")
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 300_000)
    monkeypatch.setattr(streaming, "CHECKPOINT_SECONDS", 0.0)


def decay(equation: str = "x' = -x + xi") -> CircuitTemplate:
    operator = OperatorTemplate("op", [equation], {"x": "output(1.0)"})
    return CircuitTemplate("c", nodes={"p": NodeTemplate("p", operator)})


def test_a_stored_run_equals_one_in_memory_bit_for_bit(tmp_path):
    program = streamed_run.build().program
    stored = simulate(program, 700.0, dt=0.1, seed=3, store=tmp_path / "run.zarr")
    memory = simulate(program, 700.0, dt=0.1, seed=3)
    assert stored["n/op/x"].shape == (7000, 20)
    assert np.array_equal(stored["n/op/x"], memory["n/op/x"])
    assert np.array_equal(stored.time, memory.time) and stored.labels == memory.labels
    assert all(np.array_equal(stored.final.state[k], v) for k, v in memory.final.state.items())
    assert np.array_equal(stored.data["n/op/x"][1990:2010], memory["n/op/x"][1990:2010])
    assert np.array_equal(stored.data["n/op/x"][::-7], memory["n/op/x"][::-7])
    assert stored.to_dataframe().equals(memory.to_dataframe())
    assert stored.to_xarray().equals(memory.to_xarray())
    kept = zarr.open_group(tmp_path / "run.zarr", mode="r")["n|op|x"]
    assert kept.attrs["units"] == memory.labels["n/op/x"] and np.array_equal(kept[:7000], memory["n/op/x"])


def test_the_same_call_again_computes_nothing_and_gives_the_same(tmp_path, monkeypatch):
    first = simulate(decay().program, 50.0, dt=0.1, store=tmp_path / "run.zarr")["p/op/x"]
    import recurra.engine.run as run

    monkeypatch.setattr(run, "run_chunk", lambda *a: pytest.fail("it ran again"))
    assert np.array_equal(simulate(decay().program, 50.0, dt=0.1, store=tmp_path / "run.zarr")["p/op/x"], first)


def test_batches_and_rows_every_few_steps(tmp_path):
    options = {"batch": {"p/op/x": [1.0, 2.0, 3.0]}, "every": 5, "seed": 1}
    stored = simulate(decay().program, 5000.0, dt=0.1, store=tmp_path / "run.zarr", **options)
    memory = simulate(decay().program, 5000.0, dt=0.1, **options)
    assert stored["p/op/x"].shape == (3, 10000, 1) and np.array_equal(stored["p/op/x"], memory["p/op/x"])


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    import recurra.engine.run as run

    whole = simulate(decay().program, 6000.0, dt=0.1, record={"x": "p/op/x"})["x"]
    true, calls = run.run_chunk, []

    def stops(*arguments):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return true(*arguments)

    monkeypatch.setattr(run, "run_chunk", stops)
    with pytest.warns(RuntimeWarning, match="interrupted after"):
        part = simulate(decay().program, 6000.0, dt=0.1, record={"x": "p/op/x"}, store=tmp_path / "r.zarr")
    assert 0 < len(part["x"]) < 60000 and np.array_equal(part["x"], whole[: len(part["x"])])
    monkeypatch.setattr(run, "run_chunk", true)
    again = simulate(decay().program, 6000.0, dt=0.1, record={"x": "p/op/x"}, store=tmp_path / "r.zarr")
    assert np.array_equal(again["x"], whole)


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    store, clock = tmp_path / "run.zarr", random.Random(4)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    checkpoint, seen = tmp_path / "run.zarr.checkpoint.npz", set()
    for _ in range(4):
        process = subprocess.Popen([sys.executable, str(HERE / "streamed_run.py"), str(store)], env=environment)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        begun = time.monotonic()
        while process.poll() is None and time.monotonic() - begun < 60:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                break
            time.sleep(0.002)
        time.sleep(clock.uniform(0.0, 0.06))
        process.kill()
        process.wait()
        with np.load(checkpoint) as kept:
            seen.add(str(kept["meta"]))
    assert len(seen) >= 2  # it did go on from several places
    whole = simulate(streamed_run.build().program, 4000.0, dt=0.1, seed=3)
    found = streamed_run.run(store)
    assert np.array_equal(found["n/op/x"], whole["n/op/x"])
    assert all(np.array_equal(found.final.state[k], v) for k, v in whole.final.state.items())


def test_memory_does_not_grow_with_the_run(tmp_path):
    rows = streaming.StoredRows(_recording(50), 100_000, tmp_path / "run.zarr", {}, {})
    held = []
    for _ in range(100):
        rows.put([np.zeros((1000, 50))], 1000)
        held.append(sum(block.nbytes for block in rows._block.values()))
    assert max(held) <= 300_000 and rows.done == 100_000


def _recording(units: int):
    from recurra.engine.recording import make_recording

    operator = OperatorTemplate("op", ["x' = -x"], {"x": "output(1.0)"})
    from recurra import Network

    net = Network()
    net.add_diffeq_node("n", NodeTemplate("n", operator), N=units)
    return make_recording(net.program, None)


def test_divergence_keeps_what_was_before(tmp_path):
    growing = decay("x' = x^2").program
    with pytest.raises(DivergenceError) as found:
        simulate(growing, 50.0, dt=0.1, store=tmp_path / "run.zarr")
    with pytest.raises(DivergenceError) as memory:
        simulate(growing, 50.0, dt=0.1)
    assert np.array_equal(found.value.result["p/op/x"], memory.value.result["p/op/x"])


def test_stores_of_other_runs_are_refused(tmp_path):
    store = tmp_path / "run.zarr"
    simulate(decay().program, 5.0, dt=0.1, store=store)
    for other in (
        lambda: simulate(decay().program, 6.0, dt=0.1, store=store),
        lambda: simulate(decay().program, 5.0, dt=0.1, seed=1, store=store),
        lambda: simulate(decay().program.update({"p/op/x": 2.0}), 5.0, dt=0.1, store=store),
        lambda: simulate(decay("x' = -2*x + xi").program, 5.0, dt=0.1, store=store),
        lambda: simulate(decay().program, 5.0, dt=0.1, every=2, store=store),
    ):
        with pytest.raises(StoreError, match="something else"):
            other()
    with pytest.raises(StoreError, match="there is no folder"):
        simulate(decay().program, 5.0, dt=0.1, store=tmp_path / "no" / "run.zarr")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("keep")
    with pytest.raises(StoreError, match="not the store of a run"):
        simulate(decay().program, 5.0, dt=0.1, store=tmp_path / "mine")
    assert (tmp_path / "mine" / "text").read_text() == "keep"


def test_damaged_checkpoints_are_named(tmp_path):
    store = tmp_path / "run.zarr"
    simulate(decay().program, 5.0, dt=0.1, store=store)
    checkpoint = tmp_path / "run.zarr.checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-40])
    with pytest.raises(StoreError, match="checkpoint"):
        simulate(decay().program, 5.0, dt=0.1, store=store)


def test_what_cannot_be_streamed_says_so(tmp_path):
    smooth = decay("x' = -x").program
    with pytest.raises(CapabilityError, match="chooses its own steps"):
        simulate(smooth, 5.0, dt=0.1, solver="scipy", store=tmp_path / "a.zarr")
    with pytest.raises(CapabilityError, match="cutoff"):
        simulate(smooth, 5.0, dt=0.1, cutoff=1.0, store=tmp_path / "b.zarr")
