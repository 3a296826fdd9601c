"""GLMs that switch between hidden states (Escola et al. 2011; Ashwood et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from recurra.courtesy import warn
from recurra.engine.interrupts import check
from recurra.errors import CapabilityError, OptionError, ShapeError
from recurra.glm.chain import most_probable_path, smooth
from recurra.glm.design import Rows
from recurra.glm.estimator import BaseGLM, Plan
from recurra.glm.fitting import first_guess, fit_columns, null_model
from recurra.glm.links import InverseLink, identity, one_over_x
from recurra.glm.numbers import as_mask
from recurra.glm.observations import ObservationModel, log_likelihood_of, scale_of
from recurra.glm.penalty import Penalty
from recurra.glm.population import real
from recurra.glm.pynapple_series import aligned, as_given, epoch_starts, is_intervals, values_of
from recurra.glm.regularizers import ARD, Regularizer
from recurra.glm.whole import whole_fit

TRIAL_ROUNDS = 15


@dataclass(frozen=True, eq=False)
class Switching:
    """Hold the parameters of a switching GLM.

    Arguments:
        coef: `(features + 1, neurons, states)`, the intercept last.
        scale: `(neurons, states)`.
        initial: `(states,)`.
        transition: `(states, states)`, from row to column.
    """

    coef: np.ndarray
    scale: np.ndarray
    initial: np.ndarray
    transition: np.ndarray


class GLMHMM(BaseGLM):
    """Fit GLMs with a set of coefficients for each of some hidden states, which follow one another as a Markov chain.

    Fitted by expectation maximisation (Dempster, Laird & Rubin 1977): the forward-backward algorithm, and a penalised
    GLM for each state. Given the state, neurons are independent. Strengths have the meaning they have for
    :class:`GLM`: of the mean over all bins. A bin with a NaN counts as not observed; the chain goes on.

    Arguments:
        n_states: number of states.
        observation_model, inverse_link_function, regularizer, regularizer_strength, bounds, solver_name, solver_kwargs,
            precision, fit_intercept: as for :class:`GLM`.
        dirichlet_initial_proba, dirichlet_transition_proba: parameters of Dirichlet priors of at least 1, of shapes
            `(states,)` and `(states, states)` or numbers; `None` for 1, which is flat.
        maxiter, tol: most rounds, and the gain of the mean log-likelihood of a bin at which they end.
        n_init: starts that are tried for a few rounds; the best is followed.
        seed: of the starts.

    Attributes:
        coef_: `(features, states)`, or `(features, neurons, states)` if y is a matrix; or a tree of such.
        intercept_, scale_: `(states,)` or `(neurons, states)`.
        initial_prob_: `(states,)`.
        transition_prob_: `(states, states)`, from row to column.
        log_likelihoods_: total log-likelihood (with the log-density of the priors up to constants and penalties) after
            each round.
        n_iter_, converged_: how the fit went. States are in order of falling occupancy.

    >>> rng = np.random.default_rng(0)
    >>> state = (np.arange(600) // 100) % 2
    >>> y = rng.poisson(np.where(state == 0, 0.2, 4.0))
    >>> model = GLMHMM(2, "Poisson").fit(rng.standard_normal((600, 1)), y)
    >>> np.exp(np.sort(model.intercept_)).round(1)
    array([0.2, 4. ])
    """

    n_states: int
    dirichlet_initial_proba: ArrayLike | None
    dirichlet_transition_proba: ArrayLike | None
    maxiter: int
    tol: float
    n_init: int
    seed: int

    def __init__(
        self,
        n_states: int = 2,
        observation_model: str | ObservationModel = "Bernoulli",
        inverse_link_function: str | InverseLink | None = None,
        regularizer: str | Regularizer | None = "Ridge",
        regularizer_strength: Any = 1e-4,
        bounds: tuple | None = None,
        solver_name: str | None = None,
        solver_kwargs: dict | None = None,
        dirichlet_initial_proba: ArrayLike | None = None,
        dirichlet_transition_proba: ArrayLike | None = None,
        maxiter: int = 500,
        tol: float = 1e-8,
        n_init: int = 5,
        seed: int = 0,
        precision: str = "float64",
        fit_intercept: bool = True,
    ):
        self._take(locals())

    # Fitting

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        session_starts: Any = None,
        *,
        offset: ArrayLike | None = None,
    ) -> GLMHMM:
        """Fit the model.

        Arguments:
            X: `(time, features)`, or a tree of such arrays.
            y: `(time,)` or `(time, neurons)`.
            session_starts: where the chain starts anew: truth values `(time,)` or numbers of bins, or with series of
                pynapple an IntervalSet; `None` for bin 0 only. It also starts anew in each epoch of such a series.
            offset: added to the linear predictors of all states, a number, `(time,)` or `(time, neurons)`.

        Returns:
            The estimator itself.

        Raises:
            RecurraError: data or parameters do not fit.
        """
        with whole_fit(self):
            self._fit_states(X, y, session_starts, offset)
        return self

    def _fit_states(self, X: Any, y: ArrayLike, session_starts: Any, offset: ArrayLike | None) -> None:
        self._check()
        plan = self._plan()
        if isinstance(plan.regularizer, ARD):
            raise CapabilityError("regularizer: ARD is not there for hidden states; use Ridge.")
        self._forget()
        self.single_ = np.ndim(y) == 1
        rows = self._rows(X, y, None, True, offset)
        starts = read_starts(session_starts, len(rows.x), aligned(X, y, offset))
        penalty = self._penalty(plan, self.layout_, rows.y.shape[1])
        every = np.arange(rows.x.shape[1])
        states = np.repeat(np.arange(rows.y.shape[1]), self.n_states)
        penalty = penalty.take(every, states)
        rng = np.random.default_rng(self.seed)
        guesses = [self._guess(plan, rows, rng) for _ in range(self.n_init)]
        if self.n_init > 1:
            tried = [self._improve(plan, rows, penalty, starts, guess, TRIAL_ROUNDS) for guess in guesses]
            guess, early, _ = max(tried, key=lambda t: t[1][-1])
        else:
            guess, early = guesses[0], []
        found, later, done = self._improve(plan, rows, penalty, starts, guess, self.maxiter)
        values = early + later
        self._hold(found, rows, starts, plan)
        self.log_likelihoods_, self.converged_, self.n_iter_ = np.array(values), done, len(values)
        if not done:
            warn(
                f"the states did not converge in {self.maxiter} rounds; the best parameters are kept. Raise maxiter, or"
                " try fewer states.",
                ConvergenceWarning,
            )

    def _check(self) -> None:
        for name, least in (("n_states", 1), ("maxiter", 1), ("n_init", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise OptionError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
        if not (isinstance(self.tol, int | float) and self.tol > 0):
            raise OptionError(f"tol: expected a number > 0, got {self.tol!r}.")
        self._priors()

    def _priors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how many observations the priors are worth, `(states,)` and `(states, states)`."""
        found = []
        for name, shape in (("initial", (self.n_states,)), ("transition", (self.n_states, self.n_states))):
            given: Any = getattr(self, f"dirichlet_{name}_proba")
            try:
                prior = np.broadcast_to(np.asarray(1.0 if given is None else given, float), shape)
            except ValueError:
                raise ShapeError(
                    f"dirichlet_{name}_proba: got shape {np.asarray(given).shape}, expected {shape} or a number."
                ) from None
            if not (np.all(np.isfinite(prior)) and np.all(prior >= 1)):
                raise OptionError(f"dirichlet_{name}_proba: every entry must be at least 1, got {given!r}.")
            found.append(prior - 1)
        return found[0], found[1]

    def _guess(self, plan: Plan, rows: Rows, rng: np.random.Generator) -> Switching:
        """Return a start: the rates of a model without features, moved at random, and states that last."""
        features, neurons, states = rows.x.shape[1], rows.y.shape[1], self.n_states
        null = null_model(plan.family, rows)
        spread = np.sqrt((rows.weight @ rows.x**2) / rows.count)
        coef = np.zeros((features + 1, neurons, states))
        unit = np.where(spread > 0, spread, 1)[:, None, None]
        coef[:-1] = 0.3 * rng.standard_normal((features, neurons, states)) / unit
        coef[-1] = null.intercept[:, None]
        if not plan.family.intercept:
            # All that may differ is what features do; the states are told apart by that alone.
            coef[:-1] += first_guess(plan.family, rows, Penalty())[0][:-1]
            coef[-1] = 0
        if plan.family.link is identity:
            coef[-1] += np.std(rows.y, axis=0)[:, None] * rng.standard_normal((neurons, states))
        elif plan.family.link is one_over_x:  # its predictor must stay above 0
            coef[:-1] = 0
            coef[-1] *= np.exp(0.5 * rng.standard_normal((neurons, states)))
        else:
            coef[-1] += 0.5 * rng.standard_normal((neurons, states))
        if not plan.family.intercept:
            coef[-1] = 0
        with jax.enable_x64(True):
            rate = np.broadcast_to(rows.mean, rows.y.shape)
            scale = scale_of(plan.family.observation, rows.y, rate, rows.weight, np.full(neurons, rows.count))
        stay = np.full((states, states), 0.05 / max(states - 1, 1))
        np.fill_diagonal(stay, 0.95 if states > 1 else 1.0)
        return Switching(coef, np.tile(scale[:, None], states), np.full(states, 1 / states), stay)

    def _improve(
        self, plan: Plan, rows: Rows, penalty: Penalty, starts: np.ndarray, guess: Switching, rounds: int
    ) -> tuple[Switching, list[float], bool]:
        """Run rounds of expectation maximisation; return the parameters, what was maximised, and whether it ended."""
        values: list[float] = []
        now = guess
        for _ in range(rounds):
            check("interrupted; nothing was fitted")
            _, share, counts, sizes = self._expect(plan, rows, starts, now)
            values.append(float(sizes.sum()) + self._log_prior(rows, penalty, now))
            if len(values) > 1 and values[-1] - values[-2] <= self.tol * rows.count:
                return now, values, True
            now = self._maximise(plan, rows, penalty, starts, now, np.exp(share), counts)
        return now, values, False

    def _log_prior(self, rows: Rows, penalty: Penalty, now: Switching) -> float:
        first, pair = self._priors()
        with np.errstate(divide="ignore", invalid="ignore"):
            known = np.sum(np.where(first > 0, first * np.log(now.initial), 0))
            known += np.sum(np.where(pair > 0, pair * np.log(now.transition), 0))
        with jax.enable_x64(True):
            part = penalty.cast("float64")
            coef = jnp.asarray(now.coef[:-1].reshape(len(now.coef) - 1, -1, 1))
            cost = float(jnp.sum(part.smooth(coef) + part.rest(coef)))
        return float(known) - rows.count * cost

    def _expect(self, plan: Plan, rows: Rows, starts: np.ndarray, now: Switching) -> tuple[np.ndarray, ...]:
        with jax.enable_x64(True):
            evidence = self._evidence(plan, rows, now)
            with np.errstate(divide="ignore"):
                logs = np.log(now.initial), np.log(now.transition)
            return tuple(np.asarray(a) for a in smooth(evidence, *logs, starts))

    def _evidence(self, plan: Plan, rows: Rows, now: Switching) -> np.ndarray:
        """Return the log-likelihood of each bin in each state, `(time, states)`."""
        found = np.empty((len(rows.x), self.n_states))
        for s in range(self.n_states):
            with jax.enable_x64(True):
                rate = plan.family.link(jnp.asarray(rows.predictor(now.coef[:, :, s]), float))
            each = log_likelihood_of(plan.family.observation, rows.y, np.asarray(rate), now.scale[:, s])
            found[:, s] = np.where(rows.weight > 0, each.sum(axis=1), 0)
        return found

    def _maximise(
        self,
        plan: Plan,
        rows: Rows,
        penalty: Penalty,
        starts: np.ndarray,
        now: Switching,
        share: np.ndarray,
        counts: np.ndarray,
    ) -> Switching:
        first, pair = self._priors()
        begun = share[starts].sum(axis=0) + first
        moved = counts + pair
        total = moved.sum(axis=1, keepdims=True)
        transition = np.where(total > 0, moved / np.where(total > 0, total, 1), now.transition)
        features, neurons, states = now.coef.shape
        weight = np.maximum(share * rows.weight[:, None], 1e-300)
        sizes = weight.sum(axis=0) / rows.count
        many = rows.offset is not None and rows.offset.shape[1] > 1
        offset = np.repeat(rows.offset, states, axis=1) if many else rows.offset  # type: ignore[arg-type]
        found = fit_columns(
            plan.family,
            rows.x,
            np.repeat(rows.y, states, axis=1),
            np.tile(weight, neurons),
            _divided(penalty, np.tile(sizes, neurons)),
            now.coef.reshape(features, neurons * states, 1),
            plan.settings,
            None,
            offset,
        )
        coef = found.coef.reshape(now.coef.shape)
        scale = now.scale.copy()
        for s in range(states):
            with jax.enable_x64(True):
                rate = np.asarray(plan.family.link(jnp.asarray(rows.predictor(coef[:, :, s]), float)))
                dof = np.full(neurons, weight[:, s].sum())
                scale[:, s] = np.maximum(scale_of(plan.family.observation, rows.y, rate, weight[:, s], dof), 1e-12)
        return Switching(coef, scale, begun / begun.sum(), transition)

    def _hold(self, found: Switching, rows: Rows, starts: np.ndarray, plan: Plan) -> None:
        share = np.exp(self._expect(plan, rows, starts, found)[1])
        order = np.argsort(-share.sum(axis=0), kind="stable")
        coef = found.coef[:, :, order]
        self.initial_prob_ = found.initial[order]
        self.transition_prob_ = found.transition[np.ix_(order, order)]
        one = (slice(None), 0) if self.single_ else (slice(None), slice(None))
        self.coef_ = self.layout_.split(coef[:-1][one])
        self.intercept_ = coef[-1][0] if self.single_ else coef[-1]
        self.scale_ = found.scale[:, order][0] if self.single_ else found.scale[:, order]

    # After the fit

    def _now(self) -> Switching:
        check_is_fitted(self)
        intercept, scale = (np.atleast_2d(a) for a in (self.intercept_, self.scale_))
        coef = self.layout_.join(self.coef_, "coef_", np.shape(self.intercept_)).reshape(-1, *intercept.shape)
        return Switching(np.concatenate([coef, intercept[None]]), scale, self.initial_prob_, self.transition_prob_)

    def _read(self, X: Any, y: Any, session_starts: Any, offset: Any) -> tuple[Switching, Rows, np.ndarray, Any]:
        """Return the parameters, the data, where sessions start, and the series of pynapple if there is one."""
        now = self._now()
        rows = self._rows(X, y, None, False, offset)
        if rows.y.shape[1] != now.coef.shape[1]:
            raise ShapeError(f"y: it has {rows.y.shape[1]} neurons, but the fit had {now.coef.shape[1]}.")
        series = aligned(X, y, offset)
        return now, rows, read_starts(session_starts, len(rows.x), series), series

    def smooth_proba(
        self, X: Any, y: Any, session_starts: Any = None, *, offset: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the probability of each state in each bin given all observations, `(time, states)`."""
        now, rows, starts, series = self._read(X, y, session_starts, offset)
        return as_given(series, np.exp(self._expect(self._plan(), rows, starts, now)[1]))

    def filter_proba(
        self, X: Any, y: Any, session_starts: Any = None, *, offset: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the probability of each state in each bin given the observations up to it, `(time, states)`."""
        now, rows, starts, series = self._read(X, y, session_starts, offset)
        return as_given(series, np.exp(self._expect(self._plan(), rows, starts, now)[0]))

    def decode_state(
        self, X: Any, y: Any, session_starts: Any = None, *, offset: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the most probable sequence of states, `(time,)`."""
        now, rows, starts, series = self._read(X, y, session_starts, offset)
        with jax.enable_x64(True), np.errstate(divide="ignore"):
            logs = np.log(now.initial), np.log(now.transition)
            evidence = self._evidence(self._plan(), rows, now)
            return as_given(series, np.asarray(most_probable_path(evidence, *logs, starts)))

    def score(self, X: Any, y: Any, session_starts: Any = None, *, offset: ArrayLike | None = None) -> float:
        """Return the log-likelihood of the observations for each bin that counts (the total divided by the bins)."""
        now, rows, starts, _ = self._read(X, y, session_starts, offset)
        return float(self._expect(self._plan(), rows, starts, now)[3].sum() / rows.count)

    def rates(self, X: Any, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Return the mean of each bin in each state, `(time, states)` or `(time, neurons, states)`."""
        return as_given(aligned(X, offset), self._rates(X, offset))

    def _rates(self, X: Any, offset: Any) -> np.ndarray:
        now, matrix = self._now(), self._features(X, reset=False)
        added = self._offset(offset, len(matrix), now.coef.shape[1], False)
        with jax.enable_x64(True):
            eta = np.einsum("tf,fns->tns", matrix, now.coef[:-1]) + now.coef[-1]
            found = np.asarray(self._plan().family.link(jnp.asarray(eta if added is None else eta + added, float)))
        return found[:, 0] if self.single_ else found

    def sample(
        self, X: Any, seed: int = 0, session_starts: Any = None, *, offset: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw states and observations.

        Arguments:
            X: features.
            seed: of the draws.
            session_starts: where the chain starts anew, as in `fit`.
            offset: as in the fit.

        Returns:
            The observations, in the shape y had, and the states `(time,)`.

        Raises:
            ShapeError: a feature is NaN.
        """
        rates, series = self._rates(X, offset), aligned(X, offset)
        if np.isnan(rates).any():
            raise ShapeError(f"X: row {int(np.argwhere(np.isnan(rates))[0][0])} has a NaN, so nothing can be drawn;"
                             " leave such rows out.")  # fmt: skip
        rates = rates[:, None, :] if self.single_ else rates
        now, rng = self._now(), np.random.default_rng(seed)
        starts = read_starts(session_starts, len(rates), series)
        states = np.empty(len(rates), int)
        for t, u in enumerate(rng.random(len(rates))):
            odds = now.initial if starts[t] else now.transition[states[t - 1]]
            states[t] = min(int(np.searchsorted(np.cumsum(odds), u, side="right")), len(odds) - 1)
        rate = np.take_along_axis(rates, states[:, None, None], axis=2)[:, :, 0]
        with jax.enable_x64(True):
            scale = jnp.asarray(now.scale[:, states].T)
            drawn = np.asarray(self._observed().sample(jax.random.key(seed), jnp.asarray(rate), scale))
        return as_given(series, drawn[:, 0] if self.single_ else drawn), as_given(series, states)

    def predict(self, X: Any, *, offset: ArrayLike | None = None) -> np.ndarray:
        """Return the mean of each bin under the chain's long-run shares of the states, in the shape of y."""
        values, vectors = np.linalg.eig(self._now().transition.T)
        share = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        return as_given(aligned(X, offset), self._rates(X, offset) @ (share / share.sum()))

    def _targets(self, y: Any, rows: int) -> np.ndarray:
        found = real(y)
        if found.ndim not in (1, 2):
            raise ShapeError(f"y: expected (time,) or (time, neurons), got shape {found.shape}.")
        return found[:, None] if found.ndim == 1 else found


def _divided(penalty: Penalty, by: np.ndarray) -> Penalty:
    """Return the penalty of weighted means that stand for a part of all bins."""
    changed = {}
    for name in ("diagonal", "lasso", "group"):
        if getattr(penalty, name) is not None:
            changed[name] = getattr(penalty, name) / by
    if penalty.factor is not None:
        changed["factor"] = penalty.factor / by
    return replace(penalty, **changed)


def read_starts(starts: Any, time: int, series: Any = None) -> np.ndarray:
    """Return where sessions start as truth values `(time,)`; bin 0 always does, and so does each epoch of a series.

    Arguments:
        starts: truth values (or 0 and 1) `(time,)`, numbers of bins, an IntervalSet of pynapple, or `None`.
        time: number of bins.
        series: a series of pynapple, or `None`.

    Raises:
        ShapeError: neither truth values of that length nor numbers of bins.
        OptionError: intervals without a series, or with none of its bins.

    >>> read_starts([0, 1, 0], 3).tolist(), read_starts([2], 3).tolist()
    ([True, True, False], [True, False, True])
    """
    found = epoch_starts(series)
    found = np.zeros(time, bool) if found is None else found
    found[:1] = True
    if starts is None:
        return found
    if is_intervals(starts):
        if series is None:
            raise OptionError("session_starts: intervals of time need X or y to be a series of pynapple; give numbers"
                              " of bins.")  # fmt: skip
        times = np.asarray(series.t)
        first = np.searchsorted(times, np.asarray(starts.values)[:, 0], "left")
        if np.any(first >= time):
            raise OptionError("session_starts: an interval begins after the last bin.")
        found[first] = True
        return found
    given = np.asarray(values_of(starts))
    if (mask := as_mask(given, time)) is not None:
        return found | mask
    if given.dtype.kind not in "iu" or given.ndim != 1 or np.any((given < 0) | (given >= time)):
        raise ShapeError(
            f"session_starts: expected booleans ({time},) or numbers of bins below {time}, got {starts!r}."
        )
    found[given] = True
    return found
