"""The time loop: the only place where compiled code runs over time.

`run_chunk` advances up to a chunk of rows with a number of rows that is not known when it is compiled, so no duration
compiles anything anew. `run_scan` has a fixed length and can be differentiated.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from recurra.engine.program import Clock
from recurra.engine.randomness import seed_key
from recurra.engine.recording import Track
from recurra.engine.stepping import Stepper, base_drive

_traces = 0


def trace_count() -> int:
    """Return how often a time loop has been traced for compilation in this process.

    Changing a parameter, a weight, an input or a seed leaves it as it is.

    Returns:
        The number since the process began.

    >>> trace_count() >= 0
    True
    """
    return _traces


@dataclass(frozen=True)
class FeedInfo:
    """The static part of a feed.

    Arguments:
        key: the input it drives.
        series: whether it changes with time.
        whole: whether it drives all units, in their order.
        of_trials: whether trials have samples of their own.
    """

    key: str
    series: bool
    whole: bool
    of_trials: bool = False


@dataclass(frozen=True)
class LoopPlan:
    """Hold everything static about a run.

    Arguments:
        stepper: the step.
        tracks: what is recorded.
        feeds: what is driven.
        every: steps from one recorded row to the next.
        capacity: rows a chunk can hold.
        batched: keys of the parameters and states that have a leading batch axis; `None` outside of batches.
        keep: give back the state before the last row of a chunk, too.
        trials: whether every run of a batch has a seed of its own.
    """

    stepper: Stepper
    tracks: tuple[Track, ...]
    feeds: tuple[FeedInfo, ...]
    every: int
    capacity: int
    batched: frozenset[str] | None = None
    keep: bool = False
    trials: bool = False


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LoopData:
    """Hold everything a run computes with: numbers, traced, so that none of them compiles anything anew.

    Arguments:
        params, tables: the numbers of the program.
        rows: for each feed its samples, from the chunk's first step on.
        columns: for each feed and each unit of its input the column of the samples that drives it, -1 for none.
        units: for each track the units it records.
        t0, dt: start and step.
        ticks: of a run in float32, what :func:`split_step` makes of them; empty in float64.
        seed: seed of all noise, an integer or a key; with trials one key for each run.
    """

    params: Mapping[str, Array]
    tables: Mapping[str, Array]
    rows: tuple[Array, ...]
    columns: tuple[Array, ...]
    units: tuple[Array, ...]
    t0: Array
    dt: Array
    ticks: Array
    seed: Array


# Without it the CPU compiler copies every array of the state once a step, which takes as long as a small network's
# arithmetic; compilers for other devices analyse liveness in this way by themselves.
_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}


def _run_chunk(
    plan: LoopPlan, state: Mapping[str, Array], data: LoopData, first: Array, rows: Array
) -> tuple[dict[str, Array], tuple[Array, ...], dict[str, Array]]:
    """Advance by `rows` rows of `plan.every` steps from step `first` on.

    Returns:
        The state after the last step; one buffer `(capacity, units)` for each track, of which the first `rows`
        rows are filled; and the state before the last row, if the plan says so. In a batch all have a leading axis.
    """
    _count_trace()
    if plan.batched is None:
        return _chunk(plan, state, data, first, rows)
    state_axes = dict.fromkeys(state, 0)
    derived = {rule.derived_key for rule in plan.stepper.system.rules if plan.batched & {k for _, k in rule.params}}
    param_axes = {k: 0 if k in plan.batched | derived else None for k in data.params}
    columns = tuple(0 if feed.of_trials else None for feed in plan.feeds)
    seed = 0 if plan.trials else None
    data_axes = LoopData(param_axes, None, None, columns, None, None, None, None, seed)  # type: ignore[arg-type]
    return jax.vmap(functools.partial(_chunk, plan), in_axes=(state_axes, data_axes, None, None))(
        state, data, first, rows
    )


run_chunk = jax.jit(_run_chunk, static_argnums=0, compiler_options=_OPTIONS)
# The same in the memory of the state before, which is then gone.
run_chunk_in_place = jax.jit(_run_chunk, static_argnums=0, donate_argnums=1, compiler_options=_OPTIONS)


def _chunk(
    plan: LoopPlan, state: Mapping[str, Array], data: LoopData, first: Array, rows: Array
) -> tuple[dict[str, Array], tuple[Array, ...], dict[str, Array]]:
    row = _row_function(plan, data, first)
    buffers = tuple(
        jnp.zeros((plan.capacity, units.shape[0]), _dtype(track, data))
        for track, units in zip(plan.tracks, data.units, strict=True)
    )

    def body(carry: tuple) -> tuple:
        j, state, buffers = carry
        state, recorded = row(state, j)
        buffers = tuple(
            lax.dynamic_update_index_in_dim(b, r.astype(b.dtype), j, 0)
            for b, r in zip(buffers, recorded, strict=True)
        )
        return j + 1, state, buffers

    def until(end: Array, carry: tuple) -> tuple:
        return lax.while_loop(lambda carry: carry[0] < end, body, carry)

    start = (jnp.zeros((), jnp.int32), dict(state), buffers)
    if not plan.keep:
        return (*until(rows, start)[1:], {})

    def part(carry: tuple) -> tuple:
        # First all rows but one, then that one: a loop of two rounds, so that the body is compiled once.
        last, (j, before, buffers), _ = carry
        return last + 1, until(rows - 1 + last, (j, before, buffers)), before

    _, (_, after, buffers), kept = lax.while_loop(
        lambda carry: carry[0] < 2, part, (jnp.zeros((), jnp.int32), start, dict(state))
    )
    return after, buffers, kept


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def run_scan(
    plan: LoopPlan, state: Mapping[str, Array], data: LoopData, first: Array, rows: int, segment: int = 0
) -> tuple[dict[str, Array], tuple[Array, ...]]:
    """Do what `run_chunk` does, with a fixed number of rows, in a form that reverse mode can go back through."""
    _count_trace()
    return scan_rows(_row_function(plan, data, first), dict(state), rows, segment)


def scan_rows(body: Callable, carry: Any, rows: int, segment: int = 0) -> tuple[Any, Any]:
    """Scan `body(carry, j)` over rows 0 ... `rows - 1`, in segments that reverse mode computes again.

    Reverse mode keeps the carry at the beginning of every segment, and the intermediate results of one segment at a
    time: with segments of sqrt(rows) memory grows with sqrt(rows), at the cost of one more forward pass (Griewank
    1992; Chen et al. 2016).

    Arguments:
        body: carry and row number -> carry and outputs.
        carry: what goes from row to row.
        rows: number of rows, static.
        segment: rows of a segment, static; 0 for no segments.

    Returns:
        The last carry, and the outputs of all rows along a new first axis.
    """
    if not 0 < segment < rows:
        return lax.scan(body, carry, jnp.arange(rows, dtype=jnp.int32))

    def part(carry: Any, start: Array) -> tuple[Any, Any]:
        return lax.scan(body, carry, start + jnp.arange(segment, dtype=jnp.int32))

    whole = rows // segment
    starts = jnp.arange(whole, dtype=jnp.int32) * segment
    carry, found = lax.scan(jax.checkpoint(part, prevent_cse=False), carry, starts)
    found = jax.tree.map(lambda f: f.reshape(whole * segment, *f.shape[2:]), found)
    if rows % segment == 0:
        return carry, found
    carry, rest = lax.scan(body, carry, jnp.arange(whole * segment, rows, dtype=jnp.int32))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), found, rest)


@functools.partial(jax.jit, static_argnums=0)
def find_divergence(
    plan: LoopPlan, state: Mapping[str, Array], data: LoopData, first: Array, steps: Array
) -> tuple[Array, dict[str, Array]]:
    """Step until something is not finite; return the number of steps done and the state after them."""
    one = _step_function(plan, data, first)

    def fine(carry: tuple) -> Array:
        j, state = carry
        own = [value for key, value in state.items() if key not in plan.stepper.system.rule_state]
        finite = [jnp.all(jnp.isfinite(value)) for value in own]
        return functools.reduce(jnp.logical_and, finite, j < steps)

    return lax.while_loop(fine, lambda c: (c[0] + 1, one(c[1], c[0])[0]), (jnp.zeros((), jnp.int32), dict(state)))


def _count_trace() -> None:
    # Counts compilations for tests and users; nothing reads it to compute anything.
    global _traces
    _traces += 1


def loop_context(plan: LoopPlan, data: LoopData, first: Array) -> Callable:
    """Prepare what is needed at step j of the chunk: the clock, the drive and the noise."""
    stepper = plan.stepper
    random = stepper.system.noises or stepper.system.rules
    streams = stepper.streams(seed_key(data.seed), data.tables) if random else {}
    bases = {f.key: base_drive(stepper.system, f.key, data.params, data.tables) for f in plan.feeds}

    def at(j: Array):
        k = first + j
        clock = Clock(k, _time(data, k), data.dt)

        def drive(offset: float) -> dict[str, Array]:
            found: dict[str, Array] = {}
            for feed, rows, columns in zip(plan.feeds, data.rows, data.columns, strict=True):
                row = _sample(rows, j, offset) if feed.series else rows[0]
                if feed.whole:
                    row = jnp.broadcast_to(row, columns.shape)
                else:
                    # A gather and a choice, not a scatter: those stay inside one compiled loop, a scatter does not.
                    row = row if row.shape[0] == 1 else row[columns]
                    row = jnp.where(columns >= 0, row, found.get(feed.key, bases[feed.key]))
                found[feed.key] = row
            return found

        return clock, drive, stepper.noise(streams, clock)

    return at


def split_step(t0: float, dt: float) -> np.ndarray:
    """Split a step and a start so that float32 reckons every `t0 + k*dt` to its last bit.

    Returns:
        `(3,)`: the first five bits of the step, which a number of up to 19 bits multiplies exactly; the rest of it; and
        what float32 leaves of the start.

    >>> coarse, fine, rest = split_step(0.0, 0.1).tolist()
    >>> coarse, abs(coarse + fine - 0.1) < 1e-9, rest
    (0.09765625, True, 0.0)
    """
    fraction, exponent = math.frexp(dt)
    coarse = math.ldexp(math.floor(fraction * 32), exponent - 5)
    return np.array([coarse, dt - coarse, t0 - float(np.float32(t0))], np.float32)


def _time(data: LoopData, k: Array) -> Array:
    """Return the time of step k: `t0 + k*dt`, in float32 without the rounding of k and of the step."""
    if data.ticks.shape[0] == 0:
        return data.t0 + k.astype(data.dt.dtype) * data.dt
    coarse, fine, rest = data.ticks[0], data.ticks[1], data.ticks[2]
    low = k & 0xFFF
    left, right = (k - low).astype(coarse.dtype) * coarse, low.astype(coarse.dtype) * coarse  # both exact
    whole, lost = _two_sum(left, right)
    whole, more = _two_sum(whole, data.t0)
    return whole + (lost + more + (rest + k.astype(coarse.dtype) * fine))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a sum and what its rounding has left out (Knuth 1969)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _sample(rows: Array, j: Array, offset: float) -> Array:
    now = lax.dynamic_index_in_dim(rows, j, 0, keepdims=False)
    if offset == 0:
        return now
    after = lax.dynamic_index_in_dim(rows, j + 1, 0, keepdims=False)
    return after if offset == 1 else now + offset * (after - now)


def _step_function(plan: LoopPlan, data: LoopData, first: Array):
    at = loop_context(plan, data, first)

    def one(state: dict, j: Array) -> tuple[dict, dict]:
        clock, drive, noise = at(j)
        return plan.stepper.advance(clock, state, data.params, data.tables, drive, noise)

    return one


def _row_function(plan: LoopPlan, data: LoopData, first: Array):
    """Make the function that records a row and advances to the next.

    Variables are recorded before the first step of the row; what rules put out is recorded in its first step, if it is
    said to be early, or in its last.
    """
    at, one = loop_context(plan, data, first), _step_function(plan, data, first)
    single = plan.every == 1
    opening = single or any(track.early for track in plan.tracks)
    closing = not single and any(track.emitted and not track.early for track in plan.tracks)

    def row(state: dict, j: Array) -> tuple[dict, tuple[Array, ...]]:
        begin = j * plan.every
        clock, drive, noise = at(begin)
        values = plan.stepper.values(clock, state, data.params, data.tables, drive, noise)
        inner, early, late = plan.every - opening - closing, {}, {}
        if opening:
            state, early = one(state, begin)
        if inner:
            state = lax.fori_loop(0, inner, lambda i, s: one(s, begin + opening + i)[0], state)
        if closing:
            state, late = one(state, begin + plan.every - 1)
        late = early if single else late
        recorded = tuple(
            (early if track.early else late)[track.key].reshape(-1)
            if track.emitted
            else _pick(values[track.key], track, units)
            for track, units in zip(plan.tracks, data.units, strict=True)
        )
        return state, recorded

    return row


def _pick(value: Array, track: Track, units: Array) -> Array:
    return value.reshape(-1) if track.whole else value[units]


def _dtype(track: Track, data: LoopData) -> jnp.dtype:
    if track.dtype:
        return jnp.dtype(track.dtype)
    return jnp.result_type(data.dt.dtype, jnp.complex64) if track.is_complex else data.dt.dtype
