"""Facts about the equation language: forms, precedence, messages and where their carets stand."""

from __future__ import annotations

import copy
import doctest
import math
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import recurra.equations
from recurra.equations import (
    FUNCTIONS,
    Binary,
    Call,
    Compare,
    Index,
    Name,
    Number,
    Past,
    Unary,
    check_name,
    equation_to_latex,
    evaluate,
    evaluate_numpy,
    fold,
    functions,
    names,
    noises,
    parse_equation,
    parse_equations,
    parse_expression,
    pasts,
    rename,
    substitute,
    to_latex,
    to_text,
)
from recurra.errors import EquationError, ShapeError


def both(text: str, past=None, **values):
    """Compute a text in JAX and in NumPy, check that they agree, return the NumPy value."""
    expression = parse_expression(text)
    in_numpy = evaluate_numpy(expression, values, past)
    in_jax = np.asarray(evaluate(expression, values, past))
    assert in_jax.shape == in_numpy.shape
    np.testing.assert_allclose(in_jax, in_numpy, rtol=1e-14, atol=1e-300)
    return in_numpy


# ------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4.+5.*2.", 14.0),
        ("4.*5.^2.", 100.0),
        ("(4.+5.)*2.", 18.0),
        ("4.^2.", 16.0),
        ("2/3", 2 / 3),
        ("7/2", 3.5),
        ("-2^2", -4.0),
        ("-2**2", -4.0),
        ("2^-1", 0.5),
        ("2^3^2", 512.0),
        ("(2^3)^2", 64.0),
        ("2*3^2", 18.0),
        ("10-4-3", 3.0),
        ("24/4/2", 3.0),
        ("24/4*2", 12.0),
        ("-7 % 3", 2.0),
        ("7 % -3", -2.0),
        ("mod(-7, 3)", 2.0),
        ("--3", 3.0),
        ("+-+3", -3.0),
        ("1e3 + .5 + 2.", 1002.5),
        ("pi", math.pi),
        ("(1 > 0) + (2 > 1)", 2.0),
        ("-(1 > 0)", -1.0),
        ("1 > 0 and not 2 > 3", True),
        ("1 > 2 or 3 != 3", False),
        ("1 > 2 or 2 > 1 and 0 > 1", False),
        ("not 1 == 1", False),
        ("where(1 > 2, 3, 4)", 4.0),
        ("heaviside(0) + heaviside(-1e-300) + heaviside(3)", 2.0),
        ("1/0", math.inf),
        ("9**9**9", math.inf),
        ("clip(5, 0, 1) + clip(-5, 0, 1) + clip(.25, 0, 1)", 1.25),
        ("maxi(1, 2) + max(1, 3) + maximum(1, 4) + mini(1, 2) + min(1, 3) + minimum(1, 4)", 12.0),
        ("round(2.5) + round(3.5) + floor(-1.5) + ceil(-1.5)", 3.0),
        ("absv(-2) + abs(-3)", 5.0),
        ("exprel(0)", 1.0),
        ("sigmoid(0) + relu(-1) + relu(2)", 2.5),
        ("softplus(0)", math.log(2)),
        ("no_op(3) + identity(4) + square(3)", 16.0),
        ("007", 7.0),
    ],
)
def test_constant(text, value):
    assert both(text) == value


def test_division_by_zero_of_arrays_is_infinite():
    assert both("1/x", x=np.array([0.0, 4.0])).tolist() == [math.inf, 0.25]


def test_both_powers_are_one():
    assert parse_expression("x^2 + y**3") == parse_expression("x**2 + y^3")


def test_complex_numbers():
    assert both("1j*2.5J") == -2.5
    assert both("(1 + 2j)*z", z=np.array(3 - 1j)) == 5 + 5j
    z = np.array([0.3 + 2j, -1 - 0.5j])
    np.testing.assert_allclose(both("conj(z)*z", z=z), np.abs(z) ** 2)
    np.testing.assert_allclose(both("real(z) + 1j*imag(z)", z=z), z)
    np.testing.assert_allclose(both("abs(z)*exp(1j*angle(z))", z=z), z)
    for name in ("exp", "sin", "cos", "sinh", "cosh", "tanh", "sqrt", "log", "sigmoid", "exprel", "sign"):
        both(f"{name}(z)", z=z)


