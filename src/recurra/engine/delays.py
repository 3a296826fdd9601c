"""Ring buffers: what a variable was, some steps ago.

A ring holds L rows twice, one copy after the other, so that the rows k-L+1 ... k always lie in one piece and a gather
with a different delay per edge needs one addition per edge and no modulo. Measured for 90 x 90 delays: 8 us a step
against 15 us with a modulo.

The rule, for every solver: before the start a delayed edge carries nothing and `past()` sees the initial value, unless
a history is given. A value between two steps is interpolated linearly.

The past that is nothing, or a number, ends in a jump to the initial value, and a jump is no ramp of one step: a stage
that looks back at the moment of the jump sees what was before it (the left limit). Where the jump falls into the midst
of a step, the stages see its mean over the step. So Heun and Runge-Kutta keep order 2 (Bellen & Zennaro 2003, ch. 4, on
steps across discontinuities). A history in rows goes over into the initial value in a straight line, without a jump.
The last row of a ring says for which units there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from recurra.engine.layout import Target
from recurra.engine.system import PastRead, Projection, System
from recurra.equations import evaluate, evaluate_numpy
from recurra.errors import PathError, ShapeError, TimeError, unknown

Jumps = Literal["all", "some", "none"]


@dataclass(frozen=True)
class DelayPlan:
    """Say how the rings are read: static, made from the delays and the step when a run is prepared.

    Arguments:
        lengths: number of rows of each ring.
        uniform: for each delayed projection, whether all its delays are equal.
        on_grid, past_on_grid: for each projection and each past read, whether all its delays are whole steps.
        past_none: for each past read, whether some of its delays are 0, so that it reads the present.
        jumps: for each ring, whether its past ends in a jump: for `"all"` units, for `"some"`, or for `"none"`.
        smooth: read for derivatives by the delays; then no delay counts as on the grid.
    """

    lengths: tuple[int, ...]
    uniform: tuple[bool, ...]
    on_grid: tuple[bool, ...]
    past_on_grid: tuple[bool, ...]
    past_none: tuple[bool, ...]
    jumps: tuple[Jumps, ...]
    smooth: bool = False


NO_DELAYS = DelayPlan((), (), (), (), (), ())
_TOLERANCE = 1e-6  # of a step: a delay so near to a whole number of steps is that number


def plan_delays(system: System, params: Mapping[str, np.ndarray], dt: float) -> DelayPlan:
    """Decide the size of the rings and how they are read.

    Arguments:
        system: the static half of the program.
        params: the parameters; a parameter that is swept has all its values along extra leading axes.
        dt: the step.

    Raises:
        TimeError: a delay is negative, not finite, or shorter than a step and not 0.
    """
    if not system.rings:
        return NO_DELAYS
    longest = [1.0] * len(system.rings)
    uniform, on_grid, past_on_grid, past_none = [], [], [], []
    for projection in system.projections:
        if projection.ring < 0:
            uniform.append(False)
            on_grid.append(True)
            continue
        steps = _in_steps(params[projection.delays], dt, projection.label, zero_ok=projection.present)
        # A sum over the whole source has one delay, though each run of a batch may have its own.
        alike = projection.delivery == "all_to_all" or bool(np.all(steps == steps.flat[0]))
        uniform.append(alike and not projection.present)
        on_grid.append(bool(np.all(steps == np.round(steps))))
        longest[projection.ring] = max(longest[projection.ring], float(steps.max()))
    for read in system.past_reads:
        values = {name: params[key] for name, key in read.names}
        delay = np.asarray(evaluate_numpy(read.delay, values), float)
        steps = _in_steps(delay, dt, f"past({read.source})", zero_ok=True)
        past_on_grid.append(bool(np.all(steps == np.round(steps))))
        past_none.append(bool(np.any(steps == 0)))
        longest[read.ring] = max(longest[read.ring], float(steps.max()))
    lengths = tuple(int(np.floor(steps)) + 2 for steps in longest)
    for ring, length in zip(system.rings, lengths, strict=True):
        if 2 * length * system.shape_of[ring.source][0] >= 2**31:
            raise TimeError(f"the delay of {ring.source!r} takes {length} steps of {dt:g}, too many to remember.")
    jumps: tuple[Jumps, ...] = tuple("none" if ring.prefill == "initial" else "all" for ring in system.rings)
    return DelayPlan(lengths, tuple(uniform), tuple(on_grid), tuple(past_on_grid), tuple(past_none), jumps)


def with_jumps(plan: DelayPlan, state: Mapping[str, Any]) -> DelayPlan:
    """Return a plan that knows from the rings of a state for which units the past ends in a jump."""
    if not plan.lengths:
        return plan

    def of(ring: int) -> Jumps:
        jumps = np.asarray(state[ring_key(ring)][..., -1, :]) != 0
        return "all" if jumps.all() else "some" if jumps.any() else "none"

    return replace(plan, jumps=tuple(of(i) for i in range(len(plan.lengths))))


def _in_steps(delay: np.ndarray, dt: float, where: str, zero_ok: bool) -> np.ndarray:
    if not np.all(np.isfinite(delay)) or np.any(delay < 0):
        raise TimeError(f"{where}: a delay must be a finite time >= 0, got {np.asarray(delay).min()}.")
    steps = np.asarray(delay) / dt
    whole = np.round(steps)
    steps = np.where(np.abs(steps - whole) < _TOLERANCE, whole, steps)
    short = (steps < 1) & ~((np.asarray(delay) == 0) & zero_ok)
    if np.any(short):
        got = float(np.asarray(delay)[short].flat[0] if np.ndim(delay) else delay)
        raise TimeError(
            f"{where}: a delay of {got:g} is shorter than the step {dt:g}. Use dt <= {got:g}, a delay of at least"
            f" {dt:g}, or no delay."
            if got
            else f"{where}: a delay was set to 0 after lowering; leave it out of the edge's definition instead."
        )
    return steps


def check_chains(system: System, params: Mapping[str, np.ndarray]) -> None:
    """Check the delays of gamma chains, whose rates are their inverse.

    Raises:
        TimeError: one is not a finite time > 0.
    """
    for chain in system.chains:
        delay = params[chain.delays]
        if not np.all((delay > 0) & np.isfinite(delay)):
            raise TimeError(f"{chain.delays}: the delay of a gamma chain must be a finite time > 0, got {delay.min()}.")


def fit_rings(system: System, plan: DelayPlan, params: Mapping[str, Array], dt: float) -> Array:
    """Say whether delays, which may be traced, are long enough to be read and short enough for the rings of a plan."""
    fits = jnp.ones((), bool)
    for projection in system.projections:
        if projection.ring >= 0:
            steps = params[projection.delays] / dt
            fine = (steps > 1 - _TOLERANCE) & (steps < plan.lengths[projection.ring] - 1)
            fits &= jnp.all(fine | (steps == 0) if projection.present else fine)
    for read, some in zip(system.past_reads, plan.past_none, strict=True):
        steps = _past_steps(read, params, jnp.asarray(dt))
        fine = (steps > 1 - _TOLERANCE) & (steps < plan.lengths[read.ring] - 1)
        fits &= jnp.all(fine | (steps == 0) if some else fine)
    return fits


def fresh_rings(
    system: System,
    plan: DelayPlan,
    state: Mapping[str, np.ndarray],
    history: Sequence[tuple[str, Target, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Fill the rings with what was before the first step.

    Arguments:
        history: path, place and value: a number, one per unit, or rows `(steps, units)` of which the last is one step
            before the start, from which the past goes in a straight line to the value at the start.

    Raises:
        PathError: nobody reads the past of a variable of the history.
        ShapeError: a value of the history has the wrong shape.
    """
    read = [ring.source for ring in system.rings]
    for path, target, value in history:
        if target.key not in read:
            raise PathError(unknown("delayed variable", path, read, "history"))
        if np.iscomplexobj(value) and target.key not in system.complex_keys:
            raise ShapeError(f"history of {path!r}: got complex values, the variable is real.")
        if not np.isfinite(value).all():
            raise ShapeError(f"history of {path!r}: holds values that are not finite.")
    rings = {}
    for i, (ring, length) in enumerate(zip(system.rings, plan.lengths, strict=True)):
        dtype = complex if ring.source in system.complex_keys else float
        rows = np.zeros((length, *system.shape_of[ring.source]), dtype)
        jumps = np.ones((1, *rows.shape[1:]), dtype)
        if ring.prefill == "initial":
            rows[:], jumps[:] = state[ring.source], 0
        for path, target, value in history:
            if target.key == ring.source:
                _fill_history(rows, path, target, value)
                jumps[0, target.index] = value.ndim < 2
        rings[ring_key(i)] = np.concatenate([rows, rows, jumps])
    return rings


