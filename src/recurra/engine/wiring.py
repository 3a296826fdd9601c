"""Turn edges into projections: one matrix or index list for all edges between the same two variables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.engine.checks import as_real, check_nodes
from recurra.engine.delays import gamma_order
from recurra.engine.graph import Edge, Graph, Node, Sparse
from recurra.engine.layout import EdgePlace, Layout, Target
from recurra.engine.rules import split_rules
from recurra.engine.system import Chain, Delivery, Projection, Ring
from recurra.errors import PathError, ShapeError, TemplateError, TimeError, unknown

if TYPE_CHECKING:
    from recurra.engine.lowering import Numbers

# A matrix product reads every entry; an index list costs a gather and a scatter for each edge. Measured on a CPU
# core, the two meet at about a tenth of the entries; very small matrices are always quicker whole.
DENSE_FRACTION = 0.1
DENSE_ALWAYS = 1024
LONGEST_CHAIN = 10_000


@dataclass(frozen=True)
class Wire:
    """Join two variables, without operators on the way.

    Arguments:
        label: name of the edge in paths; empty for the inner wires of an edge with operators.
        source, target: full paths.
        edge: where weight, delay and spread come from; `None` for a wire of weight 1.
        rows, columns: which target unit reads which source unit, for a wire that picks units.
        shape: the shape the edge's weight has in its paths.
        delays_of: label of the edge whose delay this wire has, which is another part of the same edge.
    """

    label: str
    source: str
    target: str
    edge: Edge | None = None
    rows: np.ndarray | None = None
    columns: np.ndarray | None = None
    shape: tuple[int, ...] = ()
    delays_of: str = ""


def expand_edges(graph: Graph) -> tuple[dict[str, Node], list[Wire]]:
    """Label the edges, and turn each edge that has operators into a node between two wires."""
    nodes, _ = split_rules(graph.nodes)
    wires: list[Wire] = []
    taken = set(nodes)
    for label, edge in zip(edge_labels(graph), graph.edges, strict=True):
        if label in taken:
            raise TemplateError(f"edge {label}: something else has this label; give the edge another one.")
        taken.add(label)
        edge = _checked(label, edge)
        if edge.node is None:
            wires.append(Wire(label, edge.source, edge.target, edge))
        else:
            _expand(label, edge, nodes, wires)
    return nodes, wires


def edge_labels(graph: Graph) -> list[str]:
    """Return the names that the edges of a graph have in paths."""
    counts: Counter[str] = Counter()
    found = []
    for edge in graph.edges:
        stem = edge.label or f"{edge.source}->{edge.target}"
        found.append(f"{stem}#{counts[stem]}" if counts[stem] else stem)
        counts[stem] += 1
    return found


def _checked(label: str, edge: Edge) -> Edge:
    """Check that the numbers of an edge are numbers; they come back as floats or arrays of floats."""
    if edge.node is None and (edge.inputs or edge.output):
        raise TemplateError(f"edge {label}: it has inputs or an output but no operators; give it a `node`, or neither.")
    numbers = {"weight": edge.weight, "delay": edge.delay, "spread": edge.spread}
    if all(type(v) is float or (v is None and name != "weight") for name, v in numbers.items()):
        return edge
    for name, value in numbers.items():
        if isinstance(value, Sparse):
            as_real(value.values, f"edge {label}: {name}")
        elif value is not None or name == "weight":
            array = as_real(value, f"edge {label}: {name}")
            numbers[name] = float(array) if array.ndim == 0 else array
    if np.ndim(numbers["spread"]):  # type: ignore[arg-type]
        raise ShapeError(f"edge {label}: the spread has shape {np.shape(numbers['spread'])}, expected a number.")
    return replace(edge, **numbers)  # type: ignore[arg-type]


def _expand(label: str, edge: Edge, nodes: dict[str, Node], wires: list[Wire]) -> None:
    """Put the operators of an edge into a node with one unit for each pair of source and target unit."""
    n_source, n_target = _size(edge.source, nodes, label), _size(edge.target, nodes, label)
    _check_shape(label, edge.weight, n_target, n_source)
    rows = np.repeat(np.arange(n_target), n_source)
    columns = np.tile(np.arange(n_source), n_target)
    node = edge.node
    if node is None or edge.output is None:
        raise TemplateError(f"{label}: an edge with operators must name the output that reaches the target.")
    nodes[label] = replace(node, size=n_source * n_target)
    check_nodes({label: nodes[label]})
    every, old = np.arange(n_source * n_target), edge.old_inputs
    if len(old) > 1:
        raise TemplateError(
            f"{label}: {' and '.join(old)} read the delayed source; let one of them read it and pass it on."
        )
    for variable, path in edge.inputs.items():
        read = edge.source if path == "source" else path
        size, owner = _size(read, nodes, label), read.rsplit("/", 2)[0]
        if path == "source":
            picked = columns
        elif owner == edge.target.rsplit("/", 2)[0] and size == n_target:
            picked = rows
        elif owner == edge.source.rsplit("/", 2)[0] and size == n_source:
            picked = columns
        elif size == 1:
            picked = np.zeros_like(rows)
        else:
            raise TemplateError(
                f"{label}: input {variable!r} reads {read!r}, which has {size} units and belongs neither to the source"
                f" ({n_source} units) nor to the target ({n_target} units) of the edge."
            )
        end, shape = f"{label}/{variable}", np.shape(edge.delay)  # type: ignore[arg-type]
        if variable in old:
            carrier = replace(edge, weight=np.ones(shape) if shape else 1.0, node=None, inputs={}, output=None)
            wires.append(Wire(f"{label}/source", read, end, carrier, every, picked, shape, delays_of=label))
        else:
            wires.append(Wire("", read, end, None, every, picked))
    last = replace(edge, delay=None, spread=None) if old else edge
    wires.append(Wire(label, f"{label}/{edge.output}", edge.target, last, rows, every, np.shape(edge.weight)))


def _check_shape(label: str, weight: object, n_target: int, n_source: int) -> None:
    if np.ndim(weight) and np.shape(weight) != (n_target, n_source):  # type: ignore[arg-type]
        raise ShapeError(
            f"edge {label}: the weight has shape {np.shape(weight)}, expected (target units, source units) ="  # type: ignore
            f" {(n_target, n_source)}."
        )


def _size(path: str, nodes: Mapping[str, Node], where: str) -> int:
    """Return the number of units of a variable: those of its node, or its own where it is a vector."""
    label, *rest = path.rsplit("/", 2)
    if label not in nodes:
        raise PathError(unknown("node", label, [n for n in nodes if "->" not in n], where))
    operator = nodes[label].operators.get(rest[0])
    variable = operator.variables.get(rest[1]) if operator else None  # an unknown one is found when wires are joined
    own = np.shape(variable.value) if variable else ()
    return own[0] if own and nodes[label].size == 1 else nodes[label].size


@dataclass
class _Block:
    """The entries of one edge, as unit numbers of the merged arrays."""

    label: str
    rows: np.ndarray | int
    columns: np.ndarray | int
    weights: np.ndarray | float
    delays: np.ndarray | float
    shape: tuple[int, ...]
    sparse: bool = False
    spread: float = 0.0


@dataclass
class _Bucket:
    """All edges that can share one projection."""

    source: Target
    target: Target
    order: int
    delayed: bool
    weighted: bool
    present: bool = False
    blocks: list[_Block] = field(default_factory=list)

    def column(self, name: str, dtype: type) -> np.ndarray:
        parts = [getattr(block, name) for block in self.blocks]
        if not any(isinstance(p, np.ndarray) for p in parts):
            return np.array(parts, dtype)
        return np.concatenate([np.ravel(p) for p in parts]).astype(dtype)


class Wiring:
    """Build projections, gamma chains and delay rings from wires."""

    def __init__(
        self,
        layout: Layout,
        shapes: dict[str, tuple[int, ...]],
        numbers: Numbers,
        edges: dict[str, EdgePlace],
    ):
        self.layout, self.shapes, self.numbers, self.edges = layout, shapes, numbers, edges
        self.projections: list[Projection] = []
        self.chains: list[Chain] = []
        self.rings: list[Ring] = []
        self.into: dict[str, list[int]] = {}
        self._fed: dict[str, np.ndarray] = {}
        self._found: dict[str, Target] = {}

    def open_units(self, key: str) -> np.ndarray:
        """Say for each unit of an input whether nothing feeds it."""
        return ~self._fed.get(key, np.zeros(self.shapes[key][0], bool))

    def build(self, wires: list[Wire]) -> None:
        """Sort wires into buckets, and make each bucket a projection."""
        buckets: dict[tuple, _Bucket] = {}
        for wire in wires:
            source, target = self._end(wire.source, wire), self._end(wire.target, wire)
            if target.kind != "input":
                raise TemplateError(
                    f"{wire.label or wire.target}: an edge must end at an input, {wire.target!r} is of kind"
                    f" {target.kind}. Declare it as input."
                )
            if source.kind not in ("state", "algebraic"):
                raise TemplateError(
                    f"{wire.label or wire.source}: an edge must start at a state or algebraic variable,"
                    f" {wire.source!r} is of kind {source.kind}."
                )
            if source.index is ...:
                raise TemplateError(f"{wire.label or wire.source}: {wire.source!r} is no vector; send a vector.")
            self._sort(wire, source, target, buckets)
        for bucket in buckets.values():
            self._project(bucket)
        for wire in wires:
            if wire.delays_of:
                place, own = self.edges.pop(wire.label), self.edges[wire.delays_of]
                timing = {key: getattr(place, key) for key in ("delay_key", "delay_index", "spread_key")}
                self.edges[wire.delays_of] = replace(own, **timing)

    def _end(self, path: str, wire: Wire) -> Target:
        if path not in self._found:
            try:
                self._found[path] = self.layout.one(path)
            except PathError as error:
                raise PathError(f"edge {wire.label or wire.target}: {error}") from None
        return self._found[path]

    def _sort(self, wire: Wire, source: Target, target: Target, buckets: dict[tuple, _Bucket]) -> None:
        edge = wire.edge
        start_t, start_s = target.index.start, source.index.start  # type: ignore[attr-defined]
        if edge is None:
            key: tuple = (source.key, target.key, 0, False, False)
            block = _Block("", wire.rows + start_t, wire.columns + start_s, 1.0, 0.0, ())  # type: ignore
            buckets.setdefault(key, _Bucket(source, target, 0, False, False)).blocks.append(block)
            return
        if wire.rows is None and source.size == target.size == 1 and isinstance(edge.weight, float):
            # The most usual edge by far, so it takes the shortest way.
            weight, delay, order = _plain_numbers(wire, edge)
            key = (source.key, target.key, order, delay > 0 and not order, True, False)
            bucket = buckets.setdefault(key, _Bucket(source, target, order, key[3], True))
            bucket.blocks.append(_Block(wire.label, start_t, start_s, weight, delay, (), spread=edge.spread or 0.0))
            return
        weights, delays, order = _numbers(wire, source.size, target.size)
        if wire.rows is None and np.ndim(weights) == 0 and source.size * target.size > 1:
            self._all_to_all(wire.label, edge, source, target, float(weights), delays, order)
            return
        sparse = isinstance(weights, Sparse) and wire.rows is None
        if isinstance(weights, Sparse) and not sparse:
            weights = weights.dense()
        if isinstance(weights, Sparse):
            rows, columns = weights.rows + start_t, weights.columns + start_s
            delays = delays[weights.rows, weights.columns] if np.ndim(delays) else delays  # type: ignore[index]
            weights = weights.values
        elif wire.rows is not None:
            size = len(wire.rows)
            rows, columns = wire.rows + start_t, wire.columns + start_s  # type: ignore[operator]
            weights = np.broadcast_to(np.ravel(weights), size) if np.ndim(weights) else np.full(size, weights)
        elif np.ndim(weights) == 2:
            grid = np.indices(weights.shape)
            rows, columns = grid[0].ravel() + start_t, grid[1].ravel() + start_s
        else:
            rows, columns = start_t, start_s
        if np.ndim(rows):
            delays = np.broadcast_to(np.ravel(delays) if np.ndim(delays) else delays, np.shape(rows))
        label, shape = wire.label, () if sparse else wire.shape or np.shape(edge.weight)
        chosen = np.asarray(delays) > 0
        delayed = bool(chosen.any()) and not order
        present = delayed and not chosen.all()
        key = (source.key, target.key, order, delayed, True, present)
        bucket = buckets.setdefault(key, _Bucket(source, target, order, delayed, True, present))
        bucket.blocks.append(_Block(label, rows, columns, weights, delays, shape, sparse, edge.spread or 0.0))

    def _all_to_all(
        self, label: str, edge: Edge, source: Target, target: Target, weight: float, delay: Any, order: int
    ) -> None:
        """Sum the whole source and hand it to every target unit: memory grows with N, not N^2."""
        name = self._name(f"{source.key}->{target.key}")
        slices = tuple((t.index.start, t.index.stop) for t in (source, target))  # type: ignore[attr-defined]
        self.numbers.params[f"{name}/weight"] = np.full(1, weight)
        delay_key, ring, signal = "", -1, source.key
        if np.size(delay) and np.any(np.asarray(delay) > 0):
            delay_key = f"{name}/delay"
            self.numbers.params[delay_key] = np.full(1, delay, float)
            if order:
                self.numbers.params[f"{name}/spread"] = np.full(1, edge.spread, float)
                signal = self._chain(name, source.key, order, delay_key, "", self.shapes[source.key])
            else:
                ring = self._ring(source.key)
        projection = Projection(
            name,
            signal,
            target.key,
            "all_to_all",
            (target.size, source.size),
            f"{name}/weight",
            delay_key,
            ring,
            source_slice=slices[0],
            target_slice=slices[1],
        )
        self._add(projection, np.arange(*slices[1]))
        self.edges[label] = EdgePlace(f"{name}/weight", 0, delay_key, 0, f"{name}/spread" if order else "")

    def _project(self, bucket: _Bucket) -> None:
        """Choose how a bucket is delivered and lay out its numbers."""
        name = self._name(f"{bucket.source.key}->{bucket.target.key}")
        rows, columns = bucket.column("rows", np.int64), bucket.column("columns", np.int64)
        n_target, n_source = self.shapes[bucket.target.key][0], self.shapes[bucket.source.key][0]
        if not bucket.weighted:
            self._gather(name, bucket, rows, columns, (n_target, n_source))
            return
        weights, delays = bucket.column("weights", np.float64), bucket.column("delays", np.float64)
        source, delay_key, ring = bucket.source.key, "", -1
        if bucket.order:
            source, columns, n_source = self._chain_of(name, bucket, columns, delays)
        elif bucket.delayed:
            ring, delay_key = self._ring(source), f"{name}/delay"
        sparse = any(block.sparse for block in bucket.blocks)
        delivery = choose_delivery(rows, columns, (n_target, n_source), bool(ring >= 0), sparse)
        tables = self.numbers.tables
        projection = Projection(
            name, source, bucket.target.key, delivery, (n_target, n_source), f"{name}/weight", delay_key, ring,
            present=bucket.present,
        )  # fmt: skip
        place: object
        if delivery == "dense":
            matrix = np.zeros((n_target, n_source))
            matrix[rows, columns] = weights
            self.numbers.params[projection.weights] = matrix
            if delay_key:
                whole = np.full(matrix.shape, delays.max())
                whole[rows, columns] = delays
                self.numbers.params[delay_key] = whole
            place = (rows, columns)
        else:
            order = np.lexsort((columns, rows))
            where = np.empty(len(order), np.int64)
            where[order] = np.arange(len(order))
            if delivery in ("sparse", "gather"):
                projection = replace(projection, columns=f"{name}/columns")
                tables[projection.columns] = columns[order].astype(np.int32)
            if delivery == "sparse":
                projection = replace(projection, rows=f"{name}/rows")
                tables[projection.rows] = rows[order].astype(np.int32)
            shape = (n_target, len(rows) // n_target) if delivery == "pairs" else (len(rows),)
            self.numbers.params[projection.weights] = weights[order].reshape(shape)
            if delay_key:
                self.numbers.params[delay_key] = delays[order].reshape(shape)
            place = np.unravel_index(where, shape) if delivery == "pairs" else where
        self._add(projection, rows)
        self._place(bucket, projection, place)

    def _gather(
        self, name: str, bucket: _Bucket, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]
    ) -> None:
        order = np.argsort(rows, kind="stable")
        complete = len(rows) == shape[0] and np.array_equal(rows[order], np.arange(shape[0]))
        projection = Projection(
            name,
            bucket.source.key,
            bucket.target.key,
            "gather" if complete else "sparse",
            shape,
            rows=f"{name}/rows",
            columns=f"{name}/columns",
        )
        self.numbers.tables[projection.rows] = rows[order].astype(np.int32)
        self.numbers.tables[projection.columns] = columns[order].astype(np.int32)
        self._add(projection, rows)

    def _chain_of(
        self, name: str, bucket: _Bucket, columns: np.ndarray, delays: np.ndarray
    ) -> tuple[str, np.ndarray, int]:
        """Give a bucket its gamma chains: one per source unit if all agree, else one per edge."""
        key, source = f"{name}/delay", bucket.source.key
        if len(bucket.blocks) == 1 and len(bucket.blocks[0].shape) == 2:
            # A matrix of weights with one delay: every source unit is filtered once.
            self.numbers.params[key] = np.full(1, delays[0])
            self.numbers.params[f"{name}/spread"] = np.full(1, bucket.blocks[0].spread)
            signal = self._chain(name, source, bucket.order, key, "", self.shapes[source])
            return signal, columns, self.shapes[source][0]
        self.numbers.params[key] = delays
        spreads = [np.full(np.size(block.rows), block.spread) for block in bucket.blocks]
        self.numbers.params[f"{name}/spread"] = np.concatenate(spreads)
        self.numbers.tables[f"{name}/chain_columns"] = columns.astype(np.int32)
        signal = self._chain(name, source, bucket.order, key, f"{name}/chain_columns", (len(columns),))
        return signal, np.arange(len(columns)), len(columns)

    def _chain(
        self, name: str, source: str, order: int, delays: str, columns: str, shape: tuple[int, ...]
    ) -> str:
        state, output = f"{name}/chain", f"{name}/chain_output"
        self.shapes[state], self.shapes[output] = (order, *shape), shape
        self.numbers.state[state] = np.zeros((order, *shape))
        self.chains.append(Chain(state, output, source, order, delays, f"{name}/spread", columns))
        return output

    def _ring(self, source: str) -> int:
        ring = Ring(source, "zero")
        if ring not in self.rings:
            self.rings.append(ring)
        return self.rings.index(ring)

    def _name(self, stem: str) -> str:
        taken = {p.label for p in self.projections}
        count = 0
        name = stem
        while name in taken:
            count += 1
            name = f"{stem}#{count}"
        return name

    def _add(self, projection: Projection, rows: np.ndarray) -> None:
        self.into.setdefault(projection.target, []).append(len(self.projections))
        self.projections.append(projection)
        fed = self._fed.setdefault(projection.target, np.zeros(self.shapes[projection.target][0], bool))
        fed[rows] = True

    def _place(self, bucket: _Bucket, projection: Projection, place: tuple | np.ndarray) -> None:
        """Remember for every edge of the bucket where its weight and delay are."""
        delay_key = projection.delays or (f"{projection.label}/delay" if bucket.order else "")
        spread_key = f"{projection.label}/spread" if bucket.order else ""
        shared_delay = bool(bucket.order) and len(self.numbers.params[delay_key]) == 1
        axes = place if isinstance(place, tuple) else (place,)
        start = 0
        for block in bucket.blocks:
            stop = start + (len(block.rows) if isinstance(block.rows, np.ndarray) else 1)
            at = _entry(axes, start, stop, block)
            delay_at = at
            if bucket.order:
                delay_at = 0 if shared_delay else _entry((np.arange(stop),), start, stop, block)
            self.edges[block.label] = EdgePlace(projection.weights, at, delay_key, delay_at, spread_key)
            start = stop


def _entry(axes: tuple[np.ndarray, ...], start: int, stop: int, block: _Block) -> object:
    """Return the index of an edge's own numbers: plain for one, in the shape of its weight for a matrix."""
    shape = block.shape
    if stop == start + 1 and not shape and not block.sparse:
        found = tuple(int(axis[start]) for axis in axes)
    else:
        found = tuple(a[start:stop].reshape(shape) if len(shape) == 2 else a[start:stop] for a in axes)
    return found if len(axes) > 1 else found[0]


