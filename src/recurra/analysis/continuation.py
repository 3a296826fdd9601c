"""Follow a resting state while a parameter changes, through folds, and find where stability is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import SINGULAR, Flow, eigenvalues, growing
from recurra.courtesy import brief, warn
from recurra.engine.interrupts import interruptible
from recurra.errors import CapabilityError, OptionError

if TYPE_CHECKING:
    import pandas

NEWTON_STEPS, TIGHT = 12, 1e-10
SMALLEST = 1e-9  # part of the longest step below which a branch is given up
FINEST = 1 / 64  # part of the longest step down to which the neighbourhood of a crossing is looked at
STRAIGHT = 0.98  # cosine of the angle between neighbouring tangents above which a bend is gentle
ISOLATED = 1e-11  # part of the longest step to which a crossing is halved
TOGETHER = 1e-9  # part of the longest step within which crossings are one
ZERO = 1e-6  # part of the largest eigenvalue that is 0 at a crossing


@dataclass(frozen=True)
class Bifurcation:
    """Hold a place where stability changes.

    Arguments:
        kind: `"fold"`, `"Hopf"` or `"branch point"`.
        value: of the parameter.
        state: `(states,)`.
        frequency: angular frequency of the oscillation that begins at a Hopf point, 0 elsewhere.
        change: by how much the number of unstable eigenvalues rises there along the branch, or falls.
        multiplicity: how many real eigenvalues, or pairs of equal frequency, cross together.

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
    change: int = 0
    multiplicity: int = 1

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
        ended: why the branch ends where it does: it reached an end of the span, or it could not be followed on.
        complete: whether it reached an end of the span.
        unresolved: intervals `(from, to, change)` of the parameter along the branch in which the number of unstable
            eigenvalues changes by so much more than its bifurcations account for: it jumps, or crossings could not be
            told apart. Empty if all is accounted for.

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
    ended: str
    complete: bool
    unresolved: list[tuple[float, float, int]]

    @property
    def unstable(self) -> np.ndarray:
        """Return the number of eigenvalues with a positive real part at each point, `(points,)`."""
        return growing(self.eigenvalues)[0].sum(axis=1)

    @property
    def stable(self) -> np.ndarray:
        """Say of each point whether all eigenvalues have a negative real part for certain."""
        grow, unsure = growing(self.eigenvalues)
        return np.logical_not((grow | unsure).any(axis=1))

    def __repr__(self) -> str:
        met = ", ".join(
            f"{b.kind} at {b.value:.6g}" + (f" ({b.multiplicity} together)" if b.multiplicity > 1 else "")
            for b in self.bifurcations
        )
        text = f"{self.parameter} from {self.values[0]:.4g} to {self.values[-1]:.4g}: {met or 'no bifurcation'}"
        missing = "".join(f"; unresolved between {low:.6g} and {high:.6g}" for low, high, _ in self.unresolved)
        return f"Branch({text}{missing}; {self.ended})"

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

    Folds are where the parameter turns back, Hopf points where complex pairs of eigenvalues cross the imaginary
    axis, branch points where another branch crosses, as at a pitchfork. Where the number of unstable eigenvalues
    changes, or comes near to changing, steps become small, and each crossing is found by halving to about ten digits.
    Every change is accounted for: what could not be isolated is in `unresolved`, why the branch ends is in `ended`, and
    a warning is given where it ends elsewhere than at an end of the span.

    Arguments:
        model, inputs, params: as for :func:`recurra.analysis.fixed_points`.
        parameter: path of one number: a parameter, an input's default, a weight between single units; or of one that
            all units of a node, or of `all` nodes, have in common.
        span: where to begin and where to end; the branch ends when it leaves this range on either side.
        start: where to look for the first resting state; the initial state if `None`.
        step: the longest step, in units of the parameter; 0.01 of the range if `None`. The size that each state has
            had counts as much as the whole range of the parameter.
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
    longest = 0.01 if step is None else positive(step, "step") / abs(high - low)
    most = positive(most, "most", 2)
    curve = _Curve(flow, low, high)
    first = curve.settle(flow.point(start), low)
    points, met, left, ended = _follow(curve, first, longest, most)
    complete = not ended.startswith("stopped")
    states = np.array([p[:-1] for p in points])
    values = np.array([curve.eigenvalues(p) for p in points])
    branch = Branch(
        parameter, flow.names, np.array([curve.value(p) for p in points]), states, values, met, ended, complete, left
    )
    if not complete or left:
        warn(f"continuation: {branch!r}", RuntimeWarning)
    return branch