def refill_rings(
    system: System, state: Mapping[str, Any], told: Mapping[str, np.ndarray], where: Callable[..., Any]
) -> dict[str, Any]:
    """Make the past that `past()` sees equal to the initial values of `state`, which may be traced or of a batch.

    Arguments:
        system: the static half of the program.
        state: states and rings.
        told: for each remembered variable which of its units have a history, which stays.
        where: NumPy's or JAX's.
    """
    rings = {}
    for i, ring in enumerate(system.rings):
        if ring.prefill == "initial":
            now, past = state[ring.source][..., None, :], state[ring_key(i)]
            keep = np.broadcast_to(told[ring.source], past.shape).copy()
            keep[..., -1, :] = True
            rings[ring_key(i)] = where(keep, past, np.ones(past.shape) * now)
    return rings


def _fill_history(rows: np.ndarray, path: str, target: Target, value: np.ndarray) -> None:
    length = len(rows)
    if value.ndim == 2 and value.shape[1] == target.size and len(value) >= length - 1:
        # Row r holds step k with k % length == r; the row of step 0 is written by the first step.
        for back in range(1, length):
            rows[(-back) % length, target.index] = value[-back]
    elif value.ndim < 2 and value.shape in ((), (1,), (target.size,)):
        rows[:, target.index] = value
    else:
        raise ShapeError(
            f"history of {path!r}: got shape {value.shape}, expected a number, ({target.size},), or at least"
            f" ({length - 1}, {target.size}): rows up to one step before the start."
        )


