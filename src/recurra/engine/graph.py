"""What a front-end hands to the engine: nodes of operators, joined by edges. Plain data, no arrays in JAX.

A :class:`Graph` is lowered to a :class:`recurra.engine.Program` by :func:`recurra.engine.lower`, and can be run
slowly but obviously, node by node, by :mod:`recurra.engine.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from recurra.courtesy import brief
from recurra.equations import Equation

Kind = Literal["state", "algebraic", "parameter", "input"]


@dataclass(frozen=True)
class Variable:
    """Declare one variable of an operator.

    Arguments:
        kind: `"state"` (has a differential equation), `"algebraic"` (has an assignment), `"parameter"`, or
            `"input"` (fed by other operators of its node, by edges or by the user).
        value: the initial value, the constant, or the value of an input that nothing feeds; a float, a complex,
            or an array for a variable that is itself a vector.
        unit: a label for people; not checked.

    >>> Variable("parameter", 2.0).kind
    'parameter'
    """

    kind: Kind
    value: float | complex | np.ndarray = 0.0
    unit: str = ""

    __repr__ = brief


@dataclass(frozen=True)
class Operator:
    """Hold equations and the variables they speak of.

    Arguments:
        equations: parsed equations, in any order.
        variables: every name used in the equations except `t`, `pi` and noise.
        output: the variable that feeds inputs of the same name in the other operators of the node.

    >>> from recurra.equations import parse_equation
    >>> variables = {"x": Variable("state", 1.0), "tau": Variable("parameter", 2.0)}
    >>> decay = Operator((parse_equation("x' = -x/tau"),), variables)
    >>> [equation.text for equation in decay.equations], sorted(decay.variables)
    (["x' = -x/tau"], ['tau', 'x'])
    """

    equations: tuple[Equation, ...]
    variables: Mapping[str, Variable]
    output: str | None = None

    __repr__ = brief


@dataclass(frozen=True)
class Spike:
    """Let the units of a node spike.

    Where `variable` has reached `threshold` at the beginning of a step, `input` gets 1/dt during that step, and after
    it `variable` is set to `reset`, and held there until the `refractory` time since the spike is over. A unit that is
    refractory does not spike. With `reset=None` the variable is left alone: then a unit spikes when it comes to be
    above the threshold (or begins above it), and not again before it was below. With `prompt=True` the threshold is
    compared with what the step has made of `variable`, which is reset at once; `input` gets 1/dt during the next step.

    Arguments:
        variable: `"operator/variable"`, a state.
        input: `"operator/variable"`, an input; `None` if nothing is to feel the spike.
        threshold, reset: in the unit of the variable; like the other numbers here one, or one for each unit. They are
            parameters: `"node/spike/threshold"` (`spike1` for the second rule of a node) is a path as any other.
        refractory: time from one spike to the earliest moment at which the next can begin to be made: the variable is
            held at `reset` until then. One step or less is as none.
        surrogate: name of the derivative that stands in for that of the step, see :data:`recurra.engine.SURROGATES`.
        slope: how steep the surrogate is, per unit of the variable: how fast it falls off beside the threshold.
        scale: the surrogate derivative at the threshold, where it is highest.
        prompt: whether the reset belongs to the step that crosses the threshold.

    >>> from recurra.engine import Graph, lower, simulate
    >>> from recurra.equations import parse_equation
    >>> ramp = Operator((parse_equation("v' = 1"),), {"v": Variable("state")})
    >>> cell = Node({"op": ramp}, spikes=(Spike("op/v", None, threshold=1.0, reset=0.0),))
    >>> simulate(lower(Graph({"cell": cell})), 2.0, dt=0.25, record=["cell/op/v"])["cell/op/v"][:, 0]
    array([0.  , 0.25, 0.5 , 0.75, 1.  , 0.  , 0.25, 0.5 ])
    """

    variable: str
    input: str | None
    threshold: float | np.ndarray
    reset: float | np.ndarray | None
    refractory: float | np.ndarray = 0.0
    surrogate: str = "fast_sigmoid"
    slope: float | np.ndarray = 1.0
    scale: float | np.ndarray = 1.0
    prompt: bool = False

    __repr__ = brief


@dataclass(frozen=True)
class Node:
    """Stack operators into a node of `size` units with the same equations.

    Arguments:
        operators: operators by name.
        size: number of units.
        values: `"operator/variable"` -> a number, or an array of one number per unit; replaces the default.
        spikes: thresholds, if the units spike.

    >>> from recurra.engine import Graph, lower
    >>> from recurra.equations import parse_equation
    >>> variables = {"x": Variable("state", 1.0), "k": Variable("parameter", 0.5)}
    >>> decay = Operator((parse_equation("x' = -k*x"),), variables)
    >>> program = lower(Graph({"cells": Node({"op": decay}, size=3, values={"op/k": [1.0, 2.0, 3.0]})}))
    >>> program.get("cells/op/k"), program.get("cells/op/x")
    (array([1., 2., 3.]), array([1., 1., 1.]))
    """

    operators: Mapping[str, Operator]
    size: int = 1
    values: Mapping[str, object] = field(default_factory=dict)
    spikes: tuple[Spike, ...] = ()

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Sparse:
    """Hold a matrix of weights `W[target, source]` as a list of its entries, sorted by row and column.

    Arguments:
        rows, columns: target and source unit of every entry.
        values: the weight of every entry.
        shape: number of target and source units.

    >>> Sparse(np.array([0, 1]), np.array([2, 0]), np.array([0.5, 1.5]), (2, 3)).dense()
    array([[0. , 0. , 0.5],
           [1.5, 0. , 0. ]])
    """

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    ndim: ClassVar[int] = 2

    __repr__ = brief

    @classmethod
    def of(cls, matrix: Any) -> Sparse:
        """Take the entries of a matrix of `scipy.sparse`; entries that are given twice add.

        >>> from scipy.sparse import coo_array
        >>> Sparse.of(coo_array(([1.0, 2.0], ([1, 1], [0, 0])), shape=(2, 3))).values
        array([3.])
        """
        rows_first = matrix.tocsr()
        rows_first.sum_duplicates()
        entries = rows_first.tocoo()
        return cls(entries.row.astype(np.int64), entries.col.astype(np.int64), entries.data.astype(float), matrix.shape)

    def dense(self) -> np.ndarray:
        """Return the whole matrix."""
        matrix = np.zeros(self.shape)
        matrix[self.rows, self.columns] = self.values
        return matrix


@dataclass(frozen=True)
class Edge:
    """Join two variables: every unit of the source reaches the target through `weight`.

    The signal goes source -> delay -> operators of the edge -> times weight -> summed into the target: the operators
    see the source as it was, and whatever else they read by its path as it is now. Where they read the source alone the
    delay comes behind them, which is the same but for the time before the start: then the edge carries nothing.

    Arguments:
        source: `"node/operator/variable"`, any state or algebraic variable.
        target: `"node/operator/variable"`, an input.
        weight: a number (every source unit to every target unit: the sum of the source times the weight; for two
            single units that is the plain edge), a matrix `W[target, source]`, or a :class:`Sparse` one (a matrix
            of `scipy.sparse` is taken too), whose path then addresses its entries in order.
        delay: time in the model's unit, or a matrix of times of the shape of `weight`; `None` and 0 mean none.
        spread: standard deviation of a gamma-distributed delay around `delay`.
        node: operators on the edge, one unit for each pair of source and target unit; `None` for a plain edge.
        inputs: variable of the edge's operators `"operator/variable"` -> the path it reads; `"source"` stands for
            the source of the edge.
        output: `"operator/variable"` of the edge's operators that is carried to the target.
        label: the name of the edge in paths; made from source and target when empty.

    >>> Edge("a/op/x", "b/op/u", 0.5, delay=1.0).delay
    1.0
    """

    source: str
    target: str
    weight: float | np.ndarray | Sparse = 1.0
    delay: float | np.ndarray | None = None
    spread: float | None = None
    node: Node | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    output: str | None = None
    label: str = ""

    __repr__ = brief

    @property
    def old_inputs(self) -> tuple[str, ...]:
        """List the inputs of the operators that read the delayed source, where others read what is there now."""
        if self.node is None or self.delay is None or not np.any(np.asarray(self.delay) > 0):
            return ()
        named = tuple(name for name, path in self.inputs.items() if path == "source")
        found = named or tuple(name for name, path in self.inputs.items() if path == self.source)
        return found if len(found) < len(self.inputs) else ()

    def __post_init__(self) -> None:
        if hasattr(self.weight, "tocoo"):
            object.__setattr__(self, "weight", Sparse.of(self.weight))


@dataclass(frozen=True, eq=False)
class Emission:
    """Describe what a rule puts out at every step: an array of a shape and a type.

    Arguments:
        shape: of the array.
        dtype: of its numbers.
        early: whether a row of several steps has what the first of them puts out; that of the last, if not.

    >>> Emission((10,), np.dtype(bool)).shape
    (10,)
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    early: bool = False


