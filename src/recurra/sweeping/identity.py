"""What tells one sweep from another."""

from __future__ import annotations

import inspect
from typing import Any

from recurra.engine import Snapshot, simulate
from recurra.engine.checks import as_mapping, as_numbers
from recurra.engine.devices import Placement
from recurra.engine.feeds import make_feeds
from recurra.engine.grid import count_steps
from recurra.engine.identity import Identity, identify, versions
from recurra.engine.origin import by_path, parts_of
from recurra.engine.precision import read_precision
from recurra.engine.recording import make_recording
from recurra.engine.solvers import choose_solver
from recurra.sweeping.batches import Job
from recurra.sweeping.points import Points

READ = (
    "dt",
    "solver",
    "inputs",
    "record",
    "params",
    "history",
    "device",
)  # what is told in another form than it is given


def identity_of(job: Job, points: Points, size: int, measure_id: str | None) -> Identity:
    """Return the identity of a sweep: model, numbers, points, options, batch and measure, as a run understands them.

    Raises:
        RecurraError: an option does not fit, or the measure cannot be identified.
    """
    keywords = inspect.signature(simulate).parameters.values()
    options = {p.name: p.default for p in keywords if p.default is not p.empty} | dict(job.options)
    program = job.program.update(as_mapping(options["params"], "params"))
    steps = count_steps(job.duration, options["dt"])
    feeds: dict[str, list[Any]] = {}
    start = Snapshot({}, 0, 0.0, options["dt"])
    for feed in make_feeds(program, options["inputs"], steps, start, job.trials):
        feeds.setdefault(feed.key, []).append((feed.index, feed.rows, feed.series, feed.columns))
    history = {p: as_numbers(v, f"history of {p!r}") for p, v in as_mapping(options["history"], "history").items()}
    options["precision"] = read_precision(program, options["precision"])
    others = {k: v for k, v in options.items() if k not in (*READ, "batch", "progress", "state", "store")}
    return identify(
        {
            **parts_of(program), "start": by_path(program, program.state), "points": dict(points.numbers),
            "steps": steps, "dt": float(options["dt"]), "inputs": by_path(program, feeds), "history": history,
            "record": make_recording(program, options["record"]).labels,
            "solver": choose_solver(options["solver"] or program.solver, program.system), **others,
            "device": Placement(options["device"]).platform, "points at once": size,
            "the measure": _measure(job, measure_id), "version": versions(),
        },
        names={"the measure": "measure_id"},
    )  # fmt: skip


def _measure(job: Job, measure_id: str | None) -> Any:
    return "the recordings" if job.measure is None else job.measure if measure_id is None else measure_id