def ring_key(index: int) -> str:
    """Return the key under which a ring is part of the state."""
    return f"ring/{index}"


def delayed_key(index: int) -> str:
    """Return the key under which the delayed source of a projection is found among the values."""
    return f"projection/{index}"


def push(state: Mapping[str, Array], values: Mapping[str, Array], system: System, step: Array) -> dict:
    """Write the present values of all remembered variables into their rings."""
    rings = {}
    for i, ring in enumerate(system.rings):
        buffer = state[ring_key(i)]
        length = buffer.shape[0] // 2
        row = jnp.broadcast_to(values[ring.source], buffer.shape[1:]).astype(buffer.dtype)
        at = step % length
        buffer = lax.dynamic_update_index_in_dim(buffer, row, at, 0)
        rings[ring_key(i)] = lax.dynamic_update_index_in_dim(buffer, row, at + length, 0)
    return rings


@dataclass(frozen=True)
class Moment:
    """Say when a ring is read: `offset` of a step of `dt` after the beginning of step `step`.

    `left` says that this is a stage of a solver, which belongs to the step that begins there; otherwise it is the
    beginning of the step that comes then.
    """

    step: Array
    offset: float
    dt: Array
    left: bool = True


def read_delays(
    system: System,
    plan: DelayPlan,
    state: Mapping[str, Array],
    params: Mapping[str, Array],
    tables: Mapping[str, Array],
    moment: Moment,
) -> dict[str, Array]:
    """Read everything that is delayed, as seen at a moment."""
    found = {}
    for i, projection in enumerate(system.projections):
        if projection.ring >= 0:
            reader = _Reader(state[ring_key(projection.ring)], moment, plan.on_grid[i], plan.jumps[projection.ring])
            found[delayed_key(i)] = _read_projection(projection, plan, plan.uniform[i], reader, params, tables)
    for i, read in enumerate(system.past_reads):
        reader = _Reader(state[ring_key(read.ring)], moment, plan.past_on_grid[i], plan.jumps[read.ring])
        steps = _past_steps(read, params, moment.dt)
        columns = jnp.arange(reader.width, dtype=jnp.int32)
        # Where the delay is 0 anything will do that exists; `with_present` fills it in.
        steps = jnp.broadcast_to(jnp.where(steps < 0.5, 1.0, steps), columns.shape)
        found[read.target] = reader.read(steps, columns, plan.smooth)
    return found


