"""Where a model rests or nearly rests, and whether it comes back there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import REST, Flow, eigenvalues, growing
from recurra.engine.interrupts import interruptible
from recurra.errors import OptionError, ShapeError

if TYPE_CHECKING:
    import pandas

SEARCH: dict[str, Any] = {"x_scale": "jac", "xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14, "max_nfev": 400}


@dataclass(frozen=True, eq=False)
class Points:
    """Hold points at which a model does not move, or moves slowly.

    Arguments:
        names: path of each state, with `[i]` for a unit.
        values: `(points, states)`.
        speed: length of dy/dt at each, `(points,)`.
        eigenvalues: of the linearised dynamics, `(points, states)` complex, the largest real part first.
        doubt: how far the real part of each eigenvalue may be off, `(points, states)`. It is rounding error but where
            the linearised dynamics are singular, at a fold or a pitchfork.
        fixed: which points rest, `(points,)`; the others are slow ones.
        starts: how many searches there were.
        missed: how many of them came to no point.

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> found = fixed_points(vdp, [[0.5, 0.5]])
    >>> found
    Points(1 fixed: 1 unstable focus; from 1 start)
    >>> found.names, found.kinds, found.stable.tolist()
    (['p/vdp_op/x', 'p/vdp_op/z'], ['unstable focus'], [False])
    >>> found.eigenvalues.round(3).tolist()  # (1 +- i sqrt(3)) / 2
    [[(0.5+0.866j), (0.5-0.866j)]]
    """

    names: list[str]
    values: np.ndarray
    speed: np.ndarray
    eigenvalues: np.ndarray
    doubt: np.ndarray
    fixed: np.ndarray
    starts: int
    missed: int

    @property
    def stable(self) -> np.ndarray:
        """Say of each point whether all eigenvalues have a negative real part for certain."""
        grow, unsure = growing(self.eigenvalues, self.doubt)
        return np.logical_not((grow | unsure).any(axis=1))

    @property
    def kinds(self) -> list[str]:
        """Name each point: stable or unstable node or focus, saddle, or non-hyperbolic: the linear part cannot tell."""
        grow, unsure = growing(self.eigenvalues, self.doubt)
        return [_kind(*each) for each in zip(self.eigenvalues, grow, unsure, strict=True)]

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        kinds = Counter(kind for kind, fixed in zip(self.kinds, self.fixed, strict=True) if fixed)
        text = f"{int(self.fixed.sum())} fixed" + (": " if kinds else "")
        text += ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        slow = len(self) - int(self.fixed.sum())
        text += f"; {slow} slow, speed up to {self.speed.max():.2g}" if slow else ""
        text += f"; from {self.starts} start{'s' if self.starts > 1 else ''}"
        return f"Points({text}, {self.missed} of which came to none)" if self.missed else f"Points({text})"

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a table with a row for each point: its states, speed, kind and leading eigenvalue."""
        import pandas

        table = pandas.DataFrame(self.values, columns=self.names)
        table["speed"], table["kind"] = self.speed, self.kinds
        table["leading_eigenvalue"] = self.eigenvalues[:, 0]
        return table


def _kind(values: np.ndarray, grow: np.ndarray, unsure: np.ndarray) -> str:
    if unsure.any():
        return "non-hyperbolic"
    if grow.any() and not grow.all():
        return "saddle"
    turns = "focus" if values.size and abs(values[0].imag) > 0 else "node"
    return f"{'unstable' if grow.any() else 'stable'} {turns}"


