"""Fixed-step solvers: one step of every state variable.

Euler, Heun and classical Runge-Kutta are tableaus (Butcher 2008, table 310); the exponential Euler method is that of
Rosenbrock type with the diagonal of the Jacobian (Hochbruck & Ostermann 2010, eq. 2.37). With noise, Euler is the
Euler-Maruyama method (Ito) and Heun the stochastic Heun method (Stratonovich; Kloeden & Platen 1992, ch. 9, 15).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from recurra.engine.system import System
from recurra.equations import FUNCTIONS
from recurra.errors import CapabilityError, OptionError, unknown

State = dict[str, Array]


@dataclass(frozen=True)
class Tableau:
    """Hold an explicit Runge-Kutta method: lower triangle `a` and weights `b`; the nodes are the row sums of `a`."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    noise: bool = False

    @property
    def nodes(self) -> tuple[float, ...]:
        return tuple(float(sum(row)) for row in self.a)


TABLEAUS = {
    "euler": Tableau(((),), (1.0,), 1, noise=True),
    "euler_maruyama": Tableau(((),), (1.0,), 1, noise=True),
    "heun": Tableau(((), (1.0,)), (0.5, 0.5), 2),
    "stochastic_heun": Tableau(((), (1.0,)), (0.5, 0.5), 2, noise=True),
    "rk4": Tableau(((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4),
}
FIXED_STEP = (*TABLEAUS, "exponential_euler")
ADAPTIVE = ("scipy", "tsit5", "dopri8", "kvaerno5")
SOLVERS = (*FIXED_STEP, *ADAPTIVE)


def choose_solver(solver: str | None, system: System) -> str:
    """Return the solver to use: the one asked for, if it fits the system; Euler (with noise: Euler-Maruyama) if none.

    Raises:
        OptionError: no such solver.
        CapabilityError: the solver cannot handle the noise or the delays of the system.
    """
    noisy = bool(system.noises)
    if solver is None:
        return "euler_maruyama" if noisy else "euler"
    if solver not in SOLVERS:
        raise OptionError(unknown("solver", solver, SOLVERS))
    if noisy and not (solver in TABLEAUS and TABLEAUS[solver].noise):
        raise CapabilityError(
            f"solver {solver!r} cannot integrate noise (xi in {system.noises[0].target!r}). Use 'euler_maruyama' (Ito)"
            " or 'stochastic_heun' (Stratonovich)."
        )
    if system.spikes and solver in ADAPTIVE:
        raise CapabilityError(
            f"solver {solver!r} chooses its own steps and cannot handle the threshold of {system.spikes[0].variable!r}."
            f" Use a fixed step ({', '.join(FIXED_STEP)})."
        )
    if system.has_ring and solver in ADAPTIVE:
        raise CapabilityError(
            f"solver {solver!r} chooses its own steps and cannot read the delay of {system.rings[0].source!r}. Use a"
            f" fixed step ({', '.join(FIXED_STEP)}), or give the edge a `spread`, which turns the delay into equations."
        )
    return solver


def reads_ahead(solver: str) -> bool:
    """Say whether a solver reads inputs later than at the beginning of a step."""
    return solver in ADAPTIVE or (solver in TABLEAUS and any(TABLEAUS[solver].nodes))


def runge_kutta(tableau: Tableau, rate: Callable[[int, State], State], state: State, dt: Array) -> State:
    """Advance `state` by one explicit Runge-Kutta step.

    Arguments:
        rate: stage number and state -> derivatives.
        state: states now.
        dt: the step.
    """
    slopes: list[State] = []
    for stage, row in enumerate(tableau.a):
        slopes.append(rate(stage, _combine(state, dt, row, slopes)))
    return _combine(state, dt, tableau.b, slopes)


def _combine(state: State, dt: Array, weights: tuple[float, ...], slopes: list[State]) -> State:
    used = [(w, s) for w, s in zip(weights, slopes, strict=False) if w]
    if not used:
        return state
    moved = {}
    for key, value in state.items():
        total = None
        for weight, slope in used:
            term = slope[key] if weight == 1.0 else weight * slope[key]
            total = term if total is None else total + term
        moved[key] = value + (dt * total).astype(value.dtype)  # type: ignore[operator,union-attr]
    return moved


def exponential_euler(
    rate: Callable[[State], State],
    diagonal: Callable[[str], Array],
    state: State,
    dt: Array,
) -> State:
    """Advance by x + dt phi(dt J) f, phi(z) = (exp(z) - 1) / z: exact where x' is linear in x alone.

    Arguments:
        rate: state -> derivatives.
        diagonal: name of a state -> derivative of its own rate by itself.
    """
    slopes = rate(state)
    phi = FUNCTIONS["exprel"].jax
    return {
        key: value + (dt * phi(dt * diagonal(key)) * slopes[key]).astype(value.dtype)
        for key, value in state.items()
    }


def own_derivative(rate: Callable[[State], State], state: Mapping[str, Array], key: str) -> Array:
    """Differentiate the rate of one state by that state, unit by unit.

    Right where a unit's equations speak of that unit only; what comes from other units must be held fixed in `rate`.
    """

    def of_one(value: Array) -> Array:
        return rate({**state, key: value})[key]

    return jax.jvp(of_one, (state[key],), (jnp.ones_like(state[key]),))[1]
