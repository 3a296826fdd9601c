"""Checkpoints: a training that was stopped or killed goes on bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recurra.errors import StoreError
from training_nets import DRIVE, GOAL, fit, rate_net


def same(a, b):
    assert all(np.array_equal(a.params[path], b.params[path]) for path in b.params)
    assert a.history.losses == b.history.losses
    for name in ("loss", "penalty", "validation_loss", "gradient_norm", "lr", "updates"):
        assert np.array_equal(a.history[name], b.history[name], equal_nan=True), name
    assert (a.updates, a.best_epoch, a.stopped) == (b.updates, b.best_epoch, b.stopped)


def test_a_resumed_training_equals_an_undisturbed_one(tmp_path):
    options = {"batch_size": 3, "truncate": 5, "validation": (DRIVE, -GOAL)}
    whole = fit(epochs=9, **options)
    path = tmp_path / "training.npz"
    fit(epochs=4, checkpoint=path, **options)
    same(fit(epochs=9, checkpoint=path, resume=True, **options), whole)
    same(fit(epochs=9, checkpoint=path, resume=True, **options), whole)  # nothing is left to do
    fresh = tmp_path / "none.npz"
    same(fit(epochs=9, checkpoint=fresh, resume=True, checkpoint_every=4, **options), whole)
    assert fresh.exists() and not list(tmp_path.glob(".*"))


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "training.npz"
    fit(checkpoint=path)
    changes = [
        ({"lr": 0.1}, "lr was 0.05, now it is 0.1"), ({"goal": GOAL + 1}, "differs: targets"),
        ({"optimizer": "sgd"}, "optimizer was adam"), ({"program": rate_net(3, seed=1)}, "params: w/weight"),
    ]  # fmt: skip
    for change, text in changes:
        with pytest.raises(StoreError, match=text):
            fit(checkpoint=path, resume=True, **change)
    path.write_bytes(b"not an archive")
    with pytest.raises(StoreError, match="not an archive"):
        fit(checkpoint=path, resume=True)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from training_nets import fit
found = fit(epochs=4000, batch_size=4, checkpoint=sys.argv[1], checkpoint_every=3)
"""


def test_a_killed_process_is_resumed_bit_for_bit(tmp_path):
    path = tmp_path / "training.npz"
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    environment = os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], env=environment)
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was not killed in the middle"
    with np.load(path) as archive:
        done = len(archive["column:epoch"])
    assert 0 < done < 4000
    same(fit(epochs=done + 5, batch_size=4, checkpoint=path, resume=True), fit(epochs=done + 5, batch_size=4))
