"""10,000 cells joined all to all with plasticity: 100 million weights in 400 MB."""

from __future__ import annotations

PEER_ENVIRONMENT = ("groups", ["pymonnto==3.0.6", "setuptools"])
TITLE = "10,000 cells, all-to-all STDP, 300 steps"
TEXT = (
    "`all_to_all` of `group_models.py`, the same source on both sides, all spikes stored. Each run begins with the "
    "first weights; setting them back, building and compiling are not counted. Vieth et al. (2024) publish 0.53 s for "
    "PymoNNto, 0.51 s and on a GPU 0.28 s for its PyTorch twin, 10.9 s for NEST and 12.5 s for Brian2's C++ program, "
    "on another machine. About half of our time is a copy of the weights into the memory of the compiled loop."
)
OURS, PYMONNTO = "Recurra", "PymoNNto 3.0.6"
GROUPS = [[OURS, PYMONNTO]]
SIZE, STEPS = 10_000, 300


def task(library):
    """Make a task that sets the network back and times its steps alone."""
    import contextlib
    import io
    import time

    import group_models

    kept = []

    def run():
        if not kept:
            net = group_models.all_to_all(library, SIZE)
            net.initialize(info=False)
            cells, synapses = net.NeuronGroups[0], net.SynapseGroups[0]
            first = synapses.W.copy()
            with contextlib.redirect_stdout(io.StringIO()):
                net.simulate_iterations(20)
            kept.extend((net, cells, synapses, first))
        net, cells, synapses, first = kept
        synapses.W[...] = first
        cells.voltage[...], cells.spike[...], cells.spike_old[...] = 0.0, False, False
        begun = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            net.simulate_iterations(STEPS)
        return time.perf_counter() - begun, None

    return run


def ours():
    """Make the task of our side."""
    import recurra

    return {OURS: task(recurra)}


def peer():
    """Make the task of the other side."""
    import os

    os.makedirs("Data", exist_ok=True)  # PymoNNto looks for such a folder
    import PymoNNto

    return {PYMONNTO: task(PymoNNto)}


def agree(values):
    """Say what was compared."""
    return ["the tests compare such a network of 260 cells with NumPy number by number; here each side draws its noise"]