def choose_delivery(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], delayed: bool, sparse: bool = False
) -> Delivery:
    """Choose how weights are stored: whole matrix, index list, or one number per unit.

    Arguments:
        rows, columns: target and source unit of every edge.
        shape: number of target and source units.
        delayed: a delay per edge; then there is no one-to-one short cut.
        sparse: the weights were given as a sparse matrix; then only a very small one is made whole.

    Returns:
        `"dense"`, `"one_to_one"`, `"gather"` (one source for each target), `"pairs"` or `"sparse"`.
    """
    count, (n_target, n_source) = len(rows), shape
    everyone = np.arange(count)
    if count == n_target == n_source and np.array_equal(rows, everyone) and np.array_equal(columns, everyone):
        return "one_to_one"
    if count == n_target and np.array_equal(np.sort(rows), everyone) and n_target * n_source > DENSE_ALWAYS:
        return "gather"
    repeated = len(np.unique(rows * n_source + columns)) < count
    if repeated:
        return "sparse"
    if count == n_source and count % n_target == 0 and count > DENSE_ALWAYS and not delayed:
        per_target = count // n_target
        if np.array_equal(columns, everyone) and np.array_equal(rows, np.repeat(np.arange(n_target), per_target)):
            return "pairs"
    if n_target * n_source <= DENSE_ALWAYS or (not sparse and count >= DENSE_FRACTION * n_target * n_source):
        return "dense"
    return "sparse"


