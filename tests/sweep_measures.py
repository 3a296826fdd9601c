"""Measures that other processes can import, and a sweep that is killed."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np


def last(result):
    """Return where a run ends."""
    return {"x": result["x"][-1, 0]}


def slowly(result):
    """Take some time for every point."""
    time.sleep(0.02)
    return last(result)


def dies_once(result):
    """Kill the process that measures first; a file remembers that it was done."""
    mark = os.environ["RECURRA_TEST_MARK"]
    if not os.path.exists(mark):
        with open(mark, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return last(result)


def model():
    """Return a decaying variable."""
    from recurra import CircuitTemplate, NodeTemplate, OperatorTemplate

    operator = OperatorTemplate("op", ["x' = -x/tau"], {"x": "output(1.0)", "tau": 1.0})
    return CircuitTemplate("decay", nodes={"p": NodeTemplate("p", operator)})


def taus():
    """Return the values that the killed sweep visits."""
    return {"p/op/tau": np.linspace(0.5, 3.0, 60)}


def run(store, measure=slowly, name=None):
    """Run the sweep that is killed."""
    from recurra import sweep

    return sweep(
        model(), taus(), 1.0, dt=0.1, record={"x": "p/op/x"}, measure=measure, measure_id=name, store=store, batch=4,
        progress=False,
    )  # fmt: skip


if __name__ == "__main__":
    run(sys.argv[1])
