"""The published example of networks: 100 tanh leaky integrators, 10,000 Euler steps of unit input."""

from __future__ import annotations

TITLE = "Network: 100 tanh leaky integrators, dense weights, 10,000 Euler steps"
TEXT = (
    "The published example, in float64 throughout, every step recorded. Warm: the second and later runs of a network "
    "(RectiPy after `reset()`, without its line of print for each step; its second row leaves out the bookkeeping for "
    "gradients, which it keeps by default). The hand-written loops are compiled or warmed before: numba with its "
    "own matrix product (BLAS), and NumPy. Fresh process: import, building, compilation, run."
)
WARM, NUMBA, NUMPY, PEER, PEER_NO_GRAD = (
    "Recurra: warm `run`",
    "numba: hand-written loop, BLAS product",
    "NumPy: hand-written loop, BLAS product",
    "RectiPy 0.12.2: warm `run`",
    "RectiPy 0.12.2: warm `run`, enable_grad=False",
)
FRESH, PEER_FRESH = "fresh process: Recurra, with import", "fresh process: RectiPy, with import"
BUILT, PEER_BUILT = "fresh process, after import: Recurra", "fresh process, after import: RectiPy"
GROUPS = [[WARM, NUMBA, NUMPY, PEER, PEER_NO_GRAD], [BUILT, PEER_BUILT], [FRESH, PEER_FRESH]]

N, STEPS, DT, TAU = 100, 10_000, 1e-3, 10.0
TEMPLATE = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"
NAMES = {"source_var": "tanh_op/r", "target_var": "li_op/r_in", "input_var": "li_op/I_ext", "output_var": "li_op/v"}


def problem():
    """Return weights and input."""
    import numpy as np

    return np.random.default_rng(20240607).standard_normal((N, N)), np.ones((STEPS, N))


def build(**options):
    """Make the network of either side, which have the same names for it."""
    if options:
        from rectipy import Network
    else:
        from recurra import Network
    net = Network(dt=DT, device="cpu")
    net.add_diffeq_node("tanh", TEMPLATE, weights=problem()[0], **NAMES, **options)
    return net


def after_import(module, run):
    """Time what follows an import."""
    import importlib
    import time

    def timed():
        importlib.import_module(module)
        begun = time.perf_counter()
        value = run()
        return time.perf_counter() - begun, value

    return timed


def ours():
    """Make the tasks of our side."""
    kept, inputs = [], []

    def warm():
        if not kept:
            kept.append(build())
            inputs.append(problem()[1])
        return kept[0].run(inputs=inputs[0])["out"]

    def whole():
        return build().run(inputs=problem()[1])["out"]

    return {WARM: warm, BUILT: after_import("recurra.network", whole), FRESH: whole}


def peer():
    """Make the tasks of the other side."""
    kept = {}

    def compiled():
        import numba
        import numpy as np

        @numba.njit
        def hand(J, inputs, tau, dt):
            rows, v = np.empty(inputs.shape), np.zeros(J.shape[0])
            for k in range(len(inputs)):
                rows[k] = v
                v = v + dt * (-v / tau + np.dot(J, np.tanh(v)) + inputs[k])
            return rows

        return hand

    def with_numba():
        if "numba" not in kept:
            kept["numba"], kept["problem"] = compiled(), problem()
        return kept["numba"](*kept["problem"], TAU, DT)

    def with_numpy():
        import numpy as np

        J, inputs = kept["problem"]
        rows, v = np.empty(inputs.shape), np.zeros(N)
        for k in range(STEPS):
            rows[k] = v
            v = v + DT * (-v / TAU + J @ np.tanh(v) + inputs[k])
        return rows

    def made():
        import torch

        torch.set_num_threads(1)
        return build(dtype=torch.float64, verbose=False)

    def warm(**options):
        if "net" not in kept:
            kept["net"] = made()
            kept["net"].compile()
        kept["net"].reset()
        return kept["net"].run(inputs=kept["problem"][1], verbose=False, **options).to_numpy("out")

    def whole():
        return made().run(inputs=problem()[1], verbose=False).to_numpy("out")

    return {
        NUMBA: with_numba,
        NUMPY: with_numpy,
        PEER: warm,
        PEER_NO_GRAD: lambda: warm(enable_grad=False),
        PEER_BUILT: after_import("rectipy", whole),
        PEER_FRESH: whole,
    }


def agree(values):
    """Check that everyone computes the same rows."""
    import numpy as np

    found = []
    for task, value in values.items():
        error = float(np.abs(value - values[NUMPY]).max())
        if not error < 1e-9:
            raise SystemExit(f"error: {task} differs from the hand-written loop by {error:.3g}")
        found.append(f"{task}: agrees with the hand-written loop to {error:.1g} (largest value 129).")
    return found
