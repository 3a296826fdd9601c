"""Run some points of a sweep at once, here or on another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recurra.engine import Program, Result, simulate
from recurra.engine.batch import check_trials
from recurra.engine.interrupts import Stop, at_once, interruptible
from recurra.engine.refit import by_structure
from recurra.errors import OptionError, RecurraError, ShapeError

BATCH_BYTES = 128_000_000
MOST_RUNS = 4096
Measures = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Job:
    """Hold what all batches of a sweep share.

    Arguments:
        program: what is run.
        duration: of every run.
        options: for :func:`recurra.engine.simulate`.
        measure: result of one point -> number, array, or name -> number or array; `None` keeps the recordings.
        stop: the way to end batches that threads of this process run.
    """

    program: Program
    duration: float
    options: Mapping[str, Any]
    measure: Callable[[Result], Any] | None
    stop: Stop = field(default_factory=Stop)

    @property
    def trials(self) -> int | None:
        """Return how many trials there are of every point, `None` if no trials were asked for."""
        return check_trials(self.options.get("trials"))


@dataclass(frozen=True, eq=False)
class Outcome:
    """Hold what came out of a batch.

    Arguments:
        measures: for each point name -> array, `None` where it failed.
        errors: for each point why it failed, `""` where it did not.
        dims: name -> labels of the last axis where a recording has several units.
        time: time of the rows, for recordings.
    """

    measures: list[Measures | None]
    errors: list[str]
    dims: Mapping[str, list[str]]
    time: np.ndarray


def run_batch(job: Job, numbers: Mapping[str, np.ndarray], size: int) -> Outcome:
    """Run points, one after the other where they cannot be run together.

    Arguments:
        job: what is run.
        numbers: path -> `(points,)` or `(points, units)`.
        size: number of runs of a full batch; a shorter one is filled up, so that nothing is compiled again.

    Raises:
        KeyboardInterrupt: someone interrupted; a part of a run is never measured.
    """
    with interruptible(job.stop):
        return _run_batch(job, numbers, size)


def _run_batch(job: Job, numbers: Mapping[str, np.ndarray], size: int) -> Outcome:
    count = len(next(iter(numbers.values())))
    try:
        base = job.program.update(job.options.get("params") or {})
        alike = by_structure(base, {path: np.asarray(value) for path, value in numbers.items()})
    except RecurraError:
        alike = []  # what is wrong with it is said where it is run
    if len(alike) > 1:
        return _joined(job, alike, count)
    if count < size:
        numbers = {path: np.concatenate([v, np.repeat(v[-1:], size - count, axis=0)]) for path, v in numbers.items()}
    try:
        result = simulate(job.program, job.duration, batch=numbers, progress=False, **job.options)
    except RecurraError as error:
        if count == 1:
            return Outcome([None], [str(error)], {}, np.zeros(0))
        # Something is wrong with at least one of them: find out with which.
        several = isinstance(job.options.get("device"), list | tuple)
        alone = replace(job, options={**job.options, "device": None}) if several else job
        single = [_run_batch(alone, {p: v[i : i + 1] for p, v in numbers.items()}, 1) for i in range(count)]
        good = next((each for each in single if each.measures[0] is not None), single[0])
        return Outcome([s.measures[0] for s in single], [s.errors[0] for s in single], good.dims, good.time)
    finite, trials = np.ones(count, bool), job.trials or 1
    # A final state has one axis for all trials of all points.
    states = [value.reshape(-1, trials, *value.shape[1:]) for value in result.final.state.values()]
    for value in [*result.data.values(), *states]:
        rows = value[:count].reshape(count, -1)
        if rows.dtype.kind in "fc":
            finite &= np.isfinite(rows.sum(axis=1)) | np.isfinite(rows).all(axis=1)
    with at_once():  # a measure may take long
        found = [_judge(job, result, i, bool(ok)) for i, ok in enumerate(finite)]
    labels = {name: result.labels[name] for name in result.data}
    return Outcome([m for m, _ in found], [e for _, e in found], labels, result.time)


def _joined(job: Job, alike: list, count: int) -> Outcome:
    """Run points of different structure, those of one structure at once, and put them into their order."""
    measures: list[Measures | None] = [None] * count
    errors, good = [""] * count, None
    for program, numbers, points in alike:
        # Sizes are rounded up to powers of two, so that few of them are compiled.
        part = run_batch(replace(job, program=program), numbers, 1 << (len(points) - 1).bit_length())
        for point, found, error in zip(points, part.measures, part.errors, strict=True):
            measures[point], errors[point] = found, error
        good = part if good is None or (not good.dims and part.dims) else good
    return Outcome(measures, errors, good.dims if good else {}, good.time if good else np.zeros(0))


def _judge(job: Job, result: Result, index: int, finite: bool) -> tuple[Measures | None, str]:
    """Measure one point, or say why it failed."""
    data = {name: value[index] for name, value in result.data.items()}
    if not finite:
        bad = [~np.isfinite(v).all(axis=-1) for v in data.values() if v.dtype.kind in "fc"]
        rows = [np.flatnonzero(each.any(axis=0) if job.trials else each) for each in bad]
        first = min((int(r[0]) for r in rows if len(r)), default=len(result.time) - 1)
        when = f" from t = {result.time[first]:g} on" if len(result.time) else ""
        return None, f"diverged: not finite{when}."
    if job.measure is None:
        return data, ""
    try:
        found = [_named(job.measure(one)) for one in _runs(result, data, index, job.trials)]
        if job.trials is None:
            return found[0], ""
        return {name: np.stack([each[name] for each in found]) for name in found[0]}, ""
    except Exception as error:  # whatever the user's function makes of this point; the others go on
        return None, f"measure failed: {type(error).__name__}: {error}"


def _runs(result: Result, data: Measures, index: int, trials: int | None) -> Iterator[Result]:
    """Yield the result of one point, or of each of its trials."""
    for trial in range(trials or 1):
        run = index * (trials or 1) + trial
        final = replace(result.final, state={key: value[run] for key, value in result.final.state.items()})
        own = {name: value[trial] for name, value in data.items()} if trials else data
        yield Result(result.time, own, result.labels, final, {k: v for k, v in result.meta.items() if k != "trials"})


def _named(value: Any) -> Measures:
    """Return what a measure returned as name -> array of numbers."""
    found = dict(value) if isinstance(value, Mapping) else {"measure": value}
    arrays = {str(name): np.asarray(each) for name, each in found.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":
            raise ShapeError(f"{name!r} is no number or array of numbers: {found[name]!r}")
    return arrays


def choose_size(job: Job, points: int, batch: int | str) -> int:
    """Return how many runs to do at once.

    Arguments:
        batch: a number, or `"auto"` for as many as keep recordings and weights within some 100 MB.

    Raises:
        OptionError: neither of these.
    """
    device = job.options.get("device")
    share = len(device) if isinstance(device, list | tuple) and device else 1  # every device gets as many
    if batch != "auto":
        if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
            raise OptionError(f"batch: expected 'auto' or a whole number of at least 1, got {batch!r}.")
        return -(-min(int(batch), points) // share) * share
    rows = max(1, round(job.duration / job.options["dt"]) // int(job.options.get("every", 1)))
    record = job.options.get("record")
    paths = job.program.layout.resolve
    if record is None:
        units = sum(target.size for target in job.program.layout.targets(("state",)))
    else:
        asked = record.values() if isinstance(record, Mapping) else [record] if isinstance(record, str) else record
        flat = [path for each in asked for path in ([each] if isinstance(each, str) else each)]
        units = sum(target.size for path in flat for target in paths(path))
    numbers = rows * units + 4 * sum(v.size for v in job.program.state.values())
    numbers = numbers * (job.trials or 1) + 2 * sum(v.size for v in job.program.params.values())
    runs = int(np.clip(BATCH_BYTES // (8 * max(numbers, 1)), 1, min(points, MOST_RUNS)))
    return -(-runs // share) * share
