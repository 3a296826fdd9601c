"""The current-based benchmark of Brette et al. (2007) as groups of behaviors, beside Brian2's own implementation."""

from __future__ import annotations

# Brian2 2.9.0 does not run with NumPy 2.4, and PymoNNto is measured with NumPy 2, so they live apart.
PEER_ENVIRONMENT = ("brian2", ["brian2==2.9.0", "cython", "setuptools", "numpy<2"])
TITLE = "Behaviors in Python: CUBA beside Brian2"
TEXT = (
    "4,000 neurons, 2% connected, one second in steps of 0.1 ms, all spikes stored. Recurra traces the Python of "
    "`group_models.cuba`; Brian2 generates code from its equations. Compilation is excluded on both sides; of the C++ "
    "program its own time of the main loop counts."
)
OURS, CYTHON, STANDALONE = "Recurra", "Brian2 2.9.0 cython", "Brian2 2.9.0 C++ standalone"
GROUPS = [[OURS, STANDALONE, CYTHON]]


def ours():
    """Make the task of our side: it goes on with a network that is warm."""
    import group_models

    import recurra

    networks = []

    def run():
        if not networks:
            networks.append(group_models.cuba(recurra, 4_000))
            networks[0].initialize(info=False)
            networks[0].simulate_iterations(20)
        networks[0].simulate_iterations(10_000)

    return {OURS: run}


def peer():
    """Make the tasks of the other side."""
    return {CYTHON: brian_cython(), STANDALONE: brian_standalone}


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
