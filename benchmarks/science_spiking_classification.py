"""Train a recurrent spiking network to tell digits, beside snnTorch with the same weights, data and optimiser.

    .venv/bin/python benchmarks/science_spiking_classification.py
    PEER/bin/python benchmarks/science_spiking_classification.py --peer

where PEER is an environment with snntorch 1.0.0, torch and scikit-learn; both need scikit-learn, for its digits. Each
side prints its accuracy on the training set, the gradient's norm in the first epoch and the seconds of an epoch.

600 digits of 8 x 8 pixels are shown for 25 steps to 60 leaky integrate-and-fire units (tau 10, threshold 1, reset to 0
in the step after the crossing) with all-to-all weights through synapses (tau 5) and a linear readout. Cross-entropy
over the last 5 steps; Adam at 2e-3, batches of 60, 8 epochs; all three matrices are trained. float32, one thread.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

STEPS, COUNTED, UNITS, BATCH, EPOCHS, RATE = 25, 5, 60, 60, 8, 2e-3
SLOPES = (25.0, 100.0)


def problem(seed: int = 0) -> dict[str, np.ndarray]:
    """Return digits `(600, 64)`, their classes, and initial weights."""
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), np.random.default_rng(seed)
    return {
        "X": digits.data[:600] / 16,
        "Y": digits.target[:600],
        "Win": 0.05 * rng.normal(size=(UNITS, 64)),
        "J": rng.normal(size=(UNITS, UNITS)) / np.sqrt(UNITS),
        "Wo": 0.1 * rng.normal(size=(10, UNITS)),
    }


def ours(data: dict[str, np.ndarray], slope: float, scale: float) -> tuple[float, float, float]:
    """Train with Recurra; return accuracy, gradient norm of the first epoch, and seconds of an epoch."""
    from recurra import Network

    net = Network(dt=1.0, seed=1)
    net.add_func_node("inp", 64, "identity")
    net.add_diffeq_node(
        "lif", ["v' = -v/tau + I + rin", "s' = -s/tau_s + spike"], input_var="I", output_var="s", weights=data["J"],
        source_var="s", target_var="rin", spike_var="spike", reset_var="v", spike_threshold=1.0, spike_reset=0.0,
        variables={"v": "variable", "s": "output", "I": "input", "rin": "input", "spike": "input", "tau": 10.0,
                   "tau_s": 5.0},
        spike_slope=slope, spike_scale=scale,
    )  # fmt: skip
    net.add_func_node("out", 10, "identity")
    net.add_edge("inp", "lif", data["Win"], label="win")
    net.add_edge("lif", "out", data["Wo"], label="wout")
    x, y = np.repeat(data["X"][:, None], STEPS, 1), np.repeat(data["Y"][:, None], STEPS, 1)
    mask = np.zeros(y.shape)
    mask[:, -COUNTED:] = 1
    begun = time.perf_counter()
    fit = net.fit_bptt(
        {"inp": x}, y, train=["win/weights", "wout/weights", "lif/weights"], loss="ce", mask=mask, lr=RATE,
        epochs=EPOCHS, batch_size=BATCH, progress=False,
    )  # fmt: skip
    seconds = (time.perf_counter() - begun) / EPOCHS
    out, _ = net.test({"inp": x}, y, loss="ce", mask=mask)
    right = np.asarray(out["out"])[:, -COUNTED:].mean(1).argmax(1) == data["Y"]
    return float(right.mean()), float(fit.history["gradient_norm"][0]), seconds


def peer(data: dict[str, np.ndarray], slope: float) -> tuple[float, float, float]:
    """Train with snnTorch, whose surrogates have peak 1; return the same."""
    import snntorch
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    X, Y = torch.tensor(data["X"], dtype=torch.float32), torch.tensor(data["Y"])
    win, J, wo = (torch.nn.Parameter(torch.tensor(data[n], dtype=torch.float32)) for n in ("Win", "J", "Wo"))
    gradient = snntorch.surrogate.fast_sigmoid(slope=slope)
    cell = snntorch.Leaky(beta=0.9, threshold=1.0, reset_mechanism="none", spike_grad=gradient)

    def forward(x):
        v = s = spikes = torch.zeros(len(x), UNITS)
        rows, drive = [], x @ win.T
        for _ in range(STEPS):
            rows.append(s @ wo.T)
            _, v = cell(drive + s @ J.T, v)
            # snnTorch's own reset to zero keeps the input of the step; Recurra's, as RectiPy's, does not.
            v = v * (1 - spikes.detach())
            s, spikes = s * 0.8 + spikes, cell.fire(v)
        return torch.stack(rows[-COUNTED:], 1)

    optimizer, norms, begun = torch.optim.Adam([win, J, wo], lr=RATE), [], time.perf_counter()
    for epoch in range(EPOCHS):
        order = torch.randperm(len(X))
        for at in range(0, len(X), BATCH):
            chosen = order[at : at + BATCH]
            rows = forward(X[chosen])
            goal = Y[chosen][:, None].expand(-1, COUNTED)
            loss = torch.nn.functional.cross_entropy(rows.reshape(-1, 10), goal.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            if epoch == 0:
                norms.append(float(torch.sqrt(sum((p.grad**2).sum() for p in (win, J, wo)))))
            optimizer.step()
    seconds = (time.perf_counter() - begun) / EPOCHS
    with torch.no_grad():
        right = forward(X).mean(1).argmax(1) == Y
    return float(right.float().mean()), float(np.mean(norms)), seconds


def main() -> None:
    """Print a line for each slope."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", action="store_true", help="train with snnTorch in place of Recurra")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights")
    options = parser.parse_args()
    data = problem(options.seed)
    if options.peer:
        cases = [(f"snnTorch, slope {slope:g}, peak 1", lambda s=slope: peer(data, s)) for slope in SLOPES]
    else:
        cases = [(f"Recurra, slope {slope:g}, peak 1", lambda s=slope: ours(data, s, 1.0)) for slope in SLOPES]
        cases += [(f"Recurra, slope {slope:g}, peak {slope:g}", lambda s=slope: ours(data, s, s)) for slope in SLOPES]
    for name, run in cases:
        accuracy, norm, seconds = run()
        print(f"{name}: accuracy {accuracy:.3f}, gradient norm {norm:.3g}, {seconds:.2f} s an epoch", flush=True)


if __name__ == "__main__":
    main()
