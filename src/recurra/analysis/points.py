"""Where a model rests or nearly rests, and whether it comes back there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import Flow, eigenvalues
from recurra.engine.interrupts import interruptible
from recurra.errors import OptionError, ShapeError

if TYPE_CHECKING:
    import pandas

REST = 1e-8
SEARCH: dict[str, Any] = {"x_scale": "jac", "xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14, "max_nfev": 400}


@dataclass(frozen=True, eq=False)
class Points:
    """Hold points at which a model does not move, or moves slowly.

    Arguments:
        names: path of each state, with `[i]` for a unit.
        values: `(points, states)`.
        speed: length of dy/dt at each, `(points,)`.
        eigenvalues: of the linearised dynamics, `(points, states)` complex, the largest real part first.

    >>> from recurra import CircuitTemplate
    >>> vdp = CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp")
    >>> found = fixed_points(vdp, [[0.5, 0.5]])
    >>> found.names, found.kinds, found.stable.tolist()
    (['p/vdp_op/x', 'p/vdp_op/z'], ['unstable focus'], [False])
    >>> found.eigenvalues.round(3).tolist()  # (1 +- i sqrt(3)) / 2
    [[(0.5+0.866j), (0.5-0.866j)]]
    """

    names: list[str]
    values: np.ndarray
    speed: np.ndarray
    eigenvalues: np.ndarray

    @property
    def stable(self) -> np.ndarray:
        """Say of each point whether all eigenvalues have a negative real part."""
        return np.real(self.eigenvalues[:, 0]) < 0

    @property
    def kinds(self) -> list[str]:
        """Name each point: stable or unstable node or focus, saddle, or non-hyperbolic."""
        return [_kind(values) for values in self.eigenvalues]

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Points({len(self)}, {int(self.stable.sum())} stable, speed up to {self.speed.max(initial=0):.2g})"

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a table with a row for each point: its states, speed, kind and leading eigenvalue."""
        import pandas

        table = pandas.DataFrame(self.values, columns=self.names)
        table["speed"], table["kind"] = self.speed, self.kinds
        table["leading_eigenvalue"] = self.eigenvalues[:, 0]
        return table


def _kind(values: np.ndarray) -> str:
    parts = np.real(values)
    growing = parts > 0
    if np.any(np.abs(parts) <= 1e-12 * max(1.0, float(np.abs(values).max()))):
        return "non-hyperbolic"
    if growing.any() and not growing.all():
        return "saddle"
    turns = "focus" if abs(values[0].imag) > 0 else "node"
    return f"{'unstable' if growing.all() else 'stable'} {turns}"


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

    With `slow` also minima of half the squared speed are kept, the slow points of Sussillo & Barak (2013).

    Arguments:
        model: a Network, a circuit, a rate network, a Program: anything that is one ordinary differential equation.
        starts: `(starts, states)`, such as states of a trajectory, or how many to draw around the initial state.
        inputs: path -> constant value.
        params: path -> value, for those that differ from the model's.
        scale: standard deviation of the starts that are drawn.
        slow: the highest speed of a slow point; 0 for fixed points only.
        apart: points nearer than this (root mean square over states) are one.
        seed: of the starts.

    Returns:
        The points, the slowest first, those of equal speed in the order of their states.

    Raises:
        CapabilityError: the network has ring-buffer delays, rules or complex states.
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
    found: list[tuple[float, np.ndarray]] = []
    for start in begin:
        # Where a root search gives up is no slow point.
        for point, limit in zip(_settle(flow, start), (REST, max(slow, REST)), strict=False):
            speed = float(np.linalg.norm(flow.rate(point)))
            distance = [np.sqrt(np.mean((point - other) ** 2)) for _, other in found]
            if speed <= limit and (not distance or min(distance) >= apart):
                found.append((speed, point))
    found.sort(key=lambda pair: (pair[0] > REST, pair[0] if pair[0] > REST else 0.0, tuple(pair[1])))
    size = len(flow.start)
    return Points(
        flow.names,
        np.array([y for _, y in found]).reshape(-1, size),
        np.array([speed for speed, _ in found]),
        np.array([eigenvalues(flow.jacobian(y)) for _, y in found], complex).reshape(-1, size),
    )


@interruptible()
def _settle(flow: Flow, start: np.ndarray) -> list[np.ndarray]:
    """Return where two searches end that may find different points: a root search, and a minimum of the speed."""
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
    slow = least_squares(rate, start, derivative, **SEARCH).x
    return [_polish(flow, rest), _polish(flow, slow)]


def _polish(flow: Flow, point: np.ndarray) -> np.ndarray:
    """Make a few Newton steps, which leave the speed at rounding error."""
    for _ in range(3):
        try:
            closer = point - np.linalg.solve(flow.jacobian(point), flow.rate(point))
        except np.linalg.LinAlgError:
            break
        if not np.linalg.norm(flow.rate(closer)) < 0.5 * np.linalg.norm(flow.rate(point)):
            break
        point = closer
    return point


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
