"""What a run returns: labelled rows, where it ended, what made it; and what is said of one that did not end well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from recurra.courtesy import warn
from recurra.engine.delays import ring_key
from recurra.engine.interrupts import check, take
from recurra.engine.open_ends import open_end
from recurra.engine.origin import Origin
from recurra.engine.results import Result, Snapshot
from recurra.errors import DivergenceError

if TYPE_CHECKING:
    from recurra.engine.run import Run


def make_result(
    run: Run, state: Mapping, data: Mapping[str, Any], rows: int, extra: dict, before: Mapping | None = None
) -> Result:
    """Label what was recorded, `rows` rows by name; `before` is the state before the last row, if that is open."""
    start = run.start
    steps = np.arange(rows if run.recording.tracks else 0) * run.every + start.step  # without recordings no rows
    final = Snapshot(
        {k: np.asarray(v) for k, v in state.items()},
        start.step + rows * run.every,
        start.t0,
        start.dt,
        Origin(run.program.system),
        None if before is None or rows < run.rows else open_end(before, run.feeds, run.steps, run.every, run.told),
    )
    meta = provenance(run) | extra
    return Result(start.t0 + steps * start.dt, data, run.recording.labels, final, meta)


def provenance(run: Run) -> dict[str, object]:
    """Say what made a result: seed, step, solver, precision, versions."""
    from recurra import __version__

    return {
        "dt": run.start.dt,
        "every": run.every,
        "solver": run.solver,
        "precision": run.precision,
        "seed": run.seed if isinstance(run.seed, (int, np.integer)) else str(run.seed),
        "network": run.program.graph.name,
        **({"trials": run.trials} if run.trials else {}),
        "recurra": __version__,
        "jax": jax.__version__,
    }


def stopped(done: int, total: int, partly: bool) -> dict[str, object]:
    """Say in the result of an interrupted run that it is one, and warn.

    Arguments:
        done: rows that are there.
        total: rows that were asked for.
        partly: whether a part may be returned.

    Raises:
        KeyboardInterrupt: it may not, or nothing is there.
    """
    if not partly or not done:
        check(f"interrupted after {done} of {total} rows")
    take()
    warn(f"interrupted after {done} of {total} rows.", RuntimeWarning)
    return {"interrupted": True}


def divergence(run: Run, state: Mapping[str, np.ndarray], step: int, partial: Result) -> DivergenceError:
    """Word the error for a state that is not finite."""
    key = next(k for k, v in state.items() if not np.isfinite(v).all())
    unit = int(np.argwhere(~np.isfinite(state[key]))[0][-1])
    rings = {ring_key(i): ring.source for i, ring in enumerate(run.program.system.rings)}
    name = run.program.layout.describe(rings.get(key, key), unit)
    at = run.start.t0 + step * run.start.dt
    return DivergenceError(
        f"{name} is not finite after step {step} (t = {at:g}, solver {run.solver!r}, dt = {run.start.dt:g}). Try a"
        " smaller dt or another solver; `error.result` holds what was recorded before.",
        name,
        step,
        at,
        partial,
    )


def cut_off(result: Result, cutoff: float) -> Result:
    """Leave out the rows of a result before a time after its start."""
    if not cutoff:
        return result
    start = result.time[0] if len(result.time) else 0.0
    kept = result.time - start >= cutoff - 1e-9 * max(1.0, abs(cutoff))
    return replace(
        result, time=result.time[kept], data={k: v[..., kept, :] for k, v in result.data.items()}
    )


def joined(parts: list[tuple[Result, np.ndarray]]) -> Result:
    """Put runs of a batch that were apart into their order.

    Arguments:
        parts: results of batches, and which runs they hold.
    """
    first, count = parts[0][0], sum(len(runs) for _, runs in parts)
    rows = min(len(part.time) for part, _ in parts)  # fewer where an interrupt came
    data = {}
    for name, value in first.data.items():
        data[name] = np.zeros((count, *value.shape[1:-2], rows, value.shape[-1]), value.dtype)
        for part, runs in parts:
            data[name][runs] = part.data[name][..., :rows, :]
    state: dict[str, np.ndarray] = {}
    lead = first.meta.get("trials")
    trials = lead if isinstance(lead, int) else 1
    for key, value in first.final.state.items():
        own = [part.final.state.get(key, np.zeros(0)) for part, _ in parts]
        if all(np.shape(each)[1:] == value.shape[1:] and np.ndim(each) == np.ndim(value) for each in own):
            state[key] = np.zeros((count, trials, *value.shape[1:]), value.dtype)
            for part, runs in parts:
                state[key][runs] = part.final.state[key].reshape(-1, trials, *value.shape[1:])
            state[key] = state[key].reshape(-1, *value.shape[1:])
    least = min((part for part, _ in parts), key=lambda part: part.final.step)
    final = replace(least.final, state=state, end=None)
    return Result(first.time[:rows], data, first.labels, final, least.meta)
