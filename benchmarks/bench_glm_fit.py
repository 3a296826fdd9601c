"""Fits of GLMs: twenty coupled neurons, and a grid search over a small one."""

from __future__ import annotations

from pathlib import Path

TITLE = "GLM fits: 20 neurons, 50,000 bins, 160 features; and a 5x5 grid search"
TEXT = (
    "Poisson, exponential link, ridge of strength 1e-4. Every call makes a new estimator, counts everything but the "
    "features, and comes after one that compiled. NeMoS runs its default solver in its default precision, float32, and "
    "stops after 500 steps without converging; ours goes on to a gradient below 1e-8 in float64. The grid search is "
    "scikit-learn's `GridSearchCV` with both estimators: 1,000 bins, 5 features, 5 strengths, 5 folds."
)
PEER_ENVIRONMENT = ("nemos", ["nemos==0.2.8"])
OURS, OURS_SINGLE = "Recurra: ridge, float64", "Recurra: ridge, float32"
THEIRS = "NeMoS 0.2.8: ridge, default solver, float32"
OUR_SEARCH, THEIR_SEARCH = "Recurra: grid search", "NeMoS 0.2.8: grid search"
GROUPS = [[OURS, OURS_SINGLE, THEIRS], [OUR_SEARCH, THEIR_SEARCH]]
STRENGTH = 1e-4
GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "nemos_glm_fit.npz"


def coupled():
    """Return features and counts of the golden recording."""
    import numpy as np

    with np.load(GOLDEN) as file:
        y, basis = file["data__y"].astype(float), file["data__basis"]
    x = np.zeros((*y.shape, basis.shape[1]))
    for lag in range(1, len(basis) + 1):
        x[lag:] += y[:-lag, :, None] * basis[lag - 1]
    return x.reshape(len(y), -1)[len(basis) :], y[len(basis) :]


def small():
    """Return features and counts of one neuron."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 5))
    return x, rng.poisson(np.exp(x @ [0.5, -0.3, 0.2, 0.0, 0.1] - 0.5)).astype(float)


def parameters(model):
    """Return coefficients and intercepts of a fit in one array."""
    import numpy as np

    return np.concatenate([np.asarray(model.coef_, float).ravel(), np.asarray(model.intercept_, float).ravel()])


def search(estimator):
    """Make the task of a grid search."""
    import numpy as np
    from sklearn.model_selection import GridSearchCV

    x, y = small()

    def run():
        found = GridSearchCV(estimator, {"regularizer_strength": np.logspace(-4, 0, 5)}, cv=5).fit(x, y)
        return parameters(found.best_estimator_)

    return run


def ours():
    """Make the tasks of our side."""
    from recurra.glm import GLM, PopulationGLM

    x, y = coupled()

    def fit(precision):
        model = PopulationGLM(regularizer="Ridge", regularizer_strength=STRENGTH, precision=precision)
        return parameters(model.fit(x, y))

    return {
        OURS: lambda: fit("float64"),
        OURS_SINGLE: lambda: fit("float32"),
        OUR_SEARCH: search(GLM(regularizer="Ridge")),
    }


def peer():
    """Make the tasks of the other side."""
    import nemos

    x, y = coupled()

    def fit():
        return parameters(nemos.glm.PopulationGLM(regularizer="Ridge", regularizer_strength=STRENGTH).fit(x, y))

    return {THEIRS: fit, THEIR_SEARCH: search(nemos.glm.GLM(regularizer="Ridge"))}


def agree(values):
    """Check that ours are at the optimum, and say how far from it the others are."""
    import numpy as np

    x, y = coupled()
    found = []
    for task in (OURS, OURS_SINGLE, THEIRS):
        coef, intercept = values[task][:-20].reshape(160, 20), values[task][-20:]
        eta = x @ coef + intercept
        slope = np.abs(x.T @ (np.exp(eta) - y) / len(y) + STRENGTH * coef).max()
        value = (np.exp(eta) - y * eta).mean(axis=0).sum() + STRENGTH / 2 * (coef**2).sum()
        found.append(f"{task}: objective {value:.9f}, largest gradient {slope:.1e}.")
        if task == OURS and not slope < 1e-8:
            raise SystemExit(f"error: the gradient at our fit is {slope:.3g}")
    error = float(np.abs(values[OUR_SEARCH] - values[THEIR_SEARCH]).max())
    if not error < 1e-2:
        raise SystemExit(f"error: the grid searches differ by {error:.3g}")
    return [*found, f"The grid searches choose the same strength; coefficients differ by {error:.1g}."]
