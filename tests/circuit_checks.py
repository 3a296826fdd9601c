"""What the tests of circuits share: comparing, loading with changed numbers, accurate runs, crossings of a level."""

from __future__ import annotations

import numpy as np

from recurra.circuits import CircuitTemplate


def close(got, expected, tolerance: float) -> None:
    """Fail where two arrays of one shape (or an array and a number) differ by more than the tolerance."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert expected.ndim == 0 or got.shape == expected.shape, f"shapes {got.shape} and {expected.shape}"
    difference = np.max(np.abs(got - expected))
    assert difference < tolerance, f"off by {difference}: {got} and {expected}"


def load(path: str, **values: float) -> CircuitTemplate:
    """Load a circuit; `values` are `node__operator__variable=number`."""
    circuit = CircuitTemplate.from_yaml(path)
    changes = {name.replace("__", "/"): value for name, value in values.items()}
    return circuit.update_var(node_vars=changes) if changes else circuit


def accurate_run(circuit: CircuitTemplate, T: float, step: float, outputs: list[str], start=None, inputs=None):
    """Run with DOP853; row k is the state at k times the step, the last row the state at T."""
    if start:
        circuit = circuit.update_var(node_vars=start)
    return circuit.run(
        simulation_time=T + step,
        step_size=step,
        outputs=outputs,
        inputs=inputs,
        solver="scipy",
        method="DOP853",
        rtol=1e-10,
        atol=1e-12,
    )


def rises(time: np.ndarray, x: np.ndarray, level: float | None = None) -> np.ndarray:
    """Return the times at which x rises through a level (by default its middle), by linear interpolation."""
    above = x - ((x.max() + x.min()) / 2 if level is None else level)
    k = np.flatnonzero((above[:-1] < 0) & (above[1:] >= 0))
    return time[k] - above[k] * (time[k + 1] - time[k]) / (above[k + 1] - above[k])
