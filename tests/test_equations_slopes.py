"""Derivatives are finite wherever finite differences are, and equal to them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recurra import Network
from recurra.equations import evaluate, evaluate_numpy, parse_expression

# text, values, the derivative by x: its limit where a number overflows, that of central differences where values are
# symmetrical, that of the branch that is taken.
LIMITS = [
    ("1/(1 + exp(-s*(x - 1)))", {"x": -400.0, "s": 5.0}, 0.0),
    ("1/(1 + exp(-s*(x - 1)))", {"x": 400.0, "s": 5.0}, 0.0),
    ("1/(1 + k*exp(-100*x))", {"x": -20.0, "k": 2.0}, 0.0),
    ("k/(exp(x) + 1)", {"x": 800.0, "k": 2.0}, 0.0),
    ("x/(1 - exp(-x/10))", {"x": -8000.0}, 0.0),
    ("1/cosh(x)", {"x": 800.0}, 0.0),
    ("1/cosh(x)^2", {"x": 800.0}, 0.0),
    ("1/(1 + (2*exp(x))^2)", {"x": 800.0}, 0.0),
    ("1/(x**4 + 1)", {"x": 1e120}, 0.0),
    ("1/exprel(-x/10)", {"x": -8000.0}, 0.0),
    ("tanh(exp(x))", {"x": 800.0}, 0.0),
    ("exp(-exp(x))", {"x": 800.0}, 0.0),
    ("exp(x)", {"x": 700.0}, np.exp(700.0)),
    ("sqrt(x**2 + y**2)", {"x": 0.0, "y": 0.0}, 0.0),
    ("(x**2)**0.5", {"x": 0.0}, 0.0),
    ("(x**2)**p", {"x": 0.0, "p": 0.25}, 0.0),
    ("sqrt(relu(x))", {"x": 0.0}, 0.0),
    ("relu(x)**0.5", {"x": -1.0}, 0.0),
    ("sqrt(5*x*x)", {"x": 0.0}, 0.0),
    ("y*sqrt(x)", {"x": 0.0, "y": 3.0}, 0.0),
    ("arctan2(x, y)", {"x": 0.0, "y": 0.0}, 0.0),
    ("arcsin(1 - x**2)", {"x": 0.0}, 0.0),
    ("x/y", {"x": 0.0, "y": 1e-200}, 1e200),
    ("where(x > 1, sqrt(x - 1), 0)", {"x": 0.0}, 0.0),
    ("where(x > 1, sqrt(x - 1), 3*x)", {"x": 0.5}, 3.0),
    ("where(x > 1, sqrt(x - 1), 3*x)", {"x": 5.0}, 0.25),
    ("where(x > 0, log(x), 2*x)", {"x": -1.0}, 2.0),
    ("where(x > y, (x - y)^0.5, 0)", {"x": 0.0, "y": 0.0}, 0.0),
    ("where(x == 0, 1, sin(x)/x)", {"x": 0.0}, 0.0),
    ("where(x < 5, x*exp(300*x), x)", {"x": 10.0}, 1.0),
    ("where(x > 0, where(x > 1, log(x - 1), 2*x), x**3)", {"x": 0.5}, 2.0),
    ("where(x > 0, where(x > 1, log(x - 1), 2*x), x**3)", {"x": -2.0}, 12.0),
    ("where(not (x <= 0), 1/x, x)", {"x": 0.0}, 1.0),
    ("where(1, x, sqrt(x))", {"x": 0.0}, 1.0),
    ("where(x, 1/x, x)", {"x": 0.0}, 1.0),
]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("text", "values", "slope"), LIMITS)
def test_slopes_at_the_edges_of_numbers(text, values, slope, precision):
    if precision == "float32":
        values = {name: min(max(value, -1e30), 1e30) for name, value in values.items()}
        if text in ("exp(x)", "x/y"):
            pytest.skip("no number in single precision")
    expression, x = parse_expression(text), jnp.asarray(values["x"], precision)
    rest = {name: jnp.asarray(value, precision) for name, value in values.items() if name != "x"}

    def value(x, rest=rest):
        return evaluate(expression, {"x": x, **rest})

    backward, forward = jax.grad(value)(x), jax.jacfwd(value)(x)
    assert backward == pytest.approx(slope, rel=1e-6, abs=0) and forward == pytest.approx(slope, rel=1e-6, abs=0)
    for found in jax.tree.leaves(jax.grad(value, 1)(x, rest)):
        assert np.isfinite(found)
    # Values are those of plain NumPy.
    with np.errstate(all="ignore"):
        expected = evaluate_numpy(expression, {name: np.asarray(v, precision) for name, v in values.items()})
    assert float(value(x)) == pytest.approx(float(expected), rel=1e-5, nan_ok=True)


def test_units_that_take_a_branch_get_their_slope_and_others_none():
    """A scalar that all units share is differentiated by those that take the branch."""
    expression = parse_expression("where(x > 0, k*sqrt(x), 0) + where(x > 0, mean(x), 0)")

    def total(x, k):
        return evaluate(expression, {"x": x, "k": k}).sum()

    of_x, of_k = jax.grad(total, (0, 1))(jnp.array([-1.0, 0.0, 4.0, 9.0]), jnp.float64(2.0))
    assert of_k == 5.0  # sqrt(4) + sqrt(9)
    mean = 2 / 4  # two units see the mean of four
    assert np.abs(of_x - np.array([mean, mean, 0.5 + mean, 1 / 3 + mean])).max() < 1e-15


UNARY = (
    "exp({})", "log({})", "sqrt({})", "tanh({})", "sigmoid({})", "abs({})", "relu({})", "softplus({})", "exprel({})",
    "expm1({})", "log1p({})", "cosh({})", "1/(1 + exp(-3*({})))", "heaviside({})", "({})**2", "({})**0.5", "({})**-1",
    "arctan({})", "sin({})", "-({})", "arcsin({})",
)  # fmt: skip
BINARY = ("({}) + ({})", "({}) - ({})", "({})*({})", "({})/({})", "maximum({}, {})", "minimum({}, {})", "({})**({})")
TERNARY = ("where(({0}) > ({1}), {2}, {0})", "where(({0}) > 0, {1}, {2})", "where(({0}) > 0, sqrt({0}), {1}) + ({2})")


def texts() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["x", "y", "x", "1", "0.5", "3", "100"])

    def grow(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        def made(forms: tuple[str, ...], count: int) -> st.SearchStrategy[str]:
            return st.tuples(st.sampled_from(forms), *[below] * count).map(lambda parts: parts[0].format(*parts[1:]))

        return made(UNARY, 1) | made(BINARY, 2) | made(TERNARY, 3)

    return st.recursive(leaves, grow, max_leaves=8)


def differences(expression, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences to both sides, for two steps: `(steps, sides)`, and the values."""
    steps = np.array([1e-4, 1e-5])[:, None] * max(1.0, abs(x)) * np.array([-1.0, 0.0, 1.0])
    with np.errstate(all="ignore"):
        points = [[{"x": np.float64(x + d), "y": y} for d in row] for row in steps]
        values = np.array([[evaluate_numpy(expression, point) for point in row] for row in points])
        return np.diff(values, axis=1) / np.diff(steps, axis=1), values


