"""Follow a resting state while a parameter changes, through folds, and find where stability is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import Flow, eigenvalues
from recurra.courtesy import brief
from recurra.engine.interrupts import interruptible
from recurra.errors import CapabilityError, OptionError

if TYPE_CHECKING:
    import pandas

NEWTON_STEPS, TIGHT = 12, 1e-10
SMALLEST = 1e-7  # part of the asked step below which a branch is given up


@dataclass(frozen=True)
class Bifurcation:
    """Hold a place where stability changes.

    Arguments:
        kind: `"fold"`, `"Hopf"` or `"branch point"`.
        value: of the parameter.
        state: `(states,)`.
        frequency: angular frequency of the oscillation that begins at a Hopf point, 0 elsewhere.

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> hopf, = continuation(vdp, "p/vdp_op/mu", (-1.0, 1.0)).bifurcations
    >>> hopf.kind, round(abs(hopf.value), 5), round(hopf.frequency, 5)  # Van der Pol's oscillation begins at mu = 0
    ('Hopf', 0.0, 1.0)
    """

    kind: str
    value: float
    state: np.ndarray
    frequency: float = 0.0

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Branch:
    """Hold resting states along a parameter.

    Arguments:
        parameter: its path.
        names: path of each state.
        values: of the parameter, `(points,)`.
        states: `(points, states)`.
        eigenvalues: `(points, states)` complex, the largest real part first.
        bifurcations: in the order in which they were met.

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> branch = continuation(vdp, "p/vdp_op/mu", (-1.0, 1.0))
    >>> branch.names, bool(np.all(branch.stable == (branch.values < 0)))
    (['p/vdp_op/x', 'p/vdp_op/z'], True)
    """

    parameter: str
    names: list[str]
    values: np.ndarray
    states: np.ndarray
    eigenvalues: np.ndarray
    bifurcations: list[Bifurcation]

    @property
    def stable(self) -> np.ndarray:
        """Say of each point whether all eigenvalues have a negative real part."""
        return np.real(self.eigenvalues[:, 0]) < 0

    def __repr__(self) -> str:
        met = ", ".join(f"{b.kind} at {b.value:.6g}" for b in self.bifurcations) or "no bifurcation"
        return f"Branch({self.parameter} from {self.values[0]:.4g} to {self.values[-1]:.4g}: {met})"

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a table with a row for each point."""
        import pandas

        table = pandas.DataFrame(self.states, columns=self.names)
        table.insert(0, self.parameter, self.values)
        table["stable"] = self.stable
        return table


def continuation(
    model: Any,
    parameter: str,
    span: tuple[float, float],
    *,
    start: ArrayLike | Mapping[str, float] | None = None,
    inputs: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    step: float | None = None,
    most: int = 2000,
) -> Branch:
    """Follow a resting state along a parameter by pseudo-arclength steps (Keller 1977).

    Folds are where the parameter turns back, Hopf points where a complex pair of eigenvalues crosses the imaginary
    axis, branch points where a real one does without a fold. Each is found to about ten digits by a root search
    along the branch.

    Arguments:
        model, inputs, params: as for :func:`recurra.analysis.fixed_points`.
        parameter: path of one number: a parameter, an input's default, a weight between single units.
        span: where to begin and where to end; the branch ends when it leaves this range on either side.
        start: where to look for the first resting state; the initial state if `None`.
        step: the longest step, as a part of the range of the parameter and of unit lengths of the states; 0.01 of
            the range if `None`.
        most: the most points.

    Returns:
        The branch.

    Raises:
        CapabilityError: no resting state was found near the start, or the model is no real differential equation.
        OptionError: a span of no length.

    >>> from recurra import CircuitTemplate
    >>> branch = continuation(
    ...     CircuitTemplate.from_yaml("model_templates.neural_mass_models.qif.qif"), "p/qif_op/eta", (-10.0, 0.0))
    >>> [(b.kind, round(b.value, 5)) for b in branch.bifurcations]
    [('fold', -3.13613), ('fold', -5.74353)]
    """
    low, high = (float(s) for s in span)
    if low == high or not np.isfinite([low, high]).all():
        raise OptionError(f"span: expected two different finite numbers, got {span!r}.")
    flow = Flow(model, inputs, params, parameter)
    longest = abs(high - low) * 0.01 if step is None else positive(step, "step")
    curve = _Curve(flow)
    first = curve.settle(flow.point(start), low)
    tangent = curve.tangent(first, np.append(np.zeros(len(flow.start)), np.sign(high - low)))
    points, met, size = [first], list[Bifurcation](), longest / 4
    inside = sorted((low, high))
    while len(points) < positive(most, "most", 2):
        new = curve.advance(points[-1], tangent, size)
        if new is None:
            size /= 2
            if size < SMALLEST * longest:
                raise CapabilityError(
                    f"the branch could not be followed beyond {parameter} = {points[-1][-1]:.6g}; there may be a kink."
                    " Try a smaller step=, or another start=."
                )
            continue
        turned = curve.tangent(new, tangent)
        if tangent @ turned < 0.98 and size > longest / 1000:
            size /= 2  # a sharp bend is taken in small steps
            continue
        met += curve.bifurcations(points[-1], tangent, new, turned, size)
        points.append(new)
        tangent, size = turned, min(size * 1.5, longest)
        if not inside[0] <= new[-1] <= inside[1]:
            break
    states = np.array(points)
    values = np.array([curve.eigenvalues(p) for p in points])
    return Branch(parameter, flow.names, states[:, -1], states[:, :-1], values, met)


