"""2,000 tanh units of which each reads 1 in 100: sparse weights beside dense ones."""

from __future__ import annotations

TITLE = "Network: 2,000 tanh units, 1% of the weights, 500 Euler steps"
TEXT = (
    "In float64, every tenth step recorded, warm. Dense: the same weights with their zeros, as a matrix. The "
    "hand-written loops use a product of `scipy.sparse` (CSR) with NumPy, and a loop over CSR in numba."
)
SPARSE, DENSE = "Recurra: sparse weights", "Recurra: dense weights"
SCIPY, NUMBA = "NumPy and scipy.sparse: hand-written loop", "numba: hand-written loop over CSR"
GROUPS = [[SPARSE, NUMBA, SCIPY, DENSE]]

N, STEPS, EVERY, DT, TAU, SHARE = 2000, 500, 10, 1e-2, 10.0, 0.01
TEMPLATE = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"


def problem():
    """Return sparse weights and a constant input for every unit."""
    import numpy as np
    from scipy.sparse import random_array

    rng = np.random.default_rng(0)
    weights = random_array((N, N), density=SHARE, rng=rng, data_sampler=rng.standard_normal).tocsr()
    return weights / np.sqrt(N * SHARE), rng.standard_normal(N)


def ours():
    """Make the tasks of our side."""
    import numpy as np

    from recurra import Network

    weights, drive = problem()
    kept = {}

    def run(kind):
        if kind not in kept:
            net = kept[kind] = Network(dt=DT)
            net.add_diffeq_node(
                "p", TEMPLATE, weights=weights if kind == SPARSE else weights.toarray(), source_var="tanh_op/r",
                target_var="li_op/r_in", input_var="li_op/I_ext", output_var="li_op/v",
            )  # fmt: skip
        return kept[kind].run(np.broadcast_to(drive, (STEPS, N)), sampling_steps=EVERY)["out"]

    return {SPARSE: lambda: run(SPARSE), DENSE: lambda: run(DENSE)}


def peer():
    """Make the tasks of the other side."""
    import numba
    import numpy as np

    weights, drive = problem()

    def with_scipy():
        v, rows = np.zeros(N), np.empty((STEPS // EVERY, N))
        for k in range(STEPS):
            if k % EVERY == 0:
                rows[k // EVERY] = v
            v = v + DT * (-v / TAU + weights @ np.tanh(v) + drive)
        return rows

    @numba.njit
    def hand(data, columns, starts, drive):
        v, r, rows = np.zeros(N), np.empty(N), np.empty((STEPS // EVERY, N))
        for k in range(STEPS):
            if k % EVERY == 0:
                rows[k // EVERY] = v
            for i in range(N):
                r[i] = np.tanh(v[i])
            for i in range(N):
                total = 0.0
                for e in range(starts[i], starts[i + 1]):
                    total += data[e] * r[columns[e]]
                v[i] += DT * (-v[i] / TAU + total + drive[i])
        return rows

    return {NUMBA: lambda: hand(weights.data, weights.indices, weights.indptr, drive), SCIPY: with_scipy}


def agree(values):
    """Check that everyone computes the same rows."""
    import numpy as np

    found = []
    for task, value in values.items():
        error = float(np.abs(value - values[SCIPY]).max())
        if not error < 1e-10:
            raise SystemExit(f"error: {task} differs from the hand-written loop by {error:.3g}")
        found.append(f"{task}: agrees with the hand-written loop to {error:.1g}.")
    return found
