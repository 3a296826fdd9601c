"""Properties of the equation language on random trees and arrays."""

from __future__ import annotations

import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.equations import (
    FUNCTIONS,
    Binary,
    Boolean,
    Call,
    Compare,
    Expr,
    Index,
    Name,
    Number,
    Past,
    Unary,
    evaluate,
    evaluate_numpy,
    fold,
    names,
    parse_expression,
    rename,
    substitute,
    to_latex,
    to_text,
)

NAMES = ("x", "y", "tau_e", "beta", "τ", "t", "pi", "xi", "E", "lambda_", "d")


def numbers() -> st.SearchStrategy[Expr]:
    real = st.floats(0, 1e300, allow_subnormal=True) | st.integers(0, 10**18)
    return real.map(Number) | st.floats(0, 1e300).map(lambda v: Number(complex(0, v)))


def trees() -> st.SearchStrategy[Expr]:
    """Trees of every kind that reading can give."""
    leaves = numbers() | st.sampled_from(NAMES).map(Name)

    def grow(below: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        pairs = st.tuples(below, below)
        several = st.lists(below, min_size=2, max_size=4).map(tuple)
        calls = st.sampled_from(sorted({f.name for f in FUNCTIONS.values()})).flatmap(
            lambda name: st.tuples(*[below] * FUNCTIONS[name].arity[0]).map(lambda args: Call(name, args))
        )
        return (
            st.tuples(st.sampled_from("+-"), below).map(lambda a: Unary(*a))
            | st.tuples(st.sampled_from(["+", "-", "*", "/", "%", "**"]), pairs).map(
                lambda a: Binary(a[0], *a[1])
            )
            | st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), pairs).map(
                lambda a: Compare(a[0], *a[1])
            )
            | st.tuples(st.sampled_from(["and", "or"]), several).map(lambda a: Boolean(*a))
            | below.map(lambda a: Boolean("not", (a,)))
            | calls
            | st.tuples(below, st.lists(below, min_size=1, max_size=3).map(tuple)).map(lambda a: Index(*a))
            | st.tuples(st.sampled_from(["x", "β"]), below).map(lambda a: Past(*a))
        )

    return st.recursive(leaves, grow, max_leaves=25)


@given(trees())
@settings(max_examples=500)
def test_text_reads_back_as_the_same_tree(tree):
    again = parse_expression(to_text(tree))
    assert again == tree
    assert hash(again) == hash(tree)
    assert to_text(again) == to_text(tree)


@given(trees())
def test_latex_has_matching_braces(tree):
    latex = to_latex(tree)
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") == latex.count(r"\right")


@given(trees())
def test_extra_brackets_and_blanks_change_nothing(tree):
    text = to_text(tree)
    assert parse_expression(f" ( (\t{text} )\n) ") == tree


@given(trees())
def test_renaming_there_and_back_changes_nothing(tree):
    fresh = {name: f"new_{name}" for name in NAMES}
    renamed = rename(tree, fresh)
    assert not names(renamed, declared=NAMES) & set(NAMES)
    assert rename(renamed, {new: old for old, new in fresh.items()}) == tree
    assert substitute(tree, {}) is tree


ARITHMETIC = ["+", "-", "*", "/", "**", "%"]
SMOOTH = ["sin", "cos", "tanh", "sigmoid", "exp", "softplus", "arctan", "erf", "exprel", "arcsinh"]
PIECEWISE = [
    "abs",
    "relu",
    "floor",
    "ceil",
    "sign",
    "heaviside",
    "round",
    "maximum",
    "minimum",
    "clip",
    "where",
]