@dataclass(frozen=True, eq=False)
class Rule:
    """Advance arrays by a function, once a step, in place of equations.

    A rule is called after the equations of the same step: its inputs are what equation nodes have become. What others
    see of its state is a number for each unit, from the beginning of the next step on.

    Arguments:
        update: a pure function of JAX, `(state, params, inputs, clock) -> (state, emitted)`; all are dicts by name, and
            `clock` is a :class:`recurra.engine.Clock` whose key belongs to this rule. It changes no shape and no type.
        state: name -> array before the first step, of any shape and type. Vectors can be the source of an edge.
        params: name -> array that no step changes.
        inputs: name -> default `(units,)`; the target of edges and of what the user feeds.
        emits: name -> what is put out at every step, to be recorded.
        text: what the rule does, for people.
        derive: a pure function of the params that is called once a run, e.g. to transpose a matrix; what it returns is
            among the params that `update` gets.
        precision: what it computes in; a run in float32 takes only rules that do so too.

    >>> from recurra.engine import lower, simulate
    >>> def count(state, params, inputs, clock):
    ...     total = params["keep"] * state["total"] + inputs["x"]
    ...     return {"total": total}, {"many": total > 1.5}
    >>> rule = Rule(count, {"total": np.zeros(2)}, {"keep": np.float64(0.5)}, {"x": np.array([1.0, 0.5])},
    ...             {"many": Emission((2,), np.dtype(bool))})
    >>> found = simulate(lower(Graph({"sum": rule})), 3.0, dt=1.0, record=["sum/total", "sum/many"])
    >>> found["sum/total"].tolist()  # the state before each step
    [[0.0, 0.0], [1.0, 0.5], [1.5, 0.75]]
    >>> found["sum/many"].tolist()  # what each step puts out
    [[False, False], [False, False], [True, False]]
    """

    update: Callable[..., tuple[dict, dict]]
    state: Mapping[str, np.ndarray]
    params: Mapping[str, np.ndarray] = field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    emits: Mapping[str, Emission] = field(default_factory=dict)
    text: str = ""
    derive: Callable[[dict], dict] | None = None
    precision: str = "float64"

    __repr__ = brief


