"""Edges of a network: weights between the variables of its nodes, and what happens to a signal on the way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from recurra.courtesy import brief
from recurra.engine.checks import refuse_masked
from recurra.engine.graph import Edge, Node, Operator, Sparse, Variable
from recurra.equations import parse_equations
from recurra.errors import OptionError, ShapeError, TimeError, unknown

Weights = float | np.ndarray | Sparse
Train = Literal["gd", "rls"]
TRAIN = ("gd", "rls")


@dataclass(frozen=True)
class Bundle:
    """Lay variables of one or several nodes of a graph side by side.

    Arguments:
        paths: `"node/operator/variable"` of each.
        sizes: number of units of each.
    """

    paths: tuple[str, ...]
    sizes: tuple[int, ...]

    __repr__ = brief

    @property
    def size(self) -> int:
        """Count the units of all variables."""
        return sum(self.sizes)

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """Yield each path with the number of its first unit and of the first unit after it."""
        ends = np.cumsum(self.sizes).tolist()
        yield from zip(self.paths, [0, *ends[:-1]], ends, strict=True)


@dataclass(frozen=True, eq=False)
class NetworkEdge:
    """Join two bundles through weights.

    The signal goes source -> filter, or operators of the edge -> delay -> times weight -> summed into the target.

    Arguments:
        label: its name in paths: `"<label>/weight"`.
        source, target: what is read and what is fed.
        weights: `W[target unit, source unit]`, dense or sparse, or one number for all pairs; masked already.
        delay: in the unit of time of the network, a number or a matrix; `None` for none.
        spread: standard deviation of a gamma-distributed delay.
        mask: 1 where a weight exists; `None` if all do.
        filter: `F[source unit, source unit]`; the signal y follows y <- F y + source at every step.
        train: `"gd"` if gradients change the weights, `"rls"` if recursive least squares does.
        feedback: whether the target sees the source one step later.
        through: an edge of the engine, whose operators the signal passes; its ends and weight do not count.

    >>> from recurra import Network
    >>> net = Network(dt=0.1)
    >>> for name, units in (("a", 3), ("b", 2)):
    ...     node = net.add_diffeq_node(name, "v' = -v + u", variables={"v": "output", "u": "input"}, N=units)
    >>> edge = net.add_edge("a", "b", weights=np.ones((2, 3)), delays=5)
    >>> edge.shape, edge.paths, edge.delay  # five steps of 0.1
    ((2, 3), ['a->b/weight'], 0.5)
    """

    label: str
    source: Bundle
    target: Bundle
    weights: Weights
    delay: float | np.ndarray | None = None
    spread: float | None = None
    mask: np.ndarray | None = None
    filter: np.ndarray | Sparse | None = None
    train: Train | None = None
    feedback: bool = False
    through: Edge | None = None

    __repr__ = brief

    @property
    def shape(self) -> tuple[int, int]:
        """Give the number of target and source units."""
        return self.target.size, self.source.size

    @property
    def paths(self) -> list[str]:
        """List the paths under which the engine keeps the weights: one for each pair of variables that is joined."""
        return [f"{edge.label}/weight" for edge in self._weight_edges()]

    @property
    def signal(self) -> Bundle:
        """Give what the weights read: the source, or what its filter makes of it."""
        if self.filter is None:
            return self.source
        return Bundle((f"{self._filter}/filter/y",), (self.source.size,))

    @property
    def is_plain(self) -> bool:
        """Say whether the engine keeps all weights under one path, in the shape in which they are given."""
        return len(self.signal.paths) == len(self.target.paths) == 1

    def graph_nodes(self) -> dict[str, Node]:
        """Return the nodes that the edge needs on its way: its filter."""
        if self.filter is None:
            return {}
        return {self._filter: Node({"filter": _FILTER}, self.source.size)}

    def graph_edges(self, dt: float) -> list[Edge]:
        """Return the edges that the engine understands.

        Arguments:
            dt: the step, by which a filter remembers.
        """
        return [*self._filter_edges(dt), *self._weight_edges()]

    def _filter_edges(self, dt: float) -> list[Edge]:
        if self.filter is None:
            return []
        path, count = f"{self._filter}/filter", self.source.size
        found = [Edge(f"{path}/y", f"{path}/before", self.filter, dt, label=f"{self.label}/memory")]
        for i, (read, start, stop) in enumerate(self.source.spans()):
            units = np.arange(stop - start)
            ones = Sparse(units + start, units, np.ones(len(units)), (count, len(units)))
            found.append(Edge(read, f"{path}/x", ones, label=f"{self.label}/filter_input{i or ''}"))
        return found

    def _weight_edges(self) -> list[Edge]:
        """Make one edge for each pair of variables."""
        source = self.signal
        single = len(source.paths) == len(self.target.paths) == 1
        found: list[Edge] = []
        for (to, *rows), (from_, *columns) in itertools.product(self.target.spans(), source.spans()):
            edge = replace(self.through, source=from_, target=to) if self.through else Edge(from_, to)
            label = self.label if single else f"{self.label}/{len(found)}"
            weight = self.weights if single else _block(self.weights, rows, columns)
            delay = self.delay if single else _block(self.delay, rows, columns)
            found.append(replace(edge, weight=weight, delay=delay, spread=self.spread, label=label))
        return found

    def within(self, label: str) -> NetworkEdge:
        """Return the edge as part of a node with this label."""
        ends = {
            name: Bundle(tuple(f"{label}/{path}" for path in end.paths), end.sizes)
            for name, end in (("source", self.source), ("target", self.target))
        }
        through = self.through
        if through is not None:
            inputs = {k: path if path == "source" else f"{label}/{path}" for k, path in through.inputs.items()}
            through = replace(through, inputs=inputs)
        return replace(self, label=f"{label}/{self.label}", through=through, **ends)

    def with_weights(self, weights: object, where: str) -> NetworkEdge:
        """Return the edge with other weights of the same shape; absent ones stay absent.

        Arguments:
            weights: a matrix, or for a sparse edge one number for each entry too.
            where: which edge, for errors.
        """
        own = self.weights
        if isinstance(own, Sparse) and np.shape(weights) in ((), own.values.shape):  # pyright: ignore
            values = np.broadcast_to(np.asarray(weights, float), own.values.shape)
            return replace(self, weights=replace(own, values=_finite(values, where)))
        new = read_weights(weights, self.shape, where)
        if self.mask is not None:
            new = _masked(new, self.mask)
        return replace(self, weights=new)

    def with_delays(self, delays: object, dt: float, where: str) -> NetworkEdge:
        """Return the edge with other delays: times, one for all, one for each source unit, or a matrix.

        Arguments:
            delays: 0 is none; for a sparse edge one number for each entry is taken, too.
            dt: the step, which delays are not shorter than.
            where: which edge, for errors.

        Raises:
            ShapeError: of another shape.
            TimeError: negative, not finite, or shorter than a step.
        """
        try:
            times = np.array(delays, float)
        except (TypeError, ValueError):
            raise ShapeError(f"{where}: delays must be real numbers, got {type(delays).__name__}.") from None
        own = self.weights
        if isinstance(own, Sparse) and times.shape == own.values.shape:
            whole = np.broadcast_to(0.0 if self.delay is None else self.delay, self.shape).copy()
            whole[own.rows, own.columns] = times
            times = whole
        if times.shape not in ((), (1,), (self.source.size,), self.shape):
            raise ShapeError(
                f"{where}: delays have shape {times.shape}, expected a number, one for each source unit"
                f" {(self.source.size,)}, or (target units, source units) = {self.shape}."
            )
        least = dt if self.feedback else 0.0
        odd = ~np.isfinite(times) | (times < least) | ((times > 0) & (times < dt * (1 - 1e-6)))
        if odd.any():
            raise TimeError(
                f"{where}: a delay is {'' if self.feedback else '0 or '}a time of at least a step, {dt:g}, got"
                f" {float(times[odd].flat[0]):g}."
            )
        if isinstance(own, float) and times.size > 1 and np.ptp(times):
            raise ShapeError(f"{where}: one weight for all pairs has one delay; give a matrix of weights first.")
        if times.size == 1 or not np.ptp(times):
            return replace(self, delay=float(times.flat[0]) or None)
        return replace(self, delay=np.broadcast_to(times, self.shape).copy())

    @property
    def delays(self) -> np.ndarray:
        """Give the delays as times: a number, or a matrix."""
        return np.asarray(0.0 if self.delay is None else self.delay)

    def numbers(self) -> np.ndarray:
        """Return the weights as they are stored: a number, a matrix, or one number for each entry of a sparse one."""
        return self.weights.values if isinstance(self.weights, Sparse) else np.asarray(self.weights)

    def describe(self) -> str:
        """Return one line for people."""
        kind = "sparse" if isinstance(self.weights, Sparse) else "dense" if np.ndim(self.weights) else "all to all"
        notes = [f"{self.shape[0]} x {self.shape[1]}", kind]
        if self.delay is not None:
            low, high = float(np.min(self.delay)), float(np.max(self.delay))
            notes.append(f"delay {low:g}" + (f" to {high:g}" if high > low else ""))
        notes += ["masked"] * (self.mask is not None) + ["filtered"] * (self.filter is not None)
        notes += ["feedback"] * self.feedback + [f"trained by {self.train}"] * (self.train is not None)
        return f"{self.label}: {', '.join(notes)}"

    @property
    def _filter(self) -> str:
        return f"{self.label}/filter"


# y_k = F y_(k-1) + x_k: `before` is y one step earlier, through an edge with the weights F and a delay of one step.
_FILTER = Operator(
    parse_equations(["y = x + before"], "filter"),
    {"y": Variable("algebraic"), "x": Variable("input"), "before": Variable("input")},
    "y",
)


def _block(matrix: Any, rows: list[int], columns: list[int]) -> Any:
    """Cut a block out of a matrix of any kind; a number is the same in every block."""
    if isinstance(matrix, Sparse):
        inside = (matrix.rows >= rows[0]) & (matrix.rows < rows[1])
        inside &= (matrix.columns >= columns[0]) & (matrix.columns < columns[1])
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        own = (matrix.rows[inside] - rows[0], matrix.columns[inside] - columns[0])
        return Sparse(*own, matrix.values[inside], shape)
    return matrix[slice(*rows), slice(*columns)] if np.ndim(matrix) else matrix


def read_weights(weights: Any, shape: tuple[int, int], where: str) -> Weights:
    """Check weights: a number, a matrix `W[target unit, source unit]`, or one of `scipy.sparse`.

    Raises:
        ShapeError: not numbers, or of another shape.
    """
    if hasattr(weights, "tocoo"):
        weights = Sparse.of(weights)
    if not isinstance(weights, Sparse):
        refuse_masked(weights, f"{where}, weights")
        try:
            weights = np.array(weights, float)
        except (TypeError, ValueError):
            raise ShapeError(f"{where}: weights must be real numbers, got {type(weights).__name__}.") from None
    if weights.shape not in ((), shape):
        hint = " They look transposed: rows are targets." if weights.shape == shape[::-1] else ""
        raise ShapeError(
            f"{where}: weights have shape {weights.shape}, expected (target units, source units) = {shape}.{hint}"
        )
    _finite(weights.values if isinstance(weights, Sparse) else weights, where)
    return weights if weights.ndim else float(weights)  # pyright: ignore[reportArgumentType]


def _finite(values: np.ndarray, where: str) -> np.ndarray:
    if not np.isfinite(values).all():
        first = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
        raise ShapeError(f"{where}: weights must be finite, entry {first} is {values[first]}.")
    return values


def read_mask(mask: object, weights: Weights, shape: tuple[int, int], where: str) -> tuple[np.ndarray, Weights]:
    """Check a mask, and return it with the weights that it leaves."""
    array = np.asarray(mask)
    if array.shape != shape:
        raise ShapeError(f"{where}: mask has shape {array.shape}, expected (target units, source units) = {shape}.")
    if isinstance(weights, Sparse):
        raise OptionError(f"{where}: sparse weights are a mask of their own; leave absent entries out of them.")
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise ShapeError(f"{where}: a mask holds 0 (no connection) and 1 (connection) only.")
    return array.astype(bool), _masked(weights, array.astype(bool))


def _masked(weights: Weights, mask: np.ndarray) -> np.ndarray:
    # Not a product: a masked weight is 0 and never -0, whatever it was.
    return np.where(mask, weights, 0.0)  # pyright: ignore[reportArgumentType, reportCallIssue]


def read_delays(
    delays: object, feedback: bool, shape: tuple[int, int], dt: float, where: str
) -> float | np.ndarray | None:
    """Turn delays in steps into times: one for all, one for each source unit, or a matrix; feedback is one at least.

    Raises:
        TimeError: a delay is negative or no whole number of steps.
        ShapeError: of another shape.
    """
    refuse_masked(delays, f"{where}, delays")
    try:
        steps = np.asarray(0.0 if delays is None else delays, float)
    except (TypeError, ValueError):
        raise TimeError(f"{where}: delays must be whole numbers of steps, got {delays!r}.") from None
    if steps.shape not in ((), (shape[1],), shape):
        raise ShapeError(
            f"{where}: delays have shape {steps.shape}, expected a number, one for each source unit {(shape[1],)}, or"
            f" (target units, source units) = {shape}."
        )
    odd = ~((steps >= 0) & (steps == np.round(steps)) & np.isfinite(steps))
    if odd.any():
        raise TimeError(
            f"{where}: a delay is a whole number of steps >= 0, got {float(steps[odd].flat[0]):g}. Divide a time by the"
            f" network's step {dt:g} and round it."
        )
    steps = np.maximum(steps, 1.0 if feedback else 0.0)
    if np.all(steps == steps.flat[0]):
        return float(steps.flat[0]) * dt or None
    return np.broadcast_to(steps, shape) * dt


def read_filter(weights: object, size: int, where: str) -> np.ndarray | Sparse:
    """Check the weights of a filter: a number or one for each source unit (no mixing), or a whole matrix."""
    array = np.asarray(weights)
    if array.dtype.kind not in "biuf" or array.shape not in ((), (size,), (size, size)):
        raise ShapeError(
            f"{where}: filter_weights have shape {array.shape}, expected a number, one for each source unit {(size,)},"
            f" or a matrix {(size, size)}."
        )
    _finite(array, f"{where}, filter")
    if array.ndim == 2:
        return array.astype(float)
    units = np.arange(size)
    return Sparse(units, units, np.broadcast_to(array, (size,)).astype(float), (size, size))


def check_train(train: object, where: str) -> Train | None:
    """Return how weights are trained, or say which ways there are."""
    if train is not None and train not in TRAIN:
        raise OptionError(unknown("way to train weights", train, TRAIN, where))
    return train  # pyright: ignore[reportReturnType]
