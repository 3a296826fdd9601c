"""Four hundred parameter sets of the Wilson-Cowan model."""

from __future__ import annotations

TITLE = "Sweep of 400 Wilson-Cowan parameter sets, 5,000 Euler steps each"
TEXT = (
    "`grid_search` over 20 weights and 20 time constants on both sides, everything counted: copying the template, "
    "compiling, running, the DataFrame. Both sides have imported pandas before. Recurra's second row is the same call "
    "again in the same process."
)
FIRST, OURS, PEER = (
    "fresh process, after import: Recurra `grid_search`",
    "Recurra: `grid_search` again",
    "fresh process, after import: PyRates 1.2.3 `grid_search`",
)
GROUPS = [[FIRST, PEER, OURS]]

PATH = "model_templates.neural_mass_models.wilsoncowan.WC"
SIDE, T, DT, DTS = 20, 50.0, 1e-2, 0.1
WHERE = {
    "weight": {"vars": ["weight"], "edges": [("e/rate_op/r", "e/se_op/r_in")]},
    "tau": {"vars": ["rate_op/tau"], "nodes": ["e"]},
}


def search(package, **options):
    """Run the sweep with the `grid_search` of a package; return rows (time, set)."""
    import numpy as np

    circuit = package.CircuitTemplate.from_yaml(PATH)
    # Ours returns a new circuit, PyRates changes the one there is.
    circuit = circuit.update_var(node_vars={"e/se_op/r_ext": 1.0}) or circuit
    grid = {"weight": np.linspace(10, 20, SIDE), "tau": np.linspace(5, 15, SIDE)}
    results, sets = package.grid_search(
        circuit,
        grid,
        WHERE,
        step_size=DT,
        simulation_time=T,
        sampling_step_size=DTS,
        permute_grid=True,
        outputs={"E": "e/rate_op/r"},
        solver="euler",
        **options,
    )
    # Both sides name the columns after the sets; order them by the parameters.
    order = np.lexsort((sets["tau"].to_numpy(dtype=float), sets["weight"].to_numpy(dtype=float)))
    columns = [next(c for c in results.columns if c[1] == name) for name in sets.index[order]]
    return results[columns].to_numpy()


def ours():
    """Make the tasks of our side."""
    import pandas  # noqa: F401  (PyRates imports it with itself)

    import recurra

    _ = recurra.grid_search
    return {FIRST: lambda: search(recurra), OURS: lambda: search(recurra)}


def peer():
    """Make the tasks of the other side."""
    import pyrates

    return {PEER: lambda: search(pyrates, float_precision="float64", verbose=False)}


def agree(values):
    """Check that both sides find the same."""
    import numpy as np

    error = float(np.abs(values[FIRST] - values[PEER]).max())
    if not error < 1e-11 or not np.array_equal(values[FIRST], values[OURS]):
        raise SystemExit(f"error: the sweeps differ by {error:.3g}")
    return [f"All 400 trajectories agree to {error:.1g}; the largest value is {values[PEER].max():.3f}."]
