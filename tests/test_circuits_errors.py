"""Wrong arguments in Python: every one is refused, with the place, what was expected, and near names."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.circuits import (
    CircuitEdge,
    CircuitTemplate,
    Connectivity,
    EdgeTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
)
from recurra.errors import EquationError, PathError, RecurraError, ShapeError, TemplateError

OP = OperatorTemplate("op", ["x' = -k*x + u", "m = x**2"], {"x": "output", "m": "variable", "k": 1, "u": "input"})
CELL = NodeTemplate("cell", OP)
VECTOR = NodeTemplate("vector", OperatorTemplate("op", "x' = -w*x", {"x": "variable(0, 2)", "w": [1.0, 2.0]}))
TWO = EdgeTemplate("two", OperatorTemplate("c", "s = a - b", {"s": "output", "a": "input", "b": "input"}))
NET = CircuitTemplate(
    "net",
    nodes={"a": CELL, "b": CELL},
    edges=[("a/op/x", "b/op/u"), ("a/op/x", "b/op/u"), ("b/op/m", "a/op/u")],
    populations={"p": PopulationTemplate("p", CELL, 3)},
    connections=[Connectivity("p/op/x", "p/op/u", np.eye(3))],
)


def circuit(*edge):
    return CircuitTemplate("net", nodes={"a": CELL, "b": CELL}, edges=[edge])


def operator(equations, **variables):
    return OperatorTemplate("op", equations, variables)


def connect(*args, **more):
    populations = {"p": PopulationTemplate("p", CELL, 3)}
    return CircuitTemplate("net", populations=populations, connections=[Connectivity(*args, **more)])


def matrix(**more):
    return NET.add_edges_from_matrix(**{"source_var": "op/x", "target_var": "op/u", "source_nodes": ["a", "b"], **more})


CASES = {
    # names
    "name with a slash": (lambda: OperatorTemplate("a/b", "x' = 1", {"x": "output"}), TemplateError, "hold '/'"),
    "name with an arrow": (lambda: NodeTemplate("a->b", OP), TemplateError, "must not hold '->'"),
    "name all": (lambda: NodeTemplate("all", OP), TemplateError, "stands for every node"),
    "empty name": (lambda: NodeTemplate("", OP), TemplateError, "must be a text, got ''"),
    "name None": (lambda: NodeTemplate(None, OP), TemplateError, "must be a text, got None"),
    "name with a space at its end": (lambda: NodeTemplate("a ", OP), TemplateError, "ends with a space"),
    "description": (lambda: NodeTemplate("a", OP, description=3), TemplateError, "description must be a text"),
    # operators
    "no equation": (lambda: operator([]), TemplateError, "needs at least one equation"),
    "equation None": (lambda: operator([None]), TemplateError, "an equation must be a text"),
    "equations a number": (lambda: operator(3), TemplateError, "an equation must be a text"),
    "equations a mapping": (lambda: operator({"add": "x"}), TemplateError, "edit those of another operator"),
    "undeclared name": (lambda: operator("x' = -tua*x", x="output", tau=1), EquationError, "Did you mean 'tau'"),
    "undeclared name in past": (lambda: operator("x' = -past(y, 1.0)", x="output"), EquationError, "variable 'y'"),
    "undeclared target": (lambda: operator(["x' = 1", "y = x"], x="output"), EquationError, "variable 'y'"),
    "second derivative": (lambda: operator("x'' = -x", x="output"), EquationError, "x"),
    "in-place addition": (lambda: operator("x += 1", x="output"), EquationError, "+="),
    "two outputs": (lambda: operator(["x' = 1", "y = x"], x="output", y="output"), TemplateError, "at most one"),
    "output without equation": (lambda: operator("x' = -x", x="variable", y="output"), TemplateError, "has no eq"),
    "output misspelt": (lambda: operator("rate' = 1", rte="output"), EquationError, "Did you mean 'rte'"),
    "constant with equation": (lambda: operator("x' = 1", x=2.0), TemplateError, "declared as a constant (2.0)"),
    "input with equation": (lambda: operator("x = 1", x="input"), TemplateError, "declared as an input"),
    "equation of time": (lambda: operator("t' = 1", t="variable"), EquationError, "'t' is time"),
    "equation of noise": (lambda: operator("xi' = 1"), EquationError, "'xi' is noise"),
    "time as a parameter": (lambda: operator("x' = t", x="output", t=3.0), TemplateError, "'t' is time"),
    "variables a list": (lambda: OperatorTemplate("op", "x' = 1", ["x"]), TemplateError, "expected a mapping"),
    "bool": (lambda: operator("x' = k", x="output", k=True), TemplateError, "op/k: expected a number, got True"),
    "nan": (lambda: operator("x' = k", x="output", k=np.nan), TemplateError, "got nan"),
    "object": (lambda: operator("x' = k", x="output", k=object()), TemplateError, "expected a number"),
    "huge integer": (lambda: operator("x' = k", x="output", k=10**400), TemplateError, "is too large"),
    "unit of an unknown variable": (
        lambda: OperatorTemplate("op", "x' = 1", {"x": "output"}, units={"xx": "mV"}),
        TemplateError,
        "Did you mean 'x'",
    ),
    "unknown change": (lambda: OP.update_template(equation="x"), TemplateError, "Did you mean 'equations'"),
    "unknown edit": (lambda: OP.update_template(equations={"replaced": {}}), TemplateError, "Did you mean 'replace'"),
    # nodes
    "no operator": (lambda: NodeTemplate("n", []), TemplateError, "needs at least one operator"),
    "operators a number": (lambda: NodeTemplate("n", 3), TemplateError, "expected an operator, a list"),
    "operator a number": (lambda: NodeTemplate("n", [3]), TemplateError, "expected an OperatorTemplate, got 3"),
    "operator a node": (lambda: NodeTemplate("n", CELL), TemplateError, "expected an operator"),
    "operators of one name": (lambda: NodeTemplate("n", [OP, OP]), TemplateError, "two operators are called 'op'"),
    "value of an unknown variable": (lambda: NodeTemplate("n", {OP: {"kk": 1}}), PathError, "Did you mean 'k'"),
    "value of an algebraic variable": (
        lambda: NodeTemplate("n", {OP: {"m": 1}}),
        TemplateError,
        "is computed by an equation",
    ),
    "value of another role": (lambda: NodeTemplate("n", {OP: {"k": "input(1)"}}), TemplateError, "cannot become"),
    "vector for a scalar": (lambda: NodeTemplate("n", {OP: {"k": [1, 2]}}), ShapeError, "expected one number"),
    "matrix for a vector": (lambda: VECTOR.update_var("op", "w", np.eye(2)), ShapeError, "of shape (2,)"),
    "unknown operator": (lambda: CELL.update_var("opp", "k", 1), PathError, "Did you mean 'op'"),
    "unknown template path": (lambda: NodeTemplate("n", "nowhere.op"), PathError, "unknown file 'nowhere'"),
    # edge templates
    "edge without output": (
        lambda: EdgeTemplate("e", operator("x' = u", x="variable", u="input")),
        TemplateError,
        "exactly one output",
    ),
    "edge with two ends": (
        lambda: EdgeTemplate("e", [OperatorTemplate(n, f"{n} = r", {n: "output", "r": "input"}) for n in ("m", "s")]),
        TemplateError,
        "got m/m, s/s",
    ),
    "edge without input": (
        lambda: circuit("a/op/x", "b/op/u", EdgeTemplate("e", operator("x = 1", x="output"))),
        TemplateError,
        "has 0 inputs (none)",
    ),
    "two open inputs": (lambda: circuit("a/op/x", "b/op/u", TWO), TemplateError, "has 2 inputs (c/a, c/b)"),
    "wiring of an unknown input": (
        lambda: circuit("a/op/x", "b/op/u", TWO, {"two/c/d": "source"}),
        PathError,
        "unknown input of the edge 'two/c/d'",
    ),
    "wiring to an unknown node": (
        lambda: circuit("a/op/x", "b/op/u", TWO, {"c/a": "source", "c/b": "z/op/x"}),
        PathError,
        "unknown node 'z'",
    ),
    "wiring to a parameter": (
        lambda: circuit("a/op/x", "b/op/u", TWO, {"c/a": "source", "c/b": "a/op/k"}),
        TemplateError,
        "is of kind parameter",
    ),
    "unknown parameter of an edge": (
        lambda: circuit("a/op/x", "b/op/u", TWO, {"c/a": "source", "c/g": 2.0}),
        PathError,
        "unknown variable 'g'",
    ),
    "unknown value of an edge": (
        lambda: circuit("a/op/x", "b/op/u", TWO, {"c/a": "source", "dely": 2.0}),
        TemplateError,
        "Did you mean 'delay'",
    ),
    # edges
    "edge of one part": (lambda: circuit("a/op/x"), TemplateError, "expected [source, target"),
    "edge to a number": (lambda: circuit("a/op/x", 3), TemplateError, "the target must be a path"),
    "edge values a list": (lambda: circuit("a/op/x", "b/op/u", None, [1]), TemplateError, "expected a mapping"),
    "edge template a node": (lambda: circuit("a/op/x", "b/op/u", CELL), TemplateError, "expected an EdgeTemplate"),
    "edge made by hand": (
        lambda: CircuitTemplate("n", nodes={"a": CELL}, edges=[CircuitEdge("a/op/x", "a/op/u", None, {"weigth": 1})]),
        TemplateError,
        "Did you mean 'weight'",
    ),
    "complex weight": (lambda: circuit("a/op/x", "b/op/u", None, {"weight": 1j}), TemplateError, "real number"),
    # circuits
    "node of another kind": (lambda: CircuitTemplate("n", nodes={"a": OP}), TemplateError, "expected a NodeTemplate"),
    "edge template as node": (lambda: CircuitTemplate("n", nodes={"a": TWO}), TemplateError, "expected a NodeT"),
    "circuit as node": (lambda: CircuitTemplate("n", nodes={"a": NET}), TemplateError, "expected a NodeTemplate"),
    "one label twice": (
        lambda: CircuitTemplate("n", nodes={"a": CELL}, circuits={"a": NET}),
        TemplateError,
        "the label 'a' is given to two parts",
    ),
    "labels that look alike": (lambda: CircuitTemplate("n", nodes={1: CELL, "1": CELL}), TemplateError, "twice"),
    "edges a text": (lambda: CircuitTemplate("n", nodes={"a": CELL}, edges="a"), TemplateError, "must be a list"),
    "unknown node": (lambda: NET["c"], PathError, "unknown node 'c'"),
    "unknown node template": (lambda: NET.get_node_template("aa"), PathError, "Did you mean 'a'"),
    "nothing matches": (lambda: NET.get_nodes("x/all"), PathError, "unknown node 'x/all'"),
    "no node has the variable": (lambda: NET.get_nodes("all", "op/z"), PathError, "unknown variable 'z'"),
    "no such edge": (lambda: NET.get_edge("b/op/x", "a/op/u"), PathError, "Did you mean"),
    "edge index": (lambda: NET.get_edge("a/op/x", "b/op/u", 2), PathError, "there are 2, counted from 0"),
    "remove an unknown edge": (
        lambda: NET.update_template(edges={"remove": [["a/op/x", "a/op/u"]]}),
        PathError,
        "unknown edge",
    ),
    "unknown edit of edges": (lambda: NET.update_template(edges={"delete": []}), TemplateError, "unknown edit"),
    "remove a text": (lambda: NET.update_template(edges={"remove": ["a"]}), TemplateError, "[source, target]"),
    # update_var
    "short path": (lambda: NET.update_var({"a/k": 1}), PathError, "expected a path 'node/operator/variable'"),
    "path of a number": (lambda: NET.update_var({3: 1}), PathError, "expected a path"),
    "unknown node of a path": (lambda: NET.update_var({"c/op/k": 1}), PathError, "unknown node 'c'"),
    "unknown operator of a path": (lambda: NET.update_var({"a/opp/k": 1}), PathError, "Did you mean 'op'"),
    "unknown variable of a path": (lambda: NET.update_var({"all/op/kk": 1}), PathError, "Did you mean 'k'"),
    "wrong number of values": (lambda: NET.update_var({"all/op/k": [1, 2]}), ShapeError, "or 3 numbers"),
    "wrong number of units": (lambda: NET.update_var({"p/op/k": [1, 2]}), ShapeError, "3 numbers, one for each unit"),
    "text as value": (lambda: NET.update_var({"a/op/k": "fast"}), TemplateError, "unknown kind of variable 'fast'"),
    "node_vars a list": (lambda: NET.update_var(["a/op/k"]), TemplateError, "expected a mapping"),
    "edge_vars a mapping": (lambda: NET.update_var(edge_vars={"a": 1}), TemplateError, "must be a list"),
    "edge_vars of two": (lambda: NET.update_var(edge_vars=[("a", "b")]), TemplateError, "edge_vars: expected"),
    "parallel edges without index": (
        lambda: NET.update_var(edge_vars=[("a/op/x", "b/op/u", {"weight": 1})]),
        PathError,
        "there are 2 such edges",
    ),
    "unknown edge": (lambda: NET.update_var(edge_vars=[("b/op/x", "b/op/u", {})]), PathError, "unknown edge"),
    "unknown value": (lambda: NET.update_var(edge_vars=[("b", "a", {"wight": 1})]), TemplateError, "'weight'"),
    "wrong number of weights": (
        lambda: NET.update_var(edge_vars=[("all", "b", {"weight": [1, 2, 3]})]),
        ShapeError,
        "or 2 numbers",
    ),
    "unknown value of a connection": (
        lambda: NET.update_var(edge_vars=[("p", "p", {"wight": 1})]),
        TemplateError,
        "Did you mean 'weight'",
    ),
    # matrices
    "matrix of a wrong shape": (lambda: matrix(weight=np.ones((3, 2))), ShapeError, "of shape (2, 2)"),
    "ragged matrix": (lambda: matrix(weight=[[1, 2], [3]]), ShapeError, "expected a number or an array"),
    "matrix of texts": (lambda: matrix(weight=[["a", "b"], ["c", "d"]]), TemplateError, "expected a number"),
    "matrix with nan": (lambda: matrix(weight=[[1, 2], [3, np.nan]]), TemplateError, "got nan"),
    "infinite matrix": (lambda: matrix(weight=[[1, 2], [3, np.inf]]), TemplateError, "finite real"),
    "unknown matrix node": (lambda: matrix(source_nodes=["a", "bb"]), PathError, "Did you mean 'b'"),
    "matrix nodes as a text": (lambda: matrix(source_nodes="ab"), TemplateError, "write ['ab']"),
    "unknown matrix variable": (lambda: matrix(source_var="op/y"), PathError, "unknown variable 'y'"),
    "matrix into a state": (lambda: matrix(target_var="op/x"), TemplateError, "expected input"),
    "matrix variable without operator": (lambda: matrix(source_var="x"), PathError, "node/operator/variable"),
    "unknown edge attribute": (lambda: matrix(edge_attr={"wait": 1}), TemplateError, "unknown part of an edge"),
    "weight twice": (lambda: matrix(weight=1, edge_attr={"weight": 2}), TemplateError, "the weight is given twice"),
    # populations and connections
    "no unit": (lambda: PopulationTemplate("p", CELL, 0), TemplateError, "a whole number from 1"),
    "half a unit": (lambda: PopulationTemplate("p", CELL, 2.5), TemplateError, "a whole number from 1"),
    "population of operators": (lambda: PopulationTemplate("p", OP, 2), TemplateError, "expected a NodeTemplate"),
    "short parameter": (lambda: PopulationTemplate("p", CELL, 2, {"k": 1}), PathError, "'operator/variable'"),
    "unknown parameter": (lambda: PopulationTemplate("p", CELL, 2, {"op/z": 1}), PathError, "variable 'z'"),
    "computed parameter": (lambda: PopulationTemplate("p", CELL, 2, {"op/m": 1}), TemplateError, "is computed"),
    "too many parameters": (lambda: PopulationTemplate("p", CELL, 2, {"op/k": [1, 2, 3]}), ShapeError, "2 numbers"),
    "population of vectors": (lambda: PopulationTemplate("p", VECTOR, 2, {"op/w": 1}), ShapeError, "vector"),
    "weights in a row": (lambda: connect("p/op/x", "p/op/u", [1, 2, 3]), ShapeError, "a number or a matrix"),
    "weights of a wrong shape": (lambda: connect("p/op/x", "p/op/u", np.ones((2, 3))), ShapeError, "expected (3, 3)"),
    "weights nan": (lambda: connect("p/op/x", "p/op/u", np.full((3, 3), np.nan)), TemplateError, "got nan"),
    "connection from nowhere": (lambda: connect("q/op/x", "p/op/u", 1.0), PathError, "unknown node 'q'"),
    "connection into a state": (lambda: connect("p/op/x", "p/op/x", 1.0), TemplateError, "expected input"),
    "negative delays": (lambda: connect("p/op/x", "p/op/u", 1.0, delays=-1), TemplateError, "must not be negative"),
    "delays of another shape": (
        lambda: connect("p/op/x", "p/op/u", np.ones((2, 2)), delays=np.eye(3)),
        ShapeError,
        "delays have shape (3, 3), expected a number or a matrix like the weights, (2, 2)",
    ),
    "wiring without edge": (
        lambda: connect("p/op/x", "p/op/u", 1.0, edge_var_map={"a": "source"}),
        TemplateError,
        "unknown part of an edge without template",
    ),
    "wiring to a number": (lambda: connect("p/op/x", "p/op/u", 1.0, TWO, {"a": 1}), TemplateError, "must read"),
    "wiring not clear": (lambda: connect("p/op/x", "p/op/u", 1.0, TWO), TemplateError, "has 2 inputs"),
    "a connection is fixed": (
        lambda: setattr(Connectivity("p/op/x", "p/op/u", 1.0), "weights", 2.0),
        TemplateError,
        "cannot be changed",
    ),
    "connection with unknown parts": (
        lambda: CircuitTemplate("n", nodes={"a": CELL}, connections=[{"source": "a/op/x", "weight": 1}]),
        TemplateError,
        "Did you mean 'weights'",
    ),
    "connection with missing parts": (
        lambda: CircuitTemplate("n", nodes={"a": CELL}, connections=[{"source": "a/op/x"}]),
        TemplateError,
        "'target' is missing",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_arguments(case):
    action, kind, message = CASES[case]
    with pytest.raises(RecurraError) as caught:
        action()
    assert message in str(caught.value)
    assert type(caught.value) is kind
