"""Exported right-hand sides, imported and compiled, against the engine's vector field."""

from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest

from exported_code import CC, agree, load_c, load_numpy, needs_cc
from recurra import Network
from recurra.circuits import CircuitTemplate
from recurra.engine import Edge, Graph, Node, Operator, Sparse, Spike, Variable, lower, vector_field
from recurra.equations import FUNCTIONS, parse_equations
from recurra.errors import CapabilityError, OptionError, RecurraError, StoreError
from recurra.interchange import export_function


def operator(texts, **variables):
    """Make an operator; values that are tuples are `(kind, value)`, numbers are parameters."""
    declared = {n: Variable(*v) if isinstance(v, tuple) else Variable("parameter", v) for n, v in variables.items()}
    return Operator(parse_equations(texts), declared, "x")


def check(graph, tmp_path, scale=0.3, languages=("numpy", "c")):
    """Hold both languages against the engine; return the NumPy module."""
    program = lower(graph)
    field = vector_field(program)
    module = load_numpy(export_function(program), tmp_path)
    agree(field.function, module.f, module.Y0, module.P0, scale)
    if "c" in languages and CC:
        agree(field.function, load_c(export_function(program, "c"), tmp_path)[0], module.Y0, module.P0, scale)
    return module


UNARY = sorted({f.name for f in FUNCTIONS.values() if f.arity[0] == 1 and f.elementwise} - {"angle"})


def test_every_function_of_one_argument(tmp_path):
    texts = [f"x{i}' = {name}(0.4*x{i} + k) - x{i}" for i, name in enumerate(UNARY)]
    states = {f"x{i}": ("state", 0.1 * i) for i in range(len(UNARY))}
    declared = {n: Variable(*v) for n, v in states.items()} | {"k": Variable("parameter", 0.2)}
    op = Operator(parse_equations(texts), declared)
    check(Graph({"n": Node({"op": op}, 3)}), tmp_path, scale=1.5)


EXPRESSIONS = [
    "where(x > 0, x, -k) + (x > 0) + (x < k)",
    "(x > 0 and k < 2) + (x > 1 or not (x >= k)) - (x == x) + (x != k)",
    "(x > 0)/(k > 0) - -x - (-(-k))",
    "x**2 + abs(x)**1.5 + 2**x - x^3 + k**-1",
    "x % k + (-x) % 0.7 + mod(x, -k)",
    "maximum(x, k) + minimum(x, 0) + clip(x, -0.2, 0.3) + arctan2(x, k)",
    "sin(2*pi*t) + t/(1 + t) + x/0.5/k*2 - (x - (k - x))",
    "1/0*x*0 + k",
    "2*3 + sqrt(4) - log(2) + x*(1 > 2)",
    "mean(x)*x - sum(x**2) + std(x) + var(2*x)",
    "softmax(x) - softmin(x)*k + log_softmax(x + 1)",
    "roll(x, 1) - roll(x, -2)*k",
    "x[0] + x[2]*k - x[-1] + index(x, 1)",
    "x[-3] + index(x, k*0 - 3) + index(x, k + 1.2)",
    "x + index(x, k*10)",
    "interp(x, a, b) + a[1]",
    "sum(index_range(x, 1, 3)) + mean(x[1] + x)",
    "sum(concatenate(x, k*x, a)) - x",
    "matmul(A, x) + index_2d(A, 1, 2) + A[0, 1]",
    "heaviside(x) + sign(x) + round(3*x) + floor(x) + ceil(x) + erf(x) + exprel(x) + relu(x) + softplus(x)",
    "+x + no_op(x) + real(x) + imag(x) + conj(x)",
    "-" * 30 + "x",
    "(" * 150 + "x" + " + k)" * 150,
    " + ".join(["x*k"] * 190),
]