@settings(max_examples=150)
@given(texts(), st.sampled_from([0.0, 1.0, -1.0, 0.7, -30.0, 800.0, -800.0]), st.sampled_from([0.0, 1.0, -2.0, 90.0]))
def test_slopes_are_those_of_finite_differences(text, x, y):
    expression = parse_expression(text)
    found, values = differences(expression, x, np.float64(y))
    assume(values.dtype == float and np.isfinite(values).all() and np.isfinite(found).all())
    assume("x" in text)
    slope = float(jax.grad(lambda x: evaluate(expression, {"x": x, "y": jnp.float64(y)}) * 1.0)(jnp.float64(x)))
    scale = max(1.0, np.abs(found).max(), np.abs(values).max())
    if np.ptp(found) < 1e-3 * scale:  # no kink, no jump and no pole within the steps
        assert abs(slope - found.mean()) < 2e-3 * scale
    else:  # at a kink there is more than one slope
        assert not np.isnan(slope)


def test_a_root_that_starts_at_0_lets_other_parameters_be_trained():
    """x stays 0 whatever k is, so by finite differences nothing depends on k."""
    net = Network(dt=0.1, seed=0)
    net.add_diffeq_node("a", "x' = k*sqrt(x) - x + 0*u", variables={"x": "output(0.0)", "u": "input", "k": 2.0})
    fit = net.fit_bptt(np.ones((50, 1)), np.zeros((50, 1)), train=["a/k"], epochs=2, progress=False)
    assert fit.history["gradient_norm"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("equation", "input", "more"),
    [
        ("x' = -x + k + 1/(1 + exp(-s*(u - 1)))", -20.0, {"s": 5.0}),
        ("x' = -x + k + where(x > 1, sqrt(x - 1), 0) + 0*u", 0.0, {}),
        ("x' = -x + k + where(u > x, (u - x)^0.5, 0)", 0.0, {}),
        ("x' = -x + k + 1/(1 + exp(-100*(x*k - 1))) + 0*u", 0.0, {}),
    ],
)
def test_training_in_single_precision_stays_finite(equation, input, more):
    net = Network(dt=0.1, seed=0)
    net.add_diffeq_node("a", equation, variables={"x": "output(0.0)", "u": "input", "k": 0.5, **more}, N=2)
    inputs, targets = np.full((30, 2), input), np.full((30, 2), 0.4)
    fit = net.fit_bptt(inputs, targets, train=["a/k"], lr=0.05, epochs=2, progress=False)
    assert np.isfinite(fit.history["loss"]).all() and np.isfinite(net.get_var("a", "k")).all()