def formulas(calls: list[str], operators: list[str], comparisons: bool = True) -> st.SearchStrategy[Expr]:
    """Trees whose values are moderate numbers most of the time."""
    leaves = st.sampled_from(["x", "y", "z"]).map(Name) | st.sampled_from([0.5, 1.0, 2.0, 3.0, 0.0]).map(
        Number
    )

    def grow(below: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        def one(kind: str) -> st.SearchStrategy[Expr]:
            if kind in operators:
                return st.tuples(below, below).map(lambda args: Binary(kind, *args))
            if kind in FUNCTIONS:
                return st.tuples(*[below] * FUNCTIONS[kind].arity[0]).map(lambda args: Call(kind, args))
            if kind in ("and", "or"):
                return st.lists(below, min_size=2, max_size=3).map(lambda args: Boolean(kind, tuple(args)))
            if kind == "minus":
                return below.map(lambda arg: Unary("-", arg))
            return st.tuples(below, below).map(lambda args: Compare(kind, *args))

        # Operators come three times, so that they are not lost among the many functions.
        kinds = operators * 3 + calls + ["minus"] + (["<", ">=", "==", "and", "or"] if comparisons else [])
        return st.sampled_from(kinds).flatmap(one)

    return st.recursive(leaves, grow, max_leaves=10)


def sizes_within(tree: Expr, values: dict[str, np.ndarray]) -> float:
    """Return the greatest size of any value inside a tree, infinity if one is no number."""
    sizes = [0.0]

    def look(node: Expr, _: object) -> None:
        value = np.abs(evaluate_numpy(node, values).astype(complex))
        sizes.append(float(value.max()) if np.isfinite(value).all() else math.inf)

    fold(tree, look)
    return max(sizes)


@given(formulas(SMOOTH + PIECEWISE, ARITHMETIC), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_jax_agrees_with_the_oracle(tree, seed):
    rng = np.random.default_rng(seed)
    values = {name: rng.uniform(-2, 2, 8) for name in ("x", "y", "z")}
    expected = evaluate_numpy(tree, values)
    got = np.asarray(evaluate(tree, values))
    assert got.dtype == expected.dtype and got.shape == expected.shape
    # Where a step function meets a value that is off by one rounding both answers are right; such entries
    # are recognised by asking the oracle again with inputs off by a rounding.
    nudged = [
        evaluate_numpy(tree, {n: v * (1 + s * 4e-16) for n, v in values.items()}).astype(float)
        for s in (-4, -1, 1, 4)
    ]
    expected = expected.astype(float)
    with np.errstate(all="ignore"):
        spread = np.max([np.abs(n - expected) for n in nudged], axis=0)
        error = np.abs(got.astype(float) - expected)
    size = sizes_within(tree, values)
    same = (got == expected) | (np.isnan(got) & np.isnan(expected)) if got.dtype != bool else got == expected
    bound = 1e-12 * (1 + min(size, 1e6)) + 100 * spread
    doubtful = ~np.isfinite(spread) | (size > 1e6)
    assert (same | doubtful | (error <= bound)).all(), (to_text(tree), got, expected)


SPECIAL = np.array([-math.inf, -3.0, -2.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, math.inf, math.nan])
IN_NUMPY = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.remainder, "**": np.power,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal,
    "!=": np.not_equal, "and": np.logical_and, "or": np.logical_or,
}  # fmt: skip


@pytest.mark.parametrize("op", IN_NUMPY)
def test_each_operator_on_special_values(op):
    x, y = (v.ravel() for v in np.meshgrid(SPECIAL, SPECIAL))
    expression = parse_expression(f"x {op} y")
    with np.errstate(all="ignore"):
        expected = IN_NUMPY[op](x, y)
    for got in (evaluate(expression, {"x": x, "y": y}), evaluate_numpy(expression, {"x": x, "y": y})):
        np.testing.assert_allclose(got, expected, rtol=1e-15 if op == "**" else 0, atol=0)
    for k in range(0, x.size, 7):  # plain numbers take another way through the evaluation
        got = np.asarray(evaluate(expression, {"x": float(x[k]), "y": float(y[k])}))
        np.testing.assert_allclose(got, expected[k], rtol=1e-15 if op == "**" else 0, atol=0)


EXACT = ["abs", "sign", "floor", "ceil", "round", "square", "relu", "heaviside", "real", "conj", "no_op"]


@pytest.mark.parametrize("name", [*EXACT, "maximum", "minimum", "mod", "clip", "where", "arctan2"])
def test_each_step_function_on_special_values(name):
    count = FUNCTIONS[name].arity[0]
    arrays = [v.ravel() for v in np.meshgrid(*[SPECIAL] * count)]
    if name == "clip":  # the order of the limits matters when they are crossed, so only pairs that are not
        keep = ~(arrays[1] > arrays[2])
        arrays = [v[keep] for v in arrays]
    values = dict(zip("xyz", arrays, strict=False))
    expression = parse_expression(f"{name}({', '.join(values)})")
    own = {
        "relu": lambda x: np.maximum(x, 0),
        "heaviside": lambda x: np.heaviside(x, 1.0),
        "no_op": np.asarray,
    }
    with np.errstate(all="ignore"):
        expected = own.get(name, getattr(np, name, None))(*arrays)
    for got in (evaluate(expression, values), evaluate_numpy(expression, values)):
        np.testing.assert_allclose(got, expected, rtol=1e-15 if name == "arctan2" else 0, atol=0)


PYTHON = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": operator.mod,
    "**": operator.pow,
}  # fmt: skip


