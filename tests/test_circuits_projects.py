"""Projects of other people: what is mended, what is told, and that one broken template stops no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recurra.circuits import ProjectReport, from_yaml, read_project
from recurra.errors import PathError, RecurraError

GOOD = """
op: {base: OperatorTemplate, equations: ["x' = -k*x + u"], variables: {x: output(0.5), k: 2.0, u: input(0.0)}}
cell: {base: NodeTemplate, operators: [op]}
pair:
  base: CircuitTemplate
  nodes: {a: cell, b: cell}
  edges: [[a/op/x, b/op/u, null, {weight: 1.5}]]
"""


def project(folder, **files):
    """Write files, `a__b` being `a/b.yaml`, and read them as a project."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text, encoding="utf-8")
    return read_project(folder)


def entry(report: ProjectReport, name: str):
    """Return what the report says of a template."""
    (found,) = [e for e in report.entries if f"{e.file.rsplit('.', 1)[0]}/{e.template}" == name or e.file == name]
    return found


def test_a_project_without_oddities_is_read_as_it_stands(tmp_path):
    templates, report = project(tmp_path, good=GOOD)
    assert list(templates) == ["good/op", "good/cell", "good/pair"]
    assert {e.status for e in report.entries} == {"read"}
    assert str(report) == "3 read, 0 mended, 0 failed"
    expected = from_yaml(f"{tmp_path}/good/pair")
    same = {"simulation_time": 1.0, "step_size": 0.1, "outputs": {"x": "b/op/x"}}
    assert np.array_equal(templates["good/pair"].run(**same), expected.run(**same))


def test_one_file_can_be_read(tmp_path):
    project(tmp_path, good=GOOD, other=GOOD)
    templates, _ = read_project(tmp_path / "good.yaml")
    assert list(templates) == ["good/op", "good/cell", "good/pair"]


