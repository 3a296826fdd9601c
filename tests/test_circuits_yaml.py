"""YAML files: where they are looked for, how templates inherit, round trips, and files made to do harm."""

from __future__ import annotations

import random
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.circuits import (
    CircuitTemplate,
    Connectivity,
    EdgeTemplate,
    NodeTemplate,
    OperatorTemplate,
    PopulationTemplate,
    circuit_from_yaml,
    from_yaml,
)
from recurra.circuits.templates import Template
from recurra.errors import PathError, RecurraError, StoreError, TemplateError

MINIMAL = """
decay:   {base: OperatorTemplate, equations: ["x' = -k*x + c"], variables: {x: output(1.0), k: 1.0, c: input(0.0)}}
decay2:  {base: decay, equations: {replace: {k: k*g}, add: ["w' = -w"]}, variables: {g: 2.0, w: variable(1.0)}}
cell:    {base: NodeTemplate, operators: {decay: {k: 3.0}}}
pair:
  base: CircuitTemplate
  nodes: {a: cell, b: cell}
  edges: [[a/decay/x, b/decay/c, null, {weight: 0.5, delay: 0.2, spread: 0.1}]]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files below a fresh current directory."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="model.yaml"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def test_minimal_example(write):
    write(MINIMAL)
    pair = circuit_from_yaml("./model/pair")
    assert pair["a"].get_var("decay", "k") == 3.0
    assert dict(pair.edges[0].values) == {"weight": 0.5, "delay": 0.2, "spread": 0.1}
    child = OperatorTemplate.from_yaml("./model/decay2")
    assert child.equations == ("x' = -k*g*x + c", "w' = -w")
    table = pair.run(1.0, 0.01, outputs={"a": "a/decay/x", "b": "b/decay/x"})
    # A gamma chain of order (0.2/0.1)^2 = 4 and rate 4/0.2 = 20.
    state, rows = np.array([1.0, 1.0, 0, 0, 0, 0]), []
    for _ in range(100):
        rows.append(state[:2])
        a, b, *z = state
        chain = 20.0 * (np.array([a, *z[:3]]) - z)
        state = state + 0.01 * np.array([-3.0 * a, -3.0 * b + 0.5 * z[3], *chain])
    assert np.abs(table.to_numpy() - rows).max() < 1e-12


def test_all_forms_of_paths(write, tmp_path, monkeypatch):
    write(MINIMAL, "models/deep/model.yaml")
    write(MINIMAL, "short.yml")
    expected = from_yaml("./models/deep/model/pair")
    for path in (
        "models/deep/model/pair",
        "models/deep/model.yaml/pair",
        "models.deep.model.pair",
        f"{tmp_path}/models/deep/model/pair",
        f"{tmp_path}/models/deep/model.yaml/pair",
        "short.pair",
        "./short/pair",
        "short.yml/pair",
        "../" + tmp_path.name + "/short/pair",
    ):
        assert from_yaml(path) == expected, path
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert from_yaml("models.deep.model.pair") == expected
    modules = set(sys.modules)
    from_yaml("short.pair")
    assert set(sys.modules) == modules


def test_the_library_comes_first(write):
    write(MINIMAL, "model_templates/oscillators/vanderpol.yaml")
    assert from_yaml("model_templates.oscillators.vanderpol.vdp").name == "vdp"
    with pytest.raises(PathError):
        from_yaml("model_templates.oscillators.vanderpol.pair")


def test_references_are_relative_to_their_file(write, tmp_path, monkeypatch):
    write(MINIMAL, "lib/parts.yaml")
    write(
        "net:\n  base: CircuitTemplate\n  nodes: {a: parts.cell, b: ./parts/cell, c: sub/more.yaml/cell}\n"
        "li: {base: parts.pair, nodes: {z: model_templates.base_templates.li_node}}\n",
        "lib/net.yaml",
    )
    write("cell: {base: ../parts/cell}", "lib/sub/more.yaml")
    net = from_yaml("lib.net.net")
    assert net["a"] == net["b"]
    assert net["c"]["decay"] == net["a"]["decay"]
    assert list(from_yaml("lib/net/li").nodes) == ["a", "b", "z"]


def test_inheritance_of_every_kind(write):
    write(
        MINIMAL
        + """
