"""The estimators' manners: missing bins, silent neurons, weights, trees, masks, files, scikit-learn, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recurra.errors import CapabilityError, OptionError, RecurraError, ShapeError, StoreError
from recurra.glm import GLM, ChunkedData, ClassifierGLM, ElasticNet, GroupLasso, PopulationGLM, Ridge, Smoothness, load

WEIGHTS = np.array([[0.5, 0.0, -0.2], [-0.3, 0.4, 0.0], [0.2, 0.1, 0.3], [0.0, -0.2, 0.1]])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 4))
    return x, rng.poisson(np.exp(x @ WEIGHTS - 0.5)).astype(float)


def ridge(**more):
    return PopulationGLM(regularizer="Ridge", regularizer_strength=0.01, **more)


def test_bins_with_nan_do_not_count_anywhere():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1000, 3))
    y = x @ [1.0, -1.0, 0.5] + rng.standard_normal(1000)
    broken_x, broken_y = x.copy(), y.copy()
    broken_x[:60, 1], broken_y[100:140] = np.nan, np.nan
    kept = ~(np.isnan(broken_x).any(axis=1) | np.isnan(broken_y))
    for regularizer in (None, "Ridge"):
        model = GLM("Gaussian", regularizer=regularizer).fit(broken_x, broken_y)
        other = GLM("Gaussian", regularizer=regularizer).fit(x[kept], y[kept])
        assert np.abs(model.coef_ - other.coef_).max() < 1e-12
        assert model.dof_resid_ == other.dof_resid_ == [900 - 3 - 1]
        assert abs(model.scale_[0] - other.scale_[0]) < 1e-12
        assert abs(model.score(broken_x, broken_y) - other.score(x[kept], y[kept])) < 1e-12
    predicted = model.predict(broken_x)
    assert np.isnan(predicted[:60]).all() and np.isfinite(predicted[60:]).all()
    assert np.array_equal(np.isnan(model.residuals(broken_x, broken_y)), ~kept)
    # What a masked array hides is missing as well, whatever lies below the mask.
    hidden = [np.ma.masked_array(np.where(np.isnan(a), -9999.0, a), np.isnan(a)) for a in (broken_x, broken_y)]
    masked = GLM("Gaussian", regularizer="Ridge").fit(*hidden)
    assert np.array_equal(masked.coef_, model.coef_) and masked.score(*hidden) == model.score(broken_x, broken_y)
    assert np.array_equal(masked.predict(hidden[0]), predicted, equal_nan=True)


def test_features_that_repeat_each_other_cost_one_degree_of_freedom(data):
    x, y = data
    once = x[:, :3]
    twice = np.column_stack([once, once[:, 0]])
    model = GLM().fit(twice, y[:, 0])
    single = GLM().fit(once, y[:, 0])
    assert model.dof_resid_[0] == single.dof_resid_[0] == len(x) - 4
    assert np.abs(model.predict(twice) - single.predict(once)).max() < 1e-9
    assert abs(model.coef_[0] - model.coef_[3]) < 1e-9


def test_a_silent_neuron_does_not_disturb_the_others(data):
    x, y = data
    silent = y.copy()
    silent[:, 1] = 0
    with pytest.warns(UserWarning, match=r"neuron 1 never changed"):
        model = ridge().fit(x, silent)
    alone = ridge().fit(x, y)
    assert np.array_equal(model.coef_[:, [0, 2]], alone.coef_[:, [0, 2]]) or (
        np.abs(model.coef_[:, [0, 2]] - alone.coef_[:, [0, 2]]).max() < 1e-12
    )
    assert np.all(model.coef_[:, 1] == 0)
    assert abs(np.exp(model.intercept_[1]) - 0.5 / 501) < 1e-12
    assert model.silent_.tolist() == [False, True, False]
    with pytest.warns(UserWarning, match="never changed"):
        full = GLM("Bernoulli").fit(x, np.ones(500))
    assert abs(full.predict(x)[0] - 500.5 / 501) < 1e-9


def test_whole_weights_are_repetitions(data):
    x, y = data
    # As many repetitions as there are bins, so that both are of one shape.
    times = np.random.default_rng(2).permutation(np.resize([0, 0, 1, 3], len(x)))
    for name in ("Poisson", "Gaussian"):
        weighted = PopulationGLM(name).fit(x, y, sample_weight=times)
        repeated = PopulationGLM(name).fit(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0))
        assert np.abs(weighted.coef_ - repeated.coef_).max() < 1e-10
        assert np.array_equal(weighted.dof_resid_, repeated.dof_resid_)
        assert np.abs(weighted.scale_ - repeated.scale_).max() < 1e-10
        first, second = (
            weighted.evaluate(x, y, times),
            repeated.evaluate(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0)),
        )
        for measure in ("log_likelihood", "deviance", "aic", "bic", "mcfadden", "cohen"):
            assert np.abs(getattr(first, measure) - getattr(second, measure)).max() < 1e-8


def test_trees_of_features_are_arrays_side_by_side(data):
    x, y = data
    tree = {"b": x[:, 1:], "a": x[:, :1]}
    model, other = ridge().fit(tree, y), ridge().fit(x, y)
    assert np.abs(np.vstack([model.coef_["a"], model.coef_["b"]]) - other.coef_).max() < 1e-12
    assert np.abs(model.predict(tree) - other.predict(x)).max() < 1e-12
    per_leaf = ridge().set_params(regularizer_strength={"a": 0.5, "b": 0.01}).fit(tree, y)
    by_feature = ridge().set_params(regularizer_strength=np.array([[0.5], [0.01], [0.01], [0.01]])).fit(x, y)
    assert np.abs(np.vstack([per_leaf.coef_["a"], per_leaf.coef_["b"]]) - by_feature.coef_).max() < 1e-12
    masked = ridge(feature_mask={"a": [1, 0, 1], "b": [1, 1, 0]}).fit(tree, y)
    assert masked.coef_["a"][0, 1] == 0
    assert np.all(masked.coef_["b"][:, 2] == 0) and np.all(masked.coef_["b"][:, 1] != 0)


def test_every_neuron_may_have_its_own_strength(data):
    x, y = data
    together = PopulationGLM(regularizer="Ridge", regularizer_strength=[0.001, 0.1, 10.0]).fit(x, y)
    for i, strength in enumerate((0.001, 0.1, 10.0)):
        alone = GLM(regularizer="Ridge", regularizer_strength=strength).fit(x, y[:, i])
        assert np.abs(together.coef_[:, i] - alone.coef_).max() < 1e-9


def test_masks_leave_columns_out_of_the_work(data):
    from recurra.glm.fitting import groups

    x, y = data
    mask = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 0], [0, 1, 0]])
    sets = groups(mask.astype(bool), 4, 3)
    assert [(f.tolist(), c.tolist()) for f, c in sets] == [([2, 3], [1]), ([0, 1], [0, 2])]
    model = ridge(feature_mask=mask).fit(x, y)
    for i in range(3):
        used = mask[:, i] == 1
        alone = GLM(regularizer="Ridge", regularizer_strength=0.01).fit(x[:, used], y[:, i])
        assert np.abs(model.coef_[used, i] - alone.coef_).max() < 1e-9
        assert np.all(model.coef_[~used, i] == 0)
    posterior = model.posterior(x, y)
    assert np.all(posterior.standard_errors[0, [2, 3]] == 0) and np.all(posterior.standard_errors[0, [0, 1, 4]] > 0)


def test_warm_start_begins_where_the_last_fit_ended(data):
    x, y = data
    model = ridge(warm_start=True).fit(x, y)
    first = model.coef_
    assert model.fit(x, y).n_iter_ == 0
    assert np.array_equal(model.coef_, first)
    again = ridge().fit(x, y, init_params=(first, model.intercept_))
    assert again.n_iter_ == 0


def test_files_give_back_every_number(tmp_path, data):
    x, y = data
    tree = {"a": x[:, :1], "b": x[:, 1:]}
    models = [
        (PopulationGLM(inverse_link_function="softplus", regularizer=Smoothness(1)).fit(tree, y), tree),
        (GLM("NegativeBinomial", regularizer=ElasticNet(0.7)).fit(x, y[:, 0]), x),
        (ClassifierGLM().fit(x, np.where(y[:, 0] > 0, "on", "off")), x),
    ]
    for number, (model, given) in enumerate(models):
        path = tmp_path / f"{number}.npz"
        model.save(path)
        found = load(path)
        assert type(found) is type(model) and repr(found) == repr(model)
        assert np.array_equal(found.predict(given), model.predict(given))
        assert sorted(k for k in vars(found)) == sorted(k for k in vars(model))
        for name, value in vars(model).items():
            if isinstance(value, np.ndarray):
                read = getattr(found, name)
                assert np.array_equal(value, read) and value.dtype.kind == read.dtype.kind


def test_files_refuse_code_and_foreign_files(tmp_path, data):
    x, y = data
    model = GLM().fit(x, y[:, 0]).set_params(inverse_link_function=lambda v: np.e**v)
    with pytest.raises(StoreError, match="is code, which a file does not hold"):
        model.save(tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []
    np.savez(tmp_path / "other.npz", x=x)
    with pytest.raises(StoreError, match="not an archive of this library"):
        load(tmp_path / "other.npz")
    with pytest.raises(StoreError, match="no such file"):
        load(tmp_path / "none.npz")


def test_samples_have_the_mean_and_variance_of_the_model(data):
    x, y = data
    model = GLM("Gamma", "exp").fit(x, y[:, 0] + 0.5)
    drawn = model.sample(x[:3], seed=4, trials=20_000)
    rate = model.predict(x[:3])
    assert drawn.shape == (20_000, 3)
    deviation = rate * np.sqrt(model.scale_[0])
    assert np.all(np.abs(drawn.mean(axis=0) - rate) < 5 * deviation / np.sqrt(20_000))
    assert np.all(np.abs(drawn.var(axis=0) / deviation**2 - 1) < 0.1)


def test_not_converging_warns_and_keeps_the_best_point(data):
    x, y = data
    with pytest.warns(ConvergenceWarning, match=r"did not converge after 2 steps of Newton.*Try features on"):
        model = GLM(solver_name="Newton", solver_kwargs={"maxiter": 2}).fit(x, y[:, 0])
    null = GLM().fit(np.zeros((500, 4)), y[:, 0])
    assert not model.converged_[0] and model.objective_[0] < null.objective_[0]


def test_clone_pipeline_and_grid_search(data):
    x, y = data
    pipeline = make_pipeline(StandardScaler(), GLM(regularizer="Ridge"))
    search = GridSearchCV(pipeline, {"glm__regularizer_strength": [1e-3, 0.1, 10.0]}, cv=4)
    search.fit(x, y[:, 0])
    assert search.best_params_ == {"glm__regularizer_strength": 1e-3}
    model = ridge(feature_mask=np.ones((4, 3))).fit(x, y)
    fresh = clone(model)
    assert not hasattr(fresh, "coef_") and fresh.get_params().keys() == model.get_params().keys()


def rejected():
    """Yield what is called with x, y (500, 3), the kind of error, and words of its message."""
    yield lambda x, y: GLM().fit(x, y), ShapeError, "y must be 1-dimensional.*PopulationGLM"
    yield lambda x, y: PopulationGLM().fit(x, y[:, 0]), ShapeError, "y must be 2-dimensional"
    yield lambda x, y: GLM().fit(x[:, 0], y[:, 0]), ShapeError, "X must be 2-dimensional.*Reshape your data"
    yield lambda x, y: GLM().fit(x, y[:-1, 0]), ShapeError, "X has 500 rows and y has 499"
    yield lambda x, y: GLM().fit(x, y[:, 0] + 0.5), ShapeError, "whole numbers"
    yield lambda x, y: GLM().fit(x, y[:, 0] - 1), ShapeError, "whole numbers of zero or above"
    yield lambda x, y: GLM("Gamma").fit(x, y[:, 0]), ShapeError, "values above zero"
    yield lambda x, y: GLM("Bernoulli").fit(x, y[:, 0]), ShapeError, "needs 0 or 1"
    yield lambda x, y: GLM("Poison").fit(x, y[:, 0]), OptionError, "Did you mean 'Poisson'"
    yield lambda x, y: GLM("Categorical").fit(x, y[:, 0]), TypeError, "ClassifierGLM"
    yield lambda x, y: GLM(inverse_link_function="expp").fit(x, y[:, 0]), OptionError, "Did you mean 'exp'"
    yield lambda x, y: GLM(regularizer="Rige").fit(x, y[:, 0]), OptionError, "Did you mean 'Ridge'"
    yield lambda x, y: GLM(regularizer=Ridge).fit(x, y[:, 0]), OptionError, "such as Ridge"
    yield lambda x, y: GLM(solver_name="Newtn").fit(x, y[:, 0]), OptionError, "Did you mean 'Newton'"
    yield lambda x, y: GLM(solver_kwargs={"maxitr": 3}).fit(x, y[:, 0]), OptionError, "Did you mean 'maxiter'"
    yield lambda x, y: GLM(solver_kwargs={"tol": -1.0}).fit(x, y[:, 0]), OptionError, "tol must be a number > 0"
    yield lambda x, y: GLM(precision="float16").fit(x, y[:, 0]), OptionError, "Did you mean 'float"
    yield (lambda x, y: GLM(regularizer="Ridge", regularizer_strength=-1.0).fit(x, y[:, 0]), OptionError,
           "must be zero or above, got -1.0")  # fmt: skip
    yield (lambda x, y: GLM(regularizer="Ridge", regularizer_strength="high").fit(x, y[:, 0]), ShapeError,
           "expected numbers, got 'high'")  # fmt: skip
    yield (lambda x, y: PopulationGLM(regularizer="Ridge", regularizer_strength=[1.0, 2.0]).fit(x, y), ShapeError,
           r"got shape \(2,\), expected one that fits \(4, 3\)")  # fmt: skip
    yield (lambda x, y: GLM(regularizer="Lasso", solver_name="Newton").fit(x, y[:, 0]), CapabilityError,
           "ProximalNewton")  # fmt: skip
    yield lambda x, y: GLM(regularizer=ElasticNet(0.0)).fit(x, y[:, 0]), OptionError, "for 0 use Ridge"
    yield lambda x, y: GLM(regularizer=GroupLasso(groups=(0, 1))).fit(x, y[:, 0]), ShapeError, "each of the 4 features"
    yield lambda x, y: GLM(regularizer=Smoothness(block=3)).fit(x, y[:, 0]), ShapeError, "no multiple of block = 3"
    yield lambda x, y: GLM(bounds=(1, 0)).fit(x, y[:, 0]), OptionError, "above its upper bound"
    yield lambda x, y: GLM(bounds=3).fit(x, y[:, 0]), OptionError, "expected a pair"
    yield (lambda x, y: PopulationGLM(feature_mask=np.full((4, 3), 0.5)).fit(x, y), ShapeError,
           "every entry must be 0 or 1")  # fmt: skip
    yield (lambda x, y: PopulationGLM(feature_mask=np.ones((3, 4))).fit(x, y), ShapeError,
           r"expected \(features, neurons\) = \(4, 3\)")  # fmt: skip
    yield lambda x, y: GLM().fit(x, y[:, 0], sample_weight=-np.ones(500)), ShapeError, "zero or above"
    yield lambda x, y: GLM().fit(x, y[:, 0], sample_weight=np.zeros(500)), ShapeError, "every weight is zero"
    yield lambda x, y: GLM().fit(np.full_like(x, np.nan), y[:, 0]), ShapeError, "no row is left"
    yield lambda x, y: GLM().fit(np.where(x > 2, np.inf, x), y[:, 0]), ShapeError, "is infinite"
    yield lambda x, y: GLM().fit({"a": x, "b": x[:-1]}, y[:, 0]), ShapeError, "different numbers of rows"
    yield lambda x, y: GLM().fit(x, y[:, 0]).predict(x[:, :2]), ValueError, "features"
    yield lambda x, y: GLM().fit(x, y[:, 0]).score(x, y[:, 0], score_type="r2"), OptionError, "unknown score"
    yield lambda x, y: GLM().fit(x, y[:, 0], init_params=(np.zeros(3), 0.0)), ShapeError, "init_params"
    yield lambda x, y: GLM("Gaussian", "exp").fit(x, -1 - y[:, 0]), OptionError, "cannot reach"
    yield lambda x, y: GLM(regularizer="Lasso").fit(x, y[:, 0]).posterior(x, y[:, 0]), CapabilityError, "on other data"
    yield lambda x, y: GLM().fit_chunks(iter([(x, y[:, 0])])), OptionError, "a generator can be gone through once"
    yield lambda x, y: ChunkedData(lambda a, b: x[a:b], y, rows=0), OptionError, "rows: expected a whole number"
    yield lambda x, y: GLM(regularizer="Lasso").partial_fit(x, y[:, 0]), CapabilityError, "do not add up over chunks"
    yield lambda x, y: ClassifierGLM(n_classes=3).fit(x, y[:, 0] > 0), ShapeError, "2 classes, but n_classes is 3"
    yield lambda x, y: PopulationGLM().fit(x, y).simulate(10), CapabilityError, "fit_spikes"


@pytest.mark.parametrize(("call", "kind", "words"), list(rejected()))
def test_bad_input_is_named(data, call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call(*data)
    assert isinstance(caught.value, RecurraError | TypeError | ValueError)


@pytest.mark.parametrize("method", ["predict", "sample"])
def test_an_unfitted_model_says_so(data, method):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(GLM(), method)(data[0])
