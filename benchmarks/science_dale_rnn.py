"""Train, convert and count: how often rate networks learn their tasks, and how often their spiking twins do them.

Kim, Li & Sejnowski (2019): networks of 200 units with time constants from 20 to 100 ms. Prints a row for each
network; run it with the name of a task and a number of seeds. It takes minutes, so it is no test.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import get
from recurra.rate.training import Criterion, train
from recurra.spiking import scaling_search

INPUTS = {"go_nogo": 1, "xor": 2, "mante": 4}


def network(task: str, seed: int, size: int, taus: tuple[float, float]) -> FR_RNN_dale:
    """Draw a network with random input weights and a weak random readout."""
    rng = np.random.default_rng(seed)
    w_in, w_out = rng.normal(size=(size, INPUTS[task])), rng.normal(size=(1, size)) / 100
    return FR_RNN_dale(size, 0.2, 0.2, w_in, 0, "gaus", 1.5, True, w_out, seed=seed, taus=taus)


def main() -> None:
    """Train and convert one network after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=list(INPUTS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--taus", type=float, nargs=2, default=(4.0, 20.0), help="in steps of 5 ms")
    parser.add_argument("--updates", type=int, default=6000)
    parser.add_argument("--after", type=int, default=None, help="fewest updates; 1501 for go_nogo, else 0")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--trials", type=int, default=100, help="of the scaling search")
    parser.add_argument("--loss", type=float, default=7.0)
    options = parser.parse_args()
    task = get(options.task)
    after = options.after if options.after is not None else (1501 if options.task == "go_nogo" else 0)
    rows = []
    for seed in range(options.seeds):
        begun = time.perf_counter()
        net = network(options.task, seed, options.size, tuple(options.taus))
        found = train(
            net, task, updates=options.updates, batch=options.batch, seed=seed,
            criterion=Criterion(options.loss, after=after),
        )  # fmt: skip
        trained = time.perf_counter() - begun
        tau = 5 * found.net.tau
        text = f"seed {seed}: {found.stopped} after {found.updates} updates, {trained:.1f} s,"
        text += f" accuracy {found.history['accuracy'][-1]:.2f}, tau {tau.mean():.1f} +- {tau.std():.1f} ms"
        if found.reached and options.trials:
            search = scaling_search(found.net, task, trials=options.trials, seed=seed)
            pairs = zip(search.factors, search.accuracy, strict=True)
            curve = " ".join(f"{factor:.0f}:{right:.2f}" for factor, right in pairs)
            seconds = time.perf_counter() - begun
            text += f"; spiking {search.accuracy.max():.2f} at {search.best:g} ({seconds:.0f} s; {curve})"
            rows.append((search.best, search.accuracy.max()))
        print(text, flush=True)
    if rows:
        best, right = np.array(rows).T
        print(f"spiking accuracy >= 0.95: {int((right >= 0.95).sum())} of {len(right)}; best factors {np.sort(best)}")


if __name__ == "__main__":
    main()
