"""Lines over time, and one variable against another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recurra.plotting.axes import COLOURS, HasDataFrame, axes_or_new, pick, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAX_LEGEND = 12


def plot_traces(
    data: pd.DataFrame | HasDataFrame,
    names: Sequence[str] | None = None,
    *,
    xlabel: str = "time",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw recorded variables over time, one line each.

    Arguments:
        data: a `Result`, or a DataFrame with time as its index, as `CircuitTemplate.run` returns it.
        names: the columns to draw, levels joined by `/`; `None` draws all.
        xlabel: label of the time axis; say the unit of the model here, e.g. `"time (ms)"`.
        ylabel: label of the other axis.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes. Beyond twelve lines there is no legend.

    Raises:
        PathError: a name is no column of `data`.
        ShapeError: `data` has no rows.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"E": [0.0, 1.0], "I": [0.0, 0.5]}, index=[0.0, 0.1])
    >>> [line.get_label() for line in plot_traces(frame).get_lines()]
    ['E', 'I']
    """
    columns = table(data)
    shown = [name for name in columns if name != "time"] if names is None else list(names)
    drawn = [(name, pick(columns, name)) for name in shown]
    ax = axes_or_new(ax, (8.0, 4.0))
    for position, (name, values) in enumerate(drawn):
        colour = COLOURS[position % len(COLOURS)]
        ax.plot(columns["time"], values, label=name, color=colour, linewidth=1.4)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.margins(x=0)
    if 1 < len(drawn) <= MAX_LEGEND:
        ax.legend(loc="best", frameon=False)
    elif len(drawn) == 1 and not ylabel:
        ax.set_ylabel(drawn[0][0])
    return ax


def plot_phase(data: pd.DataFrame | HasDataFrame, x: str, y: str, *, ax: Axes | None = None) -> Axes:
    """Draw one variable against another, with the start and the end marked.

    Arguments:
        data: a `Result`, or a DataFrame with time as its index.
        x: the column along the horizontal axis.
        y: the column along the vertical axis.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes.

    Raises:
        PathError: a name is no column of `data`.
        ShapeError: `data` has no rows.

    >>> import matplotlib; matplotlib.use("agg")
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"E": [0.0, 1.0], "I": [0.0, 0.5]}, index=[0.0, 0.1])
    >>> plot_phase(frame, "E", "I").get_xlabel()
    'E'
    """
    columns = table(data)
    across, up = pick(columns, x), pick(columns, y)
    ax = axes_or_new(ax, (5.0, 4.5))
    ax.plot(across, up, color=COLOURS[0], linewidth=1.2)
    ax.plot(across[0], up[0], "o", color=COLOURS[2], label="start")
    ax.plot(across[-1], up[-1], "s", color=COLOURS[1], label="end")
    ax.set(xlabel=x, ylabel=y)
    ax.legend(loc="best", frameon=False)
    return ax