@given(formulas(["sin", "cos", "exp", "tanh"], ["+", "-", "*", "/", "%"], comparisons=False),
       st.tuples(*[st.floats(-3, 3)] * 3))  # fmt: skip
@settings(max_examples=150)
def test_agrees_with_python_itself(tree, point):
    values = dict(zip("xyz", point, strict=True))

    def combine(node: Expr, parts: tuple[float, ...]) -> float:
        match node:
            case Number(value=value):
                return value
            case Name(id=name):
                return values[name]
            case Unary():
                return -parts[0]
            case Binary(op=op):
                return PYTHON[op](*parts)
            case Call(function=function):
                return getattr(math, function)(*parts)
        raise TypeError(node)

    try:
        expected = fold(tree, combine)
    except (ZeroDivisionError, OverflowError, ValueError):
        return
    arrays = {name: np.array(value) for name, value in values.items()}
    assert float(evaluate_numpy(tree, arrays)) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
    assert float(evaluate(tree, values)) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


INTERVALS = {
    "sin": (-3, 3), "cos": (-3, 3), "tan": (-1.4, 1.4), "sinh": (-3, 3), "cosh": (-3, 3), "tanh": (-3, 3),
    "exp": (-3, 3), "arcsin": (-0.9, 0.9), "arccos": (-0.9, 0.9), "arctan": (-5, 5), "arcsinh": (-5, 5),
    "arccosh": (1.2, 5), "arctanh": (-0.9, 0.9), "log": (0.1, 5), "log10": (0.1, 5), "log2": (0.1, 5),
    "log1p": (-0.8, 5), "expm1": (-3, 3), "sqrt": (0.1, 5), "square": (-3, 3), "sigmoid": (-30, 30),
    "softplus": (-30, 30), "erf": (-3, 3), "exprel": (-30, 5), "no_op": (-1, 1), "abs": (0.1, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(INTERVALS))
def test_function_and_derivative(name):
    low, high = INTERVALS[name]
    x = np.random.default_rng(3).uniform(low, high, 200)
    expression = parse_expression(f"{name}(x)")
    np.testing.assert_allclose(
        evaluate(expression, {"x": x}), evaluate_numpy(expression, {"x": x}), rtol=1e-14
    )
    # Richardson's extrapolation of central differences; its error is far below the tolerance.
    h = 1e-3
    difference = lambda h: (  # noqa: E731
        (evaluate_numpy(expression, {"x": x + h}) - evaluate_numpy(expression, {"x": x - h})) / (2 * h)
    )
    expected = (4 * difference(h / 2) - difference(h)) / 3
    got = jax.vmap(jax.grad(lambda x: evaluate(expression, {"x": x})))(jnp.asarray(x))
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9)


def test_exprel_and_its_derivatives_around_zero():
    def series(x: float, order: int) -> float:
        # sum of x^k / (k+1)!, differentiated term by term (Abramowitz and Stegun 4.2.1)
        terms = (
            math.factorial(k) / math.factorial(k - order) * x ** (k - order) / math.factorial(k + 1)
            for k in range(order, 40)
        )
        return math.fsum(terms)

    points = [
        0.0,
        *(s * v for v in (5e-324, 1e-300, 1e-16, 1e-8, 1e-4, 0.1, 0.4999, 0.5, 0.5001, 1.0) for s in (1, -1)),
    ]
    work = lambda x: evaluate(parse_expression("exprel(x)"), {"x": x})  # noqa: E731
    for order, tolerance in ((0, 5e-16), (1, 2e-15), (2, 3e-14)):
        got = jax.vmap(work)(jnp.array(points))
        expected = [series(x, order) for x in points]
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=0, err_msg=f"derivative {order}")
        work = jax.grad(work)


@pytest.mark.parametrize("text", ["exprel(x)", "sigmoid(x)", "softplus(x)"])
def test_no_overflow_far_out(text):
    x = np.array([-1e4, -800.0, 800.0 if text != "exprel(x)" else 700.0])
    expression = parse_expression(text)
    gradient = jax.vmap(jax.grad(lambda x: evaluate(expression, {"x": x})))(jnp.asarray(x))
    assert np.isfinite(evaluate(expression, {"x": x})).all() and np.isfinite(gradient).all()
    np.testing.assert_allclose(
        evaluate(expression, {"x": x}), evaluate_numpy(expression, {"x": x}), rtol=1e-13
    )
