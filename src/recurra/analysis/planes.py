"""The flow over two states of a model: arrows and nullclines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from recurra.analysis.checks import positive
from recurra.analysis.flows import Flow
from recurra.courtesy import brief
from recurra.errors import OptionError


@dataclass(frozen=True, eq=False)
class PhasePlane:
    """Hold the flow over a rectangle of two states.

    Arguments:
        names: path of the state along each axis.
        x, y: the grid along each axis, `(columns,)` and `(rows,)`.
        dx, dy: the derivatives of both states, `(rows, columns)`.

    >>> from recurra import CircuitTemplate
    >>> plane = phase_plane(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp"),
    ...     "p/vdp_op/x", "p/vdp_op/z", x_range=(-2, 2), y_range=(-2, 2), points=5)
    >>> plane.dy[2].tolist()  # along z = 0, where dz/dt = -x
    [2.0, 1.0, 0.0, -1.0, -2.0]
    """

    names: tuple[str, str]
    x: np.ndarray
    y: np.ndarray
    dx: np.ndarray
    dy: np.ndarray

    __repr__ = brief

    def nullclines(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the lines on which the first and the second state do not change, each `(points, 2)`."""
        import contourpy

        def lines(values: np.ndarray) -> list[np.ndarray]:
            return list(contourpy.contour_generator(self.x, self.y, values).lines(0.0))  # type: ignore[arg-type]

        return lines(self.dx), lines(self.dy)


def phase_plane(
    model: Any,
    x: str,
    y: str,
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    points: int = 101,
    at: ArrayLike | Mapping[str, float] | None = None,
    inputs: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
) -> PhasePlane:
    """Evaluate the flow over two states, the others held.

    Arguments:
        model, inputs, params: as for :func:`recurra.analysis.fixed_points`.
        x, y: paths of two states.
        x_range, y_range: from and to.
        points: of the grid along each axis.
        at: where the other states are held; the initial state if `None`.

    Returns:
        The plane; :func:`recurra.plotting.plot_phase_plane` draws it.

    Raises:
        PathError: no such state.
        OptionError: a range of no length.

    >>> from recurra import CircuitTemplate
    >>> plane = phase_plane(CircuitTemplate.from_yaml("model_templates.oscillators.vanderpol.vdp"),
    ...     "p/vdp_op/x", "p/vdp_op/z", x_range=(-3, 3), y_range=(-3, 3), points=7)
    >>> plane.dx[:, 0]
    array([-3., -2., -1.,  0.,  1.,  2.,  3.])
    """
    flow, count = Flow(model, inputs, params), positive(points, "points", 2)
    columns, base = (flow.column(x), flow.column(y)), flow.point(at, "at")
    grids = []
    for name, span in (("x_range", x_range), ("y_range", y_range)):
        low, high = (float(s) for s in span)
        if not (np.isfinite([low, high]).all() and low < high):
            raise OptionError(f"{name}: expected two finite numbers, the lower first, got {span!r}.")
        grids.append(np.linspace(low, high, count))
    states = np.broadcast_to(base, (count, count, len(base))).copy()
    states[..., columns[0]], states[..., columns[1]] = np.meshgrid(*grids)
    with jax.enable_x64(True):
        rates = np.asarray(jax.jit(jax.vmap(jax.vmap(flow.traceable())))(states))
    return PhasePlane((x, y), grids[0], grids[1], rates[..., columns[0]], rates[..., columns[1]])