def _follow(
    curve: _Curve, first: np.ndarray, longest: float, most: int
) -> tuple[list[np.ndarray], list[Bifurcation], list[tuple[float, float, int]], str]:
    """Return points, bifurcations, what is unresolved, and why the branch ends."""
    points, size = [first], longest / 4
    tangent = curve.tangent(first, np.append(np.zeros(len(first) - 1), 1.0))
    met, left = list[Bifurcation](), list[tuple[float, float, int]]()
    while len(points) < most:
        curve.grow(points[-1])
        tangent = curve.unit(tangent)
        piece = curve.piece(points[-1], tangent, size)
        if piece is None or (size > FINEST * longest and piece.hides()):
            size /= 2
            if size < SMALLEST * longest:
                why = "the branch cannot be followed with any step: there is a kink, or resting states are not isolated"
                return points, met, left, f"stopped at {curve.value(points[-1]):.6g}: {why}"
            continue
        outside = not -1e-12 <= piece.end[-1] <= 1 + 1e-12
        if outside or abs(piece.end[-1] - round(piece.end[-1])) < 1e-12:
            border = float(piece.end[-1] > 0.5)
            piece = piece.until(border)
            if piece is not None:
                found, missing = piece.bifurcations(longest)
                at = curve.value(piece.end)
                where = "the end of the span" if border else "the end of the span at which it began"
                why = f"reached {where}, {at:.6g}"
                if growing(curve.eigenvalues(piece.end))[1].any():
                    why += ", with an eigenvalue on the imaginary axis"
                return [*points, piece.end], met + found, left + missing, why
            return points, met, left, f"stopped at {curve.value(points[-1]):.6g}: it could not be followed to the end"
        found, missing = piece.bifurcations(longest)
        met, left = met + found, left + missing
        points.append(piece.end)
        tangent, size = piece.turned, min(size * 1.5, longest)
    return points, met, left, f"stopped at {curve.value(points[-1]):.6g}: after most={most} points"


