"""Stores that can be trusted: damage, lost halves and second writers are told, and never give a wrong number."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from recurra import CircuitTemplate, NodeTemplate, OperatorTemplate, simulate, sweep
from recurra.engine import streaming
from recurra.engine.locks import Lock
from recurra.engine.store import write_atomically
from recurra.errors import RecurraError, StoreError
from training_nets import fit

pytest.importorskip("zarr")
HERE = Path(__file__).parent


def noisy():
    operator = OperatorTemplate("op", ["x' = -k*x + xi"], {"x": "output(1.0)", "k": 1.0})
    return CircuitTemplate("c", nodes={"p": NodeTemplate("p", operator)}).program


def go(store=None, **options):
    """Run 1000 rows, in 5 blocks of 200 rows and one of less."""
    return simulate(noisy(), 110.0, dt=0.1, seed=3, record={"x": "p/op/x"}, store=store, progress=False, **options)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 1600)


@pytest.fixture(scope="module")
def whole():
    return go()["x"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    before, streaming.BLOCK_BYTES = streaming.BLOCK_BYTES, 1600
    folder = tmp_path_factory.mktemp("finished")
    go(folder / "run.zarr")
    sweeping(folder / "sweep.zarr")
    streaming.BLOCK_BYTES = before
    return folder


@pytest.fixture
def stores(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def chunks(store: Path) -> list[Path]:
    return sorted((p for p in store.rglob("*") if p.is_file() and p.suffix != ".json"), key=str)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0x40
    path.write_bytes(content)


DAMAGES = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-8]),
    "one bit": lambda path: flip(path, 77),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"12345678"),
}


def test_blocks_end_where_the_run_ends(stores, whole):
    import zarr

    kept = zarr.open_group(stores / "run.zarr", mode="r")["x"]
    assert kept.shape == (1100, 1) and np.array_equal(kept[:], whole) and len(chunks(stores / "run.zarr")) == 6
    assert not list(stores.glob("*.lock"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_block_of_a_run_is_an_error_when_it_is_read(stores, whole, damage):
    for chunk in (chunks(stores / "run.zarr")[1], chunks(stores / "run.zarr")[-1]):
        kept = chunk.read_bytes()
        DAMAGES[damage](chunk)
        with pytest.raises(StoreError, match=r"rows \d+ to \d+ of 'x' are lost or damaged.*run it again.*delete"):
            go(stores / "run.zarr")["x"]
        chunk.write_bytes(kept)
    found = go(stores / "run.zarr")
    DAMAGES[damage](chunks(stores / "run.zarr")[2])  # rows 400 to 599
    assert np.array_equal(found.data["x"][:400], whole[:400]) and np.array_equal(found.data["x"][601:], whole[601:])
    for rows in (slice(399, 401), slice(None), slice(None, None, -1)):
        with pytest.raises(StoreError, match="lost or damaged"):
            found.data["x"][rows]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["run.zarr/zarr.json", "run.zarr/x/zarr.json", "run.zarr.checkpoint.npz"])
def test_a_damaged_description_of_a_run_is_an_error_with_the_cure(stores, whole, file, damage):
    DAMAGES[damage](stores / file)
    try:
        assert np.array_equal(go(stores / "run.zarr")["x"], whole)  # the damage was where nothing depends on it
    except StoreError as error:
        assert "elete" in str(error) and "run.zarr" in str(error)


def test_every_flipped_bit_of_a_checkpoint_is_harmless_or_an_error(stores, whole):
    checkpoint = stores / "run.zarr.checkpoint.npz"
    kept = checkpoint.read_bytes()
    refused = 0
    for place in range(0, len(kept), max(1, len(kept) // 60)):
        flip(checkpoint, place)
        try:
            found = go(stores / "run.zarr")
            assert np.array_equal(found["x"], whole) and found.final.step == 1100
        except StoreError:
            refused += 1
        checkpoint.write_bytes(kept)
    assert refused > 30


def test_a_checkpoint_with_other_members_is_an_error_with_the_cure(stores):
    path = stores / "run.zarr.checkpoint.npz"
    good = dict(np.load(path))
    state, block = (next(name for name in good if name.startswith(kind)) for kind in ("state:", "block:"))
    changes = [{"more:x": np.zeros(1)}, {"state:x": np.zeros(1)}, {"block:y": np.zeros((3, 1))}]
    changes += [{state: np.zeros(3)}, {state: np.array(["x"])}, {state: None}, {block: np.zeros(3)}, {block: None}]
    for change in changes:
        np.savez(path, **{k: v for k, v in (good | change).items() if v is not None})
        with pytest.raises(StoreError, match=r"delete .*run\.zarr"):
            go(stores / "run.zarr")


@pytest.mark.parametrize("call", [go, lambda store: sweeping(store)])
def test_a_path_that_no_store_can_have_is_an_error(tmp_path, call):
    places = dict.fromkeys((5, True, b"a"), "expected the path")
    places |= dict.fromkeys((".", "", "/", "a\0b", str(tmp_path / ("a" * 250))), "another")
    places[tmp_path / "no" / "a"] = "make it"
    for place, told in places.items():
        with pytest.raises(RecurraError, match=f"^store: .*{told}"):
            call(place)


def test_a_store_behind_a_link_is_one_store(tmp_path, whole):
    (tmp_path / "real.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    for name in ("link.zarr", "real.zarr"):
        assert np.array_equal(go(tmp_path / name)["x"], whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.zarr", "real.zarr", "real.zarr.checkpoint.npz"]


def test_a_missing_half_is_an_error_with_the_cure(stores, whole):
    shutil.move(stores / "run.zarr", stores / "moved")
    with pytest.raises(StoreError, match="but not the store: put it back, or delete the checkpoint"):
        go(stores / "run.zarr")
    shutil.move(stores / "moved", stores / "run.zarr")
    checkpoint = stores / "run.zarr.checkpoint.npz"
    kept = checkpoint.read_bytes()
    checkpoint.unlink()
    with pytest.raises(
        StoreError, match=r"its checkpoint run.zarr.checkpoint.npz is missing.*put it back beside it, or delete"
    ):
        go(stores / "run.zarr")
    checkpoint.write_bytes(kept)
    assert np.array_equal(go(stores / "run.zarr")["x"], whole)
    shutil.rmtree(stores / "run.zarr")
    checkpoint.unlink()
    assert np.array_equal(go(stores / "run.zarr")["x"], whole)


def test_a_folder_of_somebody_else_is_left_alone_beside_a_new_checkpoint(tmp_path):
    go(tmp_path / "run.zarr")
    shutil.rmtree(tmp_path / "run.zarr")
    (tmp_path / "run.zarr").mkdir()
    (tmp_path / "run.zarr" / "text").write_text("keep")
    with pytest.raises(StoreError):
        go(tmp_path / "run.zarr")
    assert (tmp_path / "run.zarr" / "text").read_text() == "keep"


def last(result):
    return {"x": result["x"][-1, 0], "rows": result["x"][:3, 0]}


def sweeping(store=None, measure=last):
    values = {"p/op/k": np.linspace(0.5, 2.0, 10)}
    return sweep(
        noisy(), values, 2.0, dt=0.1, record={"x": "p/op/x"}, measure=measure, store=store, batch=4, progress=False
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_batch_of_a_sweep_is_run_again(stores, damage):
    whole = sweeping()
    for name in ("x", "rows", "status", "checksum"):
        for chunk in chunks(stores / "sweep.zarr" / name)[::2]:
            DAMAGES[damage](chunk)
            found = sweeping(stores / "sweep.zarr")
            assert np.array_equal(found["x"], whole["x"]) and np.array_equal(found["rows"], whole["rows"])
            assert not found["failed"].any()
            found = sweeping(stores / "sweep.zarr", measure=last)  # and it is mended now
            assert np.array_equal(found["x"], whole["x"])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["zarr.json", "x/zarr.json", "status/zarr.json", "checksum/zarr.json"])
def test_a_damaged_description_of_a_sweep_is_mended_or_an_error_with_the_cure(stores, file, damage):
    whole = sweeping()
    DAMAGES[damage](stores / "sweep.zarr" / file)
    try:
        found = sweeping(stores / "sweep.zarr")
        assert np.array_equal(found["x"], whole["x"]) and np.array_equal(found["rows"], whole["rows"])
    except StoreError as error:
        assert "elete" in str(error)


def test_points_that_fail_keep_their_errors(tmp_path):
    ends = sweeping(None, lambda result: result["x"][-1, 0])["measure"].values.tolist()

    def odd(result):
        if result["x"][-1, 0] in ends[::2]:
            raise ValueError("above")
        return result["x"][-1, 0]

    whole = sweeping(None, odd)
    assert whole["failed"].values.tolist() == [True, False] * 5
    for _ in range(2):
        found = sweeping(tmp_path / "sweep.zarr", odd)
        assert found["error"].values.tolist() == whole["error"].values.tolist()
        assert np.array_equal(found["measure"], whole["measure"], equal_nan=True)


def test_the_second_of_two_writers_is_told(tmp_path, whole):
    held = Lock(tmp_path / "run.zarr")
    for call in (go, sweeping):
        with pytest.raises(StoreError, match=rf"another call writes there at this moment \(process {os.getpid()} on "):
            call(tmp_path / "run.zarr")
    held.close()
    assert np.array_equal(go(tmp_path / "run.zarr")["x"], whole)
    held = Lock(tmp_path / "run.zarr")
    assert np.array_equal(go(tmp_path / "run.zarr")["x"], whole)  # what is complete may be read by many
    held.close()
    sweeping(tmp_path / "sweep.zarr")
    held = Lock(tmp_path / "sweep.zarr")
    assert not sweeping(tmp_path / "sweep.zarr")["failed"].any()
    held.close()


def test_two_threads_do_not_share_a_store(tmp_path, whole):
    outcomes = []

    def call():
        try:
            outcomes.append(np.array_equal(go(tmp_path / "run.zarr")["x"], whole))
        except StoreError as error:
            outcomes.append("another call writes" in str(error) or "missing" in str(error))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 4 and np.array_equal(go(tmp_path / "run.zarr")["x"], whole)


HOLDER = """
import sys, time
from recurra.engine.locks import Lock
from recurra.engine.store import write_atomically
from pathlib import Path
def slow(file):
    file.write(b"half")
    print("ready", flush=True)
    time.sleep(60)
