"""Fits of coupled neurons in chunks: time and memory for ever longer recordings.

Run by hand for one fit of another size: `python benchmarks/bench_glm_chunks.py NEURONS BINS [PRECISION]`.
"""

from __future__ import annotations

import os
import resource
import sys
import time

TITLE = "GLM fits in chunks: 60 neurons, 600 features"
TEXT = (
    "Poisson counts of a simulated population (2% of the bins hold a spike), 10 raised cosines over 100 bins for every "
    "pair, ridge of strength 1e-5, single precision, 16,384 bins at a time, by `fit_spikes(rows=)`. Each task is a "
    "fresh process and includes compilation. Memory is the largest that the process ever had, JAX and the counts "
    "included."
)
NEURONS, FUNCTIONS, WINDOW, ROWS, STRENGTH = 60, 10, 100, 2**14, 1e-5
LENGTHS = (50_000, 100_000, 200_000)
TASKS = {f"fresh process: {bins:,} bins": bins for bins in LENGTHS}
GROUPS = [list(TASKS)]


def recording(neurons, bins):
    """Return simulated counts `(bins, neurons)` in one byte each, and the basis of their filters."""
    import numpy as np

    from recurra.glm import basis, simulate_recurrent

    rng = np.random.default_rng(0)
    filters = basis.RaisedCosineLogConv(FUNCTIONS, window_size=WINDOW)
    kernel = np.asarray(filters.kernel_, np.float32)
    # One sender in ten reaches a neuron, and every neuron is refractory.
    coupling = 0.3 * rng.standard_normal((neurons, neurons, FUNCTIONS)) * (rng.random((neurons, neurons, 1)) < 0.1)
    coupling /= np.sqrt(0.1 * neurons)
    coupling[range(neurons), range(neurons)] -= 0.3
    counts, past = np.empty((bins, neurons), np.int8), np.zeros((WINDOW, neurons), np.float32)
    for start in range(0, bins, 50_000):
        size = min(50_000, bins - start)
        offset = np.full(neurons, -3.3, np.float32)
        y, _ = simulate_recurrent(
            coupling.astype(np.float32), None, offset, start, None, kernel, past, "exp", n_time_bins=size
        )
        counts[start : start + size], past = y, np.asarray(y[-WINDOW:], np.float32)
    return counts, filters


def fit(neurons, bins, precision="float32"):
    """Return the seconds of a fit, and an array of gigabytes, passes, and the tolerance that is left."""
    import numpy as np

    from recurra.glm import PopulationGLM

    counts, filters = recording(neurons, bins)
    model = PopulationGLM(regularizer="Ridge", regularizer_strength=STRENGTH, precision=precision)
    begun = time.perf_counter()
    model.fit_spikes(counts, filters, rows=ROWS)
    seconds = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return seconds, np.array([memory, float(model.solver_.split()[-2]), float(model.converged_.all())])


def ours():
    """Make the tasks of our side."""
    return {name: lambda bins=bins: fit(NEURONS, bins) for name, bins in TASKS.items()}


def peer():
    """There is nobody to compare with."""
    return {}


def agree(values):
    """Check that all fits converged, and that memory does not grow with the features."""
    sizes = [float(values[task][0]) for task in TASKS]
    if not all(values[task][2] == 1 for task in TASKS):
        raise SystemExit("error: a fit has not converged")
    whole = LENGTHS[-1] * NEURONS * FUNCTIONS * 4 / 1e9
    if sizes[-1] - sizes[0] > whole / 4:
        raise SystemExit(f"error: memory grows with the length: {sizes} GB")
    return [f"{task}: {values[task][1]:.0f} passes, {values[task][0]:.2f} GB." for task in TASKS] + [
        f"The features of {LENGTHS[-1]:,} bins alone would take {whole:.2f} GB."
    ]


if __name__ == "__main__":
    took, (gigabytes, passes, converged) = fit(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:4])
    told = f"{took:.0f} s, {passes:.0f} passes, {gigabytes:.2f} GB, converged: {bool(converged)}"
    print(f"{told}, load {os.getloadavg()}")