def test_square_is_exactly_the_product():
    x = np.random.default_rng(1).standard_normal(1000)
    assert (np.asarray(evaluate(parse_expression("x**2"), {"x": x})) == x * x).all()


def test_order_of_operations_is_kept():
    # Sums in another order give other bits: (1e16 + 1) - 1e16 is 0, 1e16 - 1e16 + 1 is 1.
    values = {"a": np.array(1e16), "b": np.array(1.0)}
    assert float(evaluate(parse_expression("a + b - a"), values)) == 0.0
    assert float(evaluate(parse_expression("a - a + b"), values)) == 1.0


@pytest.mark.parametrize(
    "text",
    ["2*x + 1", "x**2/3", "x**2.5", "exp(-x/2)", "where(x > 0, x, 0)", "x*(x > 0) + pi", "relu(x) - 1"],
)
def test_literals_keep_single_precision(text):
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    assert evaluate(parse_expression(text), {"x": x}).dtype == np.float32
    assert evaluate(parse_expression("a*" + f"({text})"), {"x": x, "a": 2.0}).dtype == np.float32


def test_whole_numbers_given_as_values_are_floats():
    assert float(evaluate(parse_expression("a/b"), {"a": 1, "b": 2})) == 0.5
    assert float(evaluate_numpy(parse_expression("a/b"), {"a": 1, "b": 2})) == 0.5
    counts = np.array([1, 2])
    assert both("n**2 + n**-1", n=counts).tolist() == [2.0, 4.5]


def test_names_that_other_systems_reserve_are_variables():
    reserved = "beta gamma E I N S O Q oo zeta test lambda_ exp sum re Δ τ_m"
    for name in reserved.split():
        assert both(f"2*{name} + {name}", **{name: np.array([1.0, 2.0])}).tolist() == [3.0, 6.0]


def test_pi_can_be_a_variable():
    assert both("2*pi", pi=np.array(3.0)) == 6.0


def test_unicode_names_are_normalised_as_python_does():
    assert parse_expression("\u00b5 + ℌ") == parse_expression("\u03bc + H")
    assert check_name("\u00b5") == "\u03bc"
    assert parse_equation("x\u0302' = -x\u0302").target == "x\u0302"


def test_missing_value_names_what_there_is():
    for work in (evaluate, evaluate_numpy):
        with pytest.raises(EquationError, match=r"unknown variable 'tua'\. Did you mean 'tau'"):
            work(parse_expression("x/tua"), {"x": 1.0, "tau": 2.0})


def test_past_is_asked_for():
    history = {"x": 3.0, "y": 4.0}
    expression = parse_expression("past(x, tau) + y(t - 2*tau) + y(t-tau)")
    assert [(p.name, to_text(p.delay)) for p in pasts(expression)] == [
        ("x", "tau"),
        ("y", "2*tau"),
        ("y", "tau"),
    ]
    for work in (evaluate, evaluate_numpy):
        assert float(work(expression, {}, lambda node: history[node.name])) == 11.0
        with pytest.raises(EquationError, match=r"past\(x, \.\.\.\) needs the history of 'x'"):
            work(expression, {})


# ------------------------------------------------------------------------------- functions over the units


