"""What a training went through, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.courtesy import brief
from recurra.engine import Program
from recurra.errors import PathError, unknown

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

COLUMNS = ("epoch", "updates", "loss", "penalty", "validation_loss", "gradient_norm", "lr", "seconds")
SHOWN = 10  # rows of a long table that are written out


@dataclass
class History:
    """Hold one row for each epoch, and the loss of every update; a table that prints and plots itself.

    Arguments:
        columns: name -> `(epochs,)`: number of the epoch, updates up to its end, loss, penalties, loss on the
            validation trials (NaN without), norm of the gradient before clipping, learning rate, seconds; and what
            metrics gave, by their names.
        losses: loss of every update, before it.

    >>> History().add({"loss": 1.0})["loss"]
    array([1.])
    """

    columns: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    losses: list[float] = field(default_factory=list)

    __repr__ = brief

    def add(self, row: Mapping[str, float], losses: np.ndarray | None = None) -> History:
        """Add the row of an epoch, and the losses of its updates; what is not given is NaN."""
        for name, column in self.columns.items():
            column.append(float(row.get(name, np.nan)))
        self.losses.extend([] if losses is None else map(float, losses))
        return self

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one column."""
        if name not in self.columns:
            raise PathError(unknown("column", name, self.columns))
        return np.array(self.columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns["epoch"])

    def __str__(self) -> str:
        """Write the table: its first and last rows if it is long."""
        names = [name for name in self.columns if np.isfinite(self[name]).any()]
        rows = list(range(len(self)))
        rows = rows if len(rows) <= SHOWN else [*rows[: SHOWN // 2], *rows[-(SHOWN // 2) :]]
        texts = [names, *([f"{self.columns[name][i]:.6g}" for name in names] for i in rows)]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in texts]
        if len(self) > SHOWN:
            lines.insert(1 + SHOWN // 2, f"... {len(self) - SHOWN} more rows")
        return "\n".join(lines)

    def plot(self, *names: str, ax: Axes | None = None) -> Axes:
        """Draw columns against the epoch.

        Arguments:
            names: which columns; the loss, and that on the validation trials if there are any.
            ax: the axes to draw on; `None` makes a figure.

        Returns:
            The axes.

        Raises:
            PathError: there is no such column.
        """
        import matplotlib.pyplot as plt

        held = "validation_loss" in self.columns and np.isfinite(self["validation_loss"]).any()
        chosen = names or ("loss", *(("validation_loss",) if held else ()))
        values = [self[name] for name in chosen]
        if ax is None:
            ax = plt.figure().add_subplot()
        for name, column in zip(chosen, values, strict=True):
            ax.plot(self["epoch"], column, label=name.replace("_", " "))
        ax.set(xlabel="epoch", ylabel=chosen[0].replace("_", " ") if len(chosen) == 1 else "")
        if len(chosen) > 1:
            ax.legend()
        return ax

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a table with the epoch as index."""
        import pandas

        table = pandas.DataFrame(self.columns).astype({"epoch": int})
        return table.set_index("epoch")


@dataclass(frozen=True, eq=False)
class Training:
    """Hold the outcome of a training.

    Arguments:
        program: the trained program.
        params: path -> trained value.
        history: a row for each epoch.
        best_epoch: the epoch with the smallest (validation) loss; -1 if there was none.
        updates: number of updates.
        stopped: why the training ended early; empty if it did not.
        standing: what `fit_bptt(..., after=this)` goes on from.

    >>> import numpy as np
    >>> from recurra import Network
    >>> from recurra.training import fit_bptt
    >>> net = Network(dt=0.1)
    >>> node = net.add_diffeq_node("n", "v' = I - k*v", variables={"v": "output", "k": 2.0, "I": "input"})
    >>> fit = fit_bptt(net.program, {"n/op/I": np.ones((20, 1))}, np.zeros((20, 1)), output="n/op/v", train=["n/op/k"],
    ...                dt=0.1, epochs=3, lr=0.1)
    >>> fit.updates, bool(fit.params["n/op/k"][0] > 2.0), bool(fit.loss < fit.history["loss"][0])
    (3, True, True)
    >>> bool(np.all(fit.program.get("n/op/k") == fit.params["n/op/k"])), net.program.get("n/op/k")
    (True, array([2.]))
    """

    program: Program
    params: Mapping[str, np.ndarray]
    history: History
    best_epoch: int
    updates: int
    stopped: str = ""
    standing: Any = field(default=None, repr=False)

    @property
    def loss(self) -> float:
        """The loss of the last epoch; with validation the smallest loss on the validation trials."""
        held = self.history["validation_loss"]
        if len(held) and np.isfinite(held).any():
            return float(np.nanmin(held))
        return float(self.history["loss"][-1]) if len(held) else float("nan")

    def __repr__(self) -> str:
        shapes = ", ".join(f"{path} {value.shape}" for path, value in self.params.items())
        end = f", stopped: {self.stopped}" if self.stopped else ""
        return f"Training({self.updates} updates, loss {self.loss:.4g}{end}; {shapes})"