@pytest.mark.parametrize("text", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_expressions(text, tmp_path):
    declared = {
        "x": Variable("state", np.array([0.1, -0.4, 0.8])),
        "k": Variable("parameter", 0.9),
        "a": Variable("parameter", np.array([-1.0, 0.2, 0.7])),
        "b": Variable("parameter", np.array([2.0, -1.0, 3.0])),
        "A": Variable("parameter", np.random.default_rng(0).normal(size=(3, 3))),
    }
    used = {n: v for n, v in declared.items() if re.search(rf"\b{n}\b", text)} | {"x": declared["x"]}
    op = Operator(parse_equations([f"x' = {text} - x"]), used)
    check(Graph({"n": Node({"op": op})}), tmp_path, scale=0.6)


def leaky(**options):
    return operator(["x' = -x/tau + u + v", "y = tanh(x)"], x=("state", 0.1), y=("algebraic",), tau=2.0,
                    u=("input", 0.3), v=("input", 0.2), **options)  # fmt: skip


def test_every_way_of_delivery(tmp_path):
    rng = np.random.default_rng(0)
    nodes = {f"n{i}": Node({"op": leaky()}, size) for i, size in enumerate((4, 4, 3))}
    nodes["one"] = Node({"other": operator(["x' = -x**3 + u"], x=("state", 0.2), u=("input", 0.0))})
    sparse = Sparse(np.array([0, 1, 2]), np.array([3, 0, 3]), np.array([0.5, 2.0, -1.0]), (3, 4))
    units = np.arange(4)
    edges = (
        Edge("n0/op/y", "n1/op/u", rng.normal(size=(4, 4))),
        Edge("n0/op/y", "n2/op/u", sparse),
        Edge("n1/op/x", "n0/op/u", Sparse(units, units, rng.normal(size=4), (4, 4))),
        Edge("n2/op/y", "n1/op/u", 0.25),
        Edge("one/other/x", "n2/op/u", 1.5),
        Edge("n2/op/x", "one/other/u", rng.normal(size=(1, 3))),
        Edge("n0/op/x", "n0/op/v", rng.normal(size=(4, 4)), delay=0.5, spread=0.25),
        Edge("one/other/x", "one/other/u", 0.5, delay=0.8, spread=0.4),
    )
    module = check(Graph(nodes, edges), tmp_path)
    assert module.STATES["n1/op/x"][1] - module.STATES["n1/op/x"][0] == 4


def test_operators_on_edges_and_large_sparse_networks(tmp_path):
    plastic = operator(["x = s*w", "w' = -w + s"], x=("algebraic",), w=("state", 0.5), s=("input",))
    joined = Edge("a/op/y", "b/op/u", np.random.default_rng(0).normal(size=(3, 4)), node=Node({"syn": plastic}),
                  inputs={"syn/s": "source"}, output="syn/x")  # fmt: skip
    check(Graph({"a": Node({"op": leaky()}, 4), "b": Node({"op": leaky()}, 3)}, (joined,)), tmp_path)
    rng = np.random.default_rng(1)
    size, count = 300, 900
    places = np.sort(rng.choice(size * size, count, replace=False))
    weights = Sparse(places // size, places % size, rng.normal(size=count), (size, size))
    check(Graph({"a": Node({"op": leaky()}, size)}, (Edge("a/op/y", "a/op/u", weights),)), tmp_path)


def test_numbers_have_places_by_path(tmp_path):
    circuit = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")
    field, module = vector_field(circuit.program), load_numpy(export_function(circuit), tmp_path)
    y = module.Y0 + 0.2
    assert set(field.params) <= set(module.PARAMETERS)
    for path, value in field.params.items():
        place = module.PARAMETERS[path]
        at = list(range(*place)) if isinstance(place, tuple) else place
        assert np.array_equal(module.P0[at], np.ravel(value)), path
        params = module.P0.copy()
        params[at] += 0.37
        changed = np.asarray(field.function(0.0, y, {path: np.asarray(value) + 0.37}))
        assert np.max(np.abs(module.f(0.0, y, params) - changed)) < 1e-12, path
    assert np.array_equal(module.f(0.0, y), module.f(0.0, y, module.P0))


@needs_cc
def test_c_text_lists_names_and_defaults(tmp_path):
    circuit = CircuitTemplate.from_yaml("model_templates.neural_mass_models.wilsoncowan.WC")
    module = load_numpy(export_function(circuit), tmp_path)
    _, library = load_c(export_function(circuit, "c", tmp_path / "wc.c"), tmp_path)
    states, params = (ctypes.c_int.in_dll(library, n).value for n in ("f_number_of_states", "f_number_of_parameters"))
    assert (states, params) == (len(module.Y0), len(module.P0))
    assert list((ctypes.c_double * params).in_dll(library, "f_params0")) == module.P0.tolist()
    assert list((ctypes.c_double * states).in_dll(library, "f_y0")) == module.Y0.tolist()
    names = [n.decode() for n in (ctypes.c_char_p * states).in_dll(library, "f_state_names")]
    assert {n: module.STATES[n][0] for n in names} == {n: i for i, n in enumerate(names)}
    assert (tmp_path / "wc.c").read_text() == export_function(circuit, "c")


def test_text_needs_nothing_of_this_library_and_is_the_same_every_time():
    model = "model_templates.neural_mass_models.jansenrit.JRC"
    for language in ("numpy", "c"):
        text = export_function(model, language)
        assert text == export_function(model, language)
        assert "recurra" not in text.lower()
    imports = re.findall(r"^(?:import|from) .*", export_function(model), re.M)
    assert imports == ["import numpy as np"]


EVIL = [
    "a\nimport os\nos.remove('x')\n",
    'a"""\nraise SystemExit\n"""',
    "a*/ int main(void) { return 1; } /*",
    "a??/",
    "a\\",
    'a"; system("x"); "',
    "a'), __import__('os').system('x'), ('",
    "пример é 中",
    "{0} %s %n",
    "a\r\u2028b\x00c",
]


@pytest.mark.parametrize("name", EVIL, ids=range(len(EVIL)))
def test_names_of_the_user_run_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("still here")
    op = operator(["x' = -x/tau + u"], x=("state", 0.1), tau=2.0, u=("input", 0.3))
    edges = (Edge(f"{name}/op/x", f"{name}/op/u", np.eye(2), label=name),)
    try:
        program = lower(Graph({name: Node({"op": op}, 2)}, edges, name))
    except RecurraError:
        program = lower(Graph({name: Node({"op": op}, 2)}, (), name))
    text = export_function(program)
    module = load_numpy(text, tmp_path)
    assert list(module.STATES) == [f"{name}/op/x"]
    agree(vector_field(program).function, module.f, module.Y0, module.P0)
    code = export_function(program, "c")
    assert code.isascii()
    assert code.count("*/") == code.count("/*")
    assert "??" not in code
    if CC:
        f, library = load_c(code, tmp_path)
        agree(vector_field(program).function, f, module.Y0, module.P0)
        first = (ctypes.c_char_p * 2).in_dll(library, "f_state_names")[0]
        assert first == f"{name}/op/x[0]".encode().split(b"\x00")[0]
    assert (tmp_path / "x").read_text() == "still here"


@pytest.mark.parametrize("name", ["np", "t", "y", "params", "dy", "f", "double", "M_PI", "i", "λ", "_fit"])
def test_variables_may_have_any_name(name, tmp_path):
    declared = {"x": Variable("state", 0.3), name: Variable("parameter", 1.7)}
    op = Operator(parse_equations([f"x' = -x*{name} + exp(x) + mean(x)"]), declared)
    check(Graph({"n": Node({"op": op}, 2)}), tmp_path)


def delayed():
    return Graph({"n": Node({"op": leaky()})}, (Edge("n/op/x", "n/op/u", 1.0, delay=0.5),))


def spiking():
    return Graph({"n": Node({"op": leaky()}, spikes=(Spike("op/x", "op/u", 1.0, 0.0),))})


BAD = [
    (delayed, "numpy", CapabilityError, "has a delay"),
    (spiking, "c", CapabilityError, "has thresholds"),
    (lambda: Graph({"n": Node({"op": operator(["x = 2*u"], x=("algebraic",), u=("input",))})}), "c", CapabilityError,
     "has no state"),
    (lambda: leaky, "fortran", OptionError, "unknown language 'fortran'.*numpy, c"),
    (lambda: 5, "numpy", OptionError, "got int"),
    (lambda: Graph({"n": Node({"op": Operator(parse_equations(["x' = roll(x, k)"]),
                                              {"x": Variable("state"), "k": Variable("parameter", 1.0)})}, 3)}),
     "c", CapabilityError, "roll is written in C for literal numbers only"),
    (lambda: Graph({"n": Node({"op": operator(["x' = index_axis(x, 1, 0)"], x=("state",))}, 3)}), "c", CapabilityError,
     "'index_axis' cannot be written in this language"),
    (lambda: (n := Network(), n.add_func_node("f", 2, "tanh"))[0], "numpy", CapabilityError, "has no state"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "language", "error", "message"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_written_is_refused(make, language, error, message):
    with pytest.raises(error, match=message):
        export_function(make(), language)


def test_files_that_cannot_be_written_are_errors(tmp_path):
    with pytest.raises(StoreError, match="cannot write there"):
        export_function("model_templates.oscillators.vanderpol.vdp", path=tmp_path / "none" / "f.py")
