"""Periodic solutions, and how nearby trajectories approach or leave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import Flow
from recurra.courtesy import brief
from recurra.engine.interrupts import interruptible
from recurra.errors import CapabilityError

ROUNDS, GRID = 30, 4001


@dataclass(frozen=True, eq=False)
class LimitCycle:
    """Hold one period of a periodic solution.

    Arguments:
        names: path of each state.
        period: its length in the model's time.
        time: `(rows,)`, from 0 to the period.
        values: `(rows, states)`.
        multipliers: Floquet multipliers, `(states,)` complex, the largest first; one of them is 1.

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> cycle = limit_cycle(vdp, transient=50.0, longest=20.0)
    >>> np.abs(cycle.multipliers).round(4).tolist(), round(float(np.abs(cycle.values[:, 0]).max()), 3)
    ([1.0, 0.0009], 2.009)
    """

    names: list[str]
    period: float
    time: np.ndarray
    values: np.ndarray
    multipliers: np.ndarray

    __repr__ = brief

    @property
    def stable(self) -> bool:
        """Say whether all multipliers but the one along the cycle lie inside of the unit circle."""
        along = np.argmin(np.abs(self.multipliers - 1))
        return bool(np.all(np.abs(np.delete(self.multipliers, along)) < 1))


def limit_cycle(
    model: Any,
    *,
    transient: float,
    longest: float,
    start: ArrayLike | Mapping[str, float] | None = None,
    inputs: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    rows: int = 200,
) -> LimitCycle:
    """Find the periodic solution near which a trajectory settles, by single shooting with Newton steps.

    The trajectory after the transient gives a first guess; then state and period are solved for together, with the
    derivatives of the variational equation (Kuznetsov 2004, section 10.2).

    Arguments:
        model, inputs, params: as for :func:`recurra.analysis.fixed_points`.
        transient: time before the guess is taken, in the model's unit.
        longest: the longest period to look for.
        start: where the trajectory begins; the initial state if `None`.
        rows: number of rows of the result.

    Returns:
        The cycle with its multipliers.

    Raises:
        CapabilityError: the trajectory comes to rest, or does not return within the longest period.

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> cycle = limit_cycle(vdp, transient=50.0, longest=20.0)
    >>> round(cycle.period, 4), cycle.stable
    (6.6633, True)
    """
    flow = Flow(model, inputs, params)
    begin = _integrate(flow, flow.point(start), positive(transient, "transient"))[-1]
    state, period = _guess(flow, begin, positive(longest, "longest"))
    for _ in range(ROUNDS):
        end, monodromy = _shoot(flow, state, period)
        along = flow.rate(state)
        size = len(state)
        matrix = np.zeros((size + 1, size + 1))
        matrix[:size, :size] = monodromy - np.eye(size)
        matrix[:size, size] = flow.rate(end)
        matrix[size, :size] = along  # the change of the start stands across the cycle
        change = np.linalg.lstsq(matrix, np.append(state - end, 0.0), rcond=None)[0]
        state, period = state + change[:size], period + change[size]
        if not 0 < period < 2 * longest:
            break
        if np.abs(change).max() < 1e-9 * (1 + np.abs(state).max()):
            end, monodromy = _shoot(flow, state, period)
            values = np.linalg.eigvals(monodromy)
            time = np.linspace(0.0, period, positive(rows, "rows", 2))
            path = _integrate(flow, state, period, time)
            return LimitCycle(flow.names, float(period), time, path, values[np.argsort(-np.abs(values))])
    raise CapabilityError(
        "the trajectory could not be closed to a cycle: try a longer transient=, or start= nearer to the cycle."
    )


@interruptible()
def _integrate(flow: Flow, state: np.ndarray, span: float, times: np.ndarray | None = None) -> np.ndarray:
    from scipy.integrate import solve_ivp

    done = solve_ivp(lambda t, y: flow.rate(y), (0.0, span), state, "LSODA", times, rtol=1e-10, atol=1e-12)
    if not done.success or not np.isfinite(done.y).all():
        raise CapabilityError(f"the trajectory could not be computed: {done.message}")
    return done.y.T


def _guess(flow: Flow, begin: np.ndarray, longest: float) -> tuple[np.ndarray, float]:
    """Return a state and how long the trajectory takes to cross the plane through it again, in the same direction."""
    along = flow.rate(begin)
    if np.linalg.norm(along) < 1e-7:
        raise CapabilityError("the trajectory comes to rest, so there is no cycle here: choose another start=.")

    times = np.linspace(0.0, longest, GRID)
    path = _integrate(flow, begin, longest, times)
    height = (path - begin) @ along
    wide = np.ptp(path, axis=0).max()
    for i in np.flatnonzero((height[:-1] < 0) & (height[1:] >= 0)):
        share = height[i] / (height[i] - height[i + 1])
        state = path[i] + share * (path[i + 1] - path[i])
        if np.linalg.norm(state - begin) < 0.2 * wide:
            return state, float(times[i] + share * (times[i + 1] - times[i]))
    raise CapabilityError(
        f"the trajectory does not return within {longest:g}: give a higher longest=, or a longer transient=."
    )


@interruptible()
def _shoot(flow: Flow, state: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the state after a time, and its derivative by the state before."""
    from scipy.integrate import solve_ivp

    size = len(state)

    def rate(t: float, both: np.ndarray) -> np.ndarray:
        y, spread = both[:size], both[size:].reshape(size, size)
        return np.concatenate([flow.rate(y), (flow.jacobian(y) @ spread).ravel()])

    begin = np.concatenate([state, np.eye(size).ravel()])
    done = solve_ivp(rate, (0.0, period), begin, "LSODA", rtol=1e-10, atol=1e-12)
    return done.y[:size, -1], done.y[size:, -1].reshape(size, size)
