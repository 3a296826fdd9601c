"""Fits of more data than memory holds: every pass builds the features chunk by chunk and adds up what Newton needs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm import newton
from recurra.glm.design import Rows, read_rows
from recurra.glm.fitting import fit_columns
from recurra.glm.objective import Data, Family, predictor, transposed
from recurra.glm.penalty import Penalty
from recurra.glm.solvers import Settings, Solution

# Numbers that the Hessians of all columns may take, and the features that are kept as a sample.
HESSIAN_NUMBERS, SAMPLE_NUMBERS = 2**26, 2**27
# Multiplications of a Hessian for each of a gradient beyond which a sampled Hessian is better.
HESSIAN_WORK = 400
PASSES = 60


@dataclass(frozen=True, eq=False)
class ChunkedData:
    """Make features and observations chunk by chunk, as often as a fit asks for them.

    Arguments:
        features: a function of start and stop that returns the features of these bins, `(stop - start, features)` or a
            tree of such; it is called again in every pass, so the whole design matrix never exists.
        y: observations, `(time,)` or `(time, neurons)`.
        rows: bins of a chunk.
        sample_weight: `(time,)`, or `None`.

    Raises:
        OptionError: rows is not a whole number above 0.

    >>> data = ChunkedData(lambda start, stop: np.ones((stop - start, 1)), np.arange(5), rows=2)
    >>> [y.tolist() for _, y, _ in data]
    [[0, 1], [2, 3], [4]]
    """

    features: Callable[[int, int], Any]
    y: ArrayLike
    rows: int = 2**15
    sample_weight: ArrayLike | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rows, bool) or not isinstance(self.rows, int | np.integer) or self.rows < 1:
            raise OptionError(f"rows: expected a whole number of at least 1, got {self.rows!r}.")

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray, np.ndarray | None]]:
        y = np.asarray(self.y)
        weight = None if self.sample_weight is None else np.asarray(self.sample_weight)
        for start in range(0, len(y), self.rows):
            stop = min(start + self.rows, len(y))
            yield self.features(start, stop), y[start:stop], None if weight is None else weight[start:stop]


@dataclass(frozen=True)
class Source:
    """Read chunks: `read` checks one and returns its rows; `first` is the first of them."""

    chunks: Iterable[Any]
    read: Callable[[Any, Any, Any], Rows]

    def __iter__(self) -> Iterator[Rows]:
        for chunk in self.chunks:
            if not isinstance(chunk, tuple | list) or len(chunk) not in (2, 3):
                raise ShapeError("chunks: every chunk must be (X, y) or (X, y, sample_weight).")
            x, y, *weight = chunk
            yield self.read(x, y, weight[0] if weight else None)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _terms(family: Family, with_hessian: bool, data: Data, coef: Array) -> tuple[Array, ...]:
    """Return the sums over a chunk: loss, gradient, squares of slopes and of features, and Hessians."""
    eta = predictor(data.x, coef)
    counts = data.weight > 0
    value = jnp.sum(jnp.where(counts, family.loss(data.y, eta), 0) * data.weight, axis=0)
    slope = jnp.where(counts[..., None], family.slope(data.y, eta), 0)
    square = jnp.sum(slope**2 * data.weight[..., None], axis=(0, 2))
    way = transposed(data.x, slope * data.weight[..., None])
    matrix = newton.hessians(family, data, eta) if with_hessian else jnp.zeros(())
    return value, way, square, jnp.sum(data.x**2, axis=0), matrix


@dataclass
class Sums:
    """Hold what a pass adds up, as means over the bins that count."""

    value: Array
    slope: Array
    spread: Array
    size: Array
    hessian: Array


def one_pass(family: Family, source: Iterable[Rows], coef: Array, with_hessian: bool, length: int) -> Sums:
    """Go once through the data at some coefficients.

    Arguments:
        family: the family.
        source: the chunks.
        coef: `(features + 1, columns, 1)`.
        with_hessian: whether to form Hessians.
        length: bins to which chunks are filled up, so that all of them share compiled code.
    """
    found: list[Any] | None = None
    count, bins = 0.0, 0
    for rows in source:
        part = _terms(family, with_hessian, _data(rows, length), coef)
        found = list(part) if found is None else [a + b for a, b in zip(found, part, strict=True)]
        count, bins = count + rows.count, bins + len(rows.x)
    if found is None or not count > 0:
        raise ShapeError("chunks: there is no row that counts.")
    value, slope, square, size, hessian = found
    return Sums(value / count, slope / count, jnp.sqrt(square / count), jnp.sqrt(size / bins), hessian / count)


def _data(rows: Rows, length: int) -> Data:
    extra = max(0, length - len(rows.x))
    x, y = np.pad(rows.x, ((0, extra), (0, 0))), np.pad(rows.y, ((0, extra), (0, 0)), constant_values=1)
    weight = np.pad(rows.weight, (0, extra))[:, None]
    return Data(jnp.asarray(x, float), jnp.asarray(y, float), jnp.asarray(weight, float))


def fit_chunks(
    family: Family, source: Iterable[Rows], penalty: Penalty, start: np.ndarray, settings: Settings
) -> tuple[Solution, np.ndarray]:
    """Fit to chunks by Newton's method, one pass over the data for a step.

    If the Hessians of all columns fit into memory, their sums give exact steps. Otherwise the Hessian is that of a
    sample of the bins, while the gradient stays exact (Byrd et al. 2011): the sample sets the pace, not the result.

    Arguments:
        family: the family; one output for each column.
        source: chunks of rows; gone through many times.
        penalty: the penalty.
        start: `(features + 1, columns, 1)`.
        settings: the solver; `tol` and `maxiter` (passes) are used.

    Returns:
        The solution, and the mean rate of each column.
    """
    features, columns = start.shape[0] - 1, start.shape[1]
    small = columns * (features + 1) ** 2 <= HESSIAN_NUMBERS and features <= HESSIAN_WORK
    if penalty.rough and not small:
        raise CapabilityError(
            "chunks: Lasso, GroupLasso and bounds need Hessians of all neurons, which are too large here."
        )
    method = "proximal" if penalty.rough else "exact" if small else "truncated"
    sample, length, mean = _sample(source, features)
    weight = sample.weight
    if weight.sum() > 0 and settings.name is None:
        # Single precision is enough to begin with, and keeps one copy of the sample.
        rough = Settings(None, 1e-4, 50, "float32")
        start = fit_columns(family, sample.x, sample.y, weight, penalty, start, rough).coef
    with jax.enable_x64(True):
        return _descend(family, source, penalty.cast("float64"), start, settings, method, sample, length), mean


def _sample(source: Iterable[Rows], features: int) -> tuple[Rows, int, Any]:
    """Return rows spread over all chunks, the length of the longest chunk, and the mean of y."""
    bins, total, count, length = 0, 0.0, 0.0, 0
    held: list[Rows] = []
    every, most = 1, max(1000, SAMPLE_NUMBERS // max(features, 1))
    for rows in source:
        bins, length = bins + len(rows.x), max(length, len(rows.x))
        total, count = total + rows.weight @ rows.y, count + rows.count
        held.append(Rows(rows.x[::every].astype(np.float32), rows.y[::every], rows.weight[::every]))
        while sum(len(h.x) for h in held) > most:
            every *= 2
            held = [Rows(h.x[::2].copy(), h.y[::2].copy(), h.weight[::2].copy()) for h in held]
    if not count > 0:
        raise ShapeError("chunks: there is no row that counts.")
    together = Rows(*(np.concatenate([getattr(h, n) for h in held]) for n in ("x", "y", "weight")))
    return together, length, total / count


def _descend(
    family: Family,
    source: Iterable[Rows],
    penalty: Penalty,
    start: np.ndarray,
    settings: Settings,
    method: str,
    sample: Rows,
    length: int,
) -> Solution:
    coef = jnp.asarray(start)
    columns = coef.shape[1]
    tol = jnp.asarray(max(settings.tol, 1e-12))
    share = (sample.weight / sample.weight.sum())[:, None]
    few = Data(*(jnp.asarray(a, "float32") for a in (sample.x, sample.y, share)))
    best, value, left = coef, jnp.full(columns, jnp.inf), jnp.full(columns, jnp.inf)
    way, reach, steps = jnp.zeros_like(coef), jnp.ones(columns), np.zeros(columns, int)
    stuck = jnp.zeros(columns, int)
    passes = 0
    for _ in range(settings.maxiter or PASSES):
        passes += 1
        sums = one_pass(family, source, coef, method != "truncated", length)
        now = sums.value + penalty.smooth(coef[:-1]) + penalty.rest(coef[:-1])
        slope = sums.slope.at[:-1].add(penalty.slope(coef[:-1]))
        after = newton.residual(sums.size, penalty, coef, slope, sums.spread, tol)
        fell = now <= value + 1e-14 * jnp.abs(value)
        stuck = jnp.where(fell & (after < 0.9 * left), 0, stuck + 1)
        best, value, left = (
            jnp.where(fell[None, :, None], coef, best), jnp.where(fell, now, value), jnp.where(fell, after, left)
        )  # fmt: skip
        going = (left > 1) & (stuck < 6)
        if not bool(jnp.any(going)):
            break
        if method == "truncated":
            fresh = _truncated(family, few, penalty.cast("float32"), coef, slope, after)
        elif method == "exact":
            fresh = newton.exact_direction(sums.hessian, penalty, slope)
        else:
            fresh = newton.proximal_direction(sums.hessian, penalty, coef, slope)
        way = jnp.where(fell[None, :, None], fresh, way)
        reach = jnp.where(fell, 1.0, reach / 2)
        steps = steps + np.asarray(going)
        coef = best + jnp.where(going, reach, 0)[None, :, None] * way
    done = (left <= 1) | ((stuck >= 6) & (left <= 1e5))
    point, cost, rest = (np.asarray(a, float) for a in (best, value, left))
    return Solution(point, cost, rest, steps, np.asarray(done), f"{method} Newton in {passes} passes")


@functools.partial(jax.jit, static_argnums=0)
def _truncated(family: Family, few: Data, penalty: Penalty, coef: Array, slope: Array, residual: Array) -> Array:
    """Return the Newton direction of the sample, in single precision, for the gradient of everything."""
    # The gradient may be too small for single precision; a direction is proportional to it.
    size = jnp.maximum(jnp.max(jnp.abs(slope), axis=(0, 2)), jnp.finfo(slope.dtype).tiny)
    single = coef.astype(few.x.dtype)
    none, left = jnp.zeros(coef.shape[1], int), jnp.where(residual > 1, 10.0, 0.0).astype(few.x.dtype)
    state = newton.State(
        single,
        predictor(few.x, single),
        left,
        (slope / size[None, :, None]).astype(few.x.dtype),
        left,
        none,
        none,
        1000 * left,
    )
    # The sample differs from the whole by more than what a tighter solution would gain.
    way = newton.truncated_direction(family, few, penalty, state)
    return way.astype(slope.dtype) * size[None, :, None]


@functools.partial(jax.jit, static_argnums=0)
def _online_terms(
    family: Family, data: Data, penalty: Penalty, before: Array, pull: Array, coef: Array, count: Array
) -> tuple[Array, Array, Array]:
    """Return value, gradient and Hessians of a new chunk plus what earlier ones left, as means over all bins."""
    value, slope, _, _, hessian = _terms(family, True, data, coef)
    flat = coef[..., 0].T
    kept = jnp.einsum("pfg,pg->pf", before, flat)
    value = (value + jnp.sum(flat * (0.5 * kept - pull), axis=1)) / count + penalty.smooth(coef[:-1])
    slope = (slope + (kept - pull).T[..., None]) / count
    return value, slope.at[:-1].add(penalty.slope(coef[:-1])), hessian


@dataclass
class Memory:
    """Hold what earlier chunks say about the parameters: a quadratic function.

    Arguments:
        precision: `(columns, features + 1, features + 1)`, sums of Hessians.
        pull: precision times estimate, `(columns, features + 1)`.
        count: bins so far.
        total: sums of y, `(columns,)`.
    """

    precision: np.ndarray
    pull: np.ndarray
    count: float
    total: np.ndarray


def learn_chunk(
    family: Family, rows: Rows, penalty: Penalty, memory: Memory, start: np.ndarray
) -> tuple[np.ndarray, Memory]:
    """Add a chunk to what is known (assumed-density filtering with Laplace's approximation; Opper 1998).

    For a Gaussian model with identity link the outcome is that of one fit to all chunks.

    Arguments:
        family: the family.
        rows: the chunk.
        penalty: quadratic; counted once for all chunks.
        memory: what earlier chunks left.
        start: `(features + 1, columns, 1)`.

    Returns:
        The estimate and the memory with this chunk.
    """
    if penalty.rough:
        raise CapabilityError(
            "partial_fit: Lasso, GroupLasso and bounds do not add up over chunks; use Ridge or Smoothness, or"
            " fit_chunks."
        )
    with jax.enable_x64(True):
        part = penalty.cast("float64")
        # Chunks of nearly equal length share compiled code.
        data = _data(rows, 1 << max(6, (len(rows.x) - 1).bit_length()))
        count = jnp.asarray(memory.count + rows.count)
        before, pull, coef = (jnp.asarray(a) for a in (memory.precision, memory.pull, start))
        value, slope, hessian = _online_terms(family, data, part, before, pull, coef, count)
        for _ in range(100):
            way = newton.exact_direction((hessian + before) / count, part, slope)
            reach = jnp.ones_like(value)
            for _ in range(newton.HALVINGS):
                trial = coef + reach[None, :, None] * way
                after = _online_terms(family, data, part, before, pull, trial, count)
                worse = ~(after[0] <= value + 1e-14 * (1 + jnp.abs(value)))
                if not bool(jnp.any(worse)):
                    break
                reach = jnp.where(worse, reach / 2, reach)
            coef, (value, slope, hessian) = trial, after
            if float(jnp.max(jnp.abs(slope))) < 1e-10 or float(jnp.max(jnp.abs(reach[None, :, None] * way))) < 1e-12:
                break
        found = np.asarray(coef)
        fresh = np.asarray(hessian)
    # The chunk's loss is replaced by its quadratic function around the estimate.
    with jax.enable_x64(True):
        gradient = np.asarray(_terms(family, False, data, jnp.asarray(found))[1])[..., 0].T
    flat = found[..., 0].T
    pull_now = memory.pull + np.einsum("pfg,pg->pf", fresh, flat) - gradient
    whole = Memory(memory.precision + fresh, pull_now, memory.count + rows.count, memory.total + rows.weight @ rows.y)
    return found, whole


def read_chunk(x: np.ndarray, y: np.ndarray, weight: ArrayLike | None) -> Rows:
    """Return the rows of a chunk, of which none need count."""
    try:
        return read_rows(x, y, weight)
    except ShapeError as error:
        if "no row is left" in str(error):
            return Rows(np.zeros_like(x), np.ones_like(y), np.zeros(len(x)))
        raise
