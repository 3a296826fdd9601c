"""Sweep over parameters of any model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.courtesy import warn
from recurra.engine import Result, as_program
from recurra.engine.interrupts import check, interruptible, take
from recurra.engine.progress import Progress
from recurra.errors import OptionError, RecurraError
from recurra.sweeping.batches import Job, Outcome, choose_size, run_batch
from recurra.sweeping.collect import MISSING, Collection
from recurra.sweeping.identity import identity_of
from recurra.sweeping.points import Points, make_points

if TYPE_CHECKING:
    import xarray

IN_FLIGHT = 32
LOOK_SECONDS = 0.2  # how often a sweep that waits for others looks for Ctrl-C
FIXED = ("batch", "progress", "state")


def sweep(
    model: Any,
    values: Mapping[str, Any],
    duration: float,
    *,
    dt: float,
    mode: str = "grid",
    samples: int | None = None,
    measure: Callable[[Result], Any] | None = None,
    measure_id: str | None = None,
    batch: int | str = "auto",
    store: str | Path | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> xarray.Dataset:
    """Run a model for many parameter sets, many at once, and collect what a function measures of each run.

    A point that diverges, or that the measure cannot handle, is reported as failed, and the others go on. With a
    store, what is done is kept, and the same call goes on where a former one was killed. After Ctrl-C the points that
    were run are returned, the others as failed with the error "not run", and `attrs["interrupted"]` is 1.

    Arguments:
        model: a Network, a circuit, a rate network, a Program: anything that has a program.
        values: path -> values. In mode `"grid"` every value with every other; in `"zip"` the first values make
            the first point, `(points,)` or `(points, units)`; in `"random"` and `"lhs"` (Latin
            hypercube, McKay et al. 1979) a range `(low, high)`.
        duration: of every run, in the model's unit of time.
        dt: the step.
        mode: `"grid"`, `"zip"`, `"random"` or `"lhs"`.
        samples: number of points of `"random"` and `"lhs"`.
        measure: a function of the :class:`recurra.Result` of one point that returns a number, an array, or
            name -> number or array; `None` keeps the recordings themselves.
        measure_id: for a store, a text that stands for the measure: it tells measures apart in place of their code and
            what they read, which have no identity if they read an open file, and another one if they change what they
            read. Change it whenever the measure changes.
        batch: number of points that run at once; `"auto"` keeps the recordings of a batch within some 100 MB.
        store: a folder, which holds the results in Zarr's format.
        executor: any `concurrent.futures.Executor` (of processes, of Dask, ...), which runs the batches; what it is
            given must be such that it can send it: a measure must be a function of a module.
        seed: of the points that are drawn, and of the noise of the runs, which is the same in all. With `trials=n`
            every point is run n times with independent noise, trial i of all points with the same, and is measured in
            each: the dataset has a dimension `trial`.
        progress: show a bar with the time left if the sweep takes longer than a second.
        **options: `trials`, `inputs`, `record`, `every`, `cutoff`, `solver`, `params`, `precision`, `device`, ... as
            for :func:`recurra.simulate`.

    Returns:
        A dataset with a variable for each measure, along one dimension for each path in a grid and along `point`
        otherwise; `failed` and `error` say which points failed, and why. Those hold NaN.

    Raises:
        RecurraError: something given does not fit, every point of the first batch fails, or an executor does.
        KeyboardInterrupt: Ctrl-C came before any point was done.

    >>> from recurra import CircuitTemplate
    >>> found = sweep(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp"),
    ...     {"p/vdp_op/mu": [0.5, 1.0, 2.0]}, 50.0, dt=0.01, record={"x": "p/vdp_op/x"},
    ...     measure=lambda result: {"amplitude": abs(result["x"][-1000:]).max()})
    >>> found["amplitude"].dims, found["amplitude"].round(1).values
    (('p/vdp_op/mu',), array([2., 2., 2.]))
    """
    for name in FIXED:
        if name in options:
            raise OptionError(f"{name}: a sweep does not take it; see the arguments of recurra.sweep.")
    if measure is not None and not callable(measure):
        raise OptionError(f"measure: expected a function of a result, got {measure!r}.")
    if measure_id is not None and not isinstance(measure_id, str):
        raise OptionError(f"measure_id: expected a text that stands for the measure, got {measure_id!r}.")
    points = make_points(values, mode, samples, seed)
    job = Job(as_program(model), duration, {**options, "dt": dt, "seed": seed}, measure)
    size = choose_size(job, len(points), batch)
    identity = {} if store is None else identity_of(job, points, size, measure_id)
    collection = Collection(points, size, store, identity)
    starts = _to_do(collection)
    bar = Progress(len(points), progress, unit="point")
    bar.update(len(points) - sum(_length(points, start, size) for start in starts))
    interrupted = False
    with interruptible() as partly, contextlib.closing(bar), contextlib.closing(collection):
        try:
            _collect(job, points, collection, starts, executor, bar)
        except KeyboardInterrupt:
            # Whole batches are kept; what was under way is dropped.
            if not partly or len(starts) == 1 or (collection.status() == MISSING).all():
                raise
            interrupted = True
            take()
            warn("interrupted; points that were not run hold NaN.", RuntimeWarning)
    return collection.dataset(points, _attrs(job, interrupted), measure is None, job.trials is not None)


def _collect(
    job: Job, points: Points, collection: Collection, starts: list[int], executor: Executor | None, bar: Progress
) -> None:
    """Run the batches, and keep what came out of each."""
    size = collection.size
    with contextlib.closing(_run(job, points, starts, size, executor)) as batches:
        for start, outcome in batches:
            if start == starts[0] and len(starts) == -(-len(points) // size) and all(outcome.errors):
                _refuse(outcome)
            collection.put(start, outcome)
            bar.update(len(outcome.errors))
        check()


def _length(points: Points, start: int, size: int) -> int:
    return min(size, len(points) - start)


def _to_do(collection: Collection) -> list[int]:
    """Return where the batches begin that have points to do."""
    status, size = collection.status(), collection.size
    return [s for s in range(0, collection.points, size) if (status[s : s + size] == MISSING).any()]


def _refuse(outcome: Outcome) -> None:
    """If a whole first batch fails in the same way, it is the call that is wrong, not the points."""
    if len(set(outcome.errors)) == 1 and not outcome.errors[0].startswith("diverged"):
        raise RecurraError(f"no point of the sweep can be run: {outcome.errors[0]}")


def _run(
    job: Job, points: Points, starts: list[int], size: int, executor: Executor | None
) -> Generator[tuple[int, Outcome]]:
    """Yield batches as they are done, at most `IN_FLIGHT` under way."""

    def numbers(start: int) -> dict[str, np.ndarray]:
        return {path: value[start : start + size] for path, value in points.numbers.items()}

    if executor is None:
        for start in starts:
            yield start, run_batch(job, numbers(start), size)
        return
    left, under_way = iter(starts), {}
    try:
        while True:
            for start in left:
                under_way[executor.submit(run_batch, job, numbers(start), size)] = start
                if len(under_way) >= IN_FLIGHT:
                    break
            if not under_way:
                return
            done, _ = wait(under_way, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                yield under_way.pop(future), _result(future)
            check()
    finally:
        job.stop.set()  # for threads of this process
        for future in under_way:
            future.cancel()


def _result(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except RecurraError:
        raise
    except Exception as error:  # a worker that died, or something that cannot be sent
        raise RecurraError(
            f"the executor could not run a batch of points ({type(error).__name__}: {error}). With store= what is done"
            " is kept, and the same call goes on from there."
        ) from error


def _attrs(job: Job, interrupted: bool) -> dict[str, Any]:
    """Say what made the dataset."""
    import jax

    from recurra import __version__

    plain = {k: v for k, v in job.options.items() if isinstance(v, int | float | str)}
    extra = {"interrupted": 1} if interrupted else {}
    return {"network": job.program.graph.name, "duration": job.duration, **plain, "recurra": __version__,
            "jax": jax.__version__, **extra}  # fmt: skip
