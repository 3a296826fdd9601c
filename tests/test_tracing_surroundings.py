"""What lies beside the objects: every change of it is noticed, wherever it happens, and tracing leaves none of its own."""

from __future__ import annotations

import collections
import itertools
import os
import random
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

from recurra import Behavior, Network, NeuronGroup
from recurra.errors import NotCompiled

FILE: Path
STEPS = 12


class Slotted:
    __slots__ = ("gain",)

    def __init__(self):
        self.gain = 1.0


class Gains:
    gain = 1.0


def helper(x):
    helper.count += 1
    return x + helper.count


def with_memory(x, memory=[0]):  # noqa: B006
    memory[0] += 1
    return x + memory[0]


def closing():
    count = 0

    def step():
        nonlocal count
        count += 1
        return count

    return step


def fresh() -> dict:
    """Return all that bodies may change, as it is at the start."""
    helper.count = 0
    with_memory.__defaults__[0][0] = 0
    Gains.gain = 1.0
    return {
        "ITEMS": [0.0], "TABLE": {"a": 0.0}, "ARRAY": np.zeros(2), "COUNTER": collections.Counter(), "NAMES": set(),
        "QUEUE": collections.deque([1.0, 2.0, 3.0]), "SLOTTED": Slotted(), "SPACE": types.SimpleNamespace(level=0.0),
        "TICKS": itertools.count(1), "RNG": np.random.default_rng(2), "OLD": np.random.RandomState(2),
        "PYTHON": random.Random(2), "GLOBAL": 0, "STEP": closing(), "NESTED": [[[[[0.0]]]]],
    }  # fmt: skip


BODIES = {
    "a list": "ITEMS.append(n.iteration); n.v = n.v * 0 + len(ITEMS)",
    "an entry": "ITEMS[0] += 1; n.v = n.v * 0 + ITEMS[0]",
    "a dict": "TABLE['a'] += 1; n.v = n.v * 0 + TABLE['a']",
    "an array": "ARRAY[1] += 1; n.v = n.v * 0 + ARRAY[1]",
    "a counter": "COUNTER['x'] += 1; n.v = n.v * 0 + COUNTER['x']",
    "a set": "NAMES.add(n.iteration); n.v = n.v * 0 + len(NAMES)",
    "a queue": "QUEUE.rotate(); n.v = n.v * 0 + QUEUE[0]",
    "slots": "SLOTTED.gain += 1; n.v = n.v * 0 + SLOTTED.gain",
    "a namespace": "SPACE.level += 1; n.v = n.v * 0 + SPACE.level",
    "a class": "Gains.gain *= 2; n.v = n.v * 0 + Gains.gain",
    "a new attribute of a class": "Gains.more = getattr(Gains, 'more', 0) + 1; n.v = n.v * 0 + Gains.more",
    "an iterator": "n.v = n.v * 0 + next(TICKS)",
    "a generator": "n.v = RNG.random(2)",
    "an old generator": "n.v = OLD.rand(2)",
    "a generator of Python's": "n.v = n.v * 0 + PYTHON.random()",
    "an attribute of a function": "n.v = helper(n.v * 0)",
    "defaults": "n.v = with_memory(n.v * 0)",
    "a global": "global GLOBAL; GLOBAL += 1; n.v = n.v * 0 + GLOBAL",
    "a closure": "n.v = n.v * 0 + STEP()",
    "a nested list": "NESTED[0][0][0][0][0] += 1; n.v = n.v * 0 + NESTED[0][0][0][0][0]",
    "a late branch": "SPACE.level += float(n.iteration > 7); n.v = n.v * 0 + SPACE.level",
    "one step": "if n.iteration == 9: SLOTTED.gain = 3.0\n        n.v = n.v * 0 + SLOTTED.gain",
    "a branch on the state": "n.v += 1\n        if n.v[0] > 8: ITEMS[0] = 5.0\n        n.u = n.v + ITEMS[0]",
    "a file": "open(FILE, 'a').write('x'); n.v = n.v * 0 + n.iteration",
    "an array in a file": "np.save(FILE, np.ones(2)); n.v = n.v * 0 + n.iteration",
    "a folder": "os.makedirs(str(FILE) + str(time.time())); n.v = n.v * 0 + n.iteration",
    "a warning": "n.v += 1\n        if n.v[0] > 8: warnings.warn('loud', UserWarning)",
}  # fmt: skip


def run(body: str, folder: Path, compiled: bool) -> tuple[list, list, list]:
    """Run a body; return its rows, what lies beside the objects after it, and the files that it wrote."""
    space = {
        "Behavior": Behavior, "np": np, "os": os, "time": time, "warnings": warnings, "helper": helper, "Gains": Gains,
        "with_memory": with_memory, "FILE": folder / "file", "__name__": "bodies", **fresh(),
    }  # fmt: skip
    text = "class Body(Behavior):\n    def initialize(self, n): n.v = n.vector(); n.u = n.vector()\n"
    exec(compile(text + f"    def iteration(self, n):\n        {body}\n", "bodies.py", "exec"), space)  # noqa: S102
    net, rows = Network(), []
    cells = NeuronGroup(net, 2, behavior={1: space["Body"]()})
    net.initialize()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for steps in (STEPS - 3, 3):
            net.simulate_iterations(steps, compile=None if compiled else False)
            rows.append((cells.v.tolist(), cells.u.tolist()))
    held = [space[name] for name in ("ITEMS", "TABLE", "COUNTER", "NAMES", "QUEUE", "GLOBAL", "NESTED")]
    held += [space["ARRAY"].tolist(), space["SLOTTED"].gain, space["SPACE"].level, Gains.gain, vars(Gains).get("more")]
    held += [next(space["TICKS"]), space["RNG"].random(), space["OLD"].rand(), space["PYTHON"].random()]
    held += [space["STEP"](), helper.count, with_memory.__defaults__[0][0], np.random.rand()]  # noqa: NPY002
    files = [len(list(folder.iterdir())), *(p.stat().st_size for p in folder.iterdir() if p.is_file())]
    held += [sum(issubclass(w.category, UserWarning) and not issubclass(w.category, NotCompiled) for w in told)]
    if "more" in vars(Gains):
        del Gains.more
    return rows, held, files


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_changes_what_belongs_to_no_object_does_as_in_numpy(case, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    np.random.seed(4)  # noqa: NPY002
    expected = run(BODIES[case], tmp_path / "a", False)
    np.random.seed(4)  # noqa: NPY002
    assert run(BODIES[case], tmp_path / "b", True) == expected
