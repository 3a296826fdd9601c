"""Quick looks at a result: lines, a heat map, a raster. Careful figures are made by `recurra.plotting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recurra.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recurra.engine.results import Name, Result

MAX_LEGEND = 12


def draw_lines(result: Result, name: Name | None, x: Name | None, ax: Axes | None) -> Axes:
    """Draw recordings against time, or one against another; see :meth:`Result.plot`."""
    ax = _axes(ax)
    across = result.time if x is None else np.real(result[x])
    for key in result.data if name is None else [result.find(name)]:
        values = result[key]
        if across.ndim > 1 and across.shape[-1] not in (1, values.shape[-1]):
            raise ShapeError(
                f"plot: {x!r} has {across.shape[-1]} units, {key!r} has {values.shape[-1]}; x needs one unit or as"
                " many."
            )
        lines = ax.plot(across, np.real(values))
        labels = [key] if values.shape[-1] == 1 else result.labels[key]
        if len(lines) <= MAX_LEGEND:
            for line, label in zip(lines, labels, strict=True):
                line.set_label(label)
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    ax.set_xlabel("time" if x is None else result.find(x))
    if name is not None:
        ax.set_ylabel(result.find(name))
    return ax


def draw_matrix(result: Result, name: Name, ax: Axes | None, options: dict) -> Axes:
    """Draw a recording as colours, time to the right; see :meth:`Result.matshow`."""
    values = _flat(result, name)
    ax = _axes(ax)
    time = result.time
    step = (time[-1] - time[0]) / (len(time) - 1) if len(time) > 1 else 1.0
    extent = (time[0] - step / 2, time[-1] + step / 2, values.shape[1] - 0.5, -0.5)
    settings = {"aspect": "auto", "interpolation": "nearest", "extent": extent, **options}
    picture = ax.imshow(np.real(values).T, **settings)
    ax.figure.colorbar(picture, ax=ax, label=result.find(name))
    ax.set(xlabel="time", ylabel="unit")
    return ax


def draw_raster(result: Result, name: Name, above: float, ax: Axes | None, options: dict) -> Axes:
    """Draw a dot wherever a recording is above a value; see :meth:`Result.raster`."""
    values = _flat(result, name)
    ax = _axes(ax)
    rows, units = np.nonzero(np.real(values) > above)
    ax.plot(result.time[rows], units, **{"linestyle": "", "marker": ".", "color": "black", "markersize": 2, **options})
    ax.set(xlabel="time", ylabel="unit", ylim=(-0.5, values.shape[1] - 0.5))
    ax.locator_params(axis="y", integer=True)
    return ax


def _flat(result: Result, name: Name) -> np.ndarray:
    values = result[name]
    if values.ndim != 2:
        raise OptionError(f"{name!r} is a batch of runs of shape {values.shape}; draw one run of it.")
    if not len(values):
        raise ShapeError(f"{name!r} has no rows; nothing can be drawn.")
    return values


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