def fixed_points(
    model: Any,
    starts: ArrayLike | int = 50,
    *,
    inputs: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    scale: float = 1.0,
    slow: float = 0.0,
    apart: float = 1e-4,
    seed: int = 0,
) -> Points:
    """Find where a model rests, from many starts, by root searches and by minimising the speed.

    A point is returned where Newton's method confirms it, in the model's own units. Random starts may miss points:
    the result says how many starts came to none, and no search tells that there are no others.
    With `slow` also minima of half the squared speed are kept, the slow points of Sussillo & Barak (2013).

    Arguments:
        model: a Network, a circuit, a rate network, a Program: anything that is one ordinary differential equation.
        starts: `(starts, states)`, such as states of a trajectory, or how many to draw around the initial state.
        inputs: path -> constant value.
        params: path -> value, for those that differ from the model's.
        scale: standard deviation of the starts that are drawn.
        slow: the highest speed of a slow point; 0 for fixed points only.
        apart: points nearer than this part of the size of every state are one.
        seed: of the starts.

    Returns:
        The points, the slowest first, those of equal speed in the order of their states.

    Raises:
        CapabilityError: the network has ring-buffer delays, rules, thresholds or complex states, or depends on time.
        ShapeError: starts of another size.
        OptionError: `slow` is no speed.

    >>> found = fixed_points(
    ...     __import__("recurra").CircuitTemplate.from_yaml("model_templates.neural_mass_models.qif.qif"),
    ...     [[0.08, -2.0], [0.5, -0.3], [1.0, -0.2]])
    >>> found.kinds
    ['stable node', 'saddle', 'stable focus']
    """
    flow = Flow(model, inputs, params)
    if isinstance(starts, int | np.integer):
        count, spread = positive(starts, "starts", 1), positive(scale, "scale")
        draws = np.random.default_rng(seed).normal(scale=spread, size=(count, len(flow.start)))
        begin = np.concatenate([flow.start[None], (flow.start + draws)[1:]])
    else:
        begin = np.atleast_2d(np.asarray(starts, float))
        if begin.ndim != 2 or begin.shape[1] != len(flow.start) or not np.isfinite(begin).all():
            raise ShapeError(
                f"starts: got shape {begin.shape}, expected finite numbers (starts, {len(flow.start)}):"
                f" {', '.join(flow.names[:6])}."
            )
    if slow < 0 or not np.isfinite(slow):
        raise OptionError(f"slow: expected a speed >= 0, got {slow!r}.")
    apart, scale_of = positive(apart, "apart"), flow.scale(begin)
    ends = [_ends(flow, start, scale_of, slow) for start in begin]
    flat = [end for each in ends for end in each]
    # Of those that are one point, the slowest stands for all.
    flat.sort(key=lambda end: (not end[0], end[1]))
    kept: list[tuple[bool, float, np.ndarray]] = []
    # Nearer than the precision in which a state rests, points are never told apart.
    limit = apart * np.abs([y for *_, y in flat]).max(axis=0) + REST * scale_of if flat else scale_of
    for end in flat:
        if not any(np.all(np.abs(end[2] - other) < limit) for *_, other in kept):
            kept.append(end)
    kept.sort(key=lambda end: (not end[0], 0.0 if end[0] else end[1], tuple(end[2])))
    states = np.array([y for *_, y in kept]).reshape(-1, len(flow.start))
    values, doubt = _linear(flow, states, begin)
    return Points(
        flow.names, states, np.array([speed for _, speed, _ in kept]), values, doubt,
        np.array([fixed for fixed, *_ in kept], bool), len(begin), sum(not each for each in ends),
    )  # fmt: skip


def _linear(flow: Flow, states: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues at points, and how far they may be off.

    Where the Jacobian is singular a point is known poorly: Newton's method stops half of the way to a double root, a
    third of the way to a triple one, or where rounding hides what is left. So the eigenvalues are looked at on both
    sides, farther away than the point can be: those that are 0 at the point change, all others stay.
    """
    values = np.zeros(states.shape, complex)
    # What is exactly singular at a point still has the rounding errors of the terms that cancel there.
    sizes = np.nan_to_num([np.linalg.norm(flow.jacobian(y)) for y in begin[:20]])
    doubt = np.full(states.shape, 1e-14 * np.median(sizes))
    for i, y in enumerate(states):
        values[i] = eigenvalues(flow.jacobian(y))
        for side in (4 * flow.newton(y), 4 * flow.blur(y), -4 * flow.blur(y)):
            doubt[i] = np.maximum(doubt[i], 2 * np.abs(eigenvalues(flow.jacobian(y + side)) - values[i]))
    return values, doubt


def _ends(flow: Flow, start: np.ndarray, scale: np.ndarray, slow: float) -> list[tuple[bool, float, np.ndarray]]:
    """Return the fixed and slow points at which searches end: whether each is fixed, its speed, and itself."""
    found = []
    for point, minimum in _settle(flow, start):
        speed, fixed = float(np.linalg.norm(flow.rate(point))), flow.rests(point, scale)
        if fixed or (minimum and speed <= slow):
            found.append((fixed, speed, point))
    return found


@interruptible()
def _settle(flow: Flow, start: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """Return where two searches end that may find different points: a root search, and a minimum of the speed.

    With each comes whether it is a minimum: where a search gives up is no slow point.
    """
    from scipy.optimize import least_squares, root

    if not np.isfinite(flow.rate(start)).all():
        return []

    def rate(y: np.ndarray) -> np.ndarray:
        return np.nan_to_num(flow.rate(y), nan=1e100, posinf=1e100, neginf=-1e100)

    def slopes(y: np.ndarray) -> Any:
        return np.nan_to_num(flow.jacobian(y))

    derivative: Any = slopes
    rest = root(rate, start, jac=slopes, tol=1e-13).x
    # "trf" survives a step to where the right-hand side is not finite by making it smaller; "lm" does not.
    low = least_squares(rate, start, derivative, **SEARCH)
    return [(flow.polish(rest), False), (flow.polish(low.x), low.status > 0)]


def jacobian(
    model: Any,
    at: ArrayLike | Mapping[str, float] | None = None,
    *,
    inputs: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
) -> pandas.DataFrame:
    """Return the derivative of dy/dt by y at a state, as a labelled table.

    Arguments:
        model, inputs, params: as for :func:`fixed_points`.
        at: `(states,)`, or name -> number on top of the initial state, which is taken if `None`.

    Returns:
        A table, `(states, states)`: row i is d(dy_i/dt), column j is by y_j.

    Raises:
        CapabilityError: the network has ring-buffer delays, rules or complex states.
        ShapeError: a state of another size.

    >>> from recurra import CircuitTemplate
    >>> jacobian(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp"), [0.0, 0.0]).to_numpy()
    array([[ 0.,  1.],
           [-1.,  1.]])
    """
    import pandas

    flow = Flow(model, inputs, params)
    return pandas.DataFrame(flow.jacobian(flow.point(at, "at")), index=flow.names, columns=flow.names)