paper: &paper A paper (2024).
named: {base: decay, label: decay, description: d, reference: *paper, units: {x: mV}}
node: {base: cell, operators: [decay, decay2]}
twice: {base: decay2, variables: {g: 5}}
squash: {base: OperatorTemplate, equations: m = tanh(r), variables: {m: output, r: input}}
edge: {base: EdgeTemplate, operators: squash}
edge2: {base: edge, description: other}
trio:
  base: pair
  nodes: {c: cell}
  edges: [{source: b/decay/x, target: c/decay/c, template: edge2, variables: {weight: 2}}]
cut: {base: trio, edges: {remove: [[a/decay/x, b/decay/c]], add: [[a/decay/x, a/decay/c, edge, {}]]}}
both: {base: CircuitTemplate, circuits: {one: pair, two: trio}, edges: [[one/a/decay/x, two/c/decay/c, null, {}]]}
pop: {base: PopulationTemplate, node: cell, n: 3, params: {decay/k: [1, 2, 3]}}
big: {base: pop, n: 4, params: {decay/k: 5.0, decay/x: 2}}
pops:
  base: CircuitTemplate
  populations: {p: pop, q: {node: cell, n: 2}}
  connections:
  - {source: p/decay/x, target: q/decay/c, weights: [[1, 2, 3], [4, 5, 6]], delays: 0.1}
  - {source: q/decay/x, target: q/decay/c, weights: 0.5, edge: edge, edge_var_map: {squash/r: source}}
"""
    )
    load = lambda name: from_yaml(f"./model/{name}")  # noqa: E731
    assert load("named").name == "decay"
    assert (load("named").reference, load("named").units) == ("A paper (2024).", {"x": "mV"})
    assert list(load("node")) == ["decay", "decay2"]
    assert (load("twice")["g"].value, load("twice").equations) == (5.0, ("x' = -k*g*x + c", "w' = -w"))
    assert load("edge2").operators == load("edge").operators
    assert load("trio").edge_names() == ["a/decay/x -> b/decay/c", "b/decay/x -> c/decay/c"]
    assert load("trio").edges[1].template.description == "other"
    assert load("cut").edge_names() == ["b/decay/x -> c/decay/c", "a/decay/x -> a/decay/c"]
    assert load("both").get_nodes() == ["one/a", "one/b", "two/a", "two/b", "two/c"]
    assert (load("big").n, load("big").get_var("decay", "k"), load("pop").n) == (4, 5.0, 3)
    assert load("pops").populations["q"].n == 2
    np.testing.assert_array_equal(load("pops").connections[0].weights, [[1, 2, 3], [4, 5, 6]])
    assert load("pops").connections[1].edge == load("edge")


def test_a_parent_may_be_incomplete_alone(write):
    write(
        """
abstract: {base: OperatorTemplate, equations: "x' = -k*x", variables: {x: output}}
whole: {base: abstract, variables: {k: 2.0}}
"""
    )
    assert from_yaml("./model/whole")["k"].value == 2.0
    with pytest.raises(RecurraError, match="unknown variable 'k'"):
        from_yaml("./model/abstract")


def test_anchors_and_merge_keys(write):
    write(
        """
aliases:
  path: &path decay
  values: &values {k: 2.0, c: input(1.0)}
