"""Offsets, fits without an intercept, masks of whole numbers, odd tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.model_selection import KFold, TimeSeriesSplit

from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm import (
    GLM,
    GLMHMM,
    ChunkedData,
    ClassifierGLM,
    ClassifierPopulationGLM,
    PopulationGLM,
    cross_validate,
    load,
    regularization_path,
)

ROWS = 400


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, offset = rng.standard_normal((ROWS, 3)), rng.uniform(-1, 1, (ROWS, 2))
    eta = (x @ [0.4, -0.3, 0.2])[:, None] + offset - 0.5
    return {
        "x": x,
        "offset": offset,
        "Poisson": rng.poisson(np.exp(eta)).astype(float),
        "Bernoulli": (rng.random((ROWS, 2)) < 1 / (1 + np.exp(-eta))).astype(float),
        "Gaussian": eta + rng.standard_normal((ROWS, 2)),
        "classes": np.argmax(x + rng.gumbel(size=(ROWS, 3)), axis=1),
        "class_offset": rng.standard_normal((ROWS, 3)),
    }


FAMILIES = {"Poisson": sm.families.Poisson(), "Bernoulli": sm.families.Binomial(), "Gaussian": sm.families.Gaussian()}


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_fits_with_an_offset_are_those_of_statsmodels(data, name, intercept):
    x, y, offset = data["x"], data[name], data["offset"]
    together = PopulationGLM(name, fit_intercept=intercept).fit(x, y, offset=offset)
    posterior, found = together.posterior(x, y, offset=offset), together.evaluate(x, y, offset=offset)
    rate = together.predict(x, offset=offset)
    for i in range(2):
        design = np.column_stack([x, np.ones(ROWS)]) if intercept else x
        peer = sm.GLM(y[:, i], design, family=FAMILIES[name], offset=offset[:, i]).fit(tol=1e-14, maxiter=100)
        assert np.abs(posterior.mean[i][: design.shape[1]] - peer.params).max() < 1e-9
        assert np.abs(posterior.standard_errors[i][: design.shape[1]] - peer.bse).max() < 1e-8
        assert np.abs(rate[:, i] - peer.fittedvalues).max() < 1e-9
        assert together.dof_resid_[i] == peer.df_resid
        assert abs(found.deviance[i] - peer.deviance) < 1e-8
        if intercept:
            assert abs(found.cohen[i] - (1 - peer.deviance / peer.null_deviance)) < 1e-9
        if name != "Gaussian":
            assert abs(found.aic[i] - peer.aic) < 1e-8
    if not intercept:
        assert np.all(together.intercept_ == 0) and np.all(posterior.standard_errors[:, -1] == 0)
    if name == "Poisson":
        alone = GLM(name, fit_intercept=intercept).fit(x, y[:, 1], offset=offset[:, 1])
        assert np.abs(alone.coef_ - together.coef_[:, 1]).max() < 1e-10


@pytest.mark.parametrize("solver", ["NewtonCG", "LBFGS", "ProximalNewton", "ProximalGradient"])
def test_all_solvers_leave_the_intercept_out(data, solver):
    same = {"regularizer": "Ridge", "regularizer_strength": 0.1, "fit_intercept": False}
    x, y, offset = data["x"], data["Poisson"][:, 0], data["offset"][:, 0]
    expected, found = GLM(**same), GLM(solver_name=solver, **same)
    expected.fit(x, y, offset=offset)
    found.fit(x, y, offset=offset)
    assert np.abs(found.coef_ - expected.coef_).max() < 1e-9 and found.intercept_[0] == 0 and found.converged_.all()
    gradient = x.T @ (expected.predict(x, offset=offset) - y) / ROWS + 0.1 * expected.coef_
    assert np.abs(gradient).max() < 1e-10


@pytest.mark.parametrize("intercept", [True, False])
def test_chunks_take_offsets(data, intercept):
    x, y, offset = data["x"], data["Gaussian"], data["offset"]
    whole = PopulationGLM("Gaussian", fit_intercept=intercept).fit(x, y, offset=offset)
    chunks = PopulationGLM("Gaussian", fit_intercept=intercept)
    chunks.fit_chunks(ChunkedData(lambda a, b: x[a:b], y, rows=150, offset=offset))
    learnt = PopulationGLM("Gaussian", fit_intercept=intercept)
    for a in range(0, ROWS, 100):
        learnt.partial_fit(x[a : a + 100], y[a : a + 100], offset=offset[a : a + 100])
    for found in (chunks, learnt):
        assert np.abs(found.coef_ - whole.coef_).max() < 1e-9
        assert np.abs(found.intercept_ - whole.intercept_).max() < 1e-9
        assert np.array_equal(found.dof_resid_, whole.dof_resid_)
    assert np.abs(chunks.scale_ - whole.scale_).max() < 1e-9
    cohen = {"score_type": "pseudo-r2-Cohen", "offset": offset}
    assert abs(chunks.score(x, y, **cohen) - whole.score(x, y, **cohen)) < 1e-9


def test_cross_validation_and_paths_take_offsets(data):
    x, y, offset = data["x"], data["Poisson"], data["offset"]
    ridge = {"regularizer": "Ridge", "fit_intercept": False}
    found = cross_validate(PopulationGLM(**ridge), x, y, [0.1, 1.0], folds=3, offset=offset)
    out = np.array_split(np.arange(ROWS), 3)[1]
    train = ~np.isin(np.arange(ROWS), out)
    one = PopulationGLM(regularizer_strength=0.1, **ridge).fit(x, y, train, offset=offset)
    expected = one.score(x[out], y[out], offset=offset[out])
    assert abs(found.scores[0, 1].mean() - expected) < 1e-9
    assert found.best.has_offset_ and np.all(found.best.intercept_ == 0)
    path = regularization_path(PopulationGLM(**ridge), x, y, [0.1], offset=offset)
    whole = PopulationGLM(regularizer_strength=0.1, **ridge).fit(x, y, offset=offset)
    assert np.abs(path.coef[0] - whole.coef_).max() < 1e-9 and np.all(path.intercept == 0)


@pytest.mark.parametrize("intercept", [True, False])
def test_classes_take_offsets(data, intercept):
    x, y, offset = data["x"], data["classes"], data["class_offset"]
    model = ClassifierGLM(regularizer_strength=0.1, fit_intercept=intercept).fit(x, y, offset=offset)
    miss = model.predict_proba(x, offset=offset) - np.eye(3)[y]
    assert np.abs(x.T @ miss / ROWS + 0.1 * model.coef_).max() < 1e-9
    assert np.abs(miss.mean(axis=0)).max() < 1e-9 if intercept else np.all(model.intercept_ == 0)
    eta = x @ model.coef_ + model.intercept_ + offset
    assert np.array_equal(model.predict(x, offset=offset), np.argmax(eta, axis=1))
    both = ClassifierPopulationGLM(regularizer_strength=0.1, fit_intercept=intercept)
    both.fit(x, np.column_stack([y, y]), offset=np.stack([offset, offset], axis=1))
    assert np.abs(both.coef_[:, 1] - model.coef_).max() < 1e-9


def test_a_chain_of_one_state_is_a_glm(data):
    x, y, offset = data["x"], data["Poisson"], data["offset"]
    for intercept in (True, False):
        one = GLMHMM(1, "Poisson", n_init=1, regularizer_strength=0.0, fit_intercept=intercept)
        one.fit(x, y, offset=offset)
        whole = PopulationGLM(fit_intercept=intercept).fit(x, y, offset=offset)
        assert np.abs(one.coef_[:, :, 0] - whole.coef_).max() < 1e-9
        assert np.abs(one.predict(x, offset=offset) - whole.predict(x, offset=offset)).max() < 1e-9


def test_missing_features_have_no_class(data):
    x = data["x"].copy()
    model = ClassifierGLM().fit(x, data["classes"])
    x[3] = np.nan
    assert np.isnan(model.predict(x)).tolist() == (np.arange(ROWS) == 3).tolist()
    rest = np.arange(ROWS) != 3
    assert model.score(x, data["classes"]) == model.score(x[rest], data["classes"][rest])
    with pytest.raises(ShapeError, match="row 3 has a NaN"):
        model.sample(x)


def test_relevance_is_found_without_an_intercept(data):
    for model, y, offset in ((GLM(regularizer="ARD", fit_intercept=False), data["Poisson"][:, 0], data["offset"][:, 0]),
                             (ClassifierGLM(regularizer="ARD", fit_intercept=False), data["classes"],
                              data["class_offset"])):  # fmt: skip
        model.fit(data["x"], y, offset=offset)
        assert np.all(model.intercept_ == 0) and np.all(np.abs(model.coef_[0]).max() > 0.1)


def test_files_keep_that_there_was_an_offset(tmp_path, data):
    x, y, offset = data["x"], data["Poisson"], data["offset"]
    model = PopulationGLM(fit_intercept=False).fit(x, y, offset=offset)
    model.save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert found.fit_intercept is False
    assert found.score(x, y, offset=offset) == model.score(x, y, offset=offset)
    with pytest.raises(OptionError, match="fitted with one"):
        found.predict(x)


def test_a_fit_that_fails_leaves_the_earlier_one(data):
    x, y = data["x"], data["Poisson"][:, 0]
    model = GLM().fit(x, y, offset=0.5)
    before = dict(vars(model))
    with pytest.raises(ShapeError):
        model.fit(x[:, :2], y - 1)
    assert vars(model).keys() == before.keys() and all(vars(model)[name] is before[name] for name in before)


def test_masks_of_whole_numbers_are_masks(data):
    x, y = data["x"], data["Bernoulli"][:, 0]
    model = GLM("Bernoulli")
    halves = np.arange(ROWS) // (ROWS // 2)
    expected = cross_validate(model, x, y, folds=2).scores
    assert np.array_equal(cross_validate(model, x, y, folds=[1 - halves, halves]).scores, expected)
    assert np.array_equal(cross_validate(model, x, y, folds=KFold(2)).scores, expected)
    assert cross_validate(model, x, y, folds=TimeSeriesSplit(2)).scores.shape == (1, 2, 1)
    starts = (np.arange(ROWS) % 100 == 0).astype(int)
    chain = {"n_init": 1, "maxiter": 3, "tol": 1e9}
    by_mask = GLMHMM(2, **chain).fit(x, y, session_starts=starts)
    by_place = GLMHMM(2, **chain).fit(x, y, session_starts=np.flatnonzero(starts))
    assert by_mask.score(x, y, starts) == by_place.score(x, y, np.flatnonzero(starts))
    assert abs(by_mask.score(x, y, starts) - by_mask.score(x, y)) > 1e-6


def test_tables_of_odd_types_are_numbers(data):
    x, y = data["x"], data["Poisson"][:, 0]
    plain = x.copy()
    plain[:, 2] = (x[:, 2] > 0).astype(float)
    plain[3, 0] = plain[5, 1] = np.nan
    table = pd.DataFrame(
        {"a": pd.array(plain[:, 0], dtype="Float64"), "b": plain[:, 1].astype(object), "c": x[:, 2] > 0}
    )
    table.loc[5, "b"] = None
    expected = GLM().fit(plain, y)
    found = GLM().fit(table, pd.array(y, dtype="Int64"))
    assert np.array_equal(found.coef_, expected.coef_)
    assert found.feature_labels_.tolist() == ["a", "b", "c"]


def rejected():
    """Yield what is called with x, y (400, 2) of counts and an offset, the kind of error, and words of its message."""
    yield (
        lambda x, y, o: GLM().fit(x, y[:, 0], offset=o),
        ShapeError,
        r"offset: got shape \(400, 2\), expected a number",
    )
    yield lambda x, y, o: GLM().fit(x, y[:, 0], offset=o[:9, 0]), ShapeError, r"offset: got shape \(9,\)"
    yield lambda x, y, o: GLM().fit(x, y[:, 0], offset=np.inf), ShapeError, "offset.* is infinite"
    yield lambda x, y, o: GLM().fit(x, y[:, 0], offset="much"), ShapeError, "offset: expected numbers"
    yield lambda x, y, o: GLM().fit(x, y[:, 0], offset=1.0).score(x, y[:, 0]), OptionError, "give that of these bins"
    yield lambda x, y, o: ClassifierGLM().fit(x, y[:, 0] > 0, offset=o[:, 0]), ShapeError, r"offset: got shape \(400,\)"
    yield lambda x, y, o: GLM(fit_intercept="no").fit(x, y[:, 0]), OptionError, "fit_intercept: expected True or False"
    yield (
        lambda x, y, o: setattr(GLM(), "regularizer_strenght", 1),
        AttributeError,
        "Did you mean 'regularizer_strength'",
    )
    rows = np.arange(1, 401)
    yield (lambda x, y, o: GLM().fit(pd.DataFrame(x, index=rows), pd.Series(y[::-1, 0], index=rows[::-1])), OptionError,
           "other labels of rows")  # fmt: skip
    yield lambda x, y, o: GLM().fit(x.astype("M8[s]"), y[:, 0]), ShapeError, "X: expected numbers"
    yield (lambda x, y, o: cross_validate(GLM(), x, y[:, 0], folds=[(np.arange(300), np.arange(200, 400))]), ShapeError,
           "100 bins are both fitted and held out")  # fmt: skip
    yield lambda x, y, o: cross_validate(ClassifierGLM(), x, y[:, 0] > 0), CapabilityError, "cross_val_score"
    yield lambda x, y, o: GLM().score(x), ValueError, "not fitted"
    yield lambda x, y, o: GLM().fit(x, y[:, 0]).score(x), ValueError, "requires y to be passed"
    yield (lambda x, y, o: PopulationGLM().fit_chunks([(x, y), (x, y, None, o)]), OptionError,
           "the first chunk had none")  # fmt: skip
    yield lambda x, y, o: ChunkedData(lambda a, b: x[a:b], y, offset=o[:5]), ShapeError, "offset: got shape"
    yield lambda x, y, o: ClassifierGLM().fit(x, np.array(["a", 1] * 200, object)), TypeError, "labels of several types"


@pytest.mark.parametrize(("call", "kind", "words"), list(rejected()))
def test_bad_offsets_and_tables_are_named(data, call, kind, words):
    with pytest.raises(kind, match=words):
        call(data["x"], data["Poisson"], data["offset"])