def test_functions_over_the_units():
    x = np.array([1.0, 2.0, 3.0, 6.0])
    matrix = np.arange(8.0).reshape(2, 4)
    assert both("mean(x)", x=x) == 3.0
    assert both("sum(x) + vsum(x)", x=x) == 24.0
    assert both("var(x)", x=x) == 3.5
    assert both("std(x)", x=x) == math.sqrt(3.5)
    assert both("roll(x, 1)", x=x).tolist() == [6.0, 1.0, 2.0, 3.0]
    assert both("roll(x, n)", x=x, n=np.array(-1.0)).tolist() == [2.0, 3.0, 6.0, 1.0]
    assert both("matmul(A, x) - matvec(A, x) + matvec(A, x)", A=matrix, x=x).tolist() == [26.0, 74.0]
    assert both("index(x, 2) + x[0] + x[-1]", x=x) == 10.0
    assert both("index_2d(A, 1, 2) + A[0, 1]", A=matrix) == 7.0
    assert both("A[1]", A=matrix).tolist() == [4.0, 5.0, 6.0, 7.0]
    assert both("index_range(x, 1, 3)", x=x).tolist() == [2.0, 3.0]
    assert both("index_axis(x)", x=x).tolist() == x.tolist()
    assert both("index_axis(A, 1)", A=matrix).tolist() == [4.0, 5.0, 6.0, 7.0]
    assert both("index_axis(A, 1, 1)", A=matrix).tolist() == [1.0, 5.0]
    assert both("x[i]", x=x, i=np.array([3, 0])).tolist() == [6.0, 1.0]
    assert both("x[i]", x=x, i=np.array([3.0, 0.0])).tolist() == [6.0, 1.0]
    assert both("(2*x)[1]", x=x) == 4.0
    assert both("interp(2.5, x, y)", x=x, y=x**2) == 6.5
    assert both("concatenate(x, 7, x[0])", x=x).tolist() == [1.0, 2.0, 3.0, 6.0, 7.0, 1.0]
    assert both("sum(x > 2.5)", x=x) == 2.0
    assert both("mean(s)", s=np.array(4.0)) == 4.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x[4]", "index 4 into 4 entries; the indices run from 0 to 3"),
        ("x[-5]", "index -5 into 4 entries"),
        ("index(x, 9)", "index 9 into 4 entries"),
        ("x[1.5]", "an index must be a whole number, got 1.5"),
        ("x[2j]", "an index must be a whole number, got 2j"),
        ("x[0, 0]", "2 indices into an array of 1 axes"),
        ("index_range(x, 0, y)", "index_range needs plain numbers as limits"),
        ("index_axis(x, 1/0)", "an index must be a whole number, got inf"),
    ],
)
def test_indices_that_do_not_fit(text, message):
    with pytest.raises(ShapeError, match=message):
        evaluate(parse_expression(text), {"x": np.arange(4.0), "y": np.array(2.0)})


def test_traced_index_out_of_range_gives_nan_not_the_last_entry():
    value = jax.jit(lambda i: evaluate(parse_expression("x[i]"), {"x": jnp.arange(4.0), "i": i}))(7)
    assert math.isnan(float(value))


def test_table():
    assert FUNCTIONS["asin"] is FUNCTIONS["arcsin"]
    assert parse_expression("atan(x)") == parse_expression("arctan(x)")
    mixing = {f.name for f in FUNCTIONS.values() if not f.elementwise}
    assert mixing == {
        "mean", "sum", "std", "var", "roll", "matmul", "index", "index_2d", "index_range", "index_axis",
        "interp", "concatenate", "softmax", "softmin", "log_softmax",
    }  # fmt: skip
    with pytest.raises(TypeError):
        FUNCTIONS["mine"] = FUNCTIONS["sin"]  # type: ignore[index]


# ------------------------------------------------------------------------------------------- derivatives


def slope(text: str, x: float, order: int = 1) -> float:
    expression = parse_expression(text)
    work = lambda x: evaluate(expression, {"x": x})  # noqa: E731
    for _ in range(order):
        work = jax.grad(work)
    return float(work(x))