decay: {base: OperatorTemplate, equations: "x' = -k*x + c", variables: {<<: *values, x: output(1.0), k: 7.0}}
cell: {base: NodeTemplate, operators: [*path]}
"""
    )
    cell = from_yaml("./model/cell")
    assert {name: str(entry) for name, entry in cell["decay"].variables.items()} == {
        "k": "7.0",
        "c": "input(1.0)",
        "x": "output(1.0)",
    }


def test_byte_order_mark_and_windows_line_ends(write):
    write(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert from_yaml("./model/pair").name == "pair"


# Round trips

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True).filter(lambda n: n not in ("all", "t", "pi", "xi"))
numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1e-300, 1e22, 0.1])
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@st.composite
def operators(draw, name):
    value = draw(numbers | st.complex_numbers(max_magnitude=1e3, allow_nan=False, allow_infinity=False))
    variables = {"x": f"output({draw(numbers)!r})", "k": value, "u": draw(st.sampled_from(["input", "input(0.5)"]))}
    if draw(st.booleans()):
        variables["w"] = draw(st.lists(numbers, min_size=2, max_size=3))
    equations = ["x' = -k*x + u" + (" + w" if "w" in variables else "")]
    return OperatorTemplate(
        name, equations, variables, description=draw(texts), reference=draw(texts), units={"x": draw(texts)}
    )


@st.composite
def circuits(draw):
    squash = OperatorTemplate("squash", "m = g*r", {"m": "output", "r": "input", "g": draw(numbers)})
    edge = EdgeTemplate(draw(names), {squash: {"g": draw(numbers)}})
    # Two nodes may have operators of one name that differ.
    cells = [NodeTemplate(draw(names), {draw(operators("op")): {"x": draw(numbers)}}) for _ in range(2)]
    labels = draw(st.lists(names, min_size=3, max_size=4, unique=True))
    ends = st.sampled_from(labels[:2])
    edges = [
        (
            f"{draw(ends)}/op/x",
            f"{draw(ends)}/op/u",
            template,
            {"weight": draw(numbers), "delay": draw(st.none() | st.floats(0, 5)), **extra},
        )
        for template, extra in draw(st.lists(st.sampled_from([(None, {}), (edge, {"squash/g": 2.5})]), max_size=3))
    ]
    inner = CircuitTemplate(draw(names), nodes=dict(zip(labels[:2], cells, strict=True)), edges=edges,
                            description=draw(texts), reference=draw(texts))  # fmt: skip
    if draw(st.booleans()):
        return inner
    scalar = NodeTemplate("scalar", OperatorTemplate("op", "x' = -k*x + u", {"x": "output", "k": 1, "u": "input"}))
    pop = PopulationTemplate(draw(names), scalar, 2, {"op/k": [draw(numbers), draw(numbers)]})
    connection = Connectivity("p0/op/x", "p0/op/u", [[draw(numbers)] * 2] * 2, draw(st.sampled_from([None, edge])))
    return CircuitTemplate(draw(names), circuits={labels[2]: inner}, populations={"p0": pop}, connections=[connection])


@settings(max_examples=60)
@given(circuit=circuits())
def test_round_trip(circuit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round")
    path = circuit.to_yaml(str(folder / "model"))
    again = CircuitTemplate.from_yaml(path)
    assert again == circuit
    assert again.describe() == circuit.describe()
    assert [file.name for file in folder.iterdir()] == ["model.yaml"]


@pytest.mark.parametrize("text", ["?", "? a", "??", "a ?", "\x85", "a\x85b", "- a", "a: b", "#", "a\nb\n", " a "])
def test_any_text_is_read_as_it_was_written(text, tmp_path):
    operator = OperatorTemplate("op", "x' = -x", {"x": "variable(0.0)"}, description=text)
    circuit = CircuitTemplate("c", nodes={"n": NodeTemplate("n", operator, description=text)}, description=text)
    again = CircuitTemplate.from_yaml(circuit.to_yaml(str(tmp_path / "model")))
    assert again == circuit and again.description == text


@pytest.mark.parametrize(
    "path",
    [
        "model_templates.neural_mass_models.wilsoncowan.WC_stp",
        "model_templates.neural_mass_models.jansenrit.JRC_2delaycoupled",
        "model_templates.oscillators.kuramoto.kmo_2coupled",
        "model_templates.neural_mass_models.theta.kmo_theta",
    ],
)
def test_round_trip_of_the_library(path, tmp_path):
    circuit = circuit_from_yaml(path)
    again = circuit_from_yaml(circuit.to_yaml(str(tmp_path / "copy.yml")))
    assert again == circuit
    assert np.array_equal(again.run(0.1, 0.001).to_numpy(), circuit.run(0.1, 0.001).to_numpy())


def test_a_failed_dump_leaves_nothing_behind(tmp_path):
    circuit = circuit_from_yaml("model_templates.oscillators.vanderpol.vdp")
    circuit.to_yaml(str(tmp_path / "good"))
    before = (tmp_path / "good.yaml").read_bytes()
    (tmp_path / "folder.yaml").mkdir()
    for name in ("missing/file", "folder"):
        with pytest.raises(StoreError):
            circuit.to_yaml(str(tmp_path / name))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.yaml", "good.yaml"]
    assert (tmp_path / "good.yaml").read_bytes() == before


# Files that are wrong

OP = 'op: {base: OperatorTemplate, equations: "x\' = -k*x + u", variables: {x: output, k: 1.0, u: input}}\n'
NODE = OP + "node: {base: NodeTemplate, operators: op}\n"
CIRCUIT = NODE + "it: {base: CircuitTemplate, nodes: {a: node, b: node}, edges: [%s]}\n"


def bomb(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines) + f"\nit: {{base: OperatorTemplate, equations: *a{levels - 1}}}\n"


def merge_bomb(levels):
    lines = ["a0: &a0 {k0: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, levels)]
    return "\n".join(lines) + f"\nit: {{base: OperatorTemplate, equations: x, variables: *a{levels - 1}}}\n"


def doubling(levels):
    lines = ['op0: {base: OperatorTemplate, equations: "x\' = x + k", variables: {x: output, k: 1}}']
    lines += [f"op{i}: {{base: op{i - 1}, equations: {{replace: {{k: (k + k)}}}}}}" for i in range(1, levels)]
    return "\n".join(lines) + f"\nit: {{base: op{levels - 1}}}\n"


def growing(levels):
    lines = [NODE, "c0: {base: CircuitTemplate, nodes: {a: node}}"]
    lines += [f"c{i}: {{base: CircuitTemplate, circuits: {{a: c{i - 1}, b: c{i - 1}}}}}" for i in range(1, levels)]
    return "\n".join(lines) + f"\nit: {{base: CircuitTemplate, circuits: {{a: c{levels - 1}}}}}\n"


BAD = {
    "empty": ("", "the file is empty"),
    "only a comment": ("# nothing\n", "the file is empty"),
    "a list": ("- a\n- b\n", "expected a mapping from names to templates, got a sequence"),
    "a text": ("hello", "expected a mapping from names to templates, got a scalar"),
    "two documents": (OP + "---\n" + OP, "not valid YAML"),
    "truncated list": ('it: {base: OperatorTemplate, equations: ["x\' = -x"', "not valid YAML"),
    "truncated text": ('it: {base: "Operator', "not valid YAML"),
    "truncated mapping": ("it:\n  base: NodeTemplate\n  operators\n", "line 4, column 1"),
    "tab": ("it:\n\tbase: NodeTemplate\n", "Indent with spaces, not with tabs"),
    "bad indentation": ("it:\n  base: NodeTemplate\n operators: x\n", "not valid YAML"),
    "not UTF-8": (b"it: \xff\xfe", "not a text in UTF-8 (byte 4)"),
    "control character": (b"it: {base: \x00}", "not valid YAML"),
    "undefined alias": ("it: *nothing\n", "undefined alias"),
    "duplicate template": ("it: {base: NodeTemplate}\nit: {base: NodeTemplate}\n", "the name 'it' is given twice"),
    "duplicate key": ("it: {base: NodeTemplate, operators: a, operators: b}\n", "key 'operators' is given twice"),
    "python object": ("it: !!python/object:os.system {}\n", "the tag '!!python/object:os.system' is not allowed"),
    "python call": ('it: {base: !!python/object/apply:os.system ["true"]}\n', "is not allowed"),
    "own tag": ("it: {base: !secret NodeTemplate}\n", "the tag '!secret' is not allowed"),
    "binary": ("it: {base: !!binary aGk=}\n", "the tag '!!binary' is not allowed"),
    "set": ("it: {base: NodeTemplate, operators: !!set {a, b}}\n", "the tag '!!set' is not allowed"),
    "wrong number": ("it: {base: !!int NodeTemplate}\n", "cannot read 'NodeTemplate' as int"),
    "recursive anchor": ("it: &it {base: NodeTemplate, operators: [*it]}\n", "an anchor contains itself"),
    "alias bomb": (bomb(9), "more than 500000 values"),
    "merge bomb": (merge_bomb(9), "more than 500000 values"),
    "deep nesting": ("it: {base: " + "[" * 70 + "]" * 70 + "}\n", "nested deeper than 64 levels"),
    "very deep nesting": ("it: " + "[" * 20000, "nested deeper than 64"),
    "too many values": ("it: [" + "[]," * 400_000 + "]\n", "more than 500000 values"),
    "too large": ("# " + "x" * 5_000_001 + "\n", "larger than 5 MB"),
    "merge of a text": ("it: {base: NodeTemplate, <<: text}\n", "only mappings can be merged"),
    "key that is a list": ("it: {base: NodeTemplate, [a]: 1}\n", "a key must be a text"),
    "name that is a list": ("[a, b]: {base: NodeTemplate}\nit: {}\n", "the name of a template must be a text"),
    "no base": ("it: {operators: a}\n", "a template is a mapping with a `base`"),
    "template that is a text": ("it: text\n", "a template is a mapping with a `base`"),
    "base that is a list": ("it: {base: [a]}\n", "base must be a kind of template or a path"),
    "unknown base": ("it: {base: NodeTemplte}\n", "unknown template 'NodeTemplte'"),
    "kinds are listed": ("it: {base: Node}\n", "Kinds of templates: OperatorTemplate, NodeTemplate"),
    "circle of bases": (
        "it: {base: b}\nb: {base: c}\nc: {base: it}\n",
        "refer to each other in a circle: model.yaml/it -> model.yaml/b -> model.yaml/c -> model.yaml/it",
    ),
    "own base": ("it: {base: it}\n", "model.yaml/it -> model.yaml/it"),
    "circle of circuits": (
        "it: {base: CircuitTemplate, circuits: {a: other}}\nother: {base: CircuitTemplate, circuits: {b: it}}\n",
        "in a circle",
    ),
    "long chain": ("\n".join(f"t{i}: {{base: t{i + 1}}}" for i in range(99)) + "\nit: {base: t0}\n", "50 levels"),
    "doubling equations": (doubling(20), "has grown beyond 10000 characters"),
    "doubling circuits": (growing(40), "nodes are more than 1000000"),
    "long vector": (OP.replace("k: 1.0", "k: 'variable(0, 100000000000)'").replace("op:", "it:"), "from 1 to 1000000"),
    "unknown key of an operator": ("it: {base: OperatorTemplate, equation: x}\n", "Did you mean 'equations'"),
    "unknown key of a node": ("it: {base: NodeTemplate, operator: x}\n", "Did you mean 'operators'"),
    "unknown key of a circuit": ("it: {base: CircuitTemplate, node: {}}\n", "Did you mean 'nodes'"),
    "name as a key": ("it: {base: NodeTemplate, name: x}\n", "unknown part of a NodeTemplate 'name'"),
    "no equations": ("it: {base: OperatorTemplate, variables: {x: 1}}\n", "needs 'equations'"),
    "no operators": ("it: {base: NodeTemplate}\n", "needs 'operators'"),
    "null operators": ("it: {base: NodeTemplate, operators: null}\n", "needs 'operators'"),
    "no number of units": (NODE + "it: {base: PopulationTemplate, node: node}\n", "needs 'n'"),
    "negative number of units": (NODE + "it: {base: PopulationTemplate, node: node, n: -1}\n", "a whole number from 1"),
    "label with a slash in a template": (OP + "it: {base: op, label: a/b}\n", "must not hold '/'"),
    "missing operator": (
        OP + "it: {base: NodeTemplate, operators: opp}\n",
        "unknown template 'opp'. Did you mean 'op'",
    ),
    "operator of another kind": (NODE + "it: {base: NodeTemplate, operators: node}\n", "expected an OperatorTemplate"),
    "node of another kind": (OP + "it: {base: CircuitTemplate, nodes: {a: op}}\n", "expected a NodeTemplate, got the"),
    "base of another kind": (OP + "it: {base: op, operators: x}\n", "unknown part of an OperatorTemplate"),
    "operator that is a number": ("it: {base: NodeTemplate, operators: [3]}\n", "expected the name of a Operator"),
    "value of unknown variable": (OP + "it: {base: NodeTemplate, operators: {op: {kk: 1}}}\n", "Did you mean 'k'"),
    "value that is no number": (OP + "it: {base: NodeTemplate, operators: {op: {k: [a]}}}\n", "expected a number"),
    "nested variables": (OP + "it: {base: NodeTemplate, operators: {op: {variables: {k: 1}}}}\n", "'variables'"),
    "missing node": (CIRCUIT % "[c/op/x, b/op/u, null, {}]", "unknown node 'c'"),
    "missing variable": (CIRCUIT % "[a/op/y, b/op/u, null, {}]", "unknown variable 'y'"),
    "missing operator of an edge": (CIRCUIT % "[a/opp/x, b/op/u, null, {}]", "Did you mean 'op'"),
    "edge into a state": (CIRCUIT % "[a/op/x, b/op/x, null, {}]", "is of kind state, expected input; 'op' has u"),
    "edge out of a parameter": (CIRCUIT % "[a/op/k, b/op/u, null, {}]", "is of kind parameter"),
    "edge with one end": (CIRCUIT % "[a/op/x]", "expected [source, target, template or null"),
    "edge with five parts": (CIRCUIT % "[a/op/x, b/op/u, null, {}, 5]", "expected [source, target"),
    "edge that is a text": (CIRCUIT % "a/op/x", "expected [source, target"),
    "edge with a short path": (CIRCUIT % "[op/x, b/op/u, null, {}]", "expected a path 'node/operator/variable'"),
    "edge with a wildcard": (CIRCUIT % "[all/op/x, b/op/u, null, {}]", "use add_edges_from_matrix"),
    "edge with an unknown value": (CIRCUIT % "[a/op/x, b/op/u, null, {wight: 1}]", "Did you mean 'weight'"),
    "edge with a variable": (CIRCUIT % "[a/op/x, b/op/u, null, {op/k: 1}]", "Only an edge with a template"),
    "weight that is a text": (CIRCUIT % "[a/op/x, b/op/u, null, {weight: big}]", "expected a number, got the text"),
    "weight that is a list": (CIRCUIT % "[a/op/x, b/op/u, null, {weight: [1, 2]}]", "one finite real number"),
    "infinite weight": (CIRCUIT % "[a/op/x, b/op/u, null, {weight: .inf}]", "one finite real number"),
    "weight nan": (CIRCUIT % "[a/op/x, b/op/u, null, {weight: .nan}]", "got nan"),
    "negative delay": (CIRCUIT % "[a/op/x, b/op/u, null, {delay: -1}]", "must not be negative"),
    "spread without delay": (CIRCUIT % "[a/op/x, b/op/u, null, {spread: 1}]", "a spread needs a delay"),
    "edge with a node as template": (CIRCUIT % "[a/op/x, b/op/u, node, {}]", "expected an EdgeTemplate"),
    "edge mapping with a wrong key": (CIRCUIT % "{from: a/op/x, target: b/op/u}", "unknown part of an edge 'from'"),
    "edge to remove that is not there": (CIRCUIT.replace("[%s]", "{remove: [[a/op/x, b/op/u]]}"), "unknown edge"),
    "edges that are a number": (CIRCUIT.replace("[%s]", "3"), "edges must be a list"),
    "nodes that are a list": ("it: {base: CircuitTemplate, nodes: [a]}\n", "expected a mapping"),
    "label called all": (NODE + "it: {base: CircuitTemplate, nodes: {all: node}}\n", "stands for every node"),
    "label with a slash": (NODE + "it: {base: CircuitTemplate, nodes: {a/b: node}}\n", "must not hold '/'"),
    "label used twice": (
        NODE + "c: {base: CircuitTemplate, nodes: {a: node}}\nit: {base: c, circuits: {a: c}}\n",
        "the label 'a' is given to two parts",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case, write):
    text, message = BAD[case]
    write(text)
    started = time.process_time()
    with pytest.raises(RecurraError) as caught:
        from_yaml("./model/it")
    assert message in str(caught.value)
    assert time.process_time() - started < 5.0
    if case == "alias bomb" or case == "too large":
        assert "model.yaml" in str(caught.value)


DECLARATIONS = {
    "x: ouput(1)": "Did you mean 'output'",
    "x: output(a)": "expected a number, got the text 'a'",
    "x: output(1": "expected a number, got the text 'output(1'",
    "x: 'output(1, 2, 3)'": "expected output(value) or output(value, length)",
    "x: 'output(1, 0)'": "a whole number from 1",
    "x: 'output(1, 2.5)'": "a whole number from 1",
    "x: true": "expected a number, got True",
    "x: null": "expected a number, got None",
    "x: .nan": "got nan",
    "x: [1, [2]]": "expected a number or an array",
    "x: []": "at least one number",
    "x: {default: 1}": "the form {default: ...} is not read",
    "x: {vtype: outpt}": "Did you mean 'output'",
    "x: {vtype: output, dtype: text}": "unknown dtype 'text'",
    "x: {vtype: output, shp: 2}": "Did you mean 'shape'",
    "x: {vtype: output, value: 1.0+1.0j}": "cannot hold the complex value",
    "x: {vtype: variable, value: [1, 2], shape: 3}": "does not fill [3]",
    "x: 2.0": "'x' is declared as a constant (2.0) but has the equation",
    "x: input(2)": "Declare it as variable(2.0) or output(2.0)",
    "x: output, k: output": "at most one output, got x, k",
    "x: output, y: variable": "'y' is declared as variable(0.0) but has no equation",
    "x: output, k: variable(1)": "'k' is declared as variable(1.0) but has no equation",
    "x: output, t: 1.0": "'t' is time",
    "k: 1.0": "unknown variable 'x'",
    "x: output, kk: 1": "Did you mean 'kk'",
    "x: output, lambda: 1": "lambda_",
    "x: output, 3: 1": "a name is text, got 3",
    "x: __import__('os').system('true')": "unknown kind of variable '__import__'",
    "x: 1 + 1": "expected a number, got the text '1 + 1'",
}


@pytest.mark.parametrize("variables", DECLARATIONS)
def test_bad_declarations(variables, write):
    extra = "" if "k: " in variables or "kk" in variables else ", k: 1.0"
    write(f'it: {{base: OperatorTemplate, equations: "x\' = -k*x", variables: {{{variables}{extra}}}}}\n')
    with pytest.raises(RecurraError) as caught:
        from_yaml("./model/it")
    assert DECLARATIONS[variables] in str(caught.value)


EDITS = {
    "{replce: {k: q}}": "Did you mean 'replace'",
    "{replace: k}": "expected a mapping",
    "{replace: {q: z}}": "'q' is to be replaced or removed but is in none of the equations",
    "{replace: {kk: z}}": "Did you mean 'k'",
    "{remove: [zz]}": "is in none of the equations",
    "{remove: ''}": "nothing is given to be replaced",
    "{add: [[a]]}": "expected a text",
    "{add: x + 1}": "=",
    '{add: "x\' = 1"}': "'x' has two equations",
    "{append: +}": "x' = -k*x + u +",
    "3": "must be a text",
}


@pytest.mark.parametrize("edits", EDITS)
def test_bad_edits(edits, write):
    write(OP + f"it: {{base: op, equations: {edits}}}\n")
    with pytest.raises(RecurraError) as caught:
        from_yaml("./model/it")
    assert EDITS[edits] in str(caught.value)


PATHS = {
    "": "expected the path of a template",
    "WC": "names no file",
    "wilsoncowan": "Did you mean a template in 'model_templates.neural_mass_models.wilsoncowan'?",
    "model_templates.neural_mass_models.wilsoncowan.WCC": "Did you mean 'WC'",
    "model_templates.neural_mass_models.wilsoncowann.WC": "Did you mean 'model_templates.neural_mass_models.wilson",
    "./modell/pair": "Did you mean 'model'",
    "./model.yaml": "is a file; say which template of it: './model.yaml/NAME' with one of decay",
    "./model/": "unknown template ''",
    "/": "names no file",
    "./folder/it": "this is no file",
    "./folder.yaml/it": "this is no file",
    "./nothing/here/it": "there is no file",
    "model.pairr": "Did you mean 'pair'",
    "./mo\0del/pair": "there is no file",
    "./" + "x" * 5000 + "/pair": "there is no file",
    "....": "unknown file",
}


@pytest.mark.parametrize("path", PATHS)
def test_bad_paths(path, write, tmp_path):
    write(MINIMAL)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(PathError) as caught:
        from_yaml(path)
    assert PATHS[path] in str(caught.value)


@pytest.mark.parametrize("path", [None, 3, ["a"], b"model/pair"])
def test_paths_that_are_no_text(path):
    with pytest.raises(PathError, match="expected the path of a template"):
        from_yaml(path)


def test_a_template_of_another_kind():
    with pytest.raises(TemplateError, match="expected a NodeTemplate, got the CircuitTemplate 'WC'"):
        NodeTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")


# Broken files

MUTANT_SOURCE = (
    MINIMAL
    + """
