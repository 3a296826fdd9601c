"""Groups of neurons whose behaviors are Python: the same source in Recurra and in PymoNNto; CUBA beside Brian2."""

from __future__ import annotations

PEER_ENVIRONMENT = ("groups", ["pymonnto==3.0.6", "brian2==2.9.0", "cython", "setuptools", "numpy<2", "pandas<3"])
TITLE = "Behaviors in Python: document 4's network, plasticity, Hodgkin-Huxley, CUBA"
TEXT = (
    "The classes of `group_models.py` are the same on both sides; only the import differs. Everything is recorded that "
    "the models ask for. Networks are built, compiled and run for some steps before anything is timed. CUBA is the "
    "current-based benchmark of Brette et al. (2007): 4,000 neurons, 2% connected, one second in steps of 0.1 ms, all "
    "spikes stored; Brian2 runs its own implementation of the same equations, compilation excluded."
)
OURS, PYMONNTO = "Recurra", "PymoNNto 3.0.6"
CASES = {
    "document 4, N=100, 20,000 steps": ("document_4", 100, 20_000),
    "document 4, N=1,000, 2,000 steps": ("document_4", 1_000, 2_000),
    "document 4, N=5,000, 200 steps": ("document_4", 5_000, 200),
    "plastic, N=100, 2,000 steps": ("plastic", 100, 2_000),
    "plastic, N=1,000, 50 steps": ("plastic", 1_000, 50),
    "Hodgkin-Huxley, 20 compartments, 10,000 steps": ("hodgkin_huxley", 20, 10_000),
}
CUBA = "CUBA, 4,000 neurons, 10,000 steps"
CYTHON, STANDALONE = f"Brian2 2.9.0 cython: {CUBA}", f"Brian2 2.9.0 C++ standalone: {CUBA}"
GROUPS = [[f"{OURS}: {case}", f"{PYMONNTO}: {case}"] for case in CASES] + [[f"{OURS}: {CUBA}", STANDALONE, CYTHON]]


def runs(library, name):
    """Make the tasks of a library with document 4's names: each goes on with a network that is warm."""
    import contextlib
    import io

    import group_models

    networks = {}

    def run(case, make, size, steps):
        if case not in networks:
            networks[case] = getattr(group_models, make)(library, size)
            networks[case].initialize(info=False)
            networks[case].simulate_iterations(20)
        with contextlib.redirect_stdout(io.StringIO()):
            networks[case].simulate_iterations(steps)

    def task(case, *what):
        return lambda: run(case, *what)

    return {f"{name}: {case}": task(case, *what) for case, what in CASES.items()}, run


def ours():
    """Make the tasks of our side."""
    import recurra

    tasks, run = runs(recurra, OURS)
    return tasks | {f"{OURS}: {CUBA}": lambda: run(CUBA, "cuba", 4_000, 10_000)}


def peer():
    """Make the tasks of the other side."""
    import os

    os.makedirs("Data", exist_ok=True)  # PymoNNto looks for such a folder
    import PymoNNto

    tasks, _ = runs(PymoNNto, PYMONNTO)
    return tasks | {CYTHON: brian_cython(), STANDALONE: brian_standalone}


def brian_network():
    """Build CUBA in Brian2; the numbers are those of group_models.cuba."""
    import brian2 as b

    b.defaultclock.dt = 0.1 * b.ms
    equations = """
    dv/dt = (ge + gi - (v + 49*mV)) / (20*ms) : volt (unless refractory)
    dge/dt = -ge / (5*ms) : volt
    dgi/dt = -gi / (10*ms) : volt
    """
    cells = b.NeuronGroup(
        4000, equations, threshold="v > -50*mV", reset="v = -60*mV", refractory=5 * b.ms, method="exact"
    )
    cells.v = "-60*mV + rand() * 10*mV"
    excitatory = b.Synapses(cells, cells, on_pre="ge += 1.62*mV")
    excitatory.connect("i < 3200", p=0.02)
    inhibitory = b.Synapses(cells, cells, on_pre="gi -= 9*mV")
    inhibitory.connect("i >= 3200", p=0.02)
    return b.Network(cells, excitatory, inhibitory, b.SpikeMonitor(cells)), b.second


def brian_cython():
    """Return a task that goes on with a compiled network for one second."""
    kept = []

    def run():
        import brian2

        if not kept:
            brian2.prefs.codegen.target = "cython"
            network, second = brian_network()
            network.run(0.1 * second)
            kept.extend([network, second])
        kept[0].run(1.0 * kept[1])

    return run


def brian_standalone():
    """Run the compiled C++ program; its own time of the main loop counts."""
    import brian2

    brian2.device.reinit()
    brian2.set_device("cpp_standalone", directory=None, build_on_run=False)
    network, second = brian_network()
    network.run(1.0 * second)
    brian2.device.build(run=True, compile=True, with_output=False)
    seconds = brian2.device._last_run_time
    brian2.device.reinit()
    brian2.set_device("runtime")
    return seconds, None


def agree(values):
    """Say what was compared: numbers of spikes are random here; the tests hold compiled steps against NumPy."""
    return ["the tests compare compiled steps with NumPy element by element; these runs draw their own noise"]