lock = Lock(Path(sys.argv[1]))
write_atomically(sys.argv[2], slow)
"""


def test_the_lock_and_the_temporary_file_of_a_killed_process_are_taken_over(tmp_path, whole):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run.zarr"), str(tmp_path / "a.npz")], stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    with pytest.raises(StoreError, match=f"process {process.pid} on"):
        go(tmp_path / "run.zarr")
    write_atomically(tmp_path / "a.npz", lambda file: file.write(b"whole"))
    assert len(list(tmp_path.glob(".a.npz.*"))) == 1  # of somebody who is alive
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / ".a.npz.original").write_text("mine")  # a file of the user's, whose name is only like that
    write_atomically(tmp_path / "a.npz", lambda file: file.write(b"whole"))
    assert [p.name for p in tmp_path.glob(".a.npz.*")] == [".a.npz.original"]
    assert np.array_equal(go(tmp_path / "run.zarr")["x"], whole) and not list(tmp_path.glob("*.lock"))


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_hold_the_lock(tmp_path):
    held = Lock(tmp_path / "run.zarr")
    child = os.fork()
    if not child:
        time.sleep(5)
        os._exit(0)
    held.close()
    Lock(tmp_path / "run.zarr").close()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    from recurra.engine import locks

    monkeypatch.setattr(locks, "try_lock", lambda handle: None)
    held = Lock(tmp_path / "run.zarr")
    with pytest.raises(
        StoreError, match=r"another call writes there.*If that process is no more, delete .*run.zarr.lock"
    ):
        Lock(tmp_path / "run.zarr")
    held.close()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    text = tmp_path / "run.zarr.lock"
    text.write_text(f'{{"process": {dead.pid}, "machine": "{__import__("platform").node()}"}}')
    Lock(tmp_path / "run.zarr").close()


def full_after(monkeypatch, count: int) -> None:
    """Let the disk be full after some writes of Zarr."""
    import zarr.storage._local as local

    true, left = local._put, [count]

    def put(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return true(*arguments, **options)

    monkeypatch.setattr(local, "_put", put)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("call", [go, sweeping])
def test_a_full_disk_is_an_error_and_nothing_is_lost(tmp_path, call, count):
    with pytest.MonkeyPatch.context() as patch:
        full_after(patch, count)
        with pytest.raises(StoreError, match=r"cannot write there .No space left on device"):
            call(tmp_path / "it.zarr")
    found, right = call(tmp_path / "it.zarr"), call()
    assert np.array_equal(found["x"], right["x"])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_of_a_training_is_an_error_with_the_cure(tmp_path, damage):
    path = tmp_path / "fit.npz"
    whole = fit(epochs=2, checkpoint=path, progress=False)
    DAMAGES[damage](path)
    try:
        found = fit(epochs=2, checkpoint=path, resume=True, progress=False)
        assert np.array_equal(found.params["w/weight"], whole.params["w/weight"])
    except StoreError as error:
        assert "Delete it" in str(error)