aliases: &a {path: decay, number: [1.0, 2.0e-3, 0x1f, 1_000]}
theta:
  base: OperatorTemplate
  equations: ["z' = i*z", "m = abs(z)"]
  variables: {z: output(1.0+0.5j), i: 0.0+1.0j, m: variable, t: variable(0.0)}
node2:
  base: NodeTemplate
  operators: [theta, decay]
  description: >-
    some text
  reference: "p"
big: {base: CircuitTemplate, circuits: {one: pair}, populations: {p: {node: cell, n: 2}}}
"""
)
PIECES = [*"{}[]:,'\"|>%@#\n\t-?\x00\x85é😀", "&a ", "*a", "!!python/name:os ", "- ", "<<: ", "null", "1e400", "---"]


def mutants(count):
    rng = random.Random(0)
    for _ in range(count):
        text = MUTANT_SOURCE
        for _ in range(rng.randint(1, 4)):
            at, width = rng.randrange(len(text)), rng.choice([0, 1, 1, 3, 20])
            kind = rng.random()
            if kind < 0.4:
                text = text[:at] + rng.choice(PIECES) + text[at + width :]
            elif kind < 0.6:
                text = text[:at] + text[at + width :]
            elif kind < 0.7:
                text = text[:at]
            else:
                other = rng.randrange(len(text))
                text = text[:at] + text[other : other + width] + text[at:]
        yield text


@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.ReusedAnchorWarning")
def test_mutated_files_give_a_template_or_a_plain_error(write, capsys):
    good = 0
    for text in mutants(250):
        write(text)
        for name in ("pair", "node2", "big", "decay2"):
            started = time.process_time()
            try:
                found = from_yaml(f"./model/{name}")
            except RecurraError as error:
                assert str(error)
            else:
                assert isinstance(found, Template)
                good += 1
            assert time.process_time() - started < 2.0
    assert good > 50  # else the mutations would test nothing but the parser
    assert capsys.readouterr().out == ""
