"""Operators, declarations, nodes: what they hold, how they inherit, and that nothing ever changes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from recurra.circuits import (
    CircuitTemplate,
    Declaration,
    EdgeTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
)
from recurra.circuits.operators import edit_equations
from recurra.circuits.values import parse_declaration
from recurra.errors import PathError, TemplateError


def decay(**changes):
    base = OperatorTemplate("decay", ["x' = -k*x + c"], {"x": "output(1.0)", "k": 1.0, "c": "input(0.0)"})
    return base.update_template(**changes) if changes else base


@pytest.mark.parametrize(
    ("raw", "role", "value"),
    [
        (2, "constant", 2.0),
        (-2.5, "constant", -2.5),
        ("3", "constant", 3.0),
        ("1e-3", "constant", 1e-3),
        ("inf", "constant", np.inf),
        ("0.0+1.0j", "constant", 1j),
        ("-0.6 - 0.8j", "constant", -0.6 - 0.8j),
        (1 + 2j, "constant", 1 + 2j),
        (np.float32(0.5), "constant", 0.5),
        (np.int64(3), "constant", 3.0),
        (np.array(4.0), "constant", 4.0),
        ("output", "output", 0.0),
        ("output(0.1)", "output", 0.1),
        (" output ( 0.1 ) ", "output", 0.1),
        ("output()", "output", 0.0),
        ("output(0.5+0.1j)", "output", 0.5 + 0.1j),
        ("variable", "variable", 0.0),
        ("variable(-2)", "variable", -2.0),
        ("input(.5)", "input", 0.5),
        ("input(float)", "input", 0.0),
        ("variable(complex)", "variable", 0j),
        ("constant(3)", "constant", 3.0),
        ({"vtype": "state_var", "value": 0.25}, "variable", 0.25),
        ({"vtype": "constant", "dtype": "float32", "shape": None, "value": 1}, "constant", 1.0),
        ({"vtype": "input", "dtype": "complex64"}, "input", 0j),
    ],
)
def test_scalar_declarations(raw, role, value):
    found = parse_declaration(raw, "here")
    assert found == Declaration(role, value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("raw", "role", "value"),
    [
        ("variable(0.5, 4)", "variable", [0.5] * 4),
        ("variable(complex, 2)", "variable", [0j, 0j]),
        ([1, 2, 3], "constant", [1.0, 2.0, 3.0]),
        (["1.0+1.0j", 2], "constant", [1 + 1j, 2 + 0j]),
        ({"vtype": "variable", "shape": 3, "value": 2.0}, "variable", [2.0] * 3),
        ({"vtype": "constant", "shape": [2, 2], "value": 1}, "constant", [[1.0, 1.0], [1.0, 1.0]]),
        ({"vtype": "constant", "dtype": "complex", "value": [1, 2]}, "constant", [1 + 0j, 2 + 0j]),
    ],
)
def test_vector_declarations(raw, role, value):
    found = parse_declaration(raw, "here")
    assert found.role == role
    np.testing.assert_array_equal(found.value, value)
    assert found.value.dtype == np.asarray(value).dtype
    assert not found.value.flags.writeable


def test_integers_become_floats():
    # In the original an int parameter stays an int and truncates later values.
    op = OperatorTemplate("op", "x' = -k*x", {"x": "output", "k": 1})
    node = NodeTemplate("n", op).update_var("op", "k", 0.5)
    assert node.get_var("op", "k") == 0.5


def test_kinds_follow_the_equations():
    op = OperatorTemplate(
        "op",
        ["x' = -x + m*k + u", "m = tanh(x) + t + xi"],
        {"x": "output(1)", "m": "variable", "k": 2, "u": "input", "unused": 3, "t": "variable(0.0)"},
    )
    known = op.to_operator()
    assert {name: entry.kind for name, entry in known.variables.items()} == {
        "x": "state",
        "m": "algebraic",
        "k": "parameter",
        "u": "input",
    }
    assert known.output == "x"
    assert "unused" in op


@pytest.mark.parametrize("name", ["beta", "gamma", "E", "I", "N", "S", "lambda_", "tau_é", "zeta", "re", "test"])
def test_any_name_can_be_a_variable(name):
    op = OperatorTemplate("op", f"x' = -{name}*x", {"x": "output", name: 2.0})
    assert op[name].value == 2.0


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({"replace": {"k": "k*g"}}, ["x' = -k*g*x + c", "y' = kk*x_in"]),
        ({"replace": {"x": "z"}}, ["z' = -k*z + c", "y' = kk*x_in"]),
        ({"replace": {"k * x": "q"}}, ["x' = -q + c", "y' = kk*x_in"]),
        ({"replace": {"c": "(c + d)", "d": "e"}}, ["x' = -k*x + (c + e)", "y' = kk*x_in"]),
        ({"replace": {"kk": 2.5}}, ["x' = -k*x + c", "y' = 2.5*x_in"]),
        ({"remove": "+ c"}, ["x' = -k*x ", "y' = kk*x_in"]),
        ({"remove": ["+ c", "-"]}, ["x' = k*x ", "y' = kk*x_in"]),
        ({"append": "+ I"}, ["x' = -k*x + c + I", "y' = kk*x_in + I"]),
        ({"prepend": "a"}, ["a x' = -k*x + c", "a y' = kk*x_in"]),
        ({"add": "w' = -w"}, ["x' = -k*x + c", "y' = kk*x_in", "w' = -w"]),
        ({"add": ["w' = -w"], "replace": {"k": "w"}}, ["x' = -w*x + c", "y' = kk*x_in", "w' = -w"]),
    ],
)
def test_edits_of_equations(edits, expected):
    assert edit_equations(["x' = -k*x + c", "y' = kk*x_in"], edits, "child") == expected


def test_replace_spares_numbers():
    assert edit_equations(["x' = 0.5*x5 + 5"], {"replace": {"5": "6"}}, "child") == ["x' = 0.5*x5 + 6"]


def test_child_operator_merges_variables_and_drops_unused_ones():
    child = decay(name="child", equations="x' = -x/tau", variables={"tau": 4.0})
    assert dict(child.variables) == {"x": Declaration("output", 1.0), "tau": Declaration("constant", 4.0)}
    assert decay(variables={"k": 3.0})["k"].value == 3.0
    assert list(decay().variables) == ["x", "k", "c"]


def test_child_inherits_description_and_reference():
    parent = OperatorTemplate("op", "x' = -x", {"x": "output"}, description="d", reference="r", units={"x": "mV"})
    child = parent.update_template(name="child", equations="x' = -2*x")
    assert (child.name, child.description, child.reference, child.units) == ("child", "d", "r", {"x": "mV"})


def test_operators_are_told_apart_by_content_not_by_name():
    # In the original the first operator of a name was used for all of that name.
    slow, fast = (OperatorTemplate("op", "x' = k*x", {"x": "output(1.0)", "k": k}) for k in (1.0, 3.0))
    grow = OperatorTemplate("op", "x' = -x", {"x": "output(1.0)"})
    circuit = CircuitTemplate(
        "net", nodes={label: NodeTemplate("n", op) for label, op in {"a": slow, "b": fast, "c": grow}.items()}
    )
    table = circuit.run(1.0, 0.1, outputs={label: f"{label}/op/x" for label in "abc"})
    steps = np.arange(10)[:, None]
    expected = (1 + 0.1 * np.array([1.0, 3.0, -1.0])) ** steps
    assert np.abs(table.to_numpy() - expected).max() < 1e-12
    assert slow != fast
    assert slow == OperatorTemplate("op", "x' = k*x", {"x": "output(1.0)", "k": 1})
    assert hash(slow) == hash(OperatorTemplate("op", "x' = k*x", {"x": "output(1.0)", "k": 1}))


def templates():
    cell = NodeTemplate("cell", {decay(): {"k": 3.0}})
    squash = OperatorTemplate("squash", "m = tanh(r)", {"m": "output", "r": "input"})
    pop = PopulationTemplate("pop", cell, 2, {"decay/k": [1.0, 2.0]})
    circuit = CircuitTemplate(
        "net",
        nodes={"a": cell},
        populations={"p": pop},
        edges=[("a/decay/x", "a/decay/c", EdgeTemplate("e", squash), {"weight": 2.0, "delay": 0.1})],
        connections=[{"source": "p/decay/x", "target": "p/decay/c", "weights": np.eye(2)}],
    )
    return [decay(), cell, EdgeTemplate("e", squash), pop, circuit]


@pytest.mark.parametrize("template", templates(), ids=lambda t: type(t).__name__)
def test_templates_cannot_be_changed(template):
    before = repr(template), template.describe()
    with pytest.raises(TemplateError, match="cannot be changed"):
        template.name = "other"
    with pytest.raises(TemplateError, match="cannot be changed"):
        template.anything = 1
    with pytest.raises(TemplateError, match="cannot be changed"):
        del template.description
    for attribute in ("variables", "operators", "nodes", "params", "units"):
        mapping = getattr(template, attribute, None)
        if mapping is not None:
            with pytest.raises(TypeError):
                mapping["new"] = 1
    assert (repr(template), template.describe()) == before
    assert copy.deepcopy(template) is template


@pytest.mark.parametrize("template", templates(), ids=lambda t: type(t).__name__)
def test_templates_can_be_sent_to_a_process(template):
    again = pickle.loads(pickle.dumps(template))
    assert again == template
    assert again is not template
    assert again.describe() == template.describe()


@pytest.mark.parametrize("template", templates(), ids=lambda t: type(t).__name__)
def test_update_without_changes_gives_an_equal_template(template):
    assert template.update_template() == template
    assert template.update_template(name="other") != template
    assert template.update_template(description="other") != template


def test_values_given_by_the_user_are_copied():
    values, variables = np.array([1.0, 2.0]), {"x": "output", "k": 1.0}
    op = OperatorTemplate("op", "x' = -k*x", variables)
    pop = PopulationTemplate("pop", NodeTemplate("n", op), 2, {"op/k": values})
    values[:] = 9.0
    variables["k"] = 9.0
    np.testing.assert_array_equal(pop.get_var("op", "k"), [1.0, 2.0])
    assert op["k"].value == 1.0


def test_look_up_by_brackets():
    cell = NodeTemplate("cell", decay())
    assert cell["decay"]["k"] == Declaration("constant", 1.0)
    assert cell.get_op("decay") is cell["decay"]
    assert "decay" in cell and "k" in cell["decay"] and list(cell) == ["decay"]
    with pytest.raises(PathError, match="Did you mean 'decay'"):
        cell["decy"]
    with pytest.raises(PathError, match="unknown variable 'kk'"):
        cell["decay"]["kk"]


def test_node_operators_in_all_forms():
    forms = [decay(), [decay()], (decay(),), {decay(): None}, {decay(): {}}]
    assert len({NodeTemplate("n", form) for form in forms}) == 1
    path = "model_templates.base_templates.li_op"
    assert "li_op" in NodeTemplate("n", path)
    assert NodeTemplate("n", {path: {"tau": 3}}).get_var("li_op", "tau") == 3.0
    assert NodeTemplate("n", {decay(): {"x": "output(4.0)"}}).get_var("decay", "x") == 4.0


def test_child_node_replaces_the_operators_of_its_parent():
    other = OperatorTemplate("other", "y' = -y", {"y": "output"})
    assert list(NodeTemplate("n", [decay(), other]).update_template(operators=other)) == ["other"]


def test_update_var_of_a_node_returns_a_new_one():
    cell = NodeTemplate("cell", decay())
    new = cell.update_var("decay", "k", 5)
    assert (cell.get_var("decay", "k"), new.get_var("decay", "k")) == (1.0, 5.0)
    assert new.to_node().values == {"decay/k": 5.0}


def test_edge_template_finds_its_ends():
    first = OperatorTemplate("first", "m = a*r*g", {"m": "output", "r": "input", "g": "input", "a": 1.0})
    second = OperatorTemplate("second", "s' = m - s", {"s": "output", "m": "input"})
    edge = EdgeTemplate("e", [first, second])
    assert edge.output == "second/s"
    assert edge.inputs == ("first/r", "first/g")


def test_describe_names_everything():
    op = OperatorTemplate(
        "op", ["x' = -x/tau + u", "m = x**2"], {"x": "output(1)", "m": "variable", "tau": 10, "u": "input(0.5)"},
        description="A leak.", reference="Lapicque (1907)", units={"tau": "ms"},
    )  # fmt: skip
    text = NodeTemplate("cell", {op: {"tau": 20}}, reference="Paper").describe()
    for piece in ("x' = -x/tau + u", "output x = 1.0", "algebraic m", "parameter tau = 20.0 ms", "input u = 0.5"):
        assert piece in text
    assert "Reference: Paper" in text
    assert "Lapicque (1907)" in op.describe() and "A leak." in op.describe()
