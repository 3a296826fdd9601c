"""Run a program: check what the user gave, then advance in chunks and collect the recordings."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from recurra.engine.batch import batch_numbers, check_finite, check_trials, trial_seeds
from recurra.engine.checks import as_mapping
from recurra.engine.delays import check_chains, plan_delays, with_jumps
from recurra.engine.devices import Placement, find_device
from recurra.engine.feeds import Feed, make_feeds
from recurra.engine.grid import MOST_STEPS, count_steps
from recurra.engine.identity import identify, listed, versions
from recurra.engine.interrupts import PIECE_SECONDS, came, interruptible, next_size
from recurra.engine.loop import (
    FeedInfo,
    LoopData,
    LoopPlan,
    find_divergence,
    run_chunk,
    run_chunk_in_place,
    split_step,
)
from recurra.engine.lowering import as_program
from recurra.engine.open_ends import ends_open, mark_of
from recurra.engine.origin import by_path, parts_of
from recurra.engine.outcome import cut_off, divergence, joined, make_result, stopped
from recurra.engine.precision import as_precision, in_precision, needs_wide, read_precision
from recurra.engine.program import Program
from recurra.engine.progress import Listener, Progress
from recurra.engine.randomness import check_seed
from recurra.engine.recording import Recording, make_recording
from recurra.engine.refit import STRUCTURES, of_one_structure, several_structures
from recurra.engine.results import Result, Snapshot
from recurra.engine.rules import derive_params
from recurra.engine.solvers import ADAPTIVE, choose_solver, reads_ahead
from recurra.engine.stepping import Stepper, initial_state
from recurra.engine.streaming import Rows, StoredRows
from recurra.errors import CapabilityError, DivergenceError, OptionError, PathError, TimeError, unknown

CHUNK_BYTES = 4_000_000
CHUNK_ROWS = 16384
ONCE_BYTES = 1_000_000
CHUNK_SECONDS = PIECE_SECONDS
IN_PLACE_BYTES = 1 << 26  # states from this size on change in place, since a copy takes as long as many steps


@dataclass(frozen=True)
class Run:
    """Hold a checked run: everything that the loop needs, and what the result will say of it."""

    program: Program
    recording: Recording
    feeds: tuple[Feed, ...]
    start: Snapshot
    steps: int
    every: int
    seed: int | Array
    solver: str
    precision: str
    batch: Mapping[str, np.ndarray]
    plan: LoopPlan | None
    trials: int | None = None

    @property
    def runs(self) -> int:
        """Return how many runs are done at once: all trials of all parameter sets; 0 for one run by itself."""
        return len(next(iter(self.batch.values()))) if self.batch else self.trials or 0

    @property
    def lead(self) -> dict[str, int]:
        """Return name -> length of the axes that recordings have before that of time."""
        sets = {"batch": self.runs // (self.trials or 1)} if self.batch else {}
        return sets | ({"trial": self.trials} if self.trials else {})

    @property
    def ends_open(self) -> bool:
        """Say whether the last row reads a sample of an input that is not there."""
        return reads_ahead(self.solver) and ends_open(self.feeds, self.steps)

    @property
    def closing(self) -> tuple[np.ndarray, ...] | None:
        """Return the samples of the last row of the run before, if its end was open and this run closes it."""
        end = self.start.end
        if (
            end is None
            or end.mark != mark_of(self.told)
            or {k: np.shape(v) for k, v in end.state.items()} != {k: np.shape(v) for k, v in self.start.state.items()}
        ):
            return None
        return end.closed_by(self.feeds)

    @property
    def told(self) -> tuple:
        """Return what must be the same in a run that goes on from an open end."""
        fed = [(f.key, f.columns, None if f.series else f.rows) for f in self.feeds]
        program = self.program
        own = repr(self.seed), self.trials, self.solver, self.precision
        return program.system.text, program.params, self.batch, fed, *own

    @property
    def rows(self) -> int:
        return self.steps // self.every

    @property
    def wide(self) -> bool:
        """Whether JAX must know 64 bits: arrays of rules have types of their own."""
        return needs_wide(self.program, self.precision)


def simulate(
    program: Any,
    duration: float,
    *,
    dt: float,
    solver: str | None = None,
    inputs: Mapping[str, object] | None = None,
    record: object = None,
    every: int = 1,
    cutoff: float = 0.0,
    params: Mapping[str, object] | None = None,
    batch: Mapping[str, object] | None = None,
    trials: int | None = None,
    state: Snapshot | None = None,
    seed: int | Array = 0,
    history: Mapping[str, object] | None = None,
    precision: str | None = None,
    device: object = None,
    progress: bool | Callable[[int], None] = True,
    store: str | Path | None = None,
    **solver_options: object,
) -> Result:
    """Simulate a program, or anything that has one: a circuit, a network, a graph.

    Arguments:
        program: what to run, a :class:`Program` or what :func:`as_program` takes.
        duration: how long, in the model's unit of time; a whole number of steps.
        dt: the step; for solvers that choose their own steps the interval between samples.
        solver: `"euler"`, `"heun"`, `"rk4"`, `"exponential_euler"`, `"euler_maruyama"`, `"stochastic_heun"`, `"scipy"`,
            `"tsit5"`, `"dopri8"` or `"kvaerno5"`; Euler (with noise: Euler-Maruyama) by default.
        inputs: path of an input -> a number, or samples `(steps,)` or `(steps, units)` at `t0 + k*dt`; a series with a
            time axis (pandas, xarray, pynapple) is aligned by it, or refused. With trials also
            `(trials, steps, units)`.
        record: `None` for all states, a path, a list of paths, or name -> path; `all` stands for every node.
        every: steps between recorded rows.
        cutoff: leave out rows before this time after the start.
        params: path -> number or one per unit, for this run only.
        batch: path -> `(runs,)` or `(runs, units)`: that many runs at once, each with its own numbers and all with the
            same noise. A run that diverges holds NaN from there on, and the others go on. Where delays need networks
            of different structure, `final` holds what these have in common.
        trials: that many runs at once, each with noise of its own; trial i is what `jax.random.fold_in(
            jax.random.key(seed), i)` as seed gives. Recordings are `(trials, rows, units)`; with a batch `(runs,
            trials, rows, units)`, and trial i of all its runs has the same noise. `final` has one axis for all.
        state: where to go on, the `final` of an earlier result.
        seed: an integer; the same seed gives the same noise.
        history: path of a delayed variable -> what it was before the start.
        precision: `"float64"` or `"float32"`; by default what the program was made for, else float64.
        device: a `jax.Device`, or `"cpu"`, `"gpu"`, `"gpu:1"`; or a list of them, over which the runs of a batch are
            spread, or without a batch the rows of the weights.
        progress: show a bar if the run takes longer than a second; or a function that is told the steps done.
        store: a folder for the recordings, in Zarr's format: they are written while the run goes on, in bounded
            memory, and read when they are asked for. A run that was killed goes on from its last checkpoint when the
            same call is made again, and ends with the same bits.
        solver_options: `method`, `rtol`, `atol`, `max_step` for `"scipy"`; `rtol`, `atol`, `max_steps` for diffrax.

    Returns:
        The recordings with labels, the final state and the provenance.

    Raises:
        RecurraError: something given does not fit; the message says what and how to mend it.
        DivergenceError: a variable stopped being finite.

    >>> from recurra.circuits import CircuitTemplate
    >>> circuit = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> result = simulate(circuit, 10.0, dt=0.01, solver="rk4")
    >>> result["p/vdp_op/x"].shape
    (1000, 1)
    """
    program = as_program(program)
    if alike := several_structures(program, params, batch):
        if store is not None or state is not None:
            raise CapabilityError(f"batch: {STRUCTURES}, which have no state or store in common; use recurra.sweep.")
        options: dict[str, Any] = dict(
            dt=dt, solver=solver, inputs=inputs, record=record, every=every, cutoff=cutoff, trials=trials, seed=seed,
            history=history, precision=precision, device=device, progress=progress, **solver_options,
        )  # fmt: skip
        with interruptible():
            parts = [(simulate(one, duration, batch=own, **options), runs) for one, own, runs in alike]
        return joined(parts)
    run = prepare(
        program, duration, dt, solver, inputs, record, every, params, batch, state, seed, history, precision, trials
    )
    if isinstance(cutoff, bool) or not isinstance(cutoff, Real) or not 0 <= cutoff < duration:
        raise TimeError(f"cutoff must be a time >= 0 and shorter than the duration {duration:g}, got {cutoff!r}.")
    if store is not None and (run.plan is None or cutoff):
        what = f"solver {run.solver!r} chooses its own steps" if run.plan is None else "cutoff leaves rows out"
        raise CapabilityError(f"store: {what}; use a fixed step and record every row.")
    with interruptible() as partly:
        if run.plan is None:
            from recurra.engine.adaptive import run_adaptive

            if isinstance(device, list | tuple):
                raise CapabilityError(f"solver {run.solver!r} chooses its own steps and uses one device; fix the step.")
            result = run_adaptive(run, solver_options, find_device(device), partly)
        elif solver_options:
            raise OptionError(
                f"{unknown('option', next(iter(solver_options)), _keywords())} Solver {run.solver!r} has no options."
            )
        else:
            place = Placement(device)
            if store is None:
                rows = contextlib.nullcontext(Rows(run.recording, run.rows))
            else:
                rows = _stored(run, store, place)
            with rows as kept:
                result = _run_fixed(run, run.plan, place, progress, kept, partly)
    return cut_off(result, cutoff)


def _keywords() -> list[str]:
    return [p.name for p in inspect.signature(simulate).parameters.values() if p.kind is p.KEYWORD_ONLY]


def prepare(
    program: Program,
    duration: float,
    dt: float,
    solver: str | None = None,
    inputs: Mapping[str, object] | None = None,
    record: object = None,
    every: int = 1,
    params: Mapping[str, object] | None = None,
    batch: Mapping[str, object] | None = None,
    state: Snapshot | None = None,
    seed: int | Array = 0,
    history: Mapping[str, object] | None = None,
    precision: str | None = None,
    trials: int | None = None,
) -> Run:
    """Check the arguments of a run and lay out its numbers; see :func:`simulate`."""
    if not isinstance(program, Program):
        raise OptionError(f"expected a Program, got {type(program).__name__}; `as_program` makes one of a model.")
    steps = count_steps(duration, dt)
    if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
        raise TimeError(f"every must be a whole number of steps >= 1, got {every!r}.")
    every = int(every)
    if (0 if not isinstance(state, Snapshot) else state.step) + steps > MOST_STEPS:
        raise TimeError(
            f"a run has at most {MOST_STEPS} steps in all, those before `state` included; it would end after"
            f" {state.step + steps if isinstance(state, Snapshot) else steps}."
        )
    if steps % every:
        low = steps - steps % every
        raise TimeError(
            f"{steps} steps are not a whole number of rows of {every} steps: use a duration of"
            f" {low * dt:.12g} or {(low + every) * dt:.12g}, or another `every`."
        )
    precision = read_precision(program, precision)
    check_seed(seed)
    changed = as_mapping(params, "params")
    if state is not None and any(t.kind == "state" for path in changed for t in program.layout.resolve(path)):
        raise OptionError("params: names a state; a run that goes on takes its states from `state`.")
    program = program.update(changed)
    program, batch = of_one_structure(program, as_mapping(batch, "batch"))
    check_finite(program, {**program.params, **program.state})
    solver = choose_solver(solver or program.solver, program.system)
    if solver in ADAPTIVE and program.system.rules:
        raise CapabilityError(f"solver {solver!r} chooses its own steps, a rule is called once a step: use another.")
    recording = make_recording(program, record)
    numbers, trials = batch_numbers(program, batch), check_trials(trials)
    if trials:
        numbers = {key: np.repeat(value, trials, axis=0) for key, value in numbers.items()}
    check_chains(program.system, {**program.params, **numbers})
    start = starting_point(program, state, dt, history, numbers, trials or 0)
    feeds = make_feeds(program, inputs, steps, start, trials)
    plan = None
    if solver not in ADAPTIVE:
        delays = with_jumps(plan_delays(program.system, {**program.params, **numbers}, dt), start.state)
        stepper = Stepper(program.system, solver, delays)
        plan = _loop_plan(stepper, recording, feeds, every, numbers, trials, steps)
    return Run(program, recording, feeds, start, steps, int(every), seed, solver, precision, numbers, plan, trials)


def starting_point(
    program: Program,
    state: Snapshot | None,
    dt: float,
    history: Mapping[str, object] | None,
    numbers: Mapping[str, np.ndarray],
    trials: int = 0,
) -> Snapshot:
    """Return where a run starts, a given state checked; of several runs every array has a leading axis of runs."""
    if state is None:
        return Snapshot(initial_state(program, dt, history or {}, numbers, trials), 0, 0.0, dt)
    if not isinstance(state, Snapshot):
        raise OptionError(f"state: expected the `final` of an earlier result, got {type(state).__name__}.")
    if history:
        raise OptionError("history is what was before the start; a run that goes on from a state has it already.")
    if abs(state.dt - dt) > 1e-9 * dt:
        raise TimeError(f"state: it was made with dt={state.dt:g}, this run has dt={dt:g}; use the same step.")
    if chosen := sorted(k for k in numbers if k in program.state):
        raise OptionError(f"batch: {chosen[0]!r} is a state; a run that goes on takes its states from `state`.")
    expected = {k: v.shape for k, v in initial_state(program, dt, {}, numbers, trials).items()}
    # The arrays of rules have types of their own, which differ between programs with and without surrogates.
    types = {k: value.dtype for k, value in program.state.items() if k in program.system.rule_state}
    given = {k: np.asarray(v, types.get(k)) for k, v in state.state.items()}
    alone = {k: shape[1:] for k, shape in expected.items()}
    if (numbers or trials) and alone == {k: v.shape for k, v in given.items()}:
        # All runs go on from the same state.
        given = {k: np.broadcast_to(v, expected[k]) for k, v in given.items()}
    odd = set(expected) ^ set(given) or {k for k in expected if expected[k] != given[k].shape}
    if odd and all(k.startswith("ring/") for k in odd):
        raise TimeError("state: it remembers another length of time than this run's delays need; use the same delays.")
    other = [] if odd or state.origin is None else state.origin.differs(program.system)
    if other:
        raise PathError(
            f"state: it belongs to another model; what differs: {listed(other)}. Run the model that it is of; or, if"
            " its numbers are to begin this one, hand over dataclasses.replace(state, origin=None)."
        )
    if odd:
        raise PathError(
            f"state: it belongs to another network or another batch (they differ in {', '.join(sorted(odd)[:5])})."
        )
    return replace(state, state=given)


def _loop_plan(
    stepper: Stepper,
    recording: Recording,
    feeds: tuple[Feed, ...],
    every: int,
    numbers: Mapping[str, np.ndarray],
    trials: int | None,
    steps: int,
) -> LoopPlan:
    infos = feed_infos(feeds)
    runs = len(next(iter(numbers.values()))) if numbers else trials or 1
    row = 8 * runs * max(1, sum(len(units) for units in recording.units))
    row += 8 * every * sum(f.rows.shape[1] for f in feeds if f.series)
    capacity = 1 << max(0, min(CHUNK_ROWS, CHUNK_BYTES // row).bit_length() - 1)
    batched = frozenset(numbers) if numbers or trials else None
    keep = reads_ahead(stepper.solver) and ends_open(feeds, steps)
    return LoopPlan(stepper, recording.tracks, infos, every, capacity, batched, keep, bool(trials))


def feed_infos(feeds: tuple[Feed, ...]) -> tuple[FeedInfo, ...]:
    """Return the static part of feeds."""
    return tuple(FeedInfo(f.key, f.series, f.whole, f.of_trials) for f in feeds)


def loop_data(run: Run, params: Mapping, first: int, length: int) -> LoopData:
    """Gather the numbers of the loop, with the samples of `length` steps from step `first` of the run on."""
    sets = run.lead.get("batch", 1)
    seed = run.seed if isinstance(run.seed, jax.Array) else np.int64(run.seed)
    return LoopData(
        params=params,
        tables=run.program.tables,  # type: ignore[arg-type]
        rows=samples(run, first, length),
        columns=tuple(_columns(f, sets) for f in run.feeds),
        units=run.recording.units,  # type: ignore[arg-type]
        t0=np.asarray(run.start.t0, run.precision),  # type: ignore[arg-type]
        dt=np.asarray(run.start.dt, run.precision),  # type: ignore[arg-type]
        ticks=split_step(run.start.t0, run.start.dt) if run.precision == "float32" else np.zeros(0),  # type: ignore
        seed=trial_seeds(run.seed, run.trials, sets) if run.trials else seed,  # type: ignore[arg-type]
    )


def _laid_out(buffers: Sequence[Any], run: Run) -> Sequence[Any]:
    """Return what a chunk recorded with an axis for parameter sets and one for trials, where there are both."""
    lead = tuple(run.lead.values())
    return buffers if len(lead) < 2 else [np.asarray(b).reshape(*lead, *b.shape[-2:]) for b in buffers]


def _columns(feed: Feed, sets: int) -> Any:
    """Return the columns that drive the units of a feed; of trials those of every run, for each parameter set."""
    return np.tile(feed.columns, (sets, 1)) if feed.of_trials else feed.columns


def samples(run: Run, first: int, length: int) -> tuple[Array, ...]:
    """Return for every feed its samples of `length` steps from step `first` of the run on."""
    return tuple(as_precision(f.chunk(first, length), run.precision) for f in run.feeds)  # type: ignore[misc]


def _derived(run: Run, params: dict[str, Any]) -> dict[str, Any]:
    """Let rules derive what they want from their parameters, for each run of a batch where these differ."""
    system = run.program.system
    own = list(dict.fromkeys(key for rule in system.rules for _, key in rule.params))
    if not any(key in run.batch for key in own):
        return derive_params(system, params)
    axes = {key: 0 if key in run.batch else None for key in own}
    found = jax.vmap(lambda numbers: derive_params(system, numbers), in_axes=(axes,))({k: params[k] for k in own})
    return params | {key: value for key, value in found.items() if key not in own}


def _stored(run: Run, store: str | Path, place: Placement) -> StoredRows:
    identity = identify(parts_of_run(run, place.platform))
    return StoredRows(run.recording, run.rows, store, identity, run.start.state, tuple(run.lead))


def parts_of_run(run: Run, platform: str) -> dict[str, Any]:
    """Return what tells a run from others, for :func:`identify`; `platform` says on what it computes."""
    program, start = run.program, run.start
    feeds: dict[str, list] = {feed.key: [] for feed in run.feeds}
    for feed in run.feeds:
        feeds[feed.key].append((feed.index, feed.rows, feed.series, feed.columns))
    return {
        **parts_of(program), "start": by_path(program, start.state), "first step": start.step, "t0": float(start.t0),
        "dt": float(start.dt), "inputs": by_path(program, feeds), "record": run.recording.labels, "steps": run.steps,
        "every": run.every, "seed": run.seed, "solver": run.solver, "precision": run.precision,
        "batch": by_path(program, run.batch), "trials": run.trials, "device": platform, "version": versions(),
    }  # fmt: skip


def _run_fixed(
    run: Run, plan: LoopPlan, place: Placement, progress: bool | Callable[[int], None], rows: Rows, partly: bool
) -> Result:
    """Advance chunk by chunk; between chunks look for divergence, show progress and honour Ctrl-C."""
    params = in_precision(run, {**run.program.params, **run.batch})
    begin = state = in_precision(run, rows.state if rows.state is not None else run.start.state)
    size, first, count = min(_first_rows(run, params, state), plan.capacity), rows.done, 0
    bar = Progress(run.steps, progress) if isinstance(progress, bool) else Listener(progress)
    if rows.done:
        bar.update(rows.done * run.every)
    with contextlib.closing(bar), jax.enable_x64(run.wide), place.default():
        if run.program.system.rules:
            params = _derived(run, params)
        if sum(value.nbytes for value in jax.tree.leaves(params)) > ONCE_BYTES:
            params = jax.device_put(params)  # else chunk by chunk is quicker
        params, state = place.spread(params, state, plan.batched)
        in_place = sum(value.nbytes for value in state.values()) > IN_PLACE_BYTES
        if not rows.done and run.start.end is not None:
            begin = {key: np.asarray(value) for key, value in _closed(run, plan, state, params).items()}
            state = place.spread({}, begin, plan.batched)[1]
        # Where one row would take longer than someone waits, it is done in pieces.
        long = 10 * _first_rows_of(params, state, 1) < run.every and not in_place
        long = long and not any(track.emitted for track in plan.tracks)
        chunks = _Chunks(run, plan, loop_data(run, params, 0, 1), in_place, rows.done, begin, long)
        kept: Mapping[str, Any] = {}
        while rows.done < run.rows and not came():
            count = 1 if long else min(size, run.rows - rows.done)
            begun = time.perf_counter()
            made = chunks.advance(state, rows.done, count)
            if made is None:
                break
            before, (state, buffers, kept) = state, made
            rows.put(_laid_out(place.gather(buffers), run), count)
            whole = place.gather(state)
            if not run.runs and not _finite(run, whole):
                raise _diverged(chunks, before, rows, count)
            rows.checkpoint(whole)
            bar.update(count * run.every)
            # The first chunk is short by a cautious guess; no chunk is longer than the plan allows.
            size = next_size(size, time.perf_counter() - begun, plan.capacity)
        if came() and rows.done > first:
            rows.checkpoint(place.gather(state), due=True)  # the same call goes on from here
    # A run of one piece is whole all the same; Ctrl-C then ends what called it.
    extra = stopped(rows.done, run.rows, partly) if came() and count < run.rows - first else {}
    return make_result(run, place.gather(state), rows.data(rows.done), rows.done, extra, place.gather(kept) or None)


def _closed(run: Run, plan: LoopPlan, state: Mapping, params: Mapping) -> Mapping:
    """Return the state to start from: with the last row before it computed again, if that lacked a sample."""
    end, rows = run.start.end, run.closing
    if end is None or rows is None:
        return state
    # The same compiled code, if rows are as long as before.
    plan, count = (plan, 1) if plan.every == end.steps else (replace(plan, every=1), end.steps)
    capacity, padded = plan.capacity * plan.every + 1, []
    for feed, own in zip(run.feeds, rows, strict=True):
        own = np.concatenate([own, np.repeat(own[-1:], max(0, capacity - len(own)), axis=0)]) if feed.series else own
        padded.append(as_precision(own, run.precision))
    data = replace(loop_data(run, params, 0, 1), rows=tuple(padded))
    before = {key: np.asarray(value) for key, value in in_precision(run, end.state).items()}
    return run_chunk(plan, before, data, np.int32(run.start.step - end.steps), np.int32(count))[0]


@dataclass(frozen=True)
class _Chunks:
    """Advance a run by chunks of its rows.

    Arguments:
        fixed: the numbers of the loop, but for the samples.
        in_place: change the state in its own memory; the state before is then gone.
        first: the row at which the run began; more than 0 if it goes on from a checkpoint.
        begin: the state there.
        long: whether a row is done in pieces.
    """

    run: Run
    plan: LoopPlan
    fixed: LoopData
    in_place: bool
    first: int
    begin: Mapping[str, np.ndarray]
    long: bool

    def start(self, row: int, count: int) -> tuple[LoopData, np.int32, np.int32]:
        """Return the numbers of the loop with the samples from a row on, the number of its step, and of rows."""
        return self._start(self.plan, row * self.run.every, count)

    def _start(self, plan: LoopPlan, step: int, count: int) -> tuple[LoopData, np.int32, np.int32]:
        data = replace(self.fixed, rows=samples(self.run, step, plan.capacity * plan.every + 1))
        data = data if plan.tracks else replace(data, units=())
        return data, np.int32(self.run.start.step + step), np.int32(count)

    def _in_pieces(self, state: Mapping, row: int) -> tuple[Any, Any, Any] | None:
        """Do one row: its first step, which records it, and then the others, some at a time."""
        one = replace(self.plan, every=1, capacity=1, keep=False)
        more, before = replace(one, capacity=CHUNK_ROWS, tracks=()), state if self.plan.keep else {}
        if not any(feed.series for feed in self.run.feeds):
            more = replace(more, capacity=1 << 24)
        first, every, done, size = row * self.run.every, self.run.every, 1, 64
        state, buffers, _ = jax.block_until_ready(run_chunk(one, state, *self._start(one, first, 1)))
        while done < every and not came():
            count, begun = min(size, every - done), time.perf_counter()
            state, *_ = jax.block_until_ready(run_chunk(more, state, *self._start(more, first + done, count)))
            done, size = done + count, next_size(size, time.perf_counter() - begun, more.capacity)
        return (state, buffers, before) if done == every else None

    def advance(self, state: Mapping, row: int, count: int) -> tuple[Any, Any, Any] | None:
        """Return the state after some rows, what they recorded, and the state before the last row if it is open.

        `None` if Ctrl-C came within a long row.
        """
        if self.long:
            return self._in_pieces(state, row)
        step = run_chunk_in_place if self.in_place else run_chunk
        return jax.block_until_ready(step(self.plan, state, *self.start(row, count)))

    def replay(self, row: int) -> Mapping:
        """Run again from the first state up to a row."""
        state, done = self.begin, self.first
        while done < row:
            count = min(self.plan.capacity, row - done)
            state, *_ = run_chunk_in_place(self.plan, state, *self.start(done, count))
            done += count
        return state


def _first_rows(run: Run, params: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray]) -> int:
    """Guess how many rows surely take no longer than a chunk should: some nanoseconds for every number of a step."""
    return _first_rows_of(params, state, run.every)


def _first_rows_of(params: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray], every: int) -> int:
    numbers = 4 * sum(v.size for v in jax.tree.leaves(params)) + 20 * sum(v.size for v in state.values())
    return max(1, int(CHUNK_SECONDS / (1e-9 * (100 + numbers) * every)))


def windows(program: Program, rows: int, every: int = 1, runs: int = 1) -> list[tuple[int, int]]:
    """Cut a forward run of a pure function into parts that take no longer than someone waits who has pressed Ctrl-C.

    Arguments:
        program: what is run.
        rows: how many.
        every: steps of a row.
        runs: how many runs at once.

    Returns:
        First row and number of rows of each part.
    """
    size = 10 * _first_rows_of(program.params, program.state, every * runs)
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]


def _finite(run: Run, state: Mapping[str, jax.Array]) -> bool:
    # Rules may use infinity for "never", and what they do with it is their own affair.
    own = run.program.system.rule_state
    return all(bool(np.isfinite(np.asarray(value)).all()) for key, value in state.items() if key not in own)


def _diverged(chunks: _Chunks, before: Mapping, rows: Rows, count: int) -> DivergenceError:
    """Step through the chunk again to name the variable, the unit and the step."""
    run, done = chunks.run, rows.done - count
    if chunks.in_place:
        before = chunks.replay(done)
    data, first, steps = chunks.start(done, count * run.every)
    went, state = find_divergence(chunks.plan, before, data, first, steps)
    fine = done + (int(went) - 1) // run.every + 1
    partial = make_result(run, before, rows.data(fine), fine, {"diverged": True})
    return divergence(run, {k: np.asarray(v) for k, v in state.items()}, int(first) + int(went), partial)


def check_batchable(run: Run) -> None:
    """Refuse several runs at once where a solver does one at a time."""
    if run.runs:
        what = "trials" if run.trials else "a batch"
        raise CapabilityError(f"solver {run.solver!r} cannot run {what}; use a fixed step, or a loop.")
