"""Groups of neurons whose behaviors are Python: the same source in Recurra and in PymoNNto."""

from __future__ import annotations

PEER_ENVIRONMENT = ("groups", ["pymonnto==3.0.6", "setuptools"])
TITLE = "Behaviors in Python: document 4's network, plasticity, Hodgkin-Huxley"
TEXT = (
    "The classes of `group_models.py` are the same on both sides; only the import differs. Everything is recorded that "
    "the models ask for, and both sides compute in float32. Networks are built, compiled and run for some steps before "
    "anything is timed."
)
OURS, PYMONNTO = "Recurra", "PymoNNto 3.0.6"
CASES = {
    "document 4, N=100, 20,000 steps": ("document_4", 100, 20_000),
    "document 4, N=1,000, 2,000 steps": ("document_4", 1_000, 2_000),
    "document 4, N=5,000, 1,000 steps": ("document_4", 5_000, 1_000),
    "plastic, N=100, 2,000 steps": ("plastic", 100, 2_000),
    "plastic, N=1,000, 200 steps": ("plastic", 1_000, 200),
    "Hodgkin-Huxley, 20 compartments, 50,000 steps": ("hodgkin_huxley", 20, 50_000),
}
GROUPS = [[f"{OURS}: {case}", f"{PYMONNTO}: {case}"] for case in CASES]


def runs(library, name, **single):
    """Make the tasks of a library with document 4's names: each goes on with a network that is warm.

    `single` is what its `Network` is told for float32.
    """
    import contextlib
    import io

    import group_models

    networks = {}

    def run(case, make, size, steps):
        if case not in networks:
            networks[case] = getattr(group_models, make)(library, size, **single)
            networks[case].initialize(info=False)
            networks[case].simulate_iterations(20)
        with contextlib.redirect_stdout(io.StringIO()):
            networks[case].simulate_iterations(steps)

    def task(case, *what):
        return lambda: run(case, *what)

    return {f"{name}: {case}": task(case, *what) for case, what in CASES.items()}


def ours():
    """Make the tasks of our side."""
    import recurra

    return runs(recurra, OURS, precision="float32")


def peer():
    """Make the tasks of the other side."""
    import os

    import numpy as np

    os.makedirs("Data", exist_ok=True)  # PymoNNto looks for such a folder
    import PymoNNto

    return runs(PymoNNto, PYMONNTO, settings={"dtype": np.float32})


def agree(values):
    """Say what was compared: numbers of spikes are random here; the tests hold compiled steps against NumPy."""
    return ["the tests compare compiled steps with NumPy element by element; these runs draw their own noise"]
