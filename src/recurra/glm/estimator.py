"""The estimators' common part: parameters, checks, fit, prediction, scores, in the manner of scikit-learn."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from recurra.courtesy import warn
from recurra.errors import OptionError, ShapeError, unknown
from recurra.glm.design import (
    Layout,
    Rows,
    _is_tree,
    added,
    labels_of,
    mean_offset,
    named,
    read_features,
    read_mask,
    read_offset,
    read_rows,
)
from recurra.glm.determined import extreme, held, repeated, separated
from recurra.glm.fitting import first_guess, fit_columns, null_model
from recurra.glm.links import InverseLink, find_inverse_link
from recurra.glm.objective import Family
from recurra.glm.observations import Categorical, ObservationModel, find_observation_model, scale_of
from recurra.glm.penalty import Penalty
from recurra.glm.pynapple_series import aligned, values_of
from recurra.glm.regularizers import ARD, Regularizer, UnRegularized, find_regularizer, with_bounds
from recurra.glm.relevance import find_strengths, view_of
from recurra.glm.solvers import Settings, Solution, choose, read_settings


@dataclass(frozen=True)
class Plan:
    """Hold the checked parameters of an estimator."""

    family: Family
    regularizer: Regularizer
    settings: Settings


class BaseGLM(BaseEstimator):
    """Do what all GLMs share; see :class:`GLM` for the parameters."""

    observation_model: str | ObservationModel
    inverse_link_function: str | InverseLink | None
    regularizer: str | Regularizer | None
    regularizer_strength: Any
    bounds: Any
    solver_name: str | None
    solver_kwargs: dict | None
    warm_start: bool
    precision: str
    fit_intercept: bool
    # Set by a fit.
    coef_: Any
    intercept_: np.ndarray
    memory_: Any
    has_offset_: bool
    feature_labels_: np.ndarray

    def _take(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of a constructor as they are, as scikit-learn wants it."""
        for name, value in arguments.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name.startswith("_") or name.endswith("_") or name in _parameters(type(self)) or hasattr(self, name)):
            raise AttributeError(unknown("parameter", name, _parameters(type(self)), type(self).__name__))
        object.__setattr__(self, name, value)

    def _forget(self) -> None:
        """Drop all that an earlier fit has left, so that nothing of it is taken for a part of the next one."""
        for name in [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]:
            delattr(self, name)

    def _plan(self) -> Plan:
        """Check the parameters."""
        observation = find_observation_model(self.observation_model)
        if isinstance(observation, Categorical):
            raise TypeError("observation_model: Categorical is for classes; use ClassifierGLM.")
        link = self.inverse_link_function
        link = find_inverse_link(observation.default_inverse_link if link is None else link)
        return Plan(
            Family(observation, link, intercept=self._with_intercept()),
            find_regularizer(self.regularizer),
            read_settings(self.solver_name, self.solver_kwargs, self.precision),
        )

    def _with_intercept(self) -> bool:
        if not isinstance(self.fit_intercept, bool | np.bool_):
            raise OptionError(f"fit_intercept: expected True or False, got {self.fit_intercept!r}.")
        return bool(self.fit_intercept)

    def _penalty(self, plan: Plan, layout: Layout, columns: int) -> Penalty:
        penalty = plan.regularizer.penalty(layout, self.regularizer_strength, columns)
        return with_bounds(penalty, self.bounds, layout, columns)

    # Reading data

    def _features(self, X: Any, reset: bool) -> np.ndarray:
        """Return the design matrix, and keep or check its layout."""
        if hasattr(X, "toarray"):
            raise TypeError("X: sparse data are not supported; expected a dense array (X.toarray()).")
        if not _is_tree(X):
            matrix, layout = read_features(X)
            given: Any = X if hasattr(X, "columns") else matrix
            validate_data(self, given, reset=reset, skip_check_array=True)
        else:
            matrix, layout = read_features(X)
            if reset:
                self.n_features_in_ = layout.features
        if reset and layout.features == 0:
            raise ShapeError(f"X: 0 feature(s) (shape={matrix.shape}) while a minimum of 1 is required.")
        if not reset and layout != self.layout_:
            raise ShapeError(
                f"X: it has the leaves {_shown(layout)}, but the fit had {_shown(self.layout_)}. X has"
                f" {layout.features} features, but {type(self).__name__} is expecting {self.n_features_in_} features"
                " as input."
            )
        if reset:
            self.layout_, self.feature_labels_ = layout, labels_of(X, layout)
        return matrix

    def _outputs(self) -> int:
        """Return how many numbers an offset has for each bin and neuron."""
        return 1

    def _offset(self, offset: Any, rows: int, columns: int, reset: bool) -> np.ndarray | None:
        """Return what is added to the linear predictor, as :class:`Rows` holds it."""
        if reset:
            self.has_offset_ = offset is not None
        elif offset is None and self.has_offset_:
            raise OptionError("offset: the model was fitted with one; give that of these bins as well, or 0.")
        return read_offset(values_of(offset), rows, columns, self._outputs())

    def _targets(self, y: Any, rows: int) -> np.ndarray:
        """Return y as `(time, neurons)`."""
        raise NotImplementedError

    def _rows(self, X: Any, y: Any, sample_weight: ArrayLike | None, reset: bool, offset: Any = None) -> Rows:
        if y is None:
            raise ValueError(
                f"requires y to be passed, but the target y is None: {type(self).__name__} is fitted to observations."
            )
        aligned(X, y, sample_weight, offset)
        matrix = self._features(X, reset)
        targets = self._targets(y, len(matrix))
        rows = read_rows(matrix, targets, sample_weight, self._offset(offset, len(matrix), targets.shape[1], reset))
        self._observed().check_counts(rows.y[rows.weight > 0])
        return rows

    def _observed(self) -> ObservationModel:
        return find_observation_model(self.observation_model)

    # Fitting

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        init_params: tuple | None,
        offset: Any = None,
        mask: Any = None,
    ) -> None:
        plan = self._plan()
        earlier = self._earlier()
        self._forget()
        rows = self._rows(X, y, sample_weight, True, offset)
        columns = rows.y.shape[1]
        chosen = read_mask(mask, self.layout_, columns)
        penalty = self._penalty(plan, self.layout_, columns)
        choose(plan.settings, plan.family, 0.0, penalty.rough)
        start, silent = np.zeros((self.layout_.features + 1, columns, 1)), np.zeros(columns, bool)
        if init_params is None:
            start, silent = first_guess(plan.family, rows, penalty)
        given = self._begin(init_params, earlier, (columns,))
        if given is not None:
            start = given[..., None]
        if not plan.family.intercept:
            start[-1] = 0
        solution = self._solve(plan, rows, penalty, start, chosen, silent)
        self._keep(plan, rows, solution, chosen, silent, penalty, given is None)

    def _solve(
        self, plan: Plan, rows: Rows, penalty: Penalty, start: np.ndarray, mask: np.ndarray | None, silent: np.ndarray
    ) -> Solution:
        """Fit the neurons that are not silent; the others keep their rate and coefficients of 0."""
        active = np.flatnonzero(~silent)
        every = np.arange(self.layout_.features)
        if len(active) == 0:
            none = np.zeros(len(silent))
            return Solution(start, none, none, none.astype(int), none == 0, "none")
        offset = rows.offset if rows.offset is None or rows.offset.shape[1] == 1 else rows.offset[:, active]
        data = (plan.family, rows.x, rows.y[:, active], rows.weight)
        chosen = None if mask is None else mask[:, active]
        if isinstance(plan.regularizer, ARD):
            found, strength = find_strengths(
                plan.regularizer,
                penalty.take(every, active),
                rows.count,
                lambda penalty, start: fit_columns(*data, penalty, start, plan.settings, chosen, offset),
                lambda coef: view_of(*data, coef, offset),
                start[:, active],
                chosen,
            )
            self.strength_ = np.full((len(every), len(silent)), np.inf)
            self.strength_[:, active] = strength
        else:
            part = penalty.take(every, active)
            found = fit_columns(*data, part, start[:, active], plan.settings, chosen, offset)
        if not silent.any():
            return found
        coef = start.copy()
        coef[:-1] = 0
        coef[:, active] = found.coef

        def among_all(part: np.ndarray, otherwise: object) -> np.ndarray:
            whole = np.full(len(silent), otherwise, part.dtype)
            whole[active] = part
            return whole

        return Solution(
            coef,
            among_all(found.value, 0),
            among_all(found.residual, 0),
            among_all(found.steps, 0),
            among_all(found.converged, True),
            found.solver,
        )

    def _keep(
        self,
        plan: Plan,
        rows: Rows,
        solution: Solution,
        mask: np.ndarray | None,
        silent: np.ndarray,
        penalty: Penalty,
        fresh: bool,
    ) -> None:
        """Set the attributes of a fitted estimator and warn of what is not as it should be."""
        family = plan.family
        self.null_rate_ = rows.mean
        if rows.offset is not None:
            self.null_intercept_ = null_model(family, rows).intercept
            self.mean_offset_ = mean_offset(rows)
        coef = solution.coef[..., 0]
        used, lost = self._used(plan, rows, coef[:-1], mask)
        self.dof_resid_ = rows.count - family.intercept - used
        kept = rows if np.all(rows.weight > 0) else rows.take(rows.weight > 0)
        with jax.enable_x64(True):
            rate = np.asarray(family.link(jnp.asarray(kept.predictor(coef))))
            # The families sum over time; a bin of weight w counts w times.
            dof = np.maximum(self.dof_resid_, 1)
            self.scale_ = scale_of(family.observation, kept.y, rate, kept.weight, dof)
        self.separated_ = None
        tried = solution.converged & ~silent & ~penalty.rough & extreme(family, rate, plan.settings.tol)
        if fresh and "Newton" in solution.solver:
            # On the way to infinity each step wins a factor e only, so there are many: those from an error of 1/2 in
            # one bin down to the tolerance, or more.
            tol = plan.settings.tol
            tried &= solution.steps >= min(-0.5 * np.log(tol), -np.log(2 * tol * len(rate)) - 1)
        if tried.any():
            tried &= ~held(penalty, kept.x, mask, plan.settings.tol)
        endless = separated(family, kept, coef, penalty, mask, np.flatnonzero(tried))
        if endless.any():
            self.separated_ = endless
        self.finish(solution, silent)
        warn_repeated(self.feature_labels_, lost, endless)

    def _used(self, plan: Plan, rows: Rows, coef: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return how many coefficients each neuron spends, and which parameters the features do not determine.

        Spent are those in use, or the rank of the features beside the constant.
        """
        usable = np.ones(coef.shape, bool) if mask is None else mask
        none = np.zeros((len(coef) + 1, coef.shape[1]), bool)
        if isinstance(plan.regularizer, UnRegularized):
            rank, lost = repeated(rows, mask, coef.shape[1], plan.family.intercept)
            return rank, none if self.bounds is not None else lost
        rough = plan.regularizer.penalty(self.layout_, self.regularizer_strength, coef.shape[1]).rough
        return (usable & (coef != 0) if rough or isinstance(plan.regularizer, ARD) else usable).sum(axis=0), none

    def finish(self, solution: Solution, silent: np.ndarray) -> None:
        """Take over what a solver found, and warn of what is not as it should be."""
        self.solver_, self.converged_, self.objective_ = solution.solver, solution.converged, solution.value
        self.n_iter_ = int(solution.steps.max(initial=0))
        self._set_params(solution.coef[:-1, :, 0], solution.coef[-1, :, 0])
        self.silent_ = silent
        warn_silent(silent)
        warn_late(solution)

    # Parameters

    def _set_params(self, coef: np.ndarray, intercept: np.ndarray) -> None:
        raise NotImplementedError

    def _flat(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients `(features, neurons)` and intercepts `(neurons,)` of a fitted estimator."""
        intercept = np.asarray(self.intercept_)
        return self.layout_.join(self.coef_, "coef_", intercept.shape), intercept

    def _read_params(self, params: object, shape: tuple[int, ...]) -> np.ndarray:
        """Return coefficients and intercepts that a user gave as one array `(features + 1, *shape)`."""
        if not isinstance(params, tuple | list) or len(params) != 2:
            raise OptionError("init_params: expected a pair (coefficients, intercepts).")
        coef = self.layout_.join(params[0], "init_params[0]", shape)
        intercept = np.asarray(params[1], float)
        if intercept.shape not in (shape, ()):
            raise ShapeError(f"init_params[1]: got shape {intercept.shape}, expected {shape}.")
        whole = np.concatenate([coef, np.broadcast_to(intercept, (1, *shape))])
        if not np.all(np.isfinite(whole)):
            raise ShapeError("init_params: every number must be finite.")
        return whole

    def _begin(self, init_params: tuple | None, earlier: tuple | None, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return where a fit begins, `(features + 1, *shape)`, if it was given or left by an earlier fit."""
        if init_params is not None:
            return self._read_params(init_params, shape)
        if earlier is None or np.shape(earlier[1]) != shape:
            return None
        try:
            return self._read_params(earlier, shape)
        except ValueError:
            return None

    def _earlier(self) -> tuple | None:
        return (self.coef_, self.intercept_) if self.warm_start and hasattr(self, "coef_") else None

    # After the fit

    def _rate(self, X: Any, offset: Any = None) -> np.ndarray:
        """Return the mean of each bin, `(time, neurons)`; NaN where a feature or the offset is NaN."""
        check_is_fitted(self)
        aligned(X, offset, where="X and offset")
        matrix = self._features(X, reset=False)
        if len(matrix) == 0:
            raise ShapeError(f"X: Found array with 0 sample(s) (shape={matrix.shape}), a minimum of 1 is required.")
        coef, intercept = self._flat()
        link = self._plan().family.link
        predictor = added(matrix @ coef + intercept, self._offset(offset, len(matrix), len(intercept), False))
        with jax.enable_x64(self.precision == "float64"):
            return np.asarray(link(jnp.asarray(predictor, self.precision)))

    def _compare(self, X: Any, y: Any, sample_weight: ArrayLike | None, offset: Any = None) -> tuple[Rows, np.ndarray]:
        """Return the rows of new data that count, and their rates."""
        check_is_fitted(self)
        rows = self._rows(X, y, sample_weight, False, offset)
        rows = rows.take(rows.weight > 0)
        coef, intercept = self._flat()
        if rows.y.shape[1] != len(intercept):
            raise ShapeError(f"y: it has {rows.y.shape[1]} neurons, but the fit had {len(intercept)}.")
        with jax.enable_x64(True):
            whole = np.concatenate([coef, intercept[None]])
            rate = np.asarray(self._plan().family.link(jnp.asarray(rows.predictor(whole), float)))
        return rows, rate

    def predict(self, X: Any, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Return the mean of each bin."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a file without pickle; read it with :func:`recurra.glm.load`.

        Arguments:
            path: the file, by habit `.npz`.

        Raises:
            StoreError: the model holds a function or an object of your own, which a file does not.
        """
        from recurra.glm.archive import save

        check_is_fitted(self)
        save(self, path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags


def _shown(layout: Layout) -> str:
    return ", ".join(f"{name or 'X'} ({size})" for name, size in zip(layout.names, layout.sizes, strict=True))


@functools.cache
def _parameters(kind: type) -> tuple[str, ...]:
    return tuple(kind._get_param_names())  # type: ignore[attr-defined]


def warn_repeated(labels: np.ndarray, lost: np.ndarray, endless: np.ndarray) -> None:
    """Warn of features whose coefficients no data determine.

    Arguments:
        labels: names of the features.
        lost: `(features + 1, neurons)`, true where features repeat each other.
        endless: `(features + 1, neurons)`, true where they separate events from their absence.
    """
    if lost[:-1].any():
        warn(
            f"{named(labels[lost[:-1].any(axis=1)])}: these features are constant, or sums of multiples of each other"
            " (and of the intercept), so that any of many coefficients would do; the shortest are taken. Leave some"
            " out (apply_identifiability_constraints), or use Ridge.",
            UserWarning,
        )
    if endless.any():
        which, parts = (
            neurons(np.flatnonzero(endless.any(axis=0))),
            named(np.append(labels, "intercept")[endless.any(axis=1)]),
        )
        warn(
            f"{parts} ({which}): they separate bins with events from bins without, so the likelihood has no maximum"
            " and grows as coefficients grow without end; the values are those at which the fit stopped. Use Ridge, or"
            " leave the features out.",
            UserWarning,
        )


def warn_silent(silent: np.ndarray) -> None:
    """Warn of neurons that never changed."""
    if silent.any():
        warn(
            f"{neurons(np.flatnonzero(silent))} never changed (no spikes, or one in every bin): the best rate lies at"
            " the border of what the link can reach. Coefficients are set to 0 and the rate to (spikes + 1/2) / (bins +"
            " 1); leave such neurons out if this is not wanted.",
            UserWarning,
        )


def warn_late(solution: Solution) -> None:
    """Warn of neurons whose fit has not come to an end, and say what to do."""
    late = np.flatnonzero(~solution.converged)
    if len(late):
        warn(
            f"{neurons(late)} did not converge after {solution.steps.max()} steps of {solution.solver}: the"
            f" gradient is {solution.residual[late].max():.3g} times the tolerance. The best point is kept. Try"
            " features on similar scales, a stronger regularizer, precision='float64', or"
            " solver_kwargs={'maxiter': ..., 'tol': ...}.",
            ConvergenceWarning,
        )


def neurons(which: np.ndarray) -> str:
    """Return numbers of neurons as a text."""
    return f"neuron {which[0]}" if len(which) == 1 else f"neurons {named(which)}"
