"""Time what uses several cores or the disk: sweeps, workers of Dask, streaming. Prints a table; not part of the driver,
which keeps every task on one core.
"""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from recurra import CircuitTemplate, Network, simulate, sweep

WC = "model_templates.neural_mass_models.wilsoncowan.WC"


def timed(function, repeats: int = 5) -> list[float]:
    """Return the seconds of some calls, after one that is not counted."""
    function()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        found.append(time.perf_counter() - begun)
    return found


def say(what: str, seconds: list[float]) -> float:
    """Print a row of the table; return the median."""
    middle = statistics.median(seconds)
    print(f"| {what} | {middle:.3g} s | {min(seconds):.3g} s to {max(seconds):.3g} s |", flush=True)
    return middle


def mean_rate(result):
    """Measure a point."""
    return result["E"][-200:].mean()


def wilson_cowan(points: int, steps: int, **more):
    """Sweep a square of points."""
    side = round(points**0.5)
    values = {"e/se_op/r_ext": np.linspace(0, 2, side), "i/si_op/r_ext": np.linspace(-1, 1, side)}
    model = CircuitTemplate.from_yaml(WC)
    return sweep(
        model, values, steps * 5e-3, dt=5e-3, record={"E": "e/rate_op/r"}, measure=mean_rate, progress=False, **more
    )


def workers() -> None:
    """Compare one worker of Dask with two, on the same batches."""
    import distributed

    # Workers inherit this; without it each would take both cores.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    found = {}
    for count in (1, 2):
        with (
            distributed.LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            task = functools.partial(wilson_cowan, 4096, 20_000, batch=256, every=100, executor=client.get_executor())
            found[count] = say(f"Dask, {count} worker(s), one thread each: 4,096 points x 20,000 steps", timed(task, 3))
    print(f"two workers: {found[1] / found[2]:.2f} times one")


def streaming() -> None:
    """Compare a run in memory with one that is written to disk."""
    net = Network(dt=0.1)
    weights = np.random.default_rng(1).normal(size=(200, 200)) / 15
    net.add_diffeq_node(
        "n", ["x' = (-x + s)/tau", "r = tanh(x)"], weights=weights, source_var="r", target_var="s", output_var="x",
        variables={"x": "variable(0.1)", "r": "output", "s": "input(0.0)", "tau": 2.0},
    )  # fmt: skip
    program, steps = net.program, 200_000
    with tempfile.TemporaryDirectory() as folder:
        found: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(16):  # in turns, so that both meet the same machine
            stored = bool(turn % 2)
            store = Path(folder) / f"{turn}.zarr" if stored else None
            begun = time.perf_counter()
            simulate(program, steps * 0.1, dt=0.1, every=10, progress=False, store=store)
            if turn > 1:
                found[stored].append(time.perf_counter() - begun)
    memory = say("200 units, 200,000 steps, every tenth recorded: in memory", found[False])
    stored = say("the same, into a Zarr store with checkpoints", found[True])
    print(f"streaming costs {100 * (stored / memory - 1):.1f}%")


if __name__ == "__main__":
    print("| what | median | fastest to slowest |\n|---|---|---|")
    say("sweep: 10,000 points of Wilson-Cowan x 1,000 steps, warm", timed(lambda: wilson_cowan(10_000, 1_000)))
    streaming()
    workers()