# What stands in an operator, what it is to mean, and the line that tells it.
OPERATORS = [
    ("{base: OperatorTemplate, equation: \"x' = -x\", variables: {x: output}}", "x' = -x", {"x": "output(0.0)"},
     "the key 'equation' was read as 'equations'"),
    ("{base: OperatorTemplate, equations: \"d/dt x = -x\", variables: {x: output}}", "d/dt * x = -x",
     {"x": "output(0.0)"}, "the equation 'd/dt x = -x' was read as 'd/dt * x = -x'"),
    ("{base: pyrates.frontend.OperatorTemplate, equations: \"x' = -x\", variables: {x: output}}", "x' = -x", {},
     "base 'pyrates.frontend.OperatorTemplate' was read as 'OperatorTemplate'"),
    ("{base: operator, equations: \"x' = -x\", variables: {x: output}}", "x' = -x", {},
     "base 'operator' was read as 'OperatorTemplate'"),
    ("{base: OperatorTemplate, equations: \"x' = -k*x\", variables: {x: {default: output(0.1)}, k: {default: 3.0}}}",
     "x' = -k*x", {"x": "output(0.1)", "k": "3.0"}, "k: {default: 3.0} was read as 3.0"),
    ("{base: OperatorTemplate, equations: \"x' = -x\", variables: {x: {vtype: output, value: 0.1, description: s}}}",
     "x' = -x", {"x": "output(0.1)"}, "x: its description was left out"),
    ("{base: OperatorTemplate, equations: \"x' = -x\", variables: {x: 'output(0.2, float32)'}}", "x' = -x",
     {"x": "output(0.2)"}, "x: the type float in its declaration was left out"),
    ("{base: OperatorTemplate, equations: \"x' = Abs(x) + Max(x, 0)\", variables: {x: output}}",
     "x' = abs(x) + maximum(x, 0)", {}, "was read as \"x' = abs(x) + maximum(x, 0)\""),
    ("{base: OperatorTemplate, equations: [\"x' = PI*x + E\"], variables: {x: output}}", f"x' = pi*x + {math.e!r}", {},
     "was read as"),
    ("{base: OperatorTemplate, equations: [\"x' = E - x\"], variables: {x: output, E: 2.0}, name: op}", "x' = E - x",
     {"E": "2.0"}, "the key 'name' was left out"),
    ("{base: OperatorTemplate, equations: [\"x' = t - x + c\"], variables: {x: output, t: variable, c: variable(2.0)}}",
     "x' = t - x + c", {"c": "2.0"}, "c: has no equation and was read as the constant 2.0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "equation", "declared", "told"), OPERATORS, ids=range(len(OPERATORS)))
def test_operators_are_mended(text, equation, declared, told, tmp_path):
    templates, report = project(tmp_path, old=f"op: {text}\n")
    found = entry(report, "old/op")
    assert found.status == "mended", report
    assert any(told in note for note in found.notes), found
    op = templates["old/op"]
    assert op.equations == (equation,)
    assert {name: str(op[name]) for name in declared} == declared
    assert told in str(report)


CIRCUITS = [
    ("cell: {base: NodeTemplate, operators: {op: {variables: {k: {value: 7.0}}}}}", "operator op, k: was read as 7.0"),
    ("cell: {base: NodeTemplate, operator: op}", "the key 'operator' was read as 'operators'"),
    ("cell: {base: CircuitTemplate, nodes: {a: node}, edges: [[a/op/x, a/op/u, {weight: 2.0, delay: null}]]}",
     "attributes without a value were left out"),
    ("cell: {base: NodeTemplate, operators: op, label: other}", "`label: other` names the template"),
    ("cell: {base: NodeTemplate, operators: pyrates.model_templates.base_templates.li_op}", "was read as"),
    ("cell: {base: model_templates.jansen_rit.simple_jansen_rit.JRC}", "jansenrit.yaml/JRC"),
    ("cell: {base: NodeTemplate, operators: [sub.deep.op3]}", "was read as 'deep.yaml/op3'"),
    ("cell: {base: NodeTemplate, operators: ['..\\sub\\deep\\op3']}", "was read as 'deep.yaml/op3'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), CIRCUITS, ids=range(len(CIRCUITS)))
def test_nodes_edges_and_paths_are_mended(text, told, tmp_path):
    op = "op: {base: OperatorTemplate, equations: \"x' = -k*x + u\", variables: {x: output, k: 1.0, u: input}}\n"
    op += "node: {base: NodeTemplate, operators: op}\n"
    deep = op.replace("op: {", "op3: {", 1).replace("operators: op", "operators: op3")
    templates, report = project(tmp_path, models__old=op + text + "\n", sub__deep=deep)
    found = entry(report, "models/old/cell")
    assert found.status == "mended", report
    assert told in "\n".join(found.notes)
    assert templates["models/old/cell"].describe()
    if "7.0" in text:
        assert templates["models/old/cell"].to_node().values["op/k"] == 7.0


def test_broken_templates_do_not_stop_the_others(tmp_path):
    bad = """
op: {base: OperatorTemplate, equations: "x' = Piecewise(x)", variables: {x: output}}
cell: {base: NodeTemplate, operators: op}
loop1: {base: loop2}
loop2: {base: loop1}
none: {base: somewhere.else.Model}
odd: {base: OperatorTemplate, equations: "x' = -x", variables: {x: output}, colour: red}
list: {base: [1, 2]}
fine: {base: OperatorTemplate, equations: "x' = -x", variables: {x: output}}
"""
    templates, report = project(
        tmp_path, bad=bad, good=GOOD, empty="", garbage=b"\xff\xfe\x00\x80", cut="a: [1,\n b: {", plain="x: 1\n"
    )
    assert sorted(templates) == ["bad/fine", "good/cell", "good/op", "good/pair"]
    reasons = {(e.file, e.template): "\n".join(e.notes) for e in report.failed}
    expected = {
        ("bad.yaml", "op"): "unknown function 'Piecewise'",
        ("bad.yaml", "cell"): "unknown function 'Piecewise'",
        ("bad.yaml", "loop1"): "in a circle",
        ("bad.yaml", "loop2"): "in a circle",
        ("bad.yaml", "none"): "somewhere.else",
        ("bad.yaml", "odd"): "'colour'",
        ("bad.yaml", "list"): "base must be",
        ("empty.yaml", ""): "the file is empty",
        ("garbage.yaml", ""): "not a text in UTF-8",
        ("cut.yaml", ""): "not valid YAML",
    }
    assert set(reasons) == set(expected)
    for key, text in expected.items():
        assert text in reasons[key], key
    assert str(report).splitlines()[0] == "4 read, 0 mended, 10 failed"


def test_from_yaml_stays_strict(tmp_path):
    project(tmp_path, old="op: {base: OperatorTemplate, equation: \"x' = -x\", variables: {x: {default: output}}}\n")
    with pytest.raises(RecurraError, match="equation"):
        from_yaml(f"{tmp_path}/old/op")


@pytest.mark.parametrize("path", ["nowhere", 5, "a\x00b"])
def test_a_missing_project_is_an_error(path):
    with pytest.raises(PathError, match="expected a folder or a YAML file"):
        read_project(path)


def test_garbled_files_are_reported_and_never_raise(tmp_path):
    whole = (GOOD + "\n".join(f"o{i}: {row[0]}" for i, row in enumerate(OPERATORS))).encode()
    rng = np.random.default_rng(0)
    failed = 0
    for round_ in range(40):
        data = bytearray(whole[: rng.integers(20, len(whole))] if round_ % 2 else whole)
        for at in rng.integers(0, len(data), 6):
            data[at] = int(rng.choice(list(b"{}[]:,'\"\n -&*!|>%@`0aE\xff")))
        _, report = project(tmp_path, x=bytes(data))
        assert report.entries
        failed += bool(report.failed)
        told = "\n".join(note for e in report.failed for note in e.notes)
        assert not any(kind in told for kind in ("TypeError:", "AttributeError:", "KeyError:", "IndexError:")), told
    assert failed > 20
