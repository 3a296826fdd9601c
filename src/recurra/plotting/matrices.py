"""Pictures of matrices: activity over time and units, and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import ShapeError
from recurra.plotting.axes import axes_or_new, matrix, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_heatmap(
    values: Any, time: Any = None, *, label: str = "", xlabel: str = "time", ax: Axes | None = None
) -> Axes:
    """Draw activity as colours: time to the right, one row for each unit.

    Arguments:
        values: array (time, unit).
        time: array (time,) of evenly spaced times; `None` counts rows.
        label: what the colours mean, with the unit.
        xlabel: label of the time axis.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes, with a colour bar beside them.

    Raises:
        ShapeError: `values` is no matrix, or `time` has another length.

    >>> import matplotlib; matplotlib.use("agg")
    >>> plot_heatmap(np.zeros((5, 3))).get_ylabel()
    'unit'
    """
    grid = matrix(values, "heat map")
    rows = np.arange(grid.shape[0]) if time is None else np.asarray(time, dtype=float)
    if rows.shape != (grid.shape[0],):
        raise ShapeError(f"heat map: `time` has shape {rows.shape}, but `values` has {grid.shape[0]} rows.")
    step = (rows[-1] - rows[0]) / (len(rows) - 1) if len(rows) > 1 else 1.0
    ax = axes_or_new(ax, (8.0, 4.0))
    extent = (rows[0] - step / 2, rows[-1] + step / 2, grid.shape[1] - 0.5, -0.5)
    picture = ax.imshow(grid.T, aspect="auto", extent=extent, cmap="viridis", interpolation="nearest")
    ax.set(xlabel=xlabel, ylabel="unit")
    ax.yaxis.set_major_locator(whole_numbers())
    ax.figure.colorbar(picture, ax=ax, label=label)
    return ax


def plot_weights(
    weights: Any, *, label: str = "weight", limit: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a weight matrix, red for positive and blue for negative weights, white for none.

    Arguments:
        weights: array (post, pre).
        label: what the colours mean.
        limit: the weight of the strongest colour; `None` takes the largest absolute weight.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes, with a colour bar beside them.

    Raises:
        ShapeError: `weights` is no matrix.

    >>> import matplotlib; matplotlib.use("agg")
    >>> plot_weights([[0.0, 1.0], [-1.0, 0.0]]).get_xlabel()
    'from unit'
    """
    grid = matrix(weights, "weights")
    if limit is None:
        finite = np.abs(grid[np.isfinite(grid)])
        limit = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    ax = axes_or_new(ax, (5.5, 4.5))
    picture = ax.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xlabel="from unit", ylabel="to unit")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(whole_numbers())
    ax.figure.colorbar(picture, ax=ax, label=label)
    return ax
