"""Periodic solutions, and how nearby trajectories approach or leave them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import Flow
from recurra.courtesy import warn
from recurra.engine.interrupts import interruptible
from recurra.errors import CapabilityError

ROUNDS = 5  # looks at the trajectory, after waits of 1, 2, 4, ... times the longest period
ROUGH = 1e-8  # relative error of a step until there is a guess; later 1e-10
STUCK = 5000  # calls of the right-hand side after which time must have gone on
NEWTON_STEPS = 30
MOVES = 1e-6  # part of the size of the states below which a trajectory rests
SMALL = 1e-4  # part of the size of the trajectory below which what was found is a point
NEAR = 0.2  # part of the size of the orbit within which a return is worth Newton's method
FLAT = 1e-8  # part of the largest singular value below which a direction leads along a family of orbits
CLOSED = 1e-5  # part of the size of the orbit by which another solver may miss the start
ALONG = 1e-4  # distance from 1 of the multiplier of the direction of the flow, which is 1
ISOLATED = 1e-6  # the same, of any other one


@dataclass(frozen=True, eq=False)
class LimitCycle:
    """Hold one period of a periodic solution that was checked.

    Arguments:
        names: path of each state.
        period: its length in the model's time, the smallest one.
        time: `(rows,)`, from 0 to the period.
        values: `(rows, states)`.
        multipliers: Floquet multipliers, `(states,)` complex, the largest first; one of them is 1.
        gap: by how much another solver missed the start after a period, as a part of the size of the orbit.

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
    gap: float

    @property
    def stable(self) -> bool:
        """Say whether all multipliers but the one along the cycle lie inside of the unit circle."""
        along = np.argmin(np.abs(self.multipliers - 1))
        return bool(np.all(np.abs(np.delete(self.multipliers, along)) < 1))

    def __repr__(self) -> str:
        wide = np.ptp(self.values, axis=0)
        most = int(np.argmax(wide))
        return (
            f"LimitCycle(period {self.period:.7g}, {'stable' if self.stable else 'unstable'}, {self.names[most]} over"
            f" {wide[most]:.4g}, closed to {self.gap:.0e})"
        )


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

    Where the trajectory after the transient comes back near to where it was, state and period are solved for together,
    with the derivatives of the variational equation (Kuznetsov 2004, section 10.2). What is found is a cycle only if
    it moves, closes when another solver computes it, takes no shorter time to close, has a Floquet multiplier of 1
    along the flow, and no other one: a closed orbit among a family of closed orbits is no limit cycle. Where this
    fails, the trajectory is followed on, up to 20 times the longest period.

    Arguments:
        model, inputs, params: as for :func:`recurra.analysis.fixed_points`.
        transient: time before the first guess is taken, in the model's unit.
        longest: the longest period to look for.
        start: where the trajectory begins; the initial state if `None`.
        rows: number of rows of the result.

    Returns:
        The cycle with its multipliers.

    Raises:
        CapabilityError: the trajectory comes to rest, or no cycle was found near it; the message says why.

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> limit_cycle(vdp, transient=50.0, longest=20.0)  # doctest: +ELLIPSIS
    LimitCycle(period 6.663287, stable, p/vdp_op/z over 5.3..., closed to ...)
    """
    flow, rows = Flow(model, inputs, params), positive(rows, "rows", 2)
    state, wait, longest = flow.point(start), positive(transient, "transient"), positive(longest, "longest")
    size, followed, why = flow.scale(state), 0.0, ""
    for look in range(ROUNDS):
        waited = _integrate(flow, state, wait, size, rtol=ROUGH)
        size = np.maximum(size * (state != 0), flow.scale(waited.y.T)) if not look else size
        path = _integrate(flow, waited.y[:, -1], longest, size, rtol=ROUGH)
        followed += wait + longest
        _refuse_rest(flow, path.y.T, size)
        try:
            orbit = _Orbit(flow, np.ptp(path.y, axis=1), size)
            return orbit.checked(*orbit.solved(*orbit.guess(path, longest)), rows)
        except CapabilityError as error:
            why = str(error)
        state, wait = path.y[:, -1], longest * 2**look
    raise CapabilityError(
        f"no cycle was found near the trajectory, which was followed for {followed:g}: {why} Try a longer transient=,"
        " or start= nearer to the cycle."
    )


@interruptible()
def _integrate(
    flow: Flow, state: np.ndarray, span: float, scale: np.ndarray, rate: Callable | None = None, rtol: float = 1e-10
) -> Any:
    from scipy.integrate import solve_ivp

    rate = rate or (lambda t, y: flow.rate(y))
    calls, mark = 0, 0.0

    def watched(t: float, y: np.ndarray) -> np.ndarray:
        """Refuse to go on where time stands still, before a state becomes infinite; the solver would try for ever."""
        nonlocal calls, mark
        calls += 1
        if calls % STUCK == 0:
            if t - mark < 1e-9 * span:
                raise CapabilityError(f"the trajectory cannot be followed beyond t = {t:.6g}: it runs to infinity.")
            mark = t
        return rate(t, y)

    done = solve_ivp(watched, (0.0, span), state, "LSODA", rtol=rtol, atol=rtol / 100 * scale, dense_output=True)
    if not done.success or not np.isfinite(done.y).all():
        raise CapabilityError(f"the trajectory cannot be followed beyond t = {done.t[-1]:.6g}: {done.message}")
    return done


def _refuse_rest(flow: Flow, path: np.ndarray, size: np.ndarray) -> None:
    if np.all(np.ptp(path, axis=0) < MOVES * size):
        end = flow.polish(path[-1])
        if flow.rests(end, size) and np.all(np.abs(end - path[-1]) < 1e-3 * size):
            raise CapabilityError(
                f"the trajectory comes to rest on a fixed point at {_named(flow, end)}; there is no cycle here. Try"
                " another start=, inputs= or params=."
            )


def _named(flow: Flow, state: np.ndarray) -> str:
    shown = ", ".join(f"{name} = {number:.4g}" for name, number in zip(flow.names[:4], state[:4], strict=True))
    return shown + (", ..." if len(state) > 4 else "")


class _Orbit:
    """Solve for a periodic solution near a trajectory, in units of how widely each state moves on it."""

    def __init__(self, flow: Flow, wide: np.ndarray, size: np.ndarray):
        self.flow, self.size = flow, size
        # States that do not move on the orbit count by their size.
        self.unit = np.where(wide > MOVES * size, wide, size)

    def returns(self, path: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return when a trajectory crosses the plane through its start again, and how far away from it."""
        from scipy.optimize import brentq

        begin = path.y[:, 0]
        across = self.flow.rate(begin) / self.unit**2
        heights = across @ (path.y - begin[:, None])
        height: Any = lambda t: across @ (path.sol(t) - begin)  # noqa: E731
        found = []
        for i in np.flatnonzero((heights[:-1] < 0) & (heights[1:] >= 0)):
            low, high = path.t[i : i + 2]
            # The interpolation may differ from the steps by its own error; at 0 the trajectory is here by definition.
            if i > 0:
                found.append(brentq(height, low, high) if height(low) * height(high) < 0 else high)
        found = np.array(found, float)
        return found, np.array([self.length(path.sol(t) - begin) for t in found])

    def length(self, change: np.ndarray) -> float:
        return float(np.sqrt(np.mean((change / self.unit) ** 2)))

    def guess(self, path: Any, longest: float) -> tuple[np.ndarray, float]:
        """Return a state and how long the trajectory takes to come back near to it."""
        times, away = self.returns(path)
        if not len(times):
            raise CapabilityError(f"it does not return within longest={longest:g}; a slower cycle needs a higher one.")
        if away.min() > NEAR:
            raise CapabilityError(
                f"it is not closed after longest={longest:g}, and returns only to {100 * away.min():.0f} % of its size."
            )
        # Of several returns the first that is as near as the nearest: a cycle of period two is nearer at the second.
        return path.y[:, 0], float(times[np.argmax(away <= 10 * away.min() + MOVES)])

    def solved(self, state: np.ndarray, period: float) -> tuple[np.ndarray, float]:
        """Return state and period for which the trajectory closes."""
        size, first = len(state), period
        for _ in range(NEWTON_STEPS):
            end, monodromy = self.shoot(state, period)
            along, arrived = self.flow.rate(state) / self.unit, self.flow.rate(end) / self.unit
            matrix = np.zeros((size + 1, size + 1))
            matrix[:size, :size] = monodromy - np.eye(size)
            matrix[:size, size] = arrived * period
            matrix[size, :size] = along / (np.linalg.norm(along) or 1.0)  # the change of the start stands across
            change = np.linalg.lstsq(matrix, np.append((state - end) / self.unit, 0.0), rcond=FLAT)[0]
            most = float(np.abs(change).max())
            change *= min(1.0, 0.5 / most) if most > 0 else 1.0
            state, period = state + change[:size] * self.unit, period * (1 + change[size])
            if not first / 4 < period < 4 * first:
                break
            if most < 1e-9 or (most < 1e-7 and self.length(state - end) < 1e-9):
                return state, period
        raise CapabilityError("Newton's method left the trajectory.")

    def shoot(self, state: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the state after a time, and its derivative by the state before, in units of the orbit."""
        size, unit = len(state), self.unit

        def rate(t: float, both: np.ndarray) -> np.ndarray:
            y, spread = both[:size], both[size:].reshape(size, size)
            return np.concatenate([self.flow.rate(y), (self.flow.jacobian(y) @ spread).ravel()])

        # Columns of the derivative stand for changes by one unit of the orbit.
        begin = np.concatenate([state, np.diag(unit).ravel()])
        scale = np.concatenate([unit, np.repeat(unit, size)])
        end = _integrate(self.flow, begin, period, scale, rate).y[:, -1]
        return end[:size], end[size:].reshape(size, size) / unit[:, None]

    def checked(self, state: np.ndarray, period: float, rows: int) -> LimitCycle:
        """Return the cycle, if it is one."""
        path = _integrate(self.flow, state, period, self.unit)
        wide = np.ptp(path.y, axis=1)
        if np.all(wide < SMALL * self.unit):
            raise CapabilityError(f"Newton's method came to the fixed point at {_named(self.flow, state)}.")
        orbit = _Orbit(self.flow, wide, self.size)
        times, away = orbit.returns(path)
        shorter = times[(away < 1e-4) & (times < 0.99 * period)]
        if len(shorter):  # the period was a multiple
            return orbit.checked(*orbit.solved(state, float(shorter[0])), rows)
        gap = orbit.gap(state, period)
        along, others = orbit.multipliers(state, period)
        if not gap < CLOSED * max(1.0, float(np.abs(others).max(initial=0.0))) or not abs(along - 1) < ALONG:
            raise CapabilityError(
                f"what Newton's method found is no solution: after its period of {period:.6g} another solver misses the"
                f" start by {gap:.1g} of the size of the orbit, and the multiplier along it is {along:.6g}, not 1."
            )
        if np.any(np.abs(others - 1) < ISOLATED):
            raise CapabilityError(
                f"a closed orbit of period {period:.6g} is one of a family (a second Floquet multiplier is 1), and no"
                " limit cycle: the model keeps a quantity that its start decides, or is at a fold of cycles."
            )
        if np.any(np.abs(others) > 1):
            warn(
                f"limit_cycle: the cycle of period {period:.6g} is unstable, so the trajectory does not settle on it.",
                RuntimeWarning,
            )  # fmt: skip
        values = np.append(others, along)
        time = np.linspace(0.0, period, rows)
        return LimitCycle(
            self.flow.names, float(period), time, path.sol(time).T, values[np.argsort(-np.abs(values))], gap
        )

    def gap(self, state: np.ndarray, period: float) -> float:
        """Return how far from its start another solver ends after a period."""
        from scipy.integrate import solve_ivp

        slopes: Any = lambda t, y: self.flow.jacobian(y)  # noqa: E731
        done = solve_ivp(
            lambda t, y: self.flow.rate(y), (0.0, period), state, "Radau", rtol=1e-7, atol=1e-9 * self.unit, jac=slopes
        )
        return self.length(done.y[:, -1] - state) if done.success else np.inf

    def multipliers(self, state: np.ndarray, period: float) -> tuple[float, np.ndarray]:
        """Return the multiplier along the flow, and those of all directions across.

        They are taken apart in a basis with the flow as its first direction: where another multiplier is 1 too, the
        eigenvalues of the whole matrix have only half of its digits.
        """
        _, monodromy = self.shoot(state, period)
        along = self.flow.rate(state) / self.unit
        basis = np.linalg.qr(np.column_stack([along, np.eye(len(state))]))[0]
        turned = basis.T @ monodromy @ basis
        return float(turned[0, 0]), np.linalg.eigvals(turned[1:, 1:]).astype(complex)
