"""Train a network of 256 units on each of the twenty tasks of Yang et al. (2019), one by one.

    python benchmarks/yang_tasks.py [RULE ...] [--updates 6000] [--out FILE]

Units, time constant, noise, initial weights, batch and learning rate are the published ones (Yang, Joglekar, Song,
Newsome and Wang 2019, and their repository `multitask`): 256 rectified units, 100 ms, recurrent noise of 0.05, half an
orthogonal matrix, 64 trials an update, Adam with 0.001. All weights are trained, those of the inputs too. The readout
is linear where theirs is logistic. A task counts as learned when more than 90% of 512 new trials are right, which is
what published experiments stop at (`target_perf`); the last column is the accuracy in 1,000 trials of another stream.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from recurra.rate.evaluation import evaluate
from recurra.rate.model import FR_RNN_dale
from recurra.rate.tasks import Yang
from recurra.rate.tasks.yang import RULES
from recurra.rate.training import Criterion, Trained, train

TAU = 100.0 / 5.0  # 100 ms, in steps of 5 ms
NOISE = 0.05
TARGET = 0.9


def network(task: Yang, units: int, seed: int) -> FR_RNN_dale:
    """Return an untrained network with the published initial weights."""
    draws = np.random.default_rng(seed)
    inputs, outputs = len(task.channels), len(task.outputs)
    net = FR_RNN_dale(
        units, 0.0, 1.0, draws.normal(size=(units, inputs)) / np.sqrt(inputs), 0, "gaus", 0.5, False,
        draws.normal(size=(outputs, units)) / np.sqrt(units), seed=seed, taus=TAU, activation="clipped_relu",
    )  # fmt: skip
    net.w = 0.5 * np.linalg.qr(draws.normal(size=(units, units)))[0]
    net.w0 = net.w.copy()
    return net


def learn(
    task: Yang, units: int = 256, updates: int = 6000, batch: int = 64, every: int = 100, seed: int = 0
) -> Trained:
    """Train a network until it meets the published criterion, or the updates are used up."""
    return train(
        network(task, units, seed), task, updates=updates, batch=batch, lr=0.001, clip=1.0, noise="ou", level=NOISE,
        criterion=Criterion(loss=1e9, accuracy=TARGET, trials=512), evaluate_every=every,
        trained=("w", "w_in", "w_out", "b_out"), seed=seed, progress=False,
    )  # fmt: skip


def main() -> None:
    """Train on each task that was asked for, and print a row of a table when it has ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rules", nargs="*", help=f"of {', '.join(RULES)}; all if none is given")
    parser.add_argument("--updates", type=int, default=6000)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    head = "| task | learned | updates | trials | accuracy when stopped | accuracy in 1,000 others | minutes |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    print("\n".join(rows), flush=True)
    for rule in options.rules or RULES:
        task, begun = Yang(rule=rule), time.perf_counter()
        found = learn(task, options.units, options.updates, seed=options.seed)
        minutes = (time.perf_counter() - begun) / 60
        tested = evaluate(found.net, task, 1000, noise="ou", level=NOISE).accuracy
        last, trials = found.history["accuracy"][-1], int(found.history["trials"][-1])
        rows.append(
            f"| {rule} | {'yes' if found.reached else 'no'} | {found.updates:,} | {trials:,} | {last:.3f} |"
            f" {tested:.3f} | {minutes:.1f} |"
        )
        print(rows[-1], flush=True)
        if options.out is not None:
            options.out.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
