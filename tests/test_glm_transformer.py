"""A basis in the pipelines of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.errors import OptionError, ShapeError
from recurra.glm import basis as nb

sklearn = pytest.importorskip("sklearn")

X = np.random.default_rng(0).uniform(size=(30, 2))


def agree(a, b):
    assert np.shape(a) == np.shape(b)
    assert np.max(np.abs(np.asarray(a) - np.asarray(b))) < 1e-12


def test_two_inputs_of_one_basis_get_a_column_each():
    basis = nb.FourierEval(3, ndim=2)
    agree(basis.to_transformer().fit_transform(X), basis.compute_features(X[:, 0], X[:, 1]))
    total = nb.FourierEval(3, ndim=2) + nb.BSplineEval(4)
    three = np.concatenate([X, X[:, :1] ** 2], axis=1)
    agree(total.to_transformer().fit_transform(three), total.compute_features(*three.T))


def test_channels_of_one_input_and_those_that_were_told():
    basis = nb.BSplineEval(5)
    agree(basis.to_transformer().fit_transform(X), basis.compute_features(X))
    total = (nb.BSplineEval(5) + nb.MSplineEval(4)).set_input_shape(2, 1)
    three = np.concatenate([X, X[:, :1] ** 2], axis=1)
    made = total.to_transformer().fit(three)
    agree(made.transform(three), total.compute_features(three[:, :2], three[:, 2]))
    assert {k: v.shape for k, v in made.split_by_feature(np.ones((1, 14))).items()} == {
        "BSplineEval": (1, 2, 5), "MSplineEval": (1, 4)
    }  # fmt: skip


def test_the_range_is_that_of_the_training_data():
    train, test = X[:20, :1], np.array([[train_min := X[:20, 0].min()], [X[:20, 0].max()], [99.0]])
    made = nb.BSplineEval(4).to_transformer().fit(train)
    wanted = nb.BSplineEval(4, bounds=(train_min, X[:20, 0].max())).compute_features(test[:2, 0])
    agree(made.transform(test)[:2], wanted)
    assert np.isnan(made.transform(test)[2]).all()
    assert made.basis.bounds is None


def test_pipelines_searches_and_clones():
    from sklearn.base import clone
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    y = np.sin(6 * X[:, 0])
    column = X[:, :1]
    pipeline = make_pipeline(nb.BSplineEval(4, bounds=(0, 1)).to_transformer(), Ridge(1e-8))
    search = GridSearchCV(pipeline, {"transformerbasis__n_basis_funcs": [4, 9]}, cv=3).fit(column, y)
    assert search.best_params_ == {"transformerbasis__n_basis_funcs": 9}
    assert search.score(column, y) > 0.99
    swap = {"transformerbasis__basis": [nb.Zero() + nb.MSplineEval(6, bounds=(0, 1))]}
    assert np.isfinite(GridSearchCV(pipeline, swap, cv=3, error_score="raise").fit(X, y).best_score_)
    total = (nb.BSplineEval(4, label="a") + nb.MSplineEval(4, label="b")).to_transformer()
    copy = clone(total).set_params(a__n_basis_funcs=7)
    assert copy.get_params()["a__n_basis_funcs"] == 7 and total.get_params()["a__n_basis_funcs"] == 4
    assert clone(nb.BSplineEval(4)) is not None


BAD = [
    (lambda t: t.fit(np.ones(3)), ShapeError, r"X must be \(samples, columns\)"),
    (lambda t: t.fit(np.ones((3, 3))), ShapeError, "X has 3 columns, but the inputs of .* have 2"),
    (lambda t: t.fit(np.ones((3, 2))).transform(np.ones((3, 1))), ShapeError, "but 2 were fitted"),
    (lambda t: t.fit(np.full((3, 2), np.nan)), ShapeError, "no finite sample"),
    (lambda t: t.transform(X), Exception, "not fitted"),
    (lambda t: t.set_params(basis=nb.Zero(), a__order=2), OptionError, "either the basis or its parameters"),
    (lambda t: t.set_params(a__ordr=2), OptionError, "Did you mean 'a__order'"),
    (lambda t: type(t)(3).fit(X), TypeError, "expected a basis"),
]


@pytest.mark.parametrize(("use", "kind", "message"), BAD)
def test_bad_use_is_told(use, kind, message):
    with pytest.raises(kind, match=message):
        use((nb.BSplineEval(5, label="a") + nb.BSplineEval(5, label="b")).to_transformer())


def test_parameters_are_attributes():
    made = nb.BSplineEval(5).to_transformer()
    assert made.n_basis_funcs == 5 and made.n_inputs == 1
    made.fit(X[:, :1])
    made.n_basis_funcs = 10
    with pytest.raises(Exception, match="not fitted"):
        made.transform(X[:, :1])
    assert made.fit_transform(X[:, :1]).shape == (30, 10)
    agree(made.transform(X[:, :1]), nb.BSplineEval(10).compute_features(X[:, 0]))
    first = nb.BSplineEval(5, label="a")
    total = (first + nb.MSplineEval(4, label="b")).to_transformer()
    total.a__n_basis_funcs = 7
    assert total.a__n_basis_funcs == 7 and total.fit_transform(X).shape == (30, 11) and first.n_basis_funcs == 5
    for name, words in (("n_basis_func", "Did you mean 'n_basis_funcs'"), ("colour", "unknown parameter")):
        with pytest.raises(AttributeError, match=words):
            setattr(made, name, 3)
    with pytest.raises(AttributeError, match="Did you mean 'n_basis_funcs'"):
        made.n_basis_func
    with pytest.raises(OptionError, match="n_basis_funcs must be a whole number"):
        made.n_basis_funcs = -1