def _read_projection(
    projection: Projection,
    plan: DelayPlan,
    uniform: bool,
    reader: _Reader,
    params: Mapping[str, Array],
    tables: Mapping[str, Array],
) -> Array:
    """Read the source of a delayed projection: per source unit if all delays are equal, else per edge."""
    delay = params[projection.delays]
    if uniform:
        return reader.read(delay.reshape(-1)[0] / reader.moment.dt, None, plan.smooth)
    if projection.columns:
        columns = tables[projection.columns]
    else:
        columns = jnp.broadcast_to(jnp.arange(reader.width, dtype=jnp.int32), delay.shape)
    steps = delay / reader.moment.dt
    if projection.present:
        steps = jnp.where(steps < 0.5, 1.0, steps)  # `present_entries` fills in what has no delay
    return reader.read(steps, columns, plan.smooth)


def present_entries(
    projection: Projection, source: Array, entries: Array, params: Mapping[str, Array], tables: Mapping[str, Array]
) -> Array:
    """Let every entry whose delay is 0 be the source as it is now, at this stage of the step."""
    now = source[tables[projection.columns]] if projection.columns else jnp.broadcast_to(source, entries.shape)
    return jnp.where(params[projection.delays] == 0, now, entries)


def _past_steps(read: PastRead, params: Mapping[str, Array], dt: Array) -> Array:
    delay = evaluate(read.delay, {name: params[key] for name, key in read.names})
    return jnp.atleast_1d(jnp.asarray(delay, jnp.asarray(dt).dtype)) / dt


def with_present(
    system: System, plan: DelayPlan, state: Mapping[str, Array], params: Mapping[str, Array], delayed: dict[str, Array]
) -> dict[str, Array]:
    """Let every `past(x, 0)` be x as it is now, at this stage of the step: it is no delay."""
    found = {}
    for read, some in zip(system.past_reads, plan.past_none, strict=False):
        if some:
            # A delay is 0 or at least a step; so the step makes no difference here.
            none = _past_steps(read, params, jnp.ones(())) == 0
            found[read.target] = jnp.where(none, state[read.source], delayed[read.target])
    return found


