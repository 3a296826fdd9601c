"""Ninety Jansen-Rit columns with a delay of its own for every pair."""

from __future__ import annotations

TITLE = "90 Jansen-Rit columns, 8,010 delayed connections, 20,000 Euler steps"
TEXT = (
    "A full matrix of delays from 1 to 20 ms, two seconds at a step of 0.1 ms, recorded every millisecond. PyRates "
    "vectorises nodes and delayed edges. The numba row is a hand-written loop, compiled before."
)
WARM, NUMBA, PEER_FRESH, FRESH = (
    "Recurra: warm `run`",
    "numba: hand-written loop",
    "fresh process, after import: PyRates 1.2.3 from templates to DataFrame",
    "fresh process, after import: Recurra from templates to DataFrame",
)
GROUPS = [[WARM, NUMBA], [FRESH, PEER_FRESH]]

N, STEPS, DT, EVERY = 90, 20_000, 1e-4, 10
EQUATIONS = [
    "V_e' = I_e",
    "I_e' = h_e/tau_e*(108.0*m_max/(1.0 + exp(s*(v_thr - V_n))) + m_in + u) - 2.0*I_e/tau_e - V_e/tau_e^2",
    "V_i' = I_i",
    "I_i' = h_i/tau_i*33.75*m_max/(1.0 + exp(s*(v_thr - V_p))) - 2.0*I_i/tau_i - V_i/tau_i^2",
    "V_n' = I_n",
    "I_n' = h_e/tau_e*135.0*m - 2.0*I_n/tau_e - V_n/tau_e^2",
    "V_p' = I_p",
    "I_p' = h_e/tau_e*33.75*m - 2.0*I_p/tau_e - V_p/tau_e^2",
    "m = m_max/(1.0 + exp(s*(v_thr - V_e + V_i)))",
]
STATES = ["V_e", "I_e", "V_i", "I_i", "V_n", "I_n", "V_p", "I_p"]
CONSTANTS = {"h_e": 3.25e-3, "tau_e": 0.01, "h_i": 0.022, "tau_i": 0.02}
CONSTANTS |= {"m_max": 5.0, "s": 560.0, "v_thr": 6e-3}


def network():
    """Return weights (post, pre), delays in whole steps (post, pre), and the input of each column."""
    import numpy as np

    rng = np.random.default_rng(0)
    weights = rng.uniform(0.05, 0.6, (N, N))
    np.fill_diagonal(weights, 0.0)
    return weights, rng.integers(10, 201, (N, N)), rng.uniform(120, 320, N)


def build(package):
    """Build the circuit with the templates of a package."""
    weights, lags, drive = network()
    variables = dict.fromkeys(STATES, "variable(0.0)") | CONSTANTS
    variables |= {"m": "output(0.0)", "m_in": "input(0.0)", "u": 220.0}
    operator = package.OperatorTemplate("jr_op", equations=EQUATIONS, variables=variables)
    node = package.NodeTemplate("jr", operators=[operator])
    labels = [f"c{i}" for i in range(N)]
    circuit = package.CircuitTemplate("columns", nodes=dict.fromkeys(labels, node))
    # Ours returns a new circuit, PyRates changes the one there is.
    circuit = circuit.update_var(node_vars={"all/jr_op/u": drive}) or circuit
    changed = circuit.add_edges_from_matrix(
        "jr_op/m",
        "jr_op/m_in",
        source_nodes=labels,
        target_nodes=labels,
        weight=weights,
        edge_attr={"delay": lags * DT},
    )
    return changed or circuit


def run(circuit, **options):
    """Return V_e - V_i, rows (time, column)."""
    frame = circuit.run(
        simulation_time=STEPS * DT,
        step_size=DT,
        sampling_step_size=EVERY * DT,
        outputs={"e": "all/jr_op/V_e", "i": "all/jr_op/V_i"},
        solver="euler",
        **options,
    )
    return frame["e"].to_numpy() - frame["i"].to_numpy()


def ours():
    """Make the tasks of our side."""
    import pandas  # noqa: F401  (PyRates imports it with itself)

    import recurra

    kept = []

    def warm():
        if not kept:
            kept.append(build(recurra))
        return run(kept[0])

    _ = recurra.CircuitTemplate
    return {WARM: warm, FRESH: lambda: run(build(recurra))}


def peer():
    """Make the tasks of the other side."""
    import numba
    import numpy as np
    import pyrates

    weights, lags, drive = network()

    @numba.njit
    def hand(weights, lags, drive, steps, every, dt):
        n = len(drive)
        y = np.zeros((8, n))
        depth = lags.max() + 1
        ring = np.zeros((n, depth))
        rows = np.empty((steps // every, n))
        for k in range(steps):
            slot = k % depth
            for j in range(n):
                if k % every == 0:
                    rows[k // every, j] = y[0, j] - y[2, j]
                ring[j, slot] = 5.0 / (1.0 + np.exp(560.0 * (6e-3 - y[0, j] + y[2, j])))
            for i in range(n):
                total = 0.0
                for j in range(n):
                    place = slot - lags[i, j]
                    total += weights[i, j] * ring[j, place if place >= 0 else place + depth]
                a, b, m = 100.0, 50.0, ring[i, slot]
                excited = 108.0 * 5.0 / (1.0 + np.exp(560.0 * (6e-3 - y[4, i]))) + total + drive[i]
                inhibited = 33.75 * 5.0 / (1.0 + np.exp(560.0 * (6e-3 - y[6, i])))
                d1 = 3.25e-3 * a * excited - 2 * a * y[1, i] - a * a * y[0, i]
                d3 = 0.022 * b * inhibited - 2 * b * y[3, i] - b * b * y[2, i]
                d5 = 3.25e-3 * a * 135.0 * m - 2 * a * y[5, i] - a * a * y[4, i]
                d7 = 3.25e-3 * a * 33.75 * m - 2 * a * y[7, i] - a * a * y[6, i]
                for v, d in ((0, d1), (2, d3), (4, d5), (6, d7)):
                    y[v, i] += dt * y[v + 1, i]
                    y[v + 1, i] += dt * d
        return rows

    def whole():
        pyrates.clear_frontend_caches()
        return run(build(pyrates), backend="default", float_precision="float64", verbose=False)

    return {NUMBA: lambda: hand(weights, lags, drive, STEPS, EVERY, DT), PEER_FRESH: whole}


def agree(values):
    """Check that all compute the same, in millivolts."""
    import numpy as np

    found = []
    for task, value in values.items():
        error = 1e3 * float(np.abs(value - values[NUMBA]).max())
        if not error < 1e-8:
            raise SystemExit(f"error: {task} differs from the hand-written loop by {error:.3g} mV")
        found.append(f"{task}: agrees with the hand-written loop to {error:.1g} mV.")
    return found
