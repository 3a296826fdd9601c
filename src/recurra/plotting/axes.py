"""Make axes where none are given, and read columns out of results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from recurra.errors import PathError, ShapeError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

# Okabe and Ito (2008): eight colours that people with any common colour vision can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


class HasDataFrame(Protocol):
    """Anything with a table of recorded rows, such as a `recurra.Result`."""

    def to_dataframe(self) -> pd.DataFrame: ...


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax`, or the axes of a new figure of `size` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def whole_numbers() -> Locator:
    """Return what puts ticks at whole numbers only, for axes that count units."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def table(data: pd.DataFrame | HasDataFrame) -> dict[str, np.ndarray]:
    """Return the columns of a result or a DataFrame by their readable names, all real.

    The row labels come first, as `"time"`. A complex column is represented by its real part.
    """
    frame: Any = data.to_dataframe() if hasattr(data, "to_dataframe") else data
    if len(frame) == 0:
        raise ShapeError("nothing to plot: the result has no rows; run it for longer or record more often.")
    columns: dict[str, np.ndarray] = {"time": np.asarray(frame.index)}
    for position, key in enumerate(frame.columns):
        parts = key if isinstance(key, tuple) else (key,)
        name = "/".join(str(part) for part in parts if str(part) != "")
        values = np.asarray(frame.iloc[:, position])
        columns[f"Re {name}" if np.iscomplexobj(values) else name] = np.real(values)
    return columns


def pick(columns: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return the column `name`, or raise a `PathError` with near names."""
    for candidate in (name, f"Re {name}"):
        if candidate in columns:
            return columns[candidate]
    raise PathError(unknown("column", name, [c for c in columns if c != "time"], where="plot"))


def matrix(values: Any, what: str) -> np.ndarray:
    """Return `values` as a matrix of numbers, or raise a `ShapeError`."""
    found = np.asarray(values)
    if found.ndim != 2 or found.size == 0:
        raise ShapeError(f"{what}: expected a matrix with two axes, got an array of shape {found.shape}.")
    return np.real(found).astype(float)