def _plain_numbers(wire: Wire, edge: Edge) -> tuple[float, float, int]:
    """Check weight, delay and spread of an edge between two single units."""
    delay = 0.0 if edge.delay is None else edge.delay
    if isinstance(delay, np.ndarray):
        raise ShapeError(f"edge {wire.label}: the delay has shape {np.shape(delay)}, expected a number.")
    if not 0.0 <= delay < math.inf:  # type: ignore[operator]
        raise TimeError(f"edge {wire.label}: a delay must be a finite time >= 0, got {edge.delay}.")
    order = _order(wire, float(delay), edge.spread) if edge.spread else 0  # type: ignore[arg-type]
    return float(edge.weight), float(delay), order  # type: ignore[arg-type]


def _order(wire: Wire, delay: float, spread: float) -> int:
    if not (delay > 0 and 0 < spread < math.inf):
        raise TimeError(
            f"edge {wire.label}: spread={spread} is the standard deviation of a delay and needs one delay > 0,"
            f" got delay={delay}."
        )
    order = gamma_order(delay, spread)
    if order > LONGEST_CHAIN:
        raise TimeError(
            f"edge {wire.label}: spread={spread:g} is so small beside delay={delay:g} that it takes {order} stages;"
            " leave the spread out."
        )
    return order


def _numbers(wire: Wire, n_source: int, n_target: int) -> tuple[Any, Any, int]:
    """Check an edge's weight, delay and spread against the sizes at its ends."""
    edge = wire.edge
    if edge is None:
        return 1.0, 0.0, 0
    weights, delays = edge.weight, 0.0 if edge.delay is None else edge.delay
    if wire.rows is None:
        _check_shape(wire.label, weights, n_target, n_source)
    if np.ndim(delays) and np.shape(delays) != np.shape(weights):
        raise ShapeError(
            f"edge {wire.label}: the delay has shape {np.shape(delays)}, expected a number or the weight's shape"
            f" {np.shape(weights)}."
        )
    if not np.all(np.isfinite(delays)) or np.any(np.asarray(delays) < 0):
        raise TimeError(f"edge {wire.label}: a delay must be a finite time >= 0, got {edge.delay}.")
    if not edge.spread:
        return weights, delays, 0
    if np.ndim(delays):
        raise TimeError(f"edge {wire.label}: a spread needs one delay for the whole edge, got a matrix of delays.")
    return weights, delays, _order(wire, float(delays), float(edge.spread))

