"""Solvers by name, the loop over their steps, and what they found."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from recurra.engine.interrupts import check
from recurra.errors import CapabilityError, OptionError, unknown
from recurra.glm import newton
from recurra.glm.firstorder import Memory, accelerated_step, lbfgs_step, no_momentum
from recurra.glm.newton import State
from recurra.glm.objective import Data, Family
from recurra.glm.penalty import Penalty

SOLVERS = ("Newton", "NewtonCG", "LBFGS", "ProximalNewton", "ProximalGradient")
SMOOTH = ("Newton", "NewtonCG", "LBFGS")
ROUGH = ("ProximalNewton", "ProximalGradient")
OPTIONS = ("tol", "maxiter")
MAXITER = {"Newton": 100, "NewtonCG": 100, "LBFGS": 2000, "ProximalNewton": 100, "ProximalGradient": 20_000}
TOL = {"float64": 1e-12, "float32": 1e-6}
# Multiplications beyond which exact Hessians of all columns cost more than conjugate gradients.
EXACT_WORK = 2e9


@dataclass(frozen=True)
class Settings:
    """Say how a fit is solved.

    Arguments:
        name: one of `SOLVERS`, or `None` for Newton's method in the form that suits the problem.
        tol: largest gradient of the mean loss of a finished column.
        maxiter: most steps.
        precision: `"float64"` or `"float32"`.
    """

    name: str | None
    tol: float
    maxiter: int | None
    precision: str


def read_settings(name: object, options: object, precision: object) -> Settings:
    """Check the name of a solver and its options.

    Raises:
        OptionError: a name is unknown or a value is out of range.
    """
    if precision not in TOL:
        raise OptionError(unknown("precision", precision, TOL))
    if name is not None and name not in SOLVERS:
        raise OptionError(unknown("solver", name, SOLVERS, where="solver_name"))
    given = {} if options is None else options
    if not isinstance(given, Mapping):
        raise OptionError(f"solver_kwargs: expected a dict such as {{'tol': 1e-8}}, got {type(options).__name__}.")
    for key in given:
        if key not in OPTIONS:
            raise OptionError(unknown("option", key, OPTIONS, where="solver_kwargs"))
    tol, most = given.get("tol", TOL[str(precision)]), given.get("maxiter")
    if not (isinstance(tol, int | float) and math.isfinite(tol) and tol > 0):
        raise OptionError(f"solver_kwargs: tol must be a number > 0, got {tol!r}.")
    if most is not None and not (isinstance(most, int | np.integer) and not isinstance(most, bool) and most > 0):
        raise OptionError(f"solver_kwargs: maxiter must be a whole number > 0, got {most!r}.")
    limit = None if most is None else int(most)
    return Settings(None if name is None else str(name), float(tol), limit, str(precision))


@dataclass(frozen=True)
class Solution:
    """Hold what a solver found.

    Arguments:
        coef: `(features + 1, columns, outputs)`, the intercept last.
        value: the objective of each column, `(columns,)`.
        residual: largest entry of the gradient of each column in units of its tolerance, `(columns,)`.
        steps: steps of each column, `(columns,)`.
        converged: whether each column stands at a minimum, `(columns,)`.
        solver: the name of the solver.
    """

    coef: np.ndarray
    value: np.ndarray
    residual: np.ndarray
    steps: np.ndarray
    converged: np.ndarray
    solver: str


def choose(settings: Settings, family: Family, work: float, rough: bool, where: str = "solver_name") -> str:
    """Return the solver for a problem.

    Arguments:
        settings: what the user wants.
        family: the family; a classifier has no exact Hessian per column.
        work: multiplications that one exact Hessian of all columns takes.
        rough: whether the penalty has a part without a derivative, or bounds.
        where: named in an error.

    Raises:
        CapabilityError: solver and penalty do not go together.
    """
    if settings.name is None:
        if rough:
            return "ProximalNewton" if family.outputs == 1 else "ProximalGradient"
        return "Newton" if work <= EXACT_WORK and family.outputs == 1 else "NewtonCG"
    if rough and settings.name in SMOOTH:
        raise CapabilityError(
            f"{where}: {settings.name!r} needs a penalty with a derivative, and no bounds; use one of"
            f" {', '.join(ROUGH)}, or None to choose."
        )
    if family.outputs > 1 and settings.name in ("Newton", "ProximalNewton"):
        raise CapabilityError(
            f"{where}: {settings.name!r} works on one output for each neuron; for classes use 'NewtonCG', 'LBFGS' or"
            " 'ProximalGradient'."
        )
    return settings.name


def solve(
    family: Family, data: Data, penalty: Penalty, start: Array | np.ndarray, settings: Settings
) -> Solution:
    """Minimise the objective of every column; to be called within :func:`jax.enable_x64` as the precision wants it.

    Arguments:
        family: the family.
        data: the numbers.
        penalty: the penalty.
        start: coefficients to begin with, `(features + 1, columns, outputs)`.
        settings: how.

    Returns:
        The best point found. Ctrl-C ends the search early.
    """
    rows, features = data.x.shape
    columns = start.shape[1]
    name = choose(settings, family, float(rows) * features**2 * columns, penalty.rough)
    if name == "NewtonCG" and data.coarse is None and settings.precision == "float64" and rows * columns > 10**5:
        data = replace(data, coarse=data.x.astype(jnp.float32))
    method = {"Newton": "exact", "NewtonCG": "truncated", "ProximalNewton": "proximal"}.get(name)
    tol = np.asarray(settings.tol, data.x.dtype)
    state = newton.begin(family, data, penalty, start, tol)
    most = settings.maxiter or MAXITER[name]
    if method is not None:
        advance, memory = functools.partial(_newton, family, method, data, penalty, tol), None
    elif name == "LBFGS":
        advance, memory = functools.partial(lbfgs_step, family, data, penalty, tol), Memory.empty(state.coef)
    else:
        advance, memory = functools.partial(accelerated_step, family, data, penalty, tol), no_momentum(state)
    state = _run(advance, state, memory, most)
    if method == "truncated" and family.outputs == 1 and not settled(state, settings.precision).all():
        # Products in single precision are not enough for this problem: go on with exact steps.
        exact = functools.partial(_newton, family, "exact", data, penalty, tol)
        state = _run(exact, newton.restart(state), None, most - int(np.asarray(state.steps).max()))
    return Solution(
        np.asarray(state.coef, float),
        np.asarray(state.value, float),
        np.asarray(state.residual, float),
        np.asarray(state.steps),
        settled(state, settings.precision),
        name,
    )


def settled(state: State, precision: str) -> np.ndarray:
    """Return which columns are at a minimum, as far as the precision shows.

    A gradient within the tolerance is one; so is one that rounding does not let become smaller, if it is small.
    """
    slack = 1e5 if precision == "float64" else 1e3
    left, stuck = np.asarray(state.residual), np.asarray(state.stuck)
    return (left <= 1) | ((stuck >= 3) & (left <= slack))


def _newton(
    family: Family, method: str, data: Data, penalty: Penalty, tol: Array | np.ndarray, state: State, memory: None
) -> tuple[State, None]:
    return newton.step(family, method, data, penalty, state, tol), None


def _run(advance: Callable[[State, Any], tuple[State, Any]], state: State, memory: Any, most: int) -> State:
    """Step until every column is finished, at most so often; the caller warns of what is not.

    Returns:
        The last state of finished columns, the best one of others.

    Raises:
        KeyboardInterrupt: a fit that was interrupted is none.
    """
    best = state
    for _ in range(most):
        check("interrupted; nothing was fitted")
        # In NumPy: every operation of JAX outside of a compiled function is compiled by itself.
        if not np.any((np.asarray(state.residual) > 1) & (np.asarray(state.stuck) < 3)):
            break
        state, memory = advance(state, memory)
        best = newton.better(state, best)
    return best