@dataclass(frozen=True)
class _Reader:
    """Read a ring at a moment; `columns` are the units to read, `None` for the whole row."""

    buffer: Array
    moment: Moment
    on_grid: bool
    jumps: Jumps

    @property
    def width(self) -> int:
        return self.buffer.shape[1]

    def read(self, steps: Array, columns: Array | None, smooth: bool) -> Array:
        """Return what was `steps` steps before the moment."""
        offset = self.moment.offset
        plain = self._reading(steps - offset, columns, exact=self.on_grid and offset in (0, 1))
        if self.jumps == "none" or offset == 0 or not self.moment.left:
            return plain()
        if self.jumps == "some" and columns is None:
            columns = jnp.arange(self.width, dtype=jnp.int32)  # each unit is read by itself
        if columns is None or smooth:
            return self._beside_jump(steps, columns, smooth)
        # There is one of them for every edge, and none once the start is forgotten. What `plain` needs is outside of
        # the choice, so that it is computed once for all steps.
        length = self.buffer.shape[0] // 2
        return lax.cond(self.moment.step < length, lambda: self._beside_jump(steps, columns, smooth), plain)

    def _beside_jump(self, steps: Array, columns: Array | None, smooth: bool) -> Array:
        whole = self.on_grid and self.moment.offset == 1
        back = self._around_jump(_whole(steps) if whole else steps, columns)
        value = self._reading(back, columns, exact=whole)()
        if not whole:
            value = value + self._since_jump(steps, columns)
        if not smooth:
            return value
        # Where the step begins at the jump, the jump moves into the step before, or into this one, with the delay:
        # to both sides the derivative is that of the mean over the step.
        here = jnp.abs(lax.stop_gradient(steps) - self.moment.step) < _TOLERANCE
        here &= self._jumping(columns)
        moved = self._reading(steps, columns)() - self._reading(lax.stop_gradient(steps), columns)()
        return value + jnp.where(here, moved, 0)

    def _around_jump(self, steps: Array, columns: Array | None) -> Array:
        """Return how far back a stage looks, where it must not look across the start of the past.

        The step begins at `step - steps`, counted from the start. If that lies before the start, the stage looks at
        the last row before the start at the latest; or, with the start within the step, where the first stage looks.
        """
        step, later = self.moment.step, steps - int(self.moment.offset)
        if not jnp.issubdtype(steps.dtype, jnp.integer):
            step, later = step.astype(steps.dtype), steps - self.moment.offset
            before = step < steps - _TOLERANCE
        else:
            before = step < steps
        if self.jumps == "some":
            before &= self._jumping(columns)
        return jnp.where(before, jnp.maximum(later, jnp.minimum(steps, step + 1)), later)

    def _since_jump(self, steps: Array, columns: Array | None) -> Array:
        """Return how much a source has moved between the start and where a stage looks, if the step began before it.

        So what a stage sees is a continuous function of the delay.
        """
        step, length = self.moment.step, self.buffer.shape[0] // 2
        begin = step.astype(steps.dtype) - steps
        since = begin + self.moment.offset
        found = (begin < -_TOLERANCE) & (since > 0)
        if self.jumps == "some":
            found &= self._jumping(columns)
        back = jnp.clip(step, 1, length - 1)
        change = self._rows(back - 1)() - self._rows(back)()
        change = change if columns is None else change[columns]
        return jnp.where(found, since * change, 0)

    def _jumping(self, columns: Array | None) -> Array:
        """Say which of the units to read have a jump at the start of their past."""
        found = self.buffer[-1] != 0
        return found if columns is None else found[columns]

    def _reading(self, steps: Array, columns: Array | None, exact: bool = False) -> Callable[[], Array]:
        """Return what reads a number of steps back, in a straight line between two rows, or at a row.

        All of it that is the same at every step is computed at once.
        """
        if exact:
            return self._rows(_whole(steps), columns)
        # A whole number that was rounded down must not reach for the row after it, which may not be written yet.
        older = jnp.floor(lax.stop_gradient(steps) + _TOLERANCE).astype(jnp.int32) + 1
        weight = older - steps
        before, after = self._rows(older, columns), self._rows(older - 1, columns)
        return lambda: before() * (1 - weight) + after() * weight

    def _rows(self, back: Array, columns: Array | None = None) -> Callable[[], Array]:
        """Return what reads rows so many steps before the newest; they always exist below it in the second copy."""
        length = self.buffer.shape[0] // 2
        newest = self.moment.step % length + length
        if columns is None:
            return lambda: lax.dynamic_index_in_dim(self.buffer, newest - back, 0, keepdims=False)
        # The whole index but for one number does not change from step to step, so a gather costs one addition per edge.
        index, first = columns - back * self.width, (newest * self.width).astype(jnp.int32)
        return lambda: self.buffer.reshape(-1).at[first + index].get(mode="promise_in_bounds")


def _whole(steps: Array) -> Array:
    return jnp.round(lax.stop_gradient(steps)).astype(jnp.int32)


def gamma_order(delay: float, spread: float) -> int:
    """Return the number of stages whose total delay has mean `delay` and standard deviation `spread`.

    A chain of n equal stages has standard deviation delay / sqrt(n), so n = (delay / spread)^2, rounded.

    >>> gamma_order(2.0, 0.8)
    6
    """
    return max(1, math.floor((delay / spread) ** 2 + 0.5))
