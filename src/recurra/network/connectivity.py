"""Weights to begin with: each function returns `W[target unit, source unit]`, made of a seed, dense or sparse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recurra.errors import OptionError, ShapeError, unknown

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    Matrix = np.ndarray | csr_array

Kernel = Callable[[np.ndarray], np.ndarray]


def random_connectivity(
    n: int, m: int, p: float, normalize: bool = True, seed: int = 0, sparse: bool = False
) -> Matrix:
    """Let every target have the same number of sources, drawn without repetition.

    Arguments:
        n, m: number of targets and sources.
        p: fraction of the sources that reach a target; each target has exactly round(p*m).
        normalize: whether the weights into a target sum to 1; they are 1 otherwise.
        seed: of the draw.
        sparse: whether to return a matrix of `scipy.sparse`.

    Returns:
        `(n, m)`.

    Raises:
        OptionError: `p` is no fraction, or a count is no whole number >= 1.

    >>> random_connectivity(3, 10, 0.2).sum(axis=1)
    array([1., 1., 1.])
    """
    n, m = _count(n, "n"), _count(m, "m")
    degree = _degree(p, m)
    rng = _generator(seed)
    columns = [rng.choice(m, degree, replace=False) for _ in range(n)]
    value = 1.0 / degree if normalize and degree else 1.0
    return _matrix(columns, [np.full(degree, value)] * n, (n, m), sparse)


def circular_connectivity(
    N: int,
    p: float,
    spatial_distribution: Any,
    homogeneous_weights: bool = True,
    seed: int = 0,
    sparse: bool = False,
) -> Matrix:
    """Join units on a ring, the nearer the likelier.

    Arguments:
        N: number of units.
        p: each unit has exactly round(p*N) sources, drawn without repetition.
        spatial_distribution: of the distance on the ring in units: an object with `pmf`, such as one of
            `scipy.stats.rv_discrete`, or a function of an array of distances.
        homogeneous_weights: whether all weights into a unit are equal; they follow the distribution otherwise. They sum
            to 1 in both cases.
        seed, sparse: as in :func:`random_connectivity`.

    Returns:
        `(N, N)`.

    Raises:
        OptionError: the distribution leaves too few sources.

    >>> ring = circular_connectivity(6, 0.34, lambda d: np.where(d == 1, 1.0, 0.0))
    >>> ring[0]
    array([0. , 0.5, 0. , 0. , 0. , 0.5])
    """
    units = np.arange(_count(N, "N"))
    apart = np.abs(units[:, None] - units)
    return _by_distance(np.minimum(apart, N - apart), p, spatial_distribution, homogeneous_weights, seed, sparse)


def line_connectivity(
    N: int,
    p: float,
    spatial_distribution: Any,
    homogeneous_weights: bool = True,
    seed: int = 0,
    sparse: bool = False,
) -> Matrix:
    """Join units on a line, the nearer the likelier.

    Arguments:
        N, p, spatial_distribution, homogeneous_weights, seed, sparse: as in :func:`circular_connectivity`.

    Returns:
        `(N, N)`.

    Raises:
        OptionError: the distribution leaves too few sources, or a number is out of range.

    >>> line_connectivity(4, 0.25, lambda d: np.where(d == 1, 1.0, 0.0))[0]
    array([0., 1., 0., 0.])
    """
    units = np.arange(_count(N, "N"))
    apart = np.abs(units[:, None] - units)
    return _by_distance(apart, p, spatial_distribution, homogeneous_weights, seed, sparse)


def input_connections(
    n: int,
    m: int,
    p: float,
    variance: float = 1.0,
    zero_mean: bool = True,
    seed: int = 0,
    sparse: bool = False,
) -> Matrix:
    """Spread input channels over units with normally distributed weights.

    Arguments:
        n, m: number of units and of input channels.
        p: each channel reaches exactly round(p*n) units.
        variance: of the weights.
        zero_mean: whether the mean of each channel's weights is taken off them, so that it is 0 exactly.
        seed, sparse: as in :func:`random_connectivity`.

    Returns:
        `(n, m)`.

    Raises:
        OptionError: a number is out of range.

    >>> W = input_connections(100, 3, 0.5)
    >>> (W != 0).sum(axis=0).tolist(), bool(abs(W.sum(axis=0)).max() < 1e-12)
    ([50, 50, 50], True)
    """
    n, m = _count(n, "n"), _count(m, "m")
    if not 0 <= variance < np.inf:
        raise OptionError(f"variance must be a finite number >= 0, got {variance!r}.")
    degree, rng = _degree(p, n), _generator(seed)
    rows = [rng.choice(n, degree, replace=False) for _ in range(m)]
    values = [rng.standard_normal(degree) * np.sqrt(variance) for _ in range(m)]
    if zero_mean and degree:
        values = [v - v.mean() for v in values]
    return _matrix(rows, values, (m, n), sparse).T


def small_world(n: int, k: int, beta: float, weight: float = 1.0, seed: int = 0, sparse: bool = False) -> Matrix:
    """Join each unit with its neighbours on a ring, then draw some of its sources anew (Watts and Strogatz 1998).

    Arguments:
        n: number of units.
        k: number of sources of each unit, half of them on either side; even, and less than n.
        beta: chance of each source to be replaced by any other unit; the number of sources stays k.
        weight: of every connection.
        seed, sparse: as in :func:`random_connectivity`.

    Returns:
        `(n, n)`, with an empty diagonal.

    Raises:
        OptionError: a number is out of range.

    >>> small_world(5, 2, 0.0)[0]
    array([0., 1., 0., 0., 1.])
    """
    n, k = _count(n, "n"), _count(k, "k")
    if k % 2 or k >= n:
        raise OptionError(f"k must be even and less than n={n}, got {k}.")
    chance, rng = _fraction(beta, "beta"), _generator(seed)
    around = np.concatenate([np.arange(-(k // 2), 0), np.arange(1, k // 2 + 1)])
    columns = []
    for unit in range(n):
        own = (unit + around) % n
        kept = own[rng.random(k) >= chance]
        others = np.setdiff1d(np.arange(n), [*kept, unit])
        columns.append(np.concatenate([kept, rng.choice(others, k - len(kept), replace=False)]))
    return _matrix(columns, [np.full(k, float(weight))] * n, (n, n), sparse)


def distance_dependent(
    positions: Any,
    length: float,
    p_max: float = 1.0,
    weight: float = 1.0,
    sources: Any = None,
    kernel: Literal["exponential", "gaussian"] = "exponential",
    period: float | Sequence[float] | None = None,
    seed: int = 0,
    sparse: bool = False,
) -> Matrix:
    """Join units with a chance that falls with their distance d.

    Arguments:
        positions: `(targets,)` or `(targets, axes)`.
        length: the chance is p_max exp(-d/length), or p_max exp(-(d/length)^2 / 2).
        p_max: the chance at distance 0.
        weight: of every connection.
        sources: positions of the sources; `None` for the targets themselves, then without self-connections.
        kernel: `"exponential"` or `"gaussian"`.
        period: length of each axis if it is closed to a circle; `None` for open axes.
        seed, sparse: as in :func:`random_connectivity`.

    Returns:
        `(targets, sources)`.

    Raises:
        ShapeError: positions are no such arrays, or have other axes than `sources`.
        OptionError: the kernel is unknown, or a number is out of range.

    >>> distance_dependent([0.0, 1.0, 50.0], 1e9, kernel="gaussian").sum()
    np.float64(6.0)
    """
    shapes = {"exponential": lambda d: np.exp(-d), "gaussian": lambda d: np.exp(-0.5 * d**2)}
    if kernel not in shapes:
        raise OptionError(unknown("kernel", kernel, shapes))
    if not length > 0:
        raise OptionError(f"length must be a number > 0, got {length!r}.")
    to = _positions(positions, "positions")
    from_ = to if sources is None else _positions(sources, "sources")
    if to.shape[1] != from_.shape[1]:
        raise ShapeError(f"positions have {to.shape[1]} axes, sources {from_.shape[1]}; they need as many.")
    chance, rng = _fraction(p_max, "p_max"), _generator(seed)
    columns = []
    for i, here in enumerate(to):
        apart = np.abs(here - from_)
        if period is not None:
            apart = np.minimum(apart % np.asarray(period, float), -apart % np.asarray(period, float))
        joined = rng.random(len(from_)) < chance * shapes[kernel](np.sqrt((apart**2).sum(axis=1)) / length)
        joined[i if sources is None else slice(0, 0)] = False
        columns.append(np.flatnonzero(joined))
    return _matrix(columns, [np.full(len(c), float(weight)) for c in columns], (len(to), len(from_)), sparse)


def low_rank(
    n: int,
    rank: int,
    strength: float = 1.0,
    overlap: float = 0.0,
    g: float = 0.0,
    seed: int = 0,
    sparse: bool = False,
) -> Matrix:
    """Make a connectivity of low rank, with a random full-rank part (Mastrogiuseppe and Ostojic 2018).

    Arguments:
        n: number of units.
        rank: number of terms.
        strength: W = strength/n sum_r left_r right_r^T + g/sqrt(n) X, all entries standard normal.
        overlap: correlation of the entries of left_r and right_r, between -1 and 1.
        g: strength of the random part X.
        seed, sparse: as in :func:`random_connectivity`.

    Returns:
        `(n, n)`.

    Raises:
        OptionError: a number is out of range.

    >>> int(np.linalg.matrix_rank(low_rank(20, 2)))
    2
    """
    n, rank = _count(n, "n"), _count(rank, "rank")
    if rank > n:
        raise OptionError(f"rank must be at most n={n}, got {rank}.")
    if not -1 <= overlap <= 1:
        raise OptionError(f"overlap must be between -1 and 1, got {overlap!r}.")
    rng = _generator(seed)
    left, own = rng.standard_normal((2, n, rank))
    right = overlap * left + np.sqrt(1 - overlap**2) * own
    whole = strength / n * left @ right.T
    if g:
        whole += g / np.sqrt(n) * rng.standard_normal((n, n))
    return _as_asked(whole, sparse)


def block(
    sizes: Iterable[int], p: Any, weights: Any = 1.0, seed: int = 0, sparse: bool = False
) -> Matrix:
    """Join groups of units, each pair of groups with its own density and weight.

    Arguments:
        sizes: number of units of each group.
        p: `p[target group, source group]`, or one number: the fraction of the sources that reach a target, exactly
            round(p*size) of each group.
        weights: of the connections, in the same form.
        seed, sparse: as in :func:`random_connectivity`.

    Returns:
        `(units, units)`, groups one after the other.

    Raises:
        ShapeError: `p` or `weights` have another shape.
        OptionError: a number is out of range.

    >>> block([2, 2], [[1, 0], [0, 1]], [[1, 1], [1, -2]])
    array([[ 1.,  1.,  0.,  0.],
           [ 1.,  1.,  0.,  0.],
           [ 0.,  0., -2., -2.],
           [ 0.,  0., -2., -2.]])
    """
    counts = [_count(size, "sizes") for size in sizes]
    shape = (len(counts), len(counts))
    tables = []
    for name, given in (("p", p), ("weights", weights)):
        if np.shape(given) not in ((), shape):
            raise ShapeError(f"{name} has shape {np.shape(given)}, expected a number or {shape}, [target, source].")
        tables.append(np.broadcast_to(np.asarray(given, float), shape))
    starts = np.cumsum([0, *counts])
    rng = _generator(seed)
    columns, values = [], []
    for target, size in enumerate(counts):
        degrees = [_degree(tables[0][target, source], count) for source, count in enumerate(counts)]
        for _ in range(size):
            picked = [rng.choice(c, d, replace=False) + s for c, d, s in zip(counts, degrees, starts, strict=False)]
            columns.append(np.concatenate(picked))
            values.append(np.repeat(tables[1][target], degrees))
    return _matrix(columns, values, (int(starts[-1]), int(starts[-1])), sparse)


def normalize(x: Any, mode: Literal["minmax", "zscore", "sum"] = "minmax", row_wise: bool = False) -> np.ndarray:
    """Scale numbers to a common range.

    Arguments:
        x: any array; `(rows, columns)` if `row_wise`.
        mode: `"minmax"` (from 0 to 1), `"zscore"` (mean 0, standard deviation 1) or `"sum"` (sum 1).
        row_wise: whether each row is scaled by itself.

    Returns:
        An array of the same shape. What cannot be scaled, because it is constant or sums to 0, becomes 0 (`"minmax"`,
        `"zscore"`) or stays (`"sum"`).

    Raises:
        OptionError: the mode is unknown.

    >>> normalize([1.0, 2.0, 5.0])
    array([0.  , 0.25, 1.  ])
    """
    values = np.asarray(x, float)
    axis = -1 if row_wise else None
    if mode == "minmax":
        start = values.min(axis=axis, keepdims=True)
        scale = values.max(axis=axis, keepdims=True) - start
    elif mode == "zscore":
        start, scale = values.mean(axis=axis, keepdims=True), values.std(axis=axis, keepdims=True)
        # The mean of equal numbers may be off by a rounding error, which the division would blow up.
        scale = np.where(np.ptp(values, axis=axis, keepdims=True) == 0, 0.0, scale)
        start = np.where(scale == 0, values, start)
    elif mode == "sum":
        start, scale = np.zeros(()), values.sum(axis=axis, keepdims=True)
    else:
        raise OptionError(unknown("mode", mode, ("minmax", "zscore", "sum")))
    return (values - start) / np.where(scale == 0, 1.0, scale)


def wta_score(x: Any, y: Any) -> float:
    """Return how often the strongest unit of two recordings is the same (winner takes all).

    Arguments:
        x, y: `(time, unit)`.

    Returns:
        The fraction of rows, between 0 and 1; the first of equally strong units counts.

    Raises:
        ShapeError: the shapes differ, or there is no row.

    >>> wta_score([[0.1, 0.9], [0.8, 0.2]], [[0.0, 1.0], [0.0, 1.0]])
    0.5
    """
    first, second = np.asarray(x), np.asarray(y)
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ShapeError(f"wta_score: expected two arrays (time, unit), got shapes {first.shape} and {second.shape}.")
    return float(np.mean(first.argmax(axis=1) == second.argmax(axis=1)))


def _by_distance(
    apart: np.ndarray, p: float, distribution: Any, homogeneous: bool, seed: int, sparse: bool
) -> Matrix:
    """Draw a fixed number of sources for each unit, with chances that depend on the distance."""
    units = len(apart)
    degree, rng = _degree(p, units), _generator(seed)
    density: Kernel = getattr(distribution, "pmf", distribution)
    if not callable(density):
        raise OptionError(f"spatial_distribution: expected an object with pmf, or a function, got {distribution!r}.")
    chances = np.asarray(density(np.arange(units)), float)
    if chances.shape != (units,) or not np.isfinite(chances).all() or (chances < 0).any():
        raise OptionError("spatial_distribution must give a finite number >= 0 for every distance.")
    columns, values = [], []
    for unit in range(units):
        weights = chances[apart[unit]]
        near = np.count_nonzero(weights)
        if near < degree:
            raise OptionError(
                f"spatial_distribution reaches {near} sources of unit {unit}, but p={p:g} asks for {degree}: make it"
                " wider, or p smaller."
            )
        picked = rng.choice(units, degree, replace=False, p=weights / weights.sum()) if degree else np.zeros(0, int)
        own = np.ones(degree) if homogeneous else weights[picked]
        columns.append(picked)
        values.append(own / own.sum() if degree else own)
    return _matrix(columns, values, (units, units), sparse)


def _matrix(
    columns: Sequence[np.ndarray], values: Sequence[np.ndarray], shape: tuple[int, int], sparse: bool
) -> Any:
    """Put the entries of every row into a matrix."""
    rows = np.repeat(np.arange(shape[0]), [len(c) for c in columns])
    across, entries = np.concatenate(columns).astype(int), np.concatenate(values).astype(float)
    if sparse:
        from scipy.sparse import csr_array

        matrix = csr_array((entries, (rows, across)), shape=shape)
        matrix.sort_indices()
        return matrix
    whole = np.zeros(shape)
    whole[rows, across] = entries
    return whole


def _as_asked(whole: np.ndarray, sparse: bool) -> Any:
    if not sparse:
        return whole
    from scipy.sparse import csr_array

    return csr_array(whole)


def _generator(seed: object) -> np.random.Generator:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise OptionError(f"seed must be a whole number >= 0, got {seed!r}.")
    return np.random.default_rng(int(seed))


def _count(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise OptionError(f"{what} must be a whole number >= 1, got {value!r}.")
    return int(value)


def _fraction(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise OptionError(f"{what} must be a number between 0 and 1, got {value!r}.")
    return float(value)


def _degree(p: Any, count: int) -> int:
    return round(_fraction(p, "p") * count)


def _positions(value: Any, what: str) -> np.ndarray:
    array = np.asarray(value, float)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ShapeError(f"{what}: expected finite numbers of shape (units,) or (units, axes), got {np.shape(value)}.")
    return array
