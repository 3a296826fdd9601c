"""How long it takes to get ready, for few and for many edges."""

from __future__ import annotations

TITLE = "Getting ready: 100 tanh nodes with 10 and with 10,000 edges"
TEXT = (
    "From templates to the end of the first ten Euler steps, in a fresh process after import: building, "
    "lowering, compiling. For Recurra compilation must not grow with the number of edges; what grows is "
    "reading the matrix."
)
FEW, MANY = "fresh process: Recurra, 10 edges", "fresh process: Recurra, 10,000 edges"
COMPILE_FEW = "fresh process: Recurra, 10 edges, without building the circuit"
COMPILE_MANY = "fresh process: Recurra, 10,000 edges, without building the circuit"
PEER_FEW, PEER_MANY = "fresh process: PyRates 1.2.3, 10 edges", "fresh process: PyRates 1.2.3, 10,000 edges"
GROUPS = [[FEW, MANY, PEER_FEW, PEER_MANY], [COMPILE_FEW, COMPILE_MANY]]
N, DT, STEPS = 100, 0.01, 10


def build(package, edges):
    """Build the circuit, with `edges` of the possible edges."""
    import numpy as np

    rng = np.random.default_rng(1)
    weights = rng.normal(size=(N, N)) / 10
    if edges < N * N:
        keep = np.zeros(N * N, dtype=bool)
        keep[rng.choice(N * N, edges, replace=False)] = True
        weights = np.where(keep.reshape(N, N), weights, 0.0)
    operator = package.OperatorTemplate(
        "unit_op",
        equations=["v' = -v/tau + v_in + 1.0", "r = tanh(v)"],
        variables={"v": "variable(0.0)", "r": "output(0.0)", "v_in": "input(0.0)", "tau": 1.0},
    )
    node = package.NodeTemplate("unit", operators=[operator])
    labels = [f"n{i}" for i in range(N)]
    circuit = package.CircuitTemplate("units", nodes=dict.fromkeys(labels, node))
    made = circuit.add_edges_from_matrix("unit_op/r", "unit_op/v_in", labels, labels, weight=weights)
    return made or circuit


def run(circuit, **options):
    """Run the first steps; return rows (time, unit)."""
    return circuit.run(
        simulation_time=STEPS * DT, step_size=DT, outputs={"v": "all/unit_op/v"}, solver="euler", **options
    ).to_numpy()


def ours():
    """Make the tasks of our side."""
    import time

    import pandas  # noqa: F401  (PyRates imports it with itself)

    import recurra

    _ = recurra.CircuitTemplate

    def without_building(edges):
        circuit = build(recurra, edges)
        begun = time.perf_counter()
        rows = run(circuit)
        return time.perf_counter() - begun, rows

    return {
        FEW: lambda: run(build(recurra, 10)),
        MANY: lambda: run(build(recurra, N * N)),
        COMPILE_FEW: lambda: without_building(10),
        COMPILE_MANY: lambda: without_building(N * N),
    }


def peer():
    """Make the tasks of the other side."""
    import pyrates

    options = {"backend": "default", "float_precision": "float64", "verbose": False}
    return {
        PEER_FEW: lambda: run(build(pyrates, 10), **options),
        PEER_MANY: lambda: run(build(pyrates, N * N), **options),
    }


def agree(values):
    """Check that both sides compute the same."""
    import numpy as np

    found = []
    for one, other in ((FEW, PEER_FEW), (MANY, PEER_MANY)):
        error = float(np.abs(values[one] - values[other]).max())
        if not error < 1e-12:
            raise SystemExit(f"error: {one} and {other} differ by {error:.3g}")
        found.append(f"{one}, and PyRates: agree to {error:.1g}.")
    return found
