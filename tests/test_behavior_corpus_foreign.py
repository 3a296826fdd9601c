"""Networks as other people write them: nearly all compile whole, and all do what NumPy does, element by element."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from corpus import LOOSE, holdings, run_in_numpy, same
from more_foreign_networks import NETWORKS
from recurra.errors import NotCompiled

STEPS = 24
# What cannot be compiled keeps to itself: a text that grows is a source of letters, a log is written after a block.
IN_PYTHON = {"sorn_with_generator": ["cells/TextGenerator: hoisted"], "logged": ["cells/Logged: fed"]}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_others_do_what_numpy_does(name, capsys):
    fast, slow = NETWORKS[name](), NETWORKS[name]()
    for net in (fast, slow):
        net.initialize()
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotCompiled)
        fast.simulate_iterations(STEPS - 6)
        fast.simulate_iterations(6)
    printed = capsys.readouterr().out
    run_in_numpy(slow, STEPS)
    assert printed == capsys.readouterr().out
    got, expected = holdings(fast), holdings(slow)
    assert list(got) == list(expected)
    for path in got:
        same(got[path], expected[path], path, LOOSE)
    lines = [line for line in fast.explain().splitlines()[1:] if line.startswith("  ") and "no iteration" not in line]
    apart = [line for line in lines if ": compiled (" not in line and ": compiled" not in line]
    assert [line.split(" ", 3)[3].split(" (")[0] for line in apart] == IN_PYTHON.get(name, [])
    assert np.all([np.isfinite(v).all() for v in got.values() if isinstance(v, np.ndarray) and v.dtype.kind == "f"])


def test_at_least_fifteen_of_seventeen_compile_whole():
    assert len(NETWORKS) >= 17
    assert 1 - len(IN_PYTHON) / len(NETWORKS) >= 15 / 17