@pytest.mark.parametrize(
    ("text", "order", "value"),
    [
        ("exprel(x)", 1, 1 / 2),
        ("exprel(x)", 2, 1 / 3),
        ("exprel(x)", 3, 1 / 4),
        ("relu(x)", 1, 0.0),
        ("maximum(x, 0)", 1, 0.0),
        ("maxi(0, x)", 1, 0.0),
        ("minimum(x, 0)", 1, 0.0),
        ("clip(x, 0, 1)", 1, 0.0),
        ("abs(x)", 1, 0.0),
        ("heaviside(x)", 1, 0.0),
        ("x**2", 2, 2.0),
        ("x**2", 3, 0.0),
        ("x**3", 1, 0.0),
        ("x**4", 4, 24.0),
        ("x**0", 1, 0.0),
        ("x**5", 1, 0.0),
        ("softplus(x)", 1, 0.5),
        ("sigmoid(x)", 1, 0.25),
    ],
)
def test_derivative_at_zero(text, order, value):
    assert slope(text, 0.0, order) == pytest.approx(value, rel=1e-15, abs=0)


def test_nan_is_not_hidden():
    for text in (
        "maximum(x, 0)",
        "minimum(0, x)",
        "clip(x, 0, 1)",
        "relu(x)",
        "heaviside(x)",
        "abs(x)",
        "exprel(x)",
    ):
        assert np.isnan(both(text, x=np.array(math.nan)))


# --------------------------------------------------------------------------------------------- left sides


@pytest.mark.parametrize(
    ("text", "target", "derivative"),
    [
        ("x' = -x", "x", True),
        ("x ' =-x", "x", True),
        ("d/dt * x = -x", "x", True),
        ("d/dt*x=-x", "x", True),
        ("d/dt x = -x", "x", True),
        ("dx/dt = -x", "x", True),
        ("d r_e / dt = -x", None, None),
        ("dr_e/dt = -x", "r_e", True),
        ("ddd/dt = -x", "dd", True),
        ("dt/dt = 1", None, None),
        ("d = -x", "d", False),
        ("d' = -x", "d", True),
        ("dt = -x", "dt", False),
        ("m = -x", "m", False),
        ("  τ_m\t=\t-x ", "τ_m", False),
        ("pi = -x", "pi", False),
        ("lambda_' = -x", "lambda_", True),
        ("exp = -x", "exp", False),
    ],
)
def test_left_side(text, target, derivative):
    if target is None:
        with pytest.raises(EquationError):
            parse_equation(text)
        return
    equation = parse_equation(text)
    assert (equation.target, equation.derivative) == (target, derivative)
    assert equation.expression == parse_expression("-x")


def test_several_equations():
    text = "v' = -v + w;\n\n w' = (a +\n   b)\r\nm = f2 ;"
    equations = parse_equations(text)
    assert [e.target for e in equations] == ["v", "w", "m"]
    assert equations[1].expression == parse_expression("a + b")
    assert parse_equations(["v' = -v + w", "w' = a + b; m = f2"]) == equations
    assert parse_equations("") == parse_equations([]) == ()
    with pytest.raises(EquationError, match="'x' has two equations, the other one is \"x' = 1\""):
        parse_equations("x' = 1; x = 2")


def test_spans_point_into_the_text_as_written():
    equation = parse_equation("x'\t= (α^2 + sin(  β )) ^ past(x, 2.50)")
    text = equation.text
    spans = {}
    fold(equation.expression, lambda node, _: spans.setdefault(text[slice(*node.span)], node))
    assert set(spans) == {
        "α", "2", "α^2", "β", "sin(  β )", "α^2 + sin(  β )", "2.50", "past(x, 2.50)",
        "(α^2 + sin(  β )) ^ past(x, 2.50)",
    }  # fmt: skip


def test_depth_of_200_is_enough_and_works_everywhere():
    texts = [
        "(" * 199 + "x" + ")" * 199,
        "+".join("x" * 199),
        "sin(" * 150 + "x" + ")" * 150,
        "-" * 199 + "x",
    ]
    for text in texts:
        expression = parse_expression(text)
        both(text, x=np.array([0.5, 1.0]))
        assert parse_expression(to_text(expression)) == expression
        assert to_latex(expression)
        assert names(expression) == {"x"}


def test_trees_grown_by_substitution_may_be_deeper():
    grown = parse_expression("x")
    for _ in range(5000):
        grown = substitute(parse_expression("x + 1"), {"x": grown})
    again = parse_expression("x")
    for _ in range(5000):
        again = substitute(parse_expression("x + 1"), {"x": again})
    assert grown == again and hash(grown) == hash(again)
    assert float(evaluate(grown, {"x": 0.0})) == 5000.0
    assert len(to_text(grown)) == 1 + 5000 * len(" + 1")


