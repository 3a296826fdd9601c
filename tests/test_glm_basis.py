"""Bases against golden files, scipy and formulas of their own; sums, products, labels, bad input."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

import recurra.glm
from recurra.errors import OptionError, ShapeError
from recurra.glm import basis as nb

GOLDEN = np.load(Path(__file__).parent / "golden" / "nemos_basis.npz")
X = GOLDEN["x"]
GRID = np.linspace(0, 1, 41)
RATES = np.array([1.0, 3.0, 7.0])

EVALUATED = {
    "BSplineEval_8_4": nb.BSplineEval(8), "BSplineEval_5_2": nb.BSplineEval(5, order=2),
    "BSplineEval_3_1": nb.BSplineEval(3, order=1), "BSplineEval_4_4": nb.BSplineEval(4),
    "CyclicBSplineEval_8_4": nb.CyclicBSplineEval(8), "CyclicBSplineEval_5_2": nb.CyclicBSplineEval(5, order=2),
    "CyclicBSplineEval_6_3": nb.CyclicBSplineEval(6, order=3), "MSplineEval_7_4": nb.MSplineEval(7),
    "MSplineEval_5_3": nb.MSplineEval(5, order=3), "RaisedCosineLinearEval_6": nb.RaisedCosineLinearEval(6),
    "RaisedCosineLinearEval_5_w25": nb.RaisedCosineLinearEval(5, width=2.5),
    "RaisedCosineLogEval_6": nb.RaisedCosineLogEval(6),
    "RaisedCosineLogEval_5_noenforce": nb.RaisedCosineLogEval(5, 1.5, 10.0, False),
    "OrthExponentialEval_3": nb.OrthExponentialEval(3, RATES), "FourierEval_4": nb.FourierEval(4),
    "FourierEval_range": nb.FourierEval((1, 4)), "FourierEval_all": nb.FourierEval(3, frequency_mask="all"),
    "IdentityEval": nb.IdentityEval(),
}  # fmt: skip
BOUNDED = {
    "BSplineEval_6": nb.BSplineEval(6, bounds=(-1, 3)), "MSplineEval_6": nb.MSplineEval(6, bounds=(-1, 3)),
    "FourierEval_3": nb.FourierEval(3, bounds=(-1, 3)), "IdentityEval": nb.IdentityEval(bounds=(-1, 3)),
    "RaisedCosineLinearEval_4": nb.RaisedCosineLinearEval(4, bounds=(-1, 3)),
}  # fmt: skip
CONVOLVED = {
    "BSplineConv": nb.BSplineConv(5, 9), "CyclicBSplineConv": nb.CyclicBSplineConv(6, 11),
    "MSplineConv": nb.MSplineConv(5, 9), "RaisedCosineLinearConv": nb.RaisedCosineLinearConv(4, 9),
    "RaisedCosineLogConv": nb.RaisedCosineLogConv(4, 12), "HistoryConv": nb.HistoryConv(4),
    "OrthExponentialConv": nb.OrthExponentialConv(3, 9, [1.0, 2.0, 4.0]),
}  # fmt: skip


def agree(a, b, bound=1e-12):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.array_equal(np.isnan(a), np.isnan(b))
    assert np.nanmax(np.abs(a - b), initial=0.0) < bound


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluated_bases_are_the_golden_ones(name):
    points, values = EVALUATED[name].evaluate_on_grid(41)
    agree(values, GOLDEN[f"grid:{name}"])
    agree(points, GRID)
    agree(EVALUATED[name].compute_features(X), GOLDEN[f"features:{name}"])


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded_bases_are_the_golden_ones(name):
    agree(BOUNDED[name].compute_features(X), GOLDEN[f"bounded:{name}"])


@pytest.mark.parametrize("name", CONVOLVED)
def test_convolved_bases_are_the_golden_ones(name):
    agree(CONVOLVED[name].kernel_, GOLDEN[f"kernel:{name}"])
    agree(CONVOLVED[name].compute_features(GOLDEN["series"]), GOLDEN[f"features:{name}"])


PAIRS = {
    "FourierEval": nb.FourierEval([(0, 3), (0, 2)], ndim=2),
    "FourierEval_all": nb.FourierEval(3, ndim=2, frequency_mask="all"),
    "sum": nb.BSplineEval(5) + nb.RaisedCosineLinearEval(4),
    "product": nb.BSplineEval(5) * nb.RaisedCosineLinearEval(4),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_bases_of_two_inputs_are_the_golden_ones(name):
    agree(PAIRS[name].compute_features(*GOLDEN["pair"].T), GOLDEN[f"features2:{name}"])


@pytest.mark.parametrize(("count", "order"), [(4, 4), (9, 4), (6, 1), (7, 2), (12, 6)])
def test_splines_are_those_of_scipy(count, order):
    knots = np.concatenate([np.zeros(order - 1), np.linspace(0, 1, count - order + 2), np.ones(order - 1)])
    wanted = np.stack([BSpline(knots, row, order - 1)(GRID) for row in np.eye(count)], axis=1)
    agree(nb.BSplineEval(count, order=order).evaluate_on_grid(41)[1], wanted)
    widths = knots[order:] - knots[:-order]
    agree(nb.MSplineEval(count, order=order).evaluate_on_grid(41)[1], wanted * order / widths, 1e-11)


@pytest.mark.parametrize(("count", "order"), [(5, 2), (8, 4), (6, 3), (4, 4)])
def test_cyclic_splines_are_wrapped_ones_of_scipy(count, order):
    cardinal = BSpline.basis_element(np.arange(order + 1) / count, extrapolate=False)
    u = np.linspace(0, 1, 41)[:-1]
    wanted = np.zeros((40, count))
    for i in range(count):
        for turn in range(-2, 3):
            wanted[:, i] += np.nan_to_num(cardinal(u - (i - order + 1) / count + turn))
    agree(nb.CyclicBSplineEval(count, order=order).evaluate_on_grid(41)[1][:-1], wanted)


def log_stretched(u):
    return np.log(50 * u + 1) / np.log(51)


@settings(max_examples=6)
@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 10**6))
def test_properties_of_any_size(count, order, seed):
    order = min(order, count)
    x = np.sort(np.random.default_rng(seed).uniform(-3, 5, size=23))
    splines = np.asarray(nb.BSplineEval(count, order=order).compute_features(x))
    assert np.max(np.abs(splines.sum(axis=1) - 1)) < 1e-12 and splines.min() > -1e-15
    assert np.max((splines > 1e-12).sum(axis=1)) <= order
    if order > 1:
        cyclic = nb.CyclicBSplineEval(count, order=order, bounds=(-3, 5))
        assert np.max(np.abs(np.asarray(cyclic.compute_features(x)).sum(axis=1) - 1)) < 1e-12
        ends = cyclic.compute_features(np.array([-3.0, 5.0]))
        agree(ends[0], ends[1])
    bumps = np.asarray(nb.RaisedCosineLinearEval(count).evaluate_on_grid(101)[1])
    inside = slice(100 // (count - 1) + 1, 100 - 100 // (count - 1)) if count > 3 else slice(0, 0)
    assert np.max(np.abs(bumps[inside].sum(axis=1) - 2), initial=0.0) < 1e-12


def test_msplines_integrate_to_one_over_the_range():
    x, values = nb.MSplineEval(6, bounds=(2.0, 7.0)).evaluate_on_grid(20001)
    assert np.max(np.abs(np.trapezoid(values, x, axis=0) - 1)) < 1e-6


def test_raised_cosines_are_their_formula():
    for stretch, basis, last in (
        (lambda u: u, nb.RaisedCosineLinearEval(5, width=1.5), 1.0),
        (log_stretched, nb.RaisedCosineLogEval(5), 1 - 2 / 6),
    ):
        peaks = np.linspace(0, last, 5)
        angle = np.clip(np.pi * (stretch(GRID)[:, None] - peaks) / ((peaks[1] - peaks[0]) * basis.width), -np.pi, np.pi)
        agree(basis.evaluate_on_grid(41)[1], 0.5 * (np.cos(angle) + 1))
    assert np.max(np.abs(nb.RaisedCosineLogConv(6, 30).kernel_[-1])) < 1e-12


def test_exponentials_are_orthonormal_and_span_the_decays():
    values = np.asarray(nb.OrthExponentialEval(3, RATES).evaluate_on_grid(41)[1])
    agree(values.T @ values, np.eye(3))
    decays = np.exp(-GRID[:, None] * RATES)
    agree(values @ (values.T @ decays), decays)


def test_waves_are_their_formula():
    a, b = GOLDEN["pair"].T
    ua, ub = ((v - v.min()) / (v.max() - v.min()) for v in (a, b))
    basis = nb.FourierEval([np.array([1, 2]), np.array([0, 3])], ndim=2)
    phase = 2 * np.pi * (np.outer(ua, [1, 1, 2, 2]) + np.outer(ub, [0, 3, 0, 3]))
    agree(basis.compute_features(a, b), np.concatenate([np.cos(phase), np.sin(phase)], axis=1))
    kept = nb.FourierEval(2, ndim=2, frequency_mask=[[True, False], [False, True]])
    assert kept.masked_frequencies.tolist() == [[0, 1], [0, 1]] and kept.n_basis_funcs == 3
    chosen = nb.FourierEval(3, ndim=2, frequency_mask=lambda f, g: f + g == 2)
    assert chosen.masked_frequencies.tolist() == [[0, 1, 2], [2, 1, 0]]
    wrapped = nb.FourierEval(3, bounds=(0, 2))
    agree(wrapped.compute_features([0.5, 1.0]), wrapped.compute_features([2.5, -1.0]), 1e-12)


def test_samples_outside_of_the_bounds_and_missing_ones():
    x = np.array([[0.0, 2.0], [np.nan, 0.5]])
    made = np.asarray(nb.BSplineEval(4, bounds=(0, 1), fill_value=-1.0).compute_features(x)).reshape(2, 2, 4)
    assert made[0, 1].tolist() == [-1.0] * 4
    assert np.isnan(made[1, 0]).all() and abs(made[1, 1].sum() - 1) < 1e-12
    constant = nb.BSplineEval(4).compute_features(np.full(3, 7.0))
    agree(constant, [[1, 0, 0, 0]] * 3)


def test_categories_zero_identity_and_own_functions():
    agree(nb.Category(3).compute_features([2, 0, 5, np.nan]), [[0, 0, 1], [1, 0, 0], [0, 0, 0], [np.nan] * 3])
    agree(nb.Category(["a", "b"]).compute_features(np.array(["b", "a"])), [[0, 1], [1, 0]])
    assert nb.Zero().compute_features(X).shape == (30, 0)
    together = nb.Zero() + nb.IdentityEval()
    agree(together.compute_features(X, X)[:, 0], X)
    power = nb.CustomBasis([lambda x, n: x**n, lambda x, n: x + n], basis_kwargs={"n": 3})
    agree(power.compute_features(X), np.stack([X**3, X + 3], axis=1))
    mean = nb.CustomBasis(lambda x: x.mean(axis=(1, 2)), output_shape=())
    pictures = np.random.default_rng(0).normal(size=(6, 2, 3))
    agree(mean.compute_features(pictures)[:, 0], pictures.mean(axis=(1, 2)))
    assert mean.n_output_features == 1
    product = nb.CustomBasis(lambda x, y: x * y, ndim_input=2)
    agree(product.compute_features(X, X + 1)[:, 0], X * (X + 1))
    agree(product.evaluate_on_grid(2, 3)[2][..., 0], [[0, 0, 0], [0, 0.5, 1]])


def test_channels_come_before_functions():
    y = GOLDEN["series"]
    basis = nb.BSplineConv(5, 9)
    alone = [np.asarray(basis.compute_features(y[:, c])) for c in range(2)]
    agree(basis.compute_features(y), np.concatenate(alone, axis=1))
    assert basis.input_shape == (2,) and basis.n_output_features == 10
    parts = basis.split_by_feature(np.asarray(basis.compute_features(y)))
    assert list(parts) == ["BSplineConv"] and parts["BSplineConv"].shape == (40, 2, 5)
    agree(parts["BSplineConv"][:, 1], alone[1])


def test_a_product_is_row_by_row_and_channel_by_channel():
    one, two = nb.BSplineEval(4), nb.RaisedCosineLinearEval(3)
    x, y = np.random.default_rng(0).uniform(size=(2, 10, 2))
    a, b = (np.asarray(p.evaluate(v)) for p, v in ((one, x), (two, y)))
    made = (one * two).compute_features(x, y)
    agree(made, (a[..., :, None] * b[..., None, :]).reshape(10, -1))
    nested = ((one + two) * nb.MSplineEval(4)).compute_features(x[:, 0], y[:, 0], x[:, 1])
    assert nested.shape == (10, 28)
    grids = (one * two).evaluate_on_grid(5, 6)
    agree(grids[2], np.einsum("im,jn->ijmn", one.evaluate_on_grid(5)[1], two.evaluate_on_grid(6)[1]).reshape(5, 6, 12))
    agree(grids[0], np.linspace(0, 1, 5)[:, None] * np.ones((1, 6)))


def test_labels_numbers_powers_and_parts():
    total = nb.BSplineEval(5) + nb.BSplineEval(4) + nb.HistoryConv(3)
    assert total.label == "((BSplineEval + BSplineEval_1) + HistoryConv)"
    x = np.arange(20.0)
    features = total.compute_features(x, x, np.ones((20, 2)))
    shapes = {name: part.shape for name, part in total.split_by_feature(features).items()}
    assert shapes == {"BSplineEval": (20, 5), "BSplineEval_1": (20, 4), "HistoryConv": (20, 2, 3)}
    assert total.input_shape == [(), (), (2,)] and total.n_output_features == 15
    coefficients = total.split_by_feature(np.arange(30.0).reshape(15, 2), axis=0)
    assert coefficients["HistoryConv"].shape == (2, 3, 2) and coefficients["HistoryConv"][0, 0, 0] == 18
    assert total["HistoryConv"].window_size == 3
    three = 3 * nb.BSplineEval(5)
    assert [leaf.label for leaf in three.leaves()] == ["BSplineEval", "BSplineEval_1", "BSplineEval_2"]
    assert three.n_basis_funcs == 15 and (nb.BSplineEval(5) ** 2).n_basis_funcs == 25
    assert (nb.BSplineEval(5) * nb.BSplineEval(4)).split_by_feature(np.ones((3, 20))).keys() == {
        "(BSplineEval * BSplineEval_1)"
    }


def test_parts_are_copied_and_parameters_are_set_by_name():
    part = nb.BSplineEval(5, label="a")
    total = part + nb.MSplineEval(4, label="b")
    part.set_params(n_basis_funcs=9)
    assert total.n_basis_funcs == 9 and total.get_params()["a__n_basis_funcs"] == 5
    total.set_params(a__n_basis_funcs=7, b=nb.Zero(label="b"))
    assert total.n_basis_funcs == 7
    with pytest.raises(OptionError, match="order"):
        total.set_params(a__order=8)
    assert total.get_params()["a__order"] == 4


def test_features_can_be_traced():
    for basis in (nb.BSplineEval(5), nb.RaisedCosineLogConv(3, 5), nb.FourierEval(3), nb.OrthExponentialEval(3, RATES)):
        x = X[4:]
        agree(jax.jit(basis.compute_features)(x), basis.compute_features(x), 1e-13)


def names_that_exist():
    return [name for name in nb.__all__ if name != "TransformerBasis"]


def test_published_names_are_there():
    published = {f"{n}{k}" for n in ("BSpline", "CyclicBSpline", "MSpline", "RaisedCosineLinear", "RaisedCosineLog",
                                     "OrthExponential") for k in ("Eval", "Conv")}  # fmt: skip
    published |= {"FourierEval", "IdentityEval", "HistoryConv", "Zero", "Category", "CustomBasis", "AdditiveBasis",
                  "MultiplicativeBasis"}  # fmt: skip
    assert published <= set(names_that_exist())
    assert all(hasattr(nb, name) for name in names_that_exist())
    assert recurra.glm.basis is nb
    with pytest.raises(AttributeError, match="Did you mean 'BSplineEval'"):
        nb.BSplineEvl  # type: ignore[attr-defined]


BAD = [
    (lambda: nb.BSplineEval(3), OptionError, r"order \(4\) must not be larger than n_basis_funcs \(3\)"),
    (lambda: nb.BSplineEval(0), OptionError, "n_basis_funcs must be a whole number"),
    (lambda: nb.BSplineEval(5.5), OptionError, "n_basis_funcs must be a whole number"),  # type: ignore[arg-type]
    (lambda: nb.BSplineEval(5, order=0), OptionError, "order must be a whole number"),
    (lambda: nb.CyclicBSplineEval(5, order=1), OptionError, "order must be a whole number, 2 or above"),
    (lambda: nb.BSplineEval(5, bounds=(2, 1)), OptionError, "bounds must be two finite numbers"),
    (lambda: nb.BSplineEval(5, bounds=(0, np.inf)), OptionError, "bounds must be two finite numbers"),
    (lambda: nb.BSplineConv(5, 0), OptionError, "window_size must be a whole number"),
    (lambda: nb.BSplineConv(5, 1.5), OptionError, "window_size must be a whole number"),  # type: ignore[arg-type]
    (lambda: nb.HistoryConv(0), OptionError, "window_size must be a whole number"),
    (lambda: nb.BSplineConv(5, 9, conv_kwargs={"axis": 1}), OptionError, "axis cannot be set"),
    (lambda: nb.BSplineConv(5, 9, conv_kwargs={"shiff": True}), OptionError, "Did you mean 'shift'"),
    (lambda: nb.RaisedCosineLinearEval(1), OptionError, "n_basis_funcs must be a whole number, 2 or above"),
    (lambda: nb.RaisedCosineLinearEval(4, width=1.3), OptionError, "a multiple of 1/2"),
    (lambda: nb.RaisedCosineLogEval(4, time_scaling=-1), OptionError, "time_scaling must be above zero"),
    (lambda: nb.OrthExponentialEval(3, np.ones(3)), OptionError, "must be finite and differ"),
    (lambda: nb.OrthExponentialEval(3, np.ones(2)), OptionError, "one rate for each of the 3"),
    (lambda: nb.OrthExponentialConv(3, 2, RATES).kernel_, OptionError, "cannot hold 3 orthogonal"),
    (lambda: nb.FourierEval(-1), OptionError, "whole numbers of zero or above"),
    (lambda: nb.FourierEval([0.5]), OptionError, "whole numbers of zero or above"),
    (lambda: nb.FourierEval(1), OptionError, "no frequency is left"),
    (lambda: nb.FourierEval(3, frequency_mask="x"), OptionError, "frequency_mask must be"),
    (lambda: nb.FourierEval(3, frequency_mask=[True]), OptionError, "one truth value for each"),
    (lambda: nb.FourierEval([(0, 2)], ndim=2), OptionError, "1 sets of frequencies for 2"),
    (lambda: nb.FourierEval(3, ndim=0), OptionError, "ndim must be"),
    (lambda: nb.FourierEval(3) * nb.FourierEval(3), OptionError, "cosines and sines cannot be multiplied"),
    (lambda: nb.Category(0), OptionError, "categories must be"),
    (lambda: nb.Category(["a", "a"]), OptionError, "categories must be"),
    (lambda: nb.Category(2, out_of_category=False).compute_features([3]), OptionError, "3 is none of the categories"),
    (lambda: nb.Category(["a"]).compute_features([1.0]), OptionError, "the samples float64"),
    (lambda: nb.CustomBasis([]), OptionError, "funcs must be functions"),
    (lambda: nb.CustomBasis(lambda x: x, basis_kwargs={"n": 1}), OptionError, "cannot be called with 1 input"),
    (lambda: nb.CustomBasis(lambda x: x[0]).compute_features(X), ShapeError, "set output_shape"),
    (lambda: nb.BSplineEval(5).compute_features(X, X), TypeError, r"takes 1 argument\(s\), got 2"),
    (lambda: nb.BSplineEval(5).compute_features("a"), TypeError, "must hold real numbers"),
    (lambda: nb.BSplineEval(5).compute_features([]), ShapeError, "not empty"),
    (lambda: nb.BSplineEval(5).compute_features(1.0), ShapeError, "not empty"),
    (lambda: nb.BSplineEval(5).evaluate_on_grid(0), OptionError, "whole numbers above zero, got 0"),
    (lambda: nb.BSplineEval(5).evaluate_on_grid(2, 3), TypeError, "evaluate_on_grid takes 1"),
    (lambda: PAIRS["sum"].compute_features(X, X[:5]), ShapeError, r"number of samples: \[30, 5\]"),
    (lambda: PAIRS["product"].compute_features(X, np.ones((30, 2))), ShapeError, "must have the same channels"),
    (lambda: PAIRS["FourierEval"].compute_features(X, np.ones((30, 2))), ShapeError, "must have the same channels"),
    (lambda: (nb.BSplineEval(5) + nb.BSplineEval(5))["x"], IndexError, "unknown label 'x'"),
    (lambda: (nb.BSplineEval(5) + nb.BSplineEval(5))[0], IndexError, "found by its label"),
    (lambda: (nb.BSplineEval(5) + nb.HistoryConv(2)).split_by_feature(np.ones((3, 4))), ShapeError, "there are 7"),
    (lambda: nb.BSplineEval(5).split_by_feature(np.ones((3, 4))), ShapeError, "there are 5 features"),
    (lambda: nb.BSplineEval(5).split_by_feature(np.ones(5)), ShapeError, "there is no axis 1"),
    (lambda: nb.BSplineEval(5).set_input_shape(0), OptionError, "number of channels"),
    (lambda: nb.BSplineEval(5).set_input_shape((2, -1)), OptionError, "shape of channels"),
    (lambda: nb.BSplineEval(5).set_params(ordr=3), OptionError, "Did you mean 'order'"),
    (lambda: (nb.BSplineEval(5) + nb.Zero()).set_params(BSplinEval__order=3), OptionError, "BSplineEval__order"),
    (lambda: nb.BSplineEval(5, label="a") + nb.BSplineEval(5, label="a"), OptionError, "labels .* must differ"),
    (lambda: 2 * nb.BSplineEval(5, label="a"), OptionError, "the label 'a' more than once"),
    (lambda: 0 * nb.BSplineEval(5), OptionError, "at least once"),
    (lambda: nb.BSplineEval(5) + 3, TypeError, "unsupported operand"),  # type: ignore[operator]
]


@pytest.mark.parametrize(("make", "kind", "message"), BAD)
def test_bad_input_is_told(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_columns_of_tables_are_categories():
    pandas = pytest.importorskip("pandas")
    shapes, right = ["Tri", "Sq", "Tri"], [[1, 0], [0, 1], [1, 0]]
    for column in (np.array(shapes, object), pandas.Series(shapes), pandas.Series(shapes, dtype="category"),
                   pandas.Series(shapes, dtype="string")):  # fmt: skip
        agree(nb.Category(["Tri", "Sq"]).compute_features(column), right)
        agree(nb.Category(["Tri", "Sq"]).evaluate(column), right)
    missing = np.array(["Tri", None, np.nan, pandas.NA], object)
    agree(nb.Category(["Tri", "Sq"]).compute_features(missing), [[1, 0], *[[np.nan] * 2] * 3])
    agree(nb.Category([1, 2]).compute_features(np.array([2, None, 1], object)), [[0, 1], [np.nan] * 2, [1, 0]])
    agree(nb.MSplineEval(4).compute_features(pandas.Series([1, 2, 3], dtype="Int64")),
          nb.MSplineEval(4).compute_features([1.0, 2.0, 3.0]))  # fmt: skip
    table = pandas.DataFrame({"shape": shapes, "size": [0.0, 1.0, 0.5]})
    made = (nb.Category(["Tri", "Sq"]) + nb.IdentityEval()).to_transformer().fit_transform(table)
    agree(made, [[1, 0, 0], [0, 1, 1], [1, 0, 0.5]])
    for bad in (["a", 1], ["a", None], [None]):
        with pytest.raises(OptionError, match="all numbers or all texts"):
            nb.Category(bad)
    with pytest.raises(OptionError, match="the samples texts"):
        nb.Category([1, 2]).compute_features(np.array(["a"], object))


def test_a_list_of_frequencies_holds_one_entry_for_each_input():
    basis, same = nb.FourierEval([5, 4], ndim=2), nb.FourierEval([(0, 5), (0, 4)], ndim=2)
    assert {tuple(w) for w in basis.masked_frequencies.T} == {(i, j) for i in range(5) for j in range(4)} - {(0, 0)}
    assert basis.n_basis_funcs == 38 and np.array_equal(basis.masked_frequencies, same.masked_frequencies)
    mixed = nb.FourierEval([2, np.array([3])], ndim=2, frequency_mask="all")
    assert mixed.masked_frequencies.T.tolist() == [[0, 3], [1, 3]]
    assert nb.FourierEval([5]).masked_frequencies.tolist() == nb.FourierEval(5).masked_frequencies.tolist()
    assert nb.FourierEval([2, 5]).masked_frequencies.tolist() == [[2, 5]]
    mask = np.array([[0, 1], [1, 0]])
    assert nb.FourierEval([2, 2], ndim=2, frequency_mask=mask).masked_frequencies.T.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(OptionError, match="3 sets of frequencies for 2"):
        nb.FourierEval([1, 2, 3], ndim=2)


def test_attributes_that_are_no_parameters_are_refused():
    basis = nb.BSplineEval(5)
    with pytest.raises(AttributeError, match="Did you mean 'order'"):
        basis.ordr = 3
    basis.order = 3
    assert basis.compute_features(np.linspace(0, 1, 7)).shape == (7, 5)
