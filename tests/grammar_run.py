"""Run the behaviors of `behavior_grammar.py` both ways; as a script, for many seeds: `python tests/grammar_run.py 0 1000`."""

from __future__ import annotations

import collections
import linecache
import random
import sys
import time
import traceback
import types
import warnings
from typing import Any

import numpy as np

from behavior_grammar import Writer
from corpus import holdings, run_in_numpy, same
from recurra import EventRecorder, Network, NeuronGroup, Recorder, SynapseGroup
from recurra.errors import NotCompiled

TOLERANCE = {2: 1e-2, 4: 1e-4, 8: 1e-7}
RUNS = (6, 4)


def module_of(text: str, seed: int) -> types.ModuleType:
    """Make a module of a text."""
    name = f"/nowhere/grammar_{seed}.py"
    module = types.ModuleType(f"grammar_{seed}")
    module.__file__ = name
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    sys.modules[module.__name__] = module
    exec(compile(text, name, "exec"), vars(module))  # noqa: S102
    return module


def network_of(module: types.ModuleType, writer: Writer) -> Any:
    """Make a network of a module's behaviors."""
    net = Network(dtype=np.float64, seed=3)
    bodies = [getattr(module, f"B{i}")() for i in range(writer.bodies)]
    watchers = {90: Recorder(["v", "z"], tag="rec"), 91: EventRecorder("b", tag="events")}
    group = NeuronGroup(net=net, size=4, tag="g", behavior={0: module.State(), **dict(enumerate(bodies, 1)), **watchers})
    if writer.synapses:
        synapses = SynapseGroup(net=net, src=group, dst=group, tag="S")
        synapses.W = np.array([[0.1, -0.3, 0.2, 0.5], [0.4, 0.0, -0.6, 0.3], [0.7, 0.2, -0.1, -0.4], [0.3, 0.9, 0.0, 0.6]])
    net.initialize(info=False)
    return net, group


def outside(module: types.ModuleType) -> dict[str, Any]:
    """Return the numbers of a module that belong to no object of the model."""
    m: Any = module
    found = {name: getattr(m, name) for name in ("G", "LEARN", "COUNT", "MODE", "TABLE", "LIST", "ARRAY")}
    found |= {"DEQUE": list(m.DEQUE), "COUNTER": dict(m.COUNTER), "NAMES": set(m.NAMES), "Space.gain": m.Space.gain}
    found |= {"SPACE.level": m.SPACE.level, "SLOTTED": [m.SLOTTED.gain, m.SLOTTED.items], "factor": m.scaled.factor}
    found |= {"shift": m.shift.__defaults__[0], "TICKS": next(m.TICKS), "RNG": m.RNG.random(), "read": m.read(1.0)}
    found |= {"rates": [getattr(m, name).rate for name in sorted(vars(m)) if name[0] == "B" and name[1:].isdigit()]}
    return found


def outcome(writer: Writer, text: str, changes: list[str], compiled: bool) -> tuple[Any, dict, list[str]]:
    """Run a network; return the error it ended with, what it holds then, and what was told."""
    module = module_of(text, writer.seed)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    told: list[str] = []
    try:
        net, group = network_of(module, writer)
        for i, steps in enumerate(RUNS):
            if i:
                for change in changes:
                    exec(change, {"M": module, "g": group})  # noqa: S102
            with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
                warnings.simplefilter("always", NotCompiled)
                if compiled:
                    net.simulate_iterations(steps, progress=False)
                else:
                    run_in_numpy(net, steps)
            told += [str(w.message) for w in caught if w.category is NotCompiled]
    except Exception as error:
        return error, {}, told
    return None, {**holdings(net), **outside(module)}, told


def difference(writer: Writer) -> tuple[str, list[str], str]:
    """Run both ways; return what differs, what was told, and the text."""
    text, changes = writer.write(), writer.changes()
    slow_error, slow, _ = outcome(writer, text, changes, False)
    fast_error, fast, told = outcome(writer, text, changes, True)
    shown = text + "".join(f"# {change}\n" for change in changes)
    if slow_error is not None or fast_error is not None:
        if type(slow_error) is not type(fast_error):
            error = fast_error or slow_error
            lines = traceback.format_exception(error)[-6:]
            return f"NumPy: {slow_error!r}; compiled: {fast_error!r}\n{''.join(lines)}", told, shown
        return "", told + ["an error, both ways"], shown
    for path, value in slow.items():
        if "_behavior" in path:
            continue
        try:
            same(fast.get(path), value, path, TOLERANCE)
        except AssertionError as problem:
            return str(problem), told, shown
    return "", told, shown


def main(start: int, end: int) -> None:
    """Try seeds, and count."""
    counts: collections.Counter[str] = collections.Counter()
    begun = time.time()
    for seed in range(start, end):
        writer = Writer(seed)
        wrong, told, text = difference(writer)
        counts["bodies"] += writer.bodies
        counts["networks"] += 1
        kind = "error" if told[-1:] == ["an error, both ways"] else "apart" if any("runs in Python" in t for t in told) else "numpy" if told else "compiled"
        counts[kind] += 1
        if wrong:
            counts["differ"] += 1
            body = text[text.index("def count()") :]
            print(f"=== seed {seed}: {wrong}\n  told: {told}\n{body}", flush=True)
        if (seed - start) % 100 == 99:
            print(f"--- {seed}: {dict(counts)}, {time.time() - begun:.0f} s", flush=True)
    print(f"--- done: {dict(counts)}, {time.time() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