def test_shared_parts_are_worked_out_once():
    doubled, again = parse_expression("x"), parse_expression("x")
    for _ in range(60):
        doubled, again = Binary("+", doubled, doubled), Binary("+", again, again)
    assert doubled == again
    assert float(evaluate(doubled, {"x": 1.0})) == 2.0**60


# ------------------------------------------------------------------------------------- questions and trees


def test_questions():
    expression = parse_expression("-x/tau + past(y, d)*sin(2*pi*t) + xi_e + sqrt(xi) + abs(asin(x))")
    assert names(expression) == {"x", "tau", "d"}
    assert names(expression, declared=["t", "xi"]) == {"x", "tau", "d", "t", "xi"}
    assert noises(expression) == {"xi", "xi_e"}
    assert noises(expression, declared={"xi"}) == {"xi_e"}
    assert functions(expression) == {"sin", "sqrt", "abs", "arcsin"}
    assert pasts(expression) == (Past("y", Name("d")),)


def test_rename_and_substitute():
    expression = parse_expression("a*b + past(a, b) + a[i]")
    assert to_text(rename(expression, {"a": "b", "b": "a"})) == "b*a + past(b, a) + b[i]"
    assert to_text(substitute(expression, {"a": Name("b"), "b": parse_expression("a+1")})) == (
        "b*(a + 1) + past(a, a + 1) + b[i]"
    )
    assert substitute(expression, {"zzz": Number(1)}) is expression


def test_trees_compare_by_content():
    assert parse_expression("a+b") == parse_expression("  a  + b")
    assert hash(parse_expression("a+b")) == hash(parse_expression("  a  + b"))
    assert parse_equation("x'=a") == parse_equation("dx/dt = a")
    different = ["a", "b", "-a", "+a", "a+b", "a-b", "a*b", "b+a", "a<b", "a>b", "a and b", "a or b", "not a",
                 "sin(a)", "cos(a)", "a[b]", "past(a, b)", "1", "1j", "0", "mean(a)", "max(a,b)"]  # fmt: skip
    trees = [parse_expression(text) for text in different]
    assert len(set(trees)) == len(trees)
    assert Number(1.0) != Number(1 + 0j) and Number(0.0) != Number(-0.0)
    assert parse_expression("a") != "a"


def test_trees_are_immutable_and_can_be_copied():
    expression = parse_expression("a*(b + c)**2 + past(x, 1) + y[0] + sin(z)")
    with pytest.raises(AttributeError):
        expression.left = Name("q")  # type: ignore[attr-defined]
    for copied in (copy.deepcopy(expression), pickle.loads(pickle.dumps(expression))):
        assert copied == expression and hash(copied) == hash(expression)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, complex(0, math.inf)])
def test_numbers_are_finite(value):
    with pytest.raises(EquationError, match="must be finite"):
        Number(value)