class _Curve:
    """Hold the curve of resting states; a point is the states and, last, the parameter."""

    def __init__(self, flow: Flow):
        self.flow = flow

    def rate(self, point: np.ndarray) -> np.ndarray:
        return self.flow.rate(point[:-1], point[-1])

    def matrix(self, point: np.ndarray) -> np.ndarray:
        state, value = point[:-1], point[-1]
        return np.column_stack([self.flow.jacobian(state, value), self.flow.slope(state, value)])

    def eigenvalues(self, point: np.ndarray) -> np.ndarray:
        return eigenvalues(self.flow.jacobian(point[:-1], point[-1]))

    def settle(self, state: np.ndarray, value: float) -> np.ndarray:
        """Return the resting state near a state."""
        from scipy.optimize import root

        found = root(
            lambda y: self.flow.rate(y, value), state, jac=lambda y: self.flow.jacobian(y, value), tol=1e-13
        )
        speed = np.linalg.norm(self.flow.rate(found.x, value))
        if not speed < 1e-6:
            raise CapabilityError(
                f"no resting state was found near the start at {self.flow.parameter} = {value:g} (the speed stays"
                f" {speed:.3g}): give start=, for instance a row of fixed_points(...).values."
            )
        return np.append(found.x, value)

    def tangent(self, point: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Return the unit vector along the curve that goes on in the former direction."""
        *_, rows = np.linalg.svd(self.matrix(point))
        along = rows[-1]
        return along if along @ before >= 0 else -along

    @interruptible()
    def advance(self, point: np.ndarray, tangent: np.ndarray, size: float) -> np.ndarray | None:
        """Return the point of the curve at a distance, by Newton steps; `None` if they do not come together."""
        guess = point + size * tangent
        for _ in range(NEWTON_STEPS):
            wrong = np.append(self.rate(guess), tangent @ (guess - point) - size)
            matrix = np.vstack([self.matrix(guess), tangent])
            if not (np.isfinite(wrong).all() and np.isfinite(matrix).all()):
                return None
            try:
                change = np.linalg.solve(matrix, wrong)
            except np.linalg.LinAlgError:
                return None
            guess = guess - change
            if np.linalg.norm(change) < TIGHT * (1 + np.linalg.norm(guess)):
                return guess if np.linalg.norm(guess - point) < 3 * size else None
        return None

    @interruptible()
    def bifurcations(
        self, old: np.ndarray, tangent: np.ndarray, new: np.ndarray, turned: np.ndarray, size: float
    ) -> list[Bifurcation]:
        """Find what happens between two neighbouring points."""
        found = []
        before, after = self.eigenvalues(old), self.eigenvalues(new)
        crossed = int(np.sum(np.real(after) > 0)) - int(np.sum(np.real(before) > 0))
        if tangent[-1] * turned[-1] < 0:
            where = self._root(lambda p: self.tangent(p, tangent)[-1], old, tangent, size)
            found.append(Bifurcation("fold", float(where[-1]), where[:-1]))
        elif abs(crossed) == 1 and self._sign(old) != self._sign(new):
            where = self._root(self._determinant, old, tangent, size)
            found.append(Bifurcation("branch point", float(where[-1]), where[:-1]))
        if abs(crossed) == 2:
            where = self._root(lambda p: self._pair(p).real, old, tangent, size)
            pair = self._pair(where)
            if abs(pair.imag) > 1e-8:
                found.append(Bifurcation("Hopf", float(where[-1]), where[:-1], float(abs(pair.imag))))
        return found

    def _determinant(self, point: np.ndarray) -> float:
        sign, size = np.linalg.slogdet(self.flow.jacobian(point[:-1], point[-1]))
        return float(sign * np.exp(size / max(len(point) - 1, 1)))

    def _sign(self, point: np.ndarray) -> float:
        return np.sign(self._determinant(point))

    def _pair(self, point: np.ndarray) -> complex:
        """Return the complex eigenvalue that is nearest to the imaginary axis; any if all are real."""
        values = self.eigenvalues(point)
        turning = values[np.abs(np.imag(values)) > 1e-8]
        values = turning if len(turning) else values
        return complex(values[np.argmin(np.abs(np.real(values)))])

    def _root(
        self, test: Callable[[np.ndarray], float], old: np.ndarray, tangent: np.ndarray, size: float
    ) -> np.ndarray:
        """Return the point between two neighbours at which a test changes its sign."""
        from scipy.optimize import brentq

        def at(length: float) -> np.ndarray:
            point = self.advance(old, tangent, length) if length > 0 else old
            return old + length * tangent if point is None else point

        ends = float(test(at(0.0))), float(test(at(size)))
        if ends[0] * ends[1] > 0:  # two changes within one step
            return at(size / 2)
        crossing: Any = brentq(lambda s: test(at(s)), 0.0, size, xtol=1e-13 * max(size, 1.0))
        return at(float(crossing))
