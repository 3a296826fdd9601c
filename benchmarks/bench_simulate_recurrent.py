"""`simulate_recurrent`: coupled Poisson neurons, ten filters of 100 bins between every two of them."""

from __future__ import annotations

import itertools

TITLE = "simulate_recurrent, ten raised cosines of 100 bins"
TEXT = (
    "Exponential link, stable weights, 0.02 spikes a bin, float32 on both sides, every call with a new key. "
    "Warm: calls after the first; the peer compiles in every call. The spikes of both sides are compared one by one."
)
PEER_ENVIRONMENT = ("nemos", ["nemos==0.2.8"])
SIZES = {"N=2, T=1,000": (2, 1_000), "N=50, T=20,000": (50, 20_000), "N=200, T=20,000": (200, 20_000)}
FRESH_SIZE = "N=2, T=1,000"
WINDOW, FUNCTIONS = 100, 10
GROUPS = [[f"Recurra: {size}", f"NeMoS 0.2.8: {size}"] for size in SIZES]
GROUPS.append([f"fresh process, after import: {side}: {FRESH_SIZE}" for side in ("Recurra", "NeMoS 0.2.8")])


def model(neurons, steps):
    """Return the arguments of both sides."""
    import numpy as np

    random = np.random.default_rng(neurons)
    place = np.log1p(50 * np.linspace(0, 1, WINDOW)) / np.log(51)
    peaks = np.linspace(0, 1 - 2 / (FUNCTIONS + 1), FUNCTIONS)
    angle = np.clip(np.pi * (place[:, None] - peaks) / (2 * (peaks[1] - peaks[0])), -np.pi, np.pi)
    return {
        "coupling_coef": 0.3 / np.sqrt(neurons * FUNCTIONS) * random.normal(size=(neurons, neurons, FUNCTIONS)),
        "feedforward_coef": np.ones((neurons, 1)),
        "intercepts": np.full(neurons, np.log(0.02)),
        "feedforward_input": 0.1 * random.normal(size=(steps, neurons, 1)),
        "coupling_basis_matrix": 0.5 * (np.cos(angle) + 1),
        "init_y": np.zeros((WINDOW, neurons)),
    }


def tasks(side, simulate):
    """Make the tasks of a side."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    def task(neurons, steps):
        given, seeds = model(neurons, steps), itertools.count()

        def run():
            spikes, rates = simulate(**given, random_key=jax.random.key(next(seeds)), inverse_link_function=jnp.exp)
            return np.stack([np.asarray(spikes, float), np.asarray(rates, float)])

        return run

    made = {f"{side}: {name}": task(*size) for name, size in SIZES.items()}
    return made | {f"fresh process, after import: {side}: {FRESH_SIZE}": task(*SIZES[FRESH_SIZE])}


def ours():
    """Make the tasks of our side."""
    from recurra.glm import simulate_recurrent

    return tasks("Recurra", simulate_recurrent)


def peer():
    """Make the tasks of the other side."""
    from nemos.simulation import simulate_recurrent

    return tasks("NeMoS 0.2.8", simulate_recurrent)


def agree(values):
    """Check that both sides draw the same spikes, at the same rates."""
    import numpy as np

    found = []
    for mine, theirs in GROUPS:
        (spikes, rates), (their_spikes, their_rates) = values[mine], values[theirs]
        error = float(np.abs(rates / their_rates - 1).max())
        if not (spikes == their_spikes).all() or not error < 1e-4:
            raise SystemExit(f"error: {theirs}: other spikes than ours, rates differ by {error:.3g}")
        found.append(f"{mine}: the same {int(spikes.sum())} spikes ({spikes.mean():.3f} a bin), rates to {error:.1g}.")
    return found