def test_text_of_numbers_put_in_by_hand_has_their_value():
    for value in (-2.0, -0.5, 1 + 2j, -1 - 2j, complex(-0.0, -3), 1e300, 5e-324, -1e22):
        text = to_text(Binary("**", Number(value), Number(2)))
        assert complex(evaluate_numpy(parse_expression(text), {})) == value * value


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("tau_e", r"\tau_{e}"),
        ("r_in", r"r_{\mathrm{in}}"),
        ("w_e_alpha", r"w_{e,\alpha}"),
        ("tau1", r"\tau_{1}"),
        ("lambda_", r"\lambda"),
        ("rate", r"\mathrm{rate}"),
        ("τ_m", "τ_{m}"),
        ("-x/tau", r"-\frac{x}{\tau}"),
        ("a - (b - c)", r"a - \left(b - c\right)"),
        ("a - -b", r"a - \left(-b\right)"),
        ("2*x", r"2 \, x"),
        ("x*2", r"x \cdot 2"),
        ("(a+b)*c", r"\left(a + b\right) \, c"),
        ("x**(n+1)", "x^{n + 1}"),
        ("(-x)**2", r"\left(-x\right)^{2}"),
        ("(a/b)**2", r"\left(\frac{a}{b}\right)^{2}"),
        ("1e-5", r"1 \cdot 10^{-5}"),
        ("2.5j", r"2.5\,\mathrm{i}"),
        ("sqrt(x) + abs(y)", r"\sqrt{x} + \left|y\right|"),
        ("tanh(x)", r"\tanh\left(x\right)"),
        ("sigmoid(x)", r"\operatorname{sigmoid}\left(x\right)"),
        ("exp(-x)", "e^{-x}"),
        ("x(t - tau)", r"x\left(t - \tau\right)"),
        ("past(x, a + b)", r"x\left(t - \left(a + b\right)\right)"),
        ("x[0]", "{x}_{0}"),
        ("a >= b", r"a \geq b"),
        ("a > 0 and not b < 1", r"a > 0 \wedge \neg \left(b < 1\right)"),
        ("where(x > 0, x, 0)", r"\begin{cases}x & \text{if } x > 0 \\ 0 & \text{otherwise}\end{cases}"),
        ("x % 2", r"x \bmod 2"),
    ],
)
def test_latex(text, latex):
    assert to_latex(parse_expression(text)) == latex


def test_latex_of_equations():
    assert equation_to_latex(parse_equation("m_e = 2")) == "m_{e} = 2"
    assert equation_to_latex(parse_equation("r_e' = 2")) == r"\frac{\mathrm{d} r_{e}}{\mathrm{d} t} = 2"


def test_tree_of_each_kind():
    assert parse_expression("-x") == Unary("-", Name("x"))
    assert parse_expression("x >= 2") == Compare(">=", Name("x"), Number(2))
    assert parse_expression("x[1, i]") == Index(Name("x"), (Number(1), Name("i")))
    assert parse_expression("absv(x)") == Call("abs", (Name("x"),))


# ------------------------------------------------------------------------------------------------- under JAX


def test_works_under_jit_grad_and_vmap():
    expression = parse_expression("where(x > 0, a*x**2, exprel(x)) + mean(x) + pi")
    values = {"x": jnp.linspace(-1, 1, 6).reshape(2, 3), "a": jnp.array([1.0, 2.0])}
    work = lambda v: evaluate(expression, v)  # noqa: E731
    with jax.checking_leaks():
        batch = jax.jit(jax.vmap(work))(values)
    for k in range(2):
        single = evaluate_numpy(expression, {name: np.asarray(value)[k] for name, value in values.items()})
        np.testing.assert_allclose(batch[k], single, rtol=1e-14)
    gradient = jax.grad(lambda v: jax.vmap(work)(v).sum())(values)
    assert all(np.isfinite(g).all() for g in gradient.values())


def test_one_trace_for_all_numbers():
    traces = []

    @jax.jit
    def work(x, a):
        traces.append(1)
        return evaluate(parse_expression("a*x^2 + t"), {"x": x, "a": a, "t": 0.5})

    for a in (1.0, 2.0, 3.0):
        assert float(work(jnp.array(2.0), jnp.array(a))) == 4 * a + 0.5
    assert len(traces) == 1


# ----------------------------------------------------------------------------------------------- the package


def test_examples_in_docstrings():
    for name in ("tree", "lexer", "parser", "table", "evaluation", "oracle", "printing"):
        module = sys.modules[f"recurra.equations.{name}"]
        assert doctest.testmod(module).failed == 0


def test_public_names_exist():
    assert sorted(recurra.equations.__all__) == sorted(set(recurra.equations.__all__))
    assert all(hasattr(recurra.equations, name) for name in recurra.equations.__all__)


def test_import_stays_light():
    code = (
        "import sys, recurra.equations; "
        "heavy = ('pandas', 'xarray', 'matplotlib', 'sympy', 'diffrax', 'optax'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
