"""Draw a trial: inputs and outputs in lanes over time, rings as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from recurra.errors import OptionError
from recurra.rate.tasks.trials import Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INPUT, TARGET, ANSWER = "#0072B2", "#000000", "#D55E00"
CROWDED = 2.0  # height of a picture, where a line has 1
CROWD = 8  # so many channels of one kind are drawn as a picture
GAP = 0.35


def plot_trial(trials: Trials, trial: int = 0, outputs: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw one trial; see `Task.plot`.

    Arguments:
        trials: the trials.
        trial: which one.
        outputs: `(batch, time, outputs)`, what a network gave for all of them.
        ax: the axes to draw on; `None` makes a figure.

    Returns:
        The axes: inputs above, outputs below. The lanes of the inputs have one scale, those of the outputs another,
        zero included; targets are faint where the mask leaves them out. In a crowd of outputs the answers are drawn
        in place of the targets.

    Raises:
        OptionError: there is no such trial.
        ShapeError: the outputs do not fit the trials.
    """
    if not isinstance(trial, int | np.integer) or not -len(trials) <= trial < len(trials):
        raise OptionError(f"plot: trial must be a whole number below {len(trials)}, got {trial!r}.")
    answers = None if outputs is None else trials.check_outputs(outputs)[trial]
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(7.0, 4.5), layout="constrained")[1]
    length = int(trials.lengths[trial])
    shown, goals, mask = (array[trial, :length] for array in (trials.inputs, trials.targets, trials.mask))
    ticks: list[tuple[float, str]] = []
    top = 0.0
    limits = _range(shown)
    for label, columns in _groups(trials.channels):
        bottom = _lane(ax, shown[:, columns], trials.dt, top, limits, INPUT)
        ticks.append(((top + bottom) / 2, label))
        top = bottom - GAP
    ax.axhline(top + GAP / 2, color="0.6", linewidth=0.8)
    limits = _range(goals) if answers is None else _range(goals, answers[:length])
    for label, columns in _groups(trials.outputs):
        answer = None if answers is None else answers[:length, columns]
        bottom = _lane(ax, goals[:, columns], trials.dt, top, limits, TARGET, mask[:, columns] > 0, answer)
        ticks.append(((top + bottom) / 2, label))
        top = bottom - GAP
    ax.set_yticks([height for height, _ in ticks], [label for _, label in ticks])
    ax.set(xlim=(0, length * trials.dt), ylim=(top, GAP), xlabel="time (ms)")
    for start, _ in (steps[trial] for steps in trials.periods.values()):
        if 0 < start < length:
            ax.axvline(start * trials.dt, color="0.85", linewidth=0.8, zorder=0)
    return ax


def _groups(names: tuple[str, ...]) -> list[tuple[str, list[int]]]:
    """Return lanes: label and channels; crowds whose names differ in the last word only share one."""
    kinds: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        kinds.setdefault(name.rpartition(" at ")[0] or name.rpartition(" ")[0] or name, []).append(position)
    found = []
    for kind, columns in kinds.items():
        if len(columns) >= CROWD:
            found.append((kind, columns))
        else:
            found += [(names[column], [column]) for column in columns]
    return found


def _range(*arrays: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest value, zero included, and never the same."""
    low = min(0.0, *(float(np.nanmin(array)) for array in arrays))
    high = max(0.0, *(float(np.nanmax(array)) for array in arrays))
    return low, high if high > low else low + 1.0


def _lane(
    ax: Axes,
    values: np.ndarray,
    dt: float,
    top: float,
    limits: tuple[float, float],
    colour: str,
    counts: np.ndarray | None = None,
    answer: np.ndarray | None = None,
) -> float:
    """Draw one lane below `top`, `(time, channels)`, and return where it ends."""
    low, high = limits
    if values.shape[1] > 1:
        shown = values if answer is None else answer
        extent = (0.0, len(shown) * dt, top - CROWDED, top)
        look = {"vmin": 0, "vmax": high if high > 0 else 1.0, "cmap": "Greys", "interpolation": "nearest"}
        ax.imshow(shown.T, aspect="auto", origin="lower", extent=extent, **look)
        return top - CROWDED
    base = top - 1.0
    time = np.arange(len(values)) * dt
    heights = base + (values[:, 0] - low) / (high - low)
    ax.step(time, heights, where="post", color=colour, linewidth=1.2, alpha=1.0 if counts is None else 0.25)
    if counts is not None:
        ax.step(time, np.where(counts[:, 0], heights, np.nan), where="post", color=colour, linewidth=1.4)
    if answer is not None:
        ax.plot(time[: len(answer)], base + (answer[:, 0] - low) / (high - low), color=ANSWER, linewidth=1.2)
    return base