@dataclass(frozen=True)
class Graph:
    """Hold a whole network.

    Arguments:
        nodes: nodes by label; a label may hold `/` (a circuit in a circuit). The label of a rule may be empty: then
            its arrays are addressed by their names alone.
        edges: edges in any order; two edges between the same variables add.
        name: the name of the network, for people.
        input, output: paths of the input that others feed and of the variable that they read, where the graph becomes
            a node of a network and nobody says otherwise; empty if that is to be found out.
        dt: the step that it was written for, in its unit of time; it refuses to run with another. `None` if any will
            do, as for differential equations.
        precision: `"float64"` or `"float32"`, for runs and trainings that are not asked for one.

    >>> from recurra.engine import lower, simulate
    >>> from recurra.equations import parse_equation
    >>> variables = {"x": Variable("state", 1.0), "u": Variable("input")}
    >>> leak = Operator((parse_equation("x' = u - x"),), variables)
    >>> graph = Graph({"a": Node({"op": leak}), "b": Node({"op": leak})}, (Edge("a/op/x", "b/op/u", 0.5),))
    >>> simulate(lower(graph), 1.0, dt=0.5)["b/op/x"].tolist()  # 1 + 0.5 (0.5 - 1)
    [[1.0], [0.75]]
    """

    nodes: Mapping[str, Node | Rule]
    edges: tuple[Edge, ...] = ()
    name: str = ""
    input: str = ""
    output: str = ""
    dt: float | None = None
    precision: str | None = None

    __repr__ = brief
