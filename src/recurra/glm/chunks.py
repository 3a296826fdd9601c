"""Fits of more data than memory holds: every pass builds the features chunk by chunk and adds up what Newton needs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.courtesy import brief
from recurra.engine.interrupts import check
from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm import newton
from recurra.glm.convolve import convolve_valid
from recurra.glm.design import Rows
from recurra.glm.firstorder import Memory, push, two_loops
from recurra.glm.fitting import fit_columns
from recurra.glm.objective import Data, Family, dot, predictor, transposed, without_intercept
from recurra.glm.penalty import Penalty
from recurra.glm.pynapple_series import aligned, values_of
from recurra.glm.solvers import Settings, Solution

# Numbers that the Hessians of all columns may take, and the features that are kept as a sample.
HESSIAN_NUMBERS, SAMPLE_NUMBERS = 2**26, 2**27
# Features beyond which Hessians of all columns cost more than they save.
HESSIAN_WORK = 400
# Bins for each feature in the Gram matrix that the columns share.
GRAM_ROWS = 32
PASSES = 100
# What many bins say in single precision, and what they are asked for in double precision.
SINGLE_TOL, LEAST_TOL = 1e-6, 1e-9


@dataclass(frozen=True, eq=False)
class ChunkedData:
    """Make features and observations chunk by chunk, as often as a fit asks for them.

    Arguments:
        features: a function of start and stop that returns the features of these bins, `(stop - start, features)` or a
            tree of such; it is called again in every pass, so the whole design matrix never exists.
        y: observations, `(time,)` or `(time, neurons)`.
        rows: bins of a chunk.
        sample_weight: `(time,)`, or `None`.
        offset: `(time,)` or `(time, neurons)`, added to the linear predictor, or `None`.

    Raises:
        OptionError: rows is not a whole number above 0.

    >>> data = ChunkedData(lambda start, stop: np.ones((stop - start, 1)), np.arange(5), rows=2)
    >>> [y.tolist() for _, y, *_ in data]
    [[0, 1], [2, 3], [4]]
    """

    features: Callable[[int, int], Any]
    y: ArrayLike
    rows: int = 2**15
    sample_weight: ArrayLike | None = None
    offset: ArrayLike | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        if isinstance(self.rows, bool) or not isinstance(self.rows, int | np.integer) or self.rows < 1:
            raise OptionError(f"rows: expected a whole number of at least 1, got {self.rows!r}.")
        aligned(self.y, self.sample_weight, self.offset, where="y, sample_weight and offset")
        for name in ("sample_weight", "offset"):
            given = getattr(self, name)
            if given is not None and np.shape(given)[:1] != np.shape(self.y)[:1]:
                raise ShapeError(f"{name}: got shape {np.shape(given)}, but y has {np.shape(self.y)[0]} bins.")

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        y, *more = (None if a is None else np.asarray(values_of(a)) for a in (self.y, self.sample_weight, self.offset))
        for start in range(0, len(y), self.rows):  # type: ignore[arg-type]
            stop = min(start + self.rows, len(y))  # type: ignore[arg-type]
            parts = (None if a is None else a[start:stop] for a in more)
            yield self.features(start, stop), y[start:stop], *parts  # type: ignore[index]


def spike_chunks(
    counts: np.ndarray,
    kernel: np.ndarray,
    inputs: np.ndarray | None,
    rows: int,
    sample_weight: ArrayLike | None,
    precision: str,
    offset: ArrayLike | None = None,
    starts: np.ndarray | None = None,
) -> ChunkedData:
    """Return chunks of the filtered past of a population, `{"coupling": ..., "inputs": ...}`, made when asked for.

    Arguments:
        counts: `(time, neurons)`, of any type of numbers.
        kernel: `(window, functions)`; row 0 is lag 1. The first `window` bins have no features.
        inputs: `(time, inputs)`, or `None`.
        rows, sample_weight: as for :class:`ChunkedData`.
        precision: of the features.
        offset: as for :class:`ChunkedData`.
        starts: `(time,)`, true where an epoch begins, whose first `window` bins have no features; `None` for bin 0.
    """
    window = len(kernel)
    time = np.arange(len(counts))
    since = time if starts is None else time - np.maximum.accumulate(np.where(starts, time, 0))

    def features(start: int, stop: int) -> dict[str, np.ndarray]:
        # The last chunk is filled up, so that all chunks share compiled code.
        series = np.full((rows + window - 1, counts.shape[1]), np.nan, precision)
        first = max(start - window, 0)
        series[first - start + window : stop - 1 - start + window] = counts[first : stop - 1]
        with jax.enable_x64(precision == "float64"):
            made = convolve_valid(jnp.asarray(kernel, precision), jnp.asarray(series))
        past = np.array(made).reshape(rows, -1)[: stop - start]
        past[since[start:stop] < window] = np.nan
        found = {"coupling": past}
        return found if inputs is None else found | {"inputs": np.asarray(inputs[start:stop], precision)}

    return ChunkedData(features, counts, rows, sample_weight, offset)


@dataclass(frozen=True)
class Source:
    """Read chunks: `read` checks one and returns its rows; `first` is the first of them."""

    chunks: Iterable[Any]
    read: Callable[[Any, Any, Any, Any], Rows]

    def __iter__(self) -> Iterator[Rows]:
        for chunk in self.chunks:
            check("interrupted; nothing was fitted")
            if not isinstance(chunk, tuple | list) or len(chunk) not in (2, 3, 4):
                raise ShapeError("chunks: every chunk must be (X, y), (X, y, sample_weight) or (X, y, sample_weight,"
                                 " offset).")  # fmt: skip
            x, y, weight, offset = (*chunk, None, None)[:4]
            yield self.read(x, y, weight, offset)


@functools.partial(jax.jit, static_argnums=(0, 1))
def terms(family: Family, second: str, data: Data, coef: Array, free: Array | None = None) -> tuple[Array, ...]:
    """Return the sums over a chunk; products have the precision of `data.x`, sums and the rest that of `coef`.

    Arguments:
        family, data: the model and the chunk.
        second: `""`, `"hessian"` for the Hessians of all columns, or `"gram"`.
        coef: `(features + 1, columns, 1)`.
        free: numbers of the features that Hessians are wanted for; `None` for all.

    Returns:
        Loss, gradient, squares of slopes, Hessians (or 0), mean curvature of the columns (or 0).
    """
    eta = predictor(data.x, coef.astype(data.x.dtype)).astype(coef.dtype)
    eta = eta if data.offset is None else eta + data.offset
    counts = data.weight > 0
    value = jnp.sum(jnp.where(counts, family.loss(data.y, eta), 0) * data.weight, axis=0)
    slope = jnp.where(counts[..., None], family.slope(data.y, eta), 0)
    square = jnp.sum(slope**2 * data.weight[..., None], axis=(0, 2))
    push = slope * data.weight[..., None]
    way = transposed(data.x, push.astype(data.x.dtype)).astype(coef.dtype).at[-1].set(jnp.sum(push, axis=0))
    way = without_intercept(family, way)
    none = jnp.zeros(())
    if second == "hessian":
        some = data if free is None else replace(data, x=data.x[:, free])
        return value, way, square, newton.hessians(family, some, eta), none
    if second == "gram":
        bend = jnp.where(counts, family.curvature(data.y, eta)[0][..., 0], 0)
        return value, way, square, none, jnp.sum(bend * data.weight, axis=0)
    return value, way, square, none, none


@functools.partial(jax.jit, static_argnums=1)
def _features_alone(data: Data, every: int | None) -> tuple[Array, Array, Array]:
    """Return the squares of the features, and the Gram matrix of every n-th row with the weight that it has."""
    size = jnp.sum(data.x**2, axis=0)
    if every is None:
        return size, jnp.zeros(()), jnp.zeros(())
    x, weight = data.x[::every], data.weight[::every, 0].astype(data.x.dtype)
    return size, newton.weighted_gram(x, weight[None])[0], jnp.sum(weight)


@jax.tree_util.register_dataclass
@dataclass
class Sums:
    """Hold what a pass finds, as means over the bins that count, penalty and mask included."""

    value: Array
    slope: Array
    spread: Array
    hessian: Array
    bend: Array


@dataclass
class Problem:
    """Hold a fit to chunks.

    Arguments:
        family: one output for each column.
        source: chunks of rows; gone through many times.
        penalty: in float64.
        free: numbers of the features that are not held, `(some,)`.
        mask: `(features + 1, columns, 1)` of 1, and 0 where a coefficient is held; `None` for none.
        last: what the last pass has found.
        count, mean, size, gram: known when a pass has been made: bins that count, mean of y in them, root mean square
            of each feature, and the Gram matrix if it was wanted.
    """

    family: Family
    source: Iterable[Rows]
    penalty: Penalty
    free: np.ndarray
    mask: Array | None
    count: float = 0.0
    mean: np.ndarray | None = None
    size: np.ndarray | None = None
    gram: Array | None = None
    last: Sums | None = None

    def go_through(self, point: np.ndarray, second: str, precision: str, every: int | None = None) -> Sums:
        """Go once through the data at some coefficients.

        Arguments:
            point: `(features + 1, columns, 1)`.
            second: as for :func:`terms`.
            precision: of the products.
            every: of how many rows one enters the Gram matrix, in the first pass.
        """
        coef = jnp.asarray(point)
        found: tuple[Array, ...] | None = None
        alone: tuple[Array, ...] | None = None
        first, count, bins, length, total = self.size is None, 0.0, 0, 0, np.zeros(coef.shape[1])
        free = None if len(self.free) + 1 == len(coef) else jnp.asarray(self.free)
        for rows in self.source:
            length = max(length, len(rows.x))
            data = read_data(rows, length, precision)
            found = _added(found, terms(self.family, second, data, coef, free))
            if first:
                alone = _added(alone, _features_alone(data, every))
                total += rows.weight @ rows.y
            count, bins = count + rows.count, bins + len(rows.x)
        if found is None or not count > 0:
            raise ShapeError("chunks: there is no row that counts.")
        if alone is not None:
            self.count, self.mean, self.size = count, total / count, np.sqrt(np.asarray(alone[0]) / bins)
            self.gram = None if every is None else alone[1] / alone[2]
        sums = self.last = _means(self.penalty, self.mask, coef, count, found)
        return sums

    def residual(self, coef: np.ndarray, sums: Sums, tol: float) -> np.ndarray:
        """Return how far the columns are from a minimum in units of their tolerance; see :func:`newton.residual`."""
        return np.asarray(_residual(self.size, self.penalty, coef, sums.slope, sums.spread, tol))


_residual = jax.jit(newton.residual)


@jax.jit
def _added(before: tuple[Array, ...] | None, more: tuple[Array, ...]) -> tuple[Array, ...]:
    wide = [m.astype("float64") for m in more]
    return tuple(wide) if before is None else tuple(b + m for b, m in zip(before, wide, strict=True))


@jax.jit
def _means(penalty: Penalty, mask: Array | None, coef: Array, count: float, sums: tuple[Array, ...]) -> Sums:
    value, slope, square, hessian, bend = sums
    slope = (slope / count).at[:-1].add(penalty.slope(coef[:-1]))
    slope = slope if mask is None else slope * mask
    value = value / count + penalty.smooth(coef[:-1]) + penalty.rest(coef[:-1])
    return Sums(value, slope, jnp.sqrt(square / count), hessian / count, bend / count)


def read_data(rows: Rows, length: int, precision: str) -> Data:
    """Return a chunk as arrays of JAX, filled up to a length so that all chunks share compiled code."""
    extra = max(0, length - len(rows.x))
    x, y, weight = rows.x, rows.y, rows.weight
    if extra:
        x, y = np.pad(x, ((0, extra), (0, 0))), np.pad(y, ((0, extra), (0, 0)), constant_values=1)
        weight = np.pad(weight, (0, extra))
    offset = None if rows.offset is None else jnp.asarray(np.pad(rows.offset, ((0, extra), (0, 0), (0, 0))))
    data = Data(jnp.asarray(x, precision), jnp.asarray(y, float), jnp.asarray(weight[:, None], float))
    return data if offset is None else replace(data, offset=offset)


def fit_chunks(
    family: Family,
    source: Iterable[Rows],
    penalty: Penalty,
    start: np.ndarray,
    settings: Settings,
    count: float,
    mask: np.ndarray | None = None,
) -> Found:
    """Fit to chunks, one pass over the data for a step.

    If the Hessians of all columns fit into memory, their sums give Newton steps. Otherwise steps are those of
    limited-memory BFGS (Liu & Nocedal 1989) that begin with a Hessian of each column made of a Gram matrix that all of
    them share; for features that many neurons see this leaves little to be learnt. A pass then is two matrix products.
    They are in single precision until they tell no more, then in the precision of the settings.

    Arguments:
        family: the family; one output for each column.
        source: chunks of rows; gone through many times.
        penalty: the penalty.
        start: `(features + 1, columns, 1)`.
        settings: the solver; `tol`, `maxiter` (passes) and `precision` are used.
        count: about how many bins there are.
        mask: `(features + 1, columns)`, false where a parameter is held at what it is in `start`.

    Returns:
        What was found.

    Raises:
        CapabilityError: a penalty with a kink, or bounds, and too many features.
    """
    features, columns = start.shape[0] - 1, start.shape[1]
    free = np.arange(features) if mask is None else np.flatnonzero(mask[:-1].any(axis=1))
    small = has_hessians(len(free), columns)
    if penalty.rough and not small:
        raise CapabilityError(
            "chunks: Lasso, GroupLasso and bounds need Hessians of all neurons, which are too large here."
        )
    if small and settings.name is None and not start[:-1].any():
        sample = _sample(source, features)
        # Single precision is enough to begin with, and keeps one copy of the sample.
        rough = Settings(None, 1e-4, 50, "float32")
        some = np.arange(columns) if mask is None else np.flatnonzero(mask.any(axis=0))
        part = None if mask is None else mask[:-1, some]
        arguments = (sample.x, sample.y[:, some], sample.weight, penalty.take(np.arange(features), some))
        start = start.copy()
        offset = sample.offset if sample.offset is None or sample.offset.shape[1] == 1 else sample.offset[:, some]
        start[:, some] = fit_columns(family, *arguments, start[:, some], rough, part, offset).coef
    with jax.enable_x64(True):
        whole = None if mask is None else jnp.asarray(mask[..., None], float)
        problem = Problem(family, source, penalty.cast("float64"), free, whole)
        if small:
            found = _by_hessians(problem, start, settings, penalty.take(free, np.arange(columns)).cast("float64"))
        else:
            found = _by_gradients(problem, start, settings, max(1, int(count / (GRAM_ROWS * features))))
        last = problem.last if small else None
        hessian, slope = (None, None) if last is None else (np.array(last.hessian), np.array(last.slope[..., 0].T))
    return Found(found, problem.count, np.asarray(problem.mean), free, hessian, slope)


@dataclass(frozen=True, eq=False)
class Found:
    """Hold what a fit to chunks has found.

    Arguments:
        solution: the solution.
        count, mean: the number of bins that count, and the mean of y in them.
        free: numbers of the features that were not held.
        hessian, slope: derivatives of the mean loss and of the objective by the free coefficients (all, for the slope)
            and intercepts at the last point that was looked at, `(columns, some + 1, some + 1)` and
            `(columns, features + 1)`; `None` where they were not needed.
    """

    solution: Solution
    count: float
    mean: np.ndarray
    free: np.ndarray
    hessian: np.ndarray | None
    slope: np.ndarray | None


def has_hessians(features: int, columns: int) -> bool:
    """Say whether the Hessians of all columns are small enough to be used."""
    return columns * (features + 1) ** 2 <= HESSIAN_NUMBERS and features <= HESSIAN_WORK


def joined(parts: list[Rows]) -> Rows:
    """Return rows one after the other."""
    names = ["x", "y", "weight"] + ["offset"] * (parts[0].offset is not None)
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _sample(source: Iterable[Rows], features: int) -> Rows:
    """Return rows spread over all chunks."""
    held: list[Rows] = []
    every, most = 1, max(1000, SAMPLE_NUMBERS // max(features, 1))
    for rows in source:
        some = rows.take(slice(None, None, every))
        held.append(replace(some, x=some.x.astype(np.float32)))
        while sum(len(h.x) for h in held) > most:
            every *= 2
            held = [replace(h.take(slice(None, None, 2)), x=h.x[::2].copy()) for h in held]
    together = joined(held)
    if not together.count > 0:
        raise ShapeError("chunks: there is no row that counts.")
    return together


@dataclass
class Descent:
    """Hold where the columns stand: the best points so far, and the way that is being tried from there."""

    best: np.ndarray
    value: np.ndarray
    left: np.ndarray
    slope: np.ndarray
    way: np.ndarray
    reach: np.ndarray
    stuck: np.ndarray
    steps: np.ndarray
    passes: int = 0

    @staticmethod
    def at(start: np.ndarray) -> Descent:
        """Return the state before the first pass."""
        none, still = np.full(start.shape[1], np.inf), np.zeros_like(start)
        count = np.zeros(len(none), int)
        return Descent(start, none, none, still, still, np.ones_like(none), count, count)

    @property
    def coef(self) -> np.ndarray:
        """The point that is tried next."""
        return self.best + np.where(self.going, self.reach, 0)[None, :, None] * self.way

    @property
    def going(self) -> np.ndarray:
        """For each column whether it needs another pass."""
        return (self.left > 1) & (self.stuck < 6)

    def judge(self, sums: Sums, left: np.ndarray, slack: float) -> np.ndarray:
        """Take over a trial point where the objective fell, go half as far where it did not; return where it fell."""
        coef, value, slope = self.coef, np.asarray(sums.value), np.asarray(sums.slope)
        fell = (value <= self.value + slack * (1 + np.abs(self.value))) | ~np.isfinite(self.value)
        self.stuck = np.where(fell & (left < 0.9 * self.left), 0, self.stuck + 1)
        wide = fell[None, :, None]
        self.best, self.slope = np.where(wide, coef, self.best), np.where(wide, slope, self.slope)
        self.value, self.left = np.where(fell, value, self.value), np.where(fell, left, self.left)
        self.reach = np.where(fell, 1.0, self.reach / 2)
        self.passes += 1
        return fell

    def turn(self, fresh: Array, fell: np.ndarray) -> None:
        """Go on in a new direction where the last one has served."""
        self.way = np.where(fell[None, :, None], np.asarray(fresh), self.way)
        self.steps = self.steps + self.going

    def solution(self, name: str) -> Solution:
        """Return what was found."""
        done = (self.left <= 1) | ((self.stuck >= 6) & (self.left <= 1e5))
        return Solution(self.best, self.value, self.left, self.steps, done, f"{name} in {self.passes} passes")


def _by_hessians(problem: Problem, start: np.ndarray, settings: Settings, penalty: Penalty) -> Solution:
    """Go down by Newton steps, exact ones or proximal ones; `penalty` is that of the free features."""
    state, tol = Descent.at(start), max(settings.tol, 1e-12)
    place = jnp.asarray(np.append(problem.free, len(start) - 1))
    for _ in range(settings.maxiter or PASSES):
        sums = problem.go_through(state.coef, "hessian", "float64")
        fell = state.judge(sums, problem.residual(state.coef, sums, tol), 1e-14)
        if not np.any(state.going):
            break
        state.turn(_newton_way(problem.mask, penalty, place, state.best, state.slope, sums.hessian), fell)
    return state.solution("proximal Newton" if penalty.rough else "exact Newton")


@jax.jit
def _newton_way(mask: Array | None, penalty: Penalty, place: Array, coef: Array, slope: Array, hessian: Array) -> Array:
    """Return the direction of free coefficients in place, and 0 for held ones."""
    if mask is not None:
        kept = mask[place, :, 0].T
        hessian = hessian * kept[:, :, None] * kept[:, None, :]
    if penalty.rough:
        some = newton.proximal_direction(hessian, penalty, coef[place], slope[place])
    else:
        some = newton.exact_direction(hessian, penalty, slope[place])
    fresh = jnp.zeros_like(coef).at[place].set(some)
    return fresh if mask is None else fresh * mask


def _by_gradients(problem: Problem, start: np.ndarray, settings: Settings, every: int) -> Solution:
    """Go down by limited-memory BFGS from a Hessian that the columns share."""
    state, memory, inverse = Descent.at(start), Memory.empty(jnp.asarray(start)), None
    left_over = settings.maxiter or PASSES
    for precision in dict.fromkeys(("float32", settings.precision)):
        double = precision == "float64"
        tol = max(settings.tol, LEAST_TOL if double else SINGLE_TOL)
        # The values and gradients of the other precision differ by rounding.
        state.value, state.left = np.full_like(state.value, np.inf), np.full_like(state.left, np.inf)
        state.way, state.stuck = np.zeros_like(state.way), np.zeros_like(state.stuck)
        while left_over > 0:
            left_over -= 1
            before, slope = state.best, state.slope
            known = inverse is not None
            sums = problem.go_through(state.coef, "" if known else "gram", precision, None if known else every)
            fell = state.judge(sums, problem.residual(state.coef, sums, tol), 1e-14 if double else 1e-9)
            if inverse is None:
                inverse = _inverse(problem.gram, sums.bend[:, None], problem.penalty)
            else:
                memory = push(memory, state.best - before, state.slope - slope)
            if not np.any(state.going):
                break
            state.turn(_quasi_newton_way(memory, inverse, problem.mask, state.slope), fell)
    return state.solution("L-BFGS")


@jax.jit
def _inverse(gram: Array, bend: Array, penalty: Penalty) -> newton.SharedInverse:
    return newton.shared_inverse(gram, bend, penalty, 1e-6)


@jax.jit
def _quasi_newton_way(memory: Memory, inverse: newton.SharedInverse, mask: Array | None, slope: Array) -> Array:
    def solve(v: Array) -> Array:
        return inverse(v) if mask is None else inverse(v * mask) * mask

    way = two_loops(memory, slope, solve)
    # A direction that rises comes from rounding only.
    return jnp.where((dot(way, slope) < 0)[None, :, None], way, -solve(slope))