class _Curve:
    """Hold the curve of resting states.

    A point is the states and, last, the parameter, which is 0 at the start of the span and 1 at its end. Lengths and
    angles are taken in units of the largest size that each state has had so far, so that no model's units matter.
    """

    def __init__(self, flow: Flow, low: float, high: float):
        self.flow, self.low, self.high, self.wide = flow, low, high, high - low
        self.size = np.ones(len(flow.start))

    def value(self, point: np.ndarray) -> float:
        # The end of the span is met exactly, not but for rounding.
        return float(self.high if point[-1] == 1 else self.low + self.wide * point[-1])

    @property
    def scale(self) -> np.ndarray:
        return np.append(self.size, 1.0)

    def grow(self, point: np.ndarray) -> None:
        """Take the size of a point's states into account."""
        self.size = np.maximum(self.size, np.abs(point[:-1]))

    def unit(self, tangent: np.ndarray) -> np.ndarray:
        """Return a tangent with length 1 in units of the sizes."""
        return tangent / np.linalg.norm(tangent / self.scale)

    def rate(self, point: np.ndarray) -> np.ndarray:
        return self.flow.rate(point[:-1], self.value(point))

    def jacobian(self, point: np.ndarray) -> np.ndarray:
        return self.flow.jacobian(point[:-1], self.value(point))

    def matrix(self, point: np.ndarray) -> np.ndarray:
        """Return the derivative of dy/dt by states and parameter, in units of the sizes; rows have length 1."""
        slope = self.flow.slope(point[:-1], self.value(point)) * self.wide
        full = np.column_stack([self.jacobian(point) * self.size, slope])
        lengths = np.linalg.norm(full, axis=1, keepdims=True)
        return full / np.where(lengths > 0, lengths, 1.0) if np.isfinite(full).all() else full

    def eigenvalues(self, point: np.ndarray) -> np.ndarray:
        return eigenvalues(self.jacobian(point))

    def settle(self, state: np.ndarray, value: float) -> np.ndarray:
        """Return the resting state near a state."""
        from scipy.optimize import root

        found = root(
            lambda y: self.flow.rate(y, value), state, jac=lambda y: self.flow.jacobian(y, value), tol=1e-13
        ).x
        found = self.flow.polish(found, value)
        self.size = self.flow.scale([found])
        if not self.flow.rests(found, self.flow.scale([state, found]), value):
            raise CapabilityError(
                f"no resting state was found near the start at {self.flow.parameter} = {value:g} (the speed stays"
                f" {np.linalg.norm(self.flow.rate(found, value)):.3g}): give start=, for instance a row of"
                " fixed_points(...).values."
            )
        return np.append(found, 0.0)

    def tangent(self, point: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Return the unit vector along the curve that goes on in the former direction."""
        *_, rows = np.linalg.svd(self.matrix(point))
        along = rows[-1] * self.scale
        return along if self.cosine(along, before) >= 0 else -along

    def cosine(self, one: np.ndarray, other: np.ndarray) -> float:
        """Return the cosine of the angle between two unit tangents, in units of the sizes."""
        return float((one / self.scale) @ (other / self.scale))

    @interruptible()
    def advance(self, point: np.ndarray, tangent: np.ndarray, size: float) -> np.ndarray | None:
        """Return the point of the curve at a distance, by Newton steps; `None` if they do not come together."""
        guess, along = point + size * tangent, tangent / self.scale
        for _ in range(NEWTON_STEPS):
            rate, slope = self.rate(guess), self.flow.slope(guess[:-1], self.value(guess)) * self.wide
            full = np.column_stack([self.jacobian(guess) * self.size, slope])
            if not (np.isfinite(rate).all() and np.isfinite(full).all()):
                return None
            lengths = np.linalg.norm(full, axis=1)
            lengths[lengths == 0] = 1.0
            wrong = np.append(rate / lengths, along @ ((guess - point) / self.scale) - size)
            # The shortest step, for right at a branch point the matrix is singular.
            change = np.linalg.lstsq(np.vstack([full / lengths[:, None], along]), wrong, rcond=SINGULAR)[0]
            guess = guess - change * self.scale
            if np.abs(change).max() < TIGHT * max(size, 1e-6):
                far = np.linalg.norm((guess - point) / self.scale)
                return guess if far < 1.5 * size else None
        return None

    def orientation(self, point: np.ndarray, tangent: np.ndarray) -> float:
        """Return the sign of the determinant of the bordered matrix, which changes where another branch crosses."""
        return float(np.linalg.slogdet(np.vstack([self.matrix(point), tangent / self.scale]))[0])

    def piece(self, point: np.ndarray, tangent: np.ndarray, size: float) -> _Piece | None:
        """Return the piece of the curve up to a distance; `None` if it cannot be followed, or bends too much."""
        end = self.advance(point, tangent, size)
        if end is None:
            return None
        turned = self.tangent(end, tangent)
        return _Piece(self, point, tangent, size, end, turned) if self.cosine(tangent, turned) >= STRAIGHT else None


class _Piece:
    """Hold a piece of a curve, and find what happens on it."""

    def __init__(
        self, curve: _Curve, begin: np.ndarray, tangent: np.ndarray, size: float, end: np.ndarray, turned: np.ndarray
    ):
        self.curve, self.begin, self.tangent, self.size = curve, begin, tangent, size
        self.end, self.turned = end, turned
        self.known = {0.0: begin, size: end}
        self.spectra: dict[float, np.ndarray] = {}
        self.found: dict[float, tuple[int, float]] = {}

    def at(self, length: float) -> np.ndarray | None:
        """Return the point at a distance from the beginning."""
        if length not in self.known:
            found = self.curve.advance(self.begin, self.tangent, length)
            if found is None:
                return None
            self.known[length] = found
        return self.known[length]

    def spectrum(self, length: float) -> np.ndarray | None:
        if length not in self.spectra:
            point = self.at(length)
            if point is None:
                return None
            self.spectra[length] = self.curve.eigenvalues(point)
        return self.spectra[length]

    def signs(self, length: float) -> tuple[int, float] | None:
        """Return the number of unstable eigenvalues, and the orientation, at a distance from the beginning."""
        if length not in self.found:
            point, values = self.at(length), self.spectrum(length)
            if point is None or values is None:
                return None
            tangent = self.tangent if length == 0 else self.curve.tangent(point, self.tangent)
            self.found[length] = int(growing(values)[0].sum()), self.curve.orientation(point, tangent)
        return self.found[length]

    def hides(self) -> bool:
        """Say whether eigenvalues come near to the imaginary axis, or move across it, faster than the step resolves."""
        before, after = self.spectrum(0.0), self.spectrum(self.size)
        if before is None or after is None:
            return True
        old, new = np.sort(np.real(before)), np.sort(np.real(after))
        limit = 1e-10 * max(np.abs(before).max(initial=0.0), np.abs(after).max(initial=0.0))
        moves = np.abs(new - old)
        return bool(np.any((np.minimum(np.abs(old), np.abs(new)) < 2 * moves) & (moves > limit)))

    def until(self, border: float) -> _Piece | None:
        """Return the piece up to where the parameter is at an end of the span."""
        share = (border - self.begin[-1]) / (self.end[-1] - self.begin[-1])
        guess = self.begin + share * (self.end - self.begin)
        value = self.curve.high if border else self.curve.low
        end = np.append(self.curve.flow.polish(guess[:-1], value), border)
        length = self.curve.cosine(end - self.begin, self.tangent)
        near = np.linalg.norm((end - guess) / self.curve.scale) <= self.size
        if not (0 < length < 2 * self.size and near and self.curve.flow.rests(end[:-1], self.curve.size, value)):
            return None
        return _Piece(self.curve, self.begin, self.tangent, length, end, self.curve.tangent(end, self.tangent))

    def bifurcations(self, longest: float) -> tuple[list[Bifurcation], list[tuple[float, float, int]]]:
        """Return what happens on the piece, and where something happens that could not be isolated."""
        found, missing = list[Bifurcation](), list[tuple[float, float, int]]()
        for low, high in self._brackets(0.0, self.size, longest):
            events = self._events(low, high)
            one, other = self.signs(low), self.signs(high)
            points = [self.at(low), self.at(high)]
            values = [self.curve.value(p) if p is not None else np.nan for p in points]
            change = other[0] - one[0] if one and other else 0
            rest = change - sum(e.change for e in events)
            found += events
            if rest or not (one and other):
                missing.append((values[0], values[1], rest))
        return found, missing

    def _brackets(self, low: float, high: float, longest: float) -> list[tuple[float, float]]:
        """Return the smallest intervals over which the signs change."""
        stack, found, least = [(low, high)], list[tuple[float, float]](), ISOLATED * longest
        while stack:
            one, other = stack.pop()
            before, after = self.signs(one), self.signs(other)
            middle = (one + other) / 2
            if before is None or after is None:
                found.append((one, other))
            elif before == after:
                # Where a step could be the longest one, no eigenvalue is near to the axis.
                look = self.size < longest and other - one > 1e-3 * self.size
                dip = self._dip(one, other, before) if look else None
                if dip is not None:
                    stack += [(dip, other), (one, dip)]
            elif other - one <= max(least, 4 * np.spacing(other)) or self.signs(middle) is None:
                found.append((one, other))
            else:
                stack += [(middle, other), (one, middle)]
        joined = found[:1]
        for one, other in found[1:]:  # rounding may put what happens together side by side
            near = one - joined[-1][1] <= TOGETHER * longest
            joined[-1:] = [(joined[-1][0], other)] if near else [joined[-1], (one, other)]
        return joined

    def _dip(self, low: float, high: float, signs: tuple[int, float]) -> float | None:
        """Return where between two places of equal signs the signs differ, if an eigenvalue comes near to the axis."""
        from scipy.optimize import minimize_scalar

        ends = self.spectrum(low), self.spectrum(high)
        if ends[0] is None or ends[1] is None:
            return None
        old, new = np.sort(np.real(ends[0])), np.sort(np.real(ends[1]))
        near = np.flatnonzero(np.minimum(np.abs(old), np.abs(new)) < 2 * np.abs(new - old))
        middle = self.spectrum((low + high) / 2)
        if middle is None:
            return None
        bent = np.abs(np.sort(np.real(middle)) - (old + new) / 2)
        near = np.union1d(near, np.flatnonzero(np.minimum(np.abs(old), np.abs(new)) < 4 * bent)).tolist()
        limit = 1e-10 * np.abs(middle).max(initial=0.0)
        for which in near:
            if max(abs(old[which]), abs(new[which])) <= limit:
                continue

            def distance(length: float, which: int = which) -> float:
                values = self.spectrum(float(length))
                return np.inf if values is None else abs(float(np.sort(np.real(values))[which]))

            best: Any = minimize_scalar(distance, bounds=(low, high), method="bounded", options={"maxiter": 30})
            tried = [length for length in self.spectra if low < length < high]
            for length in [float(best.x), *tried]:
                found = self.signs(length)
                if found is not None and found != signs:
                    return length
        return None

    def _events(self, low: float, high: float) -> list[Bifurcation]:
        """Return the bifurcations between two places that are next to each other."""
        before, after = self.signs(low), self.signs(high)
        point, values = self.at(high), self.spectrum(high)
        if before is None or after is None or point is None or values is None:
            return []
        value, state, change = self.curve.value(point), point[:-1], after[0] - before[0]
        # Where there is one eigenvalue its size at the crossing says nothing; that at the ends of the piece does.
        limit = ZERO * max(np.abs(self.spectra[each]).max(initial=0.0) for each in (0.0, self.size))
        nearest = values[np.argsort(np.abs(np.real(values)))][: abs(change)]
        crossing = nearest[np.abs(np.real(nearest)) <= limit]
        sign = int(np.sign(change))
        real = int(np.sum(np.abs(np.imag(crossing)) <= limit))
        found = []
        if before[1] != after[1] or real > 1:
            found.append(Bifurcation("branch point", value, state, 0.0, sign * real, max(real, 1)))
        elif real == 1:
            found.append(Bifurcation("fold", value, state, 0.0, sign))
        turning = np.sort(np.imag(crossing[np.imag(crossing) > limit]))
        while len(turning):
            together = np.abs(turning - turning[0]) <= 1e-6 * turning[0]
            count = int(together.sum())
            found.append(Bifurcation("Hopf", value, state, float(turning[0]), 2 * sign * count, count))
            turning = turning[~together]
        return found
