"""Backpropagation through time: 200 tanh units, 200 steps, all recurrent weights trained."""

from __future__ import annotations

TITLE = "Backpropagation through time, 200 tanh units, 200 steps, seconds per trial"
TEXT = (
    "Gradient descent on the mean squared error of all units and steps, with respect to the 200 x 200 weights. "
    "Recurra: `fit_bptt`, the median of the updates after the first (which compiles), divided by the trials of a "
    "batch. RectiPy 0.12.2 has no batches: `fit_bptt` of one trial, in float64, its own default. The hand-written "
    "loops do the same update in eager PyTorch, with `torch.addmm` and autograd, in batches. One torch thread."
)
OURS, OURS_64, OURS_ONE = (
    "Recurra: `fit_bptt`, batch of 64, float32 (the default)",
    "Recurra: `fit_bptt`, batch of 64, float64",
    "Recurra: `fit_bptt`, one trial, float64",
)
TORCH, TORCH_64, RECTIPY = (
    "PyTorch: hand-written loop, batch of 64, float32",
    "PyTorch: hand-written loop, batch of 64, float64",
    "RectiPy 0.12.2: `fit_bptt`, one trial, float64",
)
GROUPS = [[OURS, TORCH, RECTIPY], [OURS_64, TORCH_64, RECTIPY], [OURS_ONE, RECTIPY]]

N, STEPS, TRIALS, DT, TAU = 200, 200, 64, 0.1, 2.0
UPDATES, RATE = 5, 1.0
TEMPLATE = "neuron_model_templates.rate_neurons.leaky_integrator.tanh"


def problem():
    """Return weights, inputs and targets."""
    import numpy as np

    rng = np.random.default_rng(0)
    weights = rng.standard_normal((N, N)) / np.sqrt(N)
    return weights, rng.standard_normal((TRIALS, STEPS, N)), rng.standard_normal((TRIALS, STEPS, N))


def ours():
    """Make the tasks of our side."""
    import numpy as np

    from recurra import Network

    weights, inputs, targets = problem()

    def update(trials, precision):
        net = Network(dt=DT)
        net.add_diffeq_node(
            "p", TEMPLATE, weights=weights, source_var="tanh_op/r", target_var="li_op/r_in", input_var="li_op/I_ext",
            output_var="li_op/v", node_vars={"li_op/tau": TAU}, train_params=["weights"],
        )  # fmt: skip
        fit = net.fit_bptt(
            inputs[:trials], targets[:trials], optimizer="sgd", lr=RATE, epochs=UPDATES, precision=precision,
            progress=False,
        )  # fmt: skip
        return float(np.median(fit.history["seconds"][1:])) / trials, net.get_var("p", "weights") - weights

    return {
        OURS: lambda: update(TRIALS, "float32"),
        OURS_64: lambda: update(TRIALS, "float64"),
        OURS_ONE: lambda: update(1, "float64"),
    }


def peer():
    """Make the tasks of the other side."""
    import statistics
    import time

    import torch
    from rectipy import Network

    torch.set_num_threads(1)
    weights, inputs, targets = problem()

    def timed(update, trials):
        found = []
        for _ in range(UPDATES):
            begun = time.perf_counter()
            update()
            found.append(time.perf_counter() - begun)
        return statistics.median(found[1:]) / trials

    def hand(dtype):
        W = torch.tensor(weights, dtype=dtype, requires_grad=True)
        drive, goal = (torch.tensor(a, dtype=dtype) for a in (inputs, targets))
        optimizer = torch.optim.SGD([W], lr=RATE)

        def update():
            v, rows = torch.zeros((TRIALS, N), dtype=dtype), []
            for k in range(STEPS):
                rows.append(v)
                v = v + DT * torch.addmm(drive[:, k] - v / TAU, torch.tanh(v), W.T)
            optimizer.zero_grad()
            ((torch.stack(rows, 1) - goal) ** 2).mean().backward()
            optimizer.step()

        return timed(update, TRIALS), W.detach().double().numpy() - weights

    def rectipy():
        net = Network(dt=DT, device="cpu")
        net.add_diffeq_node(
            "p", TEMPLATE, weights=weights, source_var="tanh_op/r", target_var="li_op/r_in", input_var="li_op/I_ext",
            output_var="li_op/v", node_vars={"all/li_op/tau": TAU}, train_params=["weights"], dtype=torch.float64,
            verbose=False,
        )  # fmt: skip
        net.compile()

        def update():
            net.reset()
            net.fit_bptt(
                inputs[0], targets[0], optimizer="sgd", loss="mse", lr=RATE, update_steps=STEPS, verbose=False
            )

        seconds = timed(update, 1)
        return seconds, next(iter(net.parameters())).detach().numpy() - weights

    return {TORCH: lambda: hand(torch.float32), TORCH_64: lambda: hand(torch.float64), RECTIPY: rectipy}


def agree(values):
    """Check that the weights have changed alike after all updates."""
    import numpy as np

    found = []
    for one, other, most in ((OURS, TORCH, 1e-3), (OURS_64, TORCH_64, 1e-9), (OURS_ONE, RECTIPY, 1e-9)):
        error = float(np.abs(values[one] - values[other]).max() / np.abs(values[other]).max())
        if not error < most:
            raise SystemExit(f"error: {one} differs from {other} by {error:.3g} of the largest change")
        found.append(f"{one} and {other}: the weights' change agrees to {error:.1g} of the largest.")
    return found
