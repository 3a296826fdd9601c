"""Runs over several devices, and over several processes, give what one device gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import sharded_run
from recurra import simulate
from recurra.errors import CapabilityError, OptionError

SCRIPT = str(Path(__file__).parent / "sharded_run.py")


def start(*words: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, SCRIPT, *words], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_devices_of_one_process():
    out, err = start().communicate(timeout=300)
    assert out.endswith("equal\n"), err


def test_two_processes():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = [start(port, "0"), start(port, "1")]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert out.endswith("equal\n"), err


def test_a_list_of_one_device_is_that_device():
    assert np.array_equal(sharded_run.numbers(jax.devices()[:1])["n/op/x"], sharded_run.numbers(None)["n/op/x"])


@pytest.mark.parametrize(
    ("device", "options", "kind", "says"),
    [
        ("gpu:7", {}, OptionError, "unknown device 'gpu:7'"),
        (["cpu", "cpu"], {}, OptionError, "a list of different devices"),
        ([None], {}, OptionError, "a list of different devices"),
        (["tpu"], {}, OptionError, "unknown device 'tpu'"),
        ([], {}, OptionError, "a list of different devices"),
        (jax.devices(), {"solver": "scipy"}, CapabilityError, "uses one device"),
    ],
)
def test_bad_devices_are_refused(device, options, kind, says):
    net = sharded_run.build()
    program = net.program
    if options:
        from recurra import CircuitTemplate

        program = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp").program
    with pytest.raises(kind, match=says):
        simulate(program, 1.0, dt=0.1, device=device, **options)
