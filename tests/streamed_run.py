"""A run that writes into a store, to be killed: 20 noisy units with a delay."""

from __future__ import annotations

import sys

import numpy as np


def build():
    """Return the network."""
    from recurra import Network

    net = Network(dt=0.1)
    weights = np.random.default_rng(1).normal(size=(20, 20)) / 5
    net.add_diffeq_node(
        "n", ["x' = (-x + s)/tau + 0.1*xi", "r = tanh(x)"], weights=weights, source_var="r", target_var="s",
        output_var="x", variables={"x": "variable(0.1)", "r": "output", "s": "input(0.0)", "tau": 2.0},
        edge_attr={"delay": 0.5},
    )  # fmt: skip
    return net


def run(store, steps: int = 40_000):
    """Run it, with frequent checkpoints and small blocks."""
    from recurra import simulate
    from recurra.engine import streaming

    streaming.CHECKPOINT_SECONDS, streaming.BLOCK_BYTES = 0.02, 300_000
    return simulate(build().program, steps * 0.1, dt=0.1, seed=3, store=store, progress=False)


if __name__ == "__main__":
    run(sys.argv[1])
